//! The difference between an ACL and what it shall grant: the one rule that databases, schemas,
//! relations and default privileges share.

use std::collections::BTreeMap;

use crate::access::Privileges;
use crate::name::RoleName;
use crate::observed::{AclItem, Grantee};

/// What to change in one ACL.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct AclDiff {
    /// What each grantee lacks.
    pub grant: BTreeMap<RoleName, Privileges>,
    /// What each grantee holds beyond it, by grantor: a revoke takes only what its grantor gave.
    pub revoke: BTreeMap<(RoleName, RoleName), Privileges>,
    /// What each grantee may grant on, by grantor; nobody declared may.
    pub revoke_grant_option: BTreeMap<(RoleName, RoleName), Privileges>,
}

/// Compares. Only grantees for which `managed` holds are looked at; `wanted` says what they shall hold.
pub fn diff<'a>(
    acl: impl IntoIterator<Item = &'a AclItem>,
    wanted: &BTreeMap<RoleName, Privileges>,
    managed: impl Fn(&RoleName) -> bool,
) -> AclDiff {
    let mut result = AclDiff { grant: wanted.clone(), ..AclDiff::default() };
    for item in acl {
        let Grantee::Role(grantee) = &item.grantee else { continue };
        if let Some(lacking) = result.grant.get_mut(grantee) {
            lacking.remove(&item.privilege);
        }
        if !managed(grantee) {
            continue;
        }
        let key = (grantee.clone(), item.grantor.clone());
        if !wanted.get(grantee).is_some_and(|set| set.contains(&item.privilege)) {
            result.revoke.entry(key).or_default().insert(item.privilege);
        } else if item.grantable {
            result.revoke_grant_option.entry(key).or_default().insert(item.privilege);
        }
    }
    result.grant.retain(|_, lacking| !lacking.is_empty());
    result
}

/// What PUBLIC holds, by grantor.
pub fn held_by_public(acl: &[AclItem]) -> BTreeMap<RoleName, Privileges> {
    let mut held: BTreeMap<RoleName, Privileges> = BTreeMap::new();
    for item in acl.iter().filter(|item| item.grantee == Grantee::Public) {
        held.entry(item.grantor.clone()).or_default().insert(item.privilege);
    }
    held
}
