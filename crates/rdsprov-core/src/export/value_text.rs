//! Values as text of a variable file of Terraform or of TOML.

use super::scope::ExportFormat;
use crate::text::characters;

/// A value of a key.
pub(super) enum Value {
    Text(String),
    Flag(bool),
    Number(i32),
    List(Vec<String>),
    Map(Vec<(String, String)>),
}

impl Value {
    pub fn names<T: ToString>(names: &[T]) -> Self {
        Self::List(names.iter().map(T::to_string).collect())
    }

    pub fn text(&self, format: ExportFormat) -> String {
        match self {
            Self::Text(text) => string(text, format),
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(|item| string(item, format)).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Map(entries) if entries.is_empty() => "{}".to_owned(),
            Self::Map(entries) => {
                let entry = |(name, value): &(String, String)| {
                    format!("{} = {}", key(name, format), string(value, format))
                };
                let entries: Vec<String> = entries.iter().map(entry).collect();
                format!("{{ {} }}", entries.join(", "))
            }
        }
    }
}

/// Returns a key, in quotes if it is not a plain word.
pub(super) fn key(name: &str, format: ExportFormat) -> String {
    // HCL reads an object that begins with `for` as an expression.
    const WORDS: [&str; 4] = ["for", "null", "true", "false"];
    let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && !WORDS.contains(&name);
    if is_word { name.to_owned() } else { string(name, format) }
}

/// Returns a string in quotes. No character of it is read as syntax, and none is hidden.
pub(super) fn string(text: &str, format: ExportFormat) -> String {
    let mut quoted = String::from("\"");
    let mut before = None;
    let mut rest = characters(text).peekable();
    while let Some((c, is_escaped)) = rest.next() {
        let is_before_brace = rest.peek().is_some_and(|(next, _)| *next == '{');
        let begins_template =
            format == ExportFormat::Tfvars && matches!(c, '$' | '%') && is_before_brace;
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            // `$${` is `${` as text; with one more `$` before it, readers disagree.
            _ if begins_template && before != Some(c) => quoted.extend([c, c]),
            _ if begins_template || is_escaped => match u32::from(c) {
                short @ ..0x1_0000 => quoted.push_str(&format!("\\u{short:04X}")),
                long => quoted.push_str(&format!("\\U{long:08X}")),
            },
            _ => quoted.push(c),
        }
        before = Some(c);
    }
    quoted.push('"');
    quoted
}
