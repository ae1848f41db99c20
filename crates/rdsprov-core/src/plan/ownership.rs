//! Plans another owner for a database and for the objects in it.

use std::collections::{BTreeMap, BTreeSet};

use super::acl::with_owner;
use super::database_planner::DatabasePlanner;
use super::planner::Planner;
use super::roles::forbidden_attributes;
use super::sql::{self, GrantTarget, HandedOver, SharedObject, Statement};
use super::words::{granted_words, revoked_words};
use super::{
    Action, Executor, Hazard, ManualFix, MembershipOption, NoteKind, Preparation, RefusalKind,
    Remedy, Step,
};
use crate::desired;
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName};
use crate::observed::{
    self, AclItem, Contents, Grantee, ObjectsOfRole, Obstacle, OwnedObject, OwnershipTransfer,
};
use crate::predefined_role::is_predefined;
use crate::privilege::{Privilege, Privileges};

impl Planner<'_> {
    /// Returns how objects of a role are transferred: not with `REASSIGN OWNED` for those of the
    /// administrator, which owns objects of other databases, too.
    pub(super) fn transfer_method(&self, from: &RoleName) -> TransferMethod {
        if *from == self.observed.administrator.name {
            TransferMethod::ObjectByObject
        } else {
            TransferMethod::ReassignOwned
        }
    }

    /// Returns whether a database may get another owner: the run must allow it, and the
    /// administrator must be able to act as both owners. Otherwise, refuses it.
    pub(super) fn may_change_owner(
        &mut self,
        name: &DatabaseName,
        application: &ApplicationName,
        from: &RoleName,
        to: &RoleName,
    ) -> bool {
        let can_act_as_both =
            !is_pinned(from) && self.act_as(from).is_some() && self.act_as(to).is_some();
        if can_act_as_both && !self.authority.may_have_privileges_of(from) {
            self.refuse_without_inheritance(application, from);
            return false;
        }
        if self.refuse_subscriptions(name, application, from) {
            return false;
        }
        if can_act_as_both && self.desired.may_change_owners {
            return true;
        }
        let exists = self.observed.roles.contains_key(to);
        if !can_act_as_both && !exists && self.may_become_member(from) {
            // The new owner does not exist yet, but the administrator could
            // transfer the database itself.
            self.refuse_inaccessible_owner(name, application, from);
            return false;
        }
        let kind = RefusalKind::DatabaseOwnerDiffers {
            database: name.clone(),
            owner: from.clone(),
            declared: to.clone(),
            can_be_declared: self.can_be_role_of_application(from),
            can_be_allowed: can_act_as_both,
        };
        let remedy = match self.manual_transfer(name, from, to) {
            Remedy::Run(executor, fix) if !exists => {
                Remedy::RunLater(Preparation::CreateRole(to.clone()), executor, fix)
            }
            remedy => remedy,
        };
        self.refuse_with(application, kind, remedy);
        false
    }

    /// Returns whether an entry can name a role that exists, so that the plan is not refused because of it.
    fn can_be_role_of_application(&self, role: &RoleName) -> bool {
        let is_powerful = |seen: &observed::Role| {
            forbidden_attributes(seen).next().is_some()
                || self.is_delegate(seen)
                || self.administrator_power(role, seen).is_some()
        };
        !is_predefined(role)
            && *role != self.observed.administrator.name
            && !self.observed.roles.get(role).is_some_and(is_powerful)
    }

    /// Returns whether the administrator can become a member of a role. It cannot if the role
    /// is a superuser, or is itself a member of the administrator, because memberships cannot
    /// form a circle (0LP01).
    fn may_become_member(&self, role: &RoleName) -> bool {
        let seen = self.observed.roles.get(role);
        seen.is_some_and(|seen| !seen.superuser && !seen.is_member_of_administrator)
    }

    /// Refuses a transfer if `REASSIGN OWNED` would also change the owner of subscriptions that
    /// cannot get it, or that belong to other databases. Returns whether it refused.
    pub(super) fn refuse_subscriptions(
        &mut self,
        name: &DatabaseName,
        application: &ApplicationName,
        from: &RoleName,
    ) -> bool {
        if self.cannot_reassign_owned(from) {
            return false;
        }
        let subscriptions = self.observed.subscriptions.iter().filter(|one| one.owner == *from);
        let mut found = false;
        for one in subscriptions.filter(|one| !one.movable || one.database != *name) {
            found = true;
            let statement = sql::take_subscription(&one.name);
            let manual_fix = ManualFix::from(statement).in_database(&one.database);
            let kind = RefusalKind::SubscriptionWouldMove {
                database: name.clone(),
                owner: from.clone(),
                subscription: one.name.clone(),
                subscription_database: one.database.clone(),
                can_be_declared: self.can_be_role_of_application(from),
            };
            self.refuse_with_fix(application, kind, Executor::Superuser, manual_fix);
        }
        found
    }

    /// Returns whether `REASSIGN OWNED` must not be used: the administrator keeps its other
    /// objects, and a superuser its objects in the database.
    fn cannot_reassign_owned(&self, role: &RoleName) -> bool {
        is_pinned(role)
            || *role == self.observed.administrator.name
            || self.observed.roles.get(role).is_none_or(|seen| seen.superuser)
    }

    /// Returns the statements that transfer a database and the objects in it, for the administrator
    /// if it can act as both owners, and otherwise those after which it can.
    pub(super) fn manual_transfer(
        &mut self,
        name: &DatabaseName,
        from: &RoleName,
        to: &RoleName,
    ) -> Remedy {
        let is_superuser = |role| self.observed.roles.get(role).is_some_and(|seen| seen.superuser);
        if is_superuser(from) || self.only_superusers_replace(name, from) {
            return self.transfer_by(Executor::Superuser, name, from, to);
        }
        // A role that does not exist yet can be created by the administrator.
        let exists = |role: &&RoleName| self.observed.roles.contains_key(*role);
        for role in [from, to].into_iter().filter(exists).collect::<Vec<_>>() {
            if self.act_as(role).is_none() {
                return self.remedy_for_authority(role);
            }
        }
        self.transfer_by(Executor::Administrator, name, from, to)
    }

    /// Returns the statements that transfer the objects of a role to another existing one, each with its executor and
    /// in their order: also those after which the administrator can act as both owners. A superuser needs none of
    /// these.
    pub(super) fn transfer_steps(
        &mut self,
        name: &DatabaseName,
        from: &RoleName,
        to: &RoleName,
    ) -> Vec<(Executor, ManualFix)> {
        let mut steps = Vec::new();
        let mut executor = Executor::Administrator;
        let superuser = self.observed.roles.get(from).is_some_and(|seen| seen.superuser);
        if superuser || self.only_superusers_replace(name, from) {
            executor = Executor::Superuser;
        }
        for role in [from, to] {
            if executor == Executor::Superuser || self.act_as(role).is_some() {
                continue;
            }
            match self.steps_to_authority(role) {
                Some(before) => steps.extend(before),
                None => executor = Executor::Superuser,
            }
        }
        if executor == Executor::Superuser {
            steps.clear();
        }
        let fix = self.manual_transfer_sql(&executor, name, from, to);
        steps.push((executor, fix));
        steps
    }

    fn transfer_by(
        &self,
        executor: Executor,
        name: &DatabaseName,
        from: &RoleName,
        to: &RoleName,
    ) -> Remedy {
        let fix = self.manual_transfer_sql(&executor, name, from, to);
        Remedy::Run(executor, fix)
    }

    /// Returns whether only a superuser can give the objects of a role to another one.
    fn only_superusers_replace(&self, name: &DatabaseName, role: &RoleName) -> bool {
        let contents = self.observed.databases.get(name).and_then(|seen| seen.contents.as_ref());
        contents.is_some_and(|contents| contents.owners_only_superusers_replace.contains(role))
    }

    fn manual_transfer_sql(
        &self,
        executor: &Executor,
        name: &DatabaseName,
        from: &RoleName,
        to: &RoleName,
    ) -> ManualFix {
        let seen = self.observed.databases.get(name);
        let contents = seen.and_then(|seen| seen.contents.as_ref());
        let mut statements = Vec::new();
        if self.cannot_reassign_owned(from) {
            statements.push(sql::change_owner(name, to));
            if *from == self.observed.administrator.name {
                statements.extend(
                    contents
                        .iter()
                        .flat_map(|all| self.transfer_administrator_objects(name, all, to)),
                );
            }
        } else {
            let databases = self.observed.databases.iter();
            let others = databases.filter(|(other, seen)| *other != name && seen.owner == *from);
            let shared = others.map(|(other, _)| SharedObject::Database(other));
            let shared: BTreeSet<_> = shared.chain(self.shared_objects_to_keep(from)).collect();
            // First, because the new owner gets with it what it needs for some objects.
            if seen.is_some_and(|seen| seen.owner == *from) {
                statements.push(sql::change_owner(name, to));
            }
            let temporary_owner = self.temporary_owner();
            if !shared.is_empty() {
                statements
                    .extend(sql::create_temporary_owner(&temporary_owner, self.observed.major()));
            }
            // The hazard `hands_over_code` names code only in the steps of the program.
            let reassign = sql::give_without_code(&[sql::reassign_owned(from, to)], to);
            let reassigned = sql::reassign_database_only(from, reassign, &temporary_owner, &shared);
            statements.extend(reassigned);
            if !shared.is_empty() {
                statements.push(sql::drop_role(&temporary_owner));
            }
        }
        let database = (!self.cannot_reassign_owned(from) || statements.len() > 1).then_some(name);
        let fix = if *executor == Executor::Superuser {
            statements.into()
        } else {
            let memberships = [from, to].map(|role| (role.clone(), MembershipOption::Inherit));
            self.fix_by_administrator(statements, memberships.into())
        };
        fix.in_database(database)
    }

    /// Returns the templates and tablespaces of a role, which keep their owner.
    fn shared_objects_to_keep(&self, role: &RoleName) -> impl Iterator<Item = SharedObject<'_>> {
        let templates = self.observed.templates.iter().filter(move |(_, owner)| *owner == role);
        let tablespaces = self.observed.tablespaces.iter().filter(move |(_, owner)| *owner == role);
        templates
            .map(|(name, _)| SharedObject::Database(name))
            .chain(tablespaces.map(|(name, _)| SharedObject::Tablespace(name)))
    }

    /// Returns the statements that transfer the objects of the administrator in a
    /// database, one by one.
    fn transfer_administrator_objects(
        &self,
        name: &DatabaseName,
        contents: &Contents,
        to: &RoleName,
    ) -> Vec<Statement> {
        let administrator = &self.observed.administrator.name;
        let objects = contents.ownership_transfer.administrator_objects.iter();
        let objects = objects.map(|one| sql::change_object_owner(one, to));
        let subscriptions = self
            .observed
            .subscriptions
            .iter()
            .filter(|one| one.movable && one.database == *name && one.owner == *administrator);
        let subscriptions = subscriptions.map(|one| sql::change_subscription_owner(&one.name, to));
        objects.chain(subscriptions).collect()
    }

    /// Returns a name for the temporary owner that no role has.
    fn temporary_owner(&self) -> RoleName {
        let (desired, observed) = (&self.desired.roles, &self.observed.roles);
        let mut name = RoleName::new_unchecked("rdsprov_keeper");
        while observed.contains_key(&name) || desired.contains_key(&name) {
            name = RoleName::new_unchecked(format!("{name}_"));
        }
        name
    }

    /// Changes the owner of a database. PostgreSQL requires the privileges of the old owner and
    /// `SET ROLE` to the new one.
    pub(super) fn owner_step(
        &self,
        name: &DatabaseName,
        application: &ApplicationName,
        from: Option<&RoleName>,
        to: &RoleName,
    ) -> Step {
        let memberships = std::iter::once((to.clone(), MembershipOption::Set))
            .chain(from.map(|from| (from.clone(), MembershipOption::Inherit)));
        let summary = format!("database {name}: owner {to}");
        Step::new(Action::AlterDatabase, application, summary, [sql::change_owner(name, to)])
            .for_role(to)
            .in_database(name)
            .with_memberships(memberships)
            .with_hazards(from.map(|_| Hazard::ChangesOwner))
    }

    /// Grants `CONNECT` to the administrator, so that the next plan can observe
    /// the objects to transfer.
    pub(super) fn grant_administrator_connect(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        seen: &observed::Database,
        steps: &mut Vec<Step>,
    ) {
        let Some(execute_as) = self.act_as(&seen.owner) else { return };
        let application = &database.application;
        let mut change = |action, summary, statement, hazard: Option<Hazard>| {
            let step = Step::new(action, application, summary, [statement])
                .in_database(name)
                .executed_as(execute_as.clone())
                .with_hazards(hazard);
            steps.push(step);
        };
        let target = GrantTarget::Database(name.clone());
        let held_by = |grantee: &Grantee| -> Privileges {
            let items = seen.acl.iter().filter(|item| item.grantee == *grantee);
            items.map(|item| item.privilege).collect()
        };
        if !seen.allow_connections {
            // As soon as the database allows connections, PUBLIC could connect to it.
            let public = held_by(&Grantee::Public);
            if !public.is_empty() {
                let summary = revoked_words(&public, &target, &Grantee::Public);
                let scope = sql::RevokeScope::Privilege;
                let statement = sql::revoke(scope, &public, &target, &Grantee::Public);
                change(Action::Revoke, summary, statement, Some(Hazard::ClosesToPublic));
            }
            let summary = format!("database {name}: allows connections");
            let hazard = Some(Hazard::ReopensDatabase);
            change(Action::AlterDatabase, summary, sql::open_database(name), hazard);
        }
        let administrator = Grantee::Role(self.observed.administrator.name.clone());
        if !held_by(&administrator).contains(&Privilege::Connect) {
            let connect = Privileges::from([Privilege::Connect]);
            let statement = sql::grant(&connect, &target, &administrator);
            let summary = granted_words(&connect, &target, &self.observed.administrator.name);
            change(Action::Grant, summary, statement, None);
        }
    }
}

