use std::collections::BTreeSet;

use crate::desired::Desired;
use crate::plan::{Plan, RefusalCode, SecretFindings, test_states};

fn desired(only: &[&str]) -> Desired {
    let mut desired = test_states::desired();
    let only: Vec<String> = only.iter().map(ToString::to_string).collect();
    desired.select(&only).unwrap();
    desired
}

fn plan(only: &[&str]) -> Plan {
    Plan::new(&desired(only), &test_states::observed(), SecretFindings::default())
}

#[test]
fn steps_are_those_of_the_selected_applications() {
    for (only, roles) in [
        (&["wiki"][..], vec!["wiki_owner"]),
        (&["hr", "wiki"], vec!["hr_owner", "wiki_owner"]),
        (&["hr", "hr_reports"], vec!["analyst", "hr_owner"]),
    ] {
        let plan = plan(only);
        assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
        let names: BTreeSet<&str> = plan.steps().map(|step| step.application.as_str()).collect();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), only);
        let declared: Vec<&str> =
            plan.applications.iter().map(|one| one.application.as_str()).collect();
        assert_eq!(declared.into_iter().collect::<BTreeSet<_>>(), only.iter().copied().collect());
        let changed: BTreeSet<&str> =
            plan.steps().filter_map(|step| Some(step.role.as_ref()?.as_str())).collect();
        assert_eq!(changed.into_iter().collect::<Vec<_>>(), roles);
    }
}

/// The home of `analyst` is `hr_reports`.
#[test]
fn role_is_covered_with_its_home_only() {
    let desired = desired(&["shop", "shop_reports"]);
    let roles: Vec<&str> = desired.selected_roles().map(|(name, _)| name.as_str()).collect();
    assert_eq!(roles, ["shop_owner"]);
    let secrets: Vec<&str> = desired.secrets().into_iter().map(|id| id.0.as_str()).collect();
    assert_eq!(secrets, ["goldenpath/dev/shop/postgres"]);
    let plan = plan(&["shop", "shop_reports"]);
    assert_eq!(plan.refusals.len(), 1, "{:?}", plan.refusals);
    assert_eq!(plan.refusals[0].code(), RefusalCode::ApplicationNotSelected);
    assert!(
        plan.refusals[0]
            .message()
            .starts_with("role analyst does not exist, and application hr_reports")
    );
}

/// Only the plan of its home checks whether a role may be adopted.
#[test]
fn role_that_is_not_managed_is_refused() {
    let desired = desired(&["shop", "shop_reports"]);
    let refusals = |comment| {
        let observed = test_states::observed_with_role("analyst", comment);
        Plan::new(&desired, &observed, SecretFindings::default()).refusals
    };
    let managed =
        r#"[managed by rdsprov: environment=dev application=hr_reports build_id=1 name="analyst"]"#;
    assert_eq!(refusals(managed), []);
    for comment in ["", &managed.replace("=dev", "=prod")] {
        let refusals = refusals(comment);
        assert!(!refusals.is_empty(), "{comment}");
        let message = refusals[0].message();
        assert!(message.starts_with("role analyst is not managed by rdsprov yet"), "{message}");
    }
}

#[test]
fn application_that_depends_on_another_one_is_refused() {
    let plan = plan(&["hr_reports"]);
    let codes: Vec<RefusalCode> = plan.refusals.iter().map(crate::plan::Refusal::code).collect();
    assert_eq!(codes, [RefusalCode::ApplicationNotSelected]);
    assert_eq!(plan.refusals[0].application.as_str(), "hr_reports");
}

#[test]
fn digest_covers_the_selection() {
    let every = ["hr", "hr_reports", "shop", "shop_reports", "wiki"];
    let (all, selected) = (plan(&[]), plan(&every));
    assert_eq!(all.transactions, selected.transactions);
    assert_ne!(all.digest, selected.digest);
    assert!(all.origin.only.is_empty() && !selected.to_text().contains("is as declared"));
}
