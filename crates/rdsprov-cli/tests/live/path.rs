//! The main path: the access that teams declare becomes the access that PostgreSQL grants.

use rdsprov_core::secrets::Password;
use rdsprov_core::secrets::scram::{ITERATIONS, Verifier};
use rdsprov_testkit::{ConnectionCounter, environment, versions};

use crate::fixture::{CANARY, Fixture, assert_no_password, expect, password, writes};

/// A definitions file, with each application's name, database and role.
type Team = (&'static str, [(&'static str, &'static str, &'static str); 2]);

const TEAMS: [Team; 2] = [
    (
        "teams/standalone.tfvars",
        [("keycloak", "keycloak", "keycloak_user"), ("backstage", "backstage", "backstage_user")],
    ),
    (
        "teams/coupled.tfvars",
        [
            ("keycloak", "keycloak", "keycloak_app"),
            ("backstage", "backstage_plugin_catalog", "backstage_app"),
        ],
    ),
];

#[test]
fn definitions_converge() {
    for (major, (definitions, applications)) in
        versions().into_iter().flat_map(|major| TEAMS.map(|team| (major, team)))
    {
        let fixture = Fixture::with_secrets_manager(major);
        for (application, _, user) in applications {
            fixture.app("dev", application, user);
        }
        let before = fixture.admin_grants();
        let audit = fixture.path().join("records/audit.csv").display().to_string();
        // The flags of the script that this product replaces.
        let mut words =
            vec!["apply", "--env", "dev", "--master-secret", "goldenpath/dev/rds/master"];
        words.extend(["--build-id", "16-01-26-01", "--run-id", "7", "--region", "eu-west-2"]);
        words.extend(["--audit-output", &audit, "--require-approval", "--no-fail-fast"]);
        words.extend(["--skip-preflight", "--audit-stdout", "always"]);
        let dry = [words.as_slice(), &["--dry-run"]].concat();
        let catalog_state = fixture.catalog_state();
        assert!(expect(&fixture.run(definitions, &dry), 0).contains("dry_run"));
        assert_eq!(fixture.catalog_state(), catalog_state, "a dry run changed something");

        let mark = fixture.server.log().len();
        let output_text = expect(&fixture.run(definitions, &words), 0);
        assert!(output_text.contains("create_database,success"), "{output_text}");
        // The second run is compared with the first by its effects.
        let wal_position = writes(&fixture.server.log()[mark..]).join("\n");
        for begin in
            ["CREATE ROLE", "CREATE DATABASE", "COMMENT ON", "REVOKE ALL", "ALTER DATABASE"]
        {
            assert!(
                wal_position.lines().any(|line| line.starts_with(begin)),
                "{begin}: {wal_position}"
            );
        }
        assert!(wal_position.contains("EXECUTE ''ALTER ROLE "), "{wal_position}");
        assert_eq!(fixture.admin_grants(), before, "a membership of the administrator remains");
        for (application, database, user) in applications {
            let sql = "CREATE TABLE t (id serial); INSERT INTO t DEFAULT VALUES";
            fixture.server.sql_as(user, &password(application), database, sql).unwrap();
            let comment = fixture.query(&format!(
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{database}'"
            ));
            assert!(comment.contains("build_id=16-01-26-01"), "{comment}");
        }
        let (undeclared, _, user) = applications[1];
        let entered = fixture.server.sql_as(user, &password(undeclared), "keycloak", "SELECT 1");
        assert!(entered.is_err(), "an undeclared role can log in");

        fixture.disable_background_writes();
        let stdout = ["--audit-stdout", "always"];
        let again = [&["apply", "--env", "dev", "--audit-output", &audit], &stdout[..]].concat();
        fixture.without_wal(|| {
            let mark = fixture.server.log().len();
            assert!(expect(&fixture.run(definitions, &again), 0).contains("no_change"));
            let log = fixture.server.log();
            assert!(log[mark..].contains("statement: "), "the log contains no statements");
            assert_eq!(writes(&log[mark..]), Vec::<String>::new());
        });
        let log = fixture.server.log();
        let plan = ["plan", "--env", "dev", "--detailed-exitcode"];
        expect(&fixture.run(definitions, &plan), 0);
        expect(&fixture.run(definitions, &["check", "--env", "dev"]), 0);
        let records = std::fs::read_to_string(&audit).unwrap();
        assert!(records.contains("intent") && !records.contains(CANARY), "{records}");
        assert!(!log.contains(CANARY), "a password reached the server's log");
    }
}

