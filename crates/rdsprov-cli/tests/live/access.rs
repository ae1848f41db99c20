//! Compares `rdsprov access` with what PostgreSQL reports for each role, object and privilege.

use std::collections::BTreeMap;

use rdsprov_testkit::versions;
use serde_json::Value;

use crate::fixture::{Fixture, expect, password, writes};

const DEFINITIONS: &str = r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner", schemas = ["public", "archive"] }
    shop_workers = { database_name = "shop", username = "shop_editor", access_level = "editor" }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader", schemas = ["public", "archive"] }
    wiki         = { database_name = "wiki", username = "wiki_owner" }
}"#;

/// Starts a server, applies the definitions and makes manual changes.
fn fixture(major: u32) -> (Fixture, String) {
    let fixture = Fixture::new(major);
    for (application, user) in [
        ("shop", "shop_owner"),
        ("shop_workers", "shop_editor"),
        ("shop_reports", "shop_reader"),
        ("wiki", "wiki_owner"),
        ("old", "old_reader"),
    ] {
        fixture.app("dev", application, user);
    }
    let earlier = DEFINITIONS.replace(
        "\n}",
        "\n old = { database_name = \"shop\", username = \"old_reader\", access_level = \"reader\" }\n}",
    );
    let apply = ["apply", "--env", "dev"];
    expect(&fixture.run(&fixture.definitions(&earlier), &apply), 0);
    let owner = |sql: &str| {
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql).unwrap();
    };
    owner(
        "CREATE TABLE a (id serial, note text); CREATE TABLE b (id int GENERATED ALWAYS AS IDENTITY);
         CREATE VIEW v AS SELECT 1 AS one; CREATE TABLE archive.c (id int, secret text);
         CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 1';
         REVOKE EXECUTE ON FUNCTION g() FROM PUBLIC",
    );
    let options = if major >= 16 { "WITH INHERIT FALSE, SET TRUE" } else { "" };
    for sql in [
        "CREATE ROLE bi LOGIN".to_owned(),
        "CREATE ROLE analysts".to_owned(),
        "CREATE ROLE ann LOGIN; GRANT analysts TO ann".to_owned(),
        "CREATE ROLE dba LOGIN; GRANT shop_owner TO dba".to_owned(),
        format!("CREATE ROLE shy LOGIN NOINHERIT; GRANT shop_owner TO shy {options}"),
        "CREATE ROLE all_reader LOGIN; GRANT pg_read_all_data TO all_reader".to_owned(),
        "CREATE ROLE unrelated LOGIN".to_owned(),
        "CREATE ROLE \"we|ird\" LOGIN".to_owned(),
    ] {
        fixture.query(&sql);
    }
    fixture.query_in(
        "shop",
        "GRANT CONNECT ON DATABASE shop TO bi; GRANT SELECT (note) ON a TO bi; GRANT UPDATE (id) ON a TO PUBLIC;
         GRANT INSERT ON archive.c TO analysts; GRANT USAGE ON SCHEMA archive TO analysts;
         GRANT EXECUTE ON FUNCTION g() TO shop_reader; GRANT TEMPORARY ON DATABASE shop TO PUBLIC;
         GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO \"we|ird\";
         CREATE SCHEMA other AUTHORIZATION bi; CREATE TABLE other.t (id int); ALTER TABLE other.t OWNER TO bi",
    );
    let definitions = fixture.definitions(DEFINITIONS);
    (fixture, definitions)
}

