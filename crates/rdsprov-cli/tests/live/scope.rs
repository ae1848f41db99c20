//! `scope`: several definitions for one server and environment.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect, password};

/// Definitions of two teams, each in a file with its scope.
fn two_teams(major: u32) -> (Fixture, String, String) {
    let fixture = Fixture::new(major);
    for (application, role) in [
        ("billing", "billing_owner"),
        ("invoices", "invoices_owner"),
        ("crm", "crm_owner"),
        ("crm_reports", "crm_reader"),
    ] {
        fixture.app("dev", application, role);
    }
    let file = |name: &str, text: &str| {
        std::fs::write(fixture.path().join(name), text).unwrap();
        fixture.path().join(name).display().to_string()
    };
    let billing = file("billing.tfvars", BILLING);
    let crm = file("crm.tfvars", CRM);
    (fixture, billing, crm)
}

const BILLING: &str = r#"
scope = "billing"
application_databases = {
    billing  = { database_name = "billing", username = "billing_owner" }
    invoices = { database_name = "invoices", username = "invoices_owner" }
}"#;

const CRM: &str = r#"
scope = "crm"
rds_config = {
    application_databases = {
        crm         = { database_name = "crm", username = "crm_owner" }
        crm_reports = { database_name = "crm", username = "crm_reader", access_level = "reader" }
    }
}"#;

/// Only what belongs to billing.
const FEWER: &str = r#"
scope = "billing"
application_databases = {
    billing = { database_name = "billing", username = "billing_owner" }
}"#;

fn comments(fixture: &Fixture) -> String {
    fixture.query(
        "SELECT string_agg(text, E'\n' ORDER BY text) FROM (
             SELECT rolname || ': ' || shobj_description(oid, 'pg_authid') FROM pg_roles
             UNION SELECT datname || ': ' || shobj_description(oid, 'pg_database') FROM pg_database
         ) AS all_comments (text)",
    )
}

