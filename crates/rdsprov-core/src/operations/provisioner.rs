//! One run on one server: fetches the secrets, connects, takes the lock,
//! observes, plans and applies.
//!
//! [`Provisioner`] is shared by `plan`, `check`, `apply`, `rotate` and `delegate`. It does not know
//! approvals, records or front ends.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Passwords, VerifyPasswords};
use crate::desired::Desired;
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt, Wording};
use crate::name::{DatabaseName, LOCK_DATABASE, RoleName};
use crate::observed::{self, Observed};
use crate::plan::{Action, Plan, Refusal, SecretFindings, SlotError, probe_statements};
use crate::probe::Probe;
use crate::secret_id::{SecretId, Stage};
use crate::secrets::scram::{ITERATIONS, NoRandomness};
use crate::secrets::validate::{FetchedSecrets, foreign_endpoints, lookup, validate};
use crate::secrets::{Password, Secret, SecretError, SecretSource, SourceError, TokenSource};
use crate::server::Tls;
use crate::server::apply::{ExecuteOptions, ExecutionOutcome, apply, outcome_not_started};
use crate::server::connect::{ConnectError, Credentials, Endpoint, Session, describe_error};
use crate::server::lock::Lock;
use crate::server::observe::{observe, probe};
use crate::server::password_check;
use crate::server::slots::RunSlots;
use crate::server::snapshot::ObserveError;

/// The key of the advisory lock that serializes runs: the bytes of `rdsprov` and a zero byte.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"rdsprov\0");

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

/// Values from the options that take precedence over those of the administrator's secret.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ConnectionOverrides {
    /// The host name or IP address of the server.
    pub host: Option<String>,
    /// The TCP port of the server.
    pub port: Option<u16>,
    /// The administrator database, which is `postgres` by default.
    pub database: Option<String>,
}

/// A run cannot make a plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The source provides no secrets.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The secret of the administrator cannot be used.
    #[error("the secret of the administrator cannot be used: {error}")]
    AdminSecret {
        /// What is wrong with it.
        #[source]
        error: Box<SecretError>,
        /// What is wrong with the secrets of the applications.
        others: Vec<Refusal>,
    },
    /// The secret of the administrator lacks a key.
    #[error("the secret of the administrator, {id}, has no key `{key}`")]
    AdminSecretIncomplete {
        /// The id of the secret.
        id: SecretId,
        /// The key that is missing.
        key: &'static str,
    },
    /// The administrator logs in with an IAM token, and no option names the host.
    #[error("the host of the server is not known")]
    NoHost,
    /// No password could be generated.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The connection failed.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The observation failed.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// The passwords cannot be rotated.
    #[error(transparent)]
    Rotation(#[from] crate::rotation::RotationError),
    /// The server did not grant the lock.
    #[error("the lock against concurrent runs cannot be taken: {0}")]
    Lock(String),
}

impl RunError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Source(error) => error.code(),
            Self::AdminSecret { error, .. } => error.code(),
            Self::AdminSecretIncomplete { .. } => ErrorCode::AdminSecretIncomplete,
            Self::NoHost => ErrorCode::NoHost,
            Self::NoRandomness(_) => ErrorCode::NoRandomBytes,
            Self::Connect(error) => error.code(),
            Self::Observe(error) => error.code(),
            Self::Rotation(error) => error.code(),
            Self::Lock(_) => ErrorCode::LockUnavailable,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Source(error) => error.hints(),
            Self::AdminSecret { error, .. } => {
                let mut hints = error.hints();
                hints.push(hint!["name the secret of the administrator with ", Opt::AdminSecret]);
                hints
            }
            Self::AdminSecretIncomplete { key: "host", .. } => {
                vec![hint!["add `host` to the secret, or use ", Opt::Host]]
            }
            Self::AdminSecretIncomplete { key, .. } => vec![hint![
                format!("add `{key}` to the secret, or name another one with "),
                Opt::AdminSecret
            ]],
            Self::NoHost => vec![hint!["name the host with ", Opt::Host]],
            Self::NoRandomness(_) => vec!["check `/dev/urandom` on this machine".into()],
            Self::Connect(error) => error.hints(),
            Self::Observe(error) => error.hints(),
            Self::Rotation(error) => error.hints(),
            Self::Lock(_) => {
                vec!["check that the administrator may connect to the database `postgres`".into()]
            }
        }
    }
}

/// A connection of the administrator, without the secrets of applications.
pub struct AdminConnection {
    pub(super) admin: Endpoint,
    pub(super) admin_session: Session,
}

