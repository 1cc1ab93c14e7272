//! What is special about SQLite: files, locks, foreign databases, full disks; and the contract.

use super::world::*;
use crate::domain::PartitionId;
use crate::domain::Timestamp;
use crate::domain::account::{Profile, Proxy, ProxyKind};
use crate::domain::chat::Avatar;
use crate::domain::endpoint::DetourState;
use crate::domain::send::{SendChange, SendState, SentMessage};
use crate::storage::key::KeySource;
use crate::storage::seal::OperatorKey;
use crate::storage::sql::SqlStore;
use crate::storage::sqlite::SqliteSettings;
use crate::storage::{DeliveryProgress, SecretWrite, StorageError, TimerWrite};
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub async fn world() -> Option<(World, TempDir)> {
    let (store, directory) = store().await;
    Some((World::new(store).await, directory))
}

async fn here() -> (World, TempDir) {
    world().await.unwrap()
}

pub async fn store() -> (Arc<SqlStore>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await.unwrap();
    (Arc::new(store), directory)
}

pub async fn open(directory: &Path) -> Result<SqlStore, StorageError> {
    let mut settings = SqliteSettings::in_directory(directory);
    settings.busy_timeout = Duration::from_millis(20);
    settings.open().await
}

/// A connection of somebody else to the same file.
pub async fn stranger(directory: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(directory.join("anyport.db"))
        .busy_timeout(Duration::from_secs(5));
    SqliteConnection::connect_with(&options).await.unwrap()
}