/// The privileges that the server reports for each role (including PUBLIC) and object,
/// with equal ones counted.
const ONE_BY_ONE: &str = "
    SELECT role || ' ' || nspname || ' ' || kind || ' [' || held || '] [' || columns || '] ' || count(*) FROM (
      SELECT coalesce(r.rolname, 'PUBLIC') AS role, n.nspname, o.kind,
        (SELECT coalesce(string_agg(p, ',' ORDER BY p), '') FROM unnest(string_to_array(o.all_of_them, ',')) p
         WHERE CASE o.kind WHEN 'table' THEN has_table_privilege(coalesce(r.rolname, 'public'), o.oid, p)
           WHEN 'sequence' THEN has_sequence_privilege(coalesce(r.rolname, 'public'), o.oid, p)
           ELSE has_function_privilege(coalesce(r.rolname, 'public'), o.oid, p) END) AS held,
        (SELECT coalesce(string_agg(DISTINCT p, ',' ORDER BY p), '') FROM unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) p, pg_attribute a
         WHERE o.kind = 'table' AND a.attrelid = o.oid AND a.attnum > 0
           AND has_column_privilege(coalesce(r.rolname, 'public'), o.oid, a.attnum, p)
           AND NOT has_table_privilege(coalesce(r.rolname, 'public'), o.oid, p)) AS columns
      FROM (SELECT rolname FROM pg_roles WHERE NOT rolsuper AND rolname !~ '^pg_' UNION ALL SELECT NULL) r,
        (SELECT oid, relnamespace AS space, 'table' AS kind, 'SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER'
           || CASE WHEN current_setting('server_version_num')::int >= 170000 THEN ',MAINTAIN' ELSE '' END AS all_of_them
         FROM pg_class WHERE relkind IN ('r', 'v')
         UNION ALL SELECT oid, relnamespace, 'sequence', 'SELECT,UPDATE,USAGE' FROM pg_class WHERE relkind = 'S'
         UNION ALL SELECT oid, pronamespace, 'routine', 'EXECUTE' FROM pg_proc) o
      JOIN pg_namespace n ON n.oid = o.space AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema') x
    WHERE held <> '' OR columns <> '' GROUP BY role, nspname, kind, held, columns";

/// The same for schemas and for the database.
const CONTAINERS: &str = "
    SELECT coalesce(r.rolname, 'PUBLIC') || ' ' || place || ' [' || held || ']'
    FROM (SELECT rolname FROM pg_roles WHERE NOT rolsuper AND rolname !~ '^pg_' UNION ALL SELECT NULL) r,
      LATERAL (
        SELECT nspname::text AS place, (SELECT coalesce(string_agg(p, ',' ORDER BY p), '') FROM unnest('{USAGE,CREATE}'::text[]) p
          WHERE has_schema_privilege(coalesce(r.rolname, 'public'), oid, p)) AS held
        FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
        UNION ALL SELECT '-', (SELECT coalesce(string_agg(p, ',' ORDER BY p), '') FROM unnest('{CONNECT,TEMPORARY,CREATE}'::text[]) p
          WHERE has_database_privilege(coalesce(r.rolname, 'public'), current_database(), p))) x
    WHERE held <> ''";

fn words(privileges: &Value) -> String {
    let mut words: Vec<&str> =
        privileges.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    words.sort_unstable();
    words.join(",")
}

/// Returns the privileges of a role in the report, in the same notation.
fn report_of(role: &Value) -> (Vec<String>, Vec<String>) {
    let (mut objects, mut containers) = (Vec::new(), Vec::new());
    if role["database"] != Value::Array(Vec::new()) {
        containers.push(format!("- [{}]", words(&role["database"])));
    }
    for (schema, held) in role["schemas"].as_object().unwrap() {
        if held["privileges"] != Value::Array(Vec::new()) {
            containers.push(format!("{schema} [{}]", words(&held["privileges"])));
        }
        for group in held["objects"].as_array().unwrap() {
            objects.push(format!(
                "{schema} {} [{}] [{}] {}",
                group["kind"].as_str().unwrap(),
                words(&group["privileges"]),
                words(&group["on_columns"]),
                group["count"]
            ));
        }
    }
    objects.sort();
    containers.sort();
    (objects, containers)
}

/// Groups lines by the role at their beginning.
fn by_role(lines: &str) -> BTreeMap<String, Vec<String>> {
    let mut roles: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines.lines() {
        let (role, rest) = line.split_once(' ').unwrap();
        roles.entry(role.to_owned()).or_default().push(rest.to_owned());
    }
    for lines in roles.values_mut() {
        lines.sort();
    }
    roles
}

