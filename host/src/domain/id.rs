//! Identifiers. Each is its own type; all are opaque to clients.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// A new one, ordered by time (UUID version 7).
            pub fn generate() -> Self {
                Self(format!(concat!($prefix, "{}"), Uuid::now_v7().simple()))
            }

            /// Any text that a client or the database names one by; whether it exists is for
            /// storage to say.
            pub fn from_text(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

prefixed_id!(WorkspaceId, "ws_");
prefixed_id!(AccountId, "acc_");
prefixed_id!(
    /// A webhook receiver.
    EndpointId,
    "we_"
);
prefixed_id!(
    /// Stable over every delivery of the event.
    EventId,
    "evt_"
);
prefixed_id!(ApiKeyId, "ak_");
prefixed_id!(
    /// One attempt to deliver one event to one endpoint.
    AttemptId,
    "dlv_"
);
prefixed_id!(RequestId, "req_");

/// What a client asked for, from first call to last answer. The guest gets it as the UUID that
/// it may hand to the channel as a token; clients see `msg_` and the UUID without hyphens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SendId(pub Uuid);

impl SendId {
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// How long ago it was made; it holds its time.
    pub fn age(&self, now: super::Timestamp) -> std::time::Duration {
        let made = self.0.get_timestamp().map_or((0, 0), |at| at.to_unix());
        let made_ms = made.0 * 1000 + u64::from(made.1 / 1_000_000);
        std::time::Duration::from_millis(now.0.saturating_sub(made_ms))
    }

    /// The `request-id` of the contract.
    pub fn request_id(&self) -> String {
        self.0.hyphenated().to_string()
    }

    pub fn from_request_id(text: &str) -> Option<Self> {
        Uuid::parse_str(text).ok().map(Self)
    }

    /// From the form that clients see.
    pub fn from_public(text: &str) -> Option<Self> {
        Uuid::parse_str(text.strip_prefix("msg_")?).ok().map(Self)
    }
}

impl fmt::Display for SendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "msg_{}", self.0.simple())
    }
}

/// One of the 64 parts of the log and of the accounts; whoever leases it owns what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(pub u8);

impl PartitionId {
    /// Fixed when a database is made; 64 for all of them.
    pub const COUNT: u8 = 64;

    /// Where an account lives: FNV-1a of its id, modulo [`Self::COUNT`]. Stored with the account,
    /// so that the rule may change for accounts to come.
    pub fn of(account: &AccountId) -> Self {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in account.as_str().bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Self(((hash ^ (hash >> 32)) % u64::from(Self::COUNT)) as u8)
    }

    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn send_ids_have_two_forms() {
        let id = SendId::generate();
        assert_eq!(SendId::from_public(&id.to_string()), Some(id));
        assert_eq!(SendId::from_request_id(&id.request_id()), Some(id));
        assert_eq!(SendId::from_public("wamid.1"), None);
    }

    #[test]
    fn accounts_spread_over_all_partitions() {
        let used: std::collections::BTreeSet<_> = (0..2000)
            .map(|_| PartitionId::of(&AccountId::generate()))
            .collect();
        assert_eq!(used.len(), usize::from(PartitionId::COUNT));
    }
}
