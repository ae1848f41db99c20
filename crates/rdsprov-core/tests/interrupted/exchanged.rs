//! Runs during which another role gives the name of a database or role to another one, or replaces
//! code that a new owner gets.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;

use rdsprov_core::plan::{Scope, Transaction};
use rdsprov_core::server::{ExecuteOptions, ExecutionOutcome, Fault, Listener, ListenerFuture};
use rdsprov_testkit::{Server, versions};

use crate::{applied, open, site, superuser};

const APPLICATIONS: [&str; 3] = ["shop", "shop_reports", "next"];

const SHOP: &str = r#"shop = { database_name = "shop", username = "shop_owner", createdb = true }"#;
const REPORTS: &str = r#"shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }"#;

fn definitions(applications: &[&str]) -> String {
    format!("application_databases = {{\n{}\n}}\n", applications.join("\n"))
}

/// When the attack happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// After the plan was made.
    BeforeTheRun,
    /// Before a transaction in a database.
    BeforeDatabase,
    /// Before the first statement that begins with this text.
    Before(&'static str),
}

/// Executes statements once, each in a transaction of its own: as a superuser after `SET SESSION
/// AUTHORIZATION`.
struct Attack<'a> {
    server: &'a Server,
    /// The role, the database that it connects to, and the statements.
    statements: Mutex<Option<(&'a str, &'a str, &'a [&'a str])>>,
    moment: Moment,
}

impl Attack<'_> {
    fn execute(&self) {
        let Some((role, database, statements)) = self.statements.lock().unwrap().take() else {
            return;
        };
        let mut session = self.server.superuser_session(database).unwrap();
        session.ask(&format!("SET SESSION AUTHORIZATION {role}")).unwrap();
        for statement in statements {
            session.ask(statement).unwrap();
        }
    }
}

impl Listener for Attack<'_> {
    fn before<'a>(&'a self, transaction: &'a Transaction) -> ListenerFuture<'a> {
        if self.moment == Moment::BeforeDatabase && matches!(transaction.scope, Scope::Database(_))
        {
            self.execute();
        }
        Box::pin(std::future::ready(ControlFlow::Continue(())))
    }
}

/// Applies definitions during an attack.
async fn attacked(
    server: &Server,
    secrets: &Path,
    definitions: &str,
    moment: Moment,
    attack: (&str, &str, &[&str]),
) -> ExecutionOutcome {
    execution(server, secrets, definitions, moment, attack, false).await
}

async fn execution(
    server: &Server,
    secrets: &Path,
    definitions: &str,
    moment: Moment,
    (role, database, statements): (&str, &str, &[&str]),
    keep_going: bool,
) -> ExecutionOutcome {
    let attack =
        Attack { server, statements: Mutex::new(Some((role, database, statements))), moment };
    let mut run = open(server, secrets, definitions).await;
    let mut run = run.lock().await.unwrap();
    let planned = run.plan().await.unwrap();
    assert!(planned.plan().refusals.is_empty(), "{}", planned.plan().to_text());
    if moment == Moment::BeforeTheRun {
        attack.execute();
    }
    let interrupt = |text: &str| {
        if matches!(moment, Moment::Before(begin) if text.starts_with(begin)) {
            attack.execute();
        }
        ControlFlow::Continue(())
    };
    let mut options = ExecuteOptions::interrupted_by(&interrupt).one_by_one();
    options.listener = Some(&attack);
    options.keep_going = keep_going;
    let outcome = planned.apply("1", &options).await.unwrap();
    assert_eq!(*attack.statements.lock().unwrap(), None, "{moment:?}: there was no attack");
    outcome
}

#[track_caller]
fn assert_stopped(outcome: ExecutionOutcome, says: &str, place: &str) {
    let error = outcome.error.unwrap_or_else(|| panic!("{place}: the run succeeded"));
    assert_eq!(error, format!("{says} (RDSP1)"), "{place}");
    let hint = outcome.hint.unwrap().to_string();
    let expected = "find out which role changed this, then run `plan` again and apply the new plan";
    assert_eq!(hint, expected, "{place}");
}

const REPLACE: &[&str] = &["DROP DATABASE shop", "CREATE DATABASE shop"];
const IS_REPLACED: &str = "database shop is not the database that was observed: it was dropped and \
    created again, or renamed";

