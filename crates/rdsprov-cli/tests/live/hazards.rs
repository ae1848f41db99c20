//! What a change takes away or gives beyond the declared state is in the plan as a hazard.

use std::collections::BTreeSet;

use rdsprov_testkit::versions;
use serde_json::Value;

use crate::fixture::{Fixture, expect, password};

/// A server to which the definitions of a shop with a reader are applied.
fn shop(major: u32) -> (Fixture, String) {
    let fixture = Fixture::new(major);
    fixture.app("dev", "shop", "shop_owner");
    fixture.app("dev", "shop_reports", "shop_reader");
    let definitions = definitions(&fixture, "shop");
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    (fixture, definitions)
}

fn definitions(fixture: &Fixture, database: &str) -> String {
    fixture.definitions(&format!(
        r#"application_databases = {{
            shop         = {{ database_name = "{database}", username = "shop_owner" }}
            shop_reports = {{ database_name = "{database}", username = "shop_reader", access_level = "reader" }}
        }}"#
    ))
}

/// Returns the steps of a plan as JSON.
fn steps(fixture: &Fixture, definitions: &str, arguments: &[&str]) -> Vec<Value> {
    let plan = [&["plan", "--env", "dev", "--format", "json"], arguments].concat();
    let output = fixture.run(definitions, &plan);
    let plan: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let transactions = plan["transactions"].as_array().unwrap();
    transactions.iter().flat_map(|one| one["steps"].as_array().unwrap().clone()).collect()
}

fn has_hazard(step: &Value, hazard: &str) -> bool {
    step["hazards"].as_array().unwrap().iter().any(|one| one == hazard)
}

/// Asserts that `apply` changes nothing without a hazard, and succeeds with it.
fn assert_needs(fixture: &Fixture, definitions: &str, hazard: &str) {
    let state = fixture.catalog_state();
    let output = expect(&fixture.run(definitions, &["apply", "--env", "dev"]), 3);
    assert!(output.contains("hazards-not-allowed") && output.contains(hazard), "{output}");
    assert_eq!(fixture.catalog_state(), state);
    expect(&fixture.run(definitions, &["apply", "--env", "dev", "--allow", hazard]), 0);
}

/// Requires an approval in `dev`, so that hazards must be allowed there.
fn require_allowed_hazards(fixture: &Fixture) {
    let configuration = "[environments.dev]\napproval = \"required\"\n";
    std::fs::write(fixture.path().join("rdsprov.toml"), configuration).unwrap();
}

fn approved(fixture: &Fixture, definitions: &str, arguments: &[&str]) -> std::process::Output {
    let mut command = fixture.command(definitions, &["apply", "--env", "dev"]);
    command.args(arguments).env("ALLOW_DB_PROVISION", "true").output().unwrap()
}

#[test]
fn misspelt_database_name() {
    for major in versions() {
        let (fixture, _) = shop(major);
        let misspelt = definitions(&fixture, "shpo");
        let created = steps(&fixture, &misspelt, &[]);
        let created = created.iter().find(|step| step["action"] == "create_database").unwrap();
        assert!(has_hazard(created, "moves_database"), "{created}");
        assert!(created["summary"].as_str().unwrap().contains("leaves database shop"), "{created}");
        // Also in an environment without approvals.
        assert_needs(&fixture, &misspelt, "moves_database");
        let output = expect(&fixture.run(&misspelt, &["plan", "--env", "dev", "-v"]), 0);
        assert!(output.contains("database shop, of application shop"), "{output}");
        assert!(output.contains("role shop_reader can connect to it"), "{output}");
        // The old name is declared again: the other database is left.
        let corrected = definitions(&fixture, "shop");
        expect(&fixture.run(&corrected, &["apply", "--env", "dev"]), 0);
    }
}

