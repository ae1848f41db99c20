//! Names: truncation, reserved names, and names that need quotes.

use crate::assertions::{Assertions, master, on_each_version};

#[test]
fn names_over_63_bytes_are_truncated_with_a_notice() {
    on_each_version(|server| {
        let mut master = master(server);
        let kept = format!("long_{}", "é".repeat(29));
        assert_eq!(kept.len(), 63);
        master.expect_warning(
            &format!("CREATE ROLE {kept}_one"),
            "42622",
            &format!("will be truncated to \"{kept}\""),
        );
        let found = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{kept}'");
        assert_eq!(master.expect_ok(&found), "1");
        // Two long names are truncated to the same name.
        let text = format!("role \"{kept}\" already exists");
        master.expect_error(&format!("CREATE ROLE {kept}_two"), "42710", &text);
    });
}

#[test]
fn some_names_are_reserved() {
    on_each_version(|server| {
        let mut master = master(server);
        for name in ["pg_app", "public", "none"] {
            let create = format!("CREATE ROLE \"{name}\"");
            master.expect_error(&create, "42939", &format!("role name \"{name}\" is reserved"));
        }
        let text = "unacceptable schema name \"pg_app\"";
        master.expect_error("CREATE SCHEMA pg_app", "42939", text);
        // Database names, other letter cases and (except on RDS) the rds prefix are not reserved.
        master.expect_ok("CREATE DATABASE pg_app; CREATE ROLE rds_names");
        master.expect_ok("CREATE ROLE \"PG_app\"; CREATE ROLE \"None\"");
    });
}

#[test]
fn unusual_names_are_valid_when_quoted() {
    on_each_version(|server| {
        let mut master = master(server);
        let names = [r#"odd"name"#, "odd'name", "odd-name", "odd.name", "OddName", "odd name"];
        for name in names {
            let quoted = name.replace('"', "\"\"");
            master.expect_ok(&format!(
                "CREATE ROLE \"{quoted}\"; CREATE SCHEMA \"{quoted}\";
                 GRANT USAGE ON SCHEMA \"{quoted}\" TO \"{quoted}\""
            ));
            let literal = name.replace('\'', "''");
            let held = format!("SELECT has_schema_privilege('{literal}', '{literal}', 'USAGE')");
            assert_eq!(master.expect_ok(&held), "t", "{name}");
        }
        master.expect_ok("CREATE DATABASE \"odd\"\"'-. Database\"");
        server.master_session("odd\"'-. Database").unwrap();
    });
}
