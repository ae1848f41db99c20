//! One run from its secrets to its plan: what `plan`, `check` and `apply` have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use super::connect::{ConnectError, Credentials, Endpoint, Session, describe_error};
use super::observe::{ObserveError, observe, probe};
use super::password_check;
use super::tls::Tls;
use super::{ExecuteOptions, ExecutionOutcome, RunSlots, apply, outcome_not_started};
use crate::config::{Passwords, VerifyPasswords};
use crate::desired::Desired;
use crate::name::{DatabaseName, LOCK_DATABASE, RoleName};
use crate::observed::{self, Observed};
use crate::plan::{Action, Plan, Refusal, SecretFindings, SlotError};
use crate::secrets::scram::{ITERATIONS, NoRandomness};
use crate::secrets::validate::{FetchedSecrets, foreign_endpoints, lookup, validate};
use crate::secrets::{Password, Secret, SecretError, SecretId, SecretSource, SourceError, Stage};

/// Runs of this program wait for one another on this advisory lock: the first eight bytes of its name.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"rdsprov\0");

/// PostgreSQL's port.
const DEFAULT_PORT: u16 = 5432;

/// How the administrator logs in.
pub enum AdminCredentials {
    /// With the password of a secret, which also says who and where.
    Secret(SecretId),
    /// As a role, with a token of IAM. The place has to say where.
    #[cfg(feature = "aws")]
    Token {
        /// The role.
        user: RoleName,
        /// What signs the tokens.
        source: crate::secrets::token::TokenSource,
    },
}

/// Where the administrator's secret says nothing, or something else than what is wanted.
#[derive(Debug, Clone, Default)]
pub struct ConnectionOverrides {
    /// The host.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The database.
    pub database: Option<String>,
}

/// The lock that keeps runs apart, held as long as this lives. What all databases share is changed over
/// the connection that holds it: a statement whose client was killed keeps the next run waiting until the
/// server is done with it.
pub struct Lock(pub(super) Session);

/// Why a run came to no plan.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No secrets.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The administrator's secret.
    #[error("the administrator's secret (see --admin-secret): {error}{}", .others.iter().map(|other| format!("\n  and {}: {}", other.application, other.message)).collect::<String>())]
    AdminSecret {
        /// What is wrong with it.
        error: Box<SecretError>,
        /// What is wrong with the applications'.
        others: Vec<Refusal>,
    },
    /// The administrator's secret does not say enough.
    #[error("the administrator's secret {id} has no {key}; add it, or give {flag}")]
    AdminSecretIncomplete {
        /// The secret.
        id: SecretId,
        /// The key.
        key: &'static str,
        /// What to give instead.
        flag: &'static str,
    },
    /// Nobody says where the server is.
    #[cfg(feature = "aws")]
    #[error("the server's host is not known; give --host, since there is no secret that says it")]
    NoHost,
    /// No new password.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No observation.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// Nothing that could be rotated.
    #[cfg(feature = "aws")]
    #[error(transparent)]
    Rotation(#[from] crate::rotation::RotationError),
    /// No lock.
    #[error("the lock that keeps runs apart cannot be taken: {0}")]
    Lock(String),
}

/// The administrator, logged in.
pub struct AdminConnection {
    pub(super) admin: Endpoint,
    pub(super) admin_session: Session,
}

impl AdminConnection {
    /// Fetches the administrator's secret, and no other, and connects.
    ///
    /// # Errors
    /// Where the secret or the connection is not to be had.
    pub async fn open(
        source: &SecretSource,
        login: AdminCredentials,
        overrides: ConnectionOverrides,
        tls: Tls,
    ) -> Result<Self, RunError> {
        let ids = match &login {
            AdminCredentials::Secret(id) => BTreeMap::from([(id.clone(), Stage::Current)]),
            #[cfg(feature = "aws")]
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
                let incomplete =
                    |key, flag| RunError::AdminSecretIncomplete { id: id.clone(), key, flag };
                let host = overrides.host.or(administrator.host);
                let user = administrator.username;
                let admin = Endpoint {
                    host: host.ok_or_else(|| incomplete("host", "--host"))?,
                    port: overrides.port.or(administrator.port).unwrap_or(DEFAULT_PORT),
                    user: RoleName::new_unchecked(
                        user.ok_or_else(|| incomplete("username", "a secret that has one"))?,
                    ),
                    credentials: Credentials::Password(administrator.password),
                    tls,
                };
                (admin, administrator.dbname)
            }
            #[cfg(feature = "aws")]
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
        let admin_session = overrides.database.or(dbname).map_or_else(
            || DatabaseName::new_unchecked(LOCK_DATABASE),
            DatabaseName::new_unchecked,
        );
        let admin_session = admin.connect(&admin_session).await?;
        Ok(Self { admin, admin_session })
    }

