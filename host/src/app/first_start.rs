//! The first start: a workspace, its key, the operator's key. Plain keys are shown once; a trial
//! keeps them in a file, so that a second start can show them again.

use super::config::Config;
use crate::api::mint_key;
use crate::domain::WorkspaceId;
use crate::storage::lease::Ownership;
use crate::storage::{KeyKind, Store, Workspace};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;

/// Keys in plain text, as far as they are known. `Debug` shows none.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Keys {
    pub workspace: Option<String>,
    pub operator: Option<String>,
    /// Made by this very start.
    #[serde(skip)]
    pub new: bool,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("new", &self.new)
            .finish_non_exhaustive()
    }
}

const TRIAL_KEYS: &str = "trial-keys.json";
const TRIAL_ADDRESS: &str = "trial-address";

/// A standby makes none: whoever owns the database does.
pub async fn keys(
    store: &dyn Store,
    config: &Config,
    ownership: &Ownership,
) -> anyhow::Result<Keys> {
    let file = config.data.join(TRIAL_KEYS);
    let known = store.api_keys().await?;
    if known.iter().any(|key| key.kind == KeyKind::Workspace) {
        let kept = std::fs::read(&file).ok().filter(|_| config.trial);
        return Ok(kept
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default());
    }
    if ownership.is_standby() {
        return Ok(Keys::default());
    }
    let workspace = Workspace {
        id: WorkspaceId::generate(),
        name: "Default".into(),
        status: "active".into(),
        metadata: serde_json::json!({}),
        account_quota: None,
    };
    let (operator, operator_key) = mint_key(KeyKind::Operator, None, "first operator key")?;
    let (text, key) = mint_key(KeyKind::Workspace, Some(workspace.id.clone()), "first key")?;
    let keys = Keys {
        workspace: Some(text),
        operator: Some(operator),
        new: true,
    };
    if config.trial {
        // Before they are good: a start that is killed in between makes others.
        let mut kept = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file)
            .context("the keys of the trial cannot be kept")?;
        kept.write_all(&serde_json::to_vec(&keys)?)?;
        kept.sync_all()?;
    }
    store.put_workspace(&workspace).await?;
    // The first start is over when there is a key: the workspace's, which nobody can make up for,
    // comes last.
    store.put_api_key(&operator_key).await?;
    store.put_api_key(&key).await?;
    Ok(keys)
}

/// Where a trial listens now, for commands that are typed beside it.
pub fn keep_address(config: &Config, address: SocketAddr) -> anyhow::Result<()> {
    if config.trial {
        std::fs::write(
            config.data.join(TRIAL_ADDRESS),
            format!("http://{address}\n"),
        )
        .context("the address of the trial cannot be kept")?;
    }
    Ok(())
}
