//! `rdsprov teardown`: what a build has created in an ephemeral environment.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect, password};

const SHOP: &str = r#"shop = { database_name = "shop", username = "shop_owner" }"#;
const REPORTS: &str = r#"shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader", role_owner = true }"#;
const LEGACY: &str =
    r#"legacy = { database_name = "legacy", username = "legacy_owner", adopt = true }"#;
const OTHER: &str = r#"other = { database_name = "other", username = "other_owner" }"#;
/// The reader of the first build also reads the database of the second one.
const OTHER_REPORTS: &str = r#"other_reports = { database_name = "other", username = "shop_reader", access_level = "reader" }"#;

const CONFIG: &str = "[environments.review]\nephemeral = true\napproval = \"none\"\n";
const ALLOW: [&str; 2] = ["--allow", "drops_role,drops_database,revokes_access"];
const CONFIRMED: [&str; 3] = ["--without-backup", "--confirm", "shop"];

fn apply(fixture: &Fixture, build: &str, entries: &[&str], allow: &str) {
    let text = format!("application_databases = {{\n{}\n}}", entries.join("\n"));
    let arguments = ["apply", "--env", "review", "--build-id", build, "--allow", allow];
    expect(&fixture.run(&fixture.definitions(&text), &arguments), 0);
}

fn teardown(fixture: &Fixture, build: &str, more: &[&[&str]], code: i32) -> String {
    let first: &[&str] = &["teardown", "--environment", "review", "--build-id", build];
    let arguments = [&[first], more].concat().concat();
    expect(&fixture.without_definitions(&arguments).output().unwrap(), code)
}

fn confirmed(fixture: &Fixture, build: &str, code: i32) -> String {
    teardown(fixture, build, &[&ALLOW, &CONFIRMED], code)
}

/// A server with what two builds have created, and what the first one has adopted.
fn with_builds(major: u32) -> Fixture {
    let fixture = Fixture::new(major);
    std::fs::write(fixture.path().join("rdsprov.toml"), CONFIG).unwrap();
    fixture.secret("goldenpath/review/rds/master", &fixture.server.admin_secret());
    for (application, role) in
        [("shop", "shop_owner"), ("legacy", "legacy_owner"), ("other", "other_owner")]
    {
        fixture.app("review", application, role);
    }
    for application in ["shop_reports", "other_reports"] {
        let password = password("shop_reports");
        let text = format!(r#"{{"username": "shop_reader", "password": "{password}"}}"#);
        fixture.secret(&format!("goldenpath/review/{application}/postgres"), &text);
    }
    let master = |sql: &str| fixture.server.master("postgres", sql).unwrap();
    master(&format!("CREATE ROLE legacy_owner LOGIN PASSWORD '{}'", password("legacy")));
    master("GRANT legacy_owner TO platform_admin");
    master("CREATE DATABASE legacy OWNER legacy_owner");
    master("REVOKE legacy_owner FROM platform_admin");
    // Each database is a copy of what this role leaves in the template, and it can enter none of them.
    fixture.query("CREATE ROLE mallory LOGIN PASSWORD 'Canary-mallory'");
    let left = "SELECT lo_create(777); ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC";
    fixture.server.sql_as("mallory", "Canary-mallory", "template1", left).unwrap();
    apply(
        &fixture,
        "b1",
        &[SHOP, REPORTS, LEGACY],
        "adopts,closes_to_public,revokes_access,widens_access",
    );
    apply(&fixture, "b2", &[SHOP, REPORTS, LEGACY, OTHER, OTHER_REPORTS], "widens_access");
    let run = |application: &str, database: &str, sql: &str| {
        let role = format!("{application}_owner");
        fixture.server.sql_as(&role, &password(application), database, sql).unwrap();
    };
    run("shop", "shop", "CREATE TABLE orders (id int)");
    run("other", "other", "CREATE TABLE others (id int)");
    // As the definitions of the other build do with `creators`.
    let creator = "ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA public
        GRANT SELECT ON TABLES TO other_owner";
    fixture.query_in("other", creator);
    fixture
}

/// Returns the roles and databases of the builds that exist.
fn left(fixture: &Fixture) -> String {
    fixture.query(
        "SELECT string_agg(name, ' ' ORDER BY name) FROM (
           SELECT rolname FROM pg_roles WHERE rolname ~ 'shop|legacy|other'
           UNION ALL SELECT datname FROM pg_database WHERE datname ~ 'shop|legacy|other') f(name)",
    )
}

const ALL: &str = "legacy legacy_owner other other_owner shop shop_owner shop_reader";

