//! What is special about PostgreSQL: schemas, several writers, connections that end; and the
//! contract. Every test makes a database of its own on the server of `ANYPORT_TEST_POSTGRES`
//! (by default the one on this machine) and drops it.

use super::world::*;
use crate::domain::PartitionId;
use crate::domain::account::Account;
use crate::storage::instance::Identity;
use crate::storage::key::KeySource;
use crate::storage::postgres::PostgresSettings;
use crate::storage::seal::OperatorKey;
use crate::storage::sql::SqlStore;
use crate::storage::{StorageError, Written};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::sync::Arc;

/// A database that lives as long as this.
pub struct TestDatabase {
    server: String,
    name: String,
    pub url: String,
    pub key: OperatorKey,
}

impl TestDatabase {
    /// None when there is no server; under `CI=true` that is a failure.
    pub async fn new() -> Option<Self> {
        let server = std::env::var("ANYPORT_TEST_POSTGRES")
            .unwrap_or_else(|_| "postgres://root@127.0.0.1:5432/postgres".to_owned());
        let mut connection = match PgConnection::connect(&server).await {
            Ok(connection) => connection,
            Err(error) => {
                let required = std::env::var("CI").is_ok_and(|value| value == "true");
                assert!(!required, "PostgreSQL is needed: {error}");
                println!("not run: there is no PostgreSQL server ({error})");
                return None;
            }
        };
        let name = format!("anyport_test_{}", uuid::Uuid::new_v4().simple());
        let sql = format!("CREATE DATABASE {name} TEMPLATE template0");
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
        let mut url = url::Url::parse(&server).unwrap();
        url.set_path(&name);
        Some(Self {
            url: url.to_string(),
            server,
            name,
            key: OperatorKey::generate(),
        })
    }

    pub fn settings(&self) -> PostgresSettings {
        PostgresSettings {
            // Always the same host, restarted.
            identity: Identity::of_instance(self.name.clone()),
            ..PostgresSettings::new(
                self.url.parse().unwrap(),
                KeySource::Given(self.key.clone()),
            )
        }
    }

    pub async fn open(&self) -> Result<SqlStore, StorageError> {
        self.settings().open().await
    }

    /// A connection of somebody else.
    pub async fn stranger(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let server = self.server.clone();
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&server).await?;
                sqlx::raw_sql(AssertSqlSafe(sql))
                    .execute(&mut connection)
                    .await
            })
        });
        if let Ok(Err(error)) = dropping.join() {
            println!("the test database {} stays: {error}", self.name);
        }
    }
}

pub async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap();
}

pub async fn store() -> Option<(Arc<SqlStore>, TestDatabase)> {
    let database = TestDatabase::new().await?;
    let store = database.open().await.unwrap();
    Some((Arc::new(store), database))
}

pub async fn world() -> Option<(World, TestDatabase)> {
    let (store, database) = store().await?;
    Some((World::new(store).await, database))
}

super::contract_tests!(world);

fn refusal(result: Result<SqlStore, StorageError>) -> String {
    match result {
        Err(StorageError::Unusable(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let Some((world, database)) = world().await else {
        return;
    };
    let account = world.account().await;
    let mut turn = world.turn(&account, 1);
    turn.events = vec![event("a")];
    world.commit_one(turn).await;
    let epoch = world.epoch(account.partition);
    drop(world);
    let world = World::new(Arc::new(database.open().await.unwrap())).await;
    assert_eq!(world.epoch(account.partition), epoch + 1);
    assert_eq!(world.kinds(&account).await, ["a"]);
}

#[tokio::test]
async fn foreign_newer_and_otherwise_sealed_schemas_are_refused() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let mut stranger = database.stranger().await;
    // Tables of other programs beside ours are their business, a schema of our name is not.
    execute(&mut stranger, "CREATE TABLE account (id bigint)").await;
    execute(
        &mut stranger,
        "CREATE SCHEMA anyport; CREATE TABLE anyport.thing (id bigint)",
    )
    .await;
    let text = refusal(database.open().await);
    assert!(text.contains("not ours"), "{text}");
    execute(&mut stranger, "DROP TABLE anyport.thing").await;
    drop(database.open().await.unwrap());

    let mut other = database.settings();
    other.key = KeySource::Given(OperatorKey::generate());
    let text = refusal(other.open().await);
    assert!(text.contains("another operator key"), "{text}");
    let directory = tempfile::tempdir().unwrap();
    let mut missing = database.settings();
    missing.key = KeySource::File(directory.path().join("operator.key"));
    let text = refusal(missing.open().await);
    assert!(text.contains("is missing"), "{text}");

    execute(
        &mut stranger,
        "UPDATE anyport.meta SET value = '99' WHERE name = 'schema_version'",
    )
    .await;
    let text = refusal(database.open().await);
    assert!(text.contains("newer version"), "{text}");
}

#[tokio::test]
async fn two_that_start_at_once_make_one_schema() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let (one, two) = tokio::join!(database.open(), database.open());
    one.unwrap();
    two.unwrap();
}

/// Two accounts whose partitions go through different writers.
async fn apart(world: &World) -> (Account, Account) {
    let mut first = account_in(&world.workspace);
    let mut second = account_in(&world.workspace);
    first.partition = PartitionId(0);
    second.partition = PartitionId(1);
    for account in [&first, &second] {
        world.store.create_account(account, &[]).await.unwrap();
    }
    (first, second)
}

/// The same key for two accounts at the same moment, in two writers: one of them has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_is_taken_once_by_all_writers() {
    let Some((world, _database)) = world().await else {
        return;
    };
    let (first, second) = apart(&world).await;
    for round in 0..40 {
        let mut groups = Vec::new();
        for (fingerprint, account) in [(1, &first), (2, &second)] {
            // Others in the same group are not hurt.
            let mut turn = world.turn(account, round + 1);
            turn.events = vec![event("beside")];
            let mut record = world.record(account);
            record.idempotency = Some(idempotency(&format!("key {round}"), fingerprint));
            groups.push([turn.into(), record.into()]);
        }
        let (one, two) = tokio::join!(
            world.store.commit(0, &groups[0], false),
            world.store.commit(1, &groups[1], false)
        );
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(offsets(&one[0]).len() + offsets(&two[0]).len(), 2);
        let answers = [&one[1], &two[1]];
        assert!(answers.contains(&&Written::Recorded), "{answers:?}");
        assert!(answers.contains(&&Written::KeyReused), "{answers:?}");
    }
    let mut sends = 0;
    for account in [&first, &second] {
        sends += world
            .store
            .unsettled_sends(&account.id)
            .await
            .unwrap()
            .len();
    }
    assert_eq!(sends, 40);
}

