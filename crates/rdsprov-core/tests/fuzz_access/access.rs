//! Access as the server reports and enforces it: `has_…_privilege` for each role and
//! object, statements executed as each role, and the privileges on objects that each
//! creator makes after the run.

use std::collections::{BTreeMap, BTreeSet};

use rdsprov_core::name::{literal, quote};
use serde::Deserialize;
use tokio_postgres::Client;

use crate::host::{Result, ask};
use crate::oracle::{Expected, Rules};
use crate::snapshot::{Contents, Name, ObjectClass, Snapshot};

const CONTENTS: &str = include_str!("queries/contents.sql");
const PRIVILEGES: &str = include_str!("queries/privileges.sql");
const ATTEMPT: &str = include_str!("queries/attempt.sql");
const ATTEMPTS: &str = include_str!("queries/attempts.sql");

/// The name prefix of objects that creators make after the run.
const LATER: &str = "later_";

/// One declared database, inspected from inside as the bootstrap superuser.
pub struct Access<'a> {
    pub client: &'a Client,
    pub rules: Rules<'a>,
    pub roles: Vec<String>,
}

#[derive(Deserialize)]
struct Held {
    name: Name,
    role: String,
    held: BTreeSet<String>,
}

/// The privileges that roles should have.
struct Abilities<'a> {
    rules: &'a Rules<'a>,
    expectations: BTreeMap<Name, Expected>,
}

impl Abilities<'_> {
    fn may(&self, role: &str, name: &Name) -> BTreeSet<&str> {
        let implied_role = self.rules.implied_role(role);
        // A privilege on a table includes each of its columns.
        let table = (name.class == ObjectClass::Column).then(|| Name {
            class: ObjectClass::Table,
            part: String::new(),
            ..name.clone()
        });
        self.expectations
            .iter()
            .filter(|(other, _)| *other == name || Some(*other) == table.as_ref())
            .flat_map(|(_, expected)| expected.held(role, implied_role))
            .collect()
    }

    fn can(&self, role: &str, name: &Name, privilege: &str) -> bool {
        self.may(role, name).contains(privilege)
    }
}

/// A statement to execute as a role, and whether it should succeed.
struct Attempt<'a> {
    role: &'a str,
    sql: String,
    allowed: bool,
}

