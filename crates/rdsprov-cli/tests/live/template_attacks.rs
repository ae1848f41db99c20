//! Attacks through `template1`, which each new database copies: by default, PUBLIC may connect to it,
//! and before PostgreSQL 15 also create objects in its schema `public`.

use std::time::{Duration, Instant};

use rdsprov_testkit::{Server, versions};
use serde_json::Value;

use crate::fixture::{DELEGATE, Fixture, expect, password};

const DEFINITIONS: &str = r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner" }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#;

const APPLY: [&str; 3] = ["apply", "--env", "dev"];
const CHECK: [&str; 3] = ["check", "--env", "dev"];

/// Code of each kind that a role can create with `CREATE` on a schema.
const PLANT: &str = "
    CREATE FUNCTION public.upper(varchar) RETURNS text LANGUAGE sql AS $$SELECT 'caught'$$;
    CREATE FUNCTION public.caught() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN new; END$$;
    CREATE PROCEDURE public.act(OUT a int) LANGUAGE sql AS $$SELECT 1$$;
    CREATE AGGREGATE public.every(*) (sfunc = int8inc, stype = int8, initcond = '0');
    CREATE TABLE public.orders (id serial, at int GENERATED ALWAYS AS IDENTITY, note varchar DEFAULT public.upper('a'::varchar));
    CREATE TRIGGER orders BEFORE INSERT ON public.orders EXECUTE FUNCTION public.caught();
    CREATE VIEW public.\"all orders\" AS SELECT * FROM public.orders;
    CREATE TYPE public.pair AS (a int, b int);
    CREATE TYPE public.mood AS ENUM ('good');
    CREATE DOMAIN public.word AS text CHECK (length(value) > 0);
    CREATE FUNCTION public.text_of(public.pair) RETURNS text LANGUAGE sql AS $$SELECT 'caught'$$;
    CREATE CAST (public.pair AS text) WITH FUNCTION public.text_of(public.pair) AS IMPLICIT;
    CREATE OPERATOR public.+ (leftarg = text, rightarg = text, function = pg_catalog.textcat);
    CREATE STATISTICS public.of_orders ON id, note FROM public.orders;
    CREATE TEXT SEARCH CONFIGURATION public.search (copy = pg_catalog.english);
    CREATE TEXT SEARCH DICTIONARY public.words (template = pg_catalog.simple);
    CREATE COLLATION public.c (locale = 'C');";

/// Opens `public` of the template as before PostgreSQL 15, and creates a role that can connect.
fn open_template(fixture: &Fixture) {
    fixture.query("CREATE ROLE mallory LOGIN PASSWORD 'Canary-mallory'");
    fixture.query_in("template1", "GRANT CREATE ON SCHEMA public TO PUBLIC");
}

fn as_mallory(fixture: &Fixture, database: &str, sql: &str) -> Result<String, String> {
    let result = fixture.server.sql_as("mallory", "Canary-mallory", database, sql);
    result.map_err(|error| error.to_string())
}

