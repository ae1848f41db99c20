//! The connection of the administrator: how it authenticates, and to which server.

use std::collections::BTreeMap;

use super::error::RunError;
use super::login_origin::{LoginOrigin, source_of};
use crate::config::{
    ConnectTimeout, ConnectTo, MaxConnections, ObservationTimeout, StatementTimeout,
};
use crate::desired::Desired;
use crate::hint::Opt;
use crate::name::{DatabaseName, LOCK_DATABASE, RoleName};
use crate::plan::SecretFindings;
use crate::run_setting::ValueSource;
use crate::secret_id::{SecretId, Stage};
use crate::secrets::validate::{FetchedSecrets, lookup};
use crate::secrets::{
    DatabaseEndpoint, Secret, SecretError, SecretSource, TokenSource, UnknownEndpoint,
};
use crate::server::connect::{Credentials, Endpoint, Session};
use crate::server::{OnServerWait, ServerWait, SilentLogins, Tls, WaitReason};

/// The port that is used if neither the options nor the secret contain one.
pub(super) const DEFAULT_PORT: u16 = 5432;

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

/// Values from the options that take precedence over those of the administrator's secret, and the limits
/// of the connections.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ConnectionOverrides {
    /// The host name or IP address of the server.
    pub host: Option<String>,
    /// The TCP port of the server.
    pub port: Option<u16>,
    /// The administrator database. By default it is `dbname` of the administrator's secret, or
    /// `postgres` if the secret has no such key or names a database of an application, of a role that is
    /// not an administrator, or that does not accept the login.
    pub database: Option<String>,
    /// The address to which connections go instead of the host, such as that of a tunnel. TLS and IAM
    /// tokens use the host.
    pub connect_to: Option<ConnectTo>,
    /// The address in `rdsprov.toml`, with the path of the file.
    pub(crate) configured_connect_to: Option<(ConnectTo, String)>,
    /// The endpoint that the API of RDS returned for the administrator's secret.
    found: Option<DatabaseEndpoint>,
    /// How long a connection may take; by default a minute.
    pub connect_timeout: Option<ConnectTimeout>,
    /// How long a statement may take; by default an hour.
    pub statement_timeout: Option<StatementTimeout>,
    /// How long the observation of one database may take; by default two minutes.
    pub observation_timeout: Option<ObservationTimeout>,
    /// How many connections the run has at the same time, at most; by default 11.
    pub max_connections: Option<MaxConnections>,
    /// Called if the first connection takes longer than 5 seconds, or if the run waits for a writer.
    pub on_wait: OnServerWait,
}

impl ConnectionOverrides {
    /// Returns the address to which connections go instead of the host, with the place that sets it.
    pub(super) fn address(&self, secret: Option<&Secret>) -> Option<(ConnectTo, ValueSource)> {
        let given = self.connect_to.clone().map(|to| (to, ValueSource::Option(Opt::ConnectTo)));
        let configured = || {
            let (to, path) = self.configured_connect_to.clone()?;
            Some((to, ValueSource::ConfigFile(path)))
        };
        let of_secret =
            || Some((secret?.connect_to.clone()?, ValueSource::Secret(secret?.id.clone())));
        given.or_else(configured).or_else(of_secret)
    }
}

