//! Where channels call. Which account is meant, whether it is the channel, and what the answer is,
//! is the supervisor's to say; here a request is read, within bounds, and its address is checked.

use super::envelope::unrendered_error;
use super::error::ApiError;
use super::routes::Routes;
use super::{Api, Shared, codes};
use crate::domain::account::Account;
use crate::domain::ingress::IngressResponse;
use crate::domain::{AccountId, header_text};
use crate::supervisor::control::{Arriving, IngressRefusal, IngressTarget};
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::X_CONTENT_TYPE_OPTIONS;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::HashMap;
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// For a body to come in.
const READING: Duration = Duration::from_secs(10);
/// What the connection needs, not the one behind it.
const OF_THE_CONNECTION: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Tokens in the addresses of accounts: nobody can guess one, and it is always the same.
pub trait IngressTokens: Send + Sync + 'static {
    fn of(&self, account: &AccountId) -> String;
}

/// What the API has to know for it.
pub struct IngressState {
    pub tokens: std::sync::Arc<dyn IngressTokens>,
    /// Without a slash at its end.
    pub public_url: Option<String>,
    /// Bodies that are read at once.
    pub reading: tokio::sync::Semaphore,
}

pub fn routes() -> Routes {
    const OF_ACCOUNT: [&str; 2] = [
        "/ingress/{account_id}/{token}/{route}",
        "/ingress/{account_id}/{token}/{route}/{*below}",
    ];
    const OF_APP: [&str; 2] = [
        "/ingress/apps/{provider}/{route}",
        "/ingress/apps/{provider}/{route}/{*below}",
    ];
    let mut routes = Routes::new();
    for path in OF_ACCOUNT.into_iter().chain(OF_APP) {
        routes = routes.get(path, take).post(path, take).put(path, take);
    }
    routes
}

/// An address to be given to the channel.
#[derive(Debug, JsonSchema, Serialize)]
pub struct IngressAddress {
    route: String,
    /// `path`: of this account alone. `app`: of all accounts of the provider.
    scope: &'static str,
    path: String,
    /// With the host's public address, where that is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// Where the channel of an account calls.
pub(super) fn addresses(api: &Shared, account: &Account) -> Vec<IngressAddress> {
    let routes = api.control.ingress_routes(account);
    if routes.is_empty() {
        return Vec::new();
    }
    let token = api.ingress.tokens.of(&account.id);
    routes
        .into_iter()
        .map(|route| {
            let (scope, path) = if route.is_shared() {
                (
                    "app",
                    format!("/ingress/apps/{}/{}", account.provider, route.route),
                )
            } else {
                (
                    "path",
                    format!("/ingress/{}/{token}/{}", account.id, route.route),
                )
            };
            IngressAddress {
                route: route.route,
                scope,
                url: api
                    .ingress
                    .public_url
                    .as_ref()
                    .map(|base| format!("{base}{path}")),
                path,
            }
        })
        .collect()
}

async fn take(
    State(api): State<Api>,
    Path(named): Path<HashMap<String, String>>,
    request: Request,
) -> Response {
    match taken(&api, &named, request).await {
        Ok(response) => render(response),
        Err(error) => unrendered_error(error),
    }
}

async fn taken(
    api: &Shared,
    named: &HashMap<String, String>,
    request: Request,
) -> Result<IngressResponse, ApiError> {
    let text = |name: &str| named.get(name).map(String::as_str).unwrap_or_default();
    let target = match named.get("account_id") {
        Some(id) => {
            let id = AccountId::from_text(id.clone());
            let known = api.ingress.tokens.of(&id);
            if !bool::from(known.as_bytes().ct_eq(text("token").as_bytes())) {
                return Err(refused(IngressRefusal::UnknownAccount));
            }
            IngressTarget::Account(id)
        }
        None => IngressTarget::App(text("provider").to_owned()),
    };
    let route = text("route").to_owned();
    let limit = api
        .control
        .ingress_limit(&target, &route)
        .map_err(refused)?;
    let _reading = api
        .ingress
        .reading
        .try_acquire()
        .map_err(|_| refused(IngressRefusal::Busy))?;
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(READING, read(body, limit))
        .await
        .map_err(|_| {
            let text = "the body did not come in time";
            ApiError::new(codes::REQUEST_TIMEOUT, text)
        })??;
    let path = parts.uri.path();
    let whole = parts
        .uri
        .path_and_query()
        .map_or(path, |whole| whole.as_str());
    let arriving = Arriving {
        target,
        route,
        method: parts.method.as_str().to_owned(),
        below: below(path).to_owned(),
        path: path.to_owned(),
        query: parts.uri.query().map(str::to_owned),
        url: api
            .ingress
            .public_url
            .as_ref()
            .map(|base| format!("{base}{whole}")),
        headers: pairs(&parts.headers),
        body,
    };
    api.control.ingress(arriving).await.map_err(refused)
}

/// None: it is longer.
async fn read(body: Body, limit: usize) -> Result<Option<Vec<u8>>, ApiError> {
    match to_bytes(body, limit).await {
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            // The one error that is not the connection's.
            if source.is_some_and(|text| text.contains("length limit")) {
                return Ok(None);
            }
            let text = "the body broke off";
            Err(ApiError::new(codes::INVALID_REQUEST, text))
        }
    }
}

/// What follows `/ingress/a/b/c`.
fn below(path: &str) -> &str {
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    slashes.nth(4).map_or("", |at| &path[at..])
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), header_text(value.as_bytes())))
        .collect()
}

fn render(answer: IngressResponse) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    for (name, value) in answer.headers {
        if OF_THE_CONNECTION.contains(&name.as_str()) {
            continue;
        }
        let pair = (
            HeaderName::try_from(name),
            HeaderValue::from_bytes(value.as_bytes()),
        );
        if let (Ok(name), Ok(value)) = pair {
            headers.append(name, value);
        }
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Channels look at the status alone.
fn refused(refusal: IngressRefusal) -> ApiError {
    let text = refusal.to_string();
    match refusal {
        IngressRefusal::UnknownRoute | IngressRefusal::UnknownAccount => {
            // One answer: who guesses learns nothing.
            ApiError::new(codes::NOT_FOUND, "there is no such route")
        }
        IngressRefusal::Method(methods) => {
            let mut error = ApiError::new(codes::METHOD_NOT_ALLOWED, text);
            error.allow = Some(methods.join(",").into_boxed_str());
            error
        }
        IngressRefusal::TooLarge => ApiError::new(codes::PAYLOAD_TOO_LARGE, text),
        IngressRefusal::Unverified => ApiError::new(codes::NOT_VERIFIED, text),
        IngressRefusal::Malformed(_) => ApiError::new(codes::INVALID_REQUEST, text),
        IngressRefusal::OwnerElsewhere => {
            ApiError::new(codes::OWNER_ELSEWHERE, text).retry_after(2)
        }
        IngressRefusal::Busy => ApiError::new(codes::PROVIDER_UNAVAILABLE, text).retry_after(1),
        IngressRefusal::Unavailable => {
            ApiError::new(codes::PROVIDER_UNAVAILABLE, text).retry_after(5)
        }
        IngressRefusal::Storage => ApiError::new(codes::STORAGE_UNAVAILABLE, text).retry_after(5),
    }
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn what_is_below_the_route() {
        for (path, expected) in [
            ("/ingress/a/b/c", ""),
            ("/ingress/a/b/c/", "/"),
            ("/ingress/a/b/c/d%2Fe/f", "/d%2Fe/f"),
        ] {
            assert_eq!(below(path), expected, "{path}");
        }
    }
}
