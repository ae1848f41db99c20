//! The changes of a plan in the order of a reader: grouped by application, and each creation in one
//! change with the steps that complete it.
//!
//! The order of execution is that of the transactions, which JSON and scripts contain.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Hazard, Plan, PlannedApplication, Statement, Step};
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::privilege::AccessLevel;

/// How much of a plan its text contains. Its JSON and its script always contain everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Detail {
    /// Each creation in one line; changes and revocations in full.
    #[default]
    Brief,
    /// Every step in a line of its own, with its statements.
    Full,
}

/// The changes for one application.
pub(super) struct Group<'a> {
    application: &'a ApplicationName,
    planned: Option<&'a PlannedApplication>,
    pub changes: Vec<Change<'a>>,
}

/// What a step does for a reader. The order of the variants is that of the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Add,
    Change,
    Revoke,
    Test,
}

impl Kind {
    pub fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Change => '~',
            Self::Revoke => '-',
            Self::Test => '?',
        }
    }
}

/// One line of the text: a step, or a creation with the steps that complete it.
pub(super) struct Change<'a> {
    pub words: String,
    pub kind: Kind,
    /// The statement that is executed before the transaction of the step.
    pub before: Option<&'a Statement>,
    /// The first step.
    pub step: &'a Step,
    creates: Option<Created<'a>>,
    /// The steps that complete the creation: they have no hazards.
    others: Vec<&'a Step>,
}

/// What a change creates.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Created<'a> {
    Role(&'a RoleName),
    Database(&'a DatabaseName),
    /// The access of the existing role of the application to a new database.
    Access(&'a DatabaseName),
}

impl<S> Step<S> {
    pub(super) fn kind(&self) -> Kind {
        match self.action {
            Action::Revoke
            | Action::EndSessions
            | Action::DeleteSecret
            | Action::DropRole
            | Action::DropDatabase => Kind::Revoke,
            Action::DefaultPrivileges if self.hazards.contains(&Hazard::RevokesAccess) => {
                Kind::Revoke
            }
            Action::CreateRole
            | Action::CreateDatabase
            | Action::CreateSchema
            | Action::CreateSecret
            | Action::CreateExtension
            | Action::CreatePending
            | Action::Grant
            | Action::DefaultPrivileges => Kind::Add,
            Action::AlterRole
            | Action::SetPassword
            | Action::AlterDatabase
            | Action::AlterSchema
            | Action::SetParameter
            | Action::ReassignOwned
            | Action::Adopt
            | Action::FinishRotation
            | Action::RestorePassword => Kind::Change,
            Action::TestPassword => Kind::Test,
        }
    }

    /// Returns the step in words: `create role shop_user: LOGIN`.
    pub(crate) fn words(&self) -> String {
        let verb = match self.action {
            Action::CreateRole
            | Action::CreateDatabase
            | Action::CreateSchema
            | Action::CreateSecret
            | Action::CreateExtension
            | Action::CreatePending => "create",
            Action::AlterRole | Action::AlterDatabase | Action::AlterSchema => "alter",
            Action::SetPassword => "set password:",
            Action::SetParameter => "set",
            Action::DropRole | Action::DropDatabase => "drop",
            Action::EndSessions => "end",
            Action::DeleteSecret => "delete",
            Action::ReassignOwned => "reassign",
            Action::Grant => "grant",
            Action::Revoke => "revoke",
            Action::DefaultPrivileges => "default privileges:",
            Action::Adopt => "adopt",
            Action::TestPassword => "test password:",
            Action::FinishRotation => "finish rotation:",
            Action::RestorePassword => "restore password:",
        };
        format!("{verb} {}", self.summary)
    }

    /// Returns whether the step belongs to a creation, because it has no effect that a reader must know.
    fn completes(&self) -> bool {
        let is_of_creation = matches!(
            self.action,
            Action::AlterDatabase | Action::Grant | Action::Revoke | Action::DefaultPrivileges
        );
        is_of_creation && self.hazards.is_empty() && self.group.is_none()
    }
}

impl Step {
    /// Returns the step in words without the versions of secrets, which readers do not compare.
    fn brief_words(&self) -> String {
        let mut words = self.words();
        for secret in self.statements.iter().filter_map(Statement::secret) {
            let before = format!("password from {secret} (version ");
            if let Some((start, rest)) = words.rsplit_once(&before)
                && let Some((_, end)) = rest.split_once(')')
            {
                words = format!("{start}password from {secret}{end}");
            }
        }
        words
    }
}

impl<'a> Change<'a> {
    fn new(step: &'a Step, words: String) -> Self {
        Self { words, kind: step.kind(), before: None, step, creates: None, others: Vec::new() }
    }

    /// Returns the number of its steps.
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }
}

impl<'a> Group<'a> {
    /// Returns the heading: the application, with its role and database.
    pub fn title(&self) -> String {
        let application = self.application;
        match self.planned {
            Some(PlannedApplication { role, access_level: AccessLevel::None, .. }) => {
                format!("application {application}: role {role}, without access")
            }
            Some(PlannedApplication { role, access_level, database, .. }) => format!(
                "application {application}: role {role}, {access_level} of database {database}"
            ),
            None if *application == ApplicationName::for_delegates() => "delegate".to_owned(),
            None => format!("application {application}"),
        }
    }

    /// Adds a step as a change of its own.
    fn push(&mut self, step: &'a Step, words: String) {
        self.changes.push(Change::new(step, words));
    }

    /// Adds a step, or completes the change that creates its role, its database or its access.
    fn add(&mut self, step: &'a Step, new_databases: &BTreeSet<&'a DatabaseName>) {
        let Some(created) = self.created(step, new_databases) else {
            return self.push(step, step.brief_words());
        };
        let found = self.changes.iter_mut().find(|one| one.creates.as_ref() == Some(&created));
        match (found, &created) {
            (Some(change), _) => change.others.push(step),
            // Another application has the first step of the creation.
            (None, Created::Database(_)) if step.action != Action::CreateDatabase => {
                self.push(step, step.brief_words());
            }
            (None, _) => {
                let words = self.words(step, &created);
                let creates = Some(created);
                self.changes.push(Change { creates, ..Change::new(step, words) });
            }
        }
    }

    /// Returns what a step creates or completes.
    fn created(
        &self,
        step: &'a Step,
        new_databases: &BTreeSet<&'a DatabaseName>,
    ) -> Option<Created<'a>> {
        let new_database = step.database.as_ref().filter(|one| new_databases.contains(one));
        match step.action {
            Action::CreateRole => Some(Created::Role(step.role.as_ref()?)),
            Action::CreateDatabase => Some(Created::Database(new_database?)),
            _ if !step.completes() => None,
            _ if step.kind() != Kind::Add => Some(Created::Database(new_database?)),
            _ => {
                let PlannedApplication { role, database, access_level, .. } = self.planned?;
                if step.role.as_ref() != Some(role) || step.database.as_ref() != Some(database) {
                    return None;
                }
                let is_new = |one: &Change<'_>| one.creates == Some(Created::Role(role));
                Some(match (self.changes.iter().any(is_new), access_level) {
                    (true, _) => Created::Role(role),
                    (false, AccessLevel::Owner) => Created::Database(new_database?),
                    (false, _) => Created::Access(new_database?),
                })
            }
        }
    }

    /// Returns a creation in words, which begins with this step.
    fn words(&self, step: &Step, created: &Created<'_>) -> String {
        let words = step.brief_words();
        let Some(PlannedApplication { role, database, access_level, .. }) = self.planned else {
            return words;
        };
        match created {
            Created::Role(one) if *one == role => format!("{words}; access level {access_level}"),
            Created::Database(one) if *one == database && *access_level == AccessLevel::Owner => {
                words.replacen(CLOSED, &format!(", owner {role}"), 1)
            }
            Created::Access(_) => format!("make role {role} {access_level} of database {database}"),
            Created::Role(_) | Created::Database(_) => words,
        }
    }
}

