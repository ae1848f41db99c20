//! Every statement that changes a server is written here, and nowhere else.

use std::collections::BTreeSet;

use serde::{Serialize, Serializer};

use super::{Acting, Scope, Transaction};
use crate::access::{Privileges, RelationKind};
use crate::mark::Mark;
use crate::name::{DatabaseName, RoleName, SchemaName, literal, quote};
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
    Mark {
        /// `ROLE "x"` or `DATABASE "x"`.
        object: String,
        /// What people wrote there.
        comment: Option<String>,
        /// The mark.
        mark: Mark,
    },
}

/// What fills the slots.
pub trait Slots {
    /// The verifier of the password in a secret.
    fn verifier(&self, secret: &SecretId) -> Option<String>;
    /// The build id.
    fn build_id(&self) -> &str;
}

/// A slot that nothing fills.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// The password is not at hand.
    #[error("the password of secret {0} is not at hand; plan again with the secret readable")]
    NoPassword(SecretId),
}

impl Statement {
    /// The statement as people see it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Sql(text) => text.clone(),
            Self::Password { before, secret } => {
                format!("{before} {}", literal(&format!("<password from {secret}>")))
            }
            Self::Mark { object, comment, mark } => {
                comment_on(object, &mark.beside(comment.as_deref(), "<build_id>"))
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
                let verifier =
                    slots.verifier(secret).ok_or_else(|| SlotError::NoPassword(secret.clone()))?;
                format!("{before} {}", literal(&verifier))
            }
            Self::Mark { object, comment, mark } => {
                comment_on(object, &mark.beside(comment.as_deref(), slots.build_id()))
            }
        })
    }
}

impl Serialize for Statement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

impl Transaction {
    /// All of it as a list of statements: what runs before, the memberships that last as long as the
    /// transaction, the changes of role between the steps. The number is that of the step, none for
    /// what stands around the steps.
    #[must_use]
    pub fn script(&self, server_major: u32) -> Vec<(Option<usize>, Statement)> {
        let plain = |text: String| (None, Statement::Sql(text));
        let mut script = Vec::new();
        if let Some(before) = &self.before {
            script.push((Some(0), before.clone()));
        }
        script.push(plain("BEGIN".to_owned()));
        let mut granted = BTreeSet::new();
        let mut acting = &Acting::Administrator;
        for (number, step) in self.steps.iter().enumerate() {
            if &step.acting != acting {
                if *acting != Acting::Administrator {
                    script.push(plain("RESET ROLE".to_owned()));
                }
                if let Acting::Role(role) = &step.acting {
                    if self.memberships.contains(role) && granted.insert(role) {
                        script.push(plain(grant_membership(role, server_major)));
                    }
                    script.push(plain(format!("SET LOCAL ROLE {}", role.quoted())));
                }
                acting = &step.acting;
            }
            // `ALTER DATABASE … OWNER TO` wants the administrator to be able to become the new owner.
            for statement in &step.statements {
                script.push((Some(number), statement.clone()));
            }
            if let (Scope::NewDatabase(_), 0) = (&self.scope, number) {
                for role in &self.memberships {
                    if granted.insert(role) {
                        script.push(plain(grant_membership(role, server_major)));
                    }
                }
            }
        }
        if *acting != Acting::Administrator {
            script.push(plain("RESET ROLE".to_owned()));
        }
        for role in granted {
            script.push(plain(format!("REVOKE {} FROM CURRENT_USER", role.quoted())));
        }
        script.push(plain("COMMIT".to_owned()));
        script
    }
}

fn grant_membership(role: &RoleName, server_major: u32) -> String {
    let options = if server_major >= 16 { " WITH INHERIT FALSE, SET TRUE" } else { "" };
    format!("GRANT {} TO CURRENT_USER{options}", role.quoted())
}

/// Allowed to whoever has power over a role.
pub fn grant_to_oneself(role: &RoleName) -> String {
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
pub enum Target {
    Database(DatabaseName),
    Schema(SchemaName),
    Relations { kind: RelationKind, schema: SchemaName, names: Vec<String> },
    AllRelations { kind: RelationKind, schema: SchemaName },
}

impl Target {
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
        }
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
        }
    }
}

pub fn create_role(role: &RoleName, secret: &SecretId, attributes: &[String]) -> Statement {
    Statement::Password {
        before: format!("CREATE ROLE {} {} PASSWORD", role.quoted(), attributes.join(" ")),
        secret: secret.clone(),
    }
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

pub fn revoke_membership(
    group: &RoleName,
    member: &RoleName,
    grantor: Option<&RoleName>,
) -> Statement {
    let by = grantor.map(|g| format!(" GRANTED BY {}", g.quoted())).unwrap_or_default();
    Statement::Sql(format!("REVOKE {} FROM {}{by}", group.quoted(), member.quoted()))
}

pub fn mark_role(role: &RoleName, comment: Option<String>, mark: Mark) -> Statement {
    Statement::Mark { object: format!("ROLE {}", role.quoted()), comment, mark }
}

pub fn mark_database(database: &DatabaseName, comment: Option<String>, mark: Mark) -> Statement {
    Statement::Mark { object: format!("DATABASE {}", database.quoted()), comment, mark }
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

pub fn create_database(database: &DatabaseName) -> Statement {
    Statement::Sql(format!("CREATE DATABASE {} ALLOW_CONNECTIONS false", database.quoted()))
}

pub fn close_database(database: &DatabaseName) -> Statement {
    Statement::Sql(format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", database.quoted()))
}

pub fn change_owner(database: &DatabaseName, owner: &RoleName) -> Statement {
    Statement::Sql(format!("ALTER DATABASE {} OWNER TO {}", database.quoted(), owner.quoted()))
}

pub fn open_database(database: &DatabaseName) -> Statement {
    Statement::Sql(format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", database.quoted()))
}

pub fn grant(privileges: &Privileges, target: &Target, grantee: &RoleName) -> Statement {
    Statement::Sql(format!(
        "GRANT {} ON {} TO {}",
        list(privileges),
        target.sql(),
        grantee.quoted()
    ))
}

pub fn revoke(privileges: &Privileges, target: &Target, grantee: Option<&RoleName>) -> Statement {
    let grantee = grantee.map_or_else(|| "PUBLIC".to_owned(), RoleName::quoted);
    Statement::Sql(format!("REVOKE {} ON {} FROM {grantee}", list(privileges), target.sql()))
}

pub fn revoke_grant_option(
    privileges: &Privileges,
    target: &Target,
    grantee: &RoleName,
) -> Statement {
    Statement::Sql(format!(
        "REVOKE GRANT OPTION FOR {} ON {} FROM {}",
        list(privileges),
        target.sql(),
        grantee.quoted()
    ))
}

fn default_privileges(creator: &RoleName, schema: Option<&SchemaName>) -> String {
    let schema = schema.map(|s| format!(" IN SCHEMA {}", s.quoted())).unwrap_or_default();
    format!("ALTER DEFAULT PRIVILEGES FOR ROLE {}{schema}", creator.quoted())
}

pub fn grant_default(
    creator: &RoleName,
    schema: &SchemaName,
    kind: RelationKind,
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
    creator: &RoleName,
    schema: Option<&SchemaName>,
    kind: RelationKind,
    privileges: &Privileges,
    grantee: &RoleName,
    only_grant_option: bool,
) -> Statement {
    Statement::Sql(format!(
        "{} REVOKE {}{} ON {}S FROM {}",
        default_privileges(creator, schema),
        if only_grant_option { "GRANT OPTION FOR " } else { "" },
        list(privileges),
        kind.keyword(),
        grantee.quoted()
    ))
}
