//! Leases on PostgreSQL, on a connection of their own that waits behind nothing.
//!
//! A process has one row in `host` with the end of its lease, by the server's clock; partitions
//! name the process that owns them. Renewing changes that row only. Taking over deletes the dead
//! one's row and raises the epochs of its partitions in one transaction: a renewal at the same
//! moment waits for it, and finds its row gone or was first.
//!
//! The session holds an advisory lock of its instance (the data directory) as long as the process
//! lives, stopped or not. Whoever has it knows that the process before is gone, and need not wait
//! for the end of its lease.

use super::Server;
use crate::domain::PartitionId;
use crate::storage::StorageError;
use crate::storage::instance::Identity;
use crate::storage::lease::{HostRow, Lease};
use crate::storage::sql::{Connection, Row, query};
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// How long a lease holds.
pub(in crate::storage) const LENGTH: Duration = Duration::from_secs(10);
/// The longest that a statement about leases may take.
const BOUND: Duration = Duration::from_secs(3);
/// For the server to notice that the former process of this host is gone.
const FORMER_GONE: Duration = Duration::from_secs(2);
const FORMER_LOOK: Duration = Duration::from_millis(50);
/// One host at a time takes partitions. "Anyowner".
const ACQUIRE_LOCK: i64 = 0x416e_796f_776e_6572;

/// What taking partitions begins with: this process is alive, whoever is not is forgotten.
const ENTER: &str = "INSERT INTO host (process, instance, name, started, seen, lease_until) \
    VALUES (?, ?, ?, clock_timestamp(), clock_timestamp(), \
            clock_timestamp() + interval '10 seconds') \
    ON CONFLICT (process) DO UPDATE \
    SET seen = excluded.seen, lease_until = excluded.lease_until";
const FORGET: &str = "DELETE FROM host WHERE process <> ? \
    AND (lease_until < clock_timestamp() OR (instance = ? AND ? = 1)) \
    RETURNING instance, name, \
              CAST(extract(epoch FROM lease_until - clock_timestamp()) * 1000 AS bigint)";
const LOCK_FREE: &str = "SELECT id FROM partition WHERE owner IS NULL \
    OR NOT EXISTS (SELECT 1 FROM host WHERE host.process = partition.owner) \
    ORDER BY id FOR UPDATE";
const TAKE: &str = "UPDATE partition SET owner = ?, epoch = epoch + 1 WHERE owner IS NULL \
    OR NOT EXISTS (SELECT 1 FROM host WHERE host.process = partition.owner) \
    RETURNING id, epoch, head";
const RENEW: &str = "WITH kept AS (UPDATE host SET seen = clock_timestamp(), \
        lease_until = clock_timestamp() + interval '10 seconds' \
        WHERE process = ? RETURNING process) \
    SELECT partition.id, partition.epoch, partition.head \
    FROM partition JOIN kept ON partition.owner = kept.process ORDER BY partition.id";
const HOSTS: &str = "SELECT instance, name, process, \
        (SELECT count(*) FROM partition WHERE owner = host.process), \
        greatest(0, CAST(extract(epoch FROM lease_until - clock_timestamp()) * 1000 AS bigint)) \
    FROM host ORDER BY started, process";

pub(in crate::storage) struct Leases {
    identity: Identity,
    session: Mutex<Option<Session>>,
}

struct Session {
    connection: Connection,
    /// It has the advisory lock of its instance: no former process lives.
    alone: bool,
}

