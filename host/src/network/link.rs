//! The task's side of an open connection: alternates between writing what the outbox holds and
//! reading; each goes on while the other waits.
//!
//! Reading stops while too many frames wait for their turn ([`CREDITS`], [`CREDIT_BYTES`]), so that
//! TCP pushes back; writing never stops for that. Once `close` was asked for, what comes in is
//! thrown away; once the connection has ended by itself, what had come in is still handed over
//! before the reason is given. A frame is never split, repaired or left out of the middle: what
//! cannot be sent as asked ends the connection.

use super::dial::Dialer;
use super::framing::Decoder;
use super::outbox::{Batch, MOST_WAITING_BYTES, Next, Outbox, Status};
use super::stream::{Progress, Stream};
use crate::domain::error::{Failure, FailureCode};
use crate::runtime::port::{ConnectionSink, Credit, Framing, Report};
use socket2::SockRef;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// As many frames of a connection may wait for their turn…
pub const CREDITS: u32 = 64;
/// …and as many bytes in them; a single frame may be longer.
pub const CREDIT_BYTES: u32 = 1024 * 1024;
/// For what was sent before `close` to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Between looks whether what may not leave now may leave again.
const LEASE_LOOK: Duration = Duration::from_millis(100);
/// For the other side to take notice of an end, so that it still gets what was sent.
const LINGER: Duration = Duration::from_secs(2);

/// The task's side of an open connection.
pub struct Link {
    outbox: Arc<Outbox>,
    sink: Arc<dyn ConnectionSink>,
    /// What `start_tls` needs, if it is granted.
    tls: Option<(Dialer, Duration)>,
    framing: Framing,
    stream: Stream,
    decoder: Decoder,
    batch: Batch,
    credits: Arc<Semaphore>,
    stalled: Option<Stalled>,
    /// Nothing is read or written any more; what was received is still handed over.
    ended: Option<Failure>,
    /// Writing failed; what the other side had sent is still read, until `deadline`.
    unwritable: Option<Failure>,
    deadline: Option<Instant>,
}

/// A frame for which there is no credit yet.
struct Stalled {
    frame: Vec<u8>,
    credit: Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>,
}

enum Step {
    Io(Progress),
    Credit(Option<OwnedSemaphorePermit>),
    Changed,
    Deadline,
}

impl Link {
    pub fn new(
        outbox: Arc<Outbox>,
        sink: Arc<dyn ConnectionSink>,
        framing: Framing,
        decoder: Decoder,
        stream: Stream,
        tls: Option<(Dialer, Duration)>,
    ) -> Self {
        Self {
            outbox,
            sink,
            tls,
            framing,
            stream,
            decoder,
            batch: Batch::default(),
            credits: Arc::new(Semaphore::new(CREDIT_BYTES as usize)),
            stalled: None,
            ended: None,
            unwritable: None,
            deadline: None,
        }
    }

    /// Until the connection ends; gives the reason.
    pub async fn serve(&mut self) -> Failure {
        self.report_opened();
        loop {
            let closing = match self.outbox.status() {
                Status::Gone => return closed_here(),
                Status::Overflowed => {
                    self.end(overflow());
                    false
                }
                Status::Closing => true,
                Status::Open => false,
            };
            if closing {
                self.stalled = None;
                self.deadline
                    .get_or_insert_with(|| Instant::now() + CLOSE_TIMEOUT);
            } else {
                self.hand_over();
            }
            if self.stalled.is_none()
                && let Some(reason) = self.ended.take()
            {
                return reason;
            }
            if self.ended.is_none() && self.unwritable.is_none() && self.batch.is_empty() {
                match self.outbox.take(self.framing, &mut self.batch) {
                    Ok(Next::Nothing | Next::Write) => {}
                    Ok(Next::StartTls(name)) => {
                        if let Err(failure) = self.start_tls(name).await {
                            self.end(failure);
                        }
                        continue;
                    }
                    Ok(Next::Close) => {
                        self.shut_down().await;
                        return closed_here();
                    }
                    Err(fault) => {
                        self.end(fault.into());
                        continue;
                    }
                }
            }
            match self.step(closing).await {
                Step::Io(progress) => self.settle(progress, closing),
                Step::Credit(credit) => self.resume(credit),
                Step::Changed => {}
                Step::Deadline => {
                    let reason = self.unwritable.take().unwrap_or_else(closed_here);
                    self.end(reason);
                }
            }
        }
    }

