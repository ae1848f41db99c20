//! Compares the policies in `docs/iam.md` with the AWS calls of each command.

use std::collections::{BTreeMap, BTreeSet};

use rdsprov_testkit::{Call, HttpProxy, Reply, versions};
use serde_json::Value;

use crate::fixture::{Fixture, expect};

const DOCUMENT: &str = include_str!("../../../../docs/iam.md");

/// The commands by their headings, with their arguments and exit codes. Commands that only read
/// precede the one that changes their input.
const COMMANDS: [(&str, &[&str], i32); 21] = [
    ("validate", &["validate"], 0),
    ("plan", &["plan", "--out", "plan.json"], 0),
    ("check", &["check"], 2),
    ("preflight", &["preflight"], 0),
    ("config", &["config"], 0),
    ("graph", &["graph"], 0),
    ("apply PLAN", &["apply", "plan.json", "--dry-run"], 0),
    ("apply", &["apply", "--audit-ledger", "ledger.jsonl"], 0),
    ("rotate", &["rotate", "keycloak"], 0),
    ("retire", &["retire", "former", "--delete-secret"], 0),
    (
        "teardown",
        &[
            "teardown",
            "--env",
            "dev",
            "--build-id",
            "b1",
            "--without-backup",
            "--allow",
            "drops_role",
            "--delete-secret",
        ],
        0,
    ),
    ("delegate", &[], 0),
    ("access", &["access"], 0),
    // The fixture runs it with fixed arguments.
    ("export", &["export"], 0),
    ("audit", &["audit", "verify", "ledger.jsonl"], 0),
    ("audit", &["audit", "report", "ledger.jsonl"], 0),
    // No result is missing.
    (
        "audit",
        &[
            "audit",
            "acknowledge",
            "ledger.jsonl",
            "--line",
            "1",
            "--found",
            "unknown",
            "--reason",
            "none",
        ],
        64,
    ),
    ("schema", &["schema", "plan"], 0),
    ("completions", &["completions", "bash"], 0),
    ("man", &["man"], 0),
    ("explain", &["explain", "plan-stale"], 0),
];

/// Commands that read no definitions.
const WITHOUT_DEFINITIONS: [&str; 5] = ["audit", "schema", "completions", "man", "explain"];

/// The actions of a policy, with the resources of each.
type Policy = BTreeMap<String, Vec<String>>;

/// Returns the policies of the document by section heading.
fn policies() -> BTreeMap<String, Policy> {
    let section = |text: &'static str| {
        let (heading, rest) = text.split_once('\n').unwrap();
        let blocks =
            rest.split("```json\n").skip(1).map(|block| block.split("```").next().unwrap());
        let statements: Vec<Value> = blocks
            .flat_map(|block| {
                let mut policy: Value = serde_json::from_str(block).unwrap();
                assert_eq!(policy["Version"], "2012-10-17");
                policy["Statement"].as_array_mut().unwrap().split_off(0)
            })
            .collect();
        let texts = |value: &Value| -> Vec<String> {
            let many = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            many.iter().map(|one| one.as_str().unwrap().to_owned()).collect()
        };
        let policy = statements.iter().flat_map(|statement| {
            assert_eq!(statement["Effect"], "Allow");
            let resources = texts(&statement["Resource"]);
            texts(&statement["Action"]).into_iter().map(move |action| (action, resources.clone()))
        });
        (heading.to_owned(), policy.collect())
    };
    DOCUMENT.split("\n## ").skip(1).map(section).collect()
}

/// Returns whether a policy's resource matches a secret, with the suffix that Secrets Manager
/// adds to its name.
fn is_allowed(resource: &str, secret: &str) -> bool {
    let Some((_, pattern)) = resource.split_once(":secret:") else { return resource == "*" };
    let pattern = pattern.strip_suffix("-??????").unwrap();
    let (before, after) = pattern.split_once('*').unwrap_or((pattern, ""));
    secret.strip_prefix(before).is_some_and(|rest| {
        rest.strip_suffix(after).is_some_and(|rest| pattern.contains('*') || rest.is_empty())
    })
}

/// Returns the secrets that a call names.
fn secrets(call: &Call) -> Vec<&str> {
    let list = call.parameters["SecretIdList"].as_array().into_iter().flatten();
    let one = ["SecretId", "Name"].into_iter().filter_map(|key| call.parameters.get(key));
    list.chain(one).map(|id| id.as_str().unwrap()).collect()
}

