//! Media of an account: what a send names by address is had before the provider is called, what a
//! provider asks to read is read after its commit, and attachments and pictures are fetched for who
//! asks.

use super::Supervisor;
use super::actor::Actor;
use super::control::Refusal;
use super::core::{Core, OpenSend};
use super::mailbox::{Input, Signal};
use crate::domain::account::{Account, AuthStatus, RuntimeStatus};
use crate::domain::command::{Expects, call_id};
use crate::domain::error::{Certainty, Failure, FailureCode};
use crate::domain::media::{Blob, BlobError, BlobId, BlobOwner};
use crate::domain::send::{Content, MediumSource, Outgoing, SendOutcome, SendState};
use crate::domain::{AccountId, SendId};
use crate::runtime::ledger::MakingView;
use crate::runtime::port::{Blobs, Fetcher, NewBlob};
use crate::runtime::turn::BlobEffect;
use crate::storage::blobs::{BlobRows, BlobWrite, Making};
use crate::telemetry::trace::TraceContext;
use futures::TryStreamExt as _;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Addresses that are fetched at once, of all accounts.
const FETCHES: usize = 16;
/// One fetch may take so long.
const FETCH_TIME: Duration = Duration::from_secs(30 * 60);

/// What accounts need of the media store.
#[derive(Clone)]
pub struct MediaParts {
    pub blobs: Arc<dyn Blobs>,
    pub rows: Arc<dyn BlobRows>,
    pub fetcher: Arc<dyn Fetcher>,
    /// How long what nothing refers to is kept.
    pub keep_ms: u64,
}

/// The same, shared by all accounts.
pub struct SharedMedia {
    pub parts: MediaParts,
    slots: Arc<Semaphore>,
}

impl SharedMedia {
    pub fn new(parts: MediaParts) -> Self {
        Self {
            parts,
            slots: Arc::new(Semaphore::new(FETCHES)),
        }
    }
}

/// A send whose media are on their way, and those of its conversation that wait behind it.
pub struct Fetching {
    id: SendId,
    trace: Option<TraceContext>,
    behind: VecDeque<Input>,
}

/// A read that a turn asked for.
pub struct BlobRead {
    label: String,
    generation: u64,
    blob: BlobId,
    offset: u64,
    length: u32,
}

impl Core {
    /// None: it waits for its media, or behind a send that does, and comes again. The order within
    /// the conversation stays.
    pub fn with_media(&mut self, actor: &Arc<Actor>, input: Input) -> Option<Input> {
        let Input::Send {
            id,
            outgoing,
            trace,
        } = input
        else {
            return Some(input);
        };
        let known = self.sends.get(&id);
        if known.is_some_and(|send| send.state.is_settled()) {
            return None;
        }
        // What was had already is not had again.
        let outgoing = known.map_or(outgoing, |send| send.outgoing.clone());
        let input = Input::Send {
            id,
            outgoing: outgoing.clone(),
            trace,
        };
        let far = outgoing.content.must_be_fetched();
        let ahead = self.fetching.get_mut(&outgoing.conversation);
        if ahead.is_none() && !far {
            return Some(input);
        }
        self.sends.entry(id).or_insert_with(|| OpenSend {
            outgoing: outgoing.clone(),
            state: SendState::Recorded,
            deferred: false,
            trace,
        });
        if let Some(ahead) = ahead {
            let is_there =
                |other: &Input| matches!(other, Input::Send { id: other, .. } if *other == id);
            if ahead.id != id && !ahead.behind.iter().any(is_there) {
                ahead.behind.push_back(input);
            }
            return None;
        }
        let fetching = Fetching {
            id,
            trace,
            behind: VecDeque::new(),
        };
        self.fetching
            .insert(outgoing.conversation.clone(), fetching);
        let (shared, actor) = (actor.shared.clone(), Arc::downgrade(actor));
        let owner = BlobOwner {
            workspace: self.account.workspace.clone(),
            account: Some(self.account.id.clone()),
        };
        shared.runtime.clone().spawn(async move {
            let work = fetch_all(&shared.media, owner, id, (*outgoing).clone());
            let result = tokio::time::timeout(FETCH_TIME, work).await;
            let result = result.unwrap_or_else(|_| {
                Err(Failure::new(
                    FailureCode::Unavailable,
                    "message.url: it took too long to get what it leads to",
                ))
            });
            if let Some(actor) = actor.upgrade() {
                let result = result.map(Arc::new);
                actor.signal(Signal::Fetched { id, result });
            }
        });
        None
    }

