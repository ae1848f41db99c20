//! The access level that is nearest to what a role has in a database.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{RoleName, SchemaName};
use crate::observed::{AclItem, Contents, Database, Grantee};
use crate::plan::{DeclaredAcl, diff_acl};
use crate::privilege::{self, AccessLevel, ObjectKind, Privileges};

/// Returns the access level with the fewest privileges to grant and to revoke; of two that are equally
/// near, the lower one.
pub(super) fn nearest_level(
    role: &RoleName,
    schemas: &BTreeSet<SchemaName>,
    database: &Database,
    contents: &Contents,
) -> AccessLevel {
    let distance =
        |level: &AccessLevel| Distance { role, schemas, level: *level }.of(database, contents);
    let levels = [AccessLevel::Reader, AccessLevel::Editor];
    levels.into_iter().min_by_key(distance).unwrap_or(AccessLevel::Reader)
}

struct Distance<'a> {
    role: &'a RoleName,
    schemas: &'a BTreeSet<SchemaName>,
    level: AccessLevel,
}

impl Distance<'_> {
    /// Returns the number of privileges that differ. A privilege on several relations counts for each.
    fn of(&self, database: &Database, contents: &Contents) -> u64 {
        let mut distance = self.of_acl(&database.acl, privilege::on_database(self.level));
        for (name, schema) in &contents.schemas {
            let wanted = |kind| match self.schemas.contains(name) {
                true => privilege::on_object(self.level, kind),
                false => Privileges::new(),
            };
            let groups = schema.relations.iter().filter(|group| !group.of_extension);
            for group in groups.filter(|group| group.owner != *self.role) {
                distance += group.count * self.of_acl(&group.acl, wanted(group.kind));
            }
        }
        for row in contents.default_privileges.iter().filter(|row| row.role != *self.role) {
            let is_covered = row.schema.as_ref().is_some_and(|one| self.schemas.contains(one))
                && ObjectKind::RELATIONS.contains(&row.kind);
            if is_covered {
                distance += self.of_acl(&row.acl, privilege::on_object(self.level, row.kind));
            }
        }
        distance
    }

    /// Compares one ACL as the planner does. What PUBLIC has is not missing.
    fn of_acl(&self, acl: &[AclItem], privileges: Privileges) -> u64 {
        let wanted = BTreeMap::from([(self.role.clone(), privileges)]);
        let managed = |role: &RoleName| role == self.role;
        let diff = diff_acl(acl, &DeclaredAcl { wanted: &wanted, managed: &managed, public: None });
        let missing = diff
            .grant
            .values()
            .flatten()
            .filter(|privilege| !diff.held.contains_key(&(Grantee::Public, **privilege)));
        let excess = diff.revoke.iter().map(|revoke| revoke.privileges.len()).sum::<usize>();
        (missing.count() + excess) as u64
    }
}
