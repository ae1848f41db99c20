//! Compares an ACL with the declared privileges: the only comparison, for databases, schemas,
//! relations, columns, other objects and default privileges.
//!
//! A managed role must not have a grant option. A privilege that it granted depends on this
//! option and is revoked with it. PostgreSQL keeps what a role granted with an option that it has lost while it
//! had the option through a membership: the owner gives the option back, and revokes it again. If a role that is not managed would lose a privilege in this
//! way, the plan is refused, until the role also has the privilege from a role that is not managed.

use std::collections::{BTreeMap, BTreeSet};

use super::sql::RevokeScope;
use crate::name::RoleName;
use crate::observed::{AclItem, Grantee};
use crate::privilege::{Privilege, Privileges};

/// The declared privileges of an ACL.
pub struct DeclaredAcl<'a> {
    /// The privileges of each managed role; roles that are missing have none.
    pub wanted: &'a BTreeMap<RoleName, Privileges>,
    /// Returns whether the privileges of a role are managed. The owner of the
    /// object is not managed.
    pub managed: &'a dyn Fn(&RoleName) -> bool,
    /// The privileges that PUBLIC may keep, or `None` if they are not managed.
    pub public: Option<Privileges>,
}

/// The privileges to revoke that one grantor granted to one grantee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoke {
    /// The role, or PUBLIC, that loses them.
    pub grantee: Grantee,
    /// The grantor: PostgreSQL revokes only what the current role granted.
    pub grantor: RoleName,
    /// The privileges that one statement revokes.
    pub privileges: Privileges,
    /// Those of them that the grantee has with the grant option: only these can have dependents.
    pub options: Privileges,
    /// Whether the privileges or only their grant options are revoked.
    pub scope: RevokeScope,
    /// Whether the revocation needs `CASCADE`, because the grantee granted
    /// the privileges to others.
    pub needs_cascade: bool,
    /// The grantees that lose privileges through `CASCADE`.
    pub dependents: BTreeSet<Grantee>,
    /// If the grantor is a managed role that has lost the grant option: those of the privileges that it has
    /// itself.
    pub lost_option: Option<Privileges>,
}

/// Privileges that a role that is not managed has through the grant option of a managed role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependentGrant {
    /// The role, or PUBLIC, that has them.
    pub holder: Grantee,
    /// The managed role that granted them.
    pub through: RoleName,
    /// The privileges that depend on the grant option.
    pub privileges: Privileges,
    /// Whether the holder has the grant option, too.
    pub grantable: bool,
}