#[test]
fn what_a_build_created_is_dropped() {
    for major in versions() {
        let fixture = with_builds(major);
        // What a later build writes again keeps the build of its creation.
        let renamed = REPORTS.replacen("shop_reports", "sales", 1);
        let text =
            format!(r#"{{"username": "shop_reader", "password": "{}"}}"#, password("shop_reports"));
        fixture.secret("goldenpath/review/sales/postgres", &text);
        let entries = [SHOP, &renamed, LEGACY, OTHER];
        apply(&fixture, "b2", &entries, "changes_application,changes_secret,revokes_access");
        let comment = "SELECT shobj_description('shop_reader'::regrole, 'pg_authid')";
        assert!(fixture.query(comment).contains("application=sales build_id=b1 "));
        apply(&fixture, "b2", &[SHOP, &renamed, LEGACY, OTHER, OTHER_REPORTS], "widens_access");

        // What drifts in the database of the other build is not the business of the teardown.
        fixture
            .server
            .sql_as(
                "other_owner",
                &password("other"),
                "other",
                "GRANT CONNECT ON DATABASE other TO PUBLIC",
            )
            .unwrap();
        let other = "SELECT datacl::text FROM pg_database WHERE datname = 'other'";
        assert!(fixture.query(other).contains(",=c/"), "{}", fixture.query(other));
        let state = fixture.catalog_state();
        let output = teardown(&fixture, "b1", &[&ALLOW], 64);
        assert!(output.contains("--without-backup"), "{output}");
        assert_eq!(fixture.catalog_state(), state);
        // A dry run shows what is missing.
        let output = teardown(&fixture, "b1", &[&["--dry-run"]], 0);
        let missing = "--allow drops_database --confirm shop --backup FILE or --without-backup\n";
        assert!(output.contains(missing), "{output}");
        assert!(output.contains("with all its data; no dump of it is named yet"), "{output}");
        let output = teardown(&fixture, "", &[&ALLOW, &CONFIRMED], 64);
        assert!(output.contains("name it with --build-id"), "{output}");
        let output = teardown(&fixture, "b1", &[&CONFIRMED], 3);
        assert!(output.contains("drops_database (2 changes)"), "{output}");
        // The command that is printed needs nothing else.
        let output = teardown(&fixture, "b1", &[&CONFIRMED[..1], &["--format", "json"]], 3);
        let add =
            "--allow revokes_access --allow drops_role --allow drops_database --confirm shop\n";
        let add = format!("hint: to apply this plan, add {add}");
        assert!(output.contains(&add), "{output}");
        let line = "--allow revokes_access,drops_role,drops_database --confirm shop";
        assert!(output.contains(&format!("{line}\n")), "{output}");
        assert!(output.contains(&format!("{line}`\"")), "{output}");
        let output = teardown(&fixture, "b1", &[&ALLOW, &["--without-backup"]], 3);
        assert!(output.contains("error[drop-not-confirmed]"), "{output}");
        assert!(output.contains("hint: review the plan, then add --confirm shop"), "{output}");
        let wrong = ["--without-backup", "--confirm", "other"];
        let output = teardown(&fixture, "b1", &[&ALLOW, &wrong], 3);
        assert!(output.contains("check which build created database other"), "{output}");
        assert!(output.contains("drops, add --confirm shop"), "{output}");
        assert!(!output.contains("--drop-database"), "{output}");
        let dry = teardown(&fixture, "b1", &[&CONFIRMED, &["--dry-run"]], 0);
        assert!(
            dry.contains("(review), teardown of build b1") || dry.contains("teardown of build b1"),
            "{dry}"
        );
        assert!(dry.contains("1 database and 2 roles to drop"), "{dry}");
        // No definitions name the application of a database: its owner does.
        let groups: Vec<&str> =
            dry.lines().filter(|line| line.starts_with("application ")).collect();
        assert!(groups.iter().any(|line| line.starts_with("application shop")), "{dry}");
        let drop = dry.split("application shop").nth(1).unwrap();
        assert!(drop.split("\napplication ").next().unwrap().contains("database shop"), "{dry}");
        assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}");

        let output = confirmed(&fixture, "b1", 0);
        let dropped = "Dropped: database shop, role shop_owner, role shop_reader.";
        assert!(output.contains(dropped), "{output}");
        assert!(output.contains(",shop,,drop_database,success,"), "{output}");
        assert!(output.contains(",shop_reader,drop_role,success,"), "{output}");
        for kept in ["role legacy_owner has", "database legacy has"] {
            assert!(output.contains(kept), "{output}");
        }
        assert!(output.contains("note[left-by-teardown]"), "{output}");
        assert_eq!(left(&fixture), "legacy legacy_owner other other_owner", "PostgreSQL {major}");
        assert_eq!(fixture.admin_grants(), "0");
        assert!(fixture.query(other).contains(",=c/"), "{output}");
        assert!(!output.contains("closes_to_public"), "{output}");
        fixture.server.sql_as("other_owner", &password("other"), "other", "TABLE others").unwrap();

        fixture.disable_background_writes();
        let state = fixture.catalog_state();
        // Without a database to drop, no dump is missing.
        for more in [&[][..], &ALLOW] {
            let output = fixture.without_wal(|| teardown(&fixture, "b1", &[more], 0));
            assert!(output.contains("Nothing to do"), "{output}");
        }
        let output = fixture.without_wal(|| confirmed(&fixture, "b1", 0));
        assert!(output.contains("Nothing to do: no role or database that build b1"), "{output}");
        assert_eq!(fixture.catalog_state(), state);
    }
}

