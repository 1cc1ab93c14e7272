//! Who waits for a send to settle, for a sign-in call to be answered, for a command to end or for a
//! medium. In memory only.

use super::commands::Ended;
use crate::domain::SendId;
use crate::domain::error::Failure;
use crate::domain::media::BlobId;
use crate::domain::send::SendChange;
use std::collections::HashMap;
use std::sync::Mutex;
use tokio::sync::oneshot;

#[derive(Default)]
pub struct Waiters {
    sends: Mutex<HashMap<SendId, Vec<oneshot::Sender<SendChange>>>>,
    calls: Mutex<HashMap<String, oneshot::Sender<Result<(), Failure>>>>,
    commands: Mutex<HashMap<String, oneshot::Sender<Ended>>>,
    fetches: Mutex<HashMap<String, oneshot::Sender<Result<BlobId, Failure>>>>,
}

impl Waiters {
    /// Before what is waited for can happen.
    pub fn send(&self, id: SendId) -> oneshot::Receiver<SendChange> {
        let (tell, told) = oneshot::channel();
        if let Ok(mut sends) = self.sends.lock() {
            let waiting = sends.entry(id).or_default();
            waiting.retain(|waiter| !waiter.is_closed());
            waiting.push(tell);
        }
        told
    }

    pub fn settled(&self, change: &SendChange) {
        let waiting = self
            .sends
            .lock()
            .ok()
            .and_then(|mut sends| sends.remove(&change.id));
        for waiter in waiting.into_iter().flatten() {
            let _ = waiter.send(change.clone());
        }
    }

    /// Nobody waits any more.
    pub fn forget_send(&self, id: &SendId) {
        if let Ok(mut sends) = self.sends.lock()
            && let Some(waiting) = sends.get_mut(id)
        {
            waiting.retain(|waiter| !waiter.is_closed());
            if waiting.is_empty() {
                sends.remove(id);
            }
        }
    }

    pub fn fetch(&self, request: &str) -> oneshot::Receiver<Result<BlobId, Failure>> {
        let (tell, told) = oneshot::channel();
        if let Ok(mut fetches) = self.fetches.lock() {
            fetches.retain(|_, waiter| !waiter.is_closed());
            fetches.insert(request.to_owned(), tell);
        }
        told
    }

    pub fn fetched(&self, request: &str, answer: Result<BlobId, Failure>) {
        let waiter = self
            .fetches
            .lock()
            .ok()
            .and_then(|mut fetches| fetches.remove(request));
        if let Some(waiter) = waiter {
            let _ = waiter.send(answer);
        }
    }

    pub fn call(&self, request: &str) -> oneshot::Receiver<Result<(), Failure>> {
        let (tell, told) = oneshot::channel();
        if let Ok(mut calls) = self.calls.lock() {
            calls.retain(|_, waiter| !waiter.is_closed());
            calls.insert(request.to_owned(), tell);
        }
        told
    }

    pub fn answered(&self, request: &str, answer: Result<(), Failure>) {
        let waiter = self
            .calls
            .lock()
            .ok()
            .and_then(|mut calls| calls.remove(request));
        if let Some(waiter) = waiter {
            let _ = waiter.send(answer);
        }
    }

    /// Every command ends, if only by its time limit: none is forgotten here.
    pub fn command(&self, request: &str) -> oneshot::Receiver<Ended> {
        let (tell, told) = oneshot::channel();
        if let Ok(mut commands) = self.commands.lock() {
            commands.insert(request.to_owned(), tell);
        }
        told
    }

    pub fn awaits_command(&self, request: &str) -> bool {
        let commands = self.commands.lock();
        commands.is_ok_and(|commands| {
            let waiter = commands.get(request);
            waiter.is_some_and(|waiter| !waiter.is_closed())
        })
    }

    /// Nothing, if it has ended before.
    pub fn ended(&self, request: &str, ended: Ended) {
        let waiter = self
            .commands
            .lock()
            .ok()
            .and_then(|mut commands| commands.remove(request));
        if let Some(waiter) = waiter {
            let _ = waiter.send(ended);
        }
    }
}
