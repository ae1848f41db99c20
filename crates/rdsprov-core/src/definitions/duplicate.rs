//! Finds the first of two equal keys, if the parser rejects the second one and returns no tree.

use super::tree::{Key, Node, Span, Value};

/// Returns the position of the first key with the name of the second one, which begins at `at`.
/// `parse` parses the text in which the second key has another name.
pub fn first_key(
    text: &str,
    at: usize,
    name: &str,
    parse: impl FnOnce(&str) -> Option<Node>,
) -> Option<Span> {
    let start = at + text.get(at..)?.find(name).filter(|skipped| *skipped <= 1)?;
    let longer = (1..4).map(|count| format!("{name}{}", "_".repeat(count)));
    let other = { longer }.find(|other| !text.contains(other.as_str()))?;
    let renamed = [&text[..start], &other, &text[start + name.len()..]].concat();
    in_node(&parse(&renamed)?, &other, name)
}

/// Returns the position of a key in the map that also contains another key.
fn in_node(node: &Node, other: &str, name: &str) -> Option<Span> {
    let position = |entries: &[(Key, Node)], name: &str| {
        entries.iter().find(|(key, _)| key.name == name).map(|(key, _)| key.span.clone())
    };
    match &node.value {
        Value::Map(entries) if position(entries, other).is_some() => position(entries, name),
        Value::Map(entries) => entries.iter().find_map(|(_, node)| in_node(node, other, name)),
        Value::List(items) => items.iter().find_map(|item| in_node(item, other, name)),
        _ => None,
    }
}
