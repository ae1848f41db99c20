//! All errors of the operations, in one enum, with the kind that decides the exit code.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::cancellation::StopReason;
use super::failure::{Continuation, NoSpaceForRecords, NotRecorded, StatementFailure};
use super::left_out_reasons::{LeftOutReasons, hints_about, listed, refused};
use super::unreadable::Unreadable;
use super::usage_error::UsageError;
use crate::audit::{AuditError, FailureCodes, RefusedApplication};
use crate::config::{ConfigError, TlsSettingsError};
use crate::definitions::{DefinitionErrors, UnknownApplication};
use crate::diagnostic::Diagnostic;
use crate::error_code::ErrorCode;
use crate::gate::GateError;
use crate::hint;
use crate::hint::{Hint, Operation, Opt};
use crate::name::{ApplicationName, DatabaseName, nearest};
use crate::operations::{PlanRefused, RunError};
use crate::plan::rotation::RotationError;
use crate::plan::{Plan, Refusal, SavedPlanError, SlotError};
use crate::secret_id::TemplateError;
use crate::secrets::{ObjectError, SourceError, TokenError};
use crate::server::TlsError;
use crate::site_policy::SitePolicyError;
use crate::text::{os_reason, visible};

/// A session failed, or was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No definitions file is given, neither as an option nor in `rdsprov.toml`.
    #[error("no definitions file is given")]
    NoDefinitions,
    /// Definitions files cannot be read; reported together with the errors in the others.
    #[error("{}", diagnostics_as_facts(.files, .others))]
    Unreadable {
        /// The files that cannot be read.
        files: Vec<Unreadable>,
        /// The errors in the other files.
        others: DefinitionErrors,
    },
    /// The definitions contain errors.
    #[error(transparent)]
    Definitions(#[from] DefinitionErrors),
    /// The fleet file contains errors.
    #[error(transparent)]
    Fleet(DefinitionErrors),
    /// An application that is to be adopted is not declared.
    #[error(transparent)]
    UnknownApplication(#[from] UnknownApplication),
    /// The environment of the run is not that of the definitions.
    #[error(
        "the environment of this run is `{requested}`, but the definitions are for `{declared}`"
    )]
    OtherEnvironment {
        /// The environment of the run.
        requested: String,
        /// The environment of the definitions.
        declared: String,
    },
    /// Neither an option nor the definitions name the environment.
    #[error("the environment is not known")]
    NoEnvironment {
        /// Whether the operation reads definitions.
        reads_definitions: bool,
    },
    /// The environment is neither built in nor declared in `rdsprov.toml`.
    #[error("environment `{environment}` is not declared")]
    UnknownEnvironment {
        /// The name of the environment.
        environment: String,
        /// The environments that are known.
        known: Vec<String>,
    },
    /// `rdsprov.toml` is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The site policy does not allow the run.
    #[error(transparent)]
    SitePolicy(#[from] SitePolicyError),
    /// `rdsprov.toml` or a file of the site policy cannot be read.
    #[error("{path} cannot be read: {}", os_reason(.source))]
    ConfigUnreadable {
        /// The path of the file, as given.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// `rdsprov.toml` is a symbolic link to a file outside the working directory.
    #[error("{path} is a link to a file outside the working directory")]
    ConfigOutside {
        /// The path of the link.
        path: PathBuf,
    },
    /// `rdsprov.toml` names a file for records or TLS that is not below its directory.
    #[error(
        "{} is outside the directory of the configuration file that names it",
        visible(&.path.to_string_lossy())
    )]
    Outside {
        /// The path of the file.
        path: PathBuf,
        /// The option that can name any file.
        option: Opt,
    },
    /// A secret template contains an unknown placeholder.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Options contradict each other.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// TLS settings contradict each other.
    #[error(transparent)]
    TlsSettings(#[from] TlsSettingsError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The source provides no secrets.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An object of S3 cannot be read or written.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// No IAM token can be created.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No plan can be made.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The access report covers declared and managed databases only.
    #[error(
        "database {database} is not one of the declared and managed databases of environment `{environment}`"
    )]
    NoSuchDatabase {
        /// The name of the database, as given.
        database: DatabaseName,
        /// The name of the environment.
        environment: String,
    },
    /// No database has a name and an owner that an export selects.
    #[error("no database of applications on the server matches")]
    NothingMatches {
        /// The databases of applications.
        databases: Vec<DatabaseName>,
    },
    /// A gate does not allow the plan.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// Objects that became visible after the approved plan need an approval, too.
    #[error(
        "the approved plan was applied; objects that became visible afterwards need a second plan ({digest})"
    )]
    SecondApproval {
        /// The digest of the second plan.
        digest: String,
    },
    /// Objects that became visible after the saved plan are not part of it.
    #[error(
        "the saved plan was applied; objects that became visible afterwards need a second plan"
    )]
    SecondPlan,
    /// The saved-plan file cannot be read.
    #[error("{path} cannot be read: {}", os_reason(.source))]
    PlanUnreadable {
        /// The path of the file, as given.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The saved-plan file contains something else, or was changed.
    #[error("{path}: {error}")]
    PlanFile {
        /// The path of the file, as given.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: SavedPlanError,
    },
    /// A definitions file is given as a saved plan.
    #[error("{path} is a definitions file, not a saved plan")]
    DefinitionsAsPlan {
        /// The path of the file, as given.
        path: String,
    },
    /// The saved plan is for another environment or server, or is stale.
    #[error(transparent)]
    SavedPlan(#[from] SavedPlanError),
    /// A saved plan is given as a definitions file.
    #[error("{path} is a saved plan, not a definitions file")]
    PlanAmongDefinitions {
        /// The path of the file, as given.
        path: String,
    },
    /// Passwords cannot be rotated.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Rotation(Vec<RotationError>),
    /// The plan contains refusals.
    #[error("{}", refused(.0))]
    Refused(Vec<Refusal>),
    /// The changes that do not depend on applications that were left out were made.
    #[error("{0}")]
    LeftOut(Box<LeftOutReasons>),
    /// The user did not confirm the plan.
    #[error("the plan was not confirmed; nothing was changed")]
    NotConfirmed,
    /// A record cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A statement of a script cannot be completed.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// Changes were committed whose records cannot be written.
    #[error(transparent)]
    NotRecorded(Box<NotRecorded>),
    /// The records of the next transaction need more space than is free.
    #[error(transparent)]
    NoSpaceForRecords(Box<NoSpaceForRecords>),
    /// A statement failed; the record of its step contains the message of the server.
    #[error("{0}")]
    Statement(Box<StatementFailure>),
    /// The plan after the last step is not empty.
    /// Contains the applications of the steps and refusals that remain.
    #[error("the server still differs from the definitions after all steps succeeded{}", remaining(.0))]
    NotConverged(BTreeSet<ApplicationName>),
    /// The run was stopped.
    #[error("{reason}; {}", if .committed.is_some() { "committed changes are kept" } else { "nothing was changed" })]
    Stopped {
        /// Why it was stopped.
        reason: StopReason,
        /// How to continue, if a transaction was committed before.
        committed: Option<Continuation>,
    },
}

impl From<NotRecorded> for Error {
    fn from(error: NotRecorded) -> Self {
        Self::NotRecorded(Box::new(error))
    }
}

impl From<NoSpaceForRecords> for Error {
    fn from(error: NoSpaceForRecords) -> Self {
        Self::NoSpaceForRecords(Box::new(error))
    }
}

/// Returns a hint with the databases that an export could select.
fn existing_databases(databases: &[DatabaseName]) -> Hint {
    const SHOWN: usize = 20;
    if databases.is_empty() {
        return "the server has no database of an application".into();
    }
    let names: Vec<&str> = databases.iter().take(SHOWN).map(DatabaseName::as_str).collect();
    let others = databases.len().saturating_sub(SHOWN);
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    format!("the databases are {}{more}; check the names and the owners", names.join(", ")).into()
}

impl Error {
    /// Returns the stable code. Of several errors at once, it is the code of the first,
    /// or [`ErrorCode::InvalidDefinitions`] for definitions.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NoDefinitions => ErrorCode::NoDefinitions,
            Self::Unreadable { files, .. } => {
                files.first().map_or(ErrorCode::FileUnreadable, Unreadable::code)
            }
            Self::Definitions(_) => ErrorCode::InvalidDefinitions,
            Self::Fleet(_) => ErrorCode::InvalidConfig,
            Self::UnknownApplication(_) => ErrorCode::UnknownApplication,
            Self::OtherEnvironment { .. } => ErrorCode::EnvironmentMismatch,
            Self::NoEnvironment { .. } => ErrorCode::NoEnvironment,
            Self::UnknownEnvironment { .. } => ErrorCode::UnknownEnvironment,
            Self::Config(error) => error.code(),
            Self::SitePolicy(error) => error.code(),
            Self::ConfigUnreadable { .. } | Self::PlanUnreadable { .. } => {
                ErrorCode::FileUnreadable
            }
            Self::ConfigOutside { .. } | Self::Outside { .. } => ErrorCode::FileOutside,
            Self::Template(error) => error.code(),
            Self::Usage(error) => error.code(),
            Self::TlsSettings(error) => error.code(),
            Self::Tls(error) => error.code(),
            Self::Source(error) => error.code(),
            Self::Object(error) => error.code(),
            Self::Token(error) => error.code(),
            Self::Run(error) => error.code(),
            Self::NoSuchDatabase { .. } | Self::NothingMatches { .. } => ErrorCode::UnknownDatabase,
            Self::Gate(error) => error.code(),
            Self::SecondApproval { .. } => ErrorCode::SecondApprovalRequired,
            Self::SecondPlan => ErrorCode::SecondPlanRequired,
            Self::PlanFile { error, .. } | Self::SavedPlan(error) => error.code(),
            Self::PlanAmongDefinitions { .. } => ErrorCode::SavedPlanAsDefinitions,
            Self::DefinitionsAsPlan { .. } => ErrorCode::NotASavedPlan,
            Self::Rotation(errors) => {
                errors.first().map_or(ErrorCode::UnknownApplication, RotationError::code)
            }
            Self::Refused(_) => ErrorCode::PlanRefused,
            Self::LeftOut(reasons) => reasons.code(),
            Self::NotConfirmed => ErrorCode::NotConfirmed,
            Self::Audit(error) => error.code(),
            Self::Slot(error) => error.code(),
            Self::NotRecorded(_) => ErrorCode::ChangesNotRecorded,
            Self::NoSpaceForRecords(error) => error.error.code(),
            Self::Statement(error) => error.code(),
            Self::NotConverged(_) => ErrorCode::NotConverged,
            Self::Stopped { .. } => ErrorCode::Interrupted,
        }
    }

    /// Returns what to do next, for all errors in this one.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::Unreadable { .. } | Self::Definitions(_) | Self::Fleet(_) => {
                return self.diagnostics().into_iter().flat_map(|one| one.hints).collect();
            }
            Self::Rotation(errors) => {
                return errors.iter().flat_map(RotationError::hints).collect();
            }
            Self::NoDefinitions => hint![
                "name the files with ",
                Opt::Definitions,
                ", or as `files` in `[definitions]` of `rdsprov.toml`"
            ],
            Self::UnknownApplication(error) => return error.hints(),
            Self::OtherEnvironment { .. } => {
                hint!["use the definitions of the right environment, or correct ", Opt::Env]
            }
            Self::NoEnvironment { reads_definitions: true } => {
                hint!["use ", Opt::Env, ", or set `environment` in the definitions"]
            }
            Self::NoEnvironment { reads_definitions: false } => hint!["use ", Opt::Env],
            Self::UnknownEnvironment { environment, known } => {
                let meant = nearest(environment, known.iter().map(String::as_str));
                let meant = meant.map(|name| format!("is `{name}` meant? otherwise "));
                format!(
                    "{}use one of {}, or declare `[environments.{environment}]` in `rdsprov.toml`",
                    meant.unwrap_or_default(),
                    known.join(", ")
                )
                .into()
            }
            Self::Config(error) => return error.hints(),
            Self::SitePolicy(error) => return error.hints(),
            Self::ConfigUnreadable { .. } | Self::PlanUnreadable { .. } => {
                "check the path and the permissions of the file".into()
            }
            Self::ConfigOutside { .. } => {
                hint!["name the file with ", Opt::Config, " if it is to be read"]
            }
            Self::Outside { option, .. } => {
                hint!["name the file with ", *option, " if it is to be used"]
            }
            Self::Template(error) => return error.hints(),
            Self::Usage(error) => return error.hints(),
            Self::TlsSettings(error) => return error.hints(),
            Self::Tls(error) => return error.hints(),
            Self::Source(error) => return error.hints(),
            Self::Object(error) => return error.hints(),
            Self::Token(error) => return error.hints(),
            Self::Run(error) => return error.hints(),
            Self::NoSuchDatabase { .. } => "check the name, or declare the database".into(),
            Self::NothingMatches { databases } => existing_databases(databases),
            Self::Gate(error) => return error.hints(),
            Self::SecondApproval { digest } => {
                hint!["review the second plan, set ", (Opt::Approval, digest), ", and run again"]
            }
            Self::SecondPlan => {
                hint!["run ", Operation::Plan, " again, review the new plan and apply it"]
            }
            Self::PlanFile { error, .. } | Self::SavedPlan(error) => return error.hints(),
            Self::PlanAmongDefinitions { .. } => {
                hint!["pass it to ", Operation::Apply, " before ", Opt::Definitions]
            }
            Self::DefinitionsAsPlan { path } => {
                hint!["give definitions with ", (Opt::Definitions, path)]
            }
            Self::LeftOut(reasons) => {
                return reasons.diagnostics().into_iter().flat_map(|one| one.hints).collect();
            }
            Self::Refused(refusals) => return hints_about(refusals),
            Self::NotConfirmed => return Vec::new(),
            Self::Audit(error) => return error.hints(),
            Self::Slot(error) => return error.hints(),
            Self::NotRecorded(error) => return error.hints(),
            Self::NoSpaceForRecords(error) => return error.hints(),
            Self::Statement(error) => return error.hints(),
            Self::NotConverged(_) => hint![
                "run ",
                Operation::Plan,
                " to see the remaining steps, and find what changes the server at the same time"
            ],
            Self::Stopped { committed: Some(Continuation::RunAgain), .. } => {
                "run again to apply the remaining changes".into()
            }
            Self::Stopped { committed: Some(continuation), .. } => continuation.hint(),
            Self::Stopped { reason: StopReason::Deadline, committed: None } => {
                "run again, and give the run more time".into()
            }
            Self::Stopped { committed: None, .. } => return Vec::new(),
        }]
    }

    /// Returns whether a rule or a gate has refused the operation, so that nothing was tried.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.kind() == Kind::Refused
    }

    /// Returns whether the plan of the run is not the plan that was approved or saved.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.code() == ErrorCode::PlanStale
    }

    /// Returns the SQLSTATE, if the server rejected a connection with one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        use crate::server::ObserveError;
        match self {
            Self::Run(
                RunError::Connect(error)
                | RunError::AdminLogin { error, .. }
                | RunError::Observe(ObserveError::Connect(error)),
            ) => error.sqlstate(),
            _ => None,
        }
    }

    /// Returns each error in this one as a front end prints it: most errors are one, the
    /// definitions can contain several.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        match self {
            Self::Unreadable { files, others } => files
                .iter()
                .map(|error| Diagnostic::new(error.code(), error, error.hints()))
                .chain(others.diagnostics())
                .collect(),
            Self::Definitions(errors) | Self::Fleet(errors) => errors.diagnostics().collect(),
            Self::LeftOut(reasons) => reasons.diagnostics(),
            Self::Rotation(errors) => errors
                .iter()
                .map(|error| Diagnostic::new(error.code(), error, error.hints()))
                .collect(),
            Self::SavedPlan(SavedPlanError::Stale(stale)) => {
                let mut diagnostic = Diagnostic::new(self.code(), self, self.hints());
                diagnostic.excerpt = Some(stale.differences.to_string().trim_end().to_owned());
                vec![diagnostic]
            }
            Self::Run(RunError::AdminSecret { others, .. }) => {
                let also = others
                    .iter()
                    .map(|other| format!("  also: {}: {}", other.application, other.message()))
                    .collect::<Vec<_>>();
                let mut diagnostic = Diagnostic::new(self.code(), self, self.hints());
                diagnostic.excerpt = (!also.is_empty()).then(|| also.join("\n"));
                vec![diagnostic]
            }
            _ => vec![Diagnostic::new(self.code(), self, self.hints())],
        }
    }
}

