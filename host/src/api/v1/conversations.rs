//! The chat list: reading it, and acting on it.

use super::super::body::{Body, Read};
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::{ApiError, Operation};
use super::super::fields::Fields;
use super::super::page::Listed;
use super::super::query::Query;
use super::super::routes::Routes;
use super::at_account::AtAccount;
use super::command_doc::{asks, does, id, kind, lists, makes};
use super::conversation_view::{self, ConversationListResult, ConversationView, MemberView};
use super::subject::{ID, answer_of, page_of};
use crate::domain::Timestamp;
use crate::domain::capability;
use crate::domain::chat::{Conversation, Page, PageOf};
use crate::domain::command::{self, Command};
use crate::domain::send::MessageRef;
use crate::supervisor;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};
use std::borrow::Cow;

macro_rules! operations {
    ($($name:ident $failed:ident;)*) => {
        $(const $name: Operation =
            Operation::of_command(codes::$failed, codes::CONVERSATION_NOT_FOUND);)*
    };
}

const LIST: Operation = Operation::of_list(codes::LIST_CONVERSATIONS_FAILED);
operations! {
    GET GET_CONVERSATION_FAILED;
    MEMBERS LIST_CONVERSATION_MEMBERS_FAILED;
    READ MARK_CONVERSATION_READ_FAILED;
    UNREAD MARK_CONVERSATION_UNREAD_FAILED;
    MUTE MUTE_CONVERSATION_FAILED;
    UNMUTE UNMUTE_CONVERSATION_FAILED;
    PIN PIN_CONVERSATION_FAILED;
    UNPIN UNPIN_CONVERSATION_FAILED;
    OWN COMMAND_FAILED;
}

pub fn routes() -> Routes {
    const ALL: &str = "/v1/accounts/{account_id}/conversations";
    let below = |rest: &str| format!("{ALL}/{rest}");
    Routes::new()
        .get(ALL, list)
        .doc(
            lists::<ConversationListResult>("listConversations", "List the conversations", &LIST)
                .query(
                    "type",
                    "Some of `user`, `group`, `channel`, with commas between.",
                    json!({"type": "string"}),
                )
                .query("label_id", "Only those with this label.", id())
                .fails([codes::INVALID_CONVERSATION_TYPE]),
        )
        .get(&below("info"), get)
        .doc(
            asks::<ConversationView>("getConversation", "Read a conversation", &GET)
                .required_query("conversation_id", "The conversation.", id())
                .query("type", "`user`, `group` or `channel`.", kind())
                .fails([codes::INVALID_CONVERSATION_TYPE]),
        )
        .get(&below("members"), members)
        .doc(
            lists::<Listed<MemberView>>("listConversationMembers", "List its members", &MEMBERS)
                .required_query("conversation_id", "The conversation.", id())
                .query("type", "`user`, `group` or `channel`.", kind())
                .fails([
                    codes::INVALID_CONVERSATION_TYPE,
                    codes::UNSUPPORTED_CONVERSATION_TYPE,
                ]),
        )
        .get(&below("messages"), messages)
        .doc(
            lists::<Listed<MessageShape>>(
                "listConversationMessages",
                "List what the channel still has, newest first",
                &OWN,
            )
            .required_query("conversation_id", "The conversation.", id()),
        )
        .post(&below("read"), read)
        .doc(does::<ConversationReadRequest>(
            "markConversationRead",
            "Mark it as read",
            &READ,
        ))
        .post(&below("unread"), unread)
        .doc(does::<ConversationIdRequest>(
            "markConversationUnread",
            "Mark it as unread",
            &UNREAD,
        ))
        .post(&below("mute"), mute)
        .doc(does::<ConversationMuteRequest>(
            "muteConversation",
            "Mute it",
            &MUTE,
        ))
        .post(&below("unmute"), unmute)
        .doc(does::<ConversationIdRequest>(
            "unmuteConversation",
            "Unmute it",
            &UNMUTE,
        ))
        .post(&below("pin"), pin)
        .doc(does::<ConversationIdRequest>(
            "pinConversation",
            "Pin it",
            &PIN,
        ))
        .post(&below("unpin"), unpin)
        .doc(does::<ConversationIdRequest>(
            "unpinConversation",
            "Unpin it",
            &UNPIN,
        ))
        .post(&below("archive"), archive)
        .doc(does::<ConversationIdRequest>(
            "archiveConversation",
            "Archive it",
            &OWN,
        ))
        .post(&below("unarchive"), unarchive)
        .doc(does::<ConversationIdRequest>(
            "unarchiveConversation",
            "Take it out of the archive",
            &OWN,
        ))
        .post(&below("delete"), remove)
        .doc(does::<ConversationIdRequest>(
            "deleteConversation",
            "Delete it",
            &OWN,
        ))
        .post(&below("activity"), activity)
        .doc(does::<ConversationActivityRequest>(
            "showConversationActivity",
            "Show that the account is typing, or the like",
            &OWN,
        ))
        .post(&below("open"), open)
        .doc(makes::<ConversationOpenRequest, ConversationView>(
            "openConversation",
            "Open a conversation with somebody",
            &OWN,
        ))
        .about("Conversations", "What the account sees at its channel.")
}

