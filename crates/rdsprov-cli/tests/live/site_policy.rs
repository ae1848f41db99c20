//! The site policy: what a repository with `rdsprov.toml` cannot change.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

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

    /// Asserts that a policy refuses a run before it contacts the server, and that `preflight` contacts nothing.
    #[track_caller]
    fn refuses(&self, policy: &str, environment: &str, arguments: &[&str], says: &str) {
        fs::write(&self.policy, policy).unwrap();
        let mark = self.fixture.server.log().len();
        let mut command = self.apply(environment, arguments);
        let text = expect(&command.env("ALLOW_DB_PROVISION", "true").output().unwrap(), 3);
        assert!(text.contains("error[site-policy-violated]: "), "{text}");
        assert!(text.contains(says), "{says} is not in {text}");
        let words = [&["preflight", "--env", environment], arguments].concat();
        let mut command = self.fixture.command(&self.definitions, &words);
        command.env("RDSPROV_POLICY", &self.policy);
        let checks = expect(&command.output().unwrap(), 3);
        for word in ["[site-policy-violated]", says.lines().next().unwrap(), "secrets: not checked"]
        {
            assert!(checks.contains(word), "{word} is not in {checks}");
        }
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
    let ledger = site.fixture.path().join("site/ledger.jsonl");
    let named = format!("[audit]\nledger = \"{}\"", ledger.display());
    site.refuses(&named, "dev", &[], &format!("hint: use --audit-ledger {}", ledger.display()));
    let other = format!("{path} requires the ledger {}, and this run uses own", ledger.display());
    site.refuses(&named, "dev", &["--audit-ledger", "own.jsonl"], &other);
    let table = format!("{path} requires an audit table");
    site.refuses("[audit]\ntable = true", "dev", &[], &table);
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
                  allow = []\n[tls]\nmode = \"require\"\n[audit]\nledger = \"ledger.jsonl\"\n";
    fs::write(&site.policy, policy).unwrap();
    let mut command = site.apply("prod", &["--audit-ledger", "ledger.jsonl"]);
    expect(&command.env("ALLOW_DB_PROVISION", "true").output().unwrap(), 0);
}

/// A person who edits `rdsprov.toml` could let the run trust another server.
#[test]
fn only_certificates_of_the_site_are_trusted() {
    let site = Site::new();
    let fixture = &site.fixture;
    let ca = fs::read(fixture.server.ca_file()).unwrap();
    fs::write(fixture.path().join("own.pem"), &ca).unwrap();
    let plan = |arguments: &[&str]| {
        let mut command = fixture.without_connection(&site.definitions, &["plan", "--env", "dev"]);
        command.args(arguments).env("RDSPROV_POLICY", &site.policy);
        let secrets = format!("file:{}", fixture.path().display());
        command.args(["--secrets", &secrets, "--admin-secret", "goldenpath/dev/rds/master"]);
        command
    };
    let refused = |command: &mut Command, remove: &str| {
        let mark = fixture.server.log().len();
        let text = expect(&command.output().unwrap(), 3);
        assert!(text.contains("error[site-policy-violated]: "), "{text}");
        assert!(text.contains("policy.toml does not allow the CA file "), "{text}");
        assert!(text.contains(&format!("hint: remove {remove}")), "{remove}: {text}");
        assert!(!fixture.server.log()[mark..].contains("connection received"), "{text}");
    };
    let in_configuration = format!("{LAX}\n[tls]\nca_file = \"own.pem\"\n");
    let configuration = fixture.path().join("rdsprov.toml");

    // Without a policy, the file is trusted.
    fs::write(&site.policy, "").unwrap();
    fs::write(&configuration, &in_configuration).unwrap();
    expect(&plan(&[]).output().unwrap(), 0);

    for policy in ["[tls]\nmode = \"verify-full\"\n", "[tls]\nca_file = \"system\"\n"] {
        fs::write(&site.policy, policy).unwrap();
        fs::write(&configuration, &in_configuration).unwrap();
        refused(&mut plan(&[]), "`ca_file` in `[tls]` of `rdsprov.toml`");
        fs::write(&configuration, LAX).unwrap();
        refused(&mut plan(&["--ca-file", "own.pem"]), "--ca-file");
        refused(plan(&[]).env("RDSPROV_CA_FILE", "own.pem"), "--ca-file");
        refused(plan(&[]).env("PGSSLROOTCERT", "own.pem"), "`PGSSLROOTCERT`");
        // The certificates of the system do not include the one of this server.
        for arguments in [&[][..], &["--ca-file", "system"]] {
            let text = expect(&plan(arguments).output().unwrap(), 1);
            assert!(text.contains("error[untrusted-server-certificate]"), "{text}");
        }
    }

    // The policy has a CA file, next to it.
    let directory = site.fixture.path().join("site");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("ca.pem"), &ca).unwrap();
    let policy = directory.join("policy.toml");
    fs::write(&policy, "[tls]\nca_file = \"ca.pem\"\n").unwrap();
    let with_ca = |arguments: &[&str]| {
        let mut command = plan(arguments);
        command.env("RDSPROV_POLICY", &policy);
        command
    };
    expect(&with_ca(&[]).output().unwrap(), 0);
    let same = directory.join("ca.pem").display().to_string();
    expect(&with_ca(&["--ca-file", &same]).output().unwrap(), 0);
    refused(&mut with_ca(&["--ca-file", "own.pem"]), "--ca-file FILE: the policy names ");
    fs::write(&configuration, &in_configuration).unwrap();
    refused(&mut with_ca(&[]), "`ca_file` in `[tls]` of `rdsprov.toml`: the policy names ");
    // It implies the verification.
    fs::write(&configuration, LAX).unwrap();
    let text = expect(&with_ca(&["--tls", "require"]).output().unwrap(), 3);
    assert!(text.contains("requires the TLS mode verify-full"), "{text}");
}