fn diagnostics_as_facts(files: &[Unreadable], others: &DefinitionErrors) -> String {
    let others = (!others.errors.is_empty()).then(|| others.to_string());
    files.iter().map(ToString::to_string).chain(others).collect::<Vec<_>>().join("\n\n")
}

/// Names applications. The application of delegates is not one of the definitions, and is left out.
fn remaining(applications: &BTreeSet<ApplicationName>) -> String {
    let delegate = ApplicationName::for_delegates();
    let names = listed(applications.iter().filter(|name| **name != delegate));
    if names.is_empty() { names } else { format!("; it differs for: {names}") }
}

/// Checks that a plan contains no refusals.
pub(super) fn no_refusals(plan: &Plan) -> Result<(), Error> {
    Ok(PlanRefused::check(plan)?)
}

impl From<PlanRefused> for Error {
    fn from(error: PlanRefused) -> Self {
        Self::Refused(error.refusals)
    }
}

/// The kind of an error, from which a front end derives the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The options or the configuration are invalid.
    Usage,
    /// A rule forbids the operation: a refusal, a missing approval or a stale plan.
    Refused,
    /// The operation failed, or the inputs are wrong.
    Failed,
}

impl Error {
    /// Returns the codes for the record of the outcome.
    pub(super) fn failure_codes(&self) -> FailureCodes {
        let refusals = match self {
            Self::Refused(refusals) => refusals.as_slice(),
            Self::LeftOut(reasons) => reasons.refusals.as_slice(),
            _ => &[],
        };
        FailureCodes {
            code: Some(self.code().name().to_owned()),
            refusals: refusals
                .iter()
                .map(|refusal| RefusedApplication {
                    application: refusal.application.to_string(),
                    code: refusal.code().name().to_owned(),
                })
                .collect(),
        }
    }

