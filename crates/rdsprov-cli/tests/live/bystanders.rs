//! What concerns no declared role or database does not stop a run, and what the administrator cannot
//! do is found before anything is changed.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect, password};

const SHOP: &str = r#"application_databases = {
    shop = { database_name = "shop", username = "shop_owner" }
}"#;

/// A server with the declared database `shop` and everything that its definitions need.
fn shop(major: u32) -> (Fixture, String) {
    let fixture = Fixture::new(major);
    fixture.app("dev", "shop", "shop_owner");
    let definitions = fixture.definitions(SHOP);
    (fixture, definitions)
}

/// Names, comments and settings with the byte of `é` in LATIN1, which is not valid UTF-8.
const LATIN1_BYTES: &str = r"
\connect legacy
SELECT format('COMMENT ON DATABASE legacy IS %L', 'donn' || chr(233) || 'es') \gexec
SELECT format('COMMENT ON ROLE legacy_owner IS %L', chr(233)) \gexec
SELECT format('CREATE ROLE %I LOGIN', 'andr' || chr(233)) \gexec
SELECT format('GRANT legacy_owner TO %I', 'andr' || chr(233)) \gexec
SELECT format('ALTER ROLE %I IN DATABASE legacy SET site.title = %L', 'andr' || chr(233), chr(233)) \gexec
SELECT format('CREATE DATABASE %I OWNER %I', 'x' || repeat(chr(233), 60), 'andr' || chr(233)) \gexec
";

const REMOVED: &str = r"
\connect legacy
SELECT format('DROP DATABASE %I', 'x' || repeat(chr(233), 60)) \gexec
SELECT format('DROP ROLE %I', 'andr' || chr(233)) \gexec
";

/// PostgreSQL stores names, comments and settings that all databases share in the encoding of the
/// database in which they were written.
#[test]
fn bytes_in_another_encoding() {
    for major in versions() {
        let (fixture, definitions) = shop(major);
        fixture.query("CREATE ROLE legacy_owner LOGIN");
        fixture.query(
            "CREATE DATABASE legacy OWNER legacy_owner
             TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'",
        );
        fixture.server.script_as_superuser(LATIN1_BYTES).unwrap();
        assert_eq!(
            fixture.query(
                "SELECT encode(datname::text::bytea, 'hex') FROM pg_database WHERE datname ~ '^x'"
            ),
            format!("78{}", "e9".repeat(60)),
        );

        let run = |arguments: &[&str]| fixture.run(&definitions, arguments);
        expect(&run(&["plan", "--env", "dev"]), 0);
        expect(&run(&["apply", "--env", "dev"]), 0);
        expect(&run(&["check", "--env", "dev"]), 0);
        expect(&run(&["access", "--env", "dev"]), 0);

        fixture.server.script_as_superuser(REMOVED).unwrap();

        // The marker cannot be added to a comment whose text is not known.
        fixture.query("GRANT legacy_owner TO platform_admin WITH ADMIN OPTION");
        fixture.app("dev", "legacy", "legacy_owner");
        let definitions = fixture.definitions(
            r#"application_databases = {
                shop   = { database_name = "shop", username = "shop_owner" }
                legacy = { database_name = "legacy", username = "legacy_owner", adopt = true }
            }"#,
        );
        let state = fixture.catalog_state();
        let output = expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 3);
        for object in ["role legacy_owner", "database legacy"] {
            let refusal =
                format!("refused[comment-undecodable] legacy: the comment of {object} contains");
            assert!(output.contains(&refusal), "PostgreSQL {major}: {output}");
        }
        assert_eq!(fixture.catalog_state(), state);
    }
}

