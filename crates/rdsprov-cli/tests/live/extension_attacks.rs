//! Attacks on the scripts of extensions that are not trusted: the owner of a database plants objects
//! that a script would execute as the administrator.

use rdsprov_testkit::{Extension, Server, versions};

use crate::exchanged::without_checks;
use crate::extensions::{administer_as_superuser, extensions_of, owner_with};
use crate::fixture::{Fixture, expect, password};

const APPLY: [&str; 5] = ["apply", "--env", "dev", "--allow", "revokes_access"];
const CHECK: [&str; 3] = ["check", "--env", "dev"];

/// The function is a better match for a script that calls `upper` with a varchar than the one of
/// PostgreSQL. The sequence shows that it was executed, even if the transaction is rolled back.
const PLANT: &str = "
    CREATE SEQUENCE caught; GRANT ALL ON SEQUENCE caught TO PUBLIC;
    CREATE FUNCTION upper(varchar) RETURNS text LANGUAGE plpgsql
      AS $$BEGIN PERFORM pg_catalog.nextval('public.caught'); RETURN 'caught'; END$$";
const WAS_EXECUTED: &str = "SELECT is_called FROM public.caught";

/// Installs an extension with a careless script, which calls a function without naming the schema, and
/// returns its name; `None` if the user of the test may not write to the directory of the server.
fn install(server: &Server, word: &str, control: &str) -> Option<String> {
    let name = format!("rdsprov_careless_{word}");
    let script = "CREATE TABLE part (name varchar); INSERT INTO part SELECT upper('a'::varchar);";
    Extension { name: &name, control, script }.install(server).ok()?;
    Some(name)
}

/// Runs a test with each version whose directory can be written to, and a superuser as administrator.
fn on_each_version(word: &str, control: &str, test: impl Fn(&Fixture, &str, &[&str])) {
    let mut ran = 0;
    for major in versions() {
        let fixture = Fixture::new(major);
        let Some(extension) = install(&fixture.server, word, control) else {
            continue;
        };
        let administrator = administer_as_superuser(&fixture);
        test(&fixture, &extension, &administrator);
        ran += 1;
    }
    assert_ne!(ran, 0, "no directory of a server is writable");
}

fn plant(fixture: &Fixture) {
    fixture.server.sql_as("shop_owner", &password("shop"), "shop", PLANT).unwrap();
    assert_eq!(fixture.query_in("shop", WAS_EXECUTED), "f");
}

/// The same script, executed by a careless superuser: the attack works.
fn control(fixture: &Fixture, statements: &str) {
    fixture.query_in("shop", statements);
    let major = fixture.server.major();
    assert_eq!(fixture.query_in("shop", WAS_EXECUTED), "t", "PostgreSQL {major}: no attack");
}

