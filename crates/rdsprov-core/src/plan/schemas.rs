//! Plans the schemas of one database, their owners and the privileges on them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::acl::{AclDiff, with_owner};
use super::database_planner::{DatabasePlanner, ResolvedSchema};
use super::planner::is_public;
use super::sql::{self, GrantTarget, HandedOver, Statement};
use super::{
    Action, DATABASE_OWNER, Executor, Hazard, ManualFix, MembershipOption, Memberships, NoteKind,
    RefusalKind, Remedy, Step,
};
use crate::name::{DatabaseName, RoleName, SchemaName};
use crate::observed::{AclItem, Contents, Grantee, Schema};
use crate::privilege::{self, ObjectKind, Privilege, Privileges};

/// Returns the contents of a new database, if the template could not be observed.
pub(super) fn default_contents(major: u32, administrator: &RoleName) -> Contents {
    let item = |grantee, grantor: &RoleName, privilege| AclItem {
        grantee,
        grantor: grantor.clone(),
        privilege,
        grantable: false,
    };
    let owner =
        if major >= 15 { RoleName::new_unchecked(DATABASE_OWNER) } else { administrator.clone() };
    let to_owner = privilege::OWNER_ON_SCHEMA
        .map(|privilege| item(Grantee::Role(owner.clone()), &owner, privilege));
    let mut acl = vec![item(Grantee::Public, &owner, Privilege::Usage)];
    acl.extend(to_owner);
    if major < 15 {
        acl.push(item(Grantee::Public, &owner, Privilege::Create));
    }
    let public = Schema {
        owner,
        acl,
        of_extension: false,
        extension: None,
        relations: Vec::new(),
        columns: Vec::new(),
    };
    Contents {
        schemas: BTreeMap::from([(SchemaName::new_unchecked("public"), public)]),
        ..Contents::default()
    }
}

impl DatabasePlanner<'_, '_> {
    /// Creates a declared schema that is missing, if the owner entry declares it,
    /// and refuses it otherwise.
    pub(super) fn missing_schema(&mut self, name: &SchemaName, contents: &Contents) {
        if self.database.owner_schemas().is_none_or(|schemas| !schemas.contains(name)) {
            self.refuse_missing_schema(name);
            return;
        }
        if !self.planner.desired.is_selected(&self.database.application) {
            self.refuse_schema_left_out(name);
            return;
        }
        let owner = self.owner.clone();
        let summary = format!("schema {}, owner {owner}", name.in_words());
        let role = Some(&owner);
        self.step(Action::CreateSchema, role, &owner, summary, sql::create_schema(name), &[]);
        let itself = Grantee::Role(owner.clone());
        // The default privileges of the owner can differ from the built-in ones
        // for its own schemas.
        let defaults = contents.default_privileges.iter().find(|row| {
            row.role == owner && row.schema.is_none() && row.kind == ObjectKind::Schema
        });
        let to_owner: Vec<AclItem> = match defaults {
            Some(row) => row.acl.iter().filter(|item| item.grantee == itself).cloned().collect(),
            None => privilege::OWNER_ON_SCHEMA
                .map(|privilege| AclItem {
                    grantee: itself.clone(),
                    grantor: owner.clone(),
                    privilege,
                    grantable: false,
                })
                .to_vec(),
        };
        let schema = Schema {
            owner,
            acl: to_owner,
            of_extension: false,
            extension: None,
            relations: Vec::new(),
            columns: Vec::new(),
        };
        self.schema(name, &schema);
        self.schema_is_planned = true;
        self.grant_missing(name, contents);
        self.schema_is_planned = false;
    }

    /// Refuses the selected entries that cover a schema which the owner entry declares: it does not
    /// exist, and the application of the owner entry is not selected.
    fn refuse_schema_left_out(&mut self, name: &SchemaName) {
        let database = self.database;
        let reason = format!("schema {} of database {} does not exist", name.in_words(), self.name);
        for access in database.access.values().filter(|access| access.schemas.contains(name)) {
            self.planner.refuse_not_selected(&access.application, &database.application, &reason);
        }
    }

    /// Refuses the entries that cover a schema which does not exist.
    fn refuse_missing_schema(&mut self, name: &SchemaName) {
        let database = self.database;
        let kind = RefusalKind::SchemaMissing {
            schema: name.clone(),
            database: self.name.clone(),
            owner_entry: database.owner.as_ref().map(|_| database.application.clone()),
        };
        let remedy = if self.is_new() {
            Remedy::None
        } else {
            let (place, owner) = self.current_database_and_owner();
            let mut statements = self.create_for_owner(&place, &owner);
            statements.push(sql::create_schema_for(name, &owner));
            let fix = ManualFix::from(statements).in_database(&place);
            Remedy::Run(self.planner.executor(&owner), fix)
        };
        for access in database.access.values().filter(|access| access.schemas.contains(name)) {
            self.planner.refuse_with(&access.application, kind.clone(), remedy.clone());
        }
    }