/// Returns whether PostgreSQL does not execute `REASSIGN OWNED` for a role (2BP01), and `pg_shdepend` has no rows of its
/// objects: a predefined role of PostgreSQL itself.
fn is_pinned(role: &RoleName) -> bool {
    role.as_str().starts_with("pg_")
}

/// How the objects of a role in a database get another owner.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TransferMethod {
    /// `REASSIGN OWNED`, which also transfers objects of extensions.
    ReassignOwned,
    /// `ALTER … OWNER TO` for each object, except objects of extensions.
    ObjectByObject,
}

/// Returns the contents of a database after the objects of one role got another owner.
pub(super) fn with_new_owner(
    contents: &Contents,
    from: &RoleName,
    to: &RoleName,
    method: TransferMethod,
) -> Contents {
    let mut contents = contents.clone();
    let transfer_ownership = |owner: &mut RoleName, acl: &mut Vec<AclItem>, of_extension: bool| {
        if owner == from && !(method == TransferMethod::ObjectByObject && of_extension) {
            *acl = with_owner(acl, from, to);
            owner.clone_from(to);
        }
    };
    for schema in contents.schemas.values_mut() {
        transfer_ownership(&mut schema.owner, &mut schema.acl, schema.of_extension);
        for group in &mut schema.relations {
            transfer_ownership(&mut group.owner, &mut group.acl, group.of_extension);
        }
        for columns in &mut schema.columns {
            transfer_ownership(&mut columns.owner, &mut columns.acl, columns.of_extension);
        }
    }
    for object in &mut contents.objects {
        transfer_ownership(&mut object.owner, &mut object.acl, object.of_extension);
    }
    contents
}