impl Access<'_> {
    /// Returns all differences from the expected access.
    pub async fn violations(&self, after: &Snapshot) -> Result<Vec<String>> {
        let Some(contents) = after.contents.get(self.rules.database) else { return Ok(Vec::new()) };
        let abilities = Abilities {
            rules: &self.rules,
            expectations: self.rules.expectations(after, contents),
        };
        let mut found = self.held(&abilities, |_| true).await?;
        found.extend(self.check_statements(&abilities, contents).await?);
        found.extend(self.check_future_objects().await?);
        Ok(found)
    }

    /// Compares `has_…_privilege` with the privileges of each access level.
    async fn held(
        &self,
        abilities: &Abilities<'_>,
        concerns: impl Fn(&Name) -> bool,
    ) -> Result<Vec<String>> {
        let held: Vec<Held> = ask(self.client, PRIVILEGES, &[&self.roles]).await?;
        let mut found = Vec::new();
        for Held { name, role, held } in held.into_iter().filter(|held| concerns(&held.name)) {
            let mut expected = abilities.may(&role, &name);
            if name.class == ObjectClass::Column {
                expected.retain(|p| ["SELECT", "INSERT", "UPDATE", "REFERENCES"].contains(p));
            }
            let held: BTreeSet<&str> = held.iter().map(String::as_str).collect();
            if held != expected {
                let database = self.rules.database;
                found.push(format!(
                    "{database}: {role} has {held:?} on {name}, expected {expected:?}"
                ));
            }
        }
        Ok(found)
    }

    async fn check_statements(
        &self,
        abilities: &Abilities<'_>,
        contents: &Contents,
    ) -> Result<Vec<String>> {
        let attempts: Vec<Attempt<'_>> =
            self.roles.iter().flat_map(|role| self.attempts(role, abilities, contents)).collect();
        let list: Vec<serde_json::Value> = attempts
            .iter()
            .map(|attempt| serde_json::json!({"role": attempt.role, "sql": attempt.sql}))
            .collect();
        let list = serde_json::Value::Array(list).to_string();
        self.client.batch_execute("BEGIN").await?;
        self.client.batch_execute(ATTEMPT).await?;
        let states: Vec<String> = ask(self.client, ATTEMPTS, &[&list]).await?;
        self.client.batch_execute("ROLLBACK").await?;
        let wrong = attempts.iter().zip(states).filter(|(attempt, state)| {
            let denied = state == "42501";
            denied == attempt.allowed
        });
        Ok(wrong
            .map(|(attempt, state)| {
                let Attempt { role, sql, allowed } = attempt;
                let should = if *allowed { "should succeed" } else { "should fail" };
                format!("{}: {role} tried {sql}: {state}, {should}", self.rules.database)
            })
            .collect())
    }

    fn attempts<'b>(
        &self,
        role: &'b str,
        abilities: &Abilities<'_>,
        contents: &Contents,
    ) -> Vec<Attempt<'b>> {
        let name = |class, schema: &str, name: &str, part: &str| Name {
            class,
            schema: schema.to_owned(),
            name: name.to_owned(),
            part: part.to_owned(),
        };
        let database = name(ObjectClass::Database, "", self.rules.database, "");
        let attempt = |allowed, sql: String| Attempt { role, sql, allowed };
        let mut attempts = vec![
            attempt(abilities.can(role, &database, "CREATE"), "CREATE SCHEMA attempted".to_owned()),
            attempt(
                abilities.can(role, &database, "TEMPORARY"),
                "CREATE TEMPORARY TABLE attempted (a int)".to_owned(),
            ),
        ];
        for object in contents.objects.values().filter(|object| !object.of_extension) {
            let schema = &object.name.schema;
            let full = format!("{}.{}", quote(schema), quote(&object.name.name));
            let entered =
                abilities.can(role, &name(ObjectClass::Schema, schema, schema, ""), "USAGE");
            let column = |part: &str, privilege: &str| {
                entered
                    && abilities.can(
                        role,
                        &name(ObjectClass::Column, schema, &object.name.name, part),
                        privilege,
                    )
            };
            let table = |privilege: &str| entered && abilities.can(role, &object.name, privilege);
            let both = |privilege: &str| column("a", privilege) && column("b", privilege);
            let uses = |sequence: &Name| {
                ["USAGE", "UPDATE"].iter().any(|privilege| abilities.can(role, sequence, privilege))
            };
            match (object.name.class, object.detail.as_str()) {
                (ObjectClass::Schema, _) => attempts.push(attempt(
                    abilities.can(role, &object.name, "CREATE"),
                    format!("CREATE TABLE {}.attempted (a int)", quote(schema)),
                )),
                (ObjectClass::Sequence, _) => attempts.push(attempt(
                    entered && uses(&object.name),
                    format!("SELECT nextval({})", literal(&full)),
                )),
                (ObjectClass::Table, "r" | "p" | "v" | "m") => {
                    attempts.push(attempt(both("SELECT"), format!("SELECT * FROM {full}")));
                    if !["r", "p"].contains(&object.detail.as_str()) {
                        continue;
                    }
                    let insert = format!("INSERT INTO {full} (a, b) VALUES (1, 'x')");
                    attempts.push(attempt(both("INSERT"), insert));
                    attempts
                        .push(attempt(column("b", "UPDATE"), format!("UPDATE {full} SET b = 'y'")));
                    attempts.push(attempt(table("DELETE"), format!("DELETE FROM {full}")));
                    attempts.push(attempt(table("TRUNCATE"), format!("TRUNCATE {full}")));
                    let sequence = name(
                        ObjectClass::Sequence,
                        schema,
                        &format!("{}_a_seq", object.name.name),
                        "",
                    );
                    if contents.objects.contains_key(&sequence) {
                        attempts.push(attempt(
                            column("b", "INSERT") && uses(&sequence),
                            format!("INSERT INTO {full} (b) VALUES ('x')"),
                        ));
                    }
                }
                _ => {}
            }
        }
        attempts
    }

    /// As the owner and as every creator, creates an object of each kind in each covered schema and
    /// in an undeclared one, and compares the privileges. Everything is rolled back.
    async fn check_future_objects(&self) -> Result<Vec<String>> {
        self.client.batch_execute("BEGIN").await?;
        let covered = self.rules.declared.covered(self.rules.database);
        let new = format!("{LATER}schema");
        self.client.batch_execute(&format!("CREATE SCHEMA {new}")).await?;
        for (number, creator) in self.rules.creators().into_iter().enumerate() {
            for schema in covered.iter().chain([&new]) {
                self.client.batch_execute(&creation(creator, schema, number)).await?;
            }
        }
        let row = self.client.query_one(CONTENTS, &[]).await?;
        let contents = Contents::read(row.try_get(0)?)?;
        let is_later =
            |name: &Name| name.name.starts_with(LATER) && name.class != ObjectClass::Schema;
        let mut found = Vec::new();
        let mut expectations = BTreeMap::new();
        for (name, object) in contents.objects.iter().filter(|(name, _)| is_later(name)) {
            let mut bare = object.clone();
            bare.acl.retain(|item| self.rules.is_undeclared(object, item));
            let expected = self.rules.expected(&bare);
            let what = format!(
                "{}: {name}, created after the run by {}",
                self.rules.database, object.owner
            );
            found.extend(expected.violations(&object.acl, &what));
            expectations.insert(name.clone(), expected);
        }
        let abilities = Abilities { rules: &self.rules, expectations };
        found.extend(self.held(&abilities, is_later).await?);
        self.client.batch_execute("ROLLBACK").await?;
        Ok(found)
    }
}

fn creation(creator: &str, schema: &str, number: usize) -> String {
    let role = quote(creator);
    let namespace = quote(schema);
    let name = |stem: &str| format!("{namespace}.{LATER}{stem}_{number}");
    format!(
        "GRANT CREATE, USAGE ON SCHEMA {namespace} TO {role};
         SET LOCAL ROLE {role};
         CREATE TABLE {} (a serial, b text);
         CREATE TABLE {} (a int, b text) PARTITION BY LIST (a);
         CREATE VIEW {} AS SELECT 1 AS a;
         CREATE MATERIALIZED VIEW {} AS SELECT 1 AS a;
         CREATE SEQUENCE {};
         RESET ROLE",
        name("t"),
        name("p"),
        name("v"),
        name("m"),
        name("q"),
    )
}