/// Without an approval, the run shows the plan and what approves it, and changes nothing.
#[test]
fn prod_is_not_changed_without_approval() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("prod", "keycloak", "keycloak_app");
        fixture.app("prod", "backstage", "backstage_app");
        let definitions = "teams/coupled.tfvars";
        let audit = fixture.path().join("audit.csv").display().to_string();
        let arguments = ["apply", "--env", "prod", "--audit-output", &audit];
        let apply = |approval: Option<&str>| {
            let mut command = fixture.command(definitions, &arguments);
            command.envs(approval.map(|value| ("ALLOW_DB_PROVISION", value)));
            command.output().unwrap()
        };
        let catalog_state = fixture.catalog_state();
        for approval in [None, Some("false"), Some("")] {
            let refused = expect(&apply(approval), 3);
            let plan = refused.lines().find(|line| line.starts_with("Plan: ")).unwrap();
            let (_, digest) = plan.rsplit_once(' ').unwrap();
            for words in ["ALLOW_DB_PROVISION=true", &format!("ALLOW_DB_PROVISION={digest} ")] {
                assert!(refused.contains(words), "{words}: {refused}");
            }
            assert_eq!(fixture.catalog_state(), catalog_state);
        }
        assert!(std::fs::read_to_string(&audit).unwrap().contains(",apply,refused,"));

        // The digest of another plan is not an approval; that of this plan is.
        let stale = expect(&apply(Some("sha256:0000")), 3);
        let digest = stale
            .split(|c: char| c.is_whitespace() || "()=".contains(c))
            .find(|part| part.starts_with("sha256:") && part.len() == "sha256:".len() + 64);
        expect(&apply(digest), 0);
        expect(&apply(Some("TRUE")), 0);
        expect(&fixture.run(definitions, &["check", "--env", "prod"]), 0);
    }
}

/// A Secrets Manager and a server that only count connections.
struct Listeners {
    fixture: Fixture,
    secrets: ConnectionCounter,
    server: ConnectionCounter,
}

impl Listeners {
    /// Runs the command twice: with secrets from the first, and with secrets in files for the
    /// second. Returns the outputs and the numbers of connections so far.
    fn run(&self, definitions: &str, arguments: &[&str], approval: &str, code: i32) -> [String; 2] {
        let mut from_aws = self.fixture.without_connection(definitions, arguments);
        from_aws.envs(environment(&format!("http://127.0.0.1:{}", self.secrets.port())));
        from_aws.env("AWS_MAX_ATTEMPTS", "1");
        let mut from_files = self.fixture.command(definitions, arguments);
        from_files.args(["--host", "127.0.0.1", "--port", &self.server.port().to_string()]);
        [from_aws, from_files].map(|mut command| {
            expect(&command.env("ALLOW_DB_PROVISION", approval).output().unwrap(), code)
        })
    }

    fn connections(&self) -> [usize; 2] {
        [self.secrets.count(), self.server.count()]
    }
}

fn listeners() -> Listeners {
    let fixture = Fixture::new(*versions().last().unwrap());
    Listeners {
        fixture,
        secrets: ConnectionCounter::start().unwrap(),
        server: ConnectionCounter::start().unwrap(),
    }
}

#[test]
fn nothing_is_contacted_with_an_invalid_approval() {
    let listeners = listeners();
    let apply = ["apply", "--env", "prod"];
    for text in listeners.run("teams/coupled.tfvars", &apply, "yes", 3) {
        assert!(text.contains("[invalid-approval]"), "{text}");
    }
    assert_eq!(listeners.connections(), [0, 0]);
    // With approval, both are contacted.
    listeners.run("teams/coupled.tfvars", &apply, "true", 1);
    assert!(
        listeners.connections().iter().all(|calls| *calls > 0),
        "{:?}",
        listeners.connections()
    );
}

#[test]
fn contradicting_environment_is_refused_before_contact() {
    let listeners = listeners();
    for command in ["plan", "check", "apply"] {
        for printed in
            listeners.run("teams/standalone.tfvars", &[command, "--env", "prod"], "true", 3)
        {
            assert!(printed.contains("`prod`") && printed.contains("`dev`"), "{printed}");
        }
    }
    let validate = listeners.fixture.run("teams/standalone.tfvars", &["validate", "--env", "prod"]);
    let printed = expect(&validate, 3);
    assert!(printed.contains("`prod`") && printed.contains("`dev`"), "{printed}");
    assert_eq!(listeners.connections(), [0, 0]);
}