async fn list(at: AtAccount, query: Query) -> Answer {
    let kinds = conversation_view::kinds(&query)?;
    let label = query.bounded("label_id", ID)?;
    let subject = at.subject(&LIST).await?;
    if label.is_some() {
        subject.capable().needs("labels.list")?;
    }
    let fits = |it: &Conversation| {
        (kinds.is_empty() || kinds.contains(&it.kind.as_str()))
            && label.is_none_or(|label| has_label(it, label))
    };
    let listed: ConversationListResult = subject
        .list(
            &query,
            &[&kinds.join(","), label.unwrap_or_default()],
            Command::ListConversations,
            |answer| match answer {
                command::Answer::Conversations(page) => Some(Page {
                    items: page.items.into_iter().filter(fits).collect(),
                    next: page.next,
                }),
                _ => None,
            },
            ConversationView::new,
        )
        .await?;
    Reply::ok(&listed)
}

/// The labels of a conversation stand in its `extra`.
fn has_label(it: &Conversation, label: &str) -> bool {
    let ids = it.extra.as_ref().and_then(|extra| extra.get("label_ids"));
    ids.and_then(Value::as_array)
        .is_some_and(|ids| ids.iter().any(|id| id == label))
}

async fn get(at: AtAccount, query: Query) -> Answer {
    let conversation = query.required("conversation_id", ID)?.to_owned();
    conversation_view::kind(&query)?;
    let subject = at.subject(&GET).await?;
    let answer = subject.ask(Command::GetConversation(conversation)).await?;
    let found = answer_of!(answer, command::Answer::Conversation)?;
    let url = subject.avatar_url(found.avatar.as_ref()).await;
    Reply::ok(&ConversationView::new(*found, url))
}

async fn members(at: AtAccount, query: Query) -> Answer {
    let conversation = query.required("conversation_id", ID)?;
    let kind = conversation_view::kind(&query)?;
    let subject = at.subject(&MEMBERS).await?;
    if let Some(kind) = kind {
        let capable = subject.capable();
        capable.needs("conversations.members")?;
        capable.kind("conversations.members", "type", kind)?;
    }
    let command = |page| Command::ListMembers {
        conversation: conversation.to_owned(),
        page,
    };
    let listed: Listed<MemberView> = subject
        .list(
            &query,
            &[conversation],
            command,
            page_of!(command::Answer::Members),
            MemberView::new,
        )
        .await?;
    Reply::ok(&listed)
}

/// Our own: what the channel still has, newest first.
async fn messages(at: AtAccount, query: Query) -> Answer {
    let conversation = query.required("conversation_id", ID)?;
    let subject = at.subject(&OWN).await?;
    let command = |page: PageOf| Command::ListMessages {
        conversation: conversation.to_owned(),
        page,
    };
    let listed: Listed<Value> = subject
        .list(
            &query,
            &[conversation],
            command,
            page_of!(command::Answer::Messages),
            |message, _| message,
        )
        .await?;
    Reply::ok(&listed)
}

