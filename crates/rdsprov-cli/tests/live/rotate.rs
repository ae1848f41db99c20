//! A rotation can be interrupted anywhere: the application can log in with `AWSCURRENT`.

use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdsprov_testkit::{HttpProxy, Reply, SecretsManager, versions};
use serde_json::Value;

use crate::fixture::{CANARY, Fixture, expect, password};

const TEAMS: &str = "teams/standalone.tfvars";
const SECRET: &str = "goldenpath/dev/keycloak/postgres";
const ROTATE: [&str; 3] = ["rotate", "keycloak", "-vv"];

fn applied_fixture(major: u32) -> Fixture {
    let fixture = Fixture::with_secrets_manager(major);
    fixture.app("dev", "keycloak", "keycloak_user");
    fixture.app("dev", "backstage", "backstage_user");
    expect(&fixture.run(TEAMS, &["apply"]), 0);
    fixture
}

fn manager(fixture: &Fixture) -> &SecretsManager {
    fixture.secrets_manager.as_ref().unwrap()
}

fn at(fixture: &Fixture, stage: &str) -> Option<(String, String)> {
    let (version, text) = manager(fixture).at_stage(SECRET, stage).unwrap()?;
    let secret: Value = serde_json::from_str(&text).unwrap();
    Some((version, secret["password"].as_str().unwrap().to_owned()))
}

fn logs_in(fixture: &Fixture, password: &str) -> bool {
    fixture.server.sql_as("keycloak_user", password, "keycloak", "SELECT 1").is_ok()
}

#[track_caller]
fn current_logs_in(fixture: &Fixture, when: &str) {
    let (_, current) = at(fixture, "AWSCURRENT").unwrap();
    assert!(logs_in(fixture, &current), "{when}: AWSCURRENT does not log in");
}

/// Asserts the exit code and that the output of a rotation contains none of its passwords.
#[track_caller]
fn output_text(fixture: &Fixture, output: &Output, code: i32) -> String {
    let output_text = expect(output, code);
    for stage in ["AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"] {
        if let Some((_, password)) = at(fixture, stage) {
            assert!(!output_text.contains(&password), "{stage} was printed: {output_text}");
        }
    }
    output_text
}

fn records(output_text: &str) -> Vec<String> {
    let fields = |line: &str| -> Vec<String> { line.split(',').map(str::to_owned).collect() };
    output_text
        .lines()
        .map(fields)
        .filter(|fields| fields.len() > 7 && fields[6] != "action")
        .map(|fields| format!("{} {} {}", fields[5], fields[6], fields[7]))
        .collect()
}

/// A role has stored a verifier for itself that is weak, or that no client can use.
#[test]
fn role_with_an_unusable_verifier_is_rotated() {
    for major in versions() {
        let fixture = applied_fixture(major);
        let salted = |iterations: &str, last: char| {
            let keys = format!("{0}:{0}", format!("{}=", "A".repeat(43)));
            format!(
                "ALTER ROLE keycloak_user PASSWORD 'SCRAM-SHA-256${iterations}:AAECAwQFBgcICQoLDA0OD{last}==${keys}'"
            )
        };
        for (iterations, last) in [("1000", 'w'), ("4096", 'x'), ("-4096", 'w')] {
            fixture.query(&salted(iterations, last));
            output_text(&fixture, &fixture.run(TEAMS, &ROTATE), 0);
            current_logs_in(&fixture, iterations);
        }
    }
}

