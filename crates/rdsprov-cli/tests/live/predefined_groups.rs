//! Privileges that a declared role gets because the owner of a database grants them to a predefined role
//! of which the declared role is a member.

use rdsprov_testkit::versions;
use serde_json::Value;

use crate::fixture::{Fixture, expect, password};

#[test]
fn privileges_of_predefined_groups_are_revoked() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        fixture.app("dev", "reports", "shop_reader");
        let definitions = fixture.definitions(
            r#"application_databases = {
                shop    = { database_name = "shop", username = "shop_owner" }
                reports = { database_name = "shop", username = "shop_reader", access_level = "reader", memberships = ["pg_monitor"] }
            }"#,
        );
        let apply = ["apply", "--env", "dev"];
        let check = ["check", "--env", "dev"];
        expect(&fixture.run(&definitions, &apply), 0);
        expect(&fixture.run(&definitions, &check), 0);
        let owner = |sql: &str| {
            fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql).unwrap();
        };
        owner(
            "CREATE TABLE public.orders (id int, word text); GRANT INSERT ON orders TO pg_monitor;
             GRANT UPDATE (word) ON orders TO pg_monitor; CREATE SCHEMA extra; GRANT CREATE ON SCHEMA extra TO pg_monitor;
             CREATE FUNCTION total() RETURNS int LANGUAGE sql AS 'SELECT 1'; GRANT EXECUTE ON FUNCTION total() TO pg_monitor;
             ALTER DEFAULT PRIVILEGES GRANT DELETE ON TABLES TO pg_monitor; GRANT CREATE ON DATABASE shop TO pg_monitor",
        );
        let held = "SELECT has_table_privilege('shop_reader', 'public.orders', 'INSERT'),
            has_column_privilege('shop_reader', 'public.orders', 'word', 'UPDATE'),
            has_schema_privilege('shop_reader', 'extra', 'CREATE'),
            has_database_privilege('shop_reader', 'shop', 'CREATE'),
            (SELECT count(*) FROM pg_default_acl WHERE defaclacl::text LIKE '%pg_monitor%'),
            (SELECT count(*) FROM pg_proc WHERE proname = 'total' AND proacl::text LIKE '%pg_monitor%')";
        assert_eq!(fixture.query_in("shop", held), "t|t|t|t|1|1", "PostgreSQL {major}");
        let of_postgresql = "SELECT count(*) FROM pg_proc WHERE proacl::text LIKE '%pg_monitor%'
            AND pronamespace = 'pg_catalog'::regnamespace";
        let before = fixture.query_in("shop", of_postgresql);
        expect(&fixture.run(&definitions, &check), 2);
        expect(&fixture.run(&definitions, &apply), 0);
        assert_eq!(fixture.query_in("shop", held), "f|f|f|f|0|0", "PostgreSQL {major}");
        // What PostgreSQL grants to the predefined role is not touched.
        assert_eq!(fixture.query_in("shop", of_postgresql), before, "PostgreSQL {major}");
        expect(&fixture.run(&definitions, &check), 0);
        // A member of pg_monitor is one of pg_read_all_stats, too.
        owner("GRANT INSERT ON orders TO pg_read_all_stats");
        let inserts = "SELECT has_table_privilege('shop_reader', 'public.orders', 'INSERT')";
        assert_eq!(fixture.query_in("shop", inserts), "t", "PostgreSQL {major}");
        expect(&fixture.run(&definitions, &apply), 0);
        assert_eq!(fixture.query_in("shop", inserts), "f", "PostgreSQL {major}");
        expect(&fixture.run(&definitions, &check), 0);
        let reads = "SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'platform_admin'";
        fixture.server.sql_as("shop_reader", &password("reports"), "shop", reads).unwrap();
    }
}

/// Each role with IAM tokens is a member of `rds_iam`.
#[test]
fn privileges_of_rds_iam_are_revoked() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        let definitions = fixture.definitions(
            r#"application_databases = {
                shop   = { database_name = "shop", username = "shop_owner" }
                tokens = { database_name = "shop", username = "shop_tokens", access_level = "reader", auth = "iam" }
            }"#,
        );
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        let grant = "CREATE TABLE public.orders (id int); GRANT INSERT ON orders TO rds_iam";
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", grant).unwrap();
        let inserts = "SELECT has_table_privilege('shop_tokens', 'public.orders', 'INSERT')";
        assert_eq!(fixture.query_in("shop", inserts), "t", "PostgreSQL {major}");
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 2);
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        assert_eq!(fixture.query_in("shop", inserts), "f", "PostgreSQL {major}");
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
    }
}

