//! A PostgreSQL database of a test's own, made and dropped by it.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};

pub struct Database {
    name: String,
    server: PgConnectOptions,
}

impl Database {
    /// None, and a line that says so, where no server runs; a failure under `CI=true`.
    pub async fn create() -> Option<Self> {
        let url = std::env::var("ANYPORT_TEST_POSTGRES")
            .unwrap_or_else(|_| "postgres://root@127.0.0.1:5432/postgres".to_owned());
        let server: PgConnectOptions = url.parse().unwrap();
        let mut connection = match server.connect().await {
            Ok(connection) => connection,
            Err(error) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
                panic!("no PostgreSQL for this test: {error}")
            }
            Err(error) => {
                println!("did not run: no PostgreSQL: {error}");
                return None;
            }
        };
        let name = format!("anyport_test_{:016x}", rand());
        run(&mut connection, &format!("CREATE DATABASE {name}")).await;
        Some(Self { name, server })
    }

    pub fn url(&self) -> String {
        let server = &self.server;
        format!(
            "postgres://{}@{}:{}/{}",
            server.get_username(),
            server.get_host(),
            server.get_port(),
            self.name
        )
    }

    pub async fn drop_it(&self) {
        let mut connection = self.server.connect().await.unwrap();
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        run(&mut connection, &drop).await;
    }
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap();
}

fn rand() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
