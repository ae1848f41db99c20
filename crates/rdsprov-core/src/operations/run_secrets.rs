//! The secrets of a run: fetched together, validated whenever they are fetched, and fetched again
//! before a password is set.

use std::collections::{BTreeMap, BTreeSet};

use super::error::RunError;
use crate::desired::Desired;
use crate::name::{LOCK_DATABASE, RoleName};
use crate::observed::{self, Observed};
use crate::plan::SecretFindings;
use crate::secret_id::{SecretId, Stage};
use crate::secrets::validate::{FetchedSecrets, foreign_endpoints, validate};
use crate::secrets::{Password, Secret, SecretError, SecretSource};
use crate::server::connect::Endpoint;
use crate::text::counted;

/// The secrets of the administrator and of the declared roles.
pub(super) struct RunSecrets {
    pub source: SecretSource,
    /// The minimum length of a password, in characters.
    pub minimum_length: usize,
    fetched: FetchedSecrets,
    /// The secrets in `fetched` that do not exist yet, for which this run generated a password.
    new: BTreeSet<SecretId>,
    /// The secrets that passed the validation.
    valid: BTreeMap<SecretId, Secret>,
    findings: SecretFindings,
}

impl RunSecrets {
    /// Fetches the secrets of the declared roles, and `admin_secret` if the administrator has one.
    ///
    /// # Errors
    /// Returns a [`RunError`] if the source fails, or if no password can be generated. All problems of
    /// single secrets are findings.
    pub async fn fetch(
        desired: &Desired,
        source: &SecretSource,
        admin_secret: Option<&SecretId>,
        minimum_length: usize,
    ) -> Result<Self, RunError> {
        let stage = desired.secret_stage;
        let of_roles = desired.secrets().into_iter().map(|id| (id.clone(), stage));
        let of_administrator = admin_secret.map(|id| (id.clone(), Stage::Current));
        let wanted: BTreeMap<SecretId, Stage> = of_roles.chain(of_administrator).collect();
        tracing::info!("reading {}", counted(wanted.len(), "secret"));
        let mut fetched = source.fetch(&wanted).await?;
        let new = generate_passwords(desired, &mut fetched, minimum_length)?;
        let (valid, findings) = validate(desired, &fetched, minimum_length);
        Ok(Self { source: source.clone(), minimum_length, fetched, new, valid, findings })
    }

    /// Returns what was fetched, with the reason why a secret cannot be used.
    pub fn fetched(&self) -> &FetchedSecrets {
        &self.fetched
    }

    /// Returns the secrets that passed the validation.
    pub fn valid(&self) -> &BTreeMap<SecretId, Secret> {
        &self.valid
    }

    /// Returns the findings of the validation.
    pub fn findings(&self) -> &SecretFindings {
        &self.findings
    }

    /// Writes the server of the run into the new secrets, and reports secrets for other servers.
    pub fn connected_to(&mut self, desired: &Desired, admin: &Endpoint) {
        for id in &self.new {
            if let Some(Ok(secret)) = self.fetched.get_mut(id) {
                secret.host = Some(admin.host.clone());
                secret.port = Some(admin.port);
                secret.dbname = Some(LOCK_DATABASE.to_owned());
            }
        }
        self.validate(desired, admin);
    }

    fn validate(&mut self, desired: &Desired, admin: &Endpoint) {
        (self.valid, self.findings) = validate(desired, &self.fetched, self.minimum_length);
        self.findings.notes.extend(foreign_endpoints(&self.valid, &admin.host, admin.port));
        self.findings.new_secrets.clone_from(&self.new);
    }

    /// Fetches those secrets again whose passwords the plan would set, and returns whether one
    /// changed.
    ///
    /// The secrets were fetched before this run had its lock. If a rotation ended in the meantime,
    /// they contain the old password, and setting it would undo the rotation.
    ///
    /// # Errors
    /// Returns a [`RunError`] if the source fails.
    pub async fn refresh(
        &mut self,
        desired: &Desired,
        observed: &Observed,
        admin: &Endpoint,
    ) -> Result<bool, RunError> {
        use observed::PasswordCheck::{ToBeSet, WrongPassword};
        let to_be_set = |role: &RoleName| {
            matches!(observed.password_checks.get(role), Some(WrongPassword | ToBeSet))
        };
        // The source of an embedding program is called only once for each secret.
        if matches!(self.source, SecretSource::Own(_)) {
            return Ok(false);
        }
        let wanted: BTreeMap<SecretId, Stage> = desired
            .roles
            .iter()
            .filter(|(name, _)| to_be_set(name))
            .flat_map(|(_, role)| role.secret().into_iter().chain(role.other_secrets.keys()))
            .filter(|id| !self.new.contains(*id))
            .map(|id| (id.clone(), desired.secret_stage))
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
        if changed {
            self.validate(desired, admin);
        }
        Ok(changed)
    }

    /// Creates the new secrets in their source.
    ///
    /// # Errors
    /// Returns the [`SecretError`] of the first secret that cannot be created.
    pub async fn create_new(&mut self) -> Result<(), SecretError> {
        while let Some(id) = self.new.first().cloned() {
            if let Some(secret) = self.valid.get(&id) {
                self.source.create(secret).await?;
            }
            self.new.remove(&id);
            self.findings.new_secrets.remove(&id);
        }
        Ok(())
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
        connect_to: None,
        dbname: None,
        master_secret: None,
    };
    fetched.insert(id.clone(), Ok(secret));
    Ok(BTreeSet::from([id.clone()]))
}
