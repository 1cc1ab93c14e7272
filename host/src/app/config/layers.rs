//! Settings from four places, each with where it comes from.
//!
//! `default.toml` says which settings there are and of which type; nothing else is taken. Never
//! prints a value: a wrong one may be a secret in the wrong place.

use super::{Config, ServeArgs, reading};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use toml::{Table, Value};

/// The file that stands in the tree.
pub const DEFAULT: &str = include_str!("../../../config/default.toml");

/// Tables whose keys are not ours.
const OPEN: [&str; 1] = ["provider"];
/// What a trial may set and stay one: nobody thought about the network yet.
const OF_A_TRIAL: [&str; 4] = ["listen", "data", "log.level", "log.format"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    File { path: PathBuf, line: usize },
    Environment(String),
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A value and where it comes from; from several places where one adds to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    pub(super) value: Value,
    pub sources: Vec<Source>,
}

/// What is wrong, a line each. Never empty as an error.
#[derive(Clone, Debug, Default, PartialEq, thiserror::Error)]
#[error("the configuration is wrong:\n  {}", .0.join("\n  "))]
pub struct Problems(Vec<String>);

impl Problems {
    pub fn add(&mut self, problem: String) {
        self.0.push(problem);
    }

    pub fn none(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    pub fn list(&self) -> &[String] {
        &self.0
    }
}

impl From<String> for Problems {
    fn from(problem: String) -> Self {
        Self(vec![problem])
    }
}

/// All settings that have a value, by dotted name.
#[derive(Clone, Debug)]
pub struct Layers {
    settings: BTreeMap<String, Setting>,
    has_file: bool,
}

/// The defaults alone.
pub fn defaults() -> Result<Config, Problems> {
    let layers = Layers {
        settings: defaults_of_file(),
        has_file: false,
    };
    layers.config()
}

/// Settings without a default, with their example in its place.
pub fn examples() -> BTreeMap<String, Setting> {
    let text: String = DEFAULT
        .lines()
        .map(|line| {
            let bare = line.strip_prefix('#').unwrap_or(line);
            let names = bare.starts_with(|first: char| first.is_ascii_lowercase());
            format!("{}\n", if names { bare } else { line })
        })
        .collect();
    known(&text)
}

/// The defaults as settings.
pub fn defaults_of_file() -> BTreeMap<String, Setting> {
    known(DEFAULT)
}

fn known(text: &str) -> BTreeMap<String, Setting> {
    let mut settings = BTreeMap::new();
    let table: Table = toml::from_str(text).unwrap_or_default();
    collect(String::new(), Value::Table(table), &mut settings);
    settings
}

fn collect(name: String, value: Value, into: &mut BTreeMap<String, Setting>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                collect(joined(&name, &key), value, into);
            }
        }
        value => {
            let sources = vec![Source::Default];
            into.insert(name, Setting { value, sources });
        }
    }
}

pub fn joined(name: &str, key: &str) -> String {
    if name.is_empty() {
        key.to_owned()
    } else {
        format!("{name}.{key}")
    }
}

pub fn is_open(name: &str) -> bool {
    OPEN.iter().any(|table| {
        name.strip_prefix(table)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

impl Layers {
    pub fn read(
        args: &ServeArgs,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        Ok(Self {
            settings: reading::read(args, environment)?,
            has_file: args.config.is_some(),
        })
    }

    /// Where a setting comes from; one that has no value comes from nowhere.
    pub fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.get(name)
    }

    /// What to say of a setting that breaks a rule: its name, the rule, where it stands.
    pub fn wrong(&self, name: &str, rule: &str) -> String {
        match self
            .settings
            .get(name)
            .and_then(|setting| setting.sources.last())
        {
            Some(source) => format!("{name}: {rule} ({source})"),
            None => format!("{name}: {rule}"),
        }
    }

    /// Nothing is set but what says nothing about the network.
    pub fn is_trial(&self) -> bool {
        !self.has_file
            && self.settings.iter().all(|(name, setting)| {
                OF_A_TRIAL.contains(&name.as_str()) || setting.sources == [Source::Default]
            })
    }

    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Problems> {
        let mut root = Table::new();
        let examples = examples();
        // A table whose settings all have no default is there, too.
        for (table, _) in examples.keys().filter_map(|name| name.rsplit_once('.')) {
            insert(&mut root, table, Value::Table(Table::new()));
        }
        for (name, setting) in &self.settings {
            insert(&mut root, name, setting.value.clone());
        }
        serde_path_to_error::deserialize(Value::Table(root)).map_err(|error| {
            let path = error.path().to_string();
            // Of a list: `network.allow[0]`.
            let name = path.split('[').next().unwrap_or_default();
            let reason = without_value(error.inner().message());
            let rule = match examples.get(name) {
                Some(example) if !matches!(&example.value, Value::Array(list) if list.is_empty()) =>
                {
                    format!("{reason}; for example {}", example.value)
                }
                _ => reason,
            };
            self.wrong(name, &rule).into()
        })
    }
}

/// Serde quotes what it got; what it expected is enough.
fn without_value(message: &str) -> String {
    let message = message.trim();
    match (
        message.starts_with("invalid"),
        message.split_once(", expected "),
    ) {
        (true, Some((_, expected))) => format!("must be {expected}"),
        _ => match message.split_once("`, expected ") {
            Some((_, expected)) => format!("must be {expected}"),
            None => message.to_owned(),
        },
    }
}

fn insert(table: &mut Table, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            table.insert(name.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = table
                .entry(first)
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// Names of all settings there are.
pub fn names() -> Vec<String> {
    examples().into_keys().collect()
}
