//! Rotations as a table: the state of a role and its secret, and the steps or refusals of the plan.

use serde_json::{Value, json};

use super::{ActivePassword, RotationState, choose};
use crate::definitions::{Definitions, Rules, SourceText, Syntax};
use crate::desired::Desired;
use crate::observed::Observed;
use crate::plan::{Action, Plan, RefusalCode, SecretFindings};
use crate::secret_id::Templates;

const SHOP: &str =
    "[application_databases.shop]\ndatabase_name = \"shop\"\nusername = \"shop_user\"";

fn desired(text: &str) -> Desired {
    let source =
        SourceText { path: "shop.toml".to_owned(), text: text.to_owned(), syntax: Syntax::Toml };
    let definitions = Definitions::parse(&[source], &Rules::default()).unwrap();
    Desired::new(&definitions, "dev", &Templates::default(), None).unwrap()
}

/// Returns the managed role `shop_user` with some values changed.
fn managed(changes: Value) -> Value {
    let marker = crate::marker::Marker {
        environment: "dev".to_owned(),
        application: "shop".to_owned(),
        name: "shop_user".to_owned(),
        secret: Some("goldenpath/dev/shop/postgres".to_owned()),
        ..crate::marker::Marker::default()
    };
    let mut role = json!({
        "superuser": false, "login": true, "create_role": false, "create_database": false,
        "replication": false, "bypass_rls": false, "connection_limit": -1, "valid_until": null,
        "comment": marker.append_to(None, "1"), "memberships": [],
        "administrator_has_admin_option": true,
    });
    role.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    role
}

fn plan(roles: Value, pending: Option<&str>, active: ActivePassword, owner: Option<&str>) -> Plan {
    plan_of(SHOP, roles, pending, active, owner)
}

fn plan_of(
    text: &str,
    roles: Value,
    pending: Option<&str>,
    active: ActivePassword,
    owner: Option<&str>,
) -> Plan {
    let observed: Observed = serde_json::from_value(json!({
        "server_version": 160_000,
        "admin_database": "postgres",
        "administrator": {
            "name": "platform_admin", "superuser": false, "create_role": true,
            "create_database": true, "rds_superuser": false,
        },
        "roles": roles,
    }))
    .unwrap();
    let desired = desired(text);
    let rotation = choose(&desired, &["shop".to_owned()], None).unwrap().remove(0);
    let state = RotationState {
        rotation,
        current: "v1".to_owned(),
        pending: pending.map(str::to_owned),
        active_password: active,
        rotation_owner: owner.map(str::to_owned),
        foreign_endpoint: None,
    };
    Plan::for_rotation(&desired, &observed, SecretFindings::default(), &[state])
}

#[test]
fn steps_depend_on_the_versions_of_the_secret() {
    use Action::{CreatePending, FinishRotation, SetPassword, TestPassword};
    let roles = || json!({ "shop_user": managed(json!({})) });
    let all: &[Action] = &[CreatePending, SetPassword, TestPassword, FinishRotation];
    for (pending, active, expected) in [
        (None, ActivePassword::Current, all),
        (None, ActivePassword::Neither, all),
        (Some("v2"), ActivePassword::Current, &all[1..]),
        (Some("v2"), ActivePassword::Neither, &all[1..]),
        (Some("v2"), ActivePassword::Pending, &all[2..]),
    ] {
        let plan = plan(roles(), pending, active.clone(), None);
        let actions: Vec<Action> = plan.steps().map(|step| step.action).collect();
        assert_eq!(actions, expected, "{pending:?} {active:?}");
        assert_eq!(plan.refusals, [], "{pending:?} {active:?}");
    }
}

