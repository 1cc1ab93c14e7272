//! The operations that ask a provider: every one of them against a table, and what they have in
//! common.

use super::super::access::OPERATIONS;
use super::{Answered, Host};
use crate::domain::Timestamp;
use crate::domain::account::Profile;
use crate::domain::chat::{Contact, Conversation, Invitation, JoinRequest, Label, Member, Page};
use crate::domain::command::{Answer, Command, Unanswered};
use crate::domain::error::{Certainty, Failure, FailureCode};
use crate::domain::send::MessageRef;
use crate::supervisor::control::Refusal;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What of the account's paths is asked of its provider.
const FAMILIES: [&str; 5] = ["conversations", "contacts", "groups", "profile", "commands"];

struct Row {
    method: &'static str,
    /// Below the account, or from the top.
    path: &'static str,
    /// Required ones only: each is left out once.
    query: &'static str,
    body: Value,
    feature: &'static str,
    /// Required fields of `data`, as in `shapes`.
    shape: &'static str,
    /// For an account that nobody has.
    missing: u16,
}

fn row(
    method: &'static str,
    path: &'static str,
    query: &'static str,
    body: Value,
    feature: &'static str,
    shape: &'static str,
    missing: u16,
) -> Row {
    Row {
        method,
        path,
        query,
        body,
        feature,
        shape,
        missing,
    }
}

const PAGE: &str = "items:l has_more:b next_cursor:s";
const CHAT: &str =
    "conversation_id:s type:s title:s avatar_url:s unread_count:i is_pinned:b is_muted:b";
const PERSON: &str = "id:s conversation_id:s display_name:s avatar_url:s provider_user_id:s";
const GROUP: &str = "id:s conversation_id:s name:s avatar_url:s";
const OK: &str = "ok:b";

