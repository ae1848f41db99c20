//! Saved plans: a plan in a file, which can be reviewed first and applied later.
//!
//! The file contains no password, and its statements are never executed. `apply` plans again from
//! the current definitions and the current server, and continues only if this plan has the same
//! digest. The digest is computed from the content of the file, so that the reviewed steps are
//! those that it identifies.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::{FORMAT_VERSION, Plan, VERSION, digest};
use super::render::line;
use super::unique_keys::UniqueKeys;
use super::{Action, AuditTarget, Basis, Origin, Scope, Statement, Step, Transaction};
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Operation, Opt};
use crate::text::{pretty_json, visible};

/// A plan in a file, with statements as texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedPlan {
    /// The version of the JSON form of the file.
    pub format_version: u32,
    /// The version of rdsprov that wrote it. No other version applies it.
    pub rdsprov_version: String,
    /// The digest of the plan.
    pub digest: String,
    /// The environment of the plan.
    pub environment: String,
    /// The server, the secrets, the definitions and the protections.
    pub origin: Origin,
    /// The observed state that the plan is based on.
    pub observed: Basis,
    /// The transactions, in the order of execution.
    pub transactions: Vec<Transaction<String>>,
    /// The steps that an additive plan leaves pending. They are not applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Step<String>>,
}

/// A plan cannot be saved, or a saved plan cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
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
    #[error(
        "the saved plan has format version {found}, but rdsprov {VERSION} knows {FORMAT_VERSION}"
    )]
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
    /// The file contains something that the digest in it does not cover, such as an unknown key.
    #[error("the saved plan was changed: rdsprov writes another text for its content")]
    Edited,
    /// Another version of rdsprov wrote the file.
    #[error("rdsprov {found} wrote the saved plan, but this is rdsprov {VERSION}")]
    OtherVersion {
        /// The version in the file.
        found: String,
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
    /// The plan was made for another server that had the same host and port.
    #[error(
        "the saved plan is for the server with system identifier {saved}, but {server} has {given}"
    )]
    Replaced {
        /// The server, as `host:port`.
        server: String,
        /// The system identifier in the saved plan.
        saved: String,
        /// The system identifier of the server.
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
            Self::Changed { .. } | Self::Edited => ErrorCode::PlanFileChanged,
            Self::OtherVersion { .. } => ErrorCode::UnknownPlanFormat,
            Self::OtherEnvironment { .. } => ErrorCode::EnvironmentMismatch,
            Self::OtherServer { .. } | Self::Replaced { .. } => ErrorCode::ServerMismatch,
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
            Self::OtherFormat { .. } | Self::OtherVersion { .. } => hint![
                "apply it with the version of rdsprov that wrote it, or save a new plan with ",
                Operation::Plan,
                " and ",
                Opt::Out
            ],
            Self::Changed { .. } | Self::Edited => {
                hint!["save a new plan with ", Operation::Plan, " and ", Opt::Out]
            }
            Self::OtherEnvironment { given, .. } => hint![
                format!("save a plan for `{given}` with "),
                Operation::Plan,
                " and ",
                Opt::Out
            ],
            Self::OtherServer { given: server, .. } | Self::Replaced { server, .. } => {
                hint![format!("save a plan for {server} with "), Operation::Plan, " and ", Opt::Out]
            }
            Self::Stale(stale) => hint![
                "save a new plan with ",
                stale.saved_by,
                " and ",
                Opt::Out,
                ", review it and apply it"
            ],
        }]
    }
}

/// The current plan differs from the saved one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the saved plan ({saved}) is stale: the current plan is {current}")]
pub struct Stale {
    /// The digest of the saved plan.
    pub saved: String,
    /// The digest of the current plan.
    pub current: String,
    /// The differences between the two.
    pub differences: Differences,
    /// The operation whose plan was saved.
    pub saved_by: Operation,
}

