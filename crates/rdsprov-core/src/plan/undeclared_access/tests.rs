//! The notes about undeclared access, for states that no server has to decide about.

use serde_json::{Value, json};

use crate::hint::Neutral;
use crate::name::{DatabaseName, RoleName};
use crate::observed::{Observed, Schema};
use crate::plan::test_states::{desired_from, marker, observed_with};
use crate::plan::{Detail, Executor, Plan, SecretFindings, UndeclaredRoleAccess};
use crate::policy::UndeclaredAccess;
use crate::probe::{Probe, ProbeResult};

const DEFINITIONS: &str = r#"
    [application_databases]
    shop = { database_name = "shop", username = "shop_owner" }
"#;

/// Returns a server with undeclared roles. The administrator has no `ADMIN OPTION` on them.
fn observed(major: u32, roles: &[&str]) -> Observed {
    let comment = marker("shop", "shop", "");
    let all = [&["shop_owner"], roles].concat();
    let comments: Vec<(&str, &str)> = all.into_iter().map(|role| (role, "")).collect();
    let mut observed = observed_with(&comments, &[("shop", "shop_owner", &comment)]);
    observed.server_version = major * 10_000;
    for role in roles {
        let seen = observed.roles.get_mut(&RoleName::new_unchecked(*role)).unwrap();
        seen.administrator_has_admin_option = false;
    }
    observed
}

fn add_membership(observed: &mut Observed, member: &str, membership: Value) {
    let member = observed.roles.get_mut(&RoleName::new_unchecked(member)).unwrap();
    member.memberships.push(serde_json::from_value(membership).unwrap());
}

fn grant_connect(observed: &mut Observed, role: &str) {
    let item = json!({
        "grantee": role, "grantor": "shop_owner", "privilege": "CONNECT", "grantable": false
    });
    let shop = observed.databases.get_mut(&DatabaseName::new_unchecked("shop")).unwrap();
    shop.acl.push(serde_json::from_value(item).unwrap());
}

fn plan(observed: &Observed) -> Plan {
    Plan::new(&desired_from(DEFINITIONS), observed, SecretFindings::default())
}

fn access<'a>(plan: &'a Plan, role: &str) -> Option<&'a UndeclaredRoleAccess> {
    plan.undeclared_access.iter().find(|one| one.role.as_str() == role)
}

fn executors(plan: &Plan, role: &str) -> Vec<Executor> {
    access(plan, role).unwrap().statements.iter().map(|one| one.executor.clone()).collect()
}

