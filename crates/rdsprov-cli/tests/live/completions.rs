//! The completion scripts, in the shells that read them.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const CONFIG: &str = r#"[definitions]
files = ["configured.toml"]

[environments.edge]
approval = "required"
"#;
const CONFIGURED: &str = r#"[application_databases.billing]
database_name = "billing"
username = "billing_owner"
"#;
const VARIABLES: &str = r#"application_databases = {
  shop    = { database_name = "shop", username = "shop_owner" }
  reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#;
const FLEET: &str = r#"[[instances]]
name = "orders"
environment = "dev"
definitions = ["terraform.tfvars"]
"#;

/// Returns a directory with definitions that Terraform reads there.
fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("terraform.tfvars"), VARIABLES).unwrap();
    directory
}

/// Runs a script of a shell in a directory, with the command in its path. Returns what it prints; the completion
/// prints nothing else, also on stderr.
fn run(shell: &str, directory: &Path, script: &str) -> Vec<String> {
    let command = Path::new(env!("CARGO_BIN_EXE_rdsprov")).parent().unwrap();
    let path = format!("{}:{}", command.display(), std::env::var("PATH").unwrap());
    let arguments: &[&str] = match shell {
        "bash" => &["--norc", "--noprofile", "-c"],
        "zsh" => &["-f", "-c"],
        _ => &["--no-config", "-c"],
    };
    let output = Command::new(shell)
        .args(arguments)
        .arg(script)
        .current_dir(directory)
        .env_clear()
        .envs([("PATH", path.as_str()), ("HOME", directory.to_str().unwrap())])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{script}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Completes the last one of these words as Bash does when Tab is pressed.
fn bash(directory: &Path, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let last = words.len() - 1;
    // Bash makes a `=` a word of its own, after which the current word is empty.
    let current = if words[last] == "=" { "''" } else { &quoted[last] };
    let script = format!(
        "source <(rdsprov completions bash)
         COMP_WORDS=({}); COMP_CWORD={last}; COMP_TYPE=9
         _clap_complete_rdsprov rdsprov {} {}
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        current,
        quoted[last - 1],
    );
    let mut found = run("bash", directory, &script);
    found.retain(|line| !line.is_empty());
    found
}

#[test]
fn names_of_the_definitions_are_completed() {
    let directory = directory();
    let complete = |words: &[&str]| bash(directory.path(), &[&["rdsprov"], words].concat());
    assert_eq!(complete(&["plan", "--only", ""]), ["reports", "shop"]);
    assert_eq!(complete(&["plan", "--only", "shop", "--only", "re"]), ["reports"]);
    assert_eq!(complete(&["plan", "--only", "shop,re"]), ["shop,reports"]);
    assert_eq!(complete(&["plan", "--adopt", "s"]), ["shop"]);
    // After a `=`, which is a word for Bash.
    assert_eq!(complete(&["plan", "--only", "=", "re"]), ["reports"]);
    assert_eq!(complete(&["plan", "--env", "=", "dev", "--only", "="]), ["reports", "shop"]);
    assert_eq!(
        complete(&["plan", "--env", "=", "dev", "--only", "=", "shop,re"]),
        ["shop,reports"]
    );
    assert_eq!(complete(&["plan", "--only", "=", "shop", "--detailed"]), ["--detailed-exitcode"]);
    // Where `=` is not a word break, it is a part of the word.
    assert_eq!(complete(&["plan", "--only=re"]), ["--only=reports"]);
    assert_eq!(complete(&["retire", "--env", "prod", "sh"]), ["shop"]);
    // The files that the command line and the configuration name.
    fs::write(directory.path().join("configured.toml"), CONFIGURED).unwrap();
    assert_eq!(complete(&["rotate", "-d", "configured.toml", "--env", "dev", "b"]), ["billing"]);
    fs::write(directory.path().join("rdsprov.toml"), CONFIG).unwrap();
    assert_eq!(complete(&["plan", "--only", ""]), ["billing"]);
    fs::rename(directory.path().join("rdsprov.toml"), directory.path().join("other.toml")).unwrap();
    assert_eq!(complete(&["plan", "--config", "other.toml", "--only", ""]), ["billing"]);
    assert_eq!(complete(&["plan", "--only", ""]), ["reports", "shop"]);
    // With definitions that cannot be read, there are no names, and no message.
    fs::write(directory.path().join("terraform.tfvars"), "application_databases = {").unwrap();
    assert!(complete(&["plan", "--only", ""]).is_empty());
    assert!(complete(&["plan", "-d", "none.tfvars", "--only", ""]).is_empty());
}

#[test]
fn closed_sets_environments_and_instances_are_completed() {
    let directory = directory();
    let complete = |words: &[&str]| bash(directory.path(), &[&["rdsprov"], words].concat());
    assert_eq!(complete(&["plan", "--env", ""]), ["dev", "test", "staging", "prod"]);
    assert_eq!(complete(&["plan", "--env", "=", "st"]), ["staging"]);
    assert_eq!(complete(&["plan", "--env", "="]), ["dev", "test", "staging", "prod"]);
    assert_eq!(complete(&["plan", "--allow", "drops_"]), ["drops_role", "drops_database"]);
    assert_eq!(complete(&["explain", "plan-st"]), ["plan-stale"]);
    assert_eq!(complete(&["pref"]), ["preflight"]);
    assert_eq!(complete(&["man", "pref"]), ["preflight"]);
    assert_eq!(complete(&["man", "audit", "v"]), ["verify"]);
    assert_eq!(complete(&["rotate", "--format", ""]), ["text", "json", "markdown"]);
    assert_eq!(complete(&["validate", "--format", ""]), ["text", "json"]);
    assert_eq!(complete(&["plan", "--detailed"]), ["--detailed-exitcode"]);
    assert_eq!(complete(&["plan", "-d", "terra"]), ["terraform.tfvars"]);
    fs::write(directory.path().join("rdsprov.toml"), CONFIG).unwrap();
    assert_eq!(complete(&["export", "--env", "e"]), ["edge"]);
    fs::write(directory.path().join("fleet.toml"), FLEET).unwrap();
    let fleet = ["plan", "--fleet", "fleet.toml", "--only-instance", ""];
    assert_eq!(complete(&fleet), ["orders"]);
}

#[test]
fn zsh_completes() {
    let script = "compdef() { :; }
        _describe() { print -l -- \"${(@P)3}\" }
        eval \"$(rdsprov completions zsh)\"
        words=(rdsprov plan --only ''); CURRENT=4
        _clap_dynamic_completer_rdsprov
        words=(rdsprov plan --allow adopts); CURRENT=4
        _clap_dynamic_completer_rdsprov";
    let found = run("zsh", directory().path(), script);
    assert_eq!(found[..2], ["reports", "shop"], "{found:?}");
    assert!(found[2].starts_with("adopts:"), "{found:?}");
    assert!(found[3].starts_with("adopts_from_environment:"), "{found:?}");
}

#[test]
fn fish_completes() {
    let script = "rdsprov completions fish | source
        complete -C 'rdsprov plan --only '
        complete -C 'rdsprov plan --env s'";
    assert_eq!(run("fish", directory().path(), script), ["reports", "shop", "staging"]);
}
