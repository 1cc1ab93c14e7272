//! What the rest of the host may ask of accounts and providers.

use crate::domain::account::{Account, Proxy, RuntimeState};
use crate::domain::command::{self, Command, Unanswered};
use crate::domain::error::Failure;
use crate::domain::grant::Grant;
use crate::domain::ingress::{IngressResponse, IngressRoute};
use crate::domain::manifest::Manifest;
use crate::domain::media::{Blob, BlobError, BlobId};
use crate::domain::send::{Idempotency, Outgoing, Send};
use crate::domain::sign_in::{Answer, Flow};
use crate::domain::{AccountId, SendId, Timestamp, WorkspaceId};
use crate::storage::StorageError;
use crate::storage::lease::OwnershipState;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// A provider as clients and operators see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderInfo {
    pub manifest: Manifest,
    /// Of the version that new accounts get.
    pub digest: String,
    /// (name, limits as JSON)
    pub features: Vec<(String, Option<serde_json::Value>)>,
    /// (name, title, inputs as JSON Schema)
    pub sign_in_methods: Vec<(String, String, Option<serde_json::Value>)>,
    pub config_schema: serde_json::Value,
    /// Does it export `messaging` and `sign-in`?
    pub can_send: bool,
    pub can_sign_in: bool,
    /// Does it get what an attachment's reference names?
    pub can_fetch_media: bool,
    pub accounts: u64,
    /// Accounts that still run another version, by digest.
    pub other_versions: Vec<(String, u64)>,
    /// The last component that was refused, and why.
    pub last_refusal: Option<Refused>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub at: Timestamp,
    /// A file's name, or `upload`.
    pub source: String,
    pub reason: String,
}

#[derive(Clone, PartialEq)]
pub struct NewAccount {
    pub workspace: WorkspaceId,
    pub name: Option<String>,
    /// Id or alias, as the client called it.
    pub provider: String,
    pub region: String,
    pub status: String,
    /// As the client sees it (`code`, `qrcode`, `session`, `password`, …).
    pub auth_mode: String,
    pub metadata: serde_json::Value,
    pub provider_account_ref: Option<String>,
    /// `provider_data`, secrets still in it. A JSON object.
    pub config: serde_json::Value,
    pub proxy: Option<Proxy>,
}

/// Secrets are still in its configuration: shows nothing of it.
impl std::fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewAccount")
            .field("workspace", &self.workspace)
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

/// None leaves as it is.
#[derive(Clone, Default, PartialEq)]
pub struct AccountChange {
    pub name: Option<String>,
    pub status: Option<String>,
    pub auth_mode: Option<String>,
    pub metadata: Option<serde_json::Value>,
    /// Merged over the present configuration, key by key; null removes a key.
    pub config: Option<serde_json::Value>,
    pub proxy: Option<Option<Proxy>>,
    pub provider_account_ref: Option<Option<String>>,
}

/// Shows nothing of its configuration, as [`NewAccount`].
impl std::fmt::Debug for AccountChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountChange")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum SignInCall {
    /// `method`: a name from `sign_in_methods`. A running flow is replaced.
    Begin {
        method: String,
        answers: Vec<Answer>,
    },
    Submit {
        answers: Vec<Answer>,
    },
    Cancel,
    SignOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeAction {
    Refresh,
    Start,
    Stop,
    Reconnect,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NewSend {
    pub workspace: WorkspaceId,
    pub account: AccountId,
    pub outgoing: Outgoing,
    pub idempotency: Option<Idempotency>,
}

/// A send as it stands when the wait ends.
#[derive(Clone, Debug, PartialEq)]
pub struct SendAnswer {
    pub send: Send,
    /// An earlier request with the same idempotency key made it.
    pub repeated: bool,
}

/// Where a channel's request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressTarget {
    Account(AccountId),
    /// All accounts of a provider, by its id or an alias.
    App(String),
}

/// A request of a channel as it came.
pub struct Arriving {
    pub target: IngressTarget,
    pub route: String,
    pub method: String,
    /// The whole path, and what of it is below the route.
    pub path: String,
    pub below: String,
    pub query: Option<String>,
    /// With the host's public address, if it has one.
    pub url: Option<String>,
    /// Names are lower-case.
    pub headers: Vec<(String, String)>,
    /// None: it is longer than the route takes.
    pub body: Option<Vec<u8>>,
}

/// Why the channel gets no answer of the provider's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngressRefusal {
    #[error("there is no such route")]
    UnknownRoute,
    /// No account that is here is meant.
    #[error("there is no such account")]
    UnknownAccount,
    /// Those it takes.
    #[error("this route does not take this method")]
    Method(Vec<String>),
    #[error("the body is longer than this route takes")]
    TooLarge,
    #[error("the request is not verified")]
    Unverified,
    /// (what is wrong)
    #[error("{0}")]
    Malformed(&'static str),
    #[error("another host runs this account")]
    OwnerElsewhere,
    #[error("too many requests of this account wait")]
    Busy,
    /// The provider failed, is not up, or took too long.
    #[error("the account does not take it now")]
    Unavailable,
    #[error("the database does not take it now")]
    Storage,
}