#[test]
fn administrator_with_few_connections() {
    for major in versions() {
        let fixture = Fixture::new(major);
        let names: Vec<String> = (1..=9).map(|number| format!("shop_{number}")).collect();
        for name in &names {
            fixture.app("dev", name, &format!("{name}_owner"));
        }
        let entries = names.iter().map(|name| {
            format!("{name} = {{ database_name = \"{name}\", username = \"{name}_owner\" }}\n")
        });
        let definitions = fixture
            .definitions(&format!("application_databases = {{\n{}}}", entries.collect::<String>()));
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        fixture.query("ALTER ROLE platform_admin CONNECTION LIMIT 4");
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
        fixture.query("REVOKE CONNECT ON DATABASE shop_9 FROM shop_9_owner");
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        let output = expect(&fixture.run(&definitions, &["access", "--env", "dev"]), 0);
        assert!(names.iter().all(|name| output.contains(name)), "{output}");
    }
}

/// What the administrator lacks is known before the first statement.
#[test]
fn administrator_without_attributes() {
    for major in versions() {
        let (fixture, definitions) = shop(major);
        for attribute in ["CREATEDB", "CREATEROLE"] {
            fixture.query(&format!("ALTER ROLE platform_admin NO{attribute}"));
            let state = fixture.catalog_state();
            let output = expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 3);
            let refusal = "refused[administrator-attribute-missing] shop: ";
            let remedy = format!("ALTER ROLE \"platform_admin\" {attribute}");
            assert!(output.contains(refusal) && output.contains(&remedy), "{output}");
            assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}: {attribute}");
            fixture.query(&format!("ALTER ROLE platform_admin {attribute}"));
        }
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);

        // A run without such changes does not need the attributes.
        fixture.query("ALTER ROLE platform_admin NOCREATEDB NOCREATEROLE");
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
    }
}

/// With `--no-fail-fast`, a refusal concerns its application and those that depend on it.
#[test]
fn refused_application_leaves_the_others_alone() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, role) in
            [("hr", "hr_owner"), ("hr_reports", "analyst"), ("shop", "shop_owner")]
        {
            fixture.app("dev", application, role);
        }
        fixture.app("dev", "wiki", "wiki_owner");
        let definitions = fixture.definitions(
            r#"application_databases = {
                hr         = { database_name = "hr", username = "hr_owner" }
                hr_reports = { database_name = "hr", username = "analyst", access_level = "reader" }
                shop       = { database_name = "shop", username = "shop_owner" }
                wiki       = { database_name = "wiki", username = "wiki_owner" }
            }"#,
        );
        fixture.query("CREATE ROLE hr_owner LOGIN");
        let run = |arguments: &[&str]| fixture.run(&definitions, arguments);
        let apply = ["apply", "--env", "dev"];
        let keep_going = ["apply", "--env", "dev", "--no-fail-fast"];
        let state = fixture.catalog_state();
        expect(&run(&apply), 3);
        assert_eq!(fixture.catalog_state(), state);

        let output = expect(&run(&keep_going), 3);
        assert!(output.contains("such an application: hr, hr_reports; "), "{output}");
        assert!(output.contains("the changes of the other applications were made"), "{output}");
        let databases =
            fixture.query("SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database");
        assert!(databases.contains("shop") && databases.contains("wiki"), "{databases}");
        assert!(!databases.contains("hr"), "{databases}");
        assert_eq!(fixture.query("SELECT count(*) FROM pg_roles WHERE rolname = 'analyst'"), "0");

        // What is left is refused.
        let state = fixture.catalog_state();
        expect(&run(&keep_going), 3);
        assert_eq!(fixture.catalog_state(), state);
        fixture.query("DROP ROLE hr_owner");
        expect(&run(&apply), 0);
    }
}

