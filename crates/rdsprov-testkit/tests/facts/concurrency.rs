//! Concurrent sessions on one server: locks, template databases, interrupted creation, standbys.

use rdsprov_testkit::Server;

use crate::ask::{Ask, master, on_each_version, send_and_wait_for_lock};

#[test]
fn an_advisory_lock_serialises_sessions_of_one_database_only() {
    on_each_version(|server| {
        let (mut first, mut second) = (master(server), master(server));
        first.done("SELECT pg_advisory_lock(7301)");
        assert_eq!(second.done("SELECT pg_try_advisory_lock(7301)"), "f");
        let mut elsewhere = server.master_session("postgres").unwrap();
        assert_eq!(elsewhere.done("SELECT pg_try_advisory_lock(7301)"), "t");
        // Under the advisory lock, changes of one catalog row are serialised.
        first.done("CREATE ROLE serial_app; CREATE DATABASE serial_db");
        let change = "GRANT CONNECT ON DATABASE serial_db TO serial_app";
        first.done(&format!("BEGIN; {change}"));
        send_and_wait_for_lock(
            server,
            &mut second,
            &format!("SELECT pg_advisory_lock(7301); {change}; SELECT pg_advisory_unlock(7301)"),
        );
        first.done("COMMIT; SELECT pg_advisory_unlock(7301)");
        second.answers_done();
    });
}

#[test]
fn a_template_in_use_is_not_copied() {
    on_each_version(|server| {
        let mut master = master(server);
        // The test has its own template, because other tests copy template1.
        master.done("CREATE DATABASE busy_template");
        let mut inside = server.superuser_session("busy_template").unwrap();
        inside.done("SET application_name = 'somebody'");
        let create = "CREATE DATABASE busy_copy TEMPLATE busy_template";
        let words = "source database \"busy_template\" is being accessed by other users\n\
            DETAIL:  There is 1 other session using the database.";
        master.refused(create, "55006", words);
        // The administrator can see which session it is.
        let who = "SELECT usename, application_name FROM pg_stat_activity WHERE datname = 'busy_template'";
        assert_eq!(master.done(who), "rdsadmin|somebody");
        drop(inside);
        // The server itself waits up to five seconds for sessions to leave.
        master.done(create);
    });
}

#[test]
fn a_database_is_not_created_in_a_transaction() {
    on_each_version(|server| {
        let mut master = master(server);
        let create = "BEGIN; CREATE DATABASE transaction_db";
        let words = "CREATE DATABASE cannot run inside a transaction block";
        master.refused(create, "25001", words);
        master.done("ROLLBACK");
    });
}

#[test]
fn an_interrupted_creation_of_a_database_leaves_none() {
    on_each_version(|server| {
        let mut master = master(server);
        let exists = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'interrupted')";
        // The timeout is doubled until the statement completes.
        let mut milliseconds = 1;
        loop {
            master.done(&format!("SET statement_timeout = {milliseconds}"));
            let answer = master.ask("CREATE DATABASE interrupted").unwrap();
            // This statement may exceed the timeout as well.
            while !master.ask("RESET statement_timeout").unwrap().messages.is_empty() {}
            let Some(error) = answer.messages.first() else { break };
            assert_eq!(error.sqlstate, "57014", "{error:?}");
            assert_eq!(master.done(exists), "f");
            milliseconds *= 2;
        }
        assert!(milliseconds > 1, "it was never interrupted");
        assert_eq!(master.done(exists), "t");
    });
}

#[test]
fn a_standby_refuses_every_change() {
    on_each_version(|primary| {
        let server = Server::start_standby(primary.major()).unwrap();
        let mut master = master(&server);
        assert_eq!(master.done("SELECT pg_is_in_recovery()"), "t");
        for (statement, command) in [
            ("CREATE ROLE standby_app", "CREATE ROLE"),
            ("CREATE DATABASE standby_db", "CREATE DATABASE"),
            ("GRANT CONNECT ON DATABASE platform TO rds_iam", "GRANT"),
            ("COMMENT ON DATABASE platform IS 'x'", "COMMENT"),
            ("ALTER ROLE rds_iam PASSWORD 'x'", "ALTER ROLE"),
        ] {
            master.refused(statement, "25006", &format!("cannot execute {command}"));
        }
    });
}