/// A member of a predefined role can give it objects. `pg_shdepend` has no rows for those of the roles of
/// PostgreSQL itself.
#[test]
fn objects_of_predefined_groups_are_refused() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, role) in
            [("shop", "shop_owner"), ("reports", "shop_reader"), ("other", "other_owner")]
        {
            fixture.app("dev", application, role);
        }
        let definitions = fixture.definitions(
            r#"application_databases = {
                shop    = { database_name = "shop", username = "shop_owner", schemas = ["stock"], memberships = ["pg_monitor"] }
                reports = { database_name = "shop", username = "shop_reader", access_level = "reader", schemas = ["stock"], memberships = ["pg_monitor"] }
                other   = { database_name = "other", username = "other_owner" }
                tokens  = { database_name = "other", username = "other_tokens", auth = "iam", access_level = "reader" }
            }"#,
        );
        let apply = ["apply", "--env", "dev"];
        expect(&fixture.run(&definitions, &apply), 0);
        let owner = |sql: &str| {
            fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql).unwrap();
        };
        let reader =
            |sql: &str| fixture.server.sql_as("shop_reader", &password("reports"), "shop", sql);
        owner(
            "GRANT CREATE ON SCHEMA stock TO pg_monitor, pg_read_all_stats; SET search_path = stock; CREATE TABLE orders (id serial);
             ALTER TABLE orders OWNER TO pg_monitor; CREATE EXTENSION citext; CREATE TABLE hidden (id int);
             ALTER EXTENSION citext ADD TABLE hidden; ALTER TABLE hidden OWNER TO pg_monitor;
             CREATE FUNCTION total() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION total() OWNER TO pg_read_all_stats;
             REVOKE CREATE ON SCHEMA stock FROM pg_monitor, pg_read_all_stats",
        );
        // The attack: a reader has all privileges of the owner.
        reader("INSERT INTO stock.orders VALUES (1); TRUNCATE stock.hidden").unwrap();
        for command in ["plan", "check", "apply"] {
            let output = fixture.run(&definitions, &[command, "--env", "dev"]);
            expect(&output, 3);
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            for expected in [
                "role pg_monitor owns table stock.orders and 1 more",
                "role pg_read_all_stats owns function stock.total()",
                "ALTER TABLE stock.hidden OWNER TO \"shop_owner\"",
            ] {
                assert!(text.contains(expected), "PostgreSQL {major}: {expected}: {text}");
            }
        }
        // It concerns the application of the database only.
        fixture.query("ALTER ROLE other_owner CONNECTION LIMIT 7");
        expect(&fixture.run(&definitions, &["apply", "--env", "dev", "--no-fail-fast"]), 3);
        let limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'other_owner'";
        assert_eq!(fixture.query(limit), "-1", "PostgreSQL {major}");
        let plan = fixture.run(&definitions, &["plan", "--env", "dev", "--format", "json"]);
        let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
        for refusal in plan["refusals"].as_array().unwrap() {
            assert_eq!(refusal["code"], "objects-of-predefined-role", "PostgreSQL {major}");
            let fix = &refusal["manual_fix"];
            assert_eq!(fix["executor"], "administrator", "PostgreSQL {major}: {fix}");
            fixture.server.master("shop", fix["sql"].as_str().unwrap()).unwrap();
        }
        expect(&fixture.run(&definitions, &apply), 0);
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
        assert!(reader("INSERT INTO stock.orders VALUES (1)").is_err(), "PostgreSQL {major}");
    }
}

/// `REASSIGN OWNED` does not work for such an owner.
#[test]
fn database_of_a_predefined_role_is_refused() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        let definitions = fixture.definitions(
            r#"application_databases = {
                shop = { database_name = "shop", username = "shop_owner", memberships = ["pg_monitor"], createdb = true }
            }"#,
        );
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        let give = "CREATE TABLE public.orders (id int); ALTER DATABASE shop OWNER TO pg_monitor";
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", give).unwrap();
        for allow in [&[][..], &["--allow", "changes_owner"]] {
            let output =
                fixture.run(&definitions, &[&["apply", "--env", "dev"][..], allow].concat());
            expect(&output, 3);
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(
                text.contains("ALTER DATABASE \"shop\" OWNER TO \"shop_owner\""),
                "{major}: {text}"
            );
            assert!(!text.contains("REASSIGN OWNED"), "PostgreSQL {major}: {text}");
        }
    }
}
