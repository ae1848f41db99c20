//! Executes the commands of a document on a server, as its reader does.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rdsprov_testkit::documents::{program, reason_not_executed, shell_blocks};
use rdsprov_testkit::{scrub_environment, versions};

use crate::fixture::{Fixture, expect};

/// The directory of the programs that stand in for others, in the directory of the commands.
const STAND_INS: &str = "stand-ins";

/// The definitions that most pages begin with.
pub const SHOP: &str = r#"application_databases = {
  shop = { database_name = "shop", username = "shop_owner" }
}"#;

/// Returns a version for pages that show plans. Before PostgreSQL 15, plans also change the schemas
/// `public`, and a delegate gets them, which is a hazard.
pub fn newest_version() -> u32 {
    versions().pop().unwrap().max(15)
}

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
    text: Cell<&'static str>,
    /// The environment in the variable `RDSPROV_ENV`, or an empty text.
    environment: Cell<&'static str>,
    commands: RefCell<VecDeque<String>>,
    /// The command lines that set variables of the shell.
    exports: RefCell<String>,
    /// The digest of the last plan.
    pub digest: RefCell<String>,
}

impl Walkthrough {
    pub fn new(fixture: Fixture, text: &'static str, environment: &'static str) -> Self {
        Self {
            fixture,
            text: Cell::new(text),
            environment: Cell::new(environment),
            commands: RefCell::new(commands(text)),
            exports: RefCell::default(),
            digest: RefCell::default(),
        }
    }

    /// Goes on with another text, on the same server and without the variables of the shell.
    pub fn turn_to(&self, text: &'static str, environment: &'static str) {
        self.assert_all_are_executed();
        self.text.set(text);
        self.environment.set(environment);
        self.commands.replace(commands(text));
        self.exports.take();
    }

    /// Writes a program that the commands find instead of another one, which is not available. It
    /// appends its arguments to the file `calls`, and does what the script says.
    pub fn stand_in(&self, name: &str, script: &str) {
        let file = format!("{STAND_INS}/{name}");
        self.write(&file, &format!("#!/bin/sh\necho \"{name} $*\" >> calls\n{script}\n"));
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.fixture.path().join(file), executable).unwrap();
    }

    /// Returns what the stand-ins were called with since the last time.
    pub fn calls(&self) -> String {
        let path = self.fixture.path().join("calls");
        let calls = std::fs::read_to_string(&path).unwrap_or_default();
        let _ = std::fs::remove_file(path);
        calls
    }

    fn is_executed(&self, command: &str) -> bool {
        reason_not_executed(command).is_none()
            || self.fixture.path().join(STAND_INS).join(program(command)).exists()
    }

    fn assert_all_are_executed(&self) {
        let left = self.commands.borrow();
        let left: Vec<_> = left.iter().filter(|command| self.is_executed(command)).collect();
        assert!(left.is_empty(), "commands that were not executed: {left:?}");
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
        let block = self.text.get().split(&fence).nth(number + 1).expect("the text has this block");
        self.write(name, block.split("```").next().unwrap());
    }

    /// Returns a shell with a command line, in the environment of the reader.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        let directory = Path::new(env!("CARGO_BIN_EXE_rdsprov")).parent().unwrap();
        let exports = self.exports.borrow();
        let stand_ins = self.fixture.path().join(STAND_INS);
        let path = format!("{}:{}", stand_ins.display(), directory.display());
        let line = format!("PATH={path}:$PATH\n{exports}{line}");
        scrub_environment(&mut command)
            .args(["-c", &line])
            .current_dir(self.fixture.path())
            .envs(self.fixture.server.psql_environment())
            .env("RDSPROV_CA_FILE", self.fixture.server.ca_file());
        if !self.environment.get().is_empty() {
            command.env("RDSPROV_ENV", self.environment.get());
        }
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
        // A failed test shows the steps before.
        println!("$ {line}\n{text}");
        if line.starts_with("export ") || line.starts_with(". ") {
            self.exports.borrow_mut().push_str(&format!("{line}\n"));
        }
        let is_digest =
            |line: &&str| line.starts_with("Plan: ") || line.starts_with("Digest over all plans: ");
        let mut plans = text.lines().filter(is_digest);
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
        assert_shown(&blocks(self.text.get(), "text").collect::<Vec<_>>(), output);
    }

    /// Asserts that the output contains the lines that the text shows after a command.
    pub fn shows_after(&self, command: &str, output: &str) {
        let mut blocks = shell_blocks(self.text.get()).into_iter();
        let block = blocks.find(|block| block.commands.iter().any(|one| one == command));
        assert_shown(&block.expect("the text has this command").output, output);
    }

    /// Returns the next command, with the digest of the last plan.
    pub fn next(&self) -> String {
        let mut commands = self.commands.borrow_mut();
        let line = loop {
            let line = commands.pop_front().expect("the text has no more commands");
            if self.is_executed(&line) {
                break line;
            }
        };
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
            self.assert_all_are_executed();
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

/// Returns the commands of a text, without those in blocks that no test executes.
fn commands(text: &str) -> VecDeque<String> {
    let blocks = shell_blocks(text).into_iter().filter(|block| block.reason.is_none());
    blocks.flat_map(|block| block.commands).collect()
}

/// Asserts that the output contains lines, with `…` for what differs.
fn assert_shown(lines: &[&str], output: &str) {
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
