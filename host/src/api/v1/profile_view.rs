//! Who an account is on its channel, as clients see it.

use crate::domain::account::Profile;
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "ProviderProfile")]
pub struct ProfileView {
    #[serde(flatten)]
    profile: Profile,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(with = "Option<String>")]
    avatar_url: String,
}

impl ProfileView {
    pub fn new(profile: Profile, avatar_url: String) -> Self {
        Self {
            profile,
            avatar_url,
        }
    }
}
