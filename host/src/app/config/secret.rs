//! A setting that nobody may see: neither `Debug` nor `config show` prints it.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// What is printed instead.
pub const SET: &str = "(set)";

#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// For whoever it is meant for.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `name=value` pairs, separated by commas; none: it is not of this form.
    pub fn pairs(&self) -> Option<Vec<(String, String)>> {
        self.0
            .split(',')
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
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SET)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(SET)
    }
}
