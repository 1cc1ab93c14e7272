//! What an API key may do. Its text and hash are no business of this module.

use super::Timestamp;
use std::collections::BTreeSet;

/// What a workspace's key is allowed. `All` is everything that the workspace may do, the other
/// two a part of it each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Looking at things; changes nothing.
    Read,
    /// Sending messages, and looking up what became of sends.
    Send,
    All,
}

impl Permission {
    pub const NAMES: [&'static str; 3] = ["read", "send", "all"];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Send => "send",
            Self::All => "all",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Read, Self::Send, Self::All]
            .into_iter()
            .find(|permission| permission.as_str() == text)
    }
}

/// A set of permissions, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions(BTreeSet<Permission>);

impl Permissions {
    pub fn all() -> Self {
        Self(BTreeSet::from([Permission::All]))
    }

    /// None: the set would be empty.
    pub fn of(permissions: impl IntoIterator<Item = Permission>) -> Option<Self> {
        let mut set: BTreeSet<_> = permissions.into_iter().collect();
        if set.contains(&Permission::All) {
            set = BTreeSet::from([Permission::All]);
        }
        (!set.is_empty()).then_some(Self(set))
    }

    /// May it do what one of these is enough for?
    pub fn allow(&self, any_of: &[Permission]) -> bool {
        self.0.contains(&Permission::All) || any_of.iter().any(|one| self.0.contains(one))
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|one| one.as_str()).collect()
    }

    /// As storage keeps it: names with commas between.
    pub fn to_text(&self) -> String {
        self.names().join(",")
    }

    pub fn from_text(text: &str) -> Option<Self> {
        let parsed: Option<Vec<_>> = text.split(',').map(Permission::parse).collect();
        Self::of(parsed?)
    }
}

/// Requests that a key may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_second: u32,
    /// So many at once, after a pause that was long enough.
    pub burst: u32,
}

/// The hash of a key's text before it was rotated, good until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousHash {
    pub hash: [u8; 32],
    pub until: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_everything_and_the_others_are_parts() {
        use Permission::{All, Read, Send};
        for (given, asked, allowed) in [
            (vec![All], vec![], true),
            (vec![All], vec![Read], true),
            (vec![Read], vec![Read], true),
            (vec![Read], vec![Read, Send], true),
            (vec![Read], vec![Send], false),
            (vec![Read, Send], vec![], false),
            (vec![Send], vec![Read], false),
        ] {
            let permissions = Permissions::of(given.clone()).unwrap();
            assert_eq!(permissions.allow(&asked), allowed, "{given:?} {asked:?}");
            assert_eq!(
                Permissions::from_text(&permissions.to_text()),
                Some(permissions)
            );
        }
        assert_eq!(Permissions::of([]), None);
        assert_eq!(Permissions::from_text(""), None);
        assert_eq!(Permissions::from_text("read,root"), None);
        assert_eq!(Permissions::of([Read, All]), Some(Permissions::all()));
    }
}
