//! What is said of TLS, in three places, and what of it holds.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

/// How connections are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Encrypted, and the server is who it says.
    VerifyFull,
    /// Encrypted, whoever is there.
    Require,
    /// Not at all; to loopback only.
    Disable,
}

impl FromStr for TlsMode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "verify-full" => Ok(Self::VerifyFull),
            "require" => Ok(Self::Require),
            "disable" => Ok(Self::Disable),
            _ => Err(()),
        }
    }
}

/// Whom to trust, where it is not the system's and Amazon's certificates.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "PathBuf")]
pub enum CaFile {
    /// The system's alone: what libpq calls `system`, too.
    System,
    /// Those of a file beside them.
    Path(PathBuf),
}

impl From<PathBuf> for CaFile {
    fn from(path: PathBuf) -> Self {
        if path == Path::new("system") { Self::System } else { Self::Path(path) }
    }
}

/// What one place says of TLS: `[tls]` in the file, the flags, or libpq's variables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSection {
    /// The mode.
    pub mode: Option<TlsMode>,
    /// Whom to trust.
    pub ca_file: Option<CaFile>,
    /// The client's certificate.
    pub client_cert: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
}

impl TlsSection {
    /// What libpq's variables say. One that is empty says nothing.
    #[must_use]
    pub fn from_libpq(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            mode: None,
            ca_file: path("PGSSLROOTCERT").map(CaFile::from),
            client_cert: path("PGSSLCERT"),
            client_key: path("PGSSLKEY"),
        }
    }

    pub(super) fn relative_to(&mut self, folder: &Path) {
        let ca_file = match &mut self.ca_file {
            Some(CaFile::Path(path)) => Some(path),
            Some(CaFile::System) | None => None,
        };
        for path in
            [ca_file, self.client_cert.as_mut(), self.client_key.as_mut()].into_iter().flatten()
        {
            *path = folder.join(&*path);
        }
    }
}

/// What holds.
///
/// ```
/// use rdsprov_core::config::{CaFile, TlsMode, TlsSection, TlsSettings};
/// let libpq = TlsSection::from_libpq(|name| (name == "PGSSLROOTCERT").then(|| "system".into()));
/// let file = TlsSection { ca_file: Some(CaFile::Path("ca.pem".into())), ..TlsSection::default() };
/// let settings = TlsSettings::new(TlsSection::default(), libpq, file).unwrap();
/// assert_eq!(settings.mode, TlsMode::VerifyFull);
/// assert_eq!(settings.ca_file, Some(CaFile::System));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The mode.
    pub mode: TlsMode,
    /// Whom to trust, where it is not the system's and Amazon's certificates.
    pub ca_file: Option<CaFile>,
    /// Who we are.
    pub client: Option<ClientCertificate>,
}

/// By what the server knows us, beside the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those that vouch for it.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// What is said of TLS does not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsSettingsError {
    /// Nobody asks for a CA where nothing is verified.
    #[error(
        "{ca_file} says whom to trust, and TLS mode require asks nobody; use verify-full, or leave {ca_file} out"
    )]
    UnusedCaFile {
        /// What says so.
        ca_file: &'static str,
    },
    /// A certificate and its key go together.
    #[error("{given} is given without {missing}; a client certificate and its key go together")]
    HalfClientCertificate {
        /// What there is.
        given: &'static str,
        /// What there is not.
        missing: &'static str,
    },
}

/// What a place calls the things of a [`TlsSection`].
struct SettingNames {
    ca_file: &'static str,
    client_cert: &'static str,
    client_key: &'static str,
}

const FLAGS: SettingNames = SettingNames {
    ca_file: "--ca-file (or RDSPROV_CA_FILE)",
    client_cert: "--client-cert (or RDSPROV_CLIENT_CERT)",
    client_key: "--client-key (or RDSPROV_CLIENT_KEY)",
};
const LIBPQ: SettingNames =
    SettingNames { ca_file: "PGSSLROOTCERT", client_cert: "PGSSLCERT", client_key: "PGSSLKEY" };
const FILE: SettingNames = SettingNames {
    ca_file: "ca_file in [tls] of rdsprov.toml",
    client_cert: "client_cert in [tls] of rdsprov.toml",
    client_key: "client_key in [tls] of rdsprov.toml",
};

