//! TLS: whom to trust, who we are, and how that is set up.

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
pub use roots::CarriedCertificates;

use crate::config::{TlsMode, TlsSettings};
use roots::Roots;
use verify::{AnyCertificate, VerifyFull};

/// Why TLS cannot be set up; nothing has been contacted.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The CA file cannot be used.
    #[error(
        "the CA file {path} cannot be used: {reason}; give a PEM file of certificates with --ca-file"
    )]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system's roots were asked for.
    #[error(
        "the system has no root certificates; install them (package ca-certificates), or name a file with --ca-file"
    )]
    NoSystemRoots,
    /// The client's certificate cannot be used.
    #[error(
        "the client certificate {path} cannot be used: {reason}; give a PEM file with --client-cert"
    )]
    ClientCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The client's key cannot be used.
    #[error("the client key {path} cannot be used: {reason}")]
    ClientKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The client's key is another's.
    #[error(
        "the client key {key} is not that of the client certificate {certificate}; give the two that belong together"
    )]
    OtherClientKey {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// What this program carries is damaged.
    #[error("the certificates that rdsprov carries cannot be read; install it anew")]
    Carried,
    /// rustls would not be set up.
    #[error("TLS cannot be set up: {0}")]
    SetUp(String),
}

/// How a connection is protected.
#[derive(Clone)]
pub struct Tls(pub(super) Protection);

#[derive(Clone)]
pub(super) enum Protection {
    /// Not at all.
    Disabled,
    /// By TLS.
    Rustls { connector: MakeRustlsConnect, identity: Identity, peer: Peer },
}

/// What is known of who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// It is the server that was asked for.
    Verified,
    /// Nothing.
    Anybody,
}

/// What the server is told of who we are, beside the password.
#[derive(Clone)]
pub(super) enum Identity {
    /// Nothing: there is no client certificate.
    Unknown,
    /// The client certificate; and a connector that does not show it.
    Shown { anonymous: MakeRustlsConnect },
    /// Nothing: there is a client certificate, and it is somebody else's.
    Withheld,
}

impl Tls {
    /// Prepares TLS. What it does not need is not read.
    ///
    /// # Errors
    /// Where a file cannot be used or rustls refuses.
    pub fn new(settings: &TlsSettings) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let (verifier, peer): (Arc<dyn ServerCertVerifier>, Peer) = match settings.mode {
            TlsMode::Disable => return Ok(Self(Protection::Disabled)),
            TlsMode::Require => (Arc::new(AnyCertificate(provider.clone())), Peer::Anybody),
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
            return Ok(Self::rustls(anonymous, Identity::Unknown, peer));
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
        Ok(Self::rustls(MakeRustlsConnect::new(config), Identity::Shown { anonymous }, peer))
    }

    fn rustls(connector: MakeRustlsConnect, identity: Identity, peer: Peer) -> Self {
        Self(Protection::Rustls { connector, identity, peer })
    }

    /// The same for another role: the client certificate says who one is, and no other.
    pub(super) fn for_another_role(&self) -> Self {
        match &self.0 {
            Protection::Rustls { identity: Identity::Shown { anonymous }, peer, .. } => {
                Self::rustls(anonymous.clone(), Identity::Withheld, *peer)
            }
            _ => self.clone(),
        }
    }

    /// What the server is told of who we are.
    pub(super) fn identity(&self) -> &Identity {
        match &self.0 {
            Protection::Disabled => &Identity::Unknown,
            Protection::Rustls { identity, .. } => identity,
        }
    }
}

fn set_up(error: impl Display) -> TlsError {
    TlsError::SetUp(error.to_string())
}

/// What is wrong with a PEM file, without a word of what it holds.
fn pem_reason(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::MissingSectionEnd { .. } => "it ends before a section of it does".to_owned(),
        pem::Error::IllegalSectionStart { .. } | pem::Error::Base64Decode(_) => {
            "it is not well-formed PEM".to_owned()
        }
        pem::Error::NoItemsFound => "it holds nothing of the kind".to_owned(),
        _ => "it cannot be read as PEM".to_owned(),
    }
}
