//! How a session becomes the program's own: its role, its settings, and the check that no
//! membership of the administrator is committed.
//!
//! `ALTER ROLE … SET` and `ALTER DATABASE … SET` store settings that every new session starts with.
//! The program and the scripts that it prints therefore set each setting that can change what their
//! statements do.

use super::Statement;
use crate::name::literal;

/// A setting of each session, whatever is stored for the role, the database or the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionSetting {
    /// The name of the parameter. Parameters that the server does not have are skipped.
    pub name: &'static str,
    /// The value that the session gets.
    pub value: &'static str,
    /// The only value that is replaced; `None` if every value is replaced.
    pub replaces: Option<&'static str>,
}

const fn set(name: &'static str, value: &'static str) -> SessionSetting {
    SessionSetting { name, value, replaces: None }
}

/// Every parameter that can change what a statement of this program does or returns.
///
/// A parameter that only a superuser may set is set where the administrator is one: no other role can
/// have stored it for the administrator. Not in the table are parameters that change only
/// the duration, the memory or the log of a statement: [`session_settings`] returns them to the
/// default of PostgreSQL if they are stored for the database or the role. The parameters in `KEPT`
/// are not changed.
pub const SESSION_SETTINGS: [SessionSetting; 32] = [
    // Nothing ends the session or a statement while a user reads a question or a lock is awaited. A
    // run sets its own `statement_timeout` afterwards.
    set("statement_timeout", "0"),
    set("lock_timeout", "0"),
    set("idle_session_timeout", "0"),
    set("idle_in_transaction_session_timeout", "0"),
    set("transaction_timeout", "0"),
    set("exit_on_error", "off"),
    // The rules of transactions. A commit that is recorded must survive a crash of the server.
    set("default_transaction_isolation", "read committed"),
    set("default_transaction_read_only", "off"),
    set("default_transaction_deferrable", "off"),
    SessionSetting { name: "synchronous_commit", value: "on", replaces: Some("off") },
    // Since PostgreSQL 16, `CREATE ROLE` can make its creator a member of the new role.
    set("createrole_self_grant", ""),
    // The names and the properties of what `CREATE EXTENSION` creates.
    set("search_path", "pg_catalog, pg_temp"),
    set("check_function_bodies", "on"),
    set("default_tablespace", ""),
    set("default_table_access_method", "heap"),
    set("event_triggers", "on"),
    set("session_replication_role", "origin"),
    // How statements are read.
    set("client_encoding", "UTF8"),
    set("standard_conforming_strings", "on"),
    set("escape_string_warning", "on"),
    set("backslash_quote", "safe_encoding"),
    set("array_nulls", "on"),
    set("transform_null_equals", "off"),
    // What queries return.
    set("row_security", "on"),
    set("restrict_nonsystem_relation_kind", ""),
    set("quote_all_identifiers", "off"),
    set("DateStyle", "ISO, MDY"),
    set("TimeZone", "UTC"),
    set("IntervalStyle", "postgres"),
    // `GRANT` and `REVOKE` without any effect are reported as warnings only (01007, 01006), and
    // some errors are told apart by their English messages.
    set("client_min_messages", "notice"),
    // Catalog queries have many expressions, and take longer to compile than to execute.
    set("jit", "off"),
    set("lc_messages", "C"),
];

/// The statements that begin a session, before the query [`session_settings`].
///
/// The first ones need no operator and no function, because a stored `search_path` could name
/// others. `RESET ROLE` would return to a stored `role`.
pub const BEGIN_SESSION: [&str; 4] = [
    "SET statement_timeout = 0",
    "SET search_path TO pg_catalog, pg_temp",
    "SET SESSION AUTHORIZATION DEFAULT",
    "SET ROLE NONE",
];

/// The parameter that keeps the value that is stored for the database or the role: the program reports
/// how the server hashes a cleartext password, and sends verifiers.
const KEPT: &str = "password_encryption";

/// Returns the query that sets all [`SESSION_SETTINGS`] that the server has and that the
/// administrator may set. It returns one row, which begins with their number.
///
/// Each other parameter that every role may set, and that is stored for the database or the role, gets
/// the default of PostgreSQL. The owner of a database can store values with which a query on the
/// catalogs takes hours, such as `enable_hashjoin = off`, or verifiers with which no role can log in, such as
/// `scram_iterations = 200000`, and `RESET` would return to them.
///
/// Before PostgreSQL 16, a `+role` line in `pg_hba.conf` has the server store the roles of which the
/// administrator is a member before it knows the database. Then `SET ROLE pg_database_owner` fails (42501) for the
/// owner of the database and its members. The server stores the roles of one member only, so the query asks for
/// those of another one.
#[must_use]
pub fn session_settings() -> String {
    let kept = literal(KEPT);
    let rows = SESSION_SETTINGS.iter().map(|setting| {
        let replaces = setting.replaces.map_or_else(|| "NULL".to_owned(), literal);
        format!("({}, {}, {replaces})", literal(setting.name), literal(setting.value))
    });
    let rows = rows.collect::<Vec<_>>().join(", ");
    format!(
        "SELECT count(set_config(s.name, coalesce(v.value, s.boot_val), false)) AS rdsprov_settings, \
         pg_has_role('pg_monitor', 'pg_signal_backend', 'MEMBER') AS rdsprov_memberships \
         FROM pg_settings s LEFT JOIN (VALUES {rows}) v(name, value, replaces) ON v.name = s.name \
         WHERE s.setting <> coalesce(v.value, s.boot_val) \
         AND CASE WHEN v.name IS NULL THEN s.context = 'user' AND s.name <> {kept} \
         AND s.source IN ('database', 'user', 'database user') \
         ELSE s.setting = coalesce(v.replaces, s.setting) AND (s.context = 'user' \
         OR s.context = 'superuser' AND current_setting('is_superuser') = 'on') END"
    )
}

