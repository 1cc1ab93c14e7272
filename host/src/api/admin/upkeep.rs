//! What an operator does to the installation as a whole: change the operator's key, go on after a
//! restore.

use super::super::Api;
use super::super::codes;
use super::super::envelope::{Answer, Reply};
use super::super::error::{ApiError, Operation};
use super::super::openapi::Doc;
use super::super::routes::Routes;
use crate::storage::{Rotation, StorageError, Store};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// After the database was away.
const AGAIN: Duration = Duration::from_secs(1);

pub fn routes() -> Routes {
    Routes::new()
        .post("/admin/v1/keys/rotate-master", rotate)
        .doc(
            Doc::new(
                "rotateMasterKey",
                "Wrap all data keys by the operator's next key",
            )
            .ok::<RotatedView>()
            .fails([codes::CONFLICT]),
        )
        .get("/admin/v1/restore", restored)
        .doc(Doc::new("getRestore", "Is this database made of a backup?").ok::<RestoredView>())
        .post("/admin/v1/restore/resume", resume)
        .doc(
            Doc::new(
                "resumeRestore",
                "Let the accounts of a restored database run",
            )
            .more("Says that the original is gone for good: two of one account may not run.")
            .ok::<ResumedView>(),
        )
        .about("Upkeep", "What is done to the installation as a whole.")
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "RotatedMasterKey")]
struct RotatedView {
    version: i64,
    keys_wrapped: u64,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Restored")]
struct RestoredView {
    restored_at: Option<String>,
    accounts_held: bool,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Resumed")]
struct ResumedView {
    accounts_started: u64,
}

fn storage(error: StorageError) -> ApiError {
    Operation::OWN.storage(error)
}

async fn rotate(State(api): State<Api>) -> Answer {
    api.store.begin_key_rotation().await.map_err(storage)?;
    // It goes on when the client does not wait for it.
    let store = api.store.clone();
    let (rotation, wrapped) = tokio::spawn(rotate_all(store))
        .await
        .map_err(|error| ApiError::internal(format!("the rotation ended: {error}")))?
        .map_err(storage)?;
    Reply::ok(&RotatedView {
        version: rotation.version,
        keys_wrapped: wrapped,
    })
}

/// Short steps, so that writers are not held up.
pub async fn rotate_all(store: Arc<dyn Store>) -> Result<(Rotation, u64), StorageError> {
    let mut wrapped = 0;
    loop {
        let rotation = match store.go_on_rotating_keys().await {
            Ok(rotation) => rotation,
            Err(StorageError::Unavailable(_)) => {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        wrapped += rotation.wrapped;
        if rotation.over {
            return Ok((rotation, wrapped));
        }
        tokio::task::yield_now().await;
    }
}

async fn restored(State(api): State<Api>) -> Answer {
    let at = api.store.restored().await.map_err(storage)?;
    Reply::ok(&RestoredView {
        restored_at: at.map(|at| at.rfc3339()),
        accounts_held: at.is_some(),
    })
}

/// The original is gone for good, says the operator.
async fn resume(State(api): State<Api>) -> Answer {
    let started = api.control.resume_restored().await.map_err(storage)?;
    Reply::ok(&ResumedView {
        accounts_started: started,
    })
}
