//! Puts what storage has of the operator's settings and of workspaces into effect: at the start,
//! after each change on this host, and every few seconds for what another host has changed. Also
//! writes down what is only counted in memory: usage, and when keys were used.

use crate::api::{KeyUse, NETWORK_POLICY, OperatorSettings, PROVIDER_CONFIG};
use crate::domain::Timestamp;
use crate::domain::policy::NetworkPolicy;
use crate::domain::usage::DailyUsage;
use crate::network::Network;
use crate::storage::{StorageError, Store};
use crate::supervisor::operate::Operate;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::MissedTickBehavior;

const RELOAD_EVERY: Duration = Duration::from_secs(5);
/// Reloads between two times of writing down.
const WRITE_EVERY: u32 = 12;

pub struct Settings {
    store: Arc<dyn Store>,
    network: Arc<Network>,
    operate: Arc<dyn Operate>,
    key_use: Arc<KeyUse>,
    /// One at a time, so that what was read later is in effect later.
    applying: Mutex<()>,
    /// Usage that storage did not take yet.
    owed: Mutex<Vec<DailyUsage>>,
}

impl Settings {
    pub fn new(
        store: Arc<dyn Store>,
        network: Arc<Network>,
        operate: Arc<dyn Operate>,
        key_use: Arc<KeyUse>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            network,
            operate,
            key_use,
            applying: Mutex::default(),
            owed: Mutex::default(),
        })
    }

    /// Until the task is aborted.
    pub async fn keep(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(RELOAD_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = 0;
        loop {
            ticks.tick().await;
            if let Err(error) = self.reload().await {
                tracing::debug!(%error, "the operator's settings cannot be read now");
            }
            round = (round + 1) % WRITE_EVERY;
            if round == 0 {
                self.write_down().await;
            }
        }
    }

    pub async fn write_down(&self) {
        if let Err(error) = self.key_use.flush(&*self.store).await {
            tracing::debug!(%error, "last uses of keys are written down later");
        }
        let day = Timestamp::now().day();
        let mut owed = self.owed.lock().await;
        owed.extend(
            self.operate
                .take_usage()
                .into_iter()
                .map(|(workspace, account, usage)| DailyUsage {
                    workspace,
                    account,
                    day,
                    usage,
                }),
        );
        let owed_now = together(std::mem::take(&mut *owed));
        if let Err(error) = self.store.add_usage(&owed_now).await {
            tracing::debug!(%error, "usage is written down later");
            *owed = owed_now;
        }
    }
}

/// One row per account and day, as storage wants it.
fn together(rows: Vec<DailyUsage>) -> Vec<DailyUsage> {
    let mut sums: BTreeMap<_, DailyUsage> = BTreeMap::new();
    for row in rows {
        let name = (row.workspace.clone(), row.account.clone(), row.day);
        match sums.get_mut(&name) {
            Some(sum) => sum.usage.add(&row.usage),
            None => drop(sums.insert(name, row)),
        }
    }
    sums.into_values().collect()
}

/// What storage has of the operator's settings.
pub struct Stored {
    pub policy: NetworkPolicy,
    /// By provider id.
    pub configs: BTreeMap<String, serde_json::Value>,
}

pub async fn read(store: &dyn Store) -> Result<Stored, StorageError> {
    let damaged = |name: &str, error: serde_json::Error| {
        StorageError::Unusable(format!("the operator's setting {name} is damaged: {error}"))
    };
    let mut stored = Stored {
        policy: NetworkPolicy::default(),
        configs: BTreeMap::new(),
    };
    for (name, value) in store.settings().await? {
        if name == NETWORK_POLICY {
            stored.policy =
                serde_json::from_slice(&value).map_err(|error| damaged(&name, error))?;
        } else if let Some(provider) = name.strip_prefix(PROVIDER_CONFIG) {
            let config = serde_json::from_slice(&value).map_err(|error| damaged(&name, error))?;
            stored.configs.insert(provider.to_owned(), config);
        }
    }
    Ok(stored)
}

#[async_trait]
impl OperatorSettings for Settings {
    async fn reload(&self) -> Result<(), StorageError> {
        let _one = self.applying.lock().await;
        let stored = read(&*self.store).await?;
        let mut workspaces = self.store.workspaces().await?;
        workspaces.retain(|workspace| !workspace.is_active());
        let resting = workspaces
            .into_iter()
            .map(|workspace| workspace.id)
            .collect();
        self.network.apply(stored.policy);
        self.operate.set_configs(stored.configs).await;
        self.operate.set_resting(resting).await;
        Ok(())
    }
}
