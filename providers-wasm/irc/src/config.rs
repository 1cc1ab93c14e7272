//! The account's configuration: its shape, its defaults and its JSON Schema. Secrets are not
//! part of it. It must never let a value through that could end a line early.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::pacing::Rate;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    pub server: String,
    pub port: u16,
    #[serde(default = "yes")]
    pub tls: bool,
    pub nick: String,
    pub username: Option<String>,
    pub realname: Option<String>,
    pub sasl_username: Option<String>,
    /// `#channel` or `#channel key`.
    #[serde(default)]
    pub channels: Vec<String>,
    #[serde(default = "flood_burst")]
    pub flood_burst: u32,
    #[serde(default = "flood_interval_ms")]
    pub flood_interval_ms: u32,
    #[serde(default = "keepalive_ms")]
    pub keepalive_ms: u32,
    #[serde(default = "reconnect_ms")]
    pub reconnect_ms: u32,
    pub quit_message: Option<String>,
}

fn yes() -> bool {
    true
}
fn flood_burst() -> u32 {
    5
}
fn flood_interval_ms() -> u32 {
    2_000
}
fn keepalive_ms() -> u32 {
    60_000
}
fn reconnect_ms() -> u32 {
    2_000
}

/// A channel to join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    pub name: &'a str,
    pub key: Option<&'a str>,
}