impl TlsSettings {
    /// What holds of three places: flags beat libpq's variables, and those beat the file. A client
    /// certificate and its key come from one place, so that no key is tried with another's certificate.
    ///
    /// # Errors
    /// Where what is said does not go together.
    pub fn new(
        flags: TlsSection,
        libpq: TlsSection,
        file: TlsSection,
    ) -> Result<Self, TlsSettingsError> {
        let mode = flags.mode.or(libpq.mode).or(file.mode).unwrap_or(TlsMode::VerifyFull);
        let mut ca_file = None;
        let mut client = None;
        for (place, words) in [(flags, FLAGS), (libpq, LIBPQ), (file, FILE)] {
            if place.ca_file.is_some() && mode == TlsMode::Require {
                return Err(TlsSettingsError::UnusedCaFile { ca_file: words.ca_file });
            }
            ca_file = ca_file.or(place.ca_file);
            let of_place = match (place.client_cert, place.client_key) {
                (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
                (None, None) => None,
                (Some(_), None) if client.is_none() => {
                    return Err(TlsSettingsError::HalfClientCertificate {
                        given: words.client_cert,
                        missing: words.client_key,
                    });
                }
                (None, Some(_)) if client.is_none() => {
                    return Err(TlsSettingsError::HalfClientCertificate {
                        given: words.client_key,
                        missing: words.client_cert,
                    });
                }
                _ => None,
            };
            client = client.or(of_place);
        }
        Ok(Self { mode, ca_file, client })
    }

    /// `verify-full`, with a CA's certificate beside the system's and Amazon's.
    #[must_use]
    pub fn trusting(ca_file: PathBuf) -> Self {
        Self { mode: TlsMode::VerifyFull, ca_file: Some(CaFile::Path(ca_file)), client: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(ca_file: &str, client_cert: &str, client_key: &str) -> TlsSection {
        let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
        TlsSection {
            mode: None,
            ca_file: path(ca_file).map(CaFile::from),
            client_cert: path(client_cert),
            client_key: path(client_key),
        }
    }

    fn ca_file(places: [&str; 3]) -> Option<CaFile> {
        let [flags, libpq, file] = places.map(|ca_file| section(ca_file, "", ""));
        TlsSettings::new(flags, libpq, file).unwrap().ca_file
    }

    #[test]
    fn the_nearest_place_says_whom_to_trust() {
        let path = |text: &str| Some(CaFile::Path(text.into()));
        assert_eq!(ca_file(["", "", ""]), None);
        assert_eq!(ca_file(["", "", "c"]), path("c"));
        assert_eq!(ca_file(["", "b", "c"]), path("b"));
        assert_eq!(ca_file(["a", "b", "c"]), path("a"));
        assert_eq!(ca_file(["system", "b", "c"]), Some(CaFile::System));
        assert_eq!(ca_file(["./system", "b", "c"]), path("./system"));
    }

    #[test]
    fn a_certificate_and_its_key_come_from_one_place() {
        let told = |flags, libpq, file| match TlsSettings::new(flags, libpq, file) {
            Ok(settings) => settings
                .client
                .map(|client| format!("{} {}", client.certificate.display(), client.key.display()))
                .unwrap_or_default(),
            Err(error) => error.to_string(),
        };
        let none = TlsSection::default;
        assert_eq!(told(none(), none(), none()), "");
        let both = section("", "c", "k");
        assert_eq!(told(none(), none(), both.clone()), "c k");
        assert_eq!(told(section("", "a", "b"), both.clone(), none()), "a b");
        // What a nearer place decides, the others may say as they like.
        assert_eq!(told(both.clone(), section("", "c", ""), section("", "", "k")), "c k");
        assert_eq!(
            told(section("", "c", ""), section("", "", "k"), none()),
            "--client-cert (or RDSPROV_CLIENT_CERT) is given without --client-key (or RDSPROV_CLIENT_KEY); a client certificate and its key go together"
        );
        assert_eq!(
            told(none(), section("", "", "k"), both),
            "PGSSLKEY is given without PGSSLCERT; a client certificate and its key go together"
        );
    }

    #[test]
    fn a_ca_that_nobody_asks_for_is_told() {
        let require = TlsSection { mode: Some(TlsMode::Require), ..TlsSection::default() };
        let error = TlsSettings::new(require, section("ca.pem", "", ""), TlsSection::default());
        assert_eq!(error, Err(TlsSettingsError::UnusedCaFile { ca_file: "PGSSLROOTCERT" }));
    }

    #[test]
    fn an_empty_variable_says_nothing() {
        let empty = TlsSection::from_libpq(|_| Some(OsString::new()));
        assert_eq!(empty, TlsSection::default());
    }
}
