//! The host as a process of its own, which can be killed. It is this test binary started once
//! more, so that it is never older than what is tested.

use super::{PATIENCE, host::Answer, postgres::TestDatabase};
use anyport::app::{config::ServeArgs, serve};
use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The configuration that the process runs with, in the environment.
const VARIABLE: &str = "ANYPORT_TEST_HOST";

/// Not a test: what [`Home::spawn`] starts.
#[test]
#[ignore = "the host's own process; other tests start it"]
fn host_process() {
    let Some(config) = std::env::var_os(VARIABLE) else {
        return;
    };
    let args = ServeArgs {
        config: Some(config.into()),
        ..ServeArgs::default()
    };
    std::process::exit(serve::serve(&args).into());
}

/// Data and configuration that outlive the processes on them.
pub struct Home {
    directory: TempDir,
    _database: Option<TestDatabase>,
    config: PathBuf,
    log: PathBuf,
    filter: &'static str,
}

/// The keys that a first start printed.
#[derive(Clone, Debug)]
pub struct Keys {
    pub workspace: String,
    pub operator: String,
}

/// A process that listens.
pub struct HostProcess {
    child: Child,
    pub base: String,
    /// Of a first start only.
    pub keys: Option<Keys>,
}

impl Home {
    /// `config`: TOML without `listen` and `data`.
    pub fn new(config: &str) -> Self {
        Self::with(config, None)
    }

    /// On this database.
    pub fn on(database: TestDatabase, config: &str) -> Self {
        Self::with(config, Some(database))
    }

    fn with(config: &str, database: Option<TestDatabase>) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("anyport.toml");
        let data = directory.path().join("data");
        let mut text = format!("listen = \"127.0.0.1:0\"\ndata = {data:?}\n");
        if let Some(database) = &database {
            text += &format!("database = {:?}\n", database.url);
        }
        text += config;
        std::fs::write(&path, text).unwrap();
        Self {
            config: path,
            log: directory.path().join("log"),
            directory,
            filter: "info",
            _database: database,
        }
    }

    /// The same with another log filter.
    pub fn logging(mut self, filter: &'static str) -> Self {
        self.filter = filter;
        self
    }

    /// The host's configuration file.
    pub fn config(&self) -> PathBuf {
        self.config.clone()
    }

    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The key that a host beside another one needs, as an operator copies it.
    pub fn take_operator_key(&self, other: &Self) {
        std::fs::create_dir_all(self.data()).unwrap();
        let key = "operator.key";
        std::fs::copy(other.data().join(key), self.data().join(key)).unwrap();
    }

    /// A key of its own.
    pub fn make_operator_key(&self) {
        std::fs::create_dir_all(self.data()).unwrap();
        let key = anyport::storage::seal::OperatorKey::generate();
        anyport::storage::key::store(&self.data().join("operator.key"), &key).unwrap();
    }

    /// How often the processes have logged this.
    pub fn count(&self, what: &str) -> usize {
        self.log().matches(what).count()
    }

    /// What all processes have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Starts a process and does not wait for anything.
    pub fn spawn(&self) -> Child {
        let me = std::env::current_exe().unwrap();
        let mut command = Command::new(me);
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .unwrap();
        command
            .args(["--exact", "support::process::host_process"])
            .args(["--ignored", "--nocapture"])
            .env(VARIABLE, &self.config)
            .env("ANYPORT_LOG", self.filter)
            .env("RUST_BACKTRACE", "full")
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Starts one and waits until it listens.
    pub async fn start(&self) -> HostProcess {
        match self.listening(self.spawn()).await {
            Some(host) => host,
            None => panic!("the host ended before it listened:\n{}", self.tail()),
        }
    }

    /// Waits until the process listens; none if it ended before.
    pub async fn listening(&self, mut child: Child) -> Option<HostProcess> {
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut base = None;
        let (mut workspace, mut operator) = (None, None);
        let reading = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                let after = |mark: &str| {
                    let (_, rest) = line.split_once(mark)?;
                    Some(rest.trim().to_owned())
                };
                base = base.take().or_else(|| after("Anyport listens on "));
                operator = operator.take().or_else(|| after("operator key:"));
                if let Some(key) = after("API key:") {
                    if key.contains(' ') {
                        return true;
                    }
                    workspace = Some(key);
                }
                if operator.is_some() {
                    return true;
                }
            }
            false
        };
        let listens = tokio::time::timeout(PATIENCE, reading)
            .await
            .unwrap_or_else(|_| panic!("the host does not come up:\n{}", self.tail()));
        // What it prints later must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let keys = workspace.zip(operator).map(|(workspace, operator)| Keys {
            workspace,
            operator,
        });
        listens.then(|| HostProcess {
            child,
            base: base.expect("it says where it listens"),
            keys,
        })
    }

    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

