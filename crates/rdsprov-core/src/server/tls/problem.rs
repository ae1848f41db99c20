//! The errors of TLS: why the server is not trusted, or does not accept the client.

use std::error::Error;
use std::path::PathBuf;
use std::{fmt, io};

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError, OtherError};

use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt};
use crate::text::without_middle;

/// The CA certificates that a run trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustedCas {
    /// Those of the system and of Amazon RDS: no CA file is given.
    Default,
    /// Those of the system only.
    System,
    /// Those of this CA file, of the system and of Amazon RDS.
    File(PathBuf),
}

impl TrustedCas {
    /// Returns whether the certificates of Amazon RDS are trusted.
    pub(super) fn include_amazon(&self) -> bool {
        !matches!(self, Self::System)
    }
}

impl fmt::Display for TrustedCas {
    /// Writes the place where a certificate was not found.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the certificates of the system and of Amazon RDS"),
            Self::System => f.write_str("the certificates of the system"),
            Self::File(path) => write!(f, "the CA file {}", path.display()),
        }
    }
}

/// A connection cannot be encrypted, or a certificate cannot be verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsProblem {
    /// No trusted CA has the name of the issuer.
    #[error(
        "the server certificate is issued by an unknown CA ({issuer}), which is not in {trusted}"
    )]
    UnknownIssuer {
        /// The name of the CA.
        issuer: String,
        /// The CA certificates that do not include it.
        trusted: TrustedCas,
    },
    /// The CA is that of Amazon RDS in a region whose certificates the program does not contain.
    #[error(
        "the certificates of Amazon RDS in region {region} are not among those that rdsprov \
         contains ({issuer} issued the server certificate), and not in {trusted}"
    )]
    RegionNotContained {
        /// The AWS region in the name of the CA.
        region: String,
        /// The name of the CA.
        issuer: String,
        /// The CA certificates that do not include it.
        trusted: TrustedCas,
    },
    /// The certificate is its own issuer, and is not in the CA file.
    #[error("the server certificate is self-signed ({subject}) and is not in {trusted}")]
    SelfSigned {
        /// The subject of the certificate.
        subject: String,
        /// The CA certificates that do not include it.
        trusted: TrustedCas,
    },
    /// A trusted CA has the name of the issuer, and its key did not sign the certificate.
    #[error("the server certificate names a trusted CA ({issuer}), but is not signed with its key")]
    OtherKey {
        /// The name of the CA.
        issuer: String,
    },
    /// The certificate of the issuer has expired.
    #[error("the CA that issued the server certificate ({subject}) expired at {not_after}")]
    ExpiredCa {
        /// The subject of the CA certificate.
        subject: String,
        /// The end of its validity.
        not_after: Timestamp,
    },
    /// The certificate does not contain the host name: another server, or another
    /// name of the server.
    #[error("the server certificate is not for {host}, but for {}", listed(.hosts))]
    OtherHost {
        /// The host connected to.
        host: String,
        /// The hosts that the certificate names.
        hosts: Vec<String>,
    },
    /// The certificate has expired.
    #[error("the server certificate ({subject}) expired at {not_after}")]
    Expired {
        /// The subject of the certificate.
        subject: String,
        /// The end of its validity.
        not_after: Timestamp,
    },
    /// The validity of the certificate begins in the future.
    #[error("the server certificate ({subject}) is not valid before {not_before}")]
    NotYetValid {
        /// The subject of the certificate.
        subject: String,
        /// The start of its validity.
        not_before: Timestamp,
    },
    /// The server presents a CA certificate.
    #[error(
        "the server presents a CA certificate ({subject}) instead of a server certificate{}",
        not_in(.trusted.as_ref())
    )]
    CaAsServer {
        /// The subject of the certificate.
        subject: String,
        /// The CA certificates that do not include it; `None` if they include it.
        trusted: Option<TrustedCas>,
    },
    /// The extended key usage of the certificate does not include server authentication.
    #[error("the server certificate ({subject}) is not meant for servers")]
    NotForServers {
        /// The subject of the certificate.
        subject: String,
    },
    /// The certificate could not be parsed.
    #[error("the server certificate cannot be parsed")]
    Unreadable,
    /// The signature of the handshake does not match the certificate.
    #[error("the server does not have the private key of its certificate")]
    KeyMismatch,
    /// rustls rejected the certificate for another reason.
    #[error("the server certificate is not accepted: {0}")]
    Unacceptable(String),
    /// The server answered the SSLRequest with no.
    #[error("the server does not offer TLS")]
    NotOffered,
    /// The server answered the SSLRequest with yes, and then sent something that is not TLS.
    #[error("the server agreed to TLS, but its response is not TLS")]
    NotTls,
    /// The server supports none of the versions and ciphers.
    #[error("the server supports no TLS version or cipher that rdsprov supports (TLS 1.2 and 1.3)")]
    NoCommonVersion,
    /// The server closed the handshake without a specific reason.
    #[error("the server rejected the TLS handshake")]
    Rejected,
    /// The server requires a client certificate.
    #[error("the server requires a client certificate")]
    ClientCertificateRequired,
    /// The server rejected the client certificate.
    #[error("the server does not accept the client certificate: {reason}")]
    ClientCertificateRejected {
        /// The meaning of the alert that the server sent.
        reason: &'static str,
    },
    /// The handshake failed for another reason.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
}

