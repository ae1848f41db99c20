//! Renders a plan as Markdown, for a comment on a pull request.

use std::fmt::Write as _;
use std::iter;

use super::render::{code_lines, line};
use super::{Hazard, Plan, Step};
use crate::hint::Wording;
use crate::text::escaped;

/// Returns the line of a step with a sign that Markdown highlights in a `diff` block: `!` for `~`.
fn signed<S>(step: &Step<S>) -> String {
    let line = line(step);
    let line = line.trim_start();
    match line.strip_prefix('~') {
        Some(rest) => format!("!{rest}"),
        None => line.to_owned(),
    }
}

impl Plan {
    /// Returns the plan as Markdown for GitHub, with options and operations as a
    /// front end spells them.
    #[must_use]
    pub fn to_markdown_worded(&self, wording: &dyn Wording) -> String {
        let mut text = format!("### {}\n", escaped(&self.title()));
        let settings = self.settings_in_words(wording);
        for (number, line) in settings.iter().enumerate() {
            let first = if number == 0 { "\n" } else { "" };
            let _ = writeln!(text, "{first}- {}", escaped(line));
        }
        for refusal in &self.refusals {
            let _ = writeln!(
                text,
                "\n- **refused** `{}` {}: {}\n",
                refusal.code(),
                escaped(refusal.application.as_str()),
                escaped(&refusal.message())
            );
            for hint in refusal.hints() {
                let _ = writeln!(text, "  - Hint: {}", escaped(&hint.worded(wording)));
            }
        }
        let _ = writeln!(text, "\n{}", escaped(&self.closing()));
        let hazards: Vec<String> = self.hazards().iter().map(Hazard::to_string).collect();
        if !hazards.is_empty() {
            let _ = writeln!(text, "\nHazards: `{}`", hazards.join("`, `"));
        }
        for transaction in &self.transactions {
            let steps = transaction.steps.iter();
            let lines: Vec<String> =
                steps.flat_map(|step| iter::once(signed(step)).chain(code_lines(step))).collect();
            // A name can contain backticks.
            let longest = lines.iter().flat_map(|line| runs_of_backticks(line)).max();
            let fence = "`".repeat(longest.unwrap_or_default().max(2) + 1);
            let _ = write!(
                text,
                "\n**{}**\n\n{fence}diff\n{}\n{fence}\n",
                escaped(&transaction.scope.title()),
                lines.join("\n")
            );
        }
        for orphan in &self.orphaned {
            let (kind, name) = (orphan.kind, escaped(&orphan.name));
            let _ = writeln!(text, "\n- orphaned: {kind} {name}");
        }
        for undeclared in &self.undeclared {
            let database = escaped(undeclared.database.as_str());
            let owner = escaped(undeclared.owner.as_str());
            let _ = writeln!(text, "\n- undeclared: database {database} of role {owner}");
        }
        for deferred in &self.deferred {
            let _ = writeln!(text, "\n- deferred: {}", escaped(&deferred.comparison));
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n- note `{}`: {}", note.code(), escaped(&note.message()));
        }
        text
    }
}

fn runs_of_backticks(line: &str) -> impl Iterator<Item = usize> {
    line.split(|c| c != '`').map(str::len)
}
