//! The schemas of the reference's answers, in its own words (section 3), and holding data against
//! them: every key with a `*` is there, and what is there has its type.

use anyport::domain::Timestamp;
use serde_json::Value;

/// `name*`: required; `a|b`: one of these words; `[T]`: a list. What is no list of keys is another
/// name of a type.
#[rustfmt::skip]
const SCHEMAS: &[(&str, &str)] = &[
    // The reference names its seven channels. Here a provider is whatever is installed.
    ("ProviderName", "string"),
    ("FreeFormObject", "object"),
    ("OkData", "ok*: true"),
    ("Workspace", "name*: string; status*: string; metadata: object (string values); account_quota*: integer (format=uint64); account_quota_unlimited*: boolean"),
    ("APIKey", "id*: string; name*: string; key_prefix*: string; status*: active|inactive"),
    ("APIKeyCreateResult", "key*: APIKey; api_key*: string"),
    ("ProviderRegionsResponse", "provider*: ProviderName; regions*: [RegionAvailability]"),
    ("RegionAvailability", "region*: string; supported*: boolean; allocatable*: boolean"),
    ("ProviderProfile", "id: string; phone: string; username: string; display_name: string; first_name: string; last_name: string; avatar_url: string; bio: string"),
    ("Account", "id*: string; name*: string; provider*: ProviderName; region*: string; status*: string; runtime_status: RuntimeStatus; auth_mode: string; capabilities: [string]; metadata: FreeFormObject; provider_account_ref: string; proxy: FreeFormObject; provider_profile: ProviderProfile"),
    ("RuntimeStatus", "unknown|starting|running|stopping|stopped|reconnecting|disconnected|error"),
    // Its `status` is a string there; these are the values of section 5.1.
    ("AccountSession", "account_id*: string; status*: AuthStatus; auth_fields: [AuthField]; auth_payload: FreeFormObject; expires_at: string; last_error: string"),
    ("AuthStatus", "pending_auth|awaiting_qr_scan|awaiting_code|awaiting_password|authorized|failed"),
    ("AuthField", "type*: string; required*: boolean; label: string; placeholder: string"),
    ("RuntimeActionResult", "account_id*: string; provider*: ProviderName; action*: refresh_status|start|stop|reconnect; operation_status*: string; runtime_status*: RuntimeStatus; runtime_error*: string"),
    ("ConversationType", "user|group|channel"),
    ("Conversation", "conversation_id*: string; type*: ConversationType; title*: string; username: string; avatar_url*: string; description: string; last_message_at: string (format=date-time); last_message_text: string; unread_count*: integer (format=int64); members_count: integer (format=int64); subscribers_count: integer (format=int64); is_pinned*: boolean; is_muted*: boolean; created_at: string (format=date-time); extra: FreeFormObject"),
    ("ConversationListResult", "items*: [Conversation]; next_cursor: string; has_more*: boolean"),
    ("ConversationMember", "peer_id*: string; username: string; display_name*: string; avatar_url*: string; role: string; joined_at: string (format=date-time); extra: FreeFormObject"),
    ("ConversationMemberListResult", "items*: [ConversationMember]; next_cursor: string; has_more*: boolean"),
    ("ConversationLabel", "id*: string; name*: string"),
    ("ConversationLabelListResult", "items*: [ConversationLabel]; next_cursor: string; has_more*: boolean"),
    ("ConversationLabelDeleteResult", "label_id*: string; deleted*: true"),
    ("ConversationLabelMembersResult", "label_id*: string; action*: add|remove; conversation_ids*: [string]"),
    ("Contact", "id*: string; conversation_id*: string; display_name*: string; avatar_url*: string; provider_user_id*: string; is_blocked: boolean; extra: FreeFormObject"),
    ("ContactListResult", "items*: [Contact]; next_cursor: string; has_more*: boolean"),
    ("ContactBlocklistResult", "blocklist*: [string]; dhash: string"),
    ("Group", "id*: string; conversation_id*: string; name*: string; avatar_url*: string; member_count: integer (format=int64); joined_at: string (format=date-time); created_at: string (format=date-time); description: string; extra: FreeFormObject"),
    ("GroupListResult", "items*: [Group]; next_cursor: string; has_more*: boolean"),
    ("GroupCreateResult", "id*: string"),
    ("GroupJoinRequest", "id*: string; phone: string; lid: string; requested_at: string (format=date-time)"),
    ("GroupJoinRequestsResult", "group_id*: string; items*: [GroupJoinRequest]"),
    ("GroupInviteCode", "invite_url*: string; invite_code*: string"),
    ("SendMessageResult", "message_id*: string; account_id*: string; status*: string; provider_ref: string; reply_token: string"),
    ("WebhookEndpoint", "id*: string; url*: string (format=uri); status*: string; subscribed_events: [StandardEventType]; signing_enabled*: boolean; retry_policy: FreeFormObject"),
    ("StandardEventType", "*|message.received|message.updated|message.deleted|message.read|message.reaction|message.delivered|conversation.updated|conversation.deleted|conversation.cleared|conversation.history|group.updated|group.join_request|account.status.updated|account.started|account.history.synced|account.auth.required|account.auth.succeeded|account.auth.failed"),
];

/// What is wrong with data of this type. An empty list is: it shows nothing of what it lists.
pub fn hold(kind: &str, value: &Value, place: &str) -> Result<(), String> {
    let whole = kind;
    let (kind, note) = kind.split_once(" (").unwrap_or((kind, ""));
    let fits = match kind {
        "boolean" => value.is_boolean(),
        "true" => *value == true,
        "integer" => value.is_i64() || value.is_u64(),
        "object" => match value.as_object() {
            Some(keys) if note == "string values)" => keys.values().all(Value::is_string),
            keys => keys.is_some(),
        },
        "string" => value.as_str().is_some_and(|text| match note {
            "format=date-time)" => Timestamp::parse_rfc3339(text).is_some(),
            "format=uri)" => text.contains("://"),
            _ => true,
        }),
        words if words.contains('|') => value
            .as_str()
            .is_some_and(|word| words.split('|').any(|one| one == word)),
        other => match other.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            Some(item) => return hold_items(item, value, place),
            None => return hold_component(other, value, place),
        },
    };
    if fits {
        return Ok(());
    }
    Err(format!("{place} is to be {whole}: {value}"))
}

fn hold_items(kind: &str, value: &Value, place: &str) -> Result<(), String> {
    let items = value.as_array().filter(|items| !items.is_empty());
    let items = items.ok_or_else(|| format!("{place} is to list {kind}: {value}"))?;
    items
        .iter()
        .enumerate()
        .try_for_each(|(index, item)| hold(kind, item, &format!("{place}[{index}]")))
}

fn hold_component(name: &str, value: &Value, place: &str) -> Result<(), String> {
    let known = SCHEMAS.iter().find(|(known, _)| *known == name);
    let (_, schema) = known.unwrap_or_else(|| panic!("there is no schema `{name}`"));
    if !schema.contains(": ") {
        return hold(schema, value, place);
    }
    if !value.is_object() {
        return Err(format!("{place} is to be {name}: {value}"));
    }
    schema.split("; ").try_for_each(|key| {
        let (key, kind) = key.split_once(": ").unwrap();
        let name = key.trim_end_matches('*');
        let place = format!("{place}.{name}");
        match &value[name] {
            // Optional lists may be empty.
            Value::Array(items) if items.is_empty() && name == key => Ok(()),
            Value::Null if value.get(name).is_none() && name == key => Ok(()),
            found => hold(kind, found, &place),
        }
    })
}
