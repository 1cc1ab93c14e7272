//! The supervisor: knows all accounts of this host and passes on what clients and operators ask.

use super::Settings;
use super::actor::{Actor, Live, Shared};
use super::clock::Clock;
use super::control::*;
use super::core::Core;
use super::inbox;
use super::mailbox::{Input, Order};
use super::media::{MediaParts, SharedMedia};
use super::providers::Providers;
use super::waiters::Waiters;
use super::workers::Workers;
use crate::domain::account::{Account, RuntimeState, RuntimeStatus};
use crate::domain::command::{Answer, Command};
use crate::domain::error::{Failure, FailureCode};
use crate::domain::ingress::{IngressResponse, IngressRoute};
use crate::domain::media::{Blob, BlobId};
use crate::domain::send::Send;
use crate::domain::sign_in::Flow;
use crate::domain::usage::Usage;
use crate::domain::{AccountId, SendId, Timestamp, WorkspaceId};
use crate::runtime::normalize::ReplyTokens;
use crate::runtime::port::Connector;
use crate::runtime::port::http::HttpClient;
use crate::runtime::{Engine, Provider, check};
use crate::storage::lease::{Notice, Ownership, OwnershipState};
use crate::storage::writer::Writer;
use crate::storage::{ProviderVersion, StorageError, Store};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, oneshot};

pub struct Supervisor {
    pub(super) shared: Arc<Shared>,
    pub(super) engine: Arc<Engine>,
    pub(super) providers: Providers,
    pub(super) actors: RwLock<HashMap<AccountId, Arc<Actor>>>,
    /// One installation at a time, so that versions follow each other.
    pub(super) installing: tokio::sync::Mutex<()>,
    /// Workspaces that are not active: their accounts rest.
    pub(super) resting: RwLock<BTreeSet<WorkspaceId>>,
    /// Usage of accounts that were deleted, until it is taken.
    pub(super) departed: Mutex<Vec<(WorkspaceId, AccountId, Usage)>>,
    /// One account at a time comes back, so that none comes twice.
    pub(super) bringing: tokio::sync::Mutex<()>,
    /// One version of another host at a time is compiled.
    pub(super) learning: tokio::sync::Mutex<()>,
    /// Components that came with this host, until it is an owner for the first time.
    pub(super) bundled: Mutex<Vec<(String, Vec<u8>)>>,
    /// Every account has said goodbye.
    pub(super) down: AtomicBool,
    /// Another host has recorded sends, or made another provider version current.
    pub(super) hand_over_bell: Arc<Notify>,
    pub(super) providers_bell: Arc<Notify>,
    pub(super) me: Weak<Self>,
}

/// What the supervisor is built from.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub writer: Writer,
    pub connector: Arc<dyn Connector>,
    pub http: Arc<dyn HttpClient>,
    pub reply_tokens: Arc<dyn ReplyTokens + std::marker::Send + Sync>,
    pub media: MediaParts,
    pub engine: Arc<Engine>,
    pub ownership: Arc<Ownership>,
    pub settings: Settings,
    /// Components that came with this host: (name, bytes). One that was never installed before
    /// becomes current, once this host owns partitions.
    pub bundled: Vec<(String, Vec<u8>)>,
}

impl Supervisor {
    /// Brings providers back, and the accounts of all that this host owns; follows what it owns
    /// from then on. Returns when all of them are known; their starts go on behind it.
    pub async fn start(parts: Parts) -> anyhow::Result<Arc<Self>> {
        let workers = Workers::start(parts.settings.guest_threads)?;
        let shared = Arc::new(Shared {
            store: parts.store,
            writer: parts.writer,
            ownership: parts.ownership,
            connector: parts.connector,
            http: parts.http,
            http_room: Arc::new(Semaphore::new(super::http::ROOM)),
            reply_tokens: parts.reply_tokens,
            workers,
            clock: Clock::start(),
            waiters: Waiters::default(),
            media: SharedMedia::new(parts.media),
            settings: parts.settings,
            runtime: tokio::runtime::Handle::current(),
        });
        let supervisor = Arc::new_cyclic(|me| Self {
            shared,
            engine: parts.engine,
            providers: Providers::default(),
            actors: RwLock::default(),
            installing: tokio::sync::Mutex::new(()),
            resting: RwLock::default(),
            departed: Mutex::default(),
            bringing: tokio::sync::Mutex::new(()),
            learning: tokio::sync::Mutex::new(()),
            bundled: Mutex::new(parts.bundled),
            down: AtomicBool::new(false),
            hand_over_bell: Arc::default(),
            providers_bell: Arc::default(),
            me: me.clone(),
        });
        supervisor.load_providers().await?;
        supervisor.load_resting().await?;
        supervisor.begin_ownership().await?;
        Ok(supervisor)
    }

