//! `rdsprov export`: definitions of instances that rdsprov has not made, each of which is then planned.

use std::collections::BTreeSet;
use std::path::Path;

use rdsprov_testkit::versions;
use serde_json::Value;

use crate::fixture::{Fixture, assert_no_password, expect, password, writes};

/// An instance as a script with `CREATE ROLE`, `CREATE DATABASE` and `GRANT` leaves it.
const BY_SCRIPT: &str = r#"
CREATE ROLE keycloak_user LOGIN PASSWORD 'Canary-keycloak-5b1e';
GRANT keycloak_user TO platform_admin;
CREATE DATABASE keycloak OWNER keycloak_user;
GRANT ALL PRIVILEGES ON DATABASE keycloak TO keycloak_user;
CREATE ROLE backstage_user LOGIN CREATEDB PASSWORD 'Canary-backstage-5b1e';
GRANT backstage_user TO platform_admin;
CREATE DATABASE backstage OWNER backstage_user;
CREATE ROLE analytics_user LOGIN CONNECTION LIMIT 5 PASSWORD 'Canary-analytics_user-5b1e';
CREATE DATABASE analytics;
GRANT ALL PRIVILEGES ON DATABASE analytics TO analytics_user;
\connect keycloak
CREATE EXTENSION citext;
SET ROLE keycloak_user;
CREATE TABLE realms (id serial PRIMARY KEY, name citext);
\connect analytics
CREATE TABLE events (id int);
GRANT SELECT ON ALL TABLES IN SCHEMA public TO analytics_user;
"#;

/// An instance that people made with `psql`.
const BY_HAND: &str = r#"
CREATE ROLE "Shop Owner" LOGIN PASSWORD 'Canary-Shop___db_-5b1e';
GRANT "Shop Owner" TO platform_admin;
CREATE ROLE app_rw LOGIN PASSWORD 'Canary-app_rw-5b1e';
CREATE ROLE app_ro LOGIN PASSWORD 'Canary-app_ro-5b1e';
CREATE ROLE readers NOLOGIN;
CREATE ROLE alice LOGIN IN ROLE readers;
CREATE ROLE creator LOGIN CREATEROLE;
CREATE DATABASE "Shop ${db}" OWNER "Shop Owner";
COMMENT ON DATABASE "Shop ${db}" IS 'ask Ada
before "you" touch it';
GRANT ALL ON DATABASE "Shop ${db}" TO app_rw;
GRANT CONNECT ON DATABASE "Shop ${db}" TO app_ro;
ALTER ROLE app_ro IN DATABASE "Shop ${db}" SET work_mem = '8MB';
ALTER ROLE app_ro IN DATABASE "Shop ${db}" SET search_path = 'Data Mart', public;
ALTER ROLE app_ro IN DATABASE "Shop ${db}" SET application_name = 'a "quoted" $${value} %{x} \ é';
\connect -reuse-previous=on "dbname='Shop ${db}'"
SET ROLE "Shop Owner";
CREATE SCHEMA "Data Mart";
CREATE TABLE "Orders" (id serial PRIMARY KEY, item text);
CREATE TABLE customers (id int);
CREATE TABLE "Data Mart".facts (id int);
GRANT SELECT ON "Orders" TO PUBLIC;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public TO app_rw;
GRANT USAGE ON SCHEMA "Data Mart" TO app_ro;
GRANT SELECT ON ALL TABLES IN SCHEMA public, "Data Mart" TO app_ro, readers;
"#;

