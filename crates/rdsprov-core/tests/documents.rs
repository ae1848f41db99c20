//! The links of documents lead to files and headings that exist, the contents list every page, and
//! the tests that documents name exist.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Returns the Markdown files in a directory and, except at the root, below it.
fn markdown_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = Vec::new();
    for path in entries {
        if path.is_dir() && directory != root() {
            files.extend(markdown_files(&path));
        } else if path.extension().is_some_and(|end| end == "md") {
            files.push(path);
        }
    }
    files
}

fn documents() -> Vec<PathBuf> {
    let root = root();
    let below = ["docs", "deploy", "examples"].map(|name| markdown_files(&root.join(name)));
    [markdown_files(&root), below.concat()].concat()
}

/// Returns the lines of a document that are not in fenced blocks.
fn prose(document: &str) -> impl Iterator<Item = &str> {
    let mut within = false;
    document.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        within ^= fence;
        !within && !fence
    })
}

/// Returns the targets of the links in a document.
fn links(document: &str) -> Vec<String> {
    let text: String = prose(document).map(|line| format!("{line}\n")).collect();
    // Code can contain what looks like a link.
    let text: String = text.split('`').step_by(2).collect();
    let parts = text.split("](").skip(1);
    parts.filter_map(|part| Some(part.split_once(')')?.0.to_owned())).collect()
}

/// Returns the anchors of the headings in a document, as GitHub and mdBook form them.
fn anchors(document: &str) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let headings = prose(document).filter_map(|line| {
        let title = line.trim_start_matches('#');
        (line.len() > title.len()).then(|| title.strip_prefix(' ')).flatten()
    });
    headings
        .map(|title| {
            let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
            let count = counts.entry(anchor.clone()).or_default();
            *count += 1;
            if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
        })
        .collect()
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut broken = Vec::new();
    let mut count = 0;
    for path in documents() {
        let document = fs::read_to_string(&path).unwrap();
        for link in links(&document) {
            // The contents have chapters without a page.
            if link.is_empty() || link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target =
                if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let is_found = target.exists()
                && (anchor.is_empty()
                    || anchors(&fs::read_to_string(&target).unwrap())
                        .iter()
                        .any(|one| one == anchor));
            if !is_found {
                broken.push(format!("{}: {link}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(count > 300, "only {count} links were found");
    assert!(broken.is_empty(), "broken links: {broken:#?}");
}

#[test]
fn contents_list_each_page() {
    let directory = root().join("docs");
    let contents = links(&fs::read_to_string(directory.join("SUMMARY.md")).unwrap());
    let mut wrong = Vec::new();
    for path in markdown_files(&directory) {
        let name = path.strip_prefix(&directory).unwrap().display().to_string();
        let times = contents.iter().filter(|link| **link == name).count();
        if times != usize::from(name != "SUMMARY.md") {
            wrong.push(format!("{name}: {times} times"));
        }
    }
    assert!(wrong.is_empty(), "docs/SUMMARY.md lists each page once, and not: {wrong:#?}");
}

/// Returns the names `live::module::function` in a document.
fn live_tests(document: &str) -> Vec<(String, String)> {
    document
        .split('`')
        .filter_map(|code| {
            let (module, function) = code.strip_prefix("live::")?.split_once("::")?;
            Some((module.to_owned(), function.to_owned()))
        })
        .collect()
}

#[test]
fn named_tests_exist() {
    let root = root();
    let mut missing = Vec::new();
    for name in ["docs/security.md", "ARCHITECTURE.md"] {
        let tests = live_tests(&fs::read_to_string(root.join(name)).unwrap());
        assert!(!tests.is_empty(), "{name} names no test");
        for (module, function) in tests {
            let file = root.join(format!("crates/rdsprov-cli/tests/live/{module}.rs"));
            let source = fs::read_to_string(file).unwrap_or_default();
            if !source.contains(&format!("#[test]\nfn {function}()")) {
                missing.push(format!("{name}: live::{module}::{function}"));
            }
        }
    }
    assert!(missing.is_empty(), "these tests do not exist: {missing:#?}");
}
