//! The files that a run reads: a configuration file names files of its own directory only, and only
//! regular files of a bounded size are read. No server is needed.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::fixture::{expect, program};

const TOKEN: &str = "s3cr3t-t0ken";
const SHOP: &str =
    r#"application_databases = { shop = { database_name = "shop", username = "shop_owner" } }"#;

/// Runs `rdsprov validate` in a directory.
fn validate(directory: &Path, arguments: &[&str]) -> Output {
    program().current_dir(directory).arg("validate").args(arguments).output().unwrap()
}

/// A repository inside a directory that also contains a secret and the files of another repository.
fn repository() -> (TempDir, std::path::PathBuf) {
    let outside = TempDir::new().unwrap();
    let repository = outside.path().join("repository");
    std::fs::create_dir_all(repository.join("teams")).unwrap();
    std::fs::write(outside.path().join("secret.json"), format!(r#"{{"password": "{TOKEN}"}}"#))
        .unwrap();
    std::fs::write(outside.path().join("secret.toml"), format!("[registry]\ntoken = \"{TOKEN}\""))
        .unwrap();
    std::fs::write(outside.path().join("shop.tfvars"), SHOP).unwrap();
    std::fs::write(repository.join("teams/shop.tfvars"), SHOP).unwrap();
    (outside, repository)
}

#[test]
fn configuration_names_files_of_its_directory() {
    let (outside, repository) = repository();
    let configuration = repository.join("rdsprov.toml");
    symlink("../secret.json", repository.join("link.json")).unwrap();
    symlink("teams/shop.tfvars", repository.join("inside.tfvars")).unwrap();
    let absolute = outside.path().join("shop.tfvars").display().to_string();
    for file in
        ["../shop.tfvars", "../secret.json", "link.json", "teams/../../secret.json", &absolute]
    {
        std::fs::write(&configuration, format!("[definitions]\nfiles = [\"{file}\"]\n")).unwrap();
        let output = expect(&validate(&repository, &[]), 64);
        assert!(output.contains("error[file-outside]"), "{file}: {output}");
        assert!(output.contains("--definitions") && !output.contains(TOKEN), "{file}: {output}");
        let from_outside = ["--config", configuration.to_str().unwrap()];
        let output = expect(&validate(outside.path(), &from_outside), 64);
        assert!(output.contains("error[file-outside]"), "{file}: {output}");
    }
    for file in ["teams/shop.tfvars", "inside.tfvars", "teams/../inside.tfvars"] {
        std::fs::write(&configuration, format!("[definitions]\nfiles = [\"{file}\"]\n")).unwrap();
        expect(&validate(&repository, &[]), 0);
    }
    // An option can name any file.
    expect(&validate(&repository, &["-d", &absolute]), 0);
    let output = expect(&validate(&repository, &["-d", "link.json"]), 1);
    assert!(!output.contains(TOKEN), "{output}");
}

#[test]
fn configuration_is_no_link_to_another_file() {
    let (_outside, repository) = repository();
    symlink("../secret.toml", repository.join("rdsprov.toml")).unwrap();
    let output = expect(&validate(&repository, &["-d", "teams/shop.tfvars"]), 64);
    assert!(output.contains("error[file-outside]") && output.contains("--config"), "{output}");
    assert!(!output.contains(TOKEN), "{output}");
    let arguments = ["--config", "rdsprov.toml", "-d", "teams/shop.tfvars"];
    let output = expect(&validate(&repository, &arguments), 64);
    assert!(output.contains("error[invalid-config]") && !output.contains(TOKEN), "{output}");
}

/// A certificate or key outside of the repository is not read, unless an option names it.
#[test]
fn configured_certificates_stay_below_the_directory() {
    let (outside, repository) = repository();
    symlink("../secret.json", repository.join("link.pem")).unwrap();
    symlink("..", repository.join("up")).unwrap();
    std::fs::create_dir_all(outside.path().join("secrets/goldenpath/dev/rds")).unwrap();
    let plan = |arguments: &[&str]| {
        let mut command = program();
        command.current_dir(&repository);
        command.args(["plan", "--env", "dev", "-d", "teams/shop.tfvars"]);
        command.args(["--secrets", "file:../secrets"]).args(arguments).output().unwrap()
    };
    let configuration = repository.join("rdsprov.toml");
    let absolute = outside.path().join("secret.json").display().to_string();
    for path in ["../secret.json", "../absent", "link.pem", "up/secret.json", &absolute] {
        for (keys, option) in [
            (&["ca_file"][..], "--ca-file"),
            (&["client_cert", "client_key"], "--client-cert"),
            (&["client_key", "client_cert"], "--client-key"),
        ] {
            let mut section = format!("[tls]\n{} = \"{path}\"\n", keys[0]);
            if let Some(inside) = keys.get(1) {
                section += &format!("{inside} = \"teams/shop.tfvars\"\n");
            }
            std::fs::write(&configuration, section).unwrap();
            let text = expect(&plan(&[]), 64);
            assert!(text.contains("error[file-outside]"), "{path}: {text}");
            assert!(text.contains(&format!("hint: name the file with {option} FILE")), "{text}");
            assert!(!text.contains(TOKEN), "{text}");
        }
    }
    // An option can name any file: it is read, and is not a certificate.
    std::fs::write(&configuration, "[tls]\nca_file = \"../absent\"\n").unwrap();
    let text = expect(&plan(&["--ca-file", "../secret.json"]), 1);
    assert!(text.contains("error[unusable-certificate-file]") && !text.contains(TOKEN), "{text}");
}

#[test]
fn only_regular_files_of_a_bounded_size_are_read() {
    let (_outside, repository) = repository();
    for (name, target) in [("zero.tfvars", "/dev/zero"), ("zero.toml", "/dev/zero")] {
        symlink(target, repository.join(name)).unwrap();
    }
    let pipe = repository.join("pipe.json");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::create_dir(repository.join("directory.tfvars")).unwrap();
    let huge = std::fs::File::create(repository.join("huge.tfvars")).unwrap();
    huge.set_len(17 << 20).unwrap();
    for (arguments, reason) in [
        (&["-d", "zero.tfvars"][..], "not a regular file"),
        (&["-d", "pipe.json"], "not a regular file"),
        (&["-d", "directory.tfvars"], "not a regular file"),
        (&["-d", "huge.tfvars"], "larger than 16 MiB"),
        (&["--config", "zero.toml", "-d", "teams/shop.tfvars"], "not a regular file"),
    ] {
        let output = expect(&validate(&repository, arguments), 64);
        assert!(output.contains(reason), "{arguments:?}: {output}");
    }
    for plan in ["/dev/zero", "pipe.json"] {
        let mut command = program();
        command.current_dir(&repository).env("ALLOW_DB_PROVISION", "true");
        let command = command.args(["apply", plan, "--env", "dev", "-d", "teams/shop.tfvars"]);
        let output = expect(&command.output().unwrap(), 64);
        assert!(output.contains("not a regular file"), "{plan}: {output}");
    }
    for (variable, path) in [("SSL_CERT_FILE", "/dev/zero"), ("SSL_CERT_FILE", "pipe.json")] {
        let mut command = program();
        command.current_dir(&repository).env(variable, path);
        let command = command.args(["plan", "--env", "dev", "-d", "teams/shop.tfvars"]);
        let output = command.args(["--secrets", "file:.", "--host", "localhost"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(variable) && text.contains("not a regular file"), "{text}");
    }
    for ledger in ["/dev/zero", "pipe.json"] {
        let mut command = program();
        let command = command.current_dir(&repository).args(["audit", "verify", ledger]);
        let output = expect(&command.output().unwrap(), 64);
        assert!(output.contains("not a regular file"), "{output}");
    }
}

/// A message contains a part of a long pattern, reference or name only.
#[test]
fn messages_repeat_no_long_texts() {
    let directory = TempDir::new().unwrap();
    let long = "a".repeat(200_000);
    let applications: String = (0..200)
        .map(|n| format!("a{n} = {{ database_name = \"d{n}\", username = \"u{n}\" }}\n"))
        .collect();
    let definitions = format!("application_databases = {{\n{applications}\n}}\n");
    let references = "application_databases = {\n".to_owned()
        + &(0..20).map(|n| format!("a{n} = {long}.b{n}\n")).collect::<String>()
        + "}\n";
    let names = format!(
        "application_databases = {{\n{long} = {{ database_name = \"{long}\", username = \"{long}\", access_level = \"{long}\", schemas = [\"{long}\", \"{long}\"], settings = {{ \"{long} \" = \"x\" }} }}\n}}\n"
    );
    for (name, text) in
        [("names.tfvars", &names), ("all.tfvars", &definitions), ("references.tfvars", &references)]
    {
        std::fs::write(directory.path().join(name), text).unwrap();
        let config = format!("[definitions]\nnaming_pattern = \"{long}\"\n");
        std::fs::write(directory.path().join("rdsprov.toml"), config).unwrap();
        let output = validate(directory.path(), &["-d", name]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        let size = output.stdout.len() + output.stderr.len();
        assert!((200..100_000).contains(&size), "{name}: {size} bytes");
    }
}
