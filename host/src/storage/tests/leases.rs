//! Several hosts on one PostgreSQL: who owns what, and when.

use super::postgres::{TestDatabase, execute};
use super::world::*;
use crate::domain::PartitionId;
use crate::storage::instance::Identity;
use crate::storage::keeper::Keeper;
use crate::storage::lease::{Notice, OwnershipState};
use crate::storage::postgres::PostgresSettings;
use crate::storage::sql::SqlStore;
use crate::storage::{StorageError, Store, Write, Written};
use std::sync::Arc;

const ALL: usize = PartitionId::COUNT as usize;

/// A host with a data directory of this name.
async fn host(database: &TestDatabase, instance: &str) -> Arc<SqlStore> {
    let settings = PostgresSettings {
        identity: Identity::of_instance(format!("{instance} {}", database.url)),
        ..database.settings()
    };
    Arc::new(settings.open().await.unwrap())
}

/// As if no host had renewed its lease for long.
async fn time_passes(database: &TestDatabase) {
    let sql = "UPDATE anyport.host SET lease_until = lease_until - interval '1 minute'";
    execute(&mut database.stranger().await, sql).await;
}

#[tokio::test]
async fn a_dead_hosts_partitions_are_taken_over_once() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let first = host(&database, "first").await;
    let second = host(&database, "second").await;
    let third = host(&database, "third").await;
    let began = first.acquire().await.unwrap();
    assert_eq!(began.len(), ALL);
    assert!(first.acquire().await.unwrap().is_empty(), "taken twice");
    for store in [&second, &third] {
        assert!(store.acquire().await.unwrap().is_empty());
        assert!(store.renew().await.unwrap().is_empty());
    }
    assert_eq!(first.renew().await.unwrap(), began);
    let hosts = second.hosts().await.unwrap();
    let owned: Vec<(u32, bool)> = hosts
        .iter()
        .map(|host| (host.partitions, host.this))
        .collect();
    assert_eq!(owned, [(64, false), (0, true), (0, false)]);

    // It ran out, and nobody was there: it is renewed as if nothing had been.
    time_passes(&database).await;
    assert_eq!(first.renew().await.unwrap(), began);
    // It ran out, and two are there: one of them has all of it, the others nothing.
    time_passes(&database).await;
    second.renew().await.unwrap();
    third.renew().await.unwrap();
    let (two, three) = tokio::join!(second.acquire(), third.acquire());
    let (two, three) = (two.unwrap(), three.unwrap());
    assert_eq!(two.len() + three.len(), ALL);
    assert!(two.is_empty() || three.is_empty());
    let now = if two.is_empty() { &three } else { &two };
    for (before, after) in began.iter().zip(now) {
        assert_eq!(before.partition, after.partition);
        assert_eq!(before.epoch + 1, after.epoch);
    }
    assert!(first.renew().await.unwrap().is_empty());
    assert!(first.acquire().await.unwrap().is_empty());
    // Given up, whoever comes first has it.
    for store in [&second, &third] {
        store.release().await.unwrap();
    }
    assert_eq!(first.acquire().await.unwrap().len(), ALL);
}

