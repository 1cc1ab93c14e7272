//! What a provider answers to questions, in the host's own types. The rules are those of events:
//! a broken one is an `Err` whose text names the rule, and the turn traps.

use super::content::past_message;
use super::limits::{check_conversation_kind, check_extra, check_id, check_json, check_name};
use super::message::PastMessage;
use super::{MAX_REFERENCE_BYTES, ReplyTokens};
use crate::domain::account::Profile;
use crate::domain::chat::{
    Avatar, Contact, Conversation, Extra, Invitation, JoinRequest, Label, Member, Page,
};
use crate::domain::{AccountId, Timestamp};
use anyport_contract::anyport::provider::{model, replies};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

/// Of one page, and of any other list in an answer.
const MAX_ITEMS: usize = 1_000;
/// Of a provider's own cursor.
const MAX_CURSOR_BYTES: usize = 4096;
/// Of a name, a title, a description, a phone number and the like.
const MAX_TEXT_BYTES: usize = 64 * 1024;

type Checked<T> = Result<T, String>;

pub fn page<F, T>(
    items: Vec<F>,
    next: Option<String>,
    one: impl Fn(F) -> Checked<T>,
) -> Checked<Page<T>> {
    if let Some(next) = &next
        && (next.is_empty() || next.len() > MAX_CURSOR_BYTES)
    {
        return Err(format!(
            "a page's cursor has 1 to {MAX_CURSOR_BYTES} bytes, not {}",
            next.len()
        ));
    }
    Ok(Page {
        items: list("a page", items, one)?,
        next,
    })
}

fn list<F, T>(what: &str, items: Vec<F>, one: impl Fn(F) -> Checked<T>) -> Checked<Vec<T>> {
    if items.len() > MAX_ITEMS {
        return Err(format!(
            "{what} has at most {MAX_ITEMS} items, not {}",
            items.len()
        ));
    }
    items.into_iter().map(one).collect()
}

pub fn created(id: String) -> Checked<String> {
    check_id("new thing", &id)?;
    Ok(id)
}

pub fn conversation(it: model::Conversation) -> Checked<Conversation> {
    check_id("conversation", &it.id)?;
    check_conversation_kind(&it.kind)?;
    Ok(Conversation {
        id: it.id,
        kind: it.kind,
        title: text("title", it.title)?,
        username: text("user name", it.username)?,
        description: text("description", it.description)?,
        avatar: it.avatar.map(avatar).transpose()?,
        unread: it.unread,
        members: it.members,
        is_pinned: it.is_pinned,
        is_muted: it.is_muted,
        is_archived: it.is_archived,
        created_at: it.created_at.map(Timestamp),
        last_message_at: it.last_message_at.map(Timestamp),
        last_message_text: text("text of a last message", it.last_message_text)?,
        extra: extra(it.extra.as_deref())?,
    })
}

pub fn contact(it: model::Contact) -> Checked<Contact> {
    check_id("contact", &it.id)?;
    Ok(Contact {
        id: it.id,
        display_name: text("display name", it.display_name)?,
        username: text("user name", it.username)?,
        phone: text("phone number", it.phone)?,
        avatar: it.avatar.map(avatar).transpose()?,
        aliases: list("a contact's list of aliases", it.aliases, |alias| {
            check_id("contact", &alias)?;
            Ok(alias)
        })?,
        is_bot: it.is_bot,
        is_blocked: it.is_blocked,
        extra: extra(it.extra.as_deref())?,
    })
}

pub fn member(it: model::Member) -> Checked<Member> {
    check_name("member's role", &it.role)?;
    Ok(Member {
        contact: contact(it.contact)?,
        role: it.role,
        joined_at: it.joined_at.map(Timestamp),
    })
}

pub fn label(it: replies::ConversationLabel) -> Checked<Label> {
    check_id("label", &it.id)?;
    Ok(Label {
        id: it.id,
        name: required("label's name", it.name)?,
    })
}

pub fn invitation(it: replies::Invitation) -> Checked<Invitation> {
    Ok(Invitation {
        url: required("invitation's address", it.url)?,
        code: required("invitation's code", it.code)?,
    })
}

pub fn join_requests(it: Vec<replies::JoinRequest>) -> Checked<Vec<JoinRequest>> {
    list("an answer", it, |it| {
        Ok(JoinRequest {
            contact: contact(it.contact)?,
            requested_at: it.requested_at.map(Timestamp),
        })
    })
}

pub fn profile(it: model::Identity) -> Checked<Profile> {
    check_id("contact", &it.id)?;
    Ok(Profile {
        id: Some(it.id),
        phone: text("phone number", it.phone)?,
        username: text("user name", it.username)?,
        display_name: text("display name", it.display_name)?,
        first_name: text("first name", it.first_name)?,
        last_name: text("last name", it.last_name)?,
        bio: text("bio", it.bio)?,
        avatar: it.avatar.map(avatar).transpose()?,
    })
}

pub fn value(json: &str) -> Checked<Value> {
    serde_json::from_str(check_json(json)?.get())
        .map_err(|error| format!("a value is JSON: {error}"))
}

/// A message as `conversation.history` tells of it, with a token to answer it.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "PastMessage")]
struct Told<'a> {
    #[serde(flatten)]
    message: PastMessage<'a>,
    reply_token: String,
}

pub fn message_schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Told<'_>>()
}

