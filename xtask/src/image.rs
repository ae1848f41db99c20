//! Runs `cargo xtask image`: makes the files of the container image, as the last stage of
//! deploy/container/Dockerfile does, and runs the command with nothing else, as a container would:
//! with another root directory that is read-only, as a user without privileges.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use rdsprov_testkit::{SecretsManager, Server};

use crate::process::run;

const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Starts the arguments after the first one, with the first one as a read-only root directory. As a
/// container runtime does, it adds `/etc/hosts` and devices: the command reads random numbers from
/// `/dev/urandom`. The namespace ends with the process, and with it the mounts.
const CONTAINER: &str = r#"
set -e
mount --bind "$1" "$1"
for file in /etc/hosts /dev/null /dev/random /dev/urandom; do
  mount --bind "$file" "$1$file"
done
mount -o remount,bind,ro "$1"
root="$1"
shift
exec chroot --userspec=65532:65532 --groups= "$root" "$@"
"#;

/// Makes the files of the image in an empty directory.
fn build(command: &Path, root: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", root.display());
    for directory in ["usr/local/bin", "etc/ssl/certs", "definitions", "dev"] {
        fs::create_dir_all(root.join(directory)).map_err(failed)?;
    }
    fs::copy(command, root.join("usr/local/bin/rdsprov")).map_err(failed)?;
    fs::copy(Path::new("/").join(CERTIFICATES), root.join(CERTIFICATES)).map_err(failed)?;
    fs::write(root.join("etc/passwd"), "rdsprov:x:65532:65532::/:/usr/local/bin/rdsprov\n")
        .map_err(failed)?;
    for file in ["etc/hosts", "dev/null", "dev/random", "dev/urandom"] {
        fs::write(root.join(file), "").map_err(failed)?;
    }
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).map_err(failed)
}

/// Runs the command of an image, and returns its output.
fn rdsprov<'a>(
    root: &Path,
    arguments: &[&str],
    environment: impl IntoIterator<Item = (&'a str, String)>,
) -> Result<Output, String> {
    Command::new("unshare")
        .args(["--mount", "sh", "-c", CONTAINER, "sh"])
        .arg(root)
        .arg("/usr/local/bin/rdsprov")
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(environment)
        .output()
        .map_err(|error| format!("cannot run unshare: {error}"))
}

/// Runs a static command in its image: it plans, applies, and plans again against a throwaway server,
/// with secrets of a throwaway Secrets Manager.
pub fn check(command: &Path) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))
        .map_err(|error| error.to_string())?;
    let root = directory.path();
    build(command, root)?;
    let server = Server::start(17).map_err(|error| error.to_string())?;
    let secrets = SecretsManager::start().map_err(|error| error.to_string())?;
    for (id, text) in [
        ("goldenpath/dev/rds/master", server.admin_secret()),
        ("goldenpath/dev/keycloak/postgres", r#"{"password": "at least twelve"}"#.to_owned()),
        ("goldenpath/dev/analytics/postgres", r#"{"password": "at least eleven"}"#.to_owned()),
    ] {
        secrets.put(id, &text).map_err(|error| error.to_string())?;
    }
    for file in ["rdsprov.toml", "terraform.tfvars"] {
        let from = Path::new("deploy/kubernetes/example").join(file);
        fs::copy(&from, root.join("definitions").join(file))
            .map_err(|error| format!("{}: {error}", from.display()))?;
    }
    let files = ["--config", "/definitions/rdsprov.toml", "-d", "/definitions/terraform.tfvars"];
    let expect = |arguments: &[&str], code: i32, text: &str| -> Result<(), String> {
        let arguments = [arguments, &files].concat();
        eprintln!("$ rdsprov {}", arguments.join(" "));
        let output = rdsprov(root, &arguments, secrets.environment())?;
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        if output.status.code() != Some(code) || !printed.contains(text) {
            return Err(format!("expected exit {code} and `{text}`: {}\n{printed}", output.status));
        }
        Ok(())
    };
    // No certificate in the image issued that of the server: TLS is verified.
    expect(&["plan"], 1, "certificate")?;
    let certificates = root.join(CERTIFICATES);
    let failed = |error: std::io::Error| error.to_string();
    let both = [fs::read(&certificates), fs::read(server.ca_file())]
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?
        .concat();
    fs::write(&certificates, both).map_err(failed)?;
    expect(&["plan", "--detailed-exitcode"], 2, "2 roles and 1 database to create")?;
    expect(&["apply"], 0, "Applied")?;
    expect(&["check"], 0, "")?;
    // The root directory is read-only.
    expect(&["plan", "--out", "/plan.json"], 1, "/plan.json")?;
    run(
        "du",
        &["--apparent-size", "--human-readable", "--summarize", &root.display().to_string()],
        &[],
    )
}

/// Fails if a program needs an interpreter, that is, shared libraries.
pub fn check_is_static(program: &Path) -> Result<(), String> {
    let output = Command::new("readelf")
        .args([OsStr::new("--wide"), OsStr::new("--program-headers"), program.as_os_str()])
        .output()
        .map_err(|error| format!("cannot run readelf: {error}"))?;
    let headers = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !headers.contains("LOAD") {
        return Err(format!("{} is not an ELF program", program.display()));
    }
    if headers.contains("INTERP") {
        return Err(format!("{} needs shared libraries", program.display()));
    }
    Ok(())
}
