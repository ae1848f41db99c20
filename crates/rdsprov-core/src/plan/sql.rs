//! Every statement that changes a server is written here, and nowhere else.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::{ExecuteAs, MembershipOption, TemporaryUsage, Transaction};
use crate::marker::{Marker, UNFINISHED};
use crate::name::{DatabaseName, ExtensionName, RoleName, SchemaName, literal, quote};
use crate::observed::Grantee;
use crate::privilege::{ObjectKind, Privilege, Privileges};
use crate::secrets::SecretId;
use crate::setting::Parameter;

/// A statement, with slots for what is only known when it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// Complete as it is.
    Sql(String),
    /// A password's verifier stands between two texts.
    Password {
        /// The text before the verifier.
        before: String,
        /// Whose password.
        secret: SecretId,
    },
    /// The mark of management; it names the build that runs the plan.
    Marker {
        /// `ROLE "x"` or `DATABASE "x"`.
        object: String,
        /// What people wrote there.
        comment: Option<String>,
        /// The mark.
        marker: Marker,
    },
}

/// What fills the slots.
pub trait Slots {
    /// The verifier of the password in a secret.
    ///
    /// # Errors
    /// Where there is none.
    fn verifier(&self, secret: &SecretId) -> Result<String, SlotError>;
    /// The build id.
    fn build_id(&self) -> &str;
}

/// A slot that nothing fills.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// The password is not at hand.
    #[error("the password of secret {0} is not at hand; plan again with the secret readable")]
    NoPassword(SecretId),
    /// No verifier can be made.
    #[error("no verifier can be made: {0}")]
    NoVerifier(String),
}

impl Statement {
    /// The statement as people see it.
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

    /// The statement in a script of psql: a variable in the place of a verifier, and a mark that says so.
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

    /// The statement as the server gets it; of a password only the verifier.
    ///
    /// # Errors
    /// Where a slot cannot be filled.
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
            "description": "A statement as people see it: secrets stand as `<password from SECRET>`, the build as `<build_id>`.",
            "type": "string",
        })
    }
}

impl Serialize for Statement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}

impl Transaction {
    /// All of it as a list of statements: what runs before, the memberships that last as long as the
    /// transaction, the changes of role between the steps and the ways into schemas. The number is that
    /// of the step, none for what stands around the steps.
    #[must_use]
    pub fn script(&self, server_major: u32) -> Vec<(Option<usize>, Statement)> {
        let mut script = Script { lines: Vec::new(), execute_as: &ExecuteAs::Administrator };
        if let Some(before) = &self.before {
            script.lines.push((Some(0), before.clone()));
        }
        script.push_sql("BEGIN".to_owned());
        let mut granted = BTreeSet::new();
        let mut granted_usage: &[TemporaryUsage] = &[];
        for (number, step) in self.steps.iter().enumerate() {
            let stays_granted = granted_usage == step.temporary_usage;
            if !stays_granted {
                script.revoke_usage(granted_usage);
            }
            let needed = step.memberships();
            let missing = self
                .memberships
                .iter()
                .filter(|(role, _)| needed.contains_key(role) && !granted.contains(*role));
            for (role, option) in missing.collect::<Vec<_>>() {
                granted.insert(role);
                script.switch_role(&ExecuteAs::Administrator);
                script.push_sql(grant_membership(role, *option, server_major));
            }
            if !stays_granted {
                script.grant_usage(&step.temporary_usage);
            }
            granted_usage = &step.temporary_usage;
            script.switch_role(&step.execute_as);
            let statements = step.statements.iter().cloned();
            script.lines.extend(statements.map(|statement| (Some(number), statement)));
        }
        script.revoke_usage(granted_usage);
        script.switch_role(&ExecuteAs::Administrator);
        for role in granted {
            script.push_sql(self.release(role));
        }
        script.push_sql("COMMIT".to_owned());
        script.lines
    }

    /// Ends a membership; one that the administrator had before is as it was.
    fn release(&self, role: &RoleName) -> String {
        match self.memberships_to_restore.get(role) {
            None => format!("REVOKE {} FROM CURRENT_USER", role.quoted()),
            Some((inherit, set)) => {
                format!("GRANT {} TO CURRENT_USER WITH INHERIT {inherit}, SET {set}", role.quoted())
            }
        }
    }
}

/// The statements of a transaction while it is written, and as whom the next one would run.
struct Script<'a> {
    lines: Vec<(Option<usize>, Statement)>,
    execute_as: &'a ExecuteAs,
}

