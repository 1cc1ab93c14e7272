//! What the tests start from: a store with a workspace, claimed partitions, and short ways to say
//! what a turn did.

use crate::domain::account::{Account, AccountPatch, AuthStatus, Profile, Proxy, ProxyKind};
use crate::domain::endpoint::{
    Detour, DetourState, Endpoint, EndpointState, Ordering, RetryPolicy,
};
use crate::domain::event::{LoggedEvent, NewEvent};
use crate::domain::send::{Content, Idempotency, Outgoing};
use crate::domain::{AccountId, EndpointId, EventId, PartitionId, SendId, Timestamp, WorkspaceId};
use crate::storage::{AccountCommit, KvWrite, Lease, RecordSend, Store, Workspace, Write, Written};
use serde_json::json;
use std::sync::Arc;

pub struct World {
    pub store: Arc<dyn Store>,
    pub workspace: WorkspaceId,
    pub leases: Vec<Lease>,
}

impl World {
    pub async fn new(store: Arc<dyn Store>) -> Self {
        let workspace = WorkspaceId::from_text("ws_test");
        store
            .put_workspace(&workspace_named("ws_test", None))
            .await
            .unwrap();
        let leases = store.acquire().await.unwrap();
        Self {
            store,
            workspace,
            leases,
        }
    }

    pub async fn account(&self) -> Account {
        let account = account_in(&self.workspace);
        self.store.create_account(&account, &[]).await.unwrap();
        account
    }

    pub fn epoch(&self, partition: PartitionId) -> u64 {
        self.leases[usize::from(partition.0)].epoch
    }

    /// Turn number `turn` of an account; none: a commit of the host.
    pub fn turn(&self, account: &Account, turn: impl Into<Option<u64>>) -> AccountCommit {
        AccountCommit {
            account: account.id.clone(),
            workspace: account.workspace.clone(),
            partition: account.partition,
            epoch: self.epoch(account.partition),
            turn: turn.into(),
            at: Timestamp(0),
            events: Vec::new(),
            kv: Vec::new(),
            secrets: Vec::new(),
            timers: Vec::new(),
            requests: Vec::new(),
            sends: Vec::new(),
            blobs: Vec::new(),
            patch: AccountPatch::default(),
            kv_bytes: None,
        }
    }

    pub fn record(&self, account: &Account) -> RecordSend {
        RecordSend {
            id: SendId::generate(),
            workspace: account.workspace.clone(),
            account: account.id.clone(),
            partition: account.partition,
            epoch: Some(self.epoch(account.partition)),
            outgoing: outgoing("hello"),
            at: Timestamp::now(),
            idempotency: None,
        }
    }

    pub async fn commit(&self, group: Vec<Write>) -> Vec<Written> {
        self.store.commit(0, &group, false).await.unwrap()
    }

    pub async fn commit_one(&self, write: impl Into<Write>) -> Written {
        self.commit(vec![write.into()]).await.remove(0)
    }

    /// Every event of an account, in order.
    pub async fn events(&self, account: &Account) -> Vec<LoggedEvent> {
        let all = self
            .store
            .read_events(&account.workspace, account.partition, 0, 100_000)
            .await
            .unwrap();
        all.into_iter()
            .filter(|event| event.account == account.id)
            .collect()
    }

    pub async fn kinds(&self, account: &Account) -> Vec<String> {
        let events = self.events(account).await;
        events.into_iter().map(|event| event.kind).collect()
    }
}

impl From<AccountCommit> for Write {
    fn from(commit: AccountCommit) -> Self {
        Write::Account(Box::new(commit))
    }
}

impl From<RecordSend> for Write {
    fn from(record: RecordSend) -> Self {
        Write::RecordSend(Box::new(record))
    }
}

impl From<crate::storage::DeliveryProgress> for Write {
    fn from(progress: crate::storage::DeliveryProgress) -> Self {
        Write::Delivery(Box::new(progress))
    }
}

pub fn workspace_named(id: &str, account_quota: Option<u64>) -> Workspace {
    Workspace {
        id: WorkspaceId::from_text(id),
        name: "Test".to_owned(),
        status: "active".to_owned(),
        metadata: json!({"plan": "gold"}),
        account_quota,
    }
}

