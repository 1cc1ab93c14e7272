use anyport_simulator::limits::{MEDIA_BYTES, PIECE_BYTES, UNFINISHED_UPLOADS};
use anyport_simulator::model::{Attachment, Body, Content, Media};
use anyport_simulator::protocol::{ClientFrame, Fault, Outgoing, ServerFrame};
use anyport_simulator::request::{Answer, Ask};
use anyport_simulator::transfer::{Fetch, Piece, Upload, Uploaded};
use anyport_simulator::{Behaviour, RequestFault, generated};

use crate::{Client, outgoing, start};

fn piece(upload: &str, offset: u64, total: u64, data: &[u8]) -> Upload {
    Upload {
        upload: upload.to_owned(),
        offset,
        total,
        mime: Some("image/png".to_owned()),
        filename: Some("a.png".to_owned()),
        data: data.to_vec(),
    }
}

async fn upload(client: &mut Client, piece: Upload) -> Result<Uploaded, Fault> {
    client.say(&ClientFrame::Upload(piece)).await;
    match client.hear().await {
        ServerFrame::Uploaded(uploaded) => Ok(uploaded),
        ServerFrame::UploadDenied { error, .. } => Err(error),
        other => panic!("{other:?}"),
    }
}

async fn fetch(client: &mut Client, medium: &str, offset: u64) -> Result<Piece, Fault> {
    let medium = medium.to_owned();
    let length = u32::MAX;
    client
        .say(&ClientFrame::Fetch(Fetch {
            medium,
            offset,
            length,
        }))
        .await;
    match client.hear().await {
        ServerFrame::Piece(piece) => Ok(piece),
        ServerFrame::FetchDenied { error, .. } => Err(error),
        other => panic!("{other:?}"),
    }
}

fn with_media(token: &str, kind: &str, references: &[&str]) -> Outgoing {
    let attachment = |reference: &&str| Attachment {
        kind: kind.to_owned(),
        reference: Some((*reference).to_owned()),
        ..Attachment::default()
    };
    Outgoing {
        content: Content::Media(Media {
            attachments: references.iter().map(attachment).collect(),
            caption: None,
        }),
        ..outgoing(token, "echo", "")
    }
}

async fn send(client: &mut Client, sent: Outgoing) -> Result<(), Fault> {
    client.say(&ClientFrame::Send(sent)).await;
    match client.hear().await {
        ServerFrame::Accepted(_) => Ok(()),
        ServerFrame::Rejected { error, .. } => Err(error),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_medium_comes_up_in_pieces_over_two_connections_and_comes_back() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, session) = Client::signed_in(&simulator, "ada").await;
    let bytes = generated(0, PIECE_BYTES as usize * 2 + 100);
    let (first, rest) = bytes.split_at(PIECE_BYTES as usize);
    let total = bytes.len() as u64;
    let asked = upload(&mut client, piece("s/0", 0, total, &[])).await;
    assert_eq!(asked.unwrap().received, 0);
    let one = upload(&mut client, piece("s/0", 0, total, first)).await;
    assert_eq!(one.unwrap().received, first.len() as u64);
    // The connection is gone before the second piece is taken.
    control.drop_after("ada", 1).await.unwrap();
    let (second, last) = rest.split_at(PIECE_BYTES as usize);
    let offset = first.len() as u64;
    client
        .say(&ClientFrame::Upload(piece("s/0", offset, total, second)))
        .await;
    client.hear_end().await;
    let mut client = Client::hello(&simulator, "ada", &session).await;
    let asked = upload(&mut client, piece("s/0", 0, total, &[])).await;
    assert_eq!(asked.unwrap().received, offset);
    upload(&mut client, piece("s/0", offset, total, second))
        .await
        .unwrap();
    let offset = offset + second.len() as u64;
    let done = upload(&mut client, piece("s/0", offset, total, last))
        .await
        .unwrap();
    let medium = done.medium.expect("all of it is there");
    assert_eq!((done.received, medium.size), (total, total));
    assert_eq!(medium.mime, "image/png");
    assert_eq!(medium.filename.as_deref(), Some("a.png"));
    // Asked once more it is the same one, and no byte came twice.
    let again = upload(&mut client, piece("s/0", 0, total, &[]))
        .await
        .unwrap();
    assert_eq!(again.medium.as_ref(), Some(&medium));
    let counted = control.user_counters("ada").await.unwrap();
    assert_eq!(counted.uploaded_bytes, total);

    let mut came = Vec::new();
    while came.len() < bytes.len() {
        let piece = fetch(&mut client, &medium.id, came.len() as u64)
            .await
            .unwrap();
        assert!(piece.data.len() <= PIECE_BYTES as usize && !piece.data.is_empty());
        assert_eq!((piece.total, piece.offset), (total, came.len() as u64));
        came.extend(piece.data);
    }
    assert!(came == bytes);
    let end = fetch(&mut client, &medium.id, total).await.unwrap();
    assert_eq!(end.data, [] as [u8; 0]);
    let none = fetch(&mut client, "f-none", 0).await;
    assert_eq!(none.unwrap_err().code, "not-found");
}

