//! Selects the passwords to rotate from the names of applications.
//!
//! It reports all reasons against a rotation together, before the run contacts AWS or the server.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{Credential, Desired, Role};
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Operation, Opt};
use crate::name::{ApplicationName, RoleName, nearest};
use crate::secret_id::SecretId;

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
    /// The other declared roles whose entries name the same secret, with their applications. The markers
    /// decide whose secret it is: an entry of one team must not prevent the rotations of another one.
    pub shared_with: Vec<(RoleName, ApplicationName)>,
}

impl Rotation {
    /// Returns all applications that log in as the role; the one that the caller named comes first.
    pub fn applications(&self) -> impl Iterator<Item = &ApplicationName> {
        std::iter::once(&self.application).chain(&self.others)
    }
}

/// A password cannot be rotated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RotationError {
    /// The definitions do not declare the application.
    #[error("application `{name}` is not declared")]
    UnknownApplication {
        /// The name that was given.
        name: String,
        /// The most similar declared application.
        nearest: Option<String>,
    },
    /// The secrets do not come from Secrets Manager, and have no versions.
    #[error("the secrets have no versions to rotate: they do not come from Secrets Manager")]
    NoVersions,
    /// The role logs in with IAM tokens.
    #[error("{application}: role {role} has `auth = \"iam\"`, and no password to rotate")]
    RoleUsesIam {
        /// The application whose password is rotated.
        application: ApplicationName,
        /// The role of this application.
        role: RoleName,
    },
    /// The role cannot log in.
    #[error("{application}: role {role} is retired, and has no password to rotate")]
    RoleRetired {
        /// The application whose password is rotated.
        application: ApplicationName,
        /// The role of this application.
        role: RoleName,
    },
    /// Two secrets cannot change at the same moment.
    #[error(
        "{application}: the password of role {role} is stored in several secrets: {}",
        .secrets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    SeveralSecrets {
        /// The application whose password is rotated.
        application: ApplicationName,
        /// The role of this application.
        role: RoleName,
        /// The ids of these secrets.
        secrets: Vec<SecretId>,
    },
    /// The passwords of a role and of the administrator cannot change at the same moment.
    #[error(
        "{application}: secret {secret} of role {role} is also the secret of the administrator"
    )]
    SharedSecret {
        /// The application whose password is rotated.
        application: ApplicationName,
        /// The role of this application.
        role: RoleName,
        /// The id of this secret.
        secret: SecretId,
    },
}

impl RotationError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownApplication { .. } => ErrorCode::UnknownApplication,
            Self::NoVersions => ErrorCode::SecretWithoutStages,
            Self::RoleUsesIam { .. } | Self::RoleRetired { .. } => ErrorCode::NoPasswordToRotate,
            Self::SeveralSecrets { .. } => ErrorCode::SeveralSecrets,
            Self::SharedSecret { .. } => ErrorCode::SharedSecret,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        vec![match self {
            Self::UnknownApplication { nearest: None, .. } => {
                "declare the application in the definitions".into()
            }
            Self::UnknownApplication { nearest: Some(nearest), .. } => {
                format!("check the name: `{nearest}` is declared").into()
            }
            Self::NoVersions => hint![
                "use ",
                (Opt::Secrets, "aws"),
                ", or change the password in the source of the secret and run ",
                Operation::Apply
            ],
            Self::RoleUsesIam { .. } | Self::RoleRetired { .. } => {
                "leave the application out".into()
            }
            Self::SeveralSecrets { .. } => "write the same `secret` in each entry of the role, or \
                change the password by hand"
                .into(),
            Self::SharedSecret { .. } => "give each role its own secret".into(),
        }]
    }
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
        match secret_for(role, application, declared, administrator) {
            Ok(secret) => {
                let others = by_role[role].iter().filter(|one| **one != application);
                let shared_with = roles_with(desired, role, &secret);
                chosen.push(Rotation {
                    shared_with,
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
    let known = desired.applications.iter().map(ApplicationName::as_str);
    let nearest = nearest(name, known).map(str::to_owned);
    RotationError::UnknownApplication { name: name.to_owned(), nearest }
}

/// Returns the other declared roles whose entries name a secret.
fn roles_with(
    desired: &Desired,
    role: &RoleName,
    secret: &SecretId,
) -> Vec<(RoleName, ApplicationName)> {
    let uses_secret = |other: &Role| {
        other.secret().into_iter().chain(other.other_secrets.keys()).any(|one| one.is_same(secret))
    };
    let others = desired.roles.iter().filter(|(name, other)| *name != role && uses_secret(other));
    others.map(|(name, other)| (name.clone(), other.application.clone())).collect()
}

/// Returns the secret of a role, if it is the only secret of the role and not that of the administrator.
fn secret_for(
    role: &RoleName,
    application: &ApplicationName,
    declared: &Role,
    administrator: Option<&SecretId>,
) -> Result<SecretId, RotationError> {
    let (application, role) = (application.clone(), role.clone());
    let secret = match &declared.credential {
        Credential::Password(secret) => secret,
        Credential::Iam => return Err(RotationError::RoleUsesIam { application, role }),
        Credential::Retired => return Err(RotationError::RoleRetired { application, role }),
    };
    if !declared.other_secrets.is_empty() {
        let others = declared.other_secrets.keys();
        let secrets = std::iter::once(secret).chain(others).cloned().collect();
        return Err(RotationError::SeveralSecrets { application, role, secrets });
    }
    if administrator.is_some_and(|one| one.is_same(secret)) {
        return Err(RotationError::SharedSecret { application, role, secret: secret.clone() });
    }
    Ok(secret.clone())
}
