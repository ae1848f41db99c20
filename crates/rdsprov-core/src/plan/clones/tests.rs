use crate::desired::Desired;
use crate::name::RoleName;
use crate::observed::{Membership, Observed, PasswordCheck};
use crate::plan::test_states::{desired, desired_from, marker, observed_with};
use crate::plan::{Action, Hazard, NoteCode, Plan, RefusalCode, SecretFindings};
use crate::rotation_clone::{CurrentUser, RotationClone};

fn role(name: &str) -> RoleName {
    RoleName::new_unchecked(name)
}

/// Returns the desired state of one application, and a server on which it is applied. The secret
/// contains `current`; the clone is a member of `wiki_owner`.
fn states(current: CurrentUser) -> (Desired, Observed) {
    let desired = desired_from(
        "[application_databases]\nwiki = { database_name = \"wiki\", username = \"wiki_owner\" }",
    );
    let secret = " secret=\"goldenpath/dev/wiki/postgres\"";
    let roles =
        [("wiki_owner", marker("wiki", "wiki_owner", secret)), ("wiki_owner_clone", String::new())];
    let roles: Vec<(&str, &str)> =
        roles.iter().map(|(name, comment)| (*name, comment.as_str())).collect();
    let database = marker("wiki", "wiki", "");
    let mut observed = observed_with(&roles, &[("wiki", "wiki_owner", &database)]);
    observed.password_checks.insert(role("wiki_owner"), PasswordCheck::Accepted);
    let clone = RotationClone { name: role("wiki_owner_clone"), current };
    observed.clones.insert(role("wiki_owner"), clone);
    seen(&mut observed).memberships = vec![membership(true)];
    (desired, observed)
}

fn membership(inherit: bool) -> Membership {
    Membership {
        role: role("wiki_owner"),
        admin: false,
        inherit,
        set: true,
        grantor: role("platform_admin"),
    }
}

fn seen(observed: &mut Observed) -> &mut crate::observed::Role {
    observed.roles.get_mut(&role("wiki_owner_clone")).unwrap()
}

fn plan((desired, observed): &(Desired, Observed)) -> Plan {
    Plan::new(desired, observed, SecretFindings::default())
}

/// Returns the steps other than those of default privileges.
fn changes(plan: &Plan) -> Vec<String> {
    let others = plan.steps().filter(|step| step.action != Action::DefaultPrivileges);
    others.map(|step| step.summary.clone()).collect()
}

fn refusals(plan: &Plan) -> Vec<RefusalCode> {
    plan.refusals.iter().map(crate::plan::Refusal::code).collect()
}

#[test]
fn clone_gets_default_privileges_whichever_role_the_secret_contains() {
    for current in [CurrentUser::Declared, CurrentUser::Clone] {
        let plan = plan(&states(current));
        assert_eq!((refusals(&plan), changes(&plan)), (vec![], vec![]));
        let steps: Vec<&str> = plan.steps().map(|step| step.summary.as_str()).collect();
        let is_of_clone = |step: &&str| step.contains(" of wiki_owner_clone in schema public to ");
        assert!(!steps.is_empty() && steps.iter().all(is_of_clone), "{steps:?}");
    }
}

#[test]
fn role_is_not_a_clone_without_its_secret() {
    let mut states = states(CurrentUser::Declared);
    states.1.clones.clear();
    seen(&mut states.1).memberships.clear();
    assert!(plan(&states).is_as_declared());
}

#[test]
fn membership_is_granted_with_a_hazard() {
    let membership_of = "membership of role wiki_owner_clone in wiki_owner, whose clone it is";
    let inherit = "INHERIT OPTION of role wiki_owner_clone in wiki_owner, whose clone it is";
    for (current, memberships, summary) in [
        (CurrentUser::Clone, vec![], membership_of),
        (CurrentUser::Clone, vec![membership(false)], inherit),
        (CurrentUser::Declared, vec![membership(false)], inherit),
    ] {
        let mut states = states(current);
        seen(&mut states.1).memberships = memberships;
        let plan = plan(&states);
        assert_eq!(changes(&plan), [summary]);
        assert!(plan.hazards().contains(&Hazard::WidensAccess));
        assert!(!plan.hazards().contains(&Hazard::Adopts));
    }
}

