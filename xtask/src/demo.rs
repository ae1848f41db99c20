//! Runs `cargo xtask demo`: the main path on a throwaway server and Secrets Manager.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;

use rdsprov_testkit::{SecretsManager, Server, scrub_environment};

const DEFINITIONS: &str = "testdata/demo/terraform.tfvars";
const APPLICATIONS: [(&str, &str); 3] =
    [("shop", "shop_owner"), ("shop_reports", "shop_reader"), ("keycloak", "keycloak_user")];

struct Demo {
    server: Server,
    secrets: SecretsManager,
    program: PathBuf,
    passwords: Vec<String>,
    /// The output so far.
    output: RefCell<String>,
}

/// Builds the command that the demo runs.
pub fn build() -> Result<(), String> {
    crate::process::run("cargo", &["build", "--locked", "--quiet", "-p", "rdsprov-cli"], &[])
}

/// Runs the demo with the command that was built, and returns its output. Fails if a step has an
/// unexpected result.
pub fn run(version: u32) -> Result<String, String> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let demo = Demo {
        server: Server::start(version).map_err(|error| error.to_string())?,
        secrets: SecretsManager::start().map_err(|error| error.to_string())?,
        program: here.with_file_name("rdsprov"),
        passwords: APPLICATIONS.iter().map(|_| uuid::Uuid::new_v4().to_string()).collect(),
        output: RefCell::default(),
    };
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    demo.show_steps(directory.path())?;
    Ok(demo.output.into_inner())
}

/// Checks that the output contains each line of the demo in the README, in the same order. Digests,
/// times, ports, versions of secrets and of the server are ignored; a line `…` stands for omitted lines.
pub fn compare_with_readme(output: &str) -> Result<(), String> {
    let readme = std::fs::read_to_string("README.md").map_err(|error| error.to_string())?;
    let expected = readme
        .split("$ cargo xtask demo\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .ok_or("README.md does not contain the demo")?;
    let plain = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| {
                let words = line.split_inclusive([' ', ',']).map(|word| {
                    let varies = word.starts_with("sha256:")
                        || word.starts_with("localhost:")
                        || word.starts_with("20") && word.contains('T')
                        || word.trim_end_matches([' ', ',']).parse::<f64>().is_ok()
                        || uuid::Uuid::try_parse(word.trim_end_matches([')', '"'])).is_ok();
                    if varies { "…" } else { word }
                });
                words.collect::<String>().trim_end().to_owned()
            })
            .filter(|line| !line.is_empty())
            .collect()
    };
    let (output, expected) = (plain(output), plain(expected));
    let mut output = output.iter();
    for line in expected.iter().filter(|line| *line != "…") {
        if !output.any(|printed| printed == line) {
            return Err(format!(
                "the demo in README.md is out of date: the output lacks the line `{line}`"
            ));
        }
    }
    Ok(())
}

impl Demo {
    fn print(&self, text: &str) {
        println!("{text}");
        let mut output = self.output.borrow_mut();
        output.push_str(text);
        output.push('\n');
    }

    fn heading(&self, text: &str) {
        self.print(&format!("\n# {text}"));
    }

