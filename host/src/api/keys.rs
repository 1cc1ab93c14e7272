//! Keys: making them, finding them by what a request shows, and who the caller is.
//!
//! A key's text is never kept or logged; what is looked up is its SHA-256.

use super::error::ApiError;
use super::{Api, Shared};
use crate::domain::id::ApiKeyId;
use crate::domain::key::{Permissions, Rate};
use crate::domain::{AccountId, Timestamp, WorkspaceId};
use crate::storage::{ApiKey, KeyKind, StorageError, Store};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub const WORKSPACE_PREFIX: &str = "dk_live";
pub const OPERATOR_PREFIX: &str = "op_live";

/// A key that is to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub kind: KeyKind,
    /// None for an operator's.
    pub workspace: Option<WorkspaceId>,
    pub name: String,
    pub prefix: String,
    pub permissions: Permissions,
    pub account: Option<AccountId>,
    pub expires_at: Option<Timestamp>,
    pub rate: Option<Rate>,
}

impl NewKey {
    /// Its text, shown once, and what is stored.
    pub fn mint(self) -> Result<(String, ApiKey), getrandom::Error> {
        let text = new_text(&self.prefix)?;
        let key = ApiKey {
            id: ApiKeyId::generate(),
            kind: self.kind,
            workspace: self.workspace,
            name: self.name,
            hash: hash_key(&text),
            prefix: self.prefix,
            active: true,
            permissions: self.permissions,
            account: self.account,
            created_at: Timestamp::now(),
            last_used_at: None,
            expires_at: self.expires_at,
            previous: None,
            rate: self.rate,
        };
        Ok((text, key))
    }
}

/// A new key that may do all that its kind may.
pub fn mint_key(
    kind: KeyKind,
    workspace: Option<WorkspaceId>,
    name: &str,
) -> Result<(String, ApiKey), getrandom::Error> {
    let prefix = match kind {
        KeyKind::Workspace => WORKSPACE_PREFIX,
        KeyKind::Operator => OPERATOR_PREFIX,
    };
    NewKey {
        kind,
        workspace,
        name: name.to_owned(),
        prefix: prefix.to_owned(),
        permissions: Permissions::all(),
        account: None,
        expires_at: None,
        rate: None,
    }
    .mint()
}

/// The prefix and 256 random bits.
pub fn new_text(prefix: &str) -> Result<String, getrandom::Error> {
    let mut secret = [0u8; 32];
    getrandom::fill(&mut secret)?;
    Ok(format!("{prefix}_{}", URL_SAFE_NO_PAD.encode(secret)))
}

/// What storage keeps of a key.
pub fn hash_key(text: &str) -> [u8; 32] {
    hash_bytes(text.as_bytes())
}

pub fn hash_bytes(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// A key as the last lookup found it.
#[derive(Clone, Debug)]
pub struct Known {
    pub key: ApiKey,
    /// Its workspace is active; of an operator's key always so.
    pub workspace_active: bool,
}

impl Known {
    /// Is a text with this hash good now?
    pub fn opens(&self, hash: &[u8; 32]) -> bool {
        self.workspace_active && self.key.opens(hash, Timestamp::now())
    }
}

/// When it was looked up, and what was found.
type Seen = (Instant, Arc<Known>);

/// Key lookups of the last seconds, so that not every request asks the database. What is changed
/// here is in effect at once, what another host changes after [`KeyCache::AGE`].
#[derive(Default)]
pub struct KeyCache {
    known: Mutex<HashMap<[u8; 32], Seen>>,
}

impl KeyCache {
    const AGE: Duration = Duration::from_secs(2);
    const SIZE: usize = 4096;

    pub fn get(&self, hash: &[u8; 32]) -> Option<Arc<Known>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, key) = known.get(hash)?;
        (since.elapsed() < Self::AGE).then(|| key.clone())
    }

    /// Only keys that exist are kept, so that guesses fill nothing.
    fn put(&self, hash: [u8; 32], key: Arc<Known>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= Self::SIZE {
            known.clear();
        }
        known.insert(hash, (Instant::now(), key));
    }

    /// Keys or workspaces were changed.
    pub fn forget(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clear();
    }
}