#[test]
fn access_report_matches_the_server() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let mark = fixture.server.log().len();
        let output = fixture.run(&definitions, &["access", "--env", "dev", "--format", "json"]);
        expect(&output, 0);
        assert_eq!(writes(&fixture.server.log()[mark..]), Vec::<String>::new());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(
            report.to_string().contains(r#""declared_schemas":["archive","public"]"#),
            "{report}"
        );
        for (database, count) in [("shop", 10), ("wiki", 5)] {
            let all = report["databases"].as_array().unwrap();
            let one = all.iter().find(|one| one["database"] == database).unwrap();
            let objects = by_role(&fixture.query_in(database, ONE_BY_ONE));
            let containers = by_role(&fixture.query_in(database, CONTAINERS));
            let none = Vec::new();
            let of = |map: &BTreeMap<String, Vec<String>>, role: &str| {
                map.get(role).unwrap_or(&none).clone()
            };
            let mut listed = Vec::new();
            for role in one["roles"].as_array().unwrap() {
                let name = role["role"].as_str().unwrap_or("PUBLIC");
                let asked = (of(&objects, name), of(&containers, name));
                assert_eq!(report_of(role), asked, "PostgreSQL {major}, {database}, {name}");
                listed.push(name);
            }
            // A role without an entry has the privileges of PUBLIC only.
            for role in objects.keys().chain(containers.keys()) {
                if !listed.contains(&role.as_str()) {
                    assert_eq!(of(&objects, role), of(&objects, "PUBLIC"), "{role}");
                    assert_eq!(of(&containers, role), of(&containers, "PUBLIC"), "{role}");
                }
            }
            assert!(!listed.contains(&"unrelated"), "{listed:?}");
            assert!(listed.len() >= count - 3, "{listed:?}");
        }
    }
}

/// The report in the format for people.
#[test]
fn access_report_for_people() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        // Before PostgreSQL 15, schema `public` belongs to the administrator.
        let suffix = if major <= 14 { "_14" } else { "" };
        let name = |name: &str| format!("{name}{suffix}");
        let output_text = |arguments: &[&str]| {
            let words = [["access", "--env", "dev"].as_slice(), arguments].concat();
            let output = fixture.run(&definitions, &words);
            expect(&output, 0);
            let text = String::from_utf8(output.stdout).unwrap();
            // What differs from run to run is checked below.
            let line = text.lines().find(|line| line.contains("requested by")).unwrap();
            let text = text.replace(line, "[origin]");
            let text =
                text.replace(&format!("localhost:{}", fixture.server.port()), "localhost:5432");
            // These exist since PostgreSQL 17. On RDS, the administrator is a member of the roles.
            let since_17 = ["pg_create_subscription", "pg_maintain", "pg_use_reserved_connections"];
            since_17.iter().fold(text.replace(", MAINTAIN", ""), |text, role| {
                let escaped = role.replace('_', "\\_");
                text.replace(&format!("{role}, "), "").replace(&format!("{escaped}, "), "")
            })
        };
        insta::assert_snapshot!(name("text"), output_text(&["--database", "shop"]));
        insta::assert_snapshot!(name("markdown"), output_text(&["--format", "markdown"]));
        // Each format contains its origin.
        let requested = |arguments: &[&str]| {
            let words = [["access", "--env", "dev", "--actor", "ada"].as_slice(), arguments];
            expect(&fixture.run(&definitions, &words.concat()), 0)
        };
        let version = fixture.query("SHOW server_version");
        let version = version.split(' ').next().unwrap();
        for format in ["text", "markdown"] {
            let text = requested(&["--format", format]).replace('\\', "");
            let by = concat!("as platform_admin by rdsprov ", env!("CARGO_PKG_VERSION"), " at 20");
            assert!(text.contains(&format!("PostgreSQL {version} {by}")), "{text}");
            assert!(text.contains("Z, requested by ada (user "), "{text}");
        }
        let json: Value = serde_json::from_str(&requested(&["--format", "json"])).unwrap();
        assert_eq!(json["server_version"], version);
        assert_eq!(json["administrator"], "platform_admin");
        assert_eq!(json["rdsprov_version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(json["actor"], "ada");
        for key in ["timestamp_utc", "os_user", "host", "server"] {
            assert!(json[key].as_str().is_some_and(|value| !value.is_empty()), "{key}");
        }
        // Administrators are only named, unless they are asked for.
        let text = output_text(&["--database", "shop"]);
        assert!(text.contains("administrators and predefined roles: platform_admin"), "{text}");
        assert!(!text.contains("platform_admin:"), "{text}");
        for arguments in [["--all"].as_slice(), &["--role", "platform_admin"]] {
            let text = output_text(arguments);
            assert!(text.contains("platform_admin: the administrator"), "{text}");
        }
        let one = output_text(&["--role", "bi"]);
        assert!(one.contains("bi: not managed") && !one.contains("shop_reader:"), "{one}");
    }
}

