//! Attacks of the old owner of a database, and of its accomplices, with objects that only the catalogs
//! connect with what the new owner uses. Each must be in the plan.

use rdsprov_testkit::versions;

use crate::fixture::{expect, password};
use crate::handed_over_attacks::{
    EXECUTED, as_accomplice, as_new_owner, as_owner, assert_listed, fixture, hand_over,
};
use crate::handed_over_code::{code_of, transfer};

/// The comment shows as which role the code was executed.
const SHOW: &str = "EXECUTE format('COMMENT ON TABLE public.orders IS %L', current_user)";

/// `ts_rewrite` executes a text. `pg_depend` has no row for a function of PostgreSQL.
#[test]
fn aggregates_and_operators_of_functions_of_postgresql_are_listed() {
    for major in versions() {
        let fixture = fixture(major);
        as_owner(
            &fixture,
            &format!(
                "CREATE TABLE public.orders (word varchar);
                 CREATE FUNCTION evil() RETURNS tsquery LANGUAGE plpgsql AS $$BEGIN {SHOW}; RETURN 'a'; END$$;
                 INSERT INTO orders VALUES ('SELECT ''a''::tsquery, public.evil()');
                 CREATE AGGREGATE max(varchar) (sfunc = ts_rewrite, stype = tsquery, initcond = 'a');
                 CREATE AGGREGATE plain(int) (sfunc = int4pl, stype = int);
                 CREATE OPERATOR public.~~~ (leftarg = tsquery, rightarg = text, function = ts_rewrite);
                 CREATE OPERATOR public.<+> (leftarg = int, rightarg = int, function = int4pl)"
            ),
        );
        assert_listed(
            &fixture,
            &[
                ("aggregate", "public.max(character varying)"),
                ("operator", "public.~~~(pg_catalog.tsquery,pg_catalog.text)"),
            ],
        );
        hand_over(&fixture);
        as_new_owner(&fixture, "SELECT max(word) FROM orders");
        assert_eq!(fixture.query_in("shop", EXECUTED), "next_owner", "PostgreSQL {major}");
    }
}

/// The arrays of a type, and multirange types, have casts of their own.
#[test]
fn casts_of_arrays_and_multiranges_are_listed() {
    for major in versions() {
        let fixture = fixture(major);
        let cast = |of: &str| {
            format!(
                "CREATE FUNCTION \"{of}\"({of}) RETURNS text LANGUAGE plpgsql AS $$BEGIN {SHOW}; RETURN 'a'; END$$;
                 CREATE CAST ({of} AS text) WITH FUNCTION \"{of}\"({of}) AS IMPLICIT"
            )
        };
        let casts = ["status[]", "orders[]", "spans", "spans[]"].map(cast).join(";");
        as_owner(
            &fixture,
            &format!(
                "CREATE TABLE public.orders (id int); CREATE TYPE status AS ENUM ('a', 'b');
                 CREATE TYPE span AS RANGE (subtype = int4, multirange_type_name = spans); {casts}"
            ),
        );
        assert_listed(
            &fixture,
            &[
                ("cast", "(public.status[] AS pg_catalog.text)"),
                ("cast", "(public.orders[] AS pg_catalog.text)"),
                ("cast", "(public.spans AS pg_catalog.text)"),
                ("cast", "(public.spans[] AS pg_catalog.text)"),
            ],
        );
        hand_over(&fixture);
        as_new_owner(&fixture, "SELECT array_agg(s)::text FROM (VALUES ('a'::status)) v(s)");
        assert_eq!(fixture.query_in("shop", EXECUTED), "next_owner", "PostgreSQL {major}");
    }
}

