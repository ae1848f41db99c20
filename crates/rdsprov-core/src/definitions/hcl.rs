//! Terraform's `*.tfvars`: attributes with constant values. Terraform is the judge of what a file
//! means; what it evaluates and we do not is refused by name and never read as text.

use hcl_edit::Span;
use hcl_edit::expr::{Expression, Object, ObjectKey, UnaryOperator};
use hcl_edit::structure::Structure;
use hcl_edit::template::{Element, Strip};

use super::tree::{Fault, Key, Node, Place, Value};

pub fn read(text: &str) -> (Option<Node>, Vec<Fault>) {
    let body = match hcl_edit::parser::parse_body(text) {
        Ok(body) => body,
        Err(error) => return (None, vec![syntax_fault(text, &error)]),
    };
    let mut reader = Reader { text, faults: Vec::new() };
    let mut entries = Vec::new();
    for structure in body.iter() {
        match structure {
            Structure::Attribute(attribute) => {
                let place = attribute.key.span().unwrap_or_default();
                let key = Key { name: attribute.key.as_str().to_owned(), place };
                let node = reader.node(&attribute.value, &key.name);
                entries.push((key, node));
            }
            Structure::Block(block) => {
                let name = block.ident.as_str();
                let place = block.ident.span().unwrap_or_default();
                reader.faults.push(Fault::new(
                    place.clone(),
                    format!("`{name}` is a block; a tfvars file holds only values"),
                    format!("write {name} = {{ … }}"),
                ));
                let key = Key { name: name.to_owned(), place: place.clone() };
                entries.push((key, Node { value: Value::Refused, place }));
            }
        }
    }
    (Some(Node { value: Value::Map(entries), place: 0..text.len() }), reader.faults)
}

fn syntax_fault(text: &str, error: &hcl_edit::parser::Error) -> Fault {
    let at = error.location().offset().min(text.len());
    // hcl-edit 0.10 stops at a key that is spelled twice; one that is spelled in two ways
    // (`a` and `"a"`) is found when the model is read.
    if error.message().contains("redefined") {
        let key: String = text
            .get(at..)
            .unwrap_or_default()
            .chars()
            .take_while(|c| c.is_alphanumeric() || "_-\"".contains(*c))
            .collect();
        return Fault::new(
            at..at,
            format!("key `{}` is given twice", key.trim_matches('"')),
            "remove one of the two",
        );
    }
    let message = format!("not valid HCL: {}", error.message());
    Fault::new(
        at..at,
        message,
        "correct the syntax; an open brace, bracket or quote may stand further up",
    )
}

