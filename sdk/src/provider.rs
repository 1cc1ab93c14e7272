//! What every provider is: it says what it can do, starts, hears of what happens, hands over.

use crate::lifecycle::{Cause, Descriptor, StartContext};
use crate::reactor::{Answered, BlobRange, Closed, Computed, Fired, Opened, Received};
use crate::types::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Of everything that a provider is called for. An `Err` of a command is its answer
/// (`replies.failed`); an `Err` of anything else fails the turn.
pub type Result<T = ()> = std::result::Result<T, Error>;

/// One live instance of a provider, which serves one account. Every call is a turn: what it asks
/// of the host happens when the call has returned, all of it or, after an `Err` or a panic,
/// nothing. After these two the instance is dropped and another one starts from `kv`.
pub trait Provider: Sized + 'static {
    /// `account.config`, read from JSON. What does not fit fails the start.
    type Config: DeserializeOwned;
    /// The memory that a next instance needs to go on where this one is; `()` for a provider that
    /// begins anew. Written as JSON, at most 256 KiB.
    type Snapshot: Serialize + DeserializeOwned;
    /// Of `Snapshot`: raise it when its form changes. A snapshot of a version that
    /// `READS_STATE_VERSIONS` does not name is dropped without a word, and `Start::resume` is none.
    const STATE_VERSION: u32 = 1;
    /// Versions that [`Provider::read_snapshot`] reads; `STATE_VERSION` is one of them.
    const READS_STATE_VERSIONS: &'static [u32] = &[Self::STATE_VERSION];

    /// What it can do. Called once for the component, before any account: it must ask nothing of
    /// the host. The state versions are filled in.
    fn describe() -> Descriptor;

    /// The first call of an instance, and a turn like any other.
    fn start(start: &mut Start<Self>) -> Result<Self>;

    /// What the next instance gets as [`Start::resume`]. It must ask nothing of the host: if the
    /// next instance refuses to start, this one goes on.
    fn snapshot(&self) -> Result<Self::Snapshot>;

    /// A snapshot of this version, or of an older one that `READS_STATE_VERSIONS` names.
    fn read_snapshot(_version: u32, bytes: &[u8]) -> Result<Self::Snapshot> {
        serde_json::from_slice(bytes).map_err(|error| {
            Error::internal(format!("the snapshot cannot be read: {}", place(&error)))
        })
    }

    /// A connection is up; after `start-tls` a second time.
    fn opened(&mut self, _opened: Opened) -> Result {
        Ok(())
    }

    fn received(&mut self, _received: Received) -> Result {
        Ok(())
    }

    /// A connection is gone. The host does not reconnect by itself.
    fn closed(&mut self, _closed: Closed) -> Result {
        Ok(())
    }

    fn timer(&mut self, _fired: Fired) -> Result {
        Ok(())
    }

    /// The answer to an `http.submit`.
    fn answered(&mut self, _answered: Answered) -> Result {
        Ok(())
    }

    /// The result of a `crypto` job.
    fn computed(&mut self, _computed: Computed) -> Result {
        Ok(())
    }

    /// The bytes of a `blobs.submit-read`.
    fn blob_read(&mut self, _range: BlobRange) -> Result {
        Ok(())
    }

    /// The operator or a client asks for a fresh link.
    fn reconnect(&mut self) -> Result {
        Ok(())
    }

    /// Say goodbye: what is sent now still leaves, then links are closed.
    fn stopping(&mut self) -> Result {
        Ok(())
    }
}

/// What an instance starts with.
pub struct Start<P: Provider> {
    pub cause: Cause,
    pub config: P::Config,
    /// What the instance before handed over. None: `kv` is all there is.
    pub resume: Option<P::Snapshot>,
    /// Connections that are open and whose frames wait. Those that this instance does not
    /// [`keep`](Self::keep) are closed.
    pub open: Vec<String>,
    /// Subjects (`turn.subject`) that failed twice: leave them out.
    pub skip: Vec<String>,
    keeps: Vec<String>,
}

impl<P: Provider> Start<P> {
    pub(crate) fn read(context: StartContext) -> Result<Self> {
        let config = serde_json::from_str(&context.config)
            .map_err(|error| Error::invalid(format!("the configuration does not fit: {error}")))?;
        let resume = match &context.resume {
            Some(snapshot) => Some(P::read_snapshot(snapshot.state_version, &snapshot.bytes)?),
            None => None,
        };
        Ok(Self {
            cause: context.cause,
            config,
            resume,
            open: context.open,
            skip: context.skip,
            keeps: Vec::new(),
        })
    }

    /// Goes on with this connection if it is open; whether it is. A `raw` one can be kept only
    /// with `resume`.
    pub fn keep(&mut self, label: &str) -> bool {
        let open = self.open.iter().any(|name| name == label);
        if open && !self.keeps.iter().any(|name| name == label) {
            self.keeps.push(label.to_owned());
        }
        open
    }

    pub(crate) fn into_keeps(self) -> Vec<String> {
        self.keeps
    }
}

/// Where JSON is wrong, without what stands there: that may be a person's or a secret.
pub(crate) fn place(error: &serde_json::Error) -> String {
    format!(
        "{} at line {}, column {}",
        match error.classify() {
            serde_json::error::Category::Io => "it cannot be written",
            serde_json::error::Category::Syntax => "it is no JSON",
            serde_json::error::Category::Data => "it has another form",
            serde_json::error::Category::Eof => "it ends too early",
        },
        error.line(),
        error.column()
    )
}
