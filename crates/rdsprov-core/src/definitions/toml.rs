//! Reads TOML with the `toml` crate, which provides spans.

use ::toml::de::{DeTable, DeValue};

use super::duplicate;
use super::tree::{Key, Node, Span, SyntaxError, Value, string};
use crate::error_code::ErrorCode;

pub fn read(text: &str) -> (Option<Node>, Vec<SyntaxError>) {
    let (parsed, errors) = DeTable::parse_recoverable(text);
    let mut errors: Vec<SyntaxError> = errors
        .iter()
        .map(|error| {
            let span = error.span().unwrap_or_default();
            if error.message() == "duplicate key" {
                return duplicate_key(text, span);
            }
            let message = format!("not valid TOML: {}", error.message());
            SyntaxError::new(span, ErrorCode::InvalidSyntax, message, "correct the syntax")
        })
        .collect();
    // The parser reports an unclosed delimiter once for each open table.
    errors.dedup();
    if errors.is_empty() {
        (Some(Node { value: table(parsed.get_ref()), span: 0..text.len() }), errors)
    } else {
        (None, errors)
    }
}

fn duplicate_key(text: &str, span: Span) -> SyntaxError {
    let name = text.get(span.clone()).unwrap_or_default().trim_matches(['"', '\'']);
    let message = format!("key `{name}` is given twice");
    let first = duplicate::first_key(text, span.start, name, |renamed| {
        let (parsed, _) = DeTable::parse_recoverable(renamed);
        Some(Node { value: table(parsed.get_ref()), span: 0..renamed.len() })
    });
    let error = SyntaxError::new(span, ErrorCode::DuplicateKey, message, "remove one of the two");
    SyntaxError { first, ..error }
}

fn table(table: &DeTable<'_>) -> Value {
    Value::Map(
        table
            .iter()
            .map(|(key, item)| {
                let node = Node { value: value(item.get_ref()), span: item.span() };
                (Key::new(string(key.get_ref()), key.span()), node)
            })
            .collect(),
    )
}

fn value(item: &DeValue<'_>) -> Value {
    match item {
        DeValue::String(text) => Value::String(string(text)),
        DeValue::Integer(number) => Value::Number(
            i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| number.to_string(), |number| number.to_string()),
        ),
        DeValue::Float(number) => Value::Number(number.as_str().to_owned()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| Node { value: value(item.get_ref()), span: item.span() })
                .collect(),
        ),
        DeValue::Table(inner) => table(inner),
    }
}
