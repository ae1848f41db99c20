//! The fixture of live tests: a server, its secrets, and the command.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rdsprov_testkit::{SecretsManager, Server, scrub_environment};
use tempfile::TempDir;

/// A part of every test password, which no output may contain.
pub const CANARY: &str = "Canary-";

/// The delegated administrator and the id of its secret.
pub const DELEGATE: &str = "rdsprov_admin";
pub const DELEGATE_SECRET: &str = "goldenpath/dev/rds/rdsprov_admin";

/// The end of a question.
const QUESTION: &str = "Enter \"yes\" to confirm: ";

/// Returns the password of an application.
pub fn password(application: &str) -> String {
    format!("{CANARY}{application}-5b1e")
}

/// Returns the command without the environment of the user who runs the test.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rdsprov"));
    scrub_environment(&mut command);
    command
}

pub struct Fixture {
    pub server: Server,
    pub directory: TempDir,
    /// Secrets Manager, or `None` if secrets are files in the directory.
    pub secrets_manager: Option<SecretsManager>,
}

impl Fixture {
    /// Starts a server with secrets in files.
    pub fn new(major: u32) -> Self {
        Self::with(major, None)
    }

    /// Starts a server with secrets in Secrets Manager.
    pub fn with_secrets_manager(major: u32) -> Self {
        Self::with(major, Some(SecretsManager::start().unwrap()))
    }

    fn with(major: u32, secrets_manager: Option<SecretsManager>) -> Self {
        Self::on(Server::start(major).unwrap(), secrets_manager)
    }

    /// Starts a server with the secrets of a shop and its reader in two environments, and writes
    /// their definitions.
    pub fn shop(major: u32, definitions: &str) -> (Self, String) {
        let fixture = Self::new(major);
        for environment in ["dev", "prod"] {
            fixture.app(environment, "shop", "shop_owner");
            fixture.app(environment, "shop_reports", "shop_reader");
        }
        let definitions = fixture.definitions(definitions);
        (fixture, definitions)
    }

