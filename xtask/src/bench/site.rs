//! A server with definitions and secrets, and the commands that are measured on it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rdsprov_testkit::{DelayRelay, Server, scrub_environment};
use tempfile::TempDir;

use super::measure::{self, Run};

/// The password of each application.
pub const PASSWORD: &str = "Bench-5b1e-9c4d-77aa";

/// The server writes no statements to its log, and collects statistics only where the bench does.
const SETTINGS: &str = "log_statement = none\nlog_min_error_statement = error\nautovacuum = off\n\
    max_locks_per_transaction = 4096\n";

/// One application of the definitions.
pub struct Entry {
    pub name: String,
    pub database: String,
    pub user: String,
    pub level: &'static str,
}

pub struct Site {
    pub server: Server,
    directory: TempDir,
    program: PathBuf,
}

impl Site {
    pub fn start(version: u32, program: &Path) -> Result<Self, String> {
        let text = |error: rdsprov_testkit::Error| error.to_string();
        let server = Server::start_with_settings(version, SETTINGS).map_err(text)?;
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let site = Self { server, directory, program: program.to_owned() };
        site.secret("rds/master", &site.server.admin_secret())?;
        Ok(site)
    }

    fn secret(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.directory.path().join(format!("secrets/goldenpath/dev/{name}.json"));
        let parent = path.parent().unwrap_or(&path);
        fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Writes definitions, and a secret for each of them, and returns the path of the file.
    pub fn define(&self, file: &str, entries: &[Entry]) -> Result<PathBuf, String> {
        let mut text = "environment = \"dev\"\napplication_databases = {\n".to_owned();
        for Entry { name, database, user, level } in entries {
            let _ = writeln!(
                text,
                "  {name} = {{ database_name = \"{database}\", username = \"{user}\", access_level = \"{level}\" }}"
            );
            let secret = format!(r#"{{"username": "{user}", "password": "{PASSWORD}"}}"#);
            self.secret(&format!("{name}/postgres"), &secret)?;
        }
        self.write(file, &(text + "}\n"))
    }

    /// Writes a file, and returns its path.
    pub fn write(&self, file: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.directory.path().join(file);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// Returns the URL of a database for the superuser, over the Unix socket.
    pub fn superuser_url(&self, database: &str) -> String {
        let data = self.server.ca_file();
        let directory = data.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        let (directory, port) = (directory.display(), self.server.port());
        format!("postgres://rdsadmin@localhost:{port}/{database}?host={directory}")
    }

    /// Runs the command with definitions, at the port of the server or of a relay.
    pub fn rdsprov(&self, words: &[&str], file: &Path, port: u16) -> Result<Run, String> {
        let mut command = Command::new(&self.program);
        scrub_environment(&mut command).current_dir(self.directory.path());
        command.args(words).arg("--definitions").arg(file);
        if words != ["validate"] {
            let secrets = self.directory.path().join("secrets");
            command.arg("--secrets").arg(format!("file:{}", secrets.display()));
            command.arg("--ca-file").arg(self.server.ca_file());
            command.arg("--connect-to").arg(format!("127.0.0.1:{port}"));
        }
        measure::run(&mut command)
    }

    /// Runs a script of `psql` as the administrator, over TLS.
    pub fn psql(&self, script: &str, port: u16) -> Result<Run, String> {
        let path = self.directory.path().join("floor.sql");
        fs::write(&path, script).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut command = Command::new("psql");
        command.envs(self.server.psql_environment()).env("PGPORT", port.to_string());
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&path);
        measure::run(&mut command)
    }

    pub fn superuser(&self, database: &str, sql: &str) -> Result<String, String> {
        self.server.superuser(database, sql).map_err(|error| error.to_string())
    }

    /// Starts a relay to a server that is further away.
    pub fn relay(&self, milliseconds: u64) -> Result<DelayRelay, String> {
        let round_trip = std::time::Duration::from_millis(milliseconds);
        DelayRelay::start(&self.server, round_trip).map_err(|error| error.to_string())
    }
}

/// Returns the command of `psql` that logs in to a database as the role of an application.
pub fn log_in(database: &str, user: &str) -> String {
    format!("\\c \"dbname={database} user={user} password={PASSWORD}\"\n")
}

/// Returns the statement that creates the role of an application.
pub fn create_role(user: &str) -> String {
    format!("CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}';\n")
}
