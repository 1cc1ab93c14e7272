//! What every command takes: where the host is, with which key, and in which form to answer.

use crate::output::ColorChoice;
use clap::Args;
use secrecy::SecretString;
use std::path::PathBuf;

/// `Debug` shows no key.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Where the host listens [default: a trial's own address, or http://127.0.0.1:8080]
    #[arg(
        long,
        env = "ANYPORT_URL",
        global = true,
        help_heading = "Connection",
        hide_env_values = true
    )]
    pub url: Option<String>,
    /// An API key. Others see it in the list of processes: better set the variable, or --key-file
    #[arg(
        long,
        env = "ANYPORT_KEY",
        global = true,
        help_heading = "Connection",
        hide_env_values = true
    )]
    pub key: Option<SecretString>,
    /// A file with the API key on its first line
    #[arg(
        long,
        value_name = "FILE",
        env = "ANYPORT_KEY_FILE",
        global = true,
        help_heading = "Connection",
        hide_env_values = true
    )]
    pub key_file: Option<PathBuf>,
    /// One of the profiles in $XDG_CONFIG_HOME/anyport/cli.toml
    #[arg(
        long,
        value_name = "NAME",
        env = "ANYPORT_PROFILE",
        global = true,
        help_heading = "Connection",
        hide_env_values = true
    )]
    pub profile: Option<String>,
    /// A PEM file with certificate authorities beside the system's
    #[arg(
        long,
        value_name = "FILE",
        env = "ANYPORT_CA",
        global = true,
        help_heading = "Connection",
        hide_env_values = true
    )]
    pub ca: Option<PathBuf>,
    /// Where a trial keeps its data; its address and keys are found there [default: anyport-data]
    #[arg(
        long,
        value_name = "DIRECTORY",
        env = "ANYPORT_DATA",
        global = true,
        help_heading = "Connection",
        hide_env_values = true
    )]
    pub data: Option<PathBuf>,
    /// The API's own JSON instead of text for people; errors too, on standard error
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        global = true,
        hide_possible_values = true,
        help_heading = "Output",
        help = "Colours: auto, always or never"
    )]
    pub color: ColorChoice,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_key() {
        let options = Options {
            key: Some(SecretString::from("dk_live_marker")),
            ..Options::default()
        };
        assert!(!format!("{options:?}").contains("marker"));
    }
}
