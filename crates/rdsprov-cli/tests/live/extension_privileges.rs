//! The privileges with which declared roles use extensions, on imitations of those of Amazon RDS.

use rdsprov_testkit::{Extension, Server, versions};

use crate::extensions::administer_as_superuser;
use crate::fixture::{DELEGATE_SECRET, Fixture, expect, password};

const APPLY: [&str; 5] = ["apply", "--env", "dev", "--allow", "revokes_access"];
const CHECK: [&str; 3] = ["check", "--env", "dev"];

/// Returns a server of each version, on which these extensions are available.
fn servers<'a>(extensions: &'a [Extension<'a>]) -> impl Iterator<Item = Fixture> {
    versions().into_iter().map(move |major| {
        let fixture = Fixture::new(major);
        for extension in extensions {
            extension.install(&fixture.server).unwrap();
        }
        for (application, role) in
            [("shop", "shop_owner"), ("workers", "shop_editor"), ("reports", "shop_reader")]
        {
            fixture.app("dev", application, role);
        }
        fixture
    })
}

/// Returns definitions of an owner, an editor and a reader of one database, with these extensions.
fn definitions(fixture: &Fixture, owner: &str, editor: &str, reader: &str) -> String {
    fixture.definitions(&format!(
        r#"application_databases = {{
             shop    = {{ database_name = "shop", username = "shop_owner", extensions = [{owner}] }}
             workers = {{ database_name = "shop", username = "shop_editor", access_level = "editor", extensions = [{editor}] }}
             reports = {{ database_name = "shop", username = "shop_reader", access_level = "reader", extensions = [{reader}] }}
           }}"#
    ))
}

/// Returns whether a role has `USAGE` on a schema and `EXECUTE` on a routine in it.
fn may_use(fixture: &Fixture, role: &str, schema: &str, routine: &str) -> String {
    fixture.query_in(
        "shop",
        &format!(
            "SELECT concat_ws(' ', has_schema_privilege('{role}', '{schema}', 'USAGE'),
               has_function_privilege('{role}', '{schema}.{routine}', 'EXECUTE'))"
        ),
    )
}

fn call(fixture: &Fixture, application: &str, role: &str, sql: &str) -> Result<String, String> {
    let called = fixture.server.sql_as(role, &password(application), "shop", sql);
    called.map(|text| text.trim().to_owned()).map_err(|error| error.to_string())
}

