//! The steps of a plan, and the transactions that they are in.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AuditRow, Hazard, Identities, Statement, words};
use crate::audit_table::{AuditTableName, REVERTED};
use crate::name::{ApplicationName, DatabaseName, LOCK_DATABASE, RoleName, SchemaName};
use crate::named_enum::named_enum;
use crate::observed::Code;

named_enum! {
    /// What a step does. The names, in snake case, are in JSON and in the records.
    #[allow(missing_docs, reason = "the names say what each does")]
    "snake_case" pub enum Action {
        CreateRole,
        AlterRole,
        SetPassword,
        EndSessions,
        CreateSecret,
        DeleteSecret,
        DropRole,
        CreateDatabase,
        AlterDatabase,
        DropDatabase,
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
}

/// The role as which a step is executed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecuteAs {
    /// The administrator, without `SET ROLE`.
    Administrator,
    /// The administrator after `SET LOCAL ROLE` to this role.
    Role(RoleName),
}

/// The predefined role whose only member is the owner of the current database, from PostgreSQL 14
/// on. A role that can act as the owner can also act as this role.
pub(crate) const DATABASE_OWNER: &str = "pg_database_owner";

/// The options of a membership that the administrator needs; `GRANT` has them
/// from PostgreSQL 16 on.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MembershipOption {
    /// `SET`: the administrator can act as the role.
    Set,
    /// `INHERIT` and `SET`: the administrator also has the privileges of the role
    /// without acting as it.
    Inherit,
}

/// The roles that the administrator must be a member of.
pub type Memberships = BTreeMap<RoleName, MembershipOption>;

/// `USAGE` on a schema that the owner of the schema grants to a role for one
/// step and revokes afterwards.
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
    /// The role of which the role becomes a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<RoleName>,
    /// The database that is changed, or that contains the changed object.
    pub database: Option<DatabaseName>,
    /// The change in words, without the action.
    pub summary: String,
    /// The role as which the statements are executed.
    #[serde(alias = "acting")]
    pub execute_as: ExecuteAs,
    /// The roles, other than `execute_as`, that the administrator must be a member
    /// of for this step.
    #[serde(alias = "borrowed", default, skip_serializing_if = "Memberships::is_empty")]
    pub temporary_memberships: Memberships,
    /// The schemas on which the executing role needs `USAGE` for this step.
    #[serde(alias = "passages", default, skip_serializing_if = "Vec::is_empty")]
    pub temporary_usage: Vec<TemporaryUsage>,
    /// The SQL statements, in order.
    pub statements: Vec<S>,
    /// The effects that can break something.
    pub hazards: BTreeSet<Hazard>,
    /// The roles with `LOGIN` that can no longer connect to the database, because they could through
    /// PUBLIC only.
    #[serde(default)]
    pub locked_out: BTreeSet<RoleName>,
    /// The other roles with `LOGIN` that can no longer create temporary tables in the database, because they
    /// could through PUBLIC only.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub without_temporary: BTreeSet<RoleName>,
    /// The ids of the secrets, if the step changes from which secret the role has its password.
    #[serde(default)]
    pub changed_secret: Option<ChangedSecret>,
    /// The code of other roles that the new owner gets, in a step with the hazard `hands_over_code`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub code: Vec<Code>,
    /// The statements with which the administrator reverts the step, if the step could prevent its own
    /// login or that of the delegate. They follow from the step, so that no document contains them.
    #[serde(skip)]
    pub(crate) reverting: Vec<Statement>,
    /// Whether the step is in a transaction of its own, after the logins that prove that no step has
    /// prevented them.
    #[serde(skip)]
    pub(super) after_logins: bool,
    /// Whether the step replaces or removes a value that a role has, such as a setting: see
    /// [`Step::takes_access`].
    #[serde(skip)]
    pub(super) replaces: bool,
}

/// The roles with `LOGIN` that lose access with the privileges of PUBLIC.
#[derive(Debug, Default)]
pub(super) struct LostThroughPublic {
    /// Those that cannot connect to the database any more.
    pub connect: BTreeSet<RoleName>,
    /// The others that cannot create temporary tables any more.
    pub temporary: BTreeSet<RoleName>,
}

/// What a role can no longer do in a database without `CONNECT`, and without `TEMPORARY`.
const CONNECT: &str = "connect";
const TEMPORARY: &str = "create temporary tables";

/// The secrets of a role before and after a step with the hazard `changes_secret`, or a step that deletes
/// its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangedSecret {
    /// The id that the marker of the role contains; `null` if the role uses IAM tokens.
    pub old: Option<String>,
    /// The id that the definitions give; `null` if the role will use IAM tokens, or none.
    pub new: Option<String>,
}

