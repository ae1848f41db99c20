//! Memberships: grantors, options, and the effects of both.

use std::fs;

use rdsprov_testkit::Server;

use crate::assertions::{
    Assertions, PASSWORD, expect_login_error, login, master, on_each_version, superuser, wait_until,
};

/// Lists the grantor and options of each membership. Before PostgreSQL 16, ADMIN
/// is the only option.
fn memberships(server: &Server, role: &str, member: &str) -> String {
    let options = if server.major() < 16 { "" } else { ", inherit_option, set_option" };
    master(server).expect_ok(&format!(
        "SELECT grantor::regrole, admin_option{options} FROM pg_auth_members
         WHERE roleid = '{role}'::regrole AND member = '{member}'::regrole
         ORDER BY grantor::regrole::text"
    ))
}

#[test]
fn role_creator_gets_only_the_admin_option_since_16() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok("CREATE ROLE created_app");
        let held = || memberships(server, "created_app", "platform_admin");
        if server.major() < 16 {
            assert_eq!(held(), "");
            master.expect_ok("GRANT created_app TO CURRENT_USER");
            assert_eq!(held(), "platform_admin|f");
            master.expect_ok("REVOKE created_app FROM CURRENT_USER");
            assert_eq!(held(), "");
            return;
        }
        assert_eq!(held(), "rdsadmin|t|f|f");
        master.expect_ok("GRANT created_app TO CURRENT_USER");
        assert_eq!(held(), "platform_admin|f|t|t\nrdsadmin|t|f|f");
        master.expect_ok("REVOKE created_app FROM CURRENT_USER");
        assert_eq!(held(), "rdsadmin|t|f|f");
    });
}

#[test]
fn admin_option_cannot_be_granted_back_since_16() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok("CREATE ROLE back_app");
        let grant = "GRANT back_app TO CURRENT_USER WITH ADMIN OPTION";
        if server.major() < 16 {
            master.expect_ok(grant);
            assert_eq!(memberships(server, "back_app", "platform_admin"), "platform_admin|t");
        } else {
            let text = "ADMIN option cannot be granted back to your own grantor";
            master.expect_error(grant, "0LP01", text);
        }
    });
}

#[test]
fn automatic_membership_of_the_creator_cannot_be_revoked() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok("CREATE ROLE automatic_app");
        if server.major() < 16 {
            // The creator is not a member before PostgreSQL 16.
            let text = "role \"platform_admin\" is not a member of role \"automatic_app\"";
            master.expect_warning("REVOKE automatic_app FROM CURRENT_USER", "01000", text);
            return;
        }
        let text = "has not been granted membership in role \"automatic_app\" by role";
        let revoke = "REVOKE automatic_app FROM CURRENT_USER";
        master.expect_warning(revoke, "01000", text);
        let revoke = "REVOKE ADMIN OPTION FOR automatic_app FROM CURRENT_USER";
        master.expect_warning(revoke, "01000", text);
        let revoke = "REVOKE automatic_app FROM CURRENT_USER GRANTED BY rdsadmin";
        let text = "permission denied to revoke privileges granted by role \"rdsadmin\"";
        master.expect_error(revoke, "42501", text);
        assert_eq!(memberships(server, "automatic_app", "platform_admin"), "rdsadmin|t|f|f");
    });
}

#[test]
fn circular_membership_is_rejected() {
    on_each_version(|server| {
        let mut superuser = superuser(server);
        superuser.expect_ok("CREATE ROLE circular_app; GRANT platform_admin TO circular_app");
        let text = "role \"circular_app\" is a member of role \"platform_admin\"";
        let grant = "GRANT circular_app TO platform_admin";
        superuser.expect_error(grant, "0LP01", text);
        let mut master = master(server);
        if server.major() < 16 {
            master.expect_error(grant, "0LP01", text);
            return;
        }
        master.expect_error(grant, "42501", "permission denied to grant role \"circular_app\"");
        // The administrator is already a member of a role that it created, so that the reverse
        // grant is circular.
        master.expect_ok("CREATE ROLE circular_own");
        let text = "role \"platform_admin\" is a member of role \"circular_own\"";
        superuser.expect_error("GRANT platform_admin TO circular_own", "0LP01", text);
    });
}

