//! A server starts, resembles RDS, and leaves nothing behind when it ends.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rdsprov_testkit::{SecretsManager, Server, versions};

#[test]
fn every_version_starts_and_stops() {
    for major in versions() {
        let server = Server::start(major).unwrap();
        let output = server
            .master("platform", "SELECT current_setting('server_version_num')::int / 10000, rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user")
            .unwrap();
        assert_eq!(output.trim(), format!("{major}|f|t|t"));
        assert!(server.master("rdsadmin", "SELECT 1").is_err());
        let port = server.port();
        drop(server);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}

#[test]
fn secrets_are_stored() {
    let secrets = SecretsManager::start().unwrap();
    secrets.put("a/b", "first").unwrap();
    secrets.put("a/b", "second").unwrap();
    assert_eq!(secrets.get("a/b").unwrap(), "second");
    secrets.delete("a/b").unwrap();
    assert!(secrets.get("a/b").is_err());
}

/// The program that the tests below run in a separate process.
#[test]
#[ignore = "run by other tests in a separate process"]
fn run_server_until_killed() {
    let server = Server::start(versions()[0]).unwrap();
    println!("\ndata directory: {}", server.socket_directory().display());
    std::thread::sleep(Duration::from_secs(60));
}

fn start_program(temporary: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "run_server_until_killed", "--nocapture"])
        .env("TMPDIR", temporary)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn killed_program_leaves_nothing_behind() {
    for signal in ["-TERM", "-KILL"] {
        let mut process = start_program(&std::env::temp_dir());
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let directory = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("data directory: ").map(PathBuf::from))
            .unwrap();
        assert!(directory.join("data").exists());
        Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap();
        process.wait().unwrap();
        let gone = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            !directory.exists()
        });
        assert!(gone, "{} remains after {signal}", directory.display());
    }
}

#[test]
fn cache_with_foreign_writers_is_rejected() {
    let temporary = tempfile::tempdir().unwrap();
    let start = || {
        let output = start_program(temporary.path()).wait_with_output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let user = Command::new("id").arg("-u").output().unwrap().stdout;
    let name = format!("rdsprov-testkit-{}", String::from_utf8(user).unwrap().trim());
    let cache = temporary.path().join(name);
    std::os::unix::fs::symlink(std::env::temp_dir(), &cache).unwrap();
    let says = format!("UnsafeCache {{ path: {cache:?} }}");
    assert!(start().contains(&says), "{says}");
    std::fs::remove_file(&cache).unwrap();
    std::fs::create_dir(&cache).unwrap();
    Command::new("chmod").arg("a+w").arg(&cache).status().unwrap();
    assert!(start().contains(&says), "{says}");
}
