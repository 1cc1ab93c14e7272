//! `AccountRequest`: the body of creating and changing an account.

use super::super::codes;
use super::super::error::ApiError;
use super::super::fields::Fields;
use super::proxy;
use crate::domain::account::Proxy;
use crate::supervisor::control::ProviderInfo;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

/// As read; what is absent is none.
#[derive(Debug, JsonSchema)]
#[schemars(example = json!({
    "provider": "harbor", "region": "global", "name": "Reservations", "auth_mode": "code",
    "provider_data": {"phone": "+1 555 0100"}, "metadata": {"desk": "harbor"},
}))]
pub struct AccountRequest {
    #[schemars(length(max = 200))]
    pub name: Option<String>,
    /// Its id or one of its aliases. Cannot be changed.
    #[schemars(length(max = 64))]
    pub provider: Option<String>,
    /// `global` when absent. Cannot be changed.
    #[schemars(length(max = 64))]
    pub region: Option<String>,
    /// Free text, `active` when absent; only an `active` account runs.
    #[schemars(length(max = 64))]
    pub status: Option<String>,
    /// `qrcode`, `code`, `session`, or another of the provider's; its first when absent.
    #[schemars(length(max = 64))]
    pub auth_mode: Option<String>,
    #[schemars(with = "Option<Map<String, Value>>")]
    pub metadata: Option<Value>,
    #[schemars(length(max = 512))]
    pub provider_account_ref: Option<String>,
    /// The account's configuration, as the provider's `config_schema` says; on a change merged
    /// key by key, and null removes a key.
    // Without `proxy_config`; `phone` has only digits.
    pub provider_data: Option<Map<String, Value>>,
    /// `{}` or null takes it away.
    #[schemars(with = "Option<proxy::ProxyRequest>")]
    pub proxy: Option<Option<Proxy>>,
}

impl AccountRequest {
    /// `runtime_status` and `capabilities` are in the contract's request too; they are the
    /// host's to say, so they are ignored.
    pub fn read(body: &Map<String, Value>) -> Result<Self, ApiError> {
        let fields = Fields::top(body);
        let text = |name: &str, max| Ok::<_, ApiError>(fields.text(name, max)?.map(str::to_owned));
        let mut proxy = proxy::read(&fields)?;
        let provider_data = match fields.object("provider_data")? {
            None => None,
            Some(data) => {
                let mut map = data.map().clone();
                if proxy.is_none() && map.contains_key("proxy_config") {
                    proxy = proxy::read(&data)?;
                }
                map.remove("proxy_config");
                map.remove("phone");
                if let Some(phone) = data.text("phone", 64)? {
                    let digits = phone_digits(phone).ok_or_else(|| {
                        data.error("phone", "must be an international number: + and digits")
                    })?;
                    map.insert("phone".into(), digits.into());
                }
                Some(map)
            }
        };
        Ok(Self {
            name: text("name", 200)?,
            provider: text("provider", 64)?,
            region: text("region", 64)?,
            status: text("status", 64)?,
            auth_mode: text("auth_mode", 64)?.map(|mode| normal_mode(&mode)),
            metadata: fields
                .object("metadata")?
                .map(|metadata| Value::Object(metadata.map().clone())),
            provider_account_ref: text("provider_account_ref", 512)?,
            provider_data,
            proxy,
        })
    }
}

/// `+65 9123-4567` → `6591234567`; 5 to 15 digits.
fn phone_digits(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits: String = text
        .chars()
        .filter(|character| !matches!(character, ' ' | '-' | '(' | ')' | '.'))
        .collect();
    ((5..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then_some(digits)
}

/// As accounts keep it: `qr` and `qr_code` are `qrcode`.
pub fn normal_mode(mode: &str) -> String {
    match mode.to_ascii_lowercase().as_str() {
        "qr" | "qr_code" | "qrcode" => "qrcode".to_owned(),
        other => other.to_owned(),
    }
}

/// The `auth_mode` that stands for a sign-in method.
pub fn mode_of(method: &str) -> &str {
    match method {
        "qr" => "qrcode",
        "pairing-code" => "code",
        other => other,
    }
}

/// The provider's sign-in method for an `auth_mode`.
pub fn method_for<'a>(info: &'a ProviderInfo, mode: &str) -> Option<&'a str> {
    let wanted: &[&str] = match mode {
        "qrcode" => &["qr"],
        "code" => &["code", "pairing-code"],
        other => &[other],
    };
    wanted.iter().find_map(|name| {
        info.sign_in_methods
            .iter()
            .map(|(method, _, _)| method.as_str())
            .find(|method| method == name)
    })
}

/// The mode a new account gets: the one asked for, if the provider has it, else its first.
/// Empty where the provider has no way to sign in.
pub fn choose_mode(info: &ProviderInfo, asked: Option<&str>) -> Result<String, ApiError> {
    match asked {
        Some(mode) if method_for(info, mode).is_some() => Ok(mode.to_owned()),
        Some(mode) => Err(ApiError::new(
            codes::UNSUPPORTED_PROVIDER_AUTH_MODE,
            format!("auth_mode: `{mode}` is not offered; {}", offered(info)),
        )),
        None => Ok(info
            .sign_in_methods
            .first()
            .map(|(method, _, _)| mode_of(method).to_owned())
            .unwrap_or_default()),
    }
}

fn offered(info: &ProviderInfo) -> String {
    let modes: Vec<&str> = info
        .sign_in_methods
        .iter()
        .map(|(method, _, _)| mode_of(method))
        .collect();
    if modes.is_empty() {
        "this provider has no sign-in".to_owned()
    } else {
        format!("this provider has {}", modes.join(", "))
    }
}

/// Refuses `code` without a phone number where the provider's method requires one.
pub fn require_phone(
    info: &ProviderInfo,
    mode: &str,
    config: &Map<String, Value>,
) -> Result<(), ApiError> {
    let method = method_for(info, mode);
    let requires = info.sign_in_methods.iter().any(|(name, _, inputs)| {
        Some(name.as_str()) == method
            && inputs
                .as_ref()
                .and_then(|inputs| inputs.get("required"))
                .and_then(Value::as_array)
                .is_some_and(|required| required.iter().any(|name| name == "phone"))
    });
    if requires && !config.contains_key("phone") {
        let mut error = ApiError::field(
            "provider_data.phone",
            format!("is required for auth_mode `{mode}`"),
        );
        error.code = codes::AUTH_MODE_PHONE_REQUIRED;
        return Err(error);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn phones_become_digits() {
        assert_eq!(
            super::phone_digits("+65 (9123)-4567").as_deref(),
            Some("6591234567")
        );
        assert_eq!(
            super::phone_digits("15550100077").as_deref(),
            Some("15550100077")
        );
        for bad in ["", "+", "12x45678", "++6591234567", "1234567890123456"] {
            assert_eq!(super::phone_digits(bad), None, "{bad}");
        }
    }
}
