//! Holds the direction of dependencies between the host's modules, and that the host knows no
//! channel. Reads the source; code under `#[cfg(test)]` may use what it wants.

mod source;

use source::{File, Kind, files, references, tokens};
use std::path::Path;

fn host() -> Vec<File> {
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src"))
}

/// (module, what it may use of the others). `app` and the root join the parts and may use all.
const MAY_USE: [(&str, &[&str]); 9] = [
    (
        "api",
        &[
            "supervisor",
            "delivery",
            "media",
            "storage",
            "telemetry",
            "domain",
        ],
    ),
    ("supervisor", &["runtime", "storage", "telemetry", "domain"]),
    ("delivery", &["storage", "telemetry", "domain"]),
    ("media", &["runtime::port", "storage", "domain"]),
    ("network", &["runtime::port", "telemetry", "domain"]),
    ("storage", &["runtime::port", "telemetry", "domain"]),
    ("telemetry", &["domain"]),
    ("runtime", &["domain"]),
    ("domain", &[]),
];

/// (crate, modules that may use it)
const CRATES: [(&str, &[&str]); 17] = [
    ("wasmtime", &["runtime"]),
    ("wasmtime_wasi", &["runtime"]),
    ("wasmparser", &["runtime"]),
    ("anyport_contract", &["runtime"]),
    ("sqlx", &["storage"]),
    ("hyper", &["network", "delivery"]),
    ("hyper_util", &["network", "delivery"]),
    ("reqwest", &[]),
    ("object_store", &["media", "network"]),
    ("rustls", &["network"]),
    ("tokio_rustls", &["network"]),
    ("tokio_socks", &["network"]),
    ("axum", &["api", "app"]),
    ("anyport_cli", &["app", "main"]),
    ("anyport_signing", &["delivery"]),
    ("anyport_simulator", &["app", "main"]),
    ("prometheus_client", &["telemetry", "app"]),
];

/// What breaks a rule, as `file:line: rule`.
fn breaches(file: &File) -> Vec<String> {
    let top = match file.module.first() {
        Some(top) => top.as_str(),
        None if file.path.ends_with("main.rs") => "main",
        None => "lib",
    };
    let at = |line: usize| format!("host/src/{}:{line}", file.path.display());
    let mut found = Vec::new();
    for reference in references(file) {
        let [first, second, rest @ ..] = &reference.path[..] else {
            continue;
        };
        if let Some((name, modules)) = CRATES.iter().find(|(name, _)| name == first)
            && !modules.contains(&top)
        {
            found.push(format!(
                "{}: `{name}` is for {modules:?} only",
                at(reference.line)
            ));
        }
        let rules = MAY_USE.iter().find(|(module, _)| *module == top);
        let Some((_, allowed)) = rules.filter(|_| first == "crate" && second != top) else {
            continue;
        };
        let other = MAY_USE.iter().any(|(module, _)| module == second) || second == "app";
        let whole = format!("{second}::{}", rest.first().map_or("", String::as_str));
        if other && !allowed.contains(&second.as_str()) && !allowed.contains(&whole.as_str()) {
            found.push(format!(
                "{}: `{top}` may use {allowed:?} and not `{}`",
                at(reference.line),
                reference.path[1..].join("::")
            ));
        }
    }
    if top != "storage" {
        let sql = [
            "SELECT ",
            "INSERT INTO ",
            "UPDATE ",
            "DELETE FROM ",
            "PRAGMA ",
        ];
        for token in &file.tokens {
            let text = token.text.trim_start();
            if token.kind == Kind::Text && sql.iter().any(|word| text.starts_with(word)) {
                found.push(format!("{}: SQL is for storage only", at(token.line)));
            }
        }
    }
    found
}

