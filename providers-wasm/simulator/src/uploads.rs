//! Media on their way up, one piece at a time: the channel says how much of a medium it has, the host
//! reads the piece behind that, and the piece goes up, until the channel has it all. Only names and
//! offsets are kept, never bytes.

use std::collections::VecDeque;

use anyport_sdk::model::{Attachment, Content};
use anyport_sdk::types::Error;
use anyport_sdk::{blobs, replies};
use anyport_simulator::limits;
use anyport_simulator::protocol::ClientFrame;
use anyport_simulator::request::Ask;
use anyport_simulator::transfer::{Upload as Piece, Uploaded};
use serde::{Deserialize, Serialize};

use crate::connection::say;
use crate::state::{Phase, State};

/// The label of the one read.
pub const READ: &str = "upload";
/// Media that may wait, those of sends and pictures together.
const MOST: usize = 50;
/// Pictures among them. Their requests must fit into a snapshot.
const MOST_PICTURES: usize = 10;
/// Answers in a row after which the channel has no more than before.
const MOST_STUCK: u8 = 3;

/// A blob that is to become a medium of the channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// By which the channel knows what came of it: the request and a number, the same whenever the
    /// host calls again.
    pub name: String,
    pub blob: String,
    /// Bytes.
    pub total: u64,
    pub mime: Option<String>,
    pub filename: Option<String>,
    /// The channel's id, when it has all of it.
    pub medium: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Uploads {
    pictures: VecDeque<Picture>,
    current: Option<Current>,
}

/// A request that waits for its picture.
#[derive(Debug, Serialize, Deserialize)]
struct Picture {
    request: String,
    upload: Upload,
    ask: Ask,
}

#[derive(Debug, Serialize, Deserialize)]
struct Current {
    name: String,
    step: Step,
    /// Pieces in a row that did not count.
    stuck: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Step {
    /// How much is there.
    Asked,
    /// The host reads the piece at this offset.
    Reading(u64),
    /// This piece has left.
    Said(u64),
}

impl Upload {
    fn new(name: String, blob: String, most: u64) -> Result<Self, Error> {
        let info = blobs::stat(&blob)?;
        if info.size > most {
            let size = info.size;
            let message = format!("the medium has {size} bytes, the channel takes {most}");
            return Err(Error::invalid(message));
        }
        Ok(Self {
            name,
            blob,
            total: info.size,
            mime: info.mime,
            filename: info.filename,
            medium: None,
        })
    }

    /// Bytes that it takes in a snapshot, beside its fixed parts.
    pub fn weight(&self) -> usize {
        const MEDIUM: usize = 64;
        let texts = [&self.mime, &self.filename].into_iter().flatten();
        self.name.len() + self.blob.len() + MEDIUM + texts.map(String::len).sum::<usize>()
    }
}

/// What of this content must go up first. Takes the blobs out of it.
pub fn of(request: &str, content: &mut Content) -> Result<Vec<Upload>, Error> {
    let Content::Media(media) = content else {
        return Ok(Vec::new());
    };
    if media.attachments.len() > limits::ATTACHMENTS {
        let most = limits::ATTACHMENTS;
        return Err(Error::invalid(format!(
            "a message has at most {most} media"
        )));
    }
    let mut uploads = Vec::new();
    for (number, attachment) in media.attachments.iter_mut().enumerate() {
        if let Some(blob) = attachment.blob.take() {
            let name = format!("{request}/{number}");
            uploads.push(of_attachment(name, blob, attachment)?);
        } else if attachment.reference.is_none() {
            return Err(Error::invalid("an attachment has no bytes"));
        }
    }
    Ok(uploads)
}

/// What the client says of it counts more than what the host found.
fn of_attachment(name: String, blob: String, given: &mut Attachment) -> Result<Upload, Error> {
    let kind = &given.kind;
    let most = limits::media_bytes(kind)
        .ok_or_else(|| Error::unsupported(format!("the channel has no `{kind}`")))?;
    let mut upload = Upload::new(name, blob, most)?;
    given.reference = None;
    given.size = Some(upload.total);
    upload.mime = given.mime.clone().or(upload.mime);
    upload.filename = given.filename.clone().or(upload.filename);
    given.mime.clone_from(&upload.mime);
    given.filename.clone_from(&upload.filename);
    Ok(upload)
}

impl State {
    pub fn has_room_for_uploads(&self, more: usize) -> Result<(), Error> {
        if self.outbox.media() + self.uploads.pictures.len() + more > MOST {
            return Err(Error::unavailable("too many media wait to be uploaded"));
        }
        Ok(())
    }

