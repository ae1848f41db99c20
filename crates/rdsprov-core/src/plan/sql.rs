//! Every statement that changes a server. No other module writes SQL that changes roles, databases or privileges.

mod script;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::{MembershipOption, Transaction};
use crate::marker::{Marker, UNFINISHED};
use crate::name::{DatabaseName, ExtensionName, RoleName, SchemaName, literal, quote};
use crate::observed::Grantee;
use crate::privilege::{ObjectKind, Privilege, Privileges};
use crate::secrets::SecretId;
use crate::setting::Parameter;

/// A statement with slots for values that are known only at execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// A statement without slots.
    Sql(String),
    /// A statement that ends with the verifier of a password.
    Password {
        /// The text before the verifier.
        before: String,
        /// The secret with the password.
        secret: SecretId,
    },
    /// The statement that writes a marker with the build id of the run.
    Marker {
        /// The object as SQL: `ROLE "x"` or `DATABASE "x"`.
        object: String,
        /// The present comment, which is kept.
        comment: Option<String>,
        /// The marker, which is appended to it.
        marker: Marker,
    },
}

/// The values for the slots.
pub trait Slots {
    /// Returns the SCRAM verifier of the password in a secret.
    ///
    /// # Errors
    /// Returns an error if the password is not available or cannot be used.
    fn verifier(&self, secret: &SecretId) -> Result<String, SlotError>;
    /// Returns the build id of the run.
    fn build_id(&self) -> &str;
}

/// A slot cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// The password of the secret is not available.
    #[error("the password of secret {0} is not available; make the secret readable and plan again")]
    NoPassword(SecretId),
    /// The verifier cannot be computed.
    #[error("the verifier cannot be computed: {0}")]
    NoVerifier(String),
}

impl Statement {
    /// Returns the statement for readers: a verifier is `<password from SECRET>`, the build id `<build_id>`.
    #[must_use]
    pub fn redacted(&self) -> String {
        match self {
            Self::Sql(text) => text.clone(),
            Self::Password { before, secret } => {
                format!("{before} {}", literal(&format!("<password from {secret}>")))
            }
            Self::Marker { object, comment, marker } => {
                comment_on(object, &marker.append_to(comment.as_deref(), "<build_id>"))
            }
        }
    }

    /// Returns the statement for a `psql` script: a verifier is a variable, the build id is `script`.
    pub(super) fn to_psql(&self, variables: &BTreeMap<&SecretId, String>) -> String {
        match self {
            Self::Sql(text) => text.clone(),
            Self::Password { before, secret } => {
                format!("{before} :'{}'", variables.get(secret).map_or("", String::as_str))
            }
            Self::Marker { object, comment, marker } => {
                comment_on(object, &marker.append_to(comment.as_deref(), "script"))
            }
        }
    }

    /// Returns the statement for the server, with the verifier and not the password.
    ///
    /// # Errors
    /// Returns an error if a slot cannot be filled.
    pub fn executable(&self, slots: &dyn Slots) -> Result<String, SlotError> {
        Ok(match self {
            Self::Sql(text) => text.clone(),
            Self::Password { before, secret } => {
                format!("{before} {}", literal(&slots.verifier(secret)?))
            }
            Self::Marker { object, comment, marker } => {
                comment_on(object, &marker.append_to(comment.as_deref(), slots.build_id()))
            }
        })
    }
}

impl JsonSchema for Statement {
    fn schema_name() -> Cow<'static, str> {
        "Statement".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A statement for readers: a verifier is `<password from SECRET>`, the build id is `<build_id>`.",
            "type": "string",
        })
    }
}

impl Serialize for Statement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}

/// Grants `USAGE` on a schema.
pub fn grant_usage(schema: &SchemaName, role: &RoleName) -> Statement {
    let usage = Privileges::from([Privilege::Usage]);
    grant(&usage, &GrantTarget::Schema(schema.clone()), &Grantee::Role(role.clone()))
}

fn revoke_usage(schema: &SchemaName, role: &RoleName) -> Statement {
    let usage = Privileges::from([Privilege::Usage]);
    let (target, role) = (GrantTarget::Schema(schema.clone()), Grantee::Role(role.clone()));
    revoke(RevokeScope::Privilege, &usage, &target, &role, false)
}

