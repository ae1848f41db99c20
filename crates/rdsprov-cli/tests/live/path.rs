//! The main path: the access that teams declare becomes the access that PostgreSQL grants.

use rdsprov_core::secrets::Password;
use rdsprov_core::secrets::scram::Verifier;
use rdsprov_testkit::{Ear, environment, versions};

use crate::bench::{Bench, CANARY, assert_unseen, expect, password, writes};

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
fn what_teams_write_converges() {
    for (major, (definitions, applications)) in
        versions().into_iter().flat_map(|major| TEAMS.map(|team| (major, team)))
    {
        let bench = Bench::with_secrets_manager(major);
        for (application, _, user) in applications {
            bench.app("dev", application, user);
        }
        let before = bench.admin_grants();
        let audit = bench.path().join("records/audit.csv").display().to_string();
        // The flags of the script that this product replaces.
        let mut words =
            vec!["apply", "--env", "dev", "--master-secret", "goldenpath/dev/rds/master"];
        words.extend(["--build-id", "16-01-26-01", "--run-id", "7", "--region", "eu-west-2"]);
        words.extend(["--audit-output", &audit, "--require-approval", "--no-fail-fast"]);
        words.push("--skip-preflight");
        let dry = [words.as_slice(), &["--dry-run"]].concat();
        let picture = bench.picture();
        assert!(expect(&bench.run(definitions, &dry), 0).contains("dry_run"));
        assert_eq!(bench.picture(), picture, "a dry run changed something");

        let mark = bench.server.log().len();
        let shown = expect(&bench.run(definitions, &words), 0);
        assert!(shown.contains("create_database,success"), "{shown}");
        // The second run is compared with the first by its effects.
        let written = writes(&bench.server.log()[mark..]).join("\n");
        for begin in
            ["CREATE ROLE", "CREATE DATABASE", "COMMENT ON", "REVOKE ALL", "ALTER DATABASE"]
        {
            assert!(written.lines().any(|line| line.starts_with(begin)), "{begin}: {written}");
        }
        assert_eq!(bench.admin_grants(), before, "a membership of the administrator remains");
        for (application, database, user) in applications {
            let sql = "CREATE TABLE t (id serial); INSERT INTO t DEFAULT VALUES";
            bench.server.sql_as(user, &password(application), database, sql).unwrap();
            let comment = bench.query(&format!(
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{database}'"
            ));
            assert!(comment.contains("build_id=16-01-26-01"), "{comment}");
        }
        let (stranger, _, user) = applications[1];
        let entered = bench.server.sql_as(user, &password(stranger), "keycloak", "SELECT 1");
        assert!(entered.is_err(), "an undeclared role can log in");

        bench.keep_quiet();
        let again = ["apply", "--env", "dev", "--audit-output", &audit];
        // The server may write in the background (pruning, a checkpoint), but not on every attempt.
        let wrote_nothing = (0..4).any(|_| {
            let (mark, written) = (bench.server.log().len(), bench.written());
            assert!(expect(&bench.run(definitions, &again), 0).contains("no_change"));
            let same = bench.written() == written;
            let log = bench.server.log();
            assert!(log[mark..].contains("statement: "), "the log contains no statements");
            assert_eq!(writes(&log[mark..]), Vec::<String>::new());
            same
        });
        assert!(wrote_nothing, "PostgreSQL {major}: runs without changes wrote WAL");
        let log = bench.server.log();
        let plan = ["plan", "--env", "dev", "--detailed-exitcode"];
        expect(&bench.run(definitions, &plan), 0);
        expect(&bench.run(definitions, &["check", "--env", "dev"]), 0);
        let records = std::fs::read_to_string(&audit).unwrap();
        assert!(records.contains("intent") && !records.contains(CANARY), "{records}");
        assert!(!log.contains(CANARY), "a password reached the server's log");
    }
}

#[test]
fn prod_needs_approval_and_is_not_contacted_without() {
    for major in versions() {
        let bench = Bench::new(major);
        bench.app("prod", "keycloak", "keycloak_app");
        bench.app("prod", "backstage", "backstage_app");
        let definitions = "teams/coupled.tfvars";
        let audit = bench.path().join("audit.csv").display().to_string();
        let arguments = ["apply", "--env", "prod", "--audit-output", &audit];
        let apply = |approval: Option<&str>| {
            let mut command = bench.command(definitions, &arguments);
            command.envs(approval.map(|value| ("ALLOW_DB_PROVISION", value)));
            command.output().unwrap()
        };
        for approval in [None, Some("false"), Some("")] {
            let refused = expect(&apply(approval), 3);
            assert!(refused.contains("ALLOW_DB_PROVISION=true"), "{refused}");
        }
        assert!(std::fs::read_to_string(&audit).unwrap().contains(",apply,refused,"));

        // The digest of another plan is not an approval; that of this plan is.
        let stale = expect(&apply(Some("sha256:0000")), 3);
        let digest = stale
            .split(['(', ')'])
            .find(|part| part.starts_with("sha256:") && part.len() == "sha256:".len() + 64);
        expect(&apply(digest), 0);
        expect(&apply(Some("TRUE")), 0);
        expect(&bench.run(definitions, &["check", "--env", "prod"]), 0);
    }
}

