//! Settings from four places, each with where it comes from.
//!
//! `default.toml` says which settings there are and of which type; nothing else is taken. Never
//! prints a value: a wrong one may be a secret in the wrong place.

use super::{Config, ServeArgs};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

/// The file that stands in the tree.
pub const DEFAULT: &str = include_str!("../../../config/default.toml");

const PREFIX: &str = "ANYPORT_";
/// Tables whose keys are not ours.
const OPEN: [&str; 1] = ["provider"];
/// (variable, setting): shorter names.
const ALIASES: [(&str, &str); 2] = [("ANYPORT_ALLOW", ALLOW), ("ANYPORT_LOG", "log.level")];
/// Variables that are no settings of the host: the path of its file, the command line's, tests'.
const OTHERS: [&str; 6] = [
    "ANYPORT_CONFIG",
    "ANYPORT_URL",
    "ANYPORT_API_KEY",
    "ANYPORT_OPERATOR_KEY",
    "ANYPORT_PROVE",
    "ANYPORT_TEST_HOST",
];
/// What a trial may set and stay one: nobody thought about the network yet.
const OF_A_TRIAL: [&str; 4] = ["listen", "data", "log.level", "log.format"];
const ALLOW: &str = "network.allow";

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
    value: Value,
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
        settings: known(DEFAULT),
        has_file: false,
    };
    layers.config()
}

/// Settings without a default, with their example in its place.
fn examples() -> BTreeMap<String, Setting> {
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

fn joined(name: &str, key: &str) -> String {
    if name.is_empty() {
        key.to_owned()
    } else {
        format!("{name}.{key}")
    }
}

fn is_open(name: &str) -> bool {
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
        let mut reading = Reading {
            settings: known(DEFAULT),
            examples: examples(),
            problems: Problems::default(),
        };
        if let Some(path) = &args.config {
            reading.file(path)?;
        }
        let mut variables: Vec<_> = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        variables.sort();
        for (name, value) in variables {
            reading.variable(name, &value);
        }
        reading.flags(args);
        reading.problems.none()?;
        Ok(Self {
            settings: reading.settings,
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

struct Reading {
    settings: BTreeMap<String, Setting>,
    /// All names there are, and of which type.
    examples: BTreeMap<String, Setting>,
    problems: Problems,
}

impl Reading {
    fn file(&mut self, path: &Path) -> Result<(), Problems> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("the file {shown} cannot be read: {error}"))?;
        let line = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
        let table = DeTable::parse(&text).map_err(|error| {
            let at = error.span().map_or(1, |span| line(span.start));
            format!("{shown} line {at}: {}", error.message())
        })?;
        let mut found = Vec::new();
        walk(String::new(), table.get_ref(), &mut found);
        for (name, value, at) in found {
            let source = Source::File {
                path: path.to_owned(),
                line: line(at),
            };
            self.put(name, value, source);
        }
        Ok(())
    }

    fn variable(&mut self, variable: String, text: &str) {
        if OTHERS.contains(&variable.as_str()) {
            return;
        }
        let alias = ALIASES.iter().find(|(alias, _)| *alias == variable);
        let name = match alias {
            Some((_, name)) => (*name).to_owned(),
            None => variable[PREFIX.len()..].to_lowercase().replace("__", "."),
        };
        if !self.examples.contains_key(&name) && !is_open(&name) {
            let meant = self.nearest(&name).map(|name| variable_of(&name));
            let meant = meant.map_or(String::new(), |name| format!("; did you mean {name}?"));
            self.problems
                .add(format!("{variable}: there is no such setting{meant}"));
            return;
        }
        let adds = variable == "ANYPORT_ALLOW";
        self.text(name, text, Source::Environment(variable), adds);
    }

    fn flags(&mut self, args: &ServeArgs) {
        if let Some(listen) = args.listen {
            self.text(
                "listen".into(),
                &listen.to_string(),
                Source::Flag("--listen"),
                false,
            );
        }
        if let Some(data) = &args.data {
            let value = Value::String(data.to_string_lossy().into_owned());
            self.put("data".into(), value, Source::Flag("--data"));
        }
        if !args.allow.is_empty() {
            let list: Vec<_> = args.allow.iter().map(ToString::to_string).collect();
            self.text(ALLOW.into(), &list.join(","), Source::Flag("--allow"), true);
        }
        for pair in &args.set {
            match pair.split_once('=') {
                Some((name, text)) => {
                    self.text(name.trim().to_owned(), text, Source::Flag("--set"), false);
                }
                None => self
                    .problems
                    .add("flag --set: must be KEY=VALUE, as runtime.guest_threads=4".into()),
            }
        }
    }

    /// A value as text, read as what the setting is.
    fn text(&mut self, name: String, text: &str, source: Source, adds: bool) {
        let value = match self.examples.get(&name).map(|example| &example.value) {
            Some(Value::String(_)) => Some(Value::String(text.to_owned())),
            Some(Value::Boolean(_)) => text.parse().ok().map(Value::Boolean),
            Some(Value::Integer(_)) => text.parse().ok().map(Value::Integer),
            Some(Value::Float(_)) => text.parse().ok().map(Value::Float),
            Some(Value::Array(_)) => Some(list(text)),
            // Ours is none of these, and another's is what it looks like.
            Some(_) | None => Some(guess(text)),
        };
        let Some(mut value) = value else {
            let kind = self
                .examples
                .get(&name)
                .map_or("", |known| kind(&known.value));
            self.problems
                .add(format!("{name}: must be {kind} ({source})"));
            return;
        };
        let before = self.settings.get(&name).cloned();
        if let (true, Some(before), Value::Array(list)) = (adds, before, &mut value)
            && let Value::Array(earlier) = &before.value
            && !earlier.is_empty()
        {
            list.splice(0..0, earlier.iter().cloned());
            let mut sources = before.sources;
            sources.push(source);
            self.settings.insert(name, Setting { value, sources });
        } else {
            self.put(name, value, source);
        }
    }

    fn put(&mut self, name: String, value: Value, source: Source) {
        if is_open(&name) {
            // A table there is whatever the provider makes of it.
        } else if let Some(example) = self.examples.get(&name) {
            let fits = example.value.same_type(&value)
                || matches!(
                    (&example.value, &value),
                    (Value::Float(_), Value::Integer(_))
                );
            if !fits {
                let rule = kind(&example.value);
                self.problems
                    .add(format!("{name}: must be {rule} ({source})"));
                return;
            }
        } else {
            let meant = self
                .nearest(&name)
                .map_or(String::new(), |name| format!("; did you mean {name}?"));
            self.problems.add(format!(
                "{name}: there is no such setting ({source}){meant}"
            ));
            return;
        }
        let value = match (self.examples.get(&name).map(|known| &known.value), value) {
            (Some(Value::Float(_)), Value::Integer(whole)) => Value::Float(whole as f64),
            (_, value) => value,
        };
        let sources = vec![source];
        self.settings.insert(name, Setting { value, sources });
    }

    /// The setting that was probably meant: of the same last word, or spelled much alike.
    fn nearest(&self, name: &str) -> Option<String> {
        let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        self.examples
            .keys()
            .map(|known| {
                let whole = strsim::normalized_damerau_levenshtein(name, known);
                let end = strsim::normalized_damerau_levenshtein(&last(name), &last(known)) * 0.95;
                (whole.max(end), known)
            })
            .filter(|(likeness, _)| *likeness > 0.6)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, known)| known.clone())
    }
}

