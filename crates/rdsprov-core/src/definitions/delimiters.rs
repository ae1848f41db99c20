//! Finds the delimiter that is not closed in a text that is not valid HCL.
//!
//! It is called after the parser has failed, only to give a better error message.

use super::heredoc::Heredoc;
use super::tree::SyntaxError;
use crate::error_code::ErrorCode;

/// Returns the error for the first delimiter that is not closed, or that closes nothing.
pub fn find(text: &str) -> Option<SyntaxError> {
    // The open delimiters, with their byte offsets.
    let mut open: Vec<(char, usize)> = Vec::new();
    // The first block whose last line is not indented like its first line. If a closing delimiter
    // is missing, it is most likely missing in this block.
    let mut suspect = None;
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
                        let same_line = !text[start..at].contains('\n');
                        if !same_line && indentation(text, start) != indentation(text, at) {
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

/// Returns the white space at the start of the line that contains a byte offset.
fn indentation(text: &str, offset: usize) -> &str {
    let line = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let line = &text[line..];
    &line[..line.len() - line.trim_start().len()]
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
