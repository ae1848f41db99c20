//! The README, the tutorial and the guides: each command is executed, in the order of the page.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, password};
use crate::walkthrough::{SHOP, Walkthrough, newest_version, with_reports};

const CONFIGURATION: &str = "[definitions]\nfiles = [\"apps.tfvars\"]\n";

/// A server with the secrets of the applications in two environments.
fn follow(fixture: Fixture, page: &'static str) -> Walkthrough {
    for environment in ["dev", "prod"] {
        fixture.app(environment, "shop", "shop_owner");
        fixture.app(environment, "shop_reports", "shop_reports");
    }
    let page = Walkthrough::new(fixture, page, "prod");
    page.write("rdsprov.toml", CONFIGURATION);
    page.declare(SHOP);
    page
}

fn with_files(page: &'static str) -> Walkthrough {
    follow(Fixture::new(versions()[0]), page)
}

fn with_secrets_manager(page: &'static str) -> Walkthrough {
    follow(Fixture::with_secrets_manager(versions()[0]), page)
}

/// Returns whether the shop can log in with its first password.
fn shop_logs_in(page: &Walkthrough) -> bool {
    page.fixture.server.sql_as("shop_owner", &password("shop"), "shop", "SELECT 1").is_ok()
}

#[test]
fn tutorial() {
    let text = include_str!("../../../../docs/tutorial.md");
    let page = Walkthrough::new(Fixture::new(versions()[0]), text, "dev");
    page.fixture.server.write_client_files(page.fixture.path()).unwrap();
    page.step(0);
    page.copy("hcl", 0, "apps.tfvars");
    page.copy("toml", 0, "rdsprov.toml");
    page.step(0);
    for _ in 0..3 {
        page.step(0);
    }
    page.step(0);
    let planned = page.step(0);
    let applied = page.step(0);
    page.shows(&(planned + &applied));
    page.step(0);
    page.step(0);
    page.step(0);
    page.step(0);
    assert!(page.step(0).contains("tea"));
    assert!(page.step(1).contains("permission denied for table orders"));
    page.step(0);
    assert!(page.step(2).contains("DELETE"));
    page.step(0);
    assert!(
        page.fixture
            .query_in("shop", "SELECT relacl FROM pg_class WHERE relname = 'orders'")
            .contains("shop_reader=r/")
    );
    page.step(0);
    page.step(0);
    page.step(0);
    page.step(0);
    assert_eq!(page.fixture.query_in("shop", "SELECT count(*) FROM orders"), "0");
    assert!(page.step(0).contains("shop_reader"));
    assert!(page.step(0).contains("shop_reader"));
    page.step(0);
}

#[test]
fn rotating() {
    let page = with_secrets_manager(include_str!("../../../../docs/guides/rotating.md"));
    page.run("RDSPROV_ENV=dev rdsprov apply", 0);
    page.step(0);
    page.step(0);
    page.step(0);
    assert!(!shop_logs_in(&page));

    // The same server is now that of the other environment.
    let adopted = "ALLOW_DB_PROVISION=true rdsprov apply --adopt-from dev --allow adopts_from_environment --allow changes_secret";
    page.run(&format!("export RDSPROV_ENV=prod; {adopted}"), 0);
    assert!(shop_logs_in(&page));
    page.step(0);
    page.step(0);
    page.step(0);
    assert!(!shop_logs_in(&page));
    page.step(0);

    page.fixture.app("prod", "shop", "shop_owner");
    page.step(0);
    page.step(0);
    page.step(0);
    assert!(shop_logs_in(&page));

    let delegate =
        "rdsprov delegate --to rdsprov_admin --to-secret goldenpath/prod/rds/rdsprov_admin";
    page.run(&format!("ALLOW_DB_PROVISION=true {delegate} --allow changes_owner"), 0);
    let secret = r#"{"username": "rdsprov_admin", "password": "Canary-rdsprov_admin-5b1e"}"#;
    page.fixture.secret("goldenpath/prod/rds/rdsprov_admin", secret);
    page.step(0);
    page.step(0);
    let server = &page.fixture.server;
    server.sql_as("rdsprov_admin", &password("rdsprov_admin"), "postgres", "SELECT 1").unwrap();
}

#[test]
fn approvals() {
    let page = with_files(include_str!("../../../../docs/guides/approvals.md"));
    page.copy("toml", 0, "rdsprov.toml");
    page.declare(&with_reports("editor"));
    page.step(0);
    page.step(0);
    page.step(0);
    page.step(0);
    assert!(page.step(0).contains("grace"));

    page.declare(&with_reports("reader"));
    page.step(0);
    assert!(page.step(3).contains("revokes_access"));
    page.step(0);
    page.step(0);

    page.fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 3");
    page.step(0);
    page.fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 4");
    page.shows(&page.step(3));
    page.step(0);
    page.step(0);
    page.run("rdsprov check", 0);
}

