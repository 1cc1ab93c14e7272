//! The writer: grouping, order, and what it does while the database refuses.

use super::sqlite::{execute, store, stranger};
use super::world::*;
use crate::domain::account::Account;
use crate::storage::sql::SqlStore;
use crate::storage::sql::faults::Fault;
use crate::storage::writer::{Writer, WriterSettings};
use crate::storage::{StorageError, Write, Written};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

async fn start(settings: WriterSettings) -> (World, Arc<SqlStore>, Writer, TempDir) {
    let (store, directory) = store().await;
    let world = World::new(store.clone()).await;
    let writer = Writer::start(store.clone(), settings);
    (world, store, writer, directory)
}

fn quick() -> WriterSettings {
    WriterSettings {
        first_pause: Duration::from_millis(2),
        last_pause: Duration::from_millis(10),
        shutdown_patience: Duration::from_secs(60),
        ..WriterSettings::default()
    }
}

/// Waits for what another thread brings about.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("never happened: {what}"));
}

fn turn(world: &World, account: &Account, number: u64) -> Write {
    let mut commit = world.turn(account, number);
    commit.events = vec![event(&format!("turn {number}"))];
    commit.into()
}

#[tokio::test]
async fn what_waits_goes_into_one_transaction_in_order() {
    let (world, store, writer, directory) = start(quick()).await;
    let account = world.account().await;
    let mut stranger = stranger(directory.path()).await;
    execute(&mut stranger, "BEGIN EXCLUSIVE").await;
    let answers = Arc::new(Mutex::new(Vec::new()));
    let mut log = writer.log_changed();
    log.mark_unchanged();
    for number in 1..=1000 {
        let answers = answers.clone();
        writer.submit(
            turn(&world, &account, number),
            Box::new(move |written| {
                answers.lock().unwrap().push((number, written.unwrap()));
            }),
        );
    }
    until("trouble", || writer.trouble().is_some()).await;
    assert!(answers.lock().unwrap().is_empty());
    let refused = store.faults.groups();
    execute(&mut stranger, "ROLLBACK").await;
    log.changed().await.unwrap();
    until("answers", || answers.lock().unwrap().len() == 1000).await;
    assert_eq!(writer.trouble(), None);
    for (index, (number, written)) in answers.lock().unwrap().iter().enumerate() {
        assert_eq!(*number, index as u64 + 1);
        assert_eq!(offsets(written), [Some(*number)]);
    }
    // What was attempted first, and all the rest; some attempts more until the lock was gone.
    let groups = store.faults.groups() - refused;
    assert!(groups < 50, "{groups}");
    assert_eq!(world.events(&account).await.len(), 1000);
    writer.shutdown().await;
}

#[tokio::test]
async fn sends_are_refused_while_the_database_is_away() {
    let (world, store, writer, directory) = start(quick()).await;
    let account = world.account().await;
    let mut stranger = stranger(directory.path()).await;
    execute(&mut stranger, "BEGIN EXCLUSIVE").await;
    let (answer, committed) = tokio::sync::oneshot::channel();
    writer.submit(
        turn(&world, &account, 1),
        Box::new(move |written| answer.send(written).unwrap()),
    );
    let mut record = world.record(&account);
    record.idempotency = Some(idempotency("key", 1));
    for _ in 0..3 {
        let refused = writer.write(record.clone().into()).await;
        assert!(matches!(refused, Err(StorageError::Unavailable(_))));
    }
    assert!(writer.trouble().is_some());
    execute(&mut stranger, "ROLLBACK").await;
    let written = committed.await.unwrap().unwrap();
    assert_eq!(offsets(&written), [Some(1)]);
    assert_eq!(writer.trouble(), None);
    let unsettled = world.store.unsettled_sends(&account.id).await.unwrap();
    assert!(unsettled.is_empty());
    assert_eq!(
        writer.write(record.into()).await.unwrap(),
        Written::Recorded
    );
    assert!(store.faults.groups() > 1);
}

/// The client was told no, so there must not be a yes in the database.
#[tokio::test]
async fn a_refused_send_whose_commit_was_made_is_taken_back() {
    let (world, store, writer, _directory) = start(quick()).await;
    let account = world.account().await;
    store
        .faults
        .plan([Fault::LoseAnswer, Fault::Refuse, Fault::RollBack]);
    let mut record = world.record(&account);
    record.idempotency = Some(idempotency("key", 1));
    let refused = writer.write(record.clone().into()).await;
    assert!(matches!(refused, Err(StorageError::Unavailable(_))));
    until("no trouble", || writer.trouble().is_none()).await;
    let unsettled = world.store.unsettled_sends(&account.id).await.unwrap();
    assert!(unsettled.is_empty());
    // The remaining faults hit account writes, which are tried until they are written.
    let written = writer.write(turn(&world, &account, 1)).await.unwrap();
    assert_eq!(offsets(&written), [Some(1)]);
    assert_eq!(store.faults.left(), 0);
    let again = writer.write(record.into()).await.unwrap();
    assert_eq!(again, Written::Recorded);
}

