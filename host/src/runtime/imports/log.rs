//! `log`: the account's log, limited in lines a turn and bytes a line. Written also when the
//! turn fails.

use crate::runtime::guest::GuestState;
use anyport_contract::anyport::provider::log;
use wasmtime::Result;

impl log::Host for GuestState {
    fn write(&mut self, level: log::Level, message: String, fields: Vec<log::Field>) -> Result<()> {
        // `describe` may log too; it has no account.
        let Some(turn) = self.turn.as_deref_mut() else {
            tracing::debug!(target: "provider", %message, "a provider logged while it described itself");
            return Ok(());
        };
        turn.count_call()?;
        if !turn.may_log() {
            return Ok(());
        }
        let limit = turn.facts.limits.log_line_bytes;
        let mut text = cut(message, limit);
        for field in fields {
            if text.len() >= limit {
                break;
            }
            text.push(' ');
            text.push_str(&cut(field.key, 64));
            text.push('=');
            let room = limit.saturating_sub(text.len());
            text.push_str(&cut(field.value, room));
        }
        let text = turn.without_secrets(&text);
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
