//! Verifies the certificate of the server with webpki, and explains its errors with the
//! content of the certificate.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};

use super::certificate::CertificateDetails;
use super::error::TlsError;
use super::problem::{TlsProblem, TrustedCas};
use super::roots::{Roots, region_not_contained};

/// Verifies that a trusted CA issued the certificate for the host name, as `verify-full` requires.
#[derive(Debug)]
pub(super) struct VerifyFull {
    webpki: Arc<WebPkiServerVerifier>,
    expired: Vec<CertificateDetails>,
    trusted: TrustedCas,
    from_file: Vec<CertificateDer<'static>>,
    accepted: AcceptedCertificate,
}

/// The certificate of the server, once it was accepted.
#[derive(Debug, Clone, Default)]
pub(in crate::server) struct AcceptedCertificate(Arc<OnceLock<ServerCertificate>>);

/// The certificate in the chain of a server that expires first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerCertificate {
    /// The subject of the certificate.
    pub subject: String,
    /// The end of its validity.
    pub not_after: Timestamp,
}

impl AcceptedCertificate {
    pub(super) fn get(&self) -> Option<&ServerCertificate> {
        self.0.get()
    }

    /// Keeps the first certificate that is accepted.
    fn set(&self, certificate: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) {
        if self.0.get().is_some() {
            return;
        }
        let chain = [certificate].into_iter().chain(intermediates);
        let details = chain.filter_map(CertificateDetails::from_der);
        if let Some(first) = details.min_by_key(|one| one.not_after) {
            let (subject, not_after) = (first.name(), first.not_after);
            let _ = self.0.set(ServerCertificate { subject, not_after });
        }
    }
}

impl VerifyFull {
    pub(super) fn new(
        roots: Roots,
        provider: Arc<CryptoProvider>,
        accepted: AcceptedCertificate,
    ) -> Result<Self, TlsError> {
        let webpki =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots.store.clone()), provider)
                .build()
                .map_err(TlsError::set_up)?;
        let Roots { expired, trusted, from_file, .. } = roots;
        Ok(Self { webpki, expired, trusted, from_file, accepted })
    }

    /// Returns whether a self-signed CA certificate is accepted as the certificate of the server.
    ///
    /// `openssl req -x509`, which the PostgreSQL manual recommends, creates a server certificate
    /// that is marked as a CA certificate. webpki rejects it. libpq accepts it if the CA file
    /// contains exactly this certificate, and so does this program.
    fn is_pinned(
        &self,
        certificate: &CertificateDer<'_>,
        details: &CertificateDetails,
        now: Timestamp,
    ) -> bool {
        self.from_file.contains(certificate)
            && details.is_self_signed()
            && details.for_servers
            && (details.not_before..=details.not_after).contains(&now)
    }

    /// Converts an error of webpki to a problem that names subjects, issuers, hosts and dates.
    fn explain(
        &self,
        error: CertificateError,
        certificate: &CertificateDer<'_>,
        details: CertificateDetails,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        now: Timestamp,
    ) -> TlsProblem {
        let intermediates: Vec<CertificateDetails> =
            intermediates.iter().filter_map(CertificateDetails::from_der).collect();
        let trusted = self.trusted.clone();
        match error {
            CertificateError::UnknownIssuer => {
                let last = last_of_chain(&details, &intermediates);
                match self.expired.iter().find(|root| root.subject == last.issuer) {
                    Some(root) => {
                        TlsProblem::ExpiredCa { subject: root.name(), not_after: root.not_after }
                    }
                    None if details.is_self_signed() => {
                        TlsProblem::SelfSigned { subject: details.name(), trusted }
                    }
                    None => {
                        let issuer = last.issuer_name();
                        match region_not_contained(&issuer).filter(|_| trusted.include_amazon()) {
                            Some(region) => {
                                TlsProblem::RegionNotContained { region, issuer, trusted }
                            }
                            None => TlsProblem::UnknownIssuer { issuer, trusted },
                        }
                    }
                }
            }
            CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                TlsProblem::OtherKey {
                    issuer: last_of_chain(&details, &intermediates).issuer_name(),
                }
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsProblem::OtherHost { host: host.to_str().into_owned(), hosts: details.hosts }
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                match [details].into_iter().chain(intermediates).find(|one| one.not_after < now) {
                    Some(one) => {
                        TlsProblem::Expired { subject: one.name(), not_after: one.not_after }
                    }
                    None => TlsProblem::Unacceptable(error.to_string()),
                }
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                match [details].into_iter().chain(intermediates).find(|one| one.not_before > now) {
                    Some(one) => {
                        TlsProblem::NotYetValid { subject: one.name(), not_before: one.not_before }
                    }
                    None => TlsProblem::Unacceptable(error.to_string()),
                }
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                TlsProblem::NotForServers { subject: details.name() }
            }
            // rustls has no variant for `CaUsedAsEndEntity` of webpki.
            CertificateError::Other(_) if details.is_ca => {
                let is_in_file = self.from_file.contains(certificate);
                let trusted = (!is_in_file).then_some(trusted);
                TlsProblem::CaAsServer { subject: details.name(), trusted }
            }
            other => TlsProblem::Unacceptable(other.to_string()),
        }
    }
}

