//! The planner without a server: the recordings in `testdata/scenarios` give the plans that the
//! snapshots contain.
//!
//! The live test `scenarios` writes each recording, `observed*.json`, and compares it with the
//! server. This program therefore knows neither connections nor the features of the core.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use rdsprov_core::config::Config;
use rdsprov_core::definitions::{Definitions, SourceText, Syntax};
use rdsprov_core::desired::{Adoption, Credential, Desired};
use rdsprov_core::hint::{Operation, Opt, Wording};
use rdsprov_core::name::RoleName;
use rdsprov_core::observed::{Observed, Relations};
use rdsprov_core::plan::{Hazard, Plan, SecretFindings, required_relation_names};
use rdsprov_core::secret_id::{SecretId, Templates};
use serde::{Deserialize, Serialize};

/// A recorded state: the inputs of the planner other than the desired state.
#[derive(Clone, Serialize, Deserialize)]
struct Recording {
    observed: Observed,
    #[serde(default)]
    findings: SecretFindings,
}

impl Recording {
    fn plan(&self, desired: &Desired) -> Plan {
        Plan::new(desired, &self.observed, self.findings.clone())
    }

    /// Returns the groups of relations that were observed in all databases.
    fn relations_mut(&mut self) -> impl Iterator<Item = &mut Relations> {
        let contents = self.observed.databases.values_mut().filter_map(|one| one.contents.as_mut());
        contents.flat_map(|one| one.schemas.values_mut()).flat_map(|one| &mut one.relations)
    }
}

/// One plan of a scenario: that of one PostgreSQL version, or of all that share it.
struct Case {
    name: String,
    desired: Desired,
    recording: Recording,
    snapshot: PathBuf,
}

/// Spells options and operations as the command does, whose plans the snapshots contain.
struct CommandWording;

impl Wording for CommandWording {
    fn option(&self, option: Opt, value: Option<&str>) -> String {
        match value {
            Some(value) => format!("--{} {value}", option.name()),
            None if [Opt::DropRole, Opt::DropDatabase].contains(&option) => {
                format!("--{}", option.name())
            }
            None => panic!("spell {option:?} without a value"),
        }
    }

    fn operation(&self, operation: Operation) -> String {
        format!("`rdsprov {}`", operation.name())
    }

    fn operation_on(&self, operation: Operation, applications: &[&str]) -> String {
        format!("`rdsprov {} {}`", operation.name(), applications.join(" "))
    }
}

/// Returns the desired state of a scenario, as `rdsprov plan --env dev` with its arguments, or as the
/// `rdsprov delegate` of the live tests.
fn desired(scenario: &Path) -> Desired {
    if scenario.join("delegate").exists() {
        let role = RoleName::new("rdsprov_admin").unwrap();
        let secret = SecretId("goldenpath/dev/rds/rdsprov_admin".to_owned());
        let credential = Credential::Password(secret);
        return Desired::delegation("dev", role, credential, Adoption::Refused);
    }
    let config = match fs::read_to_string(scenario.join("rdsprov.toml")) {
        Ok(text) => Config::from_toml("rdsprov.toml", &text).unwrap(),
        Err(_) => Config::default(),
    };
    let definitions = SourceText {
        path: "definitions.tfvars".to_owned(),
        text: fs::read_to_string(scenario.join("definitions.tfvars")).unwrap(),
        syntax: Syntax::from_path("definitions.tfvars").unwrap(),
    };
    let mut rules = config.rules();
    rules.environment = Some("dev".to_owned());
    let definitions = Definitions::parse(&[definitions], &rules).unwrap();
    let mut desired = Desired::new(&definitions, "dev", &Templates::default(), None).unwrap();
    desired.undeclared_access = config.access.undeclared.unwrap_or_default();
    let arguments = fs::read_to_string(scenario.join("arguments")).unwrap_or_default();
    for pair in arguments.split_whitespace().collect::<Vec<_>>().chunks(2) {
        match pair {
            ["--allow", hazard] => {
                let hazard: Hazard = hazard.parse().unwrap();
                desired.may_change_owners |= hazard == Hazard::ChangesOwner;
                desired.allowed_hazards.insert(hazard.name());
            }
            other => panic!("{} has unknown arguments: {other:?}", scenario.display()),
        }
    }
    desired
}

/// Returns what follows a word in the names of the files of a scenario: `_14` for `plan_14.snap`.
fn suffixes(scenario: &Path, word: &str, extension: &str) -> BTreeSet<String> {
    let suffix = |file: fs::DirEntry| {
        let name = file.file_name().into_string().unwrap();
        Some(name.strip_prefix(word)?.strip_suffix(extension)?.to_owned())
    };
    scenario.read_dir().unwrap().filter_map(|file| suffix(file.unwrap())).collect()
}

