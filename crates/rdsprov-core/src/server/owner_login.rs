//! Reads a database as its owner: one login proves the password of the owner, and reads the catalogs.
//!
//! Each role can read the catalogs, and no role can write them. So the administrator needs no session of its own
//! in such a database. It connects where the owner cannot log in or cannot read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::connect::{Endpoint, Session};
use super::connect_error::Platform;
use super::password_check::{
    FirstLogin, PasswordChecks, can_log_in_with_password, of_session, rejected,
};
use crate::config::VerifyPasswords;
use crate::desired::Desired;
use crate::name::{DatabaseName, RoleName};
use crate::observed::Observed;
use crate::secret_id::SecretId;
use crate::secrets::Secret;

/// A session of the owner of a database, which can read the catalogs.
pub(super) struct OwnerSession {
    pub session: Session,
    endpoint: Endpoint,
}

impl OwnerSession {
    /// Cancels the query that the session executes.
    pub async fn cancel(&self) {
        self.endpoint.cancel(&self.session).await;
    }
}

/// The logins of owners whose passwords a run checks.
pub(super) struct OwnerLogins<'a> {
    admin: &'a Endpoint,
    desired: &'a Desired,
    observed: &'a Observed,
    secrets: &'a BTreeMap<SecretId, Secret>,
    platform: Platform,
    /// Whether owners log in at all.
    log_in: bool,
    /// The owners that have logged in or do so now. One that owns several databases logs in to one of them.
    started: Mutex<BTreeSet<RoleName>>,
    results: Mutex<BTreeMap<RoleName, FirstLogin>>,
}

impl<'a> OwnerLogins<'a> {
    pub fn new(
        admin: &'a Endpoint,
        admin_session: &Session,
        desired: &'a Desired,
        observed: &'a Observed,
        secrets: &'a BTreeMap<SecretId, Secret>,
        checks: &PasswordChecks,
    ) -> Self {
        Self {
            admin,
            desired,
            observed,
            secrets,
            platform: Platform::of(observed),
            // A superuser compares the stored verifiers, and a pooler answers logins itself.
            log_in: checks.verify == VerifyPasswords::Login
                && !observed.administrator.superuser
                && !admin_session.is_pooled,
            started: Mutex::default(),
            results: Mutex::default(),
        }
    }

    /// Returns what the logins have shown.
    pub fn into_results(self) -> BTreeMap<RoleName, FirstLogin> {
        self.results.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs in to a database as its owner, if the run checks the password of the owner. Returns no session if
    /// the administrator is to read the database.
    pub async fn log_in(&self, database: &DatabaseName) -> Option<OwnerSession> {
        let (owner, endpoint) = self.owner_of(database)?;
        let login = endpoint.log_in_to_application(database).await?;
        let result = match &login {
            Ok(session) => of_session(session, self.platform),
            Err(error) => rejected(error, self.platform),
        };
        result.log(owner, database);
        let first = FirstLogin { database: database.clone(), result };
        self.remember(owner.clone(), first);
        let session = login.ok()?;
        session.begin_soon(endpoint.observation_timeout.of_statement()).await.ok()?;
        Some(OwnerSession { session, endpoint })
    }

    fn remember(&self, owner: RoleName, login: FirstLogin) {
        self.results.lock().unwrap_or_else(PoisonError::into_inner).insert(owner, login);
    }

    /// Returns the owner of a database if the run checks its password and it has not logged in yet.
    ///
    /// It is also the declared owner: objects that get another owner are read as the administrator.
    fn owner_of(&self, database: &DatabaseName) -> Option<(&RoleName, Endpoint)> {
        let Self { desired, observed, .. } = self;
        let declared = desired.databases.get(database)?.owner.as_ref()?;
        let owner = &observed.databases.get(database)?.owner;
        let role = desired.roles.get(owner)?;
        let is_checked = self.log_in
            && declared == owner
            && desired.is_selected(&role.application)
            && observed.current_clone(owner).is_none()
            && can_log_in_with_password(observed, owner);
        let password = &self.secrets.get(role.secret()?)?.password;
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        (is_checked && started.insert(owner.clone()))
            .then(|| (owner, self.admin.as_role(owner.clone(), password.clone())))
    }
}
