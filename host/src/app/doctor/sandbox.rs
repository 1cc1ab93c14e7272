//! Can WebAssembly run here? A provider that came with the host is compiled and called once, in a
//! process with the same limits and permissions.

use super::Finding;
use crate::app::BUNDLED;
use crate::runtime::{Engine, EngineSettings};

const CHECK: &str = "sandbox";

pub fn examine() -> Vec<Finding> {
    let Some((name, bytes)) = BUNDLED.first() else {
        return Vec::new();
    };
    let settings = EngineSettings {
        max_instances: 8,
        cache: None,
        ..EngineSettings::default()
    };
    let engine = match Engine::new(settings) {
        Ok(engine) => engine,
        Err(error) => return vec![broken(format!("the engine cannot be made: {error:?}"))],
    };
    // Reads the manifest, compiles, makes an instance and asks it to describe itself.
    vec![match engine.check(bytes) {
        Ok(provider) => Finding::ok(
            CHECK,
            format!(
                "provider `{name}` {} compiled and answered",
                provider.manifest.version
            ),
        ),
        Err(refusal) => broken(format!("provider `{name}` does not run: {}", refusal.0)),
    }]
}

fn broken(what: String) -> Finding {
    Finding::problem(
        CHECK,
        what,
        "no provider can run, so that no account can",
        "look for what forbids memory to become executable (MemoryDenyWriteExecute=, SELinux, a seccomp filter) or limits the address space (ulimit -v)",
    )
}
