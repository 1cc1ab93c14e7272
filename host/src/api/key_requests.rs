//! What is done with keys, be they of a workspace or the operators': list, make, change, rotate.
//! The plain text of a key leaves the host here and nowhere else, and only when it is made.

use super::Api;
use super::codes::{self, Code};
use super::error::{ApiError, Operation};
use super::fields::{self, Fields};
use super::keys::{self, NewKey, OPERATOR_PREFIX, WORKSPACE_PREFIX};
use crate::domain::id::ApiKeyId;
use crate::domain::key::{Permission, Permissions, PreviousHash, Rate};
use crate::domain::{AccountId, Timestamp, WorkspaceId};
use crate::storage::{ApiKey, KeyKind, StorageError};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The longest that a rotated key's text before stays good.
const MAX_OVERLAP_MS: u64 = 7 * 24 * 60 * 60 * 1000;
const MAX_RATE: u64 = 1_000_000;

/// Whose keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Workspace(WorkspaceId),
    Operators,
}

impl Owner {
    fn has(&self, key: &ApiKey) -> bool {
        match self {
            Self::Workspace(id) => {
                key.kind == KeyKind::Workspace && key.workspace.as_ref() == Some(id)
            }
            Self::Operators => key.kind == KeyKind::Operator,
        }
    }

    fn workspace(&self) -> Option<&WorkspaceId> {
        match self {
            Self::Workspace(id) => Some(id),
            Self::Operators => None,
        }
    }
}

/// Who asks, and which codes they are answered with.
#[derive(Clone, Debug)]
pub struct Desk {
    pub owner: Owner,
    /// An operator asks: rates may be set.
    pub by_operator: bool,
    /// There are as many keys as there may be.
    pub full: Code,
    /// There is no such key.
    pub missing: Code,
}

#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "ApiKey", example = json!({
    "id": "key_0197c2", "name": "Reservations", "key_prefix": "dk_live", "status": "active",
    "scopes": ["read", "send"], "created_at": "2026-03-01T08:30:00Z",
}))]
pub struct KeyView {
    id: String,
    name: String,
    key_prefix: String,
    #[schemars(extend("enum" = ["active", "inactive"]))]
    status: &'static str,
    // Our own additions.
    #[schemars(extend("items" = {"enum": Permission::NAMES}))]
    scopes: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<String>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// Until when the text before the rotation is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_valid_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<RateView>,
}

#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "RateLimit")]
struct RateView {
    per_second: u32,
    burst: u32,
}

impl KeyView {
    pub fn new(api: &Api, key: &ApiKey) -> Self {
        let now = Timestamp::now();
        let expired = key.expires_at.is_some_and(|at| at <= now);
        let previous = key.previous.as_ref().map(|previous| previous.until);
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            key_prefix: key.prefix.clone(),
            status: if key.active && !expired {
                "active"
            } else {
                "inactive"
            },
            scopes: key.permissions.names(),
            account_id: key.account.as_ref().map(ToString::to_string),
            created_at: key.created_at.rfc3339(),
            last_used_at: key
                .last_used_at
                .max(api.key_use.last(&key.id))
                .map(Timestamp::rfc3339),
            expires_at: key.expires_at.map(Timestamp::rfc3339),
            previous_valid_until: previous
                .filter(|until| *until > now)
                .map(Timestamp::rfc3339),
            rate_limit: key.rate.map(|rate| RateView {
                per_second: rate.per_second,
                burst: rate.burst,
            }),
        }
    }
}

/// A key and its text, this once.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ApiKeyWithText")]
pub struct KeyWithText {
    key: KeyView,
    api_key: String,
}

/// The published codes of writes are 400s; a fault of the database is not the client's.
fn storage(error: StorageError) -> ApiError {
    Operation::OWN.storage(error)
}

pub async fn list(api: &Api, owner: &Owner, failed: Code) -> Result<Vec<KeyView>, ApiError> {
    let keys = api
        .store
        .api_keys()
        .await
        .map_err(|error| Operation::of_account(failed).storage(error))?;
    let mine = keys.iter().filter(|key| owner.has(key));
    Ok(mine.map(|key| KeyView::new(api, key)).collect())
}