/// The owner of one database cannot hold up the changes for its reader in another one.
#[test]
fn reader_keeps_its_grants_in_other_databases() {
    for (major, home) in
        versions().into_iter().flat_map(|one| [(one, "hr_reports"), (one, "shop_reports")])
    {
        let fixture = Fixture::new(major);
        for application in ["hr", "shop"] {
            fixture.app("prod", application, &format!("{application}_owner"));
        }
        fixture.app("prod", home, "analyst");
        let text = r#"application_databases = {
            hr           = { database_name = "hr", username = "hr_owner" }
            hr_reports   = { database_name = "hr", username = "analyst", access_level = "reader" }
            shop         = { database_name = "shop", username = "shop_owner" }
            shop_reports = { database_name = "shop", username = "analyst", access_level = "reader" }
        }"#;
        let declared = format!("{home:12} = {{");
        // Both entries name the secret: otherwise the access of the other one is a hazard.
        let reader = r#"access_level = "reader""#;
        let with_secret = format!("{reader}, secret = \"goldenpath/prod/{home}/postgres\"");
        let chosen = text.replace(reader, &with_secret);
        let chosen = chosen.replace(&declared, &format!("{declared} role_owner = true,"));
        assert_ne!(chosen, text);
        let definitions = fixture.definitions(&chosen);
        let apply = |more: &[&str], code| {
            let arguments = [&["apply", "--env", "prod"], more].concat();
            let mut command = fixture.command(&definitions, &arguments);
            expect(&command.env("ALLOW_DB_PROVISION", "true").output().unwrap(), code)
        };
        let owner = |name: &str, sql: &str| {
            let role = format!("{name}_owner");
            fixture.server.sql_as(&role, &password(name), name, sql).unwrap();
        };
        apply(&[], 0);
        for name in ["hr", "shop"] {
            owner(name, "CREATE TABLE items (id int)");
        }
        // A hazard of the reader in one database, and a missing privilege in the other one.
        owner("shop", "GRANT INSERT ON items TO analyst");
        owner("hr", "REVOKE SELECT ON items FROM analyst");
        let text = apply(&["--no-fail-fast"], 3);
        assert!(text.contains("such an application: shop, shop_reports; "), "{home}: {text}");
        let reads = "SELECT has_table_privilege('analyst', 'items', 'SELECT')";
        assert_eq!(fixture.query_in("hr", reads), "t", "PostgreSQL {major}, {home}: {text}");
        let inserts = "SELECT has_table_privilege('analyst', 'items', 'INSERT')";
        assert_eq!(fixture.query_in("shop", inserts), "t", "PostgreSQL {major}, {home}: {text}");

        // A refusal of the database.
        owner("hr", "REVOKE SELECT ON items FROM analyst");
        fixture.query("ALTER DATABASE shop CONNECTION LIMIT 0");
        let text = apply(&["--no-fail-fast"], 3);
        assert!(text.contains("refused["), "{text}");
        assert_eq!(fixture.query_in("hr", reads), "t", "PostgreSQL {major}, {home}: {text}");
        fixture.query("ALTER DATABASE shop CONNECTION LIMIT -1");

        // The entry that sets the keys of the role changes it: the others wait for this change.
        owner("hr", "REVOKE SELECT ON items FROM analyst");
        fixture.query("ALTER ROLE analyst CONNECTION LIMIT 3");
        let text = apply(&["--no-fail-fast"], 3);
        let is_applied = if home == "hr_reports" { "t" } else { "f" };
        assert_eq!(fixture.query_in("hr", reads), is_applied, "PostgreSQL {major}: {text}");
        apply(&["--allow", "revokes_access"], 0);
        assert_eq!(fixture.query_in("hr", reads), "t", "PostgreSQL {major}, {home}");
    }
}

