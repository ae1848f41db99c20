//! The script of a transaction: the statements of the steps in the order of execution, and around
//! them temporary memberships, temporary usage and changes of the role.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use super::audit_table::{create_audit_table, verify_audit_table, write_audit_rows};
use super::identity::{created_oid, store_created_oid, verify_identities};
use super::session::{store_memberships, verify_memberships};
use super::{
    Moment, RESET_ROLE, Statement, grant_membership, grant_usage, revoke_usage, set_local_role,
};
use crate::name::{DatabaseName, RoleName};
use crate::plan::{
    Action, AuditTarget, DatabaseOid, ExecuteAs, Identities, MembershipOption, Scope, Step,
    TemporaryUsage, Transaction,
};

/// The number of grantees of one statement. Each statement writes the catalog row of each of its objects
/// again, so few statements cost less; but an error names the whole statement.
const MAX_GRANTEES: usize = 500;

/// One line of the script of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// The statement of the first step that PostgreSQL does not allow in a transaction: `CREATE
    /// DATABASE` or `DROP DATABASE`.
    Before(&'a Statement),
    /// `BEGIN`: all lines up to `COMMIT` take effect together.
    Begin,
    /// The memberships that the administrator has are stored until the end of the transaction.
    StoreMemberships,
    /// The run stores the OID of a new database, for the transaction in this database. Only
    /// administrators can replace it before the commit.
    RememberOid(&'a DatabaseName),
    /// The stored OID of a new database becomes known to the transaction.
    StoreOid(&'a DatabaseName),
    /// The transaction fails if a name means another database or role than in the plan.
    VerifyIdentities(&'a Transaction, Moment),
    /// The administrator becomes a member of a role until the end of the transaction.
    GrantMembership(&'a RoleName, MembershipOption),
    /// The owner of a schema grants `USAGE` on it.
    GrantUsage(&'a TemporaryUsage),
    /// The administrator acts as a role from here on.
    SetRole(&'a RoleName),
    /// The administrator acts as itself again.
    ResetRole,
    /// A statement of the step with this index.
    Step(usize, &'a Statement),
    /// One statement for all of these steps, of which the first one has this index: their statements
    /// differ in the grantee only.
    Joint(usize, &'a [Step]),
    /// The owner of a schema revokes the temporary `USAGE`.
    RevokeUsage(&'a TemporaryUsage),
    /// The administrator loses a temporary membership.
    RevokeMembership(&'a RoleName),
    /// The administrator gets back the options of a membership that it had before.
    RestoreMembership {
        /// The role that the administrator is a member of.
        role: &'a RoleName,
        /// The value of `INHERIT`.
        inherit: bool,
        /// The value of `SET`.
        set: bool,
    },
    /// The transaction fails if the administrator has a membership that it did not have before.
    VerifyMemberships,
    /// The administrator creates the audit table, unless another transaction has created it.
    CreateAuditTable(&'a AuditTarget),
    /// The transaction fails if the audit table differs from its documented definition.
    VerifyAuditTable(&'a AuditTarget),
    /// The rows of all steps are written into the audit table.
    WriteAuditRows(&'a AuditTarget, &'a [Step]),
    /// `COMMIT`: the changes of all lines since `BEGIN` take effect.
    Commit,
}

impl<'a> Line<'a> {
    /// Returns the indexes of the steps that the line belongs to; none for a line around the steps.
    #[must_use]
    pub fn steps(self) -> Range<usize> {
        match self {
            Self::Before(_) => 0..1,
            Self::Step(number, _) => number..number + 1,
            Self::Joint(first, steps) => first..first + steps.len(),
            _ => 0..0,
        }
    }

    /// Returns the statement of the line on a server of this major version.
    #[must_use]
    pub fn statement(self, server_major: u32) -> Cow<'a, Statement> {
        let text = match self {
            Self::Before(statement) | Self::Step(_, statement) => {
                return Cow::Borrowed(statement);
            }
            Self::Joint(_, steps) => return Cow::Owned(joint(steps)),
            Self::GrantUsage(usage) => {
                return Cow::Owned(grant_usage(&usage.schema, &usage.grantee));
            }
            Self::RevokeUsage(usage) => {
                return Cow::Owned(revoke_usage(&usage.schema, &usage.grantee));
            }
            Self::StoreMemberships => return Cow::Owned(store_memberships()),
            Self::VerifyMemberships => return Cow::Owned(verify_memberships()),
            Self::CreateAuditTable(target) => {
                return Cow::Owned(create_audit_table(&target.table));
            }
            Self::VerifyAuditTable(target) => {
                return Cow::Owned(verify_audit_table(&target.table));
            }
            Self::WriteAuditRows(target, steps) => {
                let rows = steps.iter().filter(|step| step.has_audit_row());
                let rows = rows.map(Step::audit_row).collect();
                return Cow::Owned(write_audit_rows(&target.table, rows));
            }
            Self::RememberOid(database) => return Cow::Owned(created_oid(database)),
            Self::StoreOid(database) => return Cow::Owned(store_created_oid(database)),
            Self::VerifyIdentities(transaction, moment) => {
                let identities = transaction.identities_at(moment);
                return Cow::Owned(verify_identities(&transaction.scope, &identities, moment));
            }
            Self::Begin => "BEGIN".to_owned(),
            Self::GrantMembership(role, option) => grant_membership(role, option, server_major),
            Self::SetRole(role) => set_local_role(role),
            Self::ResetRole => RESET_ROLE.to_owned(),
            Self::RevokeMembership(role) => format!("REVOKE {} FROM CURRENT_USER", role.quoted()),
            Self::RestoreMembership { role, inherit, set } => {
                format!("GRANT {} TO CURRENT_USER WITH INHERIT {inherit}, SET {set}", role.quoted())
            }
            Self::Commit => "COMMIT".to_owned(),
        };
        Cow::Owned(Statement::plain(text))
    }
}

impl Transaction {
    /// Returns the lines in order: the statements of the steps, and around them the statement that
    /// runs first, temporary memberships, changes of the role and temporary usage. Consecutive steps that
    /// differ in the grantee only have one statement.
    #[must_use]
    pub fn script(&self) -> Vec<Line<'_>> {
        let mut script = Script { lines: Vec::new(), execute_as: &ExecuteAs::Administrator };
        script.lines.extend(self.before.as_ref().map(Line::Before));
        match &self.scope {
            Scope::Secrets => return script.lines,
            // Nothing follows, so that the result of the statement is that of its step.
            Scope::DroppedDatabase(_) if self.audit.is_none() => return script.lines,
            // PostgreSQL does not drop a database in a transaction, so the audit row follows in one of its own.
            Scope::DroppedDatabase(_)
            | Scope::Cluster
            | Scope::NewDatabase(_)
            | Scope::Database(_) => {}
        }
        script.lines.extend([Line::Begin, Line::StoreMemberships]);
        if let Scope::NewDatabase(name) = &self.scope {
            script.lines.push(Line::RememberOid(name));
        }
        let databases = self.identities.databases.iter();
        let created = databases.filter(|(_, one)| one.oid == DatabaseOid::Created);
        script.lines.extend(created.map(|(name, _)| Line::StoreOid(name)));
        script.lines.extend(self.verification(Moment::Start));
        let mut granted = BTreeSet::new();
        // First, because the steps can give the database to another owner.
        script.lines.extend(self.audit_creation(&mut granted));
        let mut granted_usage: &[TemporaryUsage] = &[];
        let mut number = 0;
        while let Some(step) = self.steps.get(number) {
            let stays_granted = granted_usage == step.temporary_usage;
            if !stays_granted {
                script.revoke_usage(granted_usage);
            }
            let needed = step.memberships();
            let missing = self
                .memberships
                .iter()
                .filter(|(role, _)| needed.contains_key(role) && !granted.contains(*role));
            for (role, option) in missing.collect::<Vec<_>>() {
                granted.insert(role);
                script.switch_role(&ExecuteAs::Administrator);
                script.lines.push(Line::GrantMembership(role, *option));
            }
            if !stays_granted {
                script.grant_usage(&step.temporary_usage);
            }
            granted_usage = &step.temporary_usage;
            script.switch_role(&step.execute_as);
            let together = executed_together(&self.steps[number..]);
            match together {
                [] | [_] => {
                    script.lines.extend(step.statements.iter().map(|one| Line::Step(number, one)));
                }
                several => script.lines.push(Line::Joint(number, several)),
            }
            number += together.len().max(1);
        }
        script.revoke_usage(granted_usage);
        script.switch_role(&ExecuteAs::Administrator);
        script.lines.extend(granted.into_iter().map(|role| self.release(role)));
        script.lines.push(Line::VerifyMemberships);
        script.lines.extend(self.verification(Moment::End));
        script.lines.extend(self.audit_rows());
        script.lines.push(Line::Commit);
        script.lines
    }

    /// Returns the statement that writes the audit rows after the steps that could prevent a login were reverted.
    #[cfg(feature = "postgres")]
    pub(crate) fn audit_of_revert(&self) -> Option<Statement> {
        let target = self.audit.as_ref()?;
        let reverted = self.steps.iter().filter(|step| !step.reverting.is_empty());
        Some(write_audit_rows(&target.table, reverted.map(Step::audit_row_of_revert).collect()))
    }

    /// Creates the audit table, with the membership that the administrator needs for it.
    fn audit_creation<'a>(&'a self, granted: &mut BTreeSet<&'a RoleName>) -> Vec<Line<'a>> {
        let Some(target) = self.audit.as_ref().filter(|target| target.creates) else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        if let Some(owner) = &target.created_as_member_of
            && let Some((role, option)) = self.memberships.get_key_value(owner)
        {
            granted.insert(role);
            lines.push(Line::GrantMembership(role, *option));
        }
        lines.push(Line::CreateAuditTable(target));
        lines
    }

    /// Writes the rows of the steps. The administrator acts as itself, and has no temporary memberships any more.
    fn audit_rows(&self) -> impl Iterator<Item = Line<'_>> {
        let lines =
            |target| [Line::VerifyAuditTable(target), Line::WriteAuditRows(target, &self.steps)];
        let target = self.audit.iter().filter(|_| self.steps.iter().any(Step::has_audit_row));
        target.flat_map(lines)
    }

    /// Returns the identities to verify: at the end, those without the roles that the steps have dropped.
    fn identities_at(&self, moment: Moment) -> Cow<'_, Identities> {
        let dropped = self.steps.iter().filter(|step| step.action == Action::DropRole);
        let dropped: Vec<_> = dropped.filter_map(|step| step.role.as_ref()).collect();
        if dropped.is_empty() || moment == Moment::Start {
            return Cow::Borrowed(&self.identities);
        }
        let mut identities = self.identities.clone();
        identities.roles.retain(|name, _| !dropped.contains(&name));
        Cow::Owned(identities)
    }

    fn verification(&self, moment: Moment) -> Option<Line<'_>> {
        (!self.identities_at(moment).is_empty()).then_some(Line::VerifyIdentities(self, moment))
    }

    /// Revokes a temporary membership, or restores the one that the administrator had before.
    fn release<'a>(&self, role: &'a RoleName) -> Line<'a> {
        match self.memberships_to_restore.get(role) {
            None => Line::RevokeMembership(role),
            Some(&(inherit, set)) => Line::RestoreMembership { role, inherit, set },
        }
    }
}

/// Returns the first steps that are executed as one statement with a list of grantees. PostgreSQL changes
/// the ACL of an object for each grantee in turn, so the result is that of a statement for each of them.
fn executed_together(steps: &[Step]) -> &[Step] {
    let Some((first, others)) = steps.split_first() else { return steps };
    let mut grantees = BTreeSet::from_iter(grantee(first));
    let others = others.iter().take(MAX_GRANTEES - 1).take_while(|step| {
        let is_alike = step.execute_as == first.execute_as
            && step.temporary_memberships == first.temporary_memberships
            && step.temporary_usage == first.temporary_usage
            && matches!(
                (first.statements.as_slice(), step.statements.as_slice()),
                ([first], [other]) if first.differs_in_grantee_only(other)
            );
        is_alike && grantees.insert(grantee(step).unwrap_or_default())
    });
    &steps[..1 + others.count()]
}

/// Returns the grantee of a step as SQL.
fn grantee(step: &Step) -> Option<&str> {
    step.statements.first().and_then(Statement::grantee)
}

/// Returns the statement of steps that are executed together.
fn joint(steps: &[Step]) -> Statement {
    let statements = steps.iter().flat_map(|step| &step.statements);
    let first = statements.clone().next();
    let grantees = statements.filter_map(Statement::grantee);
    first.map_or_else(|| Statement::plain(String::new()), |first| first.with_grantees(grantees))
}

/// The lines of a script while it is written, and the role that executes the next one.
struct Script<'a> {
    lines: Vec<Line<'a>>,
    execute_as: &'a ExecuteAs,
}

impl<'a> Script<'a> {
    fn grant_usage(&mut self, temporary_usage: &'a [TemporaryUsage]) {
        for usage in temporary_usage {
            self.switch_role(&usage.granted_by);
            self.lines.push(Line::GrantUsage(usage));
        }
    }

    fn revoke_usage(&mut self, temporary_usage: &'a [TemporaryUsage]) {
        for usage in temporary_usage {
            self.switch_role(&usage.granted_by);
            self.lines.push(Line::RevokeUsage(usage));
        }
    }

    fn switch_role(&mut self, execute_as: &'a ExecuteAs) {
        if self.execute_as == execute_as {
            return;
        }
        if *self.execute_as != ExecuteAs::Administrator {
            self.lines.push(Line::ResetRole);
        }
        if let ExecuteAs::Role(role) = execute_as {
            self.lines.push(Line::SetRole(role));
        }
        self.execute_as = execute_as;
    }
}

#[cfg(test)]
mod tests;
