//! Desired less observed: what the roles and databases need. What is inside a database is compared in
//! [`super::relations`].

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::sql::{self, Statement, Target};
use super::{
    Acting, Action, FORMAT_VERSION, Findings, Hazard, Orphan, Plan, PlannedApplication, Refusal,
    Scope, Step, Transaction, acl,
};
use crate::access::{self, Privilege, Privileges};
use crate::desired::{self, Desired};
use crate::mark::Mark;
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::observed::{self, Login, Membership, Observed, Trial};
use crate::setting::Parameter;

/// Carries the two states and collects what the comparison finds.
pub(super) struct Planner<'a> {
    pub desired: &'a Desired,
    pub observed: &'a Observed,
    pub findings: Findings,
    pub unseen: Vec<String>,
    pub open_questions: RefCell<BTreeSet<String>>,
}

/// Everything.
pub(super) fn plan(desired: &Desired, observed: &Observed, findings: Findings) -> Plan {
    let mut planner = Planner {
        desired,
        observed,
        findings,
        unseen: Vec::new(),
        open_questions: RefCell::default(),
    };
    let mut cluster = Vec::new();
    for (name, role) in &desired.roles {
        planner.role(name, role, &mut cluster);
    }
    let mut new_databases = Vec::new();
    let mut inside = Vec::new();
    for (name, database) in &desired.databases {
        match planner.database(name, database) {
            Found::Missing { unfinished } => {
                if let Some(transaction) = planner.new_database(name, database, unfinished) {
                    new_databases.push(transaction);
                    let steps = planner.inside_new(name, database);
                    inside.extend(planner.transaction(Scope::Database(name.clone()), steps));
                }
            }
            Found::There(seen) => {
                planner.database_itself(name, database, seen, &mut cluster);
                planner.settings(name, database, &seen.settings, &mut cluster);
                if let Some(contents) = &seen.contents {
                    let steps = planner.inside(name, database, &seen.owner, contents);
                    inside.extend(planner.transaction(Scope::Database(name.clone()), steps));
                } else {
                    planner.unseen.push(format!(
                        "what is inside database {name}, which the administrator may not enter yet"
                    ));
                }
            }
            Found::Refused => {}
        }
    }
    let mut transactions: Vec<Transaction> =
        planner.transaction(Scope::Cluster, cluster).into_iter().collect();
    transactions.extend(new_databases);
    transactions.extend(inside);
    let applications = desired
        .databases
        .iter()
        .flat_map(|(database, entry)| {
            entry.access.iter().map(|(role, access)| PlannedApplication {
                application: access.application.clone(),
                database: database.clone(),
                role: role.clone(),
            })
        })
        .collect();
    Plan {
        format_version: FORMAT_VERSION,
        environment: desired.environment.clone(),
        digest: String::new(),
        server_major: observed.major(),
        orphaned: orphans(desired, observed),
        transactions,
        refusals: planner.findings.refusals,
        notes: planner.findings.notes,
        unseen: planner.unseen,
        applications,
        open_questions: planner.open_questions.into_inner(),
    }
}

/// What became of a declared database.
enum Found<'a> {
    Missing { unfinished: bool },
    There(&'a observed::Database),
    Refused,
}

impl<'a> Planner<'a> {
    pub fn refuse(&mut self, application: &ApplicationName, message: String, remedy: String) {
        let refusal = Refusal { application: application.clone(), message, remedy };
        if !self.findings.refusals.contains(&refusal) {
            self.findings.refusals.push(refusal);
        }
    }

    /// A transaction of these steps, with the memberships that they need; none without steps.
    fn transaction(&self, scope: Scope, steps: Vec<Step>) -> Option<Transaction> {
        if steps.is_empty() {
            return None;
        }
        let memberships = steps
            .iter()
            .filter_map(|step| match &step.acting {
                Acting::Role(role) if !self.assumable_already(role) => Some(role.clone()),
                _ => None,
            })
            .collect();
        Some(Transaction { scope, before: None, memberships, steps })
    }

