//! Saved plans: applied while they are current, otherwise refused with the reason.

use rdsprov_testkit::{Server, SwitchingRelay, versions};
use serde_json::{Value, json};

use crate::fixture::{Fixture, assert_no_password, expect, password};

const DEFINITIONS: &str = r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner" }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#;

fn fixture(major: u32) -> (Fixture, String) {
    Fixture::shop(major, DEFINITIONS)
}

fn read(fixture: &Fixture) -> Value {
    let text = std::fs::read_to_string(fixture.path().join("plan.json")).unwrap();
    assert_no_password(&text);
    serde_json::from_str(&text).unwrap()
}

fn write(fixture: &Fixture, plan: &Value) {
    std::fs::write(fixture.path().join("plan.json"), plan.to_string()).unwrap();
}

const PLAN: [&str; 5] = ["plan", "--env", "dev", "--out", "plan.json"];
const APPLY: [&str; 4] = ["apply", "plan.json", "--env", "dev"];

#[test]
fn saved_plan_is_applied_until_something_changes() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let apply = |code| expect(&fixture.run(&definitions, &APPLY), code);
        let output_text = expect(&fixture.run(&definitions, &PLAN), 0);
        let saved = read(&fixture);
        assert!(output_text.contains(saved["digest"].as_str().unwrap()), "{output_text}");
        assert_eq!(saved["origin"]["server"], format!("localhost:{}", fixture.server.port()));
        let sum = std::process::Command::new("sha256sum").arg(&definitions).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        assert_eq!(
            saved["origin"]["definitions"],
            format!("sha256:{}", sum.split(' ').next().unwrap())
        );

        // Another session creates one of the roles in the meantime.
        let role = "CREATE ROLE shop_reader LOGIN; COMMENT ON ROLE shop_reader IS
            '[managed by rdsprov: environment=dev application=shop_reports build_id=1 name=\"shop_reader\" secret=\"goldenpath/dev/shop_reports/postgres\"]'";
        fixture.server.master("postgres", role).unwrap();
        let catalog_state = fixture.catalog_state();
        let stale = apply(3);
        for words in [
            "error[plan-stale]: the saved plan (",
            "no longer planned:\n    roles and databases: + create role shop_reader",
            "planned in addition:\n    roles and databases: ~ set password: role shop_reader, password from",
            "hint: save a new plan with `rdsprov plan`",
        ] {
            assert!(stale.contains(words), "PostgreSQL {major}: {words} is not in {stale}");
        }
        assert!(!stale.contains("definitions have changed"), "{stale}");
        assert_eq!(fixture.catalog_state(), catalog_state);

        expect(&fixture.run(&definitions, &PLAN), 0);
        assert!(apply(0).contains("The server matches the definitions."));
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
        // A plan can be applied once: the second time, nothing is left.
        let catalog_state = fixture.catalog_state();
        assert!(apply(0).contains("This plan has already been applied; nothing is left to do."));
        assert_eq!(fixture.catalog_state(), catalog_state);
        // An empty plan can be saved as well.
        expect(&fixture.run(&definitions, &PLAN), 0);
        assert!(apply(0).contains("Nothing to do"));

        // Changed definitions: the digest covers each byte of them.
        expect(&fixture.run(&definitions, &PLAN), 0);
        fixture.definitions(&format!("# hello\n{DEFINITIONS}"));
        let stale = apply(3);
        assert!(
            stale.contains("the definitions have changed\n  the steps are the same"),
            "{stale}"
        );
        fixture.definitions(&DEFINITIONS.replace("\"reader\"", "\"editor\""));
        let stale = apply(3);
        assert!(stale.contains("the definitions have changed"), "{stale}");
        assert!(stale.contains("+ grant TEMPORARY on database shop to shop_reader"), "{stale}");
    }
}