#[test]
fn dependencies_have_one_direction() {
    let files = host();
    for (module, _) in MAY_USE {
        assert!(
            files
                .iter()
                .any(|file| file.module.first().is_some_and(|top| top == module)),
            "there is no module {module}; is the table old?"
        );
    }
    let mut found: Vec<String> = files.iter().flat_map(breaches).collect();
    for file in &files {
        let top = file.module.first().map(String::as_str);
        let known = MAY_USE.iter().any(|(module, _)| Some(*module) == top);
        if !known && !matches!(top, None | Some("app")) {
            found.push(format!(
                "host/src/{}: no rule says what `{}` may use",
                file.path.display(),
                file.module[0]
            ));
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// A file of this module with this text, as if it stood there.
fn planted(module: &str, text: &str) -> File {
    let names = module.split("::").map(str::to_owned).collect();
    File {
        path: format!("{}.rs", module.replace("::", "/")).into(),
        module: names,
        tokens: tokens(text),
    }
}

/// The rules can be broken.
#[test]
fn a_planted_dependency_is_found() {
    for (module, text, line) in [
        ("domain::event", "use crate::storage::Store;", 1),
        (
            "api::v1::messages",
            "// text\nuse crate::{domain::Timestamp, runtime::Engine};",
            2,
        ),
        (
            "api::v1::messages",
            "fn f() {\n\n crate::network::dial::dial() }",
            3,
        ),
        (
            "storage::sqlite",
            "use super::super::supervisor::Supervisor;",
            1,
        ),
        (
            "network::dial",
            "use crate::runtime::{\n    port::Framing,\n    turn::Effects,\n};",
            3,
        ),
        ("network::dial", "use crate::runtime::Engine;", 1),
        ("runtime::turn", "type T = crate::app::Running;", 1),
        ("supervisor::core", "use wasmtime::Store;", 1),
        ("delivery::client", "fn f() { let _: sqlx::Error; }", 1),
        ("api::keys", "use hyper_util::client::legacy::Client;", 1),
        ("delivery::client", "fn f() { run(r#\"SELECT 1\"#) }", 1),
    ] {
        let found = breaches(&planted(module, text));
        let place = format!("host/src/{}.rs:{line}: ", module.replace("::", "/"));
        assert!(
            found.len() == 1 && found[0].starts_with(&place),
            "{text}: {found:?}"
        );
    }
    for (module, text) in [
        (
            "network::dial",
            "use crate::runtime::port::{Framing, Transport};",
        ),
        (
            "network::dial",
            "// use crate::storage::Store;\nconst A: &str = \"crate::storage::Store\";",
        ),
        (
            "api::v1::messages",
            "use super::super::error::ApiError; use crate::domain::send;",
        ),
        (
            "runtime::instance",
            "use wasmtime::Store; use std::time::Duration;",
        ),
        (
            "storage::sqlite",
            "const Q: &str = \"SELECT 1\"; use sqlx::Row;",
        ),
        ("supervisor::core", "let handle: tokio::runtime::Handle;"),
    ] {
        assert_eq!(breaches(&planted(module, text)), [""; 0], "{text}");
    }
}

/// Names of channels; written anywhere, in code, text or comment.
const CHANNELS: [&str; 13] = [
    "telegram",
    "whatsapp",
    "twitter",
    "zalo",
    "tiktok",
    "discord",
    "slack",
    "instagram",
    "wechat",
    "viber",
    "mtproto",
    "tdlib",
    "simulator",
];
/// Short names, only as words of their own.
const SHORT: [&str; 1] = ["irc"];
/// Words that also mean something else: only as a whole string.
const QUOTED: [&str; 1] = ["line"];

/// (file, name, why it stands there)
const NAMED: [(&str, &str, &str); 14] = [
    ("api/v1/providers.rs", "telegram", PUBLISHED),
    ("api/v1/providers.rs", "whatsapp", PUBLISHED),
    ("api/v1/providers.rs", "line", PUBLISHED),
    ("api/v1/providers.rs", "twitter", PUBLISHED),
    ("api/v1/providers.rs", "zalo", PUBLISHED),
    ("api/v1/providers.rs", "tiktok", PUBLISHED),
    ("app/mod.rs", "simulator", TRIAL),
    ("app/config.rs", "simulator", TRIAL),
    ("app/config/cli.rs", "simulator", TRIAL),
    ("app/doctor.rs", "simulator", TRIAL),
    ("app/welcome.rs", "simulator", TRIAL),
    (
        "main.rs",
        "simulator",
        "the command that runs the simulator channel's own server",
    ),
    ("../build.rs", "simulator", BUNDLED),
    ("../build.rs", "irc", BUNDLED),
];
const PUBLISHED: &str = "the published API lists these providers by name";
const TRIAL: &str = "an unconfigured host runs the simulator channel's server beside it";
const BUNDLED: &str = "the providers that come with the host";

/// The channels that a file names, with the line of the first place.
fn named(file: &File) -> Vec<(&'static str, usize)> {
    let mut found: Vec<(&'static str, usize)> = Vec::new();
    for token in &file.tokens {
        let text = token.text.to_lowercase();
        let long = CHANNELS.iter().filter(|name| text.contains(**name));
        let short = SHORT
            .iter()
            .filter(|name| words(&token.text).any(|word| word == **name));
        let quoted = QUOTED
            .iter()
            .filter(|name| token.kind == Kind::Text && text == **name);
        for name in long.chain(short).chain(quoted) {
            if found.iter().all(|(known, _)| known != name) {
                found.push((name, token.line));
            }
        }
    }
    found
}

/// The words of a text, those of `snake_case` and `CamelCase` one by one, in lower case.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for character in text.chars() {
        if !character.is_alphanumeric() || (character.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        if character.is_alphanumeric() {
            words.last_mut().unwrap().extend(character.to_lowercase());
        }
        was_lower = character.is_lowercase();
    }
    words.into_iter().filter(|word| !word.is_empty())
}

#[test]
fn the_host_knows_no_channel() {
    let mut files = host();
    for script in ["build.rs", "build_guests.rs"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../host")
            .join(script);
        files.push(File {
            path: Path::new("..").join(script),
            module: Vec::new(),
            tokens: tokens(&std::fs::read_to_string(path).unwrap()),
        });
    }
    let allowed = |path: &Path, name: &str| {
        NAMED
            .iter()
            .any(|(file, allowed, _)| path == Path::new(file) && *allowed == name)
    };
    let mut wrong = Vec::new();
    let mut seen = Vec::new();
    for file in &files {
        for (name, line) in named(file) {
            if allowed(&file.path, name) {
                seen.push((file.path.clone(), name));
            } else {
                wrong.push(format!(
                    "host/src/{}:{line}: names `{name}`",
                    file.path.display()
                ));
            }
        }
    }
    for (file, name, _) in NAMED {
        if !seen
            .iter()
            .any(|(path, seen)| path == Path::new(file) && *seen == name)
        {
            wrong.push(format!(
                "host/src/{file} does not name `{name}` any more: take it off the list"
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn a_planted_name_is_found() {
    for (text, name) in [
        ("const HOST: &str = \"api.telegram.org\";", "telegram"),
        ("/// As WhatsApp does.\nfn f() {}", "whatsapp"),
        ("struct IrcConfig;", "irc"),
        ("// IRC servers speak first.", "irc"),
        ("if provider == \"line\" {}", "line"),
    ] {
        let found = named(&planted("supervisor::core", text));
        assert_eq!(
            found.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            [name],
            "{text}"
        );
    }
    for text in [
        "let line = circle;",
        "Framing::Line",
        "log(\"a line\")",
        "// a new line",
    ] {
        assert_eq!(named(&planted("supervisor::core", text)), [], "{text}");
    }
}

/// What is compiled for tests only does not count, wherever it stands.
#[test]
fn tests_are_left_out() {
    let directory = tempfile::TempDir::new().unwrap();
    let root = directory.path();
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("lib.rs", "pub mod domain;");
    write(
        "domain/mod.rs",
        "mod event;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\n#[path = \"odd_tests.rs\"]\nmod odd;\n#[cfg(not(test))]\nuse crate::app::A;",
    );
    write("domain/tests/mod.rs", "mod more;\nuse crate::api::A;");
    write("domain/tests/more.rs", "use crate::api::A;");
    write("domain/odd_tests.rs", "use crate::api::A;");
    write(
        "domain/event.rs",
        "fn f() -> char { '\"' }\n#[cfg(test)]\nmod tests {\n    use crate::api::A;\n    fn f() {}\n}\nuse crate::storage::B;",
    );
    let files = files(root);
    let paths: Vec<_> = files
        .iter()
        .map(|file| file.path.to_str().unwrap())
        .collect();
    assert_eq!(paths, ["domain/event.rs", "domain/mod.rs", "lib.rs"]);
    let found: Vec<_> = files.iter().flat_map(breaches).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("host/src/domain/event.rs:7:"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("host/src/domain/mod.rs:8:"),
        "{found:?}"
    );
}