/// An instance restored from a dump: other owners, other grantors, privileges on single objects.
const RESTORED: &str = r#"
CREATE ROLE crm LOGIN PASSWORD 'Canary-crm-5b1e';
CREATE ROLE crm_ro LOGIN PASSWORD 'Canary-crm_ro-5b1e';
CREATE ROLE batch LOGIN PASSWORD 'Canary-batch-5b1e';
CREATE ROLE legacy NOLOGIN;
GRANT crm, batch, legacy TO platform_admin;
CREATE DATABASE crm OWNER crm;
\connect crm
CREATE TABLE people (id int, name text, salary int);
SET ROLE crm;
GRANT CREATE ON DATABASE crm TO legacy;
CREATE SCHEMA api;
CREATE TABLE api.calls (id int);
GRANT USAGE ON SCHEMA api TO batch WITH GRANT OPTION;
GRANT SELECT ON api.calls TO batch WITH GRANT OPTION;
SET ROLE batch;
GRANT USAGE ON SCHEMA api TO crm_ro;
GRANT SELECT ON api.calls TO crm_ro;
RESET ROLE;
GRANT SELECT (id, name) ON people TO crm_ro;
GRANT INSERT ON people TO batch;
SET ROLE legacy;
CREATE SCHEMA old;
CREATE TABLE old.archive (id int);
GRANT USAGE ON SCHEMA old TO crm_ro;
GRANT SELECT ON old.archive TO crm_ro;
RESET ROLE;
ALTER DEFAULT PRIVILEGES FOR ROLE crm IN SCHEMA api GRANT SELECT ON TABLES TO crm_ro;
ALTER DEFAULT PRIVILEGES FOR ROLE batch IN SCHEMA api GRANT SELECT, TRUNCATE ON TABLES TO crm_ro;
ALTER DEFAULT PRIVILEGES FOR ROLE crm GRANT ALL ON TABLES TO batch;
"#;

/// Starts a server, and makes an instance as its master user.
fn instance(major: u32, script: &str) -> Fixture {
    let fixture = Fixture::new(major);
    fixture.server.script_as_master(script).unwrap();
    fixture
}

fn export(fixture: &Fixture, arguments: &[&str]) -> String {
    let output = fixture.export(arguments).output().unwrap();
    expect(&output, 0);
    String::from_utf8(output.stdout).unwrap()
}

/// Writes an export to a file, validates it, stores a secret for each role, and returns the steps of the
/// plan that adopts everything, besides the adoptions.
fn planned(fixture: &Fixture, text: &str, name: &str) -> Vec<Value> {
    let path = fixture.path().join(name);
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    let output = fixture.run(&path, &["validate", "--format", "json"]);
    expect(&output, 0);
    let definitions: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut arguments = vec!["plan", "--env", "dev", "--format", "json"];
    for one in definitions["applications"].as_array().unwrap() {
        let application = one["application"].as_str().unwrap();
        let username = one["username"].as_str().unwrap();
        let default = format!("goldenpath/dev/{application}/postgres");
        let id = one["secret"].as_str().unwrap_or(&default);
        let password = password(application);
        let secret = serde_json::json!({"username": username, "password": password});
        fixture.secret(id, &secret.to_string());
        arguments.extend(["--adopt", application]);
    }
    let output = fixture.run(&path, &arguments);
    expect(&output, 0);
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    steps_of(&plan)
}

/// Asserts that the comments contain each step of the plan, and no other one.
#[track_caller]
fn assert_announced(text: &str, steps: &[Value]) {
    let announced = text.lines().filter_map(|line| line.trim_start().strip_prefix("# plan: "));
    let announced: BTreeSet<String> =
        announced.map(|line| line[2..].split("   [").next().unwrap().to_owned()).collect();
    let planned = steps.iter().filter(|step| step["action"] != "set_password");
    let planned: BTreeSet<String> = planned
        .map(|step| {
            let verb = match step["action"].as_str().unwrap() {
                "alter_database" | "alter_role" | "alter_schema" => "alter",
                "create_schema" | "create_extension" => "create",
                "default_privileges" => "default privileges:",
                "set_parameter" => "set",
                other => other,
            };
            format!("{verb} {}", step["summary"].as_str().unwrap())
        })
        .collect();
    assert_eq!(announced, planned, "{text}");
}

