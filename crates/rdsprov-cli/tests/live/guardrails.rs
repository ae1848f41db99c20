//! Each guardrail refuses with exit code 3, gives the reason, and leaves the server unchanged.

use rdsprov_testkit::versions;

use crate::bench::{Bench, expect, password};

/// Manual changes in `postgres` and then in `keycloak`, and the expected refusal.
struct Guardrail {
    before: &'static [&'static str],
    inside: &'static str,
    says: &'static [&'static str],
}

const fn guardrail(
    before: &'static [&'static str],
    inside: &'static str,
    says: &'static [&'static str],
) -> Guardrail {
    Guardrail { before, inside, says }
}

/// Marks the role and the database as managed, like an earlier run.
const MARKED_ROLE: &str = "CREATE ROLE keycloak_user LOGIN; COMMENT ON ROLE keycloak_user IS
    '[managed by rdsprov: environment=dev application=keycloak build_id=1 name=\"keycloak_user\"]'";
const MARKED_DATABASE: &str = "COMMENT ON DATABASE keycloak IS
    '[managed by rdsprov: environment=dev application=keycloak build_id=1 name=\"keycloak\"]'";

const GUARDRAILS: [Guardrail; 8] = [
    guardrail(
        &["CREATE ROLE keycloak_user LOGIN"],
        "",
        &["role keycloak_user exists and is not managed", "adopt = true"],
    ),
    guardrail(
        &["CREATE DATABASE keycloak"],
        "",
        &["database keycloak exists and is not managed", "adopt = true"],
    ),
    guardrail(&["CREATE ROLE keycloak_user SUPERUSER"], "", &["has SUPERUSER"]),
    guardrail(&["CREATE ROLE keycloak_user REPLICATION"], "", &["has REPLICATION"]),
    guardrail(&["CREATE ROLE keycloak_user BYPASSRLS"], "", &["has BYPASSRLS"]),
    guardrail(
        &["CREATE ROLE keycloak_user LOGIN; COMMENT ON ROLE keycloak_user IS
             '[managed by rdsprov: environment=prod application=keycloak build_id=1 name=\"keycloak_user\"]'"],
        "",
        &["managed from environment \"prod\""],
    ),
    guardrail(
        &[
            MARKED_ROLE,
            "CREATE ROLE legacy",
            "CREATE DATABASE keycloak OWNER legacy",
            MARKED_DATABASE,
        ],
        "",
        &["database keycloak belongs to role legacy", "keycloak_user", "REASSIGN OWNED"],
    ),
    guardrail(
        &[
            MARKED_ROLE,
            "GRANT keycloak_user TO platform_admin WITH ADMIN OPTION",
            "CREATE DATABASE keycloak OWNER keycloak_user",
            MARKED_DATABASE,
        ],
        "CREATE TABLE foreign_table (id int)",
        &[
            "table public.foreign_table",
            "for role rdsadmin to do",
            // The plan would create the grantee.
            r#"ALTER TABLE "public"."foreign_table" OWNER TO "keycloak_user""#,
        ],
    ),
];

#[test]
fn what_stands_on_the_server() {
    for major in versions() {
        let bench = Bench::new(major);
        bench.app("dev", "backstage", "backstage_user");
        bench.app("dev", "keycloak", "keycloak_user");
        bench.app("dev", "keycloak_reports", "keycloak_reader");
        let definitions = bench.definitions(
            r#"application_databases = {
                 keycloak         = { database_name = "keycloak", username = "keycloak_user" }
                 keycloak_reports = { database_name = "keycloak", username = "keycloak_reader", access_level = "reader" }
                 backstage        = { database_name = "backstage", username = "backstage_user" }
               }"#,
        );
        for Guardrail { before, inside, says } in &GUARDRAILS {
            for sql in *before {
                bench.query(sql);
            }
            if !inside.is_empty() {
                bench.query_in("keycloak", inside);
            }
            let picture = bench.picture();
            let shown = expect(&bench.run(&definitions, &["apply", "--env", "dev"]), 3);
            for words in *says {
                assert!(shown.contains(words), "PostgreSQL {major}: {words} is not in {shown}");
            }
            assert_eq!(bench.picture(), picture, "PostgreSQL {major}: {says:?}");
            bench.query("DROP DATABASE IF EXISTS keycloak");
            bench.query("DROP ROLE IF EXISTS keycloak_user");
            bench.query("DROP ROLE IF EXISTS legacy");
        }
    }
}