#[tokio::test]
async fn a_piece_at_the_wrong_offset_is_answered_with_what_is_there() {
    let (simulator, _control) = start(Behaviour::default()).await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    upload(&mut client, piece("u", 0, 8, b"abcd"))
        .await
        .unwrap();
    for (offset, data) in [(0, &b"xxxx"[..]), (5, b"x"), (8, b"")] {
        let there = upload(&mut client, piece("u", offset, 8, data))
            .await
            .unwrap();
        assert_eq!((there.received, there.medium), (4, None), "{offset}");
    }
    let done = upload(&mut client, piece("u", 4, 8, b"efgh"))
        .await
        .unwrap();
    let medium = done.medium.expect("it is whole").id;
    assert_eq!(
        fetch(&mut client, &medium, 0).await.unwrap().data,
        b"abcdefgh"
    );
    // Of the same name, but another one.
    let other = upload(&mut client, piece("u", 0, 3, b"abc")).await.unwrap();
    assert_ne!(other.medium.expect("it is whole").id, medium);
    // Nothing is a medium too.
    let empty = upload(&mut client, piece("empty", 0, 0, b""))
        .await
        .unwrap();
    let empty = empty.medium.expect("it is whole").id;
    assert_eq!(fetch(&mut client, &empty, 0).await.unwrap().total, 0);
}

#[tokio::test]
async fn what_is_too_large_or_makes_no_sense_is_denied() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    let long = vec![0; PIECE_BYTES as usize + 1];
    for bad in [
        piece("u", 0, MEDIA_BYTES + 1, b""),
        piece("u", 0, long.len() as u64, &long),
        piece("u", 1, 3, b"abc"),
        piece("u", u64::MAX, 3, b"abc"),
        piece("", 0, 3, b"abc"),
        piece(&"u".repeat(257), 0, 3, b"abc"),
    ] {
        let denied = upload(&mut client, bad.clone()).await;
        assert_eq!(denied.unwrap_err().code, "invalid", "{}", bad.offset);
    }
    let refused = RequestFault::Refuse(Fault::new("quota-exceeded", "no more"));
    control
        .fail_requests("ada", 1, Some("upload"), refused)
        .await
        .unwrap();
    let denied = upload(&mut client, piece("u", 0, 3, b"abc")).await;
    assert_eq!(denied.unwrap_err().code, "quota-exceeded");
    // Nobody who has not said hello.
    let mut stranger = Client::connect(&simulator).await;
    let denied = upload(&mut stranger, piece("u", 0, 3, b"abc")).await;
    assert_eq!(denied.unwrap_err().code, "unauthenticated");
    let denied = fetch(&mut stranger, "simulator:picture.jpg", 0).await;
    assert_eq!(denied.unwrap_err().code, "unauthenticated");
}

