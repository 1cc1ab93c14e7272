//! The address of a database, which may hold a password: no `Debug`, log or error shows it.

use secrecy::{ExposeSecret as _, SecretString};
use std::fmt;
use std::str::FromStr;

/// `postgres://user:password@host:port/database?sslmode=…`
#[derive(Clone)]
pub struct DatabaseUrl(SecretString);

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

/// What is wrong with an address. Quotes nothing of it but names of parameters.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    #[error("it is not of the form postgres://user:password@host:port/database")]
    Form,
    #[error("it names no database: postgres://user:password@host:port/database")]
    NoDatabase,
    #[error("its parameter `{0}` is not known; known are {PARAMETERS}")]
    Parameter(String),
}

/// Those that the driver takes. It would pass over any other, and log it.
const PARAMETERS: &str = "sslmode, sslrootcert, sslcert, sslkey, host, application_name";

impl DatabaseUrl {
    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl TryFrom<&SecretString> for DatabaseUrl {
    type Error = UrlError;

    fn try_from(text: &SecretString) -> Result<Self, UrlError> {
        let url = url::Url::parse(text.expose_secret()).map_err(|_| UrlError::Form)?;
        if !["postgres", "postgresql"].contains(&url.scheme()) {
            return Err(UrlError::Form);
        }
        if url.path().trim_start_matches('/').is_empty() {
            return Err(UrlError::NoDatabase);
        }
        for (name, _) in url.query_pairs() {
            if !PARAMETERS.split(", ").any(|known| known == name) {
                return Err(UrlError::Parameter(name.into_owned()));
            }
        }
        Ok(Self(text.clone()))
    }
}

impl FromStr for DatabaseUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::try_from(&SecretString::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_password_and_refuses_what_it_does_not_know() {
        let url: DatabaseUrl = "postgres://me:hunter2@db.example.org/anyport?sslmode=require"
            .parse()
            .unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
        assert!(url.expose().contains("hunter2"));
        for wrong in [
            "",
            "hunter2",
            "mysql://me:hunter2@host/db",
            "postgres://me:hunter2@host",
            "postgres://me@host/db?pasword=hunter2",
        ] {
            let error = DatabaseUrl::from_str(wrong).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
