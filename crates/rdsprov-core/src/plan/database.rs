//! The order of the changes inside one database.
//!
//! Other modules compare one kind of object each: [`super::schemas`], [`super::relations`],
//! [`super::default_privileges`] and [`super::extensions`]. [`super::ownership`] transfers objects
//! to a new owner.

use super::database_planner::{DatabasePlanner, Existence};
use super::extension_users::ExtensionUsers;
use super::ownership::{with_new_owner, without_objects_of_administrator};
use super::planner::Planner;
use super::schemas::default_contents;
use super::sql::GrantTarget;
use super::{NoteKind, RefusalKind, Remedy, Step};
use crate::desired;
use crate::name::{DatabaseName, RoleName, SchemaName};
use crate::observed::{AclItem, Contents, Grantee, ObjectsOfRole, Owned};
use crate::privilege::{Privilege, Privileges};

impl Planner<'_> {
    /// Plans the steps inside a database that does not exist yet: it will be a
    /// copy of the template.
    pub(super) fn new_database_contents(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
    ) -> Vec<Step> {
        let Some(owner) = &database.owner else { return Vec::new() };
        let contents = self.observed.template.clone().unwrap_or_else(|| {
            default_contents(self.observed.major(), &self.observed.administrator.name)
        });
        DatabasePlanner::new(self, name, database, owner, Existence::New).compare(&contents, None)
    }

    /// Plans the steps inside a database whose contents were observed.
    pub(super) fn database_contents(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        present_owner: &RoleName,
        contents: &Contents,
    ) -> Vec<Step> {
        let owner = database.owner.as_ref().unwrap_or(present_owner);
        let inside = DatabasePlanner::new(self, name, database, owner, Existence::Present);
        let contents_then;
        let contents = match database.owner_schemas() {
            Some(schemas) if inside.transfers_objects_of_administrator(contents) => {
                let administrator = &inside.planner.observed.administrator.name;
                contents_then =
                    without_objects_of_administrator(contents, administrator, owner, schemas);
                &contents_then
            }
            _ => contents,
        };
        if owner == present_owner {
            return inside.compare(contents, None);
        }
        let method = inside.planner.transfer_method(present_owner);
        let after_transfer = with_new_owner(contents, present_owner, owner, method);
        inside.compare(&after_transfer, Some((present_owner, contents)))
    }
}

impl DatabasePlanner<'_, '_> {
    /// Returns the steps in order. If the database gets another owner, `before` is the old owner
    /// and the contents before the transfer, and `contents` those after it.
    pub(super) fn compare(
        mut self,
        contents: &Contents,
        before: Option<(&RoleName, &Contents)>,
    ) -> Vec<Step> {
        let available = &self.planner.observed.extensions;
        self.extension_users = ExtensionUsers::new(self.database, contents, available);
        let contents = &self.transfer_schemas(contents);
        self.recreate_public(contents);
        // First, because a new schema gets its privileges from the default privileges.
        self.revoke_excess(contents);
        for schema_name in self.database.covered_schemas() {
            if !contents.schemas.contains_key(schema_name) {
                self.missing_schema(schema_name, contents);
            }
        }
        // The new owner of a function needs CREATE on its schema. So schemas come before the
        // transfer, except those that are transferred themselves, and those on which it has CREATE
        // through PUBLIC, which can lose it.
        let is_for_public =
            |item: &AclItem| item.grantee == Grantee::Public && item.privilege == Privilege::Create;
        let follows = |name: &SchemaName| {
            before.is_some_and(|(from, was)| {
                was.schemas.get(name).is_some_and(|schema| {
                    schema.owner == *from || schema.acl.iter().any(is_for_public)
                })
            })
        };
        let (following, others): (Vec<_>, Vec<_>) =
            contents.schemas.iter().partition(|(name, _)| follows(name));
        for (schema_name, schema) in others {
            self.schema(schema_name, schema);
        }
        if let Some((from, was)) = before {
            self.transfer_ownership(from, was);
        }
        for (schema_name, schema) in following {
            self.schema(schema_name, schema);
        }
        self.transfer_objects_of_administrator(contents);
        for (schema_name, schema) in &contents.schemas {
            self.schemas_in_scope = vec![self.resolve_schema(schema_name, schema)];
            // First, because PostgreSQL revokes a privilege on a relation from its columns, too, and fails if the role has
            // passed it on there.
            let refused = schema.columns.iter().filter(|one| self.columns(schema_name, one));
            let refused = refused.map(|columns| columns.relation.as_str()).collect();
            self.relations(schema_name, &schema.relations, &refused);
            self.schemas_in_scope.clear();
            self.grant_missing(schema_name, contents);
        }
        for object in &contents.objects {
            let named =
                object.schemas.iter().filter_map(|name| contents.schemas.get_key_value(name));
            self.schemas_in_scope =
                named.map(|(name, schema)| self.resolve_schema(name, schema)).collect();
            let target =
                GrantTarget::Object { kind: object.kind, identity: object.identity.clone() };
            let public = (object.kind.is_closed_to_public() && self.is_creator(&object.owner))
                .then(Privileges::new);
            let wanted = self.extension_users.wanted_on_object(object);
            let acl_diff = self.differs(&object.owner, &object.acl, &wanted, public);
            let extension = object.extension.as_ref().filter(|_| object.is_routine());
            self.grants(&target, &object.owner, &acl_diff, extension);
            self.revokes_on(&target, &object.owner, &acl_diff, extension);
        }
        self.schemas_in_scope.clear();
        self.refuse_unexpected_owners(contents);
        self.refuse_objects_of_groups(contents);
        self.refuse_missing_extensions(contents);
        // Last, because `ALL TABLES` would include the tables of a new extension.
        self.extensions(contents);
        self.steps
    }

