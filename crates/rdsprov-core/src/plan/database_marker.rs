//! When the marker of a database is believed.
//!
//! The owner of a database can write any comment on it, and so remove or forge its marker. Only an
//! administrator can write the comment of a role. So the marker of a database counts only together with
//! the marker of the role that owns it:
//!
//! - A declared database whose declared owner is its owner, and is a managed role of this environment,
//!   belongs to this environment, whatever its own comment says: its marker is written again.
//!   No application takes over the database of another one like this: the definitions name both the
//!   database and its owner, and a role of another environment has the marker of that one.
//! - The marker of a database of another owner makes no statement about an application: neither that
//!   its database was renamed, nor that it leaves a database with its data.

use super::planner::Planner;
use crate::desired;
use crate::name::{ApplicationName, RoleName};
use crate::observed;

impl Planner<'_> {
    /// Returns whether a declared database belongs to this environment, although its comment does
    /// not say so. Its marker is then written again.
    pub(super) fn restores_marker(
        &self,
        database: &desired::Database,
        seen: &observed::Database,
    ) -> bool {
        !self.desired.manages(seen.marker().as_ref())
            && database.owner.as_ref() == Some(&seen.owner)
            && self.has_managed_owner(seen)
    }

    fn has_managed_owner(&self, seen: &observed::Database) -> bool {
        let owner = self.observed.roles.get(&seen.owner);
        owner.is_some_and(|owner| self.desired.manages(owner.marker().as_ref()))
    }

    /// Returns whether the owner of a database may speak for an application: it is the administrator,
    /// the declared owner of the application's database, or a role of the application.
    pub(super) fn speaks_for(
        &self,
        seen: &observed::Database,
        application: &ApplicationName,
        declared_owner: Option<&RoleName>,
    ) -> bool {
        let of_application = || {
            let marker = self.observed.roles.get(&seen.owner).and_then(|role| role.marker());
            self.desired.manages(marker.as_ref())
                && marker.is_some_and(|marker| marker.application == application.as_str())
        };
        seen.owner == self.observed.administrator.name
            || declared_owner.is_none_or(|owner| *owner == seen.owner)
            || of_application()
    }
}
