//! Settings of a database, a role or the administrator do not change the behaviour of the product.

use rdsprov_testkit::versions;

use crate::bench::{Bench, expect};

const DEFINITIONS: &str = r#"application_databases = {
    shop    = { database_name = "shop", username = "shop_owner" }
    reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
    wiki    = { database_name = "wiki", username = "wiki_owner" }
}"#;

fn bench(major: u32) -> (Bench, String) {
    let bench = Bench::new(major);
    for (application, username) in
        [("shop", "shop_owner"), ("reports", "shop_reader"), ("wiki", "wiki_owner")]
    {
        bench.app("dev", application, username);
    }
    let definitions = bench.definitions(DEFINITIONS);
    expect(&bench.run(&definitions, &["apply", "--env", "dev"]), 0);
    (bench, definitions)
}

#[test]
fn settings_of_a_database_are_not_the_programs() {
    for major in versions() {
        let (bench, definitions) = bench(major);
        bench.query_in(
            "shop",
            "CREATE TABLE t (id int); ALTER TABLE t OWNER TO shop_owner; GRANT INSERT ON t TO shop_reader",
        );
        bench.query(
            "ALTER DATABASE shop SET default_transaction_read_only = on;
             ALTER DATABASE shop SET statement_timeout = '15ms';
             ALTER DATABASE shop SET search_path = 'nowhere';
             ALTER ROLE platform_admin SET default_transaction_read_only = on",
        );
        expect(&bench.run(&definitions, &["apply", "--env", "dev"]), 0);
        expect(&bench.run(&definitions, &["check", "--env", "dev"]), 0);
        bench.query("ALTER DATABASE shop RESET ALL");
        let may = "SELECT has_table_privilege('shop_reader', 'public.t', 'SELECT')
            AND NOT has_table_privilege('shop_reader', 'public.t', 'INSERT')";
        assert_eq!(bench.query_in("shop", may), "t", "PostgreSQL {major}");
    }
}

/// A database owner may write any comment: one that looks like a marker does not keep a database
/// open.
#[test]
fn a_mark_of_somebody_else_keeps_nothing_open() {
    for major in versions() {
        let bench = Bench::new(major);
        bench.app("dev", "backstage", "backstage_user");
        let definitions = bench.definitions(
            r#"application_databases = {
                 backstage = { database_name = "backstage", username = "backstage_user", createdb = true, plugin_databases = ["backstage_plugin_*"] }
               }"#,
        );
        let apply = ["apply", "--env", "dev"];
        expect(&bench.run(&definitions, &apply), 0);
        bench.query("CREATE DATABASE backstage_plugin_auth OWNER backstage_user");
        bench.query(
            "COMMENT ON DATABASE backstage_plugin_auth IS '[managed by rdsprov: environment=dev application=backstage build_id=7 name=\"backstage_plugin_auth\"]'",
        );
        expect(&bench.run(&definitions, &apply), 0);
        let acl = "SELECT datacl::text FROM pg_database WHERE datname = 'backstage_plugin_auth'";
        assert_eq!(bench.query(acl), "{backstage_user=CTc/backstage_user}", "PostgreSQL {major}");
        expect(&bench.run(&definitions, &["check", "--env", "dev"]), 0);
    }
}

/// A database whose names cannot be decoded is refused, and the other databases are still observed.
#[test]
fn names_in_no_encoding_concern_their_database_alone() {
    for major in versions() {
        let (bench, _) = bench(major);
        bench.query(
            "CREATE DATABASE legacy ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0 OWNER shop_owner",
        );
        bench.query_in(
            "legacy",
            r#"DO $$ BEGIN EXECUTE 'CREATE TABLE public."caf' || chr(233) || '" (id int)'; END $$"#,
        );
        bench.app("dev", "legacy", "shop_owner");
        let definitions = bench.definitions(
            r#"application_databases = {
                 shop   = { database_name = "shop", username = "shop_owner" }
                 legacy = { database_name = "legacy", username = "shop_owner", secret = "goldenpath/dev/shop/postgres", adopt = true }
                 wiki   = { database_name = "wiki", username = "wiki_owner" }
                 more   = { database_name = "wiki", username = "shop_reader", access_level = "reader", secret = "goldenpath/dev/reports/postgres" }
               }"#,
        );
        let shown = expect(&bench.run(&definitions, &["plan", "--env", "dev"]), 3);
        assert!(shown.contains("database legacy cannot be looked into"), "{shown}");
        assert!(shown.contains("USAGE on schema public to shop_reader"), "{shown}");
    }
}
