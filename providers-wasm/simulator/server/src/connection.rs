//! One TCP connection: reads frames, lets the session answer them, writes what is due.
//!
//! Owns socket and buffers, both bounded: nothing is read while too much waits to leave.
//! What frames mean stands in `session`.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use crate::channel::Channel;
use crate::control::Garbage;
use crate::inbox::OUTPUT_LIMIT;
use crate::protocol::{Fault, ServerFrame};
use crate::session::Session;
use crate::wire::{put_frame, put_json, take_frame};

const READ_BYTES: usize = 8 * 1024;
/// How long a closing connection waits for a peer that does not read.
const GOODBYE: Duration = Duration::from_secs(2);

/// What one connection is about to write.
pub(crate) struct Output {
    pub(crate) bytes: BytesMut,
    /// Answers that are held back, in the order they are due.
    delayed: VecDeque<(Instant, Bytes)>,
    /// Nothing is read any more; the connection closes when all is written.
    closing: bool,
}

impl Output {
    pub(crate) fn put(&mut self, frame: &ServerFrame) {
        put_json(&mut self.bytes, frame);
    }

    pub(crate) fn put_after(&mut self, delay: Duration, frame: &ServerFrame) {
        if delay.is_zero() && self.delayed.is_empty() {
            return self.put(frame);
        }
        let mut bytes = BytesMut::new();
        put_json(&mut bytes, frame);
        self.delayed
            .push_back((Instant::now() + delay, bytes.freeze()));
    }

    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    /// Closes without another word.
    pub(crate) fn abort(&mut self) {
        self.bytes.clear();
        self.delayed.clear();
        self.closing = true;
    }

    pub(crate) fn put_garbage(&mut self, garbage: Garbage) {
        match garbage {
            Garbage::NotJson => put_frame(&mut self.bytes, |out| {
                out.extend_from_slice(b"\xff\x00 this is not JSON {")
            }),
            Garbage::Unknown => put_frame(&mut self.bytes, |out| {
                out.extend_from_slice(br#"{"no_such_frame":{"a":1}}"#)
            }),
            Garbage::HugeLength => self.bytes.extend_from_slice(&[0xff; 4]),
            Garbage::HalfFrame => {
                self.bytes.extend_from_slice(&[0, 0, 1, 0]);
                self.bytes.extend_from_slice(br#"{"event":{"id":"#);
                self.close();
            }
        }
    }

    fn release_due(&mut self, now: Instant) {
        while self.delayed.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, bytes)) = self.delayed.pop_front() {
                self.bytes.extend_from_slice(&bytes);
            }
        }
    }
}

pub(crate) async fn run(
    channel: Arc<Channel>,
    stream: TcpStream,
    mut stopping: watch::Receiver<bool>,
) {
    let number = channel.next_connection();
    let wake = Arc::new(Notify::new());
    let mut session = Session::new(Arc::clone(&channel), number, Arc::clone(&wake));
    let result = tokio::select! {
        result = drive(&mut session, &stream, &wake) => result,
        _ = stopping.wait_for(|stopping| *stopping) => {
            let mut goodbye = BytesMut::new();
            put_json(&mut goodbye, &ServerFrame::Bye {});
            // Best effort: a peer that does not read does not get it.
            stream.try_write(&goodbye).map(drop)
        }
    };
    session.end();
    channel.open_connections.fetch_sub(1, Relaxed);
    if let Err(error) = result {
        tracing::debug!(connection = number, error = %error, "connection ended");
    }
}

async fn drive(session: &mut Session, stream: &TcpStream, wake: &Notify) -> io::Result<()> {
    let mut input = BytesMut::new();
    let mut output = Output {
        bytes: BytesMut::new(),
        delayed: VecDeque::new(),
        closing: false,
    };
    let mut read_again_at: Option<Instant> = None;
    let mut give_up_at: Option<Instant> = None;
    loop {
        let now = Instant::now();
        output.release_due(now);
        if !output.closing {
            session.advance(now, &mut output);
        }
        write_some(stream, &mut output.bytes)?;
        if output.closing && output.bytes.is_empty() {
            return Ok(());
        }
        if output.closing {
            let at = *give_up_at.get_or_insert(now + GOODBYE);
            if at <= now {
                return Ok(());
            }
        }
        read_again_at = read_again_at.filter(|at| *at > now);
        let reads = !output.closing && read_again_at.is_none() && output.bytes.len() < OUTPUT_LIMIT;
        if reads && let Some(pause) = take_frames(session, &mut input, &mut output)? {
            read_again_at = pause.map(|pause| Instant::now() + pause);
            continue;
        }
        let deadline = [
            session.next_due(),
            output.delayed.front().map(|(due, _)| *due),
            read_again_at,
            give_up_at,
        ]
        .into_iter()
        .flatten()
        .min();
        tokio::select! {
            biased;
            ready = stream.writable(), if !output.bytes.is_empty() => ready?,
            ready = stream.readable(), if reads => {
                ready?;
                if !read_some(stream, &mut input)? {
                    return Ok(());
                }
            }
            () = wake.notified() => {}
            () = sleep_until(deadline), if deadline.is_some() => {}
        }
    }
}

/// Handles the frames that have come in whole. None: there was none. Some: what has come
/// of them must be written now, and reading pauses for so long.
fn take_frames(
    session: &mut Session,
    input: &mut BytesMut,
    output: &mut Output,
) -> io::Result<Option<Option<Duration>>> {
    let mut handled = false;
    while !output.closing && output.bytes.len() < OUTPUT_LIMIT {
        match take_frame(input) {
            Ok(None) => break,
            Ok(Some(frame)) => {
                handled = true;
                session.receive(&frame, output);
                let pause = session.read_delay();
                if !pause.is_zero() {
                    return Ok(Some(Some(pause)));
                }
            }
            Err(error) => {
                output.put(&ServerFrame::Refused(Fault::new(
                    "invalid",
                    error.to_string(),
                )));
                output.close();
                return Ok(Some(None));
            }
        }
    }
    if input.is_empty() {
        // Ten thousand idle connections should not hold ten thousand buffers.
        *input = BytesMut::new();
    }
    Ok(handled.then_some(None))
}

/// False: the peer has closed.
fn read_some(stream: &TcpStream, input: &mut BytesMut) -> io::Result<bool> {
    input.reserve(READ_BYTES);
    match stream.try_read_buf(input) {
        Ok(0) => Ok(false),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

fn write_some(stream: &TcpStream, bytes: &mut BytesMut) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(count) => bytes.advance(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    *bytes = BytesMut::new();
    Ok(())
}

async fn sleep_until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline.into()).await;
    }
}
