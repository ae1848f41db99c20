//! Readers and standbys, and the failover to another server behind the same name.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rdsprov_testkit::{Server, SwitchingRelay, versions};

use crate::fixture::{Fixture, expect, writes};

const DEFINITIONS: &str = r#"application_databases = {
  shop         = { database_name = "shop", username = "shop_owner", schemas = ["public", "stock"] }
  shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#;

/// A server with its standby, and the relay that is the name of both.
struct Cluster {
    fixture: Fixture,
    standby: Server,
    relay: SwitchingRelay,
    definitions: String,
}

impl Cluster {
    fn start(major: u32) -> Self {
        let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
        let standby = Server::start_standby_of(&fixture.server).unwrap();
        let relay = SwitchingRelay::start(&fixture.server).unwrap();
        Self { fixture, standby, relay, definitions }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let to = format!("127.0.0.1:{}", self.relay.port());
        let connection = ["--env", "dev", "--connect-to", to.as_str()];
        self.fixture.command(&self.definitions, &[arguments, &connection].concat())
    }

    fn run(&self, arguments: &[&str], code: i32) -> String {
        expect(&self.command(arguments).output().unwrap(), code)
    }

    /// Waits until the standby has everything that the primary has committed.
    fn follow(&self) {
        let position = self.fixture.query("SELECT pg_current_wal_flush_lsn()");
        let caught_up = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'");
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.standby.superuser("postgres", &caught_up).unwrap().trim() != "t" {
            assert!(Instant::now() < deadline, "{}", self.standby.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

const READ_ONLY: &str = "is read-only: the server is a reader or a standby";

#[test]
fn reader_is_planned_and_not_changed() {
    for major in versions() {
        let cluster = Cluster::start(major);
        let server = format!("localhost:{}", cluster.fixture.server.port());
        cluster.relay.switch_to(&cluster.standby);
        // The roles and databases are all new, so that the plan needs no permission in doubt.
        let text = cluster.run(&["plan"], 0);
        assert!(text.contains("create database shop"), "PostgreSQL {major}: {text}");
        for arguments in [&["apply"][..], &["apply", "--dry-run"]] {
            let started = Instant::now();
            let text = cluster.run(&[arguments, &["--connect-timeout", "3"]].concat(), 1);
            let error = format!("error[server-is-read-only]: {server} {READ_ONLY}\n");
            assert!(text.contains(&error), "PostgreSQL {major}: {text}");
            assert!(text.contains("hint: use the writer endpoint"), "{text}");
            let note = format!("note: waiting up to 3 s for a writer at {server}: ");
            assert_eq!(text.matches(&note).count(), 1, "{text}");
            let waited = started.elapsed();
            assert!(waited > Duration::from_secs(1) && waited < Duration::from_secs(6));
        }
        let mut delegate = cluster.fixture.delegate("dev");
        let to = format!("127.0.0.1:{}", cluster.relay.port());
        delegate.args(["--connect-to", &to, "--connect-timeout", "2"]);
        let text = expect(&delegate.output().unwrap(), 1);
        assert!(text.contains("error[server-is-read-only]: "), "{text}");

        // What is applied on the writer is there on the reader.
        cluster.relay.switch_to(&cluster.fixture.server);
        cluster.run(&["apply"], 0);
        cluster.follow();
        cluster.relay.switch_to(&cluster.standby);
        cluster.run(&["check"], 0);
        let text = cluster.run(&["access"], 0);
        assert!(text.contains("shop_reader"), "{text}");
        assert_eq!(writes(&cluster.standby.log()), Vec::<String>::new(), "PostgreSQL {major}");
    }
}

/// Whether the administrator may alter a role that another role created is a question for a probe.
#[test]
fn reader_executes_no_probe() {
    for major in versions() {
        let cluster = Cluster::start(major);
        cluster.fixture.query(
            "ALTER ROLE platform_admin NOCREATEROLE NOCREATEDB;
             CREATE ROLE shop_owner LOGIN; ALTER ROLE platform_admin SET work_mem = '5MB'",
        );
        if major >= 16 {
            cluster.fixture.query(
                "GRANT shop_owner TO platform_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
            );
        }
        cluster.follow();
        let definitions =
            DEFINITIONS.replace(r#""shop_owner", "#, r#""shop_owner", adopt = true, "#);
        std::fs::write(&cluster.definitions, definitions).unwrap();
        let before = cluster.standby.log().len();
        cluster.relay.switch_to(&cluster.standby);
        let text = cluster.run(&["plan"], 0);
        let note = "note[permissions-not-checked]: the server is a reader or a standby";
        assert!(text.contains(note), "PostgreSQL {major}: {text}");
        let log = cluster.standby.log();
        assert_eq!(writes(&log[before..]), Vec::<String>::new(), "PostgreSQL {major}");
        assert!(!log.contains("25006") && !log.contains("read-only transaction"), "{log}");
        // The writer rejects the same statements: the master user has lost its attributes.
        cluster.relay.switch_to(&cluster.fixture.server);
        let text = cluster.run(&["plan"], 3);
        assert!(!text.contains("permissions-not-checked"), "{text}");
    }
}

#[test]
fn run_waits_for_the_new_writer() {
    for major in versions() {
        let mut cluster = Cluster::start(major);
        cluster.run(&["apply", "--only", "shop"], 0);
        cluster.follow();
        // The former writer is gone. The name leads to the standby, which is promoted later.
        cluster.relay.switch_to(&cluster.standby);
        let mut run = cluster.command(&["apply"]);
        let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let before = cluster.relay.connections();
        // The run connects again and again.
        while cluster.relay.connections() < before.max(1) + 4 {
            assert!(Instant::now() < deadline, "the run does not connect again");
            std::thread::sleep(Duration::from_millis(50));
        }
        cluster.standby.promote().unwrap();
        let text = expect(&run.wait_with_output().unwrap(), 0);
        assert!(text.contains("waiting up to 1 min for a writer at"), "{text}");
        let roles = "SELECT count(*) FROM pg_roles WHERE rolname ~ '^shop_'";
        let count = |server: &Server| server.superuser("postgres", roles).unwrap();
        assert_eq!(count(&cluster.standby).trim(), "2", "PostgreSQL {major}");
        assert_eq!(count(&cluster.fixture.server).trim(), "1");
        // The name can also lead to another server, which has been the writer all the time.
        cluster.standby = Server::start_standby_of(&cluster.fixture.server).unwrap();
        cluster.relay.switch_to(&cluster.standby);
        cluster.relay.switch_after(4, &cluster.fixture.server);
        cluster.run(&["apply"], 0);
        assert_eq!(count(&cluster.fixture.server).trim(), "2");
    }
}

/// The session of a transaction meets a server that no longer accepts changes.
#[test]
fn writer_is_demoted_during_the_run() {
    for major in versions() {
        let cluster = Cluster::start(major);
        cluster.run(&["apply"], 0);
        let revoke = "REVOKE USAGE ON SCHEMA stock FROM shop_owner; DROP SCHEMA stock CASCADE";
        cluster.fixture.query_in("shop", revoke);
        cluster.follow();
        // All connections of the plan are to the writer; the transaction in the database comes next.
        let so_far = cluster.relay.connections();
        cluster.run(&["plan"], 0);
        let of_plan = cluster.relay.connections() - so_far;
        cluster.relay.switch_after(of_plan + 1, &cluster.standby);
        let text = cluster.run(&["apply"], 1);
        assert!(text.contains("error[server-is-read-only]: "), "PostgreSQL {major}: {text}");
        assert!(
            text.contains(READ_ONLY) && text.contains("hint: use the writer endpoint"),
            "{text}"
        );

        // A statement fails with 25006.
        cluster.relay.switch_to(&cluster.fixture.server);
        cluster.fixture.query_in(
            "shop",
            "CREATE FUNCTION demoted() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
               RAISE EXCEPTION USING ERRCODE = '25006',
                 MESSAGE = 'cannot execute ' || tg_tag || ' in a read-only transaction'; END $$;
             CREATE EVENT TRIGGER demoted ON ddl_command_start WHEN TAG IN ('CREATE SCHEMA')
               EXECUTE FUNCTION demoted()",
        );
        let text = cluster.run(&["apply"], 1);
        assert!(text.contains("error[server-is-read-only]: "), "PostgreSQL {major}: {text}");
        assert!(text.contains("in a read-only transaction (25006)"), "{text}");
        assert!(text.contains("hint: use the writer endpoint"), "{text}");
    }
}

/// A new writer that rejects the password is asked once: its log shows each attempt.
#[test]
fn rejected_password_is_not_repeated() {
    let major = versions()[0];
    let cluster = Cluster::start(major);
    let other = Server::start(major).unwrap();
    other.superuser("postgres", "ALTER ROLE platform_admin PASSWORD 'another'").unwrap();
    cluster.relay.switch_to(&cluster.standby);
    // The first two are the connection of the run, and that for its lock.
    cluster.relay.switch_after(3, &other);
    let text = cluster.run(&["apply"], 1);
    assert!(text.contains("error[authentication-failed]: ") && text.contains("28P01"), "{text}");
    let rejected = "password authentication failed for user \"platform_admin\"";
    assert_eq!(other.log().matches(rejected).count(), 1, "{}", other.log());
}

/// One limit holds for all connections: the last one has no limit of its own.
#[test]
fn silent_server_does_not_prolong_the_wait_for_a_writer() {
    let cluster = Cluster::start(versions()[0]);
    cluster.relay.switch_to(&cluster.standby);
    cluster.relay.silence_after(3).unwrap();
    let text = cluster.run(&["apply", "--connect-timeout", "6"], 1);
    assert!(text.contains("error[server-is-read-only]: "), "{text}");
    assert!(!text.contains("no response"), "{text}");
}

/// A rotation on a reader changes neither the server nor the secrets.
#[test]
fn reader_is_not_rotated() {
    let major = versions()[0];
    let fixture = Fixture::with_secrets_manager(major);
    fixture.app("dev", "shop", "shop_owner");
    let definitions = fixture.definitions(
        r#"application_databases = {
            shop = { database_name = "shop", username = "shop_owner" }
        }"#,
    );
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    let standby = Server::start_standby_of(&fixture.server).unwrap();
    let relay = SwitchingRelay::start(&standby).unwrap();
    let to = format!("127.0.0.1:{}", relay.port());
    let rotate = ["rotate", "shop", "--env", "dev", "--connect-timeout", "2", "--connect-to", &to];
    let secrets = fixture.secrets_manager.as_ref().unwrap();
    let id = "goldenpath/dev/shop/postgres";
    let text = expect(&fixture.run(&definitions, &rotate), 1);
    assert!(text.contains("error[server-is-read-only]: "), "{text}");
    assert!(text.contains("hint: use the writer endpoint"), "{text}");
    assert!(secrets.at_stage(id, "AWSPENDING").unwrap().is_none(), "{text}");
    // On the writer, the same command works.
    relay.switch_to(&fixture.server);
    expect(&fixture.run(&definitions, &rotate), 0);
}
