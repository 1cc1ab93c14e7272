//! What authors of providers ask of this binary: `anyport providers check` and `test`. Looks at a
//! component with the runtime that a host has; starts no host and opens no database.

mod check;
mod manifest;
mod play;
mod script;
mod stage;
mod suite;

use crate::runtime::{Engine, EngineSettings};
use anyport_cli::{Report, Workshop};
use std::sync::Arc;

/// The runtime on the author's machine.
pub struct Bench;

impl Workshop for Bench {
    fn check(&self, component: &[u8]) -> Report {
        check::check(component).0
    }

    fn test(&self, component: &[u8], script: Option<&str>) -> Report {
        suite::test(component, script)
    }
}

fn engine() -> Result<Arc<Engine>, String> {
    let settings = EngineSettings {
        max_instances: 16,
        ..EngineSettings::default()
    };
    Engine::new(settings).map_err(|error| format!("WebAssembly cannot be run here: {error:#}"))
}
