//! The files for the records of a run: which ones, and who named them.
//!
//! This module does not open them.

use std::path::PathBuf;

use super::error::Error;
use super::files::leaves;
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
        (csv, ledger, outside)
    }
}
