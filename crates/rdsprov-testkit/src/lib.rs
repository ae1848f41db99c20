//! Throwaway PostgreSQL servers in the shape of Amazon RDS, and a Secrets Manager to go with them.
//!
//! The administrator is no superuser, every login is by SCRAM over TLS, and the server listens on
//! loopback only. It ends with its [`Server`], also when a test panics.
#![deny(missing_docs)]

mod binaries;
mod caller;
mod ear;
mod gate;
pub mod packages;
mod place;
mod relay;
mod secrets_manager;
mod server;
mod session;
mod shared;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::PathBuf;

pub use caller::without_the_callers;
pub use ear::Ear;
pub use gate::{Gate, Instead};
pub use relay::{Call, Relay, Reply};
pub use secrets_manager::{SecretsManager, environment};
pub use server::Server;
pub use session::{Answer, Message, Session, Severity};

/// Why a server is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system said no.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else might have put something there.
    #[error("{path} is no directory that you alone may write to; remove it")]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },
    /// A program failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which.
        program: String,
        /// What it said.
        output: String,
    },
    /// No binaries for the version are known.
    #[error("there are no binaries for PostgreSQL {major}; 14 to 18 are known")]
    UnknownVersion {
        /// The version.
        major: u32,
    },
    /// A program of a Debian package is missing.
    #[error("the Debian package {package} is not installed")]
    NotInstalled {
        /// The package.
        package: String,
    },
    /// The server did not come up.
    #[error("the server did not come up; its log says: {log}")]
    NotUp {
        /// The log.
        log: String,
    },
    /// A certificate could not be made.
    #[error("no certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// An npm package is not as expected.
    #[error("{path} is not as expected: {reason}")]
    Package {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |source| Error::Io { what, source }
}

/// Where what was fetched or made once is kept, and the lock of whoever adds to it. Each user has its own, and
/// runs nothing from somebody else's; servers of root run as another user and have to be able to read it, and so
/// it is not below a home directory.
fn cache() -> Result<(PathBuf, File), Error> {
    let user = fs::metadata("/proc/self").map_err(io_error("/proc/self"))?.uid();
    let cache = std::env::temp_dir().join(format!("rdsprov-testkit-{user}"));
    let failed = |error| io_error(format!("the cache {}", cache.display()))(error);
    fs::DirBuilder::new().recursive(true).mode(0o755).create(&cache).map_err(failed)?;
    let found = fs::symlink_metadata(&cache).map_err(failed)?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o022 != 0 {
        return Err(Error::NotOurs { path: cache });
    }
    let lock = File::create(cache.join("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    Ok((cache, lock))
}

/// The versions that tests run on: those of `RDSPROV_TEST_PG` (`14,15`), else the oldest, 15 and the newest.
#[must_use]
pub fn versions() -> Vec<u32> {
    std::env::var("RDSPROV_TEST_PG")
        .ok()
        .map(|text| text.split(',').filter_map(|part| part.trim().parse().ok()).collect())
        .filter(|versions: &Vec<u32>| !versions.is_empty())
        .unwrap_or_else(|| vec![14, 15, 18])
}
