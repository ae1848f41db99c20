//! The order of the comparison, the transactions of a plan, and what the administrator may do.
//!
//! Other modules compare roles ([`super::roles`]), databases ([`super::databases`]) and the contents of a database
//! ([`super::database`]).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::databases::DatabaseStatus;
use super::sql;
use super::{
    ExecuteAs, Executor, FORMAT_VERSION, ManualFix, MembershipOption, NoteKind, Plan,
    PlannedApplication, Refusal, RefusalKind, Remedy, Scope, SecretFindings, Step, Transaction,
    orphans,
};
use crate::desired::{self, Desired};
use crate::marker::Marker;
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName};
use crate::observed::{self, Contents, Observed, ProbeResult};

/// Compares the two states and collects the findings.
pub(super) struct Planner<'a> {
    pub desired: &'a Desired,
    pub observed: &'a Observed,
    pub findings: SecretFindings,
    pub deferred: Vec<String>,
    pub probes: RefCell<BTreeMap<DatabaseName, BTreeSet<String>>>,
    /// The groups of relations whose names a statement needs, by their numbers.
    pub named: BTreeSet<i64>,
    /// Whether probes without a result count as denied, and not as allowed.
    assume_denied: bool,
}

/// Compares the two states. The plan does not contain its digest yet.
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

