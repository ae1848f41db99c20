//! The order of the statements of a transaction as tables: memberships, roles and temporary
//! usage around the steps.

use super::*;
use crate::name::{ApplicationName, DatabaseName, SchemaName};
use crate::observed::Grantee;
use crate::plan::sql::{GrantTarget, RevokeScope, grant, grant_default, revoke, revoke_cascade};
use crate::plan::{Action, Identities, Scope, Step};
use crate::privilege::{ObjectKind, Privilege, Privileges};

fn role(name: &str) -> RoleName {
    RoleName::new_unchecked(name)
}

/// Returns a step with one statement, `-- step NAME`.
fn step(name: &str, execute_as: ExecuteAs) -> Step {
    let application = ApplicationName::new("shop").unwrap();
    let statement = Statement::plain(format!("-- step {name}"));
    Step::new(Action::Grant, &application, String::new(), [statement]).executed_as(execute_as)
}

fn with_usage(step: Step, schema: &str, granted_by: ExecuteAs) -> Step {
    let ExecuteAs::Role(grantee) = &step.execute_as else { panic!("not a role") };
    let usage = TemporaryUsage {
        schema: SchemaName::new_unchecked(schema),
        grantee: grantee.clone(),
        granted_by,
    };
    Step { temporary_usage: vec![usage], ..step }
}

/// Returns a transaction with the memberships that its steps need.
fn transaction(steps: Vec<Step>) -> Transaction {
    Transaction {
        scope: Scope::Database(DatabaseName::new_unchecked("shop")),
        before: None,
        memberships: steps.iter().flat_map(Step::memberships).collect(),
        memberships_to_restore: [].into(),
        identities: Identities::default(),
        audit: None,
        steps,
    }
}

/// Returns the statements between `BEGIN` and `COMMIT`, and checks which of them belong to a step.
fn between(transaction: &Transaction, server_major: u32) -> Vec<String> {
    let script = transaction.script();
    let texts: Vec<String> =
        script.iter().map(|line| line.statement(server_major).redacted()).collect();
    for (line, text) in script.iter().zip(&texts) {
        assert_eq!(!line.steps().is_empty(), text.starts_with("-- step"), "{text}");
    }
    let [begin, store, between @ .., verify, commit] = texts.as_slice() else {
        panic!("{texts:?}")
    };
    assert_eq!((begin.as_str(), commit.as_str()), ("BEGIN", "COMMIT"));
    assert_eq!(*store, store_memberships().redacted());
    assert_eq!(*verify, verify_memberships().redacted());
    between.to_vec()
}

#[test]
fn steps_run_as_their_roles_with_temporary_memberships() {
    let admin = || ExecuteAs::Administrator;
    let a = || ExecuteAs::Role(role("a"));
    let b = || ExecuteAs::Role(role("b"));
    let table: Vec<(Vec<Step>, &[&str])> = vec![
        (vec![], &[]),
        (vec![step("1", admin()), step("2", admin())], &["-- step 1", "-- step 2"]),
        // The membership is revoked at the end, after the role is reset.
        (
            vec![step("1", a())],
            &[
                "GRANT \"a\" TO CURRENT_USER WITH INHERIT FALSE, SET TRUE",
                "SET LOCAL ROLE \"a\"",
                "-- step 1",
                "SET LOCAL ROLE NONE",
                "REVOKE \"a\" FROM CURRENT_USER",
            ],
        ),
        // The role is kept between steps of one role.
        (
            vec![step("1", a()), step("2", a())],
            &[
                "GRANT \"a\" TO CURRENT_USER WITH INHERIT FALSE, SET TRUE",
                "SET LOCAL ROLE \"a\"",
                "-- step 1",
                "-- step 2",
                "SET LOCAL ROLE NONE",
                "REVOKE \"a\" FROM CURRENT_USER",
            ],
        ),
        // The administrator itself grants each membership, and each one only once.
        (
            vec![step("1", a()), step("2", b()), step("3", a())],
            &[
                "GRANT \"a\" TO CURRENT_USER WITH INHERIT FALSE, SET TRUE",
                "SET LOCAL ROLE \"a\"",
                "-- step 1",
                "SET LOCAL ROLE NONE",
                "GRANT \"b\" TO CURRENT_USER WITH INHERIT FALSE, SET TRUE",
                "SET LOCAL ROLE \"b\"",
                "-- step 2",
                "SET LOCAL ROLE NONE",
                "SET LOCAL ROLE \"a\"",
                "-- step 3",
                "SET LOCAL ROLE NONE",
                "REVOKE \"a\" FROM CURRENT_USER",
                "REVOKE \"b\" FROM CURRENT_USER",
            ],
        ),
        // The administrator can act as `pg_database_owner` if it can act as the owner.
        (
            vec![step("1", ExecuteAs::Role(role("pg_database_owner")))],
            &["SET LOCAL ROLE \"pg_database_owner\"", "-- step 1", "SET LOCAL ROLE NONE"],
        ),
        // USAGE is revoked by the role that granted it, before the role changes.
        (
            vec![with_usage(step("1", a()), "s", b()), step("2", a())],
            &[
                "GRANT \"a\" TO CURRENT_USER WITH INHERIT FALSE, SET TRUE",
                "GRANT \"b\" TO CURRENT_USER WITH INHERIT FALSE, SET TRUE",
                "SET LOCAL ROLE \"b\"",
                "GRANT USAGE ON SCHEMA \"s\" TO \"a\"",
                "SET LOCAL ROLE NONE",
                "SET LOCAL ROLE \"a\"",
                "-- step 1",
                "SET LOCAL ROLE NONE",
                "SET LOCAL ROLE \"b\"",
                "REVOKE USAGE ON SCHEMA \"s\" FROM \"a\"",
                "SET LOCAL ROLE NONE",
                "SET LOCAL ROLE \"a\"",
                "-- step 2",
                "SET LOCAL ROLE NONE",
                "REVOKE \"a\" FROM CURRENT_USER",
                "REVOKE \"b\" FROM CURRENT_USER",
            ],
        ),
        // USAGE stays granted for the next step if that step needs the same.
        (
            vec![
                with_usage(step("1", a()), "s", admin()),
                with_usage(step("2", a()), "s", admin()),
            ],
            &[
                "GRANT \"a\" TO CURRENT_USER WITH INHERIT FALSE, SET TRUE",
                "GRANT USAGE ON SCHEMA \"s\" TO \"a\"",
                "SET LOCAL ROLE \"a\"",
                "-- step 1",
                "-- step 2",
                "SET LOCAL ROLE NONE",
                "REVOKE USAGE ON SCHEMA \"s\" FROM \"a\"",
                "REVOKE \"a\" FROM CURRENT_USER",
            ],
        ),
    ];
    for (steps, expected) in table {
        assert_eq!(between(&transaction(steps), 16), expected);
    }
}