#[test]
fn password_is_rotated() {
    for major in versions() {
        let fixture = applied_fixture(major);
        let text = format!(
            "{{\"engine\": \"postgres\",\n \"password\": \"{}\", \"port\": \"5432\", \"z\": [1.50], \"a\": \"é\"}}",
            password("keycloak")
        );
        fixture.secret(SECRET, &text);
        let (old, old_password) = at(&fixture, "AWSCURRENT").unwrap();
        let audit = fixture.path().join("audit.csv").display().to_string();
        let words = ["rotate", "keycloak", "--audit-output", &audit, "--audit-stdout", "always"];

        let calls = HttpProxy::start(manager(&fixture), |_| None).unwrap();
        let dry = [words.as_slice(), &["--dry-run"]].concat();
        let mut command = fixture.command(TEAMS, &dry);
        let catalog_state = fixture.catalog_state();
        let report = output_text(&fixture, &command.envs(calls.environment()).output().unwrap(), 0);
        assert_eq!(report.matches(",dry_run,").count(), 4, "{report}");
        assert_eq!(fixture.catalog_state(), catalog_state);
        assert_eq!(at(&fixture, "AWSPENDING"), None);
        let wrote = |action: &str| !action.contains("Get") && action != "DescribeSecret";
        assert!(!calls.take_calls().iter().any(|call| wrote(&call.action)));

        let report = output_text(&fixture, &fixture.run(TEAMS, &words), 0);
        assert_eq!(
            records(&report),
            [
                " intent intent",
                "keycloak_user create_pending success",
                "keycloak_user set_password success",
                "keycloak_user test_password success",
                "keycloak_user finish_rotation success",
            ],
            "{report}"
        );
        let (new, new_password) = at(&fixture, "AWSCURRENT").unwrap();
        assert_eq!(at(&fixture, "AWSPREVIOUS"), Some((old, old_password.clone())));
        assert_eq!(at(&fixture, "AWSPENDING"), Some((new.clone(), new_password.clone())));
        assert!(new_password.len() >= 32);
        assert!(logs_in(&fixture, &new_password) && !logs_in(&fixture, &old_password));
        let (_, now) = manager(&fixture).at_stage(SECRET, "AWSCURRENT").unwrap().unwrap();
        assert_eq!(now, text.replace(&old_password, &new_password), "other keys must not change");
        let stored = "SELECT rolpassword FROM pg_authid WHERE rolname = 'keycloak_user'";
        assert!(fixture.query(stored).starts_with("SCRAM-SHA-256$"));
        expect(&fixture.run(TEAMS, &["check"]), 0);

        // A stage that remains on the current version is not an unfinished rotation.
        output_text(&fixture, &fixture.run(TEAMS, &["rotate", "keycloak", "backstage"]), 0);
        assert_ne!(at(&fixture, "AWSCURRENT").unwrap().0, new);
        current_logs_in(&fixture, "the second");
        expect(&fixture.run(TEAMS, &["check"]), 0);
        let log = fixture.server.log();
        for password in [old_password, new_password, at(&fixture, "AWSCURRENT").unwrap().1] {
            assert!(!log.contains(&password), "a password reached the server's log");
            assert!(!std::fs::read_to_string(&audit).unwrap().contains(&password));
        }
    }
}

/// What happens at a call of the rotation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Interruption {
    /// SIGKILL before Secrets Manager receives the call.
    KillBefore,
    /// SIGKILL after Secrets Manager has executed the call.
    KillAfter,
    /// SIGTERM, and the call continues.
    Terminate,
    /// SIGTERM, and AWS returns an error.
    TerminateAndDeny,
    /// AWS returns an error.
    Deny,
    /// No call reaches AWS.
    Disconnect,
    /// Calls reach AWS, and their responses are lost.
    DropResponse,
    /// A statement of the superuser, and one that reverts it.
    Meanwhile(&'static str, &'static str),
    /// The run waits on the server and receives a signal.
    Signal(&'static str),
}

