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
        self.fix_of_run(true);
    }

    /// Executes the statements of the refusals of a run that may change owners, or may not.
    fn fix_of_run(&mut self, may_change_owners: bool) {
        let desired = desired_of(self.definitions, may_change_owners).unwrap();
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

/// Before PostgreSQL 16, an owner with `NOINHERIT` does not have the privileges of `pg_database_owner`
/// without `SET ROLE`: PostgreSQL would find no grant option, and grant nothing.
#[test]
fn owner_with_noinherit_grants_on_public() {
    for major in [14, 15, 16, 18] {
        let definitions = r#"
application_databases = {
  reports = { database_name = "shop", username = "reader", access_level = "reader", adopt = true }
}
"#;
        let options = if major < 16 { "" } else { " WITH INHERIT FALSE" };
        // Also if the administrator is a member of each role of the plan already.
        for memberships in ["", "GRANT team TO platform_admin; GRANT reader TO platform_admin"] {
            let mut scene = Scene { model: Model::new(major), definitions };
            scene.by_hand(
                "postgres",
                "SET ROLE platform_admin; CREATE ROLE team NOINHERIT; CREATE ROLE reader LOGIN; RESET ROLE",
            );
            for grant in memberships.split("; ").filter(|one| !one.is_empty()) {
                scene.by_hand("postgres", &format!("{grant}{options}"));
            }
            scene.by_hand("postgres", "CREATE DATABASE shop OWNER team");
            scene.by_hand("shop", "ALTER SCHEMA public OWNER TO pg_database_owner");
            scene.by_hand(
                "shop",
                "REVOKE USAGE ON SCHEMA public FROM PUBLIC; GRANT CREATE ON SCHEMA public TO reader; \
                 CREATE TABLE public.t (a int); ALTER TABLE public.t OWNER TO team",
            );
            scene.apply();
        }
    }
}

const MOVER: &str = "SET ROLE platform_admin; CREATE ROLE mover; RESET ROLE";

/// The owner of the database is not the owner of an object before the plan transfers it.
#[test]
fn old_owner_executes_the_manual_fix_before_the_transfer() {
    for major in [14, 15, 16, 18] {
        let mut scene = Scene::new(major);
        scene.by_hand("postgres", MOVER);
        scene.by_hand("postgres", "ALTER DATABASE shop OWNER TO mover");
        scene.by_hand(
            "shop",
            "CREATE SEQUENCE private.q; ALTER SEQUENCE private.q OWNER TO mover; \
             GRANT USAGE ON SCHEMA private TO mover; \
             GRANT UPDATE ON SEQUENCE private.q TO reader WITH GRANT OPTION; \
             SET LOCAL ROLE reader; GRANT UPDATE ON SEQUENCE private.q TO stranger",
        );
        scene.fix();
        scene.apply();
    }
}

/// `REASSIGN OWNED` requires that the new owner has `CREATE` on the schema of a function. An owner can have
/// revoked it from itself.
#[test]
fn superuser_transfers_what_the_new_owner_may_not_create() {
    for major in [14, 15, 16, 18] {
        for schema in [
            "CREATE SCHEMA other",
            "CREATE SCHEMA other AUTHORIZATION mover; REVOKE ALL ON SCHEMA other FROM mover",
        ] {
            for may_change_owners in [false, true] {
                let mut scene = Scene::new(major);
                scene.by_hand("postgres", MOVER);
                scene.by_hand("postgres", "ALTER DATABASE shop OWNER TO mover");
                scene.by_hand("shop", schema);
                scene.by_hand(
                    "shop",
                    "CREATE FUNCTION other.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; \
                     ALTER FUNCTION other.f() OWNER TO mover",
                );
                scene.fix_of_run(may_change_owners);
                scene.apply();
            }
        }
    }
}

/// Another role has a privilege on the large object through a role of the definitions, which PUBLIC has not.
#[test]
fn privilege_of_public_on_a_shared_large_object_is_revoked() {
    for major in [14, 16, 18] {
        let mut scene = Scene::new(major);
        scene.by_hand(
            "shop",
            "SELECT lo_create(90001); ALTER LARGE OBJECT 90001 OWNER TO app; \
             GRANT UPDATE ON LARGE OBJECT 90001 TO PUBLIC; \
             GRANT UPDATE ON LARGE OBJECT 90001 TO reader WITH GRANT OPTION; \
             SET LOCAL ROLE reader; GRANT UPDATE ON LARGE OBJECT 90001 TO stranger",
        );
        let desired = desired_of(scene.definitions, true).unwrap();
        let (_, first) = plan(&mut scene.model, &desired).unwrap();
        assert!(first.to_text().contains("90001 from PUBLIC"), "{}", first.to_text());
        scene.apply();
    }
}

/// The plan grants it `USAGE`, but its statement comes before.
#[test]
fn owner_without_usage_before_the_plan_does_not_execute_the_manual_fix() {
    for major in [14, 16, 18] {
        let definitions = r#"
application_databases = {
  shop    = { database_name = "shop", username = "app", schemas = ["private"], creators = ["loader"] }
  loader  = { database_name = "shop", username = "loader", access_level = "editor", schemas = ["private"] }
  reports = { database_name = "shop", username = "reader", access_level = "reader", schemas = ["private"] }
}
"#;
        let mut scene = Scene { model: Model::new(major), definitions };
        scene.by_hand("postgres", "CREATE ROLE stranger");
        scene.apply();
        scene.by_hand(
            "shop",
            "CREATE TABLE private.t (a int); ALTER TABLE private.t OWNER TO loader; \
             GRANT UPDATE ON TABLE private.t TO reader WITH GRANT OPTION; \
             SET LOCAL ROLE reader; GRANT UPDATE ON TABLE private.t TO stranger; RESET ROLE; \
             REVOKE USAGE ON SCHEMA private FROM loader",
        );
        scene.fix();
        scene.apply();
    }
}

/// A revocation with `CASCADE` leaves what depends on an option that the role has through a membership, too.
#[test]
fn other_role_keeps_its_privilege_whatever_the_memberships_of_its_grantor() {
    for major in [14, 15, 16, 18] {
        let mut scene = Scene::new(major);
        scene.by_hand("postgres", "CREATE ROLE staff");
        scene.by_hand(
            "shop",
            "GRANT CREATE ON SCHEMA private TO staff WITH GRANT OPTION; \
             GRANT CREATE ON SCHEMA private TO reader WITH GRANT OPTION; \
             SET LOCAL ROLE staff; GRANT CREATE ON SCHEMA private TO reader; \
             SET LOCAL ROLE reader; GRANT CREATE ON SCHEMA private TO stranger",
        );
        scene.by_hand("postgres", "GRANT staff TO reader");
        let desired = desired_of(scene.definitions, true).unwrap();
        for _ in 0..8 {
            let (_, plan) = plan(&mut scene.model, &desired).unwrap();
            if plan.refusals.is_empty() {
                break;
            }
            scene.fix();
        }
        scene.apply();
    }
}

/// PostgreSQL takes the first of the roles with the option as the grantor, and not the owner of the object.
#[test]
fn new_owner_with_the_grant_option_grants_again() {
    for major in [14, 15, 16, 18] {
        let mut scene = Scene::new(major);
        scene.by_hand("postgres", MOVER);
        scene.by_hand("postgres", "ALTER DATABASE shop OWNER TO mover");
        scene.by_hand(
            "shop",
            "ALTER SCHEMA private OWNER TO mover; \
             GRANT CREATE ON SCHEMA private TO app WITH GRANT OPTION; \
             GRANT CREATE ON SCHEMA private TO reader WITH GRANT OPTION; \
             SET LOCAL ROLE reader; GRANT CREATE ON SCHEMA private TO stranger",
        );
        scene.fix();
        scene.apply();
    }
}

/// The owner of the database has the privileges of `pg_database_owner`.
#[test]
fn new_owner_needs_no_grant_of_the_old_one_on_public() {
    for major in [15, 16, 18] {
        let mut scene = Scene::new(major);
        scene.by_hand(
            "postgres",
            "ALTER DATABASE shop OWNER TO reader; GRANT CONNECT ON DATABASE shop TO platform_admin",
        );
        scene.by_hand(
            "shop",
            "GRANT CREATE ON SCHEMA public TO reader WITH GRANT OPTION; \
             SET LOCAL ROLE reader; GRANT CREATE ON SCHEMA public TO app",
        );
        scene.apply();
    }
}

/// With the option, a role can give a privilege of PUBLIC to others for good.
#[test]
fn grant_option_for_a_privilege_of_public_is_not_without_effect() {
    for major in [14, 16, 18] {
        let mut scene = Scene::new(major);
        scene.by_hand(
            "shop",
            "CREATE TABLE public.t (a int); GRANT SELECT ON TABLE public.t TO PUBLIC; \
             GRANT SELECT ON TABLE public.t TO reader WITH GRANT OPTION",
        );
        scene.fix();
        scene.apply();
    }
}

/// `ALTER SCHEMA … OWNER TO` requires `CREATE` on the database.
#[test]
fn owner_without_create_on_the_database_gets_schemas_by_hand() {
    for major in [14, 15, 16, 18] {
        let mut scene = Scene::new(major);
        scene.by_hand("postgres", MOVER);
        scene.by_hand("postgres", "REVOKE CREATE ON DATABASE shop FROM app");
        scene.by_hand("shop", "ALTER SCHEMA private OWNER TO mover");
        scene.fix_of_run(false);
        scene.apply();
    }
}

/// Only a superuser may revoke a membership in a superuser.
#[test]
fn membership_in_a_role_that_became_a_superuser_is_revoked_by_a_superuser() {
    for major in [14, 15, 16, 18] {
        let mut scene = Scene::new(major);
        scene.by_hand("postgres", MOVER);
        scene.by_hand("postgres", "SET ROLE platform_admin; GRANT mover TO reader; RESET ROLE");
        scene.by_hand("postgres", "ALTER ROLE mover SUPERUSER");
        scene.fix();
        scene.apply();
    }
}

/// PostgreSQL leaves such a privilege behind, if the grantor had the option through a membership, too.
#[test]
fn privilege_whose_grantor_has_lost_its_option_is_revoked() {
    for major in [14, 15, 16, 18] {
        let definitions = r#"
application_databases = {
  shop    = { database_name = "shop", username = "app", schemas = ["private"] }
  reports = { database_name = "shop", username = "reader", access_level = "reader", schemas = ["private"] }
  loader  = { database_name = "shop", username = "loader", access_level = "reader", schemas = ["private"] }
}
"#;
        for (target, privilege) in [
            ("TABLE private.t", "UPDATE"),
            ("SCHEMA private", "CREATE"),
            ("DATABASE shop", "CREATE"),
        ] {
            let mut scene = Scene { model: Model::new(major), definitions };
            scene.apply();
            scene.by_hand(
                "shop",
                "CREATE TABLE private.t (a int); ALTER TABLE private.t OWNER TO app",
            );
            let grant = format!("GRANT {privilege} ON {target} TO");
            scene.by_hand(
                "shop",
                &format!(
                    "{grant} reader WITH GRANT OPTION; SET LOCAL ROLE reader; {grant} loader; RESET ROLE"
                ),
            );
            scene.by_hand("postgres", "GRANT app TO reader");
            scene.by_hand("shop", &format!("REVOKE {privilege} ON {target} FROM reader CASCADE"));
            scene.by_hand("postgres", "REVOKE app FROM reader");
            let desired = desired_of(definitions, true).unwrap();
            let (_, first) = plan(&mut scene.model, &desired).unwrap();
            let revoked = format!("revoke {privilege} on ");
            assert!(first.to_text().contains(&revoked), "{target}: {}", first.to_text());
            scene.apply();
        }
    }
}
