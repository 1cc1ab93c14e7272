//! A supervisor with one signed-in account of the simulator whose channel is in memory: what
//! comes in goes through the account's mailbox and the workers, no socket is in between.

use anyport::domain::{AccountId, WorkspaceId};
use anyport::media::{self, Media, Place};
use anyport::network::fetch::MediaFetcher;
use anyport::network::{Network, NetworkSettings};
use anyport::runtime::normalize::ReplyTokens;
use anyport::runtime::port::http::{HttpClient, HttpFlight, HttpSink, OutgoingRequest};
use anyport::runtime::port::{
    Connection, ConnectionSink, ConnectionSpec, Connector, Credit, EgressGrant, Report,
};
use anyport::runtime::{Engine, EngineSettings};
use anyport::storage::lease::Ownership;
use anyport::storage::sqlite::SqliteSettings;
use anyport::storage::writer::{Writer, WriterSettings};
use anyport::storage::{Store, Workspace};
use anyport::supervisor::MediaParts;
use anyport::supervisor::control::{Control, NewAccount, SignInCall};
use anyport::supervisor::{Settings, Supervisor, service::Parts};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::Semaphore;

/// The bytes of the simulator's component.
pub fn simulator() -> &'static [u8] {
    let bundled = anyport::app::BUNDLED.iter();
    bundled
        .filter(|(name, _)| *name == "simulator")
        .map(|(_, bytes)| *bytes)
        .next()
        .expect("the host carries it")
}

pub fn engine() -> Arc<Engine> {
    let settings = EngineSettings {
        max_instances: 64,
        ..EngineSettings::default()
    };
    Engine::new(settings).expect("the engine starts")
}

/// Tokens that cost nothing.
pub struct NoTokens;

impl ReplyTokens for NoTokens {
    fn seal(&self, _: &AccountId, _: &str, _: &str, _: Option<&str>, _: Option<&str>) -> String {
        String::new()
    }
}

type Sinks = Arc<Mutex<Vec<Arc<dyn ConnectionSink>>>>;

/// The channel: says yes to the sign-in and takes everything else in silence.
struct Channel {
    sinks: Sinks,
    credits: Arc<Semaphore>,
}

struct Line {
    sink: Arc<dyn ConnectionSink>,
    credits: Arc<Semaphore>,
}

/// Nobody asks for it here.
struct NoHttp;

impl HttpClient for NoHttp {
    fn send(&self, _: OutgoingRequest, _: Arc<dyn HttpSink>) -> Box<dyn HttpFlight> {
        unreachable!("the simulator makes no requests")
    }
}

impl Connector for Channel {
    fn open(
        &self,
        _: ConnectionSpec,
        _: Arc<EgressGrant>,
        _: Option<anyport::domain::account::Proxy>,
        sink: Arc<dyn ConnectionSink>,
    ) -> Box<dyn Connection> {
        sink.report(Report::Opened);
        if let Ok(mut sinks) = self.sinks.lock() {
            sinks.push(sink.clone());
        }
        Box::new(Line {
            sink,
            credits: self.credits.clone(),
        })
    }
}

impl Connection for Line {
    fn send(&self, bytes: Vec<u8>, token: Option<u64>) {
        if let Some(token) = token {
            self.sink.report(Report::Flushed { token });
        }
        if bytes.starts_with(b"{\"sign_in\"") {
            let bytes = br#"{"signed_in":{"session":"s","profile":{"id":"1","name":"Ada","username":"ada","phone":"1"}}}"#;
            if let Ok(credit) = self.credits.clone().try_acquire_owned() {
                self.sink.report(Report::Frame {
                    bytes: bytes.to_vec(),
                    credit: Credit(credit),
                });
            }
        }
    }
    fn start_tls(&self, _: String) {}
    fn close(&self) {}
}

pub struct World {
    pub supervisor: Arc<Supervisor>,
    sinks: Sinks,
    credits: Arc<Semaphore>,
    _directory: TempDir,
}

const CREDITS: u32 = 100_000;

impl World {
    pub async fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let settings = SqliteSettings::in_directory(directory.path());
        let store = Arc::new(settings.open().await?);
        let workspace = Workspace {
            id: WorkspaceId::generate(),
            name: "Bench".into(),
            status: "active".into(),
            metadata: serde_json::json!({}),
            account_quota: None,
        };
        store.put_workspace(&workspace).await?;
        let ownership = Ownership::for_ever(&store.acquire().await?);
        let writer = Writer::start(store.clone(), WriterSettings::default());
        let place = Place::Local(directory.path().join("media"));
        let media = Media::open(store.clone(), place, media::Settings::default())?;
        let network = Network::new(NetworkSettings::default())?;
        let media = MediaParts {
            blobs: Arc::new(media.clone()),
            rows: media.rows(),
            fetcher: Arc::new(MediaFetcher::new(network.dialer())),
            keep_ms: media.settings().keep_ms,
        };
        let (sinks, credits) = (Sinks::default(), Arc::new(Semaphore::new(CREDITS as usize)));
        let supervisor = Supervisor::start(Parts {
            store,
            writer,
            connector: Arc::new(Channel {
                sinks: sinks.clone(),
                credits: credits.clone(),
            }),
            http: Arc::new(NoHttp),
            reply_tokens: Arc::new(NoTokens),
            media,
            engine: engine(),
            ownership,
            settings: Settings::new(Arc::new(|_, _| EgressGrant::default())),
            bundled: vec![("simulator".to_owned(), simulator().to_vec())],
        })
        .await?;
        let account = supervisor
            .create_account(NewAccount {
                workspace: workspace.id,
                name: None,
                provider: "simulator".into(),
                region: String::new(),
                status: "active".into(),
                auth_mode: "code".into(),
                metadata: serde_json::json!({}),
                provider_account_ref: None,
                config: serde_json::json!({"server": "nowhere", "port": 1, "user": "ada"}),
                proxy: None,
            })
            .await?;
        let call = SignInCall::Begin {
            method: "code".into(),
            answers: Vec::new(),
        };
        supervisor
            .sign_in(&account.id, call, Duration::from_secs(10))
            .await?;
        Ok(Self {
            supervisor,
            sinks,
            credits,
            _directory: directory,
        })
    }

    /// So many frames that lead to nothing come in; returns when every one had its turn.
    pub async fn empty_turns(&self, count: u32) {
        let sink = self
            .sinks
            .lock()
            .ok()
            .and_then(|sinks| sinks.last().cloned());
        let sink = sink.expect("the account is connected");
        for _ in 0..count {
            let credit = self.credits.clone().acquire_owned().await;
            sink.report(Report::Frame {
                bytes: br#"{"pong":0}"#.to_vec(),
                credit: Credit(credit.expect("the semaphore is open")),
            });
        }
        // A frame gives its credit back when its turn is over.
        let all = self.credits.acquire_many(CREDITS).await;
        drop(all.expect("the semaphore is open"));
    }
}
