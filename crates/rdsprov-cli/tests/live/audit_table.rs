//! The audit table: a transaction writes a row for each of its steps, into the database that it changes.

use rdsprov_core::schema::Document;
use rdsprov_testkit::versions;

use crate::fixture::{
    DELEGATE, DELEGATE_SECRET, Fixture, assert_no_secret, expect, password, writes,
};
use crate::schema::assert_valid;

const DEFINITIONS: &str = r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner" }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#;

/// The same with another reader of the same database.
const MORE: &str = r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner" }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
    shop_audit   = { database_name = "shop", username = "shop_auditor", access_level = "reader" }
}"#;

const APPLY: [&str; 5] = ["apply", "--env", "dev", "--audit-table", "rdsprov_audit.changes"];

/// The columns that do not differ between the records of a run and its rows.
const ROWS: &str = "SELECT concat_ws('|', environment, build_id, run_id, database, username, action, status, message)
    FROM rdsprov_audit.changes ORDER BY timestamp_utc, ctid";

fn fixture(major: u32) -> (Fixture, String) {
    let (fixture, definitions) = Fixture::shop(major, DEFINITIONS);
    fixture.app("dev", "shop_audit", "shop_auditor");
    (fixture, definitions)
}

/// Returns the successful records of a CSV file in the form of [`ROWS`].
fn records(csv: &str) -> Vec<String> {
    // Only the message, which is the last column, can contain a comma.
    let rows = csv.lines().map(|line| line.splitn(10, ',').collect::<Vec<_>>());
    let rows = rows.filter(|row| row[7] == "success").map(|row| {
        let message = row[9].strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let message = message.map_or(row[9].to_owned(), |text| text.replace("\"\"", "\""));
        format!("{}|{message}", [1, 2, 3, 4, 5, 6, 7].map(|number| row[number]).join("|"))
    });
    rows.collect()
}

#[test]
fn rows_are_those_of_the_records() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let csv = fixture.path().join("audit.csv").display().to_string();
        let more = ["--audit-output", &csv, "--build-id", "16-01", "--run-id", "it's 7"];
        let arguments = [APPLY.as_slice(), &more, &["--actor", "ada"]].concat();
        expect(&fixture.run(&definitions, &arguments), 0);
        let written = std::fs::read_to_string(&csv).unwrap();
        let (shared, inside) = (fixture.query_in("postgres", ROWS), fixture.query_in("shop", ROWS));
        let rows: Vec<&str> = shared.lines().chain(inside.lines()).collect();
        assert_eq!(rows, records(&written));
        assert!(shared.contains("|create_database|") && inside.contains("|grant|"), "{inside}");
        let others = "SELECT DISTINCT plan, actor, duration_ms IS NULL FROM rdsprov_audit.changes";
        let of_shared = fixture.query_in("postgres", others);
        assert!(of_shared.starts_with("sha256:") && of_shared.ends_with("|ada|t"), "{of_shared}");
        assert_eq!(fixture.query_in("shop", others), of_shared);

        // Without changes, a run writes nothing.
        fixture.disable_background_writes();
        fixture.without_wal(|| {
            let mark = fixture.server.log().len();
            expect(&fixture.run(&definitions, &APPLY), 0);
            assert_eq!(writes(&fixture.server.log()[mark..]), Vec::<String>::new());
        });
        let check = ["check", "--env", "dev", "--strict"];
        let output = expect(&fixture.run(&definitions, &check), 0);
        assert!(!output.contains("rdsprov_audit"), "{output}");

        // The next change is in the same tables.
        let definitions = fixture.definitions(MORE);
        expect(&fixture.run(&definitions, &APPLY), 0);
        let in_shop = fixture.query_in("shop", ROWS);
        assert!(in_shop.starts_with(&inside), "{in_shop}");
        assert!(in_shop.contains("shop_auditor"), "{in_shop}");
        assert_no_secret(&in_shop);
        assert!(fixture.query_in("postgres", ROWS).contains("create_role"), "{in_shop}");
        assert_eq!(fixture.admin_grants(), "0");
    }
}

/// The rows of a failed transaction are rolled back with it, and those of a committed one remain.
#[test]
fn rows_are_rolled_back_with_their_transaction() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        // The owner of the database locks a schema that the transaction changes.
        expect(&fixture.run(&definitions, &APPLY), 0);
        let before = (fixture.query_in("postgres", ROWS), fixture.query_in("shop", ROWS));
        let definitions = fixture.definitions(MORE);
        let mut owner = fixture.server.session("shop_owner", &password("shop"), "shop").unwrap();
        owner.ask("BEGIN; GRANT USAGE ON SCHEMA public TO PUBLIC").unwrap();
        let arguments = [APPLY.as_slice(), &["--statement-timeout", "2s"]].concat();
        let output = expect(&fixture.run(&definitions, &arguments), 4);
        owner.ask("ROLLBACK").unwrap();
        assert_eq!(fixture.query_in("shop", ROWS), before.1, "{output}");
        let shared = fixture.query_in("postgres", ROWS);
        assert!(shared.starts_with(&before.0) && shared.contains("shop_auditor"), "{shared}");
        expect(&fixture.run(&definitions, &APPLY), 0);
        assert!(fixture.query_in("shop", ROWS).contains("shop_auditor"));
    }
}

