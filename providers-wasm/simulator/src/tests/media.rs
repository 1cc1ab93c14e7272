//! Media on their way up, and the words in which tests speak of them.

use anyport_sdk::model::{Attachment, Media, Text};
use anyport_simulator::model::Medium;
use anyport_simulator::transfer::{Upload, Uploaded};
use simulator_mapping::recorder::{Blob, reads};

use super::*;
use crate::exports::reactor::{BlobRange, Fired};
use crate::fetches::STALLED;
use crate::uploads::READ;

pub const PIECE: u64 = limits::PIECE_BYTES as u64;

pub type Reply = (String, String, String);

pub fn reply(name: &str, request: &str, with: &str) -> Reply {
    (name.to_owned(), request.to_owned(), with.to_owned())
}

/// A blob of so many bytes, each known by where it is.
pub fn blob(id: &str, length: u64) -> Vec<u8> {
    let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
    let blob = Blob {
        bytes: bytes.clone(),
        mime: Some("image/png".to_owned()),
        filename: Some("found.png".to_owned()),
    };
    look(|effects| effects.blobs.insert(id.to_owned(), blob));
    bytes
}

pub fn image(blob: &str) -> Attachment {
    Attachment {
        blob: Some(blob.to_owned()),
        width: Some(640),
        ..Attachment::new("image")
    }
}

pub fn message(conversation: &str, attachments: Vec<Attachment>) -> Outgoing {
    let content = if attachments.is_empty() {
        Content::plain("hello")
    } else {
        let caption = Text {
            body: "look".to_owned(),
            format: "plain".to_owned(),
            mentions: Vec::new(),
        };
        Content::Media(Media {
            attachments,
            caption: Some(caption),
        })
    };
    Outgoing {
        conversation: conversation.to_owned(),
        content,
        quote: None,
        ..outgoing(None)
    }
}

pub fn send(state: &mut State, token: &str, conversation: &str, blobs: &[&str]) {
    let attachments = blobs.iter().map(|blob| image(blob)).collect();
    state
        .send(token.to_owned(), message(conversation, attachments))
        .expect("it is taken");
}

pub fn has(state: &mut State, upload: &str, received: u64) {
    let upload = upload.to_owned();
    let uploaded = Uploaded {
        upload,
        received,
        medium: None,
    };
    hear(state, &ServerFrame::Uploaded(uploaded));
}

fn medium(id: &str) -> Medium {
    Medium {
        id: id.to_owned(),
        size: 1,
        mime: "image/png".to_owned(),
        filename: None,
        sha256: String::new(),
    }
}

pub fn has_all(state: &mut State, upload: &str, id: &str) {
    let uploaded = Uploaded {
        upload: upload.to_owned(),
        received: 1,
        medium: Some(medium(id)),
    };
    hear(state, &ServerFrame::Uploaded(uploaded));
}

fn wake_read(state: &mut State, outcome: Result<Vec<u8>, Error>) {
    let name = READ.to_owned();
    state
        .wake(Wake::Blob(BlobRange { name, outcome }))
        .expect("a wake never fails");
}

/// The host reads what it was asked to.
pub fn give_read(state: &mut State) {
    let asked = reads();
    let [(name, blob, offset, length)] = asked.as_slice() else {
        panic!("one read at a time: {asked:?}");
    };
    assert_eq!(name, READ);
    let (start, end) = (*offset as usize, *offset as usize + *length as usize);
    let bytes = look(|effects| effects.blobs[blob].bytes[start..end].to_vec());
    wake_read(state, Ok(bytes));
}

pub fn stall(state: &mut State) {
    let fired = Fired {
        name: STALLED.to_owned(),
        context: Vec::new(),
    };
    state.wake(Wake::Timer(fired)).expect("a wake never fails");
}

pub fn watches() -> bool {
    look(|effects| effects.timers.contains(&STALLED.to_owned()))
}

/// The one piece that was said.
fn said() -> Upload {
    match frames().as_slice() {
        [ClientFrame::Upload(piece)] => piece.clone(),
        other => panic!("{other:?}"),
    }
}

