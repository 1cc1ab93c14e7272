//! WASI is closed: time and chance are the turn's, and there is nothing else.

use super::stage::Account;
use anyport::domain::Timestamp;
use anyport::runtime::FaultKind;
use serde_json::Value;

/// The guest fails the turn if it finds anything.
#[test]
fn no_files_environment_sockets_or_input() {
    let mut account = Account::new();
    for line in ["!files", "!environment", "!sockets", "!stdin"] {
        let played = account.line(line);
        assert!(played.result.is_ok(), "{line}: {:?}", played.result);
    }
}

#[test]
fn sleeping_fails_the_turn_at_once() {
    // An hour; the test would never end if it slept.
    Account::new().line("!sleep 3600000").fails(
        FaultKind::Limit,
        "it tried to sleep: a turn never waits, set a timer instead",
    );
}

fn moment(account: &mut Account) -> Value {
    let effects = account.line("!moment").ok();
    let custom = effects
        .events
        .iter()
        .find(|event| event.data.get().contains("more_random"))
        .unwrap_or_else(|| panic!("{:?}", effects.events));
    let data: Value = serde_json::from_str(custom.data.get()).unwrap();
    find(&data).unwrap_or_else(|| panic!("{data:#}")).clone()
}

/// The object that the guest told, wherever the event has it.
fn find(value: &Value) -> Option<&Value> {
    match value {
        Value::Object(map) if map.contains_key("more_random") => Some(value),
        Value::Object(map) => map.values().find_map(find),
        _ => None,
    }
}

#[test]
fn the_clock_stands_still_for_a_turn() {
    let mut account = Account::new();
    for now in [1_800_000_000_000, 1_800_000_000_123] {
        account.now = Timestamp(now);
        let moment = moment(&mut account);
        for name in ["now", "later", "system_ms"] {
            assert_eq!(moment[name], now, "{name} of {moment}");
        }
        assert_eq!(moment["elapsed_ns"], 0);
    }
}

/// Also when everything else is the same: a turn that is run again draws anew.
#[test]
fn each_turn_has_its_own_randomness() {
    let first = moment(&mut Account::new());
    let again = moment(&mut Account::new());
    let mut account = Account::new();
    let (third, fourth) = (moment(&mut account), moment(&mut account));
    let mut drawn: Vec<String> = [first.clone(), again.clone(), third, fourth]
        .iter()
        .flat_map(|moment| {
            [
                moment["random"].to_string(),
                moment["more_random"].to_string(),
            ]
        })
        .collect();
    drawn.sort();
    drawn.dedup();
    assert_eq!(drawn.len(), 8, "{drawn:?}");
    // What only has to be hard to guess from outside is the same in all: turns can be compared.
    assert_eq!(first["map_order"], again["map_order"]);
}