#[test]
fn only_ephemeral_environments_are_torn_down() {
    let fixture = with_builds(versions()[0]);
    let state = fixture.catalog_state();
    std::fs::write(fixture.path().join("rdsprov.toml"), CONFIG.replace("true", "false")).unwrap();
    let output = confirmed(&fixture, "b1", 3);
    assert!(output.contains("error[environment-not-ephemeral]"), "{output}");
    let arguments = ["teardown", "--env", "dev", "--build-id", "b1", "--without-backup"];
    expect(&fixture.without_definitions(&arguments).output().unwrap(), 3);
    let arguments_without = &arguments[..5];
    let output = fixture.without_definitions(arguments_without).output().unwrap();
    let output = expect(&output, 3);
    assert!(output.contains("error[environment-not-ephemeral]"), "{output}");
    // The repository declares the environment as ephemeral, and the site does not.
    std::fs::write(fixture.path().join("rdsprov.toml"), CONFIG).unwrap();
    let policy = fixture.path().join("policy.toml");
    for text in ["[environments.review]\napproval = \"none\"", ""] {
        std::fs::write(&policy, text).unwrap();
        let first = ["teardown", "--environment", "review", "--build-id", "b1"];
        let mut command = fixture.without_definitions(&[&first[..], &ALLOW, &CONFIRMED].concat());
        let output = expect(&command.env("RDSPROV_POLICY", &policy).output().unwrap(), 3);
        assert!(output.contains("error[site-policy-violated]"), "{output}");
        assert!(output.contains("does not declare environment `review` as ephemeral"), "{output}");
    }
    // Nothing of the build is in another environment.
    let other = CONFIG.replace("review", "dev");
    std::fs::write(fixture.path().join("rdsprov.toml"), other).unwrap();
    let mut command = fixture.without_definitions(&arguments);
    std::fs::write(&policy, "[environments.dev]\nephemeral = true").unwrap();
    let output = expect(&command.env("RDSPROV_POLICY", &policy).output().unwrap(), 0);
    assert!(output.contains("Nothing to do"), "{output}");
    assert_eq!(fixture.catalog_state(), state);
}

/// One use that prevents a drop prevents all.
#[test]
fn what_is_used_otherwise_is_refused() {
    for major in versions() {
        let fixture = with_builds(major);
        // A role of another build reads the database.
        let reader = r#"other_in_shop = { database_name = "shop", username = "other_owner", access_level = "reader" }"#;
        let secret =
            format!(r#"{{"username": "other_owner", "password": "{}"}}"#, password("other"));
        fixture.secret("goldenpath/review/other_in_shop/postgres", &secret);
        let home = OTHER.replace(" }", ", role_owner = true }");
        apply(
            &fixture,
            "b2",
            &[SHOP, REPORTS, LEGACY, &home, OTHER_REPORTS, reader],
            "widens_access",
        );
        let state = fixture.catalog_state();
        let output = confirmed(&fixture, "b1", 3);
        assert!(output.contains("refused[database-not-droppable]"), "{output}");
        assert!(output.contains("role other_owner, which the build did not create"), "{output}");
        assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}");
        apply(&fixture, "b2", &[SHOP, REPORTS, LEGACY, &home, OTHER_REPORTS], "revokes_access");

        // Objects elsewhere, and a session.
        fixture.query_in("legacy", "CREATE SCHEMA s AUTHORIZATION shop_reader");
        let mut owner = fixture.server.session("shop_owner", &password("shop"), "shop").unwrap();
        let state = fixture.catalog_state();
        let output = confirmed(&fixture, "b1", 3);
        assert!(output.contains("1 object of its own in database legacy"), "{output}");
        assert!(output.contains("sessions of shop_owner use it"), "{output}");
        owner.ask("SELECT 1").unwrap();
        assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}");
        drop(owner);

        // A role that nobody manages, with a privilege on the database, on a table, or with a table of its own.
        fixture.query("CREATE ROLE ada LOGIN PASSWORD 'ada-password'");
        for (grant, revoke) in [
            ("GRANT CONNECT ON DATABASE shop TO ada", "REVOKE CONNECT ON DATABASE shop FROM ada"),
            ("GRANT SELECT ON orders TO ada", "REVOKE SELECT ON orders FROM ada"),
            ("CREATE TABLE hers (); ALTER TABLE hers OWNER TO ada", "DROP TABLE hers"),
        ] {
            fixture.server.superuser("shop", grant).unwrap();
            let output = confirmed(&fixture, "b1", 3);
            let used = "role ada, which the build did not create, owns something in it or has privileges there";
            assert!(output.contains(used), "{grant}: {output}");
            fixture.server.superuser("shop", revoke).unwrap();
        }
        assert_eq!(left(&fixture), ALL);
    }
}