    fn show_steps(&self, directory: &Path) -> Result<(), String> {
        self.heading(&format!(
            "PostgreSQL {} like RDS, and a Secrets Manager with a secret for each role",
            self.server.major()
        ));
        let put = |id: &str, text: &str| {
            self.print(id);
            self.secrets.put(id, text).map_err(|error| error.to_string())
        };
        put("goldenpath/dev/rds/master", &self.server.admin_secret())?;
        for ((application, user), password) in APPLICATIONS.iter().zip(&self.passwords) {
            let text = format!(r#"{{"username": "{user}", "password": "{password}"}}"#);
            put(&format!("goldenpath/dev/{application}/postgres"), &text)?;
        }

        self.heading("Definitions");
        self.print(
            std::fs::read_to_string(DEFINITIONS).map_err(|error| error.to_string())?.trim_end(),
        );

        self.heading("Plan");
        let output = self.rdsprov(&["plan"])?;
        self.print(output.trim_end());

        self.heading("Apply");
        let audit = directory.join("audit.csv").display().to_string();
        let build = ["--build-id", "16-01-26-01", "--run-id", "1"];
        let apply = [&["apply", "--audit-output", &audit], build.as_slice()].concat();
        self.print(last_line(&self.rdsprov(&apply)?));

        self.heading("Second run: nothing to do");
        let again =
            ["apply", "--audit-output", &audit, "--build-id", "16-01-26-02", "--run-id", "2"];
        self.print(last_line(&self.rdsprov(&again)?));
        self.rdsprov(&["plan", "--detailed-exitcode"])?;

        self.heading("Access, as PostgreSQL enforces it");
        let [owner, reader, other] = [0, 1, 2];
        self.check_allowed(owner, "CREATE TABLE orders (id serial, item text)")?;
        self.check_allowed(owner, "INSERT INTO orders (item) VALUES ('tea')")?;
        self.check_allowed(reader, "SELECT item FROM orders")?;
        self.check_refused(reader, "INSERT INTO orders (item) VALUES ('coffee')")?;
        self.check_refused(other, "SELECT item FROM orders")?;

        self.heading("Records");
        self.print(std::fs::read_to_string(&audit).map_err(|error| error.to_string())?.trim_end());

        self.check_no_passwords("the server log", &self.server.log())?;
        self.check_no_passwords("the output of the demo", &self.output.borrow())?;
        self.heading("The server's log contains every statement and no password");
        Ok(())
    }

    /// Runs the command and returns its output. Fails if the command fails or prints a password.
    fn rdsprov(&self, arguments: &[&str]) -> Result<String, String> {
        let flags: Vec<&str> = arguments
            .iter()
            .map(|word| if word.ends_with(".csv") { "audit.csv" } else { word })
            .collect();
        self.print(&format!("$ rdsprov {} -d {DEFINITIONS}", flags.join(" ")));
        let output = scrub_environment(&mut Command::new(&self.program))
            .args(arguments)
            .args(["-d", DEFINITIONS, "--ca-file"])
            .arg(self.server.ca_file())
            .envs(self.secrets.environment())
            .output()
            .map_err(|error| format!("cannot run rdsprov: {error}"))?;
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let text = text.replace(&self.server.ca_file().display().to_string(), "ca.pem");
        self.check_no_passwords("the output of rdsprov", &text)?;
        if output.status.success() { Ok(text) } else { Err(text) }
    }

    /// Fails if a text contains a password of an application or of the administrator.
    fn check_no_passwords(&self, name: &str, text: &str) -> Result<(), String> {
        let passwords = self.passwords.iter().map(String::as_str);
        let mut all = passwords.chain([self.server.master_password()]);
        if all.any(|password| text.contains(password)) {
            return Err(format!("{name} contains a password"));
        }
        Ok(())
    }

    fn sql(&self, number: usize, sql: &str) -> Result<String, String> {
        let (_, user) = APPLICATIONS[number];
        self.server
            .sql_as(user, &self.passwords[number], "shop", sql)
            .map_err(|error| server_message(&error.to_string()))
    }

    fn check_allowed(&self, number: usize, sql: &str) -> Result<(), String> {
        let answer = self.sql(number, sql)?;
        let answer = if answer.is_empty() { "done" } else { answer.trim() };
        self.print(&format!("{:<13} {sql}\n              -> {answer}", APPLICATIONS[number].1));
        Ok(())
    }

    fn check_refused(&self, number: usize, sql: &str) -> Result<(), String> {
        let (_, user) = APPLICATIONS[number];
        match self.sql(number, sql) {
            Ok(_) => Err(format!("{user} was not refused: {sql}")),
            Err(refusal) => {
                self.print(&format!("{user:<13} {sql}\n              -> {refusal}"));
                Ok(())
            }
        }
    }
}

/// Extracts the server's message from the output of psql.
fn server_message(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    ["ERROR:", "FATAL:"]
        .iter()
        .find_map(|word| line.split_once(word))
        .map_or(line, |(_, message)| message)
        .trim()
        .to_owned()
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default()
}
