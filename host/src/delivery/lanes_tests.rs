use super::*;
use crate::domain::AccountId;

const P: PartitionId = PartitionId(3);

fn event(offset: u64, conversation: Option<&str>) -> LoggedEvent {
    LoggedEvent {
        offset,
        account: AccountId::from_text("acc_1"),
        id: EventId::from_text(format!("evt_{offset}")),
        kind: "message.received".into(),
        conversation: conversation.map(str::to_owned),
        occurred_at: Timestamp(0),
        recorded_at: Timestamp(0),
        body: b"{}".to_vec(),
    }
}

fn push(lanes: &mut Lanes, offset: u64, conversation: &str) -> Option<u64> {
    let event = event(offset, Some(conversation));
    let key = Key::of(Ordering::Conversation, P, &event);
    lanes
        .push(key, Entry::fresh(P, event))
        .map(|entry| entry.offset)
}

fn take(lanes: &mut Lanes) -> Option<(Key, u64)> {
    lanes.take(false).map(|(key, entry)| (key, entry.offset))
}

fn offsets(rows: &[Entry]) -> Vec<u64> {
    rows.iter().map(|entry| entry.offset).collect()
}

#[test]
fn keys_always_include_the_account() {
    let with = event(7, Some("c"));
    let without = event(7, None);
    let text = |ordering, event: &LoggedEvent| Key::of(ordering, P, event).as_str().to_owned();
    assert_eq!(text(Ordering::Conversation, &with), "acc_1/c");
    assert_eq!(text(Ordering::Conversation, &without), "acc_1");
    assert_eq!(text(Ordering::Account, &with), "acc_1");
    assert_eq!(text(Ordering::None, &with), "");
    assert_eq!(Key::of(Ordering::None, P, &with), Key::Single(P, 7));
}

#[test]
fn a_key_has_one_in_flight_and_keeps_its_order() {
    let mut lanes = Lanes::default();
    for (offset, conversation) in [(1, "a"), (2, "a"), (3, "b")] {
        assert_eq!(push(&mut lanes, offset, conversation), None);
    }
    let (a, first) = take(&mut lanes).unwrap();
    let (b, second) = take(&mut lanes).unwrap();
    assert_eq!((first, second), (1, 3));
    assert_eq!(take(&mut lanes), None);
    lanes.settle(&b);
    assert_eq!(lanes.settle(&a).unwrap().offset, 1);
    assert_eq!(take(&mut lanes).unwrap(), (a.clone(), 2));
    lanes.settle(&a);
    assert!(lanes.lanes.is_empty());
}

#[test]
fn behind_a_retry_everything_of_the_key_is_a_detour() {
    let mut lanes = Lanes::default();
    for offset in 1..=3 {
        push(&mut lanes, offset, "a");
    }
    let (a, _) = take(&mut lanes).unwrap();
    let rows = lanes.retry(&a, Timestamp(50), Timestamp(10));
    assert_eq!(offsets(&rows), [1, 2, 3]);
    assert_eq!((rows[0].attempts, rows[0].since), (1, Some(Timestamp(10))));
    assert_eq!((rows[1].attempts, rows[1].since), (0, None));
    assert_eq!(push(&mut lanes, 4, "a"), Some(4));
    assert_eq!(push(&mut lanes, 5, "b"), None);
    assert_eq!(lanes.detours(), 4);

    assert_eq!(lanes.next_due(), Some(Timestamp(50)));
    lanes.wake(Timestamp(49));
    assert_eq!(take(&mut lanes).unwrap().1, 5);
    assert_eq!(take(&mut lanes), None);
    lanes.wake(Timestamp(50));
    assert_eq!(take(&mut lanes).unwrap(), (a.clone(), 1));
    // A second failure needs only the head's row.
    let rows = lanes.retry(&a, Timestamp(90), Timestamp(50));
    assert_eq!(offsets(&rows), [1]);
    assert_eq!((rows[0].attempts, rows[0].since), (2, Some(Timestamp(10))));
    lanes.wake(Timestamp(90));
    for offset in 1..=4 {
        assert_eq!(take(&mut lanes).unwrap(), (a.clone(), offset));
        assert!(lanes.settle(&a).unwrap().detour);
    }
    assert_eq!(lanes.detours(), 0);
    assert_eq!(take(&mut lanes), None);
}

