use super::*;
use crate::domain::error::FailureCode;
use crate::domain::sign_in::{Display, Question};
use serde_json::json;

fn account() -> AccountId {
    AccountId::from_text("acc_7mZ2qK9t")
}

fn stamp(account: &AccountId) -> Stamp<'_> {
    Stamp {
        id: EventId::from_text("evt_0001"),
        provider: "line",
        account,
        occurred_at: Timestamp(1_772_353_800_000),
    }
}

fn check(event: &NewEvent, kind: &str, data: &str) {
    let expected = format!(
        r#"{{"id":"evt_0001","type":"{kind}","provider":"line","account_id":"acc_7mZ2qK9t","occurred_at":"2026-03-01T08:30:00Z","data":{data}}}"#
    );
    assert_eq!(String::from_utf8_lossy(&event.body), expected);
    assert_eq!(event.kind, kind);
    assert_eq!(event.id.as_str(), "evt_0001");
}

#[test]
fn mirrors_follow_data() {
    let account = account();
    let mirrors = Mirrors {
        from: "+15550100023".into(),
        text: "hi".into(),
        sent_at: Timestamp(1_772_353_798_900),
        message_id: "m1".into(),
    };
    let body = envelope(
        &stamp(&account),
        "message.received",
        &json!({}),
        Some(&mirrors),
    );
    assert_eq!(
        String::from_utf8_lossy(&body),
        r#"{"id":"evt_0001","type":"message.received","provider":"line","account_id":"acc_7mZ2qK9t","occurred_at":"2026-03-01T08:30:00Z","data":{},"event":"message.received","from":"+15550100023","text":"hi","timestamp":1772353798,"message_id":"m1"}"#
    );
}

#[test]
fn account_events_have_the_published_form() {
    let account = account();
    let facts = AccountFacts {
        auth_status: AuthStatus::Authorized,
        runtime_status: RuntimeStatus::Reconnecting,
        provider_account_ref: Some("15550100077"),
    };
    check(
        &account_status_updated(stamp(&account), facts, None),
        "account.status.updated",
        r#"{"auth_status":"authorized","runtime_status":"reconnecting","account":{"provider_account_ref":"15550100077"},"event":{"kind":"account_status"}}"#,
    );
    check(
        &account_started(stamp(&account), facts),
        "account.started",
        r#"{"auth_status":"authorized","runtime_status":"ready","account":{"provider_account_ref":"15550100077"},"event":{"kind":"account_started"}}"#,
    );
    check(
        &auth_failed(
            stamp(&account),
            RuntimeStatus::Disconnected,
            Some("logged_out"),
        ),
        "account.auth.failed",
        r#"{"auth_status":"failed","runtime_status":"disconnected","last_error":"logged_out","event":{"kind":"account_auth_status"}}"#,
    );
    let profile = Profile {
        display_name: Some("Harbor Desk".into()),
        bio: Some("Open 11-22".into()),
        ..Profile::default()
    };
    let facts = AccountFacts {
        runtime_status: RuntimeStatus::Starting,
        provider_account_ref: Some("u0123abcd"),
        ..facts
    };
    check(
        &auth_succeeded(stamp(&account), facts, &profile),
        "account.auth.succeeded",
        r#"{"auth_status":"authorized","runtime_status":"starting","account":{"provider_account_ref":"u0123abcd","display_name":"Harbor Desk","status_message":"Open 11-22"},"event":{"kind":"account_auth_status"}}"#,
    );
}

fn flow(step: Step) -> Flow {
    Flow {
        id: "f".into(),
        revision: 1,
        method: "qr".into(),
        step,
        expires_at: Timestamp(0),
    }
}

fn display(kind: &str, value: &str) -> Display {
    Display {
        kind: kind.into(),
        value: value.into(),
        hint: None,
        expires_at: None,
    }
}

