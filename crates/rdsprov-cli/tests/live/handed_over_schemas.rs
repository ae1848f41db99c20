//! A schema of another role gets the owner of the database as its owner, without the objects in it, which
//! the new owner of the schema executes as itself.

use rdsprov_testkit::versions;
use serde_json::Value;

use crate::fixture::expect;
use crate::handed_over_attacks::{EXECUTED, as_accomplice, as_owner, fixture};
use crate::handed_over_code::code_of;

const PLANTED: &str = "
    CREATE FUNCTION app.same(varchar, varchar) RETURNS bool LANGUAGE plpgsql AS $$BEGIN
      EXECUTE format('COMMENT ON TABLE public.orders IS %L', current_user); RETURN true; END$$;
    CREATE OPERATOR app.= (leftarg = varchar, rightarg = varchar, function = app.same);
    CREATE TABLE app.queue (id serial)";

#[test]
fn objects_in_a_schema_that_becomes_covered_are_listed() {
    for major in versions() {
        let fixture = fixture(major);
        as_owner(&fixture, "CREATE TABLE public.orders (word varchar)");
        fixture.query_in(
            "shop",
            "CREATE ROLE other; CREATE SCHEMA app AUTHORIZATION accomplice; GRANT CREATE, USAGE ON SCHEMA app TO other;
             CREATE SCHEMA elsewhere AUTHORIZATION accomplice; GRANT CREATE ON SCHEMA elsewhere TO other;
             GRANT accomplice TO platform_admin",
        );
        as_accomplice(&fixture, &format!("{PLANTED}; CREATE TABLE elsewhere.notes (id int)"));
        let definitions = fixture.definitions(
            r#"application_databases = {
                shop = { database_name = "shop", username = "shop_owner", schemas = ["public", "app"] }
            }"#,
        );
        expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 3);
        let plan = ["plan", "--env", "dev", "--allow", "changes_owner", "--format"];
        let json = fixture.run(&definitions, &[&plan[..], &["json"]].concat());
        let json: Value = serde_json::from_slice(&json.stdout).unwrap();
        let mut steps = json["transactions"].as_array().unwrap().iter();
        let steps = steps.find_map(|one| one["steps"].as_array()).unwrap();
        let step = steps.iter().find(|step| step["action"] == "alter_schema").unwrap();
        let listed = [
            ("operator", "app.=(character varying,character varying) of role accomplice"),
            ("function", "app.same(character varying,character varying) of role accomplice"),
            ("privilege", "CREATE of role other on schema app"),
            ("table", "app.queue of role accomplice"),
        ];
        let mut found = code_of(step);
        found.sort();
        let mut expected = listed.map(|(kind, name)| (kind.to_owned(), name.to_owned())).to_vec();
        expected.sort();
        assert_eq!(found, expected, "PostgreSQL {major}");
        assert!(step["hazards"].to_string().contains("hands_over_code"), "{step}");

        // What changes after the plan ends its transaction.
        let script = fixture.run(&definitions, &[&plan[..], &["sql"]].concat());
        let script = String::from_utf8(script.stdout).unwrap();
        for (attack, undo) in [
            (
                "CREATE FUNCTION app.later() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                "DROP FUNCTION app.later",
            ),
            (
                "GRANT CREATE ON SCHEMA app TO pg_monitor",
                "REVOKE CREATE ON SCHEMA app FROM pg_monitor",
            ),
        ] {
            as_accomplice(&fixture, attack);
            let error = fixture.server.script_as_master(&script).unwrap_err().to_string();
            assert!(
                error.contains("is not what was observed"),
                "PostgreSQL {major}, {attack}: {error}"
            );
            as_accomplice(&fixture, undo);
        }
        let tried = script.replace("\nCOMMIT;\n", "\nROLLBACK;\n");
        as_owner(&fixture, "INSERT INTO orders VALUES ('x')");
        fixture.server.script_as_master(&tried).unwrap();

        let allow = ["--allow", "changes_owner,hands_over_code"];
        expect(&fixture.run(&definitions, &[&["apply", "--env", "dev"][..], &allow].concat()), 0);
        let owner = "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'app'";
        assert_eq!(fixture.query_in("shop", owner), "shop_owner", "PostgreSQL {major}");
        // What this means: the new owner of the schema executes the operator as itself.
        as_owner(&fixture, "SET search_path = app, pg_catalog; SELECT 'x'::varchar = 'y'::varchar");
        assert_eq!(fixture.query_in("shop", EXECUTED), "shop_owner", "PostgreSQL {major}");
    }
}