/// The place where a transaction runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// In the administrator database, on roles and databases.
    Cluster,
    /// In the administrator database, on a database that `before` creates.
    NewDatabase(DatabaseName),
    /// In the administrator database, outside a transaction: `before` drops this database, which
    /// belongs to the administrator.
    DroppedDatabase(DatabaseName),
    /// In Secrets Manager, without statements: each step is a call of its own.
    Secrets,
    /// In a database, on the objects in it.
    Database(DatabaseName),
}

impl Scope {
    /// Returns the database that is created, or in which the transaction runs.
    pub(super) fn database(&self) -> Option<&DatabaseName> {
        match self {
            Self::Cluster | Self::Secrets => None,
            Self::NewDatabase(name) | Self::DroppedDatabase(name) | Self::Database(name) => {
                Some(name)
            }
        }
    }

    /// Returns the database whose audit table contains the rows of the transaction: the one in which the
    /// transaction runs. Calls of Secrets Manager have no rows.
    pub(crate) fn audited_database(&self) -> Option<DatabaseName> {
        match self {
            Self::Secrets => None,
            Self::Database(name) => Some(name.clone()),
            Self::Cluster | Self::NewDatabase(_) | Self::DroppedDatabase(_) => {
                Some(DatabaseName::new_unchecked(LOCK_DATABASE))
            }
        }
    }
}

/// Steps that are committed or rolled back together. `S` is the type of the
/// statements, as in [`Step`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transaction<S = Statement> {
    /// The place where it runs.
    pub scope: Scope,
    /// A statement that runs first, because PostgreSQL does not allow it in
    /// a transaction: `CREATE DATABASE` and `DROP DATABASE`.
    pub before: Option<S>,
    /// The temporary memberships of the administrator: granted and revoked in this transaction.
    pub memberships: Memberships,
    /// The roles among `memberships` of which the administrator is a member with other options: its
    /// own grant is restored at the end, with these values of `INHERIT` and `SET`.
    #[serde(alias = "restored", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub memberships_to_restore: BTreeMap<RoleName, (bool, bool)>,
    /// The databases and roles that the steps are planned for. The transaction fails if one of them
    /// is another one than when it was observed.
    #[serde(default, skip_serializing_if = "Identities::is_empty")]
    pub identities: Identities,
    /// The audit table into which the transaction writes one row for each step; `null` if the run writes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditTarget>,
    /// The steps, in the order of execution.
    pub steps: Vec<Step<S>>,
}

/// The audit table of the database in which a transaction runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditTarget {
    /// The name of the table.
    pub table: AuditTableName,
    /// Whether the transaction creates the table, unless another one has created it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub creates: bool,
    /// The owner of the database, of which the administrator is a temporary member to create the schema of
    /// the table; `null` if it may do so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_as_member_of: Option<RoleName>,
}

impl<S> Step<S> {
    /// Returns whether the transaction of the step makes the change, so that its audit row belongs to it: logins
    /// and calls of Secrets Manager are outside of it.
    pub(crate) fn has_audit_row(&self) -> bool {
        !matches!(
            self.action,
            Action::CreateSecret
                | Action::DeleteSecret
                | Action::CreatePending
                | Action::TestPassword
                | Action::FinishRotation
        )
    }

