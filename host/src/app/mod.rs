//! The only place that builds and joins parts: `start` for tests and embedding, `run` for the
//! binary.

pub mod backup;
pub mod config;
mod database;
mod dial;
mod first_start;
pub mod migrate;
mod operator_key;
mod operator_settings;
mod others;
pub mod retention;
mod tokens;
mod welcome;

use crate::api;
use crate::delivery::Delivery;
use crate::network::guard::AddressPolicy;
use crate::network::{Network, NetworkSettings, egress};
use crate::runtime::{Engine, EngineSettings};
use crate::storage::keeper::Keeper;
use crate::storage::lease::Notice;
use crate::storage::sql::SqlStore;
use crate::storage::writer::Writer;
use crate::storage::{Store, writer};
use crate::supervisor::{Supervisor, service};
use anyhow::Context;
use config::Config;
pub use first_start::Keys;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// How long accounts may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(10);

/// A host that runs.
pub struct Running {
    pub address: SocketAddr,
    /// Keys that are known in plain text: those just made, or kept for a trial.
    pub keys: Keys,
    pub store: Arc<SqlStore>,
    pub writer: Writer,
    pub supervisor: Arc<Supervisor>,
    pub simulator: Option<SocketAddr>,
    delivery: Delivery,
    stopping: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
    inbox: JoinHandle<()>,
    keeping: JoinHandle<()>,
    operator_settings: Arc<operator_settings::Settings>,
    /// Tasks that listen to other hosts.
    followers: Vec<JoinHandle<()>>,
    keeper: Arc<Keeper>,
    simulator_server: Option<anyport_simulator::Simulator>,
}

/// Builds everything and starts serving on the listener.
pub async fn start(config: Config, listener: TcpListener) -> anyhow::Result<Running> {
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    private_directory(&config.data)?;
    let store = database::open(&config, address).await?;
    let keeper = Arc::new(Keeper::start(store.clone()).await?);
    let ownership = keeper.ownership();
    let keys = first_start::keys(&*store, &config, &ownership).await?;
    first_start::keep_address(&config, address)?;
    let writer = Writer::start(store.clone(), writer_settings(&config)?);

    let policy = AddressPolicy {
        allow: config.network.allow.clone(),
        allow_loopback: config.trial,
        ..AddressPolicy::default()
    };
    policy.own.add_port(address.port());
    database::guard(&store, &policy.own).await;
    let network = Network::new(NetworkSettings {
        policy,
        extra_ca: config.network.extra_ca.clone(),
        operator: egress::OperatorEgress::default(),
    })?;

    // In effect before any account starts.
    let stored = operator_settings::read(&*store).await?;
    network.apply(stored.policy);

    let simulator_server = start_simulator(&config).await?;
    let simulator = simulator_server
        .as_ref()
        .map(anyport_simulator::Simulator::address);
    let tokens = Arc::new(tokens::Tokens::new(store.token_sealer()));
    let cache = config.data.join("cache");
    private_directory(&cache)?;
    let engine = Engine::new(EngineSettings {
        max_instances: config.runtime.max_instances,
        cache: Some(cache),
        ..EngineSettings::default()
    })
    .map_err(|error| anyhow::anyhow!("{error:?}"))?;

    let settings = supervisor_settings(&config, simulator);
    settings.operator_config.set_live(stored.configs);
    let supervisor = Supervisor::start(service::Parts {
        store: store.clone(),
        writer: writer.clone(),
        connector: network.clone(),
        reply_tokens: tokens.clone(),
        engine,
        ownership: ownership.clone(),
        settings,
        bundled: BUNDLED
            .iter()
            .map(|(id, bytes)| ((*id).to_owned(), bytes.to_vec()))
            .collect(),
    })
    .await?;
    let inbox_directory = config.providers_directory();
    private_directory(&inbox_directory)?;
    let inbox = supervisor.watch(inbox_directory);

    let delivery = Delivery::start(
        store.clone(),
        writer.clone(),
        Arc::new(dial::Guarded(network.dialer())),
        ownership,
        crate::delivery::Settings::default(),
    );
    go_on_rotating(store.clone());
    let shared_store: Arc<dyn Store> = store.clone();
    let followers = [
        others::listen(&shared_store, &keeper, &supervisor, &delivery),
        others::follow_log(shared_store.clone(), &keeper, writer.clone()),
    ];
    let (stopping, stopped) = watch::channel(false);
    let key_use = Arc::new(api::KeyUse::default());
    let operator_settings = operator_settings::Settings::new(
        store.clone(),
        network.clone(),
        supervisor.clone(),
        key_use.clone(),
    );
    let keeping = tokio::spawn(operator_settings.clone().keep());
    let lags = delivery.clone();
    let reload = delivery.clone();
    let trouble = writer.clone();
    let router = api::router(api::ApiState {
        store: store.clone(),
        control: supervisor.clone(),
        operate: supervisor.clone(),
        operator_settings: operator_settings.clone(),
        key_use,
        lag: Arc::new(move |id| lags.lag(id)),
        log: writer.log_changed(),
        stopping: stopped.clone(),
        endpoint_changed: Arc::new(move |id| {
            let (reload, id, store) = (reload.clone(), id.clone(), shared_store.clone());
            tokio::spawn(async move {
                reload.reload(&id).await;
                if let Err(error) = store.notify(&Notice::Endpoint(id)).await {
                    tracing::debug!(%error, "other hosts were not told of an endpoint");
                }
            });
        }),
        trouble: Arc::new(move || trouble.trouble()),
        reply_tokens: tokens,
        settings: api::Settings {
            limits: config.limits.limits(),
            ..api::Settings::default()
        },
    })
    .into_make_service_with_connect_info::<SocketAddr>();
    let mut stopped = stopped;
    let serving = tokio::spawn(async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(async move {
                let _ = stopped.wait_for(|stopping| *stopping).await;
            })
            .await
    });
    Ok(Running {
        address,
        keys,
        store,
        writer,
        supervisor,
        simulator,
        delivery,
        stopping,
        serving,
        inbox,
        keeping,
        operator_settings,
        followers: followers.into_iter().flatten().collect(),
        keeper,
        simulator_server,
    })
}

