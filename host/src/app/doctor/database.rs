//! The database: is it there, ours, whole, of a schema that this host knows, and does the
//! operator's key open it?

use super::Finding;
use crate::app::config::Config;
use crate::app::operator_key;
use crate::storage::inspect::{
    Inspection, ServerInspection, Whose, inspect, inspect_server, newest_schema,
};
use crate::storage::postgres::DatabaseUrl;
use std::path::Path;

const CHECK: &str = "database";

/// Also when its newest event was recorded.
pub fn examine(config: &Config) -> (Vec<Finding>, Option<u64>) {
    let path = config.data.join("anyport.db");
    let key_path = config.data.join("operator.key");
    if config.database.is_none() && !path.exists() {
        let there = "is not there yet; the first start makes it";
        return (
            vec![Finding::note(CHECK, format!("{} {there}", path.display()))],
            None,
        );
    }
    let (key_path, key) = match operator_key::present(config) {
        Ok((path, key)) => (path.unwrap_or(key_path), Ok(key)),
        Err(error) => (key_path, Err(error)),
    };
    let key = match key {
        Ok(key) => key,
        Err(error) => {
            let unreadable = Finding::problem(
                "operator_key",
                format!("{} cannot be used: {error:#}", key_path.display()),
                "without it nothing in the database can be read",
                "put the key back from its backup, readable by the host's user alone",
            );
            return (vec![unreadable], None);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return (vec![unreadable("the database", &error.to_string())], None),
    };
    let url = config.database.as_ref().map(DatabaseUrl::try_from);
    // The configuration was checked.
    if let Some(Ok(url)) = url {
        let findings = match runtime.block_on(inspect_server(url, key)) {
            Ok(found) => judge_server(&key_path, &found),
            Err(error) => vec![unreachable(&error)],
        };
        return (findings, None);
    }
    let looked = runtime.block_on(inspect(&path, key.as_ref()));
    match looked {
        Ok(found) => {
            let newest = found.newest_event_at;
            (judge(&path, &key_path, &found), newest)
        }
        Err(error) => (vec![unreadable(&path.display().to_string(), &error)], None),
    }
}

fn unreadable(what: &str, error: &str) -> Finding {
    Finding::problem(
        CHECK,
        format!("{what} cannot be read: {error}"),
        "the host cannot start on it",
        "run this as the user that the host runs as; if it is damaged, restore a backup",
    )
}

fn unreachable(error: &str) -> Finding {
    Finding::problem(
        CHECK,
        error,
        "the host cannot start on it, and one that runs refuses sends until it is back",
        "look at the server, at `database` (ANYPORT_DATABASE) and at who may log in from here (pg_hba.conf)",
    )
}

fn judge_server(key_path: &Path, found: &ServerInspection) -> Vec<Finding> {
    let name = &found.name;
    let Some(schema) = found.schema else {
        let empty = format!("{name}: nothing of ours is in it yet; the first start makes it");
        return vec![Finding::note(CHECK, empty)];
    };
    let well = format!("{name}: schema {schema}, {} accounts", found.accounts);
    let mut findings = vec![Finding::ok(CHECK, well)];
    findings.push(key_fits(key_path, name, found.key_fits));
    findings
}

/// `fits`: none is a key that is missing.
fn key_fits(key_path: &Path, database: &str, fits: Option<bool>) -> Finding {
    const CHECK: &str = "operator_key";
    let shown = key_path.display();
    match fits {
        Some(true) => Finding::ok(CHECK, "it opens the database"),
        Some(false) => Finding::problem(
            CHECK,
            format!("{shown} is not the key of {database}"),
            "nothing in the database can be read with it, and the host refuses to start",
            "put back the key that was made together with this database",
        ),
        None => Finding::problem(
            CHECK,
            format!("{shown} is missing"),
            "without it nothing in the database can be read, and the host refuses to start",
            "put it back from its backup; it cannot be made anew",
        ),
    }
}

fn judge(path: &Path, key_path: &Path, found: &Inspection) -> Vec<Finding> {
    let shown = path.display();
    let mut findings = Vec::new();
    match found.whose {
        Whose::Foreign => {
            return vec![Finding::problem(
                CHECK,
                format!("{shown} is another program's database"),
                "the host refuses it and touches nothing in it",
                "set `data` to a directory of the host's own",
            )];
        }
        Whose::Empty => {
            return vec![Finding::note(
                CHECK,
                format!("{shown} is empty; a start fills it"),
            )];
        }
        Whose::Ours => {}
    }
    let newest = newest_schema();
    if found.schema > newest {
        findings.push(Finding::problem(
            "schema",
            format!(
                "{shown} has schema {}, this host knows {newest}",
                found.schema
            ),
            "a newer host has run on it, and an older one could not keep what that one promised",
            "run the newer version, or restore a backup from before the upgrade",
        ));
    } else if found.schema < newest {
        findings.push(Finding::note(
            "schema",
            format!(
                "schema {}; the next start brings it to {newest}",
                found.schema
            ),
        ));
    }
    if !found.damage.is_empty() {
        findings.push(Finding::problem(
            CHECK,
            format!("{shown} is damaged: {}", found.damage.join("; ")),
            "commits may fail or be lost from now on; disks and file systems without working fsync do this",
            "stop the host, keep a copy of the data directory, restore the last backup, and look at the disk",
        ));
    }
    if found.schema <= newest && found.damage.is_empty() {
        findings.push(key_fits(key_path, &shown.to_string(), found.key_fits));
    }
    if found.unclean && found.damage.is_empty() {
        findings.push(Finding::note(
            CHECK,
            "whole; the last changes lie in the write-ahead log, and the next start goes on from there",
        ));
    }
    if findings.iter().all(|finding| finding.check != CHECK) {
        let used = if found.in_use {
            ", in use by a host"
        } else {
            ""
        };
        let megabytes = found.bytes as f64 / 1e6;
        findings.push(Finding::ok(
            CHECK,
            format!(
                "{shown}: {megabytes:.1} MB, {} accounts, whole{used}",
                found.accounts
            ),
        ));
    }
    findings
}
