//! A database changes its owner: the objects that move, those that stay, and the statements
//! printed for manual use.

use rdsprov_testkit::versions;
use serde_json::Value;

use crate::fixture::{Fixture, expect, password};

const OF_SHOP_OWNER: &str = r#"application_databases = {
  shop = { database_name = "shop", username = "shop_owner", adopt = true }
}"#;
const WITH_A_READER: &str = r#"application_databases = {
  shop    = { database_name = "shop", username = "shop_owner", adopt = true }
  reports = { database_name = "shop", username = "shop_reader", access_level = "reader", adopt = true }
}"#;
const APPLY: [&str; 3] = ["apply", "--env", "dev"];
const ALLOWED: [&str; 2] = ["--allow", "changes_owner"];

/// Returns what a role owns in a database, and the shared objects that it owns.
fn owned(fixture: &Fixture, database: &str, role: &str) -> String {
    fixture.query_in(
        database,
        &format!(
            "SELECT string_agg(i.type || ' ' || i.identity, E'\\n' ORDER BY i.type, i.identity)
             FROM pg_shdepend s, pg_identify_object(s.classid, s.objid, s.objsubid) i
             WHERE s.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
               AND s.refobjid = '{role}'::regrole AND s.deptype = 'o' AND i.type <> 'default acl'
               AND coalesce(i.schema, '') !~ '^pg_temp' AND NOT EXISTS (SELECT FROM pg_depend d
                 WHERE d.classid = s.classid AND d.objid = s.objid AND d.deptype = 'e')"
        ),
    )
}

/// Returns the statement of the only refusal, and the database in which to run it.
fn manual_fix(fixture: &Fixture, definitions: &str, arguments: &[&str]) -> (String, String) {
    let plan = ["plan", "--env", "dev", "--format", "json"];
    let output = fixture.run(definitions, &[&plan, arguments].concat());
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [refusal] = plan["refusals"].as_array().unwrap().as_slice() else {
        panic!("expected one refusal, got: {}", plan["refusals"])
    };
    let text = |value: &Value| value.as_str().unwrap_or("postgres").to_owned();
    let manual_fix = &refusal["manual_fix"];
    let statement = text(&manual_fix["sql"]);
    assert!(text(&refusal["hint"]).contains(&statement), "{refusal}");
    (text(&manual_fix["database"]), statement)
}