#[test]
fn unreadable_database_is_reported() {
    let (fixture, definitions) = fixture(versions()[0]);
    let access = |arguments: &[&str], code| {
        let words = [["access", "--env", "dev"].as_slice(), arguments].concat();
        expect(&fixture.run(&definitions, &words), code)
    };
    fixture.query("ALTER DATABASE wiki ALLOW_CONNECTIONS false");
    let output_text = access(&[], 1);
    assert!(
        output_text.contains("cannot be read") && output_text.contains("shop_reader: declared"),
        "{output_text}"
    );
    assert!(
        access(&["--database", "platform"], 1)
            .contains("not one of the declared and managed databases")
    );
    access(&["--format", "sql"], 64);
    let unknown = access(&["--role", "shop_editr"], 1);
    assert!(
        unknown.contains(
            "error[unknown-role]: role shop_editr does not exist on the server\n\
             hint: check the name; `shop_editor` is similar"
        ),
        "{unknown}"
    );
    assert!(access(&["--role", "pg_monitor"], 1).contains("omits the predefined roles"));
}

/// Each role that can get privileges is in the report: also with `ADMIN OPTION`, through another role,
/// and with attributes and predefined roles that need no privileges.
#[test]
fn roles_that_can_get_privileges_are_listed() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        // (role, how it is made, the roles that it may become, its powers)
        let options = |options: &str| match major {
            16.. => format!("WITH ADMIN TRUE, {options}"),
            _ => "WITH ADMIN OPTION".to_owned(),
        };
        let set_nothing = options("INHERIT FALSE, SET FALSE");
        let inherit_nothing = if major >= 16 { "WITH INHERIT FALSE, SET FALSE" } else { "" };
        let mut cases = vec![
            ("a_admin", format!("GRANT shop_owner TO a_admin {set_nothing}"), "shop_owner", ""),
            ("a_group", "ALTER ROLE a_group NOLOGIN".to_owned(), "", ""),
            (
                "a_through",
                format!("GRANT wiki_owner TO a_group {set_nothing}; GRANT a_group TO a_through"),
                "wiki_owner",
                "",
            ),
            (
                "a_of_administrator",
                format!("GRANT platform_admin TO a_of_administrator {set_nothing}"),
                "platform_admin",
                "",
            ),
            ("a_bypass", "ALTER ROLE a_bypass BYPASSRLS".to_owned(), "", "BYPASSRLS"),
            ("a_replica", "ALTER ROLE a_replica REPLICATION".to_owned(), "", "REPLICATION"),
            (
                "a_files",
                "GRANT pg_write_server_files TO a_files".to_owned(),
                "",
                "pg_write_server_files",
            ),
            (
                "a_program",
                "GRANT pg_execute_server_program TO a_program".to_owned(),
                "",
                "pg_execute_server_program",
            ),
            ("a_super", "GRANT rdsadmin TO a_super".to_owned(), "", "SUPERUSER"),
        ];
        if major < 16 {
            cases.push((
                "a_creator",
                "ALTER ROLE a_creator CREATEROLE".to_owned(),
                "",
                "CREATEROLE",
            ));
        }
        for (role, ..) in &cases {
            fixture.query(&format!("CREATE ROLE {role} LOGIN"));
        }
        for (_, sql, ..) in &cases {
            fixture.query(sql);
        }
        // These get nothing.
        fixture.query(&format!(
            "CREATE ROLE b_group; CREATE ROLE b_member LOGIN; CREATE ROLE b_locked BYPASSRLS;
             GRANT b_group TO b_member {inherit_nothing}"
        ));
        let output = fixture.run(&definitions, &["access", "--env", "dev", "--format", "json"]);
        expect(&output, 0);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let databases = report["databases"].as_array().unwrap();
        let database = |name: &str| databases.iter().find(|one| one["database"] == name).unwrap();
        let named = |database: &Value, role: &str| {
            database["roles"].as_array().unwrap().iter().find(|one| one["role"] == role).cloned()
        };
        for (role, _, becomes, powers) in &cases {
            if *role == "a_group" {
                continue;
            }
            let found = named(database("wiki"), role).or_else(|| named(database("shop"), role));
            let found = found.unwrap_or_else(|| panic!("PostgreSQL {major}: no {role}"));
            let may_become = found["may_become"].to_string() + &found["inherits"].to_string();
            assert!(may_become.contains(becomes), "PostgreSQL {major}: {found}");
            assert!(found["powers"].to_string().contains(powers), "PostgreSQL {major}: {found}");
        }
        for role in ["b_group", "b_member", "b_locked", "unrelated"] {
            assert_eq!(named(database("shop"), role), None, "PostgreSQL {major}");
        }
        let text = expect(&fixture.run(&definitions, &["access", "--env", "dev"]), 0);
        assert!(text.contains("a_bypass: not managed; has BYPASSRLS"), "{text}");
    }
}

