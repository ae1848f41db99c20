//! The statements with which a transaction verifies that its names still mean the observed
//! databases and roles.

use strum::IntoEnumIterator as _;

use super::Statement;
#[cfg(any(feature = "postgres", test))]
use crate::name::RoleName;
use crate::name::{DatabaseName, literal};
#[cfg(feature = "postgres")]
use crate::plan::identity::GlobalObject;
use crate::plan::{DatabaseOid, Identities, PrivilegedAttribute, Scope};

/// The SQLSTATE of a check that finds another state than that of the plan. PostgreSQL does not use it.
pub const CHANGED_SINCE_PLAN: &str = "RDSP1";

/// The parameter in which a transaction keeps the OID of the database that the plan has created.
const CREATED_OID: &str = "rdsprov.created_oid";

/// When identities are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the first step: nothing is executed in another database.
    Start,
    /// Before `COMMIT`: nothing is committed if a name got another meaning after the start. A changed
    /// row of a catalog is locked until then.
    End,
}

impl PrivilegedAttribute {
    /// Returns the column of `pg_roles` and the name in SQL.
    fn sql(self) -> (&'static str, &'static str) {
        match self {
            Self::Superuser => ("rolsuper", "SUPERUSER"),
            Self::CreateRole => ("rolcreaterole", "CREATEROLE"),
            Self::Replication => ("rolreplication", "REPLICATION"),
            Self::BypassRls => ("rolbypassrls", "BYPASSRLS"),
        }
    }
}

/// Returns the OID of a database that the plan has created.
pub(super) fn created_oid(database: &DatabaseName) -> Statement {
    let name = literal(database.as_str());
    Statement::plain(format!("SELECT oid FROM pg_catalog.pg_database WHERE datname = {name}"))
}

/// Stores the OID of a created database until the end of the transaction.
pub(super) fn store_created_oid(database: &DatabaseName) -> Statement {
    Statement::created_oid(format!("SET LOCAL {CREATED_OID} ="), database)
}

/// Fails ([`CHANGED_SINCE_PLAN`]) if a name means another database or role than in the plan, if a
/// database has another owner, if a role gained an attribute, or if a role that the plan creates exists
/// already. The error has the fields of [`exchanged`].
///
/// The name of the current database is not written: it can be stored in another encoding.
pub(super) fn verify_identities(
    scope: &Scope,
    identities: &Identities,
    moment: Moment,
) -> Statement {
    let databases = identities.databases.iter().map(|(name, database)| {
        let oid = match database.oid {
            DatabaseOid::Observed(oid) => format!("{oid}::oid"),
            DatabaseOid::Created => format!("current_setting('{CREATED_OID}')::oid"),
            DatabaseOid::Unknown => "NULL::oid".to_owned(),
        };
        let owner = match (moment, &database.new_owner) {
            (Moment::End, Some(owner)) => owner,
            _ => &database.owner,
        };
        let name = match scope {
            Scope::Database(current) if current == name => "current_database()".to_owned(),
            _ => format!("{}::name", literal(name.as_str())),
        };
        format!("({name}, {oid}, {})", literal(owner.as_str()))
    });
    let roles = identities.roles.iter().map(|(name, role)| {
        let oid = role.oid.map_or_else(|| "NULL::oid".to_owned(), |oid| format!("{oid}::oid"));
        let attributes: Vec<String> =
            role.attributes.iter().map(|one| literal(one.sql().1)).collect();
        format!("({}, {oid}, ARRAY[{}]::text[])", literal(name.as_str()), attributes.join(", "))
    });
    let [databases, roles] = [databases.collect::<Vec<_>>(), roles.collect::<Vec<_>>()];
    let mut changes = Vec::new();
    if !databases.is_empty() {
        changes.push(format!(
            "SELECT 'pg_database', e.name, CASE WHEN d.oid IS NULL THEN format('database %s was dropped or renamed after it was observed', e.name) \
             WHEN d.oid <> e.oid THEN format('database %s is not the database that was observed: it was dropped and created again, or renamed', e.name) \
             WHEN pg_get_userbyid(d.datdba) <> e.owner THEN format('database %s belongs to role %s instead of %s', e.name, pg_get_userbyid(d.datdba), e.owner) END \
             FROM (VALUES {}) e(name, oid, owner) LEFT JOIN pg_database d ON d.datname = e.name",
            databases.join(", ")
        ));
    }
    if !roles.is_empty() {
        let held = PrivilegedAttribute::iter().map(|attribute| {
            let (column, name) = attribute.sql();
            format!("({}, r.{column})", literal(name))
        });
        // A role without an OID is created by the plan: by a step of the first transaction, or by none
        // if that step is left out. Another role can have created it in the meantime.
        let created = match (scope, moment) {
            (Scope::Cluster, Moment::Start) => {
                "WHEN e.oid IS NULL AND r.oid IS NOT NULL THEN format('role %s was created after the server was observed', e.name) "
            }
            _ => "",
        };
        changes.push(format!(
            "SELECT 'pg_roles', e.name, CASE {created}WHEN r.oid IS NULL AND e.oid IS NOT NULL THEN format('role %s was dropped or renamed after it was observed', e.name) \
             WHEN r.oid <> e.oid THEN format('role %s is not the role that was observed: it was dropped and created again, or renamed', e.name) \
             WHEN a.gained IS NOT NULL THEN format('role %s has got the attribute %s after it was observed', e.name, a.gained) END \
             FROM (VALUES {}) e(name, oid, attributes) LEFT JOIN pg_roles r ON r.rolname = e.name \
             CROSS JOIN LATERAL (SELECT string_agg(h.attribute, ' and ') AS gained FROM (VALUES {}) h(attribute, held) \
             WHERE h.held AND h.attribute <> ALL (e.attributes)) a",
            roles.join(", "),
            held.collect::<Vec<_>>().join(", ")
        ));
    }
    let body = format!(
        "DECLARE c record; \
         BEGIN SELECT * INTO c FROM ({}) found(catalog, name, change) WHERE found.change IS NOT NULL LIMIT 1; \
         IF FOUND THEN RAISE EXCEPTION USING ERRCODE = '{CHANGED_SINCE_PLAN}', MESSAGE = c.change, \
         TABLE = c.catalog, COLUMN = c.name; END IF; END",
        changes.join(" UNION ALL ")
    );
    Statement::plain(format!("DO {}", literal(&body)))
}

