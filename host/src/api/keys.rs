//! Who calls: the `X-Api-Key` header, and making keys.
//!
//! A key's text is never kept or logged; what is looked up is its SHA-256.

use super::Api;
use super::codes;
use super::error::{ApiError, Operation};
use crate::domain::WorkspaceId;
use crate::domain::id::ApiKeyId;
use crate::storage::{ApiKey, KeyKind};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// A new key: its text, shown once, and what is stored. `workspace` is none for an operator's.
pub fn mint_key(
    kind: KeyKind,
    workspace: Option<WorkspaceId>,
    name: &str,
) -> Result<(String, ApiKey), getrandom::Error> {
    let prefix = match kind {
        KeyKind::Workspace => "dk_live",
        KeyKind::Operator => "op_live",
    };
    let mut secret = [0u8; 32];
    getrandom::fill(&mut secret)?;
    let text = format!("{prefix}_{}", URL_SAFE_NO_PAD.encode(secret));
    let key = ApiKey {
        id: ApiKeyId::generate(),
        kind,
        workspace,
        name: name.to_owned(),
        prefix: prefix.to_owned(),
        hash: hash_key(&text),
        active: true,
    };
    Ok((text, key))
}

/// What storage keeps of a key.
pub fn hash_key(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Key lookups of the last seconds, so that not every request asks the database. A key that was
/// switched off works for [`KeyCache::AGE`] longer at most.
#[derive(Default)]
pub struct KeyCache {
    known: Mutex<HashMap<[u8; 32], (Instant, ApiKey)>>,
}

impl KeyCache {
    const AGE: Duration = Duration::from_secs(2);
    const SIZE: usize = 4096;

    fn get(&self, hash: &[u8; 32]) -> Option<ApiKey> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, key) = known.get(hash)?;
        (since.elapsed() < Self::AGE).then(|| key.clone())
    }

    /// Only keys that exist are kept, so that guesses fill nothing.
    fn put(&self, key: &ApiKey) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= Self::SIZE {
            known.clear();
        }
        known.insert(key.hash, (Instant::now(), key.clone()));
    }
}

async fn caller(parts: &Parts, api: &Api) -> Result<ApiKey, ApiError> {
    let header = parts
        .headers
        .get("x-api-key")
        .filter(|value| !value.is_empty())
        .ok_or_else(|| {
            ApiError::new(codes::MISSING_API_KEY, "X-Api-Key: this header is required")
        })?;
    let hash: [u8; 32] = Sha256::digest(header.as_bytes()).into();
    let key = match api.keys.get(&hash) {
        Some(key) => Some(key),
        None => {
            let found = api
                .store
                .api_key_by_hash(&hash)
                .await
                .map_err(|error| Operation::OWN.storage(error))?;
            if let Some(key) = &found {
                api.keys.put(key);
            }
            found
        }
    };
    key.filter(|key| key.active && bool::from(key.hash.ct_eq(&hash)))
        .ok_or_else(|| ApiError::new(codes::INVALID_API_KEY, "X-Api-Key: this key is not valid"))
}

/// A workspace's key was shown; everything happens in this workspace.
pub struct WorkspaceKey(pub WorkspaceId);

/// The operator's key was shown.
pub struct OperatorKey;

/// Some key of this installation was shown.
pub struct AnyKey;

impl FromRequestParts<Api> for WorkspaceKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        match caller(parts, api).await?.workspace {
            Some(workspace) => Ok(Self(workspace)),
            None => Err(ApiError::new(
                codes::INVALID_API_KEY,
                "X-Api-Key: an operator's key opens no workspace",
            )),
        }
    }
}

impl FromRequestParts<Api> for OperatorKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        match caller(parts, api).await?.kind {
            KeyKind::Operator => Ok(Self),
            KeyKind::Workspace => Err(ApiError::new(
                codes::OPERATOR_KEY_REQUIRED,
                "X-Api-Key: this takes the operator's key, not a workspace's",
            )),
        }
    }
}

impl FromRequestParts<Api> for AnyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        caller(parts, api).await.map(|_| Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_random_and_kept_as_hashes() {
        let (text, key) = mint_key(KeyKind::Operator, None, "operator").unwrap();
        assert!(text.starts_with("op_live_") && text.len() == 51);
        assert_eq!(key.hash, hash_key(&text));
        assert_ne!(mint_key(KeyKind::Operator, None, "").unwrap().0, text);
    }
}
