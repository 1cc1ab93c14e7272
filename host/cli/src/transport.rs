//! HTTP/1.1 requests over TCP or TLS (rustls with ring, the system's authorities). Follows no
//! redirect and asks for no compression: the API has neither.

use crate::failure::{Failure, Outcome};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Servers close idle connections too; ours go first.
const MAX_IDLE: Duration = Duration::from_secs(20);

pub const USER_AGENT: &str = concat!("anyport/", env!("CARGO_PKG_VERSION"));

#[derive(Clone, Debug)]
pub struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// No answer came.
#[derive(Debug)]
pub struct NoAnswer {
    pub reason: String,
    /// The request may have arrived.
    pub maybe_done: bool,
}

impl Transport {
    /// Without `tls`, the authorities are not read; an https address then fails.
    pub fn new(tls: bool, extra: Option<&Path>) -> Outcome<Self> {
        let mut roots = RootCertStore::empty();
        if tls {
            // Some that cannot be read leave the others.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        if let Some(file) = extra {
            add(&mut roots, file)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::local(format!("TLS cannot be set up: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(MAX_IDLE)
            .build(connector);
        Ok(Self { client })
    }

    /// Until the head of the answer is there.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, NoAnswer> {
        match tokio::time::timeout(timeout, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(NoAnswer {
                maybe_done: !error.is_connect(),
                reason: reason(&error),
            }),
            Err(_) => Err(NoAnswer {
                maybe_done: true,
                reason: format!("no answer within {} s", timeout.as_secs()),
            }),
        }
    }
}

fn add(roots: &mut RootCertStore, file: &Path) -> Outcome {
    let wrong = |why: String| {
        Failure::local(format!(
            "the authorities in {} cannot be used: {why}",
            file.display()
        ))
    };
    let certificates =
        CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?;
    let mut any = false;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| wrong(error.to_string()))?;
        any = true;
    }
    if any {
        Ok(())
    } else {
        Err(wrong("there is no certificate in it".to_owned()))
    }
}

/// The innermost cause says what happened; those around it that something did.
pub fn reason(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}