pub fn account_in(workspace: &WorkspaceId) -> Account {
    let id = AccountId::generate();
    Account {
        partition: PartitionId::of(&id),
        id,
        workspace: workspace.clone(),
        name: "Käthe".to_owned(),
        provider: "simulator".to_owned(),
        provider_alias: "sim".to_owned(),
        region: "eu".to_owned(),
        status: "active".to_owned(),
        auth_mode: "code".to_owned(),
        metadata: json!({"team": "north"}),
        config: json!({"server": "example.org"}),
        proxy: Some(Proxy {
            kind: ProxyKind::Socks5,
            host: "proxy.example.org".to_owned(),
            port: 1080,
            username: Some("user".to_owned()),
            password: Some("proxy password".into()),
        }),
        provider_account_ref: None,
        profile: Profile::default(),
        auth_status: AuthStatus::PendingAuth,
        last_error: None,
        wanted: true,
        provider_digest: Some("ab".repeat(32)),
        turn_seq: 0,
        kv_bytes: 0,
        created_at: Timestamp::now(),
        clock_at: Timestamp(0),
    }
}

pub fn event(kind: &str) -> NewEvent {
    NewEvent {
        id: EventId::generate(),
        kind: kind.to_owned(),
        dedupe_key: None,
        conversation: Some("chat 1".to_owned()),
        occurred_at: Timestamp(1_700_000_000_000),
        body: format!(r#"{{"type":"{kind}"}}"#).into_bytes(),
        attachments: Vec::new(),
    }
}

pub fn keyed(kind: &str, key: &str) -> NewEvent {
    NewEvent {
        dedupe_key: Some(key.to_owned()),
        ..event(kind)
    }
}

pub fn put(key: &str, value: &str) -> KvWrite {
    KvWrite {
        key: key.to_owned(),
        value: Some(value.as_bytes().to_vec()),
    }
}

pub fn outgoing(text: &str) -> Outgoing {
    Outgoing {
        conversation: "chat 1".to_owned(),
        conversation_kind: "user".to_owned(),
        content: Content::Text {
            text: text.to_owned(),
            format: "plain".to_owned(),
        },
        quote: None,
        reply_context: None,
        mentions: Vec::new(),
        extra: None,
    }
}

pub fn idempotency(key: &str, fingerprint: u8) -> Idempotency {
    Idempotency {
        key: key.to_owned(),
        fingerprint: [fingerprint; 32],
        // Longer than any test, on any machine.
        expires_at: Timestamp::now().plus_ms(24 * 60 * 60 * 1000),
    }
}

pub fn endpoint_in(workspace: &WorkspaceId) -> Endpoint {
    Endpoint {
        id: EndpointId::generate(),
        workspace: workspace.clone(),
        url: "https://receiver.example.org/hook".to_owned(),
        state: EndpointState::Enabled,
        state_reason: None,
        subscribed_events: vec!["message.received".to_owned()],
        accounts: Vec::new(),
        secret: Some("whsec_new".into()),
        old_secret: Some(("whsec_old".into(), Timestamp(5))),
        retry: RetryPolicy::default(),
        ordering: Ordering::Conversation,
        created_at: Timestamp::now(),
    }
}

pub fn detour(endpoint: &Endpoint, partition: u8, offset: u64, state: DetourState) -> Detour {
    Detour {
        endpoint: endpoint.id.clone(),
        partition: PartitionId(partition),
        offset,
        key: "chat 1".to_owned(),
        event: EventId::generate(),
        attempts: 1,
        state,
        next_at: Timestamp(77),
        since: Timestamp(7),
        last_error: Some("connection refused".to_owned()),
    }
}

pub fn offsets(written: &Written) -> &[Option<u64>] {
    match written {
        Written::Account { offsets, .. } => offsets,
        other => panic!("not committed: {other:?}"),
    }
}

pub fn applied(written: &Written) -> &[bool] {
    match written {
        Written::Account { sends, .. } => sends,
        other => panic!("not committed: {other:?}"),
    }
}