/// A foreign key changes rows in the table of another role. Before PostgreSQL 18, the deferred triggers of this
/// table are executed as the role that caused the change. A policy reads the view of another role, which can
/// replace it. A role with privileges on a parent reads and writes the rows of its children.
#[test]
fn tables_and_functions_of_other_roles_are_listed() {
    for major in versions() {
        let fixture = fixture(major);
        as_owner(
            &fixture,
            "GRANT CREATE ON DATABASE shop TO accomplice; GRANT USAGE ON SCHEMA public TO accomplice;
             CREATE TABLE public.orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1);
             GRANT REFERENCES ON orders TO accomplice",
        );
        as_accomplice(
            &fixture,
            &format!(
                "CREATE SCHEMA ms; GRANT USAGE ON SCHEMA ms TO PUBLIC;
                 CREATE TABLE ms.harmless (id int REFERENCES public.orders);
                 CREATE TABLE ms.children (id int REFERENCES public.orders ON UPDATE CASCADE);
                 CREATE TABLE ms.parents (id int); INSERT INTO ms.children VALUES (1);
                 CREATE FUNCTION ms.fires() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {SHOW}; RETURN NULL; END$$;
                 CREATE CONSTRAINT TRIGGER falls AFTER UPDATE ON ms.children DEFERRABLE INITIALLY DEFERRED
                   FOR EACH ROW EXECUTE FUNCTION ms.fires();
                 CREATE FUNCTION ms.one() RETURNS int LANGUAGE sql AS 'SELECT 1';
                 CREATE VIEW ms.looks AS SELECT 1 AS id; GRANT SELECT ON ms.looks TO PUBLIC"
            ),
        );
        as_owner(
            &fixture,
            "REVOKE CREATE ON DATABASE shop FROM accomplice; REVOKE REFERENCES ON orders FROM accomplice;
             CREATE TABLE filled (id int DEFAULT ms.one());
             CREATE TABLE guarded (id int); CREATE TABLE cards (id int);
             CREATE POLICY looks ON guarded USING (EXISTS (SELECT FROM ms.looks));
             CREATE POLICY plain ON guarded USING (EXISTS (SELECT FROM filled))",
        );
        fixture.query_in("shop", "ALTER TABLE public.cards INHERIT ms.parents");
        assert_listed(
            &fixture,
            &[
                ("schema", "ms of role accomplice"),
                ("table", "ms.harmless of role accomplice"),
                ("table", "ms.children of role accomplice"),
                ("table", "ms.parents of role accomplice"),
                ("view", "ms.looks of role accomplice"),
                ("trigger", "falls on ms.children"),
                ("function", "ms.fires() of role accomplice"),
                ("default value", "for public.filled.id"),
                ("function", "ms.one() of role accomplice"),
                ("policy", "looks on public.guarded"),
            ],
        );
        hand_over(&fixture);
        if major < 18 {
            as_new_owner(&fixture, "UPDATE orders SET id = 2");
            assert_eq!(fixture.query_in("shop", EXECUTED), "next_owner", "PostgreSQL {major}");
        }
    }
}

/// The rows of a foreign table go to another server, with a password that the old owner has chosen.
#[test]
fn foreign_tables_and_servers_are_listed() {
    for major in versions() {
        let fixture = fixture(major);
        fixture.query_in(
            "shop",
            "CREATE EXTENSION postgres_fdw; GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO PUBLIC",
        );
        as_owner(
            &fixture,
            "CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1');
             CREATE USER MAPPING FOR PUBLIC SERVER away OPTIONS (user 'mallory', password 'known');
             CREATE USER MAPPING FOR accomplice SERVER away;
             CREATE TABLE orders (id int) PARTITION BY LIST (id);
             CREATE FOREIGN TABLE orders_1 PARTITION OF orders DEFAULT SERVER away",
        );
        assert_listed(
            &fixture,
            &[
                ("foreign table", "public.orders_1"),
                ("server", "away"),
                ("user mapping", "public on server away"),
            ],
        );
    }
}