/// The owner of a database can neither write nor change the audit table in it.
#[test]
fn owner_of_the_database_cannot_write() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        expect(&fixture.run(&definitions, &APPLY), 0);
        let as_owner =
            |sql: &str| fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql);
        for sql in [
            "INSERT INTO rdsprov_audit.changes DEFAULT VALUES",
            "UPDATE rdsprov_audit.changes SET actor = 'x'",
            "DELETE FROM rdsprov_audit.changes",
            "TRUNCATE rdsprov_audit.changes",
            "DROP TABLE rdsprov_audit.changes",
            "ALTER TABLE rdsprov_audit.changes ADD COLUMN x int",
            "ALTER TABLE rdsprov_audit.changes OWNER TO shop_owner",
            "GRANT INSERT ON rdsprov_audit.changes TO PUBLIC",
            "CREATE TABLE rdsprov_audit.other (x int)",
            "DROP SCHEMA rdsprov_audit CASCADE",
            "ALTER SCHEMA rdsprov_audit RENAME TO other",
            "ALTER SCHEMA rdsprov_audit OWNER TO shop_owner",
            "CREATE RULE x AS ON INSERT TO rdsprov_audit.changes DO INSTEAD NOTHING",
            "CREATE TABLE child () INHERITS (rdsprov_audit.changes)",
            "REASSIGN OWNED BY platform_admin TO shop_owner",
            "DROP OWNED BY platform_admin CASCADE",
        ] {
            let error = as_owner(sql).unwrap_err().to_string();
            let denied = ["permission denied", "must be owner"];
            assert!(denied.iter().any(|words| error.contains(words)), "{sql}: {error}");
        }
        expect(&fixture.run(&definitions, &APPLY), 0);
    }
}

/// The definition of the table, as the reference documents it.
const CREATE: &str = "CREATE TABLE rdsprov_audit.changes (timestamp_utc timestamptz NOT NULL,
    environment text NOT NULL, build_id text NOT NULL, run_id text NOT NULL, database text NOT NULL,
    username text NOT NULL, action text NOT NULL, status text NOT NULL, duration_ms bigint,
    message text NOT NULL, plan text NOT NULL, actor text NOT NULL)";

/// Alterations that are made together, and the words about each.
const ALTERATIONS: [&[(&str, &str)]; 5] = [
    &[
        ("ALTER TABLE rdsprov_audit.changes OWNER TO shop_owner", "table changes belongs to role shop_owner"),
        ("ALTER TABLE rdsprov_audit.changes ENABLE ROW LEVEL SECURITY", "has row-level security"),
        ("ALTER TABLE rdsprov_audit.changes SET UNLOGGED", "table changes is unlogged"),
        ("CREATE TABLE child () INHERITS (rdsprov_audit.changes)", "inherits, or is inherited"),
        ("CREATE UNIQUE INDEX once ON rdsprov_audit.changes (run_id) WHERE run_id = ''", "once of table changes is unique"),
        ("CREATE INDEX lower ON rdsprov_audit.changes (lower(run_id))", "lower of table changes is unique or contains"),
        (
            "ALTER TABLE rdsprov_audit.changes ADD CONSTRAINT others CHECK (actor <> 'ada')",
            "has the constraint others",
        ),
        (
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TRIGGER gone BEFORE INSERT ON rdsprov_audit.changes FOR EACH ROW EXECUTE FUNCTION f()",
            "has the trigger gone",
        ),
        (
            "CREATE RULE nothing AS ON INSERT TO rdsprov_audit.changes DO INSTEAD NOTHING",
            "has the rule nothing",
        ),
        (
            "ALTER TABLE rdsprov_audit.changes ADD COLUMN more text, DROP COLUMN plan,
                ALTER COLUMN message TYPE varchar(900), ALTER COLUMN status DROP NOT NULL,
                ALTER COLUMN build_id SET DEFAULT now()::text",
            "build_id text NOT NULL with a default, run_id text NOT NULL, database text NOT NULL, \
             username text NOT NULL, action text NOT NULL, status text, duration_ms bigint, \
             message character varying(900) NOT NULL, actor text NOT NULL, more text)",
        ),
    ],
    &[
        (
            "ALTER SCHEMA rdsprov_audit OWNER TO shop_owner",
            "schema rdsprov_audit belongs to role shop_owner",
        ),
        (
            "GRANT CREATE ON SCHEMA rdsprov_audit TO shop_reader",
            "role shop_reader may create objects in schema rdsprov_audit",
        ),
        (
            "GRANT INSERT, DELETE ON rdsprov_audit.changes TO PUBLIC",
            "PUBLIC has DELETE, INSERT on table changes",
        ),
        (
            "GRANT UPDATE (actor) ON rdsprov_audit.changes TO shop_reader",
            "role shop_reader has UPDATE on table changes",
        ),
    ],
    &[(
        "ALTER TABLE rdsprov_audit.changes RENAME TO kept;
         CREATE VIEW rdsprov_audit.changes AS SELECT * FROM rdsprov_audit.kept",
        "changes is not a table, but a view",
    )],
    &[(
        "DROP TABLE rdsprov_audit.changes;
         CREATE TABLE rdsprov_audit.changes (x int) PARTITION BY LIST (x)",
        "changes is not a table, but a partitioned table",
    )],
    // Without the table: the owner of the database was faster.
    &[(
        "DROP TABLE rdsprov_audit.changes; ALTER SCHEMA rdsprov_audit OWNER TO shop_owner",
        "schema rdsprov_audit belongs to role shop_owner",
    )],
];

