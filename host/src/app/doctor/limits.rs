//! The kernel's limits against what is configured.

use super::Finding;
use crate::app::config::Config;
use rustix::process::{Resource, getrlimit};

/// Memory maps of one instance, and of a host without any.
const MAPS_PER_INSTANCE: u64 = 4;
const MAPS_OF_A_HOST: u64 = 3_000;
/// Descriptors beside those of connections.
const FILES_OF_A_HOST: u64 = 256;

pub fn examine(config: &Config) -> Vec<Finding> {
    let instances = u64::from(config.runtime.max_instances);
    let maps = std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let mut findings = Vec::new();
    if let Some(maps) = maps {
        findings.push(judge_maps(maps, instances));
    }
    let limit = getrlimit(Resource::Nofile);
    findings.push(judge_files(limit.current, instances));
    let space = getrlimit(Resource::As).current;
    if let Some(space) = space {
        findings.push(Finding::warning(
            "limits.address_space",
            format!(
                "the address space is limited to {} MiB (ulimit -v)",
                space / 1024 / 1024
            ),
            "every instance reserves far more address space than it uses, so that few or none fit",
            "remove the limit; limit memory with a control group (MemoryMax=) instead",
        ));
    }
    findings
}

fn judge_maps(maps: u64, instances: u64) -> Finding {
    const CHECK: &str = "limits.maps";
    let needed = instances * MAPS_PER_INSTANCE + MAPS_OF_A_HOST;
    let what = format!("vm.max_map_count is {maps}, {instances} instances take about {needed}");
    if maps >= needed {
        return Finding::ok(CHECK, what);
    }
    let fit = maps.saturating_sub(MAPS_OF_A_HOST) / MAPS_PER_INSTANCE;
    Finding::warning(
        CHECK,
        what,
        "accounts beyond the limit cannot start, and other parts of the process may fail with them",
        format!("sysctl vm.max_map_count={needed}, or runtime.max_instances={fit}"),
    )
}

/// `limit`: none is unlimited.
fn judge_files(limit: Option<u64>, instances: u64) -> Finding {
    const CHECK: &str = "limits.files";
    let needed = instances + FILES_OF_A_HOST;
    let Some(limit) = limit else {
        return Finding::ok(CHECK, "open files are not limited");
    };
    let what = format!("{limit} files may be open, {instances} connected accounts take {needed}");
    let why = "each connection of an account, of a client and of a webhook takes one; without one left connections fail";
    let todo = format!("raise it: LimitNOFILE={needed} in the unit, or ulimit -n {needed}");
    if limit < 1_024.min(needed) {
        Finding::problem(CHECK, what, why, todo)
    } else if limit < needed {
        Finding::warning(CHECK, what, why, todo)
    } else {
        Finding::ok(CHECK, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::doctor::Severity;

    #[test]
    fn limits_are_held_against_what_is_configured() {
        assert_eq!(judge_maps(65_530, 12_000).severity, Severity::Ok);
        let few = judge_maps(65_530, 50_000);
        assert_eq!(few.severity, Severity::Warning);
        assert!(few.todo.contains("vm.max_map_count=203000"), "{}", few.todo);
        assert_eq!(judge_files(None, 12_000).severity, Severity::Ok);
        assert_eq!(judge_files(Some(1_024), 12_000).severity, Severity::Warning);
        assert_eq!(judge_files(Some(64), 12_000).severity, Severity::Problem);
        assert_eq!(judge_files(Some(20_000), 12_000).severity, Severity::Ok);
    }
}