/// Executes the statements of each refusal as the administrator.
fn follow_hints(fixture: &Fixture, definitions: &str) {
    let output = fixture.run(definitions, &["plan", "--env", "dev", "--format", "json"]);
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let refusals = plan["refusals"].as_array().unwrap();
    let mut executed = Vec::new();
    for refusal in refusals {
        let fix = &refusal["manual_fix"];
        assert_eq!(fix["executor"], "administrator", "{refusal}");
        let database = fix["database"].as_str().unwrap_or("postgres");
        let sql = fix["sql"].as_str().unwrap();
        // Each entry of the database has the refusal.
        if !executed.contains(&sql) {
            fixture.server.master(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            executed.push(sql);
        }
    }
    assert!(!executed.is_empty(), "{plan}");
}

/// The control: `CREATE DATABASE` copies what the role has planted.
fn assert_attack_works(fixture: &Fixture) {
    fixture.server.master("postgres", "CREATE DATABASE copied").unwrap();
    let sql = "SELECT public.upper('a'::varchar)";
    assert_eq!(fixture.query_in("copied", sql), "caught");
    fixture.server.master("postgres", "DROP DATABASE copied").unwrap();
}

const COPIED: &str = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace";

#[test]
fn objects_in_the_template_are_refused() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
        open_template(&fixture);
        as_mallory(&fixture, "template1", PLANT).unwrap();
        assert_attack_works(&fixture);
        let state = fixture.catalog_state();
        let text = expect(&fixture.run(&definitions, &APPLY), 3);
        for says in [
            "refused[objects-in-template] shop: database shop would contain objects of role mallory, \
             because a new database copies template1: function public.upper(character varying), ",
            "hint: if no other database needs them from there, run as the administrator in database \
             template1: DROP FUNCTION IF EXISTS public.upper(character varying) CASCADE; ",
            "REVOKE CREATE ON SCHEMA \"public\" FROM PUBLIC; REVOKE CONNECT ON DATABASE \"template1\" \
             FROM PUBLIC;",
        ] {
            assert!(text.contains(says), "PostgreSQL {major}: {says} is not in {text}");
        }
        assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}");
        follow_hints(&fixture, &definitions);
        let error = as_mallory(&fixture, "template1", "SELECT 1").unwrap_err();
        assert!(error.contains("permission denied for database"), "PostgreSQL {major}: {error}");
        expect(&fixture.run(&definitions, &APPLY), 0);
        assert_eq!(fixture.query_in("shop", COPIED), "0", "PostgreSQL {major}");
        let left = "SELECT count(*) FROM pg_shdepend WHERE refobjid = 'mallory'::regrole AND deptype = 'o'";
        assert_eq!(fixture.query(left), "0", "PostgreSQL {major}");
        expect(&fixture.run(&definitions, &CHECK), 0);
    }
}

/// A member of a predefined role can give it an object, and `pg_shdepend` then shows no owner.
#[test]
fn objects_of_predefined_roles_in_the_template_are_refused() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
        open_template(&fixture);
        fixture.query("GRANT pg_read_all_settings TO mallory");
        let given =
            format!("{PLANT} ALTER FUNCTION public.upper(varchar) OWNER TO pg_read_all_settings");
        as_mallory(&fixture, "template1", &given).unwrap();
        let text = expect(&fixture.run(&definitions, &APPLY), 3);
        let says = "objects of role pg_read_all_settings, because a new database copies template1: \
                    function public.upper(character varying)";
        assert!(text.contains(says), "PostgreSQL {major}: {text}");
        follow_hints(&fixture, &definitions);
        expect(&fixture.run(&definitions, &APPLY), 0);
        assert_eq!(fixture.query_in("shop", COPIED), "0", "PostgreSQL {major}");
    }
}

/// Objects of administrators are for all databases.
#[test]
fn objects_of_administrators_are_copied() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
        fixture.query("CREATE ROLE dba LOGIN IN ROLE rds_superuser");
        fixture.query_in("template1", "CREATE SCHEMA tools; GRANT ALL ON SCHEMA tools TO PUBLIC");
        for role in ["platform_admin", "dba", "rdsadmin"] {
            let function = format!(
                "SET SESSION AUTHORIZATION {role}; CREATE FUNCTION tools.of_{role}() RETURNS int
                 LANGUAGE sql AS 'SELECT 1'"
            );
            fixture.query_in("template1", &function);
        }
        expect(&fixture.run(&definitions, &APPLY), 0);
        let copied = COPIED.replace("public", "tools");
        assert_eq!(fixture.query_in("shop", &copied), "3", "PostgreSQL {major}");
    }
}