impl AdminConnection {
    /// Fetches the administrator's secret only, and connects.
    ///
    /// # Errors
    /// Returns a [`RunError`] if the secret cannot be read or the connection fails.
    pub async fn open(
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
        Self::connect(login, overrides, tls, &fetched, &SecretFindings::default()).await
    }

    async fn connect(
        login: AdminCredentials,
        overrides: ConnectionOverrides,
        tls: Tls,
        fetched: &FetchedSecrets,
        findings: &SecretFindings,
    ) -> Result<Self, RunError> {
        let (admin, dbname) = match login {
            AdminCredentials::Secret(id) => {
                let administrator = administrator(&id, fetched, findings)?;
                let incomplete = |key| RunError::AdminSecretIncomplete { id: id.clone(), key };
                let host = overrides.host.or(administrator.host);
                let user = administrator.username;
                let admin = Endpoint {
                    host: host.ok_or_else(|| incomplete("host"))?,
                    port: overrides.port.or(administrator.port).unwrap_or(DEFAULT_PORT),
                    user: RoleName::new_unchecked(user.ok_or_else(|| incomplete("username"))?),
                    credentials: Credentials::Password(administrator.password),
                    tls,
                };
                (admin, administrator.dbname)
            }
            AdminCredentials::Token { user, source } => {
                let admin = Endpoint {
                    host: overrides.host.ok_or(RunError::NoHost)?,
                    port: overrides.port.unwrap_or(DEFAULT_PORT),
                    user,
                    credentials: Credentials::Token(source),
                    tls,
                };
                (admin, None)
            }
        };
        let database = overrides.database.or(dbname).map_or_else(
            || DatabaseName::new_unchecked(LOCK_DATABASE),
            DatabaseName::new_unchecked,
        );
        let admin_session = admin.connect(&database).await?;
        Ok(Self { admin, admin_session })
    }

    /// Returns the server as `host:port`.
    #[must_use]
    pub fn server(&self) -> String {
        format!("{}:{}", self.admin.host, self.admin.port)
    }
}