/// A hazard that the owner of one database causes is not allowed. The others are applied.
#[test]
fn hazard_of_one_application_leaves_the_others_alone() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for application in ["hr", "shop", "wiki"] {
            fixture.app("prod", application, &format!("{application}_owner"));
        }
        let owner = |name: &str| {
            format!(r#"{name} = {{ database_name = "{name}", username = "{name}_owner" }}"#)
        };
        let apply = |applications: &[&str], more: &[&str], code| {
            let entries: Vec<String> = applications.iter().map(|name| owner(name)).collect();
            let entries = entries.join("\n");
            let definitions =
                fixture.definitions(&format!("application_databases = {{{entries}}}"));
            let arguments = [&["apply", "--env", "prod"], more].concat();
            let mut command = fixture.command(&definitions, &arguments);
            expect(&command.env("ALLOW_DB_PROVISION", "true").output().unwrap(), code)
        };
        apply(&["hr", "shop"], &[], 0);
        let attack = "GRANT CONNECT ON DATABASE shop TO PUBLIC";
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", attack).unwrap();
        let all = ["hr", "shop", "wiki"];
        let state = fixture.catalog_state();
        assert!(apply(&all, &[], 3).contains("[hazards-not-allowed]"));
        assert_eq!(fixture.catalog_state(), state);

        let text = apply(&all, &["--no-fail-fast"], 3);
        for words in [
            "or depend on such an application: shop; ",
            "error[hazards-not-allowed]: the changes of the other applications were made; the plan \
             contains hazards",
            "hint: review the steps with these hazards, then add --allow closes_to_public",
        ] {
            assert!(text.contains(words), "PostgreSQL {major}: {words} is not in {text}");
        }
        let wiki = "SELECT count(*) FROM pg_database WHERE datname = 'wiki'";
        assert_eq!(fixture.query(wiki), "1", "PostgreSQL {major}: {text}");
        let open = "SELECT has_database_privilege('wiki_owner', 'shop', 'CONNECT')";
        assert_eq!(fixture.query(open), "t", "PostgreSQL {major}");
        apply(&all, &["--no-fail-fast", "--allow", "closes_to_public"], 0);
        assert_eq!(fixture.query(open), "f", "PostgreSQL {major}");
    }
}

/// The first plan cannot see the contents of a database, and the second one contains a hazard there.
#[test]
fn hazard_of_the_second_plan_concerns_its_application() {
    const OTHERS: &str = r#"
        shop         = { database_name = "shop", username = "shop_owner" }
        shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }"#;
    const WIKI: &str = r#"
        wiki = { database_name = "wiki", username = "wiki_owner" }"#;
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, role) in
            [("shop", "shop_owner"), ("shop_reports", "shop_reader"), ("wiki", "wiki_owner")]
        {
            fixture.app("prod", application, role);
        }
        let apply = |entries: &str, more: &[&str], code| {
            let definitions =
                fixture.definitions(&format!("application_databases = {{{entries}\n}}"));
            let arguments = [&["apply", "--env", "prod"], more].concat();
            let mut command = fixture.command(&definitions, &arguments);
            expect(&command.env("ALLOW_DB_PROVISION", "true").output().unwrap(), code)
        };
        apply(OTHERS, &[], 0);
        let attack = "CREATE TABLE orders (id int); GRANT INSERT ON orders TO shop_reader;
            REVOKE CONNECT ON DATABASE shop FROM platform_admin";
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", attack).unwrap();
        let all = [OTHERS, WIKI].concat();
        let text = apply(&all, &["--no-fail-fast"], 3);
        for words in [
            "error[hazards-not-allowed]: the changes of the other applications were made; the plan \
             contains hazards",
            "hint: review the steps with these hazards, then add --allow revokes_access",
        ] {
            assert!(text.contains(words), "PostgreSQL {major}: {words} is not in {text}");
        }
        let may = "SELECT has_table_privilege('shop_reader', 'orders', 'INSERT')";
        assert_eq!(fixture.query_in("shop", may), "t", "PostgreSQL {major}: {text}");
        let wiki = "SELECT count(*) FROM pg_database WHERE datname = 'wiki'";
        assert_eq!(fixture.query(wiki), "1", "PostgreSQL {major}: {text}");
        apply(&all, &["--no-fail-fast", "--allow", "revokes_access"], 0);
        assert_eq!(fixture.query_in("shop", may), "f", "PostgreSQL {major}");
    }
}

