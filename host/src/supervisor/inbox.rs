//! The providers directory: an inbox. A component that is put there is installed once it has
//! stopped growing; which version runs is storage's word, not the directory's.

use super::Supervisor;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Size and time of change of a file.
type Stamp = (u64, Option<SystemTime>);

/// Watches until the task is aborted. A standby takes nothing from it: the host that works does
/// from its own.
pub async fn watch(directory: PathBuf, supervisor: Arc<Supervisor>) {
    loop {
        while supervisor.is_standby() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        watch_as_owner(&directory, &supervisor).await;
    }
}

/// Until this host is a standby. A file that is there at the start is installed only if it never
/// was before: since then, storage decides.
async fn watch_as_owner(directory: &Path, supervisor: &Arc<Supervisor>) {
    let mut seen: HashMap<PathBuf, Stamp> = HashMap::new();
    let mut done: HashMap<PathBuf, Stamp> = HashMap::new();
    let at_start = components(directory);
    while !supervisor.is_standby() {
        let files = components(directory);
        done.retain(|path, _| files.contains_key(path));
        for (path, stamp) in &files {
            // As it was at the last look, and not yet looked at as it is.
            if seen.get(path) == Some(stamp) && done.get(path) != Some(stamp) {
                done.insert(path.clone(), *stamp);
                let fresh = at_start.get(path) != Some(stamp);
                install(path, supervisor, fresh).await;
            }
        }
        seen = files;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn components(directory: &Path) -> HashMap<PathBuf, Stamp> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return HashMap::new();
    };
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let hidden = path.file_name()?.to_str()?.starts_with('.');
            if hidden || path.extension()? != "wasm" {
                return None;
            }
            let meta = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((path, (meta.len(), meta.modified().ok())))
        })
        .collect()
}

async fn install(path: &Path, supervisor: &Arc<Supervisor>, fresh: bool) {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    match tokio::fs::read(path).await {
        Ok(bytes) => {
            // What is refused is logged and shown with the provider.
            if let Ok(installed) = supervisor.install_component(bytes, &name, fresh).await
                && !installed.unchanged
            {
                tracing::info!(
                    file = name,
                    provider = installed.provider,
                    version = installed.version,
                    digest = installed.digest,
                    accounts = installed.accounts,
                    "a provider was installed"
                );
            }
        }
        Err(error) => {
            tracing::warn!(file = name, %error, "a component in the providers directory cannot be read")
        }
    }
}
