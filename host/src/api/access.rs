//! The one table of operations: which there are, and who may call them. `gate` asks it for every
//! request, and what does not stand here cannot be reached; a test compares it with the routes and
//! tries every row with every kind of key.
//!
//! A workspace's key has permissions (`read`, `send`, `all`) and may be bound to one account. What
//! it may not do is 403 `insufficient_scope`; what it may not see does not exist for it, and gets
//! the answer in `hidden`, the same as for an id that nobody has.

use super::codes::{self, Code};
use crate::domain::key::Permission;

/// An operation, and who may call it.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub method: &'static str,
    /// As the router has it: `/v1/accounts/{account_id}`.
    pub path: &'static str,
    pub who: Who,
    /// The answer where the path, the query or the body names something of another workspace, or
    /// of an account beyond the key's. None: it names nothing.
    pub hidden: Option<Code>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Anybody; no key is looked at.
    Public,
    /// A channel: the request itself is verified, by the provider's recipe. No key is looked at,
    /// and no address is counted: channels send much, and from few.
    Channel,
    /// Any key that is good, a workspace's or an operator's.
    AnyKey,
    /// A key of an active workspace with one of these permissions, or with `all`.
    Workspace {
        any_of: &'static [Permission],
        one_account: OneAccount,
    },
    Operator,
}

/// What a key that is bound to one account gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneAccount {
    /// 403: it is about the workspace as a whole.
    Refused,
    /// Only what belongs to its account.
    Narrowed,
}

const ALL: &[Permission] = &[];
const READ: &[Permission] = &[Permission::Read];
const SEND: &[Permission] = &[Permission::Send];
const READ_OR_SEND: &[Permission] = &[Permission::Read, Permission::Send];

const fn row(
    method: &'static str,
    path: &'static str,
    who: Who,
    hidden: Option<Code>,
) -> Operation {
    Operation {
        method,
        path,
        who,
        hidden,
    }
}

const fn public(path: &'static str) -> Operation {
    row("GET", path, Who::Public, None)
}

const fn channel(method: &'static str, path: &'static str) -> Operation {
    row(method, path, Who::Channel, None)
}

const fn operator(method: &'static str, path: &'static str) -> Operation {
    row(method, path, Who::Operator, None)
}

/// About the workspace as a whole.
const fn whole(
    method: &'static str,
    path: &'static str,
    any_of: &'static [Permission],
    hidden: Option<Code>,
) -> Operation {
    let one_account = OneAccount::Refused;
    row(
        method,
        path,
        Who::Workspace {
            any_of,
            one_account,
        },
        hidden,
    )
}

/// About accounts, or about nothing in particular.
const fn part(
    method: &'static str,
    path: &'static str,
    any_of: &'static [Permission],
    hidden: Option<Code>,
) -> Operation {
    let one_account = OneAccount::Narrowed;
    row(
        method,
        path,
        Who::Workspace {
            any_of,
            one_account,
        },
        hidden,
    )
}

const NOT_FOUND: Option<Code> = Some(codes::NOT_FOUND);
const NOT_BOUND: Option<Code> = Some(codes::ACCOUNT_BINDING_NOT_FOUND);

