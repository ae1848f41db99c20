//! Collects the refusals, notes and probes of a plan, and builds its transactions.
//!
//! The order of the comparison is in [`super::compare`].

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::authority::{AdministratorAttribute, Authority, Permission};
use super::basis::Basis;
use super::home::is_home;
use super::predefined_groups::predefined_groups;
use super::recorded::Recorded;
use super::{
    AdminOptionPurpose, Deferred, ExecuteAs, Executor, FORMAT_VERSION, Finding, ManualFix,
    MembershipOption, Memberships, NoteKind, Origin, Plan, Refusal, RefusalKind, Remedy, Scope,
    SecretFindings, Step, Transaction, UndeclaredRoleAccess, sql,
};
use crate::desired::{self, Adoption, Backup, Desired};
use crate::marker::Marker;
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName};
use crate::observed::{self, Observed, PasswordCheck, UNDECODABLE};
use crate::probe::Probe;
use crate::run_setting::RunSetting;

/// A database of the definitions.
pub(super) type DeclaredDatabase<'a> = (&'a DatabaseName, &'a desired::Database);

/// Compares the two states and collects the findings.
pub(super) struct Planner<'a> {
    pub desired: &'a Desired,
    pub observed: &'a Observed,
    pub authority: Authority<'a>,
    pub findings: SecretFindings,
    pub deferred: Vec<Deferred>,
    pub undeclared_access: Vec<UndeclaredRoleAccess>,
    /// The probes without a result that the plan depends on.
    pub probes: BTreeSet<Probe>,
    /// Those among them on which the hints of notes depend, also if the plan changes nothing.
    pub probes_of_hints: BTreeSet<Probe>,
    pub relation_names: RelationNames,
    /// The applications with a step that changes a password or its expiry.
    pub password_changes: BTreeSet<ApplicationName>,
    /// The applications that use the secret of a role which the plan takes over, by its new application.
    pub after_takeover: BTreeMap<ApplicationName, BTreeSet<ApplicationName>>,
    /// What the markers record, once it is needed.
    recorded: OnceCell<Recorded<'a>>,
    /// The declared databases of each role, once they are needed.
    databases_by_role: OnceCell<BTreeMap<&'a RoleName, Vec<DeclaredDatabase<'a>>>>,
    /// The predefined roles whose privileges declared roles have, once they are needed.
    groups: OnceCell<BTreeSet<&'a RoleName>>,
    /// The roles that are not known, once they are needed.
    pub(super) strangers: OnceCell<Vec<(&'a RoleName, &'a observed::Role)>>,
    /// Those among them that the observation takes for roles of the run, once they are needed.
    pub(super) strangers_of_run: OnceCell<BTreeSet<&'a RoleName>>,
}

/// The groups of relations that a plan changes, by their numbers.
#[derive(Default)]
pub(super) struct RelationNames {
    /// The groups that a statement changes.
    pub changed: BTreeSet<i64>,
    /// The groups of which a statement names each relation.
    pub named: BTreeSet<i64>,
}

impl<'a> Planner<'a> {
    pub fn new(desired: &'a Desired, observed: &'a Observed, findings: SecretFindings) -> Self {
        Self {
            desired,
            observed,
            authority: Authority { desired, observed },
            findings,
            deferred: Vec::new(),
            undeclared_access: Vec::new(),
            probes: BTreeSet::new(),
            probes_of_hints: BTreeSet::new(),
            relation_names: RelationNames::default(),
            password_changes: BTreeSet::new(),
            after_takeover: BTreeMap::new(),
            recorded: OnceCell::new(),
            databases_by_role: OnceCell::new(),
            groups: OnceCell::new(),
            strangers: OnceCell::new(),
            strangers_of_run: OnceCell::new(),
        }
    }

