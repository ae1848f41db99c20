//! The errors in definitions files, each with its position.

use std::fmt;

use crate::diagnostic;
use crate::diagnostic::Diagnostic;
use crate::error_code::ErrorCode;
use crate::hint::{Hint, Neutral};
use crate::text::{is_hidden, visible};

/// A position in a definitions file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The path of the file, equal to [`SourceText::path`](super::SourceText::path).
    pub file: String,
    /// The number of the line, from 1.
    pub line: usize,
    /// The number of the column, from 1, in characters and not in bytes.
    pub column: usize,
    /// The byte offset in the text of the file.
    pub(super) offset: usize,
}

impl Location {
    /// Returns the start of a file that is not read.
    pub(super) fn start_of(file: &str) -> Self {
        Self { file: file.to_owned(), line: 1, column: 1, offset: 0 }
    }

    /// Returns the location of an entry that no file contains yet.
    pub(crate) fn of_export() -> Self {
        Self::start_of("export")
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", visible(&self.file), self.line, self.column)
    }
}

/// One error in a definitions file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionError {
    /// The position of the error.
    pub location: Location,
    /// The part of the line around this position; `None` if the file does not seem to contain
    /// definitions, because it could contain a secret.
    pub excerpt: Option<Excerpt>,
    /// The stable code, such as `wrong-type`.
    pub code: ErrorCode,
    /// The fact: what is wrong, without a full stop.
    pub message: String,
    /// The hint: what to change.
    pub hint: Hint,
}

/// The part of a line around the position of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The text, in which `…` replaces what was cut off.
    pub text: String,
    /// The number of the column in this text, from 1, in characters.
    pub column: usize,
}

/// All errors that were found in the definitions files.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DefinitionErrors {
    /// The errors, up to 1,000 of each file.
    pub errors: Vec<DefinitionError>,
    /// The number of further errors.
    pub omitted: usize,
}

/// The number of errors that are printed.
const PRINTED: usize = 50;

impl DefinitionErrors {
    /// Creates the collection of these errors.
    #[must_use]
    pub fn new(errors: Vec<DefinitionError>, omitted: usize) -> Self {
        Self { errors, omitted }
    }

    /// Returns the first 50 errors as a front end prints them, each with its position and line, and
    /// the number of the others.
    pub fn diagnostics(&self) -> impl Iterator<Item = Diagnostic> {
        let others = self.errors.len().saturating_sub(PRINTED) + self.omitted;
        let others = (others > 0).then(|| {
            let fact = match others {
                1 => "1 more error is not shown".to_owned(),
                others => format!("{others} more errors are not shown"),
            };
            let hints = vec!["correct the errors above first".into()];
            Diagnostic::new(ErrorCode::InvalidDefinitions, fact, hints)
        });
        self.errors.iter().take(PRINTED).map(DefinitionError::diagnostic).chain(others)
    }
}

impl DefinitionError {
    fn diagnostic(&self) -> Diagnostic {
        let line = self.location.line.to_string();
        let margin = " ".repeat(line.len());
        let mut excerpt = format!("{margin}--> {}", self.location);
        if let Some(Excerpt { text, column }) = &self.excerpt {
            let indent = " ".repeat(column.saturating_sub(1));
            // The mark must stay below its column.
            let text = text.replace(char::is_control, " ").replace(is_hidden, "\u{FFFD}");
            excerpt += &format!("\n{line} | {text}\n{margin} | {indent}^");
        }
        let mut diagnostic = Diagnostic::new(self.code, &self.message, vec![self.hint.clone()]);
        diagnostic.excerpt = Some(excerpt);
        diagnostic.margin = margin + " = ";
        diagnostic
    }
}

impl fmt::Display for DefinitionErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&diagnostic::labelled(&self.diagnostics().collect::<Vec<_>>(), &Neutral))
    }
}

impl std::error::Error for DefinitionErrors {}
