//! Parses a text with the parser of its syntax.

use super::tree::{Node, SyntaxError};
use super::{Syntax, hcl, json, toml};
use crate::error_code::ErrorCode;

/// Parses a text. Returns the tree, if the text could be parsed to the end, and the errors.
///
/// A text in another syntax than the name of its file says is one error.
pub fn parse(syntax: Syntax, text: &str) -> (Option<Node>, Vec<SyntaxError>) {
    let (root, errors) = read(syntax, text);
    let is_invalid = errors.iter().any(|error| error.code == ErrorCode::InvalidSyntax);
    let other = appearance(text).filter(|other| {
        is_invalid
            && *other != syntax
            && matches!(read(*other, text), (Some(_), errors) if errors.is_empty())
    });
    let Some(other) = other else { return (root, errors) };
    let message = format!("the file contains {}, not {}", other.title(), syntax.title());
    let hint = format!("rename the file, so that its name ends in `{}`", other.extension());
    (None, vec![SyntaxError::without_text(0..0, ErrorCode::InvalidSyntax, message, hint)])
}

/// Returns the syntax that the first line of a text looks like.
fn appearance(text: &str) -> Option<Syntax> {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(['#', '/']))?;
    match first.chars().next()? {
        '{' => Some(Syntax::Json),
        '[' => Some(Syntax::Toml),
        _ => Some(Syntax::Hcl),
    }
}

fn read(syntax: Syntax, text: &str) -> (Option<Node>, Vec<SyntaxError>) {
    match syntax {
        Syntax::Hcl => hcl::read(text),
        Syntax::Json => json::read(text),
        Syntax::Toml => toml::read(text),
    }
}