#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    public("/livez"),
    public("/readyz"),
    operator("GET", "/metrics"),
    public("/openapi.json"),
    public("/docs"),
    public("/docs/begin.js"),
    public("/docs/scalar.js"),

    channel("GET", "/ingress/{account_id}/{token}/{route}"),
    channel("POST", "/ingress/{account_id}/{token}/{route}"),
    channel("PUT", "/ingress/{account_id}/{token}/{route}"),
    channel("GET", "/ingress/{account_id}/{token}/{route}/{*below}"),
    channel("POST", "/ingress/{account_id}/{token}/{route}/{*below}"),
    channel("PUT", "/ingress/{account_id}/{token}/{route}/{*below}"),
    channel("GET", "/ingress/apps/{provider}/{route}"),
    channel("POST", "/ingress/apps/{provider}/{route}"),
    channel("PUT", "/ingress/apps/{provider}/{route}"),
    channel("GET", "/ingress/apps/{provider}/{route}/{*below}"),
    channel("POST", "/ingress/apps/{provider}/{route}/{*below}"),
    channel("PUT", "/ingress/apps/{provider}/{route}/{*below}"),

    part("GET", "/v1/workspace", READ, None),
    whole("PATCH", "/v1/workspace", ALL, None),

    whole("GET", "/v1/api-keys", READ, None),
    whole("POST", "/v1/api-keys", ALL, None),
    whole("PATCH", "/v1/api-keys/{key_id}", ALL, Some(codes::UPDATE_API_KEY_FAILED)),
    whole("POST", "/v1/api-keys/{key_id}/rotate", ALL, Some(codes::ROTATE_API_KEY_FAILED)),

    row("GET", "/v1/providers", Who::AnyKey, None),
    operator("POST", "/v1/providers"),
    row("GET", "/v1/providers/{provider}", Who::AnyKey, None),
    part("GET", "/v1/providers/{provider}/regions", READ, None),

    part("GET", "/v1/accounts", READ, None),
    whole("POST", "/v1/accounts", ALL, None),
    part("GET", "/v1/accounts/{account_id}", READ, NOT_FOUND),
    part("PATCH", "/v1/accounts/{account_id}", ALL, NOT_FOUND),
    part("DELETE", "/v1/accounts/{account_id}", ALL, NOT_FOUND),

    part("GET", "/v1/accounts/{account_id}/auth", READ, NOT_FOUND),
    part("GET", "/v1/accounts/{account_id}/auth/session", READ, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/auth/session", ALL, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/auth/session/import", ALL, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/auth/start", ALL, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/auth/session/start", ALL, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/auth/qr/start", ALL, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/auth/session/qr/start", ALL, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/auth/qr/check", ALL, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/auth/session/qr/check", ALL, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/auth/code", ALL, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/auth/session/code", ALL, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/auth/password", ALL, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/auth/session/password", ALL, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/auth/cancel", ALL, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/auth/session/cancel", ALL, NOT_BOUND),

    part("POST", "/v1/accounts/{account_id}/runtime/refresh", READ, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/runtime/start", ALL, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/runtime/stop", ALL, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/runtime/reconnect", ALL, NOT_BOUND),

    part("GET", "/v1/accounts/{account_id}/capabilities", READ, NOT_FOUND),
    part("GET", "/v1/accounts/{account_id}/profile", READ, NOT_FOUND),
    part("PATCH", "/v1/accounts/{account_id}/profile", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/profile/presence", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/commands/{name}", SEND, NOT_FOUND),

    part("GET", "/v1/accounts/{account_id}/conversations", READ, NOT_BOUND),
    part("GET", "/v1/accounts/{account_id}/conversations/info", READ, NOT_FOUND),
    part("GET", "/v1/accounts/{account_id}/conversations/members", READ, NOT_FOUND),
    part("GET", "/v1/accounts/{account_id}/conversations/messages", READ, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/conversations/read", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/conversations/unread", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/conversations/mute", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/conversations/unmute", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/conversations/pin", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/conversations/unpin", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/conversations/archive", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/conversations/unarchive", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/conversations/delete", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/conversations/activity", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/conversations/open", SEND, NOT_FOUND),
    part("GET", "/v1/accounts/{account_id}/conversations/labels", READ, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/conversations/labels", SEND, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/conversations/labels/upsert", SEND, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/conversations/labels/delete", SEND, NOT_BOUND),

    part("GET", "/v1/accounts/{account_id}/contacts", READ, NOT_BOUND),
    part("GET", "/v1/accounts/{account_id}/contacts/info", READ, NOT_FOUND),
    part("GET", "/v1/accounts/{account_id}/contacts/resolve", READ, NOT_FOUND),
    part("GET", "/v1/accounts/{account_id}/contacts/blocklist", READ, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/contacts/block", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/contacts/unblock", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/contacts/note", SEND, NOT_FOUND),

    part("GET", "/v1/accounts/{account_id}/groups", READ, NOT_BOUND),
    part("GET", "/v1/accounts/{account_id}/groups/info", READ, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/groups/create", SEND, NOT_BOUND),
    part("POST", "/v1/accounts/{account_id}/groups/leave", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/groups/members", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/groups/update-info", SEND, NOT_FOUND),
    part("GET", "/v1/accounts/{account_id}/groups/join-requests", READ, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/groups/join-requests/update", SEND, NOT_FOUND),
    part("POST", "/v1/accounts/{account_id}/groups/join-approval-mode", SEND, NOT_FOUND),
    part("GET", "/v1/accounts/{account_id}/groups/invite-code", READ, NOT_FOUND),

    part("POST", "/v1/messages", SEND, NOT_BOUND),
    part("POST", "/v1/messages/forward", SEND, NOT_BOUND),
    part("POST", "/v1/messages/edit", SEND, NOT_BOUND),
    part("POST", "/v1/messages/revoke", SEND, NOT_BOUND),
    part("POST", "/v1/messages/reaction", SEND, NOT_BOUND),
    part("POST", "/v1/messages/pin", SEND, NOT_BOUND),
    part("GET", "/v1/messages", READ, NOT_FOUND),
    part("GET", "/v1/messages/{message_id}", READ_OR_SEND, NOT_FOUND),

    part("POST", "/v1/media", SEND, NOT_FOUND),
    part("GET", "/v1/media/{media_id}", READ_OR_SEND, NOT_FOUND),
    part("GET", "/v1/media/{media_id}/content", READ_OR_SEND, NOT_FOUND),
    part("DELETE", "/v1/media/{media_id}", SEND, NOT_FOUND),
    public("/media/{token}"),

    whole("GET", "/v1/webhook-endpoints", READ, None),
    whole("POST", "/v1/webhook-endpoints", ALL, None),
    whole("GET", "/v1/webhook-endpoints/{endpoint_id}", READ, NOT_FOUND),
    whole("PATCH", "/v1/webhook-endpoints/{endpoint_id}", ALL, Some(codes::UPDATE_WEBHOOK_ENDPOINT_FAILED)),
    whole("DELETE", "/v1/webhook-endpoints/{endpoint_id}", ALL, Some(codes::DELETE_WEBHOOK_ENDPOINT_FAILED)),
    whole("POST", "/v1/webhook-endpoints/{endpoint_id}/deactivate", ALL, Some(codes::DEACTIVATE_WEBHOOK_ENDPOINT_FAILED)),

    part("GET", "/v1/events", READ, NOT_FOUND),
    part("GET", "/v1/events/stream", READ, NOT_FOUND),

    operator("GET", "/admin/v1/operator-keys"),
    operator("POST", "/admin/v1/operator-keys"),
    operator("PATCH", "/admin/v1/operator-keys/{key_id}"),
    operator("POST", "/admin/v1/operator-keys/{key_id}/rotate"),

    operator("GET", "/admin/v1/workspaces"),
    operator("POST", "/admin/v1/workspaces"),
    operator("GET", "/admin/v1/workspaces/{workspace_id}"),
    operator("PATCH", "/admin/v1/workspaces/{workspace_id}"),
    operator("DELETE", "/admin/v1/workspaces/{workspace_id}"),
    operator("GET", "/admin/v1/workspaces/{workspace_id}/api-keys"),
    operator("POST", "/admin/v1/workspaces/{workspace_id}/api-keys"),
    operator("PATCH", "/admin/v1/workspaces/{workspace_id}/api-keys/{key_id}"),
    operator("POST", "/admin/v1/workspaces/{workspace_id}/api-keys/{key_id}/rotate"),

    operator("GET", "/admin/v1/providers"),
    operator("POST", "/admin/v1/providers"),
    operator("GET", "/admin/v1/providers/{provider}"),
    operator("POST", "/admin/v1/providers/{provider}/versions/{digest}/approve"),
    operator("POST", "/admin/v1/providers/{provider}/versions/{digest}/current"),
    operator("GET", "/admin/v1/providers/{provider}/config"),
    operator("PUT", "/admin/v1/providers/{provider}/config"),
    operator("PATCH", "/admin/v1/providers/{provider}/config"),
    operator("PUT", "/admin/v1/accounts/{account_id}/version"),

    operator("GET", "/admin/v1/network"),
    operator("PUT", "/admin/v1/network"),

    operator("GET", "/admin/v1/usage"),
    operator("GET", "/admin/v1/state"),
    operator("POST", "/admin/v1/keys/rotate-master"),
    operator("GET", "/admin/v1/restore"),
    operator("POST", "/admin/v1/restore/resume"),
];

/// The rows of a path.
pub fn of_path(path: &str) -> impl Iterator<Item = &'static Operation> {
    OPERATIONS
        .iter()
        .filter(move |operation| operation.path == path)
}

/// HEAD is answered as GET without its body.
pub fn of(method: &str, path: &str) -> Option<&'static Operation> {
    let method = if method == "HEAD" { "GET" } else { method };
    of_path(path).find(|operation| operation.method == method)
}