/// Each role can store settings for itself in each database and, before PostgreSQL 15, make each role a member
/// of itself. This is not the state that the plan of another application is based on.
#[test]
fn roles_of_others_make_no_plan_stale() {
    const BEFORE: &str = r#"
        hr   = { database_name = "hr", username = "hr_owner" }
        shop = { database_name = "shop", username = "shop_owner" }"#;
    const READER: &str = r#"
        hr_reports = { database_name = "hr", username = "hr_reader", access_level = "reader" }"#;
    const PLAN: [&str; 5] = ["plan", "--env", "prod", "--out", "plan.json"];
    const ARGUMENTS: [&str; 5] = ["apply", "plan.json", "--env", "prod", "--no-fail-fast"];
    for major in versions() {
        // With the words of the error if the saved plan is stale for an application.
        for (role, change, stale) in [
            ("hr_owner", "CREATE TABLE salary (amount int)", Some("is stale: the current plan is")),
            (
                "shop_owner",
                "ALTER ROLE shop_owner IN DATABASE hr SET work_mem = '5MB'",
                Some("is stale for: shop\n"),
            ),
            ("stranger", "ALTER ROLE stranger IN DATABASE hr SET work_mem = '5MB'", None),
            ("shop_owner", "GRANT shop_owner TO hr_owner", Some("is stale for: shop\n")),
        ] {
            if major >= 15 && change.starts_with("GRANT") {
                continue;
            }
            let fixture = Fixture::new(major);
            for (application, role) in
                [("hr", "hr_owner"), ("shop", "shop_owner"), ("hr_reports", "hr_reader")]
            {
                fixture.app("prod", application, role);
            }
            let approved = |definitions: &str, approval: &str, arguments: &[&str], code| {
                let mut command = fixture.command(definitions, arguments);
                expect(&command.env("ALLOW_DB_PROVISION", approval).output().unwrap(), code)
            };
            let definitions =
                fixture.definitions(&format!("application_databases = {{{BEFORE}\n}}"));
            approved(&definitions, "true", &["apply", "--env", "prod"], 0);
            fixture.query("CREATE ROLE stranger LOGIN PASSWORD 'Known-stranger'");
            let definitions =
                fixture.definitions(&format!("application_databases = {{{BEFORE}{READER}\n}}"));
            expect(&fixture.run(&definitions, &PLAN), 0);
            let digest = read(&fixture)["digest"].as_str().unwrap().to_owned();
            let secret = match role {
                "stranger" => "Known-stranger".to_owned(),
                role => password(role.trim_end_matches("_owner")),
            };
            let database = if role == "hr_owner" { "hr" } else { "postgres" };
            fixture.server.sql_as(role, &secret, database, change).unwrap();
            let code = if stale.is_some() { 3 } else { 0 };
            let text = approved(&definitions, &digest, &ARGUMENTS, code);
            if let Some(stale) = stale {
                assert!(text.contains(stale), "PostgreSQL {major}: {text}");
            }
            let readers = "SELECT count(*) FROM pg_roles WHERE rolname = 'hr_reader'";
            let expected = if role == "hr_owner" { "0" } else { "1" };
            assert_eq!(fixture.query(readers), expected, "PostgreSQL {major}, {change}: {text}");
        }
    }
}