    /// Returns whether the run has left out a part of the plan and has applied the rest as planned.
    #[must_use]
    pub fn is_about_left_out(&self) -> bool {
        matches!(self, Self::LeftOut(_))
    }

    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoDefinitions
            | Self::Unreadable { .. }
            | Self::Fleet(_)
            | Self::UnknownApplication(_)
            | Self::NoEnvironment { .. }
            | Self::UnknownEnvironment { .. }
            | Self::Config(_)
            | Self::ConfigUnreadable { .. }
            | Self::ConfigOutside { .. }
            | Self::Outside { .. }
            | Self::Template(_)
            | Self::PlanUnreadable { .. }
            | Self::PlanAmongDefinitions { .. }
            | Self::DefinitionsAsPlan { .. }
            | Self::Usage(_)
            | Self::TlsSettings(_) => Kind::Usage,
            Self::OtherEnvironment { .. }
            | Self::SitePolicy(_)
            | Self::Gate(_)
            | Self::SecondApproval { .. }
            | Self::SecondPlan
            | Self::PlanFile { .. }
            | Self::SavedPlan(_)
            | Self::Refused(_)
            | Self::LeftOut(_)
            | Self::NotConfirmed => Kind::Refused,
            Self::Definitions(_)
            | Self::Tls(_)
            | Self::Source(_)
            | Self::Run(_)
            | Self::NoSuchDatabase { .. }
            | Self::NothingMatches { .. }
            | Self::Audit(_)
            | Self::NotRecorded(_)
            | Self::NoSpaceForRecords(_)
            | Self::Slot(_)
            | Self::Statement(_)
            | Self::NotConverged(_)
            | Self::Stopped { .. }
            | Self::Object(_)
            | Self::Token(_) => Kind::Failed,
            // An unknown application is a typo in the options. Other reasons are refusals.
            Self::Rotation(errors) => {
                let is_typo = |error| matches!(error, &RotationError::UnknownApplication { .. });
                if errors.iter().all(is_typo) { Kind::Usage } else { Kind::Refused }
            }
        }
    }
}
