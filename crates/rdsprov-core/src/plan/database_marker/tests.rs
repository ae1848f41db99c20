use crate::desired::{Adoption, Desired};
use crate::name::DatabaseName;
use crate::observed::Observed;
use crate::plan::test_states::{desired_from, marker, observed_with};
use crate::plan::{Action, Hazard, Plan, RefusalCode, SecretFindings};

/// The role `analyst` reads `shop`, whose owner entry is its home, and `legacy`.
const DEFINITIONS: &str = r#"
    [application_databases]
    analysis = { database_name = "shop", username = "analyst" }
    reports = { database_name = "legacy", username = "analyst", access_level = "reader" }
"#;

fn desired(adoption: Adoption) -> Desired {
    let mut desired = desired_from(DEFINITIONS);
    let database = desired.databases.get_mut(&DatabaseName::new_unchecked("legacy")).unwrap();
    database.adoption = adoption;
    desired
}

fn plan(desired: &Desired, observed: &Observed) -> Plan {
    Plan::new(desired, observed, SecretFindings::default())
}

/// The database `legacy` of a role that is not managed. `recorded` is in the marker of `analyst`.
fn server(recorded: &str, comment: &str) -> Observed {
    observed_with(
        &[("analyst", &marker("analysis", "analyst", recorded)), ("dba", "")],
        &[("shop", "analyst", &marker("analysis", "shop", "")), ("legacy", "dba", comment)],
    )
}

const RECORDED: &str = r#" databases=["legacy"]"#;

fn refusals(plan: &Plan) -> Vec<RefusalCode> {
    plan.refusals.iter().map(crate::plan::Refusal::code).collect()
}

fn summaries(plan: &Plan, actions: &[Action]) -> Vec<String> {
    let steps = plan.steps().filter(|step| actions.contains(&step.action));
    steps.map(|step| step.summary.clone()).collect()
}

/// The owner of a database can write a marker into its comment, but not into that of a role.
#[test]
fn forged_marker_is_not_believed() {
    let forged = marker("reports", "legacy", "");
    for comment in ["", &forged] {
        let plan = plan(&desired(Adoption::Refused), &server("", comment));
        assert_eq!(refusals(&plan), [RefusalCode::DatabaseNotManaged], "{comment}");
    }
    // The adoption is a hazard, in spite of the marker, and is recorded in the marker of the role.
    let plan = plan(&desired(Adoption::Allowed), &server("", &forged));
    assert_eq!(refusals(&plan), []);
    assert_eq!(summaries(&plan, &[Action::Adopt]), ["database legacy"]);
    assert_eq!(
        summaries(&plan, &[Action::AlterRole]),
        ["role analyst: marker names database legacy"]
    );
    for step in plan.steps().filter(|step| matches!(step.action, Action::Adopt | Action::AlterRole))
    {
        assert!(step.hazards.contains(&Hazard::Adopts), "{step:?}");
    }
    // The forged marker is not kept.
    let adopted = plan.steps().find(|step| step.action == Action::Adopt).unwrap();
    assert_eq!(adopted.statements[0].redacted().matches("managed by").count(), 1);
}

#[test]
fn adoption_is_recorded_in_the_marker_of_a_role() {
    let current = marker("reports", "legacy", "");
    let written = [Action::Adopt, Action::AlterRole, Action::AlterDatabase];
    for adoption in [Adoption::Refused, Adoption::Allowed] {
        let plan = plan(&desired(adoption), &server(RECORDED, &current));
        assert_eq!(refusals(&plan), []);
        assert_eq!(summaries(&plan, &written), [""; 0]);
    }
    // The owner has removed the marker, or written that of another environment.
    for comment in ["", &current.replace("=dev", "=prod")] {
        let plan = plan(&desired(Adoption::Refused), &server(RECORDED, comment));
        assert_eq!(refusals(&plan), []);
        assert_eq!(
            summaries(&plan, &written),
            ["database legacy: marker written again, because the marker of a role names it"]
        );
        assert!(!plan.hazards().contains(&Hazard::Adopts));
    }
    // A marker of another environment records nothing for this one.
    let mut other = server(RECORDED, &current);
    for role in other.roles.values_mut() {
        role.comment = role.comment.as_ref().map(|text| text.replace("=dev", "=prod"));
    }
    let plan = plan(&desired(Adoption::Refused), &other);
    assert!(refusals(&plan).contains(&RefusalCode::DatabaseNotManaged), "{:?}", plan.refusals);
}

#[test]
fn record_is_written_with_the_home_of_a_role() {
    let restricted = |only: &str| {
        let mut desired = desired(Adoption::Allowed);
        desired.select(&[only.to_owned()]).unwrap();
        plan(&desired, &server("", ""))
    };
    // The marker of `analyst` is not in this plan.
    let plan = restricted("reports");
    assert_eq!(refusals(&plan), [RefusalCode::ApplicationNotSelected]);
    let message = plan.refusals[0].message();
    assert!(
        message.starts_with("the marker of role analyst does not name database legacy yet"),
        "{message}"
    );
    // The database is not in this plan, so that nothing is recorded.
    let plan = restricted("analysis");
    assert_eq!(refusals(&plan), []);
    assert_eq!(summaries(&plan, &[Action::AlterRole, Action::Adopt]), [""; 0]);
}

/// Such an owner needs no record: no other role can write the comment of its database.
#[test]
fn administrator_and_managed_owners_are_believed() {
    let comment = marker("reports", "legacy", "");
    for owner in ["platform_admin", "legacy_owner"] {
        let observed = observed_with(
            &[
                ("analyst", &marker("analysis", "analyst", "")),
                ("legacy_owner", &marker("legacy", "legacy_owner", "")),
            ],
            &[("shop", "analyst", &marker("analysis", "shop", "")), ("legacy", owner, &comment)],
        );
        let plan = plan(&desired(Adoption::Refused), &observed);
        assert_eq!(refusals(&plan), [], "{owner}");
        assert!(!plan.hazards().contains(&Hazard::Adopts), "{owner}");
    }
}
