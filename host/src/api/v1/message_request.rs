//! `SendMessageRequest`: reading it, and turning it into what the provider gets.

use super::super::capable::Capable;
use super::super::codes;
use super::super::error::ApiError;
use super::super::fields::{self, Fields};
use super::super::{OpenedToken, ReplyTarget, ReplyTokens};
use super::conversation_view::KINDS;
use crate::domain::AccountId;
use crate::domain::capability;
use crate::domain::media::{BlobId, is_mime};
use crate::domain::send::{
    Caption, ContactCard, Content, Medium, MediumKind, MediumSource, Outgoing, Quote,
};
use crate::supervisor::control::ProviderInfo;
use schemars::JsonSchema;
use serde_json::{Map, Value};

const ID: usize = 512;
const TEXT: usize = 256 * 1024;
const URL: usize = 8192;

/// As read; nothing is known of account and provider yet.
#[derive(Debug)]
pub struct SendRequest {
    pub account_id: String,
    to: Recipient,
    message: Message,
    reply_token: Option<String>,
    mentions: Vec<String>,
    provider_data: Option<Map<String, Value>>,
}

/// Where a message goes.
#[derive(Debug, JsonSchema)]
pub struct Recipient {
    #[schemars(length(min = 1, max = 512))]
    pub id: String,
    /// `user`, `group` or `channel`.
    #[schemars(rename = "type", extend("enum" = KINDS))]
    pub kind: &'static str,
}

impl Recipient {
    pub fn read(to: &Fields<'_>) -> Result<Self, ApiError> {
        let id = to.required_text("id", ID)?.to_owned();
        let kind = to.required_text("type", 64)?;
        let kind = KINDS.into_iter().find(|known| *known == kind);
        let kind = kind.ok_or_else(|| {
            to.error("type", fields::one_of(&KINDS))
                .with_code(codes::INVALID_CONVERSATION_TYPE)
        })?;
        Ok(Self { id, kind })
    }
}

#[derive(Debug)]
enum Message {
    Text(String),
    Contacts(Vec<ContactCard>),
    Media {
        medium: Box<Medium>,
        caption: Option<String>,
    },
}

impl SendRequest {
    pub fn read(body: &Map<String, Value>) -> Result<Self, ApiError> {
        let fields = Fields::top(body);
        let account_id = fields.required_text("account_id", ID)?.to_owned();
        let to = Recipient::read(&fields.required_object("to")?)?;
        let message = Message::read(&fields.required_object("message")?)?;
        let reply_token = fields
            .object("reply_to")?
            .map(|reply| reply.required_text("reply_token", 8192).map(str::to_owned))
            .transpose()?;
        let mut mentions = Vec::new();
        for (index, mention) in fields
            .list("mentions")?
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            let mention = Fields::at(&format!("mentions[{index}]"), mention)?;
            mentions.push(mention.required_text("id", ID)?.to_owned());
        }
        let provider_data = fields
            .object("provider_data")?
            .map(|data| data.map().clone());
        Ok(Self {
            account_id,
            to,
            message,
            reply_token,
            mentions,
            provider_data,
        })
    }

    /// What the provider gets, if it has what this needs. `tokens` opens the reply token.
    pub fn outgoing(
        self,
        account: &AccountId,
        info: &ProviderInfo,
        tokens: &dyn ReplyTokens,
    ) -> Result<Outgoing, ApiError> {
        let provider = Provider(Capable::of(info));
        let feature = match &self.message {
            Message::Text(_) => "send.text",
            Message::Contacts(_) => "send.contact",
            Message::Media { medium, .. } => medium.kind.feature(),
        };
        provider.0.needs(feature)?;
        provider.0.kind(feature, "to.type", self.to.kind)?;
        let replied = self.replied(account, &provider, tokens)?;
        let mut mentions = Vec::new();
        let content = match self.message {
            Message::Media { medium, caption } => {
                let format = provider.format(self.provider_data.as_ref())?;
                let caption = match caption {
                    Some(mut text) => {
                        provider.0.chars(feature, "message.caption", &text)?;
                        if provider.mentions(&self.mentions, self.to.kind)? {
                            (text, mentions) = place_mentions(&text, self.mentions);
                        }
                        Some(Caption {
                            text,
                            format: format.to_owned(),
                        })
                    }
                    None => None,
                };
                Content::Media {
                    media: vec![*medium],
                    caption,
                }
            }
            Message::Contacts(contacts) => {
                let (limit, count) = (capability::MAX_CONTACTS, contacts.len() as u64);
                let field = "message.contacts";
                provider.0.at_most(feature, limit, field, count, "items")?;
                Content::Contacts { contacts }
            }
            Message::Text(mut text) => {
                provider.0.chars(feature, "message.text", &text)?;
                // Providers without mentions send the anchors as they stand.
                if provider.mentions(&self.mentions, self.to.kind)? {
                    (text, mentions) = place_mentions(&text, self.mentions);
                }
                let format = provider.format(self.provider_data.as_ref())?;
                Content::Text {
                    text,
                    format: format.to_owned(),
                }
            }
        };
        Ok(Outgoing {
            conversation: self.to.id,
            conversation_kind: self.to.kind.to_owned(),
            content,
            reply_context: replied.as_ref().and_then(|it| it.reply_context.clone()),
            quote: replied.map(|it| Quote {
                message: it.message,
                sender: it.sender,
            }),
            mentions,
            extra: self.provider_data.map(Value::Object),
        })
    }

    /// Of `reply_to.reply_token`, else of a token in `provider_data.reply_to`, where an older
    /// client puts it. What is no token of ours there stays the provider's to read.
    fn replied(
        &self,
        account: &AccountId,
        provider: &Provider<'_>,
        tokens: &dyn ReplyTokens,
    ) -> Result<Option<ReplyTarget>, ApiError> {
        let invalid = |field: &str, of: &str| {
            Err(
                ApiError::field(field, format!("is not a reply token of this {of}"))
                    .with_code(codes::INVALID_REPLY_TOKEN),
            )
        };
        // It holds within its conversation.
        let target = |field: &str, target: ReplyTarget| {
            provider.0.kind("send.reply", "to.type", self.to.kind)?;
            if target.conversation == self.to.id {
                Ok(Some(target))
            } else {
                invalid(field, "conversation")
            }
        };
        if let Some(token) = &self.reply_token {
            let field = "reply_to.reply_token";
            provider.0.needs("send.reply")?;
            return match tokens.open(account, token) {
                OpenedToken::Target(found) => target(field, found),
                OpenedToken::Foreign | OpenedToken::Invalid => invalid(field, "account"),
            };
        }
        let older = self
            .provider_data
            .as_ref()
            .and_then(|data| data.get("reply_to"))
            .and_then(Value::as_str)
            .filter(|_| provider.has("send.reply"));
        match older.map(|token| tokens.open(account, token)) {
            None | Some(OpenedToken::Foreign) => Ok(None),
            Some(OpenedToken::Target(found)) => target("provider_data.reply_to", found),
            Some(OpenedToken::Invalid) => invalid("provider_data.reply_to", "account"),
        }
    }
}

