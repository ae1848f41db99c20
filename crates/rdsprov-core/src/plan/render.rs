//! Renders a plan as text like a diff, and as a script for `psql`.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt::Write as _;

use super::groups::{Change, Detail, Kind};
use super::refusal::{RefusalsByHint, by_hint};
use super::sql::ScriptVariables;
use super::words;
use super::{
    BEGIN_SESSION, Hazard, Line, Note, NoteKind, Plan, RefusalKind, Scope, SlotError, Slots,
    Statement, Step, session_settings,
};
use crate::audit_table::AuditedRun;
use crate::hint;
use crate::hint::{Hint, Neutral, Operation, Opt, Part, Wording};
use crate::name::{ApplicationName, DatabaseName, LOCK_DATABASE, literal};
use crate::policy::{ApprovalPolicy, Policy};
use crate::secret_id::SecretId;
use crate::text::{characters, counted, is_shown_as_it_is, pretty_json, visible};

/// The build id, the run id and the actor of a script.
const SCRIPT: &str = "script";

impl Scope {
    pub(super) fn title(&self) -> String {
        match self {
            Self::Cluster => "roles and databases".to_owned(),
            Self::NewDatabase(name) => format!("new database {name}"),
            Self::DroppedDatabase(name) => format!("dropped database {name}"),
            Self::Secrets => "Secrets Manager".to_owned(),
            Self::Database(name) => format!("inside database {name}"),
        }
    }
}

/// Returns the line of a step in messages: `+ create role shop_user: LOGIN`.
pub(crate) fn line<S>(step: &Step<S>) -> String {
    line_of(step.kind(), &step.words(), &step.hazards, 1)
}

fn line_of(kind: Kind, words: &str, hazards: &BTreeSet<Hazard>, count: usize) -> String {
    let steps = if count > 1 { format!(" ({count} steps)") } else { String::new() };
    let hazards: Vec<String> = hazards.iter().map(ToString::to_string).collect();
    let hazards =
        if hazards.is_empty() { String::new() } else { format!("   [{}]", hazards.join(", ")) };
    format!("{} {}{steps}{hazards}", kind.sign(), visible(words))
}

/// Returns the lines of a change: the change itself, the code that it gives to a new owner, and in full
/// detail its statements.
pub(super) fn change_lines(change: &Change<'_>, detail: Detail) -> Vec<String> {
    let mut lines = vec![line_of(change.kind, &change.words, &change.step.hazards, change.count())];
    lines.extend(code_lines(change.step));
    if detail == Detail::Full {
        let lost = change.step.lost_if_cut();
        lines.extend(
            lost.map(|(access, names)| format!("    can no longer {access}: {}", visible(&names))),
        );
        for statement in change.before.into_iter().chain(&change.step.statements) {
            let statement = statement_lines(&format!("{};", statement.redacted()));
            lines.extend(statement.iter().map(|line| format!("    {}", visible(line))));
        }
    }
    lines
}

/// Returns the lines of a statement. The body of a `DO` statement is one literal, of which the lines are broken
/// between words, so that the block stays the same for the server.
fn statement_lines(statement: &str) -> Vec<String> {
    const WIDTH: usize = 100;
    let Some((begin, body)) = statement.split_once('\'').filter(|(begin, _)| *begin == "DO ")
    else {
        return statement.lines().map(str::to_owned).collect();
    };
    let mut lines = Vec::new();
    let mut line = format!("{begin}'");
    // Literals and quoted names inside the body stay as they are.
    let (mut is_literal, mut is_name) = (false, false);
    let mut rest = body.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' if rest.next_if_eq(&'\'').is_some() => {
                is_literal ^= !is_name;
                line.push('\'');
            }
            '"' => is_name ^= !is_literal,
            _ => {}
        }
        let is_full = line.ends_with(';') || line.chars().count() >= WIDTH;
        if c == ' ' && is_full && !is_literal && !is_name {
            lines.push(std::mem::replace(&mut line, "  ".to_owned()));
        } else {
            line.push(c);
        }
    }
    lines.push(line);
    lines
}

