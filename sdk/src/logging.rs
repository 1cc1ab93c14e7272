//! The log without ceremony: a message and its fields, as text.

use crate::log::{Field, Level, write};

pub fn debug(message: &str, fields: &[(&str, &str)]) {
    at(Level::Debug, message, fields);
}

pub fn info(message: &str, fields: &[(&str, &str)]) {
    at(Level::Info, message, fields);
}

pub fn warn(message: &str, fields: &[(&str, &str)]) {
    at(Level::Warn, message, fields);
}

pub fn error(message: &str, fields: &[(&str, &str)]) {
    at(Level::Error, message, fields);
}

fn at(level: Level, message: &str, fields: &[(&str, &str)]) {
    let field = |(key, value): &(&str, &str)| Field {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    };
    write(
        level,
        message,
        &fields.iter().map(field).collect::<Vec<_>>(),
    );
}