/// Since PostgreSQL 16, a role with `CREATEROLE` has power over its own roles only, and can forge the marker
/// of a delegate for them.
#[test]
fn roles_with_createrole_are_administrators_before_16_only() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
        expect(&fixture.delegate("dev").output().unwrap(), 0);
        fixture.query("CREATE ROLE lead LOGIN CREATEROLE PASSWORD 'Canary-lead'");
        let marker = r#"[managed by rdsprov: environment=dev application=rdsprov:administrator build_id= name="fake"]"#;
        for sql in [
            "CREATE ROLE fake CREATEROLE".to_owned(),
            format!("COMMENT ON ROLE fake IS '{marker}'"),
            "GRANT fake TO platform_admin WITH ADMIN OPTION".to_owned(),
        ] {
            fixture.server.sql_as("lead", "Canary-lead", "postgres", &sql).unwrap();
        }
        fixture.query_in("template1", "CREATE SCHEMA tools; GRANT ALL ON SCHEMA tools TO PUBLIC");
        let plant = |role: &str| {
            let function = format!(
                "SET SESSION AUTHORIZATION {role}; CREATE FUNCTION tools.of_{role}() RETURNS int
                 LANGUAGE sql AS 'SELECT 1'"
            );
            fixture.query_in("template1", &function);
        };
        plant(DELEGATE);
        let plan = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 0);
        assert!(plan.contains("create database shop"), "PostgreSQL {major}: {plan}");
        let script = ["plan", "--env", "dev", "--format", "sql", "--with-verifiers"];
        let script = String::from_utf8(fixture.run(&definitions, &script).stdout).unwrap();
        for role in ["lead", "fake"] {
            plant(role);
        }
        if major < 16 {
            expect(&fixture.run(&definitions, &APPLY), 0);
            let copied = COPIED.replace("public", "tools");
            assert_eq!(fixture.query_in("shop", &copied), "3", "PostgreSQL {major}");
            continue;
        }
        let text = expect(&fixture.run(&definitions, &APPLY), 3);
        for role in ["lead", "fake"] {
            let says = format!(
                "database shop would contain objects of role {role}, because a new database copies \
                 template1: function tools.of_{role}()"
            );
            assert!(text.contains(&says), "PostgreSQL {major}: {text}");
        }
        assert!(!text.contains(&format!("objects of role {DELEGATE}")), "{text}");
        let error = fixture.server.script_as_master(&script).unwrap_err().to_string();
        let says = "the new database shop has copied functions of role fake from template1";
        assert!(error.contains(says), "PostgreSQL {major}: {error}");
        let text = expect(&fixture.run(&definitions, &APPLY), 3);
        assert!(text.contains("refused[unfinished-database-with-objects] shop: "), "{text}");
    }
}

/// The role is faster than the run: it creates its objects after the plan was made.
#[test]
fn objects_that_are_planted_after_the_plan() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
        open_template(&fixture);
        let script = ["plan", "--env", "dev", "--format", "sql", "--with-verifiers"];
        let script = fixture.run(&definitions, &script);
        let script = String::from_utf8(script.stdout).unwrap();
        assert!(script.contains("CREATE DATABASE"), "{script}");
        as_mallory(&fixture, "template1", PLANT).unwrap();
        let error = fixture.server.script_as_master(&script).unwrap_err().to_string();
        let says = "the new database shop has copied functions of role mallory from template1";
        assert!(error.contains(says), "PostgreSQL {major}: {error}");
        let shop = "SELECT concat_ws(' ', pg_get_userbyid(datdba), datallowconn) FROM pg_database WHERE datname = 'shop'";
        assert_eq!(fixture.query(shop), "platform_admin f", "PostgreSQL {major}");

        // The next run continues only with a clean database, even if the template is clean again.
        let text = expect(&fixture.run(&definitions, &APPLY), 3);
        for says in [
            "refused[unfinished-database-with-objects] shop: the creation of database shop was interrupted, \
             and it has copied objects of role mallory from template1",
            "run as the administrator: DROP DATABASE \"shop\";",
            "refused[objects-in-template] shop: ",
        ] {
            assert!(text.contains(says), "PostgreSQL {major}: {says} is not in {text}");
        }
        fixture.query_in("template1", "DROP OWNED BY mallory CASCADE");
        let text = expect(&fixture.run(&definitions, &APPLY), 3);
        assert!(!text.contains("objects-in-template"), "PostgreSQL {major}: {text}");
        follow_hints(&fixture, &definitions);
        expect(&fixture.run(&definitions, &APPLY), 0);
        assert_eq!(fixture.query_in("shop", COPIED), "0", "PostgreSQL {major}");
    }
}