/// A connected run, with its desired state and its secrets. It can plan; only a [`Planned`] run can apply.
pub struct Provisioner {
    /// The desired state that the run plans for.
    pub desired: Desired,
    verify: VerifyPasswords,
    /// Whether a plan was applied. Later plans of the run then verify passwords, even if the
    /// options say that passwords are always set.
    applied: bool,
    pub(super) source: SecretSource,
    pub(super) minimum_length: usize,
    fetched: FetchedSecrets,
    /// The secrets in `fetched` that do not exist yet, for which this run generated a password.
    new_secrets: BTreeSet<SecretId>,
    pub(super) admin: Endpoint,
    pub(super) admin_session: Session,
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
        let stage = desired.secret_stage;
        let mut wanted: BTreeMap<SecretId, Stage> =
            desired.secrets().into_iter().map(|id| (id.clone(), stage)).collect();
        match &login {
            AdminCredentials::Secret(id) => drop(wanted.insert(id.clone(), Stage::Current)),
            AdminCredentials::Token { .. } => {}
        }
        let mut fetched = source.fetch(&wanted).await?;
        let new_secrets = generate_passwords(&desired, &mut fetched, passwords.minimum_length)?;
        let (_, findings) = validate(&desired, &fetched, passwords.minimum_length);
        let AdminConnection { admin, admin_session } =
            AdminConnection::connect(login, overrides, tls, &fetched, &findings).await?;
        for id in &new_secrets {
            // The new secret contains the endpoint of this run.
            if let Some(Ok(secret)) = fetched.get_mut(id) {
                secret.host = Some(admin.host.clone());
                secret.port = Some(admin.port);
                secret.dbname = Some(LOCK_DATABASE.to_owned());
            }
        }
        Ok(Self {
            desired,
            verify: passwords.verify.unwrap_or_default(),
            applied: false,
            source: source.clone(),
            minimum_length: passwords.minimum_length,
            fetched,
            new_secrets,
            admin,
            admin_session,
        })
    }

    /// Takes the lock, and waits while another run on the same server holds it.
    ///
    /// # Errors
    /// Returns [`RunError::Connect`] or [`RunError::Lock`] if a connection or a statement fails.
    pub async fn lock(&self) -> Result<Lock, RunError> {
        let session = self.connect_to_lock_database().await?;
        let failed = |error: tokio_postgres::Error| RunError::Lock(describe_error(&error));
        let free: bool = session
            .client
            .query_one("SELECT pg_catalog.pg_try_advisory_lock($1)", &[&LOCK_KEY])
            .await
            .and_then(|row| row.try_get(0))
            .map_err(failed)?;
        if !free {
            tracing::warn!(
                "another run holds the lock on {}; waiting until it ends",
                self.server()
            );
            session
                .client
                .execute("SELECT pg_catalog.pg_advisory_lock($1)", &[&LOCK_KEY])
                .await
                .map_err(failed)?;
        }
        session.limit_lock_waits().await.map_err(failed)?;
        Ok(Lock(session))
    }

    /// Connects to the database in which each run takes its lock.
    pub(super) async fn connect_to_lock_database(&self) -> Result<Session, ConnectError> {
        self.admin.connect(&DatabaseName::new_unchecked(LOCK_DATABASE)).await
    }

    /// Observes the server and plans. Executes the probes of the plan, and plans again with their results.
    ///
    /// # Errors
    /// Returns a [`RunError`] if the server cannot be observed or a secret source fails.
    pub async fn plan(&mut self) -> Result<Planned<'_>, RunError> {
        let verify = match self.verify {
            VerifyPasswords::AlwaysSet if self.applied => VerifyPasswords::Login,
            verify => verify,
        };
        let (mut secrets, mut findings) = self.validated_secrets();
        let mut observed =
            observe(&self.admin, &self.admin_session, &self.desired, &secrets, verify).await?;
        if self.refresh_secrets(&observed).await? {
            (secrets, findings) = self.validated_secrets();
            observed.password_checks = password_check::check_passwords(
                &self.admin,
                &self.admin_session,
                &self.desired,
                &observed,
                &secrets,
                verify,
            )
            .await?;
        }
        let plan = |observed: &Observed| Plan::new(&self.desired, observed, findings.clone());
        let (observed, plan) = self.resolve_probes(observed, plan).await?;
        Ok(Planned { run: self, observed, findings, plan, secrets })
    }

    /// Plans, and executes the probes of the plan and plans again until no probe is left.
    pub(super) async fn resolve_probes(
        &self,
        mut observed: Observed,
        plan: impl Fn(&Observed) -> Plan,
    ) -> Result<(Observed, Plan), RunError> {
        loop {
            let plan = plan(&observed);
            // Without changes to make, no probe is executed: a probe is rolled
            // back, but writes WAL.
            if plan.probes.is_empty() || plan.is_empty() && plan.refusals.is_empty() {
                return Ok((observed, plan));
            }
            self.execute_probes(plan.probes, &mut observed).await?;
        }
    }

    /// Executes probes, and adds their results to the observed state.
    async fn execute_probes(
        &self,
        probes: BTreeSet<Probe>,
        observed: &mut Observed,
    ) -> Result<(), RunError> {
        let mut by_database: BTreeMap<Option<DatabaseName>, Vec<Probe>> = BTreeMap::new();
        for one in probes {
            let database = one.database().filter(|name| **name != observed.admin_database);
            by_database.entry(database.cloned()).or_default().push(one);
        }
        for (database, probes) in by_database {
            let own;
            let session = match &database {
                None => &self.admin_session,
                Some(database) => {
                    own = self.admin.connect(database).await?;
                    &own
                }
            };
            for one in probes {
                let text = probe_statements(&one, &observed.admin_database, observed.major());
                let result = probe(session, &text).await?;
                observed.probe_results.insert(one, result);
            }
        }
        Ok(())
    }

    /// Validates the fetched secrets, and returns the valid ones with the findings.
    fn validated_secrets(&self) -> (BTreeMap<SecretId, Secret>, SecretFindings) {
        let (secrets, mut findings) = validate(&self.desired, &self.fetched, self.minimum_length);
        findings.notes.extend(foreign_endpoints(&secrets, &self.admin.host, self.admin.port));
        findings.new_secrets.clone_from(&self.new_secrets);
        (secrets, findings)
    }

    /// Fetches those secrets again whose passwords the plan would set, and
    /// returns whether one changed.
    ///
    /// The secrets were fetched before this run had its lock. If a rotation ended in the meantime,
    /// they contain the old password, and setting it would undo the rotation.
    async fn refresh_secrets(&mut self, observed: &Observed) -> Result<bool, RunError> {
        use observed::PasswordCheck::{ToBeSet, WrongPassword};
        let to_be_set = |role: &RoleName| {
            matches!(observed.password_checks.get(role), Some(WrongPassword | ToBeSet))
        };
        // The source of an embedding program is called only once for each secret.
        if matches!(self.source, SecretSource::Own(_)) {
            return Ok(false);
        }
        let wanted: BTreeMap<SecretId, Stage> = self
            .desired
            .roles
            .iter()
            .filter(|(name, _)| to_be_set(name))
            .flat_map(|(_, role)| role.secret().into_iter().chain(role.other_secrets.keys()))
            .filter(|id| !self.new_secrets.contains(*id))
            .map(|id| (id.clone(), self.desired.secret_stage))
            .collect();
        if wanted.is_empty() {
            return Ok(false);
        }
        let refreshed = self.source.fetch(&wanted).await?;
        let changed = refreshed.iter().any(|(id, now)| match (self.fetched.get(id), now) {
            (Some(Ok(before)), Ok(now)) => {
                before.version != now.version || !before.password.is_same(&now.password)
            }
            _ => true,
        });
        self.fetched.extend(refreshed);
        Ok(changed)
    }

    async fn create_secrets(
        &mut self,
        secrets: &BTreeMap<SecretId, Secret>,
    ) -> Result<(), SecretError> {
        while let Some(id) = self.new_secrets.first().cloned() {
            if let Some(secret) = secrets.get(&id) {
                self.source.create(secret).await?;
            }
            self.new_secrets.remove(&id);
        }
        Ok(())
    }

    /// Returns the server as `host:port`.
    #[must_use]
    pub fn server(&self) -> String {
        format!("{}:{}", self.admin.host, self.admin.port)
    }
}

