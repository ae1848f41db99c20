//! Refusals of steps that a role other than the administrator must execute, with the
//! statement for that role.

use super::acl::{AclDiff, Revoke};
use super::planner::Planner;
use super::sql::{self, GrantTarget, Statement};
use super::words::revoked;
use super::{
    DATABASE_OWNER, Executor, ManualFix, MembershipOption, Preparation, RefusalKind, Remedy,
};
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName};

/// The object of an ACL, for the sentence of a refusal.
pub(super) struct AclContext<'a> {
    pub target: &'a GrantTarget,
    pub owner: &'a RoleName,
    /// The role that has all privileges of the owner: the owner of the database for `pg_database_owner`.
    pub effective_owner: &'a RoleName,
    /// The roles of which one owns the object until the plan gives it to `owner`.
    pub former_owners: &'a [RoleName],
    /// The database in which its statements must run; any database for a privilege on a database.
    pub database: Option<&'a DatabaseName>,
    pub application: &'a ApplicationName,
}

/// A step that a role other than the administrator must execute.
pub(super) struct BlockedStep<'a> {
    pub verb: &'a str,
    pub summary: String,
    /// The role that can execute it: an owner or a grantor.
    pub required_role: &'a RoleName,
    /// The schemas on which this role has no `USAGE`.
    pub unusable_schemas: &'a [SchemaName],
    /// The role that gets or loses privileges.
    pub role: Option<&'a RoleName>,
    /// Whether the statement names a schema that the plan creates.
    pub schema_is_planned: bool,
    pub statements: Vec<Statement>,
}

