//! The files for the records of a run: which ones, and who named them.
//!
//! This module does not open them.

use std::path::{Component, Path, PathBuf};

use super::error::Error;
use super::files::leaves;
use crate::audit::AuditError;
use crate::config::{AuditSection, Config};
use crate::hint::Opt;

/// A file for records, and who named it.
pub(super) enum Destination {
    /// The caller named it: it is created at once, so that each run is recorded.
    Option(PathBuf),
    /// `rdsprov.toml` names it: it is created after the gates only. People who may not start a
    /// run can often edit that file.
    Config(PathBuf),
}

/// The files for records that `rdsprov.toml` names, with the directory that must contain them.
#[derive(Debug, Clone)]
pub(super) struct ConfiguredFiles {
    audit: AuditSection,
    directory: Option<PathBuf>,
}

/// Returns the ledger that `rdsprov.toml` names.
///
/// # Errors
/// Returns [`Error::Outside`] if it is not below the directory of `rdsprov.toml`.
pub fn configured_ledger(config: &Config) -> Result<Option<PathBuf>, Error> {
    let (_, ledger, outside) = ConfiguredFiles::new(config).destinations(None, None);
    outside?;
    Ok(ledger.map(|ledger| ledger.path().to_owned()))
}

impl ConfiguredFiles {
    pub(super) fn new(config: &Config) -> Self {
        Self { audit: config.audit.clone(), directory: config.directory.clone() }
    }

    /// Returns the CSV file and the ledger of a run: those that options name, or else those of
    /// `rdsprov.toml`. Leaves out a file that `rdsprov.toml` names and
    /// that is not below its directory; the result is then an error.
    pub(super) fn destinations(
        self,
        csv: Option<&PathBuf>,
        ledger: Option<&PathBuf>,
    ) -> (Option<Destination>, Option<Destination>, Result<(), Error>) {
        let mut outside = Ok(());
        let mut destination = |option: Option<&PathBuf>, config: Option<PathBuf>, name: Opt| {
            if let Some(path) = option {
                return Some(Destination::Option(path.clone()));
            }
            let path = config?;
            if self.directory.as_ref().is_some_and(|directory| leaves(&path, directory)) {
                outside = Err(Error::Outside { path, option: name });
                return None;
            }
            Some(Destination::Config(path))
        };
        let csv = destination(csv, self.audit.output, Opt::AuditOutput);
        let ledger = destination(ledger, self.audit.ledger, Opt::AuditLedger);
        match (&csv, &ledger) {
            (Some(csv), Some(ledger)) if is_same_file(csv.path(), ledger.path()) => {
                // Neither is opened: the first would be created and the second would find it.
                let error = AuditError::SameFile { path: ledger.path().to_owned() };
                (None, None, outside.and(Err(error.into())))
            }
            _ => (csv, ledger, outside),
        }
    }
}

impl Destination {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Option(path) | Self::Config(path) => path,
        }
    }
}

/// Returns whether two paths lead to the same file, which need not exist yet.
pub(super) fn is_same_file(one: &Path, other: &Path) -> bool {
    if let (Ok(one), Ok(other)) = (one.canonicalize(), other.canonicalize()) {
        return one == other || is_hard_link(&one, &other);
    }
    resolved(one) == resolved(other)
}

/// Returns a path in which the directory is resolved as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut missing = Vec::new();
    let mut existing = absolute.as_path();
    loop {
        if let Ok(mut resolved) = existing.canonicalize() {
            resolved.extend(missing.iter().rev());
            return resolved;
        }
        let (Some(parent), Some(name)) = (existing.parent(), existing.components().next_back())
        else {
            return absolute;
        };
        match name {
            // The directory before it does not exist, so that it leads back over the one before.
            Component::ParentDir => return absolute,
            name => missing.push(name.as_os_str().to_owned()),
        }
        existing = parent;
    }
}

#[cfg(unix)]
fn is_hard_link(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_hard_link(_: &Path, _: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_files_are_recognised() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        std::fs::write(at("a"), "").unwrap();
        std::fs::hard_link(at("a"), at("link")).unwrap();
        std::fs::write(at("b"), "").unwrap();
        std::fs::create_dir(at("dir")).unwrap();
        for (one, other) in [
            ("a", "a"),
            ("a", "link"),
            ("new", "new"),
            ("new", "dir/../new"),
            ("new", "./new"),
            ("missing/new", "missing/./new"),
        ] {
            assert!(is_same_file(&at(one), &at(other)), "{one} {other}");
        }
        for (one, other) in [("a", "b"), ("a", "new"), ("new", "dir/new"), ("x/new", "y/new")] {
            assert!(!is_same_file(&at(one), &at(other)), "{one} {other}");
        }
    }
}
