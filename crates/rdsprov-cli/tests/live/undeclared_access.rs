//! The note and the refusal of access that the definitions do not declare.

use rdsprov_core::schema::Document;
use rdsprov_testkit::versions;
use serde_json::{Value, json};

use crate::fixture::{Fixture, expect, password, writes};
use crate::schema::assert_valid;

const DEFINITIONS: &str = r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner", creators = ["pipeline"] }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
    wiki         = { database_name = "wiki", username = "wiki_owner" }
}"#;

/// Starts a server on which the definitions are applied.
fn fixture(major: u32) -> (Fixture, String) {
    let fixture = Fixture::new(major);
    for (application, user) in
        [("shop", "shop_owner"), ("shop_reports", "shop_reader"), ("wiki", "wiki_owner")]
    {
        fixture.app("dev", application, user);
    }
    fixture.query("CREATE ROLE pipeline LOGIN; GRANT pipeline TO platform_admin");
    let definitions = fixture.definitions(DEFINITIONS);
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    let table = "CREATE TABLE orders (id int); CREATE SEQUENCE numbers";
    fixture.server.sql_as("shop_owner", &password("shop"), "shop", table).unwrap();
    (fixture, definitions)
}

/// Makes roles that have access, and roles that are never reported.
fn add_roles(fixture: &Fixture, major: u32) {
    let set_only = if major >= 16 { "WITH INHERIT FALSE, SET TRUE" } else { "" };
    let admin_only =
        if major >= 16 { "WITH ADMIN TRUE, INHERIT FALSE, SET TRUE" } else { "WITH ADMIN OPTION" };
    fixture.query(&format!(
        "CREATE ROLE bi LOGIN; CREATE ROLE dba LOGIN; GRANT shop_owner TO dba;
         CREATE ROLE shy LOGIN NOINHERIT; GRANT shop_reader TO shy {set_only};
         CREATE ROLE lead LOGIN NOINHERIT; GRANT shop_reader TO lead {admin_only};
         CREATE ROLE analysts; CREATE ROLE ann LOGIN; GRANT analysts TO ann;
         CREATE ROLE old_grant LOGIN; CREATE ROLE unrelated LOGIN;
         CREATE ROLE second_admin LOGIN IN ROLE rds_superuser;
         CREATE ROLE other_super LOGIN SUPERUSER; CREATE ROLE all_reader LOGIN IN ROLE pg_read_all_data;
         CREATE ROLE nobody_in LOGIN"
    ));
    fixture.query_in(
        "shop",
        "GRANT CONNECT ON DATABASE shop TO bi, analysts, pipeline, second_admin, other_super, pg_monitor;
         ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner GRANT SELECT ON TABLES TO bi;
         ALTER DEFAULT PRIVILEGES FOR ROLE pipeline IN SCHEMA public GRANT ALL ON SEQUENCES TO bi;
         GRANT SELECT ON orders TO bi, old_grant; GRANT USAGE ON SEQUENCE numbers TO bi;
         GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_reset() TO nobody_in",
    );
}

/// Returns the lines of the notes and refusals about access that is not declared.
fn findings(text: &str) -> Vec<&str> {
    let is_finding =
        |line: &&str| line.contains("undeclared-access") || line.contains("access-not-declared");
    text.lines().filter(is_finding).collect()
}

/// Returns the statements of the hints about access that is not declared, each with its database.
fn statements(text: &str) -> Vec<(String, String)> {
    let hints = text.split("note[undeclared-access]").skip(1).flat_map(|note| {
        let hints = note.lines().skip(1).map_while(|line| line.strip_prefix("  hint: "));
        hints.map(|hint| hint.split_once("run as ").unwrap().1)
    });
    let of_hint = |hint: &str| {
        let (place, sql) = hint.split_once(": ").unwrap();
        let database = place.split_once(" in database ").map_or("postgres", |(_, name)| name);
        let one = |sql: &str| (database.to_owned(), sql.to_owned());
        sql.split(';').map(str::trim).filter(|sql| !sql.is_empty()).map(one).collect::<Vec<_>>()
    };
    hints.flat_map(of_hint).collect()
}

