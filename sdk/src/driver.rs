//! From the contract's calls to the traits of a provider. Decides nothing but what an `Err`
//! means: of a command an answer, of everything else a turn that fails.

use crate::lifecycle::{self, Descriptor, Snapshot, StartContext, Started};
use crate::provider::{Provider, Result, Start, place};
use crate::reactor::{self, Wake};
use crate::replies;
use crate::types::Error;

/// The place where a component keeps its one provider. [`export!`](crate::export) makes it.
pub trait Component: 'static {
    type Provider: Provider;
    fn with<T>(call: impl FnOnce(&mut Option<Self::Provider>) -> T) -> T;
}

pub fn describe<P: Provider>() -> Descriptor {
    Descriptor {
        state_version: P::STATE_VERSION,
        reads_state_versions: P::READS_STATE_VERSIONS.to_vec(),
        ..P::describe()
    }
}

pub fn start<P: Provider>(context: StartContext) -> Result<(P, Started)> {
    let mut start = Start::read(context)?;
    let provider = P::start(&mut start)?;
    let keeps = start.into_keeps();
    Ok((provider, Started { keeps }))
}

pub fn suspend<P: Provider>(provider: &P) -> Result<Snapshot> {
    let bytes = serde_json::to_vec(&provider.snapshot()?).map_err(|error| {
        Error::internal(format!("the snapshot cannot be written: {}", place(&error)))
    })?;
    Ok(Snapshot {
        state_version: P::STATE_VERSION,
        bytes,
    })
}

pub fn wake<P: Provider>(provider: &mut P, wake: Wake) -> Result {
    match wake {
        Wake::Opened(opened) => provider.opened(opened),
        Wake::Frame(received) => provider.received(received),
        Wake::Closed(closed) => provider.closed(closed),
        Wake::Timer(fired) => provider.timer(fired),
        Wake::Http(answered) => provider.answered(answered),
        Wake::Computed(computed) => provider.computed(computed),
        Wake::Blob(range) => provider.blob_read(range),
        Wake::Reconnect => provider.reconnect(),
        Wake::Stopping => provider.stopping(),
    }
}

/// An `Err` is the answer: the turn is ok, and the channel has done nothing.
pub fn command<P: Provider>(
    provider: &mut P,
    request: String,
    run: impl FnOnce(&mut P, String) -> Result,
) -> Result {
    if let Err(error) = run(provider, request.clone()) {
        replies::failed(&request, &error.not_done());
    }
    Ok(())
}

pub(crate) fn started<C: Component, T>(
    call: impl FnOnce(&mut C::Provider) -> Result<T>,
) -> Result<T> {
    C::with(|provider| match provider {
        Some(provider) => call(provider),
        None => Err(Error::internal("called before start")),
    })
}

impl<C: Component> lifecycle::Guest for C {
    fn describe() -> Descriptor {
        describe::<C::Provider>()
    }

    fn start(context: StartContext) -> Result<Started> {
        let (provider, started) = start(context)?;
        C::with(|place| *place = Some(provider));
        Ok(started)
    }

    fn suspend() -> Result<Snapshot> {
        started::<C, _>(|provider| suspend(provider))
    }
}

impl<C: Component> reactor::Guest for C {
    fn on_wake(call: Wake) -> Result {
        started::<C, _>(|provider| wake(provider, call))
    }
}
