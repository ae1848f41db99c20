//! `GRANT`, `REVOKE` and `ALTER DEFAULT PRIVILEGES`.

use super::Statement;
use crate::name::{DatabaseName, RoleName, SchemaName, in_words, quote};
use crate::object_identity::ObjectIdentity;
use crate::observed::Grantee;
use crate::privilege::{ObjectKind, Privilege, Privileges};

fn list(privileges: &Privileges) -> String {
    privileges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The object of a grant or revocation.
#[derive(Debug, Clone)]
pub enum GrantTarget {
    Database(DatabaseName),
    Schema(SchemaName),
    Relations { kind: ObjectKind, schema: SchemaName, names: Vec<String> },
    AllRelations { kind: ObjectKind, schema: SchemaName },
    Columns { schema: SchemaName, relation: String, names: Vec<String> },
    Object { kind: ObjectKind, identity: ObjectIdentity },
}

impl GrantTarget {
    fn sql(&self) -> String {
        match self {
            Self::Database(name) => format!("DATABASE {}", name.quoted()),
            Self::Schema(name) => format!("SCHEMA {}", name.quoted()),
            Self::Relations { kind, schema, names } => {
                let names: Vec<String> = names
                    .iter()
                    .map(|name| format!("{}.{}", schema.quoted(), quote(name)))
                    .collect();
                format!("{} {}", kind.keyword(), names.join(", "))
            }
            Self::AllRelations { kind, schema } => {
                format!("ALL {}S IN SCHEMA {}", kind.keyword(), schema.quoted())
            }
            Self::Columns { schema, relation, .. } => {
                format!("TABLE {}.{}", schema.quoted(), quote(relation))
            }
            Self::Object { kind, identity } => format!("{} {}", kind.keyword(), identity.sql()),
        }
    }

    /// Returns the privileges as SQL; on columns, each privilege lists them.
    fn privileges(&self, privileges: &Privileges) -> String {
        let Self::Columns { names, .. } = self else { return list(privileges) };
        let columns = names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ");
        let each = privileges.iter().map(|privilege| format!("{privilege} ({columns})"));
        each.collect::<Vec<_>>().join(", ")
    }

    /// Returns whether the object is a large object, which PUBLIC may create.
    pub fn is_large_object(&self) -> bool {
        matches!(self, Self::Object { kind: ObjectKind::LargeObject, .. })
    }

    /// Returns the object in words: `table public.orders`.
    pub fn words(&self) -> String {
        let listed = |names: &[String]| {
            names.iter().map(|name| in_words(name)).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Database(name) => format!("database {name}"),
            Self::Schema(name) => format!("schema {}", name.in_words()),
            Self::Relations { kind, schema, names } => {
                let schema = schema.in_words();
                let kind = kind.keyword().to_lowercase();
                match names.as_slice() {
                    [one] => format!("{kind} {schema}.{}", in_words(one)),
                    few if few.len() <= 3 => {
                        format!("{kind}s {} of schema {schema}", listed(few))
                    }
                    many => format!("{} {kind}s of schema {schema}", many.len()),
                }
            }
            Self::AllRelations { kind, schema } => {
                let schema = schema.in_words();
                format!("all {}s of schema {schema}", kind.keyword().to_lowercase())
            }
            Self::Columns { schema, relation, names } => {
                let schema = schema.in_words();
                let word = if names.len() == 1 { "column" } else { "columns" };
                format!("{word} {} of table {schema}.{}", listed(names), in_words(relation))
            }
            Self::Object { kind, identity } => {
                format!("{} {identity}", kind.keyword().to_lowercase())
            }
        }
    }
}

/// Returns a role, or PUBLIC, as SQL.
fn grantee_sql(grantee: &Grantee) -> String {
    match grantee {
        Grantee::Public => "PUBLIC".to_owned(),
        Grantee::Role(role) => role.quoted(),
    }
}

pub fn grant(privileges: &Privileges, target: &GrantTarget, grantee: &Grantee) -> Statement {
    granting(privileges, target, grantee, "")
}

/// Grants privileges with the grant option.
pub fn grant_with_grant_option(
    privileges: &Privileges,
    target: &GrantTarget,
    grantee: &Grantee,
) -> Statement {
    granting(privileges, target, grantee, " WITH GRANT OPTION")
}

fn granting(
    privileges: &Privileges,
    target: &GrantTarget,
    grantee: &Grantee,
    option: &'static str,
) -> Statement {
    let before = format!("GRANT {} ON {} TO", target.privileges(privileges), target.sql());
    Statement::of_grantee(before, grantee_sql(grantee), option)
}

/// The part of a privilege that is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RevokeScope {
    /// The privilege and its grant option.
    Privilege,
    /// The grant option only.
    GrantOption,
}

