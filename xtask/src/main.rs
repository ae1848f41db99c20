//! `cargo xtask …`: what the people of this project do with it.

mod demo;
mod python;
mod serve;

use std::io::{IsTerminal as _, Read as _, stdin};
use std::path::Path;
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
    /// All that decides whether a change lands
    Test {
        /// The PostgreSQL versions of the live tests
        #[arg(long, value_name = "MAJOR,…")]
        pg: Option<String>,
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
        Task::Test { pg } => test(pg.as_deref()),
        Task::FuzzAccess { minutes, pg } => fuzz_access(minutes, pg.as_deref()),
        Task::Python { arguments } => {
            get_what_is_missing(&[15]).and_then(|()| python::test(None, &arguments))
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

/// `psql` is what servers are asked with, and PostgreSQL 15 is Debian's; servers of the other versions, and
/// moto, the test kit gets by itself.
fn get_what_is_missing(versions: &[u32]) -> Result<(), String> {
    let mut packages = Vec::new();
    if Command::new("psql").arg("--version").output().is_err() {
        packages.push("postgresql-client");
    }
    if versions.contains(&15) && !Path::new("/usr/lib/postgresql/15/bin/postgres").exists() {
        packages.push("postgresql-15");
    }
    if packages.is_empty() {
        return Ok(());
    }
    let hint = format!("install the Debian packages {}", packages.join(" and "));
    // The package would start a server of its own; this one only lends its programs.
    let quiet = [("DEBIAN_FRONTEND", "noninteractive"), ("RUNLEVEL", "1")];
    let install =
        [&["install", "-y", "-qq", "--no-install-recommends"], packages.as_slice()].concat();
    run("apt-get", &["update", "-qq"], &quiet)
        .and_then(|()| run("apt-get", &install, &quiet))
        .map_err(|error| format!("{error}; {hint}"))
}

fn test(versions: Option<&str>) -> Result<(), String> {
    // The demo's server and that of the Python tests, whatever else is asked for.
    get_what_is_missing(&[15])?;
    run("cargo", &["fmt", "--all", "--check"], &[])?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])?;
    run("cargo", &["check", "-p", "rdsprov-core", "--no-default-features"], &[])?;
    let python = python::with_the_module()?;
    let mut environment = vec![("RDSPROV_TEST_PYTHON", python.as_str())];
    environment.extend(versions.map(|versions| ("RDSPROV_TEST_PG", versions)));
    run("cargo", &["test", "--workspace"], &environment)?;
    if versions.is_none() {
        // The versions in between: the whole path, some scenarios, and the facts.
        let between = [("RDSPROV_TEST_PG", "16,17"), ("RDSPROV_SCENARIO", "role")];
        for (test, filters) in
            [("live", ["path::", "scenarios::"].as_slice()), ("facts", [].as_slice())]
        {
            let arguments = [&["test", "--workspace", "--test", test, "--"], filters].concat();
            run("cargo", &arguments, &between)?;
        }
    }
    python::test(versions, &[])?;
    demo(15, true)?;
    if Command::new("terraform").arg("version").output().is_err() {
        eprintln!(
            "xtask: all passed, but terraform is not installed: definitions were compared with what it \
             read when testdata/definitions/terraform was written, not with what it reads today"
        );
    }
    Ok(())
}

fn demo(version: u32, compare: bool) -> Result<(), String> {
    get_what_is_missing(&[version])?;
    let shown = demo::run(version)?;
    if compare { demo::compare_with_readme(&shown) } else { Ok(()) }
}

fn fuzz_access(minutes: u32, versions: Option<&str>) -> Result<(), String> {
    get_what_is_missing(&[15])?;
    let minutes = minutes.to_string();
    let mut environment = vec![("RDSPROV_FUZZ_MINUTES", minutes.as_str())];
    environment.extend(versions.map(|versions| ("RDSPROV_TEST_PG", versions)));
    let test = ["test", "--workspace", "--test", "fuzz_access"];
    run("cargo", &[test.as_slice(), &["--", "--nocapture"]].concat(), &environment)
}

fn start(version: u32) -> Result<(), String> {
    get_what_is_missing(&[version])?;
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
