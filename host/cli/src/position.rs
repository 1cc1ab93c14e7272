//! A file that says how far the event log has been dealt with, so that the next run goes on
//! there. It belongs to one host and one choice of events.

use crate::failure::{Failure, Outcome};
use crate::stream::Filter;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    url: String,
    types: Vec<String>,
    account: Option<String>,
    cursor: String,
}

#[derive(Debug)]
pub struct PositionFile {
    path: PathBuf,
    kept: Kept,
}

impl PositionFile {
    /// `filter`: with the account's id.
    pub fn open(path: &Path, url: &str, filter: &Filter) -> Outcome<Self> {
        let mut types = filter.types.clone();
        types.sort();
        let mut kept = Kept {
            url: url.to_owned(),
            types,
            account: filter.account.clone(),
            cursor: String::new(),
        };
        match std::fs::read(path) {
            Ok(text) => {
                let before: Kept = serde_json::from_slice(&text).map_err(|error| {
                    Failure::usage(format!(
                        "{} is no file with a position: {error}",
                        path.display()
                    ))
                })?;
                kept.cursor.clone_from(&before.cursor);
                if kept != before {
                    return Err(Failure::usage(format!(
                        "{} belongs to {} with other events; take another file",
                        path.display(),
                        before.url
                    )));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Failure::local(format!(
                    "{} cannot be read: {error}",
                    path.display()
                )));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            kept,
        })
    }

    /// None: it is new.
    pub fn cursor(&self) -> Option<String> {
        Some(self.kept.cursor.clone()).filter(|cursor| !cursor.is_empty())
    }

    /// The file is replaced whole: whoever reads it sees the one position or the other.
    pub fn keep(&mut self, cursor: &str) -> Outcome {
        if self.kept.cursor == cursor {
            return Ok(());
        }
        cursor.clone_into(&mut self.kept.cursor);
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let text = serde_json::to_vec(&self.kept).unwrap_or_default();
        std::fs::write(&new, text)
            .and_then(|()| std::fs::rename(&new, &self.path))
            .map_err(|error| {
                Failure::local(format!(
                    "{} cannot be written: {error}",
                    self.path.display()
                ))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_where_it_was_and_refuses_what_is_not_its_own() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("position");
        let filter = Filter {
            types: vec!["b".to_owned(), "a".to_owned()],
            account: None,
        };
        let mut file = PositionFile::open(&path, "http://h", &filter).unwrap();
        assert_eq!(file.cursor(), None);
        file.keep("AQAA").unwrap();
        let turned = Filter {
            types: vec!["a".to_owned(), "b".to_owned()],
            account: None,
        };
        let again = PositionFile::open(&path, "http://h", &turned).unwrap();
        assert_eq!(again.cursor().as_deref(), Some("AQAA"));
        assert!(PositionFile::open(&path, "http://other", &filter).is_err());
        assert!(PositionFile::open(&path, "http://h", &Filter::default()).is_err());
        std::fs::write(&path, "{}").unwrap();
        assert!(PositionFile::open(&path, "http://h", &filter).is_err());
    }
}
