//! The site policy: what a repository with `rdsprov.toml` cannot change.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect};

const DEFINITIONS: &str = r#"application_databases = {
    shop = { database_name = "shop", username = "shop_owner" }
}"#;

/// A repository whose configuration asks for as few checks as possible.
const LAX: &str = r#"
[environments.prod]
approval = "none"

[secrets]
admin = "goldenpath/prod/rds/master"
"#;

struct Site {
    fixture: Fixture,
    definitions: String,
    policy: PathBuf,
}

impl Site {
    fn new() -> Self {
        let fixture = Fixture::new(versions()[0]);
        for environment in ["dev", "prod"] {
            fixture.app(environment, "shop", "shop_owner");
        }
        let definitions = fixture.definitions(DEFINITIONS);
        fs::write(fixture.path().join("rdsprov.toml"), LAX).unwrap();
        let policy = fixture.path().join("policy.toml");
        Self { fixture, definitions, policy }
    }

    fn apply(&self, environment: &str, arguments: &[&str]) -> Command {
        let words = [&["apply", "--env", environment], arguments].concat();
        let mut command = self.fixture.command(&self.definitions, &words);
        command.env("RDSPROV_POLICY", &self.policy);
        command
    }

    /// Asserts that a policy refuses a run before it contacts the server.
    #[track_caller]
    fn refuses(&self, policy: &str, environment: &str, arguments: &[&str], says: &str) {
        fs::write(&self.policy, policy).unwrap();
        let mark = self.fixture.server.log().len();
        let mut command = self.apply(environment, arguments);
        let text = expect(&command.env("ALLOW_DB_PROVISION", "true").output().unwrap(), 3);
        assert!(text.contains("error[site-policy-violated]: "), "{text}");
        assert!(text.contains(says), "{says} is not in {text}");
        assert!(!self.fixture.server.log()[mark..].contains("connection authorized"), "{text}");
    }
}

#[test]
fn repository_cannot_relax_the_site_policy() {
    let site = Site::new();
    let path = site.policy.display().to_string();
    site.refuses(
        "[environments.\"*\"]\nadmin_secrets = [\"goldenpath/{environment}/*\"]",
        "dev",
        &[],
        &format!(
            "{path} does not allow the administrator's secret goldenpath/prod/rds/master in \
             environment `dev`\nhint: the policy allows goldenpath/dev/*: check --env NAME and \
             --admin-secret ID"
        ),
    );
    site.refuses(
        "[environments.prod]\nadmin_secrets = [\"goldenpath/prod/*\"]",
        "prod",
        &["--admin-auth", "iam", "--admin-user", "platform_admin", "--host", "localhost"],
        "this run uses an IAM token",
    );
    site.refuses(
        "[tls]\nmode = \"verify-full\"",
        "dev",
        &["--tls", "disable"],
        "requires the TLS mode verify-full, and this run uses disable",
    );
    site.refuses("[audit]\nledger = true", "dev", &[], &format!("{path} requires a ledger"));
    site.refuses(
        "[environments.prod]\nallow = [\"revokes_access\"]",
        "prod",
        &["--allow", "changes_owner"],
        "does not let a run allow the hazard changes_owner in environment `prod`",
    );

    // The approval is the stricter one: `rdsprov.toml` says `none`.
    fs::write(&site.policy, "[environments.prod]\napproval = \"plan\"\n").unwrap();
    let text = expect(&site.apply("prod", &[]).output().unwrap(), 3);
    assert!(text.contains("error[plan-approval-missing]"), "{text}");
    let mut command = site.apply("prod", &[]);
    expect(&command.env("ALLOW_DB_PROVISION", "true").output().unwrap(), 3);

    // A policy that cannot be read stops each run.
    fs::write(&site.policy, "[environments.prod]\naproval = \"plan\"\n").unwrap();
    let text = expect(&site.apply("dev", &[]).output().unwrap(), 64);
    assert!(text.contains("error[invalid-config]") && text.contains("aproval"), "{text}");
    fs::remove_file(&site.policy).unwrap();
    let text = expect(&site.apply("dev", &[]).output().unwrap(), 64);
    assert!(text.contains("policy.toml cannot be read"), "{text}");

    assert_eq!(site.fixture.query("SELECT count(*) FROM pg_roles WHERE rolname ~ '^shop'"), "0");
    let policy = "[environments.prod]\nadmin_secrets = [\"goldenpath/prod/*\"]\napproval = \"required\"\n\
                  allow = []\n[tls]\nmode = \"require\"\n[audit]\nledger = true\n";
    fs::write(&site.policy, policy).unwrap();
    let mut command = site.apply("prod", &["--audit-ledger", "ledger.jsonl"]);
    expect(&command.env("ALLOW_DB_PROVISION", "true").output().unwrap(), 0);
}

/// Both policies apply, that of the machine and the one that `RDSPROV_POLICY` names: a pipeline that a
/// repository defines can set that variable.
#[test]
fn policy_of_the_machine_applies_in_any_case() {
    const MACHINE: &str = "/etc/rdsprov";
    let site = Site::new();
    fs::write(&site.policy, "").unwrap();
    let machine = site.fixture.path().join("machine");
    fs::create_dir(&machine).unwrap();
    fs::write(machine.join("policy.toml"), "[environments.dev]\nadmin_secrets = []\n").unwrap();
    // In a mount namespace of its own, the command sees another directory.
    let _ = fs::create_dir(MACHINE);
    let command = site.apply("dev", &[]);
    let mut own = Command::new("unshare");
    own.args([
        "--mount",
        "sh",
        "-c",
        "mount --bind \"$1\" /etc/rdsprov && shift && exec \"$@\"",
        "sh",
    ])
    .arg(&machine)
    .arg(command.get_program())
    .args(command.get_args())
    .current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => own.env(name, value),
            None => own.env_remove(name),
        };
    }
    let output = own.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    if text.contains("unshare failed") || text.contains("mount: ") {
        eprintln!("this system allows no mount namespace: {text}");
        return;
    }
    let text = expect(&output, 3);
    assert!(
        text.contains(
            "error[site-policy-violated]: /etc/rdsprov/policy.toml does not allow the \
             administrator's secret goldenpath/prod/rds/master in environment `dev`"
        ),
        "{text}"
    );
}