/// The limits of a policy are below the built-in ones, never above.
#[test]
fn maximum_sizes_of_the_site_count() {
    let site = Site::new();
    let run = |words: &[&str]| {
        let mut command = site.fixture.without_connection(&site.definitions, words);
        command.env("RDSPROV_POLICY", &site.policy).env("ALLOW_DB_PROVISION", "true");
        command
    };
    let configuration = site.fixture.path().join("rdsprov.toml");
    fs::write(site.fixture.path().join("plan.json"), "{}").unwrap();
    let validate = ["validate", "--env", "prod"];
    let apply = ["apply", "plan.json", "--env", "prod"];
    let path = site.policy.display().to_string();
    for (key, words, code) in
        [("definitions", &validate[..], 0), ("configuration", &validate, 0), ("plan", &apply, 3)]
    {
        let limit = |bytes: u64| {
            fs::write(&site.policy, format!("[maximum_file_sizes]\n{key} = {bytes}\n")).unwrap();
        };
        limit(1);
        let text = expect(&run(words).output().unwrap(), 64);
        let says = format!("it is larger than 1 byte, the maximum in {path}");
        assert!(text.contains("error[file-unreadable]") && text.contains(&says), "{key}: {text}");
        limit(4096);
        let text = expect(&run(words).output().unwrap(), code);
        assert!(!text.contains("file-unreadable"), "{key}: {text}");
    }
    fs::write(&site.policy, "[maximum_file_sizes]\nconfiguration = 1073741824\n").unwrap();
    fs::File::create(configuration).unwrap().set_len((1 << 20) + 1).unwrap();
    let text = expect(&run(&validate).output().unwrap(), 64);
    assert!(text.contains("it is larger than 1 MiB, the maximum"), "{text}");
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
    let in_namespace = |kind: &[&str]| {
        let mut own = Command::new("unshare");
        own.args(kind)
            .args(["sh", "-c"])
            .arg("mount --bind \"$1\" /etc/rdsprov && shift && exec \"$@\"")
            .arg("sh")
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
        own.output().unwrap()
    };
    let is_missing = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stderr);
        text.contains("unshare failed") || text.contains("mount: ")
    };
    let mut output = in_namespace(&["--mount"]);
    if is_missing(&output) {
        output = in_namespace(&["--user", "--map-root-user", "--mount"]);
    }
    assert!(
        !is_missing(&output),
        "this test needs a mount namespace and the directory {MACHINE}: run it as root, or where \
         `unshare --user --map-root-user --mount` works: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = expect(&output, 3);
    assert!(
        text.contains(
            "error[site-policy-violated]: /etc/rdsprov/policy.toml does not allow the \
             administrator's secret goldenpath/prod/rds/master in environment `dev`"
        ),
        "{text}"
    );
}

/// The site can limit the roles that `rdsprov.toml` permits in `memberships`.
#[test]
fn only_memberships_of_the_site_are_allowed() {
    let site = Site::new();
    let config = "[definitions]\nmemberships = [\"pg_read_all_data\", \"team\"]\n";
    fs::write(site.fixture.path().join("rdsprov.toml"), config).unwrap();
    site.fixture.query("CREATE ROLE team");
    site.fixture.query("GRANT team TO platform_admin WITH ADMIN OPTION");
    site.fixture.definitions(
        r#"application_databases = {
            shop = { database_name = "shop", username = "shop_owner", memberships = ["pg_monitor", "team"] }
        }"#,
    );
    let path = site.policy.display().to_string();
    site.refuses(
        "[environments.dev]\nmemberships = [\"pg_read_all_data\"]",
        "dev",
        &[],
        &format!(
            "{path} does not allow team in `memberships` of role shop_owner in environment `dev`\n\
             hint: remove team from `memberships`"
        ),
    );
    fs::write(&site.policy, "[environments.dev]\nmemberships = [\"team\"]").unwrap();
    expect(&site.apply("dev", &[]).output().unwrap(), 0);
}

/// `delegate` creates a secret, also with the keys that the repository sets.
#[test]
fn new_secrets_have_the_key_and_the_tags_of_the_site() {
    let fixture = Fixture::with_secrets_manager(versions()[0]);
    let policy = fixture.path().join("policy.toml");
    let text = "[secrets]\nkms_keys = [\"alias/site-*\"]\ntags = { team = \"platform\" }\n";
    fs::write(&policy, text).unwrap();
    let lax = "[secrets]\nkms_key = \"alias/mine\"\ntags = { team = \"mine\" }\n";
    fs::write(fixture.path().join("rdsprov.toml"), lax).unwrap();
    let delegate = |arguments: &[&str], code| {
        let mut command = fixture.delegate("dev");
        let output = command.env("RDSPROV_POLICY", &policy).args(arguments).output().unwrap();
        expect(&output, code)
    };
    let of_site = ["--secret-kms-key", "alias/site-1"];
    let denied = delegate(&[], 3);
    assert!(denied.contains("does not allow the KMS key alias/mine for a new secret"), "{denied}");
    assert!(denied.contains("use --secret-kms-key"), "{denied}");
    let denied = delegate(&of_site, 3);
    assert!(denied.contains("requires the tag team=platform for a new secret"), "{denied}");
    fs::write(fixture.path().join("rdsprov.toml"), "").unwrap();
    let denied = delegate(&[], 3);
    assert!(denied.contains("does not allow the KMS key `aws/secretsmanager`"), "{denied}");
    delegate(&[&of_site[..], &["--secret-tags", "team=platform,app=x"]].concat(), 0);
}
