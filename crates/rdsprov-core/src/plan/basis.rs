//! The observed state that the steps of a plan are based on.
//!
//! A change elsewhere on the server does not make an approved plan stale: another team changes its own
//! database at any time. Neither does what any role can change: its settings in each database, and the
//! members of a role that it administers. If the plan must change them, it has other steps, which belong to
//! the application of that role.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Transaction;
use super::identity::GlobalObject;
use crate::digest::sha256_json;
use crate::name::{DatabaseName, RoleName};
use crate::observed::{self, Membership, Observed};

/// `sha256:…` of the observed state of the administrator, and of each database and role that the
/// steps of a plan name or need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Basis {
    /// The administrator, with its attributes.
    pub administrator: String,
    /// The existing databases, with their privileges and contents.
    pub databases: BTreeMap<DatabaseName, String>,
    /// The existing roles, with their attributes, and the memberships that administrators granted. A
    /// new member of a role gets what this role has through other roles, so that these are included.
    pub roles: BTreeMap<RoleName, String>,
}

impl Basis {
    pub(super) fn new(observed: &Observed, transactions: &[Transaction]) -> Self {
        let databases = databases(transactions).into_iter();
        let databases = databases.filter_map(|name| observed.databases.get_key_value(name));
        let mut roles = roles(transactions);
        roles.extend(groups(observed, transactions));
        let roles = roles.into_iter().filter_map(|name| observed.roles.get_key_value(name));
        Self {
            administrator: sha256_json(&observed.administrator),
            databases: databases.map(|(name, seen)| (name.clone(), of_database(seen))).collect(),
            roles: roles.map(|(name, seen)| (name.clone(), of_role(observed, seen))).collect(),
        }
    }

    /// Keeps what the steps that are left of a plan are based on.
    pub(super) fn retain(&mut self, transactions: &[Transaction]) {
        let (databases, roles) = (databases(transactions), roles(transactions));
        self.databases.retain(|name, _| databases.contains(name));
        self.roles.retain(|name, _| roles.contains(name));
    }
}

impl Basis {
    /// Returns the databases and roles that both plans are based on, in another state.
    pub(super) fn changed_since(&self, earlier: &Self) -> Vec<GlobalObject> {
        let databases = changed(&self.databases, &earlier.databases).map(GlobalObject::Database);
        databases.chain(changed(&self.roles, &earlier.roles).map(GlobalObject::Role)).collect()
    }
}

/// Each role can store settings for itself in each database.
fn of_database(seen: &observed::Database) -> String {
    sha256_json(&observed::Database {
        settings: BTreeMap::new(),
        settings_too_long: BTreeSet::new(),
        ..seen.clone()
    })
}

/// A role with `ADMIN OPTION` on another one can make each role a member of it; before PostgreSQL 15, each
/// role can do this with itself.
fn of_role(observed: &Observed, seen: &observed::Role) -> String {
    let is_of_administrator = |membership: &&Membership| {
        let grantor = observed.roles.get(&membership.grantor);
        membership.grantor == observed.administrator.name
            || grantor.is_some_and(|grantor| grantor.superuser)
    };
    let memberships = seen.memberships.iter().filter(is_of_administrator).cloned().collect();
    sha256_json(&observed::Role { memberships, granted: Vec::new(), ..seen.clone() })
}

fn changed<'a, N: Ord + Clone>(
    now: &'a BTreeMap<N, String>,
    earlier: &'a BTreeMap<N, String>,
) -> impl Iterator<Item = N> + use<'a, N> {
    let changed = now
        .iter()
        .filter(|(name, state)| earlier.get(*name).is_some_and(|earlier| earlier != *state));
    changed.map(|(name, _)| name.clone())
}

fn databases(transactions: &[Transaction]) -> BTreeSet<&DatabaseName> {
    let in_steps = transactions.iter().flat_map(|one| &one.steps);
    let in_steps = in_steps.filter_map(|step| step.database.as_ref());
    transactions.iter().filter_map(|one| one.scope.database()).chain(in_steps).collect()
}

fn roles(transactions: &[Transaction]) -> BTreeSet<&RoleName> {
    let in_steps = transactions.iter().flat_map(|one| &one.steps);
    let in_steps = in_steps.flat_map(|step| step.role.iter().chain(step.required_roles()));
    transactions.iter().flat_map(|one| one.identities.roles.keys()).chain(in_steps).collect()
}

/// Returns the roles of which the groups of granted memberships are members, also through others.
fn groups<'a>(observed: &'a Observed, transactions: &'a [Transaction]) -> BTreeSet<&'a RoleName> {
    let steps = transactions.iter().flat_map(|one| &one.steps);
    let mut found = BTreeSet::new();
    let mut next: Vec<&RoleName> = steps.filter_map(|step| step.group.as_ref()).collect();
    while let Some(group) = next.pop() {
        let seen = observed.roles.get(group).filter(|_| found.insert(group));
        next.extend(seen.into_iter().flat_map(|seen| &seen.memberships).map(|one| &one.role));
    }
    found
}
