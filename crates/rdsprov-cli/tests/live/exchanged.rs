//! Attacks between a plan and its execution: a role gives the name of a database or role to another
//! one, or replaces code that a new owner gets.
//!
//! The plan is a `psql` script, so that there is time for the attack. A run executes the same
//! statements; `interrupted::exchanged` attacks runs. Each test also executes the script without its
//! checks, to show that the attack works.

use rdsprov_testkit::{relay, versions};

use crate::fixture::{Fixture, expect, password};

const SHOP: &str = r#"shop = { database_name = "shop", username = "shop_owner", createdb = true }"#;
const REPORTS: &str =
    r#"reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }"#;

/// The SQLSTATE of the checks.
const CHECK: &str = "RDSP1";

fn fixture(major: u32) -> Fixture {
    let fixture = Fixture::new(major);
    for (application, role) in [
        ("shop", "shop_owner"),
        ("reports", "shop_reader"),
        ("hr", "hr_owner"),
        ("next", "next_owner"),
    ] {
        fixture.app("dev", application, role);
    }
    fixture
}

fn definitions(fixture: &Fixture, applications: &[&str]) -> String {
    let applications = applications.join("\n");
    fixture.definitions(&format!("application_databases = {{\n{applications}\n}}\n"))
}

/// Applies definitions, and returns the script of the plan for others.
fn script(fixture: &Fixture, before: &[&str], after: &[&str]) -> String {
    let before = definitions(fixture, before);
    expect(&fixture.run(&before, &["apply", "--env", "dev"]), 0);
    let allow = ["--allow", "changes_owner", "--format", "sql", "--with-verifiers"];
    let plan = [&["plan", "--env", "dev"][..], &allow].concat();
    let output = fixture.run(&definitions(fixture, after), &plan);
    let script = String::from_utf8(output.stdout).unwrap();
    assert!(script.contains(CHECK), "PostgreSQL {}: {script}", fixture.server.major());
    script
}

