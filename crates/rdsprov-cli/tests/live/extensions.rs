//! Extensions: the role that creates them, their schema, their dependencies, and
//! grants on their objects.

use std::os::unix::fs::PermissionsExt as _;

use rdsprov_testkit::{Server, versions};
use tempfile::TempDir;

use crate::fixture::{Fixture, expect};

const APPLY: [&str; 7] = ["apply", "--env", "dev", "--allow", "revokes_access", "--build-id", "7"];
const CHECK: [&str; 3] = ["check", "--env", "dev"];

/// Fake extensions by name, with the lines of their control file and their script.
type Fakes<'a> = [(&'a str, &'a str, &'a str)];

/// Starts a server with these extensions. Before PostgreSQL 18, only its own
/// directory can contain them.
fn fixture_with(fakes: &Fakes<'_>) -> Option<(Fixture, TempDir)> {
    let major = versions().into_iter().find(|major| *major >= 18)?;
    let directory = TempDir::new().unwrap();
    let readable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), readable).unwrap();
    let extensions = directory.path().join("extension");
    std::fs::create_dir(&extensions).unwrap();
    let write = |name: String, text: &str| std::fs::write(extensions.join(name), text).unwrap();
    for (name, control, script) in fakes {
        write(format!("{name}.control"), &format!("default_version = '1'\n{control}\n"));
        write(format!("{name}--1.sql"), script);
    }
    let path = directory.path().display();
    let settings = format!("extension_control_path = '{path}:$system'");
    let server = Server::start_with_settings(major, &settings).unwrap();
    Some((Fixture::on(server, None), directory))
}

pub(crate) fn owner_with(fixture: &Fixture, rest: &str) -> String {
    fixture.app("dev", "shop", "shop_owner");
    fixture.definitions(&format!(
        r#"application_databases = {{
             shop = {{ database_name = "shop", username = "shop_owner", {rest} }}
           }}"#
    ))
}

/// Returns the extensions with their owners and schemas.
pub(crate) fn extensions_of(fixture: &Fixture) -> String {
    fixture.query_in(
        "shop",
        "SELECT string_agg(extname || ' ' || pg_get_userbyid(extowner) || ' ' || extnamespace::regnamespace,
           ', ' ORDER BY extname) FROM pg_extension WHERE extname <> 'plpgsql'",
    )
}

/// Administers as a superuser, as on a self-managed server.
pub(crate) fn administer_as_superuser(fixture: &Fixture) -> [&'static str; 2] {
    fixture.query("CREATE ROLE root_admin SUPERUSER LOGIN PASSWORD 'Canary-root'");
    let secret = fixture.server.admin_secret();
    let secret = secret
        .replace("platform_admin", "root_admin")
        .replace(fixture.server.master_password(), "Canary-root");
    fixture.secret("root", &secret);
    ["--admin-secret", "root"]
}

