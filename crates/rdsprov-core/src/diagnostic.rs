//! One error as a front end prints it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::error_code::ErrorCode;
use crate::hint::{Hint, Wording};
use crate::text::{visible, with_ends, without_middle};

/// One error: its code, the fact, an excerpt of the file that it concerns, and hints.
///
/// ```
/// use rdsprov_core::diagnostic::Diagnostic;
/// use rdsprov_core::error_code::ErrorCode;
/// use rdsprov_core::hint::Neutral;
///
/// let error = Diagnostic::new(ErrorCode::NoHost, "the host of the server is not known", vec!["name it".into()]);
/// assert_eq!(error.labelled(&Neutral), "error[no-host]: the host of the server is not known\nhint: name it");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// The stable code, which front ends print in brackets.
    pub code: ErrorCode,
    /// What happened, to what, in one sentence, without hidden characters, and without its middle if it repeats
    /// a very long text.
    pub fact: String,
    /// The position in a file, and the line there, without a line break at the end.
    pub excerpt: Option<String>,
    /// What precedes each hint: the margin of the excerpt.
    pub margin: String,
    /// What to do next.
    pub hints: Vec<Hint>,
}

impl Diagnostic {
    /// Makes an error that concerns no position in a file.
    #[must_use]
    pub fn new(code: ErrorCode, fact: impl ToString, hints: Vec<Hint>) -> Self {
        let fact = visible(&without_middle(fact.to_string()));
        Self { code, fact, excerpt: None, margin: String::new(), hints }
    }

    /// Returns the position in a file, `dev.tfvars:3:5`, if the error concerns one.
    #[must_use]
    pub fn position(&self) -> Option<&str> {
        self.excerpt.as_ref()?.lines().next()?.trim_start().strip_prefix("--> ")
    }

    /// Returns the fact and, below it, the excerpt and the hints.
    #[must_use]
    pub fn text(&self, wording: &dyn Wording) -> String {
        let mut text = self.fact.clone();
        for line in self.excerpt.iter().flat_map(|excerpt| excerpt.lines()) {
            text = text + "\n" + &visible(line);
        }
        for hint in &self.hints {
            text = text + "\n" + &self.margin + "hint: " + &worded(hint, wording);
        }
        text
    }

    /// Returns the text after `error[code]: `.
    #[must_use]
    pub fn labelled(&self, wording: &dyn Wording) -> String {
        format!("error[{}]: {}", self.code, self.text(wording))
    }
}

/// An error in a JSON document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReportedError {
    /// The stable code, such as `cannot-connect`.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub hints: Vec<String>,
}

impl ReportedError {
    /// Words the hints of an error.
    #[must_use]
    pub fn new(error: &Diagnostic, wording: &dyn Wording) -> Self {
        Self {
            code: error.code.name().to_owned(),
            message: error.fact.clone(),
            hints: error.hints.iter().map(|hint| worded(hint, wording)).collect(),
        }
    }
}

/// The number of characters at each end of a hint that are kept. A hint with a long statement is complete.
const HINT_END: usize = 10_000;

/// Returns a hint in words, without hidden characters.
fn worded(hint: &Hint, wording: &dyn Wording) -> String {
    visible(&with_ends(hint.worded(wording), HINT_END))
}

/// Returns several errors, each with its code, separated by empty lines.
#[must_use]
pub fn labelled(errors: &[Diagnostic], wording: &dyn Wording) -> String {
    errors.iter().map(|error| error.labelled(wording)).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hint::Neutral;

    /// Also a text that is longer when it is escaped.
    #[test]
    fn errors_are_short_whatever_they_repeat() {
        for repeated in ["a", "\u{202e}", "é", "\n"] {
            let long = repeated.repeat(2_000_000);
            let hint = format!("set {long}").into();
            let error =
                Diagnostic::new(ErrorCode::InvalidConfig, format!("{long} is long"), vec![hint]);
            assert!(error.fact.ends_with(" is long"));
            assert!(error.labelled(&Neutral).len() < 250_000);
            let reported = ReportedError::new(&error, &Neutral);
            assert!(reported.message.len() < 30_000 && reported.hints[0].len() < 250_000);
        }
    }
}
