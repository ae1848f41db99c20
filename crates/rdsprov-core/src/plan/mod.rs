//! The plan: the difference between the desired and the observed state, as an ordered list of transactions.
//!
//! This module does not know connections, clocks, environment variables or randomness: equal inputs
//! give equal bytes. Values that are known only at execution, such as a verifier or the build id,
//! are slots in a [`Statement`].

mod acl;
mod blocked;
mod database;
mod databases;
mod default_privileges;
mod delegation;
mod explanations;
mod extensions;
mod hazard;
mod markdown;
mod note;
mod orphans;
mod ownership;
mod planner;
mod refusal;
mod relations;
mod render;
mod roles;
pub mod rotation;
mod saved;
mod schemas;
mod settings;
mod sql;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::Desired;
use crate::digest::sha256_json;
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName};
use crate::observed::Observed;
use crate::secrets::SecretId;

pub use hazard::Hazard;
pub(crate) use markdown::escaped;
pub use note::{Note, NoteCode, NoteKind};
pub use planner::required_relation_names;
pub use refusal::{
    Executor, ManualFix, Preparation, Refusal, RefusalCode, RefusalKind, Remedy, WordedRefusal,
};
pub(crate) use render::visible;
pub use saved::{Differences, Origin, SavedPlan, SavedPlanError, Stale};
pub use sql::{SlotError, Slots, Statement};

/// The version of the JSON form of plans and saved plans.
pub const FORMAT_VERSION: u32 = 2;

/// What a step does. The names, in snake case, are in JSON and in the records.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumIter,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[allow(missing_docs, reason = "the names say what each does")]
pub enum Action {
    CreateRole,
    AlterRole,
    SetPassword,
    CreateSecret,
    CreateDatabase,
    AlterDatabase,
    CreateSchema,
    AlterSchema,
    CreateExtension,
    ReassignOwned,
    Grant,
    Revoke,
    DefaultPrivileges,
    SetParameter,
    Adopt,
    CreatePending,
    TestPassword,
    FinishRotation,
    RestorePassword,
}

impl Action {
    /// Returns every action, in the order of the documentation.
    pub fn all() -> impl Iterator<Item = Self> {
        <Self as strum::IntoEnumIterator>::iter()
    }
}

/// The role as which a step is executed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecuteAs {
    /// The administrator itself.
    Administrator,
    /// The administrator after `SET LOCAL ROLE` to this role.
    Role(RoleName),
}

/// The predefined role whose only member is the owner of the current database, from PostgreSQL 14 on. A role that
/// can act as the owner can also act as this role.
const DATABASE_OWNER: &str = "pg_database_owner";

/// The options of a membership that the administrator needs; `GRANT` has them from PostgreSQL 16 on.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MembershipOption {
    /// `SET`: the administrator can act as the role.
    Set,
    /// `INHERIT` and `SET`: the administrator also has the privileges of the role without acting as it.
    Inherit,
}

/// The roles that the administrator must be a member of.
pub type Memberships = BTreeMap<RoleName, MembershipOption>;

/// `USAGE` on a schema that the owner of the schema grants to a role for one step and revokes afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemporaryUsage {
    /// The schema that contains the objects of the step.
    pub schema: SchemaName,
    /// The role as which the step is executed.
    #[serde(alias = "role")]
    pub grantee: RoleName,
    /// The role as which the privilege is granted: the owner of the schema.
    #[serde(alias = "keeper")]
    pub granted_by: ExecuteAs,
}

/// One change. `S` is [`Statement`], or [`String`] in a plan that was read from a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step<S = Statement> {
    /// The kind of change.
    pub action: Action,
    /// The application whose entry requires the change.
    pub application: ApplicationName,
    /// The role that is changed or that gets or loses privileges.
    pub role: Option<RoleName>,
    /// The database that is changed, or that contains the changed object.
    pub database: Option<DatabaseName>,
    /// The change in words, without the action.
    pub summary: String,
    /// The role as which the statements are executed.
    #[serde(alias = "acting")]
    pub execute_as: ExecuteAs,
    /// The roles, other than `execute_as`, that the administrator must be a member of for this step.
    #[serde(alias = "borrowed", default, skip_serializing_if = "Memberships::is_empty")]
    pub temporary_memberships: Memberships,
    /// The schemas on which the executing role needs `USAGE` for this step.
    #[serde(alias = "passages", default, skip_serializing_if = "Vec::is_empty")]
    pub temporary_usage: Vec<TemporaryUsage>,
    /// The SQL statements, in order.
    pub statements: Vec<S>,
    /// The effects that can break something.
    pub hazards: BTreeSet<Hazard>,
}

/// The place where a transaction runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// In the administrator database, on roles and databases.
    Cluster,
    /// In the administrator database, on a database that `before` creates.
    NewDatabase(DatabaseName),
    /// In a database, on the objects in it.
    Database(DatabaseName),
}

/// Steps that are committed or rolled back together. `S` is the type of the statements, as in [`Step`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transaction<S = Statement> {
    /// The place where it runs.
    pub scope: Scope,
    /// A statement that runs first, because PostgreSQL does not allow it in a transaction: `CREATE DATABASE`.
    pub before: Option<S>,
    /// The temporary memberships of the administrator: granted and revoked in this transaction.
    pub memberships: Memberships,
    /// The roles among `memberships` of which the administrator is a member with other options: its own grant is
    /// restored at the end, with these values of `INHERIT` and `SET`.
    #[serde(alias = "restored", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub memberships_to_restore: BTreeMap<RoleName, (bool, bool)>,
    /// The steps.
    pub steps: Vec<Step<S>>,
}

