//! The errors of options that contradict each other or have an invalid value.

use crate::desired::{Backup, RetireError};
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Operation, Opt};
use crate::name::{NameError, nearest};
use crate::plan::{NoteKind, Plan};

/// Options contradict each other, or the value of an option is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// With a password, the secret names the role.
    #[error("a user name is given, but the administrator logs in with the password of its secret")]
    AdminUserWithPassword,
    /// Authentication with an IAM token has no secret that names role and host.
    #[error("authentication with an IAM token requires a user name and a host, and no secret")]
    IncompleteIamLogin,
    /// `rotate` reads the versions with both stages.
    #[error("a version stage is given, but a rotation always uses AWSCURRENT and AWSPENDING")]
    StageOfRotation,
    /// No option and no key names the audit table.
    #[error("no audit table is named")]
    NoAuditTable,
    /// Only Secrets Manager knows KMS keys and tags.
    #[error("a KMS key or tags are given for a new secret, but secrets are not in Secrets Manager")]
    NewSecretsWithoutAws,
    /// The host is an address with a port, or a connection URI.
    #[error("`{host}` is not a host name")]
    NotAHost {
        /// The text that was given.
        host: String,
    },
    /// The options restrict a run to other applications than its saved plan.
    #[error("{}, but this run is restricted to other applications", covered(.saved))]
    OtherSelection {
        /// The applications to which the saved plan is restricted; empty if it covers all.
        saved: Vec<String>,
    },
    /// The options restrict a run to additions, and its saved plan also takes access away.
    #[error("this run is restricted to additions, but its saved plan is not")]
    NotAdditive,
    /// A delegate with a password needs a secret for it.
    #[error("no secret is given for the password of the delegate")]
    DelegateWithoutSecret,
    /// A delegate that logs in with IAM tokens has no password.
    #[error("a secret is given for a delegate that logs in with IAM tokens and has no password")]
    SecretOfIamDelegate,
    /// A restored snapshot carries the markers of another environment.
    #[error("what environment `{environment}` manages cannot be taken over into itself")]
    AdoptFromItself {
        /// The environment of the run.
        environment: String,
    },
    /// An instance that the options name is not in the fleet file.
    #[error("the fleet file contains no instance `{name}`")]
    UnknownInstance {
        /// The name, as given.
        name: String,
        /// The names of the instances.
        known: Vec<String>,
    },
    /// No selected instance of the fleet file has the environment.
    #[error("the run selects no instance in environment `{environment}`")]
    NoInstanceOfEnvironment {
        /// The environment, as given.
        environment: String,
        /// The environments of the instances.
        known: Vec<String>,
    },
    /// An application to retire is another one: its name is similar to a known one, or another scope
    /// manages it.
    #[error("{fact}")]
    NotRetired {
        /// Why the application cannot be meant.
        fact: String,
    },
    /// A database is to be dropped, and the user has not said what is left of its data.
    #[error("the run would drop databases, and no dump of them is given")]
    NoBackup,
    /// A dump or its absence is named, and no database is to be dropped.
    #[error("{}, but it would drop no database", match backup {
        Backup::File(path) => format!("the dump `{path}` is given"),
        Backup::Nothing | Backup::NotNamed => "the run allows drops without a dump".to_owned(),
    })]
    BackupWithoutDrop {
        /// What is named.
        backup: Backup,
    },
    /// The dump of a database is not a file.
    #[error("the dump `{path}` cannot be used: {reason}")]
    BackupUnusable {
        /// The path, as given.
        path: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// Only Secrets Manager has a recovery window.
    #[error("only secrets in Secrets Manager can be deleted")]
    DeletionWithoutAws,
    /// The ledger that says which definitions were applied last cannot be read.
    #[error("the ledger `{path}` cannot be read: {reason}")]
    LedgerUnreadable {
        /// The path, as given.
        path: String,
        /// Why it cannot be read.
        reason: String,
    },
    /// A value that identifies the run or its users is longer than markers and records allow.
    #[error("the {what} has {length} characters; the maximum is {MAXIMUM_LENGTH}")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// Its number of characters.
        length: usize,
    },
    /// A teardown needs the build whose roles and databases are dropped.
    #[error("the build to tear down is missing")]
    NoBuild,
    /// An application cannot be retired.
    #[error(transparent)]
    Retire(#[from] RetireError),
    /// The role of `delegate` has a name that is not allowed.
    #[error("the role cannot be created: {0}")]
    DelegateName(#[source] NameError),
}

/// The maximum length, in characters, of a value that identifies a run or its users. The marker of each role
/// and database contains the build id, and PostgreSQL does not limit comments.
const MAXIMUM_LENGTH: usize = 200;

/// The name of the build id in messages.
pub(super) const BUILD_ID: &str = "build id";

/// Checks the length of a value that identifies the run or its users.
pub(super) fn check_length(what: &'static str, value: Option<&str>) -> Result<(), UsageError> {
    let length = value.map_or(0, |value| value.chars().count());
    if length > MAXIMUM_LENGTH { Err(UsageError::TooLong { what, length }) } else { Ok(()) }
}

/// Checks that the applications to retire are those of the user: see [`UsageError::NotRetired`]. One that is
/// already retired passes, also after its roles were dropped.
///
/// # Errors
/// Returns the error of the first application.
pub fn check_retired(plan: &Plan) -> Result<(), UsageError> {
    let mistake = plan.notes.iter().find_map(|note| match &note.0 {
        NoteKind::NothingToRetire { fact, is_mistake: true, .. } => Some(fact.clone()),
        _ => None,
    });
    mistake.map_or(Ok(()), |fact| Err(UsageError::NotRetired { fact }))
}

/// Returns which applications a saved plan covers, in words.
fn covered(applications: &[String]) -> String {
    match applications {
        [] => "the saved plan covers all applications".to_owned(),
        some => format!("the saved plan covers only {}", some.join(", ")),
    }
}

impl UsageError {
    /// Returns the error of a host that is an address with a port, or a connection URI, without the password
    /// that it can contain.
    pub(super) fn not_a_host(text: &str) -> Self {
        let host = text.rsplit_once('@').map(|(_, host)| format!("…@{host}"));
        let host = host.unwrap_or_else(|| text.to_owned());
        Self::NotAHost { host: host.split('?').next().unwrap_or_default().to_owned() }
    }

    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::AdminUserWithPassword
            | Self::IncompleteIamLogin
            | Self::StageOfRotation
            | Self::NoAuditTable
            | Self::NewSecretsWithoutAws
            | Self::NotAHost { .. }
            | Self::DelegateWithoutSecret
            | Self::NoBackup
            | Self::BackupUnusable { .. }
            | Self::BackupWithoutDrop { .. }
            | Self::NoBuild
            | Self::TooLong { .. }
            | Self::LedgerUnreadable { .. }
            | Self::DeletionWithoutAws
            | Self::SecretOfIamDelegate
            | Self::AdoptFromItself { .. }
            | Self::UnknownInstance { .. }
            | Self::NoInstanceOfEnvironment { .. }
            | Self::OtherSelection { .. }
            | Self::NotAdditive => ErrorCode::WrongUsage,
            Self::Retire(RetireError::Declared { .. }) => ErrorCode::WrongUsage,
            Self::NotRetired { .. } => ErrorCode::UnknownApplication,
            Self::Retire(RetireError::Name(error)) | Self::DelegateName(error) => error.code(),
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::AdminUserWithPassword => {
                hint!["remove ", Opt::AdminUser, ", or use ", (Opt::AdminAuth, "iam")]
            }
            Self::IncompleteIamLogin => {
                hint!["use ", Opt::AdminUser, " and ", Opt::Host, ", and remove ", Opt::AdminSecret]
            }
            Self::AdoptFromItself { .. } => hint![
                "name the environment of the snapshot with ",
                Opt::AdoptFrom,
                ", or remove it"
            ],
            Self::UnknownInstance { name, known } => {
                let known = known.iter().map(String::as_str);
                match nearest(name, known.clone()) {
                    Some(meant) => format!("write `{meant}`"),
                    None => format!("the instances are {}", known.collect::<Vec<_>>().join(", ")),
                }
                .into()
            }
            Self::NoInstanceOfEnvironment { known, .. } => {
                format!("the environments of the fleet file are {}", known.join(", ")).into()
            }
            Self::StageOfRotation => hint!["remove ", Opt::SecretStage],
            Self::NoAuditTable => {
                hint!["name it with ", Opt::AuditTable, ", or with `[audit] table` in rdsprov.toml"]
            }
            Self::NewSecretsWithoutAws => hint![
                "remove ",
                Opt::SecretKmsKey,
                " and ",
                Opt::SecretTags,
                ", or use ",
                (Opt::Secrets, "aws")
            ],
            Self::NotAHost { .. } => {
                hint!["give the host alone with ", Opt::Host, ", and the port with ", Opt::Port]
            }
            Self::OtherSelection { .. } => {
                hint!["remove ", Opt::Only, ": a saved plan keeps its restriction"]
            }
            Self::NotAdditive => hint![
                "remove ",
                Opt::Additive,
                ", or save a new plan with ",
                Operation::Plan,
                " and ",
                Opt::Additive
            ],
            Self::DelegateWithoutSecret => {
                hint!["name it with ", Opt::ToSecret, ", or use ", (Opt::Auth, "iam")]
            }
            Self::SecretOfIamDelegate => hint![
                "remove ",
                Opt::ToSecret,
                ", ",
                Opt::SecretKmsKey,
                " and ",
                Opt::SecretTags,
                ", or use ",
                (Opt::Auth, "password")
            ],
            Self::NotRetired { .. } => {
                "correct the name of the application, or use the definitions of its scope".into()
            }
            Self::NoBackup | Self::BackupUnusable { .. } => {
                hint!["name the file with ", Opt::Backup, ", or use ", Opt::WithoutBackup]
            }
            Self::BackupWithoutDrop { backup } => {
                let given = match backup {
                    Backup::File(_) => Opt::Backup,
                    Backup::Nothing | Backup::NotNamed => Opt::WithoutBackup,
                };
                hint!["add ", Opt::DropDatabase, ", or remove ", given]
            }
            Self::DeletionWithoutAws => {
                hint!["remove ", Opt::DeleteSecret, ", or use ", (Opt::Secrets, "aws")]
            }
            Self::LedgerUnreadable { .. } => {
                hint!["name a ledger that can be read with ", Opt::AuditLedger]
            }
            Self::TooLong { what, .. } => format!("give a shorter {what}").into(),
            Self::NoBuild => hint!["name it with ", Opt::BuildId],
            Self::Retire(RetireError::Declared { application, .. }) => format!(
                "write `access_level = \"none\"` in the entry of {application}, or remove the entry"
            )
            .into(),
            Self::Retire(RetireError::Name(error)) => error.hint(),
            Self::DelegateName(_) => hint!["choose another name with ", Opt::To],
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_hosts_are_not_printed() {
        for text in ["postgres://a:Canary@p@h:5432/d", "a:Can@ary@h", "h?password=Canary"] {
            let error = UsageError::not_a_host(text).to_string();
            assert!(!error.contains("Can") && error.contains('h'), "{error}");
        }
        let error = UsageError::not_a_host("localhost:5432").to_string();
        assert_eq!(error, "`localhost:5432` is not a host name");
    }
}
