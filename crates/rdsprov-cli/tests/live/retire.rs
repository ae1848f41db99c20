//! The end of access: `access_level = "none"`, and `rdsprov retire`.

use rdsprov_testkit::{HttpProxy, Reply, Server, versions};

use crate::fixture::{Fixture, expect, password};

const SHOP: &str =
    r#"shop = { database_name = "shop", username = "shop_owner", schemas = ["public", "app"] }"#;
const REPORTS: &str = r#"shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader", schemas = ["public", "app"], memberships = ["pg_monitor"], settings = { work_mem = "8MB" } }"#;
const REPORTS_ENDED: &str =
    r#"shop_reports = { database_name = "shop", username = "shop_reader", access_level = "none" }"#;
const HR: &str = r#"hr = { database_name = "hr", username = "hr_owner" }"#;
const HR_REPORTS: &str =
    r#"hr_reports = { database_name = "hr", username = "shop_reader", access_level = "reader" }"#;

const PREPARED: [&str; 2] = [
    "CREATE TABLE app.orders (id int); INSERT INTO app.orders VALUES (1)",
    "GRANT INSERT ON app.orders TO shop_reader",
];

fn definitions(fixture: &Fixture, entries: &[&str]) -> String {
    fixture.definitions(&format!("application_databases = {{\n{}\n}}", entries.join("\n")))
}

fn run(fixture: &Fixture, command: &str, entries: &[&str], more: &[&str], code: i32) -> String {
    let file = definitions(fixture, entries);
    let (command, arguments) = match command.split_once(' ') {
        Some((command, application)) => (command, vec![application]),
        None => (command, vec![]),
    };
    let arguments = [&[command], arguments.as_slice(), &["--env", "dev"], more].concat();
    expect(&fixture.run(&file, &arguments), code)
}

/// A server with all applications, and a table of the shop that its reader can read and change.
fn applied(major: u32) -> Fixture {
    applied_on(Fixture::new(major))
}

fn applied_on(fixture: Fixture) -> Fixture {
    for (application, role) in [("shop", "shop_owner"), ("hr", "hr_owner")] {
        fixture.app("dev", application, role);
    }
    reader_secret(&fixture, "shop_reports");
    reader_secret(&fixture, "hr_reports");
    run(&fixture, "apply", &[SHOP, REPORTS, HR, &hr_reports()], &[], 0);
    for sql in PREPARED {
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql).unwrap();
    }
    let sql = "CREATE TABLE staff (id int)";
    fixture.server.sql_as("hr_owner", &password("hr"), "hr", sql).unwrap();
    reads(&fixture, "shop", "SELECT FROM app.orders").unwrap();
    reads(&fixture, "hr", "SELECT FROM staff").unwrap();
    fixture
}