/// Upload, offset and length of the piece.
pub fn told() -> (String, u64, usize) {
    let piece = said();
    (piece.upload, piece.offset, piece.data.len())
}

/// Token and references of the sends.
pub fn sends() -> Vec<(String, Vec<String>)> {
    use anyport_simulator::model::Content;
    let references = |content: &Content| match content {
        Content::Media(media) => {
            let references = media.attachments.iter();
            references.filter_map(|one| one.reference.clone()).collect()
        }
        _ => Vec::new(),
    };
    frames()
        .iter()
        .filter_map(|frame| match frame {
            ClientFrame::Send(sent) => Some((sent.token.clone(), references(&sent.content))),
            _ => None,
        })
        .collect()
}

pub fn sent(token: &str, references: &[&str]) -> (String, Vec<String>) {
    let references = references.iter().map(|one| (*one).to_owned());
    (token.to_owned(), references.collect())
}

#[test]
fn a_medium_goes_up_in_pieces_before_its_message() {
    let mut state = online();
    let length = PIECE * 2 + 5;
    let bytes = blob("b", length);
    send(&mut state, "s", "echo", &["b"]);
    assert_eq!(replies(), [reply("deferred", "s", "")]);
    let asked = said();
    assert_eq!(
        (asked.offset, asked.total, asked.data.len()),
        (0, length, 0)
    );
    assert_eq!(asked.mime.as_deref(), Some("image/png"));
    assert_eq!(asked.filename.as_deref(), Some("found.png"));
    let mut came = Vec::new();
    while (came.len() as u64) < length {
        has(&mut state, "s/0", came.len() as u64);
        assert_eq!(frames(), [], "nothing before it is read");
        give_read(&mut state);
        let piece = said();
        assert_eq!(piece.offset, came.len() as u64);
        assert!(piece.data.len() as u64 <= PIECE);
        came.extend(piece.data);
    }
    assert!(came == bytes);
    assert_eq!(replies(), [], "nothing before the channel has it");
    assert!(watches());
    has_all(&mut state, "s/0", "f-1");
    assert_eq!(replies(), [reply("dispatched", "s", "")]);
    match frames().as_slice() {
        [ClientFrame::Send(sent)] => {
            use anyport_simulator::model::Content;
            let Content::Media(media) = &sent.content else {
                panic!("{sent:?}");
            };
            let one = &media.attachments[0];
            assert_eq!(one.reference.as_deref(), Some("f-1"));
            assert_eq!(one.kind, "image");
            assert_eq!((one.size, one.width), (Some(length), Some(640)));
            assert_eq!(one.mime.as_deref(), Some("image/png"));
            assert_eq!(one.filename.as_deref(), Some("found.png"));
            let caption = media.caption.as_ref().expect("it has one");
            assert_eq!(caption.body, "look");
        }
        other => panic!("{other:?}"),
    }
    assert!(!watches());
    let accepted = Accepted {
        token: "s".to_owned(),
        message: "m".to_owned(),
        sent_at: 1,
        repeated: false,
    };
    hear(&mut state, &ServerFrame::Accepted(accepted));
    assert_eq!(replies(), [reply("sent", "s", "m")]);
}

#[test]
fn a_text_does_not_overtake_media_in_its_conversation() {
    let mut state = online();
    blob("b", 1);
    send(&mut state, "media", "echo", &["b", "b"]);
    frames();
    send(&mut state, "behind", "echo", &[]);
    send(&mut state, "elsewhere", "user:grace", &[]);
    assert_eq!(sends(), [sent("elsewhere", &[])]);
    let target = Target {
        conversation: "user:grace".to_owned(),
        message: "m1".to_owned(),
    };
    state
        .forward("forward".to_owned(), target, "echo".to_owned())
        .expect("it is taken");
    assert_eq!(frames(), []);
    let wanted = ["media", "behind", "forward"].map(|token| reply("deferred", token, ""));
    assert_eq!(replies(), wanted);
    has_all(&mut state, "media/0", "f-1");
    assert_eq!(told(), ("media/1".to_owned(), 0, 0));
    has_all(&mut state, "media/1", "f-2");
    let left = frames();
    assert!(
        matches!(&left[..], [ClientFrame::Send(one), ClientFrame::Send(two), ClientFrame::Forward(three)]
            if (one.token.as_str(), two.token.as_str(), three.token.as_str()) == ("media", "behind", "forward")),
        "{left:?}"
    );
    let wanted = ["media", "behind", "forward"].map(|token| reply("dispatched", token, ""));
    assert_eq!(replies(), wanted);
    // Nothing waits any more.
    send(&mut state, "later", "echo", &[]);
    assert_eq!(sends(), [sent("later", &[])]);
}

