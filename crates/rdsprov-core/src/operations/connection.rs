//! The connection of the administrator: how it authenticates, and to which server.

use std::collections::BTreeMap;

use super::error::RunError;
use super::login_origin::{LoginOrigin, source_of};
use crate::config::StatementTimeout;
use crate::desired::Desired;
use crate::hint::Opt;
use crate::name::{DatabaseName, LOCK_DATABASE, RoleName};
use crate::plan::SecretFindings;
use crate::secret_id::{SecretId, Stage};
use crate::secrets::validate::{FetchedSecrets, lookup};
use crate::secrets::{Secret, SecretError, SecretSource, TokenSource};
use crate::server::Tls;
use crate::server::connect::{Credentials, Endpoint, Session};

/// The port that is used if neither the options nor the secret contain one.
const DEFAULT_PORT: u16 = 5432;

/// How the administrator authenticates.
#[non_exhaustive]
pub enum AdminCredentials {
    /// The secret contains the password and the role, and usually the host and the port.
    Secret(SecretId),
    /// IAM tokens for a role. The host must be in [`ConnectionOverrides`].
    Token {
        /// The role that logs in.
        user: RoleName,
        /// The AWS credentials and the region that sign the tokens.
        source: TokenSource,
    },
}

/// Values from the options that take precedence over those of the administrator's secret, and the limit
/// of the connection.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ConnectionOverrides {
    /// The host name or IP address of the server.
    pub host: Option<String>,
    /// The TCP port of the server.
    pub port: Option<u16>,
    /// The administrator database. By default it is `dbname` of the administrator's secret, or
    /// `postgres` if the secret has no such key or names the database of an application.
    pub database: Option<String>,
    /// How long a statement may take; by default an hour.
    pub statement_timeout: Option<StatementTimeout>,
}

/// A connection of the administrator, without the secrets of applications.
pub struct AdminConnection {
    pub(super) admin: Endpoint,
    pub(super) admin_session: Session,
    /// Where the address comes from.
    pub(super) origin: LoginOrigin,
}

impl AdminConnection {
    /// Fetches the administrator's secret only, and connects. The desired state says which databases
    /// belong to applications.
    ///
    /// # Errors
    /// Returns a [`RunError`] if the secret cannot be read or the connection fails.
    pub async fn open(
        desired: &Desired,
        source: &SecretSource,
        login: AdminCredentials,
        overrides: ConnectionOverrides,
        tls: Tls,
    ) -> Result<Self, RunError> {
        let ids = match &login {
            AdminCredentials::Secret(id) => BTreeMap::from([(id.clone(), Stage::Current)]),
            AdminCredentials::Token { .. } => BTreeMap::new(),
        };
        let fetched = source.fetch(&ids).await?;
        Self::connect(desired, login, overrides, tls, &fetched, &SecretFindings::default()).await
    }

    pub(super) async fn connect(
        desired: &Desired,
        login: AdminCredentials,
        overrides: ConnectionOverrides,
        tls: Tls,
        fetched: &FetchedSecrets,
        findings: &SecretFindings,
    ) -> Result<Self, RunError> {
        let ConnectionOverrides { host, port, database, .. } = &overrides;
        let statement_timeout = overrides.statement_timeout.unwrap_or_default();
        let given = (host.is_some(), port.is_some(), database.is_some());
        let secret = match &login {
            AdminCredentials::Secret(id) => fetched.get(id).and_then(|one| one.as_ref().ok()),
            AdminCredentials::Token { .. } => None,
        };
        let has = |value: fn(&Secret) -> bool| secret.is_some_and(value);
        let id = secret.map(|secret| &secret.id);
        // RDS writes the initial database of the server into the secret of the master user, and the
        // initial database often belongs to an application. `postgres` always exists on RDS.
        let is_usable = |dbname: &String| !desired.is_database_of_application(dbname);
        let dbname = secret.and_then(|one| one.dbname.clone()).filter(is_usable);
        let origin = LoginOrigin {
            host: source_of((Opt::Host, given.0), id, has(|one| one.host.is_some())),
            port: source_of((Opt::Port, given.1), id, has(|one| one.port.is_some())),
            database: source_of((Opt::Dbname, given.2), id, dbname.is_some()),
            secret: secret.map(|secret| (secret.id.clone(), secret.version.clone())),
        };
        let admin = match login {
            AdminCredentials::Secret(id) => {
                let administrator = administrator(&id, fetched, findings)?;
                let incomplete = |key| RunError::AdminSecretIncomplete { id: id.clone(), key };
                let host = overrides.host.or(administrator.host);
                let user = administrator.username;
                Endpoint {
                    host: host.ok_or_else(|| incomplete("host"))?,
                    port: overrides.port.or(administrator.port).unwrap_or(DEFAULT_PORT),
                    user: RoleName::new_unchecked(user.ok_or_else(|| incomplete("username"))?),
                    credentials: Credentials::Password(administrator.password),
                    tls,
                    statement_timeout,
                }
            }
            AdminCredentials::Token { user, source } => Endpoint {
                host: overrides.host.ok_or(RunError::NoHost)?,
                port: overrides.port.unwrap_or(DEFAULT_PORT),
                user,
                credentials: Credentials::Token(source),
                tls,
                statement_timeout,
            },
        };
        let database = overrides.database.or(dbname).map_or_else(
            || DatabaseName::new_unchecked(LOCK_DATABASE),
            DatabaseName::new_unchecked,
        );
        match admin.connect(&database).await {
            Ok(admin_session) => Ok(Self { admin, admin_session, origin }),
            Err(error) => Err(RunError::AdminLogin { error, origin: Box::new(origin) }),
        }
    }

    /// Returns the server as `host:port`.
    #[must_use]
    pub fn server(&self) -> String {
        format!("{}:{}", self.admin.host, self.admin.port)
    }
}

/// Returns the administrator's secret. If it is not available, the error also contains all problems
/// of the other secrets.
fn administrator(
    id: &SecretId,
    fetched: &FetchedSecrets,
    findings: &SecretFindings,
) -> Result<Secret, RunError> {
    lookup(fetched, id).map_err(|error| RunError::AdminSecret {
        error: Box::new(error),
        others: findings.refusals.clone(),
        none_exists: !findings.refusals.is_empty() && fetched.values().all(is_missing_in_region),
    })
}

fn is_missing_in_region(fetched: &Result<Secret, SecretError>) -> bool {
    matches!(fetched, Err(SecretError::Missing { region: Some(_), .. }))
}
