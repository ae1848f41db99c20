//! Grants: their effect, the objects that they cover, and the defaults without any grant.

use crate::assertions::{Assertions, PASSWORD, login, master, on_each_version, superuser};

#[test]
fn repeated_grant_rewrites_the_catalog_row() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(
            "CREATE ROLE again_reader; CREATE DATABASE again_db; CREATE SCHEMA again;
             CREATE TABLE again.t ()",
        );
        for (object, catalog, column) in [
            ("DATABASE again_db", "pg_database", "datname = 'again_db'"),
            ("SCHEMA again", "pg_namespace", "nspname = 'again'"),
            ("TABLE again.t", "pg_class", "oid = 'again.t'::regclass"),
        ] {
            let grant = format!("GRANT ALL ON {object} TO again_reader");
            let version = format!("SELECT xmin FROM {catalog} WHERE {column}");
            master.expect_ok(&grant);
            let before = master.expect_ok(&version);
            master.expect_ok(&grant);
            assert_ne!(master.expect_ok(&version), before, "{grant}");
        }
    });
}

#[test]
fn all_tables_covers_existing_relations_of_every_kind() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(
            "CREATE ROLE kinds_reader; CREATE SCHEMA kinds;
             CREATE TABLE kinds.plain (id int);
             CREATE TABLE kinds.partitioned (id int) PARTITION BY RANGE (id);
             CREATE TABLE kinds.partition PARTITION OF kinds.partitioned FOR VALUES FROM (1) TO (9);
             CREATE VIEW kinds.view AS SELECT 1 AS id;
             CREATE MATERIALIZED VIEW kinds.materialized AS SELECT 1 AS id;
             CREATE SEQUENCE kinds.sequence;
             GRANT SELECT ON ALL TABLES IN SCHEMA kinds TO kinds_reader;
             CREATE TABLE kinds.later (id int)",
        );
        let held = master.expect_ok(
            "SELECT relname FROM pg_class WHERE relnamespace = 'kinds'::regnamespace
             AND has_table_privilege('kinds_reader', oid, 'SELECT') ORDER BY relname",
        );
        assert_eq!(held, "materialized\npartition\npartitioned\nplain\nview");
    });
}

#[test]
fn null_acl_is_the_default_until_the_first_grant() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok("CREATE ROLE missing_reader; CREATE DATABASE missing_db");
        let acl =
            "SELECT coalesce(datacl::text, 'NULL') FROM pg_database WHERE datname = 'missing_db'";
        assert_eq!(master.expect_ok(acl), "NULL");
        let default =
            "SELECT acldefault('d', datdba) FROM pg_database WHERE datname = 'missing_db'";
        let written = "=Tc/platform_admin,platform_admin=CTc/platform_admin";
        assert_eq!(master.expect_ok(default), format!("{{{written}}}"));
        let public = "SELECT has_database_privilege('missing_reader', 'missing_db', 'CONNECT'),
            has_database_privilege('missing_reader', 'missing_db', 'TEMPORARY'),
            has_database_privilege('missing_reader', 'missing_db', 'CREATE')";
        assert_eq!(master.expect_ok(public), "t|t|f");
        master.expect_ok("GRANT CREATE ON DATABASE missing_db TO missing_reader");
        assert_eq!(master.expect_ok(acl), format!("{{{written},missing_reader=C/platform_admin}}"));
    });
}

#[test]
fn serial_needs_sequence_privileges_identity_does_not() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(&format!(
            "CREATE ROLE column_writer LOGIN PASSWORD '{PASSWORD}'; CREATE SCHEMA columns;
             GRANT USAGE ON SCHEMA columns TO column_writer;
             CREATE TABLE columns.serial (id serial, note text);
             CREATE TABLE columns.identity (id int GENERATED ALWAYS AS IDENTITY, note text);
             GRANT INSERT ON columns.serial, columns.identity TO column_writer"
        ));
        let mut writer = login(server, "column_writer", "platform");
        writer.expect_ok("INSERT INTO columns.identity (note) VALUES ('x')");
        let insert = "INSERT INTO columns.serial (note) VALUES ('x')";
        writer.expect_error(insert, "42501", "permission denied for sequence serial_id_seq");
        master.expect_ok("GRANT USAGE ON SEQUENCE columns.serial_id_seq TO column_writer");
        writer.expect_ok(insert);
    });
}

