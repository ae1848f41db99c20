//! One definitions file while it is read: checks the types of its values, and collects its errors
//! with line and column.

use std::collections::BTreeMap;
use std::string::FromUtf8Error;

use super::shown::{Shown, are_definitions, is_sensitive};
use super::tree::{CONSTANTS, Key, Node, Span, Value};
use super::{DefinitionError, Excerpt, Location, SourceText, Syntax};
use crate::error_code::ErrorCode;
use crate::hint::Hint;
use crate::text::{brief, without_middle};

/// The number of errors of one file that are kept. The others are only counted.
const KEPT_ERRORS: usize = 1000;

/// The number of characters of an excerpt.
const EXCERPT: usize = 120;

/// The number of bytes between two positions whose number of characters is known.
const BLOCK: usize = 1024;

/// The variables that contain definitions, one of them without its last letter, which is often
/// missing. A file that does not contain the name of one of them can be anything, also a secret:
/// messages contain none of its text.
const RECOGNISED: [&str; 2] = ["application_database", "rds_config"];

/// A definitions file, with the errors that were found in it so far.
pub struct File<'a> {
    pub source: &'a SourceText,
    pub text: &'a str,
    /// The byte offset at which each line starts.
    line_starts: Vec<usize>,
    /// The number of characters before each block of [`BLOCK`] bytes. Without it, the columns of all
    /// errors in a long line would need time that is quadratic in its length.
    characters: Vec<usize>,
    /// Whether the file seems to contain definitions, so that messages may contain its text.
    pub is_recognised: bool,
    /// Whether the file can contain variables of other programs.
    has_others: bool,
    /// What excerpts contain.
    shown: Shown,
    pub errors: Vec<DefinitionError>,
    /// The number of errors that were found and not kept.
    pub omitted: usize,
}

/// The entries of a map, by key.
pub type Entries<'n> = BTreeMap<&'n str, (&'n Key, &'n Node)>;

/// Returns whether a byte is the first byte of a character in UTF-8.
fn starts_character(byte: &u8) -> bool {
    byte & 0xC0 != 0x80
}

impl<'a> File<'a> {
    pub fn new(source: &'a SourceText) -> Self {
        Self { has_others: true, ..Self::recognised_by(source, &RECOGNISED) }
    }

    /// Creates a file that is recognised by one of these words.
    pub fn recognised_by(source: &'a SourceText, words: &[&str]) -> Self {
        let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
        let line_starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut before = 0;
        let characters = text
            .as_bytes()
            .chunks(BLOCK)
            .map(|block| {
                let first = before;
                before += block.iter().filter(|byte| starts_character(byte)).count();
                first
            })
            .collect();
        let is_recognised = words.iter().any(|name| text.contains(name));
        Self {
            source,
            text,
            line_starts,
            characters,
            is_recognised,
            has_others: false,
            shown: Shown::All,
            errors: Vec::new(),
            omitted: 0,
        }
    }

    /// Returns the number of characters before a byte offset.
    fn characters_before(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        let Some(block) = self.characters.get(offset / BLOCK) else {
            // The offset is the end of a text that consists of whole blocks.
            let last = self.characters.last().copied().unwrap_or_default();
            let start = self.characters.len().saturating_sub(1) * BLOCK;
            return last + self.count(start..offset);
        };
        block + self.count(offset / BLOCK * BLOCK..offset)
    }

    fn count(&self, range: Span) -> usize {
        self.text.as_bytes()[range].iter().filter(|byte| starts_character(byte)).count()
    }

    pub fn location(&self, span: &Span) -> Location {
        let line = self.line_starts.partition_point(|start| *start <= span.start).max(1);
        let before = self.characters_before(self.line_starts[line - 1]);
        let column = self.characters_before(span.start) - before + 1;
        Location { file: self.source.path.clone(), line, column, offset: span.start }
    }

    pub fn error_at(
        &self,
        location: Location,
        code: ErrorCode,
        message: String,
        hint: Hint,
    ) -> DefinitionError {
        let excerpt = self.shows(&location).then(|| self.excerpt(&location));
        DefinitionError { location, excerpt, code, message: without_middle(message), hint }
    }

    /// Keeps everything out of excerpts that is not a definition: variables of other programs, unknown keys, and
    /// comments. A file whose definitions are sensitive has no excerpts.
    pub fn hide_others(&mut self, root: Option<&Node>) {
        if !self.has_others {
            return;
        }
        self.is_recognised &= !root.is_some_and(is_sensitive);
        self.shown = root.map_or(Shown::Unparsed, Shown::parts);
    }

    /// Returns whether messages may contain the text at a location.
    pub fn shows(&self, location: &Location) -> bool {
        self.is_recognised
            && (self.shown != Shown::Unparsed
                || self.source.syntax == Syntax::Hcl
                    && are_definitions(&self.text[..self.line_end(location.line)]))
    }

    fn line_end(&self, line: usize) -> usize {
        self.line_starts.get(line).map_or(self.text.len(), |next| next - 1)
    }

    /// Returns the part of a line around a location.
    fn excerpt(&self, location: &Location) -> Excerpt {
        let start = self.line_starts.get(location.line - 1).copied().unwrap_or_default();
        let end = self.line_end(location.line);
        let line = self.text[start..end.max(start)].trim_end_matches('\r');
        if line.char_indices().nth(EXCERPT).is_none() {
            let text = self.shown.text(self.text, start..start + line.len());
            return Excerpt { text, column: location.column };
        }
        let at = location.offset.saturating_sub(start).min(line.len());
        let (before, after) = line.split_at(line.floor_char_boundary(at));
        let from = before.char_indices().rev().nth(EXCERPT / 2 - 1).map_or(0, |(from, _)| from);
        let to = after.char_indices().nth(EXCERPT / 2).map_or(after.len(), |(to, _)| to);
        let (cut, uncut) = ("…", "");
        let text = format!(
            "{}{}{}{}",
            if from > 0 { cut } else { uncut },
            self.shown.text(self.text, start + from..start + before.len()),
            self.shown.text(self.text, start + before.len()..start + before.len() + to),
            if to < after.len() { cut } else { uncut }
        );
        let column = before[from..].chars().count() + usize::from(from > 0) + 1;
        Excerpt { text, column }
    }

