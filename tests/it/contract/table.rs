//! The operations of the reference (section 2), one row each, in an order in which a client could
//! call them. To be laid beside the reference: operation, path, request, answer; and what a provider
//! answers that does little more than send.

/// An operation, the request, and what is to come of it.
///
/// `<name>` in a request is something that the story knows or that an earlier row has kept; so is
/// `{name}` in a path, but for `{account_id}`, which is the account `of`.
#[derive(Clone, Copy)]
pub struct Row {
    pub id: &'static str,
    pub method: &'static str,
    pub path: &'static str,
    pub of: &'static str,
    pub query: &'static str,
    /// JSON; empty: none.
    pub body: &'static str,
    /// Of success, with the schema of `data`; empty: there is no body.
    pub status: u16,
    pub data: &'static str,
    /// `/pointer=value` in `data`, with `; ` between.
    pub shows: &'static str,
    /// `name=/pointer` in `data`: what later rows use.
    pub keeps: &'static str,
    /// Status and code for an account, an endpoint, a key or a provider that there is not. Empty: the
    /// request names none.
    pub absent: &'static str,
    /// The same for a contact, a group or a conversation, where the channel has some at all.
    pub unknown: &'static str,
    pub irc: Irc,
}

/// What an account of IRC gets.
#[derive(Clone, Copy)]
pub enum Irc {
    Same,
    /// The same success, which shows something else.
    Shows(&'static str),
    /// Status and code.
    Refused(&'static str),
}

use Irc::{Refused, Same, Shows};

const NONE: Irc = Refused("501 unsupported_by_provider");
/// The answers of section 6, row 17: 404 where the operation lists one, and for the reads and
/// changes of an account; otherwise 409.
const NOT_FOUND: &str = "404 not_found";
const NOT_BOUND: &str = "409 account_binding_not_found";
const NO_CONVERSATION: &str = "404 conversation_not_found";
const NO_CONTACT: &str = "404 contact_not_found";
const NO_GROUP: &str = "404 group_not_found";

impl Row {
    const fn of(self, of: &'static str) -> Self {
        Self { of, ..self }
    }

    const fn query(self, query: &'static str) -> Self {
        Self { query, ..self }
    }

    const fn body(self, body: &'static str) -> Self {
        Self { body, ..self }
    }

    const fn shows(self, shows: &'static str) -> Self {
        Self { shows, ..self }
    }

    const fn keeps(self, keeps: &'static str) -> Self {
        Self { keeps, ..self }
    }

    const fn absent(self, absent: &'static str) -> Self {
        Self { absent, ..self }
    }

    const fn unknown(self, unknown: &'static str) -> Self {
        Self { unknown, ..self }
    }
}

const fn row(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    (status, data): (u16, &'static str),
    irc: Irc,
) -> Row {
    Row {
        id,
        method,
        path,
        of: "account",
        query: "",
        body: "",
        status,
        data,
        shows: "",
        keeps: "",
        absent: "",
        unknown: "",
        irc,
    }
}

#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    // 2.1 Workspace
    row("GET", "/v1/workspace", "getWorkspace", (200, "Workspace"), Same),
    row("PATCH", "/v1/workspace", "updateWorkspace", (200, "Workspace"), Same)
        .body(r#"{"name": "Quay Desk", "status": "active", "metadata": {"env": "test"}}"#)
        .shows("/name=Quay Desk; /status=active; /metadata/env=test"),

    // 2.2 API Keys
    row("POST", "/v1/api-keys", "createApiKey", (201, "APIKeyCreateResult"), Same)
        .body(r#"{"name": "ci", "prefix": "dk_live"}"#)
        .shows("/key/name=ci; /key/status=active").keeps("key_id=/key/id"),
    row("GET", "/v1/api-keys", "listApiKeys", (200, "[APIKey]"), Same),
    row("POST", "/v1/api-keys/{key_id}/rotate", "rotateApiKey", (200, "APIKeyCreateResult"), Same)
        .body(r#"{"name": "ci"}"#)
        .shows("/key/id=<key_id>").absent("400 rotate_api_key_failed"),
    row("PATCH", "/v1/api-keys/{key_id}", "updateApiKeyStatus", (200, "APIKey"), Same)
        .body(r#"{"status": "inactive"}"#)
        .shows("/id=<key_id>; /status=inactive").absent("400 update_api_key_failed"),

    // 2.11 Webhook Endpoints; the rest of them at the end
    row("POST", "/v1/webhook-endpoints", "createWebhookEndpoint", (201, "WebhookEndpoint"), Same)
        .body(r#"{"url": "http://127.0.0.1:9/hook", "status": "active", "signing_secret": "of no special form",
                  "subscribed_events": ["message.received"], "retry_policy": {"max_attempts": 0}}"#)
        .shows("/status=active; /signing_enabled=true; /subscribed_events/0=message.received; /retry_policy/max_attempts=0")
        .keeps("endpoint_id=/id"),
    row("GET", "/v1/webhook-endpoints", "listWebhookEndpoints", (200, "[WebhookEndpoint]"), Same)
        .shows("/0/id=<endpoint_id>"),
    row("GET", "/v1/webhook-endpoints/{endpoint_id}", "getWebhookEndpoint", (200, "WebhookEndpoint"), Same)
        .shows("/id=<endpoint_id>").absent(NOT_FOUND),
    row("PATCH", "/v1/webhook-endpoints/{endpoint_id}", "updateWebhookEndpoint", (200, "WebhookEndpoint"), Same)
        .body(r#"{"url": "http://127.0.0.1:9/other", "status": "active", "subscribed_events": ["*"]}"#)
        .shows("/url=http://127.0.0.1:9/other; /subscribed_events/0=*; /signing_enabled=true")
        .absent("400 update_webhook_endpoint_failed"),

    // 2.3 Providers
    row("GET", "/v1/providers/{provider}/regions", "listProviderRegions", (200, "ProviderRegionsResponse"), Same)
        .shows("/provider=<provider>; /regions/0/allocatable=true").keeps("region=/regions/0/region")
        .absent("400 invalid_provider"),

    // 2.4 Accounts
    row("POST", "/v1/accounts", "createAccount", (201, "Account"), Same)
        .body(r#"{"name": "Front desk", "provider": "<provider>", "region": "<region>", "status": "active",
                  "auth_mode": "<auth_mode>", "metadata": {"team": "support"}, "provider_data": <provider_data>}"#)
        .shows("/name=Front desk; /provider=<provider>; /status=active; /runtime_status=unknown; /auth_mode=<auth_mode>")
        .keeps("account=/id").absent("400 invalid_provider"),
    row("GET", "/v1/accounts", "listAccounts", (200, "[Account]"), Same),
    row("GET", "/v1/accounts/{account_id}", "getAccount", (200, "Account"), Same)
        .shows("/id=<account>; /metadata/team=support").absent(NOT_FOUND),
    row("PATCH", "/v1/accounts/{account_id}", "updateAccount", (200, "Account"), Same)
        .body(r#"{"provider": "<provider>", "region": "<region>", "name": "Night desk", "metadata": {"team": "night"}}"#)
        .shows("/id=<account>; /name=Night desk; /metadata/team=night").absent(NOT_FOUND),

    // 2.5 Account Auth. The answers of actions are free there, and to be like the state.
    row("POST", "/v1/accounts/{account_id}/auth/start", "startAccountAuth", (200, "AccountSession"), Shows("/status=authorized"))
        .body("{}").shows("/status=awaiting_code; /auth_fields/0/type=code").absent(NOT_BOUND),
    row("POST", "/v1/accounts/{account_id}/auth/code", "submitAccountAuthCode", (200, "AccountSession"), Refused("409 account_already_authorized"))
        .body(r#"{"code": "123456"}"#).shows("/status=authorized").absent(NOT_BOUND),
    row("GET", "/v1/accounts/{account_id}/auth", "getAccountAuthState", (200, "AccountSession"), Same)
        .shows("/account_id=<account>; /status=authorized").absent(NOT_FOUND),
    row("POST", "/v1/accounts/{account_id}/auth/qr/start", "startAccountQrAuth", (200, "AccountSession"), Refused("400 unsupported_provider_auth_mode"))
        .of("by_qr").shows("/status=awaiting_qr_scan").keeps("qr_code=/auth_payload/qr_code").absent(NOT_BOUND),
    row("POST", "/v1/accounts/{account_id}/auth/qr/check", "checkAccountQrAuth", (200, "AccountSession"), Shows("/status=pending_auth"))
        .of("by_qr").body("{}").shows("/status=authorized").absent(NOT_BOUND),
    row("POST", "/v1/accounts/{account_id}/auth/password", "submitAccountAuthPassword", (200, "AccountSession"), Refused("400 unsupported_action"))
        .of("by_password").body(r#"{"password": "open sesame"}"#).shows("/status=authorized").absent(NOT_BOUND),
    row("POST", "/v1/accounts/{account_id}/auth/session", "importAccountAuthSession", (200, "AccountSession"), Refused("400 unsupported_provider_auth_mode"))
        .of("by_session").body(r#"{"session_url": "data:text/plain;base64,<session>"}"#)
        .shows("/status=authorized").absent(NOT_BOUND),
    row("POST", "/v1/accounts/{account_id}/auth/cancel", "cancelAccountAuth", (200, "AccountSession"), Same)
        .of("waiting").body("{}").shows("/status=pending_auth").absent(NOT_BOUND),

    // 2.6 Account Runtime; the rest of it at the end
    row("POST", "/v1/accounts/{account_id}/runtime/refresh", "refreshAccountRuntime", (200, "RuntimeActionResult"), Same)
        .body("{}").shows("/action=refresh_status; /operation_status=succeeded; /runtime_status=running; /runtime_error=")
        .absent(NOT_BOUND),
    row("POST", "/v1/accounts/{account_id}/runtime/start", "startAccountRuntime", (200, "RuntimeActionResult"), Same)
        .shows("/account_id=<account>; /provider=<provider>; /action=start; /operation_status=succeeded").absent(NOT_BOUND),

    // 2.7 Conversations
    row("GET", "/v1/accounts/{account_id}/conversations", "listConversations", (200, "ConversationListResult"), NONE)
        .query("type=user,group&limit=20").absent(NOT_BOUND),
    row("GET", "/v1/accounts/{account_id}/conversations/info", "getConversation", (200, "Conversation"), NONE)
        .query("conversation_id=<contact>&type=user").shows("/conversation_id=<contact>; /type=user").absent(NOT_FOUND).unknown(NO_CONVERSATION),
    row("GET", "/v1/accounts/{account_id}/conversations/members", "listConversationMembers", (200, "ConversationMemberListResult"), NONE)
        .query("conversation_id=<group>&type=group&limit=20").absent(NOT_FOUND).unknown(NO_CONVERSATION),
    row("POST", "/v1/accounts/{account_id}/conversations/read", "markConversationRead", (200, "OkData"), NONE)
        .body(r#"{"conversation_id": "<contact>", "up_to_message_id": "<heard>", "up_to_message_sender_id": "<contact>"}"#)
        .absent(NOT_FOUND).unknown(NO_CONVERSATION),
    row("POST", "/v1/accounts/{account_id}/conversations/unread", "markConversationUnread", (200, "OkData"), NONE)
        .body(r#"{"conversation_id": "<contact>"}"#).absent(NOT_FOUND).unknown(NO_CONVERSATION),
    row("POST", "/v1/accounts/{account_id}/conversations/mute", "muteConversation", (200, "OkData"), NONE)
        .body(r#"{"conversation_id": "<contact>", "duration": 28800}"#).absent(NOT_FOUND).unknown(NO_CONVERSATION),
    row("POST", "/v1/accounts/{account_id}/conversations/unmute", "unmuteConversation", (200, "OkData"), NONE)
        .body(r#"{"conversation_id": "<contact>"}"#).absent(NOT_FOUND).unknown(NO_CONVERSATION),
    row("POST", "/v1/accounts/{account_id}/conversations/pin", "pinConversation", (200, "OkData"), NONE)
        .body(r#"{"conversation_id": "<contact>"}"#).absent(NOT_FOUND).unknown(NO_CONVERSATION),
    row("POST", "/v1/accounts/{account_id}/conversations/unpin", "unpinConversation", (200, "OkData"), NONE)
        .body(r#"{"conversation_id": "<contact>"}"#).absent(NOT_FOUND).unknown(NO_CONVERSATION),
    row("POST", "/v1/accounts/{account_id}/conversations/labels/upsert", "upsertConversationLabel", (200, "ConversationLabel"), NONE)
        .body(r#"{"label_id": "", "name": "Refunds"}"#).shows("/name=Refunds").keeps("label=/id").absent(NOT_BOUND),
    row("GET", "/v1/accounts/{account_id}/conversations/labels", "listConversationLabels", (200, "ConversationLabelListResult"), NONE)
        .query("limit=20").shows("/items/0/id=<label>").absent(NOT_BOUND),
    row("POST", "/v1/accounts/{account_id}/conversations/labels", "setConversationLabelMembers", (200, "ConversationLabelMembersResult"), NONE)
        .body(r#"{"label_id": "<label>", "action": "add", "conversation_ids": ["<contact>"]}"#)
        .shows("/label_id=<label>; /action=add; /conversation_ids/0=<contact>").absent(NOT_BOUND),
    row("POST", "/v1/accounts/{account_id}/conversations/labels/delete", "deleteConversationLabel", (200, "ConversationLabelDeleteResult"), NONE)
        .body(r#"{"label_id": "<label>"}"#).shows("/label_id=<label>").absent(NOT_BOUND),

    // 2.8 Contacts
    row("GET", "/v1/accounts/{account_id}/contacts", "listContacts", (200, "ContactListResult"), NONE)
        .query("q=grace&updated_since=2026-02-01T00:00:00Z&limit=20").shows("/items/0/id=<contact>").absent(NOT_BOUND),
    row("GET", "/v1/accounts/{account_id}/contacts/info", "getContact", (200, "Contact"), NONE)
        .query("contact_id=<contact>").shows("/id=<contact>").absent(NOT_FOUND).unknown(NO_CONTACT),
    row("POST", "/v1/accounts/{account_id}/contacts/block", "blockContact", (200, "OkData"), NONE)
        .body(r#"{"contact_id": "<contact>"}"#).absent(NOT_FOUND).unknown(NO_CONTACT),
    row("GET", "/v1/accounts/{account_id}/contacts/blocklist", "listContactBlocklist", (200, "ContactBlocklistResult"), NONE)
        .shows("/blocklist/0=<contact>").absent(NOT_BOUND),
    row("POST", "/v1/accounts/{account_id}/contacts/unblock", "unblockContact", (200, "OkData"), NONE)
        .body(r#"{"contact_id": "<contact>"}"#).absent(NOT_FOUND).unknown(NO_CONTACT),
    row("POST", "/v1/accounts/{account_id}/contacts/note", "setContactNote", (200, "OkData"), NONE)
        .body(r#"{"contact_id": "<contact>", "note": "rings twice"}"#).absent(NOT_FOUND).unknown(NO_CONTACT),

    // 2.9 Groups
    row("GET", "/v1/accounts/{account_id}/groups", "listGroups", (200, "GroupListResult"), NONE)
        .query("limit=20").shows("/items/0/id=<group>").absent(NOT_BOUND),
    row("GET", "/v1/accounts/{account_id}/groups/info", "getGroup", (200, "Group"), NONE)
        .query("group_id=<group>").shows("/id=<group>").absent(NOT_FOUND).unknown(NO_GROUP),
    row("POST", "/v1/accounts/{account_id}/groups/create", "createGroup", (200, "GroupCreateResult"), NONE)
        .body(r#"{"name": "Quay crew", "members": ["<other_contact>"]}"#).keeps("made=/id").absent(NOT_BOUND),
    row("POST", "/v1/accounts/{account_id}/groups/members", "updateGroupMembers", (200, "OkData"), NONE)
        .body(r#"{"group_id": "<made>", "action": "add", "member_id": "<contact>"}"#).absent(NOT_FOUND).unknown(NO_GROUP),
    row("POST", "/v1/accounts/{account_id}/groups/update-info", "updateGroupInfo", (200, "OkData"), NONE)
        .body(r#"{"group_id": "<made>", "description": "Shifts and cover"}"#).absent(NOT_FOUND).unknown(NO_GROUP),
    row("POST", "/v1/accounts/{account_id}/groups/join-approval-mode", "setGroupJoinApprovalMode", (200, "OkData"), NONE)
        .body(r#"{"group_id": "<made>", "enabled": true}"#).absent(NOT_FOUND).unknown(NO_GROUP),
    row("GET", "/v1/accounts/{account_id}/groups/join-requests", "listGroupJoinRequests", (200, "GroupJoinRequestsResult"), NONE)
        .query("group_id=<made>").shows("/group_id=<made>; /items/0/id=<stranger>").absent(NOT_FOUND).unknown(NO_GROUP),
    row("POST", "/v1/accounts/{account_id}/groups/join-requests/update", "updateGroupJoinRequests", (200, "OkData"), NONE)
        .body(r#"{"group_id": "<made>", "action": "approve", "member_ids": ["<stranger>"]}"#).absent(NOT_FOUND).unknown(NO_GROUP),
    row("GET", "/v1/accounts/{account_id}/groups/invite-code", "getGroupInviteCode", (200, "GroupInviteCode"), NONE)
        .query("group_id=<made>").absent(NOT_FOUND).unknown(NO_GROUP),
    row("POST", "/v1/accounts/{account_id}/groups/leave", "leaveGroup", (200, "OkData"), NONE)
        .body(r#"{"group_id": "<made>"}"#).absent(NOT_FOUND).unknown(NO_GROUP),

    // 2.10 Messages
    row("POST", "/v1/messages", "sendMessage", (200, "SendMessageResult"), Same)
        .body(r#"{"account_id": "<account>", "to": {"id": "<contact>", "type": "user"}, "message": {"type": "text", "text": "Ready at three"}}"#)
        .shows("/account_id=<account>; /status=accepted").keeps("message=/message_id").absent(NOT_BOUND),
    row("POST", "/v1/messages/pin", "pinMessage", (200, "OkData"), NONE)
        .body(r#"{"account_id": "<account>", "conversation_id": "<contact>", "message_id": "<heard>", "sender_id": "<contact>",
                  "pinned": true, "duration_seconds": 86400}"#).absent(NOT_BOUND),
    row("POST", "/v1/messages/reaction", "reactMessage", (200, "OkData"), NONE)
        .body(r#"{"account_id": "<account>", "conversation_id": "<contact>", "message_id": "<heard>", "sender_id": "<contact>", "emoji": "👌"}"#)
        .absent(NOT_BOUND),
    row("POST", "/v1/messages/edit", "editMessage", (200, "OkData"), NONE)
        .body(r#"{"account_id": "<account>", "conversation_id": "<contact>", "message_id": "<message>", "content": "Ready at four"}"#)
        .absent(NOT_BOUND),
    row("POST", "/v1/messages/revoke", "revokeMessage", (200, "OkData"), NONE)
        .body(r#"{"account_id": "<account>", "conversation_id": "<contact>", "message_id": "<message>"}"#).absent(NOT_BOUND),

    // The end
    row("POST", "/v1/accounts/{account_id}/runtime/reconnect", "reconnectAccountRuntime", (200, "RuntimeActionResult"), Same)
        .body("{}").shows("/action=reconnect; /operation_status=succeeded; /runtime_status=reconnecting").absent(NOT_BOUND),
    row("POST", "/v1/accounts/{account_id}/runtime/stop", "stopAccountRuntime", (200, "RuntimeActionResult"), Same)
        .shows("/action=stop; /operation_status=succeeded; /runtime_status=stopped; /runtime_error=").absent(NOT_BOUND),
    row("DELETE", "/v1/accounts/{account_id}", "deleteAccount", (204, ""), Same).absent(NOT_FOUND),
    row("POST", "/v1/webhook-endpoints/{endpoint_id}/deactivate", "deactivateWebhookEndpoint", (200, "WebhookEndpoint"), Same)
        .shows("/id=<endpoint_id>; /status=inactive").absent("400 deactivate_webhook_endpoint_failed"),
    row("DELETE", "/v1/webhook-endpoints/{endpoint_id}", "deleteWebhookEndpoint", (204, ""), Same)
        .absent("400 delete_webhook_endpoint_failed"),
];