/// A message of the channel, for the description.
struct MessageShape;

impl JsonSchema for MessageShape {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Message".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        supervisor::message_schema(generator)
    }
}

#[derive(Debug, JsonSchema)]
pub struct ConversationIdRequest {
    #[schemars(length(min = 1, max = 512))]
    pub conversation_id: String,
}

impl Read for ConversationIdRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            conversation_id: fields.required_text("conversation_id", ID)?.to_owned(),
        })
    }
}

#[derive(Debug, JsonSchema)]
pub struct ConversationReadRequest {
    #[schemars(length(min = 1, max = 512))]
    pub conversation_id: String,
    /// Both of these, or neither.
    #[schemars(length(max = 512))]
    pub up_to_message_id: Option<String>,
    #[schemars(length(max = 512))]
    pub up_to_message_sender_id: Option<String>,
}

impl Read for ConversationReadRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        let text = |name| Ok::<_, ApiError>(fields.text(name, ID)?.map(str::to_owned));
        let request = Self {
            conversation_id: fields.required_text("conversation_id", ID)?.to_owned(),
            up_to_message_id: text("up_to_message_id")?,
            up_to_message_sender_id: text("up_to_message_sender_id")?,
        };
        let both = "is required together with up_to_message_id and up_to_message_sender_id: both or neither";
        match (&request.up_to_message_id, &request.up_to_message_sender_id) {
            (Some(_), None) => Err(fields.error("up_to_message_sender_id", both)),
            (None, Some(_)) => Err(fields.error("up_to_message_id", both)),
            _ => Ok(request),
        }
    }
}

async fn read(at: AtAccount, Body(request): Body<ConversationReadRequest>) -> Answer {
    let subject = at.subject(&READ).await?;
    let conversation = request.conversation_id;
    let up_to = request.up_to_message_id.map(|message| MessageRef {
        sender: request.up_to_message_sender_id,
        ..MessageRef::of(conversation.clone(), message)
    });
    let command = Command::MarkRead {
        conversation,
        up_to,
    };
    Reply::ok(&subject.act(command).await?)
}

#[derive(Debug, JsonSchema)]
pub struct ConversationMuteRequest {
    #[schemars(length(min = 1, max = 512))]
    pub conversation_id: String,
    /// Seconds; 0 is for good.
    #[schemars(range(max = LONGEST_MUTE_S))]
    pub duration: Option<u64>,
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub mute_until: Option<Timestamp>,
}

/// A thousand years.
const LONGEST_MUTE_S: u64 = 31_536_000_000;

impl Read for ConversationMuteRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        let until = fields.text("mute_until", 64)?;
        let request = Self {
            conversation_id: fields.required_text("conversation_id", ID)?.to_owned(),
            duration: fields.integer("duration", 0..=LONGEST_MUTE_S)?,
            mute_until: until
                .map(|text| {
                    Timestamp::parse_rfc3339(text)
                        .ok_or_else(|| fields.error("mute_until", "must be a time (RFC 3339)"))
                })
                .transpose()?,
        };
        if request.duration.is_some() && request.mute_until.is_some() {
            return Err(fields.error("mute_until", "must not be given together with duration"));
        }
        Ok(request)
    }
}

async fn mute(at: AtAccount, Body(request): Body<ConversationMuteRequest>) -> Answer {
    let subject = at.subject(&MUTE).await?;
    let capable = subject.capable();
    capable.needs("conversations.mute")?;
    let now = Timestamp::now();
    let until = match (request.duration, request.mute_until) {
        (None | Some(0), None) => None,
        (Some(seconds), _) => Some(now.plus_ms(seconds.saturating_mul(1000))),
        (None, Some(until)) if until <= now => {
            return Err(ApiError::field("mute_until", "must be in the future"));
        }
        (None, until) => until,
    };
    if let Some(until) = until {
        let field = match request.duration {
            Some(_) => "duration",
            None => "mute_until",
        };
        capable.seconds("conversations.mute", field, until.since(now) / 1000)?;
    }
    let command = Command::Mute {
        conversation: request.conversation_id,
        muted: true,
        until,
    };
    Reply::ok(&subject.act(command).await?)
}