/// An extension that is not trusted and is installed already, with one that it requires: the server lets
/// `rds_superuser` grant the privileges on its objects, whose owner is the bootstrap superuser.
#[test]
fn extension_of_the_bootstrap_superuser() {
    for fixture in servers(&[Extension::COMMONS, Extension::S3]) {
        let major = fixture.server.major();
        expect(&fixture.run(&definitions(&fixture, "", "", ""), &APPLY), 0);
        fixture.query_in("shop", "CREATE EXTENSION rdsprov_s3 CASCADE");
        expect(&fixture.run(&definitions(&fixture, "", "", ""), &CHECK), 0);
        let export = "SELECT rdsprov_s3.export(rdsprov_commons.create_uri('a'))";
        let import = "CALL rdsprov_s3.import('a', 0)";
        let users =
            [("shop", "shop_owner"), ("workers", "shop_editor"), ("reports", "shop_reader")];
        for (application, role) in users {
            let error = call(&fixture, application, role, export).unwrap_err();
            assert!(error.contains("permission denied for schema"), "PostgreSQL {major}: {error}");
        }
        let s3 = r#""rdsprov_s3""#;
        let all = definitions(&fixture, s3, s3, s3);
        expect(&fixture.run(&all, &APPLY), 0);
        expect(&fixture.run(&all, &CHECK), 0);
        for (application, role) in users {
            assert_eq!(call(&fixture, application, role, export), Ok("s3://a".to_owned()));
            assert_eq!(call(&fixture, application, role, import), Ok("7".to_owned()));
            assert_eq!(may_use(&fixture, role, "rdsprov_s3", "export(text)"), "t t");
        }

        // More than that is drift, also a grant option.
        fixture.query_in(
            "shop",
            "GRANT CREATE ON SCHEMA rdsprov_s3 TO rds_superuser WITH GRANT OPTION; SET ROLE rds_superuser;
             GRANT CREATE ON SCHEMA rdsprov_s3 TO shop_reader;
             GRANT EXECUTE ON FUNCTION rdsprov_s3.export TO shop_reader WITH GRANT OPTION",
        );
        expect(&fixture.run(&all, &CHECK), 2);
        expect(&fixture.run(&all, &APPLY), 0);
        let excess = "SELECT concat_ws(' ', has_schema_privilege('shop_reader', 'rdsprov_s3', 'CREATE'),
            has_function_privilege('shop_reader', 'rdsprov_s3.export(text)', 'EXECUTE WITH GRANT OPTION'))";
        assert_eq!(fixture.query_in("shop", excess), "f f", "PostgreSQL {major}");

        // Without the key, the privileges of the reader and the editor are revoked. The owner keeps its
        // privileges, as it keeps the extension.
        let editor = definitions(&fixture, s3, s3, "");
        expect(&fixture.run(&editor, &APPLY), 0);
        expect(&fixture.run(&editor, &CHECK), 0);
        let use_of = |role: &str| may_use(&fixture, role, "rdsprov_s3", "export(text)");
        assert_eq!(use_of("shop_reader"), "f f", "PostgreSQL {major}");
        assert_eq!(may_use(&fixture, "shop_reader", "rdsprov_commons", "create_uri(text)"), "f f");
        assert_eq!(use_of("shop_editor"), "t t", "PostgreSQL {major}");
        let none = definitions(&fixture, "", "", "");
        expect(&fixture.run(&none, &APPLY), 0);
        expect(&fixture.run(&none, &CHECK), 0);
        assert_eq!(use_of("shop_editor"), "f f", "PostgreSQL {major}");
        assert_eq!(use_of("shop_owner"), "t t", "PostgreSQL {major}");
        let error = call(&fixture, "reports", "shop_reader", export).unwrap_err();
        assert!(error.contains("permission denied for schema"), "PostgreSQL {major}: {error}");
        // The administrator stays a member of no owner.
        assert_eq!(fixture.admin_grants(), "0", "PostgreSQL {major}");
    }
}