/// Why something was refused; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("there is no provider `{0}`")]
    UnknownProvider(String),
    /// The provider has no such capability: (capability).
    #[error("the provider does not offer {0}")]
    Unsupported(String),
    #[error("sign-in method `{0}` is not one of this provider's")]
    UnsupportedAuthMode(String),
    /// A field of the request breaks a rule: (path such as `provider_data.port`, rule).
    #[error("{field}: {rule}")]
    Invalid { field: String, rule: String },
    #[error("the account does not exist")]
    UnknownAccount,
    /// Another host owns the account, or this one cannot say for sure that it does.
    #[error("another host runs this account")]
    OwnerElsewhere,
    #[error("the account is signed in already; cancel first to sign in anew")]
    AlreadyAuthorized,
    #[error("the account is not signed in")]
    NotAuthorized,
    #[error("the account's runtime is stopped")]
    Stopped,
    #[error("the idempotency key was used with another body")]
    KeyReused,
    /// A repeat while the first is still in flight.
    #[error("the first request with this idempotency key is still in flight")]
    InFlight,
    #[error("too many sends of this account wait")]
    Overloaded,
    #[error("too many requests of this account wait for its provider")]
    TooManyCommands,
    /// A command was given to the account and ended without an answer. `query`: it only looked.
    #[error("the provider gave no answer")]
    Unanswered { query: bool, why: Unanswered },
    /// The provider answered with a failure, or could not be called.
    #[error("{0}")]
    Failed(Failure),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Installed {
    pub provider: String,
    pub version: String,
    pub digest: String,
    /// Accounts that will be moved to it.
    pub accounts: u64,
    /// The bytes were installed and current before.
    pub unchanged: bool,
    /// It asks for more than is granted: it is kept and does not run until that is approved.
    pub parked: Option<Grant>,
}

#[async_trait]
pub trait Control: std::marker::Send + Sync + 'static {
    fn providers(&self) -> Vec<ProviderInfo>;
    /// By id or alias; its accounts are not counted.
    fn provider(&self, name: &str) -> Option<Arc<ProviderInfo>>;
    /// The same; one that another host has installed since is looked for in storage.
    async fn learn_provider(&self, name: &str) -> Option<Arc<ProviderInfo>> {
        self.provider(name)
    }
    /// Of the version that the account runs.
    async fn account_provider(&self, account: &Account) -> Option<Arc<ProviderInfo>> {
        self.learn_provider(&account.provider).await
    }
    /// Refusals of components that belong to no provider that is installed.
    fn stray_refusals(&self) -> Vec<Refused> {
        Vec::new()
    }
    /// Checks, stores, makes current and moves the provider's accounts. The error is the reason
    /// why it was refused, for people.
    async fn install(&self, component: Vec<u8>, source: &str) -> Result<Installed, String>;

    async fn create_account(&self, account: NewAccount) -> Result<Account, Refusal>;
    async fn update_account(
        &self,
        workspace: &WorkspaceId,
        id: &AccountId,
        change: AccountChange,
    ) -> Result<Account, Refusal>;
    /// Signs out at the channel if it can within a short time, then deletes.
    async fn delete_account(&self, workspace: &WorkspaceId, id: &AccountId) -> Result<(), Refusal>;

    /// How many bytes of a body a route takes.
    fn ingress_limit(
        &self,
        _target: &IngressTarget,
        _route: &str,
    ) -> Result<usize, IngressRefusal> {
        Err(IngressRefusal::UnknownRoute)
    }
    /// Verifies a channel's request and hands it to the accounts it is for. Their turns are
    /// committed when it returns `Ok`.
    async fn ingress(&self, _arriving: Arriving) -> Result<IngressResponse, IngressRefusal> {
        Err(IngressRefusal::UnknownRoute)
    }
    /// Routes of the version that the account runs.
    fn ingress_routes(&self, _account: &Account) -> Vec<IngressRoute> {
        Vec::new()
    }

    /// What this host owns.
    fn ownership(&self) -> OwnershipState;
    /// Unknown where another host runs the account.
    fn runtime_state(&self, id: &AccountId) -> RuntimeState;
    async fn runtime(&self, id: &AccountId, action: RuntimeAction)
    -> Result<RuntimeState, Refusal>;

    /// After a restore: the host goes on in the original's place. How many accounts start.
    async fn resume_restored(&self) -> Result<u64, StorageError> {
        Ok(0)
    }

    /// The running or last flow of the account, if the process knows one.
    fn flow(&self, id: &AccountId) -> Option<Flow>;
    /// Waits until the provider has answered the call, at most `wait`; then the flow as it is.
    async fn sign_in(
        &self,
        id: &AccountId,
        call: SignInCall,
        wait: Duration,
    ) -> Result<Option<Flow>, Refusal>;

    /// Returns when the provider has answered, or when it is sure that it will not.
    async fn command(&self, id: &AccountId, command: Command) -> Result<command::Answer, Refusal>;

    /// Durable when it returns `Ok`. Waits at most `wait` for the send to settle.
    async fn send(&self, send: NewSend, wait: Duration) -> Result<SendAnswer, Refusal>;
    /// Has the account's provider get what an attachment's reference names. Waits at most `wait`.
    async fn fetch_media(
        &self,
        _id: &AccountId,
        _reference: String,
        _wait: Duration,
    ) -> Result<BlobId, Refusal> {
        Err(Refusal::Unsupported("media".into()))
    }
    /// Has the picture at an address in the media store, as the account's. At most `wait`. The
    /// failure is for the client: `unavailable` where another try may help.
    async fn fetch_picture(
        &self,
        _account: &Account,
        _url: &str,
        _max_bytes: u64,
        _wait: Duration,
    ) -> Result<Blob, Failure> {
        Err(BlobError::NotFound.into())
    }
    /// Waits at most `wait` for a send to settle; the send as storage has it then.
    async fn await_settled(
        &self,
        workspace: &WorkspaceId,
        id: &SendId,
        wait: Duration,
    ) -> Result<Option<Send>, StorageError>;
}
