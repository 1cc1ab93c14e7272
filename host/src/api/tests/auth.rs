use super::Host;
use crate::domain::account::AuthStatus;
use crate::domain::error::{Failure, FailureCode};
use crate::domain::sign_in::{Display, Question, Step};
use crate::domain::{AccountId, Timestamp};
use crate::supervisor::control::SignInCall;
use serde_json::json;

fn display(kind: &str, value: &str, expires_at: Option<u64>) -> Display {
    Display {
        kind: kind.into(),
        value: value.into(),
        hint: None,
        expires_at: expires_at.map(Timestamp),
    }
}

fn ask(name: &str, kind: &str) -> Step {
    Step::Ask {
        questions: vec![Question {
            name: name.into(),
            kind: kind.into(),
            title: "Code".into(),
            hint: None,
            required: true,
            choices: vec![],
        }],
        problem: None,
    }
}

fn answers(call: SignInCall) -> (String, Vec<(String, String)>) {
    let (method, answers) = match call {
        SignInCall::Begin { method, answers } => (method, answers),
        SignInCall::Submit { answers } => (String::new(), answers),
        other => panic!("{other:?}"),
    };
    let answers = answers
        .into_iter()
        .map(|answer| {
            (
                answer.name,
                String::from_utf8(answer.value.expose().to_vec()).unwrap(),
            )
        })
        .collect();
    (method, answers)
}

#[tokio::test]
async fn a_flow_by_code_in_both_spellings() {
    for base in ["auth", "auth/session"] {
        let host = Host::new();
        let account = host.account().await;
        let path = |action: &str| format!("/v1/accounts/{account}/{base}/{action}");
        let state = format!("/v1/accounts/{account}/{base}");
        assert_eq!(
            host.get(&state).await.data(),
            &json!({"account_id": account, "status": "pending_auth", "auth_fields": [],
                    "auth_payload": {}, "expires_at": "", "last_error": ""})
        );

        let step = Step::Show(vec![display("code", "K7QX", Some(1_772_353_000_000))]);
        host.control.script().step = Some(step);
        let answered = host
            .post(&path("start"), json!({"params": {"ignored": "x"}}))
            .await;
        assert_eq!(answered.status, 200, "{}", answered.body);
        assert_eq!(
            answered.data(),
            &json!({"account_id": account, "status": "awaiting_code", "auth_fields": [],
                    "auth_payload": {"verify_code": "K7QX"},
                    "expires_at": "2026-03-01T08:16:40Z", "last_error": ""})
        );
        // The method of `auth_mode` code, with the phone of the account.
        let call = host.control.script().calls.pop().unwrap();
        assert_eq!(
            answers(call),
            (
                "pairing-code".into(),
                vec![("phone".into(), "15550100".into())]
            )
        );

        host.control.script().step = Some(ask("otp", "code"));
        host.post(&path("start"), json!({})).await;
        let answered = host.get(&state).await;
        assert_eq!(
            answered.data()["auth_fields"],
            json!([{"type": "code", "required": true, "label": "Code", "placeholder": "",
                    "name": "otp"}])
        );
        host.control.script().step = Some(ask("password", "password"));
        let answered = host
            .post(&path("code"), json!({"params": {"code": "41822"}}))
            .await;
        assert_eq!(answered.data()["status"], "awaiting_password");
        let call = host.control.script().calls.pop().unwrap();
        assert_eq!(answers(call).1, [("otp".to_owned(), "41822".to_owned())]);

        let answered = host.post(&path("password"), json!({})).await;
        assert_eq!(answered.status, 400);
        assert_eq!(answered.message(), "password: is required (a string)");
        host.control.script().step = Some(Step::Done(Default::default()));
        host.control.sign_in_done(&account);
        let answered = host.post(&path("password"), json!({"password": "p"})).await;
        assert_eq!(answered.data()["status"], "authorized");

        for action in ["start", "qr/start", "code", "password"] {
            let answered = host
                .post(&path(action), json!({"code": "1", "password": "1"}))
                .await;
            assert_eq!(
                (answered.status, answered.code()),
                (409, "account_already_authorized"),
                "{action}"
            );
        }
        // Cancelling ends a session that stands.
        host.post(&path("cancel"), json!({})).await;
        assert_eq!(host.control.script().calls.pop(), Some(SignInCall::SignOut));
    }
}