/// Returns the lines below a step that name the code which it gives to a new owner.
fn code_lines<S>(step: &Step<S>) -> Vec<String> {
    const SHOWN: usize = 20;
    let shown = step.code.iter().take(SHOWN);
    let mut lines: Vec<String> =
        shown.map(|one| format!("    {} {}", one.kind, visible(&one.name))).collect();
    if let Some(others @ [_, ..]) = step.code.get(SHOWN..) {
        let (count, kinds) = (others.len(), words::counted(others));
        lines.push(format!("    and {count} more ({kinds}), which the JSON of the plan lists"));
    }
    lines
}

/// How many roles with undeclared access a text names. A role with `CREATEROLE` can create any number.
const MOST_ROLES: usize = 20;

impl Plan {
    /// Returns the notes that a text with this detail contains, and how many others there are about undeclared access.
    pub(super) fn shown_notes(&self, detail: Detail) -> (Vec<&Note>, usize) {
        let is_access = |note: &&Note| matches!(note.0, NoteKind::UndeclaredAccess { .. });
        shown(self.notes.iter(), is_access, detail)
    }

    /// Returns the refusals that a text with this detail contains, and how many others there are about undeclared
    /// access.
    pub(super) fn shown_refusals(&self, detail: Detail) -> (Vec<RefusalsByHint<'_>>, usize) {
        let is_access = |group: &RefusalsByHint<'_>| {
            matches!(group.refusals[0].kind, RefusalKind::AccessNotDeclared { .. })
        };
        shown(by_hint(&self.refusals).into_iter(), is_access, detail)
    }
}

/// Returns the roles with undeclared access that a text does not name, in words.
pub(super) fn roles_left_out(count: usize) -> String {
    format!(
        "{count} more {} not declared {} access, which the JSON of the plan lists",
        if count == 1 { "role that is" } else { "roles that are" },
        if count == 1 { "has" } else { "have" },
    )
}

fn shown<T>(
    all: impl Iterator<Item = T>,
    is_access: impl Fn(&T) -> bool,
    detail: Detail,
) -> (Vec<T>, usize) {
    let (mut shown, mut count) = (Vec::new(), 0);
    for one in all {
        count += usize::from(is_access(&one));
        if count <= MOST_ROLES || detail == Detail::Full || !is_access(&one) {
            shown.push(one);
        }
    }
    let left_out = if detail == Detail::Full { 0 } else { count.saturating_sub(MOST_ROLES) };
    (shown, left_out)
}

