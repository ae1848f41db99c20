//! Executes one statement of a plan, and says why it failed.

use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::{Severity, SqlState};

use super::connect::Session;
use crate::plan::{CHANGED_SINCE_PLAN, Slots, Statement};

/// The number of repetitions of `CREATE DATABASE` while other sessions use the template (55006).
const TEMPLATE_BUSY_RETRIES: u32 = 5;

const TEMPLATE_USERS: &str = include_str!("queries/template_users.sql");

/// Returns whether an error is caused by another session that changes the same catalog row, so that
/// a repetition can succeed.
///
/// PostgreSQL reports 40001 or 40P01, and for some catalogs XX000 ("tuple concurrently
/// updated") or a violation of a unique index of the catalog (23505). A lock timeout (55P03)
/// can also succeed later.
fn is_concurrent_change(error: &tokio_postgres::Error) -> bool {
    let Some(error) = error.as_db_error() else { return false };
    let code = error.code();
    *code == SqlState::T_R_SERIALIZATION_FAILURE
        || *code == SqlState::T_R_DEADLOCK_DETECTED
        || *code == SqlState::LOCK_NOT_AVAILABLE
        // Another session may have granted the membership to the administrator.
        || *code == SqlState::INVALID_TRANSACTION_TERMINATION
        || (*code == SqlState::INTERNAL_ERROR && error.message().contains("concurrently"))
        || (*code == SqlState::UNIQUE_VIOLATION
            && error.constraint().is_some_and(|index| index.starts_with("pg_")))
}

/// What is sent to the server.
pub(super) enum Request<'a> {
    Statement(&'a Statement),
    /// The text that a test sends instead.
    Fault(&'static str),
}

/// Why a statement failed.
pub(super) struct Failure {
    pub message: String,
    pub kind: FailureKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// Another session caused it, so that a repetition can succeed.
    Conflict,
    /// The server has not said whether the statement was executed: the connection has ended.
    NoResponse,
    /// The server has cancelled the statement.
    Cancelled,
    /// A check of the plan has found that the server is not as the plan requires any more.
    Changed,
    Other,
}

impl FailureKind {
    fn of(error: &tokio_postgres::Error) -> Self {
        // A server that ends a session says so with FATAL or PANIC, also during a commit.
        let is_answered = error.as_db_error().is_some_and(|error| {
            !matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
        });
        match error.code() {
            _ if !is_answered => Self::NoResponse,
            _ if is_concurrent_change(error) => Self::Conflict,
            Some(code) if *code == SqlState::QUERY_CANCELED => Self::Cancelled,
            Some(code) if code.code() == CHANGED_SINCE_PLAN => Self::Changed,
            _ => Self::Other,
        }
    }
}

impl Failure {
    fn other(message: String) -> Self {
        Self { message, kind: FailureKind::Other }
    }
}

/// Executes one statement, and returns the first value of its result; `None` without rows.
pub(super) async fn execute(
    session: &Session,
    request: &Request<'_>,
    slots: &(dyn Slots + Sync),
    retry_busy: bool,
) -> Result<Option<String>, Failure> {
    let (text, contains_verifier) = match request {
        Request::Statement(statement) => {
            let text =
                statement.executable(slots).map_err(|error| Failure::other(error.to_string()))?;
            (text, statement.secret().is_some())
        }
        Request::Fault(text) => ((*text).to_owned(), false),
    };
    let mut retries = 0;
    let value = loop {
        // The driver logs the text of a batch.
        let sent = if contains_verifier {
            session.client.execute_typed(&text, &[]).await.map(|_| None)
        } else {
            session.client.simple_query(&text).await.map(|rows| first_value(&rows))
        };
        let error = match sent {
            Ok(value) => break value,
            Err(error) => error,
        };
        let busy = retry_busy && error.code() == Some(&SqlState::OBJECT_IN_USE);
        if busy && retries < TEMPLATE_BUSY_RETRIES {
            retries += 1;
            tokio::time::sleep(Duration::from_millis(200 * u64::from(retries))).await;
            continue;
        }
        let mut message = session.describe(&error);
        if busy && let Ok(row) = session.client.query_one(TEMPLATE_USERS, &[]).await {
            let users: String = row.try_get(0).unwrap_or_default();
            message = format!("{message}; connected to it: {users}");
        }
        return Err(Failure { message, kind: FailureKind::of(&error) });
    };
    // `GRANT` (01007) and `REVOKE` (01006) without any effect succeed with a warning only.
    let warning = session.take_notices().into_iter().find(|notice| {
        *notice.code() == SqlState::WARNING_PRIVILEGE_NOT_GRANTED
            || *notice.code() == SqlState::WARNING_PRIVILEGE_NOT_REVOKED
    });
    match warning {
        Some(warning) => {
            Err(Failure::other(format!("{} ({})", warning.message(), warning.code().code())))
        }
        None => Ok(value),
    }
}

fn first_value(messages: &[SimpleQueryMessage]) -> Option<String> {
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}