    /// Compiles what storage says is current or runs somewhere.
    async fn load_providers(self: &Arc<Self>) -> anyhow::Result<()> {
        let current = self.shared.store.current_providers().await?;
        let mut digests: Vec<String> = current.iter().map(|(_, digest)| digest.clone()).collect();
        let accounts = self.shared.store.all_accounts().await?;
        digests.extend(
            accounts
                .into_iter()
                .filter_map(|account| account.provider_digest),
        );
        digests.sort();
        digests.dedup();
        for digest in digests {
            self.load_version(&digest).await?;
        }
        for (provider, digest) in current {
            self.providers.set_current(&provider, &digest);
        }
        Ok(())
    }

    async fn load_resting(&self) -> anyhow::Result<()> {
        let mut workspaces = self.shared.store.workspaces().await?;
        workspaces.retain(|workspace| !workspace.is_active());
        if let Ok(mut resting) = self.resting.write() {
            resting.extend(workspaces.into_iter().map(|workspace| workspace.id));
        }
        Ok(())
    }

    /// Watches the providers directory until the task is aborted.
    pub fn watch(self: &Arc<Self>, directory: PathBuf) -> tokio::task::JoinHandle<()> {
        tokio::spawn(inbox::watch(directory, self.clone()))
    }

    /// Every account says goodbye; waits for that at most `wait`. False: some did not in time.
    pub async fn shutdown(&self, wait: Duration) -> bool {
        let actors: Vec<_> = match self.actors.read() {
            Ok(actors) => actors.values().cloned().collect(),
            Err(_) => return false,
        };
        let mut stopped = Vec::with_capacity(actors.len());
        for actor in &actors {
            let (done, wait) = oneshot::channel();
            actor.order(Order::Stop {
                wanted: None,
                restart: false,
                done: Some(done),
            });
            stopped.push(wait);
        }
        let all = futures::future::join_all(stopped);
        let in_time = tokio::time::timeout(wait, all).await.is_ok();
        self.down.store(true, Ordering::Relaxed);
        self.shared.workers.stop();
        in_time
    }

    pub(super) fn actor(&self, id: &AccountId) -> Option<Arc<Actor>> {
        self.actors.read().ok()?.get(id).cloned()
    }

    pub(super) fn provider_of(&self, account: &Account) -> Option<Arc<Provider>> {
        account
            .provider_digest
            .as_deref()
            .and_then(|digest| self.providers.by_digest(digest))
            .or_else(|| self.providers.current(&account.provider))
    }

    /// None: its provider is not installed, or this host does not own its partition.
    pub(super) fn add_actor(&self, account: Account) -> Option<Arc<Actor>> {
        let provider = self.provider_of(&account)?;
        let (id, workspace, partition) = (
            account.id.clone(),
            account.workspace.clone(),
            account.partition,
        );
        let epoch = self.shared.ownership.epoch(partition)?;
        let core = Core::new(account, provider, &self.shared);
        let actor = Actor::new(
            workspace,
            id.clone(),
            partition,
            epoch,
            self.shared.clone(),
            core,
        );
        let mut actors = self.actors.write().ok()?;
        Some(actors.entry(id).or_insert(actor).clone())
    }

