//! The first steps on a server that rdsprov does not manage yet: one hint about all adoptions, and
//! `--additive`.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect, password};

const APPLICATIONS: [&str; 5] = ["billing", "crm", "hr", "shop", "wiki"];

/// A server with roles and databases that the administrator has created without rdsprov, and the definitions
/// of them.
fn brownfield(major: u32) -> (Fixture, String) {
    let fixture = Fixture::new(major);
    let mut entries = String::new();
    for one in APPLICATIONS {
        fixture.app("dev", one, &format!("{one}_owner"));
        for sql in [
            format!("CREATE ROLE {one}_owner LOGIN"),
            format!("GRANT {one}_owner TO platform_admin"),
            format!("CREATE DATABASE {one} OWNER {one}_owner"),
        ] {
            fixture.server.master("postgres", &sql).unwrap();
        }
        entries +=
            &format!("{one} = {{ database_name = \"{one}\", username = \"{one}_owner\" }}\n");
    }
    let definitions = fixture.definitions(&format!("application_databases = {{\n{entries}}}"));
    (fixture, definitions)
}

#[test]
fn one_hint_names_all_applications_to_adopt() {
    for major in versions() {
        let (fixture, definitions) = brownfield(major);
        let run = |arguments: &[&str], code| expect(&fixture.run(&definitions, arguments), code);
        let options: Vec<String> =
            APPLICATIONS.iter().map(|one| format!("--adopt {one}")).collect();
        let hint =
            format!("hint: or adopt them with {}, or with `adopt = true`", options.join(" "));
        for format in ["text", "sql", "markdown", "github"] {
            let text = run(&["plan", "--env", "dev", "--format", format], 3);
            let count = text.matches("--adopt billing").count();
            assert_eq!(count, 1, "PostgreSQL {major}: {text}");
            assert!(text.matches("exists and is not managed").count() >= 10, "{text}");
        }
        assert!(run(&["plan", "--env", "dev"], 3).contains(&hint));

        // The error does not repeat what the plan contains.
        let text = run(&["apply", "--env", "dev"], 3);
        let error = "error[plan-refused]: refused[role-not-managed] billing: role billing_owner exists and is \
                     not managed by rdsprov; and 9 more: 5 database-not-managed, 4 role-not-managed\n";
        assert!(text.contains(error), "{text}");
        let after = text.split_once(error).unwrap().1;
        assert_eq!(after.matches("--adopt billing").count(), 1, "{text}");

        let output = fixture.run(&definitions, &["plan", "--env", "dev", "--format", "json"]);
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let refusals = plan["refusals"].as_array().unwrap();
        assert_eq!(refusals.len(), 10);
        for refusal in refusals {
            let application = refusal["application"].as_str().unwrap();
            assert!(refusal["hint"].as_str().unwrap().contains(application), "{refusal}");
        }

        // The options of the hint are enough.
        let options: Vec<&str> = options.iter().flat_map(|one| one.split(' ')).collect();
        run(&[&["plan", "--env", "dev"], options.as_slice()].concat(), 0);
    }
}

const SHOP: &str = r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner" }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
    wiki         = { database_name = "wiki", username = "wiki_owner" }
}"#;

/// A shop that people made: open to PUBLIC, and with more privileges than the definitions of it. Its reader
/// lacks a privilege, and its owner has another password than its secret. A wiki is declared, too.
fn drifted_shop(major: u32) -> (Fixture, String) {
    let fixture = Fixture::new(major);
    for (application, role) in
        [("shop", "shop_owner"), ("shop_reports", "shop_reader"), ("wiki", "wiki_owner")]
    {
        fixture.app("dev", application, role);
    }
    let master = |database: &str, sql: &str| fixture.server.master(database, sql).unwrap();
    for sql in [
        "CREATE ROLE shop_owner LOGIN CREATEDB NOINHERIT PASSWORD 'of-people'",
        &format!("CREATE ROLE shop_reader LOGIN PASSWORD '{}'", password("shop_reports")),
        "CREATE ROLE staff",
        "GRANT staff TO shop_reader",
        "GRANT shop_owner TO platform_admin",
        "CREATE DATABASE shop OWNER shop_owner",
        "ALTER ROLE shop_reader IN DATABASE shop SET work_mem = '8MB'",
    ] {
        master("postgres", sql);
    }
    fixture.query_in(
        "shop",
        "SET ROLE shop_owner; CREATE TABLE orders (id int); CREATE TABLE lines (id int);
         GRANT INSERT ON orders TO shop_reader; GRANT SELECT ON lines TO PUBLIC",
    );
    let definitions = fixture.definitions(SHOP);
    (fixture, definitions)
}

