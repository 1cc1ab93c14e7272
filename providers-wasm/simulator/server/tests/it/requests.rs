use anyport_simulator::model::Body;
use anyport_simulator::protocol::{ClientFrame, Fault, Forward, ServerFrame};
use anyport_simulator::request::{Answer, Ask, Page, Target};
use anyport_simulator::{Act, Behaviour, RateLimit, RequestFault, SentOutcome};

use crate::{Client, outgoing, start};

async fn ask(client: &mut Client, id: &str, ask: Ask) {
    let id = id.to_owned();
    client.say(&ClientFrame::Ask { id, ask }).await;
}

fn groups() -> Ask {
    Ask::Groups {
        page: Page {
            cursor: None,
            limit: 10,
        },
    }
}

#[tokio::test]
async fn requests_are_answered_under_their_ids() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    ask(&mut client, "one", groups()).await;
    let id = "group:none".to_owned();
    ask(&mut client, "two", Ask::Group { id }).await;
    match client.hear().await {
        ServerFrame::Answered {
            id,
            answer: Answer::Conversations(pages),
        } => assert_eq!((id.as_str(), pages.items.len()), ("one", 1)),
        other => panic!("{other:?}"),
    }
    match client.hear().await {
        ServerFrame::Denied { id, error } => {
            assert_eq!((id.as_str(), error.code.as_str()), ("two", "not-found"));
        }
        other => panic!("{other:?}"),
    }
    let came: Vec<_> = control
        .requests("ada")
        .await
        .unwrap()
        .into_iter()
        .map(|record| (record.name, record.refused))
        .collect();
    let wanted = [
        ("groups".to_owned(), None),
        ("group".to_owned(), Some("not-found".to_owned())),
    ];
    assert_eq!(came, wanted);
}

