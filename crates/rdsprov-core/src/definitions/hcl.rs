//! Reads `*.tfvars` files of Terraform: attributes with constant values.
//!
//! Terraform defines what a file means. An expression that only Terraform can evaluate becomes
//! [`Value::Unevaluated`]. It is never read as text; where its value is needed, it is an error.

use hcl_edit::Span as _;
use hcl_edit::expr::{Expression, Object, ObjectKey, UnaryOperator};
use hcl_edit::structure::Structure;
use hcl_edit::template::{Element, Strip};

use super::delimiters;
use super::duplicate;
use super::hcl_parts;
use super::heredoc::Heredoc;
use super::limits;
use super::terraform_compat;
use super::tree::{Key, Node, Span, SyntaxError, Value, string};
use crate::error_code::ErrorCode;

pub fn read(text: &str) -> (Option<Node>, Vec<SyntaxError>) {
    let without_errors = |part: &str| {
        let (node, errors) = read_whole(part);
        node.filter(|_| errors.is_empty())
    };
    match hcl_parts::read(text, without_errors) {
        Some(node) => (Some(node), Vec::new()),
        None => read_whole(text),
    }
}

pub(super) fn read_whole(text: &str) -> (Option<Node>, Vec<SyntaxError>) {
    if let Some(error) = limits::check(text) {
        return (None, vec![error]);
    }
    let body = match hcl_edit::parser::parse_body(text) {
        Ok(body) => body,
        Err(error) => return (None, vec![parse_error(text, &error)]),
    };
    let mut errors = match terraform_compat::check(text, &body) {
        Ok(errors) => errors,
        Err(misread) => return (None, misread),
    };
    let mut refused: Vec<usize> = errors.iter().map(|error| error.span.start).collect();
    refused.sort_unstable();
    let reader = Reader { text, refused };
    let mut entries = Vec::new();
    for structure in body.iter() {
        match structure {
            Structure::Attribute(attribute) => {
                let span = attribute.key.span().unwrap_or_default();
                let key = Key::new(attribute.key.as_str().to_owned(), span);
                entries.push((key, reader.node(&attribute.value)));
            }
            Structure::Block(block) => {
                let name = block.ident.as_str();
                let span = block.ident.span().unwrap_or_default();
                errors.push(SyntaxError::new(
                    span.clone(),
                    ErrorCode::InvalidSyntax,
                    format!("`{name}` is a block, but a variable file contains values only"),
                    format!("write {name} = {{ … }}"),
                ));
                let key = Key::new(name.to_owned(), span.clone());
                entries.push((key, Node { value: Value::Refused, span }));
            }
        }
    }
    (Some(Node { value: Value::Map(entries), span: 0..text.len() }), errors)
}

fn parse_error(text: &str, error: &hcl_edit::parser::Error) -> SyntaxError {
    let at = error.location().offset().min(text.len());
    // hcl-edit 0.10 rejects a key that is given twice in the same spelling. `File::map` reports a
    // key in two spellings (`a` and `"a"`).
    if error.message().contains("redefined") {
        let key: String = text
            .get(at..)
            .unwrap_or_default()
            .chars()
            .take_while(|c| c.is_alphanumeric() || "_-\"".contains(*c))
            .collect();
        let name = key.trim_matches('"');
        let hint = "remove one of the two";
        let message = format!("key `{name}` is given twice");
        let error = SyntaxError::new(at..at, ErrorCode::DuplicateKey, message, hint);
        let first = duplicate::first_key(text, at, name, map_of);
        return SyntaxError { first, ..error };
    }
    if let Some(error) = too_large(text, at).or_else(|| delimiters::find(text)) {
        return error;
    }
    let message = format!("not valid HCL: {}", error.message());
    SyntaxError::new(at..at, ErrorCode::InvalidSyntax, message, "correct the syntax")
}

fn map_of(text: &str) -> Option<Node> {
    let body = hcl_edit::parser::parse_body(text).ok()?;
    let reader = Reader { text, refused: Vec::new() };
    let entries = body.attributes().map(|attribute| {
        let span = attribute.key.span().unwrap_or_default();
        let key = Key::new(attribute.key.as_str().to_owned(), span);
        (key, reader.node(&attribute.value))
    });
    Some(Node { value: Value::Map(entries.collect()), span: 0..text.len() })
}

/// Returns the error for a number that exceeds the range of a double. hcl-edit stops in the middle
/// of such a number, and its own error does not name the cause.
fn too_large(text: &str, at: usize) -> Option<SyntaxError> {
    let start = text[..at].trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let is_number_char = |c: char| c.is_ascii_alphanumeric() || ".+-".contains(c);
    let rest = &text[start..];
    let number = &rest[..rest.find(|c| !is_number_char(c)).unwrap_or(rest.len())];
    let is_too_large = start < at && number.parse().is_ok_and(f64::is_infinite);
    is_too_large.then(|| {
        SyntaxError::new(
            start..at,
            ErrorCode::InvalidSyntax,
            "the number is too large",
            "write a smaller one",
        )
    })
}

