//! Proves after a transaction that the administrator and the delegate can still log in.
//!
//! RDS rejects the password of each member of `rds_iam`. Whether it counts a membership with `ADMIN
//! OPTION` only is not known before the commit, because other sessions do not see the change. So a new
//! login follows while the old session is open, and the change is reverted if the server no longer accepts
//! the password. Other errors, such as those of the network, and those before the change, are not its
//! consequences.

use std::time::Duration;

use super::connect::Endpoint;
use super::connect_error::ConnectError;
use super::execute::{Failure, ReplicationWarning, Request, execute, pause_after};
use super::lock::Lock;
use crate::hint::Hint;
use crate::name::{DatabaseName, LOCK_DATABASE, RoleName};
use crate::plan::{Action, Line, Slots, Statement, Step, Transaction};
use crate::text::visible;

/// The number of logins before a role counts as locked out.
const LOGINS: u32 = 3;

/// Returns whether a step of a transaction could prevent a login.
pub(super) fn is_possible(transaction: &Transaction) -> bool {
    transaction.steps.iter().any(|step| !step.reverting.is_empty())
}

/// The logins that must still succeed after a transaction.
pub(super) struct Logins<'a> {
    endpoints: &'a [Endpoint],
    /// The errors before the transaction, by the number of the endpoint. The transaction has not
    /// caused them.
    earlier: Vec<Option<String>>,
}

/// What became of the steps that prevented a login.
pub(super) struct LockedOut {
    /// The message of the failure.
    pub message: String,
    /// What to do if the steps could not be reverted.
    pub hint: Option<Hint>,
}

impl<'a> Logins<'a> {
    /// Logs in as each role before a transaction that could prevent it, unless the transaction creates
    /// the role.
    pub(super) async fn before(transaction: &Transaction, endpoints: &'a [Endpoint]) -> Self {
        let creates = |step: &Step, role: &RoleName| {
            step.action == Action::CreateRole && step.role.as_ref() == Some(role)
        };
        let mut earlier = Vec::new();
        for endpoint in endpoints {
            let is_new = transaction.steps.iter().any(|step| creates(step, &endpoint.user));
            let error = if is_new { None } else { log_in(endpoint).await.err() };
            earlier.push(error.map(|error| error.to_string()));
        }
        Self { endpoints, earlier }
    }

    /// Returns the first role that cannot log in any more, with the last error.
    async fn first_failure(&self) -> Option<(String, ConnectError)> {
        for (endpoint, earlier) in self.endpoints.iter().zip(&self.earlier) {
            for attempt in 1..=LOGINS {
                match log_in(endpoint).await {
                    Err(error) if earlier.as_deref() == Some(error.to_string().as_str()) => break,
                    Err(error) if error.is_of_rds_iam() && attempt == LOGINS => {
                        return Some((endpoint.user.to_string(), error));
                    }
                    Err(error) if error.is_of_rds_iam() => {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                    Ok(()) | Err(_) => break,
                }
            }
        }
        None
    }
}

async fn log_in(endpoint: &Endpoint) -> Result<(), ConnectError> {
    let database = DatabaseName::new_unchecked(LOCK_DATABASE);
    endpoint.log_in(&database).await?.end().await;
    Ok(())
}

/// Logs in as each role, and reverts the steps of a committed transaction that could prevent it if a
/// login fails. Returns what became of them.
pub(super) async fn revert_if_locked_out(
    transaction: &Transaction,
    server_major: u32,
    logins: &Logins<'_>,
    lock: &Lock,
    slots: &(dyn Slots + Sync),
) -> Option<LockedOut> {
    let (role, error) = logins.first_failure().await?;
    let steps = transaction.steps.iter().rev();
    let statements: Vec<&Statement> = steps.flat_map(|step| &step.reverting).collect();
    let texts: Vec<String> = statements.iter().map(|one| visible(&one.redacted())).collect();
    let texts = texts.join("; ");
    let rows = transaction.audit_of_revert();
    let statements: Vec<&Statement> = statements.into_iter().chain(&rows).collect();
    let mut execution = 1;
    let result = loop {
        match revert(&statements, server_major, lock, slots).await {
            Err(failure) if failure.kind.can_be_repeated(execution) => {}
            result => break result,
        }
        pause_after(execution).await;
        execution += 1;
    };
    let (reverted, hint) = match result {
        Ok(()) => match logins.first_failure().await {
            None => (format!("it was reverted ({texts}), and the login succeeds again"), None),
            Some(_) => (format!("it was reverted ({texts}), but the login still fails"), None),
        },
        Err(Failure { message, .. }) => {
            let hint = format!("execute this as an administrator that can log in: {texts}");
            (format!("it could not be reverted ({texts}): {message}"), Some(hint.into()))
        }
    };
    let message =
        format!("role {role} cannot log in any more after this change: {error}; {reverted}");
    Some(LockedOut { message, hint })
}

/// Executes the statements in one transaction of the session that is still open.
async fn revert(
    statements: &[&Statement],
    server_major: u32,
    lock: &Lock,
    slots: &(dyn Slots + Sync),
) -> Result<(), Failure> {
    let (begin, commit) =
        (Line::Begin.statement(server_major), Line::Commit.statement(server_major));
    let lines = std::iter::once(&*begin).chain(statements.iter().copied());
    for statement in lines.chain([&*commit]) {
        let request = Request::Statement(statement);
        let result =
            execute(&lock.session, &request, slots, None, ReplicationWarning::Allowed).await;
        if let Err(failure) = result {
            lock.session.roll_back().await;
            return Err(failure);
        }
    }
    Ok(())
}
