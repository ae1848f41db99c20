//! Each guardrail refuses with exit code 3, gives the reason, and leaves the server unchanged.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect, password};

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
const MARKED_ROLE: &str = "CREATE ROLE keycloak_user LOGIN;
    GRANT keycloak_user TO platform_admin WITH ADMIN OPTION; COMMENT ON ROLE keycloak_user IS
    '[managed by rdsprov: environment=dev application=keycloak build_id=1 name=\"keycloak_user\"]'";
const MARKED_DATABASE: &str = "COMMENT ON DATABASE keycloak IS
    '[managed by rdsprov: environment=dev application=keycloak build_id=1 name=\"keycloak\"]'";

const GUARDRAILS: [Guardrail; 8] = [
    guardrail(
        &["CREATE ROLE keycloak_user LOGIN"],
        "",
        &["refused[role-not-managed] keycloak: role keycloak_user ", "adopt = true"],
    ),
    guardrail(
        &["CREATE DATABASE keycloak"],
        "",
        &["refused[database-not-managed] keycloak: database keycloak ", "adopt = true"],
    ),
    guardrail(&["CREATE ROLE keycloak_user SUPERUSER"], "", &["refused[role-attributes-forbidden] keycloak: ", "SUPERUSER"]),
    guardrail(&["CREATE ROLE keycloak_user REPLICATION"], "", &["refused[role-attributes-forbidden] keycloak: ", "REPLICATION"]),
    guardrail(&["CREATE ROLE keycloak_user BYPASSRLS"], "", &["refused[role-attributes-forbidden] keycloak: ", "BYPASSRLS"]),
    guardrail(
        &["CREATE ROLE keycloak_user LOGIN;
             GRANT keycloak_user TO platform_admin WITH ADMIN OPTION; COMMENT ON ROLE keycloak_user IS
             '[managed by rdsprov: environment=prod application=keycloak build_id=1 name=\"keycloak_user\"]'"],
        "",
        &["refused[role-of-other-environment] keycloak: ", "environment `prod`"],
    ),
    guardrail(
        &[
            MARKED_ROLE,
            "CREATE ROLE legacy",
            "CREATE DATABASE keycloak OWNER legacy",
            MARKED_DATABASE,
        ],
        "",
        &["refused[database-owner-differs] keycloak: ", "keycloak_user", r#" "legacy" TO "#],
    ),
    guardrail(
        &[
            MARKED_ROLE,
            "CREATE DATABASE keycloak OWNER keycloak_user",
            MARKED_DATABASE,
        ],
        "CREATE TABLE foreign_table (id int)",
        &[
            "table public.foreign_table",
            "refused[step-of-other-role] ",
            // The plan would create the grantee.
            r#"ALTER TABLE "public"."foreign_table" OWNER TO "keycloak_user""#,
        ],
    ),
];

#[test]
fn existing_objects_are_refused() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "backstage", "backstage_user");
        fixture.app("dev", "keycloak", "keycloak_user");
        fixture.app("dev", "keycloak_reports", "keycloak_reader");
        let definitions = fixture.definitions(
            r#"application_databases = {
                 keycloak         = { database_name = "keycloak", username = "keycloak_user" }
                 keycloak_reports = { database_name = "keycloak", username = "keycloak_reader", access_level = "reader" }
                 backstage        = { database_name = "backstage", username = "backstage_user" }
               }"#,
        );
        for Guardrail { before, inside, says } in &GUARDRAILS {
            for sql in *before {
                fixture.query(sql);
            }
            if !inside.is_empty() {
                fixture.query_in("keycloak", inside);
            }
            let catalog_state = fixture.catalog_state();
            let output_text = expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 3);
            for words in *says {
                assert!(
                    output_text.contains(words),
                    "PostgreSQL {major}: {words} is not in {output_text}"
                );
            }
            assert_eq!(fixture.catalog_state(), catalog_state, "PostgreSQL {major}: {says:?}");
            fixture.query("DROP DATABASE IF EXISTS keycloak");
            fixture.query("DROP ROLE IF EXISTS keycloak_user");
            fixture.query("DROP ROLE IF EXISTS legacy");
        }
    }
}