fn summaries(steps: &[Value]) -> Vec<&str> {
    steps.iter().map(|step| step["summary"].as_str().unwrap()).collect()
}

#[test]
fn instance_of_the_script() {
    for major in versions() {
        let fixture = instance(major, BY_SCRIPT);
        let text = export(&fixture, &[]);
        insta::assert_snapshot!(format!("script_{}", generation(major)), stable(&fixture, &text));
        let steps = planned(&fixture, &text, "script.tfvars");
        assert_announced(&text, &steps);
        // The privileges of PUBLIC are all that an owner of a database loses to others.
        let revoked = steps.iter().filter(|step| step["action"] == "revoke");
        for step in revoked.filter(|step| step["application"] != "analytics_user") {
            assert!(step["summary"].as_str().unwrap().contains("from PUBLIC"), "{step}");
        }
        let toml = export(&fixture, &["--format", "toml"]);
        assert_eq!(planned(&fixture, &toml, "script.toml"), steps);
    }
}

#[test]
fn instance_made_by_hand() {
    for major in versions() {
        let fixture = instance(major, BY_HAND);
        // The names do not match the naming pattern, and nothing else is lost.
        let text = export(&fixture, &[]);
        assert!(text.contains("  # left out: `database_name` is \"Shop ${db}\""), "{text}");
        assert!(text.contains("  #   database_name = \"Shop $${db}\""), "{text}");
        assert_eq!(planned(&fixture, &text, "none.tfvars"), Vec::<Value>::new());
        let config = fixture.path().join("rdsprov.toml");
        std::fs::write(&config, "[definitions]\nnaming_pattern = '.+'\n").unwrap();
        let text = export(&fixture, &[]);
        insta::assert_snapshot!(format!("by_hand_{}", generation(major)), stable(&fixture, &text));
        let steps = planned(&fixture, &text, "hand.tfvars");
        assert_announced(&text, &steps);
        let toml = export(&fixture, &["--format", "toml"]);
        assert_eq!(planned(&fixture, &toml, "hand.toml"), steps);
    }
}

#[test]
fn restored_instance() {
    for major in versions() {
        let fixture = instance(major, RESTORED);
        let text = export(&fixture, &[]);
        insta::assert_snapshot!(format!("restored_{}", generation(major)), stable(&fixture, &text));
        let steps = planned(&fixture, &text, "restored.tfvars");
        assert_announced(&text, &steps);
        assert!(!summaries(&steps).is_empty());
        let comment = "  # columns: crm_ro has SELECT on id, name of table public.people; \
                       reader includes it on all columns\n";
        assert!(text.contains(comment), "{text}");
    }
}

