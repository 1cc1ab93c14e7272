//! Whom a command is for: the account, and the version of its provider. Every command goes through
//! here: checks first, then the question, then what is said of an answer of the wrong kind.

use super::super::avatars::{self, Asked, Pictured};
use super::super::capable::Capable;
use super::super::error::{ApiError, Operation};
use super::super::page::{List, Listed};
use super::super::query::Query;
use super::super::{Api, codes};
use super::at_account::AtAccount;
use crate::domain::WorkspaceId;
use crate::domain::account::Account;
use crate::domain::chat::{Avatar, Page, PageOf};
use crate::domain::command::{Answer, Command};
use crate::supervisor::control::ProviderInfo;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

/// Of an id of the channel, and of our own.
pub const ID: usize = 512;

/// `OkData` of the contract.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "OkData")]
pub struct Done {
    #[schemars(extend("const" = true))]
    ok: bool,
}

impl Done {
    pub const OK: Self = Self { ok: true };
}

pub struct Subject {
    pub api: Api,
    pub operation: &'static Operation,
    pub account: Account,
    info: Arc<ProviderInfo>,
}

impl AtAccount {
    pub async fn subject(self, operation: &'static Operation) -> Result<Subject, ApiError> {
        let account = self.account(operation).await?;
        Subject::of_account(self.api, operation, account).await
    }
}

impl Subject {
    pub async fn of(
        api: &Api,
        operation: &'static Operation,
        workspace: &WorkspaceId,
        id: &str,
    ) -> Result<Self, ApiError> {
        let account = super::account(api, operation, workspace, id).await?;
        Self::of_account(api.clone(), operation, account).await
    }

    async fn of_account(
        api: Api,
        operation: &'static Operation,
        account: Account,
    ) -> Result<Self, ApiError> {
        let info = provider(&api, &account).await?;
        Ok(Self {
            api,
            operation,
            account,
            info,
        })
    }

    pub fn capable(&self) -> Capable<'_> {
        Capable::of(&self.info)
    }

    pub async fn ask(&self, command: Command) -> Result<Answer, ApiError> {
        self.capable().needs(&command.feature())?;
        self.api
            .control
            .command(&self.account.id, command)
            .await
            .map_err(|refusal| self.operation.refusal(refusal))
    }

    /// For a command that is answered with nothing.
    pub async fn act(&self, command: Command) -> Result<Done, ApiError> {
        match self.ask(command).await? {
            Answer::Done => Ok(Done::OK),
            other => Err(odd(&other)),
        }
    }

    /// Where the picture can be had; empty: nowhere.
    pub async fn avatar_url(&self, avatar: Option<&Avatar>) -> String {
        let urls = avatars::addresses(&self.api, &[self.asked(avatar)]).await;
        urls.into_iter().next().unwrap_or_default()
    }

    fn asked<'a>(&'a self, avatar: Option<&'a Avatar>) -> Asked<'a> {
        Asked {
            account: &self.account.id,
            avatar,
            can_fetch: self.info.can_fetch_media,
        }
    }

    /// One page. `filters`: what narrows the list, so that a cursor holds for nothing else;
    /// `view`: of an item and its picture's address.
    pub async fn list<T: Pictured, V>(
        &self,
        query: &Query,
        filters: &[&str],
        command: impl Fn(PageOf) -> Command,
        page: impl Fn(Answer) -> Option<Page<T>>,
        view: impl Fn(T, String) -> V,
    ) -> Result<Listed<V>, ApiError> {
        let feature = command(PageOf {
            cursor: None,
            limit: 1,
        })
        .feature();
        let capable = self.capable();
        capable.needs(&feature)?;
        let list = List::new(&self.account.id, &feature, filters);
        let asked = list.page(&self.api, query, |limit| capable.items(&feature, limit))?;
        let answer = self.ask(command(asked.clone())).await?;
        let found = page(answer).ok_or_else(wrong_answer)?;
        let asked_of: Vec<Asked<'_>> = found
            .items
            .iter()
            .map(|item| self.asked(item.avatar()))
            .collect();
        let urls = avatars::addresses(&self.api, &asked_of).await;
        drop(asked_of);
        let page = Page {
            items: found.items.into_iter().zip(urls).collect(),
            next: found.next,
        };
        list.listed(&self.api, &asked, page, |(item, url)| view(item, url))
    }
}

/// The version that the account runs.
pub async fn provider(api: &Api, account: &Account) -> Result<Arc<ProviderInfo>, ApiError> {
    let info = api.control.account_provider(account).await;
    info.ok_or_else(|| {
        ApiError::new(
            codes::PROVIDER_ADAPTER_NOT_FOUND,
            format!(
                "provider `{}` is not installed on this host",
                account.provider
            ),
        )
    })
}

/// The runtime lets no answer of the wrong kind through.
pub fn odd(answer: &Answer) -> ApiError {
    let kind = std::mem::discriminant(answer);
    ApiError::internal(format!("a command was answered with {kind:?}"))
}

pub fn wrong_answer() -> ApiError {
    ApiError::internal("a command was answered with another kind of answer")
}

/// An answer of this kind, or the error that says that it is another one.
macro_rules! answer_of {
    ($answer:expr, $kind:path) => {
        match $answer {
            $kind(found) => Ok(found),
            other => Err($crate::api::v1::subject::odd(&other)),
        }
    };
}

/// The page in an answer of this kind.
macro_rules! page_of {
    ($kind:path) => {
        |answer| match answer {
            $kind(page) => Some(page),
            _ => None,
        }
    };
}

pub(super) use {answer_of, page_of};
