//! A graph of the definitions: which role has which access to which database, and which roles are members
//! of others.
//!
//! It shows what the definitions declare. The access report shows what a server has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::definitions::{Application, Auth, Definitions};
use crate::named_enum::named_enum;
use crate::observed::RDS_IAM;
use crate::privilege::AccessLevel;
use crate::text::visible;

named_enum! {
    /// A language in which a graph is written.
    #[derive(strum::EnumString)]
    "kebab-case" pub enum GraphFormat {
        /// Mermaid, which GitHub and GitLab draw in Markdown.
        Mermaid,
        /// DOT, which Graphviz draws.
        Dot,
    }
}

/// What a node stands for. The order is that of the nodes in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A declared role.
    Role,
    /// A role that the definitions name and do not declare: a creator, or the role of a membership.
    OtherRole,
    Database,
}

/// A node: its kind and its name.
type Node<'a> = (Kind, &'a str);

/// The roles and databases of definitions, and how they are connected.
#[derive(Debug)]
struct Graph<'a> {
    nodes: BTreeSet<Node<'a>>,
    edges: BTreeSet<(Node<'a>, Node<'a>, String)>,
}

impl<'a> Graph<'a> {
    fn new(definitions: &'a Definitions) -> Self {
        let applications = || definitions.applications.values();
        let declared: BTreeSet<&str> = applications().map(|app| app.username.as_str()).collect();
        let role = |name: &'a str| {
            (if declared.contains(name) { Kind::Role } else { Kind::OtherRole }, name)
        };
        let (mut nodes, mut edges) = (BTreeSet::new(), BTreeSet::new());
        for app in applications() {
            let user = role(app.username.as_str());
            let database = (Kind::Database, app.database_name.as_str());
            nodes.extend([user, database]);
            // The role of a retired application has no access and no memberships.
            if app.access_level == AccessLevel::None {
                continue;
            }
            edges.insert((user, database, access(app)));
            for creator in app.creators.iter().filter(|creator| **creator != app.username) {
                edges.insert((role(creator.as_str()), database, "creates objects".to_owned()));
            }
            let iam = (app.auth == Auth::Iam).then_some(RDS_IAM);
            for group in app.memberships.iter().map(|group| group.as_str()).chain(iam) {
                edges.insert((user, role(group), "member of".to_owned()));
            }
        }
        nodes.extend(edges.iter().flat_map(|(from, to, _)| [*from, *to]));
        Self { nodes, edges }
    }

    /// Returns a short identifier for each node, which needs no quoting in any language.
    fn identifiers(&self) -> BTreeMap<Node<'a>, String> {
        let named = self.nodes.iter().enumerate();
        named.map(|(index, node)| (*node, format!("n{index}"))).collect()
    }

    fn to_mermaid(&self) -> String {
        let identifiers = self.identifiers();
        let mut text = "flowchart LR\n".to_owned();
        for (node, identifier) in &identifiers {
            let (open, close) = match node.0 {
                Kind::Role => ("(", ")"),
                Kind::OtherRole => ("{{", "}}"),
                Kind::Database => ("[(", ")]"),
            };
            let _ = writeln!(text, "  {identifier}{open}\"{}\"{close}", in_mermaid(node.1));
        }
        for (from, to, label) in &self.edges {
            let [from, to] = [&identifiers[from], &identifiers[to]];
            let _ = writeln!(text, "  {from} -->|\"{}\"| {to}", in_mermaid(label));
        }
        text
    }

    fn to_dot(&self) -> String {
        let identifiers = self.identifiers();
        let mut text = "digraph access {\n  rankdir=LR;\n".to_owned();
        for (node, identifier) in &identifiers {
            let shape = match node.0 {
                Kind::Role => "box, style=rounded",
                Kind::OtherRole => "hexagon",
                Kind::Database => "cylinder",
            };
            let _ = writeln!(text, "  {identifier} [label=\"{}\", shape={shape}];", in_dot(node.1));
        }
        for (from, to, label) in &self.edges {
            let [from, to] = [&identifiers[from], &identifiers[to]];
            let _ = writeln!(text, "  {from} -> {to} [label=\"{}\"];", in_dot(label));
        }
        text.push_str("}\n");
        text
    }
}

/// Returns the access of an application in words, with its schemas unless it covers `public` only.
fn access(app: &Application) -> String {
    let schemas: Vec<&str> = app.schemas.iter().map(|schema| schema.as_str()).collect();
    match schemas.as_slice() {
        ["public"] => app.access_level.to_string(),
        [] => format!("{} without schemas", app.access_level),
        schemas => format!("{} in {}", app.access_level, schemas.join(", ")),
    }
}

/// Returns a text for a label of Mermaid, in which each other character than a letter, a digit and a few signs
/// is written as a number: Mermaid interprets HTML and Markdown in labels.
fn in_mermaid(text: &str) -> String {
    let mut label = String::with_capacity(text.len());
    for c in visible(text).chars() {
        if c.is_alphanumeric() || " _-.,".contains(c) {
            label.push(c);
        } else {
            let _ = write!(label, "#{};", u32::from(c));
        }
    }
    label
}

