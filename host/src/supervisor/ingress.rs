//! Requests of channels: which route, is it the channel, whose is it, and a turn of each account
//! that it is for. The channel gets its answer after the commits.
//!
//! Nothing of a request is logged: a refused one is counted, and told of once a minute at most.

mod proof;
mod split;

use super::Supervisor;
use super::actor::Actor;
use super::control::{Arriving, IngressRefusal, IngressTarget, Refusal};
use super::mailbox::Input;
use crate::domain::ingress::{IngressRequest, IngressResponse, IngressRoute, Owner, Verify};
use crate::domain::{AccountId, SecretBytes, Timestamp};
use crate::runtime::Provider;
use crate::storage::StorageError;
use crate::telemetry::trace;
use futures::future::join_all;
use proof::{Reason, Seen};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Of one account, for requests that wait; a small one takes so much of it.
pub const ROOM_KIB: usize = 4096;
const LEAST_KIB: usize = 64;
/// Channels give up at about half a minute and send again.
const PATIENCE: Duration = Duration::from_secs(25);
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// When an operator was told last: by provider, route and reason.
type Told = HashMap<(String, String, &'static str), Instant>;

type Secrets = Vec<(String, SecretBytes)>;

/// The route of a request.
struct Found {
    provider: Arc<Provider>,
    route: IngressRoute,
    /// Unless it is for all of the provider's.
    actor: Option<Arc<Actor>>,
}

impl Supervisor {
    pub(super) fn ingress_limit_of(
        &self,
        target: &IngressTarget,
        route: &str,
    ) -> Result<usize, IngressRefusal> {
        self.find_route(target, route)
            .map(|found| found.route.max_bytes as usize)
            .inspect_err(|_| self.count("none", "none", "unknown"))
    }

    fn find_route(&self, target: &IngressTarget, route: &str) -> Result<Found, IngressRefusal> {
        let (provider, actor) = match target {
            IngressTarget::App(name) => (self.providers.current(name), None),
            IngressTarget::Account(id) => {
                let actor = match self.actor(id) {
                    Some(actor) if actor.holds() => actor,
                    // One that was deleted, or never was, by a host that would have it.
                    None if self.owns(id) => return Err(IngressRefusal::UnknownAccount),
                    _ => return Err(IngressRefusal::OwnerElsewhere),
                };
                let digest = actor.look(|live| live.digest.clone());
                (self.providers.by_digest(&digest), Some(actor))
            }
        };
        let provider = provider.ok_or(IngressRefusal::UnknownRoute)?;
        let shared = actor.is_none();
        let found = provider
            .manifest
            .ingress
            .iter()
            .find(|known| known.route == route && known.is_shared() == shared)
            .cloned();
        match found {
            Some(route) => Ok(Found {
                provider,
                route,
                actor,
            }),
            None => Err(IngressRefusal::UnknownRoute),
        }
    }

    pub(super) async fn take_ingress(
        &self,
        arriving: Arriving,
    ) -> Result<IngressResponse, IngressRefusal> {
        let found = self
            .find_route(&arriving.target, &arriving.route)
            .inspect_err(|_| self.count("none", "none", "unknown"))?;
        let (provider, route) = (
            found.provider.manifest.id.clone(),
            found.route.route.clone(),
        );
        let taken = self.take(found, arriving).await;
        let outcome = match &taken {
            Ok((_, outcome)) => outcome,
            Err((_, outcome)) => outcome,
        };
        self.count(&provider, &route, outcome);
        taken
            .map(|(response, _)| response)
            .map_err(|(refusal, _)| refusal)
    }

    fn count(&self, provider: &str, route: &str, outcome: &'static str) {
        let metrics = &self.shared.settings.ingress_metrics;
        metrics.called(provider, route, outcome);
    }

    async fn take(
        &self,
        found: Found,
        arriving: Arriving,
    ) -> Result<(IngressResponse, &'static str), (IngressRefusal, &'static str)> {
        let Arriving {
            target: _,
            route: _,
            method,
            path,
            below,
            query,
            url,
            headers,
            body,
        } = arriving;
        let route = &found.route;
        let Some(body) = body else {
            return Err((IngressRefusal::TooLarge, "too_large"));
        };
        let secrets = self.ingress_secrets(&found).await.map_err(|error| {
            tracing::warn!(%error, "a channel's request was not taken: its secrets cannot be read");
            (IngressRefusal::Storage, "storage")
        })?;
        let seen = Seen {
            method: &method,
            path: &path,
            query: query.as_deref(),
            url: url.as_deref(),
            headers: &headers,
            body: &body,
            now: Timestamp::now(),
        };
        let refuse = |reason: Reason| {
            self.tell_of_refusal(&found, reason);
            (reason.refusal(), reason.as_str())
        };
        let challenge = route.challenge.as_ref();
        if let Some(asked) = challenge.filter(|challenge| challenge.query.is_some())
            && let Some(answer) = proof::answer(asked, &seen, &secrets)
        {
            return answer.map(|answer| (answer, "challenge")).map_err(refuse);
        }
        if !route.methods.contains(&method) {
            return Err((IngressRefusal::Method(route.methods.clone()), "method"));
        }
        if route.verify == Verify::None {
            let lax = &self.shared.settings.unverified_ingress;
            if !lax.contains(&found.provider.manifest.id) {
                return Err(refuse(Reason::NotAllowed));
            }
        } else {
            proof::verify(&route.verify, &seen, &secrets).map_err(refuse)?;
        }
        if let Some(asked) = challenge.filter(|challenge| challenge.pointer.is_some())
            && let Some(answer) = proof::answer(asked, &seen, &secrets)
        {
            return answer.map(|answer| (answer, "challenge")).map_err(refuse);
        }
        drop(secrets);
        let (headers, query) = proof::without_token(&route.verify, headers, query);
        let request = IngressRequest {
            method,
            route: route.route.clone(),
            path: match &query {
                Some(query) => format!("{below}?{query}"),
                None => below,
            },
            headers,
            body: Vec::new(),
        };
        let turns = match &found.actor {
            Some(actor) => vec![(actor.clone(), body)],
            None => self.owners(&found, &request, body).await?,
        };
        self.run_turns(turns, &request).await
    }

    /// The account's over the operator's; of a route that is shared, the operator's.
    async fn ingress_secrets(&self, found: &Found) -> Result<Secrets, StorageError> {
        let named = found.route.secrets();
        let mut secrets = match &found.actor {
            Some(actor) if !named.is_empty() => self.shared.store.secrets(&actor.id).await?,
            _ => Vec::new(),
        };
        let under = self.shared.settings.operator_config.secrets(
            &found.provider.manifest.id,
            &found.provider.descriptor.config_schema,
        );
        for (name, value) in under {
            if secrets.iter().all(|(known, _)| *known != name) {
                secrets.push((name, value));
            }
        }
        secrets.retain(|(name, _)| named.contains(&name.as_str()));
        Ok(secrets)
    }

    /// The accounts that a shared request is for, each with its part of the body.
    async fn owners(
        &self,
        found: &Found,
        request: &IngressRequest,
        body: Vec<u8>,
    ) -> Result<Vec<(Arc<Actor>, Vec<u8>)>, (IngressRefusal, &'static str)> {
        let parts = match &found.route.account {
            Owner::Path => Vec::new(),
            Owner::Header(header) => {
                let value = request
                    .headers
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(&header.header));
                match value {
                    Some((_, reference)) => vec![(reference.clone(), body)],
                    None => {
                        let refusal = IngressRefusal::Malformed(
                            "the header that names the account is missing",
                        );
                        return Err((refusal, "malformed"));
                    }
                }
            }
            Owner::Pointer(pointer) => split::split(pointer, body)
                .map_err(|what| (IngressRefusal::Malformed(what), "malformed"))?,
        };
        let provider = &found.provider.manifest.id;
        let mut turns = Vec::new();
        for (reference, body) in parts {
            let accounts = self
                .shared
                .store
                .accounts_by_ref(provider, &reference)
                .await;
            let accounts = accounts.map_err(|error| {
                tracing::warn!(%error, "a channel's request was not taken: its accounts cannot be read");
                (IngressRefusal::Storage, "storage")
            })?;
            if accounts.is_empty() {
                self.count(provider, &found.route.route, "unknown_account");
            }
            for account in accounts {
                let actor = self.ingress_owner(&account.id).await?;
                turns.push((actor, body.clone()));
            }
        }
        if turns.is_empty() {
            return Err((IngressRefusal::UnknownAccount, "unknown_account"));
        }
        Ok(turns)
    }

    async fn ingress_owner(
        &self,
        id: &AccountId,
    ) -> Result<Arc<Actor>, (IngressRefusal, &'static str)> {
        self.owned(id).await.map_err(|refusal| match refusal {
            Refusal::Storage(_) => (IngressRefusal::Storage, "storage"),
            _ => (IngressRefusal::OwnerElsewhere, "owner_elsewhere"),
        })
    }

    /// One turn for each; the first one's answer, unless another one is worse.
    async fn run_turns(
        &self,
        turns: Vec<(Arc<Actor>, Vec<u8>)>,
        request: &IngressRequest,
    ) -> Result<(IngressResponse, &'static str), (IngressRefusal, &'static str)> {
        let mut waiting = Vec::with_capacity(turns.len());
        for (actor, body) in turns {
            let kib = body.len().div_ceil(1024).max(LEAST_KIB) as u32;
            let room = actor.ingress_room.clone().try_acquire_many_owned(kib);
            // Those before it run nevertheless; what comes again is dropped by its keys.
            let room = room.map_err(|_| (IngressRefusal::Busy, "busy"))?;
            let (answer, wait) = oneshot::channel();
            actor.input(Input::Ingress {
                request: Arc::new(IngressRequest {
                    body,
                    ..request.clone()
                }),
                answer: Some(answer),
                trace: trace::of_request(),
                _room: room,
            });
            waiting.push(wait);
        }
        let unavailable = (IngressRefusal::Unavailable, "unavailable");
        let answered = tokio::time::timeout(PATIENCE, join_all(waiting)).await;
        let mut kept: Option<IngressResponse> = None;
        for answer in answered.map_err(|_| unavailable.clone())? {
            let response = answer.map_err(|_| unavailable.clone())?;
            let worse = |kept: &IngressResponse| response.status >= 300 && kept.status < 300;
            if kept.as_ref().is_none_or(worse) {
                kept = Some(response);
            }
        }
        kept.map(|response| (response, "answered"))
            .ok_or(unavailable)
    }

    /// A line for operators, not for every request: whoever knows the address can send many.
    fn tell_of_refusal(&self, found: &Found, reason: Reason) {
        static TOLD: Mutex<Option<Told>> = Mutex::new(None);
        let (provider, route) = (&found.provider.manifest.id, &found.route.route);
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        let told = told.get_or_insert_default();
        let key = (provider.clone(), route.clone(), reason.as_str());
        let now = Instant::now();
        if told.get(&key).is_some_and(|last| now - *last < TOLD_EVERY) {
            return;
        }
        told.insert(key, now);
        tracing::warn!(
            provider,
            route,
            reason = reason.as_str(),
            todo = reason.todo(),
            account = found.actor.as_ref().map(|actor| actor.id.to_string()),
            "a channel's request was refused; others like it are only counted for a minute"
        );
    }
}
