//! Plans single changes inside one database: the role that executes each one, and the
//! changes of one ACL.
//!
//! The order of the changes is in [`super::database`].

use std::collections::{BTreeMap, BTreeSet};

use super::acl::{self, AclDiff, DeclaredAcl, OptionsElsewhere, Revoke, WithoutGrant};
use super::blocked::{AclContext, BlockedStep};
use super::extension_users::ExtensionUsers;
use super::planner::Planner;
use super::sql::{self, GrantTarget, Statement};
use super::words::{granted_words, revoked, revoked_by_owner};
use super::{
    Action, DATABASE_OWNER, ExecuteAs, Hazard, MembershipOption, Memberships, NoteKind, Step,
    TemporaryUsage,
};
use crate::desired;
use crate::name::{ApplicationName, DatabaseName, ExtensionName, RoleName, SchemaName, TEMPLATE};
use crate::observed::{AclItem, Grantee};
use crate::privilege::{self, AccessLevel, ObjectKind, Privilege, Privileges};

/// The members of these predefined roles have `USAGE` on every schema.
const READS_AND_WRITES_ALL: [&str; 2] = ["pg_read_all_data", "pg_write_all_data"];

/// Compares one database and collects the steps.
pub(super) struct DatabasePlanner<'a, 'b> {
    pub planner: &'a mut Planner<'b>,
    pub name: &'a DatabaseName,
    pub database: &'a desired::Database,
    pub owner: &'a RoleName,
    pub existence: Existence,
    pub extension_users: ExtensionUsers,
    /// The schemas that the names of the compared objects contain.
    pub schemas_in_scope: Vec<ResolvedSchema>,
    /// Whether the plan creates the schema of the compared objects.
    pub schema_is_planned: bool,
    /// The application of the next steps, if they revoke what a role of another application grants of its own.
    pub application_of_grantor: Option<ApplicationName>,
    pub steps: Vec<Step>,
}

/// Whether the compared database exists before the plan is applied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Existence {
    /// The plan creates the database, so that its steps have no hazards but those that reach beyond it.
    New,
    /// The database exists.
    Present,
}

/// The roles, memberships and privileges with which the administrator executes a step.
#[derive(Clone)]
pub(super) struct ExecutionContext {
    pub execute_as: ExecuteAs,
    /// The roles, other than `execute_as`, that the administrator must be a member of.
    pub temporary_memberships: Memberships,
    pub temporary_usage: Vec<TemporaryUsage>,
}

impl ExecutionContext {
    /// Creates a context without temporary memberships and temporary usage.
    pub fn plain(execute_as: ExecuteAs) -> Self {
        Self { execute_as, temporary_memberships: Memberships::new(), temporary_usage: Vec::new() }
    }
}

/// A schema, while the objects in it are compared.
#[derive(Clone)]
pub(super) struct ResolvedSchema {
    pub name: SchemaName,
    pub owner: RoleName,
    /// The roles with `USAGE` on it after its own ACL is changed.
    pub users: BTreeSet<Grantee>,
    /// The roles with `USAGE` on it before.
    pub users_before: BTreeSet<Grantee>,
}

impl<'a, 'b> DatabasePlanner<'a, 'b> {
    pub(super) fn new(
        planner: &'a mut Planner<'b>,
        name: &'a DatabaseName,
        database: &'a desired::Database,
        owner: &'a RoleName,
        existence: Existence,
    ) -> Self {
        Self {
            planner,
            name,
            database,
            owner,
            existence,
            extension_users: ExtensionUsers::default(),
            schemas_in_scope: Vec::new(),
            schema_is_planned: false,
            application_of_grantor: None,
            steps: Vec::new(),
        }
    }
}

