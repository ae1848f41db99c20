//! An export as the text of a definitions file, with what a plan would change as comments.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, DraftEntry};
use super::entry_text;
use super::level::widened_columns;
use super::scope::ExportFormat;
use crate::definitions::Application;
use crate::hint::{Operation, Opt, Wording};
use crate::name::ApplicationName;
use crate::observed::{Grantee, Observed, StoredSettings};
use crate::plan::{Action, Note, Plan, Refusal, SecretFindings, step_line};
use crate::probe::{Probe, ProbeResult};
use crate::text::visible;

/// The number of assumed permissions that the text names.
const NAMED: usize = 5;

/// The number of tables with privileges on columns that the comments of an entry name.
const WIDENED: usize = 10;

/// What the plan of an entry contains besides the adoption.
#[derive(Debug)]
enum Difference {
    /// A step, as the plan prints it.
    Step(String),
    Refusal(Box<Refusal>),
    /// A refusal, if the administrator may not make a change that was not probed.
    Possible(Box<Refusal>),
}

/// Definitions of a live server, with what a plan of them would change.
#[derive(Debug)]
pub struct Export {
    draft: Draft,
    /// The server and its version: `db1:5432 (PostgreSQL 16.4)`.
    server: String,
    differences: BTreeMap<ApplicationName, Vec<Difference>>,
    /// What an entry makes wider than it is, although the plan has no line for it alone.
    widened: BTreeMap<ApplicationName, Vec<String>>,
    /// The applications that a plan must adopt.
    adopted: BTreeSet<ApplicationName>,
    /// What the plan assumes that the administrator may do, and only a probe that writes would show.
    assumed: Vec<Probe>,
    /// What the plan leaves as it is although it is not as declared.
    left: Vec<Note>,
    /// The settings that definitions do not manage.
    stored: Vec<StoredSettings>,
}

impl Export {
    /// Plans the entries of a draft, without secrets. The state must be observed for [`Draft::desired`], and
    /// can contain the results of probes.
    #[must_use]
    pub fn new(draft: Draft, observed: &Observed, stored: Vec<StoredSettings>) -> Self {
        let plan = Plan::new(draft.desired(), observed, SecretFindings::default());
        let mut differences: BTreeMap<ApplicationName, Vec<Difference>> = BTreeMap::new();
        let mut adopted = BTreeSet::new();
        let refused = plan.refusals.iter().cloned();
        let possible = possible_refusals(&draft, observed, &plan);
        let refusals =
            refused.map(|one| (one.application.clone(), Difference::Refusal(Box::new(one)))).chain(
                possible.map(|one| (one.application.clone(), Difference::Possible(Box::new(one)))),
            );
        for (application, refusal) in refusals {
            differences.entry(application).or_default().push(refusal);
        }
        for step in plan.steps() {
            if step.action == Action::Adopt {
                adopted.insert(step.application.clone());
            } else {
                let of_entry = differences.entry(step.application.clone()).or_default();
                of_entry.push(Difference::Step(step_line(step).trim_start().to_owned()));
            }
        }
        let host = observed.connection.server.as_deref().unwrap_or("a server");
        let (major, minor) = (observed.major(), observed.server_version % 10_000);
        let server = format!("{host} (PostgreSQL {major}.{minor})");
        let widened = draft.entries.iter().filter_map(|entry| {
            let Application { application, database_name, .. } = &entry.application;
            let contents = observed.databases.get(database_name)?.contents.as_ref()?;
            Some((application.clone(), widened_columns(&entry.application, contents)))
        });
        let widened = widened.collect();
        let left = differences_left(&draft, observed);
        let assumed = plan.probes.iter().filter(|probe| probe.is_about_administrator()).cloned();
        let assumed = assumed.collect();
        Self { draft, server, differences, widened, adopted, assumed, left, stored }
    }