/// Returns the groups of relations in a database whose names the plan needs, by their numbers. For all other groups,
/// the plan only needs the number of relations.
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
    // A refusal names each relation, where a step would use ALL TABLES IN SCHEMA.
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

    /// Plans an existing database. Another owner is one transaction inside the database: after a failure, the old
    /// owner still has the database and everything in it.
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
                "the contents of database {name}: the administrator may not connect to it yet"
            )),
        }
        inside.extend(self.transaction(Scope::Database(name.clone()), steps));
    }

    /// Refuses the plan where no single statement helps.
    pub fn refuse(&mut self, application: &ApplicationName, kind: RefusalKind) {
        self.refuse_with(application, kind, Remedy::None);
    }

    /// Refuses the plan until a role with more privileges has executed statements.
    pub fn refuse_with_fix(
        &mut self,
        application: &ApplicationName,
        kind: RefusalKind,
        executor: Executor,
        manual_fix: ManualFix,
    ) {
        self.refuse_with(application, kind, Remedy::Run(executor, manual_fix));
    }

    /// Refuses the plan, once for each reason.
    pub fn refuse_with(
        &mut self,
        application: &ApplicationName,
        kind: RefusalKind,
        remedy: Remedy,
    ) {
        let refusal = Refusal { application: application.clone(), kind, remedy };
        if !self.findings.refusals.contains(&refusal) {
            self.findings.refusals.push(refusal);
        }
    }

    /// Adds a note to the plan, once.
    pub fn note(&mut self, kind: NoteKind) {
        let note = kind.into();
        if !self.findings.notes.contains(&note) {
            self.findings.notes.push(note);
        }
    }

    /// Returns a transaction with the temporary memberships that its steps need, or `None` without steps.
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

    /// Returns whether the administrator can act as a role without a new membership.
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

    /// Returns whether the administrator, once it is a member of a role, has the privileges of the
    /// role without `SET ROLE`. Before PostgreSQL 16, an administrator with `NOINHERIT` has not.
    pub fn may_have_privileges_of(&self, role: &RoleName) -> bool {
        let administrator = &self.observed.administrator;
        *role == administrator.name || administrator.superuser || self.inherits(&administrator.name)
    }

    /// Refuses a change that requires privileges of a role which the administrator does not inherit.
    pub fn refuse_without_inheritance(&mut self, application: &ApplicationName, role: &RoleName) {
        let administrator = self.observed.administrator.name.clone();
        self.refuse_with_fix(
            application,
            RefusalKind::AdministratorWithoutInherit {
                administrator: administrator.clone(),
                role: role.clone(),
            },
            Executor::Role(administrator.clone()),
            ManualFix {
                database: None,
                sql: sql::alter_role(&administrator, &["INHERIT".to_owned()]).redacted(),
            },
        );
    }

    /// Returns a role and the roles whose privileges it inherits. Memberships of declared roles do
    /// not count, because the plan revokes them.
    pub fn roles_inherited_by(&self, role: &RoleName) -> BTreeSet<RoleName> {
        let old = self.observed.major() < 16;
        let inherits = |member: &observed::Role, membership: &observed::Membership| {
            if old { member.inherit } else { membership.inherit }
        };
        let mut found = self.memberships_from(role, inherits);
        found.insert(role.clone());
        found
    }

    /// Returns whether a role inherits the privileges of `pg_database_owner`: before PostgreSQL 16, not with
    /// `NOINHERIT`. The plan sets `INHERIT` for declared roles.
    pub fn inherits(&self, role: &RoleName) -> bool {
        self.observed.major() >= 16
            || self.desired.roles.contains_key(role)
            || self.observed.roles.get(role).is_none_or(|seen| seen.inherit)
    }

    /// Returns whether memberships of one kind lead from the administrator to a role.
    fn reaches(
        &self,
        role: &RoleName,
        counts: impl Fn(&observed::Role, &observed::Membership) -> bool,
    ) -> bool {
        self.memberships_from(&self.observed.administrator.name, counts).contains(role)
    }

    /// Returns the roles that memberships of one kind lead to. Memberships of declared roles do not
    /// count, because the plan revokes them.
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

    /// Returns whether the administrator may alter and grant a role. From PostgreSQL 16 on, RDS may allow more to
    /// members of `rds_superuser` than the catalogs show: then a probe decides.
    pub fn can_administer(&self, role: &RoleName) -> bool {
        let administrator = &self.observed.administrator;
        if administrator.superuser {
            return true;
        }
        match self.observed.roles.get(role) {
            None => self.desired.roles.contains_key(role),
            Some(seen) if seen.superuser => false,
            // Memberships cannot form a circle (0LP01); a declared role loses its memberships first.
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

    /// Returns whether the server allows a statement although the catalogs deny it: only to a member of
    /// `rds_superuser`, and if the probe succeeded. Without a result, it counts as allowed.
    pub fn server_allows(&self, statement: &str) -> bool {
        self.observed.administrator.rds_superuser && self.denial_reason(statement).is_none()
    }

    /// Returns why the server denied a probe in the administrator database, and requests the probe if it has no result.
    pub fn denial_reason(&self, statement: &str) -> Option<String> {
        self.denial_reason_in(&self.observed.admin_database, statement)
    }

    /// Returns why the server denied a probe in a database, and requests the probe if it has no result.
    pub fn denial_reason_in(&self, database: &DatabaseName, statement: &str) -> Option<String> {
        match self.observed.probe_results.get(database).and_then(|results| results.get(statement)) {
            Some(ProbeResult::Denied(reason)) => Some(reason.clone()),
            Some(ProbeResult::Allowed) => None,
            None if self.assume_denied => Some("not probed".to_owned()),
            None => {
                let mut probes = self.probes.borrow_mut();
                probes.entry(database.clone()).or_default().insert(statement.to_owned());
                None
            }
        }
    }

    /// Refuses a change of a role that the administrator may not alter or grant.
    pub fn refuse_without_admin_option(&mut self, application: &ApplicationName, role: &RoleName) {
        if self.observed.roles.get(role).is_some_and(|seen| seen.superuser) {
            // The SUPERUSER attribute is refused separately. Without it, the administrator may alter the role.
            return;
        }
        let administrator = self.observed.administrator.name.clone();
        self.refuse_with_fix(
            application,
            RefusalKind::AdminOptionMissing {
                administrator: administrator.clone(),
                role: role.clone(),
            },
            Executor::AdminOption(role.clone()),
            ManualFix {
                database: None,
                sql: sql::grant_admin_option(role, &administrator).redacted(),
            },
        );
    }

    /// Returns how to act as a role, or `None` if the administrator cannot.
    pub fn act_as(&self, role: &RoleName) -> Option<ExecuteAs> {
        if role == &self.observed.administrator.name {
            Some(ExecuteAs::Administrator)
        } else if self.is_member_already(role, MembershipOption::Set) || self.can_administer(role) {
            Some(ExecuteAs::Role(role.clone()))
        } else {
            None
        }
    }

    /// Returns the marker of a role or database that an application declares.
    pub fn marker(&self, application: &ApplicationName, name: &str) -> Marker {
        Marker {
            environment: self.desired.environment.clone(),
            application: application.to_string(),
            name: name.to_owned(),
        }
    }

    /// Returns whether an existing role or database must be adopted (`true`) or is managed already (`false`),
    /// or refuses it.
    pub fn check_adoption(
        &mut self,
        application: &ApplicationName,
        object: Adoptable<'_>,
        marker: Option<Marker>,
        adopt: bool,
    ) -> Option<bool> {
        let kind = match (marker, object) {
            (Some(marker), _) if marker.environment == self.desired.environment => {
                return Some(false);
            }
            (Some(Marker { environment, .. }), Adoptable::Role(role)) => {
                RefusalKind::RoleOfOtherEnvironment { role: role.clone(), environment }
            }
            (Some(Marker { environment, .. }), Adoptable::Database(database)) => {
                RefusalKind::DatabaseOfOtherEnvironment { database: database.clone(), environment }
            }
            (None, _) if adopt => return Some(true),
            (None, Adoptable::Role(role)) => RefusalKind::RoleNotManaged {
                role: role.clone(),
                is_delegate: *application == ApplicationName::for_delegates(),
            },
            (None, Adoptable::Database(database)) => {
                RefusalKind::DatabaseNotManaged { database: database.clone() }
            }
        };
        self.refuse(application, kind);
        None
    }

    /// Returns the application of a change for a role in a database.
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

/// An existing role or database that the definitions declare.
pub(super) enum Adoptable<'a> {
    Role(&'a RoleName),
    Database(&'a DatabaseName),
}

/// Returns whether the schema is `public`.
pub(super) fn is_public(schema: &SchemaName) -> bool {
    schema.as_str() == "public"
}
