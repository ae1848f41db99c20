//! A database gets another owner: whether it may, how, and what becomes of the objects in it.

use std::collections::{BTreeMap, BTreeSet};

use super::acl::with_owner;
use super::database::DatabasePlanner;
use super::databases::{StepTarget, granted_words, revoked_words, step};
use super::planner::Planner;
use super::sql::{self, GrantTarget, SharedObject, Statement};
use super::{Action, ExecuteAs, Hazard, ManualFix, MembershipOption, Memberships, Step};
use crate::desired;
use crate::name::{ApplicationName, DatabaseName, RoleName, quote};
use crate::observed::{self, AclItem, Contents, Grantee, Obstacle, OwnedObject};
use crate::privilege::{Privilege, Privileges};

impl Planner<'_> {
    /// Whether a database may get another owner: somebody has to want it, and the administrator has to
    /// have power over both.
    pub(super) fn may_change_owner(
        &mut self,
        name: &DatabaseName,
        application: &ApplicationName,
        from: &RoleName,
        to: &RoleName,
    ) -> bool {
        let powerful = self.act_as(from).is_some() && self.act_as(to).is_some();
        if powerful && !self.may_have_privileges_of(from) {
            self.refuse_without_inheritance(application, from);
            return false;
        }
        let message = format!("database {name} belongs to role {from}, the definitions say {to}");
        if self.refuse_subscriptions(name, application, from, &message) {
            return false;
        }
        if powerful && self.desired.may_change_owners {
            return true;
        }
        let manual_fix = self.manual_transfer_sql(name, from, to);
        let there = self.observed.roles.contains_key(to);
        if !powerful && there {
            self.refuse_with_fix(application, message, "a superuser", manual_fix);
            return false;
        }
        if !powerful {
            let administrator = &self.observed.administrator.name;
            let may_be_one =
                |seen: &observed::Role| !seen.superuser && !seen.is_member_of_administrator;
            if self.observed.roles.get(from).is_some_and(may_be_one) {
                let statement = sql::grant_role(from, administrator).redacted();
                let manual_fix = ManualFix { database: None, sql: statement };
                let message = format!("{message}, and the administrator cannot act as role {from}");
                self.refuse_with_fix(application, message, "a superuser", manual_fix);
            } else {
                let remedy = format!(
                    "create role {to} first, have a superuser run: {}; and take the role over with `adopt = true`",
                    manual_fix.sql
                );
                let message = format!(
                    "{message}; what is a superuser's cannot go to role {to} before that is there"
                );
                self.refuse(application, message, remedy);
            }
            return false;
        }
        let place = manual_fix.database.as_ref().map(|name| format!(", in database {name}"));
        let run = format!("have a superuser run{}: {};", place.unwrap_or_default(), manual_fix.sql);
        let run = if there {
            run
        } else {
            format!(
                "create role {to} as the administrator, {run} and take the role over with `adopt = true`"
            )
        };
        let remedy = format!(
            "name the present owner in the definitions; or add --allow changes_owner, and the database and what {from} owns in it go to {to}; or {run}"
        );
        self.findings.add_refusal(application, message, remedy, there.then_some(manual_fix));
        false
    }

    /// Refuses where subscriptions would have to go along that cannot, or that are another database's: there is no
    /// way to keep those.
    pub(super) fn refuse_subscriptions(
        &mut self,
        name: &DatabaseName,
        application: &ApplicationName,
        from: &RoleName,
        message: &str,
    ) -> bool {
        if self.cannot_reassign_owned(from) {
            return false;
        }
        let subscriptions = self.observed.subscriptions.iter().filter(|one| one.owner == *from);
        let mut found = false;
        for one in subscriptions.filter(|one| !one.movable || one.database != *name) {
            found = true;
            let statement = sql::take_ownership("SUBSCRIPTION", &quote(&one.name)).redacted();
            let manual_fix = ManualFix { database: Some(one.database.clone()), sql: statement };
            let message = format!(
                "{message}; subscription {} of database {} would go along with what {from} owns",
                one.name, one.database
            );
            self.refuse_with_fix(application, message, "a superuser", manual_fix);
        }
        found
    }

    /// Whether `REASSIGN OWNED` is not for what a role owns: the administrator goes on, and of a superuser it is
    /// only the database.
    fn cannot_reassign_owned(&self, role: &RoleName) -> bool {
        *role == self.observed.administrator.name
            || self.observed.roles.get(role).is_none_or(|seen| seen.superuser)
    }

    /// What a superuser would run.
    pub(super) fn manual_transfer_sql(
        &self,
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
            let shared = shared.chain(self.shared_objects_to_keep(from)).collect();
            let temporary_owner = self.temporary_owner();
            statements = sql::reassign_database_only(from, to, &temporary_owner, &shared);
            if !shared.is_empty() {
                statements.insert(0, sql::create_plain_role(&temporary_owner));
                statements.push(sql::drop_role(&temporary_owner));
                statements = sql::in_transaction(statements);
            }
        }
        let database =
            (!self.cannot_reassign_owned(from) || statements.len() > 1).then(|| name.clone());
        let statements: Vec<String> = statements.iter().map(Statement::redacted).collect();
        ManualFix { database, sql: statements.join("; ") }
    }

    /// The templates and tablespaces of a role, which stay its own.
    fn shared_objects_to_keep(&self, role: &RoleName) -> impl Iterator<Item = SharedObject<'_>> {
        let templates = self.observed.templates.iter().filter(move |(_, owner)| *owner == role);
        let tablespaces = self.observed.tablespaces.iter().filter(move |(_, owner)| *owner == role);
        templates
            .map(|(name, _)| SharedObject::Database(name))
            .chain(tablespaces.map(|(name, _)| SharedObject::Tablespace(name)))
    }

    /// What the administrator owns in a database goes to another role.
    fn transfer_administrator_objects(
        &self,
        name: &DatabaseName,
        contents: &Contents,
        to: &RoleName,
    ) -> Vec<Statement> {
        let administrator = &self.observed.administrator.name;
        let objects = contents.ownership_transfer.administrator_objects.iter();
        let objects = objects.map(|one| sql::change_object_owner(&one.kind, &one.identity, to));
        let subscriptions = self
            .observed
            .subscriptions
            .iter()
            .filter(|one| one.movable && one.database == *name && one.owner == *administrator);
        let subscriptions = subscriptions
            .map(|one| sql::change_object_owner("SUBSCRIPTION", &quote(&one.name), to));
        objects.chain(subscriptions).collect()
    }

    /// The name of a role that there is not, for who keeps databases while a transaction lasts.
    fn temporary_owner(&self) -> RoleName {
        let (desired, observed) = (&self.desired.roles, &self.observed.roles);
        let mut name = RoleName::new_unchecked("rdsprov_keeper");
        while observed.contains_key(&name) || desired.contains_key(&name) {
            name = RoleName::new_unchecked(format!("{name}_"));
        }
        name
    }

    /// `ALTER DATABASE … OWNER TO` wants the privileges of the old owner and the way to the new one.
    pub(super) fn owner_step(
        &self,
        name: &DatabaseName,
        application: &ApplicationName,
        from: Option<&RoleName>,
        to: &RoleName,
    ) -> Step {
        let mut temporary_memberships = Memberships::from([(to.clone(), MembershipOption::Set)]);
        temporary_memberships.extend(from.map(|from| (from.clone(), MembershipOption::Inherit)));
        let of = StepTarget {
            application,
            role: Some(to),
            execute_as: ExecuteAs::Administrator,
            temporary_memberships,
        };
        let summary = format!("database {name}: owner {to}");
        let hazards: &[Hazard] = if from.is_some() { &[Hazard::ChangesOwner] } else { &[] };
        step(name, of, Action::AlterDatabase, summary, vec![sql::change_owner(name, to)], hazards)
    }

    /// Lets the administrator into a database, so that a later plan can see what there is to hand over.
    pub(super) fn grant_administrator_connect(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        seen: &observed::Database,
        steps: &mut Vec<Step>,
    ) {
        let Some(execute_as) = self.act_as(&seen.owner) else { return };
        let application = &database.application;
        let mut change = |action, summary, statement, hazards: &[Hazard]| {
            let execute_as = execute_as.clone();
            let of = StepTarget {
                application,
                role: None,
                execute_as,
                temporary_memberships: Memberships::new(),
            };
            steps.push(step(name, of, action, summary, vec![statement], hazards));
        };
        let target = GrantTarget::Database(name.clone());
        let of = |grantee: &Grantee| -> Privileges {
            let items = seen.acl.iter().filter(|item| item.grantee == *grantee);
            items.map(|item| item.privilege).collect()
        };
        if !seen.allow_connections {
            // Nobody is to come in with the administrator.
            let public = of(&Grantee::Public);
            if !public.is_empty() {
                let summary = revoked_words(&public, &target, "PUBLIC");
                let needs_superuser = sql::RevokeScope::Privilege;
                let statement =
                    sql::revoke(needs_superuser, &public, &target, &Grantee::Public, false);
                change(Action::Revoke, summary, statement, &[Hazard::ClosesToPublic]);
            }
            let summary = format!("database {name}: open to those who may connect");
            change(Action::AlterDatabase, summary, sql::open_database(name), &[]);
        }
        let administrator = Grantee::Role(self.observed.administrator.name.clone());
        if !of(&administrator).contains(&Privilege::Connect) {
            let connect = Privileges::from([Privilege::Connect]);
            let statement = sql::grant(&connect, &target, &administrator);
            let summary = granted_words(&connect, &target, &self.observed.administrator.name);
            change(Action::Grant, summary, statement, &[]);
        }
    }
}