/// The call, the interruption, the exit code (4 after the pending version was created), and whether it is in the one window after which only
/// the next run restores the login.
const INTERRUPTIONS: [(&str, Interruption, Option<i32>, bool); 22] = [
    ("DescribeSecret", Interruption::KillBefore, None, false),
    ("DescribeSecret", Interruption::Terminate, Some(1), false),
    ("DescribeSecret", Interruption::Deny, Some(3), false),
    ("GetSecretValue", Interruption::KillBefore, None, false),
    ("GetSecretValue", Interruption::Deny, Some(3), false),
    ("PutSecretValue", Interruption::KillBefore, None, false),
    ("PutSecretValue", Interruption::KillAfter, None, false),
    ("PutSecretValue", Interruption::Terminate, Some(1), false),
    ("PutSecretValue", Interruption::Deny, Some(1), false),
    ("PutSecretValue", Interruption::Disconnect, Some(1), false),
    ("PutSecretValue", Interruption::DropResponse, Some(1), false),
    (
        "PutSecretValue",
        Interruption::Meanwhile(
            "ALTER ROLE platform_admin NOCREATEROLE",
            "ALTER ROLE platform_admin CREATEROLE",
        ),
        Some(4),
        false,
    ),
    (
        "PutSecretValue",
        Interruption::Meanwhile(
            "ALTER ROLE keycloak_user VALID UNTIL '2001-01-01'",
            "ALTER ROLE keycloak_user VALID UNTIL 'infinity'",
        ),
        Some(4),
        false,
    ),
    ("set", Interruption::Signal("-KILL"), None, false),
    ("set", Interruption::Signal("-TERM"), Some(4), false),
    ("test", Interruption::Signal("-KILL"), None, true),
    ("test", Interruption::Signal("-INT"), Some(4), false),
    ("UpdateSecretVersionStage", Interruption::KillBefore, None, true),
    ("UpdateSecretVersionStage", Interruption::KillAfter, None, false),
    ("UpdateSecretVersionStage", Interruption::TerminateAndDeny, Some(4), false),
    ("UpdateSecretVersionStage", Interruption::Deny, Some(4), false),
    ("UpdateSecretVersionStage", Interruption::Disconnect, Some(4), false),
];

/// Interruptions after which the rotation is complete.
const COMPLETED: [(&str, Interruption); 2] = [
    ("UpdateSecretVersionStage", Interruption::Terminate),
    ("UpdateSecretVersionStage", Interruption::DropResponse),
];

#[track_caller]
fn wait_until(mut holds: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the condition never became true");
}

fn kill(signal: &str, pid: u32) {
    Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
}

#[test]
fn interrupted_rotation_keeps_a_valid_password() {
    // Most of the test is waiting.
    std::thread::scope(|scope| {
        for major in versions() {
            scope.spawn(move || interrupt_at_each_call(major));
        }
    });
}

