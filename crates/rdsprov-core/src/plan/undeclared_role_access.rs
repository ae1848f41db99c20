//! The access of a role that is not declared, as notes and the JSON of a plan contain it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Executor, ManualFix, Remedy};
use crate::hint::Hint;
use crate::name::{DatabaseName, RoleName, SchemaName};

/// The access of a role that the definitions do not declare to a declared database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UndeclaredRoleAccess {
    /// The role.
    pub role: RoleName,
    /// The database.
    pub database: DatabaseName,
    /// Whether the role can log in.
    pub login: bool,
    /// What the role has, as the end of a sentence about it.
    pub means: String,
    /// What gives the role `CONNECT`, or allows the role to grant it: `CONNECT`, `the privileges of role shop_owner`,
    /// `ADMIN OPTION on role shop_reader`.
    pub connects: Vec<String>,
    /// The schemas with relations on which the role itself has privileges.
    pub schemas: Vec<SchemaName>,
    /// The schemas that the role owns, or in which it owns relations or routines.
    #[serde(default)]
    pub owns: Vec<SchemaName>,
    /// The roles through which it uses privileges on relations.
    pub through: Vec<RoleName>,
    /// The roles that log in and use what it has.
    pub used_by: Vec<RoleName>,
    /// The statements that end the access.
    pub statements: Vec<EndOfAccess>,
}

/// A statement that ends a part of the access of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndOfAccess {
    /// The role that can execute it.
    pub executor: Executor,
    /// The database in which it must run; `None` if it can run in any.
    pub database: Option<DatabaseName>,
    /// The statement.
    pub sql: String,
}

/// Returns some names as a list: `a, b, c and 2 more`.
fn some_of<T: AsRef<str>>(names: &[T]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        others => format!("{shown} and {others} more"),
    }
}

fn plural(word: &str, count: usize) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

impl UndeclaredRoleAccess {
    /// Returns what the role has, as the end of a sentence about it; `None` if it has no access. `enters` is whether it
    /// has `CONNECT`.
    pub(super) fn in_words(&self, enters: bool) -> Option<String> {
        let names =
            |all: &[&str], word: &str| format!("{} {}", plural(word, all.len()), some_of(all));
        let in_schemas = |all: &[SchemaName], what: &str| {
            let all: Vec<&str> = all.iter().map(SchemaName::as_str).collect();
            (!all.is_empty()).then(|| format!("{what} in {}", names(&all, "schema")))
        };
        let own = [
            in_schemas(&self.schemas, "privileges on relations"),
            in_schemas(&self.owns, "objects of its own"),
        ];
        let own: Vec<String> = own.into_iter().flatten().collect();
        let own = (!own.is_empty()).then(|| own.join(" and "));
        let through: Vec<&str> = self.through.iter().map(RoleName::as_str).collect();
        let through = (!through.is_empty())
            .then(|| format!("privileges on relations through {}", names(&through, "role")));
        let users: Vec<&str> = self.used_by.iter().map(RoleName::as_str).collect();
        let used = (!users.is_empty()).then(|| format!("used by its {}", names(&users, "member")));
        let database = &self.database;
        if !self.login {
            let connect = self.connects.first().map(|_| format!("CONNECT on database {database}"));
            let own = own.map(|own| match connect {
                Some(_) => own,
                None => format!("{own} of database {database}"),
            });
            let has: Vec<String> = connect.into_iter().chain(own).collect();
            let use_of = used.unwrap_or_else(|| "but cannot log in".to_owned());
            return (!has.is_empty()).then(|| format!("has {}, {use_of}", has.join(" and ")));
        }
        if self.connects.is_empty() {
            let use_of = used.unwrap_or_else(|| "which it cannot use without CONNECT".to_owned());
            return own.map(|own| format!("has {own} of database {database}, {use_of}"));
        }
        let has: Vec<String> = self.connects.iter().cloned().chain(own).chain(through).collect();
        let can = if enters { "connect to" } else { "grant CONNECT on" };
        Some(format!("can {can} database {database}: it has {}", has.join(", and ")))
    }

    /// Returns the statements of each executor that end the access.
    pub(super) fn remedies(&self) -> Vec<Remedy> {
        let mut by_executor: Vec<(&Executor, Vec<&EndOfAccess>)> = Vec::new();
        for statement in &self.statements {
            match by_executor.iter_mut().find(|(executor, _)| **executor == statement.executor) {
                Some((_, statements)) => statements.push(statement),
                None => by_executor.push((&statement.executor, vec![statement])),
            }
        }
        let remedy = |(executor, statements): (&Executor, Vec<&EndOfAccess>)| {
            let sql: Vec<&str> = statements.iter().map(|one| one.sql.as_str()).collect();
            let database = statements.iter().find_map(|one| one.database.clone());
            Remedy::Run(executor.clone(), ManualFix { database, sql: sql.join("; ") })
        };
        by_executor.into_iter().map(remedy).collect()
    }

    /// Returns how to end the access: a hint for each role that has to execute statements.
    pub(super) fn hints(&self) -> Vec<Hint> {
        self.remedies().iter().map(|remedy| remedy.parts().into_iter().collect()).collect()
    }
}
