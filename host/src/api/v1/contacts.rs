//! People: reading the address book, and acting on it.

use super::super::body::{Body, Read};
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::{ApiError, Operation};
use super::super::fields::Fields;
use super::super::page::Listed;
use super::super::query::Query;
use super::super::routes::Routes;
use super::at_account::AtAccount;
use super::command_doc::{asks, does, id, lists};
use super::conversation_view::{name_of, with_phone};
use super::subject::{ID, Subject, answer_of, wrong_answer};
use crate::domain::Timestamp;
use crate::domain::chat::{Contact, Page, PageOf};
use crate::domain::command::{self, Command};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

const LIST: Operation = Operation::of_list(codes::LIST_CONTACTS_FAILED);
const BLOCKLIST: Operation = Operation::of_list(codes::LIST_BLOCKLIST_FAILED);
const GET: Operation = Operation::of_command(codes::GET_CONTACT_FAILED, codes::CONTACT_NOT_FOUND);
const BLOCK: Operation =
    Operation::of_command(codes::BLOCK_CONTACT_FAILED, codes::CONTACT_NOT_FOUND);
const UNBLOCK: Operation =
    Operation::of_command(codes::UNBLOCK_CONTACT_FAILED, codes::CONTACT_NOT_FOUND);
const NOTE: Operation =
    Operation::of_command(codes::SET_CONTACT_NOTE_FAILED, codes::CONTACT_NOT_FOUND);
const RESOLVE: Operation = Operation::of_command(codes::COMMAND_FAILED, codes::CONTACT_NOT_FOUND);

/// Of a note.
const NOTE_CHARS: usize = 64 * 1024;
/// The contract's blocklist has no pages: so many are read for one answer, and so many people.
const BLOCKLIST_PAGES: usize = 50;
const BLOCKLIST_PAGE: u32 = 200;

pub fn routes() -> Routes {
    const ALL: &str = "/v1/accounts/{account_id}/contacts";
    let below = |rest: &str| format!("{ALL}/{rest}");
    Routes::new()
        .get(ALL, list)
        .doc(
            lists::<Listed<ContactView>>("listContacts", "List the contacts", &LIST)
                .query("q", "Only those whose name has this in it.", id())
                .query(
                    "updated_since",
                    "Of the contract; lists are whole.",
                    json!({"type": "string", "format": "date-time"}),
                ),
        )
        .get(&below("info"), get)
        .doc(
            asks::<ContactView>("getContact", "Read a contact", &GET).required_query(
                "contact_id",
                "The contact.",
                id(),
            ),
        )
        .get(&below("resolve"), resolve)
        .doc(
            asks::<ContactView>("resolveContact", "Find who has an address", &RESOLVE)
                .required_query(
                    "address",
                    "A phone number, a user name, or what else the channel has.",
                    id(),
                ),
        )
        .get(&below("blocklist"), blocklist)
        .doc(asks::<ContactBlocklistResult>(
            "listContactBlocklist",
            "List who is blocked",
            &BLOCKLIST,
        ))
        .post(&below("block"), block)
        .doc(does::<ContactIdRequest>(
            "blockContact",
            "Block a contact",
            &BLOCK,
        ))
        .post(&below("unblock"), unblock)
        .doc(does::<ContactIdRequest>(
            "unblockContact",
            "Unblock a contact",
            &UNBLOCK,
        ))
        .post(&below("note"), note)
        .doc(does::<ContactNoteRequest>(
            "setContactNote",
            "Write a note about a contact",
            &NOTE,
        ))
        .about("Contacts", "Whom the account knows at its channel.")
}

#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Contact")]
pub struct ContactView {
    id: String,
    conversation_id: String,
    display_name: String,
    avatar_url: String,
    provider_user_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_blocked: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<Map<String, Value>>,
    // Our own additions.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_bot: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
}

impl ContactView {
    /// Where the conversation with somebody, or what the channel calls a person elsewhere, is
    /// another id, the provider says so in `extra`.
    pub fn new(it: Contact, avatar_url: String) -> Self {
        let hint = |name: &str| {
            let value = it.extra.as_ref()?.get(name)?.as_str()?;
            Some(value.to_owned()).filter(|value| !value.is_empty())
        };
        Self {
            conversation_id: hint("conversation_id").unwrap_or_else(|| it.id.clone()),
            provider_user_id: hint("provider_user_id").unwrap_or_else(|| it.id.clone()),
            display_name: name_of(&it),
            avatar_url,
            is_blocked: it.is_blocked,
            extra: with_phone(it.extra, it.phone.as_deref()),
            username: it.username,
            phone: it.phone,
            is_bot: it.is_bot,
            aliases: it.aliases,
            id: it.id,
        }
    }
}

