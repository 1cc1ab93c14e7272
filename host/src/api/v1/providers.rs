//! Providers: what is installed, where accounts can be placed, and installing a component.

use super::super::Api;
use super::super::body;
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::ApiError;
use super::super::keys::WorkspaceKey;
use super::super::openapi::Doc;
use super::super::query::{PathText, Query};
use super::super::routes::Routes;
use super::capabilities::FeatureView;
use crate::domain::grant::Grant;
use crate::storage::lease::OwnershipState;
use crate::supervisor::control::{Installed, ProviderInfo, Refused};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The one region of a host.
pub const REGION: &str = "global";

/// The names of the contract's `ProviderName`. One that is not installed has a region in which
/// nothing can be placed; any other unknown name is `invalid_provider`.
pub const PUBLISHED_NAMES: [&str; 7] = [
    "telegram", "whatsapp", "line", "twitter", "x", "zalo", "tiktok",
];

const UPLOAD_TIMEOUT: Duration = Duration::from_secs(300);

pub fn routes() -> Routes {
    Routes::new()
        .get("/v1/providers", list)
        .doc(list_doc())
        .post("/v1/providers", upload)
        .doc(upload_doc())
        .get("/v1/providers/{provider}", read)
        .doc(
            Doc::new("getProvider", "Read what is installed of one provider")
                .ok::<ProviderView>()
                .fails([codes::NOT_FOUND]),
        )
        .get("/v1/providers/{provider}/regions", regions)
        .doc(
            Doc::new(
                "listProviderRegions",
                "Where accounts of a provider can be placed",
            )
            .ok::<Regions>()
            .fails([codes::INVALID_PROVIDER, codes::LIST_PROVIDER_REGIONS_FAILED]),
        )
        .about("Providers", "The components that speak to channels.")
}

pub fn list_doc() -> Doc {
    Doc::new("listProviders", "List what is installed").ok::<Vec<Listed>>()
}

pub fn upload_doc() -> Doc {
    Doc::new("installProvider", "Install a component")
        .more("202: it asks for more than was granted, is kept, and runs when that is approved.")
        .query(
            "approve",
            "Grant what it asks for by the same act.",
            json!({"type": "string", "enum": ["true", "false"]}),
        )
        .bytes("application/wasm")
        .ok::<InstalledView>()
        .created::<InstalledView>()
        .answers::<InstalledView>(202)
        .fails([
            codes::INVALID_COMPONENT,
            codes::STANDBY,
            codes::NOT_FOUND,
            codes::CONFLICT,
        ])
}

/// The provider of this name, for a request that names it; otherwise the published error.
pub async fn installed(api: &Api, name: &str) -> Result<Arc<ProviderInfo>, ApiError> {
    match api.control.learn_provider(name).await {
        Some(info) => Ok(info),
        None if PUBLISHED_NAMES.contains(&name) => Err(ApiError::new(
            codes::NO_ALLOCATABLE_SERVER,
            format!("provider: `{name}` is not installed on this host"),
        )),
        None => Err(ApiError::new(
            codes::INVALID_PROVIDER,
            format!("provider: there is no provider `{name}`"),
        )),
    }
}

async fn regions(
    State(api): State<Api>,
    WorkspaceKey(_): WorkspaceKey,
    PathText(provider): PathText,
) -> Answer {
    let available = match installed(&api, &provider).await {
        Ok(_) => true,
        Err(error) if error.code == codes::NO_ALLOCATABLE_SERVER => false,
        Err(error) => return Err(error),
    };
    Reply::ok(&Regions {
        provider,
        regions: [Region {
            region: REGION,
            supported: available,
            allocatable: available,
        }],
    })
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ProviderRegions")]
struct Regions {
    provider: String,
    regions: [Region; 1],
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "RegionAvailability")]
struct Region {
    region: &'static str,
    supported: bool,
    allocatable: bool,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Provider")]
struct ProviderView {
    provider: String,
    aliases: Vec<String>,
    title: String,
    version: String,
    /// SHA-256 of the component.
    digest: String,
    contract: String,
    class: crate::domain::manifest::Class,
    resume: crate::domain::manifest::Resume,
    dedupes_sends: bool,
    can_send: bool,
    can_sign_in: bool,
    features: Vec<FeatureView>,
    sign_in_methods: Vec<SignInMethodView>,
    config_schema: Value,
    /// Of the whole host.
    accounts: u64,
    other_versions: Vec<OtherVersion>,
    last_refusal: Option<RefusalView>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "SignInMethod")]
