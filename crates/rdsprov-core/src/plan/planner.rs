//! Desired less observed: what is compared in which order, what becomes one transaction, and what the
//! administrator has the power to do. The rooms beside this one compare roles ([`super::roles`]),
//! databases ([`super::databases`]) and what is inside them ([`super::database`]).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::databases::DatabaseStatus;
use super::sql;
use super::{
    ExecuteAs, FORMAT_VERSION, ManualFix, MembershipOption, Plan, PlannedApplication, Refusal,
    Scope, SecretFindings, Step, Transaction, orphans,
};
use crate::desired::{self, Desired};
use crate::marker::Marker;
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName};
use crate::observed::{self, Contents, Observed, ProbeResult};

/// Carries the two states and collects what the comparison finds.
pub(super) struct Planner<'a> {
    pub desired: &'a Desired,
    pub observed: &'a Observed,
    pub findings: SecretFindings,
    pub deferred: Vec<String>,
    pub probes: RefCell<BTreeMap<DatabaseName, BTreeSet<String>>>,
    /// The groups of relations whose names a statement needs, by their numbers.
    pub named: BTreeSet<i64>,
    /// Whether what was not tried counts as refused, and not as allowed.
    assume_denied: bool,
}

/// Everything.
pub(super) fn plan(desired: &Desired, observed: &Observed, findings: SecretFindings) -> Plan {
    let mut planner = Planner::new(desired, observed, findings);
    let mut cluster = planner.roles();
    let mut new_databases = Vec::new();
    let mut inside = Vec::new();
    for (name, database) in &desired.databases {
        match planner.database(name, database) {
            DatabaseStatus::Absent { unfinished } => {
                if let Some(transaction) = planner.plan_new_database(name, database, unfinished) {
                    new_databases.push(transaction);
                    let steps = planner.plan_new_database_contents(name, database);
                    inside.extend(planner.transaction(Scope::Database(name.clone()), steps));
                }
            }
            DatabaseStatus::Present(seen) => {
                planner.plan_existing_database(name, database, seen, &mut cluster, &mut inside)
            }
            DatabaseStatus::Blocked => {}
        }
    }
    if let Some((name, role)) = desired.delegate() {
        planner.delegate(name, role, &mut cluster, &mut inside);
    }
    planner.plugin_databases(&mut cluster);
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
        observed: String::new(),
        server_major: observed.major(),
        orphaned: orphans::orphans(desired, observed),
        undeclared: orphans::undeclared(desired, observed),
        transactions,
        refusals: planner.findings.refusals,
        notes: planner.findings.notes,
        deferred: planner.deferred,
        applications,
        probes: planner.probes.into_inner(),
    }
}

/// The groups of relations in a database whose names the plan needs, by their numbers: of all others it
/// only needs to know how many they are.
pub fn required_relation_names(
    desired: &Desired,
    observed: &Observed,
    name: &DatabaseName,
    contents: &Contents,
) -> BTreeSet<i64> {
    let (Some(database), Some(seen)) = (desired.databases.get(name), observed.databases.get(name))
    else {
        return BTreeSet::new();
    };
    let mut planner = Planner::new(desired, observed, SecretFindings::default());
    // A refusal names what a statement for all of them would not have to.
    planner.assume_denied = true;
    planner.plan_database_contents(name, database, &seen.owner, contents);
    planner.named
}

impl<'a> Planner<'a> {
    pub fn new(desired: &'a Desired, observed: &'a Observed, findings: SecretFindings) -> Self {
        Self {
            desired,
            observed,
            findings,
            deferred: Vec::new(),
            probes: RefCell::default(),
            named: BTreeSet::new(),
            assume_denied: false,
        }
    }

    /// A database that is there. Where it gets another owner, all of that is one transaction inside it: a
    /// failure leaves it to the old one, with all that is in it.
    fn plan_existing_database(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        seen: &'a observed::Database,
        cluster: &mut Vec<Step>,
        inside: &mut Vec<Transaction>,
    ) {
        let changes_owner = database.owner.as_ref().is_some_and(|owner| *owner != seen.owner);
        let mut own = Vec::new();
        match &seen.contents {
            None if changes_owner => {
                self.grant_administrator_connect(name, database, seen, &mut own)
            }
            _ => self.plan_database_attributes(name, database, seen, &mut own),
        }
        let mut steps = Vec::new();
        let first =
            if changes_owner && seen.contents.is_some() { &mut steps } else { &mut *cluster };
        first.append(&mut own);
        self.settings(name, database, &seen.settings, cluster);
        match &seen.contents {
            Some(contents) => {
                steps.extend(self.plan_database_contents(name, database, &seen.owner, contents))
            }
            None => self.deferred.push(format!(
                "what is inside database {name}, which the administrator may not enter yet"
            )),
        }
        inside.extend(self.transaction(Scope::Database(name.clone()), steps));
    }

    pub fn refuse(&mut self, application: &ApplicationName, message: String, remedy: String) {
        self.findings.add_refusal(application, message, remedy, None);
    }

