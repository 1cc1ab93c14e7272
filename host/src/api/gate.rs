//! The gate before every handler: which operation this is, who calls, whether they may, and
//! whether they have asked too often. Knows nothing of what operations do.
//!
//! What the table of `access` does not name is not served, whatever the router knows.

use super::access::{self, OneAccount, Operation, Who};
use super::codes;
use super::envelope::unrendered_error;
use super::error::{self, ApiError};
use super::health;
use super::keys::{self, Caller, Known};
use super::limits::{Verdict, peer_name};
use super::{Api, Shared};
use crate::storage::KeyKind;
use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::header::ALLOW;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// The layer. Stands within the envelope, around everything else.
pub async fn check(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Some(path) = parts.extensions.get::<MatchedPath>().cloned() else {
        // The fallback says that there is no such route.
        return match count_peer(&api, &parts) {
            Ok(()) => next.run(Request::from_parts(parts, body)).await,
            Err(error) => unrendered_error(error),
        };
    };
    let Some(operation) = access::of(parts.method.as_str(), path.as_str()) else {
        return unrendered_error(no_such_operation(&parts, path.as_str()));
    };
    health::take_bearer(operation.path, &mut parts.headers);
    let params = RawPathParams::from_request_parts(&mut parts, &()).await;
    let (caller, verdict) = match admit(&api, operation, &parts).await {
        Ok(admitted) => admitted,
        Err(refused) => return refused.into_response(),
    };
    let Some(caller) = caller else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    let account = params.as_ref().ok().and_then(|params| {
        let mut named = params.iter().filter(|(name, _)| *name == "account_id");
        named.next().map(|(_, value)| value.to_owned())
    });
    let mut response = match authorize(operation, &caller.known, account.as_deref()) {
        Ok(()) => {
            api.key_use.mark(&caller.known.key.id);
            let audit = Audit::of(operation, &caller, &parts);
            parts.extensions.insert(caller);
            let response = next.run(Request::from_parts(parts, body)).await;
            if let Some(audit) = audit {
                audit.write(&response);
            }
            response
        }
        Err(error) => unrendered_error(error),
    };
    if let Some(verdict) = verdict {
        tell(response.headers_mut(), &verdict);
    }
    response
}

fn no_such_operation(parts: &Parts, path: &str) -> ApiError {
    let known: Vec<&str> = access::of_path(path).map(|row| row.method).collect();
    if known.is_empty() {
        tracing::error!(path, "a route stands in no table, so it is not served");
        return ApiError::new(codes::NOT_FOUND, "there is no such route");
    }
    let mut error = ApiError::new(
        codes::METHOD_NOT_ALLOWED,
        format!("this route does not take {}", parts.method),
    );
    error.allow = Some(allowed(&known).into_boxed_str());
    error
}

/// As `Allow` has it.
fn allowed(methods: &[&str]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for method in methods {
        names.push(method);
        if *method == "GET" {
            names.push("HEAD");
        }
    }
    names.join(",")
}

/// Why a request was not let in, and what its caller's bucket says.
struct Refused {
    error: ApiError,
    verdict: Option<Verdict>,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self {
            error,
            verdict: None,
        }
    }
}

impl Refused {
    fn into_response(self) -> Response {
        let mut response = unrendered_error(self.error);
        if let Some(verdict) = self.verdict {
            tell(response.headers_mut(), &verdict);
        }
        response
    }
}

/// Who calls, and what their bucket says. No caller: the operation is public.
async fn admit(
    api: &Api,
    operation: &Operation,
    parts: &Parts,
) -> Result<(Option<Caller>, Option<Verdict>), Refused> {
    if operation.who == Who::Public {
        count_peer(api, parts)?;
        return Ok((None, None));
    }
    if operation.who == Who::Channel {
        return Ok((None, None));
    }
    let shown = parts.headers.get("x-api-key");
    let Some(text) = shown.filter(|text| !text.is_empty()) else {
        count_peer(api, parts)?;
        let error = ApiError::new(codes::MISSING_API_KEY, "X-Api-Key: this header is required");
        return Err(error.into());
    };
    let hash = keys::hash_bytes(text.as_bytes());
    let known = match api.keys.get(&hash) {
        Some(known) => Some(known),
        None => {
            // Who has guessed too often is not looked up any more.
            look_at_peer(api, parts)?;
            keys::find(api, &hash)
                .await
                .map_err(|error| error::Operation::OWN.storage(error))?
        }
    };
    let Some(known) = known.filter(|known| known.opens(&hash)) else {
        count_peer(api, parts)?;
        let error = ApiError::new(codes::INVALID_API_KEY, "X-Api-Key: this key is not valid");
        return Err(error.into());
    };
    let verdict = known.key.rate.or(api.settings.limits.key).map(|rate| {
        api.key_buckets
            .take(known.key.id.clone(), rate, Instant::now())
    });
    if let Some(verdict) = verdict.filter(|verdict| !verdict.allowed) {
        return Err(Refused {
            error: too_many("this key", &verdict),
            verdict: Some(verdict),
        });
    }
    Ok((Some(Caller { known, hash }), verdict))
}