/// A connection of the administrator, without the secrets of applications.
pub struct AdminConnection {
    pub(super) admin: Endpoint,
    pub(super) admin_session: Session,
    /// The administrator database.
    pub(super) database: DatabaseName,
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
        let findings = SecretFindings::default();
        Self::connect(desired, source, &login, &overrides, &tls, &fetched, &findings).await
    }

    /// Connects with the fetched secrets. If the server rejects the password of the administrator, the
    /// secret is fetched once more: a rotation may have ended in the meantime.
    pub(super) async fn connect(
        desired: &Desired,
        source: &SecretSource,
        login: &AdminCredentials,
        overrides: &ConnectionOverrides,
        tls: &Tls,
        fetched: &FetchedSecrets,
        findings: &SecretFindings,
    ) -> Result<Self, RunError> {
        let mut result = Self::log_in(desired, login, overrides, tls, fetched, findings).await;
        let found;
        let mut overrides = overrides;
        if let Err(RunError::AdminSecretIncomplete { id, key: "host" }) = &result
            && id.is_managed_by_rds()
        {
            let endpoint =
                source.endpoint(id).await.map_err(|UnknownEndpoint { owner, reason }| {
                    RunError::ManagedSecretWithoutHost { id: id.clone(), owner, reason }
                })?;
            found = ConnectionOverrides { found: Some(endpoint), ..overrides.clone() };
            overrides = &found;
            result = Self::log_in(desired, login, overrides, tls, fetched, findings).await;
        }
        let rejected = match result {
            Err(error) if error.is_rejected_login() => error,
            result => return result,
        };
        let AdminCredentials::Secret(id) = login else { return Err(rejected) };
        // The source of an embedding program is called only once for each secret.
        if matches!(source, SecretSource::Own(_)) {
            return Err(rejected);
        }
        // If this fails, the rejected login remains the reason.
        let Ok(again) = source.fetch(&BTreeMap::from([(id.clone(), Stage::Current)])).await else {
            return Err(rejected);
        };
        match (fetched.get(id), again.get(id)) {
            (Some(Ok(before)), Some(Ok(now))) if !now.password.is_same(&before.password) => {
                Self::log_in(desired, login, overrides, tls, &again, findings).await
            }
            _ => Err(rejected),
        }
    }

    async fn log_in(
        desired: &Desired,
        login: &AdminCredentials,
        overrides: &ConnectionOverrides,
        tls: &Tls,
        fetched: &FetchedSecrets,
        findings: &SecretFindings,
    ) -> Result<Self, RunError> {
        let ConnectionOverrides { host, port, database, found, .. } = overrides;
        let found = found.as_ref();
        let owner = found.map(|found| &found.owner);
        let owner_of_port = owner.filter(|_| found.is_some_and(|found| found.port.is_some()));
        let statement_timeout = overrides.statement_timeout.unwrap_or_default();
        let observation_timeout = overrides.observation_timeout.unwrap_or_default();
        let connect_timeout = overrides.connect_timeout.unwrap_or_default();
        let max_connections = overrides.max_connections.unwrap_or_default();
        let given = (host.is_some(), port.is_some(), database.is_some());
        let secret = match login {
            AdminCredentials::Secret(id) => fetched.get(id).and_then(|one| one.as_ref().ok()),
            AdminCredentials::Token { .. } => None,
        };
        let has = |value: fn(&Secret) -> bool| secret.is_some_and(value);
        let id = secret.map(|secret| &secret.id);
        // RDS writes the initial database of the server into the secret of the master user, and the
        // initial database often belongs to an application. `postgres` always exists on RDS.
        let is_usable = |dbname: &String| !desired.is_database_of_application(dbname);
        let (connect_to, connect_to_source) = overrides.address(secret).unzip();
        let dbname = secret.and_then(|one| one.dbname.clone()).filter(is_usable);
        let mut origin = LoginOrigin {
            host: source_of((Opt::Host, given.0), id, has(|one| one.host.is_some()), owner),
            port: source_of((Opt::Port, given.1), id, has(|one| one.port.is_some()), owner_of_port),
            connect_to: connect_to_source,
            database: source_of((Opt::Dbname, given.2), id, dbname.is_some(), None),
            secret: secret.map(|secret| (secret.id.clone(), secret.version.clone())),
        };
        let admin = match login {
            AdminCredentials::Secret(id) => {
                let administrator = administrator(id, fetched, findings)?;
                let incomplete = |key| RunError::AdminSecretIncomplete { id: id.clone(), key };
                let found_host = found.map(|found| found.host.clone());
                let found_port = found.and_then(|found| found.port);
                let host = host.clone().or(administrator.host).or(found_host);
                let user = administrator.username;
                Endpoint {
                    host: host.ok_or_else(|| incomplete("host"))?,
                    port: port.or(administrator.port).or(found_port).unwrap_or(DEFAULT_PORT),
                    user: RoleName::new_unchecked(user.ok_or_else(|| incomplete("username"))?),
                    credentials: Credentials::Password(administrator.password),
                    tls: tls.clone(),
                    connect_to,
                    connect_timeout,
                    statement_timeout,
                    observation_timeout,
                    max_connections,
                    silent_logins: SilentLogins::new(overrides.on_wait.clone()),
                }
            }
            AdminCredentials::Token { user, source } => Endpoint {
                host: host.clone().ok_or(RunError::NoHost)?,
                port: port.unwrap_or(DEFAULT_PORT),
                user: user.clone(),
                credentials: Credentials::Token(source.clone()),
                tls: tls.clone(),
                connect_to,
                connect_timeout,
                statement_timeout,
                observation_timeout,
                max_connections,
                silent_logins: SilentLogins::new(overrides.on_wait.clone()),
            },
        };
        let usual = DatabaseName::new_unchecked(LOCK_DATABASE);
        let initial = dbname.map(DatabaseName::new_unchecked).filter(|name| *name != usual);
        let initial = initial.filter(|_| database.is_none());
        let database = database.clone().map_or(usual, DatabaseName::new_unchecked);
        let wait = ServerWait {
            server: format!("{}:{}", admin.host, admin.port),
            timeout: connect_timeout,
            reason: WaitReason::NoResponse,
        };
        let connected = async {
            if let Credentials::Token(source) = &admin.credentials {
                // Until then, the run does not wait for the server.
                source.load().await?;
            }
            let connecting = async {
                match &initial {
                    Some(initial) => admin.connect_to_initial(initial, &database).await,
                    None => Ok((admin.connect(&database).await?, database.clone())),
                }
            };
            overrides.on_wait.during(&wait, connecting).await
        };
        match connected.await {
            Ok((admin_session, database)) => {
                if initial.is_some_and(|initial| initial != database) {
                    origin.database = source_of((Opt::Dbname, false), id, false, None);
                }
                Ok(Self { admin, admin_session, database, origin })
            }
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
pub(super) fn administrator(
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