    /// A refusal that ends when somebody with more power has run a statement.
    pub fn refuse_with_fix(
        &mut self,
        application: &ApplicationName,
        message: String,
        executor: &str,
        manual_fix: ManualFix,
    ) {
        let place = manual_fix.database.as_ref().map(|d| format!(", in database {d}"));
        let remedy =
            format!("have {executor} run{}: {};", place.unwrap_or_default(), manual_fix.sql);
        self.findings.add_refusal(application, message, remedy, Some(manual_fix));
    }

    pub fn note(&mut self, note: String) {
        if !self.findings.notes.contains(&note) {
            self.findings.notes.push(note);
        }
    }

    /// A transaction of these steps, with the memberships that they need; none without steps.
    pub fn transaction(&self, scope: Scope, steps: Vec<Step>) -> Option<Transaction> {
        if steps.is_empty() {
            return None;
        }
        let mut memberships: BTreeMap<RoleName, MembershipOption> = BTreeMap::new();
        for (role, option) in steps.iter().flat_map(Step::memberships) {
            if !self.is_member_already(&role, option) {
                let needed = memberships.entry(role).or_insert(option);
                *needed = option.max(*needed);
            }
        }
        let administrator = &self.observed.administrator.name;
        let own = self.observed.roles.get(administrator).map(|role| role.memberships.as_slice());
        let memberships_to_restore = own
            .unwrap_or_default()
            .iter()
            .filter(|own| own.grantor == *administrator && memberships.contains_key(&own.role))
            .map(|own| (own.role.clone(), (own.inherit, own.set)))
            .collect();
        Some(Transaction { scope, before: None, memberships, memberships_to_restore, steps })
    }

    /// Whether the administrator needs no new membership to act as a role.
    pub fn is_member_already(&self, role: &RoleName, option: MembershipOption) -> bool {
        let administrator = &self.observed.administrator;
        administrator.superuser
            || *role == administrator.name
            || match option {
                MembershipOption::Set => self.reaches(role, |_, membership| membership.set),
                MembershipOption::Inherit => {
                    self.reaches(role, |_, membership| membership.set)
                        && self.reaches(role, |member, membership| {
                            membership.inherit && (self.observed.major() >= 16 || member.inherit)
                        })
                }
            }
    }

    /// Whether the administrator, as a member of a role, has its privileges without becoming it: up to 15, one
    /// with `NOINHERIT` has not.
    pub fn may_have_privileges_of(&self, role: &RoleName) -> bool {
        let administrator = &self.observed.administrator;
        *role == administrator.name || administrator.superuser || self.inherits(&administrator.name)
    }

    /// Refuses what takes the privileges of somebody that the administrator cannot have.
    pub fn refuse_without_inheritance(&mut self, application: &ApplicationName, role: &RoleName) {
        let administrator = self.observed.administrator.name.clone();
        self.refuse_with_fix(
            application,
            format!(
                "the administrator {administrator} has NOINHERIT: up to PostgreSQL 15 it cannot give away what belongs to role {role}"
            ),
            &format!("role {administrator} or a superuser"),
            ManualFix {
                database: None,
                sql: sql::alter_role(&administrator, &["INHERIT".to_owned()]).redacted(),
            },
        );
    }

    /// A role, and all whose privileges it has as their member. What a declared role is a member of ends
    /// with this plan.
    pub fn has_privileges_of(&self, role: &RoleName) -> BTreeSet<RoleName> {
        let old = self.observed.major() < 16;
        let inherits = |member: &observed::Role, membership: &observed::Membership| {
            if old { member.inherit } else { membership.inherit }
        };
        let mut found = self.memberships_from(role, inherits);
        found.insert(role.clone());
        found
    }

    /// Whether a role has what it has as the owner of its database without asking for it: up to 15, one with
    /// `NOINHERIT` has not. Declared roles are made to inherit.
    pub fn inherits(&self, role: &RoleName) -> bool {
        self.observed.major() >= 16
            || self.desired.roles.contains_key(role)
            || self.observed.roles.get(role).is_none_or(|seen| seen.inherit)
    }

    /// Whether memberships of one kind lead from the administrator to a role.
    fn reaches(
        &self,
        role: &RoleName,
        counts: impl Fn(&observed::Role, &observed::Membership) -> bool,
    ) -> bool {
        self.memberships_from(&self.observed.administrator.name, counts).contains(role)
    }

    /// The roles that memberships of one kind lead to from another. Those of declared roles count for
    /// nothing: they end with this plan.
    fn memberships_from(
        &self,
        from: &RoleName,
        counts: impl Fn(&observed::Role, &observed::Membership) -> bool,
    ) -> BTreeSet<RoleName> {
        let mut reached = BTreeSet::new();
        let mut next = vec![from];
        while let Some(name) = next.pop() {
            let Some(member) = self.observed.roles.get(name) else { continue };
            if self.desired.roles.contains_key(name) {
                continue;
            }
            for membership in member.memberships.iter().filter(|one| counts(member, one)) {
                if reached.insert(membership.role.clone()) {
                    next.push(&membership.role);
                }
            }
        }
        reached
    }