#[test]
fn memberships_before_and_from_postgresql_16() {
    let inherits = step("1", ExecuteAs::Administrator)
        .with_memberships([(role("b"), MembershipOption::Inherit)]);
    for (major, granted) in [
        (14, "GRANT \"b\" TO CURRENT_USER"),
        (15, "GRANT \"b\" TO CURRENT_USER"),
        (16, "GRANT \"b\" TO CURRENT_USER WITH INHERIT TRUE, SET TRUE"),
        (18, "GRANT \"b\" TO CURRENT_USER WITH INHERIT TRUE, SET TRUE"),
    ] {
        assert_eq!(
            between(&transaction(vec![inherits.clone()]), major),
            [granted, "-- step 1", "REVOKE \"b\" FROM CURRENT_USER"]
        );
    }
    // A membership that the administrator granted to itself before gets its options back.
    let mut restoring = transaction(vec![inherits]);
    restoring.memberships_to_restore.insert(role("b"), (false, true));
    assert_eq!(
        between(&restoring, 16).last().unwrap(),
        "GRANT \"b\" TO CURRENT_USER WITH INHERIT false, SET true"
    );
}

/// PostgreSQL does not allow `CREATE DATABASE` in a transaction.
#[test]
fn statement_that_runs_first_is_outside_the_transaction() {
    let mut transaction = transaction(vec![step("1", ExecuteAs::Administrator)]);
    transaction.before = Some(Statement::plain("CREATE DATABASE \"shop\"".to_owned()));
    let script = transaction.script();
    let lines: Vec<_> = script.iter().map(|line| (line.steps(), line.statement(15))).collect();
    let lines: Vec<_> = lines.iter().map(|(steps, one)| (steps.clone(), one.redacted())).collect();
    assert_eq!(
        lines,
        [
            (0..1, "CREATE DATABASE \"shop\"".to_owned()),
            (0..0, "BEGIN".to_owned()),
            (0..0, store_memberships().redacted()),
            (0..1, "-- step 1".to_owned()),
            (0..0, verify_memberships().redacted()),
            (0..0, "COMMIT".to_owned()),
        ]
    );
}

/// Returns a step of the administrator with these statements.
fn with_statements(statements: impl IntoIterator<Item = Statement>) -> Step {
    Step { statements: statements.into_iter().collect(), ..step("", ExecuteAs::Administrator) }
}

fn usage(grantee: &str) -> Statement {
    grant_usage(&SchemaName::new_unchecked("s"), &role(grantee))
}

/// Returns the statements of the steps, each with the indexes of its steps.
fn statements(steps: Vec<Step>) -> Vec<(Range<usize>, String)> {
    let transaction = transaction(steps);
    let lines = transaction.script().into_iter().filter(|line| !line.steps().is_empty());
    lines.map(|line| (line.steps(), line.statement(16).redacted())).collect()
}

