use super::{Answered, Host};
use crate::domain::Timestamp;
use crate::domain::error::{Certainty, Failure, FailureCode};
use crate::domain::send::{Content, SendOutcome, SentMessage};
use crate::supervisor::control::Refusal;
use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

fn sent(ids: &[&str]) -> SendOutcome {
    SendOutcome::Sent(SentMessage {
        messages: ids.iter().map(|id| id.to_string()).collect(),
        conversation: None,
        sent_at: Timestamp(1_772_353_800_000),
        reply_context: None,
    })
}

pub fn sent_with_context(id: &str, context: &str) -> SendOutcome {
    SendOutcome::Sent(SentMessage {
        messages: vec![id.to_owned()],
        conversation: None,
        sent_at: Timestamp(1_772_353_800_000),
        reply_context: Some(context.to_owned()),
    })
}

fn text(account: &str, text: &str) -> Value {
    json!({"account_id": account, "to": {"id": "c1", "type": "user"},
           "message": {"type": "text", "text": text}})
}

async fn send_with(host: &Host, headers: &[(&str, &str)], body: &Value) -> Answered {
    let mut request = host.request(Method::POST, "/v1/messages");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_string())).unwrap();
    host.send(request).await
}

#[tokio::test]
async fn a_send_answers_with_the_channels_id() {
    let host = Host::new();
    let account = host.account().await;
    host.control.script().outcome = Some(sent(&["3EB0", "3EB1"]));
    let answered = host.post("/v1/messages", text(&account, "hi")).await;
    assert_eq!(answered.status, 200);
    let data = answered.data();
    assert_eq!(data["message_id"], "3EB0");
    assert_eq!(data["account_id"], account.as_str());
    assert_eq!(data["status"], "accepted");
    assert_eq!(data["state"], "sent");
    assert_eq!(data["message_ids"], json!(["3EB0", "3EB1"]));
    assert_eq!(data["provider_ref"], "3EB0");
    assert!(data.get("reply_token").is_none());
    let id = data["id"].as_str().unwrap();

    for path in [
        format!("/v1/messages/{id}"),
        format!("/v1/messages/3EB1?account_id={account}"),
    ] {
        let answered = host.get(&path).await;
        assert_eq!(answered.status, 200, "{path}");
        assert_eq!(answered.data()["id"], id);
        assert_eq!(answered.data()["state"], "sent");
        assert_eq!(answered.data()["to"], json!({"id": "c1", "type": "user"}));
    }
    let answered = host.get("/v1/messages/3EB1").await;
    assert_eq!(answered.status, 400);
    assert!(answered.message().starts_with("account_id: "));
    let answered = host
        .get("/v1/messages/msg_0192d3c4e5f67a8b9c0d1e2f3a4b5c6d")
        .await;
    assert_eq!((answered.status, answered.code()), (404, "not_found"));
}

#[tokio::test]
async fn preferences_change_the_wait() {
    let host = Host::new();
    let account = host.account().await;
    let body = text(&account, "hi");
    let waits = |host: &Host| host.control.script().waits.pop().unwrap();

    let answered = host.post("/v1/messages", body.clone()).await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.data()["state"], "dispatched");
    assert_eq!(answered.data()["status"], "accepted");
    assert_eq!(answered.data()["message_id"], answered.data()["id"]);
    let wait = waits(&host);
    assert!(wait > Duration::from_secs(9) && wait <= Duration::from_secs(10));

    let answered = send_with(&host, &[("prefer", "respond-async")], &body).await;
    assert_eq!(answered.status, 202);
    assert_eq!(answered.headers["preference-applied"], "respond-async");
    assert_eq!(waits(&host), Duration::ZERO);

    let answered = send_with(&host, &[("prefer", "wait=3")], &body).await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.headers["preference-applied"], "wait=3");
    let wait = waits(&host);
    assert!(wait > Duration::from_secs(2) && wait <= Duration::from_secs(3));
}

