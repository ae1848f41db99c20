//! The observed state that the steps of a plan are based on.
//!
//! A change elsewhere on the server does not make an approved plan stale: another team changes its own
//! database at any time. Neither does what any role can change: its settings in each database, and the
//! members of a role that it administers. If the plan must change them, it has other steps, which belong to
//! the application of that role.
//!
//! The state of a database or role is divided into the parts that different steps change. If a saved plan
//! is applied in part, each part must be as it was, unless a done step changes exactly this part.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Transaction;
use super::identity::GlobalObject;
use crate::digest::sha256_json;
use crate::name::{DatabaseName, RoleName};
use crate::observed::{self, AclItem, Contents, Grantee, Membership, Observed};

/// `sha256:…` of the observed state of the administrator, and of each database and role that the
/// steps of a plan name or need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Basis {
    /// The administrator, with its attributes.
    pub administrator: String,
    /// The existing databases, except those whose creation was interrupted.
    pub databases: BTreeMap<DatabaseName, DatabaseBasis>,
    /// The existing roles.
    pub roles: BTreeMap<RoleName, RoleBasis>,
    /// What a new member of a role gets, for each role in which the plan grants a membership: the
    /// attributes and the memberships of this role, and of each role that it is a member of, directly or
    /// through others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<RoleName, String>,
}

/// `sha256:…` of the parts of the state of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseBasis {
    /// The OID, the owner and all other attributes that are not below.
    pub attributes: String,
    /// Whether the database allows connections.
    pub allow_connections: bool,
    /// Whether the database is a template.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_template: bool,
    /// The comment.
    pub comment: String,
    /// The privileges of PUBLIC on the database.
    pub public: String,
    /// The privileges of each other grantee on the database.
    pub privileges: BTreeMap<RoleName, String>,
    /// The contents; `null` if they were not observed.
    pub contents: Option<String>,
}

/// `sha256:…` of the parts of the state of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleBasis {
    /// The OID, the attributes and the comment.
    pub attributes: String,
    /// The memberships that administrators granted.
    pub memberships: String,
}

/// A part of the state that a step on roles and databases changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The whole database, which did not exist.
    Database(DatabaseName),
    AllowConnections(DatabaseName),
    IsTemplate(DatabaseName),
    Comment(DatabaseName),
    PrivilegesOfPublic(DatabaseName),
    Privileges(DatabaseName, RoleName),
    /// The whole role, which did not exist.
    Role(RoleName),
    RoleAttributes(RoleName),
    Memberships(RoleName),
}

impl Basis {
    pub(super) fn new(observed: &Observed, transactions: &[Transaction]) -> Self {
        let administrator = &observed.administrator.name;
        let databases = databases(transactions).into_iter();
        let databases = databases
            .filter_map(|name| observed.databases.get_key_value(name))
            .filter(|(_, seen)| !seen.is_unfinished(administrator));
        // From PostgreSQL 16 on, the administrator becomes a member of each role that it creates.
        let roles = roles(transactions).into_iter().filter(|name| *name != administrator);
        let roles = roles.filter_map(|name| observed.roles.get_key_value(name));
        let groups = groups(transactions).into_iter();
        Self {
            administrator: sha256_json(&observed.administrator),
            databases: databases
                .map(|(name, seen)| (name.clone(), DatabaseBasis::new(seen)))
                .collect(),
            roles: roles
                .map(|(name, seen)| (name.clone(), RoleBasis::new(observed, seen)))
                .collect(),
            groups: groups.map(|name| (name.clone(), of_group(observed, name))).collect(),
        }
    }

    /// Keeps what the steps that are left of a plan are based on.
    pub(super) fn retain(&mut self, transactions: &[Transaction]) {
        let (databases, roles) = (databases(transactions), roles(transactions));
        let groups = groups(transactions);
        self.databases.retain(|name, _| databases.contains(name));
        self.roles.retain(|name, _| roles.contains(name));
        self.groups.retain(|name, _| groups.contains(name));
    }

    /// Returns the databases and roles whose state is not the same as in the basis of a saved plan,
    /// except in the parts that done steps of this plan have changed.
    pub(super) fn changed_since(&self, saved: &Self, done: &BTreeSet<Part>) -> Vec<GlobalObject> {
        let is_changed_database =
            |name: &DatabaseName, now: &DatabaseBasis| match saved.databases.get(name) {
                None => !done.contains(&Part::Database(name.clone())),
                Some(earlier) => now.is_changed_since(earlier, name, done),
            };
        let is_changed_role = |name: &RoleName, now: &RoleBasis| match saved.roles.get(name) {
            None => !done.contains(&Part::Role(name.clone())),
            Some(earlier) => now.is_changed_since(earlier, name, done),
        };
        let databases = self.databases.iter().filter(|(name, now)| is_changed_database(name, now));
        let roles = self.roles.iter().filter(|(name, now)| is_changed_role(name, now));
        let groups = self.groups.iter().filter(|(name, now)| saved.groups.get(*name) != Some(*now));
        let roles: BTreeSet<&RoleName> =
            roles.map(|(name, _)| name).chain(groups.map(|(name, _)| name)).collect();
        let databases = databases.map(|(name, _)| GlobalObject::Database(name.clone()));
        databases.chain(roles.into_iter().cloned().map(GlobalObject::Role)).collect()
    }
}

