//! Media that come up in pieces: what is there of each, by user and the client's own name, so that a
//! client goes on where it was, on whatever connection.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::{Media, not_kept, too_large};
use crate::limits;
use crate::model::Medium;
use crate::protocol::Fault;
use crate::transfer::{Upload, Uploaded};

#[derive(Default)]
pub(super) struct Uploads {
    /// By user, then by the client's name.
    of: HashMap<String, HashMap<String, State>>,
    begun: u64,
}

enum State {
    Partial(Partial),
    Whole(Medium),
}

struct Partial {
    /// Later ones have higher numbers.
    number: u64,
    path: PathBuf,
    digest: Sha256,
    received: u64,
    /// Without its digest.
    medium: Medium,
}

impl Uploads {
    pub(super) fn take(
        &mut self,
        media: &Media,
        user: &str,
        piece: Upload,
        id: String,
    ) -> Result<Uploaded, Fault> {
        check(&piece)?;
        self.begun += 1;
        let number = self.begun;
        let own = self.of.entry(user.to_owned()).or_default();
        // The same name for another medium: a new one.
        if own
            .get(&piece.upload)
            .is_some_and(|state| state.total() != piece.total)
        {
            forget(own, &piece.upload);
        }
        let mut partial = match own.remove(&piece.upload) {
            Some(State::Whole(medium)) => {
                own.insert(piece.upload.clone(), State::Whole(medium.clone()));
                return Ok(whole(piece.upload, medium));
            }
            Some(State::Partial(partial)) => partial,
            None => Partial::new(media, &piece, number, id).map_err(|error| not_kept(&error))?,
        };
        let written = match piece.offset == partial.received {
            true => partial.append(&piece.data),
            false => Ok(()),
        };
        if written.is_ok() && partial.received == piece.total {
            let medium = Medium {
                sha256: hex::encode(partial.digest.finalize()),
                ..partial.medium
            };
            media.keep(medium.clone(), Some(partial.path));
            own.insert(piece.upload.clone(), State::Whole(medium.clone()));
            return Ok(whole(piece.upload, medium));
        }
        let received = partial.received;
        own.insert(piece.upload.clone(), State::Partial(partial));
        forget_oldest(own);
        written.map_err(|error| not_kept(&error))?;
        Ok(Uploaded {
            upload: piece.upload,
            received,
            medium: None,
        })
    }
}

impl State {
    fn total(&self) -> u64 {
        match self {
            Self::Partial(Partial { medium, .. }) | Self::Whole(medium) => medium.size,
        }
    }
}

impl Partial {
    fn new(media: &Media, piece: &Upload, number: u64, id: String) -> io::Result<Self> {
        let mime = piece.mime.clone();
        Ok(Self {
            number,
            path: media.path(&id)?,
            digest: Sha256::new(),
            received: 0,
            medium: Medium {
                id,
                size: piece.total,
                mime: mime.unwrap_or_else(|| "application/octet-stream".to_owned()),
                filename: piece.filename.clone(),
                sha256: String::new(),
            },
        })
    }

    /// What a write that failed has left behind is written over.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.path)?;
        file.seek(SeekFrom::Start(self.received))?;
        file.write_all(bytes)?;
        self.digest.update(bytes);
        self.received += bytes.len() as u64;
        Ok(())
    }
}

fn whole(upload: String, medium: Medium) -> Uploaded {
    Uploaded {
        upload,
        received: medium.size,
        medium: Some(medium),
    }
}

fn check(piece: &Upload) -> Result<(), Fault> {
    let invalid = |message: String| Err(Fault::new("invalid", message));
    if piece.upload.is_empty() || piece.upload.len() > limits::ID_BYTES {
        return invalid(format!(
            "an upload's name has 1 to {} bytes",
            limits::ID_BYTES
        ));
    }
    if piece.total > limits::MEDIA_BYTES {
        return Err(too_large());
    }
    let length = piece.data.len();
    if length > limits::PIECE_BYTES as usize {
        let most = limits::PIECE_BYTES;
        return invalid(format!("a piece has at most {most} bytes, not {length}"));
    }
    let end = piece.offset.checked_add(length as u64);
    if end.is_none_or(|end| end > piece.total) {
        return invalid("the piece reaches over the end of the medium".to_owned());
    }
    Ok(())
}

fn forget(own: &mut HashMap<String, State>, upload: &str) {
    if let Some(State::Partial(partial)) = own.remove(upload) {
        // It may have had no bytes yet.
        let _ = fs::remove_file(&partial.path);
    }
}

fn forget_oldest(own: &mut HashMap<String, State>) {
    let mut unfinished: Vec<_> = own
        .iter()
        .filter_map(|(upload, state)| match state {
            State::Partial(partial) => Some((partial.number, upload.clone())),
            State::Whole(_) => None,
        })
        .collect();
    if unfinished.len() > limits::UNFINISHED_UPLOADS {
        unfinished.sort();
        forget(own, &unfinished[0].1);
    }
}