/// Converts expressions to nodes.
struct Reader<'a> {
    text: &'a str,
    /// The positions of the errors of [`terraform_compat::check`], in ascending order; an expression
    /// that contains one becomes [`Value::Refused`].
    refused: Vec<usize>,
}

impl Reader<'_> {
    fn contains_refused(&self, span: &Span) -> bool {
        let first = self.refused.partition_point(|at| *at < span.start);
        self.refused.get(first).is_some_and(|at| span.contains(at))
    }

    fn node(&self, expression: &Expression) -> Node {
        let span = expression.span().unwrap_or_default();
        let unevaluated = |construct: &str| Value::Unevaluated(construct.to_owned());
        let value = match expression {
            Expression::Null(_) => Value::Null,
            Expression::Bool(value) => Value::Bool(*value.value()),
            Expression::Number(number) => Value::Number(number.value().to_string()),
            Expression::Parenthesis(inner) => return self.node(inner.inner()),
            Expression::Array(items) => {
                Value::List(items.iter().map(|item| self.node(item)).collect())
            }
            Expression::Object(object) => return self.object(object, span),
            _ if self.contains_refused(&span) => Value::Refused,
            Expression::String(text) => Value::String(string(text.value())),
            Expression::StringTemplate(template) => {
                let elements: Vec<&Element> = template.iter().collect();
                match elements[..] {
                    // As in Terraform, `"${x}"` has the value and the type of `x`.
                    [Element::Interpolation(only)] if only.strip == Strip::None => {
                        self.node(&only.expr).value
                    }
                    _ => self.template(&elements, literals(&elements)),
                }
            }
            Expression::HeredocTemplate(heredoc) => {
                let elements: Vec<&Element> = heredoc.template.iter().collect();
                let literals = Heredoc::at(self.text, span.start)
                    .map_or_else(|| literals(&elements), |heredoc| heredoc.literals(&elements));
                self.template(&elements, literals)
            }
            Expression::Variable(_) => unevaluated("a variable"),
            Expression::FuncCall(_) => unevaluated("a function call"),
            Expression::Traversal(_) => unevaluated("an index or attribute"),
            Expression::UnaryOp(operation) => match operation.operator.value() {
                UnaryOperator::Neg => unevaluated("the operator `-`"),
                UnaryOperator::Not => unevaluated("the operator `!`"),
            },
            Expression::BinaryOp(operation) => {
                unevaluated(&format!("the operator `{}`", operation.operator.value().as_str()))
            }
            Expression::Conditional(_) => unevaluated("a conditional"),
            Expression::ForExpr(_) => unevaluated("a `for` expression"),
        };
        Node { value, span }
    }

    /// Returns the text of a template whose parts are all constant strings.
    fn template(&self, elements: &[&Element], literals: Vec<String>) -> Value {
        let unevaluated = |construct: &str| Value::Unevaluated(construct.to_owned());
        let mut literals = literals.into_iter();
        let mut text = String::new();
        for element in elements {
            match element {
                Element::Literal(_) => text.extend(literals.next()),
                Element::Interpolation(part) if part.strip == Strip::None => {
                    match self.node(&part.expr).value {
                        Value::String(part) => text.push_str(&part),
                        value @ (Value::Unevaluated(_) | Value::Refused) => return value,
                        other => return unevaluated(&format!("a template of {}", other.kind())),
                    }
                }
                Element::Interpolation(_) => {
                    return unevaluated("a template that strips white space");
                }
                Element::Directive(_) => return unevaluated("a template directive"),
            }
        }
        Value::String(string(&text))
    }

    fn object(&self, object: &Object, span: Span) -> Node {
        let mut entries = Vec::new();
        for (key, item) in object.iter() {
            let key = match key {
                ObjectKey::Ident(ident) => {
                    let span = ident.span().unwrap_or_default();
                    Key::new(string(ident.as_str()), span)
                }
                ObjectKey::Expression(expression) => {
                    let Node { value, span } = self.node(expression);
                    let name = match value {
                        Value::String(name) | Value::Number(name) => Ok(name),
                        Value::Bool(value) => Ok(value.to_string()),
                        Value::Refused => Err(Value::Refused),
                        Value::Unevaluated(construct) => {
                            Err(Value::Unevaluated(format!("a key with {construct}")))
                        }
                        other => Err(Value::Unevaluated(format!("a key that is {}", other.kind()))),
                    };
                    match name {
                        Ok(name) => Key::new(name, span),
                        // Without the value of a key, the value of the map is not known either.
                        Err(value) => return Node { value, span },
                    }
                }
            };
            entries.push((key, self.node(item.expr())));
        }
        Node { value: Value::Map(entries), span }
    }
}

fn literals(elements: &[&Element]) -> Vec<String> {
    let literal = |element: &&Element| match element {
        Element::Literal(literal) => Some(literal.value().clone()),
        _ => None,
    };
    elements.iter().filter_map(literal).collect()
}
