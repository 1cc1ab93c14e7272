//! What systemd is told (`sd_notify`): ready, stopping, still alive. Nothing when it did not ask.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Where to tell it, as systemd says in the environment.
#[derive(Clone, Debug, Default)]
pub struct Notify {
    socket: Option<OsString>,
    watchdog: Option<Duration>,
}

impl Notify {
    pub fn from_environment() -> Self {
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let mine = number("WATCHDOG_PID").is_none_or(|id| id == u64::from(std::process::id()));
        Self {
            socket: std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()),
            watchdog: number("WATCHDOG_USEC")
                .filter(|_| mine)
                .map(Duration::from_micros),
        }
    }

    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    pub fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=stopping");
    }

    /// Says that the process lives, twice in the time that systemd waits for it. To be run on the
    /// runtime that serves: one that hangs says nothing.
    pub async fn stay_alive(self) {
        let Some(patience) = self.watchdog else {
            return std::future::pending().await;
        };
        loop {
            self.say("WATCHDOG=1");
            tokio::time::sleep(patience / 2).await;
        }
    }

    fn say(&self, text: &str) {
        let Some(socket) = &self.socket else { return };
        let said = || {
            let address = match socket.as_bytes().strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name)?,
                None => SocketAddr::from_pathname(socket)?,
            };
            UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address)
        };
        if let Err(error) = said() {
            tracing::debug!(%error, "systemd could not be told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_it_where_it_was_asked_to() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let notify = Notify {
            socket: Some(path.into()),
            watchdog: None,
        };
        notify.ready("listens on 127.0.0.1:1");
        notify.stopping();
        let mut buffer = [0; 256];
        let mut heard = || {
            let length = socket.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        assert_eq!(heard(), "READY=1\nSTATUS=listens on 127.0.0.1:1");
        assert_eq!(heard(), "STOPPING=1\nSTATUS=stopping");
        Notify::default().ready("nobody asked");
    }
}
