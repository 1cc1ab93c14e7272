//! A host as a newcomer starts it, commands beside it, and a terminal for those that want one.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Nothing is measured by it: a test that gets what it waits for never sees it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What has run to its end.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    /// Standard output, which must be one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        parse(&self.out)
    }

    /// The error on standard error, which must be one JSON document.
    #[track_caller]
    pub fn error(&self) -> Value {
        parse(&self.err)["error"].clone()
    }

    /// Every line of standard output, each of which must be a JSON document.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        self.out.lines().map(parse).collect()
    }
}

#[track_caller]
pub fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// `anyport serve` without any configuration.
pub struct Host {
    data: TempDir,
    pub address: String,
    child: Child,
}

impl Host {
    pub async fn start() -> Self {
        Self::open(TempDir::new().unwrap(), "127.0.0.1:0").await
    }

    async fn open(data: TempDir, listen: &str) -> Self {
        let log = File::options()
            .create(true)
            .append(true)
            .open(data.path().join("log"))
            .unwrap();
        let mut child = binary()
            .args(["serve", "--listen", listen, "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reading = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, base)) = line.split_once("listens on http://") {
                    return base.trim().to_owned();
                }
            }
            let log = std::fs::read_to_string(data.path().join("log")).unwrap();
            panic!("the host ended before it listened:\n{log}");
        };
        let address = tokio::time::timeout(PATIENCE, reading).await.unwrap();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            data,
            address,
            child,
        }
    }

    /// In good order, and again at the same address.
    pub async fn restart(mut self) -> Self {
        interrupt(&self.child, Signal::TERM);
        self.child.wait().await.unwrap();
        let Self { data, address, .. } = self;
        Self::open(data, &address).await
    }

    /// A command beside it, as one types it in the directory where the host was started.
    pub fn anyport(&self, arguments: &[&str]) -> Command {
        let mut command = binary();
        command
            .args(arguments)
            .env("ANYPORT_DATA", self.data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> Ran {
        run(self.anyport(arguments), "").await
    }

    /// The same with something on standard input.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        run(self.anyport(arguments), input).await
    }

    /// A signed-in account of the simulator channel.
    pub async fn account(&self, user: &str) -> String {
        let set = format!("user={user}");
        let made = self
            .run(&[
                "accounts",
                "create",
                "simulator",
                "--name",
                user,
                "--auth-mode",
                "code",
                "--set",
                &set,
                "--json",
            ])
            .await
            .expect(0)
            .json();
        let id = made["data"]["id"].as_str().unwrap().to_owned();
        self.run_with(&["signin", &id], "123456\n").await.expect(0);
        let running = async {
            loop {
                let shown = self.run(&["accounts", "show", &id, "--json"]).await;
                if shown.expect(0).json()["data"]["runtime_status"] == "running" {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, running).await.unwrap();
        id
    }

    pub fn key(&self) -> String {
        let keys = std::fs::read_to_string(self.data.path().join("trial-keys.json")).unwrap();
        parse(&keys)["workspace"].as_str().unwrap().to_owned()
    }
}

/// With nothing of the environment of whoever runs the tests.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anyport"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ANYPORT_") {
            command.env_remove(name);
        }
    }
    command
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env_remove("NO_COLOR")
        .env("TERM", "xterm-256color");
    command
}

pub async fn run(mut command: Command, input: &str) -> Ran {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Whoever does not read it may be gone already.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output());
    let output = ended.await.expect("the command does not end").unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn interrupt(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
}

/// A command that goes on and prints lines.
pub struct Following {
    pub child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Following {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        line.expect("no line comes").unwrap().expect("it ended")
    }

    pub async fn json(&mut self) -> Value {
        parse(&self.line().await)
    }

    /// The next line of which this holds.
    pub async fn json_where(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let value = self.json().await;
            if holds(&value) {
                return value;
            }
        }
    }

    pub async fn interrupt(mut self) -> i32 {
        interrupt(&self.child, Signal::INT);
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap().unwrap().code().unwrap_or(-1)
    }
}

/// A command at a terminal of its own.
pub struct Terminal {
    child: Child,
    master: File,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    pub fn start(mut command: Command) -> Self {
        let master = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let open = || -> OwnedFd {
            let path = name.to_str().unwrap();
            File::options()
                .read(true)
                .write(true)
                .open(path)
                .unwrap()
                .into()
        };
        let child = command
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap();
        // The command's own descriptors stay with it only.
        drop(command);
        let master = File::from(master);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, seen) = (master.try_clone().unwrap(), shown.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An error: nobody has the terminal open any more.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                seen.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self {
            child,
            master,
            shown,
        }
    }

    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    pub async fn wait_for(&self, text: &str) {
        let waiting = async {
            while !self.shown().contains(text) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("waited in vain for `{text}`:\n{}", self.shown());
        }
    }

    pub fn type_line(&mut self, line: &str) {
        self.master.write_all(line.as_bytes()).unwrap();
        self.master.write_all(b"\n").unwrap();
    }

    pub fn interrupt(&self) {
        interrupt(&self.child, Signal::INT);
    }

    pub async fn end(&mut self) -> i32 {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let code = ended.unwrap().unwrap().code().unwrap_or(-1);
        // What it said last may still be on its way.
        tokio::time::sleep(Duration::from_millis(50)).await;
        code
    }
}
