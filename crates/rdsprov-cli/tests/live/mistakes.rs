//! The messages for the mistakes that new users make: each one is a snapshot.

use std::path::Path;
use std::process::Command;

use rdsprov_testkit::NEWEST;
use tempfile::TempDir;

use crate::fixture::{Fixture, program};

const DEV: &str = r#"environment = "dev"
application_databases = {
  keycloak = { database_name = "keycloak", username = "keycloak_user" }
}
"#;

/// A directory with definitions and secrets as files.
struct Place(TempDir);

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let place = Self(TempDir::new().unwrap());
        for (name, text) in files {
            place.write(name, text);
        }
        place
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = program();
        command.current_dir(self.0.path()).env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("HOME", self.0.path());
        command
    }

    /// Returns what a command prints to stderr, and its exit code.
    fn run(&self, arguments: &str) -> String {
        printed(self.command().args(arguments.split_whitespace()), arguments, self.0.path())
    }
}

fn printed(command: &mut Command, arguments: &str, directory: &Path) -> String {
    let output = command.output().unwrap();
    // `apply` writes its records to stdout.
    let printed = if arguments.starts_with("apply") { Vec::new() } else { output.stdout };
    let text = [printed, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    let text = text.replace(&format!("{}/", directory.display()), "");
    let text = without(&without(&text, "sha256:", "\n,) "), "(version ", ")");
    format!("$ rdsprov {arguments}\n{text}exit {}\n", output.status.code().unwrap())
}

/// Removes what varies: the text between each `before` and the next of the characters `ends`.
fn without(text: &str, before: &str, ends: &str) -> String {
    let mut parts = text.split(before);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let rest = part.find(|c| ends.contains(c)).map_or("", |end| &part[end..]);
        format!("{text}{before}…{rest}")
    })
}

/// Returns definitions with this text as the only entry.
fn entry(text: &str) -> String {
    format!("environment = \"dev\"\napplication_databases = {{\n  {text}\n}}\n")
}

