//! `anyport config show`: what is in effect, and where each value comes from. No secrets.

use super::layers::{Layers, Source, names};
use super::secret::SET;
use super::{Config, ConfigArgs, ConfigCommand, Problems, ServeArgs};
use crate::app::serve::{DONE, WRONG};
use serde::Serialize;
use serde_json::Value;

/// One line of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    pub key: String,
    /// Null: it has none. `(set)`: it is secret.
    pub value: Value,
    pub source: String,
}

/// `anyport config …`; the exit code.
pub fn run(args: &ConfigArgs) -> u8 {
    let result = match &args.command {
        ConfigCommand::Show { serve, json } => show(serve, *json),
        ConfigCommand::Check { serve } => load(serve).map(|_| String::new()),
        ConfigCommand::Default => Ok(super::layers::DEFAULT.to_owned()),
    };
    match result {
        Ok(text) => {
            print!("{text}");
            DONE
        }
        Err(problems) => {
            eprintln!("anyport: {problems}");
            WRONG
        }
    }
}

fn load(args: &ServeArgs) -> Result<(Config, Layers), Problems> {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Config::load_from(args, variables)
}

fn show(args: &ServeArgs, json: bool) -> Result<String, Problems> {
    let (config, layers) = load(args)?;
    let rows = rows(&config, &layers)?;
    if !json {
        return Ok(text(&rows, config.trial));
    }
    let shown = serde_json::json!({"trial": config.trial, "settings": rows});
    Ok(format!("{shown:#}\n"))
}

pub fn rows(config: &Config, layers: &Layers) -> Result<Vec<Shown>, Problems> {
    let whole = serde_json::to_value(config)
        .map_err(|error| Problems::from(format!("it cannot be shown: {error}")))?;
    let mut rows: Vec<Shown> = names()
        .into_iter()
        .map(|key| Shown {
            value: at(&whole, &key),
            source: source(layers, &key),
            key,
        })
        .collect();
    // Which of a provider's keys are secret only the provider knows.
    for (provider, keys) in &config.provider {
        let mut paths = Vec::new();
        leaves(&format!("provider.{provider}"), keys, &mut paths);
        rows.extend(paths.into_iter().map(|key| Shown {
            source: source(layers, &key),
            key,
            value: SET.into(),
        }));
    }
    Ok(rows)
}

fn source(layers: &Layers, key: &str) -> String {
    match layers.setting(key) {
        Some(setting) => {
            let sources: Vec<_> = setting.sources.iter().map(Source::to_string).collect();
            sources.join(" + ")
        }
        None => Source::Default.to_string(),
    }
}

fn at(whole: &Value, key: &str) -> Value {
    key.split('.')
        .try_fold(whole, |value, name| value.get(name))
        .cloned()
        .unwrap_or(Value::Null)
}

fn leaves(name: &str, value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(keys) if !keys.is_empty() => {
            for (key, value) in keys {
                leaves(&format!("{name}.{key}"), value, into);
            }
        }
        _ => into.push(name.to_owned()),
    }
}

/// For people: TOML, with the sources as comments.
pub fn text(rows: &[Shown], trial: bool) -> String {
    let shown: Vec<(String, &str)> = rows
        .iter()
        .map(|row| {
            let value = match &row.value {
                Value::Null => format!("# {} has no value", row.key),
                value => format!("{} = {value}", row.key),
            };
            (value, row.source.as_str())
        })
        .collect();
    let width = shown
        .iter()
        .map(|(value, _)| value.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (value, source) in shown {
        text += &format!("{value:width$}  # {source}\n");
    }
    if trial {
        text += "# Nothing is configured: this is a trial, on loopback.\n";
    }
    text
}
