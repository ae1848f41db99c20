//! The predefined roles whose privileges applications have through memberships, also in `rds_iam`.

use std::collections::BTreeSet;

use crate::desired::{Credential, Desired};
use crate::name::RoleName;
use crate::observed::{Observed, RDS_IAM};
use crate::predefined_role;

/// Returns the predefined roles of which declared roles are members, directly or through other predefined
/// roles: the declared roles have what the owner of a database grants to them.
pub(crate) fn predefined_groups<'a>(
    desired: &'a Desired,
    observed: &'a Observed,
) -> BTreeSet<&'a RoleName> {
    let mut groups = BTreeSet::new();
    let mut found: Vec<&RoleName> =
        desired.roles.values().flat_map(|role| &role.memberships).collect();
    if desired.roles.values().any(|role| role.credential == Credential::Iam) {
        found.extend(observed.roles.keys().find(|role| role.as_str() == RDS_IAM));
    }
    while let Some(group) = found.pop() {
        if predefined_role::is_predefined(group) && groups.insert(group) {
            let memberships =
                observed.roles.get(group).into_iter().flat_map(|seen| &seen.memberships);
            found.extend(memberships.map(|one| &one.role));
        }
    }
    groups
}
