//! A server that stops to respond in the middle of a run, and keeps its connections open.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdsprov_testkit::{Server, SilentRelay, versions};

use crate::fixture::{Fixture, expect};

/// The number of servers of each version that are tried at the same time. They mostly wait.
const WORKERS: usize = 10;

/// Returns `rdsprov apply` over a relay, with the ledger of this number.
fn over(relay: &SilentRelay, fixture: &Fixture, definitions: &str, ledger: usize) -> Command {
    let mut command = fixture.without_connection(definitions, &["apply", "--env", "dev"]);
    command.args(["--host", "127.0.0.1", "--port", &relay.port().to_string()]);
    command.args(["--tls", "disable"]);
    command.arg("--secrets").arg(format!("file:{}", fixture.path().display()));
    command.arg("--audit-ledger").arg(path_of(fixture, ledger));
    command
}

fn path_of(fixture: &Fixture, ledger: usize) -> PathBuf {
    fixture.path().join(format!("ledger-{ledger}.jsonl"))
}

/// Applies the definitions of a new application.
fn apply(relay: &SilentRelay, fixture: &Fixture, definitions: &str, ledger: usize) -> Output {
    let mut command = over(relay, fixture, definitions, ledger);
    command.args(["--statement-timeout", "5s", "--connect-timeout", "5s"]).output().unwrap()
}

fn text_of(output: &Output) -> String {
    let (stdout, stderr) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr))
}

fn new_server(major: u32) -> Fixture {
    Fixture::on(Server::start_without_tls(major).unwrap(), None)
}

/// Declares an application of its own for each run, so that each one has the same statements.
fn declare(fixture: &Fixture, number: usize) -> String {
    fixture.app("dev", &format!("a{number}"), &format!("a{number}_owner"));
    fixture.definitions(&format!(
        r#"application_databases = {{
            a{number} = {{ database_name = "a{number}", username = "a{number}_owner", schemas = ["public", "app"] }}
        }}"#
    ))
}

/// Each run ends, says that the server does not respond, and says truly whether it has changed
/// something. The next run completes it.
#[test]
fn silence_after_each_statement_ends_the_run() {
    let versions = versions();
    std::thread::scope(|scope| {
        for (turn, major) in versions.iter().copied().enumerate() {
            // Each version tries another part of the statements.
            let step = versions.len();
            scope.spawn(move || silence_after_statements(major, 1 + turn, step));
        }
    });
}

/// Tries every `step`-th statement, from this number.
fn silence_after_statements(major: u32, first: usize, step: usize) {
    let statements = {
        let fixture = new_server(major);
        let relay = SilentRelay::start(&fixture.server, usize::MAX).unwrap();
        expect(&apply(&relay, &fixture, &declare(&fixture, 0), 0), 0);
        relay.statements()
    };
    assert!(statements > 20, "{statements}");
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                // A run that waits holds the lock of its server.
                let fixture = new_server(major);
                loop {
                    let number = first + next.fetch_add(1, Ordering::SeqCst) * step;
                    if number > statements {
                        break;
                    }
                    silence(&fixture, number, major);
                }
            });
        }
    });
}