/// The differences between the current plan and a saved one. Steps are lines as in the
/// text of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// Steps that only the saved plan contains.
    pub removed: Vec<String>,
    /// Steps that only the current plan contains.
    pub added: Vec<String>,
    /// Steps that have other statements in the current plan.
    pub changed: Vec<String>,
    /// The administrator, the databases and the roles whose state has changed otherwise than by steps of
    /// the saved plan: `database shop`.
    pub objects: Vec<String>,
    /// Whether the definitions have changed.
    pub definitions_differ: bool,
    /// Whether the administrator, a secret id or the AWS region of the secrets is another one.
    pub secrets_differ: bool,
    /// Whether the TLS mode, the approval policy or the audit table is another one.
    pub protections_differ: bool,
}

/// How much of a saved plan is left to apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remainder {
    /// The current plan is the saved plan.
    Whole,
    /// The saved plan was applied in part, and the current plan contains the rest of it.
    Part {
        /// The number of steps that are left.
        left: usize,
        /// The number of all steps of the saved plan.
        of: usize,
    },
    /// The saved plan was applied: the current plan is empty.
    Nothing,
}

impl Transaction<String> {
    /// Returns whether each step is in another transaction at the same place, in the same order.
    fn is_part_of(&self, whole: &Self) -> bool {
        let mut steps = whole.steps.iter();
        self.scope == whole.scope
            && (self.before.is_none() || self.before == whole.before)
            && self.memberships.iter().all(|one| whole.memberships.iter().any(|two| one == two))
            && self
                .memberships_to_restore
                .iter()
                .all(|one| whole.memberships_to_restore.iter().any(|two| one == two))
            && self.identities.is_rest_of(&whole.identities)
            && match (&self.audit, &whole.audit) {
                (Some(rest), Some(whole)) => rest.is_rest_of(whole),
                (rest, whole) => rest == whole,
            }
            && self.steps.iter().all(|step| {
                step.action != Action::ReassignOwned && steps.any(|other| step.is_rest_of(other))
            })
    }
}

impl AuditTarget {
    /// Returns whether it is the table of a saved plan, which an earlier transaction may have created since
    /// then.
    fn is_rest_of(&self, saved: &Self) -> bool {
        self.table == saved.table && (!self.creates || self == saved)
    }
}

impl Step<String> {
    /// Returns whether the step is one of a saved plan, with at most its hazards: some hazards
    /// depend on steps that are already applied, such as the adoption of a role.
    pub(super) fn is_rest_of(&self, saved: &Self) -> bool {
        self.hazards.is_subset(&saved.hazards)
            && Self { hazards: saved.hazards.clone(), ..self.clone() } == *saved
    }
}

impl SavedPlan {
    /// Converts a plan for its file.
    ///
    /// # Errors
    /// Returns [`SavedPlanError::Refused`] if the plan contains refusals.
    pub fn new(plan: &Plan) -> Result<Self, SavedPlanError> {
        if !plan.refusals.is_empty() {
            return Err(SavedPlanError::Refused);
        }
        Ok(Self {
            format_version: FORMAT_VERSION,
            rdsprov_version: VERSION.to_owned(),
            digest: plan.digest.clone(),
            environment: plan.environment.clone(),
            origin: plan.origin.clone(),
            observed: plan.observed.clone(),
            transactions: plan.transactions.iter().map(Transaction::redacted).collect(),
            pending: plan.pending.iter().map(Step::redacted).collect(),
        })
    }

