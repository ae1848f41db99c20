//! The TLS settings, merged from three sources: the options, the libpq variables and
//! `rdsprov.toml`.
//!
//! This module must not know the server, and does not open the certificate files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt, Part};
use crate::named_enum::named_enum;

named_enum! {
    /// How connections to the server are encrypted and verified.
    #[derive(strum::EnumString)]
    "kebab-case" pub enum TlsMode {
        /// Encrypted, and the certificate and the host name of the server are verified.
        VerifyFull,
        /// Encrypted, without verification of the server.
        Require,
        /// Not encrypted; valid for loopback addresses only.
        Disable,
    }
}

impl TlsMode {
    /// Returns whether this mode protects less than another one.
    #[must_use]
    pub fn is_weaker_than(self, other: Self) -> bool {
        // The strongest variant is the first one.
        self > other
    }
}

/// The trusted certificates, if they are not those of the operating system and of Amazon.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "PathBuf")]
#[non_exhaustive]
pub enum CaFile {
    /// Only those of the operating system, like `sslrootcert=system` of libpq.
    System,
    /// Those of a PEM file, in addition to the ones of the operating system and of Amazon.
    Path(PathBuf),
}

impl From<PathBuf> for CaFile {
    fn from(path: PathBuf) -> Self {
        if path == Path::new("system") { Self::System } else { Self::Path(path) }
    }
}

/// The TLS settings of one source: the options, the libpq variables, or `[tls]` of `rdsprov.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TlsSection {
    /// The mode, if this source sets it.
    pub mode: Option<TlsMode>,
    /// The trusted certificates, if this source sets them.
    #[schemars(with = "Option<String>")]
    pub ca_file: Option<CaFile>,
    /// The PEM file with the client certificate and its intermediate certificates.
    pub client_cert: Option<PathBuf>,
    /// The PEM file with the private key of the client certificate.
    pub client_key: Option<PathBuf>,
}

impl TlsSection {
    /// Reads the libpq variables `PGSSLROOTCERT`, `PGSSLCERT` and `PGSSLKEY`; an empty one
    /// counts as not set.
    ///
    /// `PGSSLMODE` is not read: only the options and `rdsprov.toml` can set the mode.
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

    pub(super) fn relative_to(&mut self, directory: &Path) {
        let ca_file = match &mut self.ca_file {
            Some(CaFile::Path(path)) => Some(path),
            Some(CaFile::System) | None => None,
        };
        for path in
            [ca_file, self.client_cert.as_mut(), self.client_key.as_mut()].into_iter().flatten()
        {
            *path = directory.join(&*path);
        }
    }
}

/// The TLS settings of a run, merged from all sources.
///
/// ```
/// use rdsprov_core::config::{CaFile, TlsMode, TlsSection, TlsSettings};
/// let libpq = TlsSection::from_libpq(|name| (name == "PGSSLROOTCERT").then(|| "system".into()));
/// let mut file = TlsSection::default();
/// file.ca_file = Some(CaFile::Path("ca.pem".into()));
/// let settings = TlsSettings::new(TlsSection::default(), libpq, file).unwrap();
/// assert_eq!(settings.mode, TlsMode::VerifyFull);
/// assert_eq!(settings.ca_file, Some(CaFile::System));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The mode; [`TlsMode::VerifyFull`] if no source sets it.
    pub mode: TlsMode,
    /// The trusted certificates; `None` means those of the operating system and of Amazon.
    pub ca_file: Option<CaFile>,
    /// The client certificate that is sent if the server requests one.
    pub client: Option<ClientCertificate>,
    /// Where the mode is set; `None` means the default.
    pub mode_origin: Option<SettingOrigin>,
    /// Where the CA file is set.
    pub ca_file_origin: Option<SettingOrigin>,
    /// Where the client certificate is set.
    pub client_origin: Option<SettingOrigin>,
}

