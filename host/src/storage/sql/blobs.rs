//! Blobs and their parts. Those whose owner is gone cannot be opened any more and are not found.

use super::SqlStore;
use super::connection::Connection;
use super::error::{damaged, not_found};
use super::query::query;
use super::rows::{Many, from_json, signed, time, to_json, unsigned};
use super::value::Row;
use crate::domain::media::{AttachmentSource, Blob, BlobId, BlobMeta, BlobOwner};
use crate::domain::{AccountId, SendId, Timestamp, WorkspaceId};
use crate::storage::StorageError;
use crate::storage::blobs::{
    BlobRows, Making, Removal, SharedAttachment, StoredAttachment, StoredBlob,
};
use crate::storage::chunks::ContentKey;
use crate::storage::seal::{DataKey, Kind};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::Zeroizing;

const COLUMNS: &str = "id, workspace, account, state, size, created_at, keep_until, meta_sealed";

/// What refers to a blob: a send that is not settled, an event that is kept.
const REFERRED: &str = "(EXISTS (SELECT 1 FROM blob_use CROSS JOIN send ON send.id = blob_use.send \
     WHERE blob_use.blob = blob.id AND send.state IN ('recorded', 'dispatched')) \
     OR EXISTS (SELECT 1 FROM attachment WHERE attachment.blob = blob.id))";

/// As it is sealed: what is known of the bytes, and their key.
#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(flatten)]
    meta: BlobMeta,
    key: String,
}

/// Seals what belongs to a blob that is not plain.
pub(super) fn seal_meta(
    data_key: &DataKey,
    id: &BlobId,
    meta: &BlobMeta,
    key: &ContentKey,
) -> Result<Vec<u8>, StorageError> {
    let mut plain = Sealed {
        meta: meta.clone(),
        key: key.text().to_string(),
    };
    let json = to_json(&plain).map(Zeroizing::new);
    zeroize::Zeroize::zeroize(&mut plain.key);
    Ok(data_key.seal(Kind::Blob, id.as_str().as_bytes(), &json?))
}

pub(super) fn open_meta(
    data_key: &DataKey,
    id: &str,
    sealed: &[u8],
) -> Result<(BlobMeta, ContentKey), StorageError> {
    let plain = data_key
        .open(Kind::Blob, id.as_bytes(), sealed)
        .map(Zeroizing::new)
        .ok_or_else(|| damaged("blob"))?;
    let sealed: Sealed = from_json(&plain, "blob")?;
    let text = Zeroizing::new(sealed.key);
    let key = ContentKey::parse(&text).ok_or_else(|| damaged("key of a blob"))?;
    Ok((sealed.meta, key))
}

/// Place of a part, as its seal has it.
pub(super) fn part_name(id: &str, offset: u64) -> Vec<u8> {
    [id.as_bytes(), b"/", &offset.to_be_bytes()].concat()
}

impl SqlStore {
    /// None: the owner is gone.
    async fn owner_key(
        &self,
        connection: &mut Connection,
        owner: &BlobOwner,
    ) -> Result<Option<Arc<DataKey>>, StorageError> {
        match &owner.account {
            None => self.keys.workspace(connection, &owner.workspace).await,
            Some(account) => {
                let key = self.keys.account(connection, account).await?;
                Ok(key
                    .filter(|key| key.workspace == owner.workspace)
                    .map(|key| key.key))
            }
        }
    }

    /// None: its owner is gone.
    async fn stored_blob(
        &self,
        connection: &mut Connection,
        row: &Row,
    ) -> Result<Option<StoredBlob>, StorageError> {
        let id: String = row.try_get(0)?;
        let owner = BlobOwner {
            workspace: WorkspaceId::from_text(row.try_get::<String, _>(1)?),
            account: row
                .try_get::<Option<String>, _>(2)?
                .map(AccountId::from_text),
        };
        let Some(data_key) = self.owner_key(connection, &owner).await? else {
            return Ok(None);
        };
        let (meta, key) = open_meta(&data_key, &id, row.try_get(7)?)?;
        Ok(Some(StoredBlob {
            staged: row.try_get::<String, _>(3)? == "staged",
            blob: Blob {
                id: BlobId::from_text(id),
                owner,
                size: unsigned(row.try_get(4)?),
                meta,
                created_at: time(row.try_get(5)?),
                keep_until: time(row.try_get(6)?),
            },
            key,
        }))
    }

