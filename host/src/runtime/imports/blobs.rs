//! `blobs`: the media store by range. What is appended is part of the turn, like all else; what is
//! read comes as a wake.

use crate::domain::Timestamp;
use crate::domain::error::{Failure, FailureCode};
use crate::domain::media::{BlobId, BlobMeta, is_mime, sniff};
use crate::runtime::convert;
use crate::runtime::guest::GuestState;
use crate::runtime::ledger::{BlobView, MakingView};
use crate::runtime::limits::breach;
use crate::runtime::turn::{BlobEffect, Turn, check_label};
use anyport_contract::anyport::provider::{blobs, types};
use wasmtime::Result;

/// Of one append and one read.
const PIECE: usize = 1 << 20;
const NAME_BYTES: usize = 1024;
/// What is not sealed within a day is dropped.
const MAKING_MS: u64 = 24 * 60 * 60 * 1000;

type Answer<T> = std::result::Result<T, types::Error>;

fn refuse<T>(code: FailureCode, message: &str) -> Answer<T> {
    Err(convert::error(&Failure::new(code, message)))
}

/// What the account may know of a blob; none where it may not.
fn look(turn: &mut Turn, id: &str) -> Result<Option<BlobView>> {
    match turn.ledger.blob(id) {
        Ok(found) => Ok(found),
        Err(reason) => Err(wasmtime::Error::new(crate::runtime::instance::Unreadable(
            reason,
        ))),
    }
}

impl blobs::Host for GuestState {
    fn stat(&mut self, blob: String) -> Result<Answer<blobs::Info>> {
        let turn = self.reads("blobs.stat")?;
        Ok(match look(turn, &blob)? {
            None => refuse(FailureCode::NotFound, "there is no such blob"),
            Some(view) => Ok(blobs::Info {
                size: view.size,
                mime: view.meta.mime,
                filename: view.meta.filename,
            }),
        })
    }

    fn submit_read(&mut self, name: String, blob: String, offset: u64, length: u32) -> Result<()> {
        let turn = self.asks("blobs.submit-read")?;
        check_label(&name)?;
        if length as usize > PIECE {
            return breach(format!(
                "`blobs.submit-read` reads at most {PIECE} bytes, not {length}"
            ));
        }
        if turn.ledger.reads.len() >= turn.facts.limits.blob_labels
            && !turn.ledger.reads.contains_key(&name)
        {
            return breach(format!(
                "an account reads at most {} blobs at once",
                turn.facts.limits.blob_labels
            ));
        }
        turn.spend(name.len() + blob.len())?;
        let generation = turn.ledger.next_generation();
        turn.ledger.set_read(&name, Some(generation));
        turn.effects.blobs.push(BlobEffect::Read {
            label: name,
            generation,
            blob: BlobId::from_text(blob),
            offset,
            length,
        });
        Ok(())
    }

    fn public_url(&mut self, blob: String, valid_ms: u32) -> Result<Answer<String>> {
        let turn = self.asks("blobs.public-url")?;
        if look(turn, &blob)?.is_none() {
            return Ok(refuse(FailureCode::NotFound, "there is no such blob"));
        }
        let id = BlobId::from_text(blob);
        let until = Timestamp(turn.now.0.saturating_add(u64::from(valid_ms)));
        let Some(url) = turn.facts.reply_tokens.blob_url(&id, until) else {
            return Ok(refuse(
                FailureCode::Denied,
                "this host has no public https address",
            ));
        };
        turn.spend(url.len())?;
        turn.effects.blobs.push(BlobEffect::Keep { id, until });
        Ok(Ok(url))
    }

