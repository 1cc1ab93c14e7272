//! What an account's turns see and change: kv, secrets, connections, timers and blobs, with all that
//! earlier turns asked for, also before it is committed.
//!
//! Changes of a turn are undone when the turn fails. Owns no truth: storage does.

use super::port::ConnectionSpec;
use super::port::http::HttpRequest;
use crate::domain::media::{BlobId, BlobMeta};
use crate::domain::{SecretBytes, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// Keys with their values, in byte order of the keys.
pub type KvEntries = Vec<(String, Vec<u8>)>;

/// Reads of kv that the ledger does not hold in memory. May block for as long as a read takes.
pub trait ColdKv: Send + Sync {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String>;
    /// In byte order after `after`, at most `limit`.
    fn scan(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<KvEntries, String>;
    /// A blob that the account may have.
    fn blob(&self, _id: &str) -> Result<Option<BlobView>, String> {
        Ok(None)
    }
}

/// A blob as the account's turns see it.
#[derive(Clone, Debug, PartialEq)]
pub struct BlobView {
    pub size: u64,
    pub meta: BlobMeta,
}

/// A blob that the account makes.
#[derive(Clone, Debug, PartialEq)]
pub struct MakingView {
    pub id: BlobId,
    pub size: u64,
    /// More was appended than one may have; that was dropped.
    pub too_large: bool,
    pub created_at: Timestamp,
    pub meta: BlobMeta,
}

/// A connection as the account's turns see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionView {
    /// Tells this connection from earlier ones under the same label.
    pub generation: u64,
    pub spec: Arc<ConnectionSpec>,
    pub state: ConnectionState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    Connecting,
    Open,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TimerView {
    pub generation: u64,
    pub at: Timestamp,
    pub durable: bool,
    pub context: Vec<u8>,
}

/// An HTTP request that is not answered.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestView {
    /// Tells it from others under the same label, also after a restart.
    pub id: Uuid,
    pub request: Arc<HttpRequest>,
}

pub struct Ledger {
    /// Values by key; none: known to be absent. Complete when `kv_complete`.
    kv: BTreeMap<String, Option<Arc<[u8]>>>,
    kv_complete: bool,
    cold: Arc<dyn ColdKv>,
    pub kv_bytes: u64,
    secrets: BTreeMap<String, SecretBytes>,
    pub connections: HashMap<String, ConnectionView>,
    pub timers: HashMap<String, TimerView>,
    pub requests: HashMap<String, RequestView>,
    /// Blobs in the making, by label.
    pub making: HashMap<String, MakingView>,
    /// Reads whose answers are awaited: label and generation.
    pub reads: HashMap<String, u64>,
    /// Blobs that were sealed lately: storage may not have them yet.
    sealed: BTreeMap<String, BlobView>,
    generation: u64,
    undo: Vec<Undo>,
}

enum Undo {
    Kv(String, Option<Option<Arc<[u8]>>>, u64),
    Secret(String, Option<SecretBytes>),
    Connection(String, Option<ConnectionView>),
    Timer(String, Option<TimerView>),
    Request(String, Option<RequestView>),
    Making(String, Option<MakingView>),
    Read(String, Option<u64>),
    Sealed(String),
}

impl Ledger {
    /// `entries`: all of kv if it is small, else nothing and reads go to `cold`.
    pub fn new(
        entries: Option<Vec<(String, Vec<u8>)>>,
        kv_bytes: u64,
        secrets: Vec<(String, SecretBytes)>,
        cold: Arc<dyn ColdKv>,
    ) -> Self {
        Self {
            kv_complete: entries.is_some(),
            kv: entries
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| (key, Some(value.into())))
                .collect(),
            cold,
            kv_bytes,
            secrets: secrets.into_iter().collect(),
            connections: HashMap::new(),
            timers: HashMap::new(),
            requests: HashMap::new(),
            making: HashMap::new(),
            reads: HashMap::new(),
            sealed: BTreeMap::new(),
            generation: 0,
            undo: Vec::new(),
        }
    }

    /// A number that was not used for a connection or timer of this account before.
    pub fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// The last number that was used.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Goes on after the numbers of an earlier ledger of this account: what still comes from its
    /// connections and timers must not be taken for something of this one.
    pub fn go_on_from(&mut self, generation: u64) {
        self.generation = self.generation.max(generation);
    }

    pub fn kv_get(&mut self, key: &str) -> Result<Option<Arc<[u8]>>, String> {
        if let Some(value) = self.kv.get(key) {
            return Ok(value.clone());
        }
        if self.kv_complete {
            return Ok(None);
        }
        let value: Option<Arc<[u8]>> = self.cold.get(key)?.map(Into::into);
        self.kv.insert(key.to_owned(), value.clone());
        Ok(value)
    }

    pub fn kv_set(&mut self, key: &str, value: Option<&[u8]>) -> Result<(), String> {
        let before = self.kv_get(key)?;
        self.undo.push(Undo::Kv(
            key.to_owned(),
            self.kv.get(key).cloned(),
            self.kv_bytes,
        ));
        let size = |value: Option<usize>| value.map_or(0, |length| (length + key.len()) as u64);
        self.kv_bytes = (self.kv_bytes + size(value.map(<[u8]>::len)))
            .saturating_sub(size(before.as_deref().map(<[u8]>::len)));
        match value {
            None if self.kv_complete => {
                self.kv.remove(key);
            }
            value => {
                self.kv.insert(key.to_owned(), value.map(Into::into));
            }
        }
        Ok(())
    }

    /// At most `limit` entries and `max_bytes` of keys and values; whether there are more.
    pub fn kv_scan(
        &mut self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<(KvEntries, bool), String> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut cursor = after.map(str::to_owned);
        loop {
            let (batch, last) = self.scan_batch(prefix, cursor.as_deref(), limit + 1)?;
            for (key, value) in batch {
                bytes += key.len() + value.len();
                if entries.len() == limit || (bytes > max_bytes && !entries.is_empty()) {
                    return Ok((entries, true));
                }
                entries.push((key, value.to_vec()));
            }
            match last {
                None => return Ok((entries, false)),
                Some(key) => cursor = Some(key),
            }
        }
    }

    /// Entries as the turn sees them, and where to go on; none at the end.
    #[expect(clippy::type_complexity)]
    fn scan_batch(
        &self,
        prefix: &str,
        after: Option<&str>,
        count: usize,
    ) -> Result<(Vec<(String, Arc<[u8]>)>, Option<String>), String> {
        let from = match after {
            Some(after) if after >= prefix => std::ops::Bound::Excluded(after),
            _ => std::ops::Bound::Included(prefix),
        };
        let held = self
            .kv
            .range::<str, _>((from, std::ops::Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix));
        if self.kv_complete {
            let mut batch: Vec<_> = held
                .filter_map(|(key, value)| Some((key.clone(), value.clone()?)))
                .take(count)
                .collect();
            batch.shrink_to_fit();
            let last = (batch.len() == count).then(|| batch[count - 1].0.clone());
            return Ok((batch, last));
        }
        let stored = self.cold.scan(prefix, after, count as u32)?;
        let last = (stored.len() == count).then(|| stored[count - 1].0.clone());
        let mut merged: BTreeMap<String, Option<Arc<[u8]>>> = stored
            .into_iter()
            .map(|(key, value)| (key, Some(value.into())))
            .collect();
        for (key, value) in held {
            if last.as_ref().is_none_or(|last| key <= last) {
                merged.insert(key.clone(), value.clone());
            }
        }
        Ok((
            merged
                .into_iter()
                .filter_map(|(key, value)| Some((key, value?)))
                .collect(),
            last,
        ))
    }

    pub fn secret(&self, name: &str) -> Option<&[u8]> {
        self.secrets.get(name).map(SecretBytes::expose)
    }

    /// All that the account holds, and what the turn that runs has replaced.
    pub fn secret_values(&self) -> impl Iterator<Item = &[u8]> {
        let replaced = self.undo.iter().filter_map(|step| match step {
            Undo::Secret(_, before) => before.as_ref(),
            _ => None,
        });
        self.secrets
            .values()
            .chain(replaced)
            .map(SecretBytes::expose)
    }

    pub fn set_secret(&mut self, name: &str, value: Option<SecretBytes>) {
        let before = match value {
            Some(value) => self.secrets.insert(name.to_owned(), value),
            None => self.secrets.remove(name),
        };
        self.undo.push(Undo::Secret(name.to_owned(), before));
    }

    pub fn set_connection(&mut self, label: &str, view: Option<ConnectionView>) {
        let before = match view {
            Some(view) => self.connections.insert(label.to_owned(), view),
            None => self.connections.remove(label),
        };
        self.undo.push(Undo::Connection(label.to_owned(), before));
    }

    pub fn set_timer(&mut self, label: &str, view: Option<TimerView>) {
        let before = match view {
            Some(view) => self.timers.insert(label.to_owned(), view),
            None => self.timers.remove(label),
        };
        self.undo.push(Undo::Timer(label.to_owned(), before));
    }

    pub fn set_request(&mut self, label: &str, view: Option<RequestView>) {
        let before = match view {
            Some(view) => self.requests.insert(label.to_owned(), view),
            None => self.requests.remove(label),
        };
        self.undo.push(Undo::Request(label.to_owned(), before));
    }

    pub fn set_making(&mut self, label: &str, view: Option<MakingView>) {
        let before = match view {
            Some(view) => self.making.insert(label.to_owned(), view),
            None => self.making.remove(label),
        };
        self.undo.push(Undo::Making(label.to_owned(), before));
    }

    pub fn set_read(&mut self, label: &str, generation: Option<u64>) {
        let before = match generation {
            Some(generation) => self.reads.insert(label.to_owned(), generation),
            None => self.reads.remove(label),
        };
        self.undo.push(Undo::Read(label.to_owned(), before));
    }

    /// One that this turn has sealed.
    pub fn add_blob(&mut self, id: &str, view: BlobView) {
        self.sealed.insert(id.to_owned(), view);
        self.undo.push(Undo::Sealed(id.to_owned()));
    }

    /// A blob that the account may have.
    pub fn blob(&self, id: &str) -> Result<Option<BlobView>, String> {
        match self.sealed.get(id) {
            Some(view) => Ok(Some(view.clone())),
            None => self.cold.blob(id),
        }
    }

    /// The turn ended well: what it changed stays.
    pub fn keep(&mut self) {
        self.undo.clear();
    }

    /// Forgets what can be read from storage again. Only when every turn is committed.
    pub fn forget_cold(&mut self) {
        if !self.kv_complete {
            self.kv.clear();
        }
        self.sealed.clear();
    }

    /// Does kv hold more than before the turn that runs?
    pub fn kv_has_grown(&self) -> bool {
        self.undo
            .iter()
            .find_map(|step| match step {
                Undo::Kv(_, _, bytes) => Some(self.kv_bytes > *bytes),
                _ => None,
            })
            .unwrap_or(false)
    }

    /// The turn failed: nothing of it happened.
    pub fn undo(&mut self) {
        while let Some(step) = self.undo.pop() {
            match step {
                Undo::Kv(key, before, bytes) => {
                    self.kv_bytes = bytes;
                    match before {
                        Some(value) => self.kv.insert(key, value),
                        None => self.kv.remove(&key),
                    };
                }
                Undo::Secret(name, before) => restore_sorted(&mut self.secrets, name, before),
                Undo::Connection(label, before) => restore(&mut self.connections, label, before),
                Undo::Timer(label, before) => restore(&mut self.timers, label, before),
                Undo::Request(label, before) => restore(&mut self.requests, label, before),
                Undo::Making(label, before) => restore(&mut self.making, label, before),
                Undo::Read(label, before) => restore(&mut self.reads, label, before),
                Undo::Sealed(id) => drop(self.sealed.remove(&id)),
            }
        }
    }
}

