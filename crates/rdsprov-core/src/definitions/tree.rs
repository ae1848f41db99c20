//! The tree to which every syntax is parsed, with the position of each key and value.
//!
//! This module must not know what the values mean.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;

use crate::error_code::ErrorCode;
use crate::hint::Hint;

/// What to do about an expression.
pub const CONSTANTS: &str = "write the value itself, or use the JSON of `terraform output`";

/// A range of byte offsets in a text.
pub type Span = Range<usize>;

/// A key of a map, with its position.
#[derive(Debug)]
pub struct Key {
    pub name: String,
    pub span: Span,
    /// Whether Terraform marks the value as sensitive.
    pub sensitive: bool,
}

impl Key {
    pub fn new(name: impl Into<String>, span: Span) -> Self {
        Self { name: name.into(), span, sensitive: false }
    }
}

/// A value, with its position.
#[derive(Debug)]
pub struct Node {
    pub value: Value,
    pub span: Span,
}

/// A value, independent of the syntax.
#[derive(Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    /// A date or time of TOML, which is not valid for any key.
    Datetime,
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
    /// An expression that only Terraform can evaluate, named with its article: `a variable`. It is
    /// an error only where its value is needed.
    Unevaluated(String),
    /// A value whose error is reported already, so that it must not be reported again.
    Refused,
}

impl Value {
    /// Returns the type of the value with its article, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Datetime => "a date or time",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Unevaluated(_) => "an expression",
            Self::Refused => "refused",
        }
    }
}

/// Converts a string to the Unicode form NFC, as Terraform does.
pub fn string(text: &str) -> String {
    text.nfc().collect()
}

/// A syntax error, with its position.
#[derive(Debug, PartialEq)]
pub struct SyntaxError {
    pub span: Span,
    pub code: ErrorCode,
    pub message: String,
    pub hint: Hint,
    /// Whether the message or the hint may contain text of the file.
    pub quotes_text: bool,
    /// The first key, if the error is a second one of the same name.
    pub first: Option<Span>,
}

impl SyntaxError {
    pub fn new(
        span: Span,
        code: ErrorCode,
        message: impl Into<String>,
        hint: impl Into<Hint>,
    ) -> Self {
        let (message, hint) = (message.into(), hint.into());
        Self { span, code, message, hint, quotes_text: true, first: None }
    }

    /// Creates an error whose message and hint contain no text of the file.
    pub fn without_text(
        span: Span,
        code: ErrorCode,
        message: impl Into<String>,
        hint: impl Into<Hint>,
    ) -> Self {
        Self { quotes_text: false, ..Self::new(span, code, message, hint) }
    }
}