#[test]
fn schema_public_belongs_to_the_bootstrap_superuser_before_15() {
    on_each_version(|server| {
        let mut master = master(server);
        // template0 is unchanged since initdb.
        master.expect_ok("CREATE ROLE stock_app; CREATE DATABASE stock TEMPLATE template0");
        let mut inside = server.master_session("stock").unwrap();
        let public = "SELECT nspowner::regrole, has_schema_privilege('stock_app', oid, 'USAGE'),
            has_schema_privilege('stock_app', oid, 'CREATE') FROM pg_namespace WHERE nspname = 'public'";
        let revoke = "REVOKE CREATE ON SCHEMA public FROM PUBLIC";
        let grant = "GRANT CREATE ON SCHEMA public TO stock_app";
        if server.major() < 15 {
            assert_eq!(inside.expect_ok(public), "rdsadmin|t|t");
            inside.expect_warning(revoke, "01006", "no privileges could be revoked for \"public\"");
            inside.expect_warning(grant, "01007", "no privileges were granted for \"public\"");
            assert_eq!(inside.expect_ok(public), "rdsadmin|t|t");
        } else {
            assert_eq!(inside.expect_ok(public), "pg_database_owner|t|f");
            inside.expect_ok(revoke);
            inside.expect_ok(grant);
            assert_eq!(inside.expect_ok(public), "pg_database_owner|t|t");
        }
    });
}

#[test]
fn all_on_tables_includes_maintain_since_17() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(
            "CREATE ROLE maintain_app; CREATE SCHEMA maintain; CREATE TABLE maintain.t ();
             GRANT ALL ON maintain.t TO maintain_app",
        );
        let privileges = master.expect_ok(
            "SELECT string_agg(privilege_type, ' ' ORDER BY privilege_type)
             FROM pg_class, aclexplode(relacl)
             WHERE pg_class.oid = 'maintain.t'::regclass AND grantee = 'maintain_app'::regrole",
        );
        let maintain = if server.major() < 17 { "" } else { "MAINTAIN " };
        assert_eq!(
            privileges,
            format!("DELETE INSERT {maintain}REFERENCES SELECT TRIGGER TRUNCATE UPDATE")
        );
    });
}

#[test]
fn revoke_leaves_grants_of_other_grantors() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(&format!(
            "CREATE ROLE others_reader; CREATE ROLE others_granter LOGIN PASSWORD '{PASSWORD}';
             CREATE SCHEMA others; GRANT USAGE ON SCHEMA others TO others_granter WITH GRANT OPTION"
        ));
        let grant = "GRANT USAGE ON SCHEMA others TO others_reader";
        login(server, "others_granter", "platform").expect_ok(grant);
        master.expect_ok(grant);
        let held = "SELECT has_schema_privilege('others_reader', 'others', 'USAGE')";
        // The owner's REVOKE succeeds without a warning, and the role still has the privilege.
        master.expect_ok("REVOKE USAGE ON SCHEMA others FROM others_reader");
        assert_eq!(master.expect_ok(held), "t");
        login(server, "others_granter", "platform")
            .expect_ok("REVOKE USAGE ON SCHEMA others FROM others_reader");
        assert_eq!(master.expect_ok(held), "f");
    });
}

#[test]
fn grant_waits_for_exclusive_table_locks_since_18() {
    on_each_version(|server| {
        let mut master = master(server);
        master.expect_ok(
            "CREATE ROLE waiting_reader; CREATE SCHEMA waiting; CREATE TABLE waiting.t ();
             SET lock_timeout = '100ms'",
        );
        let mut other = superuser(server);
        let grant = "GRANT SELECT ON waiting.t TO waiting_reader";
        let grant_all = "GRANT SELECT ON ALL TABLES IN SCHEMA waiting TO waiting_reader";
        // Readers and writers do not block a grant.
        other.expect_ok("BEGIN; LOCK TABLE waiting.t IN EXCLUSIVE MODE");
        master.expect_ok(&format!("{grant}; {grant_all}"));
        other.expect_ok("COMMIT; BEGIN; LOCK TABLE waiting.t IN ACCESS EXCLUSIVE MODE");
        let timeout = "canceling statement due to lock timeout";
        master.expect_error("SELECT FROM waiting.t", "55P03", timeout);
        master.expect_ok(grant_all);
        // Since PostgreSQL 18, GRANT takes ACCESS SHARE on a table that it names.
        if server.major() < 18 {
            master.expect_ok(grant);
        } else {
            master.expect_error(grant, "55P03", timeout);
        }
        other.expect_ok("COMMIT");
    });
}

