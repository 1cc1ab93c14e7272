//! Attachments that belong to no event: pictures in answers, whose addresses are the same in each.
//! Most reads find theirs there already and write nothing.

use super::SqlStore;
use super::connection::Connection;
use super::query::query;
use super::rows::{Many, signed, to_json, unsigned};
use crate::domain::Timestamp;
use crate::storage::StorageError;
use crate::storage::blobs::SharedAttachment;
use crate::storage::seal::Kind;
use std::collections::HashSet;

/// Offsets begin with 1, so no event is there.
const NO_EVENT: i64 = -1;

impl SqlStore {
    pub(super) async fn share_attachments(
        &self,
        shared: &[SharedAttachment],
        enough: Timestamp,
        until: Timestamp,
    ) -> Result<(), StorageError> {
        let mut connection = self.reader().await?;
        let fresh = kept(&mut connection, shared, enough).await?;
        drop(connection);
        let mut wanted: Vec<&SharedAttachment> = shared
            .iter()
            .filter(|one| !fresh.contains(one.attachment.token.as_slice()))
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        // All who write these lock them in the same order.
        wanted.sort_unstable_by_key(|one| one.attachment.token);
        let mut transaction = self.begin().await?;
        let connection = &mut transaction.connection;
        let result = self.insert_shared(connection, &wanted, until).await;
        transaction.end(result).await
    }

    async fn insert_shared(
        &self,
        connection: &mut Connection,
        wanted: &[&SharedAttachment],
        until: Timestamp,
    ) -> Result<(), StorageError> {
        const INSERT: Many = Many {
            before: "INSERT INTO attachment \
                     (token, account, position, blob, source_sealed, keep_until) VALUES ",
            row: "(?,?,?,?,?,?)",
            after: " ON CONFLICT (token) DO UPDATE SET keep_until = excluded.keep_until \
                    WHERE attachment.keep_until < excluded.keep_until",
        };
        let accounts = wanted.iter().map(|one| &one.account);
        let keys = self.keys.accounts(connection, accounts).await?;
        let mut rows = Vec::with_capacity(wanted.len());
        for SharedAttachment {
            account,
            attachment,
        } in wanted
        {
            let Some(key) = keys.get(account) else {
                continue;
            };
            let source = to_json(&attachment.source)?;
            let sealed = key.key.seal(Kind::Attachment, &attachment.token, &source);
            rows.push((account, attachment, sealed));
        }
        INSERT
            .execute(
                connection,
                rows.into_iter(),
                |statement, (account, attachment, sealed)| {
                    statement
                        .bind(attachment.token.to_vec())
                        .bind(account.as_str())
                        .bind(NO_EVENT)
                        .bind(attachment.blob.as_ref().map(|blob| blob.as_str()))
                        .bind(sealed)
                        .bind(signed(until.0))
                },
            )
            .await?;
        Ok(())
    }
}

/// Tokens of those that are there and stay until then.
async fn kept(
    connection: &mut Connection,
    shared: &[SharedAttachment],
    enough: Timestamp,
) -> Result<HashSet<Vec<u8>>, StorageError> {
    const FIND: Many = Many {
        before: "SELECT token, keep_until FROM attachment WHERE token IN (",
        row: "?",
        after: ")",
    };
    let rows = FIND
        .fetch(connection, shared.iter(), |statement, one| {
            statement.bind(one.attachment.token.to_vec())
        })
        .await?;
    let mut kept = HashSet::with_capacity(rows.len());
    for row in rows {
        let until: Option<i64> = row.try_get(1)?;
        if until.is_none_or(|until| unsigned(until) >= enough.0) {
            kept.insert(row.try_get(0)?);
        }
    }
    Ok(kept)
}

/// Some of those that nobody asked for any more. False: there are none.
pub(super) async fn drop_shared(
    connection: &mut Connection,
    now: Timestamp,
    limit: i64,
) -> Result<bool, StorageError> {
    let removed = query(
        "DELETE FROM attachment WHERE token IN \
         (SELECT token FROM attachment WHERE keep_until < ? ORDER BY keep_until LIMIT ?)",
    )
    .bind(signed(now.0))
    .bind(limit)
    .execute(connection)
    .await?
    .rows_affected();
    Ok(removed > 0)
}
