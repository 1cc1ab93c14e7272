//! Which events an endpoint gets.

use crate::domain::AccountId;
use crate::domain::endpoint::Endpoint;
use crate::domain::event::{OWN_TYPES, PUBLISHED_TYPES, STATUS_ALIAS, is_provider_name};
use std::collections::HashSet;

/// May these names stand in `subscribed_events`? The error names the first that may not.
pub fn validate_subscriptions(names: &[String]) -> Result<(), String> {
    let known = |name: &str| {
        name == "*"
            || name == STATUS_ALIAS
            || PUBLISHED_TYPES.contains(&name)
            || OWN_TYPES.contains(&name)
            || name.strip_prefix("provider.").is_some_and(is_provider_name)
    };
    match names.iter().find(|name| !known(name)) {
        Some(name) => Err(format!("`{name}` is not an event type")),
        None => Ok(()),
    }
}

/// An endpoint's subscription, ready to be asked.
#[derive(Debug)]
pub struct Selector {
    published: bool,
    names: HashSet<String>,
    accounts: HashSet<String>,
}

/// In which forms an event is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub itself: bool,
    /// As `message.status.updated` too.
    pub alias: bool,
}

impl Wanted {
    pub fn any(self) -> bool {
        self.itself || self.alias
    }
}

impl Selector {
    pub fn new(endpoint: &Endpoint) -> Self {
        let names: HashSet<String> = endpoint.subscribed_events.iter().cloned().collect();
        Self {
            published: names.is_empty() || names.contains("*"),
            names,
            accounts: endpoint.accounts.iter().cloned().collect(),
        }
    }

    /// `*` and an empty list stand for the published types; every other type only goes to who
    /// names it.
    pub fn wants(&self, kind: &str, account: &AccountId) -> Wanted {
        if !self.accounts.is_empty() && !self.accounts.contains(account.as_str()) {
            return Wanted::default();
        }
        Wanted {
            itself: self.names.contains(kind) || self.published && PUBLISHED_TYPES.contains(&kind),
            alias: super::form::alias_status(kind).is_some() && self.names.contains(STATUS_ALIAS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::endpoint;

    fn wants(names: &[&str], accounts: &[&str], kind: &str) -> (bool, bool) {
        let mut endpoint = endpoint("http://localhost/");
        endpoint.subscribed_events = names.iter().map(|name| (*name).to_owned()).collect();
        endpoint.accounts = accounts.iter().map(|name| (*name).to_owned()).collect();
        let wanted = Selector::new(&endpoint).wants(kind, &AccountId::from_text("acc_1"));
        (wanted.itself, wanted.alias)
    }

    #[test]
    fn subscriptions() {
        let read = "message.read";
        for (names, accounts, kind, expected) in [
            (&[][..], &[][..], read, (true, false)),
            (&[], &[], "message.sent", (false, false)),
            (&["*"], &[], "account.auth.failed", (true, false)),
            (&["*"], &[], "provider.call", (false, false)),
            (&["*"], &[], STATUS_ALIAS, (false, false)),
            (&["*", "message.sent"], &[], "message.sent", (true, false)),
            (&["message.received"], &[], read, (false, false)),
            (&[STATUS_ALIAS], &[], read, (false, true)),
            (&["*", STATUS_ALIAS], &[], "message.delivered", (true, true)),
            (&[STATUS_ALIAS], &[], "message.received", (false, false)),
            (&["provider.call"], &[], "provider.call", (true, false)),
            (&[], &["acc_1"], read, (true, false)),
            (&["*", STATUS_ALIAS], &["acc_2"], read, (false, false)),
        ] {
            assert_eq!(
                wants(names, accounts, kind),
                expected,
                "{names:?} {accounts:?} {kind}"
            );
        }
    }

    #[test]
    fn unknown_names_are_refused() {
        let check = |name: &str| validate_subscriptions(&["*".to_owned(), name.to_owned()]);
        for name in PUBLISHED_TYPES.iter().chain(&OWN_TYPES) {
            assert_eq!(check(name), Ok(()));
        }
        assert_eq!(check(STATUS_ALIAS), Ok(()));
        assert_eq!(check("provider.call.offered"), Ok(()));
        for name in [
            "message.seen",
            "",
            "provider.",
            "provider.Call",
            "message.*",
        ] {
            assert_eq!(
                check(name),
                Err(format!("`{name}` is not an event type")),
                "{name}"
            );
        }
    }
}