/// A row for each operation; the shapes are those of the contract, where it has them.
#[rustfmt::skip]
fn rows() -> Vec<Row> {
    let chat = || json!({"conversation_id": "c1"});
    let person = || json!({"contact_id": "p1"});
    let group = || json!({"group_id": "g1"});
    let with = |mut body: Value, name: &str, value: Value| { body[name] = value; body };
    let message = || json!({"conversation_id": "c1", "message_id": "m1"});
    vec![
        row("GET", "conversations", "", json!(null), "conversations.list", PAGE, 409),
        row("GET", "conversations/info", "conversation_id=c1", json!(null), "conversations.get", CHAT, 404),
        row("GET", "conversations/members", "conversation_id=c1", json!(null), "conversations.members", PAGE, 404),
        row("GET", "conversations/messages", "conversation_id=c1", json!(null), "conversations.history", PAGE, 404),
        row("POST", "conversations/read", "", chat(), "conversations.read", OK, 404),
        row("POST", "conversations/unread", "", chat(), "conversations.unread", OK, 404),
        row("POST", "conversations/mute", "", chat(), "conversations.mute", OK, 404),
        row("POST", "conversations/unmute", "", chat(), "conversations.mute", OK, 404),
        row("POST", "conversations/pin", "", chat(), "conversations.pin", OK, 404),
        row("POST", "conversations/unpin", "", chat(), "conversations.pin", OK, 404),
        row("POST", "conversations/archive", "", chat(), "conversations.archive", OK, 404),
        row("POST", "conversations/unarchive", "", chat(), "conversations.archive", OK, 404),
        row("POST", "conversations/delete", "", chat(), "conversations.delete", OK, 404),
        row("POST", "conversations/activity", "", with(chat(), "kind", json!("typing")), "conversations.activity", OK, 404),
        row("POST", "conversations/open", "", json!({"contact_ids": ["p1"]}), "conversations.open", CHAT, 404),
        row("GET", "conversations/labels", "", json!(null), "labels.list", PAGE, 409),
        row("POST", "conversations/labels", "", json!({"label_id": "l1", "action": "add", "conversation_ids": ["c1"]}), "labels.assign", "label_id:s action:s conversation_ids:l", 409),
        row("POST", "conversations/labels/upsert", "", json!({"name": "Refunds"}), "labels.upsert", "id:s name:s", 409),
        row("POST", "conversations/labels/delete", "", json!({"label_id": "l1"}), "labels.delete", "label_id:s deleted:b", 409),

        row("GET", "contacts", "", json!(null), "contacts.list", PAGE, 409),
        row("GET", "contacts/info", "contact_id=p1", json!(null), "contacts.get", PERSON, 404),
        row("GET", "contacts/resolve", "address=15550100023", json!(null), "contacts.resolve", PERSON, 404),
        row("GET", "contacts/blocklist", "", json!(null), "contacts.blocklist", "blocklist:l", 409),
        row("POST", "contacts/block", "", person(), "contacts.block", OK, 404),
        row("POST", "contacts/unblock", "", person(), "contacts.block", OK, 404),
        row("POST", "contacts/note", "", with(person(), "note", json!("prefers mornings")), "contacts.note", OK, 404),

        row("GET", "groups", "", json!(null), "groups.list", PAGE, 409),
        row("GET", "groups/info", "group_id=g1", json!(null), "groups.get", GROUP, 404),
        row("POST", "groups/create", "", json!({"name": "Harbor crew"}), "groups.create", "id:s", 409),
        row("POST", "groups/leave", "", group(), "groups.leave", OK, 404),
        row("POST", "groups/members", "", json!({"group_id": "g1", "action": "promote", "member_id": "p1"}), "groups.members", OK, 404),
        row("POST", "groups/update-info", "", with(group(), "description", json!("")), "groups.info", OK, 404),
        row("GET", "groups/join-requests", "group_id=g1", json!(null), "groups.join-requests", "group_id:s items:l", 404),
        row("POST", "groups/join-requests/update", "", json!({"group_id": "g1", "action": "approve", "member_ids": ["p1"]}), "groups.join-requests", OK, 404),
        row("POST", "groups/join-approval-mode", "", with(group(), "enabled", json!(true)), "groups.join-approval", OK, 404),
        row("GET", "groups/invite-code", "group_id=g1", json!(null), "groups.invitation", "invite_url:s invite_code:s", 404),

        row("GET", "profile", "", json!(null), "profile.get", "id:s", 404),
        row("PATCH", "profile", "", json!({"bio": ""}), "profile.update", OK, 404),
        row("POST", "profile/presence", "", json!({"online": true}), "profile.presence", OK, 404),
        row("POST", "commands/wave", "", json!(null), "command.wave", "", 404),

        row("POST", "/v1/messages/edit", "", with(message(), "content", json!("new")), "message.edit", OK, 409),
        row("POST", "/v1/messages/revoke", "", message(), "message.revoke", OK, 409),
        row("POST", "/v1/messages/reaction", "", with(message(), "emoji", json!("👌")), "message.react", OK, 409),
        row("POST", "/v1/messages/pin", "", with(message(), "pinned", json!(true)), "message.pin", OK, 409),
        row("POST", "/v1/messages/forward", "", with(message(), "to", json!({"id": "c2", "type": "user"})), "message.forward", "message_id:s account_id:s status:s", 409),
    ]
}

impl Row {
    fn of_messages(&self) -> bool {
        self.path.starts_with("/v1/")
    }

    fn path(&self, account: &str, query: &str) -> String {
        let path = if self.of_messages() {
            self.path.to_owned()
        } else {
            format!("/v1/accounts/{account}/{}", self.path)
        };
        format!("{path}?{query}")
    }

    fn body(&self, account: &str) -> Option<Value> {
        let mut body = self.body.clone();
        if self.of_messages() {
            body["account_id"] = account.into();
        }
        Some(body).filter(|body| !body.is_null())
    }

    async fn call(&self, host: &Host, account: &str) -> Answered {
        let path = self.path(account, self.query);
        host.call(self.method, &path, self.body(account)).await
    }

