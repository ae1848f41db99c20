//! `cargo xtask …`: the development tasks of this project.

mod debian;
mod demo;
mod python;
mod serve;
mod test;
mod update;

use std::io::{IsTerminal as _, Read as _, stdin};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};
use rdsprov_testkit::Server;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// The whole path on a throwaway server: plan, apply, who may do what, records
    Demo {
        /// The server's major version
        #[arg(long, default_value_t = 17)]
        version: u32,
        /// Fails where the README shows another picture
        #[arg(long)]
        compare: bool,
    },
    /// Run all checks and tests that decide whether a change lands
    Test {
        /// PostgreSQL versions of the live tests
        #[arg(long, value_name = "MAJOR,…")]
        pg: Option<String>,
        /// Run the fast part only: format, clippy, tests without a server, one live path on one version
        #[arg(long, conflicts_with = "pg")]
        quick: bool,
    },
    /// Renew all lock files, run the tests, and print which versions changed
    Update {
        /// Renew the lock files without running the tests
        #[arg(long)]
        no_test: bool,
    },
    /// Definitions and starting states out of chance, for as long as there is time
    FuzzAccess {
        /// How long
        #[arg(long, default_value_t = 10)]
        minutes: u32,
        /// The PostgreSQL versions
        #[arg(long, value_name = "MAJOR,…")]
        pg: Option<String>,
    },
    /// The Python module: its types, and pytest; with arguments, pytest alone
    Python {
        /// What pytest is told
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// How long planning takes in Python, beside the same in Rust
    Bench,
    /// What is given to others: wheel, sources and command, in target/dist
    Dist,
    /// A throwaway server
    Pg {
        #[command(subcommand)]
        task: Pg,
    },
}

#[derive(Subcommand)]
enum Pg {
    /// Runs one until Enter is pressed; where nobody is there to press it, until it is told to stop
    Start {
        /// Its major version
        #[arg(long, default_value_t = 17)]
        version: u32,
        /// Talks JSON with another program, until that ends
        #[arg(long)]
        json: bool,
        /// A Secrets Manager beside it, for such a program
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
        Task::Python { arguments } => {
            debian::install_missing(&[15]).and_then(|()| python::test(None, &arguments))
        }
        Task::Bench => python::bench(),
        Task::Dist => python::dist(),
        Task::Pg { task: Pg::Start { version, json: true, secrets } } => {
            serve::serve(version, secrets)
        }
        Task::Pg { task: Pg::Start { version, .. } } => start(version),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    eprintln!("$ {program} {}", arguments.join(" "));
    let mut command = Command::new(program);
    // What cargo told this program of itself would make its child build some crates anew.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    let status = command
        .args(arguments)
        .envs(environment.iter().copied())
        .status()
        .map_err(|error| format!("{program} cannot be run: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} {} failed", arguments.join(" "))) }
}

fn demo(version: u32, compare: bool) -> Result<(), String> {
    debian::install_missing(&[version])?;
    let shown = demo::run(version)?;
    if compare { demo::compare_with_readme(&shown) } else { Ok(()) }
}

fn fuzz_access(minutes: u32, versions: Option<&str>) -> Result<(), String> {
    debian::install_missing(&[15])?;
    let minutes = minutes.to_string();
    let mut environment = vec![("RDSPROV_FUZZ_MINUTES", minutes.as_str())];
    environment.extend(versions.map(|versions| ("RDSPROV_TEST_PG", versions)));
    let test = ["test", "--locked", "--workspace", "--test", "fuzz_access"];
    run("cargo", &[test.as_slice(), &["--", "--nocapture"]].concat(), &environment)
}

fn start(version: u32) -> Result<(), String> {
    debian::install_missing(&[version])?;
    let server = Server::start(version).map_err(|error| error.to_string())?;
    println!(
        "postgresql://platform_admin:{}@{}:{}/platform?sslmode=verify-full&sslrootcert={}",
        server.master_password(),
        server.host(),
        server.port(),
        server.ca_file().display()
    );
    if stdin().is_terminal() {
        println!("press Enter to stop it");
        let _ = stdin().read(&mut [0]);
        return Ok(());
    }
    // Whatever ends this program ends the server, and its directory.
    println!("kill {} to stop it", std::process::id());
    loop {
        std::thread::park();
    }
}
