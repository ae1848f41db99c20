//! Renders a plan as annotations of a GitHub workflow.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::groups::Detail;
use super::render::{change_lines, line};
use super::{Hazard, Plan, Refusal};
use crate::hint::Wording;
use crate::text::visible;

impl Plan {
    /// Returns workflow commands that annotate a run: an error for the refusals of each hint, a warning for each
    /// hazard, a notice for each other note
    /// and for the pending changes of each application, and the last line of the plan. GitHub shows ten of each kind.
    #[must_use]
    pub fn to_github_worded(&self, wording: &dyn Wording) -> String {
        let mut text = String::new();
        for group in self.shown_refusals(Detail::Brief).0 {
            let fact = |one: &&Refusal| format!("{}: {}", one.application, one.message());
            let mut lines: Vec<String> = group.refusals.iter().map(fact).collect();
            lines.extend(group.hints.iter().map(|hint| format!("hint: {}", hint.worded(wording))));
            let codes: BTreeSet<_> = group.refusals.iter().map(|one| one.code().name()).collect();
            let codes = codes.into_iter().collect::<Vec<_>>().join(", ");
            annotate(&mut text, "error", &format!("refused[{codes}]"), &lines);
        }
        for hazard in self.hazards() {
            annotate(&mut text, "warning", &format!("hazard {hazard}"), &self.lines_with(hazard));
        }
        for note in self.shown_notes(Detail::Brief).0 {
            let mut lines = vec![note.message()];
            lines.extend(note.hints().iter().map(|hint| format!("hint: {}", hint.worded(wording))));
            annotate(&mut text, "notice", &format!("note[{}]", note.code()), &lines);
        }
        for group in self.pending_groups() {
            let changes = group.changes.iter();
            let mut lines = vec![group.title()];
            lines.extend(changes.flat_map(|one| change_lines(one, Detail::Brief)));
            annotate(&mut text, "notice", "pending", &lines);
        }
        annotate(&mut text, "notice", "rdsprov", &[self.closing()]);
        text
    }

    fn lines_with(&self, hazard: Hazard) -> Vec<String> {
        self.steps().filter(|step| step.hazards.contains(&hazard)).map(line).collect()
    }
}

/// Writes a workflow command, in which GitHub reads `%0A` as a line break.
fn annotate(text: &mut String, kind: &str, title: &str, lines: &[String]) {
    let of_data = |data: &str| visible(data).replace('%', "%25");
    let lines: Vec<String> = lines.iter().map(|line| of_data(line)).collect();
    let title = of_data(title).replace(':', "%3A").replace(',', "%2C");
    let _ = writeln!(text, "::{kind} title={title}::{}", lines.join("%0A"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_server_begins_no_other_command() {
        let mut text = String::new();
        let lines = ["100%0A of a\n::error::b".to_owned(), "c".to_owned()];
        annotate(&mut text, "warning", "hazard: a, b", &lines);
        assert_eq!(text, "::warning title=hazard%3A a%2C b::100%250A of a\\n::error::b%0Ac\n");
    }
}
