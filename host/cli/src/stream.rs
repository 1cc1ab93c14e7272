//! The event log as it grows: one stream for the caller, over as many connections as it takes.
//! What has been read is not read again, and nothing between two connections is missed.

use crate::api::{Api, Call};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, Tone};
use crate::sse::{Message, Parser};
use clap::Args;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::time::Duration;

/// The host says something every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
const BACK_OFF: Duration = Duration::from_secs(1);
const BACK_OFF_AT_MOST: Duration = Duration::from_secs(30);

/// Which events, by what the API filters.
#[derive(Args, Clone, Debug, Default)]
pub struct Filter {
    /// Only events of this type; may be repeated
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub types: Vec<String>,
    /// Only events of this account
    #[arg(long)]
    pub account: Option<String>,
}

impl Filter {
    pub fn on(&self, call: Call) -> Call {
        call.query("types", self.types.join(","))
            .query("account_id", self.account.clone().unwrap_or_default())
    }
}

pub struct EventStream<'a> {
    api: &'a Api,
    filter: Filter,
    /// Where it goes on: what was asked for at first, then what was read last.
    position: Option<String>,
    open: Option<Open>,
    ready: VecDeque<Message>,
    ever_open: bool,
    back_off: BackOff,
}

struct Open {
    body: Incoming,
    parser: Parser,
}

impl<'a> EventStream<'a> {
    /// `after`: a cursor, `earliest` or `latest`, which it also is when absent.
    pub fn new(api: &'a Api, filter: Filter, after: Option<String>) -> Self {
        Self {
            api,
            filter,
            position: after,
            open: None,
            ready: VecDeque::new(),
            ever_open: false,
            back_off: BackOff::default(),
        }
    }

    /// Where to go on after all that [`Self::next`] gave.
    pub fn position(&self) -> Option<&str> {
        self.position.as_deref()
    }

    /// Waits as long as it takes. An error is one that waiting does not mend.
    pub async fn next(&mut self, output: &Output) -> Outcome<Message> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                self.position = Some(message.id.clone());
                return Ok(message);
            }
            if let Some(open) = &self.open {
                // An id without an event counts too.
                let id = open.parser.last_id();
                if !id.is_empty() {
                    self.position = Some(id.to_owned());
                }
            }
            match self.read().await {
                Ok(()) => {}
                Err(failure) if self.ever_open && passes(&failure) => {
                    self.open = None;
                    let wait = self.back_off.next(&failure);
                    self.tell(output, &failure, wait);
                    tokio::time::sleep(wait).await;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn read(&mut self) -> Outcome {
        let Some(open) = &mut self.open else {
            self.open = Some(self.connect().await?);
            self.ever_open = true;
            return Ok(());
        };
        let lost = |why: &str| Failure::local(format!("the stream broke off: {why}"));
        let frame = tokio::time::timeout(SILENCE, open.body.frame())
            .await
            .map_err(|_| lost("the host says nothing any more"))?
            .ok_or_else(|| lost("the host has closed it"))?
            .map_err(|error| lost(&crate::transport::reason(&error)))?;
        if let Ok(bytes) = frame.into_data() {
            self.ready.extend(open.parser.push(&bytes).map_err(lost)?);
            self.back_off = BackOff::default();
        }
        Ok(())
    }

    async fn connect(&self) -> Outcome<Open> {
        let call = self.filter.on(Call::get(&["events", "stream"]));
        let call = call.header("accept", "text/event-stream")?;
        let call = match &self.position {
            Some(word) if matches!(&**word, "earliest" | "latest") => call.query("after", word),
            Some(cursor) => call.header("last-event-id", cursor)?,
            None => call,
        };
        Ok(Open {
            body: self.api.open(call).await?.into_body(),
            parser: Parser::default(),
        })
    }

    fn tell(&self, output: &Output, failure: &Failure, wait: Duration) {
        let text = format!("{failure}; trying again in {} s", wait.as_secs());
        output.error_line(&output.paint_error(Tone::Faint, &text));
    }
}

/// Longer and longer waits, unless the host says how long.
#[derive(Debug, Default)]
pub struct BackOff(u32);

impl BackOff {
    pub fn next(&mut self, failure: &Failure) -> Duration {
        let wait = BACK_OFF * 2u32.pow(self.0.min(5));
        self.0 += 1;
        match failure {
            Failure::Refused(refusal) => refusal.retry_after.map_or(wait, Duration::from_secs),
            _ => wait,
        }
        .min(BACK_OFF_AT_MOST)
    }
}

/// Does waiting help?
pub fn passes(failure: &Failure) -> bool {
    match failure {
        Failure::Refused(refusal) => refusal.status >= 500 || refusal.status == 429,
        // Something before the host answers in its place while it restarts.
        Failure::Foreign(_) | Failure::Unreachable(_) | Failure::Local(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Refusal;

    fn refused(status: u16, retry_after: Option<u64>) -> Failure {
        Refusal {
            status,
            retry_after,
            ..Refusal::default()
        }
        .into_failure()
    }

    #[test]
    fn waits_grow_and_the_host_may_name_its_own() {
        let mut back_off = BackOff::default();
        let failure = refused(503, None);
        let waits: Vec<u64> = (0..7).map(|_| back_off.next(&failure).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(back_off.next(&refused(503, Some(5))).as_secs(), 5);
        assert_eq!(back_off.next(&refused(429, Some(900))).as_secs(), 30);
    }

    #[test]
    fn what_waiting_does_not_mend() {
        assert!(passes(&refused(503, None)) && passes(&refused(429, None)));
        for status in [400, 401, 404, 410] {
            assert!(!passes(&refused(status, None)), "{status}");
        }
        assert!(!passes(&Failure::OutputClosed));
    }
}
