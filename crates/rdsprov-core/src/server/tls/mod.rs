//! Sets up TLS: the trusted roots, the verification of the server, and the client certificate.
//!
//! `problem.rs` explains why a handshake failed. This module does not know secrets or plans.

mod certificate;
mod client;
mod error;
mod problem;
mod roots;
mod verify;

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::{ClientConfig, InconsistentKeys};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use error::TlsError;
pub use problem::{TlsProblem, TrustedCas};
pub use roots::BundledCertificates;

use crate::config::{TlsMode, TlsSettings};
use roots::Roots;
pub use verify::ServerCertificate;
use verify::{AcceptedCertificate, AnyCertificate, VerifyFull};

/// The protection of connections: TLS as configured, or none.
#[derive(Clone)]
pub struct Tls(pub(super) Protection);

#[derive(Clone)]
pub(super) enum Protection {
    /// Connections without TLS, which are allowed to loopback addresses only.
    Disabled,
    /// Connections with TLS, which the connector sets up.
    Rustls {
        connector: MakeRustlsConnect,
        identity: Identity,
        peer: Peer,
        /// See [`Tls::ca_certificates`].
        ca_certificates: Option<String>,
        accepted: AcceptedCertificate,
    },
}

/// Whether the identity of the server is verified.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// The server has a certificate of a trusted CA for its host name (`verify-full`).
    Verified,
    /// The server may be any server, because its certificate is not verified (`require`).
    Unverified,
}

/// How connections are protected, for a report.
pub(crate) enum TlsState<'a> {
    /// Without TLS.
    Disabled,
    /// With TLS; the server may be any server.
    Unverified,
    /// With TLS, and with the certificate of the server if one was accepted.
    Verified(Option<&'a ServerCertificate>),
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
        let mut ca_certificates = None;
        let accepted = AcceptedCertificate::default();
        let (verifier, peer): (Arc<dyn ServerCertVerifier>, Peer) = match settings.mode {
            TlsMode::Disable => return Ok(Self(Protection::Disabled)),
            TlsMode::Require => (Arc::new(AnyCertificate(provider.clone())), Peer::Unverified),
            TlsMode::VerifyFull => {
                let roots = Roots::load(settings.ca_file.as_ref())?;
                ca_certificates = roots.of_ca_file();
                (
                    Arc::new(VerifyFull::new(roots, provider.clone(), accepted.clone())?),
                    Peer::Verified,
                )
            }
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::set_up)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let anonymous = MakeRustlsConnect::new(builder.clone().with_no_client_auth());
        let Some(client) = &settings.client else {
            let seen = (ca_certificates, accepted);
            return Ok(Self::rustls(anonymous, Identity::None, peer, seen));
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
        let identity = Identity::Sent { anonymous };
        let seen = (ca_certificates, accepted);
        Ok(Self::rustls(MakeRustlsConnect::new(config), identity, peer, seen))
    }

    fn rustls(
        connector: MakeRustlsConnect,
        identity: Identity,
        peer: Peer,
        (ca_certificates, accepted): (Option<String>, AcceptedCertificate),
    ) -> Self {
        Self(Protection::Rustls { connector, identity, peer, ca_certificates, accepted })
    }

    /// Returns how the connections so far were protected.
    pub(crate) fn state(&self) -> TlsState<'_> {
        match &self.0 {
            Protection::Disabled => TlsState::Disabled,
            Protection::Rustls { peer: Peer::Unverified, .. } => TlsState::Unverified,
            Protection::Rustls { peer: Peer::Verified, accepted, .. } => {
                TlsState::Verified(accepted.get())
            }
        }
    }

    /// Returns the protection for another role, without the client
    /// certificate of the administrator.
    pub(super) fn for_another_role(&self) -> Self {
        match &self.0 {
            Protection::Rustls {
                identity: Identity::Sent { anonymous },
                peer,
                ca_certificates,
                accepted,
                ..
            } => {
                let seen = (ca_certificates.clone(), accepted.clone());
                Self::rustls(anonymous.clone(), Identity::Withheld, *peer, seen)
            }
            _ => self.clone(),
        }
    }

    /// Returns `sha256:…` of the certificates in the CA file, or `system`; `None` without a CA file or a
    /// verification.
    pub(crate) fn ca_certificates(&self) -> Option<&str> {
        match &self.0 {
            Protection::Disabled => None,
            Protection::Rustls { ca_certificates, .. } => ca_certificates.as_deref(),
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