/// A table that differs from its definition is refused before anything changes.
#[test]
fn altered_table_is_refused() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        expect(&fixture.run(&definitions, &APPLY), 0);
        let more = fixture.path().join("more.tfvars");
        std::fs::write(&more, MORE).unwrap();
        let more = more.display().to_string();
        for database in ["shop", "postgres"] {
            for alterations in ALTERATIONS {
                for (sql, _) in alterations {
                    fixture.query_in(database, sql);
                }
                let state = fixture.catalog_state();
                let output = expect(&fixture.run(&more, &APPLY), 3);
                assert!(output.contains("refused[audit-table-altered]"), "{output}");
                let begin =
                    format!("rdsprov_audit.changes in database {database} is not as documented: ");
                assert!(output.contains(&begin), "{output}");
                for (sql, words) in alterations {
                    assert!(output.contains(words), "{sql}: {output}");
                }
                assert_eq!(fixture.catalog_state(), state, "{alterations:?}");
                fixture.query_in(
                    database,
                    "DROP SCHEMA rdsprov_audit CASCADE; DROP FUNCTION IF EXISTS f;
                     CREATE SCHEMA rdsprov_audit AUTHORIZATION platform_admin",
                );
                fixture.query_in(database, &format!("SET ROLE platform_admin; {CREATE}"));
            }
            // What does not concern the rows is allowed.
            fixture.query_in(
                database,
                "CREATE INDEX ON rdsprov_audit.changes (timestamp_utc);
                 GRANT USAGE ON SCHEMA rdsprov_audit TO pg_monitor;
                 GRANT SELECT ON rdsprov_audit.changes TO pg_monitor",
            );
        }
        // Without changes, nothing else would show it.
        fixture.query("GRANT INSERT ON rdsprov_audit.changes TO PUBLIC");
        let check = [&["check"], &APPLY[1..]].concat();
        expect(&fixture.run(&definitions, &check), 3);
        fixture.query("REVOKE INSERT ON rdsprov_audit.changes FROM PUBLIC");
        // The list of defects is of limited length.
        fixture.query(
            "DO $$ BEGIN FOR i IN 1..100 LOOP
               EXECUTE format('CREATE TRIGGER t%s BEFORE UPDATE ON rdsprov_audit.changes FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()', i);
             END LOOP; END $$",
        );
        let output = expect(&fixture.run(&definitions, &check), 3);
        let triggers = output.matches("has the trigger").count();
        assert!((1..=20).contains(&triggers) && output.contains("; and more"), "{output}");
        fixture.query(
            "DO $$ BEGIN FOR i IN 1..100 LOOP
               EXECUTE format('DROP TRIGGER t%s ON rdsprov_audit.changes', i); END LOOP; END $$",
        );
        expect(&fixture.run(&more, &APPLY), 0);
    }
}

/// A run that names no audit table gives no role privileges on the tables of other runs, and no new owner.
#[test]
fn tables_are_protected_in_each_run() {
    const DELIVERED: &str = r#"application_databases = {
        old_reports = { database_name = "old", username = "shop_reader", access_level = "reader", adopt = true }
    }"#;
    const OWNED: &str = r#"application_databases = {
        old         = { database_name = "old", username = "shop_owner", adopt = true }
        old_reports = { database_name = "old", username = "shop_reader", access_level = "reader", adopt = true }
    }"#;
    for major in versions() {
        let (fixture, _) = fixture(major);
        fixture.app("dev", "old", "shop_owner");
        fixture.app("dev", "old_reports", "shop_reader");
        fixture.server.master("postgres", "CREATE DATABASE old").unwrap();
        let definitions = fixture.definitions(DELIVERED);
        expect(&fixture.run(&definitions, &APPLY), 0);
        assert!(fixture.query_in("old", ROWS).contains("shop_reader"));
        let covered =
            DELIVERED.replace(" adopt", r#" schemas = ["public", "rdsprov_audit"], adopt"#);
        let definitions = fixture.definitions(&covered.replace("reader\",", "editor\","));
        let output = expect(&fixture.run(&definitions, &APPLY[..3]), 3);
        assert!(output.contains("refused[audit-schema-declared]"), "PostgreSQL {major}: {output}");
        let definitions = fixture.definitions(OWNED);
        let allow = ["--allow", "changes_owner,hands_over_code"];
        expect(&fixture.run(&definitions, &[&APPLY[..3], &allow].concat()), 0);
        let owners = "SELECT DISTINCT relowner::regrole, nspowner::regrole FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = 'rdsprov_audit'";
        let owners = fixture.query_in("old", owners);
        assert_eq!(owners, "platform_admin|platform_admin", "PostgreSQL {major}");
    }
}

