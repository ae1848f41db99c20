//! One run from its secrets to its plan: what `plan`, `check` and `apply` have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::connect::{ConnectError, Proof, Session, Target, said};
use super::observe::{ObserveError, observe, try_out};
use super::tls::Tls;
use super::{ApplyOptions, Outcome, RunSlots, apply};
use crate::config::{Passwords, VerifyPasswords};
use crate::desired::Desired;
use crate::name::{DatabaseName, RoleName};
use crate::observed::Observed;
use crate::plan::{Findings, Plan, Refusal};
use crate::secrets::scram::ITERATIONS;
use crate::secrets::{Secret, SecretError, SecretId, SecretSource, SourceError};

/// Runs of this program wait for one another on this advisory lock: the first eight bytes of its name.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"rdsprov\0");

/// PostgreSQL's port.
const DEFAULT_PORT: u16 = 5432;

/// The database that every run takes its lock in: advisory locks are per database.
const LOCK_DATABASE: &str = "postgres";

/// How the administrator logs in.
pub enum Login {
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
pub struct Place {
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
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No observation.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// No lock.
    #[error("the lock that keeps runs apart cannot be taken: {0}")]
    Lock(String),
}

/// The administrator, logged in.
pub struct Administration {
    pub(super) admin: Target,
    pub(super) home: Session,
}

impl Administration {
    /// Fetches the administrator's secret, and no other, and connects.
    ///
    /// # Errors
    /// Where the secret or the connection is not to be had.
    pub async fn open(
        source: &SecretSource,
        login: Login,
        place: Place,
        tls: Tls,
    ) -> Result<Self, RunError> {
        let ids = match &login {
            Login::Secret(id) => BTreeSet::from([id.clone()]),
            #[cfg(feature = "aws")]
            Login::Token { .. } => BTreeSet::new(),
        };
        let fetched = source.fetch(&ids).await?;
        Self::connect(login, place, tls, &fetched, &Findings::default()).await
    }

    async fn connect(
        login: Login,
        place: Place,
        tls: Tls,
        fetched: &BTreeMap<SecretId, Result<Secret, SecretError>>,
        findings: &Findings,
    ) -> Result<Self, RunError> {
        let (admin, dbname) = match login {
            Login::Secret(id) => {
                let administrator = administrator(&id, fetched, findings)?;
                let incomplete =
                    |key, flag| RunError::AdminSecretIncomplete { id: id.clone(), key, flag };
                let host = place.host.or(administrator.host);
                let user = administrator.username;
                let admin = Target {
                    host: host.ok_or_else(|| incomplete("host", "--host"))?,
                    port: place.port.or(administrator.port).unwrap_or(DEFAULT_PORT),
                    user: RoleName::observed(
                        user.ok_or_else(|| incomplete("username", "a secret that has one"))?,
                    ),
                    proof: Proof::Password(administrator.password),
                    tls,
                };
                (admin, administrator.dbname)
            }
            #[cfg(feature = "aws")]
            Login::Token { user, source } => {
                let admin = Target {
                    host: place.host.ok_or(RunError::NoHost)?,
                    port: place.port.unwrap_or(DEFAULT_PORT),
                    user,
                    proof: Proof::Token(source),
                    tls,
                };
                (admin, None)
            }
        };
        let home = place
            .database
            .or(dbname)
            .map_or_else(|| DatabaseName::observed(LOCK_DATABASE), DatabaseName::observed);
        let home = admin.connect(&home).await?;
        Ok(Self { admin, home })
    }

