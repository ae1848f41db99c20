//! A plan as a file: somebody reads it, somebody says yes to it, and another run carries it out, as long as
//! it is still the plan.
//!
//! The file holds no password and is never executed. Whoever applies it plans again, from the definitions
//! and the server as they are then, and goes on only where that plan has the same digest. The digest is
//! made of what the file shows, so that nobody reads other steps than those that it stands for.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::render::{line, visible};
use super::{FORMAT_VERSION, Plan, Scope, Statement, Step, Transaction, digest};
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Operation, Opt};

/// What a plan was made from, beside what its digest covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// The server, as `host:port`.
    pub server: String,
    /// `sha256:…` of the files of the definitions, one after the other.
    pub definitions: String,
}

/// A plan in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedPlan {
    /// The version of the file's form.
    pub format_version: u32,
    /// The version of the program that made it.
    pub rdsprov_version: String,
    /// The plan's digest.
    pub digest: String,
    /// The environment.
    pub environment: String,
    /// What it was made from.
    #[serde(flatten)]
    pub origin: Origin,
    /// `sha256:…` over the observed state that it rests on.
    pub observed: String,
    /// The transactions, in order.
    pub transactions: Vec<Transaction<String>>,
}

/// A plan cannot be saved, or a saved plan cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SavedPlanError {
    /// The plan contains refusals.
    #[error("a plan with refusals cannot be saved")]
    Refused,
    /// The file does not contain a saved plan.
    #[error("this is not a saved plan: {reason}")]
    NotAPlan {
        /// The error of the JSON parser.
        reason: String,
    },
    /// The format version of the file is not the one of this program.
    #[error("the saved plan has format version {found}, but rdsprov {} knows {FORMAT_VERSION}", env!("CARGO_PKG_VERSION"))]
    OtherFormat {
        /// The format version of the file.
        found: u64,
    },
    /// The content of the file does not match the digest in it.
    #[error(
        "the saved plan was changed: it contains the digest {digest}, but its content has {content}"
    )]
    Changed {
        /// The digest in the file.
        digest: String,
        /// The digest of its content.
        content: String,
    },
    /// The plan was made for another environment.
    #[error("the saved plan is for environment `{saved}`, but this run is for `{given}`")]
    OtherEnvironment {
        /// The environment of the plan.
        saved: String,
        /// The environment of the run.
        given: String,
    },
    /// The plan was made for another server.
    #[error("the saved plan is for server {saved}, but this run connects to {given}")]
    OtherServer {
        /// The server of the plan, as `host:port`.
        saved: String,
        /// The server of the run, as `host:port`.
        given: String,
    },
    /// The current plan differs from the saved one.
    #[error(transparent)]
    Stale(#[from] Box<Stale>),
}

impl SavedPlanError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Refused => ErrorCode::PlanRefused,
            Self::NotAPlan { .. } => ErrorCode::NotASavedPlan,
            Self::OtherFormat { .. } => ErrorCode::UnknownPlanFormat,
            Self::Changed { .. } => ErrorCode::PlanFileChanged,
            Self::OtherEnvironment { .. } => ErrorCode::EnvironmentMismatch,
            Self::OtherServer { .. } => ErrorCode::ServerMismatch,
            Self::Stale(_) => ErrorCode::PlanStale,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::Refused => "follow the hint of each refusal, then plan again".into(),
            Self::NotAPlan { .. } => {
                hint!["save a plan with ", Operation::Plan, " and ", Opt::Out]
            }
            Self::OtherFormat { .. } => {
                "apply it with the version of rdsprov that wrote it, or plan again".into()
            }
            Self::Changed { .. } => "plan again".into(),
            Self::OtherEnvironment { .. } => "make a plan for this environment".into(),
            Self::OtherServer { .. } => "make a plan for this server".into(),
            Self::Stale(_) => {
                hint!["run ", Operation::Plan, " again, review the new plan and apply it"]
            }
        }]
    }
}

