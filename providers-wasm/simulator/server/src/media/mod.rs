//! The channel's media. What came up lies in files of a directory that goes with the server; what is
//! made up is never anywhere as a whole. Over which way bytes come and go is not its matter.

mod uploads;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tempfile::TempDir;

use crate::limits;
use crate::model::{Avatar, Medium};
use crate::protocol::Fault;
use crate::samples;
use crate::transfer::{Fetch, Piece, Upload, Uploaded};
use uploads::Uploads;

/// Pictures that the first day's people and groups have.
pub(crate) const SEEDED_AVATARS: [&str; 2] = ["simulator:grace.png", "simulator:lab.png"];
const SEEDED_AVATAR_BYTES: u64 = 4_096;

pub(crate) struct Media {
    directory: OnceLock<TempDir>,
    kept: Mutex<HashMap<String, Kept>>,
    uploads: Mutex<Uploads>,
}

#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) medium: Medium,
    /// None: made up.
    pub(crate) file: Option<PathBuf>,
}

impl Media {
    /// With the media that seeds and samples name.
    pub(crate) fn new() -> Self {
        let media = Self {
            directory: OnceLock::new(),
            kept: Mutex::default(),
            uploads: Mutex::default(),
        };
        for id in SEEDED_AVATARS {
            media.make_up(id.to_owned(), SEEDED_AVATAR_BYTES, "image/png".to_owned());
        }
        for sample in samples::media() {
            media.keep(sample, None);
        }
        media
    }

    /// Where the bytes of this medium are to lie.
    pub(crate) fn path(&self, id: &str) -> io::Result<PathBuf> {
        if let Some(directory) = self.directory.get() {
            return Ok(directory.path().join(id));
        }
        let made = TempDir::new()?;
        Ok(self.directory.get_or_init(|| made).path().join(id))
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep(&self, medium: Medium, file: Option<PathBuf>) {
        self.all().insert(medium.id.clone(), Kept { medium, file });
    }

    pub(crate) fn get(&self, id: &str) -> Result<Kept, Fault> {
        let kept = self.all().get(id).cloned();
        kept.ok_or_else(|| Fault::new("not-found", "there is no such medium"))
    }

    pub(crate) fn medium(&self, id: &str) -> Option<Medium> {
        self.get(id).ok().map(|kept| kept.medium)
    }

    /// So many bytes, which are [`generated`] as they are asked for.
    pub(crate) fn make_up(&self, id: String, size: u64, mime: String) -> Medium {
        let medium = Medium {
            id,
            size,
            mime,
            filename: None,
            sha256: String::new(),
        };
        self.keep(medium.clone(), None);
        medium
    }

    /// This medium as somebody's picture.
    pub(crate) fn avatar(&self, id: &str) -> Result<Avatar, Fault> {
        let Medium { id, mime, size, .. } = self.get(id)?.medium;
        if !mime.starts_with("image/") {
            return Err(Fault::new("invalid", "an avatar is an image"));
        }
        if size > limits::AVATAR_BYTES {
            let most = limits::AVATAR_BYTES;
            let message = format!("an avatar has at most {most} bytes, not {size}");
            return Err(Fault::new("invalid", message));
        }
        Ok(Avatar { id, mime, size })
    }

    /// `id`: of the medium, if this piece is the first of a new one.
    pub(crate) fn upload(&self, user: &str, piece: Upload, id: String) -> Result<Uploaded, Fault> {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.take(self, user, piece, id)
    }

    pub(crate) fn piece(&self, asked: &Fetch) -> Result<Piece, Fault> {
        let Kept { medium, file } = self.get(&asked.medium)?;
        let length = u64::from(asked.length.min(limits::PIECE_BYTES));
        let length = medium.size.saturating_sub(asked.offset).min(length) as usize;
        let data = match file {
            None => generated(asked.offset, length),
            Some(path) => read(path, asked.offset, length).map_err(|error| not_kept(&error))?,
        };
        Ok(Piece {
            medium: medium.id,
            offset: asked.offset,
            total: medium.size,
            mime: medium.mime,
            filename: medium.filename,
            data,
        })
    }
}

/// What stands at this offset of a medium that is made up.
pub fn generated(offset: u64, length: usize) -> Vec<u8> {
    (offset..)
        .take(length)
        .map(|at| (at.wrapping_mul(31) ^ (at >> 9)) as u8)
        .collect()
}

fn read(path: PathBuf, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn too_large() -> Fault {
    let most = limits::MEDIA_BYTES;
    Fault::new("invalid", format!("a medium has at most {most} bytes"))
}

pub(crate) fn not_kept(error: &io::Error) -> Fault {
    let message = format!("the medium was not kept: {error}");
    Fault::new("unavailable", message)
}
