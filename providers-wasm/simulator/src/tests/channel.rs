//! The provider's logic against the channel itself: frames go over a real connection, blobs are the
//! recorder's.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyport_sdk::model::{Attachment, Media};
use anyport_simulator::{ControlClient, Settings, Simulator, generated};
use simulator_mapping::recorder::{Blob, reads};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::*;
use crate::exports::reactor::BlobRange;
use crate::uploads::READ;

const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    runtime: Runtime,
    simulator: Simulator,
    control: ControlClient,
    state: State,
    link: TcpStream,
    /// What was said of requests.
    replies: Vec<(String, String, String)>,
}

impl World {
    fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let (simulator, control) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let simulator = Simulator::start(listener, Settings::default()).expect("a server");
            let control = ControlClient::connect(simulator.address()).await;
            (simulator, control.expect("control"))
        });
        fresh();
        look(|effects| {
            let session = b"session/before/1/ada".to_vec();
            effects.secrets.insert(SESSION.to_owned(), session);
            effects.kv.insert(USER.to_owned(), b"ada".to_vec());
        });
        let state = start(None, &[]);
        let link = connect(&simulator);
        let mut world = Self {
            runtime,
            simulator,
            control,
            state,
            link,
            replies: Vec::new(),
        };
        world.opened();
        world
    }

    fn opened(&mut self) {
        let opened = Opened {
            name: MAIN.to_owned(),
            subprotocol: None,
            headers: Vec::new(),
        };
        self.wake(Wake::Opened(opened));
    }

    fn wake(&mut self, wake: Wake) {
        self.state.wake(wake).expect("a wake never fails");
        self.replies.extend(replies());
    }

    /// One turn: what was said leaves, and what is to be read, or else the next frame, comes in. The
    /// link that ends is made anew.
    fn turn(&mut self) {
        for frame in frames() {
            let bytes = serde_json::to_vec(&frame).expect("JSON");
            let length = u32::try_from(bytes.len()).expect("short");
            // The end is heard of below.
            let _ = self.link.write_all(&length.to_be_bytes());
            let _ = self.link.write_all(&bytes);
        }
        if let Some((name, blob, offset, length)) = reads().pop() {
            assert_eq!(name, READ);
            let (start, end) = (offset as usize, offset as usize + length as usize);
            let bytes = look(|effects| effects.blobs[&blob].bytes[start..end].to_vec());
            let outcome = Ok(bytes);
            return self.wake(Wake::Blob(BlobRange { name, outcome }));
        }
        match self.hear() {
            Ok(bytes) => {
                let (name, frame) = (MAIN.to_owned(), Frame::Binary(bytes));
                self.wake(Wake::Frame(Received { name, frame }));
            }
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "nothing came");
                close(&mut self.state);
                self.wake(Wake::Reconnect);
                self.link = connect(&self.simulator);
                self.opened();
            }
        }
    }

    fn hear(&mut self) -> std::io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.link.read_exact(&mut length)?;
        let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
        self.link.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// What this request was answered with in the end.
    fn answer(&mut self, request: &str) -> (String, String) {
        loop {
            let settled = self.replies.iter().find(|(name, other, _)| {
                other == request && !["deferred", "dispatched"].contains(&name.as_str())
            });
            if let Some((name, _, with)) = settled {
                return (name.clone(), with.clone());
            }
            self.turn();
        }
    }

    fn drop_after(&mut self, frames: u32) {
        let dropped = self.control.drop_after("ada", frames);
        self.runtime.block_on(dropped).expect("it is armed");
    }
}

fn connect(simulator: &Simulator) -> TcpStream {
    let link = TcpStream::connect(simulator.address()).expect("it listens");
    link.set_read_timeout(Some(PATIENCE)).expect("it can wait");
    link
}