#[test]
fn revoke_removes_only_memberships_of_its_grantor_since_16() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(
            "CREATE ROLE twice_group; CREATE ROLE twice_member; GRANT twice_group TO twice_member",
        );
        let mut superuser = superuser(server);
        superuser.expect_ok("GRANT twice_group TO twice_member");
        let held = || memberships(server, "twice_group", "twice_member");
        if server.major() < 16 {
            // Before PostgreSQL 16, a second grant and any revoke change the same row.
            assert_eq!(held(), "platform_admin|f");
            superuser.expect_ok("REVOKE twice_group FROM twice_member");
            assert_eq!(held(), "");
            return;
        }
        assert_eq!(held(), "platform_admin|f|t|t\nrdsadmin|f|t|t");
        master.expect_ok("REVOKE twice_group FROM twice_member");
        assert_eq!(held(), "rdsadmin|f|t|t");
        let text = "has not been granted membership in role \"twice_group\" by role";
        master.expect_warning("REVOKE twice_group FROM twice_member", "01000", text);
        assert_eq!(held(), "rdsadmin|f|t|t");
    });
}

#[test]
fn membership_without_inherit_needs_set_role() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(
            "CREATE ROLE inherit_app; CREATE ROLE inherit_reader; CREATE DATABASE inherit_db",
        );
        let membership = "GRANT inherit_app TO CURRENT_USER WITH INHERIT FALSE, SET TRUE";
        if server.major() < 16 {
            master.expect_error(membership, "42601", "syntax error");
            return;
        }
        master.expect_ok(membership);
        // ALTER OWNER needs the SET option only.
        master.expect_ok("ALTER DATABASE inherit_db OWNER TO inherit_app");
        let grant = "GRANT CONNECT ON DATABASE inherit_db TO inherit_reader";
        master.expect_warning(grant, "01007", "no privileges were granted");
        let reassign = "REASSIGN OWNED BY inherit_app TO inherit_app";
        master.expect_error(reassign, "42501", "permission denied to reassign objects");
        master
            .expect_ok(&format!("BEGIN; SET LOCAL ROLE inherit_app; {grant}; {reassign}; COMMIT"));
    });
}

#[test]
fn role_cannot_change_its_own_connection_limit_since_16() {
    on_each_version(|server| {
        let mut superuser = superuser(server);
        superuser.expect_ok(&format!(
            "CREATE ROLE own_limit LOGIN CREATEROLE PASSWORD '{PASSWORD}';
             CREATE ROLE own_limit_plain LOGIN PASSWORD '{PASSWORD}'"
        ));
        let alter = "ALTER ROLE CURRENT_USER CONNECTION LIMIT 9";
        let mut role = login(server, "own_limit", "platform");
        if server.major() < 16 {
            role.expect_ok(alter);
        } else {
            role.expect_error(alter, "42501", "permission denied to alter role");
        }
        // A role may always change its own password.
        let mut plain = login(server, "own_limit_plain", "platform");
        plain.expect_error(alter, "42501", "permission denied");
        plain.expect_ok(&format!("ALTER ROLE CURRENT_USER PASSWORD '{PASSWORD}'"));
    });
}

#[test]
fn uninherited_admin_option_cannot_grant_since_16() {
    on_each_version(|server| {
        // Since PostgreSQL 16, grants to a NOINHERIT role are WITH INHERIT FALSE by default.
        superuser(server).expect_ok(&format!(
            "CREATE ROLE grantors_login LOGIN NOINHERIT PASSWORD '{PASSWORD}';
             CREATE ROLE grantors_between; CREATE ROLE grantors_target; CREATE ROLE grantors_member;
             GRANT grantors_target TO grantors_between WITH ADMIN OPTION;
             GRANT grantors_between TO grantors_login"
        ));
        let mut login = login(server, "grantors_login", "platform");
        let grant = "GRANT grantors_target TO grantors_member";
        if server.major() < 16 {
            login.expect_ok(grant);
        } else {
            login.expect_error(grant, "XX000", "no possible grantors");
        }
        login.expect_ok(&format!("BEGIN; SET LOCAL ROLE grantors_between; {grant}; COMMIT"));
    });
}