/// The owner of a database may drop it and create it again, if it has `CREATEDB`.
#[tokio::test(flavor = "multi_thread")]
async fn existing_database_is_replaced() {
    for major in versions() {
        let (server, secrets) = site(major, &APPLICATIONS);
        let (before, after) = (definitions(&[SHOP]), definitions(&[SHOP, REPORTS]));
        for moment in [
            Moment::BeforeTheRun,
            // After the check at the start of the transaction.
            Moment::Before("GRANT CONNECT ON DATABASE"),
            Moment::BeforeDatabase,
        ] {
            let place = format!("PostgreSQL {major}, {moment:?}");
            applied(&server, secrets.path(), &before).await;
            let attack = ("shop_owner", "postgres", REPLACE);
            let outcome = attacked(&server, secrets.path(), &after, moment, attack).await;
            // The privileges on the database are committed before the transaction in it.
            assert_eq!(outcome.committed, moment == Moment::BeforeDatabase, "{place}");
            assert_stopped(outcome, IS_REPLACED, &place);
            let granted = "SELECT count(*) FROM pg_database WHERE datacl::text ~ 'shop_reader'";
            assert_eq!(superuser(&server, granted), "0", "{place}");
            applied(&server, secrets.path(), &after).await;
            superuser(&server, "DROP DATABASE shop");
            superuser(&server, "DROP ROLE shop_reader");
        }
    }
}

/// All applications share the transaction of roles and databases. With `keep_going`, an exchanged
/// database or role concerns its applications only.
#[tokio::test(flavor = "multi_thread")]
async fn exchanged_name_concerns_its_applications_only() {
    const NEXT: &str = r#"next = { database_name = "next", username = "next_owner" }"#;
    const RENAME: &[&str] =
        &["ALTER ROLE shop_owner RENAME TO gone", "CREATE ROLE shop_owner LOGIN"];
    for major in versions() {
        let (server, secrets) = site(major, &APPLICATIONS);
        let (before, after) = (definitions(&[SHOP]), definitions(&[SHOP, REPORTS, NEXT]));
        for (attack, says) in [
            (("shop_owner", "postgres", REPLACE), IS_REPLACED),
            (
                ("rdsadmin", "postgres", RENAME),
                "database shop belongs to role gone instead of shop_owner",
            ),
        ] {
            let place = format!("PostgreSQL {major}, {says}");
            applied(&server, secrets.path(), &before).await;
            let (after, moment) = (&after, Moment::BeforeTheRun);
            let outcome = execution(&server, secrets.path(), after, moment, attack, true).await;
            assert!(outcome.committed, "{place}");
            assert_stopped(outcome, says, &place);
            let next = "SELECT has_database_privilege('next_owner', 'next', 'CREATE')";
            assert_eq!(superuser(&server, next), "t", "{place}");
            let reader = "SELECT count(*) FROM pg_roles WHERE rolname = 'shop_reader'";
            assert_eq!(superuser(&server, reader), "0", "{place}");
            superuser(&server, "DROP DATABASE shop");
            superuser(&server, "DROP DATABASE next");
            superuser(&server, "DROP ROLE IF EXISTS shop_owner, gone, next_owner");
        }
    }
}

/// The run stores the OID of a database that it creates, because the owner may replace it before the
/// transaction inside it.
#[tokio::test(flavor = "multi_thread")]
async fn new_database_is_replaced() {
    for major in versions() {
        let (server, secrets) = site(major, &APPLICATIONS);
        let all = definitions(&[SHOP, REPORTS]);
        let attack = ("shop_owner", "postgres", REPLACE);
        let outcome = attacked(&server, secrets.path(), &all, Moment::BeforeDatabase, attack).await;
        assert_stopped(outcome, IS_REPLACED, &format!("PostgreSQL {major}"));
        let marked =
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'shop'";
        assert_eq!(superuser(&server, marked), "", "PostgreSQL {major}");
        applied(&server, secrets.path(), &all).await;
    }
}