/// The certificate that authenticates the administrator to the server, in addition to the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The PEM file with the certificate and its intermediate certificates.
    pub certificate: PathBuf,
    /// The PEM file with the private key.
    pub key: PathBuf,
}

/// The TLS settings contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsSettingsError {
    /// The mode does not verify the server certificate, and a CA file is given.
    #[error("a CA file is given, but TLS mode `require` does not verify the server certificate")]
    UnusedCaFile {
        /// Where the CA file is given.
        origin: SettingOrigin,
    },
    /// One of client certificate and key is given without the other.
    #[error("a client {} is given without its {}", noun(*.given), noun(*.missing))]
    HalfClientCertificate {
        /// Where it is given.
        origin: SettingOrigin,
        /// The option that is given.
        given: Opt,
        /// The option that is missing.
        missing: Opt,
    },
}

impl TlsSettingsError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::UnusedCaFile { .. } => ErrorCode::UnusedCaFile,
            Self::HalfClientCertificate { .. } => ErrorCode::IncompleteClientCertificate,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::UnusedCaFile { origin } => hint![
                "use ",
                (Opt::Tls, "verify-full"),
                ", or remove ",
                origin.setting(Opt::CaFile)
            ],
            Self::HalfClientCertificate { origin, given, missing } => {
                hint!["give both ", origin.setting(*given), " and ", origin.setting(*missing)]
            }
        }]
    }
}

fn noun(option: Opt) -> &'static str {
    if option == Opt::ClientKey { "key" } else { "certificate" }
}

/// A place that TLS settings come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingOrigin {
    /// The options of the front end, or their `RDSPROV_` variables.
    Options,
    /// The environment variables of libpq.
    Libpq,
    /// The section `[tls]` of `rdsprov.toml`.
    ConfigFile,
    /// The section `[tls]` of the site policy.
    SitePolicy,
}

impl SettingOrigin {
    /// Returns the name of a setting in this place.
    pub(crate) fn setting(self, option: Opt) -> Part {
        match (self, option) {
            (Self::Options, option) => option.into(),
            (Self::Libpq, Opt::CaFile) => "`PGSSLROOTCERT`".into(),
            (Self::Libpq, Opt::ClientCert) => "`PGSSLCERT`".into(),
            (Self::Libpq, _) => "`PGSSLKEY`".into(),
            (Self::ConfigFile, option) => {
                format!("`{}` in `[tls]` of `rdsprov.toml`", option.name().replace('-', "_")).into()
            }
            (Self::SitePolicy, option) => {
                format!("`{}` in `[tls]` of the site policy", option.name().replace('-', "_"))
                    .into()
            }
        }
    }
}