/// May this key do it? `account`: the one that the path names.
fn authorize(
    operation: &Operation,
    known: &Arc<Known>,
    account: Option<&str>,
) -> Result<(), ApiError> {
    let key = &known.key;
    let (any_of, one_account) = match operation.who {
        Who::Public | Who::Channel | Who::AnyKey => return Ok(()),
        Who::Operator if key.kind == KeyKind::Operator => return Ok(()),
        Who::Operator => {
            return Err(ApiError::new(
                codes::OPERATOR_KEY_REQUIRED,
                "X-Api-Key: this takes an operator's key, not a workspace's",
            ));
        }
        Who::Workspace {
            any_of,
            one_account,
        } => (any_of, one_account),
    };
    if key.kind != KeyKind::Workspace {
        return Err(ApiError::new(
            codes::INVALID_API_KEY,
            "X-Api-Key: an operator's key opens no workspace",
        ));
    }
    if !key.permissions.allow(any_of) {
        let mut needed: Vec<&str> = any_of.iter().map(|one| one.as_str()).collect();
        needed.push("all");
        return Err(ApiError::new(
            codes::INSUFFICIENT_SCOPE,
            format!(
                "X-Api-Key: this takes a key with the scope {}",
                needed.join(" or ")
            ),
        ));
    }
    let Some(own) = &key.account else {
        return Ok(());
    };
    if one_account == OneAccount::Refused {
        return Err(ApiError::new(
            codes::INSUFFICIENT_SCOPE,
            "X-Api-Key: this key is bound to one account, and this is about the whole workspace",
        ));
    }
    match account {
        Some(named) if named != own.as_str() => {
            let code = operation.hidden.unwrap_or(codes::NOT_FOUND);
            Err(ApiError::new(code, "account_id: there is no such account"))
        }
        _ => Ok(()),
    }
}

fn count_peer(api: &Shared, parts: &Parts) -> Result<(), ApiError> {
    ask_peer(api, parts, true)
}

fn look_at_peer(api: &Shared, parts: &Parts) -> Result<(), ApiError> {
    ask_peer(api, parts, false)
}

fn ask_peer(api: &Shared, parts: &Parts, count: bool) -> Result<(), ApiError> {
    let (Some(rate), Some(peer)) = (api.settings.limits.peer, peer_of(api, parts)) else {
        return Ok(());
    };
    let (name, now) = (peer_name(peer), Instant::now());
    let verdict = if count {
        api.peer_buckets.take(name, rate, now)
    } else {
        api.peer_buckets.look(name, rate, now)
    };
    if verdict.allowed {
        Ok(())
    } else {
        Err(too_many("this address", &verdict))
    }
}

/// Where the request came from: the connection's other end, or what a trusted proxy says of it.
/// None: the router is not served over the network.
fn peer_of(api: &Shared, parts: &Parts) -> Option<IpAddr> {
    let ConnectInfo(address) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    let trusted = |ip: &IpAddr| {
        let ip = ip.to_canonical();
        let proxies = &api.settings.limits.trusted_proxies;
        proxies.iter().any(|network| network.contains(&ip))
    };
    Some(forwarded_for(&parts.headers, address.ip(), trusted))
}

/// The nearest address that is no trusted proxy.
fn forwarded_for(headers: &HeaderMap, peer: IpAddr, trusted: impl Fn(&IpAddr) -> bool) -> IpAddr {
    let mut nearest = peer;
    if !trusted(&nearest) {
        return nearest;
    }
    let named: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .collect();
    for text in named.into_iter().rev() {
        let Ok(address) = text.trim().parse() else {
            break;
        };
        nearest = address;
        if !trusted(&nearest) {
            break;
        }
    }
    nearest
}

fn too_many(who: &str, verdict: &Verdict) -> ApiError {
    ApiError::new(
        codes::RATE_LIMITED,
        format!("too many requests of {who}; wait as Retry-After says"),
    )
    .retry_after(whole_seconds(verdict.wait))
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000) as u64
}

fn tell(headers: &mut HeaderMap, verdict: &Verdict) {
    headers.insert(LIMIT, verdict.limit.into());
    headers.insert(REMAINING, verdict.remaining.into());
    headers.insert(RESET, whole_seconds(verdict.reset).into());
}

/// A line about what an operator changed.
struct Audit {
    key: String,
    method: &'static str,
    path: String,
}

impl Audit {
    fn of(operation: &Operation, caller: &Caller, parts: &Parts) -> Option<Self> {
        let changes = operation.who == Who::Operator && operation.method != "GET";
        changes.then(|| Self {
            key: caller.known.key.id.to_string(),
            method: operation.method,
            path: parts.uri.path().to_owned(),
        })
    }

    fn write(self, response: &Response) {
        tracing::info!(
            target: "audit",
            operator_key = self.key,
            method = self.method,
            path = self.path,
            status = response.status().as_u16(),
            "an operator acted"
        );
    }
}

/// For an answer of 405.
pub fn allow_header(text: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((ALLOW, HeaderValue::from_str(text).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted = |ip: &IpAddr| ip.to_string().starts_with("10.");
        for (peer, header, expected) in [
            ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
            ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
            ("10.0.0.1", "6.6.6.6, 198.51.100.7", "198.51.100.7"),
            ("10.0.0.1", "198.51.100.7, 10.0.0.2", "198.51.100.7"),
            ("10.0.0.1", "10.0.0.3", "10.0.0.3"),
            ("10.0.0.1", "nonsense", "10.0.0.1"),
            ("10.0.0.1", "nonsense, 198.51.100.7", "198.51.100.7"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", HeaderValue::from_static(header));
            let peer = forwarded_for(&headers, peer.parse().unwrap(), trusted);
            assert_eq!(peer.to_string(), expected, "{header}");
        }
    }
}
