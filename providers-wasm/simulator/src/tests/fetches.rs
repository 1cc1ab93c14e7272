//! Media on their way down.

use anyport_simulator::transfer::{Fetch, Piece};

use super::media::*;
use super::*;

pub fn piece(state: &mut State, medium: &str, offset: u64, total: u64, data: &[u8]) {
    hear(
        state,
        &ServerFrame::Piece(Piece {
            medium: medium.to_owned(),
            offset,
            total,
            mime: "image/png".to_owned(),
            filename: Some("a.png".to_owned()),
            data: data.to_vec(),
        }),
    );
}

fn asked(medium: &str, offset: u64) -> [ClientFrame; 1] {
    [ClientFrame::Fetch(Fetch {
        medium: medium.to_owned(),
        offset,
        length: limits::PIECE_BYTES,
    })]
}

pub fn fetch(state: &mut State, request: &str, medium: &str) {
    state
        .fetch(request.to_owned(), medium.to_owned())
        .expect("it is taken");
}

#[test]
fn a_medium_comes_down_in_pieces() {
    let mut state = online();
    fetch(&mut state, "f", "m");
    fetch(&mut state, "g", "empty");
    assert_eq!(frames(), asked("m", 0), "one at a time");
    piece(&mut state, "m", 0, 8, b"12345");
    assert_eq!(frames(), asked("m", 5));
    // What was not asked for changes nothing.
    piece(&mut state, "m", 0, 8, b"12345");
    piece(&mut state, "empty", 5, 8, b"678");
    assert_eq!((frames(), replies()), (vec![], vec![]));
    piece(&mut state, "m", 5, 8, b"678");
    let came = replies();
    assert_eq!(came, [reply("with-media", "f", &came[0].2)]);
    let blob = look(|effects| effects.blobs[&came[0].2].clone());
    assert_eq!(blob.bytes, b"12345678");
    assert_eq!(blob.mime.as_deref(), Some("image/png"));
    assert_eq!(blob.filename.as_deref(), Some("a.png"));
    assert_eq!(frames(), asked("empty", 0));
    piece(&mut state, "empty", 0, 0, b"");
    assert_eq!(replies()[0].0, "with-media");
    assert!(!watches());
}

#[test]
fn a_medium_that_cannot_be_had_leaves_nothing_behind() {
    let mut state = online();
    fetch(&mut state, "f", "m");
    fetch(&mut state, "g", "n");
    piece(&mut state, "m", 0, 8, b"12345");
    frames();
    let deny = |state: &mut State, medium: &str| {
        let medium = medium.to_owned();
        let error = Fault::new("not-found", "there is no such medium");
        hear(state, &ServerFrame::FetchDenied { medium, error });
    };
    deny(&mut state, "other");
    assert_eq!(replies(), []);
    deny(&mut state, "m");
    assert_eq!(replies(), [reply("failed", "f", "NotFound NotDone")]);
    assert!(look(|effects| effects.making.is_empty()));
    assert_eq!(frames(), asked("n", 0));
    piece(&mut state, "n", 0, 8, b"");
    assert_eq!(replies(), [reply("failed", "g", "Unavailable NotDone")]);
    for number in 0..=16 {
        fetch(&mut state, &number.to_string(), "m");
    }
    assert_eq!(replies(), [reply("failed", "16", "Unavailable NotDone")]);
}

#[test]
fn a_fetch_waits_a_while_for_the_link() {
    let mut state = online();
    fetch(&mut state, "f", "m");
    piece(&mut state, "m", 0, 8, b"12345");
    frames();
    // From the loss on, not from each attempt to connect after it.
    for (lost, watched) in [("the link", true), ("an attempt", false)] {
        look(|effects| effects.timers.clear());
        close(&mut state);
        assert_eq!(watches(), watched, "{lost}");
    }
    let snapshot = state.suspend().expect("it is handed over");
    let mut state = start(Some(snapshot), &[]);
    fetch(&mut state, "g", "n");
    assert_eq!((frames(), replies()), (vec![], vec![]));
    state.wake(Wake::Reconnect).expect("a wake never fails");
    open(&mut state);
    assert!(frames().contains(&asked("m", 5)[0]));
    close(&mut state);
    stall(&mut state);
    let wanted = ["f", "g"].map(|request| reply("failed", request, "Unavailable NotDone"));
    assert_eq!(replies(), wanted);
    assert!(look(|effects| effects.making.is_empty()));
}

#[test]
fn a_channel_that_does_not_answer_is_not_waited_for() {
    let mut state = online();
    fetch(&mut state, "f", "m");
    fetch(&mut state, "g", "n");
    frames();
    stall(&mut state);
    assert_eq!(replies(), [reply("failed", "f", "Unavailable NotDone")]);
    assert_eq!(frames(), asked("n", 0));
    piece(&mut state, "n", 0, 1, b"1");
    assert_eq!(replies()[0].0, "with-media");
    // An upload goes on, on another connection.
    blob("b", PIECE);
    send(&mut state, "s", "echo", &["b"]);
    stall(&mut state);
    assert!(look(|effects| effects
        .timers
        .contains(&RECONNECT.to_owned())));
    state.wake(Wake::Reconnect).expect("a wake never fails");
    open(&mut state);
    frames();
    has_all(&mut state, "s/0", "f-1");
    assert_eq!(sends(), [sent("s", &["f-1"])]);
}
