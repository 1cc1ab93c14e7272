//! One open connection: a handle whose calls never block, and a task that owns the socket.
//!
//! The task alternates between writing what the outbox holds and reading; each goes on while the
//! other waits. Reading stops while too many frames wait for their turn (see [`CREDITS`]), so that
//! TCP pushes back; writing never stops for that. All reports of a connection come from its task,
//! in order. A frame is never split, repaired or left out of the middle: what cannot be sent as
//! asked closes the connection.
//!
//! Memory of an idle connection: about 1.5 KiB for the task with its socket, the outbox and the
//! sink, plus what the kernel keeps (buffers only while bytes are in them). There is no read or
//! write buffer: bytes are read onto the stack and copied to the heap only when there are any.
//! TLS adds the state of rustls and its 4 KiB record buffer.
//!
//! A report that is under way on the task while another thread calls `close` may still arrive:
//! the two sides share no lock, so that a sink may take its own. The sink has to know a
//! connection that it closed.

use super::dial::{DEFAULT_TIMEOUT, Dialer};
use super::egress::Admission;
use super::framing::Decoder;
use super::outbox::{Batch, MOST_WAITING_BYTES, Next, Outbox, Status};
use super::tls::TlsStream;
use crate::domain::account::Proxy;
use crate::domain::error::{Failure, FailureCode};
use crate::runtime::port::{
    Connection, ConnectionSink, ConnectionSpec, Credit, Framing, Report, Transport,
};
use socket2::{SockRef, TcpKeepalive};
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// As many frames of a connection may wait for their turn…
pub const CREDITS: u32 = 64;
/// …and as many bytes in them; a single frame may be longer.
pub const CREDIT_BYTES: u32 = 1024 * 1024;
const READ_BYTES: usize = 16 * 1024;
const LONGEST_CONNECT: Duration = Duration::from_secs(60);
/// For what was sent before `close` to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// For the other side to take notice of an end, so that it still gets what was sent.
const LINGER: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct OpenConnection {
    outbox: Arc<Outbox>,
}

/// Starts the connection's task. A refused admission is reported from there, like every failure.
pub(super) fn open(
    runtime: &Handle,
    dialer: Dialer,
    spec: ConnectionSpec,
    admitted: Result<Admission, Failure>,
    proxy: Option<Proxy>,
    sink: Arc<dyn ConnectionSink>,
) -> OpenConnection {
    let outbox = Arc::new(Outbox::default());
    let task = run(outbox.clone(), sink, dialer, spec, admitted, proxy);
    runtime.spawn(task);
    OpenConnection { outbox }
}

impl Connection for OpenConnection {
    fn send(&self, bytes: Vec<u8>, token: Option<u64>) {
        self.outbox.send(bytes, token);
    }

    fn start_tls(&self, server_name: String) {
        self.outbox.start_tls(server_name);
    }

    fn close(&self) {
        self.outbox.close();
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.outbox.abandon();
    }
}

async fn run(
    outbox: Arc<Outbox>,
    sink: Arc<dyn ConnectionSink>,
    dialer: Dialer,
    spec: ConnectionSpec,
    admitted: Result<Admission, Failure>,
    proxy: Option<Proxy>,
) {
    // In a box of its own, which is given back as soon as the connection is up.
    let opening = Box::pin(dial(&outbox, &sink, dialer, spec, admitted, proxy));
    let opened = tokio::select! {
        biased;
        () = outbox.useless() => Err(overflow()),
        opened = opening => opened,
    };
    let reason = match opened {
        Ok(mut link) => link.serve().await,
        Err(failure) => failure,
    };
    if let Some(undelivered) = outbox.finish() {
        sink.report(Report::Closed {
            code: None,
            reason,
            undelivered,
        });
    }
}

