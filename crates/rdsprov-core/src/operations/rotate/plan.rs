//! Plans a rotation: reads the versions of the secrets, and determines by login which password is
//! active.

use std::num::NonZeroU32;

use crate::name::DatabaseName;
use crate::observed::{Observed, PasswordCheck};
use crate::operations::error::RunError;
use crate::operations::provisioner::{Locked, Provisioner};
use crate::plan::rotation::{ActivePassword, Rotation, RotationError, RotationState};
use crate::plan::{Plan, Refusal, RefusalKind, SecretFindings};
use crate::secrets::scram::accepted_iterations;
use crate::secrets::validate::{clone_of, endpoint, foreign_endpoint, in_words, mismatches};
use crate::secrets::{
    Password, RotationOwner, SecretSource, SecretsManager, Stages, Version, VersionsError,
};
use crate::server::lock::Lock;
use crate::server::{Platform, blue_green, observe, password_check};

/// A planned rotation: its plan, and the secret versions that it is based on.
///
/// Its plan cannot be applied as that of a [`PlannedApply`](crate::operations::PlannedApply): most of
/// its steps are not statements.
///
/// ```compile_fail,E0599
/// # use rdsprov_core::operations::PlannedRotation;
/// # use rdsprov_core::server::ExecuteOptions;
/// # async fn apply(planned: PlannedRotation<'_>) {
/// let _ = planned.apply("build 7", &ExecuteOptions::default()).await;
/// # }
/// ```
pub struct PlannedRotation<'a> {
    pub(super) run: &'a Provisioner,
    pub(super) lock: &'a Lock,
    pub(super) plan: Plan,
    pub(super) candidates: Vec<Candidate>,
    /// The number of SCRAM iterations of new verifiers.
    pub(super) iterations: NonZeroU32,
}

/// One password that is rotated, with the versions of its secret.
pub(super) struct Candidate {
    pub state: RotationState,
    pub current: Version,
    pub pending: Option<Version>,
    /// The databases for test logins of the role.
    pub login_databases: Vec<DatabaseName>,
    /// The kind of server, for the advice after a rejected login.
    pub platform: Platform,
}

/// Checks that the secrets of a source have versions, which a rotation requires.
///
/// # Errors
/// Returns [`RotationError::NoVersions`] if the source is not AWS Secrets Manager.
pub fn check_source(source: &SecretSource) -> Result<(), RotationError> {
    manager(source).map(drop)
}

pub(super) fn manager(source: &SecretSource) -> Result<&SecretsManager, RotationError> {
    match source {
        SecretSource::Aws(manager) => Ok(manager),
        SecretSource::Files(_) | SecretSource::Own(_) => Err(RotationError::NoVersions),
    }
}

impl Locked<'_> {
    /// Reads the versions of the secrets, observes the roles, and plans a rotation. With the lock, the
    /// versions include the result of a rotation that ended before.
    ///
    /// # Errors
    /// Returns a [`RunError`] if the server or Secrets Manager cannot be queried. Problems of
    /// single secrets become refusals of the plan.
    pub async fn plan_rotation(
        &self,
        rotations: &[Rotation],
    ) -> Result<PlannedRotation<'_>, RunError> {
        let run = &*self.run;
        let mut observed =
            observe::observe_shared(&run.admin_session, &run.desired, &[], &[], &[]).await?;
        let (admin, session) = (&run.admin, &run.admin_session);
        observe::audit_table_of_server(admin, session, &run.desired, &mut observed).await?;
        blue_green::observe(admin, session, &mut observed).await?;
        run.record_connection(&mut observed);
        let mut findings = SecretFindings::default();
        let mut candidates = Vec::new();
        for rotation in rotations {
            match run.candidate(rotation, &observed, &mut findings).await {
                Ok(candidate) => candidates.extend(candidate),
                Err(VersionsError::Source(error)) => return Err(error.into()),
                Err(VersionsError::Secret(error)) => {
                    let kind = RefusalKind::SecretUnavailable {
                        reason: error.to_string(),
                        advice: error.hints(),
                    };
                    findings.refusals.push(Refusal::new(&rotation.application, kind));
                }
            }
        }
        let states: Vec<RotationState> =
            candidates.iter().map(|candidate| candidate.state.clone()).collect();
        let plan = |observed: &Observed| {
            Plan::for_rotation(&run.desired, observed, findings.clone(), &states)
        };
        let plan = run.probes().resolve(&run.desired, &mut observed, plan).await?;
        let iterations = accepted_iterations(observed.passwords.scram_iterations);
        Ok(PlannedRotation { run, lock: &self.lock, plan, candidates, iterations })
    }
}

