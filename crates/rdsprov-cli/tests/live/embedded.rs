//! A program that embeds the core, logs everything and panics with secrets in its variables prints
//! no password. The program is this test binary, started once more as a child process.

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use rdsprov_core::audit::Record;
use rdsprov_core::config::CaFile;
use rdsprov_core::plan::{Plan, Step};
use rdsprov_core::secret_id::SecretId;
use rdsprov_core::secrets::{Secret, SecretError, SecretProvider, SourceError};
use rdsprov_core::session::{self, Cancellation, Frontend, Secrets, Setup};
use rdsprov_core::step_result::StepResult;
use rdsprov_testkit::{HttpProxy, Reply, versions};
use serde_json::json;

use crate::fixture::{CANARY, Fixture, assert_no_password, assert_no_secret, expect, password};

/// The example of the documentation, compiled into this test program.
#[path = "../../../../examples/rust/embed.rs"]
mod example;

/// The variables that turn this binary into the embedding program and control it.
const PANICS_AT: &str = "RDSPROV_TEST_PANICS_AT";
const DEFINITIONS: &str = "RDSPROV_TEST_DEFINITIONS";
const CA_FILE: &str = "RDSPROV_TEST_CA_FILE";
const SECRETS: &str = "RDSPROV_TEST_SECRETS";
const HOST: &str = "RDSPROV_TEST_HOST";
const PORT: &str = "RDSPROV_TEST_PORT";

/// Panics at a chosen callback, with all the data of that callback in the message.
struct PanickingFrontend {
    at: String,
    /// The directory of the secrets, and the secret that was returned last.
    directory: PathBuf,
    given: Mutex<Option<Secret>>,
}

impl PanickingFrontend {
    fn panic_at(&self, place: &str, with: &dyn std::fmt::Debug) {
        assert_ne!(self.at, place, "panicking with {with:?} {with:#?}");
    }
}

impl SecretProvider for PanickingFrontend {
    fn secret(&self, id: &SecretId) -> Result<Result<Secret, SecretError>, SourceError> {
        let mut given = self.given.lock().unwrap();
        if let Some(before) = &*given {
            self.panic_at("secret", before);
        }
        let text = std::fs::read_to_string(self.directory.join(format!("{id}.json"))).unwrap();
        let secret = Secret::parse(id, &text);
        *given = secret.clone().ok();
        Ok(secret)
    }
}

impl Frontend for PanickingFrontend {
    fn on_plan(&self, plan: &Plan) {
        self.panic_at("planned", plan);
    }

    fn on_records(&self, records: &[Record]) {
        self.panic_at("recorded", &records);
    }

    fn on_step(&self, step: &Step, result: &StepResult) {
        self.panic_at("ended", &(step, result));
    }

    async fn confirm(&self, plan: &Plan) -> bool {
        self.panic_at("agrees", plan);
        true
    }
}

/// Prints everything that the libraries log. tokio-postgres logs through the `log` crate.
struct StderrLogger;

impl log::Log for StderrLogger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{} {}", record.target(), record.args());
    }

    fn flush(&self) {}
}

/// Runs the embedding program if this process is one. Returns whether it was.
fn ran_as_embedding() -> bool {
    let variable = |name| std::env::var(name).ok();
    let (Some(at), Some(definitions), Some(secrets)) =
        (variable(PANICS_AT), variable(DEFINITIONS), variable(SECRETS))
    else {
        return false;
    };
    log::set_logger(&StderrLogger).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    tracing_subscriber::fmt().with_env_filter("debug").with_writer(std::io::stderr).init();
    let frontend = Arc::new(PanickingFrontend {
        directory: PathBuf::from(secrets.trim_start_matches("file:")),
        given: Mutex::new(None),
        at,
    });
    let secrets = match frontend.at.as_str() {
        "secret" => Secrets::Own(frontend.clone()),
        _ => secrets.parse().unwrap(),
    };
    let ca_file = variable(CA_FILE).map(|path| CaFile::Path(path.into()));
    let mut options = session::ApplyOptions::default();
    options.run.server.secrets = secrets;
    options.run.server.overrides.host = variable(HOST);
    options.run.server.overrides.connect_timeout = "5s".parse().ok();
    options.run.server.overrides.port = variable(PORT).map(|port| port.parse().unwrap());
    options.run.server.tls.ca_file = ca_file;
    options.run.audit_output = Some("audit.csv".into());
    options.run.audit_ledger = Some("ledger.jsonl".into());
    let config = session::config(None).unwrap();
    let setup = Setup::builder().config(config).environment("dev").files([definitions]);
    let interruption = Cancellation::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(session::apply(setup, &options, &*frontend, &interruption));
    eprintln!("{outcome:?} {outcome:#?}");
    let first = outcome.result.as_ref().err().map(|error| -> &dyn Error { error });
    for cause in std::iter::successors(first, |cause| (*cause).source()) {
        eprintln!("because: {cause}\n{cause:?}\n{cause:#?}");
    }
    true
}

