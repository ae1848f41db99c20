//! One instance of a fleet in an invocation.

use rdsprov_testkit::{Bucket, Server, versions};
use serde_json::{Value, json};

use crate::fixture::{Fixture, Function, definitions, password};

/// The fleet file of two servers.
fn fleet(fixture: &Fixture, second: &Server) -> String {
    let (first, second) = (fixture.server.port(), second.port());
    format!(
        "[defaults]\nenvironment = \"dev\"\ndefinitions = [\"apps/shop.json\"]\n\n\
         [[instances]]\nname = \"eu\"\nhost = \"localhost\"\nport = {first}\n\n\
         [[instances]]\nname = \"us\"\nenvironment = \"prod\"\nadmin_secret = \"us/master\"\n\
         config = \"us/rdsprov.toml\"\ndefinitions = []\nallow = [\"revokes_access\"]\n\
         assume_role = \"arn:aws:iam::123456789012:role/rdsprov\"\n\n\
         [[instances]]\nname = \"other-account\"\nhost = \"localhost\"\nport = {second}\n\
         assume_role = \"arn:aws:iam::111122223333:role/rdsprov\"\n"
    )
}

/// Starts a second server, whose certificates the package contains, too.
fn second(fixture: &Fixture) -> Server {
    let server = Server::start(*versions().last().unwrap()).unwrap();
    let certificates =
        [&fixture.server, &server].map(|one| std::fs::read_to_string(one.ca_file()).unwrap());
    std::fs::write(fixture.package.path().join("ca.pem"), certificates.concat()).unwrap();
    fixture.manager.put("us/master", &server.admin_secret()).unwrap();
    server
}

fn event(mode: &str, fleet: &Value, instance: &str, more: Value) -> Value {
    let mut event = json!({"mode": mode, "fleet": fleet, "instance": instance});
    let Value::Object(more) = more else { panic!("not an object") };
    event.as_object_mut().unwrap().extend(more);
    event
}

#[track_caller]
fn ended(function: &mut Function, event: &Value, outcome: &str) -> Value {
    let result = function.invoke(event).unwrap();
    assert_eq!(result["outcome"], outcome, "{result:#}");
    result
}

#[track_caller]
fn raised(function: &mut Function, event: &Value, code: &str) -> String {
    let error = function.invoke(event).unwrap_err();
    assert_eq!(error["errorType"], code, "{error:#}");
    error["errorMessage"].as_str().unwrap().to_owned()
}

#[test]
fn instances_of_a_fleet_in_s3() {
    let fixture = Fixture::new(versions()[0]);
    let second = second(&fixture);
    let bucket = Bucket::create(&fixture.manager, "platform").unwrap();
    bucket.put("fleets/fleet.toml", &fleet(&fixture, &second)).unwrap();
    bucket.put("fleets/apps/shop.json", &definitions(&["shop"]).to_string()).unwrap();
    // The configuration file names the definitions, and a file in the package.
    let config = "[definitions]\nfiles = [\"all.json\"]\n[tls]\nca_file = \"ca.pem\"\n\
                  [environments.prod]\napproval = \"plan\"\n";
    bucket.put("fleets/us/rdsprov.toml", config).unwrap();
    bucket.put("fleets/us/all.json", &definitions(&["shop", "reports"]).to_string()).unwrap();
    let fleet = json!("s3://platform/fleets/fleet.toml");
    let mut function = fixture.function();
    let roles = |server: &Server| {
        let count = "SELECT count(*) FROM pg_roles WHERE rolname ~ '^(shop|reports)_'";
        server.superuser("postgres", count).unwrap().trim().to_owned()
    };

    let planned = ended(&mut function, &event("plan", &fleet, "eu", json!({})), "planned");
    assert_eq!((&planned["instance"], &planned["environment"]), (&json!("eu"), &json!("dev")));
    assert_eq!(planned["server"], format!("localhost:{}", fixture.server.port()));
    assert_eq!(planned["run_id"], "invocation-1/eu");
    let records = json!({"records": "s3://platform/records", "run_id": "night"});
    let applied = ended(&mut function, &event("apply", &fleet, "eu", records), "applied");
    assert_eq!(applied["digest"], planned["digest"]);
    assert_eq!((roles(&fixture.server), roles(&second)), ("1".into(), "0".into()));
    assert!(fixture.logs_in("shop_owner", &password("shop"), "shop"));
    let rows = applied["records"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["instance"] == "eu" && row["run_id"] == "night/eu"));
    assert_eq!(applied["records_object"], "s3://platform/records/night/eu/invocation-2.csv");
    let csv = bucket.get("records/night/eu/invocation-2.csv").unwrap();
    assert!(csv.lines().all(|row| row.ends_with(",instance") || row.ends_with(",eu")), "{csv}");

    // The gates are those of the environment and the instance.
    let us = |mode: &str, more: Value| event(mode, &fleet, "us", more);
    let planned = ended(&mut function, &us("plan", json!({})), "planned");
    assert_eq!(planned["environment"], "prod");
    raised(&mut function, &us("apply", json!({})), "plan-approval-missing");
    assert_eq!(roles(&second), "0");
    let approved = json!({"approval": planned["digest"]});
    ended(&mut function, &us("apply", approved), "applied");
    assert_eq!(roles(&second), "2");
    second.superuser("shop", "GRANT CREATE ON DATABASE shop TO reports_reader").unwrap();
    let drift = ended(&mut function, &us("check", json!({})), "differs");
    assert_eq!(drift["hazards"], json!(["revokes_access"]));
    assert_eq!(function.metrics()["instance"], "us");
    ended(&mut function, &us("apply", json!({"approval": drift["digest"]})), "applied");
    ended(&mut function, &us("check", json!({})), "as_declared");
    let report = ended(&mut function, &us("access", json!({"database": "shop"})), "reported");
    assert!(report["access"].to_string().contains("reports_reader"));
    ended(&mut function, &event("check", &fleet, "eu", json!({})), "as_declared");

    // The credentials of the role belong to another account, which has no secrets.
    let other = event("plan", &fleet, "other-account", json!({}));
    raised(&mut function, &other, "secret-not-found");
}

