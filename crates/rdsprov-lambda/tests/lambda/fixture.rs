//! The fixture: a server, its secrets, and the function.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rdsprov_testkit::{LambdaRuntime, SecretsManager, Server, scrub_environment};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A part of every test password, which no output may contain.
pub const CANARY: &str = "Canary-";

/// The time of an invocation that is not to end early.
const TIME: Duration = Duration::from_secs(300);

/// Returns the password of an application.
pub fn password(application: &str) -> String {
    format!("{CANARY}{application}-5b1e")
}

/// A running function. Dropping it stops the process.
pub struct Function {
    process: Child,
    runtime: LambdaRuntime,
    log: PathBuf,
    read: usize,
}

pub struct Fixture {
    pub server: Server,
    pub manager: SecretsManager,
    /// The package of the function.
    pub package: TempDir,
}

impl Fixture {
    pub fn new(major: u32) -> Self {
        let server = Server::start(major).unwrap();
        let manager = SecretsManager::start().unwrap();
        for environment in ["dev", "prod"] {
            let id = format!("goldenpath/{environment}/rds/master");
            manager.put(&id, &server.admin_secret()).unwrap();
            for (application, role) in
                [("shop", "shop_owner"), ("reports", "reports_reader"), ("wiki", "wiki_owner")]
            {
                let id = format!("goldenpath/{environment}/{application}/postgres");
                let secret = json!({"username": role, "password": password(application)});
                manager.put(&id, &secret.to_string()).unwrap();
            }
        }
        let package = TempDir::new().unwrap();
        std::fs::copy(server.ca_file(), package.path().join("ca.pem")).unwrap();
        let config = "[tls]\nca_file = \"ca.pem\"\n";
        std::fs::write(package.path().join("rdsprov.toml"), config).unwrap();
        Self { server, manager, package }
    }

    /// Starts the function.
    pub fn function(&self) -> Function {
        self.function_with(&self.manager.environment())
    }

    /// Starts the function with other environment variables.
    pub fn function_with(&self, environment: &[(&'static str, String)]) -> Function {
        self.start(environment, None)
    }

    /// Starts the function. Its stdout is the log, or a file.
    pub fn start(&self, environment: &[(&'static str, String)], stdout: Option<File>) -> Function {
        let runtime = LambdaRuntime::start().unwrap();
        let log = tempfile::NamedTempFile::new().unwrap().into_temp_path().keep().unwrap();
        let output = || Stdio::from(File::options().append(true).create(true).open(&log).unwrap());
        let program = std::env::var_os("RDSPROV_FUNCTION")
            .unwrap_or_else(|| env!("CARGO_BIN_EXE_bootstrap").into());
        let process = scrub_environment(&mut Command::new(program))
            .current_dir(self.package.path())
            .envs(environment.iter().cloned())
            .envs(runtime.environment())
            .stdin(Stdio::null())
            .stdout(stdout.map_or_else(output, Stdio::from))
            .stderr(output())
            .spawn()
            .unwrap();
        Function { process, runtime, log, read: 0 }
    }

    pub fn query(&self, sql: &str) -> String {
        self.server.superuser("postgres", sql).unwrap().trim().to_owned()
    }

    /// Returns whether an application logs in with its password.
    pub fn logs_in(&self, role: &str, password: &str, database: &str) -> bool {
        self.server.sql_as(role, password, database, "SELECT 1").is_ok()
    }
}

impl Function {
    /// Invokes the function, and returns its response or its function error.
    pub fn invoke(&mut self, event: &Value) -> Result<Value, Value> {
        self.invoke_within(event, TIME)
    }

    pub fn invoke_within(&mut self, event: &Value, time: Duration) -> Result<Value, Value> {
        self.invoke_text(&event.to_string(), time)
    }

    pub fn invoke_text(&mut self, event: &str, time: Duration) -> Result<Value, Value> {
        let result = self.runtime.invoke(event, time).unwrap();
        let (Ok(value) | Err(value)) = &result;
        assert_no_password(&value.to_string());
        assert_no_password(&std::fs::read_to_string(&self.log).unwrap());
        result
    }

    /// Returns the text of the last result.
    pub fn text(&self) -> &str {
        self.runtime.text()
    }

    /// Returns what the function has logged since the last call.
    pub fn new_log(&mut self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap();
        let new = log[self.read..].to_owned();
        self.read = log.len();
        new
    }

    /// Returns the largest amount of memory that the process has used.
    pub fn peak_memory(&self) -> String {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    }

    /// Returns the records that the function has logged since the last call.
    pub fn logged_records(&mut self) -> Vec<Value> {
        let log = self.new_log();
        let lines = log.lines().filter(|line| line.starts_with(r#"{"record":"#));
        lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["record"].take()).collect()
    }

    /// Returns the last metrics that the function has logged.
    pub fn metrics(&mut self) -> Value {
        let log = self.new_log();
        let line = log.lines().rfind(|line| line.contains("\"CloudWatchMetrics\""));
        serde_json::from_str(line.unwrap_or_else(|| panic!("no metrics: {log}"))).unwrap()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.log);
    }
}

#[track_caller]
fn assert_no_password(text: &str) {
    assert!(!text.contains(CANARY), "a password was printed: {text}");
    assert!(!text.contains("SCRAM-SHA-256$"), "a verifier was printed: {text}");
}

/// Returns definitions as the value of `definitions`.
pub fn definitions(applications: &[&str]) -> Value {
    let all = json!({
        "shop": {"database_name": "shop", "username": "shop_owner"},
        "reports": {"database_name": "shop", "username": "reports_reader", "access_level": "reader"},
        "wiki": {"database_name": "wiki", "username": "wiki_owner"},
    });
    let chosen = applications.iter().map(|name| ((*name).to_owned(), all[name].clone()));
    json!({"application_databases": Value::Object(chosen.collect())})
}
