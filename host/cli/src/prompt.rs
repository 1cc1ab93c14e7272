//! Questions to a person, a line each; secrets without echo. Where standard input is no
//! terminal, its lines are the answers.
//!
//! Reads on a thread of its own, so that waiting for a person ends when a signal comes. What was
//! switched off at the terminal is switched on again however the waiting ends.

use crate::failure::{Failure, Outcome};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;
use std::io::{BufRead, IsTerminal, Write};
use tokio::sync::oneshot;

pub fn is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// The next line, without its end; none when there is no more. The question goes to standard
/// error, so that standard output holds answers only.
pub async fn line(question: &str, hidden: bool) -> Outcome<Option<SecretString>> {
    let terminal = is_terminal();
    if terminal {
        let mut out = std::io::stderr().lock();
        let _ = write!(out, "{question}").and_then(|()| out.flush());
    }
    let silence = (hidden && terminal).then(Silence::keep).flatten();
    let line = read_line().await;
    if silence.is_some() {
        // The person's own line end was not shown either.
        let _ = writeln!(std::io::stderr().lock());
    }
    line
}

/// All there is, to its end.
pub async fn rest() -> Outcome<String> {
    on_thread(|| {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::io::stdin().lock(), &mut text).map(|_| text)
    })
    .await
}

async fn read_line() -> Outcome<Option<SecretString>> {
    on_thread(|| {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line)?;
        if line.ends_with('\n') {
            line.pop();
            if line.ends_with('\r') {
                line.pop();
            }
        }
        Ok((read > 0).then(|| SecretString::from(line)))
    })
    .await
}

/// Not on the runtime's own threads: one that still waits must not keep the command from ending.
async fn on_thread<T: Send + 'static>(
    read: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Outcome<T> {
    let (done, result) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = done.send(read());
    });
    match result.await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => Err(Failure::local(format!(
            "standard input cannot be read: {error}"
        ))),
        Err(_) => Err(Failure::local("standard input cannot be read")),
    }
}

/// The terminal shows nothing of what is typed as long as this lives.
struct Silence(Termios);

impl Silence {
    fn keep() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &silent).ok()?;
        Some(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
