//! Renders a plan as Markdown, for a comment on a pull request.

use std::fmt::Write as _;

use super::Plan;
use super::groups::{Change, Detail};
use super::render::{change_lines, roles_left_out};
use crate::hint::Wording;
use crate::text::escaped;

/// Returns the lines of a change, with a sign that Markdown highlights in a `diff` block: `!` for `~`.
fn signed_lines(change: &Change<'_>, detail: Detail) -> Vec<String> {
    let mut lines = change_lines(change, detail);
    if let Some(rest) = lines[0].strip_prefix('~') {
        lines[0] = format!("!{rest}");
    }
    lines
}

/// Writes the changes of an application below a title, in a `diff` block.
fn write_group(text: &mut String, title: &str, changes: &[Change<'_>], detail: Detail) {
    let lines: Vec<String> =
        changes.iter().flat_map(|change| signed_lines(change, detail)).collect();
    // A name can contain backticks.
    let longest = lines.iter().flat_map(|line| runs_of_backticks(line)).max();
    let fence = "`".repeat(longest.unwrap_or_default().max(2) + 1);
    let title = escaped(title);
    let _ = write!(text, "\n**{title}**\n\n{fence}diff\n{}\n{fence}\n", lines.join("\n"));
}

impl Plan {
    /// Returns the plan as Markdown for GitHub, with options and operations as a
    /// front end spells them.
    #[must_use]
    pub fn to_markdown_worded(&self, wording: &dyn Wording) -> String {
        self.to_markdown_with(wording, Detail::Brief)
    }

    /// Returns the same text with this detail.
    #[must_use]
    pub fn to_markdown_with(&self, wording: &dyn Wording, detail: Detail) -> String {
        let mut text = format!("### {}\n", escaped(&self.title()));
        let settings = self.settings_in_words(wording);
        for (number, line) in settings.iter().enumerate() {
            let first = if number == 0 { "\n" } else { "" };
            let _ = writeln!(text, "{first}- {}", escaped(line));
        }
        let (refusals, refused_roles) = self.shown_refusals(detail);
        for group in refusals {
            text.push('\n');
            for refusal in group.refusals {
                let _ = writeln!(
                    text,
                    "- **refused** `{}` {}: {}",
                    refusal.code(),
                    escaped(refusal.application.as_str()),
                    escaped(&refusal.message())
                );
            }
            text.push('\n');
            for hint in group.hints {
                let _ = writeln!(text, "  - Hint: {}", escaped(&hint.worded(wording)));
            }
        }
        if refused_roles > 0 {
            let _ = writeln!(text, "\n- **refused**: {}", roles_left_out(refused_roles));
        }
        let _ = writeln!(text, "\n{}", escaped(&self.closing()));
        if let Some(hazards) = self.hazards_in_words() {
            let _ = writeln!(text, "\n{}", escaped(&hazards));
        }
        if let Some(hint) = self.hint_about_hazards() {
            let _ = writeln!(text, "\n- Hint: {}", escaped(&hint.worded(wording)));
        }
        for group in self.groups(detail) {
            write_group(&mut text, &group.title(), &group.changes, detail);
        }
        for group in self.pending_groups() {
            let title = format!("pending, {}", group.title());
            write_group(&mut text, &title, &group.changes, Detail::Brief);
        }
        if let Some(hint) = self.hint_about_pending() {
            let _ = writeln!(text, "\n- Hint: {}", escaped(&hint.worded(wording)));
        }
        for line in self.orphans_in_markdown() {
            let _ = writeln!(text, "\n- orphaned: {line}");
        }
        if let Some(hint) = self.hint_about_orphans() {
            let _ = writeln!(text, "\n- Hint: {}", escaped(&hint.worded(wording)));
        }
        if let Some(words) = self.other_scopes_in_words() {
            let _ = writeln!(text, "\n- {words}");
        }
        for undeclared in &self.undeclared_databases {
            let database = escaped(undeclared.database.as_str());
            let owner = escaped(undeclared.owner.as_str());
            let _ = writeln!(text, "\n- undeclared: database {database} of role {owner}");
        }
        for deferred in &self.deferred {
            let _ = writeln!(text, "\n- deferred: {}", escaped(&deferred.comparison));
        }
        let (notes, noted_roles) = self.shown_notes(detail);
        for note in notes {
            let _ = writeln!(text, "\n- note `{}`: {}", note.code(), escaped(&note.message()));
            for hint in note.hints() {
                let _ = writeln!(text, "  - Hint: {}", escaped(&hint.worded(wording)));
            }
        }
        if noted_roles > 0 {
            let _ = writeln!(text, "\n- note: {}", roles_left_out(noted_roles));
        }
        text
    }
}

fn runs_of_backticks(line: &str) -> impl Iterator<Item = usize> {
    line.split(|c| c != '`').map(str::len)
}
