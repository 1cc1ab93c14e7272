//! Our own: the account's person on its channel, and what only one channel has.

use super::super::Api;
use super::super::body::{Body, OptionalJsonBody, Read};
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::{ApiError, Operation};
use super::super::fields::Fields;
use super::super::keys::WorkspaceKey;
use super::super::query::PathPair;
use super::super::routes::Routes;
use super::at_account::AtAccount;
use super::command_doc::{asks, does, makes};
use super::picture;
use super::profile_view::ProfileView;
use super::subject::{ID, Subject, answer_of, odd};
use crate::domain::command::{self, Command};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

const OWN: Operation = Operation::of_command(codes::COMMAND_FAILED, codes::NOT_FOUND);
const BIO: usize = 64 * 1024;

pub fn routes() -> Routes {
    const PROFILE: &str = "/v1/accounts/{account_id}/profile";
    Routes::new()
        .get(PROFILE, get)
        .doc(asks::<ProfileView>(
            "getAccountProfile",
            "Read the account's person on its channel",
            &OWN,
        ))
        .patch(PROFILE, update)
        .doc(does::<ProfileUpdateRequest>(
            "updateAccountProfile",
            "Change it; what is absent stays",
            &OWN,
        ))
        .post(&format!("{PROFILE}/presence"), presence)
        .doc(does::<PresenceRequest>(
            "setAccountPresence",
            "Show the account as online or not",
            &OWN,
        ))
        .post("/v1/accounts/{account_id}/commands/{name}", run)
        .doc(
            makes::<Map<String, Value>, CommandResult>(
                "runAccountCommand",
                "Do what only one channel has",
                &OWN,
            )
            .optional_body::<Map<String, Value>>(),
        )
        .about(
            "Profile",
            "The account's person on its channel, and what only one channel has.",
        )
}

async fn get(at: AtAccount) -> Answer {
    let subject = at.subject(&OWN).await?;
    let answer = subject.ask(Command::GetProfile).await?;
    let profile = answer_of!(answer, command::Answer::Profile)?;
    let url = subject.avatar_url(profile.avatar.as_ref()).await;
    Reply::ok(&ProfileView::new(profile, url))
}

/// What is absent stays.
#[derive(Debug, JsonSchema)]
pub struct ProfileUpdateRequest {
    #[schemars(length(max = 512))]
    pub display_name: Option<String>,
    /// Empty: cleared.
    #[schemars(length(max = 65536))]
    pub bio: Option<String>,
    /// Of an image, which the host gets from there.
    #[schemars(url, length(max = 8192))]
    pub avatar_url: Option<String>,
}

impl Read for ProfileUpdateRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let request = Self {
            display_name: owned(fields.text("display_name", ID)?),
            bio: owned(fields.any_text("bio", BIO)?),
            avatar_url: picture::address(fields)?,
        };
        let given = [&request.display_name, &request.bio, &request.avatar_url];
        if given.iter().all(|one| one.is_none()) {
            let rule = "give at least one of display_name, bio and avatar_url";
            return Err(ApiError::field("body", rule));
        }
        Ok(request)
    }
}

async fn update(at: AtAccount, Body(request): Body<ProfileUpdateRequest>) -> Answer {
    const FEATURE: &str = "profile.update";
    let subject = at.subject(&OWN).await?;
    let capable = subject.capable();
    capable.needs(FEATURE)?;
    for (field, text) in [
        ("display_name", &request.display_name),
        ("bio", &request.bio),
    ] {
        capable.chars(FEATURE, field, text.as_deref().unwrap_or_default())?;
    }
    let avatar = picture::fetched(&subject, FEATURE, request.avatar_url.as_deref()).await?;
    let command = Command::UpdateProfile {
        display_name: request.display_name,
        bio: request.bio,
        avatar,
    };
    Reply::ok(&subject.act(command).await?)
}

#[derive(Debug, JsonSchema)]
pub struct PresenceRequest {
    pub online: bool,
}

impl Read for PresenceRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            online: fields.required_boolean("online")?,
        })
    }
}

async fn presence(at: AtAccount, Body(request): Body<PresenceRequest>) -> Answer {
    let subject = at.subject(&OWN).await?;
    let command = Command::SetPresence {
        online: request.online,
    };
    Reply::ok(&subject.act(command).await?)
}

#[derive(Debug, JsonSchema, Serialize)]
pub struct CommandResult {
    /// What it gave back; null: nothing.
    value: Value,
}

/// The body is the command's input.
async fn run(
    State(api): State<Api>,
    WorkspaceKey(workspace): WorkspaceKey,
    PathPair(id, name): PathPair,
    OptionalJsonBody(input): OptionalJsonBody,
) -> Answer {
    let subject = Subject::of(&api, &OWN, &workspace, &id).await?;
    let command = Command::Run {
        name,
        input: Value::Object(input),
    };
    let value = match subject.ask(command).await? {
        command::Answer::Done => Value::Null,
        command::Answer::Value(value) => value,
        other => return Err(odd(&other)),
    };
    Reply::ok(&CommandResult { value })
}