/// A script and a saved plan write the same rows.
#[test]
fn scripts_and_saved_plans_write_rows() {
    const STEPS: &str = "SELECT concat_ws('|', database, username, action, status, message)
        FROM rdsprov_audit.changes ORDER BY timestamp_utc, ctid";
    for major in versions() {
        let rows = |fixture: &Fixture| {
            ["postgres", "shop"].map(|database| fixture.query_in(database, STEPS))
        };
        let (by_script, definitions) = fixture(major);
        let table = &APPLY[1..];
        let sql = [&["plan"], table, &["--format", "sql", "--with-verifiers"]].concat();
        let script = by_script.run(&definitions, &sql);
        let script = String::from_utf8(script.stdout).unwrap();
        by_script.server.script_as_master(&script).unwrap();
        let check = [&["check"], table].concat();
        expect(&by_script.run(&definitions, &check), 0);
        let names = "SELECT DISTINCT build_id, run_id, actor FROM rdsprov_audit.changes";
        assert_eq!(by_script.query_in("shop", names), "script|script|script");

        // Each transaction verifies the table: here, it was altered after the plan was made.
        let rows_before = rows(&by_script);
        let more = by_script.definitions(MORE);
        let script = by_script.run(&more, &sql);
        by_script.query_in("shop", "GRANT INSERT ON rdsprov_audit.changes TO PUBLIC");
        let script = String::from_utf8(script.stdout).unwrap();
        let error = by_script.server.script_as_master(&script).unwrap_err().to_string();
        let altered =
            "rdsprov_audit.changes in database shop is not as documented: PUBLIC has INSERT";
        assert!(error.contains(altered), "{error}");
        assert_eq!(rows(&by_script)[1], rows_before[1]);

        let (by_plan, definitions) = fixture(major);
        let plan = by_plan.path().join("plan.json").display().to_string();
        expect(&by_plan.run(&definitions, &[&["plan"], table, &["--out", &plan]].concat()), 0);
        // Without the table, it is another plan.
        let apply = ["apply", &plan, "--env", "dev"];
        let stale = expect(&by_plan.run(&definitions, &apply), 3);
        assert!(stale.contains("the audit table, a check of passwords"), "{stale}");
        expect(&by_plan.run(&definitions, &[&apply, &APPLY[3..]].concat()), 0);
        assert_eq!(rows(&by_plan), rows_before);
    }
}

/// The administrator needs `CREATE` on a database of which it cannot act as the owner.
#[test]
fn table_that_cannot_be_created_is_refused() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let owner = fixture.query("SELECT rolname FROM pg_roles WHERE oid = 10");
        fixture.query(&format!("ALTER DATABASE postgres OWNER TO {owner}"));
        let state = fixture.catalog_state();
        let output = expect(&fixture.run(&definitions, &APPLY), 3);
        assert!(output.contains("refused[audit-table-not-creatable]"), "{output}");
        let fix = "GRANT CREATE ON DATABASE \"postgres\" TO \"platform_admin\"";
        assert!(output.contains(fix), "{output}");
        assert_eq!(fixture.catalog_state(), state);
        fixture.query(fix);
        expect(&fixture.run(&definitions, &APPLY), 0);

        let covering = fixture.definitions(
            r#"application_databases = {
                shop = { database_name = "shop", username = "shop_owner", schemas = ["rdsprov_audit"] }
            }"#,
        );
        let output = expect(&fixture.run(&covering, &APPLY), 3);
        assert!(output.contains("refused[audit-schema-declared]"), "{output}");
        let wrong = ["apply", "--env", "dev", "--audit-table", "public.changes"];
        let output = expect(&fixture.run(&definitions, &wrong), 64);
        assert!(output.contains("cannot be in schema public"), "{output}");
    }
}

/// `DROP DATABASE` cannot be in a transaction, so its row follows it.
#[test]
fn dropped_database_has_a_row() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        expect(&fixture.run(&definitions, &APPLY), 0);
        let ended = fixture.definitions(
            r#"application_databases = {
                shop         = { database_name = "shop", username = "shop_owner", access_level = "none" }
                shop_reports = { database_name = "shop", username = "shop_reader", access_level = "none" }
            }"#,
        );
        let mut command = fixture.command(&ended, &["retire", "shop", "shop_reports"]);
        command.args(&APPLY[1..]).args(["--drop-database", "--drop-role", "--without-backup"]);
        command.args(["--confirm", "shop", "--allow", "drops_database,drops_role", "--yes"]);
        expect(&command.output().unwrap(), 0);
        let rows = fixture.query_in("postgres", ROWS);
        let dropped = "|shop||drop_database|success|database shop with all its data";
        assert!(rows.contains(dropped), "{rows}");
        assert!(rows.contains("||shop_owner|drop_role|success|role shop_owner"), "{rows}");
    }
}