#[test]
fn list_of_grantees_does_what_a_statement_for_each_does() {
    on_each_version(|server| {
        let mut session = superuser(server);
        session.expect_ok(
            "CREATE ROLE list_owner; CREATE ROLE list_a; CREATE ROLE list_b; CREATE ROLE list_c;
             CREATE SCHEMA list AUTHORIZATION list_owner; CREATE SCHEMA turn AUTHORIZATION list_owner;
             GRANT USAGE ON SCHEMA list, turn TO PUBLIC;
             SET ROLE list_owner; CREATE TABLE list.t (); CREATE TABLE turn.t ()",
        );
        let acls = "SELECT relacl FROM pg_class WHERE relname = 't' AND relnamespace::regnamespace::text = ANY ('{list,turn}')
             UNION SELECT defaclacl FROM pg_default_acl WHERE defaclrole = 'list_owner'::regrole";
        for (before, list, turn) in [
            (
                "",
                "GRANT SELECT ON list.t TO list_b, PUBLIC, list_a",
                ["list_b", "PUBLIC", "list_a"],
            ),
            (
                "",
                "GRANT UPDATE ON list.t TO list_a, list_b WITH GRANT OPTION",
                ["list_a", "list_b", "list_b"],
            ),
            (
                "SET ROLE list_b; GRANT UPDATE ON list.t, turn.t TO list_c; SET ROLE list_owner",
                "REVOKE UPDATE ON list.t FROM list_a, list_b CASCADE",
                ["list_a", "list_b", "list_b"],
            ),
            ("", "REVOKE SELECT ON list.t FROM PUBLIC, list_a", ["PUBLIC", "list_a", "list_a"]),
        ] {
            session.expect_ok(before);
            session.expect_ok(list);
            let (what, grantees) = list.split_once(" TO ").or(list.split_once(" FROM ")).unwrap();
            let option =
                [" WITH GRANT OPTION", " CASCADE"].into_iter().find(|end| grantees.ends_with(end));
            let word = if what.starts_with("GRANT") { "TO" } else { "FROM" };
            for grantee in turn {
                let what = what.replace("list.t", "turn.t");
                session
                    .expect_ok(&format!("{what} {word} {grantee}{}", option.unwrap_or_default()));
            }
            assert_eq!(session.expect_ok(acls).lines().count(), 1, "{list}");
        }
        let change = "ALTER DEFAULT PRIVILEGES IN SCHEMA";
        session.expect_ok(&format!("{change} list GRANT SELECT ON TABLES TO list_a, list_b"));
        for grantee in ["list_a", "list_b"] {
            session.expect_ok(&format!("{change} turn GRANT SELECT ON TABLES TO {grantee}"));
        }
        let defaults = "SELECT DISTINCT defaclacl FROM pg_default_acl WHERE defaclrole = 'list_owner'::regrole";
        assert_eq!(session.expect_ok(defaults), "{list_a=r/list_owner,list_b=r/list_owner}");
        // A privilege that depends on one of the grantees prevents the whole statement.
        session.expect_ok(
            "GRANT UPDATE ON list.t TO list_a, list_b WITH GRANT OPTION;
             SET ROLE list_b; GRANT UPDATE ON list.t TO list_c; SET ROLE list_owner",
        );
        let revoke = "REVOKE UPDATE ON list.t FROM list_a, list_b";
        session.expect_error(revoke, "2BP01", "dependent privileges exist");
        let held = "SELECT has_table_privilege('list_a', 'list.t', 'UPDATE')";
        assert_eq!(session.expect_ok(held), "t");
    });
}

#[test]
fn list_of_grantees_writes_the_row_of_an_object_once() {
    on_each_version(|server| {
        let mut session = superuser(server);
        session.expect_ok(
            "CREATE ROLE once_a; CREATE ROLE once_b; CREATE ROLE once_c; CREATE SCHEMA once;
             CREATE TABLE once.one (); CREATE TABLE once.other ()",
        );
        let grant = |to: &str| format!("GRANT SELECT ON ALL TABLES IN SCHEMA once TO {to}");
        let in_turn = ["once_a", "once_b", "once_c"].map(grant).join("; ");
        let written = "SELECT n_tup_upd FROM pg_stat_xact_sys_tables WHERE relname = 'pg_class'";
        let mut updated = |grants: &str| {
            // The server can count the rows of the transaction before.
            session.expect_ok("BEGIN");
            let before: u32 = session.expect_ok(written).parse().unwrap_or_default();
            session.expect_ok(grants);
            let after: u32 = session.expect_ok(written).parse().unwrap();
            session.expect_ok("ROLLBACK");
            after - before
        };
        assert_eq!(updated(&grant("once_a, once_b, once_c")), 2);
        assert_eq!(updated(&in_turn), 6);
    });
}
