//! Host-owned connections: dialing under grant, operator policy and address guard, TLS, proxies,
//! framing, one task per open connection, and HTTP requests.
//!
//! Knows no provider, no turn and no storage: the supervisor drives it through the traits of
//! `runtime::port`. Nothing here opens a socket to an address that [`guard`] has not passed, and
//! webhook delivery dials through the same [`Dialer`].

pub mod connection;
pub mod dial;
pub mod egress;
pub mod error;
pub mod fetch;
pub mod framing;
pub mod guard;
pub mod http;
mod link;
pub mod objects;
mod outbox;
pub mod post;
mod proxy;
mod stream;
pub mod tls;

#[cfg(test)]
mod tests;

pub use dial::Dialer;
pub use egress::{OperatorEgress, OperatorRule};
pub use error::{DialError, DialProblem, NetworkError};
pub use guard::{AddressPolicy, OwnPorts};
pub use tls::TlsContext;

use crate::domain::account::Proxy;
use crate::domain::error::Failure;
use crate::domain::policy::NetworkPolicy;
use crate::runtime::port::{
    Connection, ConnectionSink, ConnectionSpec, Connector, EgressGrant, Transport,
};
use crate::telemetry::metrics;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::runtime::Handle;

#[derive(Clone, Debug, Default)]
pub struct NetworkSettings {
    pub policy: AddressPolicy,
    /// PEM files with certificate authorities to trust beside the system's.
    pub extra_ca: Vec<PathBuf>,
    pub operator: OperatorEgress,
    pub metrics: metrics::Network,
}

/// Opens the connections of all accounts.
#[derive(Debug)]
pub struct Network {
    runtime: Handle,
    dialer: Dialer,
    /// What holds without a word of the operator's at run time.
    configured: OperatorEgress,
    policy: RwLock<NetworkPolicy>,
    metrics: metrics::Network,
    /// Connections of HTTP requests that are kept for the next.
    pools: http::Pools,
}

impl Network {
    /// To be called on the tokio runtime that is to run the connections.
    pub fn new(settings: NetworkSettings) -> Result<Arc<Self>, NetworkError> {
        let runtime = Handle::try_current().map_err(|_| NetworkError::NoRuntime)?;
        let tls = TlsContext::load(&settings.extra_ca)?;
        let pools = http::Pools::default();
        pools.keep_tidy(&runtime);
        Ok(Arc::new(Self {
            runtime,
            dialer: Dialer::new(settings.policy, tls),
            configured: settings.operator,
            policy: RwLock::default(),
            metrics: settings.metrics,
            pools,
        }))
    }

    /// The operator's policy from now on, on top of the settings. Connections that are open stay.
    pub fn apply(&self, policy: NetworkPolicy) {
        self.dialer.policy().rules.set(policy.addresses.clone());
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    /// Manifest ∩ configuration ∩ policy ∩ policy for this provider.
    fn admit(
        &self,
        spec: &ConnectionSpec,
        grant: &EgressGrant,
    ) -> Result<egress::Admission, Failure> {
        let admission = egress::admit(spec, grant)?;
        let (Transport::Tcp { host, port } | Transport::Tls { host, port }) = &spec.transport;
        let transport = match spec.transport {
            Transport::Tcp { .. } => "tcp",
            Transport::Tls { .. } => "tls",
        };
        let asked = egress::Asked {
            host,
            port: *port,
            transport,
        };
        self.obey(&asked, &grant.provider)?;
        Ok(admission)
    }

    /// The same for a request; what its path has to begin with, one of them, if that is bounded.
    fn admit_asked(
        &self,
        asked: &egress::Asked<'_>,
        method: &str,
        grant: &EgressGrant,
    ) -> Result<Vec<String>, Failure> {
        let paths = egress::admit_request(asked, method, grant)?;
        self.obey(asked, &grant.provider)?;
        Ok(paths)
    }

    /// What the operator says of it.
    fn obey(&self, asked: &egress::Asked<'_>, provider: &str) -> Result<(), Failure> {
        egress::obey(asked, &self.configured)?;
        let policy = self.policy.read().unwrap_or_else(PoisonError::into_inner);
        egress::obey(asked, &policy.egress)?;
        match policy.providers.get(provider) {
            Some(narrower) => egress::obey(asked, narrower),
            None => Ok(()),
        }
    }

    /// For what is not a provider's connection (webhook delivery, media that clients name): the
    /// same guard and the same trusted authorities.
    pub fn dialer(&self) -> Dialer {
        self.dialer.clone()
    }

    /// The host's own ports; to be filled in as soon as they are known.
    pub fn own_ports(&self) -> &OwnPorts {
        &self.dialer.policy().own
    }
}

impl Connector for Network {
    fn open(
        &self,
        spec: ConnectionSpec,
        grant: Arc<EgressGrant>,
        proxy: Option<Proxy>,
        sink: Arc<dyn ConnectionSink>,
    ) -> Box<dyn Connection> {
        let admitted = self.admit(&spec, &grant);
        Box::new(connection::open(
            &self.runtime,
            self.dialer.clone(),
            spec,
            admitted,
            proxy,
            sink,
            &self.metrics,
        ))
    }
}
