//! Builds the guests that the tests load. Each stands in a directory of its own, since the
//! variants of a package have one file name.

#[path = "../host/build_guests.rs"]
mod guests;

/// (variable with the path, package, features)
const GUESTS: [(&str, &str, &[&str]); 5] = [
    ("EVIL", "evil-provider", &["ambient"]),
    (
        "EVIL_DESCRIBE_IMPURE",
        "evil-provider",
        &["describe-impure"],
    ),
    ("EVIL_WRONG_SHAPE", "evil-provider", &["wrong-shape"]),
    ("SIMULATOR_NO_DEDUPE", "simulator-provider", &["no-dedupe"]),
    ("SIMULATOR_WEBHOOK", "simulator-webhook-provider", &[]),
];

fn main() {
    let workspace = guests::workspace(1);
    guests::watch(
        &workspace,
        &[
            "tests/build.rs",
            "tests/guests",
            "host/build_guests.rs",
            "providers-wasm/simulator",
            "providers-wasm/simulator-webhook",
            "sdk",
            "wit",
            "Cargo.lock",
            "Cargo.toml",
        ],
    );
    for (variable, package, features) in GUESTS {
        let directory = variable.to_lowercase().replace('_', "-");
        let path = guests::build(&workspace, package, features, &directory);
        println!("cargo::rustc-env=GUEST_{variable}={}", path.display());
    }
}
