//! What excerpts of a definitions file contain: definitions only. Everything else in it can be a secret of another
//! program.

use super::keys::{APPLICATIONS, KEYS};
use super::tree::{Key, Node, Span, Value};

/// The variable of the coupled mode.
const CONFIG: &str = "rds_config";

/// The variables that contain definitions.
const VARIABLES: [&str; 5] = [APPLICATIONS, CONFIG, "environment", "aws_region", "scope"];

/// The characters of a syntax, which excerpts contain between values.
const PUNCTUATION: &str = "\" \t{}[]=:,\r";

/// What excerpts of a file contain.
#[derive(Debug, PartialEq)]
pub enum Shown {
    All,
    Parts(Parts),
    /// The file could not be parsed, so that its parts are not known.
    Unparsed,
}

/// The positions of the keys and values that excerpts contain, and of the values that they do not contain.
#[derive(Debug, Default, PartialEq)]
pub struct Parts {
    shown: Vec<Span>,
    hidden: Vec<Span>,
}

/// What a node of a definitions file is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Config,
    Applications,
    Application,
    /// The value of a key.
    Value,
    /// Not a definition.
    Other,
}

impl Part {
    /// Returns what an entry of this part is.
    fn entry(self, name: &str) -> Self {
        match self {
            Self::Config if name == APPLICATIONS => Self::Applications,
            Self::Config if name == "enabled" => Self::Value,
            Self::Applications => Self::Application,
            Self::Application if KEYS.contains(&name) => Self::Value,
            Self::Value => Self::Value,
            _ => Self::Other,
        }
    }
}

impl Parts {
    fn add(&mut self, key: &Key, node: &Node, part: Part) {
        self.shown.push(key.span.clone());
        self.add_value(node, part);
    }

    fn add_value(&mut self, node: &Node, part: Part) {
        match &node.value {
            Value::Map(entries) => {
                if part == Part::Other {
                    self.hidden.push(node.span.clone());
                    // In TOML, the span of a table does not contain its values.
                    let outside = |value: &&Node| !node.span.contains(&value.span.start);
                    entries
                        .iter()
                        .map(|(_, value)| value)
                        .filter(outside)
                        .for_each(|value| self.add_value(value, part));
                    return;
                }
                for (key, node) in entries {
                    self.add(key, node, part.entry(&key.name));
                }
            }
            Value::List(items) => items.iter().for_each(|item| self.add_value(item, part)),
            Value::Null | Value::Bool(_) => self.shown.push(node.span.clone()),
            // An expression, whose error says what it is.
            Value::Unevaluated(_) | Value::Refused if part != Part::Other => {
                self.shown.push(node.span.clone());
            }
            Value::Refused => {}
            _ if part == Part::Value => self.shown.push(node.span.clone()),
            _ => self.hidden.push(node.span.clone()),
        }
    }
}

/// Returns whether one of these spans, which are in the order of the text, contains a position.
fn contains(spans: &[Span], at: usize) -> bool {
    let after = spans.partition_point(|span| span.start <= at);
    spans[..after].last().is_some_and(|span| at < span.end)
}

impl Shown {
    /// Finds the definitions in a tree.
    pub fn parts(root: &Node) -> Self {
        let Value::Map(entries) = &root.value else { return Self::Unparsed };
        let mut parts = Parts::default();
        for (key, node) in entries {
            let part = match key.name.as_str() {
                APPLICATIONS => Part::Applications,
                CONFIG => Part::Config,
                name if VARIABLES.contains(&name) => Part::Value,
                _ => Part::Other,
            };
            parts.add(key, node, part);
        }
        parts.shown.sort_by_key(|span| span.start);
        parts.hidden.sort_by_key(|span| span.start);
        Self::Parts(parts)
    }

    /// Returns a part of the text of the file, with `*` instead of what an excerpt does not contain.
    pub fn text(&self, text: &str, span: Span) -> String {
        let Self::Parts(parts) = self else { return text[span].to_owned() };
        let shown = text[span.clone()].char_indices().map(|(at, c)| {
            let at = span.start + at;
            let is_hidden = contains(&parts.hidden, at) && !"\" \r".contains(c);
            let is_shown = PUNCTUATION.contains(c) || contains(&parts.shown, at);
            if is_shown && !is_hidden { c } else { '*' }
        });
        shown.collect()
    }
}

/// Returns whether definitions are in an output of Terraform that is marked as sensitive.
pub fn is_sensitive(root: &Node) -> bool {
    let Value::Map(entries) = &root.value else { return false };
    entries.iter().any(|(key, _)| key.sensitive && VARIABLES.contains(&key.name.as_str()))
}

/// Returns whether the end of a HCL text that cannot be parsed contains definitions only: from the last line at whose start
/// a variable gets its value, only keys of definitions get one, and no comments follow.
pub fn are_definitions(text: &str) -> bool {
    let is_start = |line: &&str| line.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let lines: Vec<&str> = text.lines().rev().collect();
    let Some(first) = lines.iter().position(is_start) else { return false };
    let is_known = |name: &str| VARIABLES.contains(&name) || KEYS.contains(&name);
    let of_definitions = |line: &&str| {
        let mut assigned = line.match_indices(['=', ':']).map(|(at, _)| line.split_at(at));
        !["#", "//", "/*", "<<"].iter().any(|other| line.contains(other))
            && assigned.all(|(before, after)| {
                let name = before.trim_end().rsplit([' ', '{', ',', '\t']).next();
                after[1..].trim_start().starts_with('{') || name.is_some_and(is_known)
            })
    };
    let variable = lines[first].split(['=', ' ']).next();
    variable.is_some_and(|name| VARIABLES.contains(&name))
        && lines[..=first].iter().all(of_definitions)
}