/// One run creates the database, its extensions, and then grants the privileges on them.
#[test]
fn extensions_that_the_same_run_creates() {
    for fixture in servers(&[Extension::CRON, Extension::JOBS]) {
        let major = fixture.server.major();
        let both = r#""rdsprov_cron", "rdsprov_jobs""#;
        let all = definitions(&fixture, both, both, r#""rdsprov_jobs""#);
        let text = expect(&fixture.run(&all, &APPLY), 0);
        let deferred =
            "deferred: the privileges on extensions rdsprov_cron and rdsprov_jobs in database shop";
        assert!(text.contains(deferred), "PostgreSQL {major}: {text}");
        expect(&fixture.run(&all, &CHECK), 0);
        let schedule = "SELECT rdsprov_cron.schedule('a')";
        for (application, role) in [("shop", "shop_owner"), ("workers", "shop_editor")] {
            assert_eq!(call(&fixture, application, role, schedule), Ok("1".to_owned()), "{major}");
        }
        // The owner owns this extension and its objects, so that they are its own functions.
        assert_eq!(may_use(&fixture, "shop_reader", "rdsprov_jobs", "run()"), "t f", "{major}");
        assert_eq!(may_use(&fixture, "shop_owner", "rdsprov_jobs", "run()"), "t t", "{major}");
        assert_eq!(may_use(&fixture, "shop_reader", "rdsprov_cron", "schedule(text)"), "f f");
        // PUBLIC may execute this function, so that the role needs no privilege of its own.
        let acl = "SELECT proacl FROM pg_proc WHERE proname = 'version' AND pronamespace = 'rdsprov_cron'::regnamespace";
        assert_eq!(fixture.query_in("shop", acl), "", "PostgreSQL {major}");

        let none = definitions(&fixture, both, "", "");
        expect(&fixture.run(&none, &APPLY), 0);
        expect(&fixture.run(&none, &CHECK), 0);
        assert_eq!(may_use(&fixture, "shop_reader", "rdsprov_jobs", "run()"), "f f", "{major}");
        assert_eq!(may_use(&fixture, "shop_editor", "rdsprov_cron", "schedule(text)"), "f f");
    }
}

/// One run creates extensions that are not trusted, as an administrator that may, and grants the
/// privileges on them.
#[test]
fn extensions_that_the_administrator_creates() {
    for fixture in servers(&[Extension::COMMONS, Extension::S3]) {
        let major = fixture.server.major();
        let administrator = administer_as_superuser(&fixture);
        let s3 = r#""rdsprov_s3""#;
        let all = definitions(&fixture, s3, "", s3);
        expect(&fixture.run(&all, &[&APPLY[..], &administrator].concat()), 0);
        expect(&fixture.run(&all, &[&CHECK[..], &administrator].concat()), 0);
        let export = "SELECT rdsprov_s3.export(rdsprov_commons.create_uri('a'))";
        for (application, role) in [("shop", "shop_owner"), ("reports", "shop_reader")] {
            let called = call(&fixture, application, role, export);
            assert_eq!(called, Ok("s3://a".to_owned()), "PostgreSQL {major}");
        }
        assert_eq!(may_use(&fixture, "shop_editor", "rdsprov_s3", "export(text)"), "f f");
    }
}

/// The administrator inherits the privileges of the owner of an extension, but may not act as it. The
/// server allows what the catalogs do not show in another way, too: so a probe asks it.
#[test]
fn privilege_that_only_the_server_shows() {
    for fixture in servers(&[Extension::COMMONS, Extension::S3]) {
        let major = fixture.server.major();
        if major < 16 {
            continue;
        }
        expect(&fixture.run(&definitions(&fixture, "", "", ""), &APPLY), 0);
        fixture.query_in(
            "shop",
            "CREATE EXTENSION rdsprov_s3 CASCADE; CREATE ROLE s3_owner;
             REVOKE ALL ON SCHEMA rdsprov_s3 FROM rds_superuser; REVOKE ALL ON ALL ROUTINES IN SCHEMA rdsprov_s3 FROM rds_superuser;
             ALTER SCHEMA rdsprov_s3 OWNER TO s3_owner; ALTER FUNCTION rdsprov_s3.export OWNER TO s3_owner;
             ALTER PROCEDURE rdsprov_s3.import OWNER TO s3_owner",
        );
        let s3 = r#""rdsprov_s3""#;
        let reader = definitions(&fixture, "", "", s3);
        // The privileges of the administrator itself are no grant option.
        let own = "GRANT USAGE ON SCHEMA rdsprov_s3 TO platform_admin; GRANT EXECUTE ON ALL ROUTINES IN SCHEMA rdsprov_s3 TO platform_admin";
        for granted in ["SELECT 1", own] {
            fixture.query_in("shop", granted);
            let before = fixture.catalog_state();
            let text = expect(&fixture.run(&reader, &APPLY), 3);
            assert!(text.contains("refused[step-of-other-role] reports: "), "{granted}: {text}");
            assert_eq!(fixture.catalog_state(), before);
        }

        fixture.query("GRANT s3_owner TO platform_admin WITH INHERIT TRUE, SET FALSE");
        expect(&fixture.run(&reader, &APPLY), 0);
        expect(&fixture.run(&reader, &CHECK), 0);
        let import = "CALL rdsprov_s3.import('a', 0)";
        assert_eq!(call(&fixture, "reports", "shop_reader", import), Ok("7".to_owned()));
        let none = definitions(&fixture, "", "", "");
        expect(&fixture.run(&none, &APPLY), 0);
        expect(&fixture.run(&none, &CHECK), 0);
        assert_eq!(may_use(&fixture, "shop_reader", "rdsprov_s3", "export(text)"), "f f");
    }
}

/// The administrator could not grant the privileges on a new extension: no run creates it first.
#[test]
fn new_extension_that_the_administrator_may_not_grant() {
    for fixture in servers(&[Extension::CLOSED]) {
        let major = fixture.server.major();
        let closed = r#""rdsprov_closed""#;
        for exists in [false, true] {
            if exists {
                expect(&fixture.run(&definitions(&fixture, "", "", ""), &APPLY), 0);
            }
            let reader = definitions(&fixture, closed, "", closed);
            let before = fixture.catalog_state();
            let text = expect(&fixture.run(&reader, &APPLY), 3);
            for says in [
                "refused[extension-not-grantable] reports: extension rdsprov_closed would be created in database shop, and the administrator could not grant the privileges on it: permission denied for function reset_all (42501)",
                "hint: remove rdsprov_closed from `extensions` of application reports",
            ] {
                assert!(text.contains(says), "PostgreSQL {major}: {says} is not in {text}");
            }
            assert_eq!(fixture.catalog_state(), before, "PostgreSQL {major}");
        }
    }
}

/// An extension of a reader must be declared by the owner entry, or installed.
#[test]
fn extension_that_no_entry_creates() {
    for fixture in servers(&[Extension::JOBS]) {
        let major = fixture.server.major();
        let jobs = r#""rdsprov_jobs""#;
        let only_reader = || definitions(&fixture, "", "", jobs);
        let before = fixture.catalog_state();
        let text = expect(&fixture.run(&only_reader(), &APPLY), 3);
        for says in [
            "refused[extension-missing] reports: extension rdsprov_jobs is not installed in database shop, and the owner entry does not declare it",
            "add rdsprov_jobs to `extensions` of application shop, the owner entry",
        ] {
            assert!(text.contains(says), "PostgreSQL {major}: {says} is not in {text}");
        }
        assert_eq!(fixture.catalog_state(), before);
        expect(&fixture.run(&definitions(&fixture, "", "", ""), &APPLY), 0);
        // The application installs it itself.
        let create = "CREATE EXTENSION rdsprov_jobs";
        call(&fixture, "shop", "shop_owner", create).unwrap();
        expect(&fixture.run(&only_reader(), &APPLY), 0);
        expect(&fixture.run(&only_reader(), &CHECK), 0);
        assert_eq!(may_use(&fixture, "shop_reader", "rdsprov_jobs", "run()"), "t f", "{major}");
    }
}

/// Only a superuser may grant the privilege: the plan is refused for a reader, and says so for the owner.
#[test]
fn privilege_that_the_administrator_may_not_grant() {
    for fixture in servers(&[Extension::CLOSED]) {
        let major = fixture.server.major();
        let closed = r#""rdsprov_closed""#;
        let owner = definitions(&fixture, closed, "", "");
        expect(&fixture.run(&owner, &APPLY), 0);
        let text = expect(&fixture.run(&owner, &CHECK), 0);
        let note = "note[extension-not-usable]: in database shop, role shop_owner has no EXECUTE on function public.reset_all() of extension rdsprov_closed, and the administrator may not grant it";
        assert!(text.contains(note), "PostgreSQL {major}: {text}");

        let reader = definitions(&fixture, closed, "", closed);
        let before = fixture.catalog_state();
        let text = expect(&fixture.run(&reader, &APPLY), 3);
        for says in [
            "refused[step-of-other-role] reports: in database shop, the administrator cannot grant EXECUTE on function public.reset_all() to shop_reader",
            r#"GRANT EXECUTE ON FUNCTION public.reset_all() TO "shop_reader""#,
        ] {
            assert!(text.contains(says), "PostgreSQL {major}: {says} is not in {text}");
        }
        assert_eq!(fixture.catalog_state(), before);
        // The statement of the refusal resolves it.
        fixture
            .query_in("shop", r#"GRANT EXECUTE ON FUNCTION public.reset_all() TO "shop_reader""#);
        expect(&fixture.run(&reader, &CHECK), 0);
        assert_eq!(
            call(&fixture, "reports", "shop_reader", "SELECT public.reset_all()"),
            Ok("4".to_owned())
        );
    }
}

/// A delegate is not a member of `rds_superuser`, which may grant the privileges: the refusal names it.
#[test]
fn privilege_that_the_delegate_may_not_grant() {
    for fixture in servers(&[Extension::COMMONS, Extension::S3]) {
        let major = fixture.server.major();
        expect(&fixture.run(&definitions(&fixture, "", "", ""), &APPLY), 0);
        fixture.query_in("shop", "CREATE EXTENSION rdsprov_s3 CASCADE");
        expect(&fixture.delegate("dev").output().unwrap(), 0);
        let s3 = r#""rdsprov_s3""#;
        let reader = definitions(&fixture, "", "", s3);
        let as_delegate = ["--admin-secret", DELEGATE_SECRET];
        let text = expect(&fixture.run(&reader, &[&APPLY[..], &as_delegate].concat()), 3);
        let says = r#"hint: run as role rds_superuser in database shop: GRANT USAGE ON SCHEMA "rdsprov_s3" TO "shop_reader""#;
        assert!(text.contains(says), "PostgreSQL {major}: {says} is not in {text}");
        // The master user is a member, and grants them.
        expect(&fixture.run(&reader, &APPLY), 0);
        expect(&fixture.run(&reader, &[&CHECK[..], &as_delegate].concat()), 0);
    }
}

/// Amazon RDS lets a member of `rds_extension` create the extensions in
/// `rds.allowed_delegated_extensions`, although PostgreSQL does not trust them.
#[test]
fn extension_that_rds_delegates() {
    for major in versions() {
        let settings = "rds.allowed_delegated_extensions = 'hstore,rdsprov_delegated'";
        let fixture = Fixture::on(Server::start_with_settings(major, settings).unwrap(), None);
        Extension::DELEGATED.install(&fixture.server).unwrap();
        for database in ["postgres", "platform"] {
            Extension::DELEGATED.hide_trust(&fixture.server, database).unwrap();
        }
        for (application, role) in [("shop", "shop_owner"), ("desk", "desk_owner")] {
            fixture.app("dev", application, role);
        }
        let definitions = |shop: &str, desk: &str| {
            fixture.definitions(&format!(
                r#"application_databases = {{
                     shop = {{ database_name = "shop", username = "shop_owner"{shop} }}
                     {desk}
                   }}"#
            ))
        };
        expect(&fixture.run(&definitions("", ""), &APPLY), 0);
        if major >= 16 {
            fixture.query(
                "GRANT rds_extension TO platform_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
            );
        }
        let granted = expect(&fixture.delegate("dev").output().unwrap(), 0);
        let words = "grant membership of role rdsprov_admin in rds_extension";
        assert!(granted.contains(words), "PostgreSQL {major}: {granted}");
        let again = expect(&fixture.delegate("dev").output().unwrap(), 0);
        assert!(again.contains("Nothing to do"), "PostgreSQL {major}: {again}");
        let admin_option = "SELECT admin_option FROM pg_auth_members
            WHERE roleid = 'rds_extension'::regrole AND member = 'rdsprov_admin'::regrole";
        let expected = if major < 16 { "f" } else { "t" };
        assert_eq!(fixture.query(admin_option), expected, "PostgreSQL {major}");

        let as_delegate =
            |arguments: &[&'static str]| [arguments, &["--admin-secret", DELEGATE_SECRET]].concat();
        // One database that exists, and a new one.
        let extension = r#", extensions = ["rdsprov_delegated"]"#;
        let desk =
            format!(r#"desk = {{ database_name = "desk", username = "desk_owner"{extension} }}"#);
        let both = definitions(extension, &desk);
        expect(&fixture.run(&both, &as_delegate(&APPLY)), 0);
        expect(&fixture.run(&both, &as_delegate(&CHECK)), 0);
        for database in ["shop", "desk"] {
            let owner =
                "SELECT extowner::regrole FROM pg_extension WHERE extname = 'rdsprov_delegated'";
            assert_eq!(fixture.query_in(database, owner), "rdsprov_admin", "PostgreSQL {major}");
        }
        assert_eq!(fixture.admin_grants(), "0", "PostgreSQL {major}");

        // The server does not allow it without the membership, nor for another extension.
        fixture.query_in("shop", "DROP EXTENSION rdsprov_delegated");
        fixture.query("ALTER SYSTEM SET rds.allowed_delegated_extensions = 'hstore'");
        fixture.query("SELECT pg_reload_conf()");
        let text = expect(&fixture.run(&both, &as_delegate(&APPLY)), 3);
        assert!(text.contains("refused[extension-not-trusted] shop: "), "{major}: {text}");
        fixture.query("ALTER SYSTEM RESET rds.allowed_delegated_extensions");
        fixture.query("SELECT pg_reload_conf()");
        fixture.query("REVOKE rds_extension FROM rdsprov_admin CASCADE");
        let text = expect(&fixture.run(&both, &as_delegate(&APPLY)), 3);
        assert!(text.contains("refused[extension-not-trusted] shop: "), "{major}: {text}");
    }
}

/// The author of an extension revokes `EXECUTE` from PUBLIC if a routine reaches more than the objects
/// of its user. The grant must be allowed, also by the run that creates the extension: before something is
/// committed.
#[test]
fn routines_that_public_may_not_execute_are_a_hazard() {
    for fixture in servers(&[Extension::CRON, Extension::JOBS]) {
        let major = fixture.server.major();
        let cron = r#""rdsprov_cron""#;
        let jobs = r#""rdsprov_jobs""#;
        let both = definitions(&fixture, cron, "", cron);
        let may = |role: &str| may_use(&fixture, role, "rdsprov_cron", "schedule(text)");
        let before = fixture.catalog_state();
        let text = approved(&fixture, &both, &[], 3);
        for says in [
            "create extension rdsprov_cron in database shop; shop_owner and shop_reader may get EXECUTE on its routines: PUBLIC may not execute rdsprov_cron.schedule(text) (42501)",
            "reaches_beyond_database",
            "hazards-not-allowed",
        ] {
            assert!(text.contains(says), "PostgreSQL {major}: {says} is not in {text}");
        }
        assert_eq!(fixture.catalog_state(), before, "PostgreSQL {major}");
        let allow = ["--allow", "reaches_beyond_database"];
        approved(&fixture, &both, &allow, 0);
        assert_eq!((may("shop_reader"), may("shop_owner")), ("t t".to_owned(), "t t".to_owned()));
        approved(&fixture, &both, &[], 0);

        // The owner of the database owns the routines of this extension, and no other role gets them.
        let owned = r#""rdsprov_cron", "rdsprov_jobs""#;
        approved(&fixture, &definitions(&fixture, owned, jobs, cron), &[], 0);
        assert_eq!(may_use(&fixture, "shop_editor", "rdsprov_jobs", "run()"), "t f", "{major}");
        // The extension exists, so that the grant itself is the hazard.
        let editor = definitions(&fixture, owned, owned, cron);
        let text = approved(&fixture, &editor, &[], 3);
        let says = "EXECUTE on function rdsprov_cron.schedule(pg_catalog.text) to shop_editor";
        assert!(text.contains(says), "PostgreSQL {major}: {text}");
        approved(&fixture, &editor, &allow, 0);
    }
}

/// PUBLIC may execute each routine of the extensions that PostgreSQL trusts, which needs no probe: a delegate
/// may not create them in the template.
#[test]
fn extensions_that_postgresql_trusts_are_no_hazard() {
    for fixture in servers(&[]) {
        let major = fixture.server.major();
        expect(&fixture.run(&definitions(&fixture, "", "", ""), &APPLY), 0);
        expect(&fixture.delegate("dev").output().unwrap(), 0);
        let trusted = fixture.query(
            "SELECT string_agg(DISTINCT quote_ident(name), ',') FROM pg_available_extension_versions
             WHERE trusted AND name !~ '^rdsprov_' AND name !~ 'plperl|pltcl|plpython'",
        );
        let names: Vec<String> =
            trusted.split(',').map(|name| format!("\"{}\"", name.trim_matches('"'))).collect();
        assert!(names.len() > 20, "PostgreSQL {major}: {trusted}");
        let all = definitions(&fixture, &names.join(", "), "", &names.join(", "));
        let text = approved(&fixture, &all, &["--admin-secret", DELEGATE_SECRET], 0);
        assert!(text.contains("create extension citext"), "PostgreSQL {major}: {text}");
        let closed = "SELECT count(*) FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
            WHERE d.deptype = 'e' AND NOT has_function_privilege('public', p.oid, 'EXECUTE')";
        assert_eq!(fixture.query_in("shop", closed), "0", "PostgreSQL {major}");
    }
}

/// Applies definitions in an environment in which hazards must be allowed.
fn approved(fixture: &Fixture, definitions: &str, arguments: &[&str], code: i32) -> String {
    let configuration = "[environments.dev]\napproval = \"required\"\n";
    std::fs::write(fixture.path().join("rdsprov.toml"), configuration).unwrap();
    let mut command = fixture.command(definitions, &["apply", "--env", "dev"]);
    let command = command.args(arguments).env("ALLOW_DB_PROVISION", "true");
    expect(&command.output().unwrap(), code)
}

/// `dblink_connect_u` connects as any role that the server accepts from itself. No declared role may
/// execute it, and the rest of the extension is usable.
#[test]
fn routines_that_reach_the_server_are_withheld() {
    for fixture in servers(&[]) {
        let major = fixture.server.major();
        let administrator = administer_as_superuser(&fixture);
        let dblink = r#""dblink""#;
        let both = definitions(&fixture, dblink, "", dblink);
        let run = |command: &[&str], code| {
            expect(&fixture.run(&both, &[command, &administrator].concat()), code)
        };
        run(&APPLY, 0);
        run(&CHECK, 0);
        let schema = "SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'dblink'";
        let schema = fixture.query_in("shop", schema);
        let may = |routine: &str| {
            ["shop_owner", "shop_reader"].map(|role| may_use(&fixture, role, &schema, routine))
        };
        assert_eq!(may("dblink_connect(text)"), ["t t", "t t"], "PostgreSQL {major}");
        let withheld = "dblink_connect_u(text)";
        assert_eq!(may(withheld), ["t f", "t f"], "PostgreSQL {major}");
        fixture.query_in(
            "shop",
            &format!("GRANT EXECUTE ON FUNCTION {schema}.{withheld} TO shop_reader"),
        );
        run(&CHECK, 2);
        run(&APPLY, 0);
        assert_eq!(may(withheld), ["t f", "t f"], "PostgreSQL {major}");
        for extension in ["adminpack", "pg_surgery", "pg_walinspect"] {
            let refused = definitions(&fixture, &format!("\"{extension}\""), "", "");
            let text = expect(&fixture.run(&refused, &APPLY), 1);
            assert!(
                text.contains(&format!("`{extension}` is not allowed in `extensions`")),
                "{text}"
            );
        }
    }
}

/// The owner of a database owns the extensions that PostgreSQL trusts, and can add objects of its own to
/// them. They stay its own objects: nobody gets privileges on them, and those that it grants are excess.
#[test]
fn objects_that_an_owner_adds_to_an_extension() {
    for fixture in servers(&[Extension::CRON]) {
        let major = fixture.server.major();
        let cron = r#""rdsprov_cron""#;
        let both = definitions(&fixture, cron, "", cron);
        expect(&fixture.run(&both, &APPLY), 0);
        let as_owner = |sql: &str| call(&fixture, "shop", "shop_owner", sql).unwrap();
        as_owner(
            "CREATE SCHEMA hidden; CREATE TABLE hidden.t AS SELECT 'hidden' AS x;
             CREATE FUNCTION hidden.run(text) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text';
             REVOKE EXECUTE ON FUNCTION hidden.run FROM PUBLIC;
             ALTER EXTENSION rdsprov_cron ADD FUNCTION hidden.run(text);
             ALTER EXTENSION rdsprov_cron ADD SCHEMA hidden;
             ALTER EXTENSION rdsprov_cron ADD TABLE hidden.t",
        );
        // Nothing is granted by itself.
        expect(&fixture.run(&both, &CHECK), 0);
        as_owner(
            "GRANT USAGE ON SCHEMA hidden TO shop_reader; GRANT EXECUTE ON FUNCTION hidden.run TO shop_reader;
             GRANT SELECT, INSERT ON hidden.t TO shop_reader",
        );
        let run = "SELECT hidden.run('a')";
        assert_eq!(call(&fixture, "reports", "shop_reader", run), Ok("shop_owner".to_owned()));
        let text = expect(&fixture.run(&both, &CHECK), 2);
        for says in [
            "USAGE on schema hidden from shop_reader",
            "EXECUTE on function hidden.run(pg_catalog.text) from shop_reader",
            "SELECT, INSERT on all tables of schema hidden from shop_reader",
        ] {
            assert!(text.contains(says), "PostgreSQL {major}: {says} is not in {text}");
        }
        expect(&fixture.run(&both, &APPLY), 0);
        expect(&fixture.run(&both, &CHECK), 0);
        let held = "SELECT concat_ws(' ', has_schema_privilege('shop_reader', 'hidden', 'USAGE'),
            has_function_privilege('shop_reader', 'hidden.run(text)', 'EXECUTE'),
            has_table_privilege('shop_reader', 'hidden.t', 'SELECT'), has_table_privilege('shop_reader', 'hidden.t', 'INSERT'))";
        assert_eq!(fixture.query_in("shop", held), "f f f f", "PostgreSQL {major}");
        // Control: what the extension itself contains.
        assert_eq!(may_use(&fixture, "shop_reader", "rdsprov_cron", "schedule(text)"), "t t");
    }
}