    /// Refuses objects of declared roles that are neither the owner nor a creator: the owner of an
    /// object has all privileges on it, whatever its access level is.
    fn refuse_unexpected_owners(&mut self, contents: &Contents) {
        let (place, to) = self.current_database_and_owner();
        for Owned { role, count, kind, identity } in &contents.owned {
            if !self.is_managed(role) || self.is_creator(role) {
                continue;
            }
            // A retired role keeps its objects: it cannot log in.
            if self.planner.desired.roles.get(role).is_some_and(desired::Role::is_retired) {
                continue;
            }
            // The SUPERUSER attribute is refused separately.
            if self.planner.observed.roles.get(role).is_some_and(|seen| seen.superuser) {
                continue;
            }
            let application = self.planner.application_for(role, self.database).clone();
            if self.planner.refuse_subscriptions(&place, &application, role) {
                continue;
            }
            // `REASSIGN OWNED` would also take away the large objects of the role.
            let remedy = if contents.large_object_owners.contains(role) {
                Remedy::None
            } else {
                self.planner.manual_transfer(&place, role, &to)
            };
            let kind = RefusalKind::ObjectsOfDeclaredRole {
                database: place.clone(),
                object: format!("{kind} {identity}"),
                others: count.saturating_sub(1),
                role: role.clone(),
            };
            self.planner.refuse_with(&application, kind, remedy);
        }
        for role in &contents.large_object_owners {
            if self.is_managed(role) && !self.is_creator(role) {
                self.planner.note(NoteKind::LargeObjectsOwned {
                    role: role.clone(),
                    database: place.clone(),
                });
            }
        }
    }

    /// Refuses objects of the predefined roles of which declared roles are members: the members of the owner of an
    /// object have all privileges on it. The owner of the database decides what they own in it, so this concerns
    /// its application only.
    fn refuse_objects_of_groups(&mut self, contents: &Contents) {
        // Those in the template are refused together with those of other roles.
        let found: &[ObjectsOfRole] = if self.is_new() { &[] } else { &contents.objects_of_others };
        for objects in found {
            let Some(first) = objects.first.first() else { continue };
            let kind = RefusalKind::ObjectsOfPredefinedRole {
                database: self.name.clone(),
                object: first.to_string(),
                others: objects.count.saturating_sub(1),
                role: objects.role.clone(),
            };
            let remedy = self.objects_by_hand(objects);
            self.planner.refuse_with(&self.database.application, kind, remedy);
        }
    }
}