/// The owner of a database changes it after the approval. The plan of the others is still approved.
#[test]
fn stale_application_leaves_the_others_alone() {
    const BEFORE: &str = r#"
        hr   = { database_name = "hr", username = "hr_owner" }
        shop = { database_name = "shop", username = "shop_owner" }
        wiki = { database_name = "wiki", username = "wiki_owner" }"#;
    const READERS: &str = r#"
        hr_reports   = { database_name = "hr", username = "hr_reader", access_level = "reader" }
        shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }"#;
    const ARGUMENTS: [&str; 5] = ["apply", "plan.json", "--env", "prod", "--no-fail-fast"];
    // What the owner does, and what an administrator does about it.
    let attacks = [
        (
            // The owner cannot choose another application.
            "GRANT CONNECT ON DATABASE shop TO wiki_owner, hr_owner",
            "REVOKE CONNECT ON DATABASE shop FROM wiki_owner, hr_owner",
        ),
        (
            "REVOKE CONNECT ON DATABASE shop FROM platform_admin",
            "GRANT CONNECT ON DATABASE shop TO platform_admin",
        ),
        (
            "ALTER DATABASE shop ALLOW_CONNECTIONS false",
            "ALTER DATABASE shop ALLOW_CONNECTIONS true",
        ),
    ];
    for (major, (attack, undo)) in
        versions().into_iter().flat_map(|major| attacks.map(|attack| (major, attack)))
    {
        let fixture = Fixture::new(major);
        for application in ["hr", "shop", "wiki"] {
            fixture.app("prod", application, &format!("{application}_owner"));
            fixture.app(
                "prod",
                &format!("{application}_reports"),
                &format!("{application}_reader"),
            );
        }
        let approved = |definitions: &str, approval: &str, arguments: &[&str], code| {
            let mut command = fixture.command(definitions, arguments);
            expect(&command.env("ALLOW_DB_PROVISION", approval).output().unwrap(), code)
        };
        let definitions = fixture.definitions(&format!("application_databases = {{{BEFORE}\n}}"));
        approved(&definitions, "true", &["apply", "--env", "prod"], 0);
        let definitions =
            fixture.definitions(&format!("application_databases = {{{BEFORE}{READERS}\n}}"));
        expect(&fixture.run(&definitions, &["plan", "--env", "prod", "--out", "plan.json"]), 0);
        let digest = read(&fixture)["digest"].as_str().unwrap().to_owned();

        // The owner of a database without a step in the plan changes it: the plan stays the same.
        fixture
            .server
            .sql_as("wiki_owner", &password("wiki"), "wiki", "CREATE TABLE page (id int)")
            .unwrap();
        expect(&fixture.run(&definitions, &["plan", "--env", "prod", "--out", "again.json"]), 0);
        assert_eq!(
            std::fs::read_to_string(fixture.path().join("again.json")).unwrap(),
            std::fs::read_to_string(fixture.path().join("plan.json")).unwrap(),
            "PostgreSQL {major}"
        );

        fixture.server.sql_as("shop_owner", &password("shop"), "postgres", attack).unwrap();
        let state = fixture.catalog_state();
        approved(&definitions, &digest, &ARGUMENTS[..4], 3);
        assert_eq!(fixture.catalog_state(), state);
        // A part of a plan has the approval of the whole plan only.
        assert!(approved(&definitions, "sha256:00", &ARGUMENTS, 3).contains("[plan-stale]"));
        assert_eq!(fixture.catalog_state(), state);

        let text = approved(&definitions, &digest, &ARGUMENTS, 3);
        for words in [
            "or depend on such an application: shop, shop_reports; ",
            "error[plan-stale]: the changes of the other applications were made; the saved plan is \
             stale for: shop, shop_reports\n",
        ] {
            assert!(text.contains(words), "PostgreSQL {major}: {words} is not in {text}");
        }
        let readers = "SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolname LIKE '%reader'";
        assert_eq!(fixture.query(readers), "hr_reader", "PostgreSQL {major}: {text}");
        let may = "SELECT has_database_privilege('hr_reader', 'hr', 'CONNECT')";
        assert_eq!(fixture.query(may), "t", "PostgreSQL {major}");
        // Nothing of the saved plan is left for the others.
        let state = fixture.catalog_state();
        assert!(approved(&definitions, &digest, &ARGUMENTS, 3).contains("[plan-stale]"));
        assert_eq!(fixture.catalog_state(), state);
        fixture.query(undo);
        approved(&definitions, &digest, &ARGUMENTS, 0);
        expect(&fixture.run(&definitions, &["check", "--env", "prod"]), 0);
    }
}

/// The owner of a database executes a step of the approved plan itself. The plan stays approved if the owner
/// has done exactly this: the step hides no other change.
#[test]
fn done_step_hides_no_other_change() {
    const TEAMS: &str = r#"application_databases = {
        hr           = { database_name = "hr", username = "hr_owner" }
        shop         = { database_name = "shop", username = "shop_owner" }
        shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
    }"#;
    const STEP: &str = "GRANT CONNECT ON DATABASE shop TO shop_reader";
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, role) in
            [("hr", "hr_owner"), ("shop", "shop_owner"), ("shop_reports", "shop_reader")]
        {
            fixture.app("prod", application, role);
        }
        let definitions = fixture.definitions(TEAMS);
        let approved = |approval: &str, arguments: &[&str], code| {
            let mut command = fixture.command(&definitions, arguments);
            expect(&command.env("ALLOW_DB_PROVISION", approval).output().unwrap(), code)
        };
        let as_owner = |statements: &str| {
            fixture.server.sql_as("shop_owner", &password("shop"), "shop", statements).unwrap();
        };
        approved("true", &["apply", "--env", "prod"], 0);
        as_owner("CREATE TABLE orders (id int); CREATE TABLE lines (id int)");
        for (more, undo) in [
            (
                "GRANT CONNECT ON DATABASE shop TO hr_owner",
                "REVOKE CONNECT ON DATABASE shop FROM hr_owner",
            ),
            ("GRANT SELECT ON lines TO PUBLIC", "REVOKE SELECT ON lines FROM PUBLIC"),
            (
                "GRANT USAGE ON SCHEMA public TO hr_owner",
                "REVOKE USAGE ON SCHEMA public FROM hr_owner",
            ),
            ("CREATE TABLE more (id int)", "DROP TABLE more"),
            ("COMMENT ON DATABASE shop IS 'mine'", ""),
            ("", ""),
        ] {
            if major == 14 && more.contains("SCHEMA public") {
                continue;
            }
            as_owner(
                "REVOKE CONNECT ON DATABASE shop FROM shop_reader; REVOKE SELECT ON orders FROM shop_reader",
            );
            approved("true", &["plan", "--env", "prod", "--out", "plan.json"], 0);
            let digest = read(&fixture)["digest"].as_str().unwrap().to_owned();
            let apply = |code| approved(&digest, &["apply", "plan.json", "--env", "prod"], code);
            as_owner(STEP);
            if more.is_empty() {
                let text = apply(0);
                assert!(text.contains("note: the saved plan was applied in part; "), "{text}");
                continue;
            }
            as_owner(more);
            let state = fixture.catalog_state();
            let text = apply(3);
            for words in ["[plan-stale]", "database shop"] {
                assert!(text.contains(words), "PostgreSQL {major}, {more}: {text}");
            }
            assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}, {more}");
            if undo.is_empty() {
                approved("true", &["apply", "--env", "prod"], 0);
            } else {
                as_owner(undo);
                apply(0);
            }
        }
        expect(&fixture.run(&definitions, &["check", "--env", "prod"]), 0);
    }
}