    /// `host:port`, for the records.
    #[must_use]
    pub fn server(&self) -> String {
        format!("{}:{}", self.admin.host, self.admin.port)
    }
}

/// A run with its secrets at hand and its connection open.
pub struct Provisioner {
    /// What is wanted.
    pub desired: Desired,
    verify: VerifyPasswords,
    /// Whether a plan was carried out: passwords that were to be set whatever they are have been.
    applied: AtomicBool,
    pub(super) iterations: AtomicU32,
    pub(super) source: SecretSource,
    pub(super) minimum_length: usize,
    fetched: Mutex<FetchedSecrets>,
    /// Those of them that are not there yet: their passwords were made here.
    new_secrets: Mutex<BTreeSet<SecretId>>,
    pub(super) admin: Endpoint,
    pub(super) admin_session: Session,
}

impl Provisioner {
    /// Fetches the secrets and connects.
    ///
    /// # Errors
    /// Where the administrator's secret or the connection is not to be had. What is wrong with the
    /// applications' secrets becomes refusals of the plan, all of them together.
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
            #[cfg(feature = "aws")]
            AdminCredentials::Token { .. } => {}
        }
        let mut fetched = source.fetch(&wanted).await?;
        let new_secrets = make_passwords(&desired, &mut fetched, passwords.minimum_length)?;
        let (_, findings) = validate(&desired, &fetched, passwords.minimum_length);
        let AdminConnection { admin, admin_session } =
            AdminConnection::connect(login, overrides, tls, &fetched, &findings).await?;
        for id in &new_secrets {
            // Who reads it logs in where this run did.
            if let Some(Ok(secret)) = fetched.get_mut(id) {
                secret.host = Some(admin.host.clone());
                secret.port = Some(admin.port);
                secret.dbname = Some(LOCK_DATABASE.to_owned());
            }
        }
        Ok(Self {
            desired,
            verify: passwords.verify.unwrap_or_default(),
            applied: AtomicBool::new(false),
            iterations: AtomicU32::new(ITERATIONS),
            source: source.clone(),
            minimum_length: passwords.minimum_length,
            fetched: Mutex::new(fetched),
            new_secrets: Mutex::new(new_secrets),
            admin,
            admin_session,
        })
    }

    /// Waits for other runs of this program on this server to end.
    ///
    /// # Errors
    /// Where the server does not give the lock.
    pub async fn lock(&self) -> Result<Lock, RunError> {
        let session = self.shared_database().await?;
        let failed = |error: tokio_postgres::Error| RunError::Lock(describe_error(&error));
        let free: bool = session
            .client
            .query_one("SELECT pg_catalog.pg_try_advisory_lock($1)", &[&LOCK_KEY])
            .await
            .and_then(|row| row.try_get(0))
            .map_err(failed)?;
        if !free {
            tracing::warn!(
                "another run of rdsprov is at work on {}; waiting for it",
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

    /// A connection to the database that every run takes its lock in.
    pub(super) async fn shared_database(&self) -> Result<Session, ConnectError> {
        self.admin.connect(&DatabaseName::new_unchecked(LOCK_DATABASE)).await
    }

    /// Looks at the server and plans.
    ///
    /// # Errors
    /// Where the server cannot be looked at.
    pub async fn plan(&self) -> Result<Plan, RunError> {
        Ok(self.observe_and_plan().await?.1)
    }

    /// Looks at the server and plans; what was seen beside what is to be done. Where the plan leaves it open
    /// what the server allows, the server is asked, and the plan made again.
    ///
    /// # Errors
    /// Where the server cannot be looked at.
    pub async fn observe_and_plan(&self) -> Result<(Observed, Plan), RunError> {
        let verify = match self.verify {
            VerifyPasswords::AlwaysSet if self.applied.load(Ordering::Relaxed) => {
                VerifyPasswords::Login
            }
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
        self.resolve_probes(observed, plan).await
    }

    /// Plans, and where the plan leaves it open what the server allows, asks the server and plans again.
    pub(super) async fn resolve_probes(
        &self,
        mut observed: Observed,
        plan: impl Fn(&Observed) -> Plan,
    ) -> Result<(Observed, Plan), RunError> {
        let iterations = observed.passwords.scram_iterations.unwrap_or(ITERATIONS);
        self.iterations.store(iterations, Ordering::Relaxed);
        loop {
            let plan = plan(&observed);
            // Where nothing is to be done, nothing is tried: a trial is undone, but it writes.
            if plan.probes.is_empty() || plan.is_empty() && plan.refusals.is_empty() {
                return Ok((observed, plan));
            }
            for (overrides, statements) in plan.probes {
                let own;
                let session = if overrides == observed.admin_database {
                    &self.admin_session
                } else {
                    own = self.admin.connect(&overrides).await?;
                    &own
                };
                let answers = observed.probe_results.entry(overrides).or_default();
                for statement in statements {
                    let answer = probe(session, &statement).await?;
                    answers.insert(statement, answer);
                }
            }
        }
    }

    /// What was found out about the secrets; with it, what [`Provisioner::observe_and_plan`] saw gives the same plan again.
    #[must_use]
    pub fn findings(&self) -> SecretFindings {
        self.validated_secrets().1
    }

    /// The good secrets, and what was found on the way.
    fn validated_secrets(&self) -> (BTreeMap<SecretId, Secret>, SecretFindings) {
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let (secrets, mut findings) = validate(&self.desired, &fetched, self.minimum_length);
        findings.notes.extend(foreign_endpoints(&secrets, &self.admin.host, self.admin.port));
        findings.new_secrets = self.new_secrets();
        (secrets, findings)
    }

    fn new_secrets(&self) -> BTreeSet<SecretId> {
        self.new_secrets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads those secrets again whose passwords would be set. They were read before this run had its lock:
    /// a rotation that ended in between has made them old, and setting one would undo it. Tells whether any
    /// has changed.
    async fn refresh_secrets(&self, observed: &Observed) -> Result<bool, RunError> {
        use observed::PasswordCheck::{ToBeSet, WrongPassword};
        let to_be_set = |role: &RoleName| {
            matches!(observed.password_checks.get(role), Some(WrongPassword | ToBeSet))
        };
        // Who gives secrets of its own is asked once for each.
        if matches!(self.source, SecretSource::Own(_)) {
            return Ok(false);
        }
        let new = self.new_secrets();
        let wanted: BTreeMap<SecretId, Stage> = self
            .desired
            .roles
            .iter()
            .filter(|(name, _)| to_be_set(name))
            .flat_map(|(_, role)| role.secret().into_iter().chain(role.other_secrets.keys()))
            .filter(|id| !new.contains(*id))
            .map(|id| (id.clone(), self.desired.secret_stage))
            .collect();
        if wanted.is_empty() {
            return Ok(false);
        }
        let again = self.source.fetch(&wanted).await?;
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = again.iter().any(|(id, now)| match (fetched.get(id), now) {
            (Some(Ok(before)), Ok(now)) => {
                before.version != now.version || !before.password.is_same(&now.password)
            }
            _ => true,
        });
        fetched.extend(again);
        Ok(changed)
    }

    /// The script of a plan with the verifiers of its passwords in it; see [`Plan::to_sql_with_verifiers`].
    ///
    /// # Errors
    /// Where a password is not at hand.
    pub fn script(&self, plan: &Plan, build_id: &str) -> Result<String, SlotError> {
        let iterations = self.iterations.load(Ordering::Relaxed);
        let (secrets, _) = self.validated_secrets();
        plan.to_sql_with_verifiers(&RunSlots { secrets: &secrets, build_id, iterations })
    }

    /// Carries out a plan.
    pub async fn apply(
        &self,
        lock: &Lock,
        plan: &Plan,
        build_id: &str,
        options: &ExecuteOptions<'_>,
    ) -> ExecutionOutcome {
        self.applied.store(true, Ordering::Relaxed);
        let iterations = self.iterations.load(Ordering::Relaxed);
        let (secrets, _) = self.validated_secrets();
        let slots = RunSlots { secrets: &secrets, build_id, iterations };
        // First: a password that is kept nowhere is nobody's.
        if let Err(error) = self.create_secrets(&secrets).await {
            return outcome_not_started(plan, Action::CreateSecret, &error.to_string(), options);
        }
        apply(plan, &self.admin, lock, &slots, options).await
    }

    async fn create_secrets(
        &self,
        secrets: &BTreeMap<SecretId, Secret>,
    ) -> Result<(), SecretError> {
        for id in self.new_secrets() {
            if let Some(secret) = secrets.get(&id) {
                self.source.create(secret).await?;
            }
            self.new_secrets.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
        Ok(())
    }

    /// `host:port`, for the records.
    #[must_use]
    pub fn server(&self) -> String {
        format!("{}:{}", self.admin.host, self.admin.port)
    }
}

/// A new password for who is to administer, where its secret is not there.
fn make_passwords(
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

/// The administrator's secret; where it is not to be had, all that is wrong with secrets at once.
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
