//! The definitions of one team cannot take the role of another team: neither in one run with the
//! definitions of that team, nor alone.

use rdsprov_testkit::versions;
use serde_json::Value;

use crate::fixture::{Fixture, expect, password};

const SHOP: &str =
    r#"shop = { database_name = "shop", username = "shop_owner", connection_limit = 50 }"#;
const OTHER: &str = r#"other = { database_name = "other", username = "other_owner" }"#;

/// Returns the entry of the other team, which names the role of the shop.
fn attack(keys: &str) -> String {
    format!(
        r#"a_reports = {{ database_name = "other", username = "shop_owner", access_level = "reader"{keys} }}"#
    )
}

fn declared(entries: &[&str]) -> String {
    format!("application_databases = {{\n{}\n}}\n", entries.join("\n"))
}

/// A server with the databases of both teams, and the secret of the attacker.
fn two_teams(major: u32) -> Fixture {
    let fixture = Fixture::new(major);
    fixture.app("dev", "shop", "shop_owner");
    fixture.app("dev", "other", "other_owner");
    fixture.app("dev", "a_reports", "shop_owner");
    fixture.secret(
        "teamA/mine",
        &format!(r#"{{"username": "shop_owner", "password": "{}"}}"#, password("mine")),
    );
    let both = fixture.definitions(&declared(&[SHOP, OTHER]));
    expect(&fixture.run(&both, &["apply", "--env", "dev"]), 0);
    fixture
}

fn logs_in(fixture: &Fixture, secret: &str) -> bool {
    fixture.server.sql_as("shop_owner", &password(secret), "shop", "SELECT 1").is_ok()
}

/// Returns the steps on roles of a plan, as JSON.
fn steps_on_roles(fixture: &Fixture, definitions: &str) -> Vec<Value> {
    let output = fixture.run(definitions, &["plan", "--env", "dev", "--format", "json"]);
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = plan["transactions"].as_array().unwrap().iter();
    let steps = steps.flat_map(|one| one["steps"].as_array().unwrap().clone());
    steps.filter(|step| step["action"] == "alter_role").collect()
}

#[test]
fn entry_in_the_same_run() {
    for major in versions() {
        let fixture = two_teams(major);
        let state = fixture.catalog_state();
        for keys in [
            r#", secret = "teamA/mine""#,
            r#", auth = "iam""#,
            ", createdb = true",
            ", connection_limit = 0",
            r#", valid_until = "2020-01-01T00:00:00Z""#,
            r#", plugin_databases = ["*"]"#,
            ", role_owner = true",
        ] {
            let attack = attack(keys);
            let definitions = fixture.definitions(&declared(&[SHOP, OTHER, &attack]));
            let output = expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 1);
            assert!(output.contains("conflicting-role-keys"), "{output}");
            assert!(output.contains("own.tfvars:2:1"), "{output}");
            assert_eq!(fixture.catalog_state(), state);
        }
        assert!(logs_in(&fixture, "shop") && !logs_in(&fixture, "mine"));
    }
}

