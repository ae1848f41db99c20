//! Desired and observed states for the tests of plans.

use crate::definitions::{Definitions, Rules, SourceText, Syntax};
use crate::desired::Desired;
use crate::name::{DatabaseName, RoleName};
use crate::observed::Observed;
use crate::secret_id::Templates;

const DEFINITIONS: &str = r#"
    [application_databases]
    hr = { database_name = "hr", username = "hr_owner" }
    hr_reports = { database_name = "hr", username = "analyst", access_level = "reader" }
    shop = { database_name = "shop", username = "shop_owner" }
    shop_reports = { database_name = "shop", username = "analyst", access_level = "reader" }
    wiki = { database_name = "wiki", username = "wiki_owner" }
"#;

const OBSERVED: &str = r#"{
    "server_version": 170001,
    "connection": { "server": "localhost:5432" },
    "admin_database": "postgres",
    "administrator": {
        "name": "platform_admin", "superuser": false, "create_role": true,
        "create_database": true, "rds_superuser": true
    }
}"#;

/// Returns three databases, two of which have a reader in common.
pub fn desired() -> Desired {
    desired_from(DEFINITIONS)
}

/// Returns the desired state of definitions.
pub fn desired_from(toml: &str) -> Desired {
    let source =
        SourceText { path: "all.toml".to_owned(), text: toml.to_owned(), syntax: Syntax::Toml };
    let definitions = Definitions::parse(&[source], &Rules::default()).unwrap();
    Desired::new(&definitions, "dev", &Templates::default(), None).unwrap()
}

/// Returns a new server.
pub fn observed() -> Observed {
    serde_json::from_str(OBSERVED).unwrap()
}

/// Returns a server with one role that has a comment.
pub fn observed_with_role(name: &str, comment: &str) -> Observed {
    observed_with(&[(name, comment)], &[])
}

/// Returns a server with roles and their comments, and with databases, their owners and their
/// comments. Each database has one table of its owner in schema `public`.
pub fn observed_with(roles: &[(&str, &str)], databases: &[(&str, &str, &str)]) -> Observed {
    let mut observed = observed();
    for (name, comment) in roles {
        let role = serde_json::json!({
            "superuser": false, "login": true, "inherit": true, "create_role": false,
            "create_database": false, "replication": false, "bypass_rls": false,
            "connection_limit": -1, "valid_until": null, "expired": false, "comment": comment,
            "memberships": [], "administrator_has_admin_option": true
        });
        let name = RoleName::new_unchecked(*name);
        observed.roles.insert(name, serde_json::from_value(role).unwrap());
    }
    for (name, owner, comment) in databases {
        let privilege = |grantee: &str, privilege: &str| {
            serde_json::json!({
                "grantee": grantee, "grantor": owner, "privilege": privilege, "grantable": false
            })
        };
        let own = |privileges: &[&str]| -> Vec<serde_json::Value> {
            privileges.iter().map(|one| privilege(owner, one)).collect()
        };
        let mut acl = own(&["CREATE", "CONNECT", "TEMPORARY"]);
        acl.push(privilege("platform_admin", "CONNECT"));
        let database = serde_json::json!({
            "owner": owner, "allow_connections": true, "connectable": true, "comment": comment,
            "acl": acl,
            "contents": {
                "default_privileges": [],
                "schemas": { "public": {
                    "owner": owner,
                    "acl": own(&["CREATE", "USAGE"]),
                    "relations": [{
                        "number": 1, "owner": owner, "kind": "table", "acl": own(&["SELECT"]),
                        "count": 1, "names": ["items"]
                    }]
                } }
            }
        });
        let name = DatabaseName::new_unchecked(*name);
        observed.databases.insert(name, serde_json::from_value(database).unwrap());
    }
    observed
}

/// Returns the marker of an object of environment `dev`. `more` follows its name.
pub fn marker(application: &str, name: &str, more: &str) -> String {
    format!(
        "[managed by rdsprov: environment=dev application={application} build_id=1 \
         name=\"{name}\"{more}]"
    )
}
