//! What requests about keys hold, for the description; `key_requests` reads them.
#![expect(dead_code, reason = "only their schemas are used")]

use crate::domain::key::Permission;
use schemars::JsonSchema;
use serde_json::json;

#[derive(JsonSchema)]
#[schemars(rename = "ApiKeyCreateRequest", example = json!({
    "name": "Reservations", "scopes": ["read", "send"], "expires_at": "2036-03-01T08:30:00Z",
}))]
pub struct NewWorkspaceKey {
    #[schemars(length(min = 1, max = 200))]
    name: String,
    /// Before the random part; `dk_live` when absent.
    #[schemars(length(max = 32), regex(pattern = "^(?!op_)[A-Za-z0-9_-]*$"))]
    prefix: Option<String>,
    /// `all` when absent.
    #[schemars(length(min = 1, max = 8), extend("items" = {"enum": Permission::NAMES}))]
    scopes: Option<Vec<String>>,
    /// Binds the key to this account.
    #[schemars(length(max = 128))]
    account_id: Option<String>,
    expires_at: Option<InFuture>,
}

#[derive(JsonSchema)]
#[schemars(inline, extend("format" = "date-time"))]
struct InFuture(String);

#[derive(JsonSchema)]
#[schemars(rename = "WorkspaceKeyCreateRequest", example = json!({
    "name": "Reservations", "rate_limit": {"per_second": 100, "burst": 200},
}))]
pub struct NewKeyByOperator {
    #[serde(flatten)]
    key: NewWorkspaceKey,
    rate_limit: Option<RateRequest>,
}

#[derive(JsonSchema)]
#[schemars(rename = "RateLimitRequest")]
struct RateRequest {
    #[schemars(range(min = 1, max = 1_000_000))]
    per_second: u32,
    #[schemars(range(min = 1, max = 1_000_000))]
    burst: u32,
}

#[derive(JsonSchema)]
#[schemars(rename = "OperatorKeyCreateRequest", example = json!({"name": "Night shift"}))]
pub struct NewOperatorKey {
    #[schemars(length(min = 1, max = 200))]
    name: String,
    /// Before the random part; `op_live` when absent.
    #[schemars(length(max = 32), regex(pattern = "^[A-Za-z0-9_-]*$"))]
    prefix: Option<String>,
    expires_at: Option<InFuture>,
    rate_limit: Option<RateRequest>,
}

#[derive(JsonSchema)]
#[schemars(rename = "ApiKeyStatusUpdateRequest", example = json!({"status": "inactive"}))]
pub struct KeyStatus {
    #[schemars(extend("enum" = ["active", "inactive"]))]
    status: String,
}

/// At least one of them.
#[derive(JsonSchema)]
#[schemars(rename = "KeyUpdateRequest", extend("minProperties" = 1), example = json!({
    "status": "active", "rate_limit": null,
}))]
pub struct KeyChange {
    #[schemars(extend("enum" = ["active", "inactive", null]))]
    status: Option<String>,
    #[schemars(length(max = 200))]
    name: Option<String>,
    /// null takes it away.
    rate_limit: Option<RateRequest>,
}

#[derive(JsonSchema)]
#[schemars(rename = "ApiKeyRotateRequest", example = json!({"overlap_ms": 86_400_000}))]
pub struct KeyRotation {
    /// As it was when absent.
    #[schemars(length(max = 200))]
    name: Option<String>,
    #[schemars(length(max = 32), regex(pattern = "^(?!op_)[A-Za-z0-9_-]*$"))]
    prefix: Option<String>,
    /// Milliseconds for which the text before stays good.
    #[schemars(range(max = 604_800_000))]
    overlap_ms: Option<u64>,
    expires_at: Option<InFuture>,
}