/// What the plan leaves, and `check` reports afterwards, is in the export: default privileges of a role that is
/// not declared, as long as the role may connect.
#[test]
fn differences_that_the_plan_leaves_are_announced() {
    for major in versions() {
        let fixture = instance(
            major,
            "CREATE ROLE crm LOGIN;
             CREATE ROLE crm_ro LOGIN;
             CREATE ROLE etl LOGIN CREATEROLE;
             CREATE ROLE visitor LOGIN CREATEROLE;
             GRANT crm, etl, visitor TO platform_admin;
             CREATE DATABASE crm OWNER crm;
             GRANT CONNECT ON DATABASE crm TO crm_ro, etl;
             \\connect crm
             SET ROLE crm;
             CREATE SCHEMA \"Data Mart\";
             CREATE TABLE \"Data Mart\".\"Facts\" (id int);
             CREATE TABLE \"Data Mart\".plain (id int);
             GRANT USAGE ON SCHEMA \"Data Mart\" TO crm_ro;
             GRANT INSERT ON \"Data Mart\".\"Facts\" TO crm_ro;
             GRANT SELECT (id) ON \"Data Mart\".plain TO crm_ro;
             RESET ROLE;
             ALTER DEFAULT PRIVILEGES FOR ROLE etl GRANT SELECT ON TABLES TO crm_ro;
             ALTER DEFAULT PRIVILEGES FOR ROLE visitor GRANT SELECT ON TABLES TO crm_ro;",
        );
        let text = export(&fixture, &[]);
        let (_, left) = text.split_once("# Left by the plan").unwrap_or_else(|| panic!("{text}"));
        assert!(left.contains("- note[default-privileges-shared]: in database crm"), "{text}");
        assert!(left.contains("of etl from crm_ro") && !left.contains("of visitor"), "{text}");
        let steps = planned(&fixture, &text, "export.tfvars");
        assert_announced(&text, &steps);
        // Names are as in SQL.
        assert!(text.contains("on all tables of schema \"Data Mart\" to crm_ro"), "{text}");
        assert!(text.contains("of table \"Data Mart\".plain; reader includes it"), "{text}");
        let path = fixture.path().join("export.tfvars").display().to_string();
        let apply = ["apply", "--env", "dev", "--adopt", "crm", "--adopt", "crm_ro"];
        expect(&fixture.run(&path, &apply), 0);
        let output = expect(&fixture.run(&path, &["check", "--env", "dev"]), 2);
        assert!(output.contains("note[default-privileges-shared]"), "{output}");
        // Those of a role that may not connect any more remain, and are no difference.
        const NOTE: &str = "note[default-privileges-shared]: ";
        let notes = output.lines().filter_map(|line| line.split_once(NOTE));
        for (_, fact) in notes.filter(|(_, fact)| !fact.contains("of visitor")) {
            assert!(left.contains(fact), "{fact}\n{text}");
        }
        fixture.query("REVOKE CONNECT ON DATABASE crm FROM etl");
        expect(&fixture.run(&path, &["check", "--env", "dev"]), 0);
    }
}

/// Before PostgreSQL 15 and before 16, the same instance has other privileges and other memberships.
fn generation(major: u32) -> &'static str {
    match major {
        ..15 => "before_15",
        15 => "15",
        16.. => "from_16",
    }
}

/// Returns a text without what differs between runs, and between the versions of a generation.
fn stable(fixture: &Fixture, text: &str) -> String {
    let server = format!("{}:{}", fixture.server.host(), fixture.server.port());
    let mut lines = text.lines();
    let first = lines.next().unwrap();
    assert!(first.contains(&server), "{first}");
    // PostgreSQL 17 has one more privilege on tables.
    lines.collect::<Vec<_>>().join("\n").replace(", MAINTAIN", "")
}

/// What an export finds after `apply` gives definitions that change nothing, not even a marker.
#[test]
fn export_of_managed_databases_plans_to_nothing() {
    const DEFINITIONS: &str = r#"application_databases = {
        shop         = { database_name = "shop", username = "shop_owner", schemas = ["public", "archive"], extensions = ["citext"], creators = ["shop_editor"] }
        workers      = { database_name = "shop", username = "shop_editor", access_level = "editor", settings = { work_mem = "8MB" }, connection_limit = 7 }
        shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader", schemas = ["public", "archive"], memberships = ["pg_monitor"], secret = "teams/reports", role_owner = true }
        wiki_reports = { database_name = "wiki", username = "shop_reader", access_level = "reader" }
        wiki         = { database_name = "wiki", username = "wiki_owner", createdb = true, valid_until = "2031-01-31T00:00:00Z" }
    }"#;
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, user) in
            [("shop", "shop_owner"), ("workers", "shop_editor"), ("wiki", "wiki_owner")]
        {
            fixture.app("dev", application, user);
        }
        let secret = format!(r#"{{"password": "{}"}}"#, password("shop_reports"));
        fixture.secret("teams/reports", &secret);
        // With a scope in the markers as well.
        for (scope, format) in [("", "tfvars"), ("", "toml"), ("crm", "tfvars"), ("crm", "toml")] {
            let variable =
                if scope.is_empty() { String::new() } else { format!("scope = \"{scope}\"\n") };
            let definitions = fixture.definitions(&(variable + DEFINITIONS));
            let allowed = ["apply", "--env", "dev", "--allow", "changes_scope"];
            expect(&fixture.run(&definitions, &allowed), 0);
            let path = fixture.path().join(format!("again{scope}.{format}")).display().to_string();
            let output = fixture.export(&["--format", format, "--out", &path]).output().unwrap();
            assert!(expect(&output, 0).contains("Saved the definitions."));
            let again = fixture.export(&["--format", format, "--out", &path]).output().unwrap();
            assert!(expect(&again, 64).contains("exists, and export does not replace files"));
            let text = std::fs::read_to_string(Path::new(&path)).unwrap();
            assert!(!text.contains("# plan:") && !text.contains("adopt "), "{text}");
            // An editor cannot create anything, so that only its default privileges make it a creator.
            let doubtful =
                "`creators` of database shop names shop_editor, which owns no objects there";
            assert!(text.contains(doubtful), "{text}");
            // Without any `--adopt`: everything is managed.
            let plan = expect(&fixture.run(&path, &["check", "--env", "dev"]), 0);
            assert!(plan.contains("Nothing to do") || plan.contains("No changes"), "{plan}");
        }
    }
}

