//! No output contains a password, on success and on any failure.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rdsprov_testkit::{ACCESS_KEY_ID, HttpProxy, Reply, SecretsManager, Server, versions};

use crate::fixture::{
    DELEGATE_SECRET, Fixture, assert_no_password, assert_no_secret, encodings, expect, program,
};

/// Every command, every format, every verbosity.
#[test]
fn commands_print_no_password() {
    // What the program prints does not depend on the version.
    for major in versions().into_iter().rev().take(1) {
        let fixture = Fixture::on(start_with_statistics(major), None);
        fixture.app("dev", "keycloak", "keycloak_user");
        fixture.app("dev", "backstage", "backstage_user");
        let teams = "teams/standalone.tfvars";
        let audit = fixture.path().join("audit.csv").display().to_string();
        // Every apply is recorded in the ledger.
        std::fs::write(fixture.path().join("rdsprov.toml"), "[audit]\nledger = \"ledger.jsonl\"\n")
            .unwrap();
        let run = |words: &[&str], code: i32| expect(&fixture.run(teams, words), code);
        for format in ["text", "json", "sql", "markdown"] {
            let has_form = ["text", "json"].contains(&format);
            run(&["validate", "--format", format], if has_form { 0 } else { 64 });
            run(&["access", "--format", format, "-vv"], if format == "sql" { 64 } else { 0 });
            let saved = fixture.path().join("plan.json").display().to_string();
            let plan = ["plan", "--out", &saved, "--format", format, "-vv", "--log-format", "json"];
            run(&plan, 0);
            assert_no_secret(&std::fs::read_to_string(&saved).unwrap());
            run(&["apply", &saved, "--dry-run", "-vv"], 0);
            run(&["check", "--format", format, "-vv"], 2);
            run(&["apply", "--dry-run", "--format", format, "--audit-output", &audit], 0);
        }
        run(&["apply", "-vv", "--audit-output", &audit], 0);
        run(&["apply", "-vv", "--log-format", "json", "--audit-output", &audit], 0);

        run(&["access", "-vv", "--log-format", "json"], 0);
        let delegated = expect(&fixture.delegate("dev").arg("-vv").output().unwrap(), 0);
        let text = std::fs::read_to_string(fixture.path().join(format!("{DELEGATE_SECRET}.json")));
        let generated = [password_in(&text.unwrap())];
        assert_contains_none(&delegated, &generated);
        let again = expect(&fixture.delegate("dev").arg("-vv").output().unwrap(), 0);
        assert_contains_none(&again, &generated);

        // Failures: a wrong administrator password, an unreachable server, a TLS error, a failing
        // statement, a rejected login.
        let admin = fixture.server.admin_secret();
        let wrong = admin.replace(fixture.server.master_password(), "Canary-wrong");
        assert_ne!(admin, wrong);
        fixture.secret("goldenpath/dev/rds/master", &wrong);
        let output_text = run(&["apply", "-vv", "--audit-output", &audit], 1);
        assert!(output_text.contains("password authentication failed"), "{output_text}");
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = silent.local_addr().unwrap().port().to_string();
        // Text that is not valid JSON can contain the password as well.
        let torn = admin.replace(fixture.server.master_password(), "Canary-torn").replace('}', "");
        let cases: [(&str, &str, &[&str]); 4] = [
            ("a wrong password", &wrong, &[]),
            ("no JSON", &torn, &[]),
            ("an unreachable server", &admin, &["--port", "9"]),
            ("a certificate for another host", &admin, &["--host", "127.0.0.2"]),
        ];
        for (case, secret, words) in cases {
            fixture.secret("goldenpath/dev/rds/master", secret);
            for command in ["plan", "check", "apply", "access"] {
                for log in ["text", "json"] {
                    let all = [&[command, "-vv", "--log-format", log], words].concat();
                    run(&all, 1);
                }
            }
            let mut delegate = fixture.delegate("dev");
            delegate.args(words).arg("-vv");
            assert!(!delegate.output().unwrap().status.success(), "{case}");
            expect(&delegate.output().unwrap(), 1);
        }
        fixture.secret("goldenpath/dev/rds/master", &admin);
        // The unreachable server is waited for once only.
        run(&["plan", "-vv", "--host", "127.0.0.1", "--port", &silent], 1);
        for command in ["schema plan", "completions bash"] {
            let mut other = fixture.program();
            expect(&other.args(command.split(' ')).output().unwrap(), 0);
        }
        let output_text =
            run(&["apply", "-vv", "--host", "127.0.0.2", "--audit-output", &audit], 1);
        assert!(output_text.contains("127.0.0.2"), "{output_text}");
        fixture.query("ALTER ROLE keycloak_user NOLOGIN VALID UNTIL '2001-01-01'");
        run(&["plan", "-vv"], 0);
        // An event trigger that raises an error makes a statement fail.
        fixture.query_in(
            "backstage",
            "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS
               $$BEGIN RAISE EXCEPTION 'not today'; END$$;
             CREATE EVENT TRIGGER no ON ddl_command_start EXECUTE FUNCTION no()",
        );
        let output_text = partially_failed_apply(&fixture, &audit);
        assert!(output_text.contains("not today"), "{output_text}");
        let records = std::fs::read_to_string(&audit).unwrap();
        assert!(records.contains(",error,"), "{records}");
        assert_not_recorded(&fixture, &audit, &generated);
        let ledger = std::fs::read_to_string(fixture.path().join("ledger.jsonl")).unwrap();
        assert!(ledger.contains("<password from ") && ledger.contains("not today"), "{ledger}");
        assert_no_secret(&ledger);
        assert_contains_none(&ledger, &generated);
        for task in ["verify", "report"] {
            let mut command = fixture.program();
            command.args(["audit", task, "ledger.jsonl", "-vv"]);
            expect(&command.output().unwrap(), 0);
        }
    }
}

