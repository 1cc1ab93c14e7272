//! A supervisor that does what the test wrote into its script.

use super::fake_store::FakeStore;
use crate::domain::account::{Account, AuthStatus, Profile, Proxy, RuntimeState, RuntimeStatus};
use crate::domain::command::{Answer, Command};
use crate::domain::error::{Failure, FailureCode};
use crate::domain::grant::Grant;
use crate::domain::manifest::{AskedLimits, Class, Manifest, Resume, SecretNames};
use crate::domain::media::{Blob, BlobId};
use crate::domain::send::{Send, SendOutcome, SendState};
use crate::domain::sign_in::{Flow, Step};
use crate::domain::usage::Usage;
use crate::domain::{AccountId, PartitionId, SendId, Timestamp, WorkspaceId};
use crate::storage::StorageError;
use crate::storage::lease::OwnershipState;
use crate::supervisor::control::*;
use crate::supervisor::operate::*;
use async_trait::async_trait;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Notify, watch};

#[derive(Default)]
pub struct Script {
    pub panics: bool,
    pub features: Vec<(String, Option<serde_json::Value>)>,
    /// What becomes of a send; none: it stays dispatched.
    pub outcome: Option<SendOutcome>,
    /// A send is not answered before this.
    pub hold: Option<Arc<Notify>>,
    pub refusal: Option<Refusal>,
    pub runtime: RuntimeState,
    /// The step after the next sign-in call.
    pub step: Option<Step>,
    pub flows: HashMap<AccountId, Flow>,
    /// What the next commands are answered with; none: what fits them.
    pub answer: Option<Answer>,
    /// What the next picture leads to; none: a small PNG.
    pub picture: Option<Result<Blob, Failure>>,
    pub can_fetch_media: bool,
    /// The channel says no sooner that it has no such medium.
    pub medium: watch::Sender<bool>,
    // What was asked for.
    pub pictures: Vec<(String, u64)>,
    pub media: Vec<String>,
    pub commands: Vec<Command>,
    pub sends: Vec<NewSend>,
    pub waits: Vec<Duration>,
    pub calls: Vec<SignInCall>,
    pub changes: Vec<AccountChange>,
}

pub struct FakeControl {
    store: Arc<FakeStore>,
    script: Mutex<Script>,
}

pub const FLOW_ENDS: Timestamp = Timestamp(1_772_353_800_000);

impl FakeControl {
    pub fn new(store: Arc<FakeStore>) -> Self {
        let script = Script {
            features: vec![
                ("send.text".into(), Some(json!({"max-chars": 20}))),
                ("send.contact".into(), None),
            ],
            ..Script::default()
        };
        Self {
            store,
            script: Mutex::new(script),
        }
    }

    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    fn refuse(&self) -> Result<(), Refusal> {
        self.script().refusal.take().map_or(Ok(()), Err)
    }

    pub fn sign_in_done(&self, id: &str) {
        let mut state = self.store.state();
        let account = state.accounts.iter_mut().find(|one| one.id.as_str() == id);
        account.unwrap().auth_status = AuthStatus::Authorized;
    }
}

#[async_trait]
impl Control for FakeControl {
    fn providers(&self) -> Vec<ProviderInfo> {
        let script = self
            .script
            .lock()
            .unwrap_or_else(|error| error.into_inner());
        assert!(!script.panics, "as the script wants it");
        let inputs = json!({"type": "object", "required": ["phone"],
                            "properties": {"phone": {"type": "string"}}});
        vec![ProviderInfo {
            manifest: Manifest {
                id: "harbor".into(),
                aliases: vec!["pier".into()],
                title: "Harbor".into(),
                version: "0.1.0".into(),
                contract: "0.1.0".into(),
                class: Class::Cursor,
                resume: Resume::Snapshot,
                dedupes_sends: false,
                imports: vec![],
                egress: vec![],
                secrets: SecretNames::default(),
                ingress: vec![],
                limits: AskedLimits::default(),
            },
            digest: "ab".repeat(32),
            features: script.features.clone(),
            sign_in_methods: vec![
                ("qr".into(), "Scan".into(), None),
                ("pairing-code".into(), "Type".into(), Some(inputs)),
                ("session".into(), "Import".into(), None),
            ],
            config_schema: json!({"type": "object"}),
            can_send: true,
            can_sign_in: true,
            can_fetch_media: script.can_fetch_media,
            accounts: 1,
            other_versions: vec![],
            last_refusal: Some(Refused {
                at: Timestamp(0),
                source: "upload".into(),
                reason: "wrong shape".into(),
            }),
        }]
    }

