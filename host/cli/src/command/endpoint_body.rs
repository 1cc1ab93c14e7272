//! What can be set of a webhook endpoint, alike when it is made and when it is changed.

use crate::failure::Outcome;
use crate::session::Session;
use clap::Args;
use serde_json::{Map, Value, json};

#[derive(Args, Debug)]
pub struct Settings {
    /// An event type it gets; may be repeated. Without: all published ones
    #[arg(long = "event", value_name = "TYPE", value_delimiter = ',')]
    events: Vec<String>,
    /// Only events of this account; may be repeated
    #[arg(long = "account", value_name = "ACCOUNT")]
    accounts: Vec<String>,
    /// In which order: conversation, account or none
    #[arg(long)]
    ordering: Option<String>,
    /// Retries: standard or unifyport
    #[arg(long, value_name = "PROFILE")]
    retry_profile: Option<String>,
    /// Re-deliveries at most after the first attempt
    #[arg(long, value_name = "COUNT")]
    max_attempts: Option<u32>,
    /// Seconds that the receiver may take
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

impl Settings {
    pub async fn body(&self, session: &Session) -> Outcome<Map<String, Value>> {
        let mut body = Map::new();
        if !self.events.is_empty() {
            body.insert("subscribed_events".to_owned(), json!(self.events));
        }
        if !self.accounts.is_empty() {
            let mut ids = Vec::new();
            for account in &self.accounts {
                ids.push(session.account_id(account).await?);
            }
            body.insert("accounts".to_owned(), json!(ids));
        }
        if let Some(ordering) = &self.ordering {
            body.insert("ordering".to_owned(), json!(ordering));
        }
        let mut retry = Map::new();
        if let Some(profile) = &self.retry_profile {
            retry.insert("profile".to_owned(), json!(profile));
        }
        if let Some(count) = self.max_attempts {
            retry.insert("max_attempts".to_owned(), json!(count));
        }
        if let Some(seconds) = self.timeout {
            retry.insert("timeout_ms".to_owned(), json!(seconds.saturating_mul(1000)));
        }
        if !retry.is_empty() {
            body.insert("retry_policy".to_owned(), Value::Object(retry));
        }
        Ok(body)
    }
}
