//! The statements of a transaction in the order of execution: those of the steps, and around them temporary
//! memberships, temporary usage and changes of the role.

use std::collections::BTreeSet;

use super::{Statement, grant_membership, grant_usage, revoke_usage};
use crate::name::RoleName;
use crate::plan::{ExecuteAs, TemporaryUsage, Transaction};

impl Transaction {
    /// Returns all statements in order: those of the steps, and around them the statement that runs first, temporary
    /// memberships, changes of the role and temporary usage. The number is the index of the step, if there is one.
    #[must_use]
    pub fn script(&self, server_major: u32) -> Vec<(Option<usize>, Statement)> {
        let mut script = Script { lines: Vec::new(), execute_as: &ExecuteAs::Administrator };
        if let Some(before) = &self.before {
            script.lines.push((Some(0), before.clone()));
        }
        script.push_sql("BEGIN".to_owned());
        let mut granted = BTreeSet::new();
        let mut granted_usage: &[TemporaryUsage] = &[];
        for (number, step) in self.steps.iter().enumerate() {
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
                script.push_sql(grant_membership(role, *option, server_major));
            }
            if !stays_granted {
                script.grant_usage(&step.temporary_usage);
            }
            granted_usage = &step.temporary_usage;
            script.switch_role(&step.execute_as);
            let statements = step.statements.iter().cloned();
            script.lines.extend(statements.map(|statement| (Some(number), statement)));
        }
        script.revoke_usage(granted_usage);
        script.switch_role(&ExecuteAs::Administrator);
        for role in granted {
            script.push_sql(self.release(role));
        }
        script.push_sql("COMMIT".to_owned());
        script.lines
    }

    /// Revokes a temporary membership, or restores the one that the administrator had before.
    fn release(&self, role: &RoleName) -> String {
        match self.memberships_to_restore.get(role) {
            None => format!("REVOKE {} FROM CURRENT_USER", role.quoted()),
            Some((inherit, set)) => {
                format!("GRANT {} TO CURRENT_USER WITH INHERIT {inherit}, SET {set}", role.quoted())
            }
        }
    }
}

/// The statements of a transaction while it is written, and the role that executes the next one.
struct Script<'a> {
    lines: Vec<(Option<usize>, Statement)>,
    execute_as: &'a ExecuteAs,
}

impl<'a> Script<'a> {
    fn push_sql(&mut self, text: String) {
        self.lines.push((None, Statement::Sql(text)));
    }

    fn grant_usage(&mut self, temporary_usage: &'a [TemporaryUsage]) {
        for usage in temporary_usage {
            self.switch_role(&usage.granted_by);
            self.lines.push((None, grant_usage(&usage.schema, &usage.grantee)));
        }
    }

    fn revoke_usage(&mut self, temporary_usage: &'a [TemporaryUsage]) {
        for usage in temporary_usage {
            self.switch_role(&usage.granted_by);
            self.lines.push((None, revoke_usage(&usage.schema, &usage.grantee)));
        }
    }

    fn switch_role(&mut self, execute_as: &'a ExecuteAs) {
        if self.execute_as == execute_as {
            return;
        }
        if *self.execute_as != ExecuteAs::Administrator {
            self.push_sql("RESET ROLE".to_owned());
        }
        if let ExecuteAs::Role(role) = execute_as {
            self.push_sql(format!("SET LOCAL ROLE {}", role.quoted()));
        }
        self.execute_as = execute_as;
    }
}
