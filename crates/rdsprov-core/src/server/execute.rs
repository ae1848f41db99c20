//! Executes one statement of a plan, and says why it failed.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::{DbError, Severity, SqlState};

use super::connect::{Session, is_about_replication};
use super::template::{self, TemplateWait};
use super::wait::LockHolder;
use crate::hint::Hint;
use crate::plan::{
    CHANGED_SINCE_PLAN, GlobalObject, Hazard, HidingKey, Slots, Statement, choose_keys, exchanged,
};

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

/// What to do about an object that does not exist any more.
const RUN_AGAIN: &str = "run again: another session has dropped or renamed an object since it was observed; \
     committed changes are kept";

/// Returns whether a statement names an object that does not exist. The plan names objects that it has observed.
fn is_missing_object(error: &tokio_postgres::Error) -> bool {
    let missing = [
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_FUNCTION,
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::UNDEFINED_OBJECT,
    ];
    // An unknown parameter has the code of an undefined object, too.
    error.code().is_some_and(|code| missing.contains(code))
        && error.as_db_error().is_some_and(|error| error.message().ends_with("does not exist"))
}

/// What follows if the server warns that it does not replicate a statement to the green environment of
/// a blue/green deployment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplicationWarning {
    /// The transaction fails.
    Fails,
    /// Nothing: the hazard is allowed.
    Allowed,
}

impl ReplicationWarning {
    pub fn new(allowed: &BTreeSet<Hazard>) -> Self {
        match allowed.contains(&Hazard::DegradesBlueGreen) {
            true => Self::Allowed,
            false => Self::Fails,
        }
    }
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
    /// The SQLSTATE of the error, if the server has reported one.
    pub code: Option<SqlState>,
    /// What to do about it, if it is more than to fix the cause and run again.
    pub hint: Option<Hint>,
    /// The database or role that is not that of the plan.
    pub exchanged: Option<GlobalObject>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// Another session caused it, so that a repetition can succeed.
    Conflict,
    /// The server has not said whether the statement was executed: the connection has ended.
    NoResponse,
    /// The server has cancelled the statement.
    Cancelled,
    /// The server accepts no changes (any more).
    ReadOnly,
    /// A check of the plan has found that the server is not as the plan requires any more.
    Changed,
    /// The server has warned that it does not replicate the statement to the green environment.
    NotReplicated,
    /// The value of a parameter is invalid (22023), or a function of the server has raised an error
    /// of its own. A hook that checks passwords reports so.
    PasswordRefused,
    /// One of several statements that were sent together had a warning that is an error. Which one
    /// it was is known if they are sent one by one.
    OneOfSeveral,
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
            Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Self::ReadOnly,
            Some(code) if code.code() == CHANGED_SINCE_PLAN => Self::Changed,
            Some(code)
                if *code == SqlState::INVALID_PARAMETER_VALUE
                    || *code == SqlState::RAISE_EXCEPTION
                    || *code == SqlState::INVALID_PASSWORD =>
            {
                Self::PasswordRefused
            }
            _ => Self::Other,
        }
    }
}

/// The maximum number of executions of a transaction that conflicts with other sessions.
const MAX_EXECUTIONS: u32 = 5;

/// Waits after an execution of a transaction, from 1, that conflicted with another session.
pub(super) async fn pause_after(execution: u32) {
    tokio::time::sleep(Duration::from_millis(100 * u64::from(execution))).await;
}

impl FailureKind {
    /// Returns whether the transaction can be executed again after this execution, from 1.
    pub fn can_be_repeated(self, execution: u32) -> bool {
        self == Self::Conflict && execution < MAX_EXECUTIONS
    }
}

impl Failure {
    pub(super) fn other(message: String) -> Self {
        Self { message, kind: FailureKind::Other, code: None, hint: None, exchanged: None }
    }

    pub(super) fn of(session: &Session, error: &tokio_postgres::Error) -> Self {
        let kind = FailureKind::of(error);
        let exchanged = error
            .as_db_error()
            .filter(|_| kind == FailureKind::Changed)
            .and_then(|error| exchanged(error.table(), error.column()));
        let code = error.code().cloned();
        let hint = is_missing_object(error).then(|| Hint::from(RUN_AGAIN));
        Self { kind, code, exchanged, hint, ..Self::other(session.describe(error)) }
    }

