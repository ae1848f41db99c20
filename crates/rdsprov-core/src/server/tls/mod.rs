//! Sets up TLS: the trusted roots, the verification of the server, and the client certificate.
//!
//! `problem.rs` explains why a handshake failed. This module does not know secrets or plans.

mod certificate;
mod client;
mod problem;
mod roots;
mod verify;

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem;
use rustls::{ClientConfig, InconsistentKeys};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use problem::TlsProblem;
pub use roots::BundledCertificates;

use crate::config::{TlsMode, TlsSettings};
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt};
use roots::Roots;
use verify::{AnyCertificate, VerifyFull};

/// TLS cannot be set up. Nothing was contacted.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The CA file cannot be read, or contains no usable certificate.
    #[error("CA file {path} cannot be used: {reason}")]
    CaFile {
        /// The path of the PEM file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Only the root certificates of the system are trusted, and the system has none.
    #[error("the system has no root certificates")]
    NoSystemRoots,
    /// The client certificate cannot be read.
    #[error("client certificate {path} cannot be used: {reason}")]
    ClientCertificate {
        /// The path of the PEM file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key of the client certificate cannot be read.
    #[error("client key {path} cannot be used: {reason}")]
    ClientKey {
        /// The path of the PEM file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key is not the key of the client certificate.
    #[error("client key {key} does not belong to client certificate {certificate}")]
    OtherClientKey {
        /// The path of the certificate file.
        certificate: PathBuf,
        /// The path of the key file.
        key: PathBuf,
    },
    /// The certificates that are compiled into the program are damaged.
    #[error("the built-in Amazon RDS certificates cannot be read")]
    Carried,
    /// rustls rejected the settings.
    #[error("TLS cannot be set up: {0}")]
    SetUp(String),
}

impl TlsError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::CaFile { .. } | Self::ClientCertificate { .. } => {
                ErrorCode::UnusableCertificateFile
            }
            Self::NoSystemRoots => ErrorCode::NoSystemCertificates,
            Self::ClientKey { .. } | Self::OtherClientKey { .. } => ErrorCode::UnusableClientKey,
            Self::Carried | Self::SetUp(_) => ErrorCode::TlsSetupFailed,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::CaFile { .. } => hint!["name a PEM file of certificates with ", Opt::CaFile],
            Self::NoSystemRoots => hint![
                "install the package `ca-certificates`, or name a PEM file with ",
                Opt::CaFile
            ],
            Self::ClientCertificate { .. } => {
                hint!["name a PEM file that contains the certificate with ", Opt::ClientCert]
            }
            Self::ClientKey { .. } => {
                hint!["name an unencrypted PEM file, readable by you only, with ", Opt::ClientKey]
            }
            Self::OtherClientKey { .. } => hint![
                "name a certificate and its own key with ",
                Opt::ClientCert,
                " and ",
                Opt::ClientKey
            ],
            Self::Carried | Self::SetUp(_) => "reinstall rdsprov".into(),
        }]
    }
}

/// The protection of connections: TLS as configured, or none.
#[derive(Clone)]
pub struct Tls(pub(super) Protection);

#[derive(Clone)]
pub(super) enum Protection {
    /// Connections without TLS, which are allowed to loopback addresses only.
    Disabled,
    /// Connections with TLS, which the connector sets up.
    Rustls { connector: MakeRustlsConnect, identity: Identity, peer: Peer },
}

/// Whether the identity of the server is verified.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// The server has a certificate of a trusted CA for its host name (`verify-full`).
    Verified,
    /// The server may be any server, because its certificate is not verified (`require`).
    Unverified,
}

/// Whether the client certificate is sent to the server.
#[derive(Clone)]
pub(super) enum Identity {
    /// Nothing is sent, because no client certificate is configured.
    None,
    /// The client certificate is sent. `anonymous` connects without it, as other roles.
    Sent { anonymous: MakeRustlsConnect },
    /// Nothing is sent, because the client certificate belongs to the administrator.
    Withheld,
}

impl Tls {
    /// Prepares TLS. Only the files that the mode requires are read.
    ///
    /// # Errors
    /// Returns a [`TlsError`] if a file cannot be used or rustls rejects the configuration.
    pub fn new(settings: &TlsSettings) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let (verifier, peer): (Arc<dyn ServerCertVerifier>, Peer) = match settings.mode {
            TlsMode::Disable => return Ok(Self(Protection::Disabled)),
            TlsMode::Require => (Arc::new(AnyCertificate(provider.clone())), Peer::Unverified),
            TlsMode::VerifyFull => {
                let roots = Roots::load(settings.ca_file.as_ref())?;
                (Arc::new(VerifyFull::new(roots, provider.clone())?), Peer::Verified)
            }
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(set_up)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let anonymous = MakeRustlsConnect::new(builder.clone().with_no_client_auth());
        let Some(client) = &settings.client else {
            return Ok(Self::rustls(anonymous, Identity::None, peer));
        };
        let (chain, key) = client::load(client)?;
        let config = builder.with_client_auth_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::OtherClientKey {
                    certificate: client.certificate.clone(),
                    key: client.key.clone(),
                }
            }
            other => TlsError::ClientKey { path: client.key.clone(), reason: other.to_string() },
        })?;
        Ok(Self::rustls(MakeRustlsConnect::new(config), Identity::Sent { anonymous }, peer))
    }

    fn rustls(connector: MakeRustlsConnect, identity: Identity, peer: Peer) -> Self {
        Self(Protection::Rustls { connector, identity, peer })
    }

    /// Returns the protection for another role, without the client
    /// certificate of the administrator.
    pub(super) fn for_another_role(&self) -> Self {
        match &self.0 {
            Protection::Rustls { identity: Identity::Sent { anonymous }, peer, .. } => {
                Self::rustls(anonymous.clone(), Identity::Withheld, *peer)
            }
            _ => self.clone(),
        }
    }

    /// Returns whether a client certificate is sent.
    pub(super) fn identity(&self) -> &Identity {
        match &self.0 {
            Protection::Disabled => &Identity::None,
            Protection::Rustls { identity, .. } => identity,
        }
    }
}

fn set_up(error: impl Display) -> TlsError {
    TlsError::SetUp(error.to_string())
}

/// Returns what is wrong with a PEM file, without its content, which can be a private key.
fn pem_reason(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::MissingSectionEnd { .. } => "it ends inside a PEM section".to_owned(),
        pem::Error::IllegalSectionStart { .. } | pem::Error::Base64Decode(_) => {
            "it is not a valid PEM file".to_owned()
        }
        pem::Error::NoItemsFound => "it contains no such PEM section".to_owned(),
        _ => "it cannot be parsed as PEM".to_owned(),
    }
}
