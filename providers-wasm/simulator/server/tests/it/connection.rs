use anyport_simulator::model::{Body, Content};
use anyport_simulator::protocol::{ClientFrame, ServerFrame};
use anyport_simulator::{Behaviour, SentOutcome, Simulator, samples};

use crate::{Client, PATIENCE, start};

async fn accepted(client: &mut Client) -> anyport_simulator::protocol::Accepted {
    match client.hear().await {
        ServerFrame::Accepted(accepted) => accepted,
        other => panic!("not accepted: {other:?}"),
    }
}

#[tokio::test]
async fn an_echo_comes_back_until_it_is_acknowledged() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, session) = Client::signed_in(&simulator, "ada").await;
    client.send("a", "echo", "hello").await;
    accepted(&mut client).await;
    let event = client.hear_event().await;
    let Body::Message(message) = &event.body else {
        panic!("{event:?}")
    };
    assert_eq!(
        (message.sender.as_str(), &message.content),
        ("echo", &Content::text("hello"))
    );

    let mut again = Client::hello(&simulator, "ada", &session).await;
    assert_eq!(again.hear_event().await, event);
    again.ack(&event).await;
    let counters = control
        .wait_for(Some("ada"), PATIENCE, |counters| counters.acknowledged == 1)
        .await
        .unwrap();
    assert_eq!(
        (
            counters.delivered,
            counters.redelivered,
            counters.unacknowledged
        ),
        (1, 1, 0)
    );
    assert_eq!(
        control.acknowledged("ada").await.unwrap(),
        std::slice::from_ref(&event.id)
    );

    again.ack(&event).await;
    control
        .wait_for(Some("ada"), PATIENCE, |counters| {
            counters.repeated_acknowledgements == 1
        })
        .await
        .unwrap();
    assert!(control.latency().await.unwrap().count == 1);
}

#[tokio::test]
async fn the_window_holds_events_back_and_acknowledgements_may_come_in_any_order() {
    let (simulator, mut control) = start(Behaviour {
        window: 2,
        ..Behaviour::default()
    })
    .await;
    let (mut client, session) = Client::signed_in(&simulator, "ada").await;
    for text in ["1", "2", "3"] {
        control.inject_text("ada", "bob", text).await.unwrap();
    }
    let (first, second) = (client.hear_event().await, client.hear_event().await);
    client.say(&ClientFrame::Ping("no third".to_owned())).await;
    assert_eq!(
        client.hear().await,
        ServerFrame::Pong("no third".to_owned())
    );
    client.ack(&second).await;
    assert_eq!(client.hear_event().await.id, "t-3");
    assert_eq!(control.unacknowledged("ada").await.unwrap(), ["t-1", "t-3"]);

    // The second is not given again.
    let mut client = Client::hello(&simulator, "ada", &session).await;
    assert_eq!(client.hear_event().await.id, first.id);
    assert_eq!(client.hear_event().await.id, "t-3");
}

#[tokio::test]
async fn a_repeated_token_is_dropped_or_doubled_as_set() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    client.send("a", "bob", "hello").await;
    let first = accepted(&mut client).await;
    client.send("a", "bob", "hello").await;
    let second = accepted(&mut client).await;
    assert!(second.repeated && second.message == first.message);

    control
        .configure(
            Some("ada"),
            Behaviour {
                dedupe: false,
                ..Behaviour::default()
            },
        )
        .await
        .unwrap();
    client.send("a", "bob", "hello").await;
    let third = accepted(&mut client).await;
    assert!(!third.repeated && third.message != first.message);

    let journal = control.journal(Some("ada")).await.unwrap();
    assert_eq!(journal.len(), 3);
    assert_eq!(
        journal[0].outcome,
        SentOutcome::Accepted {
            message: first.message.clone()
        }
    );
    assert_eq!(
        journal[1].outcome,
        SentOutcome::Repeated {
            message: first.message.clone()
        }
    );
    assert_eq!(
        journal[2].outcome,
        SentOutcome::Doubled {
            message: third.message,
            before: first.message
        }
    );
    let counters = control.counters().await.unwrap();
    assert_eq!(
        (
            counters.sends,
            counters.messages,
            counters.repeated,
            counters.doubled
        ),
        (3, 2, 1, 1)
    );
}

#[tokio::test]
async fn every_sample_arrives() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    for kind in samples::KINDS {
        let id = control.inject_sample("ada", kind).await.unwrap();
        let event = client.hear_event().await;
        assert_eq!(event.id, id, "{kind}");
        let wanted = samples::sample(kind).unwrap();
        assert_eq!(
            std::mem::discriminant(&event.body),
            std::mem::discriminant(&wanted),
            "{kind}"
        );
        if let Body::Message(message) = &event.body {
            assert!(!message.id.is_empty() && !message.kind.is_empty(), "{kind}");
        }
    }
    assert!(control.inject_sample("ada", "no-such-kind").await.is_err());
}

#[tokio::test]
async fn stopping_says_goodbye() {
    let (simulator, _control) = start(Behaviour::default()).await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    Simulator::stop(simulator).await;
    assert_eq!(client.hear().await, ServerFrame::Bye {});
    client.hear_end().await;
}
