//! What each role has in one database: the places in which it has privileges of its own.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{ExtensionName, RoleName, SchemaName};
use crate::observed::{AclItem, Contents, Database, Grantee};
use crate::privilege::{ObjectKind, Privilege};

/// The places in one database in which a role has privileges of its own, or owns objects.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The schemas in which it has privileges that an access level can contain.
    pub schemas: BTreeSet<SchemaName>,
    /// The extensions whose objects it may use by a privilege of its own.
    pub extensions: BTreeSet<ExtensionName>,
}

/// Returns what each role has. Roles that have nothing of their own are not contained.
pub(super) fn held_by_role(database: &Database, contents: &Contents) -> BTreeMap<RoleName, Held> {
    let mut found = Found::default();
    let is_open = database
        .acl
        .iter()
        .any(|item| item.grantee == Grantee::Public && item.privilege == Privilege::Connect);
    found.acl(&database.owner, &database.acl, |_| {});
    for (name, schema) in &contents.schemas {
        let in_schema = |held: &mut Held| held.schemas.extend([name.clone()]);
        match &schema.extension {
            Some(extension) => found.acl(&schema.owner, &schema.acl, |held| {
                held.extensions.insert(extension.clone());
            }),
            None if schema.of_extension => {}
            None => found.acl(&schema.owner, &schema.acl, in_schema),
        }
        for group in schema.relations.iter().filter(|group| !group.of_extension) {
            found.acl(&group.owner, &group.acl, in_schema);
        }
        for columns in schema.columns.iter().filter(|columns| !columns.of_extension) {
            found.acl(&columns.owner, &columns.acl, in_schema);
        }
    }
    for object in &contents.objects {
        found.acl(&object.owner, &object.acl, |held| {
            held.extensions.extend(object.extension.clone());
        });
    }
    for row in &contents.default_privileges {
        let is_covered = ObjectKind::RELATIONS.contains(&row.kind);
        // Of roles that no entry can name as creators for them, they are no access: a plan leaves them.
        if row.role != database.owner && !(is_covered && row.schema.is_some()) {
            continue;
        }
        found.acl(&row.role, &row.acl, |held| {
            held.schemas.extend(row.schema.clone().filter(|_| is_covered));
        });
    }
    // The owner of objects uses them only if it may connect.
    for owned in contents.owned.iter().filter(|_| is_open) {
        found.0.entry(owned.role.clone()).or_default();
    }
    found.0
}

#[derive(Default)]
struct Found(BTreeMap<RoleName, Held>);

impl Found {
    /// Adds the grantees of an ACL, except the owner of the object and PUBLIC.
    fn acl(&mut self, owner: &RoleName, acl: &[AclItem], place: impl Fn(&mut Held)) {
        for item in acl {
            if let Grantee::Role(role) = &item.grantee
                && role != owner
            {
                place(self.0.entry(role.clone()).or_default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::test_states::observed_with;

    /// Each role that can connect can give them, and they are about objects that do not exist.
    #[test]
    fn default_privileges_of_other_roles_are_no_access() {
        let mut observed = observed_with(
            &[("shop_owner", ""), ("shop_reader", ""), ("clerk", "")],
            &[("shop", "shop_owner", "")],
        );
        let database = observed.databases.values_mut().next().unwrap();
        let has_access = |database: &mut Database, role: &str, kind: &str| {
            let row = serde_json::json!({
                "role": role, "schema": "public", "kind": kind,
                "acl": [{
                    "grantee": "shop_reader", "grantor": role, "privilege": "EXECUTE",
                    "grantable": false
                }]
            });
            let contents = database.contents.as_mut().unwrap();
            contents.default_privileges = vec![serde_json::from_value(row).unwrap()];
            let contents = database.contents.clone().unwrap();
            held_by_role(database, &contents).contains_key(&RoleName::new_unchecked("shop_reader"))
        };
        assert!(!has_access(database, "clerk", "routine"));
        assert!(has_access(database, "shop_owner", "routine"));
        // The entries name the role as a creator.
        assert!(has_access(database, "clerk", "table"));
    }
}