/// Since PostgreSQL 16, the administrator needs the ADMIN option on a role that another role
/// created, and a probe proves that it is missing. Before, `CREATEROLE` is enough.
#[test]
fn a_role_without_power_over_it() {
    for major in versions() {
        let bench = Bench::new(major);
        bench.app("dev", "backstage", "backstage_user");
        bench.app("dev", "keycloak", "keycloak_user");
        bench.query(MARKED_ROLE);
        let picture = bench.picture();
        let output = bench.run("teams/standalone.tfvars", &["apply"]);
        if major < 16 {
            expect(&output, 0);
            bench
                .server
                .sql_as("keycloak_user", &password("keycloak"), "keycloak", "SELECT 1")
                .unwrap();
            continue;
        }
        let shown = expect(&output, 3);
        let remedy = r#"GRANT "keycloak_user" TO "platform_admin" WITH ADMIN OPTION"#;
        assert!(shown.contains("no power over role keycloak_user"), "{shown}");
        assert!(shown.contains(remedy), "{shown}");
        assert_eq!(bench.picture(), picture);
        bench.query(remedy);
        expect(&bench.run("teams/standalone.tfvars", &["apply"]), 0);
    }
}

/// An undeclared membership is drift. Before PostgreSQL 16, `CREATEROLE` may revoke it; since then,
/// only its grantor may.
#[test]
fn a_membership_that_somebody_else_granted() {
    for major in versions() {
        let bench = Bench::new(major);
        bench.app("dev", "backstage", "backstage_user");
        bench.app("dev", "keycloak", "keycloak_user");
        let apply = || bench.run("teams/standalone.tfvars", &["apply"]);
        expect(&apply(), 0);
        bench.query("GRANT rds_password TO keycloak_user");
        if major >= 16 {
            let picture = bench.picture();
            let shown = expect(&apply(), 3);
            let remedy = r#"REVOKE "rds_password" FROM "keycloak_user" GRANTED BY "rdsadmin""#;
            assert!(shown.contains(remedy), "{shown}");
            assert_eq!(bench.picture(), picture);
            bench.query(remedy);
        }
        expect(&apply(), 0);
        let member = "SELECT pg_has_role('keycloak_user', 'rds_password', 'MEMBER')";
        assert_eq!(bench.query(member), "f");
        // The administrator revokes a membership that it granted itself.
        bench.server.master("platform", "CREATE ROLE team").unwrap();
        bench.server.master("platform", "GRANT team TO keycloak_user").unwrap();
        expect(&apply(), 0);
        assert_eq!(bench.query("SELECT pg_has_role('keycloak_user', 'team', 'MEMBER')"), "f");
    }
}

#[test]
fn the_administrator_and_its_database_are_not_an_applications() {
    for major in versions() {
        let bench = Bench::new(major);
        bench.app("dev", "keycloak", "platform_admin");
        bench.app("dev", "backstage", "backstage_user");
        let definitions = bench.definitions(
            r#"application_databases = {
                 keycloak  = { database_name = "keycloak", username = "platform_admin", adopt = true }
                 backstage = { database_name = "platform", username = "backstage_user", adopt = true }
               }"#,
        );
        let picture = bench.picture();
        let shown = expect(&bench.run(&definitions, &["apply", "--env", "dev"]), 3);
        assert!(shown.contains("role platform_admin is the administrator itself"), "{shown}");
        assert!(shown.contains("database platform is the administrator's own"), "{shown}");
        assert_eq!(bench.picture(), picture);
    }
}

