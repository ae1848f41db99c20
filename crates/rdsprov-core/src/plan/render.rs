//! A plan as people read it: text like a diff, and a script that a DBA can read and run.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt::Write as _;

use super::{Action, Hazard, Plan, Scope, SlotError, Slots, Statement, Step};
use crate::name::{DatabaseName, literal, quote};
use crate::secrets::SecretId;

impl<S> Step<S> {
    fn sign(&self) -> char {
        match self.action {
            Action::Revoke => '-',
            Action::DefaultPrivileges if self.hazards.contains(&Hazard::RevokesAccess) => '-',
            Action::CreateRole
            | Action::CreateDatabase
            | Action::CreateSchema
            | Action::CreateSecret
            | Action::CreateExtension
            | Action::CreatePending
            | Action::Grant
            | Action::DefaultPrivileges => '+',
            Action::AlterRole
            | Action::SetPassword
            | Action::AlterDatabase
            | Action::AlterSchema
            | Action::SetParameter
            | Action::ReassignOwned
            | Action::Adopt
            | Action::FinishRotation
            | Action::RestorePassword => '~',
            Action::TestPassword => '?',
        }
    }
}

impl Scope {
    pub(super) fn title(&self) -> String {
        match self {
            Self::Cluster => "roles and databases".to_owned(),
            Self::NewDatabase(name) => format!("new database {name}"),
            Self::Database(name) => format!("inside database {name}"),
        }
    }
}