/// Others can give a role a membership that it passes on, or initial privileges in an extension, which `REVOKE` does
/// not end (PostgreSQL 17). Neither keeps the role from being locked, nor what else is dropped.
#[test]
fn what_others_give_a_role_stops_no_teardown() {
    for major in versions().into_iter().filter(|major| *major >= 16) {
        for of_extension in if major < 17 { &[false][..] } else { &[false, true] } {
            let fixture = with_builds(major);
            let as_role = |role: &str, secret: &str, database: &str, sql: &str| {
                fixture.server.sql_as(role, secret, database, sql).unwrap();
            };
            let note = if *of_extension {
                let initial = "CREATE EXTENSION citext; CREATE TABLE ip (a int); GRANT SELECT ON ip TO shop_reader;
                    ALTER EXTENSION citext ADD TABLE ip";
                as_role("other_owner", &password("other"), "other", initial);
                "initial privileges on 1 object of extensions of other_owner in database other"
            } else {
                fixture.query("CREATE ROLE lead LOGIN CREATEROLE PASSWORD 'Canary-lead'");
                let tools = "CREATE ROLE tools; GRANT tools TO shop_reader WITH ADMIN OPTION";
                as_role("lead", "Canary-lead", "postgres", tools);
                let passed_on = "GRANT tools TO mallory";
                as_role("shop_reader", &password("shop_reports"), "other", passed_on);
                "note[membership-by-other]: role shop_reader has a membership in tools"
            };
            let output = confirmed(&fixture, "b1", 0);
            assert!(output.contains(note), "PostgreSQL {major}: {output}");
            assert!(output.contains("note[role-not-dropped]"), "PostgreSQL {major}: {output}");
            let login = "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'shop_reader'";
            assert_eq!(fixture.query(login), "f", "PostgreSQL {major}: {output}");
            assert_eq!(left(&fixture), "legacy legacy_owner other other_owner shop_reader");
            // The next run says the same.
            let output = teardown(&fixture, "b1", &[&ALLOW, &["--without-backup"]], 0);
            assert!(output.contains("note[role-not-dropped]"), "PostgreSQL {major}: {output}");
        }
    }
}

/// The owner of a database can write its marker, and so cannot have another one dropped.
#[test]
fn marker_counts_with_that_of_the_owner() {
    let fixture = with_builds(versions()[0]);
    let comment =
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'other'";
    let forged = fixture.query(comment).replace("build_id=b2", "build_id=b1");
    let sql = format!("COMMENT ON DATABASE other IS '{forged}'");
    fixture.server.sql_as("other_owner", &password("other"), "other", &sql).unwrap();
    let output = confirmed(&fixture, "b1", 0);
    assert!(output.contains("its owner other_owner is not a role that the build"), "{output}");
    assert_eq!(left(&fixture), "legacy legacy_owner other other_owner");
}

/// The next run drops a database that an interrupted run has prepared.
#[test]
fn interrupted_teardown_is_completed() {
    for major in versions() {
        let fixture = with_builds(major);
        let saved = teardown(&fixture, "b1", &[&["--out", "plan.json"]], 64);
        assert!(saved.contains("`rdsprov teardown` saves no plan"), "{saved}");
        fixture.query("ALTER DATABASE shop OWNER TO platform_admin");
        fixture.query("ALTER DATABASE shop ALLOW_CONNECTIONS false");
        confirmed(&fixture, "b1", 0);
        assert_eq!(left(&fixture), "legacy legacy_owner other other_owner", "PostgreSQL {major}");
    }
}