impl<'a> DatabasePlanner<'a, '_> {
    /// Returns whether the plan creates the database.
    pub(super) fn is_new(&self) -> bool {
        self.existence == Existence::New
    }

    /// Returns the database that contains an object now, and the role that can own it before this
    /// plan is applied. The objects of a new database are in the template.
    pub(super) fn current_database_and_owner(&self) -> (DatabaseName, RoleName) {
        let observed = self.planner.observed;
        if self.is_new() {
            let administrator = observed.administrator.name.clone();
            return (DatabaseName::new_unchecked(TEMPLATE), administrator);
        }
        let is_there = observed.roles.contains_key(self.owner);
        let present = observed.databases.get(self.name).map(|seen| &seen.owner);
        let owner = present.filter(|_| !is_there).unwrap_or(self.owner);
        (self.name.clone(), owner.clone())
    }

    /// Returns the roles for whose future objects privileges are granted: the owner
    /// and the existing creators, each with its clone.
    pub(super) fn creators(&self) -> BTreeSet<RoleName> {
        let planner = &self.planner;
        let known = |role: &&RoleName| {
            planner.observed.roles.contains_key(*role) || planner.desired.roles.contains_key(*role)
        };
        let creators = self.database.creators.iter().filter(known).chain([self.owner]);
        let clones = creators.clone().filter_map(|one| planner.existing_clone(one));
        clones.chain(creators).cloned().collect()
    }

    /// Adds a step that must be executed as `required_role`, an owner or a grantor. If the
    /// administrator cannot act as it, adds a refusal with the statement for that role.
    pub(super) fn step(
        &mut self,
        action: Action,
        role: Option<&RoleName>,
        required_role: &RoleName,
        summary: String,
        statement: Statement,
        hazards: &[Hazard],
    ) {
        if let Some(context) = self.execution_context(required_role) {
            self.push(action, role, context, summary, statement, hazards);
            return;
        }
        let target = GrantTarget::Database(self.name.clone());
        let verb = match action {
            Action::CreateSchema | Action::CreateExtension => "create",
            Action::Revoke => "revoke",
            _ if hazards.contains(&Hazard::RevokesAccess) => "revoke",
            _ => "grant",
        };
        self.refuse_for(required_role, &target, verb, role, summary, statement);
    }

    fn refuse_for(
        &mut self,
        required_role: &RoleName,
        target: &GrantTarget,
        verb: &str,
        role: Option<&RoleName>,
        summary: String,
        statement: Statement,
    ) {
        let required_role = self.effective_owner(required_role);
        let application = self.application(role);
        let context = AclContext {
            target,
            owner: required_role,
            effective_owner: required_role,
            former_owners: &[],
            database: Some(self.name),
            application: &application,
        };
        let unusable_schemas = &self.schemas_without_usage(required_role);
        let schema_is_planned = self.schema_is_planned;
        let blocked = BlockedStep {
            verb,
            summary,
            required_role,
            unusable_schemas,
            role,
            schema_is_planned,
            statements: vec![statement],
        };
        self.planner.refuse_blocked_step(&context, blocked);
    }

    /// Returns the schemas in scope on which a role has no `USAGE` before or after this plan, by name: it may
    /// execute the statement of a refusal at any of these times.
    fn schemas_without_usage(&self, required_role: &RoleName) -> Vec<SchemaName> {
        let lacking = self.schemas_in_scope.iter().filter(|schema| {
            !self.may_use(required_role, &schema.users)
                || !self.may_use(required_role, &schema.users_before)
        });
        lacking.map(|schema| schema.name.clone()).collect()
    }

    /// Returns how to execute a step as an owner or grantor. PostgreSQL finds an object only in a
    /// schema on which the role has `USAGE`; if the role has not, the owner of the schema grants
    /// it for the step.
    pub(super) fn execution_context(
        &mut self,
        required_role: &RoleName,
    ) -> Option<ExecutionContext> {
        let mut context = self.act_as(required_role)?;
        for schema in self.without_usage(required_role) {
            let owner = self.act_as(&schema.owner)?;
            context.temporary_usage.push(TemporaryUsage {
                schema: schema.name,
                grantee: required_role.clone(),
                granted_by: owner.execute_as,
            });
            context.temporary_memberships.extend(owner.temporary_memberships);
        }
        Some(context)
    }

    /// Returns how to act as an owner or grantor. For `pg_database_owner`, PostgreSQL takes this
    /// role as the grantor, even if the owner of the database has the grant option itself. Before
    /// PostgreSQL 16, an owner with `NOINHERIT` does not have its privileges without `SET ROLE`.
    fn act_as(&mut self, required_role: &RoleName) -> Option<ExecutionContext> {
        if required_role.as_str() != DATABASE_OWNER {
            return self.planner.act_as(required_role).map(ExecutionContext::plain);
        }
        let temporary_memberships = match self.planner.act_as(self.owner)? {
            ExecuteAs::Administrator => Memberships::new(),
            ExecuteAs::Role(owner) => Memberships::from([(owner, MembershipOption::Set)]),
        };
        Some(ExecutionContext {
            execute_as: ExecuteAs::Role(required_role.clone()),
            temporary_memberships,
            temporary_usage: Vec::new(),
        })
    }

    /// Returns the schemas in scope on which a role has no `USAGE`.
    fn without_usage(&self, role: &RoleName) -> Vec<ResolvedSchema> {
        let schemas = self.schemas_in_scope.iter();
        schemas.filter(|schema| !self.may_use(role, &schema.users)).cloned().collect()
    }

    /// Returns whether a role has `USAGE` on a schema, given the roles that have it by themselves.
    fn may_use(&self, role: &RoleName, users: &BTreeSet<Grantee>) -> bool {
        let authority = &self.planner.authority;
        users.contains(&Grantee::Public)
            || authority.roles_inherited_by(role).iter().any(|one| {
                let database_owner = Grantee::Role(RoleName::new_unchecked(DATABASE_OWNER));
                let of_database = one == self.owner
                    && authority.inherits_database_owner(one)
                    && users.contains(&database_owner);
                of_database
                    || users.contains(&Grantee::Role(one.clone()))
                    || READS_AND_WRITES_ALL.contains(&one.as_str())
            })
    }

    pub(super) fn push(
        &mut self,
        action: Action,
        role: Option<&RoleName>,
        context: ExecutionContext,
        summary: String,
        statement: Statement,
        hazards: &[Hazard],
    ) {
        self.push_all(action, role, context, summary, vec![statement], hazards);
    }

    fn push_all(
        &mut self,
        action: Action,
        role: Option<&RoleName>,
        context: ExecutionContext,
        summary: String,
        statements: Vec<Statement>,
        hazards: &[Hazard],
    ) {
        let hazards = hazards.iter().copied();
        let hazards = hazards.filter(|one| !self.is_new() || *one == Hazard::ReachesBeyondDatabase);
        let ExecutionContext { execute_as, temporary_memberships, temporary_usage } = context;
        let application = &self.application(role);
        let step = Step::new(action, application, summary, statements)
            .for_role(role)
            .in_database(self.name)
            .executed_as(execute_as)
            .with_memberships(temporary_memberships)
            .with_hazards(hazards);
        self.steps.push(Step { temporary_usage, ..step });
    }

    pub(super) fn application(&self, role: Option<&RoleName>) -> ApplicationName {
        let of_privilege = || self.planner.application_of_privilege(role, self.database).clone();
        self.application_of_grantor.clone().unwrap_or_else(of_privilege)
    }

    /// Returns the application of what a role grants on its own future objects: that of the role, so that it
    /// stops no other one; `None` for the owner, the creators and undeclared roles, and if `to` is not adopted yet.
    pub(super) fn application_of_grantor(
        &self,
        grantor: &RoleName,
        to: Option<&RoleName>,
    ) -> Option<ApplicationName> {
        let planner = &self.planner;
        let home = planner.role_of_clone(grantor).unwrap_or(grantor);
        let is_managed = |role: &RoleName| {
            let seen = planner.observed.roles.get(role);
            seen.is_some_and(|seen| planner.desired.manages(seen.marker().as_ref()))
        };
        let is_own = planner.desired.roles.contains_key(home)
            && is_managed(home)
            && !self.is_creator(grantor)
            && to.is_none_or(is_managed);
        is_own.then(|| planner.application_for(home, self.database).clone())
    }

    /// Returns the privileges of each declared role, except the owner, on objects of a schema: none
    /// if its entry does not cover the schema.
    pub(super) fn wanted(
        &self,
        schema: &SchemaName,
        privileges: impl Fn(AccessLevel) -> Privileges,
    ) -> BTreeMap<RoleName, Privileges> {
        self.database
            .access
            .iter()
            .filter(|(role, access)| *role != self.owner && access.schemas.contains(schema))
            .map(|(role, access)| (role.clone(), privileges(access.level)))
            .filter(|(_, privileges)| !privileges.is_empty())
            .collect()
    }

    /// Returns the privileges of each declared role on the relations of one owner. The owner of the
    /// database also gets privileges on relations of other roles.
    pub(super) fn wanted_on_relations(
        &self,
        owner: &RoleName,
        schema: &SchemaName,
        kind: ObjectKind,
    ) -> BTreeMap<RoleName, Privileges> {
        let mut wanted = self.wanted(schema, |level| privilege::on_object(level, kind));
        let declared =
            self.database.owner_schemas().is_some_and(|schemas| schemas.contains(schema));
        if declared && !self.is_database_owner(owner) {
            wanted.insert(self.owner.clone(), privilege::on_object_of_another(kind));
        }
        wanted
    }

    pub(super) fn is_managed(&self, role: &RoleName) -> bool {
        self.planner.has_managed_privileges(role) && role != self.owner
    }

    /// Returns whether the privileges of a role on an object are compared: those of managed roles, and on objects
    /// of the owner and the creators also those of predefined roles of which a declared role is a member.
    pub(super) fn is_compared(&self, role: &RoleName, of_creator: bool) -> bool {
        self.is_managed(role) || of_creator && self.planner.is_group_of_application(role)
    }

    /// Returns whether a role is the owner of the database, or `pg_database_owner`, whose only
    /// member is the owner.
    pub(super) fn is_database_owner(&self, owner: &RoleName) -> bool {
        owner == self.owner || owner.as_str() == DATABASE_OWNER
    }

    /// Returns the role that acts as an owner: the owner of the database for `pg_database_owner`.
    pub(super) fn effective_owner<'c>(&self, owner: &'c RoleName) -> &'c RoleName
    where
        'a: 'c,
    {
        if owner.as_str() == DATABASE_OWNER { self.owner } else { owner }
    }

    /// Returns whether the objects of a role get the same grants as those of the owner.
    pub(super) fn is_creator(&self, role: &RoleName) -> bool {
        let mut creators = self.database.creators.iter().chain([self.owner]);
        creators.any(|one| one == role || self.planner.may_be_clone(role, one))
    }

    /// Compares one ACL with the declared privileges.
    pub(super) fn differs(
        &self,
        owner: &RoleName,
        acl: &[AclItem],
        wanted: &BTreeMap<RoleName, Privileges>,
        public: Option<Privileges>,
    ) -> AclDiff {
        self.differs_with(owner, acl, wanted, public, None)
    }

    /// Compares one ACL, in which roles can have granted with options of another one.
    pub(super) fn differs_with(
        &self,
        owner: &RoleName,
        acl: &[AclItem],
        wanted: &BTreeMap<RoleName, Privileges>,
        public: Option<Privileges>,
        elsewhere: Option<OptionsElsewhere<'_>>,
    ) -> AclDiff {
        let of_creator = self.is_creator(self.effective_owner(owner));
        let managed = |role: &RoleName| role != owner && self.is_compared(role, of_creator);
        let mut acl_diff =
            acl::diff(acl, &DeclaredAcl { wanted, managed: &managed, public, elsewhere });
        // The owner of an object has its privileges by ownership.
        if !self.is_database_owner(owner) {
            acl_diff.grant.remove(owner);
        }
        acl_diff
    }

    /// Grants the privileges that the ACL of an object lacks. If `extension` is given, the object
    /// belongs to this extension: then privileges of PUBLIC suffice. The author of an extension revokes
    /// `EXECUTE` from PUBLIC if a routine reaches more than the objects of its user.
    pub(super) fn grants(
        &mut self,
        target: &GrantTarget,
        owner: &RoleName,
        acl_diff: &AclDiff,
        extension: Option<&ExtensionName>,
    ) {
        for (role, privileges) in acl_diff.grants() {
            if extension.is_some() && acl_diff.held_by_public(privileges) {
                continue;
            }
            let reaches = extension.is_some() && privileges.contains(&Privilege::Execute);
            let hazards: Vec<Hazard> =
                reaches.then_some(Hazard::ReachesBeyondDatabase).into_iter().collect();
            let grantor = self.grantor(owner, acl_diff, privileges);
            let context = self.execution_context(&grantor);
            match extension.filter(|_| context.is_none()) {
                Some(extension) if self.may_grant_on(extension).is_ok() => {
                    let summary = granted_words(privileges, target, role);
                    let statement = sql::grant(privileges, target, &Grantee::Role(role.clone()));
                    let context = ExecutionContext::plain(ExecuteAs::Administrator);
                    self.push(Action::Grant, Some(role), context, summary, statement, &hazards);
                }
                Some(extension) if role == self.owner => {
                    self.planner.note(NoteKind::ExtensionNotUsable {
                        extension: extension.clone(),
                        role: role.clone(),
                        privileges: privileges.clone(),
                        object: target.words(),
                        database: self.name.clone(),
                    });
                }
                _ => {
                    let without_grant = acl_diff.without_grant(privileges);
                    self.grant(target, &grantor, role, privileges, without_grant, &hazards);
                }
            }
        }
    }

    /// Returns the role that grants privileges on an object: its owner, or, if the administrator
    /// cannot act as the owner, a role with the grant option as which it can. Amazon RDS grants
    /// `rds_superuser` privileges on the objects of extensions in this way. If the administrator can act
    /// as no role, the refusal names one that is not a superuser.
    fn grantor(
        &mut self,
        owner: &RoleName,
        acl_diff: &AclDiff,
        privileges: &Privileges,
    ) -> RoleName {
        if self.act_as(owner).is_some() {
            return owner.clone();
        }
        let option = |grantee: &Grantee| {
            let held = |privilege| acl_diff.held.get(&(grantee.clone(), privilege)).copied();
            privileges.iter().all(|privilege| held(*privilege) == Some(true))
        };
        let holders: BTreeSet<&RoleName> = acl_diff
            .held
            .keys()
            .map(|(grantee, _)| grantee)
            .filter(|grantee| option(grantee))
            .filter_map(Grantee::role)
            .collect();
        let holders: Vec<&RoleName> =
            holders.into_iter().filter(|role| !self.is_managed(role)).collect();
        let usable = holders.iter().copied().find(|role| {
            let is_member = self.planner.authority.is_member_already(role, MembershipOption::Set);
            is_member || *role == self.owner && self.planner.act_as(role).is_some()
        });
        let roles = &self.planner.observed.roles;
        let is_superuser = |role: &RoleName| roles.get(role).is_some_and(|seen| seen.superuser);
        let other = holders.into_iter().find(|role| is_superuser(owner) && !is_superuser(role));
        usable.or(other).unwrap_or(owner).clone()
    }

    /// Grants privileges to a role. If the administrator cannot, adds a refusal or a note.
    pub(super) fn grant(
        &mut self,
        target: &GrantTarget,
        owner: &RoleName,
        role: &RoleName,
        privileges: &Privileges,
        without_grant: WithoutGrant,
        hazards: &[Hazard],
    ) {
        let summary = granted_words(privileges, target, role);
        let statement = sql::grant(privileges, target, &Grantee::Role(role.clone()));
        match (self.execution_context(owner), without_grant) {
            (Some(context), _) => {
                self.push(Action::Grant, Some(role), context, summary, statement, hazards);
            }
            (None, WithoutGrant::Note) => self.planner.note(NoteKind::PrivilegeThroughPublic {
                role: role.clone(),
                privileges: privileges.clone(),
                object: target.words(),
                database: self.name.clone(),
                owner: owner.clone(),
            }),
            (None, WithoutGrant::Refusal) => {
                self.refuse_for(owner, target, "grant", Some(role), summary, statement);
            }
        }
    }

    /// Adds a note instead of a refusal: each role can create large objects and grant privileges on
    /// them, and must not prevent changes of other applications.
    fn note_shared_large_object(&mut self, revoke: &Revoke, target: &GrantTarget, role: &RoleName) {
        let (summary, _) = revoked(revoke, target);
        self.planner.note(NoteKind::LargeObjectShared {
            step: format!("revoke {summary}"),
            role: role.clone(),
            database: self.name.clone(),
        });
    }

    pub(super) fn revokes(&mut self, target: &GrantTarget, owner: &RoleName, acl_diff: &AclDiff) {
        self.revokes_on(target, owner, acl_diff, None);
    }

    /// Revokes the undeclared privileges on an object, which can belong to an extension.
    pub(super) fn revokes_on(
        &mut self,
        target: &GrantTarget,
        owner: &RoleName,
        acl_diff: &AclDiff,
        extension: Option<&ExtensionName>,
    ) {
        let former_owners = match acl_diff.dependent_grants.is_empty() {
            true => Vec::new(),
            false => self.former_owners(target, owner),
        };
        for revoke in &acl_diff.revoke {
            self.planner.refuse_shared_revocation(self.database, revoke);
            let role = revoke.grantee.role();
            let application = self.application(role);
            let acl_context = AclContext {
                target,
                owner,
                effective_owner: self.effective_owner(owner),
                former_owners: &former_owners,
                database: Some(self.name),
                application: &application,
            };
            let is_large_object = target.is_large_object();
            if is_large_object && acl_diff.takes_from_others(revoke) {
                self.note_shared_large_object(revoke, target, owner);
                continue;
            }
            if !is_large_object && !acl_diff.dependent_grants.is_empty() {
                let unusable_schemas = self.schemas_without_usage(owner);
                if self.planner.refuse_dependent_grants(&acl_context, acl_diff, &unusable_schemas) {
                    return;
                }
            }
            if let Some(statements) = revoked_by_owner(revoke, target) {
                let (summary, _) = revoked(revoke, target);
                match self.execution_context(owner) {
                    Some(context) => {
                        let hazards = [Hazard::RevokesAccess];
                        self.push_all(Action::Revoke, role, context, summary, statements, &hazards);
                    }
                    None if is_large_object => self.note_shared_large_object(revoke, target, owner),
                    None => {
                        let unusable_schemas = self.schemas_without_usage(owner);
                        let blocked = BlockedStep {
                            verb: "revoke",
                            summary,
                            required_role: self.effective_owner(owner),
                            unusable_schemas: &unusable_schemas,
                            role,
                            schema_is_planned: false,
                            statements,
                        };
                        self.planner.refuse_blocked_step(&acl_context, blocked);
                    }
                }
                continue;
            }
            // The owner of the database cannot revoke what it granted with an option that it has
            // lost: PostgreSQL takes pg_database_owner as the grantor.
            let itself = Grantee::Role(self.owner.clone());
            let held = |privilege| acl_diff.held.get(&(itself.clone(), privilege)).copied();
            if owner.as_str() == DATABASE_OWNER
                && revoke.grantor == *self.owner
                && !revoke.privileges.iter().all(|privilege| held(*privilege) == Some(true))
            {
                let (summary, statement) = revoked(revoke, target);
                let privileges = &revoke.privileges;
                let statements =
                    sql::with_grant_option(self.owner, privileges, held, target, statement);
                let blocked = BlockedStep {
                    verb: "revoke",
                    summary,
                    required_role: self.owner,
                    unusable_schemas: &[],
                    role,
                    schema_is_planned: false,
                    statements,
                };
                self.planner.refuse_blocked_step(&acl_context, blocked);
                continue;
            }
            // What the privileges for an extension say, and the probe asks for.
            let is_use = matches!(
                revoke.privileges.iter().collect::<Vec<_>>().as_slice(),
                [Privilege::Usage | Privilege::Execute]
            ) && !acl_diff.held_by_public(&revoke.privileges);
            let of_owner = extension.filter(|_| is_use && revoke.grantor == *owner);
            let context = self.execution_context(&revoke.grantor).or_else(|| {
                // The server takes the owner as the grantor of what the administrator may grant.
                self.may_grant_on(of_owner?).ok()?;
                Some(ExecutionContext::plain(ExecuteAs::Administrator))
            });
            let Some(context) = context else {
                // With the grant option, the role can give the privilege to others for good.
                if revoke.grantee != Grantee::Public
                    && acl_diff.held_by_public(&revoke.privileges)
                    && revoke.options.is_empty()
                {
                    let (summary, _) = revoked(revoke, target);
                    self.planner.note(NoteKind::RevocationWithoutEffect {
                        step: format!("revoke {summary}"),
                        role: revoke.grantor.clone(),
                        database: self.name.clone(),
                    });
                    continue;
                }
                if is_large_object {
                    self.note_shared_large_object(revoke, target, &revoke.grantor);
                    continue;
                }
                let unusable_schemas = self.schemas_without_usage(&revoke.grantor);
                self.planner.refuse_revoke(&acl_context, revoke, &unusable_schemas);
                continue;
            };
            let (summary, statement) = revoked(revoke, target);
            let hazards = [Hazard::RevokesAccess];
            self.push(Action::Revoke, role, context, summary, statement, &hazards);
        }
    }
}