    /// Uses a running server.
    pub fn on(server: Server, secrets_manager: Option<SecretsManager>) -> Self {
        let fixture = Self { server, directory: TempDir::new().unwrap(), secrets_manager };
        for environment in ["dev", "prod"] {
            let id = format!("goldenpath/{environment}/rds/master");
            fixture.secret(&id, &fixture.server.admin_secret());
        }
        fixture
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn secret(&self, id: &str, text: &str) {
        if let Some(manager) = &self.secrets_manager {
            manager.put(id, text).unwrap();
            return;
        }
        let path = self.path().join(format!("{id}.json"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Stores the secret of an application.
    pub fn app(&self, environment: &str, application: &str, username: &str) {
        self.secret(
            &format!("goldenpath/{environment}/{application}/postgres"),
            &format!(r#"{{"username": "{username}", "password": "{}"}}"#, password(application)),
        );
    }

    /// Writes a definitions file into the directory of the secrets.
    pub fn definitions(&self, text: &str) -> String {
        let path = self.path().join("own.tfvars");
        // Replaced as a whole: another thread of the test can have a run that reads it.
        let new = self.path().join(format!("own.tfvars.{:?}", std::thread::current().id()));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &path).unwrap();
        path.display().to_string()
    }

    /// Returns the command with the directory as its working directory.
    pub fn program(&self) -> Command {
        let mut command = program();
        command.current_dir(self.path());
        command
    }

    /// Returns the command with definitions only: a file of `testdata` or an absolute path.
    pub fn without_connection(&self, definitions: &str, arguments: &[&str]) -> Command {
        let testdata = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata"));
        let mut command = self.program();
        command.args(arguments).arg("-d").arg(testdata.join(definitions));
        command
    }

    /// Returns `rdsprov delegate`, run by the master user.
    pub fn delegate(&self, environment: &str) -> Command {
        self.delegate_to(DELEGATE, environment)
    }

    /// Returns `rdsprov delegate` for another role.
    pub fn delegate_to(&self, role: &str, environment: &str) -> Command {
        let mut command = self.program();
        command
            .args(["delegate", "--env", environment, "--to", role])
            .args(["--to-secret", DELEGATE_SECRET]);
        self.with_server(&mut command);
        command
    }

    /// Returns `rdsprov delegate` with these arguments instead of a secret, run by the master user.
    pub fn delegate_of(&self, arguments: &[&str]) -> Command {
        let mut command = self.program();
        command.args(["delegate", "--env", "dev", "--to", DELEGATE]).args(arguments);
        self.with_server(&mut command);
        command
    }

    /// Returns the command with its secrets and CA file.
    pub fn command(&self, definitions: &str, arguments: &[&str]) -> Command {
        let mut command = self.without_connection(definitions, arguments);
        if arguments.first() != Some(&"validate") {
            self.with_server(&mut command);
        }
        command
    }

    /// Returns `rdsprov export` in the environment `dev`.
    pub fn export(&self, arguments: &[&str]) -> Command {
        self.without_definitions(&[&["export", "--env", "dev"], arguments].concat())
    }

    /// Returns a command that reads no definitions.
    pub fn without_definitions(&self, arguments: &[&str]) -> Command {
        let mut command = self.program();
        command.args(arguments);
        self.with_server(&mut command);
        command
    }

    fn with_server(&self, command: &mut Command) {
        command.arg("--ca-file").arg(self.server.ca_file());
        match &self.secrets_manager {
            Some(manager) => command.envs(manager.environment()),
            None => command.arg("--secrets").arg(format!("file:{}", self.path().display())),
        };
    }

    /// Plans with the Python module and the arguments of `rdsprov plan`.
    pub fn python(&self, python: &OsStr, definitions: &str, arguments: &[&str]) -> Output {
        let program =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../rdsprov-py/tests/plan_like_command.py");
        scrub_environment(&mut Command::new(python))
            .arg(program)
            .args(arguments)
            .args(["-d", definitions, "--ca-file"])
            .arg(self.server.ca_file())
            .arg("--secrets")
            .arg(format!("file:{}", self.path().display()))
            .output()
            .unwrap()
    }

    pub fn run(&self, definitions: &str, arguments: &[&str]) -> Output {
        self.command(definitions, arguments).output().unwrap()
    }

    /// Runs a line of a shell, in which `rdsprov` is the tested program.
    pub fn shell(&self, line: &str) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_rdsprov")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        scrub_environment(&mut shell);
        shell.current_dir(self.path()).env("PATH", path).args(["-c", line]);
        shell.output().unwrap()
    }

    /// Runs SQL as the bootstrap superuser.
    pub fn query(&self, sql: &str) -> String {
        self.query_in("postgres", sql)
    }

    pub fn query_in(&self, database: &str, sql: &str) -> String {
        self.server.superuser(database, sql).unwrap().trim().to_owned()
    }

    /// Returns what a refused run must not change: roles, memberships, databases,
    /// settings and comments, and the objects, owners, ACLs and default privileges in
    /// each database that allows connections.
    pub fn catalog_state(&self) -> String {
        let databases =
            self.query("SELECT datname FROM pg_database WHERE datallowconn ORDER BY datname");
        let mut script = format!("\\pset format unaligned\n\\pset tuples_only on\n{SHARED}");
        for database in databases.lines() {
            let value = database.replace('\\', r"\\").replace('\'', r"\'").replace('"', "\"\"");
            script += &format!("\\connect -reuse-previous=on \"dbname='{value}'\"\n{INSIDE}");
        }
        self.server.script_as_superuser(&script).unwrap()
    }

    /// Stops background activity that writes WAL.
    pub fn disable_background_writes(&self) {
        self.query("ALTER SYSTEM SET autovacuum = off");
        self.query("SELECT pg_reload_conf()");
    }

    /// Runs something that writes no WAL, and returns its result. The server may write in the background
    /// (pruning, the list of running transactions), but not during each attempt.
    pub fn without_wal<T>(&self, mut run: impl FnMut() -> T) -> T {
        let position = || self.query("SELECT pg_current_wal_insert_lsn()");
        for _ in 0..4 {
            let before = position();
            let result = run();
            if position() == before {
                return result;
            }
        }
        panic!("each run has written WAL");
    }

    /// Creates a role in an open transaction while the run is about to create it: `CREATE ROLE` of
    /// the run waits and fails.
    pub fn with_concurrent_create_role<T>(&self, role: &str, run: impl FnOnce() -> T) -> T {
        let waits = "SELECT count(*) FROM pg_stat_activity
            WHERE usename = 'platform_admin' AND wait_event_type = 'Lock'";
        let mut other = self.server.superuser_session("postgres").unwrap();
        other.ask(&format!("BEGIN; CREATE ROLE {role}")).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut tries = 0;
                while self.query(waits) == "0" {
                    tries += 1;
                    assert!(tries < 1000, "the run does not wait for the role");
                    std::thread::sleep(Duration::from_millis(10));
                }
                other.ask("COMMIT").unwrap();
            });
            run()
        })
    }

    /// Returns the memberships that the administrator granted to itself.
    pub fn admin_grants(&self) -> String {
        self.query(
            "SELECT count(*) FROM pg_auth_members WHERE pg_get_userbyid(grantor) = 'platform_admin'
               AND pg_get_userbyid(member) = 'platform_admin'",
        )
    }
}

/// Runs a command on a terminal of its own, with input for its question. Both streams are in its stdout.
pub fn on_terminal(command: &Command, input: &str) -> Output {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let line: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        terminal.current_dir(directory);
    }
    let mut run = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut from) = (run.stdin.take().unwrap(), run.stdout.take().unwrap());
    let (mut stdout, mut part) = (Vec::new(), [0; 4096]);
    let mut is_asked = false;
    loop {
        match from.read(&mut part).unwrap() {
            0 => break,
            length => stdout.extend(&part[..length]),
        }
        // Before the question, the terminal would send a signal to the shell, too.
        if !is_asked && String::from_utf8_lossy(&stdout).contains(QUESTION) {
            is_asked = true;
            stdin.write_all(input.as_bytes()).unwrap();
        }
    }
    Output { status: run.wait().unwrap(), stdout, stderr: Vec::new() }
}