#[tokio::test]
async fn uploads_that_nobody_ends_are_forgotten_in_time() {
    let (simulator, _control) = start(Behaviour::default()).await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    let (mut other, _) = Client::signed_in(&simulator, "bob").await;
    upload(&mut other, piece("0", 0, 2, b"a")).await.unwrap();
    for number in 0..=UNFINISHED_UPLOADS {
        let name = number.to_string();
        upload(&mut client, piece(&name, 0, 2, b"a")).await.unwrap();
    }
    let kept = upload(&mut client, piece("1", 0, 2, b"")).await.unwrap();
    assert_eq!(kept.received, 1);
    let forgotten = upload(&mut client, piece("0", 0, 2, b"")).await.unwrap();
    assert_eq!(forgotten.received, 0);
    let others = upload(&mut other, piece("0", 0, 2, b"")).await.unwrap();
    assert_eq!(others.received, 1);
}

#[tokio::test]
async fn sent_media_are_known_and_come_back_as_echo() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    let done = upload(&mut client, piece("s/0", 0, 3, b"abc"))
        .await
        .unwrap();
    let medium = done.medium.expect("it is whole");
    send(&mut client, with_media("s", "image", &[&medium.id]))
        .await
        .unwrap();
    let Body::Message(echo) = client.hear_event().await.body else {
        panic!("not a message");
    };
    let Content::Media(media) = echo.content else {
        panic!("not media");
    };
    let back = &media.attachments[0];
    assert_eq!(back.reference.as_deref(), Some(medium.id.as_str()));
    assert_eq!(
        (back.size, back.filename.as_deref()),
        (Some(3), Some("a.png"))
    );
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let sent = control.sent_media("ada", "s").await.unwrap();
    assert_eq!(sent.len(), 1);
    assert_eq!(
        (sent[0].id.as_str(), sent[0].sha256.as_str()),
        (medium.id.as_str(), abc)
    );
    assert_eq!(control.sent_media("ada", "none").await.unwrap(), []);

    let large = control
        .make_up_medium(1024 * 1024 + 1, "image/webp")
        .await
        .unwrap();
    let many = vec![medium.id.as_str(); 11];
    for (sent, code) in [
        (with_media("a", "image", &["f-none"]), "not-found"),
        (with_media("b", "hologram", &[&medium.id]), "invalid"),
        (with_media("c", "sticker", &[&large.id]), "invalid"),
        (with_media("d", "image", &[]), "invalid"),
        (with_media("e", "image", &many), "invalid"),
    ] {
        let token = sent.token.clone();
        let refused = send(&mut client, sent).await;
        assert_eq!(refused.unwrap_err().code, code, "{token}");
    }
}

#[tokio::test]
async fn avatars_are_seen_and_set() {
    let (simulator, mut control) = start(Behaviour::default()).await;
    let (mut client, _) = Client::signed_in(&simulator, "ada").await;
    let id = "user:grace".to_owned();
    let Answer::Contact(Some(grace)) = control.ask("ada", Ask::Contact { id }).await.unwrap()
    else {
        panic!("Grace is not there");
    };
    let seen = grace.avatar.expect("she has one");
    let piece = fetch(&mut client, &seen.id, 0).await.unwrap();
    assert_eq!((piece.total, piece.mime.as_str()), (seen.size, "image/png"));
    // What a sample refers to is there as well.
    let sample = fetch(&mut client, "simulator:picture.jpg", 0)
        .await
        .unwrap();
    assert_eq!(sample.filename.as_deref(), Some("picture.jpg"));
    let (medium, _) = control
        .inject_medium("ada", "user:grace", "image", 10, "image/jpeg")
        .await
        .unwrap();
    let set = |avatar: &str| Ask::SetProfile {
        name: None,
        about: None,
        avatar: Some(avatar.to_owned()),
    };
    control.ask("ada", set(&medium.id)).await.unwrap();
    let Answer::Profile(me) = control.ask("ada", Ask::Profile {}).await.unwrap() else {
        panic!("not a profile");
    };
    assert_eq!(me.avatar.expect("it is set").id, medium.id);
    let large = control.make_up_medium(6 << 20, "image/png").await.unwrap();
    for bad in ["f-none", "simulator:song.mp3", large.id.as_str()] {
        assert!(control.ask("ada", set(bad)).await.is_err(), "{bad}");
    }
}
