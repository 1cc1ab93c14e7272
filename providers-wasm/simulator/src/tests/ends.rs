//! What becomes of media when the instance goes, and when the session ends.

use super::fetches::{fetch, piece};
use super::media::*;
use super::*;
use simulator_mapping::recorder::reads;

#[test]
fn a_new_instance_goes_on_with_an_upload() {
    // While the channel is to answer, and while the host reads.
    for reading in [false, true] {
        let mut state = online();
        blob("b", PIECE * 2);
        send(&mut state, "s", "echo", &["b"]);
        has(&mut state, "s/0", 0);
        give_read(&mut state);
        if reading {
            has(&mut state, "s/0", PIECE);
            reads();
        }
        let snapshot = state.suspend().expect("it is handed over");
        assert!(snapshot.bytes.len() < 2_000, "no bytes of media are in it");
        frames();
        let mut state = start(Some(snapshot.clone()), &[MAIN]);
        if !reading {
            has(&mut state, "s/0", PIECE);
        }
        give_read(&mut state);
        assert_eq!(told(), ("s/0".to_owned(), PIECE, PIECE as usize));
        has_all(&mut state, "s/0", "f-1");
        assert_eq!(sends(), [sent("s", &["f-1"])]);
        // Without its connection it asks.
        let mut state = start(Some(snapshot), &[]);
        open(&mut state);
        let asks = |frame: &ClientFrame| matches!(frame, ClientFrame::Upload(piece) if piece.data.is_empty());
        assert!(frames().iter().any(asks));
    }
}

#[test]
fn whatever_waits_fits_into_a_snapshot() {
    let mut state = online();
    blob("b", 1);
    fetch(&mut state, "long", &"m".repeat(limits::ID_BYTES + 1));
    assert_eq!(replies(), [reply("failed", "long", "NotFound NotDone")]);
    let (id, text) = (
        "x".repeat(36),
        "\u{1f600}".repeat(limits::DESCRIPTION_CHARS),
    );
    let picture = Ask::SetGroupInfo {
        id: "g".repeat(limits::ID_BYTES),
        name: Some("\u{1f600}".repeat(limits::NAME_CHARS)),
        description: Some(text),
        avatar: None,
    };
    for number in 0..20 {
        state
            .ask_with_picture(format!("{number}{id}"), "b".to_owned(), picture.clone())
            .expect("it is answered");
        fetch(
            &mut state,
            &format!("f{number}{id}"),
            &"m".repeat(limits::ID_BYTES),
        );
    }
    for number in 0..limits::PAGE * 10 {
        let blobs: &[&str] = if number < 100 { &["b"] } else { &[] };
        send(
            &mut state,
            &format!("s{number}{id}"),
            &"c".repeat(200),
            blobs,
        );
        let read = Ask::Contact { id: "a".to_owned() };
        state
            .ask(format!("a{number}{id}"), read)
            .expect("it is answered");
    }
    let refused = replies();
    assert!(
        refused.iter().any(|reply| reply.0 == "failed"),
        "there is an end"
    );
    let snapshot = state.suspend().expect("it is handed over");
    let bytes = snapshot.bytes.len();
    assert!((100_000..=256 * 1024).contains(&bytes), "{bytes}");
    start(Some(snapshot), &[MAIN]);
}

#[test]
fn a_snapshot_from_before_media_can_be_read() {
    let mut state = online();
    close(&mut state);
    send(&mut state, "s", "echo", &[]);
    let snapshot = state.suspend().expect("it is handed over");
    let mut json: serde_json::Value = serde_json::from_slice(&snapshot.bytes).expect("JSON");
    let fields = json.as_object_mut().expect("an object");
    assert!(fields.remove("uploads").is_some() && fields.remove("fetches").is_some());
    let waiting = json["outbox"]["queued"][0]
        .as_object_mut()
        .expect("it waits");
    assert!(waiting.remove("conversation").is_some() && waiting.remove("media").is_some());
    let bytes = serde_json::to_vec(&json).expect("JSON");
    let mut state = start(Some(Snapshot { bytes, ..snapshot }), &[]);
    state.wake(Wake::Reconnect).expect("a wake never fails");
    open(&mut state);
    assert_eq!(sends(), [sent("s", &[])]);
}

#[test]
fn a_sign_out_ends_everything() {
    let mut state = online();
    blob("b", PIECE);
    send(&mut state, "s", "echo", &["b"]);
    let picture = Ask::SetProfile {
        name: None,
        about: None,
        avatar: None,
    };
    state
        .ask_with_picture("p".to_owned(), "b".to_owned(), picture)
        .expect("it is taken");
    state
        .fetch("f".to_owned(), "f-1".to_owned())
        .expect("it is taken");
    piece(&mut state, "f-1", 0, 10, b"12345");
    replies();
    state.sign_out("out".to_owned()).expect("it is asked");
    hear(&mut state, &ServerFrame::SignedOut {});
    let mut ended = replies();
    ended.sort();
    let failed = |request| reply("failed", request, "Unauthenticated NotDone");
    let wanted = [
        reply("done", "out", ""),
        failed("f"),
        failed("p"),
        failed("s"),
    ];
    assert_eq!(ended, wanted);
    assert!(look(|effects| effects.making.is_empty()) && !watches());
    for refused in ["g", "t"] {
        match refused {
            "g" => state.fetch(refused.to_owned(), "f-1".to_owned()),
            _ => state.send(refused.to_owned(), message("echo", vec![image("b")])),
        }
        .expect("it is answered");
        assert_eq!(replies(), [failed(refused)]);
    }
}
