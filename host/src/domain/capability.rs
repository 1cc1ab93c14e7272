//! What providers can do, as data: the names that `describe` uses for it, the exported interface
//! that each needs, and the limits that the host knows and checks before a guest is called.
//! `docs/capabilities.md` shows the same table; a test compares them.
//!
//! A name or a limit that does not stand here is no fault: it is shown to clients as it came.

use serde_json::Value;

/// An interface that a provider may export, beyond those that every provider has and `sign-in`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interface {
    Messaging,
    MessageActions,
    Conversations,
    ConversationActions,
    ConversationLabels,
    Contacts,
    Groups,
    History,
    Media,
    Profile,
    Commands,
}

impl Interface {
    pub const ALL: [Self; 11] = [
        Self::Messaging,
        Self::MessageActions,
        Self::Conversations,
        Self::ConversationActions,
        Self::ConversationLabels,
        Self::Contacts,
        Self::Groups,
        Self::History,
        Self::Media,
        Self::Profile,
        Self::Commands,
    ];

    /// As the contract calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Messaging => "messaging",
            Self::MessageActions => "message-actions",
            Self::Conversations => "conversations",
            Self::ConversationActions => "conversation-actions",
            Self::ConversationLabels => "conversation-labels",
            Self::Contacts => "contacts",
            Self::Groups => "groups",
            Self::History => "history",
            Self::Media => "media",
            Self::Profile => "profile",
            Self::Commands => "commands",
        }
    }
}

/// What the value of a limit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// A whole number of at least 1.
    Number,
    /// A list of strings.
    Words,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub name: &'static str,
    pub kind: LimitKind,
}

const fn number(name: &'static str) -> Limit {
    Limit {
        name,
        kind: LimitKind::Number,
    }
}

const fn words(name: &'static str) -> Limit {
    Limit {
        name,
        kind: LimitKind::Words,
    }
}

/// Unicode scalar values of a text.
pub const MAX_CHARS: Limit = number("max-chars");
/// Of one medium.
pub const MAX_BYTES: Limit = number("max-bytes");
/// Media of one message.
pub const MAX_ATTACHMENTS: Limit = number("max-attachments");
/// Of a voice note, an audio or a video.
pub const MAX_DURATION_MS: Limit = number("max-duration-ms");
/// `image/png`, `image/*`.
pub const MIME_TYPES: Limit = words("mime-types");
/// Of `user`, `group`, `channel`.
pub const CONVERSATION_KINDS: Limit = words("conversation-kinds");
pub const MAX_CONTACTS: Limit = number("max-contacts");
pub const MAX_MENTIONS: Limit = number("max-mentions");
pub const MAX_MEMBERS: Limit = number("max-members");
pub const MAX_CONVERSATIONS: Limit = number("max-conversations");
/// How long something may be set for.
pub const MAX_SECONDS: Limit = number("max-seconds");
/// How old a message may be. Only the channel can tell: it is shown, not checked.
pub const MAX_AGE_SECONDS: Limit = number("max-age-seconds");
/// Of one page: a larger page is asked for as one of so many.
pub const MAX_ITEMS: Limit = number("max-items");
/// The only reactions that there are.
pub const EMOJIS: Limit = words("emojis");
/// Of `typing`, `recording`, `uploading`.
pub const ACTIVITIES: Limit = words("activities");
/// The inputs of a command, as a JSON Schema. Shown, not checked.
pub const INPUT: &str = "input";

/// One of the names that the host knows.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub name: &'static str,
    /// What must be exported for it.
    pub interface: Interface,
    pub limits: &'static [Limit],
}

const fn known(name: &'static str, interface: Interface, limits: &'static [Limit]) -> Known {
    Known {
        name,
        interface,
        limits,
    }
}

/// Of a medium.
const MEDIUM: &[Limit] = &[
    MAX_BYTES,
    MIME_TYPES,
    MAX_CHARS,
    MAX_ATTACHMENTS,
    CONVERSATION_KINDS,
];
/// Of a medium that plays.
const PLAYED: &[Limit] = &[
    MAX_BYTES,
    MIME_TYPES,
    MAX_CHARS,
    MAX_ATTACHMENTS,
    MAX_DURATION_MS,
    CONVERSATION_KINDS,
];
const KINDS: &[Limit] = &[CONVERSATION_KINDS];
const ITEMS: &[Limit] = &[MAX_ITEMS];

/// Followed by the name of the command.
pub const COMMAND: &str = "command.";

