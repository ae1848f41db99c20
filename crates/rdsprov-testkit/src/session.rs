//! A conversation with a server: statement by statement, each with all that the server said to it.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use crate::{Error, io_error};

/// Ends each answer; nothing that a server says looks like it.
const END: &str = "--end of the answer--";

/// A session that stays open, in a `psql` of its own; dropping it ends it.
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

/// What a server said to one or more statements.
#[derive(Debug, Default)]
pub struct Answer {
    /// The rows, a line each, their columns divided by `|`.
    pub rows: String,
    /// The notices, warnings and errors, in the order in which they came.
    pub messages: Vec<Message>,
}

/// A notice, a warning or an error.
#[derive(Debug)]
pub struct Message {
    /// How grave it is.
    pub severity: Severity,
    /// Its SQLSTATE.
    pub sqlstate: String,
    /// What it says, and the lines that explain it.
    pub text: String,
}

/// How grave a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement was done.
    Notice,
    /// The statement was done, perhaps not as meant.
    Warning,
    /// The statement was refused.
    Error,
}

impl Session {
    /// Starts a `psql` that is told where and as whom to connect.
    pub(crate) fn open(psql: &mut Command) -> Result<Self, Error> {
        let mut psql = psql
            // A statement that waits for ever is a failure, not a test that hangs.
            .env("PGOPTIONS", "-c statement_timeout=60s")
            .args(["-v", "VERBOSITY=verbose", "-v", "SHOW_CONTEXT=never"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io_error("psql cannot be run"))?;
        let (Some(statements), Some(rows), Some(messages)) =
            (psql.stdin.take(), psql.stdout.take(), psql.stderr.take())
        else {
            unreachable!("all three were asked for");
        };
        let (rows, messages) = (BufReader::new(rows), BufReader::new(messages));
        let mut session = Self { psql, statements, rows, messages };
        // The first answer shows that the login was allowed.
        session.ask("SELECT")?;
        Ok(session)
    }

    /// Sends statements and waits for the answer. After an error the statements that follow run too.
    ///
    /// # Errors
    /// Where the session has ended; refusals are in the answer.
    pub fn ask(&mut self, statements: &str) -> Result<Answer, Error> {
        self.send(statements)?;
        self.answer()
    }

    /// Sends statements whose answer is asked for later, since they are to wait for something.
    ///
    /// # Errors
    /// Where the session has ended.
    pub fn send(&mut self, statements: &str) -> Result<(), Error> {
        let statements = statements.trim_end().trim_end_matches(';');
        let sent = writeln!(self.statements, "{statements};\n\\echo {END}\n\\warn {END}");
        // Of a login that was refused, the messages tell more than a broken pipe.
        if sent.is_err() { Err(self.ended()) } else { Ok(()) }
    }

    /// Waits for the answer to what was sent.
    ///
    /// # Errors
    /// Where the session has ended.
    pub fn answer(&mut self) -> Result<Answer, Error> {
        let Some(rows) = until_end(&mut self.rows)? else { return Err(self.ended()) };
        let Some(said) = until_end(&mut self.messages)? else { return Err(self.ended()) };
        let mut messages: Vec<Message> = Vec::new();
        for line in said.lines() {
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
    /// A line such as `ERROR:  42501: permission denied`; none where it belongs to the line before.
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

/// The lines up to the mark; none where the stream ended before it.
fn until_end(stream: &mut impl BufRead) -> Result<Option<String>, Error> {
    let mut text = String::new();
    loop {
        let start = text.len();
        if stream.read_line(&mut text).map_err(io_error("psql's answer"))? == 0 {
            return Ok(None);
        }
        if text[start..].trim_end() == END {
            text.truncate(start);
            return Ok(Some(text.trim_end().to_owned()));
        }
    }
}
