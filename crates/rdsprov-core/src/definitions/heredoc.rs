//! Heredocs as Terraform reads them. hcl-edit 0.10 ends one where a line begins with its marker, whatever
//! else stands there, but never on its first line, and it takes blank lines for text where it takes
//! indentation away.

use hcl_edit::template::Element;
use hcl_edit::{Ident, Span as _};
use unicode_normalization::char::is_combining_mark;

use super::tree::{Span, SyntaxError};

/// A heredoc, from its `<<` on.
pub struct Heredoc<'t> {
    text: &'t str,
    /// `<<-`: without the indentation that its lines share.
    indented: bool,
    marker: &'t str,
    span: usize,
    /// Where its first line begins.
    body: usize,
}

impl<'t> Heredoc<'t> {
    /// The heredoc that begins at a place, if one does.
    pub fn at(text: &'t str, span: usize) -> Option<Self> {
        let opening = text.get(span..)?.split_inclusive('\n').next()?;
        let rest = opening.strip_prefix("<<")?;
        let marker = rest.strip_prefix('-').unwrap_or(rest);
        let indented = marker.len() < rest.len();
        let marker = marker.strip_suffix('\n')?;
        let marker = marker.strip_suffix('\r').unwrap_or(marker);
        Ident::try_new(marker).ok()?;
        Some(Self { text, indented, marker, span, body: span + opening.len() })
    }

    /// Each line, with its place.
    fn lines(&self) -> impl Iterator<Item = (Span, &'t str)> {
        let mut start = self.body;
        self.text[start..].split_inclusive('\n').map(move |line| {
            let span = start..start + line.len();
            start = span.end;
            (span, line)
        })
    }

    /// The line that ends it: the marker stands there alone.
    fn last_line(&self) -> Option<Span> {
        self.lines().find(|(_, line)| line.trim() == self.marker).map(|(span, _)| span)
    }

    /// Where the text goes on behind it, or what is wrong with its end.
    pub fn end(&self) -> Result<usize, SyntaxError> {
        let last_line = self.last_line();
        let of_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let begins_with_marker = |line: &str| {
            let rest = line.trim_start().strip_prefix(self.marker);
            rest.is_some_and(|rest| !rest.starts_with(of_name))
        };
        let first = self.lines().find(|(_, line)| begins_with_marker(line)).map(|(span, _)| span);
        match (first, last_line) {
            (Some(first), last) if last.as_ref() != Some(&first) => Err(self.goes_on(first)),
            (_, Some(last)) => Ok(last.end),
            (_, None) => Err(SyntaxError::new(
                self.span..self.body,
                format!("the heredoc `{}` that begins here is not closed", self.marker),
                format!("end it with a line that holds {} alone", self.marker),
            )),
        }
    }

    /// What differs, where a parser found the end at another place than Terraform does.
    pub fn check_end(&self, end: usize) -> Option<SyntaxError> {
        match self.last_line() {
            Some(last) if last.start < end && end <= last.end => {
                let at_end_of_file = !self.text[last.clone()].ends_with('\n');
                at_end_of_file.then(|| {
                    SyntaxError::new(
                        last,
                        format!("no line break follows the end of the heredoc `{}`", self.marker),
                        "end the file with a line break: Terraform wants it",
                    )
                })
            }
            Some(last) if last.end < end => Some(SyntaxError::new(
                last,
                format!(
                    "this line ends the heredoc `{}` for Terraform, and not for this program",
                    self.marker
                ),
                "write \"\" for an empty text, and give each heredoc a marker of its own",
            )),
            _ => {
                let line = self.text[..end].rfind('\n').map_or(0, |at| at + 1);
                Some(self.goes_on(line..end))
            }
        }
    }

    fn goes_on(&self, span: Span) -> SyntaxError {
        SyntaxError::new(
            span,
            format!(
                "this line does not end the heredoc `{0}` for Terraform: {0} is not alone on it",
                self.marker
            ),
            format!(
                "put what follows {0} on the next line, or choose another marker if the line is text",
                self.marker
            ),
        )
    }

    /// Its literals, in their order, without the indentation that all lines share. Lines of white space alone
    /// neither count for that nor lose any.
    pub fn literals(&self, elements: &[&Element]) -> Vec<String> {
        let mut at_line_start = true;
        let mut shared = usize::MAX;
        // The lines of each literal, and whether the indentation of each counts.
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
        // Terraform counts what people see as one character: an accent goes with the space that bears it.
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