/// A refused application, and one with a hazard that is not allowed: the error names both.
#[test]
fn each_reason_is_named() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for application in ["hr", "shop", "wiki"] {
            fixture.app("prod", application, &format!("{application}_owner"));
        }
        let apply = |applications: &[&str], more: &[&str], code| {
            let entry = |name: &&str| {
                format!(r#"{name} = {{ database_name = "{name}", username = "{name}_owner" }}"#)
            };
            let entries: Vec<String> = applications.iter().map(entry).collect();
            let entries = entries.join("\n");
            let definitions =
                fixture.definitions(&format!("application_databases = {{{entries}}}"));
            let arguments = [&["apply", "--env", "prod"], more].concat();
            let mut command = fixture.command(&definitions, &arguments);
            expect(&command.env("ALLOW_DB_PROVISION", "true").output().unwrap(), code)
        };
        apply(&["shop"], &[], 0);
        let attack = "GRANT CONNECT ON DATABASE shop TO PUBLIC";
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", attack).unwrap();
        fixture.query("CREATE ROLE hr_owner");
        let text = apply(&["hr", "shop", "wiki"], &["--no-fail-fast"], 3);
        for words in [
            "error[plan-refused]: the changes of the other applications were made; \
             refused[role-not-managed] hr: ",
            "error[hazards-not-allowed]: the changes of the other applications were made; the plan \
             contains hazards",
            "hint: follow the hint of each refusal, then run again",
            "--allow closes_to_public",
        ] {
            assert!(text.contains(words), "PostgreSQL {major}: {words} is not in {text}");
        }
        let wiki = "SELECT count(*) FROM pg_database WHERE datname = 'wiki'";
        assert_eq!(fixture.query(wiki), "1", "PostgreSQL {major}: {text}");
    }
}

#[test]
fn database_without_a_free_connection_stops_no_other() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "hr", "hr_owner");
        fixture.app("dev", "shop", "shop_owner");
        let definitions = fixture.definitions(
            r#"application_databases = {
                hr   = { database_name = "hr", username = "hr_owner" }
                shop = { database_name = "shop", username = "shop_owner" }
            }"#,
        );
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        fixture.query("ALTER DATABASE hr CONNECTION LIMIT 1");
        let _session = fixture.server.session("hr_owner", &password("hr"), "hr").unwrap();
        fixture.query("REVOKE CONNECT ON DATABASE shop FROM platform_admin");
        let arguments = ["apply", "--env", "dev", "--no-fail-fast"];
        let output = expect(&fixture.run(&definitions, &arguments), 3);
        assert!(output.contains("refused[database-unreachable] hr: "), "{output}");
        let granted = "SELECT has_database_privilege('platform_admin', 'shop', 'CONNECT')";
        assert_eq!(fixture.query(granted), "t");
    }
}

/// The owner of a database makes each login to it fail. A role of another team that also reads it still
/// gets its password set and rotated.
#[test]
fn database_without_logins_prevents_no_password() {
    for major in versions() {
        let fixture = Fixture::with_secrets_manager(major);
        for (application, role) in
            [("crm", "crm_owner"), ("hr", "hr_owner"), ("hr_reports", "analyst")]
        {
            fixture.app("dev", application, role);
        }
        let definitions = fixture.definitions(
            r#"application_databases = {
                 crm         = { database_name = "crm", username = "crm_owner" }
                 crm_reports = { database_name = "crm", username = "analyst", access_level = "reader" }
                 hr          = { database_name = "hr", username = "hr_owner" }
                 hr_reports  = { database_name = "hr", username = "analyst", access_level = "reader", role_owner = true, secret = "goldenpath/dev/hr_reports/postgres" }
               }"#,
        );
        let apply = ["apply", "--env", "dev"];
        expect(&fixture.run(&definitions, &apply), 0);
        let closed = "ALTER DATABASE crm SET local_preload_libraries = 'nonexistent'";
        fixture.server.sql_as("crm_owner", &password("crm"), "crm", closed).unwrap();
        let logs_in = |password: &str, database: &str| {
            fixture.server.sql_as("analyst", password, database, "SELECT 1").is_ok()
        };
        let reports = password("hr_reports");
        assert!(!logs_in(&reports, "crm") && logs_in(&reports, "hr"));
        fixture.query("ALTER ROLE analyst PASSWORD 'Known-old'");
        let words = [&apply[..], &["--only", "hr_reports"]].concat();
        let report = expect(&fixture.run(&definitions, &words), 0);
        assert!(!report.contains("password-not-checked"), "{report}");
        assert!(logs_in(&reports, "hr") && !logs_in("Known-old", "hr"), "PostgreSQL {major}");
        expect(&fixture.run(&definitions, &["rotate", "hr_reports", "--env", "dev"]), 0);
        assert!(!logs_in(&reports, "hr"), "PostgreSQL {major}");
    }
}
