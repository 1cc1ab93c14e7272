//! Limits and rules of the contract: each, broken, fails the turn with a text that names it.

use super::stage::{Account, NoCold, evil, patient, settings};
use crate::support::guests;
use anyport::runtime::limits::Limits;
use anyport::runtime::turn::NetworkEffect;
use anyport::runtime::{Engine, EngineSettings, FaultKind, Ledger};
use std::sync::Arc;

/// The line breaks a limit: the text says which, and the ledger is as before.
#[track_caller]
fn breaks(mut account: Account, line: &str, phrase: &str) {
    let before = account.seen();
    account.line(line).fails(FaultKind::Limit, phrase);
    assert_eq!(account.seen(), before);
}

#[test]
fn host_calls() {
    let limits = Limits {
        host_calls: 1_000,
        ..patient()
    };
    Account::with_limits(limits).line("!hostcalls 900").ok();
    breaks(
        Account::with_limits(limits),
        "!hostcalls 1001",
        "it made more than 1000 host calls in one turn",
    );
}

#[test]
fn output_in_pieces() {
    let limits = Limits {
        output_items: 100,
        ..patient()
    };
    breaks(
        Account::with_limits(limits),
        "!timers",
        "it asked for more than 100 things in one turn",
    );
}

#[test]
fn requests_that_are_not_answered() {
    breaks(
        Account::new(),
        "!https 65",
        "an account has at most 64 requests that are not answered",
    );
    let effects = Account::new().line("!https 64").ok();
    assert_eq!(effects.http.len(), 64);
    assert!(effects.is_durable());
}

#[test]
fn output_in_bytes() {
    let phrase = "it put out more than 4194304 bytes in one turn";
    breaks(Account::new(), "!bigout", phrase);
    breaks(Account::signed_in("hunter22"), "!bigframes", phrase);
    breaks(Account::new(), "!longfailures", phrase);
}

/// What the guest pays with a few bytes and the host would have to hold thousandfold.
#[test]
fn one_call_with_more_than_the_guest_has() {
    let mut account = Account::new();
    account
        .line("!amplify")
        .fails(FaultKind::Trap, "fuel allocated for hostcalls");
}

#[test]
fn kv_above_its_quota() {
    assert_eq!(
        evil().limits.kv_bytes,
        1 << 20,
        "what its manifest asks for"
    );
    Account::new().line("!kvquota 3").ok();
    breaks(
        Account::new(),
        "!kvquota 5",
        "quota-exceeded: kv would hold",
    );
}

#[test]
fn an_account_above_its_quota_may_shrink_but_not_grow() {
    let entries = [("lines", vec![0; 8]), ("much", vec![0; 2 << 20])]
        .map(|(key, value)| (key.to_owned(), value));
    let held = entries
        .iter()
        .map(|(key, value)| (key.len() + value.len()) as u64)
        .sum();
    let above = || {
        let entries = Some(entries.to_vec());
        Account::with(
            patient(),
            Ledger::new(entries, held, Vec::new(), Arc::new(NoCold)),
        )
    };
    above().line("nothing grows").ok();
    above().line("!put much less").ok();
    breaks(above(), "!put more 1", "quota-exceeded");
}

#[test]
fn keys_and_values_of_kv() {
    breaks(
        Account::new(),
        "!kvkey",
        "a key of kv has at most 512 bytes, this one has 513",
    );
    breaks(
        Account::new(),
        "!kvvalue",
        "a value of kv has at most 262144 bytes, this one has 262145",
    );
    // More than a page is no fault: it gets a page.
    Account::new().line("!kvscan").ok();
}

#[test]
fn labels_contexts_and_randomness() {
    breaks(
        Account::new(),
        "!label",
        "a label has 1 to 128 bytes, this one has 129",
    );
    breaks(
        Account::new(),
        "!context",
        "a timer's context has at most 4096 bytes, this one has 4097",
    );
    breaks(
        Account::new(),
        "!random",
        "`turn.random` gives at most 4096 bytes a call, not 4097",
    );
}

#[test]
fn timers_and_connections() {
    breaks(
        Account::new(),
        "!timers 257",
        "an account holds at most 256 timers",
    );
    breaks(
        Account::new(),
        "!connections 9",
        "an account holds at most 8 connections",
    );
    let mut account = Account::new();
    let effects = account.line("!connections 8").ok();
    let opened = |effect: &NetworkEffect| matches!(effect, NetworkEffect::Open { .. });
    assert_eq!(
        effects
            .network
            .iter()
            .filter(|effect| opened(effect))
            .count(),
        8
    );
    let again = account.line("!connections 8").ok();
    assert!(
        again.network.is_empty(),
        "they are there already: {again:?}"
    );
}

#[test]
fn files_by_piece_and_by_label() {
    for (command, rule) in [
        (
            "!blobappend",
            "`blobs.append` takes at most 1048576 bytes a call",
        ),
        (
            "!blobread",
            "`blobs.submit-read` reads at most 1048576 bytes",
        ),
        (
            "!blobless",
            "no blob is made under the label `never-created`",
        ),
        ("!blobs 9", "an account makes at most 8 blobs at once"),
    ] {
        breaks(Account::new(), command, rule);
    }
}

#[test]
fn an_emission_that_is_not_json() {
    breaks(Account::new(), "!bad-json", "JSON");
}

#[test]
fn a_secret_that_the_manifest_does_not_name() {
    breaks(
        Account::new(),
        "!secret-unnamed",
        "the manifest names no secret `no-such-name`",
    );
}

#[test]
fn as_many_instances_as_the_host_holds() {
    let engine = Engine::new(EngineSettings {
        max_instances: 8,
        ..settings()
    })
    .unwrap();
    let provider = engine.check(guests::evil()).unwrap();
    let held: Vec<_> = (0..8)
        .map(|_| provider.instantiate(&provider.limits).unwrap())
        .collect();
    let fault = provider.instantiate(&provider.limits).err().unwrap();
    assert_eq!(fault.kind, FaultKind::NoRoom);
    assert!(fault.message.contains("runtime.max_instances"), "{fault:?}");
    assert!(!fault.kind.is_providers());
    drop(held);
    provider.instantiate(&provider.limits).unwrap();
}

#[test]
fn what_a_manifest_asks_for_is_granted_up_to_the_operators_ceiling() {
    let engine = Engine::new(EngineSettings {
        ceiling: Limits {
            memory_bytes: 8 << 20,
            cpu_ms: 50,
            kv_bytes: 4096,
            ..Limits::default()
        },
        ..settings()
    })
    .unwrap();
    let granted = engine.check(guests::evil()).unwrap().limits;
    assert_eq!(
        (granted.memory_bytes, granted.cpu_ms, granted.kv_bytes),
        (8 << 20, 50, 4096)
    );
}
