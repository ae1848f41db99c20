//! Default privileges: the objects that they cover, and the entries that PostgreSQL stores.

use rdsprov_testkit::Session;

use crate::assertions::{Assertions, PASSWORD, login, master, on_each_version};

/// Counts the rows of a role in `pg_default_acl` of the session's database.
fn rows(session: &mut Session, role: &str) -> String {
    session.expect_ok(&format!(
        "SELECT count(*) FROM pg_default_acl WHERE defaclrole = '{role}'::regrole"
    ))
}

#[test]
fn they_cover_later_objects_of_the_named_role() {
    on_each_version(|server| {
        let mut master = master(server);
        for role in ["maker", "other", "reader"] {
            master.expect_ok(&format!("CREATE ROLE covers_{role} LOGIN PASSWORD '{PASSWORD}'"));
        }
        master.expect_ok(
            "CREATE SCHEMA covers; GRANT USAGE, CREATE ON SCHEMA covers TO covers_maker, covers_other",
        );
        let mut maker = login(server, "covers_maker", "platform");
        maker.expect_ok(
            "CREATE TABLE covers.earlier ();
             ALTER DEFAULT PRIVILEGES FOR ROLE covers_maker IN SCHEMA covers
                 GRANT SELECT ON TABLES TO covers_reader;
             CREATE TABLE covers.later ()",
        );
        login(server, "covers_other", "platform").expect_ok("CREATE TABLE covers.of_another ()");
        let held = maker.expect_ok(
            "SELECT relname, has_table_privilege('covers_reader', oid, 'SELECT') FROM pg_class
             WHERE relnamespace = 'covers'::regnamespace ORDER BY relname",
        );
        assert_eq!(held, "earlier|f\nlater|t\nof_another|f");
    });
}

#[test]
fn they_do_not_follow_a_database_owner_change() {
    on_each_version(|server| {
        let mut master = master(server);
        for role in ["old", "new", "reader"] {
            master.expect_ok(&format!("CREATE ROLE stays_{role} LOGIN PASSWORD '{PASSWORD}'"));
        }
        master.expect_ok(
            "CREATE DATABASE stays; GRANT stays_old, stays_new TO CURRENT_USER;
             ALTER DATABASE stays OWNER TO stays_old",
        );
        login(server, "stays_old", "stays").expect_ok(
            "CREATE SCHEMA data; GRANT CREATE, USAGE ON SCHEMA data TO stays_new;
             ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO stays_reader",
        );
        master.expect_ok("ALTER DATABASE stays OWNER TO stays_new");
        let mut new = login(server, "stays_new", "stays");
        let held =
            |table| format!("SELECT has_table_privilege('stays_reader', '{table}', 'SELECT')");
        new.expect_ok("CREATE TABLE data.one ()");
        assert_eq!(new.expect_ok(&held("data.one")), "f");
        new.expect_ok(
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO stays_reader;
             CREATE TABLE data.two ()",
        );
        assert_eq!(new.expect_ok(&held("data.two")), "t");
    });
}

#[test]
fn grants_to_the_creator_are_stored_only_per_schema() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(
            "CREATE ROLE own_objects; GRANT own_objects TO CURRENT_USER; CREATE SCHEMA own_objects",
        );
        let grant = "GRANT ALL ON TABLES TO own_objects";
        master.expect_ok(&format!("ALTER DEFAULT PRIVILEGES FOR ROLE own_objects {grant}"));
        assert_eq!(rows(&mut master, "own_objects"), "0");
        let in_schema = "IN SCHEMA own_objects";
        master.expect_ok(&format!(
            "ALTER DEFAULT PRIVILEGES FOR ROLE own_objects {in_schema} {grant}"
        ));
        assert_eq!(rows(&mut master, "own_objects"), "1");
    });
}

#[test]
fn execute_is_revoked_from_public_only_without_a_schema() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(&format!(
            "CREATE ROLE execute_app LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE execute_stranger;
             CREATE SCHEMA execute; GRANT CREATE, USAGE ON SCHEMA execute TO execute_app"
        ));
        let mut app = login(server, "execute_app", "platform");
        for (in_schema, rows_left, held) in [("IN SCHEMA execute", "0", "t"), ("", "1", "f")] {
            app.expect_ok(&format!(
                "ALTER DEFAULT PRIVILEGES {in_schema} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"
            ));
            assert_eq!(rows(&mut app, "execute_app"), rows_left);
            let function = "execute.f()";
            app.expect_ok(&format!(
                "CREATE FUNCTION {function} RETURNS int LANGUAGE sql AS 'SELECT 1'"
            ));
            let may = format!(
                "SELECT has_function_privilege('execute_stranger', '{function}', 'EXECUTE')"
            );
            assert_eq!(app.expect_ok(&may), held, "{in_schema}");
            app.expect_ok(&format!("DROP FUNCTION {function}"));
        }
    });
}
