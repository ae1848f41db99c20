//! Proxies and connection poolers between the run and its server.

use std::process::Output;

use rdsprov_testkit::{PgBouncer, PoolMode, RdsProxy, Server, versions};

use crate::fixture::{Fixture, expect};
use crate::races::wait_for;

const DEFINITIONS: &str = r#"application_databases = {
  shop = { database_name = "shop", username = "shop_owner" }
}"#;

const ALL: [&str; 1] = ["*"];

fn site(major: u32) -> (Fixture, String) {
    let fixture = Fixture::on(Server::start_without_tls(major).unwrap(), None);
    fixture.app("dev", "shop", "shop_owner");
    let definitions = fixture.definitions(DEFINITIONS);
    (fixture, definitions)
}

/// Runs a command that connects to a port without TLS.
fn run(fixture: &Fixture, definitions: &str, port: u16, arguments: &[&str]) -> Output {
    let (port, secrets) = (port.to_string(), format!("file:{}", fixture.path().display()));
    let options = ["--env", "dev", "--tls", "disable", "--host", "127.0.0.1", "--port", &port];
    let words = [arguments, &options, &["--secrets", &secrets]].concat();
    if arguments[0] == "delegate" {
        return fixture.program().args(words).output().unwrap();
    }
    fixture.without_connection(definitions, &words).output().unwrap()
}

const COMMANDS: [&[&str]; 5] = [
    &["plan"],
    &["check"],
    &["apply"],
    &["access"],
    &["delegate", "--to", "rdsprov_admin", "--to-secret", "goldenpath/dev/rds/rdsprov_admin"],
];

#[test]
fn rds_proxy_is_refused() {
    for major in versions() {
        let (fixture, definitions) = site(major);
        let proxy = RdsProxy::start(&fixture.server, &["platform_admin"]).unwrap();
        let port = proxy.port();
        for command in COMMANDS {
            let text = expect(&run(&fixture, &definitions, port, command), 1);
            let error = format!(
                "error[pooled-connection]: 127.0.0.1:{port} leads to a proxy, such as RDS Proxy, \
                 through which no statement can be cancelled\n"
            );
            assert!(text.contains(&error), "PostgreSQL {major}, {command:?}: {text}");
            assert!(text.contains("hint: use the endpoint of the server itself"), "{text}");
        }
        // It was reached: the login succeeds, and no statement follows.
        let log = fixture.server.log();
        assert!(!log.contains("SET SESSION AUTHORIZATION"), "{log}");

        let other = RdsProxy::start(&fixture.server, &["another_role"]).unwrap();
        let text = expect(&run(&fixture, &definitions, other.port(), &["plan"]), 1);
        assert!(text.contains("error[pooled-connection]: "), "{text}");
        assert!(text.contains("This RDS proxy has no credentials for the role platform_admin"));
        assert!(text.contains("hint: use the endpoint of the server itself"), "{text}");
    }
}

