//! The scripts of `deploy/github/workflows` that write comments and issues. A program replaces `gh`: it
//! returns what is on GitHub, and notes each other call.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rdsprov_testkit::scrub_environment;
use serde_json::{Value, json};

const PLAN: &str = include_str!("../../../../deploy/github/workflows/rdsprov-plan.yml");
const DRIFT: &str = include_str!("../../../../deploy/github/workflows/rdsprov-drift.yml");

/// `gh` returns what an expression of jq selects, and calls with `--app` get only issues of this application.
const GH: &str = r#"#!/bin/sh
printf '%s\n' "$*" >> calls
app=
while [ $# -gt 0 ]; do
  case "$1" in
    --app) app="app/$2" ;;
    --jq) exec jq --raw-output "map(select(\"$app\" == \"\" or .author.login == \"$app\")) | $2" found.json ;;
  esac
  shift
done
"#;

/// The report of the command, and its exit code.
const RDSPROV: &str = "#!/bin/sh\ncat report\nexit \"$(cat code)\"\n";

/// Returns the script of a step.
fn script(workflow: &str, step: &str) -> String {
    let (_, step) = workflow.split_once(&format!("      - name: {step}\n")).unwrap();
    let (_, script) = step.split_once("        run: |\n").unwrap();
    let lines = script.lines().take_while(|line| line.is_empty() || line.starts_with("          "));
    lines.map(|line| format!("{}\n", line.trim_start_matches("          "))).collect()
}

/// Runs a script in a directory, and returns the calls of `gh` and the exit code.
fn run(directory: &Path, script: &str, found: &Value) -> (String, Option<i32>) {
    for (name, program) in [("gh", GH), ("rdsprov", RDSPROV)] {
        let path = directory.join(name);
        std::fs::write(&path, program).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::write(directory.join("found.json"), found.to_string()).unwrap();
    std::fs::write(directory.join("calls"), "").unwrap();
    let mut shell = Command::new("bash");
    scrub_environment(&mut shell);
    let path = std::env::var("PATH").unwrap();
    let output = shell
        .args(["-e", "-c", script])
        .current_dir(directory)
        .env("PATH", format!("{}:{path}", directory.display()))
        .env("GITHUB_REPOSITORY", "team/shop")
        .env("GITHUB_SERVER_URL", "https://github.example")
        .env("GITHUB_RUN_ID", "4711")
        .env("NUMBER", "12")
        .env("ENVIRONMENT", "prod")
        .env("RDSPROV_ENV", "prod")
        .output()
        .unwrap();
    let calls = std::fs::read_to_string(directory.join("calls")).unwrap();
    assert!(!calls.is_empty(), "{output:?}");
    (calls, output.status.code())
}

/// Returns a comment of a user.
fn comment(id: u32, user: &str, body: &str) -> Value {
    json!({"id": id, "user": {"login": user}, "body": body})
}

/// A comment of a person that begins like the one of the workflow would get the plan, and its author could
/// change it after the review.
#[test]
fn comments_of_others_are_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let script = script(PLAN, "Comment");
    let marker = "<!-- rdsprov plan: prod -->";
    let of_person = comment(1, "mallory", &format!("{marker}\nold"));
    let of_workflow = comment(2, "github-actions[bot]", &format!("{marker}\nold"));
    let other = comment(3, "github-actions[bot]", "something else");
    std::fs::write(file("plan.md"), "the plan\n").unwrap();
    let found = json!([of_person, other]);
    let (calls, code) = run(directory.path(), &script, &found);
    assert!(code == Some(0) && !calls.contains("PATCH"), "{calls}");
    let (calls, code) = run(directory.path(), &script, &json!([of_person, other, of_workflow]));
    assert!(
        code == Some(0) && calls.contains("PATCH repos/team/shop/issues/comments/2"),
        "{calls}"
    );
    let written = std::fs::read_to_string(file("comment.md")).unwrap();
    assert_eq!(written, format!("{marker}\nthe plan\n"));
    // Who reads a part of the plan knows it.
    std::fs::write(file("plan.md"), "grant\n".repeat(20_000)).unwrap();
    run(directory.path(), &script, &found);
    let written = std::fs::read_to_string(file("comment.md")).unwrap();
    assert!(written.len() < 65_536, "{}", written.len());
    let says = "**This comment does not contain the whole plan.** \
                [The log](https://github.example/team/shop/actions/runs/4711) does.\n\ngrant\n";
    assert!(written.starts_with(&format!("{marker}\n{says}")), "{}", &written[..200]);
}

/// The log contains what the comment does not.
#[test]
fn log_contains_the_whole_plan() {
    assert!(script(PLAN, "Plan").contains("\ncat plan.md\n"));
    assert!(script(DRIFT, "Check").contains("\ncat drift.txt\n"));
}

/// An issue of a person with the title of the workflow would be changed and closed instead.
#[test]
fn issues_of_others_are_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let script = script(DRIFT, "Check");
    let title = "rdsprov: prod differs from its definitions";
    let issue = |number: u32, author: &str, title: &str| json!({"number": number, "author": {"login": author}, "title": title});
    let of_person = issue(1, "mallory", title);
    let of_workflow = issue(2, "app/github-actions", title);
    let longer = issue(3, "app/github-actions", &format!("{title} no more"));
    std::fs::write(file("report"), "one step\n".repeat(20_000)).unwrap();
    for (exit, found, call) in [
        ("2", json!([of_person, longer]), "issue create --title"),
        ("2", json!([of_person, longer, of_workflow]), "issue edit 2 "),
        ("0", json!([of_person, longer, of_workflow]), "issue close 2 "),
    ] {
        std::fs::write(file("code"), exit).unwrap();
        let (calls, code) = run(directory.path(), &script, &found);
        assert!(code == exit.parse().ok() && calls.contains(call), "{calls}");
        assert_eq!(calls.lines().count(), 2, "{calls}");
    }
    std::fs::write(file("code"), "0").unwrap();
    let (calls, _) = run(directory.path(), &script, &json!([of_person, longer]));
    assert_eq!(calls.lines().count(), 1, "{calls}");
    let body = std::fs::read_to_string(file("body.md")).unwrap();
    assert!(body.starts_with("**This is not the whole report.** [The log]("), "{}", &body[..100]);
    assert!(body.len() < 65_536, "{}", body.len());
}
