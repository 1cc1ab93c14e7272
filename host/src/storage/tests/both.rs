//! Keys, copies, deletions and retention on both databases. What is special about SQLite's files
//! stands in `upkeep`.

use super::postgres::TestDatabase;
use super::world::*;
use crate::domain::account::Account;
use crate::domain::{AccountId, PartitionId, Timestamp};
use crate::storage::key::KeySource;
use crate::storage::seal::OperatorKey;
use crate::storage::sqlite::SqliteSettings;
use crate::storage::{DeliveryProgress, RequestWrite, Retention, SecretWrite, StorageError};
use std::sync::Arc;
use uuid::Uuid;

/// Keeps nothing longer than somebody waits for it.
const SHORT: Retention = Retention {
    events_ms: 0,
    backlog_ms: crate::storage::DAY_MS,
    attempts_ms: 0,
    sends_ms: 0,
    media_ms: 0,
};

fn keys() -> KeySource {
    KeySource::GivenWithNext {
        key: OperatorKey::generate(),
        next: OperatorKey::generate(),
    }
}

/// One test per body on each database.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    let directory = tempfile::tempdir().unwrap();
                    let settings = super::SqliteSettings {
                        key: super::keys(),
                        retention: super::SHORT,
                        ..super::SqliteSettings::in_directory(directory.path())
                    };
                    let store = settings.open().await.unwrap();
                    super::$name(super::World::new(super::Arc::new(store)).await).await;
                }
            )*
        }

        mod on_postgres {
            $(
                #[tokio::test]
                async fn $name() {
                    let Some(database) = super::TestDatabase::new().await else { return };
                    let mut settings = database.settings();
                    settings.key = super::keys();
                    settings.retention = super::SHORT;
                    let store = settings.open().await.unwrap();
                    super::$name(super::World::new(super::Arc::new(store)).await).await;
                }
            )*
        }
    };
}

on_both! {
    the_operators_key_changes,
    a_copy_waits_until_it_is_resumed,
    a_deletion_is_a_state,
    what_nobody_waits_for_goes,
    requests_wait_for_their_answer,
    accounts_are_found_by_their_reference,
}

async fn requests_wait_for_their_answer(world: World) {
    let store = &world.store;
    let (account, other) = (world.account().await, world.account().await);
    let ids: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
    let put = |index: usize| RequestWrite::Put {
        id: ids[index],
        request: format!("request {index}").into_bytes(),
    };
    let started = |index: usize| RequestWrite::Started { id: ids[index] };
    let remove = |index: usize| RequestWrite::Remove { id: ids[index] };
    let seen = async |account: &Account| -> Vec<(String, bool)> {
        let stored = store.requests(&account.id).await.unwrap();
        stored
            .into_iter()
            .map(|one| (String::from_utf8(one.request).unwrap(), one.started))
            .collect()
    };
    let mut first = world.turn(&account, 1);
    first.requests = vec![put(0), put(1), put(2), started(1), put(3), remove(3)];
    // Of another account: the id is not its own.
    let mut foreign = world.turn(&other, 1);
    foreign.requests = vec![started(0), remove(2)];
    world.commit(vec![first.into(), foreign.into()]).await;
    let named = |index: usize, started| (format!("request {index}"), started);
    assert_eq!(
        seen(&account).await,
        [named(0, false), named(1, true), named(2, false)]
    );
    assert!(seen(&other).await.is_empty());
    let mut second = world.turn(&account, 2);
    second.requests = vec![started(0), remove(1), started(1), started(3)];
    world.commit(vec![second.into()]).await;
    assert_eq!(seen(&account).await, [named(0, true), named(2, false)]);
    // The original may have sent what its copy has.
    store.mark_restored(Timestamp(1)).await.unwrap();
    assert_eq!(seen(&account).await, [named(0, true), named(2, true)]);
}

async fn accounts_are_found_by_their_reference(world: World) {
    let mut ids = Vec::new();
    for (provider, reference) in [("a", "1"), ("a", "2"), ("b", "1")] {
        let mut account = account_in(&world.workspace);
        account.provider = provider.to_owned();
        account.provider_account_ref = Some(reference.to_owned());
        world.store.create_account(&account, &[]).await.unwrap();
        ids.push(account.id);
    }
    let found = async |provider: &str, reference: &str| -> Vec<AccountId> {
        let found = world.store.accounts_by_ref(provider, reference).await;
        found.unwrap().into_iter().map(|one| one.id).collect()
    };
    assert_eq!(found("a", "1").await, ids[..1]);
    assert_eq!(found("a", "3").await, []);
    world.store.begin_deletion(&ids[0]).await.unwrap();
    assert_eq!(found("a", "1").await, []);
    assert_eq!(found("b", "1").await, ids[2..]);
}

async fn the_operators_key_changes(world: World) {
    let store = &world.store;
    let account = account_in(&world.workspace);
    let secret = SecretWrite {
        name: "token".to_owned(),
        value: Some(b"before".to_vec().into()),
    };
    store.create_account(&account, &[secret]).await.unwrap();
    assert!(store.go_on_rotating_keys().await.unwrap().over);
    store.begin_key_rotation().await.unwrap();
    // In the middle both are good.
    let late = world.account().await;
    let mut wrapped = 0;
    loop {
        let step = store.go_on_rotating_keys().await.unwrap();
        wrapped += step.wrapped;
        if step.over {
            assert_eq!(step.version, 2);
            break;
        }
    }
    // The account, the workspace and the tokens.
    assert_eq!(wrapped, 3);
    let secrets = store.secrets(&account.id).await.unwrap();
    assert_eq!(secrets[0].1.expose(), b"before");
    for account in [&account, &late] {
        let mut turn = world.turn(account, 1);
        turn.kv = vec![put("k", "v")];
        world.commit_one(turn).await;
    }
    world.account().await;
    // There is no other one to go on to.
    assert!(matches!(
        store.begin_key_rotation().await,
        Err(StorageError::Conflict(_))
    ));
}