/// What a failed story leaves is worth a look.
impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.directory.disable_cleanup(true);
            println!("data and log stay in {}", self.directory.path().display());
        }
    }
}

impl HostProcess {
    pub fn id(&self) -> u32 {
        self.child.id().expect("it was not waited for")
    }

    /// As a fault of its own would end it, and waits until it is gone.
    pub async fn abort(mut self) {
        let pid = rustix::process::Pid::from_raw(self.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
        self.child.wait().await.unwrap();
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.id().cast_signed()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// SIGTERM, and waits until it is gone.
    pub async fn terminate(mut self) {
        self.signal(Signal::TERM);
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("it stops")
            .unwrap();
    }

    /// Its exit code, once it has ended by itself.
    pub async fn exit_code(mut self) -> i32 {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.expect("it does not end").unwrap();
        status
            .code()
            .expect("it ended by a signal that it did not take")
    }

    /// Did it end by itself?
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

/// A client that goes on with whichever process runs now.
#[derive(Clone)]
pub struct Client {
    pub base: String,
    pub key: String,
    client: reqwest::Client,
}

impl Client {
    pub fn new(base: &str, key: &str) -> Self {
        Self {
            base: base.to_owned(),
            key: key.to_owned(),
            client: reqwest::Client::new(),
        }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base))
            .header("X-Api-Key", &self.key)
            .timeout(PATIENCE)
    }

    /// The error: no whole answer came.
    pub async fn try_send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await?;
        Ok(Answer {
            status,
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        })
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body))
            .await
    }

    pub async fn install(&self, component: &[u8]) {
        let request = self
            .request(Method::POST, "/v1/providers")
            .body(component.to_vec());
        let answer = self.send(request).await;
        assert!(answer.status.is_success(), "{:#}", answer.body);
    }

    pub async fn endpoint(&self, url: &str, events: &[&str]) -> String {
        let endpoint = json!({
            "url": url,
            "subscribed_events": events,
            "retry_policy": {"max_attempts": 1000},
        });
        let made = self
            .post("/v1/webhook-endpoints", endpoint)
            .await
            .expect(201);
        made["data"]["id"].as_str().unwrap().to_owned()
    }

    /// An account of the simulator channel, or of one with its ways, signed in by code.
    pub async fn simulator_account(&self, provider: &str, user: &str) -> String {
        let account = json!({
            "provider": provider,
            "auth_mode": "code",
            "provider_data": {"user": user},
        });
        let made = self.post("/v1/accounts", account).await.expect(201);
        let id = made["data"]["id"].as_str().unwrap().to_owned();
        let auth = format!("/v1/accounts/{id}/auth");
        self.post(&format!("{auth}/start"), json!({}))
            .await
            .expect(200);
        let state = self
            .post(&format!("{auth}/code"), json!({"code": "123456"}))
            .await
            .expect(200);
        assert_eq!(state["data"]["status"], "authorized", "{state:#}");
        id
    }

    /// All sends in a state, newest first.
    pub async fn sends(&self, state: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/messages?state={state}&limit=200{cursor}");
            let page = self.get(&path).await.expect(200);
            all.extend(page["data"]["items"].as_array().unwrap().iter().cloned());
            match page["data"]["next_cursor"].as_str() {
                Some(next) if page["data"]["has_more"] == true => {
                    cursor = format!("&cursor={next}");
                }
                _ => return all,
            }
        }
    }
}
