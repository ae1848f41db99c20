//! Reads a large file of Terraform in parts.
//!
//! hcl-edit 0.10 compares each key of a map with all keys before it. This module divides the largest map
//! at the top of a file into groups of entries, and reads each group by itself: the time is linear.
//! A text that it cannot divide, or that contains an error, is left to the reader of whole texts.

use std::collections::HashSet;

use super::delimiters::{Delimiter, Delimiters};
use super::tree::{Key, Node, Span, Value};

/// The size of a map, in bytes, from which it is divided.
const LARGE: usize = 64 * 1024;

/// The minimum size of a group of entries, in bytes.
const GROUP: usize = 16 * 1024;

/// What stands before the entries of a group, so that they are a text of their own.
const BEFORE: &str = "map = {\n";

/// Reads a text whose largest map can be divided; `None` for any other text. `read` returns `None` for a
/// text with an error.
pub fn read(text: &str, read: impl Fn(&str) -> Option<Node>) -> Option<Node> {
    if text.len() < LARGE {
        return None;
    }
    read_groups(text, &largest_map(text, GROUP).filter(|map| map.len() >= LARGE)?, read)
}

/// The groups of entries of a map, in their order: they adjoin each other, and are all that its braces contain.
struct Groups(Vec<Span>);

impl Groups {
    /// Returns the positions between the braces.
    fn span(&self) -> Span {
        let ends = (self.0.first(), self.0.last());
        if let (Some(first), Some(last)) = ends { first.start..last.end } else { 0..0 }
    }

    fn len(&self) -> usize {
        self.span().len()
    }
}

/// Returns the groups of the largest map that is the value of an attribute at the top of a text.
///
/// An entry ends where a `}` is followed by the end of the line, and then by a name or a quoted name: no
/// expression continues like this. If it does nevertheless, the text of a group is not valid.
fn largest_map(text: &str, minimum: usize) -> Option<Groups> {
    let mut largest: Option<Groups> = None;
    let mut groups: Vec<Span> = Vec::new();
    let mut start = 0;
    let mut delimiters = Delimiters::of(text);
    while let Some(delimiter) = delimiters.next() {
        match (delimiter.ok()?, delimiters.open()) {
            (Delimiter::Opening { at }, [('{', _)]) => {
                groups.clear();
                start = at + 1;
            }
            (Delimiter::Closing { at, .. }, [('{', _)]) => {
                let end = at + 1;
                if end - start >= minimum && text[..end].ends_with('}') && ends_entry(&text[end..])
                {
                    groups.push(start..end);
                    start = end;
                }
            }
            (Delimiter::Closing { opening: '{', at, .. }, []) => {
                groups.push(start..at);
                let map = Groups(std::mem::take(&mut groups));
                if largest.as_ref().is_none_or(|one| one.len() < map.len()) {
                    largest = Some(map);
                }
            }
            _ => {}
        }
    }
    largest.filter(|map| map.0.len() > 1)
}

/// Returns whether the entry before a text ends with its line, and another one begins after it.
fn ends_entry(rest: &str) -> bool {
    let is_space = |c: char| c == ' ' || c == '\t';
    let line = rest.trim_start_matches(is_space);
    let line = line.strip_prefix(',').unwrap_or(line).trim_start_matches(is_space);
    line.strip_prefix('\n').is_some_and(|next| {
        next.trim_start().starts_with(|c: char| c == '"' || c == '_' || c.is_alphabetic())
    })
}

/// Reads the text without the entries of the map, and each group of them.
fn read_groups(text: &str, groups: &Groups, read: impl Fn(&str) -> Option<Node>) -> Option<Node> {
    let map = groups.span();
    let mut entries = Vec::new();
    for group in &groups.0 {
        // A comma after the last entry belongs to the group before.
        let is_separator = |c: char| c.is_whitespace() || c == ',' && group.start > map.start;
        let from = text[group.clone()].find(|c| !is_separator(c)).map(|at| group.start + at)?;
        let mut part = read(&format!("{BEFORE}{}\n}}\n", &text[from..group.end]))?;
        let [(_, Node { value: Value::Map(part), .. })] = &mut entries_of(&mut part)?[..] else {
            return None;
        };
        for (key, value) in &mut *part {
            shift_entry(key, value, &|at| at + from - BEFORE.len());
        }
        entries.append(part);
    }
    let names: HashSet<&str> = entries.iter().map(|(key, _)| key.name.as_str()).collect();
    if names.len() < entries.len() {
        return None;
    }
    let mut node = read(&[&text[..map.start], &text[map.end..]].concat())?;
    shift(&mut node, &|at| if at <= map.start { at } else { at + map.len() });
    let braces = map.start - 1..map.end + 1;
    let (_, value) = entries_of(&mut node)?.iter_mut().find(|(_, value)| value.span == braces)?;
    value.value = Value::Map(entries);
    Some(node)
}

