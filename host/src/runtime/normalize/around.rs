//! What happens around messages: people, conversations, groups, history.

use super::content::{attachment, conversation_block, past_message};
use super::limits::{check_extra, check_id, check_name, hints};
use super::shape::*;
use super::{Build, Normalized, person};
use crate::domain::Timestamp;
use anyport_contract::anyport::provider::{events, model};

impl Build<'_> {
    pub(super) fn activity(&self, activity: &events::Activity) -> Result<Normalized, String> {
        check_name("activity kind", &activity.kind)?;
        let conversation = Some(activity.conversation.as_str());
        let data = ActivityData {
            conversation: ConversationBlock::of_id(&activity.conversation),
            sender: person(Some(&activity.by), conversation)?,
            activity: ActivityBlock {
                kind: &activity.kind,
                active: activity.active,
            },
            event: EventBlock::of("message_activity"),
            chat_id: &activity.conversation,
        };
        self.finish("message.activity", conversation, &data)
    }

    pub(super) fn presence(&self, presence: &events::Presence) -> Result<Normalized, String> {
        check_id("contact", &presence.contact)?;
        let data = PresenceData {
            contact: PersonBlock::user(&presence.contact, None),
            online: presence.online,
            last_seen: presence.last_seen.map(|at| Timestamp(at).rfc3339()),
            event: EventBlock::of("contact_presence"),
        };
        self.finish("contact.presence", None, &data)
    }

    /// `read` is told by `extra.read`, else by a known number of unread messages.
    pub(super) fn conversation_updated(
        &self,
        it: &model::Conversation,
    ) -> Result<Normalized, String> {
        let hints: ConversationHints = hints(it.extra.as_deref())?;
        let mut conversation = conversation_block(it)?;
        self.link_avatar(&mut conversation.avatar, it.avatar.as_ref());
        let data = ConversationData {
            conversation,
            muted: it.is_muted,
            mute_until: hints.mute_until.and_then(Moment::rfc3339),
            mute_forever: hints.mute_forever,
            archived: it.is_archived,
            pinned: it.is_pinned,
            read: hints.read.or(it.unread.map(|unread| unread == 0)),
            event: EventBlock::of("conversation_updated"),
            chat_id: &it.id,
        };
        self.finish("conversation.updated", Some(&it.id), &data)
    }

    /// The contract does not say whether local media went too: `delete_media` is false.
    pub(super) fn conversation_gone(
        &self,
        kind: &'static str,
        word: &'static str,
        id: &str,
    ) -> Result<Normalized, String> {
        check_id("conversation", id)?;
        let data = ConversationGoneData {
            conversation: ConversationBlock::of_id(id),
            delete_media: false,
            event: EventBlock::of(word),
            chat_id: id,
        };
        self.finish(kind, Some(id), &data)
    }

    pub(super) fn contact_updated(&self, contact: &model::Contact) -> Result<Normalized, String> {
        check_id("contact", &contact.id)?;
        let mut avatar = contact.avatar.as_ref().map(attachment).transpose()?;
        self.link_avatar(&mut avatar, contact.avatar.as_ref());
        let data = ContactData {
            contact: ContactBlock {
                id: &contact.id,
                display_name: contact.display_name.as_deref(),
                username: contact.username.as_deref(),
                phone: contact.phone.as_deref(),
                avatar,
                aliases: &contact.aliases,
                is_bot: contact.is_bot,
                is_blocked: contact.is_blocked,
                extra: check_extra(contact.extra.as_deref())?,
            },
            event: EventBlock::of("contact_updated"),
        };
        self.finish("contact.updated", None, &data)
    }

    pub(super) fn group_updated(&self, change: &events::GroupChange) -> Result<Normalized, String> {
        check_name("group change kind", &change.kind)?;
        for member in &change.members {
            check_id("member", member)?;
        }
        let conversation = Some(change.conversation.as_str());
        let extra = check_extra(change.extra.as_deref())?;
        let hints: GroupHints = hints(change.extra.as_deref())?;
        let data = GroupData {
            conversation: ConversationBlock {
                kind: Some("group"),
                ..ConversationBlock::of_id(&change.conversation)
            },
            actor: person(change.by.as_deref(), conversation)?,
            changes: group_changes(change, &hints),
            extra,
            event: EventBlock::of("group_updated"),
            chat_id: &change.conversation,
        };
        self.finish("group.updated", conversation, &data)
    }

    pub(super) fn join_requested(
        &self,
        request: &events::JoinRequest,
    ) -> Result<Normalized, String> {
        check_id("conversation", &request.conversation)?;
        let contact = &request.contact;
        check_id("contact", &contact.id)?;
        let hints: RequestHints = hints(contact.extra.as_deref())?;
        let name = contact.display_name.as_deref();
        let data = JoinRequestData {
            conversation: ConversationBlock {
                kind: Some("group"),
                ..ConversationBlock::of_id(&request.conversation)
            },
            requester: PersonBlock {
                phone: contact.phone.as_deref(),
                ..PersonBlock::user(&contact.id, name.or(contact.username.as_deref()))
            },
            request_method: hints.request_method,
            event: EventBlock::of("group_join_request"),
            chat_id: &request.conversation,
        };
        self.finish("group.join_request", Some(&request.conversation), &data)
    }

    pub(super) fn history(&self, history: &events::History) -> Result<Normalized, String> {
        let id = history.conversation.id.as_str();
        let mut messages = Vec::with_capacity(history.messages.len());
        for message in &history.messages {
            let mut block = past_message(message)?;
            self.link_content(&mut block.attachments, &message.content);
            messages.push(block);
        }
        let data = HistoryData {
            conversation: conversation_block(&history.conversation)?,
            messages,
            event: EventBlock::of("conversation_history"),
            chat_id: id,
        };
        self.finish("conversation.history", Some(id), &data)
    }

    pub(super) fn history_synced(
        &self,
        summary: &events::HistorySummary,
    ) -> Result<Normalized, String> {
        let data = HistorySyncedData {
            summary: SummaryBlock {
                conversations: summary.conversations,
                messages: summary.messages,
            },
            event: EventBlock::of("account_history_synced"),
        };
        self.finish("account.history.synced", None, &data)
    }
}