/// Returns the contents of a database after the objects of the administrator in some schemas got
/// another owner.
pub(super) fn without_objects_of_administrator(
    contents: &Contents,
    administrator: &RoleName,
    to: &RoleName,
    schemas: &BTreeSet<SchemaName>,
) -> Contents {
    let transferred = with_new_owner(contents, administrator, to, TransferMethod::ObjectByObject);
    let mut contents = contents.clone();
    for (name, schema) in &mut contents.schemas {
        if let Some(after) = transferred.schemas.get(name).filter(|_| schemas.contains(name)) {
            schema.relations.clone_from(&after.relations);
            schema.columns.clone_from(&after.columns);
        }
    }
    let objects = &contents.objects_of_administrator.administrator_objects;
    let objects: BTreeSet<&str> = objects.iter().map(|one| one.identity.as_str()).collect();
    for (object, after) in contents.objects.iter_mut().zip(transferred.objects) {
        if objects.contains(object.identity.as_str()) {
            *object = after;
        }
    }
    contents
}

impl DatabasePlanner<'_, '_> {
    /// Returns the statements that give the first objects of a predefined role to the owner of the database, for
    /// the administrator if it can act as both, and otherwise for a member of the role.
    pub(super) fn objects_by_hand(&mut self, objects: &ObjectsOfRole) -> Remedy {
        let (place, to) = self.current_database_and_owner();
        let statements: Vec<Statement> =
            objects.first.iter().map(|one| sql::change_object_owner(one, &to)).collect();
        let statements = vec![sql::give_without_code(&statements, &to)];
        let both = [&objects.role, &to];
        if both.into_iter().any(|role| self.planner.act_as(role).is_none()) {
            let fix = ManualFix::from(statements).in_database(&place);
            return Remedy::Run(Executor::Role(objects.role.clone()), fix);
        }
        let memberships = both.map(|role| (role.clone(), MembershipOption::Inherit));
        let fix = self.planner.fix_by_administrator(statements, memberships.into());
        Remedy::Run(Executor::Administrator, fix.in_database(&place))
    }