/// A Secrets Manager and a server that only count connections.
struct Ears {
    bench: Bench,
    secrets: Ear,
    server: Ear,
}

impl Ears {
    /// Runs the command twice: with secrets from the first, and with secrets in files for the
    /// second. Returns the outputs and the numbers of connections so far.
    fn run(&self, definitions: &str, arguments: &[&str], approval: &str, code: i32) -> [String; 2] {
        let mut from_aws = self.bench.bare(definitions, arguments);
        from_aws.envs(environment(&format!("http://127.0.0.1:{}", self.secrets.port())));
        from_aws.env("AWS_MAX_ATTEMPTS", "1");
        let mut from_files = self.bench.command(definitions, arguments);
        from_files.args(["--host", "127.0.0.1", "--port", &self.server.port().to_string()]);
        [from_aws, from_files].map(|mut command| {
            expect(&command.env("ALLOW_DB_PROVISION", approval).output().unwrap(), code)
        })
    }

    fn heard(&self) -> [usize; 2] {
        [self.secrets.heard(), self.server.heard()]
    }
}

fn ears() -> Ears {
    let bench = Bench::new(*versions().last().unwrap());
    Ears { bench, secrets: Ear::open().unwrap(), server: Ear::open().unwrap() }
}

#[test]
fn without_approval_nobody_is_called() {
    let ears = ears();
    let apply = ["apply", "--env", "prod"];
    for approval in ["", "false"] {
        ears.run("teams/coupled.tfvars", &apply, approval, 3);
    }
    assert_eq!(ears.heard(), [0, 0]);
    // With approval, both are contacted.
    ears.run("teams/coupled.tfvars", &apply, "true", 1);
    assert!(ears.heard().iter().all(|calls| *calls > 0), "{:?}", ears.heard());
}

#[test]
fn a_contradicting_environment_is_refused_and_nobody_is_called() {
    let ears = ears();
    for command in ["plan", "check", "apply"] {
        for said in ears.run("teams/standalone.tfvars", &[command, "--env", "prod"], "true", 3) {
            assert!(said.contains("\"prod\"") && said.contains("\"dev\""), "{said}");
        }
    }
    let validate = ears.bench.run("teams/standalone.tfvars", &["validate", "--env", "prod"]);
    let said = expect(&validate, 3);
    assert!(said.contains("\"prod\"") && said.contains("\"dev\""), "{said}");
    assert_eq!(ears.heard(), [0, 0]);
}

/// Names that PostgreSQL or RDS reserve are errors in the definitions, reported without contacting
/// anything.
#[test]
fn reserved_names_are_errors_of_the_definitions_and_nobody_is_called() {
    let ears = ears();
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
    let definitions = ears.bench.definitions(&format!("application_databases = {{\n{text}}}"));
    for command in ["plan", "check", "apply"] {
        for said in ears.run(&definitions, &[command, "--env", "dev"], "true", 1) {
            for (_, name, by) in names {
                assert!(said.contains(&format!("name \"{name}\" is reserved by {by}")), "{said}");
            }
        }
    }
    assert_eq!(ears.heard(), [0, 0]);
}