    async fn insert_blob(
        &self,
        connection: &mut Connection,
        blob: &Blob,
        key: &ContentKey,
    ) -> Result<(), StorageError> {
        let data_key = self
            .owner_key(connection, &blob.owner)
            .await?
            .ok_or_else(not_found)?;
        query(
            "INSERT INTO blob (id, workspace, account, state, size, created_at, keep_until, \
             meta_sealed) VALUES (?, ?, ?, 'making', ?, ?, ?, ?)",
        )
        .bind(blob.id.as_str())
        .bind(blob.owner.workspace.as_str())
        .bind(blob.owner.account.as_ref().map(|id| id.as_str()))
        .bind(signed(blob.size))
        .bind(signed(blob.created_at.0))
        .bind(signed(blob.keep_until.0))
        .bind(seal_meta(&data_key, &blob.id, &blob.meta, key)?)
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn finish_blob(
        &self,
        connection: &mut Connection,
        blob: &Blob,
        key: &ContentKey,
    ) -> Result<bool, StorageError> {
        let Some(data_key) = self.owner_key(connection, &blob.owner).await? else {
            return Ok(false);
        };
        let changed = query(
            "UPDATE blob SET state = 'sealed', size = ?, keep_until = ?, meta_sealed = ? \
             WHERE id = ? AND state IN ('making', 'staged')",
        )
        .bind(signed(blob.size))
        .bind(signed(blob.keep_until.0))
        .bind(seal_meta(&data_key, &blob.id, &blob.meta, key)?)
        .bind(blob.id.as_str())
        .execute(connection)
        .await?
        .rows_affected();
        if changed == 0 {
            return Ok(false);
        }
        query("DELETE FROM blob_part WHERE blob = ?")
            .bind(blob.id.as_str())
            .execute(connection)
            .await?;
        Ok(true)
    }
}

#[async_trait]
impl BlobRows for SqlStore {
    async fn begin_blob(&self, blob: &Blob, key: &ContentKey) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = self
            .insert_blob(&mut transaction.connection, blob, key)
            .await;
        transaction.end(result).await
    }

    async fn seal_blob(&self, blob: &Blob, key: &ContentKey) -> Result<bool, StorageError> {
        let mut transaction = self.begin().await?;
        let result = self
            .finish_blob(&mut transaction.connection, blob, key)
            .await;
        transaction.end(result).await
    }

