//! What a provider declares, held against a request before the provider is called: 501 for what it
//! does not offer, 400 for what breaks one of its limits.

use super::codes;
use super::error::{ApiError, BrokenLimit};
use super::fields;
use crate::domain::capability::{self, Features, Limit};
use crate::supervisor::control::ProviderInfo;
use serde_json::{Value, json};

#[derive(Clone, Copy)]
pub struct Capable<'a> {
    provider: &'a str,
    pub features: Features<'a>,
}

impl<'a> Capable<'a> {
    pub fn of(info: &'a ProviderInfo) -> Self {
        Self {
            provider: &info.manifest.id,
            features: Features(&info.features),
        }
    }

    pub fn has(&self, feature: &str) -> bool {
        self.features.has(feature)
    }

    pub fn needs(&self, feature: &str) -> Result<(), ApiError> {
        if self.has(feature) {
            return Ok(());
        }
        Err(ApiError::new(
            codes::UNSUPPORTED_BY_PROVIDER,
            format!("provider `{}` does not offer {feature}", self.provider),
        ))
    }

    pub fn chars(&self, feature: &str, field: &str, text: &str) -> Result<(), ApiError> {
        let found = text.chars().count() as u64;
        self.at_most(feature, capability::MAX_CHARS, field, found, "characters")
    }

    /// `unit`: what is counted, such as `items`.
    pub fn at_most(
        &self,
        feature: &str,
        limit: Limit,
        field: &str,
        found: u64,
        unit: &str,
    ) -> Result<(), ApiError> {
        match self.features.number(feature, limit) {
            Some(most) if found > most => Err(broken(
                field,
                &format!("must have at most {most} {unit}"),
                feature,
                limit,
                json!(most),
            )),
            _ => Ok(()),
        }
    }

    /// How long something is set for.
    pub fn seconds(&self, feature: &str, field: &str, found: u64) -> Result<(), ApiError> {
        let limit = capability::MAX_SECONDS;
        match self.features.number(feature, limit) {
            Some(most) if found > most => Err(broken(
                field,
                &format!("must be at most {most} seconds"),
                feature,
                limit,
                json!(most),
            )),
            _ => Ok(()),
        }
    }

    pub fn one_of(
        &self,
        feature: &str,
        limit: Limit,
        field: &str,
        found: &str,
    ) -> Result<(), ApiError> {
        match self.features.words(feature, limit) {
            Some(words) if !words.contains(&found) => Err(broken(
                field,
                &fields::one_of(&words),
                feature,
                limit,
                json!(words),
            )),
            _ => Ok(()),
        }
    }

    /// `kind`: of a conversation.
    pub fn kind(&self, feature: &str, field: &str, kind: &str) -> Result<(), ApiError> {
        self.one_of(feature, capability::CONVERSATION_KINDS, field, kind)
            .map_err(|error| {
                let mut error = error.with_code(codes::UNSUPPORTED_CONVERSATION_TYPE);
                error.message = format!("{field}: this provider cannot do it for `{kind}`");
                error
            })
    }

    /// A file that is in the media store.
    pub fn medium(
        &self,
        feature: &str,
        field: &str,
        size: u64,
        mime: Option<&str>,
    ) -> Result<(), ApiError> {
        self.at_most(feature, capability::MAX_BYTES, field, size, "bytes")?;
        let limit = capability::MIME_TYPES;
        let Some(words) = self.features.words(feature, limit) else {
            return Ok(());
        };
        let mime = mime.unwrap_or("application/octet-stream");
        let fits = |word: &&str| match word.strip_suffix('*') {
            Some(start) => mime.starts_with(start),
            None => mime == *word,
        };
        if words.iter().any(fits) {
            return Ok(());
        }
        let rule = format!("is `{mime}`, {}", fields::one_of(&words));
        Err(broken(field, &rule, feature, limit, json!(words)))
    }

    /// The size of a page that is asked for.
    pub fn items(&self, feature: &str, limit: u32) -> u32 {
        let most = self.features.number(feature, capability::MAX_ITEMS);
        most.and_then(|most| u32::try_from(most).ok())
            .map_or(limit, |most| limit.min(most))
    }
}

fn broken(field: &str, rule: &str, feature: &str, limit: Limit, value: Value) -> ApiError {
    let mut error = ApiError::field(field, format!("{rule} ({} of {feature})", limit.name));
    error.details.limit = Some(BrokenLimit {
        feature: feature.to_owned(),
        name: limit.name,
        value,
    });
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_limit_is_named_with_its_value() {
        let features = vec![
            (
                "send.text".to_owned(),
                Some(json!({"max-chars": 3, "conversation-kinds": ["user"]})),
            ),
            (
                "message.react".to_owned(),
                Some(json!({"emojis": ["👍", "👎"]})),
            ),
            (
                "conversations.list".to_owned(),
                Some(json!({"max-items": 10})),
            ),
        ];
        let capable = Capable {
            provider: "harbor",
            features: Features(&features),
        };
        assert!(capable.chars("send.text", "text", "añb").is_ok());
        let error = capable.chars("send.text", "text", "añbc").unwrap_err();
        assert_eq!(
            error.message,
            "text: must have at most 3 characters (max-chars of send.text)"
        );
        assert_eq!(
            error.details.limit,
            Some(BrokenLimit {
                feature: "send.text".into(),
                name: "max-chars",
                value: json!(3),
            })
        );
        let error = capable
            .one_of("message.react", capability::EMOJIS, "emoji", "🍋")
            .unwrap_err();
        assert_eq!(
            error.message,
            "emoji: must be one of 👍, 👎 (emojis of message.react)"
        );
        let error = capable.kind("send.text", "to.type", "group").unwrap_err();
        assert_eq!(error.code, codes::UNSUPPORTED_CONVERSATION_TYPE);
        assert_eq!(capable.items("conversations.list", 50), 10);
        assert_eq!(capable.items("contacts.list", 50), 50);
        let error = capable.needs("groups.list").unwrap_err();
        assert_eq!(error.code, codes::UNSUPPORTED_BY_PROVIDER);
    }
}