    pub(super) async fn check(&self, bytes: Vec<u8>) -> Result<Arc<Provider>, String> {
        let engine = self.engine.clone();
        tokio::task::spawn_blocking(move || engine.check(&bytes))
            .await
            .map_err(|error| format!("the check did not end: {error}"))?
            .map(Arc::new)
            .map_err(|refusal| refusal.0)
    }

    /// `fresh` false: a version that was installed once stays what it is now.
    pub async fn install_component(
        self: &Arc<Self>,
        bytes: Vec<u8>,
        source: &str,
        fresh: bool,
    ) -> Result<Installed, String> {
        let _one = self.installing.lock().await;
        let name = self.owner_of(&bytes, source);
        let refuse = |provider: &str, reason: String| {
            self.providers.refused(provider, source, &reason);
            Err(reason)
        };
        let provider = match self.check(bytes.clone()).await {
            Ok(provider) => provider,
            Err(reason) => return refuse(&name, reason),
        };
        let id = provider.manifest.id.clone();
        if let Some(taken) = self.taken_name(&provider) {
            return refuse(&id, taken);
        }
        let digest = provider.digest.clone();
        let known = match self.shared.store.provider_versions().await {
            Ok(versions) => versions.iter().any(|version| version.digest == digest),
            Err(error) => return Err(error.to_string()),
        };
        let current = self.providers.current(&id);
        let is_current = current
            .as_ref()
            .is_some_and(|current| current.digest == digest);
        let installed = Installed {
            provider: id.clone(),
            version: provider.manifest.version.clone(),
            digest: digest.clone(),
            accounts: 0,
            unchanged: true,
            parked: None,
        };
        if is_current || (known && !fresh && current.is_some()) {
            return Ok(installed);
        }
        let version = ProviderVersion {
            digest: digest.clone(),
            provider: id.clone(),
            version: provider.manifest.version.clone(),
            installed_at: Timestamp::now(),
        };
        let parked = match self.beyond_grant(&provider).await {
            Ok(beyond) => beyond,
            Err(error) => return refuse(&id, error.to_string()),
        };
        let stored = async {
            self.shared.store.put_provider(&version, &bytes).await?;
            if parked.is_some() {
                return Ok(());
            }
            self.shared.store.set_current_provider(&id, &digest).await
        };
        if let Err(error) = stored.await {
            return refuse(&id, error.to_string());
        }
        if let Some(beyond) = parked {
            let reason = format!(
                "version {} waits for an operator's approval: it asks for more than is granted: {}",
                installed.version,
                beyond.in_words()
            );
            self.providers.refused(&id, source, &reason);
            return Ok(Installed {
                unchanged: known,
                parked: Some(beyond),
                ..installed
            });
        }
        self.providers.add(provider.clone());
        self.providers.set_current(&id, &digest);
        let accounts = self.move_accounts(&id, provider);
        self.tell(Notice::Providers).await;
        Ok(Installed {
            accounts,
            unchanged: false,
            ..installed
        })
    }

    /// Whose component this is meant to be: by its manifest, else by the name of the file.
    fn owner_of(&self, bytes: &[u8], source: &str) -> String {
        if let Ok(manifest) = check::read_manifest(bytes) {
            return manifest.id;
        }
        let known = self.providers.ids().into_iter();
        known
            .filter(|id| source.starts_with(id.as_str()))
            .max_by_key(String::len)
            .unwrap_or_else(|| source.to_owned())
    }

    /// A name of the new provider that another provider has.
    fn taken_name(&self, provider: &Provider) -> Option<String> {
        let id = &provider.manifest.id;
        std::iter::once(id)
            .chain(&provider.manifest.aliases)
            .find_map(|name| {
                let other = self.providers.current(name)?;
                (other.manifest.id != *id).then(|| {
                    format!(
                        "provider `{}` is called `{name}` already",
                        other.manifest.id
                    )
                })
            })
    }

