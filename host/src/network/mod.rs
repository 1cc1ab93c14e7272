//! Host-owned connections: dialing under grant, operator policy and address guard, TLS, proxies,
//! framing, and one task per open connection.
//!
//! Knows no provider, no turn and no storage: the supervisor drives it through the traits of
//! `runtime::port`. Nothing here opens a socket to an address that [`guard`] has not passed, and
//! webhook delivery dials through the same [`Dialer`].

pub mod connection;
pub mod dial;
pub mod egress;
pub mod error;
pub mod framing;
pub mod guard;
mod link;
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
use crate::runtime::port::{Connection, ConnectionSink, ConnectionSpec, Connector, EgressGrant};
use crate::telemetry::metrics;
use std::path::PathBuf;
use std::sync::Arc;
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
    operator: OperatorEgress,
    metrics: metrics::Network,
}

impl Network {
    /// To be called on the tokio runtime that is to run the connections.
    pub fn new(settings: NetworkSettings) -> Result<Arc<Self>, NetworkError> {
        let runtime = Handle::try_current().map_err(|_| NetworkError::NoRuntime)?;
        let tls = TlsContext::load(&settings.extra_ca)?;
        Ok(Arc::new(Self {
            runtime,
            dialer: Dialer::new(settings.policy, tls),
            operator: settings.operator,
            metrics: settings.metrics,
        }))
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
        let admitted = egress::admit(&spec, &grant, &self.operator);
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