/// Finds a key by the hash of its text, in the cache or in storage; it may be switched off.
pub async fn find(api: &Shared, hash: &[u8; 32]) -> Result<Option<Arc<Known>>, StorageError> {
    if let Some(known) = api.keys.get(hash) {
        return Ok(Some(known));
    }
    let Some(key) = api.store.api_key_by_hash(hash).await? else {
        return Ok(None);
    };
    let workspace_active = match &key.workspace {
        Some(workspace) => {
            let workspace = api.store.workspace(workspace).await?;
            workspace.is_some_and(|workspace| workspace.is_active())
        }
        None => key.kind == KeyKind::Operator,
    };
    let known = Arc::new(Known {
        key,
        workspace_active,
    });
    api.keys.put(*hash, known.clone());
    Ok(Some(known))
}

/// When keys were used, until it is written down: never a write for a request.
#[derive(Default)]
pub struct KeyUse {
    used: Mutex<HashMap<ApiKeyId, Timestamp>>,
}

impl KeyUse {
    pub fn mark(&self, id: &ApiKeyId) {
        let now = Timestamp::now();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.get_mut(id) {
            Some(at) => *at = now,
            None => drop(used.insert(id.clone(), now)),
        }
    }

    pub fn last(&self, id: &ApiKeyId) -> Option<Timestamp> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.get(id).copied()
    }

    /// Writes it down in one batch; what storage does not take waits for the next time.
    pub async fn flush(&self, store: &dyn Store) -> Result<(), StorageError> {
        let taken = {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *used)
        };
        let batch: Vec<_> = taken.iter().map(|(id, at)| (id.clone(), *at)).collect();
        let written = store.touch_api_keys(&batch).await;
        if written.is_err() {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, at) in taken {
                used.entry(id).or_insert(at);
            }
        }
        written
    }
}

/// Who calls: `gate` puts it into the request once it has looked.
#[derive(Clone, Debug)]
pub struct Caller {
    pub known: Arc<Known>,
    pub hash: [u8; 32],
}

fn caller(parts: &Parts) -> Result<&Caller, ApiError> {
    parts
        .extensions
        .get::<Caller>()
        .ok_or_else(|| ApiError::internal("a handler asks for a caller that nobody looked at"))
}

/// The workspace of the key; everything happens in it.
pub struct WorkspaceKey(pub WorkspaceId);

impl FromRequestParts<Api> for WorkspaceKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, ApiError> {
        let workspace = caller(parts)?.known.key.workspace.clone();
        workspace
            .map(Self)
            .ok_or_else(|| ApiError::internal("an operator's key came to a workspace's operation"))
    }
}

/// The workspace of the key, and the one account that the key may be bound to. For operations
/// whose path does not name the account.
#[derive(Clone, Debug)]
pub struct Narrowed {
    pub workspace: WorkspaceId,
    pub account: Option<AccountId>,
    pub caller: Caller,
}

impl Narrowed {
    /// May the key see this account?
    pub fn sees(&self, account: &str) -> bool {
        self.account
            .as_ref()
            .is_none_or(|own| own.as_str() == account)
    }
}

impl FromRequestParts<Api> for Narrowed {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let WorkspaceKey(workspace) = WorkspaceKey::from_request_parts(parts, api).await?;
        let caller = caller(parts)?.clone();
        Ok(Self {
            workspace,
            account: caller.known.key.account.clone(),
            caller,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key::PreviousHash;

    #[test]
    fn keys_are_random_and_kept_as_hashes() {
        let (text, key) = mint_key(KeyKind::Operator, None, "operator").unwrap();
        assert!(text.starts_with("op_live_") && text.len() == 51);
        assert_eq!(key.hash, hash_key(&text));
        assert_ne!(mint_key(KeyKind::Operator, None, "").unwrap().0, text);
    }

    #[test]
    fn a_key_opens_in_its_time_only() {
        let (text, mut key) = mint_key(KeyKind::Operator, None, "operator").unwrap();
        let (now, hash) = (Timestamp(1_000), hash_key(&text));
        assert!(key.opens(&hash, now));
        assert!(!key.opens(&hash_key("another"), now));
        key.expires_at = Some(Timestamp(1_001));
        assert!(key.opens(&hash, now));
        assert!(!key.opens(&hash, Timestamp(1_001)));
        key.expires_at = None;
        key.previous = Some(PreviousHash {
            hash,
            until: Timestamp(1_001),
        });
        key.hash = [0; 32];
        assert!(key.opens(&hash, now) && key.opens(&[0; 32], now));
        assert!(!key.opens(&hash, Timestamp(1_001)));
        key.active = false;
        assert!(!key.opens(&hash, now) && !key.opens(&[0; 32], now));
    }
}
