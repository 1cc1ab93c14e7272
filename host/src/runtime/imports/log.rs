//! `log`: the account's log, limited in lines a turn and bytes a line. Written also when the
//! turn fails.

use crate::runtime::guest::GuestState;
use anyport_contract::anyport::provider::log;
use wasmtime::Result;

/// Of a line that `describe` logs.
const DESCRIBE_BYTES: usize = 1024;

impl log::Host for GuestState {
    fn write(&mut self, level: log::Level, message: String, fields: Vec<log::Field>) -> Result<()> {
        // `describe` may log too; it has no account.
        let Some(turn) = self.turn.as_deref_mut() else {
            let message = cut(message, DESCRIBE_BYTES);
            tracing::debug!(target: "provider", %message, "a provider logged while it described itself");
            return Ok(());
        };
        turn.count_call()?;
        if !turn.may_log() {
            return Ok(());
        }
        let limit = turn.facts.limits.log_line_bytes;
        // Cleaned before it is cut, or a half of a secret could stay.
        let mut text = cut(turn.without_secrets(&message), limit);
        for field in fields {
            let Some(room) = limit.checked_sub(text.len()) else {
                break;
            };
            text.push(' ');
            text.push_str(&cut(turn.without_secrets(&field.key), room.min(64)));
            text.push('=');
            text.push_str(&cut(turn.without_secrets(&field.value), room));
        }
        let text = cut(text, limit);
        let (account, provider) = (&turn.facts.id, &turn.facts.manifest.id);
        match level {
            log::Level::Trace => tracing::trace!(target: "provider", %account, provider, "{text}"),
            log::Level::Debug => tracing::debug!(target: "provider", %account, provider, "{text}"),
            log::Level::Info => tracing::info!(target: "provider", %account, provider, "{text}"),
            log::Level::Warn => tracing::warn!(target: "provider", %account, provider, "{text}"),
            log::Level::Error => tracing::error!(target: "provider", %account, provider, "{text}"),
        }
        Ok(())
    }
}

/// At most `bytes` of it, cut between characters.
pub fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        let mut end = bytes;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}
