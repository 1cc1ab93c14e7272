//! Faults that tests ask for: what a database does that is away, full, or dies with its answer.

use crate::storage::StorageError;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nothing is written.
    Refuse,
    /// Everything is written and rolled back.
    RollBack,
    /// Everything is committed, the answer is lost.
    LoseAnswer,
}

/// One for each group that comes, none when the list is empty.
#[derive(Debug, Default)]
pub struct Faults {
    next: Mutex<VecDeque<Fault>>,
    groups: AtomicUsize,
}

impl Faults {
    pub fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.extend(faults);
    }

    pub fn left(&self) -> usize {
        self.next
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Groups that were attempted.
    pub fn groups(&self) -> usize {
        self.groups.load(Ordering::SeqCst)
    }

    pub(super) fn begin(&self) -> Result<Fault, StorageError> {
        self.groups.fetch_add(1, Ordering::SeqCst);
        let fault = self
            .next
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
            .unwrap_or(Fault::None);
        fault.unless(Fault::Refuse, fault)
    }
}

impl Fault {
    fn unless<T>(self, fault: Fault, value: T) -> Result<T, StorageError> {
        if self == fault {
            Err(StorageError::Unavailable(format!("test: {self:?}")))
        } else {
            Ok(value)
        }
    }

    pub(super) fn before_commit<T>(self, value: T) -> Result<T, StorageError> {
        self.unless(Self::RollBack, value)
    }

    pub(super) fn after_commit<T>(self, value: T) -> Result<T, StorageError> {
        self.unless(Self::LoseAnswer, value)
    }
}
