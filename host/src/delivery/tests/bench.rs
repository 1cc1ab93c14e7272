//! A real store and writer with one workspace and one account, and a delivery that can be killed.

use super::sink::PlainDial;
use crate::delivery::clock::ManualClock;
use crate::delivery::{Delivery, Lag, Settings};
use crate::domain::account::{Account, AccountPatch};
use crate::domain::endpoint::{Attempt, Detour, Endpoint};
use crate::domain::event::NewEvent;
use crate::domain::{AccountId, EndpointId, EventId, PartitionId, Timestamp, WorkspaceId};
use crate::storage::lease::Ownership;
use crate::storage::sql::SqlStore;
use crate::storage::sqlite::SqliteSettings;
use crate::storage::writer::{Writer, WriterSettings};
use crate::storage::{AccountCommit, Store, Workspace, Write, Written};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

pub const START: u64 = 1_772_353_800_000;

pub struct Bench {
    pub store: Arc<SqlStore>,
    pub clock: Arc<ManualClock>,
    pub delivery: Delivery,
    /// The next worker that learns from an attempt panics.
    pub fault: Arc<AtomicBool>,
    writer: Writer,
    account: AccountId,
    partition: PartitionId,
    epoch: u64,
    ownership: Arc<Ownership>,
    settings: Settings,
    /// Of the delivery alone, so that it can be killed.
    runtime: Option<tokio::runtime::Runtime>,
    _directory: tempfile::TempDir,
}