#[tokio::test]
async fn what_a_stale_host_commits_is_fenced() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let first = World::new(host(&database, "first").await).await;
    let account = first.account().await;
    let mut turn = first.turn(&account, 1);
    turn.events = vec![event("before")];
    first.commit_one(turn).await;
    time_passes(&database).await;
    let second = host(&database, "second").await;
    let leases = second.acquire().await.unwrap();
    assert_eq!(leases.len(), ALL);
    let second = World {
        store: second,
        workspace: first.workspace.clone(),
        leases,
    };
    let mut stale = first.turn(&account, 2);
    stale.events = vec![event("stale")];
    let mut fresh = second.turn(&account, 2);
    fresh.events = vec![event("after")];
    let group: [Write; 2] = [stale.into(), first.record(&account).into()];
    let written = first.store.commit(0, &group, false).await.unwrap();
    assert_eq!(written, [Written::Fenced, Written::Fenced]);
    assert_eq!(offsets(&second.commit_one(fresh).await), [Some(2)]);
    assert_eq!(second.kinds(&account).await, ["before", "after"]);
    // A send still finds its way to the owner.
    let mut record = first.record(&account);
    record.epoch = None;
    assert_eq!(first.commit_one(record).await, Written::Recorded);
    assert_eq!(second.store.hand_overs().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_restarted_host_takes_its_own_lease_back() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let before = host(&database, "first").await;
    let began = before.acquire().await.unwrap();
    // While the process before lives, another one of the same data gets nothing.
    let copy = host(&database, "first").await;
    assert!(copy.acquire().await.unwrap().is_empty());
    drop(copy);
    assert_eq!(before.renew().await.unwrap(), began);
    drop(before);
    let after = host(&database, "first").await;
    let now = after.acquire().await.unwrap();
    assert_eq!(now.len(), ALL);
    assert!(
        now.iter()
            .zip(&began)
            .all(|(now, then)| now.epoch > then.epoch)
    );
}

/// A host that was stopped in the middle of a commit holds rows: nobody waits for it for long.
#[tokio::test]
async fn rows_that_are_held_make_a_takeover_wait_not_hang() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let first = host(&database, "first").await;
    first.acquire().await.unwrap();
    let second = host(&database, "second").await;
    let mut stopped = database.stranger().await;
    execute(
        &mut stopped,
        "BEGIN; SELECT id FROM anyport.partition WHERE id = 7 FOR NO KEY UPDATE",
    )
    .await;
    time_passes(&database).await;
    let error = second.acquire().await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
    execute(&mut stopped, "ROLLBACK").await;
    assert_eq!(second.acquire().await.unwrap().len(), ALL);
}

#[tokio::test]
async fn hosts_hear_each_other() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let first = host(&database, "first").await;
    let second = host(&database, "second").await;
    let mut heard = first.notices().unwrap();
    // When it begins to listen, it looks for all that it may have missed.
    for missed in [Notice::Free, Notice::HandOver, Notice::Providers] {
        assert_eq!(heard.recv().await, Some(missed));
    }
    let told = Notice::Endpoint(endpoint_in(&crate::domain::WorkspaceId::from_text("ws")).id);
    first.notify(&Notice::HandOver).await.unwrap();
    second.notify(&told).await.unwrap();
    assert_eq!(heard.recv().await, Some(told), "its own are not heard");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keeper_acquires_loses_and_acquires_again() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let first = Keeper::start(host(&database, "first").await).await.unwrap();
    let second = Keeper::start(host(&database, "second").await)
        .await
        .unwrap();
    let mine = first.ownership();
    let epochs = mine.epochs();
    assert_eq!(epochs.count(), ALL);
    let epoch = epochs.of(PartitionId(5)).unwrap();
    assert!(mine.holds(PartitionId(5), epoch));
    assert_eq!(second.ownership().state(), OwnershipState::Standby);
    first.release().await;
    assert!(!mine.holds(PartitionId(5), epoch));
    second.look();
    let mut changes = second.ownership().changes();
    let all = changes.wait_for(|picture| picture.epochs.count() == ALL);
    let now = all.await.unwrap().epochs;
    assert_eq!(now.of(PartitionId(5)), Some(epoch + 1));
    // Somebody takes it away behind its back: a refused commit makes it look.
    execute(
        &mut database.stranger().await,
        "DELETE FROM anyport.host; UPDATE anyport.partition SET owner = 'x', epoch = epoch + 1; \
         INSERT INTO anyport.host VALUES ('x', 'x', 'x', now(), now(), now() + interval '1 hour')",
    )
    .await;
    second.ownership().doubt();
    let none = changes.wait_for(|picture| picture.epochs.count() == 0);
    none.await.unwrap();
}