    fn assumable_already(&self, role: &RoleName) -> bool {
        self.observed.administrator.superuser
            || self.observed.roles.get(role).is_some_and(|seen| seen.assumable)
    }

    /// Whether the administrator may alter and grant a role. To a member of `rds_superuser` RDS may
    /// allow more on 16 and later than the catalogs say: there the server is asked.
    fn has_power_over(&self, role: &RoleName) -> bool {
        let administrator = &self.observed.administrator;
        if administrator.superuser {
            return true;
        }
        match self.observed.roles.get(role) {
            None => self.desired.roles.contains_key(role),
            Some(seen) if seen.superuser => false,
            Some(seen)
                if seen.administrable
                    || (self.observed.major() < 16 && administrator.create_role) =>
            {
                true
            }
            Some(_) => self.server_allows(&sql::grant_to_oneself(role)),
        }
    }

    /// Whether a statement that the catalogs speak against is allowed all the same: no, unless to a
    /// member of `rds_superuser`, and there what a trial has shown. Before the trial it is taken to be.
    fn server_allows(&self, statement: &str) -> bool {
        if !self.observed.administrator.rds_superuser {
            return false;
        }
        self.trial(statement).is_none()
    }

    /// Why the server refused a statement that was tried; before the trial it is taken to be allowed.
    fn trial(&self, statement: &str) -> Option<String> {
        match self.observed.trials.get(statement) {
            Some(Trial::Refused(reason)) => Some(reason.clone()),
            Some(Trial::Allowed) => None,
            None => {
                self.open_questions.borrow_mut().insert(statement.to_owned());
                None
            }
        }
    }

    /// What differs in the settings of the declared roles in a database.
    fn settings(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        seen: &BTreeMap<RoleName, BTreeMap<Parameter, String>>,
        steps: &mut Vec<Step>,
    ) {
        let none = BTreeMap::new();
        for role in self.desired.roles.keys() {
            let access = database.access.get(role);
            let wanted = access.map_or(&none, |access| &access.settings);
            let held = seen.get(role).unwrap_or(&none);
            let application = self.application_of(role, database).clone();
            let mut changes = Vec::new();
            for (parameter, value) in wanted {
                if held.get(parameter).is_some_and(|held| parameter.same(held, value)) {
                    continue;
                }
                let tried = sql::set_parameter(None, &self.observed.home, parameter, Some(value));
                if let Some(reason) = self.trial(&tried.shown()) {
                    self.refuse(
                        &application,
                        format!("{parameter} = {value:?} cannot be set for role {role} in database {name}: {reason}"),
                        "correct or remove it from the application's `settings`".to_owned(),
                    );
                    continue;
                }
                changes.push((parameter, Some(value)));
            }
            changes
                .extend(held.keys().filter(|held| !wanted.contains_key(held)).map(|p| (p, None)));
            if !changes.is_empty() && !self.has_power_over(role) {
                self.refuse_powerless(&application, role);
                continue;
            }
            steps.extend(changes.into_iter().map(|(parameter, value)| Step {
                action: Action::SetParameter,
                application: application.clone(),
                role: Some(role.clone()),
                database: Some(name.clone()),
                summary: match value {
                    Some(value) => format!("{parameter} = {value:?} for {role} in database {name}"),
                    None => format!("{parameter} for {role} in database {name}: not set any more"),
                },
                acting: Acting::Administrator,
                statements: vec![sql::set_parameter(Some(role), name, parameter, value)],
                hazards: BTreeSet::new(),
            }));
        }
    }

    fn refuse_powerless(&mut self, application: &ApplicationName, role: &RoleName) {
        let administrator = self.observed.administrator.name.clone();
        self.refuse(
            application,
            format!("the administrator {administrator} has no power over role {role}"),
            format!(
                "have the role's creator or a superuser run: GRANT {} TO {} WITH ADMIN OPTION;",
                role.quoted(),
                administrator.quoted()
            ),
        );
    }