#[rustfmt::skip]
pub const KNOWN: &[Known] = {
    use Interface::*;
    &[
        known("send.text", Messaging, &[MAX_CHARS, CONVERSATION_KINDS]),
        known("send.image", Messaging, MEDIUM),
        known("send.video", Messaging, PLAYED),
        known("send.audio", Messaging, PLAYED),
        known("send.voice", Messaging, PLAYED),
        known("send.document", Messaging, MEDIUM),
        known("send.sticker", Messaging, MEDIUM),
        known("send.contact", Messaging, &[MAX_CONTACTS, CONVERSATION_KINDS]),
        known("send.location", Messaging, KINDS),
        known("send.interactive", Messaging, KINDS),
        known("send.custom", Messaging, KINDS),
        known("send.reply", Messaging, KINDS),
        known("send.mentions", Messaging, &[MAX_MENTIONS, CONVERSATION_KINDS]),
        known("send.markdown", Messaging, &[]),
        known("send.html", Messaging, &[]),

        known("message.edit", MessageActions, &[MAX_CHARS, MAX_AGE_SECONDS]),
        known("message.revoke", MessageActions, &[MAX_AGE_SECONDS]),
        known("message.react", MessageActions, &[EMOJIS]),
        known("message.pin", MessageActions, &[MAX_SECONDS]),
        known("message.forward", MessageActions, KINDS),

        known("conversations.list", Conversations, ITEMS),
        known("conversations.get", Conversations, &[]),
        known("conversations.members", Conversations, &[MAX_ITEMS, CONVERSATION_KINDS]),
        known("conversations.open", Conversations, &[MAX_MEMBERS]),
        known("conversations.history", History, ITEMS),
        known("conversations.read", ConversationActions, &[]),
        known("conversations.unread", ConversationActions, &[]),
        known("conversations.mute", ConversationActions, &[MAX_SECONDS]),
        known("conversations.pin", ConversationActions, &[]),
        known("conversations.archive", ConversationActions, &[]),
        known("conversations.delete", ConversationActions, &[]),
        known("conversations.activity", ConversationActions, &[ACTIVITIES]),

        known("labels.list", ConversationLabels, ITEMS),
        known("labels.upsert", ConversationLabels, &[MAX_CHARS]),
        known("labels.delete", ConversationLabels, &[]),
        known("labels.assign", ConversationLabels, &[MAX_CONVERSATIONS]),

        known("contacts.list", Contacts, ITEMS),
        known("contacts.get", Contacts, &[]),
        known("contacts.resolve", Contacts, &[]),
        known("contacts.blocklist", Contacts, ITEMS),
        known("contacts.block", Contacts, &[]),
        known("contacts.note", Contacts, &[MAX_CHARS]),

        known("groups.list", Groups, ITEMS),
        known("groups.get", Groups, &[]),
        known("groups.create", Groups, &[MAX_CHARS, MAX_MEMBERS]),
        known("groups.leave", Groups, &[]),
        known("groups.members", Groups, &[]),
        known("groups.info", Groups, &[MAX_CHARS, MAX_BYTES, MIME_TYPES]),
        known("groups.join-requests", Groups, &[MAX_MEMBERS]),
        known("groups.join-approval", Groups, &[]),
        known("groups.invitation", Groups, &[]),

        known("media.fetch", Media, &[]),

        known("profile.get", Profile, &[]),
        known("profile.update", Profile, &[MAX_CHARS, MAX_BYTES, MIME_TYPES]),
        known("profile.presence", Profile, &[]),
    ]
};

/// Which interface a feature needs; none: the host does not know the feature.
pub fn interface_of(feature: &str) -> Option<Interface> {
    if feature.starts_with(COMMAND) {
        return Some(Interface::Commands);
    }
    let known = KNOWN.iter().find(|known| known.name == feature)?;
    Some(known.interface)
}

/// The rule that a declared limit breaks: those that the host checks must be of their kind.
pub fn check_limits(feature: &str, limits: Option<&Value>) -> Result<(), String> {
    let Some(limits) = limits.filter(|limits| !limits.is_null()) else {
        return Ok(());
    };
    let Value::Object(limits) = limits else {
        return Err(format!("the limits of `{feature}` are not a JSON object"));
    };
    let Some(known) = KNOWN.iter().find(|known| known.name == feature) else {
        return Ok(());
    };
    for limit in known.limits {
        let Some(value) = limits.get(limit.name) else {
            continue;
        };
        let (fits, what) = match limit.kind {
            LimitKind::Number => (
                value.as_u64().is_some_and(|number| number > 0),
                "a whole number of at least 1",
            ),
            LimitKind::Words => (
                value
                    .as_array()
                    .is_some_and(|words| words.iter().all(Value::is_string)),
                "a list of strings",
            ),
        };
        if !fits {
            return Err(format!(
                "the limit `{}` of `{feature}` is not {what}",
                limit.name
            ));
        }
    }
    Ok(())
}

