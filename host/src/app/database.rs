//! Which database the host stands on, and that nobody is let to it on somebody else's behalf.

use super::config::Config;
use super::operator_key;
use crate::network::guard::OwnPorts;
use crate::storage::instance::Identity;
use crate::storage::postgres::{DatabaseUrl, PostgresSettings};
use crate::storage::sql::SqlStore;
use crate::storage::sqlite::SqliteSettings;
use anyhow::Context;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A server's name may lead elsewhere after a failover.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The PostgreSQL server that is configured, else the file in `data`.
pub async fn open(config: &Config, address: SocketAddr) -> anyhow::Result<Arc<SqlStore>> {
    let store = match &config.database {
        Some(text) => {
            let url = DatabaseUrl::try_from(text).context("`database` is wrong")?;
            let name = format!("{} {address}", machine());
            let settings = PostgresSettings {
                identity: Identity::of_directory(&config.data, &name)?,
                retention: config.retention.check()?,
                ..PostgresSettings::new(url, operator_key::source(config)?)
            };
            settings.open().await?
        }
        None => file(config)?.open().await?,
    };
    Ok(Arc::new(store))
}

/// The file in `data`.
pub fn file(config: &Config) -> anyhow::Result<SqliteSettings> {
    Ok(SqliteSettings {
        key: operator_key::source(config)?,
        retention: config.retention.check()?,
        ..SqliteSettings::in_directory(&config.data)
    })
}

/// The machine's name, for people.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "host".to_owned(), |name| name.trim().to_owned())
}

/// Closes the database's port to providers and webhooks: on this machine by its number, elsewhere
/// by the addresses that its name has.
pub async fn guard(store: &SqlStore, own: &OwnPorts) {
    let Some((host, port)) = store.address() else {
        return;
    };
    own.add_port(port);
    refuse(&host, port, own).await;
    if host.parse::<std::net::IpAddr>().is_err() {
        let own = own.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_AGAIN).await;
                refuse(&host, port, &own).await;
            }
        });
    }
}

async fn refuse(host: &str, port: u16, own: &OwnPorts) {
    // Brackets around an IPv6 address belong to addresses in URLs.
    let host = host.trim_matches(['[', ']']);
    match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => addresses.for_each(|address| own.add_address(address)),
        Err(error) => tracing::debug!(%error, "the database's name is not found"),
    }
}
