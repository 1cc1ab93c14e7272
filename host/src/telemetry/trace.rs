//! One trace from a REST call or an inbound frame through turns and commits to webhooks.
//!
//! The context (W3C `traceparent`) travels by value with what it belongs to, since turns, commits
//! and attempts run on different threads, and attempts perhaps in another process than the turn.
//! Over the log it is carried by the event itself: its envelope ends with a key `traceparent`
//! ([`mark`], [`marked`]), as CloudEvents does it. So retries after a restart, pull and SSE have
//! it too, and storage has nothing to keep.
//!
//! Without a receiver ([`Tracer::default`]) nothing is recorded and nothing is made up; a context
//! that a client gave is passed on as it came.

use super::export::Queue;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

tokio::task_local! {
    static REQUEST: TraceContext;
}

/// Runs what a request leads to, so that [`of_request`] finds its context.
pub async fn in_request<T>(context: TraceContext, work: impl Future<Output = T>) -> T {
    REQUEST.scope(context, work).await
}

/// The context of the request that this task works for.
pub fn of_request() -> Option<TraceContext> {
    REQUEST.try_with(|context| *context).ok()
}

/// Which trace, under which span, and whether it is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    pub sampled: bool,
}

impl TraceContext {
    /// Of a `traceparent` header; versions to come are read as far as ours goes.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let separated = bytes.get(2) == Some(&b'-')
            && bytes.get(35) == Some(&b'-')
            && bytes.get(52) == Some(&b'-');
        let ends = match (text.get(..2)?, bytes.len()) {
            ("00", 55) => true,
            ("00" | "ff", _) => false,
            (_, 55) => true,
            _ => bytes.get(55) == Some(&b'-'),
        };
        if !separated
            || !ends
            || text
                .get(..55)?
                .bytes()
                .any(|byte| byte.is_ascii_uppercase())
        {
            return None;
        }
        let mut version = [0u8; 1];
        let (mut trace, mut span, mut flags) = ([0u8; 16], [0u8; 8], [0u8; 1]);
        hex::decode_to_slice(&bytes[..2], &mut version).ok()?;
        hex::decode_to_slice(&bytes[3..35], &mut trace).ok()?;
        hex::decode_to_slice(&bytes[36..52], &mut span).ok()?;
        hex::decode_to_slice(&bytes[53..55], &mut flags).ok()?;
        let valid = trace != [0; 16] && span != [0; 8];
        valid.then_some(Self {
            trace,
            span,
            sampled: flags[0] & 1 == 1,
        })
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{}-{}-{:02x}",
            hex::encode(self.trace),
            hex::encode(self.span),
            u8::from(self.sampled)
        )
    }
}

const KEY: &str = ",\"traceparent\":\"";
const PARENT: usize = 55;
const MARK: usize = KEY.len() + PARENT + 2;

/// Writes the context into an event's envelope, as its last key. One that has it keeps it.
pub fn mark(body: &mut Vec<u8>, context: &TraceContext) {
    if marked(body).is_some() || body.len() < 3 || body.pop_if(|last| *last == b'}').is_none() {
        return;
    }
    body.extend_from_slice(KEY.as_bytes());
    body.extend_from_slice(context.to_string().as_bytes());
    body.extend_from_slice(b"\"}");
}

/// The context that an envelope ends with. No text in the envelope can look like it: a quote
/// inside a text has a backslash before it.
pub fn marked(body: &[u8]) -> Option<TraceContext> {
    let mark = &body[body.len().checked_sub(MARK)?..];
    let parent = mark.strip_prefix(KEY.as_bytes())?.strip_suffix(b"\"}")?;
    TraceContext::parse(std::str::from_utf8(parent).ok()?)
}

/// Where something stands in a trace: SERVER takes a request, CLIENT makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(Cow<'static, str>),
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

/// A span that has ended.
#[derive(Clone, Debug)]
pub struct Span {
    pub context: TraceContext,
    pub parent: Option<[u8; 8]>,
    pub name: Cow<'static, str>,
    pub kind: Kind,
    /// Nanoseconds since 1970.
    pub start: u64,
    pub end: u64,
    pub attributes: Vec<(&'static str, Value)>,
    /// Other spans that it has to do with.
    pub links: Vec<TraceContext>,
    pub error: Option<String>,
}

/// Begins spans and hands those that have ended to the exporter. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<On>>);

struct On {
    queue: Queue,
    sample_ratio: f64,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tracer({})", if self.is_on() { "on" } else { "off" })
    }
}