#[test]
fn a_film_goes_up_over_a_link_that_breaks_and_comes_back_as_it_was() {
    let mut world = World::start();
    let bytes = generated(7, 3_000_000);
    let blob = Blob {
        bytes: bytes.clone(),
        mime: Some("video/mp4".to_owned()),
        filename: Some("film.mp4".to_owned()),
    };
    look(|effects| effects.blobs.insert("film".to_owned(), blob));
    let film = Attachment {
        blob: Some("film".to_owned()),
        duration_ms: Some(1_000),
        ..Attachment::new("video")
    };
    let content = Content::Media(Media {
        attachments: vec![film],
        caption: None,
    });
    let film = Outgoing {
        content,
        quote: None,
        ..outgoing(None)
    };
    let text = Outgoing {
        quote: None,
        ..outgoing(None)
    };
    world
        .state
        .send("film".to_owned(), film)
        .expect("it is taken");
    world
        .state
        .send("text".to_owned(), text)
        .expect("it is taken");
    while look(|effects| effects.links.len()) < 2 {
        world.turn();
    }
    world.drop_after(6);
    assert_eq!(world.answer("film").0, "sent");
    assert_eq!(world.answer("text").0, "sent");
    let counted = world.control.user_counters("ada");
    let counted = world.runtime.block_on(counted).expect("it is counted");
    assert_eq!(counted.logins, 2, "the link broke once");
    assert_eq!(counted.uploaded_bytes, bytes.len() as u64, "no byte twice");
    let journal = world.control.journal(Some("ada"));
    let journal = world.runtime.block_on(journal).expect("it is kept");
    let tokens: Vec<_> = journal.iter().map(|sent| sent.token.as_str()).collect();
    assert_eq!(tokens, ["film", "text"]);

    // It came back as an echo, with the same medium.
    let reference = loop {
        let emitted = look(|effects| effects.emissions.clone());
        let echo = emitted
            .into_iter()
            .find_map(|emission| match emission.event {
                anyport_sdk::events::Event::MessageReceived(message) => match message.content {
                    Content::Media(media) => Some(media.attachments[0].clone()),
                    _ => None,
                },
                _ => None,
            });
        match echo {
            Some(echo) => {
                assert_eq!(
                    (echo.kind.as_str(), echo.duration_ms),
                    ("video", Some(1_000))
                );
                assert_eq!(echo.size, Some(bytes.len() as u64));
                break echo.reference.expect("it is referred to");
            }
            None => world.turn(),
        }
    };
    let sent = world.control.sent_media("ada", "film");
    let sent = world.runtime.block_on(sent).expect("it is known");
    assert_eq!(sent[0].id, reference);
    world.drop_after(4);
    world
        .state
        .fetch("fetch".to_owned(), reference)
        .expect("it is taken");
    let (name, blob) = world.answer("fetch");
    assert_eq!(name, "with-media");
    let came = look(|effects| effects.blobs[&blob].clone());
    assert!(came.bytes == bytes);
    assert_eq!(came.mime.as_deref(), Some("video/mp4"));
    assert_eq!(came.filename.as_deref(), Some("film.mp4"));
    let counted = world.control.user_counters("ada");
    let counted = world.runtime.block_on(counted).expect("it is counted");
    assert_eq!(
        (counted.logins, counted.fetched_bytes),
        (3, bytes.len() as u64)
    );
}

#[test]
fn what_the_channel_has_not_is_not_found() {
    let mut world = World::start();
    world
        .state
        .fetch("none".to_owned(), "f-none".to_owned())
        .expect("it is taken");
    world
        .state
        .fetch("sample".to_owned(), "simulator:picture.jpg".to_owned())
        .expect("it is taken");
    let answer = world.answer("none");
    assert_eq!(answer, ("failed".to_owned(), "NotFound NotDone".to_owned()));
    let (_, blob) = world.answer("sample");
    let came = look(|effects| effects.blobs[&blob].clone());
    assert_eq!(came.bytes, generated(0, 12_345));
    assert_eq!(came.filename.as_deref(), Some("picture.jpg"));
}