#[test]
fn auth_required_shows_what_to_look_at_or_asks() {
    let account = account();
    let shown = flow(Step::Show(vec![
        display("url", "https://line.example.net/q/ab12"),
        display("pin", "4471"),
    ]));
    check(
        &auth_required(stamp(&account), &shown, RuntimeStatus::Unknown),
        "account.auth.required",
        r#"{"auth_status":"awaiting_qr_scan","runtime_status":"unknown","auth_payload":{"url":"https://line.example.net/q/ab12","pin":"4471"},"event":{"kind":"account_auth_status"}}"#,
    );
    let asked = flow(Step::Ask {
        questions: vec![Question {
            name: "password".into(),
            kind: "password".into(),
            title: "Your password".into(),
            hint: None,
            required: true,
            choices: vec![],
        }],
        problem: None,
    });
    check(
        &auth_required(stamp(&account), &asked, RuntimeStatus::Unknown),
        "account.auth.required",
        r#"{"auth_status":"awaiting_password","runtime_status":"unknown","auth_payload":{},"auth_fields":[{"type":"password","required":true,"label":"Your password"}],"event":{"kind":"account_auth_status"}}"#,
    );
    let mut code = display("code", "ABCD-1234");
    code.expires_at = Some(Timestamp(1_772_353_980_000));
    check(
        &auth_required(
            stamp(&account),
            &flow(Step::Show(vec![code])),
            RuntimeStatus::Unknown,
        ),
        "account.auth.required",
        r#"{"auth_status":"awaiting_code","runtime_status":"unknown","auth_payload":{"verify_code":"ABCD-1234"},"expires_at":"2026-03-01T08:33:00Z","event":{"kind":"account_auth_status"}}"#,
    );
}

#[test]
fn settled_sends_have_one_shape() {
    let account = account();
    let id = SendId::from_public("msg_0192d3c4e5f67a8b9c0d1e2f3a4b5c6d").unwrap();
    let sent = SentMessage {
        messages: vec!["1".into(), "2".into()],
        conversation: None,
        sent_at: Timestamp(1_772_353_800_000),
        reply_context: None,
    };
    let settled = Settled {
        id,
        conversation: "c1",
        conversation_kind: "user",
        state: SendState::Sent,
        sent: Some(&sent),
        failure: None,
        reply_token: Some("rt1.x"),
    };
    let event = send_settled(stamp(&account), settled);
    check(
        &event,
        "message.sent",
        r#"{"send_id":"msg_0192d3c4e5f67a8b9c0d1e2f3a4b5c6d","conversation":{"id":"c1","type":"user"},"message":{"id":"1","ids":["1","2"],"sent_at":"2026-03-01T08:30:00Z","reply_token":"rt1.x"},"state":"sent","event":{"kind":"message_sent"},"chat_id":"c1"}"#,
    );
    assert_eq!(event.conversation.as_deref(), Some("c1"));
    let mut failure = Failure::new(FailureCode::RateLimited, "slow down");
    failure.channel_code = Some("420".into());
    let settled = Settled {
        state: SendState::Failed,
        sent: None,
        failure: Some(&failure),
        reply_token: None,
        ..settled
    };
    check(
        &send_settled(stamp(&account), settled),
        "message.failed",
        r#"{"send_id":"msg_0192d3c4e5f67a8b9c0d1e2f3a4b5c6d","conversation":{"id":"c1","type":"user"},"state":"failed","error":{"code":"rate-limited","message":"slow down","channel_code":"420"},"event":{"kind":"message_failed"},"chat_id":"c1"}"#,
    );
    let settled = Settled {
        state: SendState::Unknown,
        failure: None,
        ..settled
    };
    check(
        &send_settled(stamp(&account), settled),
        "message.unknown",
        r#"{"send_id":"msg_0192d3c4e5f67a8b9c0d1e2f3a4b5c6d","conversation":{"id":"c1","type":"user"},"state":"unknown","event":{"kind":"message_unknown"},"chat_id":"c1"}"#,
    );
}

#[test]
fn operational_events() {
    let account = account();
    check(
        &input_skipped(stamp(&account), "update 7", "the provider trapped twice"),
        "account.input.skipped",
        r#"{"subject":"update 7","reason":"the provider trapped twice","event":{"kind":"account_input_skipped"}}"#,
    );
    check(
        &endpoint_state_changed(
            stamp(&account),
            &EndpointId::from_text("we_1"),
            EndpointState::Enabled,
            EndpointState::Failing,
            Some("connection refused"),
        ),
        "endpoint.state.changed",
        r#"{"endpoint":{"id":"we_1"},"state":"failing","previous":"enabled","reason":"connection refused","event":{"kind":"endpoint_state_changed"}}"#,
    );
}
