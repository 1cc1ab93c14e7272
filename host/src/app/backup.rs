//! `anyport backup` and `anyport restore`: what touches files of an installation beside the host.

use super::config::{Config, ServeArgs};
use super::{database, operator_key, private_directory};
use crate::domain::Timestamp;
use crate::storage::Store;
use crate::storage::key::{self, KeySource};
use crate::storage::sqlite::SqliteSettings;
use crate::storage::sqlite::backup::{self, Copied};
use anyhow::{Context, bail};
use clap::Args;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Args, Debug, Clone)]
pub struct BackupArgs {
    /// The file to write.
    #[arg(long)]
    pub to: PathBuf,
    /// Write the operator's key beside it, to FILE.key: whoever has both can read everything.
    #[arg(long)]
    pub with_key: bool,
    /// Replace a file that is there.
    #[arg(long)]
    pub force: bool,
    /// The host's TOML file.
    #[arg(long, env = "ANYPORT_CONFIG")]
    pub config: Option<PathBuf>,
    /// The host's data directory.
    #[arg(long)]
    pub data: Option<PathBuf>,
}

#[derive(Args, Debug, Clone)]
pub struct RestoreArgs {
    /// The backup.
    #[arg(long, required_unless_present = "mark", conflicts_with = "mark")]
    pub from: Option<PathBuf>,
    /// The operator's key of the backup; FILE.key beside it when absent, unless the configuration
    /// or the environment gives the key.
    #[arg(long)]
    pub key: Option<PathBuf>,
    /// Restore nothing: mark the configured database, which was restored by other means (PITR, a
    /// dump), as a copy, so that it starts no account by itself.
    #[arg(long)]
    pub mark: bool,
    /// The new host's TOML file.
    #[arg(long, env = "ANYPORT_CONFIG")]
    pub config: Option<PathBuf>,
    /// The new host's data directory.
    #[arg(long)]
    pub data: Option<PathBuf>,
}

/// The configuration of the installation that a command is about.
pub(super) fn load(config: &Option<PathBuf>, data: &Option<PathBuf>) -> anyhow::Result<Config> {
    Ok(Config::load(&ServeArgs {
        config: config.clone(),
        data: data.clone(),
        ..ServeArgs::default()
    })?)
}

fn refuse_server(config: &Config, instead: &str) -> anyhow::Result<()> {
    if config.database.is_some() {
        bail!("the configured database is on a PostgreSQL server: {instead} (docs/operations.md)");
    }
    Ok(())
}

fn key_beside(backup: &Path) -> PathBuf {
    let mut name = OsString::from(backup);
    name.push(".key");
    PathBuf::from(name)
}

pub async fn back_up(args: BackupArgs) -> anyhow::Result<()> {
    let config = load(&args.config, &args.data)?;
    refuse_server(&config, "back up with PostgreSQL's own means")?;
    let settings = SqliteSettings::in_directory(&config.data);
    let key_file = key_beside(&args.to);
    if args.with_key && key_file.exists() && !args.force {
        bail!(
            "{} is there already; nothing was written",
            key_file.display()
        );
    }
    let copied = backup::back_up(&settings.path, &args.to, args.force).await?;
    print_copied(&copied, &args.to);
    if !args.with_key {
        println!("The operator's key is not in it; without that key nobody can read it.");
        return Ok(());
    }
    if copied.operator_keys != 1 {
        bail!(
            "the operator's key was not written: it is being rotated, and the backup needs the keys before and after; make another backup when that is over"
        );
    }
    let source = operator_key::source(&config)?;
    let key = match &source {
        KeySource::Given(key) | KeySource::GivenWithNext { key, .. } => key.clone(),
        KeySource::File(path) => key::load(path)
            .with_context(|| format!("the operator key {}", path.display()))?
            .with_context(|| format!("there is no operator key {}", path.display()))?,
    };
    key::store(&key_file, &key)
        .with_context(|| format!("the key cannot be written to {}", key_file.display()))?;
    backup::check(&args.to, &KeySource::File(key_file.clone())).await?;
    println!(
        "The operator's key is in {}: keep the two apart.",
        key_file.display()
    );
    Ok(())
}

pub async fn restore(args: RestoreArgs) -> anyhow::Result<()> {
    let config = load(&args.config, &args.data)?;
    let Some(from) = &args.from else {
        return mark(&config).await;
    };
    refuse_server(
        &config,
        "restore with PostgreSQL's own means, then run `anyport restore --mark`",
    )?;
    let settings = database::file(&config)?;
    if settings.path.exists() {
        bail!(
            "{} is there already: a restore needs an empty directory; nothing was changed",
            settings.path.display()
        );
    }
    private_directory(&config.data)?;
    if let KeySource::File(path) = &settings.key {
        bring_key(from, args.key.as_deref(), path).await?;
    } else if args.key.is_some() {
        bail!("--key: the configuration or the environment gives the operator's key already");
    }
    let copied = backup::restore(from, &settings, Timestamp::now()).await?;
    print_copied(&copied, &settings.path);
    print_marked();
    Ok(())
}

/// The operator's key stands where the host looks for it before the database does.
async fn bring_key(backup: &Path, given: Option<&Path>, to: &Path) -> anyhow::Result<()> {
    if to.exists() {
        if given.is_some() {
            bail!(
                "--key: there is an operator key {} already; nothing was changed",
                to.display()
            );
        }
        backup::check(backup, &KeySource::File(to.to_owned())).await?;
        return Ok(());
    }
    let beside = key_beside(backup);
    let from = match given {
        Some(from) => from.to_owned(),
        None if beside.exists() => beside,
        None => bail!(
            "the operator's key of the backup is needed: name its file with --key, or put it at {}",
            to.display()
        ),
    };
    backup::check(backup, &KeySource::File(from.clone())).await?;
    for (from, to) in [
        (key::next_file(&from), key::next_file(to)),
        (from, to.to_owned()),
    ] {
        let found = key::load(&from).with_context(|| format!("{}", from.display()))?;
        if let Some(found) = found {
            key::store(&to, &found)
                .with_context(|| format!("the key cannot be written to {}", to.display()))?;
        }
    }
    Ok(())
}

async fn mark(config: &Config) -> anyhow::Result<()> {
    let path = database::file(config)?.path;
    if config.database.is_none() && !path.exists() {
        bail!("there is no database {}", path.display());
    }
    // Nobody listens there.
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let store = database::open(config, nowhere).await?;
    store.mark_restored(Timestamp::now()).await?;
    print_marked();
    Ok(())
}

fn print_copied(copied: &Copied, to: &Path) {
    println!(
        "{}: {} accounts, {} events, {} bytes",
        to.display(),
        copied.accounts,
        copied.events,
        copied.bytes
    );
}

fn print_marked() {
    println!(
        "It is marked as a copy: no account starts by itself, since the original may still be"
    );
    println!(
        "signed in, and sends that were not settled become `unknown`. Start the host, and when"
    );
    println!(
        "the original is gone for good: anyport admin resume (POST /admin/v1/restore/resume)."
    );
}