#[tokio::test]
async fn what_the_account_changes_comes_to_its_other_devices() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, session) = Client::signed_in(&simulator, "ada").await;
    let conversation = "echo".to_owned();
    let pinned = true;
    let pin = Ask::PinConversation {
        conversation,
        pinned,
    };
    ask(&mut client, "a", pin).await;
    let (mut answered, mut told) = (false, false);
    for _ in 0..2 {
        match client.hear().await {
            ServerFrame::Answered { .. } => answered = true,
            ServerFrame::Event(event) => {
                told = matches!(event.body, Body::Conversation(seen) if seen.is_pinned == pinned.into());
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(answered && told);
    // The channel remembers it beyond the connection.
    let mut client = Client::hello(&simulator, "ada", &session).await;
    client.hear_event().await;
    let id = "echo".to_owned();
    ask(&mut client, "b", Ask::Conversation { id }).await;
    match client.hear().await {
        ServerFrame::Answered {
            answer: Answer::Conversation(seen),
            ..
        } => assert_eq!(seen.is_pinned, Some(true)),
        other => panic!("{other:?}"),
    }
    let mut look = async |id: &str| {
        let id = id.to_owned();
        control.ask("ada", Ask::Conversation { id }).await
    };
    assert!(look("echo").await.is_ok() && look("group:none").await.is_err());
}

#[tokio::test]
async fn others_say_edit_delete_and_react() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    let message = control
        .say("ada", "user:grace", "group:lab", "hello")
        .await
        .unwrap();
    let heard = client.hear_event().await;
    match heard.body {
        Body::Message(said) => {
            assert_eq!(said.id, message);
            assert_eq!(
                (said.kind.as_str(), said.sender.as_str()),
                ("group", "user:grace")
            );
        }
        other => panic!("{other:?}"),
    }
    let target = Target {
        conversation: "group:lab".to_owned(),
        message: message.clone(),
    };
    let emoji = Some("🎉".to_owned());
    let react = Act::React {
        target: target.clone(),
        emoji,
    };
    control.act("ada", "user:alan", react).await.unwrap();
    assert!(
        matches!(client.hear_event().await.body, Body::Reaction(seen) if seen.by == "user:alan")
    );
    let delete = Act::Delete {
        conversation: "group:lab".to_owned(),
        messages: vec![message],
    };
    control
        .act("ada", "user:grace", delete.clone())
        .await
        .unwrap();
    assert!(matches!(client.hear_event().await.body, Body::Deleted(_)));
    assert!(control.act("ada", "user:grace", delete).await.is_err());
}

#[tokio::test]
async fn a_forward_is_a_send() {
    let (simulator, mut control) = start(Behaviour {
        echo: false,
        ..Behaviour::default()
    })
    .await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    let message = control
        .say("ada", "user:grace", "user:grace", "pass it on")
        .await
        .unwrap();
    client.hear_event().await;
    let forward = |token: &str, message: &str| {
        ClientFrame::Forward(Forward {
            token: token.to_owned(),
            target: Target {
                conversation: "user:grace".to_owned(),
                message: message.to_owned(),
            },
            to: "echo".to_owned(),
        })
    };
    for repeated in [false, true] {
        client.say(&forward("f", &message)).await;
        match client.hear().await {
            ServerFrame::Accepted(accepted) => assert_eq!(accepted.repeated, repeated),
            other => panic!("{other:?}"),
        }
    }
    client.say(&forward("g", "m-none")).await;
    assert!(matches!(client.hear().await, ServerFrame::Rejected { token, .. } if token == "g"));
    let journal = control.journal(Some("ada")).await.unwrap();
    assert_eq!(journal[0].text, "pass it on");
    assert!(matches!(journal[1].outcome, SentOutcome::Repeated { .. }));
}

#[tokio::test]
async fn a_request_is_refused_late_unanswered_or_dropped_as_armed() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    let refusal = RequestFault::Refuse(Fault::new("forbidden", "not you"));
    control
        .fail_requests("ada", 1, Some("groups"), refusal)
        .await
        .unwrap();
    ask(&mut client, "other", Ask::Profile {}).await;
    assert!(matches!(client.hear().await, ServerFrame::Answered { id, .. } if id == "other"));
    ask(&mut client, "refused", groups()).await;
    assert!(
        matches!(client.hear().await, ServerFrame::Denied { error, .. } if error.code == "forbidden")
    );

    control
        .fail_requests("ada", 1, None, RequestFault::NoAnswer {})
        .await
        .unwrap();
    ask(&mut client, "silent", groups()).await;
    control
        .fail_requests("ada", 1, None, RequestFault::Late(50))
        .await
        .unwrap();
    ask(&mut client, "late", groups()).await;
    assert!(matches!(client.hear().await, ServerFrame::Answered { id, .. } if id == "late"));

    control
        .fail_requests("ada", 1, None, RequestFault::Drop {})
        .await
        .unwrap();
    ask(&mut client, "dropped", groups()).await;
    client.hear_end().await;
}

#[tokio::test]
async fn above_its_rate_the_channel_says_when_to_come_back() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    let limited = Behaviour {
        rate_limit: Some(RateLimit {
            count: 2,
            per_ms: 3_600_000,
        }),
        ..Behaviour::default()
    };
    control.configure(Some("ada"), limited).await.unwrap();
    ask(&mut client, "one", groups()).await;
    assert!(matches!(client.hear().await, ServerFrame::Answered { .. }));
    client
        .say(&ClientFrame::Send(outgoing("two", "bob", "hello")))
        .await;
    assert!(matches!(client.hear().await, ServerFrame::Accepted(_)));
    ask(&mut client, "three", groups()).await;
    match client.hear().await {
        ServerFrame::Denied { error, .. } => {
            assert_eq!(error.code, "rate-limited");
            assert!(error.retry_after_ms.is_some());
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_sent_is_received_and_read() {
    let (simulator, _control) = start(Behaviour {
        receipts: true,
        ..Behaviour::default()
    })
    .await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    client.send("a", "user:grace", "hello").await;
    let mut kinds = Vec::new();
    while kinds.len() < 2 {
        match client.hear().await {
            ServerFrame::Accepted(_) => {}
            ServerFrame::Event(event) => match event.body {
                Body::Receipt(receipt) => kinds.push(receipt.kind),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(kinds, ["delivered", "read"]);
}
