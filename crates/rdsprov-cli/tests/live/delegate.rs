//! The delegated administrator: how the master user creates it, and what it may and may not do.

use std::os::unix::fs::PermissionsExt as _;

use rdsprov_testkit::{Relay, Reply, versions};

use crate::bench::{Bench, DELEGATE, DELEGATE_SECRET, assert_unseen, expect, forms, writes};

const SHOP: &str = r#"
application_databases = {
  shop    = { database_name = "shop", username = "shop_owner" }
  reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
  tokens  = { database_name = "shop", username = "shop_tokens", access_level = "editor", auth = "iam" }
}
"#;

fn shop(major: u32) -> Bench {
    let bench = Bench::new(major);
    for (application, user) in
        [("shop", "shop_owner"), ("reports", "shop_reader"), ("desk", "desk_owner")]
    {
        bench.app("dev", application, user);
    }
    // The role of `tokens` needs a password once a test changes it from IAM authentication.
    bench.app("dev", "tokens", "shop_tokens");
    expect(&bench.run(&bench.definitions(SHOP), &["apply", "--env", "dev"]), 0);
    bench
}

/// Adds an application with a database of its own.
fn with(definitions: &str, application: &str) -> String {
    let entry = format!(
        "  {application} = {{ database_name = \"{application}\", username = \"{application}_owner\", createdb = true }}\n"
    );
    format!("{}{entry}}}\n", definitions.trim_end().trim_end_matches('}'))
}

/// Runs the command as the delegated administrator.
fn run(bench: &Bench, definitions: &str, arguments: &[&str], code: i32) -> String {
    let definitions = bench.definitions(definitions);
    let site = ["--env", "dev", "--admin-secret", DELEGATE_SECRET];
    expect(&bench.run(&definitions, &[arguments, &site].concat()), code)
}

#[test]
fn it_is_made_once_with_what_it_needs_and_no_more() {
    for major in versions() {
        let bench = shop(major);
        let log = expect(&bench.delegate("dev").arg("--dry-run").output().unwrap(), 0);
        assert!(log.contains("create_secret"), "{log}");
        let exists = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{DELEGATE}'");
        assert_eq!(bench.query(&exists), "0");
        let path = bench.path().join(format!("{DELEGATE_SECRET}.json"));
        assert!(!path.exists(), "a dry run created a secret");

        expect(&bench.delegate("dev").output().unwrap(), 0);
        let attributes = format!(
            "SELECT rolcanlogin, rolcreatedb, rolcreaterole, rolsuper, rolreplication, rolbypassrls,
               pg_has_role(oid, 'rds_superuser', 'MEMBER'), pg_has_role(oid, 'pg_monitor', 'MEMBER')
             FROM pg_roles WHERE rolname = '{DELEGATE}'"
        );
        assert_eq!(bench.query(&attributes), "t|t|t|f|f|f|f|f");
        // The delegated administrator does not have the privileges of the roles that it
        // administers.
        let held = format!(
            "SELECT count(*) FROM pg_roles WHERE rolname <> '{DELEGATE}'
               AND pg_has_role('{DELEGATE}', oid, 'USAGE')"
        );
        assert_eq!(bench.query(&held), "0", "PostgreSQL {major}");
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let secret: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let password = secret["password"].as_str().unwrap();
        assert!(password.len() >= 32);
        assert!(!bench.server.log().contains(password), "its password is in the server's log");
        assert_eq!(secret["username"], DELEGATE);
        assert_eq!(secret["port"], bench.server.port());

        let before = bench.server.log().len();
        let again = expect(&bench.delegate("dev").output().unwrap(), 0);
        assert!(again.contains("Nothing to do"), "{again}");
        assert_eq!(writes(&bench.server.log()[before..]), Vec::<String>::new());
        // It is not in the definitions, and not an orphan for that reason.
        let plan = expect(&bench.run(&bench.definitions(SHOP), &["plan", "--env", "dev"]), 0);
        assert!(!plan.contains(DELEGATE), "{plan}");
    }
}