#[tokio::test]
async fn failures_have_their_codes() {
    use FailureCode::*;
    let host = Host::new();
    let account = host.account().await;
    for (failure, certainty, status, code) in [
        (
            Unauthenticated,
            Certainty::NotDone,
            409,
            "account_binding_not_found",
        ),
        (Forbidden, Certainty::NotDone, 500, "send_message_failed"),
        (NotFound, Certainty::NotDone, 404, "conversation_not_found"),
        (Invalid, Certainty::NotDone, 400, "invalid_request"),
        (
            Unsupported,
            Certainty::NotDone,
            501,
            "unsupported_by_provider",
        ),
        (RateLimited, Certainty::NotDone, 429, "rate_limited"),
        (Unavailable, Certainty::NotDone, 503, "provider_unavailable"),
        (Denied, Certainty::NotDone, 403, "denied_by_policy"),
        (QuotaExceeded, Certainty::NotDone, 409, "quota_exceeded"),
        (Conflict, Certainty::NotDone, 409, "conflict"),
        (Internal, Certainty::NotDone, 500, "send_message_failed"),
        (
            Unavailable,
            Certainty::MaybeDone,
            504,
            "send_outcome_unknown",
        ),
        (Internal, Certainty::MaybeDone, 504, "send_outcome_unknown"),
    ] {
        let mut reason = Failure::new(failure, "the channel said no");
        reason.channel_code = Some("E42".into());
        reason.detail = Some("not for clients".into());
        host.control.script().outcome = Some(SendOutcome::Failed {
            failure: reason,
            certainty,
        });
        let answered = host.post("/v1/messages", text(&account, "hi")).await;
        assert_eq!(
            (answered.status, answered.code()),
            (status, code),
            "{failure:?}"
        );
        let error = &answered.body["error"];
        assert_eq!(error["reason"], failure.as_str());
        assert_eq!(error["channel_code"], "E42");
        assert!(!error.to_string().contains("not for clients"));
        let id = error["message_id"].as_str().unwrap();
        let answered = host.get(&format!("/v1/messages/{id}")).await;
        assert_eq!(answered.data()["error"]["code"], code);
    }
    let answered = host.get("/v1/messages?state=unknown&limit=1").await;
    assert_eq!(answered.data()["items"].as_array().unwrap().len(), 1);
    assert_eq!(answered.data()["has_more"], true);
    let cursor = answered.data()["next_cursor"].as_str().unwrap();
    let answered = host
        .get(&format!(
            "/v1/messages?state=unknown&limit=1&cursor={cursor}"
        ))
        .await;
    assert_eq!(answered.data()["has_more"], false);
    assert_eq!(answered.data()["next_cursor"], "");
}

#[tokio::test]
async fn refusals_have_their_codes() {
    let host = Host::new();
    let account = host.account().await;
    for (refusal, status, code) in [
        (Refusal::NotAuthorized, 409, "account_binding_not_found"),
        (Refusal::Stopped, 409, "account_binding_not_found"),
        (Refusal::UnknownAccount, 409, "account_binding_not_found"),
        (Refusal::Overloaded, 429, "rate_limited"),
        (Refusal::KeyReused, 422, "idempotency_key_reused"),
        (Refusal::InFlight, 409, "idempotency_in_flight"),
        (
            Refusal::UnknownProvider("x".into()),
            502,
            "provider_adapter_not_found",
        ),
        (
            Refusal::Unsupported("send.text".into()),
            501,
            "unsupported_by_provider",
        ),
        (
            crate::storage::StorageError::Unavailable("full".into()).into(),
            503,
            "storage_unavailable",
        ),
        (
            crate::storage::StorageError::Unusable("damaged".into()).into(),
            500,
            "send_message_failed",
        ),
    ] {
        host.control.script().refusal = Some(refusal);
        let answered = host.post("/v1/messages", text(&account, "hi")).await;
        assert_eq!((answered.status, answered.code()), (status, code));
        assert!(!answered.message().contains("damaged"));
    }
}

#[tokio::test]
async fn a_repeat_shows_the_send_and_sends_nothing() {
    let host = Host::new();
    let account = host.account().await;
    let body = text(&account, "hi");
    let key = ("idempotency-key", "\"order-42\"");
    let first = send_with(&host, &[key], &body).await;
    assert_eq!(first.status, 200);
    assert!(first.headers.get("idempotent-replayed").is_none());
    // The same body in another order and with other white space, the key as a bare token.
    let reordered = format!(
        r#"{{ "message": {{"text": "hi", "type": "text"}}, "to": {{"type": "user", "id": "c1"}},
              "account_id": "{account}" }}"#
    );
    let request = host
        .request(Method::POST, "/v1/messages")
        .header("idempotency-key", "order-42")
        .body(Body::from(reordered))
        .unwrap();
    let second = host.send(request).await;
    assert_eq!(second.status, 200);
    assert_eq!(second.headers["idempotent-replayed"], "true");
    assert_eq!(second.data()["id"], first.data()["id"]);
    assert_eq!(host.control.script().sends.len(), 1);

    let other = send_with(&host, &[key], &text(&account, "ho")).await;
    assert_eq!(
        (other.status, other.code()),
        (422, "idempotency_key_reused")
    );

    // Also when the account could not send any more.
    host.store.state().accounts.clear();
    let third = send_with(&host, &[key], &body).await;
    assert_eq!(third.data()["id"], first.data()["id"]);
}

