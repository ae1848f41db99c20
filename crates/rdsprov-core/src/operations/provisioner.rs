//! A connected run on one server: its desired state, its secrets, its connection and its lock.
//!
//! [`Provisioner`] is shared by `plan`, `check`, `apply`, `rotate` and `delegate`.

use std::collections::{BTreeMap, BTreeSet};

use super::connection::{AdminConnection, AdminCredentials, ConnectionOverrides};
use super::error::RunError;
use crate::config::{Passwords, VerifyPasswords};
use crate::desired::Desired;
use crate::name::{DatabaseName, LOCK_DATABASE, RoleName};
use crate::observed::{self, Observed};
use crate::plan::{Plan, SecretFindings, probe_statements};
use crate::probe::Probe;
use crate::secret_id::{SecretId, Stage};
use crate::secrets::validate::{FetchedSecrets, foreign_endpoints, validate};
use crate::secrets::{Password, Secret, SecretError, SecretSource};
use crate::server::Tls;
use crate::server::connect::{ConnectError, Endpoint, Session, describe_error};
use crate::server::lock::Lock;
use crate::server::observe::probe;

/// The key of the advisory lock that serializes runs: the bytes of `rdsprov` and a zero byte.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"rdsprov\0");

/// A connected run, with its desired state and its secrets. It can plan; only a
/// [`Planned`](super::Planned) run can apply.
pub struct Provisioner {
    /// The desired state that the run plans for.
    pub desired: Desired,
    pub(super) verify: VerifyPasswords,
    /// Whether a plan was applied. Later plans of the run then verify passwords, even if the
    /// options say that passwords are always set.
    pub(super) applied: bool,
    pub(super) source: SecretSource,
    pub(super) minimum_length: usize,
    fetched: FetchedSecrets,
    /// The secrets in `fetched` that do not exist yet, for which this run generated a password.
    pub(super) new_secrets: BTreeSet<SecretId>,
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
    pub(super) fn validated_secrets(&self) -> (BTreeMap<SecretId, Secret>, SecretFindings) {
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
    pub(super) async fn refresh_secrets(&mut self, observed: &Observed) -> Result<bool, RunError> {
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

    /// Returns the server as `host:port`.
    #[must_use]
    pub fn server(&self) -> String {
        format!("{}:{}", self.admin.host, self.admin.port)
    }
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
