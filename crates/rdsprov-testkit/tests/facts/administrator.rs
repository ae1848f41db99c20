//! The limits of the administrator, which is not a superuser.

use crate::assertions::{
    Assertions, PASSWORD, expect_login_error, master, on_each_version, superuser,
};

#[test]
fn acting_for_a_role_needs_membership() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok("CREATE ROLE acting_app; CREATE DATABASE acting_db");
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
            master.expect_error(statement, "42501", needs);
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
        master.expect_error(defaults, "42501", needs);
        let reassign = "REASSIGN OWNED BY acting_app TO CURRENT_USER";
        master.expect_error(reassign, "42501", "permission denied to reassign objects");
    });
}

#[test]
fn altering_a_foreign_role_needs_admin_option_since_16() {
    on_each_version(|server| {
        superuser(server).expect_ok("CREATE ROLE foreign_role");
        let mut master = master(server);
        master.expect_ok("CREATE ROLE foreign_member");
        let statements = [
            "ALTER ROLE foreign_role CONNECTION LIMIT 5",
            "GRANT foreign_role TO foreign_member",
            "DROP ROLE foreign_role",
        ];
        if server.major() < 16 {
            master.expect_ok(&statements.join(";"));
            return;
        }
        for statement in statements {
            master.expect_error(statement, "42501", "permission denied to");
        }
        superuser(server).expect_ok("GRANT foreign_role TO platform_admin WITH ADMIN OPTION");
        master.expect_ok(&statements.join(";"));
    });
}

#[test]
fn superuser_attributes_cannot_be_specified_even_unchanged() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok("CREATE ROLE attributes_app");
        let message = if server.major() < 16 {
            "must be superuser"
        } else {
            "permission denied to alter role"
        };
        for attribute in ["NOSUPERUSER", "NOREPLICATION", "NOBYPASSRLS"] {
            let alter = format!("ALTER ROLE attributes_app {attribute}");
            master.expect_error(&alter, "42501", message);
            // Managed services may reject these as well. PostgreSQL does not.
            master.expect_ok(&format!("CREATE ROLE attributes_{attribute} {attribute}"));
        }
    });
}

#[test]
fn password_catalogs_cannot_be_read() {
    on_each_version(|server| {
        // The master user of RDS cannot read them either. On the test server it can from
        // PostgreSQL 15 on, because RDS then gives it pg_read_all_data.
        let mut session = superuser(server);
        session.expect_ok("CREATE ROLE catalog_reader CREATEDB CREATEROLE");
        session.expect_ok("SET ROLE catalog_reader");
        for (statement, relation) in [
            ("SELECT rolpassword FROM pg_authid", "table pg_authid"),
            ("SELECT passwd FROM pg_shadow", "view pg_shadow"),
        ] {
            session.expect_error(statement, "42501", &format!("permission denied for {relation}"));
        }
        let shown = "SELECT DISTINCT rolpassword FROM pg_roles";
        assert_eq!(session.expect_ok(shown), "********");
        let readable = "SELECT has_table_privilege('platform_admin', 'pg_authid', 'SELECT')";
        let expected = if server.major() < 15 { "f" } else { "t" };
        assert_eq!(superuser(server).expect_ok(readable), expected);
    });
}

#[test]
fn grant_without_grant_option_succeeds_with_a_warning() {
    on_each_version(|server| {
        let mut master = master(server);
        master
            .expect_ok("CREATE ROLE warned_owner; CREATE ROLE warned_reader; CREATE SCHEMA warned");
        superuser(server).expect_ok(
            "CREATE TABLE warned.partly (); ALTER TABLE warned.partly OWNER TO warned_owner;
             GRANT SELECT ON warned.partly TO platform_admin, warned_reader;
             GRANT UPDATE ON warned.partly TO platform_admin WITH GRANT OPTION",
        );
        let grant = "GRANT SELECT ON warned.partly TO warned_reader";
        master.expect_warning(grant, "01007", "no privileges were granted");
        let grant = "GRANT SELECT, UPDATE ON warned.partly TO warned_reader";
        master.expect_warning(grant, "01007", "not all privileges were granted");
        let revoke = "REVOKE SELECT ON warned.partly FROM warned_reader";
        master.expect_warning(revoke, "01006", "no privileges could be revoked for \"partly\"");
        assert_eq!(
            master.expect_ok(
                "SELECT has_table_privilege('warned_reader', 'warned.partly', 'SELECT')"
            ),
            "t"
        );
    });
}

