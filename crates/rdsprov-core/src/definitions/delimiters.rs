//! Finds the delimiter that is not closed in a text that is not valid HCL.
//!
//! It is called after the parser has failed, only to give a better error message.

use super::heredoc::Heredoc;
use super::tree::{Span, SyntaxError};
use crate::error_code::ErrorCode;

/// Returns the error for the first delimiter that is not closed, or that closes nothing.
pub fn find(text: &str) -> Option<SyntaxError> {
    // The open delimiters, with their byte offsets.
    let mut open: Vec<(char, usize)> = Vec::new();
    // The first block whose last line is not indented like its first line. If a closing delimiter
    // is missing, it is most likely missing in this block.
    let mut suspect = None;
    let lines = Lines::of(text);
    let mut at = 0;
    while let Some(char) = text[at..].chars().next() {
        let rest = &text[at..];
        let begins = |with: &str| rest.starts_with(with);
        let mut length = char.len_utf8();
        if let Some(('"', quote)) = open.last() {
            match char {
                '\\' => length += rest[1..].chars().next().map_or(0, char::len_utf8),
                '"' => drop(open.pop()),
                '\n' => return Some(not_closed('"', *quote)),
                '$' | '%' if begins("$${") || begins("%%{") => length = 3,
                '$' | '%' if rest[1..].starts_with('{') => {
                    open.push(('{', at));
                    length = 2;
                }
                _ => {}
            }
        } else {
            match char {
                '#' => length = rest.find('\n').unwrap_or(rest.len()),
                '/' if begins("//") => length = rest.find('\n').unwrap_or(rest.len()),
                '/' if begins("/*") => match rest[2..].find("*/") {
                    Some(end) => length = end + 4,
                    None => {
                        return Some(SyntaxError::new(
                            at..at,
                            ErrorCode::InvalidSyntax,
                            "the comment that begins here is not closed",
                            "close it with `*/`",
                        ));
                    }
                },
                '<' => {
                    if let Some(heredoc) = Heredoc::at(text, at) {
                        match heredoc.end() {
                            Ok(end) => length = end - at,
                            Err(error) => return Some(error),
                        }
                    }
                }
                '"' | '{' | '[' | '(' => open.push((char, at)),
                '}' | ']' | ')' => match open.pop() {
                    None => {
                        let message = format!("this `{char}` has no opening bracket");
                        return Some(SyntaxError::new(
                            at..at,
                            ErrorCode::InvalidSyntax,
                            message,
                            "remove it, or a bracket before it that closes too early",
                        ));
                    }
                    Some((opening, start)) if closing(opening) != char => {
                        return Some(not_closed(opening, start));
                    }
                    Some((opening, start)) => {
                        let (first, last) = (lines.at(start), lines.at(at));
                        if first.start != last.start && text[first] != text[last] {
                            suspect = suspect.or(Some((opening, start)));
                        }
                    }
                },
                _ => {}
            }
        }
        at += length;
    }
    let (opening, start) = *open.last()?;
    let (opening, start) = suspect.filter(|_| opening != '"').unwrap_or((opening, start));
    Some(not_closed(opening, start))
}

fn closing(opening: char) -> char {
    match opening {
        '{' => '}',
        '[' => ']',
        '(' => ')',
        other => other,
    }
}

/// The number of bytes of an indentation that are compared.
const INDENTATION: usize = 256;

/// The indentation of each line of a text: its first 256 bytes of white space.
struct Lines(Vec<Span>);

impl Lines {
    fn of(text: &str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
        let indentation = starts.map(|start| {
            let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r');
            let line = text.as_bytes()[start..].iter().take(INDENTATION);
            start..start + line.take_while(is_blank).count()
        });
        Self(indentation.collect())
    }

    /// Returns the indentation of the line that contains a byte offset.
    fn at(&self, offset: usize) -> Span {
        let next = self.0.partition_point(|line| line.start <= offset);
        self.0.get(next.saturating_sub(1)).cloned().unwrap_or_default()
    }
}

fn not_closed(opening: char, at: usize) -> SyntaxError {
    let message = format!("this `{opening}` is not closed");
    let hint = match opening {
        '"' => {
            "close it on its line; for a line break in a string write \\n or a heredoc".to_owned()
        }
        _ => format!("close it with `{}`", closing(opening)),
    };
    SyntaxError::new(at..at, ErrorCode::InvalidSyntax, message, hint)
}