/// The results of reading the secrets, before the states are compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// A managed role or database that the definitions no longer declare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Orphan {
    /// `role` or `database`.
    pub kind: &'static str,
    /// The name of the role or database.
    pub name: String,
    /// The application in its marker.
    pub application: String,
    /// For a role, what it owns and which privileges it has in the observed databases; for a database, its owner.
    pub holds: Vec<String>,
}

/// An undeclared database that belongs to a declared role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Undeclared {
    /// The name of the database.
    pub database: DatabaseName,
    /// The declared role that owns it.
    pub owner: RoleName,
    /// The application of the role.
    pub application: ApplicationName,
    /// Whether it is a plugin database, so that rdsprov closes it to PUBLIC.
    pub closed: bool,
}

/// The changes that give the desired state, and what prevents or accompanies them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Plan {
    /// The version of the JSON form.
    pub format_version: u32,
    /// The environment of the definitions.
    pub environment: String,
    /// `sha256:…` of the transactions, the refusals and the observed state that they are based on.
    pub digest: String,
    /// `sha256:…` of this observed state alone.
    pub observed: String,
    /// The major version of the server: `16`.
    pub server_major: u32,
    /// The transactions, in the order of execution.
    pub transactions: Vec<Transaction>,
    /// The reasons why the plan must not be applied.
    pub refusals: Vec<Refusal>,
    /// The orphans: managed, but no longer declared.
    pub orphaned: Vec<Orphan>,
    /// The undeclared databases of declared roles.
    pub undeclared: Vec<Undeclared>,
    /// Facts that do not stop the plan.
    pub notes: Vec<Note>,
    /// What cannot be compared before this plan is applied. `apply` compares it in its second plan.
    pub deferred: Vec<String>,
    /// The applications, by database and role.
    pub applications: Vec<PlannedApplication>,
    /// The probes: statements for which the catalogs do not show whether the administrator may execute them in a
    /// database, because RDS allows more to members of `rds_superuser` than PostgreSQL does. The caller executes
    /// each one, rolls it back, adds the result to [`Observed::probe_results`], and plans again.
    #[serde(skip)]
    pub probes: BTreeMap<DatabaseName, BTreeSet<String>>,
}

impl<S> Step<S> {
    /// Creates a step that the administrator executes as itself, without a role, database or hazard.
    fn plain(
        action: Action,
        application: &ApplicationName,
        summary: String,
        statements: Vec<S>,
    ) -> Self {
        Self {
            action,
            application: application.clone(),
            role: None,
            database: None,
            summary,
            execute_as: ExecuteAs::Administrator,
            temporary_memberships: Memberships::new(),
            temporary_usage: Vec::new(),
            statements,
            hazards: BTreeSet::new(),
        }
    }
}

impl Step {
    /// Returns all memberships that the administrator needs for the step.
    #[must_use]
    pub fn memberships(&self) -> Memberships {
        let mut memberships = self.temporary_memberships.clone();
        let grantors = self.temporary_usage.iter().map(|usage| &usage.granted_by);
        for execute_as in [&self.execute_as].into_iter().chain(grantors) {
            if let ExecuteAs::Role(role) = execute_as
                && role.as_str() != DATABASE_OWNER
            {
                memberships.entry(role.clone()).or_insert(MembershipOption::Set);
            }
        }
        memberships
    }
}

impl Plan {
    /// Compares the desired with the observed state. The plan contains the refusals and notes of `findings` (see
    /// [`crate::secrets`]) and its own.
    #[must_use]
    pub fn new(desired: &Desired, observed: &Observed, findings: SecretFindings) -> Self {
        planner::plan(desired, observed, findings).with_digest(desired, observed)
    }

    /// Adds the digest of the changes and of the observed state that they are based on.
    fn with_digest(mut self, desired: &Desired, observed: &Observed) -> Self {
        // Changes to undeclared roles and databases must not make the plan stale.
        let roles: Vec<_> =
            observed.roles.iter().filter(|(name, _)| desired.roles.contains_key(name)).collect();
        let databases: Vec<_> = observed
            .databases
            .iter()
            .filter(|(name, _)| desired.databases.contains_key(name))
            .collect();
        self.observed = sha256_json(&(&observed.administrator, roles, databases));
        self.digest = digest(&self.environment, &self.transactions, &self.refusals, &self.observed);
        self
    }

    /// Returns whether there is nothing to change. A plan without changes can still have [`Plan::refusals`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// Returns every step, in the order of execution.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.transactions.iter().flat_map(|transaction| &transaction.steps)
    }

    /// Returns the hazards of all steps.
    #[must_use]
    pub fn hazards(&self) -> BTreeSet<Hazard> {
        self.steps().flat_map(|step| step.hazards.iter().copied()).collect()
    }
}

/// Computes the digest of a plan. A saved plan, whose statements are texts, has the same digest.
fn digest<S: Serialize>(
    environment: &str,
    transactions: &[Transaction<S>],
    refusals: &[Refusal],
    observed: &str,
) -> String {
    /// The data of the refusals: another wording does not change a digest.
    #[derive(Serialize)]
    struct RefusalData<'a>(#[serde(serialize_with = "refusal::stored::serialize")] &'a [Refusal]);
    sha256_json(&(environment, transactions, RefusalData(refusals), observed))
}