impl DatabaseBasis {
    /// The names of relations are not included: the statements contain those that matter. Neither is
    /// whether the administrator can connect, which follows from the other parts.
    fn new(seen: &observed::Database) -> Self {
        let mut by_grantee: BTreeMap<&Grantee, BTreeSet<&AclItem>> = BTreeMap::new();
        for item in &seen.acl {
            by_grantee.entry(&item.grantee).or_default().insert(item);
        }
        let privileges = by_grantee
            .iter()
            .filter_map(|(grantee, items)| Some((grantee.role()?.clone(), sha256_json(items))));
        Self {
            attributes: sha256_json(&observed::Database {
                allow_connections: true,
                is_template: false,
                connectable: true,
                acl: Vec::new(),
                comment: None,
                comment_too_long: false,
                // Each role can store settings for itself in each database.
                settings: BTreeMap::new(),
                settings_too_long: BTreeSet::new(),
                contents: None,
                ..seen.clone()
            }),
            allow_connections: seen.allow_connections,
            is_template: seen.is_template,
            comment: sha256_json(&(&seen.comment, seen.comment_too_long)),
            public: sha256_json(&by_grantee.get(&Grantee::Public)),
            privileges: privileges.collect(),
            contents: seen.contents.as_ref().map(of_contents),
        }
    }

    /// The steps in a database are one transaction. As long as one of them is left, no run has changed
    /// the contents.
    fn is_changed_since(&self, earlier: &Self, name: &DatabaseName, done: &BTreeSet<Part>) -> bool {
        let is_done = |part: fn(DatabaseName) -> Part| done.contains(&part(name.clone()));
        let grantees = self.privileges.keys().chain(earlier.privileges.keys());
        let mut changed_grantees = grantees
            .filter(|grantee| self.privileges.get(*grantee) != earlier.privileges.get(*grantee));
        self.attributes != earlier.attributes
            || self.contents != earlier.contents
            || self.allow_connections != earlier.allow_connections
                && !is_done(Part::AllowConnections)
            || self.is_template != earlier.is_template && !is_done(Part::IsTemplate)
            || self.comment != earlier.comment && !is_done(Part::Comment)
            || self.public != earlier.public && !is_done(Part::PrivilegesOfPublic)
            || changed_grantees
                .any(|one| !done.contains(&Part::Privileges(name.clone(), one.clone())))
    }
}

impl RoleBasis {
    /// A role with `ADMIN OPTION` on another one can make each role a member of it; before PostgreSQL 15,
    /// each role can do this with itself.
    fn new(observed: &Observed, seen: &observed::Role) -> Self {
        let is_of_administrator = |membership: &&Membership| {
            let grantor = observed.roles.get(&membership.grantor);
            membership.grantor == observed.administrator.name
                || grantor.is_some_and(|grantor| grantor.superuser)
        };
        let memberships: Vec<_> = seen.memberships.iter().filter(is_of_administrator).collect();
        Self {
            attributes: sha256_json(&observed::Role {
                memberships: Vec::new(),
                granted: Vec::new(),
                ..seen.clone()
            }),
            memberships: sha256_json(&memberships),
        }
    }

    fn is_changed_since(&self, earlier: &Self, name: &RoleName, done: &BTreeSet<Part>) -> bool {
        let is_done = |part: fn(RoleName) -> Part| done.contains(&part(name.clone()));
        self.attributes != earlier.attributes && !is_done(Part::RoleAttributes)
            || self.memberships != earlier.memberships && !is_done(Part::Memberships)
    }
}

fn of_contents(contents: &Contents) -> String {
    let mut contents = contents.clone();
    for group in contents.schemas.values_mut().flat_map(|schema| &mut schema.relations) {
        group.names.clear();
    }
    sha256_json(&contents)
}

/// Returns what a new member of a role gets. Each membership counts, whichever role granted it.
fn of_group(observed: &Observed, group: &RoleName) -> String {
    #[derive(Serialize)]
    struct Reached<'a> {
        oid: Option<u32>,
        attributes: [bool; 5],
        memberships: BTreeSet<(&'a RoleName, bool, bool, bool)>,
    }
    let mut found = BTreeMap::new();
    let mut next = vec![group];
    while let Some(name) = next.pop() {
        let Some(seen) = observed.roles.get(name).filter(|_| !found.contains_key(name)) else {
            continue;
        };
        let memberships = seen.memberships.iter();
        let reached = Reached {
            oid: seen.oid,
            attributes: [
                seen.superuser,
                seen.create_role,
                seen.create_database,
                seen.replication,
                seen.bypass_rls,
            ],
            memberships: memberships
                .map(|one| (&one.role, one.admin, one.inherit, one.set))
                .collect(),
        };
        found.insert(name, reached);
        next.extend(seen.memberships.iter().map(|one| &one.role));
    }
    sha256_json(&found)
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

fn groups(transactions: &[Transaction]) -> BTreeSet<&RoleName> {
    transactions.iter().flat_map(|one| &one.steps).filter_map(|step| step.group.as_ref()).collect()
}