/// Returns the last certificate of the chain, whose issuer the server did not send.
fn last_of_chain<'a>(
    details: &'a CertificateDetails,
    intermediates: &'a [CertificateDetails],
) -> &'a CertificateDetails {
    let mut last = details;
    // The number of iterations is limited, because certificates can be each other's issuers.
    for _ in intermediates {
        match intermediates.iter().find(|one| one.subject == last.issuer) {
            Some(next) if !last.is_self_signed() => last = next,
            _ => break,
        }
    }
    last
}

impl ServerCertVerifier for VerifyFull {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.webpki.verify_server_cert(certificate, intermediates, host, ocsp_response, now);
        let Err(rustls::Error::InvalidCertificate(mut error)) = verified else {
            if verified.is_ok() {
                self.accepted.set(certificate, intermediates);
            }
            return verified;
        };
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let now = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        let Some(details) = CertificateDetails::from_der(certificate) else {
            return Err(TlsProblem::Unreadable.into());
        };
        if matches!(error, CertificateError::Other(_))
            && details.is_ca
            && self.is_pinned(certificate, &details, now)
        {
            match verify_server_name(&ParsedCertificate::try_from(certificate)?, host) {
                Ok(()) => {
                    self.accepted.set(certificate, intermediates);
                    return Ok(ServerCertVerified::assertion());
                }
                Err(rustls::Error::InvalidCertificate(name_error)) => error = name_error,
                Err(other) => return Err(other),
            }
        }
        Err(self.explain(error, certificate, details, intermediates, host, now).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Wraps a problem so that it can be found again in the error of the driver.
impl From<TlsProblem> for rustls::Error {
    fn from(problem: TlsProblem) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(problem))))
    }
}