#[test]
fn authentication() {
    let page = with_files(include_str!("../../../../docs/guides/authentication.md"));
    let members = "SELECT pg_has_role('shop_owner', 'rds_iam', 'MEMBER')";
    page.copy("hcl", 0, "apps.tfvars");
    page.step(0);
    page.step(0);
    page.step(0);
    assert!(shop_logs_in(&page));

    page.copy("hcl", 1, "apps.tfvars");
    page.step(0);
    page.step(0);
    page.step(0);
    page.step(0);
    assert_eq!(page.fixture.query(members), "t");
    assert!(!shop_logs_in(&page));

    page.copy("hcl", 0, "apps.tfvars");
    page.step(0);
    page.step(0);
    page.step(0);
    assert_eq!(page.fixture.query(members), "f");
    assert!(shop_logs_in(&page));
}

#[test]
fn delegated_administrator() {
    let page =
        with_secrets_manager(include_str!("../../../../docs/guides/delegated-administrator.md"));
    page.apply(0);
    page.step(0);
    page.step(0);
    page.step(0);
    page.copy("toml", 0, "rdsprov.toml");
    page.declare(&with_reports("reader"));
    page.step(0);
    page.step(0);
    page.step(0);
    page.step(0);
    assert!(page.step(0).contains("Nothing to do"));
}

#[test]
fn several_environments() {
    let page = with_files(include_str!("../../../../docs/guides/several-environments.md"));
    let fixture = &page.fixture;
    fixture.secret("goldenpath/test/rds/master", &fixture.server.admin_secret());
    fixture.app("test", "shop", "shop_test_owner");
    page.copy("toml", 0, "rdsprov.toml");
    page.copy("hcl", 0, "envs/dev/apps.tfvars");
    page.copy("hcl", 1, "envs/test/apps.tfvars");
    page.write("envs/prod/apps.tfvars", &format!("environment = \"prod\"\n{SHOP}"));
    for _ in 0..4 {
        page.step(0);
    }
    page.step(3);
    assert!(page.step(0).contains("plan"));
    page.step(0);
    page.step(0);
    page.step(0);
    let connects = "SELECT has_database_privilege('shop_test_owner', 'shop', 'CONNECT')";
    assert_eq!(page.fixture.query(connects), "f");
}

#[test]
fn pipeline() {
    let page = with_files(include_str!("../../../../docs/guides/ci.md"));
    page.copy("toml", 0, "rdsprov.toml");
    page.step(0);
    page.step(0);
    page.step(0);
    page.step(2);
    page.step(0);
    page.step(0);
    page.step(0);
}

#[test]
fn readme() {
    let fixture = Fixture::with_secrets_manager(newest_version());
    let applications =
        [("keycloak", "keycloak_user"), ("analytics", "analytics_ro"), ("old-shop", "old_shop")];
    for (application, user) in applications {
        fixture.app("dev", application, user);
    }
    let page = Walkthrough::new(fixture, include_str!("../../../../README.md"), "dev");
    page.write(
        "old.tfvars",
        r#"application_databases = {
          old-shop = { database_name = "old_shop", username = "old_shop" }
        }"#,
    );
    page.run("rdsprov apply -d old.tfvars", 0);

    page.copy("hcl", 0, "terraform.tfvars");
    page.step(0);
    page.step(0);
    page.step(0);
    page.step(0);
    let connects = |role: &str, database: &str| {
        let sql = format!("SELECT has_database_privilege('{role}', '{database}', 'CONNECT')");
        page.fixture.query(&sql)
    };
    assert_eq!(connects("analytics_ro", "keycloak"), "t");

    page.fixture.query("ALTER ROLE analytics_ro CONNECTION LIMIT 3");
    page.step(0);
    page.step(0);
    let limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'analytics_ro'";
    assert_eq!(page.fixture.query(limit), "-1");
    page.step(0);
    let server = &page.fixture.server;
    assert!(server.sql_as("keycloak_user", &password("keycloak"), "keycloak", "SELECT 1").is_err());
    page.step(0);
    assert_eq!(
        page.fixture.query("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'old_shop'"),
        "f"
    );
    page.step(0);
    assert_eq!(
        page.fixture.query("SELECT count(*) FROM pg_roles WHERE rolname = 'rdsprov_admin'"),
        "1"
    );

    page.fixture.query("ALTER ROLE analytics_ro CONNECTION LIMIT 3");
    page.step(0);
    page.step(0);
    let report = page.step(0);
    assert!(report.contains("grace") && report.contains("CHG-7"), "{report}");
    let access = page.step(0);
    assert!(access.contains(r"| analytics\_ro | declared as reader by analytics |"), "{access}");
}