/// Who writes `masterarn` into a secret must not take over the role of a person with the name of the clone.
#[test]
fn existing_role_is_not_a_clone_before_it_is_adopted() {
    let unknown = [
        (CurrentUser::Declared, PasswordCheck::Accepted),
        (CurrentUser::Clone, PasswordCheck::NotChecked),
        (CurrentUser::Clone, PasswordCheck::WrongPassword),
        (CurrentUser::Clone, PasswordCheck::Inconclusive("reason".to_owned())),
    ];
    for (current, check) in unknown {
        for is_given_away in [false, true] {
            let (mut desired, mut observed) = states(current);
            observed.password_checks.insert(role("wiki_owner"), check.clone());
            let mut memberships =
                vec![Membership { role: role("secretgroup"), ..membership(true) }];
            if is_given_away {
                // Before PostgreSQL 15, a role can make any other role its member.
                memberships.push(Membership { grantor: role("wiki_owner"), ..membership(true) });
            }
            seen(&mut observed).memberships = memberships;
            seen(&mut observed).create_database = true;
            let refused = plan(&(desired.clone(), observed.clone()));
            assert_eq!(refusals(&refused), [RefusalCode::RoleNotManaged]);
            let of_clone = |step: &&String| step.contains("wiki_owner_clone");
            assert_eq!(changes(&refused).iter().find(of_clone), None, "{current:?} {check:?}");

            let declared = desired.roles.get_mut(&role("wiki_owner")).unwrap();
            declared.adoption = crate::desired::Adoption::Allowed;
            let adopted = plan(&(desired, observed));
            let expected = "membership of role wiki_owner_clone in secretgroup";
            assert!(changes(&adopted).iter().any(|step| step == expected), "{}", adopted.to_text());
            assert_eq!(adopted.hazards().contains(&Hazard::Adopts), !is_given_away);
        }
    }
}

/// From PostgreSQL 16 on, a role with `CREATEROLE` has no power over the member that it makes.
#[test]
fn grantor_with_createrole_makes_clones_of_its_own_roles_only() {
    for (major, administers_clone, is_known) in
        [(15, false, true), (16, false, false), (16, true, true)]
    {
        let (desired, mut observed) = states(CurrentUser::Declared);
        observed.server_version = major * 10_000;
        let mut builder = observed.roles[&role("wiki_owner")].clone();
        (builder.comment, builder.create_role) = (None, true);
        let admin = |of: &str| Membership { role: role(of), admin: true, ..membership(false) };
        builder.memberships = vec![admin("wiki_owner")];
        if administers_clone {
            builder.memberships.push(admin("wiki_owner_clone"));
        }
        observed.roles.insert(role("builder"), builder);
        seen(&mut observed).memberships =
            vec![Membership { grantor: role("builder"), ..membership(true) }];
        let refused = refusals(&plan(&(desired, observed))).contains(&RefusalCode::RoleNotManaged);
        assert_eq!(!refused, is_known, "PostgreSQL {major}, {administers_clone}");
    }
}

/// The role is also a member of a predefined one, so that its own grants are not given away. That says nothing
/// about who granted the membership in it.
#[test]
fn only_administrators_that_exist_make_clones() {
    for (grantor, is_known) in
        [("platform_admin", true), ("wiki_owner", false), ("unknown (OID=16401)", false)]
    {
        for group in [None, Some("pg_monitor")] {
            let (desired, mut observed) = states(CurrentUser::Declared);
            observed.server_version = 150_000;
            let of_owner = &mut observed.roles.get_mut(&role("wiki_owner")).unwrap().memberships;
            of_owner
                .extend(group.map(|group| Membership { role: role(group), ..membership(true) }));
            seen(&mut observed).memberships =
                vec![Membership { grantor: role(grantor), ..membership(true) }];
            let codes = refusals(&plan(&(desired, observed)));
            let refused = codes.contains(&RefusalCode::RoleNotManaged);
            assert_eq!(!refused, is_known, "{grantor}, {group:?}: {codes:?}");
        }
    }
}

#[test]
fn password_is_set_only_while_the_secret_contains_the_role() {
    let checked = |current, check| {
        let mut states = states(current);
        states.1.password_checks.insert(role("wiki_owner"), check);
        plan(&states)
    };
    let plan = checked(CurrentUser::Declared, PasswordCheck::WrongPassword);
    assert!(plan.steps().any(|step| step.action == Action::SetPassword));
    assert_eq!(refusals(&plan), []);

    let plan = checked(CurrentUser::Clone, PasswordCheck::WrongPassword);
    assert_eq!(refusals(&plan), [RefusalCode::ClonePasswordWrong]);
    assert_eq!(changes(&plan), [""; 0]);

    let plan = checked(CurrentUser::Clone, PasswordCheck::ToBeSet);
    assert_eq!((refusals(&plan), changes(&plan)), (vec![], vec![]));

    let plan = checked(CurrentUser::Clone, PasswordCheck::Inconclusive("reason".to_owned()));
    let notes: Vec<(NoteCode, String)> =
        plan.notes.iter().map(|note| (note.code(), note.message())).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(notes[0].0, NoteCode::PasswordNotChecked);
    assert!(notes[0].1.starts_with("the password of role wiki_owner_clone "), "{notes:?}");
}

