//! How the server behaves: what is fixed at the start, and what control may change.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Fixed when the server starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// First part of every event and message id. None: made from the clock, so that two
    /// runs of the server never give two things the same id.
    pub epoch: Option<String>,
    /// A session that an earlier run of the server gave out is good here too. Off:
    /// only sessions of this run.
    pub adopts_sessions: bool,
    /// Entries kept per user; older ones are forgotten, counters stay right.
    pub journal_limit: usize,
    /// Tokens remembered per user for dropping repeats.
    pub token_limit: usize,
    /// Messages remembered per conversation. Traffic that the server makes is not remembered.
    pub history_limit: usize,
    /// Events that may wait per user; generated traffic pauses above it, and `inject`
    /// is refused.
    pub backlog_limit: usize,
    /// Further connections are closed at once.
    pub max_connections: usize,
    /// What every user starts with.
    pub behaviour: Behaviour,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            epoch: None,
            adopts_sessions: true,
            journal_limit: 100_000,
            token_limit: 100_000,
            history_limit: 1_000,
            backlog_limit: 100_000,
            max_connections: 50_000,
            behaviour: Behaviour::default(),
        }
    }
}

/// What control may change while the server runs, for all users or for one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// What is sent to the conversation `echo` comes back.
    pub echo: bool,
    /// A token that was there before makes no second message.
    pub dedupe: bool,
    /// Events on the wire that are not acknowledged yet.
    pub window: u32,
    /// Answers to sends are held back for so long.
    pub answer_delay_ms: u32,
    /// Sends are taken and never answered.
    pub never_answer: bool,
    /// Pause after each frame that was read: a slow reader.
    pub read_delay_ms: u32,
    /// What is sent is received and read by the other side at once.
    pub receipts: bool,
    /// Sends and requests above it are refused as `rate-limited`.
    pub rate_limit: Option<RateLimit>,
    /// QR codes count as scanned after so long. None: only by control.
    pub scan_after_ms: Option<u32>,
    /// A QR code is replaced by a fresh one after so long.
    pub qr_valid_ms: u32,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            echo: true,
            dedupe: true,
            window: 256,
            answer_delay_ms: 0,
            never_answer: false,
            read_delay_ms: 0,
            receipts: false,
            rate_limit: None,
            scan_after_ms: Some(3_000),
            qr_valid_ms: 60_000,
        }
    }
}

/// So many in any window of so long, per user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    pub count: u32,
    pub per_ms: u32,
}

/// Inbound messages that the server makes by itself, each with its sequence number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traffic {
    /// Messages a second; 0: as fast as acknowledgements come.
    pub rate: f64,
    /// None: until it is stopped.
    pub count: Option<u64>,
    /// Spread over so many conversations (`traffic-0`, `traffic-1`, …).
    pub conversations: u32,
    /// Length of the text in bytes, at least the sequence number.
    pub payload: u32,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            rate: 1.0,
            count: None,
            conversations: 1,
            payload: 32,
        }
    }
}

/// Flags of `anyport simulator`.
#[derive(Debug, Clone, clap::Args)]
pub struct SimulatorArgs {
    /// Where the simulated channel listens.
    #[arg(long, default_value = "127.0.0.1:7700")]
    pub listen: SocketAddr,
    /// Where the HTTP API listens, which accounts with webhooks send by. None: there is none.
    #[arg(long)]
    pub http: Option<SocketAddr>,
    /// A token that comes twice makes two messages.
    #[arg(long)]
    pub no_dedupe: bool,
    /// Do not send back what is sent to the conversation `echo`.
    #[arg(long)]
    pub no_echo: bool,
    /// QR codes count as scanned after so many milliseconds; 0: only by control.
    #[arg(long, default_value_t = 3_000)]
    pub scan_after_ms: u32,
    /// Answers to sends are held back for so many milliseconds.
    #[arg(long, default_value_t = 0)]
    pub answer_delay_ms: u32,
    /// Events on the wire of one account that are not acknowledged yet.
    #[arg(long, default_value_t = 256)]
    pub window: u32,
}

impl SimulatorArgs {
    pub fn settings(&self) -> Settings {
        Settings {
            behaviour: Behaviour {
                echo: !self.no_echo,
                dedupe: !self.no_dedupe,
                window: self.window.max(1),
                answer_delay_ms: self.answer_delay_ms,
                scan_after_ms: (self.scan_after_ms > 0).then_some(self.scan_after_ms),
                ..Behaviour::default()
            },
            ..Settings::default()
        }
    }
}