/// In an existing database, the extension goes to a schema of the administrator.
#[test]
fn planted_function_is_not_executed() {
    on_each_version("plain", "", |fixture, name, administrator| {
        let major = fixture.server.major();
        let apply = [&APPLY[..], administrator].concat();
        expect(&fixture.run(&owner_with(fixture, ""), &apply), 0);
        plant(fixture);
        let definitions = owner_with(fixture, &format!(r#"extensions = ["{name}"]"#));
        let text = expect(&fixture.run(&definitions, &apply), 0);
        let step = format!("create extension {name} in database shop, schema extensions");
        assert!(text.contains(&step), "PostgreSQL {major}: {text}");
        assert_eq!(fixture.query_in("shop", WAS_EXECUTED), "f", "PostgreSQL {major}");
        assert_eq!(extensions_of(fixture), format!("{name} root_admin extensions"));
        expect(&fixture.run(&definitions, &[&CHECK[..], administrator].concat()), 0);
        // Every role of the database can use it, and no other role can create objects there.
        let privileges =
            "SELECT concat_ws(' ', has_schema_privilege('shop_owner', 'extensions', 'USAGE'),
            has_schema_privilege('shop_owner', 'extensions', 'CREATE'))";
        assert_eq!(fixture.query_in("shop", privileges), "t f", "PostgreSQL {major}");
        let memberships =
            "SELECT count(*) FROM pg_auth_members WHERE member = 'root_admin'::regrole";
        assert_eq!(fixture.query(memberships), "0", "PostgreSQL {major}");
        control(fixture, &format!("DROP EXTENSION {name}; CREATE EXTENSION {name} SCHEMA public"));
    });
}

/// In a new database, the owner can connect before the extensions are created. So the transaction
/// creates `public` anew.
#[test]
fn owner_that_is_faster_than_the_extension() {
    on_each_version("plain", "", |fixture, name, administrator| {
        let major = fixture.server.major();
        let definitions = owner_with(fixture, &format!(r#"extensions = ["{name}"]"#));
        let plan = ["plan", "--env", "dev", "--format", "sql", "--with-verifiers"];
        let output = fixture.run(&definitions, &[&plan[..], administrator].concat());
        let script = String::from_utf8(output.stdout).unwrap();
        let (before, inside) = script.split_at(script.find("DROP SCHEMA \"public\"").unwrap());
        let (before, begin) = before.split_at(before.rfind("\nBEGIN").unwrap());
        let planted = format!(
            "{before}\nSET SESSION AUTHORIZATION shop_owner;\nSET search_path = public;\n{PLANT};
             RESET SESSION AUTHORIZATION;\n{begin}{inside}"
        );
        let error = fixture.server.script_as_superuser(&planted).unwrap_err().to_string();
        assert!(error.contains("cannot drop schema public"), "PostgreSQL {major}: {error}");
        assert_eq!(fixture.query_in("shop", WAS_EXECUTED), "f", "PostgreSQL {major}");

        // The database exists now, so the next run takes the schema of the administrator.
        expect(&fixture.run(&definitions, &[&APPLY[..], administrator].concat()), 0);
        assert_eq!(fixture.query_in("shop", WAS_EXECUTED), "f", "PostgreSQL {major}");
        assert_eq!(extensions_of(fixture), format!("{name} root_admin extensions"));
        control(fixture, &format!("DROP EXTENSION {name}; CREATE EXTENSION {name} SCHEMA public"));
    });
}

/// Without an attack, the extension of a new database is in `public`, whose owner, privileges and
/// comment are those of every other database.
#[test]
fn public_of_a_new_database_is_as_usual() {
    on_each_version("plain", "", |fixture, name, administrator| {
        let apply = [&APPLY[..], administrator].concat();
        let public = "SELECT concat_ws(' ', pg_get_userbyid(nspowner), nspacl, obj_description(oid, 'pg_namespace'))
            FROM pg_namespace WHERE nspname = 'public'";
        let definitions = owner_with(fixture, "");
        expect(&fixture.run(&definitions, &apply), 0);
        let usual = fixture.query_in("shop", public);
        fixture.query("DROP DATABASE shop");
        let definitions = owner_with(fixture, &format!(r#"extensions = ["{name}"]"#));
        let text = expect(&fixture.run(&definitions, &apply), 0);
        assert!(text.contains("create schema public anew"), "{text}");
        assert_eq!(extensions_of(fixture), format!("{name} root_admin public"));
        assert_eq!(fixture.query_in("shop", public), usual);
        expect(&fixture.run(&definitions, &[&CHECK[..], administrator].concat()), 0);
    });
}

/// The schemas of the required extensions are in the `search_path` of the script, too.
#[test]
fn planted_function_beside_a_required_extension() {
    on_each_version("required", "requires = 'cube'", |fixture, name, administrator| {
        let major = fixture.server.major();
        let apply = [&APPLY[..], administrator].concat();
        expect(&fixture.run(&owner_with(fixture, r#"extensions = ["cube"]"#), &apply), 0);
        plant(fixture);
        let definitions = owner_with(fixture, &format!(r#"extensions = ["cube", "{name}"]"#));
        let text = expect(&fixture.run(&definitions, &apply), 3);
        for says in [
            format!(
                "refused[extension-schema-shared] shop: extension {name} in database shop is not trusted"
            ),
            "can create objects in schema public, which contains extension cube".to_owned(),
            "hint: review the functions, operators, casts and types in schema public".to_owned(),
        ] {
            assert!(text.contains(&says), "PostgreSQL {major}: {says} is not in {text}");
        }
        assert_eq!(fixture.query_in("shop", WAS_EXECUTED), "f", "PostgreSQL {major}");
        control(
            fixture,
            &format!("CREATE SCHEMA elsewhere; CREATE EXTENSION {name} SCHEMA elsewhere"),
        );
        // If the same plan creates the required extension, both are in the same schema.
        fixture.query_in(
            "shop",
            "DROP EXTENSION cube CASCADE; DROP SEQUENCE caught; DROP FUNCTION upper(varchar)",
        );
        plant(fixture);
        expect(&fixture.run(&definitions, &apply), 0);
        assert_eq!(fixture.query_in("shop", WAS_EXECUTED), "f", "PostgreSQL {major}");
        let both = format!("cube root_admin extensions, {name} root_admin extensions");
        assert_eq!(extensions_of(fixture), both, "PostgreSQL {major}");
    });
}

/// The owner prepares the schemas in which the administrator creates extensions.
#[test]
fn schema_that_the_owner_prepares() {
    for (word, control_line, schema) in
        [("plain", "", "extensions"), ("fixed", "schema = 'careless'", "careless")]
    {
        on_each_version(word, control_line, |fixture, name, administrator| {
            let major = fixture.server.major();
            let apply = [&APPLY[..], administrator].concat();
            expect(&fixture.run(&owner_with(fixture, ""), &apply), 0);
            let squat = format!("CREATE SCHEMA {schema}; {PLANT}");
            let planted = squat.replace("upper(varchar)", &format!("{schema}.upper(varchar)"));
            fixture.server.sql_as("shop_owner", &password("shop"), "shop", &planted).unwrap();
            let definitions = owner_with(fixture, &format!(r#"extensions = ["{name}"]"#));
            let text = expect(&fixture.run(&definitions, &apply), 3);
            let says = format!("role shop_owner can create objects in schema {schema}");
            assert!(text.contains(&says), "PostgreSQL {major}: {says} is not in {text}");
            let hint = format!("hint: rename schema {schema}, or drop it");
            assert!(text.contains(&hint), "PostgreSQL {major}: {hint} is not in {text}");

            // Objects of other roles stay in the schema when the administrator gets it.
            fixture.query_in("shop", &format!("ALTER SCHEMA {schema} OWNER TO root_admin"));
            let text = expect(&fixture.run(&definitions, &apply), 1);
            let says = format!(
                "could execute the function {schema}.upper(character varying) of role shop_owner"
            );
            assert!(text.contains(&says), "PostgreSQL {major}: {says} is not in {text}");
            // A predefined role has no entry in pg_shdepend.
            fixture.query_in(
                "shop",
                &format!("ALTER FUNCTION {schema}.upper(varchar) OWNER TO pg_monitor"),
            );
            let text = expect(&fixture.run(&definitions, &apply), 1);
            let says = format!(
                "could execute the function {schema}.upper(character varying) of role pg_monitor"
            );
            assert!(text.contains(&says), "PostgreSQL {major}: {says} is not in {text}");
            assert_eq!(fixture.query_in("shop", WAS_EXECUTED), "f", "PostgreSQL {major}");
            control(fixture, &format!("CREATE EXTENSION {name} SCHEMA {schema}"));
        });
    }
}

/// An owner with `CREATEDB` replaces its database after the plan was made. Its schema `extensions` is
/// empty, so that it contains no object of another role.
#[test]
fn database_that_the_owner_replaces() {
    on_each_version("plain", "", |fixture, name, administrator| {
        let major = fixture.server.major();
        let second = install(&fixture.server, "required", "requires = 'cube'").unwrap();
        // The extension of an existing database is in a schema of the administrator.
        let with_extension = format!(r#"createdb = true, extensions = ["{name}"]"#);
        for keys in ["createdb = true", &with_extension] {
            let definitions = owner_with(fixture, keys);
            expect(&fixture.run(&definitions, &[&APPLY[..], administrator].concat()), 0);
        }
        let keys = format!(r#"createdb = true, extensions = ["{name}", "{second}"]"#);
        let plan = ["plan", "--env", "dev", "--format", "sql", "--with-verifiers"];
        let both = owner_with(fixture, &keys);
        let output = fixture.run(&both, &[&plan[..], administrator].concat());
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("CREATE EXTENSION"), "{script}");

        let as_owner = |database: &str, sql: &str| {
            fixture.server.sql_as("shop_owner", &password("shop"), database, sql).unwrap();
        };
        as_owner("postgres", "DROP DATABASE shop");
        as_owner("postgres", "CREATE DATABASE shop");
        as_owner(
            "shop",
            "CREATE SCHEMA extensions; CREATE SCHEMA evil; CREATE EXTENSION cube SCHEMA evil",
        );
        let error = fixture.server.script_as_superuser(&script).unwrap_err().to_string();
        let replaced = "database shop is not the database that was observed";
        assert!(error.contains(replaced), "PostgreSQL {major}: {error}");
        // Without this check, the guard of the extension finds the schema.
        let script = without_checks(&script);
        let error = fixture.server.script_as_superuser(&script).unwrap_err().to_string();
        let says = "schema extensions does not exist, or other roles can create objects in it";
        assert!(error.contains(says), "PostgreSQL {major}: {error}");
        assert_eq!(extensions_of(fixture), "cube shop_owner evil", "PostgreSQL {major}");
        // The guard finds a schema that does not exist, too.
        as_owner("shop", "DROP SCHEMA extensions");
        let error = fixture.server.script_as_superuser(&script).unwrap_err().to_string();
        assert!(error.contains(says), "PostgreSQL {major}: {error}");
    });
}

/// A plan creates an extension in `template1` only, to learn whether the server allows it. The
/// sequence would show an execution in the database of the application, although it is rolled back.
#[test]
fn plan_executes_no_script_in_the_database_of_an_application() {
    on_each_version("plain", "", |fixture, name, administrator| {
        let major = fixture.server.major();
        expect(&fixture.run(&owner_with(fixture, ""), &APPLY), 0);
        plant(fixture);
        // Wherever the script is executed in this database, it finds the function.
        fixture.query("ALTER DATABASE shop SET search_path = public");
        let definitions = owner_with(fixture, &format!(r#"extensions = ["{name}"]"#));
        let catalog_state = fixture.catalog_state();
        let plan = ["plan", "--env", "dev"];
        expect(&fixture.run(&definitions, &[&plan[..], administrator].concat()), 0);
        // As an administrator that may not create it.
        expect(&fixture.run(&definitions, &plan), 3);
        assert_eq!(fixture.query_in("shop", WAS_EXECUTED), "f", "PostgreSQL {major}");
        assert_eq!(fixture.catalog_state(), catalog_state);
        assert_eq!(extensions_of(fixture), "", "PostgreSQL {major}");
        control(fixture, &format!("BEGIN; CREATE EXTENSION {name} SCHEMA public; ROLLBACK"));
    });
}

/// The template has a required extension in a schema in which other roles can create objects: the script
/// that a plan tries there would find them.
#[test]
fn plan_executes_no_script_among_objects_in_the_template() {
    on_each_version("required", "requires = 'cube'", |fixture, name, administrator| {
        let major = fixture.server.major();
        expect(&fixture.run(&owner_with(fixture, ""), &[&APPLY[..], administrator].concat()), 0);
        fixture.query_in(
            "template1",
            "CREATE EXTENSION cube SCHEMA public; GRANT CREATE ON SCHEMA public TO PUBLIC",
        );
        fixture.server.sql_as("shop_owner", &password("shop"), "template1", PLANT).unwrap();
        let definitions = owner_with(fixture, &format!(r#"extensions = ["{name}"]"#));
        let plan = [&["plan", "--env", "dev"], administrator].concat();
        let text = expect(&fixture.run(&definitions, &plan), 3);
        let says = "in template1, other roles have objects or may create them in schema public, which \
                    the script of an extension would use (42501)";
        assert!(text.contains(says), "PostgreSQL {major}: {text}");
        assert_eq!(fixture.query_in("template1", WAS_EXECUTED), "f", "PostgreSQL {major}");
        // The objects are enough, even if PUBLIC can create no others.
        fixture.query_in("template1", "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
        expect(&fixture.run(&definitions, &plan), 3);
        assert_eq!(fixture.query_in("template1", WAS_EXECUTED), "f", "PostgreSQL {major}");
        fixture.query_in(
            "template1",
            &format!(
                "BEGIN; SET search_path TO information_schema; CREATE EXTENSION {name}; ROLLBACK"
            ),
        );
        assert_eq!(
            fixture.query_in("template1", WAS_EXECUTED),
            "t",
            "PostgreSQL {major}: no attack"
        );
        // Without the objects, the script is tried, although another extension is installed.
        fixture.query_in("template1", "DROP OWNED BY shop_owner");
        expect(&fixture.run(&definitions, &plan), 0);
    });
}