fn interrupt_at_each_call(major: u32) {
    let fixture = applied_fixture(major);
    let next_interruption = Arc::new(Mutex::new(None::<(&str, Interruption)>));
    let pid = Arc::new(AtomicU32::new(0));
    let now = Arc::new(Mutex::new(Vec::new()));
    let proxy = {
        let (next_interruption, pid, now) = (next_interruption.clone(), pid.clone(), now.clone());
        HttpProxy::start(manager(&fixture), move |call| {
            let (action, interruption) =
                next_interruption.lock().unwrap().filter(|one| one.0 == call.action)?;
            wait_until(|| pid.load(Ordering::Relaxed) != 0);
            let signal = |signal: &str| {
                kill(signal, pid.load(Ordering::Relaxed));
                // Waits until the signal has reached the process.
                std::thread::sleep(Duration::from_millis(300));
            };
            let deny = || Reply::Error("AccessDeniedException", format!("not {action}"));
            match interruption {
                Interruption::KillBefore => {
                    signal("-KILL");
                    Some(Reply::Disconnect)
                }
                Interruption::KillAfter => {
                    signal("-KILL");
                    None
                }
                Interruption::Terminate => {
                    signal("-TERM");
                    None
                }
                Interruption::TerminateAndDeny => {
                    signal("-TERM");
                    Some(deny())
                }
                Interruption::Deny => Some(deny()),
                Interruption::Disconnect => Some(Reply::Disconnect),
                Interruption::DropResponse => Some(Reply::DropResponse),
                Interruption::Meanwhile(..) => {
                    now.lock().unwrap().push(());
                    wait_until(|| now.lock().unwrap().is_empty());
                    None
                }
                Interruption::Signal(_) => None,
            }
        })
        .unwrap()
    };
    let interrupted = |place: &'static str, interruption: Interruption| -> Output {
        *next_interruption.lock().unwrap() = Some((place, interruption));
        pid.store(0, Ordering::Relaxed);
        let mut superuser = fixture.server.superuser_session("postgres").unwrap();
        let stored = "SELECT rolpassword FROM pg_authid WHERE rolname = 'keycloak_user'";
        let before = superuser.ask(stored).unwrap().rows;
        let moves = if place == "PutSecretValue" { "AWSPENDING" } else { "AWSCURRENT" };
        let stands = at(&fixture, moves);
        let mut locker = fixture.server.superuser_session("postgres").unwrap();
        match place {
            "set" => locker.ask("BEGIN; ALTER ROLE keycloak_user CONNECTION LIMIT -1"),
            // Each login takes a second, also the one with the new password.
            "test" => {
                superuser.ask("ALTER SYSTEM SET post_auth_delay = 1; SELECT pg_reload_conf()")
            }
            _ => superuser.ask("SELECT"),
        }
        .unwrap();
        let mut command = fixture.command(TEAMS, &ROTATE);
        command.envs(proxy.environment()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = command.spawn().unwrap();
        pid.store(run.id(), Ordering::Relaxed);
        match interruption {
            Interruption::Meanwhile(done, _) => {
                wait_until(|| !now.lock().unwrap().is_empty());
                fixture.query(done);
                now.lock().unwrap().clear();
            }
            Interruption::Signal(signal) if place == "set" => {
                let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity
                        WHERE wait_event_type = 'Lock' AND query LIKE '%PASSWORD%')";
                wait_until(|| superuser.ask(waits).unwrap().rows == "t");
                kill(signal, run.id());
                std::thread::sleep(Duration::from_millis(300));
                locker.ask("ROLLBACK").unwrap();
            }
            Interruption::Signal(signal) => {
                wait_until(|| superuser.ask(stored).unwrap().rows != before);
                kill(signal, run.id());
                superuser
                    .ask("ALTER SYSTEM RESET post_auth_delay; SELECT pg_reload_conf()")
                    .unwrap();
            }
            _ => {}
        }
        let output = run.wait_with_output().unwrap();
        let is_stopped = place == "PutSecretValue" && interruption == Interruption::Terminate;
        if interruption == Interruption::KillAfter || is_stopped {
            // The call is still executed after its caller has ended.
            wait_until(|| at(&fixture, moves) != stands);
        }
        if let Interruption::Meanwhile(_, undone) = interruption {
            fixture.query(undone);
        }
        *next_interruption.lock().unwrap() = None;
        output
    };
    for (place, interruption, code, window) in INTERRUPTIONS {
        let when = format!("PostgreSQL {major}, {interruption:?} at {place}");
        let (before, _) = at(&fixture, "AWSCURRENT").unwrap();
        let output = interrupted(place, interruption);
        match code {
            Some(code) => drop(output_text(&fixture, &output, code)),
            None => assert_eq!(output.status.code(), None, "{when}: {output:?}"),
        }
        let (version, current) = at(&fixture, "AWSCURRENT").unwrap();
        let moved = place == "UpdateSecretVersionStage" && interruption == Interruption::KillAfter;
        assert_eq!(version != before, moved, "{when}");
        if window {
            assert!(!logs_in(&fixture, &current), "{when}: expected to be in the window");
            let report = output_text(&fixture, &fixture.run(TEAMS, &["apply"]), 0);
            assert!(report.contains("set_password,success"), "{when}: {report}");
        }
        current_logs_in(&fixture, &when);
        // The next rotation continues the unfinished one.
        let begun = at(&fixture, "AWSPENDING").map(|(id, _)| id).filter(|id| *id != version);
        output_text(&fixture, &fixture.run(TEAMS, &ROTATE), 0);
        current_logs_in(&fixture, &when);
        let (after, _) = at(&fixture, "AWSCURRENT").unwrap();
        assert!(after != version && begun.is_none_or(|begun| begun == after), "{when}");
    }
    for (place, interruption) in COMPLETED {
        let (before, _) = at(&fixture, "AWSCURRENT").unwrap();
        output_text(&fixture, &interrupted(place, interruption), 0);
        assert_ne!(at(&fixture, "AWSCURRENT").unwrap().0, before, "{interruption:?}");
        current_logs_in(&fixture, &format!("{interruption:?}"));
    }
    // In the window, a rotation repairs the login like an apply.
    interrupted("UpdateSecretVersionStage", Interruption::KillBefore);
    let report = output_text(&fixture, &fixture.run(TEAMS, &ROTATE), 0);
    assert!(
        !report.contains("set_password") && report.contains("finish_rotation,success"),
        "{report}"
    );
    current_logs_in(&fixture, "repaired by a rotation");
    expect(&fixture.run(TEAMS, &["check"]), 0);
    assert!(!fixture.server.log().contains(CANARY));
}

