//! Compares an ACL with the declared privileges: the only comparison, for databases, schemas,
//! relations, columns, other objects and default privileges.
//!
//! A managed role must not have a grant option. A privilege that it granted depends on this
//! option and is revoked with it. If a role that is not managed would lose a privilege in this
//! way, the plan is refused, until the role also has the privilege from a role that is not managed.
//!
//! PostgreSQL keeps what a role granted with an option that is not in the ACL of the object: it had the option through a
//! membership, or, on a column, has it on the relation. Neither the owner nor a grantor without an option can revoke it: the
//! owner gives the grantor the option, and revokes it with `CASCADE`.

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
    /// The options of grantors that are not in this ACL, if there can be any.
    pub elsewhere: Option<OptionsElsewhere<'a>>,
}

/// The grant options on a relation, with which roles can have granted privileges on its columns.
#[derive(Clone, Copy)]
pub struct OptionsElsewhere<'a> {
    /// The owner of the relation.
    pub owner: &'a RoleName,
    /// The options that roles have on the relation now.
    pub held: &'a BTreeMap<RoleName, Privileges>,
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
    /// If the grantor has no grant option in the ACL: those of the privileges that it has itself and keeps.
    pub lost_option: Option<Privileges>,
}

impl Revoke {
    /// Returns whether `CASCADE` takes everything that a role without an option in the ACL has granted.
    fn takes_all_of(&self, grantor: &RoleName, privilege: Privilege) -> bool {
        self.lost_option.is_some()
            && self.grantor == *grantor
            && self.privileges.contains(&privilege)
    }
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
    let keeps = |grantee: &Grantee, privilege: Privilege| match grantee {
        Grantee::Role(role) => {
            declared.wanted.get(role).is_some_and(|set| set.contains(&privilege))
        }
        Grantee::Public => declared.public.as_ref().is_some_and(|set| set.contains(&privilege)),
    };
    let is_excess = |item: &AclItem| {
        is_managed(&item.grantee) && (!keeps(&item.grantee, item.privilege) || item.grantable)
    };
    // The other grantors that have no option, and so cannot revoke what they granted.
    let without_option: BTreeSet<(&RoleName, Privilege)> = match declared.elsewhere {
        None => BTreeSet::new(),
        Some(OptionsElsewhere { owner, held: on_relation }) => {
            let has_option = |item: &AclItem| {
                let grantor = Grantee::Role(item.grantor.clone());
                item.grantor == *owner
                    || held.get(&(grantor, item.privilege)) == Some(&true)
                    || on_relation
                        .get(&item.grantor)
                        .is_some_and(|all| all.contains(&item.privilege))
            };
            let items = acl.iter().filter(|item| is_excess(item) && !has_option(item));
            items.map(|item| (&item.grantor, item.privilege)).collect()
        }
    };
    let is_dependent = |item: &AclItem| {
        (declared.managed)(&item.grantor)
            || without_option.contains(&(&item.grantor, item.privilege))
    };
    let (dependent, independent): (Vec<_>, Vec<_>) =
        acl.iter().partition(|item| is_dependent(item));
    let mut result = AclDiff { grant: declared.wanted.clone(), held, ..AclDiff::default() };
    for item in independent {
        if let Some(lacking) = item.grantee.role().and_then(|role| result.grant.get_mut(role)) {
            lacking.remove(&item.privilege);
        }
        if is_excess(item) {
            let keeps = keeps(&item.grantee, item.privilege);
            let scope = if keeps { RevokeScope::GrantOption } else { RevokeScope::Privilege };
            result.add_revocation(item, scope, false);
        }
    }
    result.grant.retain(|_, lacking| !lacking.is_empty());
    result.add_lost_options(acl, &dependent, &is_managed);
    // What a role that is not managed also has from another one that is not managed.
    let mut own: BTreeMap<(&Grantee, Privilege), bool> = BTreeMap::new();
    for item in acl.iter().filter(|item| !is_dependent(item)) {
        *own.entry((&item.grantee, item.privilege)).or_default() |= item.grantable;
    }
    let has_itself = |item: &AclItem| {
        let has = own.get(&(&item.grantee, item.privilege));
        !is_managed(&item.grantee) && has.is_some_and(|option| *option || !item.grantable)
    };
    for revoke in &mut result.revoke {
        let grantor = Grantee::Role(revoke.grantor.clone());
        let is_managed_grantor = (declared.managed)(&revoke.grantor);
        if let Some(kept) = &mut revoke.lost_option {
            let has = |one: &&Privilege| match is_managed_grantor {
                true => keeps(&grantor, **one),
                false => result.held.contains_key(&(grantor.clone(), **one)),
            };
            *kept = revoke.privileges.iter().filter(has).copied().collect();
        }
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
                    && !has_itself(item)
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
        (
            one.grantor.clone(),
            one.scope,
            one.needs_cascade,
            one.privileges.clone(),
            one.lost_option.clone(),
        )
    });
    result.revoke = revoke.into_iter().flatten().collect();
    for item in dependent {
        // PostgreSQL keeps what a role granted with an option that it has lost since.
        if !is_managed(&item.grantee) && !has_itself(item) && result.revokes_option_of(item) {
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

    /// Adds the revocations of what managed roles got from grantors that have no grant option in the ACL: no other
    /// revocation takes it from them.
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
            self.add_revocation(item, RevokeScope::Privilege, true);
            if item.grantable {
                losing.insert((item.grantee.clone(), item.privilege));
            }
        }
    }

    /// Returns whether a revocation takes the grant option with which an entry was granted, or gives it back to take it.
    fn revokes_option_of(&self, item: &AclItem) -> bool {
        let grantor = Grantee::Role(item.grantor.clone());
        self.revoke.iter().any(|revoke| {
            revoke.options.contains(&item.privilege)
                && (revoke.grantee == grantor || revoke.dependents.contains(&grantor))
                || revoke.takes_all_of(&item.grantor, item.privilege)
        })
    }

    /// Returns whether a role that is not managed would lose privileges with a revocation.
    pub fn takes_from_others(&self, revoke: &Revoke) -> bool {
        self.dependent_grants.iter().any(|held| {
            let through = Grantee::Role(held.through.clone());
            (through == revoke.grantee || revoke.dependents.contains(&through))
                && held.privileges.iter().any(|one| revoke.options.contains(one))
                || held.privileges.iter().any(|one| revoke.takes_all_of(&held.through, *one))
        })
    }

    /// Returns what the plan contains if the administrator cannot grant privileges.
    pub fn without_grant(&self, privileges: &Privileges) -> WithoutGrant {
        if self.held_by_public(privileges) { WithoutGrant::Note } else { WithoutGrant::Refusal }
    }

    fn add_revocation(&mut self, item: &AclItem, scope: RevokeScope, is_lost: bool) {
        let same = |revoke: &&mut Revoke| {
            revoke.grantee == item.grantee
                && revoke.grantor == item.grantor
                && revoke.scope == scope
                && revoke.lost_option.is_some() == is_lost
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
            lost_option: is_lost.then(Privileges::new),
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
