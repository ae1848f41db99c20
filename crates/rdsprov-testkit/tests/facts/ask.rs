//! How tests ask a server: what must succeed, what must be refused, and with which words.

use std::thread;
use std::time::Duration;

use rdsprov_testkit::{Answer, Message, Server, Session, Severity, versions};

/// The password of every role that logs in.
pub const PASSWORD: &str = "facts-7c1e";

/// Runs a test on each version, on all at once: most of a test is waiting.
pub fn on_each_version(test: impl Fn(&'static Server) + Sync) {
    thread::scope(|scope| {
        for major in versions() {
            let test = &test;
            // The name is in the message of a test that fails.
            thread::Builder::new()
                .name(format!("on PostgreSQL {major}"))
                .spawn_scoped(scope, move || test(Server::shared(major).unwrap()))
                .unwrap();
        }
    });
}

pub trait Ask {
    /// Runs statements that succeed without a warning, and gives the rows.
    fn done(&mut self, statements: &str) -> String;

    /// Runs statements of which one is refused, with this SQLSTATE and these words.
    fn refused(&mut self, statements: &str, sqlstate: &str, words: &str);

    /// Runs a statement that the server says is done, with a notice or a warning.
    fn warned(&mut self, statement: &str, sqlstate: &str, words: &str);

    /// The answer to what was sent must be a refusal, too.
    fn answers_refusal(&mut self, sqlstate: &str, words: &str);

    /// The answer to what was sent must be that it is done.
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

/// A session as the administrator in its own database.
pub fn master(server: &Server) -> Session {
    server.master_session("platform").unwrap()
}

/// A session as the bootstrap superuser in the same database.
pub fn superuser(server: &Server) -> Session {
    server.superuser_session("platform").unwrap()
}

/// A session as a role with the password of all.
pub fn login(server: &Server, role: &str, database: &str) -> Session {
    server.session(role, PASSWORD, database).unwrap()
}

/// A login must be refused with these words; psql tells no SQLSTATE.
pub fn no_login(server: &Server, role: &str, password: &str, database: &str, words: &str) {
    match server.session(role, password, database) {
        Ok(_) => panic!("{role} can enter {database}"),
        Err(error) => assert!(error.to_string().contains(words), "{error}"),
    }
}

/// Waits until a query answers `t`.
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

/// Sends a statement that must wait for a lock which another session holds, and waits until it does.
pub fn send_and_wait_for_lock(server: &Server, session: &mut Session, statement: &str) {
    let process = session.done("SELECT pg_backend_pid()");
    session.send(statement).unwrap();
    until(
        server,
        &format!("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = {process}"),
    );
}