/// An action on one conversation and nothing else.
async fn act(at: AtAccount, operation: &'static Operation, command: Command) -> Answer {
    let subject = at.subject(operation).await?;
    Reply::ok(&subject.act(command).await?)
}

macro_rules! actions {
    ($($handler:ident $operation:ident |$id:ident| $command:expr;)*) => {$(
        async fn $handler(
            at: AtAccount,
            Body(request): Body<ConversationIdRequest>,
        ) -> Answer {
            let $id = request.conversation_id;
            act(at, &$operation, $command).await
        }
    )*};
}

actions! {
    unread UNREAD |id| Command::MarkUnread(id);
    unmute UNMUTE |id| Command::Mute { conversation: id, muted: false, until: None };
    pin PIN |id| Command::PinConversation { conversation: id, pinned: true };
    unpin UNPIN |id| Command::PinConversation { conversation: id, pinned: false };
    archive OWN |id| Command::Archive { conversation: id, archived: true };
    unarchive OWN |id| Command::Archive { conversation: id, archived: false };
    remove OWN |id| Command::RemoveConversation(id);
}

#[derive(Debug, JsonSchema)]
pub struct ConversationActivityRequest {
    #[schemars(length(min = 1, max = 512))]
    pub conversation_id: String,
    /// `typing`, `recording`, `uploading`.
    #[schemars(extend("enum" = ["typing", "recording", "uploading"]))]
    pub kind: &'static str,
    /// True when absent.
    #[schemars(with = "Option<bool>")]
    pub active: bool,
}

impl Read for ConversationActivityRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            conversation_id: fields.required_text("conversation_id", ID)?.to_owned(),
            kind: fields.required_choice("kind", &["typing", "recording", "uploading"])?,
            active: fields.boolean("active")?.unwrap_or(true),
        })
    }
}

async fn activity(at: AtAccount, Body(request): Body<ConversationActivityRequest>) -> Answer {
    const FEATURE: &str = "conversations.activity";
    let subject = at.subject(&OWN).await?;
    subject.capable().needs(FEATURE)?;
    let (limit, kind) = (capability::ACTIVITIES, request.kind);
    subject.capable().one_of(FEATURE, limit, "kind", kind)?;
    let command = Command::SetActivity {
        conversation: request.conversation_id,
        kind: kind.to_owned(),
        active: request.active,
    };
    Reply::ok(&subject.act(command).await?)
}

#[derive(Debug, JsonSchema)]
pub struct ConversationOpenRequest {
    #[schemars(length(min = 1, max = 1000))]
    pub contact_ids: Vec<String>,
}

impl Read for ConversationOpenRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            contact_ids: ids(fields, "contact_ids")?,
        })
    }
}

/// A list of at least one id.
pub fn ids(fields: &Fields<'_>, name: &str) -> Result<Vec<String>, ApiError> {
    let ids = fields.required_strings(name, 1000)?;
    check_ids(fields, name, &ids)?;
    Ok(ids)
}

pub fn check_ids(fields: &Fields<'_>, name: &str, ids: &[String]) -> Result<(), ApiError> {
    match ids.iter().position(|id| id.len() > ID) {
        Some(index) => Err(fields.error(
            &format!("{name}[{index}]"),
            format!("must have at most {ID} bytes"),
        )),
        None => Ok(()),
    }
}

async fn open(at: AtAccount, Body(request): Body<ConversationOpenRequest>) -> Answer {
    const FEATURE: &str = "conversations.open";
    let subject = at.subject(&OWN).await?;
    subject.capable().needs(FEATURE)?;
    let (limit, count) = (capability::MAX_MEMBERS, request.contact_ids.len() as u64);
    subject
        .capable()
        .at_most(FEATURE, limit, "contact_ids", count, "items")?;
    let command = Command::OpenConversation {
        contacts: request.contact_ids,
    };
    let found = answer_of!(subject.ask(command).await?, command::Answer::Conversation)?;
    let url = subject.avatar_url(found.avatar.as_ref()).await;
    Reply::ok(&ConversationView::new(*found, url))
}
