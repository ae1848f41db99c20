//! Selects the passwords to rotate from the names of applications.
//!
//! It reports all reasons against a rotation together, before the run contacts AWS or the server.
//! It knows the ids of secrets, but must not know their contents.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{Credential, Desired, Role};
use crate::name::{ApplicationName, RoleName};
use crate::secrets::SecretId;

/// A password to rotate, with the applications that use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The role whose password is replaced.
    pub role: RoleName,
    /// The secret that contains the password.
    pub secret: SecretId,
    /// The application that the caller named.
    pub application: ApplicationName,
    /// The other applications that log in as the role, whether the caller named them or not.
    pub others: Vec<ApplicationName>,
}

impl Rotation {
    /// Returns all applications that log in as the role; the one that the caller named comes first.
    pub fn applications(&self) -> impl Iterator<Item = &ApplicationName> {
        std::iter::once(&self.application).chain(&self.others)
    }
}

/// Why something cannot be rotated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// Nobody declares it.
    #[error(
        "no application {name:?} is declared; {}",
        .nearest.as_ref().map_or_else(|| "none is".to_owned(), |nearest| format!("did you mean {nearest:?}?"))
    )]
    UnknownApplication {
        /// What was asked for.
        name: String,
        /// The declared one that is most like it.
        nearest: Option<String>,
    },
    /// Only those of Secrets Manager have versions.
    #[error(
        "only secrets of AWS have versions (AWSCURRENT, AWSPENDING) to rotate by; use --secrets aws, or put the new password where this secret comes from and run `rdsprov apply`"
    )]
    NoVersions,
    /// There is no password.
    #[error(
        "{application}: role {role} has auth = \"iam\", and no password that could be rotated; leave it out"
    )]
    TokenOfIam {
        /// The application.
        application: ApplicationName,
        /// Its role.
        role: RoleName,
    },
    /// Two secrets cannot change at one moment.
    #[error(
        "{application}: role {role} has one password, and {} hold it: they cannot change at one moment; name one `secret` in each of its entries, or rotate them by hand",
        .secrets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    )]
    SeveralSecrets {
        /// The application.
        application: ApplicationName,
        /// Its role.
        role: RoleName,
        /// The secrets.
        secrets: Vec<SecretId>,
    },
    /// Two roles cannot change at one moment.
    #[error(
        "{application}: secret {secret} is that of role {role} and of {other}, too, whose password would be wrong then; give each role a secret of its own"
    )]
    SharedSecret {
        /// The application.
        application: ApplicationName,
        /// Its role.
        role: RoleName,
        /// The secret.
        secret: SecretId,
        /// The other role, or the administrator.
        other: String,
    },
}

/// Returns the passwords of the named applications, each once, in the order of the names.
///
/// `administrator` is the secret of the administrator, unless it logs in with an IAM token.
///
/// # Errors
/// Returns all reasons why one of the passwords cannot be rotated.
pub fn choose(
    desired: &Desired,
    applications: &[String],
    administrator: Option<&SecretId>,
) -> Result<Vec<Rotation>, Vec<RotationError>> {
    let by_role = applications_by_role(desired);
    let mut chosen: Vec<Rotation> = Vec::new();
    let mut errors = Vec::new();
    for name in applications {
        let selected = by_role.iter().find_map(|(role, applications)| {
            let application = applications.iter().find(|one| one.as_str() == name)?;
            Some((*role, *application, desired.roles.get(*role)?))
        });
        let Some((role, application, declared)) = selected else {
            errors.push(unknown_application(desired, name));
            continue;
        };
        if chosen.iter().any(|rotation| rotation.role == *role) {
            continue;
        }
        match secret_for(desired, role, application, declared, administrator) {
            Ok(secret) => {
                let others = by_role[role].iter().filter(|one| **one != application);
                chosen.push(Rotation {
                    role: role.clone(),
                    secret,
                    application: application.clone(),
                    others: others.map(|one| (*one).clone()).collect(),
                });
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(chosen) } else { Err(errors) }
}

fn applications_by_role(desired: &Desired) -> BTreeMap<&RoleName, BTreeSet<&ApplicationName>> {
    let mut by_role: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (role, access) in desired.databases.values().flat_map(|database| &database.access) {
        by_role.entry(role).or_default().insert(&access.application);
    }
    by_role
}

fn unknown_application(desired: &Desired, name: &str) -> RotationError {
    let nearest = desired
        .applications
        .iter()
        .map(|known| (strsim::jaro_winkler(known.as_str(), name), known))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, known)| known.to_string());
    RotationError::UnknownApplication { name: name.to_owned(), nearest }
}

/// Returns the secret of a role, if it is the only secret of the role and no other role uses it.
fn secret_for(
    desired: &Desired,
    role: &RoleName,
    application: &ApplicationName,
    declared: &Role,
    administrator: Option<&SecretId>,
) -> Result<SecretId, RotationError> {
    let (application, role) = (application.clone(), role.clone());
    let Credential::Password(secret) = &declared.credential else {
        return Err(RotationError::TokenOfIam { application, role });
    };
    if !declared.other_secrets.is_empty() {
        let others = declared.other_secrets.keys();
        let secrets = std::iter::once(secret).chain(others).cloned().collect();
        return Err(RotationError::SeveralSecrets { application, role, secrets });
    }
    let uses_secret =
        |other: &Role| other.secret() == Some(secret) || other.other_secrets.contains_key(secret);
    let other = desired
        .roles
        .iter()
        .find(|(name, other)| **name != role && uses_secret(other))
        .map(|(name, _)| format!("role {name}"))
        .or_else(|| (administrator == Some(secret)).then(|| "the administrator".to_owned()));
    match other {
        Some(other) => {
            Err(RotationError::SharedSecret { application, role, secret: secret.clone(), other })
        }
        None => Ok(secret.clone()),
    }
}
