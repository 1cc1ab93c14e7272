//! What a provider emits, in the published form of events.
//!
//! Pure: from the contract's `events.emission` to type, `data` and ordering key. Owns the rules an
//! emission must keep; a broken one is an `Err` whose text names the rule, and the turn traps.
//! Never knows a channel: what only some channels tell comes in the `extra` of the contract's
//! records, under these keys:
//!
//! | record | key of `extra` | becomes |
//! |---|---|---|
//! | message | `sender_phone`: digits | the mirror `from` as `+` and digits |
//! | conversation | `mute_until` (RFC 3339 or ms), `mute_forever`, `read` | the key of `data` |
//! | attachment | `is_big_file`, `expired` | `metadata.is_big_file`, `expired` |
//! | group-change `info` | `name`, `description`, `dissolved` | changes `renamed`, `description_changed`, `dissolved` |
//! | contact of a join request | `request_method` | `request_method` |
//!
//! and the whole `extra` stands in the event beside them.
//!
//! An attachment has type, url, mime_type, size, file_name, duration_ms, title, width, height and
//! metadata. Its `url` is an address of this host's own: the bytes are had from the channel when
//! somebody asks for them first (`links`).

pub mod answers;
mod around;
mod content;
mod limits;
mod links;
mod message;
mod shape;

use crate::domain::envelope::{Mirrors, Stamp, envelope};
use crate::domain::event::NewEvent;
use crate::domain::media::{BlobId, NewAttachment};
use crate::domain::{AccountId, Timestamp};
use anyport_contract::anyport::provider::{events, model};
use content::{direction, live_message, sender_kind};
use limits::{check_batch, check_id, check_json, check_key, check_name, hints};
use message::LiveMessage;
use schemars::{Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use shape::*;
use std::borrow::Cow;
use std::cell::RefCell;

/// Of an attachment's `reference`, as the contract says.
const MAX_REFERENCE_BYTES: usize = 4096;

/// Seals what a channel needs to target a message later into the token that clients see.
pub trait ReplyTokens {
    fn seal(
        &self,
        account: &AccountId,
        conversation: &str,
        message: &str,
        sender: Option<&str>,
        reply_context: Option<&str>,
    ) -> String;

    /// Where clients get the bytes of an attachment with this token. None: nowhere.
    fn attachment_url(&self, _token: &str) -> Option<String> {
        None
    }

    /// A public address of a blob that is good until then. None: this host has none.
    fn blob_url(&self, _blob: &BlobId, _until: Timestamp) -> Option<String> {
        None
    }
}

/// An event that only lacks its id and the top of its envelope.
#[derive(Clone, Debug)]
pub struct Normalized {
    pub kind: Cow<'static, str>,
    pub dedupe_key: String,
    /// Ordering key below the account.
    pub conversation: Option<String>,
    pub occurred_at: Timestamp,
    /// Serialized already; put into the envelope as it is.
    pub data: Box<RawValue>,
    /// Of `message.received` only.
    pub mirrors: Option<Mirrors>,
    /// What the addresses in `data` stand for.
    pub attachments: Vec<NewAttachment>,
}

impl Normalized {
    /// `provider` as the client called it; `flat`: with the mirrors.
    pub fn into_event(self, provider: &str, account: &AccountId, flat: bool) -> NewEvent {
        let stamp = Stamp::new(provider, account, self.occurred_at);
        let mirrors = self.mirrors.as_ref().filter(|_| flat);
        NewEvent {
            body: envelope(&stamp, &self.kind, &self.data, mirrors),
            id: stamp.id,
            kind: self.kind.into_owned(),
            dedupe_key: Some(self.dedupe_key),
            conversation: self.conversation,
            occurred_at: self.occurred_at,
            attachments: self.attachments,
        }
    }
}

/// One event, except for a deletion of several messages: one for each of them, since the
/// published form names only one.
pub fn normalize(
    emission: &events::Emission,
    account: &AccountId,
    tokens: &dyn ReplyTokens,
) -> Result<Vec<Normalized>, String> {
    check_key(&emission.key)?;
    if let Some(conversation) = &emission.conversation {
        check_id("conversation", conversation)?;
    }
    let build = Build {
        emission,
        account,
        tokens,
        made: RefCell::default(),
    };
    use events::Event;
    let one = match &emission.event {
        Event::MessagesDeleted(deletion) => return build.deleted(deletion),
        Event::MessageReceived(message) => build.received(message),
        Event::MessageEdited(message) => build.edited(message),
        Event::MessageFailed(failure) => build.failed(failure),
        Event::Reaction(reaction) => build.reaction(reaction),
        Event::Receipt(receipt) => build.receipt(receipt),
        Event::Activity(activity) => build.activity(activity),
        Event::Presence(presence) => build.presence(presence),
        Event::ConversationUpdated(conversation) => build.conversation_updated(conversation),
        Event::ConversationDeleted(id) => {
            build.conversation_gone("conversation.deleted", "conversation_deleted", id)
        }
        Event::ConversationCleared(id) => {
            build.conversation_gone("conversation.cleared", "conversation_cleared", id)
        }
        Event::ContactUpdated(contact) => build.contact_updated(contact),
        Event::GroupUpdated(change) => build.group_updated(change),
        Event::JoinRequested(request) => build.join_requested(request),
        Event::ConversationHistory(history) => build.history(history),
        Event::HistorySynced(summary) => build.history_synced(summary),
        Event::Custom(custom) => build.custom(custom),
    }?;
    Ok(vec![one])
}

struct Build<'a> {
    emission: &'a events::Emission,
    account: &'a AccountId,
    tokens: &'a dyn ReplyTokens,
    /// Addresses that the event names.
    made: RefCell<Vec<NewAttachment>>,
}

