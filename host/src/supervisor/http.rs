//! HTTP requests of an account: what a turn asked for is sent after its commit, and the answer
//! becomes a turn that takes the request out of storage.
//!
//! A request that is `repeatable` is sent at once, and again after a crash. Any other is first
//! recorded as started, in a commit of its own: so after a crash the host knows of each whether
//! it may have left.

use super::actor::Actor;
use super::core::Core;
use super::flush::Flush;
use super::mailbox::{Input, Signal};
use crate::domain::SecretBytes;
use crate::domain::error::{Failure, FailureCode};
use crate::runtime::ledger::{Ledger, RequestView};
use crate::runtime::port::http::{
    HttpFlight, HttpRequest, HttpResponse, HttpSink, OutgoingRequest,
};
use crate::runtime::turn::HttpEffect;
use crate::storage::{AccountCommit, RequestWrite, StoredRequest};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

/// Requests of all accounts that are on their way, answers that wait for their turn among them.
pub const ROOM: usize = 512;

/// A request between its commit and its answer.
pub struct Pending {
    label: String,
    request: Arc<HttpRequest>,
    stage: Stage,
}

enum Stage {
    /// For room.
    Waiting,
    /// For the commit that says that it leaves.
    Marking(OwnedSemaphorePermit),
    Flying {
        /// Dropped, it is cancelled.
        _flight: Box<dyn HttpFlight>,
    },
    /// It came to its answer, which waits for its turn.
    Answered,
}

impl Pending {
    pub fn is_marking(&self) -> bool {
        matches!(self.stage, Stage::Marking(_))
    }
}

/// The changes in storage that a turn's effects are.
pub fn writes(effects: &[HttpEffect]) -> Vec<RequestWrite> {
    effects
        .iter()
        .map(|effect| match effect {
            HttpEffect::Submit { label, id, request } => RequestWrite::Put {
                id: *id,
                request: request.encode(label),
            },
            HttpEffect::End { id, .. } => RequestWrite::Remove { id: *id },
        })
        .collect()
}

impl Core {
    /// After the commit.
    pub fn flush_http(&mut self, actor: &Arc<Actor>, effects: Vec<HttpEffect>) {
        let ended: HashSet<Uuid> = effects
            .iter()
            .filter_map(|effect| match effect {
                HttpEffect::End { id, .. } => Some(*id),
                HttpEffect::Submit { .. } => None,
            })
            .collect();
        for id in &ended {
            self.requests.remove(id);
        }
        if !ended.is_empty() {
            actor.retain_inputs(
                |input| !matches!(input, Input::Http { id, .. } if ended.contains(id)),
            );
        }
        for effect in effects {
            if let HttpEffect::Submit { label, id, request } = effect
                && !ended.contains(&id)
            {
                self.queue_request(actor, label, id, request);
            }
        }
    }

    fn queue_request(
        &mut self,
        actor: &Arc<Actor>,
        label: String,
        id: Uuid,
        request: Arc<HttpRequest>,
    ) {
        let pending = Pending {
            label,
            request,
            stage: Stage::Waiting,
        };
        self.requests.insert(id, pending);
        let room = actor.shared.http_room.clone();
        match room.clone().try_acquire_owned() {
            Ok(permit) => self.on_http_room(actor, id, permit),
            Err(_) => {
                let runtime = actor.shared.runtime.clone();
                let actor = Arc::downgrade(actor);
                let waiting = async move {
                    let permit = room.acquire_owned().await;
                    if let (Ok(permit), Some(actor)) = (permit, actor.upgrade()) {
                        actor.signal(Signal::HttpRoom { id, permit });
                    }
                };
                runtime.spawn(waiting);
            }
        }
    }

    /// It may leave now, as far as others are concerned.
    pub fn on_http_room(&mut self, actor: &Arc<Actor>, id: Uuid, permit: OwnedSemaphorePermit) {
        if self.ledger.is_none() {
            self.requests.remove(&id);
            return;
        }
        let Some(pending) = self.requests.get_mut(&id) else {
            return;
        };
        if pending.request.repeatable {
            return self.send_request(actor, id, permit);
        }
        pending.stage = Stage::Marking(permit);
        let commit = AccountCommit {
            requests: vec![RequestWrite::Started { id }],
            ..self.empty_commit(actor)
        };
        let flush = Flush {
            started: vec![id],
            ..Flush::default()
        };
        self.submit_change(actor, commit, flush);
    }

    /// That it leaves is recorded.
    pub fn on_started(&mut self, actor: &Arc<Actor>, id: Uuid) {
        let Some(pending) = self.requests.get_mut(&id) else {
            return;
        };
        if let Stage::Marking(permit) = std::mem::replace(&mut pending.stage, Stage::Waiting) {
            self.send_request(actor, id, permit);
        }
    }