#[test]
fn orphans_are_those_of_the_scope() {
    for major in versions() {
        let (fixture, billing, crm) = two_teams(major);
        let run = |file: &str, arguments: &[&str], code| {
            let arguments = [arguments, &["--env", "dev"]].concat();
            expect(&fixture.run(file, &arguments), code)
        };
        run(&billing, &["apply"], 0);
        let head = format!("environment dev, scope crm on localhost:{}", fixture.server.port());
        let text = run(&crm, &["apply", "--audit-ledger", "ledger.jsonl"], 0);
        assert!(text.contains(&head) && !text.contains("mixes_environments"), "{text}");
        assert!(text.contains("\nother scopes: 4 managed roles and databases, not compared\n"));
        let ledger = std::fs::read_to_string(fixture.path().join("ledger.jsonl")).unwrap();
        assert!(ledger.lines().all(|line| line.contains(r#""scope":"crm""#)), "{ledger}");
        let comments = comments(&fixture);
        for (scope, name) in [("billing", "invoices"), ("crm", "crm"), ("crm", "crm_reader")] {
            let marker = format!("{name}: [managed by rdsprov: environment=dev scope={scope} ");
            assert!(comments.contains(&marker), "PostgreSQL {major}: {comments}");
        }
        for file in [&billing, &crm] {
            let text = run(file, &["check", "--fail-on", "orphaned"], 0);
            assert!(!text.contains("orphaned:"), "{text}");
        }

        std::fs::write(&billing, FEWER).unwrap();
        let text = run(&billing, &["check", "--fail-on", "orphaned"], 2);
        let orphans = text.split_once("\norphaned: ").unwrap().1;
        assert!(
            orphans.contains("  application invoices: role invoices_owner, database invoices"),
            "{text}"
        );
        assert!(orphans.contains("other scopes: 3 managed roles and databases"), "{text}");
        assert!(!orphans.contains("crm"), "{text}");
        let output = fixture.run(&billing, &["plan", "--env", "dev", "--format", "json"]);
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(plan["in_other_scopes"], 3);
        assert_eq!(plan["origin"]["scope"], "billing");

        // The retirement of another team's application finds nothing.
        let state = fixture.catalog_state();
        let text = run(&billing, &["retire", "crm", "--drop-role", "--allow", "drops_role"], 64);
        let says =
            "[unknown-application]: application crm is managed by definitions with scope crm";
        assert!(text.contains(says), "{text}");
        assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}");
        run(&billing, &["retire", "invoices"], 0);
        assert!(
            fixture
                .server
                .sql_as("invoices_owner", &password("invoices"), "invoices", "SELECT 1")
                .is_err()
        );
        run(&crm, &["check"], 0);
    }
}

#[test]
fn other_scope_is_taken_over_only_if_allowed() {
    for major in versions() {
        let (fixture, billing, crm) = two_teams(major);
        let run = |file: &str, arguments: &[&str], code| {
            let arguments = [arguments, &["--env", "dev"]].concat();
            expect(&fixture.run(file, &arguments), code)
        };
        // A marker without a scope gets it only if that is allowed, too: definitions without a scope could not
        // change anything then. And a plan with another scope is another one.
        let unscoped = BILLING.replace("scope = \"billing\"\n", "");
        std::fs::write(&billing, &unscoped).unwrap();
        run(&billing, &["apply"], 0);
        std::fs::write(&billing, BILLING).unwrap();
        run(&billing, &["apply"], 3);
        let text = run(&billing, &["apply", "--allow", "changes_scope"], 0);
        for object in ["role billing_owner", "database billing"] {
            let line = format!("~ alter {object}: marker names scope billing   [changes_scope]\n");
            assert!(text.contains(&line), "{text}");
        }
        run(&billing, &["check"], 0);
        run(&billing, &["plan", "--out", "saved.json"], 0);

        // Another team declares the same database and its owner, with another attribute.
        let taken = BILLING.replace("\"billing\"\napp", "\"crm\"\napp").replace(
            "username = \"billing_owner\"",
            "username = \"billing_owner\", connection_limit = 7",
        );
        for text in [&taken, &unscoped] {
            std::fs::write(&crm, text).unwrap();
            let state = fixture.catalog_state();
            let output = run(&crm, &["apply"], 3);
            assert!(output.contains("to apply this plan, add --allow changes_scope"), "{output}");
            assert!(output.contains("[changes_scope]"), "{output}");
            assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}");
        }
        std::fs::write(&crm, &taken).unwrap();
        let text = run(&crm, &["plan"], 0);
        for line in [
            "~ alter role billing_owner: marker names scope crm instead of billing   [changes_scope]",
            "~ alter role billing_owner: CONNECTION LIMIT 7   [changes_scope]",
            "~ alter database billing: marker names scope crm instead of billing   [changes_scope]",
        ] {
            assert!(text.contains(line), "PostgreSQL {major}, {line}: {text}");
        }
        run(&crm, &["apply", "--allow", "changes_scope"], 0);
        run(&crm, &["check"], 0);
        assert!(run(&billing, &["check"], 2).contains("changes_scope"));
        assert!(run(&billing, &["apply", "saved.json"], 3).contains("stale"));
    }
}

/// Two teams use the same names of applications. The secret of the one, and the clone of its role, are not
/// those of the other.
#[test]
fn applications_of_two_scopes_are_not_the_same() {
    let fixture = Fixture::new(versions()[0]);
    let secret = format!(r#"{{"password": "{}"}}"#, password("shop"));
    fixture.secret("goldenpath/dev/shop/postgres", &secret);
    fixture.app("dev", "reports", "reports_clone");
    let declare = |scope: &str, shop: &str, reports: &str| {
        fixture.definitions(&format!(
            r#"scope = "{scope}"
            application_databases = {{
                shop    = {{ database_name = "{shop}", username = "{shop}_owner" }}
                reports = {{ database_name = "{reports}", username = "{reports}" }}
            }}"#
        ))
    };
    let apply = ["apply", "--env", "dev"];
    expect(&fixture.run(&declare("a", "shop", "reports_clone"), &apply), 0);
    let state = fixture.catalog_state();
    fixture.app("dev", "reports", "reports");
    let text = expect(&fixture.run(&declare("b", "store", "reports"), &apply), 3);
    assert!(text.contains("refused[secret-of-other-role] shop: "), "{text}");
    assert!(text.contains("refused[clone-of-application] reports: "), "{text}");
    assert_eq!(fixture.catalog_state(), state);
}

/// The owner of a database can write any comment on it.
#[test]
fn owner_who_forges_the_scope_gains_nothing() {
    for major in versions() {
        let (fixture, billing, crm) = two_teams(major);
        let run = |file: &str, arguments: &[&str], code| {
            let arguments = [arguments, &["--env", "dev"]].concat();
            expect(&fixture.run(file, &arguments), code)
        };
        run(&billing, &["apply"], 0);
        run(&crm, &["apply"], 0);
        let forged = |application: &str, scope: &str| {
            let sql = format!(
                "COMMENT ON DATABASE {application} IS '[managed by rdsprov: environment=dev \
                 scope={scope} application={application} build_id=1 name=\"{application}\"]'"
            );
            let owner = format!("{application}_owner");
            let (secret, database) = (password(application), application);
            fixture.server.sql_as(&owner, &secret, database, &sql).unwrap();
        };
        // The marker is written again, without a hazard that would stop the others.
        forged("invoices", "crm");
        let text = run(&billing, &["apply"], 0);
        assert!(text.contains("marker names scope billing instead of crm"), "{text}");
        assert!(!text.contains("changes_scope"), "{text}");
        run(&billing, &["check"], 0);

        // An orphan stays an orphan of its scope, and is not one of another scope.
        std::fs::write(&billing, FEWER).unwrap();
        forged("invoices", "crm");
        assert!(
            run(&billing, &["plan"], 0)
                .contains("  application invoices: role invoices_owner, database invoices")
        );
        let text = run(&crm, &["check", "--fail-on", "orphaned"], 0);
        assert!(text.contains("other scopes: 4 managed"), "{text}");
        // Other definitions do not get the database because of its comment.
        let state = fixture.catalog_state();
        let drop = [
            "retire",
            "invoices",
            "--drop-database",
            "--without-backup",
            "--confirm",
            "invoices",
            "--allow",
            "drops_database",
        ];
        let text = run(&crm, &drop, 64);
        assert!(text.contains("[unknown-application]"), "{text}");
        let other = "managed by definitions with scope billing, and these have scope crm";
        assert!(text.contains(other), "{text}");
        assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}");

        // A reader of another scope needs the hazard of a database of other definitions.
        let reader = CRM.replace(
            "crm_reports = { database_name = \"crm\"",
            "crm_reports = { database_name = \"billing\"",
        );
        std::fs::write(&crm, reader).unwrap();
        let text = run(&crm, &["plan"], 0);
        assert!(text.contains("[widens_access]") && !text.contains("changes_scope"), "{text}");
    }
}

#[test]
fn scope_of_definitions_and_configuration_agree() {
    let fixture = Fixture::new(versions()[0]);
    let definitions = fixture.definitions(FEWER);
    fixture.app("dev", "billing", "billing_owner");
    let config = |text: &str| {
        std::fs::write(fixture.path().join("rdsprov.toml"), text).unwrap();
    };
    let run = |arguments: &[&str], code| {
        let arguments = [arguments, &["--env", "dev"]].concat();
        expect(&fixture.run(&definitions, &arguments), code)
    };
    config("[definitions]\nscope = \"crm\"\n");
    let text = run(&["plan"], 1);
    assert!(text.contains("conflicting-variables"), "{text}");
    assert!(text.contains("`scope` is \"billing\" here, but \"crm\" in rdsprov.toml"), "{text}");
    config("[definitions]\nscope = \"crm\"\nignore_keys = [\"scope\"]\n");
    assert!(run(&["plan"], 0).contains("environment dev, scope crm on "));
    config("[definitions]\nscope = \"a b\"\n");
    run(&["plan"], 64);
    config("[definitions]\nscope = \"billing\"\n");
    assert!(run(&["plan"], 0).contains("environment dev, scope billing on "));
    let text = run(&["config"], 0);
    let line = text.lines().find(|line| line.contains("definitions.scope")).unwrap();
    assert!(line.contains("billing") && line.contains("rdsprov.toml"), "{line}");
}

/// Two teams have an application of the same name, and each has its own database for it.
#[test]
fn retire_drops_databases_of_its_scope_only() {
    for major in versions() {
        let (fixture, billing, crm) = two_teams(major);
        let run = |file: &str, arguments: &[&str], code| {
            let arguments = [arguments, &["--env", "dev"]].concat();
            expect(&fixture.run(file, &arguments), code)
        };
        run(&billing, &["apply"], 0);
        let secret = format!(
            r#"{{"username": "crm_invoices_owner", "password": "{}"}}"#,
            password("crm_invoices")
        );
        fixture.secret("crm/invoices", &secret);
        let entry = "invoices = { database_name = \"crm_invoices\", \
                     username = \"crm_invoices_owner\", secret = \"crm/invoices\" }";
        let with_invoices =
            CRM.replace("        crm  ", &format!("        {entry}\n        crm  "));
        assert_ne!(with_invoices, CRM);
        std::fs::write(&crm, with_invoices).unwrap();
        run(&crm, &["apply"], 0);
        std::fs::write(&crm, CRM).unwrap();
        let drop = [
            "retire",
            "invoices",
            "--drop-role",
            "--drop-database",
            "--without-backup",
            "--confirm",
            "crm_invoices",
            "--allow",
            "drops_database,drops_role,revokes_access",
        ];
        let both = [drop.as_slice(), &["--confirm", "invoices"]].concat();
        let text = run(&crm, &both, 3);
        assert!(text.contains("the plan does not drop database invoices"), "{text}");
        run(&crm, &drop, 0);
        let left = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database
             WHERE datname LIKE '%invoices'";
        assert_eq!(fixture.query(left), "invoices", "PostgreSQL {major}");
        run(&billing, &["check"], 0);
    }
}

#[test]
fn teardown_and_drops_spare_other_scopes() {
    for major in versions() {
        let (fixture, billing, crm) = two_teams(major);
        let apply = |file: &str| {
            let arguments = ["apply", "--env", "dev", "--build-id", "b1"];
            expect(&fixture.run(file, &arguments), 0);
        };
        apply(&billing);
        apply(&crm);
        // A role of billing uses the database of crm.
        fixture.query_in("crm", "GRANT CONNECT ON DATABASE crm TO invoices_owner");
        let drop = [
            "--without-backup",
            "--confirm",
            "crm",
            "--allow",
            "drops_database,drops_role,revokes_access",
        ];
        let without_crm = fixture.path().join("crm.tfvars");
        std::fs::write(&without_crm, "scope = \"crm\"\napplication_databases = {}\n").unwrap();
        let retire = ["retire", "crm", "crm_reports", "--env", "dev", "--drop-database"];
        let text = expect(&fixture.run(&crm, &[&retire[..], &drop].concat()), 3);
        let used = "role invoices_owner, which belongs to scope billing, owns something in it or has privileges there";
        assert!(text.contains(used), "PostgreSQL {major}: {text}");
        fixture.query_in("crm", "REVOKE CONNECT ON DATABASE crm FROM invoices_owner");

        let config = |scope: &str| {
            let text = format!("[environments.dev]\nephemeral = true\n{scope}");
            std::fs::write(fixture.path().join("rdsprov.toml"), text).unwrap();
        };
        let teardown = |more: &[&str]| {
            let first = ["teardown", "--env", "dev", "--build-id", "b1"];
            let arguments = [&first[..], more].concat();
            expect(&fixture.without_definitions(&arguments).output().unwrap(), 0)
        };
        config("");
        let text = teardown(&drop[..1]);
        for object in ["role crm_reader", "database crm"] {
            let left = format!(
                "{object} has the marker of the build, and is left: it belongs to scope crm"
            );
            assert!(text.contains(&left), "{left}: {text}");
        }
        config("[definitions]\nscope = \"crm\"\n");
        let text = teardown(&drop);
        assert!(text.contains(",crm,,drop_database,success,"), "{text}");
        assert!(text.contains("is left: it belongs to scope billing"), "{text}");
        let left = "SELECT string_agg(name, ' ' ORDER BY name) FROM (
             SELECT rolname FROM pg_roles WHERE rolname ~ '^(billing|invoices|crm)'
             UNION ALL SELECT datname FROM pg_database WHERE datname ~ '^(billing|invoices|crm)'
         ) f (name)";
        assert_eq!(fixture.query(left), "billing billing_owner invoices invoices_owner");
    }
}
