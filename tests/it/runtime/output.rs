//! What a guest logs and prints: bounded, counted, and written also when the turn fails.

use super::stage::{Account, logged, patient};
use anyport::runtime::FaultKind;
use anyport::runtime::limits::Limits;

fn of_provider(lines: &[String]) -> Vec<&String> {
    lines
        .iter()
        .filter(|line| line.split(' ').nth(1) == Some("provider:"))
        .collect()
}

#[test]
fn a_log_flood_leaves_some_lines_and_a_count() {
    let mut account = Account::new();
    let (lines, _) = logged(|| account.line("!logflood 1000").ok());
    let written = of_provider(&lines);
    assert_eq!(written.len(), patient().log_lines as usize);
    for line in &written {
        assert!(
            line.contains("account=acc_1") && line.contains("provider=\"evil\""),
            "{line}"
        );
        assert!(
            line.len() < patient().log_line_bytes + 200,
            "{}",
            line.len()
        );
    }
    let suppressed: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("were left out"))
        .collect();
    assert_eq!(suppressed.len(), 1);
    assert!(suppressed[0].contains("lines=936"), "{suppressed:?}");

    let (lines, _) = logged(|| account.line("!logflood 1").ok());
    assert_eq!(of_provider(&lines).len(), 1, "the next turn may log again");
}

#[test]
fn a_log_flood_of_a_turn_that_fails_is_bounded_too() {
    let mut account = Account::with_limits(Limits {
        host_calls: 500,
        ..patient()
    });
    let (lines, _) = logged(|| {
        account
            .line("!logflood")
            .fails(FaultKind::Limit, "host calls")
    });
    assert_eq!(of_provider(&lines).len(), patient().log_lines as usize);
}

#[test]
fn standard_output_is_the_accounts_log_and_bounded() {
    let mut account = Account::new();
    let (lines, _) = logged(|| account.line("!stdout 10000").ok());
    let [line] = &of_provider(&lines)[..] else {
        panic!("one entry: {lines:?}");
    };
    assert!(line.contains("flood 0\nflood 1\n"), "{line}");
    assert!(line.len() < 9_000, "{}", line.len());

    let (lines, _) = logged(|| account.line("quiet").ok());
    assert!(of_provider(&lines).is_empty(), "{lines:?}");
}
