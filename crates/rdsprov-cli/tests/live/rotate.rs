//! A rotation can be interrupted anywhere: the application can log in with `AWSCURRENT`.

use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdsprov_testkit::{Relay, Reply, SecretsManager, versions};
use serde_json::Value;

use crate::bench::{Bench, CANARY, expect, password};

const TEAMS: &str = "teams/standalone.tfvars";
const SECRET: &str = "goldenpath/dev/keycloak/postgres";
const ROTATE: [&str; 3] = ["rotate", "keycloak", "-vv"];

fn applied(major: u32) -> Bench {
    let bench = Bench::with_secrets_manager(major);
    bench.app("dev", "keycloak", "keycloak_user");
    bench.app("dev", "backstage", "backstage_user");
    expect(&bench.run(TEAMS, &["apply"]), 0);
    bench
}

fn manager(bench: &Bench) -> &SecretsManager {
    bench.secrets_manager.as_ref().unwrap()
}

fn at(bench: &Bench, stage: &str) -> Option<(String, String)> {
    let (version, text) = manager(bench).at_stage(SECRET, stage).unwrap()?;
    let secret: Value = serde_json::from_str(&text).unwrap();
    Some((version, secret["password"].as_str().unwrap().to_owned()))
}

fn logs_in(bench: &Bench, password: &str) -> bool {
    bench.server.sql_as("keycloak_user", password, "keycloak", "SELECT 1").is_ok()
}

#[track_caller]
fn current_logs_in(bench: &Bench, when: &str) {
    let (_, current) = at(bench, "AWSCURRENT").unwrap();
    assert!(logs_in(bench, &current), "{when}: AWSCURRENT does not log in");
}

/// Asserts the exit code and that the output of a rotation contains none of its passwords.
#[track_caller]
fn shown(bench: &Bench, output: &Output, code: i32) -> String {
    let shown = expect(output, code);
    for stage in ["AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"] {
        if let Some((_, password)) = at(bench, stage) {
            assert!(!shown.contains(&password), "{stage} was printed: {shown}");
        }
    }
    shown
}

fn records(shown: &str) -> Vec<String> {
    let fields = |line: &str| -> Vec<String> { line.split(',').map(str::to_owned).collect() };
    shown
        .lines()
        .map(fields)
        .filter(|fields| fields.len() > 7 && fields[6] != "action")
        .map(|fields| format!("{} {} {}", fields[5], fields[6], fields[7]))
        .collect()
}

#[test]
fn a_password_is_rotated() {
    for major in versions() {
        let bench = applied(major);
        let text = format!(
            "{{\"engine\": \"postgres\",\n \"password\": \"{}\", \"port\": \"5432\", \"z\": [1.50], \"a\": \"é\"}}",
            password("keycloak")
        );
        bench.secret(SECRET, &text);
        let (old, old_password) = at(&bench, "AWSCURRENT").unwrap();
        let audit = bench.path().join("audit.csv").display().to_string();
        let words = ["rotate", "keycloak", "--audit-output", &audit];

        let calls = Relay::start(manager(&bench), |_| None).unwrap();
        let dry = [words.as_slice(), &["--dry-run"]].concat();
        let mut command = bench.command(TEAMS, &dry);
        let picture = bench.picture();
        let told = shown(&bench, &command.envs(calls.environment()).output().unwrap(), 0);
        assert_eq!(told.matches(",dry_run,").count(), 4, "{told}");
        assert_eq!(bench.picture(), picture);
        assert_eq!(at(&bench, "AWSPENDING"), None);
        let wrote = |action: &str| !action.contains("Get") && action != "DescribeSecret";
        assert!(!calls.take_calls().iter().any(|call| wrote(&call.action)));

        let told = shown(&bench, &bench.run(TEAMS, &words), 0);
        assert_eq!(
            records(&told),
            [
                " intent not_run",
                "keycloak_user create_pending success",
                "keycloak_user set_password success",
                "keycloak_user test_password success",
                "keycloak_user finish_rotation success",
            ],
            "{told}"
        );
        let (new, new_password) = at(&bench, "AWSCURRENT").unwrap();
        assert_eq!(at(&bench, "AWSPREVIOUS"), Some((old, old_password.clone())));
        assert_eq!(at(&bench, "AWSPENDING"), Some((new.clone(), new_password.clone())));
        assert!(new_password.len() >= 32);
        assert!(logs_in(&bench, &new_password) && !logs_in(&bench, &old_password));
        let (_, now) = manager(&bench).at_stage(SECRET, "AWSCURRENT").unwrap().unwrap();
        assert_eq!(now, text.replace(&old_password, &new_password), "all else is kept");
        let stored = "SELECT rolpassword FROM pg_authid WHERE rolname = 'keycloak_user'";
        assert!(bench.query(stored).starts_with("SCRAM-SHA-256$"));
        expect(&bench.run(TEAMS, &["check"]), 0);

        // A stage that remains on the current version is not an unfinished rotation.
        shown(&bench, &bench.run(TEAMS, &["rotate", "keycloak", "backstage"]), 0);
        assert_ne!(at(&bench, "AWSCURRENT").unwrap().0, new);
        current_logs_in(&bench, "the second");
        expect(&bench.run(TEAMS, &["check"]), 0);
        let log = bench.server.log();
        for password in [old_password, new_password, at(&bench, "AWSCURRENT").unwrap().1] {
            assert!(!log.contains(&password), "a password reached the server's log");
            assert!(!std::fs::read_to_string(&audit).unwrap().contains(&password));
        }
    }
}