/// Returns the elements with equal keys together, in the order of the first element of each key.
pub fn grouped<T, K: Ord>(all: impl IntoIterator<Item = T>, key: impl Fn(&T) -> K) -> Vec<Vec<T>> {
    let mut groups: Vec<Vec<T>> = Vec::new();
    let mut places = BTreeMap::new();
    for one in all {
        let place = *places.entry(key(&one)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups
}

/// The changes of one ACL.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct AclDiff {
    /// The privileges that each grantee lacks.
    pub grant: BTreeMap<RoleName, Privileges>,
    /// The privileges to revoke.
    pub revoke: Vec<Revoke>,
    /// The privileges of other roles that prevent a revocation.
    pub dependent_grants: Vec<DependentGrant>,
    /// The privileges that each grantee has, and whether it has the grant option.
    pub held: BTreeMap<(Grantee, Privilege), bool>,
}

/// Returns the changes that give an ACL the declared privileges.
pub fn diff(acl: &[AclItem], declared: &DeclaredAcl<'_>) -> AclDiff {
    let is_managed = |grantee: &Grantee| match grantee {
        Grantee::Role(role) => (declared.managed)(role),
        Grantee::Public => declared.public.is_some(),
    };
    let mut held = BTreeMap::new();
    for item in acl {
        *held.entry((item.grantee.clone(), item.privilege)).or_default() |= item.grantable;
    }
    let (dependent, independent): (Vec<_>, Vec<_>) =
        acl.iter().partition(|item| (declared.managed)(&item.grantor));
    let mut result = AclDiff { grant: declared.wanted.clone(), held, ..AclDiff::default() };
    for item in independent {
        let keeps = match &item.grantee {
            Grantee::Role(role) => {
                if let Some(lacking) = result.grant.get_mut(role) {
                    lacking.remove(&item.privilege);
                }
                declared.wanted.get(role).is_some_and(|set| set.contains(&item.privilege))
            }
            Grantee::Public => {
                declared.public.as_ref().is_some_and(|set| set.contains(&item.privilege))
            }
        };
        if is_managed(&item.grantee) && (!keeps || item.grantable) {
            result.add_revocation(
                item,
                if keeps { RevokeScope::GrantOption } else { RevokeScope::Privilege },
            );
        }
    }
    result.grant.retain(|_, lacking| !lacking.is_empty());
    result.add_lost_options(acl, &dependent, &is_managed);
    // What a role that is not managed also has from another one that is not managed.
    let mut own: BTreeMap<(&Grantee, Privilege), bool> = BTreeMap::new();
    for item in acl.iter().filter(|item| !(declared.managed)(&item.grantor)) {
        *own.entry((&item.grantee, item.privilege)).or_default() |= item.grantable;
    }
    let keeps = |item: &AclItem| {
        let has = own.get(&(&item.grantee, item.privilege));
        !is_managed(&item.grantee) && has.is_some_and(|option| *option || !item.grantable)
    };
    for revoke in &mut result.revoke {
        revoke.lost_option = (declared.managed)(&revoke.grantor).then(|| {
            let own = declared.wanted.get(&revoke.grantor);
            let has = |one: &&Privilege| own.is_some_and(|own| own.contains(one));
            revoke.privileges.iter().filter(has).copied().collect()
        });
        let mut grantors = BTreeSet::from([revoke.grantee.clone()]);
        // The grantee can have granted it to another role, or a second time to itself.
        let from_grantee = |item: &&AclItem| {
            Grantee::Role(item.grantor.clone()) == revoke.grantee
                && revoke.options.contains(&item.privilege)
        };
        revoke.needs_cascade = dependent.iter().copied().any(|item| from_grantee(&item));
        let grantees_of = |grantors: &BTreeSet<Grantee>| -> BTreeSet<Grantee> {
            let by_one = |item: &&&AclItem| {
                grantors.contains(&Grantee::Role(item.grantor.clone()))
                    && revoke.options.contains(&item.privilege)
                    && !keeps(item)
            };
            dependent.iter().filter(by_one).map(|item| item.grantee.clone()).collect()
        };
        loop {
            let more: BTreeSet<Grantee> =
                grantees_of(&grantors).difference(&grantors).cloned().collect();
            if more.is_empty() {
                break;
            }
            grantors.extend(more.iter().cloned());
            revoke.dependents.extend(more);
        }
    }
    // One statement executes those that differ in the grantee only.
    let revoke = grouped(std::mem::take(&mut result.revoke), |one| {
        (one.grantor.clone(), one.scope, one.needs_cascade, one.privileges.clone())
    });
    result.revoke = revoke.into_iter().flatten().collect();
    for item in dependent {
        // PostgreSQL keeps what a role granted with an option that it has lost since.
        if !is_managed(&item.grantee) && !keeps(item) && result.revokes_option_of(item) {
            result.add_dependent_grant(item);
        }
    }
    result
}

/// What a plan contains if the administrator cannot grant privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WithoutGrant {
    /// A refusal.
    Refusal,
    /// A note, because PUBLIC has the privileges and keeps them.
    Note,
}

impl AclDiff {
    /// Returns the privileges that each grantee lacks. Grantees that lack the same follow one another: one
    /// statement grants it to them.
    pub fn grants(&self) -> Vec<(&RoleName, &Privileges)> {
        grouped(&self.grant, |(_, privileges)| *privileges).into_iter().flatten().collect()
    }

    /// Returns the privileges that PUBLIC has and keeps.
    pub fn kept_by_public(&self) -> Privileges {
        let is_revoked = |privilege: &Privilege| {
            self.revoke.iter().any(|revoke| {
                revoke.grantee == Grantee::Public && revoke.privileges.contains(privilege)
            })
        };
        let held = self.held.keys().filter(|(grantee, _)| *grantee == Grantee::Public);
        held.map(|(_, privilege)| *privilege).filter(|privilege| !is_revoked(privilege)).collect()
    }

