//! What hosts on one database tell each other, by LISTEN and NOTIFY. Notices may get lost, with a
//! connection for example: nothing may depend on one.

use super::Server;
use crate::storage::StorageError;
use crate::storage::lease::Notice;
use crate::storage::sql::{Connection, query};
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::time::Duration;
use tokio::sync::mpsc;

/// Of the database, which has one installation.
const CHANNEL: &str = "anyport";
const RETRY: Duration = Duration::from_secs(1);

/// To all others.
pub(in crate::storage) async fn tell(
    connection: &mut Connection,
    process: &str,
    notice: &Notice,
) -> Result<(), StorageError> {
    query("SELECT CAST(length(CAST(pg_notify(?, ?) AS text)) AS bigint)")
        .bind(CHANNEL)
        .bind(format!("{process} {}", notice.to_text()))
        .execute(connection)
        .await?;
    Ok(())
}

/// From all others, until nobody takes them any more.
pub(in crate::storage) fn listen(
    server: &Server,
    process: &str,
) -> mpsc::UnboundedReceiver<Notice> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(server.options().clone());
    let process = process.to_owned();
    tokio::spawn(async move {
        while !sender.is_closed() {
            let heard = async {
                let mut listener = PgListener::connect_with(&pool).await?;
                listener.listen(CHANNEL).await?;
                // What was told before is found by looking.
                for notice in [Notice::Free, Notice::HandOver, Notice::Providers] {
                    let _ = sender.send(notice);
                }
                loop {
                    tokio::select! {
                        notice = listener.recv() => {
                            let notice = notice?;
                            let (from, text) = notice.payload().split_once(' ').unwrap_or_default();
                            if from != process
                                && let Some(notice) = Notice::parse(text)
                            {
                                let _ = sender.send(notice);
                            }
                        }
                        () = sender.closed() => return Ok::<_, sqlx::Error>(()),
                    }
                }
            };
            if let Err(error) = heard.await {
                let error = StorageError::from(error);
                tracing::debug!(%error, "notices of other hosts are not heard now");
                tokio::time::sleep(RETRY).await;
            }
        }
    });
    receiver
}