#[tokio::test]
async fn an_entry_that_cannot_be_written_fails_alone() {
    let (world, _store, writer, directory) = start(quick()).await;
    let broken = world.account().await;
    let sound = world.account().await;
    let mut stranger = stranger(directory.path()).await;
    sqlx::query("UPDATE data_key SET wrapped = x'00' WHERE owner = ?")
        .bind(format!("account:{}", broken.id))
        .execute(&mut stranger)
        .await
        .unwrap();
    execute(&mut stranger, "BEGIN EXCLUSIVE").await;
    let writes = [
        turn(&world, &sound, 1),
        turn(&world, &broken, 1),
        turn(&world, &sound, 2),
    ];
    let answers = futures::future::join_all(writes.map(|write| writer.write(write)));
    let unlock = async {
        until("trouble", || writer.trouble().is_some()).await;
        execute(&mut stranger, "ROLLBACK").await;
    };
    let (answers, ()) = tokio::join!(answers, unlock);
    assert!(matches!(answers[0], Ok(Written::Account { .. })));
    assert!(matches!(answers[1], Err(StorageError::Unusable(_))));
    assert!(matches!(answers[2], Ok(Written::Account { .. })));
    assert_eq!(world.kinds(&sound).await, ["turn 1", "turn 2"]);
}

#[tokio::test]
async fn a_shutdown_writes_what_waits() {
    let (world, store, writer, _directory) = start(quick()).await;
    let account = world.account().await;
    store.faults.plan([Fault::Refuse, Fault::LoseAnswer]);
    let answers = Arc::new(Mutex::new(0));
    for number in 1..=100 {
        let answers = answers.clone();
        writer.submit(
            turn(&world, &account, number),
            Box::new(move |written| {
                assert!(matches!(written, Ok(Written::Account { .. })));
                *answers.lock().unwrap() += 1;
            }),
        );
    }
    writer.shutdown().await;
    assert_eq!(*answers.lock().unwrap(), 100);
    assert_eq!(world.events(&account).await.len(), 100);
    let late = writer.write(turn(&world, &account, 101)).await;
    assert!(matches!(late, Err(StorageError::Unavailable(_))));
    writer.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_forever_for_the_database() {
    let settings = WriterSettings {
        shutdown_patience: Duration::from_millis(50),
        ..quick()
    };
    let (world, store, writer, _directory) = start(settings).await;
    let account = world.account().await;
    store.faults.plan(vec![Fault::Refuse; 100_000]);
    let written = writer.write(turn(&world, &account, 1));
    let (written, ()) = tokio::join!(written, writer.shutdown());
    assert!(matches!(written, Err(StorageError::Unavailable(_))));
}

#[tokio::test]
async fn a_full_queue_refuses_sends_and_takes_commits() {
    let settings = WriterSettings {
        queue_entries: 5,
        ..quick()
    };
    let (world, _store, writer, directory) = start(settings).await;
    let account = world.account().await;
    let mut stranger = stranger(directory.path()).await;
    execute(&mut stranger, "BEGIN EXCLUSIVE").await;
    let commits = (1..=20).map(|number| writer.write(turn(&world, &account, number)));
    let commits = futures::future::join_all(commits);
    let rest = async {
        let refused = writer.write(world.record(&account).into()).await;
        assert!(matches!(refused, Err(StorageError::Unavailable(_))));
        execute(&mut stranger, "ROLLBACK").await;
    };
    let (commits, ()) = tokio::join!(commits, rest);
    assert!(commits.iter().all(Result::is_ok));
    let taken = writer.write(world.record(&account).into()).await.unwrap();
    assert_eq!(taken, Written::Recorded);
}

#[tokio::test]
async fn a_callback_that_panics_stops_nothing() {
    let (world, _store, writer, _directory) = start(quick()).await;
    let account = world.account().await;
    writer.submit(
        turn(&world, &account, 1),
        Box::new(|_| panic!("on purpose, in a test")),
    );
    let written = writer.write(turn(&world, &account, 2)).await.unwrap();
    assert_eq!(offsets(&written), [Some(2)]);
}
