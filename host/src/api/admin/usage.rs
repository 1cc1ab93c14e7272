//! What workspaces and accounts used. Written down every minute; what a crash takes is less.

use super::super::Api;
use super::super::envelope::{Answer, Reply};
use super::super::error::{ApiError, Operation};
use super::super::openapi::Doc;
use super::super::query::Query;
use super::super::routes::Routes;
use crate::domain::usage::Usage;
use crate::domain::{Timestamp, WorkspaceId};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;

const DAYS: u32 = 30;
const DAY_MS: u64 = 86_400_000;

pub fn routes() -> Routes {
    let day = || json!({"type": "string", "format": "date"});
    Routes::new()
        .get("/admin/v1/usage", read)
        .doc(
            Doc::new("getUsage", "What workspaces and accounts used")
                .query(
                    "from",
                    "The first day (UTC); 30 days back when absent.",
                    day(),
                )
                .query("to", "The last day; today when absent.", day())
                .query(
                    "workspace_id",
                    "Of this one alone.",
                    json!({"type": "string"}),
                )
                .ok::<UsageView>(),
        )
        .about("Usage", "What workspaces and accounts used.")
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Usage")]
struct UsageView {
    from: String,
    to: String,
    workspaces: Vec<WorkspaceUsage>,
}

#[derive(JsonSchema, Serialize)]
struct WorkspaceUsage {
    workspace_id: String,
    #[serde(flatten)]
    usage: Usage,
    accounts: Vec<AccountUsage>,
}

#[derive(JsonSchema, Serialize)]
struct AccountUsage {
    account_id: String,
    #[serde(flatten)]
    usage: Usage,
}

/// `2026-03-01`
fn day(query: &Query, name: &str) -> Result<Option<u32>, ApiError> {
    let Some(text) = query.text(name) else {
        return Ok(None);
    };
    Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"))
        .map(|at| Some(at.day()))
        .ok_or_else(|| ApiError::field(name, "must be a day such as 2026-03-01"))
}

fn day_text(day: u32) -> String {
    let text = Timestamp(u64::from(day) * DAY_MS).rfc3339();
    text.split('T').next().unwrap_or_default().to_owned()
}

/// From the day `from` to and with the day `to` (UTC); the last 30 days when absent.
async fn read(State(api): State<Api>, query: Query) -> Answer {
    let to = day(&query, "to")?.unwrap_or_else(|| Timestamp::now().day());
    let from = day(&query, "from")?.unwrap_or_else(|| to.saturating_sub(DAYS - 1));
    if from > to {
        return Err(ApiError::field("from", "must not be later than to"));
    }
    let workspace = query.text("workspace_id").map(WorkspaceId::from_text);
    let rows = api
        .store
        .usage(workspace.as_ref(), from, to)
        .await
        .map_err(|error| Operation::OWN.storage(error))?;
    let mut sums: BTreeMap<String, BTreeMap<String, Usage>> = BTreeMap::new();
    for row in rows {
        sums.entry(row.workspace.to_string())
            .or_default()
            .entry(row.account.to_string())
            .or_default()
            .add(&row.usage);
    }
    let workspaces = sums
        .into_iter()
        .map(|(workspace_id, accounts)| {
            let mut usage = Usage::default();
            for account in accounts.values() {
                usage.add(account);
            }
            let accounts = accounts
                .into_iter()
                .map(|(account_id, usage)| AccountUsage { account_id, usage })
                .collect();
            WorkspaceUsage {
                workspace_id,
                usage,
                accounts,
            }
        })
        .collect();
    Reply::ok(&UsageView {
        from: day_text(from),
        to: day_text(to),
        workspaces,
    })
}
