//! Runs the development tasks of this project: `cargo xtask …`.

mod bench;
mod book;
mod cargo_tool;
mod debian;
mod demo;
mod dependencies;
mod deploy;
mod dist;
mod editors;
mod fuzz;
mod image;
mod process;
mod python;
mod screenshots;
mod serve;
mod test;
mod update;

use std::io::{IsTerminal as _, Read as _, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use process::run;
use rdsprov_testkit::Server;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Show plan, apply, access and records on a throwaway server
    Demo {
        /// PostgreSQL version of the server
        #[arg(long, default_value_t = 17)]
        version: u32,
        /// Fail if the demo in README.md differs
        #[arg(long)]
        compare: bool,
    },
    /// Run all checks and tests
    Test {
        /// PostgreSQL versions of the live tests
        #[arg(long, value_name = "MAJOR,…")]
        pg: Option<String>,
        /// Run the fast part only
        ///
        /// That is formatting, clippy, the tests without a server, and the main
        /// path on one version.
        #[arg(long, conflicts_with = "pg")]
        quick: bool,
    },
    /// Update all lock files, run the tests, and print which versions changed
    Update {
        /// Update the lock files without running the tests
        #[arg(long)]
        no_test: bool,
    },
    /// Test access with randomized definitions and initial states
    FuzzAccess {
        /// Number of minutes to run
        #[arg(long, default_value_t = 10)]
        minutes: u32,
        /// PostgreSQL versions to test
        #[arg(long, value_name = "MAJOR,…")]
        pg: Option<String>,
    },
    /// Test plans with randomized cases in a model of PostgreSQL
    FuzzModel {
        /// Number of cases in the model, without a server
        #[arg(long, default_value_t = 100_000)]
        cases: usize,
        /// Number of cases that the model and real servers execute
        #[arg(long, default_value_t = 2000)]
        server_cases: usize,
        /// Number that selects the cases; other cases with each number
        #[arg(long)]
        base: Option<u64>,
    },
    /// Give arbitrary bytes to the readers of files and to the planner
    Fuzz(fuzz::Options),
    /// Interrupt runs by faults of the connection, the server and the program
    Faults {
        /// What fails; without it, all of these
        #[arg(value_parser = ["cuts", "lost_answers", "server", "program", "other_sessions"])]
        part: Option<String>,
        /// Share of the faults: each one with 1, every tenth with 10
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        share: u32,
        /// PostgreSQL versions to test
        #[arg(long, value_name = "MAJOR,…")]
        pg: Option<String>,
    },
    /// Check the types of the Python module and run its tests
    Python {
        /// Arguments for pytest; with any, the types are not checked
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Compare runs with the least that their work needs
    Bench(bench::Options),
    /// Compare the planning time in Python and in Rust
    BenchPython,
    /// Generate docs/messages.md from the explanations of codes
    Messages,
    /// Build the documents as a website in target/book
    Book,
    /// Render and check the files in deploy
    Deploy,
    /// Check the licences, versions and sources of all dependencies
    Dependencies {
        /// Also check them for known vulnerabilities, with the database of RustSec from GitHub
        #[arg(long)]
        advisories: bool,
    },
    /// Build and try the files of a release in target/dist
    Dist {
        /// Also install the command and the Python module from their sources
        #[arg(long)]
        from_source: bool,
    },
    /// Run a static command with the files of the container image only
    Image {
        /// Path of the command
        command: PathBuf,
    },
    /// Take screenshots of an HTML access report with Chromium
    Screenshots {
        /// Path of the report
        page: PathBuf,
        /// Directory of the screenshots
        #[arg(default_value = "target/screenshots")]
        directory: PathBuf,
    },
    /// Run a throwaway PostgreSQL server
    Pg {
        #[command(subcommand)]
        task: Pg,
    },
}

#[derive(Subcommand)]
enum Pg {
    /// Start a server and print its URL
    ///
    /// The server runs until Enter is pressed or, without a terminal, until the process is killed.
    Start {
        /// PostgreSQL version of the server
        #[arg(long, default_value_t = 17)]
        version: u32,
        /// Write the administrator's secret and the certificate into a directory
        ///
        /// Its file `environment` sets the variables for rdsprov and psql in a shell.
        #[arg(long, value_name = "DIRECTORY", conflicts_with = "json")]
        out: Option<PathBuf>,
        /// Accept requests as JSON lines on stdin until it is closed
        #[arg(long)]
        json: bool,
        /// Start a Secrets Manager as well
        #[arg(long, requires = "json")]
        secrets: bool,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Demo { version, compare } => demo(version, compare),
        Task::Test { quick: true, .. } => test::quick(),
        Task::Test { pg, .. } => test::all(pg.as_deref()),
        Task::Update { no_test } => update::run(!no_test),
        Task::FuzzAccess { minutes, pg } => fuzz_access(minutes, pg.as_deref()),
        Task::FuzzModel { cases, server_cases, base } => fuzz_model(cases, server_cases, base),
        Task::Fuzz(options) => fuzz::fuzz(&options),
        Task::Faults { part, share, pg } => faults(part.as_deref(), share, pg.as_deref()),
        Task::Python { arguments } => {
            debian::install_missing(&[15]).and_then(|()| python::test(None, &arguments))
        }
        Task::Bench(options) => bench::run(&options),
        Task::BenchPython => python::bench(),
        Task::Messages => messages(),
        Task::Book => book::build(),
        Task::Deploy => deploy::check(),
        Task::Dependencies { advisories } => dependencies::check(advisories),
        Task::Dist { from_source } => dist::run_all(from_source),
        Task::Image { command } => image::check(&command),
        Task::Screenshots { page, directory } => screenshots::take(&page, &directory),
        Task::Pg { task: Pg::Start { version, json: true, secrets, .. } } => {
            serve::serve(version, secrets)
        }
        Task::Pg { task: Pg::Start { version, out, .. } } => start(version, out.as_deref()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn demo(version: u32, compare: bool) -> Result<(), String> {
    debian::install_missing(&[version])?;
    demo::build()?;
    let output = demo::run(version)?;
    if compare { demo::compare_with_readme(&output) } else { Ok(()) }
}

/// Writes docs/messages.md; the test that compares it with the code also writes it.
fn messages() -> Result<(), String> {
    let test = ["test", "--locked", "--workspace", "--test", "messages"];
    run("cargo", &test, &[("RDSPROV_UPDATE_DOCS", "1")])
}

fn fuzz_access(minutes: u32, versions: Option<&str>) -> Result<(), String> {
    debian::install_missing(&[15])?;
    let minutes = minutes.to_string();
    let mut environment = vec![("RDSPROV_FUZZ_MINUTES", minutes.as_str())];
    environment.extend(versions.map(|versions| ("RDSPROV_TEST_PG", versions)));
    let test = ["test", "--locked", "--workspace", "--test", "fuzz_access"];
    run("cargo", &[test.as_slice(), &["--", "--nocapture"]].concat(), &environment)
}

/// The model is compiled without the features of the core, and optimised.
fn fuzz_model(cases: usize, server_cases: usize, base: Option<u64>) -> Result<(), String> {
    debian::install_missing(&[15])?;
    let (cases, server_cases) = (cases.to_string(), server_cases.to_string());
    let base = base.map(|base| base.to_string());
    let base = || base.as_deref().map(|base| ("RDSPROV_FUZZ_BASE", base));
    let mut environment = vec![("RDSPROV_MODEL_CASES", cases.as_str())];
    environment.extend(base());
    let offline = ["test", "--locked", "--release", "-p", "rdsprov-core", "--test", "model"];
    run("cargo", &[offline.as_slice(), &["--", "--nocapture"]].concat(), &environment)?;
    let mut environment = vec![
        ("RDSPROV_MODEL_SERVER_CASES", server_cases.as_str()),
        ("RDSPROV_TEST_PG", "14,15,16,17,18"),
    ];
    environment.extend(base());
    let live = ["test", "--locked", "--workspace", "--test", "model"];
    run("cargo", &[live.as_slice(), &["--", "--nocapture", "server::"]].concat(), &environment)
}

fn faults(part: Option<&str>, share: u32, versions: Option<&str>) -> Result<(), String> {
    debian::install_missing(&[15])?;
    let share = share.to_string();
    let mut environment = vec![("RDSPROV_FAULTS", share.as_str())];
    environment.extend(versions.map(|versions| ("RDSPROV_TEST_PG", versions)));
    let part = part.map(|part| format!("{part}::"));
    let mut test = vec!["test", "--locked", "--workspace", "--test", "faults", "--", "--nocapture"];
    test.extend(part.as_deref());
    run("cargo", &test, &environment)
}

fn start(version: u32, out: Option<&Path>) -> Result<(), String> {
    debian::install_missing(&[version])?;
    let server = Server::start(version).map_err(|error| error.to_string())?;
    if let Some(directory) = out {
        server.write_client_files(directory).map_err(|error| error.to_string())?;
        println!("PostgreSQL {version} is running. Its files are in {}.", directory.display());
    } else {
        println!(
            "postgresql://platform_admin:{}@{}:{}/platform?sslmode=verify-full&sslrootcert={}",
            server.master_password(),
            server.host(),
            server.port(),
            server.ca_file().display()
        );
    }
    if stdin().is_terminal() {
        println!("Press Enter to stop the server.");
        let _ = stdin().read(&mut [0]);
        return Ok(());
    }
    // The server and its directory are removed however this process ends.
    println!("Run `kill {}` to stop the server.", std::process::id());
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use rdsprov_testkit::documents::{documents, invocations, shell_blocks};

    use super::Arguments;

    /// A task in a document that does not exist would be met by each contributor.
    #[test]
    fn tasks_in_documents_are_valid() {
        let mut count = 0;
        for document in documents() {
            for command in shell_blocks(&document.text).iter().flat_map(|block| &block.commands) {
                for task in invocations(command, "xtask") {
                    count += 1;
                    let error = Arguments::try_parse_from(task).err().map(|one| one.to_string());
                    assert_eq!(error, None, "{}: {command}", document.name);
                }
            }
        }
        assert!(count > 10, "only {count} commands were found");
    }
}
