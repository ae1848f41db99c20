//! What may be rotated: applications are asked for, and roles have passwords. All that the definitions
//! speak against is told at once, before anybody is contacted.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{Credential, Desired, Role};
use crate::name::{ApplicationName, RoleName};
use crate::secrets::SecretId;

/// One password to be rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// Whose.
    pub role: RoleName,
    /// Where it is kept.
    pub secret: SecretId,
    /// The application that was asked for.
    pub application: ApplicationName,
    /// The others that log in with it, asked for or not.
    pub others: Vec<ApplicationName>,
}

impl Rotation {
    /// Every application that logs in with it.
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

/// The passwords of some applications, each once, in the order asked for.
///
/// # Errors
/// All that is in the way; see [`RotationError`]. `administrator` is the administrator's secret, where it
/// logs in with one.
pub fn choose(
    desired: &Desired,
    applications: &[String],
    administrator: Option<&SecretId>,
) -> Result<Vec<Rotation>, Vec<RotationError>> {
    let of_role = applications_of_roles(desired);
    let mut chosen: Vec<Rotation> = Vec::new();
    let mut errors = Vec::new();
    for name in applications {
        let found = of_role.iter().find_map(|(role, applications)| {
            let application = applications.iter().find(|one| one.as_str() == name)?;
            Some((*role, *application, desired.roles.get(*role)?))
        });
        let Some((role, application, declared)) = found else {
            errors.push(unknown(desired, name));
            continue;
        };
        if chosen.iter().any(|rotation| rotation.role == *role) {
            continue;
        }
        match secret_for(desired, role, application, declared, administrator) {
            Ok(secret) => {
                let others = of_role[role].iter().filter(|one| **one != application);
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

fn applications_of_roles(desired: &Desired) -> BTreeMap<&RoleName, BTreeSet<&ApplicationName>> {
    let mut of_role: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (role, access) in desired.databases.values().flat_map(|database| &database.access) {
        of_role.entry(role).or_default().insert(&access.application);
    }
    of_role
}

fn unknown(desired: &Desired, name: &str) -> RotationError {
    let nearest = desired
        .applications
        .iter()
        .map(|known| (strsim::jaro_winkler(known.as_str(), name), known))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, known)| known.to_string());
    RotationError::UnknownApplication { name: name.to_owned(), nearest }
}

/// The one secret of a role, where it is nobody else's.
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
    let holds =
        |other: &Role| other.secret() == Some(secret) || other.other_secrets.contains_key(secret);
    let other = desired
        .roles
        .iter()
        .find(|(name, other)| **name != role && holds(other))
        .map(|(name, _)| format!("role {name}"))
        .or_else(|| (administrator == Some(secret)).then(|| "the administrator".to_owned()));
    match other {
        Some(other) => {
            Err(RotationError::SharedSecret { application, role, secret: secret.clone(), other })
        }
        None => Ok(secret.clone()),
    }
}