#[tokio::test]
async fn a_repeated_failure_is_marked() {
    let host = Host::new();
    let account = host.account().await;
    host.control.script().outcome = Some(SendOutcome::Failed {
        failure: Failure::new(FailureCode::NotFound, "nobody"),
        certainty: Certainty::NotDone,
    });
    let key = ("idempotency-key", "k");
    let body = text(&account, "hi");
    assert_eq!(send_with(&host, &[key], &body).await.status, 404);
    let repeat = send_with(&host, &[key], &body).await;
    assert_eq!(
        (repeat.status, repeat.code()),
        (404, "conversation_not_found")
    );
    assert_eq!(repeat.headers["idempotent-replayed"], "true");
}

#[tokio::test]
async fn what_was_refused_is_not_kept_under_its_key() {
    let host = Host::new();
    let account = host.account().await;
    let key = ("idempotency-key", "k");
    let body = text(&account, "hi");
    host.control.script().refusal = Some(Refusal::Stopped);
    assert_eq!(send_with(&host, &[key], &body).await.status, 409);
    let answered = send_with(&host, &[key], &text(&account, "another")).await;
    assert_eq!(answered.status, 200);
}

#[tokio::test]
async fn a_repeat_waits_for_the_first() {
    let host = Arc::new(Host::new());
    let account = host.account().await;
    let body = text(&account, "hi");
    let hold = Arc::new(Notify::new());
    host.control.script().hold = Some(hold.clone());
    let first = tokio::spawn({
        let (host, body) = (host.clone(), body.clone());
        async move { send_with(&host, &[("idempotency-key", "k")], &body).await }
    });
    while host.control.script().sends.is_empty() {
        tokio::task::yield_now().await;
    }
    let impatient = [("idempotency-key", "k"), ("prefer", "respond-async")];
    let second = send_with(&host, &impatient, &body).await;
    assert_eq!(
        (second.status, second.code()),
        (409, "idempotency_in_flight")
    );
    assert_eq!(second.headers["retry-after"], "1");
    let other = send_with(&host, &impatient, &text(&account, "ho")).await;
    assert_eq!(other.status, 422);
    let third = tokio::spawn({
        let (host, body) = (host.clone(), body.clone());
        async move { send_with(&host, &[("idempotency-key", "k")], &body).await }
    });
    hold.notify_one();
    let (first, third) = (first.await.unwrap(), third.await.unwrap());
    assert_eq!(first.status, 200);
    assert_eq!(third.headers["idempotent-replayed"], "true");
    assert_eq!(third.data()["id"], first.data()["id"]);
    assert_eq!(host.control.script().sends.len(), 1);
}

