//! Reads strict JSON: one value, without comments and trailing commas.
//!
//! Strings are literal: Terraform evaluates templates in `*.tf.json`, but not in `*.tfvars.json`.

use jsonc_parser::ast::Value as Json;
use jsonc_parser::common::Ranged as _;
use jsonc_parser::errors::ParseErrorKind;

use super::tree::{Key, Node, SyntaxError, Value, string};
use crate::error_code::ErrorCode;

const HINT: &str = "correct the syntax; JSON has no comments and no trailing commas";

pub fn read(text: &str) -> (Option<Node>, Vec<SyntaxError>) {
    let strict = jsonc_parser::ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
    };
    let parsed =
        match jsonc_parser::parse_to_ast(text, &jsonc_parser::CollectOptions::default(), &strict) {
            Ok(parsed) => parsed,
            Err(error) => {
                let at = error.range().start;
                let kind = match error.kind() {
                    // The message about a Unicode escape sequence contains text of the file.
                    ParseErrorKind::String(_) => "Invalid string".to_owned(),
                    kind => kind.to_string(),
                };
                let message = format!("not valid JSON: {kind}");
                let code = ErrorCode::InvalidSyntax;
                return (None, vec![SyntaxError::new(at..at, code, message, HINT)]);
            }
        };
    // jsonc-parser 0.32 provides spans and duplicate keys, but accepts control characters in
    // strings and leading zeros, which JSON does not allow. serde_json rejects them.
    if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
        let line_start: usize =
            text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        let mut at = (line_start + error.column().saturating_sub(1)).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let message = format!("not valid JSON: {message}");
        return (None, vec![SyntaxError::new(at..at, ErrorCode::InvalidSyntax, message, HINT)]);
    }
    match parsed.value {
        Some(value) => (Some(without_wrappers(node(&value))), Vec::new()),
        None => {
            let hint = "write a JSON object";
            let error = SyntaxError::without_text(
                0..0,
                ErrorCode::InvalidSyntax,
                "the file is empty",
                hint,
            );
            (None, vec![error])
        }
    }
}

/// Returns the values of `terraform output -json`, which wraps each value in an object with the keys
/// `sensitive`, `type` and `value`. Every other value is returned as it is.
fn without_wrappers(mut root: Node) -> Node {
    if let Value::Map(entries) = &mut root.value
        && !entries.is_empty()
        && entries.iter().all(|(_, node)| is_wrapper(node))
    {
        for (key, node) in entries {
            if let Value::Map(wrapper) = &mut node.value
                && let Some(at) = wrapper.iter().position(|(key, _)| key.name == "value")
            {
                let is_sensitive = |(key, node): &(Key, Node)| {
                    key.name == "sensitive" && !matches!(node.value, Value::Bool(false))
                };
                key.sensitive = wrapper.iter().any(is_sensitive);
                *node = wrapper.swap_remove(at).1;
            }
        }
    }
    root
}

fn is_wrapper(node: &Node) -> bool {
    let Value::Map(entries) = &node.value else { return false };
    let mut names: Vec<&str> = entries.iter().map(|(key, _)| key.name.as_str()).collect();
    names.sort_unstable();
    names == ["sensitive", "type", "value"]
}

fn node(value: &Json<'_>) -> Node {
    let range = value.range();
    let value = match value {
        Json::StringLit(text) => Value::String(string(&text.value)),
        Json::NumberLit(number) => Value::Number(number.value.to_owned()),
        Json::BooleanLit(value) => Value::Bool(value.value),
        Json::NullKeyword(_) => Value::Null,
        Json::Array(items) => Value::List(items.elements.iter().map(node).collect()),
        Json::Object(object) => Value::Map(
            object
                .properties
                .iter()
                .map(|property| {
                    let span = property.name.range();
                    let name = string(property.name.as_str());
                    (Key::new(name, span.start..span.end), node(&property.value))
                })
                .collect(),
        ),
    };
    Node { value, span: range.start..range.end }
}
