//! The plan as a value, with its digest.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::basis::Basis;
use super::{
    Action, Hazard, Note, Origin, Refusal, Step, Transaction, UndeclaredRoleAccess, note, refusal,
};
use crate::digest::sha256_json;
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::named_enum::named_enum;
use crate::privilege::AccessLevel;
use crate::probe::Probe;
use crate::run_setting::RunSetting;
use crate::secret_id::SecretId;

/// The version of the JSON form of plans and saved plans.
pub const FORMAT_VERSION: u32 = 5;

/// The version of rdsprov, which digests cover.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The results of reading the secrets, before the states are compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretFindings {
    /// The refusals because of secrets.
    #[serde(with = "refusal::stored")]
    pub refusals: Vec<Refusal>,
    /// The notes about secrets.
    #[serde(with = "note::stored")]
    pub notes: Vec<Note>,
    /// The version of each secret that was read, if its source has versions.
    pub versions: BTreeMap<SecretId, String>,
    /// The secrets that do not exist and will be created, each with a new password.
    pub new_secrets: BTreeSet<SecretId>,
    /// The secrets of retired roles that exist, if the run schedules their deletion.
    pub retired_secrets: BTreeSet<SecretId>,
}

/// An application of the definitions, for the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlannedApplication {
    /// The key of its entry.
    pub application: ApplicationName,
    /// The database of its entry.
    pub database: DatabaseName,
    /// The role of its entry.
    pub role: RoleName,
    /// The access level of its entry.
    pub access_level: AccessLevel,
}

named_enum! {
    /// The kind of an orphan. The names, in snake case, are in JSON.
    #[allow(missing_docs, reason = "the names say what each is")]
    "snake_case" pub enum OrphanKind {
        Role,
        Database,
    }
}

named_enum! {
    /// What a plan reports and does not change. The user decides whether a check fails on it.
    "kebab-case" pub enum Finding {
        /// A managed role or database is not declared any more.
        Orphaned,
        /// A role that is not declared has access to a declared database, or a declared role has a database
        /// that is not declared.
        Undeclared,
    }
}

impl FromStr for Finding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::all().find(|finding| finding.name() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::all().map(Self::name).collect();
            format!("unknown finding; the findings are {}", known.join(", "))
        })
    }
}

/// A managed role or database that the definitions no longer declare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Orphan {
    /// Whether it is a role or a database.
    pub kind: OrphanKind,
    /// The name of the role or database.
    pub name: String,
    /// The application in its marker.
    pub application: String,
    /// For a role, what it owns and which privileges it has in the observed databases; for
    /// a database, its owner.
    pub holds: Vec<String>,
}

/// An undeclared database that belongs to a declared role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UndeclaredDatabase {
    /// The name of the database.
    pub database: DatabaseName,
    /// The declared role that owns it.
    pub owner: RoleName,
    /// The application of the role.
    pub application: ApplicationName,
    /// Whether it is a plugin database, so that rdsprov closes it to PUBLIC.
    pub closed: bool,
}

/// A comparison that is possible only after the plan is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Deferred {
    /// The application that it is about.
    pub application: ApplicationName,
    /// What is compared then, and why not before.
    pub comparison: String,
}

/// The changes that give the desired state, and what prevents or accompanies them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Plan {
    /// The version of the JSON form.
    pub format_version: u32,
    /// The environment of the definitions.
    pub environment: String,
    /// `sha256:…` of the transactions, the pending steps, the refusals, the origin and the observed state that they are
    /// based on.
    pub digest: String,
    /// The server, the secrets and the definitions that the plan was made from.
    pub origin: Origin,
    /// How the run reached the server, and the approval policy, with the place that sets each value.
    /// The digest covers the values in [`Plan::origin`] only. Empty for a plan without a run.
    pub run_settings: Vec<RunSetting>,
    /// The observed state that the transactions are based on.
    pub observed: Basis,
    /// The major version of the server: `16`.
    pub server_major: u32,
    /// The transactions, in the order of execution.
    pub transactions: Vec<Transaction>,
    /// The steps that an additive plan does not contain, because they take access away: a plan without the
    /// option contains them.
    pub pending: Vec<Step>,
    /// The reasons why the plan must not be applied.
    pub refusals: Vec<Refusal>,
    /// The orphans: managed, but no longer declared.
    pub orphaned: Vec<Orphan>,
    /// The number of roles and databases that definitions of other scopes manage in the same environment,
    /// and that these definitions do not declare.
    pub in_other_scopes: usize,
    /// The undeclared databases of declared roles.
    pub undeclared_databases: Vec<UndeclaredDatabase>,
    /// The access of undeclared roles to declared databases, which the notes or the refusals report.
    pub undeclared_access: Vec<UndeclaredRoleAccess>,
    /// Facts that do not stop the plan.
    pub notes: Vec<Note>,
    /// What cannot be compared before this plan is applied. `apply` compares it in its second plan.
    pub deferred: Vec<Deferred>,
    /// The applications that the plan covers, by database and role.
    pub applications: Vec<PlannedApplication>,
    /// The probes that the plan needs: it assumes that the server allows them. The caller executes
    /// each one with [`probe_statements`](super::probe_statements), rolls it back, adds the result
    /// to [`Observed::probe_results`](crate::observed::Observed::probe_results), and plans again.
    #[serde(skip)]
    pub probes: BTreeSet<Probe>,
    /// Those among the probes on which the hints of notes depend: who can execute their statements. A plan that
    /// changes nothing needs only these.
    #[serde(skip)]
    pub probes_of_hints: BTreeSet<Probe>,
    /// The applications that depend on the step with which another one takes over a role, by that one.
    #[serde(skip)]
    pub(crate) after_takeover: BTreeMap<ApplicationName, BTreeSet<ApplicationName>>,
    /// The application that says what concerns each declared role itself.
    #[serde(skip)]
    pub(crate) homes: BTreeMap<RoleName, ApplicationName>,
    /// The administrator database, for the text; `None` for the change of one password.
    #[serde(skip)]
    pub(crate) admin_database: Option<DatabaseName>,
    /// The names of the hazards that the run allows, for the text.
    #[serde(skip)]
    pub(crate) allowed_hazards: BTreeSet<&'static str>,
    /// Whether the user has not said yet what is left of the data of dropped databases.
    #[serde(skip)]
    pub(crate) needs_backup: bool,
    /// The findings on which a check also fails.
    #[serde(skip)]
    pub fail_on: Vec<Finding>,
}