impl Plan {
    /// Returns the plan as text like a diff, with options and operations in their neutral spelling.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.to_text_worded(&Neutral)
    }

    /// Returns the plan as text like a diff, with options and operations as a
    /// front end spells them.
    #[must_use]
    pub fn to_text_worded(&self, wording: &dyn Wording) -> String {
        self.to_text_with(wording, Detail::Brief)
    }

    /// Returns the same text with this detail.
    #[must_use]
    pub fn to_text_with(&self, wording: &dyn Wording, detail: Detail) -> String {
        let mut text = format!("{}\n", visible(&self.title()));
        for line in self.settings_in_words(wording) {
            let _ = writeln!(text, "  {}", visible(&line));
        }
        let (refusals, refused_roles) = self.shown_refusals(detail);
        for group in refusals {
            text.push('\n');
            for refusal in group.refusals {
                let _ = writeln!(
                    text,
                    "refused[{}] {}: {}",
                    refusal.code(),
                    visible(refusal.application.as_str()),
                    visible(&refusal.message())
                );
            }
            for hint in group.hints {
                let _ = writeln!(text, "  hint: {}", visible(&hint.worded(wording)));
            }
        }
        if refused_roles > 0 {
            let _ = writeln!(text, "\nrefused: {}", roles_left_out(refused_roles));
        }
        for group in self.groups(detail) {
            let _ = writeln!(text, "\n{}", visible(&group.title()));
            for line in group.changes.iter().flat_map(|change| change_lines(change, detail)) {
                let _ = writeln!(text, "  {line}");
            }
        }
        if !self.pending.is_empty() {
            let _ = writeln!(
                text,
                "\npending: not applied, because it takes access away or waits for a change that does"
            );
        }
        for group in self.pending_groups() {
            let _ = writeln!(text, "  {}", visible(&group.title()));
            for line in group.changes.iter().flat_map(|one| change_lines(one, Detail::Brief)) {
                let _ = writeln!(text, "    {line}");
            }
        }
        if let Some(hint) = self.hint_about_pending() {
            let _ = writeln!(text, "  hint: {}", visible(&hint.worded(wording)));
        }
        self.write_orphans_and_undeclared(&mut text, wording, detail);
        for deferred in &self.deferred {
            let deferred = visible(&deferred.comparison);
            let apply = wording.operation(Operation::Apply);
            let _ =
                writeln!(text, "\ndeferred: {deferred}; {apply} compares it in its second plan");
        }
        let (notes, noted_roles) = self.shown_notes(detail);
        for note in notes {
            let _ = writeln!(text, "\nnote[{}]: {}", note.code(), visible(&note.message()));
            for hint in note.hints() {
                let _ = writeln!(text, "  hint: {}", visible(&hint.worded(wording)));
            }
        }
        if noted_roles > 0 {
            let _ = writeln!(text, "\nnote: {}", roles_left_out(noted_roles));
        }
        if let Some(hazards) = self.hazards_in_words() {
            let _ = writeln!(text, "\n{hazards}");
        }
        if let Some(hint) = self.hint_about_hazards() {
            let _ = writeln!(text, "  hint: {}", hint.worded(wording));
        }
        let _ = writeln!(text, "\n{}", visible(&self.closing()));
        text
    }

    /// Returns the hazards with the numbers of their steps: `Hazards: adopts (2 steps)`.
    pub(super) fn hazards_in_words(&self) -> Option<String> {
        let in_words = |hazard: Hazard| {
            let count = self.steps().filter(|step| step.hazards.contains(&hazard)).count();
            format!("{hazard} ({})", counted(count, "step"))
        };
        let hazards: Vec<String> = self.hazards().into_iter().map(in_words).collect();
        (!hazards.is_empty()).then(|| format!("Hazards: {}", hazards.join(", ")))
    }

    /// Returns the hazards that the environment does not allow by itself, and that no option has allowed. A
    /// plan of `apply` that changes owners was made with such an option.
    #[must_use]
    pub fn hazards_to_allow(&self) -> Vec<Hazard> {
        let approval = self.origin.approval.as_deref();
        let approval =
            approval.and_then(|name| ApprovalPolicy::all().find(|one| one.name() == name));
        let policy = Policy::declared(&self.environment, approval);
        let is_delegation =
            self.steps().any(|step| step.application == ApplicationName::for_delegates());
        let must_be_allowed = |one: &Hazard| {
            !self.allowed_hazards.contains(one.name())
                && (*one == Hazard::ChangesOwner && !is_delegation || one.must_be_allowed(&policy))
        };
        self.hazards().into_iter().filter(must_be_allowed).collect()
    }

    /// Returns which options allow the hazards that are not allowed yet, and confirm what is dropped.
    pub(super) fn hint_about_hazards(&self) -> Option<Hint> {
        let hazards = self.hazards_to_allow().into_iter();
        let options: Vec<Part> =
            hazards.flat_map(|one| [" ".into(), (Opt::Allow, one).into()]).collect();
        let begin = Part::from("to apply this plan, add");
        let databases = self.dropped_databases().into_iter();
        let names: Vec<String> = databases.map(|one| one.as_str().to_owned()).collect();
        let needs_backup = self.lacks_backup();
        let is_executable = self.refusals.is_empty() && (!options.is_empty() || needs_backup);
        let confirm = (!names.is_empty()).then(|| [" ".into(), Part::Options(Opt::Confirm, names)]);
        let backup = needs_backup
            .then(|| [" ".into(), Opt::Backup.into(), " or ".into(), Opt::WithoutBackup.into()]);
        let options = options.into_iter().chain(confirm.into_iter().flatten());
        let options = options.chain(backup.into_iter().flatten());
        is_executable.then(|| std::iter::once(begin).chain(options).collect())
    }

    /// Returns how many roles and databases definitions of other scopes manage.
    pub(super) fn other_scopes_in_words(&self) -> Option<String> {
        match self.in_other_scopes {
            0 => None,
            1 => Some("other scopes: 1 managed role or database, not compared".to_owned()),
            some => Some(format!("other scopes: {some} managed roles and databases, not compared")),
        }
    }

    /// Returns a script for `psql`, to be run as the administrator in the administrator database.
    /// It fails at its start unless a variable contains each verifier. The script of a refused
    /// plan contains no statements.
    #[must_use]
    pub fn to_sql(&self) -> String {
        self.to_sql_worded(&Neutral)
    }

    /// Returns the same script, with options and operations as a front end spells them.
    #[must_use]
    pub fn to_sql_worded(&self, wording: &dyn Wording) -> String {
        let secrets: BTreeSet<&SecretId> =
            self.steps().flat_map(|step| &step.statements).filter_map(Statement::secret).collect();
        let verifiers: BTreeMap<&SecretId, String> = secrets
            .into_iter()
            .enumerate()
            .map(|(number, secret)| (secret, format!("verifier_{}", number + 1)))
            .collect();
        let mut wants = String::new();
        for (secret, variable) in &verifiers {
            let missing = hint![
                format!(
                    "give psql -v {variable}=… with the SCRAM-SHA-256 verifier of the password in {secret}, or plan with "
                ),
                Opt::WithVerifiers
            ];
            let missing = missing.worded(wording);
            let _ = write!(wants, "\\if :{{?{variable}}}\n\\else\n{}\\endif\n", stop(&missing));
        }
        let audited_run = self.run_of_script();
        let variables =
            ScriptVariables { verifiers, oids: self.variables_with_oids(), audited_run };
        let written: Result<_, Infallible> =
            self.script(wording, &wants, |statement| Ok(statement.to_psql(&variables)));
        written.unwrap_or_else(|never| match never {})
    }

    /// Returns the same script with the verifiers in it, so that it needs no variables.
    ///
    /// # Errors
    /// Returns an error if a slot cannot be filled.
    pub fn to_sql_with_verifiers(
        &self,
        slots: &dyn Slots,
        wording: &dyn Wording,
    ) -> Result<String, SlotError> {
        let oids = self.variables_with_oids();
        let variables = ScriptVariables { oids, ..ScriptVariables::default() };
        self.script(wording, "", |statement| match statement.created_database() {
            Some(_) => Ok(statement.to_psql(&variables)),
            None => statement.executable(slots),
        })
    }

    /// Returns the values of a script in the rows of the audit table: the actor is whoever executes it, whom the
    /// script does not know.
    pub(crate) fn run_of_script(&self) -> AuditedRun<'_> {
        AuditedRun {
            environment: &self.environment,
            build_id: SCRIPT,
            run_id: SCRIPT,
            plan: &self.digest,
            actor: SCRIPT,
        }
    }

    /// Returns the variables of a script with the OIDs of the databases that it has created.
    fn variables_with_oids(&self) -> BTreeMap<&DatabaseName, String> {
        let created = self.transactions.iter().filter_map(|one| match &one.scope {
            Scope::NewDatabase(name) => Some(name),
            Scope::Cluster | Scope::DroppedDatabase(_) | Scope::Secrets | Scope::Database(_) => {
                None
            }
        });
        created
            .enumerate()
            .map(|(number, name)| (name, format!("database_{}_oid", number + 1)))
            .collect()
    }

    /// Returns a script that begins with its requirements; `written` writes each statement.
    fn script<E>(
        &self,
        wording: &dyn Wording,
        wants: &str,
        written: impl Fn(&Statement) -> Result<String, E>,
    ) -> Result<String, E> {
        let restriction = one_line(&self.restriction());
        let mut text =
            format!("-- environment {}{restriction}, {}\n", self.environment, self.digest);
        let _ = write!(
            text,
            "-- psql continues after a warning, also if nothing was granted (01007) or revoked (01006):\n\
             -- verify afterwards with {} that the server has converged.\n\
             \\set ON_ERROR_STOP on\n",
            wording.operation(Operation::Check)
        );
        for group in by_hint(&self.refusals) {
            for refusal in group.refusals {
                let _ = writeln!(
                    text,
                    "-- refused[{}] {}: {}",
                    refusal.code(),
                    one_line(refusal.application.as_str()),
                    one_line(&refusal.message())
                );
            }
            let hint = Hint::joined(&group.hints).worded(wording);
            let _ = writeln!(text, "-- hint: {}", one_line(&hint));
        }
        for step in &self.pending {
            let _ = writeln!(text, "-- pending: {}", one_line(&line(step)));
        }
        if !self.refusals.is_empty() {
            text.push_str(&stop("the plan is refused: see the comments of this script"));
            return Ok(text);
        }
        text.push_str(wants);
        text.push_str(&begin_session());
        let oids = self.variables_with_oids();
        let shared = DatabaseName::new_unchecked(LOCK_DATABASE);
        let mut current = None;
        for transaction in &self.transactions {
            let _ = writeln!(text, "\n-- {}", one_line(&transaction.scope.title()));
            // Roles and databases can be changed in any database, but their audit rows are in one.
            let place = match &transaction.scope {
                Scope::Database(name) => Some(name),
                _ => {
                    let is_audited = transaction.audit.is_some() && current != Some(&shared);
                    is_audited.then_some(&shared)
                }
            };
            if let Some(name) = place {
                text.push_str(&connect(name));
                text.push_str(&begin_session());
                current = Some(name);
            }
            if transaction.scope == Scope::Secrets {
                for step in &transaction.steps {
                    let _ = writeln!(text, "-- not by this script: {}", one_line(&step.words()));
                }
            }
            for line in transaction.script() {
                let statement = written(&line.statement(self.server_major))?;
                let _ = match line {
                    // The only column is `oid`, which follows the prefix in the name of the variable.
                    Line::RememberOid(name) => {
                        let prefix = oids[name].trim_end_matches("oid");
                        writeln!(text, "{statement} \\gset {prefix}")
                    }
                    _ => writeln!(text, "{statement};"),
                };
            }
        }
        Ok(text)
    }

    /// Returns the plan as JSON.
    ///
    /// # Errors
    /// Never in practice: a plan contains only data that JSON can represent.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        pretty_json(self)
    }
}