impl TlsSettings {
    /// Merges the sources: the options take precedence over the libpq variables,
    /// and those over `rdsprov.toml`.
    ///
    /// A client certificate and its key come from the same source, so that a key is never used with
    /// a certificate of another source.
    ///
    /// # Errors
    /// Returns an error if a CA file is set with [`TlsMode::Require`], which verifies nothing, or
    /// if a source sets only one of the client certificate and its key.
    pub fn new(
        options: TlsSection,
        libpq: TlsSection,
        file: TlsSection,
    ) -> Result<Self, TlsSettingsError> {
        let sources = [
            (options, SettingOrigin::Options),
            (libpq, SettingOrigin::Libpq),
            (file, SettingOrigin::ConfigFile),
        ];
        let mode = sources.iter().find_map(|(source, origin)| Some((source.mode?, *origin)));
        let (mode, mode_origin) = mode.unzip();
        let mode = mode.unwrap_or(TlsMode::VerifyFull);
        let (mut ca_file, mut ca_file_origin) = (None, None);
        let (mut client, mut client_origin) = (None, None);
        for (source, origin) in sources {
            if source.ca_file.is_some() && mode == TlsMode::Require {
                return Err(TlsSettingsError::UnusedCaFile { origin });
            }
            if ca_file.is_none() && source.ca_file.is_some() {
                (ca_file, ca_file_origin) = (source.ca_file, Some(origin));
            }
            let of_source = match (source.client_cert, source.client_key) {
                (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
                (None, None) => None,
                (Some(_), None) if client.is_none() => {
                    return Err(TlsSettingsError::HalfClientCertificate {
                        origin,
                        given: Opt::ClientCert,
                        missing: Opt::ClientKey,
                    });
                }
                (None, Some(_)) if client.is_none() => {
                    return Err(TlsSettingsError::HalfClientCertificate {
                        origin,
                        given: Opt::ClientKey,
                        missing: Opt::ClientCert,
                    });
                }
                _ => None,
            };
            if client.is_none() && of_source.is_some() {
                (client, client_origin) = (of_source, Some(origin));
            }
        }
        Ok(Self { mode, ca_file, client, mode_origin, ca_file_origin, client_origin })
    }

    /// Returns settings for `verify-full` that trust a CA file, in addition to the certificates of
    /// the operating system and of Amazon.
    #[must_use]
    pub fn trusting(ca_file: PathBuf) -> Self {
        Self {
            mode: TlsMode::VerifyFull,
            ca_file: Some(CaFile::Path(ca_file)),
            client: None,
            mode_origin: None,
            ca_file_origin: None,
            client_origin: None,
        }
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

    fn ca_file(sources: [&str; 3]) -> Option<CaFile> {
        let [options, libpq, file] = sources.map(|ca_file| section(ca_file, "", ""));
        TlsSettings::new(options, libpq, file).unwrap().ca_file
    }

    #[test]
    fn first_source_sets_the_ca_file() {
        let path = |text: &str| Some(CaFile::Path(text.into()));
        assert_eq!(ca_file(["", "", ""]), None);
        assert_eq!(ca_file(["", "", "c"]), path("c"));
        assert_eq!(ca_file(["", "b", "c"]), path("b"));
        assert_eq!(ca_file(["a", "b", "c"]), path("a"));
        assert_eq!(ca_file(["system", "b", "c"]), Some(CaFile::System));
        assert_eq!(ca_file(["./system", "b", "c"]), path("./system"));
    }

    #[test]
    fn client_certificate_and_key_come_from_one_source() {
        let merged = |options, libpq, file| match TlsSettings::new(options, libpq, file) {
            Ok(settings) => settings
                .client
                .map(|client| format!("{} {}", client.certificate.display(), client.key.display()))
                .unwrap_or_default(),
            Err(error) => format!("{error}; {}", error.hints()[0]),
        };
        let none = TlsSection::default;
        assert_eq!(merged(none(), none(), none()), "");
        let both = section("", "c", "k");
        assert_eq!(merged(none(), none(), both.clone()), "c k");
        assert_eq!(merged(section("", "a", "b"), both.clone(), none()), "a b");
        // Once a source has set both, incomplete settings of later sources do not matter.
        assert_eq!(merged(both.clone(), section("", "c", ""), section("", "", "k")), "c k");
        assert_eq!(
            merged(section("", "c", ""), section("", "", "k"), none()),
            "a client certificate is given without its key; \
             give both the option `client-cert` and the option `client-key`"
        );
        assert_eq!(
            merged(none(), section("", "", "k"), both),
            "a client key is given without its certificate; give both `PGSSLKEY` and `PGSSLCERT`"
        );
    }

    #[test]
    fn ca_file_with_require_is_an_error() {
        let require = TlsSection { mode: Some(TlsMode::Require), ..TlsSection::default() };
        let error = TlsSettings::new(require, section("ca.pem", "", ""), TlsSection::default());
        assert_eq!(error, Err(TlsSettingsError::UnusedCaFile { origin: SettingOrigin::Libpq }));
    }

    #[test]
    fn empty_variable_is_not_set() {
        let empty = TlsSection::from_libpq(|_| Some(OsString::new()));
        assert_eq!(empty, TlsSection::default());
    }
}
