//! Runs in which one statement fails, at each position in turn.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::path::Path;

use rdsprov_core::operations::PlannedApply;
use rdsprov_core::plan::Plan;
use rdsprov_core::server::{ExecuteOptions, Fault};
use rdsprov_core::step_result::StepStatus;
use rdsprov_testkit::{Server, versions};

use crate::{GRANTED_BY_US, applied, at, open, site, superuser};

/// Two databases with objects of every kind: one is new, one is adopted.
const DEFINITIONS: &str = r#"
application_databases = {
  shop = {
    database_name = "shop"
    username      = "shop_owner"
    schemas       = ["public", "stock"]
    extensions    = ["pg_trgm"]
    settings      = { statement_timeout = "30s" }
  }
  shop_workers   = { database_name = "shop", username = "shop_editor", access_level = "editor", schemas = ["stock"] }
  legacy         = { database_name = "legacy", username = "legacy_owner", adopt = true }
  legacy_reports = { database_name = "legacy", username = "legacy_reader", access_level = "reader" }
  legacy_export  = { database_name = "legacy", username = "shop_editor", access_level = "reader", secret = "goldenpath/dev/shop_workers/postgres" }
}
"#;

const APPLICATIONS: [&str; 4] = ["shop", "shop_workers", "legacy", "legacy_reports"];

/// Creates an existing database with a table on which PUBLIC has too many privileges.
fn legacy(server: &Server) {
    superuser(server, "SET ROLE platform_admin; CREATE ROLE legacy_owner LOGIN CREATEDB");
    superuser(server, "CREATE DATABASE legacy OWNER legacy_owner");
    let made =
        "SET ROLE legacy_owner; CREATE TABLE orders (id serial); GRANT ALL ON orders TO PUBLIC";
    server.superuser("legacy", made).unwrap();
}

fn clean(server: &Server) {
    superuser(server, "DROP DATABASE IF EXISTS shop WITH (FORCE)");
    superuser(server, "DROP DATABASE legacy WITH (FORCE)");
    superuser(server, "DROP ROLE IF EXISTS shop_owner, shop_editor, legacy_owner, legacy_reader");
}

/// Returns the statements of a transaction, each with its steps.
fn script(plan: &Plan, transaction: usize) -> Vec<(Range<usize>, String)> {
    let script = plan.transactions[transaction].script().into_iter();
    script.map(|line| (line.steps(), line.statement(plan.server_major).redacted())).collect()
}

/// Returns the statements without the identities that the transaction verifies: roles and databases
/// that another run has created in the meantime have OIDs.
fn without_identities(script: &[(Range<usize>, String)]) -> Vec<(Range<usize>, &str)> {
    let shared = script.iter().filter(|(_, text)| !text.contains("rdsprov.created_oid ="));
    let checked = |text: &str| text.contains("RDSP1").then_some("identities");
    shared.map(|(steps, text)| (steps.clone(), checked(text).unwrap_or(text))).collect()
}

/// Applies a plan in which one statement of a transaction is replaced by one that fails.
async fn failed_at(planned: PlannedApply<'_>, transaction: usize, statement: usize, place: &str) {
    let plan = &planned.plan().clone();
    let before: usize = (0..transaction).map(|number| script(plan, number).len()).sum();
    let lines = script(plan, transaction);
    let shown = lines[statement].1.clone();
    // A failure outside of the steps is recorded for the steps of the next statement, or for the last one.
    let failed = lines[statement..].iter().map(|(steps, _)| steps.clone());
    let end = plan.transactions[transaction].steps.len();
    let failed = failed.into_iter().find(|steps| !steps.is_empty()).unwrap_or(end - 1..end);
    // CREATE DATABASE is a transaction by itself.
    let created = statement > 0 && plan.transactions[transaction].before.is_some();
    let refusal = at(before + statement, Fault::Sent("SELECT 1/0"));
    let options = ExecuteOptions::interrupted_by(&refusal);
    let outcome = planned.apply("1", &options).await.unwrap();
    let mut message = format!("division by zero (22012); the statement was: {shown}");
    let remains = created.then(|| {
        "the new database shop remains, which only the administrator can enter; the next run \
         continues with it"
            .to_owned()
    });
    message.extend(remains.iter().map(|remains| format!("; {remains}")));
    assert_eq!(outcome.error.as_ref(), Some(&message), "{place}");

    // Earlier transactions are committed, earlier steps are rolled back, each step of the failed statement
    // reports the error, nothing else was tried.
    let steps = plan.transactions.iter().enumerate().flat_map(|(number, transaction)| {
        (0..transaction.steps.len()).map(move |step| (number, step))
    });
    let expected: Vec<StepStatus> = steps
        .map(|(number, own)| {
            if number < transaction {
                StepStatus::Success
            } else if number == transaction && failed.contains(&own) {
                StepStatus::Error(message.clone())
            } else if number == transaction && own < failed.start {
                StepStatus::RolledBack { remains: remains.clone().filter(|_| own == 0) }
            } else {
                StepStatus::NotRun
            }
        })
        .collect();
    let became: Vec<StepStatus> = outcome.steps.into_iter().map(|step| step.status).collect();
    assert_eq!(became, expected, "{place}");
    assert_eq!(outcome.committed, transaction > 0 || created, "{place}");
}

