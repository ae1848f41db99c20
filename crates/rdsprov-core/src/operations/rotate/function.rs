//! The rotation function of Secrets Manager: executes one of four steps, each in an invocation of its
//! own.
//!
//! Secrets Manager repeats a step that has failed, and can invoke one twice. So each step first finds
//! out what is already done. The secret alone says what to change: a role that sets its own password,
//! or, with `masterarn`, the other one of a role and its clone, whose password the role of the master
//! secret sets.
//!
//! The users that can write the secret of an application are not administrators. So with `masterarn`, all
//! logins of a rotation go to the server to which the role of the master secret logs in, and neither the role
//! nor its clone may be an administrator.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::function_error::RotationStepError as Error;
use super::steps::{NewVersion, StepFailure, create_pending, make_current, new_password_accepted};
use crate::blue_green::{in_progress, not_known_fact};
use crate::config::{
    ConnectTimeout, ConnectTo, MaxConnections, ObservationTimeout, StatementTimeout,
};
use crate::error_code::ErrorCode;
use crate::marker::Marker;
use crate::name::{DatabaseName, LOCK_DATABASE, RoleName, literal};
use crate::named_enum::named_enum;
use crate::observed::PasswordCheck;
use crate::operations::connection::DEFAULT_PORT;
use crate::plan::rotation::PasswordChange;
use crate::plan::{Plan, PrivilegedAttribute, RoleIdentity};
use crate::rotation_clone::RotationClone;
use crate::secret_id::SecretId;
use crate::secrets::scram::accepted_iterations;
use crate::secrets::{Described, Secret, SecretError, SecretsManager, Version, VersionsError};
use crate::server::apply::apply;
use crate::server::connect::{Credentials, Endpoint, Session};
use crate::server::lock::{Lock, LockError, LockOptions, lock};
use crate::server::slots::RunSlots;
use crate::server::{ExecuteOptions, Platform, SilentLogins, Tls, blue_green, password_check};
use crate::site_policy::SitePolicy;
use crate::text::visible;

named_enum! {
    /// A step of a rotation, as Secrets Manager requests it.
    "camelCase" pub enum RotationStep {
        /// Creates the pending version, with a new password.
        CreateSecret,
        /// Sets this password on the server.
        SetSecret,
        /// Logs in with it.
        TestSecret,
        /// Makes the pending version the current one.
        FinishSecret,
    }
}

/// What a step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepEffect {
    /// The step has changed or tested something.
    Done,
    /// An earlier invocation has done the step.
    AlreadyDone,
}

const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";
const PREVIOUS: &str = "AWSPREVIOUS";

/// How long a step waits for the lock of the server: an invocation has little time.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// Executes steps of rotations.
pub struct RotationFunction {
    pub(crate) manager: SecretsManager,
    pub(crate) tls: Tls,
    pub(crate) connect_to: Option<ConnectTo>,
    pub(crate) connect_timeout: ConnectTimeout,
    pub(crate) statement_timeout: StatementTimeout,
    /// The minimum length of new passwords.
    pub(crate) minimum_length: usize,
    /// What the owners of the site require.
    pub(crate) site: SitePolicy,
}

impl RotationFunction {
    /// Executes a step of the rotation of a secret. `version` is the id of the pending version, which
    /// Secrets Manager has chosen.
    ///
    /// # Errors
    /// Returns a [`RotationStepError`](super::RotationStepError) if Secrets Manager has not started
    /// this rotation, or if the step fails. Secrets Manager then repeats the rotation.
    pub async fn execute(
        &self,
        step: RotationStep,
        id: &SecretId,
        version: &str,
    ) -> Result<StepEffect, Error> {
        let described = self.manager.describe(id).await?;
        if described.rotation_enabled != Some(true) {
            return Err(Error::NotEnabled { id: id.clone() });
        }
        if described.has_stage(version, CURRENT) {
            return Ok(StepEffect::AlreadyDone);
        }
        if !described.has_stage(version, PENDING) {
            return Err(Error::NotPending { id: id.clone(), version: version.to_owned() });
        }
        let current_id = described.version_at(CURRENT);
        let current_id = current_id.ok_or_else(|| SecretError::NoValue { id: id.clone() })?;
        let rotation = Rotation { function: self, id, described: &described, current_id, version };
        match step {
            RotationStep::CreateSecret => rotation.create().await,
            RotationStep::SetSecret => rotation.set().await,
            RotationStep::TestSecret => rotation.test().await,
            RotationStep::FinishSecret => rotation.finish().await,
        }
    }
}