/// The row of a dropped database is written after the drop, and can fail. The run says so, and the ledger has the
/// drop: the comparison with the tables shows what the table lacks.
#[test]
fn dropped_database_without_its_row_is_reported() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let ledger = ["--audit-ledger", "ledger.jsonl"];
        expect(&fixture.run(&definitions, &[APPLY.as_slice(), &ledger].concat()), 0);
        let ended = fixture.definitions(
            r#"application_databases = {
                shop         = { database_name = "shop", username = "shop_owner", access_level = "none" }
                shop_reports = { database_name = "shop", username = "shop_reader", access_level = "none" }
            }"#,
        );
        let retire = || {
            let mut command = fixture.command(&ended, &["retire", "shop", "shop_reports"]);
            command.args(&APPLY[1..]).args(ledger);
            command.args(["--drop-database", "--drop-role", "--without-backup"]);
            command.args(["--confirm", "shop", "--allow", "drops_database,drops_role", "--yes"]);
            command.output().unwrap()
        };
        let report = || {
            let words = ["audit", "report", "--from-tables"];
            let words = [&words, &APPLY[1..], &ledger].concat();
            fixture.without_definitions(&words).output().unwrap()
        };
        // DROP DATABASE waits for a checkpoint, so that the table is altered before the row is written.
        let output = std::thread::scope(|scope| {
            scope.spawn(|| {
                fixture.query(
                    "DO $$ BEGIN
                       WHILE NOT EXISTS (
                         SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DROP DATABASE%') LOOP
                         PERFORM pg_sleep(0.001), pg_stat_clear_snapshot();
                       END LOOP;
                       ALTER TABLE rdsprov_audit.changes OWNER TO rdsadmin;
                     END $$",
                )
            });
            retire()
        });
        let text = expect(&output, 4);
        assert!(text.contains("; the database is dropped, without an audit row"), "{text}");
        let exists = "SELECT count(*) FROM pg_database WHERE datname = 'shop'";
        assert_eq!(fixture.query(exists), "0");
        // The next run changes nothing before the table is repaired.
        let text = expect(&retire(), 3);
        assert!(text.contains("refused[audit-table-altered] "), "{text}");
        fixture.query("ALTER TABLE rdsprov_audit.changes OWNER TO platform_admin");
        expect(&retire(), 0);
        let rows = fixture.query(ROWS);
        assert!(rows.contains("|drop_role|success|role shop_owner"), "{rows}");
        assert!(!rows.contains("|drop_database|"), "{rows}");
        let text = expect(&report(), 2);
        let lost = "drop_database database shop with all its data";
        assert!(
            text.contains("DIFFERENCE: a record without a row: ") && text.contains(lost),
            "{text}"
        );
        assert!(text.ends_with(": 1 difference\n"), "{text}");
        let mut verify = fixture.program();
        expect(&verify.args(["audit", "verify", "ledger.jsonl"]).output().unwrap(), 0);
    }
}

/// PostgreSQL stores the rows in the encoding of their database. A transaction whose row contains a character that
/// this encoding does not have changes nothing.
#[test]
fn rows_are_in_the_encoding_of_their_database() {
    for major in versions() {
        for (encoding, stores_all) in [("LATIN1", false), ("SQL_ASCII", true)] {
            let (fixture, _) = fixture(major);
            let create = format!(
                "CREATE DATABASE shop ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
            );
            fixture.server.master("postgres", &create).unwrap();
            if major < 15 {
                fixture.query_in("shop", "ALTER SCHEMA public OWNER TO platform_admin");
            }
            let adopting = |text: &str| {
                let text = text.replace("\"shop_owner\"", "\"shop_owner\", adopt = true");
                fixture.definitions(&text)
            };
            let ledger = ["--audit-ledger", "ledger.jsonl"];
            let apply = |definitions: &str, actor: &str, more: &[&str]| {
                let words = [APPLY.as_slice(), &ledger, &["--actor", actor], more].concat();
                fixture.run(definitions, &words)
            };
            let allow = ["--allow", "adopts,changes_owner"];
            expect(&apply(&adopting(DEFINITIONS), "Jürgen", &allow), 0);
            let report = |code: i32| {
                let words = ["audit", "report", "--from-tables"];
                let words = [&words, &APPLY[1..], &ledger].concat();
                expect(&fixture.without_definitions(&words).output().unwrap(), code)
            };
            let text = report(0);
            assert!(
                text.contains("by Jürgen, run ") && text.ends_with(": 0 differences\n"),
                "{text}"
            );

            let count = || fixture.query_in("shop", "SELECT count(*) FROM rdsprov_audit.changes");
            let before = count();
            let more = adopting(MORE);
            let output = apply(&more, "Дмитрий", &[]);
            if stores_all {
                expect(&output, 0);
                assert!(report(0).contains("by Дмитрий, run "));
                continue;
            }
            let text = expect(&output, 4);
            assert!(text.contains("(22P05)"), "{text}");
            assert_eq!(count(), before);
            let granted =
                "SELECT count(*) FROM pg_default_acl WHERE defaclacl::text LIKE '%shop_auditor%'";
            assert_eq!(fixture.query_in("shop", granted), "0");
            expect(&apply(&more, "dmitri", &[]), 0);
            assert!(report(0).ends_with(": 0 differences\n"));
        }
    }
}

/// If a database of the administrator gets an owner, the table stays with the administrator.
#[test]
fn table_stays_with_the_administrator() {
    for major in versions() {
        let (fixture, _) = fixture(major);
        fixture.server.master("postgres", "CREATE DATABASE shop").unwrap();
        let reader = fixture.definitions(
            r#"application_databases = {
                shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader", adopt = true }
            }"#,
        );
        expect(&fixture.run(&reader, &APPLY), 0);
        assert!(fixture.query_in("shop", ROWS).contains("shop_reader"));
        fixture
            .server
            .master(
                "shop",
                "CREATE SCHEMA app; CREATE TABLE app.orders (id int); CREATE TABLE orders (id int)",
            )
            .unwrap();
        let adopting =
            fixture.definitions(&DEFINITIONS.replace("_owner\"", "_owner\", adopt = true"));
        let allowed = [APPLY.as_slice(), &["--allow", "changes_owner,adopts"]].concat();
        expect(&fixture.run(&adopting, &allowed), 0);
        let owner = |relation: &str| {
            let sql = format!(
                "SELECT relowner::regrole FROM pg_class WHERE oid = '{relation}'::regclass"
            );
            fixture.query_in("shop", &sql)
        };
        assert_eq!([owner("app.orders"), owner("public.orders")], ["shop_owner"; 2]);
        assert_eq!(owner("rdsprov_audit.changes"), "platform_admin");
        assert!(fixture.query_in("shop", ROWS).contains("|reassign_owned|success|"));
        expect(&fixture.run(&adopting, &[&["check"], &APPLY[1..]].concat()), 0);
    }
}

