//! Assertions on the answers of a server: success, error or warning, with SQLSTATE and text.

use std::thread;
use std::time::Duration;

use rdsprov_testkit::{Answer, Message, Server, Session, Severity, all_versions};

/// The password of every role that logs in.
pub const PASSWORD: &str = "facts-7c1e";

/// Runs a test on all versions in parallel, because a test mostly waits.
pub fn on_each_version(test: impl Fn(&'static Server) + Sync) {
    thread::scope(|scope| {
        for major in all_versions() {
            let test = &test;
            // The thread name appears in the message of a failed test.
            thread::Builder::new()
                .name(format!("on PostgreSQL {major}"))
                .spawn_scoped(scope, move || test(Server::shared(major).unwrap()))
                .unwrap();
        }
    });
}

pub trait Assertions {
    /// Runs statements that must succeed without a warning. Returns the rows.
    fn expect_ok(&mut self, statements: &str) -> String;

    /// Runs statements of which exactly one must fail with this SQLSTATE and text.
    fn expect_error(&mut self, statements: &str, sqlstate: &str, text: &str);

    /// Runs a statement that must succeed with this notice or warning.
    fn expect_warning(&mut self, statement: &str, sqlstate: &str, text: &str);

    /// Asserts that a statement sent earlier fails with this SQLSTATE and text.
    fn expect_error_answer(&mut self, sqlstate: &str, text: &str);

    /// Asserts that a statement sent earlier succeeds. Returns the rows.
    fn expect_ok_answer(&mut self) -> String;
}

impl Assertions for Session {
    fn expect_ok(&mut self, statements: &str) -> String {
        assert_ok(statements, self.ask(statements).unwrap())
    }

    fn expect_error(&mut self, statements: &str, sqlstate: &str, text: &str) {
        assert_error(statements, &self.ask(statements).unwrap(), sqlstate, text);
    }

    fn expect_warning(&mut self, statement: &str, sqlstate: &str, text: &str) {
        let answer = self.ask(statement).unwrap();
        assert!(
            answer.messages.iter().all(|message| message.severity != Severity::Error),
            "{answer:?}"
        );
        let message = answer.messages.iter().find(|message| is(message, sqlstate, text));
        assert!(message.is_some(), "{statement}: {answer:?}");
    }

    fn expect_error_answer(&mut self, sqlstate: &str, text: &str) {
        assert_error("the statement sent earlier", &self.answer().unwrap(), sqlstate, text);
    }

    fn expect_ok_answer(&mut self) -> String {
        assert_ok("the statement sent earlier", self.answer().unwrap())
    }
}

fn assert_ok(statements: &str, answer: Answer) -> String {
    let quiet = answer.messages.iter().all(|message| message.severity == Severity::Notice);
    assert!(quiet, "{statements}: {answer:?}");
    answer.rows
}

fn assert_error(statements: &str, answer: &Answer, sqlstate: &str, text: &str) {
    let errors = answer.messages.iter().filter(|message| message.severity == Severity::Error);
    let errors: Vec<_> = errors.collect();
    let matches = errors.len() == 1 && is(errors[0], sqlstate, text);
    assert!(matches, "{statements}: {answer:?}");
}

fn is(message: &Message, sqlstate: &str, text: &str) -> bool {
    message.sqlstate == sqlstate && message.text.contains(text)
}

/// Opens a session as the administrator in its own database.
pub fn master(server: &Server) -> Session {
    server.master_session("platform").unwrap()
}

/// Opens a session as the bootstrap superuser in the same database.
pub fn superuser(server: &Server) -> Session {
    server.superuser_session("platform").unwrap()
}

/// Opens a session as a role that has [`PASSWORD`].
pub fn login(server: &Server, role: &str, database: &str) -> Session {
    server.session(role, PASSWORD, database).unwrap()
}

/// Asserts that the server rejects a login with this text. psql does not print the SQLSTATE.
pub fn expect_login_error(server: &Server, role: &str, password: &str, database: &str, text: &str) {
    match server.session(role, password, database) {
        Ok(_) => panic!("{role} can log in to {database}"),
        Err(error) => assert!(error.to_string().contains(text), "{error}"),
    }
}

/// Waits until a query returns `t`.
pub fn wait_until(server: &Server, query: &str) {
    let mut watcher = superuser(server);
    for _ in 0..1000 {
        if watcher.expect_ok(query) == "t" {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("never true: {query}");
}

/// Sends a statement and waits until it blocks on a lock of another session.
pub fn send_and_wait_for_lock(server: &Server, session: &mut Session, statement: &str) {
    let process = session.expect_ok("SELECT pg_backend_pid()");
    session.send(statement).unwrap();
    wait_until(
        server,
        &format!("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = {process}"),
    );
}