/// The rotation that a step belongs to.
struct Rotation<'a> {
    function: &'a RotationFunction,
    id: &'a SecretId,
    described: &'a Described,
    current_id: &'a str,
    /// The id of the pending version.
    version: &'a str,
}

/// A version of a secret with what a login requires.
struct Login {
    secret: Secret,
    role: RoleName,
    host: String,
    port: u16,
    /// The address to which the connections go instead of the host. It is that of the master secret, and
    /// never that of the secret of an application.
    connect_to: Option<ConnectTo>,
}

/// The versions of a rotation, which are checked against each other.
struct Versions {
    pending: Login,
    current: Login,
    alternation: Option<Alternation>,
}

/// The rotation of a role and its clone.
struct Alternation {
    /// The role whose password does not change.
    other: RoleName,
    master: Login,
}

impl Login {
    fn new(secret: Secret) -> Result<Self, Error> {
        let missing = |key| Error::Incomplete { id: secret.id.clone(), key };
        let role = secret.username.clone().ok_or_else(|| missing("username"))?;
        let host = secret.host.clone().ok_or_else(|| missing("host"))?;
        let port = secret.port.unwrap_or(DEFAULT_PORT);
        Ok(Self { role: RoleName::new_unchecked(role), host, port, connect_to: None, secret })
    }

    fn server(&self) -> String {
        format!("{}:{}", self.host.to_ascii_lowercase(), self.port)
    }

    /// Returns the databases for a login: the one in the secret, and one that always exists.
    fn databases(&self) -> Vec<DatabaseName> {
        let own = self.secret.dbname.as_deref().filter(|name| *name != LOCK_DATABASE);
        own.into_iter().chain([LOCK_DATABASE]).map(DatabaseName::new_unchecked).collect()
    }

    /// Checks that a version is for a role, on the server of the current version.
    fn check(&self, role: &RoleName, current: &Self) -> Result<(), Error> {
        let id = self.secret.id.clone();
        if self.role != *role {
            let version = self.secret.version.clone().unwrap_or_default();
            let (found, expected) = (self.role.clone(), role.clone());
            return Err(Error::OtherRole { id, version, found, expected });
        }
        self.check_server(current)
    }

    fn check_server(&self, current: &Self) -> Result<(), Error> {
        let (found, expected) = (self.server(), current.server());
        if found == expected {
            return Ok(());
        }
        let (id, other) = (self.secret.id.clone(), current.secret.id.clone());
        Err(Error::OtherServer { id, other, found, expected })
    }
}

