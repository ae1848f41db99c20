//! Defects of the planner that the model has found, each in its smallest case.

use crate::fixes::{Fix, of_refusal};
use crate::initial_state::Scope;
use crate::run::{by_hand, desired_of, execute, plan};
use crate::simulation::Model;

const DEFINITIONS: &str = r#"
application_databases = {
  shop    = { database_name = "shop", username = "app", schemas = ["private"] }
  reports = { database_name = "shop", username = "reader", access_level = "reader", schemas = ["private"] }
}
"#;

/// A server of one version, with definitions.
struct Scene {
    model: Model,
    definitions: &'static str,
}

impl Scene {
    /// Applies the definitions.
    fn new(major: u32) -> Self {
        let mut scene = Self { model: Model::new(major), definitions: DEFINITIONS };
        for role in ["clerk", "stranger"] {
            scene.by_hand("postgres", &format!("CREATE ROLE {role}"));
        }
        scene.apply();
        scene
    }

    fn by_hand(&mut self, database: &str, sql: &str) {
        let scope = Scope::Database(database.to_owned());
        by_hand(&mut self.model, None, &scope, &[sql.to_owned()]).unwrap();
    }

    fn apply(&mut self) {
        let desired = desired_of(self.definitions, true).unwrap();
        let (_, first) = plan(&mut self.model, &desired).unwrap();
        assert!(first.refusals.is_empty(), "{}", first.to_text());
        execute(&mut self.model, &first, &desired, usize::MAX).unwrap();
        let (_, second) = plan(&mut self.model, &desired).unwrap();
        assert!(second.is_empty() && second.refusals.is_empty(), "{}", second.to_text());
    }

    /// Executes the statements of the refusals, of which there must be some.
    fn fix(&mut self) {
        let desired = desired_of(self.definitions, true).unwrap();
        let (_, plan) = plan(&mut self.model, &desired).unwrap();
        assert!(!plan.refusals.is_empty(), "{}", plan.to_text());
        for refusal in &plan.refusals {
            let Some(Fix::OfRefusal { executor, scope, sql, .. }) = of_refusal(refusal) else {
                panic!("{refusal:?} has no statements");
            };
            by_hand(&mut self.model, executor.as_deref(), &scope, &[sql]).unwrap();
        }
    }
}

#[test]
fn new_owner_needs_no_grant_of_another_role() {
    for major in [14, 16, 18] {
        let mut scene = Scene::new(major);
        scene.by_hand(
            "postgres",
            "GRANT ALL ON DATABASE shop TO reader WITH GRANT OPTION; SET LOCAL ROLE reader; \
             GRANT ALL ON DATABASE shop TO app",
        );
        scene.by_hand("postgres", "ALTER DATABASE shop OWNER TO platform_admin");
        scene.apply();
    }
}

#[test]
fn owner_without_usage_does_not_execute_the_manual_fix() {
    for major in [14, 16, 18] {
        let mut scene = Scene::new(major);
        scene.by_hand(
            "shop",
            "CREATE SEQUENCE private.q; ALTER SEQUENCE private.q OWNER TO clerk; \
             GRANT UPDATE ON SEQUENCE private.q TO reader WITH GRANT OPTION; \
             SET LOCAL ROLE reader; GRANT UPDATE ON SEQUENCE private.q TO stranger",
        );
        scene.fix();
    }
}

/// Before PostgreSQL 16, the administrator has the grant options of each role that it is a member of, and
/// PostgreSQL would take this role as the grantor: the revocation would have no effect.
#[test]
fn administrator_that_owns_the_database_revokes_as_the_owner_of_public() {
    for major in [14, 15, 16, 18] {
        let definitions = r#"
application_databases = {
  loader  = { database_name = "shop", username = "loader", access_level = "reader", creators = ["loader"], adopt = true }
  reports = { database_name = "shop", username = "reader", access_level = "reader" }
}
"#;
        let mut scene = Scene { model: Model::new(major), definitions };
        scene.by_hand("postgres", "SET ROLE platform_admin; CREATE ROLE loader LOGIN; RESET ROLE");
        scene.by_hand("postgres", "CREATE DATABASE shop OWNER platform_admin");
        scene.by_hand("shop", "ALTER SCHEMA public OWNER TO pg_database_owner");
        scene.by_hand("shop", "GRANT CREATE ON SCHEMA public TO loader WITH GRANT OPTION");
        scene.by_hand("shop", "GRANT CREATE ON SCHEMA public TO PUBLIC");
        // The transaction revokes this first, as the role.
        let granted = "ALTER DEFAULT PRIVILEGES FOR ROLE loader GRANT SELECT ON TABLES TO PUBLIC";
        scene.by_hand("shop", granted);
        scene.apply();
    }
}
