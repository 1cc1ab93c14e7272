//! What `/readyz` looks at: may traffic come to this host now?

use crate::api::health::{LEASES, Readiness, Report, STANDBY};
use crate::storage::Store;
use crate::storage::lease::OwnershipState;
use crate::storage::writer::Writer;
use crate::supervisor::Supervisor;
use crate::supervisor::control::Control as _;
use async_trait::async_trait;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

/// For a database that hangs; it is not ready then.
const PATIENCE: Duration = Duration::from_secs(2);

pub struct HostReadiness {
    pub store: Arc<dyn Store>,
    pub writer: Writer,
    /// True from the moment a stop was asked for.
    pub leaving: watch::Receiver<bool>,
    /// Filled once it is there.
    pub supervisor: OnceLock<Arc<Supervisor>>,
}

#[async_trait]
impl Readiness for HostReadiness {
    async fn look(&self) -> Report {
        let mut report = Report::default();
        let leaving = *self.leaving.borrow();
        report.check(
            "process",
            if leaving {
                Err("the host is shutting down".to_owned())
            } else {
                Ok(None)
            },
        );
        report.check("database", self.database().await.map(|()| None));
        let ownership = match self.supervisor.get() {
            Some(supervisor) => supervisor.ownership(),
            None => OwnershipState::Starting,
        };
        report.check(LEASES, leases(ownership));
        // A standby loads them when it takes over.
        if ownership != OwnershipState::Standby {
            report.check("providers", self.providers());
        }
        report
    }
}

impl HostReadiness {
    async fn database(&self) -> Result<(), String> {
        if let Some(trouble) = self.writer.trouble() {
            return Err(trouble);
        }
        match tokio::time::timeout(PATIENCE, self.store.heads()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!(
                "reading takes longer than {} s",
                PATIENCE.as_secs()
            )),
        }
    }

    fn providers(&self) -> Result<Option<String>, String> {
        let Some(supervisor) = self.supervisor.get() else {
            return Err("they are not loaded yet".to_owned());
        };
        match supervisor.loaded_providers() {
            0 => Err("none is installed that runs".to_owned()),
            count => Ok(Some(format!("{count} loaded"))),
        }
    }
}

fn leases(ownership: OwnershipState) -> Result<Option<String>, String> {
    match ownership {
        OwnershipState::Active { partitions } => Ok(Some(format!("{partitions} partitions"))),
        OwnershipState::Starting => {
            Err("the accounts of this host are being brought back".to_owned())
        }
        OwnershipState::Standby => Err(STANDBY.to_owned()),
    }
}