/// Roles with `ADMIN OPTION` on many roles: the report lists what PostgreSQL says of each of them. The query
/// collects the roles of all members at once, and not once for each of them.
#[test]
fn roles_that_administer_many_roles_are_listed() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let option = match major {
            16.. => "WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
            _ => "WITH ADMIN OPTION",
        };
        // Before PostgreSQL 16, NOINHERIT of the member decides that it does not have the privileges.
        fixture.query(&format!(
            "DO $$ BEGIN
               FOR i IN 1..20 LOOP EXECUTE format('CREATE ROLE lead_%s LOGIN NOINHERIT', i); END LOOP;
               FOR i IN 1..300 LOOP
                 EXECUTE format('CREATE ROLE staff_%s LOGIN IN ROLE shop_reader', i);
                 FOR k IN 1..20 LOOP EXECUTE format('GRANT staff_%s TO lead_%s {option}', i, k); END LOOP;
               END LOOP;
             END $$"
        ));
        let output = fixture.run(&definitions, &["access", "--env", "dev", "--format", "json"]);
        expect(&output, 0);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let databases = report["databases"].as_array().unwrap();
        let shop = databases.iter().find(|one| one["database"] == "shop").unwrap();
        let inherited = by_role(&fixture.query(
            "SELECT r.rolname || ' ' || g.rolname FROM pg_roles r, pg_roles g
             WHERE r.oid <> g.oid AND NOT r.rolsuper AND g.rolname <> 'pg_database_owner' AND pg_has_role(r.oid, g.oid, 'USAGE')",
        ));
        let names = |list: &Value| -> Vec<String> {
            list.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
        };
        let mut listed = (0, 0);
        for role in shop["roles"].as_array().unwrap() {
            let name = role["role"].as_str().unwrap_or("PUBLIC");
            let mut inherits = names(&role["inherits"]);
            inherits.sort();
            let asked = inherited.get(name).cloned().unwrap_or_default();
            assert_eq!(inherits, asked, "PostgreSQL {major}: {name}");
            let becomes = names(&role["may_become"]).len();
            if name.starts_with("staff_") {
                assert_eq!((inherits.len(), becomes), (1, 0), "PostgreSQL {major}: {name}");
                listed.0 += 1;
            } else if name.starts_with("lead_") {
                // All of them, and the role that these may become.
                assert_eq!((inherits.len(), becomes), (0, 301), "PostgreSQL {major}: {name}");
                listed.1 += 1;
            }
        }
        assert_eq!(listed, (300, 20), "PostgreSQL {major}");
    }
}

/// The owner of a database can remove its comment. The report still contains the database.
#[test]
fn database_without_its_comment_is_reported() {
    for major in versions() {
        let (fixture, _) = fixture(major);
        let definitions = fixture.definitions(
            r#"application_databases = { shop = { database_name = "shop", username = "shop_owner" } }"#,
        );
        let owner = |sql: &str| {
            fixture.server.sql_as("wiki_owner", &password("wiki"), "wiki", sql).unwrap();
        };
        owner("COMMENT ON DATABASE wiki IS NULL");
        let text = expect(&fixture.run(&definitions, &["access", "--env", "dev"]), 0);
        assert!(text.contains("database wiki, owner wiki_owner"), "PostgreSQL {major}: {text}");
    }
}