/// The features of one version of a provider.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a>(pub &'a [(String, Option<Value>)]);

impl<'a> Features<'a> {
    pub fn has(&self, feature: &str) -> bool {
        self.0.iter().any(|(name, _)| name == feature)
    }

    fn limit(&self, feature: &str, limit: Limit) -> Option<&'a Value> {
        self.0
            .iter()
            .find(|(name, _)| name == feature)
            .and_then(|(_, limits)| limits.as_ref()?.get(limit.name))
    }

    pub fn number(&self, feature: &str, limit: Limit) -> Option<u64> {
        self.limit(feature, limit).and_then(Value::as_u64)
    }

    /// None: there is no such limit.
    pub fn words(&self, feature: &str, limit: Limit) -> Option<Vec<&'a str>> {
        let words = self.limit(feature, limit)?.as_array()?;
        Some(words.iter().filter_map(Value::as_str).collect())
    }
}

/// Does a type fit one of these patterns? `image/*` fits every image; parameters do not count.
pub fn mime_fits(patterns: &[&str], mime: &str) -> bool {
    let mime = mime.split(';').next().unwrap_or_default().trim();
    patterns.iter().any(|pattern| {
        *pattern == "*/*"
            || pattern.eq_ignore_ascii_case(mime)
            || pattern.strip_suffix("/*").is_some_and(|family| {
                mime.split_once('/')
                    .is_some_and(|(of, _)| of.eq_ignore_ascii_case(family))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    const DOCS: &str = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/capabilities.md"
    ));

    /// Cells of the table rows between a heading and the next one, without backticks.
    fn table(heading: &str) -> Vec<Vec<String>> {
        let (_, section) = DOCS.split_once(&format!("\n{heading}\n")).expect(heading);
        let section = section.split("\n#").next().unwrap();
        section
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| {
                line.trim_matches('|')
                    .split('|')
                    .map(|cell| cell.trim().replace('`', ""))
                    .collect()
            })
            .collect()
    }

    #[test]
    fn the_documented_features_are_the_same() {
        let documented: Vec<_> = table("## Features")
            .into_iter()
            .filter(|row| !row[0].starts_with(COMMAND))
            .map(|row| (row[0].clone(), row[1].clone(), row[2].clone()))
            .collect();
        let known: Vec<_> = KNOWN
            .iter()
            .map(|known| {
                let limits: Vec<&str> = known.limits.iter().map(|limit| limit.name).collect();
                let interface = known.interface.as_str().to_owned();
                (known.name.to_owned(), interface, limits.join(", "))
            })
            .collect();
        assert_eq!(documented, known);
    }

    #[test]
    fn the_documented_limits_are_the_same() {
        let documented: BTreeSet<String> = table("## Limits")
            .into_iter()
            .map(|row| row[0].clone())
            .collect();
        let known: BTreeSet<String> = KNOWN
            .iter()
            .flat_map(|known| known.limits)
            .map(|limit| limit.name.to_owned())
            .chain([INPUT.to_owned()])
            .collect();
        assert_eq!(documented, known);
    }

    #[test]
    fn limits_that_the_host_checks_are_of_their_kind() {
        for (feature, limits, rule) in [
            ("send.text", json!({"max-chars": 1}), None),
            ("send.text", json!({"max-words": "many"}), None),
            ("send.smoke", json!({"max-chars": "many"}), None),
            ("send.text", json!(3), Some("not a JSON object")),
            (
                "send.text",
                json!({"max-chars": 0}),
                Some("a whole number of at least 1"),
            ),
            (
                "send.text",
                json!({"conversation-kinds": "user"}),
                Some("a list of strings"),
            ),
        ] {
            let found = check_limits(feature, Some(&limits));
            match rule {
                None => assert_eq!(found, Ok(()), "{limits}"),
                Some(rule) => assert!(found.unwrap_err().contains(rule), "{limits}"),
            }
        }
    }

    #[test]
    fn types_fit_patterns() {
        for (patterns, mime, fits) in [
            (&["image/png"][..], "image/png", true),
            (&["image/*"], "IMAGE/PNG; q=1", true),
            (&["image/*"], "imagery/png", false),
            (&["image/png", "*/*"], "text/plain", true),
            (&[], "text/plain", false),
        ] {
            assert_eq!(mime_fits(patterns, mime), fits, "{patterns:?} {mime}");
        }
    }
}