/// Other changes of databases and roles that the plan relies on.
#[tokio::test(flavor = "multi_thread")]
async fn names_and_attributes_change() {
    for major in versions() {
        let (server, secrets) = site(major, &APPLICATIONS);
        let (before, after) = (definitions(&[SHOP]), definitions(&[SHOP, REPORTS]));
        applied(&server, secrets.path(), &before).await;
        superuser(&server, "CREATE ROLE other");
        // What a role does, how it is undone, and the message.
        let table: [(&str, &[&str], &[&str], &str); 6] = [
            (
                "rdsadmin",
                &["ALTER DATABASE shop OWNER TO other"],
                &["ALTER DATABASE shop OWNER TO shop_owner"],
                "database shop belongs to role other instead of shop_owner",
            ),
            (
                "shop_owner",
                &["ALTER DATABASE shop RENAME TO elsewhere"],
                &["ALTER DATABASE elsewhere RENAME TO shop"],
                "database shop was dropped or renamed after it was observed",
            ),
            (
                "rdsadmin",
                &["ALTER ROLE shop_owner RENAME TO gone", "CREATE ROLE shop_owner LOGIN"],
                &["DROP ROLE shop_owner", "ALTER ROLE gone RENAME TO shop_owner"],
                "database shop belongs to role gone instead of shop_owner",
            ),
            (
                "rdsadmin",
                &["ALTER ROLE shop_owner CREATEROLE"],
                &["ALTER ROLE shop_owner NOCREATEROLE"],
                "role shop_owner has got the attribute CREATEROLE after it was observed",
            ),
            (
                "rdsadmin",
                &["ALTER ROLE shop_owner SUPERUSER REPLICATION"],
                &["ALTER ROLE shop_owner NOSUPERUSER NOREPLICATION"],
                "role shop_owner has got the attribute SUPERUSER and REPLICATION after it was observed",
            ),
            (
                "rdsadmin",
                &["ALTER ROLE shop_owner BYPASSRLS"],
                &["ALTER ROLE shop_owner NOBYPASSRLS"],
                "role shop_owner has got the attribute BYPASSRLS after it was observed",
            ),
        ];
        for (role, attack, undo, says) in table {
            let place = format!("PostgreSQL {major}, {attack:?}");
            let moment = Moment::BeforeTheRun;
            let attack = (role, "postgres", attack);
            let outcome = attacked(&server, secrets.path(), &after, moment, attack).await;
            assert!(!outcome.committed, "{place}");
            assert_stopped(outcome, says, &place);
            undo.iter().for_each(|statement| drop(superuser(&server, statement)));
        }
        // A role that the run creates, after the check at the start of the transaction.
        let attack = ("rdsadmin", "postgres", &["ALTER ROLE shop_owner CREATEROLE"][..]);
        let moment = Moment::Before("GRANT CONNECT ON DATABASE");
        let outcome = attacked(&server, secrets.path(), &after, moment, attack).await;
        let says = "role shop_owner has got the attribute CREATEROLE after it was observed";
        assert_stopped(outcome, says, &format!("PostgreSQL {major}, before COMMIT"));
        superuser(&server, "ALTER ROLE shop_owner NOCREATEROLE");
        applied(&server, secrets.path(), &after).await;
    }
}

/// A role that the plan makes the owner of a new database is exchanged, or gets more attributes.
#[tokio::test(flavor = "multi_thread")]
async fn owner_of_a_new_database_changes() {
    for major in versions() {
        let (server, secrets) = site(major, &APPLICATIONS);
        let all = definitions(&[SHOP]);
        applied(&server, secrets.path(), &all).await;
        superuser(&server, "DROP DATABASE shop");
        for (attack, says) in [
            (
                &["ALTER ROLE shop_owner CREATEROLE"][..],
                "role shop_owner has got the attribute CREATEROLE after it was observed",
            ),
            (
                &[
                    "DROP ROLE shop_owner",
                    "CREATE ROLE shop_owner LOGIN",
                    "GRANT shop_owner TO platform_admin WITH ADMIN OPTION",
                ][..],
                "role shop_owner is not the role that was observed: it was dropped and created again, \
                 or renamed",
            ),
        ] {
            let place = format!("PostgreSQL {major}, {attack:?}");
            let attack = ("rdsadmin", "postgres", attack);
            let moment = Moment::Before("REVOKE ALL ON DATABASE");
            let mut outcome = attacked(&server, secrets.path(), &all, moment, attack).await;
            let remains = "; the new database shop remains, which only the administrator can enter; \
                           the next run continues with it";
            outcome.error = outcome.error.map(|error| error.replace(remains, ""));
            assert_stopped(outcome, says, &place);
            let open = "SELECT datallowconn FROM pg_database WHERE datname = 'shop'";
            assert_eq!(superuser(&server, open), "f", "{place}");
            superuser(&server, "ALTER ROLE shop_owner NOCREATEROLE");
            superuser(&server, "DROP DATABASE shop");
        }
    }
}

