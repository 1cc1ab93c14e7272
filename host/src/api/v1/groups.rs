//! Groups. Their members are listed with the conversation's.

use super::super::body::{Body, Read};
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::{ApiError, Operation};
use super::super::fields::Fields;
use super::super::page::Listed;
use super::super::query::Query;
use super::super::routes::Routes;
use super::at_account::AtAccount;
use super::command_doc::{asks, does, id, lists, makes};
use super::conversations::{check_ids, ids};
use super::group_view::{
    GroupCreateResult, GroupInviteCode, GroupJoinRequestView, GroupJoinRequestsResult, GroupView,
};
use super::picture;
use super::subject::{ID, answer_of, page_of};
use crate::domain::capability;
use crate::domain::command::{self, Command};
use schemars::JsonSchema;

macro_rules! operations {
    ($($name:ident $failed:ident;)*) => {
        $(const $name: Operation =
            Operation::of_command(codes::$failed, codes::GROUP_NOT_FOUND);)*
    };
}

const LIST: Operation = Operation::of_list(codes::LIST_GROUPS_FAILED);
const CREATE: Operation = Operation::of_list(codes::CREATE_GROUP_FAILED);
operations! {
    GET GET_GROUP_FAILED;
    LEAVE LEAVE_GROUP_FAILED;
    MEMBERS UPDATE_GROUP_MEMBERS_FAILED;
    INFO UPDATE_GROUP_INFO_FAILED;
    JOIN_REQUESTS LIST_GROUP_JOIN_REQUESTS_FAILED;
    DECIDE UPDATE_GROUP_JOIN_REQUESTS_FAILED;
    APPROVAL SET_GROUP_JOIN_APPROVAL_MODE_FAILED;
    INVITATION GET_GROUP_INVITE_CODE_FAILED;
}

/// Of a group's name, as the contract says.
const NAME: usize = 100;
const DESCRIPTION: usize = 64 * 1024;

pub fn routes() -> Routes {
    const ALL: &str = "/v1/accounts/{account_id}/groups";
    let below = |rest: &str| format!("{ALL}/{rest}");
    Routes::new()
        .get(ALL, list)
        .doc(lists::<Listed<GroupView>>(
            "listGroups",
            "List the groups",
            &LIST,
        ))
        .get(&below("info"), get)
        .doc(
            asks::<GroupView>("getGroup", "Read a group", &GET).required_query(
                "group_id",
                "The group.",
                id(),
            ),
        )
        .post(&below("create"), create)
        .doc(makes::<GroupCreateRequest, GroupCreateResult>(
            "createGroup",
            "Make a group",
            &CREATE,
        ))
        .post(&below("leave"), leave)
        .doc(does::<GroupIdRequest>(
            "leaveGroup",
            "Leave a group",
            &LEAVE,
        ))
        .post(&below("members"), members)
        .doc(does::<GroupMemberUpdateRequest>(
            "updateGroupMembers",
            "Add, remove, promote or demote a member",
            &MEMBERS,
        ))
        .post(&below("update-info"), update_info)
        .doc(does::<GroupInfoUpdateRequest>(
            "updateGroupInfo",
            "Change name, description or picture",
            &INFO,
        ))
        .get(&below("join-requests"), join_requests)
        .doc(
            asks::<GroupJoinRequestsResult>(
                "listGroupJoinRequests",
                "List who wants to join",
                &JOIN_REQUESTS,
            )
            .required_query("group_id", "The group.", id()),
        )
        .post(&below("join-requests/update"), decide)
        .doc(does::<GroupJoinRequestsUpdateRequest>(
            "updateGroupJoinRequests",
            "Let them in, or not",
            &DECIDE,
        ))
        .post(&below("join-approval-mode"), approval)
        .doc(does::<GroupJoinApprovalModeRequest>(
            "setGroupJoinApprovalMode",
            "Do members come in by themselves?",
            &APPROVAL,
        ))
        .get(&below("invite-code"), invitation)
        .doc(
            asks::<GroupInviteCode>("getGroupInviteCode", "Read the invitation", &INVITATION)
                .required_query("group_id", "The group.", id()),
        )
        .about("Groups", "Groups at the channel.")
}

