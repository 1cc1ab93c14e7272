//! Requests in both directions, as a test says: what is sent stands in JSON, and what comes becomes
//! a message with all that was seen.

use anyport_sdk::events::{self, Emission};
use anyport_sdk::http_types::{Body, Part, PartBody, Place, Placement, Request};
use anyport_sdk::model::{Content, Message};
use anyport_sdk::types::{Error, Header};
use anyport_sdk::{kv, secrets, turn};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::guest::exported::{ingress, reactor};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    method: Option<String>,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    blob: Option<String>,
    /// (name, value)
    parts: Vec<(String, String)>,
    /// (secret, place, name, before, after)
    secrets: Vec<(String, String, String, String, String)>,
    repeatable: bool,
    timeout_ms: Option<u32>,
    max_bytes: Option<u64>,
    context: String,
}

pub fn request(text: &str) -> Result<Request, Error> {
    let wanted: Wanted =
        serde_json::from_str(text).map_err(|error| Error::invalid(error.to_string()))?;
    let place = |place: &str, name: String| match place {
        "header" => Place::Header(name),
        "query" => Place::Query(name),
        "path-segment" => Place::PathSegment(name.parse().unwrap_or(0)),
        "form-field" => Place::FormField(name),
        _ => Place::JsonPointer(name),
    };
    Ok(Request {
        method: wanted.method.unwrap_or_else(|| "GET".to_owned()),
        url: wanted.url,
        headers: wanted
            .headers
            .into_iter()
            .map(|(name, value)| Header { name, value })
            .collect(),
        secrets: wanted
            .secrets
            .into_iter()
            .map(|(secret, kind, name, before, after)| Placement {
                secret,
                place: place(&kind, name),
                before,
                after,
            })
            .collect(),
        body: match (wanted.body, wanted.blob) {
            (_, Some(blob)) => Body::Blob(blob),
            (Some(body), None) => Body::Bytes(body.into_bytes()),
            (None, None) if wanted.parts.is_empty() => Body::Empty,
            (None, None) => Body::Multipart(
                wanted
                    .parts
                    .into_iter()
                    .map(|(name, value)| Part {
                        name,
                        filename: None,
                        mime: None,
                        body: PartBody::Bytes(value.into_bytes()),
                    })
                    .collect(),
            ),
        },
        timeout_ms: wanted.timeout_ms,
        repeatable: wanted.repeatable,
        max_bytes: wanted.max_bytes,
        to_blob: false,
        context: wanted.context.into_bytes(),
    })
}

fn say(key: &str, what: &Value) {
    let said = Message::new(
        key,
        "web",
        "server",
        turn::now(),
        Content::plain(what.to_string()),
    );
    events::emit(&Emission::of_message(key.to_owned(), said));
}

fn count(name: &str) -> u64 {
    let before = kv::get(name).and_then(|bytes| bytes.try_into().ok());
    let now = before.map_or(0, u64::from_be_bytes) + 1;
    kv::put(name, &now.to_be_bytes());
    now
}

fn pairs(headers: &[Header]) -> Value {
    headers
        .iter()
        .map(|header| json!([header.name, header.value]))
        .collect()
}

pub fn answered(answered: &reactor::Answered) {
    let number = count("answers");
    let mut seen = json!({
        "label": answered.name,
        "context": String::from_utf8_lossy(&answered.context),
    });
    match &answered.outcome {
        Ok(response) => {
            let body = match &response.body {
                reactor::ResponseBody::Bytes(bytes) => {
                    // A message is not that long.
                    seen["length"] = bytes.len().into();
                    String::from_utf8_lossy(&bytes[..bytes.len().min(2048)]).into_owned()
                }
                reactor::ResponseBody::Blob(blob) => blob.clone(),
            };
            seen["status"] = response.status.into();
            seen["headers"] = pairs(&response.headers);
            seen["body"] = body.into();
        }
        Err(error) => {
            seen["error"] = code(error).into();
            seen["message"] = error.message.clone().into();
        }
    }
    say(&format!("answer-{number}"), &seen);
}

pub fn called(request: &ingress::Request) -> ingress::Response {
    let header = |name: &str| {
        let found = request.headers.iter().find(|header| header.name == name);
        found.map(|header| header.value.as_str())
    };
    let body = String::from_utf8_lossy(&request.body);
    let key = header("x-id").unwrap_or(&body);
    say(
        &format!("call-{key}"),
        &json!({
            "method": request.method,
            "route": request.route,
            "path": request.path,
            "body": body,
            "headers": pairs(&request.headers),
        }),
    );
    ingress::Response {
        status: header("x-status")
            .and_then(|text| text.parse().ok())
            .unwrap_or(200),
        headers: vec![Header {
            name: "x-from".to_owned(),
            value: "the guest".to_owned(),
        }],
        body: format!("{} took {key}", request.route).into_bytes(),
    }
}

/// Looks for the bytes whose complement is given as hex, through all of this instance's memory,
/// and tells how often they are there. The bytes themselves are never written down.
pub fn scan(complement: &str) {
    let wanted: Vec<u8> = complement
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let found = memory()
        .windows(wanted.len().max(1))
        .filter(|window| window.iter().zip(&wanted).all(|(here, not)| *here == !*not))
        .count();
    let number = count("scans");
    say(
        &format!("scan-{number}"),
        &json!({ "found": found, "of": memory().len() }),
    );
}

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "all of linear memory can be read")]
fn memory() -> &'static [u8] {
    let length = core::arch::wasm32::memory_size(0) * 65_536;
    // The address 0 is memory like any other there; its first bytes are left out, since a
    // reference may not be null.
    let start = std::hint::black_box(16usize);
    unsafe { std::slice::from_raw_parts(start as *const u8, length - start) }
}

#[cfg(not(target_arch = "wasm32"))]
fn memory() -> &'static [u8] {
    &[]
}

/// `hmac sha256 token text`, `digest md5 token text`, `sign es256 token text`.
pub fn sign(argument: &str) -> Result<(), Error> {
    let words: Vec<&str> = argument.splitn(4, ' ').collect();
    let [kind, how, name, text] = words[..] else {
        return Err(Error::invalid("four words"));
    };
    let bytes = match kind {
        "hmac" => secrets::hmac(name, how, text.as_bytes()),
        "digest" => secrets::digest(
            how,
            &[
                secrets::Part::Bytes(text.as_bytes().to_vec()),
                secrets::Part::Secret(name.to_owned()),
            ],
        ),
        _ => secrets::sign(name, how, text.as_bytes()),
    };
    let told = match bytes {
        Ok(bytes) => {
            json!({"hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()})
        }
        Err(error) => json!({"error": code(&error), "message": error.message}),
    };
    let number = count("signatures");
    say(&format!("signature-{number}"), &told);
    Ok(())
}

fn code(error: &Error) -> String {
    format!("{:?}", error.code).replace("ErrorCode::", "")
}
