//! What outlives a turn and an instance, as the host keeps it.

use crate::connections::Spec;
use crate::http_types::Request;
use crate::timers;
use std::collections::BTreeMap;

/// Everything that the host holds for the account. A turn works on it; one that fails gives back
/// the one before.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Milliseconds since the Unix epoch.
    pub now: u64,
    pub kv: BTreeMap<String, Vec<u8>>,
    pub secrets: BTreeMap<String, Vec<u8>>,
    pub connections: BTreeMap<String, Connection>,
    pub timers: BTreeMap<String, timers::Spec>,
    /// Submitted and not answered.
    pub requests: BTreeMap<String, Request>,
    /// Labels of `crypto` jobs that run.
    pub jobs: Vec<String>,
    pub blobs: BTreeMap<String, Blob>,
    /// Blobs in the making, by label.
    pub making: BTreeMap<String, Blob>,
    /// Ranges that were asked for: blob, offset, length.
    pub reads: BTreeMap<String, (String, u64, u32)>,
    /// Blobs made so far.
    pub(super) made: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    pub spec: Spec,
    pub open: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blob {
    pub bytes: Vec<u8>,
    pub mime: Option<String>,
    pub filename: Option<String>,
}

impl World {
    pub fn kv_text(&self, key: &str) -> Option<&str> {
        std::str::from_utf8(self.kv.get(key)?).ok()
    }
}
