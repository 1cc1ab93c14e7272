//! What operators may ask beyond what clients may: versions of providers and their grants, which
//! version an account runs, workspaces that rest, and how everything stands.

use super::Supervisor;
use super::accounts::signed_in_and_wanted;
use super::control::Refusal;
use super::mailbox::Order;
use super::schema;
use crate::domain::account::RuntimeStatus;
use crate::domain::grant::Grant;
use crate::domain::usage::Usage;
use crate::domain::{AccountId, Timestamp, WorkspaceId};
use crate::runtime::{Provider, check};
use crate::storage::StorageError;
use crate::storage::lease::{Epochs, Notice};
use async_trait::async_trait;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// The longest that an account's move to another version is waited for.
const MOVED: Duration = Duration::from_secs(30);
/// Name of a setting: `grant/<provider>`.
const GRANT: &str = "grant/";

/// A version that was installed once.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    pub digest: String,
    pub version: String,
    pub installed_at: Timestamp,
    pub current: bool,
    /// Accounts of this host that run it.
    pub accounts: u64,
    /// It asks for more than is granted, and waits for an operator's approval.
    pub beyond: Option<Grant>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Versions {
    pub provider: String,
    pub granted: Grant,
    /// Newest first.
    pub versions: Vec<Version>,
}

/// One account, for those who look after the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub account: AccountId,
    pub workspace: WorkspaceId,
    pub provider: String,
    pub digest: String,
    pub status: RuntimeStatus,
    /// Why it is disconnected or in error.
    pub reason: Option<String>,
    pub strikes: u32,
    pub instances: u64,
    pub open_sends: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    #[error("there is no {0}")]
    Missing(&'static str),
    /// Why it cannot be done as things are.
    #[error("{0}")]
    Conflict(String),
    /// (field, rule)
    #[error("{0}: {1}")]
    Invalid(String, String),
    #[error("another host runs this account")]
    Elsewhere,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

#[async_trait]
pub trait Operate: Send + Sync + 'static {
    /// By the provider's id.
    async fn versions(&self, provider: &str) -> Result<Versions, OperateError>;
    /// Grants what the version asks for beyond what is granted; what that was.
    async fn approve(&self, provider: &str, digest: &str) -> Result<Option<Grant>, OperateError>;
    /// New accounts get this version, and all accounts of the provider are moved to it; how many.
    async fn make_current(&self, provider: &str, digest: &str) -> Result<u64, OperateError>;
    /// Moves one account to a version of its provider. It holds until another version is made
    /// current.
    async fn assign(&self, account: &AccountId, digest: &str) -> Result<(), OperateError>;
    /// Checks a configuration that is to lie under every account's of this provider against the
    /// versions that run; the names of its properties that are secrets.
    fn check_config(&self, provider: &str, config: &Value) -> Result<Vec<String>, OperateError>;
    /// What was set at run time, by provider; accounts of those that it changes are told.
    async fn set_configs(&self, configs: BTreeMap<String, Value>);
    /// Accounts of these workspaces rest; those of all others may run.
    async fn set_resting(&self, workspaces: BTreeSet<WorkspaceId>);
    fn standings(&self) -> Vec<Standing>;
    /// Partitions that this host owns.
    fn partitions(&self) -> Vec<u8>;
    /// What accounts used since this was asked last.
    fn take_usage(&self) -> Vec<(WorkspaceId, AccountId, Usage)>;
}

impl Supervisor {
    /// What was granted so far. None: nothing was ever said.
    async fn granted(&self, provider: &str) -> Result<Option<Grant>, StorageError> {
        let name = format!("{GRANT}{provider}");
        let settings = self.shared.store.settings().await?;
        let Some((_, value)) = settings.into_iter().find(|(known, _)| *known == name) else {
            return Ok(None);
        };
        serde_json::from_slice(&value).map(Some).map_err(|error| {
            StorageError::Unusable(format!("the grant of `{provider}` is damaged: {error}"))
        })
    }

    async fn grant(&self, provider: &str, grant: &Grant) -> Result<(), StorageError> {
        let value =
            serde_json::to_vec(grant).map_err(|error| StorageError::Unusable(error.to_string()))?;
        let name = format!("{GRANT}{provider}");
        self.shared.store.put_setting(&name, Some(&value)).await
    }

    /// What this version asks for beyond the grant. The first version of a provider is granted
    /// what it asks for: an operator put it here, and nothing runs that it could take over.
    pub(super) async fn beyond_grant(
        &self,
        provider: &Provider,
    ) -> Result<Option<Grant>, StorageError> {
        let id = &provider.manifest.id;
        let granted = match self.granted(id).await? {
            Some(granted) => granted,
            None => {
                let first = match self.providers.current(id) {
                    // Installed by a version of the host that kept no grants.
                    Some(current) => Grant::of(&current.manifest),
                    None => Grant::of(&provider.manifest),
                };
                self.grant(id, &first).await?;
                first
            }
        };
        Ok(granted.beyond(&provider.manifest))
    }

