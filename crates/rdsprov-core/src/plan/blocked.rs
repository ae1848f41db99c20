//! What somebody else than the administrator has to do first: refusals with the one statement that opens the
//! way, for whoever has the power to run it.

use super::ManualFix;
use super::acl::{AclDiff, Revoke};
use super::database::revoked;
use super::databases::listed;
use super::planner::Planner;
use super::sql::{self, GrantTarget};
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName};
use crate::observed::Grantee;

/// What an ACL belongs to, for the words of a refusal.
pub(super) struct AclContext<'a> {
    pub target: &'a GrantTarget,
    pub owner: &'a RoleName,
    /// Where a statement about it has to run; anywhere, for what all databases share.
    pub database: Option<&'a DatabaseName>,
    pub application: &'a ApplicationName,
}

/// What only another role than the administrator can do.
pub(super) struct BlockedStep<'a> {
    pub verb: &'a str,
    pub summary: String,
    /// Who can.
    pub required_role: &'a RoleName,
    /// The schemas that it would have to be let into first.
    pub unusable_schemas: &'a [SchemaName],
    /// Whom it concerns.
    pub role: Option<&'a RoleName>,
    /// Whether the statement names a schema that is yet to be made.
    pub schema_is_planned: bool,
    pub statement: String,
}

impl Planner<'_> {
    /// Refuses where somebody holds a privilege through a grant option that has to go; says whether.
    pub(super) fn refuse_dependent_grants(
        &mut self,
        context: &AclContext<'_>,
        acl_diff: &AclDiff,
    ) -> bool {
        for held in &acl_diff.dependent_grants {
            let holder = match &held.holder {
                Grantee::Public => "PUBLIC".to_owned(),
                Grantee::Role(role) => format!("role {role}"),
            };
            let again = sql::grant(&held.privileges, context.target, &held.holder);
            let of_through = acl_diff
                .revoke
                .iter()
                .filter(|revoke| revoke.grantee == Grantee::Role(held.through.clone()))
                .map(|revoke| revoked(revoke, context.target).1.redacted());
            let option = if held.grantable { " WITH GRANT OPTION" } else { "" };
            let mut statements = vec![again.redacted() + option];
            for statement in of_through {
                let cascade = statement.trim_end_matches(" CASCADE").to_owned() + " CASCADE";
                statements.push(cascade);
            }
            self.refuse_with_fix(
                context.application,
                format!(
                    "{holder} holds {} on {} through the grant option of role {}, which is not declared",
                    listed(&held.privileges),
                    context.target.words(),
                    held.through
                ),
                &format!("role {} or a superuser", context.owner),
                ManualFix {
                    database: context.database.cloned(),
                    sql: statements.join("; "),
                },
            );
        }
        !acl_diff.dependent_grants.is_empty()
    }

    /// Refuses a revocation that is for somebody to make as whom the administrator cannot act.
    pub(super) fn refuse_revoke(
        &mut self,
        context: &AclContext<'_>,
        revoke: &Revoke,
        unusable_schemas: &[SchemaName],
    ) {
        let (summary, statement) = revoked(revoke, context.target);
        let statement = if revoke.grantor == *context.owner {
            statement.redacted()
        } else {
            sql::with_schema_usage(
                &revoke.grantor,
                unusable_schemas,
                sql::as_role(&revoke.grantor, &statement),
            )
        };
        let role = match &revoke.grantee {
            Grantee::Public => None,
            Grantee::Role(role) => Some(role),
        };
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
                statement,
            },
        );
    }

    pub(super) fn refuse_blocked_step(&mut self, context: &AclContext<'_>, what: BlockedStep<'_>) {
        let BlockedStep {
            verb,
            summary,
            required_role,
            unusable_schemas,
            role,
            schema_is_planned,
            statement,
        } = what;
        let is_superuser =
            self.observed.roles.get(required_role).is_some_and(|seen| seen.superuser);
        if is_superuser && self.desired.roles.contains_key(required_role) {
            // That is refused for itself, and power over it comes with the end of it.
            return;
        }
        let in_database =
            context.database.map(|name| format!("in database {name}, ")).unwrap_or_default();
        let (why, who) = if unusable_schemas.is_empty() {
            (
                "as which the administrator cannot act".to_owned(),
                format!("role {required_role} or a superuser"),
            )
        } else {
            let schemas: Vec<&str> = unusable_schemas.iter().map(SchemaName::as_str).collect();
            (
                format!(
                    "which may not use schema {}, and the administrator cannot act for who owns that",
                    schemas.join(" and schema ")
                ),
                "a superuser".to_owned(),
            )
        };
        let message =
            format!("{in_database}\"{verb} {summary}\" is for role {required_role} to do, {why}");
        let can_run_now = !schema_is_planned
            && role.is_none_or(|role| self.observed.roles.contains_key(role))
            && context.database.is_none_or(|name| self.observed.databases.contains_key(name));
        let manual_fix = if can_run_now {
            let manual_fix =
                ManualFix { database: context.database.cloned(), sql: statement.clone() };
            Some((who.clone(), manual_fix))
        } else {
            self.fix_without_planned_names(context, required_role, unusable_schemas)
        };
        match manual_fix {
            Some((who, manual_fix)) => {
                self.refuse_with_fix(context.application, message, &who, manual_fix)
            }
            None => self.refuse(
                context.application,
                message,
                format!(
                    "leave it out for now, apply the rest, and have {who} run then: {statement};"
                ),
            ),
        }
    }

    /// Who can open the way with a statement that names nothing that is yet to be made, and the statement: the
    /// administrator becomes a member, or relations of a superuser go to the database's owner.
    fn fix_without_planned_names(
        &self,
        context: &AclContext<'_>,
        required_role: &RoleName,
        unusable_schemas: &[SchemaName],
    ) -> Option<(String, ManualFix)> {
        let superuser = || "a superuser".to_owned();
        let administrator = &self.observed.administrator.name;
        let seen = self.observed.roles.get(required_role)?;
        if !unusable_schemas.is_empty() {
            let statements: Vec<String> = unusable_schemas
                .iter()
                .map(|schema| sql::grant_usage(schema, required_role).redacted())
                .collect();
            let statement = statements.join("; ");
            return Some((
                superuser(),
                ManualFix { database: context.database.cloned(), sql: statement },
            ));
        }
        if !seen.superuser {
            let may = !seen.is_member_of_administrator;
            return may.then(|| {
                let statement = sql::grant_role(required_role, administrator).redacted();
                let who =
                    format!("whoever has ADMIN OPTION on role {required_role}, or a superuser,");
                (who, ManualFix { database: None, sql: statement })
            });
        }
        let database = context.database?;
        let owner = &self.observed.databases.get(database)?.owner;
        let statements = sql::change_owner_of_relations(context.target, owner)?;
        let statement = statements.join("; ");
        Some((superuser(), ManualFix { database: Some(database.clone()), sql: statement }))
    }
}
