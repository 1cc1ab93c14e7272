//! The data directory and what lies in it, the disk below it, and files that the configuration
//! names.

use super::Finding;
use crate::app::config::Config;
use crate::network::tls::count_authorities;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const MIB: u64 = 1024 * 1024;
/// Below this a database that works is about to stop.
const LITTLE: u64 = 256 * MIB;
const ENOUGH: u64 = 2048 * MIB;

pub fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![directory(&config.data)];
    findings.extend(key(&config.data));
    findings.extend(cache(&config.data));
    findings.push(disk(&config.data));
    findings.push(inbox(config));
    findings.extend(config.network.extra_ca.iter().map(|path| authority(path)));
    findings
}

fn directory(path: &Path) -> Finding {
    const CHECK: &str = "data";
    let shown = path.display();
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Finding::note(
                CHECK,
                format!("{shown} is not there yet; the first start makes it"),
            );
        }
        Err(error) => {
            return Finding::problem(
                CHECK,
                format!("{shown} cannot be looked at: {error}"),
                "database and keys lie there",
                "run this as the user that the host runs as, and give that user the directory",
            );
        }
    };
    if !metadata.is_dir() {
        return Finding::problem(
            CHECK,
            format!("{shown} is no directory"),
            "database and keys are to lie there",
            "set `data` to a directory",
        );
    }
    if !is_writable(path) {
        return Finding::problem(
            CHECK,
            format!("{shown} cannot be written by this user"),
            "the host cannot commit anything",
            "run this as the user that the host runs as; if it is the same, change the owner of the directory",
        );
    }
    if metadata.mode() & 0o077 != 0 {
        return Finding::warning(
            CHECK,
            format!("{shown} has mode {:04o}", metadata.mode() & 0o7777),
            "others of this machine can get at the database's files, its keys and the compiled components, which are run as they are found",
            format!("chmod 700 {shown}"),
        );
    }
    Finding::ok(CHECK, format!("{shown} belongs to this user alone"))
}

fn is_writable(path: &Path) -> bool {
    rustix::fs::access(
        path,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    )
    .is_ok()
}

fn key(data: &Path) -> Vec<Finding> {
    const CHECK: &str = "operator_key";
    let path = data.join("operator.key");
    let shown = path.display();
    let metadata = match std::fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        // The check of the database says whether it is missed.
        Err(_) => return Vec::new(),
    };
    let mut findings = Vec::new();
    if metadata.is_file() && metadata.mode() & 0o077 != 0 {
        findings.push(Finding::problem(
            CHECK,
            format!("{shown} has mode {:04o}", metadata.mode() & 0o7777),
            "whoever reads this key reads every credential and message in the database",
            format!("chmod 600 {shown}, and rotate the key if others use this machine"),
        ));
    }
    let trial = data.join("trial-keys.json");
    if trial.exists() {
        findings.push(Finding::note(
            "trial_keys",
            format!(
                "{} holds API keys in plain text, from a trial; delete it when you keep this installation",
                trial.display()
            ),
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, format!("{shown} is private")));
    }
    findings
}

/// What is compiled is run without a further look.
fn cache(data: &Path) -> Option<Finding> {
    let path = data.join("cache");
    let metadata = std::fs::metadata(&path).ok()?;
    let open = metadata.mode() & 0o022 != 0;
    open.then(|| {
        Finding::problem(
            "cache",
            format!("{} can be written by others", path.display()),
            "compiled components are machine code that the host runs as it finds it",
            format!("chmod 700 {0}, and delete what is in it", path.display()),
        )
    })
}

fn disk(data: &Path) -> Finding {
    const CHECK: &str = "disk";
    // Of the nearest directory that is there.
    let there = data.ancestors().find(|path| path.exists());
    let there = there.unwrap_or(Path::new("."));
    let space = match rustix::fs::statvfs(there) {
        Ok(space) => space,
        Err(error) => {
            return Finding::warning(
                CHECK,
                format!("the space below {} is not known: {error}", there.display()),
                "a full disk stops every commit",
                "look at it with df",
            );
        }
    };
    let free = space.f_bavail * space.f_frsize;
    let what = format!("{} MiB are free below {}", free / MIB, data.display());
    let why = "on a full disk sends are refused and accounts stand still until there is room; nothing is lost";
    let todo = "make room, or move `data` to a larger disk";
    if space.f_files > 0 && space.f_favail < 1_000 {
        return Finding::problem(
            CHECK,
            "the file system has no room for files (inodes)",
            why,
            todo,
        );
    }
    match free {
        ..LITTLE => Finding::problem(CHECK, what, why, todo),
        LITTLE..ENOUGH => Finding::warning(CHECK, what, why, todo),
        _ => Finding::ok(CHECK, what),
    }
}

fn inbox(config: &Config) -> Finding {
    const CHECK: &str = "providers_directory";
    let path = config.providers_directory();
    let shown = path.display();
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Finding::note(CHECK, format!("{shown} is not there yet; a start makes it"));
        }
        Err(error) => {
            return Finding::problem(
                CHECK,
                format!("{shown} cannot be read: {error}"),
                "components that are put there are not installed",
                "give the host's user the directory, or set `providers` to another one",
            );
        }
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let (components, others): (Vec<_>, Vec<_>) =
        names.partition(|name| Path::new(name).extension().is_some_and(|end| end == "wasm"));
    if !others.is_empty() {
        let odd = others[0].to_string_lossy();
        return Finding::note(
            CHECK,
            format!("{shown} holds `{odd}`, which is no .wasm file and is never installed"),
        );
    }
    Finding::ok(CHECK, format!("{shown}: {} components", components.len()))
}

fn authority(path: &Path) -> Finding {
    const CHECK: &str = "extra_ca";
    let shown = path.display();
    match count_authorities(path) {
        Ok(count) => Finding::ok(CHECK, format!("{shown}: {count} certificates")),
        Err(reason) => Finding::problem(
            CHECK,
            format!("{shown} cannot be used: {reason}"),
            "the host refuses to start without an authority that it was told to trust",
            "correct network.extra_ca: a PEM file with certificates, readable by the host's user",
        ),
    }
}
