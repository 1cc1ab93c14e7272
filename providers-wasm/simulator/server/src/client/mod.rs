//! Control over TCP, with one method per request. For tests and benchmarks.

mod media;
mod play;
mod webhooks;

use std::io;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};

use crate::control::{ControlReply, ControlRequest, Garbage};
use crate::counters::{Counters, LatencySummary};
use crate::journal::SentRecord;
use crate::model::{Body, Content, Message};
use crate::protocol::{ClientFrame, Fault};
use crate::settings::{Behaviour, Traffic};
use crate::wire::{put_json, take_frame};

/// One control connection to a running server.
pub struct ControlClient {
    stream: TcpStream,
    input: BytesMut,
}

impl ControlClient {
    pub async fn connect(server: impl ToSocketAddrs) -> io::Result<Self> {
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let mut hello = BytesMut::new();
        put_json(&mut hello, &ClientFrame::Control {});
        stream.write_all(&hello).await?;
        Ok(Self {
            stream,
            input: BytesMut::new(),
        })
    }

    /// An [`ControlReply::Error`] comes back as an error of kind `InvalidInput`.
    pub async fn call(&mut self, request: &ControlRequest) -> io::Result<ControlReply> {
        let mut bytes = BytesMut::new();
        put_json(&mut bytes, request);
        self.stream.write_all(&bytes).await?;
        loop {
            if let Some(frame) = take_frame(&mut self.input).map_err(io::Error::other)? {
                return match serde_json::from_slice(&frame)? {
                    ControlReply::Error(message) => {
                        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
                    }
                    reply => Ok(reply),
                };
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn done(&mut self, request: ControlRequest) -> io::Result<()> {
        self.call(&request).await.map(drop)
    }

    pub async fn users(&mut self) -> io::Result<Vec<String>> {
        match self.call(&ControlRequest::Users {}).await? {
            ControlReply::Users(users) => Ok(users),
            other => Err(unexpected(&other)),
        }
    }

    pub async fn counters(&mut self) -> io::Result<Counters> {
        self.counters_of(None).await
    }

    pub async fn user_counters(&mut self, user: &str) -> io::Result<Counters> {
        self.counters_of(Some(user.to_owned())).await
    }

    async fn counters_of(&mut self, user: Option<String>) -> io::Result<Counters> {
        match self.call(&ControlRequest::Counters { user }).await? {
            ControlReply::Counters(counters) => Ok(counters),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks until `holds` does; then, or after `patience`, gives back what was counted
    /// last (`Err` of kind `TimedOut` in the second case, with the counters as text).
    pub async fn wait_for(
        &mut self,
        user: Option<&str>,
        patience: Duration,
        mut holds: impl FnMut(&Counters) -> bool,
    ) -> io::Result<Counters> {
        let deadline = Instant::now() + patience;
        loop {
            let asked = Instant::now();
            let counters = self.counters_of(user.map(str::to_owned)).await?;
            if holds(&counters) {
                return Ok(counters);
            }
            if Instant::now() >= deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("still {counters:?}"),
                ));
            }
            // A sum over thousands of users should not be what the server is busy with.
            tokio::time::sleep((asked.elapsed() * 4).max(Duration::from_millis(5))).await;
        }
    }

    pub async fn latency(&mut self) -> io::Result<LatencySummary> {
        match self.call(&ControlRequest::Latency {}).await? {
            ControlReply::Latency(summary) => Ok(summary),
            other => Err(unexpected(&other)),
        }
    }

    pub async fn reset_latency(&mut self) -> io::Result<()> {
        self.done(ControlRequest::ResetLatency {}).await
    }

    /// All sends of a user, or of all users, in the order they came.
    pub async fn journal(&mut self, user: Option<&str>) -> io::Result<Vec<SentRecord>> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let request = ControlRequest::Journal {
                user: user.map(str::to_owned),
                after,
                limit: 5_000,
            };
            let ControlReply::Journal(page) = self.call(&request).await? else {
                return Err(io::Error::other("the server answered something else"));
            };
            let Some(last) = page.last() else {
                return Ok(all);
            };
            after = last.n;
            all.extend(page);
        }
    }

    /// Ids of the events that were acknowledged, which are also their emission keys.
    pub async fn acknowledged(&mut self, user: &str) -> io::Result<Vec<String>> {
        self.events(&ControlRequest::Acknowledged {
            user: user.to_owned(),
        })
        .await
    }

    pub async fn unacknowledged(&mut self, user: &str) -> io::Result<Vec<String>> {
        self.events(&ControlRequest::Unacknowledged {
            user: user.to_owned(),
        })
        .await
    }