fn silence(fixture: &Fixture, number: usize, major: u32) {
    let place = format!("PostgreSQL {major}, statement {number}");
    let definitions = declare(fixture, number);
    let relay = SilentRelay::start(&fixture.server, number).unwrap();
    let output = apply(&relay, fixture, &definitions, number);
    assert!(relay.is_silent(), "{place}: {}", relay.statements());
    let code = output.status.code();
    let text = text_of(&output);
    // A database that cannot be read is a refusal, because each of its owners can prevent it.
    let is_refusal = text.contains("refused[database-unreachable]");
    let ended = if is_refusal { code == Some(3) } else { matches!(code, Some(1 | 4)) };
    assert!(ended, "{place}: {code:?}: {text}");
    assert!(text.contains("no response"), "{place}: {text}");
    // A part may be committed only if the run says so. The relay has ended the sessions.
    let role = format!("SELECT count(*) FROM pg_roles WHERE rolname = 'a{number}_owner'");
    let is_changed = fixture.query(&role) == "1";
    assert!(!is_changed || code == Some(4), "{place}: {text}");
    let may_be_committed = ["the changes may have been committed", "the database may have been"]
        .iter()
        .any(|part| text.contains(part));
    assert!(code != Some(4) || is_changed || may_be_committed, "{place}: {text}");
    if may_be_committed {
        assert!(text.contains("--statement-timeout"), "{place}: {text}");
        completed(&relay, fixture, &definitions, number, &place);
    } else {
        relay.resume();
        let again = apply(&relay, fixture, &definitions, number);
        assert!(again.status.success(), "{place}: {}", text_of(&again));
    }
}

/// The steps without a known result are no defect of the ledger, and the next run finds what became of
/// them.
fn completed(
    relay: &SilentRelay,
    fixture: &Fixture,
    definitions: &str,
    ledger: usize,
    place: &str,
) {
    let path = path_of(fixture, ledger);
    let read = || std::fs::read_to_string(&path).unwrap();
    let before = read();
    let unknown = before.matches(r#""status":"unknown""#).count();
    assert!(unknown > 0, "{place}: {before}");
    assert!(!before.contains(r#""status":"rolled_back""#), "{place}: {before}");
    let verify = || fixture.program().args(["audit", "verify"]).arg(&path).output().unwrap();
    let text = expect(&verify(), 0);
    assert!(text.contains("has not learned whether"), "{place}: {text}");
    relay.resume();
    let again = apply(relay, fixture, definitions, ledger);
    assert!(again.status.success(), "{place}: {}", text_of(&again));
    let after = read();
    let found = after.matches(r#""event":"recovered""#).count();
    assert!(found >= unknown, "{place}: {unknown} steps, {found} found: {after}");
    let text = expect(&verify(), 0);
    assert!(text.contains("has recorded what it found"), "{place}: {text}");
}

/// A database that may have been created is reported, also if it is the only change of the run.
#[test]
fn create_database_without_a_response_may_be_executed() {
    for major in versions() {
        let fixture = new_server(major);
        let relay = SilentRelay::start(&fixture.server, usize::MAX).unwrap();
        let definitions = declare(&fixture, 1);
        expect(&apply(&relay, &fixture, &definitions, 0), 0);
        fixture.query("DROP DATABASE a1");
        let relay = SilentRelay::start_at(&fixture.server, &["CREATE DATABASE \"a1\""]).unwrap();
        let text = expect(&apply(&relay, &fixture, &definitions, 1), 4);
        assert!(text.contains("the database may have been created"), "{major}: {text}");
        let exists = "SELECT count(*) FROM pg_database WHERE datname = 'a1'";
        assert_eq!(fixture.query(exists), "1", "{major}");
        completed(&relay, &fixture, &definitions, 1, &major.to_string());
    }
}

/// A signal ends a run whose commit has no response, long before the limit for statements. The run
/// says that it does not know the result.
#[test]
fn signal_ends_a_commit_without_a_response() {
    let fixture = new_server(versions()[0]);
    let definitions = declare(&fixture, 1);
    let relay = SilentRelay::start_at(&fixture.server, &["CREATE ROLE", "COMMIT"]).unwrap();
    let mut command = over(&relay, &fixture, &definitions, 1);
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while !relay.is_silent() {
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(50));
    }
    Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    let text = expect(&run.wait_with_output().unwrap(), 4);
    assert!(text.contains("stopped at: COMMIT; the changes may have been committed"), "{text}");
    assert_eq!(fixture.query("SELECT count(*) FROM pg_roles WHERE rolname = 'a1_owner'"), "1");
    completed(&relay, &fixture, &definitions, 1, "stopped");
}
