//! The labels that people put on conversations.

use super::super::body::{Body, Read};
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::{ApiError, Operation};
use super::super::fields::Fields;
use super::super::page::Listed;
use super::super::query::Query;
use super::super::routes::Routes;
use super::at_account::AtAccount;
use super::command_doc::{lists, makes};
use super::conversation_view::LabelView;
use super::conversations::ids;
use super::subject::{ID, answer_of, page_of};
use crate::domain::capability;
use crate::domain::command::{self, Command};
use schemars::JsonSchema;
use serde::Serialize;

const LIST: Operation = Operation::of_list(codes::LIST_CONVERSATION_LABELS_FAILED);
const UPSERT: Operation = Operation::of_list(codes::UPSERT_LABEL_FAILED);
const DELETE: Operation = Operation::of_list(codes::DELETE_LABEL_FAILED);
const ASSIGN: Operation = Operation::of_list(codes::SET_LABEL_MEMBERS_FAILED);

pub fn routes() -> Routes {
    const ALL: &str = "/v1/accounts/{account_id}/conversations/labels";
    Routes::new()
        .get(ALL, list)
        .doc(lists::<Listed<LabelView>>(
            "listConversationLabels",
            "List the labels",
            &LIST,
        ))
        .post(ALL, assign)
        .doc(makes::<
            ConversationLabelMembersRequest,
            ConversationLabelMembersResult,
        >(
            "setConversationLabelMembers",
            "Label conversations, or take the label off",
            &ASSIGN,
        ))
        .post(&format!("{ALL}/upsert"), upsert)
        .doc(makes::<ConversationLabelUpsertRequest, LabelView>(
            "upsertConversationLabel",
            "Make or rename a label",
            &UPSERT,
        ))
        .post(&format!("{ALL}/delete"), remove)
        .doc(makes::<
            ConversationLabelDeleteRequest,
            ConversationLabelDeleteResult,
        >(
            "deleteConversationLabel", "Delete a label", &DELETE
        ))
        .about("Labels", "Labels of conversations.")
}

async fn list(at: AtAccount, query: Query) -> Answer {
    let subject = at.subject(&LIST).await?;
    let page = page_of!(command::Answer::Labels);
    let listed: Listed<LabelView> = subject
        .list(&query, &[], Command::ListLabels, page, |label, _| {
            LabelView::from(label)
        })
        .await?;
    Reply::ok(&listed)
}

#[derive(Debug, JsonSchema)]
pub struct ConversationLabelMembersRequest {
    #[schemars(length(min = 1, max = 512))]
    pub label_id: String,
    /// `add` or `remove`.
    #[schemars(extend("enum" = ["add", "remove"]))]
    pub action: &'static str,
    #[schemars(length(min = 1, max = 1000))]
    pub conversation_ids: Vec<String>,
}

impl Read for ConversationLabelMembersRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            label_id: fields.required_text("label_id", ID)?.to_owned(),
            action: fields.required_choice("action", &["add", "remove"])?,
            conversation_ids: ids(fields, "conversation_ids")?,
        })
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub struct ConversationLabelMembersResult {
    label_id: String,
    #[schemars(extend("enum" = ["add", "remove"]))]
    action: &'static str,
    conversation_ids: Vec<String>,
}

async fn assign(at: AtAccount, Body(request): Body<ConversationLabelMembersRequest>) -> Answer {
    const FEATURE: &str = "labels.assign";
    let subject = at.subject(&ASSIGN).await?;
    subject.capable().needs(FEATURE)?;
    let (limit, count) = (
        capability::MAX_CONVERSATIONS,
        request.conversation_ids.len() as u64,
    );
    subject
        .capable()
        .at_most(FEATURE, limit, "conversation_ids", count, "items")?;
    let command = Command::AssignLabel {
        id: request.label_id.clone(),
        conversations: request.conversation_ids.clone(),
        assigned: request.action == "add",
    };
    subject.act(command).await?;
    Reply::ok(&ConversationLabelMembersResult {
        label_id: request.label_id,
        action: request.action,
        conversation_ids: request.conversation_ids,
    })
}

#[derive(Debug, JsonSchema)]
pub struct ConversationLabelUpsertRequest {
    /// None: a new one.
    #[schemars(length(max = 512))]
    pub label_id: Option<String>,
    #[schemars(length(min = 1, max = 512))]
    pub name: String,
}

impl Read for ConversationLabelUpsertRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            label_id: fields.text("label_id", ID)?.map(str::to_owned),
            name: fields.required_text("name", ID)?.to_owned(),
        })
    }
}

async fn upsert(at: AtAccount, Body(request): Body<ConversationLabelUpsertRequest>) -> Answer {
    let subject = at.subject(&UPSERT).await?;
    subject.capable().needs("labels.upsert")?;
    subject
        .capable()
        .chars("labels.upsert", "name", &request.name)?;
    let name = request.name.clone();
    let id = match request.label_id {
        Some(id) => {
            let command = Command::UpsertLabel {
                id: Some(id.clone()),
                name,
            };
            subject.act(command).await?;
            id
        }
        None => {
            let command = Command::UpsertLabel { id: None, name };
            answer_of!(subject.ask(command).await?, command::Answer::Created)?
        }
    };
    Reply::ok(&LabelView {
        id,
        name: request.name,
    })
}

#[derive(Debug, JsonSchema)]
pub struct ConversationLabelDeleteRequest {
    #[schemars(length(min = 1, max = 512))]
    pub label_id: String,
}

impl Read for ConversationLabelDeleteRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            label_id: fields.required_text("label_id", ID)?.to_owned(),
        })
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub struct ConversationLabelDeleteResult {
    label_id: String,
    deleted: bool,
}

async fn remove(at: AtAccount, Body(request): Body<ConversationLabelDeleteRequest>) -> Answer {
    let subject = at.subject(&DELETE).await?;
    let command = Command::RemoveLabel(request.label_id.clone());
    subject.act(command).await?;
    Reply::ok(&ConversationLabelDeleteResult {
        label_id: request.label_id,
        deleted: true,
    })
}