/// Each role that can connect can write default privileges for its own future objects.
#[test]
fn default_privileges_alone_make_no_creator() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        fixture.app("dev", "shop_reports", "shop_reader");
        let definitions = fixture.definitions(
            r#"application_databases = {
                shop         = { database_name = "shop", username = "shop_owner" }
                shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
            }"#,
        );
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        fixture.query(
            "CREATE ROLE stranger LOGIN; CREATE ROLE flyway LOGIN; CREATE ROLE batch LOGIN;
             CREATE ROLE deployers; GRANT deployers TO batch;
             GRANT CONNECT ON DATABASE shop TO stranger, flyway, batch",
        );
        fixture.query_in("shop", "GRANT CREATE ON SCHEMA public TO flyway, deployers");
        for role in ["stranger", "flyway", "batch"] {
            let grant = format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {role} IN SCHEMA public
                 GRANT SELECT ON TABLES TO shop_reader"
            );
            fixture.query_in("shop", &grant);
        }
        let text = export(&fixture, &[]);
        assert!(text.contains(r#"creators      = ["batch", "flyway"]"#), "{text}");
        let comment =
            "# - creator stranger of database shop: it has default privileges for declared roles, ";
        assert!(text.contains(comment), "PostgreSQL {major}: {text}");
        // Who owns an object has created one.
        fixture.query_in("shop", "CREATE TABLE made (); ALTER TABLE made OWNER TO stranger");
        let text = export(&fixture, &[]);
        assert!(text.contains(r#"creators      = ["batch", "flyway", "stranger"]"#), "{text}");
        assert!(!text.contains("creator stranger"), "{text}");
    }
}

#[test]
fn export_writes_nothing_and_takes_no_lock() {
    let major = versions()[0];
    let fixture = instance(major, BY_SCRIPT);
    fixture.disable_background_writes();
    let before = fixture.catalog_state();
    // The first run after a change can prune pages.
    export(&fixture, &[]);
    let mark = fixture.server.log().len();
    fixture.without_wal(|| export(&fixture, &[]));
    let log = fixture.server.log()[mark..].to_owned();
    assert_eq!(writes(&log), Vec::<String>::new());
    assert!(!log.contains("advisory"), "{log}");
    assert_eq!(fixture.catalog_state(), before);
}

/// Returns the plan that adopts the only application of an export, and is refused.
fn refused_plan(fixture: &Fixture, text: &str, application: &str) -> Value {
    let path = fixture.path().join("export.tfvars");
    std::fs::write(&path, text).unwrap();
    let arguments = ["plan", "--env", "dev", "--adopt", application, "--format", "json"];
    let output = fixture.run(&path.display().to_string(), &arguments);
    expect(&output, 3);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refusals(text: &str) -> Vec<&str> {
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("# "));
    lines.filter(|line| line.starts_with("refused[")).collect()
}

fn refusals_of(plan: &Value) -> Vec<String> {
    let refusals = plan["refusals"].as_array().unwrap().iter();
    let text = |refusal: &Value, key: &str| refusal[key].as_str().unwrap().to_owned();
    refusals
        .map(|one| format!("refused[{}]: {}", text(one, "code"), text(one, "message")))
        .collect()
}

fn steps_of(plan: &Value) -> Vec<Value> {
    let transactions = plan["transactions"].as_array().unwrap().iter();
    let steps = transactions.flat_map(|one| one["steps"].as_array().unwrap());
    steps.filter(|step| step["action"] != "adopt").cloned().collect()
}

/// A membership whose grantor is the bootstrap superuser, as after an upgrade, cannot be revoked from
/// PostgreSQL 16 on.
#[test]
fn memberships_from_a_superuser_are_announced_as_the_plan_has_them() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for sql in [
            "CREATE ROLE app1 LOGIN",
            "CREATE ROLE grp",
            "GRANT app1, grp TO platform_admin WITH ADMIN OPTION",
            "CREATE DATABASE app1 OWNER app1",
            "GRANT grp TO app1",
        ] {
            fixture.query(sql);
        }
        fixture.disable_background_writes();
        export(&fixture, &[]);
        let text = fixture.without_wal(|| export(&fixture, &[]));
        fixture.app("dev", "app1", "app1");
        if major < 16 {
            let steps = planned(&fixture, &text, "export.tfvars");
            assert!(summaries(&steps).contains(&"membership of role app1 in grp"), "{steps:?}");
            assert_announced(&text, &steps);
            continue;
        }
        let plan = refused_plan(&fixture, &text, "app1");
        assert_eq!(refusals(&text), refusals_of(&plan), "{text}");
        assert!(text.contains("refused[membership-not-revocable]"), "{text}");
        assert_announced(&text, &steps_of(&plan));
    }
}