fn files(name: &str) -> Vec<(String, String)> {
    let one = |file: &str, text: String| vec![(file.to_owned(), text)];
    let keys = |text: &str| one("a.tfvars", entry(text));
    match name {
        "key_misspelt" => {
            keys(r#"k = { database_name = "k", username = "k_user", acess_level = "reader" }"#)
        }
        "variable_misspelt" => one("a.tfvars", DEV.replace("environment", "enviroment")),
        "access_level_unknown" => {
            keys(r#"k = { database_name = "k", username = "k_user", access_level = "read" }"#)
        }
        "username_missing" => keys(r#"k = { database_name = "k" }"#),
        "key_twice" => one(
            "a.json",
            r#"{"application_databases": {
  "k": {"database_name": "k", "username": "k_user", "username": "other"}}}"#
                .to_owned(),
        ),
        "key_twice_in_tfvars" => one(
            "a.tfvars",
            entry("k = {\n    username = \"k_user\"\n    \"username\" = \"other\", username = \"k\"\n  }"),
        ),
        "key_twice_in_toml" => one(
            "a.toml",
            "[application_databases.k]\nusername = \"k\"\ndatabase_name = \"k\"\n\"username\" = \"l\"\n"
                .to_owned(),
        ),
        "application_in_two_files" => {
            vec![("a.tfvars".to_owned(), DEV.to_owned()), ("b.tfvars".to_owned(), DEV.to_owned())]
        }
        "expressions" => keys(r#"k = { database_name = lower("K"), username = var.user }"#),
        "brace_missing" => one("a.tfvars", DEV.trim_end().trim_end_matches('}').to_owned()),
        "json_named_tfvars" => one(
            "a.tfvars",
            r#"{"application_databases": {"k": {"database_name": "k", "username": "k_user"}}}"#
                .to_owned(),
        ),
        "hcl_named_json" => one("a.json", DEV.to_owned()),
        "toml_named_tfvars" => one(
            "a.tfvars",
            "[application_databases.k]\ndatabase_name = \"k\"\nusername = \"k_user\"\n".to_owned(),
        ),
        "no_applications" => one("a.tfvars", "environment = \"dev\"\n".to_owned()),
        "reserved_names" => keys(r#"k = { database_name = "postgres", username = "pg_user" }"#),
        "two_owners" => keys(
            "k = { database_name = \"k\", username = \"k_user\" }\n  l = { database_name = \"k\", username = \"l_user\" }",
        ),
        "wrong_types" => keys(r#"k = { database_name = 1, username = ["k"], createdb = "yes" }"#),
        other => panic!("{other}"),
    }
}

#[test]
fn mistakes_in_definitions() {
    for name in [
        "key_misspelt",
        "variable_misspelt",
        "access_level_unknown",
        "username_missing",
        "key_twice",
        "key_twice_in_tfvars",
        "key_twice_in_toml",
        "application_in_two_files",
        "expressions",
        "brace_missing",
        "json_named_tfvars",
        "hcl_named_json",
        "toml_named_tfvars",
        "no_applications",
        "reserved_names",
        "two_owners",
        "wrong_types",
    ] {
        let files = files(name);
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        let place = Place::new(&files);
        let text = place.run(&format!("validate -d {}", names.join(" ")));
        insta::assert_snapshot!(name.to_owned(), text);
    }
}

#[test]
fn mistakes_in_options() {
    let empty = Place::new(&[]);
    insta::assert_snapshot!("no_definitions", empty.run("validate"));

    let place = Place::new(&[
        ("terraform.tfvars", DEV),
        ("main.tf", DEV),
        ("dev.yaml", "a: 1"),
        ("nowhere.tfvars", &DEV.replace("environment = \"dev\"\n", "")),
        (
            "goldenpath/dev/rds/master.json",
            r#"{"username": "platform_admin", "password": "Canary-1", "host": "localhost", "port": 1, "dbname": "platform"}"#,
        ),
        (
            "elsewhere.json",
            r#"{"username": "platform_admin", "password": "Canary-1", "host": "no-such-host.invalid"}"#,
        ),
        ("goldenpath/dev/keycloak/postgres.json", r#"{"password": "Canary-2"}"#),
    ]);
    let plan = "plan -d terraform.tfvars --secrets file:.";
    for (name, arguments) in [
        ("terraform_module", "validate -d main.tf".to_owned()),
        ("yaml", "validate -d dev.yaml".to_owned()),
        ("file_misspelt", "validate -d teraform.tfvars".to_owned()),
        ("file_missing", "validate -d zzz.toml".to_owned()),
        ("other_environment", "validate -d terraform.tfvars --env prod".to_owned()),
        ("environment_misspelt", "validate -d terraform.tfvars --env prd".to_owned()),
        ("no_environment", "plan -d nowhere.tfvars --secrets file:.".to_owned()),
        ("secrets_directory_missing", "plan -d terraform.tfvars --secrets file:nosuch".to_owned()),
        ("host_with_port", format!("{plan} --host localhost:5432")),
        ("host_as_uri", format!("{plan} --host postgres://localhost/platform")),
        ("port_closed", plan.to_owned()),
        ("port_closed_by_option", format!("{plan} --host 127.0.0.1 --port 2")),
        ("no_aws_region", "plan -d terraform.tfvars".to_owned()),
        ("no_aws_credentials", "plan -d terraform.tfvars --region eu-west-2".to_owned()),
        ("hazard_unknown", format!("{plan} --allow revokes_acces")),
        ("definitions_as_saved_plan", "apply terraform.tfvars --secrets file:.".to_owned()),
        ("application_misspelt", format!("{plan} --only keyclaok")),
        ("rotate_without_application", "rotate -d terraform.tfvars keycloak".to_owned()),
    ] {
        insta::assert_snapshot!(name.to_owned(), place.run(&arguments));
    }
    let mut unknown_profile = place.command();
    let arguments = "plan -d terraform.tfvars --region eu-west-2";
    unknown_profile.args(arguments.split_whitespace()).env("AWS_PROFILE", "nope");
    let text = printed(&mut unknown_profile, arguments, place.0.path());
    insta::assert_snapshot!("aws_profile_unknown", text);
    // The words of the resolver differ between machines.
    let text = place.run(&format!("{plan} --admin-secret elsewhere"));
    assert!(text.contains("as platform_admin: the host name cannot be resolved ("), "{text}");
    assert!(text.contains("hint: check the host, from secret elsewhere, and the port"), "{text}");
}

#[test]
fn mistakes_about_the_server() {
    let fixture = Fixture::with_secrets_manager(NEWEST);
    let definitions = fixture.definitions(DEV);
    let run = |arguments: &str, environment: &[(&str, &str)]| {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        let mut command = fixture.command(&definitions, &words);
        command.envs(environment.iter().copied());
        let text = printed(&mut command, arguments, fixture.path());
        let port = fixture.server.port().to_string();
        let ca_file = fixture.server.ca_file().display().to_string();
        text.replace(&format!(":{port}"), ":PORT").replace(&ca_file, "ca.pem")
    };
    let snapshot = |name: &str, text: String| {
        insta::assert_snapshot!(name.to_owned(), text);
    };
    snapshot("application_secret_missing", run("plan", &[]));
    snapshot("other_region", run("plan --region us-east-1", &[]));
    fixture.secret("goldenpath/dev/keycloak/postgres", "{\"pasword\": \"x\"}");
    snapshot("secret_without_password", run("plan", &[]));
    fixture.secret("goldenpath/dev/keycloak/postgres", "Canary-not-json");
    snapshot("secret_not_json", run("plan", &[]));
    fixture.secret(
        "goldenpath/dev/keycloak/postgres",
        "{\"username\": \"other_user\", \"password\": \"Canary-0123456789\"}",
    );
    snapshot("secret_of_other_user", run("plan", &[]));
    fixture.app("dev", "keycloak", "keycloak_user");
    snapshot("database_misspelt", run("plan --dbname platfrom", &[]));
    fixture.query("CREATE DATABASE keycloak");
    snapshot("database_not_managed", run("plan", &[]));
    fixture.query("DROP DATABASE keycloak");
    snapshot("invalid_approval", run("apply --env dev", &[("ALLOW_DB_PROVISION", "sha256:0")]));
    run("apply", &[]);
    fixture.query("ALTER ROLE keycloak_user CREATEDB; ALTER ROLE keycloak_user CONNECTION LIMIT 0");
    fixture.query("GRANT CONNECT ON DATABASE keycloak TO PUBLIC");
    let policy = "[environments.dev]\napproval = \"required\"\n";
    std::fs::write(fixture.path().join("rdsprov.toml"), policy).unwrap();
    let approved = [("ALLOW_DB_PROVISION", "true")];
    snapshot("no_approval", run("apply", &[]));
    snapshot("hazard_not_allowed", run("apply", &approved));
    let wrong =
        fixture.server.admin_secret().replace(fixture.server.master_password(), "Canary-wrong");
    fixture.secret("goldenpath/dev/rds/master", &wrong);
    snapshot("admin_password_wrong", run("plan", &[]));
}