/// Creates a database of the administrator with an object of every kind.
fn database_with_everything(major: u32) -> Fixture {
    let fixture = Fixture::new(major);
    fixture.app("dev", "shop", "shop_owner");
    fixture.app("dev", "reports", "shop_reader");
    fixture
        .server
        .script_as_superuser(
            r#"SET SESSION AUTHORIZATION platform_admin;
            CREATE ROLE shop_reader;
            CREATE DATABASE shop;
            \connect shop
            SET SESSION AUTHORIZATION platform_admin;
            CREATE SCHEMA x; CREATE SCHEMA "Odd .x";
            CREATE TABLE x.p (a int, b text) PARTITION BY LIST (a);
            CREATE TABLE x.p1 PARTITION OF x.p FOR VALUES IN (1) PARTITION BY RANGE (lower(b));
            CREATE TABLE x.p11 PARTITION OF x.p1 FOR VALUES FROM ('a') TO ('z');
            CREATE TABLE x.hashed (a int, b text, id int GENERATED ALWAYS AS IDENTITY) PARTITION BY HASH ((a + length(b)));
            CREATE TABLE x.q (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, s serial, t text);
            CREATE INDEX ON x.q (lower(t));
            CREATE TABLE "Odd .x"."T ""q""" (id bigserial);
            CREATE SEQUENCE x.sq;
            CREATE VIEW x.v AS SELECT * FROM x.q;
            CREATE RULE r AS ON INSERT TO x.v DO INSTEAD NOTHING;
            CREATE MATERIALIZED VIEW x.m AS SELECT 1 AS a;
            CREATE TYPE x.e AS ENUM ('a'); CREATE TYPE x.c AS (a int, b text); CREATE DOMAIN x.d AS x.e;
            CREATE TYPE x.rg AS RANGE (subtype = int4);
            CREATE FUNCTION x.f(a int, OUT b x.c) LANGUAGE sql AS 'SELECT NULL::x.c';
            CREATE FUNCTION x.f(VARIADIC t x.e[]) RETURNS TABLE (z int) LANGUAGE sql AS 'SELECT 1';
            CREATE FUNCTION x.pr(int, text) RETURNS int LANGUAGE sql AS 'SELECT 1';
            CREATE PROCEDURE x.pr(int, OUT text) LANGUAGE sql AS 'SELECT NULL::text';
            CREATE PROCEDURE x.two(int, text) LANGUAGE sql AS 'SELECT 1';
            CREATE PROCEDURE x.two(int, OUT text) LANGUAGE sql AS 'SELECT NULL::text';
            CREATE PROCEDURE x.two(int, INOUT "B c" x.e) LANGUAGE sql AS 'SELECT $2';
            CREATE AGGREGATE x.cnt(*) (sfunc = int8inc, stype = int8, initcond = '0');
            CREATE AGGREGATE x.mx(int) (sfunc = int4larger, stype = int4);
            CREATE FUNCTION x.eq(int, text) RETURNS bool LANGUAGE sql AS 'SELECT true';
            CREATE OPERATOR x.=== (leftarg = int, rightarg = text, function = x.eq);
            CREATE FUNCTION x.neg(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
            CREATE OPERATOR "Odd .x".!! (rightarg = text, function = x.neg);
            CREATE COLLATION x.col FROM "C";
            CREATE CONVERSION x.conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
            CREATE STATISTICS x.st ON id, s FROM x.q;
            CREATE TEXT SEARCH DICTIONARY x.dict (template = simple);
            CREATE TEXT SEARCH CONFIGURATION x.cfg (copy = simple);
            SELECT lo_create(4711);
            CREATE PUBLICATION "P q" FOR TABLE x.q;
            CREATE EXTENSION citext SCHEMA x;
            RESET SESSION AUTHORIZATION;
            ALTER FUNCTION x.citext_hash(x.citext) OWNER TO platform_admin;
            GRANT EXECUTE ON FUNCTION x.citext_hash(x.citext) TO shop_reader;
            CREATE SCHEMA of_citext AUTHORIZATION platform_admin; ALTER EXTENSION citext ADD SCHEMA of_citext;
            GRANT USAGE ON SCHEMA of_citext TO shop_reader;
            CREATE AGGREGATE x.rnk(VARIADIC "any" ORDER BY VARIADIC "any") (sfunc = ordered_set_transition_multi,
              stype = internal, finalfunc = rank_final, finalfunc_extra, hypothetical);
            ALTER AGGREGATE x.rnk(VARIADIC "any" ORDER BY VARIADIC "any") OWNER TO platform_admin;
            CREATE OPERATOR FAMILY x.fam USING btree; ALTER OPERATOR FAMILY x.fam USING btree OWNER TO platform_admin;
            CREATE OPERATOR CLASS x.cls FOR TYPE int4 USING hash AS OPERATOR 1 =, FUNCTION 1 hashint4(int4);
            ALTER OPERATOR CLASS x.cls USING hash OWNER TO platform_admin;
            ALTER OPERATOR FAMILY x.cls USING hash OWNER TO platform_admin;
            CREATE FOREIGN DATA WRAPPER fdw; GRANT USAGE ON FOREIGN DATA WRAPPER fdw TO PUBLIC;
            CREATE SERVER "S v" FOREIGN DATA WRAPPER fdw; ALTER SERVER "S v" OWNER TO platform_admin;
            CREATE FOREIGN TABLE x.ft (a int) SERVER "S v"; ALTER FOREIGN TABLE x.ft OWNER TO platform_admin;
            CREATE LANGUAGE own HANDLER plpgsql_call_handler; ALTER LANGUAGE own OWNER TO platform_admin;"#,
        )
        .unwrap();
    fixture
}

/// PostgreSQL has no owner change for extensions and their objects.
const STAYS: &str = "database platform\ndatabase postgres\ndatabase template1\nextension citext";

#[test]
fn administrator_objects_are_transferred() {
    for major in versions() {
        let fixture = database_with_everything(major);
        if major >= 16 {
            fixture.query_in(
                "shop",
                "CREATE SUBSCRIPTION \"S b\" CONNECTION 'dbname=no password=no' PUBLICATION p WITH (connect = false);
                 ALTER SUBSCRIPTION \"S b\" OWNER TO platform_admin",
            );
        }
        // Temporary objects of a session are not transferred.
        let mut session = fixture.server.master_session("shop").unwrap();
        session.ask("CREATE TEMPORARY TABLE mine (id serial)").unwrap();
        let definitions = fixture.definitions(WITH_A_READER);
        expect(&fixture.run(&definitions, &[APPLY.as_slice(), &ALLOWED].concat()), 0);
        assert_eq!(owned(&fixture, "shop", "platform_admin"), STAYS, "PostgreSQL {major}");
        drop(session);
    }
}

/// The transaction gives the schema to the owner, too. The body of a function can contain any text.
#[test]
fn objects_in_a_schema_of_the_administrator_are_transferred() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        let definitions = fixture.definitions(OF_SHOP_OWNER);
        expect(&fixture.run(&definitions, &APPLY), 0);
        fixture.query_in(
            "shop",
            "CREATE ROLE stranger; CREATE SCHEMA app AUTHORIZATION platform_admin;
             GRANT CREATE ON SCHEMA app TO stranger;
             CREATE TABLE app.orders (); ALTER TABLE app.orders OWNER TO platform_admin;
             CREATE FUNCTION app.total() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1 -- :funcid 99999999999';
             ALTER FUNCTION app.total() OWNER TO platform_admin",
        );
        let definitions = fixture.definitions(
            r#"application_databases = {
                shop = { database_name = "shop", username = "shop_owner", schemas = ["public", "app"] }
            }"#,
        );
        expect(&fixture.run(&definitions, &[APPLY.as_slice(), &ALLOWED].concat()), 0);
        let owned = owned(&fixture, "shop", "shop_owner");
        for object in ["schema app", "table app.orders", "function app.total()"] {
            assert!(owned.contains(object), "PostgreSQL {major}: {owned}");
        }
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
    }
}

