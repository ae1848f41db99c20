//! What must be observed for an export: the databases in its scope, and the roles that log in to them.

use std::collections::{BTreeMap, BTreeSet};

use super::context::ExportContext;
use super::scope::ExportScope;
use crate::definitions::{Application, Auth, Location};
use crate::desired::Desired;
use crate::name::{ApplicationName, DatabaseName, NameError, RoleName};
use crate::observed::{Observed, Role};
use crate::plan;
use crate::privilege::AccessLevel;
use crate::secret_id::TemplateError;

/// The roles and databases that an export can declare.
pub(super) struct Candidates {
    pub databases: BTreeSet<DatabaseName>,
    pub roles: BTreeSet<RoleName>,
    /// The other roles in the scope of the export, each with the reason why it is none of them. System
    /// roles are not among them.
    pub other_roles: BTreeMap<RoleName, String>,
}

impl Candidates {
    pub fn new(observed: &Observed, context: &ExportContext<'_>) -> Result<Self, TemplateError> {
        let scope = context.scope;
        let nothing = context.desired([], None)?;
        let databases = observed
            .databases
            .iter()
            .filter(|(name, seen)| is_application_database(name) && scope.covers(name, &seen.owner))
            .map(|(name, _)| name.clone())
            .collect();
        let mut candidates =
            Self { databases, roles: BTreeSet::new(), other_roles: BTreeMap::new() };
        for (name, role) in &observed.roles {
            if is_system_role(name, role, observed) || scope.excludes(name) {
                continue;
            }
            let reason = if !role.login {
                Some("it cannot log in".to_owned())
            } else {
                plan::administrator_power(&nothing, observed, name, role)
                    .map(|power| format!("it {power}"))
            };
            match reason {
                None => drop(candidates.roles.insert(name.clone())),
                Some(reason) => drop(candidates.other_roles.insert(name.clone(), reason)),
            }
        }
        Ok(candidates)
    }
}

/// Returns the databases of applications if the scope selects some by their names or owners, and none of them
/// matches.
pub fn unmatched(observed: &Observed, scope: &ExportScope) -> Option<Vec<DatabaseName>> {
    let databases = || observed.databases.iter().filter(|(name, _)| is_application_database(name));
    let is_unmatched =
        scope.is_restricted() && !databases().any(|(name, seen)| scope.covers(name, &seen.owner));
    is_unmatched.then(|| databases().map(|(name, _)| name.clone()).collect())
}

/// Returns whether a database is not one of the system. The rules of the definitions decide about its
/// name later.
fn is_application_database(name: &DatabaseName) -> bool {
    !matches!(DatabaseName::new(name.as_str()), Err(NameError::Reserved { .. }))
}

fn is_system_role(name: &RoleName, role: &Role, observed: &Observed) -> bool {
    let is_reserved = matches!(RoleName::new(name.as_str()), Err(NameError::Reserved { .. }));
    is_reserved || role.superuser || *name == observed.administrator.name
}

/// Returns the desired state with which everything is observed that an export needs. It is not planned.
///
/// # Errors
/// Never returns an error in practice, because no role of the desired state has a secret.
pub fn survey(observed: &Observed, context: &ExportContext<'_>) -> Result<Desired, TemplateError> {
    let candidates = Candidates::new(observed, context)?;
    let mut entries = Vec::new();
    let mut entry = |database: &DatabaseName, role: &RoleName, access_level| {
        let application = ApplicationName::new(format!("n{}", entries.len()));
        entries.extend(application.map(|key| of_role(key, database, role, access_level)));
    };
    let mut without_entry = candidates.roles.clone();
    for database in &candidates.databases {
        let owner = observed.databases.get(database).map(|seen| &seen.owner);
        if let Some(owner) = owner.filter(|owner| candidates.roles.contains(*owner)) {
            entry(database, owner, AccessLevel::Owner);
            without_entry.remove(owner);
        } else if let Some(role) = candidates.roles.first() {
            entry(database, role, AccessLevel::Reader);
            without_entry.remove(role);
        }
    }
    if let Some(database) = candidates.databases.first() {
        for role in &without_entry {
            entry(database, role, AccessLevel::Reader);
        }
    }
    context.desired(&entries, None)
}

/// Returns an entry that says nothing but who has which access to which database.
pub(super) fn of_role(
    application: ApplicationName,
    database: &DatabaseName,
    role: &RoleName,
    access_level: AccessLevel,
) -> Application {
    Application {
        application,
        database_name: database.clone(),
        username: role.clone(),
        access_level,
        schemas: Vec::new(),
        extensions: Vec::new(),
        auth: Auth::Iam,
        secret: None,
        role_owner: false,
        says_role_owner: false,
        inherits_credential: false,
        createdb: false,
        memberships: Vec::new(),
        connection_limit: -1,
        valid_until: None,
        settings: BTreeMap::new(),
        creators: Vec::new(),
        plugin_databases: Vec::new(),
        adopt: false,
        location: Location::of_export(),
    }
}
