//! Two sessions change the same catalog row, or insert the same key: the second one fails.

use crate::assertions::{Assertions, master, on_each_version, send_and_wait_for_lock, wait_until};

/// Runs `second` while the transaction of `first` is open. `second` waits for the row and
/// fails when `first` commits.
fn race(setup: &str, first: &str, second: &str, sqlstate: &str, text: &str) {
    on_each_version(|server| {
        let (mut one, mut two) = (master(server), master(server));
        one.expect_ok(setup);
        one.expect_ok(&format!("BEGIN; {first}"));
        send_and_wait_for_lock(server, &mut two, second);
        one.expect_ok("COMMIT");
        two.expect_error_answer(sqlstate, text);
    });
}

const UPDATED: &str = "tuple concurrently updated";

#[test]
fn second_concurrent_grant_on_a_database_fails() {
    race(
        "CREATE ROLE acl_a; CREATE ROLE acl_b; CREATE DATABASE acl_db",
        "GRANT CONNECT ON DATABASE acl_db TO acl_a",
        "GRANT CONNECT ON DATABASE acl_db TO acl_b",
        "XX000",
        UPDATED,
    );
}

#[test]
fn second_concurrent_grant_on_a_table_fails() {
    race(
        "CREATE ROLE racing_a; CREATE ROLE racing_b; CREATE SCHEMA racing; CREATE TABLE racing.t ()",
        "GRANT SELECT ON racing.t TO racing_a",
        "GRANT SELECT ON racing.t TO racing_b",
        "XX000",
        UPDATED,
    );
}

#[test]
fn second_concurrent_alter_role_fails() {
    race(
        "CREATE ROLE altered_twice",
        "ALTER ROLE altered_twice CONNECTION LIMIT 3",
        "ALTER ROLE altered_twice CONNECTION LIMIT 4",
        "XX000",
        UPDATED,
    );
}

#[test]
fn second_concurrent_create_role_fails_with_a_duplicate_key() {
    race(
        "SELECT",
        "CREATE ROLE made_twice",
        "CREATE ROLE made_twice",
        "23505",
        "pg_authid_rolname_index",
    );
}

#[test]
fn concurrent_create_schema_if_not_exists_fails() {
    race(
        "SELECT",
        "CREATE SCHEMA IF NOT EXISTS made_twice",
        "CREATE SCHEMA IF NOT EXISTS made_twice",
        "23505",
        "pg_namespace_nspname_index",
    );
}

#[test]
fn concurrent_create_extension_if_not_exists_fails() {
    race(
        "CREATE SCHEMA extended",
        "CREATE EXTENSION IF NOT EXISTS citext SCHEMA extended",
        "CREATE EXTENSION IF NOT EXISTS citext SCHEMA extended",
        "23505",
        "pg_extension_name_index",
    );
}

#[test]
fn second_concurrent_default_privilege_fails_with_a_duplicate_key() {
    race(
        "CREATE ROLE first_app; GRANT first_app TO CURRENT_USER; CREATE SCHEMA first_app",
        "ALTER DEFAULT PRIVILEGES FOR ROLE first_app IN SCHEMA first_app GRANT SELECT ON TABLES TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES FOR ROLE first_app IN SCHEMA first_app GRANT SELECT ON TABLES TO PUBLIC",
        "23505",
        "pg_default_acl_role_nsp_obj_index",
    );
}

/// `CREATE DATABASE` cannot run in a transaction block. It checks that the name is free, then waits
/// up to five seconds for other sessions to leave the template.
#[test]
fn second_concurrent_create_database_fails_with_a_duplicate_key() {
    on_each_version(|server| {
        let (mut one, mut two) = (master(server), master(server));
        one.expect_ok("CREATE DATABASE waited_for");
        let process = two.expect_ok("SELECT pg_backend_pid()");
        for attempt in 0..5 {
            let name = format!("created_twice_{attempt}");
            let busy = server.superuser_session("waited_for").unwrap();
            two.send(&format!("CREATE DATABASE {name} TEMPLATE waited_for")).unwrap();
            wait_until(
                server,
                &format!(
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = {process} AND mode = 'ShareLock'
                         AND classid = 'pg_database'::regclass) OR
                         (SELECT state = 'idle' FROM pg_stat_activity WHERE pid = {process})"
                ),
            );
            one.expect_ok(&format!("CREATE DATABASE {name}"));
            drop(busy);
            let answer = two.answer().unwrap();
            let error = &answer.messages[0];
            if error.sqlstate == "23505" {
                assert!(error.text.contains("pg_database_datname_index"), "{error:?}");
                return;
            }
            // The other session was too early or too late in this attempt.
            assert!(["55006", "42P04"].contains(&error.sqlstate.as_str()), "{error:?}");
        }
        panic!("the statements never overlapped");
    });
}
