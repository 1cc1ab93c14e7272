//! `Account` as clients see it.

use super::super::Api;
use super::super::avatars::{self, Asked};
use super::super::ingress::{self, IngressAddress};
use super::profile_view::ProfileView;
use super::proxy;
use crate::domain::account::{Account, AuthStatus, RuntimeState, RuntimeStatus};
use crate::supervisor::control::ProviderInfo;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Account", example = json!({
    "id": "acc_7mZ2qK9t", "name": "Reservations", "provider": "harbor", "region": "global",
    "status": "active", "runtime_status": "running", "auth_mode": "code",
    "capabilities": ["send_message", "receive_message"], "metadata": {"desk": "harbor"},
    "provider_account_ref": "15550100", "proxy": {}, "provider_profile": {"display_name": "Harbor Desk"},
    "auth_status": "authorized", "runtime_error": "", "created_at": "2026-03-01T08:30:00Z",
}))]
pub struct AccountView {
    id: String,
    name: String,
    provider: String,
    region: String,
    status: String,
    #[schemars(with = "RuntimeStatus")]
    runtime_status: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    auth_mode: String,
    /// Two words for what every client wants to know, then the provider's features.
    capabilities: Vec<String>,
    #[schemars(with = "Map<String, Value>")]
    metadata: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_account_ref: Option<String>,
    /// Without the password; `{}`: none.
    #[schemars(with = "Map<String, Value>")]
    proxy: Value,
    provider_profile: ProfileView,
    // Our own additions.
    #[schemars(with = "AuthStatus")]
    auth_status: &'static str,
    /// Why it is disconnected or in error; empty when it is neither.
    runtime_error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_digest: Option<String>,
    created_at: String,
    /// Where its channel calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ingress: Vec<IngressAddress>,
}

impl AccountView {
    pub fn new(
        api: &Api,
        account: Account,
        runtime: &RuntimeState,
        info: Option<&ProviderInfo>,
        avatar_url: String,
    ) -> Self {
        let mut capabilities = vec!["receive_message".to_owned()];
        if let Some(info) = info {
            if info.can_send {
                capabilities.insert(0, "send_message".to_owned());
            }
            capabilities.extend(info.features.iter().map(|(name, _)| name.clone()));
        }
        let ingress = ingress::addresses(api, &account);
        Self {
            id: account.id.to_string(),
            name: account.name,
            provider: account.provider_alias,
            region: account.region,
            status: account.status,
            runtime_status: runtime.status.as_str(),
            auth_mode: account.auth_mode,
            capabilities,
            metadata: account.metadata,
            provider_account_ref: account.provider_account_ref,
            proxy: proxy::show(account.proxy.as_ref()),
            provider_profile: ProfileView::new(account.profile, avatar_url),
            auth_status: account.auth_status.as_str(),
            runtime_error: runtime_error(runtime),
            provider_digest: account.provider_digest,
            created_at: account.created_at.rfc3339(),
            ingress,
        }
    }

    pub async fn read(api: &Api, account: Account) -> Self {
        let runtime = api.control.runtime_state(&account.id);
        let info = api.control.provider(&account.provider);
        let asked = [picture_of(&account, info.as_deref())];
        let urls = avatars::addresses(api, &asked).await;
        let url = urls.into_iter().next().unwrap_or_default();
        Self::new(api, account, &runtime, info.as_deref(), url)
    }
}

pub fn picture_of<'a>(account: &'a Account, info: Option<&ProviderInfo>) -> Asked<'a> {
    Asked {
        account: &account.id,
        avatar: account.profile.avatar.as_ref(),
        can_fetch: info.is_some_and(|info| info.can_fetch_media),
    }
}

/// For people; empty when there is none.
pub fn runtime_error(runtime: &RuntimeState) -> String {
    runtime
        .reason
        .as_ref()
        .map(|failure| failure.to_string())
        .unwrap_or_default()
}
