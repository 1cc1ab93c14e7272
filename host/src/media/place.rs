//! Where the bytes are: a local folder, or a bucket of an S3-compatible store.

use anyhow::Context as _;
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::client::HttpConnector;
use object_store::local::LocalFileSystem;
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

/// What is written is on the disk, or confirmed by the server, before anybody is told.
#[derive(Debug)]
pub enum Place {
    Local(PathBuf),
    S3(S3),
}

pub struct S3 {
    pub bucket: String,
    pub region: String,
    /// None: AWS itself.
    pub endpoint: Option<String>,
    pub access_key_id: String,
    pub secret_access_key: SecretString,
    /// Of the host's own network.
    pub client: Box<dyn HttpConnector>,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("bucket", &self.bucket)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// The builder wants to own what connects.
#[derive(Debug)]
struct Boxed(Box<dyn HttpConnector>);

impl HttpConnector for Boxed {
    fn connect(
        &self,
        options: &object_store::ClientOptions,
    ) -> object_store::Result<object_store::client::HttpClient> {
        self.0.connect(options)
    }
}

impl Place {
    pub(super) fn open(self) -> anyhow::Result<(Arc<dyn ObjectStore>, Option<PathBuf>)> {
        match self {
            Self::Local(directory) => {
                std::fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&directory)
                    .with_context(|| {
                        format!("the directory {} cannot be made", directory.display())
                    })?;
                let store = LocalFileSystem::new_with_prefix(&directory)
                    .with_context(|| {
                        format!("the directory {} cannot be used", directory.display())
                    })?
                    .with_fsync(true);
                Ok((Arc::new(store), Some(directory)))
            }
            Self::S3(s3) => {
                let mut builder = AmazonS3Builder::new()
                    .with_bucket_name(&s3.bucket)
                    .with_region(&s3.region)
                    .with_access_key_id(&s3.access_key_id)
                    .with_secret_access_key(s3.secret_access_key.expose_secret())
                    .with_virtual_hosted_style_request(false)
                    .with_http_connector(Boxed(s3.client));
                if let Some(endpoint) = &s3.endpoint {
                    builder = builder
                        .with_allow_http(endpoint.starts_with("http://"))
                        .with_endpoint(endpoint);
                }
                let store = builder
                    .build()
                    .map_err(|error| anyhow::anyhow!("the S3 store cannot be used: {error}"))?;
                Ok((Arc::new(store), None))
            }
        }
    }
}
