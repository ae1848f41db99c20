//! A server in a blue/green deployment: nothing is changed unless the hazard is allowed, because the
//! green environment gets neither DDL nor roles, databases and privileges.

use rdsprov_testkit::{Server, TopologyFunction, WarningRelay, versions};

use crate::fixture::{Fixture, expect, writes};

/// Aurora and RDS report both nodes.
const AVAILABLE: [(&str, &str); 2] =
    [("BLUE_GREEN_DEPLOYMENT_SOURCE", "AVAILABLE"), ("BLUE_GREEN_DEPLOYMENT_TARGET", "AVAILABLE")];
const COMPLETED: [(&str, &str); 2] = [
    ("BLUE_GREEN_DEPLOYMENT_SOURCE", "SWITCHOVER_COMPLETED"),
    ("BLUE_GREEN_DEPLOYMENT_TARGET", "SWITCHOVER_COMPLETED"),
];
const MULTI_AZ: [(&str, &str); 3] = [("", ""), ("", ""), ("", "")];

/// Whether the extension can be created is known only to the server.
const SHOP: &str = r#"application_databases = {
  shop = { database_name = "shop", username = "shop_owner", extensions = ["pageinspect"] }
}"#;
const BOTH: &str = r#"application_databases = {
  shop         = { database_name = "shop", username = "shop_owner" }
  shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#;
const SHOP_ONLY: &str = r#"application_databases = {
  shop = { database_name = "shop", username = "shop_owner" }
}"#;

const REFUSED: &str = "refused[blue-green-in-progress] shop: the server is in a blue/green deployment (status `AVAILABLE`)";

#[test]
fn deployment_refuses_changes_and_probes() {
    for major in versions() {
        for function in TopologyFunction::ALL {
            let when = format!("PostgreSQL {major}, {function:?}");
            let (fixture, definitions) = Fixture::shop(major, SHOP);
            let run = |arguments: &[&str]| {
                fixture.run(&definitions, &[arguments, &["--env", "dev"]].concat())
            };
            fixture.server.report_topology(function, &AVAILABLE).unwrap();
            let before = fixture.catalog_state();
            let mark = fixture.server.log().len();
            for command in ["plan", "apply", "check"] {
                let printed = expect(&run(&[command]), 3);
                assert!(printed.contains(REFUSED), "{when}: {command}: {printed}");
                assert!(printed.contains("--allow degrades_blue_green"), "{when}: {printed}");
            }
            let printed = expect(&run(&["apply", "--no-fail-fast"]), 3);
            assert!(printed.contains(REFUSED), "{when}: {printed}");
            let printed = expect(&fixture.delegate("dev").output().unwrap(), 3);
            assert!(printed.contains("refused[blue-green-in-progress]"), "{when}: {printed}");
            let log = &fixture.server.log()[mark..];
            let written: Vec<String> = writes(log)
                .into_iter()
                .filter(|statement| {
                    ["CREATE", "ALTER", "GRANT", "REVOKE", "COMMENT"]
                        .iter()
                        .any(|word| statement.trim_start().starts_with(word))
                })
                .collect();
            assert!(written.is_empty() && !log.contains("pageinspect\""), "{when}: {written:?}");
            // The probes that were not executed.
            assert!(!log.contains("BEGIN READ WRITE; SET LOCAL lock_timeout"), "{when}");
            assert_eq!(fixture.catalog_state(), before, "{when}");

            // Neither is a deployment in progress.
            for nodes in [COMPLETED.as_slice(), &MULTI_AZ] {
                fixture.server.report_topology(function, nodes).unwrap();
                // Refused for an extension that only another role can create, and for nothing else.
                let printed = expect(&run(&["plan"]), 3);
                assert!(!printed.contains("blue"), "{when}: {printed}");
            }
        }
    }
}

