//! `anyport migrate`: moves an installation from SQLite to PostgreSQL and says how far it is.

use super::config::MigrateArgs;
use crate::storage::key::KeySource;
use crate::storage::migrate::{Progress, migrate};
use crate::storage::postgres::{DatabaseUrl, PostgresSettings};
use crate::storage::sqlite::SqliteSettings;
use anyhow::Context;

pub async fn run(args: MigrateArgs) -> anyhow::Result<()> {
    let url = DatabaseUrl::try_from(&args.to).context("`--to` is wrong")?;
    let from = SqliteSettings::in_directory(&args.data);
    let key = KeySource::File(args.data.join("operator.key"));
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
         ANYPORT_DATABASE) and start the host; it needs {} as before. {} was left as it is: do not \
         start a host on it any more.",
        args.data.join("operator.key").display(),
        file.display()
    );
    Ok(())
}