pub fn message(
    it: &model::Message,
    account: &AccountId,
    tokens: &dyn ReplyTokens,
) -> Checked<Value> {
    let told = Told {
        message: past_message(it)?,
        reply_token: tokens.seal(
            account,
            &it.conversation,
            &it.id,
            Some(&it.sender),
            it.reply_context.as_deref(),
        ),
    };
    serde_json::to_value(told).map_err(|error| format!("a message is not JSON: {error}"))
}

pub fn avatar(it: model::Attachment) -> Checked<Avatar> {
    if let Some(reference) = &it.reference
        && reference.len() > MAX_REFERENCE_BYTES
    {
        return Err(format!(
            "an attachment's reference has at most {MAX_REFERENCE_BYTES} bytes, not {}",
            reference.len()
        ));
    }
    Ok(Avatar {
        blob: text("blob's id", it.blob)?,
        reference: it.reference,
        mime: text("media type", it.mime)?,
    })
}

fn text(what: &str, text: Option<String>) -> Checked<Option<String>> {
    text.map(|text| bounded(what, text)).transpose()
}

fn required(what: &str, text: String) -> Checked<String> {
    if text.is_empty() {
        return Err(format!("a {what} must not be empty"));
    }
    bounded(what, text)
}

fn bounded(what: &str, text: String) -> Checked<String> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(format!(
            "a {what} has at most {MAX_TEXT_BYTES} bytes, not {}",
            text.len()
        ));
    }
    Ok(text)
}

fn extra(json: Option<&str>) -> Checked<Extra> {
    let Some(json) = check_extra(json)? else {
        return Ok(None);
    };
    match serde_json::from_str(json.get()) {
        Ok(Value::Object(map)) => Ok(Some(map)),
        _ => Err("an `extra` is a JSON object".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NoTokens;

    impl ReplyTokens for NoTokens {
        fn seal(
            &self,
            _: &AccountId,
            conversation: &str,
            message: &str,
            _: Option<&str>,
            context: Option<&str>,
        ) -> String {
            format!("{conversation}/{message}/{}", context.unwrap_or("none"))
        }
    }

    fn person(id: &str) -> model::Contact {
        model::Contact {
            id: id.into(),
            display_name: Some("Dana".into()),
            username: None,
            phone: Some("15550100023".into()),
            avatar: None,
            aliases: vec!["jid:1".into()],
            is_bot: None,
            is_blocked: Some(false),
            extra: Some(r#"{"team":"a"}"#.into()),
        }
    }

    fn chat(kind: &str) -> model::Conversation {
        model::Conversation {
            id: "c1".into(),
            kind: kind.into(),
            title: Some("Harbor crew".into()),
            username: None,
            description: None,
            avatar: None,
            unread: Some(2),
            members: Some(12),
            is_pinned: None,
            is_muted: Some(true),
            is_archived: None,
            created_at: Some(0),
            last_message_at: None,
            last_message_text: None,
            extra: None,
        }
    }

    #[test]
    fn what_keeps_the_rules_is_taken() {
        let taken = page(vec![chat("group")], Some("2".into()), conversation).unwrap();
        assert_eq!(taken.items[0].members, Some(12));
        assert_eq!(taken.next.as_deref(), Some("2"));
        let taken = contact(person("p")).unwrap();
        assert_eq!(taken.extra.unwrap()["team"], "a");
    }

    #[test]
    fn what_breaks_a_rule_is_refused_with_its_words() {
        let rules = |found: Result<(), String>, words: &str| {
            let rule = found.unwrap_err();
            assert!(rule.contains(words), "{rule}");
        };
        rules(
            conversation(chat("club")).map(drop),
            "one of user, group, channel, not `club`",
        );
        rules(contact(person("")).map(drop), "has 1 to 512 bytes");
        let long = model::Contact {
            display_name: Some("x".repeat(MAX_TEXT_BYTES + 1)),
            ..person("p")
        };
        rules(contact(long).map(drop), "a display name has at most");
        let listed = model::Contact {
            extra: Some("[1]".into()),
            ..person("p")
        };
        rules(contact(listed).map(drop), "an `extra` is a JSON object");
        let many = vec![chat("user"); MAX_ITEMS + 1];
        rules(
            page(many, None, conversation).map(drop),
            "at most 1000 items",
        );
        let nothing = page(vec![], Some(String::new()), conversation);
        rules(nothing.map(drop), "cursor has 1 to 4096 bytes");
        let nameless = replies::ConversationLabel {
            id: "1".into(),
            name: String::new(),
        };
        rules(label(nameless).map(drop), "must not be empty");
        rules(value("{").map(drop), "are JSON");
    }

    #[test]
    fn a_message_carries_a_token() {
        let said = model::Message {
            id: "m1".into(),
            conversation: "c1".into(),
            conversation_kind: "user".into(),
            conversation_title: None,
            sender: "p".into(),
            sender_name: None,
            from_me: false,
            sent_at: 0,
            edited_at: None,
            content: model::Content::Text(model::Text {
                body: "hi".into(),
                format: "plain".into(),
                mentions: vec![],
            }),
            quote: None,
            thread: None,
            reply_context: Some("x".into()),
            extra: None,
        };
        let told = message(&said, &AccountId::from_text("acc_1"), &NoTokens).unwrap();
        assert_eq!(told["reply_token"], "c1/m1/x");
        assert_eq!(told["text"], "hi");
        assert_eq!(told["sender"]["id"], "p");
    }
}