/// The same with the statements of the refusal, run by a user.
#[test]
fn printed_statements_transfer_administrator_objects() {
    for major in versions() {
        let fixture = database_with_everything(major);
        // As the master user, which then has the ADMIN option on the role.
        fixture.server.master("platform", "CREATE ROLE shop_owner").unwrap();
        let definitions = fixture.definitions(OF_SHOP_OWNER);
        let (database, statement) = manual_fix(&fixture, &definitions, &[]);
        fixture.server.master(&database, &statement).unwrap();
        assert_eq!(owned(&fixture, "shop", "platform_admin"), STAYS, "PostgreSQL {major}");
        expect(&fixture.run(&definitions, &APPLY), 0);
        let own = password("shop");
        fixture.server.sql_as("shop_owner", &own, "shop", "SELECT FROM x.q, x.p").unwrap();
    }
}

/// Creates a role that owns two databases, one of them with grants, and a tablespace.
fn owner_of_two_databases(major: u32) -> (Fixture, String) {
    let fixture = Fixture::new(major);
    fixture.app("dev", "shop", "shop_owner");
    fixture.app("dev", "warehouse", "successor");
    let definitions = fixture.definitions(OF_SHOP_OWNER);
    expect(&fixture.run(&definitions, &APPLY), 0);
    fixture
        .server
        .script_as_superuser(
            "SET allow_in_place_tablespaces = on;
             CREATE TABLESPACE \"fast disks\" OWNER shop_owner LOCATION '';
             SET ROLE platform_admin;
             CREATE ROLE successor;
             RESET ROLE;
             CREATE DATABASE desk OWNER shop_owner;
             CREATE DATABASE \"desk 2\" OWNER shop_owner;
             ALTER DATABASE template1 OWNER TO shop_owner;
             SET ROLE shop_owner;
             GRANT CONNECT ON DATABASE desk TO successor;
             GRANT CREATE ON TABLESPACE \"fast disks\" TO successor;
             RESET ROLE;
             \\connect shop
             SET ROLE shop_owner;
             CREATE TABLE orders (id serial, item text);",
        )
        .unwrap();
    let definitions = fixture.definitions(
        r#"application_databases = {
             warehouse = { database_name = "shop", username = "successor", adopt = true }
           }"#,
    );
    (fixture, definitions)
}