impl Bench {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = SqliteSettings::in_directory(directory.path());
        let store = Arc::new(settings.open().await.unwrap());
        let leases = store.acquire().await.unwrap();
        let workspace = WorkspaceId::from_text("ws_1");
        let row = Workspace {
            id: workspace.clone(),
            name: "test".into(),
            status: "active".into(),
            metadata: json!({}),
            account_quota: None,
        };
        store.put_workspace(&row).await.unwrap();
        let account = AccountId::from_text("acc_1");
        let partition = PartitionId::of(&account);
        store
            .create_account(&new_account(&account, &workspace, partition), &[])
            .await
            .unwrap();
        let writer = Writer::start(store.clone(), WriterSettings::default());
        let clock = ManualClock::at(START);
        let fault = Arc::new(AtomicBool::new(false));
        let settings = Settings {
            clock: clock.clone(),
            jitter: Arc::new({
                let fault = fault.clone();
                move || {
                    assert!(!fault.swap(false, Relaxed), "as told");
                    0.5
                }
            }),
            flush_interval: Duration::from_millis(1),
            ..Settings::default()
        };
        let epoch = leases
            .iter()
            .find(|lease| lease.partition == partition)
            .unwrap()
            .epoch;
        let ownership = Ownership::for_ever(&leases);
        let (runtime, delivery) = run(&store, &writer, &ownership, &settings);
        Self {
            store,
            clock,
            delivery,
            fault,
            writer,
            account,
            partition,
            epoch,
            ownership,
            settings,
            runtime: Some(runtime),
            _directory: directory,
        }
    }

    /// As `kill -9`, then a new process.
    pub fn crash(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
        self.boot();
    }

    pub async fn restart(&mut self) {
        self.delivery.shutdown().await;
        self.crash();
    }

    fn boot(&mut self) {
        let (runtime, delivery) = run(&self.store, &self.writer, &self.ownership, &self.settings);
        self.runtime = Some(runtime);
        self.delivery = delivery;
    }

    pub async fn add(&self, endpoint: &Endpoint) {
        self.store.create_endpoint(endpoint).await.unwrap();
        self.delivery.reload(&endpoint.id).await;
    }

    pub async fn change(&self, endpoint: &Endpoint) {
        self.store.put_endpoint(endpoint).await.unwrap();
        self.delivery.reload(&endpoint.id).await;
    }

    pub async fn endpoint(&self, id: &EndpointId) -> Endpoint {
        let workspace = WorkspaceId::from_text("ws_1");
        self.store.endpoint(&workspace, id).await.unwrap().unwrap()
    }

    /// An event `evt_<name>` for each name; its conversation is the name's first letter.
    pub async fn append(&self, names: &[&str]) {
        let names: Vec<(String, &str)> = names
            .iter()
            .map(|name| ((*name).to_owned(), "message.received"))
            .collect();
        self.append_kinds(&names).await;
    }

    pub async fn append_kinds(&self, names: &[(String, &str)]) {
        let events = names.iter().map(|(name, kind)| self.event(name, kind));
        let commit = AccountCommit {
            account: self.account.clone(),
            workspace: WorkspaceId::from_text("ws_1"),
            partition: self.partition,
            epoch: self.epoch,
            turn: None,
            at: Timestamp(START),
            events: events.collect(),
            kv: vec![],
            secrets: vec![],
            timers: vec![],
            requests: vec![],
            sends: vec![],
            blobs: Vec::new(),
            patch: AccountPatch::default(),
            kv_bytes: None,
        };
        let written = self.writer.write(Write::Account(Box::new(commit))).await;
        assert!(matches!(written, Ok(Written::Account { .. })));
    }

    fn event(&self, name: &str, kind: &str) -> NewEvent {
        let account = &self.account;
        NewEvent {
            id: EventId::from_text(format!("evt_{name}")),
            kind: kind.into(),
            dedupe_key: None,
            conversation: Some(name[..1].to_owned()),
            occurred_at: Timestamp(START),
            body: format!(
                r#"{{"id":"evt_{name}","type":"{kind}","provider":"x","account_id":"{account}","occurred_at":"2026-03-01T08:30:00Z","data":{{"n":"{name}"}}}}"#
            )
            .into_bytes(),
            attachments: Vec::new(),
        }
    }

    /// Waits until the endpoint's lag is so.
    pub async fn lag(&self, id: &EndpointId, what: impl Fn(&Lag) -> bool) {
        let mut lag = loop {
            let known = self.delivery.lags.lock().unwrap().get(id).cloned();
            match known {
                Some(lag) => break lag,
                // The endpoint is being loaded.
                None => tokio::task::yield_now().await,
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), lag.wait_for(what)).await;
        assert!(waited.is_ok(), "{:?}", self.delivery.lag(id));
    }

    /// Waits until the endpoint is through with all that was appended and that is recorded.
    pub async fn quiet(&self, id: &EndpointId) {
        let heads = self.store.heads().await.unwrap();
        self.lag(id, |lag| {
            lag.in_flight == 0 && lag.detours == 0 && lag.behind == 0
        })
        .await;
        self.storage(async || {
            self.store.cursors(id).await.unwrap() == heads
                && self.store.detours(id).await.unwrap().is_empty()
        })
        .await;
    }

    /// Waits until storage shows something that was told to the writer.
    pub async fn storage(&self, what: impl AsyncFn() -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while !what().await {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        assert!(waited.await.is_ok(), "storage does not show it");
    }

    pub async fn detours(&self, id: &EndpointId, count: usize) -> Vec<Detour> {
        self.storage(async || self.store.detours(id).await.unwrap().len() == count)
            .await;
        self.store.detours(id).await.unwrap()
    }

    /// Oldest first.
    pub async fn attempts(&self, id: &EndpointId) -> Vec<Attempt> {
        let mut attempts = self.store.attempts(id, None, 1_000).await.unwrap();
        attempts.reverse();
        attempts
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn run(
    store: &Arc<SqlStore>,
    writer: &Writer,
    ownership: &Arc<Ownership>,
    settings: &Settings,
) -> (tokio::runtime::Runtime, Delivery) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let delivery = Delivery::start(
        store.clone(),
        writer.clone(),
        Arc::new(PlainDial),
        ownership.clone(),
        settings.clone(),
    );
    drop(_inside);
    (runtime, delivery)
}

fn new_account(id: &AccountId, workspace: &WorkspaceId, partition: PartitionId) -> Account {
    Account {
        id: id.clone(),
        workspace: workspace.clone(),
        partition,
        name: "test".into(),
        provider: "x".into(),
        provider_alias: "x".into(),
        region: "global".into(),
        status: "active".into(),
        auth_mode: "code".into(),
        metadata: json!({}),
        config: json!({}),
        proxy: None,
        provider_account_ref: None,
        profile: Default::default(),
        auth_status: Default::default(),
        last_error: None,
        wanted: true,
        provider_digest: None,
        turn_seq: 0,
        kv_bytes: 0,
        created_at: Timestamp(START),
        clock_at: Timestamp(START),
    }
}