    /// Returns the text of a definitions file. Options and operations are written as a front end spells
    /// them.
    #[must_use]
    pub fn to_text(&self, format: ExportFormat, wording: &dyn Wording) -> String {
        let (valid, invalid): (Vec<_>, Vec<_>) =
            self.draft.entries.iter().partition(|entry| entry.errors.is_empty());
        let entry = |entry: &&DraftEntry| self.entry(entry, format, wording);
        let mut entries: Vec<Vec<String>> = valid.iter().map(entry).collect();
        if let (Some(last), ExportFormat::Tfvars) = (entries.last_mut(), format) {
            // Inside the map, where the reader only has to remove the `#`.
            last.extend(invalid.iter().flat_map(|one| {
                std::iter::once(String::new()).chain(self.entry(one, format, wording))
            }));
        }
        let mut text = commented(self.head(wording));
        text.push('\n');
        let Draft { environment, scope, .. } = &self.draft;
        text += &entry_text::file(environment, scope.as_deref(), &entries, format);
        if entries.is_empty() || format == ExportFormat::Toml {
            for one in &invalid {
                text += &format!("\n{}\n", self.entry(one, format, wording).join("\n"));
            }
        }
        if !self.left.is_empty() {
            let check = wording.operation(Operation::Check).replace('`', "");
            let title = format!("Left by the plan; until it ends, `{check}` reports a difference:");
            let note = |note: &Note| format!("- note[{}]: {}", note.code(), note.message());
            let lines = std::iter::once(title).chain(self.left.iter().map(note));
            text += &format!("\n{}", commented(lines));
        }
        if !self.draft.left_out.is_empty() {
            let left_out = &self.draft.left_out;
            let lines = left_out.iter().map(|one| format!("- {}: {}", one.subject, one.reason));
            let title = std::iter::once("Left out:".to_owned());
            text += &format!("\n{}", commented(title.chain(lines)));
        }
        let not_managed: Vec<String> = self.stored.iter().flat_map(not_managed).collect();
        if !not_managed.is_empty() {
            text += &format!("\n{}", commented(not_managed));
        }
        text
    }

    fn head(&self, wording: &dyn Wording) -> Vec<String> {
        let Draft { environment, secret_template, .. } = &self.draft;
        let version = env!("CARGO_PKG_VERSION");
        let mut lines = vec![
            format!("Definitions of {}, exported by rdsprov {version}.", self.server),
            String::new(),
        ];
        let adopted: Vec<&str> = self.adopted.iter().map(ApplicationName::as_str).collect();
        let plan = wording.operation(Operation::Plan);
        let definitions = wording.option(Opt::Definitions, None);
        let options = [wording.option(Opt::Env, Some(environment)), definitions];
        let adopt = (!adopted.is_empty()).then(|| wording.option_values(Opt::Adopt, &adopted));
        let options: Vec<String> = options.into_iter().chain(adopt).collect();
        lines.push("Review the entries, then plan them:".to_owned());
        // Without the marks of code in a sentence.
        lines.push(format!("  {plan} {}", options.join(" ")).replace('`', ""));
        lines.push(String::new());
        lines.push("`plan:` marks each change of that plan, except the adoptions.".to_owned());
        lines.push("`refused` marks what prevents the plan.".to_owned());
        if !self.assumed.is_empty() {
            let named: Vec<String> =
                self.assumed.iter().take(NAMED).map(Probe::to_string).collect();
            let more = match self.assumed.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            lines.push(format!(
                "`may be refused` marks what prevents it if the administrator may not {}{more}.",
                named.join(", ")
            ));
        }
        if !self.draft.several_scopes.is_empty() {
            lines.push(format!(
                "The entries are of several scopes ({}), but definitions have one: export the databases of \
                 each scope on their own.",
                self.draft.several_scopes.join(", ")
            ));
        }
        lines.extend(self.draft.doubtful.iter().cloned());
        lines.push(format!(
            "Without `secret`, the secret of an entry is {secret_template}: create it before you plan."
        ));
        lines
    }