    async fn give_up_blob(&self, id: &BlobId) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = query("UPDATE blob SET state = 'dying' WHERE id = ? AND state = 'making'")
            .bind(id.as_str())
            .execute(&mut transaction.connection)
            .await
            .map(|_| ());
        transaction.end(result).await
    }

    async fn blob(
        &self,
        workspace: Option<&WorkspaceId>,
        id: &BlobId,
    ) -> Result<Option<StoredBlob>, StorageError> {
        let mut connection = self.reader().await?;
        let row = query(format!(
            "SELECT {COLUMNS} FROM blob WHERE id = ? AND (? IS NULL OR workspace = ?) \
             AND state IN ('sealed', 'staged')"
        ))
        .bind(id.as_str())
        .bind(workspace.map(WorkspaceId::as_str))
        .bind(workspace.map(WorkspaceId::as_str))
        .fetch_optional(&mut connection)
        .await?;
        match row {
            Some(row) => self.stored_blob(&mut connection, &row).await,
            None => Ok(None),
        }
    }

    async fn keep_blob(&self, id: &BlobId, until: Timestamp) -> Result<bool, StorageError> {
        let mut transaction = self.begin().await?;
        let result = keep(&mut transaction.connection, id, until).await;
        transaction.end(result).await
    }

    async fn use_blob(&self, id: &BlobId, send: &SendId) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let uses = [(id.clone(), *send)];
        let result = insert_uses(&mut transaction.connection, &uses).await;
        transaction.end(result).await
    }

    async fn making(&self, account: &AccountId) -> Result<Vec<Making>, StorageError> {
        let mut connection = self.reader().await?;
        let Some(key) = self.keys.account(&mut connection, account).await? else {
            return Ok(Vec::new());
        };
        let rows = query(
            "SELECT id, label, size, created_at, meta_sealed FROM blob \
             WHERE account = ? AND state = 'making' AND label IS NOT NULL",
        )
        .bind(account.as_str())
        .fetch_all(&mut connection)
        .await?;
        rows.iter()
            .map(|row| {
                let id: String = row.try_get(0)?;
                Ok(Making {
                    meta: open_meta(&key.key, &id, row.try_get(4)?)?.0,
                    id: BlobId::from_text(id),
                    label: row.try_get(1)?,
                    size: unsigned(row.try_get(2)?),
                    created_at: time(row.try_get(3)?),
                })
            })
            .collect()
    }

    async fn staged(&self, limit: u32) -> Result<Vec<StoredBlob>, StorageError> {
        let mut connection = self.reader().await?;
        let rows = query(format!(
            "SELECT {COLUMNS} FROM blob WHERE state = 'staged' ORDER BY id LIMIT ?"
        ))
        .bind(i64::from(limit))
        .fetch_all(&mut connection)
        .await?;
        let mut blobs = Vec::with_capacity(rows.len());
        for row in &rows {
            blobs.extend(self.stored_blob(&mut connection, row).await?);
        }
        Ok(blobs)
    }

    async fn part(&self, blob: &Blob, offset: u64) -> Result<Option<(u64, Vec<u8>)>, StorageError> {
        let mut connection = self.reader().await?;
        let Some(key) = self.owner_key(&mut connection, &blob.owner).await? else {
            return Ok(None);
        };
        let row = query(
            "SELECT part_offset, bytes_sealed FROM blob_part WHERE blob = ? \
             AND part_offset <= ? ORDER BY part_offset DESC LIMIT 1",
        )
        .bind(blob.id.as_str())
        .bind(signed(offset))
        .fetch_optional(&mut connection)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let begin = unsigned(row.try_get(0)?);
        let name = part_name(blob.id.as_str(), begin);
        let bytes = key
            .open(Kind::BlobPart, &name, row.try_get(1)?)
            .ok_or_else(|| damaged("part of a blob"))?;
        Ok(Some((begin, bytes)))
    }

    async fn remove_blob(
        &self,
        workspace: &WorkspaceId,
        id: &BlobId,
    ) -> Result<Removal, StorageError> {
        let mut transaction = self.begin().await?;
        let result = remove(&mut transaction.connection, workspace, id).await;
        transaction.end(result).await
    }

    async fn expire(
        &self,
        now: Timestamp,
        again: Timestamp,
        limit: u32,
    ) -> Result<u64, StorageError> {
        let mut transaction = self.begin().await?;
        let result = expire(&mut transaction.connection, now, again, limit).await;
        transaction.end(result).await
    }

    async fn dying(&self, limit: u32) -> Result<Vec<BlobId>, StorageError> {
        let mut connection = self.reader().await?;
        let rows = query("SELECT id FROM blob WHERE state = 'dying' ORDER BY id LIMIT ?")
            .bind(i64::from(limit))
            .fetch_all(&mut connection)
            .await?;
        rows.iter()
            .map(|row| Ok(BlobId::from_text(row.try_get::<String, _>(0)?)))
            .collect()
    }

    async fn bury(&self, ids: &[BlobId]) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = bury(&mut transaction.connection, ids).await;
        transaction.end(result).await
    }

    async fn share(
        &self,
        shared: &[SharedAttachment],
        enough: Timestamp,
        until: Timestamp,
    ) -> Result<(), StorageError> {
        self.share_attachments(shared, enough, until).await
    }

    async fn attachment(&self, token: &[u8; 32]) -> Result<Option<StoredAttachment>, StorageError> {
        let mut connection = self.reader().await?;
        let row = query("SELECT account, blob, source_sealed FROM attachment WHERE token = ?")
            .bind(token.to_vec())
            .fetch_optional(&mut connection)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let account = AccountId::from_text(row.try_get::<String, _>(0)?);
        let Some(key) = self.keys.account(&mut connection, &account).await? else {
            return Ok(None);
        };
        let source = key
            .key
            .open(Kind::Attachment, token, row.try_get(2)?)
            .ok_or_else(|| damaged("attachment"))?;
        let source: AttachmentSource = from_json(&source, "attachment")?;
        Ok(Some(StoredAttachment {
            workspace: key.workspace,
            account,
            source,
            blob: row.try_get::<Option<String>, _>(1)?.map(BlobId::from_text),
        }))
    }

    async fn attach(&self, token: &[u8; 32], blob: &BlobId) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        let result = query("UPDATE attachment SET blob = ? WHERE token = ?")
            .bind(blob.as_str())
            .bind(token.to_vec())
            .execute(&mut transaction.connection)
            .await
            .map(|_| ());
        transaction.end(result).await
    }
}

