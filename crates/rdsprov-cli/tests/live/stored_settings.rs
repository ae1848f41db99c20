//! Settings that are stored for a role, a database or the server change nothing, and no membership
//! of the administrator is committed.

use std::collections::BTreeMap;
use std::time::Duration;

use rdsprov_core::config::CaFile;
use rdsprov_core::plan::{BEGIN_SESSION, Plan, SESSION_SETTINGS, session_settings};
use rdsprov_core::session::{self, Cancellation, Frontend, Setup};
use rdsprov_core::setting::Parameter;
use rdsprov_testkit::{all_versions, versions};

use crate::fixture::{Fixture, expect, password};

const DEFINITIONS: &str = r#"application_databases = {
    shop    = { database_name = "shop", username = "shop_owner", extensions = ["hstore"] }
    workers = { database_name = "shop", username = "shop_editor", access_level = "editor" }
    reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
    tokens  = { database_name = "shop", username = "shop_tokens", access_level = "reader", auth = "iam" }
}"#;

const APPLY: [&str; 3] = ["apply", "--env", "dev"];
const CHECK: [&str; 3] = ["check", "--env", "dev"];
const SCRIPT: [&str; 6] = ["plan", "--env", "dev", "--format", "sql", "--with-verifiers"];

/// The memberships of the administrator with their options. Since PostgreSQL 16, the creator of a
/// role has its `ADMIN OPTION` only, granted by the bootstrap superuser.
const MEMBERSHIPS: &str = "SELECT string_agg(pg_get_userbyid(roleid) || ' ' || (to_jsonb(m) - 'oid')::text, E'\n' ORDER BY roleid)
    FROM pg_auth_members m WHERE member = 'platform_admin'::regrole
      AND NOT coalesce(grantor = 10 AND admin_option AND NOT (to_jsonb(m)->>'inherit_option')::bool
        AND NOT (to_jsonb(m)->>'set_option')::bool AND roleid <> 'rds_iam'::regrole, false)";

const INHERITS_RDS_IAM: &str = "SELECT pg_has_role('platform_admin', 'rds_iam', 'USAGE')";

fn fixture(major: u32) -> Fixture {
    let fixture = Fixture::new(major);
    for (application, user) in [
        ("shop", "shop_owner"),
        ("workers", "shop_editor"),
        ("reports", "shop_reader"),
        ("tokens", "shop_tokens"),
    ] {
        fixture.app("dev", application, user);
    }
    fixture
}

/// Runs the `psql` script of the plan as the administrator.
fn run_script(fixture: &Fixture, definitions: &str) -> Result<String, rdsprov_testkit::Error> {
    let plan = fixture.run(definitions, &SCRIPT);
    assert_eq!(plan.status.code(), Some(0), "{}", String::from_utf8_lossy(&plan.stderr));
    fixture.server.script_as_master(&String::from_utf8(plan.stdout).unwrap())
}

/// Returns the statement that makes the administrator an inheriting member of a role. Since
/// PostgreSQL 16, the creator of a role has a membership with other options.
fn membership(major: u32, role: &str) -> String {
    let options = if major < 16 { "" } else { " WITH INHERIT TRUE, SET TRUE" };
    format!("GRANT {role} TO platform_admin{options}")
}

/// How a plan is executed.
#[derive(Debug, Clone, Copy)]
enum By {
    Apply,
    Script,
}

/// Executes the plan of the definitions in one way, and checks that the server has converged.
fn converge(fixture: &Fixture, definitions: &str, by: By) {
    match by {
        By::Apply => drop(expect(&fixture.run(definitions, &APPLY), 0)),
        By::Script => drop(run_script(fixture, definitions).unwrap()),
    }
    expect(&fixture.run(definitions, &CHECK), 0);
}