#[test]
fn member_of_the_owner_can_set_role_pg_database_owner() {
    on_each_version(|server| {
        if server.major() < 15 {
            // Before PostgreSQL 15, schema `public` does not belong to pg_database_owner.
            return;
        }
        let mut master = master(server);
        let options = if server.major() < 16 { "" } else { " WITH INHERIT FALSE, SET TRUE" };
        master.expect_ok(&format!(
            "CREATE ROLE standin_owner NOINHERIT; CREATE ROLE standin_app;
             GRANT standin_owner TO CURRENT_USER{options}; CREATE DATABASE standin OWNER standin_owner"
        ));
        // Before PostgreSQL 16, a `+role` line in pg_hba.conf caches memberships before the
        // database is known. A membership granted in the session is looked up again.
        master.expect_ok("REVOKE standin_owner FROM CURRENT_USER");
        let mut inside = server.master_session("standin").unwrap();
        inside.expect_ok(&format!("GRANT standin_owner TO CURRENT_USER{options}"));
        // If the owner had a grant option, PostgreSQL would record the owner as the grantor.
        inside.expect_ok(
            "BEGIN; SET LOCAL ROLE pg_database_owner;
             GRANT USAGE ON SCHEMA public TO standin_owner WITH GRANT OPTION;
             GRANT USAGE ON SCHEMA public TO standin_app; RESET ROLE; COMMIT",
        );
        let grantor = "SELECT DISTINCT grantor::regrole FROM pg_namespace, aclexplode(nspacl)
            WHERE nspname = 'public'";
        assert_eq!(inside.expect_ok(grantor), "pg_database_owner");
        // A role that is not a member of the owner cannot set pg_database_owner.
        master.expect_ok("REVOKE standin_owner FROM CURRENT_USER");
        let mut outside = server.master_session("standin").unwrap();
        let text = "permission denied to set role \"pg_database_owner\"";
        outside.expect_error("SET ROLE pg_database_owner", "42501", text);
    });
}

#[test]
fn pg_database_owner_cannot_have_members() {
    on_each_version(|server| {
        let mut superuser = superuser(server);
        superuser.expect_ok("CREATE ROLE database_owner_member");
        let sqlstate = if server.major() < 18 { "XX000" } else { "0A000" };
        let grant = "GRANT pg_database_owner TO database_owner_member";
        superuser.expect_error(grant, sqlstate, "cannot have explicit members");
    });
}

#[test]
fn pg_hba_lines_ignore_inherit_and_set_options() {
    on_each_version(|server| {
        let mut superuser = superuser(server);
        superuser.expect_ok(&format!(
            "CREATE ROLE hba_iam;
             CREATE ROLE hba_member LOGIN PASSWORD '{PASSWORD}' IN ROLE hba_iam;
             CREATE ROLE hba_creator LOGIN CREATEROLE PASSWORD '{PASSWORD}'"
        ));
        login(server, "hba_creator", "platform").expect_ok("CREATE ROLE hba_app");
        superuser.expect_ok("GRANT hba_iam TO hba_app");
        drop(login(server, "hba_creator", "platform"));

        let hba = server.data_directory().join("pg_hba.conf");
        let before = fs::read_to_string(&hba).unwrap();
        // The file is replaced atomically, because other tests read it.
        let after = hba.with_extension("new");
        fs::write(&after, format!("hostssl all +hba_iam 127.0.0.1/32 reject\n{before}")).unwrap();
        fs::rename(&after, &hba).unwrap();
        let loaded = superuser.expect_ok("SELECT pg_conf_load_time()");
        superuser.expect_ok("SELECT pg_reload_conf()");
        wait_until(server, &format!("SELECT pg_conf_load_time() > '{loaded}'"));

        let assert_rejected =
            |role| expect_login_error(server, role, PASSWORD, "platform", "pg_hba.conf rejects");
        assert_rejected("hba_member");
        if server.major() < 16 {
            drop(login(server, "hba_creator", "platform"));
            superuser.expect_ok("GRANT hba_app TO hba_creator");
        }
        // The creator of a role that is a member of rds_iam is rejected as well.
        assert_rejected("hba_creator");
    });
}
