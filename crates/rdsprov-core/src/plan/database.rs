//! Desired less observed inside one database: in which order, who acts, and how one ACL is brought to what
//! it shall be. The rooms beside this one compare [`super::schemas`], [`super::relations`], what is made
//! later ([`super::default_privileges`]) and [`super::extensions`], or hand all of it over ([`super::ownership`]).

use std::collections::{BTreeMap, BTreeSet};

use super::acl::{self, AclDiff, Policy, Revoke};
use super::blocked::{AclContext, BlockedStep};
use super::databases::{granted_words, listed, revoked_words};
use super::ownership::with_new_owner;
use super::planner::Planner;
use super::schemas::{ResolvedSchema, default_contents};
use super::sql::{self, GrantTarget, RevokeScope, Statement};
use super::{
    Action, DATABASE_OWNER, ExecuteAs, Hazard, MembershipOption, Memberships, Step, TemporaryUsage,
};
use crate::definitions::AccessLevel;
use crate::desired;
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName, TEMPLATE};
use crate::observed::{AclItem, Contents, Grantee, Owned};
use crate::privilege::{self, ObjectKind, Privileges};

/// Whoever is a member of one of these may use every schema.
const READS_AND_WRITES_ALL: [&str; 2] = ["pg_read_all_data", "pg_write_all_data"];

/// One database while it is compared.
pub(super) struct DatabasePlanner<'a, 'b> {
    pub planner: &'a mut Planner<'b>,
    pub name: &'a DatabaseName,
    pub database: &'a desired::Database,
    pub owner: &'a RoleName,
    /// Whether the database is only now created, so that nobody can lose anything in it.
    pub is_new: bool,
    /// The schemas whose names stand in what is compared.
    schemas_in_scope: Vec<ResolvedSchema>,
    /// Whether what is compared is in a schema that is yet to be made.
    pub schema_is_planned: bool,
    pub steps: Vec<Step>,
}

/// How the administrator gets to do something.
#[derive(Clone)]
pub(super) struct ExecutionContext {
    pub execute_as: ExecuteAs,
    /// What it has to be a member of beside the role it acts as.
    pub temporary_memberships: Memberships,
    pub temporary_usage: Vec<TemporaryUsage>,
}

impl ExecutionContext {
    /// Acting as somebody is all there is to it.
    pub fn plain(execute_as: ExecuteAs) -> Self {
        Self { execute_as, temporary_memberships: Memberships::new(), temporary_usage: Vec::new() }
    }
}

/// A revocation in words, and its statement.
pub(super) fn revoked(revoke: &Revoke, target: &GrantTarget) -> (String, Statement) {
    let name = |grantee: &Grantee| match grantee {
        Grantee::Public => "PUBLIC".to_owned(),
        Grantee::Role(role) => role.to_string(),
    };
    let mut words = revoked_words(&revoke.privileges, target, &name(&revoke.grantee));
    if revoke.scope == RevokeScope::GrantOption {
        words = format!("grant option for {words}");
    }
    if !revoke.dependents.is_empty() {
        let dependents: Vec<String> = revoke.dependents.iter().map(name).collect();
        words = format!("{words}, and what it granted on to {}", dependents.join(", "));
    }
    let statement =
        sql::revoke(revoke.scope, &revoke.privileges, target, &revoke.grantee, revoke.granted_on);
    (words, statement)
}