/// The comments refuse what a plan refuses, with the same hints, and list what definitions do not manage.
#[test]
fn comments_say_what_a_plan_says() {
    // From PostgreSQL 16 on, a role can be one that the administrator may not grant.
    let fixture = Fixture::new(*versions().last().unwrap());
    for sql in [
        "CREATE ROLE foreigner LOGIN",
        "CREATE DATABASE shop OWNER foreigner",
        "ALTER ROLE foreigner SET work_mem = '8MB'",
        "ALTER ROLE foreigner SET \"app.token\" = 'Canary-shop-5b1e'",
        "ALTER DATABASE shop SET statement_timeout = '1min'",
        "ALTER ROLE platform_admin SET work_mem = '9MB'",
    ] {
        fixture.query(sql);
    }
    fixture.disable_background_writes();
    export(&fixture, &[]);
    let text = fixture.without_wal(|| export(&fixture, &[]));
    fixture.app("dev", "shop", "foreigner");
    let plan = refused_plan(&fixture, &text, "shop");
    assert_eq!(refusals(&text), refusals_of(&plan), "{text}");
    assert!(text.contains("refused[admin-option-missing]"), "{text}");
    assert!(!text.contains("run as the administrator"), "{text}");
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("# "));
    let not_managed: Vec<&str> = lines.filter(|line| line.starts_with("not managed")).collect();
    assert_eq!(
        not_managed,
        [
            "not managed: setting work_mem of role foreigner in all databases (ALTER ROLE … SET); stays as it is",
            "not managed: setting app.token of role foreigner in all databases (ALTER ROLE … SET); stays as it is",
            "not managed: setting statement_timeout of database shop for all roles (ALTER DATABASE … SET); stays as it is",
        ]
    );
    assert_no_password(&text);
}

