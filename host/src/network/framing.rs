//! Cuts a stream of bytes into frames, and joins frames into bytes.
//!
//! Owns the unconsumed remainder and nothing else; an empty [`Decoder`] holds no memory on the
//! heap. Never splits or repairs: what cannot be a frame is a [`FrameFault`], and the connection
//! closes on it.

use crate::domain::error::{Failure, FailureCode};
use crate::runtime::port::Framing;

/// What a spec asks for beyond this is cut to it, so that one account's half frame cannot take
/// the host's memory.
pub const MOST_FRAME_BYTES: u32 = 16 * 1024 * 1024;

#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    most: usize,
    remainder: Vec<u8>,
    /// Consumed by `next_frame` and not yet taken out.
    taken: usize,
    /// No line ends before this.
    searched: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    #[error("a frame is longer than {0} bytes, the most this connection takes")]
    TooLong(usize),
    #[error("a length prefix gives a negative length")]
    NegativeLength,
    #[error("a frame to be sent as one line holds a line break")]
    LineBreak,
    #[error("a frame to be sent does not fit its length prefix")]
    Prefix,
    #[error("the framing asked for is not possible: {0}")]
    Spec(&'static str),
}

impl From<FrameFault> for Failure {
    fn from(fault: FrameFault) -> Self {
        let code = match fault {
            FrameFault::TooLong(_) => FailureCode::QuotaExceeded,
            _ => FailureCode::Invalid,
        };
        Self::new(code, fault.to_string())
    }
}

impl Decoder {
    pub fn new(framing: Framing, max_frame_bytes: u32) -> Result<Self, FrameFault> {
        if max_frame_bytes == 0 {
            return Err(FrameFault::Spec("frames of 0 bytes"));
        }
        if let Framing::LengthPrefix { width, .. } = framing
            && !(1..=4).contains(&width)
        {
            return Err(FrameFault::Spec("the prefix has to be 1 to 4 bytes wide"));
        }
        Ok(Self {
            framing,
            most: max_frame_bytes.min(MOST_FRAME_BYTES) as usize,
            remainder: Vec::new(),
            taken: 0,
            searched: 0,
        })
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.remainder.extend_from_slice(bytes);
    }

    pub fn clear(&mut self) {
        self.remainder = Vec::new();
        self.taken = 0;
        self.searched = 0;
    }

    /// Nothing waits, neither a frame nor a part of one.
    pub fn is_empty(&self) -> bool {
        self.taken == self.remainder.len()
    }

    /// The next whole frame. `None`: more bytes are needed.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, FrameFault> {
        let rest = &self.remainder[self.taken..];
        let cut = match self.framing {
            Framing::Raw => (!rest.is_empty())
                .then(|| (0, rest.len().min(self.most), rest.len().min(self.most))),
            Framing::Line => self.line()?,
            Framing::LengthPrefix {
                width,
                big_endian,
                adjust,
                strip,
            } => self.prefixed(usize::from(width), big_endian, adjust, strip)?,
        };
        let Some((start, end, next)) = cut else {
            self.settle();
            return Ok(None);
        };
        let frame = self.remainder[self.taken + start..self.taken + end].to_vec();
        self.taken += next;
        self.searched = self.taken;
        if self.is_empty() {
            self.settle();
        }
        Ok(Some(frame))
    }

    fn line(&mut self) -> Result<Option<(usize, usize, usize)>, FrameFault> {
        let found = self.remainder[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n');
        let rest = &self.remainder[self.taken..];
        let Some(at) = found.map(|at| self.searched + at - self.taken) else {
            self.searched = self.remainder.len();
            // The last byte may be the CR of the ending.
            let without_ending = rest.strip_suffix(b"\r").unwrap_or(rest).len();
            return if without_ending > self.most {
                Err(FrameFault::TooLong(self.most))
            } else {
                Ok(None)
            };
        };
        let line = &rest[..at];
        let length = line.strip_suffix(b"\r").unwrap_or(line).len();
        if length > self.most {
            return Err(FrameFault::TooLong(self.most));
        }
        Ok(Some((0, length, at + 1)))
    }

    fn prefixed(
        &self,
        width: usize,
        big_endian: bool,
        adjust: i32,
        strip: bool,
    ) -> Result<Option<(usize, usize, usize)>, FrameFault> {
        let rest = &self.remainder[self.taken..];
        let Some(prefix) = rest.get(..width) else {
            return Ok(None);
        };
        let add = |value: i64, byte: &u8| value << 8 | i64::from(*byte);
        let value = if big_endian {
            prefix.iter().fold(0, add)
        } else {
            prefix.iter().rev().fold(0, add)
        };
        let body =
            usize::try_from(value + i64::from(adjust)).map_err(|_| FrameFault::NegativeLength)?;
        let start = if strip { width } else { 0 };
        let end = width.saturating_add(body);
        if end - start > self.most {
            return Err(FrameFault::TooLong(self.most));
        }
        Ok((rest.len() >= end).then_some((start, end, end)))
    }

    /// Drops what was consumed, and memory that a burst left behind.
    fn settle(&mut self) {
        self.remainder.drain(..self.taken);
        self.searched -= self.taken;
        self.taken = 0;
        if self.remainder.capacity() > 4096 && self.remainder.len() < self.remainder.capacity() / 4
            || self.remainder.is_empty()
        {
            self.remainder.shrink_to_fit();
        }
    }
}