/// Names that PostgreSQL or RDS reserve are errors in the definitions,
/// reported without contacting anything.
#[test]
fn reserved_names_are_refused_before_contact() {
    let listeners = listeners();
    let names = [
        ("username", "rdsadmin", "Amazon RDS"),
        ("username", "rds_iam", "Amazon RDS"),
        ("username", "pg_monitor", "PostgreSQL"),
        ("username", "public", "PostgreSQL"),
        ("database_name", "rdsadmin", "Amazon RDS"),
        ("database_name", "postgres", "PostgreSQL"),
        ("database_name", "template1", "PostgreSQL"),
    ];
    let text: String = names
        .iter()
        .enumerate()
        .map(|(number, (key, name, _))| {
            let other = if *key == "username" { "database_name" } else { "username" };
            format!("a{number} = {{ {key} = \"{name}\", {other} = \"other{number}\" }}\n")
        })
        .collect();
    let definitions =
        listeners.fixture.definitions(&format!("application_databases = {{\n{text}}}"));
    for command in ["plan", "check", "apply"] {
        for printed in listeners.run(&definitions, &[command, "--env", "dev"], "true", 1) {
            for (_, name, by) in names {
                assert!(
                    printed.contains(&format!("name `{name}` is reserved by {by}")),
                    "{printed}"
                );
            }
        }
    }
    assert_eq!(listeners.connections(), [0, 0]);
}

#[test]
fn access_levels_allow_what_is_documented() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        fixture.app("dev", "shop_workers", "shop_editor");
        fixture.app("dev", "shop_reports", "shop_reader");
        let definitions = "teams/levels.tfvars";
        let apply = || expect(&fixture.run(definitions, &["apply", "--env", "dev"]), 0);
        let as_role = |user: &str, application: &str, sql: &str| {
            fixture.server.sql_as(user, &password(application), "shop", sql)
        };
        let owner = |sql: &str| as_role("shop_owner", "shop", sql).unwrap();
        let editor = |sql: &str| as_role("shop_editor", "shop_workers", sql);
        let reader = |sql: &str| as_role("shop_reader", "shop_reports", sql);
        apply();
        owner("CREATE TABLE later (id serial PRIMARY KEY, note text)");
        owner("INSERT INTO later (note) VALUES ('x')");
        // A table that looks as if it had existed before the run.
        owner(
            "CREATE TABLE earlier (id serial PRIMARY KEY, note text);
             REVOKE ALL ON earlier, earlier_id_seq FROM shop_editor, shop_reader",
        );
        assert!(reader("SELECT * FROM earlier").is_err());
        expect(&fixture.run(definitions, &["check", "--env", "dev"]), 2);
        let plan = ["plan", "--env", "dev", "--detailed-exitcode"];
        expect(&fixture.run(definitions, &plan), 2);
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
        editor("CREATE TEMPORARY TABLE mine (id int)").unwrap();
        assert!(reader("CREATE TEMPORARY TABLE mine (id int)").is_err());
        // Undeclared privileges are revoked.
        owner("GRANT INSERT ON later TO shop_reader");
        apply();
        assert!(reader("INSERT INTO later (note) VALUES ('n')").is_err());
        // A drifted password is set again.
        fixture.query("ALTER ROLE shop_reader PASSWORD 'something else'");
        assert!(apply().contains("set_password,success"));
        reader("SELECT 1").unwrap();
        assert!(!apply().contains("set_password,success"));
        assert_eq!(fixture.admin_grants(), "0");
    }
}

/// The SQL script of a plan, with verifiers, has the effect of `apply`; without
/// them it changes nothing.
#[test]
fn plan_sql_has_the_effect_of_apply() {
    for major in versions() {
        let fixture = Fixture::new(major);
        let applications = ["shop", "shop_reports", "shop_workers"];
        for (application, user) in
            applications.iter().zip(["shop_owner", "shop_reader", "shop_editor"])
        {
            fixture.app("dev", application, user);
        }
        let plan = fixture.run("teams/levels.tfvars", &["plan", "--env", "dev", "--format", "sql"]);
        expect(&plan, 0);
        let script = String::from_utf8(plan.stdout).unwrap();
        let catalog_state = fixture.catalog_state();
        let refused = fixture.server.script_as_master(&script).unwrap_err().to_string();
        assert!(refused.contains("give psql -v verifier_1="), "{refused}");
        assert_eq!(fixture.catalog_state(), catalog_state);
        let variables: String = applications
            .iter()
            .enumerate()
            .map(|(number, application)| {
                let password = Password::new(password(application)).unwrap();
                format!(
                    "\\set verifier_{} '{}'\n",
                    number + 1,
                    Verifier::new(&password, ITERATIONS).unwrap()
                )
            })
            .collect();
        fixture.server.script_as_master(&(variables + &script)).unwrap();
        assert_eq!(fixture.admin_grants(), "0");
        let left = expect(&fixture.run("teams/levels.tfvars", &["check", "--env", "dev"]), 0);
        assert!(left.contains("as declared"), "{left}");
    }
}

