//! Files: what is sent is looked at and read, what is referred to is made of its reference.

use std::cell::RefCell;
use std::collections::HashMap;

use anyport_sdk::events::Emission;
use anyport_sdk::model::{Attachment, Content, Media, Message};
use anyport_sdk::replies::SentMessage;
use anyport_sdk::types::{Error, ErrorCode};
use anyport_sdk::{blobs, events, replies, timers, turn};

/// Of one read and one append.
const PIECE: u64 = 1024 * 1024;
const MAKE: &str = "make ";

thread_local! {
    /// What is being read, by label: how far it is, of how much, and a sum.
    static READS: RefCell<HashMap<String, Reading>> = RefCell::default();
}

struct Reading {
    blob: String,
    at: u64,
    size: u64,
    sum: u64,
    caption: String,
}

/// The channel's id says what the host said of the file; then all of it is read.
pub fn send(request: &str, media: &Media) {
    let attachment = media.attachments.first();
    let Some(blob) = attachment.and_then(|it| it.blob.clone()) else {
        replies::failed(request, &Error::invalid("no blob").not_done());
        return;
    };
    match blobs::stat(&blob) {
        Err(error) => replies::failed(request, &error.not_done()),
        Ok(info) => {
            let mime = info.mime.unwrap_or_default();
            let name = info.filename.unwrap_or_default();
            let id = format!("file {} {mime} {name} {request}", info.size);
            replies::sent(request, &SentMessage::new(id, turn::now()));
            let caption = media.caption.as_ref();
            let reading = Reading {
                blob,
                at: 0,
                size: info.size,
                sum: 0,
                caption: caption.map_or_else(String::new, |text| text.body.clone()),
            };
            go_on(request.to_owned(), reading);
        }
    }
}

fn go_on(label: String, reading: Reading) {
    if reading.at < reading.size {
        let length = (reading.size - reading.at).min(PIECE) as u32;
        blobs::submit_read(&label, &reading.blob, reading.at, length);
        READS.with_borrow_mut(|reads| reads.insert(label, reading));
        return;
    }
    let text = format!("read {} {} {}", reading.size, reading.sum, reading.caption);
    let said = Message::new(&label, "files", "reader", turn::now(), Content::plain(text));
    events::emit(&Emission::of_message(format!("read-{label}"), said));
}

/// A piece of what is read.
pub fn piece(label: &str, bytes: &[u8]) {
    let Some(mut reading) = READS.with_borrow_mut(|reads| reads.remove(label)) else {
        return;
    };
    reading.at += bytes.len() as u64;
    reading.sum += bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    go_on(label.to_owned(), reading);
}

/// A message with a file whose bytes are at the channel.
pub fn attach(reference: &str) {
    let mut attachment = Attachment::new("image");
    attachment.reference = Some(reference.to_owned());
    attachment.filename = Some("far.bin".to_owned());
    emit(reference, attachment);
}

/// The same with bytes that are made now, and one piece too many that never counted.
pub fn attach_made(text: &str) -> Result<(), Error> {
    blobs::create("near", Some("text/plain"), Some("near.txt"));
    blobs::append("near", text.as_bytes());
    let mut attachment = Attachment::new("document");
    attachment.blob = Some(blobs::seal("near")?);
    emit(text, attachment);
    Ok(())
}

fn emit(key: &str, attachment: Attachment) {
    let content = Content::Media(Media {
        attachments: vec![attachment],
        caption: None,
    });
    let key = format!("attached {key}");
    let message = Message::new(&key, "files", "sender", turn::now(), content);
    events::emit(&Emission::of_message(key, message));
}

/// `gone`, `silent`, `trap`, `away`, `foreign <blob>`, or `make <pieces> <bytes>`: so many pieces
/// of so many bytes, one in each turn.
pub fn fetch(request: &str, reference: &str) {
    let (word, rest) = reference.split_once(' ').unwrap_or((reference, ""));
    match word {
        "gone" => replies::failed(
            request,
            &Error::new(ErrorCode::NotFound, "dropped by the channel").not_done(),
        ),
        "away" => replies::failed(request, &Error::unavailable("no link").not_done()),
        "trap" => crate::commands::trap(),
        "silent" => {}
        "foreign" => replies::with_media(request, rest),
        _ => {
            blobs::create(request, None, Some("made.bin"));
            append(request, rest, 0);
        }
    }
}

/// What `append` asked for an earlier turn.
pub fn fired(context: &str) -> bool {
    let Some(rest) = context.strip_prefix(MAKE) else {
        return false;
    };
    let mut words = rest.splitn(3, ' ');
    if let (Some(request), Some(done), Some(rest)) = (words.next(), words.next(), words.next()) {
        append(request, rest, done.parse().unwrap_or_default());
    }
    true
}

fn append(request: &str, rest: &str, done: u64) {
    let mut numbers = rest.split(' ').filter_map(|word| word.parse::<u64>().ok());
    let (pieces, bytes) = (numbers.next().unwrap_or(1), numbers.next().unwrap_or(1));
    blobs::append(request, &vec![b'a' + (done % 26) as u8; bytes as usize]);
    if done + 1 < pieces {
        timers::set(
            "make",
            &timers::Spec {
                context: format!("{MAKE}{request} {} {rest}", done + 1).into_bytes(),
                ..timers::Spec::at(turn::now())
            },
        );
        return;
    }
    match blobs::seal(request) {
        Ok(blob) => replies::with_media(request, &blob),
        Err(error) => replies::failed(request, &error.not_done()),
    }
}
