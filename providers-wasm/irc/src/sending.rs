//! Writing messages: takes sends from the outbox at the pace that is allowed, a line at a
//! time, and fences each with a `PING`. It must never decide how a send ended.

use anyport_sdk::log::Level;
use anyport_sdk::types::ErrorCode;

use crate::message;
use crate::port::{Outgoing, Reply, Turn, error};
use crate::send::{self, Left, Send};
use crate::session::{Phase, Session, timer};
use crate::state;

/// Sends whose outcome may be open at once.
const MAX_OPEN: usize = 64;

impl Session {
    pub(crate) fn send(&mut self, turn: &mut Turn, request: &str, message: &Outgoing) {
        let subject = format!("send:{request}");
        turn.port.subject(&subject);
        if self.skip.contains(&subject) {
            return turn.refuse(
                request,
                error(
                    ErrorCode::Internal,
                    "the provider failed twice on this message",
                ),
            );
        }
        if self.outbox.knows(request) {
            return turn.log(
                Level::Debug,
                "a send that is on its way was asked for again",
            );
        }
        if let Some(problem) = self.misconfigured.clone() {
            return turn.refuse(request, error(ErrorCode::Invalid, problem));
        }
        if !self.signed_in {
            return turn.refuse(
                request,
                error(ErrorCode::Unauthenticated, "the account is not signed in"),
            );
        }
        let send = match Send::new(request, message) {
            Ok(send) => send,
            Err(refusal) => return turn.refuse(request, refusal),
        };
        if send.reply_to.is_some() && self.phase == Phase::Online && !self.link.has("message-tags")
        {
            return turn.refuse(
                request,
                error(ErrorCode::Unsupported, "this server cannot carry quotes"),
            );
        }
        if let Err(refusal) = self.outbox.admit(&send) {
            return turn.refuse(request, refusal);
        }
        self.outbox.waiting.push_back(send);
        self.pump(turn);
        if let Some(send) = self
            .outbox
            .waiting
            .iter_mut()
            .find(|send| send.request == request)
        {
            send.deferred = true;
            turn.reply(request, Reply::Deferred);
        }
    }

    /// Writes what may leave now.
    pub(crate) fn pump(&mut self, turn: &mut Turn) {
        while self.phase == Phase::Online {
            if let Some(last) = self.outbox.open.back_mut()
                && last.rest.is_empty()
                && !last.fenced
            {
                last.fenced = true;
                let (token, key) = (format!("f{:x}", last.number), last.key());
                state::put_json(turn.port, &key, last);
                self.write(turn, format!("PING :{token}"));
                continue;
            }
            let goes_on = self
                .outbox
                .open
                .back()
                .is_some_and(|last| !last.rest.is_empty());
            if !goes_on && (self.outbox.waiting.is_empty() || self.outbox.open.len() >= MAX_OPEN) {
                return;
            }
            if let Err(ready_at) = self.outbox.pacing.take(turn.now, self.config.rate()) {
                return turn.timer(timer::PACE, ready_at - turn.now, "");
            }
            let next = if goes_on {
                self.outbox.open.pop_back()
            } else {
                self.outbox.waiting.pop_front()
            };
            let Some(mut send) = next else { return };
            if !goes_on {
                if send.reply_to.is_some() && !self.link.has("message-tags") {
                    turn.refuse(
                        &send.request,
                        error(ErrorCode::Unsupported, "this server cannot carry quotes"),
                    );
                    continue;
                }
                send.number = self.ids.number(turn.port);
                send.first_frame = Some(self.frames + 1);
                if send.deferred {
                    turn.reply(&send.request, Reply::Dispatched);
                }
            }
            self.write_piece(turn, &mut send);
            state::put_json(turn.port, &send.key(), &send);
            self.outbox.open.push_back(send);
        }
    }

    fn write_piece(&mut self, turn: &mut Turn, send: &mut Send) {
        let Some(piece) = send.next_piece(&self.link) else {
            return;
        };
        let mut tags = Vec::new();
        if self.link.has("labeled-response") {
            tags.push(format!(
                "label={}",
                send::label(send.number, send.out.len())
            ));
        }
        if let Some(quoted) = &send.reply_to {
            tags.push(format!("+draft/reply={}", message::escape(quoted)));
        }
        let text = if piece.action {
            format!("\u{1}ACTION {}\u{1}", piece.text)
        } else {
            piece.text
        };
        let mut line = message::format(send.verb(), &[&send.target, &text]);
        if !tags.is_empty() {
            line = format!("@{} {line}", tags.join(";"));
        }
        send.out.push(Left {
            id: self.ids.id(turn.port),
            from_channel: false,
            hash: state::hash(text.as_bytes()),
            echoed: false,
            refused: false,
            at: turn.now,
        });
        self.write(turn, line);
    }

    /// A `PONG`: of the keep-alive nothing is left to do, of a fence all before it is answered.
    pub(crate) fn on_pong(&mut self, turn: &mut Turn, token: &str) {
        if let Some(number) = token
            .strip_prefix('f')
            .and_then(|number| u64::from_str_radix(number, 16).ok())
        {
            self.outbox.pong(turn, number);
            self.pump(turn);
        }
    }
}
