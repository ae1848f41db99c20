//! Proves after a transaction that the administrator and the delegate can still log in.
//!
//! RDS rejects the password of each member of `rds_iam`. Whether it counts a membership with `ADMIN
//! OPTION` only is not known before the commit, because other sessions do not see the change. So a new
//! login follows while the old session is open, and the change is reverted if the server no longer accepts
//! the password. Other errors, such as those of the network, are not consequences of the change.

use std::time::Duration;

use super::connect::Endpoint;
use super::connect_error::ConnectError;
use super::execute::{Failure, ReplicationWarning, Request, execute};
use super::lock::Lock;
use crate::name::{DatabaseName, LOCK_DATABASE};
use crate::plan::{Line, Slots, Statement, Transaction};
use crate::text::visible;

/// The number of logins before a role counts as locked out.
const LOGINS: u32 = 3;

/// Returns whether a step of a transaction could prevent a login.
pub(super) fn is_possible(transaction: &Transaction) -> bool {
    transaction.steps.iter().any(|step| !step.reverting.is_empty())
}

/// Logs in as each role, and reverts the steps of a committed transaction that could prevent it if a
/// login fails. Returns the message of this failure.
pub(super) async fn revert_if_locked_out(
    transaction: &Transaction,
    server_major: u32,
    logins: &[Endpoint],
    lock: &Lock,
    slots: &(dyn Slots + Sync),
) -> Option<String> {
    let (role, error) = first_failure(logins).await?;
    let steps = transaction.steps.iter().rev();
    let statements: Vec<&Statement> = steps.flat_map(|step| &step.reverting).collect();
    let texts: Vec<String> = statements.iter().map(|one| visible(&one.redacted())).collect();
    let texts = texts.join("; ");
    let reverted = match revert(&statements, server_major, lock, slots).await {
        Ok(()) => match first_failure(logins).await {
            None => format!("it was reverted ({texts}), and the login succeeds again"),
            Some(_) => format!("it was reverted ({texts}), but the login still fails"),
        },
        Err(Failure { message, .. }) => {
            format!("it could not be reverted ({texts}): {message}")
        }
    };
    Some(format!("role {role} cannot log in any more after this change: {error}; {reverted}"))
}

/// Returns the first role that cannot log in, with the last error.
async fn first_failure(logins: &[Endpoint]) -> Option<(String, ConnectError)> {
    let database = DatabaseName::new_unchecked(LOCK_DATABASE);
    for endpoint in logins {
        for attempt in 1..=LOGINS {
            match endpoint.log_in(&database).await {
                Ok(session) => {
                    session.end().await;
                    break;
                }
                Err(error) if !error.is_of_rds_iam() => break,
                Err(error) if attempt == LOGINS => {
                    return Some((endpoint.user.to_string(), error));
                }
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }
    None
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
        let result = execute(&lock.0, &request, slots, None, ReplicationWarning::Allowed).await;
        if let Err(failure) = result {
            lock.0.roll_back().await;
            return Err(failure);
        }
    }
    Ok(())
}