    fn has_room_for_a_picture(&self) -> Result<(), Error> {
        if self.uploads.pictures.len() >= MOST_PICTURES {
            return Err(Error::unavailable("too many pictures wait to be uploaded"));
        }
        self.has_room_for_uploads(1)
    }

    /// Asks it with the picture's medium, when the picture is there.
    pub fn ask_with_picture(
        &mut self,
        request: String,
        blob: String,
        ask: Ask,
    ) -> Result<(), Error> {
        let refused = self.refuses_requests().map_or(Ok(()), Err);
        let upload = refused
            .and_then(|()| self.has_room_for_a_picture())
            .and_then(|()| Upload::new(format!("{request}/0"), blob, limits::AVATAR_BYTES));
        match upload {
            Ok(upload) => {
                let picture = Picture {
                    request,
                    upload,
                    ask,
                };
                self.uploads.pictures.push_back(picture);
                self.go_up();
            }
            Err(error) => replies::failed(&request, &error.not_done()),
        }
        Ok(())
    }

    /// The next one begins, unless one is under way.
    pub fn go_up(&mut self) {
        if !matches!(self.phase, Phase::Online) || self.uploads.current.is_some() {
            return;
        }
        // Somebody waits for a picture.
        let pictures = self.uploads.pictures.front();
        let next = pictures
            .map(|picture| &picture.upload)
            .or_else(|| self.outbox.next_upload());
        if let Some(upload) = next {
            let name = upload.name.clone();
            say_piece(upload, 0, Vec::new());
            self.uploads.current = Some(Current {
                name,
                step: Step::Asked,
                stuck: 0,
            });
        }
        self.watch_media();
    }

    fn upload(&self, name: &str) -> Option<&Upload> {
        let pictures = self.uploads.pictures.iter();
        pictures
            .map(|picture| &picture.upload)
            .find(|upload| upload.name == name)
            .or_else(|| self.outbox.upload(name))
    }

    pub fn uploaded(&mut self, answer: Uploaded) {
        let Uploaded {
            upload,
            received,
            medium,
        } = answer;
        let Some(current) = self.uploads.current_mut(&upload) else {
            return;
        };
        if let Some(medium) = medium {
            return self.is_up(&upload, medium.id);
        }
        match current.step {
            // An answer to an instance that is gone.
            Step::Reading(_) => return,
            Step::Said(at) if received <= at => current.stuck += 1,
            Step::Asked | Step::Said(_) => current.stuck = 0,
        }
        let stuck = current.stuck >= MOST_STUCK;
        current.step = Step::Reading(received);
        let Some(wanted) = self.upload(&upload) else {
            self.uploads.current = None;
            return self.go_up();
        };
        if stuck || received >= wanted.total {
            let error = Error::unavailable("the channel does not take the medium");
            return self.upload_failed(&upload, error);
        }
        read(wanted, received);
        self.watch_media();
    }

