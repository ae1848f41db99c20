//! Each kind of RDS server, with the roles and tablespaces that RDS creates on it: nothing of them
//! is drift.

use rdsprov_testkit::{Server, Shape, versions};
use serde_json::Value;

use crate::fixture::{Fixture, expect, password};

const DEFINITIONS: &str = r#"application_databases = {
  shop    = { database_name = "shop", username = "shop_owner", extensions = ["pg_trgm"], adopt = true }
  workers = { database_name = "shop", username = "shop_editor", access_level = "editor" }
  reports = { database_name = "shop", username = "shop_reader", access_level = "reader", memberships = ["pg_monitor"] }
  wiki    = { database_name = "wiki", username = "wiki_owner" }
}"#;

#[test]
fn roles_and_tablespaces_of_rds_are_left_alone() {
    for major in versions() {
        for shape in Shape::ALL {
            run_on(major, shape);
        }
    }
}

fn run_on(major: u32, shape: Shape) {
    let when = format!("PostgreSQL {major}, {shape:?}");
    let fixture = Fixture::on(Server::start_shaped(major, shape).unwrap(), None);
    for (application, user) in [
        ("shop", "shop_owner"),
        ("workers", "shop_editor"),
        ("reports", "shop_reader"),
        ("wiki", "wiki_owner"),
    ] {
        fixture.app("dev", application, user);
    }
    // A database that the master user created before.
    fixture.server.master("platform", "CREATE DATABASE shop").unwrap();
    fixture.server.master("shop", "CREATE TABLE orders AS SELECT 1 AS id").unwrap();
    // Temporary objects of applications are in this tablespace.
    let is_instance = shape != Shape::Aurora;
    if is_instance {
        let temporary = "ALTER DATABASE shop SET temp_tablespaces = rds_temp_tablespace";
        fixture.server.master("platform", temporary).unwrap();
    }
    let of_rds = || {
        fixture.query(
            "SELECT rolname, rolcanlogin, rolinherit, rolconnlimit, shobj_description(oid, 'pg_authid'),
               (SELECT array_agg(roleid::regrole || ' ' || admin_option ORDER BY 1) FROM pg_auth_members WHERE member = r.oid)
             FROM pg_roles r WHERE rolname ~ '^rds'
             UNION ALL SELECT spcname, NULL, NULL, NULL, spcowner::regrole::text, spcacl::text[] FROM pg_tablespace
             ORDER BY 1",
        )
    };
    let before = of_rds();
    let definitions = fixture.definitions(DEFINITIONS);
    let run = |arguments: &[&str], code| {
        expect(&fixture.run(&definitions, &[arguments, &["--env", "dev"]].concat()), code)
    };

    let text = run(&["apply", "--allow", "changes_owner"], 0);
    assert!(text.contains("create_database,success"), "{when}: {text}");
    let owned =
        fixture.query_in("shop", "SELECT relowner::regrole FROM pg_class WHERE relname = 'orders'");
    assert_eq!(owned, "shop_owner", "{when}");

    let catalog_state = fixture.catalog_state();
    assert!(run(&["apply"], 0).contains("no_change"), "{when}");
    run(&["check"], 0);
    run(&["plan", "--detailed-exitcode"], 0);
    assert_eq!(fixture.catalog_state(), catalog_state, "{when}");
    assert_eq!(of_rds(), before, "{when}");

    // What applications do in the tablespace changes nothing.
    let sql = |user: &str, application: &str, sql: &str| {
        fixture.server.sql_as(user, &password(application), "shop", sql)
    };
    sql(
        "shop_editor",
        "workers",
        "CREATE TEMPORARY TABLE t (id int); INSERT INTO orders VALUES (2)",
    )
    .unwrap();
    sql("shop_reader", "reports", "INSERT INTO orders VALUES (2)").unwrap_err();
    if is_instance {
        let create = "CREATE TABLE in_tablespace (id int) TABLESPACE rds_temp_tablespace";
        sql("shop_owner", "shop", create).unwrap();
        assert!(run(&["apply"], 0).contains("no_change"), "{when}");
    }

    // The report contains each role that has a privilege, and no role of RDS without one.
    let report: Value = serde_json::from_slice(
        &fixture.run(&definitions, &["access", "--env", "dev", "--format", "json"]).stdout,
    )
    .unwrap();
    let text = report.to_string();
    for role in ["shop_owner", "shop_editor", "shop_reader", "wiki_owner"] {
        assert!(text.contains(role), "{when}: {report}");
    }
    for role in ["rdstopmgr", "rdsrepladmin", "rds_extension", "rds_ad", "rds_reserved"] {
        assert!(!text.contains(role), "{when}: {role} in {report}");
    }
    // From PostgreSQL 15 on, the master user reads all data through `rds_superuser`.
    assert_eq!(text.contains("pg_read_all_data"), major >= 15, "{when}: {report}");

    expect(&fixture.delegate("dev").output().unwrap(), 0);
    let again = expect(&fixture.delegate("dev").output().unwrap(), 0);
    assert!(again.contains("Nothing to do"), "{when}: {again}");
}