/// What each role can create in the template on each version: large objects and default privileges. The
/// roles are one that the administrator cannot act as, and a managed one.
#[test]
fn large_objects_and_default_privileges_stop_no_application() {
    const LEAVE: &str = "
        SELECT lo_create(4711); GRANT ALL ON LARGE OBJECT 4711 TO shop_owner, shop_reader, PUBLIC;
        ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO shop_owner, shop_reader, PUBLIC;
        ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO shop_owner, shop_reader WITH GRANT OPTION;
        ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO shop_owner, shop_reader, PUBLIC;
        ALTER DEFAULT PRIVILEGES REVOKE ALL ON TYPES FROM PUBLIC;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO shop_owner, shop_reader, PUBLIC;";
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
        expect(&fixture.run(&definitions, &APPLY), 0);
        fixture.query("DROP DATABASE shop");
        fixture.query("CREATE ROLE mallory LOGIN PASSWORD 'Canary-mallory'");
        as_mallory(&fixture, "template1", LEAVE).unwrap();
        let managed = LEAVE.replace("4711", "4712").replace("shop_reader, ", "");
        let managed = managed.replace(", shop_reader", "");
        let reader = password("shop_reports");
        fixture.server.sql_as("shop_reader", &reader, "template1", &managed).unwrap();
        // No hazard must be allowed for a new database.
        let configuration = "[environments.dev]\napproval = \"required\"\n";
        std::fs::write(fixture.path().join("rdsprov.toml"), configuration).unwrap();
        let mut command = fixture.command(&definitions, &APPLY);
        let text = expect(&command.env("ALLOW_DB_PROVISION", "true").output().unwrap(), 0);
        let note =
            "note[default-privileges-shared]: in database shop, the administrator cannot revoke ";
        // They belong to a role that is not declared: no version revokes them.
        assert!(text.contains(note), "PostgreSQL {major}: {text}");
        expect(&fixture.run(&definitions, &CHECK), 0);
        let connects = "SELECT has_database_privilege('mallory', 'shop', 'CONNECT')";
        assert_eq!(fixture.query(connects), "f", "PostgreSQL {major}");
        // The default privileges apply to nothing that a role of the application creates.
        fixture
            .server
            .sql_as("shop_owner", &password("shop"), "shop", "CREATE TABLE t (id int)")
            .unwrap();
        let acl =
            "SELECT coalesce(string_agg(g.rolname || ' ' || x.privilege_type, ', ' ORDER BY 1), '')
            FROM pg_class c, aclexplode(c.relacl) x LEFT JOIN pg_roles g ON g.oid = x.grantee
            WHERE c.relname = 't' AND x.grantee <> c.relowner";
        assert_eq!(fixture.query_in("shop", &acl.replace("ORDER BY 1", "")), "shop_reader SELECT");
    }
}