fn entries_of(node: &mut Node) -> Option<&mut Vec<(Key, Node)>> {
    if let Value::Map(entries) = &mut node.value { Some(entries) } else { None }
}

/// Changes each position of a tree.
fn shift(node: &mut Node, position: &impl Fn(usize) -> usize) {
    node.span = position(node.span.start)..position(node.span.end);
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| shift(item, position)),
        Value::Map(entries) => {
            entries.iter_mut().for_each(|(key, value)| shift_entry(key, value, position));
        }
        _ => {}
    }
}

fn shift_entry(key: &mut Key, value: &mut Node, position: &impl Fn(usize) -> usize) {
    key.span = position(key.span.start)..position(key.span.end);
    shift(value, position);
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fmt::Write as _;

    use super::super::hcl::read_whole;
    use super::{Groups, Node, largest_map, read, read_groups};

    fn whole(text: &str) -> Option<Node> {
        let (node, errors) = read_whole(text);
        node.filter(|_| errors.is_empty())
    }

    /// Reads a text with one entry in each group.
    fn divided(text: &str) -> Option<Node> {
        read_groups(text, &largest_map(text, 0)?, whole)
    }

    fn applications(count: usize) -> String {
        let mut text = "environment = \"dev\"\napplication_databases = {\n".to_owned();
        for number in 0..count {
            let _ = writeln!(text, "  app_{number} = {{ database_name = \"db_{number}\" }}");
        }
        text + "}\n"
    }

    #[test]
    fn divided_texts_have_the_same_tree() {
        for entries in [
            "a = { x = 1 }\nb = { y = [1, { z = 2 }] }\n",
            "# first\n  a = { x = \"}\\n\" },\n\n  \"b\" = { y = \"${\"q\"}\" }\n  c = \"}\"\n",
            "a = { text = <<E\n}\nb = {\nE\n}\n/* } */ b = { }\n_c = {}\n\t\u{fc}d = {} # end",
        ] {
            let text = format!("one = 1\nmap = {{{entries}\n}}\nlast = {{ a = {{}} }}\n");
            let tree = divided(&text).unwrap_or_else(|| panic!("not divided: {text}"));
            assert_eq!(format!("{tree:?}"), format!("{:?}", whole(&text).unwrap()), "{text}");
        }
    }

    #[test]
    fn other_texts_are_not_divided() {
        for text in [
            "map = {, a = {}\n b = {}\n}",
            "map = { a = {}\n a = {}\n}",
            "map = { a = {}\n \"a\" = {}\n}",
            "map = { a = {}\n b = c }\n}",
            "map = { for k, v in {} : k => {}\n if v }\n",
            "map = { a = {}\n b = {}\n}.a\n",
            "map = x ? { a = {}\n b = {}\n} : {}\n",
            "map = f({ a = {}\n b = {}\n})\n",
            "map { a = {}\n b = {}\n}\n",
            "map = { a = {} b = {}\n c = {}\n}\n",
            "map = { a = {}\n b = {}\n",
            "map = [{ a = {}\n b = {}\n}]\n",
        ] {
            let tree = divided(text).map(|tree| format!("{tree:?}"));
            assert_eq!(tree, None, "{text}");
        }
    }

    /// The parser compares the keys of one map with each other.
    #[test]
    fn comparisons_are_linear() {
        let comparisons = |count: usize| {
            let total = Cell::new(0);
            let tree = read(&applications(count), |part| {
                let keys = part.matches("app_").count();
                total.set(total.get() + keys * keys);
                whole(part)
            });
            assert!(tree.is_some());
            total.get()
        };
        let (few, many) = (comparisons(2000), comparisons(8000));
        assert!(many < 5 * few, "{few} {many}");
        assert_eq!(largest_map("a = {}", 0).map(|Groups(spans)| spans), None);
    }
}
