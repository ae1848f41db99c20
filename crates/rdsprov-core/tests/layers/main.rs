//! Checks that the files of the core keep to the layers of `ARCHITECTURE.md`, and that the files of
//! no crate use each other in a cycle.
#![allow(clippy::unwrap_used, reason = "a test")]

mod graph;
mod source;

use std::path::{Path, PathBuf};

use graph::{Graph, Layer};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the directories of all crates in the workspace.
fn crates() -> Vec<String> {
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap().iter();
    members.map(|member| member.as_str().unwrap().to_owned()).collect()
}

fn graph_of(directory: &str) -> Graph {
    let files = source::files(&repository().join(directory).join("src"));
    Graph::new(&source::parse(&files))
}

#[test]
fn core_keeps_to_its_layers() {
    let page = std::fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let layers = layers(&page);
    assert_eq!(layers.len(), 6, "the table of layers in ARCHITECTURE.md");
    assert_none(&graph_of("crates/rdsprov-core").violations(&layers));
}

#[test]
fn no_files_form_a_cycle() {
    let mut cycles = Vec::new();
    for directory in crates() {
        let graph = graph_of(&directory);
        assert!(!graph.files.is_empty(), "{directory} contains no files");
        cycles.extend(graph.cycles().iter().map(|cycle| format!("{directory}: {cycle}")));
    }
    assert_none(&cycles);
}

fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

/// Reads the table of layers: the rows between the heading `## Layers` and the next heading.
fn layers(page: &str) -> Vec<Layer> {
    let section = page.split("\n## Layers\n").nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, modules, _, forbidden] = cells[..] else {
            panic!("a row of the layers does not have four cells: {row}");
        };
        Layer { name: name.to_owned(), modules: literals(modules), forbidden: literals(forbidden) }
    })
    .collect()
}

