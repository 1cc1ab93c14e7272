//! Groups that are refused, rolled back, or committed without an answer, on both databases.

use super::world::*;
use crate::storage::sql::SqlStore;
use crate::storage::sql::faults::Fault;
use crate::storage::{StorageError, Written};
use std::sync::Arc;

#[tokio::test]
async fn on_sqlite() {
    for fault in FAULTS {
        let (store, _directory) = super::sqlite::store().await;
        a_retry_applies_what_was_not_committed(store, fault).await;
    }
}

#[tokio::test]
async fn on_postgres() {
    for fault in FAULTS {
        let Some((store, _database)) = super::postgres::store().await else {
            return;
        };
        a_retry_applies_what_was_not_committed(store, fault).await;
    }
}

const FAULTS: [Fault; 3] = [Fault::Refuse, Fault::RollBack, Fault::LoseAnswer];

/// The group comes whole or not at all, and what is fenced stays fenced.
async fn a_retry_applies_what_was_not_committed(store: Arc<SqlStore>, fault: Fault) {
    let world = World::new(store.clone()).await;
    let account = world.account().await;
    let mut first = world.turn(&account, 1);
    first.events = vec![event("a")];
    world.commit_one(first.clone()).await;
    let mut host = world.turn(&account, None);
    host.kv = vec![put("k", "v")];
    let mut second = world.turn(&account, 2);
    second.events = vec![event("b")];
    first.events = vec![event("of a turn that is over")];
    let group = [host.into(), first.into(), second.into()];
    store.faults.plan([fault]);
    let refused = world.store.commit(0, &group, false).await;
    assert!(matches!(refused, Err(StorageError::Unavailable(_))));
    let written = world.store.commit(0, &group, true).await.unwrap();
    assert_eq!(written[1], Written::Fenced);
    assert_eq!(offsets(&written[2]), [Some(2)]);
    assert_eq!(world.kinds(&account).await, ["a", "b"]);
    let value = world.store.kv_get(&account.id, "k").await.unwrap();
    assert_eq!(value.unwrap(), b"v");
}
