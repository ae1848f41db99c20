//! The initial database of an RDS server, which the secret of the master user names, belongs to an
//! application. The administrator then connects to `postgres`.

use rdsprov_testkit::{Server, versions};

use crate::bounds::LockedCatalog;
use crate::fixture::{DELEGATE, DELEGATE_SECRET, Fixture, expect, password};

/// `platform` is `dbname` of the administrator's secret.
const DEFINITIONS: &str = r#"application_databases = {
  shop    = { database_name = "platform", username = "shop_owner", adopt = true }
  reports = { database_name = "platform", username = "shop_reader", access_level = "reader" }
  wiki    = { database_name = "wiki", username = "wiki_owner" }
}"#;
const APPLY: [&str; 3] = ["apply", "--env", "dev"];
const ALLOWED: [&str; 5] = ["apply", "--env", "dev", "--allow", "changes_owner"];

/// Starts a server whose initial database contains a table of the master user.
fn fixture(major: u32) -> Fixture {
    let fixture = Fixture::with_secrets_manager(major);
    for (application, user) in
        [("shop", "shop_owner"), ("reports", "shop_reader"), ("wiki", "wiki_owner")]
    {
        fixture.app("dev", application, user);
    }
    fixture.server.master("platform", "CREATE TABLE orders AS SELECT 1 AS id").unwrap();
    // The server logs the database of each login.
    fixture.query("ALTER SYSTEM SET log_connections = on");
    fixture.query("SELECT pg_reload_conf()");
    fixture
}

fn as_reader(server: &Server, sql: &str) -> Result<String, rdsprov_testkit::Error> {
    server.sql_as("shop_reader", &password("reports"), "platform", sql)
}