#[test]
fn roles_with_access_are_reported_until_the_statements_are_executed() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let run = |arguments: &[&str], code| {
            let words = [arguments, &["--env", "dev"]].concat();
            expect(&fixture.run(&definitions, &words), code)
        };
        assert_eq!(findings(&run(&["plan"], 0)), Vec::<&str>::new());
        run(&["check", "--strict"], 0);
        run(&["check", "--fail-on", "undeclared"], 0);
        add_roles(&fixture, major);
        // PUBLIC may not connect after the plan, so that it gives no role access.
        fixture.query("GRANT CONNECT ON DATABASE wiki TO PUBLIC");
        run(&["apply"], 0);
        let mark = fixture.server.log().len();
        let text = run(&["check"], 0);
        assert_eq!(writes(&fixture.server.log()[mark..]), Vec::<String>::new());
        let found = findings(&text);
        for (role, words) in [
            ("analysts", "has CONNECT on database shop, used by its member ann"),
            ("ann", "can connect to database shop: it has the privileges of role analysts"),
            (
                "bi",
                "can connect to database shop: it has CONNECT, and privileges on relations in schema public",
            ),
            ("dba", "can connect to database shop: it has the privileges of role shop_owner"),
            ("lead", "can grant CONNECT on database shop: it has ADMIN OPTION on role shop_reader"),
            (
                "old_grant",
                "has privileges on relations in schema public of database shop, which it cannot use without CONNECT",
            ),
            // `creators` declares no access.
            ("pipeline", "can connect to database shop: it has CONNECT"),
        ] {
            let line = format!("role {role} is not declared and {words}");
            let lines = found.iter().filter(|one| one.ends_with(&line)).count();
            // Before PostgreSQL 16, ADMIN OPTION is part of a membership with SET ROLE.
            assert_eq!(lines, 1, "PostgreSQL {major}: {line}\n{text}");
        }
        // Role shy may only SET ROLE to shop_reader: the server rejects its login.
        assert_eq!(found.len(), 7, "PostgreSQL {major}: {text}");
        assert!(run(&["check", "--strict"], 2).contains("undeclared-access"));
        let text = run(&["check", "--fail-on", "orphaned,undeclared"], 2);
        let closing = "Nothing to do, but the check fails on: undeclared.";
        assert_eq!(text.trim_end().lines().last(), Some(closing), "{text}");
        let output = fixture.run(&definitions, &["plan", "--env", "dev", "--format", "json"]);
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_valid(Document::Plan, &plan);
        assert_eq!(plan.to_string().matches(r#""code":"undeclared-access""#).count(), 7, "{plan}");
        assert_eq!(plan["undeclared_databases"], json!([]));
        let access = plan["undeclared_access"].as_array().unwrap();
        let roles: Vec<&str> = access.iter().map(|one| one["role"].as_str().unwrap()).collect();
        assert_eq!(
            roles,
            ["analysts", "ann", "bi", "dba", "lead", "old_grant", "pipeline"],
            "{plan}"
        );
        assert_eq!(access[0]["used_by"], json!(["ann"]), "{plan}");
        assert_eq!(access[0]["statements"][0]["sql"], statements(&text)[0].1, "{plan}");
        assert_eq!(
            (&access[2]["connects"], &access[2]["schemas"]),
            (&json!(["CONNECT"]), &json!(["public"]))
        );
        // Each note names the statements that end it, and the database of those on tables.
        for (database, statement) in statements(&text) {
            fixture.query_in(&database, &statement);
        }
        assert_eq!(findings(&run(&["check", "--strict"], 0)), Vec::<&str>::new());
        // Neither has the role access to tables that are created later.
        let later = "SELECT count(*) FROM pg_default_acl WHERE defaclacl::text ~ '[{,]bi='";
        assert_eq!(fixture.query_in("shop", later), "0");
    }
}

/// A role that connects uses the privileges of the groups of which it is a member, also if they cannot connect.
#[test]
fn privileges_through_groups_are_reported() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        fixture.query(
            "CREATE ROLE readers; CREATE ROLE staff; CREATE ROLE unused; GRANT readers TO staff;
             CREATE ROLE rita LOGIN; GRANT staff TO rita; CREATE ROLE rob LOGIN IN ROLE readers;
             CREATE ROLE auditor LOGIN IN ROLE pg_read_all_data",
        );
        fixture.query_in(
            "shop",
            "GRANT CONNECT ON DATABASE shop TO rita, auditor;
             GRANT SELECT ON orders TO readers, unused",
        );
        let read = |role: &str| {
            fixture.query(&format!("ALTER ROLE {role} PASSWORD 'Known-{role}'"));
            let select = "SELECT count(*) FROM orders";
            fixture.server.sql_as(role, &format!("Known-{role}"), "shop", select).is_ok()
        };
        assert!(read("rita") && read("auditor") && !read("rob"), "PostgreSQL {major}");
        let expected = [
            (
                "auditor",
                "can connect to database shop: it has CONNECT, and privileges on relations through role pg_read_all_data",
            ),
            (
                "readers",
                "has privileges on relations in schema public of database shop, used by its member rita",
            ),
            (
                "rita",
                "can connect to database shop: it has CONNECT, and privileges on relations through role readers",
            ),
            (
                "unused",
                "has privileges on relations in schema public of database shop, but cannot log in",
            ),
        ];
        let lines = |begin: &str| {
            expected.map(|(role, means)| format!("{begin} role {role} is not declared and {means}"))
        };
        let text = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 0);
        let notes = lines("note[undeclared-access]:");
        assert_eq!(findings(&text), notes, "PostgreSQL {major}: {text}");
        let config = "[access]\nundeclared = \"refuse\"\n";
        std::fs::write(fixture.path().join("rdsprov.toml"), config).unwrap();
        let refused = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 3);
        let refusals = lines("refused[access-not-declared] shop:");
        assert_eq!(findings(&refused), refusals, "PostgreSQL {major}: {refused}");
        // The role of an application can log in: a group cannot be declared.
        for (role, is_declarable) in [("auditor", true), ("rita", true), ("readers", false)] {
            let hint = format!("declare the access of role {role} to database shop");
            assert_eq!(refused.contains(&hint), is_declarable, "{role}: {refused}");
        }
        std::fs::remove_file(fixture.path().join("rdsprov.toml")).unwrap();
        for (database, statement) in statements(&text) {
            fixture.query_in(&database, &statement);
        }
        assert!(!read("rita") && !read("auditor"), "PostgreSQL {major}");
        expect(&fixture.run(&definitions, &["check", "--env", "dev", "--strict"]), 0);
    }
}