    /// Returns the number of errors that were found.
    pub fn error_count(&self) -> usize {
        self.errors.len() + self.omitted
    }

    pub fn error(
        &mut self,
        span: &Span,
        code: ErrorCode,
        message: impl Into<String>,
        hint: impl Into<Hint>,
    ) {
        if self.errors.len() >= KEPT_ERRORS {
            self.omitted += 1;
            return;
        }
        self.report(self.location(span), code, message.into(), hint);
    }

    /// Adds an error at a location in this file.
    pub fn report(
        &mut self,
        location: Location,
        code: ErrorCode,
        message: String,
        hint: impl Into<Hint>,
    ) {
        if self.errors.len() >= KEPT_ERRORS {
            self.omitted += 1;
            return;
        }
        let error = self.error_at(location, code, message, hint.into());
        self.errors.push(error);
    }

    /// Adds the error that a value has the wrong type.
    pub fn wrong_type(&mut self, subject: &str, node: &Node, wanted: &str, hint: impl Into<Hint>) {
        match &node.value {
            // The error of a refused value is in the list already.
            Value::Refused => {}
            Value::Unevaluated(how) => {
                let subject = brief(subject);
                let message = format!("{subject} contains {how}, but only constants are allowed");
                self.error(&node.span, ErrorCode::NotAConstant, message, CONSTANTS);
            }
            other => {
                let message = format!("{} is {}, not {wanted}", brief(subject), other.kind());
                self.error(&node.span, ErrorCode::WrongType, message, hint);
            }
        }
    }

    /// Returns the entries of a map; a duplicate key is an error.
    pub fn map<'n>(&mut self, subject: &str, node: &'n Node) -> Option<Entries<'n>> {
        let Value::Map(entries) = &node.value else {
            self.wrong_type(subject, node, "a map", "write { … }");
            return None;
        };
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            let earlier: Option<(&Key, &Node)> = map.insert(key.name.as_str(), (key, value));
            let Some((earlier, _)) = earlier else { continue };
            if self.errors.len() >= KEPT_ERRORS {
                self.omitted += 1;
                continue;
            }
            let location = self.location(&earlier.span);
            let name = if self.is_recognised {
                format!("key `{}`", brief(&key.name))
            } else {
                "a key".to_owned()
            };
            self.error(
                &key.span,
                ErrorCode::DuplicateKey,
                format!("{name} of {subject} is already given at {location}"),
                "remove one of the two",
            );
        }
        Some(map)
    }

    pub fn string<'n>(&mut self, key: &str, node: &'n Node) -> Option<&'n str> {
        if let Value::String(text) = &node.value {
            return Some(text);
        }
        self.wrong_type(&format!("`{key}`"), node, "a string", format!("write {key} = \"…\""));
        None
    }

    pub fn bool(&mut self, key: &str, node: &Node) -> Option<bool> {
        if let Value::Bool(value) = &node.value {
            return Some(*value);
        }
        let help = format!("write {key} = true or {key} = false, without quotes");
        self.wrong_type(&format!("`{key}`"), node, "a bool", help);
        None
    }

    pub fn strings(&mut self, key: &str, node: &Node) -> Option<Vec<(String, Span)>> {
        let Value::List(items) = &node.value else {
            let help = format!("write {key} = [\"…\"]");
            self.wrong_type(&format!("`{key}`"), node, "a list of strings", help);
            return None;
        };
        items
            .iter()
            .map(|item| match &item.value {
                Value::String(text) => Some((text.clone(), item.span.clone())),
                _ => {
                    let help = format!("write {key} = [\"…\"]");
                    self.wrong_type(&format!("an item of `{key}`"), item, "a string", help);
                    None
                }
            })
            .collect()
    }
}

/// Returns the entry of a key; Terraform treats `null` as not set.
pub fn given<'n>(entries: &Entries<'n>, key: &str) -> Option<(&'n Key, &'n Node)> {
    entries.get(key).copied().filter(|(_, node)| !matches!(node.value, Value::Null))
}

impl DefinitionError {
    /// Returns the error for a file that is not valid UTF-8, at its first invalid byte.
    ///
    /// ```
    /// use rdsprov_core::definitions::DefinitionError;
    /// let error = DefinitionError::not_utf8("dev.tfvars", &String::from_utf8(b"a\nb\xe9".into()).unwrap_err());
    /// assert_eq!(error.location.to_string(), "dev.tfvars:2:2");
    /// ```
    #[must_use]
    pub fn not_utf8(path: &str, error: &FromUtf8Error) -> Self {
        let bad = error.utf8_error().valid_up_to();
        let mut text = String::from_utf8_lossy(&error.as_bytes()[..bad]).into_owned();
        text.push(char::REPLACEMENT_CHARACTER);
        let source = SourceText { path: path.to_owned(), text, syntax: Syntax::Hcl };
        let file = File::new(&source);
        let end = file.text.len();
        let location = file.location(&(end - char::REPLACEMENT_CHARACTER.len_utf8()..end));
        file.error_at(
            location,
            ErrorCode::NotUtf8,
            "the file is not encoded in UTF-8".into(),
            "save the file as UTF-8".into(),
        )
    }
}
