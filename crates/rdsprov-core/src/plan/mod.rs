//! The plan: the pure difference between desired and observed state, as an ordered list of steps.
//!
//! No clock, no network, no randomness: equal inputs give equal bytes. What is only known when the
//! plan runs (a password's verifier, the build id) stands in a statement as a slot, see [`Statement`].

mod acl;
mod blocked;
mod database;
mod databases;
mod default_privileges;
mod delegation;
mod extensions;
mod markdown;
mod orphans;
mod ownership;
mod planner;
mod relations;
mod render;
mod roles;
pub mod rotation;
mod saved;
mod schemas;
mod settings;
mod sql;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::Desired;
use crate::digest::sha256_json;
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName};
use crate::observed::Observed;
use crate::secrets::SecretId;

pub(crate) use markdown::escaped;
pub use planner::required_relation_names;
pub(crate) use render::visible;
pub use saved::{Differences, Origin, SavedPlan, SavedPlanError, Stale};
pub use sql::{SlotError, Slots, Statement};

/// The version of the JSON form.
pub const FORMAT_VERSION: u32 = 2;

/// All of a closed set, in order: one that is left out does not compile.
macro_rules! all_of {
    ($set:ident: $($one:ident),+) => {
        impl $set {
            /// All of them.
            pub const ALL: [Self; [$(stringify!($one)),+].len()] = [$(Self::$one),+];
        }
        const _: fn($set) = |one| match one {
            $($set::$one => {})+
        };
    };
}

/// What a step does.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each says what it is")]
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

all_of!(Action: CreateRole, AlterRole, SetPassword, CreateSecret, CreateDatabase, AlterDatabase, CreateSchema, AlterSchema, CreateExtension, ReassignOwned, Grant, Revoke, DefaultPrivileges, SetParameter, Adopt, CreatePending, TestPassword, FinishRotation, RestorePassword);

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateRole => "create_role",
            Self::AlterRole => "alter_role",
            Self::SetPassword => "set_password",
            Self::CreateSecret => "create_secret",
            Self::CreateDatabase => "create_database",
            Self::AlterDatabase => "alter_database",
            Self::CreateSchema => "create_schema",
            Self::AlterSchema => "alter_schema",
            Self::CreateExtension => "create_extension",
            Self::ReassignOwned => "reassign_owned",
            Self::Grant => "grant",
            Self::Revoke => "revoke",
            Self::DefaultPrivileges => "default_privileges",
            Self::SetParameter => "set_parameter",
            Self::Adopt => "adopt",
            Self::CreatePending => "create_pending",
            Self::TestPassword => "test_password",
            Self::FinishRotation => "finish_rotation",
            Self::RestorePassword => "restore_password",
        })
    }
}

/// What a step may break for somebody.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Hazard {
    /// Somebody loses a privilege or a membership.
    RevokesAccess,
    /// An object gets another owner.
    ChangesOwner,
    /// A password that worked works no longer.
    ResetsPassword,
    /// Something that was not managed becomes so.
    Adopts,
    /// A database that everybody could enter is closed.
    ClosesToPublic,
}

all_of!(Hazard: RevokesAccess, ChangesOwner, ResetsPassword, Adopts, ClosesToPublic);

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RevokesAccess => "revokes_access",
            Self::ChangesOwner => "changes_owner",
            Self::ResetsPassword => "resets_password",
            Self::Adopts => "adopts",
            Self::ClosesToPublic => "closes_to_public",
        })
    }
}

impl std::str::FromStr for Hazard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|hazard| hazard.to_string() == text).ok_or_else(|| {
            let known: Vec<String> = Self::ALL.iter().map(ToString::to_string).collect();
            format!("no such hazard; the hazards are {}", known.join(", "))
        })
    }
}

/// Who carries out a step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecuteAs {
    /// The administrator, as it is.
    Administrator,
    /// The administrator after `SET LOCAL ROLE`.
    Role(RoleName),
}

/// The role that whoever owns the database is a member of, from 14 on, and nobody else: to become it one has
/// to be able to become the owner.
const DATABASE_OWNER: &str = "pg_database_owner";

/// What a membership of the administrator is for; the options of `GRANT` on 16 and later.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MembershipOption {
    /// To become the role.
    Set,
    /// To have its privileges, too, without becoming it.
    Inherit,
}

/// Roles that the administrator has to be a member of.
pub type Memberships = BTreeMap<RoleName, MembershipOption>;

/// The way into a schema that a role does not have: the schema's owner grants `USAGE` for the step, and
/// takes it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemporaryUsage {
    /// The schema.
    pub schema: SchemaName,
    /// Who carries out the step.
    #[serde(alias = "role")]
    pub grantee: RoleName,
    /// Who owns the schema.
    #[serde(alias = "keeper")]
    pub granted_by: ExecuteAs,
}

/// One thing that changes. Its statements are [`Statement`]s, or texts where it was read from a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step<S = Statement> {
    /// What it does.
    pub action: Action,
    /// The application it is for.
    pub application: ApplicationName,
    /// The role concerned.
    pub role: Option<RoleName>,
    /// The database concerned.
    pub database: Option<DatabaseName>,
    /// In words.
    pub summary: String,
    /// Who carries it out.
    #[serde(alias = "acting")]
    pub execute_as: ExecuteAs,
    /// What the administrator has to be a member of for it, beside the role it acts as.
    #[serde(alias = "borrowed", default, skip_serializing_if = "Memberships::is_empty")]
    pub temporary_memberships: Memberships,
    /// The ways into schemas that who carries it out may not use.
    #[serde(alias = "passages", default, skip_serializing_if = "Vec::is_empty")]
    pub temporary_usage: Vec<TemporaryUsage>,
    /// How.
    pub statements: Vec<S>,
    /// What it may break.
    pub hazards: BTreeSet<Hazard>,
}