    /// `host:port`, for the records.
    #[must_use]
    pub fn server(&self) -> String {
        format!("{}:{}", self.admin.host, self.admin.port)
    }
}

/// A run with its secrets at hand and its connection open.
pub struct Run {
    /// What is wanted.
    pub desired: Desired,
    verify: VerifyPasswords,
    /// Whether a plan was carried out: passwords that were to be set whatever they are have been.
    applied: AtomicBool,
    iterations: AtomicU32,
    secrets: BTreeMap<SecretId, Secret>,
    findings: Findings,
    admin: Target,
    home: Session,
}

impl Run {
    /// Fetches the secrets and connects.
    ///
    /// # Errors
    /// Where the administrator's secret or the connection is not to be had. What is wrong with the
    /// applications' secrets becomes refusals of the plan, all of them together.
    pub async fn open(
        desired: Desired,
        source: &SecretSource,
        login: Login,
        place: Place,
        tls: Tls,
        passwords: &Passwords,
    ) -> Result<Self, RunError> {
        let mut ids: BTreeSet<SecretId> = desired.secrets().into_iter().cloned().collect();
        if let Login::Secret(id) = &login {
            ids.insert(id.clone());
        }
        let fetched = source.fetch(&ids).await?;
        let (secrets, mut findings) = sort(&desired, &fetched, passwords.minimum_length);
        let Administration { admin, home } =
            Administration::connect(login, place, tls, &fetched, &findings).await?;
        findings.notes.extend(other_servers(&secrets, &admin));
        Ok(Self {
            desired,
            verify: passwords.verify.unwrap_or_default(),
            applied: AtomicBool::new(false),
            iterations: AtomicU32::new(ITERATIONS),
            secrets,
            findings,
            admin,
            home,
        })
    }

    /// Waits for other runs of this program on this server to end.
    ///
    /// # Errors
    /// Where the server does not give the lock.
    pub async fn lock(&self) -> Result<Lock, RunError> {
        let session = self.admin.connect(&DatabaseName::observed(LOCK_DATABASE)).await?;
        let failed = |error: tokio_postgres::Error| RunError::Lock(said(&error));
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
        session.wait_briefly().await.map_err(failed)?;
        Ok(Lock(session))
    }

    /// Looks at the server and plans.
    ///
    /// # Errors
    /// Where the server cannot be looked at.
    pub async fn plan(&self) -> Result<Plan, RunError> {
        Ok(self.look().await?.1)
    }

    /// Looks at the server and plans; what was seen beside what is to be done. Where the plan leaves it open
    /// what the server allows, the server is asked, and the plan made again.
    ///
    /// # Errors
    /// Where the server cannot be looked at.
    pub async fn look(&self) -> Result<(Observed, Plan), RunError> {
        let verify = match self.verify {
            VerifyPasswords::AlwaysSet if self.applied.load(Ordering::Relaxed) => {
                VerifyPasswords::Login
            }
            verify => verify,
        };
        let mut observed =
            observe(&self.admin, &self.home, &self.desired, &self.secrets, verify).await?;
        let iterations = observed.passwords.scram_iterations.unwrap_or(ITERATIONS);
        self.iterations.store(iterations, Ordering::Relaxed);
        loop {
            let plan = Plan::new(&self.desired, &observed, self.findings.clone());
            // Where nothing is to be done, nothing is tried: a trial is undone, but it writes.
            if plan.open_questions.is_empty() || plan.is_empty() && plan.refusals.is_empty() {
                return Ok((observed, plan));
            }
            for statement in plan.open_questions {
                let answer = try_out(&self.home, &statement).await?;
                observed.trials.insert(statement, answer);
            }
        }
    }

    /// What was found out about the secrets; with it, what [`Run::look`] saw gives the same plan again.
    #[must_use]
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Carries out a plan.
    pub async fn apply(
        &self,
        lock: &Lock,
        plan: &Plan,
        build_id: &str,
        options: &ApplyOptions<'_>,
    ) -> Outcome {
        self.applied.store(true, Ordering::Relaxed);
        let iterations = self.iterations.load(Ordering::Relaxed);
        let slots = RunSlots { secrets: &self.secrets, build_id, iterations };
        apply(plan, &self.admin, lock, &slots, options).await
    }

