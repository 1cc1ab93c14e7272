//! A picture that a request names by its address: had before the provider is asked.

use super::super::codes;
use super::super::error::ApiError;
use super::super::fields::Fields;
use super::message_request::check_url;
use super::subject::Subject;
use crate::domain::capability;
use crate::domain::error::{Failure, FailureCode};

/// Whatever the provider takes.
const BYTES: u64 = 16 * 1024 * 1024;
const URL: usize = 8192;
const FIELD: &str = "avatar_url";

/// `avatar_url`, if it is there.
pub fn address(fields: &Fields<'_>) -> Result<Option<String>, ApiError> {
    let Some(text) = fields.text(FIELD, URL)? else {
        return Ok(None);
    };
    check_url(text).map_err(|rule| fields.error(FIELD, rule))?;
    Ok(Some(text.to_owned()))
}

/// The blob of what is at the address. `feature`: what it is for.
pub async fn fetched(
    subject: &Subject,
    feature: &str,
    url: Option<&str>,
) -> Result<Option<String>, ApiError> {
    let Some(url) = url else {
        return Ok(None);
    };
    let (api, capable) = (&subject.api, subject.capable());
    let most = capable.features.number(feature, capability::MAX_BYTES);
    let bytes = most.unwrap_or(BYTES).min(BYTES);
    let wait = api.settings.media_wait;
    let picture = api
        .control
        .fetch_picture(&subject.account, url, bytes, wait)
        .await
        .map_err(refused)?;
    capable.medium(feature, FIELD, picture.size, picture.meta.mime.as_deref())?;
    Ok(Some(picture.id.as_str().to_owned()))
}

fn refused(failure: Failure) -> ApiError {
    if failure.code != FailureCode::Unavailable {
        return ApiError::field(FIELD, failure.message);
    }
    let text = format!("{FIELD}: {}", failure.message);
    let mut error = ApiError::new(codes::PROVIDER_UNAVAILABLE, text).retry_after(10);
    error.details.field = Some(FIELD.to_owned());
    error.log = failure.detail;
    error
}