/// A script with verifiers needs psql only. A database name may look like a connection string.
#[test]
fn plan_sql_with_verifiers_runs_unchanged() {
    let names = ["a=b", "postgresql://127.0.0.1:1/x", r#"it's \"ü\" \\"#, "host=elsewhere"];
    for major in versions() {
        let fixture = Fixture::new(major);
        let any = "[definitions]\nnaming_pattern = \".+\"\n";
        std::fs::write(fixture.path().join("rdsprov.toml"), any).unwrap();
        let mut text = String::new();
        for (number, name) in names.iter().enumerate() {
            for (level, role) in [("owner", "o"), ("reader", "r")] {
                let (application, user) = (format!("{role}{number}"), format!("{role} {number}"));
                fixture.app("dev", &application, &user);
                text += &format!(
                    "{application} = {{ database_name = \"{name}\", username = \"{user}\", access_level = \"{level}\" }}\n"
                );
            }
        }
        let definitions = fixture.definitions(&format!("application_databases = {{\n{text}}}"));
        let sql = ["plan", "--env", "dev", "--format", "sql", "--with-verifiers"];
        let plan = fixture.run(&definitions, &sql);
        // The option for verifiers prints verifiers and no password.
        assert_eq!(plan.status.code(), Some(0));
        let script = String::from_utf8(plan.stdout).unwrap();
        assert_eq!(script.matches("SCRAM-SHA-256$4096:").count(), 8, "{script}");
        assert_no_password(&script);
        fixture.server.script_as_master(&script).unwrap();
        assert_eq!(fixture.admin_grants(), "0");
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
    }
    let fixture = Fixture::new(versions()[0]);
    let output_text = fixture.run("teams/standalone.tfvars", &["plan", "--with-verifiers"]);
    assert!(expect(&output_text, 64).contains("--format sql"));
}

/// The script of a refused plan only reports the refusal.
#[test]
fn refused_plan_sql_changes_nothing() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("dev", "keycloak", "keycloak_user");
    fixture.app("dev", "backstage", "backstage_user");
    fixture.query("CREATE ROLE keycloak_user");
    let plan = fixture.run("teams/standalone.tfvars", &["plan", "--format", "sql"]);
    expect(&plan, 3);
    let script = String::from_utf8(plan.stdout).unwrap();
    let catalog_state = fixture.catalog_state();
    let refused = fixture.server.script_as_master(&script).unwrap_err().to_string();
    assert!(refused.contains("the plan is refused"), "{refused}");
    assert_eq!(fixture.catalog_state(), catalog_state);
}

/// The Markdown of a plan as a GitHub comment: names are not interpreted as markup.
#[test]
fn plan_as_pull_request_comment() {
    let fixture = Fixture::new(*versions().last().unwrap());
    fixture.app("dev", "shop", "shop_owner");
    fixture.app("dev", "odd", "odd");
    let definitions = fixture.definitions(
        r#"application_databases = {
             shop = { database_name = "shop", username = "shop_owner" }
             odd  = { database_name = "shop", username = "odd", access_level = "reader" }
           }"#,
    );
    let plan = |code| -> String {
        let output = fixture.run(&definitions, &["plan", "--env", "dev", "--format", "markdown"]);
        expect(&output, code);
        let text = String::from_utf8(output.stdout).unwrap();
        let port = format!(":{}", fixture.server.port());
        let ca_file = fixture.server.ca_file().display().to_string();
        let version = format!("PostgreSQL {}", fixture.server.major());
        let text = text.replace(&version, "PostgreSQL").replace(&port, ":PORT");
        let text = text.replace(&ca_file, "ca.pem");
        text.lines().map(|line| line.split(" sha256:").next().unwrap().to_owned() + "\n").collect()
    };
    let new = plan(0);
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    fixture.query("ALTER ROLE odd CREATEDB");
    let odd = "CREATE SCHEMA \"```*[x](y)\"; GRANT CREATE ON SCHEMA \"```*[x](y)\" TO odd";
    fixture.server.sql_as("shop_owner", &password("shop"), "shop", odd).unwrap();
    let drifted = plan(0);
    fixture.query("COMMENT ON ROLE odd IS NULL");
    insta::assert_snapshot!([new, drifted, plan(3)].join("\n---\n\n"));
}
