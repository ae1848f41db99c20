//! The difference between an ACL and what it shall grant: the one rule that databases, schemas,
//! relations, columns, other objects and default privileges share.
//!
//! A privilege that a managed role granted, through a grant option that it shall not have, counts for
//! nothing: it falls with that option. Where it would fall on somebody who is not managed, nothing can be
//! done before a person has decided.

use std::collections::{BTreeMap, BTreeSet};

use super::sql::RevokeScope;
use crate::name::RoleName;
use crate::observed::{AclItem, Grantee};
use crate::privilege::{Privilege, Privileges};

/// What an ACL shall be.
pub struct Policy<'a> {
    /// What each managed role shall hold; nothing, where it is not named.
    pub wanted: &'a BTreeMap<RoleName, Privileges>,
    /// The roles whose privileges are looked after; who owns the object is none of them.
    pub managed: &'a dyn Fn(&RoleName) -> bool,
    /// What PUBLIC may keep; `None` where its privileges are nobody's business.
    pub public: Option<Privileges>,
}

/// Privileges to take away that one grantor gave one grantee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoke {
    /// Who loses them.
    pub grantee: Grantee,
    /// Who gave them: a revoke takes only what its own grantor gave.
    pub grantor: RoleName,
    /// What.
    pub privileges: Privileges,
    /// What of them.
    pub scope: RevokeScope,
    /// Whether it was granted on: then that falls with it.
    pub granted_on: bool,
    /// Who else held some of it from the grantee and loses it too.
    pub dependents: BTreeSet<Grantee>,
}

/// What somebody who is not managed holds through a managed role's grant option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependentGrant {
    /// Who holds it.
    pub holder: Grantee,
    /// Through whom.
    pub through: RoleName,
    /// What.
    pub privileges: Privileges,
    /// Whether it may grant that on.
    pub grantable: bool,
}

/// What to change in one ACL.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct AclDiff {
    /// What each grantee lacks.
    pub grant: BTreeMap<RoleName, Privileges>,
    /// What is to be taken away.
    pub revoke: Vec<Revoke>,
    /// What forbids it.
    pub dependent_grants: Vec<DependentGrant>,
    /// What each holds, and whether it may grant that on.
    pub held: BTreeMap<(Grantee, Privilege), bool>,
}

/// Compares.
pub fn diff(acl: &[AclItem], policy: &Policy<'_>) -> AclDiff {
    let is_managed = |grantee: &Grantee| match grantee {
        Grantee::Role(role) => (policy.managed)(role),
        Grantee::Public => policy.public.is_some(),
    };
    let mut held = BTreeMap::new();
    for item in acl {
        *held.entry((item.grantee.clone(), item.privilege)).or_default() |= item.grantable;
    }
    let (dependent, independent): (Vec<_>, Vec<_>) =
        acl.iter().partition(|item| (policy.managed)(&item.grantor));
    let mut result = AclDiff { grant: policy.wanted.clone(), held, ..AclDiff::default() };
    for item in independent {
        let keeps = match &item.grantee {
            Grantee::Role(role) => {
                if let Some(lacking) = result.grant.get_mut(role) {
                    lacking.remove(&item.privilege);
                }
                policy.wanted.get(role).is_some_and(|set| set.contains(&item.privilege))
            }
            Grantee::Public => {
                policy.public.as_ref().is_some_and(|set| set.contains(&item.privilege))
            }
        };
        if is_managed(&item.grantee) && (!keeps || item.grantable) {
            result
                .take(item, if keeps { RevokeScope::GrantOption } else { RevokeScope::Privilege });
        }
    }
    result.grant.retain(|_, lacking| !lacking.is_empty());
    for revoke in &mut result.revoke {
        let mut givers = BTreeSet::from([revoke.grantee.clone()]);
        // To somebody else, or to itself once more.
        let from_grantee = |item: &&AclItem| {
            Grantee::Role(item.grantor.clone()) == revoke.grantee
                && revoke.privileges.contains(&item.privilege)
        };
        revoke.granted_on = dependent.iter().copied().any(|item| from_grantee(&item));
        let given = |givers: &BTreeSet<Grantee>| -> BTreeSet<Grantee> {
            let by_one = |item: &&&AclItem| {
                givers.contains(&Grantee::Role(item.grantor.clone()))
                    && revoke.privileges.contains(&item.privilege)
            };
            dependent.iter().filter(by_one).map(|item| item.grantee.clone()).collect()
        };
        loop {
            let more: BTreeSet<Grantee> = given(&givers).difference(&givers).cloned().collect();
            if more.is_empty() {
                break;
            }
            givers.extend(more.iter().cloned());
            revoke.dependents.extend(more);
        }
    }
    for item in dependent {
        if !is_managed(&item.grantee) {
            result.forbid(item);
        }
    }
    result
}

impl AclDiff {
    /// What PUBLIC has and keeps.
    pub fn kept_by_public(&self) -> Privileges {
        let is_taken = |privilege: &Privilege| {
            self.revoke.iter().any(|revoke| {
                revoke.grantee == Grantee::Public && revoke.privileges.contains(privilege)
            })
        };
        let held = self.held.keys().filter(|(grantee, _)| *grantee == Grantee::Public);
        held.map(|(_, privilege)| *privilege).filter(|privilege| !is_taken(privilege)).collect()
    }

    /// Whether PUBLIC has all of these and keeps them.
    pub fn held_by_public(&self, privileges: &Privileges) -> bool {
        privileges.is_subset(&self.kept_by_public())
    }

    fn take(&mut self, item: &AclItem, scope: RevokeScope) {
        let same = |revoke: &&mut Revoke| {
            revoke.grantee == item.grantee
                && revoke.grantor == item.grantor
                && revoke.scope == scope
        };
        if let Some(revoke) = self.revoke.iter_mut().find(same) {
            revoke.privileges.insert(item.privilege);
            return;
        }
        self.revoke.push(Revoke {
            grantee: item.grantee.clone(),
            grantor: item.grantor.clone(),
            privileges: Privileges::from([item.privilege]),
            scope,
            granted_on: false,
            dependents: BTreeSet::new(),
        });
    }

    fn forbid(&mut self, item: &AclItem) {
        let same = |held: &&mut DependentGrant| {
            held.holder == item.grantee
                && held.through == item.grantor
                && held.grantable == item.grantable
        };
        if let Some(held) = self.dependent_grants.iter_mut().find(same) {
            held.privileges.insert(item.privilege);
            return;
        }
        self.dependent_grants.push(DependentGrant {
            holder: item.grantee.clone(),
            through: item.grantor.clone(),
            privileges: Privileges::from([item.privilege]),
            grantable: item.grantable,
        });
    }
}

/// The ACL after the object has got another owner, as PostgreSQL rewrites it: the new owner stands where
/// the old one stood, and what both held is one.
pub fn with_owner(acl: &[AclItem], from: &RoleName, to: &RoleName) -> Vec<AclItem> {
    let renamed = |role: &RoleName| if role == from { to.clone() } else { role.clone() };
    let mut items: BTreeMap<(Grantee, RoleName, Privilege), bool> = BTreeMap::new();
    for item in acl {
        let grantee = match &item.grantee {
            Grantee::Role(role) => Grantee::Role(renamed(role)),
            Grantee::Public => Grantee::Public,
        };
        *items.entry((grantee, renamed(&item.grantor), item.privilege)).or_default() |=
            item.grantable;
    }
    items
        .into_iter()
        .map(|((grantee, grantor, privilege), grantable)| AclItem {
            grantee,
            grantor,
            privilege,
            grantable,
        })
        .collect()
}
