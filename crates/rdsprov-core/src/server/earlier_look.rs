//! What an earlier look of a run at the server has found, and the run has not changed since.
//!
//! After a plan was applied, the run looks again. It reads the catalogs that all databases share, and each database and
//! password that the plan has changed; the others were read some seconds before.

use std::collections::BTreeSet;

use crate::desired::Desired;
use crate::name::{DatabaseName, RoleName};
use crate::observed::{AuditTable, Contents, Observed, PasswordCheck};
use crate::plan::{self, Plan, Scope};

/// An earlier look, with what was changed after it.
pub(crate) struct EarlierLook {
    observed: Observed,
    databases: BTreeSet<DatabaseName>,
    roles: BTreeSet<RoleName>,
}

impl EarlierLook {
    /// Returns the look on which a plan is based that was applied as a whole.
    pub fn before(plan: &Plan, observed: Observed) -> Self {
        let (mut databases, mut roles) = (BTreeSet::new(), BTreeSet::new());
        for transaction in &plan.transactions {
            match &transaction.scope {
                Scope::Database(name) | Scope::NewDatabase(name) | Scope::DroppedDatabase(name) => {
                    databases.insert(name.clone());
                }
                Scope::Cluster | Scope::Secrets => {}
            }
            roles.extend(transaction.memberships.keys().cloned());
            for step in &transaction.steps {
                databases.extend(step.database.clone());
                roles.extend(step.role.clone());
                roles.extend(step.memberships().into_keys());
            }
        }
        Self { observed, databases, roles }
    }

    /// Returns what was found.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Returns the contents of a database, with its audit table, unless it was changed or is another one now, or the
    /// plan needs names that were not read.
    pub(super) fn contents(
        &self,
        desired: &Desired,
        observed: &Observed,
        name: &DatabaseName,
    ) -> Option<(&Contents, Option<&AuditTable>)> {
        let before = self.observed.databases.get(name)?;
        let now = observed.databases.get(name)?;
        let is_same = !self.databases.contains(name)
            && now.oid.is_some()
            && (before.oid, &before.owner) == (now.oid, &now.owner);
        let contents = before.contents.as_ref().filter(|_| is_same)?;
        let needed = plan::required_relation_names(desired, observed, name, contents);
        let groups = contents.schemas.values().flat_map(|schema| &schema.relations);
        let mut without_names = groups.filter(|group| group.names.is_empty());
        (!without_names.any(|group| needed.contains(&group.number)))
            .then(|| (contents, self.observed.audit_tables.get(name)))
    }

    /// Returns whether the password of a role was accepted, and neither the role nor what it is has changed.
    pub(super) fn is_accepted(&self, observed: &Observed, role: &RoleName) -> bool {
        let seen = |observed: &Observed| observed.roles.get(role).and_then(|seen| seen.oid);
        !self.roles.contains(role)
            && self.observed.password_checks.get(role) == Some(&PasswordCheck::Accepted)
            && seen(observed).is_some()
            && self.observed.roles.get(role) == observed.roles.get(role)
            && self.observed.clones.get(role) == observed.clones.get(role)
    }
}
