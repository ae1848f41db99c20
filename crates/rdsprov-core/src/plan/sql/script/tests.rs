//! The order of the statements of a transaction as tables: memberships, roles and temporary
//! usage around the steps.

use super::*;
use crate::name::{ApplicationName, DatabaseName, SchemaName};
use crate::plan::{Action, Identities, Scope, Step};

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
        steps,
    }
}

/// Returns the statements between `BEGIN` and `COMMIT`, and checks which of them belong to a step.
fn between(transaction: &Transaction, server_major: u32) -> Vec<String> {
    let script = transaction.script();
    let texts: Vec<String> =
        script.iter().map(|line| line.statement(server_major).redacted()).collect();
    for (line, text) in script.iter().zip(&texts) {
        assert_eq!(line.step().is_some(), text.starts_with("-- step"), "{text}");
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
    let lines: Vec<_> = script.iter().map(|line| (line.step(), line.statement(15))).collect();
    let lines: Vec<_> = lines.iter().map(|(step, one)| (*step, one.redacted())).collect();
    assert_eq!(
        lines,
        [
            (Some(0), "CREATE DATABASE \"shop\"".to_owned()),
            (None, "BEGIN".to_owned()),
            (None, store_memberships().redacted()),
            (Some(0), "-- step 1".to_owned()),
            (None, verify_memberships().redacted()),
            (None, "COMMIT".to_owned()),
        ]
    );
}