async fn dial(
    outbox: &Arc<Outbox>,
    sink: &Arc<dyn ConnectionSink>,
    dialer: Dialer,
    spec: ConnectionSpec,
    admitted: Result<Admission, Failure>,
    proxy: Option<Proxy>,
) -> Result<Link, Failure> {
    let admission = admitted?;
    let decoder = Decoder::new(spec.framing, spec.max_frame_bytes)?;
    let limit = spec
        .connect_timeout_ms
        .map_or(DEFAULT_TIMEOUT, |ms| Duration::from_millis(ms.into()))
        .min(LONGEST_CONNECT);
    let deadline = Instant::now() + limit;
    let dialer = dialer.with_timeout(limit);
    let (Transport::Tcp { host, port } | Transport::Tls { host, port }) = &spec.transport;
    let tcp = dialer.connect(host, *port, proxy.as_ref()).await?;
    if let Some(interval) = spec.ping_interval_ms {
        keep_alive(&tcp, Duration::from_millis(interval.into()));
    }
    let stream = match spec.transport {
        Transport::Tcp { .. } => Stream::Plain(tcp),
        Transport::Tls { .. } => {
            Stream::Tls(Box::new(dialer.handshake(host, tcp, deadline).await?))
        }
    };
    Ok(Link {
        outbox: outbox.clone(),
        sink: sink.clone(),
        tls: admission.may_start_tls.then(|| (dialer, limit)),
        framing: spec.framing,
        stream,
        decoder,
        batch: Batch::default(),
        credits: Arc::new(Semaphore::new(CREDIT_BYTES as usize)),
        stalled: None,
        ended: None,
        unwritable: None,
        deadline: None,
    })
}

/// The task's side of an open connection.
struct Link {
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

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
    /// Between the two.
    Upgrading,
}

/// What one look at the socket brought.
#[derive(Default)]
struct Progress {
    wrote: Option<io::Result<usize>>,
    flushed: Option<io::Result<()>>,
    read: Option<io::Result<usize>>,
}

enum Step {
    Io(Progress),
    Credit(Option<OwnedSemaphorePermit>),
    Changed,
    Deadline,
}

impl Link {
    /// Until the connection ends; gives the reason.
    async fn serve(&mut self) -> Failure {
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
        let writing = open && self.unwritable.is_none() && !self.batch.is_empty();
        let deadline = self.deadline;
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
            () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if reading && deadline.is_some() => Step::Deadline,
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
                self.hand_over();
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
            let frame = match self.decoder.next() {
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

impl Stream {
    /// Writes on, and flushes when all is written.
    fn poll_write_batch(&mut self, cx: &mut Context<'_>, batch: &Batch, progress: &mut Progress) {
        let rest = &batch.bytes[batch.written..];
        if rest.is_empty() {
            let flushed = match self {
                Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
                Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
                Self::Upgrading => Poll::Pending,
            };
            progress.flushed = ready(flushed);
        } else {
            let wrote = match self {
                Self::Plain(stream) => Pin::new(stream).poll_write(cx, rest),
                Self::Tls(stream) => Pin::new(stream).poll_write(cx, rest),
                Self::Upgrading => Poll::Pending,
            };
            progress.wrote = ready(wrote);
        }
    }

    /// Reads what is there, into the decoder or to nowhere. The buffer lives on the stack of this
    /// call, so that waiting costs no memory.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        decoder: Option<&mut Decoder>,
    ) -> Option<io::Result<usize>> {
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut space);
        let read = match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Self::Upgrading => Poll::Pending,
        };
        let result = ready(read)?;
        if let Some(decoder) = decoder {
            decoder.push(buffer.filled());
        }
        Some(result.map(|()| buffer.filled().len()))
    }

    async fn shut_down(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
            Self::Upgrading => Ok(()),
        }
    }
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// One semaphore bounds both count and bytes: a short frame costs a fixed share, a long one its
/// length, one beyond all credit all of it.
fn price(bytes: usize) -> u32 {
    u32::try_from(bytes)
        .unwrap_or(u32::MAX)
        .clamp(CREDIT_BYTES / CREDITS, CREDIT_BYTES)
}

fn keep_alive(tcp: &TcpStream, interval: Duration) {
    let interval = interval.max(Duration::from_secs(1));
    let settings = TcpKeepalive::new()
        .with_time(interval)
        .with_interval(interval);
    if let Err(error) = SockRef::from(tcp).set_tcp_keepalive(&settings) {
        tracing::debug!(%error, "TCP keep-alive could not be set");
    }
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

fn overflow() -> Failure {
    Failure::new(
        FailureCode::QuotaExceeded,
        format!("more than {MOST_WAITING_BYTES} bytes were waiting to be sent"),
    )
}

/// Never shown: who closes a connection here gets no report.
fn closed_here() -> Failure {
    Failure::new(FailureCode::Unavailable, "the connection was closed here")
}
