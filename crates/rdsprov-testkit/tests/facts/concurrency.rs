//! Concurrent sessions on one server: locks, template databases, interrupted creation, standbys.

use rdsprov_testkit::Server;

use crate::assertions::{Assertions, master, on_each_version, send_and_wait_for_lock};

#[test]
fn advisory_locks_are_per_database() {
    on_each_version(|server| {
        let (mut first, mut second) = (master(server), master(server));
        first.expect_ok("SELECT pg_advisory_lock(7301)");
        assert_eq!(second.expect_ok("SELECT pg_try_advisory_lock(7301)"), "f");
        let mut elsewhere = server.master_session("postgres").unwrap();
        assert_eq!(elsewhere.expect_ok("SELECT pg_try_advisory_lock(7301)"), "t");
        // Under the advisory lock, changes of one catalog row are serialised.
        first.expect_ok("CREATE ROLE serial_app; CREATE DATABASE serial_db");
        let change = "GRANT CONNECT ON DATABASE serial_db TO serial_app";
        first.expect_ok(&format!("BEGIN; {change}"));
        send_and_wait_for_lock(
            server,
            &mut second,
            &format!("SELECT pg_advisory_lock(7301); {change}; SELECT pg_advisory_unlock(7301)"),
        );
        first.expect_ok("COMMIT; SELECT pg_advisory_unlock(7301)");
        second.expect_ok_answer();
    });
}

#[test]
fn template_with_sessions_cannot_be_copied() {
    on_each_version(|server| {
        let mut master = master(server);
        // The test has its own template, because other tests copy template1.
        master.expect_ok("CREATE DATABASE busy_template");
        let mut inside = server.superuser_session("busy_template").unwrap();
        inside.expect_ok("SET application_name = 'observer'");
        let create = "CREATE DATABASE busy_copy TEMPLATE busy_template";
        let text = "source database \"busy_template\" is being accessed by other users\n\
            DETAIL:  There is 1 other session using the database.";
        master.expect_error(create, "55006", text);
        // The administrator can see which session it is.
        let who = "SELECT usename, application_name FROM pg_stat_activity WHERE datname = 'busy_template'";
        assert_eq!(master.expect_ok(who), "rdsadmin|observer");
        drop(inside);
        // The server itself waits up to five seconds for sessions to leave.
        master.expect_ok(create);
    });
}

#[test]
fn create_database_fails_in_a_transaction() {
    on_each_version(|server| {
        let mut master = master(server);
        let create = "BEGIN; CREATE DATABASE transaction_db";
        let text = "CREATE DATABASE cannot run inside a transaction block";
        master.expect_error(create, "25001", text);
        master.expect_ok("ROLLBACK");
    });
}

#[test]
fn interrupted_create_database_leaves_no_database() {
    on_each_version(|server| {
        let mut master = master(server);
        let exists = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'interrupted')";
        // The timeout is doubled until the statement completes.
        let mut milliseconds = 1;
        loop {
            master.expect_ok(&format!("SET statement_timeout = {milliseconds}"));
            let answer = master.ask("CREATE DATABASE interrupted").unwrap();
            // This statement may exceed the timeout as well.
            while !master.ask("RESET statement_timeout").unwrap().messages.is_empty() {}
            let Some(error) = answer.messages.first() else { break };
            // Where the timeout meets a read of the template, PostgreSQL 18 fails again while it
            // removes the copied files, and reports that failure.
            let during_a_read = server.major() == 18
                && error.sqlstate == "XX000"
                && error.text == "starting batch while batch already in progress";
            assert!(error.sqlstate == "57014" || during_a_read, "{error:?}");
            assert_eq!(master.expect_ok(exists), "f");
            milliseconds *= 2;
        }
        assert!(milliseconds > 1, "the statement was never interrupted");
        assert_eq!(master.expect_ok(exists), "t");
    });
}

#[test]
fn standby_rejects_every_change() {
    on_each_version(|primary| {
        let server = Server::start_standby(primary.major()).unwrap();
        let mut master = master(&server);
        assert_eq!(master.expect_ok("SELECT pg_is_in_recovery()"), "t");
        for (statement, command) in [
            ("CREATE ROLE standby_app", "CREATE ROLE"),
            ("CREATE DATABASE standby_db", "CREATE DATABASE"),
            ("GRANT CONNECT ON DATABASE platform TO rds_iam", "GRANT"),
            ("COMMENT ON DATABASE platform IS 'x'", "COMMENT"),
            ("ALTER ROLE rds_iam PASSWORD 'x'", "ALTER ROLE"),
        ] {
            master.expect_error(statement, "25006", &format!("cannot execute {command}"));
        }
    });
}