    /// `host:port`, for the records.
    #[must_use]
    pub fn server(&self) -> String {
        format!("{}:{}", self.admin.host, self.admin.port)
    }
}

/// The administrator's secret; where it is not to be had, all that is wrong with secrets at once.
fn administrator(
    id: &SecretId,
    fetched: &BTreeMap<SecretId, Result<Secret, SecretError>>,
    findings: &Findings,
) -> Result<Secret, RunError> {
    found(fetched, id).map_err(|error| RunError::AdminSecret {
        error: Box::new(error),
        others: findings.refusals.clone(),
    })
}

fn found(
    fetched: &BTreeMap<SecretId, Result<Secret, SecretError>>,
    id: &SecretId,
) -> Result<Secret, SecretError> {
    let missing = || Err(SecretError::Missing { id: id.clone(), region: None });
    fetched.get(id).cloned().unwrap_or_else(missing)
}

/// Good secrets to one side, a refusal for each that is not, or that contradicts the definitions.
fn sort(
    desired: &Desired,
    fetched: &BTreeMap<SecretId, Result<Secret, SecretError>>,
    minimum_length: usize,
) -> (BTreeMap<SecretId, Secret>, Findings) {
    let mut refusals = Vec::new();
    for (name, role) in &desired.roles {
        let Some(id) = role.secret() else { continue };
        refusals.extend(role.other_secrets.iter().filter_map(|(other, application)| {
            let message = match (fetched.get(id)?, fetched.get(other)?) {
                (_, Err(error)) => error.to_string(),
                (Ok(one), Ok(two)) if !one.password.is_same(&two.password) => {
                    format!("secrets {id} and {other} hold two passwords for role {name}")
                }
                _ => return None,
            };
            Some(Refusal {
                application: application.clone(),
                message,
                remedy: format!("role {name} has one password: let both secrets hold it, or name one `secret` in each entry"),
                opens: None,
            })
        }));
        let mut refuse = |message: String, remedy: &str| {
            refusals.push(Refusal {
                application: role.application.clone(),
                message,
                remedy: remedy.to_owned(),
                opens: None,
            });
        };
        match found(fetched, id) {
            Ok(secret) => {
                if secret.password.is_shorter_than(minimum_length) {
                    refuse(
                        format!(
                            "secret {id}: the password has less than {minimum_length} characters, which [passwords] minimum_length asks for"
                        ),
                        "set a longer one",
                    );
                }
                let remedy = "correct the secret or the definition, so that both say the same";
                if let Some(username) = secret.username.as_deref().filter(|u| *u != name.as_str()) {
                    refuse(
                        format!("secret {id} is for user {username:?}, the definitions say {name}"),
                        remedy,
                    );
                }
                let databases: Vec<&str> = desired
                    .databases
                    .iter()
                    .filter(|(_, database)| database.access.contains_key(name))
                    .map(|(database, _)| database.as_str())
                    .collect();
                if let Some(dbname) = secret.dbname.as_deref().filter(|d| !databases.contains(d)) {
                    refuse(
                        format!(
                            "secret {id} is for database {dbname:?}, the definitions say {}",
                            databases.join(", ")
                        ),
                        remedy,
                    );
                }
            }
            Err(error) => refuse(error.to_string(), "see to the secret, then run again"),
        }
    }
    let secrets: BTreeMap<SecretId, Secret> = fetched
        .iter()
        .filter_map(|(id, secret)| Some((id.clone(), secret.as_ref().ok()?.clone())))
        .collect();
    let versions = secrets
        .iter()
        .filter_map(|(id, secret)| Some((id.clone(), secret.version.clone()?)))
        .collect();
    (secrets, Findings { refusals, versions, ..Findings::default() })
}

/// A note for each secret that names another server: a proxy's address, say.
fn other_servers(secrets: &BTreeMap<SecretId, Secret>, admin: &Target) -> Vec<String> {
    secrets
        .values()
        .filter(|secret| {
            secret.host.as_ref().is_some_and(|host| *host != admin.host)
                || secret.port.is_some_and(|port| port != admin.port)
        })
        .map(|secret| {
            format!(
                "secret {} names {}:{}, this server is {}:{}",
                secret.id,
                secret.host.as_deref().unwrap_or(&admin.host),
                secret.port.unwrap_or(admin.port),
                admin.host,
                admin.port
            )
        })
        .collect()
}
