//! Everything on `/metrics`. Each part of the host has a struct of handles; a default one counts
//! where nobody looks, for tests and tools.
//!
//! Labels are bounded: route templates, error codes, provider ids, words of ours. What is counted
//! on the path of a turn is a plain atomic that was resolved when its account was loaded.

mod register;

use super::process::Process;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Seconds = Counter<f64, AtomicU64>;

/// From a millisecond to half a minute.
const LATENCIES: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0,
];

fn latencies() -> Histogram {
    Histogram::new(LATENCIES)
}

/// One installation's metrics.
pub struct Metrics {
    registry: RwLock<Registry>,
    pub http: Http,
    pub turns: Turns,
    pub writer: Writer,
    pub delivery: Delivery,
    pub network: Network,
    pub ingress: Ingress,
    pub traces: Traces,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Request {
    /// The template, as `/v1/accounts/{account_id}`; `none` where nothing was matched.
    pub route: String,
    pub method: &'static str,
    pub status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Route {
    pub route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErrorCode {
    pub code: &'static str,
}

/// The REST API.
#[derive(Clone)]
pub struct Http {
    pub requests: Family<Request, Counter>,
    pub duration: Family<Route, Histogram, fn() -> Histogram>,
    pub errors: Family<ErrorCode, Counter>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(latencies),
            errors: Family::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Provider {
    pub provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Fault {
    pub provider: String,
    pub kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    pub provider: String,
    pub outcome: &'static str,
}

/// Accounts at work, by provider.
#[derive(Clone, Default)]
pub struct Turns {
    families: Families,
    known: Arc<Mutex<HashMap<String, Arc<ProviderMeters>>>>,
}

#[derive(Clone)]
struct Families {
    turns: Family<Provider, Counter>,
    cpu: Family<Provider, Seconds>,
    instances: Family<Provider, Counter>,
    faults: Family<Fault, Counter>,
    sends: Family<Outcome, Counter>,
    send_duration: Histogram,
}

impl Default for Families {
    fn default() -> Self {
        Self {
            turns: Family::default(),
            cpu: Family::default(),
            instances: Family::default(),
            faults: Family::default(),
            sends: Family::default(),
            send_duration: latencies(),
        }
    }
}

impl Turns {
    /// The handles of one provider, for its accounts to hold.
    pub fn of(&self, provider: &str) -> Arc<ProviderMeters> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meters) = known.get(provider) {
            return meters.clone();
        }
        let named = Provider {
            provider: provider.to_owned(),
        };
        let families = &self.families;
        let meters = Arc::new(ProviderMeters {
            turns: families.turns.get_or_create_owned(&named),
            cpu: families.cpu.get_or_create_owned(&named),
            instances: families.instances.get_or_create_owned(&named),
            families: families.clone(),
            provider: provider.to_owned(),
        });
        // What never happened is 0, and not missing.
        for kind in ["trap", "err", "limit"] {
            drop(families.faults.get_or_create(&meters.kind(kind)));
        }
        for outcome in ["sent", "failed", "unknown"] {
            drop(families.sends.get_or_create(&meters.outcome(outcome)));
        }
        known.insert(provider.to_owned(), meters.clone());
        meters
    }
}

/// Of one provider, resolved: counting is an atomic addition.
pub struct ProviderMeters {
    pub turns: Counter,
    /// Of guest threads while they worked for its accounts.
    pub cpu: Seconds,
    pub instances: Counter,
    families: Families,
    provider: String,
}

impl ProviderMeters {
    pub fn fault(&self, kind: &'static str) {
        self.families.faults.get_or_create(&self.kind(kind)).inc();
    }

    /// A send came to its end, so long after it was recorded.
    pub fn send(&self, outcome: &'static str, after: Duration) {
        let sends = &self.families.sends;
        sends.get_or_create(&self.outcome(outcome)).inc();
        self.families.send_duration.observe(after.as_secs_f64());
    }

    fn kind(&self, kind: &'static str) -> Fault {
        Fault {
            provider: self.provider.clone(),
            kind,
        }
    }

    fn outcome(&self, outcome: &'static str) -> Outcome {
        Outcome {
            provider: self.provider.clone(),
            outcome,
        }
    }
}

/// The one writer.
#[derive(Clone)]
pub struct Writer {
    pub commits: Counter,
    pub groups: Counter,
    pub failures: Counter,
    pub duration: Histogram,
    pub events: Counter,
    pub waiting: Gauge,
    pub waiting_bytes: Gauge,
    pub trouble: Gauge,
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            commits: Counter::default(),
            groups: Counter::default(),
            failures: Counter::default(),
            duration: latencies(),
            events: Counter::default(),
            waiting: Gauge::default(),
            waiting_bytes: Gauge::default(),
            trouble: Gauge::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Attempted {
    pub result: &'static str,
}

/// Webhooks.
#[derive(Clone)]
pub struct Delivery {
    pub attempts: Family<Attempted, Counter>,
    pub duration: Histogram,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            attempts: Family::default(),
            duration: latencies(),
        }
    }
}

impl Delivery {
    pub fn attempted(&self, result: &'static str) {
        self.attempts.get_or_create(&Attempted { result }).inc();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Dialed {
    pub result: &'static str,
}

/// Connections of accounts.
#[derive(Clone, Debug, Default)]
pub struct Network {
    pub dialed: Family<Dialed, Counter>,
    pub open: Gauge,
    pub requested: Family<Dialed, Counter>,
}

/// Requests that channels send us.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Called {
    pub provider: String,
    /// As the manifest names it; `none` where there is no such.
    pub route: String,
    pub outcome: &'static str,
}

#[derive(Clone, Debug, Default)]
pub struct Ingress {
    pub requests: Family<Called, Counter>,
}

impl Ingress {
    pub fn called(&self, provider: &str, route: &str, outcome: &'static str) {
        let called = Called {
            provider: provider.to_owned(),
            route: route.to_owned(),
            outcome,
        };
        self.requests.get_or_create(&called).inc();
    }
}

impl Network {
    pub fn requested(&self, result: &'static str) {
        self.requested.get_or_create(&Dialed { result }).inc();
    }

    pub fn dialed(&self, result: &'static str) {
        self.dialed.get_or_create(&Dialed { result }).inc();
    }

    /// Counts a connection until it is dropped.
    pub fn opened(&self) -> Open {
        self.open.inc();
        Open(self.open.clone())
    }
}

#[derive(Debug)]
pub struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Clone, Debug, Default)]
pub struct Traces {
    pub exported: Counter,
    pub dropped: Counter,
}

impl Metrics {
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::default();
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("anyport_build", "This host", build);
        let http = Http::default();
        let turns = Turns::default();
        let writer = Writer::default();
        let delivery = Delivery::default();
        for result in ["delivered", "retry", "given_up", "parked", "gone"] {
            drop(delivery.attempts.get_or_create(&Attempted { result }));
        }
        let network = Network::default();
        for result in ["opened", "failed"] {
            drop(network.dialed.get_or_create(&Dialed { result }));
        }
        for result in ["answered", "failed", "denied"] {
            drop(network.requested.get_or_create(&Dialed { result }));
        }
        let ingress = Ingress::default();
        let traces = Traces::default();
        register::counted(&mut registry, &http, &turns.families);
        register::writer(&mut registry, &writer);
        register::rest(&mut registry, &delivery, &network, &traces);
        register::ingress(&mut registry, &ingress);
        registry.register_collector(Box::new(Process::new()));
        Arc::new(Self {
            registry: RwLock::new(registry),
            http,
            turns,
            writer,
            delivery,
            network,
            ingress,
            traces,
        })
    }

    /// Adds what is not counted but looked at when somebody asks.
    pub fn collect_from(&self, collector: Box<dyn Collector>) {
        let mut registry = self
            .registry
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(collector);
    }

    /// All of it, as OpenMetrics text.
    pub fn encode(&self) -> String {
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        // Writing to memory does not fail; half of a text would be refused by its reader.
        match text::encode(&mut text, &registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }
}
