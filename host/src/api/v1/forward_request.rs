//! Our own: sending on what another message says.

use super::super::Api;
use super::super::body::Read;
use super::super::capable::Capable;
use super::super::error::{ApiError, Operation};
use super::super::fields::Fields;
use super::message_actions::MessageTarget;
use super::message_request::Recipient;
use crate::domain::WorkspaceId;
use crate::domain::account::Account;
use crate::domain::send::{Content, Outgoing};
use crate::supervisor::control::ProviderInfo;
use schemars::JsonSchema;

#[derive(Debug, JsonSchema)]
pub struct MessageForwardRequest {
    #[serde(flatten)]
    pub target: MessageTarget,
    pub to: Recipient,
}

impl Read for MessageForwardRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            target: MessageTarget::read(fields)?,
            to: Recipient::read(&fields.required_object("to")?)?,
        })
    }
}

impl MessageForwardRequest {
    pub async fn outgoing(
        self,
        api: &Api,
        workspace: &WorkspaceId,
        account: &Account,
        info: &ProviderInfo,
    ) -> Result<Outgoing, ApiError> {
        const FEATURE: &str = "message.forward";
        let capable = Capable::of(info);
        capable.needs(FEATURE)?;
        capable.kind(FEATURE, "to.type", self.to.kind)?;
        let found = self.target.find(api, &Operation::SEND, workspace, account);
        Ok(Outgoing {
            conversation: self.to.id,
            conversation_kind: self.to.kind.to_owned(),
            content: Content::Forward {
                message: found.await?,
            },
            quote: None,
            reply_context: None,
            mentions: Vec::new(),
            extra: None,
        })
    }
}