/// A saved plan that was applied in part is applied again: what is left of it is what a new plan
/// would do.
#[test]
fn partly_applied_plan_is_resumed() {
    const TWO: &str = r#"application_databases = {
        shop         = { database_name = "shop", username = "shop_owner", schemas = ["public", "stock"] }
        shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
        wiki         = { database_name = "wiki", username = "wiki_owner" }
        wiki_reports = { database_name = "wiki", username = "wiki_reader", access_level = "reader" }
    }"#;
    for major in versions() {
        let (fixture, _) = fixture(major);
        for (application, user) in [("wiki", "wiki_owner"), ("wiki_reports", "wiki_reader")] {
            fixture.app("prod", application, user);
        }
        let definitions = fixture.definitions(TWO);
        let plan = ["plan", "--env", "prod", "--out", "plan.json"];
        expect(&fixture.run(&definitions, &plan), 0);
        let saved = read(&fixture);
        let digest = saved["digest"].as_str().unwrap().to_owned();
        let run = |arguments: &[&str], code| {
            let words = [["apply", "plan.json", "--env", "prod"].as_slice(), arguments].concat();
            let mut command = fixture.command(&definitions, &words);
            expect(&command.env("ALLOW_DB_PROVISION", &digest).output().unwrap(), code)
        };
        let kept = ["--audit-ledger", "ledger.jsonl"];
        // The new databases contain a trigger that refuses every grant.
        fixture.query_in(
            "template1",
            "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE 'not today'; END $$;
             CREATE EVENT TRIGGER no ON ddl_command_start
               WHEN TAG IN ('ALTER DEFAULT PRIVILEGES') EXECUTE FUNCTION no()",
        );
        let text = run(&kept, 4);
        assert!(text.contains("not today"), "{text}");
        assert!(
            text.contains(
                "hint: fix the cause and apply the same plan again: what is left of it is applied \
                 if a new plan would do exactly that; otherwise run `rdsprov plan` and apply the \
                 new plan"
            ),
            "{text}"
        );
        for database in ["shop", "wiki"] {
            fixture.query_in(database, "DROP EVENT TRIGGER no; DROP FUNCTION no()");
        }

        // Another change makes it stale.
        fixture.query("ALTER ROLE shop_reader CONNECTION LIMIT 3");
        assert!(run(&[], 3).contains("[plan-stale]"));
        fixture.query("ALTER ROLE shop_reader CONNECTION LIMIT -1");
        // So do other definitions, even if only a comment differs.
        fixture.definitions(&format!("# hello\n{TWO}"));
        assert!(run(&[], 3).contains("[plan-stale]"));
        fixture.definitions(TWO);

        if major == 14 {
            // PUBLIC has CREATE on schema `public` of a new database. To revoke it is a hazard as
            // soon as the database exists, and the hazards of the rest must be those of the plan.
            let text = run(&kept, 3);
            assert!(text.contains("revoke CREATE on schema public from PUBLIC   [revokes_access]"));
            assert!(text.contains("hint: save a new plan with `rdsprov plan`"), "{text}");
            continue;
        }
        let text = run(&kept, 0);
        let all: usize = saved["transactions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|transaction| transaction["steps"].as_array().unwrap().len())
            .sum();
        let note = format!(" of its {all} changes are left");
        assert!(text.contains("note: the saved plan was applied in part; "), "{text}");
        assert!(text.contains(&note), "PostgreSQL {major}: {text}");
        assert!(text.contains("The server matches the definitions."), "{text}");
        // The ledger contains how the rest was approved.
        let ledger = std::fs::read_to_string(fixture.path().join("ledger.jsonl")).unwrap();
        let last: Value = serde_json::from_str(ledger.lines().last().unwrap()).unwrap();
        assert_eq!(last["approval"], digest.as_str());
        assert_ne!(last["plan"], digest.as_str());
        let text = run(&[], 0);
        assert!(
            text.contains("This plan has already been applied; nothing is left to do."),
            "{text}"
        );
    }
}

