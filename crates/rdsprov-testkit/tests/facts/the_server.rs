//! The properties of the test servers, compared with those of Amazon RDS.

use rdsprov_testkit::Session;

use crate::ask::{Ask, master, no_login, on_each_version, superuser};

#[test]
fn its_secret_has_the_keys_of_a_secret_of_rds() {
    on_each_version(|server| {
        let secret: serde_json::Value = serde_json::from_str(&server.admin_secret()).unwrap();
        let text = |key: &str| secret[key].as_str().unwrap().to_owned();
        assert_eq!(text("engine"), "postgres");
        assert_eq!(
            (text("host"), secret["port"].as_u64()),
            (server.host().to_owned(), Some(server.port().into()))
        );
        server.session(&text("username"), &text("password"), &text("dbname")).unwrap();
    });
}

#[test]
fn its_roles_are_those_of_rds() {
    on_each_version(|server| {
        let mut superuser = superuser(server);
        let attributes = "SELECT rolname, rolsuper, rolcanlogin, rolcreatedb, rolcreaterole FROM pg_roles
            WHERE rolname IN ('rdsadmin', 'rds_superuser', 'rds_iam', 'rds_password', 'rds_replication',
            'platform_admin') ORDER BY rolname";
        assert_eq!(
            superuser.done(attributes),
            "platform_admin|f|t|t|t\nrds_iam|f|f|f|f\nrds_password|f|f|f|f\nrds_replication|f|f|f|f\n\
             rds_superuser|f|f|f|f\nrdsadmin|t|t|t|t"
        );
        let members = "SELECT roleid::regrole, admin_option FROM pg_auth_members
            WHERE member = 'rds_superuser'::regrole ORDER BY roleid::regrole::text";
        assert_eq!(
            superuser.done(members),
            "pg_monitor|t\npg_signal_backend|t\nrds_password|t\nrds_replication|t"
        );
        assert_eq!(
            superuser.done("SELECT pg_has_role('platform_admin', 'rds_superuser', 'USAGE')"),
            "t"
        );
        // RDS lets the master user grant rds_iam. Since PostgreSQL 16, the ADMIN option is the
        // nearest equivalent.
        let grants = |session: &mut Session| {
            session.done(
                "SELECT pg_has_role('platform_admin', 'rds_iam', 'MEMBER WITH ADMIN OPTION'),
             pg_has_role('platform_admin', 'rds_iam', 'USAGE')",
            )
        };
        assert_eq!(grants(&mut superuser), if server.major() < 16 { "f|f" } else { "t|f" });
    });
}

#[test]
fn every_login_over_the_network_is_by_scram_over_tls() {
    on_each_version(|server| {
        let lines = "SELECT DISTINCT type, auth_method FROM pg_hba_file_rules WHERE type <> 'local'
            AND auth_method <> 'reject'";
        assert_eq!(superuser(server).done(lines), "hostssl|scram-sha-256");
        let tls = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        assert_eq!(master(server).done(tls), "t");
    });
}

#[test]
fn nobody_else_enters_the_database_rdsadmin() {
    on_each_version(|server| {
        let words = "permission denied for database \"rdsadmin\"";
        no_login(server, "platform_admin", server.master_password(), "rdsadmin", words);
    });
}
