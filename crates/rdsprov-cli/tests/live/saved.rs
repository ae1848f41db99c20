//! Saved plans: applied while they are current, otherwise refused with the reason.

use rdsprov_testkit::versions;
use serde_json::{Value, json};

use crate::bench::{Bench, assert_unseen, expect};

const DEFINITIONS: &str = r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner" }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#;

fn bench(major: u32) -> (Bench, String) {
    let bench = Bench::new(major);
    for environment in ["dev", "prod"] {
        bench.app(environment, "shop", "shop_owner");
        bench.app(environment, "shop_reports", "shop_reader");
    }
    let definitions = bench.definitions(DEFINITIONS);
    (bench, definitions)
}

fn read(bench: &Bench) -> Value {
    let text = std::fs::read_to_string(bench.path().join("plan.json")).unwrap();
    assert_unseen(&text);
    serde_json::from_str(&text).unwrap()
}

fn write(bench: &Bench, plan: &Value) {
    std::fs::write(bench.path().join("plan.json"), plan.to_string()).unwrap();
}

const PLAN: [&str; 5] = ["plan", "--env", "dev", "--out", "plan.json"];
const APPLY: [&str; 4] = ["apply", "plan.json", "--env", "dev"];

#[test]
fn a_saved_plan_is_applied_until_something_changes() {
    for major in versions() {
        let (bench, definitions) = bench(major);
        let apply = |code| expect(&bench.run(&definitions, &APPLY), code);
        let shown = expect(&bench.run(&definitions, &PLAN), 0);
        let saved = read(&bench);
        assert!(shown.contains(saved["digest"].as_str().unwrap()), "{shown}");
        assert_eq!(saved["server"], format!("localhost:{}", bench.server.port()));
        let sum = std::process::Command::new("sha256sum").arg(&definitions).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        assert_eq!(saved["definitions"], format!("sha256:{}", sum.split(' ').next().unwrap()));

        // Another session creates one of the roles in the meantime.
        let role = "CREATE ROLE shop_reader LOGIN; COMMENT ON ROLE shop_reader IS
            '[managed by rdsprov: environment=dev application=shop_reports build_id=1 name=\"shop_reader\"]'";
        bench.server.master("postgres", role).unwrap();
        let picture = bench.picture();
        let stale = apply(3);
        for words in [
            "is stale, nothing was changed",
            "not to be done any more:\n    roles and databases: + create_role role shop_reader",
            "to be done now:\n    roles and databases: ~ set_password role shop_reader, password from",
            "run `rdsprov plan --out FILE` again",
        ] {
            assert!(stale.contains(words), "PostgreSQL {major}: {words} is not in {stale}");
        }
        assert!(!stale.contains("definitions are other ones"), "{stale}");
        assert_eq!(bench.picture(), picture);

        expect(&bench.run(&definitions, &PLAN), 0);
        assert!(apply(0).contains("done: the server is as declared"));
        expect(&bench.run(&definitions, &["check", "--env", "dev"]), 0);
        // A plan can be applied once.
        assert!(apply(3).contains("is stale"));
        // An empty plan can be saved as well.
        expect(&bench.run(&definitions, &PLAN), 0);
        assert!(apply(0).contains("Nothing to do"));

        // Changed definitions; a comment in them changes nothing.
        expect(&bench.run(&definitions, &PLAN), 0);
        bench.definitions(&format!("# hello\n{DEFINITIONS}"));
        apply(0);
        bench.definitions(&DEFINITIONS.replace("\"reader\"", "\"editor\""));
        let stale = apply(3);
        assert!(stale.contains("the definitions are other ones"), "{stale}");
        assert!(stale.contains("+ grant TEMPORARY on database shop to shop_reader"), "{stale}");
    }
}

#[test]
fn what_is_no_such_plan_is_refused() {
    let (bench, definitions) = bench(versions()[0]);
    expect(&bench.run(&definitions, &PLAN), 0);
    let plan = read(&bench);
    let picture = bench.picture();
    let digest = format!("sha256:{}", "0".repeat(64));
    let changed = "changed after it was written";
    let table: [(&str, Value, &str); 9] = [
        ("/format_version", json!(3), "the plan has format 3 and this program knows 2"),
        ("/format_version", json!("1"), "this is no saved plan"),
        ("/digest", json!(digest), changed),
        ("/observed", json!(digest), changed),
        ("/environment", json!("prod"), changed),
        ("/transactions/0/steps", json!([]), changed),
        ("/transactions/0/steps/0/summary", json!("role shop_owner"), changed),
        ("/transactions/0/steps/0/statements/0", json!("SELECT 1"), changed),
        ("/server", json!("elsewhere:5432"), "the plan is for server elsewhere:5432"),
    ];
    for (place, value, says) in table {
        let mut other = plan.clone();
        *other.pointer_mut(place).unwrap() = value;
        write(&bench, &other);
        let shown = expect(&bench.run(&definitions, &APPLY), 3);
        assert!(shown.contains(says), "{place}: {says} is not in {shown}");
    }
    write(&bench, &json!([]));
    assert!(expect(&bench.run(&definitions, &APPLY), 3).contains("this is no saved plan"));
    write(&bench, &plan);
    let elsewhere = [APPLY.as_slice(), &["--host", "127.0.0.1"]].concat();
    let shown = expect(&bench.run(&definitions, &elsewhere), 3);
    assert!(shown.contains("the plan is for server localhost:"), "{shown}");
    let prod = ["apply", "plan.json", "--env", "prod"];
    let mut command = bench.command(&definitions, &prod);
    let shown = expect(&command.env("ALLOW_DB_PROVISION", "true").output().unwrap(), 3);
    assert!(shown.contains("the plan is for environment \"dev\""), "{shown}");
    assert_eq!(bench.picture(), picture);

    // A missing file, and a plan in the wrong position.
    let none = ["apply", "other.json", "--env", "dev"];
    assert!(expect(&bench.run(&definitions, &none), 64).contains("other.json cannot be read"));
    let mut command = bench.bare(&definitions, &["apply", "--env", "dev"]);
    let shown = expect(&command.arg("plan.json").output().unwrap(), 64);
    assert!(shown.contains("plan.json is a saved plan; let it stand before"), "{shown}");
}

/// A saved plan replaces the question at the terminal, not the gates.
#[test]
fn a_saved_plan_needs_the_approval_that_any_plan_needs() {
    let (bench, definitions) = bench(versions()[0]);
    expect(&bench.run(&definitions, &["plan", "--env", "prod", "--out", "plan.json"]), 0);
    let saved = read(&bench);
    let apply = |approval: &str, code| {
        let mut command = bench.command(&definitions, &["apply", "plan.json", "--env", "prod"]);
        expect(&command.env("ALLOW_DB_PROVISION", approval).output().unwrap(), code)
    };
    let mark = bench.server.log().len();
    assert!(apply("", 3).contains("asks for approval"));
    assert!(!bench.server.log()[mark..].contains("statement: "), "the server was contacted");
    assert!(apply("sha256:0000", 3).contains("is not the plan at hand"));
    apply(saved["digest"].as_str().unwrap(), 0);
}

#[test]
fn a_refused_plan_is_not_saved() {
    let (bench, definitions) = bench(versions()[0]);
    bench.query("CREATE ROLE shop_owner");
    let shown = expect(&bench.run(&definitions, &PLAN), 3);
    assert!(shown.contains("a plan that is refused is not saved"), "{shown}");
    assert!(!bench.path().join("plan.json").exists());
}
