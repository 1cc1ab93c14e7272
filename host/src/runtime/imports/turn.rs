//! `turn`: clock, randomness, subject.

use crate::runtime::guest::GuestState;
use crate::runtime::limits::breach;
use anyport_contract::anyport::provider::turn;
use wasmtime::Result;

impl turn::Host for GuestState {
    fn now(&mut self) -> Result<u64> {
        Ok(self.reads("turn.now")?.now.0)
    }

    fn random(&mut self, length: u32) -> Result<Vec<u8>> {
        self.reads("turn.random")?;
        if length > 4096 {
            return breach(format!(
                "`turn.random` gives at most 4096 bytes a call, not {length}"
            ));
        }
        let mut bytes = vec![0; length as usize];
        self.random.fill(&mut bytes);
        Ok(bytes)
    }

    fn subject(&mut self, key: String) -> Result<()> {
        let turn = self.asks("turn.subject")?;
        if key.is_empty() || key.len() > 512 {
            return breach(format!(
                "a subject has 1 to 512 bytes, this one has {}",
                key.len()
            ));
        }
        turn.subject = Some(key);
        Ok(())
    }
}