impl Tracer {
    pub(super) fn on(queue: Queue, sample_ratio: f64) -> Self {
        Self(Some(Arc::new(On {
            queue,
            sample_ratio,
        })))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Under `parent`, or as the root of a new trace.
    pub fn begin(
        &self,
        parent: Option<TraceContext>,
        name: impl Into<Cow<'static, str>>,
        kind: Kind,
    ) -> Step {
        let Some(on) = &self.0 else {
            return Step::passing(parent);
        };
        let trace = match parent {
            Some(parent) if parent.sampled => parent.trace,
            Some(_) => return Step::passing(parent),
            None => {
                let (trace, chance) = random(|random| {
                    let mut trace = [0; 16];
                    random.fill_bytes(&mut trace);
                    // 53 bits, as many as a float has.
                    (
                        trace,
                        (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64,
                    )
                });
                if chance >= on.sample_ratio {
                    return Step::passing(None);
                }
                trace
            }
        };
        let context = TraceContext {
            trace,
            span: random(|random| random.next_u64().max(1).to_be_bytes()),
            sampled: true,
        };
        Step {
            context: Some(context),
            recording: Some(Box::new(Recording {
                queue: on.queue.clone(),
                span: Span {
                    context,
                    parent: parent.map(|parent| parent.span),
                    name: name.into(),
                    kind,
                    start: now(),
                    end: 0,
                    attributes: Vec::new(),
                    links: Vec::new(),
                    error: None,
                },
            })),
        }
    }

    /// Only under a parent: nothing where there is none.
    pub fn below(
        &self,
        parent: Option<TraceContext>,
        name: impl Into<Cow<'static, str>>,
        kind: Kind,
    ) -> Step {
        match parent {
            Some(_) => self.begin(parent, name, kind),
            None => Step::default(),
        }
    }
}

/// Something that is under way. Dropped without [`Step::end`], it leaves no span.
#[derive(Default)]
pub struct Step {
    /// For what it leads to.
    context: Option<TraceContext>,
    recording: Option<Box<Recording>>,
}

struct Recording {
    queue: Queue,
    span: Span,
}

impl Step {
    fn passing(context: Option<TraceContext>) -> Self {
        Self {
            context,
            recording: None,
        }
    }

    pub fn context(&self) -> Option<TraceContext> {
        self.context
    }

    /// Does its trace begin with it?
    pub fn is_root(&self) -> bool {
        let span = self.recording.as_ref().map(|recording| &recording.span);
        span.is_some_and(|span| span.parent.is_none() && span.links.is_empty())
    }

    pub fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    /// `value` is asked for only if the span is recorded.
    pub fn attribute<V: Into<Value>>(&mut self, name: &'static str, value: impl FnOnce() -> V) {
        if let Some(recording) = &mut self.recording {
            recording.span.attributes.push((name, value().into()));
        }
    }

    pub fn failed(&mut self, reason: impl FnOnce() -> String) {
        if let Some(recording) = &mut self.recording {
            recording.span.error = Some(reason());
        }
    }

    /// It turns out to belong to the trace of `other`: a root goes below it, everything else is
    /// linked to it.
    pub fn belongs_to(&mut self, other: TraceContext) {
        let Some(recording) = &mut self.recording else {
            // What is not recorded passes on what it finds.
            self.context.get_or_insert(other);
            return;
        };
        let span = &mut recording.span;
        if other.trace == span.context.trace {
            return;
        }
        if span.parent.is_none() && span.links.is_empty() && other.sampled {
            span.parent = Some(other.span);
            span.context.trace = other.trace;
            self.context = Some(span.context);
        } else if !span.links.contains(&other) {
            span.links.push(other);
        }
    }

    pub fn end(self) {
        if let Some(mut recording) = self.recording {
            recording.span.end = now();
            recording.queue.put(recording.span);
        }
    }
}

fn now() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Ids need to be different, not secret: one question to the system for each thread.
fn random<T>(draw: impl FnOnce(&mut ChaCha8Rng) -> T) -> T {
    thread_local! {
        static RANDOM: RefCell<ChaCha8Rng> = RefCell::new({
            let mut seed = [0; 32];
            if getrandom::fill(&mut seed).is_err() {
                seed[..8].copy_from_slice(&now().to_le_bytes());
            }
            ChaCha8Rng::from_seed(seed)
        });
    }
    RANDOM.with_borrow_mut(draw)
}

#[cfg(test)]
#[path = "trace_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
