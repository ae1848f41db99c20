//! How text looks on a terminal: coloured by the beginning of each line, and in lines of its width.
//!
//! Text that is not written to a terminal has no line breaks of its own: programs search its lines.

use std::io;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;

use crate::args::ColorWhen;

/// The width if that of the terminal is not known.
const WIDTH: usize = 100;

/// Selects when the output has colours; the variables NO_COLOR and CLICOLOR_FORCE decide about `auto`.
pub fn start(when: ColorWhen) {
    match when {
        ColorWhen::Auto => ColorChoice::Auto,
        ColorWhen::Always => ColorChoice::Always,
        ColorWhen::Never => ColorChoice::Never,
    }
    .write_global();
}

/// Returns text for a reader as a stream shows it. Its characters are visible already.
pub fn shown(text: &str, stream: &impl RawStream) -> String {
    let width = stream.is_terminal().then(width);
    let is_coloured = AutoStream::choice(stream) != ColorChoice::Never;
    let lines = text.split('\n').map(|line| {
        // A user copies a command with its line breaks.
        let width = width.filter(|_| !line.trim_start().starts_with("$ "));
        let wrapped = width.map_or_else(|| vec![line.to_owned()], |width| wrapped(line, width));
        let style = if is_coloured { style(line) } else { Style::new() };
        let styled = |part: String| match style.is_plain() || part.is_empty() {
            true => part,
            false => format!("{style}{part}{style:#}"),
        };
        wrapped.into_iter().map(styled).collect::<Vec<_>>().join("\n")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns a question with its prompt in lines of the width of the terminal. The prompt is not broken.
pub fn question(question: &str, prompt: &str) -> String {
    in_width(question, prompt, width())
}

fn in_width(question: &str, prompt: &str, width: usize) -> String {
    if question.width() + prompt.width() + 2 < width {
        return format!("{question} {prompt}");
    }
    let mut lines = wrapped(question, width);
    lines.push(prompt.to_owned());
    lines.join("\n")
}

/// Returns the width of the terminal.
pub fn width() -> usize {
    let known = terminal_size::terminal_size_of(io::stderr())
        .or_else(|| terminal_size::terminal_size_of(io::stdout()));
    known.map_or(WIDTH, |(width, _)| usize::from(width.0).max(20))
}

/// Returns the style of a line: that of its sign in a plan, of a message, or of a heading.
fn style(line: &str) -> Style {
    let color = |color: AnsiColor| color.on_default();
    let text = line.trim_start();
    let begins = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
    let is_step = line.starts_with("  ");
    match text.as_bytes() {
        [b'+', b' ', ..] if is_step => color(AnsiColor::Green),
        [b'-', b' ', ..] if is_step => color(AnsiColor::Red),
        [b'~' | b'?', b' ', ..] if is_step => color(AnsiColor::Yellow),
        _ if begins(&["error[", "refused["]) => color(AnsiColor::Red).bold(),
        _ if begins(&["hint:"]) => color(AnsiColor::Cyan),
        _ if is_step => Style::new(),
        _ if begins(&["note[", "note:"]) => color(AnsiColor::Blue),
        _ if begins(&["Hazards:"]) => color(AnsiColor::Yellow).bold(),
        _ if begins(&["application ", "Plan", "Nothing to do", "Refused", "Applied"]) => {
            Style::new().bold()
        }
        _ => Style::new(),
    }
}

/// Breaks a line between words, so that each part has at most `width` columns unless a word is longer.
/// Each part after the first has a deeper indentation.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    let indentation = line.chars().take_while(|c| *c == ' ').count();
    let (start, text) = line.split_at(indentation);
    let mut parts = Vec::new();
    let mut part = start.to_owned();
    let mut length = indentation;
    let mut is_first = true;
    for word in text.split_inclusive(' ') {
        let visible = word.trim_end_matches(' ').width();
        if length + visible > width && !is_first {
            parts.push(part.trim_end().to_owned());
            part = " ".repeat(indentation + 4);
            length = indentation + 4;
            if visible == 0 {
                continue;
            }
        }
        part.push_str(word);
        length += word.width();
        is_first = false;
    }
    parts.push(part.trim_end().to_owned());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_only() {
        let line = "  + grant SELECT on table orders to shop_reader   [adopts]";
        let parts = wrapped(line, 30);
        assert_eq!(
            parts,
            ["  + grant SELECT on table", "      orders to shop_reader", "      [adopts]"]
        );
        assert_eq!(wrapped("", 30), [""]);
        // Each of these characters takes two columns.
        assert_eq!(wrapped("数据 数据 数据", 10), ["数据 数据", "    数据"]);
        let word = "u".repeat(50);
        assert_eq!(wrapped(&format!("a {word} b"), 30), ["a", &format!("    {word}"), "    b"]);
    }

    #[test]
    fn question_has_lines_of_the_width() {
        let (question, prompt) =
            ("Apply this plan on db1:5432 (dev)?", "Enter \"yes\" to confirm:");
        assert_eq!(in_width(question, prompt, 100), format!("{question} {prompt}"));
        assert_eq!(
            in_width(question, prompt, 30),
            format!("Apply this plan on db1:5432\n    (dev)?\n{prompt}")
        );
    }

    #[test]
    fn steps_and_messages_have_colours() {
        let plain = |line: &str| style(line).is_plain();
        assert!(plain("") && plain("  TLS require") && plain("- a list"));
        for line in ["  + create role a", "error[no-host]: x", "  hint: y", "Plan: 1 to add"] {
            assert!(!plain(line), "{line}");
        }
    }
}