pub async fn create(
    api: &Api,
    desk: &Desk,
    body: &Map<String, Value>,
) -> Result<KeyWithText, ApiError> {
    let fields = Fields::top(body);
    let kind = match desk.owner {
        Owner::Workspace(_) => KeyKind::Workspace,
        Owner::Operators => KeyKind::Operator,
    };
    let new = NewKey {
        kind,
        workspace: desk.owner.workspace().cloned(),
        name: fields.required_text("name", 200)?.to_owned(),
        prefix: prefix(&fields, desk)?.unwrap_or_else(|| {
            match kind {
                KeyKind::Workspace => WORKSPACE_PREFIX,
                KeyKind::Operator => OPERATOR_PREFIX,
            }
            .to_owned()
        }),
        permissions: scopes(&fields, desk)?.unwrap_or_else(Permissions::all),
        account: account(api, &fields, desk).await?,
        expires_at: expiry(&fields)?,
        rate: rate(&fields, desk)?.flatten(),
    };
    let _one_at_a_time = api.admin_writes.lock().await;
    let keys = api.store.api_keys().await.map_err(storage)?;
    let now = Timestamp::now();
    let used = keys
        .iter()
        .filter(|key| desk.owner.has(key) && key.active)
        .filter(|key| key.expires_at.is_none_or(|at| at > now))
        .count();
    let max = api.settings.keys_per_workspace;
    if used >= max {
        return Err(ApiError::new(
            desk.full,
            format!("there may be at most {max} active keys; deactivate one first"),
        ));
    }
    let (text, key) = new.mint().map_err(no_random)?;
    put(api, &key).await?;
    Ok(KeyWithText {
        key: KeyView::new(api, &key),
        api_key: text,
    })
}

/// Status, which is required; and whatever else is in the body.
pub async fn change(
    api: &Api,
    desk: &Desk,
    id: &str,
    body: &Map<String, Value>,
) -> Result<KeyView, ApiError> {
    let fields = Fields::top(body);
    let status = fields.choice("status", &["active", "inactive"])?;
    let name = fields.text("name", 200)?;
    let rate = rate(&fields, desk)?;
    if status.is_none() && !(desk.by_operator && (name.is_some() || rate.is_some())) {
        return Err(fields.error("status", "is required (active or inactive)"));
    }
    let _one_at_a_time = api.admin_writes.lock().await;
    let mut key = find(api, desk, id).await?;
    match status {
        Some("inactive") => {
            keep_one_operator(api, desk, &key).await?;
            key.active = false;
        }
        Some(_) => key.active = true,
        None => {}
    }
    if let Some(name) = name {
        key.name = name.to_owned();
    }
    if let Some(rate) = rate {
        key.rate = rate;
    }
    put(api, &key).await?;
    Ok(KeyView::new(api, &key))
}

/// A new text under the same id; the one before is good for `overlap_ms` more.
pub async fn rotate(
    api: &Api,
    desk: &Desk,
    id: &str,
    body: &Map<String, Value>,
) -> Result<KeyWithText, ApiError> {
    let fields = Fields::top(body);
    // The contract requires the name, and clients leave it out: it stays.
    let name = fields.text("name", 200)?;
    let prefix = prefix(&fields, desk)?;
    let overlap_ms = fields.integer("overlap_ms", 0..=MAX_OVERLAP_MS)?;
    let expires_at = expiry(&fields)?;
    let _one_at_a_time = api.admin_writes.lock().await;
    let mut key = find(api, desk, id).await?;
    if let Some(name) = name {
        key.name = name.to_owned();
    }
    if let Some(prefix) = prefix {
        key.prefix = prefix;
    }
    key.expires_at = expires_at.or(key.expires_at);
    let text = keys::new_text(&key.prefix).map_err(no_random)?;
    key.previous = overlap_ms.filter(|ms| *ms > 0).map(|ms| PreviousHash {
        hash: key.hash,
        until: Timestamp::now().plus_ms(ms),
    });
    key.hash = keys::hash_key(&text);
    put(api, &key).await?;
    Ok(KeyWithText {
        key: KeyView::new(api, &key),
        api_key: text,
    })
}

async fn put(api: &Api, key: &ApiKey) -> Result<(), ApiError> {
    let put = api.store.put_api_key(key).await;
    // Also after an error: nobody knows what it left behind.
    api.keys.forget();
    put.map_err(storage)
}

