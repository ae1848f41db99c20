//! Parses a file to its tree, and adds the syntax errors to the errors of the file.

use super::file::File;
use super::syntax;
use super::tree::Node;
use crate::error_code::ErrorCode;

/// Parses a file; syntax errors and duplicate top-level keys become errors of the file. `wanted` is the
/// key that a file of this kind contains.
pub fn parse_tree(file: &mut File<'_>, wanted: &str) -> Option<Node> {
    let (root, errors) = syntax::parse(file.source.syntax, file.text);
    file.hide_others(root.as_ref());
    for error in errors {
        if error.quotes_text && !file.is_recognised {
            file.error(
                &error.span,
                error.code,
                format!("the file is not valid {} here", file.source.syntax.title()),
                format!("check that this file contains `{wanted}`"),
            );
        } else {
            let is_shown = file.shows(&file.location(&error.span));
            let message = match error.code {
                ErrorCode::DuplicateKey if !is_shown => "a key is given twice".to_owned(),
                _ => error.message,
            };
            let first =
                error.first.map(|first| format!("; the first one is at {}", file.location(&first)));
            let message = message + &first.unwrap_or_default();
            file.error(&error.span, error.code, message, error.hint);
        }
    }
    root.filter(|root| file.map("the file", root).is_some())
}