/// Objects of other roles in `public`, from the time when these could create some. A predefined role has
/// no entry in `pg_shdepend`.
#[test]
fn objects_of_predefined_roles_are_listed() {
    for major in versions() {
        let fixture = fixture(major);
        fixture.query("GRANT pg_monitor TO shop_owner");
        fixture.query_in("shop", "GRANT CREATE ON SCHEMA public TO accomplice, pg_monitor");
        as_owner(
            &fixture,
            "CREATE TABLE public.orders (word varchar);
             CREATE FUNCTION differs(varchar, varchar) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT true';
             CREATE OPERATOR public.<> (leftarg = varchar, rightarg = varchar, function = differs);
             ALTER OPERATOR public.<> (varchar, varchar) OWNER TO pg_monitor",
        );
        as_accomplice(
            &fixture,
            &format!(
                "CREATE FUNCTION equals(varchar, varchar) RETURNS bool LANGUAGE plpgsql
                   AS $$BEGIN {SHOW}; RETURN true; END$$;
                 CREATE OPERATOR public.= (leftarg = varchar, rightarg = varchar, function = equals);
                 CREATE TABLE public.numbered (id serial, other int GENERATED ALWAYS AS IDENTITY)"
            ),
        );
        fixture.query_in("shop", "REVOKE CREATE ON SCHEMA public FROM accomplice, pg_monitor");
        fixture.query("REVOKE pg_monitor FROM shop_owner");
        assert_listed(
            &fixture,
            &[
                (
                    "function",
                    "public.equals(character varying,character varying) of role accomplice",
                ),
                ("operator", "public.=(character varying,character varying) of role accomplice"),
                ("operator", "public.<>(character varying,character varying) of role pg_monitor"),
                ("table", "public.numbered of role accomplice"),
            ],
        );
        // From PostgreSQL 16 on, the administrator cannot grant privileges on it.
        fixture.query_in("shop", "DROP TABLE public.numbered");
        hand_over(&fixture);
        as_new_owner(&fixture, "SELECT 'x'::varchar = 'y'::varchar");
        assert_eq!(fixture.query_in("shop", EXECUTED), "next_owner", "PostgreSQL {major}");
    }
}

/// Each role, session and database can have another `search_path`: what other roles own in any schema
/// counts, and an empty schema, too.
#[test]
fn objects_and_schemas_of_other_roles_are_listed() {
    for major in versions() {
        let fixture = fixture(major);
        as_owner(
            &fixture,
            "CREATE TABLE public.orders (word text); CREATE SCHEMA app;
             GRANT CREATE ON DATABASE shop TO accomplice; GRANT USAGE, CREATE ON SCHEMA app TO accomplice",
        );
        as_accomplice(
            &fixture,
            "CREATE SCHEMA next_owner; GRANT USAGE ON SCHEMA next_owner TO PUBLIC; CREATE SCHEMA ms;
             CREATE TABLE ms.queues (id int) PARTITION BY LIST (id);
             CREATE TABLE app.queue PARTITION OF ms.queues DEFAULT;
             DO $$BEGIN FOR i IN 1..11 LOOP
               EXECUTE format('CREATE FUNCTION ms.f%s() RETURNS int LANGUAGE sql AS $f$SELECT 1$f$', i);
             END LOOP; END$$;
             GRANT CREATE ON SCHEMA ms TO PUBLIC",
        );
        as_owner(
            &fixture,
            "REVOKE CREATE ON DATABASE shop FROM accomplice; REVOKE ALL ON SCHEMA app FROM accomplice",
        );
        let functions: Vec<String> =
            (1..=10).map(|number| format!("ms.f{number}() of role accomplice")).collect();
        let mut expected = vec![
            ("schema", "next_owner of role accomplice"),
            ("schema", "ms of role accomplice"),
            ("table", "app.queue of role accomplice"),
            ("object", "2 more in schema ms of role accomplice"),
            ("privilege", "CREATE of PUBLIC on schema ms"),
        ];
        expected.extend(functions.iter().map(|name| ("function", name.as_str())));
        assert_listed(&fixture, &expected);
        hand_over(&fixture);
        as_accomplice(
            &fixture,
            &format!(
                "CREATE FUNCTION next_owner.equals(int, name) RETURNS bool LANGUAGE plpgsql
                   AS $$BEGIN {SHOW}; RETURN true; END$$;
                 CREATE OPERATOR next_owner.= (leftarg = int, rightarg = name, function = next_owner.equals)"
            ),
        );
        as_new_owner(&fixture, "SELECT 1 = 'a'::name");
        assert_eq!(fixture.query_in("shop", EXECUTED), "next_owner", "PostgreSQL {major}");
    }
}