/// The contents after all that one role owns has gone to another; what belongs to an extension goes along only
/// with `REASSIGN OWNED`.
pub(super) fn with_new_owner(
    contents: &Contents,
    from: &RoleName,
    to: &RoleName,
    object_by_object: bool,
) -> Contents {
    let mut contents = contents.clone();
    let transfer_ownership = |owner: &mut RoleName, acl: &mut Vec<AclItem>, of_extension: bool| {
        if owner == from && !(object_by_object && of_extension) {
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

impl DatabasePlanner<'_, '_> {
    /// What the old owner has in the database goes to the new one. `REASSIGN OWNED` would also move what else the
    /// old owner has of what the databases share: a role that is made for it keeps that for as long as the
    /// transaction lasts.
    pub(super) fn transfer_ownership(&mut self, from: &RoleName, contents: &Contents) {
        let to = self.owner.clone();
        let mut untransferable: BTreeMap<&Obstacle, Vec<&OwnedObject>> = BTreeMap::new();
        for one in &contents.ownership_transfer.untransferable {
            untransferable.entry(&one.obstacle).or_default().push(&one.object);
        }
        for (obstacle, objects) in untransferable {
            self.refuse_untransferable(from, &to, obstacle, &objects);
        }
        let statements = if *from == self.planner.observed.administrator.name {
            self.planner.transfer_administrator_objects(self.name, contents, &to)
        } else {
            self.reassign(from, &to)
        };
        if statements.is_empty() {
            return;
        }
        let temporary_memberships =
            [from, &to].map(|role| (role.clone(), MembershipOption::Inherit)).into_iter().collect();
        let summary = format!("what {from} owns in database {} goes to {to}", self.name);
        let application = &self.database.application;
        self.steps.push(Step {
            role: Some(to.clone()),
            database: Some(self.name.clone()),
            temporary_memberships,
            hazards: BTreeSet::from([Hazard::ChangesOwner]),
            ..Step::plain(Action::ReassignOwned, application, summary, statements)
        });
    }

    fn refuse_untransferable(
        &mut self,
        from: &RoleName,
        to: &RoleName,
        obstacle: &Obstacle,
        objects: &[&OwnedObject],
    ) {
        let declared = self.database.owner_schemas();
        let why = match obstacle {
            // What its entry declares, it will be able to create in.
            Obstacle::Schema(schema) if declared.is_some_and(|all| all.contains(schema)) => return,
            Obstacle::Schema(schema) => format!("may not create in schema {schema}"),
            Obstacle::Wrapper => "may not use the foreign-data wrapper".to_owned(),
            Obstacle::Superuser => "is no superuser".to_owned(),
        };
        let [OwnedObject { kind, identity }, others @ ..] = objects else { return };
        let more =
            if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        let message = format!(
            "in database {}, {} {identity}{more} of role {from} cannot go to role {to}, which {why}",
            self.name,
            kind.to_lowercase()
        );
        let application = &self.database.application;
        let needs_superuser = *obstacle == Obstacle::Superuser;
        let change = |one: &&OwnedObject| {
            if needs_superuser {
                sql::take_ownership(&one.kind, &one.identity).redacted()
            } else {
                sql::change_object_owner(&one.kind, &one.identity, to).redacted()
            }
        };
        let statements: Vec<String> = objects.iter().map(change).collect();
        let statement = statements.join("; ");
        if needs_superuser || self.planner.observed.roles.contains_key(to) {
            let manual_fix = ManualFix { database: Some(self.name.clone()), sql: statement };
            self.planner.refuse_with_fix(application, message, "a superuser", manual_fix);
        } else {
            let remedy = format!(
                "create role {to} first, have a superuser run: {statement}; and take the role over with `adopt = true`"
            );
            self.planner.refuse(application, message, remedy);
        }
    }

    pub(super) fn reassign(&self, from: &RoleName, to: &RoleName) -> Vec<Statement> {
        let administrator = &self.planner.observed.administrator.name;
        let desired = &self.planner.desired.databases;
        // Those that the old owner has when this transaction runs: new ones are made, and of the others those
        // that come first have their owners.
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
        let there = &self.planner.observed.databases;
        let databases = there.keys().chain(desired.keys()).filter(|name| {
            *name != self.name && owner_then(name, there.get(name)).as_ref() == Some(from)
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
        statements.extend(sql::reassign_database_only(from, to, &temporary_owner, &shared));
        if !shared.is_empty() {
            statements.push(sql::drop_role(&temporary_owner));
        }
        statements
    }
}
