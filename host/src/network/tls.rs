//! TLS for what the host dials: one client configuration for all, with the system's authorities
//! and the operator's own.
//!
//! Sessions are not resumed: a ticket that one account received would tell the server that another
//! account is the same host's, and each kept session costs memory. Certificates are always
//! verified; there is no switch to turn that off.

use super::dial::dialable;
use super::error::{DialError, DialProblem, NetworkError};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

#[derive(Clone)]
pub struct TlsContext {
    connector: TlsConnector,
}

impl TlsContext {
    /// Reads the system's authorities and the extra PEM files. A certificate of the system that
    /// cannot be read is left out with a warning; an extra file that holds none is an error.
    pub fn load(extra_ca: &[PathBuf]) -> Result<Self, NetworkError> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "some of the system's certificate authorities could not be read");
        }
        roots.add_parsable_certificates(system.certs);
        for path in extra_ca {
            add_authorities(&mut roots, path).map_err(|problem| NetworkError::ExtraCa {
                path: path.clone(),
                problem,
            })?;
        }
        if roots.is_empty() {
            tracing::warn!("no certificate authority is trusted: every TLS connection will fail");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
        })
    }

    /// `name`: what the certificate has to be valid for, a host name or an address.
    pub async fn handshake(&self, name: &str, stream: TcpStream) -> Result<TlsStream, DialError> {
        let bare = dialable(name)?;
        let bare = bare.strip_suffix('.').unwrap_or(&bare);
        let server_name = ServerName::try_from(bare.to_owned()).map_err(|error| {
            DialError::new(
                DialProblem::Invalid,
                "the server name is not a name or address",
            )
            .with_detail(error)
        })?;
        self.connector
            .connect(server_name, stream)
            .await
            .map_err(|error| failed(name, &error))
    }
}

impl std::fmt::Debug for TlsContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsContext").finish_non_exhaustive()
    }
}

/// How many certificate authorities a PEM file holds; one that cannot be used is an error.
pub fn count_authorities(path: &Path) -> Result<usize, String> {
    let mut roots = RootCertStore::empty();
    add_authorities(&mut roots, path)?;
    Ok(roots.len())
}

fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let mut added = 0;
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        added += 1;
    }
    if added == 0 {
        return Err("there is no certificate in it".into());
    }
    Ok(())
}

fn failed(name: &str, error: &io::Error) -> DialError {
    let problem = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .map_or_else(|| io_problem(error), tls_problem);
    DialError::new(
        DialProblem::Tls,
        format!("TLS with {name} failed: {problem}"),
    )
    .with_detail(error)
}

fn io_problem(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the other side closed the connection during the handshake",
        _ => "the connection broke during the handshake",
    }
}

fn tls_problem(error: &rustls::Error) -> &'static str {
    use CertificateError as Certificate;
    match error {
        rustls::Error::InvalidCertificate(problem) => match problem {
            Certificate::Expired | Certificate::ExpiredContext { .. } => {
                "the certificate has expired"
            }
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                "the certificate is not valid yet"
            }
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                "the certificate is for another name"
            }
            Certificate::UnknownIssuer => "the certificate's issuer is not trusted",
            Certificate::Revoked => "the certificate was revoked",
            Certificate::BadSignature => "the certificate's signature is wrong",
            _ => "the certificate is not valid",
        },
        rustls::Error::NoCertificatesPresented => "the other side showed no certificate",
        rustls::Error::AlertReceived(_) => "the other side refused the handshake",
        rustls::Error::PeerIncompatible(_) => "there is no common version or cipher",
        rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. } => {
            "the other side does not speak TLS here"
        }
        _ => "the handshake failed",
    }
}
