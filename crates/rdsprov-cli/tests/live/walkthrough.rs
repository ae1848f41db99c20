//! Executes the commands of a document on a server, as its reader does.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;

use rdsprov_testkit::scrub_environment;

use crate::fixture::{Fixture, expect};

/// The commands that a test does not execute: they need AWS or a build, or change the directory.
const NOT_EXECUTED: [&str; 3] = ["aws ", "cargo ", "cd "];

/// The definitions that most pages begin with.
pub const SHOP: &str = r#"application_databases = {
  shop = { database_name = "shop", username = "shop_owner" }
}"#;

/// Declares another role in the database of the shop.
pub fn with_reports(level: &str) -> String {
    format!(
        r#"application_databases = {{
          shop         = {{ database_name = "shop", username = "shop_owner" }}
          shop_reports = {{ database_name = "shop", username = "shop_reports", access_level = "{level}" }}
        }}"#
    )
}

/// A text with commands, and the server on which they are executed. Each command must be executed.
pub struct Walkthrough {
    pub fixture: Fixture,
    text: &'static str,
    environment: String,
    commands: RefCell<VecDeque<&'static str>>,
    /// The command lines that set variables of the shell.
    exports: RefCell<String>,
    /// The digest of the last plan.
    pub digest: RefCell<String>,
}

impl Walkthrough {
    pub fn new(fixture: Fixture, text: &'static str, environment: &str) -> Self {
        Self {
            fixture,
            text,
            environment: environment.to_owned(),
            commands: RefCell::new(commands(text).collect()),
            exports: RefCell::default(),
            digest: RefCell::default(),
        }
    }

    /// Writes a file into the directory of the commands.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.fixture.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Writes the definitions that the configuration names.
    pub fn declare(&self, definitions: &str) {
        self.write("apps.tfvars", definitions);
    }

    /// Writes a fenced block of the text, which its reader copies into a file.
    pub fn copy(&self, language: &str, number: usize, name: &str) {
        let fence = format!("```{language}\n");
        let block = self.text.split(&fence).nth(number + 1).expect("the text has this block");
        self.write(name, block.split("```").next().unwrap());
    }

    /// Returns a shell with a command line, in the environment of the reader.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        let directory = Path::new(env!("CARGO_BIN_EXE_rdsprov")).parent().unwrap();
        let exports = self.exports.borrow();
        let line = format!("PATH={}:$PATH\n{exports}{line}", directory.display());
        scrub_environment(&mut command)
            .args(["-c", &line])
            .current_dir(self.fixture.path())
            .envs(self.fixture.server.psql_environment())
            .env("RDSPROV_ENV", &self.environment)
            .env("RDSPROV_CA_FILE", self.fixture.server.ca_file());
        match &self.fixture.secrets_manager {
            Some(manager) => command.envs(manager.environment()),
            None => {
                command.env("RDSPROV_SECRETS", format!("file:{}", self.fixture.path().display()))
            }
        };
        command
    }

    /// Runs a command line. What it exports is set for the next ones, too.
    pub fn run(&self, line: &str, code: i32) -> String {
        let text = expect(&self.command(line).output().unwrap(), code);
        if line.starts_with("export ") || line.starts_with(". ") {
            self.exports.borrow_mut().push_str(&format!("{line}\n"));
        }
        let mut plans = text.lines().filter(|line| line.starts_with("Plan: "));
        if let Some((_, digest)) = plans.next_back().and_then(|line| line.rsplit_once(' ')) {
            digest.clone_into(&mut self.digest.borrow_mut());
        }
        text
    }

    /// Applies the definitions, with an approval of any plan.
    pub fn apply(&self, code: i32) -> String {
        self.run("ALLOW_DB_PROVISION=true rdsprov apply", code)
    }

    /// Asserts that the output contains the lines in the blocks `text`, with `…` for what differs.
    pub fn shows(&self, output: &str) {
        let lines: Vec<_> = blocks(self.text, "text").collect();
        assert!(!lines.is_empty(), "the text shows no message");
        for line in lines {
            let mut parts = line.split('…');
            let first = parts.next().unwrap();
            let mut candidates = output.lines().filter_map(|printed| printed.strip_prefix(first));
            let is_shown = candidates.any(|rest| {
                let mut rest = Some(rest);
                for part in parts.clone() {
                    rest = rest.and_then(|rest| Some(rest.split_once(part)?.1));
                }
                rest.is_some()
            });
            assert!(is_shown, "{line:?} is not printed: {output}");
        }
    }

    /// Returns the next command, with the digest of the last plan.
    pub fn next(&self) -> String {
        let line = self.commands.borrow_mut().pop_front().expect("the text has no more commands");
        line.replace("sha256:…", &self.digest.borrow())
    }

    /// Executes the next command.
    pub fn step(&self, code: i32) -> String {
        self.run(&self.next(), code)
    }

    /// Executes the next command with another address.
    pub fn step_at(&self, written: &str, actual: &str, code: i32) -> String {
        let line = self.next();
        assert!(line.contains(written), "{line} does not contain {written}");
        self.run(&line.replace(written, actual), code)
    }
}

impl Drop for Walkthrough {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let left = self.commands.borrow();
            assert!(left.is_empty(), "commands that were not executed: {left:?}");
        }
    }
}

/// Returns the lines of the fenced blocks in a language.
pub fn blocks(text: &'static str, language: &str) -> impl Iterator<Item = &'static str> {
    let fence = format!("```{language}");
    let mut within = false;
    text.lines().filter(move |line| {
        let is_content = within && *line != "```";
        within = *line == fence || is_content;
        is_content
    })
}

/// Returns the commands of a text that a test executes.
pub fn commands(text: &'static str) -> impl Iterator<Item = &'static str> {
    blocks(text, "console")
        .filter_map(|line| line.strip_prefix("$ "))
        .filter(|line| !NOT_EXECUTED.iter().any(|start| line.starts_with(start)))
}
