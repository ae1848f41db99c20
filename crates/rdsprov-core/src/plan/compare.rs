//! The order of the comparison: roles, then each database, then what delegates and plugins need.

use std::collections::BTreeSet;

use super::authority::AdministratorAttribute;
use super::databases::DatabaseStatus;
use super::environments;
use super::orphans;
use super::pending;
use super::planner::Planner;
use super::{Plan, PlannedApplication, Scope, SecretFindings, Step, Transaction};
use super::{RefusalKind, retire, scopes, sql, widening};
use crate::desired::{self, Desired};
use crate::name::{DatabaseName, RoleName};
use crate::observed::{self, Contents, Observed};
use crate::probe::Probe;

/// The changes, by the place where they are made.
#[derive(Default)]
struct Changes {
    /// The steps on roles and databases, in one transaction. Those that follow the logins are in a
    /// second one.
    cluster: Vec<Step>,
    /// One transaction for each database that is created.
    new_databases: Vec<Transaction>,
    /// The transactions inside databases.
    inside: Vec<Transaction>,
}

impl Plan {
    /// Compares the desired with the observed state. The plan contains the refusals and notes of
    /// `findings` (see [`crate::secrets`]) and its own.
    #[must_use]
    pub fn new(desired: &Desired, observed: &Observed, findings: SecretFindings) -> Self {
        let declared = desired;
        let desired = &*retire::with_orphans(declared, observed);
        let mut planner = Planner::new(desired, observed, findings);
        planner.refuse_uncounted_orphans();
        planner.note_nothing_to_retire();
        let mut changes = Changes { cluster: planner.roles(), ..Changes::default() };
        let dropped = planner.dropped_databases();
        planner.note_left_by_teardown(&dropped);
        for (name, database) in desired.selected_databases() {
            if dropped.contains(name) || planner.is_out_of_reach(name, database) {
                continue;
            }
            let before = planner.count_findings();
            match planner.database(name, database) {
                DatabaseStatus::Absent => {
                    planner.new_database(name, database, None, &mut changes);
                }
                DatabaseStatus::Unfinished(seen) => {
                    planner.new_database(name, database, Some(seen), &mut changes);
                }
                DatabaseStatus::Present(seen) => {
                    planner.existing_database(name, database, seen, &mut changes);
                    planner.undeclared_access(name, database, seen);
                }
                DatabaseStatus::Blocked => {}
            }
            planner.retain_findings(&before, name, database);
        }
        if let Some((name, role)) = desired.delegate() {
            planner.delegate(name, role, &mut changes.cluster, &mut changes.inside);
        }
        planner.plugin_databases(&mut changes.cluster);
        planner.note_unreadable_databases();

        let (after_logins, cluster): (Vec<_>, Vec<_>) =
            changes.cluster.into_iter().partition(|step| step.after_logins);
        let mut transactions: Vec<Transaction> = [cluster, after_logins]
            .into_iter()
            .filter_map(|steps| planner.transaction(Scope::Cluster, steps))
            .collect();
        transactions.extend(changes.new_databases);
        transactions.extend(changes.inside);
        transactions.extend(planner.delete_secrets());
        transactions.extend(planner.drops(&dropped));
        widening::mark(desired, observed, planner.recorded(), &mut transactions);
        if let Some(note) = environments::mark(desired, observed, &mut transactions) {
            planner.note(note);
        }
        scopes::mark(desired, observed, planner.recorded(), &mut transactions);
        let pending = match desired.additive {
            true => pending::remove_pending(&mut transactions),
            false => Vec::new(),
        };
        planner.check_blue_green(&mut transactions);
        planner.audit(&mut transactions);
        let (orphaned, in_other_scopes) = orphans::orphans(desired, observed, planner.recorded());
        let steps = transactions.iter().flat_map(|transaction| &transaction.steps);
        planner.note_drift(steps.chain(&pending));
        let mut plan = planner.into_plan(transactions, pending);
        plan.orphaned = orphaned;
        plan.in_other_scopes = in_other_scopes;
        plan.undeclared_databases = orphans::undeclared_databases(desired, observed);
        plan.applications = applications(desired);
        // A retired role that is not declared can have privileges in each managed database.
        let touched: BTreeSet<_> = plan.steps().map(|step| (&step.role, &step.database)).collect();
        let is_touched = |one: &PlannedApplication| {
            declared.roles.contains_key(&one.role)
                || dropped.contains(&one.database)
                || touched.contains(&(&Some(one.role.clone()), &Some(one.database.clone())))
        };
        let applications = plan.applications.iter().filter(|one| is_touched(one));
        plan.applications = applications.cloned().collect();
        plan
    }
}

