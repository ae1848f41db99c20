//! The functions that the fuzzer in `fuzz/` calls with arbitrary bytes, and the test `corpus` with those that the
//! fuzzer has found. A target panics if the program does, or if a property does not hold.

use std::fmt::{Debug, Display};

use rdsprov_core::access_report::{AccessReport, ShownRoles};
use rdsprov_core::audit::{changes, entries, report, verify};
use rdsprov_core::config::Config;
use rdsprov_core::definitions::{Definitions, Rules, SourceText, Syntax};
use rdsprov_core::desired::Desired;
use rdsprov_core::export::{Draft, Export, ExportContext, ExportFormat, ExportScope};
use rdsprov_core::fleet::Fleet;
use rdsprov_core::graph::GraphFormat;
use rdsprov_core::hint::Neutral;
use rdsprov_core::observed::Observed;
use rdsprov_core::plan::{Detail, Plan, SavedPlan, SecretFindings, required_relation_names};
use rdsprov_core::policy::UndeclaredAccess;
use rdsprov_core::secret_id::{SecretId, Templates};
use rdsprov_core::secrets::Secret;
use rdsprov_core::site_policy::SitePolicy;

/// A target: its name, which is that of its directory in `testdata/corpus`, and its function.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 12] = [
    ("hcl", |data| definitions(data, Syntax::Hcl)),
    ("json", |data| definitions(data, Syntax::Json)),
    ("toml", |data| definitions(data, Syntax::Toml)),
    ("configuration", configuration),
    ("site_policy", site_policy),
    ("fleet", fleet),
    ("secret", secret),
    ("saved_plan", saved_plan),
    ("ledger", ledger),
    ("access_report", access_report),
    ("observed", observed),
    ("planner", planner),
];

/// The line between the definitions and the observed state in an input of the planner.
pub const SEPARATOR: &str = "\n--- observed ---\n";

/// Asserts that a text for people contains no character that could deceive them, and no command of a CI system.
fn assert_visible(text: &str) {
    let deceives = |c: char| match c {
        '\n' => false,
        '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}' => true,
        c => c.is_control(),
    };
    assert!(!text.contains(deceives), "a text contains hidden characters: {text:?}");
    assert!(!text.contains("##["), "a text contains a command: {text:?}");
}

/// Asserts that an error can be shown. The front ends escape it.
fn assert_shown(error: impl Display) {
    assert!(!error.to_string().is_empty());
}

/// Calls a function twice, and asserts that the results are equal.
fn twice<T: PartialEq + Debug>(function: impl Fn() -> T) -> T {
    let result = function();
    assert!(result == function(), "equal inputs give other results: {result:?}");
    result
}

fn source(data: &[u8], path: &str, syntax: Syntax) -> Option<SourceText> {
    let text = std::str::from_utf8(data).ok()?.to_owned();
    Some(SourceText { path: path.to_owned(), text, syntax })
}

fn desired(source: &SourceText) -> Option<Desired> {
    let rules = Rules::default();
    let parse =
        || Definitions::parse(std::slice::from_ref(source), &rules).map_err(|e| e.to_string());
    let definitions = match twice(parse) {
        Ok(definitions) => definitions,
        Err(errors) => {
            assert_visible(&errors);
            return None;
        }
    };
    for format in [GraphFormat::Mermaid, GraphFormat::Dot] {
        assert_visible(&definitions.to_graph(format));
    }
    match Desired::new(&definitions, "dev", &Templates::default(), None) {
        Ok(desired) => Some(desired),
        Err(error) => {
            assert_shown(error);
            None
        }
    }
}

fn definitions(data: &[u8], syntax: Syntax) {
    if let Some(source) = source(data, "definitions", syntax) {
        desired(&source);
    }
}

fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::from_toml("rdsprov.toml", text) {
        Ok(config) => {
            let _ = config.rules();
            for environment in config.environments_known() {
                let _ = config.policy(&environment);
            }
        }
        Err(error) => assert_shown(error),
    }
}

fn site_policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match SitePolicy::from_toml("policy.toml", text) {
        Ok(policy) => {
            if let Err(error) = policy.check_environment("dev") {
                assert_shown(error);
            }
            let secret = SecretId("goldenpath/dev/rds/master".to_owned());
            if let Err(error) = policy.check_admin_secret("dev", Some(&secret)) {
                assert_shown(error);
            }
        }
        Err(error) => assert_shown(error),
    }
}