/// Runs the embedding program in a test of this name.
fn run_embedding(fixture: &Fixture, test: &str, at: &str, more: &[(&str, String)]) -> Output {
    let directory = format!("file:{}", fixture.path().display());
    let teams = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/teams/standalone.tfvars");
    Command::new(std::env::current_exe().unwrap())
        .args([&format!("embedded::{test}"), "--exact", "--nocapture", "--test-threads", "1"])
        .current_dir(fixture.path())
        .env("RUST_BACKTRACE", "full")
        .env(PANICS_AT, at)
        .env(DEFINITIONS, teams)
        .env(CA_FILE, fixture.server.ca_file())
        .env(SECRETS, directory)
        .envs(more.iter().map(|(name, value)| (*name, value.as_str())))
        .output()
        .unwrap()
}

fn fixture(major: u32) -> Fixture {
    let fixture = Fixture::new(major);
    fixture.app("dev", "keycloak", "keycloak_user");
    fixture.app("dev", "backstage", "backstage_user");
    fixture
}

/// Asserts that neither the records nor the server's log contain a secret.
fn assert_no_secret_kept(fixture: &Fixture) {
    for file in ["audit.csv", "ledger.jsonl"] {
        assert_no_secret(&std::fs::read_to_string(fixture.path().join(file)).unwrap());
    }
    assert_no_password(&fixture.server.log());
}

/// The panic message and the full backtrace contain no password, wherever the program panics.
#[test]
fn panics_print_no_password() {
    if ran_as_embedding() {
        return;
    }
    for major in versions() {
        let fixture = fixture(major);
        for (at, install) in [
            ("secret", "password: <password>"),
            ("planned", "goldenpath/dev/keycloak/postgres"),
            ("agrees", "goldenpath/dev/keycloak/postgres"),
            ("recorded", "action: \"intent\""),
            ("ended", "goldenpath/dev/backstage/postgres"),
        ] {
            let printed =
                expect(&run_embedding(&fixture, "panics_print_no_password", at, &[]), 101);
            assert!(
                printed.contains("panicked at") && printed.contains("stack backtrace:"),
                "{printed}"
            );
            assert!(printed.contains(install), "{at}: {printed}");
            let ledger = std::fs::read_to_string(fixture.path().join("ledger.jsonl")).unwrap();
            let last = ledger.lines().last().unwrap();
            assert!(last.contains("the run was interrupted"), "{at}: {last}");
        }
        assert_no_secret_kept(&fixture);
        let test = "panics_print_no_password";
        let printed = expect(&run_embedding(&fixture, test, "no place", &[]), 0);
        assert!(
            printed.contains("tokio_postgres::simple_query executing simple query"),
            "{printed}"
        );
        assert_no_secret_kept(&fixture);
    }
}

/// Every error with its causes, in `Display` and `Debug`, and the resulting outcome.
#[test]
fn errors_print_no_password() {
    if ran_as_embedding() {
        return;
    }
    let fixture = fixture(versions()[0]);
    let run = |case: &str, more: &[(&str, String)], says: &str| {
        let printed =
            expect(&run_embedding(&fixture, "errors_print_no_password", "no place", more), 0);
        assert!(printed.contains("because: ") && printed.contains(says), "{case}: {printed}");
    };
    let wrong = [
        (format!("{{\"password\": \"{CANARY}"), "is not JSON"),
        (CANARY.to_owned(), "is not JSON"),
        (format!("\"{CANARY}\""), "is not a JSON object"),
        (format!("[\"{CANARY}\"]"), "is not a JSON object"),
        (format!("{{\"passwort\": \"{CANARY}\"}}"), "has no key `password`"),
        (format!("{{\"password\": [\"{CANARY}\"]}}"), "is not a string"),
        (format!("{{\"password\": \"{CANARY}\\n\"}}"), "a line break"),
        (format!("{{\"password\": \"changeme{CANARY}\"}}"), "a placeholder"),
        (format!("{{\"password\": \"x\", \"port\": \"{CANARY}\"}}"), "`port` of secret"),
        (format!("{{\"password\": \"x\", \"engine\": \"{CANARY}\"}}"), "other than PostgreSQL"),
        (
            format!("{{\"password\": \"{CANARY}\", \"password\": \"x\"}}"),
            "the key `password` twice",
        ),
    ];
    let master = "goldenpath/dev/rds/master";
    let application = "goldenpath/dev/keycloak/postgres";
    for (id, before) in [
        (master, fixture.server.admin_secret()),
        (application, format!("{{\"password\": \"{CANARY}keycloak-5b1e\"}}")),
    ] {
        for (text, says) in &wrong {
            fixture.secret(id, text);
            run(id, &[], says);
        }
        let file = fixture.path().join(format!("{id}.json"));
        std::fs::write(&file, [CANARY.as_bytes(), &[0xff]].concat()).unwrap();
        run(id, &[], "is binary");
        fixture.secret(id, &before);
    }

    let other =
        fixture.server.admin_secret().replace(fixture.server.master_password(), "Canary-other");
    fixture.secret(master, &other);
    run("a wrong password", &[], "password authentication failed");
    fixture.secret(master, &fixture.server.admin_secret());
    run("an unreachable server", &[(PORT, "9".to_owned())], "onnection refused");
    run("no such certificate", &[(HOST, "127.0.0.2".to_owned())], "127.0.0.2");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().port().to_string();
    run("no answer", &[(PORT, silent)], "no response within 5 s");
    fixture.query("ALTER ROLE platform_admin NOLOGIN");
    run("a login that is refused", &[], "is not permitted to log in");
    fixture.query("ALTER ROLE platform_admin LOGIN");
    let mut other = fixture.server.superuser_session("postgres").unwrap();
    other.ask("BEGIN; CREATE ROLE keycloak_user").unwrap();
    run("a statement that fails", &[], "; the statement was: ");
    other.ask("ROLLBACK").unwrap();
    assert_no_secret_kept(&fixture);
}

