//! The access level and the schemas that are nearest to what a role has in a database.

use std::collections::BTreeSet;

use crate::definitions::Application;
use crate::name::{RoleName, SchemaName, in_words};
use crate::observed::{AclItem, Contents, Database, Grantee, Schema};
use crate::privilege::{self, AccessLevel, ObjectKind, Privilege, Privileges};

/// An access level, and the schemas in which it applies.
pub(super) struct Nearest {
    pub level: AccessLevel,
    pub schemas: Vec<SchemaName>,
    /// The number of privileges that differ. A privilege on several relations counts for each.
    distance: u64,
}

/// Returns the access level and the schemas with the fewest privileges to grant and to revoke; of two
/// levels that are equally near, the lower one. The schemas are among those in which the role has
/// privileges.
pub(super) fn nearest(
    role: &RoleName,
    held: &BTreeSet<SchemaName>,
    database: &Database,
    contents: &Contents,
) -> Option<Nearest> {
    let compared = Compared { role, contents };
    let of_level = |level: AccessLevel| {
        let mut distance = compared.acl(&database.acl, privilege::on_database(level));
        let mut schemas = Vec::new();
        for (name, schema) in contents.schemas.iter().filter(|(name, _)| held.contains(name)) {
            let covered = compared.schema(name, schema, Some(level));
            let not_covered = compared.schema(name, schema, None);
            // Of two equal distances, the role keeps its access.
            schemas.extend((covered <= not_covered).then(|| name.clone()));
            distance += covered.min(not_covered);
        }
        Nearest { level, schemas, distance }
    };
    let levels = [AccessLevel::Reader, AccessLevel::Editor].map(of_level);
    levels.into_iter().min_by_key(|one| one.distance)
}

/// Returns a line for each relation of covered schemas with privileges of a role on single columns that its
/// access level contains for the whole relation: a plan grants them on all columns.
pub(super) fn widened_columns(entry: &Application, contents: &Contents) -> Vec<String> {
    let Application { username: role, access_level: level, .. } = entry;
    if *level == AccessLevel::Owner {
        return Vec::new();
    }
    let wanted = privilege::on_object(*level, ObjectKind::Table);
    let of_role = |acl: &[AclItem]| -> Privileges {
        acl.iter()
            .filter(|item| item.grantee.role() == Some(role))
            .map(|item| item.privilege)
            .filter(|one| wanted.contains(one))
            .collect()
    };
    let covered = contents.schemas.iter().filter(|(name, _)| entry.schemas.contains(name));
    let mut lines = Vec::new();
    for (name, schema) in covered {
        let tables = schema.relations.iter().filter(|group| group.kind == ObjectKind::Table);
        let tables: Vec<Privileges> =
            tables.filter(|group| !group.of_extension).map(|group| of_role(&group.acl)).collect();
        for columns in schema.columns.iter().filter(|columns| !columns.of_extension) {
            // The names of the relations with an ACL are not observed.
            let is_granted = |one: &Privilege| tables.iter().all(|held| held.contains(one));
            let privileges = of_role(&columns.acl);
            let widened: Vec<String> =
                privileges.iter().filter(|one| !is_granted(one)).map(ToString::to_string).collect();
            if !widened.is_empty() {
                let names: Vec<_> = columns.names.iter().map(|one| in_words(one)).collect();
                lines.push(format!(
                    "columns: {} has {} on {} of table {}.{}; {level} includes it on all columns",
                    in_words(role.as_str()),
                    widened.join(", "),
                    names.join(", "),
                    name.in_words(),
                    in_words(&columns.relation),
                ));
            }
        }
    }
    lines
}

struct Compared<'a> {
    role: &'a RoleName,
    contents: &'a Contents,
}

impl Compared<'_> {
    /// Returns the number of privileges that differ in a schema, with an access level or with none.
    fn schema(&self, name: &SchemaName, schema: &Schema, level: Option<AccessLevel>) -> u64 {
        let wanted = |kind| match level {
            Some(level) => privilege::on_object(level, kind),
            None => Privileges::new(),
        };
        let is_of_other = |owner: &RoleName| owner != self.role;
        let itself = self.acl(&schema.acl, wanted(ObjectKind::Schema));
        let groups = schema.relations.iter().filter(|group| !group.of_extension);
        let groups = groups.filter(|group| is_of_other(&group.owner));
        let relations = groups.map(|group| group.count * self.acl(&group.acl, wanted(group.kind)));
        let columns = schema.columns.iter().filter(|one| is_of_other(&one.owner));
        let columns = columns.map(|one| self.excess(&one.acl, &wanted(ObjectKind::Table)));
        let rows = self.contents.default_privileges.iter().filter(|row| {
            row.schema.as_ref() == Some(name)
                && ObjectKind::RELATIONS.contains(&row.kind)
                && is_of_other(&row.role)
        });
        let rows = rows.map(|row| self.acl(&row.acl, wanted(row.kind)));
        itself + relations.sum::<u64>() + columns.sum::<u64>() + rows.sum::<u64>()
    }

    /// Returns the number of privileges that differ in one ACL. What PUBLIC has is not missing, and a
    /// grant option alone is no difference.
    fn acl(&self, acl: &[AclItem], wanted: Privileges) -> u64 {
        let of = |grantee: &dyn Fn(&Grantee) -> bool| -> Privileges {
            acl.iter().filter(|item| grantee(&item.grantee)).map(|item| item.privilege).collect()
        };
        let held = of(&|grantee| grantee.role() == Some(self.role));
        let public = of(&|grantee| *grantee == Grantee::Public);
        let missing = wanted.iter().filter(|one| !held.contains(one) && !public.contains(one));
        (missing.count() + held.difference(&wanted).count()) as u64
    }

    /// Returns the number of privileges in one ACL that an access level does not contain.
    fn excess(&self, acl: &[AclItem], wanted: &Privileges) -> u64 {
        let own = acl.iter().filter(|item| item.grantee.role() == Some(self.role));
        own.filter(|item| !wanted.contains(&item.privilege)).count() as u64
    }
}
