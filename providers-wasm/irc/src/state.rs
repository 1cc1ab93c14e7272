//! What outlives an instance: the keys in kv, what they hold, and the counter behind ids.
//! Deferred sends are not here, since the host calls them again.
//!
//! | key | value |
//! |---|---|
//! | `signed-in` | `1` while the account is signed in |
//! | `ids` | the salt and the counter of ids that this provider makes |
//! | `link` | a registered link, so that a fault need not drop the connection; absent otherwise |
//! | `member/<roster>/<nick>` | a member of a channel, with the mode letters |
//! | `sweep` | rosters that are over and whose members are still to be removed |
//! | `flight/<number>` | a send of which a line has left and whose outcome is open |

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::isupport::Isupport;
use crate::port::Port;

pub const SIGNED_IN: &str = "signed-in";
pub const LINK: &str = "link";
pub const FLIGHTS: &str = "flight/";
const IDS: &str = "ids";
const SWEEP: &str = "sweep";

/// Version of the bytes that `suspend` writes.
pub const SNAPSHOT_VERSION: u32 = 1;

/// Names above this are left out: no network allows them, and keys in kv have a limit.
pub const MAX_NAME_BYTES: usize = 200;
/// More channels than any network lets one be in.
pub const MAX_CHANNELS: usize = 200;

/// A registered link: all that one must know to go on with its connection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Link {
    /// Number of the connection, counted over the account's life.
    pub generation: u64,
    pub nick: String,
    pub user: Option<String>,
    /// The host that others see, once the server has shown it.
    pub host: Option<String>,
    pub caps: BTreeSet<String>,
    pub isupport: Isupport,
    /// By folded name.
    pub channels: BTreeMap<String, Channel>,
    /// What the link was made with.
    pub config: Config,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    pub name: String,
    /// Number under which its members stand in kv; new with every join.
    pub roster: u64,
}

impl Link {
    pub fn has(&self, cap: &str) -> bool {
        self.caps.contains(cap)
    }

    pub fn fold(&self, name: &str) -> String {
        self.isupport.casemap.fold(name)
    }

    pub fn is_me(&self, nick: &str) -> bool {
        !self.nick.is_empty() && self.isupport.casemap.same(&self.nick, nick)
    }

    /// Bytes of `nick!user@host` as the server will put it before our lines, or the most
    /// that it can be where that is not known yet.
    pub fn source_len(&self) -> usize {
        let user = self
            .user
            .as_ref()
            .map_or(self.isupport.longest_user, String::len);
        let host = self
            .host
            .as_ref()
            .map_or(self.isupport.longest_host, String::len);
        self.nick.len() + 1 + user + 1 + host
    }
}

/// Ids for what the channel gives none: `<salt>-<number>`. The salt keeps them apart from
/// those of an account that was made anew.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ids {
    salt: String,
    next: u64,
}

impl Ids {
    pub fn load(port: &mut dyn Port) -> Self {
        port.get(IDS)
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// A number that this account has not used before; written down with the turn.
    pub fn number(&mut self, port: &mut dyn Port) -> u64 {
        if self.salt.is_empty() {
            self.salt = port
                .random(4)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
        }
        self.next += 1;
        put_json(port, IDS, self);
        self.next
    }

    pub fn id(&mut self, port: &mut dyn Port) -> String {
        let number = self.number(port);
        format!("{}-{number}", self.salt)
    }
}

pub fn put_json(port: &mut dyn Port, key: &str, value: &impl Serialize) {
    if let Ok(bytes) = serde_json::to_vec(value) {
        port.put(key, bytes);
    }
}

/// Members of channels. They stay in kv and are read one by one, so that neither the memory
/// of the guest nor its snapshot grows with a channel.
pub struct Roster(pub u64);

impl Roster {
    fn prefix(&self) -> String {
        format!("member/{:x}/", self.0)
    }

    fn key(&self, folded: &str) -> String {
        format!("{}{folded}", self.prefix())
    }

    pub fn put(&self, port: &mut dyn Port, folded: &str, modes: &str) {
        if !folded.is_empty() && folded.len() <= MAX_NAME_BYTES {
            port.put(&self.key(folded), modes.as_bytes().to_vec());
        }
    }

    /// The member's mode letters, if it is one; it is none any more.
    pub fn take(&self, port: &mut dyn Port, folded: &str) -> Option<String> {
        let key = self.key(folded);
        let modes = port.get(&key).filter(|_| folded.len() <= MAX_NAME_BYTES)?;
        port.remove(&key);
        Some(String::from_utf8_lossy(&modes).into_owned())
    }
}

/// Marks rosters as over. True: there is something to sweep.
pub fn discard(port: &mut dyn Port, rosters: impl IntoIterator<Item = u64>) -> bool {
    let mut waiting = sweepings(port);
    waiting.extend(rosters);
    waiting.dedup();
    let some = !waiting.is_empty();
    if some {
        put_json(port, SWEEP, &waiting);
    }
    some
}

/// Removes some members of rosters that are over. True: there are more.
pub fn sweep(port: &mut dyn Port) -> bool {
    let mut waiting = sweepings(port);
    let Some(&roster) = waiting.first() else {
        return false;
    };
    let (entries, more) = port.scan(&Roster(roster).prefix(), None);
    for (key, _) in &entries {
        port.remove(key);
    }
    if !more {
        waiting.remove(0);
        if waiting.is_empty() {
            port.remove(SWEEP);
        } else {
            put_json(port, SWEEP, &waiting);
        }
    }
    !waiting.is_empty()
}

fn sweepings(port: &mut dyn Port) -> Vec<u64> {
    port.get(SWEEP)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

/// A name for bytes that come again as they were (FNV-1a, 64 bits).
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