async fn find(api: &Api, desk: &Desk, id: &str) -> Result<ApiKey, ApiError> {
    let found = api
        .store
        .api_key(&ApiKeyId::from_text(id))
        .await
        .map_err(storage)?;
    found
        .filter(|key| desk.owner.has(key))
        .ok_or_else(|| ApiError::new(desk.missing, "key_id: there is no such key"))
}

/// Without any operator's key nobody could ever come in again.
async fn keep_one_operator(api: &Api, desk: &Desk, key: &ApiKey) -> Result<(), ApiError> {
    if desk.owner != Owner::Operators {
        return Ok(());
    }
    let keys = api.store.api_keys().await.map_err(storage)?;
    let others = keys.iter().any(|other| {
        other.kind == KeyKind::Operator
            && other.id != key.id
            && other.active
            // One that ends some day is none to rely on.
            && other.expires_at.is_none()
    });
    if others {
        return Ok(());
    }
    Err(ApiError::new(
        codes::CONFLICT,
        "this is the last operator's key that is active and does not expire; make another first",
    ))
}

fn no_random(error: getrandom::Error) -> ApiError {
    ApiError::internal(format!("no random bytes: {error}"))
}

fn prefix(fields: &Fields<'_>, desk: &Desk) -> Result<Option<String>, ApiError> {
    let Some(prefix) = fields.text("prefix", 32)? else {
        return Ok(None);
    };
    let fits = prefix
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if !fits {
        return Err(fields.error("prefix", "must be letters, digits, _ and -"));
    }
    if desk.owner != Owner::Operators && prefix.starts_with("op_") {
        return Err(fields.error("prefix", "must not begin with op_, as operators' keys do"));
    }
    Ok(Some(prefix.to_owned()))
}

fn scopes(fields: &Fields<'_>, desk: &Desk) -> Result<Option<Permissions>, ApiError> {
    let Some(names) = fields.strings("scopes", 8)? else {
        return Ok(None);
    };
    if desk.owner == Owner::Operators {
        return Err(fields.error("scopes", "an operator's key has none"));
    }
    let mut permissions = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        permissions.push(Permission::parse(name).ok_or_else(|| {
            fields.error(
                &format!("scopes[{index}]"),
                fields::one_of(&Permission::NAMES),
            )
        })?);
    }
    match Permissions::of(permissions) {
        Some(permissions) => Ok(Some(permissions)),
        None => Err(fields.error("scopes", "must not be empty")),
    }
}

async fn account(
    api: &Api,
    fields: &Fields<'_>,
    desk: &Desk,
) -> Result<Option<AccountId>, ApiError> {
    let Some(id) = fields.text("account_id", 128)? else {
        return Ok(None);
    };
    let Some(workspace) = desk.owner.workspace() else {
        return Err(fields.error("account_id", "an operator's key is bound to none"));
    };
    let found = api
        .store
        .account(workspace, &AccountId::from_text(id))
        .await
        .map_err(storage)?;
    match found {
        Some(account) => Ok(Some(account.id)),
        None => Err(fields.error("account_id", "there is no such account")),
    }
}

fn expiry(fields: &Fields<'_>) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = fields.text("expires_at", 64)? else {
        return Ok(None);
    };
    let at = Timestamp::parse_rfc3339(text)
        .ok_or_else(|| fields.error("expires_at", "must be a time as RFC 3339 writes it"))?;
    if at <= Timestamp::now() {
        return Err(fields.error("expires_at", "must be in the future"));
    }
    Ok(Some(at))
}

/// None: it is not in the body. `null` takes it away.
fn rate(fields: &Fields<'_>, desk: &Desk) -> Result<Option<Option<Rate>>, ApiError> {
    if !fields.has("rate_limit") {
        return Ok(None);
    }
    if !desk.by_operator {
        return Err(fields.error("rate_limit", "only an operator can set it"));
    }
    let Some(rate) = fields.object("rate_limit")? else {
        return Ok(Some(None));
    };
    let required = |name: &str| {
        rate.integer(name, 1..=MAX_RATE)?
            .map(|number| number as u32)
            .ok_or_else(|| rate.error(name, "is required (an integer)"))
    };
    Ok(Some(Some(Rate {
        per_second: required("per_second")?,
        burst: required("burst")?,
    })))
}