    fn provider(&self, name: &str) -> Option<Arc<ProviderInfo>> {
        let mut all = self.providers().into_iter();
        let found = all.find(|info| {
            info.manifest.id == name || info.manifest.aliases.iter().any(|a| a == name)
        });
        found.map(Arc::new)
    }

    async fn install(&self, component: Vec<u8>, _: &str) -> Result<Installed, String> {
        if !component.starts_with(b"\0asm") {
            return Err("not a component".into());
        }
        Ok(Installed {
            provider: "harbor".into(),
            version: "0.2.0".into(),
            digest: "cd".repeat(32),
            accounts: 1,
            unchanged: false,
            parked: None,
        })
    }

    async fn create_account(&self, new: NewAccount) -> Result<Account, Refusal> {
        self.refuse()?;
        let id = AccountId::generate();
        let account = Account {
            partition: PartitionId::of(&id),
            id,
            workspace: new.workspace,
            name: new.name.unwrap_or_default(),
            provider: "harbor".into(),
            provider_alias: new.provider,
            region: new.region,
            status: new.status,
            auth_mode: new.auth_mode,
            metadata: new.metadata,
            config: new.config,
            proxy: new.proxy,
            provider_account_ref: new.provider_account_ref,
            profile: Profile::default(),
            auth_status: AuthStatus::PendingAuth,
            last_error: None,
            wanted: true,
            provider_digest: None,
            turn_seq: 0,
            kv_bytes: 0,
            created_at: Timestamp::now(),
            clock_at: Timestamp(0),
        };
        self.store.state().accounts.push(account.clone());
        Ok(account)
    }

    async fn update_account(
        &self,
        _: &WorkspaceId,
        id: &AccountId,
        change: AccountChange,
    ) -> Result<Account, Refusal> {
        self.refuse()?;
        self.script().changes.push(change.clone());
        let mut state = self.store.state();
        let account = state.accounts.iter_mut().find(|one| one.id == *id);
        let account = account.ok_or(Refusal::UnknownAccount)?;
        if let Some(name) = change.name {
            account.name = name;
        }
        if let Some(proxy) = change.proxy {
            account.proxy = proxy as Option<Proxy>;
        }
        Ok(account.clone())
    }

    async fn delete_account(&self, _: &WorkspaceId, id: &AccountId) -> Result<(), Refusal> {
        self.refuse()?;
        let mut state = self.store.state();
        let before = state.accounts.len();
        state.accounts.retain(|one| one.id != *id);
        if state.accounts.len() == before {
            return Err(Refusal::UnknownAccount);
        }
        Ok(())
    }

    fn ownership(&self) -> OwnershipState {
        OwnershipState::Active { partitions: 64 }
    }
    fn runtime_state(&self, _: &AccountId) -> RuntimeState {
        self.script().runtime.clone()
    }

    async fn runtime(&self, _: &AccountId, action: RuntimeAction) -> Result<RuntimeState, Refusal> {
        self.refuse()?;
        Ok(RuntimeState {
            status: match action {
                RuntimeAction::Stop => RuntimeStatus::Stopped,
                RuntimeAction::Reconnect => RuntimeStatus::Reconnecting,
                _ => RuntimeStatus::Running,
            },
            reason: None,
        })
    }

    fn flow(&self, id: &AccountId) -> Option<Flow> {
        self.script().flows.get(id).cloned()
    }

    async fn sign_in(
        &self,
        id: &AccountId,
        call: SignInCall,
        _: Duration,
    ) -> Result<Option<Flow>, Refusal> {
        self.refuse()?;
        let mut script = self.script();
        let method = match &call {
            SignInCall::Begin { method, .. } => method.clone(),
            _ => script
                .flows
                .get(id)
                .map(|flow| flow.method.clone())
                .unwrap_or_default(),
        };
        script.calls.push(call);
        let flow = Flow {
            id: "f".into(),
            revision: 1,
            method,
            step: script.step.take().unwrap_or(Step::Started),
            expires_at: FLOW_ENDS,
        };
        script.flows.insert(id.clone(), flow.clone());
        Ok(Some(flow))
    }

