//! Ownership of objects, and what moves or blocks when it changes.

use crate::ask::{
    Ask, PASSWORD, login, master, on_each_version, send_and_wait_for_lock, superuser,
};

#[test]
fn a_table_belongs_to_the_login_role_unless_its_role_is_set() {
    on_each_version(|server| {
        let mut master = master(server);
        master.done(&format!(
            "CREATE ROLE group_owner; CREATE ROLE group_login LOGIN PASSWORD '{PASSWORD}';
             GRANT group_owner TO group_login; CREATE SCHEMA groups;
             GRANT CREATE, USAGE ON SCHEMA groups TO group_owner"
        ));
        let owner = |table| format!("SELECT tableowner FROM pg_tables WHERE tablename = '{table}'");
        let mut session = login(server, "group_login", "platform");
        session.done("CREATE TABLE groups.mine ()");
        assert_eq!(session.done(&owner("mine")), "group_login");

        master.done("ALTER ROLE group_login IN DATABASE platform SET role = 'group_owner'");
        let mut session = login(server, "group_login", "platform");
        session.done("CREATE TABLE groups.ours ()");
        assert_eq!(session.done(&owner("ours")), "group_owner");
        for (reset, role) in [
            ("RESET ROLE", "group_owner"),
            ("DISCARD ALL", "group_owner"),
            ("SET ROLE NONE", "group_login"),
        ] {
            session.done(reset);
            assert_eq!(session.done("SELECT current_user"), role, "{reset}");
        }
    });
}

#[test]
fn a_change_of_owner_waits_and_later_readers_queue_behind_it() {
    on_each_version(|server| {
        let mut master = master(server);
        master.done(
            "CREATE ROLE queue_app; GRANT queue_app TO CURRENT_USER; CREATE SCHEMA queue;
             GRANT CREATE, USAGE ON SCHEMA queue TO queue_app; CREATE TABLE queue.t ()",
        );
        let mut reader = superuser(server);
        reader.done("BEGIN; SELECT FROM queue.t");
        let alter = "ALTER TABLE queue.t OWNER TO queue_app";
        let timeout = "canceling statement due to lock timeout";
        master.refused(&format!("SET lock_timeout = '100ms'; {alter}"), "55P03", timeout);
        master.done("RESET lock_timeout");

        send_and_wait_for_lock(server, &mut master, alter);
        let mut later = superuser(server);
        later.done("SET lock_timeout = '100ms'");
        later.refused("SELECT FROM queue.t", "55P03", timeout);
        reader.done("COMMIT");
        master.answers_done();
        later.done("SELECT FROM queue.t");
    });
}

#[test]
fn reassign_owned_moves_databases_too() {
    on_each_version(|server| {
        let mut master = master(server);
        master.done(
            "CREATE ROLE moved_old; CREATE ROLE moved_new;
             GRANT moved_old, moved_new TO CURRENT_USER;
             CREATE DATABASE moved; ALTER DATABASE moved OWNER TO moved_old;
             CREATE SCHEMA moved AUTHORIZATION moved_old",
        );
        server
            .master_session("moved")
            .unwrap()
            .done("CREATE SCHEMA moved_elsewhere AUTHORIZATION moved_old");
        // The statement runs in another database than the one that it moves.
        master.done("REASSIGN OWNED BY moved_old TO moved_new");
        let owners = "SELECT (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'moved'),
            'moved'::regnamespace::oid IN (SELECT oid FROM pg_namespace WHERE nspowner = 'moved_new'::regrole)";
        assert_eq!(master.done(owners), "moved_new|t");
        // Objects in the other database keep their owner.
        let stayed = "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'moved_elsewhere'";
        assert_eq!(server.master_session("moved").unwrap().done(stayed), "moved_old");
    });
}

#[test]
fn drop_owned_strips_privileges_on_shared_objects_everywhere() {
    on_each_version(|server| {
        let mut master = master(server);
        master.done(
            "CREATE ROLE dropped_app; GRANT dropped_app TO CURRENT_USER; CREATE DATABASE dropped;
             GRANT CREATE, CONNECT ON DATABASE dropped TO dropped_app;
             CREATE SCHEMA dropped AUTHORIZATION dropped_app",
        );
        let mut other = server.master_session("dropped").unwrap();
        other.done("CREATE SCHEMA stays AUTHORIZATION dropped_app");
        master.done("DROP OWNED BY dropped_app");
        let held = "SELECT to_regnamespace('dropped') IS NULL,
            has_database_privilege('dropped_app', 'dropped', 'CREATE')";
        assert_eq!(master.done(held), "t|f");
        assert_eq!(other.done("SELECT to_regnamespace('stays') IS NOT NULL"), "t");
        let words = "role \"dropped_app\" cannot be dropped because some objects depend on it";
        master.refused("DROP ROLE dropped_app", "2BP01", words);
    });
}
