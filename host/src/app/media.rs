//! The media store as it is configured.

use super::config::{Config, MediaConfig};
use crate::media::{Media, Place, S3, Settings};
use crate::network::Network;
use crate::network::fetch::MediaFetcher;
use crate::network::objects::ObjectClient;
use crate::storage::sql::SqlStore;
use crate::supervisor::MediaParts;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// What is over is removed so often, and more often where it is kept for a short time only.
const SWEEP: Duration = Duration::from_secs(60);

pub fn open(config: &Config, store: Arc<SqlStore>, network: &Network) -> anyhow::Result<Media> {
    Media::open(store, place(config, network), settings(config)?)
}

fn settings(config: &Config) -> anyhow::Result<Settings> {
    Ok(Settings {
        max_bytes: config.media.max_bytes,
        types: config.media.types.clone(),
        keep_ms: config.retention.check()?.media_ms,
    })
}

fn place(config: &Config, network: &Network) -> Place {
    let s3 = &config.media.s3;
    match (&s3.bucket, &s3.access_key_id, &s3.secret_access_key) {
        (Some(bucket), Some(id), Some(secret)) => Place::S3(S3 {
            bucket: bucket.clone(),
            region: s3.region.clone(),
            endpoint: s3.endpoint.clone(),
            access_key_id: id.clone(),
            secret_access_key: secret.clone(),
            client: Box::new(ObjectClient::new(&network.dialer())),
        }),
        _ => Place::Local(directory(config)),
    }
}

/// Of a local store.
pub fn directory(config: &Config) -> PathBuf {
    let MediaConfig { directory, .. } = &config.media;
    directory
        .clone()
        .unwrap_or_else(|| config.data.join("media"))
}

/// What accounts need of it.
pub fn parts(media: &Media, network: &Network) -> MediaParts {
    MediaParts {
        blobs: Arc::new(media.clone()),
        rows: media.rows(),
        fetcher: Arc::new(MediaFetcher::new(network.dialer())),
        keep_ms: media.settings().keep_ms,
    }
}

pub fn keep_tidy(media: &Media) -> JoinHandle<()> {
    let often = Duration::from_millis(media.settings().keep_ms / 10);
    media.keep_tidy(SWEEP.min(often.max(Duration::from_millis(100))))
}