/// A `dev` that requires an approval also requires that hazards are allowed.
#[test]
fn hazards_in_dev_with_approval() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        fixture.app("dev", "shop_workers", "shop_editor");
        fixture.app("dev", "shop_reports", "shop_reader");
        let apply = |arguments: &[&str]| {
            let arguments = [&["apply", "--env", "dev"], arguments].concat();
            let mut command = fixture.command("teams/levels.tfvars", &arguments);
            command.env("ALLOW_DB_PROVISION", "true").output().unwrap()
        };
        let may_create_databases = "SELECT rolcreatedb FROM pg_roles WHERE rolname = 'shop_reader'";
        expect(&apply(&[]), 0);
        fixture.query("ALTER ROLE shop_reader CREATEDB");
        let config = fixture.path().join("rdsprov.toml");
        std::fs::write(&config, "[environments.dev]\napproval = \"required\"\n").unwrap();
        let catalog_state = fixture.catalog_state();
        let output_text = expect(&apply(&[]), 3);
        for words in ["error[hazards-not-allowed]", "--allow revokes_access"] {
            assert!(output_text.contains(words), "{output_text}");
        }
        assert_eq!(fixture.catalog_state(), catalog_state);
        expect(&apply(&["--allow", "revokes_access"]), 0);
        assert_eq!(fixture.query(may_create_databases), "f");

        std::fs::remove_file(config).unwrap();
        fixture.query("ALTER ROLE shop_reader CREATEDB");
        expect(&apply(&[]), 0);
        assert_eq!(fixture.query(may_create_databases), "f");
    }
}

/// Since PostgreSQL 16, the administrator needs the ADMIN option on a role that another role
/// created, and a probe proves that it is missing. Before, `CREATEROLE` is enough.
#[test]
fn role_without_admin_option() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "backstage", "backstage_user");
        fixture.app("dev", "keycloak", "keycloak_user");
        let option = "GRANT keycloak_user TO platform_admin WITH ADMIN OPTION;";
        fixture.query(&MARKED_ROLE.replace(option, ""));
        let catalog_state = fixture.catalog_state();
        let output = fixture.run("teams/standalone.tfvars", &["apply"]);
        if major < 16 {
            expect(&output, 0);
            fixture
                .server
                .sql_as("keycloak_user", &password("keycloak"), "keycloak", "SELECT 1")
                .unwrap();
            continue;
        }
        let output_text = expect(&output, 3);
        let remedy = r#"GRANT "keycloak_user" TO "platform_admin" WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"#;
        assert!(output_text.contains("refused[admin-option-missing] keycloak: "), "{output_text}");
        assert!(output_text.contains(remedy), "{output_text}");
        assert_eq!(fixture.catalog_state(), catalog_state);
        fixture.query(remedy);
        expect(&fixture.run("teams/standalone.tfvars", &["apply"]), 0);
    }
}

/// An undeclared membership is drift. Before PostgreSQL 16, `CREATEROLE` may revoke it; since then,
/// only its grantor may.
#[test]
fn membership_granted_by_another_role() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "backstage", "backstage_user");
        fixture.app("dev", "keycloak", "keycloak_user");
        let apply = || fixture.run("teams/standalone.tfvars", &["apply"]);
        expect(&apply(), 0);
        fixture.query("GRANT rds_password TO keycloak_user");
        if major >= 16 {
            let catalog_state = fixture.catalog_state();
            let output_text = expect(&apply(), 3);
            let remedy = r#"REVOKE "rds_password" FROM "keycloak_user" GRANTED BY "rdsadmin""#;
            assert!(output_text.contains(remedy), "{output_text}");
            assert_eq!(fixture.catalog_state(), catalog_state);
            fixture.query(remedy);
        }
        expect(&apply(), 0);
        let member = "SELECT pg_has_role('keycloak_user', 'rds_password', 'MEMBER')";
        assert_eq!(fixture.query(member), "f");
        // The administrator revokes a membership that it granted itself.
        fixture.server.master("platform", "CREATE ROLE team").unwrap();
        fixture.server.master("platform", "GRANT team TO keycloak_user").unwrap();
        expect(&apply(), 0);
        assert_eq!(fixture.query("SELECT pg_has_role('keycloak_user', 'team', 'MEMBER')"), "f");
    }
}

#[test]
fn administrator_and_its_database_are_reserved() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "keycloak", "platform_admin");
        fixture.app("dev", "backstage", "backstage_user");
        let definitions = fixture.definitions(
            r#"application_databases = {
                 keycloak  = { database_name = "keycloak", username = "platform_admin", adopt = true }
                 backstage = { database_name = "platform", username = "backstage_user", adopt = true }
               }"#,
        );
        let catalog_state = fixture.catalog_state();
        let apply = ["apply", "--env", "dev", "--dbname", "platform"];
        let output_text = expect(&fixture.run(&definitions, &apply), 3);
        assert!(output_text.contains("refused[role-is-administrator] keycloak: "), "{output_text}");
        assert!(
            output_text.contains("refused[administrator-database] backstage: "),
            "{output_text}"
        );
        let hint = "hint: connect to another database, for example with --dbname postgres";
        assert!(output_text.contains(hint), "{output_text}");
        assert_eq!(fixture.catalog_state(), catalog_state);
    }
}

