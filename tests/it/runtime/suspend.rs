//! `suspend` hands over memory and changes nothing.

use super::stage::{Account, empty, patient};
use anyport::runtime::FaultKind;
use serde_json::{Value, json};

fn account(config: Value) -> Account {
    let mut account = Account::unstarted(patient(), empty());
    account.start(config).ok();
    account.line("something to keep").ok();
    account
}

#[track_caller]
fn fails(config: Value, kind: FaultKind, phrase: &str) {
    let mut account = account(config);
    let before = account.seen();
    let fault = account.suspend().unwrap_err();
    assert_eq!(fault.kind, kind, "{fault:?}");
    assert!(fault.message.contains(phrase), "{fault:?}");
    assert_eq!(account.seen(), before);
    account
        .line("after")
        .fails(FaultKind::Trap, "has failed before");
    assert!(account.suspend().is_err());
}

#[test]
fn gives_version_and_bytes_and_the_instance_goes_on() {
    let mut account = account(json!({}));
    let before = account.seen();
    assert_eq!(account.suspend().unwrap(), (1, vec![0]));
    assert_eq!(account.seen(), before);
    account.line("goes on").ok();
    account.suspend().unwrap();
}

#[test]
fn that_asks_for_something() {
    fails(
        json!({"suspend_changes": true}),
        FaultKind::Limit,
        "`suspend` called `kv.put`: it must change nothing",
    );
}

#[test]
fn with_too_much_to_say() {
    fails(
        json!({"suspend_big": true}),
        FaultKind::Limit,
        "a snapshot has at most 262144 bytes, this one has 1048576",
    );
}

#[test]
fn that_is_refused() {
    fails(
        json!({"refuse_suspend": true}),
        FaultKind::Err,
        "internal: refused to suspend, as configured",
    );
}
