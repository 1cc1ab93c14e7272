//! An author's way, as docs/adding-a-provider.md has it: its commands are typed one after the
//! other, in a folder outside of this repository's workspace; and every refusal it shows is made.

use super::support::{Host, binary, parse};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock, PoisonError};
use tempfile::TempDir;

const DOCS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/adding-a-provider.md"
));
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Where projects are built, so that what they share is built once.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("authors")
}

/// Builds wait for each other anyway; so they do not wait while a clock runs.
fn one_at_a_time() -> std::sync::MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command with nothing of the build that runs these tests.
fn plain(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let outer = [
            "ANYPORT_",
            "CARGO_PKG_",
            "CARGO_BIN_",
            "CARGO_CFG_",
            "CARGO_FEATURE_",
        ];
        if outer.iter().any(|prefix| name.starts_with(prefix))
            || [
                "RUSTFLAGS",
                "CARGO_ENCODED_RUSTFLAGS",
                "CARGO_MANIFEST_DIR",
                "CARGO_TARGET_DIR",
            ]
            .contains(&name.as_str())
        {
            command.env_remove(name);
        }
    }
    command
}

/// The fenced blocks of a section: what stands behind ```sh, and the lines.
fn blocks(section: &str) -> Vec<(&'static str, &'static str)> {
    let (_, rest) = DOCS.split_once(&format!("\n## {section}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let mut found = Vec::new();
    for part in section.split("```sh").skip(1) {
        let (kind, rest) = part.split_once('\n').unwrap();
        found.push((kind.trim(), rest.split_once("\n```").unwrap().0));
    }
    found
}

/// One session of a shell: background terminals stand in the background, what is true at last is
/// tried again.
fn session(port: u16) -> String {
    let mut script =
        "set -euom pipefail\ntrap 'for job in $(jobs -p); do kill -- -$job 2>/dev/null || true; done' EXIT\n"
            .to_owned();
    let blocks = blocks("From nothing to a running provider");
    assert!(blocks.len() >= 7, "{blocks:?}");
    for (kind, lines) in blocks {
        let lines = lines.replace("port=7007", &format!("port={port}"));
        let typed = match kind {
            "" => lines,
            "host" => format!(
                "( {lines} ) >host.log 2>&1 &\nuntil [ -s anyport-data/trial-address ]; do kill -0 $! ; sleep 0.2; done"
            ),
            "channel" => format!(
                "( {lines} ) >channel.log 2>&1 &\nuntil grep -qs listens channel.log; do kill -0 $! ; sleep 0.2; done"
            ),
            "eventually" => {
                format!("for try in $(seq 300); do ( {lines} ) && break; sleep 0.2; done\n{lines}")
            }
            other => panic!("a terminal that this test does not know: {other}"),
        };
        writeln!(script, "{typed}").unwrap();
        if script.contains("\ncd parrot") && !script.contains("ln -s") {
            // The versions of this tree, and a target directory that other runs share.
            script += "cp \"$ROOT/Cargo.lock\" .\nln -s \"$SHARED_TARGET\" target\n";
        }
    }
    script
}

#[test]
fn from_nothing_to_an_answer() {
    let _one = one_at_a_time();
    let folder = TempDir::new().unwrap();
    std::fs::create_dir_all(target()).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let binary = Path::new(env!("CARGO_BIN_EXE_anyport"));
    let path = format!(
        "{}:{}",
        binary.parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let ran = plain("bash")
        .args(["-c", &session(port)])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("ROOT", ROOT)
        .env("SHARED_TARGET", target())
        .env("ANYPORT_LISTEN", "127.0.0.1:0")
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .output()
        .unwrap();
    let said = said(&ran);
    let log = |name: &str| {
        std::fs::read_to_string(folder.path().join("parrot").join(name)).unwrap_or_default()
    };
    assert!(
        ran.status.success(),
        "{said}\n{}\n{}",
        log("host.log"),
        log("channel.log")
    );
    // Tests of the project ran, the component is right, the message went out and its echo came in.
    for phrase in [
        "test sends_and_settles_on_the_channels_word ... ok",
        "hello, parrot",
    ] {
        assert!(said.contains(phrase), "no {phrase:?} in {said}");
    }
    for line in said.lines() {
        for word in ["PROBLEM", "warning "] {
            assert!(!line.starts_with(word), "{said}");
        }
    }
    for check in [
        "replay",
        "hand-over",
        "garbage",
        "describe",
        "config-schema",
    ] {
        assert!(
            said.contains(&format!("ok       {check}: ")),
            "no {check} in {said}"
        );
    }
}

fn said(ran: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    )
}

/// A project that is changed and built again and again.
struct Project {
    folder: TempDir,
}

impl Project {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let made = anyport(&["providers", "new", "parrot"], folder.path());
        assert!(made.status.success(), "{}", said(&made));
        let project = Self { folder };
        std::fs::copy(
            Path::new(ROOT).join("Cargo.lock"),
            project.path("Cargo.lock"),
        )
        .unwrap();
        project
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join("parrot").join(file)
    }

    /// The component with a change in its sources, which are as before afterwards.
    fn with(&self, file: &str, from: &str, to: &str) -> PathBuf {
        let path = self.path(file);
        let before = std::fs::read_to_string(&path).unwrap();
        assert!(before.contains(from), "{file} has no {from:?}");
        std::fs::write(&path, before.replacen(from, to, 1)).unwrap();
        let built = plain("cargo")
            .args(["build", "--target", "wasm32-wasip2"])
            .current_dir(self.path(""))
            .env("CARGO_TARGET_DIR", target())
            .output()
            .unwrap();
        std::fs::write(&path, before).unwrap();
        assert!(built.status.success(), "{}", said(&built));
        let component = self.folder.path().join("parrot.wasm");
        std::fs::copy(target().join("wasm32-wasip2/debug/parrot.wasm"), &component).unwrap();
        component
    }
}

fn anyport(arguments: &[&str], folder: &Path) -> Output {
    let binary = binary();
    let mut command = plain(binary.as_std().get_program().to_str().unwrap());
    command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// (what, file, from, to, command, the message)
const BROKEN: &[(&str, &str, &str, &str, &str)] = &[
    (
        "provider.toml",
        "contract = \"0.1.0\"",
        "contract = \"0.2.0\"",
        "check",
        "the manifest is for anyport:provider 0.2.0, this host serves 0.1",
    ),
    (
        "provider.toml",
        "\"timers\", ",
        "",
        "check",
        "the component calls interfaces that its manifest does not ask for: timers",
    ),
    (
        "src/lib.rs",
        "Descriptor::new(\"Parrot\")",
        "Descriptor::new(format!(\"Parrot {}\", turn::now()))",
        "check",
        "`describe` failed: `describe` called `turn.now`: it must be pure",
    ),
    (
        "provider.toml",
        "title = \"Parrot\"",
        "titel = \"Parrot\"",
        "check",
        "provider.toml, line 3: unknown field `titel`",
    ),
    (
        "src/lib.rs",
        "anyport_sdk::manifest!(\"../provider.toml\");",
        "",
        "check",
        "the component carries no manifest: custom section `anyport:manifest` is missing",
    ),
    (
        "src/lib.rs",
        ".limited(\"send.text\"",
        ".feature(\"send.txt\").limited(\"send.text\"",
        "check",
        "`describe` names `send.txt`, which this anyport does not know",
    ),
    (
        "src/lib.rs",
        ".limited(\"send.text\"",
        ".feature(\"groups.list\").limited(\"send.text\"",
        "check",
        "and the component does not export `groups`",
    ),
    (
        "src/lib.rs",
        "{\"max-chars\": MAX_CHARS}",
        "{\"max-char\": MAX_CHARS}",
        "check",
        "`send.text` has no limit `max-char`",
    ),
    (
        "src/lib.rs",
        "Parrot: SignIn, Messaging",
        "Parrot: Messaging",
        "check",
        "it does not export `sign-in`: no account of it can be used",
    ),
    (
        "provider.toml",
        "host = \"config:/server\"",
        "host = \"config:server\"",
        "check",
        "`config:server` is no pointer into the configuration",
    ),
    (
        "provider.toml",
        "host = \"config:/server\"",
        "host = \"https://localhost\"",
        "check",
        "`https://localhost` is no host: a host has no scheme and no path",
    ),
    (
        "provider.toml",
        "port = \"config:/port\"",
        "port = \"config:/prt\"",
        "check",
        "`config:/prt` leads to a property that the schema of the configuration does not have",
    ),
    (
        "provider.toml",
        "transports = [\"tcp\"]",
        "transports = [\"http\"]",
        "check",
        "it calls `connections`, and its manifest has no [[egress]] with tcp or tls",
    ),
    (
        "provider.toml",
        "reveal = [\"password\"]",
        "reveal = [\"password\"]\n[[secrets.placements]]\nsecret = \"password\"\nplace = \"header\"\nname = \"a\"\nhosts = [\"api.example.org\"]",
        "check",
        "the secret `password` may go to api.example.org over https, and no [[egress]] leads there",
    ),
    (
        "provider.toml",
        "[secrets]",
        "[[ingress]]\nroute = \"a\"\nverify = { kind = \"none\" }\n[secrets]",
        "check",
        "the manifest has ingress routes, and the component does not export `ingress`",
    ),
    (
        "provider.toml",
        "[secrets]",
        "[limits]\nmemory-bytes = 268435456\n[secrets]",
        "check",
        "memory-bytes = 268435456 is more than a host gives",
    ),
    (
        "provider.toml",
        "\"timers\", ",
        "\"timers\", \"htpp\", ",
        "check",
        "the manifest asks for anyport:provider/htpp, which this host does not offer",
    ),
    (
        "provider.toml",
        "contract = \"0.1.0\"",
        "contract = \"1\"",
        "check",
        "the manifest's contract `1` is wrong: it is three numbers with points, such as 0.1.0",
    ),
    (
        "src/lib.rs",
        "type Snapshot = Memory;",
        "type Snapshot = Memory;\n    const STATE_VERSION: u32 = 2;\n    const READS_STATE_VERSIONS: &'static [u32] = &[1];",
        "check",
        "it writes state version 2 and reads 1",
    ),
    (
        "src/lib.rs",
        "Descriptor::new(\"Parrot\")",
        "Descriptor::new(None::<String>.expect(\"a title\"))",
        "check",
        "`describe` failed: it panicked at src/lib.rs:",
    ),
    (
        "src/lib.rs",
        "let open = start.keep(MAIN);",
        "let open = start.keep(MAIN); assert!(open, \"no connection\");",
        "test",
        "start: the turn failed: it panicked at src/lib.rs:",
    ),
    (
        "src/lib.rs",
        "Emission::of_message(number, message)",
        "Emission::of_message(turn::now().to_string(), message)",
        "test",
        "events came under new keys",
    ),
    (
        "src/lib.rs",
        "Ok(self.memory.clone())",
        "Ok(Memory { phase: Phase::Away, ..self.memory.clone() })",
        "test",
        "after hand-overs it did something else",
    ),
    (
        "src/lib.rs",
        "return logging::warn(\"a line that is cut off\", &[]);",
        "panic!(\"a line that is cut off\");",
        "test",
        "garbage:",
    ),
];

/// Every refusal that the documentation shows, made and read.
#[test]
fn what_is_wrong_is_said_and_how_to_mend_it() {
    let _one = one_at_a_time();
    let project = Project::new();
    for (file, from, to, command, message) in BROKEN {
        assert!(
            DOCS.contains(message),
            "the documentation has no {message:?}"
        );
        let component = project.with(file, from, to);
        let script = project.path("conformance.toml");
        let (component, script) = (component.to_str().unwrap(), script.to_str().unwrap());
        let mut arguments = vec!["providers", command, component];
        if *command == "test" {
            arguments.extend(["--script", script]);
        }
        let ran = anyport(&arguments, project.folder.path());
        let text = said(&ran);
        assert!(text.contains(message), "no {message:?} in {text}");
        // A feature or limit that nobody knows is no reason to refuse.
        let shown_only = ["does not know", "has no limit"];
        let code = match shown_only.iter().any(|phrase| message.contains(phrase)) {
            true => 0,
            false => 5,
        };
        assert_eq!(ran.status.code(), Some(code), "{text}");
        assert!(
            text.contains("         -> "),
            "{message} is told without how to mend it: {text}"
        );

        arguments.push("--json");
        let ran = anyport(&arguments, project.folder.path());
        let report = parse(&String::from_utf8(ran.stdout).unwrap());
        assert_eq!(ran.status.code(), Some(code));
        let worst = if code == 0 { "warning" } else { "problem" };
        assert_eq!(report["worst"], worst, "{report:#}");
        let findings = report["findings"].as_array().unwrap();
        assert!(
            findings
                .iter()
                .any(|it| it["severity"] == worst && it["todo"] != Value::Null),
            "{report:#}"
        );
    }
}

/// It asks its channel who it is, over HTTP.
const ASKING: &str = r#"
use anyport_sdk::lifecycle::Descriptor;
use anyport_sdk::*;
anyport_sdk::manifest!("../provider.toml");
anyport_sdk::export!(Asking: SignIn);
pub struct Asking;
impl Provider for Asking {
    type Config = serde_json::Value;
    type Snapshot = ();
    fn describe() -> Descriptor { Descriptor::new("Asking").sign_in("token", "A token") }
    fn start(_: &mut Start<Self>) -> Result<Self> {
        http::submit("me", &http_types::Request::get("https://localhost/me"));
        Ok(Self)
    }
    fn snapshot(&self) -> Result { Ok(()) }
}
impl SignIn for Asking {
    fn begin(&mut self, request: String, _: String, _: Vec<sign_in::Answer>) -> Result {
        replies::done(&request);
        Ok(())
    }
}
"#;

/// `test` tells what it did not try.
#[test]
fn what_no_script_answers_is_told() {
    let _one = one_at_a_time();
    let project = Project::new();
    let manifest = std::fs::read_to_string(project.path("provider.toml")).unwrap();
    let asking = manifest
        .replace("\"timers\", \"connections\", \"secrets\",", "\"http\",")
        .replace("host = \"config:/server\"", "host = \"localhost\"")
        .replace("port = \"config:/port\"", "port = 443")
        .replace("transports = [\"tcp\"]", "transports = [\"https\"]");
    std::fs::write(project.path("provider.toml"), asking).unwrap();
    let parrot = std::fs::read_to_string(project.path("src/lib.rs")).unwrap();
    let component = project.with("src/lib.rs", &parrot, ASKING);
    let ran = anyport(
        &["providers", "test", component.to_str().unwrap()],
        project.folder.path(),
    );
    let text = said(&ran);
    assert_eq!(ran.status.code(), Some(0), "{text}");
    assert!(
        text.contains(
            "note     http: what it asked for over HTTP (1 request) was not answered: a script cannot yet"
        ),
        "{text}"
    );
}

/// A version that asks for more than was granted does not run, and whoever installs it is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_waits_for_its_grant() {
    let built = tokio::task::spawn_blocking(|| {
        let _one = one_at_a_time();
        let project = Project::new();
        let first = project.with(
            "provider.toml",
            "version = \"0.1.0\"",
            "version = \"0.1.1\"",
        );
        let first = std::fs::read(first).unwrap();
        let names = "names = [\"password\"]";
        let more = project.with("provider.toml", names, "names = [\"password\", \"more\"]");
        (project, first, std::fs::read(more).unwrap())
    });
    let (project, first, more) = built.await.unwrap();
    let folder = project.folder.path();
    let [first, more] = [("first.wasm", first), ("more.wasm", more)].map(|(name, bytes)| {
        std::fs::write(folder.join(name), bytes).unwrap();
        folder.join(name).to_str().unwrap().to_owned()
    });
    let host = Host::start().await;
    host.run(&["providers", "install", &first]).await.expect(0);

    let mut prefix = String::new();
    for _ in ["first", "again"] {
        let parked = host.run(&["providers", "install", &more]).await.expect(8);
        let (said, grant) = parked.err.split_once("Grant it: ").unwrap();
        assert_eq!(
            said,
            "parked: parrot 0.1.0 is kept and does NOT run: it asks for more than was granted: secrets more. "
        );
        let digest = grant.strip_prefix("anyport providers approve parrot ");
        prefix = digest.unwrap().trim().to_owned();
        assert_eq!(parked.out, "");
    }
    let json = ["providers", "install", &more, "--json"];
    let parked = host.run(&json).await.expect(8);
    let data = &parked.json()["data"];
    assert_eq!(data["parked"]["secrets"][0], "more", "{data:#}");
    assert_eq!(parked.error()["code"], "parked");
    let shown = host
        .run(&["providers", "show", "parrot"])
        .await
        .expect(0)
        .out;
    let line = format!("Version 0.1.0 ({prefix}) asks for more");
    assert!(shown.contains(&line), "no {line:?} in {shown}");

    let granted = ["providers", "install", &more, "--approve"];
    let granted = host.run(&granted).await.expect(0).out;
    assert!(
        granted.starts_with("parrot 0.1.0 is installed"),
        "{granted}"
    );
    let shown = host
        .run(&["providers", "show", "parrot"])
        .await
        .expect(0)
        .out;
    assert!(!shown.contains("asks for more"), "{shown}");
    host.run(&["providers", "approve", "parrot", &prefix])
        .await
        .expect(0);
}

/// A provider of every interface that a client calls; `ingress` needs routes in its manifest.
const EVERYTHING: &str = r#"
use anyport_sdk::lifecycle::Descriptor;
use anyport_sdk::*;
anyport_sdk::manifest!("../provider.toml");
anyport_sdk::export!(All: SignIn, Messaging, MessageActions, Conversations, ConversationActions,
    ConversationLabels, Contacts, Groups, History, Media, Profile, Commands);
pub struct All;
impl Provider for All {
    type Config = serde_json::Value;
    type Snapshot = ();
    fn describe() -> Descriptor {
        Descriptor::new("All").sign_in("password", "Nothing").config(serde_json::json!({
            "type": "object",
            "properties": {"server": {"type": "string"}, "port": {"type": "integer"}},
        }))
    }
    fn start(_: &mut Start<Self>) -> Result<Self> { Ok(Self) }
    fn snapshot(&self) -> Result { Ok(()) }
}
impl SignIn for All {
    fn begin(&mut self, request: String, _: String, _: Vec<sign_in::Answer>) -> Result {
        replies::done(&request);
        Ok(())
    }
}
impl Messaging for All {
    fn send(&mut self, _: String, _: messaging::Outgoing) -> Result {
        Err(Error::unsupported("it sends nothing"))
    }
}
impl MessageActions for All {}
impl Conversations for All {}
impl ConversationActions for All {}
impl ConversationLabels for All {}
impl Contacts for All {}
impl Groups for All {}
impl History for All {}
impl Media for All {}
impl Profile for All {}
impl Commands for All {}
"#;

/// The SDK's exports have the contract's shapes, and a component imports what it calls.
#[test]
fn exports_are_what_was_asked_for_and_imports_what_is_called() {
    let _one = one_at_a_time();
    let project = Project::new();
    let parrot = std::fs::read_to_string(project.path("src/lib.rs")).unwrap();
    let component = project.with("src/lib.rs", &parrot, EVERYTHING);
    let component = component.to_str().unwrap();
    let ran = anyport(
        &["providers", "check", component, "--json"],
        project.folder.path(),
    );
    let report = parse(&String::from_utf8(ran.stdout).unwrap());
    assert_eq!(ran.status.code(), Some(0), "{report:#}");
    assert_eq!(
        report["provider"]["imports"],
        parse(r#"["account", "replies"]"#),
        "{report:#}"
    );
    let exports = parse(
        r#"["commands", "contacts", "conversation-actions", "conversation-labels", "conversations",
            "groups", "history", "lifecycle", "media", "message-actions", "messaging", "profile",
            "reactor", "sign-in"]"#,
    );
    assert_eq!(report["provider"]["exports"], exports, "{report:#}");
}

/// `cargo component build` makes a component of the same sources that passes the same checks. The
/// tool takes long to build: `cargo install cargo-component --locked`, then ANYPORT_TEST_CARGO_COMPONENT=1.
#[test]
fn by_cargo_component() {
    static SAID: OnceLock<()> = OnceLock::new();
    if std::env::var_os("ANYPORT_TEST_CARGO_COMPONENT").is_none() {
        SAID.get_or_init(|| eprintln!("not run: ANYPORT_TEST_CARGO_COMPONENT is not set"));
        return;
    }
    let _one = one_at_a_time();
    let project = Project::new();
    let built = plain("cargo")
        .args(["component", "build", "--release"])
        .current_dir(project.path(""))
        .env("CARGO_TARGET_DIR", target())
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", said(&built));
    let component = target().join("wasm32-wasip1/release/parrot.wasm");
    let script = project.path("conformance.toml");
    let arguments = [
        "providers",
        "test",
        component.to_str().unwrap(),
        "--script",
        script.to_str().unwrap(),
    ];
    let ran = anyport(&arguments, project.folder.path());
    assert!(ran.status.success(), "{}", said(&ran));
}

/// Names, places and bytes that will not do.
#[test]
fn wrong_names_and_files_that_are_no_components() {
    let folder = TempDir::new().unwrap();
    let refused = anyport(&["providers", "new", "My_Channel"], folder.path());
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        said(&refused).contains("NAME `My_Channel`: "),
        "{}",
        said(&refused)
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let made = anyport(
        &["providers", "new", "my-channel", "--dir", "here"],
        folder.path(),
    );
    assert!(made.status.success(), "{}", said(&made));
    let again = anyport(
        &["providers", "new", "other", "--dir", "here"],
        folder.path(),
    );
    assert_eq!(again.status.code(), Some(2));
    assert!(
        said(&again).contains("nothing was written"),
        "{}",
        said(&again)
    );
    let manifest = std::fs::read_to_string(folder.path().join("here/provider.toml")).unwrap();
    assert!(manifest.contains("id = \"my-channel\""), "{manifest}");

    let file = folder.path().join("file.wasm");
    for (bytes, message) in [
        (&b"#!/bin/sh"[..], "this file is no WebAssembly"),
        (
            b"\0asm\x01\0\0\0",
            "this is a core WebAssembly module, and a provider is a component",
        ),
        (b"\0asm\x0d\0\x01\0\xff", "the component cannot be read"),
        (b"\0asm\x0d\0\x01\0", "the component carries no manifest"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let ran = anyport(&["providers", "check", "file.wasm"], folder.path());
        assert_eq!(ran.status.code(), Some(5), "{}", said(&ran));
        assert!(said(&ran).contains(message), "{}", said(&ran));
    }
    let gone = anyport(&["providers", "check", "gone.wasm"], folder.path());
    assert_eq!(gone.status.code(), Some(1), "{}", said(&gone));
}
