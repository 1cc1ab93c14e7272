//! PostgreSQL for stories: a database of its own on a server that runs anyway, and a whole server
//! of its own, which may be stopped and killed. A story without one is skipped and says so; under
//! `CI=true` that is a failure.

use super::{PATIENCE, eventually};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::{Child, Command};

fn missing(what: &str) {
    let required = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!required, "PostgreSQL is needed: {what}");
    println!("not run: {what}");
}

/// A database that lives as long as this.
pub struct TestDatabase {
    server: String,
    name: String,
    pub url: String,
}

impl TestDatabase {
    /// On the server of `ANYPORT_TEST_POSTGRES`, by default the one on this machine.
    pub async fn new() -> Option<Self> {
        let server = std::env::var("ANYPORT_TEST_POSTGRES")
            .unwrap_or_else(|_| "postgres://root@127.0.0.1:5432/postgres".to_owned());
        let mut connection = match PgConnection::connect(&server).await {
            Ok(connection) => connection,
            Err(error) => {
                missing(&format!("there is no PostgreSQL server ({error})"));
                return None;
            }
        };
        let mut random = [0; 8];
        getrandom(&mut random);
        let name = format!("anyport_test_{:016x}", u64::from_le_bytes(random));
        execute(
            &mut connection,
            &format!("CREATE DATABASE {name} TEMPLATE template0"),
        )
        .await;
        let (before, _) = server.rsplit_once('/').unwrap();
        Some(Self {
            url: format!("{before}/{name}"),
            server,
            name,
        })
    }
}

fn getrandom(bytes: &mut [u8]) {
    use std::io::Read as _;
    let mut source = std::fs::File::open("/dev/urandom").unwrap();
    source.read_exact(bytes).unwrap();
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
                let mut connection = PgConnection::connect(&server).await.unwrap();
                execute(&mut connection, &sql).await;
            });
        });
        if dropping.join().is_err() {
            println!("the test database {} stays", self.name);
        }
    }
}

pub async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap();
}

/// A server of its own.
pub struct Cluster {
    directory: TempDir,
    programs: PathBuf,
    owner: Option<(u32, u32)>,
    pub port: u16,
    server: Option<Child>,
}

impl Cluster {
    pub async fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            missing("the programs of a PostgreSQL server are not installed");
            return None;
        };
        let directory = TempDir::new().unwrap();
        let owner = owner();
        if let Some((user, group)) = owner {
            // PostgreSQL refuses to run as root.
            std::os::unix::fs::chown(directory.path(), Some(user), Some(group)).unwrap();
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut cluster = Self {
            directory,
            programs,
            owner,
            port,
            server: None,
        };
        let made = cluster
            .command("initdb")
            .args(["--username", "anyport", "--auth", "trust", "--no-sync"])
            .arg("--pgdata")
            .arg(cluster.data())
            .stdout(Stdio::null())
            .status()
            .await
            .unwrap();
        assert!(made.success(), "initdb failed");
        cluster.resume().await;
        Some(cluster)
    }

    /// All that it writes.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }

    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The same behind something that listens on another port.
    pub fn url_at(&self, port: u16) -> String {
        format!("postgres://anyport@127.0.0.1:{port}/postgres")
    }

    /// Starts the server again, as often as it takes: what a killed one left behind may be in the
    /// way for a moment.
    pub async fn resume(&mut self) {
        let starting = async {
            loop {
                let log = std::fs::File::options()
                    .create(true)
                    .append(true)
                    .open(self.directory.path().join("log"))
                    .unwrap();
                let mut server = self
                    .command("postgres")
                    .arg("-D")
                    .arg(self.data())
                    .args(["-p", &self.port.to_string()])
                    .args(["-c", "listen_addresses=127.0.0.1"])
                    .args(["-c", "unix_socket_directories="])
                    // The machine does not lose its power, only processes die.
                    .args(["-c", "fsync=off"])
                    .args(["-c", "shared_buffers=32MB"])
                    .stdout(log.try_clone().unwrap())
                    .stderr(log)
                    .kill_on_drop(true)
                    .spawn()
                    .unwrap();
                loop {
                    if server.try_wait().unwrap().is_some() {
                        break;
                    }
                    if let Ok(connection) = PgConnection::connect(&self.url()).await {
                        connection.close().await.unwrap();
                        return server;
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, starting).await {
            Ok(server) => self.server = Some(server),
            Err(_) => panic!("PostgreSQL does not come up:\n{}", self.log()),
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    async fn end(&mut self, signal: Signal) {
        let mut server = self.server.take().expect("the server runs");
        let pid = Pid::from_raw(server.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
        server.wait().await.unwrap();
    }

    /// In good order, with every connection ended.
    pub async fn stop(&mut self) {
        self.end(Signal::INT).await;
    }

    /// `kill -9` of the server's first process.
    pub async fn kill(&mut self) {
        self.end(Signal::KILL).await;
    }

    /// `kill -9` of a process that serves one of the host's connections, in the middle of what it
    /// does. The server ends all others and recovers.
    pub async fn kill_backend(&self) {
        let mut connection = PgConnection::connect(&self.url()).await.unwrap();
        let pid: i32 = eventually("a connection of the host is busy", async || {
            sqlx::query_scalar(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'anyport' \
                 AND state <> 'idle' LIMIT 1",
            )
            .fetch_optional(&mut connection)
            .await
            .unwrap()
        })
        .await;
        // It may have become idle since; it is killed all the same.
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            println!("{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
        let Some(mut server) = self.server.take() else {
            return;
        };
        if let Some(pid) = server.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            // At once, but with all its processes.
            let _ = kill_process(pid, Signal::QUIT);
            for _ in 0..200 {
                if !matches!(server.try_wait(), Ok(None)) {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
}

/// Where `initdb` and `postgres` are: the newest version of Debian's places, or in PATH.
fn programs() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let newest = versions.pop().map(|(_, path)| path);
    newest
        .into_iter()
        .chain(std::env::split_paths(&path))
        .find(|place| place.join("initdb").exists() && place.join("postgres").exists())
}

/// User and group to run it as, when this is root.
fn owner() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string(Path::new("/etc/passwd")).unwrap();
    let find = |name: &str| {
        let line = users
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(
        find("postgres")
            .or_else(|| find("nobody"))
            .expect("a user that is not root"),
    )
}
