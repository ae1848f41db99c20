//! A plan as people read it: text like a diff, and a script that a DBA can read and run.

use std::fmt::Write as _;

use super::{Action, Hazard, Plan, Scope, Statement, Step};

impl Step {
    fn sign(&self) -> char {
        match self.action {
            Action::Revoke => '-',
            Action::DefaultPrivileges if self.hazards.contains(&Hazard::RevokesAccess) => '-',
            Action::CreateRole
            | Action::CreateDatabase
            | Action::CreateSchema
            | Action::CreateExtension
            | Action::Grant
            | Action::DefaultPrivileges => '+',
            Action::AlterRole
            | Action::SetPassword
            | Action::AlterDatabase
            | Action::SetParameter
            | Action::ReassignOwned
            | Action::Adopt => '~',
        }
    }
}

impl Scope {
    fn title(&self) -> String {
        match self {
            Self::Cluster => "roles and databases".to_owned(),
            Self::NewDatabase(name) => format!("new database {name}"),
            Self::Database(name) => format!("inside database {name}"),
        }
    }
}

fn line(step: &Step) -> String {
    let hazards: Vec<String> = step.hazards.iter().map(ToString::to_string).collect();
    let hazards =
        if hazards.is_empty() { String::new() } else { format!("   [{}]", hazards.join(", ")) };
    format!("  {} {} {}{hazards}", step.sign(), step.action, step.summary)
}

impl Plan {
    /// Text that reads like a diff.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("Plan for environment {}\n", self.environment);
        for refusal in &self.refusals {
            let _ = write!(
                text,
                "\nrefused ({}): {}\n  what to do: {}\n",
                refusal.application, refusal.message, refusal.remedy
            );
        }
        for transaction in &self.transactions {
            let _ = writeln!(text, "\n{}", transaction.scope.title());
            for step in &transaction.steps {
                let _ = writeln!(text, "{}", line(step));
            }
        }
        for orphan in &self.orphaned {
            let _ = writeln!(
                text,
                "\norphaned: {} {} (of application {}) is managed but no longer declared; it is left as it is",
                orphan.kind, orphan.name, orphan.application
            );
            for held in &orphan.holds {
                let _ = writeln!(text, "  {held}");
            }
        }
        for undeclared in &self.undeclared {
            let kept = if undeclared.closed { "; it is kept closed to PUBLIC" } else { "" };
            let _ = writeln!(
                text,
                "\nundeclared: database {} belongs to role {} (of application {}){kept}",
                undeclared.database, undeclared.owner, undeclared.application
            );
        }
        for unseen in &self.unseen {
            let _ = writeln!(text, "\nnot seen: {unseen}; `apply` looks once it can, and goes on");
        }
        for note in &self.notes {
            let _ = writeln!(text, "\nnote: {note}");
        }
        let steps = self.steps().count();
        let closing = match (self.refusals.len(), steps) {
            (0, 0) if self.applications.is_empty() => {
                "Nothing to do: no applications are declared.".to_owned()
            }
            (0, 0) => "Nothing to do: the server is as declared.".to_owned(),
            (0, n) => format!("{n} to change. {}", self.digest),
            (r, _) => {
                format!("Refused for {r} reason(s): nothing will be done until each is settled.")
            }
        };
        let _ = writeln!(text, "\n{closing}");
        text
    }

    /// A script for `psql`, connected as the administrator to its own database.
    #[must_use]
    pub fn to_sql(&self) -> String {
        let mut text = format!(
            "-- environment {}, {}\n-- Passwords stand as placeholders: put a SCRAM verifier in their place.\n\\set ON_ERROR_STOP on\n",
            self.environment, self.digest
        );
        for refusal in &self.refusals {
            let _ = writeln!(
                text,
                "-- refused ({}): {}; {}",
                one_line(refusal.application.as_str()),
                one_line(&refusal.message),
                one_line(&refusal.remedy)
            );
        }
        for transaction in &self.transactions {
            let _ = writeln!(text, "\n-- {}", one_line(&transaction.scope.title()));
            if let Scope::Database(name) = &transaction.scope {
                let _ = writeln!(text, "\\connect {}", name.quoted());
            }
            for (_, statement) in transaction.script(self.server_major) {
                let _ = writeln!(text, "{};", Statement::shown(&statement));
            }
        }
        text
    }

    /// The JSON form.
    ///
    /// # Errors
    /// None in practice: the plan is plain data.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

/// A comment must not run into the next line, where it would be a statement.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
