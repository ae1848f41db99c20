//! Where a text that is no HCL leaves something open. The parser has failed already; what is found here only
//! makes its message better.

use super::heredoc::Heredoc;
use super::tree::SyntaxError;

/// The first thing that is opened and not closed, or closed and not opened.
pub fn find(text: &str) -> Option<SyntaxError> {
    // What is open, by what opened it.
    let mut open: Vec<(char, usize)> = Vec::new();
    // The first that is closed on a line with another indentation: where something is missing, there.
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
                        let message = "the comment that begins here is not closed";
                        return Some(SyntaxError::new(at..at, message, "close it with `*/`"));
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
                        let message = format!("this `{char}` closes nothing");
                        return Some(SyntaxError::new(
                            at..at,
                            message,
                            "remove it, or what closes too early",
                        ));
                    }
                    Some((by, span)) if closing(by) != char => return Some(not_closed(by, span)),
                    Some((by, span)) => {
                        let same_line = !text[span..at].contains('\n');
                        if !same_line && indentation(text, span) != indentation(text, at) {
                            suspect = suspect.or(Some((by, span)));
                        }
                    }
                },
                _ => {}
            }
        }
        at += length;
    }
    let (by, span) = *open.last()?;
    let (by, span) = suspect.filter(|_| by != '"').unwrap_or((by, span));
    Some(not_closed(by, span))
}

fn closing(opening: char) -> char {
    match opening {
        '{' => '}',
        '[' => ']',
        '(' => ')',
        other => other,
    }
}

/// What stands before the first letter of a place's line.
fn indentation(text: &str, span: usize) -> &str {
    let line = text[..span].rfind('\n').map_or(0, |at| at + 1);
    let line = &text[line..];
    &line[..line.len() - line.trim_start().len()]
}

fn not_closed(opening: char, at: usize) -> SyntaxError {
    let message = format!("the `{opening}` that stands here is not closed");
    let help = match opening {
        '"' => "close it on its line; a line break in a text is \\n, or a heredoc".to_owned(),
        _ => format!("close it with `{}`", closing(opening)),
    };
    SyntaxError::new(at..at, message, help)
}