/// Asserts the exit code and that the output contains no password or
/// verifier. Returns both streams.
#[track_caller]
pub fn expect(output: &Output, code: i32) -> String {
    let all = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code), "{all}");
    assert_no_secret(&all);
    all
}

/// Returns all encodings of a text: plain, URL-encoded, and base64 in both alphabets at each
/// of the three alignments.
pub fn encodings(text: &str) -> Vec<String> {
    let url_encoded = text.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    });
    let mut encodings = vec![text.to_owned(), url_encoded.collect()];
    for before in 0..3 {
        let bytes = [vec![0; before], text.as_bytes().to_vec()].concat();
        // Characters that also encode bits of adjacent bytes are left out.
        let of_its_own = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
        let encoded = STANDARD_NO_PAD.encode(&bytes)[of_its_own].to_owned();
        encodings.push(encoded.replace('+', "-").replace('/', "_"));
        encodings.push(encoded);
    }
    encodings
}

static CANARIES: LazyLock<Vec<String>> = LazyLock::new(|| encodings(CANARY));

/// Asserts that a text contains no password in any encoding.
#[track_caller]
pub fn assert_no_password(text: &str) {
    for form in &*CANARIES {
        assert!(!text.contains(form), "a password was printed: {text}");
    }
}

/// Asserts that a text for people or files contains no password and no verifier.
#[track_caller]
pub fn assert_no_secret(text: &str) {
    assert_no_password(text);
    assert!(!text.contains("SCRAM-SHA-256$"), "a verifier was printed: {text}");
}

/// The first words of statements that read only.
const READS: [&str; 9] = [
    "SELECT",
    "WITH",
    "SHOW",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SET lock_timeout",
    "SET statement_timeout",
    "SET TRANSACTION",
];

/// Returns the statements of a log that may write: those not known to read only.
pub fn writes(log: &str) -> Vec<String> {
    let mut statements: Vec<String> = Vec::new();
    let mut within = false;
    for line in log.lines() {
        let begins = line.split_once("LOG:  ").and_then(|(_, printed)| {
            printed.strip_prefix("statement: ").or_else(|| {
                printed.strip_prefix("execute ")?.split_once(": ").map(|(_, text)| text)
            })
        });
        if let Some(text) = begins {
            statements.push(text.to_owned());
        } else if let Some(more) = line.strip_prefix('\t').filter(|_| within)
            && let Some(last) = statements.last_mut()
        {
            *last = format!("{last}\n{more}");
        }
        within = begins.is_some() || within && line.starts_with('\t');
    }
    statements.retain(|statement| {
        let mut lines = statement.lines().map(str::trim_start);
        let first = lines.find(|line| !line.is_empty() && !line.starts_with("--"));
        !first.is_some_and(|line| READS.iter().any(|read| line.starts_with(read)))
    });
    statements
}

/// The objects that all databases share, without the server's own counters.
const SHARED: &str = "
    SELECT 'role', r.* FROM pg_authid r ORDER BY oid;
    SELECT 'member', m.* FROM pg_auth_members m ORDER BY m::text;
    SELECT 'database', oid, datname, datdba, datacl, datallowconn, datconnlimit, datistemplate
      FROM pg_database ORDER BY oid;
    SELECT 'setting', s.* FROM pg_db_role_setting s ORDER BY s::text;
    SELECT 'comment', d.* FROM pg_shdescription d ORDER BY d::text;
";

/// The contents of a database, without the server's own counters.
const INSIDE: &str = "
    SELECT current_database();
    SELECT 'schema', n.oid, n.nspname, n.nspowner, n.nspacl FROM pg_namespace n
      WHERE nspname !~ '^pg_(toast_)?temp_' ORDER BY oid;
    SELECT 'relation', oid, relname, relnamespace, relowner, relacl FROM pg_class
      WHERE relkind <> 'i' AND (oid >= 16384 OR relacl IS NOT NULL) ORDER BY oid;
    SELECT 'column', attrelid, attname, attacl FROM pg_attribute WHERE attacl IS NOT NULL ORDER BY 2, 3;
    SELECT 'default', d.* FROM pg_default_acl d ORDER BY oid;
    SELECT 'function', oid, proname, proowner, proacl FROM pg_proc
      WHERE oid >= 16384 OR proacl IS NOT NULL ORDER BY oid;
    SELECT 'type', oid, typname, typowner, typacl FROM pg_type
      WHERE oid >= 16384 OR typacl IS NOT NULL ORDER BY oid;
    SELECT 'extension', e.* FROM pg_extension e ORDER BY oid;
    SELECT 'comment', d.* FROM pg_description d WHERE objoid >= 16384 ORDER BY d::text;
";