    /// Creates a step that the administrator executes as itself, without a
    /// role, database or hazard.
    pub(super) fn new(
        action: Action,
        application: &ApplicationName,
        summary: String,
        statements: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            action,
            application: application.clone(),
            role: None,
            group: None,
            database: None,
            summary,
            execute_as: ExecuteAs::Administrator,
            temporary_memberships: Memberships::new(),
            temporary_usage: Vec::new(),
            statements: statements.into_iter().collect(),
            hazards: BTreeSet::new(),
            locked_out: BTreeSet::new(),
            without_temporary: BTreeSet::new(),
            changed_secret: None,
            code: Vec::new(),
            reverting: Vec::new(),
            after_logins: false,
            replaces: false,
        }
    }

    /// Creates a step for a test of another module.
    #[cfg(test)]
    pub(crate) fn sample(action: Action, application: &ApplicationName, summary: &str) -> Self {
        Self::new(action, application, summary.to_owned(), [])
    }

    /// Creates a step on a role that the administrator executes as itself, without a database or
    /// hazard.
    pub(super) fn on_role(
        role: &RoleName,
        application: &ApplicationName,
        action: Action,
        summary: String,
        statements: impl IntoIterator<Item = S>,
    ) -> Self {
        Self::new(action, application, summary, statements).for_role(role)
    }

    /// Sets the role that is changed or that gets or loses privileges.
    pub(super) fn for_role<'a>(mut self, role: impl Into<Option<&'a RoleName>>) -> Self {
        self.role = role.into().cloned();
        self
    }

    /// Sets the role of which the role of the step becomes a member.
    pub(super) fn for_membership_in(mut self, group: &RoleName) -> Self {
        self.group = Some(group.clone());
        self
    }

    /// Sets the database that is changed, or that contains the changed object.
    pub(super) fn in_database(mut self, database: &DatabaseName) -> Self {
        self.database = Some(database.clone());
        self
    }

    /// Sets the role as which the statements are executed.
    pub(super) fn executed_as(mut self, execute_as: ExecuteAs) -> Self {
        self.execute_as = execute_as;
        self
    }

    /// Sets the roles, other than the executing role, that the administrator must be a member of.
    pub(super) fn with_memberships(
        mut self,
        memberships: impl IntoIterator<Item = (RoleName, MembershipOption)>,
    ) -> Self {
        self.temporary_memberships = memberships.into_iter().collect();
        self
    }

    /// Adds the hazard of a step that revokes privileges on a database from PUBLIC, with the roles that lose
    /// access with it.
    pub(super) fn closing_to_public(mut self, lost: LostThroughPublic) -> Self {
        for (roles, access) in [(&lost.connect, CONNECT), (&lost.temporary, TEMPORARY)] {
            if !roles.is_empty() {
                let names = words::some_of(roles);
                self.summary = format!("{}; {names} can no longer {access}", self.summary);
            }
        }
        self.locked_out = lost.connect;
        self.without_temporary = lost.temporary;
        self.with_hazards([Hazard::ClosesToPublic])
    }

    /// Returns what the step takes away together with the privileges of PUBLIC, in words, and all roles that
    /// lose it, if the summary does not name each.
    pub(super) fn lost_if_cut(&self) -> impl Iterator<Item = (&'static str, String)> {
        let lost = [(CONNECT, &self.locked_out), (TEMPORARY, &self.without_temporary)];
        lost.into_iter().filter_map(|(access, roles)| Some((access, words::all_if_cut(roles)?)))
    }

    /// Adds the hazard of a step that gives code to a new owner, with the code: the summary counts it.
    pub(super) fn handing_over(mut self, code: &[Code]) -> Self {
        if code.is_empty() {
            return self;
        }
        self.summary = format!("{}; with code: {}", self.summary, words::counted(code));
        self.code = code.to_vec();
        self.code.sort_by(|one, other| words::by_danger(one).cmp(&words::by_danger(other)));
        self.with_hazards([Hazard::HandsOverCode])
    }

    /// Returns the roles as which the administrator acts, those that it must be a member of, and the one
    /// whose privileges the role of the step gets.
    pub(super) fn required_roles(&self) -> impl Iterator<Item = &RoleName> {
        let grantors = self.temporary_usage.iter().map(|usage| &usage.granted_by);
        let acting = std::iter::once(&self.execute_as).chain(grantors);
        let acting = acting.filter_map(|execute_as| match execute_as {
            ExecuteAs::Administrator => None,
            ExecuteAs::Role(role) => Some(role),
        });
        acting.chain(self.temporary_memberships.keys()).chain(&self.group)
    }

    /// Puts the step after the logins that prove that no step has prevented them.
    pub(super) fn after_logins(self) -> Self {
        Self { after_logins: true, ..self }
    }

    /// Sets whether the step replaces or removes a value that a role has.
    pub(super) fn replacing(self, replaces: bool) -> Self {
        Self { replaces, ..self }
    }

    /// Adds effects that can break something.
    pub(super) fn with_hazards(mut self, hazards: impl IntoIterator<Item = Hazard>) -> Self {
        self.hazards.extend(hazards);
        self
    }
}

impl Step {
    /// Returns the row of the step in the audit table, with the texts of the CSV record.
    pub(super) fn audit_row(&self) -> AuditRow {
        AuditRow {
            database: self.database.as_ref().map(ToString::to_string).unwrap_or_default(),
            username: self.role.as_ref().map(ToString::to_string).unwrap_or_default(),
            action: self.action.to_string(),
            status: "success",
            message: self.summary.clone(),
        }
    }

    /// Returns the row about the end of the step, if the run has reverted it.
    pub(super) fn audit_row_of_revert(&self) -> AuditRow {
        let message = format!("{REVERTED}{}", self.summary);
        AuditRow { status: "error", message, ..self.audit_row() }
    }

    /// Returns whether the step sets the password of a role from a secret.
    pub(crate) fn sets_password(&self) -> bool {
        self.statements.iter().any(|statement| statement.secret().is_some())
    }

    /// Sets the statements that revert the step.
    #[must_use]
    pub(super) fn reverted_by(self, reverting: Vec<Statement>) -> Self {
        Self { reverting, ..self }
    }

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