/// A rotation sets each password in a transaction with its row.
#[test]
fn rotation_writes_rows() {
    for major in versions() {
        let fixture = Fixture::with_secrets_manager(major);
        for (application, user) in [("shop", "shop_owner"), ("shop_reports", "shop_reader")] {
            fixture.app("dev", application, user);
        }
        let definitions = fixture.definitions(DEFINITIONS);
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        let rotate = ["rotate", "shop", "--run-id", "9", "--yes"];
        expect(&fixture.run(&definitions, &[&rotate, &APPLY[1..]].concat()), 0);
        let rows = fixture.query(ROWS);
        let begin = "dev||9||shop_owner|set_password|success|role shop_owner, password from ";
        assert!(rows.starts_with(begin) && rows.lines().count() == 1, "{rows}");
    }
}

/// The tables are compared with a ledger: neither may lack a committed change.
#[test]
fn tables_are_compared_with_the_ledger() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let apply =
            [APPLY.as_slice(), &["--audit-ledger", "ledger.jsonl", "--actor", "ada"]].concat();
        expect(&fixture.run(&definitions, &apply), 0);
        let report = |more: &[&str], code: i32| {
            let words = ["audit", "report", "--from-tables"];
            let words = [&words, &APPLY[1..], more].concat();
            expect(&fixture.without_definitions(&words).output().unwrap(), code)
        };
        let compared = ["--audit-ledger", "ledger.jsonl"];
        let text = report(&compared, 0);
        let change =
            "dev: database shop: grant CONNECT on database shop to shop_reader\n    by ada, run ";
        assert!(text.contains(change), "{text}");
        let count = fixture.query_in("postgres", ROWS).lines().count()
            + fixture.query_in("shop", ROWS).lines().count();
        let summary = format!(
            "{count} rows in 2 audit tables, compared with {count} committed changes: 0 differences\n"
        );
        assert!(text.ends_with(&summary), "{text}");
        assert!(report(&["--role", "shop_reader"], 0).contains("shop_reader"));
        let unknown = report(&["--role", "shop_raeder"], 1);
        let hint = "error[unknown-role]: the audit tables contain no role `shop_raeder`\nhint: check the name; `shop_reader` is similar";
        assert!(unknown.contains(hint), "{unknown}");

        // A superuser changes who made a change, and when.
        let forge = |set: &str| {
            let rows = "WHERE username = 'shop_reader' AND message LIKE 'USAGE on %'";
            fixture.query_in("shop", &format!("UPDATE rdsprov_audit.changes SET {set} {rows}"));
        };
        for (set, columns, back) in [
            ("actor = 'eve'", "actor", "actor = 'ada'"),
            ("build_id = '7'", "build_id", "build_id = ''"),
            (
                "timestamp_utc = timestamp_utc - interval '1 hour'",
                "timestamp_utc",
                "timestamp_utc = timestamp_utc + interval '2 hours'",
            ),
            ("actor = 'eve'", "timestamp_utc, actor", "actor = 'ada'"),
        ] {
            forge(set);
            let text = report(&compared, 2);
            let differs = format!("DIFFERENCE: a row differs from its record in {columns}: line ");
            assert!(text.contains(&differs) && text.contains(", actor ada, build "), "{text}");
            assert!(text.ends_with(": 1 difference\n"), "{text}");
            forge(back);
        }
        forge("timestamp_utc = timestamp_utc - interval '1 hour'");
        report(&compared, 0);

        // What other runs have written elsewhere, or nowhere, is not compared, and counted.
        for (table, note) in [
            (
                Some("other_audit.changes"),
                "1 committed change of runs with the audit table other_audit.changes, which this report does not contain",
            ),
            (None, "1 committed change of runs without an audit table"),
        ] {
            fixture.query("ALTER ROLE shop_reader CONNECTION LIMIT 3");
            let words = ["apply", "--env", "dev", "--audit-ledger", "ledger.jsonl"];
            let table = table.map(|table| ["--audit-table", table]).unwrap_or_default();
            let table: Vec<&str> = table.into_iter().filter(|word| !word.is_empty()).collect();
            expect(&fixture.run(&definitions, &[&words[..], &table].concat()), 0);
            let text = report(&compared, 0);
            assert!(text.contains(&format!("note: {note}\n")), "{text}");
            assert!(text.ends_with(&summary), "{text}");
        }

        // A row is lost, and another one is not the program's.
        fixture.query_in("shop", "DELETE FROM rdsprov_audit.changes WHERE action = 'create_schema' OR username = 'shop_reader'");
        fixture.query(
            "INSERT INTO rdsprov_audit.changes SELECT now(), environment, build_id, '8', database, username,
                action, status, duration_ms, message, plan, actor FROM rdsprov_audit.changes LIMIT 1",
        );
        let text = report(&compared, 2);
        let extra =
            "DIFFERENCE: a row without a record: no run in the ledger has announced the change\n";
        assert!(text.contains(extra), "{text}");
        let lost = "DIFFERENCE: a record without a row: line ";
        assert!(text.contains(lost) && text.contains("nothing in database shop\n"), "{text}");
        let document: serde_json::Value = serde_json::from_str(&report(
            &[compared.as_slice(), &["--format", "json"]].concat(),
            2,
        ))
        .unwrap();
        assert_valid(Document::AuditTables, &document);
        let kinds: Vec<&str> = document["differences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["kind"].as_str().unwrap())
            .collect();
        assert_eq!(
            kinds.iter().filter(|kind| **kind == "row_without_record").count(),
            1,
            "{kinds:?}"
        );
        assert!(kinds.contains(&"record_without_row"), "{kinds:?}");
        // Without a ledger, nothing is compared.
        report(&[], 0);

        // A run that was killed before it recorded its changes: the intent announces them.
        let ledger = fixture.path().join("ledger.jsonl");
        let text = std::fs::read_to_string(&ledger).unwrap();
        std::fs::write(&ledger, text.lines().next().unwrap().to_owned() + "\n").unwrap();
        let text = report(&compared, 2);
        let announced = "the run has announced the change, and not recorded its result\n";
        assert!(text.contains(announced), "{text}");

        // The owner cannot hide its table, and a role with CREATEDB adds no rows with a copy of its database.
        fixture.query_in(
            "shop",
            "INSERT INTO rdsprov_audit.changes VALUES
               (now(), 'dev', '', '9', 'shop', 'shop_owner', 'grant', 'success', NULL, 'x', '', 'ada')",
        );
        let in_shop = ", row in database shop\n";
        let before = report(&[], 0).matches(in_shop).count();
        fixture.query("COMMENT ON DATABASE shop IS NULL");
        let text = report(&[], 0);
        assert!(before > 0 && text.matches(in_shop).count() == before, "{text}");
        fixture.query("CREATE DATABASE copied TEMPLATE shop OWNER shop_owner");
        let text = report(&compared, 2);
        assert!(!text.contains("row in database copied"), "{text}");
        fixture.query("DROP DATABASE copied");
        // Nor with another database of this name: without a ledger, only the renamed database contains its rows.
        fixture.query("ALTER DATABASE shop RENAME TO renamed");
        fixture.query("CREATE DATABASE shop OWNER shop_owner");
        let text = report(&[], 0);
        let renamed = text.matches(", row in database renamed\n").count();
        assert_eq!(renamed, before, "PostgreSQL {major}: {text}");
        fixture.query("DROP DATABASE shop");
        fixture.query("ALTER DATABASE renamed RENAME TO shop");
        fixture.query("CREATE ROLE mallory");
        fixture.query("CREATE DATABASE forged OWNER mallory");
        let forged = fixture.query("SELECT shobj_description('shop_reader'::regrole, 'pg_authid')");
        let forged = forged.replace("shop_reader", "forged");
        fixture.query(&format!("COMMENT ON DATABASE forged IS '{forged}'"));
        fixture.query_in("forged", "SET ROLE mallory; CREATE SCHEMA rdsprov_audit");
        report(&[], 0);
        fixture.query("REVOKE CONNECT ON DATABASE shop FROM platform_admin");
        let text = report(&compared, 2);
        let closed =
            "the audit table in database shop is not read: the administrator may not connect";
        assert!(text.contains(closed), "{text}");
        assert!(!text.contains("nothing in database shop\n"), "{text}");
        fixture.query("GRANT CONNECT ON DATABASE shop TO platform_admin");

        // A table that another role can replace is not read.
        fixture.query_in(
            "shop",
            "ALTER TABLE rdsprov_audit.changes RENAME TO kept;
             CREATE FUNCTION public.f() RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''executed''; END';
             CREATE VIEW rdsprov_audit.changes AS SELECT now() AS timestamp_utc, f() AS environment",
        );
        let text = report(&[], 2);
        let warning = "WARNING: the audit table in database shop is not read: changes is not a table, but a view\n";
        assert!(text.contains(warning) && !text.contains("executed"), "{text}");
        let words = ["audit", "report", "--from-tables", "--env", "dev"];
        let output = expect(&fixture.without_definitions(&words).output().unwrap(), 64);
        assert!(output.contains("no audit table is named"), "{output}");
    }
}

