//! The only place that builds and joins parts: `start` for tests and embedding, `run` for the
//! binary.

pub mod backup;
mod collect;
pub mod config;
mod database;
mod dial;
pub mod doctor;
mod first_start;
pub mod health;
mod management;
mod media;
pub mod migrate;
mod notify;
mod operator_key;
mod operator_settings;
mod others;
mod readiness;
pub mod retention;
pub mod serve;
mod tokens;
mod traces;
mod welcome;
pub mod workshop;

use crate::api;
use crate::delivery::Delivery;
use crate::media::Media;
use crate::network::guard::AddressPolicy;
use crate::network::{Network, NetworkSettings, egress};
use crate::runtime::limits::Limits;
use crate::runtime::{Engine, EngineSettings};
use crate::storage::keeper::Keeper;
use crate::storage::lease::Notice;
use crate::storage::sql::SqlStore;
use crate::storage::writer::Writer;
use crate::storage::{Store, writer};
use crate::supervisor::{Supervisor, service};
use crate::telemetry::{Exporter, Metrics, Tracer};
use anyhow::Context;
use config::Config;
pub use first_start::Keys;
use notify::Notify;
use readiness::HostReadiness;
use serve::Patience;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// Bodies of channels' requests that are read at once.
const INGRESS_READING: usize = 256;

/// A host that runs.
pub struct Running {
    pub address: SocketAddr,
    /// Keys that are known in plain text: those just made, or kept for a trial.
    pub keys: Keys,
    pub store: Arc<SqlStore>,
    pub writer: Writer,
    pub supervisor: Arc<Supervisor>,
    pub simulator: Option<SocketAddr>,
    /// Where metrics and health are asked for without a key.
    pub management: Option<SocketAddr>,
    pub metrics: Arc<Metrics>,
    delivery: Delivery,
    shutdown: config::ShutdownConfig,
    /// A stop was asked for.
    leaving: watch::Sender<bool>,
    /// No more requests.
    stopping: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
    managing: Option<JoinHandle<std::io::Result<()>>>,
    exporter: Option<Exporter>,
    inbox: JoinHandle<()>,
    keeping: JoinHandle<()>,
    tidying: JoinHandle<()>,
    pub media: Media,
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
    let metrics = Metrics::new();
    let patience = Patience::within(Duration::from_secs(config.shutdown.within_s));
    let writer = Writer::start(
        store.clone(),
        writer::WriterSettings {
            shutdown_patience: patience.writer,
            metrics: metrics.writer.clone(),
            tidy_interval: tidy_interval(&config)?,
            ..writer::WriterSettings::default()
        },
    );
    let (leaving, is_leaving) = watch::channel(false);
    let readiness = Arc::new(HostReadiness {
        store: store.clone(),
        writer: writer.clone(),
        leaving: is_leaving,
        supervisor: OnceLock::new(),
    });

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
        metrics: metrics.network.clone(),
    })?;
    let (tracer, exporter) = traces::start(&config.otlp, &network, &metrics)?;
    let operations = api::Operations {
        readiness: readiness.clone(),
        metrics: metrics.clone(),
        tracer: tracer.clone(),
    };
    let (management, managing) = management::start(&config, operations.clone()).await?;
    if let Some(address) = management {
        network.own_ports().add_port(address.port());
    }

    // In effect before any account starts.
    let stored = operator_settings::read(&*store).await?;
    network.apply(stored.policy);

    let simulator_server = start_simulator(&config).await?;
    let simulator = simulator_server
        .as_ref()
        .map(anyport_simulator::Simulator::address);
    let tokens = Arc::new(tokens::Tokens::new(
        store.token_sealer(),
        config.public_url.as_deref(),
        address,
    ));
    let media = media::open(&config, store.clone(), &network)?;
    let cache = config.data.join("cache");
    private_directory(&cache)?;
    let engine = Engine::new(EngineSettings {
        max_instances: config.runtime.max_instances,
        limits: Limits {
            blob_bytes: config.media.max_bytes,
            ..Limits::default()
        },
        cache: Some(cache),
        ..EngineSettings::default()
    })
    .map_err(|error| anyhow::anyhow!("{error:?}"))?;

    let settings = supervisor_settings(&config, simulator, &metrics, &tracer);
    settings.operator_config.set_live(stored.configs);
    let supervisor = Supervisor::start(service::Parts {
        store: store.clone(),
        writer: writer.clone(),
        connector: network.clone(),
        http: network.clone(),
        reply_tokens: tokens.clone(),
        media: media::parts(&media, &network),
        engine,
        ownership: ownership.clone(),
        settings,
        bundled: BUNDLED
            .iter()
            .map(|(id, bytes)| ((*id).to_owned(), bytes.to_vec()))
            .collect(),
    })
    .await?;
    let _ = readiness.supervisor.set(supervisor.clone());
    let inbox_directory = config.providers_directory();
    private_directory(&inbox_directory)?;
    let inbox = supervisor.watch(inbox_directory);

    let delivery = Delivery::start(
        store.clone(),
        writer.clone(),
        Arc::new(dial::Guarded(network.dialer())),
        ownership,
        crate::delivery::Settings {
            grace: patience.deliveries / 2,
            metrics: metrics.delivery.clone(),
            tracer,
            ..crate::delivery::Settings::default()
        },
    );
    go_on_rotating(store.clone());
    metrics.collect_from(Box::new(collect::Looked {
        supervisor: supervisor.clone(),
        delivery: delivery.clone(),
    }));
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
        operations,
        sealer: tokens.clone(),
        ingress: api::IngressState {
            tokens: tokens.clone(),
            public_url: config.public_url(),
            reading: Semaphore::new(INGRESS_READING),
        },
        reply_tokens: tokens,
        blobs: Arc::new(media.clone()),
        blob_rows: media.rows(),
        settings: api::Settings {
            limits: config.limits.limits(),
            media_bytes: media.settings().max_bytes,
            media_keep_ms: media.settings().keep_ms,
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
        management,
        metrics,
        delivery,
        shutdown: config.shutdown,
        leaving,
        stopping,
        serving,
        managing,
        exporter,
        inbox,
        keeping,
        tidying: media::keep_tidy(&media),
        media,
        operator_settings,
        followers: followers.into_iter().flatten().collect(),
        keeper,
        simulator_server,
    })
}