/// Every plan of every scenario, or of those whose names contain `RDSPROV_SCENARIO`.
static CASES: LazyLock<Vec<Case>> = LazyLock::new(read_cases);

/// Reads the scenarios. Each snapshot of a plan must have a recording.
fn read_cases() -> Vec<Case> {
    let chosen = std::env::var("RDSPROV_SCENARIO").unwrap_or_default();
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/scenarios");
    let mut cases = Vec::new();
    for scenario in scenarios.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
        let name = scenario.file_name().unwrap().to_str().unwrap();
        if !name.contains(&chosen) {
            continue;
        }
        let plans = suffixes(&scenario, "plan", ".snap");
        assert!(plans.contains("") && plans.contains("_14"), "{name} lacks plans: {plans:?}");
        assert_eq!(
            suffixes(&scenario, "observed", ".json"),
            plans,
            "{name}: the recordings and the plans differ; run the live test `scenarios` with \
             INSTA_UPDATE=always (see CONTRIBUTING.md)"
        );
        let desired = desired(&scenario);
        cases.extend(plans.iter().map(|suffix| {
            let json = fs::read_to_string(scenario.join(format!("observed{suffix}.json"))).unwrap();
            Case {
                name: format!("{name}{suffix}"),
                desired: desired.clone(),
                recording: serde_json::from_str(&json).unwrap(),
                snapshot: scenario.join(format!("plan{suffix}.snap")),
            }
        }));
    }
    assert!(!cases.is_empty());
    cases
}

/// Returns a plan as in the snapshots: without the digest, which the live test cannot compare.
fn text(plan: &Plan) -> String {
    let text = plan.to_text_worded(&CommandWording);
    let lines: Vec<&str> =
        text.lines().map(|line| line.split(" sha256:").next().unwrap_or(line)).collect();
    lines.join("\n")
}

/// With `INSTA_UPDATE=always`, writes the plans that differ into the snapshots.
#[test]
fn recordings_give_the_plans_of_the_snapshots() {
    let renew = std::env::var("INSTA_UPDATE").is_ok_and(|mode| mode == "always");
    let mut failed = Vec::new();
    for Case { name, desired, recording, snapshot } in &*CASES {
        let content = fs::read_to_string(snapshot).unwrap();
        let (header, expected) =
            content.split_at(content.match_indices("---\n").nth(1).unwrap().0 + 4);
        let plan = text(&recording.plan(desired));
        if plan.trim_end() == expected.trim_end() {
            continue;
        }
        if renew {
            fs::write(snapshot, format!("{header}{plan}\n")).unwrap();
        } else {
            failed.push(format!("{name}: the snapshot is\n{expected}\nand the plan is\n{plan}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn equal_inputs_give_equal_bytes() {
    for Case { name, desired, recording, .. } in &*CASES {
        let plan = recording.plan(desired);
        let again = serde_json::to_string(&recording).unwrap();
        let again = serde_json::from_str::<Recording>(&again).unwrap().plan(desired);
        assert_eq!(plan, again, "{name}");
        assert_eq!(plan.to_json().unwrap(), again.to_json().unwrap(), "{name}");
        assert_eq!(plan.to_sql(), again.to_sql(), "{name}");
    }
}

/// A plan that changes something or is refused has no probe whose result is not recorded.
#[test]
fn recordings_contain_the_results_of_all_probes() {
    for Case { name, desired, recording, .. } in &*CASES {
        let plan = recording.plan(desired);
        if !plan.is_empty() || !plan.refusals.is_empty() {
            assert!(plan.probes.is_empty(), "{name}: {:?}", plan.probes);
        }
    }
}

/// A plan does not depend on the numbers by which names are queried, nor on names that
/// `required_relation_names` does not require; those that it requires are recorded.
#[test]
fn only_required_names_of_relations_matter() {
    for Case { name, desired, recording, .. } in &*CASES {
        let plan = recording.plan(desired);
        let mut recording = recording.clone();
        for (number, group) in (1..).zip(recording.relations_mut()) {
            group.number = number;
        }
        let observed = recording.observed.clone();
        let required: BTreeSet<i64> = observed
            .databases
            .iter()
            .filter_map(|(database, seen)| Some((database, seen.contents.as_ref()?)))
            .flat_map(|(database, seen)| {
                required_relation_names(desired, &observed, database, seen)
            })
            .collect();
        for group in recording.relations_mut() {
            if required.contains(&group.number) {
                assert_eq!(group.names.len() as u64, group.count, "{name}: {group:?}");
            } else {
                assert!(group.names.is_empty(), "{name}: {group:?}");
                group.names = vec!["not_required".to_owned()];
            }
        }
        let same = recording.plan(desired);
        assert_eq!(same.transactions, plan.transactions, "{name}");
        assert_eq!(text(&same), text(&plan), "{name}");
    }
}
