//! Builds the bundled providers, which the host carries inside it.

#[path = "build_guests.rs"]
mod guests;

use std::fmt::Write;

/// (provider id, package)
const BUNDLED: [(&str, &str); 2] = [("simulator", "simulator-provider"), ("irc", "irc-provider")];

fn main() {
    let workspace = guests::workspace(1);
    guests::watch(
        &workspace,
        &[
            "host/build.rs",
            "host/build_guests.rs",
            "providers-wasm",
            "sdk",
            "wit",
            "Cargo.lock",
            "Cargo.toml",
        ],
    );
    let mut list = String::from("pub const BUNDLED: &[(&str, &[u8])] = &[\n");
    for (id, package) in BUNDLED {
        let path = guests::build(&workspace, package, &[], id);
        writeln!(list, "    ({id:?}, include_bytes!({path:?})),").expect("writing to memory");
    }
    list.push_str("];\n");
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    std::fs::write(out.join("bundled.rs"), list).expect("OUT_DIR can be written");
}
