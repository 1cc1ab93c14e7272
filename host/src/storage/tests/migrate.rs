//! From SQLite to PostgreSQL, broken off again and again.

use super::postgres::TestDatabase;
use super::world::*;
use crate::domain::account::Account;
use crate::domain::endpoint::{DetourState, Endpoint};
use crate::domain::key::Permissions;
use crate::domain::send::{SendChange, SendState, SentMessage};
use crate::domain::{PartitionId, Timestamp};
use crate::storage::key::KeySource;
use crate::storage::migrate::{Progress, migrate};
use crate::storage::postgres::PostgresSettings;
use crate::storage::sqlite::SqliteSettings;
use crate::storage::{
    ApiKey, DeliveryProgress, KeyKind, KvWrite, ProviderVersion, SecretWrite, StorageError, Store,
    TimerWrite,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// Some of everything, and more than one chunk of some.
async fn fill(world: &World) -> (Vec<Account>, Endpoint) {
    let store = &world.store;
    let endpoint = endpoint_in(&world.workspace);
    store.create_endpoint(&endpoint).await.unwrap();
    store
        .put_workspace(&workspace_named("ws_other", Some(3)))
        .await
        .unwrap();
    let key = ApiKey {
        id: crate::domain::id::ApiKeyId::generate(),
        kind: KeyKind::Workspace,
        workspace: Some(world.workspace.clone()),
        name: "first".to_owned(),
        prefix: "ap_12".to_owned(),
        hash: [3; 32],
        active: true,
        permissions: Permissions::all(),
        account: None,
        created_at: Timestamp(5),
        last_used_at: None,
        expires_at: None,
        previous: None,
        rate: None,
    };
    store.put_api_key(&key).await.unwrap();
    let version = ProviderVersion {
        digest: "aa".repeat(32),
        provider: "simulator".to_owned(),
        version: "0.1.0".to_owned(),
        installed_at: Timestamp(1),
    };
    store
        .put_provider(&version, &vec![7; 6_000_000])
        .await
        .unwrap();
    store
        .set_current_provider("simulator", &version.digest)
        .await
        .unwrap();
    let mut accounts = Vec::new();
    for number in 0..6_u64 {
        let mut account = account_in(&world.workspace);
        account.name = format!("with NUL \0 {number}");
        store.create_account(&account, &[]).await.unwrap();
        let mut group = Vec::new();
        for turn in 1..=20 {
            let mut commit = world.turn(&account, turn);
            commit.events = (0..30)
                .map(|index| keyed("a", &format!("{turn}/{index}")))
                .collect();
            commit.events[0].body = vec![b'x'; 100_000];
            commit.kv = (0..20)
                .map(|index| put(&format!("{turn}/{index}"), "v"))
                .collect();
            commit.kv.push(KvWrite {
                key: String::new(),
                value: Some(Vec::new()),
            });
            commit.timers = vec![TimerWrite {
                label: format!("t{turn}"),
                timer: Some(crate::storage::DurableTimer {
                    at: Timestamp(turn),
                    context: b"context".to_vec(),
                }),
            }];
            commit.secrets = vec![SecretWrite {
                name: "token".to_owned(),
                value: Some(b"hunter2".to_vec().into()),
            }];
            let mut record = world.record(&account);
            record.idempotency = Some(idempotency(&format!("{number}/{turn}"), 1));
            commit.sends = vec![SendChange {
                id: record.id,
                state: if turn % 2 == 0 {
                    SendState::Sent
                } else {
                    SendState::Dispatched
                },
                at: Timestamp(turn),
                sent: (turn % 2 == 0).then(|| SentMessage {
                    messages: vec![format!("m{turn}")],
                    conversation: None,
                    sent_at: Timestamp(1),
                    reply_context: None,
                }),
                failure: None,
            }];
            group.push(record.into());
            group.push(commit.into());
        }
        world.commit(group).await;
        accounts.push(account);
    }
    let detour = detour(&endpoint, 1, 1, DetourState::Waiting);
    let attempts = (1..=1500)
        .map(|number| super::contract::attempt(&endpoint, &detour.event, number))
        .collect();
    world
        .commit_one(DeliveryProgress {
            cursors: vec![(endpoint.id.clone(), PartitionId(3), 7)],
            detours: vec![detour],
            attempts,
            ..DeliveryProgress::default()
        })
        .await;
    (accounts, endpoint)
}

/// Everything that the trait shows, as text.
async fn shown(store: &dyn Store, accounts: &[Account], endpoint: &Endpoint) -> Vec<String> {
    let workspace = &endpoint.workspace;
    let mut all = vec![
        format!("{:?}", store.all_accounts().await.unwrap()),
        format!("{:?}", store.workspaces().await.unwrap()),
        format!("{:?}", store.api_keys().await.unwrap()),
        format!("{:?}", store.provider_versions().await.unwrap()),
        format!("{:?}", store.current_providers().await.unwrap()),
        format!(
            "{:?}",
            store
                .provider_bytes(&"aa".repeat(32))
                .await
                .unwrap()
                .map(|b| b.len())
        ),
        format!("{:?}", store.heads().await.unwrap()),
        format!("{:?}", store.all_endpoints().await.unwrap()),
        format!("{:?}", store.cursors(&endpoint.id).await.unwrap()),
        format!("{:?}", store.detours(&endpoint.id).await.unwrap()),
        format!(
            "{:?}",
            store.attempts(&endpoint.id, None, 5000).await.unwrap()
        ),
        format!(
            "{:?}",
            store
                .sends(workspace, None, None, None, 1000)
                .await
                .unwrap()
        ),
    ];
    for account in accounts {
        let mut after = 0;
        loop {
            let events = store
                .read_events(workspace, account.partition, after, 100)
                .await
                .unwrap();
            let Some(last) = events.last() else { break };
            after = last.offset;
            all.extend(events.iter().map(|event| format!("{event:?}")));
        }
        all.push(format!(
            "{:?}",
            store.kv_scan(&account.id, "", None, 10_000).await.unwrap()
        ));
        all.push(format!("{:?}", store.secrets(&account.id).await.unwrap()));
        all.push(format!("{:?}", store.timers(&account.id).await.unwrap()));
        all.push(format!(
            "{:?}",
            store.idempotent(workspace, "0/1").await.unwrap()
        ));
        let send = store
            .send_by_message(workspace, &account.id, "m2")
            .await
            .unwrap();
        all.push(format!("{:?}", send.unwrap()));
    }
    all
}

fn settings(directory: &Path, database: &TestDatabase) -> (SqliteSettings, PostgresSettings) {
    let key = KeySource::File(directory.join("operator.key"));
    (
        SqliteSettings::in_directory(directory),
        PostgresSettings::new(database.url.parse().unwrap(), key),
    )
}

fn refusal<T>(result: Result<T, StorageError>) -> String {
    match result {
        Err(StorageError::Unusable(text)) => text,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("not refused"),
    }
}

#[tokio::test]
async fn what_was_broken_off_goes_on_and_all_is_there() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let (store, directory) = super::sqlite::store().await;
    let world = World::new(store.clone()).await;
    let (accounts, endpoint) = fill(&world).await;
    let expected = shown(&*store, &accounts, &endpoint).await;
    let (from, to) = settings(directory.path(), &database);
    let text = refusal(migrate(from.clone(), to.clone(), |_| {}).await);
    assert!(text.contains("another host is running"), "{text}");
    drop((world, store));

    // Each time it comes some chunks further, and ends in the middle of the next.
    let copied = Arc::new(AtomicU64::new(0));
    for broken in 0..6 {
        let (chunks, enough) = (AtomicU64::new(0), Arc::new(Notify::new()));
        let (ring, copied) = (enough.clone(), copied.clone());
        let told = move |progress| {
            if matches!(progress, Progress::Copied { .. }) {
                copied.fetch_add(1, Ordering::Relaxed);
                if chunks.fetch_add(1, Ordering::Relaxed) == broken % 3 + 1 {
                    ring.notify_one();
                }
            }
        };
        tokio::select! {
            biased;
            () = enough.notified() => {}
            done = migrate(from.clone(), to.clone(), told) => panic!("{done:?} too early"),
        }
        let text = refusal(to.clone().open().await);
        assert!(text.contains("not finished"), "{text}");
    }
    let again = copied.clone();
    let mut checked = 0;
    migrate(from.clone(), to.clone(), |progress| match progress {
        Progress::Copied { .. } => {
            again.fetch_add(1, Ordering::Relaxed);
        }
        Progress::Checked { .. } => checked += 1,
    })
    .await
    .unwrap();
    assert!(checked >= 18, "{checked}");
    assert!(copied.load(Ordering::Relaxed) > 20);
    let text = refusal(migrate(from.clone(), to.clone(), |_| {}).await);
    assert!(text.contains("this installation already"), "{text}");

    let store: Arc<dyn Store> = Arc::new(to.open().await.unwrap());
    let found = shown(&*store, &accounts, &endpoint).await;
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        let start = |text: &str| text.chars().take(300).collect::<String>();
        assert!(found == expected, "{} is {}", start(expected), start(found));
    }
    // It goes on where it was.
    let world = World::new(store).await;
    let mut turn = world.turn(&accounts[0], 21);
    turn.events = vec![keyed("known", "20/3"), event("new")];
    let offsets = offsets(&world.commit_one(turn).await).to_vec();
    assert!(offsets[0].is_none() && offsets[1].is_some());
    let progress = DeliveryProgress {
        attempts: vec![super::contract::attempt(
            &endpoint,
            &crate::domain::EventId::generate(),
            1,
        )],
        ..DeliveryProgress::default()
    };
    world.commit_one(progress.clone()).await;
    let newest = world.store.attempts(&endpoint.id, None, 1).await.unwrap();
    assert_eq!(newest, progress.attempts);
}