/// The objects of a role that another application declares stop only this application.
#[test]
fn objects_of_declared_roles_are_listed() {
    for major in versions() {
        let fixture = fixture(major);
        fixture.app("dev", "other", "other_owner");
        let with_other = |owner: &str| {
            fixture.definitions(&format!(
                "application_databases = {{
                   {owner} = {{ database_name = \"shop\", username = \"{owner}_owner\" }}
                   other = {{ database_name = \"other\", username = \"other_owner\" }} }}"
            ))
        };
        expect(&fixture.run(&with_other("shop"), &["apply", "--env", "dev"]), 0);
        as_owner(
            &fixture,
            "GRANT CONNECT ON DATABASE shop TO other_owner; CREATE SCHEMA app;
             GRANT USAGE, CREATE ON SCHEMA app TO other_owner",
        );
        let create = "CREATE FUNCTION app.total() RETURNS int LANGUAGE sql AS 'SELECT 1'";
        fixture.server.sql_as("other_owner", &password("other"), "shop", create).unwrap();
        let step = transfer(&fixture, &with_other("next"));
        let expected = [
            ("function", "app.total() of role other_owner"),
            ("privilege", "CREATE of role other_owner on schema app"),
        ];
        let expected = expected.map(|(kind, name)| (kind.to_owned(), name.to_owned()));
        assert_eq!(code_of(&step), expected, "PostgreSQL {major}");
    }
}

/// A session of the old owner has a temporary domain, which is the type of a column.
/// `pg_depend` does not contain the domain that a function of JSON returns.
#[test]
fn domains_that_are_temporary_or_only_in_functions_of_json_are_listed() {
    for major in versions() {
        let fixture = fixture(major);
        as_owner(
            &fixture,
            "CREATE TABLE public.orders (id int); GRANT CREATE ON DATABASE shop TO accomplice",
        );
        as_accomplice(
            &fixture,
            &format!(
                "CREATE SCHEMA ms; GRANT USAGE ON SCHEMA ms TO PUBLIC;
                 CREATE FUNCTION ms.holds(text) RETURNS bool LANGUAGE plpgsql AS $$BEGIN {SHOW}; RETURN true; END$$;
                 CREATE DOMAIN ms.word AS text CHECK (ms.holds(VALUE))"
            ),
        );
        as_owner(&fixture, "REVOKE CREATE ON DATABASE shop FROM accomplice");
        let mut expected = vec![
            ("schema", "ms of role accomplice"),
            ("function", "ms.holds(pg_catalog.text) of role accomplice"),
            ("type", "ms.word of role accomplice"),
        ];
        assert_listed(&fixture, &expected);
        if major >= 17 {
            as_owner(
                &fixture,
                "CREATE VIEW plain AS SELECT JSON_VALUE('{}'::jsonb, '$.a' RETURNING int) AS id;
                 CREATE VIEW words AS SELECT length(JSON_VALUE('{\"a\": \"b\"}'::jsonb, '$.a' RETURNING ms.word)) AS id",
            );
            expected.push(("view", "public.words"));
            assert_listed(&fixture, &expected);
        }
        let mut session = fixture.server.session("shop_owner", &password("shop"), "shop").unwrap();
        session.ask("CREATE DOMAIN pg_temp.hidden AS text CHECK (ms.holds(VALUE))").unwrap();
        // A temporary table alone counts as nothing.
        session.ask("CREATE TEMPORARY TABLE scratch (word pg_temp.hidden)").unwrap();
        assert_listed(&fixture, &expected);
        session.ask("ALTER TABLE public.orders ADD word pg_temp.hidden").unwrap();
        let schema = session.ask("SELECT pg_my_temp_schema()::regnamespace").unwrap().rows;
        let constraint = format!("hidden_check on {}.hidden", schema.trim());
        expected.push(("domain constraint", &constraint));
        assert_listed(&fixture, &expected);
        hand_over(&fixture);
        as_new_owner(&fixture, "INSERT INTO orders VALUES (1, 'a')");
        assert_eq!(fixture.query_in("shop", EXECUTED), "next_owner", "PostgreSQL {major}");
    }
}
