//! Finds the parts of a tfvars file that are valid HCL, but that Terraform rejects, or that
//! hcl-edit 0.10 reads differently.
//!
//! It checks the whole file, including the variables that rdsprov does not read.

use hcl_edit::Span as _;
use hcl_edit::expr::{Expression, ForExpr, ObjectKey, ObjectValue};
use hcl_edit::structure::{Attribute, Body};
use hcl_edit::template::{Element, ForDirective, StringTemplate};
use hcl_edit::visit::{self, Visit};

use super::heredoc::Heredoc;
use super::tree::{CONSTANTS, Span, SyntaxError};
use crate::error_code::ErrorCode;
use crate::text::brief;

/// Returns the errors for the parts that Terraform rejects; the rest of the tree is valid.
///
/// # Errors
/// If hcl-edit has misread a part, the whole tree may be wrong. Then only the errors for the
/// misread parts are returned.
pub fn check(text: &str, body: &Body) -> Result<Vec<SyntaxError>, Vec<SyntaxError>> {
    let mut check = CompatibilityCheck {
        text,
        name: String::new(),
        bound: Vec::new(),
        errors: Vec::new(),
        misread: Vec::new(),
    };
    check.visit_body(body);
    check.check_carriage_returns();
    if check.misread.is_empty() { Ok(check.errors) } else { Err(check.misread) }
}

struct CompatibilityCheck<'t> {
    text: &'t str,
    /// The key whose value is being visited, for messages.
    name: String,
    /// The variables of the `for` expressions around the current expression.
    bound: Vec<String>,
    /// Parts that Terraform rejects.
    errors: Vec<SyntaxError>,
    /// Parts that hcl-edit reads differently from Terraform.
    misread: Vec<SyntaxError>,
}

impl CompatibilityCheck<'_> {
    fn source(&self, span: &Span) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    fn refuse(&mut self, span: Span, construct: &str) {
        let message = format!(
            "`{}` contains {construct}, but a variable file allows only constants",
            brief(&self.name)
        );
        self.errors.push(SyntaxError::new(span, ErrorCode::NotAConstant, message, CONSTANTS));
    }

    /// Returns whether the expression is a variable that no `for` expression around it defines.
    fn is_unbound(&self, expression: &Expression) -> bool {
        let Expression::Variable(variable) = expression else { return false };
        !self.bound.iter().any(|bound| bound == variable.as_str())
    }

    /// Reports a line break in a quoted string, which hcl-edit accepts.
    fn check_one_line(&mut self, span: Span) {
        if self.source(&span).contains('\n') {
            self.errors.push(SyntaxError::new(
                span,
                ErrorCode::TerraformIncompatible,
                "a quoted string spans several lines",
                "close the quote, write \\n, or use a heredoc",
            ));
        }
    }

    /// Reports a carriage return without a line feed, which hcl-edit accepts as white space.
    fn check_carriage_returns(&mut self) {
        let mut returns = self.text.match_indices('\r').map(|(at, _)| at);
        if let Some(at) = returns.find(|at| !self.text[at + 1..].starts_with('\n')) {
            self.errors.push(SyntaxError::new(
                at..at + 1,
                ErrorCode::TerraformIncompatible,
                "a carriage return is not followed by a line feed",
                "remove it: Terraform rejects it",
            ));
        }
    }

    /// Visits the value of a key.
    fn with_key(&mut self, name: String, visit: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.name, name);
        visit(self);
        self.name = outer;
    }

    /// Visits an expression in which `for` defines the variables.
    fn with_variables<'i>(
        &mut self,
        variables: impl Iterator<Item = &'i str>,
        visit: impl FnOnce(&mut Self),
    ) {
        let before = self.bound.len();
        self.bound.extend(variables.map(str::to_owned));
        visit(self);
        self.bound.truncate(before);
    }
}

impl Visit for CompatibilityCheck<'_> {
    fn visit_attr(&mut self, node: &Attribute) {
        self.with_key(node.key.as_str().to_owned(), |check| visit::visit_attr(check, node));
    }

    fn visit_object_item(&mut self, key: &ObjectKey, value: &ObjectValue) {
        let name = match key {
            ObjectKey::Ident(ident) => ident.as_str().to_owned(),
            ObjectKey::Expression(Expression::String(text)) => text.value().clone(),
            ObjectKey::Expression(_) => self.name.clone(),
        };
        let of = format!("a key of {}", brief(&self.name));
        self.with_key(of, |check| check.visit_object_key(key));
        self.with_key(name, |check| check.visit_object_value(value));
    }

    fn visit_expr(&mut self, node: &Expression) {
        let span = node.span().unwrap_or_default();
        match node {
            Expression::Variable(variable) if self.is_unbound(node) => {
                self.refuse(span, &format!("the variable `{}`", brief(variable.as_str())));
            }
            Expression::Traversal(traversal) if self.is_unbound(&traversal.expr) => {
                let construct = format!("the reference `{}`", brief(self.source(&span)));
                self.refuse(span, &construct);
            }
            Expression::FuncCall(call) => {
                let name = brief(call.name.name.as_str());
                self.refuse(span, &format!("a call of the function `{name}`"));
            }
            Expression::String(_) => self.check_one_line(span),
            Expression::HeredocTemplate(heredoc) => {
                let error = Heredoc::at(self.text, span.start)
                    .and_then(|heredoc| heredoc.check_end(span.end));
                self.misread.extend(error);
                self.visit_heredoc_template(heredoc);
            }
            _ => visit::visit_expr(self, node),
        }
    }

    fn visit_string_template(&mut self, node: &StringTemplate) {
        for element in node {
            if let Element::Literal(literal) = element {
                self.check_one_line(literal.span().unwrap_or_default());
            }
        }
        visit::visit_string_template(self, node);
    }

    fn visit_for_expr(&mut self, node: &ForExpr) {
        let intro = &node.intro;
        let variables = intro.key_var.iter().chain([&intro.value_var]).map(|name| name.as_str());
        self.with_variables(variables, |check| visit::visit_for_expr(check, node));
    }

    fn visit_for_directive(&mut self, node: &ForDirective) {
        let intro = &node.for_expr;
        let variables = intro.key_var.iter().chain([&intro.value_var]).map(|name| name.as_str());
        self.with_variables(variables, |check| visit::visit_for_directive(check, node));
    }
}
