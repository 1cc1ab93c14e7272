//! Where everything that is printed goes through: answers to standard output, notes and errors
//! to standard error. For people with tables and colours, for programs as the API's own JSON.
//!
//! A reader that has gone (`| head`) is no error: it ends the command.

use crate::failure::{Failure, Outcome};
use crate::table::Table;
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use std::io::{ErrorKind, IsTerminal, Write};

#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set or TERM is `dumb`.
    #[default]
    Auto,
    Always,
    Never,
}

/// What a text means, by which it gets its colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tone {
    Plain,
    Heading,
    Good,
    Warning,
    Bad,
    Faint,
}

impl Tone {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Heading => Style::new().bold(),
            Self::Good => colour(AnsiColor::Green),
            Self::Warning => colour(AnsiColor::Yellow),
            Self::Bad => colour(AnsiColor::Red).bold(),
            Self::Faint => Style::new().dimmed(),
        }
    }

    /// Of a status or state of the API, whatever it belongs to.
    pub fn of_state(word: &str) -> Self {
        match word {
            "running" | "ready" | "authorized" | "sent" | "enabled" | "active" | "succeeded"
            | "ok" => Self::Good,
            "starting" | "stopping" | "reconnecting" | "recorded" | "dispatched" | "failing"
            | "pending_auth" | "awaiting_qr_scan" | "awaiting_code" | "awaiting_password" => {
                Self::Warning
            }
            "error" | "failed" | "disconnected" | "disabled" | "revoked" => Self::Bad,
            "stopped" | "inactive" => Self::Faint,
            _ => Self::Plain,
        }
    }
}

#[derive(Debug)]
pub struct Output {
    json: bool,
    colour: bool,
    error_colour: bool,
    /// Standard output is a terminal.
    terminal: bool,
}

impl Output {
    pub fn new(json: bool, choice: ColorChoice) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = |terminal: bool| match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !set("NO_COLOR") && !dumb,
        };
        let terminal = std::io::stdout().is_terminal();
        Self {
            json,
            colour: colour(terminal) && !json,
            error_colour: colour(std::io::stderr().is_terminal()),
            terminal,
        }
    }

    /// The API's JSON is wanted, and nothing else.
    pub fn json(&self) -> bool {
        self.json
    }

    pub fn colour(&self) -> bool {
        self.colour
    }

    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Columns of the terminal; none where there is none.
    pub fn columns(&self) -> Option<usize> {
        if !self.terminal {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    }

    pub fn paint(&self, tone: Tone, text: &str) -> String {
        paint(self.colour, tone, text)
    }

    pub fn paint_error(&self, tone: Tone, text: &str) -> String {
        paint(self.error_colour, tone, text)
    }

    /// One line to standard output.
    pub fn line(&self, text: &str) -> Outcome {
        self.bytes(text.as_bytes())
    }

    /// The same of bytes, such as an answer, unchanged.
    pub fn bytes(&self, text: &[u8]) -> Outcome {
        let mut out = std::io::stdout().lock();
        out.write_all(text)
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush())
            .map_err(|error| match error.kind() {
                ErrorKind::BrokenPipe => Failure::OutputClosed,
                _ => Failure::local(format!("standard output cannot be written: {error}")),
            })
    }

    /// A line beside the answer, for people only.
    pub fn note(&self, text: &str) {
        if !self.json {
            self.error_line(text);
        }
    }

    /// To standard error whatever the mode. If nobody reads it, there is nobody to tell.
    pub fn error_line(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    pub fn table(&self, table: &Table) -> Outcome {
        for line in table.lines(|tone, text| self.paint(tone, text)) {
            self.line(&line)?;
        }
        Ok(())
    }
}

fn paint(colour: bool, tone: Tone, text: &str) -> String {
    if !colour || tone == Tone::Plain || text.is_empty() {
        return text.to_owned();
    }
    let style = tone.style();
    format!("{style}{text}{style:#}")
}