/// The old owner replaces a function after the plan was made, also directly before the transfer.
#[tokio::test(flavor = "multi_thread")]
async fn code_changes_before_its_transfer() {
    for major in versions() {
        let (server, secrets) = site(major, &APPLICATIONS);
        applied(&server, secrets.path(), &definitions(&[SHOP])).await;
        let function = |body: &str| {
            format!(
                "CREATE OR REPLACE FUNCTION public.total() RETURNS int SECURITY DEFINER LANGUAGE sql AS '{body}'"
            )
        };
        let as_owner = format!("SET SESSION AUTHORIZATION shop_owner; {}", function("SELECT 1"));
        server.superuser("shop", &as_owner).unwrap();
        let next = definitions(&[r#"next = { database_name = "shop", username = "next_owner" }"#]);
        for moment in [Moment::BeforeTheRun, Moment::Before("REASSIGN OWNED")] {
            let place = format!("PostgreSQL {major}, {moment:?}");
            let planted = function("SELECT 2");
            let attack = ("shop_owner", "shop", &[planted.as_str()][..]);
            let outcome = attacked(&server, secrets.path(), &next, moment, attack).await;
            let says = "the code that role next_owner would get in database shop, or a privilege to add \
                        code, is not what was observed";
            assert_stopped(outcome, says, &place);
            let owner = "SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE proname = 'total'";
            assert_eq!(server.superuser("shop", owner).unwrap().trim(), "shop_owner", "{place}");
            server.superuser("shop", &as_owner).unwrap();
        }
        applied(&server, secrets.path(), &next).await;
    }
}

/// The old owner decides how long the check of its code takes. The transfer locks the database meanwhile, so that
/// the time of the check is limited. Here, the limit is 20 ms instead of two minutes.
#[tokio::test(flavor = "multi_thread")]
async fn check_of_code_has_limited_time() {
    const LIMIT: &str = "DO 'BEGIN PERFORM set_config(''rdsprov.statement_timeout'', s.setting, true), \
        set_config(''statement_timeout'', least(nullif(s.setting::bigint, 0), 120000)";
    for major in versions() {
        let (server, secrets) = site(major, &APPLICATIONS);
        applied(&server, secrets.path(), &definitions(&[SHOP])).await;
        let many = "SET SESSION AUTHORIZATION shop_owner; DO $$ BEGIN FOR n IN 1..10000 LOOP EXECUTE format(
            'CREATE FUNCTION public.f%s() RETURNS int SECURITY DEFINER LANGUAGE sql AS ''SELECT 1''', n); END LOOP; END $$";
        server.superuser("shop", many).unwrap();
        let next = definitions(&[r#"next = { database_name = "shop", username = "next_owner" }"#]);
        let mut run = open(&server, secrets.path(), &next).await;
        let mut run = run.lock().await.unwrap();
        let planned = run.plan().await.unwrap();
        let texts = Mutex::new(Vec::new());
        let interrupt = |text: &str| {
            texts.lock().unwrap().push(text.to_owned());
            if text.starts_with(LIMIT) {
                return ControlFlow::Break(Fault::Sent(
                    "SELECT set_config('rdsprov.statement_timeout', '0', true), set_config('statement_timeout', '20', true)",
                ));
            }
            ControlFlow::Continue(())
        };
        let options = ExecuteOptions::interrupted_by(&interrupt).one_by_one();
        let outcome = planned.apply("1", &options).await;
        let says = "the check of the code that role next_owner would get in database shop was canceled, \
                    or takes longer than 20ms";
        assert_stopped(outcome.unwrap(), says, &format!("PostgreSQL {major}"));
        // The limit comes directly before the check.
        let texts = texts.into_inner().unwrap();
        let [.., limit, check] = texts.as_slice() else { panic!("{texts:?}") };
        assert!(limit.starts_with(LIMIT) && check.contains("handed_over"), "{texts:?}");
        let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'";
        assert_eq!(server.superuser("shop", owner).unwrap().trim(), "shop_owner", "{major}");
        drop(run);
        applied(&server, secrets.path(), &next).await;
    }
}