/// Since PostgreSQL 16, a role with `CREATEROLE` is not an administrator, and writes the comments of the roles that it
/// creates: a marker there hides nothing.
#[test]
fn forged_marker_of_a_role_hides_no_privilege() {
    for major in versions().into_iter().filter(|major| *major >= 16) {
        let (fixture, definitions) = fixture(major);
        fixture.query("CREATE ROLE mallory LOGIN CREATEROLE PASSWORD 'of-mallory-1'");
        let mallory = |statements: &str| {
            fixture.server.sql_as("mallory", "of-mallory-1", "postgres", statements).unwrap();
        };
        mallory("CREATE ROLE group_in; GRANT group_in TO shop_reader");
        fixture.query_in("shop", "GRANT SELECT, UPDATE ON orders TO group_in");
        let config = "[access]\nundeclared = \"refuse\"\n";
        std::fs::write(fixture.path().join("rdsprov.toml"), config).unwrap();
        for comment in [
            "",
            "[managed by rdsprov: environment=dev application=x build_id=1 name=\"group_in\"]",
            "[managed by rdsprov: environment=dev scope=y application=x build_id=1 name=\"group_in\"]",
            "[managed by rdsprov: environment=dev application=rdsprov:administrator build_id=1 name=\"group_in\"]",
        ] {
            mallory(&format!("COMMENT ON ROLE group_in IS '{comment}'"));
            let refused = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 3);
            assert!(
                findings(&refused).iter().any(|line| line.contains(
                    "role group_in is not declared and has privileges on relations in schema public of database shop"
                )),
                "PostgreSQL {major}: {comment}: {refused}"
            );
            std::fs::remove_file(fixture.path().join("rdsprov.toml")).unwrap();
            let check = ["check", "--env", "dev", "--strict"];
            let found = expect(&fixture.run(&definitions, &check), 2);
            assert!(found.contains("role group_in is not declared"), "{comment}: {found}");
            std::fs::write(fixture.path().join("rdsprov.toml"), config).unwrap();
        }
    }
}

