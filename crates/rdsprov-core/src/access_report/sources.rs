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

/// The grants on one database, by schema and kind.
type Grants = BTreeMap<(Option<SchemaName>, Option<ObjectKind>), Vec<Grant>>;

impl DatabaseAccess {
    /// Adds the sources of all privileges. `owner` is the owner of the database.
    pub(super) fn add_sources(&mut self, owner: &RoleName) {
        let mut grants = Grants::new();
        for grant in self.grants.drain(..) {
            grants.entry((grant.schema.clone(), grant.kind)).or_default().push(grant);
        }
        for role in &mut self.roles {
            let reach = Reach::new(role, owner);
            role.database_through = reach.sources(&grants, None, None, &role.database);
            for (name, schema) in &mut role.schemas {
                schema.through = reach.sources(&grants, Some(name), None, &schema.privileges);
                for objects in &mut schema.objects {
                    let held = [objects.privileges.as_slice(), &objects.on_columns].concat();
                    objects.through = reach.sources(&grants, Some(name), Some(objects.kind), &held);
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

    /// Returns the sources of privileges on the objects of one kind in a schema.
    fn sources(
        &self,
        grants: &Grants,
        schema: Option<&SchemaName>,
        kind: Option<ObjectKind>,
        privileges: &[Privilege],
    ) -> Vec<Source> {
        let key = (schema.cloned(), kind);
        let mut sources = Vec::new();
        for grant in grants.get(&key).into_iter().flatten() {
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
        // On schemas, these roles have USAGE only, and on relations everything else.
        let counts = |one: &Privilege| {
            privileges.contains(one) && kind.is_none() == (*one == Privilege::Usage)
        };
        let is_of_data = schema.is_some() && kind != Some(ObjectKind::Routine);
        let of_all_data = OF_ALL_DATA.iter().filter(|(name, given)| {
            is_of_data
                && given.iter().any(counts)
                && self.inherits.iter().any(|role| role.as_str() == *name)
        });
        let of_all_data = of_all_data.map(|(name, _)| Source::Role(RoleName::new_unchecked(*name)));
        sources.extend(of_all_data);
        sources.sort();
        sources.dedup();
        sources
    }
}
