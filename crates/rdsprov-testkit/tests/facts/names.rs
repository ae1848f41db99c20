//! Names: truncation, reserved names, and names that need quotes.

use crate::ask::{Ask, master, on_each_version};

#[test]
fn a_name_of_more_than_63_bytes_is_cut_with_a_notice() {
    on_each_version(|server| {
        let mut master = master(server);
        let kept = format!("long_{}", "é".repeat(29));
        assert_eq!(kept.len(), 63);
        master.warned(
            &format!("CREATE ROLE {kept}_one"),
            "42622",
            &format!("will be truncated to \"{kept}\""),
        );
        let found = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{kept}'");
        assert_eq!(master.done(&found), "1");
        // Two long names are truncated to the same name.
        let words = format!("role \"{kept}\" already exists");
        master.refused(&format!("CREATE ROLE {kept}_two"), "42710", &words);
    });
}

#[test]
fn some_names_are_reserved() {
    on_each_version(|server| {
        let mut master = master(server);
        for name in ["pg_app", "public", "none"] {
            let create = format!("CREATE ROLE \"{name}\"");
            master.refused(&create, "42939", &format!("role name \"{name}\" is reserved"));
        }
        let words = "unacceptable schema name \"pg_app\"";
        master.refused("CREATE SCHEMA pg_app", "42939", words);
        // Database names, other letter cases and (except on RDS) the rds prefix are not reserved.
        master.done("CREATE DATABASE pg_app; CREATE ROLE rds_names");
        master.done("CREATE ROLE \"PG_app\"; CREATE ROLE \"None\"");
    });
}

#[test]
fn odd_names_are_legal_when_quoted() {
    on_each_version(|server| {
        let mut master = master(server);
        let names = [r#"odd"name"#, "odd'name", "odd-name", "odd.name", "OddName", "odd name"];
        for name in names {
            let quoted = name.replace('"', "\"\"");
            master.done(&format!(
                "CREATE ROLE \"{quoted}\"; CREATE SCHEMA \"{quoted}\";
                 GRANT USAGE ON SCHEMA \"{quoted}\" TO \"{quoted}\""
            ));
            let literal = name.replace('\'', "''");
            let held = format!("SELECT has_schema_privilege('{literal}', '{literal}', 'USAGE')");
            assert_eq!(master.done(&held), "t", "{name}");
        }
        master.done("CREATE DATABASE \"odd\"\"'-. Database\"");
        server.master_session("odd\"'-. Database").unwrap();
    });
}
