//! What the secrets say against the definitions: those that are not to be had, and those that contradict them.

use std::collections::BTreeMap;

use super::{Secret, SecretError, SecretId};
use crate::desired::Desired;
use crate::name::RoleName;
use crate::plan::{Refusal, SecretFindings};

/// What the source said of each secret.
pub type FetchedSecrets = BTreeMap<SecretId, Result<Secret, SecretError>>;

/// One of them.
pub fn lookup(fetched: &FetchedSecrets, id: &SecretId) -> Result<Secret, SecretError> {
    let missing = || Err(SecretError::Missing { id: id.clone(), region: None });
    fetched.get(id).cloned().unwrap_or_else(missing)
}

/// Good secrets to one side, a refusal for each that is not, or that contradicts the definitions.
pub fn validate(
    desired: &Desired,
    fetched: &FetchedSecrets,
    minimum_length: usize,
) -> (BTreeMap<SecretId, Secret>, SecretFindings) {
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
                manual_fix: None,
            })
        }));
        let mut refuse = |message: String, remedy: &str| {
            refusals.push(Refusal {
                application: role.application.clone(),
                message,
                remedy: remedy.to_owned(),
                manual_fix: None,
            });
        };
        match lookup(fetched, id) {
            Ok(secret) => {
                for (message, remedy) in mismatches(desired, name, &secret, minimum_length) {
                    refuse(message, remedy);
                }
            }
            Err(error) => {
                let hints: Vec<String> = error.hints().iter().map(ToString::to_string).collect();
                refuse(error.to_string(), &hints.join("; "));
            }
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
    (secrets, SecretFindings { refusals, versions, ..SecretFindings::default() })
}

/// What in a secret goes against the definitions, each with what to do.
pub fn mismatches(
    desired: &Desired,
    role: &RoleName,
    secret: &Secret,
    minimum_length: usize,
) -> Vec<(String, &'static str)> {
    let id = &secret.id;
    let mut mismatches = Vec::new();
    if secret.password.is_shorter_than(minimum_length) {
        mismatches.push((
            format!(
                "secret {id}: the password has less than {minimum_length} characters, which [passwords] minimum_length asks for"
            ),
            "set a longer one",
        ));
    }
    let remedy = "correct the secret or the definition, so that both say the same";
    if let Some(username) = secret.username.as_deref().filter(|u| *u != role.as_str()) {
        mismatches.push((
            format!("secret {id} is for user {username:?}, the definitions say {role}"),
            remedy,
        ));
    }
    let databases: Vec<&str> = desired
        .databases
        .iter()
        .filter(|(_, database)| database.access.contains_key(role))
        .map(|(database, _)| database.as_str())
        .collect();
    let administers = desired.roles.get(role).is_some_and(|role| role.administers);
    let is_foreign = |dbname: &&str| !administers && !databases.contains(dbname);
    if let Some(dbname) = secret.dbname.as_deref().filter(is_foreign) {
        mismatches.push((
            format!(
                "secret {id} is for database {dbname:?}, the definitions say {}",
                databases.join(", ")
            ),
            remedy,
        ));
    }
    mismatches
}

/// A note for each secret that names another server: a proxy's address, say.
pub fn foreign_endpoints(
    secrets: &BTreeMap<SecretId, Secret>,
    at: &str,
    at_port: u16,
) -> Vec<String> {
    secrets
        .values()
        .filter(|secret| {
            secret.host.as_ref().is_some_and(|host| *host != at)
                || secret.port.is_some_and(|port| port != at_port)
        })
        .map(|secret| {
            format!(
                "secret {} names {}:{}, this server is {}:{}",
                secret.id,
                secret.host.as_deref().unwrap_or(at),
                secret.port.unwrap_or(at_port),
                at,
                at_port
            )
        })
        .collect()
}