#[test]
fn an_upload_goes_on_where_the_channel_has_it() {
    let mut state = online();
    blob("b", PIECE * 3);
    send(&mut state, "s", "echo", &["b"]);
    has(&mut state, "s/0", 0);
    give_read(&mut state);
    has(&mut state, "s/0", PIECE);
    // An answer that was meant for an instance before: the piece is being read.
    has(&mut state, "s/0", 0);
    give_read(&mut state);
    frames();
    replies();
    close(&mut state);
    assert_eq!(replies(), [], "it is not over");
    // What is read meanwhile is of no use.
    wake_read(&mut state, Ok(vec![1]));
    // The host calls again, for all it knows.
    send(&mut state, "s", "echo", &["b"]);
    assert_eq!(replies(), [reply("deferred", "s", "")]);
    send(&mut state, "behind", "echo", &[]);
    assert_eq!(frames(), []);
    state.wake(Wake::Reconnect).expect("a wake never fails");
    open(&mut state);
    let mut heard = frames();
    heard.retain(|frame| !matches!(frame, ClientFrame::Hello { .. }));
    assert!(
        matches!(&heard[..], [ClientFrame::Upload(piece)] if piece.offset == 0 && piece.data.is_empty()),
        "{heard:?}"
    );
    has(&mut state, "s/0", PIECE * 2);
    let offset = look(|effects| effects.reads[0].2);
    assert_eq!(offset, PIECE * 2);
    give_read(&mut state);
    assert_eq!(told(), ("s/0".to_owned(), PIECE * 2, PIECE as usize));
    has_all(&mut state, "s/0", "f-1");
    assert_eq!(sends(), [sent("s", &["f-1"]), sent("behind", &[])]);
}

#[test]
fn media_wait_for_the_link() {
    let mut state = online();
    close(&mut state);
    blob("b", 1);
    send(&mut state, "text", "echo", &[]);
    send(&mut state, "media", "echo", &["b"]);
    assert_eq!(frames(), []);
    state.wake(Wake::Reconnect).expect("a wake never fails");
    open(&mut state);
    assert_eq!(sends(), [sent("text", &[])]);
    // It is there already: of an instance that is gone, or a connection.
    has_all(&mut state, "media/0", "f-1");
    assert_eq!(reads(), []);
    assert_eq!(sends(), [sent("media", &["f-1"])]);
}

