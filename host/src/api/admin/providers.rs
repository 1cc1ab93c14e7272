//! Providers: what is installed, which versions there are, what they were granted, which of them
//! runs. Listing and uploading are the handlers of `/v1/providers`, under a second path.

use super::super::Api;
use super::super::body::JsonBody;
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::ApiError;
use super::super::fields::Fields;
use super::super::openapi::Doc;
use super::super::query::{PathPair, PathText, Query};
use super::super::routes::Routes;
use super::super::v1::providers::{list, list_doc, upload, upload_doc};
use super::refused;
use crate::domain::AccountId;
use crate::domain::grant::Grant;
use crate::supervisor::operate::{Version, Versions};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

pub fn routes() -> Routes {
    Routes::new()
        .get("/admin/v1/providers", list)
        .doc(list_doc().renamed("listProvidersAsOperator"))
        .post("/admin/v1/providers", upload)
        .doc(upload_doc().renamed("installProviderAsOperator"))
        .get("/admin/v1/providers/{provider}", read)
        .doc(
            Doc::new(
                "getProviderVersions",
                "Read which versions there are and what was granted",
            )
            .ok::<VersionsView>()
            .fails([codes::NOT_FOUND]),
        )
        .post(
            "/admin/v1/providers/{provider}/versions/{digest}/approve",
            approve,
        )
        .doc(
            Doc::new("approveProviderVersion", "Grant what a version asks for")
                .query(
                    "make_current",
                    "`false`: it does not become current.",
                    json!({"type": "string", "enum": ["true", "false"], "default": "true"}),
                )
                .ok::<ApprovedView>()
                .fails([codes::NOT_FOUND, codes::CONFLICT]),
        )
        .post(
            "/admin/v1/providers/{provider}/versions/{digest}/current",
            make_current,
        )
        .doc(
            Doc::new(
                "makeProviderVersionCurrent",
                "Move all accounts to a version",
            )
            .ok::<CurrentView>()
            .fails([codes::NOT_FOUND, codes::CONFLICT]),
        )
        .put("/admin/v1/accounts/{account_id}/version", assign)
        .doc(
            Doc::new("assignProviderVersion", "Move one account to a version")
                .body::<AssignedRequest>()
                .ok::<AssignedView<'_>>()
                .fails([codes::NOT_FOUND, codes::CONFLICT, codes::OWNER_ELSEWHERE]),
        )
        .about(
            "Provider Versions",
            "Which version of a provider runs, and what it was granted.",
        )
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ApprovedVersion")]
struct ApprovedView {
    provider: String,
    digest: String,
    approved: Grant,
    /// Those that are moved to it.
    accounts: u64,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "CurrentVersion")]
struct CurrentView {
    provider: String,
    digest: String,
    accounts: u64,
}

#[derive(JsonSchema)]
#[schemars(rename = "AssignVersionRequest")]
#[expect(dead_code, reason = "only its schema is used")]
struct AssignedRequest {
    #[schemars(regex(pattern = "^[0-9A-Fa-f]{64}$"))]
    digest: String,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "AssignedVersion")]
struct AssignedView<'a> {
    account_id: &'a str,
    digest: &'a str,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ProviderVersions")]
struct VersionsView {
    provider: String,
    granted: Grant,
    versions: Vec<VersionView>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ProviderVersion")]
struct VersionView {
    digest: String,
    version: String,
    installed_at: String,
    /// `current`, `parked` (asks for more than is granted), `installed`.
    #[schemars(extend("enum" = ["current", "parked", "installed"]))]
    status: &'static str,
    accounts: u64,
    /// What it asks for beyond the grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    beyond: Option<Grant>,
}

impl From<Version> for VersionView {
    fn from(version: Version) -> Self {
        Self {
            status: match (&version.beyond, version.current) {
                (_, true) => "current",
                (Some(_), false) => "parked",
                (None, false) => "installed",
            },
            digest: version.digest,
            version: version.version,
            installed_at: version.installed_at.rfc3339(),
            accounts: version.accounts,
            beyond: version.beyond,
        }
    }
}

impl From<Versions> for VersionsView {
    fn from(versions: Versions) -> Self {
        Self {
            provider: versions.provider,
            granted: versions.granted,
            versions: versions.versions.into_iter().map(Into::into).collect(),
        }
    }
}

async fn read(State(api): State<Api>, PathText(provider): PathText) -> Answer {
    let versions = api.operate.versions(&provider).await.map_err(refused)?;
    Reply::ok(&VersionsView::from(versions))
}

/// Grants what the version asks for; it becomes current, unless `?make_current=false`.
async fn approve(
    State(api): State<Api>,
    PathPair(provider, digest): PathPair,
    query: Query,
) -> Answer {
    let make_current = match query.text("make_current") {
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => return Err(ApiError::field("make_current", "must be true or false")),
    };
    let approved = api
        .operate
        .approve(&provider, &digest)
        .await
        .map_err(refused)?;
    let accounts = if make_current {
        api.operate
            .make_current(&provider, &digest)
            .await
            .map_err(refused)?
    } else {
        0
    };
    Reply::ok(&ApprovedView {
        provider,
        digest,
        approved: approved.unwrap_or_default(),
        accounts,
    })
}

async fn make_current(State(api): State<Api>, PathPair(provider, digest): PathPair) -> Answer {
    let accounts = api
        .operate
        .make_current(&provider, &digest)
        .await
        .map_err(refused)?;
    Reply::ok(&CurrentView {
        provider,
        digest,
        accounts,
    })
}

async fn assign(
    State(api): State<Api>,
    PathText(account): PathText,
    JsonBody(body): JsonBody,
) -> Answer {
    let digest = Fields::top(&body).required_text("digest", 64)?;
    if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ApiError::field("digest", "must be 64 hexadecimal digits"));
    }
    let account = AccountId::from_text(account);
    api.operate
        .assign(&account, digest)
        .await
        .map_err(refused)?;
    Reply::ok(&AssignedView {
        account_id: account.as_str(),
        digest,
    })
}