    /// Whether the administrator may take a role out of a group.
    fn may_revoke(&self, membership: &Membership, statement: &Statement) -> bool {
        let administrator = &self.observed.administrator;
        let group = self.observed.roles.get(&membership.role);
        administrator.superuser
            || if self.observed.major() >= 16 {
                membership.grantor == administrator.name
            } else {
                administrator.create_role && group.is_none_or(|group| !group.superuser)
            }
            || self.server_allows(&statement.shown())
    }

    /// How to act as a role, or nothing where that is not to be had.
    pub fn act_as(&self, role: &RoleName) -> Option<Acting> {
        if role == &self.observed.administrator.name {
            Some(Acting::Administrator)
        } else if self.assumable_already(role) || self.has_power_over(role) {
            Some(Acting::Role(role.clone()))
        } else {
            None
        }
    }

    fn mark(&self, application: &ApplicationName) -> Mark {
        Mark { environment: self.desired.environment.clone(), application: application.to_string() }
    }

    /// Whether something that exists may be managed: it is already (false), or is adopted (true).
    fn takeover(
        &mut self,
        application: &ApplicationName,
        what: &str,
        mark: Option<Mark>,
        adopt: bool,
    ) -> Option<bool> {
        match mark {
            Some(mark) if mark.environment == self.desired.environment => Some(false),
            Some(mark) => {
                self.refuse(
                    application,
                    format!("{what} is managed from environment {:?}", mark.environment),
                    format!("choose another name, or remove the mark from its comment if {:?} has given it up", mark.environment),
                );
                None
            }
            None if adopt => Some(true),
            None => {
                self.refuse(
                    application,
                    format!("{what} exists and is not managed by rdsprov"),
                    "choose another name, or set `adopt = true` on the application to take it over"
                        .to_owned(),
                );
                None
            }
        }
    }

