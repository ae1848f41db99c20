//! Objects that creators make after a run, and the privileges on them.

use std::collections::BTreeMap;

use rdsprov_core::name::quote;

use crate::oracle::{Abilities, Rules};
use crate::snapshot::{Contents, Name, ObjectClass};

/// The name prefix of these objects.
const LATER: &str = "later_";

/// Returns statements that create, as the owner and as every creator, an object of each kind in each
/// covered schema and in an undeclared one.
pub fn creations(rules: &Rules<'_>) -> Vec<String> {
    let covered = rules.declared.covered(rules.database);
    let new = format!("{LATER}schema");
    let mut statements = vec![format!("CREATE SCHEMA {new}")];
    for (number, creator) in rules.creators().into_iter().enumerate() {
        let schemas = covered.iter().chain([&new]);
        statements.extend(schemas.map(|schema| creation(creator, schema, number)));
    }
    statements
}

pub fn is_one(name: &Name) -> bool {
    name.name.starts_with(LATER) && name.class != ObjectClass::Schema
}

/// Returns the expected privileges on the created objects, and the differences of their ACLs.
pub fn expected<'a>(rules: &'a Rules<'a>, contents: &Contents) -> (Vec<String>, Abilities<'a>) {
    let mut found = Vec::new();
    let mut expectations = BTreeMap::new();
    for (name, object) in contents.objects.iter().filter(|(name, _)| is_one(name)) {
        let mut bare = object.clone();
        bare.acl.retain(|item| rules.is_undeclared(object, item));
        let expected = rules.expected(&bare);
        let what = format!("{}: {name}, created after the run by {}", rules.database, object.owner);
        found.extend(expected.violations(&object.acl, &what));
        expectations.insert(name.clone(), expected);
    }
    (found, Abilities { rules, expectations })
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