#[test]
fn adopting() {
    let fixture = Fixture::new(newest_version());
    fixture
        .server
        .script_as_master(
            "CREATE ROLE keycloak_user LOGIN PASSWORD 'Canary-keycloak-5b1e';
             GRANT keycloak_user TO platform_admin;
             CREATE ROLE reporting LOGIN;
             CREATE DATABASE keycloak OWNER keycloak_user;
             \\connect keycloak
             CREATE EXTENSION citext;",
        )
        .unwrap();
    let text = include_str!("../../../../docs/guides/adopting.md");
    let page = Walkthrough::new(fixture, text, "dev");
    let file = |name: &str| std::fs::read_to_string(page.fixture.path().join(name)).unwrap();
    let public = "SELECT has_database_privilege('reporting', 'keycloak', 'CONNECT')";
    page.step(0);
    let exported = file("dev.tfvars");
    page.copy("hcl", 0, "entry");
    assert!(exported.contains(&file("entry")), "{exported}");
    page.fixture
        .server
        .script_as_master("CREATE DATABASE shop_1; CREATE DATABASE tmp_shop")
        .unwrap();
    page.step(0);
    let exported = file("shop.tfvars");
    assert!(exported.contains("shop_1") && !exported.contains("tmp_shop"), "{exported}");

    page.fixture.app("dev", "keycloak", "keycloak_user");
    assert!(page.run("rdsprov plan -d dev.tfvars", 3).contains("--adopt keycloak"));
    page.step(0);
    page.step(0);
    page.step(0);
    assert!(page.step(0).contains("pending"));
    page.step(0);
    assert_eq!(page.fixture.query(public), "t");
    assert!(page.run("rdsprov apply -d dev.tfvars --additive", 0).contains("pending"));
    page.run("rdsprov check -d dev.tfvars", 2);
    page.step(0);
    page.step(0);
    assert_eq!(page.fixture.query(public), "f");
    page.run("rdsprov check -d dev.tfvars", 0);
}

#[test]
fn auditing() {
    let page = with_files(include_str!("../../../../docs/guides/auditing.md"));
    page.write("terraform.tfvars", &with_reports("reader"));
    page.run("ALLOW_DB_PROVISION=true rdsprov apply --audit-ledger ledger.jsonl --audit-table rdsprov_audit.changes --approver grace --request-id CHG-7 -d terraform.tfvars", 0);
    page.step(0);
    page.shows(&page.step(0));
    let granted = page.next();
    let now = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";
    let now = page.fixture.query(now);
    let (before, after) = (page.run(&granted, 0), granted.replace("2026-11-01T00:00:00Z", &now));
    assert!(!before.contains("shop_reports"), "{before}");
    assert_ne!(after, granted);
    let after = page.run(&after, 0);
    assert!(after.contains("shop_reports"), "{after}");
    page.step(0);
    let check = page.next();
    page.run(&check, 0);
    // What the server has, and no definition declares.
    page.fixture
        .query_in("shop", "CREATE ROLE planted LOGIN; GRANT CONNECT ON DATABASE shop TO planted");
    assert!(page.run(&check, 2).contains("planted"));
    assert!(page.step(0).contains(" 0 differences"));
}

/// The example of the comparison: each statement is found, and has no effect after the next apply.
#[test]
fn comparison() {
    let fixture = Fixture::new(newest_version());
    fixture.app("dev", "lib", "lib_owner");
    fixture.app("dev", "ann", "ann");
    let page = Walkthrough::new(fixture, include_str!("../../../../docs/comparison.md"), "dev");
    page.write("rdsprov.toml", CONFIGURATION);
    page.copy("hcl", 0, "apps.tfvars");
    page.copy("sql", 0, "drift.sql");
    page.apply(0);
    let statements = std::fs::read_to_string(page.fixture.path().join("drift.sql")).unwrap();
    page.fixture.server.script_as_master(&format!("\\connect lib\n{statements}")).unwrap();
    let held = "SELECT has_table_privilege('ann', 'books', 'DELETE'),
        has_column_privilege('ann', 'books', 'price', 'UPDATE'),
        has_database_privilege('ann', 'lib', 'CREATE'),
        EXISTS (SELECT FROM pg_database, aclexplode(datacl) WHERE datname = 'lib' AND grantee = 0),
        pg_has_role('ann', 'pg_monitor', 'MEMBER'),
        EXISTS (SELECT FROM pg_db_role_setting WHERE setrole = 'ann'::regrole)";
    assert_eq!(page.fixture.query_in("lib", held), "t|t|t|t|t|t");
    page.shows(&page.run("rdsprov check", 2));
    page.apply(0);
    assert_eq!(page.fixture.query_in("lib", held), "f|f|f|f|f|f");
}
