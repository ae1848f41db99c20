//! Attacks of the old owner of a database, and of its accomplices: what they leave there, and the new
//! owner executes as itself. Each must be in the plan.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect, password};
use crate::handed_over_code::{code_of, definitions, transfer};

const APPLY: [&str; 3] = ["apply", "--env", "dev"];

/// Starts a server with a database of `shop_owner`, which `next_owner` will get, and with an accomplice.
pub fn fixture(major: u32) -> Fixture {
    let fixture = Fixture::new(major);
    fixture.app("dev", "shop", "shop_owner");
    fixture.app("dev", "next", "next_owner");
    expect(&fixture.run(&definitions(&fixture, "shop"), &APPLY), 0);
    fixture.query("CREATE ROLE accomplice LOGIN PASSWORD 'Known-accomplice'");
    fixture.query("CREATE TABLE public.executed (by_role text); GRANT ALL ON executed TO PUBLIC");
    fixture.query("GRANT CONNECT ON DATABASE shop TO accomplice");
    fixture
}

pub fn as_owner(fixture: &Fixture, sql: &str) {
    fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql).unwrap();
}

pub fn as_accomplice(fixture: &Fixture, sql: &str) {
    fixture.server.sql_as("accomplice", "Known-accomplice", "shop", sql).unwrap();
}

pub fn as_new_owner(fixture: &Fixture, sql: &str) {
    fixture.server.sql_as("next_owner", &password("next"), "shop", sql).unwrap();
}

/// Applies the transfer with its hazards.
pub fn hand_over(fixture: &Fixture) {
    let allow = ["--allow", "changes_owner,hands_over_code"];
    let next = definitions(fixture, "next");
    expect(&fixture.run(&next, &[&APPLY[..], &allow].concat()), 0);
}

/// Asserts what the plan lists.
#[track_caller]
pub fn assert_listed(fixture: &Fixture, expected: &[(&str, &str)]) {
    let major = fixture.server.major();
    let step = transfer(fixture, &definitions(fixture, "next"));
    let mut expected: Vec<(String, String)> =
        expected.iter().map(|(kind, name)| ((*kind).to_owned(), (*name).to_owned())).collect();
    expected.sort();
    let mut found = code_of(&step);
    found.sort();
    assert_eq!(found, expected, "PostgreSQL {major}");
    let is_hazard = step["hazards"].to_string().contains("hands_over_code");
    assert_eq!(is_hazard, !expected.is_empty(), "PostgreSQL {major}: {step}");
}

/// The planted function, which shows as which role it was executed.
const EVIL: &str = "
    CREATE FUNCTION public.evil() RETURNS int LANGUAGE plpgsql AS
      'BEGIN EXECUTE format(''COMMENT ON TABLE public.orders IS %L'', current_user); RETURN 1; END'";
pub const EXECUTED: &str = "SELECT obj_description('public.orders'::regclass)";

/// Functions of PostgreSQL and of trusted extensions execute a text, which names the planted function.
#[test]
fn expressions_that_execute_a_text_are_listed() {
    const XML: &str = "query_to_xml(''SELECT public.evil()'', true, true, '''') IS NOT NULL";
    for major in versions() {
        let fixture = fixture(major);
        let xml = XML.replace("''", "'");
        as_owner(
            &fixture,
            &format!(
                "{EVIL}; CREATE EXTENSION tablefunc;
                 CREATE TABLE public.orders (id int, word text);
                 ALTER TABLE orders ADD CONSTRAINT checked CHECK ({xml});
                 CREATE TABLE filled (id serial, at timestamptz DEFAULT now(), word text DEFAULT set_config('role', 'none', false),
                   uuid uuid DEFAULT gen_random_uuid(), chance float DEFAULT random(),
                   stored text DEFAULT schema_to_xml('public', true, true, '')::text);
                 CREATE DOMAIN checked_domain AS int CHECK ({xml});
                 CREATE DOMAIN plain_domain AS int CHECK (VALUE > 0);
                 CREATE DOMAIN filled_domain AS text DEFAULT set_config('role', 'none', false);
                 CREATE TABLE guarded (id int); CREATE POLICY hides ON guarded USING ({xml});
                 CREATE POLICY plain_policy ON guarded USING (id > length(current_user));
                 CREATE VIEW reports AS SELECT query_to_xml('SELECT public.evil()', true, true, '');
                 CREATE VIEW totals AS SELECT * FROM crosstab('SELECT 1, 1, public.evil()') AS x(a int, b int);
                 CREATE VIEW words AS SELECT * FROM ts_stat('SELECT public.evil()::text::tsvector');
                 CREATE VIEW typed AS SELECT domain_in('1', 'plain_domain'::regtype, -1) IS NULL AS input;
                 CREATE VIEW plain AS SELECT upper(word), count(*), now() FROM orders GROUP BY 1;
                 CREATE MATERIALIZED VIEW stored AS SELECT query_to_xml('SELECT 1', true, true, '') WITH NO DATA"
            ),
        );
        let mut expected = vec![
            ("table constraint", "checked on public.orders"),
            ("default value", "for public.filled.word"),
            ("default value", "for public.filled.stored"),
            ("domain constraint", "checked_domain_check on public.checked_domain"),
            ("type", "public.filled_domain"),
            ("policy", "hides on public.guarded"),
            ("view", "public.reports"),
            ("view", "public.totals"),
            ("view", "public.words"),
            ("view", "public.typed"),
            ("materialized view", "public.stored"),
        ];
        if major >= 16 {
            as_owner(
                &fixture,
                "CREATE VIEW tested AS SELECT pg_input_is_valid('1', 'checked_domain')",
            );
            expected.push(("view", "public.tested"));
        }
        assert_listed(&fixture, &expected);
        // What this means.
        hand_over(&fixture);
        as_new_owner(&fixture, "INSERT INTO orders VALUES (1)");
        assert_eq!(fixture.query_in("shop", EXECUTED), "next_owner", "PostgreSQL {major}");
    }
}

