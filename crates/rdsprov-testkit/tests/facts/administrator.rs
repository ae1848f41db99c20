//! The limits of the administrator, which is not a superuser.

use crate::ask::{Ask, PASSWORD, master, no_login, on_each_version, superuser};

#[test]
fn acting_for_a_role_needs_membership_in_it() {
    on_each_version(|server| {
        let mut master = master(server);
        master.done("CREATE ROLE acting_app; CREATE DATABASE acting_db");
        let needs = if server.major() < 16 {
            r#"must be member of role "acting_app""#
        } else {
            r#"must be able to SET ROLE "acting_app""#
        };
        for statement in [
            "CREATE DATABASE acting_other OWNER acting_app",
            "ALTER DATABASE acting_db OWNER TO acting_app",
            "CREATE SCHEMA AUTHORIZATION acting_app",
        ] {
            master.refused(statement, "42501", needs);
        }
        // These statements need the privileges of the role: since PostgreSQL 16, the SET option is
        // not enough.
        let needs = if server.major() < 16 {
            needs
        } else {
            "permission denied to change default privileges"
        };
        let defaults =
            "ALTER DEFAULT PRIVILEGES FOR ROLE acting_app GRANT SELECT ON TABLES TO PUBLIC";
        master.refused(defaults, "42501", needs);
        let reassign = "REASSIGN OWNED BY acting_app TO CURRENT_USER";
        master.refused(reassign, "42501", "permission denied to reassign objects");
    });
}

#[test]
fn a_role_that_somebody_else_created_needs_the_admin_option_from_16_on() {
    on_each_version(|server| {
        superuser(server).done("CREATE ROLE foreign_role");
        let mut master = master(server);
        master.done("CREATE ROLE foreign_member");
        let statements = [
            "ALTER ROLE foreign_role CONNECTION LIMIT 5",
            "GRANT foreign_role TO foreign_member",
            "DROP ROLE foreign_role",
        ];
        if server.major() < 16 {
            master.done(&statements.join(";"));
            return;
        }
        for statement in statements {
            master.refused(statement, "42501", "permission denied to");
        }
        superuser(server).done("GRANT foreign_role TO platform_admin WITH ADMIN OPTION");
        master.done(&statements.join(";"));
    });
}

#[test]
fn attributes_of_superusers_may_not_be_named_even_where_they_do_not_change() {
    on_each_version(|server| {
        let mut master = master(server);
        master.done("CREATE ROLE attributes_app");
        let refused = if server.major() < 16 {
            "must be superuser"
        } else {
            "permission denied to alter role"
        };
        for attribute in ["NOSUPERUSER", "NOREPLICATION", "NOBYPASSRLS"] {
            let alter = format!("ALTER ROLE attributes_app {attribute}");
            master.refused(&alter, "42501", refused);
            // Managed services may reject these as well. PostgreSQL does not.
            master.done(&format!("CREATE ROLE attributes_{attribute} {attribute}"));
        }
    });
}

#[test]
fn the_catalogs_of_passwords_cannot_be_read() {
    on_each_version(|server| {
        let mut master = master(server);
        for (statement, relation) in [
            ("SELECT rolpassword FROM pg_authid", "table pg_authid"),
            ("SELECT passwd FROM pg_shadow", "view pg_shadow"),
        ] {
            master.refused(statement, "42501", &format!("permission denied for {relation}"));
        }
        let shown = "SELECT DISTINCT rolpassword FROM pg_roles";
        assert_eq!(master.done(shown), "********");
    });
}

#[test]
fn a_grant_without_grant_options_succeeds_with_a_warning() {
    on_each_version(|server| {
        let mut master = master(server);
        master.done("CREATE ROLE warned_owner; CREATE ROLE warned_reader; CREATE SCHEMA warned");
        superuser(server).done(
            "CREATE TABLE warned.partly (); ALTER TABLE warned.partly OWNER TO warned_owner;
             GRANT SELECT ON warned.partly TO platform_admin, warned_reader;
             GRANT UPDATE ON warned.partly TO platform_admin WITH GRANT OPTION",
        );
        let grant = "GRANT SELECT ON warned.partly TO warned_reader";
        master.warned(grant, "01007", "no privileges were granted");
        let grant = "GRANT SELECT, UPDATE ON warned.partly TO warned_reader";
        master.warned(grant, "01007", "not all privileges were granted");
        let revoke = "REVOKE SELECT ON warned.partly FROM warned_reader";
        master.warned(revoke, "01006", "no privileges could be revoked for \"partly\"");
        assert_eq!(
            master.done("SELECT has_table_privilege('warned_reader', 'warned.partly', 'SELECT')"),
            "t"
        );
    });
}