/// Returns the database or role for which a check has failed, from the table and the column of the
/// error.
#[cfg(feature = "postgres")]
pub fn exchanged(table: Option<&str>, column: Option<&str>) -> Option<GlobalObject> {
    match (table?, column?) {
        ("pg_database", name) => Some(GlobalObject::Database(DatabaseName::new_unchecked(name))),
        ("pg_roles", name) => Some(GlobalObject::Role(RoleName::new_unchecked(name))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::plan::{DatabaseIdentity, RoleIdentity};

    fn identities(oid: DatabaseOid) -> Identities {
        let (old, new) = (RoleName::new_unchecked("o'ld"), RoleName::new_unchecked("new"));
        let database = DatabaseIdentity { oid, owner: old.clone(), new_owner: Some(new.clone()) };
        let attributes = BTreeSet::from([PrivilegedAttribute::CreateRole]);
        let known = RoleIdentity { oid: Some(12), attributes };
        let created = RoleIdentity { oid: None, attributes: BTreeSet::new() };
        Identities {
            databases: BTreeMap::from([(DatabaseName::new_unchecked("de's%k"), database)]),
            roles: BTreeMap::from([(old, known), (new, created)]),
        }
    }

    /// The body is a literal, so each quote in the literals in it is doubled once more.
    #[test]
    fn expected_values_are_literals() {
        let current = Scope::Database(DatabaseName::new_unchecked("de's%k"));
        let (observed, created) = (DatabaseOid::Observed(7), DatabaseOid::Created);
        for (scope, oid, moment, row) in [
            (
                &Scope::Cluster,
                observed,
                Moment::Start,
                "(''de''''s%k''::name, 7::oid, ''o''''ld'')",
            ),
            (&Scope::Cluster, observed, Moment::End, "(''de''''s%k''::name, 7::oid, ''new'')"),
            (&current, observed, Moment::Start, "(current_database(), 7::oid, ''o''''ld'')"),
            (
                &current,
                created,
                Moment::End,
                "(current_database(), current_setting(''rdsprov.created_oid'')::oid, ''new'')",
            ),
            (
                &current,
                DatabaseOid::Unknown,
                Moment::End,
                "(current_database(), NULL::oid, ''new'')",
            ),
        ] {
            let text = verify_identities(scope, &identities(oid), moment).redacted();
            assert!(text.contains(&format!("(VALUES {row}) e(name, oid, owner)")), "{row}: {text}");
            let roles = "(VALUES (''new'', NULL::oid, ARRAY[]::text[]), (''o''''ld'', 12::oid, \
                         ARRAY[''CREATEROLE'']::text[])) e(name, oid, attributes)";
            assert!(text.contains(roles), "{text}");
        }
    }
}