impl TlsProblem {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownIssuer { .. }
            | Self::RegionNotContained { .. }
            | Self::SelfSigned { .. }
            | Self::OtherKey { .. }
            | Self::ExpiredCa { .. }
            | Self::CaAsServer { .. } => ErrorCode::UntrustedServerCertificate,
            Self::OtherHost { .. } => ErrorCode::CertificateHostMismatch,
            Self::Expired { .. } => ErrorCode::ServerCertificateExpired,
            Self::NotYetValid { .. } => ErrorCode::ServerCertificateNotYetValid,
            Self::NotForServers { .. }
            | Self::Unreadable
            | Self::KeyMismatch
            | Self::Unacceptable(_) => ErrorCode::InvalidServerCertificate,
            Self::NotOffered => ErrorCode::TlsNotOffered,
            Self::NotTls | Self::NoCommonVersion | Self::Rejected | Self::Handshake(_) => {
                ErrorCode::TlsHandshakeFailed
            }
            Self::ClientCertificateRequired => ErrorCode::ClientCertificateRequired,
            Self::ClientCertificateRejected { .. } => ErrorCode::ClientCertificateRejected,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        let client = [Opt::ClientCert, Opt::ClientKey];
        vec![match self {
            Self::UnknownIssuer { .. } => {
                hint!["name the certificate of this CA with ", Opt::CaFile]
            }
            Self::RegionNotContained { region, .. } => hint![
                format!(
                    "download the certificates of the region{}, and name the file with ",
                    source(region)
                ),
                Opt::CaFile
            ],
            Self::SelfSigned { .. } => hint![
                "if it is the certificate of your server, name this certificate with ",
                Opt::CaFile
            ],
            Self::OtherKey { .. } => {
                hint!["name the certificate of the CA that signed it with ", Opt::CaFile]
            }
            Self::ExpiredCa { .. } => hint![
                "issue the server certificate with a valid CA, and name that CA with ",
                Opt::CaFile
            ],
            Self::OtherHost { hosts, .. } if hosts.is_empty() => {
                "give the server a certificate that contains its host as subjectAltName \
                 (a common name does not count)"
                    .into()
            }
            Self::OtherHost { .. } => hint![
                "connect to a name in the certificate with ",
                Opt::Host,
                " or `host` in the secret of the administrator, or give the server a certificate \
                 for this host"
            ],
            Self::Expired { .. } => "renew the server certificate \
                (on Amazon RDS: rotate the certificate of the DB instance)"
                .into(),
            Self::NotYetValid { .. } => {
                "check the clock of this machine, or replace the server certificate".into()
            }
            Self::CaAsServer { .. } => hint![
                "give the server a certificate that a CA has issued for its host, or trust this \
                 certificate with ",
                Opt::CaFile
            ],
            Self::NotForServers { .. } => {
                "give the server a certificate with the extended key usage serverAuth".into()
            }
            Self::Unreadable | Self::Unacceptable(_) => "replace the server certificate".into(),
            Self::KeyMismatch => "ask the operator of the server: another host may be between \
                rdsprov and the server"
                .into(),
            Self::NotOffered => hint![
                "set `ssl = on` on the server, check host and port, or for a server on loopback \
                 use ",
                (Opt::Tls, "disable")
            ],
            Self::NotTls => {
                "check host and port, and the proxies between rdsprov and the server".into()
            }
            Self::NoCommonVersion => "enable TLS 1.2 or 1.3 on the server".into(),
            Self::Rejected => hint![
                "enable TLS 1.2 or 1.3 on the server, or, if it requires a client certificate, \
                 use ",
                client[0],
                " and ",
                client[1]
            ],
            Self::ClientCertificateRequired => {
                hint!["name a client certificate with ", client[0], " and ", client[1]]
            }
            Self::ClientCertificateRejected { .. } => {
                hint!["name another client certificate with ", client[0], " and ", client[1]]
            }
            Self::Handshake(_) => {
                "check host and port, and the log of the server for the reason".into()
            }
        }]
    }
}