/// What the summary of a step says of each new database.
const CLOSED: &str = ", closed to PUBLIC";

impl Plan {
    /// Returns the changes by application, in the order of the databases, and of each database the
    /// owner first.
    pub(super) fn groups(&self, detail: Detail) -> Vec<Group<'_>> {
        let creates = |step: &&Step| step.action == Action::CreateDatabase;
        let new_databases: BTreeSet<&DatabaseName> =
            self.steps().filter(creates).filter_map(|step| step.database.as_ref()).collect();
        let steps = self.transactions.iter().flat_map(|transaction| {
            // The statement before a transaction belongs to its first step.
            let before = transaction.before.as_ref();
            transaction.steps.iter().zip(std::iter::once(before).chain(std::iter::repeat(None)))
        });
        self.grouped(steps, &new_databases, detail)
    }

    /// Returns the pending changes by application, each step in a line of its own.
    pub(super) fn pending_groups(&self) -> Vec<Group<'_>> {
        let steps = self.pending.iter().map(|step| (step, None));
        self.grouped(steps, &BTreeSet::new(), Detail::Brief)
    }

    fn grouped<'a>(
        &'a self,
        steps: impl Iterator<Item = (&'a Step, Option<&'a Statement>)>,
        new_databases: &BTreeSet<&'a DatabaseName>,
        detail: Detail,
    ) -> Vec<Group<'a>> {
        let mut groups: BTreeMap<&ApplicationName, Group<'a>> = BTreeMap::new();
        for (step, before) in steps {
            let application = &step.application;
            let group = groups.entry(application).or_insert_with(|| {
                let planned = self.applications.iter().find(|one| one.application == *application);
                Group { application, planned, changes: Vec::new() }
            });
            match detail {
                Detail::Brief => group.add(step, new_databases),
                Detail::Full => {
                    let words = step.words();
                    group.changes.push(Change { before, ..Change::new(step, words) });
                }
            }
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| {
            let of = |one: &PlannedApplication| {
                (one.database.clone(), one.access_level != AccessLevel::Owner)
            };
            (group.planned.is_none(), group.planned.map(of))
        });
        groups
    }
}