struct Reader<'a> {
    text: &'a str,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    /// A constant, or a fault and [`Value::Refused`]. `name` is the key whose value this is.
    fn node(&mut self, expression: &Expression, name: &str) -> Node {
        let place = expression.span().unwrap_or_default();
        let value = match expression {
            Expression::Null(_) => Value::Null,
            Expression::Bool(value) => Value::Bool(*value.value()),
            Expression::Number(number) => Value::Number(number.value().to_string()),
            Expression::String(text) => {
                if self.is_one_line(&place) {
                    Value::String(text.value().clone())
                } else {
                    Value::Refused
                }
            }
            Expression::Parenthesis(inner) => return self.node(inner.inner(), name),
            Expression::Array(items) => {
                Value::List(items.iter().map(|item| self.node(item, name)).collect())
            }
            Expression::Object(object) => self.object(object, name),
            Expression::StringTemplate(template) => {
                let elements: Vec<&Element> = template.iter().collect();
                self.template(&elements, &place, name, true)
            }
            Expression::HeredocTemplate(heredoc) => {
                let elements: Vec<&Element> = heredoc.template.iter().collect();
                self.template(&elements, &place, name, false)
            }
            Expression::Variable(variable) => {
                self.refuse(&place, name, &format!("the variable `{}`", variable.as_str()))
            }
            Expression::Traversal(_) => {
                let what = format!("the reference `{}`", self.source(&place));
                self.refuse(&place, name, &what)
            }
            Expression::FuncCall(call) => {
                let what = format!("a call of `{}()`", call.name.name.as_str());
                self.refuse(&place, name, &what)
            }
            Expression::UnaryOp(operation) => match operation.operator.value() {
                UnaryOperator::Neg => self.refuse(&place, name, "the operator `-`"),
                UnaryOperator::Not => self.refuse(&place, name, "the operator `!`"),
            },
            Expression::BinaryOp(operation) => {
                let what = format!("the operator `{}`", operation.operator.value().as_str());
                self.refuse(&place, name, &what)
            }
            Expression::Conditional(_) => self.refuse(&place, name, "a conditional"),
            Expression::ForExpr(_) => self.refuse(&place, name, "a `for` expression"),
        };
        Node { value, place }
    }

    fn source(&self, place: &Place) -> &str {
        self.text.get(place.clone()).unwrap_or_default()
    }

    fn refuse(&mut self, place: &Place, name: &str, what: &str) -> Value {
        self.faults.push(Fault::new(
            place.clone(),
            format!("`{name}` holds {what}; a tfvars file holds constants only"),
            "write the value itself",
        ));
        Value::Refused
    }

    /// hcl-edit 0.10 lets a quoted string run over several lines, Terraform does not.
    fn is_one_line(&mut self, place: &Place) -> bool {
        let one_line = !self.source(place).contains('\n');
        if !one_line {
            self.faults.push(Fault::new(
                place.clone(),
                "a quoted string runs over several lines",
                "close the quote, write \\n, or use a heredoc",
            ));
        }
        one_line
    }

    /// A template of constant strings is a constant string, and one that is nothing but an
    /// interpolation is the value of that.
    fn template(
        &mut self,
        elements: &[&Element],
        place: &Place,
        name: &str,
        quoted: bool,
    ) -> Value {
        if quoted
            && let [Element::Interpolation(only)] = elements
            && only.strip == Strip::None
        {
            return self.node(&only.expr, name).value;
        }
        let mut text = String::new();
        for element in elements {
            match element {
                Element::Literal(literal) => {
                    if quoted && !self.is_one_line(&literal.span().unwrap_or_default()) {
                        return Value::Refused;
                    }
                    text.push_str(literal);
                }
                Element::Interpolation(part) if part.strip == Strip::None => {
                    match self.node(&part.expr, name).value {
                        Value::String(part) => text.push_str(&part),
                        Value::Refused => return Value::Refused,
                        other => {
                            let what = format!("a template of {}", other.kind());
                            return self.refuse(place, name, &what);
                        }
                    }
                }
                Element::Interpolation(_) => {
                    return self.refuse(place, name, "a template that strips white space");
                }
                Element::Directive(_) => return self.refuse(place, name, "a template directive"),
            }
        }
        Value::String(text)
    }

    fn object(&mut self, object: &Object, name: &str) -> Value {
        let mut entries = Vec::new();
        for (key, item) in object.iter() {
            let (key_name, place) = match key {
                ObjectKey::Ident(ident) => {
                    (Some(ident.as_str().to_owned()), ident.span().unwrap_or_default())
                }
                ObjectKey::Expression(expression) => {
                    let node = self.node(expression, &format!("a key of {name}"));
                    let key_name = match node.value {
                        Value::String(text) | Value::Number(text) => Some(text),
                        Value::Bool(value) => Some(value.to_string()),
                        Value::Refused => None,
                        other => {
                            let what = other.kind();
                            self.refuse(&node.place, &format!("a key of {name}"), what);
                            None
                        }
                    };
                    (key_name, node.place)
                }
            };
            let inner = key_name.as_deref().unwrap_or(name).to_owned();
            let node = self.node(item.expr(), &inner);
            match key_name {
                Some(name) => entries.push((Key { name, place }, node)),
                // What a key is that cannot be read, nobody knows: the whole map is refused.
                None => return Value::Refused,
            }
        }
        Value::Map(entries)
    }
}