/// The interruption at a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
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
    Cut,
    /// Calls reach AWS, and their responses are lost.
    Lost,
    /// A statement of the superuser, and one that reverts it.
    Meanwhile(&'static str, &'static str),
    /// The run waits on the server and receives a signal.
    Signal(&'static str),
}

/// The call, the interruption, the exit code, and whether it is in the one window after which only
/// the next run restores the login.
const INTERRUPTIONS: [(&str, What, Option<i32>, bool); 22] = [
    ("DescribeSecret", What::KillBefore, None, false),
    ("DescribeSecret", What::Terminate, Some(1), false),
    ("DescribeSecret", What::Deny, Some(3), false),
    ("GetSecretValue", What::KillBefore, None, false),
    ("GetSecretValue", What::Deny, Some(3), false),
    ("PutSecretValue", What::KillBefore, None, false),
    ("PutSecretValue", What::KillAfter, None, false),
    ("PutSecretValue", What::Terminate, Some(1), false),
    ("PutSecretValue", What::Deny, Some(1), false),
    ("PutSecretValue", What::Cut, Some(1), false),
    ("PutSecretValue", What::Lost, Some(1), false),
    (
        "PutSecretValue",
        What::Meanwhile(
            "ALTER ROLE platform_admin NOCREATEROLE",
            "ALTER ROLE platform_admin CREATEROLE",
        ),
        Some(4),
        false,
    ),
    (
        "PutSecretValue",
        What::Meanwhile(
            "ALTER ROLE keycloak_user VALID UNTIL '2001-01-01'",
            "ALTER ROLE keycloak_user VALID UNTIL 'infinity'",
        ),
        Some(1),
        false,
    ),
    ("set", What::Signal("-KILL"), None, false),
    ("set", What::Signal("-TERM"), Some(1), false),
    ("test", What::Signal("-KILL"), None, true),
    ("test", What::Signal("-INT"), Some(1), false),
    ("UpdateSecretVersionStage", What::KillBefore, None, true),
    ("UpdateSecretVersionStage", What::KillAfter, None, false),
    ("UpdateSecretVersionStage", What::TerminateAndDeny, Some(1), false),
    ("UpdateSecretVersionStage", What::Deny, Some(1), false),
    ("UpdateSecretVersionStage", What::Cut, Some(1), false),
];

/// Interruptions after which the rotation is complete.
const COMPLETED: [(&str, What); 2] =
    [("UpdateSecretVersionStage", What::Terminate), ("UpdateSecretVersionStage", What::Lost)];

