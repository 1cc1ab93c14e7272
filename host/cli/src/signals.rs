//! The wish of the person or of the system that a command ends.

use tokio::signal::unix::{SignalKind, signal};

/// Ready when an interrupt, a hang-up or a request to end comes. From the first call on these
/// signals do nothing else any more.
pub async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
}