/// The role does not exist yet, and the other team says first which secret it has.
#[test]
fn entry_takes_no_role_before_it_exists() {
    for major in versions() {
        let fixture = two_teams(major);
        fixture.app("dev", "bank", "bank_role");
        fixture.secret("teamA/mine", &format!(r#"{{"password": "{}"}}"#, password("mine")));
        let config = "[environments.dev]\napproval = \"required\"\n";
        std::fs::write(fixture.path().join("rdsprov.toml"), config).unwrap();
        let apply = |entries: &[&str]| {
            let definitions = fixture.definitions(&declared(&[&[SHOP, OTHER], entries].concat()));
            fixture
                .command(&definitions, &["apply", "--env", "dev"])
                .env("ALLOW_DB_PROVISION", "true")
                .output()
                .unwrap()
        };
        let state = fixture.catalog_state();
        let owner = r#"bank = { database_name = "bank", username = "bank_role" }"#;
        let reader =
            r#"bank = { database_name = "shop", username = "bank_role", access_level = "reader" }"#;
        let attack = |keys: &str| {
            format!(
                r#"a_team = {{ database_name = "a_team", username = "bank_role", secret = "teamA/mine"{keys} }}"#
            )
        };
        for bank in [owner, reader] {
            let output = expect(&apply(&[bank, &attack("")]), 1);
            assert!(output.contains("conflicting-role-keys"), "{output}");
            let output = expect(&apply(&[bank, &attack(", role_owner = true")]), 3);
            let of_whom = "role bank_role is that of application a_team, with secret teamA/mine";
            assert!(output.contains(of_whom) && output.contains("widens_access"), "{output}");
            assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}");
        }
        // The role is that of the other team already, which has created it alone.
        expect(&apply(&[&attack("")]), 0);
        let state = fixture.catalog_state();
        for (keys, exit) in [("", 1), (", role_owner = true", 3)] {
            expect(&apply(&[owner, &attack(keys)]), exit);
            assert_eq!(fixture.catalog_state(), state, "PostgreSQL {major}");
        }
        // Both entries name the secret.
        let agrees = owner.replace(" }", r#", secret = "teamA/mine" }"#);
        expect(&apply(&[&agrees, &attack(", role_owner = true")]), 0);
    }
}

/// The role has no owner entry, so that an added entry could become its home: its name comes first.
#[test]
fn added_entry_does_not_become_the_home() {
    for major in versions() {
        let fixture = two_teams(major);
        fixture.app("dev", "reports", "analyst");
        fixture.app("dev", "a_new", "analyst");
        let reports = r#"reports = { database_name = "shop", username = "analyst", access_level = "reader" }"#;
        let definitions = fixture.definitions(&declared(&[SHOP, OTHER, reports]));
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        let state = fixture.catalog_state();
        for (keys, says) in [
            ("", "refused[role-owner-missing] a_new: role analyst belongs to application reports"),
            (", connection_limit = 5", "refused[role-owner-missing] a_new: "),
            (", role_owner = true", "changes_application"),
        ] {
            let added = format!(
                r#"a_new = {{ database_name = "other", username = "analyst", access_level = "reader"{keys} }}"#
            );
            fixture.definitions(&declared(&[SHOP, OTHER, reports, &added]));
            let output = expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 3);
            assert!(output.contains(says), "PostgreSQL {major}: {keys}: {output}");
            assert!(
                output.contains("role_owner = true") || keys.contains("role_owner"),
                "{output}"
            );
            assert_eq!(fixture.catalog_state(), state);
        }
    }
}

/// The definitions of the shop are not part of the run, which knows the role from its marker only.
#[test]
fn entry_without_the_definitions_of_the_owner() {
    for major in versions() {
        let fixture = two_teams(major);
        let state = fixture.catalog_state();
        for keys in
            ["", r#", secret = "teamA/mine""#, r#", secret = "goldenpath/dev/shop/postgres""#]
        {
            let attack = attack(keys);
            let definitions = fixture.definitions(&declared(&[OTHER, &attack]));
            let output = expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 3);
            assert!(output.contains("changes_application"), "{output}");
            assert_eq!(output.contains("changes_secret"), !keys.contains("shop"), "{output}");
            assert_eq!(fixture.catalog_state(), state);
            if !keys.contains("shop") {
                let allowed = ["apply", "--env", "dev", "--allow", "changes_application"];
                let output = expect(&fixture.run(&definitions, &allowed), 3);
                assert!(output.contains("changes_secret"), "{output}");
                assert_eq!(fixture.catalog_state(), state);
            }
        }
        assert!(logs_in(&fixture, "shop") && !logs_in(&fixture, "mine"));
    }
}

/// An entry with `access_level = "none"`, alone or with a drop of the role: the role of another
/// application keeps its access.
#[test]
fn entry_that_ends_access_without_the_definitions_of_the_owner() {
    for major in versions() {
        let fixture = two_teams(major);
        let state = fixture.catalog_state();
        let says =
            "refused[role-of-application] a_old: role shop_owner belongs to application shop";
        for database in ["shop", "other"] {
            let attack = format!(
                r#"a_old = {{ database_name = "{database}", username = "shop_owner", access_level = "none" }}"#
            );
            let definitions = fixture.definitions(&declared(&[OTHER, &attack]));
            let apply = ["apply", "--env", "dev"];
            let drop = ["retire", "a_old", "--env", "dev", "--drop-role", "--allow", "drops_role"];
            for arguments in [&apply[..], &drop] {
                let allowed = [arguments, &["--allow", "revokes_access"]].concat();
                let output = expect(&fixture.run(&definitions, &allowed), 3);
                assert!(output.contains(says), "PostgreSQL {major}: {output}");
                assert_eq!(fixture.catalog_state(), state);
            }
        }
        assert!(logs_in(&fixture, "shop"));
        // The entry of its own application retires it.
        let own = SHOP.replace("connection_limit = 50", r#"access_level = "none""#);
        let definitions = fixture.definitions(&declared(&[OTHER, &own]));
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        assert!(!logs_in(&fixture, "shop"));
    }
}

/// An entry under the key of the other team's application, which moves the role to IAM tokens and then
/// to another secret: each of the two runs needs the hazard.
#[test]
fn secret_changes_through_iam_tokens() {
    for major in versions() {
        let fixture = two_teams(major);
        let entry = |keys: &str| {
            format!(
                r#"shop = {{ database_name = "other", username = "shop_owner", access_level = "reader"{keys} }}"#
            )
        };
        for keys in [r#", auth = "iam""#, r#", secret = "teamA/mine""#] {
            let definitions = fixture.definitions(&declared(&[OTHER, &entry(keys)]));
            let state = fixture.catalog_state();
            let output = expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 3);
            assert!(output.contains("changes_secret"), "PostgreSQL {major}: {output}");
            assert_eq!(fixture.catalog_state(), state);
            let allowed = ["apply", "--env", "dev", "--allow", "changes_secret"];
            expect(&fixture.run(&definitions, &allowed), 0);
        }
        assert!(logs_in(&fixture, "mine"));
    }
}

/// The administrator can allow the change. Then the marker contains the new secret.
#[test]
fn secret_of_a_role_changes_if_it_is_allowed() {
    for major in versions() {
        let fixture = two_teams(major);
        let moved = SHOP.replace(" }", r#", secret = "teamA/mine" }"#);
        let definitions = fixture.definitions(&declared(&[&moved, OTHER]));
        let steps = steps_on_roles(&fixture, &definitions);
        let expected = serde_json::json!({
            "old": "goldenpath/dev/shop/postgres", "new": "teamA/mine"
        });
        assert_eq!(steps[0]["changed_secret"], expected, "{steps:?}");
        let state = fixture.catalog_state();
        let output = expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 3);
        assert!(output.contains("changes_secret"), "{output}");
        assert_eq!(fixture.catalog_state(), state);
        let allowed = ["apply", "--env", "dev", "--allow", "changes_secret"];
        expect(&fixture.run(&definitions, &allowed), 0);
        assert!(!logs_in(&fixture, "shop") && logs_in(&fixture, "mine"));
        let comment = fixture.query("SELECT shobj_description('shop_owner'::regrole, 'pg_authid')");
        assert!(comment.contains(r#" secret="teamA/mine"]"#), "{comment}");
        let output = expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
        assert!(!output.contains("changes_secret"), "{output}");
    }
}

/// A template with the build id gives another secret in each build, and no hazard.
#[test]
fn build_id_in_the_template() {
    for major in versions() {
        let fixture = two_teams(major);
        let template = "[secrets]\napplication = \"builds/{build_id}/{application}\"\n";
        std::fs::write(fixture.path().join("rdsprov.toml"), template).unwrap();
        let definitions = fixture.definitions(&declared(&[SHOP, OTHER]));
        for (build, arguments) in [("one", &["--allow", "changes_secret"][..]), ("two", &[])] {
            for (application, role) in [("shop", "shop_owner"), ("other", "other_owner")] {
                let text =
                    format!(r#"{{"username": "{role}", "password": "{}"}}"#, password(application));
                fixture.secret(&format!("builds/{build}/{application}"), &text);
            }
            let apply = [&["apply", "--env", "dev", "--build-id", build], arguments].concat();
            expect(&fixture.run(&definitions, &apply), 0);
        }
    }
}

/// An entry for the role of another team counts only once the role has been taken over: it neither gives other
/// roles access without the hazard, nor revokes what the role has elsewhere.
#[test]
fn entry_of_an_application_that_is_not_applied_gives_no_power() {
    let fixture = two_teams(versions()[0]);
    fixture.app("dev", "spy", "spy");
    fixture.app("dev", "shop_reports", "shop_reader");
    let reports = r#"shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }"#;
    let ours = fixture.definitions(&declared(&[SHOP, reports]));
    expect(&fixture.run(&ours, &["apply", "--env", "dev"]), 0);
    fixture.query_in("shop", "SET ROLE shop_owner; CREATE TABLE orders (id int)");
    let configuration = "[environments.dev]\napproval = \"required\"\n";
    std::fs::write(fixture.path().join("rdsprov.toml"), configuration).unwrap();
    let state = fixture.catalog_state();

    let spy = r#"spy = { database_name = "shop", username = "spy", access_level = "reader" }"#;
    let owner = r#"dummy = { database_name = "shop", username = "shop_owner", secret = "goldenpath/dev/shop/postgres" }"#;
    let reader = r#"dummy = { database_name = "other", username = "shop_reader", access_level = "reader", secret = "goldenpath/dev/shop_reports/postgres" }"#;
    let apply = |entries: &[&str], more: &[&str]| {
        let theirs = fixture.definitions(&declared(entries));
        let mut command = fixture.command(&theirs, &["apply", "--env", "dev"]);
        command.args(more).env("ALLOW_DB_PROVISION", "true").output().unwrap()
    };
    let report = expect(&apply(&[spy, owner], &["--only", "spy"]), 3);
    assert!(report.contains("to apply this plan, add --allow widens_access"), "{report}");
    assert_eq!(fixture.catalog_state(), state);

    let allowed = ["--only", "spy", "--allow", "widens_access"];
    expect(&apply(&[spy, reader, OTHER], &allowed), 0);
    let reads = "SELECT has_table_privilege('shop_reader', 'public.orders', 'SELECT'),
        has_table_privilege('spy', 'public.orders', 'SELECT')";
    assert_eq!(fixture.query_in("shop", reads).trim(), "t|t");
    // Without the option, the other entry waits for its own hazard.
    let left_out = ["--no-fail-fast", "--allow", "widens_access"];
    let report = expect(&apply(&[spy, reader, OTHER], &left_out), 3);
    assert!(report.contains("changes_application"), "{report}");
    assert_eq!(fixture.query_in("shop", reads).trim(), "t|t");
}

/// The administrator of the server is a member of a group that an entry names. The group is refused, and so is
/// its member.
#[test]
fn entry_for_a_group_hides_no_administrator() {
    let fixture = two_teams(versions()[0]);
    fixture.app("dev", "alice", "alice");
    fixture.app("dev", "dummy", "dba_group");
    let query = "CREATE ROLE dba_group; CREATE ROLE alice LOGIN PASSWORD 'of-alice-1'; GRANT dba_group TO alice";
    fixture.server.master("postgres", query).unwrap();
    fixture.query("GRANT rds_superuser TO dba_group");
    let alice = r#"alice = { database_name = "other", username = "alice", access_level = "reader", adopt = true }"#;
    let group = r#"dummy = { database_name = "third", username = "dba_group" }"#;
    for entries in [&[OTHER, alice][..], &[OTHER, alice, group]] {
        let theirs = fixture.definitions(&declared(entries));
        let apply = ["apply", "--env", "dev", "--no-fail-fast"];
        let report = expect(&fixture.run(&theirs, &apply), 3);
        assert!(report.contains("refused[role-is-administrator] alice: "), "{report}");
        fixture.server.sql_as("alice", "of-alice-1", "postgres", "SELECT 1").unwrap();
    }
}

/// Each application that is left out takes with it those that rely on what it would have taken over. The entry of
/// an application that is not applied hides no access either.
#[test]
fn entry_of_an_application_that_is_left_out_hides_nothing() {
    let fixture = two_teams(versions()[0]);
    fixture.secret("teams/shop", &format!(r#"{{"password": "{}"}}"#, password("shop")));
    fixture.secret("teams/spy", &format!(r#"{{"password": "{}"}}"#, password("spy")));
    let shop =
        r#"shop = { database_name = "shop", username = "shop_owner", secret = "teams/shop" }"#;
    let apply = |entries: &[&str], more: &[&str]| {
        let definitions = fixture.definitions(&declared(entries));
        let arguments = [&["apply", "--env", "dev"], more].concat();
        fixture.run(&definitions, &arguments)
    };
    expect(&apply(&[shop], &["--allow", "changes_secret"]), 0);
    // The other team uses the secret of the shop for a role of its own.
    let spy = r#"spy = { database_name = "other", username = "spy", access_level = "reader", secret = "teams/shop" }"#;
    let owner = r#"dummy = { database_name = "third", username = "shop_owner", role_owner = true, secret = "teams/shop" }"#;
    let report = expect(&apply(&[OTHER, spy], &["--no-fail-fast"]), 3);
    assert!(report.contains("refused[secret-of-other-role] spy: "), "{report}");
    let report = expect(&apply(&[OTHER, spy, owner], &["--no-fail-fast"]), 3);
    assert!(report.contains("changes_application"), "{report}");
    assert_eq!(fixture.query("SELECT count(*) FROM pg_roles WHERE rolname = 'spy'").trim(), "0");

    // A person reads the database of the shop.
    fixture.server.master("postgres", "CREATE ROLE mallory LOGIN PASSWORD 'of-mallory-1'").unwrap();
    fixture.query_in("shop", "SET ROLE shop_owner; GRANT CONNECT ON DATABASE shop TO mallory");
    let configuration = "[access]\nundeclared = \"refuse\"\n";
    std::fs::write(fixture.path().join("rdsprov.toml"), configuration).unwrap();
    let person = r#"dummy = { database_name = "third", username = "mallory" }"#;
    for entries in [&[shop][..], &[shop, person]] {
        let report = expect(&apply(entries, &["--only", "shop"]), 3);
        assert!(report.contains("refused[access-not-declared] shop: "), "{report}");
    }
}
