use std::time::Instant;

use anyport_simulator::model::{Body, Content};
use anyport_simulator::{Behaviour, Traffic};

use crate::{Client, PATIENCE, start};

#[tokio::test]
async fn traffic_comes_at_its_rate_with_sequence_numbers() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    let traffic = Traffic {
        rate: 500.0,
        count: Some(50),
        conversations: 3,
        payload: 16,
    };
    let begun = Instant::now();
    control.start_traffic(Some("ada"), traffic).await.unwrap();
    for sequence in 1..=50 {
        let event = client.hear_event().await;
        assert_eq!(event.id, format!("t-{sequence}"));
        let Body::Message(message) = event.body else {
            panic!("{event:?}")
        };
        assert_eq!(message.conversation, format!("traffic-{}", sequence % 3));
        assert_eq!(message.content, Content::text(format!("{:.<16}", sequence)));
    }
    assert!(
        begun.elapsed().as_millis() >= 90,
        "50 messages at 500 a second came in {:?}",
        begun.elapsed()
    );
    let counters = control.user_counters("ada").await.unwrap();
    assert_eq!((counters.generated, counters.unacknowledged), (50, 50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_events_are_acknowledged() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    let count = 20_000;
    let begun = Instant::now();
    control
        .start_traffic(
            Some("ada"),
            Traffic {
                rate: 0.0,
                count: Some(count),
                conversations: 10,
                payload: 100,
            },
        )
        .await
        .unwrap();
    for _ in 0..count {
        let event = client.hear_event().await;
        client.ack(&event).await;
    }
    let counters = control
        .wait_for(None, PATIENCE, |counters| counters.acknowledged == count)
        .await
        .unwrap();
    assert_eq!(
        (
            counters.delivered,
            counters.redelivered,
            counters.unacknowledged
        ),
        (count, 0, 0)
    );
    println!(
        "{count} events in {:?}, {:?}",
        begun.elapsed(),
        control.latency().await.unwrap()
    );
}

#[tokio::test]
async fn many_connections_are_counted() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let mut clients = Vec::new();
    for number in 0..200 {
        clients.push(Client::signed_in(&simulator, &format!("user-{number}")).await);
    }
    assert_eq!(control.counters().await.unwrap().connections, 200);
    control
        .start_traffic(
            None,
            Traffic {
                rate: 100.0,
                count: Some(2),
                ..Traffic::default()
            },
        )
        .await
        .unwrap();
    for (client, _) in &mut clients {
        for _ in 0..2 {
            let event = client.hear_event().await;
            client.ack(&event).await;
        }
    }
    control
        .wait_for(None, PATIENCE, |counters| counters.acknowledged == 400)
        .await
        .unwrap();
    clients.truncate(50);
    control
        .wait_for(None, PATIENCE, |counters| counters.connections == 50)
        .await
        .unwrap();
    assert_eq!(control.users().await.unwrap().len(), 200);
}

/// Needs 19,100 file descriptors and some seconds:
/// `cargo test --release -p anyport-simulator thousands -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs more file descriptors than many machines give"]
async fn thousands_of_connections_are_served() {
    const CONNECTIONS: u64 = 9_500;
    let (simulator, mut control) = start(Behaviour::default()).await;
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..CONNECTIONS {
        let (mut client, _) = Client::signed_in(&simulator, &format!("user-{number}")).await;
        tasks.spawn(async move {
            for _ in 0..10 {
                let event = client.hear_event().await;
                client.ack(&event).await;
            }
            client
        });
    }
    println!("{CONNECTIONS} sign-ins in {:?}", begun.elapsed());
    let begun = Instant::now();
    control
        .start_traffic(
            None,
            Traffic {
                rate: 2.0,
                count: Some(10),
                ..Traffic::default()
            },
        )
        .await
        .unwrap();
    control
        .wait_for(None, PATIENCE, |counters| {
            counters.acknowledged == CONNECTIONS * 10
        })
        .await
        .unwrap();
    println!(
        "ten events each in {:?}, {:?}",
        begun.elapsed(),
        control.latency().await.unwrap()
    );
}