#[test]
fn hint_names_who_can_transfer_objects() {
    let mut observed = observed(17, &["dba2", "ghost"]);
    let shop = observed.databases.get_mut(&DatabaseName::new_unchecked("shop")).unwrap();
    let contents = shop.contents.as_mut().unwrap();
    let schema: Schema =
        serde_json::from_value(json!({ "owner": "ghost", "acl": [], "relations": [] })).unwrap();
    contents.schemas.insert(serde_json::from_value(json!("gs")).unwrap(), schema);
    let ghost = RoleName::new_unchecked("ghost");
    let probe = Probe::GrantRole(ghost.clone());
    // Only the server knows; the plan asks for this also if it changes nothing.
    let unknown = plan(&observed);
    assert!(unknown.probes.contains(&probe));
    assert_eq!(unknown.probes_of_hints.iter().collect::<Vec<_>>(), [&probe]);
    observed.probe_results.insert(probe.clone(), ProbeResult::Allowed);
    assert_eq!(executors(&plan(&observed), "ghost"), [Executor::Administrator]);
    observed.probe_results.insert(probe, ProbeResult::Denied("permission denied".to_owned()));
    let denied = plan(&observed);
    assert_eq!(executors(&denied, "ghost"), [Executor::Superuser]);
    assert_eq!(denied.probes_of_hints.len(), 0);
    // The creator of the role gives the administrator what it needs, and the administrator does the rest.
    let creator = json!({
        "role": "ghost", "grantor": "rdsadmin", "admin": true, "inherit": false, "set": false
    });
    add_membership(&mut observed, "dba2", creator);
    let dba2 = Executor::Role(RoleName::new_unchecked("dba2"));
    let plan = plan(&observed);
    assert_eq!(executors(&plan, "ghost"), [dba2, Executor::Administrator]);
    let statements = &access(&plan, "ghost").unwrap().statements;
    assert!(statements[0].sql.starts_with(r#"GRANT "ghost" TO "platform_admin" WITH ADMIN"#));
    assert!(statements[1].sql.contains(r#"REASSIGN OWNED BY "ghost""#), "{statements:?}");
}

/// The server checks `CONNECT` at the login, before any `SET ROLE`.
#[test]
fn connect_counts_if_each_membership_is_inherited() {
    for major in [15, 17] {
        for (first, second, enters) in
            [(true, true, true), (true, false, false), (false, true, false), (false, false, false)]
        {
            let mut observed = observed(major, &["alone", "middle", "g"]);
            for (member, role, inherits) in [("alone", "middle", first), ("middle", "g", second)] {
                let seen = observed.roles.get_mut(&RoleName::new_unchecked(member)).unwrap();
                seen.inherit = inherits;
                // Before PostgreSQL 16, the attribute of the member decides.
                let inherit = inherits || major < 16;
                add_membership(
                    &mut observed,
                    member,
                    json!({ "role": role, "grantor": "rdsadmin", "inherit": inherit }),
                );
            }
            for group in ["middle", "g"] {
                observed.roles.get_mut(&RoleName::new_unchecked(group)).unwrap().login = false;
            }
            grant_connect(&mut observed, "g");
            let plan = plan(&observed);
            let case = format!("PostgreSQL {major}: {first} {second}");
            assert_eq!(access(&plan, "alone").is_some(), enters, "{case}");
            let users: &[RoleName] = &access(&plan, "g").unwrap().used_by;
            assert_eq!(users.len(), usize::from(enters), "{case}");
        }
    }
}

/// A role that can grant `CONNECT` is reported, but it is not said that it connects.
#[test]
fn power_to_grant_connect_is_reported() {
    for major in [15, 17] {
        for (role, option, words) in [
            ("g", json!({ "admin": true }), "ADMIN OPTION on role g"),
            ("shop_owner", json!({}), "SET ROLE to role shop_owner"),
        ] {
            let mut observed = observed(major, &["alone", "g"]);
            observed.roles.get_mut(&RoleName::new_unchecked("alone")).unwrap().inherit = false;
            grant_connect(&mut observed, "g");
            let mut membership =
                json!({ "role": role, "grantor": "rdsadmin", "inherit": major < 16 });
            membership.as_object_mut().unwrap().extend(option.as_object().unwrap().clone());
            add_membership(&mut observed, "alone", membership);
            let plan = plan(&observed);
            let alone = access(&plan, "alone").unwrap();
            assert_eq!(alone.means, format!("can grant CONNECT on database shop: it has {words}"));
            assert!(access(&plan, "g").unwrap().used_by.is_empty());
        }
    }
}

/// The owner of a database can grant `CONNECT` to a group whose members need it for something else, such as
/// monitoring: the group loses it, and its members stay members. This ends the access of all of them.
#[test]
fn connect_of_a_group_is_revoked_from_the_group() {
    let sql = |plan: &Plan, role: &str| -> Vec<String> {
        access(plan, role).unwrap().statements.iter().map(|one| one.sql.clone()).collect()
    };
    for major in [15, 17] {
        for group in ["pg_monitor", "dba_group"] {
            let mut observed = observed(major, &["datadog", "other", group]);
            grant_connect(&mut observed, group);
            for (member, role) in [("datadog", group), ("other", "shop_owner")] {
                let membership = json!({ "role": role, "grantor": "rdsadmin", "inherit": true });
                add_membership(&mut observed, member, membership);
            }
            let plan = plan(&observed);
            let of_group = format!(r#"REVOKE CONNECT ON DATABASE "shop" FROM "{group}""#);
            assert_eq!(sql(&plan, "datadog"), [of_group], "PostgreSQL {major}");
            let owner = Executor::Role(RoleName::new_unchecked("shop_owner"));
            assert_eq!(executors(&plan, "datadog"), [owner], "PostgreSQL {major}");
            // A declared role keeps what is declared.
            let other = sql(&plan, "other");
            let of_member = r#"REVOKE "shop_owner" FROM "other""#;
            assert!(other.len() == 1 && other[0].starts_with(of_member), "{other:?}");
        }
    }
}

/// A role with `CREATEROLE` can create any number of roles.
#[test]
fn texts_name_some_roles_only() {
    let names: Vec<String> = (0..600).map(|number| format!("stranger{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut observed = observed(17, &names);
    for name in &names {
        grant_connect(&mut observed, name);
    }
    let mut desired = desired_from(DEFINITIONS);
    for policy in [UndeclaredAccess::Report, UndeclaredAccess::Refuse] {
        desired.undeclared_access = policy;
        let plan = Plan::new(&desired, &observed, SecretFindings::default());
        let left_out =
            "580 more roles that are not declared have access, which the JSON of the plan lists";
        for text in [plan.to_text(), plan.to_markdown_worded(&Neutral)] {
            assert!(text.contains(left_out) && text.len() < 20_000, "{text}");
            assert!(text.contains("stranger019") && !text.contains("stranger020"), "{text}");
        }
        assert!(plan.to_github_worded(&Neutral).len() < 20_000);
        assert!(plan.to_text_with(&Neutral, Detail::Full).contains("stranger599"));
        assert_eq!(plan.undeclared_access.len(), 600);
    }
}
