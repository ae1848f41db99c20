//! The code that a new owner gets with the objects of the old one.

use rdsprov_testkit::versions;
use serde_json::Value;

use crate::fixture::{Fixture, expect, password};

const PLANTED: &str = "
    CREATE FUNCTION plain(int DEFAULT 1) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
    CREATE FUNCTION holds(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';
    CREATE FUNCTION joins(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
    CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE FUNCTION planted() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1';
    CREATE PROCEDURE planted_too() SECURITY DEFINER LANGUAGE sql AS 'SELECT 1';
    CREATE AGGREGATE gathered(int) (sfunc = joins, stype = int);
    CREATE OPERATOR public.<+> (function = joins, leftarg = int, rightarg = int);
    CREATE DOMAIN checked AS int CHECK (holds(VALUE));
    CREATE DOMAIN filled AS int DEFAULT plain();
    CREATE TYPE pair AS (a int, b int);
    CREATE FUNCTION of_pair(pair) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
    CREATE CAST (pair AS int) WITH FUNCTION of_pair(pair) AS ASSIGNMENT;
    CREATE TABLE t (id int DEFAULT 1, day date DEFAULT now(), price int DEFAULT plain(),
      twice int GENERATED ALWAYS AS (plain(1)) STORED, word text, CHECK (id > 0));
    ALTER TABLE t ADD CONSTRAINT tested CHECK (holds(id));
    ALTER TABLE t ADD CONSTRAINT tested_by_operator CHECK ((id OPERATOR(public.<+>) 1) > 0);
    ALTER TABLE t ADD CONSTRAINT apart EXCLUDE USING btree ((plain(id)) WITH =);
    CREATE INDEX computed ON t ((id + plain()));
    CREATE INDEX harmless ON t (lower(word));
    CREATE STATISTICS measured ON plain(id), id FROM t;
    CREATE POLICY guarded ON t USING (holds(id));
    CREATE POLICY harmless_policy ON t USING (id > 0);
    CREATE TRIGGER falls BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION fires();
    CREATE RULE also AS ON INSERT TO t DO ALSO SELECT 1;
    CREATE VIEW calls AS SELECT plain(id) FROM t;
    CREATE VIEW harmless_view AS SELECT id, now() FROM t;
    CREATE MATERIALIZED VIEW stored AS SELECT plain(id) FROM t;
    CREATE TABLE parted (id int) PARTITION BY LIST (plain(id));
    CREATE VIEW looks AS SELECT * FROM secrets";

/// Each kind of code once: kind and name.
const CODE: [(&str, &str); 22] = [
    ("function", "public.planted()"),
    ("procedure", "public.planted_too()"),
    ("aggregate", "public.gathered(integer)"),
    ("operator", "public.<+>(integer,integer)"),
    ("domain constraint", "checked_check on public.checked"),
    ("type", "public.filled"),
    ("cast", "(public.pair AS integer)"),
    ("default value", "for public.t.price"),
    ("default value", "for public.t.twice"),
    ("table constraint", "tested on public.t"),
    ("table constraint", "tested_by_operator on public.t"),
    ("index", "public.apart"),
    ("index", "public.computed"),
    ("statistics object", "public.measured"),
    ("policy", "guarded on public.t"),
    ("trigger", "falls on public.t"),
    ("rule", "also on public.t"),
    ("view", "public.calls"),
    ("view", "public.looks"),
    ("materialized view", "public.stored"),
    ("table", "public.parted"),
    ("event trigger", "watches"),
];

pub fn definitions(fixture: &Fixture, owner: &str) -> String {
    fixture.definitions(&format!(
        "application_databases = {{\n  {owner} = {{ database_name = \"shop\", username = \"{owner}_owner\" }}\n}}\n"
    ))
}

/// Returns the step that transfers objects, from the plan in JSON.
pub fn transfer(fixture: &Fixture, definitions: &str) -> Value {
    let plan = ["plan", "--env", "dev", "--allow", "changes_owner", "--format", "json"];
    let output = fixture.run(definitions, &plan);
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let transactions = plan["transactions"].as_array().unwrap();
    let mut steps = transactions.iter().flat_map(|one| one["steps"].as_array().unwrap());
    let found = steps.find(|step| step["action"] == "reassign_owned").cloned();
    found.unwrap_or_else(|| panic!("no transfer in {plan}"))
}

pub fn code_of(step: &Value) -> Vec<(String, String)> {
    let code = step["code"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    code.iter().map(|one| (text(one, "kind"), text(one, "name"))).collect()
}

/// The step lists each object that executes code of the old owner, and nothing else. Its summary
/// counts them.
#[test]
fn each_kind_of_code_is_listed() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        fixture.app("dev", "next", "next_owner");
        let apply = ["apply", "--env", "dev"];
        expect(&fixture.run(&definitions(&fixture, "shop"), &apply), 0);
        // A view can name a relation that its owner may not read.
        fixture.query_in("shop", "CREATE TABLE secrets (a int)");
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", PLANTED).unwrap();
        // Only a superuser can own an event trigger.
        fixture.query_in(
            "shop",
            "ALTER ROLE shop_owner SUPERUSER;
             CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
             CREATE EVENT TRIGGER watches ON ddl_command_end EXECUTE FUNCTION watch();
             ALTER EVENT TRIGGER watches OWNER TO shop_owner; ALTER ROLE shop_owner NOSUPERUSER",
        );
        let step = transfer(&fixture, &definitions(&fixture, "next"));
        let mut expected = CODE.map(|(kind, name)| (kind.to_owned(), name.to_owned())).to_vec();
        expected.sort();
        let mut found = code_of(&step);
        found.sort();
        assert_eq!(found, expected, "PostgreSQL {major}");
        let hazards = step["hazards"].to_string();
        assert!(hazards.contains("hands_over_code"), "PostgreSQL {major}: {hazards}");
        let summary = step["summary"].as_str().unwrap();
        for counted in ["1 function", "2 default values", "2 indexes", "1 policy", "2 views"] {
            assert!(summary.contains(counted), "PostgreSQL {major}: {counted}: {summary}");
        }
        let schemas: Vec<&Value> =
            step["code"].as_array().unwrap().iter().map(|one| &one["schema"]).collect();
        assert!(schemas.iter().filter(|schema| schema.is_null()).count() == 2, "{schemas:?}");
    }
}

/// The administrator wrote its own code, but other roles can add triggers to its tables.
#[test]
fn trigger_on_a_table_of_the_administrator_is_listed() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        let apply = ["apply", "--env", "dev"];
        let definitions = definitions(&fixture, "shop");
        expect(&fixture.run(&definitions, &apply), 0);
        // As after `pg_restore --no-owner`.
        fixture.query_in(
            "shop",
            "GRANT CREATE ON SCHEMA public TO platform_admin; SET SESSION AUTHORIZATION platform_admin;
             CREATE FUNCTION own() RETURNS int IMMUTABLE SECURITY DEFINER LANGUAGE sql AS 'SELECT 1';
             CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TABLE t (id int DEFAULT own()); GRANT TRIGGER ON t TO shop_owner;
             CREATE TRIGGER harmless BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION fires();
             RESET SESSION AUTHORIZATION",
        );
        assert_eq!(code_of(&transfer(&fixture, &definitions)), [], "PostgreSQL {major}");
        let planted = "
            CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
            CREATE TRIGGER falls BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION planted()";
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", planted).unwrap();
        let step = transfer(&fixture, &definitions);
        let trigger = ("trigger".to_owned(), "falls on public.t".to_owned());
        assert_eq!(code_of(&step), [trigger], "PostgreSQL {major}");
        assert!(step["hazards"].to_string().contains("hands_over_code"), "{step}");
    }
}