#[test]
fn steps_that_differ_in_the_grantee_are_one_statement() {
    let target = GrantTarget::Schema(SchemaName::new_unchecked("s"));
    let privileges = |privilege| Privileges::from([privilege]);
    let to = |name: &str| Grantee::Role(role(name));
    let public = Grantee::Public;
    let (select, create) = (privileges(Privilege::Select), privileges(Privilege::Create));
    let all = RevokeScope::Privilege;
    let default = |grantee: &str| {
        let schema = SchemaName::new_unchecked("s");
        grant_default(&role("o"), &schema, ObjectKind::Table, &select, &role(grantee))
    };
    type Executed = (Range<usize>, &'static str);
    let table: Vec<(Vec<Statement>, &[Executed])> = vec![
        (
            vec![usage("a"), usage("b\""), usage("c")],
            &[(0..3, r#"GRANT USAGE ON SCHEMA "s" TO "a", "b""", "c""#)],
        ),
        // A role can have the name `PUBLIC`.
        (
            vec![
                revoke(all, &create, &target, &public),
                revoke(all, &create, &target, &to("PUBLIC")),
                revoke(all, &create, &target, &to("a")),
            ],
            &[(0..3, r#"REVOKE CREATE ON SCHEMA "s" FROM PUBLIC, "PUBLIC", "a""#)],
        ),
        (
            vec![
                revoke_cascade(all, &create, &target, &to("a")),
                revoke_cascade(all, &create, &target, &to("b")),
                revoke(all, &create, &target, &to("c")),
            ],
            &[
                (0..2, r#"REVOKE CREATE ON SCHEMA "s" FROM "a", "b" CASCADE"#),
                (2..3, r#"REVOKE CREATE ON SCHEMA "s" FROM "c""#),
            ],
        ),
        (
            vec![default("a"), default("b")],
            &[(
                0..2,
                r#"ALTER DEFAULT PRIVILEGES FOR ROLE "o" IN SCHEMA "s" GRANT SELECT ON TABLES TO "a", "b""#,
            )],
        ),
        // Other privileges, and a grantee that is there already.
        (
            vec![usage("a"), grant(&create, &target, &to("b")), usage("c"), usage("d"), usage("c")],
            &[
                (0..1, r#"GRANT USAGE ON SCHEMA "s" TO "a""#),
                (1..2, r#"GRANT CREATE ON SCHEMA "s" TO "b""#),
                (2..4, r#"GRANT USAGE ON SCHEMA "s" TO "c", "d""#),
                (4..5, r#"GRANT USAGE ON SCHEMA "s" TO "c""#),
            ],
        ),
    ];
    for (steps, expected) in table {
        let steps = steps.into_iter().map(|statement| with_statements([statement])).collect();
        let expected: Vec<_> =
            expected.iter().map(|(steps, text)| (steps.clone(), (*text).to_owned())).collect();
        assert_eq!(statements(steps), expected);
    }
    // Statements without a grantee stay apart, although they are equal.
    let same = || with_statements([Statement::plain("RESET ALL".to_owned())]);
    assert_eq!(statements(vec![same(), same()]).len(), 2);
}

#[test]
fn steps_with_other_roles_or_more_statements_are_executed_by_themselves() {
    let a = || ExecuteAs::Role(role("a"));
    let granting = |grantee: &str| with_statements([usage(grantee)]);
    let as_a = |grantee: &str| granting(grantee).executed_as(a());
    let as_a_with_usage = |grantee: &str| with_usage(as_a(grantee), "t", a());
    let as_member = |grantee: &str| {
        granting(grantee).with_memberships([(role("m"), MembershipOption::Inherit)])
    };
    for (one, other) in [
        (granting("x"), as_a("y")),
        (as_a("x"), as_a_with_usage("y")),
        (granting("x"), as_member("y")),
        (granting("x"), with_statements([usage("y"), usage("z")])),
        (with_statements([usage("y"), usage("z")]), granting("x")),
    ] {
        assert!(statements(vec![one, other]).iter().all(|(steps, _)| steps.len() == 1));
    }
    for (one, other) in [
        (as_a("x"), as_a("y")),
        (as_a_with_usage("x"), as_a_with_usage("y")),
        (as_member("x"), as_member("y")),
    ] {
        let found = statements(vec![one, other]);
        assert_eq!(found, [(0..2, r#"GRANT USAGE ON SCHEMA "s" TO "x", "y""#.to_owned())]);
    }
}

#[test]
fn grantees_of_one_statement_are_limited() {
    let names = (0..=2 * MAX_GRANTEES).map(|number| with_statements([usage(&number.to_string())]));
    let found: Vec<_> = statements(names.collect()).into_iter().map(|(steps, _)| steps).collect();
    let (first, second) = (MAX_GRANTEES, 2 * MAX_GRANTEES);
    assert_eq!(found, [0..first, first..second, second..second + 1]);
}