impl Rotation<'_> {
    async fn version(&self, version: &str) -> Result<Version, VersionsError> {
        self.function.manager.version(self.id, version).await
    }

    /// Returns the role whose password the rotation changes, and the role of which it is the clone or
    /// that is its clone, if it alternates between both.
    fn roles(&self, current: &Login) -> Result<(RoleName, Option<RoleName>), Error> {
        if current.secret.master_secret.is_none() {
            return Ok((current.role.clone(), None));
        }
        if RoleName::new(current.role.as_str()).is_err() {
            return Err(self.administrator(&current.role));
        }
        let no_clone = || Error::NoClone { id: self.id.clone(), role: current.role.clone() };
        let next = RotationClone::other(&current.role).ok_or_else(no_clone)?;
        Ok((next, Some(current.role.clone())))
    }

    async fn create(&self) -> Result<StepEffect, Error> {
        match self.version(self.version).await {
            Ok(_) => return Ok(StepEffect::AlreadyDone),
            // Until this step, the version has no content.
            Err(VersionsError::Secret(
                SecretError::NoValue { .. } | SecretError::Missing { .. },
            )) => {}
            Err(error) => return Err(error.into()),
        }
        let current = self.version(self.current_id).await?;
        let (role, other) = self.roles(&Login::new(current.secret.clone())?)?;
        let username = other.is_some().then_some(&role);
        let new = NewVersion { id: self.version, username };
        let RotationFunction { manager, minimum_length, .. } = self.function;
        create_pending(manager, &current, *minimum_length, Some(new)).await?;
        Ok(StepEffect::Done)
    }

    /// Returns the pending and the current version, after checking that both are for this rotation, and
    /// what an alternating rotation needs in addition.
    async fn versions(&self) -> Result<Versions, Error> {
        let mut pending = Login::new(self.version(self.version).await?.secret)?;
        let mut current = Login::new(self.version(self.current_id).await?.secret)?;
        let (role, other) = self.roles(&current)?;
        pending.check(&role, &current)?;
        let Some(other) = other else {
            return Ok(Versions { pending, current, alternation: None });
        };
        let master = self.master(&current).await?;
        pending.connect_to.clone_from(&master.connect_to);
        current.connect_to.clone_from(&master.connect_to);
        Ok(Versions { pending, current, alternation: Some(Alternation { other, master }) })
    }

    async fn set(&self) -> Result<StepEffect, Error> {
        let Versions { pending, current, alternation } = self.versions().await?;
        if self.log_in(&pending).await == PasswordCheck::Accepted {
            return Ok(StepEffect::AlreadyDone);
        }
        match alternation {
            None => self.set_own(&pending, current).await,
            Some(alternation) => self.set_as_master(&pending, &current, alternation).await,
        }?;
        Ok(StepEffect::Done)
    }

    async fn test(&self) -> Result<StepEffect, Error> {
        let Versions { pending, .. } = self.versions().await?;
        let result = self.log_in(&pending).await;
        new_password_accepted(&pending.role, result)?;
        Ok(StepEffect::Done)
    }

    /// Makes the pending version the current one, if the server accepts its password: an invocation does not
    /// show that the other steps were executed.
    async fn finish(&self) -> Result<StepEffect, Error> {
        self.test().await?;
        let manager = &self.function.manager;
        make_current(manager, self.id, self.current_id, self.version).await?;
        Ok(StepEffect::Done)
    }

    /// Has the role set its own password, after a login with the current version or the previous one.
    async fn set_own(&self, pending: &Login, current: Login) -> Result<(), Error> {
        let mut logins = vec![current];
        if let Some(previous) = self.described.version_at(PREVIOUS)
            && let Ok(version) = self.version(previous).await
            && let Ok(previous) = Login::new(version.secret)
            && previous.check(&pending.role, &logins[0]).is_ok()
        {
            logins.push(previous);
        }
        for login in &logins {
            match self.log_in(login).await {
                PasswordCheck::Accepted => {
                    let session = self.connect(login).await?;
                    return self
                        .change(pending, None, None, login, Lock::without_lock(session))
                        .await;
                }
                PasswordCheck::Inconclusive(reason) => {
                    return Err(self.inconclusive(login, &reason));
                }
                PasswordCheck::WrongPassword
                | PasswordCheck::NotChecked
                | PasswordCheck::ToBeSet => {}
            }
        }
        Err(Error::NoPasswordAccepted { id: self.id.clone(), role: pending.role.clone() })
    }

    /// Has the role of the master secret set the password of the clone, or of the role of which the
    /// other one is the clone. The current version must log in: whoever has written it knows the
    /// password of the other role.
    async fn set_as_master(
        &self,
        pending: &Login,
        current: &Login,
        Alternation { other, master }: Alternation,
    ) -> Result<(), Error> {
        match self.log_in(current).await {
            PasswordCheck::Accepted => {}
            PasswordCheck::Inconclusive(reason) => return Err(self.inconclusive(current, &reason)),
            PasswordCheck::WrongPassword | PasswordCheck::NotChecked | PasswordCheck::ToBeSet => {
                let (id, role) = (self.id.clone(), current.role.clone());
                return Err(Error::NoPasswordAccepted { id, role });
            }
        }
        let session = self.connect(&master).await?;
        let options = LockOptions {
            timeout: LOCK_TIMEOUT,
            label: format!("rotation of {}", self.id),
            ..LockOptions::default()
        };
        let lock = lock(session, &options).await.map_err(|error| match error {
            LockError::Timeout(_) => Error::Locked { server: master.server() },
            LockError::Server(reason) => StepFailure::from(reason).into(),
        })?;
        let role = &pending.role;
        let failed = |error| failed(&lock.session, &error);
        for role in [role, &other] {
            if is_administrator(&lock.session, role).await.map_err(failed)? {
                return Err(self.administrator(role));
            }
        }
        let identity = identity(&lock.session, role).await.map_err(failed)?;
        let is_clone = RotationClone::name_for(&other).as_ref() == Some(role);
        let (clone, of) = if is_clone { (role, &other) } else { (&other, role) };
        let clone_of = match &identity {
            None if is_clone => Some(other.clone()),
            None => return Err(Error::NoRole { role: role.clone() }),
            Some(_) if !is_member(&lock.session, clone, of).await.map_err(failed)? => {
                return Err(Error::NotAClone { role: clone.clone(), of: of.clone() });
            }
            // The planner of the other application manages it.
            Some(_) if is_clone && is_managed(&lock.session, role).await.map_err(failed)? => {
                return Err(Error::NotAClone { role: clone.clone(), of: of.clone() });
            }
            Some(_) => None,
        };
        self.change(pending, clone_of, identity, &master, lock).await
    }

    /// Returns the master secret, whose server is that of the current version. A secret that RDS
    /// manages contains no host: RDS knows it. A user that can write the secret of an application must not
    /// decide to which server the master user logs in.
    async fn master(&self, current: &Login) -> Result<Login, Error> {
        let id = SecretId(current.secret.master_secret.clone().unwrap_or_default());
        self.function.site.check_master_secret(&id, self.id)?;
        let mut secret = self.function.manager.current_version(&id).await?.secret;
        if secret.host.is_none() && id.is_managed_by_rds() {
            let endpoint = self.function.manager.endpoint(&id).await;
            let endpoint = endpoint.map_err(|error| {
                let reason = error
                    .reason
                    .unwrap_or_else(|| "its tags name no DB instance or cluster".to_owned());
                Error::NoEndpoint { id, reason }
            })?;
            secret.host = Some(endpoint.host);
            secret.port = endpoint.port;
        }
        // The initial database of the server can belong to an application.
        secret.dbname = None;
        let connect_to = secret.connect_to.take();
        let master = Login { connect_to, ..Login::new(secret)? };
        master.check_server(current)?;
        Ok(master)
    }

    /// Sets the password of the pending version, or creates the role with it.
    async fn change(
        &self,
        pending: &Login,
        clone_of: Option<RoleName>,
        identity: Option<RoleIdentity>,
        executor: &Login,
        lock: Lock,
    ) -> Result<(), Error> {
        let session = &lock.session;
        self.check_blue_green(session, executor).await?;
        session.limit_lock_waits().await.map_err(|error| failed(session, &error))?;
        let (server_major, iterations) =
            server_values(session).await.map_err(|error| failed(session, &error))?;
        let plan = Plan::for_password(&PasswordChange {
            role: pending.role.clone(),
            clone_of,
            executor: executor.role.clone(),
            identity,
            secret: self.id.clone(),
            server_major,
        });
        let secrets = BTreeMap::from([(self.id.clone(), pending.secret.clone())]);
        let slots = RunSlots::new(&secrets, "", iterations);
        let options = ExecuteOptions::default();
        let endpoint = self.endpoint(executor);
        let outcome = apply(&plan, &endpoint, &[], &lock, &slots, None, &options).await;
        StepFailure::of(outcome).map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Refuses the change while the server is in a blue/green deployment, as the planner does. If the
    /// server does not report its deployment, the log says so.
    async fn check_blue_green(&self, session: &Session, executor: &Login) -> Result<(), Error> {
        const QUERY: &str = "SELECT pg_catalog.current_database()";
        let database = session.ask(QUERY).await.map_err(|error| failed(session, &error))?;
        let database = DatabaseName::new_unchecked(database.unwrap_or_default());
        let nodes = blue_green::nodes(&self.endpoint(executor), session, &database).await;
        let nodes = nodes.map_err(|error| StepFailure::from(error.to_string()))?;
        match nodes.as_deref().map(in_progress) {
            Ok(statuses) if statuses.is_empty() => Ok(()),
            Ok(statuses) => {
                let statuses = statuses.into_iter().map(str::to_owned).collect();
                Err(Error::BlueGreenInProgress { statuses })
            }
            Err(reason) => {
                tracing::warn!("{}", visible(&not_known_fact(reason)));
                Ok(())
            }
        }
    }

    fn administrator(&self, role: &RoleName) -> Error {
        Error::Administrator { id: self.id.clone(), role: role.clone() }
    }

    fn inconclusive(&self, login: &Login, reason: &str) -> Error {
        let version = login.secret.version.as_deref().unwrap_or_default();
        let role = &login.role;
        StepFailure::from(format!(
            "role {role} cannot log in with version {version} of secret {}: {reason}",
            self.id
        ))
        .into()
    }

    fn endpoint(&self, login: &Login) -> Endpoint {
        let function = self.function;
        let endpoint = Endpoint {
            host: login.host.clone(),
            port: login.port,
            user: login.role.clone(),
            credentials: Credentials::Password(login.secret.password.clone()),
            tls: function.tls.clone(),
            connect_to: function.connect_to.clone().or(login.connect_to.clone()),
            connect_timeout: function.connect_timeout,
            statement_timeout: function.statement_timeout,
            // A rotation does not observe the server.
            observation_timeout: ObservationTimeout::default(),
            max_connections: MaxConnections::default(),
            silent_logins: SilentLogins::default(),
        };
        // The first connection of the invocation can wait for a server that resumes.
        let without_certificate =
            endpoint.as_role(login.role.clone(), login.secret.password.clone());
        Endpoint { connect_timeout: function.connect_timeout, ..without_certificate }
    }

    async fn log_in(&self, login: &Login) -> PasswordCheck {
        let endpoint = self.endpoint(login);
        let identity = endpoint.server_identity(None);
        password_check::login(&endpoint, &login.databases(), Platform::Rds, identity).await
    }

    /// Connects as the role of a secret, to a server that accepts changes.
    async fn connect(&self, login: &Login) -> Result<Session, Error> {
        let endpoint = self.endpoint(login);
        let mut first = None;
        for database in login.databases() {
            match endpoint.connect(&database).await {
                Ok(session) if session.in_recovery => return Err(endpoint.read_only().into()),
                // A pooler checks passwords itself, so that no login proves anything.
                Ok(session) if session.is_pooled => return Err(pooled()),
                Ok(session) => return Ok(session),
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.map_or_else(|| Error::NoRole { role: login.role.clone() }, Error::Connect))
    }
}

/// Returns the failure of a query.
fn failed(session: &Session, error: &tokio_postgres::Error) -> Error {
    StepFailure::from(session.describe(error)).into()
}

fn pooled() -> Error {
    let message = "a connection pooler answers in place of the server".to_owned();
    let hint = Some("write the host and the port of the server itself into the secret".into());
    Error::Failed { message, hint, code: ErrorCode::PooledConnection }
}

/// Returns the OID and the privileged attributes of a role, or `None` if it does not exist.
async fn identity(
    session: &Session,
    role: &RoleName,
) -> Result<Option<RoleIdentity>, tokio_postgres::Error> {
    let query = format!(
        "SELECT oid || ' ' || rolsuper || ' ' || rolcreaterole || ' ' || rolreplication || ' ' || \
         rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = {}",
        literal(role.as_str())
    );
    let row = session.ask(&query).await?;
    Ok(row.map(|row| {
        let mut values = row.split(' ');
        let oid = values.next().and_then(|oid| oid.parse().ok());
        let attributes = [
            PrivilegedAttribute::Superuser,
            PrivilegedAttribute::CreateRole,
            PrivilegedAttribute::Replication,
            PrivilegedAttribute::BypassRls,
        ];
        let held = attributes.into_iter().zip(values).filter(|(_, value)| *value == "true");
        RoleIdentity { oid, attributes: held.map(|(attribute, _)| attribute).collect() }
    }))
}

/// A condition on the role `r`: it is an administrator, or can become one.
const IS_ADMINISTRATOR: &str = "EXISTS (SELECT FROM pg_catalog.pg_roles a \
    WHERE pg_catalog.pg_has_role(r.oid, a.oid, 'MEMBER') \
    AND (a.rolsuper OR a.rolcreaterole OR a.rolname IN ('rds_superuser', session_user)))";

/// Returns whether a role is an administrator, or can become one: the secret of an application must not
/// lead to the privileges of such a role.
async fn is_administrator(
    session: &Session,
    role: &RoleName,
) -> Result<bool, tokio_postgres::Error> {
    let query = format!(
        "SELECT {IS_ADMINISTRATOR} FROM pg_catalog.pg_roles r WHERE r.rolname = {}",
        literal(role.as_str())
    );
    Ok(session.ask(&query).await?.as_deref() == Some("t"))
}

/// A condition on the grantor `r` of a membership of the role `c`: it administers this role, or can become a
/// role that does. From PostgreSQL 16 on, `CREATEROLE` alone gives no power over the member.
const ADMINISTERS_MEMBER: &str = "EXISTS (SELECT FROM pg_catalog.pg_roles a \
    WHERE pg_catalog.pg_has_role(r.oid, a.oid, 'MEMBER') \
    AND (a.rolsuper OR a.rolname IN ('rds_superuser', session_user) OR a.rolcreaterole \
    AND (pg_catalog.current_setting('server_version_num')::int < 160000 OR EXISTS ( \
    SELECT FROM pg_catalog.pg_auth_members o \
    WHERE o.roleid = c.oid AND o.member = a.oid AND o.admin_option))))";

/// Returns whether an administrator has made a role the member of another one, as rotations do: before
/// PostgreSQL 15, a role can make any other role its member. A grantor that was dropped, which is possible
/// before PostgreSQL 16, proves nothing.
async fn is_member(
    session: &Session,
    member: &RoleName,
    of: &RoleName,
) -> Result<bool, tokio_postgres::Error> {
    let query = format!(
        "SELECT count(*) FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g \
         ON g.oid = m.roleid JOIN pg_catalog.pg_roles c ON c.oid = m.member \
         JOIN pg_catalog.pg_roles r ON r.oid = m.grantor \
         WHERE c.rolname = {} AND g.rolname = {} AND {ADMINISTERS_MEMBER}",
        literal(member.as_str()),
        literal(of.as_str())
    );
    Ok(session.ask(&query).await?.is_some_and(|count| count != "0"))
}

/// Returns whether the comment of a role contains a marker: then the role belongs to an application.
async fn is_managed(session: &Session, role: &RoleName) -> Result<bool, tokio_postgres::Error> {
    let query = format!(
        "SELECT shobj_description(oid, 'pg_authid') FROM pg_catalog.pg_roles WHERE rolname = {}",
        literal(role.as_str())
    );
    let comment = session.ask(&query).await?;
    Ok(comment.is_some_and(|comment| Marker::find(&comment).is_some()))
}

/// Returns the major version of the server, and the number of SCRAM iterations of new verifiers.
async fn server_values(session: &Session) -> Result<(u32, NonZeroU32), tokio_postgres::Error> {
    const QUERY: &str = "SELECT pg_catalog.current_setting('server_version_num') || ' ' || \
         coalesce(pg_catalog.current_setting('scram_iterations', true), '')";
    let row = session.ask(QUERY).await?.unwrap_or_default();
    let mut values = row.split(' ').map(|value| value.parse::<u32>().ok());
    let major = values.next().flatten().unwrap_or_default() / 10_000;
    Ok((major, accepted_iterations(values.next().flatten())))
}