#[test]
fn what_the_master_could_do_it_can_do() {
    for major in versions() {
        let bench = shop(major);
        expect(&bench.delegate("dev").output().unwrap(), 0);
        run(&bench, SHOP, &["check"], 0);
        // Another level, another authentication method, another database, another password.
        let without_desk = SHOP.replace("\"reader\"", "\"editor\"").replace(", auth = \"iam\"", "");
        let changed = with(&without_desk, "desk");
        bench.query("ALTER ROLE shop_owner PASSWORD 'another'");
        run(&bench, &changed, &["apply"], 0);
        run(&bench, &changed, &["check"], 0);
        let editor = "SELECT has_database_privilege('shop_reader', 'shop', 'TEMPORARY'),
            pg_has_role('shop_tokens', 'rds_iam', 'MEMBER'), datdba::regrole
            FROM pg_database WHERE datname = 'desk'";
        assert_eq!(bench.query(editor), "t|f|desk_owner", "PostgreSQL {major}");
        // Since PostgreSQL 16, the master user has no ADMIN option on roles that the delegated
        // administrator creates, and the reverse until the next `delegate`.
        let desk = bench.definitions(&changed);
        let output = bench.run(&desk, &["apply", "--env", "dev"]);
        let said = expect(&output, if major < 16 { 0 } else { 3 });
        assert_eq!(said.contains("cannot act as role desk_owner"), major >= 16, "{said}");
        bench.app("dev", "extra", "extra_owner");
        let extra = bench.definitions(&with(&without_desk, "extra"));
        expect(&bench.run(&extra, &["apply", "--env", "dev"]), 0);
        let more = with(&changed, "extra");
        expect(&bench.delegate("dev").output().unwrap(), 0);
        bench.query("ALTER ROLE extra_owner NOCREATEDB");
        run(&bench, &more, &["apply"], 0);
        run(&bench, &more, &["check"], 0);
    }
}

/// Saved plans, rotations and drifted passwords, after the master's secret is deleted.
#[test]
fn it_saves_plans_and_rotates() {
    for major in versions() {
        let bench = Bench::with_secrets_manager(major);
        bench.app("dev", "shop", "shop_owner");
        let definitions = with("application_databases = {\n}\n", "shop");
        expect(&bench.run(&bench.definitions(&definitions), &["apply", "--env", "dev"]), 0);
        // With rds.restrict_password_commands, only members of rds_password may set passwords.
        for database in ["platform", "postgres"] {
            bench.query(&format!(
                "ALTER DATABASE {database} SET rds.restrict_password_commands = on"
            ));
        }
        expect(&bench.delegate("dev").output().unwrap(), 0);
        let manager = bench.secrets_manager.as_ref().unwrap();
        manager.delete("goldenpath/dev/rds/master").unwrap();

        let secret = "goldenpath/dev/shop/postgres";
        let current = || {
            let (version, text) = manager.at_stage(secret, "AWSCURRENT").unwrap().unwrap();
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            (version, json["password"].as_str().unwrap().to_owned())
        };
        let logs_in = || bench.server.sql_as("shop_owner", &current().1, "shop", "SELECT 1");
        let (before, _) = current();
        run(&bench, &definitions, &["rotate", "shop"], 0);
        assert_ne!(current().0, before);
        logs_in().unwrap();

        bench.query("ALTER ROLE shop_owner NOCREATEDB PASSWORD 'another'");
        let planned = run(&bench, &definitions, &["plan", "--out", "plan.json"], 0);
        assert!(planned.contains("set_password"), "{planned}");
        run(&bench, &definitions, &["apply", "plan.json"], 0);
        logs_in().unwrap();
        run(&bench, &definitions, &["check"], 0);
        let said = run(&bench, &definitions, &["apply", "plan.json"], 3);
        assert!(said.contains("stale"), "{said}");
    }
}

