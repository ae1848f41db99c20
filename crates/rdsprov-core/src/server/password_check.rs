//! Checks whether the password of a secret is the password of its role, by logging in as the role.
//!
//! If the administrator is a superuser, it may read `pg_authid`, and the stored verifiers are
//! compared instead. A complete SCRAM exchange proves that the password is correct, also if
//! PostgreSQL rejects the login after it. SQLSTATE 28P01 means that the password is wrong. Each other
//! error proves nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use tokio_postgres::error::SqlState;

use super::connect::{Endpoint, ServerIdentity, Session};
use super::connect_error::{ConnectError, Platform, RejectionCause};
use super::earlier_look::EarlierLook;
use super::snapshot::{ObserveError, Snapshot};
use crate::config::VerifyPasswords;
use crate::desired::Desired;
use crate::name::{DatabaseName, RoleName};
use crate::observed::{Observed, PasswordCheck};
use crate::secret_id::SecretId;
use crate::secrets::scram::Verifier;
use crate::secrets::{Password, Secret};
use crate::text::counted;

const VERIFIERS: &str = include_str!("queries/verifiers.sql");

/// A password to check.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    /// The declared role.
    name: &'a RoleName,
    /// The role that has the password: the declared role or its clone.
    user: &'a RoleName,
    password: &'a Password,
}

/// How the passwords of roles are checked.
#[derive(Default)]
pub(crate) struct PasswordChecks {
    pub verify: VerifyPasswords,
    /// The roles that this run has created with the passwords of its secrets, and committed.
    pub created: BTreeSet<RoleName>,
}

/// What is known before passwords are checked.
pub(super) struct KnownLogins<'a> {
    /// What logins of owners have shown in this look.
    pub first: BTreeMap<RoleName, FirstLogin>,
    pub earlier: Option<&'a EarlierLook>,
}

/// Checks the password of each role of the selected applications, by a login as the role that its
/// secret names: the role itself or its clone. Roles whose correct password the server rejects, too, are
/// left out.
///
/// The server has stored the verifiers of the roles in [`PasswordChecks::created`] as this run has computed
/// them. Whether it accepts such a verifier is the same for all of them: if the first one logs in, the others
/// do not. A verifier depends on how a password is normalized if it is not ASCII, and such a role logs in.
///
/// The password that an earlier look has found to be correct is not checked again, unless the run has changed the role.
///
/// `known` also contains what logins to the databases of roles have shown before, see [`OwnerLogins`].
///
/// [`OwnerLogins`]: super::owner_login::OwnerLogins
pub(super) async fn check_passwords<'a>(
    admin: &Endpoint,
    admin_session: &Session,
    desired: &'a Desired,
    observed: &'a Observed,
    secrets: &'a BTreeMap<SecretId, Secret>,
    PasswordChecks { verify, created }: &PasswordChecks,
    known: &KnownLogins<'_>,
) -> Result<BTreeMap<RoleName, PasswordCheck>, ObserveError> {
    let candidates: Vec<Candidate<'a>> = desired
        .selected_roles()
        .filter_map(|(name, role)| {
            let user = observed.current_clone(name).unwrap_or(name);
            let password = &secrets.get(role.secret()?)?.password;
            can_check_password(observed, user).then_some(Candidate { name, user, password })
        })
        .collect();
    let all = |result: PasswordCheck| {
        candidates.iter().map(move |one| (one.name.clone(), result.clone())).collect()
    };
    tracing::info!("checking {}", counted(candidates.len(), "password"));
    match *verify {
        VerifyPasswords::Never => Ok(all(PasswordCheck::NotChecked)),
        VerifyPasswords::AlwaysSet => Ok(all(PasswordCheck::ToBeSet)),
        VerifyPasswords::Login if observed.administrator.superuser => {
            compare(admin_session, &candidates).await
        }
        // Only logins to the server itself show what it accepts.
        VerifyPasswords::Login if admin_session.is_pooled => Ok(all(pooled())),
        VerifyPasswords::Login => {
            let platform = Platform::of(observed);
            let check = async |Candidate { name, user, password }: Candidate<'a>| {
                let databases = login_databases(desired, observed, name);
                let target = admin.as_role(user.clone(), password.clone());
                let first = known.first.get(user);
                let result = log_in(&target, &databases, platform, first).await;
                (name.clone(), result.check(admin.server_identity(Some(admin_session))))
            };
            let check_all = async |candidates: Vec<Candidate<'a>>| {
                let number = admin.work(admin_session);
                stream::iter(candidates).map(&check).buffered(number).collect().await
            };
            let is_new = |one: &Candidate<'_>| {
                one.user == one.name
                    && created.contains(one.name)
                    && one.password.is_printable_ascii()
            };
            let is_accepted = |one: &Candidate<'_>| {
                one.user == one.name
                    && known.earlier.is_some_and(|look| look.is_accepted(observed, one.name))
            };
            let (accepted, candidates): (Vec<_>, Vec<_>) =
                candidates.into_iter().partition(is_accepted);
            let (new, mut checked): (Vec<_>, Vec<_>) = candidates.into_iter().partition(is_new);
            let mut new = new.into_iter();
            let first = new.next();
            checked.extend(first);
            let mut results: BTreeMap<RoleName, PasswordCheck> = check_all(checked).await;
            let first = first.and_then(|one| results.get(one.name));
            if first == Some(&PasswordCheck::Accepted) {
                results.extend(new.map(|one| (one.name.clone(), PasswordCheck::Accepted)));
            } else {
                results.extend(check_all(new.collect()).await);
            }
            results.extend(
                accepted.into_iter().map(|one| (one.name.clone(), PasswordCheck::Accepted)),
            );
            Ok(results)
        }
    }
}

