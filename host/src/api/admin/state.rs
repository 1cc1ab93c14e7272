//! How the host stands: accounts, deliveries, the database, what it owns. Of this host alone.

use super::super::Api;
use super::super::envelope::{Answer, Reply};
use super::super::error::Operation;
use super::super::openapi::Doc;
use super::super::routes::Routes;
use crate::domain::account::RuntimeStatus;
use crate::supervisor::operate::Standing;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Accounts and endpoints that are listed one by one, worst first.
const LISTED: usize = 100;

pub fn routes() -> Routes {
    Routes::new()
        .get("/admin/v1/state", read)
        .doc(Doc::new("getState", "How this host stands").ok::<StateView>())
        .about("State", "How this host stands.")
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "HostState")]
struct StateView {
    accounts: AccountsView,
    endpoints: EndpointsView,
    storage: StorageView,
    /// Partitions of the log that this host owns.
    partitions: Vec<u8>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "AccountsState")]
struct AccountsView {
    total: usize,
    by_runtime_status: BTreeMap<&'static str, usize>,
    open_sends: usize,
    /// Those with strikes, disconnected or in error.
    in_trouble: Vec<AccountView>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "AccountState")]
struct AccountView {
    account_id: String,
    workspace_id: String,
    provider: String,
    provider_digest: String,
    #[schemars(with = "RuntimeStatus")]
    runtime_status: &'static str,
    runtime_error: String,
    strikes: u32,
    instances: u64,
    open_sends: usize,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EndpointsState")]
struct EndpointsView {
    total: usize,
    /// Those that are behind, failing or switched off by the host.
    in_trouble: Vec<EndpointView>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EndpointStanding")]
struct EndpointView {
    endpoint_id: String,
    workspace_id: String,
    state: crate::domain::endpoint::EndpointState,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason: Option<String>,
    /// Events of the log that are not done with yet.
    behind: u64,
    /// Events that wait for a retry, or behind one.
    waiting: usize,
    in_flight: usize,
    breaker_open: bool,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "StorageState")]
struct StorageView {
    /// Why the database refuses writes right now.
    trouble: Option<String>,
    /// Events in the log.
    events: u64,
}

impl From<Standing> for AccountView {
    fn from(standing: Standing) -> Self {
        Self {
            account_id: standing.account.to_string(),
            workspace_id: standing.workspace.to_string(),
            provider: standing.provider,
            provider_digest: standing.digest,
            runtime_status: standing.status.as_str(),
            runtime_error: standing.reason.unwrap_or_default(),
            strikes: standing.strikes,
            instances: standing.instances,
            open_sends: standing.open_sends,
        }
    }
}

async fn read(State(api): State<Api>) -> Answer {
    let events = api
        .store
        .heads()
        .await
        .map_err(|error| Operation::OWN.storage(error))?
        .iter()
        .sum();
    Reply::ok(&StateView {
        accounts: accounts(api.operate.standings()),
        endpoints: endpoints(&api).await?,
        storage: StorageView {
            trouble: (api.trouble)(),
            events,
        },
        partitions: api.operate.partitions(),
    })
}

fn accounts(standings: Vec<Standing>) -> AccountsView {
    let mut by_runtime_status = BTreeMap::new();
    for standing in &standings {
        *by_runtime_status
            .entry(standing.status.as_str())
            .or_default() += 1;
    }
    let (total, open_sends) = (
        standings.len(),
        standings.iter().map(|standing| standing.open_sends).sum(),
    );
    let mut troubled = standings;
    troubled.retain(|standing| {
        standing.strikes > 0
            || matches!(
                standing.status,
                RuntimeStatus::Disconnected | RuntimeStatus::Error
            )
    });
    troubled.sort_by_key(|standing| {
        let broken = standing.status == RuntimeStatus::Error;
        (
            std::cmp::Reverse(broken),
            std::cmp::Reverse(standing.strikes),
        )
    });
    troubled.truncate(LISTED);
    AccountsView {
        total,
        by_runtime_status,
        open_sends,
        in_trouble: troubled.into_iter().map(Into::into).collect(),
    }
}

async fn endpoints(api: &Api) -> Result<EndpointsView, super::super::error::ApiError> {
    use crate::domain::endpoint::EndpointState;
    let all = api
        .store
        .all_endpoints()
        .await
        .map_err(|error| Operation::OWN.storage(error))?;
    let total = all.len();
    let mut in_trouble: Vec<EndpointView> = all
        .into_iter()
        .filter_map(|endpoint| {
            let lag = (api.lag)(&endpoint.id);
            let behind = lag.map_or(0, |lag| lag.behind);
            let waiting = lag.map_or(0, |lag| lag.detours);
            let state = lag.map_or(endpoint.state, |lag| lag.state);
            let fine = behind == 0
                && waiting == 0
                && matches!(state, EndpointState::Enabled | EndpointState::Inactive);
            (!fine).then(|| EndpointView {
                endpoint_id: endpoint.id.to_string(),
                workspace_id: endpoint.workspace.to_string(),
                state,
                state_reason: endpoint.state_reason,
                behind,
                waiting,
                in_flight: lag.map_or(0, |lag| lag.in_flight),
                breaker_open: lag.is_some_and(|lag| lag.breaker_open),
            })
        })
        .collect();
    in_trouble.sort_by_key(|endpoint| std::cmp::Reverse(endpoint.behind));
    in_trouble.truncate(LISTED);
    Ok(EndpointsView { total, in_trouble })
}