#[test]
fn a_grant_on_all_tables_fails_whole_where_one_table_allows_nothing() {
    on_each_version(|server| {
        let mut master = master(server);
        master.done(
            "CREATE ROLE whole_owner; CREATE ROLE whole_reader; CREATE SCHEMA whole;
             CREATE TABLE whole.own ()",
        );
        let mut superuser = superuser(server);
        superuser.done("CREATE TABLE whole.other (); ALTER TABLE whole.other OWNER TO whole_owner");
        let grant = "GRANT SELECT ON ALL TABLES IN SCHEMA whole TO whole_reader";
        let held = "SELECT has_table_privilege('whole_reader', 'whole.own', 'SELECT')";
        master.refused(grant, "42501", "permission denied for table other");
        assert_eq!(master.done(held), "f");
        // A single privilege of the administrator on the other table turns the error into a
        // warning.
        superuser.done("GRANT INSERT ON whole.other TO platform_admin");
        master.warned(grant, "01007", "no privileges were granted");
        assert_eq!(master.done(held), "t");
    });
}

#[test]
fn the_administrator_is_shut_out_with_public_unless_granted_connect_after_the_change_of_owner() {
    on_each_version(|server| {
        let mut master = master(server);
        master.done("CREATE ROLE shut_app; CREATE DATABASE shut_db");
        let give = "GRANT CONNECT ON DATABASE shut_db TO platform_admin";
        let acl = "SELECT datacl FROM pg_database WHERE datname = 'shut_db'";
        master.done(&format!("REVOKE CONNECT ON DATABASE shut_db FROM PUBLIC; {give}"));
        // The administrator owns the database, so that the grant changes nothing.
        assert_eq!(master.done(acl), "{=T/platform_admin,platform_admin=CTc/platform_admin}");
        master.done(
            "BEGIN; GRANT shut_app TO CURRENT_USER; ALTER DATABASE shut_db OWNER TO shut_app;
             REVOKE shut_app FROM CURRENT_USER; COMMIT",
        );
        assert_eq!(master.done(acl), "{=T/shut_app,shut_app=CTc/shut_app}");
        let words = "permission denied for database \"shut_db\"";
        no_login(server, "platform_admin", server.master_password(), "shut_db", words);
        master.done(&format!(
            "BEGIN; GRANT shut_app TO CURRENT_USER; SET LOCAL ROLE shut_app; {give}; RESET ROLE;
             REVOKE shut_app FROM CURRENT_USER; COMMIT"
        ));
        server.master_session("shut_db").unwrap();
    });
}

#[test]
fn a_member_of_a_role_that_is_in_rds_iam_is_in_rds_iam() {
    on_each_version(|server| {
        let mut master = master(server);
        master.done("CREATE ROLE iam_app");
        superuser(server).done("GRANT rds_iam TO iam_app");
        let held = "SELECT pg_has_role('rds_iam', 'USAGE')";
        assert_eq!(master.done(held), "f");
        // The grant is rolled back, because other tests use the same administrator.
        master.done("BEGIN; GRANT iam_app TO CURRENT_USER");
        assert_eq!(master.done(held), "t");
        master.done("ROLLBACK");
    });
}

#[test]
fn createrole_could_grant_itself_pg_read_all_data_up_to_15() {
    on_each_version(|server| {
        let mut master = master(server);
        let grant = "BEGIN; GRANT pg_read_all_data TO CURRENT_USER";
        if server.major() < 16 {
            master.done(grant);
            assert_eq!(master.done("SELECT pg_has_role('pg_read_all_data', 'USAGE')"), "t");
        } else {
            master.refused(grant, "42501", "permission denied to grant role \"pg_read_all_data\"");
        }
        master.done("ROLLBACK");
    });
}

#[test]
fn the_creator_of_a_database_may_not_alter_it_once_another_owns_it() {
    on_each_version(|server| {
        let mut master = master(server);
        master.done(
            "CREATE ROLE creator_app; CREATE DATABASE creator_db; BEGIN;
             GRANT creator_app TO CURRENT_USER; ALTER DATABASE creator_db OWNER TO creator_app;
             REVOKE creator_app FROM CURRENT_USER; COMMIT",
        );
        for statement in [
            "ALTER DATABASE creator_db CONNECTION LIMIT 5",
            "ALTER DATABASE creator_db OWNER TO CURRENT_USER",
            "COMMENT ON DATABASE creator_db IS 'mine'",
            "DROP DATABASE creator_db",
        ] {
            master.refused(statement, "42501", "must be owner of database creator_db");
        }
    });
}

#[test]
fn parameters_of_superusers_cannot_be_set_for_roles_and_databases() {
    on_each_version(|server| {
        let mut master = master(server);
        master.done(&format!(
            "CREATE ROLE parameter_app LOGIN PASSWORD '{PASSWORD}'; CREATE DATABASE parameter_db"
        ));
        for on in [
            "ROLE parameter_app",
            "ROLE parameter_app IN DATABASE parameter_db",
            "DATABASE parameter_db",
        ] {
            for set in ["log_statement = 'all'", "log_min_duration_statement = 0"] {
                let refused = format!("ALTER {on} SET {set}");
                master.refused(&refused, "42501", "permission denied to set parameter \"log_");
            }
            master.done(&format!("ALTER {on} SET statement_timeout = '1min'"));
        }
    });
}