pub(super) async fn keep(
    connection: &mut Connection,
    id: &BlobId,
    until: Timestamp,
) -> Result<bool, StorageError> {
    let changed = query(
        "UPDATE blob SET keep_until = CASE WHEN keep_until < ? THEN ? ELSE keep_until END \
         WHERE id = ? AND state IN ('sealed', 'staged')",
    )
    .bind(signed(until.0))
    .bind(signed(until.0))
    .bind(id.as_str())
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed > 0)
}

pub(super) async fn insert_uses(
    connection: &mut Connection,
    uses: &[(BlobId, SendId)],
) -> Result<(), StorageError> {
    const INSERT: Many = Many {
        before: "INSERT INTO blob_use (blob, send) VALUES ",
        row: "(?,?)",
        after: " ON CONFLICT (blob, send) DO NOTHING",
    };
    INSERT
        .execute(connection, uses.iter(), |statement, (blob, send)| {
            statement
                .bind(blob.as_str())
                .bind(send.0.as_bytes().to_vec())
        })
        .await?;
    Ok(())
}

async fn remove(
    connection: &mut Connection,
    workspace: &WorkspaceId,
    id: &BlobId,
) -> Result<Removal, StorageError> {
    let row = query(format!(
        "SELECT (CASE WHEN {REFERRED} THEN 1 ELSE 0 END){} FROM blob WHERE id = ? \
         AND workspace = ? AND state IN ('sealed', 'staged')",
        as_number(connection)
    ))
    .bind(id.as_str())
    .bind(workspace.as_str())
    .fetch_optional(connection)
    .await?;
    match row {
        None => Ok(Removal::Missing),
        Some(row) if row.try_get::<bool, _>(0)? => Ok(Removal::InUse),
        Some(_) => {
            query("UPDATE blob SET state = 'dying' WHERE id = ?")
                .bind(id.as_str())
                .execute(connection)
                .await?;
            Ok(Removal::Begun)
        }
    }
}

/// PostgreSQL's own numbers are shorter.
fn as_number(connection: &Connection) -> &'static str {
    if connection.is_postgres() {
        "::bigint"
    } else {
        ""
    }
}

async fn expire(
    connection: &mut Connection,
    now: Timestamp,
    again: Timestamp,
    limit: u32,
) -> Result<u64, StorageError> {
    let rows = query(format!(
        "SELECT id, (CASE WHEN {REFERRED} THEN 1 ELSE 0 END){} FROM blob \
         WHERE keep_until < ? AND state <> 'dying' ORDER BY keep_until LIMIT ?",
        as_number(connection)
    ))
    .bind(signed(now.0))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    for row in &rows {
        let (id, referred): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
        let statement = if referred {
            query("UPDATE blob SET keep_until = ? WHERE id = ? AND keep_until < ?")
                .bind(signed(again.0))
        } else {
            // Somebody may want it kept since it was looked at.
            query("UPDATE blob SET state = 'dying' WHERE id = ? AND keep_until < ?")
        };
        statement
            .bind(id)
            .bind(signed(now.0))
            .execute(connection)
            .await?;
    }
    Ok(rows.len() as u64)
}

async fn bury(connection: &mut Connection, ids: &[BlobId]) -> Result<(), StorageError> {
    const PARTS: Many = Many {
        before: "DELETE FROM blob_part WHERE blob IN (",
        row: "?",
        after: ")",
    };
    const USES: Many = Many {
        before: "DELETE FROM blob_use WHERE blob IN (",
        row: "?",
        after: ")",
    };
    const BLOBS: Many = Many {
        before: "DELETE FROM blob WHERE state = 'dying' AND id IN (",
        row: "?",
        after: ")",
    };
    for statement in [PARTS, USES, BLOBS] {
        statement
            .execute(connection, ids.iter(), |statement, id| {
                statement.bind(id.as_str())
            })
            .await?;
    }
    Ok(())
}