/// Returns the databases and tablespaces with their owners and ACLs.
fn shared(fixture: &Fixture) -> String {
    fixture.query(
        "SELECT string_agg(what, E'\\n' ORDER BY what) FROM (
           SELECT datname || ' ' || pg_get_userbyid(datdba) || ' ' || coalesce(datacl::text, '') FROM pg_database
             WHERE datname <> 'shop'
           UNION ALL
           SELECT spcname || ' ' || pg_get_userbyid(spcowner) || ' ' || coalesce(spcacl::text, '') FROM pg_tablespace) x(what)",
    )
}

const OWNED_IN_SHOP: &str = "database shop\nsequence public.orders_id_seq\ntable public.orders";

#[test]
fn other_objects_of_the_old_owner_are_not_transferred() {
    for major in versions() {
        let (fixture, definitions) = owner_of_two_databases(major);
        let before = shared(&fixture);
        let (database, statement) = manual_fix(&fixture, &definitions, &[]);
        // Once by the product, and once by a user who runs the statements of the refusal.
        for printed in [false, true] {
            if printed {
                fixture.query_in("shop", "REASSIGN OWNED BY successor TO shop_owner");
                assert_eq!(shared(&fixture), before, "PostgreSQL {major}");
                fixture.server.master(&database, &statement).unwrap();
            } else {
                expect(&fixture.run(&definitions, &[APPLY.as_slice(), &ALLOWED].concat()), 0);
            }
            assert_eq!(owned(&fixture, "shop", "successor"), OWNED_IN_SHOP, "PostgreSQL {major}");
            assert_eq!(shared(&fixture), before, "PostgreSQL {major}, printed: {printed}");
        }
        expect(&fixture.run(&definitions, &APPLY), 0);
    }
}

/// The statements to run first if the new owner does not exist yet.
#[test]
fn printed_statements_for_a_missing_owner() {
    for major in versions() {
        let (fixture, definitions) = owner_of_two_databases(major);
        fixture.query("DROP OWNED BY successor; DROP ROLE successor");
        let before = shared(&fixture);
        let output_text = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 3);
        let create = "hint: or create role successor as the administrator, set `adopt = true`, then run as the administrator in database shop: ";
        let (_, rest) = output_text.split_once(create).unwrap();
        let (statement, _) = rest.split_once('\n').unwrap();
        fixture.server.master("platform", "CREATE ROLE successor").unwrap();
        fixture.server.master("shop", statement).unwrap();
        assert_eq!(shared(&fixture), before, "PostgreSQL {major}");
        expect(&fixture.run(&definitions, &APPLY), 0);
    }
}