struct SignInMethodView {
    name: String,
    title: String,
    auth_mode: String,
    /// JSON Schema of what it wants to know beforehand.
    inputs: Option<Value>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ProviderOtherVersion")]
struct OtherVersion {
    digest: String,
    accounts: u64,
}

/// A component that was refused.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ProviderRefusal")]
struct RefusalView {
    at: String,
    source: String,
    reason: String,
}

impl From<ProviderInfo> for ProviderView {
    fn from(info: ProviderInfo) -> Self {
        Self {
            provider: info.manifest.id,
            aliases: info.manifest.aliases,
            title: info.manifest.title,
            version: info.manifest.version,
            digest: info.digest,
            contract: info.manifest.contract,
            class: info.manifest.class,
            resume: info.manifest.resume,
            dedupes_sends: info.manifest.dedupes_sends,
            can_send: info.can_send,
            can_sign_in: info.can_sign_in,
            features: FeatureView::all(&info.features),
            sign_in_methods: info
                .sign_in_methods
                .into_iter()
                .map(|(name, title, inputs)| {
                    let auth_mode = super::account_request::mode_of(&name).to_owned();
                    SignInMethodView {
                        name,
                        title,
                        auth_mode,
                        inputs,
                    }
                })
                .collect(),
            config_schema: info.config_schema,
            accounts: info.accounts,
            other_versions: info
                .other_versions
                .into_iter()
                .map(|(digest, accounts)| OtherVersion { digest, accounts })
                .collect(),
            last_refusal: info.last_refusal.map(refusal),
        }
    }
}

fn refusal(refused: Refused) -> RefusalView {
    RefusalView {
        at: refused.at.rfc3339(),
        source: refused.source,
        reason: refused.reason,
    }
}

/// Installed, or only tried.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ListedProvider")]
#[serde(untagged)]
enum Listed {
    Installed(Box<ProviderView>),
    Refused {
        provider: Option<String>,
        last_refusal: RefusalView,
    },
}

pub async fn list(State(api): State<Api>) -> Answer {
    let installed = api.control.providers().into_iter();
    let refused = api.control.stray_refusals().into_iter();
    let listed: Vec<Listed> = installed
        .map(|info| Listed::Installed(Box::new(info.into())))
        .chain(refused.map(|refused| Listed::Refused {
            provider: None,
            last_refusal: refusal(refused),
        }))
        .collect();
    Reply::ok(&listed)
}

/// By id or alias.
async fn read(State(api): State<Api>, PathText(name): PathText) -> Answer {
    let known = api.control.learn_provider(&name).await;
    let id = known.map(|info| info.manifest.id.clone());
    // With its accounts counted, as in the list.
    let mut all = api.control.providers().into_iter();
    let info = all.find(|info| Some(&info.manifest.id) == id.as_ref());
    let info = info.ok_or_else(|| {
        ApiError::new(
            codes::NOT_FOUND,
            format!("provider: there is no provider `{name}`"),
        )
    })?;
    Reply::ok(&ProviderView::from(info))
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "InstalledProvider")]
struct InstalledView {
    provider: String,
    version: String,
    digest: String,
    accounts: u64,
    unchanged: bool,
    /// What it asks for beyond the grant: it is kept, and does not run until that is approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    parked: Option<Grant>,
}

/// With `?approve=true` what it asks for beyond the grant is granted by the same act.
pub async fn upload(State(api): State<Api>, query: Query, request: Request) -> Answer {
    let approve = match query.text("approve") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(ApiError::field("approve", "must be true or false")),
    };
    let component = body::read(request, api.settings.component_limit, UPLOAD_TIMEOUT).await?;
    if component.is_empty() {
        return Err(ApiError::new(
            codes::INVALID_COMPONENT,
            "body: is required (the bytes of a component)",
        ));
    }
    if api.control.ownership() == OwnershipState::Standby {
        return Err(ApiError::new(
            codes::STANDBY,
            "this host is a standby; upload to the host that works",
        )
        .retry_after(2));
    }
    let installed = api
        .control
        .install(component.to_vec(), "upload")
        .await
        .map_err(|reason| ApiError::new(codes::INVALID_COMPONENT, format!("body: {reason}")))?;
    let installed = match installed {
        Installed {
            parked: Some(_), ..
        } if approve => approve_now(&api, installed).await?,
        installed => installed,
    };
    let status = if installed.parked.is_some() {
        StatusCode::ACCEPTED
    } else if installed.unchanged {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Reply::new(
        status,
        &InstalledView {
            provider: installed.provider,
            version: installed.version,
            digest: installed.digest,
            accounts: installed.accounts,
            unchanged: installed.unchanged,
            parked: installed.parked,
        },
    )
}

async fn approve_now(api: &Api, installed: Installed) -> Result<Installed, ApiError> {
    let (provider, digest) = (&installed.provider, &installed.digest);
    let refused = super::super::admin::refused;
    api.operate
        .approve(provider, digest)
        .await
        .map_err(refused)?;
    let accounts = api
        .operate
        .make_current(provider, digest)
        .await
        .map_err(refused)?;
    Ok(Installed {
        accounts,
        unchanged: false,
        parked: None,
        ..installed
    })
}
