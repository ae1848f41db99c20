//! A desired and an observed state for the tests of restricted plans.

use crate::definitions::{Definitions, Rules, SourceText, Syntax};
use crate::desired::Desired;
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
    let source = SourceText {
        path: "all.toml".to_owned(),
        text: DEFINITIONS.to_owned(),
        syntax: Syntax::Toml,
    };
    let definitions = Definitions::parse(&[source], &Rules::default()).unwrap();
    Desired::new(&definitions, "dev", &Templates::default(), None).unwrap()
}

/// Returns a new server.
pub fn observed() -> Observed {
    serde_json::from_str(OBSERVED).unwrap()
}

/// Returns a server with one role that has a comment.
pub fn observed_with_role(name: &str, comment: &str) -> Observed {
    let mut observed: serde_json::Value = serde_json::from_str(OBSERVED).unwrap();
    observed["roles"] = serde_json::json!({ name: {
        "superuser": false, "login": true, "inherit": true, "create_role": false,
        "create_database": false, "replication": false, "bypass_rls": false,
        "connection_limit": -1, "valid_until": null, "expired": false, "comment": comment,
        "memberships": [], "administrator_has_admin_option": true
    } });
    serde_json::from_value(observed).unwrap()
}
