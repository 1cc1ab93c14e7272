//! What one endpoint has to tell storage, gathered into batches: one transaction carries the
//! detours together with the cursor that passes them.

use crate::domain::endpoint::{Attempt, Detour};
use crate::domain::{EndpointId, PartitionId};
use crate::storage::DeliveryProgress;
use crate::storage::lease::Epochs;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub struct Progress {
    /// The last word on each row.
    rows: BTreeMap<(PartitionId, u64), Option<Detour>>,
    attempts: Vec<Attempt>,
}

impl Progress {
    pub fn put(&mut self, detour: Detour) {
        self.rows
            .insert((detour.partition, detour.offset), Some(detour));
    }

    pub fn done(&mut self, partition: PartitionId, offset: u64) {
        self.rows.insert((partition, offset), None);
    }

    pub fn attempted(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.attempts.is_empty()
    }

    pub fn len(&self) -> usize {
        self.rows.len() + self.attempts.len()
    }

    pub fn attempts(&self) -> usize {
        self.attempts.len()
    }

    pub fn take(
        &mut self,
        endpoint: &EndpointId,
        cursors: Vec<(PartitionId, u64)>,
        epochs: &Epochs,
    ) -> DeliveryProgress {
        let about: BTreeSet<PartitionId> = (cursors.iter().map(|(partition, _)| *partition))
            .chain(self.rows.keys().map(|(partition, _)| *partition))
            .collect();
        let mut batch = DeliveryProgress {
            // One that is not ours has no epoch, and epoch 0 is nobody's.
            epochs: (about.into_iter())
                .map(|partition| (partition, epochs.of(partition).unwrap_or_default()))
                .collect(),
            cursors: cursors
                .into_iter()
                .map(|(partition, offset)| (endpoint.clone(), partition, offset))
                .collect(),
            attempts: std::mem::take(&mut self.attempts),
            ..DeliveryProgress::default()
        };
        for ((partition, offset), row) in std::mem::take(&mut self.rows) {
            match row {
                Some(detour) => batch.detours.push(detour),
                None => batch.done.push((endpoint.clone(), partition, offset)),
            }
        }
        batch
    }
}