/// Where a transaction runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// In the administrator's database, on what all databases share.
    Cluster,
    /// In the administrator's database, making a database ready for use.
    NewDatabase(DatabaseName),
    /// In the database.
    Database(DatabaseName),
}

/// Steps that hold together or not at all; see [`Step`] for what its statements are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transaction<S = Statement> {
    /// Where it runs.
    pub scope: Scope,
    /// What must run before it, since it cannot be part of a transaction.
    pub before: Option<S>,
    /// The roles that the administrator is made a member of, for the length of the transaction.
    pub memberships: Memberships,
    /// Those of them in which it is a member already, though not in the way that is needed: its own grant
    /// of that comes back, with these values of `INHERIT` and `SET`.
    #[serde(alias = "restored", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub memberships_to_restore: BTreeMap<RoleName, (bool, bool)>,
    /// The steps.
    pub steps: Vec<Step<S>>,
}

/// Why nothing may be done, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// The application.
    pub application: ApplicationName,
    /// What stands in the way.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// The statement in the remedy, where there is one.
    pub manual_fix: Option<ManualFix>,
}

/// A statement that somebody with more power can run to open the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ManualFix {
    /// Where; anywhere, for what all databases share.
    pub database: Option<DatabaseName>,
    /// The sql: statement, or several with `;` between them.
    pub sql: String,
}

/// What is known before two states are compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretFindings {
    /// What forbids it all.
    pub refusals: Vec<Refusal>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// Which version of each secret was read, where secrets have versions.
    pub versions: BTreeMap<SecretId, String>,
    /// The secrets that are not there and are to be made, each with a new password.
    pub new_secrets: BTreeSet<SecretId>,
}

/// An application as the plan knows it, for the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlannedApplication {
    /// Its key.
    pub application: ApplicationName,
    /// Its database.
    pub database: DatabaseName,
    /// Its role.
    pub role: RoleName,
}

/// A managed role or database that has left the definitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Orphan {
    /// `role` or `database`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The application that made it.
    pub application: String,
    /// What a role still holds, as far as was looked; a database's owner.
    pub holds: Vec<String>,
}

/// A database that a declared role made for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Undeclared {
    /// The database.
    pub database: DatabaseName,
    /// The role.
    pub owner: RoleName,
    /// The role's application.
    pub application: ApplicationName,
    /// Whether a pattern of the application names it: it is kept closed to PUBLIC.
    pub closed: bool,
}

/// What would be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Plan {
    /// The version of the JSON form.
    pub format_version: u32,
    /// The environment.
    pub environment: String,
    /// `sha256:…` over what would be done and the observed state it rests on.
    pub digest: String,
    /// `sha256:…` over that observed state alone.
    pub observed: String,
    /// The server's major version.
    pub server_major: u32,
    /// The transactions, in order.
    pub transactions: Vec<Transaction>,
    /// What forbids it all.
    pub refusals: Vec<Refusal>,
    /// Managed, but no longer declared.
    pub orphaned: Vec<Orphan>,
    /// Made by declared roles, and not declared.
    pub undeclared: Vec<Undeclared>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// What cannot be looked at before this plan has run; what is found then is another plan's.
    pub deferred: Vec<String>,
    /// The applications, in order.
    pub applications: Vec<PlannedApplication>,
    /// Statements of which the catalogs do not tell whether the administrator may run them in a database:
    /// to a member of `rds_superuser`, RDS may allow what a stock server does not. Who can should try each
    /// there, undo it, note the answer in [`Observed::probe_results`], and plan again.
    #[serde(skip)]
    pub probes: BTreeMap<DatabaseName, BTreeSet<String>>,
}

impl<S> Step<S> {
    /// What the administrator does as it is, for an application: of no role and no database, and no hazard.
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
    /// All that the administrator has to be a member of for it.
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
    /// The difference between what is wanted and what is there. `findings` are what was found before
    /// (see [`crate::secrets`]); the plan adds its own.
    #[must_use]
    pub fn new(desired: &Desired, observed: &Observed, findings: SecretFindings) -> Self {
        planner::plan(desired, observed, findings).with_digest(desired, observed)
    }

    /// With the digest over what would be done and the observed state it rests on.
    fn with_digest(mut self, desired: &Desired, observed: &Observed) -> Self {
        // What else happens on the server does not touch this plan.
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

    /// Whether there is nothing to do. There may still be something in the way: see
    /// [`Plan::refusals`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// Every step, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.transactions.iter().flat_map(|transaction| &transaction.steps)
    }

    /// Every hazard of the plan.
    #[must_use]
    pub fn hazards(&self) -> BTreeSet<Hazard> {
        self.steps().flat_map(|step| step.hazards.iter().copied()).collect()
    }
}

/// The digest of a plan. A saved plan is held against the same, its statements being texts.
fn digest<S: Serialize>(
    environment: &str,
    transactions: &[Transaction<S>],
    refusals: &[Refusal],
    observed: &str,
) -> String {
    sha256_json(&(environment, transactions, refusals, observed))
}