    /// Returns the text of the file.
    ///
    /// # Errors
    /// Never in practice: a saved plan contains only data that JSON can represent.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        pretty_json(self).map(|text| text + "\n")
    }

    /// Reads the text of a file and verifies its digest.
    ///
    /// # Errors
    /// Returns an error if the text is not a saved plan, was written by another version, or was
    /// changed in any way other than whitespace.
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
        // The parser keeps the last value of a key that is given twice in a map.
        let UniqueKeys(is_unique) = serde_json::from_str(text).map_err(not_a_plan)?;
        if !is_unique {
            return Err(SavedPlanError::Edited);
        }
        let plan: Self = serde_json::from_str(text).map_err(not_a_plan)?;
        if plan.rdsprov_version != VERSION {
            return Err(SavedPlanError::OtherVersion { found: plan.rdsprov_version });
        }
        let Self { environment, origin, transactions, observed, pending, .. } = &plan;
        let content = digest(environment, origin, transactions, &[], observed, pending);
        if content != plan.digest {
            return Err(SavedPlanError::Changed { digest: plan.digest, content });
        }
        // Reading ignores unknown keys, and keys that are missing can have a default.
        let written = |value: serde_json::Result<serde_json::Value>| value.map_err(not_a_plan);
        if written(serde_json::from_str(text))? != written(serde_json::to_value(&plan))? {
            return Err(SavedPlanError::Edited);
        }
        Ok(plan)
    }

    /// Checks that the plan was made for an environment.
    ///
    /// # Errors
    /// Returns [`SavedPlanError::OtherEnvironment`] if not.
    pub fn check_environment(&self, environment: &str) -> Result<(), SavedPlanError> {
        if self.environment == environment {
            return Ok(());
        }
        Err(SavedPlanError::OtherEnvironment {
            saved: self.environment.clone(),
            given: environment.to_owned(),
        })
    }

    /// Checks that the plan was made for a server, given as `host:port`.
    ///
    /// # Errors
    /// Returns [`SavedPlanError::OtherServer`] if not.
    pub fn check_server(&self, server: &str) -> Result<(), SavedPlanError> {
        if self.origin.server.as_deref() == Some(server) {
            return Ok(());
        }
        Err(SavedPlanError::OtherServer {
            saved: self.origin.server.clone().unwrap_or_default(),
            given: server.to_owned(),
        })
    }

    /// Checks that the saved plan is not stale. `plan` is the current plan.
    ///
    /// # Errors
    /// Returns [`SavedPlanError::Stale`] with the differences, [`SavedPlanError::OtherEnvironment`],
    /// [`SavedPlanError::OtherServer`] or [`SavedPlanError::Replaced`].
    pub fn check_current(&self, plan: &Plan) -> Result<(), SavedPlanError> {
        self.check_environment(&plan.environment)?;
        let server = plan.origin.server.as_deref().unwrap_or_default();
        self.check_server(server)?;
        let (saved, given) = (&self.origin.system_identifier, &plan.origin.system_identifier);
        if saved != given {
            let shown =
                |id: &Option<String>| id.clone().unwrap_or_else(|| "(not shown)".to_owned());
            return Err(SavedPlanError::Replaced {
                server: server.to_owned(),
                saved: shown(saved),
                given: shown(given),
            });
        }
        if self.digest == plan.digest {
            return Ok(());
        }
        Err(Box::new(Stale {
            saved: self.digest.clone(),
            current: plan.digest.clone(),
            differences: self.differences(plan),
            saved_by: match self.origin.retirement {
                Some(_) => Operation::Retire,
                None => Operation::Plan,
            },
        })
        .into())
    }

    /// Returns how much of the saved plan is left to apply. `plan` is the current plan, or the part of
    /// it without [`Self::changed_applications`].
    ///
    /// The current plan is a part of the saved one if both have the same origin, each of its steps is in
    /// the saved plan with the same statements and no other hazards, in the same order, and no database or
    /// role that it is based on has changed otherwise than by done steps. A step `reassign_owned` is never a
    /// part: its statement also concerns objects that did not exist when the plan was reviewed.
    ///
    /// # Errors
    /// Returns the errors of [`Self::check_current`] if the current plan is something else.
    pub fn remainder(&self, plan: &Plan) -> Result<Remainder, SavedPlanError> {
        let stale = match self.check_current(plan) {
            Ok(()) => return Ok(Remainder::Whole),
            Err(error @ SavedPlanError::Stale(_)) => error,
            Err(error) => return Err(error),
        };
        let is_comparable =
            self.has_same_base(plan) && plan.refusals.is_empty() && plan.deferred.is_empty();
        if !is_comparable || self.transactions.is_empty() {
            return Err(stale);
        }
        if plan.is_empty() {
            return Ok(Remainder::Nothing);
        }
        let mut saved = self.transactions.iter();
        let left: Vec<_> = plan.transactions.iter().map(Transaction::redacted).collect();
        let is_part = left.iter().all(|left| saved.any(|saved| left.is_part_of(saved)));
        if !is_part || !self.changed_objects(plan, &left).is_empty() {
            return Err(stale);
        }
        let (left, of) =
            (plan.steps().count(), self.transactions.iter().map(|one| one.steps.len()).sum());
        // Nothing of the saved plan was applied, but its steps start from another state.
        if left == of { Err(stale) } else { Ok(Remainder::Part { left, of }) }
    }

    fn differences(&self, plan: &Plan) -> Differences {
        let current: Vec<_> = plan.transactions.iter().map(Transaction::redacted).collect();
        let (mut removed, mut added) = (steps(&self.transactions), steps(&current));
        // Remove equal steps from both, one for one.
        removed.retain(|step| match added.iter().position(|other| other == step) {
            Some(same) => {
                added.remove(same);
                false
            }
            None => true,
        });
        let mut changed = Vec::new();
        let line_of = |(scope, step): &(&Scope, &Step<String>)| {
            format!("{}: {}", visible(&scope.title()), line(step))
        };
        removed.retain(|step| match added.iter().position(|o| line_of(o) == line_of(step)) {
            Some(same) => {
                changed.push(line_of(step));
                added.remove(same);
                false
            }
            None => true,
        });
        let administrator = (self.observed.administrator != plan.observed.administrator)
            .then(|| format!("the administrator {}", plan.origin.administrator));
        let objects = self.changed_objects(plan, &current).into_iter().map(|one| one.to_string());
        Differences {
            removed: removed.iter().map(line_of).collect(),
            added: added.iter().map(line_of).collect(),
            changed,
            objects: administrator.into_iter().chain(objects).collect(),
            definitions_differ: self.origin.definitions != plan.origin.definitions
                || self.origin.scope != plan.origin.scope,
            protections_differ: self.origin.tls_mode != plan.origin.tls_mode
                || self.origin.ca_certificates != plan.origin.ca_certificates
                || self.origin.connect_to != plan.origin.connect_to
                || self.origin.approval != plan.origin.approval
                || self.origin.audit_table != plan.origin.audit_table
                || self.origin.undeclared_access != plan.origin.undeclared_access
                || self.origin.verify_passwords != plan.origin.verify_passwords
                || self.origin.minimum_password_length != plan.origin.minimum_password_length
                || self.origin.configured_ledger != plan.origin.configured_ledger
                || self.origin.configured_csv != plan.origin.configured_csv,
            secrets_differ: self.origin.administrator != plan.origin.administrator
                || self.origin.admin_secret != plan.origin.admin_secret
                || self.origin.secrets != plan.origin.secrets
                || self.origin.aws_region != plan.origin.aws_region,
        }
    }
}

