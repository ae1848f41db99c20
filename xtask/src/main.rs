//! `cargo xtask …`: what the people of this project do with it.

use std::io::Read as _;
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
    /// All that decides whether a change lands
    Test {
        /// The PostgreSQL versions of the live tests
        #[arg(long, value_name = "MAJOR,…")]
        pg: Option<String>,
    },
    /// A throwaway server
    Pg {
        #[command(subcommand)]
        task: Pg,
    },
}

#[derive(Subcommand)]
enum Pg {
    /// Runs one until Enter is pressed
    Start {
        /// Its major version
        #[arg(long, default_value_t = 17)]
        version: u32,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Test { pg } => test(pg.as_deref()),
        Task::Pg { task: Pg::Start { version } } => start(version),
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
    println!("$ {program} {}", arguments.join(" "));
    let status = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .status()
        .map_err(|error| format!("{program} cannot be run: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} {} failed", arguments.join(" "))) }
}

/// `psql` is what live tests ask servers with; the servers themselves the test kit gets.
fn install_psql() -> Result<(), String> {
    if Command::new("psql").arg("--version").output().is_ok() {
        return Ok(());
    }
    let hint = "psql is missing and cannot be installed here; install PostgreSQL's client";
    run("apt-get", &["update", "-qq"], &[]).map_err(|error| format!("{hint} ({error})"))?;
    run("apt-get", &["install", "-y", "-qq", "postgresql-client", "postgresql-15"], &[])
        .map_err(|error| format!("{hint} ({error})"))
}

fn test(versions: Option<&str>) -> Result<(), String> {
    install_psql()?;
    let environment: Vec<(&str, &str)> =
        versions.map(|versions| ("RDSPROV_TEST_PG", versions)).into_iter().collect();
    run("cargo", &["fmt", "--all", "--check"], &[])?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])?;
    run("cargo", &["check", "-p", "rdsprov-core", "--no-default-features"], &[])?;
    run("cargo", &["test", "--workspace"], &environment)
}

fn start(version: u32) -> Result<(), String> {
    install_psql()?;
    let server = Server::start(version).map_err(|error| error.to_string())?;
    println!(
        "postgresql://platform_admin:{}@{}:{}/platform?sslmode=verify-full&sslrootcert={}",
        server.master_password(),
        server.host(),
        server.port(),
        server.ca_file().display()
    );
    println!("press Enter to stop it");
    let _ = std::io::stdin().read(&mut [0]);
    Ok(())
}