    pub fn on_fetched(
        &mut self,
        actor: &Arc<Actor>,
        id: SendId,
        result: Result<Arc<Outgoing>, Failure>,
    ) {
        let conversation = self
            .fetching
            .iter()
            .find(|(_, fetching)| fetching.id == id)
            .map(|(conversation, _)| conversation.clone());
        let Some(done) = conversation.and_then(|name| self.fetching.remove(&name)) else {
            return;
        };
        let mut again: Vec<Input> = Vec::with_capacity(done.behind.len() + 1);
        match result {
            Ok(outgoing) => {
                if let Some(send) = self.sends.get_mut(&id) {
                    send.outgoing = outgoing.clone();
                }
                again.push(Input::Send {
                    id,
                    outgoing,
                    trace: done.trace,
                });
            }
            Err(failure) => {
                self.tick();
                let certainty = Certainty::NotDone;
                self.settle_by_host(actor, id, SendOutcome::Failed { failure, certainty });
            }
        }
        again.extend(done.behind);
        let ids: Vec<SendId> = again
            .iter()
            .filter_map(|input| match input {
                Input::Send { id, .. } => Some(*id),
                _ => None,
            })
            .collect();
        // A start may have called some of them again.
        actor.retain_inputs(|input| !matches!(input, Input::Send { id, .. } if ids.contains(id)));
        actor.input_again(again);
    }

    /// What a turn did with blobs, for its commit, and what it wants to read after that.
    pub fn settle_blobs(
        &mut self,
        actor: &Actor,
        effects: Vec<BlobEffect>,
    ) -> (Vec<BlobWrite>, Vec<BlobRead>) {
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for effect in effects {
            writes.push(match effect {
                BlobEffect::Create { label, view } => BlobWrite::Create(Making {
                    id: view.id,
                    label,
                    size: view.size,
                    meta: view.meta,
                    created_at: view.created_at,
                }),
                BlobEffect::Append { id, offset, bytes } => BlobWrite::Append { id, offset, bytes },
                BlobEffect::Seal(MakingView { id, size, meta, .. }) => BlobWrite::Seal {
                    id,
                    size,
                    meta,
                    keep_until: self.now.plus_ms(actor.shared.media.parts.keep_ms),
                },
                BlobEffect::Discard(id) => BlobWrite::Discard(id),
                BlobEffect::Keep { id, until } => BlobWrite::Keep { id, until },
                BlobEffect::Read {
                    label,
                    generation,
                    blob,
                    offset,
                    length,
                } => {
                    reads.push(BlobRead {
                        label,
                        generation,
                        blob,
                        offset,
                        length,
                    });
                    continue;
                }
            });
        }
        (writes, reads)
    }

    pub fn flush_reads(&self, actor: &Arc<Actor>, reads: Vec<BlobRead>) {
        for read in reads {
            let (shared, actor) = (actor.shared.clone(), Arc::downgrade(actor));
            let (workspace, account) = (self.account.workspace.clone(), self.account.id.clone());
            shared.runtime.clone().spawn(async move {
                let work = async {
                    let blobs = &shared.media.parts.blobs;
                    let blob = blobs.stat(&workspace, &read.blob).await?;
                    if !blob.owner.lets(&account) {
                        return Err(BlobError::NotFound);
                    }
                    let end = read.offset.saturating_add(u64::from(read.length));
                    let range = read.offset.min(blob.size)..end.min(blob.size);
                    let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
                    let mut stream = blobs.read(&blob, range).await?;
                    while let Some(piece) = stream
                        .try_next()
                        .await
                        .map_err(|error| BlobError::Unavailable(error.to_string()))?
                    {
                        bytes.extend_from_slice(&piece);
                    }
                    Ok(bytes)
                };
                let outcome = work.await.map(Into::into).map_err(Failure::from);
                if let Some(actor) = actor.upgrade() {
                    actor.input(Input::Blob {
                        label: read.label,
                        generation: read.generation,
                        outcome,
                    });
                }
            });
        }
    }

    /// Whoever waits for media that only the guest's memory knew of is told.
    pub fn fail_fetches(&mut self, actor: &Actor, failure: &Failure) {
        for request in self.fetches.drain() {
            let answer = Err(failure.clone());
            actor.shared.waiters.fetched(&request, answer);
        }
    }
}

