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
    Rustls {
        /// With the client certificate, where there is one.
        connector: MakeRustlsConnect,
        /// The same without it, where there is one.
        anonymous: Option<MakeRustlsConnect>,
    },
}

impl Tls {
    /// Prepares TLS. What it does not need is not read.
    ///
    /// # Errors
    /// Where a file cannot be used or rustls refuses.
    pub fn new(settings: &TlsSettings) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match settings.mode {
            TlsMode::Disable => return Ok(Self(Protection::Disabled)),
            TlsMode::Require => Arc::new(AnyCertificate(provider.clone())),
            TlsMode::VerifyFull => {
                let roots = Roots::load(settings.ca_file.as_ref())?;
                Arc::new(VerifyFull::new(roots, provider.clone())?)
            }
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(set_up)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let anonymous = MakeRustlsConnect::new(builder.clone().with_no_client_auth());
        let Some(client) = &settings.client else {
            return Ok(Self(Protection::Rustls { connector: anonymous, anonymous: None }));
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
        let connector = MakeRustlsConnect::new(config);
        Ok(Self(Protection::Rustls { connector, anonymous: Some(anonymous) }))
    }

    /// The same without the client certificate: it says who one role is, and no other.
    #[must_use]
    pub(super) fn anonymous(&self) -> Self {
        match &self.0 {
            Protection::Rustls { anonymous: Some(anonymous), .. } => {
                Self(Protection::Rustls { connector: anonymous.clone(), anonymous: None })
            }
            _ => self.clone(),
        }
    }

    /// Whether a client certificate is shown.
    pub(super) fn shows_certificate(&self) -> bool {
        matches!(self.0, Protection::Rustls { anonymous: Some(_), .. })
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