#[test]
fn commands_make_only_documented_calls() {
    let fixture = Fixture::with_secrets_manager(versions()[0]);
    fixture.app("dev", "keycloak", "keycloak_user");
    fixture.app("dev", "backstage", "backstage_user");
    for application in ["former", "built"] {
        fixture.app("dev", application, application);
        let create = format!("CREATE ROLE {application}");
        fixture.server.master("postgres", &create).unwrap();
        let comment = format!(
            "COMMENT ON ROLE {application} IS '[managed by rdsprov: environment=dev \
             application={application} build_id=b1 name=\"{application}\" \
             secret=\"goldenpath/dev/{application}/postgres\"]'"
        );
        fixture.query(&comment);
    }
    let config = "[environments.dev]\nephemeral = true\n";
    std::fs::write(fixture.path().join("rdsprov.toml"), config).unwrap();
    let manager = fixture.secrets_manager.as_ref().unwrap();
    let plain = HttpProxy::start(manager, |_| None).unwrap();
    // Without permission for BatchGetSecretValue, each secret is read by its own call.
    let singly = HttpProxy::start(manager, |call| {
        (call.action == "BatchGetSecretValue")
            .then(|| Reply::Error("AccessDeniedException", "not in batches".to_owned()))
    })
    .unwrap();
    let policies = policies();
    for (command, arguments, code) in COMMANDS {
        let run = |proxy: &HttpProxy, code| {
            let mut program = if command == "delegate" {
                fixture.delegate("dev")
            } else if command == "export" {
                fixture.export(&[])
            } else if command == "teardown" {
                fixture.without_definitions(arguments)
            } else if WITHOUT_DEFINITIONS.contains(&command) {
                let mut program = fixture.program();
                program.args(arguments);
                program
            } else if command == "graph" {
                fixture.without_connection("teams/standalone.tfvars", arguments)
            } else {
                fixture.command("teams/standalone.tfvars", arguments)
            };
            expect(&program.envs(proxy.environment()).output().unwrap(), code);
            proxy.take_calls()
        };
        let mut calls = run(&plain, code);
        let policy = &policies[&format!("`rdsprov {command}`")];
        if !policy.is_empty() && !["rotate", "delegate"].contains(&command) {
            let reads = calls.iter().filter(|call| call.action.ends_with("GetSecretValue"));
            assert_eq!(reads.count(), 1, "one batch is enough for {command}: {calls:?}");
        }
        calls.extend(run(&singly, code));
        let called: BTreeSet<String> =
            calls.iter().map(|call| format!("secretsmanager:{}", call.action)).collect();
        assert_eq!(called, policy.keys().cloned().collect(), "{command}");
        for call in &calls {
            // A batch needs the permissions of single reads as well.
            let action = call.action.replace("BatchGet", "Get");
            let resources = &policy[&format!("secretsmanager:{action}")];
            for secret in secrets(call) {
                assert!(resources.iter().any(|one| is_allowed(one, secret)), "{command}: {secret}");
            }
        }
    }
    let documented = policies.keys().filter_map(|heading| heading.strip_prefix("`rdsprov "));
    let documented: BTreeSet<&str> = documented.map(|rest| rest.trim_end_matches('`')).collect();
    let run: BTreeSet<&str> = COMMANDS.iter().map(|(command, ..)| *command).collect();
    assert_eq!(documented, run);
    let managed = &policies["Secrets that RDS manages"];
    assert_eq!(
        managed.keys().collect::<Vec<_>>(),
        [
            "rds:DescribeDBClusters",
            "rds:DescribeDBInstances",
            "secretsmanager:DescribeSecret",
            "secretsmanager:GetSecretValue"
        ]
    );
    let key = &policies["Secrets under a key of your own"];
    assert_eq!(key.keys().collect::<Vec<_>>(), ["kms:Decrypt", "kms:GenerateDataKey"]);
}

/// Returns the commands that `--help` lists.
fn known(arguments: &[&str]) -> BTreeSet<String> {
    let mut program = crate::fixture::program();
    let help = expect(&program.args(arguments).arg("--help").output().unwrap(), 0);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let lines = commands.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_is_documented() {
    let run = |at: usize| -> BTreeSet<String> {
        let words = COMMANDS.iter().filter(|(command, ..)| at == 0 || *command == "audit");
        // The fixture runs `delegate` with fixed arguments.
        words.map(|(command, words, _)| words.get(at).unwrap_or(command).to_string()).collect()
    };
    assert_eq!(run(0), known(&[]));
    assert_eq!(run(1), known(&["audit"]));
}
