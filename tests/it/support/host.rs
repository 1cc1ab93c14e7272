//! A host in this process, on a free port and a directory of its own, and a client for it.

use super::postgres::TestDatabase;
use anyport::app::{
    self, Running,
    config::{Config, MigrateArgs},
};
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use std::path::Path;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub struct Host {
    pub running: Running,
    /// `http://127.0.0.1:…`
    pub base: String,
    /// Of the workspace.
    pub key: String,
    pub operator_key: String,
    client: reqwest::Client,
    adjust: Adjust,
    data: TempDir,
    /// Unless it is SQLite in `data`.
    database: Option<TestDatabase>,
}

type Adjust = Box<dyn Fn(&mut Config)>;

/// `ANYPORT_TEST_DATABASE=postgres` runs every story that does not choose for itself on PostgreSQL.
async fn everywhere() -> Option<TestDatabase> {
    match std::env::var("ANYPORT_TEST_DATABASE").as_deref() {
        Ok("postgres") => Some(TestDatabase::new().await.expect("a PostgreSQL server")),
        _ => None,
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// `null` where the body is empty.
    pub body: Value,
}

impl Answer {
    /// The body, if the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:#}", self.body);
        self.body
    }
}

impl Host {
    /// As a person starts it who tries it out: loopback is allowed and the simulator's server
    /// runs inside.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with changes of the configuration.
    pub async fn start_with(adjust: impl Fn(&mut Config) + 'static) -> Self {
        let data = TempDir::new().unwrap();
        let database = everywhere().await;
        Self::open(data, database, Box::new(adjust), None).await
    }

    /// On SQLite, whatever the other tests run on.
    pub async fn on_sqlite() -> Self {
        Self::open(TempDir::new().unwrap(), None, Box::new(|_| {}), None).await
    }

    async fn open(
        data: TempDir,
        database: Option<TestDatabase>,
        adjust: Adjust,
        keys: Option<(String, String)>,
    ) -> Self {
        let mut config = Config {
            database: database
                .as_ref()
                .map(|database| database.url.clone().into()),
            data: data.path().to_owned(),
            trial: true,
            ..Config::default()
        };
        // Each reserves address space, and hosts of several tests run side by side.
        config.runtime.max_instances = 256;
        adjust(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let running = app::start(config, listener).await.unwrap();
        let made = running
            .keys
            .workspace
            .clone()
            .zip(running.keys.operator.clone());
        let (key, operator_key) = keys.or(made).expect("the first start makes keys");
        Self {
            base: format!("http://{}", running.address),
            running,
            key,
            operator_key,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            adjust,
            data,
            database,
        }
    }

    /// Where it keeps its data.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// What its database answers, asked past it.
    pub async fn number(&self, sql: &'static str) -> i64 {
        match &self.database {
            None => {
                let file = self.data().join("anyport.db");
                let mut connection = crate::held::connect(&file).await;
                sqlx::query_scalar(sql).fetch_one(&mut connection).await
            }
            Some(database) => {
                let url = database.url.parse::<PgConnectOptions>().unwrap();
                let options = url.options([("search_path", "anyport")]);
                let mut connection = PgConnection::connect_with(&options).await.unwrap();
                sqlx::query_scalar(sql).fetch_one(&mut connection).await
            }
        }
        .unwrap()
    }

    /// Stops it in good order and starts it again on the same data, on another port.
    pub async fn restart(self) -> Self {
        self.running.stop().await;
        let keys = Some((self.key, self.operator_key));
        Self::open(self.data, self.database, self.adjust, keys).await
    }

    /// Stops it, moves what it has from SQLite to PostgreSQL, and starts it there.
    pub async fn move_to(self, database: TestDatabase) -> Self {
        self.running.stop().await;
        let args = MigrateArgs {
            to: database.url.clone().into(),
            config: None,
            data: Some(self.data.path().to_owned()),
        };
        app::migrate::run(args).await.unwrap();
        let keys = Some((self.key, self.operator_key));
        Self::open(self.data, Some(database), self.adjust, keys).await
    }

    /// Stops it in good order and leaves the data.
    pub async fn stop(self) -> TempDir {
        self.running.stop().await;
        self.data
    }

    /// A request with the workspace's key, to be completed and given to [`Self::send`].
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base))
            .header("X-Api-Key", &self.key)
    }

    /// The same with the operator's key.
    pub fn as_operator(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base))
            .header("X-Api-Key", &self.operator_key)
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let request = request.build().unwrap();
        let (method, path) = (
            request.method().to_string(),
            request.url().path().to_owned(),
        );
        let response = self.client.execute(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()))
        };
        let wrong = super::DESCRIPTION.wrong(&method, &path, status.as_u16(), &body);
        assert_eq!(wrong, None);
        Answer {
            status,
            headers,
            body,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body))
            .await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(&body))
            .await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(&body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }
}