    fn send_request(&mut self, actor: &Arc<Actor>, id: Uuid, permit: OwnedSemaphorePermit) {
        let grant = Arc::new((actor.shared.settings.grants)(
            &self.provider.manifest,
            &self.merged_config(actor),
        ));
        let Some(ledger) = &self.ledger else {
            // The account was stopped: storage has the request, the next start takes it up.
            self.requests.remove(&id);
            return;
        };
        let Some(pending) = self.requests.get_mut(&id) else {
            return;
        };
        let outgoing = OutgoingRequest {
            account: actor.id.clone(),
            workspace: self.account.workspace.clone(),
            blobs: actor.shared.media.parts.blobs.clone(),
            secrets: secrets(ledger, &pending.request),
            request: pending.request.clone(),
            grant,
            proxy: self.account.proxy.clone(),
        };
        let sink = Arc::new(AnswerSink {
            actor: Arc::downgrade(actor),
            label: pending.label.clone(),
            id,
            permit: Mutex::new(Some(permit)),
        });
        pending.stage = Stage::Flying {
            _flight: actor.shared.http.send(outgoing, sink),
        };
    }

    /// Takes up what storage has: at a start without a ledger.
    pub fn recover_requests(
        &mut self,
        actor: &Arc<Actor>,
        ledger: &mut Ledger,
        stored: Vec<StoredRequest>,
    ) -> Vec<Recovered> {
        let mut recovered = Vec::new();
        for row in stored {
            let Some((label, request)) = HttpRequest::decode(&row.request) else {
                tracing::error!(account = %actor.id, id = %row.id, "a stored request cannot be read; it is left alone");
                continue;
            };
            let request = Arc::new(request);
            let view = RequestView {
                id: row.id,
                request: request.clone(),
            };
            ledger.set_request(&label, Some(view));
            // One of this process is on its way, or its answer waits.
            if self.requests.contains_key(&row.id) {
                continue;
            }
            recovered.push(Recovered {
                label,
                id: row.id,
                lost: row.started && !request.repeatable,
                request,
            });
        }
        recovered
    }

    pub fn go_on_with(&mut self, actor: &Arc<Actor>, recovered: Vec<Recovered>) {
        for one in recovered {
            if !one.lost {
                self.queue_request(actor, one.label, one.id, one.request);
                continue;
            }
            let pending = Pending {
                label: one.label.clone(),
                request: one.request,
                stage: Stage::Answered,
            };
            self.requests.insert(one.id, pending);
            let failure = Failure::new(
                FailureCode::Unavailable,
                "the host stopped while the request was on its way; the channel may have acted on it",
            );
            actor.input(Input::Http {
                label: one.label,
                id: one.id,
                outcome: Err(failure),
                _room: None,
            });
        }
    }

    /// An answer has come in.
    pub fn on_http_answered(&mut self, id: Uuid) {
        if let Some(pending) = self.requests.get_mut(&id) {
            pending.stage = Stage::Answered;
        }
    }

    /// Its answer killed the provider twice: it is given up.
    pub fn give_up_request(&mut self, actor: &Arc<Actor>, label: &str, id: Uuid) {
        self.requests.remove(&id);
        let Some(ledger) = &mut self.ledger else {
            return;
        };
        if ledger.requests.get(label).is_none_or(|view| view.id != id) {
            return;
        }
        ledger.set_request(label, None);
        ledger.keep();
        let commit = AccountCommit {
            requests: vec![RequestWrite::Remove { id }],
            ..self.empty_commit(actor)
        };
        self.submit_change(actor, commit, Flush::default());
    }
}

/// A request of an earlier process.
pub struct Recovered {
    label: String,
    id: Uuid,
    request: Arc<HttpRequest>,
    /// It may have left, and may not leave twice.
    lost: bool,
}

/// The values that its placements name.
fn secrets(ledger: &Ledger, request: &HttpRequest) -> Vec<(String, SecretBytes)> {
    let mut named: Vec<&str> = request
        .secrets
        .iter()
        .map(|placement| placement.secret.as_str())
        .collect();
    named.sort_unstable();
    named.dedup();
    named
        .into_iter()
        .filter_map(|name| {
            let value = ledger.secret(name)?;
            Some((name.to_owned(), SecretBytes::from(value)))
        })
        .collect()
}

/// Takes the answer of one request.
struct AnswerSink {
    actor: Weak<Actor>,
    label: String,
    id: Uuid,
    /// Its place among all, taken until its turn is committed.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl HttpSink for AnswerSink {
    fn answered(&self, outcome: Result<HttpResponse, Failure>) {
        let Some(actor) = self.actor.upgrade() else {
            return;
        };
        let room = match self.permit.lock() {
            Ok(mut permit) => permit.take(),
            Err(_) => None,
        };
        actor.signal(Signal::HttpAnswered { id: self.id });
        actor.input(Input::Http {
            label: self.label.clone(),
            id: self.id,
            outcome: outcome.map(Arc::new),
            _room: room,
        });
    }

    fn may_write(&self) -> bool {
        self.actor.upgrade().is_some_and(|actor| actor.holds())
    }
}