/// Runs an apply whose cluster transaction is committed and whose database
/// transaction fails: exit 4.
fn partially_failed_apply(fixture: &Fixture, audit: &str) -> String {
    fixture.app("dev", "reports", "reports_reader");
    let definitions = fixture.definitions(
        r#"application_databases = {
             backstage = { database_name = "backstage", username = "backstage_user" }
             reports   = { database_name = "backstage", username = "reports_reader", access_level = "reader" }
           }"#,
    );
    let arguments = ["apply", "--env", "dev", "-vv", "--audit-output", audit];
    let output: Output = fixture.run(&definitions, &arguments);
    let output_text = expect(&output, 4);
    fixture.query_in("backstage", "DROP EVENT TRIGGER no");
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    output_text
}

/// Starts a server with pg_stat_statements, which shows statements to other roles.
fn start_with_statistics(major: u32) -> Server {
    let settings =
        "shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track_utility = on";
    let server = Server::start_with_settings(major, settings).unwrap();
    server.superuser("postgres", "CREATE EXTENSION pg_stat_statements").unwrap();
    server
}

/// Returns the password in the text of a secret.
fn password_in(text: &str) -> String {
    let secret: serde_json::Value = serde_json::from_str(text).unwrap();
    secret["password"].as_str().unwrap().to_owned()
}

/// Asserts that a text contains none of these passwords in any encoding.
#[track_caller]
fn assert_contains_none(text: &str, passwords: &[String]) {
    for form in passwords.iter().flat_map(|password| encodings(password)) {
        assert!(!text.contains(&form), "a new password, encoded as {form}, is in {text}");
    }
}

/// Asserts that records, the server log and its statistics contain none of these passwords in any
/// encoding. The server logs no verifiers either, although it logs all statements.
fn assert_not_recorded(fixture: &Fixture, audit: &str, passwords: &[String]) {
    let statements = fixture.query("SELECT string_agg(query, E'\\n') FROM pg_stat_statements");
    assert!(
        statements.contains("ALTER ROLE") || statements.contains("CREATE ROLE"),
        "{statements}"
    );
    let log = fixture.server.log();
    assert!(log.contains("LOG:  statement: DO '"), "the log lacks statements");
    assert!(!log.contains("SCRAM-SHA-256$"), "the log contains a verifier");
    let records = std::fs::read_to_string(audit).unwrap();
    assert_no_secret(&records);
    for text in [statements, records, log] {
        assert_no_password(&text);
        assert_contains_none(&text, passwords);
    }
}