fn applications(desired: &Desired) -> Vec<PlannedApplication> {
    let by_database = desired.databases.iter().flat_map(|(database, entry)| {
        entry.access.iter().map(|(role, access)| PlannedApplication {
            application: access.application.clone(),
            database: database.clone(),
            role: role.clone(),
            access_level: access.level,
        })
    });
    by_database.filter(|one| desired.is_selected(&one.application)).collect()
}

/// Returns the groups of relations in a database, by their numbers, whose names a statement or a
/// refusal of the plan can contain. Of all other groups, the plan needs the number of relations only.
#[must_use]
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
    planner.database_contents(name, database, &seen.owner, contents);
    // If the server denies one of these probes, a refusal names each relation, where a step uses
    // ALL TABLES IN SCHEMA.
    let is_uncertain = planner.probes.iter().any(|probe| matches!(probe, Probe::GrantRole(_)));
    let names = planner.relation_names;
    if is_uncertain { names.changed } else { names.named }
}

impl<'a> Planner<'a> {
    /// Plans a database that is created, or whose creation was interrupted.
    fn new_database(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        unfinished: Option<&observed::Database>,
        changes: &mut Changes,
    ) {
        if self.refuse_left_out(database, || format!("database {name} does not exist")) {
            return;
        }
        if let Some(transaction) = self.create_database(name, database, unfinished) {
            changes.new_databases.push(transaction);
            let mut steps = self.new_database_contents(name, database);
            self.retain_selected(name, [&mut steps]);
            changes.inside.extend(self.transaction(Scope::Database(name.clone()), steps));
        }
    }

    /// Plans an existing database. Another owner is one transaction inside the database: after a
    /// failure, the old owner still has the database and everything in it.
    fn existing_database(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        seen: &'a observed::Database,
        changes: &mut Changes,
    ) {
        let changes_owner = database.owner.as_ref().is_some_and(|owner| *owner != seen.owner);
        if changes_owner
            && self.refuse_left_out(database, || format!("database {name} has another owner"))
        {
            return;
        }
        let is_hidden = seen.contents.is_none();
        let hidden = || format!("the administrator cannot connect to database {name} yet");
        if is_hidden && self.refuse_left_out(database, hidden) {
            return;
        }
        if changes_owner
            && !self.require(AdministratorAttribute::CreateDatabase, &database.application)
        {
            return;
        }
        let mut own = Vec::new();
        match &seen.contents {
            None if changes_owner => {
                self.grant_administrator_connect(name, database, seen, &mut own)
            }
            _ => self.database_attributes(name, database, seen, &mut own),
        }
        let mut steps = Vec::new();
        let mut shared = Vec::new();
        let first = if changes_owner && seen.contents.is_some() { &mut steps } else { &mut shared };
        first.append(&mut own);
        self.settings(name, database, Some(seen), &mut shared);
        match &seen.contents {
            Some(contents) => {
                steps.extend(self.database_contents(name, database, &seen.owner, contents))
            }
            None => self.defer(
                &database.application,
                format!(
                    "the contents of database {name}: the administrator may not connect to it yet"
                ),
            ),
        }
        self.retain_selected(name, [&mut shared, &mut steps]);
        if seen.read_only && !(shared.is_empty() && steps.is_empty()) {
            self.refuse_read_only(name, database, &seen.owner);
            return;
        }
        changes.cluster.append(&mut shared);
        changes.inside.extend(self.transaction(Scope::Database(name.clone()), steps));
    }

    fn refuse_read_only(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        owner: &RoleName,
    ) {
        self.refuse_with_fix(
            &database.application,
            RefusalKind::DatabaseReadOnly { database: name.clone() },
            self.executor(owner),
            sql::end_read_only(name),
        );
    }
}
