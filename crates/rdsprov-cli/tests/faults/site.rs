//! A server with its relay, on which one operation is executed with faults again and again.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rdsprov_testkit::{Delivery, MessageRelay, SecretsManager, Server};

use crate::fixture::{Fixture, assert_no_secret, expect};
use crate::ledger::Ledger;
use crate::operation::{DATABASES, Operation};
use crate::state::State;

/// Each run ends by itself long before.
const HANGS: Duration = Duration::from_secs(180);

pub struct Site {
    pub fixture: Fixture,
    pub relay: MessageRelay,
    pub operation: Operation,
    /// The state after a complete run.
    complete: State,
    /// The number of messages of a complete run.
    pub messages: usize,
    ledger: PathBuf,
}

/// The end of a run with a fault.
pub struct Interrupted {
    pub code: Option<i32>,
    pub text: String,
    before: State,
    pub after: State,
}

impl Site {
    /// Starts a server, and executes the operation once.
    pub fn new(major: u32, operation: Operation) -> Self {
        let manager = operation.has_secrets_manager().then(|| SecretsManager::start().unwrap());
        let fixture = Fixture::on(Server::start_without_tls(major).unwrap(), manager);
        Operation::store_secrets(&fixture);
        operation.prepare_first(&fixture);
        operation.prepare(&fixture);
        let relay = MessageRelay::start(&fixture.server).unwrap();
        let ledger = fixture.path().join("ledger.jsonl");
        let run = || expect(&operation.command(&fixture, relay.port()).output().unwrap(), 0);
        run();
        if operation == Operation::OtherOwner {
            // Only the first run creates the new owner.
            operation.prepare(&fixture);
            relay.deliver_all();
            run();
        }
        let (complete, messages) = (State::read(&fixture), relay.messages());
        assert!(messages > 100, "{operation:?}: {messages}");
        Self { fixture, relay, operation, complete, messages, ledger }
    }

    /// Returns the operation over the relay.
    pub fn command(&self) -> Command {
        let mut command = self.operation.command(&self.fixture, self.relay.port());
        command.arg("--audit-ledger").arg(&self.ledger);
        command
    }

    pub fn records(&self) -> Ledger {
        Ledger::read(&self.ledger)
    }

    /// Prepares the server, and executes the operation over the relay, with what `arm` lets the relay do.
    /// `meanwhile` is called with the process, and `healed` after its end. The state afterwards is that
    /// without any session of the run.
    pub fn interrupt(
        &self,
        place: &str,
        arm: impl FnOnce(&MessageRelay),
        meanwhile: impl FnOnce(&mut Child),
        heal: impl FnOnce(),
    ) -> Interrupted {
        let _ = std::fs::remove_file(&self.ledger);
        self.relay.deliver_all();
        self.operation.prepare(&self.fixture);
        let before = State::read(&self.fixture);
        let mut command = self.command();
        arm(&self.relay);
        let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        meanwhile(&mut run);
        let output = wait(run, place);
        heal();
        self.relay.deliver_all();
        let text = [output.stdout, output.stderr].map(|one| String::from_utf8(one).unwrap());
        let text = text.concat();
        assert_no_secret(&text);
        self.wait_for_sessions(place);
        let after = State::read(&self.fixture);
        Interrupted { code: output.status.code(), text, before, after }
    }

    /// Executes the operation, and `act` in this thread when the relay has the message of this number,
    /// before it delivers it. Returns the end of the run, and whether there was such a message.
    pub fn interrupt_at(
        &self,
        place: &str,
        number: usize,
        act: impl FnOnce(&mut Child),
        heal: impl FnOnce(),
    ) -> (Interrupted, bool) {
        let (arrived, arrival) = channel();
        let (done, is_done) = channel::<()>();
        let is_done = Mutex::new(is_done);
        let mut acted = false;
        let run = self.interrupt(
            place,
            |relay| {
                relay.decide(move |message| {
                    if message.number == number {
                        let _ = arrived.send(());
                        let _ = is_done.lock().unwrap().recv();
                    }
                    Delivery::Deliver
                });
            },
            |run| {
                while run.try_wait().unwrap().is_none() {
                    if arrival.recv_timeout(Duration::from_millis(20)).is_ok() {
                        acted = true;
                        act(run);
                        break;
                    }
                }
                drop(done);
            },
            heal,
        );
        (run, acted)
    }

