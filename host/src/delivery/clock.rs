//! Time and chance as delivery sees them: ports, so that tests hold them in hand.

use crate::domain::Timestamp;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
    /// Ends when the clock shows `at` or later.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()>;
}

/// A number from 0 up to 1, which spreads retries.
pub type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

/// The system's wall clock. It may be set while something sleeps, so sleeps look again.
pub struct SystemClock;

const LOOK_AGAIN_MS: u64 = 30_000;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                let left = at.since(Timestamp::now());
                if left == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(left.min(LOOK_AGAIN_MS))).await;
            }
        })
    }
}

pub fn system_jitter() -> Jitter {
    Arc::new(|| f64::from(getrandom::u32().unwrap_or_default()) / (f64::from(u32::MAX) + 1.0))
}

/// Stands still until it is moved.
#[cfg(test)]
pub(crate) struct ManualClock(tokio::sync::watch::Sender<u64>);

#[cfg(test)]
impl ManualClock {
    pub fn at(ms: u64) -> Arc<Self> {
        Arc::new(Self(tokio::sync::watch::channel(ms).0))
    }

    pub fn advance(&self, ms: u64) {
        self.0.send_modify(|now| *now += ms);
    }
}

#[cfg(test)]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(*self.0.borrow())
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let mut now = self.0.subscribe();
        Box::pin(async move {
            if now.wait_for(|now| *now >= at.0).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}
