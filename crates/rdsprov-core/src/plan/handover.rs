//! What becomes of a database's objects when it gets another owner.

use std::collections::{BTreeMap, BTreeSet};

use super::acl::with_owner;
use super::inside::Inside;
use super::sql::{self, Statement};
use super::{Acting, Action, Hazard, MembershipOption, Opening, Step};
use crate::name::{DatabaseName, RoleName, SchemaName};
use crate::observed::{self, AclItem, Contents, KeptBack};

/// The contents after all that one role owns has gone to another; what belongs to an extension goes along only
/// with `REASSIGN OWNED`.
pub(super) fn with_another_owner(
    contents: &Contents,
    from: &RoleName,
    to: &RoleName,
    one_by_one: bool,
) -> Contents {
    let mut contents = contents.clone();
    let hand_over = |owner: &mut RoleName, acl: &mut Vec<AclItem>| {
        if owner == from {
            *acl = with_owner(acl, from, to);
            owner.clone_from(to);
        }
    };
    for schema in contents.schemas.values_mut() {
        hand_over(&mut schema.owner, &mut schema.acl);
        for group in schema.relations.iter_mut().filter(|one| !(one_by_one && one.of_extension)) {
            hand_over(&mut group.owner, &mut group.acl);
        }
        for columns in schema.columns.iter_mut().filter(|one| !(one_by_one && one.of_extension)) {
            hand_over(&mut columns.owner, &mut columns.acl);
        }
    }
    for object in &mut contents.objects {
        hand_over(&mut object.owner, &mut object.acl);
    }
    contents
}

impl Inside<'_, '_> {
    /// What the old owner has in the database goes to the new one. `REASSIGN OWNED` would also move the
    /// other databases of the old owner: a role that is made for it keeps them for as long as the
    /// transaction lasts.
    pub(super) fn hand_over(&mut self, from: &RoleName, contents: &Contents) {
        let to = self.owner.clone();
        let mut kept_back: BTreeMap<Option<&SchemaName>, Vec<&KeptBack>> = BTreeMap::new();
        for object in &contents.kept_back {
            kept_back.entry(object.schema.as_ref()).or_default().push(object);
        }
        for (schema, objects) in kept_back {
            self.refuse_kept_back(from, &to, schema, &objects);
        }
        let statements = if *from == self.planner.observed.administrator.name {
            contents
                .of_administrator
                .iter()
                .map(|object| sql::change_object_owner(&object.kind, &object.identity, &to))
                .collect()
        } else {
            self.reassign(from, &to)
        };
        if statements.is_empty() {
            return;
        }
        let borrowed =
            [from, &to].map(|role| (role.clone(), MembershipOption::Inherit)).into_iter().collect();
        self.steps.push(Step {
            action: Action::ReassignOwned,
            application: self.database.application.clone(),
            role: Some(to.clone()),
            database: Some(self.name.clone()),
            summary: format!("what {from} owns in database {} goes to {to}", self.name),
            acting: Acting::Administrator,
            borrowed,
            passages: Vec::new(),
            statements,
            hazards: BTreeSet::from([Hazard::ChangesOwner]),
        });
    }

    fn refuse_kept_back(
        &mut self,
        from: &RoleName,
        to: &RoleName,
        schema: Option<&SchemaName>,
        objects: &[&KeptBack],
    ) {
        let declared = self.database.of_owner();
        let why = match schema {
            // What its entry declares, it will be able to create in.
            Some(schema) if declared.is_some_and(|all| all.contains(schema)) => return,
            Some(schema) => format!("may not create in schema {schema}"),
            None => "may not use the foreign-data wrapper".to_owned(),
        };
        let [KeptBack { kind, identity, .. }, others @ ..] = objects else { return };
        let more =
            if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        let message = format!(
            "in database {}, {} {identity}{more} of role {from} cannot go to role {to}, which {why}",
            self.name,
            kind.to_lowercase()
        );
        let application = &self.database.application;
        let statements: Vec<String> = objects
            .iter()
            .map(|one| sql::change_object_owner(&one.kind, &one.identity, to).shown())
            .collect();
        let statement = statements.join("; ");
        if self.planner.observed.roles.contains_key(to) {
            let opens = Opening { database: Some(self.name.clone()), statement };
            self.planner.refuse_until(application, message, "a superuser", opens);
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
        let others: BTreeSet<&DatabaseName> = there
            .keys()
            .chain(desired.keys())
            .filter(|name| {
                *name != self.name && owner_then(name, there.get(name)).as_ref() == Some(from)
            })
            .collect();
        let guard = sql::owns_just(from, &others);
        let reassign = sql::reassign_owned(from, to);
        if others.is_empty() {
            return vec![guard, reassign];
        }
        // A role that holds nothing, so that no two entries of an ACL melt into one on the way.
        let keeper = self.keeper();
        let mut statements = vec![guard];
        statements.extend(sql::create_keeper(&keeper, self.planner.observed.major()));
        statements.extend(others.iter().map(|other| sql::change_owner(other, &keeper)));
        statements.push(reassign);
        statements.extend(others.iter().map(|other| sql::change_owner(other, from)));
        statements.push(sql::drop_role(&keeper));
        statements
    }

    /// The name of a role that there is not, for who keeps databases while a transaction lasts.
    fn keeper(&self) -> RoleName {
        let (desired, observed) = (&self.planner.desired.roles, &self.planner.observed.roles);
        let mut name = RoleName::observed("rdsprov_keeper");
        while observed.contains_key(&name) || desired.contains_key(&name) {
            name = RoleName::observed(format!("{name}_"));
        }
        name
    }
}
