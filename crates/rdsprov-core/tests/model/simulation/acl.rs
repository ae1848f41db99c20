//! Access control lists, with the rules of `acl.c`: the order of the items, the cascade of
//! revocations, and the change of an owner.

use super::Failure;
use super::catalog::{Membership, Oid};

/// A set of privileges. The grant options are in the upper 16 bits.
pub type Mask = u32;

/// Stands for PUBLIC as a grantee.
pub const PUBLIC: Oid = 0;

/// The privileges in the order of their bits.
const NAMES: [&str; 15] = [
    "INSERT",
    "SELECT",
    "UPDATE",
    "DELETE",
    "TRUNCATE",
    "REFERENCES",
    "TRIGGER",
    "EXECUTE",
    "USAGE",
    "CREATE",
    "TEMPORARY",
    "CONNECT",
    "SET",
    "ALTER SYSTEM",
    "MAINTAIN",
];

/// Returns the bit of a privilege.
pub fn bit(name: &str) -> Option<Mask> {
    let name = if name == "TEMP" { "TEMPORARY" } else { name };
    NAMES.iter().position(|one| *one == name).map(|position| 1 << position)
}

/// Returns the bits of privileges that exist.
pub fn bits(names: &[&str]) -> Mask {
    names.iter().filter_map(|name| bit(name)).sum()
}

/// Returns the names of privileges, without grant options.
pub fn names(mask: Mask) -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().enumerate().filter(move |(bit, _)| mask & (1 << bit) != 0).map(|(_, n)| n)
}

pub fn options(privileges: Mask) -> Mask {
    privileges << 16
}

pub fn without_options(mask: Mask) -> Mask {
    mask & 0xffff
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    pub grantee: Oid,
    pub grantor: Oid,
    pub rights: Mask,
}

pub type Acl = Vec<Item>;

/// Who has the privileges of whom, for one current database.
pub trait Inheritance {
    fn has_privileges_of(&self, member: Oid, role: Oid) -> bool;
}

/// What a revocation does with privileges that depend on the revoked ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behavior {
    Restrict,
    Cascade,
}

/// One grant or revocation.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    pub is_grant: bool,
    pub grant_option: bool,
    pub behavior: Behavior,
    pub grantees: &'a [Oid],
}

/// Returns the privileges of a role through its own items, those of PUBLIC and inherited ones.
pub fn mask(acl: &Acl, role: Oid, owner: Oid, wanted: Mask, world: &dyn Inheritance) -> Mask {
    let all_options = wanted & 0xffff_0000;
    let mut result = 0;
    if all_options != 0 && world.has_privileges_of(role, owner) {
        result = all_options;
    }
    for item in acl {
        let counts = item.grantee == PUBLIC
            || item.grantee == role
            || world.has_privileges_of(role, item.grantee);
        if counts {
            result |= item.rights & wanted;
        }
    }
    result
}

/// Returns the privileges of a role through its own items only.
pub fn direct_mask(acl: &Acl, role: Oid, owner: Oid, wanted: Mask) -> Mask {
    let all_options = if role == owner { wanted & 0xffff_0000 } else { 0 };
    let own = acl.iter().filter(|item| item.grantee == role);
    own.fold(all_options, |result, item| result | item.rights & wanted)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Add,
    Delete,
}

/// Returns the ACL after a grant or revocation of `privileges` by `grantor`.
pub fn changed(
    acl: &Acl,
    change: &Change<'_>,
    privileges: Mask,
    grantor: Oid,
    owner: Oid,
    world: &dyn Inheritance,
) -> Result<Acl, Failure> {
    let Change { is_grant, grant_option, behavior, grantees } = *change;
    let mode = if is_grant { Mode::Add } else { Mode::Delete };
    let mut new = acl.clone();
    for &grantee in grantees {
        if is_grant && grant_option && grantee == PUBLIC {
            return Err(Failure::server("0LP01", "grant options can only be granted to roles"));
        }
        let own = if is_grant || !grant_option { privileges } else { 0 };
        let with_options = if !is_grant || grant_option { options(privileges) } else { 0 };
        let item = Item { grantee, grantor, rights: own | with_options };
        new = updated(&new, item, mode, owner, behavior, world)?;
    }
    Ok(new)
}