/// Reports about access and exports do not contain the tables.
#[test]
fn tables_are_no_access() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        expect(&fixture.run(&definitions, &APPLY), 0);
        let export = expect(&fixture.export(&[]).output().unwrap(), 0);
        let access = expect(&fixture.run(&definitions, &["access", "--env", "dev"]), 0);
        let check = expect(&fixture.run(&definitions, &["check", "--env", "dev", "--strict"]), 0);
        for text in [export, access, check] {
            assert!(!text.contains("rdsprov_audit"), "{text}");
        }
    }
}

/// With `--no-fail-fast`, the rows are those of the applications whose steps were committed.
#[test]
fn other_applications_have_their_rows() {
    for major in versions() {
        let fixture = Fixture::new(major);
        for (application, user) in [("keycloak", "keycloak_user"), ("backstage", "backstage_user")]
        {
            fixture.app("dev", application, user);
        }
        let arguments = [APPLY.as_slice(), &["--no-fail-fast"]].concat();
        let output = fixture.with_concurrent_create_role("keycloak_user", || {
            fixture.run("teams/standalone.tfvars", &arguments)
        });
        expect(&output, 4);
        let rows = fixture.query(ROWS);
        assert!(
            rows.contains("||backstage_user|create_role|") && !rows.contains("keycloak"),
            "{rows}"
        );
        fixture.query("DROP ROLE keycloak_user");
        expect(&fixture.run("teams/standalone.tfvars", &APPLY), 0);
        let rows = fixture.query(ROWS);
        assert!(rows.contains("||keycloak_user|create_role|"), "{rows}");
    }
}

