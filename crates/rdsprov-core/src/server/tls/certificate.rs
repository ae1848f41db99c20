//! What a person wants to know of a certificate: who it is for, who vouches for it, and how long.

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

/// What a certificate says, not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CertificateDetails {
    /// Whom it is for.
    pub(super) subject: String,
    /// Who issued it.
    pub(super) issuer: String,
    /// Since when it is valid.
    pub(super) not_before: Timestamp,
    /// Until when.
    pub(super) not_after: Timestamp,
    /// The hosts that it names.
    pub(super) hosts: Vec<String>,
    /// Whether it is a CA's.
    pub(super) is_ca: bool,
    /// Whether a server may show it.
    pub(super) for_servers: bool,
}

impl CertificateDetails {
    /// Reads a certificate; nothing where it is none.
    pub(super) fn from_der(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?.tbs_certificate;
        // An extension that cannot be read says nothing.
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
                usage.0.iter().any(|one| [ID_KP_SERVER_AUTH, ANY_EXTENDED_KEY_USAGE].contains(one))
            }),
        })
    }

    /// What to call it: who has nothing but hosts is called after them.
    pub(super) fn name(&self) -> String {
        if self.subject.is_empty() { self.hosts.join(", ") } else { self.subject.clone() }
    }

    /// Whether nobody else vouches for it.
    pub(super) fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }
}

/// Reads the end of the validity of a certificate, and `None` if it cannot be parsed.
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

/// A stranger wrote it, and a person reads it on a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