#[track_caller]
fn until(mut holds: impl FnMut() -> bool) {
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
fn an_interruption_leaves_what_is_current_to_log_in_with() {
    // Most of the test is waiting.
    std::thread::scope(|scope| {
        for major in versions() {
            scope.spawn(move || interrupt_everywhere(major));
        }
    });
}

fn interrupt_everywhere(major: u32) {
    let bench = applied(major);
    let interruption = Arc::new(Mutex::new(None::<(&str, What)>));
    let pid = Arc::new(AtomicU32::new(0));
    let now = Arc::new(Mutex::new(Vec::new()));
    let relay = {
        let (interruption, pid, now) = (interruption.clone(), pid.clone(), now.clone());
        Relay::start(manager(&bench), move |call| {
            let (action, what) = interruption.lock().unwrap().filter(|one| one.0 == call.action)?;
            until(|| pid.load(Ordering::Relaxed) != 0);
            let signal = |signal: &str| {
                kill(signal, pid.load(Ordering::Relaxed));
                // Waits until the signal has reached the process.
                std::thread::sleep(Duration::from_millis(300));
            };
            let deny = || Reply::Error("AccessDeniedException", format!("not {action}"));
            match what {
                What::KillBefore => {
                    signal("-KILL");
                    Some(Reply::Cut)
                }
                What::KillAfter => {
                    signal("-KILL");
                    None
                }
                What::Terminate => {
                    signal("-TERM");
                    None
                }
                What::TerminateAndDeny => {
                    signal("-TERM");
                    Some(deny())
                }
                What::Deny => Some(deny()),
                What::Cut => Some(Reply::Cut),
                What::Lost => Some(Reply::Lost),
                What::Meanwhile(..) => {
                    now.lock().unwrap().push(());
                    until(|| now.lock().unwrap().is_empty());
                    None
                }
                What::Signal(_) => None,
            }
        })
        .unwrap()
    };
    let interrupted = |place: &'static str, what: What| -> Output {
        *interruption.lock().unwrap() = Some((place, what));
        pid.store(0, Ordering::Relaxed);
        let mut superuser = bench.server.superuser_session("postgres").unwrap();
        let stored = "SELECT rolpassword FROM pg_authid WHERE rolname = 'keycloak_user'";
        let before = superuser.ask(stored).unwrap().rows;
        let moves = if place == "PutSecretValue" { "AWSPENDING" } else { "AWSCURRENT" };
        let stands = at(&bench, moves);
        let mut locker = bench.server.superuser_session("postgres").unwrap();
        match place {
            "set" => locker.ask("BEGIN; ALTER ROLE keycloak_user CONNECTION LIMIT -1"),
            // Each login takes a second, also the one with the new password.
            "test" => {
                superuser.ask("ALTER SYSTEM SET post_auth_delay = 1; SELECT pg_reload_conf()")
            }
            _ => superuser.ask("SELECT"),
        }
        .unwrap();
        let mut command = bench.command(TEAMS, &ROTATE);
        command.envs(relay.environment()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = command.spawn().unwrap();
        pid.store(run.id(), Ordering::Relaxed);
        match what {
            What::Meanwhile(done, _) => {
                until(|| !now.lock().unwrap().is_empty());
                bench.query(done);
                now.lock().unwrap().clear();
            }
            What::Signal(signal) if place == "set" => {
                let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity
                        WHERE wait_event_type = 'Lock' AND query LIKE '%PASSWORD%')";
                until(|| superuser.ask(waits).unwrap().rows == "t");
                kill(signal, run.id());
                std::thread::sleep(Duration::from_millis(300));
                locker.ask("ROLLBACK").unwrap();
            }
            What::Signal(signal) => {
                until(|| superuser.ask(stored).unwrap().rows != before);
                kill(signal, run.id());
                superuser
                    .ask("ALTER SYSTEM RESET post_auth_delay; SELECT pg_reload_conf()")
                    .unwrap();
            }
            _ => {}
        }
        let output = run.wait_with_output().unwrap();
        if what == What::KillAfter {
            // The call is still executed after its caller was killed.
            until(|| at(&bench, moves) != stands);
        }
        if let What::Meanwhile(_, undone) = what {
            bench.query(undone);
        }
        *interruption.lock().unwrap() = None;
        output
    };
    for (place, what, code, window) in INTERRUPTIONS {
        let when = format!("PostgreSQL {major}, {what:?} at {place}");
        let (before, _) = at(&bench, "AWSCURRENT").unwrap();
        let output = interrupted(place, what);
        match code {
            Some(code) => drop(shown(&bench, &output, code)),
            None => assert_eq!(output.status.code(), None, "{when}: {output:?}"),
        }
        let (version, current) = at(&bench, "AWSCURRENT").unwrap();
        let moved = place == "UpdateSecretVersionStage" && what == What::KillAfter;
        assert_eq!(version != before, moved, "{when}");
        if window {
            assert!(!logs_in(&bench, &current), "{when}: expected to be in the window");
            let told = shown(&bench, &bench.run(TEAMS, &["apply"]), 0);
            assert!(told.contains("set_password,success"), "{when}: {told}");
        }
        current_logs_in(&bench, &when);
        // The next rotation continues the unfinished one.
        let begun = at(&bench, "AWSPENDING").map(|(id, _)| id).filter(|id| *id != version);
        shown(&bench, &bench.run(TEAMS, &ROTATE), 0);
        current_logs_in(&bench, &when);
        let (after, _) = at(&bench, "AWSCURRENT").unwrap();
        assert!(after != version && begun.is_none_or(|begun| begun == after), "{when}");
    }
    for (place, what) in COMPLETED {
        let (before, _) = at(&bench, "AWSCURRENT").unwrap();
        shown(&bench, &interrupted(place, what), 0);
        assert_ne!(at(&bench, "AWSCURRENT").unwrap().0, before, "{what:?}");
        current_logs_in(&bench, &format!("{what:?}"));
    }
    // In the window, a rotation repairs the login like an apply.
    interrupted("UpdateSecretVersionStage", What::KillBefore);
    let told = shown(&bench, &bench.run(TEAMS, &ROTATE), 0);
    assert!(!told.contains("set_password") && told.contains("finish_rotation,success"), "{told}");
    current_logs_in(&bench, "repaired by a rotation");
    expect(&bench.run(TEAMS, &["check"]), 0);
    assert!(!bench.server.log().contains(CANARY));
}

