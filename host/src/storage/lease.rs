//! Who owns which partition: the lease of a host, as storage gives it and as the process sees it.
//!
//! Storage decides (its own clock, its own epochs); [`Ownership`] is this process's picture of it,
//! asked before every flush. The picture may be too pessimistic, never too optimistic: a lease
//! counts from the moment *before* it was asked for, on a clock that goes on while the process or
//! the machine sleeps. Never extends a lease by itself.

use crate::domain::{AccountId, EndpointId, PartitionId, SendId, WorkspaceId};
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};

const COUNT: usize = PartitionId::COUNT as usize;

/// A partition and the fence under which this host owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub partition: PartitionId,
    pub epoch: u64,
    /// Offset of the partition's last event, 0 when it has none.
    pub head: u64,
}

/// A host on this database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRow {
    /// Of the installation: its data directory's.
    pub instance: String,
    /// For people: the machine's name and where it listens.
    pub name: String,
    pub partitions: u32,
    /// Is it this very process?
    pub this: bool,
    /// Milliseconds that its lease still holds, by the database's clock; 0 when it is over.
    pub lease_ms: u64,
}

/// What one host tells the others. A notice may get lost: whoever acts on one also looks by itself
/// now and then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Partitions were given up.
    Free,
    /// A send was recorded for an account of another host.
    HandOver,
    /// An endpoint was made, changed or deleted.
    Endpoint(EndpointId),
    /// Another provider version became current.
    Providers,
}

impl Notice {
    pub fn to_text(&self) -> String {
        match self {
            Self::Free => "free".to_owned(),
            Self::HandOver => "hand-over".to_owned(),
            Self::Endpoint(id) => format!("endpoint {id}"),
            Self::Providers => "providers".to_owned(),
        }
    }

    /// None: of a newer version.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            None => match text {
                "free" => Some(Self::Free),
                "hand-over" => Some(Self::HandOver),
                "providers" => Some(Self::Providers),
                _ => None,
            },
            Some(("endpoint", id)) => Some(Self::Endpoint(EndpointId::from_text(id))),
            Some(_) => None,
        }
    }
}

/// A send that waits for the owner of its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOver {
    pub send: SendId,
    pub workspace: WorkspaceId,
    pub account: AccountId,
    pub partition: PartitionId,
}

/// The epochs under which this process owns partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs([u64; COUNT]);

impl Epochs {
    pub const NONE: Self = Self([0; COUNT]);

    pub fn of_leases(leases: &[Lease]) -> Self {
        let mut epochs = Self::NONE;
        for lease in leases {
            epochs.0[index(lease.partition)] = lease.epoch;
        }
        epochs
    }

    /// None: not ours.
    pub fn of(&self, partition: PartitionId) -> Option<u64> {
        Some(self.0[index(partition)]).filter(|epoch| *epoch != 0)
    }

    pub fn count(&self) -> usize {
        self.0.iter().filter(|epoch| **epoch != 0).count()
    }

    /// Partitions that are ours here under another epoch than there, or were not ours there.
    pub fn beyond(&self, other: &Self) -> Vec<PartitionId> {
        PartitionId::all()
            .filter(|partition| {
                self.of(*partition)
                    .is_some_and(|epoch| other.of(*partition) != Some(epoch))
            })
            .collect()
    }
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    pub epochs: Epochs,
    /// How often leases that had run out were renewed: what stood still goes on.
    pub revived: u64,
}

/// For `/readyz` and operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnershipState {
    /// Owns partitions; their accounts are being brought back.
    Starting,
    Active {
        partitions: usize,
    },
    /// Owns nothing: another host works, and this one waits for its end.
    Standby,
}

/// This process's picture of what it owns. Shared by all that commit or flush.
pub struct Ownership {
    parts: Vec<Part>,
    picture: watch::Sender<Picture>,
    /// Partitions whose accounts are back.
    ready: Mutex<Epochs>,
    /// A commit was refused: ask storage now.
    pub(super) doubted: Notify,
}

#[derive(Default)]
struct Part {
    /// 0: not ours.
    epoch: AtomicU64,
    /// Of [`now_ms`]; `u64::MAX`: for ever.
    until_ms: AtomicU64,
}

impl Ownership {
    pub fn none() -> Arc<Self> {
        Arc::new(Self {
            parts: (0..COUNT).map(|_| Part::default()).collect(),
            picture: watch::Sender::new(Picture {
                epochs: Epochs::NONE,
                revived: 0,
            }),
            ready: Mutex::new(Epochs::NONE),
            doubted: Notify::new(),
        })
    }

    /// Leases that hold as long as the process lives: a database that has one host by its nature.
    pub fn for_ever(leases: &[Lease]) -> Arc<Self> {
        let ownership = Self::none();
        ownership.acquired(leases, u64::MAX);
        ownership
    }

    /// May what was decided under this epoch leave now? One or two atomic loads, and a look at the
    /// clock where leases end.
    pub fn holds(&self, partition: PartitionId, epoch: u64) -> bool {
        let part = &self.parts[index(partition)];
        if part.epoch.load(Ordering::Acquire) != epoch {
            return false;
        }
        let until = part.until_ms.load(Ordering::Acquire);
        until == u64::MAX || now_ms() < until
    }

    /// The epoch to commit under, held or run out; none: not ours.
    pub fn epoch(&self, partition: PartitionId) -> Option<u64> {
        Some(self.parts[index(partition)].epoch.load(Ordering::Acquire)).filter(|epoch| *epoch != 0)
    }

