//! What a command works with: the host's API and the place for its output; and what many
//! commands do alike.

use crate::api::{Answer, Api, Call};
use crate::connection::Connection;
use crate::failure::{Failure, Outcome};
use crate::options::Options;
use crate::output::Output;
use serde_json::Value;

pub struct Session {
    pub api: Api,
    pub output: Output,
}

impl Session {
    pub fn new(options: &Options, output: Output) -> Result<Self, (Output, Failure)> {
        match Connection::find(options).and_then(Api::new) {
            Ok(api) => Ok(Self { api, output }),
            Err(failure) => Err((output, failure)),
        }
    }

    /// Calls, and shows the answer: its JSON for programs, what `show` makes of it for people.
    pub async fn answer(
        &self,
        call: Call,
        show: impl FnOnce(&Output, &Value) -> Outcome,
    ) -> Outcome<Answer> {
        let answer = self.api.call(call).await?;
        self.show(&answer, show)?;
        Ok(answer)
    }

    pub fn show(&self, answer: &Answer, show: impl FnOnce(&Output, &Value) -> Outcome) -> Outcome {
        if self.output.json() {
            return self.output.bytes(&answer.json());
        }
        let data = match answer.body.is_empty() {
            true => Value::Null,
            false => answer.value()?,
        };
        show(&self.output, &data)
    }

    /// The account's id. `name`: that, or the name or the channel's own id of one account only.
    pub async fn account_id(&self, name: &str) -> Outcome<String> {
        if name.starts_with("acc_") {
            return Ok(name.to_owned());
        }
        let accounts = self.api.call(Call::get(&["accounts"])).await?.value()?;
        let found = accounts_named(&accounts, name);
        match &found[..] {
            [id] => Ok(id.clone()),
            [] => Err(Failure::usage(format!(
                "there is no account `{name}`; `anyport accounts list` shows them"
            ))),
            several => Err(Failure::usage(format!(
                "`{name}` means several accounts: {}; name one by its id",
                several.join(", ")
            ))),
        }
    }
}

fn accounts_named(accounts: &Value, name: &str) -> Vec<String> {
    let matches = |account: &&Value| {
        ["id", "name", "provider_account_ref"]
            .iter()
            .any(|field| !name.is_empty() && text(account, field) == name)
    };
    list(accounts)
        .iter()
        .filter(matches)
        .map(|account| text(account, "id").to_owned())
        .collect()
}

/// A field's text; empty when there is none.
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A field in words, whatever it is: texts as they are, lists with commas.
pub fn words(value: &Value, field: &str) -> String {
    match value.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(value) => in_words(value),
    }
}

fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(in_words).collect::<Vec<_>>().join(", "),
        Value::Object(map) if map.is_empty() => String::new(),
        other => other.to_string(),
    }
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn accounts_by_name() {
        let accounts = json!([
            {"id": "acc_1", "name": "desk", "provider_account_ref": "user:ada"},
            {"id": "acc_2", "name": "desk"},
            {"id": "acc_3", "name": ""},
        ]);
        assert_eq!(accounts_named(&accounts, "user:ada"), ["acc_1"]);
        assert_eq!(accounts_named(&accounts, "desk"), ["acc_1", "acc_2"]);
        assert_eq!(accounts_named(&accounts, "nobody"), [""; 0]);
    }
}
