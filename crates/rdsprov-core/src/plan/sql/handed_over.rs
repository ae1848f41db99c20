//! The check that a new owner gets exactly the code that was observed, and that only the observed roles can
//! add code to it.
//!
//! Before the transfer, the old owner can replace a function or add a trigger at any time. The transfer
//! locks each row of the catalogs that it changes, so the check comes after it, in the same transaction.

use super::Statement;
use super::identity::CHANGED_SINCE_PLAN;
use crate::name::{RoleName, literal};

/// The query for the fingerprint of the code in some objects. `WITH handed_over AS (…)`, with the
/// columns `classid` and `objid` of the objects, and `party AS (…)`, with the OIDs of both owners, precede it. The observation executes the same file.
const FINGERPRINT: &str = include_str!("fingerprint.sql");

/// The parameter in which the transaction keeps the number of the last command that was checked.
const CHECKED: &str = "rdsprov.checked_command";

/// Fails ([`CHANGED_SINCE_PLAN`]) if the code that the transaction has given from one role to another since
/// the last such check does not have this fingerprint.
///
/// Each object of an owner has a row in `pg_shdepend`. A transfer writes it anew, so `xmin` is the
/// current transaction and `cmin` the number of the command.
pub fn assert_handed_over(from: &RoleName, to: &RoleName, fingerprint: &str) -> Statement {
    let moved = format!(
        "s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o' \
         AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = {to}) \
         AND s.xmin = pg_current_xact_id()::xid \
         AND s.cmin::text::bigint > coalesce(nullif(current_setting('{CHECKED}', true), ''), '-1')::bigint",
        to = literal(to.as_str())
    );
    let lines = FINGERPRINT.lines().map(str::trim).filter(|line| !line.starts_with("--"));
    let query = lines.collect::<Vec<_>>().join(" ");
    let body = format!(
        "BEGIN IF (WITH handed_over AS (SELECT s.classid, s.objid FROM pg_shdepend s WHERE {moved}), party AS (SELECT oid FROM pg_roles WHERE rolname IN ({from}, {to})) {query}) <> {fingerprint} \
         THEN RAISE EXCEPTION USING ERRCODE = '{CHANGED_SINCE_PLAN}', MESSAGE = \
         format('the code that role %s would get in database %s, or a privilege to add code, is not what was observed', {to}, current_database()); END IF; \
         PERFORM set_config('{CHECKED}', (SELECT coalesce(max(s.cmin::text::bigint), -1) FROM pg_shdepend s WHERE s.xmin = pg_current_xact_id()::xid)::text, true); END",
        from = literal(from.as_str()),
        to = literal(to.as_str()),
        fingerprint = literal(fingerprint)
    );
    Statement::plain(format!("DO {}", literal(&body)))
}