/// The plan names exactly the roles that could connect before and cannot afterwards.
#[test]
fn roles_that_lose_their_way_in() {
    let holders = |privilege: &str| {
        format!(
            "SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]') FROM pg_roles
            WHERE rolcanlogin AND NOT rolsuper AND has_database_privilege(oid, 'hr', '{privilege}')"
        )
    };
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "hr", "hr_owner");
        fixture.app("dev", "hr_reports", "reporter");
        for statement in [
            "CREATE ROLE hr_owner LOGIN",
            "CREATE ROLE reporter LOGIN",
            "GRANT reporter TO platform_admin WITH ADMIN OPTION",
            "CREATE ROLE importer LOGIN",
            "GRANT hr_owner TO platform_admin WITH ADMIN OPTION",
            "CREATE DATABASE hr OWNER hr_owner",
            "CREATE ROLE analysts",
            "CREATE ROLE analyst_a LOGIN",
            "CREATE ROLE analyst_b LOGIN",
            "CREATE ROLE migrator LOGIN",
            "CREATE ROLE monitor LOGIN",
            "CREATE ROLE auditors NOLOGIN",
            "GRANT analysts TO analyst_b",
            "GRANT CONNECT ON DATABASE hr TO analysts",
            "GRANT CONNECT ON DATABASE hr TO monitor",
            "GRANT CONNECT, TEMPORARY ON DATABASE hr TO importer",
        ] {
            fixture.query(statement);
        }
        let definitions = fixture.definitions(
            r#"application_databases = {
                hr = { database_name = "hr", username = "hr_owner", adopt = true }
                hr_reports = { database_name = "hr", username = "reporter", access_level = "reader", adopt = true }
            }"#,
        );
        let roles = |json: &Value| -> BTreeSet<String> {
            json.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
        };
        let holders =
            |privilege| roles(&serde_json::from_str(&fixture.query(&holders(privilege))).unwrap());
        let steps = steps(&fixture, &definitions, &[]);
        let closing = steps.iter().find(|step| has_hazard(step, "closes_to_public")).unwrap();
        let locked_out = roles(&closing["locked_out"]);
        assert!(locked_out.contains("analyst_a") && locked_out.contains("migrator"), "{closing}");
        let without_temporary = roles(&closing["without_temporary"]);
        let summary = closing["summary"].as_str().unwrap();
        let words = "; analyst_b, monitor and reporter can no longer create temporary tables";
        assert!(summary.ends_with(words), "{summary}");
        let before = (holders("CONNECT"), holders("TEMPORARY"));
        let output = expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        assert!(output.contains("can no longer connect"), "{output}");
        let after = (holders("CONNECT"), holders("TEMPORARY"));
        let lost: BTreeSet<String> = before.0.difference(&after.0).cloned().collect();
        assert_eq!(lost, locked_out, "PostgreSQL {major}");
        let lost: BTreeSet<String> = before.1.difference(&after.1).cloned().collect();
        let lost: BTreeSet<String> = lost.difference(&locked_out).cloned().collect();
        assert_eq!(lost, without_temporary, "PostgreSQL {major}");
    }
}

#[test]
fn adoption_that_widens_access() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        let owner = r#"shop = { database_name = "shop", username = "shop_owner" }"#;
        let definitions = fixture.definitions(&format!("application_databases = {{ {owner} }}"));
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        fixture
            .server
            .sql_as("shop_owner", &password("shop"), "shop", "CREATE TABLE one ()")
            .unwrap();
        fixture
            .server
            .sql_as("shop_owner", &password("shop"), "shop", "CREATE TABLE two ()")
            .unwrap();
        for statement in [
            "CREATE ROLE analyst LOGIN VALID UNTIL '2020-01-01'",
            "GRANT analyst TO platform_admin WITH ADMIN OPTION",
            "GRANT CONNECT ON DATABASE shop TO analyst",
        ] {
            fixture.query(statement);
        }
        fixture.query_in("shop", "GRANT SELECT ON one TO analyst");
        fixture.app("dev", "analyst", "analyst");
        let definitions = fixture.definitions(&format!(
            r#"application_databases = {{
                {owner}
                analyst = {{ database_name = "shop", username = "analyst", access_level = "reader", adopt = true }}
            }}"#
        ));
        let steps = steps(&fixture, &definitions, &[]);
        let widening = |words: &str| {
            let step = steps.iter().find(|step| step["summary"].as_str().unwrap().contains(words));
            has_hazard(step.unwrap_or_else(|| panic!("{words}: {steps:#?}")), "widens_access")
        };
        assert!(widening("VALID UNTIL 'infinity'") && widening("SELECT on table"), "{steps:#?}");
        require_allowed_hazards(&fixture);
        let output = expect(&approved(&fixture, &definitions, &["--allow", "adopts"]), 3);
        assert!(output.contains("widens_access"), "{output}");
        let allowed = ["--allow", "adopts", "--allow", "widens_access"];
        expect(&approved(&fixture, &definitions, &allowed), 0);

        // A managed role that was locked by hand is unlocked only with the hazard allowed.
        for lock in ["NOLOGIN", "CONNECTION LIMIT 0", "VALID UNTIL '2020-01-01'"] {
            fixture.query(&format!("ALTER ROLE analyst {lock}"));
            let output = expect(&approved(&fixture, &definitions, &[]), 3);
            assert!(output.contains("widens_access"), "{lock}: {output}");
            expect(&approved(&fixture, &definitions, &["--allow", "widens_access"]), 0);
        }
    }
}