/// Returns a statement that fails with a message and so ends a script.
fn stop(message: &str) -> String {
    let message = literal(&one_line(message).replace('%', "%%"));
    format!("DO $stop$ BEGIN RAISE EXCEPTION {message}; END $stop$;\n")
}

/// Returns the command that connects a script to another database of the server. psql interprets a
/// name that contains `=`, or that begins like a URI, as a connection string. So the name is
/// written as one: a value quoted for libpq, in an argument quoted for psql.
fn connect(database: &DatabaseName) -> String {
    let value = database.as_str().replace('\\', r"\\").replace('\'', r"\'");
    let value = format!("dbname='{value}'");
    let argument = if is_shown_as_it_is(&value) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        // Between single quotes, psql reads bytes that no output contains as octal numbers.
        let octal = |c: char| -> String {
            c.to_string().bytes().map(|byte| format!("\\{byte:03o}")).collect()
        };
        let quoted = characters(&value).map(|(c, is_escaped)| match c {
            _ if is_escaped => octal(c),
            '\\' => r"\\".to_owned(),
            '\'' => "''".to_owned(),
            _ => c.to_string(),
        });
        format!("'{}'", quoted.collect::<String>())
    };
    format!("\\connect -reuse-previous=on {argument}\n")
}

/// Returns the lines that make a session of a script independent of stored settings. `\\gset`
/// prints no row.
fn begin_session() -> String {
    let mut lines = String::from("SET client_encoding = 'UTF8';\n");
    for statement in BEGIN_SESSION {
        let _ = writeln!(lines, "{statement};");
    }
    let _ = writeln!(lines, "{} \\gset", session_settings());
    lines
}

