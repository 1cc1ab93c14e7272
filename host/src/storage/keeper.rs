//! Keeps this host's leases: acquires what is free, renews what it has, tells [`Ownership`].
//!
//! Runs on a thread of its own with a runtime of its own, so that a busy host does not lose its
//! partitions, and renews on what storage keeps apart for it. Never decides by its own clock that
//! another host is dead: storage does.

use super::lease::{Lease, Ownership, now_ms};
use super::{StorageError, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

/// Between renewals of a host that owns everything.
const RENEW: Duration = Duration::from_millis(2_500);
/// Between looks for free partitions, and after a failed renewal.
const LOOK: Duration = Duration::from_secs(1);
/// The longest that storage may take for an answer.
const ANSWER: Duration = Duration::from_secs(4);
/// Of the first question, a second apart.
const FIRST_TRIES: u32 = 10;
/// The clocks of two machines may differ in rate: a lease ends here a little earlier than there.
const MARGIN_MS: u64 = 250;

pub struct Keeper {
    ownership: Arc<Ownership>,
    /// None: leases for ever.
    orders: Option<mpsc::UnboundedSender<Order>>,
}

enum Order {
    /// Partitions may have become free.
    Look,
    Release(oneshot::Sender<()>),
}

impl Keeper {
    /// Takes what is free now; returns when storage has said what is ours.
    pub async fn start(store: Arc<dyn Store>) -> Result<Self, StorageError> {
        let Some(length) = store.lease_length() else {
            let leases = store.acquire().await?;
            return Ok(Self {
                ownership: Ownership::for_ever(&leases),
                orders: None,
            });
        };
        let ownership = Ownership::none();
        let (orders, received) = mpsc::unbounded_channel();
        let (began, begins) = oneshot::channel();
        let work = Work {
            store,
            length_ms: u64::try_from(length.as_millis()).unwrap_or(u64::MAX / 2),
            ownership: ownership.clone(),
            troubled: false,
        };
        std::thread::Builder::new()
            .name("anyport-lease".to_owned())
            .spawn(move || {
                match tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                {
                    Ok(runtime) => runtime.block_on(work.run(received, began)),
                    Err(error) => {
                        let error = StorageError::Unavailable(error.to_string());
                        let _ = began.send(Err(error));
                    }
                }
            })
            .map_err(|error| StorageError::Unavailable(error.to_string()))?;
        begins.await.unwrap_or_else(|_| {
            Err(StorageError::Unavailable(
                "the thread for leases ended".to_owned(),
            ))
        })?;
        Ok(Self {
            ownership,
            orders: Some(orders),
        })
    }

    pub fn ownership(&self) -> Arc<Ownership> {
        self.ownership.clone()
    }

    /// Partitions may have become free: look now.
    pub fn look(&self) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(Order::Look);
        }
    }

    /// Gives up all that is ours, so that another host goes on at once. Nothing may be committed
    /// or flushed any more by then.
    pub async fn release(&self) {
        let Some(orders) = &self.orders else { return };
        let (done, wait) = oneshot::channel();
        if orders.send(Order::Release(done)).is_ok() {
            let _ = wait.await;
        }
    }
}

struct Work {
    store: Arc<dyn Store>,
    length_ms: u64,
    ownership: Arc<Ownership>,
    troubled: bool,
}

impl Work {
    async fn run(
        mut self,
        mut orders: mpsc::UnboundedReceiver<Order>,
        began: oneshot::Sender<Result<(), StorageError>>,
    ) {
        let first = self.first().await;
        let failed = first.is_err();
        let _ = began.send(first.map(drop));
        if failed {
            return;
        }
        let mut next = Instant::now() + LOOK;
        loop {
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.ownership.doubted.notified() => {}
                order = orders.recv() => match order {
                    Some(Order::Look) => {}
                    Some(Order::Release(done)) => {
                        self.release().await;
                        let _ = done.send(());
                        return;
                    }
                    // The host is gone without a word: its leases run out.
                    None => return,
                }
            }
            let asked = Instant::now();
            let pause = match self.renew_and_look().await {
                Ok(true) => RENEW,
                Ok(false) => LOOK,
                Err(error) => {
                    if !std::mem::replace(&mut self.troubled, true) {
                        tracing::warn!(%error, "the lease cannot be renewed, trying again");
                    }
                    LOOK
                }
            };
            next = asked + pause;
        }
    }

    /// A host that was stopped in the middle of a commit may hold rows for a few seconds.
    async fn first(&self) -> Result<usize, StorageError> {
        let mut tries = 0;
        loop {
            match self.acquire().await {
                Err(StorageError::Unavailable(error)) if tries < FIRST_TRIES => {
                    tracing::warn!(error, "the database does not say yet what is free");
                    tries += 1;
                    tokio::time::sleep(LOOK).await;
                }
                // It may have been taken by a try whose answer was lost.
                Ok(0) => {
                    let asked = now_ms();
                    let mine = self.ask(self.store.renew()).await?;
                    self.ownership.renewed(&mine, self.until(asked));
                    return Ok(mine.len());
                }
                result => return result,
            }
        }
    }

    /// True: everything is ours.
    async fn renew_and_look(&mut self) -> Result<bool, StorageError> {
        let asked = now_ms();
        let mine = self.ask(self.store.renew()).await?;
        if std::mem::replace(&mut self.troubled, false) {
            tracing::info!("the lease is renewed again");
        }
        let before = self.ownership.epochs();
        self.ownership.renewed(&mine, self.until(asked));
        let now = self.ownership.epochs();
        let lost = before.beyond(&now);
        if !lost.is_empty() {
            tracing::warn!(
                partitions = lost.len(),
                "another host took partitions over; their accounts are let go"
            );
        }
        if now.count() == crate::domain::PartitionId::all().count() {
            return Ok(true);
        }
        Ok(self.acquire().await? == crate::domain::PartitionId::all().count())
    }

    /// How many are ours then.
    async fn acquire(&self) -> Result<usize, StorageError> {
        let asked = now_ms();
        let taken: Vec<Lease> = self.ask(self.store.acquire()).await?;
        if !taken.is_empty() {
            tracing::info!(partitions = taken.len(), "acquired partitions");
        }
        self.ownership.acquired(&taken, self.until(asked));
        Ok(self.ownership.epochs().count())
    }

    async fn release(&self) {
        self.ownership.renewed(&[], 0);
        if let Err(error) = self.ask(self.store.release()).await {
            tracing::warn!(%error, "the lease could not be given up; it runs out by itself");
        }
    }

    fn until(&self, asked_ms: u64) -> u64 {
        (asked_ms + self.length_ms).saturating_sub(MARGIN_MS)
    }

    async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        timeout(ANSWER, question).await.unwrap_or_else(|_| {
            Err(StorageError::Unavailable(
                "no answer about the lease in time".to_owned(),
            ))
        })
    }
}
