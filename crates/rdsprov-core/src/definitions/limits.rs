//! Bounds the work of the HCL parser.
//!
//! hcl-edit 0.10 compares each key of a map with all keys before it, and reads a heredoc line by line.
//! This module counts the keys and the lines before the parser reads a text.

use super::tree::SyntaxError;
use crate::error_code::ErrorCode;

/// The maximum number of comparisons of keys, which takes some seconds. 20,000 keys in
/// one map need it.
const MAXIMUM_COMPARISONS: u64 = 200_000_000;

/// The maximum number of lines, with which the parser takes up to a second.
const MAXIMUM_LINES: usize = 250_000;

/// A delimiter that is open at a position of the scan.
enum Open {
    /// A map or template expression, with its position and the number of keys so far.
    Braces { at: usize, keys: u64 },
    /// A quoted string.
    Quotes,
}

/// Returns the error for a text with more lines, or with more keys in its maps, than hcl-edit can
/// read in a short time.
pub fn check(text: &str) -> Option<SyntaxError> {
    if let Some((at, _)) = text.match_indices('\n').nth(MAXIMUM_LINES) {
        let error = SyntaxError::new(
            at..at,
            ErrorCode::InvalidSyntax,
            format!("the file has more than {MAXIMUM_LINES} lines"),
            "write the definitions in several files",
        );
        return Some(error);
    }
    let bytes = text.as_bytes();
    let mut open = vec![Open::Braces { at: 0, keys: 0 }];
    let mut comparisons = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied();
        let mut length = 1;
        match (open.last_mut(), byte, next) {
            (Some(Open::Quotes), b'\\', _) => length = 2,
            (Some(Open::Quotes), b'"', _) => drop(open.pop()),
            // A quoted string ends with its line.
            (Some(Open::Quotes), b'\n', _) => drop(open.pop()),
            (_, b'$' | b'%', Some(b'{')) => {
                open.push(Open::Braces { at, keys: 0 });
                length = 2;
            }
            (Some(Open::Quotes), _, _) => {}
            (_, b'#', _) | (_, b'/', Some(b'/')) => {
                length = text[at..].find('\n').unwrap_or(text.len() - at);
            }
            (_, b'/', Some(b'*')) => {
                length = text[at..].find("*/").map_or(text.len() - at, |end| end + 2);
            }
            (_, b'"', _) => open.push(Open::Quotes),
            (_, b'{', _) => open.push(Open::Braces { at, keys: 0 }),
            (_, b'}', _) => drop(open.pop()),
            (Some(Open::Braces { at: start, keys }), b'=' | b':', _) => {
                comparisons += *keys;
                *keys += 1;
                if comparisons > MAXIMUM_COMPARISONS {
                    let error = SyntaxError::new(
                        *start..*start,
                        ErrorCode::InvalidSyntax,
                        "the maps of this file have too many keys for HCL",
                        "write the definitions in JSON or TOML, or in several files",
                    );
                    return Some(error);
                }
            }
            _ => {}
        }
        at += length;
        if open.is_empty() {
            open.push(Open::Braces { at, keys: 0 });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::check;

    fn map(keys: usize) -> String {
        let keys: Vec<String> = (0..keys).map(|number| format!("k{number} = \"a = b\"")).collect();
        format!("{{ # = = =\n {} }}\n", keys.join(", "))
    }

    #[test]
    fn lines_are_counted() {
        let heredoc = |lines: usize| format!("note = <<E\n{}E\n", "x\n".repeat(lines));
        assert_eq!(check(&heredoc(240_000)), None);
        let error = check(&heredoc(500_000)).map(|error| error.message);
        assert_eq!(error.as_deref(), Some("the file has more than 250000 lines"));
    }

    #[test]
    fn keys_of_one_map_are_counted() {
        assert_eq!(check(&format!("a = {}", map(15_000))), None);
        let many = map(21_000);
        for text in [
            format!("a = {many}"),
            format!("a = {{ b = {{ settings = {many} }} }}"),
            format!("a = \"x ${{ {many} }}\""),
            format!("a = <<E\n${{ {many} }}\nE\n"),
            format!("a = [{}]", vec![map(5_000); 20].join(", ")),
        ] {
            let error = check(&text).map(|error| error.message);
            assert!(error.is_some_and(|error| error.contains("too many keys")), "{:.60}", text);
        }
        let attributes: Vec<String> = (0..9000).map(|number| format!("a{number} = {{}}")).collect();
        assert_eq!(check(&attributes.join("\n")), None);
    }
}