/// Connections that the server has ended are replaced: commits after one refusal, reads at once.
#[tokio::test]
async fn ended_connections_are_replaced() {
    let Some((world, database)) = world().await else {
        return;
    };
    let account = world.account().await;
    let mut stranger = database.stranger().await;
    for number in 1..=3 {
        let mut turn = world.turn(&account, number);
        turn.events = vec![event("a")];
        let group = [turn.into()];
        let mut retry = false;
        let mut refusals = 0;
        while let Err(error) = world.store.commit(0, &group, retry).await {
            assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
            retry = true;
            refusals += 1;
            assert!(refusals < 5);
        }
        execute(
            &mut stranger,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
        let mut failures = 0;
        while let Err(error) = world.store.account(&world.workspace, &account.id).await {
            assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
            failures += 1;
            assert!(failures < 12);
        }
    }
    assert_eq!(world.kinds(&account).await, ["a", "a", "a"]);
}

/// A commit that its client has given up, while the server is still at it, is waited for and found.
#[tokio::test]
async fn a_commit_still_under_way_is_not_made_again() {
    let Some((world, database)) = world().await else {
        return;
    };
    let account = world.account().await;
    let mut host = world.turn(&account, None);
    host.events = vec![event("a")];
    let group = [host.into()];
    // Holds every commit at its end: a deferred trigger runs within COMMIT.
    let mut stranger = database.stranger().await;
    execute(
        &mut stranger,
        "CREATE TABLE public.gate (); \
         CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN LOCK TABLE public.gate IN ACCESS SHARE MODE; RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON anyport.event \
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.wait()",
    )
    .await;
    execute(
        &mut stranger,
        "BEGIN; LOCK TABLE public.gate IN ACCESS EXCLUSIVE MODE",
    )
    .await;
    let mut watcher = database.stranger().await;
    {
        let commit = world.store.commit(0, &group, false);
        tokio::pin!(commit);
        // Until it stands in its COMMIT, then the client goes away.
        loop {
            let waits: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND query = 'COMMIT' AND wait_event_type = 'Lock'",
            )
            .fetch_one(&mut watcher)
            .await
            .unwrap();
            if waits > 0 {
                break;
            }
            let pause = std::time::Duration::from_millis(5);
            if let Ok(done) = tokio::time::timeout(pause, &mut commit).await {
                panic!("committed through a closed gate: {done:?}");
            }
        }
    }
    let retry = world.store.commit(0, &group, true);
    let open = async {
        // The retry waits for the one under way.
        loop {
            let waits: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND query LIKE 'INSERT INTO writer%' AND wait_event_type = 'Lock'",
            )
            .fetch_one(&mut watcher)
            .await
            .unwrap();
            if waits > 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        execute(&mut stranger, "COMMIT").await;
    };
    let (written, ()) = tokio::join!(retry, open);
    assert_eq!(offsets(&written.unwrap()[0]), [Some(1)]);
    assert_eq!(world.kinds(&account).await, ["a"]);
}

/// Names and texts from outside may hold what PostgreSQL's text cannot.
#[tokio::test]
async fn text_with_nul_comes_back() {
    let Some((world, _database)) = world().await else {
        return;
    };
    let mut account = account_in(&world.workspace);
    account.name = "a\0b".to_owned();
    account.provider_account_ref = Some("\0".to_owned());
    world.store.create_account(&account, &[]).await.unwrap();
    let mut turn = world.turn(&account, 1);
    turn.secrets = vec![crate::storage::SecretWrite {
        name: "n\0".to_owned(),
        value: Some(b"v".to_vec().into()),
    }];
    world.commit_one(turn).await;
    account.turn_seq = 1;
    let read = world.store.account(&world.workspace, &account.id).await;
    assert_eq!(read.unwrap(), Some(account.clone()));
    let secrets = world.store.secrets(&account.id).await.unwrap();
    assert_eq!(secrets, [("n\0".to_owned(), b"v".to_vec().into())]);
}
