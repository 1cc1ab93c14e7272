//! Cursors of the event log: one offset per partition, opaque to clients and versioned.

use crate::domain::PartitionId;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const VERSION: u8 = 1;
const PARTITIONS: usize = PartitionId::COUNT as usize;

/// How far a reader has read: every event up to and with the offset of its partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub offsets: [u64; PARTITIONS],
    /// The partition to read first next time, so that none has to wait for ever.
    pub turn: u8,
}

impl Position {
    pub const START: Self = Self {
        offsets: [0; PARTITIONS],
        turn: 0,
    };

    /// Behind everything that is there; `heads` from storage.
    pub fn at(heads: &[u64]) -> Self {
        let mut position = Self::START;
        for (offset, head) in position.offsets.iter_mut().zip(heads) {
            *offset = *head;
        }
        position
    }

    pub fn of(&self, partition: PartitionId) -> u64 {
        self.offsets[usize::from(partition.0) % PARTITIONS]
    }

    pub fn set(&mut self, partition: PartitionId, offset: u64) {
        self.offsets[usize::from(partition.0) % PARTITIONS] = offset;
    }

    /// Does it name events that the log does not have?
    pub fn is_ahead_of(&self, heads: &[u64]) -> bool {
        self.offsets
            .iter()
            .zip(heads)
            .any(|(offset, head)| offset > head)
    }

    /// A byte of version, a byte of turn, 64 LEB128 numbers; base64url.
    pub fn encode(&self) -> String {
        let mut bytes = vec![VERSION, self.turn];
        for offset in self.offsets {
            let mut rest = offset;
            while rest >= 0x80 {
                bytes.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let [VERSION, turn, rest @ ..] = bytes.as_slice() else {
            return None;
        };
        let mut position = Self {
            turn: *turn,
            ..Self::START
        };
        if position.turn >= PartitionId::COUNT {
            return None;
        }
        let mut rest = rest.iter();
        for offset in &mut position.offsets {
            let mut shift = 0;
            loop {
                let byte = *rest.next()?;
                if shift > 56 {
                    return None;
                }
                *offset |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
        }
        rest.next().is_none().then_some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_the_round_trip() {
        let mut position = Position::START;
        position.turn = 63;
        for (index, offset) in position.offsets.iter_mut().enumerate() {
            *offset = (1u64 << (index % 50)) + index as u64;
        }
        assert_eq!(Position::decode(&position.encode()), Some(position));
    }

    #[test]
    fn damaged_cursors_are_refused() {
        let good = Position::START.encode();
        let mut other_version = URL_SAFE_NO_PAD.decode(&good).unwrap();
        other_version[0] = 2;
        for bad in [
            "",
            "x",
            "!!",
            &good[..good.len() - 4],
            &format!("{good}AAAA"),
            &URL_SAFE_NO_PAD.encode(other_version),
            &URL_SAFE_NO_PAD.encode([&[1, 0][..], &[0xff; 300]].concat()),
        ] {
            assert_eq!(Position::decode(bad), None, "{bad}");
        }
    }
}
