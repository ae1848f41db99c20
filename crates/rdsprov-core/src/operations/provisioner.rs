//! A connected run on one server: its desired state, its secrets, its connection and its lock.
//!
//! [`Provisioner`] is shared by `plan`, `check`, `apply`, `rotate` and `delegate`.

use std::collections::BTreeSet;

use super::connection::{AdminConnection, AdminCredentials, ConnectionOverrides};
use super::error::RunError;
use super::login_origin::LoginOrigin;
use super::probes::{ProbeScope, Probes};
use super::run_secrets::RunSecrets;
use crate::config::{Passwords, VerifyPasswords};
use crate::desired::Desired;
use crate::name::{DatabaseName, LOCK_DATABASE, RoleName};
use crate::observed::Observed;
use crate::run_setting::{RunSetting, ValueSource};
use crate::secret_id::SecretId;
use crate::secrets::SecretSource;
use crate::server::connect::{Endpoint, Session};
use crate::server::earlier_look::EarlierLook;
use crate::server::lock::{self, Lock, LockError, LockOptions};
use crate::server::wait;
use crate::server::{ConnectError, OnServerWait, Tls};

/// A connected run, with its desired state and its secrets.
///
/// It can plan. Only a [`Locked`] run can make a plan that can be applied:
///
/// ```
/// # use rdsprov_core::operations::Provisioner;
/// # use rdsprov_core::server::ExecuteOptions;
/// # async fn run(mut run: Provisioner) -> Result<(), Box<dyn std::error::Error>> {
/// let mut locked = run.lock().await?;
/// let planned = locked.plan().await?;
/// let outcome = planned.apply("build 7", &ExecuteOptions::default()).await?;
/// # Ok(())
/// # }
/// ```
///
/// A plan that was made without the lock cannot be applied:
///
/// ```compile_fail,E0599
/// # use rdsprov_core::operations::Provisioner;
/// # use rdsprov_core::server::ExecuteOptions;
/// # async fn run(mut run: Provisioner) -> Result<(), Box<dyn std::error::Error>> {
/// let planned = run.plan().await?;
/// let outcome = planned.apply("build 7", &ExecuteOptions::default()).await?;
/// # Ok(())
/// # }
/// ```
pub struct Provisioner {
    /// The desired state that the run plans for.
    pub(super) desired: Desired,
    pub(super) verify: VerifyPasswords,
    /// Whether a plan was applied. Later plans of the run then verify passwords, even if the
    /// options say that passwords are always set.
    pub(super) applied: bool,
    /// The roles that the run has created with their passwords.
    pub(super) created: BTreeSet<RoleName>,
    /// The look on which the last applied plan is based.
    pub(super) earlier: Option<EarlierLook>,
    pub(super) secrets: RunSecrets,
    /// The id of the administrator's secret; `None` if the administrator uses IAM tokens.
    admin_secret: Option<SecretId>,
    /// Where the address of the server comes from.
    origin: LoginOrigin,
    /// How the run reached the server, for its plans.
    settings: Vec<RunSetting>,
    pub(super) admin: Endpoint,
    pub(super) admin_session: Session,
    /// The administrator database.
    admin_database: DatabaseName,
    /// Called if the run waits for its server.
    on_wait: OnServerWait,
}

/// A run that holds the lock of its server until this value is dropped.
pub struct Locked<'a> {
    pub(super) run: &'a mut Provisioner,
    pub(super) lock: Lock,
}

impl Provisioner {
    /// Fetches the secrets and connects.
    ///
    /// # Errors
    /// Returns a [`RunError`] if the administrator's secret cannot be read or the connection fails.
    /// All problems of the applications' secrets become refusals of the plan.
    pub async fn open(
        desired: Desired,
        source: &SecretSource,
        login: AdminCredentials,
        overrides: ConnectionOverrides,
        tls: Tls,
        passwords: &Passwords,
    ) -> Result<Self, RunError> {
        let admin_secret = match &login {
            AdminCredentials::Secret(id) => Some(id.clone()),
            AdminCredentials::Token { .. } => None,
        };
        let minimum_length = passwords.minimum_length;
        let mut secrets =
            RunSecrets::fetch(&desired, source, admin_secret.as_ref(), minimum_length).await?;
        let (fetched, findings) = (secrets.fetched(), secrets.findings());
        let on_wait = overrides.on_wait.clone();
        let AdminConnection { admin, admin_session, database: admin_database, origin } =
            AdminConnection::connect(&desired, source, &login, &overrides, &tls, fetched, findings)
                .await?;
        tracing::info!("connected to {}:{} as {}", admin.host, admin.port, admin.user);
        secrets.connected_to(&desired, &admin);
        let verify = passwords.verify.unwrap_or_default();
        Ok(Self {
            desired,
            verify,
            applied: false,
            created: BTreeSet::new(),
            earlier: None,
            secrets,
            admin_secret,
            origin,
            settings: Vec::new(),
            admin,
            admin_session,
            admin_database,
            on_wait,
        })
    }