/// Fails at each statement of a transaction in turn, in separate runs, and then completes it.
/// Returns the numbers of statements and of those that several steps share, or `None` if the plan has fewer
/// transactions.
async fn failed_in(server: &Server, secrets: &Path, transaction: usize) -> Option<(usize, usize)> {
    let mut plan = open(server, secrets, DEFINITIONS).await.plan().await.unwrap().into_parts().2;
    if transaction >= plan.transactions.len() {
        return None;
    }
    let mut left = script(&plan, transaction);
    let shared = left.iter().filter(|(steps, _)| steps.len() > 1).count();
    let (count, mut transaction, mut statement) = (left.len(), transaction, 0);
    while statement < left.len() {
        let shown = &left[statement].1;
        let place = format!("PostgreSQL {}, {transaction}: {shown}", server.major());
        let mut run = open(server, secrets, DEFINITIONS).await;
        let mut run = run.lock().await.unwrap();
        let planned = run.plan().await.unwrap();
        let same = script(planned.plan(), transaction);
        assert_eq!(without_identities(&same), without_identities(&left), "{place}");
        failed_at(planned, transaction, statement, &place).await;
        if statement > 0 && plan.transactions[transaction].before.is_some() {
            left.remove(0);
        } else {
            statement += 1;
        }
        // The server has nothing of the failed transaction: the next run starts with the same one.
        assert_eq!(superuser(server, GRANTED_BY_US), "0", "{place}");
        plan = run.plan().await.unwrap().plan().clone();
        transaction = 0;
        let same = script(&plan, transaction);
        assert_eq!(without_identities(&same), without_identities(&left), "{place}");
        left = same;
    }
    applied(server, secrets, DEFINITIONS).await;
    assert_eq!(superuser(server, GRANTED_BY_US), "0");
    Some((count, shared))
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_run_is_completed_by_the_next() {
    // PostgreSQL 16 changed memberships: one version before, one after.
    let all = versions();
    for major in BTreeSet::from([all[0], all[all.len() - 1]]) {
        let (server, secrets) = site(major, &APPLICATIONS);
        legacy(&server);
        let (mut transaction, mut tried, mut shared) = (0, 0, 0);
        while let Some(one) = failed_in(&server, secrets.path(), transaction).await {
            (transaction, tried, shared) = (transaction + 1, tried + one.0, shared + one.1);
            clean(&server);
            legacy(&server);
        }
        assert!(tried > 50, "only {tried} statements were tried");
        assert!(shared > 2, "only {shared} statements of several steps were tried");
        assert!(!server.log().contains("Canary-"));
    }
}

/// The server grants nothing of a statement for two readers, and says so with a warning only.
#[tokio::test(flavor = "multi_thread")]
async fn warning_about_a_statement_fails_each_of_its_steps() {
    const WARNING: &str = "DO $$ BEGIN RAISE WARNING USING ERRCODE = '01007', MESSAGE = 'no privileges were granted'; END $$";
    let (server, secrets) = site(versions()[0], &APPLICATIONS);
    legacy(&server);
    let is_joint =
        |text: &str| text.starts_with("GRANT SELECT ON ALL TABLES") && text.contains(", ");
    let interrupt = |text: &str| match is_joint(text) {
        true => ControlFlow::Break(Fault::Sent(WARNING)),
        false => ControlFlow::Continue(()),
    };
    let mut run = open(&server, secrets.path(), DEFINITIONS).await;
    let mut run = run.lock().await.unwrap();
    let planned = run.plan().await.unwrap();
    let plan = planned.plan().clone();
    let transactions = 0..plan.transactions.len();
    let scripts = transactions.map(|number| script(&plan, number)).collect::<Vec<_>>();
    let with_joint = scripts.iter().position(|lines| lines.iter().any(|(_, text)| is_joint(text)));
    let failed = with_joint.unwrap();
    let (steps, statement) = scripts[failed].iter().find(|(_, text)| is_joint(text)).unwrap();
    assert_eq!(steps.len(), 2, "{statement}");
    let outcome = planned.apply("1", &ExecuteOptions::interrupted_by(&interrupt)).await.unwrap();
    let message = format!("no privileges were granted (01007); the statement was: {statement}");
    assert_eq!(outcome.error.as_ref(), Some(&message));
    let words = outcome.failed_step.unwrap().step;
    assert!(words.ends_with(" of application legacy_reports and 1 other step"), "{words}");
    let first: usize = plan.transactions[..failed].iter().map(|one| one.steps.len()).sum();
    let of_failed = &outcome.steps[first..first + plan.transactions[failed].steps.len()];
    for (number, step) in of_failed.iter().enumerate() {
        let expected = match steps {
            steps if steps.contains(&number) => StepStatus::Error(message.clone()),
            steps if number < steps.start => StepStatus::RolledBack { remains: None },
            _ => StepStatus::NotRun,
        };
        assert_eq!(step.status, expected, "{number}");
    }
    let held = "SELECT count(*) FROM pg_class WHERE relacl::text ~ 'legacy_reader|shop_editor'";
    assert_eq!(server.superuser("legacy", held).unwrap().trim(), "0");
}