fn grant_membership(role: &RoleName, option: MembershipOption, server_major: u32) -> String {
    let options = match option {
        _ if server_major < 16 => "",
        MembershipOption::Set => " WITH INHERIT FALSE, SET TRUE",
        MembershipOption::Inherit => " WITH INHERIT TRUE, SET TRUE",
    };
    format!("GRANT {} TO CURRENT_USER{options}", role.quoted())
}

/// Returns a statement that requires `ADMIN OPTION` on the role, or `CREATEROLE` before PostgreSQL 16.
pub fn grant_to_current_user(role: &RoleName) -> String {
    format!("GRANT {} TO CURRENT_USER", role.quoted())
}

fn comment_on(object: &str, comment: &str) -> String {
    format!("COMMENT ON {object} IS {}", literal(comment))
}

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
    Object { kind: ObjectKind, identity: String },
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
            Self::Object { kind, identity } => format!("{} {identity}", kind.keyword()),
        }
    }

    /// Returns the privileges as SQL; on columns, each privilege lists them.
    fn privileges(&self, privileges: &Privileges) -> String {
        let Self::Columns { names, .. } = self else { return list(privileges) };
        let columns = names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ");
        let each = privileges.iter().map(|privilege| format!("{privilege} ({columns})"));
        each.collect::<Vec<_>>().join(", ")
    }

    /// Returns the object in words: `table public.orders`.
    pub fn words(&self) -> String {
        match self {
            Self::Database(name) => format!("database {name}"),
            Self::Schema(name) => format!("schema {name}"),
            Self::Relations { kind, schema, names } => {
                let kind = kind.keyword().to_lowercase();
                match names.as_slice() {
                    [one] => format!("{kind} {schema}.{one}"),
                    few if few.len() <= 3 => {
                        format!("{kind}s {} of schema {schema}", few.join(", "))
                    }
                    many => format!("{} {kind}s of schema {schema}", many.len()),
                }
            }
            Self::AllRelations { kind, schema } => {
                format!("all {}s of schema {schema}", kind.keyword().to_lowercase())
            }
            Self::Columns { schema, relation, names } => {
                let word = if names.len() == 1 { "column" } else { "columns" };
                format!("{word} {} of table {schema}.{relation}", names.join(", "))
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

/// Creates a role with the password of a secret, or without a password.
pub fn create_role(role: &RoleName, secret: Option<&SecretId>, attributes: &[String]) -> Statement {
    let create = format!("CREATE ROLE {} {}", role.quoted(), attributes.join(" "));
    match secret {
        Some(secret) => {
            Statement::Password { before: format!("{create} PASSWORD"), secret: secret.clone() }
        }
        None => Statement::Sql(create),
    }
}

pub fn clear_password(role: &RoleName) -> Statement {
    Statement::Sql(format!("ALTER ROLE {} PASSWORD NULL", role.quoted()))
}

pub fn grant_role(group: &RoleName, member: &RoleName) -> Statement {
    Statement::Sql(format!("GRANT {} TO {}", group.quoted(), member.quoted()))
}

pub fn set_password(role: &RoleName, secret: &SecretId) -> Statement {
    Statement::Password {
        before: format!("ALTER ROLE {} PASSWORD", role.quoted()),
        secret: secret.clone(),
    }
}

pub fn alter_role(role: &RoleName, attributes: &[String]) -> Statement {
    Statement::Sql(format!("ALTER ROLE {} {}", role.quoted(), attributes.join(" ")))
}

/// Grants `ADMIN OPTION` on a role without its privileges, from PostgreSQL 16 on.
pub fn grant_administration(role: &RoleName, administrator: &RoleName) -> Statement {
    Statement::Sql(format!(
        "GRANT {} TO {} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
        role.quoted(),
        administrator.quoted()
    ))
}

/// Revokes a membership, or only its `ADMIN OPTION`.
pub fn revoke_membership(
    group: &RoleName,
    member: &RoleName,
    grantor: Option<&RoleName>,
    only_admin_option: bool,
) -> Statement {
    let what = if only_admin_option { "ADMIN OPTION FOR " } else { "" };
    let by = grantor.map(|g| format!(" GRANTED BY {}", g.quoted())).unwrap_or_default();
    Statement::Sql(format!("REVOKE {what}{} FROM {}{by}", group.quoted(), member.quoted()))
}

pub fn set_role_marker(role: &RoleName, comment: Option<String>, marker: Marker) -> Statement {
    Statement::Marker { object: format!("ROLE {}", role.quoted()), comment, marker }
}

pub fn set_database_marker(
    database: &DatabaseName,
    comment: Option<String>,
    marker: Marker,
) -> Statement {
    Statement::Marker { object: format!("DATABASE {}", database.quoted()), comment, marker }
}

/// Sets a parameter of a role in a database, or resets it without a value. Without a role, uses the current one.
pub fn set_parameter(
    role: Option<&RoleName>,
    database: &DatabaseName,
    parameter: &Parameter,
    value: Option<&String>,
) -> Statement {
    let role = role.map_or_else(|| "CURRENT_USER".to_owned(), RoleName::quoted);
    let change = match value {
        Some(value) => format!("SET {} = {}", parameter.quoted(), parameter.value(value)),
        None => format!("RESET {}", parameter.quoted()),
    };
    Statement::Sql(format!("ALTER ROLE {role} IN DATABASE {} {change}", database.quoted()))
}

pub fn create_schema(schema: &SchemaName) -> Statement {
    Statement::Sql(format!("CREATE SCHEMA {}", schema.quoted()))
}

pub fn change_schema_owner(schema: &SchemaName, owner: &RoleName) -> Statement {
    Statement::Sql(format!("ALTER SCHEMA {} OWNER TO {}", schema.quoted(), owner.quoted()))
}

/// Creates an extension and those that it requires. Without a schema, PostgreSQL chooses it.
pub fn create_extension(extension: &ExtensionName, schema: Option<&SchemaName>) -> Statement {
    let schema = schema.map(|schema| format!(" SCHEMA {}", schema.quoted())).unwrap_or_default();
    Statement::Sql(format!("CREATE EXTENSION {}{schema} CASCADE", extension.quoted()))
}

/// Returns a probe that creates extensions one after the other. `information_schema` replaces a schema that does not
/// exist yet.
pub fn extension_probe(
    made: &Transaction,
    schema: Option<&SchemaName>,
    server_major: u32,
) -> String {
    let schema = schema.map(|schema| format!("{}, ", schema.quoted())).unwrap_or_default();
    let all = made.script(server_major).into_iter().map(|(_, statement)| statement.redacted());
    let within = all.filter(|text| text != "BEGIN" && text != "COMMIT");
    let path = format!("SET LOCAL search_path TO {schema}information_schema");
    std::iter::once(path).chain(within).collect::<Vec<_>>().join("; ")
}

/// Transfers the objects of a role in the current database, and all databases and tablespaces of the role.
pub fn reassign_owned(from: &RoleName, to: &RoleName) -> Statement {
    Statement::Sql(format!("REASSIGN OWNED BY {} TO {}", from.quoted(), to.quoted()))
}

/// An object with an owner that all databases share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SharedObject<'a> {
    Database(&'a DatabaseName),
    Tablespace(&'a str),
}

impl SharedObject<'_> {
    pub fn change_owner(self, owner: &RoleName) -> Statement {
        match self {
            Self::Database(name) => change_owner(name, owner),
            Self::Tablespace(name) => change_object_owner("TABLESPACE", &quote(name), owner),
        }
    }

    /// Returns the object in words: `database shop`.
    fn words(self) -> String {
        match self {
            Self::Database(name) => format!("database {name}"),
            Self::Tablespace(name) => format!("tablespace {name}"),
        }
    }
}

/// Fails if a role owns other shared objects than these, except the current database and its subscriptions: `REASSIGN
/// OWNED` would transfer them.
pub fn assert_owns_only(role: &RoleName, shared: &BTreeSet<SharedObject<'_>>) -> Statement {
    let words: BTreeSet<String> = shared.iter().map(|one| one.words()).collect();
    let words: Vec<String> = words.iter().map(|one| literal(one)).collect();
    let body = format!(
        "DECLARE who oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = {name}); BEGIN IF ARRAY(SELECT what FROM (SELECT 'database ' || datname FROM pg_catalog.pg_database WHERE datdba = who AND datname <> current_database() UNION ALL SELECT 'tablespace ' || spcname FROM pg_catalog.pg_tablespace WHERE spcowner = who UNION ALL SELECT 'subscription ' || subname FROM pg_catalog.pg_subscription JOIN pg_catalog.pg_database d ON d.oid = subdbid WHERE subowner = who AND datname <> current_database()) owned(what) ORDER BY what COLLATE \"C\") IS DISTINCT FROM ARRAY[{shared}]::text[] THEN RAISE EXCEPTION 'role % owns other databases, tablespaces or subscriptions than in the plan; plan again', {name}; END IF; END",
        name = literal(role.as_str()),
        shared = words.join(", ")
    );
    Statement::Sql(format!("DO {}", literal(&body)))
}

/// Transfers the objects of a role in the current database, and the database. Its other shared objects are parked with
/// a temporary owner that has no privileges, so that `REASSIGN OWNED` cannot merge two ACL entries.
pub fn reassign_database_only(
    from: &RoleName,
    to: &RoleName,
    temporary_owner: &RoleName,
    shared: &BTreeSet<SharedObject<'_>>,
) -> Vec<Statement> {
    let mut statements: Vec<Statement> =
        shared.iter().map(|one| one.change_owner(temporary_owner)).collect();
    statements.push(reassign_owned(from, to));
    statements.extend(shared.iter().map(|one| one.change_owner(from)));
    statements
}

/// Wraps statements of a manual fix in a transaction.
pub fn in_transaction(mut statements: Vec<Statement>) -> Vec<Statement> {
    statements.insert(0, Statement::Sql("BEGIN".to_owned()));
    statements.push(Statement::Sql("COMMIT".to_owned()));
    statements
}

/// Creates the temporary owner and makes the administrator a member of it.
pub fn create_temporary_owner(temporary_owner: &RoleName, server_major: u32) -> [Statement; 2] {
    let membership = grant_membership(temporary_owner, MembershipOption::Inherit, server_major);
    [create_plain_role(temporary_owner), Statement::Sql(membership)]
}

pub fn drop_role(role: &RoleName) -> Statement {
    Statement::Sql(format!("DROP ROLE {}", role.quoted()))
}

/// Transfers one object, given its kind and its name as SQL.
pub fn change_object_owner(kind: &str, identity: &str, owner: &RoleName) -> Statement {
    Statement::Sql(format!("ALTER {kind} {identity} OWNER TO {}", owner.quoted()))
}

// The following statements are for manual fixes only: the administrator does not execute them.

/// Transfers one object to the role that executes the statement.
pub fn take_ownership(kind: &str, identity: &str) -> Statement {
    Statement::Sql(format!("ALTER {kind} {identity} OWNER TO CURRENT_USER"))
}

pub fn rename_role(from: &RoleName, to: &RoleName) -> Statement {
    Statement::Sql(format!("ALTER ROLE {} RENAME TO {}", from.quoted(), to.quoted()))
}

pub fn rename_database(from: &DatabaseName, to: &DatabaseName) -> Statement {
    Statement::Sql(format!("ALTER DATABASE {} RENAME TO {}", from.quoted(), to.quoted()))
}

/// Returns one statement for each relation: `ALTER TABLE` accepts every kind.
pub fn change_owner_of_relations(target: &GrantTarget, owner: &RoleName) -> Option<Vec<String>> {
    let GrantTarget::Relations { schema, names, .. } = target else { return None };
    let one = |name: &String| {
        format!("ALTER TABLE {}.{} OWNER TO {}", schema.quoted(), quote(name), owner.quoted())
    };
    Some(names.iter().map(one).collect())
}

pub fn create_plain_role(role: &RoleName) -> Statement {
    Statement::Sql(format!("CREATE ROLE {}", role.quoted()))
}

pub fn create_schema_for(schema: &SchemaName, owner: &RoleName) -> Statement {
    Statement::Sql(format!("CREATE SCHEMA {} AUTHORIZATION {}", schema.quoted(), owner.quoted()))
}

pub fn grant_admin_option(role: &RoleName, member: &RoleName) -> Statement {
    Statement::Sql(format!("GRANT {} TO {} WITH ADMIN OPTION", role.quoted(), member.quoted()))
}

/// Returns statements with which a superuser revokes privileges as a grantor that has lost its
/// grant option. Afterwards the grantor has what it `held` before: nothing, the privilege alone, or
/// the privilege with the option.
pub fn with_grant_option(
    role: &RoleName,
    privileges: &Privileges,
    held: impl Fn(Privilege) -> Option<bool>,
    target: &GrantTarget,
    revocation: &Statement,
) -> String {
    let itself = Grantee::Role(role.clone());
    let held_as = |before| -> Privileges {
        privileges.iter().copied().filter(|privilege| held(*privilege) == before).collect()
    };
    let not_grantable: Privileges = held_as(None).union(&held_as(Some(false))).copied().collect();
    let mut statements = vec![
        format!("{} WITH GRANT OPTION", grant(&not_grantable, target, &itself).redacted()),
        as_role(role, revocation),
    ];
    for (scope, privileges) in
        [(RevokeScope::Privilege, held_as(None)), (RevokeScope::GrantOption, held_as(Some(false)))]
    {
        if !privileges.is_empty() {
            statements.push(revoke(scope, &privileges, target, &itself, false).redacted());
        }
    }
    statements.join("; ")
}

/// Returns statements with which a superuser executes another statement as a role.
pub fn as_role(role: &RoleName, statement: &Statement) -> String {
    format!("SET ROLE {}; {}; RESET ROLE", role.quoted(), statement.redacted())
}

/// Returns statements with which a superuser grants `USAGE` on schemas, executes other statements,
/// and revokes it.
pub fn with_schema_usage(role: &RoleName, schemas: &[SchemaName], statements: String) -> String {
    let opened = schemas.iter().map(|schema| grant_usage(schema, role).redacted());
    let closed = schemas.iter().map(|schema| revoke_usage(schema, role).redacted());
    opened.chain([statements]).chain(closed).collect::<Vec<_>>().join("; ")
}

pub fn create_database(database: &DatabaseName) -> Statement {
    Statement::Sql(format!(
        "CREATE DATABASE {} ALLOW_CONNECTIONS false CONNECTION LIMIT {UNFINISHED}",
        database.quoted()
    ))
}

pub fn close_database(database: &DatabaseName) -> Statement {
    Statement::Sql(format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", database.quoted()))
}

pub fn change_owner(database: &DatabaseName, owner: &RoleName) -> Statement {
    Statement::Sql(format!("ALTER DATABASE {} OWNER TO {}", database.quoted(), owner.quoted()))
}

/// Returns the last statement of a new database: it allows connections.
pub fn finish_database(database: &DatabaseName) -> Statement {
    Statement::Sql(format!(
        "ALTER DATABASE {} ALLOW_CONNECTIONS true CONNECTION LIMIT -1",
        database.quoted()
    ))
}

pub fn open_database(database: &DatabaseName) -> Statement {
    Statement::Sql(format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", database.quoted()))
}

pub fn grant(privileges: &Privileges, target: &GrantTarget, grantee: &Grantee) -> Statement {
    Statement::Sql(format!(
        "GRANT {} ON {} TO {}",
        target.privileges(privileges),
        target.sql(),
        grantee_sql(grantee)
    ))
}

/// The part of a privilege that is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Revokes what the current role granted; with `cascade`, also what the grantee granted to others.
pub fn revoke(
    scope: RevokeScope,
    privileges: &Privileges,
    target: &GrantTarget,
    grantee: &Grantee,
    cascade: bool,
) -> Statement {
    Statement::Sql(format!(
        "REVOKE {}{} ON {} FROM {}{}",
        scope.sql(),
        target.privileges(privileges),
        target.sql(),
        grantee_sql(grantee),
        if cascade { " CASCADE" } else { "" }
    ))
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
    Statement::Sql(format!(
        "{} GRANT {} ON {}S TO {}",
        default_privileges(creator, Some(schema)),
        list(privileges),
        kind.keyword(),
        grantee.quoted()
    ))
}

pub fn revoke_default(
    scope: RevokeScope,
    creator: &RoleName,
    schema: Option<&SchemaName>,
    kind: ObjectKind,
    privileges: &Privileges,
    grantee: &Grantee,
) -> Statement {
    Statement::Sql(format!(
        "{} REVOKE {}{} ON {}S FROM {}",
        default_privileges(creator, schema),
        scope.sql(),
        list(privileges),
        kind.keyword(),
        grantee_sql(grantee)
    ))
}