    /// Takes the lock, and waits up to 10 minutes while another run on the same server holds it.
    /// Only a locked run makes plans that can be applied.
    ///
    /// # Errors
    /// Returns the errors of [`Self::lock_with`].
    pub async fn lock(&mut self) -> Result<Locked<'_>, RunError> {
        self.lock_with(&LockOptions::default()).await
    }

    /// Takes the lock, and waits while another run on the same server holds it.
    ///
    /// # Errors
    /// Returns [`RunError::LockTimeout`] if the other run does not end in time, and
    /// [`RunError::Connect`] or [`RunError::Lock`] if a connection or a statement fails. Among them
    /// is [`ConnectError::ServerReadOnly`]: a lock on a reader excludes no other run.
    pub async fn lock_with(&mut self, options: &LockOptions<'_>) -> Result<Locked<'_>, RunError> {
        tracing::info!("taking the lock of {}", self.server());
        let session = self.connect_to_lock_database().await?;
        if self.admin_session.in_recovery {
            let writer = self.admin.connect_to_writer(&self.admin_database, &self.on_wait).await?;
            std::mem::replace(&mut self.admin_session, writer).end().await;
        }
        let lock = lock::lock(session, options).await.map_err(|error| match error {
            LockError::Timeout(holder) => {
                RunError::LockTimeout { server: self.server(), timeout: options.timeout, holder }
            }
            LockError::Server(reason) => RunError::Lock(reason),
        })?;
        tracing::info!("locked {}", self.server());
        Ok(Locked { run: self, lock })
    }

    /// Waits until processes of the server no longer execute statements whose connection is lost.
    pub(crate) async fn until_ended(&self, processes: &[i32]) -> Result<(), RunError> {
        let ended = wait::until_ended(&self.admin_session, processes).await;
        ended.map_err(|error| RunError::Lock(self.admin_session.describe(&error)))
    }

    /// Connects to the database in which each run takes its lock, on a server that accepts changes.
    pub(super) async fn connect_to_lock_database(&self) -> Result<Session, ConnectError> {
        let database = DatabaseName::new_unchecked(LOCK_DATABASE);
        self.admin.connect_to_writer(&database, &self.on_wait).await
    }

    /// Returns how the run asks the server for permissions.
    pub(super) fn probes(&self) -> Probes<'_> {
        Probes { admin: &self.admin, session: &self.admin_session, scope: ProbeScope::All }
    }

    /// Completes an observed state with what the server does not know about the connection.
    pub(super) fn record_connection(&self, observed: &mut Observed) {
        observed.connection.server = Some(self.server());
        observed.connection.in_recovery = self.admin_session.in_recovery;
        observed.connection.admin_secret.clone_from(&self.admin_secret);
        observed.connection.settings.clone_from(&self.settings);
        observed.connection.ca_certificates = self.admin.tls.ca_certificates().map(str::to_owned);
    }

    /// Returns the host and the port of the server, each with the place that sets it.
    pub(crate) fn address(&self) -> ((String, &ValueSource), (String, &ValueSource)) {
        let Endpoint { host, port, .. } = &self.admin;
        ((host.clone(), &self.origin.host), (port.to_string(), &self.origin.port))
    }

    /// Returns the address to which connections go instead of the host, with the place that sets it.
    pub(crate) fn connect_to(&self) -> Option<(String, &ValueSource)> {
        let to = self.admin.connect_to.as_ref()?;
        Some((to.to_string(), self.origin.connect_to.as_ref()?))
    }

    /// Sets how the run reached the server, for its plans.
    pub(crate) fn set_run_settings(&mut self, settings: Vec<RunSetting>) {
        self.settings = settings;
    }

    /// Returns the server as `host:port`.
    #[must_use]
    pub fn server(&self) -> String {
        format!("{}:{}", self.admin.host, self.admin.port)
    }
}
