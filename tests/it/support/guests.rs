//! Components for tests: built by `build.rs`, or assembled from text.

use std::path::Path;
use std::sync::OnceLock;

fn read(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

macro_rules! built {
    ($($(#[$doc:meta])* $name:ident: $variable:literal;)*) => {$(
        $(#[$doc])*
        pub fn $name() -> &'static [u8] {
            static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
            BYTES.get_or_init(|| read(env!($variable)))
        }
    )*};
}

built! {
    /// Misbehaves on command (`guests/evil/src/commands.rs`), `!files` and its like included.
    evil: "GUEST_EVIL";
    /// Its `describe` writes into kv.
    evil_describe_impure: "GUEST_EVIL_DESCRIBE_IMPURE";
    /// Its `messaging.send` takes other parameters than the contract's.
    evil_wrong_shape: "GUEST_EVIL_WRONG_SHAPE";
    /// The simulator's provider for a channel that keeps repeats.
    simulator_no_dedupe: "GUEST_SIMULATOR_NO_DEDUPE";
    /// The simulator channel's provider by webhooks and HTTP.
    simulator_webhook: "GUEST_SIMULATOR_WEBHOOK";
}

/// The component of `guests/<name>.wat`.
pub fn assembled(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("guests")
        .join(name);
    wat::parse_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