async fn list(at: AtAccount, query: Query) -> Answer {
    let subject = at.subject(&LIST).await?;
    let page = page_of!(command::Answer::Conversations);
    let listed: Listed<GroupView> = subject
        .list(&query, &[], Command::ListGroups, page, GroupView::new)
        .await?;
    Reply::ok(&listed)
}

async fn get(at: AtAccount, query: Query) -> Answer {
    let group = query.required("group_id", ID)?.to_owned();
    let subject = at.subject(&GET).await?;
    let answer = subject.ask(Command::GetGroup(group)).await?;
    let found = answer_of!(answer, command::Answer::Conversation)?;
    let url = subject.avatar_url(found.avatar.as_ref()).await;
    Reply::ok(&GroupView::new(*found, url))
}

#[derive(Debug, JsonSchema)]
pub struct GroupCreateRequest {
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    #[schemars(with = "Option<Vec<String>>", length(max = 1000))]
    pub members: Vec<String>,
}

impl Read for GroupCreateRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        let members = fields.strings("members", 1000)?.unwrap_or_default();
        check_ids(fields, "members", &members)?;
        Ok(Self {
            name: fields.required_text("name", NAME)?.to_owned(),
            members,
        })
    }
}

async fn create(at: AtAccount, Body(request): Body<GroupCreateRequest>) -> Answer {
    const FEATURE: &str = "groups.create";
    let subject = at.subject(&CREATE).await?;
    let capable = subject.capable();
    capable.needs(FEATURE)?;
    capable.chars(FEATURE, "name", &request.name)?;
    let (limit, count) = (capability::MAX_MEMBERS, request.members.len() as u64);
    capable.at_most(FEATURE, limit, "members", count, "items")?;
    let command = Command::CreateGroup {
        name: request.name,
        members: request.members,
    };
    let id = answer_of!(subject.ask(command).await?, command::Answer::Created)?;
    Reply::ok(&GroupCreateResult { id })
}

#[derive(Debug, JsonSchema)]
pub struct GroupIdRequest {
    #[schemars(length(min = 1, max = 512))]
    pub group_id: String,
}

impl Read for GroupIdRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            group_id: fields.required_text("group_id", ID)?.to_owned(),
        })
    }
}

async fn leave(at: AtAccount, Body(request): Body<GroupIdRequest>) -> Answer {
    let subject = at.subject(&LEAVE).await?;
    let command = Command::LeaveGroup(request.group_id);
    Reply::ok(&subject.act(command).await?)
}

#[derive(Debug, JsonSchema)]
pub struct GroupMemberUpdateRequest {
    #[schemars(length(min = 1, max = 512))]
    pub group_id: String,
    /// `add`, `remove`, `promote`, `demote`.
    #[schemars(extend("enum" = ["add", "remove", "promote", "demote"]))]
    pub action: &'static str,
    #[schemars(length(min = 1, max = 512))]
    pub member_id: String,
}

impl Read for GroupMemberUpdateRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            group_id: fields.required_text("group_id", ID)?.to_owned(),
            action: fields.required_choice("action", &["add", "remove", "promote", "demote"])?,
            member_id: fields.required_text("member_id", ID)?.to_owned(),
        })
    }
}

async fn members(at: AtAccount, Body(request): Body<GroupMemberUpdateRequest>) -> Answer {
    let subject = at.subject(&MEMBERS).await?;
    let command = Command::UpdateMembers {
        group: request.group_id,
        action: request.action.to_owned(),
        members: vec![request.member_id],
    };
    Reply::ok(&subject.act(command).await?)
}

/// Exactly one of the three.
#[derive(Debug, JsonSchema)]
pub struct GroupInfoUpdateRequest {
    #[schemars(length(min = 1, max = 512))]
    pub group_id: String,
    #[schemars(length(max = 100))]
    pub name: Option<String>,
    /// Empty: cleared.
    #[schemars(length(max = 65536))]
    pub description: Option<String>,
    /// Of an image, which the host gets from there.
    #[schemars(url, length(max = 8192))]
    pub avatar_url: Option<String>,
}

