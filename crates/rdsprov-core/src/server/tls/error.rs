//! The errors of the TLS settings and of the files that they name.

use std::fmt::Display;
use std::path::PathBuf;

use rustls::pki_types::pem;

use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt};
use crate::text::os_reason;

/// TLS cannot be set up. Nothing was contacted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The CA file cannot be read, or contains no usable certificate.
    #[error("CA file {path} cannot be used: {reason}")]
    CaFile {
        /// The path of the PEM file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A variable of OpenSSL names something else than files of certificates of a bounded size.
    #[error("{path}, from the variable {variable}, cannot be used: {reason}")]
    SystemCertificates {
        /// `SSL_CERT_FILE` or `SSL_CERT_DIR`.
        variable: &'static str,
        /// The file or directory.
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
    pub(super) fn set_up(error: impl Display) -> Self {
        Self::SetUp(error.to_string())
    }

    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::CaFile { .. }
            | Self::ClientCertificate { .. }
            | Self::SystemCertificates { .. } => ErrorCode::UnusableCertificateFile,
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
            Self::SystemCertificates { variable, .. } => {
                format!("correct the variable {variable}, or unset it").into()
            }
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

/// Returns what is wrong with a PEM file, without its content, which can be a private key.
pub(super) fn pem_reason(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => os_reason(error),
        pem::Error::MissingSectionEnd { .. } => "it ends inside a PEM section".to_owned(),
        pem::Error::IllegalSectionStart { .. } | pem::Error::Base64Decode(_) => {
            "it is not a valid PEM file".to_owned()
        }
        pem::Error::NoItemsFound => "it contains no such PEM section".to_owned(),
        _ => "it cannot be parsed as PEM".to_owned(),
    }
}