    fn create(
        &mut self,
        name: String,
        mime: Option<String>,
        filename: Option<String>,
    ) -> Result<()> {
        let turn = self.asks("blobs.create")?;
        check_label(&name)?;
        if let Some(filename) = &filename
            && filename.len() > NAME_BYTES
        {
            return breach(format!(
                "a file name has at most {NAME_BYTES} bytes, this one has {}",
                filename.len()
            ));
        }
        let now = turn.now;
        drop_making(turn, &name);
        if turn.ledger.making.len() >= turn.facts.limits.blob_labels {
            return breach(format!(
                "an account makes at most {} blobs at once",
                turn.facts.limits.blob_labels
            ));
        }
        turn.spend(name.len() + filename.as_ref().map_or(0, String::len))?;
        let view = MakingView {
            id: BlobId::generate(),
            size: 0,
            too_large: false,
            created_at: now,
            meta: BlobMeta {
                mime: mime.filter(|mime| is_mime(mime)),
                filename,
                ..BlobMeta::default()
            },
        };
        turn.effects.blobs.push(BlobEffect::Create {
            label: name.clone(),
            view: view.clone(),
        });
        turn.ledger.set_making(&name, Some(view));
        Ok(())
    }

    fn append(&mut self, name: String, bytes: Vec<u8>) -> Result<()> {
        let turn = self.asks("blobs.append")?;
        check_label(&name)?;
        if bytes.len() > PIECE {
            return breach(format!(
                "`blobs.append` takes at most {PIECE} bytes a call, not {}",
                bytes.len()
            ));
        }
        let Some(mut view) = alive(turn, &name) else {
            return breach(format!(
                "`blobs.append`: no blob is made under the label `{name}`"
            ));
        };
        if bytes.is_empty() {
            return Ok(());
        }
        let size = view.size + bytes.len() as u64;
        if view.too_large || size > turn.facts.limits.blob_bytes {
            // It is told when it seals.
            view.too_large = true;
            turn.ledger.set_making(&name, Some(view));
            return Ok(());
        }
        turn.spend(bytes.len())?;
        if view.size == 0 {
            let sniffed = sniff(&bytes).map(str::to_owned);
            view.meta.mime = view.meta.mime.or(sniffed.clone());
            view.meta.sniffed = sniffed;
        }
        turn.effects.blobs.push(BlobEffect::Append {
            id: view.id.clone(),
            offset: view.size,
            bytes,
        });
        view.size = size;
        turn.ledger.set_making(&name, Some(view));
        Ok(())
    }

    fn seal(&mut self, name: String) -> Result<Answer<String>> {
        let turn = self.asks("blobs.seal")?;
        check_label(&name)?;
        let Some(view) = alive(turn, &name) else {
            return Ok(refuse(
                FailureCode::NotFound,
                "no blob is made under this label, or it was not sealed within a day",
            ));
        };
        if view.too_large {
            drop_making(turn, &name);
            return Ok(refuse(
                FailureCode::QuotaExceeded,
                "the blob is larger than this host takes",
            ));
        }
        turn.spend(name.len())?;
        turn.ledger.set_making(&name, None);
        let known = BlobView {
            size: view.size,
            meta: view.meta.clone(),
        };
        turn.ledger.add_blob(view.id.as_str(), known);
        let id = view.id.to_string();
        turn.effects.blobs.push(BlobEffect::Seal(view));
        Ok(Ok(id))
    }

    fn discard(&mut self, name: String) -> Result<()> {
        let turn = self.asks("blobs.discard")?;
        check_label(&name)?;
        drop_making(turn, &name);
        Ok(())
    }
}

/// The blob in the making, if its day is not over.
fn alive(turn: &Turn, label: &str) -> Option<MakingView> {
    let view = turn.ledger.making.get(label)?;
    (turn.now.since(view.created_at) < MAKING_MS).then(|| view.clone())
}

fn drop_making(turn: &mut Turn, label: &str) {
    if let Some(view) = turn.ledger.making.get(label) {
        let id = view.id.clone();
        turn.ledger.set_making(label, None);
        turn.effects.blobs.push(BlobEffect::Discard(id));
    }
}