    /// Whether the administrator may alter and grant a role. To a member of `rds_superuser` RDS may
    /// allow more on 16 and later than the catalogs say: there the server is asked.
    pub fn can_administer(&self, role: &RoleName) -> bool {
        let administrator = &self.observed.administrator;
        if administrator.superuser {
            return true;
        }
        match self.observed.roles.get(role) {
            None => self.desired.roles.contains_key(role),
            Some(seen) if seen.superuser => false,
            // Membership cannot go in a circle (0LP01); a declared role loses its own first.
            Some(seen)
                if seen.is_member_of_administrator && !self.desired.roles.contains_key(role) =>
            {
                false
            }
            Some(seen)
                if seen.administrator_has_admin_option
                    || (self.observed.major() < 16 && administrator.create_role) =>
            {
                true
            }
            Some(_) => self.server_allows(&sql::grant_to_current_user(role)),
        }
    }

    /// Whether a statement that the catalogs speak against is allowed all the same: no, unless to a
    /// member of `rds_superuser`, and there what a trial has shown. Before the trial it is taken to be.
    pub fn server_allows(&self, statement: &str) -> bool {
        self.observed.administrator.rds_superuser && self.denial_reason(statement).is_none()
    }

    /// Why the server refused a statement that was tried; before the trial it is taken to be allowed.
    pub fn denial_reason(&self, statement: &str) -> Option<String> {
        self.denial_reason_in(&self.observed.admin_database, statement)
    }

    /// The same, in another database than the administrator's.
    pub fn denial_reason_in(&self, place: &DatabaseName, statement: &str) -> Option<String> {
        match self.observed.probe_results.get(place).and_then(|answers| answers.get(statement)) {
            Some(ProbeResult::Denied(reason)) => Some(reason.clone()),
            Some(ProbeResult::Allowed) => None,
            None if self.assume_denied => Some("not tried".to_owned()),
            None => {
                let mut questions = self.probes.borrow_mut();
                questions.entry(place.clone()).or_default().insert(statement.to_owned());
                None
            }
        }
    }

    pub fn refuse_without_admin_option(&mut self, application: &ApplicationName, role: &RoleName) {
        if self.observed.roles.get(role).is_some_and(|seen| seen.superuser) {
            // That is refused for itself, and power over it comes with the end of it.
            return;
        }
        let administrator = self.observed.administrator.name.clone();
        self.refuse_with_fix(
            application,
            format!("the administrator {administrator} has no power over role {role}"),
            "the role's creator or a superuser",
            ManualFix {
                database: None,
                sql: sql::grant_admin_option(role, &administrator).redacted(),
            },
        );
    }

    /// How to act as a role, or nothing where that is not to be had.
    pub fn act_as(&self, role: &RoleName) -> Option<ExecuteAs> {
        if role == &self.observed.administrator.name {
            Some(ExecuteAs::Administrator)
        } else if self.is_member_already(role, MembershipOption::Set) || self.can_administer(role) {
            Some(ExecuteAs::Role(role.clone()))
        } else {
            None
        }
    }

    pub fn marker(&self, application: &ApplicationName, name: &str) -> Marker {
        Marker {
            environment: self.desired.environment.clone(),
            application: application.to_string(),
            name: name.to_owned(),
        }
    }

    /// Whether something that exists may be managed: it is already (false), or is adopted (true).
    pub fn check_adoption(
        &mut self,
        application: &ApplicationName,
        what: &str,
        marker: Option<Marker>,
        adopt: bool,
    ) -> Option<bool> {
        match marker {
            Some(marker) if marker.environment == self.desired.environment => Some(false),
            Some(marker) => {
                self.refuse(
                    application,
                    format!("{what} is managed from environment {:?}", marker.environment),
                    format!("choose another name, or remove the mark from its comment if {:?} has given it up", marker.environment),
                );
                None
            }
            None if adopt => Some(true),
            None => {
                self.refuse(
                    application,
                    format!("{what} exists and is not managed by rdsprov"),
                    if *application == ApplicationName::for_administrators() {
                        "choose another name, or take it over with --adopt".to_owned()
                    } else {
                        "choose another name, or set `adopt = true` on the application to take it over"
                            .to_owned()
                    },
                );
                None
            }
        }
    }

    /// The application that a change for a role belongs to.
    pub fn application_for<'b>(
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

impl SecretFindings {
    pub(super) fn add_refusal(
        &mut self,
        application: &ApplicationName,
        message: String,
        remedy: String,
        manual_fix: Option<ManualFix>,
    ) {
        let refusal = Refusal { application: application.clone(), message, remedy, manual_fix };
        if !self.refusals.contains(&refusal) {
            self.refusals.push(refusal);
        }
    }
}

/// Schema `public`.
pub(super) fn is_public(schema: &SchemaName) -> bool {
    schema.as_str() == "public"
}
