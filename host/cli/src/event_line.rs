//! An event in one line: when, what, whose, and what it is about.

use crate::output::{Output, Tone};
use crate::session::text;
use crate::text::{cut, local_time, printable};
use serde_json::Value;

/// Without a terminal the line has its full length.
pub fn of(event: &Value, output: &Output) -> String {
    let kind = text(event, "type");
    let when = local_time(text(event, "occurred_at"));
    let account = printable(text(event, "account_id"));
    let head = format!("{when}  {kind:<24}  {account}  ");
    let about = printable(&about(kind, &event["data"]));
    let about = match output.columns() {
        Some(columns) => cut(&about, columns.saturating_sub(head.chars().count()).max(20)),
        None => about,
    };
    format!(
        "{}  {}  {}  {about}",
        output.paint(Tone::Faint, &when),
        output.paint(tone(kind), &format!("{:<24}", printable(kind))),
        output.paint(Tone::Faint, &account),
    )
}

fn tone(kind: &str) -> Tone {
    match kind {
        "message.received" => Tone::Heading,
        "message.sent" | "account.started" | "account.auth.succeeded" => Tone::Good,
        "message.failed" | "message.unknown" | "account.auth.failed" => Tone::Bad,
        "account.auth.required" | "account.input.skipped" | "endpoint.state.changed" => {
            Tone::Warning
        }
        _ => Tone::Plain,
    }
}

fn about(kind: &str, data: &Value) -> String {
    let send = text(data, "send_id");
    if !send.is_empty() {
        let to = name(&data["conversation"]);
        let to = if to.is_empty() {
            to
        } else {
            format!("to {to}")
        };
        let why = text(&data["error"], "message");
        return [&to, send, why]
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join("  ");
    }
    let message = &data["message"];
    if message.is_object() {
        let sender = name(&data["sender"]);
        let conversation = name(&data["conversation"]);
        let place = if conversation.is_empty() || conversation == sender {
            String::new()
        } else {
            format!(" in {conversation}")
        };
        let says = match text(message, "text") {
            "" => format!("[{}]", text(message, "type")),
            says => says.to_owned(),
        };
        return format!("{sender}{place}: {says}")
            .trim_start_matches(": ")
            .to_owned();
    }
    if kind.starts_with("account.") {
        return [
            text(data, "auth_status"),
            text(data, "runtime_status"),
            text(data, "last_error"),
            text(data, "reason"),
        ]
        .into_iter()
        .filter(|word| !matches!(*word, "" | "unknown"))
        .collect::<Vec<_>>()
        .join(" · ");
    }
    data.to_string()
}

fn name(thing: &Value) -> String {
    ["name", "title", "id"]
        .iter()
        .map(|field| text(thing, field))
        .find(|name| !name.is_empty())
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_events_are_about() {
        for (kind, data, expected) in [
            (
                "message.received",
                json!({"sender": {"id": "u:1", "name": "Dana"}, "conversation": {"id": "g", "title": "Desk"},
                       "message": {"type": "text", "text": "hi"}}),
                "Dana in Desk: hi",
            ),
            (
                "message.received",
                json!({"sender": {"id": "u:1"}, "conversation": {"id": "u:1"}, "message": {"type": "image"}}),
                "u:1: [image]",
            ),
            (
                "account.auth.failed",
                json!({"auth_status": "failed", "last_error": "logged_out"}),
                "failed · logged_out",
            ),
            (
                "message.failed",
                json!({"send_id": "msg_1", "conversation": {"id": "u:1"}, "message": {"id": "m"}, "error": {"message": "no such user"}}),
                "to u:1  msg_1  no such user",
            ),
            ("provider.x", json!({"a": 1}), "{\"a\":1}"),
        ] {
            assert_eq!(about(kind, &data), expected, "{kind}");
        }
    }
}