    /// A version of this provider that storage has, checked and ready to run.
    async fn version(&self, provider: &str, digest: &str) -> Result<Arc<Provider>, OperateError> {
        let known = self.shared.store.provider_versions().await?;
        if !known
            .iter()
            .any(|version| version.digest == digest && version.provider == provider)
        {
            return Err(OperateError::Missing("such version of this provider"));
        }
        if let Some(loaded) = self.providers.by_digest(digest) {
            return Ok(loaded);
        }
        let bytes = self
            .shared
            .store
            .provider_bytes(digest)
            .await?
            .ok_or(OperateError::Missing("such version of this provider"))?;
        let loaded = self.check(bytes).await.map_err(OperateError::Conflict)?;
        self.providers.add(loaded.clone());
        Ok(loaded)
    }

    /// The same, if nothing in it waits for an approval.
    async fn approved(&self, provider: &str, digest: &str) -> Result<Arc<Provider>, OperateError> {
        let version = self.version(provider, digest).await?;
        match self.beyond_grant(&version).await? {
            None => Ok(version),
            Some(beyond) => Err(OperateError::Conflict(format!(
                "this version asks for more than is granted: {}; approve it first",
                beyond.in_words()
            ))),
        }
    }

    /// Does the account's workspace rest?
    pub(super) fn rests(&self, workspace: &WorkspaceId) -> bool {
        self.resting
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(workspace)
    }

    fn actors_of(
        &self,
        fits: impl Fn(&super::actor::Actor) -> bool,
    ) -> Vec<Arc<super::actor::Actor>> {
        let actors = self.actors.read().unwrap_or_else(PoisonError::into_inner);
        actors
            .values()
            .filter(|actor| fits(actor))
            .cloned()
            .collect()
    }
}

#[async_trait]
impl Operate for Supervisor {
    async fn versions(&self, provider: &str) -> Result<Versions, OperateError> {
        let store = &self.shared.store;
        let mut known = store.provider_versions().await?;
        known.retain(|version| version.provider == provider);
        if known.is_empty() {
            return Err(OperateError::Missing("such provider"));
        }
        let current = self.providers.current(provider);
        let granted = match (self.granted(provider).await?, &current) {
            (Some(granted), _) => granted,
            (None, Some(current)) => Grant::of(&current.manifest),
            (None, None) => Grant::default(),
        };
        let running: Vec<String> = self
            .actors_of(|actor| actor.provider == provider)
            .iter()
            .map(|actor| actor.look(|live| live.digest.clone()))
            .collect();
        let mut versions = Vec::with_capacity(known.len());
        for version in known.into_iter().rev() {
            let manifest = match self.providers.by_digest(&version.digest) {
                Some(loaded) => Some((*loaded.manifest).clone()),
                None => store
                    .provider_bytes(&version.digest)
                    .await?
                    .and_then(|bytes| check::read_manifest(&bytes).ok()),
            };
            versions.push(Version {
                current: current
                    .as_ref()
                    .is_some_and(|current| current.digest == version.digest),
                accounts: running
                    .iter()
                    .filter(|digest| **digest == version.digest)
                    .count() as u64,
                beyond: manifest.and_then(|manifest| granted.beyond(&manifest)),
                digest: version.digest,
                version: version.version,
                installed_at: version.installed_at,
            });
        }
        Ok(Versions {
            provider: provider.to_owned(),
            granted,
            versions,
        })
    }

    async fn approve(&self, provider: &str, digest: &str) -> Result<Option<Grant>, OperateError> {
        let _one = self.installing.lock().await;
        let version = self.version(provider, digest).await?;
        let Some(beyond) = self.beyond_grant(&version).await? else {
            return Ok(None);
        };
        let granted = self.granted(provider).await?.unwrap_or_default();
        self.grant(provider, &granted.extended(beyond.clone()))
            .await?;
        Ok(Some(beyond))
    }

    async fn make_current(&self, provider: &str, digest: &str) -> Result<u64, OperateError> {
        let _one = self.installing.lock().await;
        let version = self.approved(provider, digest).await?;
        let this = self
            .me
            .upgrade()
            .ok_or_else(|| OperateError::Conflict("the host goes down".into()))?;
        self.shared
            .store
            .set_current_provider(provider, digest)
            .await?;
        self.providers.set_current(provider, digest);
        let moved = this.move_accounts(provider, version);
        self.tell(Notice::Providers).await;
        Ok(moved)
    }

