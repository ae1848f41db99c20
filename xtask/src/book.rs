//! Runs `cargo xtask book`: builds the documents as a website with mdBook, and checks its links.
//!
//! The website has the directories of the repository, so that the links of a page lead to the same
//! file as in the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::process::run;

const MDBOOK: &str = "0.5.4";
const TOOLS: &str = "target/book-tools";
const SOURCE: &str = "target/book-source";
const BOOK: &str = "target/book";

/// The files and directories of the repository that the website contains.
const CONTENT: [&str; 10] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "deploy",
    "docs",
    "examples",
];

pub fn build() -> Result<(), String> {
    let program = format!("{TOOLS}/bin/mdbook");
    if !Path::new(&program).exists() {
        // Compiling it takes longer than running it once.
        let install = ["install", "--locked", "--debug", "--root", TOOLS, "--version", MDBOOK];
        let features = ["--no-default-features", "--features", "search", "mdbook"];
        run("cargo", &[install.as_slice(), &features].concat(), &[])?;
    }
    for directory in [SOURCE, BOOK] {
        let _ = fs::remove_dir_all(directory);
    }
    for name in CONTENT {
        copy(Path::new(name), &Path::new(SOURCE).join(name))?;
    }
    // The contents and the settings are at the root of the website.
    let summary = read(Path::new("docs/SUMMARY.md"))?;
    let summary = summary.replace("](", "](docs/").replace("](docs/)", "]()");
    write(&format!("{SOURCE}/SUMMARY.md"), &summary.replace("](docs/../", "]("))?;
    write(&format!("{SOURCE}/book.toml"), &read(Path::new("docs/book.toml"))?)?;
    let to = std::path::absolute(BOOK).map_err(|error| format!("{BOOK}: {error}"))?;
    run(&program, &["build", SOURCE, "--dest-dir", &to.display().to_string()], &[])?;
    check_links()?;
    println!("{BOOK}/index.html");
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &str, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{path}: {error}"))
}

/// Returns the paths in a directory.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(directory);
    let entries = entries.map_err(|error| format!("{}: {error}", directory.display()))?;
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
}

/// Copies a file, or a directory with all its files.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    if from.is_dir() {
        for path in entries(from)? {
            copy(&path, &to.join(path.file_name().unwrap_or_default()))?;
        }
        return Ok(());
    }
    let failed = |error| format!("{}: {error}", from.display());
    fs::create_dir_all(to.parent().unwrap_or(to)).map_err(failed)?;
    fs::copy(from, to).map_err(failed)?;
    Ok(())
}

/// Fails if a relative link of a page leads to a file that the website does not contain.
fn check_links() -> Result<(), String> {
    let mut missing = BTreeSet::new();
    let mut directories = vec![PathBuf::from(BOOK)];
    while let Some(directory) = directories.pop() {
        for path in entries(&directory)? {
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|end| end == "html") {
                let page = read(&path)?;
                for link in page.split("href=\"").skip(1) {
                    let link = link.split(['"', '#']).next().unwrap_or_default();
                    let elsewhere = link.is_empty() || link.contains(':') || link.starts_with('/');
                    if !elsewhere && !directory.join(link).exists() {
                        missing.insert(format!("{}: {link}", path.display()));
                    }
                }
            }
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("broken links: {missing:#?}")) }
}