impl Running {
    /// Stops taking requests, lets accounts say goodbye, commits what is left and gives up what
    /// this host owns, so that another one goes on at once.
    pub async fn stop(self) {
        let _ = self.stopping.send(true);
        self.inbox.abort();
        self.keeping.abort();
        if tokio::time::timeout(GOODBYE, self.serving).await.is_err() {
            tracing::warn!("some requests did not end in time");
        }
        self.supervisor.shutdown(GOODBYE).await;
        self.delivery.shutdown().await;
        self.operator_settings.write_down().await;
        self.writer.shutdown().await;
        for follower in &self.followers {
            follower.abort();
        }
        self.keeper.release().await;
        if let Some(simulator) = self.simulator_server {
            simulator.stop().await;
        }
    }
}

/// Serves until `shutdown` is ready.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    forbid_core_dumps();
    let trial = config.trial;
    let directory = config.data.clone();
    let running = start(config, listener).await?;
    welcome::print(&running, trial, &directory);
    shutdown.await;
    tracing::info!("stopping");
    running.stop().await;
    Ok(())
}

/// A rotation of the operator's key that a process before began.
fn go_on_rotating(store: Arc<SqlStore>) {
    tokio::spawn(async move {
        if let Err(error) = api::rotate_all(store).await {
            tracing::error!(%error, "the rotation of the operator key does not go on");
        }
    });
}

/// What is kept for a short time only is tidied more often.
fn writer_settings(config: &Config) -> anyhow::Result<writer::WriterSettings> {
    let mut settings = writer::WriterSettings::default();
    let retention = config.retention.check()?;
    let shortest = retention.events_ms.min(retention.attempts_ms);
    let often = Duration::from_millis(shortest / 10).max(Duration::from_millis(100));
    settings.tidy_interval = settings.tidy_interval.min(often);
    Ok(settings)
}

/// The memory of the process holds keys and messages: it must not end up in a file.
fn forbid_core_dumps() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = Rlimit {
        current: Some(0),
        ..getrlimit(Resource::Core)
    };
    if let Err(error) = setrlimit(Resource::Core, limit) {
        tracing::warn!(%error, "a crash may write the process's memory, with its keys, to a file");
    }
}

async fn start_simulator(config: &Config) -> anyhow::Result<Option<anyport_simulator::Simulator>> {
    if !config.runs_simulator() {
        return Ok(None);
    }
    let listener = TcpListener::bind(config.simulator.listen)
        .await
        .with_context(|| format!("the simulator cannot listen on {}", config.simulator.listen))?;
    Ok(Some(anyport_simulator::Simulator::start(
        listener,
        anyport_simulator::Settings::default(),
    )?))
}

fn supervisor_settings(
    config: &Config,
    simulator: Option<SocketAddr>,
) -> crate::supervisor::Settings {
    let grants = Arc::new(
        |manifest: &crate::domain::manifest::Manifest, config: &serde_json::Value| {
            egress::grant(&manifest.id, &manifest.egress, config)
        },
    );
    let mut settings = crate::supervisor::Settings::new(grants);
    settings.flat_mirrors = config.webhooks.flat_mirrors;
    settings.send_deadline_ms = config.runtime.send_deadline_s.saturating_mul(1000);
    if let Some(threads) = config.runtime.guest_threads {
        settings.guest_threads = threads;
    }
    settings.fault_injection.clone_from(&config.fault_injection);
    let mut providers = config.provider.clone();
    if let Some(address) = simulator {
        providers.entry("simulator".to_owned()).or_insert_with(
            || serde_json::json!({"server": address.ip().to_string(), "port": address.port()}),
        );
    }
    settings.operator_config = crate::supervisor::OperatorConfig::new(providers);
    settings
}

/// Made with mode 0700.
fn private_directory(path: &Path) -> anyhow::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("the directory {} cannot be made", path.display()))
}