#[test]
fn export_is_restricted_by_patterns() {
    let fixture = instance(versions()[0], BY_SCRIPT);
    let keys = |arguments: &[&str]| -> Vec<String> {
        let text = export(&fixture, arguments);
        let lines = text.lines().filter_map(|line| line.strip_suffix(" = {"));
        lines.filter_map(|line| line.strip_prefix("  ")).map(str::to_owned).collect()
    };
    assert_eq!(keys(&[]), ["analytics_user", "backstage", "keycloak"]);
    assert_eq!(keys(&["--database", "*a*"]), ["analytics_user", "backstage", "keycloak"]);
    assert_eq!(keys(&["--database", "key*", "--database", "back*"]), ["backstage", "keycloak"]);
    assert_eq!(keys(&["--owner", "keycloak_user"]), ["keycloak"]);
    assert_eq!(keys(&["--exclude", "keycloak", "--exclude", "analytics_*"]), ["backstage"]);
}

/// A restricted export lists the roles without an entry that have access to its databases, and no others.
#[test]
fn restricted_export_lists_the_roles_with_access() {
    let fixture = instance(versions()[0], BY_HAND);
    fixture.query("CREATE DATABASE other");
    fixture.query(
        "CREATE ROLE stranger; CREATE ROLE reporting;
         CREATE ROLE tables_only; CREATE ROLE bob LOGIN IN ROLE tables_only",
    );
    fixture.query(r#"GRANT CONNECT ON DATABASE "Shop ${db}" TO reporting"#);
    fixture.query("GRANT CONNECT ON DATABASE other TO stranger");
    fixture.query_in("Shop ${db}", "GRANT SELECT ON customers TO tables_only");
    let left_out = |arguments: &[&str]| -> Vec<String> {
        let text = export(&fixture, arguments);
        let list = text.split_once("# Left out:\n").map_or("", |(_, list)| list);
        let roles = list.lines().filter_map(|line| line.strip_prefix("# - role "));
        roles.map(|role| role.split(':').next().unwrap().to_owned()).collect()
    };
    let all = left_out(&[]);
    for role in ["readers", "reporting", "tables_only", "alice", "bob", "stranger"] {
        assert!(all.iter().any(|one| one == role), "{role}: {all:?}");
    }
    let with_access = ["alice", "bob", "readers", "reporting", "tables_only"];
    for arguments in [["--database", "Shop*"], ["--owner", "Shop Owner"]] {
        let mut restricted = left_out(&arguments);
        restricted.sort();
        assert_eq!(restricted, with_access, "{arguments:?}");
    }
    assert_eq!(left_out(&["--database", "Shop*", "--exclude", "readers"]).len(), 4);
    let other = left_out(&["--database", "other"]);
    assert!(
        other.contains(&"stranger".to_owned()) && !other.contains(&"readers".to_owned()),
        "{other:?}"
    );
}

/// The name of the file selects the format. Nothing is contacted before it is accepted.
#[test]
fn name_of_the_file_selects_the_format() {
    let fixture = instance(versions()[0], BY_SCRIPT);
    let path = |name: &str| fixture.path().join(name).display().to_string();
    expect(&fixture.export(&["--out", &path("dev.toml")]).output().unwrap(), 0);
    let text = std::fs::read_to_string(path("dev.toml")).unwrap();
    assert!(text.contains("[application_databases.keycloak]"), "{text}");
    for (arguments, words) in [
        (&["--format", "tfvars", "--out", "exp.toml"][..], "leave out --format"),
        (&["--format", "toml", "--out", "exp.tfvars"], "leave out --format"),
        (&["--out", "exp.tf"], "error[unknown-file-type]: exp.tf"),
    ] {
        let mut command = fixture.export(arguments);
        let text = expect(&command.arg("--host=192.0.2.1").output().unwrap(), 64);
        assert!(text.contains(words), "{text}");
        assert!(!fixture.path().join(arguments.last().unwrap()).exists());
    }
}
