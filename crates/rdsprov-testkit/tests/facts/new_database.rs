//! Creating a database that PUBLIC can never enter, without leaving a membership behind.

use rdsprov_testkit::Server;

use crate::assertions::{Assertions, PASSWORD, expect_login_error, login, master, on_each_version};

/// Returns the statement that makes the administrator a temporary member of a role.
fn join(server: &Server, role: &str) -> String {
    let options = if server.major() < 16 { "" } else { " WITH INHERIT FALSE, SET TRUE" };
    format!("GRANT {role} TO CURRENT_USER{options}")
}

/// Returns a query for whether the administrator has a usable membership in a role.
fn usable(role: &str) -> String {
    format!("SELECT pg_has_role('platform_admin', '{role}', 'USAGE') OR EXISTS (
        SELECT FROM pg_auth_members WHERE roleid = '{role}'::regrole AND grantor = 'platform_admin'::regrole)")
}

#[test]
fn new_database_is_never_open_to_public() {
    on_each_version(|server| {
        let (mut master, mut witness) = (master(server), master(server));
        for role in ["app", "reader", "stranger"] {
            master.expect_ok(&format!("CREATE ROLE way_{role} LOGIN PASSWORD '{PASSWORD}'"));
        }
        master.expect_ok("CREATE DATABASE way ALLOW_CONNECTIONS false");
        let closed = "is not currently accepting connections";
        expect_login_error(server, "way_stranger", PASSWORD, "way", closed);

        master.expect_ok(
            "BEGIN; REVOKE ALL ON DATABASE way FROM PUBLIC; GRANT CONNECT ON DATABASE way TO way_reader;
             COMMENT ON DATABASE way IS 'made by a test'",
        );
        master.expect_ok(&join(server, "way_app"));
        master.expect_ok(
            "ALTER DATABASE way OWNER TO way_app; SET LOCAL ROLE way_app;
             GRANT CONNECT ON DATABASE way TO platform_admin; ALTER DATABASE way ALLOW_CONNECTIONS true;
             RESET ROLE",
        );
        assert_eq!(master.expect_ok(&usable("way_app")), "t");
        // Other sessions see the change after the commit only.
        assert_eq!(witness.expect_ok(&usable("way_app")), "f");
        expect_login_error(server, "way_stranger", PASSWORD, "way", closed);
        master.expect_ok("REVOKE way_app FROM CURRENT_USER; COMMIT");

        assert_eq!(witness.expect_ok(&usable("way_app")), "f");
        let owner = "SELECT pg_get_userbyid(datdba), shobj_description(oid, 'pg_database')
            FROM pg_database WHERE datname = 'way'";
        assert_eq!(witness.expect_ok(owner), "way_app|made by a test");
        expect_login_error(
            server,
            "way_stranger",
            PASSWORD,
            "way",
            "permission denied for database",
        );
        drop((login(server, "way_app", "way"), login(server, "way_reader", "way")));
        server.master_session("way").unwrap();
    });
}

#[test]
fn one_transaction_can_do_everything_as_the_owner() {
    on_each_version(|server| {
        let mut master = master(server);
        for role in ["app", "reader"] {
            master.expect_ok(&format!("CREATE ROLE within_{role} LOGIN PASSWORD '{PASSWORD}'"));
        }
        let join = join(server, "within_app");
        master.expect_ok(&format!(
            "CREATE DATABASE within; BEGIN; {join}; ALTER DATABASE within OWNER TO within_app;
             REVOKE within_app FROM CURRENT_USER; COMMIT"
        ));
        let mut inside = server.master_session("within").unwrap();
        inside.expect_ok(&format!(
            "BEGIN; {join}; SET LOCAL ROLE within_app;
             CREATE SCHEMA data; CREATE EXTENSION hstore SCHEMA data;
             GRANT USAGE ON SCHEMA data TO within_reader;
             ALTER DEFAULT PRIVILEGES FOR ROLE within_app IN SCHEMA data
                 GRANT SELECT ON TABLES TO within_reader;
             RESET ROLE; REVOKE within_app FROM CURRENT_USER; COMMIT"
        ));
        assert_eq!(inside.expect_ok(&usable("within_app")), "f");
        login(server, "within_app", "within").expect_ok("CREATE TABLE data.t (pairs data.hstore)");
        login(server, "within_reader", "within").expect_ok("SELECT pairs FROM data.t");
        // From PostgreSQL 15 on, the master user of RDS reads and writes all data, but it has no
        // other privilege of the owner.
        inside.expect_error(
            "CREATE TABLE data.other ()",
            "42501",
            "permission denied for schema data",
        );
    });
}
