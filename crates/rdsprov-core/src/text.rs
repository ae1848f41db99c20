//! Escapes text for output.
//!
//! This module does not know what the text means.

use std::borrow::Cow;
use std::fmt::Display;
use std::io;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};
use unicode_width::UnicodeWidthStr as _;

/// Returns whether a character is not shown as itself: a control character, a separator other than the
/// space, a character that changes the direction of the text around it, or one that has no width, no shape
/// or no meaning in Unicode.
pub(crate) fn is_hidden(c: char) -> bool {
    use GeneralCategory as Of;

    if c.is_ascii() {
        return c.is_ascii_control();
    }
    let is_hidden = matches!(
        c.general_category(),
        Of::Control
            | Of::Format
            | Of::LineSeparator
            | Of::ParagraphSeparator
            | Of::SpaceSeparator
            | Of::PrivateUse
            | Of::Surrogate
            | Of::Unassigned
    );
    is_hidden || is_blank(c)
}

/// Returns whether a letter, mark or symbol is blank: those that are `Default_Ignorable_Code_Point` in Unicode,
/// and those whose shape is empty.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{34F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}' | '\u{2800}'
        | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FFA0}' | '\u{FFFC}' | '\u{16FE4}' | '\u{1D159}'
        | '\u{E0100}'..='\u{E01EF}'
    )
}

/// Returns each character of a text with whether an output escapes it: it is hidden, or it would complete
/// the beginning of a command of a CI system.
///
/// GitHub executes `##[command]` anywhere in a line of a log, Azure Pipelines `##vso[command]`, and TeamCity
/// `##teamcity[command]`.
pub(crate) fn characters(text: &str) -> impl Iterator<Item = (char, bool)> {
    let is_command = |text: &str| {
        text.starts_with('[')
            || ["vso[", "teamcity["].iter().any(|command| {
                let begin = text.get(..command.len());
                begin.is_some_and(|begin| begin.eq_ignore_ascii_case(command))
            })
    };
    text.char_indices().map(move |(at, c)| {
        let completes = c == '#' && text[..at].ends_with('#') && is_command(&text[at + 1..]);
        (c, completes || is_hidden(c))
    })
}

/// Returns whether an output shows a text as it is: nothing in it is escaped.
pub(crate) fn is_shown_as_it_is(text: &str) -> bool {
    characters(text).all(|(_, is_escaped)| !is_escaped)
}

/// Escapes control characters and those that change the direction of a text: a line break, a
/// terminal sequence or a reversed word in a name must not look like part of the output. Also breaks the
/// commands that CI systems execute when a log contains them.
///
/// This is the only escaping of text for people. Everything that is not written by the program goes
/// through it: names, comments, settings, messages of servers, contents and names of files.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for (c, is_escaped) in characters(text) {
        match c {
            '#' if is_escaped => visible.extend(c.escape_unicode()),
            _ if is_escaped => visible.extend(c.escape_default()),
            _ => visible.push(c),
        }
    }
    visible
}

/// Returns a name for a text, in double quotes if it could be taken for more than a name: `shop: owner`.
pub(crate) fn word(name: &str) -> Cow<'_, str> {
    let is_of_word = |c: char| c.is_alphanumeric() || "_-.$".contains(c);
    if !name.is_empty() && name.chars().all(is_of_word) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// Escapes a text of several lines, and keeps its line breaks.
