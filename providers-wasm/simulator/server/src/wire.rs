//! Frames to bytes and back: four bytes of length, then JSON. Knows no state.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;

use crate::protocol::MAX_FRAME_BYTES;

/// The other side announced a frame above [`MAX_FRAME_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong(pub u32);

impl std::fmt::Display for TooLong {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "a frame of {} bytes is longer than {MAX_FRAME_BYTES}",
            self.0
        )
    }
}

impl std::error::Error for TooLong {}

/// Takes the first whole frame off `input`. None: more bytes are needed.
pub fn take_frame(input: &mut BytesMut) -> Result<Option<Bytes>, TooLong> {
    let Some(prefix) = input.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*prefix);
    if length > MAX_FRAME_BYTES {
        return Err(TooLong(length));
    }
    let length = length as usize;
    if input.len() < 4 + length {
        input.reserve(4 + length - input.len());
        return Ok(None);
    }
    input.advance(4);
    Ok(Some(input.split_to(length).freeze()))
}

/// Appends one frame whose bytes `write` makes.
pub fn put_frame(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    write(out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

pub fn put_json(out: &mut BytesMut, frame: &impl Serialize) {
    put_frame(out, |out| {
        serde_json::to_writer(out.writer(), frame)
            .expect("frames are plain data, and memory takes all");
    });
}