/// The same message with everything that it names by address in the media store.
async fn fetch_all(
    media: &SharedMedia,
    owner: BlobOwner,
    id: SendId,
    mut outgoing: Outgoing,
) -> Result<Outgoing, Failure> {
    let _slot = media.slots.acquire().await;
    let Content::Media { media: files, .. } = &mut outgoing.content else {
        return Ok(outgoing);
    };
    let of_url = |failure: Failure| Failure {
        message: format!("message.url: {}", failure.message),
        ..failure
    };
    let parts = &media.parts;
    for medium in files {
        let MediumSource::Url(url) = &medium.source else {
            continue;
        };
        let fetched = parts.fetcher.fetch(url).await.map_err(of_url)?;
        let new = NewBlob {
            owner: owner.clone(),
            mime: medium.mime.clone().or(fetched.mime),
            filename: medium.filename.clone().or(fetched.filename),
            max_bytes: None,
        };
        let made = parts.blobs.make(new, fetched.bytes).await;
        let blob = made.map_err(|error| of_url(error.into()))?;
        let used = parts.rows.use_blob(&blob.id, &id).await;
        used.map_err(|error| Failure {
            detail: Some(error.to_string()),
            ..Failure::new(
                FailureCode::Unavailable,
                "the database does not take it now",
            )
        })?;
        medium.mime = blob.meta.mime;
        medium.filename = blob.meta.filename;
        medium.size = Some(blob.size);
        medium.source = MediumSource::Blob(blob.id);
    }
    Ok(outgoing)
}

/// What is at the address, if it is a picture: what it is its first bytes say, not the address.
async fn fetch_picture(
    media: &SharedMedia,
    owner: BlobOwner,
    url: &str,
    max_bytes: u64,
) -> Result<Blob, Failure> {
    let _slot = media.slots.acquire().await;
    let parts = &media.parts;
    let fetched = parts.fetcher.fetch(url).await?;
    let new = NewBlob {
        owner,
        mime: None,
        filename: None,
        max_bytes: Some(max_bytes),
    };
    let blob = parts.blobs.make(new, fetched.bytes).await?;
    if (blob.meta.sniffed.as_deref()).is_some_and(|mime| mime.starts_with("image/")) {
        return Ok(blob);
    }
    if let Err(error) = parts
        .rows
        .remove_blob(&blob.owner.workspace, &blob.id)
        .await
    {
        tracing::debug!(%error, "what is no picture is removed later");
    }
    let text = "what the address leads to is not an image";
    Err(Failure::new(FailureCode::Invalid, text))
}

impl Supervisor {
    pub(super) async fn get_picture(
        &self,
        account: &Account,
        url: &str,
        max_bytes: u64,
        wait: Duration,
    ) -> Result<Blob, Failure> {
        let owner = BlobOwner {
            workspace: account.workspace.clone(),
            account: Some(account.id.clone()),
        };
        let work = fetch_picture(&self.shared.media, owner, url, max_bytes);
        tokio::time::timeout(wait, work).await.unwrap_or_else(|_| {
            let text = "it took too long to get what the address leads to";
            Err(Failure::new(FailureCode::Unavailable, text))
        })
    }

    pub(super) async fn get_media(
        &self,
        id: &AccountId,
        reference: String,
        wait: Duration,
    ) -> Result<BlobId, Refusal> {
        let actor = self.owned(id).await?;
        let live = actor.look(|live| live.clone());
        let provider = self
            .providers
            .by_digest(&live.digest)
            .ok_or_else(|| Refusal::UnknownProvider(actor.provider.clone()))?;
        if !provider.can_fetch_media() {
            return Err(Refusal::Unsupported("media".into()));
        }
        if live.auth_status != AuthStatus::Authorized {
            return Err(Refusal::NotAuthorized);
        }
        if !live.wanted || live.runtime.status == RuntimeStatus::Stopped {
            return Err(Refusal::Stopped);
        }
        let down = [RuntimeStatus::Error, RuntimeStatus::Disconnected];
        if down.contains(&live.runtime.status) {
            return Err(Refusal::Failed(Failure::new(
                FailureCode::Unavailable,
                "the account has no link to its channel now",
            )));
        }
        let request = call_id(Expects::Media);
        let answered = self.shared.waiters.fetch(&request);
        actor.input(Input::FetchMedia { request, reference });
        match tokio::time::timeout(wait, answered).await {
            Ok(Ok(Ok(blob))) => Ok(blob),
            Ok(Ok(Err(failure))) => Err(Refusal::Failed(failure)),
            Ok(Err(_)) | Err(_) => Err(Refusal::Failed(Failure::new(
                FailureCode::Unavailable,
                "the provider did not give the medium in time",
            ))),
        }
    }
}
