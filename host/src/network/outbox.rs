//! What a connection was asked to do and has not done yet, in order. Shared between the handle,
//! whose calls never block, and the connection's task.
//!
//! Also keeps the count of frames that have not left: whatever ends the connection, each frame
//! that was accepted is either settled (taken by the kernel) or undelivered.

use super::framing::{FrameFault, encode};
use crate::runtime::port::Framing;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// More than this waiting to be sent closes the connection.
pub const MOST_WAITING_BYTES: usize = 8 * 1024 * 1024;
/// Queued frames are joined into writes of about this size.
const WRITE_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
pub struct Outbox {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    orders: VecDeque<Order>,
    /// Frames in `orders` and in the task's batch, and their bytes.
    waiting_frames: u32,
    waiting_bytes: usize,
    status: Status,
    starts_tls: bool,
}

#[derive(Debug)]
enum Order {
    Frame { bytes: Vec<u8>, token: Option<u64> },
    StartTls { server_name: String },
}

/// What the handle wants of the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    #[default]
    Open,
    /// Nobody keeps up with what is to be sent.
    Overflowed,
    /// Close after what was sent before, without a report.
    Closing,
    /// The handle is gone, or the connection has ended: nothing is taken any more.
    Gone,
}

/// Frames joined for one write.
#[derive(Debug, Default)]
pub struct Batch {
    pub bytes: Vec<u8>,
    pub written: usize,
    frames: VecDeque<BatchedFrame>,
}

#[derive(Debug)]
struct BatchedFrame {
    end: usize,
    weight: usize,
    token: Option<u64>,
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    Nothing,
    /// The batch was filled.
    Write,
    StartTls(String),
    /// Everything has left.
    Close,
}

impl Batch {
    /// Nothing of it is left to write or to flush.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.frames.is_empty()
    }
}

impl Outbox {
    pub fn send(&self, bytes: Vec<u8>, token: Option<u64>) {
        let mut state = self.lock();
        match state.status {
            Status::Closing | Status::Gone => return,
            Status::Overflowed => {
                state.waiting_frames += 1;
                return;
            }
            Status::Open => {}
        }
        state.waiting_frames += 1;
        state.waiting_bytes += bytes.len();
        if state.waiting_bytes > MOST_WAITING_BYTES {
            state.status = Status::Overflowed;
            state.orders = VecDeque::new();
        } else {
            state.orders.push_back(Order::Frame { bytes, token });
        }
        drop(state);
        self.changed.notify_one();
    }

    pub fn start_tls(&self, server_name: String) {
        let mut state = self.lock();
        if state.status == Status::Open {
            state.starts_tls = true;
            state.orders.push_back(Order::StartTls { server_name });
        }
        drop(state);
        self.changed.notify_one();
    }

    pub fn close(&self) {
        let mut state = self.lock();
        match state.status {
            Status::Open => state.status = Status::Closing,
            Status::Overflowed => state.status = Status::Gone,
            Status::Closing | Status::Gone => {}
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The handle is dropped. What was closed before still leaves.
    pub fn abandon(&self) {
        let mut state = self.lock();
        if state.status != Status::Closing {
            state.status = Status::Gone;
            state.orders = VecDeque::new();
        }
        drop(state);
        self.changed.notify_one();
    }

    pub fn status(&self) -> Status {
        self.lock().status
    }

    /// TLS was asked for and has not begun.
    pub fn starts_tls(&self) -> bool {
        self.lock().starts_tls
    }

    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Resolves when there is no use in opening the connection any more.
    pub async fn useless(&self) {
        loop {
            {
                let state = self.lock();
                match state.status {
                    Status::Gone | Status::Overflowed => return,
                    Status::Closing if state.waiting_frames == 0 => return,
                    Status::Open | Status::Closing => {}
                }
            }
            self.changed.notified().await;
        }
    }

    /// Takes what comes next; the batch has to be empty. A frame that cannot leave ends the
    /// connection, but what was sent before it leaves first.
    pub fn take(&self, framing: Framing, batch: &mut Batch) -> Result<Next, FrameFault> {
        let mut state = self.lock();
        while batch.bytes.len() < WRITE_BYTES
            && let Some(Order::Frame { bytes, token }) = state.orders.front()
        {
            if let Err(fault) = encode(framing, bytes, &mut batch.bytes) {
                if batch.frames.is_empty() {
                    return Err(fault);
                }
                break;
            }
            batch.frames.push_back(BatchedFrame {
                end: batch.bytes.len(),
                weight: bytes.len(),
                token: *token,
            });
            state.orders.pop_front();
        }
        if !batch.frames.is_empty() {
            return Ok(Next::Write);
        }
        match state.orders.pop_front() {
            Some(Order::StartTls { server_name }) => {
                state.starts_tls = state
                    .orders
                    .iter()
                    .any(|order| matches!(order, Order::StartTls { .. }));
                Ok(Next::StartTls(server_name))
            }
            // The loop above takes every frame that is in front.
            Some(Order::Frame { .. }) | None if state.status == Status::Closing => Ok(Next::Close),
            Some(Order::Frame { .. }) | None => {
                state.orders.shrink_to_fit();
                Ok(Next::Nothing)
            }
        }
    }

    /// The kernel has taken the first `upto` bytes of the batch: gives the tokens of the frames in
    /// them.
    pub fn settle(&self, batch: &mut Batch, upto: usize) -> Vec<u64> {
        let mut tokens = Vec::new();
        let mut state = self.lock();
        while let Some(frame) = batch.frames.pop_front_if(|frame| frame.end <= upto) {
            state.waiting_frames = state.waiting_frames.saturating_sub(1);
            state.waiting_bytes = state.waiting_bytes.saturating_sub(frame.weight);
            tokens.extend(frame.token);
        }
        tokens
    }

    /// The connection has ended. Gives how many frames never left, or `None` if nobody wants a
    /// report.
    pub fn finish(&self) -> Option<u32> {
        let mut state = self.lock();
        let reported = matches!(state.status, Status::Open | Status::Overflowed);
        state.status = Status::Gone;
        state.orders = VecDeque::new();
        reported.then_some(state.waiting_frames)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