impl Leases {
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            session: Mutex::new(None),
        }
    }

    pub fn process(&self) -> &str {
        &self.identity.process
    }

    /// The host's data directory is free from now on.
    pub fn leave(&self) {
        self.identity.release();
    }

    pub async fn acquire(&self, server: &Server) -> Result<Vec<Lease>, StorageError> {
        let mut kept = self.session.lock().await;
        // Taken out: whoever gives this call up gives the connection up with it.
        let mut session = self.session(&mut kept, server).await?;
        self.await_former(&mut session).await?;
        session
            .connection
            .run("BEGIN; SET LOCAL lock_timeout TO '2s'")
            .await?;
        let leases = self.take(&mut session).await?;
        session.connection.run("COMMIT").await?;
        *kept = Some(session);
        Ok(leases)
    }

    async fn take(&self, session: &mut Session) -> Result<Vec<Lease>, StorageError> {
        let Identity {
            instance,
            process,
            name,
            ..
        } = &self.identity;
        let connection = &mut session.connection;
        query("SELECT pg_advisory_xact_lock(?)")
            .bind(ACQUIRE_LOCK)
            .execute(connection)
            .await?;
        query(ENTER)
            .bind(process.as_str())
            .bind(instance.as_str())
            .bind(name.as_str())
            .execute(connection)
            .await?;
        let forgotten = query(FORGET)
            .bind(process.as_str())
            .bind(instance.as_str())
            .bind(session.alone)
            .fetch_all(connection)
            .await?;
        for row in &forgotten {
            let lease_ms: i64 = row.try_get(2)?;
            if row.try_get::<String, _>(0)? == *instance {
                tracing::info!(
                    lease_ms,
                    "took back what the former process of this host had"
                );
            } else {
                let host: String = row.try_get(1)?;
                tracing::warn!(host, lease_ms, "another host did not renew its lease");
            }
        }
        query(LOCK_FREE).execute(connection).await?;
        let taken = query(TAKE)
            .bind(process.as_str())
            .fetch_all(connection)
            .await?;
        leases(&taken)
    }

    /// Right after a restart the server may not know yet that the former process is gone.
    async fn await_former(&self, session: &mut Session) -> Result<(), StorageError> {
        let end = Instant::now() + FORMER_GONE;
        while !session.alone {
            session.alone = self.lock_instance(&mut session.connection).await?;
            let former = query("SELECT 1::bigint FROM host WHERE instance = ? AND process <> ?")
                .bind(self.identity.instance.as_str())
                .bind(self.identity.process.as_str())
                .fetch_all(&mut session.connection)
                .await?;
            if session.alone || former.is_empty() || Instant::now() >= end {
                return Ok(());
            }
            sleep(FORMER_LOOK).await;
        }
        Ok(())
    }

    pub async fn renew(&self, server: &Server) -> Result<Vec<Lease>, StorageError> {
        let mut kept = self.session.lock().await;
        let mut session = self.session(&mut kept, server).await?;
        let rows = query(RENEW)
            .bind(self.identity.process.as_str())
            .fetch_all(&mut session.connection)
            .await?;
        *kept = Some(session);
        leases(&rows)
    }

    pub async fn release(&self, server: &Server) -> Result<(), StorageError> {
        let mut kept = self.session.lock().await;
        let mut session = self.session(&mut kept, server).await?;
        let process = self.identity.process.as_str();
        let connection = &mut session.connection;
        connection.run("BEGIN").await?;
        query("SELECT pg_advisory_xact_lock(?)")
            .bind(ACQUIRE_LOCK)
            .execute(connection)
            .await?;
        query("SELECT id FROM partition WHERE owner = ? ORDER BY id FOR UPDATE")
            .bind(process)
            .execute(connection)
            .await?;
        query("UPDATE partition SET owner = NULL WHERE owner = ?")
            .bind(process)
            .execute(connection)
            .await?;
        query("DELETE FROM host WHERE process = ?")
            .bind(process)
            .execute(connection)
            .await?;
        connection.run("COMMIT").await?;
        *kept = Some(session);
        Ok(())
    }

    pub async fn hosts(&self, connection: &mut Connection) -> Result<Vec<HostRow>, StorageError> {
        let rows = query(HOSTS).fetch_all(connection).await?;
        rows.iter()
            .map(|row| {
                let process: String = row.try_get(2)?;
                Ok(HostRow {
                    instance: row.try_get(0)?,
                    name: row.try_get(1)?,
                    partitions: row.try_get(3)?,
                    this: process == self.identity.process,
                    lease_ms: u64::try_from(row.try_get::<i64, _>(4)?).unwrap_or_default(),
                })
            })
            .collect()
    }

    async fn session(
        &self,
        kept: &mut Option<Session>,
        server: &Server,
    ) -> Result<Session, StorageError> {
        if let Some(session) = kept.take() {
            return Ok(session);
        }
        let mut connection = Connection::from(server.connect().await?);
        connection.set_bound(BOUND);
        connection
            .run("SET statement_timeout TO '3s'; SET lock_timeout TO '3s'")
            .await?;
        let alone = self.lock_instance(&mut connection).await?;
        Ok(Session { connection, alone })
    }

    async fn lock_instance(&self, connection: &mut Connection) -> Result<bool, StorageError> {
        let digest = Sha256::digest(format!("anyport instance {}", self.identity.instance));
        let mut key = [0; 8];
        key.copy_from_slice(&digest[..8]);
        let row = query("SELECT CAST(CAST(pg_try_advisory_lock(?) AS integer) AS bigint)")
            .bind(i64::from_be_bytes(key))
            .fetch_one(connection)
            .await?;
        row.try_get(0)
    }
}

fn leases(rows: &[Row]) -> Result<Vec<Lease>, StorageError> {
    let mut leases = rows
        .iter()
        .map(|row| {
            let id = u8::try_from(row.try_get::<i64, _>(0)?).unwrap_or(u8::MAX);
            Ok(Lease {
                partition: PartitionId(id),
                epoch: u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or_default(),
                head: u64::try_from(row.try_get::<i64, _>(2)?).unwrap_or_default(),
            })
        })
        .collect::<Result<Vec<_>, StorageError>>()?;
    leases.sort_by_key(|lease| lease.partition);
    Ok(leases)
}