/// A role is adopted by one run, and gets its privileges by later ones: the hazard remains until then.
#[test]
fn adoption_in_parts() {
    for major in versions() {
        let fixture = Fixture::new(major);
        require_allowed_hazards(&fixture);
        for application in ["shop", "wiki"] {
            fixture.app("dev", application, &format!("{application}_owner"));
            fixture.app("dev", &format!("{application}_reports"), "analyst");
        }
        let owners = r#"
            shop = { database_name = "shop", username = "shop_owner" }
            wiki = { database_name = "wiki", username = "wiki_owner" }
        "#;
        let definitions = fixture.definitions(&format!("application_databases = {{ {owners} }}"));
        expect(&approved(&fixture, &definitions, &[]), 0);
        let tables = ["shop", "wiki"].map(|one| (one, format!("{one}_owner")));
        for (application, owner) in &tables {
            let create = "CREATE TABLE items ()";
            fixture.server.sql_as(owner, &password(application), application, create).unwrap();
        }
        let secret = password("shop_reports");
        fixture.query(&format!("CREATE ROLE analyst LOGIN PASSWORD '{secret}'"));
        fixture.query("GRANT analyst TO platform_admin WITH ADMIN OPTION");
        fixture.secret(
            "goldenpath/dev/wiki_reports/postgres",
            &format!(r#"{{"username": "analyst", "password": "{secret}"}}"#),
        );
        let definitions = fixture.definitions(&format!(
            r#"application_databases = {{ {owners}
                shop_reports = {{ database_name = "shop", username = "analyst", access_level = "reader", adopt = true }}
                wiki_reports = {{ database_name = "wiki", username = "analyst", access_level = "reader" }}
            }}"#
        ));
        let refused = |arguments: &[&str]| {
            let state = fixture.catalog_state();
            let output = expect(&approved(&fixture, &definitions, arguments), 3);
            assert!(output.contains("widens_access"), "PostgreSQL {major}: {output}");
            assert_eq!(fixture.catalog_state(), state);
        };
        let adopts = ["--only", "shop_reports", "--allow", "adopts"];
        refused(&adopts);
        let allowed = [&adopts[..], &["--allow", "widens_access"]].concat();
        expect(&approved(&fixture, &definitions, &allowed), 0);
        // The adoption was allowed, and what it gives in another database was not in that plan.
        refused(&["--only", "wiki_reports"]);
        refused(&[]);
        expect(&approved(&fixture, &definitions, &["--allow", "widens_access"]), 0);
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
        // The role has its privileges, and gets those on later objects without the hazard.
        for (application, owner) in &tables {
            let revoke = "REVOKE SELECT ON items FROM analyst";
            fixture.server.sql_as(owner, &password(application), application, revoke).unwrap();
        }
        expect(&approved(&fixture, &definitions, &[]), 0);
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
    }
}