/// Both entries of the reader have the same password.
fn reader_secret(fixture: &Fixture, application: &str) {
    let text =
        format!(r#"{{"username": "shop_reader", "password": "{}"}}"#, password("hr_reports"));
    fixture.secret(&format!("goldenpath/dev/{application}/postgres"), &text);
}

fn hr_reports() -> String {
    HR_REPORTS.replace("}", r#", memberships = ["pg_monitor"] }"#)
}

fn reads(fixture: &Fixture, database: &str, sql: &str) -> Result<String, String> {
    let password = password("hr_reports");
    let result = fixture.server.sql_as("shop_reader", &password, database, sql);
    result.map_err(|error| error.to_string())
}

/// Returns the privileges of the reader in a database, other than those of PUBLIC.
fn privileges(fixture: &Fixture, database: &str) -> String {
    fixture.query_in(
        database,
        "SELECT string_agg(held, ' ' ORDER BY held) FROM (
           SELECT 'database ' || p FROM pg_database, aclexplode(datacl) x(o, g, p, a)
             WHERE g = 'shop_reader'::regrole
           UNION ALL SELECT nspname || ' ' || p FROM pg_namespace, aclexplode(nspacl) x(o, g, p, a)
             WHERE g = 'shop_reader'::regrole
           UNION ALL SELECT relname || ' ' || p FROM pg_class, aclexplode(relacl) x(o, g, p, a)
             WHERE g = 'shop_reader'::regrole
           UNION ALL SELECT 'future ' || p FROM pg_default_acl, aclexplode(defaclacl) x(o, g, p, a)
             WHERE g = 'shop_reader'::regrole) f(held)",
    )
}

fn role(fixture: &Fixture) -> String {
    fixture.query(
        "SELECT rolcanlogin || ' ' || (SELECT count(*) FROM pg_auth_members WHERE member = r.oid)
           || ' ' || (SELECT count(*) FROM pg_db_role_setting WHERE setrole = r.oid)
         FROM pg_roles r WHERE rolname = 'shop_reader'",
    )
}

/// Asserts that the reader has nothing left, and that a second run writes nothing.
#[track_caller]
fn assert_retired(fixture: &Fixture, databases: &[&str], again: impl Fn(&str) -> String) {
    assert!(role(fixture).starts_with("false 0 "), "{}", role(fixture));
    for database in databases {
        assert_eq!(privileges(fixture, database), "", "{database}");
        assert!(
            reads(fixture, database, "SELECT 1").unwrap_err().contains("not permitted to log in")
        );
    }
    let state = fixture.catalog_state();
    let output = again("first");
    assert!(output.contains("Nothing to do"), "{output}");
    fixture.disable_background_writes();
    fixture.without_wal(|| again("second"));
    assert_eq!(fixture.catalog_state(), state);
}

/// The entry stays in the definitions, and its secret does not have to exist any more.
#[test]
fn entry_without_access_retires_its_role() {
    for major in versions() {
        let fixture = applied(major);
        let half = [SHOP, REPORTS_ENDED, HR, &hr_reports()];
        run(&fixture, "apply", &half, &[], 0);
        // Only one of its entries has ended.
        assert!(role(&fixture).starts_with("true 1 "), "{}", role(&fixture));
        assert!(reads(&fixture, "shop", "SELECT 1").is_err());
        reads(&fixture, "hr", "SELECT FROM staff").unwrap();

        let hr_ended = HR_REPORTS.replace("reader\" }", "none\" }");
        let ended = [SHOP, REPORTS_ENDED, HR, &hr_ended];
        for application in ["shop_reports", "hr_reports"] {
            let id = format!("goldenpath/dev/{application}/postgres.json");
            std::fs::remove_file(fixture.path().join(id)).unwrap();
        }
        let plan = run(&fixture, "plan", &ended, &[], 0);
        assert!(plan.contains("role shop_reader: NOLOGIN   [revokes_access]"), "{plan}");
        run(&fixture, "apply", &ended, &[], 0);
        assert_retired(&fixture, &["shop", "hr"], |_| run(&fixture, "apply", &ended, &[], 0));
        assert_eq!(role(&fixture), "false 0 0");
        run(&fixture, "check", &ended, &[], 0);
        run(&fixture, "retire shop_reports", &ended, &[], 0);
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", "TABLE app.orders").unwrap();

        // An entry can get its access back.
        reader_secret(&fixture, "shop_reports");
        reader_secret(&fixture, "hr_reports");
        let output = run(&fixture, "apply", &[SHOP, REPORTS, HR, &hr_reports()], &[], 0);
        assert!(output.contains("[widens_access]"), "{output}");
        reads(&fixture, "shop", "TABLE app.orders").unwrap();
    }
}

/// A plan lists what orphans have once, and how to end it.
#[test]
fn orphans_are_listed_by_application_with_a_way_out() {
    for major in versions() {
        let fixture = applied(major);
        let owned =
            "CREATE SCHEMA own; CREATE TABLE own.a (id int); CREATE VIEW own.b AS TABLE own.a;
            CREATE FUNCTION own.f() RETURNS int LANGUAGE sql RETURN 1";
        let owned = if major >= 14 { owned } else { "" };
        fixture.query_in("hr", "CREATE SCHEMA own AUTHORIZATION hr_owner");
        let owned = owned.replace("CREATE SCHEMA own; ", "");
        fixture.server.sql_as("hr_owner", &password("hr"), "hr", &owned).unwrap();
        // As an earlier owner of the database would have left them.
        fixture.query("ALTER DATABASE hr OWNER TO platform_admin");
        let brief = run(&fixture, "plan", &[SHOP], &[], 0);
        let brief = brief.split_once("\norphaned: ").unwrap().1;
        let brief: Vec<&str> = brief.lines().skip(1).take(2).collect();
        let of_application = [
            "  application hr: role hr_owner, database hr",
            "  application hr_reports: role shop_reader",
        ];
        assert_eq!(brief, of_application);
        let text = run(&fixture, "plan", &[SHOP], &["-v"], 0);
        let orphans = text.split_once("\norphaned: ").unwrap().1;
        let orphans = orphans.split_once("\n\n").unwrap().0;
        for line in [
            "  role shop_reader, of application hr_reports",
            "    SELECT on future tables of shop_owner in schema public of database shop",
            "    SELECT on future tables of shop_owner in schema app of database shop",
            "  role hr_owner, of application hr",
            "    schema own of database hr",
            "    2 tables in schema own of database hr",
            "    1 other object of its own in database hr",
        ] {
            assert_eq!(orphans.lines().filter(|one| *one == line).count(), 1, "{line}: {text}");
        }
        let hint = "  hint: if definitions of another team declare them, give yours a `scope`; to end their access, run `rdsprov retire hr hr_reports`; --drop-role and --drop-database also drop what is left";
        assert_eq!(orphans.lines().last(), Some(hint), "{text}");
        for block in orphans.split("\n  ").filter(|block| block.contains(", of application ")) {
            let mut lines: Vec<&str> = block.lines().collect();
            let count = lines.len();
            lines.sort_unstable();
            lines.dedup();
            assert_eq!(lines.len(), count, "{block}");
        }
        let markdown = run(&fixture, "plan", &[SHOP], &["--format", "markdown"], 0);
        let lines = markdown.lines().filter(|line| line.starts_with("- orphaned: "));
        let lines: Vec<&str> = lines.collect();
        assert_eq!(
            lines,
            [
                "- orphaned: application hr: role hr\\_owner, database hr",
                "- orphaned: application hr\\_reports: role shop\\_reader",
            ],
            "{markdown}"
        );
        assert!(markdown.contains("to end their access, run "), "{markdown}");
        // An application that is declared with another role is not to be retired.
        let renamed = SHOP.replace("shop_owner", "shop_owner2");
        fixture.app("dev", "shop", "shop_owner2");
        let text = run(&fixture, "plan", &[&renamed], &[], 3);
        assert!(text.contains("run `rdsprov retire hr hr_reports`;"), "{text}");
    }
}

/// The marker names the application of a role that the definitions do not contain any more.
#[test]
fn orphans_are_retired_by_name() {
    for major in versions() {
        let fixture = applied(major);
        // The database of `hr` is an orphan as well.
        let left = [SHOP];
        let state = fixture.catalog_state();
        let plan = run(&fixture, "retire hr_reports", &left, &["--dry-run"], 0);
        assert!(plan.contains("only for application hr_reports"), "{plan}");
        assert_eq!(fixture.catalog_state(), state);
        let output = run(&fixture, "retire hr_reports", &left, &[], 0);
        assert!(output.contains(",shop_reader,alter_role,success,"), "{output}");
        assert_retired(&fixture, &["shop", "hr"], |_| {
            run(&fixture, "retire hr_reports", &left, &[], 0)
        });
        fixture.server.sql_as("hr_owner", &password("hr"), "hr", "TABLE staff").unwrap();

        // The owner of an orphan keeps its database and its objects, and cannot log in.
        let output = run(&fixture, "retire hr", &left, &[], 0);
        assert!(output.contains("role hr_owner: NOLOGIN"), "{output}");
        // The role holds nothing in this managed database.
        assert!(!output.contains(",shop,hr_owner,"), "{output}");
        assert!(!output.contains("role hr_owner, none of database shop"), "{output}");
        assert!(fixture.server.sql_as("hr_owner", &password("hr"), "hr", "TABLE staff").is_err());
        let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'hr'";
        assert_eq!(fixture.query(owner), "hr_owner");
        assert_eq!(fixture.admin_grants(), "0");
        run(&fixture, "check", &left, &[], 0);
        run(&fixture, "check", &left, &["--fail-on", "orphaned"], 2);
        let allow = ["--allow", "changes_secret,changes_application"];
        // Only the application in the marker of a role retires it.
        let output = run(&fixture, "apply", &[SHOP, HR_ENDED, REPORTS_ENDED], &allow, 3);
        assert!(output.contains("refused[role-of-application] shop_reports: "), "{output}");
        let reports_ended = hr_reports().replace("\"reader\"", "\"none\"");
        let declared = [SHOP, HR_ENDED, &reports_ended];
        run(&fixture, "apply", &declared, &allow, 0);
        run(&fixture, "check", &declared, &["--fail-on", "orphaned"], 0);
    }
}

#[test]
fn applications_with_access_are_not_retired() {
    let fixture = applied(versions()[0]);
    let state = fixture.catalog_state();
    let all = [SHOP, REPORTS, HR, &hr_reports()];
    let output = run(&fixture, "retire shop", &all, &[], 64);
    assert!(output.contains("the definitions declare it as owner"), "{output}");
    assert!(output.contains("write `access_level = \"none\"` in the entry of shop"), "{output}");
    // A similar name is a mistake, also with others, with a saved plan and in a dry run.
    for more in [&[][..], &["--dry-run"], &["--out", "retire.json"]] {
        for names in ["retire shp", "retire hr_reprts,hr"] {
            let output = run(&fixture, names, &[SHOP], more, 64);
            assert!(
                output.contains("error[unknown-application]: no role of application "),
                "{output}"
            );
            let meant = if names.contains("shp") { "shop" } else { "hr_reports" };
            assert!(output.contains(&format!("(did you mean {meant}?)")), "{output}");
        }
    }
    assert!(!fixture.path().join("retire.json").exists());
    assert_eq!(fixture.catalog_state(), state);
    let file = definitions(&fixture, &all);
    expect(&fixture.run(&file, &["retire", "--env", "dev"]), 64);
    // A list, and options that would have no effect.
    let plan = run(&fixture, "retire hr,hr_reports", &[SHOP], &["--dry-run"], 0);
    assert!(plan.contains("only for applications hr and hr_reports"), "{plan}");
    for (more, error, hint) in [
        (
            &["--without-backup"][..],
            "the run allows drops without a dump, but",
            "remove --without-backup",
        ),
        (&["--backup", "x"], "the dump `x` is given, but", "remove --backup FILE"),
        (
            &["--fleet", "f.toml"],
            "runs for one instance, and not for a fleet",
            "`rdsprov apply --fleet`",
        ),
    ] {
        let output = run(&fixture, "retire hr", &[SHOP], more, 64);
        assert!(output.contains(error) && output.contains(hint), "{output}");
    }
    assert_eq!(fixture.catalog_state(), state);
}

/// A role of another environment, and one that nobody manages, stay as they are.
#[test]
fn other_roles_are_not_retired() {
    let fixture = applied(versions()[0]);
    let comment =
        "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'hr_owner'";
    let marker = fixture.query(comment).replace("environment=dev", "environment=prod");
    fixture.query(&format!("COMMENT ON ROLE hr_owner IS '{marker}'"));
    let state = fixture.catalog_state();
    let output = run(&fixture, "retire hr", &[SHOP], &[], 0);
    assert!(output.contains("no role of application hr is managed"), "{output}");
    fixture.query("COMMENT ON ROLE shop_reader IS 'ask Ada'");
    let state_then = fixture.catalog_state();
    run(&fixture, "retire shop_reports", &[SHOP, REPORTS_ENDED], &[], 3);
    assert_eq!(fixture.catalog_state(), state_then);
    assert_ne!(state, state_then);
}

#[test]
fn sessions_of_retired_roles_end() {
    for major in versions() {
        let fixture = applied(major);
        let ended = [SHOP, REPORTS_ENDED];
        // The clone of an alternating-users rotation is a member of its role.
        fixture
            .server
            .master("postgres", "CREATE ROLE hr_owner_clone LOGIN PASSWORD 'clone-of-hr-1'")
            .unwrap();
        fixture.query("GRANT hr_owner TO hr_owner_clone");
        let mut reader =
            fixture.server.session("shop_reader", &password("hr_reports"), "shop").unwrap();
        let mut clone = fixture.server.session("hr_owner_clone", "clone-of-hr-1", "hr").unwrap();
        let mut owner = fixture.server.session("shop_owner", &password("shop"), "shop").unwrap();

        run(&fixture, "retire hr", &[SHOP, REPORTS_ENDED], &[], 0);
        clone.ask("SELECT 1").unwrap();
        let output = run(&fixture, "retire hr", &ended, &["--end-sessions"], 0);
        assert!(output.contains("sessions of role hr_owner_clone"), "{output}");
        assert!(clone.ask("SELECT 1").is_err(), "PostgreSQL {major}");
        let login = fixture.server.session("hr_owner_clone", "clone-of-hr-1", "hr");
        assert!(login.is_err());

        let output = run(&fixture, "retire hr_reports", &[SHOP], &["--end-sessions"], 0);
        assert!(output.contains(",shop_reader,end_sessions,success,"), "{output}");
        assert!(reader.ask("SELECT 1").is_err(), "PostgreSQL {major}");
        owner.ask("SELECT 1").unwrap();
        assert_eq!(fixture.admin_grants(), "0");
        let output = run(&fixture, "retire hr_reports", &[SHOP], &["--end-sessions"], 0);
        assert!(output.contains("Nothing to do"), "{output}");
    }
}

/// A role with IAM tokens leaves `rds_iam`.
#[test]
fn retired_role_leaves_rds_iam() {
    let fixture = applied(versions()[0]);
    let iam = r#"hr_reports = { database_name = "hr", username = "app_iam", access_level = "reader", auth = "iam" }"#;
    run(&fixture, "apply", &[SHOP, HR, iam], &[], 0);
    let member = "SELECT pg_has_role('app_iam', 'rds_iam', 'MEMBER')";
    assert_eq!(fixture.query(member), "t");
    let ended = r#"hr_reports = { database_name = "hr", username = "app_iam", access_level = "none", auth = "iam" }"#;
    run(&fixture, "retire hr_reports", &[SHOP, HR, ended], &[], 0);
    assert_eq!(fixture.query(member), "f");
}

/// Returns which of the role and the database of `hr` exist, and the owner of the database.
fn left_of_hr(fixture: &Fixture) -> String {
    fixture.query(
        "SELECT concat_ws(' ', (SELECT rolname FROM pg_roles WHERE rolname = 'hr_owner'),
           (SELECT datname || ':' || pg_get_userbyid(datdba) || ':' || datallowconn
            FROM pg_database WHERE datname = 'hr'))",
    )
}