/// The owner of an object has all privileges on it. A creator owns objects by its declaration.
#[test]
fn owners_of_objects_are_reported() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        fixture.query(
            "CREATE ROLE ghost LOGIN; CREATE ROLE keeper LOGIN; CREATE ROLE author LOGIN; CREATE ROLE legacy;
             CREATE ROLE staff; CREATE ROLE sam LOGIN IN ROLE staff;
             GRANT CONNECT ON DATABASE shop TO author, sam, pipeline;
             GRANT ghost, keeper, author, legacy, staff TO platform_admin",
        );
        fixture.query("CREATE DATABASE of_ghost OWNER ghost");
        fixture.query_in(
            "shop",
            "CREATE SCHEMA ghosts AUTHORIZATION ghost; CREATE TABLE ghosts.g (id int);
             CREATE TABLE public.gt (id int); CREATE SEQUENCE public.ks; CREATE SCHEMA old AUTHORIZATION legacy;
             CREATE FUNCTION public.af() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TABLE public.st (id int);
             ALTER TABLE ghosts.g OWNER TO ghost; ALTER TABLE public.gt OWNER TO ghost;
             ALTER SEQUENCE public.ks OWNER TO keeper; ALTER FUNCTION public.af() OWNER TO author;
             ALTER TABLE public.st OWNER TO staff;
             CREATE TABLE public.of_creator (id int); ALTER TABLE public.of_creator OWNER TO pipeline;",
        );
        let words = [
            (
                "author",
                "can connect to database shop: it has CONNECT, and objects of its own in schema public",
            ),
            (
                "ghost",
                "has objects of its own in schemas ghosts, public of database shop, which it cannot use without CONNECT",
            ),
            (
                "keeper",
                "has objects of its own in schema public of database shop, which it cannot use without CONNECT",
            ),
            ("legacy", "has objects of its own in schema old of database shop, but cannot log in"),
            ("pipeline", "can connect to database shop: it has CONNECT"),
            (
                "sam",
                "can connect to database shop: it has CONNECT, and privileges on relations through role staff",
            ),
            (
                "staff",
                "has objects of its own in schema public of database shop, used by its member sam",
            ),
        ];
        let expected = words.map(|(role, means)| {
            format!("note[undeclared-access]: role {role} is not declared and {means}")
        });
        let check = ["check", "--env", "dev", "--strict"];
        let text = expect(&fixture.run(&definitions, &check), 2);
        assert_eq!(findings(&text), expected, "PostgreSQL {major}: {text}");
        let output = fixture.run(&definitions, &["plan", "--env", "dev", "--format", "json"]);
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_valid(Document::Plan, &plan);
        let access = plan["undeclared_access"].as_array().unwrap();
        assert_eq!(access[1]["owns"], json!(["ghosts", "public"]), "{plan}");
        // Each statement is executed by the role that it names, and the other database keeps its owner.
        for one in access.iter().flat_map(|one| one["statements"].as_array().unwrap()) {
            let sql = one["sql"].as_str().unwrap();
            let database = one["database"].as_str().unwrap_or("postgres");
            if one["executor"] == "administrator" {
                fixture.server.master(database, sql).unwrap();
            } else {
                fixture.query_in(database, sql);
            }
        }
        // The readers get access to what the owner of the database owns now.
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        expect(&fixture.run(&definitions, &check), 0);
        let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'of_ghost'";
        assert_eq!(fixture.query(owner), "ghost");
        let owners = "SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ' ') FROM pg_class WHERE relname IN ('g', 'gt', 'ks', 'st')";
        assert_eq!(fixture.query_in("shop", owners), "shop_owner");
        assert_eq!(fixture.admin_grants(), "0");
    }
}

/// Returns the statements of the data of a plan: executor, database and text.
fn statements_of_plan(fixture: &Fixture, definitions: &str) -> Vec<(Value, String, String)> {
    let output = fixture.run(definitions, &["plan", "--env", "dev", "--format", "json"]);
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_valid(Document::Plan, &plan);
    let access = plan["undeclared_access"].as_array().unwrap().iter();
    let all = access.flat_map(|one| one["statements"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap_or("postgres").to_owned();
    all.map(|one| (one["executor"].clone(), text(&one["database"]), text(&one["sql"]))).collect()
}

/// Executes statements, each as the role that it names.
fn execute(fixture: &Fixture, statements: &[(Value, String, String)]) {
    for (executor, database, sql) in statements {
        if executor == "administrator" {
            fixture.server.master(database, sql).unwrap();
        } else if executor == "superuser" {
            fixture.server.superuser(database, sql).unwrap();
        } else {
            let role = executor["role"].as_str().unwrap();
            let sql = format!("SET SESSION AUTHORIZATION \"{role}\"; {sql}");
            fixture.server.superuser(database, &sql).unwrap();
        }
    }
}

/// From PostgreSQL 16 on, `CREATEROLE` gives no power over the roles of others: hints name who has it.
#[test]
fn hints_about_objects_can_be_executed() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let check =
            |code| expect(&fixture.run(&definitions, &["check", "--env", "dev", "--strict"]), code);
        fixture.query("CREATE ROLE sghost LOGIN; CREATE ROLE dba2 LOGIN CREATEROLE");
        fixture.query("SET SESSION AUTHORIZATION dba2; CREATE ROLE dghost LOGIN");
        let plans = [
            ("CREATE SCHEMA gs AUTHORIZATION sghost", "sghost"),
            ("CREATE SCHEMA gd AUTHORIZATION dghost", "dghost"),
        ];
        for (sql, role) in plans {
            fixture.query_in("shop", sql);
            let mark = fixture.server.log().len();
            let text = check(2);
            let written = writes(&fixture.server.log()[mark..]);
            let is_probe =
                |sql: &String| sql.starts_with("BEGIN READ WRITE") || sql.starts_with("GRANT ");
            assert!(written.iter().all(is_probe), "PostgreSQL {major}: {written:?}");
            let line = format!("role {role} is not declared");
            assert!(text.contains(&line), "PostgreSQL {major}: {text}");
            let hints: Vec<&str> =
                text.lines().filter_map(|one| one.strip_prefix("  hint: ")).collect();
            let begins: &[&str] = match role {
                _ if major < 16 => &["run as the administrator in database shop: "],
                "sghost" => &[
                    "not possible on RDS; on another server, run as a superuser in database shop: ",
                ],
                _ => &["run as role dba2: GRANT ", "run as the administrator in database shop: "],
            };
            assert_eq!(hints.len(), begins.len(), "PostgreSQL {major}: {text}");
            for (hint, begin) in hints.iter().zip(begins) {
                assert!(hint.starts_with(begin), "PostgreSQL {major}: {text}");
            }
            execute(&fixture, &statements_of_plan(&fixture, &definitions));
            check(0);
            assert_eq!(fixture.admin_grants(), "0", "PostgreSQL {major}");
        }
    }
}