    /// Returns the statement with which the owner of a database grants itself `CREATE` on it, if it has revoked
    /// the privilege from itself.
    fn create_for_owner(&self, place: &DatabaseName, owner: &RoleName) -> Vec<Statement> {
        let seen = self.planner.observed.databases.get(place);
        let of_owner = [Grantee::Public, Grantee::Role(owner.clone())];
        let may_create = seen.is_none_or(|seen| {
            seen.acl
                .iter()
                .any(|item| item.privilege == Privilege::Create && of_owner.contains(&item.grantee))
        });
        if may_create {
            return Vec::new();
        }
        let target = GrantTarget::Database(place.clone());
        let create = Privileges::from([Privilege::Create]);
        vec![sql::grant(&create, &target, &Grantee::Role(owner.clone()))]
    }

    /// Transfers declared schemas of other roles to the owner, without the objects in them, if the
    /// run allows it. Returns the contents after that.
    pub(super) fn transfer_schemas<'c>(&mut self, contents: &'c Contents) -> Cow<'c, Contents> {
        let mut contents = Cow::Borrowed(contents);
        if !self.planner.desired.may_change_owners {
            return contents;
        }
        let owner = self.owner.clone();
        let database = self.database;
        for name in database.owner_schemas().into_iter().flatten() {
            let Some(schema) = contents.schemas.get(name) else { continue };
            let from = schema.owner.clone();
            let stays = is_public(name) || self.is_database_owner(&from);
            if stays || !self.may_transfer_schema(&from) {
                continue;
            }
            // ALTER SCHEMA … OWNER TO requires CREATE on the database.
            let mut temporary_memberships =
                Memberships::from([(owner.clone(), MembershipOption::Inherit)]);
            temporary_memberships.insert(from.clone(), MembershipOption::Inherit);
            let summary = format!("schema {} of role {from}: owner {owner}", name.in_words());
            let statements = vec![sql::change_schema_owner(name, &owner)];
            // The objects in the schema keep their owners, and the new owner of the schema uses them.
            let seen = contents.transferred_schemas.get(name).cloned().unwrap_or_default();
            let statements = self.verified(statements, &from, &seen, HandedOver::Objects);
            let application = &self.application(Some(&owner));
            let step = Step::new(Action::AlterSchema, application, summary, statements)
                .for_role(&owner)
                .in_database(self.name)
                .with_memberships(temporary_memberships)
                .with_hazards((!self.is_new()).then_some(Hazard::ChangesOwner))
                .handing_over(&seen.code);
            self.steps.push(step);
            if let Some(schema) = contents.to_mut().schemas.get_mut(name) {
                schema.acl = with_owner(&schema.acl, &from, &owner);
                schema.owner.clone_from(&owner);
            }
        }
        contents
    }

    /// Returns whether the administrator can transfer a schema of another role to the owner. The
    /// objects of a managed role that must not own any are refused together instead.
    fn may_transfer_schema(&mut self, from: &RoleName) -> bool {
        let is_refused = self.is_managed(from) && !self.is_creator(from);
        !is_refused
            && self.planner.act_as(from).is_some()
            && self.planner.act_as(self.owner).is_some()
            && self.planner.authority.may_have_privileges_of(from)
    }

    pub(super) fn schema(&mut self, name: &SchemaName, schema: &Schema) {
        let public = is_public(name);
        let owned = self.is_database_owner(&schema.owner);
        let declared = self.database.owner_schemas().is_some_and(|schemas| schemas.contains(name));
        let target = GrantTarget::Schema(name.clone());
        if declared && !owned && !public {
            self.refuse_schema_of_another(name, &schema.owner);
            return;
        }
        let mut wanted = self.wanted(name, |level| privilege::on_object(level, ObjectKind::Schema));
        if declared && self.database.owner.is_some() {
            // Before PostgreSQL 15, the master user or the bootstrap superuser owns `public`, and
            // the owner of the database may create in it only through PUBLIC.
            let role = if owned { &schema.owner } else { self.owner };
            wanted.insert(role.clone(), privilege::OWNER_ON_SCHEMA.into());
        }
        let extension = self.extension_users.extension_of_schema(name, schema).cloned();
        for role in extension.iter().flat_map(|extension| self.extension_users.of(extension)) {
            wanted.entry(role.clone()).or_default().insert(Privilege::Usage);
        }
        let public_keeps = self.public_keeps(name, schema);
        let acl_diff = self.differs(&schema.owner, &schema.acl, &wanted, public_keeps);
        let required_role = self.effective_owner(&schema.owner);
        if public && self.planner.act_as(required_role).is_none() {
            self.public_schema_of_another_owner(name, schema, &acl_diff);
            return;
        }
        let covered = self.database.covers(name);
        self.grants(&target, &schema.owner, &acl_diff, extension.as_ref().filter(|_| !covered));
        let extension = schema.extension.as_ref();
        self.revokes_on(&target, &schema.owner, &acl_diff, extension);
    }

    fn refuse_schema_of_another(&mut self, name: &SchemaName, of: &RoleName) {
        let (place, owner) = self.current_database_and_owner();
        let remedy = self.transfer_schema_by_hand(name, of, &owner);
        let kind = RefusalKind::SchemaOwnerDiffers {
            schema: name.clone(),
            database: place,
            owner: of.clone(),
            declared: self.owner.clone(),
            can_be_allowed: self.may_transfer_schema(of),
        };
        self.planner.refuse_with(&self.database.application, kind, remedy);
    }

    /// Returns the statements that give a schema to another owner, for the administrator if it can
    /// act as both, and otherwise those after which it can.
    fn transfer_schema_by_hand(
        &mut self,
        name: &SchemaName,
        from: &RoleName,
        to: &RoleName,
    ) -> Remedy {
        let (place, _) = self.current_database_and_owner();
        let statement = sql::change_schema_owner(name, to);
        if self.planner.executor(from) == Executor::Superuser {
            return Remedy::Run(
                Executor::Superuser,
                ManualFix::from(statement).in_database(&place),
            );
        }
        // ALTER SCHEMA … OWNER TO requires CREATE on the database, which its owner can have revoked from itself.
        let observed = self.planner.observed;
        let of_database = observed.databases.get(&place).map(|seen| &seen.owner);
        let roles: BTreeSet<&RoleName> = of_database.into_iter().chain([from, to]).collect();
        for role in &roles {
            if self.planner.act_as(role).is_none() {
                return self.planner.remedy_for_authority(role);
            }
        }
        let mut statements =
            of_database.map(|owner| self.create_for_owner(&place, owner)).unwrap_or_default();
        statements.push(statement);
        let memberships =
            roles.into_iter().map(|role| (role.clone(), MembershipOption::Inherit)).collect();
        let fix = self.planner.fix_by_administrator(statements, memberships);
        Remedy::Run(Executor::Administrator, fix.in_database(&place))
    }

    /// Handles a schema `public` whose owner the administrator cannot act as, such as the
    /// bootstrap superuser before PostgreSQL 15. Privileges that PUBLIC has need no grant; any
    /// other difference is refused.
    pub(super) fn public_schema_of_another_owner(
        &mut self,
        name: &SchemaName,
        schema: &Schema,
        acl_diff: &AclDiff,
    ) {
        let held_by_public: Privileges = schema
            .acl
            .iter()
            .filter(|item| item.grantee == Grantee::Public)
            .map(|item| item.privilege)
            .collect();
        let enough = acl_diff.revoke.is_empty()
            && acl_diff.grant.values().all(|privileges| privileges.is_subset(&held_by_public));
        if enough {
            for (role, privileges) in &acl_diff.grant {
                self.planner.note(NoteKind::PrivilegeThroughPublic {
                    role: role.clone(),
                    privileges: privileges.clone(),
                    object: format!("schema {}", name.in_words()),
                    database: self.name.clone(),
                    owner: schema.owner.clone(),
                });
            }
            return;
        }
        let (place, owner) = self.current_database_and_owner();
        let remedy = self.transfer_schema_by_hand(name, &schema.owner, &owner);
        let kind = RefusalKind::PublicSchemaInaccessible {
            schema: name.clone(),
            database: place,
            owner: schema.owner.clone(),
        };
        self.planner.refuse_with(&self.database.application, kind, remedy);
    }

    pub(super) fn resolve_schema(&self, name: &SchemaName, schema: &Schema) -> ResolvedSchema {
        let public_keeps = self.public_keeps(name, schema);
        let keeps = |grantee: &Grantee| match grantee {
            Grantee::Public => {
                public_keeps.as_ref().is_none_or(|kept| kept.contains(&Privilege::Usage))
            }
            Grantee::Role(role) => *role == schema.owner || !self.is_managed(role),
        };
        let of_acl = schema.acl.iter().filter(|item| item.privilege == Privilege::Usage);
        let users_before: BTreeSet<Grantee> = of_acl.map(|item| item.grantee.clone()).collect();
        let mut users: BTreeSet<Grantee> =
            users_before.iter().filter(|one| keeps(one)).cloned().collect();
        let wanted = self.wanted(name, |level| privilege::on_object(level, ObjectKind::Schema));
        users.extend(wanted.into_keys().map(Grantee::Role));
        let extension = self.extension_users.extension_of_schema(name, schema);
        let of_extension = extension.into_iter().flat_map(|one| self.extension_users.of(one));
        users.extend(of_extension.cloned().map(Grantee::Role));
        if self.database.owner_schemas().is_some_and(|schemas| schemas.contains(name)) {
            users.insert(Grantee::Role(self.owner.clone()));
        }
        ResolvedSchema { name: name.clone(), owner: schema.owner.clone(), users, users_before }
    }

    /// Returns the privileges that PUBLIC may keep on a schema, or `None` if they are not managed.
    pub(super) fn public_keeps(&self, name: &SchemaName, schema: &Schema) -> Option<Privileges> {
        let covered = self.database.covered_schemas().contains(name);
        let owned = self.is_database_owner(&schema.owner);
        if owned && covered && !is_public(name) {
            Some(Privileges::new())
        } else if is_public(name) || covered {
            Some(Privileges::from([Privilege::Usage]))
        } else {
            None
        }
    }
}
