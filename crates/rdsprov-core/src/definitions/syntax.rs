//! Parses a text with the parser of its syntax.

use super::tree::{Node, SyntaxError};
use super::{Syntax, hcl, json, toml};

/// Parses a text. Returns the tree, if the text could be parsed to the end, and the errors.
pub fn parse(syntax: Syntax, text: &str) -> (Option<Node>, Vec<SyntaxError>) {
    match syntax {
        Syntax::Hcl => hcl::read(text),
        Syntax::Json => json::read(text),
        Syntax::Toml => toml::read(text),
    }
}