/// `apply` gives a role the scope of the definitions, with the hazard `changes_scope`; until then, they do
/// not rotate its password.
#[test]
fn role_without_the_scope_of_the_definitions_is_refused() {
    let comment = |scope: &str| {
        format!(
            "[managed by rdsprov: environment=dev application=shop build_id=1{scope} \
             name=\"shop_user\" secret=\"goldenpath/dev/shop/postgres\"]"
        )
    };
    let text = format!("scope = \"billing\"\n{SHOP}");
    for (recorded, expected) in [(" scope=billing", None), ("", Some(())), (" scope=crm", Some(()))]
    {
        let roles = json!({ "shop_user": managed(json!({ "comment": comment(recorded) })) });
        let plan = plan_of(&text, roles, None, ActivePassword::Current, None);
        let codes: Vec<_> = plan.refusals.iter().map(|refusal| refusal.code()).collect();
        let expected: Vec<_> = expected.iter().map(|()| RefusalCode::RoleMarkerDiffers).collect();
        assert_eq!(codes, expected, "{recorded}: {:?}", plan.refusals);
    }
}

#[test]
fn refusals_depend_on_the_role() {
    let refused = |roles: Value, active: ActivePassword, owner: Option<&str>| {
        let plan = plan(roles, None, active, owner);
        plan.refusals.iter().map(|refusal| refusal.code()).collect::<Vec<RefusalCode>>()
    };
    let iam = json!({ "memberships": [{ "role": "rds_iam", "grantor": "rdsadmin" }] });
    let unknown = || ActivePassword::Unknown("no route to host".to_owned());
    for (name, roles, active, owner, expected) in [
        ("missing", json!({}), ActivePassword::Neither, None, RefusalCode::RoleMissing),
        (
            "renamed",
            json!({ "shop_old": managed(json!({})) }),
            ActivePassword::Neither,
            None,
            RefusalCode::RoleRenamed,
        ),
        (
            "unmanaged",
            json!({ "shop_user": managed(json!({ "comment": null })) }),
            ActivePassword::Current,
            None,
            RefusalCode::RoleNotManaged,
        ),
        (
            "no ADMIN OPTION",
            json!({ "shop_user": managed(json!({ "administrator_has_admin_option": false })) }),
            ActivePassword::Current,
            None,
            RefusalCode::AdminOptionMissing,
        ),
        (
            "superuser",
            json!({ "shop_user": managed(json!({ "superuser": true })) }),
            ActivePassword::Current,
            None,
            RefusalCode::RoleAttributesForbidden,
        ),
        (
            "IAM",
            json!({ "shop_user": managed(iam) }),
            ActivePassword::Neither,
            None,
            RefusalCode::RoleUsesIam,
        ),
        (
            "NOLOGIN",
            json!({ "shop_user": managed(json!({ "login": false })) }),
            ActivePassword::Neither,
            None,
            RefusalCode::RoleCannotLogIn,
        ),
        (
            "unverified",
            json!({ "shop_user": managed(json!({})) }),
            unknown(),
            None,
            RefusalCode::LoginUnverified,
        ),
        (
            "secret of another team",
            json!({ "shop_user": managed(json!({
                "comment": "[managed by rdsprov: environment=dev application=shop build_id=1 name=\"shop_user\" secret=\"teamB/shop\"]",
            })) }),
            ActivePassword::Neither,
            None,
            RefusalCode::RoleMarkerDiffers,
        ),
        (
            "application of another team",
            json!({ "shop_user": managed(json!({
                "comment": "[managed by rdsprov: environment=dev application=their_shop build_id=1 name=\"shop_user\" secret=\"goldenpath/dev/shop/postgres\"]",
            })) }),
            ActivePassword::Neither,
            None,
            RefusalCode::RoleMarkerDiffers,
        ),
        (
            "rotated by AWS",
            json!({ "shop_user": managed(json!({})) }),
            ActivePassword::Current,
            Some("a Lambda function"),
            RefusalCode::RotatedByAws,
        ),
    ] {
        assert_eq!(refused(roles, active, owner), [expected], "{name}");
    }
}