/// An undeclared role keeps what the old owner has granted to it. With some privileges, it can add code
/// that the new owner executes.
#[test]
fn privileges_of_undeclared_roles_are_listed() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        fixture.app("dev", "next", "next_owner");
        expect(&fixture.run(&definitions(&fixture, "shop"), &["apply", "--env", "dev"]), 0);
        fixture.query("CREATE ROLE accomplice LOGIN PASSWORD 'Known-accomplice'");
        let as_owner = |sql: &str| {
            fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql).unwrap();
        };
        as_owner(
            "CREATE TABLE orders (id int); CREATE TABLE prices (id int); CREATE SCHEMA extra;
             GRANT CONNECT ON DATABASE shop TO accomplice; GRANT USAGE ON SCHEMA extra, public TO accomplice;
             GRANT SELECT, INSERT ON orders TO accomplice",
        );
        let next = definitions(&fixture, "next");
        let step = transfer(&fixture, &next);
        assert_eq!(code_of(&step), [], "PostgreSQL {major}");
        assert!(!step["hazards"].to_string().contains("hands_over_code"), "{step}");

        as_owner(
            "GRANT TRIGGER ON orders, prices TO accomplice; GRANT CREATE ON SCHEMA extra TO accomplice;
             GRANT REFERENCES ON prices TO accomplice; GRANT REFERENCES (id) ON orders TO accomplice;
             GRANT CREATE ON DATABASE shop TO accomplice",
        );
        let step = transfer(&fixture, &next);
        let kept = [
            "CREATE of role accomplice on schema extra",
            "CREATE of role accomplice on the database",
            "REFERENCES of role accomplice on public.orders and 1 more",
            "TRIGGER of role accomplice on public.orders and 1 more",
        ];
        let kept = kept.map(|name| ("privilege".to_owned(), name.to_owned()));
        assert_eq!(code_of(&step), kept, "PostgreSQL {major}");
        assert!(step["hazards"].to_string().contains("hands_over_code"), "{step}");
        assert!(step["summary"].as_str().unwrap().contains("4 privileges"), "{step}");

        // What this means: the new owner executes what the role has added.
        let apply = ["apply", "--env", "dev", "--allow", "changes_owner,hands_over_code"];
        expect(&fixture.run(&next, &apply), 0);
        let planted = "
            CREATE FUNCTION extra.fires() RETURNS trigger LANGUAGE plpgsql AS
              'BEGIN GRANT ALL ON public.prices TO accomplice; RETURN NEW; END';
            CREATE TRIGGER falls BEFORE INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION extra.fires()";
        fixture.server.sql_as("accomplice", "Known-accomplice", "shop", planted).unwrap();
        let insert = "INSERT INTO orders VALUES (1)";
        fixture.server.sql_as("next_owner", &password("next"), "shop", insert).unwrap();
        let reads = "SELECT has_table_privilege('accomplice', 'public.prices', 'SELECT')";
        assert_eq!(fixture.query_in("shop", reads), "t");
    }
}
