//! Ownership of objects, and what moves or blocks when it changes.

use crate::assertions::{
    Assertions, PASSWORD, login, master, on_each_version, send_and_wait_for_lock, superuser,
};

#[test]
fn table_belongs_to_the_current_role() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(&format!(
            "CREATE ROLE group_owner; CREATE ROLE group_login LOGIN PASSWORD '{PASSWORD}';
             GRANT group_owner TO group_login; CREATE SCHEMA groups;
             GRANT CREATE, USAGE ON SCHEMA groups TO group_owner"
        ));
        let owner = |table| format!("SELECT tableowner FROM pg_tables WHERE tablename = '{table}'");
        let mut session = login(server, "group_login", "platform");
        session.expect_ok("CREATE TABLE groups.mine ()");
        assert_eq!(session.expect_ok(&owner("mine")), "group_login");

        master.expect_ok("ALTER ROLE group_login IN DATABASE platform SET role = 'group_owner'");
        let mut session = login(server, "group_login", "platform");
        session.expect_ok("CREATE TABLE groups.ours ()");
        assert_eq!(session.expect_ok(&owner("ours")), "group_owner");
        for (reset, role) in [
            ("RESET ROLE", "group_owner"),
            ("DISCARD ALL", "group_owner"),
            ("SET ROLE NONE", "group_login"),
        ] {
            session.expect_ok(reset);
            assert_eq!(session.expect_ok("SELECT current_user"), role, "{reset}");
        }
    });
}

#[test]
fn owner_change_waits_and_blocks_later_readers() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(
            "CREATE ROLE queue_app; GRANT queue_app TO CURRENT_USER; CREATE SCHEMA queue;
             GRANT CREATE, USAGE ON SCHEMA queue TO queue_app; CREATE TABLE queue.t ()",
        );
        let mut reader = superuser(server);
        reader.expect_ok("BEGIN; SELECT FROM queue.t");
        let alter = "ALTER TABLE queue.t OWNER TO queue_app";
        let timeout = "canceling statement due to lock timeout";
        master.expect_error(&format!("SET lock_timeout = '100ms'; {alter}"), "55P03", timeout);
        master.expect_ok("RESET lock_timeout");

        send_and_wait_for_lock(server, &mut master, alter);
        let mut later = superuser(server);
        later.expect_ok("SET lock_timeout = '100ms'");
        later.expect_error("SELECT FROM queue.t", "55P03", timeout);
        reader.expect_ok("COMMIT");
        master.expect_ok_answer();
        later.expect_ok("SELECT FROM queue.t");
    });
}

#[test]
fn reassign_owned_also_moves_databases() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(
            "CREATE ROLE moved_old; CREATE ROLE moved_new;
             GRANT moved_old, moved_new TO CURRENT_USER;
             CREATE DATABASE moved; ALTER DATABASE moved OWNER TO moved_old;
             CREATE SCHEMA moved AUTHORIZATION moved_old",
        );
        server
            .master_session("moved")
            .unwrap()
            .expect_ok("CREATE SCHEMA moved_elsewhere AUTHORIZATION moved_old");
        // The statement runs in another database than the one that it moves.
        master.expect_ok("REASSIGN OWNED BY moved_old TO moved_new");
        let owners = "SELECT (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'moved'),
            'moved'::regnamespace::oid IN (SELECT oid FROM pg_namespace WHERE nspowner = 'moved_new'::regrole)";
        assert_eq!(master.expect_ok(owners), "moved_new|t");
        // Objects in the other database keep their owner.
        let stayed = "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'moved_elsewhere'";
        assert_eq!(server.master_session("moved").unwrap().expect_ok(stayed), "moved_old");
    });
}

#[test]
fn drop_owned_revokes_privileges_on_shared_objects() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(
            "CREATE ROLE dropped_app; GRANT dropped_app TO CURRENT_USER; CREATE DATABASE dropped;
             GRANT CREATE, CONNECT ON DATABASE dropped TO dropped_app;
             CREATE SCHEMA dropped AUTHORIZATION dropped_app",
        );
        let mut other = server.master_session("dropped").unwrap();
        other.expect_ok("CREATE SCHEMA stays AUTHORIZATION dropped_app");
        master.expect_ok("DROP OWNED BY dropped_app");
        let held = "SELECT to_regnamespace('dropped') IS NULL,
            has_database_privilege('dropped_app', 'dropped', 'CREATE')";
        assert_eq!(master.expect_ok(held), "t|f");
        assert_eq!(other.expect_ok("SELECT to_regnamespace('stays') IS NOT NULL"), "t");
        let text = "role \"dropped_app\" cannot be dropped because some objects depend on it";
        master.expect_error("DROP ROLE dropped_app", "2BP01", text);
    });
}
