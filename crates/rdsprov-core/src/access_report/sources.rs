//! Finds where the privileges of a role come from: its own grants, ownership, other roles or PUBLIC.

use std::collections::BTreeMap;

use super::source::{Grant, Source};
use super::{DatabaseAccess, RoleAccess};
use crate::name::{RoleName, SchemaName};
use crate::observed::Grantee;
use crate::privilege::{ObjectKind, Privilege};

/// The role of which each owner of a database is a member, without a row in the catalog.
const DATABASE_OWNER: &str = "pg_database_owner";

/// Predefined roles whose members have privileges on all relations and schemas, without an ACL.
const OF_ALL_DATA: [(&str, &[Privilege]); 3] = [
    ("pg_read_all_data", &[Privilege::Select, Privilege::Usage]),
    (
        "pg_write_all_data",
        &[Privilege::Insert, Privilege::Update, Privilege::Delete, Privilege::Usage],
    ),
    ("pg_maintain", &[Privilege::Maintain]),
];

/// The grants on one database, by schema.
type Grants = BTreeMap<Option<SchemaName>, Vec<Grant>>;

impl DatabaseAccess {
    /// Adds the sources that the query does not return: those of the privileges on the database and the
    /// schemas, and predefined roles. `owner` is the owner of the database.
    pub(super) fn add_sources(&mut self, owner: &RoleName) {
        let mut grants = Grants::new();
        for grant in self.grants.drain(..) {
            grants.entry(grant.schema.clone()).or_default().push(grant);
        }
        for role in &mut self.roles {
            let reach = Reach::new(role, owner);
            role.database_through = reach.sources(&grants, None, &role.database);
            for (name, schema) in &mut role.schemas {
                schema.through = reach.sources(&grants, Some(name), &schema.privileges);
                for objects in &mut schema.objects {
                    let held = [objects.privileges.as_slice(), &objects.on_columns].concat();
                    reach.add_predefined(&mut objects.through, Some(objects.kind), &held);
                    objects.through.sort();
                }
            }
        }
    }
}

/// The roles whose privileges a role has.
struct Reach {
    role: Grantee,
    inherits: Vec<RoleName>,
}

impl Reach {
    fn new(access: &RoleAccess, owner: &RoleName) -> Self {
        let mut inherits = access.inherits.clone();
        let is_owner = access.role.role() == Some(owner) || inherits.contains(owner);
        inherits.extend(is_owner.then(|| RoleName::new_unchecked(DATABASE_OWNER)));
        Self { role: access.role.clone(), inherits }
    }

    /// Returns the sources of privileges on the database or a schema.
    fn sources(
        &self,
        grants: &Grants,
        schema: Option<&SchemaName>,
        privileges: &[Privilege],
    ) -> Vec<Source> {
        let mut sources = Vec::new();
        for grant in grants.get(&schema.cloned()).into_iter().flatten() {
            if !grant.owner && !grant.privileges.iter().any(|one| privileges.contains(one)) {
                continue;
            }
            sources.extend(match &grant.role {
                Grantee::Public => Some(Source::Public),
                role if *role == self.role && grant.owner => Some(Source::Owner),
                role if *role == self.role => Some(Source::Grant),
                Grantee::Role(role) => {
                    self.inherits.contains(role).then(|| Source::Role(role.clone()))
                }
            });
        }
        if schema.is_some() {
            self.add_predefined(&mut sources, None, privileges);
        }
        sources.sort();
        sources.dedup();
        sources
    }

    /// Adds the predefined roles that give privileges on a schema, or on its objects of one kind.
    fn add_predefined(
        &self,
        sources: &mut Vec<Source>,
        kind: Option<ObjectKind>,
        privileges: &[Privilege],
    ) {
        // On schemas, these roles have USAGE only, and on relations everything else.
        let counts = |one: &Privilege| {
            privileges.contains(one) && kind.is_none() == (*one == Privilege::Usage)
        };
        let of_all_data = OF_ALL_DATA.iter().filter(|(name, given)| {
            kind != Some(ObjectKind::Routine)
                && given.iter().any(counts)
                && self.inherits.iter().any(|role| role.as_str() == *name)
        });
        let of_all_data = of_all_data.map(|(name, _)| Source::Role(RoleName::new_unchecked(*name)));
        sources.extend(of_all_data.filter(|one| !sources.contains(one)).collect::<Vec<_>>());
    }
}