/// A role without a declaration, or a reader, writes code, and the statements of a hint would give it to the owner of
/// the database: each session that can call a function with `SECURITY DEFINER` would then act as the owner.
#[test]
fn hints_hand_over_no_code() {
    const HARMLESS: &str = "CREATE TYPE ms.e AS ENUM ('a'); CREATE TABLE ms.t (id serial PRIMARY KEY,
           a int DEFAULT 1 CHECK (a > 0), e ms.e DEFAULT 'a', at timestamptz DEFAULT now(), c varchar(3) DEFAULT 'x');
         CREATE TABLE ms.u (id int REFERENCES ms.t ON DELETE CASCADE); CREATE INDEX ON ms.t (lower(c));
         CREATE VIEW ms.h AS SELECT id, lower(c) FROM ms.t; CREATE DOMAIN ms.small AS int CHECK (VALUE < 9);
         CREATE TABLE ms.p (a int) PARTITION BY RANGE (a); CREATE TABLE ms.p1 PARTITION OF ms.p FOR VALUES FROM (1) TO (2);
         GRANT SELECT ON ms.t TO PUBLIC; GRANT USAGE ON SCHEMA ms TO PUBLIC;
         CREATE FUNCTION ms.f(a int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
         CREATE FUNCTION ms.tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'";
    let code = [
        (
            "CREATE FUNCTION ms.d(q text) RETURNS void SECURITY DEFINER LANGUAGE plpgsql AS 'BEGIN EXECUTE q; END'",
            "function ms.d(text)",
        ),
        (
            "CREATE TRIGGER tr AFTER INSERT ON ms.t EXECUTE FUNCTION ms.tf()",
            "trigger tr on table ms.t",
        ),
        ("CREATE VIEW ms.v AS SELECT ms.f(1)", "view ms.v"),
        ("CREATE RULE r AS ON INSERT TO ms.u DO ALSO SELECT ms.f(1)", "rule r on table ms.u"),
        ("CREATE POLICY p ON ms.t USING (ms.f(1) = 1)", "policy p on table ms.t"),
        (
            "ALTER TABLE ms.t ALTER a SET DEFAULT ms.f(1)",
            "default value for column a of table ms.t",
        ),
        (
            "ALTER TABLE ms.t ALTER c SET DEFAULT query_to_xml('SELECT 1', true, true, '')::varchar(3)",
            "default value for column c of table ms.t",
        ),
        ("ALTER TABLE ms.t ADD CONSTRAINT k CHECK (ms.f(1) = 1)", "constraint k on table ms.t"),
        ("CREATE INDEX i ON ms.t (ms.f(a))", "index ms.i"),
        ("CREATE DOMAIN ms.dom AS int CHECK (ms.f(VALUE) = 1)", "constraint dom_check"),
        ("CREATE VIEW ms.w AS SELECT * FROM public.orders", "view ms.w"),
        (
            "CREATE OPERATOR ms.@+@ (RIGHTARG = int, FUNCTION = ms.f)",
            "operator ms.@+@(NONE,integer)",
        ),
        ("GRANT TRIGGER ON ms.t TO PUBLIC", "TRIGGER of PUBLIC on table ms.t"),
        ("GRANT CREATE ON SCHEMA ms TO unrelated", "CREATE of role unrelated on schema ms"),
    ];
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        fixture.query(
            "CREATE ROLE ghost LOGIN PASSWORD 'boo'; CREATE ROLE unrelated; GRANT ghost TO platform_admin",
        );
        fixture.query_in("shop", "GRANT CONNECT, CREATE ON DATABASE shop TO ghost, shop_reader");
        let owner = |schema: &str| {
            let owner = "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = ";
            fixture.query_in("shop", &format!("{owner}'{schema}'"))
        };
        for (role, secret) in
            [("ghost", "boo".to_owned()), ("shop_reader", password("shop_reports"))]
        {
            let by_role = |sql: &str| fixture.server.sql_as(role, &secret, "shop", sql).unwrap();
            let transfer = || {
                let output =
                    fixture.run(&definitions, &["plan", "--env", "dev", "--format", "json"]);
                let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
                let of_note = plan["undeclared_access"].as_array().unwrap().iter();
                let of_note = of_note.flat_map(|one| one["statements"].as_array().unwrap());
                let of_refusal = plan["refusals"].as_array().unwrap().iter();
                let all = of_note.chain(of_refusal.map(|one| &one["manual_fix"]));
                let all: Vec<&str> = all.filter_map(|one| one["sql"].as_str()).collect();
                let one =
                    all.iter().find(|sql| sql.contains(&format!("REASSIGN OWNED BY \"{role}\"")));
                (*one.unwrap_or_else(|| panic!("PostgreSQL {major}: {plan}"))).to_owned()
            };
            for (sql, name) in code {
                by_role(&format!("CREATE SCHEMA ms; {HARMLESS}; {sql}"));
                let error = fixture.server.master("shop", &transfer()).unwrap_err().to_string();
                assert!(
                    error.contains("would receive code"),
                    "PostgreSQL {major}: {name}: {error}"
                );
                assert!(error.contains(name), "PostgreSQL {major}: {name}: {error}");
                assert_eq!(owner("ms"), role, "PostgreSQL {major}: {name}");
                by_role("DROP SCHEMA ms CASCADE");
            }
            // The code is written after the user has read the hint.
            by_role(&format!("CREATE SCHEMA ms; {HARMLESS}"));
            let read = transfer();
            let (sql, _) = code[0];
            by_role(sql);
            fixture.server.master("shop", &read).unwrap_err();
            by_role("DROP FUNCTION ms.d(text)");
            fixture.server.master("shop", &read).unwrap();
            assert_eq!(owner("ms"), "shop_owner", "PostgreSQL {major}");
            fixture.query_in("shop", "DROP SCHEMA ms CASCADE");
            fixture.query_in("shop", &format!("REVOKE ALL ON DATABASE shop FROM {role}"));
        }
        assert_eq!(fixture.admin_grants(), "0", "PostgreSQL {major}");
    }
}