impl Plan {
    /// Computes the digest of the changes and of the observed state that they are based on.
    pub(super) fn with_digest(mut self) -> Self {
        self.digest = digest(
            &self.environment,
            &self.origin,
            &self.transactions,
            &self.refusals,
            &self.observed,
            &self.pending,
        );
        self
    }

    /// Returns whether there is nothing to change. A plan without changes
    /// can still have [`Plan::refusals`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// Returns whether the plan changes something, or leaves changes pending.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.is_empty() || !self.pending.is_empty()
    }

    /// Returns whether the server is as declared: there is nothing to change, nothing is pending or
    /// refused, and no note reports a difference.
    #[must_use]
    pub fn is_as_declared(&self) -> bool {
        !self.has_changes()
            && self.refusals.is_empty()
            && !self.notes.iter().any(Note::is_difference)
    }

    /// Returns whether a check finds nothing: the server is as declared, and the plan contains none of
    /// the findings in [`Plan::fail_on`].
    #[must_use]
    pub fn passes_check(&self) -> bool {
        self.is_as_declared() && self.failing_findings().next().is_none()
    }

    /// Returns those of [`Plan::fail_on`] that the plan contains.
    pub(super) fn failing_findings(&self) -> impl Iterator<Item = Finding> {
        Finding::all().filter(|one| self.fail_on.contains(one) && self.has_finding(*one))
    }

    fn has_finding(&self, finding: Finding) -> bool {
        match finding {
            Finding::Orphaned => !self.orphaned.is_empty(),
            Finding::Undeclared => {
                let mut databases = self.undeclared_databases.iter();
                databases.any(|one| !one.closed) || !self.undeclared_access.is_empty()
            }
        }
    }

    /// Returns every step, in the order of execution.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.transactions.iter().flat_map(|transaction| &transaction.steps)
    }

    /// Returns whether the plan drops databases, and the user has not said yet what is left of their data.
    pub(crate) fn lacks_backup(&self) -> bool {
        self.needs_backup && !self.dropped_databases().is_empty()
    }

    /// Returns the databases that the plan drops.
    #[must_use]
    pub fn dropped_databases(&self) -> BTreeSet<&DatabaseName> {
        let drops = self.steps().filter(|step| step.action == Action::DropDatabase);
        drops.filter_map(|step| step.database.as_ref()).collect()
    }

    /// Returns the hazards of all steps.
    #[must_use]
    pub fn hazards(&self) -> BTreeSet<Hazard> {
        self.steps().flat_map(|step| step.hazards.iter().copied()).collect()
    }
}

/// Computes the digest of a plan. A saved plan, whose statements are texts, has the same digest.
///
/// It also covers the version of rdsprov: another version can execute other statements for the same
/// step.
pub(super) fn digest<S: Serialize>(
    environment: &str,
    origin: &Origin,
    transactions: &[Transaction<S>],
    refusals: &[Refusal],
    observed: &Basis,
    pending: &[Step<S>],
) -> String {
    /// The data of the refusals: another wording does not change a digest.
    #[derive(Serialize)]
    struct RefusalData<'a>(#[serde(serialize_with = "refusal::stored::serialize")] &'a [Refusal]);
    let plan = (VERSION, environment, origin, transactions, RefusalData(refusals), observed);
    // The origin says whether the plan is additive.
    if pending.is_empty() { sha256_json(&plan) } else { sha256_json(&(plan, pending)) }
}
