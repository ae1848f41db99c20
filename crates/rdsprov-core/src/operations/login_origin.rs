//! Where the address and the password of the administrator come from, for the hints of a failed
//! connection.

use crate::error_code::ErrorCode;
use crate::hint::{Hint, Opt, Part};
use crate::secret_id::SecretId;
use crate::server::ConnectError;

/// Where a value of the connection comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ValueOrigin {
    Option(Opt),
    Secret(SecretId),
    Default,
}

impl ValueOrigin {
    /// Returns the origin of a value that an option or else the secret can contain.
    pub(super) fn new(option: (Opt, bool), secret: Option<&SecretId>, is_in_secret: bool) -> Self {
        match (option, secret) {
            ((option, true), _) => Self::Option(option),
            (_, Some(id)) if is_in_secret => Self::Secret(id.clone()),
            _ => Self::Default,
        }
    }

    fn words(&self) -> Part {
        match self {
            Self::Option(option) => (*option).into(),
            Self::Secret(id) => format!("secret {id}").into(),
            Self::Default => "the default".into(),
        }
    }
}

/// Where the values of the administrator's connection come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginOrigin {
    pub(super) host: ValueOrigin,
    pub(super) port: ValueOrigin,
    pub(super) database: ValueOrigin,
    /// The secret with the password, and its version if it has one.
    pub(super) secret: Option<(SecretId, Option<String>)>,
}

impl LoginOrigin {
    /// Returns what to do next after a failed connection.
    pub(super) fn hints(&self, error: &ConnectError) -> Vec<Hint> {
        let mut hints = error.hints();
        match (error.code(), error.sqlstate()) {
            (ErrorCode::AuthenticationFailed, Some("28P01")) => {
                if let Some((id, version)) = &self.secret {
                    let version = version.as_ref().map(|version| format!(" (version {version})"));
                    let version = version.unwrap_or_default();
                    hints.push(
                        format!(
                            "check whether RDS rotates the password in another secret: this one is from {id}{version}"
                        )
                        .into(),
                    );
                }
            }
            (_, Some("3D000")) => {
                let words = [Part::from("correct the name of the database, from ")];
                return vec![words.into_iter().chain([self.database.words()]).collect()];
            }
            (ErrorCode::CannotConnect | ErrorCode::ServerNotResponding, None)
                if self.host == self.port =>
            {
                let words = [Part::from("check the host and the port, from "), self.host.words()];
                hints.push(words.into_iter().collect());
            }
            (ErrorCode::CannotConnect | ErrorCode::ServerNotResponding, None) => hints.push(
                [
                    Part::from("check the host, from "),
                    self.host.words(),
                    ", and the port, from ".into(),
                    self.port.words(),
                ]
                .into_iter()
                .collect(),
            ),
            _ => {}
        }
        hints
    }
}