    fn role(&mut self, name: &RoleName, role: &desired::Role, steps: &mut Vec<Step>) {
        let step = |action, summary: String, statements, hazards: &[Hazard]| Step {
            action,
            application: role.application.clone(),
            role: Some(name.clone()),
            database: None,
            summary,
            acting: Acting::Administrator,
            statements,
            hazards: hazards.iter().copied().collect(),
        };
        if *name == self.observed.administrator.name {
            self.refuse(
                &role.application,
                format!("role {name} is the administrator itself"),
                "give the application a role of its own".to_owned(),
            );
            return;
        }
        let Some(seen) = self.observed.roles.get(name) else {
            let mut attributes = vec!["LOGIN".to_owned()];
            if role.create_database {
                attributes.push("CREATEDB".to_owned());
            }
            if role.connection_limit != -1 {
                attributes.push(format!("CONNECTION LIMIT {}", role.connection_limit));
            }
            steps.push(step(
                Action::CreateRole,
                format!("role {name}: {}, password from {}", attributes.join(" "), role.secret),
                vec![
                    sql::create_role(name, &role.secret, &attributes),
                    sql::mark_role(name, None, self.mark(&role.application)),
                ],
                &[],
            ));
            return;
        };
        if seen.superuser || seen.replication || seen.bypass_rls {
            let held = [
                (seen.superuser, "SUPERUSER", "NOSUPERUSER"),
                (seen.replication, "REPLICATION", "NOREPLICATION"),
                (seen.bypass_rls, "BYPASSRLS", "NOBYPASSRLS"),
            ];
            let has: Vec<&str> = held.iter().filter(|h| h.0).map(|h| h.1).collect();
            let not: Vec<&str> = held.iter().filter(|h| h.0).map(|h| h.2).collect();
            self.refuse(
                &role.application,
                format!(
                    "role {name} has {}, which an application's role may not have",
                    has.join(" and ")
                ),
                format!("have a superuser run: ALTER ROLE {} {};", name.quoted(), not.join(" ")),
            );
            return;
        }
        let Some(adopts) =
            self.takeover(&role.application, &format!("role {name}"), seen.mark(), role.adopt)
        else {
            return;
        };
        let before = steps.len();
        if adopts {
            let mark = self.mark(&role.application);
            steps.push(step(
                Action::Adopt,
                format!("role {name}"),
                vec![sql::mark_role(name, seen.comment.clone(), mark)],
                &[Hazard::Adopts],
            ));
        }
        let mut attributes = Vec::new();
        let mut attribute = |differs: bool, text: &str| {
            if differs {
                attributes.push(text.to_owned());
            }
        };
        let loses_createdb = seen.create_database && !role.create_database;
        attribute(!seen.login, "LOGIN");
        attribute(seen.create_role, "NOCREATEROLE");
        attribute(loses_createdb, "NOCREATEDB");
        attribute(!seen.create_database && role.create_database, "CREATEDB");
        attribute(
            seen.connection_limit != role.connection_limit,
            &format!("CONNECTION LIMIT {}", role.connection_limit),
        );
        attribute(seen.valid_until.is_some(), "VALID UNTIL 'infinity'");
        if !attributes.is_empty() {
            let hazards: &[Hazard] =
                if seen.create_role || loses_createdb { &[Hazard::RevokesAccess] } else { &[] };
            steps.push(step(
                Action::AlterRole,
                format!("role {name}: {}", attributes.join(" ")),
                vec![sql::alter_role(name, &attributes)],
                hazards,
            ));
        }
        match self.observed.logins.get(name) {
            Some(Login::WrongPassword) => steps.push(step(
                Action::SetPassword,
                format!("role {name}, password from {}", role.secret),
                vec![sql::set_password(name, &role.secret)],
                &[Hazard::ResetsPassword],
            )),
            Some(Login::Inconclusive(reason)) => self.findings.notes.push(format!(
                "the password of role {name} could not be checked and is left as it is: {reason}"
            )),
            None if !seen.login || seen.expired => self.unseen.push(format!(
                "whether the password of role {name} is right: it cannot log in yet"
            )),
            Some(Login::Accepted) | None => {}
        }
        for membership in &seen.memberships {
            // 14 and 15 know one grant of a membership only, whoever made it.
            let grantor = (self.observed.major() >= 16
                && membership.grantor != self.observed.administrator.name)
                .then_some(&membership.grantor);
            let statement = sql::revoke_membership(&membership.role, name, grantor);
            if self.may_revoke(membership, &statement) {
                steps.push(step(
                    Action::Revoke,
                    format!("membership of role {name} in {}", membership.role),
                    vec![statement],
                    &[Hazard::RevokesAccess],
                ));
            } else {
                self.refuse(
                    &role.application,
                    format!(
                        "role {name} is a member of {}, granted by {}, which is not declared and which the administrator may not revoke",
                        membership.role, membership.grantor
                    ),
                    format!("have {} or a superuser run: {};", membership.grantor, statement.shown()),
                );
            }
        }
        if steps.len() > before && !self.has_power_over(name) {
            steps.truncate(before);
            self.refuse_powerless(&role.application, name);
        }
    }