/// Returns a script without the checks, and without the value that only they use.
pub(crate) fn without_checks(script: &str) -> String {
    let lines = script.lines().filter(|line| {
        !line.contains(CHECK) && !line.contains("created_oid") && !line.contains("\\gset database_")
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// Executes a script as the administrator, which fails with a message.
#[track_caller]
fn assert_stopped(fixture: &Fixture, script: &str, says: &str, place: &str) {
    let major = fixture.server.major();
    match fixture.server.script_as_master(script) {
        Ok(_) => panic!("PostgreSQL {major}, {place}: the script was executed"),
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains(says), "PostgreSQL {major}, {place}: {error}");
        }
    }
}

fn as_owner(fixture: &Fixture, database: &str, sql: &str) {
    fixture.server.sql_as("shop_owner", &password("shop"), database, sql).unwrap();
}

const ACL: &str = "SELECT coalesce(datacl::text, '') FROM pg_database WHERE datname = 'shop'";

/// The owner of a database may drop it and create it again, if it has `CREATEDB`. What the plan found
/// in the old database is not so in the new one.
#[test]
fn database_that_the_owner_replaces() {
    for major in versions() {
        let fixture = fixture(major);
        let script = script(&fixture, &[SHOP], &[SHOP, REPORTS]);
        as_owner(&fixture, "postgres", "DROP DATABASE shop");
        as_owner(&fixture, "postgres", "CREATE DATABASE shop");
        let says = "database shop is not the database that was observed";
        assert_stopped(&fixture, &script, says, "existing");
        assert_eq!(fixture.query(ACL), "", "PostgreSQL {major}");
        fixture.server.script_as_master(&without_checks(&script)).unwrap();
        assert!(fixture.query(ACL).contains("shop_reader"), "PostgreSQL {major}: no attack");
    }
}

/// The owner of a new database may connect before the transaction inside it, and may replace it.
#[test]
fn new_database_that_the_owner_replaces() {
    for major in versions() {
        let fixture = fixture(major);
        let script = script(&fixture, &[], &[SHOP, REPORTS]);
        let (before, inside) = script.split_at(script.find("\n-- inside database").unwrap());
        let attacked = |before: &str, inside: &str| {
            format!(
                "{before}\nSET SESSION AUTHORIZATION shop_owner;\nDROP DATABASE shop;\n\
                 CREATE DATABASE shop;\nRESET SESSION AUTHORIZATION;\n{inside}"
            )
        };
        let error = fixture.server.script_as_superuser(&attacked(before, inside)).unwrap_err();
        let error = error.to_string();
        let says = "database shop is not the database that was observed";
        assert!(error.contains(says), "PostgreSQL {major}: {error}");
        let defaults = "SELECT count(*) FROM pg_default_acl";
        assert_eq!(fixture.query_in("shop", defaults), "0", "PostgreSQL {major}");

        fixture.query("DROP DATABASE shop");
        fixture.query("DROP ROLE shop_owner, shop_reader");
        let [before, inside] = [before, inside].map(without_checks);
        fixture.server.script_as_superuser(&attacked(&before, &inside)).unwrap();
        assert_ne!(fixture.query_in("shop", defaults), "0", "PostgreSQL {major}: no attack");
    }
}

/// A role with `CREATEROLE`, and with `ADMIN OPTION` since PostgreSQL 16, gives the name of a reader to
/// a role of its own, whose password it knows.
#[test]
fn role_that_another_role_exchanges() {
    const HR: &str = r#"hr = { database_name = "hr", username = "hr_owner" }"#;
    let entry = |keys: &str| {
        format!(
            r#"{{ {keys}, username = "shop_reader", access_level = "reader", secret = "goldenpath/dev/reports/postgres" }}"#
        )
    };
    let reports = format!("reports = {}", entry(r#"database_name = "shop", role_owner = true"#));
    let hr_reports = format!("hr_reports = {}", entry(r#"database_name = "hr""#));
    for major in versions() {
        let fixture = fixture(major);
        let before = [SHOP, &reports, HR];
        let script = script(&fixture, &before, &[&before[..], &[&hr_reports]].concat());
        fixture.query(
            "CREATE ROLE meddler LOGIN CREATEROLE PASSWORD 'Canary-meddler';
             GRANT shop_reader TO meddler WITH ADMIN OPTION",
        );
        let meddle = |sql: &str| {
            fixture.server.sql_as("meddler", "Canary-meddler", "postgres", sql).unwrap();
        };
        meddle("ALTER ROLE shop_reader CREATEROLE");
        let says = "role shop_reader has got the attribute CREATEROLE after it was observed";
        assert_stopped(&fixture, &script, says, "attribute");
        meddle("ALTER ROLE shop_reader NOCREATEROLE");

        meddle("ALTER ROLE shop_reader RENAME TO parked");
        let says = "role shop_reader was dropped or renamed after it was observed";
        assert_stopped(&fixture, &script, says, "rename");
        meddle("CREATE ROLE shop_reader LOGIN PASSWORD 'Canary-known'");
        let says = "role shop_reader is not the role that was observed";
        assert_stopped(&fixture, &script, says, "exchange");
        let enters = "SELECT has_database_privilege('shop_reader', 'hr', 'CONNECT')";
        assert_eq!(fixture.query(enters), "f", "PostgreSQL {major}");
        fixture.server.script_as_master(&without_checks(&script)).unwrap();
        assert_eq!(fixture.query(enters), "t", "PostgreSQL {major}: no attack");
    }
}

/// What the old owner has when the plan is made.
const CODE: &str = "
    CREATE FUNCTION total() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION plain(int DEFAULT 1) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
    CREATE FUNCTION holds(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';
    CREATE FUNCTION joins(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
    CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TYPE pair AS (a int, b int);
    CREATE FUNCTION of_pair(pair) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION of_pairs(pair[]) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
    CREATE AGGREGATE gathered(int) (sfunc = joins, stype = int);
    CREATE DOMAIN checked AS int CHECK (holds(VALUE)); CREATE DOMAIN simple AS int;
    CREATE TABLE t (id int DEFAULT 1, price int, twice int GENERATED ALWAYS AS (plain(1)) STORED);
    CREATE TABLE parted (id int) PARTITION BY LIST (plain(id));
    CREATE VIEW looks AS SELECT plain(id) FROM t;
    CREATE MATERIALIZED VIEW stored AS SELECT plain(id) FROM t;
    CREATE STATISTICS measured ON plain(id), id FROM t;
    CREATE TRIGGER falls BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION fires();
    ALTER TABLE t DISABLE TRIGGER falls;
    ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY guarded ON t USING (holds(id));
    CREATE OPERATOR public.<+> (function = joins, leftarg = int, rightarg = int)";

/// What the old owner does after the plan was made, and how it is undone.
const ATTACKS: [(&str, &str); 27] = [
    // With these, another role adds code after the transfer.
    ("GRANT TRIGGER ON t TO PUBLIC", "REVOKE TRIGGER ON t FROM PUBLIC"),
    ("GRANT REFERENCES (id) ON t TO PUBLIC", "REVOKE REFERENCES (id) ON t FROM PUBLIC"),
    ("CREATE SCHEMA planted; GRANT CREATE ON SCHEMA planted TO PUBLIC", "DROP SCHEMA planted"),
    (
        "CREATE OR REPLACE FUNCTION total() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 2'",
        "CREATE OR REPLACE FUNCTION total() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1'",
    ),
    // The trigger calls it.
    (
        "CREATE OR REPLACE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
        "CREATE OR REPLACE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    ),
    ("ALTER FUNCTION plain(int) SECURITY DEFINER", "ALTER FUNCTION plain(int) SECURITY INVOKER"),
    ("ALTER FUNCTION total() SET search_path = public", "ALTER FUNCTION total() RESET search_path"),
    (
        "CREATE PROCEDURE planted() SECURITY DEFINER LANGUAGE sql AS 'SELECT 1'",
        "DROP PROCEDURE planted()",
    ),
    (
        "CREATE TRIGGER more AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION fires()",
        "DROP TRIGGER more ON t",
    ),
    ("ALTER TABLE t ENABLE ALWAYS TRIGGER falls", "ALTER TABLE t DISABLE TRIGGER falls"),
    ("CREATE RULE also AS ON DELETE TO t DO ALSO SELECT plain()", "DROP RULE also ON t"),
    ("CREATE POLICY more ON t USING (plain(id) > 0)", "DROP POLICY more ON t"),
    ("ALTER TABLE t ALTER price SET DEFAULT plain()", "ALTER TABLE t ALTER price DROP DEFAULT"),
    (
        "ALTER TABLE t ADD CONSTRAINT tested CHECK (holds(id))",
        "ALTER TABLE t DROP CONSTRAINT tested",
    ),
    ("CREATE INDEX computed ON t ((plain(id)))", "DROP INDEX computed"),
    (
        "ALTER DOMAIN simple ADD CONSTRAINT tested CHECK (holds(VALUE))",
        "ALTER DOMAIN simple DROP CONSTRAINT tested",
    ),
    ("ALTER DOMAIN simple SET DEFAULT plain()", "ALTER DOMAIN simple DROP DEFAULT"),
    ("CREATE CAST (pair AS int) WITH FUNCTION of_pair(pair)", "DROP CAST (pair AS int)"),
    ("CREATE CAST (pair[] AS int) WITH FUNCTION of_pairs(pair[])", "DROP CAST (pair[] AS int)"),
    (
        "CREATE AGGREGATE rewritten(text) (sfunc = ts_rewrite, stype = tsquery, initcond = 'a')",
        "DROP AGGREGATE rewritten(text)",
    ),
    (
        "CREATE OPERATOR public.<*> (function = joins, leftarg = int, rightarg = int)",
        "DROP OPERATOR public.<*> (int, int)",
    ),
    ("CREATE VIEW others AS SELECT plain(id) FROM t", "DROP VIEW others"),
    // Functions of PostgreSQL that execute a text.
    (
        "ALTER TABLE t ADD CONSTRAINT tested CHECK (query_to_xml('SELECT total()', true, true, '') IS NOT NULL)",
        "ALTER TABLE t DROP CONSTRAINT tested",
    ),
    (
        "ALTER TABLE t ALTER price SET DEFAULT length(query_to_xml('SELECT total()', true, true, '')::text)",
        "ALTER TABLE t ALTER price DROP DEFAULT",
    ),
    ("CREATE TABLE more (id others.domain)", "DROP TABLE more"),
    (
        "ALTER DATABASE shop SET search_path = others, pg_catalog",
        "ALTER DATABASE shop RESET search_path",
    ),
    // The table of the administrator in the same schema.
    (
        "CREATE TRIGGER more BEFORE INSERT ON restored FOR EACH ROW EXECUTE FUNCTION fires()",
        "DROP TRIGGER more ON restored",
    ),
];

/// What other roles create, also declared ones, and how it is undone.
const PLANTED: [(&str, &str); 6] = [
    ("CREATE SCHEMA next_owner AUTHORIZATION other", "DROP SCHEMA next_owner"),
    (
        "CREATE TABLE found.calls PARTITION OF others.parted DEFAULT; ALTER TABLE found.calls OWNER TO other",
        "DROP TABLE found.calls",
    ),
    (
        "CREATE VIEW others.seen AS SELECT 1 AS id; ALTER VIEW others.seen OWNER TO hr_owner",
        "DROP VIEW others.seen",
    ),
    (
        "CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE sql AS 'SELECT 1';
         ALTER FUNCTION public.lower(varchar) OWNER TO other",
        "DROP FUNCTION public.lower(varchar)",
    ),
    (
        "CREATE TABLE found.orders (id int); ALTER TABLE found.orders OWNER TO other",
        "DROP TABLE found.orders",
    ),
    (
        "CREATE FUNCTION others.two() RETURNS int LANGUAGE sql AS 'SELECT 2';
         ALTER FUNCTION others.two() OWNER TO pg_database_owner",
        "DROP FUNCTION others.two()",
    ),
];

/// Changes that concern no code do not stop a transfer.
const HARMLESS: [&str; 8] = [
    "CREATE TABLE later (id serial PRIMARY KEY, day date DEFAULT now(), CHECK (id > 0))",
    "CREATE TABLE with_pairs (pairs pair[], number simple, id uuid DEFAULT gen_random_uuid())",
    "INSERT INTO t VALUES (1, 2)",
    "CREATE INDEX ON t (price)",
    "GRANT SELECT ON t TO PUBLIC",
    "GRANT EXECUTE ON FUNCTION total() TO PUBLIC",
    "REFRESH MATERIALIZED VIEW stored",
    "VACUUM ANALYZE t",
];

/// The old owner changes code after the plan was made.
#[test]
fn code_that_the_old_owner_changes() {
    const NEXT: &str = r#"next = { database_name = "shop", username = "next_owner" }"#;
    const HR: &str = r#"hr = { database_name = "hr", username = "hr_owner" }"#;
    for major in versions() {
        let fixture = fixture(major);
        expect(&fixture.run(&definitions(&fixture, &[SHOP, HR]), &["apply", "--env", "dev"]), 0);
        as_owner(&fixture, "shop", CODE);
        fixture.query_in(
            "shop",
            "CREATE ROLE other; CREATE SCHEMA found; CREATE SCHEMA others; CREATE DOMAIN others.domain AS int;
             CREATE TABLE others.parted (id int) PARTITION BY LIST (id); ALTER TABLE others.parted OWNER TO other;
             ALTER DOMAIN others.domain OWNER TO other; GRANT USAGE ON SCHEMA others TO PUBLIC;
             CREATE FUNCTION others.one() RETURNS int LANGUAGE sql AS 'SELECT 1';
             CREATE TABLE public.calls (id int DEFAULT others.one()); ALTER TABLE calls OWNER TO shop_owner;
             ALTER FUNCTION others.one() OWNER TO other",
        );
        // As after `pg_restore --no-owner`.
        fixture.query_in(
            "shop",
            "GRANT CREATE ON SCHEMA public TO platform_admin; SET SESSION AUTHORIZATION platform_admin;
             CREATE TABLE restored (id int); GRANT TRIGGER ON restored TO shop_owner;
             CREATE FUNCTION restored() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
             ALTER TABLE restored ADD CHECK (restored() > 0)",
        );
        let script = script(&fixture, &[SHOP, HR], &[NEXT, HR]);
        let (before, inside) = script.split_at(script.find("\n-- inside database").unwrap());
        let (head, _) = script.split_at(script.find("\n-- roles and databases").unwrap());
        fixture.server.script_as_master(before).unwrap();
        let inside = format!("{head}{inside}");
        let tried = inside.replace("\nCOMMIT;\n", "\nROLLBACK;\n");
        let says = "the code that role next_owner would get in database shop, or a privilege to add code, is not what was observed";
        for (attack, undo) in ATTACKS {
            as_owner(&fixture, "shop", attack);
            assert_stopped(&fixture, &inside, says, attack);
            // Only the owner of a table can drop its triggers.
            fixture.query_in("shop", undo);
            if let Err(error) = fixture.server.script_as_master(&tried) {
                panic!("PostgreSQL {major}, after {undo}: {error}");
            }
        }
        // A role replaces its function, which a default of the old owner calls.
        for (value, stopped) in [(2, true), (1, false)] {
            let replace = format!(
                "CREATE OR REPLACE FUNCTION others.one() RETURNS int LANGUAGE sql AS 'SELECT {value}'"
            );
            fixture.query_in("shop", &replace);
            if stopped {
                assert_stopped(&fixture, &inside, says, &replace);
            } else {
                fixture.server.script_as_master(&tried).unwrap();
            }
        }
        // Another role plants objects, or a schema in which it can plant some later.
        for (attack, undo) in PLANTED {
            fixture.query_in("shop", attack);
            assert_stopped(&fixture, &inside, says, attack);
            fixture.query_in("shop", undo);
            fixture.server.script_as_master(&tried).unwrap();
        }
        for change in HARMLESS {
            as_owner(&fixture, "shop", change);
            if let Err(error) = fixture.server.script_as_master(&tried) {
                panic!("PostgreSQL {major}, after {change}: {error}");
            }
        }
        // The control executes everything except the checks, and is rolled back.
        as_owner(&fixture, "shop", ATTACKS[3].0);
        let owned = "SELECT prosrc, pg_get_userbyid(proowner) FROM pg_proc WHERE proname = 'total'";
        let control = without_checks(&inside)
            .replace("\nCOMMIT;\n", &format!("\n\\pset tuples_only on\n{owned};\nROLLBACK;\n"));
        let shown = fixture.server.script_as_master(&control).unwrap();
        assert!(shown.contains("SELECT 2 | next_owner"), "PostgreSQL {major}: no attack: {shown}");
        as_owner(&fixture, "shop", ATTACKS[3].1);
        // Without an attack, the script succeeds in spite of the harmless changes.
        fixture.server.script_as_master(&inside).unwrap();
        let owners = "SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ' ') FROM pg_class
            WHERE relnamespace = 'public'::regnamespace";
        assert_eq!(fixture.query_in("shop", owners), "next_owner", "PostgreSQL {major}");
    }
}

/// PostgreSQL stores the name of a database in the encoding of the session that created it.
#[test]
fn database_with_another_encoding() {
    for major in versions() {
        let fixture = fixture(major);
        fixture.query(
            "CREATE ROLE shop_owner LOGIN; GRANT shop_owner TO platform_admin WITH ADMIN OPTION",
        );
        fixture.query(
            "CREATE DATABASE \"données €\" OWNER shop_owner TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
        );
        fixture.query_in("données €", "ALTER SCHEMA public OWNER TO shop_owner");
        let entry =
            |keys: &str| format!("{{ database_name = \"données €\", {keys}, adopt = true }}");
        let shop = format!("shop = {}", entry(r#"username = "shop_owner""#));
        let reports = r#"username = "shop_reader", access_level = "reader""#;
        let reports = format!("reports = {}", entry(reports));
        let definitions = definitions(&fixture, &[&shop, &reports]);
        let pattern = "[definitions]\nnaming_pattern = '.*'\n";
        std::fs::write(fixture.path().join("rdsprov.toml"), pattern).unwrap();
        let text = expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        assert!(text.contains("database données €"), "PostgreSQL {major}: {text}");
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
    }
}

/// A run observes the catalogs that all databases share, and then connects to each database by its
/// name.
#[test]
fn database_that_is_replaced_during_the_observation() {
    for major in versions() {
        let fixture = fixture(major);
        let definitions = definitions(&fixture, &[SHOP]);
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        let mut owner =
            fixture.server.session("shop_owner", &password("shop"), "postgres").unwrap();
        let upstream = fixture.server.port();
        let port = relay(move |number| {
            if number == 1 {
                owner.ask("DROP DATABASE shop").unwrap();
                owner.ask("CREATE DATABASE shop").unwrap();
            }
            upstream
        })
        .unwrap();
        let plan = ["plan", "--env", "dev", "--port", &port.to_string()];
        let text = expect(&fixture.run(&definitions, &plan), 3);
        let says = "cannot read database shop: it was replaced by another database in the meantime";
        assert!(text.contains("refused[database-unreachable] shop"), "PostgreSQL {major}: {text}");
        assert!(text.contains(says), "PostgreSQL {major}: {text}");
    }
}
