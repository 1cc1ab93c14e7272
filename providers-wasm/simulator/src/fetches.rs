//! Media on their way down, one piece of one medium at a time, into a blob in the making.

use std::collections::VecDeque;

use anyport_sdk::types::Error;
use anyport_sdk::{blobs, replies, timers, turn};
use anyport_simulator::limits;
use anyport_simulator::protocol::ClientFrame;
use anyport_simulator::transfer::{Fetch, Piece};
use serde::{Deserialize, Serialize};

use crate::connection::say;
use crate::state::{Phase, State};

/// The label of the one blob in the making.
const MAKING: &str = "fetch";
/// The timer that says when nothing has moved for too long, on either way.
pub const STALLED: &str = "media";
/// For so long a fetch waits for a link that was lost, and a piece for its answer.
const PATIENCE_MS: u64 = 15_000;
const MOST: usize = 16;
/// What a host takes as a file's name.
const NAME_BYTES: usize = 1_024;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Fetches {
    /// The first one is under way.
    queue: VecDeque<Fetching>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Fetching {
    request: String,
    medium: String,
    /// So much of it is in the blob.
    offset: u64,
}

impl State {
    pub fn fetch(&mut self, request: String, medium: String) -> Result<(), Error> {
        let refused = match self.phase {
            Phase::SignedOut | Phase::SigningIn(_) | Phase::SigningOut { .. } => {
                Some(Error::unauthenticated("the account is not signed in"))
            }
            _ if self.fetches.queue.len() >= MOST => {
                Some(Error::unavailable("too many media are being fetched"))
            }
            _ if medium.len() > limits::ID_BYTES => {
                Some(Error::not_found("the channel has no medium of such a name"))
            }
            _ => None,
        };
        if let Some(error) = refused {
            replies::failed(&request, &error.not_done());
            return Ok(());
        }
        let first = self.fetches.queue.is_empty();
        self.fetches.queue.push_back(Fetching {
            request,
            medium,
            offset: 0,
        });
        if first {
            self.go_down();
            self.watch_media();
        }
        Ok(())
    }

    /// The next piece is asked for.
    pub fn go_down(&self) {
        if let (Phase::Online, Some(fetching)) = (&self.phase, self.fetches.queue.front()) {
            say(&ClientFrame::Fetch(Fetch {
                medium: fetching.medium.clone(),
                offset: fetching.offset,
                length: limits::PIECE_BYTES,
            }));
        }
    }

    pub fn receive_piece(&mut self, piece: Piece) {
        let fetching = self.fetches.queue.front_mut();
        let Some(fetching) =
            fetching.filter(|it| it.medium == piece.medium && it.offset == piece.offset)
        else {
            return;
        };
        let end = piece.offset + piece.data.len() as u64;
        if piece.data.is_empty() && end < piece.total {
            let error = Error::unavailable("the channel does not give the medium");
            return self.fetch_failed(error);
        }
        if piece.offset == 0 {
            let filename = piece.filename.filter(|name| name.len() <= NAME_BYTES);
            blobs::create(MAKING, Some(&piece.mime), filename.as_deref());
        }
        blobs::append(MAKING, &piece.data);
        fetching.offset = end;
        if end >= piece.total {
            self.fetched();
        }
        self.go_down();
        self.watch_media();
    }

    fn fetched(&mut self) {
        let Some(fetching) = self.fetches.queue.pop_front() else {
            return;
        };
        match blobs::seal(MAKING) {
            Ok(blob) => replies::with_media(&fetching.request, &blob),
            Err(error) => replies::failed(&fetching.request, &error.not_done()),
        }
    }

    pub fn fetch_denied(&mut self, medium: &str, error: Error) {
        let fetching = self.fetches.queue.front();
        if fetching.is_some_and(|fetching| fetching.medium == medium) {
            self.fetch_failed(error);
        }
    }

    /// The one that is under way; the next begins.
    fn fetch_failed(&mut self, error: Error) {
        if let Some(fetching) = self.fetches.queue.pop_front() {
            fetching.fail(error);
        }
        self.go_down();
        self.watch_media();
    }

    /// Tells when nothing moves any more from here on.
    pub fn watch_media(&self) {
        if self.uploads.is_idle() && self.fetches.queue.is_empty() {
            timers::cancel(STALLED);
        } else {
            timers::set(STALLED, &timers::Spec::at(turn::now() + PATIENCE_MS));
        }
    }

    pub fn media_stalled(&mut self) {
        if !matches!(self.phase, Phase::Online) {
            let down = Error::unavailable("the link to the channel is down");
            return self.fetches.fail_all(&down);
        }
        let silent = Error::unavailable("the channel does not answer");
        let uploads = self.uploads.wait_for_the_channel();
        self.fetch_failed(silent.clone());
        if uploads {
            self.give_up_connection(silent);
        }
    }
}

impl Fetching {
    fn fail(self, error: Error) {
        if self.offset > 0 {
            blobs::discard(MAKING);
        }
        replies::failed(&self.request, &error.not_done());
    }
}

impl Fetches {
    pub fn fail_all(&mut self, reason: &Error) {
        for fetching in self.queue.drain(..) {
            fetching.fail(reason.clone());
        }
    }
}
