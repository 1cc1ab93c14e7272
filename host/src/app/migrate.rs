//! `anyport migrate`: moves an installation from SQLite to PostgreSQL and says how far it is.

use super::backup;
use super::config::MigrateArgs;
use super::operator_key;
use crate::storage::key::KeySource;
use crate::storage::migrate::{Progress, migrate};
use crate::storage::postgres::{DatabaseUrl, PostgresSettings};
use crate::storage::sqlite::SqliteSettings;
use anyhow::Context;

pub async fn run(args: MigrateArgs) -> anyhow::Result<()> {
    let url = DatabaseUrl::try_from(&args.to).context("`--to` is wrong")?;
    let config = backup::load(&args.config, &args.data)?;
    let from = SqliteSettings::in_directory(&config.data);
    let key = operator_key::source(&config)?;
    let needs = match &key {
        KeySource::File(path) => path.display().to_string(),
        KeySource::Given(_) | KeySource::GivenWithNext { .. } => "the operator's key".to_owned(),
    };
    let file = from.path.clone();
    migrate(
        from,
        PostgresSettings::new(url, key),
        |progress| match progress {
            Progress::Copied { table, rows } => println!("{table}: {rows} rows copied"),
            Progress::Checked { table, rows } => println!("{table}: {rows} rows, the same in both"),
        },
    )
    .await?;
    println!(
        "\nEverything is in PostgreSQL now. Set `database` in the configuration (or \
         ANYPORT_DATABASE) and start the host; it needs {needs} as before. {} was left as it is: do \
         not start a host on it any more.",
        file.display()
    );
    Ok(())
}