    async fn assign(&self, account: &AccountId, digest: &str) -> Result<(), OperateError> {
        let actor = self.owned(account).await.map_err(|refusal| match refusal {
            Refusal::OwnerElsewhere => OperateError::Elsewhere,
            Refusal::Storage(error) => OperateError::Storage(error),
            _ => OperateError::Missing("such account"),
        })?;
        let version = self.approved(&actor.provider, digest).await?;
        let (done, moved) = oneshot::channel();
        actor.order(Order::Replace {
            provider: Some(version),
            account: None,
            done: Some(done),
        });
        match tokio::time::timeout(MOVED, moved).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(reason))) => Err(OperateError::Conflict(format!(
                "the account stays on its version: {reason}"
            ))),
            Ok(Err(_)) => Err(OperateError::Conflict(
                "the account was let go meanwhile".into(),
            )),
            Err(_) => Err(OperateError::Conflict(
                "the account has not come to a turn boundary yet; it will be moved there".into(),
            )),
        }
    }

    fn check_config(&self, provider: &str, config: &Value) -> Result<Vec<String>, OperateError> {
        let current = self
            .providers
            .current(provider)
            .ok_or(OperateError::Missing("such provider"))?;
        let id = &current.manifest.id;
        let mut digests: BTreeSet<String> = self
            .actors_of(|actor| actor.provider == *id)
            .iter()
            .map(|actor| actor.look(|live| live.digest.clone()))
            .collect();
        digests.insert(current.digest.clone());
        let mut secret = BTreeSet::new();
        for digest in digests {
            let Some(version) = self.providers.by_digest(&digest) else {
                continue;
            };
            let described = &version.descriptor.config_schema;
            schema::check_part(described, config)
                .map_err(|(field, rule)| OperateError::Invalid(field, rule))?;
            secret.extend(schema::secret_properties(described));
        }
        Ok(secret.into_iter().collect())
    }

    async fn set_configs(&self, configs: BTreeMap<String, Value>) {
        for provider in self.shared.settings.operator_config.set_live(configs) {
            for actor in self.actors_of(|actor| actor.provider == provider) {
                let stored = self.shared.store.account(&actor.workspace, &actor.id).await;
                // One that cannot be read now gets it at its next start.
                if let Ok(Some(account)) = stored {
                    actor.order(Order::Replace {
                        provider: None,
                        account: Some(Box::new(account)),
                        done: None,
                    });
                }
            }
        }
    }

    async fn set_resting(&self, workspaces: BTreeSet<WorkspaceId>) {
        let before = {
            let mut resting = self.resting.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *resting, workspaces.clone())
        };
        for actor in self.actors_of(|actor| {
            workspaces.contains(&actor.workspace) && !before.contains(&actor.workspace)
        }) {
            actor.order(Order::Stop {
                wanted: None,
                restart: false,
                done: None,
            });
        }
        for actor in self.actors_of(|actor| {
            before.contains(&actor.workspace) && !workspaces.contains(&actor.workspace)
        }) {
            let stored = self.shared.store.account(&actor.workspace, &actor.id).await;
            match stored {
                Ok(Some(account)) if signed_in_and_wanted(&account) => {
                    actor.order(Order::Start { done: None });
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(account = %actor.id, %error, "an account of a workspace that is active again cannot be read; it starts with the host's next start");
                }
            }
        }
    }

    fn standings(&self) -> Vec<Standing> {
        let mut standings: Vec<Standing> = self
            .actors_of(|_| true)
            .iter()
            .map(|actor| {
                let live = actor.look(|live| live.clone());
                Standing {
                    account: actor.id.clone(),
                    workspace: actor.workspace.clone(),
                    provider: actor.provider.clone(),
                    digest: live.digest,
                    status: live.runtime.status,
                    reason: live.runtime.reason.map(|reason| reason.message),
                    strikes: live.strikes,
                    instances: live.instances,
                    open_sends: live.open_sends,
                }
            })
            .collect();
        standings.sort_by(|one, other| one.account.cmp(&other.account));
        standings
    }

    fn partitions(&self) -> Vec<u8> {
        let epochs = self.shared.ownership.epochs();
        epochs
            .beyond(&Epochs::NONE)
            .into_iter()
            .map(|partition| partition.0)
            .collect()
    }

    fn take_usage(&self) -> Vec<(WorkspaceId, AccountId, Usage)> {
        let mut departed = self.departed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = std::mem::take(&mut *departed);
        drop(departed);
        taken.extend(self.actors_of(|_| true).iter().filter_map(|actor| {
            let usage = actor.meter.take();
            (!usage.is_nothing()).then(|| (actor.workspace.clone(), actor.id.clone(), usage))
        }));
        taken
    }
}