impl RevokeScope {
    fn sql(self) -> &'static str {
        match self {
            Self::Privilege => "",
            Self::GrantOption => "GRANT OPTION FOR ",
        }
    }
}

/// Revokes what the current role granted.
pub fn revoke(
    scope: RevokeScope,
    privileges: &Privileges,
    target: &GrantTarget,
    grantee: &Grantee,
) -> Statement {
    revocation(scope, privileges, target, grantee, "")
}

/// Revokes what the current role granted, and what the grantee granted to others.
pub fn revoke_cascade(
    scope: RevokeScope,
    privileges: &Privileges,
    target: &GrantTarget,
    grantee: &Grantee,
) -> Statement {
    revocation(scope, privileges, target, grantee, " CASCADE")
}

fn revocation(
    scope: RevokeScope,
    privileges: &Privileges,
    target: &GrantTarget,
    grantee: &Grantee,
    behavior: &'static str,
) -> Statement {
    let before =
        format!("REVOKE {}{} ON {} FROM", scope.sql(), target.privileges(privileges), target.sql());
    Statement::of_grantee(before, grantee_sql(grantee), behavior)
}

/// Grants `USAGE` on a schema.
pub fn grant_usage(schema: &SchemaName, role: &RoleName) -> Statement {
    let usage = Privileges::from([Privilege::Usage]);
    grant(&usage, &GrantTarget::Schema(schema.clone()), &Grantee::Role(role.clone()))
}

pub(super) fn revoke_usage(schema: &SchemaName, role: &RoleName) -> Statement {
    let usage = Privileges::from([Privilege::Usage]);
    let (target, role) = (GrantTarget::Schema(schema.clone()), Grantee::Role(role.clone()));
    revoke(RevokeScope::Privilege, &usage, &target, &role)
}

fn default_privileges(creator: &RoleName, schema: Option<&SchemaName>) -> String {
    let schema = schema.map(|s| format!(" IN SCHEMA {}", s.quoted())).unwrap_or_default();
    format!("ALTER DEFAULT PRIVILEGES FOR ROLE {}{schema}", creator.quoted())
}

pub fn grant_default(
    creator: &RoleName,
    schema: &SchemaName,
    kind: ObjectKind,
    privileges: &Privileges,
    grantee: &RoleName,
) -> Statement {
    let before = format!(
        "{} GRANT {} ON {}S TO",
        default_privileges(creator, Some(schema)),
        list(privileges),
        kind.keyword()
    );
    Statement::of_grantee(before, grantee.quoted(), "")
}

pub fn revoke_default(
    scope: RevokeScope,
    creator: &RoleName,
    schema: Option<&SchemaName>,
    kind: ObjectKind,
    privileges: &Privileges,
    grantee: &Grantee,
) -> Statement {
    let before = format!(
        "{} REVOKE {}{} ON {}S FROM",
        default_privileges(creator, schema),
        scope.sql(),
        list(privileges),
        kind.keyword()
    );
    Statement::of_grantee(before, grantee_sql(grantee), "")
}
