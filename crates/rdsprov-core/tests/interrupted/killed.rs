//! Runs whose connection is lost without a Terminate message.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rdsprov_core::server::{ExecuteOptions, Fault};
use rdsprov_testkit::{Server, versions};

use crate::{GRANTED_BY_US, applied, at, open, site, superuser};

const APPLICATIONS: [&str; 3] = ["shop", "shop_workers", "shop_reports"];

const DEFINITIONS: &str = r#"
application_databases = {
  shop         = { database_name = "shop", username = "shop_owner" }
  shop_workers = { database_name = "shop", username = "shop_editor", access_level = "editor" }
  shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}
"#;

/// Returns definitions in which another role owns the database.
fn owned_by(owner: &str) -> String {
    DEFINITIONS.replace("shop_owner", owner)
}

/// Applies and is killed before the statement at `position`. Returns whether there was one.
async fn killed_at(server: &Server, secrets: &Path, definitions: &str, position: usize) -> bool {
    let kill = at(position, Fault::Killed);
    let mut run = open(server, secrets, definitions).await;
    let mut locked = run.lock().await.unwrap();
    let planned = locked.plan().await.unwrap();
    assert!(planned.plan().refusals.is_empty(), "{}", planned.plan().to_text());
    let options = ExecuteOptions::interrupted_by(&kill);
    let killed = planned.apply("1", &options).await.unwrap().error.is_some();
    drop(locked);
    drop(run);
    // The server notices the lost connection after it has finished the current statement.
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'platform_admin'";
    let mut waits = 0;
    while superuser(server, busy) != "0" {
        waits += 1;
        assert!(waits < 500, "position {position}: a session remains");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    killed
}

// A dropped session sends Terminate from its own task, which needs a second thread while the test
// waits.
#[tokio::test(flavor = "multi_thread")]
async fn killed_run_is_completed_by_the_next() {
    for major in versions() {
        let (server, secrets) = site(major, &APPLICATIONS);
        let mut position = 0;
        while killed_at(&server, secrets.path(), DEFINITIONS, position).await {
            let place = format!("PostgreSQL {major}, position {position}");
            assert_eq!(superuser(&server, GRANTED_BY_US), "0", "{place}");
            applied(&server, secrets.path(), DEFINITIONS).await;
            assert_eq!(superuser(&server, GRANTED_BY_US), "0", "{place}");
            superuser(&server, "DROP DATABASE shop WITH (FORCE)");
            superuser(&server, "DROP ROLE shop_owner, shop_editor, shop_reader");
            position += 1;
        }
        assert!(position > 25, "only {position} statements were tried");
        assert!(!server.log().contains("Canary-shop"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_owner_change_leaves_one_owner() {
    // PostgreSQL 16 changed memberships: one version before, one after.
    let all = versions();
    for major in BTreeSet::from([all[0], all[all.len() - 1]]) {
        let (server, secrets) = site(major, &APPLICATIONS);
        let (old, new) = (owned_by("shop_owner"), owned_by("shop_successor"));
        applied(&server, secrets.path(), &old).await;
        let made = "SET ROLE shop_owner; CREATE TABLE orders (); CREATE SCHEMA stock;
            CREATE FUNCTION stock.count() RETURNS int LANGUAGE sql AS 'SELECT 1'";
        server.superuser("shop", made).unwrap();
        let owners = "SELECT DISTINCT pg_get_userbyid(owner) FROM (
                SELECT datdba FROM pg_database WHERE datname = 'shop'
                UNION ALL SELECT relowner FROM pg_class WHERE relname = 'orders'
                UNION ALL SELECT nspowner FROM pg_namespace WHERE nspname = 'stock'
                UNION ALL SELECT proowner FROM pg_proc WHERE proname = 'count' AND pronamespace = 'stock'::regnamespace
            ) all_of_it(owner)";
        let owner = || server.superuser("shop", owners).unwrap().trim().to_owned();
        let mut position = 0;
        while killed_at(&server, secrets.path(), &new, position).await {
            let left_to = owner();
            let of_one = ["shop_owner", "shop_successor"].contains(&left_to.as_str());
            assert!(of_one, "PostgreSQL {major}, position {position}: {left_to}");
            applied(&server, secrets.path(), &new).await;
            assert_eq!(owner(), "shop_successor", "PostgreSQL {major}, position {position}");
            assert_eq!(superuser(&server, GRANTED_BY_US), "0", "PostgreSQL {major}");
            applied(&server, secrets.path(), &old).await;
            position += 1;
        }
        assert!(position > 15, "only {position} statements were tried");
    }
}

/// `REASSIGN OWNED` moves all databases and tablespaces of a role, including those
/// created after the plan.
#[tokio::test(flavor = "multi_thread")]
async fn later_objects_of_the_old_owner_are_not_moved() {
    let (server, secrets) = site(versions()[0], &APPLICATIONS);
    let (old, new) = (owned_by("shop_owner"), owned_by("shop_successor"));
    applied(&server, secrets.path(), &old).await;
    let owners = "SELECT string_agg(what, ', ' ORDER BY what COLLATE \"C\") FROM (
        SELECT datname || ' ' || pg_get_userbyid(datdba) FROM pg_database WHERE datname IN ('it''s new', 'shop')
        UNION ALL SELECT spcname || ' ' || pg_get_userbyid(spcowner) FROM pg_tablespace WHERE spcname !~ '^(pg|rds)_') x(what)";
    let made = [
        ("CREATE DATABASE \"it's new\" OWNER shop_owner", "it's new shop_owner, shop shop_owner"),
        (
            "SET allow_in_place_tablespaces = on; CREATE TABLESPACE \"Ünder\" OWNER shop_owner LOCATION ''",
            "it's new shop_owner, shop shop_owner, Ünder shop_owner",
        ),
    ];
    for (make, owned) in made {
        let mut run = open(&server, secrets.path(), &new).await;
        let mut run = run.lock().await.unwrap();
        let planned = run.plan().await.unwrap();
        assert!(planned.plan().refusals.is_empty(), "{}", planned.plan().to_text());
        server.script_as_superuser(make).unwrap();
        let outcome = planned.apply("1", &ExecuteOptions::default()).await.unwrap();
        let error = outcome.error.unwrap();
        assert!(error.contains("owns other databases, tablespaces or subscriptions"), "{error}");
        let hint = outcome.hint.unwrap().to_string();
        assert!(hint.contains("run `plan` again and apply the new plan"), "{hint}");
        assert_eq!(superuser(&server, owners), owned);
    }
    applied(&server, secrets.path(), &new).await;
    assert_eq!(
        superuser(&server, owners),
        "it's new shop_owner, shop shop_successor, Ünder shop_owner"
    );
}