/// Rows of a table go to the partitions and come from the children of other roles, and values of its
/// columns have the types of other roles. These can change them at any time.
#[test]
fn partitions_and_types_of_other_roles_are_listed() {
    for major in versions() {
        let fixture = fixture(major);
        fixture.query("GRANT accomplice TO shop_owner");
        as_owner(
            &fixture,
            "CREATE SCHEMA ms; GRANT USAGE, CREATE ON SCHEMA ms TO accomplice; GRANT USAGE ON SCHEMA ms TO PUBLIC;
             CREATE TABLE public.orders (id int) PARTITION BY RANGE (id);
             CREATE TABLE ms.orders_1 PARTITION OF orders FOR VALUES FROM (0) TO (100);
             CREATE TABLE ms.orders_2 PARTITION OF orders FOR VALUES FROM (100) TO (200);
             CREATE TABLE parents (id int); CREATE TABLE ms.children () INHERITS (parents);
             ALTER TABLE ms.orders_1 OWNER TO accomplice; ALTER TABLE ms.orders_2 OWNER TO accomplice;
             ALTER TABLE ms.children OWNER TO accomplice",
        );
        as_accomplice(
            &fixture,
            "CREATE FUNCTION ms.fires() RETURNS trigger LANGUAGE plpgsql AS
               'BEGIN EXECUTE format(''COMMENT ON TABLE public.orders IS %L'', current_user); RETURN NEW; END';
             CREATE TRIGGER falls BEFORE INSERT ON ms.orders_1 FOR EACH ROW EXECUTE FUNCTION ms.fires();
             CREATE FUNCTION ms.holds(int) RETURNS bool LANGUAGE sql AS 'SELECT true';
             CREATE FUNCTION ms.differs(int, int) RETURNS float8 IMMUTABLE LANGUAGE sql AS 'SELECT 1.0::float8';
             ALTER TABLE ms.children ADD CONSTRAINT holds CHECK (ms.holds(id));
             CREATE DOMAIN ms.inner_domain AS int CHECK (ms.holds(VALUE));
             CREATE DOMAIN ms.outer_domain AS ms.inner_domain;
             CREATE TYPE ms.pair AS (a ms.outer_domain, b int);
             CREATE TYPE ms.span AS RANGE (subtype = int4, subtype_diff = ms.differs);
             CREATE DOMAIN ms.of_a_view AS int CHECK (ms.holds(VALUE)); CREATE TABLE ms.unrelated (id ms.of_a_view)",
        );
        as_owner(
            &fixture,
            "CREATE TABLE public.typed (pairs ms.pair[], span ms.span, number int);
             CREATE VIEW converted AS SELECT number::ms.of_a_view AS number FROM typed;
             REVOKE CREATE ON SCHEMA ms FROM accomplice",
        );
        fixture.query("REVOKE accomplice FROM shop_owner");
        assert_listed(
            &fixture,
            &[
                ("table", "ms.orders_1 of role accomplice"),
                ("table", "ms.orders_2 of role accomplice"),
                ("table", "ms.children of role accomplice"),
                ("table", "ms.unrelated of role accomplice"),
                ("type", "ms.pair of role accomplice"),
                ("type", "ms.span of role accomplice"),
                ("type", "ms.inner_domain of role accomplice"),
                ("type", "ms.outer_domain of role accomplice"),
                ("type", "ms.of_a_view of role accomplice"),
                ("trigger", "falls on ms.orders_1"),
                ("table constraint", "holds on ms.children"),
                ("domain constraint", "inner_domain_check on ms.inner_domain"),
                ("domain constraint", "of_a_view_check on ms.of_a_view"),
                ("type", "ms.span"),
                ("function", "ms.fires() of role accomplice"),
                ("function", "ms.holds(integer) of role accomplice"),
                ("function", "ms.differs(integer,integer) of role accomplice"),
            ],
        );
        hand_over(&fixture);
        as_new_owner(&fixture, "INSERT INTO orders VALUES (1)");
        assert_eq!(fixture.query_in("shop", EXECUTED), "next_owner", "PostgreSQL {major}");
    }
}