    /// Waits until the server has noticed the end of each connection.
    fn wait_for_sessions(&self, place: &str) {
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE usename ~ '^(platform_admin|rdsprov_admin|shop_|wiki_)'";
        let until = Instant::now() + HANGS;
        while self.fixture.query(busy) != "0" {
            assert!(Instant::now() < until, "{place}: a session remains");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asserts that the server and the records say the same, and that the next run converges.
    pub fn verify(&self, place: &str, run: &Interrupted) {
        let Interrupted { code, text, before, after } = run;
        let dangers = after.dangers(before, &self.complete);
        assert!(dangers.is_empty(), "{place}: {dangers:#?}\n{text}");
        let ledger = self.records();
        let changed = after.changed_since(before);
        let records = || {
            format!(
                "{:#?}",
                ledger
                    .0
                    .iter()
                    .map(|one| format!(
                        "{} {} {} {}",
                        one["event"], one["status"], one["summary"], one["reason"]
                    ))
                    .collect::<Vec<_>>()
            )
        };
        // A run that was killed has recorded what it was about to do.
        let mentioned = if ledger.has_ended() { ledger.mentioned() } else { ledger.announced() };
        let known = |object: &&String| {
            mentioned.contains(*object) || object.as_str() == "role platform_admin"
        };
        let silent: Vec<&String> = changed.iter().filter(|object| !known(object)).collect();
        assert!(silent.is_empty(), "{place}: no record mentions {silent:?}\n{text}\n{}", records());
        if self.operation != Operation::Rotate {
            for (summary, objects) in ledger.committed() {
                assert!(
                    objects.iter().any(|object| changed.contains(object)),
                    "{place}: {summary} is recorded, and {objects:?} are unchanged\n{text}"
                );
            }
        }
        match code {
            // A part may be committed only if the exit code says so.
            Some(1 | 3) => assert!(changed.is_empty(), "{place}: {changed:?} changed\n{text}"),
            Some(0) => self.assert_complete(place, after, text),
            Some(4) | None => {}
            _ => panic!("{place}: {code:?}\n{text}"),
        }
        if self.operation == Operation::Audited {
            self.assert_audited(place, text);
        }
        if self.operation == Operation::Rotate && !self.current_passwords_log_in() {
            let says = code.is_none()
                || text.contains("could not be restored")
                || text.contains("may have been");
            assert!(says, "{place}: a current password does not log in\n{text}");
        }
        if let (Some(4), true) = (code, changed.is_empty()) {
            let says = text.contains("may have been") || self.operation == Operation::Rotate;
            assert!(says, "{place}: nothing changed\n{text}");
        }
        self.converge(place, text);
    }

    /// Asserts that each committed change has its audit row, and each row its change: after the operation, the
    /// roles and databases are those of the rows, and a database with privileges is one with rows.
    fn assert_audited(&self, place: &str, text: &str) {
        let query = |database: &str, sql: &str| self.fixture.query_in(database, sql);
        let rows = |database: &str, column: &str, action: &str| {
            let exists = query(database, "SELECT to_regclass('rdsprov_audit.changes') IS NOT NULL");
            if exists != "t" {
                return String::new();
            }
            let rows = format!(
                "SELECT string_agg(DISTINCT {column}, ' ' ORDER BY {column}) FROM rdsprov_audit.changes
                 WHERE action ~ '^({action})$' AND status = 'success'"
            );
            query(database, &rows)
        };
        let roles = "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname ~ '^(shop|wiki)_'";
        assert_eq!(
            rows("postgres", "username", "create_role"),
            query("postgres", roles),
            "{place}\n{text}"
        );
        // Until its transaction, a new database allows no connections.
        let databases = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database
            WHERE datname IN ('shop', 'wiki') AND datallowconn";
        let databases = query("postgres", databases);
        assert_eq!(rows("postgres", "database", "create_database"), databases, "{place}\n{text}");
        for database in databases.split_whitespace() {
            let has_privileges = query(database, "SELECT count(*) > 0 FROM pg_default_acl") == "t";
            let has_rows = !rows(database, "action", "default_privileges").is_empty();
            assert_eq!(has_rows, has_privileges, "{place}: {database}\n{text}");
        }
    }

    /// Returns whether each rotated role logs in with the current version of its secret.
    fn current_passwords_log_in(&self) -> bool {
        let manager = self.fixture.secrets_manager.as_ref().unwrap();
        [("shop_workers", "shop_editor", "shop"), ("wiki", "wiki_owner", "wiki")].iter().all(
            |(application, role, database)| {
                let id = format!("goldenpath/dev/{application}/postgres");
                let (_, text) = manager.at_stage(&id, "AWSCURRENT").unwrap().unwrap();
                let secret: serde_json::Value = serde_json::from_str(&text).unwrap();
                let password = secret["password"].as_str().unwrap();
                self.fixture.server.sql_as(role, password, database, "SELECT 1").is_ok()
            },
        )
    }

    fn assert_complete(&self, place: &str, state: &State, text: &str) {
        let (now, complete) = (state.without_verifiers(), self.complete.without_verifiers());
        let different = now.changed_since(&complete);
        let show = |state: &State| {
            different
                .iter()
                .map(|one| format!("{one}: {:#?}", state.0.get(one)))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert!(
            different.is_empty(),
            "{place}\n{}\ninstead of\n{}\n{text}",
            show(&now),
            show(&complete)
        );
    }

    /// Executes the operation without a fault. Afterwards, all is as declared, and the ledger says what
    /// became of each change.
    pub fn converge(&self, place: &str, earlier: &str) {
        let output = self.command().output().unwrap();
        let text = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(output.status.code(), Some(0), "{place}\n{earlier}\nthen\n{text}");
        self.assert_complete(place, &State::read(&self.fixture), &text);
        let mut verify = self.fixture.program();
        let verified =
            expect(&verify.args(["audit", "verify"]).arg(&self.ledger).output().unwrap(), 0);
        if self.operation == Operation::Audited {
            let mut report = self.fixture.program();
            report.args(["audit", "report", "--from-tables", "--env", "dev", "--tls", "disable"]);
            report.args([
                "--audit-table",
                "rdsprov_audit.changes",
                "--host",
                "127.0.0.1",
                "--port",
            ]);
            report.arg(self.fixture.server.port().to_string()).arg("--audit-ledger");
            report.arg(&self.ledger).arg("--secrets");
            report.arg(format!("file:{}", self.fixture.path().display()));
            let compared = String::from_utf8(report.output().unwrap().stdout).unwrap();
            assert!(compared.ends_with(": 0 differences\n"), "{place}: {compared}\n{earlier}");
        }
        let is_rotation = self.operation == Operation::Rotate;
        assert!(!is_rotation || self.current_passwords_log_in(), "{place}: {text}");
        let is_open = verified.contains("have no result") || verified.contains("has not learned");
        assert!(!is_open, "{place}: {verified}\n{earlier}");
        let databases = DATABASES.map(|name| format!("'{name}'")).join(", ");
        let entered = format!("SELECT count(*) FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) a
            WHERE datname IN ({databases}) AND a.grantee = 0");
        assert_eq!(self.fixture.query(&entered), "0", "{place}");
    }
}

/// Waits for the end of a run, and ends it if it hangs.
fn wait(mut run: Child, place: &str) -> Output {
    let (mut out, mut err) = (run.stdout.take().unwrap(), run.stderr.take().unwrap());
    std::thread::scope(|scope| {
        let stdout = scope.spawn(move || {
            let mut bytes = Vec::new();
            out.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let stderr = scope.spawn(move || {
            let mut bytes = Vec::new();
            err.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let until = Instant::now() + HANGS;
        let status = loop {
            if let Some(status) = run.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until {
                run.kill().unwrap();
                run.wait().unwrap();
                panic!("{place}: the run hangs");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    })
}