    /// What was asked to be read has come.
    pub fn blob_read(&mut self, outcome: Result<Vec<u8>, Error>) {
        let Some(current) = &mut self.uploads.current else {
            return;
        };
        let Step::Reading(at) = current.step else {
            return;
        };
        let name = current.name.clone();
        let bytes = match outcome {
            Ok(bytes) if bytes.is_empty() => {
                let error = Error::internal("the blob is shorter than it was");
                return self.upload_failed(&name, error);
            }
            Ok(bytes) => bytes,
            Err(error) => return self.upload_failed(&name, error),
        };
        current.step = Step::Said(at);
        match self.upload(&name) {
            Some(upload) => say_piece(upload, at, bytes),
            None => {
                self.uploads.current = None;
                self.go_up();
            }
        }
        self.watch_media();
    }

    fn is_up(&mut self, name: &str, medium: String) {
        self.uploads.current = None;
        match self.uploads.take_picture(name) {
            Some(picture) => {
                let ask = with_avatar(picture.ask, medium);
                self.ask_now(picture.request, ask);
            }
            None => {
                self.outbox.uploaded(name, medium);
                self.send_ready();
            }
        }
        self.go_up();
    }

    pub fn upload_denied(&mut self, name: &str, error: Error) {
        if self.uploads.current_mut(name).is_some() {
            self.upload_failed(name, error);
        }
    }

    /// What it was for was not done; what waited behind it goes on.
    fn upload_failed(&mut self, name: &str, error: Error) {
        self.uploads.current = None;
        let request = match self.uploads.take_picture(name) {
            Some(picture) => Some(picture.request),
            None => self.outbox.remove_with(name),
        };
        if let Some(request) = request {
            replies::failed(&request, &error.not_done());
        }
        self.send_ready();
        self.go_up();
    }

    /// For an instance that goes on with the connection: whether the read is still under way is the
    /// host's secret.
    pub fn read_again(&self) {
        let Some(current) = &self.uploads.current else {
            return;
        };
        if let (Step::Reading(at), Some(upload)) = (current.step, self.upload(&current.name)) {
            read(upload, at);
        }
    }
}

impl Uploads {
    fn current_mut(&mut self, name: &str) -> Option<&mut Current> {
        self.current.as_mut().filter(|current| current.name == name)
    }

    fn take_picture(&mut self, name: &str) -> Option<Picture> {
        let pictures = &mut self.pictures;
        let index = pictures
            .iter()
            .position(|picture| picture.upload.name == name)?;
        pictures.remove(index)
    }

    pub fn is_idle(&self) -> bool {
        self.current.is_none()
    }

    pub fn wait_for_the_channel(&self) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|current| !matches!(current.step, Step::Reading(_)))
    }

    /// What is under way is asked about anew. Pictures are given up: who wants one is there, and asks
    /// again.
    pub fn link_lost(&mut self) {
        self.fail_all(&Error::unavailable(
            "the connection closed before the picture was uploaded",
        ));
    }

    pub fn fail_all(&mut self, reason: &Error) {
        self.current = None;
        for picture in self.pictures.drain(..) {
            replies::failed(&picture.request, &reason.clone().not_done());
        }
    }
}

fn say_piece(upload: &Upload, offset: u64, data: Vec<u8>) {
    say(&ClientFrame::Upload(Piece {
        upload: upload.name.clone(),
        offset,
        total: upload.total,
        mime: upload.mime.clone(),
        filename: upload.filename.clone(),
        data,
    }));
}

fn read(upload: &Upload, offset: u64) {
    let left = upload.total.saturating_sub(offset);
    let length = left.min(u64::from(limits::PIECE_BYTES)) as u32;
    blobs::submit_read(READ, &upload.blob, offset, length);
}

fn with_avatar(ask: Ask, medium: String) -> Ask {
    match ask {
        Ask::SetGroupInfo {
            id,
            name,
            description,
            ..
        } => Ask::SetGroupInfo {
            id,
            name,
            description,
            avatar: Some(medium),
        },
        Ask::SetProfile { name, about, .. } => Ask::SetProfile {
            name,
            about,
            avatar: Some(medium),
        },
        other => other,
    }
}
