//! Is a role's password right? Asked by logging in as the role; of a superuser, who may read
//! `pg_authid`, by comparing verifiers. Whatever a server says but "wrong password" says nothing about the
//! password, or that it was right.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use tokio_postgres::error::SqlState;

use super::connect::{ConnectError, Endpoint, Session};
use super::observe::{CONNECTIONS, ObserveError, Snapshot};
use crate::config::VerifyPasswords;
use crate::desired::{self, Desired};
use crate::name::{DatabaseName, RoleName};
use crate::observed::{Observed, PasswordCheck};
use crate::secrets::scram::Verifier;
use crate::secrets::{Password, Secret, SecretId};

const VERIFIERS: &str = include_str!("queries/verifiers.sql");

/// What became of the password of each declared role that exists and has one.
pub(super) async fn check_passwords(
    admin: &Endpoint,
    admin_session: &Session,
    desired: &Desired,
    observed: &Observed,
    secrets: &BTreeMap<SecretId, Secret>,
    verify: VerifyPasswords,
) -> Result<BTreeMap<RoleName, PasswordCheck>, ObserveError> {
    let candidates: Vec<(&RoleName, &Password)> = desired
        .roles
        .iter()
        .filter(|(name, role)| can_verify_password(observed, name, role))
        .filter_map(|(name, role)| Some((name, &secrets.get(role.secret()?)?.password)))
        .collect();
    let all = |login: PasswordCheck| {
        candidates.iter().map(move |(name, _)| ((*name).clone(), login.clone())).collect()
    };
    match verify {
        VerifyPasswords::Never => Ok(all(PasswordCheck::NotChecked)),
        VerifyPasswords::AlwaysSet => Ok(all(PasswordCheck::ToBeSet)),
        VerifyPasswords::Login if observed.administrator.superuser => {
            compare(admin_session, &candidates).await
        }
        VerifyPasswords::Login => Ok(stream::iter(candidates)
            .map(async |(name, password)| {
                let database = login_database(desired, observed, name);
                let target = admin.as_role(name.clone(), password.clone());
                (name.clone(), login(&target, database).await)
            })
            .buffered(CONNECTIONS)
            .collect()
            .await),
    }
}

/// A role that may not log in, or not any more, is told that its password is wrong when it is right; of a
/// member of `rds_iam`, RDS takes no password at all.
pub(super) fn can_verify_password(
    observed: &Observed,
    name: &RoleName,
    role: &desired::Role,
) -> bool {
    role.secret().is_some()
        && observed
            .roles
            .get(name)
            .is_some_and(|seen| seen.login && !seen.expired && !seen.uses_iam_auth())
}

/// A database that the role may enter, as far as is known.
pub(super) fn login_database<'a>(
    desired: &'a Desired,
    observed: &'a Observed,
    role: &RoleName,
) -> &'a DatabaseName {
    desired
        .databases
        .iter()
        .find(|(name, entry)| {
            entry.access.contains_key(role)
                && observed.databases.get(name).is_some_and(|seen| seen.allow_connections)
        })
        .map_or(&observed.admin_database, |(name, _)| name)
}

/// What is known of a password where `pg_hba.conf` says `trust`, or `cert`: nothing.
const PASSWORD_NOT_REQUESTED: &str = "the server lets the role in without asking for a password; let pg_hba.conf say scram-sha-256 for it";

pub(super) async fn login(target: &Endpoint, database: &DatabaseName) -> PasswordCheck {
    let error = match target.log_in(database).await {
        Ok(session) => {
            let auth_requested = session.auth_requested;
            session.end().await;
            return if auth_requested {
                PasswordCheck::Accepted
            } else {
                PasswordCheck::Inconclusive(PASSWORD_NOT_REQUESTED.to_owned())
            };
        }
        Err(error) => error,
    };
    let ConnectError::Refused { code: Some(code), reason, remedy, .. } = &error else {
        return PasswordCheck::Inconclusive(error.to_string());
    };
    // PostgreSQL asks for the password first: what it says of role or database comes after.
    const AFTER: [&SqlState; 3] = [
        &SqlState::INSUFFICIENT_PRIVILEGE,
        &SqlState::INVALID_CATALOG_NAME,
        &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
    ];
    let limit_of_its_own = *code == SqlState::TOO_MANY_CONNECTIONS
        && (reason.starts_with("too many connections for") || reason.contains("reserved"));
    if *code == SqlState::INVALID_PASSWORD {
        PasswordCheck::WrongPassword
    } else if AFTER.contains(&code) || limit_of_its_own {
        PasswordCheck::Accepted
    } else {
        PasswordCheck::Inconclusive(format!(
            "{reason}{}",
            if remedy.is_empty() { advice(code, reason) } else { remedy }
        ))
    }
}

/// What to do where something kept the server from looking at the password.
fn advice(code: &SqlState, reason: &str) -> &'static str {
    if *code == SqlState::TOO_MANY_CONNECTIONS {
        "; the server is full; run again when it has connections to spare"
    } else if reason.contains("is not permitted to log in") {
        "; somebody has just taken LOGIN from it; run again"
    } else if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
        "; pg_hba.conf does not let the role in from here; run from a host that it allows, or use --verify-passwords never"
    } else if *code == SqlState::CANNOT_CONNECT_NOW {
        "; the server is starting or stopping; run again"
    } else {
        "; run again, or use --verify-passwords never"
    }
}

/// What is stored against what is declared. Whatever is no SCRAM verifier is not what would be stored.
async fn compare(
    admin_session: &Session,
    candidates: &[(&RoleName, &Password)],
) -> Result<BTreeMap<RoleName, PasswordCheck>, ObserveError> {
    let names: Vec<&str> = candidates.iter().map(|(name, _)| name.as_str()).collect();
    let snapshot = Snapshot::open(admin_session, "the stored verifiers").await?;
    let stored: BTreeMap<RoleName, Option<String>> = snapshot.ask(VERIFIERS, &[&names]).await?;
    snapshot.close().await?;
    let right = |name: &RoleName, password: &Password| {
        let verifier = stored.get(name)?.as_deref().and_then(Verifier::parse)?;
        verifier.matches(password).then_some(())
    };
    Ok(candidates
        .iter()
        .map(|(name, password)| {
            let login = right(name, password)
                .map_or(PasswordCheck::WrongPassword, |()| PasswordCheck::Accepted);
            ((*name).clone(), login)
        })
        .collect())
}