fn fleet(data: &[u8]) {
    let syntax = if data.starts_with(b"{") { Syntax::Json } else { Syntax::Toml };
    let Some(source) = source(data, "fleet", syntax) else { return };
    let parse = || match Fleet::parse(&source) {
        Ok(fleet) => Ok(format!("{fleet:?}")),
        Err(errors) => Err(errors.to_string()),
    };
    if let Err(errors) = twice(parse) {
        assert_visible(&errors);
    }
}

fn secret(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = Secret::parse(&SecretId("goldenpath/dev/shop/postgres".to_owned()), text) {
        assert_shown(error);
    }
}

fn saved_plan(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match SavedPlan::from_json(text) {
        Ok(plan) => {
            let written = plan.to_json().expect("a saved plan can be written");
            let again = SavedPlan::from_json(&written).expect("what is written can be read");
            assert!(plan == again, "a saved plan changes by writing and reading it");
        }
        Err(error) => assert_shown(error),
    }
}

fn ledger(data: &[u8]) {
    let verified = verify(data, None).expect("bytes can be read");
    assert_eq!(verified.is_intact(), verified.findings.is_empty());
    for finding in &verified.findings {
        assert_shown(&finding.error);
    }
    verified.notes.iter().for_each(assert_shown);
    if let Err(error) = entries(data) {
        assert_shown(error);
        return;
    }
    let all = changes(data, None, None).expect("the records are known");
    let report = report(data, None, None).expect("the records are known");
    assert_eq!(all.len(), report.changes.len());
}

fn access_report(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let report = match AccessReport::from_json(text) {
        Ok(report) => report,
        Err(error) => return assert_shown(error),
    };
    for shown in [ShownRoles::WithoutAdministrators, ShownRoles::All] {
        assert_visible(&report.to_text(shown));
        assert_visible(&report.to_markdown(shown));
    }
    assert_visible(&report.to_csv());
    assert_visible(&report.to_html().expect("a report can be written"));
    let written = report.to_json().expect("a report can be written");
    assert_visible(&written);
    assert!(
        AccessReport::from_json(&written).as_ref() == Ok(&report),
        "a report changes by writing and reading it"
    );
}

fn observed(data: &[u8]) {
    let Ok(observed) = serde_json::from_slice::<Observed>(data) else { return };
    let written = serde_json::to_string(&observed).expect("a state can be written");
    let again: Observed = serde_json::from_str(&written).expect("what is written can be read");
    assert!(observed == again, "a state changes by writing and reading it");
    let (templates, scope, rules) =
        (Templates::default(), ExportScope::default(), Rules::default());
    let context = ExportContext {
        environment: "dev",
        templates: &templates,
        rules: &rules,
        build_id: None,
        scope: &scope,
        undeclared_access: UndeclaredAccess::default(),
    };
    let draft = match Draft::new(&observed, &context) {
        Ok(draft) => draft,
        Err(error) => return assert_shown(error),
    };
    let exported = draft.desired().clone();
    let export = Export::new(draft, &observed, Vec::new());
    for format in [ExportFormat::Tfvars, ExportFormat::Toml] {
        assert_visible(&export.to_text(format, &Neutral));
    }
    plan(&exported, &observed);
}

fn planner(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((definitions, observed)) = text.split_once(SEPARATOR) else { return };
    let Ok(observed) = serde_json::from_str::<Observed>(observed) else { return };
    let Some(source) = source(definitions.as_bytes(), "definitions", Syntax::Hcl) else { return };
    let Some(mut desired) = desired(&source) else { return };
    plan(&desired, &observed);
    desired.may_change_owners = true;
    plan(&desired, &observed);
}

/// Plans, and renders the plan in each form.
fn plan(desired: &Desired, observed: &Observed) {
    let make = || Plan::new(desired, observed, SecretFindings::default());
    let plan = twice(make);
    assert_visible(&plan.to_text());
    assert_visible(&plan.to_text_with(&Neutral, Detail::Full));
    assert_visible(&plan.to_markdown_worded(&Neutral));
    assert_visible(&plan.to_sql());
    let json = twice(|| make().to_json().expect("a plan can be written"));
    assert_visible(&json);
    for (name, database) in &observed.databases {
        if let Some(contents) = &database.contents {
            let _ = required_relation_names(desired, observed, name, contents);
        }
    }
    if let Ok(saved) = SavedPlan::new(&plan) {
        let written = saved.to_json().expect("a saved plan can be written");
        assert_visible(&written);
        let read = SavedPlan::from_json(&written).expect("a saved plan can be read");
        // A plan is saved for a server.
        if observed.connection.server.is_some() {
            read.check_current(&plan).expect("the plan is current");
        }
    }
}