    async fn events(&mut self, request: &ControlRequest) -> io::Result<Vec<String>> {
        match self.call(request).await? {
            ControlReply::Events(ids) => Ok(ids),
            other => Err(unexpected(&other)),
        }
    }

    /// Returns the event's id.
    pub async fn inject(&mut self, user: &str, body: Body) -> io::Result<String> {
        self.injected(&ControlRequest::Inject {
            user: user.to_owned(),
            body: Box::new(body),
        })
        .await
    }

    pub async fn inject_sample(&mut self, user: &str, kind: &str) -> io::Result<String> {
        self.injected(&ControlRequest::InjectSample {
            user: user.to_owned(),
            kind: kind.to_owned(),
        })
        .await
    }

    pub async fn inject_text(
        &mut self,
        user: &str,
        conversation: &str,
        text: &str,
    ) -> io::Result<String> {
        let message = Message {
            conversation: conversation.to_owned(),
            sender: conversation.to_owned(),
            content: Content::text(text),
            ..Message::default()
        };
        self.inject(user, Body::Message(message)).await
    }

    async fn injected(&mut self, request: &ControlRequest) -> io::Result<String> {
        match self.call(request).await? {
            ControlReply::Injected(id) => Ok(id),
            other => Err(unexpected(&other)),
        }
    }

    pub async fn behaviour(&mut self, user: Option<&str>) -> io::Result<Behaviour> {
        match self
            .call(&ControlRequest::Behaviour {
                user: user.map(str::to_owned),
            })
            .await?
        {
            ControlReply::Behaviour(behaviour) => Ok(behaviour),
            other => Err(unexpected(&other)),
        }
    }

    /// None: what all users without behaviour of their own do.
    pub async fn configure(&mut self, user: Option<&str>, behaviour: Behaviour) -> io::Result<()> {
        self.done(ControlRequest::Configure {
            user: user.map(str::to_owned),
            behaviour,
        })
        .await
    }

    pub async fn set_password(&mut self, user: &str, password: Option<&str>) -> io::Result<()> {
        let password = password.map(str::to_owned);
        self.done(ControlRequest::SetPassword {
            user: user.to_owned(),
            password,
        })
        .await
    }

    /// None: for every user there is.
    pub async fn start_traffic(&mut self, user: Option<&str>, traffic: Traffic) -> io::Result<()> {
        self.done(ControlRequest::StartTraffic {
            user: user.map(str::to_owned),
            traffic,
        })
        .await
    }

    pub async fn stop_traffic(&mut self, user: Option<&str>) -> io::Result<()> {
        self.done(ControlRequest::StopTraffic {
            user: user.map(str::to_owned),
        })
        .await
    }

    pub async fn refuse(&mut self, user: &str, count: u32, fault: Fault) -> io::Result<()> {
        self.done(ControlRequest::Refuse {
            user: user.to_owned(),
            count,
            fault,
        })
        .await
    }

    pub async fn lose_answers(&mut self, user: &str, count: u32) -> io::Result<()> {
        self.done(ControlRequest::LoseAnswers {
            user: user.to_owned(),
            count,
        })
        .await
    }

    pub async fn drop_after(&mut self, user: &str, frames: u32) -> io::Result<()> {
        self.done(ControlRequest::DropAfter {
            user: user.to_owned(),
            frames,
        })
        .await
    }

    pub async fn send_garbage(&mut self, user: &str, garbage: Garbage) -> io::Result<()> {
        self.done(ControlRequest::SendGarbage {
            user: user.to_owned(),
            garbage,
        })
        .await
    }

    /// Returns how many were closed. None: everybody's.
    pub async fn drop_connections(&mut self, user: Option<&str>) -> io::Result<u64> {
        match self
            .call(&ControlRequest::DropConnections {
                user: user.map(str::to_owned),
            })
            .await?
        {
            ControlReply::Count(count) => Ok(count),
            other => Err(unexpected(&other)),
        }
    }

    pub async fn scan(&mut self, user: &str) -> io::Result<()> {
        self.done(ControlRequest::Scan {
            user: user.to_owned(),
        })
        .await
    }

    pub async fn revoke_sessions(&mut self, user: &str) -> io::Result<()> {
        self.done(ControlRequest::RevokeSessions {
            user: user.to_owned(),
            fault: None,
        })
        .await
    }
}

fn unexpected(reply: &ControlReply) -> io::Error {
    io::Error::other(format!("the server answered something else: {reply:?}"))
}
