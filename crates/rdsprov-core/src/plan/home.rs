//! Whether these definitions are those of a managed role.
//!
//! An entry proves nothing: each team can name the role of another one. The marker of the role names the
//! application that it belongs to, and only an administrator can write it. Until a plan has changed the
//! application in the marker, which is a hazard, an entry for the role of others gives no power over
//! anything else.

use crate::desired::Desired;
use crate::name::RoleName;
use crate::observed::Observed;

/// Returns whether the marker of a role names an application that declares the role here, and no other
/// scope.
pub(super) fn is_home(desired: &Desired, observed: &Observed, role: &RoleName) -> bool {
    let Some(declared) = desired.roles.get(role) else { return false };
    let marker = observed.roles.get(role).and_then(|seen| seen.marker());
    let Some(marker) = marker.filter(|marker| desired.manages(Some(marker))) else { return false };
    !desired.is_other_scope(marker.scope.as_deref())
        && (marker.application == declared.application.as_str()
            || is_declared_by(desired, role, &marker.application))
}

/// Returns whether an entry of an application declares a role.
pub(super) fn is_declared_by(desired: &Desired, role: &RoleName, application: &str) -> bool {
    desired.databases.values().any(|database| {
        let entry = database.access.get(role);
        entry.is_some_and(|entry| entry.application.as_str() == application)
    })
}
