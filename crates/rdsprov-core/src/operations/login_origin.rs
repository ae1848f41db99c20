//! Where the address and the password of the administrator come from, for the hints of a failed
//! connection.

use crate::error_code::ErrorCode;
use crate::hint::{Hint, Opt, Part};
use crate::run_setting::ValueSource;
use crate::secret_id::SecretId;
use crate::secrets::SecretOwner;
use crate::server::ConnectError;

/// Returns the source of a value that an option, or else the secret, or else the API of RDS can contain.
pub(super) fn source_of(
    option: (Opt, bool),
    secret: Option<&SecretId>,
    is_in_secret: bool,
    owner: Option<&SecretOwner>,
) -> ValueSource {
    match (option, secret, owner) {
        ((option, true), ..) => ValueSource::Option(option),
        (_, Some(id), _) if is_in_secret => ValueSource::Secret(id.clone()),
        (.., Some(owner)) => ValueSource::RdsApi(owner.to_string()),
        _ => ValueSource::Default,
    }
}

fn words(source: &ValueSource) -> Part {
    match source {
        ValueSource::Option(option) => (*option).into(),
        ValueSource::Variable(name) => format!("`{name}`").into(),
        ValueSource::ConfigFile(path) | ValueSource::SitePolicy(path) => path.clone().into(),
        ValueSource::Secret(id) => format!("secret {id}").into(),
        ValueSource::RdsApi(owner) => format!("the API of RDS for {owner}").into(),
        ValueSource::Definitions => "the definitions".into(),
        ValueSource::AwsSdk => "the AWS configuration".into(),
        ValueSource::Default => "the default".into(),
    }
}

/// Where the values of the administrator's connection come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginOrigin {
    pub(super) host: ValueSource,
    pub(super) port: ValueSource,
    /// `None` if connections go to the host.
    pub(super) connect_to: Option<ValueSource>,
    pub(super) database: ValueSource,
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
                let correct = Part::from("correct the name of the database, from ");
                return vec![[correct, words(&self.database)].into_iter().collect()];
            }
            (ErrorCode::CannotConnect | ErrorCode::ServerNotResponding, None)
                if let Some(connect_to) = &self.connect_to =>
            {
                let check =
                    [Part::from("check the address to connect to, from "), words(connect_to)];
                hints.push(check.into_iter().collect());
            }
            (ErrorCode::CannotConnect | ErrorCode::ServerNotResponding, None)
                if self.host == self.port =>
            {
                let check = [Part::from("check the host and the port, from "), words(&self.host)];
                hints.push(check.into_iter().collect());
            }
            (ErrorCode::CannotConnect | ErrorCode::ServerNotResponding, None) => hints.push(
                [
                    Part::from("check the host, from "),
                    words(&self.host),
                    ", and the port, from ".into(),
                    words(&self.port),
                ]
                .into_iter()
                .collect(),
            ),
            _ => {}
        }
        hints
    }
}
