//! Finds the delimiters of a text of HCL, and the one that is not closed in a text that is not valid.
//!
//! The latter is searched after the parser has failed, only to give a better error message.

use super::heredoc::Heredoc;
use super::tree::{Span, SyntaxError};
use crate::error_code::ErrorCode;

/// Returns the error for the first delimiter that is not closed, or that closes nothing.
pub fn find(text: &str) -> Option<SyntaxError> {
    // The first block whose last line is not indented like its first line. If a closing delimiter
    // is missing, it is most likely missing in this block.
    let mut suspect = None;
    let lines = Lines::of(text);
    let mut delimiters = Delimiters::of(text);
    for delimiter in delimiters.by_ref() {
        let Delimiter::Closing { opening, start, at } = (match delimiter {
            Ok(delimiter) => delimiter,
            Err(error) => return Some(error),
        }) else {
            continue;
        };
        let (first, last) = (lines.at(start), lines.at(at));
        if first.start != last.start && text[first] != text[last] {
            suspect = suspect.or(Some((opening, start)));
        }
    }
    let (opening, start) = *delimiters.open().last()?;
    let (opening, start) = suspect.filter(|_| opening != '"').unwrap_or((opening, start));
    Some(not_closed(opening, start))
}

/// A delimiter of a text, with its byte offset.
pub enum Delimiter {
    Opening {
        at: usize,
    },
    /// It closes the delimiter `opening` at `start`.
    Closing {
        opening: char,
        start: usize,
        at: usize,
    },
}

/// The delimiters of a text, without those in comments, heredocs and the text of strings.
pub struct Delimiters<'t> {
    text: &'t str,
    at: usize,
    open: Vec<(char, usize)>,
}

impl<'t> Delimiters<'t> {
    pub fn of(text: &'t str) -> Self {
        Self { text, at: 0, open: Vec::new() }
    }

    /// Returns the delimiters that are open after the last one, with their byte offsets.
    pub fn open(&self) -> &[(char, usize)] {
        &self.open
    }

    fn opens(&mut self, char: char) -> Delimiter {
        self.open.push((char, self.at));
        Delimiter::Opening { at: self.at }
    }

    fn closes(&mut self, char: char) -> Result<Delimiter, SyntaxError> {
        match self.open.pop() {
            None => {
                let message = format!("this `{char}` has no opening bracket");
                Err(SyntaxError::new(
                    self.at..self.at,
                    ErrorCode::InvalidSyntax,
                    message,
                    "remove it, or a bracket before it that closes too early",
                ))
            }
            Some((opening, start)) if closing(opening) != char => Err(not_closed(opening, start)),
            Some((opening, start)) => Ok(Delimiter::Closing { opening, start, at: self.at }),
        }
    }

    /// Reads one token, and returns its length and the delimiter that it is.
    fn token(&mut self, char: char) -> Result<(usize, Option<Delimiter>), SyntaxError> {
        let rest = &self.text[self.at..];
        let begins = |with: &str| rest.starts_with(with);
        let length = char.len_utf8();
        if let Some(('"', quote)) = self.open.last() {
            return match char {
                '\\' => Ok((length + rest[1..].chars().next().map_or(0, char::len_utf8), None)),
                '"' => Ok((length, Some(self.closes('"')?))),
                '\n' => Err(not_closed('"', *quote)),
                '$' | '%' if begins("$${") || begins("%%{") => Ok((3, None)),
                '$' | '%' if rest[1..].starts_with('{') => Ok((2, Some(self.opens('{')))),
                _ => Ok((length, None)),
            };
        }
        match char {
            '#' => Ok((rest.find('\n').unwrap_or(rest.len()), None)),
            '/' if begins("//") => Ok((rest.find('\n').unwrap_or(rest.len()), None)),
            '/' if begins("/*") => match rest[2..].find("*/") {
                Some(end) => Ok((end + 4, None)),
                None => Err(SyntaxError::new(
                    self.at..self.at,
                    ErrorCode::InvalidSyntax,
                    "the comment that begins here is not closed",
                    "close it with `*/`",
                )),
            },
            '<' => match Heredoc::at(self.text, self.at) {
                Some(heredoc) => Ok((heredoc.end()? - self.at, None)),
                None => Ok((length, None)),
            },
            '"' | '{' | '[' | '(' => Ok((length, Some(self.opens(char)))),
            '}' | ']' | ')' => Ok((length, Some(self.closes(char)?))),
            _ => Ok((length, None)),
        }
    }
}

impl Iterator for Delimiters<'_> {
    type Item = Result<Delimiter, SyntaxError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(char) = self.text[self.at..].chars().next() {
            match self.token(char) {
                Ok((length, delimiter)) => {
                    self.at += length;
                    if let Some(delimiter) = delimiter {
                        return Some(Ok(delimiter));
                    }
                }
                Err(error) => {
                    self.at = self.text.len();
                    return Some(Err(error));
                }
            }
        }
        None
    }
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