#[test]
fn a_long_lane_spills() {
    let mut lanes = Lanes::default();
    for offset in 0..LANE_LENGTH as u64 {
        assert_eq!(push(&mut lanes, offset, "a"), None);
    }
    assert_eq!(push(&mut lanes, 900, "a"), Some(900));
    let (a, _) = take(&mut lanes).unwrap();
    lanes.settle(&a);
    assert_eq!(push(&mut lanes, 901, "a"), Some(901), "behind a detour");
    assert_eq!(push(&mut lanes, 902, "b"), None);
}

#[test]
fn rows_come_back_in_their_state() {
    let detour = |offset, attempts, next_at| Detour {
        endpoint: crate::domain::EndpointId::from_text("we_1"),
        partition: P,
        offset,
        key: "acc_1/a".into(),
        event: EventId::from_text(format!("evt_{offset}")),
        attempts,
        state: crate::domain::endpoint::DetourState::Blocked,
        next_at: Timestamp(next_at),
        since: Timestamp(1),
        last_error: None,
    };
    let mut lanes = Lanes::default();
    for detour in [detour(1, 2, 70), detour(2, 0, 0)] {
        let row = lanes.push(Key::of_detour(&detour), Entry::of_detour(&detour));
        assert!(row.is_none(), "it has one");
    }
    assert_eq!(push(&mut lanes, 3, "a"), Some(3));
    assert_eq!(take(&mut lanes), None);
    lanes.wake_all();
    assert_eq!(lanes.next_due(), None);
    let (a, first) = take(&mut lanes).unwrap();
    assert_eq!(first, 1);
    lanes.hold(&a, Timestamp(80));
    assert_eq!(take(&mut lanes), None);
    lanes.wake(Timestamp(80));
    assert_eq!(take(&mut lanes).unwrap().1, 1);
    lanes.settle(&a);
    assert_eq!(take(&mut lanes).unwrap().1, 2);
}

#[test]
fn the_alias_goes_after_the_event() {
    let mut lanes = Lanes::default();
    push(&mut lanes, 1, "a");
    push(&mut lanes, 2, "a");
    let (a, entry) = lanes.take(true).unwrap();
    assert!(!entry.alias);
    lanes.alias(&a);
    let (_, entry) = lanes.take(true).unwrap();
    assert!(entry.alias && entry.offset == 1);
    lanes.settle(&a);
    assert_eq!(take(&mut lanes).unwrap().1, 2);
}

#[test]
fn spilling_leaves_what_is_in_flight() {
    let mut lanes = Lanes::default();
    for (offset, conversation) in [(1, "a"), (2, "a"), (3, "b")] {
        push(&mut lanes, offset, conversation);
    }
    let (a, _) = take(&mut lanes).unwrap();
    let mut rows: Vec<u64> = lanes.spill().iter().map(|(_, row)| row.offset).collect();
    rows.sort_unstable();
    assert_eq!(rows, [2, 3]);
    assert!(!lanes.settle(&a).unwrap().detour);
    assert_eq!(lanes.detours(), 2);
}

#[test]
fn probes_prefer_what_was_never_tried() {
    let mut lanes = Lanes::default();
    push(&mut lanes, 1, "a");
    let (a, _) = take(&mut lanes).unwrap();
    lanes.retry(&a, Timestamp(1), Timestamp(0));
    lanes.wake(Timestamp(1));
    push(&mut lanes, 2, "b");
    assert!(lanes.has_ready());
    assert_eq!(lanes.take(true).unwrap().1.offset, 2);
    assert_eq!(lanes.take(true).unwrap().1.offset, 1);
    assert!(!lanes.has_ready());
}
