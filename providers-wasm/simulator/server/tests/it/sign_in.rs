use anyport_simulator::Behaviour;
use anyport_simulator::protocol::{ChallengeKind, ClientFrame, ServerFrame, SignInMethod};

use crate::{Client, sign_in, start};

fn challenge(frame: ServerFrame) -> anyport_simulator::protocol::Challenge {
    match frame {
        ServerFrame::Challenge(challenge) => challenge,
        other => panic!("not a challenge: {other:?}"),
    }
}

#[tokio::test]
async fn a_qr_code_is_scanned_by_control() {
    let (simulator, mut control) = start(Behaviour {
        scan_after_ms: None,
        ..Behaviour::default()
    })
    .await;
    let mut client = Client::connect(&simulator).await;
    client.say(&sign_in("ada", SignInMethod::Qr, None)).await;
    let shown = challenge(client.hear().await);
    assert_eq!(shown.kind, ChallengeKind::Qr);
    assert!(shown.value.starts_with("anyport-simulator:ada:"));
    control.scan("ada").await.unwrap();
    assert!(matches!(client.hear().await, ServerFrame::SignedIn { .. }));
}

#[tokio::test]
async fn a_qr_code_is_replaced_and_scans_itself() {
    let behaviour = Behaviour {
        scan_after_ms: Some(120),
        qr_valid_ms: 50,
        ..Behaviour::default()
    };
    let (simulator, _control) = start(behaviour).await;
    let mut client = Client::connect(&simulator).await;
    client.say(&sign_in("ada", SignInMethod::Qr, None)).await;
    let first = challenge(client.hear().await);
    let second = challenge(client.hear().await);
    assert_ne!(first.value, second.value);
    loop {
        match client.hear().await {
            ServerFrame::Challenge(_) => {}
            ServerFrame::SignedIn { .. } => break,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_wrong_code_is_asked_again_and_a_password_comes_second() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    control.set_password("ada", Some("lovelace")).await.unwrap();
    let mut client = Client::connect(&simulator).await;
    client.say(&sign_in("ada", SignInMethod::Code, None)).await;
    let asked = challenge(client.hear().await);
    assert!(asked.hint.contains("123456") && asked.problem.is_none());
    client
        .say(&ClientFrame::Answer {
            value: "1".to_owned(),
        })
        .await;
    assert_eq!(
        challenge(client.hear().await).problem.unwrap().code,
        "invalid"
    );
    client
        .say(&ClientFrame::Answer {
            value: "123456".to_owned(),
        })
        .await;
    assert_eq!(challenge(client.hear().await).kind, ChallengeKind::Password);
    client
        .say(&ClientFrame::Answer {
            value: "babbage".to_owned(),
        })
        .await;
    assert!(challenge(client.hear().await).problem.is_some());
    client
        .say(&ClientFrame::Answer {
            value: "lovelace".to_owned(),
        })
        .await;
    assert!(matches!(client.hear().await, ServerFrame::SignedIn { .. }));
}

#[tokio::test]
async fn sessions_are_issued_adopted_and_revoked() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, session) = Client::signed_in(&simulator, "ada").await;

    // Saying hello again on the same connection is harmless.
    client
        .say(&ClientFrame::Hello {
            user: "ada".to_owned(),
            session: session.clone(),
        })
        .await;
    assert!(matches!(client.hear().await, ServerFrame::Welcome { .. }));

    // The newest connection speaks for the user.
    let mut second = Client::hello(&simulator, "ada", &session).await;
    client.hear_end().await;

    control.revoke_sessions("ada").await.unwrap();
    assert!(matches!(second.hear().await, ServerFrame::Revoked(_)));
    second.hear_end().await;
    for dead in [session.as_str(), "session/earlier/1/ada", "nonsense"] {
        let mut client = Client::connect(&simulator).await;
        client
            .say(&ClientFrame::Hello {
                user: "ada".to_owned(),
                session: dead.to_owned(),
            })
            .await;
        assert!(
            matches!(client.hear().await, ServerFrame::Refused(_)),
            "{dead} was taken"
        );
    }

    Client::hello(&simulator, "bob", "session/earlier/1/bob").await;
    let mut client = Client::connect(&simulator).await;
    client
        .say(&sign_in(
            "bob",
            SignInMethod::Session,
            Some("session/earlier/2/bob"),
        ))
        .await;
    assert!(matches!(client.hear().await, ServerFrame::SignedIn { .. }));
    client.say(&ClientFrame::SignOut {}).await;
    assert!(matches!(client.hear().await, ServerFrame::SignedOut {}));
    client
        .say(&ClientFrame::Hello {
            user: "bob".to_owned(),
            session: "session/earlier/2/bob".to_owned(),
        })
        .await;
    assert!(matches!(client.hear().await, ServerFrame::Refused(_)));
}