/// The server checks `CONNECT` at the login, before any `SET ROLE`.
#[test]
fn only_inherited_connect_counts() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let set_only = if major >= 16 { "WITH INHERIT FALSE, SET TRUE" } else { "" };
        fixture.query(&format!(
            "CREATE ROLE g; CREATE ROLE alone LOGIN NOINHERIT PASSWORD 'Known-alone'; GRANT g TO alone {set_only};
             CREATE ROLE regent LOGIN NOINHERIT PASSWORD 'Known-regent'; GRANT shop_owner TO regent {set_only}"
        ));
        fixture
            .query_in("shop", "GRANT CONNECT ON DATABASE shop TO g; GRANT SELECT ON orders TO g");
        let login = |role: &str, sql: &str| {
            fixture.server.sql_as(role, &format!("Known-{role}"), "shop", sql).is_ok()
        };
        assert!(!login("alone", "SELECT 1") && !login("regent", "SELECT 1"), "PostgreSQL {major}");
        let check =
            |code| expect(&fixture.run(&definitions, &["check", "--env", "dev", "--strict"]), code);
        let note = |role: &str, means: &str| {
            format!("note[undeclared-access]: role {role} is not declared and {means}")
        };
        let group = "has CONNECT on database shop and privileges on relations in schema public";
        let regent = note(
            "regent",
            "can grant CONNECT on database shop: it has SET ROLE to role shop_owner",
        );
        let text = check(2);
        let expected = [note("g", &format!("{group}, but cannot log in")), regent.clone()];
        assert_eq!(findings(&text), expected, "PostgreSQL {major}: {text}");
        // The access report has the answer of the server itself.
        let connects = || {
            let text = expect(&fixture.run(&definitions, &["access", "--env", "dev"]), 0);
            let mut blocks = text.split("\n  alone: ").skip(1);
            let is_said = blocks.any(|block| {
                let line = block.lines().nth(1).unwrap_or_default();
                line.contains("CONNECT") && !line.contains("no CONNECT")
            });
            (is_said, text)
        };
        let (is_said, access) = connects();
        assert!(!is_said, "PostgreSQL {major}: {access}");
        // With CONNECT of its own, it uses what it has after SET ROLE.
        fixture.query("GRANT CONNECT ON DATABASE shop TO alone");
        assert!(login("alone", "SET ROLE g; SELECT count(*) FROM orders"), "PostgreSQL {major}");
        let (is_said, access) = connects();
        assert!(is_said, "PostgreSQL {major}: {access}");
        let alone = "can connect to database shop: it has CONNECT, and SET ROLE to role g, and privileges on relations through role g";
        let text = check(2);
        let expected = [
            note("alone", alone),
            note("g", &format!("{group}, used by its member alone")),
            regent,
        ];
        assert_eq!(findings(&text), expected, "PostgreSQL {major}: {text}");
        // What the role can grant, it can grant itself.
        let grant = "SET ROLE shop_owner; GRANT CONNECT ON DATABASE shop TO regent";
        fixture.server.sql_as("regent", "Known-regent", "postgres", grant).unwrap();
        assert!(login("regent", "SELECT 1"), "PostgreSQL {major}");
        execute(&fixture, &statements_of_plan(&fixture, &definitions));
        check(0);
        assert!(!login("alone", "SELECT 1") && !login("regent", "SELECT 1"), "PostgreSQL {major}");
        assert!(fixture.server.sql_as("regent", "Known-regent", "postgres", grant).is_err());
    }
}

