use std::collections::BTreeSet;

use crate::desired::{Adoption, Desired};
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::observed::{Contents, Observed};
use crate::plan::test_states::{desired, desired_from, marker, observed_with};
use crate::plan::{Action, Hazard, Plan, SecretFindings, Step};

/// The steps of a plan that grant something to `analyst`, which reads `hr` and `shop`, and those among
/// them that have the hazard, by their databases.
fn grants(desired: &Desired, observed: &Observed) -> (BTreeSet<String>, BTreeSet<String>) {
    let plan = plan(desired, observed);
    let is_grant = |step: &&Step| {
        matches!(step.action, Action::Grant | Action::DefaultPrivileges)
            && step.role.as_ref().is_some_and(|role| role.as_str() == "analyst")
    };
    let all: Vec<&Step> = plan.steps().filter(is_grant).collect();
    let databases = |steps: Vec<&Step>| {
        steps.iter().map(|step| step.database.as_ref().unwrap().to_string()).collect()
    };
    let (marked, others): (Vec<&Step>, Vec<&Step>) =
        all.into_iter().partition(|step| step.hazards.contains(&Hazard::WidensAccess));
    (databases(marked), databases(others))
}

fn plan(desired: &Desired, observed: &Observed) -> Plan {
    let plan = Plan::new(desired, observed, SecretFindings::default());
    assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
    plan
}

/// The databases `hr` and `shop` with their owners, and the role `analyst` with a comment.
fn server(comment: &str) -> Observed {
    let owner = |application: &str| marker(application, &format!("{application}_owner"), "");
    observed_with(
        &[("hr_owner", &owner("hr")), ("shop_owner", &owner("shop")), ("analyst", comment)],
        &[
            ("hr", "hr_owner", &marker("hr", "hr", "")),
            ("shop", "shop_owner", &marker("shop", "shop", "")),
        ],
    )
}

fn adopted() -> Observed {
    server(&marker("hr_reports", "analyst", " adopted"))
}

fn only(applications: &[&str]) -> Desired {
    let mut desired = desired();
    let names: Vec<String> = applications.iter().map(ToString::to_string).collect();
    desired.select(&names).unwrap();
    let role = desired.roles.get_mut(&RoleName::new_unchecked("analyst")).unwrap();
    role.adoption = Adoption::Allowed;
    desired
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// Gives `analyst` in a database `CONNECT`, and what the plan of the database grants it for later objects.
fn set_privileges(observed: &mut Observed, database: &str, owner: &str) {
    let privilege = |privilege: &str| {
        serde_json::json!({
            "grantee": "analyst", "grantor": owner, "privilege": privilege, "grantable": false
        })
    };
    let row = |kind: &str| {
        serde_json::json!({
            "role": owner, "schema": "public", "kind": kind, "acl": [privilege("SELECT")]
        })
    };
    let rows = serde_json::json!([row("table"), row("sequence")]);
    let contents = contents(observed, database).as_mut().unwrap();
    contents.default_privileges = serde_json::from_value(rows).unwrap();
    let name = DatabaseName::new_unchecked(database);
    let acl = &mut observed.databases.get_mut(&name).unwrap().acl;
    acl.push(serde_json::from_value(privilege("CONNECT")).unwrap());
}

fn contents<'a>(observed: &'a mut Observed, database: &str) -> &'a mut Option<Contents> {
    let name = DatabaseName::new_unchecked(database);
    &mut observed.databases.get_mut(&name).unwrap().contents
}

#[test]
fn hazard_remains_after_the_adoption() {
    let both = names(["hr", "shop"]);
    let none = BTreeSet::new();
    assert_eq!(grants(&only(&[]), &server("")), (both.clone(), none.clone()));
    // Each grant failed, or is part of the second round.
    assert_eq!(grants(&only(&[]), &adopted()), (both.clone(), none.clone()));
    // The role was created by a run, and not adopted.
    let created = server(&marker("hr_reports", "analyst", ""));
    assert_eq!(grants(&only(&[]), &created), (none.clone(), both));
}

/// A plan that is split into restricted ones has the same hazards.
#[test]
fn hazard_remains_in_restricted_plans() {
    let none = BTreeSet::new();
    assert_eq!(grants(&only(&["hr_reports"]), &server("")), (names(["hr"]), none.clone()));
    let mut left = adopted();
    set_privileges(&mut left, "hr", "hr_owner");
    assert_eq!(grants(&only(&["shop_reports"]), &left), (names(["shop"]), none));
}

/// A table that is created after the adoption is not a reason for the hazard.
#[test]
fn later_objects_do_not_widen_access() {
    let mut complete = adopted();
    set_privileges(&mut complete, "hr", "hr_owner");
    let (marked, others) = grants(&only(&[]), &complete);
    assert_eq!((marked, others), (names(["shop"]), names(["hr"])));
}

/// The administrator cannot connect yet: the second round of the run shows the grants.
#[test]
fn unknown_contents_are_marked_with_the_adoption() {
    let is_marked = |observed: &Observed| {
        let plan = plan(&only(&[]), observed);
        let adopts = |step: &&Step| step.action == Action::Adopt && step.database.is_none();
        plan.steps().find(adopts).unwrap().hazards.contains(&Hazard::WidensAccess)
    };
    let mut hidden = server("");
    assert!(!is_marked(&hidden));
    *contents(&mut hidden, "shop") = None;
    assert!(is_marked(&hidden));
    let mut later = adopted();
    *contents(&mut later, "shop") = None;
    assert_eq!(grants(&only(&[]), &later), (names(["hr", "shop"]), BTreeSet::new()));
}