/// The schema of `data` in each event that providers emit, by type; `provider.` stands for all of
/// a provider's own.
pub fn event_schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
    let message = generator.subschema_for::<MessageData<'_>>();
    let about = generator.subschema_for::<AboutMessages<'_>>();
    let gone = generator.subschema_for::<ConversationGoneData<'_>>();
    vec![
        ("message.received", message.clone()),
        ("message.updated", message),
        ("message.deleted", about.clone()),
        ("message.read", about.clone()),
        ("message.reaction", about.clone()),
        ("message.delivered", about.clone()),
        ("message.failed", about),
        (
            "message.activity",
            generator.subschema_for::<ActivityData<'_>>(),
        ),
        (
            "conversation.updated",
            generator.subschema_for::<ConversationData<'_>>(),
        ),
        ("conversation.deleted", gone.clone()),
        ("conversation.cleared", gone),
        (
            "conversation.history",
            generator.subschema_for::<HistoryData<'_>>(),
        ),
        (
            "contact.presence",
            generator.subschema_for::<PresenceData<'_>>(),
        ),
        (
            "contact.updated",
            generator.subschema_for::<ContactData<'_>>(),
        ),
        ("group.updated", generator.subschema_for::<GroupData<'_>>()),
        (
            "group.join_request",
            generator.subschema_for::<JoinRequestData<'_>>(),
        ),
        (
            "account.history.synced",
            generator.subschema_for::<HistorySyncedData<'_>>(),
        ),
        ("provider.", generator.subschema_for::<CustomData<'_>>()),
    ]
}

impl Build<'_> {
    /// `conversation`: of the event itself; the emission's goes before it.
    fn finish(
        &self,
        kind: impl Into<Cow<'static, str>>,
        conversation: Option<&str>,
        data: &impl Serialize,
    ) -> Result<Normalized, String> {
        let data = to_raw_value(data).map_err(|error| format!("an event is not JSON: {error}"))?;
        limits::check_size(&data)?;
        let conversation = self.emission.conversation.as_deref().or(conversation);
        Ok(Normalized {
            kind: kind.into(),
            dedupe_key: self.emission.key.clone(),
            conversation: conversation.map(str::to_owned),
            occurred_at: Timestamp(self.emission.occurred_at),
            data,
            mirrors: None,
            attachments: self.made.take(),
        })
    }

    fn occurred_at(&self) -> String {
        Timestamp(self.emission.occurred_at).rfc3339()
    }

    fn received(&self, message: &model::Message) -> Result<Normalized, String> {
        let hints: MessageHints = hints(message.extra.as_deref())?;
        let mut body = live_message(message)?;
        self.link_content(&mut body.attachments, &message.content);
        body.reply_token = Some(self.tokens.seal(
            self.account,
            &message.conversation,
            &message.id,
            Some(&message.sender),
            message.reply_context.as_deref(),
        ));
        let phone = hints
            .sender_phone
            .map(|phone| phone.trim_start_matches('+').to_owned())
            .filter(|phone| !phone.is_empty() && phone.bytes().all(|byte| byte.is_ascii_digit()));
        let mirrors = Mirrors {
            from: phone.map_or_else(|| message.sender.clone(), |digits| format!("+{digits}")),
            text: body.text.as_deref().unwrap_or_default().to_owned(),
            sent_at: Timestamp(message.sent_at),
            message_id: message.id.clone(),
        };
        let data = message_data(message, body, EventBlock::of("message_received"))?;
        let mut event = self.finish("message.received", Some(&message.conversation), &data)?;
        event.mirrors = Some(mirrors);
        Ok(event)
    }

    fn edited(&self, message: &model::Message) -> Result<Normalized, String> {
        let mut body = live_message(message)?;
        self.link_content(&mut body.attachments, &message.content);
        let data = message_data(message, body, EventBlock::of("message_updated"))?;
        self.finish("message.updated", Some(&message.conversation), &data)
    }

    fn deleted(&self, deletion: &events::Deletion) -> Result<Vec<Normalized>, String> {
        check_batch("a deletion's messages", &deletion.messages)?;
        let conversation = deletion.conversation.as_deref();
        let sender = person(deletion.by.as_deref(), conversation)?;
        let alone = deletion.messages.len() == 1;
        deletion
            .messages
            .iter()
            .map(|id| {
                let data = AboutMessages {
                    conversation: conversation.map(ConversationBlock::of_id),
                    sender: sender.clone(),
                    message: TargetBlock::of(id),
                    event: EventBlock::of("message_deleted"),
                    chat_id: conversation,
                    ..AboutMessages::default()
                };
                let mut event = self.finish("message.deleted", conversation, &data)?;
                if !alone {
                    event.dedupe_key = format!("{}#{id}", self.emission.key);
                }
                Ok(event)
            })
            .collect()
    }

    /// `message.failed` as the host's own (`domain::envelope::send_settled`), without `send_id`.
    fn failed(&self, failure: &events::MessageFailure) -> Result<Normalized, String> {
        check_batch("a failure's messages", &failure.messages)?;
        let conversation = failure.conversation.as_deref();
        let data = AboutMessages {
            conversation: conversation.map(ConversationBlock::of_id),
            message: TargetBlock::batch(&failure.messages),
            state: Some("failed"),
            error: Some(ErrorBlock::of(&failure.error)),
            event: EventBlock::of("message_failed"),
            chat_id: conversation,
            ..AboutMessages::default()
        };
        self.finish("message.failed", conversation, &data)
    }

    /// The reaction's own id is the emission's key: the channel's name for this very thing.
    fn reaction(&self, reaction: &events::Reaction) -> Result<Normalized, String> {
        check_id("message", &reaction.message)?;
        let conversation = Some(reaction.conversation.as_str());
        let data = AboutMessages {
            conversation: conversation.map(ConversationBlock::of_id),
            sender: person(Some(&reaction.by), conversation)?,
            message: TargetBlock {
                target_message_id: Some(&reaction.message),
                ..TargetBlock::of(&self.emission.key)
            },
            event: EventBlock {
                reaction: Some(reaction.emoji.as_deref().unwrap_or_default()),
                ..EventBlock::of("message_reaction")
            },
            chat_id: conversation,
            ..AboutMessages::default()
        };
        self.finish("message.reaction", conversation, &data)
    }

    /// A `played` receipt is a read one with `message.played`.
    fn receipt(&self, receipt: &events::Receipt) -> Result<Normalized, String> {
        check_batch("a receipt's messages", &receipt.messages)?;
        let conversation = Some(receipt.conversation.as_str());
        let mut data = AboutMessages {
            conversation: conversation.map(ConversationBlock::of_id),
            sender: person(receipt.by.as_deref(), conversation)?,
            message: TargetBlock::batch(&receipt.messages),
            chat_id: conversation,
            ..AboutMessages::default()
        };
        data.message.and_earlier = receipt.and_earlier;
        let at = Some(self.occurred_at());
        if receipt.kind == events::ReceiptKind::Delivered {
            data.message.delivered_at.clone_from(&at);
            data.delivered_at = at;
            data.event = EventBlock::of("message_delivered");
            return self.finish("message.delivered", conversation, &data);
        }
        data.message.read_at.clone_from(&at);
        data.message.played = receipt.kind == events::ReceiptKind::Played;
        data.read_at = at;
        data.event = EventBlock::of("message_read");
        self.finish("message.read", conversation, &data)
    }

    /// `provider.<name>` with `{conversation?, name, value, event{kind: provider_event}, chat_id?}`.
    fn custom(&self, custom: &model::Custom) -> Result<Normalized, String> {
        check_name("custom event name", &custom.name)?;
        let conversation = self.emission.conversation.as_deref();
        let data = CustomData {
            conversation: conversation.map(ConversationBlock::of_id),
            name: &custom.name,
            value: Some(check_json(&custom.value)?),
            event: EventBlock::of("provider_event"),
            chat_id: conversation,
        };
        self.finish(format!("provider.{}", custom.name), None, &data)
    }
}

fn message_data<'a>(
    message: &'a model::Message,
    body: LiveMessage<'a>,
    event: EventBlock<'a>,
) -> Result<MessageData<'a>, String> {
    let (kind, name) = (
        message.conversation_kind.as_str(),
        message.sender_name.as_deref(),
    );
    // A conversation of two has the other one's name.
    let peer = name.filter(|_| kind == "user" && direction(message) == "inbound");
    Ok(MessageData {
        conversation: ConversationBlock {
            kind: Some(kind),
            title: message.conversation_title.as_deref().or(peer),
            ..ConversationBlock::of_id(&message.conversation)
        },
        sender: PersonBlock {
            kind: sender_kind(message),
            ..PersonBlock::user(&message.sender, name)
        },
        message: body,
        event,
        chat_id: &message.conversation,
    })
}

/// Someone who did something in a conversation; checks both ids.
fn person<'a>(
    id: Option<&'a str>,
    conversation: Option<&str>,
) -> Result<Option<PersonBlock<'a>>, String> {
    if let Some(conversation) = conversation {
        check_id("conversation", conversation)?;
    }
    let Some(id) = id else { return Ok(None) };
    check_id("contact", id)?;
    Ok(Some(PersonBlock::user(id, None)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