/// Default privileges for another role make a row that contains the privileges of the owner, too.
#[test]
fn own_default_privileges_are_kept() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        fixture.query("CREATE ROLE etl LOGIN; CREATE ROLE batch; CREATE ROLE crm LOGIN");
        fixture.query_in(
            "shop",
            "GRANT CONNECT ON DATABASE shop TO etl, batch; GRANT USAGE, CREATE ON SCHEMA public TO etl, batch;
             ALTER DEFAULT PRIVILEGES FOR ROLE etl GRANT SELECT ON TABLES TO crm;
             ALTER DEFAULT PRIVILEGES FOR ROLE batch GRANT SELECT ON TABLES TO crm",
        );
        let check = ["check", "--env", "dev", "--strict"];
        let text = expect(&fixture.run(&definitions, &check), 2);
        assert!(text.contains("role etl is not declared"), "PostgreSQL {major}: {text}");
        assert!(text.contains("role batch is not declared"), "PostgreSQL {major}: {text}");
        let statements = statements_of_plan(&fixture, &definitions);
        let expected = ["batch", "etl"]
            .map(|role| format!(r#"REVOKE CONNECT ON DATABASE "shop" FROM "{role}""#));
        let found: Vec<&String> = statements.iter().map(|(_, _, sql)| sql).collect();
        assert_eq!(found, expected.iter().collect::<Vec<_>>(), "PostgreSQL {major}");
        execute(&fixture, &statements);
        expect(&fixture.run(&definitions, &check), 0);
        for role in ["etl", "batch"] {
            let table = format!(
                "SET SESSION AUTHORIZATION {role}; CREATE TABLE public.of_{role} (id int);
                 SELECT count(*) FROM public.of_{role}"
            );
            assert!(fixture.server.superuser("shop", &table).is_ok(), "{role} on {major}");
        }
    }
}

/// The members of `pg_monitor` are members of other predefined roles, too.
#[test]
fn members_of_predefined_roles_are_reported() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let check = ["check", "--env", "dev", "--strict"];
        fixture.query("CREATE ROLE ada LOGIN IN ROLE pg_monitor, rds_iam");
        expect(&fixture.run(&definitions, &check), 0);
        let owner = |sql: &str| {
            fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql).unwrap();
        };
        for gives in [
            "GRANT CONNECT ON DATABASE shop TO pg_read_all_stats",
            "GRANT CONNECT ON DATABASE shop TO rds_iam",
            // Before PostgreSQL 15, each role can grant itself.
            "GRANT shop_owner TO pg_read_all_stats",
            "GRANT shop_owner TO rds_iam",
        ] {
            if gives.contains("shop_owner") && major >= 15 {
                continue;
            }
            owner(gives);
            let text = expect(&fixture.run(&definitions, &check), 2);
            let found = findings(&text);
            let line = "role ada is not declared and can connect to database shop";
            assert!(found.iter().any(|one| one.contains(line)), "PostgreSQL {major}: {text}");
            // They end what the owner has given, and not the memberships that ada has for another reason.
            for (database, sql) in statements(&text) {
                fixture.query_in(&database, &sql);
            }
            let groups = "SELECT pg_has_role('ada', 'pg_monitor', 'MEMBER') AND pg_has_role('ada', 'rds_iam', 'MEMBER')";
            assert_eq!(fixture.query(groups), "t", "PostgreSQL {major}, {gives}: {text}");
            expect(&fixture.run(&definitions, &check), 0);
        }
    }
}

