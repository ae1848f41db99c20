//! Is a role's password right? Asked by logging in as the role; of a superuser, who may read
//! `pg_authid`, by comparing verifiers. Whatever a server says but "wrong password" says nothing about the
//! password, or that it was right.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use tokio_postgres::error::SqlState;

use super::connect::{ConnectError, Session, Target};
use super::observe::{CONNECTIONS, ObserveError, Snapshot};
use crate::config::VerifyPasswords;
use crate::desired::{self, Desired};
use crate::name::{DatabaseName, RoleName};
use crate::observed::{Login, Observed};
use crate::secrets::scram::Verifier;
use crate::secrets::{Password, Secret, SecretId};

const VERIFIERS: &str = include_str!("queries/verifiers.sql");

/// What became of the password of each declared role that exists and has one.
pub(super) async fn ask(
    admin: &Target,
    home: &Session,
    desired: &Desired,
    observed: &Observed,
    secrets: &BTreeMap<SecretId, Secret>,
    verify: VerifyPasswords,
) -> Result<BTreeMap<RoleName, Login>, ObserveError> {
    let asked: Vec<(&RoleName, &Password)> = desired
        .roles
        .iter()
        .filter(|(name, role)| can_be_asked(observed, name, role))
        .filter_map(|(name, role)| Some((name, &secrets.get(role.secret()?)?.password)))
        .collect();
    let all = |login: Login| {
        asked.iter().map(move |(name, _)| ((*name).clone(), login.clone())).collect()
    };
    match verify {
        VerifyPasswords::Never => Ok(all(Login::NotAsked)),
        VerifyPasswords::AlwaysSet => Ok(all(Login::ToBeSet)),
        VerifyPasswords::Login if observed.administrator.superuser => compare(home, &asked).await,
        VerifyPasswords::Login => Ok(stream::iter(asked)
            .map(async |(name, password)| {
                let database = way_in(desired, observed, name);
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
pub(super) fn can_be_asked(observed: &Observed, name: &RoleName, role: &desired::Role) -> bool {
    role.secret().is_some()
        && observed
            .roles
            .get(name)
            .is_some_and(|seen| seen.login && !seen.expired && !seen.comes_with_token())
}

/// A database that the role may enter, as far as is known.
pub(super) fn way_in<'a>(
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
        .map_or(&observed.home, |(name, _)| name)
}

pub(super) async fn login(target: &Target, database: &DatabaseName) -> Login {
    let error = match target.log_in(database).await {
        Ok(session) => {
            session.end().await;
            return Login::Accepted;
        }
        Err(error) => error,
    };
    let ConnectError::Refused { code: Some(code), reason, remedy, .. } = &error else {
        return Login::Inconclusive(error.to_string());
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
        Login::WrongPassword
    } else if AFTER.contains(&code) || limit_of_its_own {
        Login::Accepted
    } else {
        Login::Inconclusive(format!(
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
    home: &Session,
    asked: &[(&RoleName, &Password)],
) -> Result<BTreeMap<RoleName, Login>, ObserveError> {
    let names: Vec<&str> = asked.iter().map(|(name, _)| name.as_str()).collect();
    let snapshot = Snapshot::open(home, "the stored verifiers").await?;
    let stored: BTreeMap<RoleName, Option<String>> = snapshot.ask(VERIFIERS, &[&names]).await?;
    snapshot.close().await?;
    let right = |name: &RoleName, password: &Password| {
        let verifier = stored.get(name)?.as_deref().and_then(Verifier::parse)?;
        verifier.is_of(password).then_some(())
    };
    Ok(asked
        .iter()
        .map(|(name, password)| {
            let login = right(name, password).map_or(Login::WrongPassword, |()| Login::Accepted);
            ((*name).clone(), login)
        })
        .collect())
}
