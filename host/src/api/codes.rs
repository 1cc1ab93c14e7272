//! The one table of error codes: what a client can get, with its status. `docs/api.md` shows the
//! same table; a test compares them. Knows nothing else of the host.

/// An error code of the REST API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    pub name: &'static str,
    pub status: u16,
    /// Ours; the others are published by the contract of the native API.
    pub own: bool,
}

macro_rules! codes {
    ($origin:ident: $($constant:ident $name:literal $status:literal;)*) => {
        $(pub const $constant: Code = Code {
            name: $name,
            status: $status,
            own: codes!(@$origin),
        };)*
        codes!(@list $origin $($constant)*);
    };
    (@published) => { false };
    (@own) => { true };
    (@list published $($constant:ident)*) => {
        /// Those of the contract that this host uses.
        pub const PUBLISHED: &[Code] = &[$($constant),*];
    };
    (@list own $($constant:ident)*) => {
        /// Those the contract does not have.
        pub const OWN: &[Code] = &[$($constant),*];
    };
}

codes! { published:
    INVALID_REQUEST "invalid_request" 400;
    INVALID_PROVIDER "invalid_provider" 400;
    UNSUPPORTED_ACTION "unsupported_action" 400;
    INVALID_CONVERSATION_TYPE "invalid_conversation_type" 400;
    UNSUPPORTED_CONVERSATION_TYPE "unsupported_conversation_type" 400;
    UNSUPPORTED_MESSAGE_TYPE "unsupported_message_type" 400;
    UNSUPPORTED_PROVIDER_AUTH_MODE "unsupported_provider_auth_mode" 400;
    AUTH_MODE_PHONE_REQUIRED "auth_mode_phone_required" 400;
    INVALID_REPLY_TOKEN "invalid_reply_token" 400;
    CREATE_API_KEY_FAILED "create_api_key_failed" 400;
    UPDATE_API_KEY_FAILED "update_api_key_failed" 400;
    ROTATE_API_KEY_FAILED "rotate_api_key_failed" 400;
    CREATE_WEBHOOK_ENDPOINT_FAILED "create_webhook_endpoint_failed" 400;
    UPDATE_WEBHOOK_ENDPOINT_FAILED "update_webhook_endpoint_failed" 400;
    DEACTIVATE_WEBHOOK_ENDPOINT_FAILED "deactivate_webhook_endpoint_failed" 400;
    DELETE_WEBHOOK_ENDPOINT_FAILED "delete_webhook_endpoint_failed" 400;
    MISSING_API_KEY "missing_api_key" 401;
    INVALID_API_KEY "invalid_api_key" 401;
    NOT_FOUND "not_found" 404;
    CONVERSATION_NOT_FOUND "conversation_not_found" 404;
    CONTACT_NOT_FOUND "contact_not_found" 404;
    GROUP_NOT_FOUND "group_not_found" 404;
    NO_ALLOCATABLE_SERVER "no_allocatable_server" 409;
    WORKSPACE_ACCOUNT_QUOTA_EXCEEDED "workspace_account_quota_exceeded" 409;
    DUPLICATE_PROVIDER_ACCOUNT "duplicate_provider_account" 409;
    ACCOUNT_ALREADY_AUTHORIZED "account_already_authorized" 409;
    ACCOUNT_BINDING_NOT_FOUND "account_binding_not_found" 409;
    GET_WORKSPACE_FAILED "get_workspace_failed" 500;
    LIST_API_KEYS_FAILED "list_api_keys_failed" 500;
    LIST_PROVIDER_REGIONS_FAILED "list_provider_regions_failed" 500;
    LIST_ACCOUNTS_FAILED "list_accounts_failed" 500;
    CREATE_ACCOUNT_FAILED "create_account_failed" 500;
    GET_ACCOUNT_FAILED "get_account_failed" 500;
    UPDATE_ACCOUNT_FAILED "update_account_failed" 500;
    DELETE_ACCOUNT_FAILED "delete_account_failed" 500;
    GET_AUTH_STATE_FAILED "get_auth_state_failed" 500;
    RUN_AUTH_ACTION_FAILED "run_auth_action_failed" 500;
    RUN_RUNTIME_ACTION_FAILED "run_runtime_action_failed" 500;
    SEND_MESSAGE_FAILED "send_message_failed" 500;
    PIN_MESSAGE_FAILED "pin_message_failed" 500;
    REVOKE_MESSAGE_FAILED "revoke_message_failed" 500;
    REACT_MESSAGE_FAILED "react_message_failed" 500;
    EDIT_MESSAGE_FAILED "edit_message_failed" 500;
    LIST_CONVERSATIONS_FAILED "list_conversations_failed" 500;
    GET_CONVERSATION_FAILED "get_conversation_failed" 500;
    LIST_CONVERSATION_MEMBERS_FAILED "list_conversation_members_failed" 500;
    MARK_CONVERSATION_READ_FAILED "mark_conversation_read_failed" 500;
    MARK_CONVERSATION_UNREAD_FAILED "mark_conversation_unread_failed" 500;
    MUTE_CONVERSATION_FAILED "mute_conversation_failed" 500;
    UNMUTE_CONVERSATION_FAILED "unmute_conversation_failed" 500;
    PIN_CONVERSATION_FAILED "pin_conversation_failed" 500;
    UNPIN_CONVERSATION_FAILED "unpin_conversation_failed" 500;
    LIST_CONVERSATION_LABELS_FAILED "list_conversation_labels_failed" 500;
    UPSERT_LABEL_FAILED "upsert_label_failed" 500;
    DELETE_LABEL_FAILED "delete_label_failed" 500;
    SET_LABEL_MEMBERS_FAILED "set_label_members_failed" 500;
    LIST_CONTACTS_FAILED "list_contacts_failed" 500;
    GET_CONTACT_FAILED "get_contact_failed" 500;
    BLOCK_CONTACT_FAILED "block_contact_failed" 500;
    UNBLOCK_CONTACT_FAILED "unblock_contact_failed" 500;
    LIST_BLOCKLIST_FAILED "list_blocklist_failed" 500;
    SET_CONTACT_NOTE_FAILED "set_contact_note_failed" 500;
    LIST_GROUPS_FAILED "list_groups_failed" 500;
    GET_GROUP_FAILED "get_group_failed" 500;
    CREATE_GROUP_FAILED "create_group_failed" 500;
    LEAVE_GROUP_FAILED "leave_group_failed" 500;
    UPDATE_GROUP_MEMBERS_FAILED "update_group_members_failed" 500;
    UPDATE_GROUP_INFO_FAILED "update_group_info_failed" 500;
    LIST_GROUP_JOIN_REQUESTS_FAILED "list_group_join_requests_failed" 500;
    UPDATE_GROUP_JOIN_REQUESTS_FAILED "update_group_join_requests_failed" 500;
    SET_GROUP_JOIN_APPROVAL_MODE_FAILED "set_group_join_approval_mode_failed" 500;
    GET_GROUP_INVITE_CODE_FAILED "get_group_invite_code_failed" 500;
    LIST_WEBHOOK_ENDPOINTS_FAILED "list_webhook_endpoints_failed" 500;
    GET_WEBHOOK_ENDPOINT_FAILED "get_webhook_endpoint_failed" 500;
    UNSUPPORTED_BY_PROVIDER "unsupported_by_provider" 501;
    PROVIDER_ADAPTER_NOT_FOUND "provider_adapter_not_found" 502;
}

