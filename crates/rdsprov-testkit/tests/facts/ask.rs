//! Assertions on the answers of a server: success, error or warning, with SQLSTATE and text.

use std::thread;
use std::time::Duration;

use rdsprov_testkit::{Answer, Message, Server, Session, Severity, versions};

/// The password of every role that logs in.
pub const PASSWORD: &str = "facts-7c1e";

/// Runs a test on all versions in parallel, because a test mostly waits.
pub fn on_each_version(test: impl Fn(&'static Server) + Sync) {
    thread::scope(|scope| {
        for major in versions() {
            let test = &test;
            // The thread name appears in the message of a failed test.
            thread::Builder::new()
                .name(format!("on PostgreSQL {major}"))
                .spawn_scoped(scope, move || test(Server::shared(major).unwrap()))
                .unwrap();
        }
    });
}

pub trait Ask {
    /// Runs statements that must succeed without a warning. Returns the rows.
    fn done(&mut self, statements: &str) -> String;

    /// Runs statements of which exactly one must fail with this SQLSTATE and text.
    fn refused(&mut self, statements: &str, sqlstate: &str, words: &str);

    /// Runs a statement that must succeed with this notice or warning.
    fn warned(&mut self, statement: &str, sqlstate: &str, words: &str);

    /// Asserts that a statement sent earlier fails with this SQLSTATE and text.
    fn answers_refusal(&mut self, sqlstate: &str, words: &str);

    /// Asserts that a statement sent earlier succeeds. Returns the rows.
    fn answers_done(&mut self) -> String;
}

impl Ask for Session {
    fn done(&mut self, statements: &str) -> String {
        rows_of(statements, self.ask(statements).unwrap())
    }

    fn refused(&mut self, statements: &str, sqlstate: &str, words: &str) {
        assert_refusal(statements, &self.ask(statements).unwrap(), sqlstate, words);
    }

    fn warned(&mut self, statement: &str, sqlstate: &str, words: &str) {
        let answer = self.ask(statement).unwrap();
        assert!(answer.messages.iter().all(|said| said.severity != Severity::Error), "{answer:?}");
        let said = answer.messages.iter().find(|said| is(said, sqlstate, words));
        assert!(said.is_some(), "{statement}: {answer:?}");
    }

    fn answers_refusal(&mut self, sqlstate: &str, words: &str) {
        assert_refusal("what was sent", &self.answer().unwrap(), sqlstate, words);
    }

    fn answers_done(&mut self) -> String {
        rows_of("what was sent", self.answer().unwrap())
    }
}

fn rows_of(statements: &str, answer: Answer) -> String {
    let quiet = answer.messages.iter().all(|said| said.severity == Severity::Notice);
    assert!(quiet, "{statements}: {answer:?}");
    answer.rows
}

fn assert_refusal(statements: &str, answer: &Answer, sqlstate: &str, words: &str) {
    let errors = answer.messages.iter().filter(|said| said.severity == Severity::Error);
    let errors: Vec<_> = errors.collect();
    let refused = errors.len() == 1 && is(errors[0], sqlstate, words);
    assert!(refused, "{statements}: {answer:?}");
}

fn is(message: &Message, sqlstate: &str, words: &str) -> bool {
    message.sqlstate == sqlstate && message.text.contains(words)
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
pub fn no_login(server: &Server, role: &str, password: &str, database: &str, words: &str) {
    match server.session(role, password, database) {
        Ok(_) => panic!("{role} can enter {database}"),
        Err(error) => assert!(error.to_string().contains(words), "{error}"),
    }
}

/// Waits until a query returns `t`.
pub fn until(server: &Server, query: &str) {
    let mut watcher = superuser(server);
    for _ in 0..1000 {
        if watcher.done(query) == "t" {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it never came to: {query}");
}

/// Sends a statement and waits until it blocks on a lock of another session.
pub fn send_and_wait_for_lock(server: &Server, session: &mut Session, statement: &str) {
    let process = session.done("SELECT pg_backend_pid()");
    session.send(statement).unwrap();
    until(
        server,
        &format!("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = {process}"),
    );
}