    async fn step(&mut self, closing: bool) -> Step {
        let open = self.ended.is_none();
        let reading = open && self.stalled.is_none();
        let waits = open && self.unwritable.is_none() && !self.batch.is_empty();
        // Without a lease nothing leaves; whoever lost it drops the connection soon.
        let writing = waits && self.sink.may_write();
        let deadline = self.deadline.filter(|_| reading);
        let look = (waits && !writing).then(|| Instant::now() + LEASE_LOOK);
        let wake = deadline.into_iter().chain(look).min();
        let outbox = self.outbox.clone();
        let (stream, decoder, batch) = (&mut self.stream, &mut self.decoder, &self.batch);
        let io = std::future::poll_fn(|cx| {
            let mut progress = Progress::default();
            if writing {
                stream.poll_write_batch(cx, batch, &mut progress);
            }
            if reading {
                progress.read = stream.poll_receive(cx, (!closing).then_some(&mut *decoder));
            }
            if progress.wrote.is_none() && progress.flushed.is_none() && progress.read.is_none() {
                return Poll::Pending;
            }
            Poll::Ready(progress)
        });
        let credit = async {
            match &mut self.stalled {
                Some(stalled) => stalled.credit.as_mut().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            progress = io => Step::Io(progress),
            permit = credit => Step::Credit(permit),
            () = outbox.changed() => Step::Changed,
            () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                    Step::Deadline
                } else {
                    Step::Changed
                }
            }
        }
    }

    fn settle(&mut self, progress: Progress, closing: bool) {
        match progress.wrote {
            None => {}
            Some(Ok(0)) => self.fail_writing(&io::ErrorKind::WriteZero.into()),
            Some(Ok(count)) => {
                self.batch.written += count;
                // What TLS took is on its way only after a flush.
                if matches!(self.stream, Stream::Plain(_)) {
                    self.settle_written();
                }
            }
            Some(Err(error)) => self.fail_writing(&error),
        }
        match progress.flushed {
            None => {}
            Some(Ok(())) => {
                self.settle_written();
                self.batch = Batch::default();
            }
            Some(Err(error)) => self.fail_writing(&error),
        }
        match progress.read {
            None => {}
            Some(Ok(0)) => {
                let reason = self.unwritable.take().unwrap_or_else(|| {
                    let text = if self.decoder.is_empty() || self.framing == Framing::Raw {
                        "the other side closed the connection"
                    } else {
                        "the other side closed the connection in the middle of a frame"
                    };
                    Failure::new(FailureCode::Unavailable, text)
                });
                self.end(reason);
            }
            Some(Ok(_)) if !closing && self.outbox.starts_tls() => {
                let reason = self.injected();
                self.end(reason);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                let reason = self.unwritable.take().unwrap_or_else(|| broken(&error));
                self.end(reason);
            }
        }
    }

    fn settle_written(&mut self) {
        let written = self.batch.written;
        for token in self.outbox.settle(&mut self.batch, written) {
            self.sink.report(Report::Flushed { token });
        }
    }

    /// Hands over received frames until none is whole or there is no credit.
    fn hand_over(&mut self) {
        while self.stalled.is_none() {
            let frame = match self.decoder.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(fault) => {
                    // The same fault would come again for ever.
                    self.ended.get_or_insert_with(|| fault.into());
                    return;
                }
            };
            let price = price(frame.len());
            match self.credits.clone().try_acquire_many_owned(price) {
                Ok(permit) => self.report_frame(frame, permit),
                Err(_) => {
                    let credits = self.credits.clone();
                    let credit =
                        Box::pin(async move { credits.acquire_many_owned(price).await.ok() });
                    self.stalled = Some(Stalled { frame, credit });
                }
            }
        }
    }

    fn resume(&mut self, permit: Option<OwnedSemaphorePermit>) {
        if let (Some(stalled), Some(permit)) = (self.stalled.take(), permit)
            && self.outbox.status() != Status::Closing
        {
            self.report_frame(stalled.frame, permit);
        }
    }

    async fn start_tls(&mut self, name: String) -> Result<(), Failure> {
        let Some((dialer, limit)) = self.tls.clone() else {
            return Err(Failure::new(
                FailureCode::Denied,
                "TLS on this destination is not granted by the manifest",
            ));
        };
        let tcp = match std::mem::replace(&mut self.stream, Stream::Upgrading) {
            Stream::Plain(tcp) => tcp,
            other => {
                self.stream = other;
                return Err(Failure::new(
                    FailureCode::Invalid,
                    "TLS was asked for on a connection that has it",
                ));
            }
        };
        // Nothing unprotected may be taken for protected afterwards (CVE-2011-0411): neither what
        // was read and waits here, nor what waits in the kernel.
        let unread = SockRef::from(&tcp).peek(&mut [MaybeUninit::uninit(); 1]);
        if !self.decoder.is_empty() || self.stalled.is_some() || matches!(unread, Ok(1..)) {
            return Err(self.injected());
        }
        let outbox = self.outbox.clone();
        let upgraded = Box::pin(dialer.handshake(&name, tcp, Instant::now() + limit));
        let stream = tokio::select! {
            biased;
            () = outbox.useless() => return Err(overflow()),
            upgraded = upgraded => upgraded?,
        };
        self.stream = Stream::Tls(Box::new(stream));
        self.report_opened();
        Ok(())
    }

    /// Ends our side and gives the other one time to read what was sent: closing a socket with
    /// unread input would reset the connection under it.
    async fn shut_down(&mut self) {
        let stream = &mut self.stream;
        let linger = async {
            stream.shut_down().await?;
            loop {
                let count = std::future::poll_fn(|cx| match stream.poll_receive(cx, None) {
                    Some(result) => Poll::Ready(result),
                    None => Poll::Pending,
                })
                .await?;
                if count == 0 {
                    return Ok::<_, io::Error>(());
                }
            }
        };
        timeout(LINGER, linger).await.ok();
    }

    fn report_opened(&self) {
        if self.outbox.status() == Status::Open {
            self.sink.report(Report::Opened);
        }
    }

    fn report_frame(&self, bytes: Vec<u8>, permit: OwnedSemaphorePermit) {
        self.sink.report(Report::Frame {
            bytes,
            credit: Credit(permit),
        });
    }

    fn fail_writing(&mut self, error: &io::Error) {
        self.unwritable.get_or_insert_with(|| broken(error));
        self.deadline.get_or_insert_with(|| Instant::now() + LINGER);
    }

    /// Throws away what was received: it may be an attacker's.
    fn injected(&mut self) -> Failure {
        self.decoder.clear();
        self.stalled = None;
        Failure::new(
            FailureCode::Invalid,
            "unprotected data came in that was not handed over before TLS began",
        )
    }

    fn end(&mut self, reason: Failure) {
        self.ended.get_or_insert(reason);
    }
}

/// One semaphore bounds both count and bytes: a short frame costs a fixed share, a long one its
/// length, one beyond all credit all of it.
fn price(bytes: usize) -> u32 {
    u32::try_from(bytes)
        .unwrap_or(u32::MAX)
        .clamp(CREDIT_BYTES / CREDITS, CREDIT_BYTES)
}

fn broken(error: &io::Error) -> Failure {
    let text = match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the other side reset the connection"
        }
        io::ErrorKind::TimedOut => "the other side stopped answering",
        io::ErrorKind::UnexpectedEof => "the other side closed the connection without ending TLS",
        _ => "the connection broke",
    };
    let mut failure = Failure::new(FailureCode::Unavailable, text);
    failure.detail = Some(error.to_string());
    failure
}

pub fn overflow() -> Failure {
    Failure::new(
        FailureCode::QuotaExceeded,
        format!("more than {MOST_WAITING_BYTES} bytes were waiting to be sent"),
    )
}

/// Never shown: who closes a connection here gets no report.
fn closed_here() -> Failure {
    Failure::new(FailureCode::Unavailable, "the connection was closed here")
}