/// The current plan differs from the saved one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the saved plan ({saved}) is stale: the current plan is {current}\n{}", .differences.to_string().trim_end())]
pub struct Stale {
    /// The digest of the saved plan.
    pub saved: String,
    /// The digest of the current plan.
    pub current: String,
    /// The differences between the two.
    pub differences: Differences,
}

/// How a plan at hand differs from a saved one. Steps are told as a plan's text tells them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// Steps of the saved plan that are not to be done any more.
    pub removed: Vec<String>,
    /// Steps that are to be done now.
    pub added: Vec<String>,
    /// Steps that are to be done by other statements.
    pub changed: Vec<String>,
    /// Whether the definitions are other ones.
    pub definitions_differ: bool,
    /// The version of the program that made the saved plan, where it is another one than this.
    pub other_version: Option<String>,
}

impl SavedPlan {
    /// A plan as its file holds it.
    ///
    /// # Errors
    /// [`SavedPlanError::Refused`] where nobody could apply it.
    pub fn new(plan: &Plan, origin: Origin) -> Result<Self, SavedPlanError> {
        if !plan.refusals.is_empty() {
            return Err(SavedPlanError::Refused);
        }
        Ok(Self {
            format_version: FORMAT_VERSION,
            rdsprov_version: env!("CARGO_PKG_VERSION").to_owned(),
            digest: plan.digest.clone(),
            environment: plan.environment.clone(),
            origin,
            observed: plan.observed.clone(),
            transactions: plan.transactions.iter().map(Transaction::redacted).collect(),
        })
    }

    /// The file's text.
    ///
    /// # Errors
    /// None in practice: it is plain data.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// Reads a file's text, and looks whether it is as it was written.
    ///
    /// # Errors
    /// Where it is no saved plan, of another format, or was changed.
    pub fn from_json(text: &str) -> Result<Self, SavedPlanError> {
        #[derive(Deserialize)]
        struct FormatHeader {
            format_version: u64,
        }
        let not_a_plan =
            |error: serde_json::Error| SavedPlanError::NotAPlan { reason: error.to_string() };
        let FormatHeader { format_version: found } =
            serde_json::from_str(text).map_err(not_a_plan)?;
        if found != u64::from(FORMAT_VERSION) {
            return Err(SavedPlanError::OtherFormat { found });
        }
        let plan: Self = serde_json::from_str(text).map_err(not_a_plan)?;
        let content = digest(&plan.environment, &plan.transactions, &[], &plan.observed);
        if content != plan.digest {
            return Err(SavedPlanError::Changed { digest: plan.digest, content });
        }
        Ok(plan)
    }

    /// Whether it is for an environment.
    ///
    /// # Errors
    /// [`SavedPlanError::OtherEnvironment`]
    pub fn check_environment(&self, environment: &str) -> Result<(), SavedPlanError> {
        if self.environment == environment {
            return Ok(());
        }
        Err(SavedPlanError::OtherEnvironment {
            saved: self.environment.clone(),
            given: environment.to_owned(),
        })
    }

    /// Whether it is for a server, given as `host:port`.
    ///
    /// # Errors
    /// [`SavedPlanError::OtherServer`]
    pub fn check_server(&self, server: &str) -> Result<(), SavedPlanError> {
        if self.origin.server == server {
            return Ok(());
        }
        Err(SavedPlanError::OtherServer {
            saved: self.origin.server.clone(),
            given: server.to_owned(),
        })
    }

    /// Whether it is still the plan, for its environment and server. `plan` is what was planned just now,
    /// from what `origin` says.
    ///
    /// # Errors
    /// [`SavedPlanError::Stale`], with what is different; [`SavedPlanError::OtherEnvironment`] and
    /// [`SavedPlanError::OtherServer`].
    pub fn check_current(&self, plan: &Plan, origin: &Origin) -> Result<(), SavedPlanError> {
        self.check_environment(&plan.environment)?;
        self.check_server(&origin.server)?;
        if self.digest == plan.digest {
            return Ok(());
        }
        Err(Box::new(Stale {
            saved: self.digest.clone(),
            current: plan.digest.clone(),
            differences: self.differences(plan, origin),
        })
        .into())
    }