/// Returns the texts in backticks.
fn literals(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The checker on small crates.
mod examples {
    use super::*;

    fn graph(files: &[(&str, &str)]) -> Graph {
        let files: Vec<_> =
            files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        Graph::new(&source::parse(&files))
    }

    fn two_layers() -> Vec<Layer> {
        layers(
            "\n## Layers\n\n| layer | files | content | must not use |\n|---|---|---|---|\n\
             | low | `lib.rs`, `low/` | | `std::fs`, `aws_*`, `jiff::Timestamp::now` |\n\
             | high | `high.rs` | | `std::env` |\n\n## Next\n| other | `x` | | |\n",
        )
    }

    #[test]
    fn allowed_dependencies_pass() {
        let graph = graph(&[
            ("lib.rs", "mod high; mod low;"),
            ("high.rs", "use crate::low::Low; pub struct High(Low);"),
            ("low/mod.rs", "mod part; pub use part::Low;"),
            ("low/part.rs", "use std::io::Read; pub struct Low;"),
        ]);
        assert_none(&graph.violations(&two_layers()));
        assert_none(&graph.cycles());
    }

    #[test]
    fn edges_to_a_higher_layer_are_found() {
        let cases = [
            "use crate::high::High;",
            "use crate::{low, high::{self, High as H}};",
            "pub use crate::high::High;",
            "fn f() -> super::high::High { loop {} }",
            "fn f() { let _ = format!(\"{}\", crate::high::f()); }",
            "fn f() { use crate::high as other; other::f(); }",
            "mod inner { use super::super::high::High; }",
            "#[derive(Serialize)] struct S { #[serde(with = \"crate::high::stored\")] x: u8 }",
        ];
        for text in cases {
            let graph = graph(&[
                ("lib.rs", "mod high; mod low;"),
                ("high.rs", "pub struct High; pub fn f() {}"),
                ("low/mod.rs", text),
            ]);
            let violations = graph.violations(&two_layers());
            assert_eq!(violations.len(), 1, "{text}: {violations:?}");
            assert!(violations[0].starts_with("low depends on high: low/mod.rs -> high.rs"));
        }
    }

    #[test]
    fn names_are_followed_to_the_file_that_defines_them() {
        let graph = graph(&[
            ("lib.rs", "mod low; mod high;"),
            ("high.rs", "use crate::low; fn f() { low::Name::new(); }"),
            ("low/mod.rs", "mod part; pub use part::Name;"),
            ("low/part.rs", "pub struct Name;"),
        ]);
        let edges: Vec<_> =
            graph.edges.keys().map(|(from, to, _)| format!("{from} {to}")).collect();
        assert_eq!(edges, ["high.rs low/mod.rs", "high.rs low/part.rs", "low/mod.rs low/part.rs"]);
    }

    #[test]
    fn test_code_is_left_out() {
        let graph = graph(&[
            ("lib.rs", "mod high; mod low;"),
            ("high.rs", "pub struct High;"),
            (
                "low/mod.rs",
                "#[cfg(test)] mod tests; #[cfg(test)] mod more { use crate::high::High; }",
            ),
            ("low/tests.rs", "use crate::high::High;"),
            ("low/part.rs", "impl X { #[cfg(test)] fn f() { crate::high::f() } }"),
        ]);
        assert_none(&graph.violations(&two_layers()));
    }

    #[test]
    fn cycles_are_found() {
        let graph = graph(&[
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "pub struct B(crate::c::C);"),
            ("c.rs", "use super::a; pub struct C(a::A);"),
            ("d.rs", "use crate::a::A;"),
        ]);
        let cycles = graph.cycles();
        assert_eq!(cycles.len(), 1);
        assert!(cycles[0].starts_with("cycle of 3 files:"), "{}", cycles[0]);
        assert!(cycles[0].contains("c.rs -> a.rs (a::A, super::a)"), "{}", cycles[0]);
    }

    #[test]
    fn a_parent_and_its_child_are_a_cycle_if_each_uses_the_other() {
        let child = ("low/part.rs", "use super::Shared; pub struct Part(Shared);");
        let declares = "mod part; mod shared; pub use part::Part; pub use shared::Shared;";
        let shared = ("low/shared.rs", "pub struct Shared;");
        assert_none(&graph(&[("low/mod.rs", declares), child, shared]).cycles());
        let defines = "mod part; pub use part::Part; pub struct Shared;";
        assert_none(&graph(&[("low/mod.rs", defines), child]).cycles());
        let local = "mod part; pub struct Shared; fn f() { let part = 1; format!(\"{}\", part); }";
        assert_none(&graph(&[("low/mod.rs", local), child]).cycles());
        let uses = "mod part; pub use part::Part; pub struct Shared; struct All(Part);";
        assert_eq!(graph(&[("low/mod.rs", uses), child]).cycles().len(), 1);
        let calls = "mod part; pub struct Shared; fn f() { part::run(); }";
        assert_eq!(graph(&[("low/mod.rs", calls), child]).cycles().len(), 1);
        let sideways = ("other.rs", "pub(crate) use crate::low::Part;");
        let part = ("low/part.rs", "use crate::other; pub struct Part;");
        let files = [("lib.rs", ""), ("low/mod.rs", declares), part, shared, sideways];
        assert_eq!(graph(&files).cycles().len(), 1);
    }

    #[test]
    fn files_and_entries_belong_together() {
        let graph = graph(&[("lib.rs", ""), ("new.rs", "")]);
        assert_eq!(
            graph.violations(&two_layers()),
            [
                "new.rs has no layer",
                "the layer entry low/ matches no file",
                "the layer entry high.rs matches no file",
            ]
        );
    }

    #[test]
    fn forbidden_paths_are_found() {
        let cases = [
            ("use std::fs;", "std::fs"),
            ("fn f() { std::fs::read(\"x\"); }", "std::fs::read"),
            ("use std::{fmt, fs::File};", "std::fs::File"),
            ("use aws_config::SdkConfig;", "aws_config::SdkConfig"),
            ("use jiff::Timestamp; fn f() { Timestamp::now(); }", "jiff::Timestamp::now"),
            ("fn f() { assert!(std::fs::exists(\"x\")); }", "std::fs::exists"),
            ("use std::env;", "std::env"),
        ];
        let high = ("high.rs", "use std::fs::File;");
        for (text, path) in cases {
            let graph = graph(&[("lib.rs", ""), high, ("low/mod.rs", text)]);
            let expected = format!("low/mod.rs (low) must not use {path}");
            assert_eq!(graph.violations(&two_layers()), [expected], "{text}");
        }
    }
}