/// No output of a rotation contains the new passwords, whatever its outcome.
#[test]
fn rotations_print_no_password() {
    for major in versions() {
        let fixture =
            Fixture::on(start_with_statistics(major), Some(SecretsManager::start().unwrap()));
        fixture.app("dev", "keycloak", "keycloak_user");
        fixture.app("dev", "backstage", "backstage_user");
        let teams = "teams/standalone.tfvars";
        let audit = fixture.path().join("audit.csv").display().to_string();
        expect(&fixture.run(teams, &["apply"]), 0);
        let manager = fixture.secrets_manager.as_ref().unwrap();
        let mut printed = String::new();
        let mut passwords = Vec::new();
        let mut run = |action: &'static str, code: i32, format: &str| {
            let proxy = HttpProxy::start(manager, move |call| {
                let no = || Reply::Error("AccessDeniedException", "no".to_owned());
                (call.action == action).then(no)
            })
            .unwrap();
            let words = ["rotate", "keycloak", "-vv", "--log-format", format];
            let kept = ["--audit-output", &audit, "--audit-ledger", "rotations.jsonl"];
            let words = [words.as_slice(), &kept].concat();
            let mut command = fixture.command(teams, &words);
            printed += &expect(&command.envs(proxy.environment()).output().unwrap(), code);
            for stage in ["AWSCURRENT", "AWSPENDING"] {
                let at = manager.at_stage("goldenpath/dev/keycloak/postgres", stage).unwrap();
                passwords.extend(at.map(|(_, text)| password_in(&text)));
            }
        };
        for (action, code) in [
            ("PutSecretValue", 1),
            ("DescribeSecret", 3),
            ("UpdateSecretVersionStage", 4),
            ("nothing", 0),
        ] {
            run(action, code, "json");
        }
        run("nothing", 0, "text");
        // Errors before anything is rotated: the administrator's and the applications' secrets.
        let admin = fixture.server.admin_secret();
        let master = "goldenpath/dev/rds/master";
        let of_app = "goldenpath/dev/keycloak/postgres";
        let (_, app) = manager.at_stage(of_app, "AWSCURRENT").unwrap().unwrap();
        let mut wrong = |id: &str, text: &str, good: &str, code: i32, says: &str| {
            fixture.secret(id, text);
            for format in ["json", "text"] {
                let words = ["rotate", "keycloak", "-vv", "--log-format", format];
                let output_text = expect(&fixture.run(teams, &words), code);
                assert!(output_text.contains(says), "{output_text}");
                printed += &output_text;
            }
            fixture.secret(id, good);
        };
        let other = admin.replace(fixture.server.master_password(), "Canary-other");
        wrong(master, &other, &admin, 1, "password authentication failed");
        wrong(master, &admin.replace('}', ""), &admin, 1, "is not JSON");
        wrong(of_app, &app.replace('}', ""), &app, 3, "is not JSON");
        passwords.sort();
        passwords.dedup();
        // The first password, and those of two rotations.
        assert_eq!(passwords.len(), 3);
        assert_contains_none(&printed, &passwords);
        assert!(printed.contains("DEBUG") && !printed.contains(ACCESS_KEY_ID), "{printed}");
        assert_not_recorded(&fixture, &audit, &passwords);
        let ledger = std::fs::read_to_string(fixture.path().join("rotations.jsonl")).unwrap();
        assert!(
            ledger.contains("restore_password") && ledger.contains("<password from "),
            "{ledger}"
        );
        assert_no_secret(&ledger);
        assert_contains_none(&ledger, &passwords);
        let mut verify = fixture.program();
        verify.args(["audit", "verify", "rotations.jsonl"]);
        expect(&verify.output().unwrap(), 0);
    }
}

/// The memory of the command, which contains passwords, can be read by root only, and is not a part of
/// core dumps.
#[test]
fn memory_cannot_be_dumped() {
    /// A user without privileges.
    const NOBODY: u32 = 65_534;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::copy(program().get_program(), path("rdsprov")).unwrap();
    std::fs::write(
        path("shop.json"),
        r#"{"application_databases": {"shop": {"database_name": "shop", "username": "shop"}}}"#,
    )
    .unwrap();
    std::fs::create_dir_all(path("goldenpath/dev/rds")).unwrap();
    let secret = r#"{"host": "localhost", "username": "admin", "password": "a"}"#;
    std::fs::write(path("goldenpath/dev/rds/master.json"), secret).unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let start = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(directory.path()).stdout(Stdio::null());
        if is_root {
            command.uid(NOBODY);
        }
        command.spawn().unwrap()
    };
    // The files in /proc of a process that cannot be dumped belong to root.
    let owner =
        |child: &Child| std::fs::metadata(format!("/proc/{}/mem", child.id())).unwrap().uid();
    let mut other = start(Path::new("sleep"), &["60"]);
    let words = ["plan", "--env", "dev", "--secrets", "file:.", "--port", &port, "-d", "shop.json"];
    let mut child = start(&path("rdsprov"), &words);
    let connection = listener.accept().unwrap();
    let owners = (owner(&child), owner(&other));
    let _ = (child.kill(), other.kill(), child.wait(), other.wait());
    drop(connection);
    assert_eq!(owners.0, 0);
    assert_ne!(owners.1, 0, "the test cannot see the difference");
}
