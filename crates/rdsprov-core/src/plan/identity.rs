//! The databases and roles that the steps of a transaction were planned for.
//!
//! Statements name databases and roles. Between the observation and the execution, another role can
//! give a name to another database or role: the owner of a database with `CREATEDB` can drop it and
//! create it again, and a role with `CREATEROLE` can do so with a role. So each transaction verifies
//! that the names still mean the observed databases and roles.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{DatabaseName, RoleName};
use crate::named_enum::named_enum;

/// The databases and roles that a transaction verifies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identities {
    /// The existing databases that the steps name, and the database in which they are executed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub databases: BTreeMap<DatabaseName, DatabaseIdentity>,
    /// The roles that the steps name, those that execute them, and the owners of the databases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<RoleName, RoleIdentity>,
}

/// A database as it must be when the transaction starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseIdentity {
    /// The OID of the database.
    pub oid: DatabaseOid,
    /// The owner at the start of the transaction.
    pub owner: RoleName,
    /// The owner at its end, if the transaction changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_owner: Option<RoleName>,
}

/// How the OID of a database is known (`pg_database.oid`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseOid {
    /// The database was observed with this OID.
    Observed(u32),
    /// An earlier transaction of the plan creates the database, and its OID is stored then.
    Created,
    /// The observed state contains no OID, because it was written by hand.
    Unknown,
}

/// A role as it must be during the transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleIdentity {
    /// The OID of the role (`pg_roles.oid`); `null` if the plan creates the role, so that it must not
    /// exist before, or if the observed state was written by hand.
    pub oid: Option<u32>,
    /// The attributes that the role may have: those that it had when it was observed, and those that
    /// the plan gives it.
    pub attributes: BTreeSet<PrivilegedAttribute>,
}

named_enum! {
    /// An attribute of a role that gives power over other roles or over all data. The names, in snake
    /// case, are in JSON.
    #[allow(missing_docs, reason = "the names are those of PostgreSQL")]
    "snake_case" pub enum PrivilegedAttribute {
        Superuser,
        CreateRole,
        Replication,
        BypassRls,
    }
}

impl Identities {
    /// Returns whether there is nothing to verify.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.databases.is_empty() && self.roles.is_empty()
    }

    /// Adds other identities.
    pub(super) fn extend(&mut self, others: &Self) {
        self.databases
            .extend(others.databases.iter().map(|(name, one)| (name.clone(), one.clone())));
        self.roles.extend(others.roles.iter().map(|(name, one)| (name.clone(), one.clone())));
    }

    /// Returns whether these are identities of a saved plan, of which earlier transactions may have
    /// created some in the meantime.
    pub(super) fn is_rest_of(&self, saved: &Self) -> bool {
        self.exchanged_since(saved).is_empty()
    }

    /// Returns what is another database or role than in a saved plan.
    pub(super) fn exchanged_since(&self, saved: &Self) -> Vec<GlobalObject> {
        let databases = self.databases.iter().filter(|(name, database)| {
            !saved.databases.get(*name).is_some_and(|saved| database.is_rest_of(saved))
        });
        let roles = self.roles.iter().filter(|(name, role)| {
            !saved.roles.get(*name).is_some_and(|saved| role.is_rest_of(saved))
        });
        let databases = databases.map(|(name, _)| GlobalObject::Database(name.clone()));
        databases.chain(roles.map(|(name, _)| GlobalObject::Role(name.clone()))).collect()
    }
}

impl DatabaseIdentity {
    fn is_rest_of(&self, saved: &Self) -> bool {
        let is_created =
            saved.oid == DatabaseOid::Created && Self { oid: saved.oid, ..self.clone() } == *saved;
        is_created || self == saved
    }
}

impl RoleIdentity {
    fn is_rest_of(&self, saved: &Self) -> bool {
        self.attributes.is_subset(&saved.attributes)
            && (saved.oid.is_none() || self.oid == saved.oid)
    }
}

/// A database or role, which all databases share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GlobalObject {
    Database(DatabaseName),
    Role(RoleName),
}

impl fmt::Display for GlobalObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(name) => write!(f, "database {name}"),
            Self::Role(name) => write!(f, "role {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identities(oid: DatabaseOid, owner: &str, role: Option<u32>, powerful: bool) -> Identities {
        let name = RoleName::new_unchecked;
        let database = DatabaseIdentity { oid, owner: name(owner), new_owner: None };
        let attributes = powerful.then_some(PrivilegedAttribute::CreateRole).into_iter().collect();
        Identities {
            databases: BTreeMap::from([(DatabaseName::new_unchecked("shop"), database)]),
            roles: BTreeMap::from([(name("app"), RoleIdentity { oid: role, attributes })]),
        }
    }

    /// What a run has created is still a part of its saved plan; what another role has exchanged is not.
    #[test]
    fn rest_has_the_identities_of_the_saved_plan() {
        let observed = |oid, owner, role, powerful| {
            identities(DatabaseOid::Observed(oid), owner, role, powerful)
        };
        let saved = observed(7, "app", Some(8), true);
        assert!(saved.is_rest_of(&saved));
        assert!(observed(7, "app", Some(8), false).is_rest_of(&saved));
        assert!(!observed(9, "app", Some(8), true).is_rest_of(&saved));
        assert!(!observed(7, "other", Some(8), true).is_rest_of(&saved));
        assert!(!observed(7, "app", Some(9), true).is_rest_of(&saved));
        assert!(!saved.is_rest_of(&Identities::default()));

        let saved = identities(DatabaseOid::Created, "app", None, false);
        assert!(observed(7, "app", Some(8), false).is_rest_of(&saved));
        assert!(!observed(7, "other", Some(8), false).is_rest_of(&saved));
        assert!(!observed(7, "app", Some(8), true).is_rest_of(&saved));
    }
}
