//! Loads the client certificate and its private key, with which the administrator authenticates.

use std::fs::Metadata;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::{TlsError, pem_reason};
use super::roots::read_certificates;
use crate::config::ClientCertificate;
use crate::input_file::{self, Input};
use crate::text::os_reason;

/// Reads the certificate chain and the private key.
pub(super) fn load(
    client: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let ClientCertificate { certificate, key } = client;
    let chain = read_certificates(certificate)
        .map_err(|reason| TlsError::ClientCertificate { path: certificate.clone(), reason })?;
    let key =
        private_key(key).map_err(|reason| TlsError::ClientKey { path: key.clone(), reason })?;
    Ok((chain, key))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let file = input_file::open(path).map_err(|error| os_reason(&error))?;
    let metadata = file.metadata().map_err(|error| os_reason(&error))?;
    if others_may_use(&metadata) {
        return Err("other users may read it; use `chmod 600`, or 640 if root owns it".to_owned());
    }
    let text =
        input_file::read_opened(file, Input::Certificates).map_err(|error| os_reason(&error))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound if is_encrypted(&text) => {
            "it is encrypted, and a run cannot ask for the passphrase".to_owned()
        }
        pem::Error::NoItemsFound => "it contains no private key".to_owned(),
        other => pem_reason(&other),
    })
}

/// Returns whether libpq would reject the permissions of a key file.
///
/// The file must not be accessible for group and others. If root owns it, the group may read it.
#[cfg(unix)]
fn others_may_use(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    metadata.mode() & forbidden != 0
}

#[cfg(not(unix))]
fn others_may_use(_: &Metadata) -> bool {
    false
}

fn is_encrypted(text: &[u8]) -> bool {
    const LABEL: &[u8] = b"ENCRYPTED";
    text.windows(LABEL.len()).any(|window| window == LABEL)
}
