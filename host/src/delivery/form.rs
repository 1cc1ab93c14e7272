//! The forms in which one event goes out: its own bytes, and the older `message.status.updated`.
//!
//! The alias is made from the stored bytes by splicing, so its bytes never change either.

use crate::domain::EventId;
use crate::domain::event::{LoggedEvent, STATUS_ALIAS};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const ALIAS_SUFFIX: &str = "_status";

/// What `data.status` says for a type that has the alias.
pub fn alias_status(kind: &str) -> Option<&'static str> {
    match kind {
        "message.delivered" => Some("delivered"),
        "message.read" => Some("read"),
        _ => None,
    }
}

/// Stable, as the event's own.
pub fn alias_id(event: &EventId) -> EventId {
    EventId::from_text(format!("{event}{ALIAS_SUFFIX}"))
}

pub fn is_alias_id(event: &EventId) -> bool {
    event.as_str().ends_with(ALIAS_SUFFIX)
}

/// The event's envelope with the alias' id and type and `data.status` before its other keys.
/// None for an event that has no alias.
pub fn alias_body(event: &LoggedEvent) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Stored<'a> {
        #[serde(borrow)]
        provider: &'a RawValue,
        #[serde(borrow)]
        account_id: &'a RawValue,
        #[serde(borrow)]
        occurred_at: &'a RawValue,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    #[derive(Serialize)]
    struct Alias<'a> {
        id: &'a str,
        #[serde(rename = "type")]
        kind: &'a str,
        provider: &'a RawValue,
        account_id: &'a RawValue,
        occurred_at: &'a RawValue,
        data: &'a RawValue,
    }
    let status = alias_status(&event.kind)?;
    let stored: Stored<'_> = serde_json::from_slice(&event.body).ok()?;
    let rest = stored.data.get().strip_prefix('{')?.trim_start();
    let comma = if rest.starts_with('}') { "" } else { "," };
    let data = RawValue::from_string(format!(r#"{{"status":"{status}"{comma}{rest}"#)).ok()?;
    serde_json::to_vec(&Alias {
        id: alias_id(&event.id).as_str(),
        kind: STATUS_ALIAS,
        provider: stored.provider,
        account_id: stored.account_id,
        occurred_at: stored.occurred_at,
        data: &data,
    })
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AccountId, Timestamp};

    fn alias(kind: &str, data: &str) -> Option<String> {
        let body = format!(
            r#"{{"id":"evt_1","type":"{kind}","provider":"x","account_id":"acc_1","occurred_at":"2026-03-01T08:30:00Z","data":{data}}}"#
        );
        let event = LoggedEvent {
            offset: 1,
            account: AccountId::from_text("acc_1"),
            id: EventId::from_text("evt_1"),
            kind: kind.into(),
            conversation: None,
            occurred_at: Timestamp(0),
            recorded_at: Timestamp(0),
            body: body.into_bytes(),
        };
        alias_body(&event).map(|body| String::from_utf8_lossy(&body).into_owned())
    }

    #[test]
    fn the_alias_adds_its_status_and_has_its_own_id() {
        let expected = |data: &str| {
            Some(format!(
                r#"{{"id":"evt_1_status","type":"message.status.updated","provider":"x","account_id":"acc_1","occurred_at":"2026-03-01T08:30:00Z","data":{data}}}"#
            ))
        };
        assert_eq!(
            alias("message.read", r#"{"message":{"id":"é\u00e9"}}"#),
            expected(r#"{"status":"read","message":{"id":"é\u00e9"}}"#)
        );
        assert_eq!(
            alias("message.delivered", "{ }"),
            expected(r#"{"status":"delivered"}"#)
        );
        assert_eq!(alias("message.received", "{}"), None);
        assert!(is_alias_id(&alias_id(&EventId::from_text("evt_1"))));
    }
}