impl Planner<'_> {
    /// Refuses a revocation if roles that are not managed have privileges through the revoked grant
    /// option. Returns whether it refused. `unusable_schemas` are those on which the owner of the object has
    /// no `USAGE`, so that it cannot name the object.
    ///
    /// A declared owner has its privileges by itself, and does not need those that another role granted to it.
    pub(super) fn refuse_dependent_grants(
        &mut self,
        context: &AclContext<'_>,
        acl_diff: &AclDiff,
        unusable_schemas: &[SchemaName],
    ) -> bool {
        let owner = context.effective_owner;
        let owner = self.desired.roles.contains_key(owner).then_some(owner);
        let of_others: Vec<_> = acl_diff
            .dependent_grants
            .iter()
            .filter(|held| owner.is_none() || held.holder.role() != owner)
            .collect();
        for held in &of_others {
            let grant = if held.grantable { sql::grant_with_grant_option } else { sql::grant };
            // The next plan then takes nothing from the holder. A revocation by hand would leave the
            // dependent privilege while `through` has the option through a membership, too.
            let statements = vec![grant(&held.privileges, context.target, &held.holder)];
            let (executor, fix) = if !unusable_schemas.is_empty() {
                (Executor::Superuser, statements.into())
            } else if context.former_owners.is_empty() {
                (self.executor(context.owner), statements.into())
            } else {
                // The object still belongs to one of these roles: PostgreSQL takes the owner as the grantor of
                // a role that has its privileges.
                let owners = context.former_owners.iter().chain([context.owner]);
                let owners = owners.filter(|role| {
                    **role != self.observed.administrator.name
                        && role.as_str() != DATABASE_OWNER
                        && self.observed.roles.contains_key(*role)
                });
                let memberships = owners.map(|role| (role.clone(), MembershipOption::Inherit));
                let fix = self.fix_by_administrator(statements, memberships.collect());
                (Executor::Administrator, fix)
            };
            self.refuse_with_fix(
                context.application,
                RefusalKind::DependentGrant {
                    holder: held.holder.clone(),
                    privileges: held.privileges.clone(),
                    object: context.target.words(),
                    through: held.through.clone(),
                },
                executor,
                fix.in_database(context.database),
            );
        }
        !of_others.is_empty()
    }

    /// Refuses a revocation whose grantor is a role as which the administrator cannot act.
    pub(super) fn refuse_revoke(
        &mut self,
        context: &AclContext<'_>,
        revoke: &Revoke,
        unusable_schemas: &[SchemaName],
    ) {
        let (summary, statement) = revoked(revoke, context.target);
        let statements = if revoke.grantor == *context.owner {
            vec![statement]
        } else {
            let executor = if unusable_schemas.is_empty() {
                self.executor(&revoke.grantor)
            } else {
                Executor::Superuser
            };
            let statements = sql::as_role(&executor, &revoke.grantor, statement);
            sql::with_schema_usage(&revoke.grantor, unusable_schemas, statements)
        };
        let role = revoke.grantee.role();
        let required_role = &revoke.grantor;
        let verb = "revoke";
        self.refuse_blocked_step(
            context,
            BlockedStep {
                verb,
                summary,
                required_role,
                unusable_schemas,
                role,
                schema_is_planned: false,
                statements,
            },
        );
    }

    pub(super) fn refuse_blocked_step(
        &mut self,
        context: &AclContext<'_>,
        blocked: BlockedStep<'_>,
    ) {
        let BlockedStep {
            verb,
            summary,
            required_role,
            unusable_schemas,
            role,
            schema_is_planned,
            statements,
        } = blocked;
        let is_superuser =
            self.observed.roles.get(required_role).is_some_and(|seen| seen.superuser);
        if is_superuser && self.desired.roles.contains_key(required_role) {
            // The SUPERUSER attribute is refused separately. Without it, the administrator can
            // act as the role.
            return;
        }
        let step = format!("{verb} {summary}");
        let (database, role_name) = (context.database.cloned(), required_role.clone());
        let can_act = self.act_as(required_role).is_some();
        let (kind, executor) = if unusable_schemas.is_empty() || !can_act {
            let kind = RefusalKind::StepOfOtherRole { database, step, role: role_name };
            // The role itself cannot name the object without `USAGE`.
            let can_use = unusable_schemas.is_empty();
            (kind, if can_use { self.executor(required_role) } else { Executor::Superuser })
        } else {
            let schemas = unusable_schemas.to_vec();
            let kind = RefusalKind::SchemaUsageMissing { database, step, role: role_name, schemas };
            if let Some(remedy) = self.usage_from_owner(context, required_role, unusable_schemas) {
                self.refuse_with(context.application, kind, remedy);
                return;
            }
            (kind, Executor::Superuser)
        };
        let can_run_now = !schema_is_planned
            && role.is_none_or(|role| self.observed.roles.contains_key(role))
            && context.database.is_none_or(|name| self.observed.databases.contains_key(name));
        let fix = ManualFix::from(statements).in_database(context.database);
        let remedy = if can_run_now {
            Remedy::Run(executor, fix)
        } else {
            let unusable_schemas = if can_act { unusable_schemas } else { &[] };
            match self.fix_without_planned_names(context, required_role, unusable_schemas) {
                Some((executor, fix)) => Remedy::Run(executor, fix),
                None => Remedy::RunLater(Preparation::ApplyRest, executor, fix),
            }
        };
        self.refuse_with(context.application, kind, remedy);
    }

    /// Returns the statements with which the owner of schemas grants `USAGE` on them, if one
    /// role that is not a superuser owns them all.
    fn usage_from_owner(
        &self,
        context: &AclContext<'_>,
        required_role: &RoleName,
        schemas: &[SchemaName],
    ) -> Option<Remedy> {
        let database = context.database?;
        let contents = self.observed.databases.get(database)?.contents.as_ref()?;
        let owner = |schema| contents.schemas.get(schema).map(|seen| &seen.owner);
        let [first, others @ ..] = schemas else { return None };
        let one = owner(first)?;
        if others.iter().any(|other| owner(other) != Some(one)) {
            return None;
        }
        let executor = self.executor(one);
        let statements: Vec<Statement> =
            schemas.iter().map(|schema| sql::grant_usage(schema, required_role)).collect();
        let fix = ManualFix::from(statements).in_database(database);
        (executor != Executor::Superuser).then_some(Remedy::Run(executor, fix))
    }

    /// Returns statements that name nothing that the plan creates, and the role that can execute
    /// them: they make the administrator a member, grant `USAGE`, or give the relations of a
    /// superuser to the owner of the database.
    fn fix_without_planned_names(
        &mut self,
        context: &AclContext<'_>,
        required_role: &RoleName,
        unusable_schemas: &[SchemaName],
    ) -> Option<(Executor, ManualFix)> {
        let seen = self.observed.roles.get(required_role)?;
        if !unusable_schemas.is_empty() {
            let schemas = unusable_schemas.iter();
            let statements: Vec<Statement> =
                schemas.map(|schema| sql::grant_usage(schema, required_role)).collect();
            let fix = ManualFix::from(statements).in_database(context.database);
            return Some((Executor::Superuser, fix));
        }
        if !seen.superuser {
            return match self.remedy_for_authority(required_role) {
                Remedy::Run(executor, fix) => Some((executor, fix)),
                Remedy::None | Remedy::RunLater(..) => None,
            };
        }
        let database = context.database?;
        let owner = &self.observed.databases.get(database)?.owner;
        let statements = sql::change_owner_of_relations(context.target, owner)?;
        Some((Executor::Superuser, ManualFix::from(statements).in_database(database)))
    }
}