impl Config {
    /// Reads the configuration, or says for people what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = serde_json::from_str(text)
            .map_err(|error| format!("the configuration cannot be read: {error}"))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let words = [
            ("server", Some(&self.server)),
            ("nick", Some(&self.nick)),
            ("username", self.username.as_ref()),
            ("sasl-username", self.sasl_username.as_ref()),
        ];
        for (name, value) in words {
            let Some(value) = value else { continue };
            if value.is_empty()
                || value.starts_with(':')
                || value
                    .chars()
                    .any(|character| character.is_control() || character == ' ')
            {
                return Err(format!("`{name}` must be one word"));
            }
        }
        for (name, value) in [
            ("realname", &self.realname),
            ("quit-message", &self.quit_message),
        ] {
            if value
                .as_ref()
                .is_some_and(|value| value.contains(['\r', '\n', '\0']))
            {
                return Err(format!("`{name}` must be one line"));
            }
        }
        if self.port == 0 {
            return Err("`port` must not be 0".to_owned());
        }
        for channel in &self.channels {
            let mut words = channel.split(' ');
            let name = words.next().unwrap_or("");
            let bad = |word: &str| {
                word.is_empty()
                    || word.contains(',')
                    || word.chars().any(char::is_control)
                    || word.starts_with(':')
            };
            if bad(name) || words.next().is_some_and(bad) || words.next().is_some() || name == "0" {
                return Err(
                    "each of `channels` must be a channel's name, or its name and its key"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }

    pub fn wanted(&self) -> impl Iterator<Item = Wanted<'_>> {
        self.channels
            .iter()
            .map(|channel| match channel.split_once(' ') {
                Some((name, key)) => Wanted {
                    name,
                    key: Some(key),
                },
                None => Wanted {
                    name: channel,
                    key: None,
                },
            })
    }

    pub fn rate(&self) -> Rate {
        Rate {
            burst: self.flood_burst,
            interval_ms: self.flood_interval_ms,
        }
    }

    /// As configured, or what of the nick is safe in a user name everywhere.
    pub fn username(&self) -> String {
        let safe = || {
            self.nick
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(9)
                .collect::<String>()
        };
        let name = self.username.clone().unwrap_or_else(safe);
        if name.is_empty() {
            "anyport".to_owned()
        } else {
            name
        }
    }

    pub fn realname(&self) -> &str {
        self.realname.as_deref().unwrap_or(&self.nick)
    }

    /// Does a link that was made with `other` still serve? Nick, channels and pace can change
    /// on a link that is up.
    pub fn same_link(&self, other: &Self) -> bool {
        self.server == other.server
            && self.port == other.port
            && self.tls == other.tls
            && self.username == other.username
            && self.realname == other.realname
            && self.sasl_username == other.sasl_username
    }
}

/// JSON Schema (draft 2020-12) of the configuration.
pub fn schema() -> Value {
    // Control characters that are no white space are left to `check`.
    let word = r"^[^\s:]\S*$";
    let line = r"^[^\r\n]*$";
    let channel = r"^[^\s,:][^\s,]*( [^\s,:][^\s,]*)?$";
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "IRC account",
        "type": "object",
        "additionalProperties": false,
        "required": ["server", "port", "nick"],
        "properties": {
            "server": {
                "type": "string", "title": "Server", "pattern": word, "maxLength": 253,
                "description": "Name or address of the IRC server.", "examples": ["irc.libera.chat"]
            },
            "port": {
                "type": "integer", "title": "Port", "minimum": 1, "maximum": 65535, "default": 6697,
                "description": "As a rule 6697 with TLS and 6667 without."
            },
            "tls": {
                "type": "boolean", "title": "TLS", "default": true,
                "description": "Encrypt the connection. Without it, passwords cross the network in the clear."
            },
            "nick": {
                "type": "string", "title": "Nick", "pattern": word, "maxLength": 64,
                "description": "The name on the network. When it is taken, a similar one is used until it is free."
            },
            "username": {
                "type": "string", "title": "User name", "pattern": word, "maxLength": 64,
                "description": "The part before the @ of nick!user@host; made from the nick if it is not given."
            },
            "realname": {
                "type": "string", "title": "Real name", "pattern": line, "maxLength": 128,
                "description": "Free text that others see in WHOIS; the nick if it is not given."
            },
            "sasl-username": {
                "type": "string", "title": "SASL account", "pattern": word, "maxLength": 128,
                "description": "Account at the network's services. When it is given, the sign-in uses SASL PLAIN and fails without it."
            },
            "sasl-password": {
                "type": "string", "title": "SASL password", "writeOnly": true, "x-anyport-secret": "sasl-password",
                "description": "Password of the SASL account."
            },
            "server-password": {
                "type": "string", "title": "Server password", "writeOnly": true, "x-anyport-secret": "server-password",
                "description": "For servers that ask everybody for one (PASS)."
            },
            "channels": {
                "type": "array", "title": "Channels", "default": [], "maxItems": 100,
                "items": { "type": "string", "minLength": 2, "maxLength": 256, "pattern": channel },
                "description": "Channels to be in: a name, or a name and its key with a space between.",
                "examples": [["#anyport", "#staff secret-key"]]
            },
            "flood-burst": {
                "type": "integer", "title": "Lines at once", "minimum": 1, "maximum": 1000, "default": flood_burst(),
                "description": "So many lines may leave at once after a pause."
            },
            "flood-interval-ms": {
                "type": "integer", "title": "Pace", "minimum": 0, "maximum": 60000, "default": flood_interval_ms(),
                "description": "Milliseconds between lines after that. Servers disconnect who is faster than they allow."
            },
            "keepalive-ms": {
                "type": "integer", "title": "Keep-alive", "minimum": 100, "maximum": 600_000, "default": keepalive_ms(),
                "description": "After so many silent milliseconds the server is asked for a sign of life, and the link is given up when half as long passes without one."
            },
            "reconnect-ms": {
                "type": "integer", "title": "Reconnect", "minimum": 10, "maximum": 300_000, "default": reconnect_ms(),
                "description": "Milliseconds before the first attempt to reconnect; doubled each time, up to five minutes."
            },
            "quit-message": {
                "type": "string", "title": "Quit message", "pattern": line, "maxLength": 200,
                "description": "What others read when the account leaves the network."
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults() {
        let config = Config::parse(
            r##"{"server":"irc.example","port":6697,"nick":"any","channels":["#a","#b key"]}"##,
        )
        .expect("valid");
        assert!(config.tls);
        assert_eq!(
            (config.username().as_str(), config.realname()),
            ("any", "any")
        );
        assert_eq!(
            config.rate(),
            Rate {
                burst: 5,
                interval_ms: 2_000
            }
        );
        let wanted: Vec<_> = config.wanted().collect();
        assert_eq!(
            wanted,
            [
                Wanted {
                    name: "#a",
                    key: None
                },
                Wanted {
                    name: "#b",
                    key: Some("key")
                }
            ]
        );
    }

    #[test]
    fn values_that_would_end_a_line_are_refused() {
        for text in [
            r#"{"server":"s","port":1}"#,
            r#"{"server":"s","port":0,"nick":"n"}"#,
            r#"{"server":"s","port":1,"nick":"a b"}"#,
            r#"{"server":"s","port":1,"nick":"n","username":"a\r\nQUIT"}"#,
            r#"{"server":"s","port":1,"nick":"n","realname":"a\nb"}"#,
            r##"{"server":"s","port":1,"nick":"n","channels":["#a,#b"]}"##,
            r##"{"server":"s","port":1,"nick":"n","channels":["#a\r\nQUIT"]}"##,
            r##"{"server":"s","port":1,"nick":"n","channels":["#a k x"]}"##,
            r#"{"server":"s","port":1,"nick":"n","channels":["0"]}"#,
            "[]",
        ] {
            assert!(Config::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_can_change_on_a_link_that_is_up() {
        let config = Config::parse(r#"{"server":"s","port":1,"nick":"n"}"#).expect("valid");
        let other = Config {
            nick: "m".into(),
            channels: vec!["#x".into()],
            flood_burst: 9,
            ..config.clone()
        };
        assert!(config.same_link(&other));
        assert!(!config.same_link(&Config {
            port: 2,
            ..config.clone()
        }));
    }
}