impl Message {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        let media = |kind| read_medium(fields, kind);
        match fields.required_text("type", 64)? {
            "text" => Ok(Self::Text(fields.required_text("text", TEXT)?.to_owned())),
            "contact" => read_contacts(fields).map(Self::Contacts),
            "image" => media(MediumKind::Image),
            "video" => media(MediumKind::Video),
            "audio" => media(MediumKind::Audio),
            "voice" => media(MediumKind::Voice),
            "sticker" => media(MediumKind::Sticker),
            "document" | "file" => media(MediumKind::Document),
            _ => Err(fields
                .error(
                    "type",
                    "must be one of text, image, video, audio, voice, document, file, sticker, contact",
                )
                .with_code(codes::UNSUPPORTED_MESSAGE_TYPE)),
        }
    }
}

/// `url` (or `file_url`) is fetched by the host later; `file_key` is the id of an uploaded medium.
fn read_medium(fields: &Fields<'_>, kind: MediumKind) -> Result<Message, ApiError> {
    let mut sources = Vec::new();
    for name in ["url", "file_url"] {
        if let Some(text) = fields.text(name, URL)? {
            check_url(text).map_err(|rule| fields.error(name, rule))?;
            sources.push(MediumSource::Url(text.to_owned()));
        }
    }
    if let Some(key) = fields.text("file_key", 128)? {
        sources.insert(0, MediumSource::Blob(BlobId::from_text(key)));
    }
    // The first of file_key, url, file_url counts.
    let Some(source) = sources.into_iter().next() else {
        return Err(fields.error("url", "is required (or file_url, or file_key)"));
    };
    let mime = fields.text("mime_type", 255)?.map(str::to_ascii_lowercase);
    if mime.as_deref().is_some_and(|mime| !is_mime(mime)) {
        return Err(fields.error("mime_type", "must be type/subtype, such as image/png"));
    }
    let filename = match fields.text("file_name", 255)? {
        Some(name) => Some(name),
        None => fields.text("title", 255)?,
    };
    let caption = match fields.text("caption", TEXT)? {
        Some(caption) => Some(caption),
        None => fields.text("text", TEXT)?,
    };
    Ok(Message::Media {
        medium: Box::new(Medium {
            kind,
            source,
            mime,
            filename: filename.map(str::to_owned),
            size: None,
        }),
        caption: caption.map(str::to_owned),
    })
}

