//! Every syntax as one tree with spans. [`read`] chooses the reader; nothing here knows what the
//! values mean.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;

use super::{Syntax, hcl, json, toml};

/// A place in a text, in bytes.
pub type Span = Range<usize>;

/// A key with its place.
#[derive(Debug)]
pub struct Key {
    pub name: String,
    pub span: Span,
}

/// A value with its place.
#[derive(Debug)]
pub struct Node {
    pub value: Value,
    pub span: Span,
}

#[derive(Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    /// TOML's dates and times, which no key of ours takes.
    Datetime,
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
    /// What a constant is made with that Terraform evaluates and nothing here does; a fault only where the
    /// value is asked for.
    Unevaluated(String),
    /// A fault is reported already; whoever meets this is quiet.
    Refused,
}

impl Value {
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

/// A string as Terraform holds it: in Unicode's composed form (NFC).
pub fn string(text: &str) -> String {
    text.nfc().collect()
}

/// What the text breaks, where, and what to do.
#[derive(Debug, PartialEq)]
pub struct SyntaxError {
    pub span: Span,
    pub message: String,
    pub help: String,
}

impl SyntaxError {
    pub fn new(span: Span, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: help.into() }
    }
}

/// Reads a text; faults beside the tree where reading could go on.
pub fn read(syntax: Syntax, text: &str) -> (Option<Node>, Vec<SyntaxError>) {
    match syntax {
        Syntax::Hcl => hcl::read(text),
        Syntax::Json => json::read(text),
        Syntax::Toml => toml::read(text),
    }
}