fn steps(transactions: &[Transaction<String>]) -> Vec<(&Scope, &Step<String>)> {
    transactions.iter().flat_map(|one| one.steps.iter().map(|step| (&one.scope, step))).collect()
}

impl Transaction {
    /// Returns the transaction with its statements for readers, see [`Statement::redacted`].
    #[must_use]
    pub fn redacted(&self) -> Transaction<String> {
        Transaction {
            scope: self.scope.clone(),
            before: self.before.as_ref().map(Statement::redacted),
            memberships: self.memberships.clone(),
            memberships_to_restore: self.memberships_to_restore.clone(),
            identities: self.identities.clone(),
            audit: self.audit.clone(),
            steps: self.steps.iter().map(Step::redacted).collect(),
        }
    }
}

impl Step {
    /// Returns the step with its statements for readers, see [`Statement::redacted`].
    #[must_use]
    pub fn redacted(&self) -> Step<String> {
        Step {
            action: self.action,
            application: self.application.clone(),
            role: self.role.clone(),
            group: self.group.clone(),
            database: self.database.clone(),
            summary: self.summary.clone(),
            execute_as: self.execute_as.clone(),
            temporary_memberships: self.temporary_memberships.clone(),
            temporary_usage: self.temporary_usage.clone(),
            statements: self.statements.iter().map(Statement::redacted).collect(),
            hazards: self.hazards.clone(),
            locked_out: self.locked_out.clone(),
            without_temporary: self.without_temporary.clone(),
            changed_secret: self.changed_secret.clone(),
            code: self.code.clone(),
            reverting: Vec::new(),
            after_logins: false,
            replaces: false,
        }
    }
}