#[tokio::test]
async fn replies_mentions_and_formats_need_their_features() {
    let host = Host::new();
    let account = host.account().await;
    let mut body = text(&account, "{{@7@lid}} <b>hi</b>");
    body["reply_to"] = json!({"reply_token": format!("rt1.{account}.m1")});
    body["mentions"] = json!([{"id": "7@lid"}]);
    body["provider_data"] = json!({"parse_mode": "HTML"});
    let answered = host.post("/v1/messages", body.clone()).await;
    assert_eq!(
        (answered.status, answered.code()),
        (501, "unsupported_by_provider")
    );

    // Without the features the anchor stays and the format is plain.
    let mut plain = body.clone();
    plain.as_object_mut().unwrap().remove("reply_to");
    assert_eq!(host.post("/v1/messages", plain).await.status, 200);
    let outgoing = host.control.script().sends.pop().unwrap().outgoing;
    assert_eq!(
        outgoing.content,
        Content::Text {
            text: "{{@7@lid}} <b>hi</b>".into(),
            format: "plain".into()
        }
    );
    assert!(outgoing.mentions.is_empty());

    for feature in ["send.reply", "send.mentions", "send.html"] {
        host.control.script().features.push((feature.into(), None));
    }
    host.control.script().outcome = Some(sent(&["m2"]));
    let answered = host.post("/v1/messages", body.clone()).await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.data()["reply_token"], format!("rt1.{account}.m2"));
    let outgoing = host.control.script().sends.pop().unwrap().outgoing;
    assert_eq!(outgoing.reply_context.as_deref(), Some("context of m1"));
    assert_eq!(outgoing.quote.unwrap().message, "m1");
    assert_eq!(outgoing.mentions, [("7@lid".to_owned(), Some((0, 6)))]);
    assert_eq!(
        outgoing.content,
        Content::Text {
            text: "@7@lid <b>hi</b>".into(),
            format: "html".into()
        }
    );

    for token in ["rt1.acc_other.m1", "nonsense"] {
        body["reply_to"]["reply_token"] = token.into();
        let answered = host.post("/v1/messages", body.clone()).await;
        assert_eq!(
            (answered.status, answered.code()),
            (400, "invalid_reply_token")
        );
        assert!(answered.message().starts_with("reply_to.reply_token: "));
    }
    // A token holds within its conversation.
    body["reply_to"]["reply_token"] = format!("rt1.{account}.m1").into();
    body["to"]["id"] = "c2".into();
    let answered = host.post("/v1/messages", body.clone()).await;
    assert_eq!(
        (answered.status, answered.code()),
        (400, "invalid_reply_token")
    );
    body["to"]["id"] = "c1".into();
    // The older place; what is no token of ours is left to the provider.
    body.as_object_mut().unwrap().remove("reply_to");
    for (value, context) in [
        (format!("rt1.{account}.m3"), Some("context of m3")),
        ("123".to_owned(), None),
    ] {
        body["provider_data"]["reply_to"] = value.into();
        assert_eq!(host.post("/v1/messages", body.clone()).await.status, 200);
        let outgoing = host.control.script().sends.pop().unwrap().outgoing;
        assert_eq!(outgoing.reply_context.as_deref(), context);
        assert!(outgoing.extra.unwrap()["reply_to"].is_string());
    }
}

#[tokio::test]
async fn contacts_are_sent_and_media_only_where_the_provider_takes_them() {
    let host = Host::new();
    let account = host.account().await;
    let mut body = text(&account, "");
    body["message"] = json!({"type": "contact", "contacts": [{"name": "Noor",
        "phones": [{"number": "+15550100150", "type": "CELL"}],
        "emails": [{"address": "noor@example.net"}], "title": ""}]});
    assert_eq!(host.post("/v1/messages", body.clone()).await.status, 200);
    let outgoing = host.control.script().sends.pop().unwrap().outgoing;
    let Content::Contacts { contacts } = outgoing.content else {
        panic!()
    };
    assert_eq!(
        contacts[0].phones,
        [("+15550100150".to_owned(), Some("CELL".to_owned()))]
    );
    assert_eq!(contacts[0].title, None);
    for kind in ["image", "video", "audio", "document", "file"] {
        body["message"] = json!({"type": kind, "url": "https://cdn.example.net/a"});
        let answered = host.post("/v1/messages", body.clone()).await;
        assert_eq!(
            (answered.status, answered.code()),
            (501, "unsupported_by_provider")
        );
    }
    let feature = ("send.image".to_owned(), None);
    host.control.script().features.push(feature);
    body["message"] = json!({"type": "image", "url": "https://cdn.example.net/a", "text": "look",
        "file_name": "a.png"});
    assert_eq!(host.post("/v1/messages", body.clone()).await.status, 200);
    let outgoing = host.control.script().sends.pop().unwrap().outgoing;
    let Content::Media { media, caption } = outgoing.content else {
        panic!()
    };
    assert_eq!(media[0].filename.as_deref(), Some("a.png"));
    assert_eq!(caption.unwrap().text, "look");
    body["message"]["file_key"] = json!("med_1");
    let refused = host.post("/v1/messages", body).await;
    assert_eq!(
        refused.message(),
        "message.file_key: there is no such medium"
    );
}

#[tokio::test]
async fn limits_of_the_provider_hold() {
    let host = Host::new();
    let account = host.account().await;
    let answered = host
        .post("/v1/messages", text(&account, &"é".repeat(21)))
        .await;
    assert_eq!(answered.status, 400);
    assert_eq!(
        answered.message(),
        "message.text: must have at most 20 characters (max-chars of send.text)"
    );
    host.control.script().features[0].1 = Some(json!({"conversation-kinds": ["group"]}));
    let answered = host.post("/v1/messages", text(&account, "hi")).await;
    assert_eq!(
        (answered.status, answered.code()),
        (400, "unsupported_conversation_type")
    );
}