#[test]
fn what_drifted_in_it_is_put_right() {
    for major in versions() {
        let bench = shop(major);
        expect(&bench.delegate("dev").output().unwrap(), 0);
        bench.query(&format!(
            "ALTER ROLE {DELEGATE} NOCREATEDB PASSWORD 'another'; GRANT rds_superuser TO {DELEGATE}"
        ));
        bench.query_in("shop", &format!("REVOKE CONNECT ON DATABASE shop FROM {DELEGATE}"));
        let output = bench.delegate("dev").output().unwrap();
        if major >= 16 {
            // Only the grantor of that membership can revoke it.
            let said = expect(&output, 3);
            assert!(said.contains("REVOKE \"rds_superuser\""), "{said}");
            bench.query(&format!("REVOKE rds_superuser FROM {DELEGATE}"));
            expect(&bench.delegate("dev").output().unwrap(), 0);
        } else {
            expect(&output, 0);
        }
        run(&bench, SHOP, &["check"], 0);
    }
}

#[test]
fn what_must_not_be_is_refused() {
    let bench = shop(versions()[0]);
    // Outside dev, the command asks for approval like every other command.
    let said = expect(&bench.delegate("prod").output().unwrap(), 3);
    assert!(said.contains("ALLOW_DB_PROVISION"), "{said}");
    // A role that an application uses.
    bench.query(&format!("CREATE ROLE {DELEGATE} LOGIN"));
    let said = expect(&bench.delegate("dev").output().unwrap(), 3);
    assert!(said.contains("exists and is not managed") && said.contains("--adopt"), "{said}");
    expect(&bench.delegate("dev").arg("--adopt").output().unwrap(), 0);
    // An application that declares the delegated administrator's role.
    let declared = SHOP.replace("shop_reader", DELEGATE);
    let declared = bench.definitions(&declared);
    bench.app("dev", "reports", DELEGATE);
    let said = expect(&bench.run(&declared, &["plan", "--env", "dev"]), 3);
    assert!(said.contains("administers this environment"), "{said}");
    // A role of an application.
    let said = expect(&bench.delegate_to("shop_owner", "dev").output().unwrap(), 3);
    assert!(said.contains("is that of application shop"), "{said}");
    // A secret that is for another user.
    bench.secret(DELEGATE_SECRET, r#"{"username": "shop_owner", "password": "Canary-5b1e"}"#);
    let said = expect(&bench.delegate("dev").output().unwrap(), 3);
    assert!(said.contains("is for user \"shop_owner\""), "{said}");
}

#[test]
fn where_its_secret_cannot_be_made_nothing_is_and_its_password_is_seen_nowhere() {
    for major in versions() {
        let bench = Bench::with_secrets_manager(major);
        bench.app("dev", "shop", "shop_owner");
        let definitions = with("application_databases = {\n}\n", "shop");
        expect(&bench.run(&bench.definitions(&definitions), &["apply", "--env", "dev"]), 0);
        let manager = bench.secrets_manager.as_ref().unwrap();
        let refusing = Relay::start(manager, |call| {
            (call.action == "CreateSecret")
                .then(|| Reply::Error("AccessDeniedException", "not this one".to_owned()))
        })
        .unwrap();
        let mut said = String::new();
        let kept = ["--audit-output", "audit.csv", "--audit-ledger", "ledger.jsonl", "-vv"];
        let mut delegate = bench.delegate("dev");
        delegate.args(kept).envs(refusing.environment());
        let refused = expect(&delegate.output().unwrap(), 1);
        assert!(refused.contains("secretsmanager:CreateSecret"), "{refused}");
        let there = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{DELEGATE}'");
        assert_eq!(bench.query(&there), "0");

        for format in ["json", "text"] {
            let mut delegate = bench.delegate("dev");
            delegate.args(kept).args(["--log-format", format]);
            said += &expect(&delegate.output().unwrap(), 0);
        }
        let (_, text) = manager.at_stage(DELEGATE_SECRET, "AWSCURRENT").unwrap().unwrap();
        let secret: serde_json::Value = serde_json::from_str(&text).unwrap();
        let password = secret["password"].as_str().unwrap();
        assert!(bench.server.sql_as(DELEGATE, password, "shop", "SELECT 1").is_ok());
        let read = |name: &str| std::fs::read_to_string(bench.path().join(name)).unwrap();
        for text in [said, bench.server.log(), read("audit.csv"), read("ledger.jsonl")] {
            for form in forms(password) {
                assert!(!text.contains(&form), "its password, encoded as {form}, is in {text}");
            }
            assert_unseen(&text);
        }
    }
}

/// Returns the status of each record by its action.
fn statuses(records: &str) -> Vec<(&str, &str)> {
    let fields = |line| str::split(line, ',').collect::<Vec<_>>();
    let rows = records.lines().skip(1).map(fields).filter(|fields| fields.len() > 7);
    rows.map(|fields| (fields[6], fields[7])).collect()
}

/// A later failure does not delete the secret: records report it, and the next run uses it.
#[test]
fn a_secret_that_was_made_is_recorded_whatever_fails_behind_it() {
    for major in versions() {
        let bench = shop(major);
        let kept = ["--audit-output", "audit.csv", "--audit-ledger", "ledger.jsonl"];
        let run = |code| expect(&bench.delegate("dev").args(kept).output().unwrap(), code);
        let said = bench.while_somebody_makes(DELEGATE, || run(4));
        assert!(said.contains("already exists (42710)"), "{said}");
        assert!(bench.path().join(format!("{DELEGATE_SECRET}.json")).exists());
        let records = std::fs::read_to_string(bench.path().join("audit.csv")).unwrap();
        let of_run = statuses(&records);
        let made = [("intent", "not_run"), ("create_secret", "success"), ("create_role", "error")];
        assert_eq!(of_run[..3], made, "PostgreSQL {major}: {records}");
        let later = |(_, status): &(&str, &str)| *status == "not_run";
        assert!(of_run.len() > 3 && of_run[3..].iter().all(later), "{records}");

        bench.query(&format!("DROP ROLE {DELEGATE}"));
        let said = run(0);
        assert!(!said.contains("create_secret,"), "{said}");
        self::run(&bench, SHOP, &["check"], 0);
    }
}

/// The record of a run that ends early, and the ledger, name the command.
#[test]
fn records_name_the_command() {
    let bench = Bench::new(versions()[0]);
    bench.app("dev", "shop", "shop_owner");
    let definitions = bench.definitions(&with("application_databases = {\n}\n", "shop"));
    let kept = ["--audit-output", "audit.csv", "--audit-ledger", "ledger.jsonl"];
    let mut delegate = bench.delegate("prod");
    expect(&delegate.args(kept).output().unwrap(), 3);
    for command in [&["rotate", "shop"][..], &["apply"]] {
        let words = [command, &["--env", "prod"], &kept].concat();
        expect(&bench.run(&definitions, &words), 3);
    }
    let commands = ["delegate", "rotate", "apply"];
    let records = std::fs::read_to_string(bench.path().join("audit.csv")).unwrap();
    assert_eq!(statuses(&records), commands.map(|command| (command, "refused")), "{records}");
    let ledger = std::fs::read_to_string(bench.path().join("ledger.jsonl")).unwrap();
    let outcomes = ledger.lines().map(|line| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["command"].as_str().unwrap().to_owned()
    });
    assert_eq!(outcomes.collect::<Vec<_>>(), commands);
}

#[test]
fn a_secret_that_is_gone_is_made_again_and_its_password_set_unasked() {
    let bench = shop(versions()[0]);
    expect(&bench.delegate("dev").output().unwrap(), 0);
    std::fs::remove_file(bench.path().join(format!("{DELEGATE_SECRET}.json"))).unwrap();
    let said =
        expect(&bench.delegate("dev").args(["--verify-passwords", "never"]).output().unwrap(), 0);
    assert!(said.contains("create_secret") && said.contains("set_password"), "{said}");
    run(&bench, SHOP, &["check"], 0);
}