#[test]
fn allowed_changes_are_marked() {
    for major in versions() {
        for function in TopologyFunction::ALL {
            let when = format!("PostgreSQL {major}, {function:?}");
            let (fixture, definitions) = Fixture::shop(major, BOTH);
            fixture.server.report_topology(function, &AVAILABLE).unwrap();
            let run = |arguments: &[&str]| {
                fixture.run(&definitions, &[arguments, &["--env", "dev"]].concat())
            };
            let printed = expect(&run(&["apply", "--allow", "degrades_blue_green"]), 0);
            assert!(printed.contains("degrades_blue_green"), "{when}: {printed}");
            // A plan without changes is not refused.
            assert!(expect(&run(&["apply"]), 0).contains("no_change"), "{when}");
            expect(&run(&["check"]), 0);
            // A password is not copied, either.
            fixture.query("ALTER ROLE shop_owner PASSWORD 'drifted'");
            let printed = expect(&run(&["apply"]), 3);
            assert!(printed.contains(REFUSED), "{when}: {printed}");
            fixture.server.report_topology(function, &COMPLETED).unwrap();
            assert!(expect(&run(&["apply"]), 0).contains("set_password,success"), "{when}");
        }
    }
}

#[test]
fn warning_of_the_server_ends_the_transaction() {
    for major in versions() {
        let when = format!("PostgreSQL {major}");
        let (fixture, definitions) = Fixture::shop(major, SHOP_ONLY);
        let run = |arguments: &[&str]| {
            fixture.run(&definitions, &[arguments, &["--env", "dev"]].concat())
        };
        expect(&run(&["apply"]), 0);
        fixture.query_in("shop", "SET ROLE shop_owner; CREATE TABLE orders (id int)");
        fixture.definitions(BOTH);
        fixture.server.warn_of_replication("shop").unwrap();
        // The role is committed before the transaction in its database fails.
        let printed = expect(&run(&["apply"]), 4);
        let message = "command will not be replicated to the green instance (01000)";
        assert!(printed.contains("error[blue-green-in-progress]: "), "{when}: {printed}");
        assert!(printed.contains(message), "{when}: {printed}");
        assert!(printed.contains("--allow degrades_blue_green"), "{when}: {printed}");
        let reads = "SELECT has_table_privilege('shop_reader', 'orders', 'SELECT')";
        assert_eq!(fixture.query_in("shop", reads), "f", "{when}");
        let printed = expect(&run(&["apply"]), 1);
        assert!(printed.contains("error[blue-green-in-progress]: "), "{when}: {printed}");
        assert_eq!(fixture.query_in("shop", reads), "f", "{when}");
        expect(&run(&["apply", "--allow", "degrades_blue_green"]), 0);
        assert_eq!(fixture.query_in("shop", reads), "t", "{when}");
        fixture.server.stop_warnings("shop").unwrap();
        assert!(expect(&run(&["apply"]), 0).contains("no_change"), "{when}");
    }
}

/// A function of another role would be executed with the privileges of the administrator.
#[test]
fn functions_of_other_roles_are_not_called() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, SHOP_ONLY);
        fixture.server.report_topology(TopologyFunction::Rds, &AVAILABLE).unwrap();
        fixture.query(
            "CREATE ROLE intruder; ALTER FUNCTION rds_tools.show_topology OWNER TO intruder",
        );
        let printed = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 0);
        assert!(!printed.contains("blue"), "PostgreSQL {major}: {printed}");
        fixture.query("ALTER FUNCTION rds_tools.show_topology OWNER TO rdsadmin");
        fixture.query("ALTER SCHEMA rds_tools OWNER TO intruder");
        let printed = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 0);
        assert!(!printed.contains("blue"), "PostgreSQL {major}: {printed}");
        fixture.query("ALTER SCHEMA rds_tools OWNER TO rds_superuser");
        let printed = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 3);
        assert!(printed.contains(REFUSED), "PostgreSQL {major}: {printed}");
    }
}