/// A variable's name for a setting.
pub fn variable_of(name: &str) -> String {
    format!("{PREFIX}{}", name.replace('.', "__").to_uppercase())
}

/// (name, value, where it stands) of everything in a file, tables opened.
fn walk(name: String, table: &DeTable<'_>, found: &mut Vec<(String, Value, usize)>) {
    for (key, value) in table {
        let name = joined(&name, key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => walk(name, inner, found),
            // An empty table sets nothing; below `provider` it may still be a mistake of nobody's.
            DeValue::Table(_) => {}
            other => found.push((name, plain(other), key.span().start)),
        }
    }
}

fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.clone().into_owned()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            let bare = digits.trim_start_matches("0x").trim_start_matches("0o");
            let bare = bare.trim_start_matches("0b");
            match i64::from_str_radix(bare, number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::String(digits),
            }
        }
        DeValue::Float(number) => match number.as_str().replace('_', "").parse() {
            Ok(number) => Value::Float(number),
            Err(_) => Value::String(number.as_str().to_owned()),
        },
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(at) => Value::Datetime(*at),
        DeValue::Array(list) => {
            Value::Array(list.iter().map(|value| plain(value.get_ref())).collect())
        }
        DeValue::Table(table) => Value::Table(
            table
                .iter()
                .map(|(key, value)| (key.get_ref().clone().into_owned(), plain(value.get_ref())))
                .collect(),
        ),
    }
}

fn list(text: &str) -> Value {
    let words = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    Value::Array(words.map(|word| Value::String(word.to_owned())).collect())
}

fn guess(text: &str) -> Value {
    let read: Result<Table, _> = toml::from_str(&format!("value = {text}"));
    read.ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a point in time",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// Names of all settings there are.
pub fn names() -> Vec<String> {
    examples().into_keys().collect()
}
