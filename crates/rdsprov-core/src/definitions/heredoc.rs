//! Reads heredocs as Terraform does.
//!
//! hcl-edit 0.10 differs in three points. It ends a heredoc at each line that starts with the
//! marker, even if more text follows. It does not recognise the marker on the first line. It counts
//! blank lines when it computes the common indentation.

use hcl_edit::template::Element;
use hcl_edit::{Ident, Span as _};
use unicode_normalization::char::is_combining_mark;

use super::tree::{Span, SyntaxError};
use crate::error_code::ErrorCode;

/// A heredoc in a text.
pub struct Heredoc<'t> {
    text: &'t str,
    /// Whether it starts with `<<-`, which removes the common indentation of its lines.
    indented: bool,
    marker: &'t str,
    /// The byte offset of `<<`.
    start: usize,
    /// The byte offset of its first line.
    body: usize,
}

impl<'t> Heredoc<'t> {
    /// Returns the heredoc that starts at a byte offset, or `None` if another token starts there.
    pub fn at(text: &'t str, start: usize) -> Option<Self> {
        let rest = text.get(start..)?.strip_prefix("<<")?;
        let after = rest.strip_prefix('-').unwrap_or(rest);
        let indented = after.len() < rest.len();
        // The search ends at the next `<`, so that many of them in a long line need linear time.
        let end = after.find(|c: char| c.is_whitespace() || c == '<')?;
        let (marker, after) = after.split_at(end);
        let body = after.strip_prefix('\r').unwrap_or(after).strip_prefix('\n')?;
        Ident::try_new(marker).ok()?;
        Some(Self { text, indented, marker, start, body: text.len() - body.len() })
    }

    /// Returns the lines after the `<<` line, to the end of the text, with their spans.
    fn lines(&self) -> impl Iterator<Item = (Span, &'t str)> {
        let mut start = self.body;
        self.text[start..].split_inclusive('\n').map(move |line| {
            let span = start..start + line.len();
            start = span.end;
            (span, line)
        })
    }

    /// Returns the span of the closing line, which contains only the marker.
    fn last_line(&self) -> Option<Span> {
        self.lines().find(|(_, line)| line.trim() == self.marker).map(|(span, _)| span)
    }

    /// Returns the byte offset after the heredoc, or the error in its closing line.
    pub fn end(&self) -> Result<usize, SyntaxError> {
        let last_line = self.last_line();
        let is_name_char = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let begins_with_marker = |line: &str| {
            let rest = line.trim_start().strip_prefix(self.marker);
            rest.is_some_and(|rest| !rest.starts_with(is_name_char))
        };
        let first = self.lines().find(|(_, line)| begins_with_marker(line)).map(|(span, _)| span);
        match (first, last_line) {
            (Some(first), last) if last.as_ref() != Some(&first) => {
                Err(self.not_a_closing_line(first))
            }
            (_, Some(last)) => Ok(last.end),
            (_, None) => Err(SyntaxError::new(
                self.start..self.body,
                ErrorCode::InvalidSyntax,
                "the heredoc that begins here is not closed",
                "end it with a line that contains only its marker",
            )),
        }
    }

    /// Returns an error if Terraform does not end the heredoc where the parser has ended it.
    pub fn check_end(&self, end: usize) -> Option<SyntaxError> {
        match self.last_line() {
            Some(last) if last.start < end && end <= last.end => {
                let at_end_of_file = !self.text[last.clone()].ends_with('\n');
                at_end_of_file.then(|| {
                    SyntaxError::new(
                        last,
                        ErrorCode::TerraformIncompatible,
                        "no line break follows the end of the heredoc",
                        "end the file with a line break: Terraform requires it",
                    )
                })
            }
            Some(last) if last.end < end => Some(SyntaxError::new(
                last,
                ErrorCode::TerraformIncompatible,
                "this line ends a heredoc for Terraform, but not for rdsprov",
                "write \"\" for an empty string, and give each heredoc its own marker",
            )),
            _ => {
                let line = self.text[..end].rfind('\n').map_or(0, |at| at + 1);
                Some(self.not_a_closing_line(line..end))
            }
        }
    }

    fn not_a_closing_line(&self, span: Span) -> SyntaxError {
        SyntaxError::new(
            span,
            ErrorCode::TerraformIncompatible,
            "this line does not end the heredoc for Terraform: the marker is not alone on it",
            "put what follows the marker on the next line, or choose another marker if the line belongs to the string",
        )
    }

    /// Returns the literal parts in order, without the common indentation of the lines. Blank lines
    /// do not count for the common indentation, and keep their own.
    pub fn literals(&self, elements: &[&Element]) -> Vec<String> {
        let mut at_line_start = true;
        let mut shared = usize::MAX;
        // The lines of each literal, and for each line whether it loses the common indentation.
        let mut literals: Vec<Vec<(&str, bool)>> = Vec::new();
        for element in elements {
            let Element::Literal(literal) = element else {
                shared = if at_line_start { 0 } else { shared };
                at_line_start = false;
                continue;
            };
            let source = self.text.get(literal.span().unwrap_or_default()).unwrap_or_default();
            let mut pieces = Vec::new();
            for piece in source.split_inclusive('\n') {
                let is_blank = piece.trim().is_empty() && piece.ends_with('\n');
                let counts = self.indented && at_line_start && !is_blank;
                let indent = piece.chars().take_while(|c| c.is_whitespace()).count();
                shared = if counts { shared.min(indent) } else { shared };
                pieces.push((piece, counts));
                at_line_start = piece.ends_with('\n');
            }
            literals.push(pieces);
        }
        // Terraform counts grapheme clusters: a combining mark is removed with the space before it.
        let without = |(piece, counts): &(&'t str, bool)| -> String {
            let away = if *counts { shared } else { 0 };
            piece.chars().skip(away).skip_while(|c| away > 0 && is_combining_mark(*c)).collect()
        };
        literals
            .iter()
            .map(|pieces| pieces.iter().map(without).collect::<String>())
            .map(|text| text.replace("$${", "${").replace("%%{", "%{"))
            .collect()
    }
}