    /// Returns what the markers of all roles and databases record.
    pub fn recorded(&self) -> &Recorded<'a> {
        self.recorded.get_or_init(|| Recorded::new(self.desired, self.observed))
    }

    /// Returns the databases to which a role has declared access.
    pub fn databases_of(&self, role: &RoleName) -> &[DeclaredDatabase<'a>] {
        let by_role = self.databases_by_role.get_or_init(|| {
            let mut by_role: BTreeMap<&RoleName, Vec<DeclaredDatabase<'a>>> = BTreeMap::new();
            for (name, entry) in &self.desired.databases {
                for role in entry.access.keys() {
                    by_role.entry(role).or_default().push((name, entry));
                }
            }
            by_role
        });
        by_role.get(role).map_or(&[], Vec::as_slice)
    }

    /// Returns whether a role is a predefined one whose privileges a declared role has.
    pub fn is_group_of_application(&self, role: &RoleName) -> bool {
        self.groups.get_or_init(|| predefined_groups(self.desired, self.observed)).contains(role)
    }

    /// Returns the plan with these transactions and pending steps.
    pub fn into_plan(mut self, transactions: Vec<Transaction>, pending: Vec<Step>) -> Plan {
        let probes = self.probes.iter().filter(|probe| probe.is_about_administrator()).count();
        if self.observed.connection.in_recovery && probes > 0 {
            self.note(NoteKind::PermissionsNotChecked { probes });
        }
        let are_off = |check: &PasswordCheck| matches!(check, PasswordCheck::NotChecked);
        if self.observed.password_checks.values().any(are_off) {
            self.note(NoteKind::PasswordChecksOff);
        }
        let observed = Basis::new(self.observed, &transactions);
        // A restricted plan reports a part of it.
        let in_notes = self.findings.notes.iter().filter_map(|note| match &note.0 {
            NoteKind::UndeclaredAccess { access, .. } => Some((&access.role, &access.database)),
            _ => None,
        });
        let in_refusals = self.findings.refusals.iter().filter_map(|refusal| match &refusal.kind {
            RefusalKind::AccessNotDeclared { role, database, .. } => Some((role, database)),
            _ => None,
        });
        let reported: BTreeSet<(&RoleName, &DatabaseName)> = in_notes.chain(in_refusals).collect();
        self.undeclared_access.retain(|one| reported.contains(&(&one.role, &one.database)));
        let plan = Plan {
            format_version: FORMAT_VERSION,
            environment: self.desired.environment.clone(),
            origin: Origin::new(self.desired, self.observed),
            run_settings: run_settings(self.desired, self.observed),
            digest: String::new(),
            observed,
            server_major: self.observed.major(),
            transactions,
            pending,
            refusals: self.findings.refusals,
            orphaned: Vec::new(),
            in_other_scopes: 0,
            undeclared_databases: Vec::new(),
            undeclared_access: self.undeclared_access,
            notes: self.findings.notes,
            deferred: self.deferred,
            applications: Vec::new(),
            probes: self.probes,
            probes_of_hints: self.probes_of_hints,
            after_takeover: self.after_takeover,
            homes: self
                .desired
                .roles
                .iter()
                .map(|(name, role)| (name.clone(), role.application.clone()))
                .collect(),
            admin_database: Some(self.observed.admin_database.clone()),
            allowed_hazards: self.desired.allowed_hazards.clone(),
            needs_backup: self.desired.drops_databases == Some(Backup::NotNamed),
            fail_on: Finding::all()
                .filter(|one| self.desired.fail_on.contains(one.name()))
                .collect(),
        };
        plan.with_digest()
    }

    /// Defers a comparison until the plan is applied.
    pub fn defer(&mut self, application: &ApplicationName, comparison: String) {
        self.deferred.push(Deferred { application: application.clone(), comparison });
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
        manual_fix: impl Into<ManualFix>,
    ) {
        self.refuse_with(application, kind, Remedy::Run(executor, manual_fix.into()));
    }

    /// Refuses the plan, once for each reason.
    pub fn refuse_with(
        &mut self,
        application: &ApplicationName,
        kind: RefusalKind,
        remedy: Remedy,
    ) {
        let refusal = Refusal { application: application.clone(), kind, remedy };
        if !is_among_last(&self.findings.refusals, &refusal) {
            self.findings.refusals.push(refusal);
        }
    }

    /// Adds a note to the plan, once.
    pub fn note(&mut self, kind: NoteKind) {
        let note = kind.into();
        if !is_among_last(&self.findings.notes, &note) {
            self.findings.notes.push(note);
        }
    }

    /// Returns a transaction with the temporary memberships that its steps need,
    /// or `None` without steps.
    pub fn transaction(&self, scope: Scope, steps: Vec<Step>) -> Option<Transaction> {
        if steps.is_empty() {
            return None;
        }
        let mut memberships: BTreeMap<RoleName, MembershipOption> = BTreeMap::new();
        for (role, option) in steps.iter().flat_map(Step::memberships) {
            if !self.authority.is_member_already(&role, option) {
                let needed = memberships.entry(role).or_insert(option);
                *needed = option.max(*needed);
            }
        }
        let memberships_to_restore = self.memberships_to_restore(&memberships);
        let identities = self.identities(&scope, &steps);
        Some(Transaction {
            scope,
            before: None,
            memberships,
            memberships_to_restore,
            identities,
            audit: None,
            steps,
        })
    }

    /// Returns the temporary memberships that the administrator has granted itself with other options, with the
    /// values of `INHERIT` and `SET`.
    pub(super) fn memberships_to_restore(
        &self,
        memberships: &Memberships,
    ) -> BTreeMap<RoleName, (bool, bool)> {
        let administrator = &self.observed.administrator.name;
        let own = self.observed.roles.get(administrator).map(|role| role.memberships.as_slice());
        let own = own.unwrap_or_default().iter();
        own.filter(|own| own.grantor == *administrator && memberships.contains_key(&own.role))
            .map(|own| (own.role.clone(), (own.inherit, own.set)))
            .collect()
    }

    /// Checks that something is allowed. If only a probe can tell, asks for the probe, and assumes that
    /// it is allowed.
    ///
    /// # Errors
    /// Returns the reason if it is denied.
    pub fn check(&mut self, permission: Permission) -> Result<(), String> {
        match permission {
            Permission::Allowed => Ok(()),
            Permission::Denied(reason) => Err(reason),
            Permission::Unknown(probe) => {
                self.probes.insert(probe);
                Ok(())
            }
        }
    }

    /// Checks that the server allows the change of a probe.
    ///
    /// # Errors
    /// Returns the reason if the server denied it.
    pub fn check_probe(&mut self, probe: Probe) -> Result<(), String> {
        self.check(self.authority.answer(probe))
    }

    /// Returns whether the administrator may alter and grant a role.
    pub fn can_administer(&mut self, role: &RoleName) -> bool {
        self.check(self.authority.may_administer(role)).is_ok()
    }

    /// Returns how to act as a role, or `None` if the administrator cannot.
    pub fn act_as(&mut self, role: &RoleName) -> Option<ExecuteAs> {
        if *role == self.observed.administrator.name {
            return Some(ExecuteAs::Administrator);
        }
        self.check(self.authority.may_act_as(role)).ok()?;
        Some(ExecuteAs::Role(role.clone()))
    }

    /// Refuses a change that requires privileges of a role which the
    /// administrator does not inherit.
    pub fn refuse_without_inheritance(&mut self, application: &ApplicationName, role: &RoleName) {
        let administrator = self.observed.administrator.name.clone();
        self.refuse_with_fix(
            application,
            RefusalKind::AdministratorWithoutInherit {
                administrator: administrator.clone(),
                role: role.clone(),
            },
            Executor::Administrator,
            sql::alter_role(&administrator, &[sql::RoleAttribute::Inherit]),
        );
    }

    /// Returns whether the administrator has an attribute that a change needs, or refuses the change.
    pub fn require(
        &mut self,
        attribute: AdministratorAttribute,
        application: &ApplicationName,
    ) -> bool {
        if self.check(self.authority.has_attribute(attribute)).is_ok() {
            return true;
        }
        let administrator = self.observed.administrator.name.clone();
        let attribute = attribute.sql();
        let fix = sql::alter_role(&administrator, &[attribute]);
        let attribute = attribute.to_string();
        let kind = RefusalKind::AdministratorAttributeMissing { administrator, attribute };
        let executor = self.more_powerful();
        self.refuse_with_fix(application, kind, executor, fix);
        false
    }

    /// Refuses a marker that would replace a comment whose bytes are not known. Returns whether it
    /// refused.
    pub fn refuse_undecodable(
        &mut self,
        application: &ApplicationName,
        object: String,
        comment: Option<&String>,
    ) -> bool {
        let is_undecodable = comment.is_some_and(|text| text.contains(UNDECODABLE));
        if is_undecodable {
            self.refuse(application, RefusalKind::CommentUndecodable { object });
        }
        is_undecodable
    }

    /// Refuses a change of a role that the administrator may not alter or grant.
    pub fn refuse_without_admin_option(&mut self, application: &ApplicationName, role: &RoleName) {
        if self.observed.roles.get(role).is_some_and(|seen| seen.superuser) {
            // The SUPERUSER attribute is refused separately. Without it, the administrator
            // may alter the role.
            return;
        }
        let kind = RefusalKind::AdminOptionMissing {
            administrator: self.observed.administrator.name.clone(),
            role: role.clone(),
            purpose: AdminOptionPurpose::Change,
        };
        let remedy = self.remedy_for_authority(role);
        self.refuse_with(application, kind, remedy);
    }

    /// Returns the marker of a role or database that an application declares.
    pub fn marker(&self, application: &ApplicationName, name: &str) -> Marker {
        Marker {
            environment: self.desired.environment.clone(),
            scope: self.desired.scope.clone(),
            application: application.to_string(),
            name: name.to_owned(),
            ..Marker::default()
        }
    }

    /// Returns whether a marker of this environment contains a name: its role or database had the name.
    pub fn is_marked_as(&self, marker: Option<&Marker>, name: &str) -> bool {
        self.desired.manages(marker) && marker.is_some_and(|marker| marker.name == name)
    }

    /// Returns whether an existing role or database is managed already or must be adopted, or
    /// refuses it.
    pub fn takeover(
        &mut self,
        application: &ApplicationName,
        object: Adoptable<'_>,
        marker: Option<Marker>,
        adoption: Adoption,
    ) -> Option<Takeover> {
        let kind = match (marker, object) {
            (Some(marker), _) if self.desired.manages(Some(&marker)) => {
                return Some(Takeover::Managed);
            }
            (Some(Marker { environment, .. }), Adoptable::Role(role)) => {
                self.refuse_role_of_other_environment(application, role, environment);
                return None;
            }
            (Some(Marker { environment, .. }), Adoptable::Database(database)) => {
                self.refuse_database_of_other_environment(application, database, environment);
                return None;
            }
            (None, _) if adoption == Adoption::Allowed => return Some(Takeover::Adopted),
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

    fn refuse_role_of_other_environment(
        &mut self,
        application: &ApplicationName,
        role: &RoleName,
        environment: String,
    ) {
        let comment = self.observed.roles.get(role).and_then(|seen| seen.comment.as_deref());
        let statement = sql::remove_marker(sql::MarkedObject::Role(role), comment);
        let kind = RefusalKind::RoleOfOtherEnvironment { role: role.clone(), environment };
        let executor = self.who_administers(role);
        self.refuse_with_fix(application, kind, executor, statement);
    }

    fn refuse_database_of_other_environment(
        &mut self,
        application: &ApplicationName,
        name: &DatabaseName,
        environment: String,
    ) {
        let kind = RefusalKind::DatabaseOfOtherEnvironment { database: name.clone(), environment };
        let Some(seen) = self.observed.databases.get(name) else {
            self.refuse(application, kind);
            return;
        };
        let statement =
            sql::remove_marker(sql::MarkedObject::Database(name), seen.comment.as_deref());
        let (executor, fix) = if self.act_as(&seen.owner).is_some() {
            let owner = Memberships::from([(seen.owner.clone(), MembershipOption::Inherit)]);
            (Executor::Administrator, self.fix_by_administrator(vec![statement], owner))
        } else {
            (self.executor(&seen.owner), statement.into())
        };
        self.refuse_with_fix(application, kind, executor, fix);
    }

    /// Returns the application of what a role itself does or gets in a database.
    pub fn application_for<'b>(
        &'b self,
        role: &'b RoleName,
        database: &'b desired::Database,
    ) -> &'b ApplicationName {
        let role = self.role_of_clone(role).unwrap_or(role);
        database
            .access
            .get(role)
            .map(|access| &access.application)
            .or_else(|| self.desired.roles.get(role).map(|role| &role.application))
            .unwrap_or(&database.application)
    }

    /// Returns the application of a privilege in a database, or on it, which `None` means PUBLIC has.
    ///
    /// Its owner can grant privileges to any role. So if the database does not declare the role, the
    /// revocation is a step of the application of the database, and not of the home of the role: the
    /// owner can prevent it. A role that is not managed, or that belongs to other definitions, loses nothing
    /// before its home has taken it over.
    pub fn application_of_privilege<'b>(
        &'b self,
        role: Option<&'b RoleName>,
        database: &'b desired::Database,
    ) -> &'b ApplicationName {
        let Some(role) = role else { return &database.application };
        let role = self.role_of_clone(role).unwrap_or(role);
        if !database.access.contains_key(role) && is_home(self.desired, self.observed, role) {
            return &database.application;
        }
        self.application_for(role, database)
    }
}

/// Returns whether one of the last thousand findings is equal to another one. The owner of a database
/// can cause very many.
fn is_among_last<T: PartialEq>(findings: &[T], one: &T) -> bool {
    findings.iter().rev().take(1000).any(|other| other == one)
}

/// An existing role or database that the definitions declare.
pub(super) enum Adoptable<'a> {
    Role(&'a RoleName),
    Database(&'a DatabaseName),
}

/// How a plan takes over an existing role or database.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takeover {
    /// It is managed already.
    Managed,
    /// It is not managed, and the plan adopts it.
    Adopted,
}

/// Returns whether the schema is `public`.
pub(super) fn is_public(schema: &SchemaName) -> bool {
    schema.as_str() == "public"
}

/// Returns the settings of the run that the states were made for.
fn run_settings(desired: &Desired, observed: &Observed) -> Vec<RunSetting> {
    observed.connection.settings.iter().chain(&desired.approval).cloned().collect()
}