impl Planner<'_> {
    /// The steps inside a database that does not exist yet: it will be as the template is.
    pub(super) fn plan_new_database_contents(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
    ) -> Vec<Step> {
        let Some(owner) = &database.owner else { return Vec::new() };
        let contents = self.observed.template.clone().unwrap_or_else(|| {
            default_contents(self.observed.major(), &self.observed.administrator.name)
        });
        DatabasePlanner::new(self, name, database, owner, true).compare(&contents, None)
    }

    /// The steps inside a database that was looked into.
    pub(super) fn plan_database_contents(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        present_owner: &RoleName,
        contents: &Contents,
    ) -> Vec<Step> {
        let owner = database.owner.as_ref().unwrap_or(present_owner);
        let inside = DatabasePlanner::new(self, name, database, owner, false);
        if owner == present_owner {
            return inside.compare(contents, None);
        }
        let object_by_object = *present_owner == inside.planner.observed.administrator.name;
        let after_transfer = with_new_owner(contents, present_owner, owner, object_by_object);
        inside.compare(&after_transfer, Some((present_owner, contents)))
    }
}

impl<'a, 'b> DatabasePlanner<'a, 'b> {
    pub(super) fn new(
        planner: &'a mut Planner<'b>,
        name: &'a DatabaseName,
        database: &'a desired::Database,
        owner: &'a RoleName,
        is_new: bool,
    ) -> Self {
        Self {
            planner,
            name,
            database,
            owner,
            is_new,
            schemas_in_scope: Vec::new(),
            schema_is_planned: false,
            steps: Vec::new(),
        }
    }
}

impl DatabasePlanner<'_, '_> {
    /// `before` is the owner that the database had until now, and what was inside then.
    pub(super) fn compare(
        mut self,
        contents: &Contents,
        before: Option<(&RoleName, &Contents)>,
    ) -> Vec<Step> {
        let contents = &self.take_over_schemas(contents);
        // First: a schema that is made takes what the defaults give.
        self.revoke_excess(contents);
        for schema_name in self.database.covered_schemas() {
            if !contents.schemas.contains_key(schema_name) {
                self.missing_schema(schema_name, contents);
            }
        }
        // A function goes only to who may create in its schema: schemas come first, but for those that
        // have to be handed over themselves.
        let is_transferred = |name: &SchemaName| {
            before.is_some_and(|(from, was)| {
                was.schemas.get(name).is_some_and(|schema| schema.owner == *from)
            })
        };
        let (later, first): (Vec<_>, Vec<_>) =
            contents.schemas.iter().partition(|(name, _)| is_transferred(name));
        for (schema_name, schema) in first {
            self.schema(schema_name, schema);
        }
        if let Some((from, was)) = before {
            self.transfer_ownership(from, was);
        }
        for (schema_name, schema) in later {
            self.schema(schema_name, schema);
        }
        for (schema_name, schema) in &contents.schemas {
            self.schemas_in_scope = vec![self.resolve_schema(schema_name, schema)];
            self.relations(schema_name, &schema.relations);
            for columns in &schema.columns {
                self.columns(schema_name, columns);
            }
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
            self.acl(&target, &object.owner, &object.acl, &BTreeMap::new(), public);
        }
        self.schemas_in_scope.clear();
        self.refuse_unexpected_owners(contents);
        // Last: `ALL TABLES` would count an extension's, too.
        self.extensions(contents);
        self.steps
    }

    /// A declared role that is neither the owner nor a creator owns nothing in the database: it could do with
    /// that whatever it likes.
    fn refuse_unexpected_owners(&mut self, contents: &Contents) {
        let (place, to) = self.current_database_and_owner();
        for Owned { role, count, kind, identity } in &contents.owned {
            if !self.is_managed(role) || self.is_creator(role) {
                continue;
            }
            // That is refused for itself, and comes first.
            if self.planner.observed.roles.get(role).is_some_and(|seen| seen.superuser) {
                continue;
            }
            let more = if *count > 1 { format!(" and {} more", count - 1) } else { String::new() };
            let message = format!(
                "in database {place}, {kind} {identity}{more} belong{} to role {role}, which is not declared to own anything there",
                if *count > 1 { "" } else { "s" }
            );
            let application = self.application(Some(role));
            if self.planner.refuse_subscriptions(&place, &application, role, &message) {
                continue;
            }
            let manual_fix = self.planner.manual_transfer_sql(&place, role, &to);
            let remedy = format!(
                "have a superuser run, in database {place}: {}; or name {role} in `creators`",
                manual_fix.sql
            );
            self.planner.findings.add_refusal(&application, message, remedy, Some(manual_fix));
        }
    }

