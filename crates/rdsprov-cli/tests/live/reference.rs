//! The commands of the reference, on one server, and in an order in which each has something to do.

use rdsprov_testkit::{documents, versions};
use serde_json::Value;

use crate::fixture::Fixture;
use crate::walkthrough::{SHOP, Walkthrough, with_reports};

const REFERENCE: &str = include_str!("../../../../docs/reference.md");

const CONFIGURATION: &str = r#"
[environments.prod]
approval = "none"

[environments.qa]
approval = "none"

[environments.review]
approval = "none"
ephemeral = true
"#;

fn section(title: &str) -> &'static str {
    documents::section(REFERENCE, title).unwrap_or_else(|| panic!("no section {title:?}"))
}

#[test]
fn commands_of_the_reference() {
    let fixture = Fixture::with_secrets_manager(versions()[0]);
    let text = section("Schemas for editors");
    let page = Walkthrough::new(fixture, text, "prod");
    let path = page.fixture.path().to_owned();
    let port = page.fixture.server.port().to_string();
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    for _ in 0..4 {
        page.step(0);
    }
    for schema in ["rdsprov", "definitions", "fleet"] {
        let schema: Value =
            serde_json::from_str(&read(&format!(".schemas/{schema}.json"))).unwrap();
        assert!(schema["$schema"].is_string(), "{schema}");
    }

    // The secret of the shop is missing, and another run holds the lock.
    page.turn_to(section("Preflight"), "prod");
    page.declare(&with_reports("reader"));
    page.fixture.app("prod", "shop_reports", "shop_reports");
    let mut other = page.fixture.server.master_session("postgres").unwrap();
    let class = i32::from_be_bytes(*b"rdsp");
    other.ask(&format!("SELECT pg_advisory_lock({class}, 1)")).unwrap();
    let pid = other.ask("SELECT pg_backend_pid()").unwrap().rows;
    let command = page.next();
    let output = page.run(&command, 3);
    let output = output.replace(&format!("localhost:{port}"), "db.example.com:5432");
    page.shows_after(&command, &output.replace(pid.trim(), "4711"));
    drop(other);

    page.turn_to(section("A plan as a script"), "prod");
    page.write("rdsprov.toml", CONFIGURATION);
    page.write("terraform.tfvars", &with_reports("reader"));
    page.fixture.app("prod", "shop", "shop_owner");
    page.step(0);
    let written = "host=… user=… dbname=… sslmode=verify-full sslrootcert=…";
    page.step_at(written, "dbname=platform", 0);
    page.step(0);
    let connects = |role: &str| {
        let sql = format!("SELECT has_database_privilege('{role}', 'shop', 'CONNECT')");
        page.fixture.query(&sql)
    };
    assert_eq!(connects("shop_reports"), "t");

    page.turn_to(section("Tunnels and other addresses"), "prod");
    page.run("export RDSPROV_DEFINITIONS=terraform.tfvars", 0);
    page.step_at("15432", &port, 0);

    page.turn_to(section("Metrics"), "prod");
    page.step_at("/var/lib/node_exporter/", "", 0);
    assert!(read("rdsprov-prod.prom").contains("rdsprov_run_status"));

    page.turn_to(section("The ledger"), "prod");
    page.fixture.query("ALTER ROLE shop_reports CONNECTION LIMIT 3");
    page.run("rdsprov apply --audit-ledger ledger.jsonl -d terraform.tfvars", 0);
    let ledger = read("ledger.jsonl");
    let record: Value = serde_json::from_str(ledger.lines().nth(2).unwrap()).unwrap();
    let computed = format!("sha256:{}", page.step(0).split_whitespace().next().unwrap());
    assert_eq!(record["hash"], computed);

    page.turn_to(section("Access report"), "prod");
    page.step(0);
    assert!(read("access.html").contains("shop_reports"));
    page.run("rdsprov access -d terraform.tfvars --format json > access-2026-10.json", 0);
    page.fixture.query("CREATE ROLE planted LOGIN; GRANT CONNECT ON DATABASE shop TO planted");
    page.step(0);
    assert!(page.step(2).contains("planted"));
    assert!(read("access-2026-11.json").contains("planted"));

    page.turn_to(section("The end of access"), "prod");
    page.write("terraform.tfvars", SHOP);
    page.step(0);
    assert_eq!(connects("shop_reports"), "f");

    page.turn_to(section("Saved plans"), "prod");
    let exists = || page.fixture.query("SELECT count(*) FROM pg_database WHERE datname = 'shop'");
    page.write("shop.dump", "PGDMP");
    page.write("terraform.tfvars", "application_databases = {}");
    page.fixture.query("DROP OWNED BY planted; DROP ROLE planted");
    page.run("rdsprov retire shop --drop-role --drop-database --backup shop.dump --out retire.json -d terraform.tfvars", 0);
    assert_eq!(exists(), "1");
    page.step(0);
    assert_eq!(exists(), "0");

    // A snapshot of prod was restored, and is now the server of qa.
    page.turn_to(section("Restored snapshots"), "qa");
    page.write("terraform.tfvars", SHOP);
    page.run("rdsprov apply --env prod -d terraform.tfvars", 0);
    page.fixture.app("qa", "shop", "shop_owner");
    page.fixture.secret("goldenpath/qa/rds/master", &page.fixture.server.admin_secret());
    page.step(0);
    page.run("rdsprov check -d terraform.tfvars", 0);

    page.turn_to(section("Dropping roles and databases"), "qa");
    page.write("terraform.tfvars", "application_databases = {}");
    page.step(0);
    assert_eq!(exists(), "0");

    page.turn_to(section("The end of a build"), "review");
    page.write("terraform.tfvars", SHOP);
    page.fixture.app("review", "shop", "shop_owner");
    page.fixture.secret("goldenpath/review/rds/master", &page.fixture.server.admin_secret());
    page.run(
        "rdsprov apply --build-id 16-01-26-01 -d terraform.tfvars --allow mixes_environments",
        0,
    );
    assert_eq!(exists(), "1");
    page.step(0);
    assert_eq!(exists(), "0");
    assert_eq!(
        page.fixture.query("SELECT count(*) FROM pg_roles WHERE rolname = 'shop_owner'"),
        "0"
    );
}