/// What the shop has that no entry declares.
fn undeclared(fixture: &Fixture) -> Vec<String> {
    let in_shop = |sql: &str| fixture.query_in("shop", &format!("SELECT {sql}"));
    [
        "has_database_privilege('staff', 'shop', 'CONNECT')",
        "has_table_privilege('shop_reader', 'orders', 'INSERT')",
        "has_table_privilege('staff', 'lines', 'SELECT')",
        "pg_has_role('shop_reader', 'staff', 'MEMBER')",
        "rolcreatedb FROM pg_roles WHERE rolname = 'shop_owner'",
        "count(*) > 0 FROM pg_db_role_setting WHERE setconfig::text LIKE '%work_mem%'",
    ]
    .map(in_shop)
    .to_vec()
}

const ADOPT: [&str; 4] = ["--adopt", "shop", "--adopt", "shop_reports"];

#[test]
fn additive_run_takes_nothing_away() {
    for major in versions() {
        let (fixture, definitions) = drifted_shop(major);
        let run = |arguments: &[&str], code| {
            let arguments = [arguments, &["--env", "dev"], &ADOPT].concat();
            expect(&fixture.run(&definitions, &arguments), code)
        };
        let all = vec!["t".to_owned(); 6];
        assert_eq!(undeclared(&fixture), all, "PostgreSQL {major}");
        let state = fixture.catalog_state();
        let plan = run(&["plan", "--additive", "--detailed-exitcode"], 2);
        assert!(plan.contains(", additions only\n"), "{plan}");
        let (steps, pending) = plan.split_once("\npending: ").unwrap();
        for summary in [
            "- revoke CONNECT, TEMPORARY on database shop from PUBLIC",
            "- revoke INSERT on table public.orders from shop_reader",
            "- revoke SELECT on table public.lines from PUBLIC",
            "- revoke membership of role shop_reader in staff",
            "~ alter role shop_owner: NOCREATEDB",
            // A person who knows its present password gets nothing new.
            "~ alter role shop_owner: INHERIT",
            "~ set work_mem for shop_reader in database shop: reset",
            "~ set password: role shop_owner",
        ] {
            assert!(pending.contains(summary), "PostgreSQL {major}, {summary}: {plan}");
            assert!(!steps.contains(summary), "{plan}");
        }
        assert!(!steps.contains("- revoke"), "{plan}");
        assert_eq!(fixture.catalog_state(), state);

        run(&["apply", "--additive"], 0);
        assert_eq!(undeclared(&fixture), all, "PostgreSQL {major}");
        let shop = |sql: &str| fixture.query_in("shop", &format!("SELECT {sql}"));
        assert_eq!(shop("has_table_privilege('shop_reader', 'orders', 'SELECT')"), "t");
        assert_eq!(shop("rolinherit FROM pg_roles WHERE rolname = 'shop_owner'"), "f");
        fixture.server.sql_as("shop_owner", "of-people", "shop", "SELECT 1").unwrap();
        // The run has created the wiki, and closed it.
        assert_eq!(shop("has_database_privilege('staff', 'wiki', 'CONNECT')"), "f");
        let wiki = fixture.server.sql_as("wiki_owner", &password("wiki"), "wiki", "SELECT 1");
        assert_eq!(wiki.unwrap().trim(), "1");

        // The second run finds nothing to add.
        let state = fixture.catalog_state();
        let text = run(&["apply", "--additive"], 0);
        assert!(text.contains("to apply what is pending, run `rdsprov apply` without --additive"));
        let words = " changes are pending: they take access away, or wait for a change that does.";
        assert!(text.contains("Nothing to do: ") && text.contains(words), "{text}");
        assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}");
        assert!(run(&["check"], 2).contains("- revoke CONNECT"));
        // The markers are written.
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 2);
        let text = run(&["plan", "--additive", "--format", "github"], 0);
        let title = "::notice title=pending::application shop: role shop_owner, owner of database";
        assert!(text.contains(title) && text.contains("%0A- revoke CONNECT"), "{text}");

        run(&["apply"], 0);
        assert_eq!(undeclared(&fixture), vec!["f".to_owned(); 6], "PostgreSQL {major}");
        run(&["check"], 0);
        assert!(!run(&["plan", "--additive"], 0).contains("pending"));
    }
}