    /// Where something is that is in the way, and to whom it can go, before this plan makes anything: what is in a
    /// database to come is in the template.
    pub(super) fn current_database_and_owner(&self) -> (DatabaseName, RoleName) {
        let observed = self.planner.observed;
        if self.is_new {
            let administrator = observed.administrator.name.clone();
            return (DatabaseName::new_unchecked(TEMPLATE), administrator);
        }
        let is_there = observed.roles.contains_key(self.owner);
        let present = observed.databases.get(self.name).map(|seen| &seen.owner);
        let owner = present.filter(|_| !is_there).unwrap_or(self.owner);
        (self.name.clone(), owner.clone())
    }

    /// The roles whose future objects are granted: the owner, and the declared creators there are.
    pub(super) fn creators(&self) -> BTreeSet<RoleName> {
        let planner = &self.planner;
        let known = |role: &&RoleName| {
            planner.observed.roles.contains_key(*role) || planner.desired.roles.contains_key(*role)
        };
        self.database.creators.iter().filter(known).chain([self.owner]).cloned().collect()
    }

    /// Adds a step that `required_role` (an owner or a grantor) is to carry out; where nobody can act for it, a
    /// refusal that names the statement it would have to run.
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
        self.refuse_for(required_role, &target, &action.to_string(), role, &summary, &statement);
    }

    fn refuse_for(
        &mut self,
        required_role: &RoleName,
        target: &GrantTarget,
        verb: &str,
        role: Option<&RoleName>,
        summary: &str,
        statement: &Statement,
    ) {
        let required_role =
            if required_role.as_str() == DATABASE_OWNER { self.owner } else { required_role };
        let application = self.application(role);
        let context = AclContext {
            target,
            owner: required_role,
            database: Some(self.name),
            application: &application,
        };
        let unusable_schemas = &self.schemas_without_usage(required_role);
        let (summary, statement) = (summary.to_owned(), statement.redacted());
        let schema_is_planned = self.schema_is_planned;
        let what = BlockedStep {
            verb,
            summary,
            required_role,
            unusable_schemas,
            role,
            schema_is_planned,
            statement,
        };
        self.planner.refuse_blocked_step(&context, what);
    }

    /// The schemas at hand that alone keep a role from doing what the administrator would do as it.
    fn schemas_without_usage(&self, required_role: &RoleName) -> Vec<SchemaName> {
        if self.planner.act_as(required_role).is_none() {
            return Vec::new();
        }
        self.without_usage(required_role).map(|schema| schema.name.clone()).collect()
    }

    /// How to act for an owner or grantor in the schemas at hand. Who may not use a schema cannot name
    /// what is in it: then the schema's owner lets it in.
    pub(super) fn execution_context(&self, required_role: &RoleName) -> Option<ExecutionContext> {
        let mut context = self.act_as(required_role)?;
        for schema in self.without_usage(required_role) {
            let owner = self.act_as(&schema.owner)?;
            let name = schema.name.clone();
            context.temporary_usage.push(TemporaryUsage {
                schema: name,
                grantee: required_role.clone(),
                granted_by: owner.execute_as,
            });
            context.temporary_memberships.extend(owner.temporary_memberships);
        }
        Some(context)
    }

    /// How to act for an owner or grantor. Whoever can become the database's owner can become the role that
    /// stands for it: PostgreSQL then takes that one for the grantor, whatever the owner may grant itself.
    fn act_as(&self, required_role: &RoleName) -> Option<ExecutionContext> {
        if required_role.as_str() != DATABASE_OWNER {
            return self.planner.act_as(required_role).map(ExecutionContext::plain);
        }
        let execute_as = self.planner.act_as(self.owner)?;
        // Up to 15, who is the owner's member already may have been looked up before its database was known (a
        // line of pg_hba.conf with `+role` does that), and is told no; a membership granted now is looked up anew.
        let is_member_before = self.planner.is_member_already(self.owner, MembershipOption::Set);
        if self.planner.observed.major() < 16 && is_member_before {
            return Some(ExecutionContext::plain(execute_as));
        }
        let temporary_memberships = match execute_as {
            ExecuteAs::Administrator => Memberships::new(),
            ExecuteAs::Role(owner) => Memberships::from([(owner, MembershipOption::Set)]),
        };
        Some(ExecutionContext {
            execute_as: ExecuteAs::Role(required_role.clone()),
            temporary_memberships,
            temporary_usage: Vec::new(),
        })
    }

    /// The schemas at hand that a role has no way into.
    fn without_usage(&self, role: &RoleName) -> impl Iterator<Item = &ResolvedSchema> {
        let roles = self.planner.has_privileges_of(role);
        self.schemas_in_scope.iter().filter(move |schema| {
            let may_use = schema.users.contains(&Grantee::Public)
                || roles.iter().any(|one| {
                    let stands_for = Grantee::Role(RoleName::new_unchecked(DATABASE_OWNER));
                    let of_database = one == self.owner
                        && self.planner.inherits(one)
                        && schema.users.contains(&stands_for);
                    of_database
                        || schema.users.contains(&Grantee::Role(one.clone()))
                        || READS_AND_WRITES_ALL.contains(&one.as_str())
                });
            !may_use
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
        let hazards = if self.is_new { &[] } else { hazards };
        let ExecutionContext { execute_as, temporary_memberships, temporary_usage } = context;
        let application = &self.application(role);
        self.steps.push(Step {
            role: role.cloned(),
            database: Some(self.name.clone()),
            execute_as,
            temporary_memberships,
            temporary_usage,
            hazards: hazards.iter().copied().collect(),
            ..Step::plain(action, application, summary, vec![statement])
        });
    }

    pub(super) fn application(&self, role: Option<&RoleName>) -> ApplicationName {
        role.map_or(&self.database.application, |role| {
            self.planner.application_for(role, self.database)
        })
        .clone()
    }

    /// The declared roles but the owner, with what they are granted in a schema: nothing, where their
    /// entry does not cover it.
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

    /// The same for relations of one role: the owner of the database has its own by ownership.
    pub(super) fn wanted_on_relations(
        &self,
        owner: &RoleName,
        schema: &SchemaName,
        kind: ObjectKind,
    ) -> BTreeMap<RoleName, Privileges> {
        let mut wanted = self.wanted(schema, |level| privilege::on_object(level, kind));
        let declared =
            self.database.owner_schemas().is_some_and(|schemas| schemas.contains(schema));
        if declared && owner != self.owner && owner.as_str() != DATABASE_OWNER {
            wanted.insert(self.owner.clone(), privilege::on_object_of_another(kind));
        }
        wanted
    }

    pub(super) fn is_managed(&self, role: &RoleName) -> bool {
        self.planner.desired.roles.contains_key(role) && role != self.owner
    }

    /// Whether what a role makes is granted as the owner's own: the owner, and the declared creators.
    pub(super) fn is_creator(&self, role: &RoleName) -> bool {
        role == self.owner || self.database.creators.contains(role)
    }

    /// What an ACL differs by.
    pub(super) fn differs(
        &self,
        owner: &RoleName,
        acl: &[AclItem],
        wanted: &BTreeMap<RoleName, Privileges>,
        public: Option<Privileges>,
    ) -> AclDiff {
        let managed = |role: &RoleName| self.is_managed(role) && role != owner;
        let mut acl_diff = acl::diff(acl, &Policy { wanted, managed: &managed, public });
        // An owner has what it needs by ownership, whatever its own entry says.
        if owner.as_str() != DATABASE_OWNER && owner != self.owner {
            acl_diff.grant.remove(owner);
        }
        acl_diff
    }

    /// Brings one ACL to what it shall be.
    pub(super) fn acl(
        &mut self,
        target: &GrantTarget,
        owner: &RoleName,
        acl: &[AclItem],
        wanted: &BTreeMap<RoleName, Privileges>,
        public: Option<Privileges>,
    ) {
        let acl_diff = self.differs(owner, acl, wanted, public);
        for (role, privileges) in &acl_diff.grant {
            self.grant(target, owner, role, privileges, acl_diff.held_by_public(privileges));
        }
        self.revokes(target, owner, &acl_diff);
    }

    /// Grants what a role lacks; where nobody can and PUBLIC has it, a note is enough.
    pub(super) fn grant(
        &mut self,
        target: &GrantTarget,
        owner: &RoleName,
        role: &RoleName,
        privileges: &Privileges,
        held_by_public: bool,
    ) {
        let summary = granted_words(privileges, target, role);
        let statement = sql::grant(privileges, target, &Grantee::Role(role.clone()));
        match self.execution_context(owner) {
            Some(context) => {
                self.push(Action::Grant, Some(role), context, summary, statement, &[]);
            }
            None if held_by_public => self.planner.note(format!(
                "in database {}, role {role} has {} on {} through PUBLIC: the administrator cannot act as role {owner} to grant it",
                self.name, listed(privileges), target.words()
            )),
            None => self.refuse_for(owner, target, "grant", Some(role), &summary, &statement),
        }
    }

    pub(super) fn revokes(&mut self, target: &GrantTarget, owner: &RoleName, acl_diff: &AclDiff) {
        for revoke in &acl_diff.revoke {
            let role = match &revoke.grantee {
                Grantee::Public => None,
                Grantee::Role(role) => Some(role),
            };
            let application = self.application(role);
            let context =
                AclContext { target, owner, database: Some(self.name), application: &application };
            if self.planner.refuse_dependent_grants(&context, acl_diff) {
                return;
            }
            // What the database's owner granted by a grant option that it has lost since, it cannot take
            // back: PostgreSQL takes the role that stands for it for the grantor.
            let itself = Grantee::Role(self.owner.clone());
            let held = |privilege| acl_diff.held.get(&(itself.clone(), privilege)).copied();
            if owner.as_str() == DATABASE_OWNER
                && revoke.grantor == *self.owner
                && !revoke.privileges.iter().all(|privilege| held(*privilege) == Some(true))
            {
                let (summary, statement) = revoked(revoke, target);
                let privileges = &revoke.privileges;
                let statement =
                    sql::with_grant_option(self.owner, privileges, held, target, &statement);
                let what = BlockedStep {
                    verb: "revoke",
                    summary,
                    required_role: owner,
                    unusable_schemas: &[],
                    role,
                    schema_is_planned: false,
                    statement,
                };
                self.planner.refuse_blocked_step(&context, what);
                continue;
            }
            let Some(context) = self.execution_context(&revoke.grantor) else {
                if revoke.grantee != Grantee::Public && acl_diff.held_by_public(&revoke.privileges)
                {
                    let (summary, _) = revoked(revoke, target);
                    self.planner.note(format!(
                        "in database {}, \"revoke {summary}\" is for role {} to do, as which the administrator cannot act; PUBLIC has it anyway",
                        self.name, revoke.grantor
                    ));
                    continue;
                }
                let unusable_schemas = self.schemas_without_usage(&revoke.grantor);
                self.planner.refuse_revoke(&context, revoke, &unusable_schemas);
                continue;
            };
            let (summary, statement) = revoked(revoke, target);
            let hazards = [Hazard::RevokesAccess];
            self.push(Action::Revoke, role, context, summary, statement, &hazards);
        }
    }
}
