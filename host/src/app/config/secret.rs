//! Settings that nobody may see: `config show` prints only whether they are set.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serializer;

/// What is printed instead.
pub const SET: &str = "(set)";

/// For `serialize_with`.
pub fn shown<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match secret {
        Some(_) => serializer.serialize_str(SET),
        None => serializer.serialize_none(),
    }
}

/// `name=value` pairs of headers, separated by commas; none: it is not of this form.
pub fn pairs(secret: &SecretString) -> Option<Vec<(String, String)>> {
    let pairs = secret.expose_secret().split(',');
    pairs
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            let fits = http::HeaderName::try_from(name).is_ok()
                && http::HeaderValue::try_from(value).is_ok();
            fits.then(|| (name.to_owned(), value.to_owned()))
        })
        .collect()
}
