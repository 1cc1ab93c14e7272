//! What other hosts on the same database tell this one, and what it finds out by looking.

use crate::delivery::Delivery;
use crate::storage::Store;
use crate::storage::keeper::Keeper;
use crate::storage::lease::Notice;
use crate::storage::writer::Writer;
use crate::supervisor::Supervisor;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Between looks at the log of partitions that another host appends to.
const LOOK_AT_LOG: Duration = Duration::from_millis(500);

/// Passes notices on to the parts that they concern. None: this host is alone.
pub fn listen(
    store: &Arc<dyn Store>,
    keeper: &Arc<Keeper>,
    supervisor: &Arc<Supervisor>,
    delivery: &Delivery,
) -> Option<JoinHandle<()>> {
    let mut notices = store.notices()?;
    let (keeper, supervisor, delivery) = (keeper.clone(), supervisor.clone(), delivery.clone());
    Some(tokio::spawn(async move {
        while let Some(notice) = notices.recv().await {
            tracing::debug!(?notice, "another host told");
            match notice {
                Notice::Free => keeper.look(),
                Notice::HandOver => supervisor.hand_over_waits(),
                Notice::Providers => supervisor.providers_changed(),
                Notice::Endpoint(id) => delivery.reload(&id).await,
            }
        }
    }))
}

/// Wakes those who read the log when another host appended to it. Not told with every commit:
/// notices of a database are a lock that all commits would share.
pub fn follow_log(
    store: Arc<dyn Store>,
    keeper: &Arc<Keeper>,
    writer: Writer,
) -> Option<JoinHandle<()>> {
    store.lease_length()?;
    let ownership = keeper.ownership();
    Some(tokio::spawn(async move {
        let mut before = Vec::new();
        loop {
            tokio::time::sleep(LOOK_AT_LOG).await;
            let epochs = ownership.epochs();
            if epochs.count() == usize::from(crate::domain::PartitionId::COUNT) {
                continue;
            }
            match store.heads().await {
                Ok(heads) if heads != before => {
                    before = heads;
                    writer.log_was_appended();
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "the log cannot be read now"),
            }
        }
    }))
}