/// Accepts each certificate of the server, as `require` specifies.
#[derive(Debug)]
pub(super) struct AnyCertificate(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::server::{ClientHello, ResolvesServerCert};
    use rustls::sign::CertifiedKey;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

    use super::*;

    fn provider() -> Arc<CryptoProvider> {
        Arc::new(rustls::crypto::aws_lc_rs::default_provider())
    }

    /// Makes a server send this certificate.
    #[derive(Debug)]
    struct FixedCertificate(Arc<CertifiedKey>);

    impl ResolvesServerCert for FixedCertificate {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }
    }

    struct Ca {
        issuer: Issuer<'static, KeyPair>,
        certificate: CertificateDer<'static>,
    }

    fn params(name: &str, is_ca: bool) -> CertificateParams {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    }

    fn ca() -> Ca {
        let key = KeyPair::generate().unwrap();
        let params = params("Test CA", true);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Ca { issuer: Issuer::new(params, key), certificate }
    }

    /// Returns the problem that a client, which trusts the CA, has with a server with
    /// this chain and key.
    fn problem(ca: &Ca, chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> TlsProblem {
        let mut store = RootCertStore::empty();
        store.add(ca.certificate.clone()).unwrap();
        let trusted = TrustedCas::Default;
        let roots = Roots { store, expired: Vec::new(), trusted, from_file: Vec::new() };
        let verifier =
            Arc::new(VerifyFull::new(roots, provider(), AcceptedCertificate::default()).unwrap());
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let key = provider().key_provider.load_private_key(key).unwrap();
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(FixedCertificate(Arc::new(CertifiedKey::new(
                chain, key,
            )))));
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        loop {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut &bytes[..]).unwrap();
            server.process_new_packets().unwrap();
            bytes.clear();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            let mut bytes = &bytes[..];
            while !bytes.is_empty() {
                client.read_tls(&mut bytes).unwrap();
                if let Err(error) = client.process_new_packets() {
                    return TlsProblem::from_rustls(&error);
                }
            }
            assert!(client.is_handshaking(), "the server is trusted");
        }
    }

    #[test]
    fn server_without_the_key_is_rejected() {
        let ca = ca();
        let (own, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let certificate = params("server", false).signed_by(&own, &ca.issuer).unwrap();
        let chain = vec![certificate.der().clone()];
        assert_eq!(problem(&ca, chain, &other), TlsProblem::KeyMismatch);
    }

    #[test]
    fn expired_certificate_of_the_chain_is_named() {
        let ca = ca();
        let mut middle = params("Middle CA", true);
        middle.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let middle_key = KeyPair::generate().unwrap();
        let link = middle.signed_by(&middle_key, &ca.issuer).unwrap().der().clone();
        let own = KeyPair::generate().unwrap();
        let middle = Issuer::new(middle, middle_key);
        let certificate = params("server", false).signed_by(&own, &middle).unwrap();
        let TlsProblem::Expired { subject, not_after } =
            problem(&ca, vec![certificate.der().clone(), link], &own)
        else {
            panic!("the problem is not an expired certificate");
        };
        assert_eq!(subject, "CN=Middle CA");
        assert_eq!(not_after.to_string(), "2020-01-01T00:00:00Z");
    }

    /// Before a certificate is trusted, anybody can be its author.
    #[test]
    fn errors_about_long_certificates_are_short() {
        let ca = ca();
        let own = KeyPair::generate().unwrap();
        let names = (0..1000).map(|number| format!("a{number}.evil.example")).collect::<Vec<_>>();
        let long = |subject: &str| {
            let mut params = CertificateParams::new(names.clone()).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            if !subject.is_empty() {
                params.distinguished_name.push(DnType::CommonName, subject);
            }
            params
        };
        let expired = |subject: &str| {
            let mut params = long(subject);
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
            params.signed_by(&own, &ca.issuer).unwrap()
        };
        let subject = "y".repeat(10_000);
        for (certificate, start) in [
            (
                long("server").signed_by(&own, &ca.issuer).unwrap(),
                "the server certificate is not for",
            ),
            (long(&subject).self_signed(&own).unwrap(), "the server certificate is self-signed"),
            (expired(&subject), "the server certificate (CN=yyy"),
            (expired(""), "the server certificate (a0.evil.example, a1."),
        ] {
            let message = problem(&ca, vec![certificate.der().clone()], &own).to_string();
            assert!(message.starts_with(start), "{message}");
            assert!(message.chars().count() < 2_200, "{message}");
        }
    }

    #[test]
    fn bytes_that_are_not_a_certificate_are_unreadable() {
        let ca = ca();
        let key = KeyPair::generate().unwrap();
        let nothing = CertificateDer::from(vec![0x30, 0x00]);
        assert_eq!(problem(&ca, vec![nothing], &key), TlsProblem::Unreadable);
    }
}