fn restore<V>(map: &mut HashMap<String, V>, key: String, before: Option<V>) {
    match before {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

fn restore_sorted<V>(map: &mut BTreeMap<String, V>, key: String, before: Option<V>) {
    match before {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A storage of kv in memory.
    #[derive(Default)]
    pub struct MapKv(pub Mutex<BTreeMap<String, Vec<u8>>>);

    impl ColdKv for MapKv {
        fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
            Ok(self.0.lock().unwrap().get(key).cloned())
        }
        fn scan(
            &self,
            prefix: &str,
            after: Option<&str>,
            limit: u32,
        ) -> Result<Vec<(String, Vec<u8>)>, String> {
            Ok(self
                .0
                .lock()
                .unwrap()
                .iter()
                .filter(|(key, _)| {
                    key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
                })
                .take(limit as usize)
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect())
        }
    }

    fn both() -> [Ledger; 2] {
        let entries = [("a/1", "x"), ("a/2", "yy"), ("b/1", "zzz")]
            .map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
        let bytes = entries
            .iter()
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum();
        let cold = Arc::new(MapKv(Mutex::new(entries.clone().into())));
        [
            Ledger::new(Some(entries.to_vec()), bytes, vec![], cold.clone()),
            Ledger::new(None, bytes, vec![], cold),
        ]
    }

    fn keys(
        ledger: &mut Ledger,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<String>, bool) {
        let (entries, more) = ledger.kv_scan(prefix, after, limit, 1 << 20).unwrap();
        (entries.into_iter().map(|(key, _)| key).collect(), more)
    }

    #[test]
    fn a_turn_sees_its_own_writes_and_a_failed_one_leaves_nothing() {
        for mut ledger in both() {
            ledger.kv_set("a/15", Some(b"new")).unwrap();
            ledger.kv_set("a/2", None).unwrap();
            ledger.kv_set("a/1", Some(b"longer")).unwrap();
            assert_eq!(ledger.kv_bytes, 6 + 9 + 7);
            assert_eq!(
                ledger.kv_get("a/1").unwrap().as_deref(),
                Some(&b"longer"[..])
            );
            assert_eq!(ledger.kv_get("a/2").unwrap(), None);
            assert_eq!(
                keys(&mut ledger, "a/", None, 10),
                (vec!["a/1".into(), "a/15".into()], false)
            );
            ledger.undo();
            assert_eq!(ledger.kv_bytes, 4 + 5 + 6);
            assert_eq!(ledger.kv_get("a/1").unwrap().as_deref(), Some(&b"x"[..]));
            assert_eq!(
                keys(&mut ledger, "a/", None, 10),
                (vec!["a/1".into(), "a/2".into()], false)
            );
        }
    }

    #[test]
    fn scans_in_pages() {
        for mut ledger in both() {
            assert_eq!(
                keys(&mut ledger, "", None, 2),
                (vec!["a/1".into(), "a/2".into()], true)
            );
            assert_eq!(
                keys(&mut ledger, "", Some("a/2"), 2),
                (vec!["b/1".into()], false)
            );
            assert_eq!(keys(&mut ledger, "a/", Some("a/2"), 2), (vec![], false));
            ledger.kv_set("a/2", None).unwrap();
            assert_eq!(
                keys(&mut ledger, "", None, 2),
                (vec!["a/1".into(), "b/1".into()], false)
            );
        }
    }

    #[test]
    fn undoes_connections_timers_and_secrets() {
        let [mut ledger, _] = both();
        ledger.set_secret("token", Some(b"1".to_vec().into()));
        ledger.keep();
        ledger.set_secret("token", None);
        ledger.set_timer(
            "t",
            Some(TimerView {
                generation: 1,
                at: Timestamp(5),
                durable: false,
                context: vec![],
            }),
        );
        assert_eq!(ledger.secret("token"), None);
        ledger.undo();
        assert_eq!(ledger.secret("token"), Some(&b"1"[..]));
        assert!(ledger.timers.is_empty());
    }
}