async fn a_copy_waits_until_it_is_resumed(world: World) {
    let store = &world.store;
    let (up, down) = (world.account().await, account_in(&world.workspace));
    let down = crate::domain::account::Account {
        wanted: false,
        ..down
    };
    store.create_account(&down, &[]).await.unwrap();
    let endpoint = endpoint_in(&world.workspace);
    store.create_endpoint(&endpoint).await.unwrap();
    let mut turn = world.turn(&up, 1);
    turn.events = vec![event("a")];
    world.commit_one(turn).await;
    let heads = store.heads().await.unwrap();
    let at = Timestamp(1_700_000_000_123);
    store.mark_restored(at).await.unwrap();
    assert_eq!(store.restored().await.unwrap(), Some(at));
    let held = store.all_accounts().await.unwrap();
    assert!(held.iter().all(|account| !account.wanted));
    for (head, before) in store.heads().await.unwrap().iter().zip(&heads) {
        assert!(*head > before + 1_000_000);
    }
    // An endpoint that had read everything is not behind by the gap; the other reads on.
    let cursors = store.cursors(&endpoint.id).await.unwrap();
    for (partition, cursor) in PartitionId::all().zip(cursors) {
        assert_eq!(cursor == 0, partition == up.partition, "{partition:?}");
    }
    let leases = store.acquire().await.unwrap();
    for (lease, before) in leases.iter().zip(&world.leases) {
        assert!(lease.epoch > before.epoch + 1_000_000);
    }
    assert_eq!(
        store.resume_restored().await.unwrap(),
        std::slice::from_ref(&up.id)
    );
    assert_eq!(store.restored().await.unwrap(), None);
    assert!(store.resume_restored().await.unwrap().is_empty());
    for account in store.all_accounts().await.unwrap() {
        assert_eq!(account.wanted, account.id == up.id);
    }
}

async fn a_deletion_is_a_state(world: World) {
    let store = &world.store;
    let (account, other) = (world.account().await, world.account().await);
    for account in [&account, &other] {
        let mut turn = world.turn(account, 1);
        turn.kv = (0..700).map(|n| put(&format!("k{n}"), "v")).collect();
        world
            .commit(vec![world.record(account).into(), turn.into()])
            .await;
    }
    assert!(store.deletions().await.unwrap().is_empty());
    store.begin_deletion(&account.id).await.unwrap();
    store.begin_deletion(&account.id).await.unwrap();
    assert_eq!(
        store.deletions().await.unwrap(),
        std::slice::from_ref(&account.id)
    );
    store.delete_account(&account.id).await.unwrap();
    assert!(store.deletions().await.unwrap().is_empty());
    assert!(store.begin_deletion(&account.id).await.is_err());
    let kv = async |id| store.kv_scan(id, "", None, 1000).await.unwrap().len();
    assert_eq!(kv(&account.id).await, 0);
    for _ in 0..2 {
        while store.maintain(0).await.unwrap() {}
    }
    assert_eq!(kv(&other.id).await, 700);
}

async fn what_nobody_waits_for_goes(world: World) {
    let store = &world.store;
    let account = world.account().await;
    let endpoint = endpoint_in(&world.workspace);
    store.create_endpoint(&endpoint).await.unwrap();
    let mut turn = world.turn(&account, 1);
    turn.events = (0..1000).map(|_| event("a")).collect();
    world.commit_one(turn).await;
    let kept = async || {
        // What is kept for no time is old when the clock has moved on.
        let now = Timestamp::now();
        while Timestamp::now() == now {
            tokio::task::yield_now().await;
        }
        while store.maintain(0).await.unwrap() {}
        let events = world.events(&account).await;
        let tail = store.tails().await.unwrap()[usize::from(account.partition.0)];
        (events.first().map(|event| event.offset), events.len(), tail)
    };
    assert_eq!(kept().await, (Some(1), 1000, 0));
    let detour = detour(
        &endpoint,
        account.partition.0,
        650,
        crate::domain::endpoint::DetourState::Waiting,
    );
    world
        .commit_one(DeliveryProgress {
            cursors: vec![(endpoint.id.clone(), account.partition, 700)],
            detours: vec![detour],
            ..DeliveryProgress::default()
        })
        .await;
    assert_eq!(kept().await, (Some(650), 351, 649));
    world
        .commit_one(DeliveryProgress {
            done: vec![(endpoint.id.clone(), account.partition, 650)],
            cursors: vec![(endpoint.id.clone(), account.partition, 1000)],
            ..DeliveryProgress::default()
        })
        .await;
    assert_eq!(kept().await, (None, 0, 1000));
    let mut turn = world.turn(&account, 2);
    turn.events = vec![event("b")];
    assert_eq!(offsets(&world.commit_one(turn).await), [Some(1001)]);
}