#[test]
fn grant_on_all_tables_is_all_or_nothing() {
    on_each_version(|server| {
        let mut session = superuser(server);
        let mut superuser = superuser(server);
        superuser.expect_ok(
            "CREATE ROLE whole_owner; CREATE ROLE whole_reader; CREATE ROLE whole_admin;
             CREATE SCHEMA whole AUTHORIZATION whole_admin;
             CREATE TABLE whole.own (); ALTER TABLE whole.own OWNER TO whole_admin;
             CREATE TABLE whole.other (); ALTER TABLE whole.other OWNER TO whole_owner",
        );
        session.expect_ok("SET ROLE whole_admin");
        let grant = "GRANT SELECT ON ALL TABLES IN SCHEMA whole TO whole_reader";
        let held = "SELECT has_table_privilege('whole_reader', 'whole.own', 'SELECT')";
        session.expect_error(grant, "42501", "permission denied for table other");
        assert_eq!(session.expect_ok(held), "f");
        // A single privilege on the other table turns the error into a warning. So does
        // pg_read_all_data, which the master user of RDS has from PostgreSQL 15 on.
        for (give, take) in [
            (
                "GRANT INSERT ON whole.other TO whole_admin",
                "REVOKE INSERT ON whole.other FROM whole_admin",
            ),
            ("GRANT pg_read_all_data TO whole_admin", "REVOKE pg_read_all_data FROM whole_admin"),
        ] {
            superuser.expect_ok(give);
            session.expect_warning(grant, "01007", "no privileges were granted");
            assert_eq!(session.expect_ok(held), "t");
            superuser.expect_ok(take);
            superuser.expect_ok("REVOKE SELECT ON whole.own FROM whole_reader");
        }
    });
}

#[test]
fn administrator_needs_connect_after_an_owner_change() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok("CREATE ROLE shut_app; CREATE DATABASE shut_db");
        let give = "GRANT CONNECT ON DATABASE shut_db TO platform_admin";
        let acl = "SELECT datacl FROM pg_database WHERE datname = 'shut_db'";
        master.expect_ok(&format!("REVOKE CONNECT ON DATABASE shut_db FROM PUBLIC; {give}"));
        // The administrator owns the database, so that the grant changes nothing.
        assert_eq!(master.expect_ok(acl), "{=T/platform_admin,platform_admin=CTc/platform_admin}");
        master.expect_ok(
            "BEGIN; GRANT shut_app TO CURRENT_USER; ALTER DATABASE shut_db OWNER TO shut_app;
             REVOKE shut_app FROM CURRENT_USER; COMMIT",
        );
        assert_eq!(master.expect_ok(acl), "{=T/shut_app,shut_app=CTc/shut_app}");
        let text = "permission denied for database \"shut_db\"";
        expect_login_error(server, "platform_admin", server.master_password(), "shut_db", text);
        master.expect_ok(&format!(
            "BEGIN; GRANT shut_app TO CURRENT_USER; SET LOCAL ROLE shut_app; {give}; RESET ROLE;
             REVOKE shut_app FROM CURRENT_USER; COMMIT"
        ));
        server.master_session("shut_db").unwrap();
    });
}

#[test]
fn membership_in_rds_iam_is_transitive() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok("CREATE ROLE iam_app");
        superuser(server).expect_ok("GRANT rds_iam TO iam_app");
        let held = "SELECT pg_has_role('rds_iam', 'USAGE')";
        assert_eq!(master.expect_ok(held), "f");
        // The grant is rolled back, because other tests use the same administrator.
        master.expect_ok("BEGIN; GRANT iam_app TO CURRENT_USER");
        assert_eq!(master.expect_ok(held), "t");
        master.expect_ok("ROLLBACK");
    });
}

#[test]
fn createrole_can_grant_itself_pg_read_all_data_before_16() {
    on_each_version(|server| {
        // Unlike the master user, this role does not have it through rds_superuser.
        let mut session = superuser(server);
        session.expect_ok("CREATE ROLE role_creator CREATEROLE");
        session.expect_ok("SET ROLE role_creator");
        let grant = "BEGIN; GRANT pg_read_all_data TO CURRENT_USER";
        if server.major() < 16 {
            session.expect_ok(grant);
            assert_eq!(session.expect_ok("SELECT pg_has_role('pg_read_all_data', 'USAGE')"), "t");
        } else {
            session.expect_error(
                grant,
                "42501",
                "permission denied to grant role \"pg_read_all_data\"",
            );
        }
        session.expect_ok("ROLLBACK");
    });
}

#[test]
fn database_creator_loses_its_rights_with_the_ownership() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(
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
            master.expect_error(statement, "42501", "must be owner of database creator_db");
        }
    });
}

#[test]
fn superuser_parameters_cannot_be_set_for_roles_or_databases() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(&format!(
            "CREATE ROLE parameter_app LOGIN PASSWORD '{PASSWORD}'; CREATE DATABASE parameter_db"
        ));
        for on in [
            "ROLE parameter_app",
            "ROLE parameter_app IN DATABASE parameter_db",
            "DATABASE parameter_db",
        ] {
            for set in ["log_statement = 'all'", "log_min_duration_statement = 0"] {
                let alter = format!("ALTER {on} SET {set}");
                master.expect_error(&alter, "42501", "permission denied to set parameter \"log_");
            }
            master.expect_ok(&format!("ALTER {on} SET statement_timeout = '1min'"));
        }
    });
}
