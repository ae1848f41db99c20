//! Databases are created and changed at the same time.

use std::process::{Command, Stdio};

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect};
use crate::races::wait_for;

/// Enough new databases for a second session.
const DATABASES: usize = 9;

/// Returns definitions of databases that a reader can enter each.
fn definitions(fixture: &Fixture) -> String {
    let entries = (0..DATABASES).map(|number| {
        let (owner, reader) = (format!("app{number}"), format!("reports{number}"));
        fixture.app("dev", &owner, &format!("owner{number}"));
        fixture.app("dev", &reader, &format!("reader{number}"));
        format!(
            "{owner} = {{ database_name = \"app{number}\", username = \"owner{number}\" }}\n\
             {reader} = {{ database_name = \"app{number}\", username = \"reader{number}\", \
             access_level = \"reader\" }}\n"
        )
    });
    let entries: String = entries.collect();
    fixture.definitions(&format!("application_databases = {{\n{entries}}}"))
}

/// Returns the columns database, username, action and status of the records that a run prints.
fn records(text: &str) -> Vec<[String; 4]> {
    let rows = text.lines().filter(|line| line.contains(",dev,"));
    let columns = rows.map(|row| {
        let columns: Vec<&str> = row.split(',').collect();
        [4, 5, 6, 7].map(|number: usize| columns[number].to_owned())
    });
    columns.collect()
}

/// With few connections, a run takes longer, and nothing else changes.
#[test]
fn number_of_connections_changes_only_the_time() {
    let major = *versions().last().unwrap();
    let applied = |arguments: &[&str]| {
        let fixture = Fixture::new(major);
        let definitions = definitions(&fixture);
        let arguments = [&["apply", "--env", "dev"], arguments].concat();
        let applied = fixture.run(&definitions, &arguments);
        expect(&applied, 0);
        (fixture, definitions, records(&String::from_utf8_lossy(&applied.stdout)))
    };
    let (_, _, with_many) = applied(&[]);
    let (few, definitions, with_few) = applied(&["--max-connections", "4"]);
    assert!(with_few.len() > 4 * DATABASES, "{with_few:?}");
    assert_eq!(with_many, with_few);

    // The server may take a moment to end a session of the run.
    few.server.superuser("postgres", "ALTER ROLE platform_admin CONNECTION LIMIT 6").unwrap();
    let rejected = || few.server.log().matches("too many connections for role").count();
    // Without the logins of the owners, the administrator reads all databases.
    let check = ["check", "--env", "dev", "--verify-passwords", "never"];
    expect(&few.run(&definitions, &[&check[..], &["--max-connections", "4"]].concat()), 0);
    assert_eq!(rejected(), 0);
    expect(&few.run(&definitions, &check), 0);
    assert_ne!(rejected(), 0);
    let too_few = few.run(&definitions, &["check", "--env", "dev", "--max-connections", "3"]);
    assert!(expect(&too_few, 64).contains("`3` is not a number from 4"));
}

/// After a failure, each record says what is true, and the next run completes the others.
#[test]
fn each_step_has_its_own_result_after_a_failure() {
    let fixture = Fixture::new(*versions().last().unwrap());
    let definitions = definitions(&fixture);
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    let refuse = "CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql AS
        $$BEGIN RAISE 'no grants today'; END$$;
        CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('GRANT') EXECUTE FUNCTION public.refuse()";
    fixture.server.superuser("app2", refuse).unwrap();
    for (arguments, code) in [
        (&["apply", "--env", "dev"][..], None),
        (&["apply", "--env", "dev", "--no-fail-fast"], Some(4)),
    ] {
        // A run that stops may have granted everything else before.
        for number in 0..DATABASES {
            let revoke = format!("REVOKE USAGE ON SCHEMA public FROM PUBLIC, reader{number}");
            fixture.server.superuser(&format!("app{number}"), &revoke).unwrap();
        }
        let failed = fixture.run(&definitions, arguments);
        let text = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(code.is_none_or(|code| failed.status.code() == Some(code)), "{text}");
        assert!(text.contains("no grants today"), "{text}");
        let mut records = records(&String::from_utf8_lossy(&failed.stdout));
        records.retain(|[_, _, action, _]| action == "grant");
        let places: Vec<&String> = records.iter().map(|[database, ..]| database).collect();
        assert!(places.is_sorted(), "{records:?}");
        for number in 0..DATABASES {
            let name = format!("app{number}");
            let of_database: Vec<&str> =
                records.iter().filter(|one| one[0] == name).map(|one| one[3].as_str()).collect();
            let usage = format!("SELECT has_schema_privilege('reader{number}', 'public', 'USAGE')");
            let has_usage = fixture.query_in(&name, &usage) == "t";
            match of_database[..] {
                ["error"] => assert!(number == 2 && !has_usage, "{records:?}"),
                ["success"] => assert!(number != 2 && has_usage, "{records:?}"),
                ["not_run"] => assert!(code.is_none() && number > 2 && !has_usage, "{records:?}"),
                _ => panic!("{name}: {records:?}"),
            }
        }
    }
    fixture.server.superuser("app2", "DROP EVENT TRIGGER refuse; DROP FUNCTION refuse").unwrap();
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
}

/// The session with the lock can end before another one in which the run changes something.
#[test]
fn next_run_waits_for_each_session_of_a_killed_one() {
    let fixture = Fixture::new(*versions().last().unwrap());
    let definitions = definitions(&fixture);
    for (database, catalog, statement, number) in
        [("postgres", "pg_database", "CREATE DATABASE", 2), ("app0", "pg_namespace", "GRANT", 1)]
    {
        if database != "postgres" {
            let revoke = "REVOKE USAGE ON SCHEMA public FROM PUBLIC, reader0";
            fixture.server.superuser(database, revoke).unwrap();
        }
        let mut locker = fixture.server.superuser_session(database).unwrap();
        locker.ask(&format!("BEGIN; LOCK TABLE {catalog} IN SHARE MODE")).unwrap();
        let mut command = fixture.command(&definitions, &["apply", "--env", "dev"]);
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let waiting = format!(
            "FROM pg_stat_activity WHERE query LIKE '{statement}%' AND wait_event_type = 'Lock'"
        );
        wait_for(&fixture, &format!("SELECT count(*) = {number} {waiting}"));
        let newest = format!("SELECT pid {waiting} ORDER BY backend_start DESC LIMIT 1");
        let pid = fixture.query(&newest);
        let signal = |signal: &str| {
            assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        };
        // The server is busy with the statement of this session.
        signal("-STOP");
        run.kill().unwrap();
        run.wait().unwrap();
        locker.ask("ROLLBACK").unwrap();
        let others = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity
            WHERE application_name LIKE 'rdsprov%' AND pid <> ";
        wait_for(&fixture, &format!("{others}{pid})"));
        let next = fixture.run(&definitions, &["apply", "--env", "dev", "--lock-timeout", "1s"]);
        let text = expect(&next, 1);
        signal("-CONT");
        assert!(text.contains(&pid), "{database}: {text}");
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    }
}
