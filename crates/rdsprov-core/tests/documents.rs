//! The links of documents lead to files and headings that exist, the contents list every page, the
//! tests that documents name exist, and each command is executed by a test.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;

use rdsprov_testkit::documents::{documents, reason_not_executed, root, shell_blocks};

/// The documents whose commands several tests execute, each those of some sections. The commands of
/// another document are executed by one test.
const BY_SECTION: [&str; 2] = ["docs/reference.md", "docs/runbook.md"];

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
    for document in documents() {
        let path = root().join(&document.name);
        for link in links(&document.text) {
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
                broken.push(format!("{}: {link}", document.name));
            }
        }
    }
    assert!(count > 300, "only {count} links were found");
    assert!(broken.is_empty(), "broken links: {broken:#?}");
}

#[test]
fn contents_list_each_page() {
    let contents = links(&fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap());
    let mut wrong = Vec::new();
    for document in documents() {
        let Some(name) = document.name.strip_prefix("docs/") else { continue };
        let times = contents.iter().filter(|link| *link == name).count();
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
    for name in ["docs/comparison.md", "docs/security.md", "ARCHITECTURE.md"] {
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

/// A block whose commands no test executes has a comment with the reason before it, or contains only
/// programs that are not available.
#[test]
fn each_command_is_executed_or_has_a_reason() {
    let directory = root().join("crates/rdsprov-cli/tests/live");
    let sources: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok())
        .collect();
    let (mut count, mut wrong) = (0, Vec::new());
    for document in documents() {
        let included = format!("include_str!(\"../../../../{}\")", document.name);
        let tests: Vec<&String> = sources.iter().filter(|one| one.contains(&included)).collect();
        for block in shell_blocks(&document.text) {
            count += 1;
            let title = format!("\"{}\"", block.heading);
            let is_executed = if BY_SECTION.contains(&document.name.as_str()) {
                tests.iter().any(|test| test.contains(&title))
            } else {
                !tests.is_empty()
            };
            let needs_none = block.commands.iter().all(|one| reason_not_executed(one).is_some());
            let place = format!("{}:{}", document.name, block.line);
            match block.reason {
                None if block.commands.is_empty() => wrong.push(format!("{place}: no command")),
                None if !is_executed && !needs_none => wrong.push(place),
                Some(reason) if reason.trim().is_empty() => wrong.push(place),
                _ => {}
            }
        }
    }
    assert!(count > 150, "only {count} blocks were found");
    assert!(wrong.is_empty(), "no test executes the commands, and no reason is given: {wrong:#?}");
}

/// Files of the repository and tests that commands name, and parameters of the workflow.
#[test]
fn files_and_parameters_in_commands_exist() {
    let template = fs::read_to_string(root().join("deploy/argo/workflow-template.yaml")).unwrap();
    let tests: Vec<String> = fs::read_dir(root().join("crates"))
        .unwrap()
        .filter_map(|entry| fs::read_dir(entry.unwrap().path().join("tests")).ok())
        .flatten()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let (mut count, mut missing) = (0, Vec::new());
    for document in documents() {
        let commands = shell_blocks(&document.text).into_iter().flat_map(|block| block.commands);
        for command in commands {
            let words: Vec<&str> = command.split_whitespace().collect();
            for (before, word) in words.iter().zip(words.iter().skip(1)) {
                let is_missing = if word.starts_with("deploy/") {
                    !root().join(word).exists()
                } else if *before == "-p" && command.starts_with("argo ") {
                    let name = word.split('=').next().unwrap_or_default();
                    !template.contains(&format!("- name: {name}\n"))
                } else if *before == "--test" {
                    !tests.iter().any(|test| test == *word)
                } else {
                    continue;
                };
                count += 1;
                if is_missing {
                    missing.push(format!("{}: {word}", document.name));
                }
            }
        }
    }
    assert!(count > 10, "only {count} words were checked");
    assert!(missing.is_empty(), "these files or parameters do not exist: {missing:#?}");
}
