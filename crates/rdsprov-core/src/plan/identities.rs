//! Finds the databases and roles that a transaction verifies: those that its steps name or need.

use std::collections::{BTreeMap, BTreeSet};

use super::identity::GlobalObject;
use super::planner::Planner;
use super::{
    Action, DATABASE_OWNER, DatabaseIdentity, DatabaseOid, Hazard, Identities, PrivilegedAttribute,
    RoleIdentity, Scope, Step, Transaction,
};
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::observed;

impl Identities {
    /// Keeps the databases and roles of these steps, and the role that creates the audit table.
    pub(super) fn retain(&mut self, scope: &Scope, steps: &[Step], creator: Option<&RoleName>) {
        let databases = names_of_databases(scope, steps);
        self.databases.retain(|name, _| databases.contains(name));
        let mut roles = names_of_roles(steps);
        roles.extend(owners(&self.databases));
        roles.extend(creator);
        self.roles.retain(|name, _| roles.contains(name));
    }
}

impl<S> Transaction<S> {
    /// Returns the applications whose steps are planned for a database or role, and need another one
    /// now.
    pub(crate) fn applications_of(&self, exchanged: &GlobalObject) -> BTreeSet<ApplicationName> {
        let of_scope = match &self.scope {
            Scope::Database(name) => Some(name),
            Scope::Cluster | Scope::NewDatabase(_) | Scope::DroppedDatabase(_) | Scope::Secrets => {
                None
            }
        };
        let concerns = |step: &&Step<S>| {
            let database = of_scope.or(step.database.as_ref());
            match exchanged {
                GlobalObject::Database(name) => database == Some(name),
                GlobalObject::Role(role) => {
                    let identity = database.and_then(|name| self.identities.databases.get(name));
                    let owners = identity.into_iter().flat_map(DatabaseIdentity::owners);
                    step.role
                        .iter()
                        .chain(step.required_roles())
                        .chain(owners)
                        .any(|one| one == role)
                }
            }
        };
        self.steps.iter().filter(concerns).map(|step| step.application.clone()).collect()
    }
}

impl DatabaseIdentity {
    fn owners(&self) -> impl Iterator<Item = &RoleName> {
        [Some(&self.owner), self.new_owner.as_ref()].into_iter().flatten()
    }
}

impl Planner<'_> {
    /// Returns the identities that a transaction with these steps verifies.
    pub(super) fn identities(&self, scope: &Scope, steps: &[Step]) -> Identities {
        let databases = names_of_databases(scope, steps).into_iter();
        let databases: BTreeMap<_, _> = databases
            .filter_map(|name| Some((name.clone(), self.database_identity(name, scope, steps)?)))
            .collect();
        let names: BTreeSet<&RoleName> =
            names_of_roles(steps).into_iter().chain(owners(&databases)).collect();
        let roles =
            names.into_iter().filter_map(|name| Some((name.clone(), self.role_identity(name)?)));
        Identities { roles: roles.collect(), databases }
    }

    /// Returns the identity of a database; `None` for a template.
    fn database_identity(
        &self,
        name: &DatabaseName,
        scope: &Scope,
        steps: &[Step],
    ) -> Option<DatabaseIdentity> {
        let administrator = &self.observed.administrator.name;
        let declared = self.desired.databases.get(name).and_then(|one| one.owner.as_ref());
        let seen = self.observed.databases.get(name);
        let Some(seen) = seen.filter(|seen| !seen.is_unfinished(administrator)) else {
            let owner = declared.filter(|_| matches!(scope, Scope::Database(_)))?.clone();
            return Some(DatabaseIdentity { oid: DatabaseOid::Created, owner, new_owner: None });
        };
        let changes_owner = |step: &Step| {
            step.database.as_ref() == Some(name)
                && step.action == Action::AlterDatabase
                && step.hazards.contains(&Hazard::ChangesOwner)
        };
        // A database that is dropped belongs to the administrator first.
        let is_released = |step: &Step| {
            step.database.as_ref() == Some(name) && step.hazards.contains(&Hazard::DropsDatabase)
        };
        let declared = match steps.iter().any(is_released) {
            true => Some(administrator),
            false => declared.filter(|_| steps.iter().any(changes_owner)),
        };
        Some(DatabaseIdentity {
            oid: seen.oid.map_or(DatabaseOid::Unknown, DatabaseOid::Observed),
            owner: seen.owner.clone(),
            new_owner: declared.cloned(),
        })
    }

    /// Returns the identity of a role; `None` for a role that is neither observed nor declared.
    pub(super) fn role_identity(&self, name: &RoleName) -> Option<RoleIdentity> {
        let seen = self.observed.roles.get(name);
        let declared = self.desired.roles.get(name);
        if seen.is_none() && declared.is_none() {
            return None;
        }
        let mut attributes = seen.map(held_by).unwrap_or_default();
        if declared.is_some_and(|role| role.create_role) {
            attributes.insert(PrivilegedAttribute::CreateRole);
        }
        Some(RoleIdentity { oid: seen.and_then(|seen| seen.oid), attributes })
    }
}

fn held_by(seen: &observed::Role) -> BTreeSet<PrivilegedAttribute> {
    [
        (seen.superuser, PrivilegedAttribute::Superuser),
        (seen.create_role, PrivilegedAttribute::CreateRole),
        (seen.replication, PrivilegedAttribute::Replication),
        (seen.bypass_rls, PrivilegedAttribute::BypassRls),
    ]
    .into_iter()
    .filter_map(|(held, attribute)| held.then_some(attribute))
    .collect()
}

/// Returns the databases that the steps name. Until the transaction that finishes a new database is
/// committed, only administrators can replace it: it belongs to the administrator.
fn names_of_databases<'a>(scope: &'a Scope, steps: &'a [Step]) -> BTreeSet<&'a DatabaseName> {
    match scope {
        Scope::NewDatabase(_) | Scope::DroppedDatabase(_) | Scope::Secrets => BTreeSet::new(),
        Scope::Cluster => steps.iter().filter_map(|step| step.database.as_ref()).collect(),
        Scope::Database(name) => BTreeSet::from([name]),
    }
}

fn owners(databases: &BTreeMap<DatabaseName, DatabaseIdentity>) -> BTreeSet<&RoleName> {
    databases.values().flat_map(DatabaseIdentity::owners).collect()
}

/// Returns the roles that the steps name or need.
fn names_of_roles(steps: &[Step]) -> BTreeSet<&RoleName> {
    let roles = steps.iter().flat_map(|step| step.role.iter().chain(step.required_roles()));
    roles.filter(|name| name.as_str() != DATABASE_OWNER).collect()
}
