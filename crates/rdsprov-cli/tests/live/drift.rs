//! Drift apart from changed definitions: what a ledger says about the last complete `apply`.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect};

const SHOP: &str = r#"shop = { database_name = "shop", username = "shop_owner" }"#;
const HR: &str = r#"hr = { database_name = "hr", username = "hr_owner" }"#;
const LEDGER: [&str; 2] = ["--audit-ledger", "ledger.jsonl"];

fn run(fixture: &Fixture, entries: &[&str], arguments: &[&[&str]], code: i32) -> String {
    let text = format!("application_databases = {{\n{}\n}}", entries.join("\n"));
    let arguments = [arguments, &[&["--env", "dev"]]].concat().concat();
    expect(&fixture.run(&fixture.definitions(&text), &arguments), code)
}

#[test]
fn drift_is_told_from_changed_definitions() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, role) in [("shop", "shop_owner"), ("hr", "hr_owner")] {
            fixture.app("dev", application, role);
        }
        let apply: [&[&str]; 3] = [&["apply"], &LEDGER, &["--build-id", "17"]];
        run(&fixture, &[SHOP], &apply, 0);
        // An application that is new has no other definition than before.
        let first = run(&fixture, &[SHOP, HR], &[&["plan"], &LEDGER], 0);
        assert!(first.contains("create role hr_owner") && !first.contains("note["), "{first}");
        let apply: [&[&str]; 3] = [&["apply"], &LEDGER, &["--build-id", "18"]];
        run(&fixture, &[SHOP, HR], &apply, 0);
        let none = run(&fixture, &[SHOP, HR], &[&["check"], &LEDGER], 0);
        assert!(!none.contains("note["), "{none}");

        // Another role has changed the server.
        fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 3");
        let hr = HR.replace(" }", ", connection_limit = 5 }");
        let entries = [SHOP, &hr];
        let digest = |text: &str| text.split("sha256:").nth(1).map(|rest| rest[..64].to_owned());
        let without = run(&fixture, &entries, &[&["check"]], 2);
        assert!(!without.contains("note["), "{without}");
        let drift = "drift in 1 application: its definition is that of build 18 of ";
        let changed = "changed definitions of 1 application since build 18 of ";
        let text = run(&fixture, &entries, &[&["check"], &LEDGER], 2);
        for words in [drift, changed, " (shop)", " (hr)"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        // The notes are not a part of what is approved.
        assert_eq!(digest(&text), digest(&without));
        let json = run(&fixture, &entries, &[&["plan", "--format", "json"], &LEDGER], 0);
        assert!(json.contains(r#""code": "drift""#) && json.contains(changed), "{json}");
        let markdown = run(&fixture, &entries, &[&["plan", "--format", "markdown"], &LEDGER], 0);
        assert!(markdown.contains("`drift`"), "{markdown}");
        let config = "[audit]\nledger = \"ledger.jsonl\"\n";
        std::fs::write(fixture.path().join("rdsprov.toml"), config).unwrap();
        let configured = run(&fixture, &entries, &[&["plan"]], 0);
        assert!(configured.contains(drift), "{configured}");

        // Only the part about the role has another definition.
        fixture.query_in("hr", "GRANT CONNECT ON DATABASE hr TO PUBLIC");
        let parts = run(&fixture, &entries, &[&["check"]], 2);
        for words in ["(hr: only its database, shop)", "(hr: only its role)"] {
            assert!(parts.contains(words), "{words}: {parts}");
        }
        fixture.query_in("hr", "REVOKE CONNECT ON DATABASE hr FROM PUBLIC");

        // Neither a restricted nor a refused run is a complete one.
        run(&fixture, &entries, &[&["apply", "--only", "hr", "--build-id", "19"]], 0);
        let text = run(&fixture, &entries, &[&["plan"]], 0);
        assert!(text.contains(drift), "{text}");
        run(&fixture, &entries, &[&["apply", "--build-id", "20"]], 0);
        fixture.query("ALTER ROLE hr_owner CONNECTION LIMIT 3");
        let text = run(&fixture, &entries, &[&["plan"]], 0);
        assert!(text.contains("its definition is that of build 20 of "), "{text}");
    }
}

/// Definitions of several teams can share a server and a ledger, without scopes.
#[test]
fn apply_of_other_definitions_hides_no_drift() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, role) in [("shop", "shop_owner"), ("hr", "hr_owner")] {
            fixture.app("dev", application, role);
        }
        for (build, entry) in [("17", SHOP), ("18", HR)] {
            run(&fixture, &[entry], &[&["apply"], &LEDGER, &["--build-id", build]], 0);
        }
        fixture.query("ALTER ROLE shop_owner CONNECTION LIMIT 3");
        fixture.query("ALTER ROLE hr_owner CONNECTION LIMIT 3");
        for (build, entry) in [("17", SHOP), ("18", HR)] {
            let text = run(&fixture, &[entry], &[&["check"], &LEDGER], 2);
            let drift = format!("its definition is that of build {build} of ");
            assert!(text.contains(&drift), "PostgreSQL {major}: {text}");
            assert!(!text.contains("definition-changed"), "{text}");
        }
        // Each application has its own last run, also if the files of both are given.
        let text = run(&fixture, &[SHOP, HR], &[&["check"], &LEDGER], 2);
        assert_eq!(text.matches("note[drift]").count(), 2, "{text}");
        assert!(!text.contains("definition-changed"), "{text}");
        // Definitions that were never applied here have no last run.
        let wiki = r#"wiki = { database_name = "wiki", username = "wiki_owner" }"#;
        fixture.app("dev", "wiki", "wiki_owner");
        let text = run(&fixture, &[wiki], &[&["check"], &LEDGER], 2);
        assert!(!text.contains("drift") && !text.contains("definition-changed"), "{text}");
    }
}

