//! The check that a new owner gets exactly the code that was observed, and that only the observed roles can
//! add code to it.
//!
//! Before the transfer, the old owner can replace a function or add a trigger at any time. The transfer
//! locks each row of the catalogs that it changes, so the check comes after it, in the same transaction.

use std::collections::BTreeSet;

use super::Statement;
use super::identity::CHANGED_SINCE_PLAN;
use super::statement::one_line;
use crate::name::{RoleName, SchemaName, literal};

/// The query for the fingerprint of the code in some objects. `WITH RECURSIVE handed_over AS (…)`, with the
/// columns `classid` and `objid` of the objects, `party AS (…)`, with the OIDs of both owners, and `covered`
/// and `insider` (see planted.sql) precede it. The observation executes the same files.
const FINGERPRINT: &str = concat!(
    include_str!("code.sql"),
    ",\n",
    include_str!("objects.sql"),
    include_str!("planted.sql"),
    include_str!("fingerprint.sql")
);

/// The parameter in which the transaction keeps the number of the last command that was checked.
const CHECKED: &str = "rdsprov.checked_command";

/// How long one check may take, in milliseconds. The transfer locks what it changes, also the database, until the
/// end of the transaction. The observation has executed the same query, within its own time.
const CHECK_TIME: u32 = 120_000;

/// The parameter in which the transaction keeps the time for its other statements.
const STATEMENT_TIME: &str = "rdsprov.statement_timeout";

/// What a transfer gives to a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandedOver {
    /// The database with its settings and its subscriptions, and the objects in it.
    Database,
    /// Objects in the database only.
    Objects,
}

/// A transfer from one role to another, with what was observed.
#[derive(Debug)]
pub struct Transfer<'a> {
    pub from: &'a RoleName,
    pub to: &'a RoleName,
    pub what: HandedOver,
    /// The schemas that applications cover.
    pub covered: BTreeSet<&'a SchemaName>,
    /// The roles whose objects and schemas do not count.
    pub insiders: BTreeSet<&'a RoleName>,
    /// The fingerprint of the code in the objects.
    pub fingerprint: &'a str,
}

/// Begins a transfer: what the transaction has given to the role before, such as schemas, is not checked.
pub fn begin_handing_over() -> Statement {
    Statement::plain(format!("DO {}", literal(&format!("BEGIN {}; END", remember_checked()))))
}

/// Returns the statement that keeps the number of the last command that has changed an owner.
fn remember_checked() -> String {
    format!(
        "PERFORM set_config('{CHECKED}', (SELECT coalesce(max(s.cmin::text::bigint), -1) FROM pg_shdepend s \
         WHERE s.xmin = pg_current_xact_id()::xid)::text, true)"
    )
}

/// Limits the time of the check that follows: the old owner decides how much code there is.
pub fn limit_check_of_code() -> Statement {
    let body = format!(
        "BEGIN PERFORM set_config('{STATEMENT_TIME}', s.setting, true), \
         set_config('statement_timeout', least(nullif(s.setting::bigint, 0), {CHECK_TIME})::text, true) \
         FROM pg_settings s WHERE s.name = 'statement_timeout'; END"
    );
    Statement::plain(format!("DO {}", literal(&body)))
}

/// Fails ([`CHANGED_SINCE_PLAN`]) if the code that the transaction has given from one role to another since
/// the last such check does not have this fingerprint.
///
/// Each object of an owner has a row in `pg_shdepend`. A transfer writes it anew, so `xmin` is the
/// current transaction and `cmin` the number of the command. The database got its owner before.
/// JIT compilation of the query would take longer than its execution. [`limit_check_of_code`] precedes it.
pub fn assert_handed_over(transfer: &Transfer<'_>) -> Statement {
    let Transfer { from, to, .. } = transfer;
    let shared = match transfer.what {
        HandedOver::Database => {
            " UNION ALL SELECT 'pg_database'::regclass, d.oid FROM pg_database d WHERE d.datname = current_database() \
             UNION ALL SELECT 'pg_subscription'::regclass, s.oid FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid \
             JOIN moved m ON m.classid = 'pg_subscription'::regclass AND m.objid = s.oid WHERE d.datname = current_database()"
        }
        HandedOver::Objects => "",
    };
    let query = one_line(FINGERPRINT);
    let body = format!(
        "BEGIN PERFORM set_config('jit', 'off', true); BEGIN IF (WITH RECURSIVE moved AS MATERIALIZED (SELECT s.classid, s.objid, s.dbid FROM pg_shdepend s \
         WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o' \
         AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = {to}) \
         AND s.xmin = pg_current_xact_id()::xid \
         AND s.cmin::text::bigint > coalesce(nullif(current_setting('{CHECKED}', true), ''), '-1')::bigint), \
         handed_over AS (SELECT classid, objid FROM moved \
         WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()){shared}), \
         party AS (SELECT oid FROM pg_roles WHERE rolname IN ({from}, {to})), \
         covered AS (SELECT name FROM unnest(ARRAY[{covered}]::text[]) name), \
         insider AS (SELECT oid FROM pg_roles WHERE rolname IN ({insiders})) {query}) <> {fingerprint} \
         THEN RAISE EXCEPTION USING ERRCODE = '{CHANGED_SINCE_PLAN}', MESSAGE = \
         format('the code that role %s would get in database %s, or a privilege to add code, is not what was observed', {to}, current_database()); END IF; \
         EXCEPTION WHEN query_canceled THEN RAISE EXCEPTION USING ERRCODE = '{CHANGED_SINCE_PLAN}', MESSAGE = \
         format('the check of the code that role %s would get in database %s was canceled, or takes longer than %s', {to}, current_database(), current_setting('statement_timeout')); END; \
         {remember_checked}; PERFORM set_config('statement_timeout', current_setting('{STATEMENT_TIME}'), true); END",
        remember_checked = remember_checked(),
        from = literal(from.as_str()),
        to = literal(to.as_str()),
        covered = literals(transfer.covered.iter().map(|schema| schema.as_str())),
        insiders = literals(transfer.insiders.iter().map(|role| role.as_str())),
        fingerprint = literal(transfer.fingerprint)
    );
    Statement::plain(format!("DO {}", literal(&body)))
}

fn literals<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.map(literal).collect::<Vec<_>>().join(", ")
}
