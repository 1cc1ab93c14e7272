//! HTTP requests of accounts: policy, secrets, connections, and an answer of bounded size.
//!
//! HTTP/1.1 over connections that are kept for a short time and belong to one account: what one
//! account did on a connection tells the server nothing about another. Redirects are not followed.
//! What is said of a failure names host and port, never the address or what the client library says.

mod answer;
mod body;
mod compose;
mod exchange;
mod placed;
mod pool;
mod target;

use self::answer::Wanted;
use self::compose::compose;
use self::exchange::{Sending, exchange};
use self::placed::may_place;
use self::pool::Key;
use self::target::Target;
use super::Network;
use super::dial::Dialer;
use super::egress;
use crate::domain::error::{Failure, FailureCode};
use crate::domain::media::BlobOwner;
use crate::runtime::port::http::{HttpClient, HttpFlight, HttpResponse, HttpSink, OutgoingRequest};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use self::pool::Pools;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// For connecting, within a request's own time.
const CONNECT: Duration = Duration::from_secs(15);
/// Between looks whether a request may leave that the lease holds back.
const LEASE_LOOK: Duration = Duration::from_millis(100);

struct Flight(Option<JoinHandle<()>>);

impl HttpFlight for Flight {
    fn detach(mut self: Box<Self>) {
        self.0 = None;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

impl HttpClient for Network {
    fn send(&self, outgoing: OutgoingRequest, sink: Arc<dyn HttpSink>) -> Box<dyn HttpFlight> {
        let admitted = self.admit_request(&outgoing);
        let (dialer, pools) = (self.dialer(), self.pools.clone());
        let metrics = self.metrics.clone();
        let task = self.runtime.spawn(async move {
            let outcome = match admitted {
                Ok(admitted) => run(&dialer, &pools, outgoing, admitted, &*sink).await,
                Err(failure) => Err(failure),
            };
            metrics.requested(match &outcome {
                Ok(_) => "answered",
                Err(failure) if failure.code == FailureCode::Denied => "denied",
                Err(_) => "failed",
            });
            sink.answered(outcome);
        });
        Box::new(Flight(Some(task)))
    }
}

/// What a request may do, as far as its address says it.
struct Admitted {
    target: Target,
    /// What the path that leaves has to begin with, one of them; anything when empty.
    paths: Vec<String>,
}

impl Network {
    fn admit_request(&self, outgoing: &OutgoingRequest) -> Result<Admitted, Failure> {
        let request = &outgoing.request;
        let target = Target::parse(&request.url)?;
        let asked = egress::Asked {
            host: &target.host,
            port: target.port,
            transport: if target.https { "https" } else { "http" },
        };
        let paths = self.admit_asked(&asked, &request.method, &outgoing.grant)?;
        for placement in &request.secrets {
            may_place(&outgoing.grant, placement, &target)?;
        }
        Ok(Admitted { target, paths })
    }
}

async fn run(
    dialer: &Dialer,
    pools: &Pools,
    outgoing: OutgoingRequest,
    admitted: Admitted,
    sink: &dyn HttpSink,
) -> Result<HttpResponse, Failure> {
    let request = &outgoing.request;
    let timeout = request
        .timeout_ms
        .map_or(DEFAULT_TIMEOUT, |ms| Duration::from_millis(ms.into()));
    let Admitted { target, paths } = admitted;
    let deadline = Instant::now() + timeout;
    let media = body::named(&outgoing).await?;
    let owner = BlobOwner {
        workspace: outgoing.workspace.clone(),
        account: Some(outgoing.account.clone()),
    };
    let ready = || -> Result<_, Failure> {
        let composed = compose(request, &target, &outgoing.secrets, &media)?;
        let path = composed.path.path();
        if !paths.is_empty() && !paths.iter().any(|prefix| path.starts_with(prefix)) {
            return Err(Failure::new(
                FailureCode::Denied,
                format!(
                    "the manifest grants paths of {} that begin with {}; this one does not",
                    target.host,
                    paths.join(" or ")
                ),
            ));
        }
        Ok(body::ready(composed, &outgoing.blobs))
    };
    let sending = Sending {
        request: &ready,
        repeatable: request.repeatable,
        streamed: !media.is_empty(),
    };
    let wanted = Wanted {
        max_bytes: request.max_bytes,
        store: request.to_blob.then_some((&*outgoing.blobs, &owner)),
    };
    let pool = pools.of(Key::new(
        &outgoing.account,
        &target,
        outgoing.proxy.as_ref(),
    ));
    let dial = pool::Dial {
        dialer: dialer.clone().with_timeout(CONNECT.min(timeout)),
        proxy: outgoing.proxy.as_ref(),
        target: &target,
    };
    // Without a lease nothing leaves; whoever lost it drops the flight soon.
    while !sink.may_write() {
        tokio::time::sleep(LEASE_LOOK).await;
    }
    exchange(&pool, &dial, &sending, &wanted, deadline).await
}
