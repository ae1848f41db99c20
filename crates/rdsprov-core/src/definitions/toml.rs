//! Reads TOML with the `toml` crate, which provides spans.

use ::toml::de::{DeTable, DeValue};

use super::tree::{Key, Node, SyntaxError, Value, string};
use crate::error_code::ErrorCode;

pub fn read(text: &str) -> (Option<Node>, Vec<SyntaxError>) {
    let (parsed, errors) = DeTable::parse_recoverable(text);
    let mut errors: Vec<SyntaxError> = errors
        .iter()
        .map(|error| {
            SyntaxError::new(
                error.span().unwrap_or_default(),
                ErrorCode::InvalidSyntax,
                format!("not valid TOML: {}", error.message()),
                "correct the syntax",
            )
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

fn table(table: &DeTable<'_>) -> Value {
    Value::Map(
        table
            .iter()
            .map(|(key, item)| {
                let node = Node { value: value(item.get_ref()), span: item.span() };
                (Key { name: string(key.get_ref()), span: key.span() }, node)
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
