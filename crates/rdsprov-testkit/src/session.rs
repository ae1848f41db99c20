//! Runs statements in a psql session and returns all rows and messages of each.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use crate::{Error, io_error};

/// The line that ends each answer. No server output equals it.
const END: &str = "--end of the answer--";

/// A session that stays open, in its own `psql` process. Dropping it ends the session.
///
/// ```no_run
/// # fn main() -> Result<(), rdsprov_testkit::Error> {
/// let server = rdsprov_testkit::Server::start(17)?;
/// let mut session = server.master_session("platform")?;
/// let answer = session.ask("SELECT * FROM pg_authid")?;
/// assert_eq!(answer.messages[0].sqlstate, "42501");
/// # Ok(())
/// # }
/// ```
pub struct Session {
    psql: Child,
    statements: ChildStdin,
    rows: BufReader<ChildStdout>,
    messages: BufReader<ChildStderr>,
}

/// The server's answer to one or more statements.
#[derive(Debug, Default)]
pub struct Answer {
    /// The rows, one per line, with columns separated by `|`.
    pub rows: String,
    /// The notices, warnings and errors in the order received.
    pub messages: Vec<Message>,
}

/// A notice, warning or error of the server.
#[derive(Debug)]
pub struct Message {
    /// The severity of the message.
    pub severity: Severity,
    /// The five-character SQLSTATE code.
    pub sqlstate: String,
    /// The message text with its detail and hint lines.
    pub text: String,
}

/// The severity of a server message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement was executed successfully.
    Notice,
    /// The statement succeeded, perhaps not as intended.
    Warning,
    /// The statement failed with this error.
    Error,
}

impl Session {
    /// Starts a `psql` whose connection options are already set.
    pub(crate) fn open(psql: &mut Command) -> Result<Self, Error> {
        let mut psql = psql
            // A statement that blocks fails after a minute instead of hanging the test.
            .env("PGOPTIONS", "-c statement_timeout=60s")
            .args(["-v", "VERBOSITY=verbose", "-v", "SHOW_CONTEXT=never"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io_error("cannot run psql"))?;
        let (Some(statements), Some(rows), Some(messages)) =
            (psql.stdin.take(), psql.stdout.take(), psql.stderr.take())
        else {
            unreachable!("all three streams are piped");
        };
        let (rows, messages) = (BufReader::new(rows), BufReader::new(messages));
        let mut session = Self { psql, statements, rows, messages };
        // The first answer proves that the server accepted the login.
        session.ask("SELECT")?;
        Ok(session)
    }

    /// Sends statements and waits for the answer. Statements after a failed one still run.
    ///
    /// # Errors
    /// Fails if the session has ended. Errors of the server are in the answer.
    pub fn ask(&mut self, statements: &str) -> Result<Answer, Error> {
        self.send(statements)?;
        self.answer()
    }

    /// Sends statements without waiting for the answer, for statements that block.
    ///
    /// # Errors
    /// Fails if the session has ended.
    pub fn send(&mut self, statements: &str) -> Result<(), Error> {
        let statements = statements.trim_end().trim_end_matches(';');
        let sent = writeln!(self.statements, "{statements};\n\\echo {END}\n\\warn {END}");
        // After a rejected login, the messages of psql explain more than a broken pipe.
        if sent.is_err() { Err(self.ended()) } else { Ok(()) }
    }

    /// Waits for the answer to statements sent earlier.
    ///
    /// # Errors
    /// Fails if the session has ended.
    pub fn answer(&mut self) -> Result<Answer, Error> {
        let Some(rows) = read_until_end(&mut self.rows)? else { return Err(self.ended()) };
        let Some(stderr) = read_until_end(&mut self.messages)? else { return Err(self.ended()) };
        let mut messages: Vec<Message> = Vec::new();
        for line in stderr.lines() {
            if let Some(message) = Message::parse(line) {
                messages.push(message);
            } else if let Some(message) = messages.last_mut()
                && !line.starts_with("LOCATION:")
            {
                message.text = format!("{}\n{line}", message.text);
            }
        }
        Ok(Answer { rows, messages })
    }

    fn ended(&mut self) -> Error {
        let mut output = String::new();
        let _ = self.messages.read_to_string(&mut output);
        Error::Program { program: "psql".to_owned(), output }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}

impl Message {
    /// Parses a line such as `ERROR:  42501: permission denied`. Other lines continue a message.
    fn parse(line: &str) -> Option<Self> {
        let (severity, rest) = line.split_once(":  ")?;
        let severity = match severity {
            "NOTICE" => Severity::Notice,
            "WARNING" => Severity::Warning,
            "ERROR" | "FATAL" | "PANIC" => Severity::Error,
            _ => return None,
        };
        let (sqlstate, text) = rest.split_once(": ")?;
        Some(Self { severity, sqlstate: sqlstate.to_owned(), text: text.to_owned() })
    }
}

/// Reads lines up to the end mark. Returns `None` if the stream ends first.
fn read_until_end(stream: &mut impl BufRead) -> Result<Option<String>, Error> {
    let mut text = String::new();
    loop {
        let start = text.len();
        if stream.read_line(&mut text).map_err(io_error("cannot read the output of psql"))? == 0 {
            return Ok(None);
        }
        if text[start..].trim_end() == END {
            text.truncate(start);
            return Ok(Some(text.trim_end().to_owned()));
        }
    }
}