/// Returns a text for a quoted label of DOT.
fn in_dot(text: &str) -> String {
    visible(text).replace('\\', "\\\\").replace('"', "\\\"")
}

impl Definitions {
    /// Returns the roles and databases of the definitions as a graph, in a language that other programs draw.
    ///
    /// ```
    /// use rdsprov_core::Definitions;
    /// use rdsprov_core::definitions::{Rules, SourceText, Syntax};
    /// use rdsprov_core::graph::GraphFormat;
    ///
    /// let text = "[application_databases.shop]\ndatabase_name = \"shop\"\nusername = \"shop_user\"";
    /// let source = SourceText {
    ///     path: "shop.toml".to_owned(),
    ///     text: text.to_owned(),
    ///     syntax: Syntax::Toml,
    /// };
    /// let definitions = Definitions::parse(&[source], &Rules::default())?;
    /// assert_eq!(
    ///     definitions.to_graph(GraphFormat::Mermaid),
    ///     "flowchart LR\n  n0(\"shop_user\")\n  n1[(\"shop\")]\n  n0 -->|\"owner\"| n1\n"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn to_graph(&self, format: GraphFormat) -> String {
        let graph = Graph::new(self);
        match format {
            GraphFormat::Mermaid => graph.to_mermaid(),
            GraphFormat::Dot => graph.to_dot(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::{Rules, SourceText, Syntax};

    fn graph(text: &str, format: GraphFormat) -> String {
        let source =
            SourceText { path: "own.toml".to_owned(), text: text.to_owned(), syntax: Syntax::Toml };
        Definitions::parse(&[source], &Rules::default()).unwrap().to_graph(format)
    }

    const SHOP: &str = r#"
        [application_databases.shop]
        database_name = "shop"
        username = "shop_owner"
        creators = ["deployer"]
        schemas = ["public", "sales"]

        [application_databases.reports]
        database_name = "shop"
        username = "reports"
        access_level = "reader"
        auth = "iam"
        memberships = ["pg_monitor"]
    "#;

    #[test]
    fn mermaid_shows_access_and_memberships() {
        assert_eq!(
            graph(SHOP, GraphFormat::Mermaid),
            r#"flowchart LR
  n0("reports")
  n1("shop_owner")
  n2{{"deployer"}}
  n3{{"pg_monitor"}}
  n4{{"rds_iam"}}
  n5[("shop")]
  n0 -->|"member of"| n3
  n0 -->|"member of"| n4
  n0 -->|"reader"| n5
  n1 -->|"owner in public, sales"| n5
  n2 -->|"creates objects"| n5
"#
        );
    }

    #[test]
    fn dot_shows_access_and_memberships() {
        assert_eq!(
            graph(SHOP, GraphFormat::Dot),
            r#"digraph access {
  rankdir=LR;
  n0 [label="reports", shape=box, style=rounded];
  n1 [label="shop_owner", shape=box, style=rounded];
  n2 [label="deployer", shape=hexagon];
  n3 [label="pg_monitor", shape=hexagon];
  n4 [label="rds_iam", shape=hexagon];
  n5 [label="shop", shape=cylinder];
  n0 -> n3 [label="member of"];
  n0 -> n4 [label="member of"];
  n0 -> n5 [label="reader"];
  n1 -> n5 [label="owner in public, sales"];
  n2 -> n5 [label="creates objects"];
}
"#
        );
    }

    #[test]
    fn access_without_schemas_and_no_access() {
        let both = |keys: &str| {
            let entry = format!(
                "[application_databases.a]\ndatabase_name = \"d\"\nusername = \"u\"\n{keys}"
            );
            [GraphFormat::Mermaid, GraphFormat::Dot].map(|format| graph(&entry, format))
        };
        let [mermaid, dot] = both("access_level = \"reader\"\nschemas = []");
        assert!(mermaid.contains("|\"reader without schemas\"|"), "{mermaid}");
        assert!(dot.contains("[label=\"reader without schemas\"]"), "{dot}");
        let [mermaid, dot] = both("access_level = \"none\"");
        assert_eq!(mermaid, "flowchart LR\n  n0(\"u\")\n  n1[(\"d\")]\n");
        assert!(dot.contains("label=\"u\"") && !dot.contains("->"), "{dot}");
    }

    #[test]
    fn names_are_no_part_of_the_language() {
        let hostile = r#"a"]-->b`<img src=x>\n"#;
        assert_eq!(
            in_mermaid(hostile),
            "a#34;#93;--#62;b#96;#60;img src#61;x#62;#92;n",
            "a label of Mermaid"
        );
        assert_eq!(in_dot(hostile), r#"a\"]-->b`<img src=x>\\n"#);
        assert_eq!(in_dot("a\u{202e}b"), r"a\\u{202e}b");
    }
}