/// Refusals and their messages. Neither the server nor AWS is changed.
#[test]
fn invalid_rotations_are_refused() {
    let fixture = applied_fixture(versions()[0]);
    for (application, user) in [("shared", "shared_user"), ("other", "other_user")] {
        fixture.app("dev", application, user);
    }
    fixture.app("dev", "new", "new_user");
    fixture.secret("goldenpath/dev/two_a/postgres", r#"{"password": "Canary-two"}"#);
    fixture.secret("goldenpath/dev/two_b/postgres", r#"{"password": "Canary-two"}"#);
    fixture.secret("one", r#"{"password": "Canary-one"}"#);
    let definitions = fixture.definitions(
        r#"application_databases = {
             keycloak = { database_name = "keycloak", username = "keycloak_user" }
             token    = { database_name = "token", username = "token_user", auth = "iam" }
             two_a    = { database_name = "two_a", username = "two_user" }
             two_b    = { database_name = "two_b", username = "two_user" }
             shared   = { database_name = "shared", username = "shared_user", secret = "one" }
             other    = { database_name = "other", username = "other_user", secret = "one" }
             admin    = { database_name = "admin", username = "admin_user", secret = "goldenpath/dev/rds/master" }
             new      = { database_name = "new", username = "new_user" }
           }"#,
    );
    let proxy = HttpProxy::start(manager(&fixture), |_| None).unwrap();
    let stored = || {
        fixture.query("SELECT string_agg(rolname || rolpassword, ' ' ORDER BY oid) FROM pg_authid")
    };
    let before = stored();
    let refused = |application: &str, more: &[&str], code: i32, says: &str| {
        let words = [&["rotate", application, "--env", "dev"], more].concat();
        let mut command = fixture.command(&definitions, &words);
        let report =
            output_text(&fixture, &command.envs(proxy.environment()).output().unwrap(), code);
        assert!(report.contains(says), "{application}: {report}");
        let reads = ["BatchGetSecretValue", "GetSecretValue", "DescribeSecret"];
        let calls = proxy.take_calls();
        assert!(calls.iter().all(|call| reads.contains(&call.action.as_str())), "{calls:?}");
    };
    refused("keycloack", &[], 64, "check the name: `keycloak` is declared");
    refused("token", &[], 3, "[no-password-to-rotate]");
    refused("two_a", &[], 3, "[several-secrets]");
    refused("shared", &[], 3, "refused[secret-of-other-role] shared: ");
    refused("admin", &[], 3, "of role admin_user is also the secret of the administrator");
    refused("new", &[], 3, "refused[role-missing] new: ");
    refused("keycloak", &["--format", "sql"], 64, "invalid value 'sql' for '--format <FORMAT>'");
    refused("keycloak", &["--secret-stage", "AWSPENDING"], 64, "remove --secret-stage STAGE");
    let directory = format!("file:{}", fixture.path().display());
    refused("keycloak", &["--secrets", &directory], 3, "[secret-without-stages]");
    for (done, says, undone) in [
        (
            "COMMENT ON ROLE keycloak_user IS 'ours'",
            "refused[role-not-managed] keycloak: ",
            "COMMENT ON ROLE keycloak_user IS '[managed by rdsprov: environment=dev application=keycloak build_id= name=\"keycloak_user\"]'",
        ),
        (
            "ALTER ROLE keycloak_user NOLOGIN",
            "refused[role-cannot-log-in] ",
            "ALTER ROLE keycloak_user LOGIN",
        ),
        (
            "REVOKE rds_password FROM rds_superuser; ALTER DATABASE platform SET rds.restrict_password_commands = on",
            "refused[set-password-restricted] ",
            "GRANT rds_password TO rds_superuser WITH ADMIN OPTION; ALTER DATABASE platform RESET rds.restrict_password_commands",
        ),
    ] {
        fixture.query(done);
        refused("keycloak", &[], 3, says);
        fixture.query(undone);
    }
    let (version, _) = at(&fixture, "AWSCURRENT").unwrap();
    let described = serde_json::json!({
        "RotationEnabled": true, "VersionIdsToStages": { version: ["AWSCURRENT"] }
    });
    for (reply, says) in [
        (
            Reply::Error("AccessDeniedException", "no".to_owned()),
            "AWS does not allow secretsmanager:DescribeSecret",
        ),
        (Reply::Value(described), "refused[rotated-by-aws] keycloak: "),
    ] {
        let answers = HttpProxy::start(manager(&fixture), move |call| {
            (call.action == "DescribeSecret").then(|| reply.clone())
        })
        .unwrap();
        let mut command = fixture.command(&definitions, &["rotate", "keycloak", "--env", "dev"]);
        let report =
            output_text(&fixture, &command.envs(answers.environment()).output().unwrap(), 3);
        assert!(report.contains(says), "{report}");
    }
    assert_eq!(stored(), before);

    // Outside dev, the command asks for approval like apply, before it writes anything.
    let mut command =
        fixture.command("teams/coupled.tfvars", &["rotate", "keycloak", "--env", "prod"]);
    let report = expect(&command.envs(proxy.environment()).output().unwrap(), 3);
    assert!(report.contains("[approval-missing]") || report.contains("refused["), "{report}");
    let wrote = |action: &str| !action.contains("Get") && action != "DescribeSecret";
    assert!(!proxy.take_calls().iter().any(|call| wrote(&call.action)));
}

/// A pending version is used if requested; a secret without one is used as it is.
#[test]
fn pending_version_is_used_if_requested() {
    let fixture = applied_fixture(versions()[0]);
    manager(&fixture).put_pending(SECRET, r#"{"password": "Canary-pending-91c4"}"#).unwrap();
    let pending = ["--secret-stage", "AWSPENDING"];
    expect(&fixture.run(TEAMS, &["check"]), 0);
    let report = expect(&fixture.run(TEAMS, &[&["check", "-v"], pending.as_slice()].concat()), 2);
    let (version, _) = at(&fixture, "AWSPENDING").unwrap();
    assert!(report.contains(&version) && report.matches("set password").count() == 1, "{report}");
    expect(&fixture.run(TEAMS, &[&["apply"], pending.as_slice()].concat()), 0);
    assert!(logs_in(&fixture, "Canary-pending-91c4"));
    // A rotation finds the pending password on the server and completes.
    expect(&fixture.run(TEAMS, &["rotate", "keycloak"]), 0);
    assert_eq!(at(&fixture, "AWSCURRENT").unwrap().0, version);
    expect(&fixture.run(TEAMS, &["check"]), 0);
}

/// The holder of the lock is named, and the pending version counts as a change: the next rotation
/// continues with it.
#[test]
fn failed_set_names_the_holder_of_its_lock() {
    let fixture = applied_fixture(versions()[0]);
    let mut other = fixture.server.superuser_session("postgres").unwrap();
    other.ask("SET application_name = 'nightly'").unwrap();
    let pid = other.ask("SELECT pg_backend_pid()").unwrap().rows;
    other.ask("BEGIN; ALTER ROLE keycloak_user CONNECTION LIMIT -1").unwrap();
    let (current, _) = at(&fixture, "AWSCURRENT").unwrap();
    for code in [4, 1] {
        let text = output_text(&fixture, &fixture.run(TEAMS, &ROTATE), code);
        for words in [
            "held by pid ",
            "application nightly",
            &format!("SELECT pg_terminate_backend({})", pid.trim()),
            "; the password of role keycloak_user was not changed",
        ] {
            assert!(text.contains(words), "{words} is not in {text}");
        }
        let (pending, _) = at(&fixture, "AWSPENDING").unwrap();
        assert_ne!(pending, current);
    }
    other.ask("ROLLBACK").unwrap();
    let (pending, _) = at(&fixture, "AWSPENDING").unwrap();
    output_text(&fixture, &fixture.run(TEAMS, &ROTATE), 0);
    assert_eq!(at(&fixture, "AWSCURRENT").unwrap().0, pending);
}

/// Team A names the secret of a role of team B, by its name or its ARN, in a run of its own or in one with
/// the entry of team B. The secret stays as it is.
#[test]
fn secret_of_another_role_is_not_rotated() {
    for major in versions() {
        let fixture = Fixture::with_secrets_manager(major);
        let id = "goldenpath/dev/shop/postgres";
        fixture.secret(id, &format!(r#"{{"password": "{}"}}"#, password("shop")));
        let arn = manager(&fixture).describe(id).unwrap()["ARN"].as_str().unwrap().to_owned();
        let partial = arn[..arn.len() - "-AbCdEf".len()].to_owned();
        fixture.app("dev", "tool", "tool_owner");
        let shop = r#"shop = { database_name = "shop", username = "shop_owner" }"#;
        let tool = |secret: &str| {
            format!(r#"tool = {{ database_name = "tool", username = "tool_owner"{secret} }}"#)
        };
        let declare = |entries: &[&str]| {
            fixture.definitions(&format!("application_databases = {{\n{}\n}}", entries.join("\n")))
        };
        let run = |entries: &[&str], words: &[&str], code: i32| {
            let words = [words, &["--env", "dev"]].concat();
            expect(&fixture.run(&declare(entries), &words), code)
        };
        run(&[shop], &["apply"], 0);
        let mut before = manager(&fixture).get(id).unwrap();
        for secret in [id, &arn, &partial] {
            let theirs = tool(&format!(r#", secret = "{secret}""#));
            // Before and after the role exists, with a secret of its own.
            for _ in 0..2 {
                let report = run(&[&theirs], &["apply", "--allow", "changes_secret"], 3);
                assert!(report.contains("refused[secret-of-other-role] tool: "), "{report}");
                assert!(report.contains("role shop_owner of application shop"), "{report}");
                let report = run(&[&theirs], &["rotate", "tool"], 3);
                assert!(report.contains("refused[secret-of-other-role] tool: "), "{report}");
                run(&[&tool("")], &["apply"], 0);
            }
            let report = run(&[shop, &theirs], &["rotate", "tool"], 3);
            assert!(report.contains("refused[secret-of-other-role] tool: "), "{report}");
            // The other role has another secret in the definitions, but not yet on the server.
            let moved = r#"shop = { database_name = "shop", username = "shop_owner", secret = "goldenpath/dev/tool/postgres" }"#;
            let report = run(&[moved, &theirs], &["rotate", "tool"], 3);
            assert!(report.contains("refused[secret-of-other-role] tool: "), "{report}");
            assert_eq!(manager(&fixture).get(id).unwrap(), before, "PostgreSQL {major}: {secret}");
            // The wrong entry does not prevent the rotation of the right one.
            run(&[shop, &theirs], &["rotate", "shop"], 0);
            let after = manager(&fixture).get(id).unwrap();
            assert_ne!(after, before, "PostgreSQL {major}: {secret}");
            before = after;
            fixture.query("DROP DATABASE tool");
            fixture.query("DROP ROLE tool_owner");
        }
        let current: Value = serde_json::from_str(&before).unwrap();
        let current = current["password"].as_str().unwrap();
        assert!(fixture.server.sql_as("shop_owner", current, "shop", "SELECT 1").is_ok());
        // Controls: the owner of the secret, and its role under another name.
        run(&[shop], &["rotate", "shop"], 0);
        fixture.query("CREATE ROLE shop_new ADMIN platform_admin");
        let renamed = r#"shop = { database_name = "shop", username = "shop_new", adopt = true }"#;
        let report = run(&[renamed], &["plan", "--allow", "changes_owner"], 0);
        assert!(report.contains("adopt role shop_new"), "{report}");
    }
}

/// The secret is for a role of the same name on another server, whose password is not valid here.
#[test]
fn secret_of_another_server_is_not_rotated() {
    for major in versions() {
        let fixture = Fixture::with_secrets_manager(major);
        let secret = "goldenpath/dev/shop/postgres";
        let text = format!(
            r#"{{"host": "prod.example.com", "port": 5432, "password": "{}"}}"#,
            password("shop")
        );
        fixture.secret(secret, &text);
        let definitions = fixture.definitions(
            r#"application_databases = { shop = { database_name = "shop", username = "shop_owner" } }"#,
        );
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        fixture.query("ALTER ROLE shop_owner PASSWORD 'Known-other'");
        let rotate = ["rotate", "shop", "--env", "dev"];
        let report = expect(&fixture.run(&definitions, &rotate), 3);
        assert!(report.contains("refused[secret-of-other-server] shop: "), "{report}");
        assert!(report.contains("prod.example.com:5432"), "{report}");
        assert_eq!(manager(&fixture).get(secret).unwrap(), text, "PostgreSQL {major}");
        // Control: a password that is valid here shows that the host is another address of the server.
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        expect(&fixture.run(&definitions, &rotate), 0);
    }
}

/// The pending version becomes the current one. One that another program has written does not make the
/// application connect to another host, nor make Secrets Manager alternate between users.
#[test]
fn pending_version_of_another_server_is_not_rotated() {
    let fixture = applied_fixture(versions()[0]);
    let before = at(&fixture, "AWSCURRENT");
    let stored = fixture.query("SELECT rolpassword FROM pg_authid WHERE rolname = 'keycloak_user'");
    for (key, code) in [
        (r#""host": "evil.example.com""#, "secret-of-other-server"),
        (r#""port": 6432"#, "secret-of-other-server"),
        (
            r#""masterarn": "arn:aws:secretsmanager:eu-west-2:1:secret:x""#,
            "secret-alternates-users",
        ),
        (r#""username": "backstage_user""#, "secret-username-differs"),
        (r#""dbname": "backstage""#, "secret-database-differs"),
    ] {
        let text = format!(r#"{{"password": "Canary-pending-91c4", {key}}}"#);
        manager(&fixture).put_pending(SECRET, &text).unwrap();
        let report = expect(&fixture.run(TEAMS, &ROTATE), 3);
        assert!(report.contains(&format!("refused[{code}] keycloak: ")), "{key}: {report}");
        assert_eq!(at(&fixture, "AWSCURRENT"), before, "{key}");
        let now =
            fixture.query("SELECT rolpassword FROM pg_authid WHERE rolname = 'keycloak_user'");
        assert_eq!(now, stored, "{key}");
    }
    // Control: a pending version for the same server.
    manager(&fixture).put_pending(SECRET, r#"{"password": "Canary-pending-91c4"}"#).unwrap();
    expect(&fixture.run(TEAMS, &ROTATE), 0);
    assert!(logs_in(&fixture, "Canary-pending-91c4"));
}

/// After the new password was set, another role gets the name, and AWS denies the last step: this role
/// does not get the current password.
#[test]
fn password_is_not_restored_for_an_exchanged_role() {
    for major in versions() {
        let fixture = applied_fixture(major);
        let session = Mutex::new(fixture.server.superuser_session("postgres").unwrap());
        let proxy = HttpProxy::start(manager(&fixture), move |call| {
            let exchange = "ALTER ROLE keycloak_user RENAME TO parked;
                CREATE ROLE keycloak_user LOGIN; GRANT keycloak_user TO platform_admin WITH ADMIN OPTION";
            (call.action == "UpdateSecretVersionStage").then(|| {
                session.lock().unwrap().ask(exchange).unwrap();
                Reply::Error("AccessDeniedException", "no".to_owned())
            })
        })
        .unwrap();
        let mut command = fixture.command(TEAMS, &ROTATE);
        let report = output_text(&fixture, &command.envs(proxy.environment()).output().unwrap(), 4);
        assert!(report.contains("keycloak_user could not be restored: "), "{report}");
        assert!(
            report.contains("role keycloak_user is not the role that was observed"),
            "{report}"
        );
        let stored = "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'keycloak_user'";
        assert_eq!(fixture.query(stored), "t", "PostgreSQL {major}");
        fixture.query("DROP ROLE keycloak_user");
        fixture.query("ALTER ROLE parked RENAME TO keycloak_user");
        expect(&fixture.run(TEAMS, &["apply"]), 0);
        current_logs_in(&fixture, "after the next apply");
    }
}