impl<'a> Script<'a> {
    fn push_sql(&mut self, text: String) {
        self.lines.push((None, Statement::Sql(text)));
    }

    fn grant_usage(&mut self, temporary_usage: &'a [TemporaryUsage]) {
        for usage in temporary_usage {
            self.switch_role(&usage.granted_by);
            self.lines.push((None, grant_usage(&usage.schema, &usage.grantee)));
        }
    }

    fn revoke_usage(&mut self, temporary_usage: &'a [TemporaryUsage]) {
        for usage in temporary_usage {
            self.switch_role(&usage.granted_by);
            self.lines.push((None, revoke_usage(&usage.schema, &usage.grantee)));
        }
    }

    fn switch_role(&mut self, execute_as: &'a ExecuteAs) {
        if self.execute_as == execute_as {
            return;
        }
        if *self.execute_as != ExecuteAs::Administrator {
            self.push_sql("RESET ROLE".to_owned());
        }
        if let ExecuteAs::Role(role) = execute_as {
            self.push_sql(format!("SET LOCAL ROLE {}", role.quoted()));
        }
        self.execute_as = execute_as;
    }
}

/// Lets a role into a schema.
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

/// Allowed to whoever has power over a role.
pub fn grant_to_current_user(role: &RoleName) -> String {
    format!("GRANT {} TO CURRENT_USER", role.quoted())
}

fn comment_on(object: &str, comment: &str) -> String {
    format!("COMMENT ON {object} IS {}", literal(comment))
}

fn list(privileges: &Privileges) -> String {
    privileges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What is granted on.
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

    /// The privileges as they are granted on it: on columns each names them.
    fn privileges(&self, privileges: &Privileges) -> String {
        let Self::Columns { names, .. } = self else { return list(privileges) };
        let columns = names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ");
        let each = privileges.iter().map(|privilege| format!("{privilege} ({columns})"));
        each.collect::<Vec<_>>().join(", ")
    }

    /// In words.
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

/// A role, or PUBLIC, as SQL text.
fn grantee_sql(grantee: &Grantee) -> String {
    match grantee {
        Grantee::Public => "PUBLIC".to_owned(),
        Grantee::Role(role) => role.quoted(),
    }
}

/// With the password of a secret, or without any.
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

/// Power over a role, and nothing of what that role may do; from 16 on.
pub fn grant_administration(role: &RoleName, administrator: &RoleName) -> Statement {
    Statement::Sql(format!(
        "GRANT {} TO {} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
        role.quoted(),
        administrator.quoted()
    ))
}

/// Ends a membership, or only its `ADMIN OPTION`.
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

/// Sets a parameter of a role in a database, or sets it no more; no role is the current one.
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

/// What it requires comes with it. Without a schema it goes where it has to.
pub fn create_extension(extension: &ExtensionName, schema: Option<&SchemaName>) -> Statement {
    let schema = schema.map(|schema| format!(" SCHEMA {}", schema.quoted())).unwrap_or_default();
    Statement::Sql(format!("CREATE EXTENSION {}{schema} CASCADE", extension.quoted()))
}

/// Extensions made one after the other, to be tried within a transaction. A schema that is yet to be made stands
/// for itself with another, where nothing is in the way.
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

/// Moves all that a role owns in the current database, and all that it owns of what the databases share.
pub fn reassign_owned(from: &RoleName, to: &RoleName) -> Statement {
    Statement::Sql(format!("REASSIGN OWNED BY {} TO {}", from.quoted(), to.quoted()))
}

/// What all databases share and somebody owns.
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

    /// In words.
    fn words(self) -> String {
        match self {
            Self::Database(name) => format!("database {name}"),
            Self::Tablespace(name) => format!("tablespace {name}"),
        }
    }
}

