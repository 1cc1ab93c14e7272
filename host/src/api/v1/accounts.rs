//! Accounts: list, create, read, change, delete.

use super::super::Api;
use super::super::avatars::{self, Asked};
use super::super::body::JsonBody;
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::{ApiError, Operation};
use super::super::keys::{Narrowed, WorkspaceKey};
use super::super::openapi::Doc;
use super::super::query::PathText;
use super::super::routes::Routes;
use super::account_request::{self, AccountRequest};
use super::account_view::{AccountView, picture_of};
use super::at_account::AtAccount;
use super::providers::{self, REGION};
use crate::domain::AccountId;
use crate::supervisor::control::{AccountChange, NewAccount, ProviderInfo, Refusal};
use axum::extract::State;
use serde_json::{Map, Value};
use std::collections::HashMap;

const LIST: Operation = Operation::of_account(codes::LIST_ACCOUNTS_FAILED);
const CREATE: Operation = Operation::of_account(codes::CREATE_ACCOUNT_FAILED);
const READ: Operation = Operation::of_account(codes::GET_ACCOUNT_FAILED);
const UPDATE: Operation = Operation::of_account(codes::UPDATE_ACCOUNT_FAILED);
const DELETE: Operation = Operation::of_account(codes::DELETE_ACCOUNT_FAILED);

pub fn routes() -> Routes {
    const ONE: &str = "/v1/accounts/{account_id}";
    Routes::new()
        .get("/v1/accounts", list)
        .doc(
            Doc::new("listAccounts", "List the accounts")
                .ok::<Vec<AccountView>>()
                .fails(LIST.reads()),
        )
        .post("/v1/accounts", create)
        .doc(
            Doc::new("createAccount", "Make an account at a channel")
                .body_with::<AccountRequest>(&["provider"])
                .created::<AccountView>()
                .fails(CREATE.acts())
                .fails([
                    codes::INVALID_PROVIDER,
                    codes::NO_ALLOCATABLE_SERVER,
                    codes::AUTH_MODE_PHONE_REQUIRED,
                    codes::WORKSPACE_ACCOUNT_QUOTA_EXCEEDED,
                    codes::DUPLICATE_PROVIDER_ACCOUNT,
                ]),
        )
        .get(ONE, read)
        .doc(
            Doc::new("getAccount", "Read an account")
                .ok::<AccountView>()
                .fails(READ.reads()),
        )
        .patch(ONE, update)
        .doc(
            Doc::new("updateAccount", "Change an account; what is absent stays")
                .body::<AccountRequest>()
                .ok::<AccountView>()
                .fails(UPDATE.acts())
                .fails([
                    codes::AUTH_MODE_PHONE_REQUIRED,
                    codes::DUPLICATE_PROVIDER_ACCOUNT,
                ]),
        )
        .delete(ONE, remove)
        .doc(
            Doc::new(
                "deleteAccount",
                "Delete an account, signing it out if the channel can",
            )
            .no_content()
            .fails(DELETE.acts()),
        )
        .about(
            "Accounts",
            "An account is one login at one channel, served by one runtime.",
        )
}

async fn list(State(api): State<Api>, key: Narrowed) -> Answer {
    let mut accounts = api
        .store
        .accounts(&key.workspace)
        .await
        .map_err(|error| LIST.storage(error))?;
    accounts.retain(|account| key.sees(account.id.as_str()));
    let providers: HashMap<String, ProviderInfo> = api
        .control
        .providers()
        .into_iter()
        .map(|info| (info.manifest.id.clone(), info))
        .collect();
    let pictures: Vec<Asked<'_>> = accounts
        .iter()
        .map(|account| picture_of(account, providers.get(&account.provider)))
        .collect();
    let urls = avatars::addresses(&api, &pictures).await;
    drop(pictures);
    let views: Vec<AccountView> = accounts
        .into_iter()
        .zip(urls)
        .map(|(account, url)| {
            let runtime = api.control.runtime_state(&account.id);
            let info = providers.get(&account.provider);
            AccountView::new(&api, account, &runtime, info, url)
        })
        .collect();
    Reply::ok(&views)
}

