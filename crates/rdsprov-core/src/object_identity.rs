//! Objects as statements name them: texts of a server that become a part of SQL.
//!
//! A server returns such a text whole (`pg_identify_object`), because the names of types in it cannot be
//! quoted: `timestamp without time zone`. A server that lies could add further statements, or commands of
//! `psql`, to it. So a text is accepted only if it is the name of one object and nothing else.
//!
//! This module does not know which objects exist.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::name::quote;
use crate::text::brief;

/// A text is not the name of one object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of an object in SQL")]
pub struct NotAnIdentity {
    /// The text, cut.
    text: String,
}

/// The name of one object as SQL, with its schema and the types of its arguments:
/// `public.total(integer)`, `public.<+>(integer,integer)`, `public.part USING btree`.
///
/// ```
/// use rdsprov_core::object_identity::ObjectIdentity;
/// let name = ObjectIdentity::try_from("public.\"a\nb\"(\"char\"[])".to_owned()).unwrap();
/// assert_eq!(name.sql(), r#"public.U&"a\000Ab"("char"[])"#);
/// assert!(ObjectIdentity::try_from("public.t; DROP TABLE u".to_owned()).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ObjectIdentity(String);

impl ObjectIdentity {
    /// Returns the text as the server returned it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text as a part of a statement: hidden characters in it are written as numbers.
    #[must_use]
    pub fn sql(&self) -> String {
        let mut sql = String::with_capacity(self.0.len());
        for token in tokens(&self.0).into_iter().flatten() {
            match token {
                Token::Quoted(name) => sql.push_str(&quote(&name)),
                Token::Word(text) | Token::Operator(text) => sql.push_str(text),
                Token::Mark(mark) => sql.push(mark),
            }
        }
        sql
    }
}

impl TryFrom<String> for ObjectIdentity {
    type Error = NotAnIdentity;

    fn try_from(text: String) -> Result<Self, NotAnIdentity> {
        match tokens(&text) {
            Some(tokens) if is_one_object(&tokens) => Ok(Self(text)),
            _ => Err(NotAnIdentity { text: brief(&text).into_owned() }),
        }
    }
}

impl<'de> Deserialize<'de> for ObjectIdentity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl fmt::Display for ObjectIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A part of an identity.
#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A name in quotes, without them.
    Quoted(String),
    /// Letters, digits and `_`: a name, a number, or a part of the name of a type.
    Word(&'a str),
    /// The name of an operator.
    Operator(&'a str),
    /// One of `.`, `,`, the space, parentheses and brackets.
    Mark(char),
}

/// Returns the tokens of an identity, or `None` if it contains anything else.
fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    const OPERATOR: &str = "+-*/<>=~!@#%^&|`?";

    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = |belongs: fn(char) -> bool| rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        let end = match first {
            '"' => {
                let (name, end) = quoted(rest)?;
                tokens.push(Token::Quoted(name));
                end
            }
            '.' | ',' | ' ' | '(' | ')' | '[' | ']' => {
                tokens.push(Token::Mark(first));
                1
            }
            '_' | 'a'..='z' | 'A'..='Z' | '0'..='9' => {
                let end = length(|c| c == '_' || c.is_ascii_alphanumeric());
                tokens.push(Token::Word(&rest[..end]));
                end
            }
            _ => {
                let end = length(|c| OPERATOR.contains(c));
                let operator = &rest[..end];
                // PostgreSQL allows neither in the name of an operator.
                if operator.is_empty() || operator.contains("--") || operator.contains("/*") {
                    return None;
                }
                tokens.push(Token::Operator(operator));
                end
            }
        };
        rest = &rest[end..];
    }
    Some(tokens)
}

/// Returns the name in quotes with which a text begins, without the quotes, and where it ends.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        match c {
            '\0' => return None,
            '"' if characters.next_if(|(_, next)| *next == '"').is_none() => {
                return (!name.is_empty()).then_some((name, at + 1));
            }
            _ => name.push(c),
        }
    }
    None
}

