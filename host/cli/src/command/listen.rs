//! `anyport listen`: a receiver on this machine gets the events that a webhook endpoint would,
//! with the same headers and signatures, without an address that the host could reach.
//!
//! At least once, in order per conversation: an event that the receiver does not take comes
//! again, later ones of its conversation wait for it, other conversations go on. The position
//! that is kept never passes an event that was not taken.

use super::events::with_account_id;
use crate::api::Call;
use crate::failure::Outcome;
use crate::forward::{Forwarder, Report};
use crate::options::Options;
use crate::output::{Output, Tone};
use crate::pages::{Event, Pages};
use crate::position::PositionFile;
use crate::session::Session;
use crate::signals;
use crate::stream::{BackOff, Filter, passes};
use crate::text::printable;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a request for more may wait for a first event.
const WAIT: Duration = Duration::from_secs(30);
const PAGE: usize = 100;
/// Events that are read and not taken yet; beyond it no more are read.
const WINDOW: usize = 1000;

#[derive(Args, Debug)]
pub struct Listen {
    /// Your receiver, such as http://localhost:3000/hook
    #[arg(long, value_name = "URL")]
    forward_to: String,
    #[command(flatten)]
    filter: Filter,
    /// Begin after this cursor, or at `earliest`; otherwise with what comes from now on
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Keep the position in this file, and go on there the next time
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Sign with this secret instead of one made for this run
    #[arg(long, env = "ANYPORT_LISTEN_SECRET", hide_env_values = true)]
    secret: Option<SecretString>,
    /// Give an event up after so many attempts; 0: never
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    max_attempts: u32,
    /// Seconds that the receiver may take
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Deserialize)]
struct Page {
    /// Byte for byte as they are signed.
    items: Vec<Box<RawValue>>,
    next_cursor: String,
}

impl Listen {
    pub async fn run(&self, session: &Session) -> Outcome {
        let filter = with_account_id(session, &self.filter).await?;
        let mut file = match &self.state {
            Some(path) => Some(PositionFile::open(path, session.api.base(), &filter)?),
            None => None,
        };
        let secret = match &self.secret {
            Some(secret) => secret.clone(),
            None => crate::input::make_secret()?,
        };
        let after = file
            .as_ref()
            .and_then(PositionFile::cursor)
            .or_else(|| self.after.clone())
            .unwrap_or_else(|| "latest".to_owned());
        // The place to begin at, as a cursor that stays what it is.
        let first = page(session, &filter, &after, Duration::ZERO).await?;
        let (reports, told) = mpsc::unbounded_channel();
        let forwarder = Forwarder::new(
            &self.forward_to,
            &secret,
            Duration::from_secs(self.timeout),
            self.max_attempts,
            reports,
        )?;
        self.greet(session, &secret, &first.next_cursor)?;
        let mut run = Run {
            session,
            filter,
            forwarder,
            told,
            pages: Pages::new(),
            cursor: first.next_cursor.clone(),
            back_off: BackOff::default(),
        };
        run.take(first);
        run.go(&mut file).await
    }

    fn greet(&self, session: &Session, secret: &SecretString, cursor: &str) -> Outcome {
        let output = &session.output;
        if output.json() {
            let greeting = json!({
                "forward_to": self.forward_to,
                "signing_secret": secret.expose_secret(),
                "after": cursor,
            });
            return output.line(&greeting.to_string());
        }
        output.line(&format!(
            "Forwarding events of {} to {}",
            session.api.base(),
            printable(&self.forward_to)
        ))?;
        if self.secret.is_none() {
            let secret = output.paint(Tone::Heading, secret.expose_secret());
            output.line(&format!("Signing secret of this run: {secret}"))?;
        }
        output.line(&output.paint(Tone::Faint, "Ctrl-C ends it."))?;
        output.line("")
    }
}