/// A run whose plan is known, with the observed state and the secrets that the plan is based on.
///
/// [`Planned::apply`] consumes it: each plan is applied once, to the server and with the secrets for which it was
/// made.
pub struct Planned<'a> {
    run: &'a mut Provisioner,
    observed: Observed,
    findings: SecretFindings,
    plan: Plan,
    secrets: BTreeMap<SecretId, Secret>,
}

impl Planned<'_> {
    /// Returns the plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the observed state, the findings from the secrets, and the plan that [`Plan::new`] makes of them.
    #[must_use]
    pub fn into_parts(self) -> (Observed, SecretFindings, Plan) {
        (self.observed, self.findings, self.plan)
    }

    /// Returns the `psql` script of the plan with verifiers; see [`Plan::to_sql_with_verifiers`].
    ///
    /// # Errors
    /// Returns a [`SlotError`] if the password of a step is not available.
    pub fn script(&self, build_id: &str, wording: &dyn Wording) -> Result<String, SlotError> {
        self.plan.to_sql_with_verifiers(&self.slots(build_id), wording)
    }

    fn slots<'b>(&'b self, build_id: &'b str) -> RunSlots<'b> {
        RunSlots { secrets: &self.secrets, build_id, iterations: iterations(&self.observed) }
    }

    /// Creates the new secrets and executes the plan. Errors are in the outcome.
    pub async fn apply(
        self,
        lock: &Lock,
        build_id: &str,
        options: &ExecuteOptions<'_>,
    ) -> ExecutionOutcome {
        self.run.applied = true;
        // Before the first statement: a password that is set but not stored would be lost.
        if let Err(error) = self.run.create_secrets(&self.secrets).await {
            let message = error.to_string();
            return outcome_not_started(&self.plan, Action::CreateSecret, &message, options);
        }
        apply(&self.plan, &self.run.admin, lock, &self.slots(build_id), options).await
    }
}

/// Returns the number of SCRAM iterations of new verifiers.
pub(super) fn iterations(observed: &Observed) -> u32 {
    observed.passwords.scram_iterations.unwrap_or(ITERATIONS)
}

/// Generates a password for the delegate if its secret does not exist. Returns the ids
/// of the new secrets.
fn generate_passwords(
    desired: &Desired,
    fetched: &mut FetchedSecrets,
    minimum_length: usize,
) -> Result<BTreeSet<SecretId>, RunError> {
    let Some((name, role)) = desired.delegate() else { return Ok(BTreeSet::new()) };
    let Some(id) = role.secret() else { return Ok(BTreeSet::new()) };
    if !matches!(fetched.get(id), Some(Err(SecretError::Missing { .. }))) {
        return Ok(BTreeSet::new());
    }
    let secret = Secret {
        id: id.clone(),
        version: None,
        password: Password::generate(minimum_length)?,
        username: Some(name.to_string()),
        host: None,
        port: None,
        dbname: None,
    };
    fetched.insert(id.clone(), Ok(secret));
    Ok(BTreeSet::from([id.clone()]))
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
    })
}
