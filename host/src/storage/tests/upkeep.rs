//! Keys that change, what retention lets go of, copies: on SQLite, with its files.

use super::sqlite::{open, store, stranger};
use super::world::*;
use crate::domain::endpoint::{DetourState, EndpointState};
use crate::domain::{PartitionId, Timestamp};
use crate::storage::key::{KeySource, next_file, retired_file};
use crate::storage::sqlite::{SqliteSettings, backup};
use crate::storage::{DeliveryProgress, Retention, SecretWrite, StorageError, Store};
use sqlx::Row as _;
use std::path::Path;
use std::sync::Arc;

async fn world() -> (World, tempfile::TempDir) {
    super::sqlite::world().await.unwrap()
}

async fn rotate(store: &dyn Store) -> u64 {
    store.begin_key_rotation().await.unwrap();
    let mut wrapped = 0;
    loop {
        let step = store.go_on_rotating_keys().await.unwrap();
        wrapped += step.wrapped;
        if step.over {
            return wrapped;
        }
    }
}

/// A host that died and came back on the same files.
async fn reopened(world: World, directory: &Path) -> World {
    let workspace = world.workspace.clone();
    drop(world);
    // The connections of the one before may end a little later.
    let store = loop {
        match open(directory).await {
            Ok(store) => break Arc::new(store),
            Err(StorageError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    let leases = loop {
        match store.acquire().await {
            Ok(leases) => break leases,
            Err(StorageError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    World {
        store,
        workspace,
        leases,
    }
}

#[tokio::test]
async fn a_rotation_may_end_at_any_step_and_goes_on() {
    let (world, directory) = world().await;
    let key_file = directory.path().join("operator.key");
    let first_key = std::fs::read(&key_file).unwrap();
    let mut accounts = Vec::new();
    for number in 0..450 {
        let account = account_in(&world.workspace);
        let secret = SecretWrite {
            name: "token".to_owned(),
            value: Some(format!("secret {number}").into_bytes().into()),
        };
        world
            .store
            .create_account(&account, &[secret])
            .await
            .unwrap();
        accounts.push(account);
    }
    let opens = async |world: &World| {
        for (number, account) in accounts.iter().enumerate() {
            let secrets = world.store.secrets(&account.id).await.unwrap();
            let value = format!("secret {number}").into_bytes();
            assert_eq!(secrets, [("token".to_owned(), value.into())]);
        }
    };
    let world = reopened(world, directory.path()).await;
    world.store.begin_key_rotation().await.unwrap();
    assert!(next_file(&key_file).exists());
    let world = reopened(world, directory.path()).await;
    opens(&world).await;
    // What is made now is wrapped with the new key; asked for again it goes on, not over again.
    let late = world.account().await;
    world.store.begin_key_rotation().await.unwrap();
    let step = world.store.go_on_rotating_keys().await.unwrap();
    assert_eq!((step.version, step.wrapped, step.over), (2, 200, false));
    let world = reopened(world, directory.path()).await;
    opens(&world).await;
    let mut left = 0;
    while !{
        let step = world.store.go_on_rotating_keys().await.unwrap();
        left += step.wrapped;
        step.over
    } {}
    // 450 accounts, a workspace and the tokens' key, less the step before.
    assert_eq!(left, 452 - 200);
    assert!(!next_file(&key_file).exists());
    assert_ne!(std::fs::read(&key_file).unwrap(), first_key);
    assert_eq!(
        std::fs::read(retired_file(&key_file, 1)).unwrap(),
        first_key
    );
    let world = reopened(world, directory.path()).await;
    opens(&world).await;
    assert!(
        world
            .store
            .account(&world.workspace, &late.id)
            .await
            .unwrap()
            .is_some()
    );
    // The key before opens nothing any more.
    drop(world);
    let mut settings = SqliteSettings::in_directory(directory.path());
    settings.key = KeySource::File(retired_file(&key_file, 1));
    match settings.open().await {
        Err(StorageError::Unusable(text)) => assert!(text.contains("another operator key")),
        _ => panic!("the retired key opens the database"),
    }
}

#[tokio::test]
async fn a_rotation_leaves_nothing_under_the_key_before() {
    let (world, directory) = world().await;
    let account = world.account().await;
    let wrapped = async || {
        let mut stranger = stranger(directory.path()).await;
        let rows = sqlx::query("SELECT wrapped, key_version FROM data_key ORDER BY owner")
            .fetch_all(&mut stranger)
            .await
            .unwrap();
        rows.iter()
            .map(|row| (row.get::<Vec<u8>, _>(0), row.get::<i64, _>(1)))
            .collect::<Vec<_>>()
    };
    let before = wrapped().await;
    assert_eq!(rotate(&*world.store).await, 3);
    let after = wrapped().await;
    assert_eq!(after.len(), before.len());
    for ((before, _), (after, version)) in before.iter().zip(&after) {
        assert_ne!(before, after);
        assert_eq!(*version, 2);
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let found = bytes.windows(before.len()).any(|window| window == before);
            assert!(!found, "wrapped by the key before");
        }
    }
    world.commit_one(world.turn(&account, 1)).await;
    // And once more.
    assert_eq!(rotate(&*world.store).await, 3);
    let world = reopened(world, directory.path()).await;
    world.commit_one(world.turn(&account, 2)).await;
}

/// Another host rotated meanwhile: what this one would wrap, nobody could open.
#[tokio::test]
async fn a_host_that_missed_a_rotation_makes_no_keys() {
    let (world, directory) = world().await;
    let mut stranger = stranger(directory.path()).await;
    sqlx::query("INSERT INTO meta (name, value) VALUES ('operator_version', x'32')")
        .execute(&mut stranger)
        .await
        .unwrap();
    let account = account_in(&world.workspace);
    match world.store.create_account(&account, &[]).await {
        Err(StorageError::Unusable(text)) => assert!(text.contains("rotated"), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// Rows that somebody swapped do not open in their new places.
#[tokio::test]
async fn sealed_values_do_not_open_elsewhere() {
    for (what, swap) in [
        (
            "values of two keys",
            "UPDATE kv SET value_sealed = (SELECT other.value_sealed FROM kv AS other \
             WHERE other.account = kv.account AND other.key <> kv.key)",
        ),
        (
            "data keys of two accounts",
            "UPDATE data_key SET wrapped = (SELECT other.wrapped FROM data_key AS other \
             WHERE other.owner LIKE 'account:%' AND other.owner <> data_key.owner) \
             WHERE owner LIKE 'account:%'",
        ),
        (
            "values of two accounts",
            "UPDATE kv SET value_sealed = (SELECT other.value_sealed FROM kv AS other \
             WHERE other.account <> kv.account AND other.key = kv.key)",
        ),
        (
            "a secret as a value",
            "UPDATE kv SET value_sealed = (SELECT secret.value_sealed FROM secret \
             WHERE secret.account = kv.account AND secret.name = CAST(kv.key AS TEXT))",
        ),
    ] {
        let (world, directory) = world().await;
        let accounts = [world.account().await, world.account().await];
        for account in &accounts {
            let mut turn = world.turn(account, 1);
            turn.kv = vec![put("a", "1"), put("b", "2")];
            turn.secrets = ["a", "b"]
                .map(|name| SecretWrite {
                    name: name.to_owned(),
                    value: Some(b"secret".to_vec().into()),
                })
                .into();
            world.commit_one(turn).await;
        }
        let mut stranger = stranger(directory.path()).await;
        sqlx::query(swap).execute(&mut stranger).await.unwrap();
        // Keys in memory would hide what the database says now.
        drop(world);
        let store = open(directory.path()).await.unwrap();
        let mut refused = 0;
        for account in &accounts {
            for (key, own) in [("a", b"1"), ("b", b"2")] {
                match store.kv_get(&account.id, key).await {
                    Err(StorageError::Unusable(_)) => refused += 1,
                    // Where the statement put back what was there.
                    Ok(Some(value)) => assert_eq!(value, own, "{what}"),
                    other => panic!("{what}: {other:?}"),
                }
            }
        }
        assert!(refused > 0, "{what}: nothing was swapped");
    }
}

/// Events of partition 0, whichever account of it: (offset, kept).
async fn kept(world: &World, account: &crate::domain::account::Account) -> Vec<u64> {
    let events = world.events(account).await;
    events.into_iter().map(|event| event.offset).collect()
}

async fn age_events(directory: &Path, up_to: u64, partition: PartitionId, ms: u64) {
    let mut stranger = stranger(directory).await;
    sqlx::query(
        "UPDATE event SET recorded_at = recorded_at - ? \
         WHERE position > ? AND position <= ?",
    )
    .bind(ms as i64)
    .bind(i64::from(partition.0) << 48)
    .bind((i64::from(partition.0) << 48) + up_to as i64)
    .execute(&mut stranger)
    .await
    .unwrap();
}

async fn tidy(store: &dyn Store) {
    while store.maintain(0).await.unwrap() {}
}

async fn tail(world: &World, partition: PartitionId) -> u64 {
    world.store.tails().await.unwrap()[usize::from(partition.0)]
}

#[tokio::test]
async fn retention_removes_what_is_old_and_nothing_that_is_waited_for() {
    let (world, directory) = world().await;
    let account = world.account().await;
    let retention = Retention::default();
    let endpoint = endpoint_in(&world.workspace);
    world.store.create_endpoint(&endpoint).await.unwrap();
    let mut turn = world.turn(&account, 1);
    turn.events = (0..1000).map(|_| event("a")).collect();
    world.commit_one(turn).await;
    tidy(&*world.store).await;
    assert_eq!(kept(&world, &account).await.len(), 1000);
    assert_eq!(tail(&world, account.partition).await, 0);

    // Old, but the endpoint has read up to 700, and waits for a retry of 650.
    age_events(
        directory.path(),
        900,
        account.partition,
        retention.events_ms + 60_000,
    )
    .await;
    let progress = |cursor: u64, detours, done| DeliveryProgress {
        cursors: vec![(endpoint.id.clone(), account.partition, cursor)],
        detours,
        done,
        ..DeliveryProgress::default()
    };
    let row = |offset, state| detour(&endpoint, account.partition.0, offset, state);
    let parked = row(10, DetourState::Parked);
    let waiting = row(650, DetourState::Waiting);
    world
        .commit_one(progress(700, vec![parked, waiting], vec![]))
        .await;
    tidy(&*world.store).await;
    assert_eq!(
        kept(&world, &account).await,
        (650..=1000).collect::<Vec<_>>()
    );
    assert_eq!(tail(&world, account.partition).await, 649);
    // What was given up cannot be sent again without its event.
    assert!(world.store.parked(&endpoint.id).await.unwrap().is_empty());

    let done = vec![(endpoint.id.clone(), account.partition, 650)];
    world.commit_one(progress(800, vec![], done)).await;
    tidy(&*world.store).await;
    assert_eq!(
        kept(&world, &account).await,
        (801..=1000).collect::<Vec<_>>()
    );

    // Beyond the limit nobody is waited for.
    age_events(
        directory.path(),
        850,
        account.partition,
        retention.backlog_ms,
    )
    .await;
    tidy(&*world.store).await;
    assert_eq!(
        kept(&world, &account).await,
        (851..=1000).collect::<Vec<_>>()
    );

    // An endpoint that is switched off holds nothing.
    world
        .store
        .set_endpoint_state(&endpoint.id, EndpointState::Disabled, None)
        .await
        .unwrap();
    tidy(&*world.store).await;
    assert_eq!(
        kept(&world, &account).await,
        (901..=1000).collect::<Vec<_>>()
    );
    assert_eq!(tail(&world, account.partition).await, 900);

    // The log goes on where it was.
    let mut turn = world.turn(&account, 2);
    turn.events = vec![event("b")];
    assert_eq!(offsets(&world.commit_one(turn).await), [Some(1001)]);
}

#[tokio::test]
async fn one_workspaces_endpoint_holds_nothing_of_anothers() {
    let (world, directory) = world().await;
    let other = workspace_named("ws_other", None);
    world.store.put_workspace(&other).await.unwrap();
    let mine = world.account().await;
    let theirs = loop {
        let account = account_in(&other.id);
        if account.partition == mine.partition {
            break account;
        }
    };
    world.store.create_account(&theirs, &[]).await.unwrap();
    world
        .store
        .create_endpoint(&endpoint_in(&world.workspace))
        .await
        .unwrap();
    for account in [&mine, &theirs] {
        let mut turn = world.turn(account, 1);
        turn.events = vec![event("a"), event("b")];
        world.commit_one(turn).await;
    }
    let old = Retention::default().events_ms + 1;
    age_events(directory.path(), 100, mine.partition, old).await;
    tidy(&*world.store).await;
    assert_eq!(kept(&world, &mine).await, [1, 2]);
    assert!(kept(&world, &theirs).await.is_empty());
}

#[tokio::test]
async fn old_attempts_and_sends_go() {
    let (world, directory) = world().await;
    let account = world.account().await;
    let endpoint = endpoint_in(&world.workspace);
    world.store.create_endpoint(&endpoint).await.unwrap();
    let now = Timestamp::now();
    let long_ago = Timestamp(now.0 - Retention::default().sends_ms - 60_000);
    let mut attempts: Vec<_> = (1..=3)
        .map(|number| super::contract::attempt(&endpoint, &event("a").id, number))
        .collect();
    (attempts[0].at, attempts[1].at, attempts[2].at) = (long_ago, long_ago, now);
    world
        .commit_one(DeliveryProgress {
            attempts,
            ..DeliveryProgress::default()
        })
        .await;
    let old_id = |number: u64| {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&long_ago.0.to_be_bytes()[2..]);
        bytes[15] = number as u8;
        crate::domain::SendId(uuid::Uuid::from_bytes(bytes))
    };
    let (mut settled, mut open_still, young) = (
        world.record(&account),
        world.record(&account),
        world.record(&account),
    );
    (settled.id, open_still.id) = (old_id(1), old_id(2));
    let mut turn = world.turn(&account, 1);
    turn.sends = [(&settled, long_ago), (&young, now)]
        .map(|(record, at)| crate::domain::send::SendChange {
            id: record.id,
            state: crate::domain::send::SendState::Sent,
            at,
            sent: Some(crate::domain::send::SentMessage {
                messages: vec![format!("m {}", record.id)],
                conversation: None,
                sent_at: at,
                reply_context: None,
            }),
            failure: None,
        })
        .into();
    let (settled_id, open_id, young_id) = (settled.id, open_still.id, young.id);
    world
        .commit(vec![
            settled.into(),
            open_still.into(),
            young.into(),
            turn.into(),
        ])
        .await;
    tidy(&*world.store).await;
    let numbers: Vec<u32> = world
        .store
        .attempts(&endpoint.id, None, 10)
        .await
        .unwrap()
        .iter()
        .map(|attempt| attempt.number)
        .collect();
    assert_eq!(numbers, [3]);
    let there = async |id| {
        world
            .store
            .send(&world.workspace, &id)
            .await
            .unwrap()
            .is_some()
    };
    assert!(!there(settled_id).await);
    assert!(there(open_id).await, "one that is not settled stays");
    assert!(there(young_id).await);
    let mut stranger = stranger(directory.path()).await;
    let names: i64 = sqlx::query_scalar("SELECT count(*) FROM sent_message")
        .fetch_one(&mut stranger)
        .await
        .unwrap();
    assert_eq!(names, 1);
}

#[tokio::test]
async fn what_a_deleted_account_left_is_removed_little_by_little() {
    let (world, directory) = world().await;
    let (account, other) = (world.account().await, world.account().await);
    for account in [&account, &other] {
        let mut turn = world.turn(account, 1);
        turn.kv = (0..700).map(|n| put(&format!("k{n}"), "v")).collect();
        turn.events = vec![keyed("a", "1")];
        world
            .commit(vec![world.record(account).into(), turn.into()])
            .await;
    }
    world.store.begin_deletion(&account.id).await.unwrap();
    let world = reopened(world, directory.path()).await;
    assert_eq!(
        world.store.deletions().await.unwrap(),
        std::slice::from_ref(&account.id)
    );
    world.store.delete_account(&account.id).await.unwrap();
    assert!(world.store.deletions().await.unwrap().is_empty());
    // Nothing of it can be read from the moment on that its key is gone.
    assert!(world.store.secrets(&account.id).await.unwrap().is_empty());
    assert_eq!(world.store.kv_get(&account.id, "k1").await.unwrap(), None);
    tidy(&*world.store).await;
    let mut stranger = stranger(directory.path()).await;
    for table in [
        "secret",
        "kv",
        "timer",
        "request",
        "dedupe",
        "sent_message",
        "send",
    ] {
        let sql = format!("SELECT count(*) FROM {table} WHERE account = ?");
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(account.id.as_str())
            .fetch_one(&mut stranger)
            .await
            .unwrap();
        assert_eq!(left, 0, "{table}");
    }
    let value = world.store.kv_get(&other.id, "k699").await.unwrap();
    assert_eq!(value.unwrap(), b"v");
    assert_eq!(world.kinds(&other).await, ["a"]);
}

#[tokio::test]
async fn a_restored_copy_waits_and_goes_on_beyond_its_original() {
    let (world, directory) = world().await;
    let (up, down) = (world.account().await, account_in(&world.workspace));
    let down = crate::domain::account::Account {
        wanted: false,
        ..down
    };
    world.store.create_account(&down, &[]).await.unwrap();
    let endpoint = endpoint_in(&world.workspace);
    world.store.create_endpoint(&endpoint).await.unwrap();
    let mut turn = world.turn(&up, 1);
    turn.events = vec![event("a")];
    world.commit_one(turn).await;
    let file = directory.path().join("copy");
    let database = directory.path().join("anyport.db");
    let copied = backup::back_up(&database, &file, false).await.unwrap();
    assert_eq!((copied.accounts, copied.events), (2, 1));
    let again = backup::back_up(&database, &file, false).await;
    assert!(again.unwrap_err().to_string().contains("there already"));
    backup::back_up(&database, &file, true).await.unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The original goes on.
    let mut turn = world.turn(&up, 2);
    turn.events = vec![event("b")];
    world.commit_one(turn).await;

    let elsewhere = tempfile::tempdir().unwrap();
    let mut settings = SqliteSettings::in_directory(elsewhere.path());
    settings.key = KeySource::File(directory.path().join("operator.key"));
    let at = Timestamp::now();
    backup::restore(&file, &settings, at).await.unwrap();
    let twice = backup::restore(&file, &settings, at).await.unwrap_err();
    assert!(twice.to_string().contains("empty directory"), "{twice}");
    let copy = Arc::new(settings.open().await.unwrap());
    assert_eq!(copy.restored().await.unwrap(), Some(at));
    for account in copy.all_accounts().await.unwrap() {
        assert!(!account.wanted);
    }
    let leases = copy.acquire().await.unwrap();
    let copy = World {
        store: copy,
        workspace: world.workspace.clone(),
        leases,
    };
    assert!(copy.epoch(up.partition) > world.epoch(up.partition) + 1_000_000);
    assert_eq!(copy.kinds(&up).await, ["a"]);
    let mut turn = copy.turn(&up, 2);
    turn.events = vec![event("c")];
    let offset = offsets(&copy.commit_one(turn).await)[0].unwrap();
    // Who has read the original's second event reads this one, too.
    let after = copy
        .store
        .read_events(&copy.workspace, up.partition, 2, 10)
        .await
        .unwrap();
    assert_eq!((after.len(), after[0].offset), (1, offset));
    let cursors = copy.store.cursors(&endpoint.id).await.unwrap();
    assert!(cursors[usize::from(down.partition.0)] > 1_000_000 || down.partition == up.partition);

    let started = copy.store.resume_restored().await.unwrap();
    assert_eq!(started, std::slice::from_ref(&up.id));
    assert_eq!(copy.store.restored().await.unwrap(), None);
    let account = copy.store.account(&copy.workspace, &up.id).await.unwrap();
    assert!(account.unwrap().wanted);
}

#[tokio::test]
async fn what_is_no_whole_copy_is_not_restored() {
    let (world, directory) = world().await;
    let account = world.account().await;
    let mut turn = world.turn(&account, 1);
    turn.events = (0..200).map(|_| event("a")).collect();
    world.commit_one(turn).await;
    let file = directory.path().join("copy");
    backup::back_up(&directory.path().join("anyport.db"), &file, false)
        .await
        .unwrap();
    let whole = std::fs::read(&file).unwrap();
    let key = KeySource::File(directory.path().join("operator.key"));
    backup::check(&file, &key).await.unwrap();
    let refusal = async || backup::check(&file, &key).await.unwrap_err().to_string();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let text = refusal().await;
    assert!(
        text.contains("damaged") || text.contains("malformed"),
        "{text}"
    );
    let mut broken = whole.clone();
    for byte in &mut broken[40_000..60_000] {
        *byte = 0x5a;
    }
    std::fs::write(&file, broken).unwrap();
    let text = refusal().await;
    assert!(
        text.contains("damaged") || text.contains("malformed"),
        "{text}"
    );
    std::fs::write(&file, "").unwrap();
    assert!(refusal().await.contains("empty"));
    std::fs::write(&file, whole).unwrap();
    backup::check(&file, &key).await.unwrap();
    let other = KeySource::Given(crate::storage::seal::OperatorKey::generate());
    let text = backup::check(&file, &other).await.unwrap_err().to_string();
    assert!(text.contains("another operator key"), "{text}");
    let nothing = backup::check(&directory.path().join("nothing"), &key).await;
    assert!(nothing.unwrap_err().to_string().contains("no file"));

    // Where a host runs, nothing is restored.
    let (_running, elsewhere) = store().await;
    let settings = SqliteSettings {
        key,
        ..SqliteSettings::in_directory(elsewhere.path())
    };
    let text = backup::restore(&file, &settings, Timestamp::now())
        .await
        .unwrap_err()
        .to_string();
    assert!(text.contains("another host is running"), "{text}");
}