codes! { own:
    INVALID_COMPONENT "invalid_component" 400;
    INSUFFICIENT_SCOPE "insufficient_scope" 403;
    OPERATOR_KEY_REQUIRED "operator_key_required" 403;
    DENIED_BY_POLICY "denied_by_policy" 403;
    NOT_VERIFIED "not_verified" 403;
    METHOD_NOT_ALLOWED "method_not_allowed" 405;
    REQUEST_TIMEOUT "request_timeout" 408;
    IDEMPOTENCY_IN_FLIGHT "idempotency_in_flight" 409;
    QUOTA_EXCEEDED "quota_exceeded" 409;
    CONFLICT "conflict" 409;
    CURSOR_EXPIRED "cursor_expired" 410;
    MEDIA_GONE "media_gone" 410;
    PAYLOAD_TOO_LARGE "payload_too_large" 413;
    UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" 415;
    RANGE_NOT_SATISFIABLE "range_not_satisfiable" 416;
    IDEMPOTENCY_KEY_REUSED "idempotency_key_reused" 422;
    RATE_LIMITED "rate_limited" 429;
    COMMAND_FAILED "command_failed" 500;
    INTERNAL_ERROR "internal_error" 500;
    MEDIA_FETCH_FAILED "media_fetch_failed" 502;
    STORAGE_UNAVAILABLE "storage_unavailable" 503;
    NOT_READY "not_ready" 503;
    PROVIDER_UNAVAILABLE "provider_unavailable" 503;
    TOO_MANY_STREAMS "too_many_streams" 503;
    OWNER_ELSEWHERE "owner_elsewhere" 503;
    STANDBY "standby" 503;
    SEND_OUTCOME_UNKNOWN "send_outcome_unknown" 504;
    OUTCOME_UNKNOWN "outcome_unknown" 504;
    PROVIDER_TIMEOUT "provider_timeout" 504;
}