    fn template_in_use(sessions: &[LockHolder]) -> Self {
        let hint = Some(template::advice(sessions));
        Self { hint, ..Self::other(template::in_use(sessions)) }
    }
}

/// Has the server choose the keys that hide the verifiers of some statements until the end of the
/// transaction.
pub(super) async fn hiding_keys(
    session: &Session,
    statements: &[impl Borrow<Statement>],
) -> Result<Vec<HidingKey>, Failure> {
    let number = statements.iter().filter(|one| (*one).borrow().secret().is_some()).count();
    if number == 0 {
        return Ok(Vec::new());
    }
    let rows = session.client.simple_query(&choose_keys(number)).await;
    let rows = rows.map_err(|error| Failure::of(session, &error))?;
    let values = rows.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let keys = values.zip(1..).map(|(value, number)| HidingKey { number, value: value.to_owned() });
    Ok(keys.collect())
}

/// Returns a statement as it is sent. It takes a key if it contains a verifier.
pub(super) fn text_to_send(
    statement: &Statement,
    slots: &(dyn Slots + Sync),
    keys: &mut impl Iterator<Item = HidingKey>,
) -> Result<String, Failure> {
    let text = match statement.secret() {
        None => statement.executable(slots),
        Some(_) => {
            let key = keys.next().ok_or_else(|| Failure::other("a key is missing".to_owned()))?;
            statement.hidden(slots, &key)
        }
    };
    text.map_err(|error| Failure::other(error.to_string()))
}

/// Executes one statement, and returns the first value of its result; `None` without rows. `template`
/// is the time that `CREATE DATABASE` can wait for sessions in the template.
pub(super) async fn execute(
    session: &Session,
    request: &Request<'_>,
    slots: &(dyn Slots + Sync),
    template: Option<&TemplateWait>,
    replication: ReplicationWarning,
) -> Result<Option<String>, Failure> {
    let text = match request {
        Request::Statement(statement) => {
            let keys = hiding_keys(session, &[*statement]).await?;
            text_to_send(statement, slots, &mut keys.into_iter())?
        }
        Request::Fault(text) => (*text).to_owned(),
    };
    let value = loop {
        // The run has asked for them before its first database. Without any, `CREATE DATABASE` decides.
        if let Some(template) = template.filter(|one| one.was_in_use()) {
            let sessions = template.until_free(session).await;
            if !sessions.is_empty() {
                return Err(Failure::template_in_use(&sessions));
            }
        }
        let started = Instant::now();
        let error = match session.ask(&text).await {
            Ok(value) => break value,
            Err(error) => error,
        };
        if let Some(template) = template
            && error.code() == Some(&SqlState::OBJECT_IN_USE)
        {
            template.spend(started.elapsed());
            if template.is_possible() {
                continue;
            }
            let sessions = template::sessions(session).await;
            if !sessions.is_empty() {
                return Err(Failure::template_in_use(&sessions));
            }
        }
        return Err(Failure::of(session, &error));
    };
    warning(session, replication).map_or(Ok(value), Err)
}

/// Returns the first warning that is an error, among those that the server has sent since they were
/// last taken.
pub(super) fn warning(session: &Session, replication: ReplicationWarning) -> Option<Failure> {
    // `GRANT` (01007) and `REVOKE` (01006) without any effect succeed with a warning only.
    let no_effect = |notice: &DbError| {
        *notice.code() == SqlState::WARNING_PRIVILEGE_NOT_GRANTED
            || *notice.code() == SqlState::WARNING_PRIVILEGE_NOT_REVOKED
    };
    session.take_notices().into_iter().find_map(|warning| {
        let kind = if no_effect(&warning) {
            FailureKind::Other
        } else if replication == ReplicationWarning::Fails && is_about_replication(&warning) {
            FailureKind::NotReplicated
        } else {
            return None;
        };
        let message = format!("{} ({})", warning.message(), warning.code().code());
        Some(Failure { kind, ..Failure::other(message) })
    })
}