    /// Returns the roles of which one owns an object until the plan gives it to the owner of the database.
    pub(super) fn former_owners(&self, target: &GrantTarget, owner: &RoleName) -> Vec<RoleName> {
        let seen = self.planner.observed.databases.get(self.name);
        let Some(seen) = seen.filter(|_| owner == self.owner && !self.is_new()) else {
            return Vec::new();
        };
        let mut roles = BTreeSet::from([&seen.owner]);
        if let Some(contents) = &seen.contents {
            if self.transfers_objects_of_administrator(contents) {
                roles.insert(&self.planner.observed.administrator.name);
            }
            if let GrantTarget::Schema(name) = target {
                roles.extend(contents.schemas.get(name).map(|schema| &schema.owner));
            }
        }
        roles.into_iter().filter(|role| *role != owner).cloned().collect()
    }

    /// Returns whether the plan transfers the objects of the administrator in the schemas of the
    /// owner entry, as after `pg_restore --no-owner`.
    pub(super) fn transfers_objects_of_administrator(&self, contents: &Contents) -> bool {
        !contents.objects_of_administrator.administrator_objects.is_empty()
            && self.planner.desired.may_change_owners
            && self.planner.authority.may_have_privileges_of(self.owner)
    }

    /// Transfers the objects of the administrator in the schemas of the owner entry, or adds a note.
    pub(super) fn transfer_objects_of_administrator(&mut self, contents: &Contents) {
        let administrator = self.planner.observed.administrator.name.clone();
        let objects = &contents.objects_of_administrator.administrator_objects;
        let [first, others @ ..] = objects.as_slice() else { return };
        let owner = self.owner.clone();
        if !self.transfers_objects_of_administrator(contents) {
            self.planner.note(NoteKind::ObjectsOfAdministrator {
                database: self.name.clone(),
                administrator,
                owner,
                object: first.to_string(),
                others: others.len(),
            });
            return;
        }
        let change = |one: &OwnedObject| sql::change_object_owner(one, &owner);
        let summary =
            format!("objects of {administrator} in database {}: owner {owner}", self.name);
        let application = &self.database.application;
        let statements = self.verified(
            objects.iter().map(change).collect(),
            &administrator,
            &contents.objects_of_administrator,
            HandedOver::Objects,
        );
        let transferred = Step::new(Action::ReassignOwned, application, summary, statements)
            .for_role(&owner)
            .in_database(self.name)
            .with_memberships([(owner.clone(), MembershipOption::Inherit)])
            .with_hazards([Hazard::ChangesOwner])
            .handing_over(&contents.objects_of_administrator.code);
        self.steps.push(transferred);
    }

