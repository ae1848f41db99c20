//! The errors in definitions files, each with its position.

use std::fmt;

use crate::diagnostic;
use crate::diagnostic::Diagnostic;
use crate::error_code::ErrorCode;
use crate::hint::{Hint, Neutral};

/// A position in a definitions file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The path of the file, equal to [`SourceText::path`](super::SourceText::path).
    pub file: String,
    /// The number of the line, from 1.
    pub line: usize,
    /// The number of the column, from 1, in characters and not in bytes.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One error in a definitions file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionError {
    /// The position of the error.
    pub location: Location,
    /// The text of the line at this position.
    pub line_text: String,
    /// The stable code, such as `wrong-type`.
    pub code: ErrorCode,
    /// The fact: what is wrong, without a full stop.
    pub message: String,
    /// The hint: what to change.
    pub hint: Hint,
}

/// All errors that were found in the definitions files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionErrors(pub Vec<DefinitionError>);

impl DefinitionErrors {
    /// Returns each error as a front end prints it, with its position and line.
    pub fn diagnostics(&self) -> impl Iterator<Item = Diagnostic> {
        self.0.iter().map(DefinitionError::diagnostic)
    }
}

impl DefinitionError {
    fn diagnostic(&self) -> Diagnostic {
        let line = self.location.line.to_string();
        let margin = " ".repeat(line.len());
        let indent = " ".repeat(self.location.column.saturating_sub(1));
        let excerpt = format!(
            "{margin}--> {}\n{line} | {}\n{margin} | {indent}^",
            self.location,
            self.line_text.replace(char::is_control, " "),
        );
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
