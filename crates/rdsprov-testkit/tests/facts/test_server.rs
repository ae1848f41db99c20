//! The properties of the test servers, compared with those of Amazon RDS.

use rdsprov_testkit::{Server, Session, Shape, all_versions};

use crate::assertions::{Assertions, expect_login_error, master, on_each_version, superuser};

#[test]
fn secret_has_the_keys_of_an_rds_secret() {
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
fn roles_are_those_of_rds() {
    on_each_version(|server| {
        let mut superuser = superuser(server);
        let attributes = "SELECT rolname, rolsuper, rolcanlogin, rolcreatedb, rolcreaterole FROM pg_roles
            WHERE rolname IN ('rdsadmin', 'rds_superuser', 'rds_iam', 'rds_password', 'rds_replication',
            'platform_admin') ORDER BY rolname";
        assert_eq!(
            superuser.expect_ok(attributes),
            "platform_admin|f|t|t|t\nrds_iam|f|f|f|f\nrds_password|f|f|f|f\nrds_replication|f|f|f|f\n\
             rds_superuser|f|f|f|f\nrdsadmin|t|t|t|t"
        );
        let members = "SELECT roleid::regrole, admin_option FROM pg_auth_members
            WHERE member = 'rds_superuser'::regrole ORDER BY roleid::regrole::text";
        assert_eq!(
            superuser.expect_ok(members),
            match server.major() {
                14 => "pg_monitor|t\npg_signal_backend|t\nrds_password|t\nrds_replication|t",
                15 | 16 =>
                    "pg_checkpoint|t\npg_monitor|t\npg_read_all_data|t\npg_signal_backend|t\n\
                     pg_write_all_data|t\nrds_password|t\nrds_replication|t",
                _ =>
                    "pg_checkpoint|t\npg_create_subscription|t\npg_maintain|t\npg_monitor|t\n\
                     pg_read_all_data|t\npg_signal_backend|t\npg_use_reserved_connections|t\n\
                     pg_write_all_data|t\nrds_password|t\nrds_replication|t",
            }
        );
        assert_eq!(
            superuser.expect_ok("SELECT pg_has_role('platform_admin', 'rds_superuser', 'USAGE')"),
            "t"
        );
        // RDS lets the master user grant rds_iam. Since PostgreSQL 16, the ADMIN option is the
        // nearest equivalent.
        let grants = |session: &mut Session| {
            session.expect_ok(
                "SELECT pg_has_role('platform_admin', 'rds_iam', 'MEMBER WITH ADMIN OPTION'),
             pg_has_role('platform_admin', 'rds_iam', 'USAGE')",
            )
        };
        assert_eq!(grants(&mut superuser), if server.major() < 16 { "f|f" } else { "t|f" });
    });
}

#[test]
fn shapes_have_the_roles_and_tablespaces_of_their_servers() {
    for major in all_versions() {
        for shape in Shape::ALL {
            let server = Server::start_shaped(major, shape).unwrap();
            let of_rds = "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles
                WHERE rolname ~ '^rds' AND rolname NOT IN ('rdsadmin', 'rds_superuser', 'rds_iam',
                'rds_ad', 'rds_password', 'rds_replication')";
            let reserved = if major < 16 { "" } else { "rds_reserved " };
            let expected = match shape {
                Shape::Instance => format!("rds_extension {reserved}rdsrepladmin rdstopmgr"),
                Shape::OlderMinor => format!("{reserved}rdsrepladmin rdstopmgr"),
                Shape::Aurora => format!("rds_extension {reserved}").trim().to_owned(),
            };
            let found = server.superuser("postgres", of_rds).unwrap();
            assert_eq!(found.trim(), expected, "PostgreSQL {major}, {shape:?}");
            let tablespaces = "SELECT spcname, spcowner::regrole,
                  has_tablespace_privilege('platform_admin', oid, 'CREATE'),
                  (SELECT count(*) FROM aclexplode(spcacl) WHERE grantee = 0)
                FROM pg_tablespace WHERE spcname !~ '^pg_'";
            let found = server.superuser("postgres", tablespaces).unwrap();
            let expected =
                if shape == Shape::Aurora { "" } else { "rds_temp_tablespace|rds_superuser|t|1" };
            assert_eq!(found.trim(), expected, "PostgreSQL {major}, {shape:?}");
            // Each copy of the cluster has its own tablespace.
            if shape != Shape::Aurora {
                server
                    .master("platform", "CREATE TABLE moved () TABLESPACE rds_temp_tablespace")
                    .unwrap();
            }
        }
    }
}

#[test]
fn network_logins_use_scram_over_tls() {
    on_each_version(|server| {
        let lines = "SELECT DISTINCT type, auth_method FROM pg_hba_file_rules WHERE type <> 'local'
            AND auth_method <> 'reject'";
        assert_eq!(superuser(server).expect_ok(lines), "hostssl|scram-sha-256");
        let tls = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        assert_eq!(master(server).expect_ok(tls), "t");
    });
}

#[test]
fn database_rdsadmin_is_closed() {
    on_each_version(|server| {
        let text = "permission denied for database \"rdsadmin\"";
        expect_login_error(server, "platform_admin", server.master_password(), "rdsadmin", text);
    });
}
