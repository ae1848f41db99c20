//! All errors of the operations, in one enum, with the kind that decides the exit code.

use std::path::PathBuf;

use crate::audit::AuditError;
use crate::config::{ConfigError, TlsSettingsError};
use crate::definitions::{DefinitionErrors, UnknownApplication};
use crate::gate::GateError;
use crate::name::DatabaseName;
use crate::plan::{Refusal, SavedPlanError};
#[cfg(feature = "aws")]
use crate::rotation::RotationError;
use crate::secrets::{SourceError, TemplateError};
use crate::server::{RunError, TlsError};

/// A file of definitions that cannot be one as it is named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its name says no syntax.
    #[error("{path}: definitions are *.tfvars, *.tfvars.json, *.json or *.toml files")]
    Syntax {
        /// The file.
        path: String,
    },
    /// It is named twice.
    #[error("{path} is given twice")]
    Twice {
        /// The file.
        path: String,
    },
    /// The system said no.
    #[error("{path} cannot be read: {reason}")]
    System {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
}

/// Why a session came to nothing, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody names definitions.
    #[error(
        "no definitions are given; name them with --definitions FILE, or in rdsprov.toml as [definitions] files"
    )]
    NoDefinitions,
    /// Files of definitions that cannot be read, all of them, and what is wrong with the others.
    #[error("{}", unreadable_message(.files, .others))]
    Unreadable {
        /// Those that cannot be read.
        files: Vec<Unreadable>,
        /// What is wrong with the others.
        others: DefinitionErrors,
    },
    /// What the definitions say is wrong.
    #[error(transparent)]
    Definitions(#[from] DefinitionErrors),
    /// Nobody declares the application that is to adopt.
    #[error(transparent)]
    UnknownApplication(#[from] UnknownApplication),
    /// The environment asked for is not that of the definitions.
    #[error(
        "--env (or RDSPROV_ENV) says {asked:?} and the definitions say environment = {declared:?}; one of them is for another environment"
    )]
    OtherEnvironment {
        /// What was asked for.
        asked: String,
        /// What the definitions say.
        declared: String,
    },
    /// Nobody says which environment.
    #[error("the environment is not known; give --env, or set `environment` in the definitions")]
    NoEnvironment,
    /// Nobody declares the environment.
    #[error(
        "environment {environment:?} is not known; the known ones are {}; declare it in rdsprov.toml as [environments.{environment}]", .known.join(", ")
    )]
    UnknownEnvironment {
        /// The environment.
        environment: String,
        /// Those that are known.
        known: Vec<String>,
    },
    /// `rdsprov.toml` is not understood.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `rdsprov.toml` cannot be read.
    #[error("{path} cannot be read: {source}")]
    ConfigUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The name of a secret says something unknown.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// What was asked for does not go together, or means nothing.
    #[error("{0}")]
    Usage(String),
    /// What is said of TLS does not go together.
    #[error(transparent)]
    TlsSettings(#[from] TlsSettingsError),
    /// TLS cannot be had as it is asked for.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No secrets.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No tokens.
    #[cfg(feature = "aws")]
    #[error(transparent)]
    Token(#[from] crate::secrets::token::TokenError),
    /// The server, or the secrets, could not be looked at.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A database that is of no concern here, or not there.
    #[error(
        "database {database} is not there, or neither declared nor managed in environment {environment}"
    )]
    NoSuchDatabase {
        /// The database.
        database: DatabaseName,
        /// The environment.
        environment: String,
    },
    /// The gates say no.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// What could be seen only after the approved plan had run asks for an approval of its own.
    #[error(
        "the plan approved is carried out; what could be seen only then asks for an approval of its own: read it above, set ALLOW_DB_PROVISION={digest}, and run again"
    )]
    SecondApproval {
        /// The digest of the plan that is left.
        digest: String,
    },
    /// What could be seen only after the saved plan had run is in nobody's plan.
    #[error(
        "the saved plan is carried out; what could be seen only then is a plan of its own: read it above, then plan and apply again"
    )]
    SecondPlan,
    /// The file of a saved plan cannot be read.
    #[error("{path} cannot be read: {source}")]
    PlanUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file of a saved plan holds something else.
    #[error("{path}: {error}")]
    PlanFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: SavedPlanError,
    },
    /// The saved plan is not what is to be done here and now.
    #[error(transparent)]
    SavedPlan(#[from] SavedPlanError),
    /// A saved plan stands among the definitions.
    #[error(
        "{path} is a saved plan; let it stand before the definitions: rdsprov apply {path} -d FILE"
    )]
    PlanAmongDefinitions {
        /// The file.
        path: String,
    },
    /// What was asked for cannot be rotated.
    #[cfg(feature = "aws")]
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  and "))]
    Rotation(Vec<RotationError>),
    /// Guardrails forbid it all.
    #[error("refused: {}", reasons(.0))]
    Refused(Vec<Refusal>),
    /// Somebody was asked, and did not say yes.
    #[error("nobody said yes; nothing was changed")]
    NotAgreed,
    /// A record cannot be kept.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A statement failed; each step's record says it, too.
    #[error("{0}\nrun the same command again once the cause is mended: it goes on from here")]
    Statement(String),
    /// A second look finds more to do.
    #[error("a second look at the server finds more to do: see above")]
    NotConverged,
    /// Somebody stopped it.
    #[error("stopped by a signal: {}; run the same command again to go on", if *.committed { "what was committed stays, the rest was rolled back" } else { "nothing was changed" })]
    Stopped {
        /// Whether anything was committed before.
        committed: bool,
    },
}

fn unreadable_message(files: &[Unreadable], others: &DefinitionErrors) -> String {
    let files = files.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  and ");
    if others.0.is_empty() { files } else { format!("{files}\n\n{others}") }
}

fn reasons(refusals: &[Refusal]) -> String {
    let reason = |refusal: &Refusal| format!("{}: {}", refusal.application, refusal.message);
    refusals.iter().map(reason).collect::<Vec<_>>().join("; ")
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
    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoDefinitions
            | Self::Unreadable { .. }
            | Self::UnknownApplication(_)
            | Self::NoEnvironment
            | Self::UnknownEnvironment { .. }
            | Self::Config(_)
            | Self::ConfigUnreadable { .. }
            | Self::Template(_)
            | Self::PlanUnreadable { .. }
            | Self::PlanAmongDefinitions { .. }
            | Self::Usage(_)
            | Self::TlsSettings(_) => Kind::Usage,
            Self::OtherEnvironment { .. }
            | Self::Gate(_)
            | Self::SecondApproval { .. }
            | Self::SecondPlan
            | Self::PlanFile { .. }
            | Self::SavedPlan(_)
            | Self::Refused(_)
            | Self::NotAgreed => Kind::Refused,
            Self::Definitions(_)
            | Self::Tls(_)
            | Self::Source(_)
            | Self::Run(_)
            | Self::NoSuchDatabase { .. }
            | Self::Audit(_)
            | Self::Statement(_)
            | Self::NotConverged
            | Self::Stopped { .. } => Kind::Failed,
            #[cfg(feature = "aws")]
            Self::Token(_) => Kind::Failed,
            // An unknown application is a typo in the options. Other reasons are refusals.
            #[cfg(feature = "aws")]
            Self::Rotation(errors) => {
                let is_typo = |error| matches!(error, &RotationError::UnknownApplication { .. });
                if errors.iter().all(is_typo) { Kind::Usage } else { Kind::Refused }
            }
        }
    }
}