    fn database(&mut self, name: &DatabaseName, database: &desired::Database) -> Found<'a> {
        let application = &database.application;
        if *name == self.observed.home {
            self.refuse(
                application,
                format!("database {name} is the administrator's own"),
                "give the application a database of its own".to_owned(),
            );
            return Found::Refused;
        }
        let Some(seen) = self.observed.databases.get(name) else {
            return Found::Missing { unfinished: false };
        };
        // What a run leaves that was stopped between CREATE DATABASE and the transaction behind it.
        if seen.owner == self.observed.administrator.name
            && !seen.allow_connections
            && seen.comment.is_none()
        {
            return Found::Missing { unfinished: true };
        }
        if self
            .takeover(application, &format!("database {name}"), seen.mark(), database.adopt)
            .is_none()
        {
            return Found::Refused;
        }
        if let Some(owner) = database.owner.as_ref().filter(|owner| **owner != seen.owner) {
            self.refuse(
                application,
                format!("database {name} belongs to role {}, the definitions say {owner}", seen.owner),
                format!(
                    "name the present owner in the definitions, or have it run: ALTER DATABASE {} OWNER TO {};",
                    name.quoted(),
                    owner.quoted()
                ),
            );
            return Found::Refused;
        }
        if self.act_as(&seen.owner).is_none() {
            self.refuse(
                application,
                format!(
                    "the administrator cannot act as role {}, the owner of database {name}",
                    seen.owner
                ),
                format!(
                    "have a superuser run: GRANT {} TO {};",
                    seen.owner.quoted(),
                    self.observed.administrator.name.quoted()
                ),
            );
            return Found::Refused;
        }
        Found::There(seen)
    }

    /// The way of a new database into the world: closed, marked, granted, handed over, opened.
    fn new_database(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        unfinished: bool,
    ) -> Option<Transaction> {
        let Some(owner) = &database.owner else {
            self.refuse(
                &database.application,
                format!("database {name} does not exist and no application declares its owner"),
                format!("declare an application with `database_name = \"{name}\"` and `access_level = \"owner\"`"),
            );
            return None;
        };
        // Where nobody can act as the owner, the role itself is refused already, with the reason.
        self.act_as(owner)?;
        let target = Target::Database(name.clone());
        let step = |action,
                    application: &ApplicationName,
                    role: &RoleName,
                    summary,
                    acting,
                    statements| Step {
            action,
            application: application.clone(),
            role: Some(role.clone()),
            database: Some(name.clone()),
            summary,
            acting,
            statements,
            hazards: BTreeSet::new(),
        };
        let application = &database.application;
        let mut steps = vec![step(
            Action::CreateDatabase,
            application,
            owner,
            format!("database {name}, closed to PUBLIC"),
            Acting::Administrator,
            vec![sql::close_database(name), sql::mark_database(name, None, self.mark(application))],
        )];
        for (role, access) in &database.access {
            let privileges = access::on_database(access.level);
            if !privileges.is_empty() {
                steps.push(step(
                    Action::Grant,
                    &access.application,
                    role,
                    granted_words(&privileges, &target, role),
                    Acting::Administrator,
                    vec![sql::grant(&privileges, &target, role)],
                ));
            }
        }
        self.settings(name, database, &BTreeMap::new(), &mut steps);
        steps.push(step(
            Action::AlterDatabase,
            application,
            owner,
            format!("database {name}: owner {owner}"),
            Acting::Administrator,
            vec![sql::change_owner(name, owner)],
        ));
        let connect = Privileges::from([Privilege::Connect]);
        steps.push(step(
            Action::AlterDatabase,
            application,
            owner,
            format!("database {name}: open to its owner and the administrator"),
            Acting::Role(owner.clone()),
            vec![
                sql::grant(&connect, &target, &self.observed.administrator.name),
                sql::open_database(name),
            ],
        ));
        let mut transaction = self.transaction(Scope::NewDatabase(name.clone()), steps)?;
        transaction.before = (!unfinished).then(|| sql::create_database(name));
        Some(transaction)
    }

    /// Mark and ACL of a database that exists.
    fn database_itself(
        &self,
        name: &DatabaseName,
        database: &desired::Database,
        seen: &observed::Database,
        steps: &mut Vec<Step>,
    ) {
        let Some(acting) = self.act_as(&seen.owner) else { return };
        let target = Target::Database(name.clone());
        let step = |action,
                    application: &ApplicationName,
                    role: Option<&RoleName>,
                    acting: &Acting,
                    summary,
                    statement,
                    hazards: &[Hazard]| Step {
            action,
            application: application.clone(),
            role: role.cloned(),
            database: Some(name.clone()),
            summary,
            acting: acting.clone(),
            statements: vec![statement],
            hazards: hazards.iter().copied().collect(),
        };
        let application = &database.application;
        if seen.mark().is_none() {
            steps.push(step(
                Action::Adopt,
                application,
                database.owner.as_ref(),
                &acting,
                format!("database {name}"),
                sql::mark_database(name, seen.comment.clone(), self.mark(application)),
                &[Hazard::Adopts],
            ));
        }
        if !seen.allow_connections {
            steps.push(step(
                Action::AlterDatabase,
                application,
                database.owner.as_ref(),
                &acting,
                format!("database {name}: open to those who may connect"),
                sql::open_database(name),
                &[],
            ));
        }
        let administrator = &self.observed.administrator;
        let mut wanted: BTreeMap<RoleName, Privileges> = database
            .access
            .iter()
            .filter(|(role, _)| **role != seen.owner)
            .map(|(role, access)| (role.clone(), access::on_database(access.level)))
            .collect();
        if administrator.name != seen.owner && !administrator.superuser {
            wanted.insert(administrator.name.clone(), Privileges::from([Privilege::Connect]));
        }
        let difference = acl::diff(&seen.acl, &wanted, |role| {
            self.desired.roles.contains_key(role) && *role != seen.owner
        });
        for (role, privileges) in &difference.grant {
            let for_application = self.application_of(role, database);
            steps.push(step(
                Action::Grant,
                for_application,
                Some(role),
                &acting,
                granted_words(privileges, &target, role),
                sql::grant(privileges, &target, role),
                &[],
            ));
        }
        for ((role, grantor), privileges) in &difference.revoke {
            let Some(acting) = self.act_as(grantor) else { continue };
            steps.push(step(
                Action::Revoke,
                self.application_of(role, database),
                Some(role),
                &acting,
                revoked_words(privileges, &target, &role.to_string()),
                sql::revoke(privileges, &target, Some(role)),
                &[Hazard::RevokesAccess],
            ));
        }
        for ((role, grantor), privileges) in &difference.revoke_grant_option {
            let Some(acting) = self.act_as(grantor) else { continue };
            steps.push(step(
                Action::Revoke,
                self.application_of(role, database),
                Some(role),
                &acting,
                format!(
                    "grant option for {}",
                    revoked_words(privileges, &target, &role.to_string())
                ),
                sql::revoke_grant_option(privileges, &target, role),
                &[Hazard::RevokesAccess],
            ));
        }
        for (grantor, privileges) in acl::held_by_public(&seen.acl) {
            let Some(acting) = self.act_as(&grantor) else { continue };
            steps.push(step(
                Action::Revoke,
                application,
                None,
                &acting,
                revoked_words(&privileges, &target, "PUBLIC"),
                sql::revoke(&privileges, &target, None),
                &[Hazard::ClosesToPublic],
            ));
        }
    }

    /// The application that a change for a role belongs to.
    pub fn application_of<'b>(
        &'b self,
        role: &RoleName,
        database: &'b desired::Database,
    ) -> &'b ApplicationName {
        database
            .access
            .get(role)
            .map(|access| &access.application)
            .or_else(|| self.desired.roles.get(role).map(|role| &role.application))
            .unwrap_or(&database.application)
    }
}

pub(super) fn granted_words(privileges: &Privileges, target: &Target, role: &RoleName) -> String {
    let list: Vec<String> = privileges.iter().map(ToString::to_string).collect();
    format!("{} on {} to {role}", list.join(", "), target.words())
}

pub(super) fn revoked_words(privileges: &Privileges, target: &Target, grantee: &str) -> String {
    let list: Vec<String> = privileges.iter().map(ToString::to_string).collect();
    format!("{} on {} from {grantee}", list.join(", "), target.words())
}

fn orphans(desired: &Desired, observed: &Observed) -> Vec<Orphan> {
    let of = |kind, name: &str, mark: Option<Mark>, declared: bool| {
        mark.filter(|mark| !declared && mark.environment == desired.environment)
            .map(|mark| Orphan { kind, name: name.to_owned(), application: mark.application })
    };
    let roles = observed.roles.iter().filter_map(|(name, role)| {
        of("role", name.as_str(), role.mark(), desired.roles.contains_key(name))
    });
    let databases = observed.databases.iter().filter_map(|(name, database)| {
        of("database", name.as_str(), database.mark(), desired.databases.contains_key(name))
    });
    roles.chain(databases).collect()
}