impl TlsProblem {
    /// Finds the TLS problem in an error of the driver. Returns `None` for other errors.
    pub(in crate::server) fn from_error(error: &tokio_postgres::Error) -> Option<Self> {
        let mut cause: Option<&(dyn Error + 'static)> = error.source();
        while let Some(error) = cause {
            // `source()` of an `io::Error` skips the error that it wraps,
            // which `get_ref()` returns.
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            let found = error
                .downcast_ref::<rustls::Error>()
                .or_else(|| wrapped.and_then(|wrapped| wrapped.downcast_ref()));
            if let Some(found) = found {
                return Some(Self::from_rustls(found));
            }
            // tokio-postgres 0.7 has no type for this error.
            if error.to_string() == "server does not support TLS" {
                return Some(Self::NotOffered);
            }
            cause = error.source();
        }
        None
    }

    pub(super) fn from_rustls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => cause
                .downcast_ref::<Self>()
                .cloned()
                .unwrap_or_else(|| Self::Unacceptable(cause.to_string())),
            // The verifier reports bad signatures in the chain itself, so this one is the
            // signature of the handshake.
            rustls::Error::InvalidCertificate(CertificateError::BadSignature) => Self::KeyMismatch,
            rustls::Error::InvalidCertificate(error) => {
                Self::Unacceptable(without_middle(error.to_string()))
            }
            rustls::Error::InvalidMessage(_)
            | rustls::Error::InappropriateMessage { .. }
            | rustls::Error::InappropriateHandshakeMessage { .. } => Self::NotTls,
            rustls::Error::PeerIncompatible(_) => Self::NoCommonVersion,
            rustls::Error::AlertReceived(alert) => Self::from_alert(*alert),
            other => Self::Handshake(without_middle(other.to_string())),
        }
    }

    /// Interprets the alert with which the server ended the handshake.
    fn from_alert(alert: AlertDescription) -> Self {
        let reason = match alert {
            AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => {
                return Self::NoCommonVersion;
            }
            // Before TLS 1.3, servers also send this alert if the client certificate is missing.
            AlertDescription::HandshakeFailure => return Self::Rejected,
            AlertDescription::CertificateRequired => return Self::ClientCertificateRequired,
            AlertDescription::UnknownCA => "its CA is unknown to the server",
            AlertDescription::CertificateExpired => "it has expired, or is not valid yet",
            AlertDescription::CertificateRevoked => "it was revoked",
            AlertDescription::UnsupportedCertificate => "it is not meant for clients",
            AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError => "it cannot be verified",
            other => {
                return Self::Handshake(format!("the server sent alert {}", u8::from(other)));
            }
        };
        Self::ClientCertificateRejected { reason }
    }
}

/// Returns where AWS publishes the certificates of a region.
fn source(region: &str) -> String {
    match region.split('-').next() {
        Some("us") if region.starts_with("us-gov-") => format!(
            " (https://truststore.pki.us-gov-west-1.rds.amazonaws.com/{region}/{region}-bundle.pem)"
        ),
        // Other partitions than the commercial one have endpoints of their own.
        Some("cn" | "eusc") => {
            " (the documentation of Amazon RDS in the region names the file)".to_owned()
        }
        _ => format!(" (https://truststore.pki.rds.amazonaws.com/{region}/{region}-bundle.pem)"),
    }
}

fn not_in(trusted: Option<&TrustedCas>) -> String {
    trusted.map(|trusted| format!(", and it is not in {trusted}")).unwrap_or_default()
}

/// The hosts of a certificate as a list of words, which is cut.
fn listed(hosts: &[String]) -> String {
    if hosts.is_empty() { "no host at all".to_owned() } else { without_middle(hosts.join(", ")) }
}
