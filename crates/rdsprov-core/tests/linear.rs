//! Reading definitions, planning and rendering take work that is linear in the number of applications. The
//! test counts allocations: a loop over all roles in a loop over all databases usually makes some.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;

use allocation_counter::measure;
use rdsprov_core::definitions::{Definitions, Rules, SourceText, Syntax};
use rdsprov_core::desired::Desired;
use rdsprov_core::observed::Observed;
use rdsprov_core::plan::{Plan, SecretFindings};
use rdsprov_core::secret_id::Templates;

/// Returns the definitions of some applications, each with an owner and a reader.
fn definitions(applications: usize) -> String {
    let entries = (0..applications).map(|number| {
        format!(
            r#""app_{number}": {{"database_name": "db_{number}", "username": "owner_{number}"}},
               "reports_{number}": {{"database_name": "db_{number}", "username": "reader_{number}",
                 "access_level": "reader", "settings": {{"work_mem": "8MB"}}}}"#
        )
    });
    let entries: Vec<String> = entries.collect();
    format!(r#"{{"application_databases": {{{}}}}}"#, entries.join(","))
}

fn read(text: &str) -> Desired {
    let source =
        SourceText { path: "all.json".to_owned(), text: text.to_owned(), syntax: Syntax::Json };
    let definitions = Definitions::parse(&[source], &Rules::default()).unwrap();
    Desired::new(&definitions, "dev", &Templates::default(), None).unwrap()
}

/// Returns how many allocations some work makes for 1,000 applications instead of 100.
fn growth(work: impl Fn(usize)) -> f64 {
    let count = |applications| measure(|| work(applications)).count_total as f64;
    count(1000) / count(100)
}

#[test]
fn definitions_and_plans_take_linear_work() {
    let new_server = include_str!("../../../testdata/scenarios/new_database/observed.json");
    let recording: serde_json::Value = serde_json::from_str(new_server).unwrap();
    let mut observed: Observed = serde_json::from_value(recording["observed"].clone()).unwrap();
    observed.databases.clear();

    let read_only = growth(|applications| drop(read(&definitions(applications))));
    assert!(read_only < 12.0, "reading: {read_only}");

    let states = [100, 1000].map(|applications| read(&definitions(applications)));
    let desired = |applications| &states[usize::from(applications == 1000)];
    let plan =
        |applications| Plan::new(desired(applications), &observed, SecretFindings::default());
    let planned = growth(|applications| {
        let plan = plan(applications);
        assert_eq!(plan.refusals, []);
        let created: BTreeSet<_> = plan.steps().filter_map(|step| step.database.as_ref()).collect();
        assert_eq!(created.len(), applications);
    });
    assert!(planned < 12.0, "planning: {planned}");

    let plans = [100, 1000].map(plan);
    let rendered = growth(|applications| {
        let plan = &plans[usize::from(applications == 1000)];
        assert!(!plan.to_text().is_empty());
        assert!(!serde_json::to_string(plan).unwrap().is_empty());
    });
    assert!(rendered < 12.0, "rendering: {rendered}");
}
