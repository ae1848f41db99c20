//! Compares the secrets with the definitions: each one that is unavailable or
//! contradicts them is refused.

use std::collections::BTreeMap;

use super::{Secret, SecretError};
use crate::desired::Desired;
use crate::name::{DatabaseName, RoleName};
use crate::plan::{Note, NoteKind, Refusal, RefusalKind, SecretFindings};
use crate::rotation_clone::{CurrentUser, RotationClone};
use crate::secret_id::SecretId;

/// The result of reading each secret.
pub type FetchedSecrets = BTreeMap<SecretId, Result<Secret, SecretError>>;

/// Returns one of the fetched secrets, or why it cannot be used.
pub fn lookup(fetched: &FetchedSecrets, id: &SecretId) -> Result<Secret, SecretError> {
    let missing = || Err(SecretError::Missing { id: id.clone(), region: None, file: None });
    fetched.get(id).cloned().unwrap_or_else(missing)
}

/// Returns the secrets that could be read, and a refusal for each other one and for each
/// contradiction of the definitions. Passwords must have at least `minimum_length` characters.
pub fn validate(
    desired: &Desired,
    fetched: &FetchedSecrets,
    minimum_length: usize,
) -> (BTreeMap<SecretId, Secret>, SecretFindings) {
    let unavailable = |error: &SecretError| RefusalKind::SecretUnavailable {
        reason: error.to_string(),
        advice: error.hints(),
    };
    let mut refusals = Vec::new();
    for (name, role) in desired.selected_roles() {
        let Some(id) = role.secret() else { continue };
        refusals.extend(role.other_secrets.iter().filter_map(|(other, application)| {
            let kind = match (fetched.get(id)?, fetched.get(other)?) {
                (_, Err(error)) => unavailable(error),
                (Ok(one), Ok(two)) if !one.password.is_same(&two.password) => {
                    RefusalKind::SecretsDiffer {
                        secret: id.clone(),
                        other: other.clone(),
                        role: name.clone(),
                    }
                }
                _ => return None,
            };
            Some(Refusal::new(application, kind))
        }));
        let kinds = match lookup(fetched, id) {
            Ok(secret) => mismatches(desired, name, &secret, None, minimum_length),
            Err(error) => vec![unavailable(&error)],
        };
        refusals.extend(kinds.into_iter().map(|kind| Refusal::new(&role.application, kind)));
    }
    let secrets: BTreeMap<SecretId, Secret> = fetched
        .iter()
        .filter_map(|(id, secret)| Some((id.clone(), secret.as_ref().ok()?.clone())))
        .collect();
    let versions = secrets
        .iter()
        .filter_map(|(id, secret)| Some((id.clone(), secret.version.clone()?)))
        .collect();
    (secrets, SecretFindings { refusals, versions, ..SecretFindings::default() })
}

/// Returns each contradiction between a secret and the definitions. `version` is the version of the
/// secret, if the refusal must name it.
pub fn mismatches(
    desired: &Desired,
    role: &RoleName,
    secret: &Secret,
    version: Option<&String>,
    minimum_length: usize,
) -> Vec<RefusalKind> {
    let (id, version) = (|| secret.id.clone(), || version.cloned());
    let mut mismatches = Vec::new();
    if secret.password.is_shorter_than(minimum_length) {
        mismatches.push(RefusalKind::PasswordTooShort {
            secret: id(),
            version: version(),
            minimum_length,
        });
    }
    let clone = clone_of(desired, role, secret);
    let is_user = |username: &String| {
        username == role.as_str() || clone.as_ref().is_some_and(|one| username == one.name.as_str())
    };
    if let Some(username) = secret.username.as_ref().filter(|username| !is_user(username)) {
        mismatches.push(RefusalKind::SecretUsernameDiffers {
            secret: id(),
            version: version(),
            username: declared_user(desired, username),
            role: role.clone(),
        });
    }
    let databases: Vec<_> = desired
        .databases
        .iter()
        .filter(|(_, database)| database.access.contains_key(role))
        .map(|(database, _)| database.clone())
        .collect();
    // A delegate connects to any database.
    let is_foreign = |dbname: &&String| {
        !desired.is_delegate(role) && !databases.iter().any(|database| database.as_str() == *dbname)
    };
    if let Some(dbname) = secret.dbname.as_ref().filter(is_foreign) {
        let is_it = |name: &&DatabaseName| name.as_str() == dbname;
        let dbname = desired.databases.keys().find(is_it).cloned();
        mismatches.push(RefusalKind::SecretDatabaseDiffers {
            secret: id(),
            version: version(),
            dbname,
            databases,
        });
    }
    mismatches
}

/// Returns the role of the definitions, or the clone of one, that has a name. Other values of a secret are not
/// for messages: an application can name a secret of another program.
fn declared_user(desired: &Desired, username: &str) -> Option<RoleName> {
    let clones = desired.roles.keys().filter_map(RotationClone::name_for);
    desired.roles.keys().cloned().chain(clones).find(|name| name.as_str() == username)
}

/// Returns the clone of a role, if Secrets Manager rotates the secret by alternating between both. A
/// delegate has none: a clone would not have the attributes of the role.
pub fn clone_of(desired: &Desired, role: &RoleName, secret: &Secret) -> Option<RotationClone> {
    if secret.master_secret.is_none() || desired.is_delegate(role) {
        return None;
    }
    let name = RotationClone::name_for(role)?;
    let current = match &secret.username {
        Some(username) if username == name.as_str() => CurrentUser::Clone,
        _ => CurrentUser::Declared,
    };
    Some(RotationClone { name, current })
}

/// Returns the clones of the roles of the selected applications, by the declared roles.
pub fn clones(
    desired: &Desired,
    secrets: &BTreeMap<SecretId, Secret>,
) -> BTreeMap<RoleName, RotationClone> {
    let clones = desired.selected_roles().filter_map(|(name, role)| {
        let secret = secrets.get(role.secret()?)?;
        Some((name.clone(), clone_of(desired, name, secret)?))
    });
    clones.collect()
}

/// Returns a note for each secret that contains another host or port, such as those of a proxy.
pub fn foreign_endpoints(
    secrets: &BTreeMap<SecretId, Secret>,
    at: &str,
    at_port: u16,
) -> Vec<Note> {
    secrets
        .values()
        .filter_map(|secret| {
            Some(Note(NoteKind::EndpointDiffers {
                secret: secret.id.clone(),
                endpoint: foreign_endpoint(secret, at, at_port)?,
                server: format!("{at}:{at_port}"),
            }))
        })
        .collect()
}

/// Returns the host and port in a secret; those of the server where it contains none.
pub fn endpoint<'a>(secret: &'a Secret, at: &'a str, at_port: u16) -> (&'a str, u16) {
    (secret.host.as_deref().unwrap_or(at), secret.port.unwrap_or(at_port))
}

/// Returns the host and port in a secret, if they are not those of the server.
pub fn foreign_endpoint(secret: &Secret, at: &str, at_port: u16) -> Option<String> {
    let (host, port) = endpoint(secret, at, at_port);
    (host != at || port != at_port).then(|| in_words((host, port)))
}

/// Returns a host and port for messages. What is not the name or the address of a host is left out.
pub fn in_words((host, port): (&str, u16)) -> String {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    if host.chars().all(is_of_name) { format!("{host}:{port}") } else { format!("…:{port}") }
}
