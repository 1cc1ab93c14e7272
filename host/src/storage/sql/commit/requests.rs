//! Writes what the plan says about HTTP requests that are not answered.

use super::super::connection::Connection;
use super::super::rows::Many;
use super::apply::key;
use super::plan::{Plan, RequestChange};
use crate::storage::StorageError;
use crate::storage::seal::Kind;

pub(super) async fn apply(
    connection: &mut Connection,
    plan: &Plan<'_>,
) -> Result<(), StorageError> {
    const PUT: Many = Many {
        before: "INSERT INTO request (account, id, started, request_sealed) VALUES ",
        row: "(?,?,?,?)",
        after: "",
    };
    const STARTED: Many = Many {
        before: "WITH given (account, id) AS (VALUES ",
        row: "(?,?)",
        after: ") UPDATE request SET started = 1 FROM given \
                WHERE request.account = given.account AND request.id = given.id",
    };
    const REMOVE: Many = Many {
        before: "WITH gone (account, id) AS (VALUES ",
        row: "(?,?)",
        after: ") DELETE FROM request WHERE (account, id) IN (SELECT found.account, found.id \
                FROM gone CROSS JOIN request AS found \
                ON found.account = gone.account AND found.id = gone.id)",
    };
    let mut puts = Vec::new();
    let mut started = Vec::new();
    let mut removals = Vec::new();
    for ((account, id), change) in &plan.requests {
        match change {
            RequestChange::Put {
                request,
                started: has_started,
            } => {
                let sealed = key(plan, account)?.seal(Kind::Request, id.as_bytes(), request);
                puts.push((*account, *id, i64::from(*has_started), sealed));
            }
            RequestChange::Started => started.push((*account, *id)),
            RequestChange::Remove => removals.push((*account, *id)),
        }
    }
    PUT.execute(connection, puts.into_iter(), |statement, row| {
        statement
            .bind(row.0.as_str())
            .bind(row.1.as_bytes().to_vec())
            .bind(row.2)
            .bind(row.3)
    })
    .await?;
    for (statement, rows) in [(&STARTED, started), (&REMOVE, removals)] {
        statement
            .execute(connection, rows.into_iter(), |statement, row| {
                statement
                    .bind(row.0.as_str())
                    .bind(row.1.as_bytes().to_vec())
            })
            .await?;
    }
    Ok(())
}
