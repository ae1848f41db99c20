//! The catalog queries that a look at a database leaves out return nothing.

#![allow(clippy::unwrap_used, reason = "tests")]

use rdsprov_testkit::{Answer, Server, Session, Severity, all_versions};
use serde_json::Value;

const SIZE: &str = include_str!("../src/server/queries/size.sql");
const OTHER_OBJECTS: &str = concat!(
    "WITH ",
    include_str!("../src/server/queries/concerned.sql"),
    ",\n",
    include_str!("../src/plan/sql/objects.sql"),
    include_str!("../src/server/queries/other_objects.sql")
);

/// What a database of an application can contain without another query.
const ORDINARY: [&str; 4] = [
    "SELECT",
    "CREATE SCHEMA sales; CREATE TABLE sales.orders (id serial PRIMARY KEY, note text, kind sales_kind);
     CREATE VIEW sales.notes AS SELECT note FROM sales.orders; GRANT SELECT ON sales.orders TO reader, PUBLIC;
     GRANT SELECT (note) ON sales.orders TO writer; GRANT USAGE ON SCHEMA sales TO reader;
     CREATE FUNCTION sales.one() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE EXTENSION citext",
    "GRANT USAGE ON SCHEMA public TO reader; REVOKE ALL ON SCHEMA public FROM PUBLIC",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader",
];

/// Statements, each of which makes the other query necessary, with the member of its document that it fills.
const OTHERS: [(&str, &str); 13] = [
    (
        "CREATE TABLE public.foreign_table (); RESET SESSION AUTHORIZATION; ALTER TABLE public.foreign_table OWNER TO reader",
        "owned",
    ),
    ("RESET SESSION AUTHORIZATION; CREATE SCHEMA theirs AUTHORIZATION reader", "owned"),
    ("CREATE TYPE public.pair AS (a int); RESET SESSION AUTHORIZATION; ALTER TYPE public.pair OWNER TO reader", "owned"),
    ("CREATE PUBLICATION changes; RESET SESSION AUTHORIZATION; ALTER PUBLICATION changes OWNER TO reader", "owned"),
    (
        "CREATE FUNCTION public.theirs() RETURNS int LANGUAGE sql AS 'SELECT 1'; RESET SESSION AUTHORIZATION;
         ALTER FUNCTION public.theirs() OWNER TO stranger",
        "undeclared_routine_owners",
    ),
    ("SELECT lo_create(4711); RESET SESSION AUTHORIZATION; ALTER LARGE OBJECT 4711 OWNER TO reader", "large_object_owners"),
    ("SELECT lo_create(4711); GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC", "objects"),
    (
        "CREATE FUNCTION public.ours() RETURNS int LANGUAGE sql AS 'SELECT 1';
         GRANT EXECUTE ON FUNCTION public.ours() TO reader",
        "objects",
    ),
    ("CREATE TYPE public.pair AS (a int); GRANT USAGE ON TYPE public.pair TO reader", "objects"),
    (
        "RESET SESSION AUTHORIZATION; GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_waldir() TO reader",
        "objects",
    ),
    ("RESET SESSION AUTHORIZATION; GRANT SELECT ON pg_catalog.pg_authid TO reader", "objects"),
    ("RESET SESSION AUTHORIZATION; GRANT CREATE ON SCHEMA information_schema TO reader", "objects"),
    ("RESET SESSION AUTHORIZATION; GRANT USAGE ON LANGUAGE plpgsql TO reader", "objects"),
];

fn is_without_error(answer: &Answer) -> bool {
    answer.messages.iter().all(|message| message.severity != Severity::Error)
}

/// Returns the document of a query.
fn document(session: &mut Session, query: &str) -> Value {
    let answer = session.ask(query).unwrap();
    serde_json::from_str(&answer.rows).unwrap_or_else(|_| panic!("{answer:?}"))
}

/// Returns whether the other query is necessary after some statements of the owner, and the members of its document
/// that are not empty. Nothing is committed.
fn look(session: &mut Session, statements: &str, declared: &str) -> (bool, Vec<String>) {
    let changed = session
        .ask(&format!(
            "BEGIN; SET LOCAL SESSION AUTHORIZATION owner; {statements}; RESET SESSION AUTHORIZATION"
        ))
        .unwrap();
    assert!(is_without_error(&changed), "{statements}: {changed:?}");
    let owner = "ARRAY['owner'::regrole::oid]";
    let size = document(session, &format!("EXECUTE size(250000, 4000000, {owner}, '{declared}')"));
    let names = "'{owner,reader,writer,heir}', ARRAY[10::oid]";
    let query = format!("EXECUTE others({names}, {owner}, '{declared}', 10)");
    let others = document(session, &query);
    session.ask("ROLLBACK").unwrap();
    let is_empty = |value: &Value| match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    let filled = others.as_object().unwrap().iter().filter(|(_, value)| !is_empty(value));
    let filled = filled.map(|(name, _)| name.clone()).collect();
    (size["has_other_objects"].as_bool().unwrap(), filled)
}

#[test]
fn other_objects_are_read_wherever_there_are_any() {
    for version in all_versions() {
        let server = Server::start(version).unwrap();
        let create = "CREATE ROLE owner; CREATE ROLE reader; CREATE ROLE writer; CREATE ROLE stranger; CREATE ROLE heir";
        server.superuser("postgres", create).unwrap();
        server.superuser("postgres", "CREATE DATABASE shop OWNER owner").unwrap();
        let prepare = "ALTER SCHEMA public OWNER TO owner;
            GRANT pg_read_all_data TO owner; CREATE TYPE sales_kind AS ENUM ('a'); ALTER TYPE sales_kind OWNER TO owner";
        server.superuser("shop", prepare).unwrap();
        let mut session = server.superuser_session("shop").unwrap();
        let prepare = format!(
            "PREPARE size(bigint, bigint, oid[], text) AS {SIZE}; PREPARE others(text[], oid[], oid[], text, oid) AS {OTHER_OBJECTS}"
        );
        assert!(is_without_error(&session.ask(&prepare).unwrap()));
        for statements in ORDINARY {
            let looked = look(&mut session, statements, "owner");
            assert_eq!(looked, (false, vec![]), "{version}: {statements}");
        }
        for (statements, member) in OTHERS {
            let (is_read, filled) = look(&mut session, statements, "owner");
            assert!(
                is_read && filled.iter().any(|one| one == member),
                "{version}: {statements}: {filled:?}"
            );
        }
        // Another owner gets all objects.
        assert!(look(&mut session, "SELECT", "heir").0, "{version}");
    }
}