    /// Transfers the objects of the old owner in this database to the new one. `REASSIGN
    /// OWNED` also transfers databases and tablespaces, so a temporary owner gets those for
    /// the length of the transaction.
    pub(super) fn transfer_ownership(&mut self, from: &RoleName, contents: &Contents) {
        let to = self.owner.clone();
        let mut untransferable: BTreeMap<&Obstacle, Vec<&OwnedObject>> = BTreeMap::new();
        for one in &contents.ownership_transfer.untransferable {
            untransferable.entry(&one.obstacle).or_default().push(&one.object);
        }
        for (obstacle, objects) in untransferable {
            self.refuse_untransferable(from, &to, obstacle, &objects);
        }
        let method = self.planner.transfer_method(from);
        let (statements, what) = match method {
            TransferMethod::ObjectByObject => (
                self.planner.transfer_administrator_objects(self.name, contents, &to),
                HandedOver::Objects,
            ),
            TransferMethod::ReassignOwned => (self.reassign(from, &to), HandedOver::Database),
        };
        if statements.is_empty() {
            return;
        }
        let statements = self.verified(statements, from, &contents.ownership_transfer, what);
        let summary = format!("objects of {from} in database {}: owner {to}", self.name);
        let application = &self.database.application;
        let transferred = Step::new(Action::ReassignOwned, application, summary, statements)
            .for_role(&to)
            .in_database(self.name)
            .with_memberships([from, &to].map(|role| (role.clone(), MembershipOption::Inherit)))
            .with_hazards([Hazard::ChangesOwner])
            .handing_over(&contents.ownership_transfer.code);
        self.steps.push(transferred);
    }

