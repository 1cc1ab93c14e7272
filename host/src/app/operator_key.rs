//! Where the operator's key comes from: the environment, a file that the configuration names, or
//! the file beside the database.
//!
//! The variables are read once, at the start; the host starts no other program that could inherit
//! them.

use super::config::Config;
use crate::storage::key::{self, KeySource};
use crate::storage::seal::OperatorKey;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const VALUE: &str = "ANYPORT_OPERATOR_KEY";
const NEXT: &str = "ANYPORT_OPERATOR_KEY_NEXT";

pub fn source(config: &Config) -> anyhow::Result<KeySource> {
    from(config, |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(|value| {
                value
                    .into_string()
                    .map(Zeroizing::new)
                    .map_err(|_| anyhow::anyhow!("{name}: is not text"))
            })
            .transpose()
    })
}

/// The key as it lies there, and in which file, for those who only look. Makes none.
pub fn present(config: &Config) -> anyhow::Result<(Option<PathBuf>, Option<OperatorKey>)> {
    Ok(match source(config)? {
        KeySource::Given(key) | KeySource::GivenWithNext { key, .. } => (None, Some(key)),
        KeySource::File(path) => {
            let key = key::load(&path)?;
            (Some(path), key)
        }
    })
}

/// `variable`: of the environment.
fn from(
    config: &Config,
    variable: impl Fn(&str) -> anyhow::Result<Option<Zeroizing<String>>>,
) -> anyhow::Result<KeySource> {
    let key_of = |name: &str| -> anyhow::Result<Option<OperatorKey>> {
        let Some(text) = variable(name)? else {
            return Ok(None);
        };
        // An absolute path is never 64 hexadecimal digits.
        if text.starts_with('/') {
            let path = Path::new(text.as_str());
            let key =
                key::load(path).with_context(|| format!("{name}: the file {}", path.display()))?;
            return match key {
                Some(key) => Ok(Some(key)),
                None => bail!("{name}: there is no file {}", path.display()),
            };
        }
        match OperatorKey::parse(&text) {
            Some(key) => Ok(Some(key)),
            None => bail!(
                "{name}: must be 64 hexadecimal digits, or the absolute path of a file with them"
            ),
        }
    };
    match (key_of(VALUE)?, config.operator_key_file.clone()) {
        (Some(_), Some(file)) => bail!(
            "the operator key is given twice: by {VALUE} and as the file {}",
            file.display()
        ),
        (Some(key), None) => Ok(match key_of(NEXT)? {
            Some(next) => KeySource::GivenWithNext { key, next },
            None => KeySource::Given(key),
        }),
        (None, file) => {
            if variable(NEXT)?.is_some() {
                bail!(
                    "{NEXT} goes with {VALUE}; with a file, a rotation keeps the new key beside it"
                );
            }
            Ok(KeySource::File(
                file.unwrap_or_else(|| config.data.join("operator.key")),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn with(variables: &[(&str, String)], file: Option<&str>) -> Result<KeySource, String> {
        let variables: HashMap<_, _> = variables.iter().cloned().collect();
        let config = Config {
            operator_key_file: file.map(PathBuf::from),
            ..Config::default()
        };
        from(&config, |name| {
            Ok(variables.get(name).cloned().map(Zeroizing::new))
        })
        .map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn the_key_comes_from_one_place() {
        let (operator, next) = (OperatorKey::generate(), OperatorKey::generate());
        let text = operator.text().to_string();
        let beside = with(&[], None).unwrap();
        assert!(matches!(beside, KeySource::File(path) if path.ends_with("operator.key")));
        let named = with(&[], Some("/run/key")).unwrap();
        assert!(matches!(named, KeySource::File(path) if path == Path::new("/run/key")));
        let given = [(VALUE, text.clone()), (NEXT, next.text().to_string())];
        let KeySource::GivenWithNext { key: found, .. } = with(&given, None).unwrap() else {
            panic!("not taken from the environment");
        };
        assert_eq!(found.text(), operator.text());

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        key::store(&path, &operator).unwrap();
        let path = path.to_str().unwrap().to_owned();
        let KeySource::Given(found) = with(&[(VALUE, path.clone())], None).unwrap() else {
            panic!("not taken from the file");
        };
        assert_eq!(found.text(), operator.text());

        for (variables, file, says) in [
            (vec![(VALUE, text.clone())], Some("/run/key"), "twice"),
            (vec![(NEXT, text.clone())], None, "goes with"),
            (
                vec![(VALUE, text[1..].to_owned())],
                None,
                "64 hexadecimal digits",
            ),
            (vec![(VALUE, path + "-not")], None, "there is no file"),
        ] {
            let refusal = with(&variables, file).unwrap_err();
            assert!(refusal.contains(says), "{refusal}");
            assert!(!refusal.contains(&text[1..]), "{refusal}");
        }
    }
}
