//! The proxy of an account, as requests write it and answers show it.

use super::super::error::ApiError;
use super::super::fields::Fields;
use crate::domain::Secret;
use crate::domain::account::{Proxy, ProxyKind};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

/// An account's proxy as a request has it, for the description.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct ProxyRequest {
    #[schemars(length(max = 253))]
    host: Option<String>,
    #[schemars(range(min = 1))]
    port: Option<u16>,
    /// `http` when absent; `https` is the same, reached without TLS. Also called `type`.
    #[schemars(extend("enum" = ["http", "https", "socks5", null]))]
    proxy_type: Option<String>,
    #[schemars(length(max = 1024))]
    username: Option<String>,
    #[schemars(length(max = 1024))]
    password: Option<String>,
}

/// `proxy`, or the older `proxy_config`: an object, or an object as JSON text. None: neither is
/// there. `Some(None)`: an empty object or null, which takes the proxy away.
pub fn read(fields: &Fields<'_>) -> Result<Option<Option<Proxy>>, ApiError> {
    for name in ["proxy", "proxy_config"] {
        if !fields.has(name) {
            continue;
        }
        let path = fields.path(name);
        return match fields.value(name) {
            None => Ok(Some(None)),
            Some(Value::String(text)) if text.is_empty() => continue,
            Some(Value::String(text)) => match serde_json::from_str::<Value>(text) {
                Ok(value) => one(&Fields::at(&path, &value)?).map(Some),
                Err(_) => Err(ApiError::field(
                    path,
                    "must be an object, or an object as JSON text",
                )),
            },
            Some(value) => one(&Fields::at(&path, value)?).map(Some),
        };
    }
    Ok(None)
}

fn one(fields: &Fields<'_>) -> Result<Option<Proxy>, ApiError> {
    if fields.map().is_empty() {
        return Ok(None);
    }
    let first = |names: [&'static str; 2]| {
        let used = if fields.text(names[0], 1024)?.is_some() {
            names[0]
        } else {
            names[1]
        };
        Ok::<_, ApiError>((used, fields.text(used, 1024)?))
    };
    let host = fields.required_text("host", 253)?.to_owned();
    let port = fields
        .integer("port", 1..=65_535)?
        .ok_or_else(|| fields.error("port", "is required (an integer from 1 to 65535)"))?
        as u16;
    let (name, kind) = first(["proxy_type", "type"])?;
    let kind = match kind.map(str::to_ascii_lowercase).as_deref() {
        // Both speak CONNECT; the connection to the proxy itself is plain.
        None | Some("http" | "https") => ProxyKind::Http,
        Some("socks5") => ProxyKind::Socks5,
        Some(_) => return Err(fields.error(name, "must be one of http, https, socks5")),
    };
    Ok(Some(Proxy {
        kind,
        host,
        port,
        username: first(["username", "user"])?.1.map(str::to_owned),
        password: fields.text("password", 1024)?.map(Secret::from),
    }))
}

/// Without the password.
pub fn show(proxy: Option<&Proxy>) -> Value {
    let Some(proxy) = proxy else {
        return Value::Object(Map::new());
    };
    let mut shown = json!({
        "type": match proxy.kind {
            ProxyKind::Http => "http",
            ProxyKind::Socks5 => "socks5",
        },
        "host": proxy.host,
        "port": proxy.port,
    });
    if let Some(username) = &proxy.username {
        shown["username"] = username.as_str().into();
    }
    shown
}
