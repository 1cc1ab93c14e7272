//! Which host, and with which key: flags and environment, then a profile, then what a trial on
//! this machine has left in its data directory.
//!
//! A trial's keys are used for the trial's own address only, never for one that was named.

use crate::failure::{Failure, Outcome};
use crate::options::Options;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use url::Url;

const DEFAULT_URL: &str = "http://127.0.0.1:8080";
const DEFAULT_DATA: &str = "anyport-data";
/// What a trial leaves in its data directory: see the host's `first_start` and `app`.
const TRIAL_KEYS: &str = "trial-keys.json";
const TRIAL_ADDRESS: &str = "trial-address";

/// Whose key an operation wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Who {
    Workspace,
    Operator,
}

#[derive(Debug)]
pub struct Connection {
    /// Ends with a slash.
    pub base: Url,
    pub ca: Option<PathBuf>,
    key: Option<Key>,
    operator: Option<Key>,
}

#[derive(Debug)]
struct Key {
    text: SecretString,
    source: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profiles {
    /// The one that is used when none is named.
    default: Option<String>,
    #[serde(default)]
    profile: BTreeMap<String, Profile>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    url: Option<String>,
    key_file: Option<PathBuf>,
    /// For what takes the operator's key.
    operator_key_file: Option<PathBuf>,
    ca: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
struct TrialKeys {
    workspace: Option<SecretString>,
    operator: Option<SecretString>,
}

impl Connection {
    pub fn find(options: &Options) -> Outcome<Self> {
        let profile = match config_file() {
            Some(file) => profile(&file, options.profile.as_deref())?,
            None => None,
        };
        Self::join(options, profile)
    }

    fn join(options: &Options, profile: Option<Profile>) -> Outcome<Self> {
        let profile = profile.unwrap_or_default();
        let data = options
            .data
            .clone()
            .unwrap_or_else(|| PathBuf::from(DEFAULT_DATA));
        let trial_url = std::fs::read_to_string(data.join(TRIAL_ADDRESS))
            .ok()
            .map(|text| text.trim().to_owned());
        let named = options.url.clone().or(profile.url);
        let trial = match (&named, &trial_url) {
            (None, _) => true,
            (Some(named), Some(trial)) => same_place(named, trial),
            (Some(_), None) => false,
        };
        let base = base(
            &named
                .or(trial_url)
                .unwrap_or_else(|| DEFAULT_URL.to_owned()),
        )?;

        let given = match (&options.key, &options.key_file) {
            (Some(key), _) if !key.expose_secret().trim().is_empty() => Some(Key {
                text: SecretString::from(key.expose_secret().trim()),
                source: "ANYPORT_KEY or --key".to_owned(),
            }),
            (_, Some(file)) => Some(read_key(file)?),
            (_, None) => None,
        };
        let (mut key, mut operator) = (given, None);
        if key.is_none() {
            key = profile.key_file.as_deref().map(read_key).transpose()?;
            operator = profile
                .operator_key_file
                .as_deref()
                .map(read_key)
                .transpose()?;
        }
        if key.is_none() && operator.is_none() && trial {
            let file = data.join(TRIAL_KEYS);
            let keys = trial_keys(&file);
            let from_trial = |text| Key {
                text,
                source: file.display().to_string(),
            };
            key = keys.workspace.map(from_trial);
            operator = keys.operator.map(from_trial);
        }
        Ok(Self {
            base,
            ca: options.ca.clone().or(profile.ca),
            key,
            operator,
        })
    }

    /// The key for it. A key that was given is used for everything: the host says whether it fits.
    pub fn key(&self, who: Who) -> Option<&SecretString> {
        self.chosen(who).map(|key| &key.text)
    }

    /// Where the key comes from, in words.
    pub fn key_source(&self, who: Who) -> String {
        self.chosen(who)
            .map_or_else(|| "nowhere".to_owned(), |key| key.source.clone())
    }

    fn chosen(&self, who: Who) -> Option<&Key> {
        match who {
            Who::Workspace => self.key.as_ref().or(self.operator.as_ref()),
            Who::Operator => self.operator.as_ref().or(self.key.as_ref()),
        }
    }
}

fn same_place(one: &str, other: &str) -> bool {
    matches!((base(one), base(other)), (Ok(one), Ok(other)) if one == other)
}

fn base(text: &str) -> Outcome<Url> {
    let wrong = |why: String| Failure::usage(format!("the address `{text}` {why}"));
    let mut url = Url::parse(text).map_err(|error| {
        wrong(format!(
            "is not valid: {error}; it begins with http:// or https://"
        ))
    })?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("does not begin with http:// or https://".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Not repeated: it may hold a password.
        return Err(Failure::usage(
            "the address names a user; the key goes into ANYPORT_KEY",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a query or fragment".to_owned()));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn read_key(file: &Path) -> Outcome<Key> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::local(format!(
            "the key file {} cannot be read: {error}",
            file.display()
        ))
    })?;
    let text = SecretString::from(text);
    let line = text.expose_secret().lines().next().unwrap_or_default();
    if line.trim().is_empty() {
        return Err(Failure::local(format!(
            "the key file {} is empty",
            file.display()
        )));
    }
    Ok(Key {
        text: SecretString::from(line.trim()),
        source: file.display().to_string(),
    })
}

/// A trial that is not there has no keys; one that cannot be read neither.
fn trial_keys(file: &Path) -> TrialKeys {
    std::fs::read(file)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

fn config_file() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let directory = set("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(directory.join("anyport").join("cli.toml"))
}

/// The profile that is named, or the file's default one. Relative paths in it are beside it.
fn profile(file: &Path, name: Option<&str>) -> Outcome<Option<Profile>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(_) if name.is_none() => return Ok(None),
        Err(error) => {
            return Err(Failure::usage(format!(
                "there are no profiles: {} cannot be read: {error}",
                file.display()
            )));
        }
    };
    let profiles: Profiles = toml::from_str(&text).map_err(|error| {
        Failure::usage(format!("{} is wrong: {}", file.display(), error.message()))
    })?;
    let Some(name) = name.or(profiles.default.as_deref()) else {
        return Ok(None);
    };
    let Some(profile) = profiles.profile.get(name) else {
        let known: Vec<&str> = profiles.profile.keys().map(String::as_str).collect();
        return Err(Failure::usage(format!(
            "there is no profile `{name}` in {}; it has {}",
            file.display(),
            if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            }
        )));
    };
    let mut profile = profile.clone();
    let directory = file.parent().unwrap_or(Path::new(""));
    for path in [
        &mut profile.key_file,
        &mut profile.operator_key_file,
        &mut profile.ca,
    ]
    .into_iter()
    .flatten()
    {
        *path = directory.join(&path);
    }
    Ok(Some(profile))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn trial(address: Option<&str>) -> TempDir {
        let data = TempDir::new().unwrap();
        std::fs::write(
            data.path().join(TRIAL_KEYS),
            r#"{"workspace":"dk_live_a","operator":"op_live_b"}"#,
        )
        .unwrap();
        if let Some(address) = address {
            std::fs::write(data.path().join(TRIAL_ADDRESS), format!("{address}\n")).unwrap();
        }
        data
    }

    fn options(data: &TempDir, url: Option<&str>) -> Options {
        Options {
            url: url.map(str::to_owned),
            data: Some(data.path().to_owned()),
            ..Options::default()
        }
    }

    fn key(connection: &Connection, who: Who) -> Option<&str> {
        connection.key(who).map(ExposeSecret::expose_secret)
    }

    #[test]
    fn a_trial_is_found_by_itself() {
        let data = trial(Some("http://127.0.0.1:4711"));
        let found = Connection::join(&options(&data, None), None).unwrap();
        assert_eq!(found.base.as_str(), "http://127.0.0.1:4711/");
        assert_eq!(key(&found, Who::Workspace), Some("dk_live_a"));
        assert_eq!(key(&found, Who::Operator), Some("op_live_b"));
        assert!(!format!("{found:?}").contains("_live_"));
    }

    #[test]
    fn a_trials_keys_go_nowhere_else() {
        let data = trial(Some("http://127.0.0.1:4711"));
        let other = Connection::join(&options(&data, Some("https://example.org/any")), None);
        let other = other.unwrap();
        assert_eq!(other.base.as_str(), "https://example.org/any/");
        assert!(other.key(Who::Workspace).is_none() && other.key(Who::Operator).is_none());
        let same = Connection::join(&options(&data, Some("http://127.0.0.1:4711/")), None);
        assert!(same.unwrap().key(Who::Workspace).is_some());
    }

    #[test]
    fn what_is_given_counts_for_everything() {
        let data = trial(None);
        let file = data.path().join("key");
        std::fs::write(&file, "dk_live_file\nmore\n").unwrap();
        let mut options = options(&data, None);
        options.key_file = Some(file);
        let found = Connection::join(&options, None).unwrap();
        assert_eq!(key(&found, Who::Operator), Some("dk_live_file"));
        options.key = Some(SecretString::from("dk_live_flag"));
        let found = Connection::join(&options, None).unwrap();
        assert_eq!(key(&found, Who::Workspace), Some("dk_live_flag"));
    }

    #[test]
    fn profiles() {
        let home = TempDir::new().unwrap();
        let file = home.path().join("cli.toml");
        let read = |name: Option<&str>| profile(&file, name);
        assert!(read(None).unwrap().is_none());
        assert!(read(Some("a")).is_err());
        std::fs::write(
            &file,
            "default = \"a\"\n[profile.a]\nurl = \"https://a.example\"\nkey_file = \"a.key\"\n",
        )
        .unwrap();
        std::fs::write(home.path().join("a.key"), "dk_live_a").unwrap();
        let data = trial(None);
        let found = Connection::join(&options(&data, None), read(None).unwrap()).unwrap();
        assert_eq!(found.base.as_str(), "https://a.example/");
        assert_eq!(key(&found, Who::Workspace), Some("dk_live_a"));
        assert_eq!(
            found.key_source(Who::Workspace),
            home.path().join("a.key").display().to_string()
        );
        assert!(
            read(Some("b"))
                .unwrap_err()
                .to_string()
                .contains("it has a")
        );
        std::fs::write(&file, "[profile.a]\nkey = \"dk_live_a\"\n").unwrap();
        let error = read(Some("a")).unwrap_err().to_string();
        assert!(error.contains("unknown field `key`"), "{error}");
        assert!(!error.contains("dk_live"), "{error}");
    }

    #[test]
    fn addresses_that_are_none() {
        for bad in [
            "localhost:8080",
            "ftp://x",
            "http://",
            "http://h/?a",
            "http://user:secret@h",
        ] {
            let error = base(bad).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{bad}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
