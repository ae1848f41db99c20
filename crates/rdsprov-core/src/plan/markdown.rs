//! A plan as a comment on a pull request.

use std::fmt::Write as _;

use super::render::{line, visible};
use super::{Hazard, Plan, Step};

/// Text from elsewhere in Markdown: nothing in it is markup.
pub(crate) fn escaped(text: &str) -> String {
    const MARKUP: &str = "\\`*_[]<>|#~@";
    visible(text)
        .chars()
        .flat_map(|c| MARKUP.contains(c).then_some('\\').into_iter().chain([c]))
        .collect()
}

/// A step's line with the sign of a diff in the first column: there `!` is what changes.
fn signed<S>(step: &Step<S>) -> String {
    let line = line(step);
    let line = line.trim_start();
    match line.strip_prefix('~') {
        Some(rest) => format!("!{rest}"),
        None => line.to_owned(),
    }
}

impl Plan {
    /// Markdown, as GitHub shows it.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = format!("### Plan for environment {}\n", escaped(&self.environment));
        for refusal in &self.refusals {
            let _ = write!(
                text,
                "\n- **refused** ({}): {}\n\n  What to do: {}\n",
                escaped(refusal.application.as_str()),
                escaped(&refusal.message),
                escaped(&refusal.remedy)
            );
        }
        let _ = writeln!(text, "\n{}", escaped(&self.closing()));
        let hazards: Vec<String> = self.hazards().iter().map(Hazard::to_string).collect();
        if !hazards.is_empty() {
            let _ = writeln!(text, "\nHazards: `{}`", hazards.join("`, `"));
        }
        for transaction in &self.transactions {
            let lines: Vec<String> = transaction.steps.iter().map(signed).collect();
            // A name may hold the fence.
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
            let _ = writeln!(text, "\n- not seen: {}", escaped(deferred));
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n- note: {}", escaped(note));
        }
        text
    }
}

fn runs_of_backticks(line: &str) -> impl Iterator<Item = usize> {
    line.split(|c| c != '`').map(str::len)
}