    /// Returns whether PUBLIC has and keeps all of these privileges.
    pub fn held_by_public(&self, privileges: &Privileges) -> bool {
        privileges.is_subset(&self.kept_by_public())
    }

    /// Adds the revocations of what managed roles got from managed roles that have lost the grant option: no
    /// other revocation takes it from them.
    fn add_lost_options(
        &mut self,
        acl: &[AclItem],
        dependent: &[&AclItem],
        is_managed: &dyn Fn(&Grantee) -> bool,
    ) {
        let of_grantor = |item: &AclItem| (Grantee::Role(item.grantor.clone()), item.privilege);
        let mut losing: BTreeSet<(Grantee, Privilege)> = BTreeSet::new();
        for revoke in &self.revoke {
            losing.extend(revoke.options.iter().map(|one| (revoke.grantee.clone(), *one)));
        }
        let has_option: BTreeSet<(Grantee, Privilege)> = acl
            .iter()
            .filter(|item| item.grantable)
            .map(|item| (item.grantee.clone(), item.privilege))
            .collect();
        let mut left: Vec<&AclItem> = dependent.to_vec();
        loop {
            let count = left.len();
            left.retain(|item| {
                let goes = losing.contains(&of_grantor(item));
                if goes && item.grantable {
                    losing.insert((item.grantee.clone(), item.privilege));
                }
                !goes
            });
            if left.len() < count {
                continue;
            }
            // Those with an option are in a circle.
            let first = left.iter().position(|item| !has_option.contains(&of_grantor(item)));
            if left.is_empty() {
                return;
            }
            let item = left.remove(first.unwrap_or_default());
            if !is_managed(&item.grantee) {
                continue;
            }
            self.add_revocation(item, RevokeScope::Privilege);
            if item.grantable {
                losing.insert((item.grantee.clone(), item.privilege));
            }
        }
    }

    /// Returns whether a revocation takes the grant option with which an entry was granted.
    fn revokes_option_of(&self, item: &AclItem) -> bool {
        let grantor = Grantee::Role(item.grantor.clone());
        self.revoke.iter().any(|revoke| {
            revoke.options.contains(&item.privilege)
                && (revoke.grantee == grantor || revoke.dependents.contains(&grantor))
        })
    }

    /// Returns whether a role that is not managed would lose privileges with a revocation.
    pub fn takes_from_others(&self, revoke: &Revoke) -> bool {
        self.dependent_grants.iter().any(|held| {
            let through = Grantee::Role(held.through.clone());
            (through == revoke.grantee || revoke.dependents.contains(&through))
                && held.privileges.iter().any(|one| revoke.options.contains(one))
        })
    }

    /// Returns what the plan contains if the administrator cannot grant privileges.
    pub fn without_grant(&self, privileges: &Privileges) -> WithoutGrant {
        if self.held_by_public(privileges) { WithoutGrant::Note } else { WithoutGrant::Refusal }
    }

    fn add_revocation(&mut self, item: &AclItem, scope: RevokeScope) {
        let same = |revoke: &&mut Revoke| {
            revoke.grantee == item.grantee
                && revoke.grantor == item.grantor
                && revoke.scope == scope
        };
        let options = item.grantable.then_some(item.privilege);
        if let Some(revoke) = self.revoke.iter_mut().find(same) {
            revoke.privileges.insert(item.privilege);
            revoke.options.extend(options);
            return;
        }
        self.revoke.push(Revoke {
            grantee: item.grantee.clone(),
            grantor: item.grantor.clone(),
            privileges: Privileges::from([item.privilege]),
            options: options.into_iter().collect(),
            scope,
            needs_cascade: false,
            dependents: BTreeSet::new(),
            lost_option: None,
        });
    }

    fn add_dependent_grant(&mut self, item: &AclItem) {
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

/// Returns the ACL after a change of the owner, as PostgreSQL rewrites it: the new owner replaces
/// the old one, and their entries are merged.
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

#[cfg(test)]
mod tests;
