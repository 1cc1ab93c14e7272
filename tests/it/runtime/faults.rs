//! Turns that end badly: what the fault says, that nothing of the turn stays, that the instance
//! is not used again, and that its siblings notice nothing.

use super::stage::{Account, Played, empty, evil, patient, said};
use anyport::runtime::ledger::ColdKv;
use anyport::runtime::{Fault, FaultKind, Ledger};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

/// A line fails the turn. Everything that holds after any fault is looked at here.
#[track_caller]
fn fault(account: &mut Account, line: &str, kind: FaultKind, phrase: &str) -> Fault {
    let mut sibling = Account::new();
    sibling.line("before").ok();
    account.line("!put kept 1").ok();
    let before = account.seen();

    let played: Played = account.line(line);
    assert_eq!(
        played.subject.as_deref(),
        Some("line-2"),
        "the subject outlives the turn"
    );
    let fault = played.fails(kind, phrase);

    assert_eq!(account.seen(), before, "nothing of the turn stays");
    account
        .line("after")
        .fails(FaultKind::Trap, "has failed before");
    assert_eq!(account.seen(), before);
    assert_eq!(said(&sibling.line("after").ok()), "after");
    fault
}

#[test]
fn a_trap() {
    let fault = fault(
        &mut Account::new(),
        "!trap",
        FaultKind::Trap,
        "reached unreachable code",
    );
    assert!(
        fault.detail.contains("commands"),
        "the log has the frames: {}",
        fault.detail
    );
}

#[test]
fn a_panic_with_its_message_in_the_log_only() {
    let fault = fault(
        &mut Account::new(),
        "!panic the answer was 42",
        FaultKind::Trap,
        "it panicked",
    );
    assert!(fault.detail.contains("the answer was 42"), "{fault:?}");
    assert!(!fault.message.contains("42"), "{fault:?}");
}

#[test]
fn an_err_with_its_detail_in_the_log_only() {
    let fault = fault(
        &mut Account::new(),
        "!err row 7",
        FaultKind::Err,
        "internal: an error on command",
    );
    assert!(fault.detail.contains("row 7"), "{fault:?}");
    assert!(!fault.message.contains("row 7"), "{fault:?}");
}

#[test]
fn an_exit() {
    fault(
        &mut Account::new(),
        "!exit",
        FaultKind::Trap,
        "it ended itself with exit code",
    );
}

#[test]
fn a_stack_that_overflows() {
    fault(
        &mut Account::new(),
        "!recursion",
        FaultKind::Trap,
        "stack overflowed",
    );
}

#[test]
fn memory_without_end() {
    let limit = evil().limits.memory_bytes;
    assert_eq!(limit, 16 << 20, "what its manifest asks for");
    fault(
        &mut Account::new(),
        "!alloc",
        FaultKind::Limit,
        &format!("its memory would grow above the limit of {limit} bytes"),
    );
}

#[test]
fn a_loop_without_end() {
    let mut account = Account::with_limits(evil().limits);
    fault(
        &mut account,
        "!loop",
        FaultKind::Limit,
        "it used more than 100 ms of CPU time in one turn",
    );
}

#[test]
fn the_neighbour_of_a_loop_goes_on_meanwhile() {
    let (begun, looping) = std::sync::mpsc::channel();
    let mut account = Account::with_limits(evil().limits);
    let endless = std::thread::spawn(move || {
        begun.send(()).unwrap();
        account.line("!loop")
    });
    let mut neighbour = Account::new();
    looping.recv().unwrap();
    for number in 0..100 {
        let text = format!("line {number}");
        assert_eq!(said(&neighbour.line(&text).ok()), text);
    }
    let fault = endless.join().unwrap().result.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Limit);
}

/// A storage that takes several budgets of a turn for one read, in which the guest uses no CPU.
struct Slow {
    budgets: u32,
}

impl ColdKv for Slow {
    fn get(&self, _: &str) -> Result<Option<Vec<u8>>, String> {
        let begun = Instant::now();
        let budget = std::time::Duration::from_millis(u64::from(evil().limits.cpu_ms));
        while begun.elapsed() < budget * self.budgets {
            std::thread::park_timeout(budget);
        }
        Ok(None)
    }
    fn scan(&self, _: &str, _: Option<&str>, _: u32) -> Result<Vec<(String, Vec<u8>)>, String> {
        Ok(Vec::new())
    }
}

/// The budget is CPU time. A turn that takes long because the machine has no time for it, or
/// because storage is slow, is none of the guest's faults.
#[test]
fn wall_time_is_no_fault() {
    let ledger = Ledger::new(None, 0, Vec::new(), Arc::new(Slow { budgets: 4 }));
    let mut account = Account::with(evil().limits, ledger);
    let effects = account.line("!burn 200000").ok();
    assert_eq!(said(&effects), "!burn 200000");
}

struct Broken;

impl ColdKv for Broken {
    fn get(&self, _: &str) -> Result<Option<Vec<u8>>, String> {
        Err("the disk is gone".into())
    }
    fn scan(&self, _: &str, _: Option<&str>, _: u32) -> Result<Vec<(String, Vec<u8>)>, String> {
        Err("the disk is gone".into())
    }
}

#[test]
fn storage_that_cannot_be_read_is_not_the_providers_fault() {
    let ledger = Ledger::new(None, 0, Vec::new(), Arc::new(Broken));
    let mut account = Account::unstarted(patient(), ledger);
    let fault = account
        .start(json!({}))
        .fails(FaultKind::Unreadable, "the disk is gone");
    assert!(!fault.kind.is_providers());
    assert!(FaultKind::Trap.is_providers());
}

#[test]
fn a_start_that_is_refused() {
    let mut account = Account::unstarted(patient(), empty());
    account
        .start(json!({"refuse_start": true}))
        .fails(FaultKind::Err, "internal: refused to start, as configured");
    account
        .start(json!({}))
        .fails(FaultKind::Trap, "has failed before");
}

#[test]
fn a_start_that_traps() {
    let mut account = Account::unstarted(patient(), empty());
    account
        .start(json!({"trap_in_start": true}))
        .fails(FaultKind::Trap, "unreachable code");
}

#[test]
fn a_trap_on_the_third_call() {
    let mut account = Account::unstarted(patient(), empty());
    account.start(json!({"trap_on_call": 3})).ok();
    assert_eq!(said(&account.line("first").ok()), "first");
    assert_eq!(said(&account.line("second").ok()), "second");
    account
        .line("third")
        .fails(FaultKind::Trap, "unreachable code");
}