/// The old owner left its database as a template, which each role with `CREATEDB` can copy.
#[test]
fn template_of_an_application_is_drift() {
    for major in versions() {
        let (fixture, definitions) = shop(major);
        fixture.query("CREATE ROLE other LOGIN CREATEDB PASSWORD 'Canary-other'");
        let copies = || {
            let copy = "CREATE DATABASE copy TEMPLATE shop";
            fixture.server.sql_as("other", "Canary-other", "postgres", copy).is_ok()
        };
        assert!(!copies(), "PostgreSQL {major}");
        fixture.query("ALTER DATABASE shop IS_TEMPLATE true");
        assert!(copies(), "PostgreSQL {major}");
        fixture.query("DROP DATABASE copy");
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 2);
        require_allowed_hazards(&fixture);
        let output = expect(&approved(&fixture, &definitions, &[]), 3);
        assert!(output.contains("revokes_access"), "{output}");
        expect(&approved(&fixture, &definitions, &["--allow", "revokes_access"]), 0);
        assert!(!copies(), "PostgreSQL {major}");
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
        // Together with another owner.
        fixture.query("ALTER DATABASE shop IS_TEMPLATE true");
        fixture.app("dev", "shop", "next_owner");
        let text = std::fs::read_to_string(&definitions).unwrap();
        let next = fixture.definitions(&text.replace("shop_owner", "next_owner"));
        let allow = ["--allow", "changes_owner,revokes_access"];
        expect(&approved(&fixture, &next, &allow), 0);
        assert!(!copies(), "PostgreSQL {major}");
        expect(&fixture.run(&next, &["check", "--env", "dev"]), 0);
    }
}

#[test]
fn frozen_databases() {
    for major in versions() {
        let (fixture, definitions) = shop(major);
        fixture.query("ALTER DATABASE shop ALLOW_CONNECTIONS false");
        let planned = steps(&fixture, &definitions, &[]);
        assert!(planned.iter().any(|step| has_hazard(step, "reopens_database")), "{planned:#?}");
        require_allowed_hazards(&fixture);
        let output = expect(&approved(&fixture, &definitions, &[]), 3);
        assert!(output.contains("reopens_database"), "{output}");
        expect(&approved(&fixture, &definitions, &["--allow", "reopens_database"]), 0);

        // Nothing to do in a database that is read-only.
        fixture.query("ALTER DATABASE shop SET default_transaction_read_only = on");
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
        fixture.query_in(
            "shop",
            "SET transaction_read_only = off; REVOKE USAGE ON SCHEMA public FROM shop_reader",
        );
        fixture.query("REVOKE CONNECT ON DATABASE shop FROM shop_reader");
        let state = fixture.catalog_state();
        let output = expect(&approved(&fixture, &definitions, &[]), 3);
        assert!(output.contains("refused[database-read-only] shop: "), "{output}");
        assert_eq!(fixture.catalog_state(), state);
        fixture.query("ALTER DATABASE shop RESET default_transaction_read_only");
        expect(&approved(&fixture, &definitions, &[]), 0);
    }
}

/// As after `pg_restore --no-owner`, run by the administrator.
#[test]
fn objects_of_the_administrator() {
    for major in versions() {
        let (fixture, definitions) = shop(major);
        // Before PostgreSQL 15, PUBLIC may create in schema `public` of the template.
        fixture.query_in("shop", "GRANT CREATE ON SCHEMA public TO platform_admin");
        let admin = |sql: &str| {
            let password = fixture.server.master_password().to_owned();
            fixture.server.sql_as("platform_admin", &password, "shop", sql).unwrap()
        };
        admin(
            "CREATE TABLE restored (id serial, item text); CREATE VIEW seen AS SELECT id FROM restored",
        );
        // The revocation of a privilege on one of two tables names it.
        admin("GRANT TRIGGER ON restored TO PUBLIC");
        admin("CREATE FUNCTION two() RETURNS int LANGUAGE sql AS 'SELECT 2'");
        fixture.query_in("shop", "REVOKE CREATE ON SCHEMA public FROM platform_admin");
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        let output = expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 2);
        assert!(output.contains("note[objects-of-administrator]"), "{output}");
        assert!(output.contains("a note reports a difference"), "{output}");
        let alter = |sql: &str| fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql);
        assert!(alter("ALTER TABLE restored ADD note text").is_err());

        let allowed = ["apply", "--env", "dev", "--allow", "changes_owner"];
        expect(&fixture.run(&definitions, &allowed), 0);
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
        let of_public = "SELECT count(*) FROM pg_class c, aclexplode(relacl) a
            WHERE a.grantee = 0 AND c.relname = 'restored'";
        assert_eq!(fixture.query_in("shop", of_public).trim(), "0", "PostgreSQL {major}");
        alter("ALTER TABLE restored ADD note text; DROP VIEW seen; DROP FUNCTION two()").unwrap();
        alter("INSERT INTO restored (item) VALUES ('tea')").unwrap();
        let reader = fixture.server.sql_as(
            "shop_reader",
            &password("shop_reports"),
            "shop",
            "SELECT item FROM restored",
        );
        assert!(reader.unwrap().contains("tea"));
    }
}