/// A session in the template blocks `CREATE DATABASE`. It is named before anything is changed.
#[test]
fn session_in_the_template_is_named() {
    for major in versions() {
        let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
        fixture.query("CREATE ROLE mallory LOGIN PASSWORD 'Canary-mallory'");
        let mut idle = fixture.server.session("mallory", "Canary-mallory", "template1").unwrap();
        let pid = idle.ask("SELECT pg_backend_pid()").unwrap().rows;
        let pid = pid.trim();
        let state = fixture.catalog_state();
        let started = Instant::now();
        let text = expect(&fixture.run(&definitions, &APPLY), 1);
        assert!(started.elapsed() < Duration::from_secs(25), "PostgreSQL {major}");
        for says in [
            "no database can be created, because others use template1, which a new database copies: \
             pid ",
            &format!("pid {pid} (role mallory"),
            "from ",
            "since 20",
            &format!("hint: end them with `SELECT pg_terminate_backend({pid});`"),
            "and run `REVOKE CONNECT ON DATABASE template1 FROM PUBLIC;`",
        ] {
            assert!(text.contains(says), "PostgreSQL {major}: {says} is not in {text}");
        }
        assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}");
        // What the hint says is possible and sufficient.
        let end = format!("SELECT pg_terminate_backend({pid})");
        fixture.server.master("postgres", &end).unwrap();
        let revoke = "REVOKE CONNECT ON DATABASE template1 FROM PUBLIC";
        fixture.server.master("postgres", revoke).unwrap();
        assert!(as_mallory(&fixture, "template1", "SELECT 1").is_err());
        expect(&fixture.run(&definitions, &APPLY), 0);
    }
}

/// So does a prepared transaction, which has no session.
#[test]
fn prepared_transaction_in_the_template_is_named() {
    for major in versions() {
        let server = Server::start_with_settings(major, "max_prepared_transactions = 2").unwrap();
        let fixture = Fixture::on(server, None);
        fixture.app("dev", "shop", "shop_owner");
        let definitions = fixture.definitions(
            r#"application_databases = { shop = { database_name = "shop", username = "shop_owner" } }"#,
        );
        fixture.query("CREATE ROLE mallory LOGIN PASSWORD 'Canary-mallory'");
        let prepare = "BEGIN; SELECT pg_advisory_xact_lock(1); PREPARE TRANSACTION 'it''s mine'";
        as_mallory(&fixture, "template1", prepare).unwrap();
        let state = fixture.catalog_state();
        let text = expect(&fixture.run(&definitions, &APPLY), 1);
        for says in [
            "the prepared transaction 'it''s mine' (role mallory",
            "ROLLBACK PREPARED 'it''s mine';",
        ] {
            assert!(text.contains(says), "PostgreSQL {major}: {says} is not in {text}");
        }
        assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}");
        fixture.query_in("template1", "ROLLBACK PREPARED 'it''s mine'");
        expect(&fixture.run(&definitions, &APPLY), 0);

        // One that locks a role is named, too.
        fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 3");
        fixture
            .query("BEGIN; ALTER ROLE shop_owner CONNECTION LIMIT 4; PREPARE TRANSACTION 'held'");
        let text = expect(&fixture.run(&definitions, &APPLY), 1);
        for says in ["the prepared transaction 'held' (role rdsadmin", "ROLLBACK PREPARED 'held'"] {
            assert!(text.contains(says), "PostgreSQL {major}: {says} is not in {text}");
        }
    }
}

/// The run goes on when the session has ended, and several databases share the limit.
#[test]
fn wait_for_the_template_is_limited_once() {
    let (fixture, definitions) = Fixture::shop(versions()[0], DEFINITIONS);
    fixture.app("dev", "second", "second_owner");
    fixture.app("dev", "third", "third_owner");
    let several = fixture.definitions(
        r#"application_databases = {
            shop   = { database_name = "shop", username = "shop_owner" }
            second = { database_name = "second", username = "second_owner" }
            third  = { database_name = "third", username = "third_owner" }
        }"#,
    );
    let idle = fixture.server.master_session("template1").unwrap();
    let started = Instant::now();
    let all = [&APPLY[..], &["--no-fail-fast"]].concat();
    let text = expect(&fixture.run(&several, &all), 4);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}: {text}", started.elapsed());
    assert!(text.contains("no database can be created, because others use template1"), "{text}");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(3));
            drop(idle);
        });
        expect(&fixture.run(&definitions, &APPLY), 0);
    });
}