#[test]
fn invalid_saved_plans_are_refused() {
    let (fixture, definitions) = fixture(versions()[0]);
    expect(&fixture.run(&definitions, &PLAN), 0);
    let plan = read(&fixture);
    let catalog_state = fixture.catalog_state();
    let digest = format!("sha256:{}", "0".repeat(64));
    let changed = "[plan-file-changed]";
    let table: [(&str, Value, &str); 13] = [
        ("/format_version", json!(3), "[unknown-plan-format]"),
        ("/format_version", json!("1"), "[not-a-saved-plan]"),
        ("/digest", json!(digest), changed),
        ("/observed/administrator", json!(digest), changed),
        ("/environment", json!("prod"), changed),
        ("/transactions/0/steps", json!([]), changed),
        ("/transactions/0/steps/0/summary", json!("role shop_owner"), changed),
        ("/transactions/0/steps/0/statements/0", json!("SELECT 1"), changed),
        ("/origin/server", json!("elsewhere:5432"), changed),
        ("/origin/system_identifier", json!("7"), changed),
        ("/origin/admin_secret", json!("goldenpath/prod/rds/master"), changed),
        ("/origin/definitions", json!(digest), changed),
        ("/rdsprov_version", json!("0.0.9"), "rdsprov 0.0.9 wrote the saved plan"),
    ];
    for (place, value, says) in table {
        let mut other = plan.clone();
        *other.pointer_mut(place).unwrap() = value;
        write(&fixture, &other);
        let output_text = expect(&fixture.run(&definitions, &APPLY), 3);
        assert!(output_text.contains(says), "{place}: {says} is not in {output_text}");
    }
    // A key that rdsprov does not know, at each level.
    for place in ["", "/origin", "/transactions/0", "/transactions/0/steps/0"] {
        let mut other = plan.clone();
        let object = other.pointer_mut(place).unwrap().as_object_mut().unwrap();
        object.insert("note".to_owned(), json!("harmless"));
        write(&fixture, &other);
        let output_text = expect(&fixture.run(&definitions, &APPLY), 3);
        assert!(output_text.contains(changed), "{place}: {output_text}");
    }
    // A key that is given twice, of which the parser keeps the last value.
    let text = serde_json::to_string(&plan).unwrap();
    let memberships = "\"temporary_memberships\":{";
    assert!(text.contains(memberships), "{text}");
    let twice = format!("{memberships}\"x\":\"set\",\"x\":\"set\",");
    let twice = text.replacen(memberships, &twice, 1);
    std::fs::write(fixture.path().join("plan.json"), twice).unwrap();
    assert!(expect(&fixture.run(&definitions, &APPLY), 3).contains(changed));
    write(&fixture, &json!([]));
    assert!(expect(&fixture.run(&definitions, &APPLY), 3).contains("[not-a-saved-plan]"));
    write(&fixture, &plan);
    let elsewhere = [APPLY.as_slice(), &["--host", "127.0.0.1"]].concat();
    let output_text = expect(&fixture.run(&definitions, &elsewhere), 3);
    assert!(output_text.contains("the saved plan is for server localhost:"), "{output_text}");
    let prod = ["apply", "plan.json", "--env", "prod"];
    let mut command = fixture.command(&definitions, &prod);
    let output_text = expect(&command.env("ALLOW_DB_PROVISION", "true").output().unwrap(), 3);
    assert!(output_text.contains("the saved plan is for environment `dev`"), "{output_text}");
    assert_eq!(fixture.catalog_state(), catalog_state);

    // A missing file, and a plan in the wrong position.
    let none = ["apply", "other.json", "--env", "dev"];
    assert!(expect(&fixture.run(&definitions, &none), 64).contains("other.json cannot be read"));
    let mut command = fixture.without_connection(&definitions, &["apply", "--env", "dev"]);
    let output_text = expect(&command.arg("plan.json").output().unwrap(), 64);
    assert!(
        output_text.contains("[saved-plan-as-definitions]: plan.json is a saved plan"),
        "{output_text}"
    );
}

