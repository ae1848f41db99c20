//! The reasons why the TLS handshake with a server fails, and what the user can do about each.

use std::error::Error;
use std::io;

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError, OtherError};

/// What keeps a connection from being encrypted and verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsProblem {
    /// No CA known here.
    #[error(
        "its certificate is issued by a CA that is not known here ({issuer}); give that CA's certificate with --ca-file"
    )]
    UnknownIssuer {
        /// The CA.
        issuer: String,
    },
    /// No CA at all.
    #[error(
        "its certificate is self-signed ({subject}) and not in the CA file; if it is the server's, give that very certificate with --ca-file"
    )]
    SelfSigned {
        /// Whom it is for.
        subject: String,
    },
    /// A CA that is known by name.
    #[error(
        "its certificate names a CA that is known here ({issuer}), and that CA's key has not signed it; give the certificate of the CA that has with --ca-file"
    )]
    OtherKey {
        /// The CA.
        issuer: String,
    },
    /// The CA's time is over.
    #[error(
        "the CA that issued its certificate ({subject}) expired at {not_after}; have the server's certificate issued by a CA that is valid, and give that CA's with --ca-file"
    )]
    ExpiredCa {
        /// The CA.
        subject: String,
        /// When.
        not_after: Timestamp,
    },
    /// Somebody else, or the right one under another name.
    #[error("its certificate is not for {host} but {}", other_hosts(.hosts))]
    OtherHost {
        /// The host connected to.
        host: String,
        /// Those that the certificate names.
        hosts: Vec<String>,
    },
    /// The certificate's time is over.
    #[error(
        "its certificate ({subject}) expired at {not_after}; renew it on the server (on RDS: rotate the server's certificate)"
    )]
    Expired {
        /// Whom it is for.
        subject: String,
        /// When.
        not_after: Timestamp,
    },
    /// The certificate's time is to come.
    #[error(
        "its certificate ({subject}) is valid from {not_before} on; look whether the clock here is right, else replace the certificate"
    )]
    NotYetValid {
        /// Whom it is for.
        subject: String,
        /// From when.
        not_before: Timestamp,
    },
    /// A CA's certificate where a server's should be.
    #[error(
        "it shows a CA's own certificate ({subject}); give it one that a CA has issued to its host name, or, if it is to be trusted as it is, that very certificate with --ca-file"
    )]
    CaAsServer {
        /// Whom it is for.
        subject: String,
    },
    /// A client's certificate, for example, where a server's should be.
    #[error("its certificate ({subject}) is not meant for servers; give it one that is")]
    NotForServers {
        /// Whom it is for.
        subject: String,
    },
    /// No certificate of this world.
    #[error("its certificate cannot be read; replace it on the server")]
    Unreadable,
    /// Whoever it is does not hold the key.
    #[error(
        "it does not hold the key of the certificate that it shows; somebody may be in between: ask who runs the server"
    )]
    NotItsKey,
    /// What is left.
    #[error("its certificate is not accepted: {0}; replace it on the server")]
    Unacceptable(String),
    /// The answer to the question for TLS was not yes.
    #[error(
        "it does not offer TLS; turn it on there (`ssl = on`), look whether host and port are those of a PostgreSQL server, or for a server on loopback use --tls disable"
    )]
    NotOffered,
    /// The answer was yes, and then came something else.
    #[error(
        "it agreed to TLS and then did not speak it; look whether host and port are the server's, and what is in between"
    )]
    NotSpoken,
    /// No version or cipher in common.
    #[error(
        "it has no version or cipher of TLS in common with rdsprov, which speaks TLS 1.2 and 1.3"
    )]
    NothingInCommon,
    /// It hung up without saying why.
    #[error(
        "it refused the TLS handshake: either no version or cipher is common to it and rdsprov, which speaks TLS 1.2 and 1.3, or it wants a client certificate (--client-cert and --client-key)"
    )]
    Refused,
    /// It asks who we are.
    #[error("it wants a client certificate; give one with --client-cert and --client-key")]
    ClientCertificateWanted,
    /// It does not believe who we are.
    #[error(
        "it does not accept the client certificate: {reason}; give another with --client-cert and --client-key"
    )]
    ClientCertificateRefused {
        /// What it says.
        reason: &'static str,
    },
    /// Anything else.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
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
            rustls::Error::InvalidCertificate(CertificateError::BadSignature) => Self::NotItsKey,
            rustls::Error::InvalidCertificate(error) => Self::Unacceptable(error.to_string()),
            rustls::Error::InvalidMessage(_)
            | rustls::Error::InappropriateMessage { .. }
            | rustls::Error::InappropriateHandshakeMessage { .. } => Self::NotSpoken,
            rustls::Error::PeerIncompatible(_) => Self::NothingInCommon,
            rustls::Error::AlertReceived(alert) => Self::from_alert(*alert),
            other => Self::Handshake(other.to_string()),
        }
    }

    /// Interprets the alert with which the server ended the handshake.
    fn from_alert(alert: AlertDescription) -> Self {
        let reason = match alert {
            AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => {
                return Self::NothingInCommon;
            }
            // Before TLS 1.3, servers also send this alert if the client certificate is missing.
            AlertDescription::HandshakeFailure => return Self::Refused,
            AlertDescription::CertificateRequired => return Self::ClientCertificateWanted,
            AlertDescription::UnknownCA => "it does not know the CA that issued it",
            AlertDescription::CertificateExpired => "it has expired, or is not valid yet",
            AlertDescription::CertificateRevoked => "it is revoked",
            AlertDescription::UnsupportedCertificate => "it is not meant for clients",
            AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError => "it cannot be verified",
            other => {
                return Self::Handshake(format!(
                    "the server ended it with alert {}",
                    u8::from(other)
                ));
            }
        };
        Self::ClientCertificateRefused { reason }
    }
}

/// Returns the end of the message about a certificate for other hosts.
fn other_hosts(hosts: &[String]) -> String {
    if hosts.is_empty() {
        return "for no host at all; give the server one that names its host as subjectAltName (a common name does not count)".to_owned();
    }
    format!(
        "for {}; connect to that name (--host, or `host` in the administrator's secret), or give the server a certificate for this one",
        hosts.join(", ")
    )
}
