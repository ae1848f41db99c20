//! Settings of a database, a role or the administrator do not change the behaviour of the product.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect};

const DEFINITIONS: &str = r#"application_databases = {
    shop    = { database_name = "shop", username = "shop_owner" }
    reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
    wiki    = { database_name = "wiki", username = "wiki_owner" }
}"#;

fn fixture(major: u32) -> (Fixture, String) {
    let fixture = Fixture::new(major);
    for (application, username) in
        [("shop", "shop_owner"), ("reports", "shop_reader"), ("wiki", "wiki_owner")]
    {
        fixture.app("dev", application, username);
    }
    let definitions = fixture.definitions(DEFINITIONS);
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    (fixture, definitions)
}

#[test]
fn database_settings_are_ignored() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        fixture.query_in(
            "shop",
            "CREATE TABLE t (id int); ALTER TABLE t OWNER TO shop_owner; GRANT INSERT ON t TO shop_reader",
        );
        fixture.query(
            "ALTER DATABASE shop SET default_transaction_isolation = 'serializable';
             ALTER DATABASE shop SET statement_timeout = '15ms';
             ALTER DATABASE shop SET search_path = 'nowhere';
             ALTER ROLE platform_admin SET default_transaction_read_only = on",
        );
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
        fixture.query("ALTER DATABASE shop RESET ALL");
        let may = "SELECT has_table_privilege('shop_reader', 'public.t', 'SELECT')
            AND NOT has_table_privilege('shop_reader', 'public.t', 'INSERT')";
        assert_eq!(fixture.query_in("shop", may), "t", "PostgreSQL {major}");
    }
}

/// A database owner may write any comment: one that looks like a marker does not
/// keep a database open.
#[test]
fn forged_marker_keeps_no_database_open() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "backstage", "backstage_user");
        let definitions = fixture.definitions(
            r#"application_databases = {
                 backstage = { database_name = "backstage", username = "backstage_user", createdb = true, plugin_databases = ["backstage_plugin_*"] }
               }"#,
        );
        let apply = ["apply", "--env", "dev"];
        expect(&fixture.run(&definitions, &apply), 0);
        fixture.query("CREATE DATABASE backstage_plugin_auth OWNER backstage_user");
        fixture.query(
            "COMMENT ON DATABASE backstage_plugin_auth IS '[managed by rdsprov: environment=dev application=backstage build_id=7 name=\"backstage_plugin_auth\"]'",
        );
        expect(&fixture.run(&definitions, &apply), 0);
        let acl = "SELECT datacl::text FROM pg_database WHERE datname = 'backstage_plugin_auth'";
        assert_eq!(fixture.query(acl), "{backstage_user=CTc/backstage_user}", "PostgreSQL {major}");
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
    }
}

/// A database whose names cannot be decoded is refused, and the other databases are still observed.
#[test]
fn undecodable_names_affect_one_database() {
    for major in versions() {
        let (fixture, _) = fixture(major);
        fixture.query(
            "CREATE DATABASE legacy ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0 OWNER shop_owner",
        );
        fixture.query_in(
            "legacy",
            r#"DO $$ BEGIN EXECUTE 'CREATE TABLE public."caf' || chr(233) || '" (id int)'; END $$"#,
        );
        fixture.app("dev", "legacy", "shop_owner");
        let definitions = fixture.definitions(
            r#"application_databases = {
                 shop   = { database_name = "shop", username = "shop_owner" }
                 legacy = { database_name = "legacy", username = "shop_owner", secret = "goldenpath/dev/shop/postgres", adopt = true }
                 wiki   = { database_name = "wiki", username = "wiki_owner" }
                 more   = { database_name = "wiki", username = "shop_reader", access_level = "reader", secret = "goldenpath/dev/reports/postgres" }
               }"#,
        );
        let output_text = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 3);
        assert!(output_text.contains("refused[database-unreachable] legacy: "), "{output_text}");
        assert!(output_text.contains("USAGE on schema public to shop_reader"), "{output_text}");
    }
}