const DROPS: [&str; 6] =
    ["--drop-role", "--drop-database", "--allow", "drops_role", "--allow", "drops_database"];
const CONFIRMED: [&str; 3] = ["--without-backup", "--confirm", "hr"];

#[test]
fn roles_and_databases_are_dropped() {
    for major in versions() {
        let fixture = applied(major);
        let ended = [SHOP, HR_ENDED];
        let hr = |more: &[&[&str]], code| run(&fixture, "retire hr", &ended, &more.concat(), code);
        let state = fixture.catalog_state();

        let output = hr(&[&DROPS], 64);
        assert!(
            output.contains("add --confirm") || output.contains("--without-backup"),
            "{output}"
        );
        let output = hr(&[&DROPS, &["--backup", "none.dump"]], 64);
        assert!(output.contains("the dump `none.dump` cannot be used"), "{output}");
        let output = hr(&[&DROPS, &["--backup", "."]], 64);
        assert!(output.contains("it is not a regular file"), "{output}");
        let output = hr(&[&DROPS, &["--without-backup"]], 3);
        assert!(output.contains("error[drop-not-confirmed]"), "{output}");
        assert!(output.contains("hint: review the plan, then add --confirm hr"), "{output}");
        let output = hr(&[&DROPS, &["--without-backup", "--confirm", "shop"]], 3);
        assert!(output.contains("the plan does not drop database shop"), "{output}");
        let output = hr(&[&DROPS[..2], &CONFIRMED], 3);
        assert!(output.contains("drops_role (1 change), drops_database (2 changes)"), "{output}");
        // Another application still uses the database.
        let all = [SHOP, HR_ENDED, &hr_reports()];
        let more = [DROPS.as_slice(), &CONFIRMED].concat();
        let output = run(&fixture, "retire hr", &all, &more, 3);
        assert!(output.contains("application hr_reports uses it as reader"), "{output}");
        let hint = "hint: write `access_level = \"none\"` in the entry of hr_reports, or remove";
        assert!(output.contains(hint), "{output}");
        // A client of the reader, which is an orphan.
        let mut reader =
            fixture.server.session("shop_reader", &password("hr_reports"), "hr").unwrap();
        let output = hr(&[&DROPS, &CONFIRMED], 3);
        assert!(output.contains("[database-not-droppable]"), "{output}");
        assert!(output.contains("sessions of shop_reader use it"), "{output}");
        reader.ask("SELECT 1").unwrap();
        drop(reader);
        assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}");

        // Those of the retired role end with the option.
        let mut own = fixture.server.session("hr_owner", &password("hr"), "hr").unwrap();
        hr(&[&DROPS, &CONFIRMED], 3);
        std::fs::write(fixture.path().join("hr.dump"), "a dump").unwrap();
        let backup = ["--backup", "hr.dump", "--confirm", "hr", "--end-sessions"];
        let output = hr(&[&DROPS, &backup], 0);
        assert!(own.ask("SELECT 1").is_err());
        assert!(output.contains("the user has a dump of it in hr.dump"), "{output}");
        assert!(output.contains(",hr,,drop_database,success,"), "{output}");
        assert!(output.contains(",hr_owner,drop_role,success,"), "{output}");
        assert!(!output.contains(",apply_grants,no_change,"), "{output}");
        assert!(output.contains(", 1 database and 1 role dropped."), "{output}");
        assert!(!output.contains("cannot log in"), "{output}");
        assert_eq!(left_of_hr(&fixture), "", "PostgreSQL {major}");
        assert_eq!(fixture.admin_grants(), "0");
        let state = fixture.catalog_state();
        let output = hr(&[&DROPS, &CONFIRMED], 0);
        assert!(output.contains("Nothing to do"), "{output}");
        assert_eq!(fixture.catalog_state(), state);
        run(&fixture, "check", &ended, &[], 0);
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", "TABLE app.orders").unwrap();
    }
}