#[tokio::test]
async fn qr_shows_what_to_scan() {
    let host = Host::new();
    let account = host.account().await;
    let path = |action: &str| format!("/v1/accounts/{account}/auth/{action}");
    host.control.script().step = Some(Step::Show(vec![
        display("qr", "2@pq7L", None),
        display("pin", "4471", None),
    ]));
    let answered = host.call("POST", &path("qr/start"), None).await;
    let expected = json!({"account_id": account, "status": "awaiting_qr_scan", "auth_fields": [],
        "auth_payload": {"qr_code": "2@pq7L", "pin": "4471"},
        "expires_at": "2026-03-01T08:30:00Z", "last_error": ""});
    assert_eq!(answered.data(), &expected);
    assert_eq!(
        host.call("POST", &path("qr/check"), None).await.data(),
        &expected
    );
    let cancelled = host.call("POST", &path("cancel"), None).await;
    assert_eq!(cancelled.status, 200);
    assert_eq!(host.control.script().calls.pop(), Some(SignInCall::Cancel));
}

#[tokio::test]
async fn a_failed_flow_says_why() {
    let host = Host::new();
    let account = host.account().await;
    let mut failure = Failure::new(FailureCode::RateLimited, "wait a while");
    host.control.script().step = Some(Step::Failed(failure.clone()));
    let path = format!("/v1/accounts/{account}/auth/start");
    let answered = host.post(&path, json!({})).await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.data()["status"], "failed");
    assert_eq!(answered.data()["last_error"], "rate_limited");
    assert_eq!(answered.data()["last_error_message"], "wait a while");
    // A session that ended after the flow did: what storage says counts.
    failure.channel_code = Some("old".into());
    let id = AccountId::from_text(account.as_str());
    host.control.script().flows.get_mut(&id).unwrap().step = Step::Done(Default::default());
    {
        let mut state = host.store.state();
        state.accounts[0].auth_status = AuthStatus::Failed;
        state.accounts[0].last_error = Some("logged_out".into());
    }
    let answered = host.get(&format!("/v1/accounts/{account}/auth")).await;
    assert_eq!(answered.data()["status"], "failed");
    assert_eq!(answered.data()["last_error"], "logged_out");
}

#[tokio::test]
async fn a_session_can_be_imported() {
    let host = Host::new();
    let account = host.account().await;
    for path in ["auth/session", "auth/session/import"] {
        let path = format!("/v1/accounts/{account}/{path}");
        let body = json!({"params": {"session_url": "data:application/x;base64,c2VjcmV0", "pin": "0000"},
                          "proxy_config": {"host": "proxy.example.net", "port": 1080, "type": "socks5"}});
        assert_eq!(host.post(&path, body).await.status, 200);
        let call = host.control.script().calls.pop().unwrap();
        assert_eq!(
            answers(call),
            (
                "session".into(),
                vec![
                    ("session".into(), "secret".into()),
                    ("pin".into(), "0000".into())
                ]
            )
        );
        let change = host.control.script().changes.pop().unwrap();
        assert_eq!(change.proxy.unwrap().unwrap().port, 1080);
        let answered = host.post(&path, json!({"token": "t"})).await;
        assert_eq!(answered.status, 200);
        for (body, field) in [
            (json!({}), "session"),
            (
                json!({"session_url": "https://example.net/a.session"}),
                "session_url",
            ),
            (json!({"session_url": "data:,plain"}), "session_url"),
            (json!({"session": 5}), "session"),
            (json!({"params": 5}), "params"),
        ] {
            let answered = host.post(&path, body).await;
            assert_eq!((answered.status, answered.code()), (400, "invalid_request"));
            assert_eq!(answered.body["error"]["field"], field);
        }
    }
}

#[tokio::test]
async fn answers_without_a_flow_are_refused() {
    let host = Host::new();
    let account = host.account().await;
    let path = format!("/v1/accounts/{account}/auth/code");
    let answered = host.post(&path, json!({"code": "1"})).await;
    assert_eq!(
        (answered.status, answered.code()),
        (400, "unsupported_action")
    );
}
