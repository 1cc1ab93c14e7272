//! Capability negotiation (IRCv3 `CAP LS 302`): which capabilities are offered, asked for
//! and on. It must never decide whether the sign-in goes on; it says when it is settled.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What this provider makes use of. `sasl` is asked for only when there is an account.
const WANTED: &[&str] = &[
    "account-tag",
    "batch",
    "cap-notify",
    "chghost",
    "echo-message",
    "labeled-response",
    "message-tags",
    "multi-prefix",
    "server-time",
    "standard-replies",
];

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Negotiation {
    /// Names with their values, over the lines of one listing.
    offered: BTreeMap<String, String>,
    /// Requests that wait for their answer, each the capabilities of one line.
    pending: Vec<Vec<String>>,
    /// The listing is complete.
    listed: bool,
}

/// What to do after a `CAP` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Wait,
    /// Ask for these, one line each.
    Request(Vec<Vec<String>>),
    /// All is answered.
    Settled,
}

impl Negotiation {
    /// One `CAP` line, from the word after our nick on: `LS`, `*`, the list.
    pub fn read(&mut self, params: &[String], sasl: bool, enabled: &mut BTreeSet<String>) -> Step {
        let Some(subcommand) = params.first() else {
            return Step::Wait;
        };
        let list = params
            .last()
            .filter(|_| params.len() > 1)
            .map_or("", String::as_str);
        match subcommand.to_ascii_uppercase().as_str() {
            "LS" => {
                self.offer(list);
                let more = params.get(1).is_some_and(|word| word == "*") && params.len() > 2;
                if more {
                    return Step::Wait;
                }
                self.listed = true;
                self.request(sasl, enabled)
            }
            "NEW" => {
                self.offer(list);
                match self.request(false, enabled) {
                    Step::Settled => Step::Wait,
                    step => step,
                }
            }
            "DEL" => {
                for name in list.split_ascii_whitespace() {
                    self.offered.remove(name);
                    enabled.remove(name);
                }
                Step::Wait
            }
            "ACK" => {
                for name in list.split_ascii_whitespace() {
                    match name.strip_prefix('-') {
                        Some(name) => enabled.remove(name),
                        None => enabled.insert(name.to_owned()),
                    };
                }
                self.answered(list);
                self.progress()
            }
            "NAK" => {
                // A server refuses a request as a whole: ask again one by one.
                let refused = self.answered(list);
                if refused.len() > 1 {
                    let single: Vec<Vec<String>> =
                        refused.into_iter().map(|name| vec![name]).collect();
                    self.pending.extend(single.iter().cloned());
                    return Step::Request(single);
                }
                self.progress()
            }
            _ => Step::Wait,
        }
    }

    /// Does the server offer this SASL mechanism, as far as it says?
    pub fn offers_mechanism(&self, mechanism: &str) -> bool {
        self.offered.get("sasl").is_some_and(|value| {
            value.is_empty()
                || value
                    .split(',')
                    .any(|name| name.eq_ignore_ascii_case(mechanism))
        })
    }

    fn offer(&mut self, list: &str) {
        for item in list.split_ascii_whitespace() {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            if name == "sasl" || WANTED.contains(&name) {
                self.offered.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    fn request(&mut self, sasl: bool, enabled: &BTreeSet<String>) -> Step {
        let names: Vec<String> = self
            .offered
            .keys()
            .filter(|name| (name.as_str() != "sasl" || sasl) && !enabled.contains(*name))
            .filter(|name| {
                !self
                    .pending
                    .iter()
                    .flatten()
                    .any(|pending| pending == *name)
            })
            .cloned()
            .collect();
        if names.is_empty() {
            return self.progress();
        }
        self.pending.push(names.clone());
        Step::Request(vec![names])
    }

    /// Takes the request that this answer belongs to off the list: the one with the same
    /// names, else the oldest.
    fn answered(&mut self, list: &str) -> Vec<String> {
        if self.pending.is_empty() {
            return Vec::new();
        }
        let names: BTreeSet<&str> = list.split_ascii_whitespace().collect();
        let at = self.pending.iter().position(|request| {
            request.iter().map(String::as_str).collect::<BTreeSet<_>>() == names
        });
        self.pending.remove(at.unwrap_or(0))
    }

    fn progress(&self) -> Step {
        if self.listed && self.pending.is_empty() {
            Step::Settled
        } else {
            Step::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(negotiation: &mut Negotiation, enabled: &mut BTreeSet<String>, text: &str) -> Step {
        let line = crate::message::parse(text.as_bytes()).expect(text);
        negotiation.read(&line.params[1..], true, enabled)
    }

    fn request(names: &[&str]) -> Step {
        Step::Request(vec![names.iter().map(|name| (*name).to_owned()).collect()])
    }

    #[test]
    fn a_listing_over_several_lines() {
        let (mut negotiation, mut enabled) = (Negotiation::default(), BTreeSet::new());
        let mut step = |text: &str| read(&mut negotiation, &mut enabled, text);
        assert_eq!(
            step(":s CAP * LS * :multi-prefix away-notify sts=port=6697"),
            Step::Wait
        );
        assert_eq!(
            step(":s CAP * LS :sasl=PLAIN,EXTERNAL server-time unknown/cap"),
            request(&["multi-prefix", "sasl", "server-time"])
        );
        assert_eq!(
            step(":s CAP me ACK :multi-prefix sasl server-time "),
            Step::Settled
        );
        assert_eq!(
            step(":s CAP me NEW :batch message-tags extended-join"),
            request(&["batch", "message-tags"])
        );
        assert_eq!(step(":s CAP me ACK :batch message-tags"), Step::Settled);
        assert_eq!(step(":s CAP me DEL :server-time"), Step::Wait);
        assert!(
            negotiation.offers_mechanism("PLAIN") && !negotiation.offers_mechanism("SCRAM-SHA-256")
        );
        assert_eq!(
            enabled.into_iter().collect::<Vec<_>>(),
            ["batch", "message-tags", "multi-prefix", "sasl"]
        );
    }

    #[test]
    fn nothing_of_use_is_settled_at_once() {
        let (mut negotiation, mut enabled) = (Negotiation::default(), BTreeSet::new());
        assert_eq!(
            read(&mut negotiation, &mut enabled, ":s CAP * LS :"),
            Step::Settled
        );
        assert!(!negotiation.offers_mechanism("PLAIN"));
    }

    #[test]
    fn a_refused_request_is_asked_one_by_one() {
        let (mut negotiation, mut enabled) = (Negotiation::default(), BTreeSet::new());
        let mut step = |text: &str| read(&mut negotiation, &mut enabled, text);
        assert_eq!(
            step(":s CAP * LS :batch multi-prefix"),
            request(&["batch", "multi-prefix"])
        );
        assert_eq!(
            step(":s CAP * NAK :batch multi-prefix"),
            Step::Request(vec![vec!["batch".into()], vec!["multi-prefix".into()]])
        );
        assert_eq!(step(":s CAP * NAK :batch"), Step::Wait);
        assert_eq!(step(":s CAP * ACK :multi-prefix"), Step::Settled);
    }
}
