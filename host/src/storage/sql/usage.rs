//! What accounts used, a row per account and day.

use super::SqlStore;
use super::query::query;
use super::rows::{Many, signed, unsigned};
use crate::domain::usage::{DailyUsage, Usage};
use crate::domain::{AccountId, WorkspaceId};
use crate::storage::StorageError;

const ADD: Many = Many {
    before: "INSERT INTO usage (workspace, account, day, turns, cpu_us, events, sends, bytes_in, \
             bytes_out) VALUES ",
    row: "(?,?,?,?,?,?,?,?,?)",
    after: " ON CONFLICT (workspace, account, day) DO UPDATE SET turns = usage.turns + excluded.turns, \
            cpu_us = usage.cpu_us + excluded.cpu_us, events = usage.events + excluded.events, \
            sends = usage.sends + excluded.sends, bytes_in = usage.bytes_in + excluded.bytes_in, \
            bytes_out = usage.bytes_out + excluded.bytes_out",
};

impl SqlStore {
    pub(super) async fn write_usage(&self, usage: &[DailyUsage]) -> Result<(), StorageError> {
        if usage.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        let result = ADD
            .execute(
                &mut transaction.connection,
                usage.iter(),
                |statement, row| {
                    statement
                        .bind(row.workspace.as_str())
                        .bind(row.account.as_str())
                        .bind(i64::from(row.day))
                        .bind(signed(row.usage.turns))
                        .bind(signed(row.usage.cpu_us))
                        .bind(signed(row.usage.events))
                        .bind(signed(row.usage.sends))
                        .bind(signed(row.usage.bytes_in))
                        .bind(signed(row.usage.bytes_out))
                },
            )
            .await;
        transaction.end(result).await?;
        Ok(())
    }

    pub(super) async fn read_usage(
        &self,
        workspace: Option<&WorkspaceId>,
        from: u32,
        to: u32,
    ) -> Result<Vec<DailyUsage>, StorageError> {
        let mut connection = self.reader().await?;
        let rows = query(
            "SELECT workspace, account, day, turns, cpu_us, events, sends, bytes_in, bytes_out \
             FROM usage WHERE (? IS NULL OR workspace = ?) AND day BETWEEN ? AND ? \
             ORDER BY workspace, account, day",
        )
        .bind(workspace.map(|id| id.as_str()))
        .bind(workspace.map(|id| id.as_str()))
        .bind(i64::from(from))
        .bind(i64::from(to))
        .fetch_all(&mut connection)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(DailyUsage {
                    workspace: WorkspaceId::from_text(row.try_get::<String, _>(0)?),
                    account: AccountId::from_text(row.try_get::<String, _>(1)?),
                    day: row.try_get(2)?,
                    usage: Usage {
                        turns: unsigned(row.try_get(3)?),
                        cpu_us: unsigned(row.try_get(4)?),
                        events: unsigned(row.try_get(5)?),
                        sends: unsigned(row.try_get(6)?),
                        bytes_in: unsigned(row.try_get(7)?),
                        bytes_out: unsigned(row.try_get(8)?),
                    },
                })
            })
            .collect()
    }
}