#[test]
fn rotation_is_refused() {
    let major = *versions().last().unwrap();
    let fixture = Fixture::with_secrets_manager(major);
    fixture.app("dev", "shop", "shop_owner");
    let definitions = fixture.definitions(SHOP_ONLY);
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    let stored = "SELECT rolpassword FROM pg_authid WHERE rolname = 'shop_owner'";
    let before = fixture.query(stored);
    fixture.server.report_topology(TopologyFunction::Aurora, &AVAILABLE).unwrap();
    let rotate = ["rotate", "shop", "--env", "dev"];
    let printed = expect(&fixture.run(&definitions, &rotate), 3);
    assert!(printed.contains(REFUSED), "{printed}");
    assert_eq!(fixture.query(stored), before);
    let allowed = [rotate.as_slice(), &["--allow", "degrades_blue_green"]].concat();
    expect(&fixture.run(&definitions, &allowed), 0);
    assert_ne!(fixture.query(stored), before);
}

#[test]
fn function_that_fails_is_noted() {
    for major in versions() {
        for function in TopologyFunction::ALL {
            let when = format!("PostgreSQL {major}, {function:?}");
            let (fixture, definitions) = Fixture::shop(major, SHOP_ONLY);
            let run =
                |command: &str| expect(&fixture.run(&definitions, &[command, "--env", "dev"]), 0);
            fixture.server.report_topology(function, &COMPLETED).unwrap();
            fixture.server.fail_topology(function, "no metadata").unwrap();
            let note = "note[blue-green-not-checked]: whether the server is in a blue/green deployment is not known: function ";
            for command in ["plan", "apply"] {
                let printed = run(command);
                assert!(printed.contains(note), "{when}: {command}: {printed}");
                assert!(printed.contains("no metadata (P0001)"), "{when}: {command}: {printed}");
            }
            // Without changes, it does not matter.
            assert!(!run("plan").contains("note["), "{when}");
        }
    }
}

/// The server warns of a statement outside of a transaction, or of the commit. What was executed stays,
/// and the next run continues with it.
#[test]
fn warnings_of_new_databases_and_commits_end_the_run() {
    for major in versions() {
        for (statement, says) in [
            ("CREATE DATABASE", "the new database shop remains"),
            ("COMMIT", "the changes may have been committed"),
        ] {
            let when = format!("PostgreSQL {major}, {statement}");
            let fixture = Fixture::on(Server::start_without_tls(major).unwrap(), None);
            fixture.app("dev", "shop", "shop_owner");
            let definitions = fixture.definitions(SHOP_ONLY);
            let relay = WarningRelay::start(&fixture.server, statement).unwrap();
            let port = relay.port().to_string();
            let secrets = format!("file:{}", fixture.path().display());
            let run = |more: &[&str], code: i32| {
                let place = ["--env", "dev", "--tls", "disable", "--host", "127.0.0.1"];
                let server = ["--port", &port, "--secrets", &secrets];
                let words = [&["apply"], more, &place, &server].concat();
                let command = fixture.without_connection(&definitions, &words).output();
                expect(&command.unwrap(), code)
            };
            let printed = run(&[], 4);
            let message = "command will not be replicated to the green instance (01000)";
            assert!(printed.contains("error[blue-green-in-progress]: "), "{when}: {printed}");
            assert!(printed.contains(message) && printed.contains(says), "{when}: {printed}");
            assert!(printed.contains("--allow degrades_blue_green"), "{when}: {printed}");
            // No role can enter a database that is not finished.
            let open = "SELECT count(*) FROM pg_database WHERE datname = 'shop' AND datallowconn";
            assert_eq!(fixture.query(open), "0", "{when}");
            let printed = run(&["--allow", "degrades_blue_green"], 0);
            assert!(printed.contains("success"), "{when}: {printed}");
            assert_eq!(fixture.query(open), "1", "{when}");
        }
    }
}