pub async fn execute(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

super::contract_tests!(world);

fn refusal(result: Result<SqlStore, StorageError>) -> String {
    match result {
        Err(StorageError::Unusable(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn files_are_private_and_everything_is_there_after_a_restart() {
    let (world, directory) = here().await;
    let account = world.account().await;
    let mut turn = world.turn(&account, 1);
    turn.events = vec![event("a")];
    turn.kv = vec![put("k", "v")];
    world.commit_one(turn).await;
    for name in [
        "anyport.db",
        "anyport.db-wal",
        "anyport.db-shm",
        "anyport.db.lock",
        "operator.key",
    ] {
        let metadata = std::fs::metadata(directory.path().join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
    let epoch = world.epoch(account.partition);
    drop(world);
    let store: Arc<SqlStore> = Arc::new(open(directory.path()).await.unwrap());
    let world = World::new(store).await;
    assert_eq!(world.epoch(account.partition), epoch + 1);
    assert_eq!(world.kinds(&account).await, ["a"]);
    let value = world.store.kv_get(&account.id, "k").await.unwrap();
    assert_eq!(value.unwrap(), b"v");
    let mut turn = world.turn(&account, 2);
    turn.events = vec![event("b")];
    assert_eq!(offsets(&world.commit_one(turn).await), [Some(2)]);
}

#[tokio::test]
async fn a_second_host_is_refused() {
    let (store, directory) = store().await;
    let text = refusal(open(directory.path()).await);
    assert!(text.contains("another host is running"), "{text}");
    drop(store);
    open(directory.path()).await.unwrap();
}

#[tokio::test]
async fn foreign_newer_and_otherwise_sealed_databases_are_refused() {
    // Another program's.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anyport.db");
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let mut foreign = SqliteConnection::connect_with(&options).await.unwrap();
    execute(
        &mut foreign,
        "CREATE TABLE accounts (id); PRAGMA user_version = 1",
    )
    .await;
    foreign.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let text = refusal(open(directory.path()).await);
    assert!(text.contains("another program"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert!(!directory.path().join("operator.key").exists());

    // No database at all.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anyport.db");
    std::fs::write(
        &path,
        "not a database, but long enough for a header ".repeat(40),
    )
    .unwrap();
    refusal(open(directory.path()).await);

    // A newer one.
    let (store, directory) = store().await;
    drop(store);
    let mut newer = stranger(directory.path()).await;
    execute(&mut newer, "PRAGMA user_version = 99").await;
    newer.close().await.unwrap();
    let text = refusal(open(directory.path()).await);
    assert!(text.contains("newer version"), "{text}");

    // Without its key, and with another.
    let (store, directory) = self::store().await;
    drop(store);
    let key = directory.path().join("operator.key");
    std::fs::rename(&key, directory.path().join("kept")).unwrap();
    let text = refusal(open(directory.path()).await);
    assert!(text.contains("is missing"), "{text}");
    assert!(!key.exists());
    let mut settings = SqliteSettings::in_directory(directory.path());
    settings.key = KeySource::Given(OperatorKey::generate());
    let text = refusal(settings.open().await);
    assert!(text.contains("another operator key"), "{text}");
    std::fs::rename(directory.path().join("kept"), &key).unwrap();
    open(directory.path()).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_by_itself() {
    let (store, directory) = store().await;
    let world = World::new(store.clone()).await;
    let account = world.account().await;
    let mut first = world.turn(&account, 1);
    first.events = vec![event("before")];
    world.commit_one(first).await;

    store.limit_pages(Some(120)).await;
    let mut turn = 2;
    let refused = loop {
        let mut commit = world.turn(&account, turn);
        commit.events = vec![event("filler")];
        commit.events[0].body = vec![b'x'; 20_000];
        commit.kv = vec![put("turn", &turn.to_string())];
        match world.store.commit(0, &[commit.clone().into()], false).await {
            Ok(_) => turn += 1,
            Err(error) => {
                assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
                break commit;
            }
        }
        assert!(turn < 100);
    };
    // Nothing half-written; reads go on; retries are refused as long as it is full.
    let events = world.kinds(&account).await;
    assert_eq!(events.len() as u64, turn - 1);
    let kv = world.store.kv_get(&account.id, "turn").await.unwrap();
    assert_eq!(kv.unwrap(), (turn - 1).to_string().into_bytes());
    for _ in 0..3 {
        let again = world.store.commit(0, &[refused.clone().into()], true).await;
        assert!(matches!(again, Err(StorageError::Unavailable(_))));
    }
    store.limit_pages(None).await;
    let written = world
        .store
        .commit(0, &[refused.into()], true)
        .await
        .unwrap();
    assert_eq!(offsets(&written[0]), [Some(turn)]);
    assert_eq!(world.kinds(&account).await.len() as u64, turn);
    drop(directory);
}

#[tokio::test]
async fn a_locked_database_refuses_writes_and_goes_on_reading() {
    let (world, directory) = here().await;
    let account = world.account().await;
    let mut turn = world.turn(&account, 1);
    turn.events = vec![event("before")];
    world.commit_one(turn).await;
    let mut turn = world.turn(&account, 2);
    turn.events = vec![event("a")];
    let mut stranger = stranger(directory.path()).await;
    execute(&mut stranger, "BEGIN EXCLUSIVE").await;
    let group = [turn.into()];
    for retry in [false, true, true] {
        let refused = world.store.commit(0, &group, retry).await;
        assert!(matches!(refused, Err(StorageError::Unavailable(_))));
    }
    assert_eq!(world.kinds(&account).await, ["before"]);
    assert_eq!(world.store.all_accounts().await.unwrap().len(), 1);
    execute(&mut stranger, "ROLLBACK").await;
    let written = world.store.commit(0, &group, true).await.unwrap();
    assert_eq!(offsets(&written[0]), [Some(2)]);
}

/// Everything confidential is written, and then looked for in the bytes of the files.
#[tokio::test]
async fn confidential_values_are_nowhere_in_the_files() {
    let (world, directory) = here().await;
    let marker = |name: &str| format!("MARKER-{name}-5f1d");
    let mut account = account_in(&world.workspace);
    account.config = json!({"password": marker("config")});
    account.proxy = Some(Proxy {
        kind: ProxyKind::Http,
        host: marker("proxyhost"),
        port: 1,
        username: Some(marker("proxyuser")),
        password: Some(marker("proxypassword").into()),
    });
    account.profile = Profile {
        phone: Some(marker("phone")),
        avatar: Some(Avatar {
            blob: None,
            reference: Some(marker("avatar")),
            mime: None,
        }),
        ..Profile::default()
    };
    account.last_error = Some(marker("lasterror"));
    let secret = SecretWrite {
        name: "token".to_owned(),
        value: Some(marker("secret").into_bytes().into()),
    };
    world
        .store
        .create_account(&account, &[secret])
        .await
        .unwrap();
    let mut record = world.record(&account);
    record.outgoing = outgoing(&marker("outgoing"));
    record.idempotency = Some(idempotency(&marker("idempotency"), 1));
    let mut turn = world.turn(&account, 1);
    turn.events = vec![keyed("a", &marker("dedupe"))];
    turn.events[0].body = marker("body").into_bytes();
    turn.events[0].conversation = Some(marker("conversation"));
    turn.kv = vec![put("k", &marker("kv"))];
    turn.timers = vec![TimerWrite {
        label: "t".to_owned(),
        timer: Some(crate::storage::DurableTimer {
            at: Timestamp(1),
            context: marker("timer").into_bytes(),
        }),
    }];
    turn.patch.last_error = Some(Some(marker("patcherror")));
    turn.sends = vec![SendChange {
        id: record.id,
        state: SendState::Sent,
        at: Timestamp(1),
        sent: Some(SentMessage {
            messages: vec![marker("message")],
            conversation: Some(marker("sentconversation")),
            sent_at: Timestamp(1),
            reply_context: None,
        }),
        failure: None,
    }];
    let mut endpoint = endpoint_in(&world.workspace);
    endpoint.url = format!("https://example.org/?token={}", marker("url"));
    endpoint.secret = Some(marker("endpointsecret").into());
    endpoint.old_secret = Some((marker("oldsecret").into(), Timestamp(1)));
    world.store.create_endpoint(&endpoint).await.unwrap();
    let mut detour = detour(&endpoint, 1, 1, DetourState::Waiting);
    detour.key = marker("detourkey");
    detour.last_error = Some(marker("detourerror"));
    let mut attempt = super::contract::attempt(&endpoint, &detour.event, 1);
    attempt.error = Some(marker("attempterror"));
    attempt.response = marker("response").into_bytes();
    world
        .commit(vec![
            record.into(),
            turn.into(),
            DeliveryProgress {
                detours: vec![detour],
                attempts: vec![attempt],
                ..DeliveryProgress::default()
            }
            .into(),
        ])
        .await;

    let mut seen = 0;
    let mut plain = false;
    let mut look = || {
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            if let Some(at) = text.find("MARKER-") {
                panic!("{}: {}", path.display(), &text[at..(at + 24)]);
            }
            // What is plain is found, so the search works.
            plain |= text.contains(account.id.as_str());
            seen += bytes.len();
        }
    };
    look();
    let mut stranger = stranger(directory.path()).await;
    execute(&mut stranger, "PRAGMA wal_checkpoint(FULL)").await;
    stranger.close().await.unwrap();
    look();
    assert!(seen > 100_000);
    assert!(plain);
}

#[tokio::test]
async fn a_deleted_accounts_key_is_nowhere_in_the_files() {
    let (world, directory) = here().await;
    let account = world.account().await;
    let mut stranger = stranger(directory.path()).await;
    let wrapped: Vec<u8> = sqlx::query_scalar("SELECT wrapped FROM data_key WHERE owner = ?")
        .bind(format!("account:{}", account.id))
        .fetch_one(&mut stranger)
        .await
        .unwrap();
    stranger.close().await.unwrap();
    let found = || {
        std::fs::read_dir(directory.path()).unwrap().any(|entry| {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            bytes.windows(wrapped.len()).any(|window| window == wrapped)
        })
    };
    assert!(found());
    world.store.delete_account(&account.id).await.unwrap();
    assert!(!found());
}

#[tokio::test]
async fn the_dedupe_window_is_bounded() {
    let (world, directory) = here().await;
    let account = world.account().await;
    let mut turn = 0;
    for round in 0..13 {
        turn += 1;
        let mut commit = world.turn(&account, turn);
        commit.events = (0..1000)
            .map(|index| {
                let mut event = keyed("a", &format!("{round}/{index}"));
                event.body = Vec::new();
                event
            })
            .collect();
        world.commit_one(commit).await;
        // Windows are cut by time: rounds need different ones.
        let before = Timestamp::now();
        while Timestamp::now() == before {
            tokio::task::yield_now().await;
        }
    }
    while world.store.maintain(0).await.unwrap() {}
    let mut stranger = stranger(directory.path()).await;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM dedupe")
        .fetch_one(&mut stranger)
        .await
        .unwrap();
    assert!((10_000..=11_000).contains(&count), "{count}");
    let mut commit = world.turn(&account, turn + 1);
    commit.events = vec![keyed("new again", "0/0"), keyed("known", "12/0")];
    let written = world.commit_one(commit).await;
    assert!(offsets(&written)[0].is_some());
    assert!(offsets(&written)[1].is_none());
}

/// With a limit on the size of files (`ulimit -f`) a write gets a signal that ends the process,
/// unless it is handled. In a process of its own, since the limit is a process's.
#[test]
fn a_file_size_limit_refuses_and_recovers() {
    let output = std::process::Command::new("sh")
        .arg("-c")
        .arg(r#"ulimit -S -f 1024 && exec "$0" --exact "$1" --ignored --nocapture"#)
        .arg(std::env::current_exe().unwrap())
        .arg("storage::tests::sqlite::under_a_file_size_limit")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
#[ignore = "runs in a process of its own, started by the test above"]
async fn under_a_file_size_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let (world, _directory) = here().await;
    let account = world.account().await;
    let mut turn = 1;
    // The log is full first, and emptied into the database; then that is full.
    let mut refusals = 0;
    let group = loop {
        let mut commit = world.turn(&account, turn);
        commit.events = vec![event("filler")];
        commit.events[0].body = vec![b'x'; 50_000];
        let group = [commit.into()];
        let mut result = world.store.commit(0, &group, false).await;
        for _ in 0..5 {
            if let Err(error) = &result {
                assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
                refusals += 1;
                result = world.store.commit(0, &group, true).await;
            }
        }
        if result.is_err() {
            break group;
        }
        turn += 1;
        assert!(turn < 1000);
    };
    assert!(refusals >= 5);
    assert_eq!(world.events(&account).await.len() as u64, turn - 1);
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(
        Resource::Fsize,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .unwrap();
    let written = world.store.commit(0, &group, true).await.unwrap();
    assert_eq!(offsets(&written[0]), [Some(turn)]);
    let heads = world.store.heads().await.unwrap();
    assert_eq!(heads[usize::from(account.partition.0)], turn);
    assert!(account.partition < PartitionId(PartitionId::COUNT));
}
