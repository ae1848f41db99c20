//! The proxies of the test kit behave as RDS Proxy and PgBouncer do.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use rdsprov_testkit::{PgBouncer, PoolMode, RdsProxy, Server, WarningRelay, versions};

/// A server that lets `guest` in without a password, so that a test can speak its protocol.
fn server() -> Server {
    let server = Server::start_without_tls(versions()[0]).unwrap();
    server.superuser("postgres", "CREATE ROLE guest LOGIN").unwrap();
    let rules = server.data_directory().join("pg_hba.conf");
    let text = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, format!("hostnossl all guest 127.0.0.1/32 trust\n{text}")).unwrap();
    server.superuser("postgres", "SELECT pg_reload_conf()").unwrap();
    server
}

/// A message of the server: its type and its content.
type Message = (char, String);

/// A connection of `guest` without a driver.
struct Client(TcpStream);

impl Client {
    fn connect(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let startup = b"\0\x03\0\0user\0guest\0database\0postgres\0\0";
        let length = u32::try_from(startup.len() + 4).unwrap();
        stream.write_all(&[length.to_be_bytes().as_slice(), startup].concat()).unwrap();
        Self(stream)
    }

    fn query(&mut self, text: &str) -> Vec<Message> {
        let length = u32::try_from(text.len() + 5).unwrap();
        let query = [b"Q", length.to_be_bytes().as_slice(), text.as_bytes(), &[0]].concat();
        self.0.write_all(&query).unwrap();
        self.messages()
    }

    /// Returns the messages until the server is ready, or has closed the connection.
    fn messages(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let mut header = [0; 5];
            if self.0.read_exact(&mut header).is_err() {
                return messages;
            }
            let length = u32::from_be_bytes(header[1..].try_into().unwrap());
            let mut body = vec![0; usize::try_from(length).unwrap() - 4];
            self.0.read_exact(&mut body).unwrap();
            messages.push((char::from(header[0]), String::from_utf8_lossy(&body).into_owned()));
            if header[0] == b'Z' {
                return messages;
            }
        }
    }
}

fn kinds(messages: &[Message]) -> String {
    messages.iter().map(|(kind, _)| *kind).filter(|kind| *kind != 'S').collect()
}

#[test]
fn rds_proxy_sends_no_key_and_knows_only_its_roles() {
    let server = server();
    // Authentication is complete, the key for cancel requests, the server is ready.
    assert_eq!(kinds(&Client::connect(server.port()).messages()), "RKZ");
    let proxy = RdsProxy::start(&server, &["guest"]).unwrap();
    let mut client = Client::connect(proxy.port());
    assert_eq!(kinds(&client.messages()), "RZ");
    assert!(client.query("SELECT 'reached'").iter().any(|(_, text)| text.contains("reached")));

    let other = RdsProxy::start(&server, &["another"]).unwrap();
    let refused = Client::connect(other.port()).messages();
    assert_eq!(kinds(&refused), "E");
    let text = &refused[0].1;
    let says = "This RDS proxy has no credentials for the role guest";
    assert!(text.contains("C28000") && text.contains(says), "{text}");
}

#[test]
fn warning_precedes_the_response() {
    let server = server();
    let relay = WarningRelay::start(&server, "BEGIN").unwrap();
    let mut client = Client::connect(relay.port());
    client.messages();
    let warned = client.query("BEGIN");
    assert_eq!(kinds(&warned), "NCZ");
    assert!(warned[0].1.contains("will not be replicated to the green instance"), "{warned:?}");
    assert_eq!(kinds(&client.query("COMMIT")), "CZ");
}

/// A session of the administrator through PgBouncer. Each statement is sent after the answer to the one
/// before.
struct Psql(std::process::Child);

impl Psql {
    fn start(port: u16, server: &Server) -> Self {
        let psql = Command::new("psql")
            .args(["-XqAt", "-h", "127.0.0.1", "-p", &port.to_string()])
            .args(["-U", "platform_admin", "-d", "platform"])
            .env("PGPASSWORD", server.master_password())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Self(psql.unwrap())
    }

    fn ask(&mut self, statement: &str) -> String {
        writeln!(self.0.stdin.as_mut().unwrap(), "{statement};").unwrap();
        let mut line = Vec::new();
        let mut byte = [0];
        let output = self.0.stdout.as_mut().unwrap();
        while output.read_exact(&mut byte).is_ok() && byte != *b"\n" {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn pgbouncer_shares_sessions_as_its_mode_says() {
    const PID: &str = "SELECT pg_backend_pid()";
    let server = server();
    for (mode, shares) in [(PoolMode::Session, false), (PoolMode::Transaction, true)] {
        let pooler = PgBouncer::start(&server, mode, &["*"], "").unwrap();
        let mut one = Psql::start(pooler.port(), &server);
        let mut two = Psql::start(pooler.port(), &server);
        let pids = (one.ask(PID), two.ask(PID));
        assert_eq!(pids.0 == pids.1, shares, "{mode:?}: {pids:?}");
    }
    let pooler = PgBouncer::start(&server, PoolMode::Statement, &["*"], "").unwrap();
    let output = Command::new("psql")
        .args(["-Xc", "BEGIN", "-h", "127.0.0.1", "-p", &pooler.port().to_string()])
        .args(["-U", "platform_admin", "-d", "platform"])
        .env("PGPASSWORD", server.master_password())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("statement pooling"), "{text}");
    // Without `*`, it knows only the databases in its configuration.
    let known = PgBouncer::start(&server, PoolMode::Session, &["platform"], "").unwrap();
    let mut session = Psql::start(known.port(), &server);
    assert_eq!(session.ask("SELECT current_database()"), "platform");
    let other = Command::new("psql")
        .args(["-Xc", "SELECT 1", "-h", "127.0.0.1", "-p", &known.port().to_string()])
        .args(["-U", "platform_admin", "-d", "postgres"])
        .env("PGPASSWORD", server.master_password())
        .output();
    assert!(!other.unwrap().status.success());
}
