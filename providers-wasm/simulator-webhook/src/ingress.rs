//! Webhooks of the channel. The host has verified them; its 2xx leaves when the events are safe.

use anyport_sdk::{events, kv, logging, turn};
use anyport_simulator::protocol::Event;
use serde::Deserialize;
use serde_json::Value;
use simulator_mapping::emission;

use crate::exports::ingress::{Request, Response};
use crate::session::USER;
use crate::state::State;

/// A [`anyport_simulator::webhook::Delivery`] whose events are read one by one, so that one that this
/// version does not know holds up no other.
#[derive(Deserialize)]
struct Delivery {
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    user: String,
    events: Vec<Value>,
}

impl State {
    pub fn receive(&mut self, request: &Request) -> Response {
        let Ok(delivery) = serde_json::from_slice::<Delivery>(&request.body) else {
            return status(400);
        };
        let Some(me) = kv::get(USER) else {
            // Until somebody signs in. The channel comes again.
            return status(503);
        };
        if delivery
            .entry
            .iter()
            .any(|entry| entry.user.as_bytes() != me)
        {
            logging::warn("a webhook for somebody else", &[("route", &request.route)]);
            return status(404);
        }
        for value in delivery.entry.into_iter().flat_map(|entry| entry.events) {
            match Event::deserialize(value) {
                Ok(event) if self.skip.contains(&event.id) => {}
                Ok(event) => {
                    turn::subject(&event.id);
                    events::emit(&emission(event));
                }
                Err(error) => logging::warn(
                    "an event that this version does not know",
                    &[("error", &error.to_string())],
                ),
            }
        }
        status(200)
    }
}

fn status(status: u16) -> Response {
    Response {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    }
}
