//! `anyport doctor` and `anyport health` on installations that are well and that are not.

use crate::support::host::Host;
use anyport::app::config::Config;
use anyport::app::doctor::{Finding, Severity, examine};
use anyport::app::health::{Health, ask};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// On a thread of its own, as the command runs.
async fn look(config: Config) -> Vec<Finding> {
    tokio::task::spawn_blocking(move || examine(&config))
        .await
        .unwrap()
}

fn config(data: &Path) -> Config {
    let mut config = Config {
        data: data.to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        ..Config::default()
    };
    config.runtime.max_instances = 256;
    config
}

#[track_caller]
fn found(findings: &[Finding], check: &str, severity: Severity, part: &str) {
    let fits = |finding: &&Finding| {
        finding.check == check && finding.severity == severity && finding.what.contains(part)
    };
    let finding = findings.iter().find(fits);
    let finding = finding.unwrap_or_else(|| panic!("{check} {severity:?} {part}: {findings:#?}"));
    if severity >= Severity::Warning {
        assert!(
            !finding.why.is_empty() && !finding.todo.is_empty(),
            "{finding:?}"
        );
    }
}

fn problems(findings: &[Finding]) -> Vec<&Finding> {
    let bad = findings
        .iter()
        .filter(|finding| finding.severity >= Severity::Warning);
    bad.filter(|finding| !finding.check.starts_with("limits."))
        .collect()
}

/// (name, length, mode, contents) of every file.
fn state(directory: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    // Scratch memory of SQLite's, which is rebuilt at will.
    let files = files.filter(|entry| !entry.file_name().to_string_lossy().ends_with("-shm"));
    files
        .map(|entry| {
            let mode = entry.metadata().unwrap().permissions().mode();
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, (mode, std::fs::read(entry.path()).unwrap()))
        })
        .collect()
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_host_is_well_and_is_told_so() {
    let host = Host::on_sqlite().await;
    chmod(host.data(), 0o700);
    let mut running = config(host.data());
    running.listen = host.running.address;
    let findings = look(running).await;
    assert_eq!(problems(&findings), [] as [&Finding; 0]);
    found(&findings, "database", Severity::Ok, "in use by a host");
    found(
        &findings,
        "operator_key",
        Severity::Ok,
        "it opens the database",
    );
    found(&findings, "listen", Severity::Ok, "is ready");
    found(&findings, "sandbox", Severity::Ok, "compiled and answered");
    found(&findings, "clock", Severity::Ok, "20");

    let address = host.running.address;
    let health = async |path: &'static str| {
        let asked = move || ask(address, path, Duration::from_secs(20));
        tokio::task::spawn_blocking(asked).await.unwrap()
    };
    assert!(matches!(health("/readyz").await, Health::Ok(_)));
    assert!(matches!(health("/nothing").await, Health::NotReady(_)));
    let data = host.stop().await;
    assert!(matches!(health("/readyz").await, Health::Silent(_)));

    // Nobody runs now, and nothing is changed by looking.
    let before = state(data.path());
    let findings = look(config(data.path())).await;
    assert_eq!(problems(&findings), [] as [&Finding; 0]);
    let database = findings.iter().find(|finding| finding.check == "database");
    let database = database.unwrap();
    assert!(database.severity <= Severity::Note, "{database:?}");
    assert!(database.what.contains("whole"), "{database:?}");
    assert_eq!(before, state(data.path()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_installation_is_told_in_words() {
    let host = Host::on_sqlite().await;
    let data = host.stop().await;
    let path = data.path();
    let at = |name: &str| path.join(name);

    chmod(path, 0o755);
    chmod(&at("operator.key"), 0o644);
    chmod(&at("cache"), 0o777);
    std::fs::write(at("providers/readme.txt"), "no component").unwrap();
    std::fs::write(at("not-a.pem"), "no certificate").unwrap();
    let mut odd = config(path);
    odd.network.extra_ca = vec![at("not-a.pem")];
    odd.network.allow = vec!["0.0.0.0/0".parse().unwrap()];
    let findings = look(odd).await;
    found(&findings, "data", Severity::Warning, "mode 0755");
    found(&findings, "operator_key", Severity::Problem, "mode 0644");
    found(
        &findings,
        "cache",
        Severity::Problem,
        "can be written by others",
    );
    found(
        &findings,
        "providers_directory",
        Severity::Note,
        "readme.txt",
    );
    found(
        &findings,
        "extra_ca",
        Severity::Problem,
        "no certificate in it",
    );
    found(
        &findings,
        "network.allow",
        Severity::Warning,
        "opens everything",
    );
    chmod(path, 0o700);
    chmod(&at("operator.key"), 0o600);

    // Another installation's key, and none.
    let key = std::fs::read(at("operator.key")).unwrap();
    let other = Host::on_sqlite().await.stop().await;
    std::fs::copy(other.path().join("operator.key"), at("operator.key")).unwrap();
    let findings = look(config(path)).await;
    found(
        &findings,
        "operator_key",
        Severity::Problem,
        "is not the key of",
    );
    std::fs::remove_file(at("operator.key")).unwrap();
    let findings = look(config(path)).await;
    found(&findings, "operator_key", Severity::Problem, "is missing");
    std::fs::write(at("operator.key"), key).unwrap();
    chmod(&at("operator.key"), 0o600);

    // A newer host was here: `user_version` stands at byte 60 of the file.
    let database = std::fs::read(at("anyport.db")).unwrap();
    let mut newer = database.clone();
    newer[60..64].copy_from_slice(&99u32.to_be_bytes());
    std::fs::write(at("anyport.db"), newer).unwrap();
    let findings = look(config(path)).await;
    found(&findings, "schema", Severity::Problem, "schema 99");

    // A disk that forgets.
    let mut damaged = database.clone();
    let middle = damaged.len() / 2;
    damaged[middle..].fill(0x5a);
    std::fs::write(at("anyport.db"), damaged).unwrap();
    let findings = look(config(path)).await;
    assert!(
        problems(&findings)
            .iter()
            .any(|finding| finding.check == "database"),
        "{findings:#?}"
    );

    // Another program's: `application_id` stands at byte 68.
    let mut foreign = database;
    foreign[68..72].copy_from_slice(&7u32.to_be_bytes());
    std::fs::write(at("anyport.db"), foreign).unwrap();
    let findings = look(config(path)).await;
    found(
        &findings,
        "database",
        Severity::Problem,
        "another program's",
    );

    let none = TempDir::new().unwrap();
    let findings = look(config(&none.path().join("data"))).await;
    found(&findings, "data", Severity::Note, "first start makes it");
    assert_eq!(problems(&findings), [] as [&Finding; 0]);
}