/// A value for each setting that breaks a session in which it is in force.
fn hostile() -> BTreeMap<&'static str, &'static str> {
    [
        ("statement_timeout", "15ms"),
        ("lock_timeout", "1ms"),
        ("idle_session_timeout", "100ms"),
        ("idle_in_transaction_session_timeout", "100ms"),
        ("transaction_timeout", "100ms"),
        ("exit_on_error", "on"),
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_read_only", "on"),
        ("default_transaction_deferrable", "on"),
        ("synchronous_commit", "off"),
        ("createrole_self_grant", "set, inherit"),
        ("search_path", "decoy"),
        ("check_function_bodies", "off"),
        ("default_tablespace", "pg_default"),
        ("default_table_access_method", "other_heap"),
        ("event_triggers", "off"),
        ("session_replication_role", "replica"),
        ("client_encoding", "LATIN1"),
        ("standard_conforming_strings", "off"),
        ("escape_string_warning", "off"),
        ("backslash_quote", "on"),
        ("array_nulls", "off"),
        ("transform_null_equals", "on"),
        ("row_security", "off"),
        ("restrict_nonsystem_relation_kind", "view, foreign-table"),
        ("quote_all_identifiers", "on"),
        ("DateStyle", "German"),
        ("TimeZone", "Asia/Tokyo"),
        ("IntervalStyle", "iso_8601"),
        ("client_min_messages", "error"),
        ("lc_messages", "POSIX"),
        ("jit", "on"),
    ]
    .into()
}

/// What a setting is stored for.
#[derive(Debug, Clone, Copy)]
enum StoredFor {
    Administrator,
    Databases,
    Server,
}

impl StoredFor {
    fn store(self, fixture: &Fixture, name: &str, value: &str) {
        let databases = "SELECT datname FROM pg_database WHERE datallowconn";
        match self {
            Self::Administrator => {
                fixture.query(&format!("ALTER ROLE platform_admin SET {name} = {value}"));
            }
            Self::Databases => {
                for database in fixture.query(databases).lines() {
                    fixture.query(&format!("ALTER DATABASE {database} SET {name} = {value}"));
                }
            }
            Self::Server => drop(fixture.query(&format!("ALTER SYSTEM SET {name} = {value}"))),
        }
    }
}

/// Stores each hostile value that the server knows.
fn store_hostile(fixture: &Fixture, stored_for: StoredFor) {
    let known = fixture.query("SELECT lower(name) FROM pg_settings");
    let known: Vec<&str> = known.lines().collect();
    for (name, value) in &hostile() {
        // A list of names and not one value.
        let value = match *name {
            "search_path" => value.replace(", ", "', '"),
            _ => format!("'{value}'"),
        };
        // A read-only database is a refusal: this setting protects it.
        let refused =
            matches!(stored_for, StoredFor::Databases) && *name == "default_transaction_read_only";
        if known.contains(&name.to_lowercase().as_str()) && !refused {
            stored_for.store(fixture, name, &value);
        }
    }
    // psql and PL/pgSQL have settings of their own.
    if !matches!(stored_for, StoredFor::Server) {
        stored_for.store(fixture, "plpgsql.extra_errors", "'all'");
    }
    fixture.query("SELECT pg_reload_conf()");
}

/// The superuser of the test keeps the defaults.
fn keep_superuser_unaffected(fixture: &Fixture) {
    let superuser = fixture.query("SELECT current_user");
    let known = fixture.query("SELECT lower(name) FROM pg_settings");
    let known: Vec<&str> = known.lines().collect();
    let names = hostile().into_keys().chain(["session_preload_libraries"]);
    for name in names.filter(|name| known.contains(&name.to_lowercase().as_str())) {
        fixture.query(&format!("ALTER ROLE {superuser} SET {name} FROM CURRENT"));
    }
}