/// PostgreSQL compares points in time, whatever the time zone of the server and of the definitions.
#[test]
fn password_expiry() {
    const EXPIRY: &str = "SELECT extract(epoch FROM rolvaliduntil)::bigint FROM pg_roles
        WHERE rolname = 'migrator'";
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "migration", "migrator");
        fixture.query("ALTER ROLE platform_admin SET timezone = 'Asia/Kolkata'");
        fixture.query("ALTER ROLE platform_admin SET datestyle = 'German, DMY'");
        let until = |key: &str| {
            fixture.definitions(&format!(
                r#"application_databases = {{
                    migration = {{ database_name = "shop", username = "migrator"{key} }}
                }}"#
            ))
        };
        require_allowed_hazards(&fixture);
        let expires = until(r#", valid_until = "2099-01-31T01:00:00+01:00""#);
        expect(&approved(&fixture, &expires, &[]), 0);
        assert_eq!(fixture.query(EXPIRY), "4073500800", "PostgreSQL {major}");
        expect(&fixture.run(&expires, &["check", "--env", "dev"]), 0);

        let earlier = until(r#", valid_until = "2098-01-31T00:00:00Z""#);
        let output = expect(&approved(&fixture, &earlier, &[]), 3);
        assert!(output.contains("revokes_access"), "{output}");
        expect(&approved(&fixture, &earlier, &["--allow", "revokes_access"]), 0);
        assert_eq!(fixture.query(EXPIRY), "4041964800");

        // Without the key, the password never expires.
        let never = until("");
        let output = expect(&approved(&fixture, &never, &[]), 3);
        assert!(output.contains("widens_access"), "{output}");
        expect(&approved(&fixture, &never, &["--allow", "widens_access"]), 0);
        expect(&fixture.run(&never, &["check", "--env", "dev"]), 0);
    }
}

/// The definitions of `dev` with the administrator of a server of `prod`: the rules of `dev` must not
/// apply to it unnoticed.
#[test]
fn environment_on_a_server_of_another_one() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("prod", "shop", "shop_owner");
        fixture.app("dev", "wiki", "wiki_owner");
        let shop = r#"application_databases = {
            shop = { database_name = "shop", username = "shop_owner" }
        }"#;
        let wiki = r#"application_databases = {
            wiki = { database_name = "wiki", username = "wiki_owner" }
        }"#;
        // Nothing is managed on the server yet.
        let definitions = fixture.definitions(shop);
        let mut apply = fixture.command(&definitions, &["apply", "--env", "prod"]);
        expect(&apply.env("ALLOW_DB_PROVISION", "true").output().unwrap(), 0);

        let definitions = fixture.definitions(wiki);
        let marked: Vec<String> = steps(&fixture, &definitions, &[])
            .iter()
            .filter(|step| has_hazard(step, "mixes_environments"))
            .map(|step| step["action"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(marked, ["create_role", "create_database"], "PostgreSQL {major}");
        let text = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 0);
        assert!(
            text.contains(
                "note[other-environments]: the server has roles or databases of environment prod, \
                 and no database of environment dev"
            ),
            "{text}"
        );
        // The hazard is not escaped with a plan for the role alone.
        fixture.app("dev", "wiki_reports", "wiki_reader");
        let reader = r#"wiki_reports = { database_name = "wiki", username = "wiki_reader", access_level = "reader" }"#;
        let both = fixture.definitions(&wiki.replacen("{\n", &format!("{{\n{reader}\n"), 1));
        let output = fixture.run(&both, &["apply", "--env", "dev", "--only", "wiki"]);
        assert!(expect(&output, 3).contains("mixes_environments"));
        let definitions = fixture.definitions(wiki);
        // A role of the environment was created, but none of its databases.
        fixture.query("CREATE ROLE left_over");
        fixture.query(
            "COMMENT ON ROLE left_over IS '[managed by rdsprov: environment=dev application=wiki build_id=1 name=\"left_over\"]'",
        );
        assert_needs(&fixture, &definitions, "mixes_environments");
        fixture.query("DROP ROLE left_over");
        // Afterwards, the server has roles and databases of both.
        fixture.app("dev", "more", "more_owner");
        let more = r#"more = { database_name = "more", username = "more_owner" }"#;
        let definitions = fixture.definitions(&wiki.replacen("{\n", &format!("{{\n{more}\n"), 1));
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    }
}

