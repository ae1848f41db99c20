//! The report as text and as Markdown.

use super::{Check, CheckStatus, PreflightReport};
use crate::hint::Wording;
use crate::text::{counted, escaped, visible};

impl CheckStatus {
    fn mark(self) -> char {
        match self {
            Self::Passed => '✓',
            Self::Skipped => '-',
            Self::Warning => '!',
            Self::Refused | Self::Failed => '✗',
        }
    }

    /// Returns the words of the last line: `2 checks passed`.
    fn counted(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Skipped => "not made",
            Self::Warning => "with a warning",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Check {
    /// Returns the line of the check without its mark.
    fn line(&self) -> String {
        let subject = self.subject.as_ref().map(|subject| format!(" ({subject})"));
        let code = self.code.as_ref().map(|code| format!(" [{code}]"));
        visible(&format!(
            "{}{}: {}{}",
            self.name,
            subject.unwrap_or_default(),
            self.message,
            code.unwrap_or_default()
        ))
    }

    fn worded_hints(&self, wording: &dyn Wording) -> impl Iterator<Item = String> {
        self.hints.iter().map(|hint| visible(&hint.worded(wording)))
    }
}

impl PreflightReport {
    /// Returns the report as text: a line for each check, with its hints below it.
    #[must_use]
    pub fn to_text(&self, wording: &dyn Wording) -> String {
        let mut text = format!("{}\n\n", self.heading());
        for check in &self.checks {
            text += &format!("{} {}\n", check.status.mark(), check.line());
            for hint in check.worded_hints(wording) {
                text += &format!("  hint: {hint}\n");
            }
        }
        text + &format!("\n{}\n", self.closing())
    }

    /// Returns the report as a Markdown list.
    #[must_use]
    pub fn to_markdown(&self, wording: &dyn Wording) -> String {
        let mut text = format!("## {}\n\n", escaped(&self.heading()));
        for check in &self.checks {
            text += &format!("- {} {}\n", check.status.mark(), escaped(&check.line()));
            for hint in check.worded_hints(wording) {
                text += &format!("  - hint: {}\n", escaped(&hint));
            }
        }
        text + &format!("\n{}\n", self.closing())
    }

    fn heading(&self) -> String {
        let environment = self.environment.as_ref().map(|name| format!(" of environment {name}"));
        let server = self.server.as_ref().map(|server| format!(" on {server}"));
        visible(&format!(
            "Preflight{}{}",
            environment.unwrap_or_default(),
            server.unwrap_or_default()
        ))
    }

    /// Returns the last line: `17 checks: 15 passed, 1 failed, 1 not made.`
    fn closing(&self) -> String {
        use CheckStatus::{Failed, Passed, Refused, Skipped, Warning};
        let of_status = [Passed, Warning, Refused, Failed, Skipped].into_iter().filter_map(|one| {
            let count = self.count(one);
            (count > 0).then(|| format!("{count} {}", one.counted()))
        });
        format!(
            "{}: {}.",
            counted(self.checks.len(), "check"),
            of_status.collect::<Vec<_>>().join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::hint;
    use crate::hint::{Neutral, Opt};
    use crate::preflight::{Check, CheckName, CheckStatus, Checks};

    #[test]
    fn each_check_is_a_line_with_its_hints() {
        let mut checks = Checks::default();
        checks.pass(CheckName::Definitions, "2 applications");
        checks.add(
            Check::new(CheckName::Secrets, CheckStatus::Refused, "secret a_b\n does not exist")
                .about("shop")
                .with_code("secret-unavailable")
                .with_hints(&[hint!["use ", Opt::Region], "create it".into()]),
        );
        checks.skip(CheckName::Rotation, "the source has no rotation");
        let report = checks.report(Some("dev".to_owned()), Some("db:5432".to_owned()));
        assert_eq!(
            report.to_text(&Neutral),
            "Preflight of environment dev on db:5432\n\
             \n\
             ✓ definitions: 2 applications\n\
             ✗ secrets (shop): secret a_b\\n does not exist [secret-unavailable]\n\
             \x20 hint: use the option `region`\n\
             \x20 hint: create it\n\
             - rotation: the source has no rotation\n\
             \n\
             3 checks: 1 passed, 1 refused, 1 not made.\n"
        );
        let markdown = report.to_markdown(&Neutral);
        assert!(markdown.contains("- ✗ secrets (shop): "), "{markdown}");
        assert!(!markdown.contains("a_b"), "{markdown}");
    }
}