/// Fails where a role owns something else than this of what the databases share, beside the current one and its
/// subscriptions: `REASSIGN OWNED` would move it.
pub fn assert_owns_only(role: &RoleName, shared: &BTreeSet<SharedObject<'_>>) -> Statement {
    let words: BTreeSet<String> = shared.iter().map(|one| one.words()).collect();
    let words: Vec<String> = words.iter().map(|one| literal(one)).collect();
    let body = format!(
        "DECLARE who oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = {name}); BEGIN IF ARRAY(SELECT what FROM (SELECT 'database ' || datname FROM pg_catalog.pg_database WHERE datdba = who AND datname <> current_database() UNION ALL SELECT 'tablespace ' || spcname FROM pg_catalog.pg_tablespace WHERE spcowner = who UNION ALL SELECT 'subscription ' || subname FROM pg_catalog.pg_subscription JOIN pg_catalog.pg_database d ON d.oid = subdbid WHERE subowner = who AND datname <> current_database()) owned(what) ORDER BY what COLLATE \"C\") IS DISTINCT FROM ARRAY[{shared}]::text[] THEN RAISE EXCEPTION 'what role % owns beside the database is not that of the plan any more; plan again', {name}; END IF; END",
        name = literal(role.as_str()),
        shared = words.join(", ")
    );
    Statement::Sql(format!("DO {}", literal(&body)))
}

/// Moves all that a role owns in the current database, and the database. What else it owns of what the databases
/// share is kept by a role that holds nothing, so that no two entries of an ACL melt into one on the way.
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

/// Statements that a person is to run: all of them or none.
pub fn in_transaction(mut statements: Vec<Statement>) -> Vec<Statement> {
    statements.insert(0, Statement::Sql("BEGIN".to_owned()));
    statements.push(Statement::Sql("COMMIT".to_owned()));
    statements
}

/// Makes a role that owns something for as long as a transaction lasts, and the administrator its member.
pub fn create_temporary_owner(temporary_owner: &RoleName, server_major: u32) -> [Statement; 2] {
    let membership = grant_membership(temporary_owner, MembershipOption::Inherit, server_major);
    [create_plain_role(temporary_owner), Statement::Sql(membership)]
}

pub fn drop_role(role: &RoleName) -> Statement {
    Statement::Sql(format!("DROP ROLE {}", role.quoted()))
}

/// Moves one object, by its kind and its name as SQL text.
pub fn change_object_owner(kind: &str, identity: &str, owner: &RoleName) -> Statement {
    Statement::Sql(format!("ALTER {kind} {identity} OWNER TO {}", owner.quoted()))
}

// What follows is not for the administrator to run, but for who reads a refusal.

/// Gives one object to whoever runs it.
pub fn take_ownership(kind: &str, identity: &str) -> Statement {
    Statement::Sql(format!("ALTER {kind} {identity} OWNER TO CURRENT_USER"))
}

pub fn rename_role(from: &RoleName, to: &RoleName) -> Statement {
    Statement::Sql(format!("ALTER ROLE {} RENAME TO {}", from.quoted(), to.quoted()))
}

pub fn rename_database(from: &DatabaseName, to: &DatabaseName) -> Statement {
    Statement::Sql(format!("ALTER DATABASE {} RENAME TO {}", from.quoted(), to.quoted()))
}

/// One statement for each relation, whatever its kind: `ALTER TABLE` takes them all.
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

/// A revocation that a superuser is to run as a role that has lost its grant option meanwhile; afterwards the role
/// holds what it `held` before: nothing, or the privilege alone, or with the option.
pub fn with_grant_option(
    role: &RoleName,
    privileges: &Privileges,
    held: impl Fn(Privilege) -> Option<bool>,
    target: &GrantTarget,
    revocation: &Statement,
) -> String {
    let itself = Grantee::Role(role.clone());
    let that_was = |before| -> Privileges {
        privileges.iter().copied().filter(|privilege| held(*privilege) == before).collect()
    };
    let not_grantable: Privileges = that_was(None).union(&that_was(Some(false))).copied().collect();
    let mut statements = vec![
        format!("{} WITH GRANT OPTION", grant(&not_grantable, target, &itself).redacted()),
        as_role(role, revocation),
    ];
    for (scope, privileges) in [
        (RevokeScope::Privilege, that_was(None)),
        (RevokeScope::GrantOption, that_was(Some(false))),
    ] {
        if !privileges.is_empty() {
            statements.push(revoke(scope, &privileges, target, &itself, false).redacted());
        }
    }
    statements.join("; ")
}

/// Statements that a superuser is to run as somebody else.
pub fn as_role(role: &RoleName, statement: &Statement) -> String {
    format!("SET ROLE {}; {}; RESET ROLE", role.quoted(), statement.redacted())
}

/// Statements that a superuser is to run, and for which a role has to be let into schemas.
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

/// The last step of a new database.
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

/// What of a privilege is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeScope {
    /// All of it.
    Privilege,
    /// The right to grant it on.
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

/// Takes away what one grantor gave; with `cascade`, also what the grantee gave on.
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