#[test]
fn a_send_whose_medium_does_not_get_there_was_not_done() {
    let denied = |state: &mut State| {
        let upload = "s/0".to_owned();
        let error = Fault::new("quota-exceeded", "no room");
        hear(state, &ServerFrame::UploadDenied { upload, error });
    };
    let unreadable = |state: &mut State| {
        has(state, "s/0", 0);
        wake_read(state, Err(Error::not_found("it is gone")));
    };
    let cut = |state: &mut State| {
        has(state, "s/0", 0);
        wake_read(state, Ok(Vec::new()));
    };
    let stuck = |state: &mut State| {
        has(state, "s/0", 0);
        for _ in 0..3 {
            give_read(state);
            has(state, "s/0", 0);
        }
    };
    type Failing<'a> = &'a dyn Fn(&mut State);
    for (fails, code) in [
        (&denied as Failing<'_>, "QuotaExceeded"),
        (&unreadable, "NotFound"),
        (&cut, "Internal"),
        (&stuck, "Unavailable"),
    ] {
        let mut state = online();
        blob("b", PIECE);
        send(&mut state, "s", "echo", &["b", "b"]);
        send(&mut state, "behind", "echo", &[]);
        send(&mut state, "next", "user:grace", &["b"]);
        replies();
        fails(&mut state);
        let wanted = [
            reply("failed", "s", &format!("{code} NotDone")),
            reply("dispatched", "behind", ""),
        ];
        assert_eq!(replies(), wanted);
        let left = frames();
        let next = left
            .iter()
            .any(|frame| matches!(frame, ClientFrame::Upload(piece) if piece.upload == "next/0"));
        assert!(next, "the next one begins: {left:?}");
        // What is said of it afterwards is nobody's.
        has(&mut state, "s/0", PIECE);
        has_all(&mut state, "s/0", "f-1");
        assert_eq!((replies(), frames()), (vec![], vec![]));
    }
}

#[test]
fn what_the_channel_would_not_take_is_refused_at_once() {
    let mut state = online();
    blob("b", 1);
    let many = vec![image("b"); limits::ATTACHMENTS + 1];
    let of_kind = |kind: &str, blob: &str| Attachment {
        kind: kind.to_owned(),
        ..image(blob)
    };
    blob("large", limits::STICKER_BYTES + 1);
    for (attachments, code) in [
        (many, "Invalid"),
        (vec![image("none")], "NotFound"),
        (vec![of_kind("hologram", "b")], "Unsupported"),
        (vec![of_kind("sticker", "large")], "Invalid"),
        (vec![Attachment::new("image")], "Invalid"),
    ] {
        state
            .send("s".to_owned(), message("echo", attachments))
            .expect("it is answered");
        let with = format!("{code} NotDone");
        assert_eq!(replies(), [reply("failed", "s", &with)]);
    }
    assert_eq!(frames(), []);
    let ten = ["b"; 10];
    for number in 0..5 {
        send(&mut state, &number.to_string(), "echo", &ten);
    }
    let deferred = replies();
    assert!(deferred.iter().all(|reply| reply.0 == "deferred"));
    send(&mut state, "more", "echo", &["b"]);
    assert_eq!(replies(), [reply("failed", "more", "Unavailable NotDone")]);
}

#[test]
fn a_picture_goes_up_and_is_set() {
    let picture = || Ask::SetGroupInfo {
        id: "group:lab".to_owned(),
        name: Some("Lab".to_owned()),
        description: None,
        avatar: None,
    };
    let mut state = online();
    blob("b", 3);
    send(&mut state, "s", "echo", &["b"]);
    state
        .ask_with_picture("p".to_owned(), "b".to_owned(), picture())
        .expect("it is taken");
    assert_eq!(told(), ("s/0".to_owned(), 0, 0));
    has_all(&mut state, "s/0", "f-1");
    let [ClientFrame::Send(_), ClientFrame::Upload(asked)] = &frames()[..] else {
        panic!("the send, then the picture");
    };
    assert_eq!(asked.upload, "p/0");
    replies();
    has_all(&mut state, "p/0", "f-2");
    match frames().as_slice() {
        [
            ClientFrame::Ask {
                id,
                ask: Ask::SetGroupInfo { name, avatar, .. },
            },
        ] => {
            assert_eq!((id.as_str(), name.as_deref()), ("p", Some("Lab")));
            assert_eq!(avatar.as_deref(), Some("f-2"));
        }
        other => panic!("{other:?}"),
    }
    let (id, answer) = ("p".to_owned(), Answer::Done {});
    hear(&mut state, &ServerFrame::Answered { id, answer });
    assert_eq!(replies(), [reply("done", "p", "")]);

    blob("large", limits::AVATAR_BYTES + 1);
    for (blob, code) in [("large", "Invalid"), ("none", "NotFound")] {
        state
            .ask_with_picture("q".to_owned(), blob.to_owned(), picture())
            .expect("it is answered");
        let with = format!("{code} NotDone");
        assert_eq!(replies(), [reply("failed", "q", &with)]);
    }
    // Who wants it is there and asks again.
    for lost_before in [false, true] {
        if lost_before {
            assert_eq!(replies(), []);
        }
        state
            .ask_with_picture("r".to_owned(), "b".to_owned(), picture())
            .expect("it is taken");
        if !lost_before {
            close(&mut state);
        }
        assert_eq!(replies(), [reply("failed", "r", "Unavailable NotDone")]);
    }
}