/// A subscription belongs to one database, but `REASSIGN OWNED` moves it from every database.
#[test]
fn subscriptions_are_refused_or_transferred() {
    for major in versions() {
        let (fixture, definitions) = owner_of_two_databases(major);
        let apply = [APPLY.as_slice(), &ALLOWED].concat();
        let make = |database: &str, name: &str| {
            fixture.query_in(
                database,
                &format!(
                    "CREATE SUBSCRIPTION {name} CONNECTION 'dbname=no password=no' PUBLICATION p WITH (connect = false);
                     ALTER ROLE shop_owner SUPERUSER; ALTER SUBSCRIPTION {name} OWNER TO shop_owner;
                     ALTER ROLE shop_owner NOSUPERUSER"
                ),
            );
        };
        make("desk", "elsewhere");
        make("shop", "here");
        if major >= 16 {
            make("shop", "trusted");
            fixture.query_in("shop", "ALTER SUBSCRIPTION trusted SET (password_required = false)");
        }
        let catalog_state = fixture.catalog_state();
        let output_text = expect(&fixture.run(&definitions, &apply), 3);
        assert_eq!(fixture.catalog_state(), catalog_state);
        for (name, database, refused) in [
            ("elsewhere", "desk", true),
            ("here", "shop", major < 16),
            ("trusted", "shop", major >= 16),
        ] {
            let statement = format!(r#"ALTER SUBSCRIPTION "{name}" OWNER TO CURRENT_USER"#);
            let manual_fix = format!("in database {database}: {statement};");
            assert_eq!(
                output_text.contains(&manual_fix),
                refused,
                "PostgreSQL {major}: {output_text}"
            );
            if refused {
                fixture.query_in(database, &statement);
            }
        }
        expect(&fixture.run(&definitions, &apply), 0);
        let owners =
            "SELECT string_agg(subname || ' ' || pg_get_userbyid(subowner), ', ' ORDER BY subname)
            FROM pg_subscription";
        let after = match major {
            ..16 => "elsewhere rdsadmin, here rdsadmin",
            _ => "elsewhere rdsadmin, here successor, trusted rdsadmin",
        };
        assert_eq!(fixture.query(owners), after, "PostgreSQL {major}");
    }
}

/// What the old owner planted is executed with the privileges of the new one, so the plan names it.
#[test]
fn code_of_the_old_owner_is_named() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("prod", "shop", "shop_owner");
        fixture.app("prod", "next", "next_owner");
        let definitions = |owner: &str| {
            fixture.definitions(&format!(
                "application_databases = {{\n  {owner} = {{ database_name = \"shop\", username = \"{owner}_owner\" }}\n}}\n"
            ))
        };
        let apply = |owner: &str, more: &[&str]| {
            let mut command =
                fixture.command(&definitions(owner), &[&["apply", "--env", "prod"], more].concat());
            command.env("ALLOW_DB_PROVISION", "true").output().unwrap()
        };
        expect(&apply("shop", &[]), 0);
        let planted = "
            CREATE TABLE t (id int DEFAULT 1, day date DEFAULT now());
            CREATE FUNCTION plain() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
            CREATE FUNCTION planted() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1';
            CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
            CREATE TRIGGER falls BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION fires();
            CREATE RULE also AS ON INSERT TO t DO ALSO SELECT planted();
            ALTER TABLE t ADD COLUMN price int DEFAULT plain(); CREATE INDEX computed ON t ((id + plain()))";
        let own = password("shop");
        fixture.server.sql_as("shop_owner", &own, "shop", planted).unwrap();
        let refused = expect(&apply("next", &ALLOWED), 3);
        assert!(refused.contains("hands_over_code"), "PostgreSQL {major}: {refused}");
        for code in [
            "function public.planted()",
            "trigger falls on public.t",
            "rule also on public.t",
            "default value for public.t.price",
            "index public.computed",
        ] {
            assert!(refused.contains(code), "PostgreSQL {major}: {code} is not in {refused}");
        }
        for harmless in ["plain()", "fires()", "t.day", "t.id"] {
            assert!(!refused.contains(harmless), "PostgreSQL {major}: {harmless}: {refused}");
        }
        expect(&apply("next", &[&ALLOWED[..], &["--allow", "hands_over_code"]].concat()), 0);
    }
}