/// Returns whether tokens are a name with its schema, the types of arguments in parentheses, and an index
/// method after `USING`; the last two can be absent. Outside of parentheses, a further word could change
/// what a statement does: `public.t OWNER TO mallory, OWNER`.
fn is_one_object(tokens: &[Token<'_>]) -> bool {
    let is_name = |token: &Token<'_>| match token {
        Token::Quoted(_) => true,
        Token::Word(word) => !word.contains(|c: char| c.is_ascii_uppercase()),
        _ => false,
    };
    let start = tokens.iter().take_while(|token| **token != Token::Mark('('));
    let start = &tokens[..start.count()];
    let (name, method) = match start {
        [name @ .., Token::Mark(' '), Token::Word("USING"), Token::Mark(' '), method] => {
            (name, Some(method))
        }
        name => (name, None),
    };
    let parts: Vec<&[Token<'_>]> = name.split(|token| *token == Token::Mark('.')).collect();
    let [schemas @ .., last] = parts.as_slice() else { return false };
    let is_named = schemas.iter().all(|part| matches!(part, [one] if is_name(one)))
        && matches!(last, [one] if is_name(one) || matches!(one, Token::Operator(_)));
    is_named && method.is_none_or(is_name) && is_argument_list(&tokens[start.len()..])
}

/// Returns whether tokens are one pair of parentheses with everything else in it, or nothing.
fn is_argument_list(tokens: &[Token<'_>]) -> bool {
    let [arguments @ .., last] = tokens else { return true };
    let mut depth = 0_usize;
    for token in arguments {
        match token {
            Token::Mark('(') => depth += 1,
            Token::Mark(')') => depth = depth.saturating_sub(1),
            // An aggregate that accepts any row is named `f(*)`, and an operator without a left operand
            // can have `-` in its place.
            Token::Operator(operator) if !matches!(*operator, "*" | "-") => return false,
            _ => {}
        }
        if depth == 0 {
            return false;
        }
    }
    depth == 1 && *last == Token::Mark(')')
}

/// The kind of an object that has an owner, as `ALTER` and `DROP` name it. It is one of a closed list,
/// because it becomes a part of SQL, like [`ObjectIdentity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct OwnedKind(&'static str);

impl OwnedKind {
    const ALL: [Self; 25] = [
        Self("AGGREGATE"),
        Self("COLLATION"),
        Self("CONVERSION"),
        Self("EVENT TRIGGER"),
        Self("EXTENSION"),
        Self("FOREIGN DATA WRAPPER"),
        Self("FOREIGN TABLE"),
        Self("FUNCTION"),
        Self("LANGUAGE"),
        Self("LARGE OBJECT"),
        Self("MATERIALIZED VIEW"),
        Self("OPERATOR"),
        Self("OPERATOR CLASS"),
        Self("OPERATOR FAMILY"),
        Self("PROCEDURE"),
        Self("PUBLICATION"),
        Self("SCHEMA"),
        Self("SEQUENCE"),
        Self("SERVER"),
        Self("STATISTICS"),
        Self("TABLE"),
        Self("TEXT SEARCH CONFIGURATION"),
        Self("TEXT SEARCH DICTIONARY"),
        Self("TYPE"),
        Self("VIEW"),
    ];

    /// Returns the keywords.
    #[must_use]
    pub fn keywords(self) -> &'static str {
        self.0
    }
}

impl<'de> Deserialize<'de> for OwnedKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let found = Self::ALL.into_iter().find(|one| one.0 == text);
        found.ok_or_else(|| {
            D::Error::custom(format_args!("{:?} is not a kind of object", brief(&text)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(text: &str) -> Result<ObjectIdentity, NotAnIdentity> {
        ObjectIdentity::try_from(text.to_owned())
    }

    #[test]
    fn names_of_one_object_are_accepted() {
        for text in [
            "public.users",
            "shop",
            "16403",
            r#""S""#,
            r#"public."a""b; \! id --""#,
            "public.total(integer,timestamp without time zone)",
            r#"public.of_all("char"[],public."A b",double precision)"#,
            "public.gathered(*)",
            "public.planted(INOUT x integer, VARIADIC y text[])",
            "public.numbered(numeric(10,2))",
            "public.<+>(integer,integer)",
            "public.@#(NONE,integer)",
            "public.*(integer,integer)",
            "public.part USING btree",
            "public.none()",
        ] {
            assert_eq!(identity(text).map(|one| one.sql()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "public.",
            ".users",
            "public users",
            "public.users OWNER TO CURRENT_USER",
            "public.users, public.orders",
            "public.users;",
            "public.users\n\\! id",
            "public.users\t",
            "public.users\\",
            "public.users$$",
            "public.users -- ",
            "public.--(integer,integer)",
            "public./*(integer,integer)",
            "public.users(a) b",
            "public.f(integer))",
            "public.f((integer)",
            "public.f(integer), g()",
            "public.f(integer); DROP TABLE users",
            "public.f('a')",
            "public.f(a = b)",
            "public.part USING",
            "public.part USING btree hash",
            r#"public."users"#,
            r#"public."""#,
            "public.\"a\0\"",
            "public.:name",
            "public.größe",
        ] {
            assert!(identity(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn hidden_characters_are_written_as_numbers() {
        let one = identity("public.\"a\u{202e}\"\"\n\"(\"\x1b[2J\")").unwrap();
        assert_eq!(one.sql(), r#"public.U&"a\202E""\000A"(U&"\001B[2J")"#);
    }
}
