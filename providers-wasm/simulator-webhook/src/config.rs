//! The account's configuration.

use anyport_sdk::types::Error;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    pub server: Option<String>,
    pub port: Option<u16>,
    pub token_in: TokenPlace,
}

/// Where the API wants its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenPlace {
    #[default]
    Header,
    Path,
}

pub const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "server": {"type": "string", "title": "Server", "description": "Host name or address of the simulator's HTTP API."},
    "port": {"type": "integer", "title": "Port", "minimum": 1, "maximum": 65535},
    "token_in": {"type": "string", "title": "Token in", "enum": ["header", "path"], "description": "Where the API gets its token. The default is header."},
    "webhook_secret": {"type": "string", "title": "Webhook secret", "format": "password", "minLength": 1, "x-anyport-secret": "webhook-secret", "description": "What the channel signs its webhooks with."}
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

    /// `http://…`, without a slash at its end.
    pub fn base(&self) -> Result<String, Error> {
        match (&self.server, self.port) {
            (Some(server), Some(port)) if server.contains(':') => {
                Ok(format!("http://[{server}]:{port}"))
            }
            (Some(server), Some(port)) => Ok(format!("http://{server}:{port}")),
            _ => Err(Error::invalid("the configuration names no server and port")),
        }
    }
}