/// The number of steps of each kind that a message lists.
const NAMED: usize = 5;

impl fmt::Display for Differences {
    /// Writes whole lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (heading, steps) in [
            ("no longer planned", &self.removed),
            ("planned in addition", &self.added),
            ("planned with other statements", &self.changed),
            ("changed otherwise since the plan was saved", &self.objects),
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
        let same_steps =
            self.removed.is_empty() && self.added.is_empty() && self.changed.is_empty();
        if self.definitions_differ {
            writeln!(f, "  the definitions have changed")?;
        }
        if self.secrets_differ {
            writeln!(f, "  the administrator, the id of a secret or the AWS region has changed")?;
        }
        if self.protections_differ {
            writeln!(
                f,
                "  the TLS mode, the CA file, the address of the server, the approval policy, the audit table, a check of passwords or access, or the ledger or CSV file of the configuration file has changed"
            )?;
        }
        if same_steps {
            writeln!(f, "  the steps are the same")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Hazard, SecretFindings, test_states};

    /// The hazards of the first transaction's steps on those after it are gone once it is committed.
    #[test]
    fn rest_may_have_fewer_hazards() {
        let mut plan =
            Plan::new(&test_states::desired(), &test_states::observed(), SecretFindings::default());
        let hazard = Hazard::WidensAccess;
        let mut rest = plan.clone();
        rest.transactions.remove(0);
        rest = rest.with_digest();
        for step in plan.transactions.iter_mut().flat_map(|one| &mut one.steps) {
            step.hazards.insert(hazard);
        }
        plan = plan.with_digest();
        let of = plan.steps().count();
        let saved = SavedPlan::new(&plan).unwrap();
        let left = rest.steps().count();
        assert_eq!(saved.remainder(&rest), Ok(Remainder::Part { left, of }));

        // A hazard that the reviewers have not seen.
        rest.transactions[0].steps[0].hazards.insert(Hazard::RevokesAccess);
        rest = rest.with_digest();
        assert!(matches!(saved.remainder(&rest), Err(SavedPlanError::Stale(_))));
    }

    /// A database or role with the same name is another one, although all steps are the same.
    #[test]
    fn plan_for_an_exchanged_object_is_stale() {
        let (shop, owner) = ("shop", "shop_owner");
        let comments = [test_states::marker(shop, owner, ""), test_states::marker(shop, shop, "")];
        let mut observed =
            test_states::observed_with(&[(owner, &comments[0])], &[(shop, owner, &comments[1])]);
        let mut plan = |database: u32, role: u32| {
            observed.databases.values_mut().for_each(|one| one.oid = Some(database));
            observed.roles.values_mut().for_each(|one| one.oid = Some(role));
            Plan::new(&test_states::desired(), &observed, SecretFindings::default())
        };
        let saved = SavedPlan::new(&plan(7, 8)).unwrap();
        assert_eq!(saved.remainder(&plan(7, 8)), Ok(Remainder::Whole));
        for other in [plan(9, 8), plan(7, 9)] {
            let Err(SavedPlanError::Stale(stale)) = saved.remainder(&other) else {
                panic!("not stale")
            };
            assert!(stale.differences.to_string().contains("the steps are the same"));
        }
    }
}