/// A saved plan replaces the question at the terminal, not the gates: without an approval, the run shows the
/// plan, and the command that passes all of them.
#[test]
fn saved_plan_needs_approval() {
    let (fixture, definitions) = fixture(versions()[0]);
    let apply = |approval: &str, code| {
        let mut command = fixture.command(&definitions, &["apply", "plan.json", "--env", "prod"]);
        expect(&command.env("ALLOW_DB_PROVISION", approval).output().unwrap(), code)
    };
    let save = || {
        expect(&fixture.run(&definitions, &["plan", "--env", "prod", "--out", "plan.json"]), 0);
        read(&fixture)["digest"].as_str().unwrap().to_owned()
    };
    let digest = save();
    let catalog_state = fixture.catalog_state();
    let text = apply("", 3);
    for words in ["[approval-missing]", "create database shop", &format!("(prod). {digest}\n")] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    assert!(apply("sha256:0000", 3).contains("[plan-stale]"));
    assert_eq!(fixture.catalog_state(), catalog_state);
    apply(&digest, 0);

    // The plan has a hazard, too.
    fixture.query("GRANT TEMPORARY ON DATABASE shop TO shop_reader");
    let digest = save();
    let text = apply("", 3);
    assert!(text.contains("- revoke TEMPORARY on database shop"), "{text}");
    let command = text.lines().find_map(|line| line.strip_prefix("  $ "));
    let command = command.unwrap_or_else(|| panic!("{text}"));
    assert!(command.starts_with(&format!("ALLOW_DB_PROVISION={digest} rdsprov ")), "{command}");
    assert!(command.ends_with(" --allow revokes_access"), "{command}");
    expect(&fixture.shell(command), 0);
    expect(&fixture.run(&definitions, &["check", "--env", "prod"]), 0);
}

#[test]
fn refused_plan_is_not_saved() {
    let (fixture, definitions) = fixture(versions()[0]);
    fixture.query("CREATE ROLE shop_owner");
    let output_text = expect(&fixture.run(&definitions, &PLAN), 3);
    assert!(output_text.contains("[plan-refused]"), "{output_text}");
    assert!(!fixture.path().join("plan.json").exists());
}

/// Two new servers with the same definitions and secrets have plans with other digests: an approval or
/// a saved plan for one of them is not valid on the other, even at the same address.
#[test]
fn plan_is_bound_to_its_server() {
    let major = versions()[0];
    let (one, definitions) = fixture(major);
    let two = Fixture::on(Server::start_unrelated(major).unwrap(), None);
    two.app("dev", "shop", "shop_owner");
    two.app("dev", "shop_reports", "shop_reader");
    let others = two.definitions(DEFINITIONS);
    let identity = |fixture: &Fixture| {
        fixture.query("SELECT system_identifier FROM pg_control_system()").trim().to_owned()
    };
    assert_ne!(identity(&one), identity(&two));
    expect(&one.run(&definitions, &PLAN), 0);
    let saved = read(&one);
    assert_eq!(saved["origin"]["system_identifier"], identity(&one));
    expect(&two.run(&others, &PLAN), 0);
    let other = read(&two);
    assert_eq!(other["transactions"], saved["transactions"]);
    assert_ne!(other["digest"], saved["digest"]);

    // The second server takes the place of the first one, behind the same name and port.
    let relay = SwitchingRelay::start(&one.server).unwrap();
    let port = relay.port().to_string();
    let with_port = |words: &[&'static str]| [words, &["--port", port.as_str()]].concat();
    expect(&one.run(&definitions, &with_port(&PLAN)), 0);
    let plan = std::fs::read(one.path().join("plan.json")).unwrap();
    std::fs::write(two.path().join("plan.json"), plan).unwrap();
    relay.switch_to(&two.server);
    let text = expect(&two.run(&others, &with_port(&APPLY)), 3);
    let (before, now) = (identity(&one), identity(&two));
    let says = format!(
        "[server-mismatch]: the saved plan is for the server with system identifier {before}, but \
         localhost:{port} has {now}"
    );
    assert!(text.contains(&says), "{text}");
    relay.switch_to(&one.server);
    expect(&one.run(&definitions, &with_port(&APPLY)), 0);
}
