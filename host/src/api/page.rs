//! Pages of lists that a provider keeps. Its own cursors go to clients sealed, and bound to the
//! account, the list and the filters: one that was altered, or that belongs elsewhere, is refused.

use super::Shared;
use super::error::ApiError;
use super::query::Query;
use crate::domain::AccountId;
use crate::domain::chat::{Page, PageOf};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;
/// What cursors are sealed for.
const PURPOSE: &str = "page";
const VERSION: u8 = 1;

/// Part of a list, as clients get it.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "{T}ListResult")]
pub struct Listed<T> {
    pub items: Vec<T>,
    /// Empty on the last page.
    pub next_cursor: String,
    pub has_more: bool,
}

/// Seals what clients carry for the host and give back.
pub trait Sealer: Send + Sync + 'static {
    fn seal_for(&self, purpose: &str, plain: &[u8]) -> String;
    /// None: it was altered, or is for something else.
    fn open_for(&self, purpose: &str, sealed: &str) -> Option<Vec<u8>>;
}

#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    #[serde(rename = "v")]
    version: u8,
    #[serde(rename = "a", borrow)]
    account: Cow<'a, str>,
    #[serde(rename = "l", borrow)]
    list: Cow<'a, str>,
    #[serde(rename = "c", borrow)]
    cursor: Cow<'a, str>,
}

/// One list of one account.
pub struct List<'a> {
    pub account: &'a AccountId,
    /// The feature, and what narrows the list.
    pub name: String,
}

impl<'a> List<'a> {
    pub fn new(account: &'a AccountId, feature: &str, filters: &[&str]) -> Self {
        let mut name = feature.to_owned();
        for filter in filters {
            // No filter can run into the next one.
            name.push('\n');
            name.push_str(&filter.replace('\n', "\\n"));
        }
        Self { account, name }
    }

    /// What the query asks for. `most`: the provider's own limit of a page.
    pub fn page(
        &self,
        api: &Shared,
        query: &Query,
        most: impl Fn(u32) -> u32,
    ) -> Result<PageOf, ApiError> {
        let limit = most(query.limit(DEFAULT_LIMIT, MAX_LIMIT)?);
        let cursor = query
            .text("cursor")
            .map(|text| self.open(api, text).ok_or_else(foreign))
            .transpose()?;
        Ok(PageOf { cursor, limit })
    }

    /// For clients. `asked`: the page that was asked for.
    pub fn listed<T, V>(
        &self,
        api: &Shared,
        asked: &PageOf,
        page: Page<T>,
        view: impl Fn(T) -> V,
    ) -> Result<Listed<V>, ApiError> {
        if page.next.is_some() && page.next == asked.cursor {
            return Err(ApiError::internal(
                "the provider's list gives the same cursor again: it would never end",
            ));
        }
        Ok(Listed {
            items: page.items.into_iter().map(view).collect(),
            has_more: page.next.is_some(),
            next_cursor: page
                .next
                .map(|next| self.seal(api, &next))
                .unwrap_or_default(),
        })
    }

    fn seal(&self, api: &Shared, cursor: &str) -> String {
        let sealed = Sealed {
            version: VERSION,
            account: self.account.as_str().into(),
            list: self.name.as_str().into(),
            cursor: cursor.into(),
        };
        let plain = serde_json::to_vec(&sealed).unwrap_or_default();
        api.sealer.seal_for(PURPOSE, &plain)
    }

    fn open(&self, api: &Shared, text: &str) -> Option<String> {
        let plain = api.sealer.open_for(PURPOSE, text)?;
        let sealed: Sealed<'_> = serde_json::from_slice(&plain).ok()?;
        let ours = sealed.version == VERSION
            && sealed.account == self.account.as_str()
            && sealed.list == self.name;
        ours.then(|| sealed.cursor.into_owned())
    }
}

fn foreign() -> ApiError {
    ApiError::field(
        "cursor",
        "is not a next_cursor of this list of this account with these filters",
    )
}