/// A predefined role reaches beyond the database of the application, so its grant must be allowed.
/// `rds_password` does not.
#[test]
fn memberships_that_reach_beyond_the_database() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        require_allowed_hazards(&fixture);
        let with = |memberships: &str| {
            fixture.definitions(&format!(
                r#"application_databases = {{
                    shop = {{ database_name = "shop", username = "shop_owner", memberships = [{memberships}] }}
                }}"#
            ))
        };
        expect(&approved(&fixture, &with(r#""rds_password""#), &[]), 0);
        let mut roles = vec![
            ("pg_monitor", "its members can read the statements of all sessions"),
            ("pg_signal_backend", "its members can end the sessions of other roles"),
        ];
        if major >= 17 {
            fixture.query("GRANT pg_maintain TO platform_admin WITH ADMIN OPTION");
            roles.push(("pg_maintain", "its members can lock tables of other roles"));
        }
        let mut memberships = r#""rds_password""#.to_owned();
        for (role, says) in roles {
            memberships += &format!(r#", "{role}""#);
            let definitions = with(&memberships);
            let state = fixture.catalog_state();
            let output = expect(&approved(&fixture, &definitions, &[]), 3);
            for text in ["hazards-not-allowed", "reaches_beyond_database", says] {
                assert!(output.contains(text), "PostgreSQL {major}: {text} is not in {output}");
            }
            assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}");
            let allow = ["--allow", "reaches_beyond_database"];
            expect(&approved(&fixture, &definitions, &allow), 0);
            // A membership that the role has already is not a change.
            expect(&approved(&fixture, &definitions, &[]), 0);
        }
    }
}

/// The entry of another team that uses the name of the application, or that covers no schema.
#[test]
fn application_of_the_same_name_in_other_definitions() {
    let (fixture, _) = shop(versions()[0]);
    fixture.app("dev", "tool", "tool_reader");
    fixture.secret(
        "goldenpath/dev/theirs",
        &format!(r#"{{"username": "tool_reader", "password": "{}"}}"#, password("tool")),
    );
    require_allowed_hazards(&fixture);
    let state = fixture.catalog_state();
    for entries in [
        r#"shop = { database_name = "shop", username = "tool_reader", access_level = "editor", secret = "goldenpath/dev/theirs" }"#,
        r#"shop = { database_name = "tool", username = "tool_reader", secret = "goldenpath/dev/theirs" }
           tool = { database_name = "shop", username = "tool_reader", access_level = "reader", secret = "goldenpath/dev/theirs" }"#,
        r#"tool = { database_name = "shop", username = "tool_reader", access_level = "reader", schemas = [] }"#,
    ] {
        let theirs = fixture.definitions(&format!("application_databases = {{\n{entries}\n}}"));
        let report = expect(&approved(&fixture, &theirs, &[]), 3);
        assert!(report.contains("to apply this plan, add --allow widens_access"), "{report}");
        assert_eq!(fixture.catalog_state(), state);
    }
}

/// A team has adopted a database that belongs to the administrator. The entry of another team needs no
/// adoption, but the same permission.
#[test]
fn reader_of_a_database_that_others_have_adopted() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("dev", "shop", "shop_editor");
    fixture.app("dev", "tool", "tool_reader");
    fixture.server.master("postgres", "CREATE DATABASE legacy").unwrap();
    require_allowed_hazards(&fixture);
    let declare = |name: &str, user: &str, more: &str| {
        fixture.definitions(&format!(
            r#"application_databases = {{ {name} = {{ database_name = "legacy", username = "{user}", access_level = "editor"{more} }} }}"#
        ))
    };
    let allowed = [
        "--allow",
        "adopts",
        "--allow",
        "widens_access",
        "--allow",
        "closes_to_public",
        "--allow",
        "revokes_access",
    ];
    let ours = declare("shop", "shop_editor", ", adopt = true");
    expect(&approved(&fixture, &ours, &allowed), 0);
    let state = fixture.catalog_state();
    let theirs = declare("tool", "tool_reader", "");
    let report = expect(&approved(&fixture, &theirs, &[]), 3);
    assert!(report.contains("widens_access"), "{report}");
    assert_eq!(fixture.catalog_state(), state);
    // Its own grants are as declared.
    let ours = declare("shop", "shop_editor", "");
    expect(&approved(&fixture, &ours, &[]), 0);
}

/// A person who knows the old password of a role that was locked, or has expired, gets no access when the
/// role gets its access back: the new password is set in the same transaction.
#[test]
fn role_gets_its_access_back_with_its_password() {
    for major in versions() {
        let (fixture, definitions) = shop(major);
        for lock in ["NOLOGIN", "VALID UNTIL '2001-01-01'"] {
            for more in [&[][..], &["--additive"]] {
                fixture.query(&format!("ALTER ROLE shop_reader {lock} PASSWORD 'of-people-1'"));
                let plan = steps(&fixture, &definitions, more);
                let actions: Vec<_> = plan.iter().map(|step| step["action"].as_str()).collect();
                assert_eq!(actions, [Some("alter_role"), Some("set_password")], "{plan:?}");
                let apply = [&["apply", "--env", "dev"], more].concat();
                expect(&fixture.run(&definitions, &apply), 0);
                let log_in = |password: &str| {
                    fixture.server.sql_as("shop_reader", password, "shop", "SELECT 1")
                };
                log_in("of-people-1").unwrap_err();
                log_in(&password("shop_reports")).unwrap();
                expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
            }
        }
    }
}

/// The entry of another team without that of the owner. Its grants are a hazard. Once the role has them,
/// grants on later tables are not.
#[test]
fn reader_of_the_database_of_other_definitions() {
    for major in versions() {
        let (fixture, both) = shop(major);
        let both = std::fs::read_to_string(both).unwrap();
        fixture.app("dev", "tool", "tool_reader");
        let tool = r#"tool = { database_name = "shop", username = "tool_reader", access_level = "editor" }"#;
        let theirs = fixture.definitions(&format!("application_databases = {{ {tool} }}"));
        let grants = |definitions: &str| {
            let steps = steps(&fixture, definitions, &[]);
            steps.into_iter().filter(|step| step["action"] == "grant").collect::<Vec<_>>()
        };
        require_allowed_hazards(&fixture);
        let found = grants(&theirs);
        assert!(!found.is_empty());
        assert!(found.iter().all(|step| has_hazard(step, "widens_access")), "{found:?}");
        let report = expect(&approved(&fixture, &theirs, &[]), 3);
        assert!(report.contains("widens_access"), "{report}");
        // Control: with the definitions of the owner.
        let all = fixture.definitions(&both.replacen("= {", &format!("= {{ {tool}\n"), 1));
        let found = grants(&all);
        assert!(!found.is_empty());
        assert!(!found.iter().any(|step| has_hazard(step, "widens_access")), "{found:?}");

        let theirs = fixture.definitions(&format!("application_databases = {{ {tool} }}"));
        expect(&approved(&fixture, &theirs, &["--allow", "widens_access"]), 0);
        // As a superuser creates it, the table has no default privileges for the role.
        fixture
            .query_in("shop", "CREATE TABLE later (id int); ALTER TABLE later OWNER TO shop_owner");
        let found = grants(&theirs);
        assert!(!found.is_empty());
        assert!(!found.iter().any(|step| has_hazard(step, "widens_access")), "{found:?}");
    }
}