const HR_ENDED: &str =
    r#"hr = { database_name = "hr", username = "hr_owner", access_level = "none" }"#;

/// A plan of `retire` is reviewed in a file, and `apply` does what `retire` would do.
#[test]
fn saved_plan_of_retire_is_applied() {
    let fixture = applied(versions()[0]);
    let ended = [SHOP, HR_ENDED];
    let save = |more: &[&str], code| {
        run(&fixture, "retire hr", &ended, &[&["--out", "plan.json"], more].concat(), code)
    };
    let apply =
        |more: &[&[&str]], code| run(&fixture, "apply plan.json", &ended, &more.concat(), code);
    let state = fixture.catalog_state();
    let mut own = fixture.server.session("hr_owner", &password("hr"), "hr").unwrap();
    save(&DROPS[..2], 64);
    std::fs::write(fixture.path().join("hr.dump"), "a dump").unwrap();
    let text = save(&[&DROPS[..2], &["--backup", "hr.dump", "--end-sessions"]].concat(), 0);
    assert!(text.contains("To apply it, run `rdsprov apply plan.json` with"), "{text}");
    // It has the gates of `retire`.
    let confirm = ["--confirm", "hr"];
    let text = apply(&[&confirm], 3);
    assert!(text.contains("drops_role (1 change), drops_database (2 changes)"), "{text}");
    let text = apply(&[&DROPS[2..]], 3);
    assert!(text.contains("hint: review the plan, then add --confirm hr"), "{text}");
    let text = apply(&[&DROPS[2..], &["--confirm", "shop"]], 3);
    assert!(text.contains("the plan does not drop database shop"), "{text}");
    std::fs::remove_file(fixture.path().join("hr.dump")).unwrap();
    let text = apply(&[&DROPS[2..], &confirm], 64);
    assert!(text.contains("the dump `hr.dump` cannot be used"), "{text}");
    std::fs::write(fixture.path().join("hr.dump"), "a dump").unwrap();
    assert_eq!(fixture.catalog_state(), state);
    // Something has changed since.
    fixture.query("GRANT CONNECT ON DATABASE hr TO shop_owner");
    let text = apply(&[&DROPS[2..], &confirm], 3);
    assert!(text.contains("error[plan-stale]"), "{text}");
    assert!(text.contains("save a new plan with `rdsprov retire` and --out FILE"), "{text}");
    fixture.query("REVOKE CONNECT ON DATABASE hr FROM shop_owner");

    let text = apply(&[&DROPS[2..], &confirm, &["--audit-ledger", "ledger.jsonl"]], 0);
    assert!(text.contains("Dropped: database hr, role hr_owner."), "{text}");
    assert!(text.contains(" 1 database and 1 role dropped"), "{text}");
    assert!(own.ask("SELECT 1").is_err());
    assert_eq!(left_of_hr(&fixture), "");
    // It has not made the server as declared.
    let ledger = std::fs::read_to_string(fixture.path().join("ledger.jsonl")).unwrap();
    assert!(ledger.contains(r#""command":"retire""#), "{ledger}");
    assert!(!ledger.contains(r#""applied":"#), "{ledger}");
    let text = apply(&[&DROPS[2..], &confirm], 0);
    assert!(text.contains("This plan has already been applied"), "{text}");
}

/// What is not dropped with the role is listed, and nothing is changed.
#[test]
fn roles_with_objects_are_not_dropped() {
    for major in versions() {
        let fixture = applied(major);
        let drop = ["--drop-role", "--allow", "drops_role"];
        let state = fixture.catalog_state();
        let output = run(&fixture, "retire hr", &[SHOP], &drop, 3);
        assert!(output.contains("refused[role-not-droppable]"), "{output}");
        assert!(output.contains("database hr"), "{output}");
        assert!(output.contains("of its own in database hr"), "{output}");
        assert_eq!(fixture.catalog_state(), state);

        // Objects of the reader in a database that nothing manages.
        fixture.query("CREATE DATABASE other");
        fixture.query_in(
            "other",
            "CREATE SCHEMA s AUTHORIZATION shop_reader; SELECT lo_create(900);
             ALTER LARGE OBJECT 900 OWNER TO shop_reader",
        );
        let output = run(&fixture, "retire hr_reports", &[SHOP], &drop, 3);
        assert!(output.contains("2 objects of its own in database other"), "{output}");
        fixture.query_in("other", "DROP SCHEMA s; SELECT lo_unlink(900)");
        // What other roles have given it keeps it from the drop only, and they are named.
        fixture.query("CREATE ROLE mallory LOGIN PASSWORD 'Canary-mallory'");
        let given = |sql: &str| {
            fixture.server.sql_as("mallory", "Canary-mallory", "postgres", sql).unwrap();
        };
        given(
            "SELECT lo_create(901); GRANT SELECT ON LARGE OBJECT 901 TO shop_reader;
             ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO shop_reader",
        );
        let output = run(&fixture, "retire hr_reports", &[SHOP], &drop, 0);
        let left = "note[role-not-dropped]: role shop_reader is retired, but not dropped, because it still has \
            default privileges of mallory in database postgres, privileges on 1 large object of mallory in database postgres";
        assert!(output.contains(left), "PostgreSQL {major}: {output}");
        let login = "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'shop_reader'";
        assert_eq!(fixture.query(login), "f");
        given(
            "SELECT lo_unlink(901); ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM shop_reader",
        );
        // The plan revokes the privileges of the reader in all managed databases.
        let output = run(&fixture, "retire hr_reports", &[SHOP], &drop, 0);
        assert!(output.contains(",shop_reader,drop_role,success,"), "{output}");
        assert_eq!(fixture.query("SELECT FROM pg_roles WHERE rolname = 'shop_reader'"), "");
        let output = run(&fixture, "retire hr_reports", &[SHOP], &drop, 0);
        assert!(output.contains("no role of application hr_reports is managed"), "{output}");
    }
}

/// The next run drops a database that an interrupted run has prepared.
#[test]
fn interrupted_drop_is_completed() {
    for major in versions() {
        let fixture = applied(major);
        let arguments = [DROPS.as_slice(), &CONFIRMED].concat();
        fixture.query("ALTER DATABASE hr OWNER TO platform_admin");
        fixture.query("ALTER DATABASE hr ALLOW_CONNECTIONS false");
        let prepared = "hr_owner hr:platform_admin:false";
        assert_eq!(left_of_hr(&fixture), prepared);
        // Neither a plan for all nor a plain `retire` opens it again.
        let allow = ["--allow", "changes_secret,changes_application"];
        run(&fixture, "apply", &[SHOP, HR_ENDED, REPORTS], &allow, 0);
        assert_eq!(left_of_hr(&fixture), prepared);
        let output = run(&fixture, "retire hr", &[SHOP, REPORTS], &arguments, 0);
        assert!(output.contains("database hr with all its data; without a dump"), "{output}");
        assert_eq!(left_of_hr(&fixture), "", "PostgreSQL {major}");
    }
}

/// A declared role has a second database, whose entry was removed.
#[test]
fn second_database_of_a_declared_role_is_dropped() {
    const OLD: &str = r#"old = { database_name = "old", username = "shop_owner" }"#;
    for major in versions() {
        let fixture = applied(major);
        let home = SHOP.replace(" }", ", role_owner = true }");
        let secret = format!(r#"{{"username": "shop_owner", "password": "{}"}}"#, password("shop"));
        fixture.secret("goldenpath/dev/old/postgres", &secret);
        run(&fixture, "apply", &[&home, REPORTS, HR, &hr_reports(), OLD], &[], 0);
        // It stops the end of no other application.
        let left = [SHOP, HR, &hr_reports()];
        let text = run(&fixture, "retire shop_reports", &left, &[], 0);
        assert!(!text.contains("refused["), "{text}");
        run(&fixture, "retire old", &left, &[], 0);
        let exists = "SELECT count(*) FROM pg_database WHERE datname = 'old'";
        assert_eq!(fixture.query(exists), "1", "PostgreSQL {major}");
        let drop = ["--drop-database", "--allow", "drops_database", "--without-backup", "-v"];
        let text =
            run(&fixture, "retire old", &left, &[&drop[..], &["--confirm", "old"]].concat(), 0);
        assert!(text.contains("DROP DATABASE \"old\";"), "{text}");
        assert_eq!(fixture.query(exists), "0", "PostgreSQL {major}");
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", "TABLE app.orders").unwrap();
        let text = run(&fixture, "retire typo", &left, &[], 0);
        assert!(text.contains("note[nothing-to-retire]"), "{text}");
        assert!(text.contains("Nothing to do for application typo"), "{text}");
        let json = run(&fixture, "retire typo", &left, &["--format", "json"], 0);
        assert!(json.contains(r#""code": "nothing-to-retire""#), "{json}");
    }
}

/// The clone of an alternating-users rotation is dropped with its role.
#[test]
fn clone_is_dropped_with_its_role() {
    for major in versions() {
        let fixture = applied(major);
        let create = "CREATE ROLE hr_owner_clone LOGIN PASSWORD 'clone-of-hr-1'";
        fixture.server.master("postgres", create).unwrap();
        fixture.query("GRANT hr_owner TO hr_owner_clone");
        let more = [DROPS.as_slice(), &CONFIRMED].concat();
        // The clone owns an object in another database.
        fixture.query_in("shop", "CREATE SCHEMA of_clone AUTHORIZATION hr_owner_clone");
        let output = run(&fixture, "retire hr", &[SHOP, HR_ENDED], &more, 3);
        assert!(output.contains("role hr_owner_clone"), "{output}");
        assert!(output.contains("1 object of its own in database shop"), "{output}");
        fixture.query_in("shop", "DROP SCHEMA of_clone");
        let output = run(&fixture, "retire hr", &[SHOP, HR_ENDED], &more, 0);
        assert!(output.contains(",hr_owner_clone,drop_role,success,"), "{output}");
        let roles = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'hr_owner%'";
        assert_eq!(fixture.query(roles), "0", "PostgreSQL {major}");
        let output = run(&fixture, "retire hr", &[SHOP, HR_ENDED], &more, 0);
        assert!(output.contains("Nothing to do"), "{output}");
    }
}

/// Before PostgreSQL 15, a role can make any other role its member. This role is not managed.
#[test]
fn role_that_was_made_a_clone_by_its_group_is_left_alone() {
    for major in versions().into_iter().filter(|major| *major < 15) {
        let fixture = applied(major);
        fixture.query("CREATE ROLE hr_owner_clone LOGIN CREATEDB");
        let give = "GRANT hr_owner TO hr_owner_clone";
        fixture.server.sql_as("hr_owner", &password("hr"), "hr", give).unwrap();
        let more = [DROPS.as_slice(), &CONFIRMED].concat();
        run(&fixture, "retire hr", &[SHOP, HR_ENDED], &more, 0);
        let left =
            "SELECT rolcanlogin AND rolcreatedb FROM pg_roles WHERE rolname = 'hr_owner_clone'";
        assert_eq!(fixture.query(left), "t", "PostgreSQL {major}");
    }
}

/// Returns the day on which Secrets Manager deletes a secret, if that is scheduled.
fn deleted_date(fixture: &Fixture, application: &str) -> Option<String> {
    let manager = fixture.secrets_manager.as_ref().unwrap();
    let described = manager.describe(&format!("goldenpath/dev/{application}/postgres")).unwrap();
    described.get("DeletedDate").filter(|date| !date.is_null()).map(ToString::to_string)
}

#[test]
fn secrets_of_retired_roles_are_deleted() {
    for major in versions() {
        let fixture = applied_on(Fixture::with_secrets_manager(major));
        let delete = ["--delete-secret", "--recovery-window-days", "7"];
        let with_drops = [DROPS.as_slice(), &CONFIRMED, &delete].concat();
        let dry =
            run(&fixture, "retire hr", &[SHOP, HR_ENDED], &["--delete-secret", "--dry-run"], 0);
        let step = "- delete secret goldenpath/dev/hr/postgres of role hr_owner, which can be restored for 30 days";
        assert!(dry.contains(step), "{dry}");
        let sql = [&delete[..], &["--dry-run", "--format", "sql"]].concat();
        let script = run(&fixture, "retire hr", &[SHOP, HR_ENDED], &sql, 0);
        assert!(script.contains("-- not by this script: delete secret"), "{script}");
        assert_eq!(deleted_date(&fixture, "hr"), None);

        // Only the secret, of a role that is retired already.
        run(&fixture, "retire hr_reports", &[SHOP, HR, REPORTS_ENDED], &[], 0);
        let orphan = [SHOP, HR, REPORTS_ENDED];
        let output = run(&fixture, "retire hr_reports", &orphan, &delete, 0);
        assert!(!output.contains("NOLOGIN"), "{output}");

        let output = run(&fixture, "retire hr", &[SHOP, HR_ENDED], &with_drops, 0);
        assert!(output.contains(",hr_owner,delete_secret,success,"), "{output}");
        assert!(output.contains(",hr_owner,drop_role,success,"), "{output}");
        assert!(deleted_date(&fixture, "hr").is_some());
        let output = run(&fixture, "retire hr", &[SHOP, HR_ENDED], &with_drops, 0);
        assert!(output.contains("Nothing to do"), "{output}");
        assert_eq!(deleted_date(&fixture, "shop"), None);
    }
}

/// A retired role that stays keeps its marker: a second run finds nothing to do.
#[test]
fn deletion_of_a_secret_is_idempotent_and_spares_shared_ones() {
    let fixture = applied_on(Fixture::with_secrets_manager(versions()[0]));
    let ended = [SHOP, HR_ENDED];
    run(&fixture, "retire hr", &ended, &["--delete-secret"], 0);
    let date = deleted_date(&fixture, "hr");
    assert!(date.is_some());
    let output = run(&fixture, "retire hr", &ended, &["--delete-secret"], 0);
    assert!(output.contains("Nothing to do"), "{output}");
    assert_eq!(deleted_date(&fixture, "hr"), date);

    // The marker of the reader names the secret of the shop, which the definitions use.
    let comment =
        "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'shop_reader'";
    let old = fixture.query(comment);
    let marker = |id: &str| {
        let (before, _) = old.split_once(" secret=").unwrap();
        fixture.query(&format!("COMMENT ON ROLE shop_reader IS '{before} secret=\"{id}\"]'"));
    };
    let application = old.split_once("application=").unwrap().1.split(' ').next().unwrap();
    let retire = format!("retire {application}");
    for (id, why) in [
        ("goldenpath/dev/shop/postgres", "the marker of role shop_owner names it"),
        ("goldenpath/dev/rds/master", "it is that of the administrator"),
        ("builds/{build_id}/shop", "its id contains the id of a build"),
    ] {
        marker(id);
        let output = run(&fixture, &retire, &ended, &["--delete-secret"], 0);
        assert!(output.contains("note[secret-kept]"), "{output}");
        assert!(output.contains(why), "{output}");
    }
    // A marker that does not count protects the secret as well.
    let rest = "SELECT shobj_description('shop_owner'::regrole, 'pg_authid')";
    let comment = fixture.query(rest);
    fixture.query("COMMENT ON ROLE shop_owner IS NULL");
    fixture.query(&format!("CREATE ROLE upgraded; COMMENT ON ROLE upgraded IS '{comment}'"));
    marker("goldenpath/dev/shop/postgres");
    let output = run(&fixture, &retire, &ended, &["--delete-secret"], 0);
    assert!(output.contains(" of role upgraded names it"), "{output}");
    fixture.query("DROP ROLE upgraded");
    marker("goldenpath/dev/shop/postgres");
    let output = run(&fixture, &retire, &ended, &["--delete-secret"], 0);
    assert!(output.contains("the definitions name it for role shop_owner"), "{output}");
    assert_eq!(deleted_date(&fixture, "shop"), None);
}

/// If the secret cannot be deleted, the role stays, and the next run goes on.
#[test]
fn role_stays_until_its_secret_is_deleted() {
    let fixture = applied_on(Fixture::with_secrets_manager(versions()[0]));
    let proxy = HttpProxy::start(fixture.secrets_manager.as_ref().unwrap(), |call| {
        (call.action == "DeleteSecret")
            .then(|| Reply::Error("AccessDeniedException", "not allowed".to_owned()))
    })
    .unwrap();
    let more = ["--drop-role", "--drop-database", "--delete-secret", "--without-backup"];
    let allow = ["--allow", "drops_role,drops_database", "--confirm", "hr"];
    let more = [&more[..], &allow].concat();
    let file = definitions(&fixture, &[SHOP, HR_ENDED]);
    let arguments = [&["retire", "hr", "--env", "dev"], more.as_slice()].concat();
    let mut command = fixture.command(&file, &arguments);
    let output = expect(&command.envs(proxy.environment()).output().unwrap(), 4);
    assert!(output.contains("allow secretsmanager:DeleteSecret"), "{output}");
    assert!(output.contains(",hr_owner,delete_secret,error,"), "{output}");
    assert_eq!(left_of_hr(&fixture), "hr_owner hr:hr_owner:true");
    run(&fixture, "retire hr", &[SHOP, HR_ENDED], &more, 0);
    assert_eq!(left_of_hr(&fixture), "");
    assert!(deleted_date(&fixture, "hr").is_some());
}

#[test]
fn files_with_secrets_are_not_deleted() {
    let fixture = applied(versions()[0]);
    let output = run(&fixture, "retire hr", &[SHOP, HR_ENDED], &["--delete-secret"], 64);
    assert!(output.contains("remove --delete-secret, or use --secrets aws"), "{output}");
    let days = ["--delete-secret", "--recovery-window-days", "3"];
    run(&fixture, "retire hr", &[SHOP, HR_ENDED], &days, 64);
}

const SHOP_ENDED: &str =
    r#"shop = { database_name = "shop", username = "shop_owner", access_level = "none" }"#;

/// Statements with which the owner of a database prevents that it is compared, and those that revert them.
fn hindrances(database: &str) -> Vec<[String; 2]> {
    let marker = "[managed by rdsprov: environment=prod application=shop build_id=1 name=\"shop\"]";
    let of_environment = marker.replace("prod", "dev");
    [
        ["COMMENT ON DATABASE {} IS NULL", "COMMENT ON DATABASE {} IS '{marker}'"],
        ["COMMENT ON DATABASE {} IS '{prod}'", "COMMENT ON DATABASE {} IS '{marker}'"],
        ["ALTER DATABASE {} CONNECTION LIMIT 0", "ALTER DATABASE {} CONNECTION LIMIT -1"],
        ["ALTER DATABASE {} IS_TEMPLATE true", "ALTER DATABASE {} IS_TEMPLATE false"],
        [
            "ALTER DATABASE {} SET default_transaction_read_only = on",
            "ALTER DATABASE {} RESET default_transaction_read_only",
        ],
        [
            "ALTER DATABASE {} SET local_preload_libraries = 'nope'",
            "ALTER DATABASE {} RESET local_preload_libraries",
        ],
        [
            "REVOKE CONNECT ON DATABASE {} FROM platform_admin",
            "GRANT CONNECT ON DATABASE {} TO platform_admin",
        ],
    ]
    .map(|pair| {
        pair.map(|sql| {
            let sql = sql.replace("{}", database).replace("{prod}", marker);
            sql.replace("{marker}", &of_environment.replace("shop", database))
        })
    })
    .into()
}

/// `NOLOGIN` and the end of memberships need no database.
#[test]
fn owners_do_not_prevent_the_end_of_access() {
    for major in versions() {
        let fixture = applied(major);
        let declared = [SHOP_ENDED, REPORTS_ENDED, HR, &hr_reports()];
        for [hinders, reverts] in hindrances("shop") {
            fixture.server.sql_as("shop_owner", &password("shop"), "postgres", &hinders).unwrap();
            for entries in [&declared[..], &declared[2..]] {
                let text = run(&fixture, "retire shop", entries, &["--dry-run"], 0);
                let ends = "alter role shop_owner: NOLOGIN";
                assert!(text.contains(ends), "PostgreSQL {major}: {hinders}: {text}");
            }
            fixture.query(&reverts);
        }
        // The database of another application, in which the reader has privileges.
        for [hinders, reverts] in hindrances("hr") {
            fixture.server.sql_as("hr_owner", &password("hr"), "postgres", &hinders).unwrap();
            let more = ["hr_reports", "--dry-run"];
            let text = run(&fixture, "retire shop_reports", &[SHOP, HR], &more, 0);
            let ends = "alter role shop_reader: NOLOGIN";
            assert!(text.contains(ends), "PostgreSQL {major}: {hinders}: {text}");
            fixture.query(&reverts);
        }
        // No definitions declare the database that cannot be read.
        fixture.query("REVOKE CONNECT ON DATABASE hr FROM platform_admin");
        let text = run(&fixture, "retire hr_reports", &[SHOP], &["--dry-run"], 0);
        let unread = "database hr: the administrator cannot connect to database hr yet\n";
        assert!(text.contains(unread), "PostgreSQL {major}: {text}");
        fixture.query("GRANT CONNECT ON DATABASE hr TO platform_admin");
        let limit = "ALTER DATABASE shop CONNECTION LIMIT 0";
        fixture.server.sql_as("shop_owner", &password("shop"), "postgres", limit).unwrap();
        let text = run(&fixture, "retire shop", &declared, &[], 0);
        assert!(text.contains("note[undeclared-database-unreadable]"), "{text}");
        let login = fixture.server.sql_as("shop_owner", &password("shop"), "postgres", "SELECT 1");
        assert!(login.unwrap_err().to_string().contains("not permitted to log in"));
    }
}

/// The comment of a database does not keep it from the drop.
#[test]
fn databases_are_dropped_with_their_owners() {
    const EXISTS: &str = "SELECT count(*) FROM pg_database WHERE datname = 'hr'";
    let forged = "[managed by rdsprov: environment=dev application=shop build_id=1 name=\"hr\"]";
    let prod = forged.replace("=dev", "=prod");
    let comments = ["NULL".to_owned(), format!("'{forged}'"), format!("'{prod}'")];
    let declared = [[SHOP].as_slice(), &[SHOP, HR_ENDED], &[SHOP]];
    for major in versions() {
        for (comment, entries) in comments.iter().zip(declared) {
            let fixture = applied(major);
            let sql = format!("COMMENT ON DATABASE hr IS {comment}");
            fixture.server.sql_as("hr_owner", &password("hr"), "hr", &sql).unwrap();
            // PostgreSQL does not drop a template.
            let template = "ALTER DATABASE hr IS_TEMPLATE true";
            fixture.server.sql_as("hr_owner", &password("hr"), "hr", template).unwrap();
            let drop = ["--drop-database", "--allow", "drops_database"];
            let drop = [drop.as_slice(), &CONFIRMED].concat();
            // The confirmation of a database that the plan does not drop is an error.
            let text = run(&fixture, "retire shop_reports", entries, &drop, 3);
            assert!(text.contains("the plan does not drop database hr"), "{text}");
            if major >= 16 {
                let subscription = "CREATE SUBSCRIPTION feed CONNECTION 'dbname=none password=none'
                    PUBLICATION p WITH (connect = false, slot_name = 'none')";
                fixture.query("GRANT pg_create_subscription TO hr_owner");
                fixture.query("GRANT CREATE ON DATABASE hr TO hr_owner");
                let owner = |sql: &str| {
                    fixture.server.sql_as("hr_owner", &password("hr"), "hr", sql).unwrap();
                };
                owner(subscription);
                let state = fixture.catalog_state();
                let text = run(&fixture, "retire hr", entries, &drop, 3);
                assert!(text.contains("subscription feed of role hr_owner is in it"), "{text}");
                assert_eq!(fixture.catalog_state(), state);
                owner("ALTER SUBSCRIPTION feed SET (slot_name = NONE)");
                owner("DROP SUBSCRIPTION feed");
                fixture.query("REVOKE pg_create_subscription FROM hr_owner");
            }
            // What is stored for the owner and its database concerns no session of the administrator.
            let mut hinders = Vec::new();
            for of in ["ROLE hr_owner", "DATABASE hr", "ROLE hr_owner IN DATABASE hr"] {
                for setting in [
                    "default_transaction_read_only = on",
                    "default_transaction_isolation = serializable",
                    "statement_timeout = 1",
                    "lock_timeout = 1",
                    "search_path = none",
                ] {
                    hinders.push(format!("ALTER {of} SET {setting}"));
                }
            }
            let hinders = hinders.join("; ");
            fixture.server.sql_as("hr_owner", &password("hr"), "postgres", &hinders).unwrap();
            let drop = [&drop[..], &["--drop-role", "--allow", "drops_role"]].concat();
            run(&fixture, "retire hr", entries, &drop, 0);
            assert_eq!(fixture.query(EXISTS), "0", "PostgreSQL {major}: {comment}");
            let role = "SELECT count(*) FROM pg_roles WHERE rolname = 'hr_owner'";
            assert_eq!(fixture.query(role), "0", "PostgreSQL {major}: {comment}");
            run(&fixture, "retire hr", entries, &drop, 0);
        }
    }
}

/// What prevents `DROP DATABASE` or `DROP ROLE` is known before the roles lose anything.
#[test]
fn what_prevents_a_drop_is_refused_before_any_change() {
    let drop = ["--drop-database", "--allow", "drops_database"];
    let drop = [drop.as_slice(), &CONFIRMED].concat();
    let drop_role = ["--drop-role", "--allow", "drops_role"];
    for major in versions() {
        let settings = "max_prepared_transactions = 5\nwal_level = logical\n";
        let server = Server::start_with_settings(major, settings).unwrap();
        let fixture = applied_on(Fixture::on(server, None));
        let owner = |database: &str, sql: &str| {
            fixture.server.sql_as("hr_owner", &password("hr"), database, sql).unwrap();
        };
        let refused = |arguments: &[&str], reason: &str| {
            let state = fixture.catalog_state();
            let text = run(&fixture, "retire hr", &[SHOP, HR_ENDED], arguments, 3);
            assert!(text.contains(reason), "PostgreSQL {major}: {text}");
            assert_eq!(fixture.catalog_state(), state);
        };
        owner("hr", "BEGIN; CREATE TABLE later (id int); PREPARE TRANSACTION 'p'");
        let with_sessions = [drop.as_slice(), &["--end-sessions"]].concat();
        refused(&with_sessions, "prepared transactions of hr_owner are in it");
        refused(&drop_role, "prepared transactions in database hr");
        owner("hr", "ROLLBACK PREPARED 'p'");
        // Also that of a superuser, who keeps its subscription before PostgreSQL 16.
        let subscription = "CREATE SUBSCRIPTION feed CONNECTION 'dbname=none password=none'
            PUBLICATION p WITH (connect = false, slot_name = 'none')";
        fixture.query_in("hr", subscription);
        let superuser = fixture.query("SELECT current_user");
        refused(&drop, &format!("subscription feed of role {superuser} is in it"));
        fixture.query_in("hr", "ALTER SUBSCRIPTION feed SET (slot_name = NONE)");
        fixture.query_in("hr", "DROP SUBSCRIPTION feed");
        // A replication slot without a session goes with the database.
        fixture.query_in("hr", "SELECT pg_create_logical_replication_slot('feed', 'pgoutput')");
        run(&fixture, "retire hr", &[SHOP, HR_ENDED], &drop, 0);
        let left = "SELECT (SELECT count(*) FROM pg_database WHERE datname = 'hr')
            + (SELECT count(*) FROM pg_replication_slots)";
        assert_eq!(fixture.query(left), "0");
    }
}