/// Returns a text for a comment, in one line without hidden characters: the second line of a
/// comment would be executed as a statement.
fn one_line(text: &str) -> String {
    visible(&text.replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_broken_between_words() {
        assert_eq!(statement_lines("GRANT a TO b;"), ["GRANT a TO b;"]);
        let words = "word ".repeat(30);
        let block = format!(
            "DO 'DECLARE one record; BEGIN PERFORM {words}''a; it''''s; b'', \"x; y\"; {words}; END';"
        );
        let lines = statement_lines(&block);
        assert_eq!(
            lines[..2],
            [
                "DO 'DECLARE one record;".to_owned(),
                format!("  BEGIN PERFORM {}", "word ".repeat(16) + "word")
            ]
        );
        assert!(
            lines.iter().any(|line| line.ends_with(r#"''a; it''''s; b'', "x; y";"#)),
            "{lines:?}"
        );
        assert!(lines.iter().all(|line| line.chars().count() < 130), "{lines:?}");
        let spaces = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(spaces(&lines.join("\n")), spaces(&block));
    }

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
            (
                "it's\u{202e}\u{1b}",
                r"\connect -reuse-previous=on 'dbname=''it\\''s\342\200\256\033'''",
            ),
        ] {
            assert_eq!(connect(&DatabaseName::new_unchecked(name)), format!("{line}\n"));
        }
    }
}