/// Returns the databases to which the administrator logged in, in order.
fn logins_of_administrator(log: &str) -> Vec<String> {
    let begin = "connection authorized: user=platform_admin database=";
    let logins = log.lines().filter_map(|line| line.split_once(begin));
    logins.filter_map(|(_, rest)| rest.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn initial_database_of_the_server_belongs_to_an_application() {
    for major in versions() {
        let fixture = fixture(major);
        let adopting = fixture.definitions(DEFINITIONS);
        let catalog_state = fixture.catalog_state();

        // It is like each other database that exists: it must be adopted, and its owner changes.
        let other = fixture.path().join("refused.tfvars");
        std::fs::write(&other, DEFINITIONS.replace(", adopt = true", "")).unwrap();
        let plan = ["plan", "--env", "dev"];
        let text = expect(&fixture.run(&other.display().to_string(), &plan), 3);
        assert!(text.contains("refused[database-not-managed] shop: "), "{text}");
        assert!(!text.contains("administrator-database"), "{text}");
        let text = expect(&fixture.run(&adopting, &plan), 3);
        assert!(text.contains("refused[database-owner-differs] shop: "), "{text}");
        assert!(text.contains("--allow changes_owner"), "{text}");
        assert!(!text.contains("declare role platform_admin"), "{text}");
        assert_eq!(fixture.catalog_state(), catalog_state);

        let mark = fixture.server.log().len();
        let arguments = [plan.as_slice(), &["--allow", "changes_owner"]].concat();
        let text = expect(&fixture.run(&adopting, &arguments), 0);
        assert!(text.contains("platform"), "{text}");
        let logins = logins_of_administrator(&fixture.server.log()[mark..]);
        assert_eq!(logins[0], "postgres", "PostgreSQL {major}: {logins:?}");

        expect(&fixture.run(&adopting, &ALLOWED), 0);
        let owners = "SELECT datdba::regrole, (SELECT relowner::regrole FROM pg_class WHERE relname = 'orders')
             FROM pg_database WHERE datname = 'platform'";
        assert_eq!(fixture.query_in("platform", owners), "shop_owner|shop_owner");
        let others = "SELECT count(*) FROM pg_database, aclexplode(datacl)
             WHERE datname = 'platform' AND grantee = 0";
        assert_eq!(fixture.query(others), "0", "PUBLIC has privileges on the initial database");
        assert_eq!(as_reader(&fixture.server, "SELECT id FROM orders").unwrap().trim(), "1");
        as_reader(&fixture.server, "DELETE FROM orders").unwrap_err();

        // Without the hazard and without `adopt`, nothing is left to do.
        let other = other.display().to_string();
        let catalog_state = fixture.catalog_state();
        assert!(expect(&fixture.run(&other, &APPLY), 0).contains("no_change"));
        expect(&fixture.run(&other, &["check", "--env", "dev"]), 0);
        assert_eq!(fixture.catalog_state(), catalog_state);

        // Drift inside it is found.
        fixture.query_in("platform", "GRANT DELETE ON orders TO shop_reader");
        let text = expect(&fixture.run(&other, &["check", "--env", "dev"]), 2);
        assert!(text.contains("revoke DELETE on all tables of schema public"), "{text}");
        expect(&fixture.run(&other, &APPLY), 0);
        as_reader(&fixture.server, "DELETE FROM orders").unwrap_err();

        let report = ["access", "--env", "dev", "--database", "platform"];
        let text = expect(&fixture.run(&other, &report), 0);
        assert!(text.contains("shop_owner") && text.contains("shop_reader"), "{text}");

        // A rotation of a role without access to the database also connects to `postgres`.
        for application in ["shop", "wiki"] {
            let mark = fixture.server.log().len();
            expect(&fixture.run(&other, &["rotate", application, "--env", "dev"]), 0);
            let logins = logins_of_administrator(&fixture.server.log()[mark..]);
            assert_eq!(logins[0], "postgres", "{application}: {logins:?}");
        }
        assert!(expect(&fixture.run(&other, &APPLY), 0).contains("no_change"));
    }
}

/// `delegate` reads no definitions. The delegate administers the initial database like each other managed
/// database.
#[test]
fn delegate_administers_the_initial_database() {
    for major in versions() {
        let fixture = fixture(major);
        let definitions = fixture.definitions(DEFINITIONS);
        expect(&fixture.run(&definitions, &ALLOWED), 0);
        expect(&fixture.delegate("dev").output().unwrap(), 0);
        let again = expect(&fixture.delegate("dev").output().unwrap(), 0);
        assert!(again.contains("Nothing to do"), "{again}");

        let as_delegate = ["--env", "dev", "--admin-secret", DELEGATE_SECRET];
        let run = |arguments: &[&str], code| {
            expect(&fixture.run(&definitions, &[arguments, &as_delegate].concat()), code)
        };
        assert!(run(&["apply"], 0).contains("no_change"));
        fixture.query_in("platform", "GRANT DELETE ON orders TO shop_reader");
        run(&["apply"], 0);
        as_reader(&fixture.server, "DELETE FROM orders").unwrap_err();
        let member = format!("SELECT pg_has_role('{DELEGATE}', 'shop_owner', 'USAGE')");
        assert_eq!(fixture.query(&member), "f");
    }
}

/// What an orphan has in the initial database is reported, also if no application declares the database.
#[test]
fn orphans_in_the_initial_database_are_reported() {
    for major in versions() {
        let fixture = fixture(major);
        expect(&fixture.run(&fixture.definitions(DEFINITIONS), &ALLOWED), 0);
        let definitions = fixture.definitions(
            r#"application_databases = { wiki = { database_name = "wiki", username = "wiki_owner" } }"#,
        );
        let text = expect(&fixture.run(&definitions, &["plan", "--env", "dev", "-v"]), 0);
        assert!(text.contains("SELECT on 1 table in schema public of database platform"), "{text}");

        // A database of a declared role that no entry declares.
        fixture.query("ALTER DATABASE platform OWNER TO wiki_owner");
        fixture.query("COMMENT ON DATABASE platform IS NULL");
        let text = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 0);
        assert!(text.contains("database platform of role wiki_owner"), "{text}");
    }
}

/// The runs of another team, whose definitions do not declare the initial database.
#[test]
fn owner_of_the_initial_database_stops_no_run() {
    for major in versions() {
        let fixture = fixture(major);
        expect(&fixture.run(&fixture.definitions(DEFINITIONS), &ALLOWED), 0);
        let definitions = fixture.definitions(
            r#"application_databases = { wiki = { database_name = "wiki", username = "wiki_owner" } }"#,
        );
        let mut hindrances = vec![
            (
                "REVOKE CONNECT ON DATABASE platform FROM platform_admin",
                "GRANT CONNECT ON DATABASE platform TO platform_admin",
            ),
            (
                "ALTER DATABASE platform CONNECTION LIMIT 0",
                "ALTER DATABASE platform CONNECTION LIMIT -1",
            ),
            (
                "ALTER DATABASE platform SET default_transaction_read_only = on",
                "ALTER DATABASE platform RESET ALL",
            ),
            (
                "ALTER DATABASE platform ALLOW_CONNECTIONS false",
                "ALTER DATABASE platform ALLOW_CONNECTIONS true",
            ),
        ];
        // The owner could set more than these, so that the run leaves a database that lets it in, too.
        let mark = fixture.server.log().len();
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
        let logins = logins_of_administrator(&fixture.server.log()[mark..]);
        assert!(logins.contains(&"postgres".to_owned()), "PostgreSQL {major}: {logins:?}");
        if major >= 17 {
            hindrances.push((
                "ALTER DATABASE platform SET transaction_timeout = '1ms'",
                "ALTER DATABASE platform RESET ALL",
            ));
        }
        for (hinders, reverts) in hindrances {
            let owner = &password("shop");
            fixture.server.sql_as("shop_owner", owner, "postgres", hinders).unwrap();
            for command in ["check", "apply", "preflight"] {
                let output = fixture.run(&definitions, &[command, "--env", "dev"]);
                let text = expect(&output, 0);
                assert!(!text.contains("error["), "PostgreSQL {major}, {hinders}: {text}");
            }
            fixture.query(reverts);
        }
        // Its owner keeps each login waiting.
        let owner = ("shop_owner", password("shop"));
        let locked = LockedCatalog::new(&fixture, (owner.0, &owner.1), "platform", "pg_rewrite");
        let check = ["check", "--env", "dev", "--connect-timeout", "3s"];
        let output = fixture.run(&definitions, &check);
        drop(locked);
        expect(&output, 0);
        // Control: as an option, the database is used, and its owner stops the run.
        let limit = "ALTER DATABASE platform CONNECTION LIMIT 0";
        fixture.server.sql_as("shop_owner", &password("shop"), "postgres", limit).unwrap();
        let chosen = ["check", "--env", "dev", "--dbname", "platform"];
        expect(&fixture.run(&definitions, &chosen), 1);
    }
}