    /// Every account of the provider goes over to the new version, each at its own turn boundary.
    pub(super) fn move_accounts(self: &Arc<Self>, id: &str, provider: Arc<Provider>) -> u64 {
        let actors: Vec<_> = match self.actors.read() {
            Ok(actors) => actors
                .values()
                .filter(|actor| actor.provider == id)
                .cloned()
                .collect(),
            Err(_) => return 0,
        };
        let count = actors.len() as u64;
        let mut swaps = Vec::with_capacity(actors.len());
        for actor in actors {
            let (done, outcome) = oneshot::channel();
            actor.order(Order::Replace {
                provider: Some(provider.clone()),
                account: None,
                done: Some(done),
            });
            swaps.push(outcome);
        }
        let (supervisor, id) = (self.clone(), id.to_owned());
        tokio::spawn(async move {
            let mut failed = 0u64;
            let mut reason = String::new();
            for swap in swaps {
                if let Ok(Err(why)) = swap.await {
                    failed += 1;
                    reason = why;
                }
            }
            if failed > 0 {
                let reason =
                    format!("{failed} of {count} accounts stay on the version before: {reason}");
                supervisor
                    .providers
                    .refused(&id, &provider.manifest.version, &reason);
            }
        });
        count
    }

    /// How many accounts are in each state of their runtime.
    pub fn count_states(&self) -> BTreeMap<RuntimeStatus, u64> {
        let mut states: BTreeMap<_, _> = RuntimeStatus::ALL.map(|state| (state, 0)).into();
        if let Ok(actors) = self.actors.read() {
            for actor in actors.values() {
                let state = actor.look(|live| live.runtime.status);
                *states.entry(state).or_default() += 1;
            }
        }
        states
    }

    /// Providers of which a version is compiled and may run.
    pub fn loaded_providers(&self) -> usize {
        self.providers.ids().len()
    }

    /// The account's live side, for tests and the operator.
    pub fn live(&self, id: &AccountId) -> Option<Live> {
        Some(self.actor(id)?.look(|live| live.clone()))
    }
}

#[async_trait]
impl Control for Supervisor {
    fn providers(&self) -> Vec<ProviderInfo> {
        let running: Vec<(String, String)> = match self.actors.read() {
            Ok(actors) => actors
                .values()
                .map(|actor| {
                    (
                        actor.provider.clone(),
                        actor.look(|live| live.digest.clone()),
                    )
                })
                .collect(),
            Err(_) => Vec::new(),
        };
        self.providers.list(&running)
    }

    fn provider(&self, name: &str) -> Option<Arc<ProviderInfo>> {
        // Without counting: this is asked for every send.
        let id = self.providers.current(name)?.manifest.id.clone();
        self.providers.one(&id)
    }

    async fn learn_provider(&self, name: &str) -> Option<Arc<ProviderInfo>> {
        if let Some(known) = self.provider(name) {
            return Some(known);
        }
        self.shared.store.lease_length()?;
        if let Err(error) = self.me.upgrade()?.refresh_providers().await {
            tracing::debug!(%error, "provider versions cannot be read now");
        }
        self.provider(name)
    }

    async fn account_provider(&self, account: &Account) -> Option<Arc<ProviderInfo>> {
        let runs = account.provider_digest.as_deref();
        match runs.and_then(|digest| self.providers.version(digest)) {
            Some(info) => Some(info),
            None => self.learn_provider(&account.provider).await,
        }
    }

    fn stray_refusals(&self) -> Vec<Refused> {
        self.providers.stray_refusals()
    }

    async fn install(&self, component: Vec<u8>, source: &str) -> Result<Installed, String> {
        let this = self.me.upgrade().ok_or("the host goes down")?;
        this.install_component(component, source, true).await
    }

    async fn create_account(&self, account: NewAccount) -> Result<Account, Refusal> {
        self.new_account(account).await
    }

    async fn update_account(
        &self,
        workspace: &WorkspaceId,
        id: &AccountId,
        change: AccountChange,
    ) -> Result<Account, Refusal> {
        self.change_account(workspace, id, change).await
    }

    async fn delete_account(&self, workspace: &WorkspaceId, id: &AccountId) -> Result<(), Refusal> {
        self.end_account(workspace, id).await
    }