/// What an additive run leaves pending is not applied: the last complete run counts.
#[test]
fn additive_run_with_pending_steps_is_not_complete() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        let apply: [&[&str]; 3] = [&["apply"], &LEDGER, &["--build-id", "17"]];
        run(&fixture, &[SHOP], &apply, 0);
        fixture.query("ALTER ROLE shop_owner CREATEDB");
        let text = run(&fixture, &[SHOP], &[&["plan", "--additive"], &LEDGER], 0);
        assert!(text.contains("note[drift]") && text.contains("build 17"), "{text}");

        // Lowered: the value that the role has is pending as well.
        let limited = SHOP.replace(" }", ", connection_limit = 5 }");
        let apply: [&[&str]; 3] = [&["apply", "--additive"], &LEDGER, &["--build-id", "18"]];
        for _ in 0..2 {
            run(&fixture, &[&limited], &apply, 0);
            let text = run(&fixture, &[&limited], &[&["check"], &LEDGER], 2);
            assert!(text.contains("note[definition-changed]"), "PostgreSQL {major}: {text}");
            assert!(text.contains(" since build 17 ") && !text.contains("note[drift]"), "{text}");
        }
        // Definitions with another scope were never applied.
        let config = "[definitions]\nscope = \"crm\"\n";
        std::fs::write(fixture.path().join("rdsprov.toml"), config).unwrap();
        let text = run(&fixture, &[&limited], &[&["plan"], &LEDGER], 0);
        assert!(!text.contains("note["), "{text}");
        std::fs::remove_file(fixture.path().join("rdsprov.toml")).unwrap();

        let apply: [&[&str]; 3] = [&["apply"], &LEDGER, &["--build-id", "19"]];
        run(&fixture, &[&limited], &apply, 0);
        // Without a pending step, an additive run is complete.
        fixture.query("ALTER ROLE shop_owner NOINHERIT");
        let apply: [&[&str]; 3] = [&["apply", "--additive"], &LEDGER, &["--build-id", "20"]];
        run(&fixture, &[&limited], &apply, 0);
        fixture.query("ALTER ROLE shop_owner CREATEDB");
        let text = run(&fixture, &[&limited], &[&["check"], &LEDGER], 2);
        assert!(text.contains("its definition is that of build 20 of "), "{text}");
    }
}
