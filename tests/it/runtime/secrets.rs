//! Secrets: named by the manifest, revealed by grant, audited, and in no text that leaves the
//! runtime.

use super::stage::{Account, logged};
use anyport::runtime::{Fault, FaultKind};

const PASSWORD: &str = "correct horse battery";

/// Runs lines and returns all that was written anywhere: the log and the faults.
fn written(account: &mut Account, lines: &[&str]) -> (String, Vec<Option<Fault>>) {
    let (mut log, faults) = logged(|| {
        lines
            .iter()
            .map(|line| account.line(line).result.err())
            .collect::<Vec<_>>()
    });
    for fault in faults.iter().flatten() {
        log.push(fault.message.clone());
        log.push(fault.detail.clone());
    }
    (log.join("\n"), faults)
}

#[track_caller]
fn hides(lines: &[&str]) -> String {
    let mut account = Account::signed_in(PASSWORD);
    let (text, _) = written(&mut account, lines);
    assert!(text.contains("[secret]"), "{text}");
    for part in ["correct", "horse", "battery"] {
        assert!(!text.contains(part), "{part} in {text}");
    }
    text
}

#[test]
fn in_no_log_line_and_no_fault() {
    let text = hides(&["!secret"]);
    assert!(text.contains("internal: the secret is [secret]"), "{text}");
    assert!(text.contains("secret=[secret]"), "{text}");
}

#[test]
fn in_no_panic() {
    hides(&["!secret-print"]);
}

#[test]
fn not_when_an_earlier_turn_kept_it() {
    hides(&["!secret-keep", "!secret-tell"]);
}

#[test]
fn not_when_it_was_replaced_since() {
    hides(&["!secret-replaced"]);
}

#[test]
fn not_the_half_that_the_end_of_a_line_leaves() {
    let mut account = Account::signed_in(PASSWORD);
    let (text, _) = written(&mut account, &["!secret-long"]);
    assert!(text.contains("xxxx[sec"), "{text}");
    assert!(!text.contains("corr"), "{text}");
}

#[test]
fn nor_what_a_person_typed() {
    let mut account = Account::new();
    account.typed = vec![b"one time 4711".to_vec().into()];
    let fault = account
        .line("!panic they typed one time 4711")
        .fails(FaultKind::Trap, "it panicked");
    assert!(fault.detail.contains("they typed [secret]"), "{fault:?}");
    assert!(!fault.detail.contains("4711"), "{fault:?}");
}

#[test]
fn reading_one_is_audited_once_a_turn_by_name() {
    let mut account = Account::signed_in(PASSWORD);
    let (lines, played) = logged(|| account.line("!secret-keep"));
    assert_eq!(played.revealed, ["password"]);
    let audit: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("audit:"))
        .collect();
    let [line] = &audit[..] else {
        panic!("one line: {lines:?}");
    };
    assert!(
        line.contains("secret=\"password\"") && line.contains("account=acc_1"),
        "{line}"
    );
}

#[test]
fn reveal_is_refused_without_a_grant() {
    let mut account = Account::signed_in(PASSWORD);
    let played = account.line("!reveal-refused");
    assert!(played.revealed.is_empty());
    played.fails(
        FaultKind::Err,
        "denied: the manifest does not grant `secrets.reveal` of `unreadable`",
    );
}