    pub fn epochs(&self) -> Epochs {
        self.picture.borrow().epochs
    }

    pub fn changes(&self) -> watch::Receiver<Picture> {
        self.picture.subscribe()
    }

    pub fn state(&self) -> OwnershipState {
        let epochs = self.epochs();
        let ready = *self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if epochs.count() == 0 {
            OwnershipState::Standby
        } else if epochs.beyond(&ready).is_empty() {
            OwnershipState::Active {
                partitions: epochs.count(),
            }
        } else {
            OwnershipState::Starting
        }
    }

    pub fn is_standby(&self) -> bool {
        self.epochs().count() == 0
    }

    /// The accounts of all that is ours under these epochs are back.
    pub fn ready(&self, epochs: &Epochs) {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = *epochs;
    }

    /// A commit was refused under an epoch that was ours.
    pub fn doubt(&self) {
        self.doubted.notify_one();
    }

    pub(super) fn acquired(&self, leases: &[Lease], until_ms: u64) {
        if leases.is_empty() {
            return;
        }
        for lease in leases {
            let part = &self.parts[index(lease.partition)];
            part.until_ms.store(until_ms, Ordering::Release);
            part.epoch.store(lease.epoch, Ordering::Release);
        }
        self.publish(false);
    }

    /// All that is still ours, and until when. What is missing was lost.
    pub(super) fn renewed(&self, leases: &[Lease], until_ms: u64) {
        let mine = Epochs::of_leases(leases);
        let mut revived = false;
        for partition in PartitionId::all() {
            let part = &self.parts[index(partition)];
            let before = part.epoch.load(Ordering::Acquire);
            match mine.of(partition) {
                Some(epoch) if epoch == before => {
                    // The time after the swap: who found the lease over just before it waits to be
                    // told.
                    let before = part.until_ms.swap(until_ms, Ordering::AcqRel);
                    revived |= before <= now_ms();
                }
                // An answer that was lost: taken, but nobody was told.
                Some(epoch) => {
                    part.until_ms.store(until_ms, Ordering::Release);
                    part.epoch.store(epoch, Ordering::Release);
                }
                None => part.epoch.store(0, Ordering::Release),
            }
        }
        self.publish(revived);
    }

    fn publish(&self, revived: bool) {
        let mut epochs = Epochs::NONE;
        for (slot, part) in epochs.0.iter_mut().zip(&self.parts) {
            *slot = part.epoch.load(Ordering::Acquire);
        }
        self.picture.send_if_modified(|picture| {
            let changed = revived || picture.epochs != epochs;
            picture.epochs = epochs;
            picture.revived += u64::from(revived);
            changed
        });
    }
}

/// Milliseconds on a clock that never goes back and goes on while process and machine sleep.
pub(super) fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(now.tv_nsec).unwrap_or_default();
    seconds * 1_000 + nanos / 1_000_000
}

fn index(partition: PartitionId) -> usize {
    usize::from(partition.0).min(COUNT - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId(7);

    fn lease(epoch: u64) -> Lease {
        Lease {
            partition: P,
            epoch,
            head: 0,
        }
    }

    #[test]
    fn a_lease_holds_until_its_time_and_under_its_epoch_only() {
        let ownership = Ownership::none();
        assert_eq!(ownership.epoch(P), None);
        ownership.acquired(&[lease(3)], now_ms() + 60_000);
        assert!(ownership.holds(P, 3));
        assert!(!ownership.holds(P, 2));
        assert!(!ownership.holds(PartitionId(8), 3));
        // It ran out: nothing may leave, but it is not lost.
        ownership.renewed(&[lease(3)], now_ms());
        assert!(!ownership.holds(P, 3));
        assert_eq!(ownership.epoch(P), Some(3));
        let revived = ownership.changes().borrow().revived;
        ownership.renewed(&[lease(3)], now_ms() + 60_000);
        assert!(ownership.holds(P, 3));
        assert_eq!(ownership.changes().borrow().revived, revived + 1);
        // Renewed in time: nobody has to be told.
        let mut changes = ownership.changes();
        changes.borrow_and_update();
        ownership.renewed(&[lease(3)], now_ms() + 60_000);
        assert!(!changes.has_changed().unwrap());
    }

    #[test]
    fn what_a_renewal_does_not_name_is_lost() {
        let ownership = Ownership::for_ever(&[lease(3)]);
        assert_eq!(ownership.state(), OwnershipState::Starting);
        ownership.ready(&ownership.epochs());
        assert_eq!(ownership.state(), OwnershipState::Active { partitions: 1 });
        let before = ownership.epochs();
        ownership.renewed(&[], now_ms() + 60_000);
        assert!(!ownership.holds(P, 3));
        assert_eq!(before.beyond(&ownership.epochs()), [P]);
        assert_eq!(ownership.state(), OwnershipState::Standby);
        ownership.acquired(&[lease(5)], u64::MAX);
        assert_eq!(ownership.epochs().beyond(&before), [P]);
        assert_eq!(ownership.state(), OwnershipState::Starting);
    }

    #[test]
    fn notices_survive_the_wire() {
        let notices = [
            Notice::Free,
            Notice::HandOver,
            Notice::Endpoint(EndpointId::from_text("whe_1")),
            Notice::Providers,
        ];
        for notice in notices {
            assert_eq!(Notice::parse(&notice.to_text()), Some(notice));
        }
        assert_eq!(Notice::parse("coffee is ready"), None);
    }
}