pub fn check_url(text: &str) -> Result<(), String> {
    let url = url::Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        return Err("must be an https:// or http:// URL".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not name a user or password".to_owned());
    }
    Ok(())
}

fn read_contacts(fields: &Fields<'_>) -> Result<Vec<ContactCard>, ApiError> {
    let items = fields.list("contacts")?.unwrap_or_default();
    if items.is_empty() {
        return Err(fields.error("contacts", "is required (a list of at least one contact)"));
    }
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let card = Fields::at(&fields.path(&format!("contacts[{index}]")), item)?;
            Ok(ContactCard {
                name: card.required_text("name", ID)?.to_owned(),
                phones: read_labelled(&card, "phones", "number")?,
                emails: read_labelled(&card, "emails", "address")?,
                organization: card.text("organization", ID)?.map(str::to_owned),
                title: card.text("title", ID)?.map(str::to_owned),
            })
        })
        .collect()
}

/// `[{number, type}]` and the like.
fn read_labelled(
    card: &Fields<'_>,
    list: &str,
    value: &str,
) -> Result<Vec<(String, Option<String>)>, ApiError> {
    card.list(list)?
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let item = Fields::at(&card.path(&format!("{list}[{index}]")), item)?;
            Ok((
                item.required_text(value, ID)?.to_owned(),
                item.text("type", 64)?.map(str::to_owned),
            ))
        })
        .collect()
}

/// What a provider declares of sending.
struct Provider<'a>(Capable<'a>);

impl Provider<'_> {
    fn has(&self, feature: &str) -> bool {
        self.0.has(feature)
    }

    /// Does it know mentions where this goes? Then there are no more of them than it can take.
    fn mentions(&self, ids: &[String], kind: &str) -> Result<bool, ApiError> {
        const FEATURE: &str = "send.mentions";
        if !self.has(FEATURE) || self.0.kind(FEATURE, "to.type", kind).is_err() {
            return Ok(false);
        }
        let (limit, count) = (capability::MAX_MENTIONS, ids.len() as u64);
        self.0.at_most(FEATURE, limit, "mentions", count, "items")?;
        Ok(true)
    }

    /// `provider_data.parse_mode`, for providers that say they read it.
    fn format(&self, data: Option<&Map<String, Value>>) -> Result<&'static str, ApiError> {
        let mode = data
            .and_then(|data| data.get("parse_mode"))
            .and_then(Value::as_str)
            .map(str::to_ascii_lowercase);
        match mode.as_deref() {
            Some("markdown" | "markdownv2") if self.has("send.markdown") => Ok("markdown"),
            Some("html") if self.has("send.html") => Ok("html"),
            Some(other)
                if !other.is_empty()
                    && !matches!(other, "markdown" | "markdownv2" | "html")
                    && (self.has("send.markdown") || self.has("send.html")) =>
            {
                Err(ApiError::field(
                    "provider_data.parse_mode",
                    "must be one of Markdown, HTML",
                ))
            }
            _ => Ok("plain"),
        }
    }
}

type Mentions = Vec<(String, Option<(u32, u32)>)>;

/// Takes the anchors `{{@id}}` of the listed ids out of the text and says where `@id` stands
/// instead, in Unicode scalar values. Those without an anchor are mentioned at no place.
fn place_mentions(text: &str, ids: Vec<String>) -> (String, Mentions) {
    let mut placed = String::with_capacity(text.len());
    let mut mentions: Mentions = Vec::new();
    let mut position = 0u32;
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let anchored = rest
            .strip_prefix("{{@")
            .and_then(|inner| inner.split_once("}}"))
            .filter(|(id, _)| ids.iter().any(|known| known == id));
        if let Some((id, after)) = anchored {
            let length = 1 + id.chars().count() as u32;
            placed.push('@');
            placed.push_str(id);
            mentions.push((id.to_owned(), Some((position, length))));
            position += length;
            rest = after;
        } else {
            placed.push(character);
            position += 1;
            rest = &rest[character.len_utf8()..];
        }
    }
    for id in ids {
        if !mentions.iter().any(|(known, _)| *known == id) {
            mentions.push((id, None));
        }
    }
    (placed, mentions)
}

#[cfg(test)]
mod tests {
    use super::place_mentions;

    #[test]
    fn anchors_become_spans_in_characters() {
        let (text, mentions) = place_mentions(
            "é {{@7@lid}} and {{@8}}, {{@9}}",
            vec!["7@lid".into(), "9".into(), "5".into()],
        );
        assert_eq!(text, "é @7@lid and {{@8}}, @9");
        assert_eq!(
            mentions,
            [
                ("7@lid".to_owned(), Some((2, 6))),
                ("9".to_owned(), Some((21, 2))),
                ("5".to_owned(), None),
            ]
        );
    }
}