#[must_use]
pub fn visible_lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// Escapes the characters of a JSON text that [`visible`] escapes and that JSON allows in strings.
#[must_use]
pub fn visible_json(json: String) -> String {
    let is_layout = |c: char| matches!(c, '\n' | '\r' | '\t');
    if characters(&json).all(|(c, is_escaped)| !is_escaped || is_layout(c)) {
        return json;
    }
    let mut text = String::with_capacity(json.len());
    for (c, is_escaped) in characters(&json) {
        if is_escaped && !is_layout(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// Returns a number with its noun in the singular or plural: `1 change`, `2 changes`.
#[must_use]
pub fn counted<N: Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let ending = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// Returns a value as JSON text with line breaks and indentation, in which no character is hidden.
///
/// # Errors
/// Returns an error if JSON cannot represent the value.
pub fn pretty_json(value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(value).map(visible_json)
}

/// Escapes text so that Markdown does not interpret it.
///
/// A word that could mention a user, link to a page or an issue, or become an emoji or a formula is
/// written as code: GitHub looks for these after it has removed backslashes, and not in code.
pub(crate) fn escaped(text: &str) -> String {
    const MARKUP: &str = "\\`*_[]<>|#~@&!$";
    let mut escaped = String::with_capacity(text.len());
    for word in visible(text).split_inclusive(' ') {
        let (word, space) = word.strip_suffix(' ').map_or((word, ""), |word| (word, " "));
        if refers(word) {
            escaped.push_str(&code(word));
        } else {
            for c in word.chars() {
                escaped.extend(MARKUP.contains(c).then_some('\\').into_iter().chain([c]));
            }
        }
        escaped.push_str(space);
    }
    escaped
}

/// Returns whether GitHub could read a word as a link, a mention, an emoji or a formula.
fn refers(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let is_emoji = |name: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_+-".contains(c);
        // Not the minutes of a time.
        name.chars().all(is_part)
            && (name.len() > 2 || name.contains(|c: char| !c.is_ascii_digit()))
    };
    let parts: Vec<&str> = word.split(':').collect();
    word.contains(['@', '#', '$'])
        || parts.get(1..parts.len() - 1).unwrap_or_default().iter().any(|part| is_emoji(part))
        || ["://", "www.", "gh-", "mailto:", "xmpp:"].iter().any(|begin| lower.contains(begin))
}

/// Returns a word as a code span, in which a backtick does not end it. A `|` would begin another cell
/// of a table.
fn code(word: &str) -> String {
    let longest = word.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let space = if word.starts_with('`') || word.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{}{space}{fence}", word.replace('|', "\\|"))
}

/// Returns the text of a cell that a spreadsheet neither executes nor breaks into lines.
///
/// A text that a spreadsheet would read as a formula gets an apostrophe before it, and a control
/// character becomes a space. Where lists are separated by `;`, this is also true of each text after one. Names
/// come from the definitions, and messages from the server.
pub(crate) fn spreadsheet_cell(text: &str) -> String {
    const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = visible(&line);
    let is_formula = |text: &str| {
        let is_before = |c: char| c.is_whitespace() || c == '"';
        text.trim_start_matches(is_before).starts_with(FORMULA)
    };
    let safe = |part: &str| format!("{}{part}", if is_formula(part) { "'" } else { "" });
    let line = line.split(';').map(safe).collect::<Vec<_>>().join(";");
    if text.starts_with('\t') && !line.starts_with('\'') { format!("'{line}") } else { line }
}

/// Returns rows of cells as lines, in which each column has the width of its widest cell on a terminal: some
/// characters of East Asian scripts take two columns.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width =
        |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let padded = |(cell, width): (&String, &usize)| {
        format!("{cell}{}", " ".repeat(width.saturating_sub(cell.width())))
    };
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(padded).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Returns an error of the operating system in words, without its number: `permission denied`.
#[must_use]
pub fn os_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error ").next().unwrap_or(&text);
    let mut characters = words.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// The number of characters of a name or value that a message contains.
const BRIEF: usize = 120;

/// Returns a text that is cut after 120 characters, so that a message about each part of a long text
/// does not contain all of it.
pub(crate) fn brief(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(BRIEF) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

/// The number of characters at each end of a long message that are kept.
const MESSAGE_END: usize = 1000;

/// Returns a message without its middle, if it is very long because it repeats a text of the user or
/// of the server.
#[must_use]
pub fn without_middle(message: String) -> String {
    with_ends(message, MESSAGE_END)
}

/// Returns a text of which only a number of characters at each end are kept.
pub(crate) fn with_ends(message: String, characters: usize) -> String {
    // No character has more than four bytes.
    if message.len() <= 2 * characters {
        return message;
    }
    let begin = message.char_indices().nth(characters).map_or(message.len(), |(at, _)| at);
    let end = message.char_indices().rev().nth(characters - 1).map_or(0, |(at, _)| at);
    if end <= begin {
        return message;
    }
    format!("{}…{}", &message[..begin], &message[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_has_no_links_and_mentions() {
        for (text, markdown) in [
            ("role a_b may & does ![x](y)", "role a\\_b may \\& does \\!\\[x\\](y)"),
            ("see https://evil.example/x now", "see `https://evil.example/x` now"),
            ("WWW.evil.example", "`WWW.evil.example`"),
            ("ping @team", "ping `@team`"),
            ("a@b.example", "`a@b.example`"),
            ("fixes #12, org/repo#12 and GH-12", "fixes `#12,` `org/repo#12` and `GH-12`"),
            (":smile: and $x$", "`:smile:` and `$x$`"),
            ("db.example.com:5432 (28P01): closed", "db.example.com:5432 (28P01): closed"),
            ("at 2026-11-29T01:19:19Z, :100:", "at 2026-11-29T01:19:19Z, `:100:`"),
            ("`@x`", "`` `@x` ``"),
            ("a``@|b", "```a``@\\|b```"),
            ("a  b ", "a  b "),
        ] {
            assert_eq!(escaped(text), markdown);
        }
    }

    #[test]
    fn long_messages_keep_both_ends() {
        assert_eq!(without_middle("ä".repeat(2000)), "ä".repeat(2000));
        let long = without_middle(format!("name `{}` is long", "ä".repeat(100_000)));
        assert!(long.starts_with("name `ä") && long.ends_with("ä` is long"), "{long}");
        assert_eq!(long.chars().count(), 2001);
    }

    #[test]
    fn no_character_is_hidden() {
        let hostile = "a\u{1b}[2J\u{202e}b\nc\u{9b}\u{e0041}é\u{7f}\r";
        assert_eq!(visible(hostile), "a\\u{1b}[2J\\u{202e}b\\nc\\u{9b}\\u{e0041}é\\u{7f}\\r");
        assert_eq!(visible_lines("a\nb\u{2066}"), "a\nb\\u{2066}");
        let json = pretty_json(&[hostile]).unwrap();
        assert!(json.lines().all(|line| !line.contains(is_hidden)), "{json}");
        assert!(json.contains("\\u202e") && json.contains("\\udb40\\udc41"), "{json}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), [hostile]);
    }

    #[test]
    fn columns_of_a_table_have_the_width_of_a_terminal() {
        let rows = [["数据", "a"], ["é", "b"], ["shop", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "数据  a\né     b\nshop\n");
    }

    /// Wherever such a text is in a log, the CI system would execute a command.
    #[test]
    fn no_text_is_a_command_of_a_ci_system() {
        for (text, shown) in [
            ("a ##[command]b", "a #\\u{23}[command]b"),
            ("###[error]", "##\\u{23}[error]"),
            ("x##vso[task.setvariable]", "x#\\u{23}vso[task.setvariable]"),
            ("##teamcity[buildStatus]", "#\\u{23}teamcity[buildStatus]"),
            ("##VSO[", "#\\u{23}VSO["),
            ("## [a] #[b] ##vs ##", "## [a] #[b] ##vs ##"),
        ] {
            assert_eq!(visible(text), shown);
            assert_eq!(visible(shown), shown);
            assert_eq!(visible_lines(&format!("a\n{text}")), format!("a\n{shown}"));
            let json = pretty_json(&[text]).unwrap();
            assert!(json.lines().all(is_shown_as_it_is), "{json}");
            assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), [text]);
            assert!(
                is_shown_as_it_is(&escaped(text)) && is_shown_as_it_is(&spreadsheet_cell(text))
            );
        }
    }

    /// With such a character, two secrets or roles look the same.
    #[test]
    fn no_character_is_without_shape() {
        for c in [
            '\u{ad}',
            '\u{34f}',
            '\u{115f}',
            '\u{17b4}',
            '\u{180e}',
            '\u{200c}',
            '\u{200d}',
            '\u{2800}',
            '\u{3164}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{ffa0}',
            '\u{1d173}',
            '\u{e0100}',
            '\u{a0}',
            '\u{2003}',
            '\u{3000}',
            '\u{e000}',
            '\u{13430}',
            '\u{16fe4}',
            '\u{1bca0}',
            '\u{1d159}',
        ] {
            assert_eq!(visible(&format!("a{c}b")), format!("a{}b", c.escape_unicode()));
        }
        assert_eq!(visible("é ü 数据 \u{1f600}"), "é ü 数据 \u{1f600}");
    }
}
