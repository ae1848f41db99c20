//! Reads the parts of a certificate that error messages show: subject, issuer, validity and hosts.
//!
//! This module does not verify certificates. `verify.rs` does.

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_cert::der::Decode;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::oid::db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_KP_SERVER_AUTH};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, SubjectAltName};
use x509_cert::time::Time;
use x509_cert::{Certificate, TbsCertificate};

use crate::text::without_middle;

/// The content of a certificate, which is not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CertificateDetails {
    /// The distinguished name of the subject, such as `CN=db.example.com`; can be empty.
    pub(super) subject: String,
    /// The distinguished name of the CA that issued the certificate.
    pub(super) issuer: String,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// The DNS names and IP addresses of the extension `subjectAltName`.
    pub(super) hosts: Vec<String>,
    /// Whether the extension `basicConstraints` says that it is a CA certificate.
    pub(super) is_ca: bool,
    /// Whether the extension `extKeyUsage` permits its use by a server.
    /// `true` without the extension.
    pub(super) for_servers: bool,
}

impl CertificateDetails {
    /// Parses a certificate. Returns `None` if the bytes are not a certificate.
    pub(super) fn from_der(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?.tbs_certificate;
        // An extension that cannot be parsed is treated like an absent one.
        let names: Option<SubjectAltName> = extension(&certificate);
        let constraints: Option<BasicConstraints> = extension(&certificate);
        let usage: Option<ExtendedKeyUsage> = extension(&certificate);
        Some(Self {
            subject: printable(&certificate.subject.to_string()),
            issuer: printable(&certificate.issuer.to_string()),
            not_before: timestamp(certificate.validity.not_before)?,
            not_after: timestamp(certificate.validity.not_after)?,
            hosts: names.iter().flat_map(|names| &names.0).filter_map(host).collect(),
            is_ca: constraints.is_some_and(|constraints| constraints.ca),
            for_servers: usage.is_none_or(|usage| {
                usage
                    .0
                    .iter()
                    .any(|usage| [ID_KP_SERVER_AUTH, ANY_EXTENDED_KEY_USAGE].contains(usage))
            }),
        })
    }

    /// Returns the name for messages: the subject, or the hosts if the subject is empty. It is cut: the
    /// server has not proved anything yet.
    pub(super) fn name(&self) -> String {
        let is_without_subject = self.subject.is_empty();
        without_middle(if is_without_subject {
            self.hosts.join(", ")
        } else {
            self.subject.clone()
        })
    }

    /// Returns the name of the issuer for messages, which is cut as well.
    pub(super) fn issuer_name(&self) -> String {
        without_middle(self.issuer.clone())
    }

    /// Returns whether subject and issuer are equal. The signature is not verified.
    pub(super) fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }
}

/// Returns the end of the validity of a certificate, or `None` if it cannot be parsed.
///
/// It renders no names, so it is much faster than [`CertificateDetails::from_der`].
pub(super) fn not_after(der: &CertificateDer<'_>) -> Option<Timestamp> {
    timestamp(Certificate::from_der(der).ok()?.tbs_certificate.validity.not_after)
}

fn extension<'a, T: Decode<'a> + AssociatedOid>(certificate: &'a TbsCertificate) -> Option<T> {
    certificate.get().ok().flatten().map(|(_critical, value)| value)
}

fn timestamp(time: Time) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(time.to_unix_duration().as_secs()).ok()?).ok()
}

fn host(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(printable(name.as_str())),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes().len() {
            4 => <[u8; 4]>::try_from(bytes.as_bytes()).ok().map(|b| Ipv4Addr::from(b).to_string()),
            _ => <[u8; 16]>::try_from(bytes.as_bytes()).ok().map(|b| Ipv6Addr::from(b).to_string()),
        },
        _ => None,
    }
}

/// Replaces control characters, because the text is untrusted and is printed on a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