#[test]
fn clone_that_cannot_log_in_is_reported() {
    let mut states = states(CurrentUser::Clone);
    states.1.password_checks.clear();
    assert!(plan(&states).notes.is_empty());
    seen(&mut states.1).login = false;
    let plan = plan(&states);
    assert_eq!(plan.notes.len(), 1, "{:?}", plan.notes);
    assert_eq!(plan.notes[0].code(), NoteCode::PasswordNotChecked);
}

#[test]
fn missing_clone_is_refused_if_the_secret_contains_it() {
    for (current, expected) in
        [(CurrentUser::Declared, vec![]), (CurrentUser::Clone, vec![RefusalCode::CloneMissing])]
    {
        let mut states = states(current);
        states.1.roles.remove(&role("wiki_owner_clone"));
        assert_eq!(refusals(&plan(&states)), expected);
    }
}

/// A team must not get the password of another team's role by the name of its own role.
#[test]
fn clone_is_not_a_role_of_another_application_or_an_administrator() {
    for current in [CurrentUser::Declared, CurrentUser::Clone] {
        let (desired, observed) = states(current);
        for environment in ["dev", "prod"] {
            let mut observed = observed.clone();
            let comment = marker("other", "wiki_owner_clone", "");
            let comment = comment.replace("=dev", &format!("={environment}"));
            seen(&mut observed).comment = Some(comment);
            let plan = plan(&(desired.clone(), observed));
            assert_eq!(refusals(&plan), [RefusalCode::CloneOfApplication]);
        }

        let both = desired_from(
            r#"[application_databases]
            wiki = { database_name = "wiki", username = "wiki_owner" }
            other = { database_name = "other", username = "wiki_owner_clone", adopt = true }"#,
        );
        let refused: Vec<(RefusalCode, String)> = plan(&(both, observed.clone()))
            .refusals
            .iter()
            .map(|one| (one.code(), one.application.to_string()))
            .collect();
        for application in ["wiki", "other"] {
            let expected = (RefusalCode::CloneOfApplication, application.to_owned());
            assert!(refused.contains(&expected), "{refused:?}");
        }

        let mut administrator = observed.clone();
        administrator.administrator.name = role("wiki_owner_clone");
        let plan = plan(&(desired, administrator));
        assert!(refusals(&plan).contains(&RefusalCode::RoleIsAdministrator));
    }
}

/// The secret of an application that is not selected is not read.
#[test]
fn default_privileges_are_kept_for_what_may_be_a_clone() {
    let mut desired = desired();
    desired.select(&["shop_reports".to_owned(), "hr_reports".to_owned()]).unwrap();
    let roles = [
        ("shop_owner", marker("shop", "shop_owner", "")),
        ("shop_owner_clone", String::new()),
        ("analyst", marker("hr_reports", "analyst", "")),
    ];
    let roles: Vec<(&str, &str)> =
        roles.iter().map(|(name, comment)| (*name, comment.as_str())).collect();
    let database = marker("shop", "shop", "");
    let mut observed = observed_with(&roles, &[("shop", "shop_owner", &database)]);
    let contents = observed.databases.values_mut().next().unwrap().contents.as_mut().unwrap();
    let defaults = serde_json::json!({
        "role": "shop_owner_clone", "schema": "public", "kind": "table",
        "acl": [{
            "grantee": "analyst", "grantor": "shop_owner_clone", "privilege": "SELECT",
            "grantable": false
        }]
    });
    contents.default_privileges.push(serde_json::from_value(defaults).unwrap());
    let reports = |observed: &Observed| {
        let plan = Plan::new(&desired, observed, SecretFindings::default());
        assert!(!plan.hazards().contains(&Hazard::RevokesAccess));
        plan.notes.iter().any(|note| note.code() == NoteCode::DefaultPrivilegesShared)
    };
    assert!(reports(&observed));
    let of_owner = Membership { role: role("shop_owner"), ..membership(true) };
    let clone = observed.roles.get_mut(&role("shop_owner_clone")).unwrap();
    clone.memberships.push(of_owner);
    assert!(!reports(&observed));
}