#[test]
fn saved_additive_plan_is_applied_as_such() {
    for major in versions() {
        let (fixture, definitions) = drifted_shop(major);
        let run = |arguments: &[&str], code| {
            let arguments = [arguments, &["--env", "dev"], &ADOPT].concat();
            expect(&fixture.run(&definitions, &arguments), code)
        };
        run(&["plan", "--additive", "--out", "additive.json"], 0);
        run(&["plan", "--out", "whole.json"], 0);
        let read = |name: &str| std::fs::read_to_string(fixture.path().join(name)).unwrap();
        let value = |name: &str| serde_json::from_str::<serde_json::Value>(&read(name)).unwrap();
        let (additive, whole) = (value("additive.json"), value("whole.json"));
        assert_ne!(additive["digest"], whole["digest"]);
        assert!(whole.get("pending").is_none() && additive["origin"]["additive"] == true);

        // What the reviewers saw as pending is part of the plan.
        let mut edited = additive.clone();
        edited["pending"].as_array_mut().unwrap().pop().unwrap();
        std::fs::write(fixture.path().join("edited.json"), edited.to_string()).unwrap();
        assert!(run(&["apply", "edited.json"], 3).contains("plan-file-changed"));
        let text = run(&["apply", "whole.json", "--additive"], 64);
        assert!(text.contains("remove --additive, or save a new plan"), "{text}");

        run(&["apply", "additive.json"], 0);
        assert_eq!(undeclared(&fixture), vec!["t".to_owned(); 6], "PostgreSQL {major}");
        let text = run(&["apply", "additive.json"], 0);
        assert!(text.contains("pending"), "{text}");
        assert_eq!(undeclared(&fixture), vec!["t".to_owned(); 6], "PostgreSQL {major}");
    }
}

/// The plan opens a database to the roles of its entries, and not to PUBLIC as well. Another owner takes
/// everything from the present one.
#[test]
fn additive_run_leaves_nothing_half_open() {
    for major in versions() {
        let (fixture, definitions) = drifted_shop(major);
        let run = |arguments: &[&str], code| {
            let arguments = [arguments, &["--env", "dev"], &ADOPT].concat();
            expect(&fixture.run(&definitions, &arguments), code)
        };
        fixture.query("ALTER DATABASE shop ALLOW_CONNECTIONS false");
        run(&["apply", "--additive"], 0);
        let query = "SELECT datallowconn, has_database_privilege('staff', 'shop', 'CONNECT')
             FROM pg_database WHERE datname = 'shop'";
        assert_eq!(fixture.query(query), "t|f", "PostgreSQL {major}");

        fixture.query("ALTER DATABASE wiki OWNER TO platform_admin");
        let text = run(&["plan", "--additive", "--allow", "changes_owner"], 0);
        let (steps, pending) = text.split_once("\npending: ").unwrap();
        assert!(pending.contains("database wiki: owner wiki_owner"), "{text}");
        assert!(!steps.contains("wiki_owner"), "{text}");
        run(&["apply", "--additive", "--allow", "changes_owner"], 0);
        let owner = "SELECT datdba::regrole FROM pg_database WHERE datname = 'wiki'";
        assert_eq!(fixture.query(owner), "platform_admin");

        // Only the owner writes a marker, and the plan says what the adoption waits for.
        fixture.query("COMMENT ON DATABASE wiki IS NULL");
        let changed = ["--adopt", "wiki", "--allow", "changes_owner"];
        let text = run(&[&["apply", "--additive"], &changed[..]].concat(), 0);
        let hint = "hint: the adoption of database wiki waits for its new owner; to make it, use \
                    `rdsprov apply` without --additive, and with --adopt wiki --allow changes_owner";
        assert!(text.contains(hint), "{text}");
        assert!(text.contains("\n  application wiki: role wiki_owner, owner of "), "{text}");
        run(&[&["apply"], &changed[..]].concat(), 0);
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
    }
}