/// Returns whether the authentication of a role shows if its password is correct.
///
/// After `VALID UNTIL`, PostgreSQL also rejects the correct password, and Amazon RDS rejects each password of
/// a member of `rds_iam`. A role without `LOGIN` is rejected after its authentication: so the plan that gives
/// it `LOGIN` also sets a wrong password, in the same transaction.
fn can_check_password(observed: &Observed, role: &RoleName) -> bool {
    let seen = observed.roles.get(role);
    seen.is_some_and(|seen| !seen.expired && !seen.uses_iam_auth())
}

/// Returns whether a role can log in if its password is correct.
pub(crate) fn can_log_in_with_password(observed: &Observed, role: &RoleName) -> bool {
    can_check_password(observed, role) && observed.roles.get(role).is_some_and(|seen| seen.login)
}

/// Returns the databases for the login of the role, in this order: one that it has declared access to, that
/// allows connections and that the administrator could read if it tried, and the administrator database.
///
/// The owner of the first one can prevent each login to it. The last one belongs to no application, and
/// shows the result also if the role may not connect to it.
pub(crate) fn login_databases(
    desired: &Desired,
    observed: &Observed,
    role: &RoleName,
) -> Vec<DatabaseName> {
    let declared = desired.databases.iter().find(|(name, entry)| {
        entry.access.contains_key(role)
            && observed
                .databases
                .get(name)
                .is_some_and(|seen| seen.allow_connections && seen.unreachable.is_none())
    });
    declared.map(|(name, _)| name).into_iter().chain([&observed.admin_database]).cloned().collect()
}

/// Returns the reason why a check is inconclusive if `pg_hba.conf` has the method `trust` or `cert`:
/// the server then accepts the role without any password.
fn password_not_requested(platform: Platform) -> String {
    let advice = match platform {
        Platform::Rds => "connect to the endpoint of the instance or cluster",
        Platform::Other => "use `scram-sha-256` in `pg_hba.conf` to have passwords verified",
    };
    format!("the server accepted the role without a password (`trust` or `cert`); {advice}")
}

/// Returns the result for a role behind a pooler, which verifies passwords with its own list.
pub(crate) fn pooled() -> PasswordCheck {
    let reason = "a connection pooler answers logins in place of the server; \
        connect to the server itself to have passwords verified";
    PasswordCheck::Inconclusive(reason.to_owned())
}

/// Logs in to the first of these databases that gives a result: to the last one only, if too many logins of
/// this run to databases of applications have no response. Without a result, returns the reason of the first.
///
/// A role can store a verifier for itself that is weak or that no login can use. If the server is proved to be
/// the expected one, its request shows such a verifier, and counts as a wrong password.
pub(crate) async fn login(
    target: &Endpoint,
    databases: &[DatabaseName],
    platform: Platform,
    identity: ServerIdentity,
) -> PasswordCheck {
    log_in(target, databases, platform, None).await.check(identity)
}

/// What the first login of a role has shown.
pub(super) struct FirstLogin {
    pub database: DatabaseName,
    pub result: LoginResult,
}

/// Like [`login`], but keeps apart why a result is not conclusive. Does not repeat the first login.
async fn log_in(
    target: &Endpoint,
    databases: &[DatabaseName],
    platform: Platform,
    known: Option<&FirstLogin>,
) -> LoginResult {
    let mut first = None;
    if let Some(FirstLogin { result, .. }) = known {
        match result {
            LoginResult::Inconclusive(reason) => first = Some(reason.clone()),
            result => return result.clone(),
        }
    }
    for (number, database) in databases.iter().enumerate() {
        if known.is_some_and(|known| known.database == *database) {
            continue;
        }
        let login = if number + 1 < databases.len() {
            let Some(login) = target.log_in_to_application(database).await else { continue };
            login
        } else {
            target.log_in(database).await
        };
        let result = match login {
            Ok(session) => {
                let result = of_session(&session, platform);
                session.end().await;
                result
            }
            Err(error) => rejected(&error, platform),
        };
        result.log(&target.user, database);
        match result {
            LoginResult::Inconclusive(reason) => {
                first.get_or_insert(reason);
            }
            result => return result,
        }
    }
    LoginResult::Inconclusive(first.unwrap_or_default())
}

/// What a login shows of a password.
#[derive(Clone)]
pub(super) enum LoginResult {
    Accepted,
    WrongPassword,
    /// The server asked for an answer that is not given, or failed before, because of what it has stored of the
    /// password, for this reason. Nothing was sent.
    WeakVerifier(String),
    Inconclusive(String),
}

