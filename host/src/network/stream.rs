//! A socket with or without TLS, looked at without waiting and without a buffer of its own.

use super::framing::Decoder;
use super::outbox::Batch;
use super::tls::TlsStream;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

const READ_BYTES: usize = 16 * 1024;

pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
    /// Between the two.
    Upgrading,
}

/// What one look at the socket brought.
#[derive(Default)]
pub struct Progress {
    pub wrote: Option<io::Result<usize>>,
    pub flushed: Option<io::Result<()>>,
    pub read: Option<io::Result<usize>>,
}

impl Stream {
    /// Writes on, and flushes when all is written.
    pub fn poll_write_batch(
        &mut self,
        cx: &mut Context<'_>,
        batch: &Batch,
        progress: &mut Progress,
    ) {
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
    pub fn poll_receive(
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

    pub async fn shut_down(&mut self) -> io::Result<()> {
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