/// The contract's words in those of the published event.
fn group_changes<'a>(
    change: &'a events::GroupChange,
    hints: &'a GroupHints,
) -> Vec<ChangeBlock<'a>> {
    let mut member_ids: Vec<&str> = change.members.iter().map(String::as_str).collect();
    if member_ids.is_empty() && matches!(change.kind.as_str(), "joined" | "left") {
        member_ids.extend(change.by.as_deref());
    }
    let about = |kind| ChangeBlock {
        kind,
        member_ids: member_ids.clone(),
        ..ChangeBlock::default()
    };
    let mut changes = Vec::new();
    match change.kind.as_str() {
        "joined" | "added" => changes.push(about("member_added")),
        "left" | "removed" => changes.push(about("member_removed")),
        "info" | "settings" => {}
        other => changes.push(about(other)),
    }
    if let Some(name) = hints.name.as_deref() {
        changes.push(ChangeBlock {
            name: Some(name),
            ..ChangeBlock::of("renamed")
        });
    }
    if let Some(description) = hints.description.as_deref() {
        changes.push(ChangeBlock {
            description: Some(description),
            ..ChangeBlock::of("description_changed")
        });
    }
    if hints.dissolved == Some(true) {
        changes.push(ChangeBlock::of("dissolved"));
    }
    if changes.is_empty() {
        let settings = change.kind == "settings";
        changes.push(ChangeBlock::of(if settings {
            "settings_changed"
        } else {
            "info_changed"
        }));
    }
    changes
}