impl LoginResult {
    fn check(self, identity: ServerIdentity) -> PasswordCheck {
        match self {
            Self::Accepted => PasswordCheck::Accepted,
            Self::WeakVerifier(_) if identity == ServerIdentity::Proved => {
                PasswordCheck::WrongPassword
            }
            Self::WrongPassword => PasswordCheck::WrongPassword,
            Self::WeakVerifier(reason) | Self::Inconclusive(reason) => {
                PasswordCheck::Inconclusive(reason)
            }
        }
    }

    /// Logs the result for a role in a database.
    pub fn log(&self, role: &RoleName, database: &DatabaseName) {
        let words = match self {
            Self::Accepted => "accepted",
            Self::WrongPassword => "rejected",
            Self::WeakVerifier(_) => "not answered, because of the stored verifier",
            Self::Inconclusive(_) => "without a result",
        };
        tracing::debug!("password of {role} in database {database}: {words}");
    }
}

/// Interprets a login that the server accepted.
pub(super) fn of_session(session: &Session, platform: Platform) -> LoginResult {
    if session.password_proved {
        LoginResult::Accepted
    } else {
        LoginResult::Inconclusive(password_not_requested(platform))
    }
}

/// Interprets a login that failed.
pub(super) fn rejected(error: &ConnectError, platform: Platform) -> LoginResult {
    let ConnectError::Rejected { code: Some(code), reason, cause, password_proved, .. } = error
    else {
        let hints = error.hints_on(platform).into_iter().map(|hint| format!("; {hint}"));
        let reason = std::iter::once(error.to_string()).chain(hints).collect();
        return match error {
            ConnectError::WeakAuthenticationRequested { .. } => LoginResult::WeakVerifier(reason),
            _ => LoginResult::Inconclusive(reason),
        };
    };
    if *password_proved {
        LoginResult::Accepted
    } else if *code == SqlState::INVALID_PASSWORD {
        LoginResult::WrongPassword
    } else {
        let advice = match cause {
            Some(RejectionCause::CertificateWithheld) => {
                "the client certificate belongs to the administrator, and is not used for another role"
            }
            Some(RejectionCause::CertificateRequired | RejectionCause::CertificateName)
                if platform == Platform::Rds =>
            {
                "connect to the endpoint of the instance or cluster, which requires no client certificate"
            }
            Some(RejectionCause::CertificateRequired | RejectionCause::CertificateName) => {
                "use `scram-sha-256` for the role in `pg_hba.conf`"
            }
            Some(RejectionCause::TlsRequired) => "connect with the TLS mode `verify-full`",
            Some(
                RejectionCause::NameNotResolved
                | RejectionCause::NoResponse
                | RejectionCause::NotPostgres
                | RejectionCause::RdsProxy
                | RejectionCause::PossiblyCertificateName,
            )
            | None => advice(code, reason, platform),
        };
        LoginResult::Inconclusive(format!("{reason}; {advice}"))
    }
}

/// Returns what to do if the server rejected the login before it checked the password.
fn advice(code: &SqlState, reason: &str, platform: Platform) -> &'static str {
    if *code == SqlState::TOO_MANY_CONNECTIONS {
        "run again when the server has free connections"
    } else if reason.contains("is not permitted to log in") {
        "run again: the role lost its LOGIN attribute during this run"
    } else if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION && platform == Platform::Rds {
        "check that the role is not a member of rds_iam or rds_ad, also not through another role, or \
         set `verify = \"never\"` in `[passwords]` of `rdsprov.toml`"
    } else if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
        "run from a host that `pg_hba.conf` allows for this role, or set `verify = \"never\"` in \
         `[passwords]` of `rdsprov.toml`"
    } else if *code == SqlState::CANNOT_CONNECT_NOW {
        "run again: the server is starting or stopping"
    } else {
        "run again, or set `verify = \"never\"` in `[passwords]` of `rdsprov.toml`"
    }
}

/// Compares the stored verifiers with the passwords. A stored value that is not a SCRAM verifier,
/// such as an MD5 hash, counts as a wrong password.
async fn compare(
    admin_session: &Session,
    candidates: &[Candidate<'_>],
) -> Result<BTreeMap<RoleName, PasswordCheck>, ObserveError> {
    let names: Vec<&str> = candidates.iter().map(|one| one.user.as_str()).collect();
    let snapshot = Snapshot::open(admin_session, "the stored verifiers").await?;
    let stored: BTreeMap<RoleName, Option<String>> = snapshot.query(VERIFIERS, &[&names]).await?;
    snapshot.close().await?;
    let is_correct = |user: &RoleName, password: &Password| {
        let verifier = stored.get(user)?.as_deref().and_then(Verifier::parse)?;
        verifier.matches(password).then_some(())
    };
    Ok(candidates
        .iter()
        .map(|one| {
            let result = is_correct(one.user, one.password)
                .map_or(PasswordCheck::WrongPassword, |()| PasswordCheck::Accepted);
            (one.name.clone(), result)
        })
        .collect())
}