/// Every setting of the table is stored with a value that breaks a session.
fn hostile_settings_change_nothing(stored_for: StoredFor, ways: &[By]) {
    for major in versions() {
        for by in ways.iter().copied() {
            let place = format!("PostgreSQL {major}, {stored_for:?}, {by:?}");
            let fixture = fixture(major);
            let definitions = fixture.definitions(DEFINITIONS);
            fixture
                .query("CREATE ACCESS METHOD other_heap TYPE TABLE HANDLER heap_tableam_handler");
            keep_superuser_unaffected(&fixture);
            store_hostile(&fixture, stored_for);
            let memberships = fixture.query(MEMBERSHIPS);
            converge(&fixture, &definitions, by);
            assert_eq!(fixture.query(MEMBERSHIPS), memberships, "{place}");
            let table = "SELECT has_table_privilege('shop_reader', 'catalogue', 'SELECT')
                AND NOT has_table_privilege('shop_reader', 'catalogue', 'INSERT')";
            fixture.query_in(
                "shop",
                "CREATE TABLE catalogue (id int); ALTER TABLE catalogue OWNER TO shop_owner;
                 GRANT INSERT ON catalogue TO shop_reader",
            );
            fixture.query("ALTER ROLE shop_reader VALID UNTIL '2001-02-03 04:05:06+00'");
            // Databases that exist now have no setting of their own yet.
            store_hostile(&fixture, stored_for);
            converge(&fixture, &definitions, by);
            assert_eq!(fixture.query_in("shop", table), "t", "{place}");
        }
    }
}

#[test]
fn hostile_settings_of_the_administrator_change_nothing() {
    let hostile = hostile();
    for setting in SESSION_SETTINGS {
        assert!(hostile.contains_key(setting.name), "no hostile value for {}", setting.name);
    }
    hostile_settings_change_nothing(StoredFor::Administrator, &[By::Apply, By::Script]);
}

#[test]
fn hostile_settings_of_databases_change_nothing() {
    hostile_settings_change_nothing(StoredFor::Databases, &[By::Apply]);
}

#[test]
fn hostile_settings_of_the_server_change_nothing() {
    hostile_settings_change_nothing(StoredFor::Server, &[By::Apply, By::Script]);
}