struct Run<'a> {
    session: &'a Session,
    filter: Filter,
    forwarder: Forwarder,
    told: mpsc::UnboundedReceiver<Report>,
    pages: Pages,
    /// Up to where the log was read.
    cursor: String,
    back_off: BackOff,
}

impl Run<'_> {
    async fn go(&mut self, file: &mut Option<PositionFile>) -> Outcome {
        let session = self.session;
        let mut interrupted = std::pin::pin!(signals::interrupted());
        let (filter, mut from) = (self.filter.clone(), self.cursor.clone());
        let mut reading = Box::pin(read_on(session, &filter, from.clone(), Duration::ZERO));
        loop {
            if let (Some(file), Some(cursor)) = (&mut *file, self.pages.position()) {
                file.keep(cursor)?;
            }
            let room = self.pages.waiting() < WINDOW;
            tokio::select! {
                biased;
                () = &mut interrupted => return Ok(()),
                Some(report) = self.told.recv() => self.report(&report)?,
                read = &mut reading, if room => {
                    let wait = match read {
                        Ok(page) => {
                            self.back_off = BackOff::default();
                            from.clone_from(&page.next_cursor);
                            self.take(page);
                            Duration::ZERO
                        }
                        Err(failure) if passes(&failure) => {
                            let wait = self.back_off.next(&failure);
                            let text = format!("{failure}; trying again in {} s", wait.as_secs());
                            let output = &session.output;
                            output.error_line(&output.paint_error(Tone::Faint, &text));
                            wait
                        }
                        Err(failure) => return Err(failure),
                    };
                    reading = Box::pin(read_on(session, &filter, from.clone(), wait));
                }
            }
        }
    }

    fn take(&mut self, page: Page) {
        self.cursor.clone_from(&page.next_cursor);
        let events = page.items.iter().map(|item| Event::new(item));
        for event in self.pages.add(page.next_cursor, events) {
            self.forwarder.forward(event);
        }
    }

    fn report(&mut self, report: &Report) -> Outcome {
        let output = &self.session.output;
        if output.json() {
            output.line(&report.json())?;
        } else {
            output.line(&line(report, output))?;
        }
        if report.is_last()
            && let Some(next) = self.pages.done(&report.event)
        {
            self.forwarder.forward(next);
        }
        Ok(())
    }
}

async fn read_on(
    session: &Session,
    filter: &Filter,
    from: String,
    wait: Duration,
) -> Outcome<Page> {
    tokio::time::sleep(wait).await;
    page(session, filter, &from, WAIT).await
}

async fn page(session: &Session, filter: &Filter, after: &str, wait: Duration) -> Outcome<Page> {
    let call = filter
        .on(Call::get(&["events"]))
        .query("after", after)
        .query("limit", PAGE.to_string())
        .query("wait", wait.as_secs().to_string())
        .host_waits(wait);
    session.api.call(call).await?.data()
}

/// `18:40:12  200  12 ms  message.received  evt_…`
fn line(report: &Report, output: &Output) -> String {
    let (word, tone) = match (report.status, report.taken) {
        (Some(status), true) => (status.to_string(), Tone::Good),
        (Some(status), false) => (status.to_string(), Tone::Bad),
        (None, _) => ("---".to_owned(), Tone::Bad),
    };
    let mut line = format!(
        "{}  {}  {:>6}  {:<24}  {}",
        output.paint(Tone::Faint, &report.clock()),
        output.paint(tone, &word),
        format!("{} ms", report.latency.as_millis()),
        printable(&report.event.kind),
        output.paint(Tone::Faint, &printable(&report.event.id)),
    );
    if let Some(error) = &report.error {
        line.push_str(&format!("  {}", printable(error)));
    }
    if let Some(wait) = report.again_in {
        line.push_str(&format!("  again in {:.1} s", wait.as_secs_f32()));
    } else if !report.taken {
        line.push_str(&output.paint(Tone::Bad, "  given up"));
    }
    line
}
