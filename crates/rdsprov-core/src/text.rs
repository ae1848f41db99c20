//! Escapes text for output.
//!
//! This module does not know what the text means.

use std::io;

/// Escapes control characters: a line break or a terminal sequence in a name must not look like
/// part of the output.
pub(crate) fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// Escapes text so that Markdown does not interpret it.
pub(crate) fn escaped(text: &str) -> String {
    const MARKUP: &str = "\\`*_[]<>|#~@";
    visible(text)
        .chars()
        .flat_map(|c| MARKUP.contains(c).then_some('\\').into_iter().chain([c]))
        .collect()
}

/// Returns an error of the operating system in words, without its number.
pub(crate) fn os_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error ").next().unwrap_or(&text);
    let mut characters = words.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}