#[test]
fn secrets_that_are_not_good_enough() {
    const REST: &str = "see to the secret";
    let cases = [
        (r#"{"username": "other", "password": "Canary-1"}"#, "is for user \"other\""),
        (r#"{"dbname": "other", "password": "Canary-1"}"#, "is for database \"other\""),
        (r#"{"username": "keycloak_user"}"#, "has no `password`"),
        (r#"{"password": ""}"#, "the password is empty"),
        (r#"{"password": "PLACEHOLDER"}"#, "is a placeholder"),
        (r#"{"password": "Canary-\u0000"}"#, "NUL"),
        (r#"{"password": "Canary-1"#, "is not JSON"),
        (r#"Canary-1"#, "is not JSON"),
        (r#"["Canary-1"]"#, "is not a JSON object"),
        (r#"{"password": "Canary-1", "engine": "mysql"}"#, "not PostgreSQL"),
        (r#"{"password": "Canary-1", "password": "Canary-2"}"#, "`password` twice"),
    ];
    for major in versions() {
        let bench = Bench::new(major);
        bench.app("dev", "backstage", "backstage_user");
        let picture = bench.picture();
        let refused = || expect(&bench.run("teams/standalone.tfvars", &["apply"]), 3);
        for (text, says) in cases {
            bench.secret("goldenpath/dev/keycloak/postgres", text);
            let shown = refused();
            let whole = shown.contains(says) && shown.contains("goldenpath/dev/keycloak/postgres");
            assert!(whole, "{says} is not in {shown}");
            assert_eq!(bench.picture(), picture, "{says}");
        }
        // All missing secrets are reported.
        for application in ["keycloak", "backstage"] {
            let path = format!("goldenpath/dev/{application}/postgres.json");
            std::fs::remove_file(bench.path().join(path)).unwrap();
        }
        let shown = refused();
        for application in ["keycloak", "backstage"] {
            assert!(shown.contains(&format!("goldenpath/dev/{application}/postgres")), "{shown}");
        }
        assert!(shown.contains(REST), "{shown}");
        assert_eq!(bench.picture(), picture);
    }
}

/// The administrator creates an extension that is not trusted, if it is a superuser.
#[test]
fn an_extension_that_the_administrator_may_make() {
    for major in versions() {
        let bench = Bench::new(major);
        bench.app("dev", "shop", "shop_owner");
        let definitions = bench.definitions(
            r#"application_databases = {
                 shop = { database_name = "shop", username = "shop_owner", extensions = ["dblink", "pg_trgm"] }
               }"#,
        );
        let apply = ["apply", "--env", "dev"];
        let shown = expect(&bench.run(&definitions, &apply), 3);
        assert!(shown.contains(r#"permission denied to create extension "dblink""#), "{shown}");

        bench.query("CREATE ROLE root_admin SUPERUSER LOGIN PASSWORD 'Canary-root'");
        let secret = bench.server.admin_secret();
        let secret = secret
            .replace("platform_admin", "root_admin")
            .replace(bench.server.master_password(), "Canary-root");
        bench.secret("root", &secret);
        let root = ["--admin-secret", "root"];
        expect(&bench.run(&definitions, &[&apply, root.as_slice()].concat()), 0);
        let owners =
            "SELECT string_agg(extname || ' ' || pg_get_userbyid(extowner), ', ' ORDER BY extname)
            FROM pg_extension WHERE extname <> 'plpgsql'";
        assert_eq!(bench.query_in("shop", owners), "dblink root_admin, pg_trgm shop_owner");
        let own = password("shop");
        bench.server.sql_as("shop_owner", &own, "shop", "CREATE TABLE t (id int)").unwrap();
        expect(
            &bench.run(&definitions, &[&["check", "--env", "dev"], root.as_slice()].concat()),
            0,
        );
    }
}

/// Before PostgreSQL 16, an administrator with `NOINHERIT` cannot transfer objects of another
/// owner, but can do everything else. Its own memberships are unchanged afterwards.
#[test]
fn an_administrator_that_does_not_inherit() {
    for major in versions() {
        let bench = Bench::new(major);
        for (application, username) in
            [("keycloak", "keycloak_user"), ("backstage", "backstage_user")]
        {
            bench.app("dev", application, username);
        }
        let definitions = bench.definitions(
            r#"application_databases = {
                 keycloak  = { database_name = "keycloak", username = "keycloak_user" }
                 backstage = { database_name = "backstage", username = "backstage_user" }
               }"#,
        );
        bench.query("ALTER ROLE platform_admin NOINHERIT");
        let apply = ["apply", "--env", "dev", "--allow", "changes_owner"];
        expect(&bench.run(&definitions, &apply), 0);
        bench.query("GRANT keycloak_user TO platform_admin");
        bench.query_in("keycloak", "CREATE TABLE t (id int); ALTER TABLE t OWNER TO keycloak_user");
        let definitions = bench.definitions(
            r#"application_databases = {
                 keycloak  = { database_name = "keycloak", username = "backstage_user", secret = "goldenpath/dev/backstage/postgres" }
                 backstage = { database_name = "backstage", username = "backstage_user" }
               }"#,
        );
        if major < 16 {
            let picture = bench.picture();
            let shown = expect(&bench.run(&definitions, &apply), 3);
            let opening = r#"ALTER ROLE "platform_admin" INHERIT"#;
            assert!(shown.contains("has NOINHERIT") && shown.contains(opening), "{shown}");
            assert_eq!(bench.picture(), picture);
            bench.query(opening);
        }
        let memberships = "SELECT m::text FROM pg_auth_members m ORDER BY 1";
        let before = bench.query(memberships);
        expect(&bench.run(&definitions, &apply), 0);
        assert_eq!(bench.query(memberships), before, "PostgreSQL {major}");
        expect(&bench.run(&definitions, &["check", "--env", "dev"]), 0);
    }
}

/// Only a superuser can revoke what the owner granted through a grant option that it has since
/// lost. The owner's own privileges remain.
#[test]
fn what_was_granted_by_an_option_that_is_lost() {
    for major in versions().into_iter().filter(|major| *major >= 15) {
        let bench = Bench::new(major);
        bench.app("dev", "keycloak", "keycloak_user");
        bench.app("dev", "reports", "keycloak_reader");
        let definitions = bench.definitions(
            r#"application_databases = {
                 keycloak = { database_name = "keycloak", username = "keycloak_user" }
                 reports  = { database_name = "keycloak", username = "keycloak_reader", access_level = "reader" }
               }"#,
        );
        let apply = ["apply", "--env", "dev", "--allow", "revokes_access"];
        expect(&bench.run(&definitions, &apply), 0);
        bench.query_in(
            "keycloak",
            "GRANT ALL ON SCHEMA public TO keycloak_user WITH GRANT OPTION; SET ROLE keycloak_user;
             GRANT CREATE ON SCHEMA public TO keycloak_reader; RESET ROLE;
             REVOKE GRANT OPTION FOR CREATE ON SCHEMA public FROM keycloak_user",
        );
        let acl = || {
            let acl = "SELECT nspacl::text FROM pg_namespace WHERE nspname = 'public'";
            bench.query_in("keycloak", acl)
        };
        assert!(acl().contains("keycloak_user=U*C/pg_database_owner"), "{}", acl());
        let json = bench.run(&definitions, &["plan", "--env", "dev", "--format", "json"]);
        let plan: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        let opens = &plan["refusals"][0]["manual_fix"];
        let statement = opens["sql"].as_str().unwrap_or_else(|| panic!("{plan:#}"));
        bench.query_in(opens["database"].as_str().unwrap(), statement);
        expect(&bench.run(&definitions, &apply), 0);
        assert!(acl().contains("keycloak_user=U*C/pg_database_owner"), "{}", acl());
        assert!(!acl().contains("keycloak_reader=UC"), "{}", acl());
        expect(&bench.run(&definitions, &["check", "--env", "dev"]), 0);
    }
}