/// The table is read in parts, each row once.
#[test]
fn all_rows_of_a_large_table_are_reported() {
    const MORE_ROWS: usize = 30_000;
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        expect(&fixture.run(&definitions, &APPLY), 0);
        let of_run = fixture.query_in("shop", ROWS).lines().count();
        let copies = format!(
            "INSERT INTO rdsprov_audit.changes SELECT timestamp_utc - interval '1 day', environment, build_id, run_id,
               database, username, action, status, duration_ms, i || message, plan, actor
             FROM (SELECT * FROM rdsprov_audit.changes LIMIT 1) r, generate_series(1, {MORE_ROWS}) i"
        );
        fixture.query_in("shop", &copies);
        let words = ["audit", "report", "--from-tables", "--format", "json"];
        let words = [&words, &APPLY[1..]].concat();
        let output = fixture.without_definitions(&words).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let rows = report["rows"].as_array().unwrap();
        let of_shop: Vec<_> = rows.iter().filter(|row| row["table_database"] == "shop").collect();
        assert_eq!(of_shop.len(), of_run + MORE_ROWS, "PostgreSQL {major}");
        let messages: std::collections::BTreeSet<_> =
            of_shop.iter().map(|row| row["message"].as_str().unwrap()).collect();
        assert_eq!(messages.len(), of_run + MORE_ROWS, "PostgreSQL {major}");
    }
}

/// The transaction that creates the delegate does not create its secret.
#[test]
fn calls_for_secrets_have_no_rows() {
    let (fixture, definitions) = fixture(*versions().last().unwrap());
    expect(&fixture.run(&definitions, &APPLY), 0);
    let mut delegate = fixture.delegate("dev");
    delegate.args(["--audit-table", "rdsprov_audit.changes", "--run-id", "5"]);
    let output = expect(&delegate.output().unwrap(), 0);
    assert!(output.contains("create_secret,success"), "{output}");
    let rows = fixture.query(ROWS);
    assert!(rows.contains(&format!("|5||{DELEGATE}|create_role|success|")), "{rows}");
    assert!(!rows.contains("create_secret"), "{rows}");
}

/// A delegate writes into the tables once they belong to it.
#[test]
fn delegate_needs_the_tables() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        expect(&fixture.run(&definitions, &APPLY), 0);
        let secret = format!(
            r#"{{"username": "{DELEGATE}", "password": "{}", "host": "localhost", "port": {}, "dbname": "platform"}}"#,
            password("delegate"),
            fixture.server.port()
        );
        fixture.secret(DELEGATE_SECRET, &secret);
        let mut delegate = fixture.delegate("dev");
        delegate.args(["--audit-table", "rdsprov_audit.changes", "--run-id", "5"]);
        expect(&delegate.output().unwrap(), 0);
        assert!(fixture.query(ROWS).contains(&format!("|5||{DELEGATE}|create_role|success|")));
        let more = fixture.definitions(MORE);
        let apply = [APPLY.as_slice(), &["--admin-secret", DELEGATE_SECRET]].concat();
        let output = expect(&fixture.run(&more, &apply), 3);
        assert!(output.contains("schema rdsprov_audit belongs to role platform_admin"), "{output}");
        // Or it has tables of its own.
        fixture
            .server
            .master("postgres", &format!("GRANT CREATE ON DATABASE postgres TO {DELEGATE}"))
            .unwrap();
        let own = ["--audit-table", "rdsprov_delegate.changes", "--admin-secret", DELEGATE_SECRET];
        expect(&fixture.run(&more, &[&["apply", "--env", "dev"], own.as_slice()].concat()), 0);
        for database in ["shop", "postgres"] {
            let rows =
                fixture.query_in(database, &ROWS.replace("rdsprov_audit", "rdsprov_delegate"));
            assert!(rows.contains("shop_auditor"), "{rows}");
        }
        for database in ["shop", "postgres"] {
            fixture.query_in(
                database,
                &format!(
                    "ALTER SCHEMA rdsprov_audit OWNER TO {DELEGATE};
                     ALTER TABLE rdsprov_audit.changes OWNER TO {DELEGATE}"
                ),
            );
        }
        let fewer = fixture.definitions(DEFINITIONS);
        expect(&fixture.run(&fewer, &apply), 0);
        fixture.query_in("shop", "REVOKE USAGE ON SCHEMA public FROM shop_reader");
        expect(&fixture.run(&fewer, &apply), 0);
        let rows = fixture.query_in("shop", ROWS);
        assert!(rows.ends_with("USAGE on schema public to shop_reader"), "{rows}");
    }
}