/// The setting of `rdsprov.toml`, its lower limit in the site policy, and what a refusal stops.
#[test]
fn configuration_decides_what_access_is() {
    let (fixture, definitions) = fixture(versions()[0]);
    add_roles(&fixture, versions()[0]);
    let configure = |value: &str| {
        let text = format!("[access]\nundeclared = \"{value}\"\n");
        std::fs::write(fixture.path().join("rdsprov.toml"), text).unwrap();
    };
    let run = |arguments: &[&str], code| {
        let words = [arguments, &["--env", "dev"]].concat();
        expect(&fixture.run(&definitions, &words), code)
    };
    configure("allow");
    assert_eq!(findings(&run(&["check"], 0)), Vec::<&str>::new());
    assert_eq!(findings(&run(&["check", "--strict"], 2)).len(), 7);
    configure("refuse");
    let text = run(&["check"], 3);
    assert_eq!(findings(&text).len(), 7, "{text}");
    assert!(text.contains("role bi is not declared"), "{text}");
    assert!(text.contains(r#"REVOKE CONNECT ON DATABASE "shop" FROM "bi""#), "{text}");
    // Role shop_reader belongs to another application than the database.
    let reports = run(&["check", "--only", "shop_reports"], 3);
    let reports = findings(&reports);
    assert!(
        reports.len() == 1 && reports.iter().all(|one| one.contains("shop_reader")),
        "{reports:?}"
    );
    // The other applications are not concerned.
    run(&["check", "--only", "wiki"], 0);
    fixture.query("ALTER ROLE wiki_owner CONNECTION LIMIT 7");
    run(&["apply", "--no-fail-fast"], 3);
    let limit = fixture.query("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'wiki_owner'");
    assert_eq!(limit, "-1");
    run(&["apply", "--only", "wiki"], 0);
    // The site policy is at least as strict.
    configure("allow");
    let policy = fixture.path().join("policy.toml");
    std::fs::write(&policy, "[environments.dev]\nundeclared_access = \"refuse\"\n").unwrap();
    let mut command = fixture.command(&definitions, &["check", "--env", "dev"]);
    let text = expect(&command.env("RDSPROV_POLICY", &policy).output().unwrap(), 3);
    assert!(text.contains("access-not-declared"), "{text}");
    configure("deny");
    assert!(run(&["check"], 64).contains("rdsprov.toml is not valid"));
}

/// Who writes the secret of one application must not hide a role in the databases of others.
#[test]
fn secret_with_a_clone_hides_no_access() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let superuser = |sql: &str| fixture.server.superuser("postgres", sql).unwrap();
        // No administrator has ADMIN OPTION on it, as on roles that a role with CREATEROLE has created.
        superuser("CREATE ROLE shop_owner_clone LOGIN PASSWORD 'p'");
        superuser("GRANT CONNECT ON DATABASE wiki TO shop_owner_clone");
        fixture.query_in("shop", "GRANT SELECT ON orders TO shop_owner_clone");
        let check =
            |code| expect(&fixture.run(&definitions, &["check", "--strict", "--env", "dev"]), code);
        let before = check(2);
        assert!(before.contains("role shop_owner_clone is not declared"), "{before}");
        let on_relations = r#"REVOKE ALL ON ALL TABLES IN SCHEMA "public" FROM "shop_owner_clone""#;
        assert!(before.contains(on_relations), "{before}");
        let secret = serde_json::json!({
            "username": "shop_owner", "password": password("shop"),
            "masterarn": "goldenpath/dev/rds/master",
        });
        fixture.secret("goldenpath/dev/shop/postgres", &secret.to_string());
        if major >= 16 {
            assert_eq!(findings(&check(2)), findings(&before), "PostgreSQL {major}");
        } else {
            // The administrator has power over it: its privileges are compared, or the clone is refused.
            check(3);
        }
    }
}

/// Each role with `CREATEROLE` can create a role whose name begins as those of Amazon RDS do.
#[test]
fn names_like_those_of_rds_hide_no_access() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        fixture.query("CREATE ROLE provisioner LOGIN CREATEROLE");
        fixture.query(
            "SET ROLE provisioner; CREATE ROLE rds_helper LOGIN; CREATE ROLE rds_group; RESET ROLE",
        );
        fixture.query_in(
            "shop",
            "GRANT CONNECT ON DATABASE shop TO rds_helper, rds_group, rds_replication;
             GRANT SELECT ON orders TO rds_helper, rds_group, rds_replication",
        );
        let run = |arguments: &[&str], code| {
            let words = [arguments, &["--env", "dev"]].concat();
            expect(&fixture.run(&definitions, &words), code)
        };
        let text = run(&["check", "--strict"], 2);
        let access = run(&["access"], 0);
        for role in ["rds_helper", "rds_group"] {
            assert!(findings(&text).iter().any(|line| line.contains(role)), "{major}: {text}");
            let is_line = |line: &str| line.trim_start().starts_with(role);
            assert!(access.lines().any(is_line), "{role}: {access}");
        }
        assert!(!findings(&text).iter().any(|line| line.contains("rds_replication")), "{text}");
    }
}
