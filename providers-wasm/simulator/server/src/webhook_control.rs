//! What control asks about tokens of the HTTP API, webhooks and media.

use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::control::ControlReply;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookRequest {
    /// Of the HTTP API, for an account of this user.
    Token {
        user: String,
    },
    /// Where events are posted to. `user`: none for all that have no address of their own; `url`:
    /// none for no webhooks.
    Set {
        user: Option<String>,
        url: Option<String>,
        secret: String,
    },
    /// What was posted, and what the answers were.
    Deliveries {},
    /// The last request to this user's address, or to the app's.
    Last {
        user: Option<String>,
    },
    /// A medium of so many bytes, which are made up.
    MakeUp {
        size: u64,
        mime: String,
    },
    Medium {
        id: String,
    },
}

pub(crate) fn handle(channel: &Channel, request: WebhookRequest) -> ControlReply {
    match request {
        WebhookRequest::Token { user } => {
            let user = channel.user(&user);
            ControlReply::Token(channel.token(&user))
        }
        WebhookRequest::Set { user, url, secret } => {
            match channel.set_hook(user.as_deref(), url, secret.into_bytes()) {
                Ok(()) => ControlReply::Done {},
                Err(fault) => ControlReply::Error(fault.message),
            }
        }
        WebhookRequest::Deliveries {} => ControlReply::Deliveries(channel.deliveries.all()),
        WebhookRequest::Last { user } => {
            let hook = channel.hook(user.as_deref());
            ControlReply::SignedRequest(hook.and_then(|hook| hook.last()))
        }
        WebhookRequest::MakeUp { size, mime } => {
            let id = format!("g-{}-{}", channel.epoch, channel.next_arrival());
            ControlReply::Medium(Some(channel.media.make_up(id, size, mime)))
        }
        WebhookRequest::Medium { id } => ControlReply::Medium(channel.media.medium(&id)),
    }
}
