use std::time::{Duration, Instant};

use anyport_simulator::protocol::{ClientFrame, Fault, ServerFrame};
use anyport_simulator::{Behaviour, Garbage};
use tokio::io::AsyncWriteExt;

use crate::{Client, PATIENCE, start};

#[tokio::test]
async fn sends_are_refused_as_often_as_asked() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    let fault = Fault {
        retry_after_ms: Some(1_500),
        ..Fault::new("rate-limited", "too fast")
    };
    control.refuse("ada", 1, fault.clone()).await.unwrap();
    client.send("a", "bob", "hello").await;
    assert_eq!(
        client.hear().await,
        ServerFrame::Rejected {
            token: "a".to_owned(),
            error: fault
        }
    );
    client.send("a", "bob", "hello").await;
    assert!(matches!(client.hear().await, ServerFrame::Accepted(accepted) if !accepted.repeated));
    assert_eq!(control.counters().await.unwrap().refused, 1);
}

#[tokio::test]
async fn an_answer_gets_lost_after_the_message_was_made() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, session) = Client::signed_in(&simulator, "ada").await;
    control.lose_answers("ada", 1).await.unwrap();
    client.send("a", "bob", "hello").await;
    client.hear_end().await;
    let mut client = Client::hello(&simulator, "ada", &session).await;
    client.send("a", "bob", "hello").await;
    assert!(matches!(client.hear().await, ServerFrame::Accepted(accepted) if accepted.repeated));
    assert_eq!(control.counters().await.unwrap().messages, 1);
}

#[tokio::test]
async fn the_connection_drops_after_some_frames_and_on_command() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, session) = Client::signed_in(&simulator, "ada").await;
    control.drop_after("ada", 2).await.unwrap();
    client.say(&ClientFrame::Ping("1".to_owned())).await;
    client.hear().await;
    client.say(&ClientFrame::Ping("2".to_owned())).await;
    client.hear_end().await;

    let mut client = Client::hello(&simulator, "ada", &session).await;
    assert_eq!(control.drop_connections(None).await.unwrap(), 1);
    client.hear_end().await;
    control
        .wait_for(None, PATIENCE, |counters| counters.connections == 0)
        .await
        .unwrap();
}

#[tokio::test]
async fn answers_are_late_or_never_come() {
    let (simulator, mut control) = start(Behaviour {
        answer_delay_ms: 80,
        ..Behaviour::default()
    })
    .await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    let asked = Instant::now();
    client.send("a", "bob", "1").await;
    client.send("b", "bob", "2").await;
    for token in ["a", "b"] {
        assert!(
            matches!(client.hear().await, ServerFrame::Accepted(accepted) if accepted.token == token)
        );
    }
    assert!(asked.elapsed() >= Duration::from_millis(80));

    control
        .configure(
            None,
            Behaviour {
                never_answer: true,
                ..Behaviour::default()
            },
        )
        .await
        .unwrap();
    client.send("c", "bob", "3").await;
    client.say(&ClientFrame::Ping("after".to_owned())).await;
    assert_eq!(client.hear().await, ServerFrame::Pong("after".to_owned()));
    assert_eq!(control.counters().await.unwrap().messages, 3);
}

#[tokio::test]
async fn a_slow_reader_takes_one_frame_at_a_time() {
    let (simulator, mut control) = start(Behaviour {
        read_delay_ms: 60,
        ..Behaviour::default()
    })
    .await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    let asked = Instant::now();
    for token in ["a", "b", "c"] {
        client.send(token, "bob", "hello").await;
    }
    for _ in 0..3 {
        client.hear().await;
    }
    assert!(asked.elapsed() >= Duration::from_millis(120));
    assert_eq!(control.counters().await.unwrap().messages, 3);
}

#[tokio::test]
async fn garbage_is_sent_and_survived() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, session) = Client::signed_in(&simulator, "ada").await;
    for garbage in [Garbage::NotJson, Garbage::Unknown] {
        control.send_garbage("ada", garbage).await.unwrap();
        let frame = client.hear_bytes().await.unwrap();
        assert!(serde_json::from_slice::<ServerFrame>(&frame).is_err());
    }
    control
        .send_garbage("ada", Garbage::HalfFrame)
        .await
        .unwrap();
    client.hear_end().await;

    let mut client = Client::hello(&simulator, "ada", &session).await;
    client.stream.write_all(b"\0\0\0\x03{x}").await.unwrap();
    assert!(matches!(client.hear().await, ServerFrame::Refused(_)));
    client.stream.write_all(&[0xff; 8]).await.unwrap();
    assert!(matches!(client.hear().await, ServerFrame::Refused(_)));
    client.hear_end().await;
}