/// A plan for one application names the roles of others that connect through PUBLIC, and get nothing from it.
#[test]
fn plan_for_one_application_names_whom_it_locks_out() {
    let (fixture, definitions) = drifted_shop(versions()[0]);
    let closes = |arguments: &[&str]| {
        let arguments = [&["plan", "--env", "dev", "--adopt", "shop"], arguments].concat();
        let text = expect(&fixture.run(&definitions, &arguments), 0);
        let line = text.lines().find(|line| line.contains("on database shop from PUBLIC"));
        let line = line.unwrap_or_else(|| panic!("{text}"));
        line.split(" can no longer connect").next().unwrap().to_owned()
    };
    assert!(closes(&["--only", "shop"]).contains("shop_reader"));
    // Control: with its application, the role gets CONNECT.
    assert!(!closes(&["--adopt", "shop_reports"]).contains("shop_reader"));
}

/// The owner of a database would use the extension with the password that is replaced later.
#[test]
fn role_with_another_password_gets_no_extension_in_additive_runs() {
    let (fixture, definitions) = Fixture::shop(
        *versions().last().unwrap(),
        r#"application_databases = { shop = { database_name = "shop", username = "shop_owner" } }"#,
    );
    fixture.app("dev", "shop", "shop_owner");
    let apply = ["apply", "--env", "dev", "--additive"];
    expect(&fixture.run(&definitions, &apply), 0);
    fixture.query("ALTER ROLE shop_owner PASSWORD 'of-people-1'");
    let with_extension = fixture.definitions(
        r#"application_databases = {
            shop = { database_name = "shop", username = "shop_owner", extensions = ["pgcrypto"] }
        }"#,
    );
    expect(&fixture.run(&with_extension, &apply), 0);
    let count =
        || fixture.query_in("shop", "SELECT count(*) FROM pg_extension WHERE extname = 'pgcrypto'");
    assert_eq!(count(), "0");
    expect(&fixture.run(&with_extension, &apply[..3]), 0);
    assert_eq!(count(), "1");
}

/// In an additive run, the password of a role stays as it is. A person who knows it gets no new access, and the
/// definitions of another team change nothing of the role.
#[test]
fn role_with_another_password_gets_no_access_in_additive_runs() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, role) in
            [("shop", "shop_owner"), ("tool", "tool_reader"), ("wiki", "wiki_owner")]
        {
            fixture.app("dev", application, role);
        }
        let create = "CREATE ROLE tool_reader LOGIN PASSWORD 'of-people-1'";
        fixture.server.master("postgres", create).unwrap();
        let definitions = fixture.definitions(
            r#"application_databases = {
                shop = { database_name = "shop", username = "shop_owner" }
                tool = { database_name = "shop", username = "tool_reader", access_level = "reader", adopt = true }
            }"#,
        );
        let apply = ["apply", "--env", "dev", "--additive"];
        let text = expect(&fixture.run(&definitions, &apply), 0);
        assert!(text.contains("pending: "), "{text}");
        fixture.server.sql_as("tool_reader", "of-people-1", "postgres", "SELECT 1").unwrap();
        let connects = "SELECT has_database_privilege('tool_reader', 'shop', 'CONNECT')";
        assert_eq!(fixture.query(connects), "f", "PostgreSQL {major}");
        expect(&fixture.run(&definitions, &apply[..3]), 0);
        assert_eq!(fixture.query(connects), "t", "PostgreSQL {major}");

        let theirs = fixture.definitions(
            r#"application_databases = {
                wiki = { database_name = "wiki", username = "wiki_owner" }
                other = { database_name = "wiki", username = "tool_reader", access_level = "editor", secret = "goldenpath/dev/theirs", createdb = true, memberships = ["pg_monitor"] }
            }"#,
        );
        fixture.secret(
            "goldenpath/dev/theirs",
            &format!(r#"{{"username": "tool_reader", "password": "{}"}}"#, password("theirs")),
        );
        let text = expect(&fixture.run(&theirs, &apply), 0);
        assert!(text.contains("changes_secret"), "{text}");
        let gains = "SELECT rolcreatedb OR pg_has_role('tool_reader', 'pg_monitor', 'MEMBER')
            OR has_database_privilege('tool_reader', 'wiki', 'CONNECT') FROM pg_roles WHERE rolname = 'tool_reader'";
        assert_eq!(fixture.query(gains), "f", "PostgreSQL {major}: {text}");
    }
}
