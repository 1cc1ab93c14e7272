//! The server, seen through raw sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod connection;
mod faults;
mod load;
mod media;
mod requests;
mod sign_in;
mod webhooks;

use std::time::Duration;

use anyport_simulator::protocol::{ClientFrame, Event, Outgoing, ServerFrame, SignInMethod};
use anyport_simulator::wire::{put_json, take_frame};
use anyport_simulator::{Behaviour, ControlClient, Settings, Simulator};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const PATIENCE: Duration = Duration::from_secs(20);

pub async fn start(behaviour: Behaviour) -> (Simulator, ControlClient) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings {
        epoch: Some("t".to_owned()),
        behaviour,
        ..Settings::default()
    };
    let simulator = Simulator::start(listener, settings).unwrap();
    let control = ControlClient::connect(simulator.address()).await.unwrap();
    (simulator, control)
}

/// What a provider is to the server.
pub struct Client {
    pub stream: TcpStream,
    input: BytesMut,
}

impl Client {
    pub async fn connect(simulator: &Simulator) -> Self {
        let stream = TcpStream::connect(simulator.address()).await.unwrap();
        Self {
            stream,
            input: BytesMut::new(),
        }
    }

    /// Signed in by code; returns the session.
    pub async fn signed_in(simulator: &Simulator, user: &str) -> (Self, String) {
        let mut client = Self::connect(simulator).await;
        client
            .say(&sign_in(user, SignInMethod::Code, Some("123456")))
            .await;
        match client.hear().await {
            ServerFrame::SignedIn { session, .. } => (client, session),
            other => panic!("not signed in: {other:?}"),
        }
    }

    pub async fn hello(simulator: &Simulator, user: &str, session: &str) -> Self {
        let mut client = Self::connect(simulator).await;
        client
            .say(&ClientFrame::Hello {
                user: user.to_owned(),
                session: session.to_owned(),
            })
            .await;
        assert!(matches!(client.hear().await, ServerFrame::Welcome { .. }));
        client
    }

    pub async fn say(&mut self, frame: &ClientFrame) {
        let mut bytes = BytesMut::new();
        put_json(&mut bytes, frame);
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub async fn send(&mut self, token: &str, conversation: &str, text: &str) {
        self.say(&ClientFrame::Send(outgoing(token, conversation, text)))
            .await;
    }

    pub async fn ack(&mut self, event: &Event) {
        self.say(&ClientFrame::Ack(event.id.clone())).await;
    }

    pub async fn hear(&mut self) -> ServerFrame {
        let frame = self.hear_bytes().await.expect("the server closed");
        serde_json::from_slice(&frame)
            .unwrap_or_else(|error| panic!("{error}: {:?}", frame.escape_ascii().to_string()))
    }

    pub async fn hear_event(&mut self) -> Event {
        match self.hear().await {
            ServerFrame::Event(event) => event,
            other => panic!("not an event: {other:?}"),
        }
    }

    /// None: the server closed.
    pub async fn hear_bytes(&mut self) -> Option<Vec<u8>> {
        tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(frame) = take_frame(&mut self.input).unwrap() {
                    return Some(frame.to_vec());
                }
                if !matches!(self.stream.read_buf(&mut self.input).await, Ok(1..)) {
                    return None;
                }
            }
        })
        .await
        .expect("the server said nothing")
    }

    pub async fn hear_end(&mut self) {
        while self.hear_bytes().await.is_some() {}
    }
}

pub fn outgoing(token: &str, conversation: &str, text: &str) -> Outgoing {
    Outgoing {
        token: token.to_owned(),
        conversation: conversation.to_owned(),
        content: anyport_simulator::model::Content::text(text),
        quote: None,
        thread: None,
        silent: false,
    }
}

pub fn sign_in(user: &str, method: SignInMethod, value: Option<&str>) -> ClientFrame {
    ClientFrame::SignIn {
        user: user.to_owned(),
        method,
        value: value.map(str::to_owned),
    }
}