    fn differences(&self, plan: &Plan, origin: &Origin) -> Differences {
        let current: Vec<_> = plan.transactions.iter().map(Transaction::redacted).collect();
        let (mut removed, mut added) = (steps(&self.transactions), steps(&current));
        // What happens in the same way, as often as it does.
        removed.retain(|step| match added.iter().position(|other| other == step) {
            Some(same) => {
                added.remove(same);
                false
            }
            None => true,
        });
        let mut changed = Vec::new();
        let line_of = |(scope, step): &(&Scope, &Step<String>)| {
            format!("{}: {}", visible(&scope.title()), line(step).trim_start())
        };
        removed.retain(|step| match added.iter().position(|o| line_of(o) == line_of(step)) {
            Some(same) => {
                changed.push(line_of(step));
                added.remove(same);
                false
            }
            None => true,
        });
        let this = env!("CARGO_PKG_VERSION");
        Differences {
            removed: removed.iter().map(line_of).collect(),
            added: added.iter().map(line_of).collect(),
            changed,
            definitions_differ: self.origin.definitions != origin.definitions,
            other_version: (self.rdsprov_version != this).then(|| self.rdsprov_version.clone()),
        }
    }
}

fn steps(transactions: &[Transaction<String>]) -> Vec<(&Scope, &Step<String>)> {
    transactions.iter().flat_map(|one| one.steps.iter().map(|step| (&one.scope, step))).collect()
}

impl Transaction {
    /// With its statements as people see them.
    #[must_use]
    pub fn redacted(&self) -> Transaction<String> {
        Transaction {
            scope: self.scope.clone(),
            before: self.before.as_ref().map(Statement::redacted),
            memberships: self.memberships.clone(),
            memberships_to_restore: self.memberships_to_restore.clone(),
            steps: self.steps.iter().map(Step::redacted).collect(),
        }
    }
}

impl Step {
    /// With its statements as people see them.
    #[must_use]
    pub fn redacted(&self) -> Step<String> {
        Step {
            action: self.action,
            application: self.application.clone(),
            role: self.role.clone(),
            database: self.database.clone(),
            summary: self.summary.clone(),
            execute_as: self.execute_as.clone(),
            temporary_memberships: self.temporary_memberships.clone(),
            temporary_usage: self.temporary_usage.clone(),
            statements: self.statements.iter().map(Statement::redacted).collect(),
            hazards: self.hazards.clone(),
        }
    }
}

/// How many steps of a kind are named.
const NAMED: usize = 5;

impl fmt::Display for Differences {
    /// Lines, each with its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (heading, steps) in [
            ("no longer planned", &self.removed),
            ("planned in addition", &self.added),
            ("planned with other statements", &self.changed),
        ] {
            if steps.is_empty() {
                continue;
            }
            writeln!(f, "  {heading}:")?;
            for step in steps.iter().take(NAMED) {
                writeln!(f, "    {step}")?;
            }
            if steps.len() > NAMED {
                writeln!(f, "    and {} more", steps.len() - NAMED)?;
            }
        }
        if self.removed.is_empty() && self.added.is_empty() && self.changed.is_empty() {
            writeln!(f, "  the steps are the same; other objects on the server have changed")?;
        }
        if self.definitions_differ {
            writeln!(f, "  the definitions have changed")?;
        }
        if let Some(version) = &self.other_version {
            writeln!(
                f,
                "  rdsprov {version} made it; this is rdsprov {}",
                env!("CARGO_PKG_VERSION")
            )?;
        }
        Ok(())
    }
}
