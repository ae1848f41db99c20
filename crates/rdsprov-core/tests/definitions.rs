//! What teams write, and what it yields: `testdata/definitions/valid` with the definitions read,
//! `testdata/definitions/invalid` with the errors as people see them. Where `terraform` is
//! installed, it judges every valid tfvars file.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rdsprov_core::config::Config;
use rdsprov_core::definitions::{Definitions, Mode, Rules, SourceText, Syntax};

fn files(folder: &str) -> Vec<(String, PathBuf)> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/definitions").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn source(name: &str, text: impl Into<String>) -> SourceText {
    SourceText { path: name.to_owned(), text: text.into(), syntax: Syntax::of_path(name).unwrap() }
}

fn json(definitions: &Definitions) -> String {
    serde_json::to_string_pretty(definitions).unwrap()
}

/// The definitions or the errors of texts that are named and written here.
fn outcome(sources: &[(&str, &str)], rules: &Rules) -> String {
    let sources: Vec<_> = sources.iter().map(|(name, text)| source(name, *text)).collect();
    match Definitions::parse(&sources, rules) {
        Ok(definitions) => json(&definitions),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn valid_files() {
    for (name, path) in files("valid") {
        let source = source(&name, fs::read_to_string(&path).unwrap());
        match Definitions::parse(&[source], &Rules::default()) {
            Ok(definitions) => {
                insta::assert_snapshot!(format!("valid__{name}"), json(&definitions))
            }
            Err(errors) => panic!("{errors}"),
        }
    }
}

#[test]
fn invalid_files() {
    for (name, path) in files("invalid") {
        let source = source(&name, fs::read_to_string(&path).unwrap());
        match Definitions::parse(&[source], &Rules::default()) {
            Ok(definitions) => panic!("{name} is accepted: {definitions:?}"),
            Err(errors) => insta::assert_snapshot!(format!("invalid__{name}"), errors.to_string()),
        }
    }
}

const A: &str = r#"application_databases = { a = { database_name = "a", username = "a_user" } }"#;
const B: &str = r#"application_databases = { b = { database_name = "b", username = "b_user" } }"#;

#[test]
fn several_files_count_together() {
    let rules = Rules::default();
    let common = ("common.tfvars", "environment = \"dev\"\naws_region = \"eu-west-2\"\n");
    insta::assert_snapshot!(
        "files__together",
        outcome(&[common, ("a.tfvars", A), ("b.tfvars", B)], &rules)
    );
    insta::assert_snapshot!(
        "files__same_application",
        outcome(&[("a.tfvars", A), ("b.tfvars", A)], &rules)
    );
    insta::assert_snapshot!(
        "files__two_environments",
        outcome(&[common, ("b.tfvars", &format!("environment = \"prod\"\n{B}"))], &rules)
    );
    insta::assert_snapshot!(
        "files__none_has_definitions",
        outcome(&[common, ("b.tfvars", "rds_config = { enabled = false }")], &rules)
    );
    insta::assert_snapshot!(
        "files__all_errors",
        outcome(
            &[("a.tfvars", "application_databases = {"), ("b.tfvars", "application_databases = 1")],
            &rules
        )
    );
    insta::assert_snapshot!("files__no_file", outcome(&[], &rules));
}

#[test]
fn the_mode_says_which_of_two_counts() {
    let both = format!("{A}\nrds_config = {{ {B} }}\n");
    for mode in [Mode::Standalone, Mode::Coupled] {
        let rules = Rules { mode: Some(mode), ..Rules::default() };
        insta::assert_snapshot!(
            format!("mode__{mode}"),
            outcome(&[("both.tfvars", &both)], &rules)
        );
    }
    let coupled = Rules { mode: Some(Mode::Coupled), ..Rules::default() };
    insta::assert_snapshot!("mode__coupled_absent", outcome(&[("a.tfvars", A)], &coupled));
}

#[test]
fn a_site_sets_defaults() {
    let text = r#"
environment = "dev"
application_databases = {
  shop    = { database_name = "shop", username = "shop_user", settings = {}, extensions = ["pg_trgm"] }
  reports = { database_name = "shop", username = "reports", access_level = "reader", auth = "password" }
}"#;
    let config = Config::from_toml(
        "rdsprov.toml",
        r#"
[defaults]
schemas = ["app"]
extensions = ["pgcrypto"]
auth = "iam"
settings = { statement_timeout = "30s" }
[environments.dev.defaults]
connection_limit = 5
schemas = ["public", "app"]
[environments.prod.defaults]
connection_limit = 50
"#,
    )
    .unwrap();
    insta::assert_snapshot!("defaults", outcome(&[("shop.tfvars", text)], &config.rules()));
    for (text, says) in [
        ("[defaults]\nschemas = [\"pg_x\"]", "reserved by PostgreSQL"),
        ("[defaults]\nconnection_limit = -2", "-1 (none) or more"),
        ("[defaults]\nusername = \"u\"", "unknown field `username`"),
        ("[defaults]\nsettings = { \"work mem\" = \"1\" }", "not the name of a parameter"),
    ] {
        let error = Config::from_toml("rdsprov.toml", text).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("line 2"), "{error}");
    }
}

#[test]
fn a_site_sets_keys_and_names() {
    let text = r#"application_databases = { a = { database_name = "a-db", username = "a_user", size = 1 } }"#;
    let rules = Rules { ignore_keys: vec!["size".to_owned()], ..Rules::default() };
    insta::assert_snapshot!("rules__ignored_key", outcome(&[("a.tfvars", text)], &rules));
    let rules = Rules { naming_pattern: Some("^[a-z_]+$".to_owned()), ..rules };
    insta::assert_snapshot!("rules__naming_pattern", outcome(&[("a.tfvars", text)], &rules));
    let rules = Rules { naming_pattern: Some("[".to_owned()), ..rules };
    insta::assert_snapshot!("rules__bad_pattern", outcome(&[("a.tfvars", text)], &rules));
}

#[test]
fn a_thousand_entries() {
    let mut text = "application_databases = {\n".to_owned();
    for number in 0..1000 {
        text += &format!(
            "  app-{number} = {{ database_name = \"db_{number}\", username = \"user_{number}\" }}\n"
        );
    }
    text += "}\n";
    let definitions =
        Definitions::parse(&[source("many.tfvars", text.as_str())], &Rules::default()).unwrap();
    assert_eq!(definitions.applications.len(), 1000);
    assert!(definitions.applications.values().all(|app| app.location.line > 1));

    let errors = Definitions::parse(
        &[source("many.tfvars", text.replace("user_", "pg_"))],
        &Rules::default(),
    );
    assert_eq!(errors.unwrap_err().0.len(), 1000);
}

/// What Terraform reads from a variable file, or what it says against it.
fn terraform(folder: &Path, file: &Path, expression: &str) -> Result<serde_json::Value, String> {
    use std::io::Write as _;
    let mut child = Command::new("terraform")
        .args(["console", "-no-color", &format!("-var-file={}", file.display())])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(format!("jsonencode({expression})\n").as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    // Warnings of undeclared variables stand around the value, which is a quoted object; they quote
    // the variables' names at the start of a line, too.
    let line = text.lines().find(|line| line.starts_with("\"{")).ok_or_else(|| text.clone())?;
    let line = line.replace("$${", "${").replace("%%{", "%{");
    let quoted: String = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
    Ok(serde_json::from_str(&quoted).unwrap())
}

#[test]
fn terraform_reads_the_same() {
    if Command::new("terraform").arg("version").output().is_err() {
        eprintln!("terraform is not installed: nothing compared");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let declared: String = ["application_databases", "rds_config", "environment", "aws_region"]
        .iter()
        .map(|name| format!("variable \"{name}\" {{\n  type    = any\n  default = null\n}}\n"))
        .collect();
    fs::write(folder.path().join("main.tf"), declared).unwrap();
    for (name, path) in files("valid") {
        // Terraform takes JSON variable files by this name only.
        if !name.ends_with(".tfvars") && !name.ends_with(".tfvars.json") {
            continue;
        }
        let ours = source(&name, fs::read_to_string(&path).unwrap());
        let ours = Definitions::parse(&[ours], &Rules::default()).unwrap();
        let expression = match ours.mode {
            Mode::Standalone => "var.application_databases",
            Mode::Coupled => "var.rds_config.application_databases",
        };
        let path = fs::canonicalize(path).unwrap();
        let theirs =
            terraform(folder.path(), &path, expression).unwrap_or_else(|e| panic!("{name}: {e}"));
        let theirs = theirs.as_object().unwrap();
        assert_eq!(theirs.len(), ours.applications.len(), "{name}");
        for app in ours.applications.values() {
            let entry = &theirs[app.application.as_str()];
            assert_eq!(entry["database_name"], app.database_name.as_str(), "{name}");
            assert_eq!(entry["username"], app.username.as_str(), "{name}");
            assert_eq!(
                entry["access_level"].as_str().unwrap_or("owner"),
                app.access_level.to_string(),
                "{name}"
            );
            assert_eq!(entry["secret"].as_str(), app.secret.as_deref(), "{name}");
        }
    }
}