impl Running {
    /// Stops taking requests, lets accounts say goodbye, commits what is left and gives up what
    /// this host owns, so that another one goes on at once. False: not all of it was done in time.
    pub async fn stop(self) -> bool {
        let patience = Patience::within(Duration::from_secs(self.shutdown.within_s));
        let _ = self.leaving.send(true);
        if self.shutdown.drain_s > 0 {
            tracing::info!(seconds = self.shutdown.drain_s, "draining");
            tokio::time::sleep(Duration::from_secs(self.shutdown.drain_s)).await;
        }
        let _ = self.stopping.send(true);
        self.inbox.abort();
        self.keeping.abort();
        self.tidying.abort();
        let mut in_time = true;
        let mut step = |what: &str, done: bool| {
            if !done {
                tracing::warn!("{what} did not end in time");
                in_time = false;
            }
        };
        let ended = timeout(patience.requests, self.serving).await;
        step("some requests", ended.is_ok());
        let stopped = self.supervisor.shutdown(patience.accounts).await;
        step("some accounts", stopped);
        let ended = timeout(patience.deliveries, self.delivery.shutdown()).await;
        step("some deliveries", ended.is_ok());
        let written = timeout(patience.rest, self.operator_settings.write_down()).await;
        step("the last counts", written.is_ok());
        // It has a patience of its own; this is for a database that hangs.
        let ended = timeout(patience.writer * 5 / 4, self.writer.shutdown()).await;
        step("the last commits", ended.is_ok());
        for follower in &self.followers {
            follower.abort();
        }
        let released = timeout(patience.rest, self.keeper.release()).await;
        step("giving up what it owns", released.is_ok());
        if let Some(simulator) = self.simulator_server {
            simulator.stop().await;
        }
        if let Some(exporter) = self.exporter {
            exporter.shutdown(patience.traces).await;
        }
        if let Some(managing) = self.managing {
            managing.abort();
        }
        let closed = timeout(patience.rest, self.store.close()).await;
        step("closing the database", closed.is_ok());
        in_time
    }
}

/// Serves until `shutdown` is ready. False: the stop ran out of time.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<bool> {
    forbid_core_dumps();
    let trial = config.trial;
    let directory = config.data.clone();
    let notify = Notify::from_environment();
    let running = start(config, listener).await?;
    welcome::print(&running, trial, &directory);
    notify.ready(&format!("listens on {}", running.address));
    shutdown.await;
    tracing::info!("stopping");
    notify.stopping();
    Ok(running.stop().await)
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
fn tidy_interval(config: &Config) -> anyhow::Result<Duration> {
    let retention = config.retention.check()?;
    let shortest = retention.events_ms.min(retention.attempts_ms);
    let often = Duration::from_millis(shortest / 10).max(Duration::from_millis(100));
    Ok(often.min(writer::WriterSettings::default().tidy_interval))
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
    metrics: &Metrics,
    tracer: &Tracer,
) -> crate::supervisor::Settings {
    let grants = Arc::new(
        |manifest: &crate::domain::manifest::Manifest, config: &serde_json::Value| {
            let mut grant = egress::grant(&manifest.id, &manifest.egress, config);
            grant.placements = egress::placements(&manifest.secrets.placements, config);
            grant
        },
    );
    let mut settings = crate::supervisor::Settings::new(grants);
    settings.flat_mirrors = config.webhooks.flat_mirrors;
    settings.send_deadline_ms = config.runtime.send_deadline_s.saturating_mul(1000);
    settings.command_ms = config.runtime.command_timeout_s.saturating_mul(1000);
    settings.open_commands = config.runtime.open_commands as usize;
    if let Some(threads) = config.runtime.guest_threads {
        settings.guest_threads = threads;
    }
    settings
        .unverified_ingress
        .clone_from(&config.ingress.unverified);
    settings.metrics = metrics.turns.clone();
    settings.ingress_metrics = metrics.ingress.clone();
    settings.tracer = tracer.clone();
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
