//! One definitions file while it is read: checks the types of its values, and collects its errors
//! with line and column.

use std::collections::BTreeMap;
use std::string::FromUtf8Error;

use super::tree::{CONSTANTS, Key, Node, Span, Value};
use super::{DefinitionError, Location, SourceText, Syntax};
use crate::error_code::ErrorCode;
use crate::hint::Hint;

/// A definitions file, with the errors that were found in it so far.
pub struct File<'a> {
    pub source: &'a SourceText,
    pub text: &'a str,
    /// The byte offset at which each line starts.
    line_starts: Vec<usize>,
    pub errors: Vec<DefinitionError>,
}

/// The entries of a map, by key.
pub type Entries<'n> = BTreeMap<&'n str, (&'n Key, &'n Node)>;

impl<'a> File<'a> {
    pub fn new(source: &'a SourceText) -> Self {
        let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
        let line_starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { source, text, line_starts, errors: Vec::new() }
    }

    pub fn location(&self, span: &Span) -> Location {
        let line = self.line_starts.partition_point(|start| *start <= span.start).max(1);
        let before = self.text.get(self.line_starts[line - 1]..span.start).unwrap_or_default();
        Location { file: self.source.path.clone(), line, column: before.chars().count() + 1 }
    }

    pub fn error_at(
        &self,
        location: Location,
        code: ErrorCode,
        message: String,
        hint: Hint,
    ) -> DefinitionError {
        let start = self.line_starts.get(location.line - 1).copied().unwrap_or_default();
        let line_text = self.text[start..].lines().next().unwrap_or_default().to_owned();
        DefinitionError { location, line_text, code, message, hint }
    }

    pub fn error(
        &mut self,
        span: &Span,
        code: ErrorCode,
        message: impl Into<String>,
        hint: impl Into<Hint>,
    ) {
        let error = self.error_at(self.location(span), code, message.into(), hint.into());
        self.errors.push(error);
    }

    /// Adds the error that a value has the wrong type.
    pub fn wrong_type(&mut self, subject: &str, node: &Node, wanted: &str, hint: impl Into<Hint>) {
        match &node.value {
            // The error of a refused value is in the list already.
            Value::Refused => {}
            Value::Unevaluated(how) => {
                let message = format!("{subject} contains {how}, but only constants are allowed");
                self.error(&node.span, ErrorCode::NotAConstant, message, CONSTANTS);
            }
            other => {
                let message = format!("{subject} is {}, not {wanted}", other.kind());
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
            if let Some((earlier, _)) = earlier {
                let location = self.location(&earlier.span);
                self.error(
                    &key.span,
                    ErrorCode::DuplicateKey,
                    format!("key `{}` of {subject} is already given at {location}", key.name),
                    "remove one of the two",
                );
            }
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