#[test]
fn pooler_of_transactions_is_refused_without_traces() {
    for major in versions() {
        let (fixture, definitions) = site(major);
        for (mode, settings) in [
            (PoolMode::Transaction, ""),
            // Sessions of the server in turn, of which some are free.
            (PoolMode::Transaction, "server_round_robin = 1\nmin_pool_size = 3"),
            (PoolMode::Statement, ""),
        ] {
            let pooler = PgBouncer::start(&fixture.server, mode, &ALL, settings).unwrap();
            let port = pooler.port();
            for command in COMMANDS {
                let text = expect(&run(&fixture, &definitions, port, command), 1);
                let error = format!(
                    "error[pooled-connection]: 127.0.0.1:{port} leads to a connection pooler that \
                     does not keep the session from one transaction to the next\n"
                );
                assert!(text.contains(&error), "PostgreSQL {major}, {mode:?}: {text}");
                assert!(text.contains("`pool_mode = session`"), "{text}");
            }
            // Other clients get the same sessions of the server, with the settings of the server.
            let secret = fixture.server.master_password();
            let shown = std::process::Command::new("psql")
                .args(["-XAtc", "SHOW search_path", "-h", "127.0.0.1", "-p", &port.to_string()])
                .args(["-U", "platform_admin", "-d", "platform"])
                .env("PGPASSWORD", secret)
                .output()
                .unwrap();
            let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
            assert_eq!(shown.trim(), r#""$user", public"#, "PostgreSQL {major}: {}", pooler.log());
        }
        let text = expect(&run(&fixture, &definitions, fixture.server.port(), &["plan"]), 0);
        assert!(text.contains("create database shop"), "{text}");
    }
}

#[test]
fn pooler_of_sessions_can_be_used() {
    for major in versions() {
        let (fixture, definitions) = site(major);
        let pooler = PgBouncer::start(&fixture.server, PoolMode::Session, &ALL, "").unwrap();
        let port = pooler.port();
        // The plan reads template1. No session stays in it, so that it can be copied.
        let text = expect(&run(&fixture, &definitions, port, &["plan"]), 0);
        assert!(text.contains("create database shop"), "PostgreSQL {major}: {text}");
        let text = expect(&run(&fixture, &definitions, port, &["apply"]), 0);
        assert!(text.contains("create database shop"), "PostgreSQL {major}: {text}");
        let owner = "SELECT datdba::regrole FROM pg_database WHERE datname = 'shop'";
        assert_eq!(fixture.query(owner), "shop_owner");
        // PgBouncer does not know the role: its answer says nothing about the password.
        let text = expect(&run(&fixture, &definitions, port, &["check"]), 0);
        assert!(text.contains("note[password-not-checked]: "), "PostgreSQL {major}: {text}");
        assert!(
            text.contains("a connection pooler answers logins in place of the server"),
            "{text}"
        );
        let text = expect(&run(&fixture, &definitions, fixture.server.port(), &["check"]), 0);
        assert!(!text.contains("password-not-checked"), "{text}");
    }
}

/// A query in `template1` that takes too long is cancelled, and its session ends: a session there prevents
/// every new database.
#[test]
fn no_session_stays_in_the_template_after_its_time() {
    for major in versions() {
        let (fixture, definitions) = site(major);
        let pooler = PgBouncer::start(&fixture.server, PoolMode::Session, &ALL, "").unwrap();
        let session = || fixture.server.superuser_session("template1").unwrap();
        let (mut reader, mut vacuum) = (session(), session());
        reader.ask("BEGIN; SELECT count(*) FROM pg_default_acl").unwrap();
        vacuum.send("VACUUM FULL pg_default_acl").unwrap();
        wait_for(
            &fixture,
            "SELECT count(*) > 0 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted",
        );
        for port in [pooler.port(), fixture.server.port()] {
            let arguments = ["plan", "--observation-timeout", "5s"];
            let text = expect(&run(&fixture, &definitions, port, &arguments), 3);
            assert!(text.contains("refused[database-unreachable] shop: "), "{text}");
            assert!(text.contains("no response within 5 s"), "PostgreSQL {major}: {text}");
            let left = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = 'template1' AND usename = 'platform_admin'";
            assert_eq!(fixture.query(left), "0", "PostgreSQL {major}, {}", pooler.log());
        }
    }
}

/// PgBouncer knows the databases in its configuration only: the run ends before it changes anything.
#[test]
fn pooler_without_new_databases_is_refused_beforehand() {
    for major in versions() {
        let (fixture, definitions) = site(major);
        let known = ["postgres", "platform", "template1"];
        let pooler = PgBouncer::start(&fixture.server, PoolMode::Session, &known, "").unwrap();
        let text = expect(&run(&fixture, &definitions, pooler.port(), &["apply"]), 1);
        let error = "no database can be created, because the connection pooler does not pass \
            connections to new databases on: ";
        assert!(text.contains(error), "PostgreSQL {major}: {text}");
        assert!(text.contains("hint: use the endpoint of the server itself"), "{text}");
        let left = "SELECT count(*) FROM pg_roles WHERE rolname = 'shop_owner'";
        assert_eq!(fixture.query(left), "0", "PostgreSQL {major}");
    }
}

/// A pooler with one session of the server for each database.
#[test]
fn pooler_needs_no_second_session() {
    let (fixture, definitions) = site(versions()[0]);
    for (mode, code) in [(PoolMode::Session, 0), (PoolMode::Transaction, 1)] {
        let one = "default_pool_size = 1\nmax_db_connections = 1";
        let pooler = PgBouncer::start(&fixture.server, mode, &ALL, one).unwrap();
        let text = expect(&run(&fixture, &definitions, pooler.port(), &["apply"]), code);
        assert_eq!(text.contains("error[pooled-connection]: "), code == 1, "{mode:?}: {text}");
    }
    let owner = "SELECT datdba::regrole FROM pg_database WHERE datname = 'shop'";
    assert_eq!(fixture.query(owner), "shop_owner");
}

/// Before PostgreSQL 15, a delegate gets schema `public` of template1. No session stays there.
#[test]
fn delegate_is_created_through_a_pooler_of_sessions() {
    for major in versions() {
        let (fixture, definitions) = site(major);
        let pooler = PgBouncer::start(&fixture.server, PoolMode::Session, &ALL, "").unwrap();
        let [.., delegate] = COMMANDS;
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'template1'";
        if major < 15 {
            // Nothing connects to template1 again after a transaction there that fails.
            fixture.query_in(
                "template1",
                "CREATE FUNCTION fail() RETURNS event_trigger LANGUAGE plpgsql
                   AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
                 CREATE EVENT TRIGGER fail ON ddl_command_start WHEN TAG IN ('ALTER SCHEMA')
                   EXECUTE FUNCTION fail()",
            );
            let text = expect(&run(&fixture, &definitions, pooler.port(), delegate), 4);
            assert!(text.contains("not now (P0001)"), "PostgreSQL {major}: {text}");
            assert_eq!(fixture.query(sessions), "0", "PostgreSQL {major}");
            fixture.query_in("template1", "DROP EVENT TRIGGER fail; DROP FUNCTION fail()");
        }
        let text = expect(&run(&fixture, &definitions, pooler.port(), delegate), 0);
        let transfers = "alter schema public of database template1: owner rdsprov_admin";
        assert_eq!(text.contains(transfers), major < 15, "PostgreSQL {major}: {text}");
        assert_eq!(fixture.query(sessions), "0", "PostgreSQL {major}");
        // With a session in template1, no database could be created.
        expect(&run(&fixture, &definitions, fixture.server.port(), &["apply"]), 0);
        let again = expect(&run(&fixture, &definitions, pooler.port(), delegate), 0);
        assert!(again.contains("CONNECT on database shop"), "PostgreSQL {major}: {again}");
    }
}