/// Refusals and their messages. Neither the server nor AWS is changed.
#[test]
fn what_cannot_be_rotated_is_refused() {
    let bench = applied(versions()[0]);
    for (application, user) in [("shared", "shared_user"), ("other", "other_user")] {
        bench.app("dev", application, user);
    }
    bench.app("dev", "new", "new_user");
    bench.secret("goldenpath/dev/two_a/postgres", r#"{"password": "Canary-two"}"#);
    bench.secret("goldenpath/dev/two_b/postgres", r#"{"password": "Canary-two"}"#);
    let definitions = bench.definitions(
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
    let relay = Relay::start(manager(&bench), |_| None).unwrap();
    let stored = || {
        bench.query("SELECT string_agg(rolname || rolpassword, ' ' ORDER BY oid) FROM pg_authid")
    };
    let before = stored();
    let refused = |application: &str, more: &[&str], code: i32, says: &str| {
        let words = [&["rotate", application, "--env", "dev"], more].concat();
        let mut command = bench.command(&definitions, &words);
        let told = shown(&bench, &command.envs(relay.environment()).output().unwrap(), code);
        assert!(told.contains(says), "{application}: {told}");
        let reads = ["BatchGetSecretValue", "GetSecretValue", "DescribeSecret"];
        let calls = relay.take_calls();
        assert!(calls.iter().all(|call| reads.contains(&call.action.as_str())), "{calls:?}");
    };
    refused("keycloack", &[], 64, r#"did you mean "keycloak"?"#);
    refused("token", &[], 3, "has auth = \"iam\", and no password");
    refused("two_a", &[], 3, "they cannot change at one moment");
    refused("shared", &[], 3, "give each role a secret of its own");
    refused("admin", &[], 3, "is that of role admin_user and of the administrator");
    refused("new", &[], 3, "role new_user does not exist on this server");
    refused("keycloak", &["--format", "sql"], 64, "a rotation is no script");
    refused("keycloak", &["--secret-stage", "AWSPENDING"], 64, "leave --secret-stage out");
    let directory = format!("file:{}", bench.path().display());
    refused("keycloak", &["--secrets", &directory], 3, "only secrets of AWS have versions");
    for (done, says, undone) in [
        (
            "COMMENT ON ROLE keycloak_user IS 'ours'",
            "exists and is not managed",
            "COMMENT ON ROLE keycloak_user IS '[managed by rdsprov: environment=dev application=keycloak build_id= name=\"keycloak_user\"]'",
        ),
        ("ALTER ROLE keycloak_user NOLOGIN", "may not log in", "ALTER ROLE keycloak_user LOGIN"),
        (
            "REVOKE rds_password FROM rds_superuser; ALTER DATABASE platform SET rds.restrict_password_commands = on",
            "rds.restrict_password_commands",
            "GRANT rds_password TO rds_superuser WITH ADMIN OPTION; ALTER DATABASE platform RESET rds.restrict_password_commands",
        ),
    ] {
        bench.query(done);
        refused("keycloak", &[], 3, says);
        bench.query(undone);
    }
    let (version, _) = at(&bench, "AWSCURRENT").unwrap();
    let described = serde_json::json!({
        "RotationEnabled": true, "VersionIdsToStages": { version: ["AWSCURRENT"] }
    });
    for (reply, says) in [
        (
            Reply::Error("AccessDeniedException", "no".to_owned()),
            "AWS does not allow secretsmanager:DescribeSecret on it",
        ),
        (Reply::Value(described), "is rotated already: Secrets Manager's own rotation is on"),
    ] {
        let answers = Relay::start(manager(&bench), move |call| {
            (call.action == "DescribeSecret").then(|| reply.clone())
        })
        .unwrap();
        let mut command = bench.command(&definitions, &["rotate", "keycloak", "--env", "dev"]);
        let told = shown(&bench, &command.envs(answers.environment()).output().unwrap(), 3);
        assert!(told.contains(says), "{told}");
    }
    assert_eq!(stored(), before);

    // Outside dev, the command asks for approval like apply, before it contacts anything.
    let mut command =
        bench.command("teams/coupled.tfvars", &["rotate", "keycloak", "--env", "prod"]);
    let told = expect(&command.envs(relay.environment()).output().unwrap(), 3);
    assert!(told.contains("ALLOW_DB_PROVISION=true") && relay.take_calls().is_empty(), "{told}");
}

/// A pending version is used if requested; a secret without one is used as it is.
#[test]
fn the_pending_version_counts_where_it_is_asked_for() {
    let bench = applied(versions()[0]);
    manager(&bench).put_pending(SECRET, r#"{"password": "Canary-pending-91c4"}"#).unwrap();
    let pending = ["--secret-stage", "AWSPENDING"];
    expect(&bench.run(TEAMS, &["check"]), 0);
    let told = expect(&bench.run(TEAMS, &[&["check"], pending.as_slice()].concat()), 2);
    let (version, _) = at(&bench, "AWSPENDING").unwrap();
    assert!(told.contains(&version) && told.matches("set_password").count() == 1, "{told}");
    expect(&bench.run(TEAMS, &[&["apply"], pending.as_slice()].concat()), 0);
    assert!(logs_in(&bench, "Canary-pending-91c4"));
    // A rotation finds the pending password on the server and completes.
    expect(&bench.run(TEAMS, &["rotate", "keycloak"]), 0);
    assert_eq!(at(&bench, "AWSCURRENT").unwrap().0, version);
    expect(&bench.run(TEAMS, &["check"]), 0);
}