async fn list(at: AtAccount, query: Query) -> Answer {
    let wanted = query.bounded("q", ID)?.map(str::to_lowercase);
    // Providers have no incremental lists: everything is there, which the contract allows.
    let since = query.text("updated_since").unwrap_or_default();
    if !since.is_empty() && Timestamp::parse_rfc3339(since).is_none() {
        return Err(ApiError::field(
            "updated_since",
            "must be a time (RFC 3339)",
        ));
    }
    let subject = at.subject(&LIST).await?;
    let fits = |it: &Contact| wanted.as_deref().is_none_or(|wanted| is_called(it, wanted));
    let listed: Listed<ContactView> = subject
        .list(
            &query,
            &[wanted.as_deref().unwrap_or_default(), since],
            Command::ListContacts,
            |answer| match answer {
                command::Answer::Contacts(page) => Some(Page {
                    items: page.items.into_iter().filter(fits).collect(),
                    next: page.next,
                }),
                _ => None,
            },
            ContactView::new,
        )
        .await?;
    Reply::ok(&listed)
}

/// `wanted` in lower case.
fn is_called(it: &Contact, wanted: &str) -> bool {
    let names = [&it.display_name, &it.username, &it.phone];
    names
        .into_iter()
        .flatten()
        .chain([&it.id])
        .any(|name| name.to_lowercase().contains(wanted))
}

async fn get(at: AtAccount, query: Query) -> Answer {
    let contact = query.required("contact_id", ID)?.to_owned();
    let subject = at.subject(&GET).await?;
    one(&subject, "contact_id", Command::GetContact(contact)).await
}

/// Our own: somebody by phone, user name or e-mail.
async fn resolve(at: AtAccount, query: Query) -> Answer {
    let address = query.required("address", ID)?.to_owned();
    let subject = at.subject(&RESOLVE).await?;
    one(&subject, "address", Command::ResolveContact(address)).await
}

async fn one(subject: &Subject, field: &str, command: Command) -> Answer {
    let found = answer_of!(subject.ask(command).await?, command::Answer::Contact)?;
    let found = found.ok_or_else(|| {
        ApiError::new(
            codes::CONTACT_NOT_FOUND,
            format!("{field}: the channel knows nobody by it"),
        )
    })?;
    let url = subject.avatar_url(found.avatar.as_ref()).await;
    Reply::ok(&ContactView::new(*found, url))
}

#[derive(Debug, JsonSchema, Serialize)]
pub struct ContactBlocklistResult {
    blocklist: Vec<String>,
}

async fn blocklist(at: AtAccount) -> Answer {
    let subject = at.subject(&BLOCKLIST).await?;
    let limit = subject
        .capable()
        .items("contacts.blocklist", BLOCKLIST_PAGE);
    let mut blocklist = Vec::new();
    let mut cursor = None;
    for _ in 0..BLOCKLIST_PAGES {
        let asked = PageOf {
            cursor: cursor.clone(),
            limit,
        };
        let answer = subject.ask(Command::ListBlocked(asked)).await?;
        let page = answer_of!(answer, command::Answer::Contacts)?;
        blocklist.extend(page.items.into_iter().map(|contact| contact.id));
        match page.next {
            None => return Reply::ok(&ContactBlocklistResult { blocklist }),
            same if same == cursor => return Err(wrong_answer()),
            next => cursor = next,
        }
    }
    Err(ApiError::new(
        codes::LIST_BLOCKLIST_FAILED,
        format!("the list has more than {BLOCKLIST_PAGES} pages"),
    ))
}

#[derive(Debug, JsonSchema)]
pub struct ContactIdRequest {
    #[schemars(length(min = 1, max = 512))]
    pub contact_id: String,
}

impl Read for ContactIdRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            contact_id: fields.required_text("contact_id", ID)?.to_owned(),
        })
    }
}

macro_rules! blocking {
    ($($handler:ident $operation:ident $blocked:literal;)*) => {$(
        async fn $handler(
            at: AtAccount,
            Body(request): Body<ContactIdRequest>,
        ) -> Answer {
            let subject = at.subject(&$operation).await?;
            let command = Command::Block {
                contact: request.contact_id,
                blocked: $blocked,
            };
            Reply::ok(&subject.act(command).await?)
        }
    )*};
}

blocking! {
    block BLOCK true;
    unblock UNBLOCK false;
}

#[derive(Debug, JsonSchema)]
pub struct ContactNoteRequest {
    #[schemars(length(min = 1, max = 512))]
    pub contact_id: String,
    /// Empty: cleared.
    #[schemars(length(max = 65536))]
    pub note: String,
}

impl Read for ContactNoteRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        let note = fields.any_text("note", NOTE_CHARS)?;
        Ok(Self {
            contact_id: fields.required_text("contact_id", ID)?.to_owned(),
            note: note
                .ok_or_else(|| fields.error("note", "is required (a string; empty clears it)"))?
                .to_owned(),
        })
    }
}

async fn note(at: AtAccount, Body(request): Body<ContactNoteRequest>) -> Answer {
    let subject = at.subject(&NOTE).await?;
    subject.capable().needs("contacts.note")?;
    subject
        .capable()
        .chars("contacts.note", "note", &request.note)?;
    let command = Command::SetNote {
        contact: request.contact_id,
        note: request.note,
    };
    Reply::ok(&subject.act(command).await?)
}