async fn create(
    State(api): State<Api>,
    WorkspaceKey(workspace): WorkspaceKey,
    JsonBody(body): JsonBody,
) -> Answer {
    let request = AccountRequest::read(&body)?;
    let provider = request
        .provider
        .ok_or_else(|| ApiError::field("provider", "is required (a string)"))?;
    let info = providers::installed(&api, &provider).await?;
    let region = request.region.unwrap_or_else(|| REGION.to_owned());
    if region != REGION {
        return Err(ApiError::new(
            codes::NO_ALLOCATABLE_SERVER,
            format!("region: `{region}` is not offered; the region of this host is `{REGION}`"),
        ));
    }
    let auth_mode = account_request::choose_mode(&info, request.auth_mode.as_deref())?;
    let config = request.provider_data.unwrap_or_default();
    account_request::require_phone(&info, &auth_mode, &config)?;
    let needs_phone = auth_mode == "code" && !config.contains_key("phone");
    let account = api
        .control
        .create_account(NewAccount {
            workspace,
            name: request.name,
            provider,
            region,
            status: request.status.unwrap_or_else(|| "active".to_owned()),
            auth_mode,
            metadata: request.metadata.unwrap_or_else(|| Map::new().into()),
            provider_account_ref: request.provider_account_ref,
            config: Value::Object(config),
            proxy: request.proxy.flatten(),
        })
        .await
        .map_err(|refusal| match refusal {
            Refusal::UnknownProvider(name) => ApiError::new(
                codes::INVALID_PROVIDER,
                format!("provider: there is no provider `{name}`"),
            ),
            other => {
                let mut error = CREATE.refusal(other);
                // The provider's own schema may be what asks for it.
                if needs_phone && error.details.field.as_deref() == Some("provider_data.phone") {
                    error.code = codes::AUTH_MODE_PHONE_REQUIRED;
                }
                error
            }
        })?;
    Reply::created(&AccountView::read(&api, account).await)
}

async fn read(at: AtAccount) -> Answer {
    let account = at.account(&READ).await?;
    Reply::ok(&AccountView::read(&at.api, account).await)
}

async fn update(
    State(api): State<Api>,
    WorkspaceKey(workspace): WorkspaceKey,
    PathText(id): PathText,
    JsonBody(body): JsonBody,
) -> Answer {
    let request = AccountRequest::read(&body)?;
    let account = super::account(&api, &UPDATE, &workspace, &id).await?;
    if let Some(provider) = &request.provider
        && *provider != account.provider_alias
        && api
            .control
            .provider(provider)
            .is_none_or(|info| info.manifest.id != account.provider)
    {
        return Err(ApiError::field(
            "provider",
            "cannot be changed; make a new account instead",
        ));
    }
    if request
        .region
        .as_ref()
        .is_some_and(|region| *region != account.region)
    {
        return Err(ApiError::field(
            "region",
            "cannot be changed; make a new account instead",
        ));
    }
    if let Some(mode) = request.auth_mode.as_deref()
        && mode != account.auth_mode
        && let Some(info) = api.control.provider(&account.provider)
    {
        account_request::choose_mode(&info, Some(mode))?;
        let mut config = account.config.as_object().cloned().unwrap_or_default();
        config.extend(request.provider_data.clone().unwrap_or_default());
        account_request::require_phone(&info, mode, &config)?;
    }
    let change = AccountChange {
        name: request.name,
        status: request.status,
        auth_mode: request.auth_mode,
        metadata: request.metadata,
        config: request.provider_data.map(Value::Object),
        proxy: request.proxy,
        provider_account_ref: request.provider_account_ref.map(Some),
    };
    let account = api
        .control
        .update_account(&workspace, &account.id, change)
        .await
        .map_err(|refusal| UPDATE.refusal(refusal))?;
    Reply::ok(&AccountView::read(&api, account).await)
}

async fn remove(
    State(api): State<Api>,
    WorkspaceKey(workspace): WorkspaceKey,
    PathText(id): PathText,
) -> Answer {
    api.control
        .delete_account(&workspace, &AccountId::from_text(id))
        .await
        .map_err(|refusal| DELETE.refusal(refusal))?;
    Reply::no_content()
}
