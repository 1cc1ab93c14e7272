//! `kv`: durable state of the account.

use crate::runtime::guest::GuestState;
use crate::runtime::limits::breach;
use anyport_contract::anyport::provider::kv;
use wasmtime::Result;

const KEY_BYTES: usize = 512;
const VALUE_BYTES: usize = 256 * 1024;
const PAGE_ENTRIES: u32 = 256;
const PAGE_BYTES: usize = 1 << 20;

fn check_key(key: &str) -> Result<()> {
    if key.len() > KEY_BYTES {
        return breach(format!(
            "a key of kv has at most {KEY_BYTES} bytes, this one has {}",
            key.len()
        ));
    }
    Ok(())
}

/// A read that storage could not answer: the turn cannot go on.
fn unreadable<T>(reason: String) -> Result<T> {
    Err(wasmtime::Error::new(crate::runtime::instance::Unreadable(
        reason,
    )))
}

impl kv::Host for GuestState {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>> {
        let turn = self.reads("kv.get")?;
        check_key(&key)?;
        match turn.ledger.kv_get(&key) {
            Ok(value) => Ok(value.map(|value| value.to_vec())),
            Err(reason) => unreadable(reason),
        }
    }

    fn put(&mut self, key: String, value: Vec<u8>) -> Result<()> {
        let turn = self.asks("kv.put")?;
        check_key(&key)?;
        if value.len() > VALUE_BYTES {
            return breach(format!(
                "a value of kv has at most {VALUE_BYTES} bytes, this one has {}",
                value.len()
            ));
        }
        turn.spend(key.len() + value.len())?;
        if let Err(reason) = turn.ledger.kv_set(&key, Some(&value)) {
            return unreadable(reason);
        }
        turn.effects.kv.insert(key, Some(value));
        Ok(())
    }

    fn remove(&mut self, key: String) -> Result<()> {
        let turn = self.asks("kv.remove")?;
        check_key(&key)?;
        turn.spend(key.len())?;
        if let Err(reason) = turn.ledger.kv_set(&key, None) {
            return unreadable(reason);
        }
        turn.effects.kv.insert(key, None);
        Ok(())
    }

    fn scan(&mut self, prefix: String, after: Option<String>, limit: u32) -> Result<kv::Page> {
        let turn = self.reads("kv.scan")?;
        check_key(&prefix)?;
        let limit = limit.clamp(1, PAGE_ENTRIES) as usize;
        match turn
            .ledger
            .kv_scan(&prefix, after.as_deref(), limit, PAGE_BYTES)
        {
            Ok((entries, more)) => Ok(kv::Page {
                entries: entries
                    .into_iter()
                    .map(|(key, value)| kv::Entry { key, value })
                    .collect(),
                more,
            }),
            Err(reason) => unreadable(reason),
        }
    }
}
