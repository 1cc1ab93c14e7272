//! Reads the layers one over the other: file, environment, flags.

use super::ServeArgs;
use super::layers::{Problems, Setting, Source, defaults_of_file, examples, is_open, joined};
use std::collections::BTreeMap;
use std::path::Path;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

const PREFIX: &str = "ANYPORT_";
/// (variable, setting): shorter names.
const ALIASES: [(&str, &str); 2] = [("ANYPORT_ALLOW", ALLOW), ("ANYPORT_LOG", "log.level")];
/// Variables that are no settings of the host: the path of its file, the command line's, tests'.
const OTHERS: [&str; 8] = [
    "ANYPORT_CONFIG",
    "ANYPORT_URL",
    "ANYPORT_KEY",
    "ANYPORT_KEY_FILE",
    "ANYPORT_CA",
    "ANYPORT_PROFILE",
    "ANYPORT_LISTEN_SECRET",
    "ANYPORT_PROVE",
];
const OF_TESTS: &str = "ANYPORT_TEST_";
const ALLOW: &str = "network.allow";

/// All settings that have a value.
pub fn read(
    args: &ServeArgs,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<BTreeMap<String, Setting>, Problems> {
    let mut reading = Reading {
        settings: defaults_of_file(),
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
    Ok(reading.settings)
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
        if OTHERS.contains(&variable.as_str()) || variable.starts_with(OF_TESTS) {
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