    async fn command(&self, _: &AccountId, command: Command) -> Result<Answer, Refusal> {
        self.refuse()?;
        let mut script = self.script();
        let answer = script.answer.clone();
        let answer = answer.unwrap_or_else(|| super::commands::answer_to(&command));
        script.commands.push(command);
        Ok(answer)
    }

    async fn fetch_media(
        &self,
        _: &AccountId,
        reference: String,
        _: Duration,
    ) -> Result<BlobId, Refusal> {
        let mut told = {
            let mut script = self.script();
            script.media.push(reference);
            script.medium.subscribe()
        };
        told.wait_for(|told| *told).await.unwrap();
        let gone = Failure::new(FailureCode::NotFound, "the channel has dropped it");
        Err(Refusal::Failed(gone))
    }

    async fn fetch_picture(
        &self,
        account: &Account,
        url: &str,
        max_bytes: u64,
        _: Duration,
    ) -> Result<Blob, Failure> {
        let mut script = self.script();
        script.pictures.push((url.to_owned(), max_bytes));
        let picture = script.picture.take();
        picture.unwrap_or_else(|| Ok(super::avatars::picture(account, 1000)))
    }

    async fn send(&self, new: NewSend, wait: Duration) -> Result<SendAnswer, Refusal> {
        self.refuse()?;
        let hold = self.script().hold.clone();
        let id = SendId::generate();
        let send = {
            let mut script = self.script();
            script.sends.push(new.clone());
            script.waits.push(wait);
            let outcome = script.outcome.clone();
            let (sent, failure) = match outcome.clone() {
                Some(SendOutcome::Sent(sent)) => (Some(sent), None),
                Some(SendOutcome::Failed { failure, .. }) => (None, Some(failure)),
                None => (None, None),
            };
            Send {
                id,
                workspace: new.workspace,
                account: new.account.clone(),
                partition: PartitionId::of(&new.account),
                state: outcome.map_or(SendState::Dispatched, |outcome| outcome.state()),
                outgoing: new.outgoing,
                recorded_at: Timestamp(0),
                dispatched_at: Some(Timestamp(1)),
                settled_at: None,
                sent,
                failure,
            }
        };
        {
            let mut state = self.store.state();
            state.sends.push(send.clone());
            if let Some(idempotency) = new.idempotency {
                let named = (id, idempotency.fingerprint);
                state.idempotent.insert(idempotency.key, named);
            }
        }
        if let Some(hold) = hold {
            hold.notified().await;
        }
        Ok(SendAnswer {
            send,
            repeated: false,
        })
    }

    async fn await_settled(
        &self,
        _: &WorkspaceId,
        id: &SendId,
        _: Duration,
    ) -> Result<Option<Send>, StorageError> {
        Ok(self
            .store
            .state()
            .sends
            .iter()
            .find(|send| send.id == *id)
            .cloned())
    }
}

/// Operators' questions are asked of a whole host, in `tests/it`.
#[async_trait]
impl Operate for FakeControl {
    async fn versions(&self, _: &str) -> Result<Versions, OperateError> {
        Err(OperateError::Missing("such provider"))
    }
    async fn approve(&self, _: &str, _: &str) -> Result<Option<Grant>, OperateError> {
        Err(OperateError::Missing("such provider"))
    }
    async fn make_current(&self, _: &str, _: &str) -> Result<u64, OperateError> {
        Err(OperateError::Missing("such provider"))
    }
    async fn assign(&self, _: &AccountId, _: &str) -> Result<(), OperateError> {
        Err(OperateError::Missing("such account"))
    }
    fn check_config(&self, _: &str, _: &serde_json::Value) -> Result<Vec<String>, OperateError> {
        Err(OperateError::Missing("such provider"))
    }
    async fn set_configs(&self, _: BTreeMap<String, serde_json::Value>) {}
    async fn set_resting(&self, _: BTreeSet<WorkspaceId>) {}
    fn standings(&self) -> Vec<Standing> {
        Vec::new()
    }
    fn partitions(&self) -> Vec<u8> {
        Vec::new()
    }
    fn take_usage(&self) -> Vec<(WorkspaceId, AccountId, Usage)> {
        Vec::new()
    }
}

#[async_trait]
impl super::super::OperatorSettings for FakeControl {
    async fn reload(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
