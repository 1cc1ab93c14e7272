//! Writes what turns did with blobs, and the addresses of the attachments in their events.

use super::super::blobs::{insert_uses, keep, part_name, seal_meta};
use super::super::connection::Connection;
use super::super::query::query;
use super::super::rows::{Many, position, signed, to_json};
use super::apply::key;
use super::plan::Plan;
use crate::domain::media::BlobId;
use crate::domain::{AccountId, SendId, WorkspaceId};
use crate::storage::StorageError;
use crate::storage::blobs::BlobWrite;
use crate::storage::chunks::ContentKey;
use crate::storage::seal::{DataKey, Kind};

pub(super) async fn apply(
    connection: &mut Connection,
    plan: &Plan<'_>,
) -> Result<(), StorageError> {
    for (account, workspace, write) in &plan.blobs {
        write_one(connection, key(plan, account)?, account, workspace, write).await?;
    }
    uses(connection, plan).await?;
    attachments(connection, plan).await
}

/// One by one: a turn has few of them, and they are large.
async fn write_one(
    connection: &mut Connection,
    key: &DataKey,
    account: &AccountId,
    workspace: &WorkspaceId,
    write: &BlobWrite,
) -> Result<(), StorageError> {
    match write {
        BlobWrite::Create(making) => {
            let sealed = seal_meta(key, &making.id, &making.meta, &ContentKey::generate())?;
            query(
                "INSERT INTO blob (id, workspace, account, label, state, size, created_at, \
                 keep_until, meta_sealed) VALUES (?, ?, ?, ?, 'making', 0, ?, ?, ?)",
            )
            .bind(making.id.as_str())
            .bind(workspace.as_str())
            .bind(account.as_str())
            .bind(making.label.clone())
            .bind(signed(making.created_at.0))
            .bind(signed(making.created_at.plus_ms(crate::storage::DAY_MS).0))
            .bind(sealed)
            .execute(connection)
            .await?;
        }
        BlobWrite::Append { id, offset, bytes } => {
            let end = signed(*offset + bytes.len() as u64);
            let name = part_name(id.as_str(), *offset);
            let there = query("UPDATE blob SET size = ? WHERE id = ? AND state = 'making'")
                .bind(end)
                .bind(id.as_str())
                .execute(connection)
                .await?
                .rows_affected();
            if there == 0 {
                return Ok(());
            }
            query("INSERT INTO blob_part (blob, part_offset, bytes_sealed) VALUES (?, ?, ?)")
                .bind(id.as_str())
                .bind(signed(*offset))
                .bind(key.seal(Kind::BlobPart, &name, bytes))
                .execute(connection)
                .await?;
        }
        BlobWrite::Seal {
            id,
            size,
            meta,
            keep_until,
        } => {
            query(
                "UPDATE blob SET state = 'staged', label = NULL, size = ?, keep_until = ?, \
                 meta_sealed = ? WHERE id = ? AND state = 'making'",
            )
            .bind(signed(*size))
            .bind(signed(keep_until.0))
            .bind(seal_meta(key, id, meta, &ContentKey::generate())?)
            .bind(id.as_str())
            .execute(connection)
            .await?;
        }
        BlobWrite::Discard(id) => {
            query(
                "UPDATE blob SET state = 'dying', label = NULL WHERE id = ? AND state = 'making'",
            )
            .bind(id.as_str())
            .execute(connection)
            .await?;
        }
        BlobWrite::Keep { id, until } => {
            keep(connection, id, *until).await?;
        }
    }
    Ok(())
}

/// The blobs that new sends name.
async fn uses(connection: &mut Connection, plan: &Plan<'_>) -> Result<(), StorageError> {
    let uses: Vec<(BlobId, SendId)> = plan
        .new_sends
        .iter()
        .flat_map(|(record, _)| {
            let blobs = record.outgoing.content.blobs();
            blobs.map(|blob| (blob.clone(), record.id))
        })
        .collect();
    insert_uses(connection, &uses).await
}

async fn attachments(connection: &mut Connection, plan: &Plan<'_>) -> Result<(), StorageError> {
    const INSERT: Many = Many {
        before: "INSERT INTO attachment (token, account, position, blob, source_sealed) VALUES ",
        row: "(?,?,?,?,?)",
        after: "",
    };
    let mut rows = Vec::new();
    for planned in &plan.events {
        let Some(offset) = planned.offset else {
            continue;
        };
        for attachment in &planned.event.attachments {
            let source = to_json(&attachment.source)?;
            let key = key(plan, planned.account)?;
            let sealed = key.seal(Kind::Attachment, &attachment.token, &source);
            rows.push((
                position(planned.partition, offset),
                planned,
                attachment,
                sealed,
            ));
        }
    }
    INSERT
        .execute(
            connection,
            rows.into_iter(),
            |statement, (position, planned, attachment, sealed)| {
                statement
                    .bind(attachment.token.to_vec())
                    .bind(planned.account.as_str())
                    .bind(position)
                    .bind(attachment.blob.as_ref().map(|blob| blob.as_str()))
                    .bind(sealed)
            },
        )
        .await?;
    Ok(())
}