#[test]
fn fleet_in_the_package_and_in_the_event() {
    let fixture = Fixture::new(versions()[0]);
    let port = fixture.server.port();
    let package = |name: &str, text: &str| {
        let path = fixture.package.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    package("fleets/apps/shop.json", &definitions(&["shop"]).to_string());
    package("apps/shop.json", &definitions(&["shop"]).to_string());
    let text = format!(
        "[[instances]]\nname = \"eu\"\nenvironment = \"dev\"\nport = {port}\n\
         definitions = [\"apps/shop.json\"]\n"
    );
    package("fleets/fleet.toml", &text);
    let instance = json!({"name": "eu", "environment": "dev", "port": port, "definitions": ["apps/shop.json"]});
    let mut function = fixture.function();
    let mut plan = |fleet: Value| {
        ended(&mut function, &event("plan", &fleet, "eu", json!({})), "planned")["digest"].take()
    };
    let of_package = plan(json!("fleets/fleet.toml"));
    assert!(of_package.is_string());
    assert_eq!(plan(json!({"text": text, "syntax": "toml"})), of_package);
    assert_eq!(plan(json!({"instances": [instance]})), of_package);
}

#[test]
fn mistakes_in_a_fleet_are_errors_before_anything_is_contacted() {
    let fixture = Fixture::new(versions()[0]);
    let bucket = Bucket::create(&fixture.manager, "platform").unwrap();
    let mut function = fixture.function();
    let valid = json!({"instances": [{"name": "eu", "environment": "dev"}]});
    for (fleet, more, code, reason) in [
        (valid.clone(), json!({"host": "h"}), "wrong-usage", "write `host` in the instance"),
        (valid.clone(), json!({"instance": "eur"}), "wrong-usage", "write `eu`"),
        (valid, json!({}), "no-definitions", "no definitions file"),
        (json!("s3://platform/absent.toml"), json!({}), "file-unreadable", "NoSuchKey"),
        (json!("absent.toml"), json!({}), "file-unreadable", "absent.toml"),
        (json!("../fleet.toml"), json!({}), "file-outside", "../fleet.toml"),
        (json!({"instances": [{"name": "eu"}]}), json!({}), "invalid-config", "`environment`"),
        (
            json!({"instances": [{"name": "eu", "environment": "dev", "definitions": ["../x.json"]}]}),
            json!({}),
            "file-outside",
            "../x.json",
        ),
    ] {
        let message = raised(&mut function, &event("plan", &fleet, "eu", more), code);
        assert!(message.contains(reason), "{reason}: {message}");
    }
    // An object names only objects below its prefix.
    bucket.put("other/shop.json", &definitions(&["shop"]).to_string()).unwrap();
    for (line, code) in [
        ("definitions = [\"../other/shop.json\"]", "file-outside"),
        ("definitions = [\"/etc/shop.json\"]", "file-outside"),
        ("definitions = [\"s3://platform/other/shop.json\"]", "file-unreadable"),
        ("config = \"../other/rdsprov.toml\"", "file-outside"),
        ("definitions = [\"absent.json\"]", "file-unreadable"),
        ("hots = \"h\"", "invalid-config"),
    ] {
        let text = format!("[[instances]]\nname = \"eu\"\nenvironment = \"dev\"\n{line}\n");
        bucket.put("fleets/fleet.toml", &text).unwrap();
        let fleet = json!("s3://platform/fleets/fleet.toml");
        let message = raised(&mut function, &event("plan", &fleet, "eu", json!({})), code);
        assert!(
            message.contains("s3://platform/fleets/") || message.contains("/etc/"),
            "{message}"
        );
    }
}
