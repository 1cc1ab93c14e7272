//! What the channel answers to requests.

use anyport_sdk::model::{Identity, Member};
use anyport_sdk::replies::{ConversationLabel, JoinRequest, LabelPage, MemberPage, SentMessage};
use anyport_sdk::types::{Error, ErrorCode};
use anyport_simulator::model as channel;
use anyport_simulator::protocol::{Accepted, Fault, Profile};
use anyport_simulator::request::{Applicant, Pages};

use crate::inbound::{avatar, contact};

/// The entries in the contract's words, and the cursor as it is.
pub fn page<A, B>(pages: Pages<A>, one: impl Fn(A) -> B) -> (Vec<B>, Option<String>) {
    (pages.items.into_iter().map(one).collect(), pages.next)
}

pub fn member_page(pages: Pages<channel::Member>) -> MemberPage {
    let (items, next) = page(pages, |given| Member {
        contact: contact(given.contact),
        role: given.role,
        joined_at: Some(given.joined_at),
    });
    MemberPage { items, next }
}

pub fn label_page(pages: Pages<channel::Label>) -> LabelPage {
    let (items, next) = page(pages, |given| ConversationLabel {
        id: given.id,
        name: given.name,
    });
    LabelPage { items, next }
}

pub fn join_requests(applicants: Vec<Applicant>) -> Vec<JoinRequest> {
    applicants
        .into_iter()
        .map(|applicant| JoinRequest {
            contact: contact(applicant.contact),
            requested_at: Some(applicant.requested_at),
        })
        .collect()
}

/// What was sent can be quoted as what was received can.
pub fn sent(accepted: &Accepted) -> SentMessage {
    SentMessage {
        reply_context: Some(accepted.message.clone()),
        ..SentMessage::new(accepted.message.clone(), accepted.sent_at)
    }
}

pub fn identity(profile: Profile) -> Identity {
    Identity {
        display_name: Some(profile.name),
        username: Some(profile.username),
        phone: Some(profile.phone),
        bio: profile.about,
        avatar: profile.avatar.map(avatar),
        ..Identity::new(profile.id)
    }
}

/// A code that the contract does not have is `unavailable`, with the channel's own code beside it.
pub fn error(fault: Fault) -> Error {
    let code = ErrorCode::from_name(&fault.code);
    Error {
        code: code.unwrap_or(ErrorCode::Unavailable),
        message: fault.message,
        channel_code: fault
            .channel_code
            .or_else(|| code.is_none().then_some(fault.code)),
        retry_after_ms: fault.retry_after_ms,
        detail: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_of_the_channels_own_stays_to_be_seen() {
        let known = error(Fault::new("rate-limited", "slow down"));
        assert_eq!(
            (known.code, known.channel_code),
            (ErrorCode::RateLimited, None)
        );
        let own = error(Fault::new("moon-phase", "not today"));
        assert_eq!(own.code, ErrorCode::Unavailable);
        assert_eq!(own.channel_code.as_deref(), Some("moon-phase"));
    }
}
