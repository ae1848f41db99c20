//! The whole path as a platform engineer walks it: the command, against a server in the shape of RDS.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::PathBuf;
use std::process::{Command, Output};

use rdsprov_testkit::{Server, versions};
use tempfile::TempDir;

/// A server, a directory of secrets, and the command.
struct Bench {
    server: Server,
    directory: TempDir,
}

impl Bench {
    fn new(major: u32) -> Self {
        let bench =
            Self { server: Server::start(major).unwrap(), directory: TempDir::new().unwrap() };
        for environment in ["dev", "prod"] {
            bench.secret(
                &format!("goldenpath/{environment}/rds/master"),
                &bench.server.admin_secret(),
            );
        }
        bench
    }

    fn secret(&self, id: &str, text: &str) {
        let path = self.directory.path().join(format!("{id}.json"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The secret of an application; the password is the application's.
    fn app(&self, environment: &str, application: &str, username: &str) {
        self.secret(
            &format!("goldenpath/{environment}/{application}/postgres"),
            &format!(r#"{{"username": "{username}", "password": "{}"}}"#, password(application)),
        );
    }

    fn rdsprov(&self, definitions: &str, arguments: &[&str], approval: Option<&str>) -> Output {
        let testdata = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_rdsprov"));
        command
            .current_dir(self.directory.path())
            .env_remove("ALLOW_DB_PROVISION")
            .args(arguments)
            .arg("--secrets")
            .arg(format!("file:{}", self.directory.path().display()))
            .arg("--ca-file")
            .arg(self.server.ca_file())
            .arg("-d")
            .arg(testdata.join(definitions));
        if let Some(approval) = approval {
            command.env("ALLOW_DB_PROVISION", approval);
        }
        command.output().unwrap()
    }

    fn query(&self, sql: &str) -> String {
        self.server.superuser("postgres", sql).unwrap().trim().to_owned()
    }

    /// What a refused run must not change: roles, memberships, databases, ACLs, comments.
    fn picture(&self) -> String {
        self.query(
            "SELECT string_agg(t, E'\\n' ORDER BY t) FROM (
               SELECT r::text FROM pg_authid r UNION ALL SELECT m::text FROM pg_auth_members m
               UNION ALL SELECT datname || datdba || coalesce(datacl::text, '') || datallowconn
                 FROM pg_database
               UNION ALL SELECT d::text FROM pg_shdescription d) x(t)",
        )
    }

    fn admin_grants(&self) -> String {
        self.query(
            "SELECT count(*) FROM pg_auth_members WHERE pg_get_userbyid(grantor) = 'platform_admin'
               AND pg_get_userbyid(member) = 'platform_admin'",
        )
    }
}

fn password(application: &str) -> String {
    format!("Canary-{application}-5b1e")
}

#[track_caller]
fn expect(output: &Output, code: i32) -> String {
    let all = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code), "{all}");
    assert!(!all.contains("Canary-"), "a password was printed: {all}");
    all
}

/// The statements of a log that write.
fn writes(log: &str) -> Vec<&str> {
    const WORDS: [&str; 8] = [
        "CREATE ",
        "ALTER ",
        "GRANT ",
        "REVOKE ",
        "COMMENT ",
        "DROP ",
        "INSERT ",
        "SET LOCAL ROLE",
    ];
    log.lines()
        .filter(|line| line.contains("statement: ") || line.contains("execute "))
        .filter(|line| WORDS.iter().any(|word| line.contains(word)))
        .collect()
}

#[test]
fn what_teams_write_converges() {
    for major in versions() {
        let bench = Bench::new(major);
        bench.app("dev", "keycloak", "keycloak_user");
        bench.app("dev", "backstage", "backstage_user");
        let definitions = "teams/standalone.tfvars";
        let before = bench.admin_grants();
        let audit = bench.directory.path().join("records/audit.csv").display().to_string();
        let old_flags = ["--require-approval", "--no-fail-fast", "--skip-preflight"];
        let mut words = vec!["apply", "--env", "dev", "--build-id", "16-01-26-01", "--run-id", "7"];
        words.extend(["--audit-output", &audit]);
        words.extend(old_flags);
        let dry = [words.as_slice(), &["--dry-run"]].concat();
        let picture = bench.picture();
        assert!(expect(&bench.rdsprov(definitions, &dry, None), 0).contains("dry_run"));
        assert_eq!(bench.picture(), picture, "a dry run changed something");

        let shown = expect(&bench.rdsprov(definitions, &words, None), 0);
        assert!(shown.contains("create_database,success"), "{shown}");
        assert_eq!(bench.admin_grants(), before, "a membership of the administrator stayed");
        for (application, user) in [("keycloak", "keycloak_user"), ("backstage", "backstage_user")]
        {
            let sql = "CREATE TABLE t (id serial); INSERT INTO t DEFAULT VALUES";
            bench.server.sql_as(user, &password(application), application, sql).unwrap();
            let comment = bench.query(&format!(
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{application}'"
            ));
            assert!(comment.contains("build_id=16-01-26-01"), "{comment}");
        }
        let stranger = password("backstage");
        let entered = bench.server.sql_as("backstage_user", &stranger, "keycloak", "SELECT 1");
        assert!(entered.is_err(), "a stranger can enter");

        let mark = bench.server.log().len();
        let again = bench.rdsprov(definitions, &["apply", "--audit-output", &audit], None);
        assert!(expect(&again, 0).contains("no_change"));
        let log = bench.server.log();
        assert_eq!(writes(&log[mark..]), Vec::<&str>::new());
        expect(&bench.rdsprov(definitions, &["plan", "--detailed-exitcode"], None), 0);
        expect(&bench.rdsprov(definitions, &["check"], None), 0);
        let records = std::fs::read_to_string(&audit).unwrap();
        assert!(records.contains("intent") && !records.contains("Canary-"), "{records}");
        assert!(!log.contains("Canary-"), "a password reached the server's log");
    }
}

#[test]
fn prod_needs_approval_and_is_not_contacted_without() {
    for major in versions() {
        let bench = Bench::new(major);
        bench.app("prod", "keycloak", "keycloak_app");
        bench.app("prod", "backstage", "backstage_app");
        let definitions = "teams/coupled.tfvars";
        let apply = ["apply", "--env", "prod"];
        let mark = bench.server.log().len();
        let refused = expect(&bench.rdsprov(definitions, &apply, None), 3);
        assert!(refused.contains("ALLOW_DB_PROVISION=true"), "{refused}");
        assert_eq!(bench.server.log().len(), mark, "the server was contacted");
        expect(&bench.rdsprov(definitions, &apply, Some("TRUE")), 0);
        expect(&bench.rdsprov(definitions, &["check", "--env", "prod"], None), 0);
    }
}

#[test]
fn a_contradicting_environment_is_refused() {
    let bench = Bench::new(versions()[0]);
    let apply = ["apply", "--env", "prod"];
    let shown = expect(&bench.rdsprov("teams/standalone.tfvars", &apply, Some("true")), 3);
    assert!(shown.contains("\"prod\"") && shown.contains("\"dev\""), "{shown}");
}

#[test]
fn each_level_may_do_what_its_table_says() {
    for major in versions() {
        let bench = Bench::new(major);
        bench.app("dev", "shop", "shop_owner");
        bench.app("dev", "shop_workers", "shop_editor");
        bench.app("dev", "shop_reports", "shop_reader");
        let apply =
            || expect(&bench.rdsprov("teams/levels.tfvars", &["apply", "--env", "dev"], None), 0);
        let as_role = |user: &str, application: &str, sql: &str| {
            bench.server.sql_as(user, &password(application), "shop", sql)
        };
        let owner = |sql: &str| as_role("shop_owner", "shop", sql).unwrap();
        let editor = |sql: &str| as_role("shop_editor", "shop_workers", sql);
        let reader = |sql: &str| as_role("shop_reader", "shop_reports", sql);
        apply();
        owner("CREATE TABLE later (id serial PRIMARY KEY, note text)");
        owner("INSERT INTO later (note) VALUES ('x')");
        // A table that is as if it had been there before the run.
        owner(
            "CREATE TABLE earlier (id serial PRIMARY KEY, note text);
             REVOKE ALL ON earlier, earlier_id_seq FROM shop_editor, shop_reader",
        );
        assert!(reader("SELECT * FROM earlier").is_err());
        expect(&bench.rdsprov("teams/levels.tfvars", &["check", "--env", "dev"], None), 2);
        apply();
        for table in ["later", "earlier"] {
            editor(&format!(
                "INSERT INTO {table} (note) VALUES ('y'); UPDATE {table} SET note = 'z';
                 DELETE FROM {table} WHERE id > 99"
            ))
            .unwrap();
            assert!(editor(&format!("TRUNCATE {table}")).is_err());
            reader(&format!("SELECT * FROM {table}")).unwrap();
            assert!(reader(&format!("INSERT INTO {table} (note) VALUES ('n')")).is_err());
        }
        assert!(editor("CREATE TABLE mine (id int)").is_err());
        assert!(reader("CREATE TABLE mine (id int)").is_err());
        assert!(reader("CREATE TEMPORARY TABLE mine (id int)").is_err());
        // What is given beyond the declaration is taken back.
        owner("GRANT INSERT ON later TO shop_reader");
        apply();
        assert!(reader("INSERT INTO later (note) VALUES ('n')").is_err());
        // A password that drifted is set again.
        bench.query("ALTER ROLE shop_reader PASSWORD 'something else'");
        assert!(apply().contains("set_password,success"));
        reader("SELECT 1").unwrap();
        assert!(!apply().contains("set_password,success"));
    }
}

#[test]
fn every_guardrail_refuses_and_changes_nothing() {
    /// What somebody did before, and what the refusal says.
    const GUARDRAILS: [(&str, &str); 5] = [
        ("CREATE ROLE keycloak_user LOGIN", "role keycloak_user exists and is not managed"),
        ("CREATE DATABASE keycloak", "database keycloak exists and is not managed"),
        ("CREATE ROLE keycloak_user SUPERUSER", "has SUPERUSER"),
        ("CREATE ROLE keycloak_user REPLICATION", "has REPLICATION"),
        (
            "CREATE ROLE keycloak_user LOGIN; COMMENT ON ROLE keycloak_user IS
               '[managed by rdsprov: environment=prod application=keycloak build_id=1]'",
            "managed from environment \"prod\"",
        ),
    ];
    let bench = Bench::new(versions()[0]);
    let refused = |says: &[&str]| {
        let picture = bench.picture();
        let shown = expect(&bench.rdsprov("teams/standalone.tfvars", &["apply"], None), 3);
        for words in says {
            assert!(shown.contains(words), "{words} is not in {shown}");
        }
        assert_eq!(bench.picture(), picture, "{says:?}");
    };
    bench.app("dev", "backstage", "backstage_user");
    bench.app("dev", "keycloak", "keycloak_user");
    for (before, says) in GUARDRAILS {
        bench.query(before);
        refused(&[says]);
        bench.query("DROP DATABASE IF EXISTS keycloak");
        bench.query("DROP ROLE IF EXISTS keycloak_user");
    }
    bench.app("dev", "keycloak", "somebody_else");
    refused(&["is for user \"somebody_else\""]);
    // Secrets that are missing are all named.
    for application in ["keycloak", "backstage"] {
        let path = format!("goldenpath/dev/{application}/postgres.json");
        std::fs::remove_file(bench.directory.path().join(path)).unwrap();
    }
    refused(&["goldenpath/dev/keycloak/postgres", "goldenpath/dev/backstage/postgres"]);
}
