//! Access as the server reports and enforces it: `has_…_privilege` for each role and
//! object, statements executed as each role, and the privileges on objects that each
//! creator makes after the run.

use std::collections::BTreeSet;

use rdsprov_core::name::{literal, quote};
use serde::Deserialize;
use tokio_postgres::Client;

use crate::future_objects;
use crate::host::{Result, ask};
use crate::oracle::{Abilities, Rules};
use crate::snapshot::{Contents, Name, ObjectClass, Snapshot};

const CONTENTS: &str = include_str!("queries/contents.sql");
const PRIVILEGES: &str = include_str!("queries/privileges.sql");
const ATTEMPT: &str = include_str!("queries/attempt.sql");
const ATTEMPTS: &str = include_str!("queries/attempts.sql");

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
            found.extend(abilities.violation(&name, &role, &held));
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
        for statement in future_objects::creations(&self.rules) {
            self.client.batch_execute(&statement).await?;
        }
        let row = self.client.query_one(CONTENTS, &[]).await?;
        let contents = Contents::read(row.try_get(0)?)?;
        let (mut found, abilities) = future_objects::expected(&self.rules, &contents);
        found.extend(self.held(&abilities, future_objects::is_one).await?);
        self.client.batch_execute("ROLLBACK").await?;
        Ok(found)
    }
}