/// A database is read in the session of its owner. Settings that the owner stores for itself, and objects of its own
/// with the names of catalogs and functions, hide nothing.
#[test]
fn owner_that_is_read_hides_nothing() {
    for major in versions() {
        let fixture = fixture(major);
        let definitions = fixture.definitions(DEFINITIONS);
        converge(&fixture, &definitions, By::Apply);
        let as_owner = |sql: &str| {
            fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql).unwrap();
        };
        // In these, all objects seem to have no ACL.
        as_owner(
            "CREATE SCHEMA lies; CREATE TABLE lies.pg_class (LIKE pg_catalog.pg_class);
             CREATE TABLE lies.pg_namespace AS TABLE pg_catalog.pg_namespace;
             CREATE FUNCTION lies.aclexplode(aclitem[], OUT grantor oid, OUT grantee oid, OUT privilege_type text,
               OUT is_grantable bool) RETURNS SETOF record LANGUAGE sql AS 'SELECT 0::oid, 0::oid, ''''::text, false WHERE false';
             CREATE TABLE t (id int); GRANT UPDATE ON t TO shop_reader",
        );
        for setting in [
            "search_path = lies, pg_catalog",
            "statement_timeout = 1",
            "role = shop_reader",
            "default_transaction_isolation = 'read committed'",
            "quote_all_identifiers = on",
            "enable_indexscan = off",
        ] {
            as_owner(&format!("ALTER ROLE shop_owner SET {setting}"));
            let text = expect(&fixture.run(&definitions, &CHECK), 2);
            let change = "- revoke UPDATE on all tables of schema public from shop_reader";
            let count = text.matches(change).count();
            assert_eq!(count, 1, "PostgreSQL {major}, {setting}: {text}");
            fixture.query("ALTER ROLE shop_owner RESET ALL");
        }
        converge(&fixture, &definitions, By::Apply);
    }
}

/// A library that cannot be loaded ends each session of the administrator: the reason of the server
/// is the message, and nothing is changed.
#[test]
fn library_that_cannot_be_loaded_is_named() {
    for major in versions() {
        let fixture = fixture(major);
        let definitions = fixture.definitions(DEFINITIONS);
        keep_superuser_unaffected(&fixture);
        for (store, reset) in [
            (
                "ALTER ROLE platform_admin SET session_preload_libraries = 'no_such_library'",
                "ALTER ROLE platform_admin RESET session_preload_libraries",
            ),
            (
                "ALTER SYSTEM SET session_preload_libraries = 'no_such_library'",
                "ALTER SYSTEM RESET session_preload_libraries",
            ),
        ] {
            let catalog_state = fixture.catalog_state();
            fixture.query(store);
            fixture.query("SELECT pg_reload_conf()");
            let message = expect(&fixture.run(&definitions, &APPLY), 1);
            assert!(message.contains("no_such_library"), "PostgreSQL {major}: {message}");
            fixture.query(reset);
            fixture.query("SELECT pg_reload_conf()");
            assert_eq!(fixture.catalog_state(), catalog_state, "PostgreSQL {major}");
        }
        converge(&fixture, &definitions, By::Apply);
    }
}

/// Definitions can set no parameter that only superusers may set.
#[test]
fn every_parameter_of_superusers_is_refused() {
    for major in all_versions() {
        let fixture = Fixture::new(major);
        let settings = fixture.query("SELECT name FROM pg_settings WHERE context = 'superuser'");
        let accepted: Vec<&str> =
            settings.lines().filter(|name| Parameter::new(name).is_ok()).collect();
        assert!(settings.lines().count() > 30, "PostgreSQL {major}: {settings}");
        assert!(accepted.is_empty(), "PostgreSQL {major}: {accepted:?}");
    }
}

/// Each parameter that a user may set is in the table, or is listed here with the reason why it
/// cannot change what the program does. A new version of PostgreSQL with a new parameter fails
/// this test.
#[test]
fn every_parameter_is_classified() {
    // Duration, memory, planning, statistics and log.
    const CATEGORIES: [&str; 6] = [
        "Developer Options",
        "Query Tuning / ",
        "Reporting and Logging / ",
        "Resource Usage / ",
        "Statistics / ",
        "Vacuuming",
    ];
    const NAMES: [&str; 37] = [
        // The driver and psql set it.
        "application_name",
        // They end only sessions whose client is gone.
        "client_connection_check_interval",
        "tcp_keepalives_count",
        "tcp_keepalives_idle",
        "tcp_keepalives_interval",
        "tcp_user_timeout",
        // The program sends verifiers.
        "md5_password_warnings",
        "password_encryption",
        // How the server computes verifiers: the program computes its own with this number.
        "scram_iterations",
        // The format of values that no query returns.
        "bytea_output",
        "extra_float_digits",
        "lc_monetary",
        "lc_numeric",
        "lc_time",
        "timezone_abbreviations",
        "xmlbinary",
        "xmloption",
        // Used by data, and the program writes none.
        "default_text_search_config",
        "default_toast_compression",
        "gin_fuzzy_search_limit",
        "gin_pending_list_limit",
        "temp_tablespaces",
        "icu_validation_level",
        // Valid for the current transaction only.
        "transaction_deferrable",
        "transaction_isolation",
        "transaction_read_only",
        // Read when the session starts.
        "local_preload_libraries",
        // The duration and the amount of work of maintenance.
        "synchronize_seqscans",
        "commit_siblings",
        "wal_skip_threshold",
        "vacuum_failsafe_age",
        "vacuum_freeze_min_age",
        "vacuum_freeze_table_age",
        "vacuum_multixact_failsafe_age",
        "vacuum_multixact_freeze_min_age",
        "vacuum_multixact_freeze_table_age",
        // Used by sessions that send WAL.
        "wal_sender_timeout",
    ];
    for major in all_versions() {
        let fixture = Fixture::new(major);
        let settings =
            fixture.query("SELECT name || '|' || category FROM pg_settings WHERE context = 'user'");
        let unknown: Vec<&str> = settings
            .lines()
            .filter(|line| {
                let (name, category) = line.split_once('|').unwrap();
                !CATEGORIES.iter().any(|one| category.starts_with(one))
                    && !NAMES.contains(&name)
                    && !SESSION_SETTINGS.iter().any(|setting| setting.name == name)
            })
            .collect();
        assert!(unknown.is_empty(), "PostgreSQL {major}: {unknown:#?}");
    }
}

/// Every parameter that each role may set is stored for the administrator with another value than the
/// default, also those that only make queries slow.
#[test]
fn stored_settings_return_to_the_defaults() {
    const STORE: &str = "DO $$ DECLARE one record; BEGIN
        FOR one IN SELECT name, other FROM pg_settings, LATERAL (SELECT CASE vartype
            WHEN 'bool' THEN CASE boot_val WHEN 'on' THEN 'off' ELSE 'on' END
            WHEN 'enum' THEN (SELECT min(value) FROM unnest(enumvals) value WHERE value <> boot_val)
            WHEN 'string' THEN NULL ELSE CASE boot_val WHEN min_val THEN max_val ELSE min_val END END) v(other)
          WHERE context = 'user' AND other IS NOT NULL AND name NOT IN ('session_replication_role', 'exit_on_error',
            'transaction_read_only', 'transaction_deferrable', 'transaction_isolation', 'ssl_renegotiation_limit')
        LOOP EXECUTE format('ALTER ROLE platform_admin SET %I = %L', one.name, one.other); END LOOP; END $$";
    const STORED: &str = "SELECT name || ' ' || source FROM pg_settings
        WHERE source IN ('database', 'user', 'database user')
          AND setting <> boot_val AND name <> 'password_encryption'";
    for major in all_versions() {
        let fixture = Fixture::new(major);
        fixture.query(STORE);
        let begin = format!("{};\n{}", BEGIN_SESSION.join(";\n"), session_settings());
        let left = |begin: &str| {
            let script = format!("\\set QUIET on\n\\pset tuples_only on\n{begin};\n{STORED};\n");
            fixture.server.script_as_master(&script).unwrap()
        };
        let without = left("SELECT 'nothing'");
        for name in ["enable_hashjoin", "work_mem", "from_collapse_limit", "plan_cache_mode"] {
            assert!(without.contains(name), "PostgreSQL {major}: {without}");
        }
        let with = left(&begin);
        let mut others = with.lines().filter_map(|line| line.trim().split_once(" user"));
        let other = others.find(|(name, _)| !SESSION_SETTINGS.iter().any(|one| one.name == *name));
        assert_eq!(other, None, "PostgreSQL {major}: {with}");
    }
}

/// Since PostgreSQL 16, `createrole_self_grant` makes the creator of a role a member of it: on RDS,
/// a member of an IAM role cannot log in with its password.
#[test]
fn creator_of_a_role_is_no_member() {
    for major in versions() {
        for by in [By::Apply, By::Script] {
            let fixture = fixture(major);
            let definitions = fixture.definitions(DEFINITIONS);
            if major >= 16 {
                fixture
                    .query("ALTER ROLE platform_admin SET createrole_self_grant = 'set, inherit'");
            }
            let memberships = fixture.query(MEMBERSHIPS);
            converge(&fixture, &definitions, by);
            assert_eq!(fixture.query(MEMBERSHIPS), memberships, "PostgreSQL {major}, {by:?}");
            assert_eq!(fixture.query(INHERITS_RDS_IAM), "f", "PostgreSQL {major}, {by:?}");
            expect(&fixture.delegate("dev").output().unwrap(), 0);
            assert_eq!(fixture.query(MEMBERSHIPS), memberships, "PostgreSQL {major}");
            let held = "SELECT count(*) FROM pg_roles WHERE rolname <> 'rdsprov_admin'
                AND pg_has_role('rdsprov_admin', oid, 'USAGE')";
            assert_eq!(fixture.query(held), "0", "PostgreSQL {major}");
        }
    }
}

/// The owner of a database may store `role` for it. `RESET ROLE` returns to this role.
#[test]
fn stored_role_is_not_used() {
    for major in versions() {
        for by in [By::Apply, By::Script] {
            for stored in [
                "ALTER DATABASE shop SET role = 'shop_owner'",
                "ALTER ROLE platform_admin SET role = 'rds_superuser'",
                "ALTER ROLE platform_admin IN DATABASE shop SET role = 'shop_owner'",
            ] {
                let fixture = fixture(major);
                let definitions = fixture.definitions(DEFINITIONS);
                converge(&fixture, &definitions, By::Apply);
                fixture
                    .query("CREATE ROLE legacy; GRANT legacy TO platform_admin WITH ADMIN OPTION");
                fixture.query(&membership(major, "shop_owner"));
                fixture.query_in(
                    "shop",
                    "CREATE TABLE of_owner (id int); ALTER TABLE of_owner OWNER TO shop_owner;
                     CREATE TABLE of_legacy (id int); ALTER TABLE of_legacy OWNER TO legacy;
                     REVOKE ALL ON of_owner, of_legacy FROM shop_editor, shop_reader;
                     ALTER ROLE shop_reader CONNECTION LIMIT 3",
                );
                fixture.query(stored);
                let memberships = fixture.query(MEMBERSHIPS);
                converge(&fixture, &definitions, by);
                let may = "SELECT has_table_privilege('shop_reader', 'of_owner', 'SELECT')
                    AND has_table_privilege('shop_reader', 'of_legacy', 'SELECT')";
                assert_eq!(fixture.query_in("shop", may), "t", "PostgreSQL {major}, {by:?}");
                assert_eq!(fixture.query(MEMBERSHIPS), memberships, "{stored}, {by:?}");
            }
        }
    }
}

/// The owner of a database stores a more powerful role for it. Its sessions start as that role, and a
/// transaction that would end as another role than the administrator is not committed.
#[test]
fn sessions_never_act_as_a_stored_role() {
    for major in versions() {
        let fixture = fixture(major);
        let definitions = fixture.definitions(DEFINITIONS);
        converge(&fixture, &definitions, By::Apply);
        let owner = password("shop");
        let create = "CREATE TABLE stock (id int)";
        fixture.server.sql_as("shop_owner", &owner, "shop", create).unwrap();
        let attack = "ALTER DATABASE shop SET role = 'rds_superuser'";
        fixture.server.sql_as("shop_owner", &owner, "shop", attack).unwrap();
        let current = fixture.server.master("shop", "SELECT current_user").unwrap();
        assert_eq!(current.trim(), "rds_superuser", "PostgreSQL {major}: the attack does nothing");
        // The stored role is also that of the superuser's session.
        let drift = "SET ROLE NONE; REVOKE SELECT ON stock FROM shop_reader";
        for by in [By::Apply, By::Script] {
            fixture.query_in("shop", drift);
            let mark = fixture.server.log().len();
            converge(&fixture, &definitions, by);
            let log = &fixture.server.log()[mark..];
            assert!(log.contains("GRANT SELECT ON"), "PostgreSQL {major}, {by:?}: {log}");
            assert!(!log.contains("RESET ROLE"), "PostgreSQL {major}, {by:?}: {log}");
        }
        // Without the line that ends the role, the script fails before its COMMIT. The membership
        // stays, so that no statement of the script can fail for its lack.
        fixture.query(&membership(major, "shop_owner"));
        for (ends, instead) in [
            ("SET LOCAL ROLE NONE;", ""),
            ("SET LOCAL ROLE NONE;", "RESET ROLE;"),
            ("SET ROLE NONE;", ""),
        ] {
            fixture.query_in("shop", drift);
            let plan = fixture.run(&definitions, &SCRIPT);
            let script = String::from_utf8(plan.stdout).unwrap();
            assert!(script.contains(ends), "PostgreSQL {major}: {script}");
            let catalog_state = fixture.catalog_state();
            let error =
                fixture.server.script_as_master(&script.replace(ends, instead)).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains("the transaction is not committed: the current role is "),
                "PostgreSQL {major}, {ends}: {error}"
            );
            assert_eq!(fixture.catalog_state(), catalog_state, "PostgreSQL {major}, {ends}");
        }
        converge(&fixture, &definitions, By::Script);
    }
}

/// A user who reads the question for as long as the test says.
struct SlowReader(Duration);

impl Frontend for SlowReader {
    async fn confirm(&self, _plan: &Plan) -> bool {
        tokio::time::sleep(self.0).await;
        true
    }
}

/// The sessions of a run are idle while a user reads the question, and while `CREATE DATABASE`
/// waits for the sessions in its template.
#[test]
fn idle_sessions_stay_open() {
    for major in versions() {
        let fixture = fixture(major);
        let definitions = fixture.definitions(DEFINITIONS);
        fixture.query("ALTER ROLE platform_admin SET idle_session_timeout = '500ms'");
        let busy = fixture.server.superuser_session("template1").unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let mut options = session::ApplyOptions::default();
        options.run.server.secrets = format!("file:{}", fixture.path().display()).parse().unwrap();
        options.run.server.tls.ca_file = Some(CaFile::Path(fixture.server.ca_file()));
        let config = session::config(None).unwrap();
        let setup = Setup::builder().config(config).environment("dev").files([definitions.clone()]);
        let slow = SlowReader(Duration::from_secs(2));
        let outcome = std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_secs(5));
                drop(busy);
            });
            runtime.block_on(session::apply(setup, &options, &slow, &Cancellation::default()))
        });
        outcome.result.unwrap();
        expect(&fixture.run(&definitions, &CHECK), 0);
    }
}

/// Whatever makes the administrator a member of a role: the transaction is not committed.
#[test]
fn membership_from_a_trigger_is_not_committed() {
    for major in versions() {
        for by in [By::Apply, By::Script] {
            let fixture = fixture(major);
            let before = DEFINITIONS.replace(r#", extensions = ["hstore"]"#, "");
            converge(&fixture, &fixture.definitions(&before), By::Apply);
            fixture.query("CREATE ROLE legacy");
            fixture.query_in(
                "shop",
                "CREATE FUNCTION reward() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS
                   $$ BEGIN BEGIN GRANT legacy TO platform_admin; EXCEPTION WHEN OTHERS THEN RAISE; END; END $$;
                 CREATE EVENT TRIGGER reward ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION')
                   EXECUTE FUNCTION reward()",
            );
            let definitions = fixture.definitions(DEFINITIONS);
            let catalog_state = fixture.catalog_state();
            let says = "the administrator platform_admin would remain a member of legacy";
            let message = match by {
                By::Apply => expect(&fixture.run(&definitions, &APPLY), 1),
                By::Script => run_script(&fixture, &definitions).unwrap_err().to_string(),
            };
            assert!(message.contains(says), "{message}");
            assert!(!message.contains("jsonb"), "{message}");
            assert_eq!(fixture.catalog_state(), catalog_state, "PostgreSQL {major}, {by:?}");
        }
    }
}

/// The administrator inherits the privileges of a role that becomes a member of `rds_iam`: RDS
/// would reject its password from then on.
#[test]
fn inherited_rds_iam_is_not_committed() {
    for major in versions() {
        let fixture = fixture(major);
        let before = DEFINITIONS.replace(r#", auth = "iam""#, "");
        converge(&fixture, &fixture.definitions(&before), By::Apply);
        fixture.query(&membership(major, "shop_tokens"));
        let definitions = fixture.definitions(DEFINITIONS);
        let catalog_state = fixture.catalog_state();
        let apply = [APPLY.as_slice(), &["--allow", "changes_secret"]].concat();
        let message = expect(&fixture.run(&definitions, &apply), 1);
        let says = "the administrator platform_admin would remain a member of rds_iam";
        assert!(message.contains(says), "{message}");
        assert_eq!(fixture.catalog_state(), catalog_state, "PostgreSQL {major}");
        fixture.query(match major {
            ..16 => "REVOKE shop_tokens FROM platform_admin",
            _ => "GRANT shop_tokens TO platform_admin WITH INHERIT FALSE, SET FALSE",
        });
        expect(&fixture.run(&definitions, &apply), 0);
        converge(&fixture, &definitions, By::Apply);
    }
}