    fn runtime_state(&self, id: &AccountId) -> RuntimeState {
        match self.actor(id) {
            Some(actor) => actor.look(|live| live.runtime.clone()),
            None if self.owns(id) => RuntimeState {
                status: RuntimeStatus::Error,
                reason: None,
            },
            None => RuntimeState {
                status: RuntimeStatus::Unknown,
                reason: Some(Failure::new(
                    FailureCode::Unavailable,
                    "another host runs this account",
                )),
            },
        }
    }

    async fn runtime(
        &self,
        id: &AccountId,
        action: RuntimeAction,
    ) -> Result<RuntimeState, Refusal> {
        if action == RuntimeAction::Refresh {
            return Ok(self.runtime_state(id));
        }
        let actor = self.owned(id).await?;
        let (done, wait) = oneshot::channel();
        match action {
            RuntimeAction::Refresh => {}
            RuntimeAction::Start => actor.order(Order::Start { done: Some(done) }),
            RuntimeAction::Stop => {
                actor.order(Order::Stop {
                    wanted: Some(false),
                    restart: false,
                    done: Some(done),
                });
            }
            RuntimeAction::Reconnect => {
                let live = actor.look(|live| live.clone());
                if !live.wanted {
                    return Err(Refusal::Stopped);
                }
                actor.input(Input::Reconnect);
                return Ok(RuntimeState {
                    status: RuntimeStatus::Reconnecting,
                    reason: None,
                });
            }
        }
        let _ = tokio::time::timeout(Duration::from_secs(10), wait).await;
        Ok(self.runtime_state(id))
    }

    fn ingress_limit(&self, target: &IngressTarget, route: &str) -> Result<usize, IngressRefusal> {
        self.ingress_limit_of(target, route)
    }

    async fn ingress(&self, arriving: Arriving) -> Result<IngressResponse, IngressRefusal> {
        self.take_ingress(arriving).await
    }

    fn ingress_routes(&self, account: &Account) -> Vec<IngressRoute> {
        let running = self.actor(&account.id).and_then(|actor| {
            self.providers
                .by_digest(&actor.look(|live| live.digest.clone()))
        });
        let provider = running.or_else(|| self.provider_of(account));
        provider.map_or_else(Vec::new, |provider| provider.manifest.ingress.clone())
    }

    fn ownership(&self) -> OwnershipState {
        self.shared.ownership.state()
    }

    fn flow(&self, id: &AccountId) -> Option<Flow> {
        self.actor(id)?.look(|live| live.flow.clone())
    }

    async fn sign_in(
        &self,
        id: &AccountId,
        call: SignInCall,
        wait: Duration,
    ) -> Result<Option<Flow>, Refusal> {
        self.call_sign_in(id, call, wait).await
    }

    async fn command(&self, id: &AccountId, command: Command) -> Result<Answer, Refusal> {
        self.take_command(id, command).await
    }

    async fn resume_restored(&self) -> Result<u64, StorageError> {
        let held = self.shared.store.resume_restored().await?;
        for id in &held {
            if let Some(actor) = self.actor(id) {
                actor.order(Order::Start { done: None });
            }
        }
        Ok(held.len() as u64)
    }

    async fn send(&self, send: NewSend, wait: Duration) -> Result<SendAnswer, Refusal> {
        self.take_send(send, wait).await
    }

    async fn fetch_media(
        &self,
        id: &AccountId,
        reference: String,
        wait: Duration,
    ) -> Result<BlobId, Refusal> {
        self.get_media(id, reference, wait).await
    }

    async fn fetch_picture(
        &self,
        account: &Account,
        url: &str,
        max_bytes: u64,
        wait: Duration,
    ) -> Result<Blob, Failure> {
        self.get_picture(account, url, max_bytes, wait).await
    }

    async fn await_settled(
        &self,
        workspace: &WorkspaceId,
        id: &SendId,
        wait: Duration,
    ) -> Result<Option<Send>, StorageError> {
        self.settled_within(workspace, id, wait).await
    }
}