/// Default privileges on the tables of an extension remain within the level. All others are revoked,
/// whether or not the extension's script recorded them: the owner of the tables could grant the same.
#[test]
fn grants_on_tables_of_an_extension() {
    let script = "CREATE TABLE part_config (id int, note text); CREATE SEQUENCE part_number;
        CREATE TABLE part_log (id int, note text); GRANT SELECT ON part_log TO PUBLIC;
        CREATE TABLE part_notes (id int, note text); GRANT SELECT (note) ON part_notes TO PUBLIC;";
    let Some((fixture, _directory)) = fixture_with(&[("parts", "superuser = false", script)])
    else {
        return;
    };
    fixture.app("dev", "shop", "shop_owner");
    fixture.app("dev", "workers", "shop_worker");
    let definitions = |level: &str| {
        fixture.definitions(&format!(
            r#"application_databases = {{
                 shop    = {{ database_name = "shop", username = "shop_owner", extensions = ["parts"] }}
                 workers = {{ database_name = "shop", username = "shop_worker", access_level = "{level}" }}
               }}"#
        ))
    };
    let acls = || {
        fixture.query_in(
            "shop",
            "SELECT relname || ' ' || relacl::text FROM pg_class WHERE relname ~ '^part_'
             UNION ALL SELECT attname || ' ' || attacl::text FROM pg_attribute
             WHERE attrelid::regclass::text ~ '^part_' AND attacl IS NOT NULL ORDER BY 1",
        )
    };
    let editor = definitions("editor");
    expect(&fixture.run(&editor, &APPLY), 0);
    expect(&fixture.run(&editor, &CHECK), 0);
    let before = acls();
    assert!(
        before.contains("part_log {shop_owner=arwdDxtm/shop_owner,shop_worker=arwd/shop_owner}")
            && !before.contains(",=r/"),
        "{before}"
    );

    // Manual changes.
    fixture.query_in(
        "shop",
        "GRANT INSERT, DELETE ON part_log TO PUBLIC; GRANT SELECT ON part_config TO PUBLIC;
         GRANT UPDATE (note), SELECT (id) ON part_notes TO PUBLIC; GRANT TRUNCATE ON part_log TO shop_worker",
    );
    expect(&fixture.run(&editor, &CHECK), 2);
    expect(&fixture.run(&editor, &APPLY), 0);
    assert_eq!(acls(), before);

    let reader = definitions("reader");
    expect(&fixture.run(&reader, &APPLY), 0);
    expect(&fixture.run(&reader, &CHECK), 0);
    assert_eq!(
        acls(),
        before
            .replace("shop_worker=arwd", "shop_worker=r")
            .replace("shop_worker=rU", "shop_worker=r")
    );

    // Grants to undeclared roles remain. The access of managed roles beyond PUBLIC's is revoked.
    fixture.query_in(
        "shop",
        "ALTER TABLE part_log OWNER TO rdsadmin; GRANT SELECT, INSERT ON part_log TO PUBLIC;
         ALTER TABLE part_config OWNER TO rdsadmin",
    );
    let output_text = expect(&fixture.run(&reader, &APPLY), 3);
    let of_worker = |table: &str| {
        output_text
            .contains(&format!(r#"REVOKE SELECT ON TABLE "public"."{table}" FROM "shop_worker""#))
    };
    assert!(of_worker("part_config") && !of_worker("part_log"), "{output_text}");
    assert!(
        output_text.contains("note[revocation-without-effect]: ")
            && !output_text.contains("from PUBLIC"),
        "{output_text}"
    );
}

/// An extension is created after the extensions that it requires, whatever their names.
#[test]
fn extension_is_created_after_its_requirements() {
    let base = ("zbase", "trusted = true", "CREATE TYPE base AS (a int);");
    let front = ("afront", "trusted = true\nrequires = 'zbase'", "");
    let top = ("top", "trusted = true\nrequires = 'afront, untrusted'", "");
    let untrusted = ("untrusted", "", "");
    let lost = ("lost", "trusted = true\nrequires = 'nowhere'", "");
    let Some((fixture, _directory)) = fixture_with(&[base, front, top, untrusted, lost]) else {
        return;
    };
    let definitions = owner_with(&fixture, r#"extensions = ["afront", "zbase"]"#);
    expect(&fixture.run(&definitions, &APPLY), 0);
    assert_eq!(extensions_of(&fixture), "afront shop_owner public, zbase shop_owner public");

    // A trusted extension that requires one that is not trusted.
    let definitions = owner_with(&fixture, r#"extensions = ["top"]"#);
    let output_text = expect(&fixture.run(&definitions, &APPLY), 3);
    assert!(
        output_text.contains(
            "refused[extension-not-trusted] shop: extension untrusted, which top requires,"
        ),
        "{output_text}"
    );
    assert!(
        output_text
            .contains(r#"CREATE SCHEMA "extensions"; GRANT USAGE ON SCHEMA "extensions" TO PUBLIC; CREATE EXTENSION "untrusted" SCHEMA "extensions" CASCADE"#),
        "{output_text}"
    );
    let administer_as_superuser = administer_as_superuser(&fixture);
    expect(&fixture.run(&definitions, &[APPLY.as_slice(), &administer_as_superuser].concat()), 0);
    assert_eq!(
        extensions_of(&fixture),
        "afront shop_owner public, top shop_owner public, untrusted root_admin extensions, zbase shop_owner public"
    );
    expect(&fixture.run(&definitions, &CHECK), 0);

    let definitions = owner_with(&fixture, r#"extensions = ["lost"]"#);
    let output_text = expect(&fixture.run(&definitions, &APPLY), 3);
    assert!(
        output_text.contains(
            "refused[extension-unavailable] shop: extension nowhere, which lost requires,"
        ),
        "{output_text}"
    );
}

/// An extension in the administrator's database does not prove who may create it in another one.
#[test]
fn extension_in_the_administrators_database() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.query_in("platform", "CREATE EXTENSION pageinspect");
        let with = |fixture: &Fixture| owner_with(fixture, r#"extensions = ["pageinspect"]"#);
        let refused = || {
            let catalog_state = fixture.catalog_state();
            let output_text = expect(&fixture.run(&with(&fixture), &APPLY), 3);
            let reason = r#"permission denied to create extension "pageinspect""#;
            assert!(output_text.contains(reason), "PostgreSQL {major}: {output_text}");
            assert_eq!(fixture.catalog_state(), catalog_state);
            output_text
        };
        assert!(refused().contains("remove it from `extensions`, apply the rest, then run"));
        expect(&fixture.run(&owner_with(&fixture, ""), &APPLY), 0);
        let manual_fix = r#"CREATE SCHEMA "extensions"; GRANT USAGE ON SCHEMA "extensions" TO PUBLIC; CREATE EXTENSION "pageinspect" SCHEMA "extensions" CASCADE"#;
        assert!(refused().contains(manual_fix));
        fixture.query_in("shop", manual_fix);
        expect(&fixture.run(&with(&fixture), &CHECK), 0);
    }
}

/// Without schema `public`, extensions are created in a schema of the owner's entry, even if the
/// same plan creates it.
#[test]
fn extension_without_schema_public() {
    for major in versions() {
        let fixture = Fixture::new(major);
        let administer_as_superuser = administer_as_superuser(&fixture);
        let apply = [APPLY.as_slice(), &administer_as_superuser].concat();
        fixture.query_in("template1", "DROP SCHEMA public");
        let two = r#"schemas = ["app"], extensions = ["dblink", "pg_trgm"]"#;
        let definitions = owner_with(&fixture, two);
        expect(&fixture.run(&definitions, &apply), 0);
        assert_eq!(
            extensions_of(&fixture),
            "dblink root_admin app, pg_trgm shop_owner app",
            "{major}"
        );
        let three = r#"schemas = ["app"], extensions = ["dblink", "pageinspect", "pg_trgm"]"#;
        expect(&fixture.run(&owner_with(&fixture, three), &apply), 0);
        let check = [CHECK.as_slice(), &administer_as_superuser].concat();
        expect(&fixture.run(&owner_with(&fixture, three), &check), 0);
        let none = owner_with(&fixture, r#"schemas = [], extensions = ["hstore"]"#);
        let output_text = expect(&fixture.run(&none, &apply), 3);
        assert!(
            output_text.contains("refused[extension-without-schema] shop: extension hstore "),
            "{output_text}"
        );
    }
}

/// Settings of the database or the administrator have no effect: neither on the schemas of
/// extensions nor on the meaning of names and warnings.
#[test]
fn extensions_ignore_settings() {
    for major in versions() {
        let fixture = Fixture::new(major);
        let both = r#"schemas = ["app", "public"]"#;
        expect(&fixture.run(&owner_with(&fixture, both), &APPLY), 0);
        fixture.query("ALTER DATABASE shop SET search_path = 'app'");
        // A schema of PUBLIC could redirect the administrator through search_path.
        fixture.query_in(
            "shop",
            "CREATE SCHEMA decoy; GRANT USAGE ON SCHEMA decoy TO PUBLIC;
             CREATE FUNCTION decoy.pg_get_userbyid(oid) RETURNS name LANGUAGE sql AS $$SELECT 'decoy'::name$$",
        );
        let one = format!(r#"{both}, extensions = ["pg_trgm"]"#);
        expect(&fixture.run(&owner_with(&fixture, &one), &APPLY), 0);
        fixture.query("ALTER ROLE platform_admin SET search_path = 'decoy', 'pg_catalog'");
        fixture.query("ALTER ROLE platform_admin SET client_min_messages = 'error'");
        let two = format!(r#"{both}, extensions = ["hstore", "pg_trgm"]"#);
        expect(&fixture.run(&owner_with(&fixture, &two), &APPLY), 0);
        assert_eq!(
            extensions_of(&fixture),
            "hstore shop_owner public, pg_trgm shop_owner public",
            "{major}"
        );
        expect(&fixture.run(&owner_with(&fixture, &two), &CHECK), 0);
    }
}

/// RDS creates extensions of `rds.allowed_extensions` only, also as dependencies.
#[test]
fn extensions_that_rds_allows() {
    for major in versions() {
        let settings = "rds.allowed_extensions = 'hstore, earthdistance'";
        let server = Server::start_with_settings(major, settings).unwrap();
        let fixture = Fixture::on(server, None);
        let all = r#"extensions = ["earthdistance", "hstore", "pg_trgm"]"#;
        let output_text = expect(&fixture.run(&owner_with(&fixture, all), &APPLY), 3);
        for says in ["extension cube, which earthdistance requires,", "extension pg_trgm"] {
            let says = format!("refused[extension-not-allowed] shop: {says} in database shop ");
            assert!(
                output_text.contains(&says),
                "PostgreSQL {major}: {says} is not in {output_text}"
            );
        }
        assert!(!output_text.contains("shop: extension hstore "), "{output_text}");
        let one = owner_with(&fixture, r#"extensions = ["hstore"]"#);
        expect(&fixture.run(&one, &APPLY), 0);
        fixture.query("ALTER SYSTEM SET rds.allowed_extensions = '*'");
        fixture.query("SELECT pg_reload_conf()");
        // An extension that is not trusted, after its dependency that the owner would have created.
        let output_text = expect(&fixture.run(&owner_with(&fixture, all), &APPLY), 3);
        let reason = r#"permission denied to create extension "earthdistance""#;
        assert!(output_text.contains(reason), "PostgreSQL {major}: {output_text}");
        let administer_as_superuser = administer_as_superuser(&fixture);
        expect(
            &fixture.run(
                &owner_with(&fixture, all),
                &[APPLY.as_slice(), &administer_as_superuser].concat(),
            ),
            0,
        );
        assert!(
            extensions_of(&fixture)
                .starts_with("cube root_admin extensions, earthdistance root_admin extensions")
        );
    }
}

/// The owner of a database owns its trusted extensions, and can add its own objects to them. PostgreSQL
/// then records the privileges of that moment as if the extension had granted them.
#[test]
fn objects_that_the_owner_adds_to_an_extension() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        fixture.app("dev", "reports", "shop_reader");
        let definitions = fixture.definitions(
            r#"application_databases = {
                 shop    = { database_name = "shop", username = "shop_owner", extensions = ["citext"], schemas = ["public", "app"] }
                 reports = { database_name = "shop", username = "shop_reader", access_level = "reader", schemas = ["app"] }
               }"#,
        );
        expect(&fixture.run(&definitions, &APPLY), 0);
        expect(&fixture.run(&definitions, &CHECK), 0);
        let password = crate::fixture::password("shop");
        let attack = "
            CREATE TABLE app.leak (id int, note text); GRANT SELECT, INSERT ON app.leak TO PUBLIC;
            CREATE TABLE app.notes (id int, note text); GRANT SELECT (note) ON app.notes TO PUBLIC;
            CREATE SEQUENCE app.numbers; GRANT USAGE ON SEQUENCE app.numbers TO PUBLIC;
            CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
            GRANT EXECUTE ON FUNCTION app.f() TO shop_reader WITH GRANT OPTION;
            CREATE TYPE app.t AS (a int); GRANT USAGE ON TYPE app.t TO shop_reader WITH GRANT OPTION;
            GRANT CREATE ON SCHEMA app TO shop_reader; GRANT USAGE ON SCHEMA app TO PUBLIC;
            ALTER EXTENSION citext ADD TABLE app.leak; ALTER EXTENSION citext ADD TABLE app.notes;
            ALTER EXTENSION citext ADD SEQUENCE app.numbers;
            ALTER EXTENSION citext ADD FUNCTION app.f(); ALTER EXTENSION citext ADD TYPE app.t;
            ALTER EXTENSION citext ADD SCHEMA app";
        fixture.server.sql_as("shop_owner", &password, "shop", attack).unwrap();
        let leaks = "SELECT concat_ws(' ',
            has_table_privilege('anyone', 'app.leak', 'SELECT, INSERT'),
            has_column_privilege('anyone', 'app.notes', 'note', 'SELECT'),
            has_sequence_privilege('anyone', 'app.numbers', 'USAGE'),
            has_schema_privilege('anyone', 'app', 'USAGE'),
            has_function_privilege('shop_reader', 'app.f()', 'EXECUTE WITH GRANT OPTION'),
            has_type_privilege('shop_reader', 'app.t', 'USAGE WITH GRANT OPTION'),
            has_schema_privilege('shop_reader', 'app', 'CREATE'))";
        fixture.query("CREATE ROLE anyone");
        assert_eq!(fixture.query_in("shop", leaks), "t t t t t t t", "PostgreSQL {major}");
        let found = expect(&fixture.run(&definitions, &CHECK), 2);
        for leak in
            ["leak", "notes", "all sequences of schema app", "app.f()", "app.t", "schema app"]
        {
            assert!(found.contains(leak), "PostgreSQL {major}: {leak} is not in {found}");
        }
        expect(&fixture.run(&definitions, &APPLY), 0);
        assert_eq!(fixture.query_in("shop", leaks), "f f f f f f f", "PostgreSQL {major}");
        expect(&fixture.run(&definitions, &CHECK), 0);
        // The reader gets its privileges on these objects, as on all others.
        let reads = "SELECT has_table_privilege('shop_reader', 'app.leak', 'SELECT')";
        assert_eq!(fixture.query_in("shop", reads), "t", "PostgreSQL {major}");
    }
}
