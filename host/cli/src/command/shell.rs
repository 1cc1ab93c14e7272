//! What speaks to no host: completions and man pages, made from the whole command line.

use crate::failure::{Failure, Outcome};
use clap::Args;
use clap_complete::Shell;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub struct Completions {
    /// For bash: `source <(anyport completions bash)`
    shell: Shell,
}

#[derive(Args, Debug)]
pub struct Man {
    /// Write a page for every command into this directory, instead of the first to standard output
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
}

impl Completions {
    pub fn text(&self, mut root: clap::Command) -> Vec<u8> {
        let mut text = Vec::new();
        let name = root.get_name().to_owned();
        clap_complete::generate(self.shell, &mut root, name, &mut text);
        text
    }
}

impl Man {
    /// What goes to standard output.
    pub fn text(&self, root: clap::Command) -> Outcome<Vec<u8>> {
        let root = root.disable_help_subcommand(true);
        if let Some(directory) = &self.out {
            std::fs::create_dir_all(directory)
                .and_then(|()| clap_mangen::generate_to(root, directory))
                .map_err(|error| cannot_write(directory, &error))?;
            return Ok(Vec::new());
        }
        let mut text = Vec::new();
        clap_mangen::Man::new(root)
            .render(&mut text)
            .map_err(|error| Failure::local(error.to_string()))?;
        Ok(text)
    }
}

fn cannot_write(directory: &Path, error: &std::io::Error) -> Failure {
    Failure::local(format!(
        "{} cannot be written: {error}",
        directory.display()
    ))
}