    /// Surrounds the statements of a transfer with those that fail if it has handed over other code than was
    /// observed.
    pub(super) fn verified(
        &self,
        statements: Vec<Statement>,
        from: &RoleName,
        transfer: &OwnershipTransfer,
        what: HandedOver,
    ) -> Vec<Statement> {
        let Some(fingerprint) = transfer.fingerprint.as_deref() else { return statements };
        let observed = self.planner.observed;
        let current = observed.databases.get(self.name).map_or(from, |seen| &seen.owner);
        let verify = sql::assert_handed_over(&sql::Transfer {
            from,
            to: self.owner,
            what,
            covered: self.database.covered_schemas(),
            insiders: self.database.insiders(current, &observed.administrator.name),
            fingerprint,
        });
        let check = vec![sql::limit_check_of_code(), verify];
        [vec![sql::begin_handing_over()], statements, check].concat()
    }

    fn refuse_untransferable(
        &mut self,
        from: &RoleName,
        to: &RoleName,
        obstacle: &Obstacle,
        objects: &[&OwnedObject],
    ) {
        let declared = self.database.owner_schemas();
        // The transaction gives the new owner its privileges on the schemas of its entry before it transfers
        // objects, except on those that it transfers together with them.
        let is_transferred = |schema: &SchemaName| {
            let seen = self.planner.observed.databases.get(self.name);
            let contents = seen.and_then(|seen| seen.contents.as_ref());
            let schema = contents.and_then(|contents| contents.schemas.get(schema));
            schema.is_some_and(|schema| schema.owner == *from)
        };
        if let Obstacle::Schema(schema) = obstacle
            && declared.is_some_and(|all| all.contains(schema))
            && !is_transferred(schema)
        {
            return;
        }
        let [first, others @ ..] = objects else { return };
        let refusal = RefusalKind::ObjectNotTransferable {
            database: self.name.clone(),
            object: first.to_string(),
            others: others.len(),
            from: from.clone(),
            to: to.clone(),
            obstacle: obstacle.clone(),
            can_be_declared: self.planner.can_be_role_of_application(from),
        };
        let application = &self.database.application;
        let needs_superuser = *obstacle == Obstacle::Superuser;
        let change = |one: &&OwnedObject| {
            if needs_superuser {
                sql::take_ownership(one)
            } else {
                sql::change_object_owner(one, to)
            }
        };
        let mut statements: Vec<Statement> = objects.iter().map(change).collect();
        if !needs_superuser && *from != self.planner.observed.administrator.name {
            statements = vec![sql::give_without_code(&statements, to)];
        }
        let fix = ManualFix::from(statements).in_database(self.name);
        let remedy = if needs_superuser || self.planner.observed.roles.contains_key(to) {
            Remedy::Run(Executor::Superuser, fix)
        } else {
            Remedy::RunLater(Preparation::CreateRole(to.clone()), Executor::Superuser, fix)
        };
        self.planner.refuse_with(application, refusal, remedy);
    }

