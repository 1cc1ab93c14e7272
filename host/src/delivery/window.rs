//! How far one endpoint has come in each partition: what was read, what of it is still in memory,
//! and the cursor below all of that.

use crate::domain::PartitionId;
use std::collections::BTreeSet;

#[derive(Debug)]
pub struct Window {
    parts: Vec<Part>,
    events: usize,
    bytes: usize,
    /// Where the search for something to read goes on.
    turn: usize,
}

#[derive(Debug, Default)]
struct Part {
    /// Everything up to here was read.
    read: u64,
    /// The cursor as it was last recorded.
    recorded: u64,
    /// Offsets in memory: not delivered and no detours.
    open: BTreeSet<u64>,
}

impl Part {
    fn cursor(&self) -> u64 {
        self.open.first().map_or(self.read, |first| first - 1)
    }
}

impl Window {
    pub fn new(cursors: &[u64]) -> Self {
        let parts = PartitionId::all()
            .map(|partition| {
                let cursor = cursors
                    .get(usize::from(partition.0))
                    .copied()
                    .unwrap_or_default();
                Part {
                    read: cursor,
                    recorded: cursor,
                    open: BTreeSet::new(),
                }
            })
            .collect();
        Self {
            parts,
            events: 0,
            bytes: 0,
            turn: 0,
        }
    }

    /// The next partition that has something to read, and the offset to read after.
    pub fn behind(&mut self, heads: &[u64]) -> Option<(PartitionId, u64)> {
        let count = self.parts.len();
        let index = (0..count)
            .map(|step| (self.turn + step) % count)
            .find(|index| {
                heads
                    .get(*index)
                    .is_some_and(|head| *head > self.parts[*index].read)
            })?;
        self.turn = index + 1;
        Some((PartitionId(index as u8), self.parts[index].read))
    }

    pub fn read_to(&mut self, partition: PartitionId, offset: u64) {
        let part = self.part(partition);
        part.read = part.read.max(offset);
    }

    /// An event comes into memory.
    pub fn open(&mut self, partition: PartitionId, offset: u64, bytes: usize) {
        if self.part(partition).open.insert(offset) {
            self.events += 1;
            self.bytes += bytes;
        }
    }

    /// It leaves memory: settled, or a detour now.
    pub fn close(&mut self, partition: PartitionId, offset: u64, bytes: usize) {
        if self.part(partition).open.remove(&offset) {
            self.events -= 1;
            self.bytes -= bytes;
        }
    }

    pub fn events(&self) -> usize {
        self.events
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn has_moved(&self) -> bool {
        self.parts.iter().any(|part| part.cursor() > part.recorded)
    }

    /// Cursors that moved since the last call; counted as recorded from now on.
    pub fn moved(&mut self) -> Vec<(PartitionId, u64)> {
        PartitionId::all()
            .zip(&mut self.parts)
            .filter_map(|(partition, part)| {
                let cursor = part.cursor();
                (cursor > part.recorded).then(|| {
                    part.recorded = cursor;
                    (partition, cursor)
                })
            })
            .collect()
    }

    /// Events of the partitions, of all workspaces, that lie above the cursors.
    pub fn lag(&self, heads: &[u64]) -> u64 {
        self.parts
            .iter()
            .zip(heads)
            .map(|(part, head)| head.saturating_sub(part.cursor()))
            .sum()
    }

    fn part(&mut self, partition: PartitionId) -> &mut Part {
        let last = self.parts.len() - 1;
        &mut self.parts[usize::from(partition.0).min(last)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId(1);

    #[test]
    fn the_cursor_stays_below_what_is_open() {
        let mut window = Window::new(&[5; 64]);
        assert!(!window.has_moved());
        for offset in 6..=9 {
            window.open(P, offset, 10);
            window.read_to(P, offset);
        }
        assert_eq!((window.events(), window.bytes()), (4, 40));
        window.close(P, 7, 10);
        assert!(!window.has_moved());
        window.close(P, 6, 10);
        assert_eq!(window.moved(), [(P, 7)]);
        assert_eq!(window.moved(), []);
        window.close(P, 9, 10);
        window.close(P, 8, 10);
        window.close(P, 8, 10);
        assert_eq!(window.moved(), [(P, 9)]);
        assert_eq!((window.events(), window.bytes()), (0, 0));
        window.read_to(P, 20);
        assert_eq!(window.moved(), [(P, 20)]);
    }

    #[test]
    fn partitions_take_turns() {
        let mut window = Window::new(&[0; 64]);
        let mut heads = [0; 64];
        assert_eq!(window.behind(&heads), None);
        heads[3] = 2;
        heads[9] = 1;
        assert_eq!(window.lag(&heads), 3);
        assert_eq!(window.behind(&heads), Some((PartitionId(3), 0)));
        window.read_to(PartitionId(3), 1);
        assert_eq!(window.behind(&heads), Some((PartitionId(9), 0)));
        window.read_to(PartitionId(9), 1);
        assert_eq!(window.behind(&heads), Some((PartitionId(3), 1)));
        window.read_to(PartitionId(3), 2);
        assert_eq!(window.behind(&heads), None);
        assert_eq!(window.lag(&heads), 0);
    }
}