/// A team has adopted the database `legacy`. Others declare `analyst` there, and may not get in unnoticed.
#[test]
fn databases_of_administrators_belong_to_the_definitions_that_adopted_them() {
    let definitions = r#"
        [application_databases]
        tool = { database_name = "legacy", username = "analyst", access_level = "reader" }
    "#;
    let marked = |owner: &str, adopted_for: Option<&str>| {
        let records = r#" adopted databases=["legacy"]"#;
        let reports = adopted_for.map(|application| marker(application, "viewer", records));
        let delegate = marker(ApplicationName::for_delegates().as_str(), "deputy", "");
        let mut roles = vec![("deputy", delegate.as_str()), ("stranger", "")];
        roles.extend(reports.as_deref().map(|comment| ("viewer", comment)));
        let observed = observed_with(&roles, &[("legacy", owner, &marker("legacy", "legacy", ""))]);
        let (marked, _) = grants(&desired_from(definitions), &observed);
        !marked.is_empty()
    };
    for owner in ["platform_admin", "deputy"] {
        assert!(marked(owner, Some("reports")), "{owner}");
        // The role for which it was adopted is gone.
        assert!(marked(owner, None), "{owner}");
    }
}

/// Others declare the owner of the database as well, but the marker of this role names another application.
#[test]
fn entry_for_the_owner_is_not_its_home() {
    let text = |owner_entry: &str| {
        format!(
            r#"
            [application_databases]
            tool = {{ database_name = "shop", username = "analyst", access_level = "reader" }}
            {owner_entry} = {{ database_name = "shop", username = "shop_owner" }}
            "#
        )
    };
    let marked = |owner_entry: &str| {
        let mut desired = desired_from(&text(owner_entry));
        desired.select(&["tool".to_owned()]).unwrap();
        let comment = marker("tool", "analyst", "");
        grants(&desired, &server(&comment))
    };
    assert_eq!(marked("dummy"), (names(["shop"]), BTreeSet::new()));
    assert_eq!(marked("shop"), (BTreeSet::new(), names(["shop"])));
}

/// Returns the summaries of the steps that have the hazard, in a plan in which application `team` is the home
/// of the role of application `bank`.
fn marked(bank: &str, home: &str, observed: &Observed) -> Vec<String> {
    let desired = desired_from(&format!(
        r#"
        [application_databases]
        bank = {{ {bank} }}
        team = {{ database_name = "team", username = "bank_role", adopt = true{home} }}
        hr = {{ database_name = "hr", username = "hr_owner" }}
        "#
    ));
    let plan = plan(&desired, observed);
    let marked = plan.steps().filter(|step| step.hazards.contains(&Hazard::WidensAccess));
    marked.map(|step| step.summary.clone()).collect()
}

const OF_TEAM: &str = r#", secret = "team/mine", role_owner = true"#;

/// A role gets its first database, or its first access to one, and the secret of another application.
#[test]
fn role_with_the_secret_of_another_application_is_a_hazard() {
    let owner = marker("hr", "hr_owner", "");
    let of_team = marker("team", "bank_role", r#" secret="team/mine""#);
    let hr = [("hr", "hr_owner", &*marker("hr", "hr", ""))];
    let new = observed_with(&[("hr_owner", &owner)], &hr);
    let managed = observed_with(&[("hr_owner", &owner), ("bank_role", &of_team)], &hr);
    let unmanaged = observed_with(&[("hr_owner", &owner), ("bank_role", "")], &hr);
    let of_whom = "role bank_role is that of application team, with secret team/mine";
    for (observed, bank) in [
        (&new, r#"database_name = "bank", username = "bank_role""#),
        (&managed, r#"database_name = "bank", username = "bank_role""#),
        (&new, r#"database_name = "hr", username = "bank_role", access_level = "reader""#),
        (&managed, r#"database_name = "hr", username = "bank_role", access_level = "reader""#),
        (&unmanaged, r#"database_name = "bank", username = "bank_role""#),
    ] {
        let found = marked(bank, OF_TEAM, observed);
        assert!(found.iter().any(|one| one.ends_with(of_whom)), "{bank}: {found:?}");
        assert!(found.iter().all(|one| one.ends_with(of_whom)), "{bank}: {found:?}");
        // The entry names the secret itself.
        let agrees = format!(r#"{bank}, secret = "team/mine""#);
        let found = marked(&agrees, OF_TEAM, observed);
        assert!(!found.iter().any(|one| one.contains("is that of")), "{bank}: {found:?}");
        // Both secrets must contain the same password.
        let found = marked(bank, ", role_owner = true", observed);
        assert!(!found.iter().any(|one| one.contains("is that of")), "{bank}: {found:?}");
    }
    let bank = r#"database_name = "bank", username = "bank_role""#;
    let database = "database bank, closed to PUBLIC";
    let named = marked(bank, OF_TEAM, &new);
    assert!(named.contains(&format!("{database}; {of_whom}")), "{named:?}");
    let with_iam = observed_with(&[("hr_owner", &owner), ("rds_iam", "")], &hr);
    let iam = marked(bank, r#", auth = "iam", role_owner = true"#, &with_iam);
    let of_whom = "role bank_role is that of application team";
    assert!(iam.contains(&format!("{database}; {of_whom}")), "{iam:?}");
    // The secret that the template gives the entry is that of the home.
    let same = r#", secret = "goldenpath/dev/bank/postgres", role_owner = true"#;
    assert!(marked(bank, same, &new).is_empty());
}