/// The parameter in which a transaction keeps the memberships that the administrator had before.
const BEFORE: &str = "rdsprov.memberships";

/// The memberships of the administrator as one JSON document.
///
/// Not contained are the memberships with `ADMIN OPTION` only that the bootstrap superuser (10)
/// grants to the creator of a role, from PostgreSQL 16 on. `to_jsonb` reads the columns that
/// the version has. RDS rejects the password of a role that inherits `rds_iam` or `rds_ad`.
const MEMBERSHIPS: &str = "SELECT jsonb_build_object(\
     'granted', (SELECT coalesce(jsonb_agg(to_jsonb(m) - 'oid'), '[]') FROM pg_auth_members m \
     WHERE m.member = me.oid AND (m.grantor = 10 AND m.admin_option \
     AND to_jsonb(m) @> '{\"inherit_option\": false, \"set_option\": false}') IS NOT TRUE), \
     'inherited', (SELECT coalesce(jsonb_agg(r.rolname), '[]') FROM pg_roles r \
     WHERE r.rolname IN ('rds_iam', 'rds_ad') AND pg_has_role(me.oid, r.oid, 'USAGE'))) \
     FROM pg_roles me WHERE me.rolname = session_user";

/// Fails (2D000) if the current role is not the administrator. The owner of a database can store a
/// `role` for it, and `RESET ROLE` would return to that role.
const IS_ADMINISTRATOR: &str = "IF current_user <> session_user THEN RAISE EXCEPTION USING \
     ERRCODE = '2D000', MESSAGE = format('the transaction is not committed: the current role is %s \
     instead of the administrator %s', current_user, session_user); END IF;";

/// Checks that the administrator acts as itself, and stores its memberships until the end of the
/// transaction.
pub(super) fn store_memberships() -> Statement {
    let body = format!(
        "BEGIN {IS_ADMINISTRATOR} PERFORM set_config({}, ({MEMBERSHIPS})::text, true); END",
        literal(BEFORE)
    );
    Statement::plain(format!("DO {}", literal(&body)))
}

/// Whether a row `m` of `pg_auth_members` is of the current transaction or of one of its
/// subtransactions. Before PostgreSQL 16, each role can make the administrator its member, also while
/// the transaction runs.
const OF_THIS_TRANSACTION: &str = "(age(m.xmin) <= 0 AND pg_xact_status((\
     (pg_current_xact_id()::text::bigint >> 32 << 32) + m.xmin::text::bigint)::text::xid8) = 'in progress')";

/// Fails (2D000) if the administrator still acts as another role, or has a membership of this
/// transaction that it did not have at its beginning, whatever granted it.
pub(super) fn verify_memberships() -> Statement {
    let body = format!(
        "DECLARE before jsonb := current_setting({before}); after jsonb := ({MEMBERSHIPS}); \
         own jsonb := (SELECT jsonb_agg(to_jsonb(m) - 'oid') FROM pg_auth_members m WHERE {OF_THIS_TRANSACTION}); \
         gained text := (SELECT string_agg(DISTINCT role, ', ') FROM (\
         SELECT pg_get_userbyid((m->>'roleid')::oid)::text FROM jsonb_array_elements(after->'granted') m \
         WHERE NOT before->'granted' @> jsonb_build_array(m) AND own @> jsonb_build_array(m) UNION ALL \
         SELECT r FROM jsonb_array_elements_text(after->'inherited') r \
         WHERE own IS NOT NULL AND NOT before->'inherited' ? r) g(role)); \
         BEGIN {IS_ADMINISTRATOR} IF gained IS NOT NULL THEN RAISE EXCEPTION USING ERRCODE = '2D000', MESSAGE = \
         format('the transaction is not committed: the administrator %s would remain a member of %s', \
         session_user, gained); END IF; END",
        before = literal(BEFORE)
    );
    Statement::plain(format!("DO {}", literal(&body)))
}

#[cfg(test)]
mod tests {
    use super::SESSION_SETTINGS;

    #[test]
    fn guide_lists_the_session_settings() {
        let guide = include_str!("../../../../../docs/guides/rds.md");
        let rows = SESSION_SETTINGS.map(|setting| match setting.value {
            "" => format!("| `{}` | empty |\n", setting.name),
            value => format!("| `{}` | `{value}` |\n", setting.name),
        });
        assert!(guide.contains(&rows.concat()), "{}", rows.concat());
    }
}
