//! What `/readyz` looks at: may traffic come to this host now?

use crate::api::health::{Readiness, Report};
use crate::domain::PartitionId;
use crate::storage::Store;
use crate::storage::writer::Writer;
use crate::supervisor::Supervisor;
use async_trait::async_trait;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

/// For a database that hangs; it is not ready then.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which part of the log this host owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    pub partitions: usize,
    /// Another host owns the rest, and this one waits to take over.
    pub standby: bool,
}

pub struct HostReadiness {
    pub store: Arc<dyn Store>,
    pub writer: Writer,
    pub ownership: Arc<dyn Fn() -> Ownership + Send + Sync>,
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
        report.check("leases", leases((self.ownership)()));
        report.check("providers", self.providers());
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

fn leases(owned: Ownership) -> Result<Option<String>, String> {
    let all = usize::from(PartitionId::COUNT);
    let held = owned.partitions;
    match owned.standby {
        true => Err(format!(
            "standby: {held} of {all} partitions; another host owns the others"
        )),
        false if held < all => Err(format!("{held} of {all} partitions are held")),
        false => Ok(Some(format!("{all} of {all} partitions"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_is_not_ready_and_says_so() {
        let of = |partitions, standby| {
            leases(Ownership {
                partitions,
                standby,
            })
        };
        assert!(of(64, false).is_ok());
        assert!(of(0, true).unwrap_err().starts_with("standby"));
        assert!(of(63, false).unwrap_err().contains("63 of 64"));
    }
}
