//! What somebody else than the administrator has to do first: refusals with the one statement that opens the
//! way, for whoever has the power to run it.

use super::Opening;
use super::acl::{AclDiff, Revoke};
use super::databases::listed;
use super::diff::Planner;
use super::inside::revoked;
use super::sql::{self, Target};
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName};
use crate::observed::Grantee;

/// What an ACL belongs to, for the words of a refusal.
pub(super) struct Place<'a> {
    pub target: &'a Target,
    pub owner: &'a RoleName,
    /// Where a statement about it has to run; anywhere, for what all databases share.
    pub database: Option<&'a DatabaseName>,
    pub application: &'a ApplicationName,
}

/// What only another role than the administrator can do.
pub(super) struct ForAnother<'a> {
    pub verb: &'a str,
    pub summary: String,
    /// Who can.
    pub master: &'a RoleName,
    /// The schemas that it would have to be let into first.
    pub closed: &'a [SchemaName],
    /// Whom it concerns.
    pub role: Option<&'a RoleName>,
    /// Whether the statement names a schema that is yet to be made.
    pub schema_to_come: bool,
    pub statement: String,
}

impl Planner<'_> {
    /// Refuses where somebody holds a privilege through a grant option that has to go; says whether.
    pub(super) fn refuse_held_through(&mut self, place: &Place<'_>, found: &AclDiff) -> bool {
        for held in &found.held_through {
            let holder = match &held.holder {
                Grantee::Public => "PUBLIC".to_owned(),
                Grantee::Role(role) => format!("role {role}"),
            };
            let again = sql::grant(&held.privileges, place.target, &held.holder);
            let of_through = found
                .revoke
                .iter()
                .filter(|revoke| revoke.grantee == Grantee::Role(held.through.clone()))
                .map(|revoke| revoked(revoke, place.target).1.shown());
            let option = if held.grantable { " WITH GRANT OPTION" } else { "" };
            let mut statements = vec![again.shown() + option];
            for statement in of_through {
                let cascade = statement.trim_end_matches(" CASCADE").to_owned() + " CASCADE";
                statements.push(cascade);
            }
            self.refuse_until(
                place.application,
                format!(
                    "{holder} holds {} on {} through the grant option of role {}, which is not declared",
                    listed(&held.privileges),
                    place.target.words(),
                    held.through
                ),
                &format!("role {} or a superuser", place.owner),
                Opening {
                    database: place.database.cloned(),
                    statement: statements.join("; "),
                },
            );
        }
        !found.held_through.is_empty()
    }

    /// Refuses a revocation that is for somebody to make as whom the administrator cannot act.
    pub(super) fn refuse_revoke(
        &mut self,
        place: &Place<'_>,
        revoke: &Revoke,
        closed: &[SchemaName],
    ) {
        let (summary, statement) = revoked(revoke, place.target);
        let statement = if revoke.grantor == *place.owner {
            statement.shown()
        } else {
            sql::let_in(&revoke.grantor, closed, sql::as_role(&revoke.grantor, &statement))
        };
        let role = match &revoke.grantee {
            Grantee::Public => None,
            Grantee::Role(role) => Some(role),
        };
        let master = &revoke.grantor;
        let verb = "revoke";
        self.refuse_for_another(
            place,
            ForAnother { verb, summary, master, closed, role, schema_to_come: false, statement },
        );
    }

    pub(super) fn refuse_for_another(&mut self, place: &Place<'_>, what: ForAnother<'_>) {
        let ForAnother { verb, summary, master, closed, role, schema_to_come, statement } = what;
        let is_superuser = self.observed.roles.get(master).is_some_and(|seen| seen.superuser);
        if is_superuser && self.desired.roles.contains_key(master) {
            // That is refused for itself, and power over it comes with the end of it.
            return;
        }
        let in_database =
            place.database.map(|name| format!("in database {name}, ")).unwrap_or_default();
        let (why, who) = if closed.is_empty() {
            (
                "as which the administrator cannot act".to_owned(),
                format!("role {master} or a superuser"),
            )
        } else {
            let schemas: Vec<&str> = closed.iter().map(SchemaName::as_str).collect();
            (
                format!(
                    "which may not use schema {}, and the administrator cannot act for who owns that",
                    schemas.join(" and schema ")
                ),
                "a superuser".to_owned(),
            )
        };
        let message =
            format!("{in_database}\"{verb} {summary}\" is for role {master} to do, {why}");
        let can_run_now = !schema_to_come
            && role.is_none_or(|role| self.observed.roles.contains_key(role))
            && place.database.is_none_or(|name| self.observed.databases.contains_key(name));
        let opens = if can_run_now {
            let opens = Opening { database: place.database.cloned(), statement: statement.clone() };
            Some((who.clone(), opens))
        } else {
            self.without_names_to_come(place, master, closed)
        };
        match opens {
            Some((who, opens)) => self.refuse_until(place.application, message, &who, opens),
            None => self.refuse(
                place.application,
                message,
                format!(
                    "leave it out for now, apply the rest, and have {who} run then: {statement};"
                ),
            ),
        }
    }

    /// Who can open the way with a statement that names nothing that is yet to be made, and the statement: the
    /// administrator becomes a member, or relations of a superuser go to the database's owner.
    fn without_names_to_come(
        &self,
        place: &Place<'_>,
        master: &RoleName,
        closed: &[SchemaName],
    ) -> Option<(String, Opening)> {
        let superuser = || "a superuser".to_owned();
        let administrator = &self.observed.administrator.name;
        let seen = self.observed.roles.get(master)?;
        if !closed.is_empty() {
            let statements: Vec<String> =
                closed.iter().map(|schema| sql::grant_usage(schema, master).shown()).collect();
            let statement = statements.join("; ");
            return Some((superuser(), Opening { database: place.database.cloned(), statement }));
        }
        if !seen.superuser {
            let may = !seen.has_administrator;
            return may.then(|| {
                let statement = sql::grant_role(master, administrator).shown();
                let who = format!("whoever has ADMIN OPTION on role {master}, or a superuser,");
                (who, Opening { database: None, statement })
            });
        }
        let database = place.database?;
        let owner = &self.observed.databases.get(database)?.owner;
        let statements = sql::change_owner_of_relations(place.target, owner)?;
        let statement = statements.join("; ");
        Some((superuser(), Opening { database: Some(database.clone()), statement }))
    }
}