#[test]
fn invalid_secrets_are_refused() {
    const REST: &str = "refused[secret-unavailable]";
    let cases = [
        (r#"{"username": "other", "password": "Canary-1"}"#, "is for another user, and"),
        (r#"{"dbname": "other", "password": "Canary-1"}"#, "is for another database, and"),
        (r#"{"username": "keycloak_user"}"#, "has no key `password`"),
        (r#"{"password": ""}"#, "`password` of secret goldenpath/dev/keycloak/postgres is empty"),
        (r#"{"password": "PLACEHOLDER"}"#, "is a placeholder"),
        (r#"{"password": "Canary-\u0000"}"#, "NUL"),
        (r#"{"password": "Canary-1"#, "is not JSON"),
        (r#"Canary-1"#, "is not JSON"),
        (r#"["Canary-1"]"#, "is not a JSON object"),
        (r#"{"password": "Canary-1", "engine": "mysql"}"#, "other than PostgreSQL"),
        (r#"{"password": "Canary-1", "password": "Canary-2"}"#, "the key `password` twice"),
    ];
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "backstage", "backstage_user");
        let catalog_state = fixture.catalog_state();
        let refused = || expect(&fixture.run("teams/standalone.tfvars", &["apply"]), 3);
        for (text, says) in cases {
            fixture.secret("goldenpath/dev/keycloak/postgres", text);
            let output_text = refused();
            let whole = output_text.contains(says)
                && output_text.contains("goldenpath/dev/keycloak/postgres");
            assert!(whole, "{says} is not in {output_text}");
            assert_eq!(fixture.catalog_state(), catalog_state, "{says}");
        }
        // All missing secrets are reported.
        for application in ["keycloak", "backstage"] {
            let path = format!("goldenpath/dev/{application}/postgres.json");
            std::fs::remove_file(fixture.path().join(path)).unwrap();
        }
        let output_text = refused();
        for application in ["keycloak", "backstage"] {
            assert!(
                output_text.contains(&format!("goldenpath/dev/{application}/postgres")),
                "{output_text}"
            );
        }
        assert!(output_text.contains(REST), "{output_text}");
        assert_eq!(fixture.catalog_state(), catalog_state);
    }
}

/// The administrator creates an extension that is not trusted, if it is a superuser.
#[test]
fn extension_that_the_administrator_may_create() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        let definitions = fixture.definitions(
            r#"application_databases = {
                 shop = { database_name = "shop", username = "shop_owner", extensions = ["dblink", "pg_trgm"] }
               }"#,
        );
        let apply = ["apply", "--env", "dev"];
        let output_text = expect(&fixture.run(&definitions, &apply), 3);
        assert!(
            output_text.contains(r#"permission denied to create extension "dblink""#),
            "{output_text}"
        );

        fixture.query("CREATE ROLE root_admin SUPERUSER LOGIN PASSWORD 'Canary-root'");
        let secret = fixture.server.admin_secret();
        let secret = secret
            .replace("platform_admin", "root_admin")
            .replace(fixture.server.master_password(), "Canary-root");
        fixture.secret("root", &secret);
        let administer_as_superuser = ["--admin-secret", "root"];
        expect(
            &fixture.run(&definitions, &[&apply, administer_as_superuser.as_slice()].concat()),
            0,
        );
        let owners =
            "SELECT string_agg(extname || ' ' || pg_get_userbyid(extowner), ', ' ORDER BY extname)
            FROM pg_extension WHERE extname <> 'plpgsql'";
        assert_eq!(fixture.query_in("shop", owners), "dblink root_admin, pg_trgm shop_owner");
        let own = password("shop");
        fixture.server.sql_as("shop_owner", &own, "shop", "CREATE TABLE t (id int)").unwrap();
        expect(
            &fixture.run(
                &definitions,
                &[&["check", "--env", "dev"], administer_as_superuser.as_slice()].concat(),
            ),
            0,
        );
    }
}

/// Before PostgreSQL 16, an administrator with `NOINHERIT` cannot transfer objects of another
/// owner, but can do everything else. Its own memberships are unchanged afterwards.
#[test]
fn administrator_with_noinherit() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, username) in
            [("keycloak", "keycloak_user"), ("backstage", "backstage_user")]
        {
            fixture.app("dev", application, username);
        }
        let definitions = fixture.definitions(
            r#"application_databases = {
                 keycloak  = { database_name = "keycloak", username = "keycloak_user" }
                 backstage = { database_name = "backstage", username = "backstage_user" }
               }"#,
        );
        fixture.query("ALTER ROLE platform_admin NOINHERIT");
        let apply = ["apply", "--env", "dev", "--allow", "changes_owner,changes_application"];
        expect(&fixture.run(&definitions, &apply), 0);
        fixture.query("GRANT keycloak_user TO platform_admin");
        fixture
            .query_in("keycloak", "CREATE TABLE t (id int); ALTER TABLE t OWNER TO keycloak_user");
        let definitions = fixture.definitions(
            r#"application_databases = {
                 keycloak  = { database_name = "keycloak", username = "backstage_user", secret = "goldenpath/dev/backstage/postgres", role_owner = true }
                 backstage = { database_name = "backstage", username = "backstage_user" }
               }"#,
        );
        if major < 16 {
            let catalog_state = fixture.catalog_state();
            let output_text = expect(&fixture.run(&definitions, &apply), 3);
            let opening = r#"ALTER ROLE "platform_admin" INHERIT"#;
            assert!(
                output_text.contains("refused[administrator-without-inherit]")
                    && output_text.contains(opening),
                "{output_text}"
            );
            assert_eq!(fixture.catalog_state(), catalog_state);
            fixture.query(opening);
        }
        let memberships = "SELECT m::text FROM pg_auth_members m ORDER BY 1";
        let before = fixture.query(memberships);
        expect(&fixture.run(&definitions, &apply), 0);
        assert_eq!(fixture.query(memberships), before, "PostgreSQL {major}");
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
    }
}

/// Before PostgreSQL 16, an owner with `NOINHERIT` does not have the privileges of `pg_database_owner`,
/// which owns schema `public`, without `SET ROLE`. A `+role` line in pg_hba.conf has the server store the
/// memberships of the administrator before it knows the database.
#[test]
fn owner_of_the_database_with_noinherit() {
    for major in versions() {
        let options = if major < 16 { "" } else { "WITH ADMIN TRUE, INHERIT FALSE, SET TRUE" };
        let both = format!("GRANT teamo, rd TO platform_admin {options}");
        let through = format!(
            "CREATE ROLE group_of_team NOINHERIT; GRANT teamo TO group_of_team {options};
             GRANT group_of_team, rd TO platform_admin {options}"
        );
        let memberships = [both.as_str(), &through].into_iter().chain((major < 16).then_some(""));
        for (number, memberships) in memberships.enumerate() {
            let fixture = Fixture::new(major);
            fixture.app("dev", "reports", "rd");
            let rules = fixture.server.data_directory().join("pg_hba.conf");
            let text = std::fs::read_to_string(&rules).unwrap();
            let line = "hostssl all +teamo all scram-sha-256\n";
            std::fs::write(&rules, format!("{line}{text}")).unwrap();
            fixture.query(&format!(
                "SELECT pg_reload_conf(); CREATE ROLE teamo NOINHERIT NOLOGIN; CREATE ROLE rd LOGIN; {memberships}"
            ));
            fixture.query("CREATE DATABASE teamdb OWNER teamo");
            fixture.query_in(
                "teamdb",
                "ALTER SCHEMA public OWNER TO pg_database_owner;
                 REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT CREATE ON SCHEMA public TO rd;
                 CREATE TABLE public.t (id int); ALTER TABLE public.t OWNER TO teamo;
                 CREATE SCHEMA own AUTHORIZATION teamo; CREATE TABLE own.t (id int); ALTER TABLE own.t OWNER TO teamo",
            );
            let definitions = fixture.definitions(
                r#"application_databases = {
                     reports = { database_name = "teamdb", username = "rd", access_level = "reader", schemas = ["public", "own"] }
                   }"#,
            );
            let before = fixture.query("SELECT m::text FROM pg_auth_members m ORDER BY 1");
            let apply =
                ["apply", "--env", "dev", "--adopt", "reports", "--allow", "revokes_access"];
            let run = fixture.run(&definitions, &apply);
            assert_eq!(run.status.code(), Some(0), "PostgreSQL {major}, {number}: {run:?}");
            expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
            assert_eq!(fixture.query("SELECT m::text FROM pg_auth_members m ORDER BY 1"), before);
            let read = "SELECT count(*) FROM public.t, own.t";
            fixture.server.sql_as("rd", &password("reports"), "teamdb", read).unwrap();
            let create = "CREATE TABLE public.of_reader (id int)";
            fixture.server.sql_as("rd", &password("reports"), "teamdb", create).unwrap_err();
        }
    }
}

/// Only a superuser can revoke what the owner granted through a grant option that it has since
/// lost. The owner's own privileges remain.
#[test]
fn grants_through_a_lost_grant_option() {
    for major in versions().into_iter().filter(|major| *major >= 15) {
        let fixture = Fixture::new(major);
        fixture.app("dev", "keycloak", "keycloak_user");
        fixture.app("dev", "reports", "keycloak_reader");
        let definitions = fixture.definitions(
            r#"application_databases = {
                 keycloak = { database_name = "keycloak", username = "keycloak_user" }
                 reports  = { database_name = "keycloak", username = "keycloak_reader", access_level = "reader" }
               }"#,
        );
        let apply = ["apply", "--env", "dev", "--allow", "revokes_access"];
        expect(&fixture.run(&definitions, &apply), 0);
        fixture.query_in(
            "keycloak",
            "GRANT ALL ON SCHEMA public TO keycloak_user WITH GRANT OPTION; SET ROLE keycloak_user;
             GRANT CREATE ON SCHEMA public TO keycloak_reader; RESET ROLE;
             REVOKE GRANT OPTION FOR CREATE ON SCHEMA public FROM keycloak_user",
        );
        let acl = || {
            let acl = "SELECT nspacl::text FROM pg_namespace WHERE nspname = 'public'";
            fixture.query_in("keycloak", acl)
        };
        assert!(acl().contains("keycloak_user=U*C/pg_database_owner"), "{}", acl());
        let json = fixture.run(&definitions, &["plan", "--env", "dev", "--format", "json"]);
        let plan: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        let manual_fix = &plan["refusals"][0]["manual_fix"];
        let statement = manual_fix["sql"].as_str().unwrap_or_else(|| panic!("{plan:#}"));
        fixture.query_in(manual_fix["database"].as_str().unwrap(), statement);
        expect(&fixture.run(&definitions, &apply), 0);
        assert!(acl().contains("keycloak_user=U*C/pg_database_owner"), "{}", acl());
        assert!(!acl().contains("keycloak_reader=UC"), "{}", acl());
        expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
    }
}