/// Names come from elsewhere: a line break or a terminal's control sequence in one must not look like ours.
pub(crate) fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// The step's line in the text.
pub(super) fn line<S>(step: &Step<S>) -> String {
    let hazards: Vec<String> = step.hazards.iter().map(ToString::to_string).collect();
    let hazards =
        if hazards.is_empty() { String::new() } else { format!("   [{}]", hazards.join(", ")) };
    format!("  {} {} {}{hazards}", step.sign(), step.action, visible(&step.summary))
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
                refusal.application,
                visible(&refusal.message),
                visible(&refusal.remedy)
            );
        }
        for transaction in &self.transactions {
            let _ = writeln!(text, "\n{}", visible(&transaction.scope.title()));
            for step in &transaction.steps {
                let _ = writeln!(text, "{}", line(step));
            }
        }
        self.write_orphans_and_undeclared(&mut text);
        for deferred in &self.deferred {
            let deferred = visible(deferred);
            let _ =
                writeln!(text, "\nnot seen: {deferred}; `apply` looks once it can, and goes on");
        }
        for note in &self.notes {
            let _ = writeln!(text, "\nnote: {}", visible(note));
        }
        let _ = writeln!(text, "\n{}", self.closing());
        text
    }

    /// All of it in one sentence.
    pub(super) fn closing(&self) -> String {
        let steps = self.steps().count();
        match (self.refusals.len(), steps) {
            (0, 0) if self.applications.is_empty() => {
                "Nothing to do: no applications are declared.".to_owned()
            }
            (0, 0) => "Nothing to do: the server is as declared.".to_owned(),
            (0, n) => format!("{n} to change. {}", self.digest),
            (r, _) => {
                format!("Refused for {r} reason(s): nothing will be done until each is settled.")
            }
        }
    }

    /// What stands beside the definitions.
    fn write_orphans_and_undeclared(&self, text: &mut String) {
        if !self.orphaned.is_empty() {
            let _ = writeln!(text, "\norphaned: managed, no longer declared, left as they are");
        }
        for orphan in &self.orphaned {
            let _ = writeln!(
                text,
                "  {} {}, of application {}",
                orphan.kind,
                visible(&orphan.name),
                visible(&orphan.application)
            );
            for held in &orphan.holds {
                let _ = writeln!(text, "    {}", visible(held));
            }
        }
        if !self.undeclared.is_empty() {
            let _ = writeln!(text, "\nundeclared: made by declared roles for themselves");
        }
        for undeclared in &self.undeclared {
            let kept = if undeclared.closed { ", kept closed to PUBLIC" } else { "" };
            let _ = writeln!(
                text,
                "  database {} of role {}, of application {}{kept}",
                visible(undeclared.database.as_str()),
                visible(undeclared.owner.as_str()),
                undeclared.application
            );
        }
    }

    /// A script for `psql`, connected as the administrator to its own database. It wants a variable for
    /// each verifier, and says so before it does anything; of a refused plan it holds no statement.
    #[must_use]
    pub fn to_sql(&self) -> String {
        let secrets: BTreeSet<&SecretId> = self
            .steps()
            .flat_map(|step| &step.statements)
            .filter_map(|statement| match statement {
                Statement::Password { secret, .. } => Some(secret),
                _ => None,
            })
            .collect();
        let variables: BTreeMap<&SecretId, String> = secrets
            .into_iter()
            .enumerate()
            .map(|(number, secret)| (secret, format!("verifier_{}", number + 1)))
            .collect();
        let mut wants = String::new();
        for (secret, variable) in &variables {
            let missing = format!(
                "give psql -v {variable}=… with the SCRAM-SHA-256 verifier of the password in {secret}, or plan with --with-verifiers"
            );
            let _ = write!(wants, "\\if :{{?{variable}}}\n\\else\n{}\\endif\n", stop(&missing));
        }
        let written: Result<_, Infallible> =
            self.script(&wants, |statement| Ok(statement.to_psql(&variables)));
        written.unwrap_or_else(|never| match never {})
    }

    /// The same script with the verifiers in it: whoever runs it needs no secret.
    ///
    /// # Errors
    /// Where a slot cannot be filled.
    pub fn to_sql_with_verifiers(&self, slots: &dyn Slots) -> Result<String, SlotError> {
        self.script("", |statement| statement.executable(slots))
    }

    /// A script that begins with what it wants, its statements written somehow.
    fn script<E>(
        &self,
        wants: &str,
        written: impl Fn(&Statement) -> Result<String, E>,
    ) -> Result<String, E> {
        let mut text = format!("-- environment {}, {}\n", self.environment, self.digest);
        text.push_str(
            "-- psql goes on after a warning, also where nothing was granted (01007) or revoked (01006):\n\
             -- afterwards `rdsprov check` tells whether the server is as declared.\n\
             \\set ON_ERROR_STOP on\n",
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
        if !self.refusals.is_empty() {
            text.push_str(&stop("the plan is refused: see the comments of this script"));
            return Ok(text);
        }
        text.push_str(wants);
        for transaction in &self.transactions {
            let _ = writeln!(text, "\n-- {}", one_line(&transaction.scope.title()));
            if let Scope::Database(name) = &transaction.scope {
                text.push_str(&connect(name));
            }
            for (_, statement) in transaction.script(self.server_major) {
                let _ = writeln!(text, "{};", written(&statement)?);
            }
        }
        Ok(text)
    }

    /// The JSON form.
    ///
    /// # Errors
    /// None in practice: the plan is plain data.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

/// A statement that ends a script of psql, since it fails.
fn stop(message: &str) -> String {
    let message = literal(&one_line(message).replace('%', "%%"));
    format!("DO $stop$ BEGIN RAISE EXCEPTION {message}; END $stop$;\n")
}

/// The way of a script to another database of the same server. psql would take a name with `=` in it, or one that
/// begins as a URI does, for a connection string, and so gets one: a value quoted for libpq, in an argument
/// quoted for psql.
fn connect(database: &DatabaseName) -> String {
    let value = database.as_str().replace('\\', r"\\").replace('\'', r"\'");
    format!("\\connect -reuse-previous=on {}\n", quote(&format!("dbname='{value}'")))
}

/// A comment must not run into the next line, where it would be a statement.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_to_psql_so_that_it_is_no_connection_string() {
        for (name, line) in [
            ("shop", r#"\connect -reuse-previous=on "dbname='shop'""#),
            ("a=b c", r#"\connect -reuse-previous=on "dbname='a=b c'""#),
            (
                "postgresql://host/x",
                r#"\connect -reuse-previous=on "dbname='postgresql://host/x'""#,
            ),
            (r#"it's "x" \"#, r#"\connect -reuse-previous=on "dbname='it\'s ""x"" \\'""#),
        ] {
            assert_eq!(connect(&DatabaseName::new_unchecked(name)), format!("{line}\n"));
        }
    }
}