    pub(super) fn reassign(&self, from: &RoleName, to: &RoleName) -> Vec<Statement> {
        let administrator = &self.planner.observed.administrator.name;
        let desired = &self.planner.desired.databases;
        // The databases that the old owner has when this transaction runs: new
        // databases exist by then, and the transactions of databases that come first by
        // name have changed their owners.
        let owner_then = |name: &DatabaseName, seen: Option<&observed::Database>| {
            let declared = desired.get(name).and_then(|one| one.owner.as_ref());
            match seen.filter(|seen| !seen.is_unfinished(administrator)) {
                Some(seen) if name > self.name || seen.contents.is_none() => {
                    Some(seen.owner.clone())
                }
                Some(seen) => declared.or(Some(&seen.owner)).cloned(),
                None => declared.cloned(),
            }
        };
        let observed = &self.planner.observed.databases;
        let databases = observed.keys().chain(desired.keys()).filter(|name| {
            *name != self.name && owner_then(name, observed.get(name)).as_ref() == Some(from)
        });
        let shared: BTreeSet<SharedObject<'_>> = databases
            .map(SharedObject::Database)
            .chain(self.planner.shared_objects_to_keep(from))
            .collect();
        let temporary_owner = self.planner.temporary_owner();
        let mut statements = vec![sql::assert_owns_only(from, &shared)];
        if !shared.is_empty() {
            statements.extend(sql::create_temporary_owner(
                &temporary_owner,
                self.planner.observed.major(),
            ));
        }
        let reassign = sql::reassign_owned(from, to);
        statements.extend(sql::reassign_database_only(from, reassign, &temporary_owner, &shared));
        if !shared.is_empty() {
            statements.push(sql::drop_role(&temporary_owner));
        }
        statements
    }
}