#[test]
fn each_level_may_do_what_its_table_says() {
    for major in versions() {
        let bench = Bench::new(major);
        bench.app("dev", "shop", "shop_owner");
        bench.app("dev", "shop_workers", "shop_editor");
        bench.app("dev", "shop_reports", "shop_reader");
        let definitions = "teams/levels.tfvars";
        let apply = || expect(&bench.run(definitions, &["apply", "--env", "dev"]), 0);
        let as_role = |user: &str, application: &str, sql: &str| {
            bench.server.sql_as(user, &password(application), "shop", sql)
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
        expect(&bench.run(definitions, &["check", "--env", "dev"]), 2);
        let plan = ["plan", "--env", "dev", "--detailed-exitcode"];
        expect(&bench.run(definitions, &plan), 2);
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
        bench.query("ALTER ROLE shop_reader PASSWORD 'something else'");
        assert!(apply().contains("set_password,success"));
        reader("SELECT 1").unwrap();
        assert!(!apply().contains("set_password,success"));
        assert_eq!(bench.admin_grants(), "0");
    }
}

/// The SQL script of a plan, with verifiers, has the effect of `apply`; without them it changes
/// nothing.
#[test]
fn the_sql_of_a_plan_does_what_apply_does() {
    for major in versions() {
        let bench = Bench::new(major);
        let applications = ["shop", "shop_reports", "shop_workers"];
        for (application, user) in
            applications.iter().zip(["shop_owner", "shop_reader", "shop_editor"])
        {
            bench.app("dev", application, user);
        }
        let plan = bench.run("teams/levels.tfvars", &["plan", "--env", "dev", "--format", "sql"]);
        expect(&plan, 0);
        let script = String::from_utf8(plan.stdout).unwrap();
        let picture = bench.picture();
        let refused = bench.server.script_as_master(&script).unwrap_err().to_string();
        assert!(refused.contains("give psql -v verifier_1="), "{refused}");
        assert_eq!(bench.picture(), picture);
        let variables: String = applications
            .iter()
            .enumerate()
            .map(|(number, application)| {
                let password = Password::new(password(application)).unwrap();
                format!(
                    "\\set verifier_{} '{}'\n",
                    number + 1,
                    Verifier::new(&password, 4096).unwrap()
                )
            })
            .collect();
        bench.server.script_as_master(&(variables + &script)).unwrap();
        assert_eq!(bench.admin_grants(), "0");
        let left = expect(&bench.run("teams/levels.tfvars", &["check", "--env", "dev"]), 0);
        assert!(left.contains("as declared"), "{left}");
    }
}

/// A script with verifiers needs psql only. A database name may look like a connection string.
#[test]
fn the_sql_of_a_plan_with_verifiers_is_run_as_it_is() {
    let names = ["a=b", "postgresql://127.0.0.1:1/x", r#"it's \"ü\" \\"#, "host=elsewhere"];
    for major in versions() {
        let bench = Bench::new(major);
        let any = "[definitions]\nnaming_pattern = \".+\"\n";
        std::fs::write(bench.path().join("rdsprov.toml"), any).unwrap();
        let mut text = String::new();
        for (number, name) in names.iter().enumerate() {
            for (level, role) in [("owner", "o"), ("reader", "r")] {
                let (application, user) = (format!("{role}{number}"), format!("{role} {number}"));
                bench.app("dev", &application, &user);
                text += &format!(
                    "{application} = {{ database_name = \"{name}\", username = \"{user}\", access_level = \"{level}\" }}\n"
                );
            }
        }
        let definitions = bench.definitions(&format!("application_databases = {{\n{text}}}"));
        let sql = ["plan", "--env", "dev", "--format", "sql", "--with-verifiers"];
        let plan = bench.run(&definitions, &sql);
        // The option for verifiers prints verifiers and no password.
        assert_eq!(plan.status.code(), Some(0));
        let script = String::from_utf8(plan.stdout).unwrap();
        assert_eq!(script.matches("SCRAM-SHA-256$4096:").count(), 8, "{script}");
        assert_unseen(&script);
        bench.server.script_as_master(&script).unwrap();
        assert_eq!(bench.admin_grants(), "0");
        expect(&bench.run(&definitions, &["check", "--env", "dev"]), 0);
    }
    let bench = Bench::new(versions()[0]);
    let shown = bench.run("teams/standalone.tfvars", &["plan", "--with-verifiers"]);
    assert!(expect(&shown, 64).contains("--format sql"));
}

/// The script of a refused plan only reports the refusal.
#[test]
fn the_sql_of_a_refused_plan_does_nothing() {
    let bench = Bench::new(versions()[0]);
    bench.app("dev", "keycloak", "keycloak_user");
    bench.app("dev", "backstage", "backstage_user");
    bench.query("CREATE ROLE keycloak_user");
    let plan = bench.run("teams/standalone.tfvars", &["plan", "--format", "sql"]);
    expect(&plan, 3);
    let script = String::from_utf8(plan.stdout).unwrap();
    let picture = bench.picture();
    let refused = bench.server.script_as_master(&script).unwrap_err().to_string();
    assert!(refused.contains("the plan is refused"), "{refused}");
    assert_eq!(bench.picture(), picture);
}

/// The Markdown of a plan as a GitHub comment: names are not interpreted as markup.
#[test]
fn a_plan_is_a_comment_on_a_pull_request() {
    let bench = Bench::new(*versions().last().unwrap());
    bench.app("dev", "shop", "shop_owner");
    bench.app("dev", "odd", "odd");
    let definitions = bench.definitions(
        r#"application_databases = {
             shop = { database_name = "shop", username = "shop_owner" }
             odd  = { database_name = "shop", username = "odd", access_level = "reader" }
           }"#,
    );
    let plan = |code| -> String {
        let output = bench.run(&definitions, &["plan", "--env", "dev", "--format", "markdown"]);
        expect(&output, code);
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.split(" sha256:").next().unwrap().to_owned() + "\n").collect()
    };
    let new = plan(0);
    expect(&bench.run(&definitions, &["apply", "--env", "dev"]), 0);
    bench.query("ALTER ROLE odd CREATEDB");
    let odd = "CREATE SCHEMA \"```*[x](y)\"; GRANT CREATE ON SCHEMA \"```*[x](y)\" TO odd";
    bench.server.sql_as("shop_owner", &password("shop"), "shop", odd).unwrap();
    let drifted = plan(0);
    bench.query("COMMENT ON ROLE odd IS NULL");
    insta::assert_snapshot!([new, drifted, plan(3)].join("\n---\n\n"));
}