impl Read for GroupInfoUpdateRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let request = Self {
            group_id: fields.required_text("group_id", ID)?.to_owned(),
            name: owned(fields.text("name", NAME)?),
            description: owned(fields.any_text("description", DESCRIPTION)?),
            avatar_url: picture::address(fields)?,
        };
        let given = [&request.name, &request.description, &request.avatar_url];
        if given.iter().filter(|one| one.is_some()).count() == 1 {
            return Ok(request);
        }
        let rule = "give exactly one of name, description and avatar_url";
        Err(ApiError::field("body", rule))
    }
}

async fn update_info(at: AtAccount, Body(request): Body<GroupInfoUpdateRequest>) -> Answer {
    const FEATURE: &str = "groups.info";
    let subject = at.subject(&INFO).await?;
    let capable = subject.capable();
    capable.needs(FEATURE)?;
    for (field, text) in [
        ("name", &request.name),
        ("description", &request.description),
    ] {
        capable.chars(FEATURE, field, text.as_deref().unwrap_or_default())?;
    }
    let avatar = picture::fetched(&subject, FEATURE, request.avatar_url.as_deref()).await?;
    let command = Command::UpdateGroup {
        group: request.group_id,
        name: request.name,
        description: request.description,
        avatar,
    };
    Reply::ok(&subject.act(command).await?)
}

async fn join_requests(at: AtAccount, query: Query) -> Answer {
    let group = query.required("group_id", ID)?.to_owned();
    let subject = at.subject(&JOIN_REQUESTS).await?;
    let answer = subject
        .ask(Command::ListJoinRequests(group.clone()))
        .await?;
    let items = answer_of!(answer, command::Answer::JoinRequests)?;
    Reply::ok(&GroupJoinRequestsResult {
        group_id: group,
        items: items.into_iter().map(GroupJoinRequestView::from).collect(),
    })
}

#[derive(Debug, JsonSchema)]
pub struct GroupJoinRequestsUpdateRequest {
    #[schemars(length(min = 1, max = 512))]
    pub group_id: String,
    /// `approve` or `reject`.
    #[schemars(extend("enum" = ["approve", "reject"]))]
    pub action: &'static str,
    #[schemars(length(min = 1, max = 1000))]
    pub member_ids: Vec<String>,
}

impl Read for GroupJoinRequestsUpdateRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            group_id: fields.required_text("group_id", ID)?.to_owned(),
            action: fields.required_choice("action", &["approve", "reject"])?,
            member_ids: ids(fields, "member_ids")?,
        })
    }
}

async fn decide(at: AtAccount, Body(request): Body<GroupJoinRequestsUpdateRequest>) -> Answer {
    const FEATURE: &str = "groups.join-requests";
    let subject = at.subject(&DECIDE).await?;
    subject.capable().needs(FEATURE)?;
    let (limit, count) = (capability::MAX_MEMBERS, request.member_ids.len() as u64);
    subject
        .capable()
        .at_most(FEATURE, limit, "member_ids", count, "items")?;
    let command = Command::DecideJoinRequests {
        group: request.group_id,
        members: request.member_ids,
        approve: request.action == "approve",
    };
    Reply::ok(&subject.act(command).await?)
}

#[derive(Debug, JsonSchema)]
pub struct GroupJoinApprovalModeRequest {
    #[schemars(length(min = 1, max = 512))]
    pub group_id: String,
    pub enabled: bool,
}

impl Read for GroupJoinApprovalModeRequest {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            group_id: fields.required_text("group_id", ID)?.to_owned(),
            enabled: fields.required_boolean("enabled")?,
        })
    }
}

async fn approval(at: AtAccount, Body(request): Body<GroupJoinApprovalModeRequest>) -> Answer {
    let subject = at.subject(&APPROVAL).await?;
    let command = Command::SetJoinApproval {
        group: request.group_id,
        enabled: request.enabled,
    };
    Reply::ok(&subject.act(command).await?)
}

async fn invitation(at: AtAccount, query: Query) -> Answer {
    let group = query.required("group_id", ID)?.to_owned();
    let subject = at.subject(&INVITATION).await?;
    let answer = subject.ask(Command::GetInvitation(group)).await?;
    let found = answer_of!(answer, command::Answer::Invitation)?;
    Reply::ok(&GroupInviteCode {
        invite_url: found.url,
        invite_code: found.code,
    })
}
