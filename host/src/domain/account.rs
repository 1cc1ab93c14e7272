//! An account: one login at one channel, served by one runtime.

use super::chat::Avatar;
use super::error::Failure;
use super::{AccountId, PartitionId, Secret, Timestamp, WorkspaceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// As the native API says it.
#[derive(Clone, Copy, Debug, Default, JsonSchema, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthStatus {
    #[default]
    PendingAuth,
    AwaitingQrScan,
    AwaitingCode,
    AwaitingPassword,
    Authorized,
    Failed,
}

impl AuthStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingAuth => "pending_auth",
            Self::AwaitingQrScan => "awaiting_qr_scan",
            Self::AwaitingCode => "awaiting_code",
            Self::AwaitingPassword => "awaiting_password",
            Self::Authorized => "authorized",
            Self::Failed => "failed",
        }
    }

    /// What storage keeps: flows live in memory only, so that a waiting step is `pending_auth`
    /// after a restart.
    pub fn durable(self) -> Self {
        match self {
            Self::Authorized => Self::Authorized,
            Self::Failed => Self::Failed,
            _ => Self::PendingAuth,
        }
    }
}

/// The eight published values.
#[derive(
    Clone, Copy, Debug, Default, JsonSchema, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeStatus {
    #[default]
    Unknown,
    Starting,
    Running,
    Stopping,
    Stopped,
    Reconnecting,
    Disconnected,
    Error,
}

impl RuntimeStatus {
    pub const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
        Self::Reconnecting,
        Self::Disconnected,
        Self::Error,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Reconnecting => "reconnecting",
            Self::Disconnected => "disconnected",
            Self::Error => "error",
        }
    }
}

/// How an account reaches its channel. `Debug` shows no user.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    pub kind: ProxyKind,
    pub host: String,
    pub port: u16,
    pub username: Option<String>,
    pub password: Option<Secret>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyKind {
    /// HTTP CONNECT.
    Http,
    Socks5,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("kind", &self.kind)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Who the account is on its channel; keys of the contract's `ProviderProfile`.
#[derive(Clone, Debug, Default, JsonSchema, PartialEq, Serialize, Deserialize)]
#[schemars(rename = "ProviderProfile")]
pub struct Profile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bio: Option<String>,
    /// For the host only; clients get an address.
    #[serde(skip)]
    pub avatar: Option<Avatar>,
}

/// An account as storage keeps it. Secrets are not in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    pub id: AccountId,
    pub workspace: WorkspaceId,
    pub partition: PartitionId,
    pub name: String,
    /// The provider's id; `provider_alias` is what the client called it.
    pub provider: String,
    pub provider_alias: String,
    pub region: String,
    /// The caller's business switch, free text; `active` starts it.
    pub status: String,
    /// `code`, `qrcode`, `session`, or another method of the provider.
    pub auth_mode: String,
    /// A JSON object.
    pub metadata: serde_json::Value,
    /// `provider_data` without its secrets: the account's configuration, a JSON object.
    pub config: serde_json::Value,
    pub proxy: Option<Proxy>,
    pub provider_account_ref: Option<String>,
    pub profile: Profile,
    pub auth_status: AuthStatus,
    /// Why the last sign-in failed or the session ended.
    pub last_error: Option<String>,
    /// False after `runtime/stop` until `runtime/start`.
    pub wanted: bool,
    /// Digest of the provider bytes that run for this account (SHA-256, lower-case hex).
    pub provider_digest: Option<String>,
    pub turn_seq: u64,
    /// Sum of key and value lengths in kv.
    pub kv_bytes: u64,
    pub created_at: Timestamp,
    /// The latest time that its provider may have seen.
    pub clock_at: Timestamp,
}

/// What a commit changes about an account's row, beside `turn_seq` and `kv_bytes`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountPatch {
    pub auth_status: Option<AuthStatus>,
    pub last_error: Option<Option<String>>,
    pub provider_account_ref: Option<Option<String>>,
    pub profile: Option<Profile>,
    pub wanted: Option<bool>,
    pub provider_digest: Option<String>,
}

/// The account's live side, in memory only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeState {
    pub status: RuntimeStatus,
    /// Why it is disconnected or in error.
    pub reason: Option<Failure>,
}