impl Provisioner {
    /// Reads the versions of a secret, and determines by login which password is active.
    async fn candidate(
        &self,
        rotation: &Rotation,
        observed: &Observed,
        findings: &mut SecretFindings,
    ) -> Result<Option<Candidate>, VersionsError> {
        if !self.desired.roles.contains_key(&rotation.role) {
            return Ok(None);
        }
        let SecretSource::Aws(manager) = &self.secrets.source else { return Ok(None) };
        let id = &rotation.secret;
        let Stages { current: current_id, pending: pending_id, rotation_owner } =
            manager.stages(id).await?;
        let current = manager.version(id, &current_id).await?;
        let pending = match &pending_id {
            Some(version) => Some(manager.version(id, version).await?),
            None => None,
        };
        // Another program may have written the pending version, which becomes the current one.
        let secrets = pending.iter().map(|version| &version.secret).chain([&current.secret]);
        let clone =
            secrets.filter_map(|secret| clone_of(&self.desired, &rotation.role, secret)).next();
        if let Some(clone) = clone {
            let role = rotation.role.clone();
            let kind =
                RefusalKind::SecretAlternatesUsers { secret: id.clone(), role, clone: clone.name };
            findings.refusals.push(Refusal::new(&rotation.application, kind));
            return Ok(None);
        }
        let server = |secret| endpoint(secret, &self.admin.host, self.admin.port);
        if let Some(version) = &pending
            && server(&version.secret) != server(&current.secret)
        {
            let kind = RefusalKind::SecretOfOtherServer {
                secret: id.clone(),
                version: version.secret.version.clone(),
                role: rotation.role.clone(),
                endpoint: in_words(server(&version.secret)),
            };
            findings.refusals.push(Refusal::new(&rotation.application, kind));
            return Ok(None);
        }
        // The minimum length applies to the new password only, not to the one that is replaced.
        let versions = pending.iter().map(|version| (version, self.secrets.minimum_length));
        for (version, minimum_length) in versions.chain([(&current, 0)]) {
            let kinds = mismatches(
                &self.desired,
                &rotation.role,
                &version.secret,
                version.secret.version.as_ref(),
                minimum_length,
            );
            let refusal = |kind| Refusal::new(&rotation.application, kind);
            findings.refusals.extend(kinds.into_iter().map(refusal));
        }
        let login_databases =
            password_check::login_databases(&self.desired, observed, &rotation.role);
        let platform = Platform::of(observed);
        let place = (login_databases.as_slice(), platform);
        let active_password = if password_check::can_log_in_with_password(observed, &rotation.role)
        {
            self.active_password(rotation, place, &current, pending.as_ref()).await
        } else {
            ActivePassword::Neither
        };
        let rotation_owner = rotation_owner.map(|rotation_owner| match rotation_owner {
            RotationOwner::Rotation => {
                "automatic rotation is enabled in Secrets Manager".to_owned()
            }
            RotationOwner::Service(name) => format!("the service {name} manages it"),
        });
        let state = RotationState {
            rotation: rotation.clone(),
            current: current_id,
            pending: pending_id,
            active_password,
            rotation_owner,
            foreign_endpoint: foreign_endpoint(&current.secret, &self.admin.host, self.admin.port),
        };
        Ok(Some(Candidate { state, current, pending, login_databases, platform }))
    }

    async fn active_password(
        &self,
        rotation: &Rotation,
        place: (&[DatabaseName], Platform),
        current: &Version,
        pending: Option<&Version>,
    ) -> ActivePassword {
        let versions = pending.map(|version| (version, ActivePassword::Pending));
        for (version, active_password) in
            versions.into_iter().chain([(current, ActivePassword::Current)])
        {
            match self.try_login(rotation, place, &version.secret.password).await {
                PasswordCheck::Accepted => return active_password,
                PasswordCheck::Inconclusive(reason) => return ActivePassword::Unknown(reason),
                PasswordCheck::WrongPassword
                | PasswordCheck::NotChecked
                | PasswordCheck::ToBeSet => {}
            }
        }
        ActivePassword::Neither
    }

    pub(super) async fn try_login(
        &self,
        rotation: &Rotation,
        (login_databases, platform): (&[DatabaseName], Platform),
        password: &Password,
    ) -> PasswordCheck {
        if self.admin_session.is_pooled {
            return password_check::pooled();
        }
        let target = self.admin.as_role(rotation.role.clone(), password.clone());
        let identity = self.admin.server_identity(Some(&self.admin_session));
        password_check::login(&target, login_databases, platform, identity).await
    }
}

impl PlannedRotation<'_> {
    /// Returns the plan, with up to four steps for each password. Steps that an interrupted
    /// rotation has done are omitted.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}
