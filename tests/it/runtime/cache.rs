//! The cache of compiled components.

use super::stage::{logged, settings};
use crate::support::guests;
use anyport::runtime::{Engine, EngineSettings};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Checks the evil provider with a new engine on this cache; returns what was logged of it.
fn check(cache: &Path) -> Vec<String> {
    let engine = Engine::new(EngineSettings {
        cache: Some(cache.to_owned()),
        ..settings()
    })
    .unwrap();
    let (lines, provider) = logged(|| engine.check(guests::evil()).unwrap());
    assert_eq!(provider.descriptor.title, "Evil");
    lines
        .into_iter()
        .filter(|line| line.contains("compiled"))
        .collect()
}

fn file(cache: &Path) -> PathBuf {
    let files: Vec<_> = std::fs::read_dir(cache)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let [file] = &files[..] else {
        panic!("one file: {files:?}");
    };
    file.clone()
}

const FROM_CACHE: &str = "comes compiled from the cache";
const DAMAGED: &str = "is not usable; compiling anew";

#[test]
fn the_second_check_takes_what_the_first_compiled() {
    let cache = TempDir::new().unwrap();
    assert_eq!(check(cache.path()), [""; 0]);
    let lines = check(cache.path());
    assert!(
        lines.len() == 1 && lines[0].contains(FROM_CACHE),
        "{lines:?}"
    );
}

#[test]
fn what_is_damaged_is_compiled_anew() {
    let cache = TempDir::new().unwrap();
    check(cache.path());
    let file = file(cache.path());
    let whole = std::fs::read(&file).unwrap();

    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let cut = whole[..whole.len() / 2].to_vec();
    for damaged in [flipped, cut, b"short".to_vec(), Vec::new()] {
        std::fs::write(&file, &damaged).unwrap();
        let lines = check(cache.path());
        assert!(lines.len() == 1 && lines[0].contains(DAMAGED), "{lines:?}");
        assert_eq!(std::fs::read(&file).unwrap(), whole, "it is whole again");
        let lines = check(cache.path());
        assert!(
            lines.len() == 1 && lines[0].contains(FROM_CACHE),
            "{lines:?}"
        );
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_no_reason_to_refuse() {
    let directory = TempDir::new().unwrap();
    let lines = check(&directory.path().join("not/there"));
    assert!(
        lines.len() == 1 && lines[0].contains("could not keep the compiled component"),
        "{lines:?}"
    );
}