#[tokio::test]
async fn other_installations_and_rows_of_others_are_refused() {
    let Some((store, database)) = super::postgres::store().await else {
        return;
    };
    drop(store);
    let (store, directory) = super::sqlite::store().await;
    let world = World::new(store.clone()).await;
    fill(&world).await;
    drop((world, store));
    let (from, to) = settings(directory.path(), &database);
    let text = refusal(migrate(from.clone(), to, |_| {}).await);
    assert!(text.contains("another installation"), "{text}");

    // What is changed in the target meanwhile is noticed.
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let (_, to) = settings(directory.path(), &database);
    let mut stranger = database.stranger().await;
    let (copied, sent) = tokio::sync::mpsc::unbounded_channel();
    let told = move |progress| {
        if let Progress::Copied { table, .. } = progress {
            let _ = copied.send(table);
        }
    };
    let mut sent = sent;
    let changing = async {
        while sent.recv().await.is_some_and(|table| table != "account") {}
        super::postgres::execute(
            &mut stranger,
            "UPDATE anyport.account SET wanted = 1 - wanted",
        )
        .await;
    };
    let (result, ()) = tokio::join!(migrate(from, to.clone(), told), changing);
    let text = refusal(result);
    assert!(text.contains("`account` differs"), "{text}");
    assert!(refusal(to.open().await).contains("not finished"));
    let missing = tempfile::tempdir().unwrap();
    let (from, to) = settings(missing.path(), &database);
    assert!(refusal(migrate(from, to, |_| {}).await).contains("there is no database"));
}
