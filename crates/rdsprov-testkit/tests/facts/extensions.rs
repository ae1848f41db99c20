//! The schemas in which the administrator creates extensions.

use crate::assertions::{Assertions, PASSWORD, login, master, on_each_version};

/// The administrator, which is not a superuser, creates schemas as a temporary member of the owner.
/// Until the commit, the owner cannot create an object in them: its functions go to the old schema.
#[test]
fn schema_is_out_of_reach_until_the_commit() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(&format!("CREATE ROLE reach_owner LOGIN PASSWORD '{PASSWORD}'"));
        master.expect_ok("CREATE DATABASE reach");
        let options = if server.major() < 16 { "" } else { " WITH INHERIT TRUE, SET TRUE" };
        let join = format!("GRANT reach_owner TO CURRENT_USER{options}");
        let leave = "REVOKE reach_owner FROM CURRENT_USER";
        master.expect_ok(&format!(
            "BEGIN; {join}; ALTER DATABASE reach OWNER TO reach_owner; {leave}; COMMIT"
        ));
        let mut inside = server.master_session("reach").unwrap();
        let mut owner = login(server, "reach_owner", "reach");
        let public = if server.major() < 15 { "platform_admin" } else { "pg_database_owner" };
        inside.expect_ok(&format!(
            "BEGIN; {join}; DROP SCHEMA public; CREATE SCHEMA public;
             ALTER SCHEMA public OWNER TO {public}; GRANT USAGE ON SCHEMA public TO PUBLIC;
             COMMENT ON SCHEMA public IS 'standard public schema';
             CREATE SCHEMA extensions; GRANT USAGE ON SCHEMA extensions TO PUBLIC"
        ));
        owner.expect_error(
            "CREATE FUNCTION extensions.upper(varchar) RETURNS text LANGUAGE sql AS 'SELECT ''planted'''",
            "3F000",
            "schema \"extensions\" does not exist",
        );
        // Depending on the version, the function goes to the old schema, or the session waits.
        let planted = "SET lock_timeout = '1s';
            CREATE FUNCTION public.upper(varchar) RETURNS text LANGUAGE sql AS 'SELECT ''planted'''";
        drop(owner.ask(planted).unwrap());
        for schema in ["public", "extensions"] {
            let called = format!("SET LOCAL search_path = {schema}; SELECT upper('a'::varchar)");
            assert_eq!(inside.expect_ok(&called), "A");
        }
        inside.expect_ok(&format!("{leave}; COMMIT"));
        let functions = "SELECT count(*) FROM pg_proc WHERE proname = 'upper'
            AND pronamespace = 'public'::regnamespace";
        assert_eq!(inside.expect_ok(functions), "0");
    });
}