    fn what(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

#[test]
fn every_operation_has_a_row() {
    let asked = |path: &str| {
        let below = path.strip_prefix("/v1/accounts/{account_id}/");
        below.is_some_and(|below| {
            let family = below.split('/').next().unwrap_or_default();
            FAMILIES.contains(&family)
        }) || path.starts_with("/v1/messages/") && !path.contains('{')
    };
    let served: BTreeSet<String> = OPERATIONS
        .iter()
        .filter(|operation| asked(operation.path))
        .map(|operation| {
            let path = operation.path.replace("/v1/accounts/{account_id}/", "");
            format!("{} {}", operation.method, path.replace("{name}", "wave"))
        })
        .collect();
    let rows: BTreeSet<String> = rows().iter().map(Row::what).collect();
    assert_eq!(rows, served);
}

fn shaped(value: &Value, shape: &str, what: &str) {
    for field in shape.split_whitespace() {
        let (name, kind) = field.split_once(':').unwrap();
        let found = &value[name];
        let fits = match kind {
            "s" => found.is_string(),
            "b" => found.is_boolean(),
            "i" => found.is_u64(),
            _ => found.is_array(),
        };
        assert!(fits, "{what}: {name} of {value}");
    }
}

#[tokio::test]
async fn what_is_not_offered_is_501_before_the_provider_is_asked() {
    let host = Host::new();
    let account = host.account().await;
    for row in rows() {
        let answered = row.call(&host, &account).await;
        assert_eq!(
            (answered.status, answered.code()),
            (501, "unsupported_by_provider"),
            "{}: {}",
            row.what(),
            answered.body
        );
        assert!(answered.message().contains(row.feature), "{}", row.what());
    }
    assert!(host.control.script().commands.is_empty());
    assert!(host.control.script().sends.is_empty());
}

#[tokio::test]
async fn what_is_offered_has_the_contracts_shape() {
    let host = Host::new();
    let account = host.account().await;
    for row in rows() {
        host.control.script().features = vec![(row.feature.to_owned(), None)];
        let answered = row.call(&host, &account).await;
        let what = row.what();
        assert_eq!(answered.status, 200, "{what}: {}", answered.body);
        shaped(answered.data(), row.shape, &what);
        let command = host.control.script().commands.pop();
        if row.feature == "message.forward" {
            assert!(host.control.script().sends.pop().is_some(), "{what}");
        } else {
            assert_eq!(command.unwrap().feature(), row.feature, "{what}");
        }
        // The items of the lists, too.
        if row.method != "GET" {
            continue;
        }
        let item = match row.path {
            "conversations" => CHAT,
            "conversations/members" => "peer_id:s display_name:s avatar_url:s role:s",
            "conversations/labels" => "id:s name:s",
            "contacts" => PERSON,
            "groups" => GROUP,
            "groups/join-requests" => "id:s",
            _ => continue,
        };
        shaped(&answered.data()["items"][0], item, &what);
    }
}

#[tokio::test]
async fn bad_input_names_its_field_and_asks_nobody() {
    let host = Host::new();
    let account = host.account().await;
    for row in rows() {
        host.control.script().features = vec![(row.feature.to_owned(), None)];
        let what = row.what();
        if let Some((name, _)) = row.query.split_once('=') {
            let path = row.path(&account, "");
            let answered = host.call(row.method, &path, row.body(&account)).await;
            assert_eq!(
                (answered.status, answered.code()),
                (400, "invalid_request"),
                "{what}"
            );
            assert_eq!(answered.body["error"]["field"], name, "{what}");
        }
        let Some(body) = row.body(&account) else {
            continue;
        };
        for name in body.as_object().unwrap().keys() {
            let wrong = [Some(json!([1])), None];
            for wrong in wrong {
                // These may be left out.
                if wrong.is_none() && matches!(name.as_str(), "emoji") {
                    continue;
                }
                let mut body = body.clone();
                match wrong {
                    Some(wrong) => body[name] = wrong,
                    None => drop(body.as_object_mut().unwrap().remove(name)),
                }
                let path = row.path(&account, row.query);
                let answered = host.call(row.method, &path, Some(body)).await;
                assert_eq!(answered.status, 400, "{what} {name}: {}", answered.body);
                let field = answered.body["error"]["field"].as_str().unwrap();
                assert!(
                    field == name || field.starts_with(&format!("{name}[")) || field == "body",
                    "{what} {name}: {field}"
                );
            }
        }
    }
    assert!(host.control.script().commands.is_empty());
}

#[tokio::test]
async fn an_account_that_nobody_has() {
    let host = Host::new();
    for row in rows() {
        let answered = row.call(&host, "acc_nothing").await;
        let code = match row.missing {
            404 => "not_found",
            _ => "account_binding_not_found",
        };
        let found = (answered.status, answered.code());
        assert_eq!(found, (row.missing, code), "{}", row.what());
    }
}

#[tokio::test]
async fn what_has_no_answer_says_why() {
    let host = Host::new();
    let account = host.account().await;
    let path = format!("/v1/accounts/{account}/");
    host.control.script().features = ["conversations.get", "conversations.pin"]
        .map(|name| (name.to_owned(), None))
        .to_vec();
    let failed = |code, certainty| Unanswered::Failed {
        failure: Failure::new(code, "the channel said no"),
        certainty,
    };
    let gone = |called| Unanswered::Gone {
        called,
        reason: "the provider was started anew".into(),
    };
    let not_found = failed(FailureCode::NotFound, Certainty::NotDone);
    let refused = failed(FailureCode::Forbidden, Certainty::NotDone);
    let away = failed(FailureCode::Unavailable, Certainty::NotDone);
    let maybe = failed(FailureCode::Unavailable, Certainty::MaybeDone);
    let late = |called| Unanswered::TooLate { called };
    // (why, of a question, of an action, is there a Retry-After)
    for (why, question, action, again) in [
        (
            not_found,
            (404, "conversation_not_found"),
            (404, "conversation_not_found"),
            [false, false],
        ),
        (
            refused,
            (500, "get_conversation_failed"),
            (500, "pin_conversation_failed"),
            [false, false],
        ),
        (
            away,
            (503, "provider_unavailable"),
            (503, "provider_unavailable"),
            [true, true],
        ),
        (
            maybe,
            (503, "provider_unavailable"),
            (504, "outcome_unknown"),
            [true, false],
        ),
        (
            late(true),
            (504, "provider_timeout"),
            (504, "outcome_unknown"),
            [true, false],
        ),
        (
            late(false),
            (503, "provider_unavailable"),
            (503, "provider_unavailable"),
            [true, true],
        ),
        (
            gone(true),
            (503, "provider_unavailable"),
            (504, "outcome_unknown"),
            [true, false],
        ),
        (
            gone(false),
            (503, "provider_unavailable"),
            (503, "provider_unavailable"),
            [true, true],
        ),
    ] {
        for (index, (query, expected)) in
            [(true, question), (false, action)].into_iter().enumerate()
        {
            let refusal = Refusal::Unanswered {
                query,
                why: why.clone(),
            };
            host.control.script().refusal = Some(refusal);
            let answered = if query {
                host.get(&format!("{path}conversations/info?conversation_id=c1"))
                    .await
            } else {
                let body = json!({"conversation_id": "c1"});
                host.post(&format!("{path}conversations/pin"), body).await
            };
            assert_eq!((answered.status, answered.code()), expected, "{why:?}");
            let told = answered.headers.contains_key("retry-after");
            assert_eq!(told, again[index], "{why:?} {query}");
        }
    }
    host.control.script().refusal = Some(Refusal::TooManyCommands);
    let answered = host
        .get(&format!("{path}conversations/info?conversation_id=c1"))
        .await;
    assert_eq!((answered.status, answered.code()), (429, "rate_limited"));
    assert_eq!(answered.headers["retry-after"], "1");
}

/// Where the contract has no 404: what a client names and the channel does not know is a mistake
/// of the request, not of the host.
#[tokio::test]
async fn what_nobody_has_is_a_bad_request_where_there_is_no_404() {
    let host = Host::new();
    let account = host.account().await;
    host.control.script().features = ["labels.assign", "labels.delete", "labels.upsert"]
        .map(|name| (name.to_owned(), None))
        .to_vec();
    for (rest, body) in [
        (
            "labels",
            json!({"label_id": "l1", "action": "add", "conversation_ids": ["c1"]}),
        ),
        ("labels/delete", json!({"label_id": "l1"})),
        (
            "labels/upsert",
            json!({"label_id": "l1", "name": "Refunds"}),
        ),
    ] {
        host.control.script().refusal = Some(Refusal::Unanswered {
            query: false,
            why: Unanswered::Failed {
                failure: Failure::new(FailureCode::NotFound, "there is no such label"),
                certainty: Certainty::NotDone,
            },
        });
        let path = format!("/v1/accounts/{account}/conversations/{rest}");
        let answered = host.post(&path, body).await;
        assert_eq!(
            (answered.status, answered.code()),
            (400, "invalid_request"),
            "{rest}"
        );
        assert!(answered.body["error"]["message"] == "there is no such label");
    }
}

#[tokio::test]
async fn a_cursor_holds_for_its_list_only() {
    let host = Host::new();
    let (account, other) = (host.account().await, host.account().await);
    host.control.script().features = [
        ("conversations.list", Some(json!({"max-items": 10}))),
        ("contacts.list", None),
    ]
    .map(|(name, limits)| (name.to_owned(), limits))
    .to_vec();
    host.control.script().answer = Some(Answer::Conversations(Page {
        items: vec![conversation("user"), conversation("group")],
        next: Some("the provider's".into()),
    }));
    let list = |account: &str, rest: &str| format!("/v1/accounts/{account}/conversations?{rest}");
    let answered = host
        .get(&list(&account, "type=group,group&limit=500"))
        .await;
    assert_eq!(answered.status, 200, "{}", answered.body);
    let data = answered.data();
    // The other kinds are left out, also where the page was full.
    assert_eq!(data["items"].as_array().unwrap().len(), 1);
    assert_eq!(data["has_more"], true);
    let cursor = data["next_cursor"].as_str().unwrap().to_owned();
    assert!(!cursor.contains("provider"));
    let asked = |host: &Host| match host.control.script().commands.pop() {
        Some(Command::ListConversations(page)) => page,
        other => panic!("{other:?}"),
    };
    assert_eq!(asked(&host).limit, 10);
    host.control.script().answer = Some(Answer::Conversations(Page {
        items: vec![],
        next: None,
    }));
    for (path, good) in [
        (list(&account, &format!("type=group&cursor={cursor}")), true),
        (list(&account, &format!("type=user&cursor={cursor}")), false),
        (list(&account, &format!("cursor={cursor}")), false),
        (list(&other, &format!("type=group&cursor={cursor}")), false),
        (
            list(&account, &format!("type=group&cursor={cursor}x")),
            false,
        ),
        (list(&account, "cursor=nonsense"), false),
        (
            format!("/v1/accounts/{account}/contacts?cursor={cursor}"),
            false,
        ),
    ] {
        let answered = host.get(&path).await;
        if good {
            assert_eq!(answered.status, 200, "{}", answered.body);
            assert_eq!(asked(&host).cursor.as_deref(), Some("the provider's"));
        } else {
            assert_eq!(
                (answered.status, answered.code()),
                (400, "invalid_request"),
                "{path}"
            );
            assert!(answered.message().starts_with("cursor: "), "{path}");
        }
    }
    for (rest, code) in [
        ("limit=0", "invalid_request"),
        ("type=club", "invalid_conversation_type"),
        ("type=user,", "invalid_conversation_type"),
    ] {
        let answered = host.get(&list(&account, rest)).await;
        assert_eq!((answered.status, answered.code()), (400, code), "{rest}");
    }
}

#[tokio::test]
async fn a_list_that_never_ends_is_no_list() {
    let host = Host::new();
    let account = host.account().await;
    host.control.script().features = vec![("labels.list".into(), None)];
    host.control.script().answer = Some(Answer::Labels(Page {
        items: vec![],
        next: Some("1".into()),
    }));
    let path = format!("/v1/accounts/{account}/conversations/labels");
    let first = host.get(&path).await;
    let cursor = first.data()["next_cursor"].as_str().unwrap();
    let again = host.get(&format!("{path}?cursor={cursor}")).await;
    assert_eq!((again.status, again.code()), (500, "internal_error"));
}

#[tokio::test]
async fn limits_are_named_with_their_values() {
    let host = Host::new();
    let account = host.account().await;
    let path = |rest: &str| format!("/v1/accounts/{account}/{rest}");
    let chat = |name: &str, value: Value| json!({"conversation_id": "c1", name: value});
    let message = |name: &str, value: Value| {
        json!({"account_id": account, "conversation_id": "c1", "message_id": "m1",
               "pinned": true, "content": "new", name: value})
    };
    for (feature, limits, path, body, field, name) in [
        (
            "conversations.mute",
            json!({"max-seconds": 60}),
            path("conversations/mute"),
            chat("duration", json!(61)),
            "duration",
            "max-seconds",
        ),
        (
            "conversations.mute",
            json!({"max-seconds": 60}),
            path("conversations/mute"),
            chat("mute_until", json!("2999-01-01T00:00:00Z")),
            "mute_until",
            "max-seconds",
        ),
        (
            "conversations.activity",
            json!({"activities": ["typing"]}),
            path("conversations/activity"),
            chat("kind", json!("recording")),
            "kind",
            "activities",
        ),
        (
            "labels.upsert",
            json!({"max-chars": 3}),
            path("conversations/labels/upsert"),
            json!({"name": "Refunds"}),
            "name",
            "max-chars",
        ),
        (
            "labels.assign",
            json!({"max-conversations": 1}),
            path("conversations/labels"),
            json!({"label_id": "l", "action": "add", "conversation_ids": ["a", "b"]}),
            "conversation_ids",
            "max-conversations",
        ),
        (
            "contacts.note",
            json!({"max-chars": 3}),
            path("contacts/note"),
            json!({"contact_id": "p", "note": "long"}),
            "note",
            "max-chars",
        ),
        (
            "groups.create",
            json!({"max-members": 1}),
            path("groups/create"),
            json!({"name": "n", "members": ["a", "b"]}),
            "members",
            "max-members",
        ),
        (
            "message.edit",
            json!({"max-chars": 3}),
            "/v1/messages/edit".into(),
            message("content", json!("long")),
            "content",
            "max-chars",
        ),
        (
            "message.react",
            json!({"emojis": ["👍"]}),
            "/v1/messages/reaction".into(),
            message("emoji", json!("🍋")),
            "emoji",
            "emojis",
        ),
        (
            "message.pin",
            json!({"max-seconds": 60}),
            "/v1/messages/pin".into(),
            message("duration_seconds", json!(61)),
            "duration_seconds",
            "max-seconds",
        ),
    ] {
        host.control.script().features = vec![(feature.to_owned(), Some(limits.clone()))];
        let answered = host.post(&path, body).await;
        let error = &answered.body["error"];
        assert_eq!(answered.status, 400, "{feature}: {error}");
        assert_eq!(error["field"], field, "{feature}");
        let expected = json!({"feature": feature, "name": name, "value": limits[name]});
        assert_eq!(error["limit"], expected, "{feature}");
    }
    assert!(host.control.script().commands.is_empty());
}

#[tokio::test]
async fn rules_of_single_operations() {
    let host = Host::new();
    let account = host.account().await;
    let path = |rest: &str| format!("/v1/accounts/{account}/{rest}");
    host.control.script().features = [
        "conversations.read",
        "conversations.mute",
        "groups.info",
        "contacts.get",
        "contacts.list",
    ]
    .map(|name| (name.to_owned(), None))
    .to_vec();
    for (rest, body, field) in [
        (
            "conversations/read",
            json!({"conversation_id": "c", "up_to_message_id": "m"}),
            "up_to_message_sender_id",
        ),
        (
            "conversations/read",
            json!({"conversation_id": "c", "up_to_message_sender_id": "p"}),
            "up_to_message_id",
        ),
        (
            "conversations/mute",
            json!({"conversation_id": "c", "duration": 1, "mute_until": "2999-01-01T00:00:00Z"}),
            "mute_until",
        ),
        (
            "conversations/mute",
            json!({"conversation_id": "c", "mute_until": "2001-01-01T00:00:00Z"}),
            "mute_until",
        ),
        (
            "conversations/mute",
            json!({"conversation_id": "c", "mute_until": "tomorrow"}),
            "mute_until",
        ),
        (
            "conversations/mute",
            json!({"conversation_id": "c", "duration": -1}),
            "duration",
        ),
        ("groups/update-info", json!({"group_id": "g"}), "body"),
        (
            "groups/update-info",
            json!({"group_id": "g", "name": "n", "description": ""}),
            "body",
        ),
        (
            "groups/update-info",
            json!({"group_id": "g", "name": "n".repeat(101)}),
            "name",
        ),
    ] {
        let answered = host.post(&path(rest), body.clone()).await;
        assert_eq!(
            (answered.status, answered.code()),
            (400, "invalid_request"),
            "{body}"
        );
        assert_eq!(answered.body["error"]["field"], field, "{body}");
    }
    // An empty string is absent there, and clears here.
    let body = json!({"conversation_id": "c", "up_to_message_id": ""});
    assert_eq!(
        host.post(&path("conversations/read"), body).await.status,
        200
    );
    for (duration, for_good) in [(json!(0), true), (json!(60), false), (json!(null), true)] {
        let body = json!({"conversation_id": "c", "duration": duration});
        assert_eq!(
            host.post(&path("conversations/mute"), body).await.status,
            200
        );
        let Some(Command::Mute {
            muted: true, until, ..
        }) = host.control.script().commands.pop()
        else {
            panic!()
        };
        assert_eq!(until.is_none(), for_good, "{duration}");
    }
    host.control.script().answer = Some(Answer::Contact(None));
    let answered = host.get(&path("contacts/info?contact_id=p")).await;
    assert_eq!(
        (answered.status, answered.code()),
        (404, "contact_not_found")
    );
    host.control.script().answer = None;
    for (rest, found) in [
        ("q=DANA", 1),
        ("q=nobody", 0),
        ("updated_since=2026-02-01T00:00:00Z", 1),
    ] {
        let answered = host.get(&path(&format!("contacts?{rest}"))).await;
        assert_eq!(
            answered.data()["items"].as_array().unwrap().len(),
            found,
            "{rest}"
        );
    }
    let answered = host.get(&path("contacts?updated_since=yesterday")).await;
    assert_eq!(
        (answered.status, answered.body["error"]["field"].as_str()),
        (400, Some("updated_since"))
    );
}

#[tokio::test]
async fn messages_are_named_by_either_id_or_by_token() {
    let host = Host::new();
    let account = host.account().await;
    host.control.script().features = ["message.react", "send.text"]
        .map(|name| (name.to_owned(), None))
        .to_vec();
    let react = async |body: Value| host.post("/v1/messages/reaction", body).await;
    let body = |conversation: &str, message: &str| json!({"account_id": account, "conversation_id": conversation, "message_id": message});
    let target = || match host.control.script().commands.pop() {
        Some(Command::React {
            target,
            emoji: None,
        }) => target,
        other => panic!("{other:?}"),
    };
    // One that the host sent, which the channel has.
    host.control.script().outcome = Some(super::messages::sent_with_context("3EB0", "the context"));
    let text = json!({"account_id": account, "to": {"id": "c1", "type": "user"},
                      "message": {"type": "text", "text": "hi"}});
    let sent = host.post("/v1/messages", text.clone()).await;
    let id = sent.data()["id"].as_str().unwrap().to_owned();
    let known = MessageRef {
        reply_context: Some("the context".into()),
        ..MessageRef::of("c1", "3EB0")
    };
    assert_eq!(react(body("c1", &id)).await.status, 200);
    assert_eq!(target(), known);
    let answered = react(body("c2", &id)).await;
    assert_eq!(answered.status, 400);
    assert_eq!(answered.body["error"]["field"], "conversation_id");
    // One that it does not have yet, and one that nobody has.
    host.control.script().outcome = None;
    let waits = host.post("/v1/messages", text).await;
    let waits = waits.data()["id"].as_str().unwrap().to_owned();
    let answered = react(body("c1", &waits)).await;
    assert_eq!((answered.status, answered.code()), (409, "conflict"));
    let nothing = "msg_00000000000070008000000000000000";
    let answered = react(body("c1", nothing)).await;
    assert_eq!((answered.status, answered.code()), (404, "not_found"));
    // The channel's own, with what its token knows.
    assert_eq!(react(body("c1", "m9")).await.status, 200);
    assert_eq!(target(), MessageRef::of("c1", "m9"));
    let mut with_token = body("c1", "m9");
    with_token["reply_token"] = format!("rt1.{account}.m9").into();
    assert_eq!(react(with_token.clone()).await.status, 200);
    assert_eq!(target().reply_context.as_deref(), Some("context of m9"));
    for (name, value) in [
        ("message_id", "m8"),
        ("conversation_id", "c2"),
        ("reply_token", "rt1.acc_other.m9"),
    ] {
        let mut wrong = with_token.clone();
        wrong[name] = value.into();
        let answered = react(wrong).await;
        assert_eq!(
            (answered.status, answered.code()),
            (400, "invalid_reply_token"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn capabilities_are_data() {
    let host = Host::new();
    let account = host.account().await;
    let features = json!([{"name": "send.text", "limits": {"max-chars": 20}},
                          {"name": "send.contact", "limits": null}]);
    for path in [
        "/v1/providers/harbor".to_owned(),
        "/v1/providers/pier".to_owned(),
        format!("/v1/accounts/{account}/capabilities"),
    ] {
        let answered = host.get(&path).await;
        assert_eq!(answered.status, 200, "{path}");
        assert_eq!(answered.data()["features"], features, "{path}");
    }
    let answered = host.get("/v1/providers/nothing").await;
    assert_eq!((answered.status, answered.code()), (404, "not_found"));
    let answered = host.get(&format!("/v1/accounts/{account}")).await;
    assert_eq!(
        answered.data()["capabilities"],
        json!([
            "send_message",
            "receive_message",
            "send.text",
            "send.contact"
        ])
    );
}

fn conversation(kind: &str) -> Conversation {
    Conversation {
        id: "c1".into(),
        kind: kind.into(),
        title: None,
        username: None,
        description: None,
        avatar: None,
        unread: None,
        members: Some(12),
        is_pinned: None,
        is_muted: None,
        is_archived: None,
        created_at: Some(Timestamp(0)),
        last_message_at: None,
        last_message_text: None,
        extra: None,
    }
}

/// An answer of the kind that the command asks for.
pub fn answer_to(command: &Command) -> Answer {
    use crate::domain::command::Expects;
    let contact = || Contact {
        id: "p1".into(),
        display_name: Some("Dana Whitfield".into()),
        username: None,
        phone: Some("15550100023".into()),
        avatar: None,
        aliases: vec!["lid:77".into()],
        is_bot: None,
        is_blocked: Some(false),
        extra: None,
    };
    fn page<T>(item: T) -> Page<T> {
        Page {
            items: vec![item],
            next: None,
        }
    }
    match command.expects() {
        Expects::Done | Expects::ValueOrDone | Expects::Sent | Expects::Media => Answer::Done,
        Expects::Created => Answer::Created("new".into()),
        Expects::Conversation => Answer::Conversation(Box::new(conversation("group"))),
        Expects::Conversations => Answer::Conversations(page(conversation("user"))),
        Expects::Members => Answer::Members(page(Member {
            contact: contact(),
            role: "admin".into(),
            joined_at: None,
        })),
        Expects::Contact => Answer::Contact(Some(Box::new(contact()))),
        Expects::Contacts => Answer::Contacts(page(contact())),
        Expects::Messages => Answer::Messages(page(json!({
            "id": "m1", "type": "text", "text": "hello", "direction": "inbound",
            "sent_at": "2026-03-01T08:29:58Z", "sender": {"id": "u1", "type": "user"},
            "reply_token": "rt1.m1",
        }))),
        Expects::Labels => Answer::Labels(page(Label {
            id: "l1".into(),
            name: "Refunds".into(),
        })),
        Expects::Invitation => Answer::Invitation(Invitation {
            url: "https://chat.example.net/Ab12Cd".into(),
            code: "Ab12Cd".into(),
        }),
        Expects::JoinRequests => Answer::JoinRequests(vec![JoinRequest {
            contact: contact(),
            requested_at: Some(Timestamp(0)),
        }]),
        Expects::Profile => Answer::Profile(Profile {
            id: Some("me".into()),
            ..Profile::default()
        }),
    }
}