/// A subscription goes on to write what its publisher sends. Before PostgreSQL 16, only superusers own
/// subscriptions.
#[test]
fn subscription_is_listed() {
    for major in versions().into_iter().filter(|major| *major >= 16) {
        let fixture = fixture(major);
        fixture.query("GRANT pg_create_subscription TO shop_owner");
        as_owner(
            &fixture,
            "CREATE TABLE public.orders (id int);
             CREATE SUBSCRIPTION feed CONNECTION 'host=localhost dbname=none user=none password=none'
               PUBLICATION p WITH (connect = false, slot_name = 'none')",
        );
        assert_listed(&fixture, &[("subscription", "feed")]);
        hand_over(&fixture);
        let owner = "SELECT pg_get_userbyid(subowner) FROM pg_subscription";
        assert_eq!(fixture.query(owner), "next_owner", "PostgreSQL {major}");
    }
}

/// The settings of the database remain, and change which objects a name means.
#[test]
fn settings_of_the_database_are_listed() {
    for major in versions() {
        let fixture = fixture(major);
        as_owner(
            &fixture,
            "CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC; CREATE TABLE public.orders (id int);
             CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS
               'BEGIN EXECUTE format(''COMMENT ON TABLE public.orders IS %L'', current_user); RETURN NULL; END';
             ALTER DATABASE shop SET search_path = 'evil', 'pg_catalog', 'public';
             ALTER ROLE shop_owner IN DATABASE shop SET work_mem = '8MB'",
        );
        as_owner(
            &fixture,
            &format!("ALTER DATABASE shop SET application_name = '{}'", "z".repeat(300)),
        );
        assert_listed(
            &fixture,
            &[
                ("setting", "search_path = evil, pg_catalog, public"),
                ("setting", "application_name"),
            ],
        );
        hand_over(&fixture);
        as_new_owner(&fixture, "SELECT now()");
        assert_eq!(fixture.query_in("shop", EXECUTED), "next_owner", "PostgreSQL {major}");
    }
}

/// The initial database of an RDS server belongs to the administrator, which has granted privileges to
/// other roles. They can also add conditions to triggers of its tables.
#[test]
fn privileges_on_objects_of_the_administrator_are_listed() {
    for major in versions() {
        let fixture = fixture(major);
        fixture.query("ALTER DATABASE shop OWNER TO platform_admin");
        // Before PostgreSQL 15, the role has it as the owner of the database.
        fixture.query_in(
            "shop",
            "REVOKE CREATE ON SCHEMA public FROM shop_owner;
             GRANT CREATE ON SCHEMA public TO platform_admin; SET SESSION AUTHORIZATION platform_admin;
             CREATE TABLE public.orders (id int); CREATE SCHEMA ms;
             CREATE TABLE filled (day date DEFAULT now(), mark text DEFAULT query_to_xml('SELECT 1', true, true, '')::text);
             CREATE TRIGGER harmless BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        );
        assert_listed(&fixture, &[]);
        fixture.query_in(
            "shop",
            "SET SESSION AUTHORIZATION platform_admin;
             GRANT TRIGGER ON orders TO accomplice; GRANT USAGE, CREATE ON SCHEMA ms TO accomplice;
             GRANT CREATE ON DATABASE shop TO accomplice",
        );
        let privileges = [
            ("privilege", "TRIGGER of role accomplice on public.orders"),
            ("privilege", "CREATE of role accomplice on schema ms"),
            ("privilege", "CREATE of role accomplice on the database"),
        ];
        assert_listed(&fixture, &privileges);
        as_accomplice(
            &fixture,
            "CREATE TRIGGER falls BEFORE UPDATE ON public.orders FOR EACH ROW
             WHEN (query_to_xml('SELECT 1', true, true, '') IS NOT NULL)
             EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        );
        let trigger = ("trigger", "falls on public.orders");
        assert_listed(&fixture, &[&privileges[..], &[trigger]].concat());
    }
}

/// A plan revokes what PUBLIC has in covered schemas. In other schemas, PUBLIC keeps it.
#[test]
fn privileges_of_public_in_uncovered_schemas_are_listed() {
    for major in versions() {
        let fixture = fixture(major);
        as_owner(
            &fixture,
            "CREATE SCHEMA ms; CREATE TABLE ms.orders (id int); GRANT TRIGGER ON ms.orders TO PUBLIC;
             GRANT USAGE, CREATE ON SCHEMA ms TO PUBLIC;
             CREATE TABLE public.orders (id int); GRANT TRIGGER ON public.orders TO PUBLIC",
        );
        fixture.query_in("shop", "GRANT CREATE ON SCHEMA public TO PUBLIC");
        assert_listed(
            &fixture,
            &[
                ("privilege", "TRIGGER of PUBLIC on ms.orders"),
                ("privilege", "CREATE of PUBLIC on schema ms"),
            ],
        );
        hand_over(&fixture);
        let kept = "SELECT has_schema_privilege('accomplice', 'public', 'CREATE'),
            has_table_privilege('accomplice', 'public.orders', 'TRIGGER'),
            has_table_privilege('accomplice', 'ms.orders', 'TRIGGER')";
        assert_eq!(fixture.query_in("shop", kept), "f|f|t", "PostgreSQL {major}");
    }
}
