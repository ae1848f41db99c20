//! The explanations of codes, and `docs/messages.md`. `RDSPROV_UPDATE_DOCS=1` writes the page
//! (`cargo xtask messages`).

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rdsprov_core::explain::{Code, reference};

fn in_crate(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn page_matches_the_code() {
    let page = in_crate("../../docs/messages.md");
    if std::env::var_os("RDSPROV_UPDATE_DOCS").is_some() {
        fs::write(&page, reference()).unwrap();
    }
    let written = fs::read_to_string(page).unwrap_or_default();
    assert!(written == reference(), "docs/messages.md is outdated: run `cargo xtask messages`");
}

#[test]
fn explanations_are_short_texts() {
    for code in Code::all() {
        let (name, text) = (code.name(), code.explanation());
        let count = text.lines().count();
        assert!((3..=14).contains(&count), "{name} has {count} lines");
        assert!(
            text.ends_with('\n') && !text.ends_with("\n\n"),
            "{name} does not end with one line break"
        );
        assert!(code.summary().ends_with('.'), "{name} does not begin with a sentence");
        for line in text.lines() {
            assert!(!line.starts_with('#'), "{name} contains a heading: {line}");
            assert!(line.split_whitespace().count() <= 30, "{name} has a long sentence: {line}");
        }
    }
}

#[test]
fn each_explanation_of_an_error_has_a_code() {
    let files: BTreeSet<String> = fs::read_dir(in_crate("src/explanations/errors"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let codes: BTreeSet<String> = Code::all()
        .into_iter()
        .filter(|code| code.kind() == "error")
        .map(|code| code.name().to_owned())
        .collect();
    assert_eq!(files, codes);
}

#[test]
fn codes_are_found_by_name() {
    for code in Code::all() {
        assert!(Code::find(code.name()).unwrap().contains(&code));
        assert!(Code::find(&code.name().replace('-', "_")).unwrap().contains(&code));
    }
    assert_eq!(Code::find("zzz").unwrap_err().nearest, None);
}

/// The table at the beginning of the runbook names the same sections for the same codes.
#[test]
fn runbook_sections_are_those_of_the_runbook() {
    let runbook = fs::read_to_string(in_crate("../../docs/runbook.md")).unwrap();
    let rows = runbook.lines().filter(|line| line.starts_with("| ") && line.contains("](#"));
    let mut written = BTreeSet::new();
    for row in rows {
        let mut cells = row.split('|').skip(2);
        let codes = cells.next().unwrap().split('`').skip(1).step_by(2);
        let title = cells.next().unwrap().split(['[', ']']).nth(1).unwrap();
        assert!(runbook.contains(&format!("\n## {title}\n")), "{title}");
        for code in codes.filter(|code| Code::find(code).is_ok()) {
            written.insert((code.to_owned(), title.to_owned()));
        }
    }
    let codes = Code::all().into_iter();
    let known: BTreeSet<_> = codes
        .filter_map(|code| Some((code.name().to_owned(), code.runbook_section()?.to_owned())))
        .collect();
    assert_eq!(written, known);
}