fn updated(
    acl: &Acl,
    change: Item,
    mode: Mode,
    owner: Oid,
    behavior: Behavior,
    world: &dyn Inheritance,
) -> Result<Acl, Failure> {
    if mode == Mode::Add && change.rights >> 16 != 0 {
        check_circularity(acl, change, owner, world)?;
    }
    let mut new = acl.clone();
    let matches = |item: &Item| item.grantee == change.grantee && item.grantor == change.grantor;
    let position = new.iter().position(matches).unwrap_or_else(|| {
        new.push(Item { rights: 0, ..change });
        new.len() - 1
    });
    let old = new[position].rights;
    let rights = match mode {
        Mode::Add => old | change.rights,
        Mode::Delete => old & !change.rights,
    };
    new[position].rights = rights;
    if rights == 0 {
        new.remove(position);
    }
    let lost = (old & !rights) >> 16;
    if lost == 0 || change.grantee == PUBLIC {
        return Ok(new);
    }
    recursive_revoke(new, change.grantee, lost, owner, behavior, world)
}

/// Revokes what a role granted with grant options that it has lost.
fn recursive_revoke(
    mut acl: Acl,
    grantee: Oid,
    lost: Mask,
    owner: Oid,
    behavior: Behavior,
    world: &dyn Inheritance,
) -> Result<Acl, Failure> {
    if grantee == owner {
        return Ok(acl);
    }
    let still = mask(&acl, grantee, owner, options(lost), world) >> 16;
    let lost = lost & !still;
    if lost == 0 {
        return Ok(acl);
    }
    while let Some(item) =
        acl.iter().find(|item| item.grantor == grantee && item.rights & lost != 0).copied()
    {
        if behavior == Behavior::Restrict {
            return Err(Failure::server("2BP01", "dependent privileges exist"));
        }
        let change = Item { rights: lost | options(lost), ..item };
        acl = updated(&acl, change, Mode::Delete, owner, behavior, world)?;
    }
    Ok(acl)
}

/// A role cannot get its grant options from a role that has them from it.
fn check_circularity(
    acl: &Acl,
    change: Item,
    owner: Oid,
    world: &dyn Inheritance,
) -> Result<(), Failure> {
    if change.grantor == owner {
        return Ok(());
    }
    let mut rest = acl.clone();
    while let Some(item) =
        rest.iter().find(|item| item.grantee == change.grantee && item.rights >> 16 != 0).copied()
    {
        rest = updated(&rest, item, Mode::Delete, owner, Behavior::Cascade, world)?;
    }
    let wanted = change.rights & 0xffff_0000;
    if wanted & !mask(&rest, change.grantor, owner, wanted, world) != 0 {
        return Err(Failure::server(
            "0LP01",
            "grant options cannot be granted back to your own grantor",
        ));
    }
    Ok(())
}

/// Returns the ACL of an object that gets another owner.
pub fn with_new_owner(acl: &Acl, from: Oid, to: Oid) -> Acl {
    let mut had_new_owner = false;
    let mut renamed = |role: Oid| {
        had_new_owner |= role == to;
        if role == from { to } else { role }
    };
    let mut all: Acl = Vec::new();
    for item in acl {
        let (grantee, grantor) = (renamed(item.grantee), renamed(item.grantor));
        all.push(Item { grantee, grantor, rights: item.rights });
    }
    if !had_new_owner {
        return all;
    }
    let mut merged: Acl = Vec::new();
    for item in all {
        let same = |one: &&mut Item| one.grantee == item.grantee && one.grantor == item.grantor;
        match merged.iter_mut().find(same) {
            Some(one) => one.rights |= item.rights,
            None => merged.push(item),
        }
    }
    merged
}

/// Returns the ACL of a new object: the global default privileges and those in its schema.
pub fn merged(global: &Acl, in_schema: &Acl, owner: Oid, world: &dyn Inheritance) -> Acl {
    let mut all = global.clone();
    for item in in_schema {
        let added = updated(&all, *item, Mode::Add, owner, Behavior::Restrict, world);
        all = added.unwrap_or(all);
    }
    all.sort_unstable();
    all
}

/// The memberships that give a role the privileges of others, in the order of the search.
pub fn of_member(memberships: &[Membership], member: Oid) -> Vec<&Membership> {
    let mut of: Vec<&Membership> =
        memberships.iter().filter(|membership| membership.member == member).collect();
    of.sort_unstable_by_key(|membership| (membership.role, membership.grantor));
    of
}
