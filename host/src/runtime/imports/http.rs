//! `http`: requests that are committed with the turn and sent after it.
//!
//! What breaks a limit fails the turn. What is wrong with a request otherwise (an address that is
//! none, a place that is not granted) often comes from people on the other side: it comes back as
//! the request's answer.

use crate::runtime::convert;
use crate::runtime::guest::GuestState;
use crate::runtime::ledger::RequestView;
use crate::runtime::limits::breach;
use crate::runtime::port::http::HttpRequest;
use crate::runtime::turn::{HttpEffect, Turn, check_label};
use anyport_contract::anyport::provider::{http, http_types};
use std::sync::Arc;
use uuid::Uuid;
use wasmtime::Result;

const CONTEXT_BYTES: usize = 4096;
const TIMEOUT_MS: u32 = 600_000;
/// An answer in guest memory; one that goes into the media store may be longer.
const ANSWER_BYTES: u64 = 8 << 20;
const HEADERS: usize = 100;
const PLACEMENTS: usize = 16;

fn check(request: &HttpRequest) -> Result<()> {
    let context = request.context.0.len();
    if context > CONTEXT_BYTES {
        return breach(format!(
            "a request's context has at most {CONTEXT_BYTES} bytes, this one has {context}"
        ));
    }
    if let Some(ms) = request.timeout_ms
        && !(1..=TIMEOUT_MS).contains(&ms)
    {
        return breach(format!(
            "a request's timeout is 1 to {TIMEOUT_MS} ms, not {ms}"
        ));
    }
    if let Some(bytes) = request.max_bytes
        && !request.to_blob
        && bytes > ANSWER_BYTES
    {
        return breach(format!(
            "an answer that is no blob has at most {ANSWER_BYTES} bytes, not {bytes}"
        ));
    }
    if request.headers.len() > HEADERS || request.secrets.len() > PLACEMENTS {
        return breach(format!(
            "a request has at most {HEADERS} headers and {PLACEMENTS} secrets"
        ));
    }
    Ok(())
}

/// Frees the label.
fn end(turn: &mut Turn, label: &str) {
    if let Some(view) = turn.ledger.requests.get(label) {
        let id = view.id;
        turn.ledger.set_request(label, None);
        turn.effects.http.push(HttpEffect::End {
            label: label.to_owned(),
            id,
        });
    }
}

impl http::Host for GuestState {
    fn submit(&mut self, name: String, request: http_types::Request) -> Result<()> {
        let turn = self.asks("http.submit")?;
        check_label(&name)?;
        let request = convert::http_request(request);
        check(&request)?;
        turn.spend(name.len() + request.size())?;
        end(turn, &name);
        if turn.ledger.requests.len() >= turn.facts.limits.requests {
            return breach(format!(
                "an account has at most {} requests that are not answered",
                turn.facts.limits.requests
            ));
        }
        let (id, request) = (Uuid::now_v7(), Arc::new(request));
        let view = RequestView {
            id,
            request: request.clone(),
        };
        turn.ledger.set_request(&name, Some(view));
        turn.effects.http.push(HttpEffect::Submit {
            label: name,
            id,
            request,
        });
        Ok(())
    }

    fn cancel(&mut self, name: String) -> Result<()> {
        let turn = self.asks("http.cancel")?;
        check_label(&name)?;
        turn.spend(name.len())?;
        end(turn, &name);
        Ok(())
    }
}