/// The same for AWS responses, whatever their messages contain.
#[test]
fn aws_messages_are_not_printed() {
    if ran_as_embedding() {
        return;
    }
    let fixture = Fixture::with_secrets_manager(versions()[0]);
    fixture.app("dev", "keycloak", "keycloak_user");
    fixture.app("dev", "backstage", "backstage_user");
    let manager = fixture.secrets_manager.as_ref().unwrap();
    let error = |code| Reply::Error(code, format!("of {CANARY}"));
    let odd = json!({"SecretValues": CANARY, "SecretString": {"password": CANARY}});
    for (reply, says) in [
        (error("AccessDeniedException"), "access is denied"),
        (error("ResourceNotFoundException"), "does not exist"),
        (error("DecryptionFailure"), "cannot be decrypted"),
        (error("InternalServiceError"), "InternalServiceError"),
        (error("UnrecognizedClientException"), "AWS rejected the credentials"),
        (Reply::Value(odd), "because: "),
        (Reply::Disconnect, "cannot be reached"),
    ] {
        let proxy = HttpProxy::start(manager, move |_| Some(reply.clone())).unwrap();
        let mut more = proxy.environment();
        more.push((SECRETS, "aws".to_owned()));
        let test = "aws_messages_are_not_printed";
        let printed = expect(&run_embedding(&fixture, test, "no place", &more), 0);
        assert!(printed.contains(says), "{says}: {printed}");
    }
    assert_no_secret_kept(&fixture);
}

/// `examples/rust/embed.rs` plans, is stopped by the gate, and then applies the approved plan.
#[test]
fn example_program() {
    const IS_EXAMPLE: &str = "RDSPROV_TEST_IS_EXAMPLE";
    if std::env::var_os(IS_EXAMPLE).is_some() {
        if let Err(error) = example::main() {
            panic!("{}: {error}", error.code());
        }
        return;
    }
    for major in versions() {
        let fixture = Fixture::new(major);
        let definitions =
            "[application_databases.shop]\ndatabase_name = \"shop\"\nusername = \"shop_owner\"\n";
        std::fs::write(fixture.path().join("shop.toml"), definitions).unwrap();
        let admin: serde_json::Value =
            serde_json::from_str(&fixture.server.admin_secret()).unwrap();
        let secrets = json!({
            "goldenpath/prod/rds/master": admin,
            "goldenpath/prod/shop/postgres": {"password": password("shop")},
        });
        let run = |approval: &str| {
            Command::new(std::env::current_exe().unwrap())
                .args(["embedded::example_program", "--exact", "--nocapture"])
                .current_dir(fixture.path())
                .env(IS_EXAMPLE, "1")
                .env("SHOP_SECRETS", secrets.to_string())
                .env("SHOP_APPROVAL", approval)
                .env("PGSSLROOTCERT", fixture.server.ca_file())
                .output()
                .unwrap()
        };
        let as_owner =
            || fixture.server.sql_as("shop_owner", &password("shop"), "shop", "SELECT 1");
        let refused = expect(&run(""), 101);
        assert!(refused.contains("approval-missing"), "{refused}");
        assert!(as_owner().is_err());
        let applied = expect(&run("true"), 0);
        for words in ["create_role", "Success", "Converged"] {
            assert!(applied.contains(words), "{words}: {applied}");
        }
        as_owner().unwrap();
        assert!(expect(&run("true"), 0).contains("NothingToDo"));
    }
}