/// Appends a frame as it leaves. On a fault nothing is appended.
pub fn encode(framing: Framing, frame: &[u8], out: &mut Vec<u8>) -> Result<(), FrameFault> {
    match framing {
        Framing::Raw | Framing::LengthPrefix { strip: false, .. } => out.extend_from_slice(frame),
        Framing::Line => {
            if frame.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
                return Err(FrameFault::LineBreak);
            }
            out.extend_from_slice(frame);
            out.extend_from_slice(b"\r\n");
        }
        Framing::LengthPrefix {
            width,
            big_endian,
            adjust,
            strip: true,
        } => {
            let length = i64::try_from(frame.len()).map_err(|_| FrameFault::Prefix)?;
            let value =
                u64::try_from(length - i64::from(adjust)).map_err(|_| FrameFault::Prefix)?;
            let width = usize::from(width);
            if value >> (8 * width) != 0 {
                return Err(FrameFault::Prefix);
            }
            if big_endian {
                out.extend_from_slice(&value.to_be_bytes()[8 - width..]);
            } else {
                out.extend_from_slice(&value.to_le_bytes()[..width]);
            }
            out.extend_from_slice(frame);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(width: u8, big_endian: bool, adjust: i32, strip: bool) -> Framing {
        Framing::LengthPrefix {
            width,
            big_endian,
            adjust,
            strip,
        }
    }

    fn decode(framing: Framing, most: u32, pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, FrameFault> {
        let mut decoder = Decoder::new(framing, most)?;
        let mut frames = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            while let Some(frame) = decoder.next_frame()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    /// The same frames however the bytes were cut on the way.
    fn check(framing: Framing, bytes: &[u8], expected: &[&[u8]]) {
        for cut in 0..=bytes.len() {
            let frames = decode(framing, 16, &[&bytes[..cut], &bytes[cut..]]).unwrap();
            assert_eq!(frames, expected, "{framing:?} cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(
            decode(framing, 16, &single).unwrap(),
            expected,
            "{framing:?} byte by byte"
        );
    }

    #[test]
    fn lines() {
        check(
            Framing::Line,
            b"one\r\ntwo\n\r\n\nthr\ree\r\nhalf",
            &[b"one", b"two", b"", b"", b"thr\ree"],
        );
        check(
            Framing::Line,
            b"sixteen bytes ok\r\n",
            &[b"sixteen bytes ok"],
        );
        check(Framing::Line, b"a\r\r\n", &[b"a\r"]);
    }

    #[test]
    fn prefixes() {
        let body: &[u8] = b"abc";
        check(
            prefix(1, true, 0, true),
            b"\x03abc\x00\x03abc\x02a",
            &[body, b"", body],
        );
        check(
            prefix(2, true, 0, true),
            b"\x00\x03abc\x00\x03abc\x00",
            &[body, body],
        );
        check(prefix(3, false, 0, true), b"\x03\x00\x00abc", &[body]);
        check(prefix(4, true, -4, true), b"\x00\x00\x00\x07abc", &[body]);
        check(prefix(4, false, 2, true), b"\x01\x00\x00\x00abc", &[body]);
        check(
            prefix(2, true, 0, false),
            b"\x00\x03abc\x00\x00",
            &[b"\x00\x03abc", b"\x00\x00"],
        );
    }

    #[test]
    fn raw_frames_are_never_longer_than_asked_for() {
        assert_eq!(
            decode(Framing::Raw, 4, &[b"abcdefghij"]).unwrap(),
            [&b"abcd"[..], b"efgh", b"ij"]
        );
    }

    #[test]
    fn what_is_too_long_is_seen_before_it_is_there() {
        let long = Err(FrameFault::TooLong(4));
        assert_eq!(decode(Framing::Line, 4, &[b"12345"]), long);
        assert_eq!(decode(Framing::Line, 4, &[b"12345\n"]), long);
        assert_eq!(decode(Framing::Line, 4, &[b"1234\r"]), Ok(vec![]));
        assert_eq!(decode(Framing::Line, 4, &[b"1234\rx"]), long);
        assert_eq!(
            decode(prefix(4, true, 0, true), 4, &[b"\xff\xff\xff\xff"]),
            long
        );
        assert_eq!(decode(prefix(1, true, 0, false), 4, &[b"\x04"]), long);
        assert_eq!(
            decode(prefix(1, true, -2, true), 4, &[b"\x01"]),
            Err(FrameFault::NegativeLength)
        );
        assert_eq!(
            decode(prefix(4, true, i32::MAX, true), 4, &[b"\xff\xff\xff\xff"]),
            long
        );
        assert!(matches!(
            decode(prefix(5, true, 0, true), 4, &[]),
            Err(FrameFault::Spec(_))
        ));
        assert!(matches!(
            decode(Framing::Raw, 0, &[]),
            Err(FrameFault::Spec(_))
        ));
        assert_eq!(
            Failure::from(FrameFault::TooLong(4)).to_string(),
            "quota-exceeded: a frame is longer than 4 bytes, the most this connection takes"
        );
    }

    #[test]
    fn what_leaves_comes_back() {
        for framing in [
            Framing::Line,
            prefix(1, true, 0, true),
            prefix(2, false, -2, true),
            prefix(3, true, 1, true),
            prefix(4, false, -4, true),
        ] {
            let mut bytes = Vec::new();
            encode(framing, b"hello", &mut bytes).unwrap();
            encode(framing, b"x", &mut bytes).unwrap();
            check(framing, &bytes, &[b"hello", b"x"]);
        }
    }

    #[test]
    fn what_cannot_leave() {
        for (framing, frame, fault) in [
            (Framing::Line, &b"a\nQUIT"[..], FrameFault::LineBreak),
            (Framing::Line, b"a\r", FrameFault::LineBreak),
            (prefix(1, true, 0, true), &[0; 256], FrameFault::Prefix),
            (prefix(1, true, 4, true), b"abc", FrameFault::Prefix),
        ] {
            let mut bytes = Vec::new();
            assert_eq!(encode(framing, frame, &mut bytes), Err(fault));
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn an_idle_decoder_holds_no_memory() {
        let mut decoder = Decoder::new(Framing::Line, 1024).unwrap();
        decoder.push(&[b"x".repeat(900), b"\r\n".to_vec()].concat());
        assert!(decoder.next_frame().unwrap().is_some());
        assert_eq!(decoder.remainder.capacity(), 0);
    }
}