/// Some types of the SQL standard have names of several words, which PostgreSQL writes without quotes.
#[test]
fn grant_on_a_type_of_the_standard() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "keycloak", "keycloak_user");
        fixture.app("dev", "reports", "keycloak_reader");
        let definitions = fixture.definitions(
            r#"application_databases = {
                 keycloak = { database_name = "keycloak", username = "keycloak_user" }
                 reports  = { database_name = "keycloak", username = "keycloak_reader", access_level = "reader" }
               }"#,
        );
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        let grant = "GRANT USAGE ON TYPE timestamp TO keycloak_reader";
        fixture.server.superuser("keycloak", grant).unwrap();
        let text = expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
        let note = r#"cannot revoke USAGE on type pg_catalog."timestamp" from keycloak_reader"#;
        assert!(text.contains(note), "PostgreSQL {major}: {text}");
    }
}

/// No entry can have an administrator as its role: the plan would be refused with `role-is-administrator`.
#[test]
fn hint_names_no_owner_that_would_be_refused() {
    for major in versions() {
        for (attribute, is_declarable) in [("", true), (" CREATEROLE", false)] {
            let fixture = Fixture::new(major);
            fixture.app("dev", "shop", "shop_owner");
            let definitions = fixture.definitions(
                r#"application_databases = { shop = { database_name = "shop", username = "shop_owner", adopt = true } }"#,
            );
            fixture.query(&format!("CREATE ROLE sub_admin LOGIN{attribute}"));
            fixture.query("GRANT sub_admin TO platform_admin WITH ADMIN OPTION");
            fixture.query("CREATE DATABASE shop OWNER sub_admin");
            let text = expect(&fixture.run(&definitions, &["plan", "--env", "dev"]), 3);
            assert!(text.contains("refused[database-owner-differs] shop: "), "{text}");
            let hint = "declare role sub_admin as the owner";
            assert_eq!(text.contains(hint), is_declarable, "PostgreSQL {major}: {text}");
        }
    }
}
