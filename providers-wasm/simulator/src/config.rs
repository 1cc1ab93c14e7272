//! The account's configuration. The operator's, under it, names the server of a host
//! that brings one.

use anyport_sdk::types::Error;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    pub server: Option<String>,
    pub port: Option<u16>,
    /// Who signs in, unless the sign-in says it.
    pub user: Option<String>,
}

pub const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "server": {"type": "string", "title": "Server", "description": "Host name or address of the simulator. The host's own, if it runs one."},
    "port": {"type": "integer", "title": "Port", "minimum": 1, "maximum": 65535},
    "user": {"type": "string", "title": "User", "minLength": 1, "maxLength": 128, "description": "User name on the simulator; whoever is named exists."}
  }
}"#;

impl Config {
    pub fn parse(json: &str) -> Result<Self, Error> {
        if json.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_str(json).map_err(|error| {
            Error::invalid("the configuration does not fit its schema")
                .with_detail(error.to_string())
        })
    }

    pub fn address(&self) -> Result<(&str, u16), Error> {
        match (&self.server, self.port) {
            (Some(server), Some(port)) => Ok((server, port)),
            _ => Err(Error::invalid("the configuration names no server and port")),
        }
    }
}
