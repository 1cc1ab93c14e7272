//! `docs/api.md` says what the code does.

use super::super::codes::{self, Code};
use super::super::error::Operation;
use crate::domain::error::FailureCode;
use std::collections::BTreeSet;

const DOCS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md"));

/// Cells of the table rows between a heading and the next one.
fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, section) = DOCS.split_once(&format!("\n{heading}\n")).expect(heading);
    let section = section.split("\n#").next().unwrap();
    let rows: Vec<Vec<String>> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            line.trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().trim_matches('`').to_owned())
                .collect()
        })
        .collect();
    assert!(!rows.is_empty(), "{heading}");
    rows
}

#[test]
fn the_code_tables_are_the_same() {
    for (heading, codes) in [
        ("### Published codes", codes::PUBLISHED),
        ("### Our own codes", codes::OWN),
    ] {
        let documented: BTreeSet<(String, u16)> = table(heading)
            .into_iter()
            .map(|row| (row[0].clone(), row[1].parse().unwrap()))
            .collect();
        let known: BTreeSet<(String, u16)> = codes
            .iter()
            .map(|code| (code.name.to_owned(), code.status))
            .collect();
        assert_eq!(documented, known, "{heading}");
    }
    let names: BTreeSet<&str> = [codes::PUBLISHED, codes::OWN]
        .concat()
        .iter()
        .map(|code: &Code| code.name)
        .collect();
    assert_eq!(names.len(), codes::PUBLISHED.len() + codes::OWN.len());
}

#[test]
fn the_table_of_failures_is_the_same() {
    let documented: Vec<(String, String, String)> = table("### Failures of a provider")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone(), row[2].clone()))
        .collect();
    let known: Vec<(String, String, String)> = FailureCode::ALL
        .into_iter()
        .map(|failure| {
            let of = |operation: Operation| {
                let code = operation.code_of(failure);
                format!("{} {}", code.status, code.name)
            };
            let auth = Operation::of_runtime(codes::RUN_AUTH_ACTION_FAILED);
            (failure.as_str().to_owned(), of(Operation::SEND), of(auth))
        })
        .collect();
    assert_eq!(documented, known);
}