    /// Returns the lines of an entry, with its differences before it.
    fn entry(
        &self,
        entry: &DraftEntry,
        format: ExportFormat,
        wording: &dyn Wording,
    ) -> Vec<String> {
        let indentation = if format == ExportFormat::Tfvars { "  " } else { "" };
        let mut comments = Vec::new();
        for error in &entry.errors {
            comments.push(format!("left out: {}", error.fact));
            comments
                .extend(error.hints.iter().map(|hint| format!("  hint: {}", hint.worded(wording))));
        }
        let widened = self.widened.get(&entry.application.application).into_iter().flatten();
        let cut = widened.clone().count().saturating_sub(WIDENED);
        comments.extend(widened.take(WIDENED).cloned());
        comments.extend((cut > 0).then(|| format!("columns: {cut} more tables")));
        for difference in self.differences.get(&entry.application.application).into_iter().flatten()
        {
            let (refused, refusal) = match difference {
                Difference::Step(line) => {
                    comments.push(format!("plan: {line}"));
                    continue;
                }
                Difference::Refusal(refusal) => ("refused", refusal),
                Difference::Possible(refusal) => ("may be refused", refusal),
            };
            comments.push(format!("{refused}[{}]: {}", refusal.code(), refusal.message()));
            let hints = refusal.hints();
            comments.extend(hints.iter().map(|hint| format!("  hint: {}", hint.worded(wording))));
        }
        let comments = comments.iter().map(|line| format!("{indentation}# {}", visible(line)));
        let lines = entry_text::lines(&entry.application, &self.draft.defaults, format);
        let is_valid = entry.errors.is_empty();
        let lines = lines.into_iter().map(|line| match is_valid {
            true => line,
            false => format!("{indentation}# {}", line.strip_prefix(indentation).unwrap_or(&line)),
        });
        comments.chain(lines).collect()
    }
}

/// Returns the refusals of a plan if the administrator may not do what the plan assumes.
fn possible_refusals(
    draft: &Draft,
    observed: &Observed,
    plan: &Plan,
) -> impl Iterator<Item = Refusal> {
    let denied = (!plan.probes.is_empty()).then(|| {
        let mut observed = observed.clone();
        let reason = "the server was not asked, because the probe writes";
        for probe in &plan.probes {
            let denied = ProbeResult::Denied(reason.to_owned());
            observed.probe_results.insert(probe.clone(), denied);
        }
        Plan::new(draft.desired(), &observed, SecretFindings::default()).refusals
    });
    denied.into_iter().flatten().filter(|one| !plan.refusals.contains(one))
}

/// Returns the notes with which a check reports a difference after the plan has closed the databases to PUBLIC.
fn differences_left(draft: &Draft, observed: &Observed) -> Vec<Note> {
    let mut observed = observed.clone();
    for name in draft.desired().databases.keys() {
        if let Some(seen) = observed.databases.get_mut(name) {
            seen.acl.retain(|item| item.grantee != Grantee::Public);
        }
    }
    let plan = Plan::new(draft.desired(), &observed, SecretFindings::default());
    plan.notes.into_iter().filter(Note::is_difference).collect()
}

/// Returns a line for each setting that definitions do not manage. A value can be secret.
fn not_managed(stored: &StoredSettings) -> Vec<String> {
    let (of, statement) = match (&stored.role, &stored.database) {
        (Some(role), _) => (format!("role {role} in all databases"), "ALTER ROLE … SET"),
        (None, Some(database)) => {
            (format!("database {database} for all roles"), "ALTER DATABASE … SET")
        }
        (None, None) => return Vec::new(),
    };
    let line = |what: String| format!("not managed: {what} of {of} ({statement}); stays as it is");
    match stored.parameters() {
        Some(names) => names.iter().map(|name| line(format!("setting {name}"))).collect(),
        None => vec![line("settings of more than 8 kB".to_owned())],
    }
}

/// Returns lines as comments.
fn commented(lines: impl IntoIterator<Item = String>) -> String {
    let line = |line: String| format!("# {}", visible(&line)).trim_end().to_owned() + "\n";
    lines.into_iter().map(line).collect()
}
