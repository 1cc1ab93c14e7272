//! May a secret stand where a request wants it? If not, why: authors read it.

use super::super::egress;
use super::target::Target;
use crate::domain::error::{Failure, FailureCode};
use crate::domain::manifest::PlaceKind;
use crate::runtime::port::http::{Place, Placement};
use crate::runtime::port::{EgressGrant, GrantedPlacement};

pub fn may_place(
    grant: &EgressGrant,
    placement: &Placement,
    target: &Target,
) -> Result<(), Failure> {
    let (kind, name) = wanted(&placement.place);
    let of_secret = |rule: &&GrantedPlacement| rule.secret == placement.secret;
    let at_place = |rule: &&GrantedPlacement| rule.place == kind && rule.name == name;
    let leads_there = |rule: &GrantedPlacement| {
        (if target.https { rule.https } else { rule.http })
            && (rule.hosts.iter()).any(|host| egress::covers(host, &target.host))
    };
    let rules = grant.placements.iter().filter(of_secret);
    let here: Vec<_> = rules.clone().filter(at_place).collect();
    if here.iter().any(|rule| leads_there(rule)) {
        return Ok(());
    }
    let secret = shown(&placement.secret);
    let message = if rules.count() == 0 {
        format!("no [[secrets.placements]] of the manifest is for the secret `{secret}`")
    } else if here.is_empty() {
        format!(
            "no [[secrets.placements]] of the manifest lets the secret `{secret}` into {}",
            place(kind, &name)
        )
    } else {
        let scheme = if target.https { "https" } else { "http" };
        let granted: Vec<String> = here.iter().map(|rule| destinations(rule)).collect();
        format!(
            "the manifest lets the secret `{secret}` into {} of requests {}, not over {scheme} to {}",
            place(kind, &name),
            granted.join(" or "),
            target.host
        )
    };
    Err(Failure::new(FailureCode::Denied, message))
}

fn wanted(place: &Place) -> (PlaceKind, String) {
    match place {
        Place::Header(name) => (PlaceKind::Header, name.clone()),
        Place::Query(name) => (PlaceKind::Query, name.clone()),
        Place::PathSegment(number) => (PlaceKind::PathSegment, number.to_string()),
        Place::FormField(name) => (PlaceKind::FormField, name.clone()),
        Place::JsonPointer(pointer) => (PlaceKind::JsonPointer, pointer.clone()),
    }
}

fn place(kind: PlaceKind, name: &str) -> String {
    let name = shown(name);
    match kind {
        PlaceKind::Header => format!("the header `{name}`"),
        PlaceKind::Query => format!("the query's `{name}`"),
        PlaceKind::PathSegment => format!("segment {name} of the path"),
        PlaceKind::FormField => format!("the form field `{name}`"),
        PlaceKind::JsonPointer => format!("the JSON value at `{name}`"),
    }
}

/// `over https to api.example.org`.
fn destinations(rule: &GrantedPlacement) -> String {
    let schemes: Vec<&str> = [("http", rule.http), ("https", rule.https)]
        .into_iter()
        .filter_map(|(scheme, granted)| granted.then_some(scheme))
        .collect();
    let hosts = match rule.hosts.as_slice() {
        [] => "no host (its pointer leads to none in the configuration)".to_owned(),
        hosts => hosts.join(", "),
    };
    format!("over {} to {hosts}", schemes.join(" and "))
}

/// Names come from the guest.
fn shown(name: &str) -> String {
    let short: String = name.chars().take(64).collect();
    short.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(secret: &str, place: Place, url: &str) -> Option<String> {
        let rule = |name: &str, http, hosts: &[&str]| GrantedPlacement {
            secret: "token".into(),
            place: PlaceKind::Header,
            name: name.into(),
            hosts: hosts.iter().map(|&host| host.into()).collect(),
            http,
            https: true,
        };
        let grant = EgressGrant {
            provider: "test".into(),
            rules: Vec::new(),
            placements: vec![
                rule("authorization", false, &["api.example"]),
                rule("x-token", true, &[]),
            ],
        };
        let placement = Placement {
            secret: secret.into(),
            place,
            before: String::new(),
            after: String::new(),
        };
        let target = Target::parse(url).unwrap();
        let refusal = may_place(&grant, &placement, &target).err()?;
        assert_eq!(refusal.code, FailureCode::Denied);
        Some(refusal.message)
    }

    #[test]
    fn each_cause_has_words_of_its_own() {
        let header = |name: &str| Place::Header(name.into());
        let good = "https://api.example/v1";
        assert_eq!(refused("token", header("authorization"), good), None);
        for (secret, place, url, expected) in [
            (
                "tokn",
                header("authorization"),
                good,
                "no [[secrets.placements]] of the manifest is for the secret `tokn`",
            ),
            (
                "token",
                Place::PathSegment(0),
                good,
                "no [[secrets.placements]] of the manifest lets the secret `token` into \
                 segment 0 of the path",
            ),
            (
                "token",
                header("authorization"),
                "http://api.example/v1",
                "the manifest lets the secret `token` into the header `authorization` of \
                 requests over https to api.example, not over http to api.example",
            ),
            (
                "token",
                header("x-token"),
                good,
                "the manifest lets the secret `token` into the header `x-token` of requests \
                 over http and https to no host (its pointer leads to none in the \
                 configuration), not over https to api.example",
            ),
        ] {
            assert_eq!(refused(secret, place, url).as_deref(), Some(expected));
        }
    }
}
