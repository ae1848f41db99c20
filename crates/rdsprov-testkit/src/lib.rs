//! Starts throwaway PostgreSQL servers that resemble Amazon RDS, and a Secrets Manager.
//!
//! As on RDS, the administrator is not a superuser. Every network login uses SCRAM over TLS,
//! and the server listens on loopback only. The server stops when its [`Server`] is dropped,
//! also after a panic.
#![deny(missing_docs)]

mod binaries;
mod blue_green;
mod bucket;
mod connection_counter;
mod data_dir;
mod delay_relay;
mod denying_catalogs;
pub mod documents;
mod extensions;
mod fake_server;
mod http_endpoint;
mod http_proxy;
mod lambda_runtime;
mod login_proxy;
mod message_relay;
pub mod packages;
mod pgbouncer;
mod rds_proxy;
mod relay;
mod rewriting_relay;
mod scrub;
mod secrets_manager;
mod server;
mod session;
mod shape;
mod shared;
mod silent_relay;
mod switching_relay;
mod warning_relay;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::PathBuf;

pub use blue_green::TopologyFunction;
pub use bucket::Bucket;
pub use connection_counter::ConnectionCounter;
pub use delay_relay::DelayRelay;
pub use denying_catalogs::DenyingCatalogs;
pub use extensions::Extension;
pub use fake_server::{FakeServer, Misbehaviour};
pub use http_endpoint::{HttpEndpoint, HttpRequest};
pub use http_proxy::{Call, HttpProxy, Reply};
pub use lambda_runtime::LambdaRuntime;
pub use login_proxy::{Intercept, LoginProxy};
pub use message_relay::{Delivery, MessageRelay, RelayedMessage};
pub use pgbouncer::{PgBouncer, PoolMode};
pub use rds_proxy::RdsProxy;
pub use relay::relay;
pub use rewriting_relay::rewriting_relay;
pub use scrub::scrub_environment;
pub use secrets_manager::{ACCESS_KEY_ID, SecretsManager, environment};
pub use server::{Server, Shutdown};
pub use session::{Answer, Message, Session, Severity};
pub use shape::Shape;
pub use silent_relay::SilentRelay;
pub use switching_relay::SwitchingRelay;
pub use warning_relay::WarningRelay;

/// Describes why a server or a Secrets Manager could not be started or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// The operation that failed.
        what: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Another user could have written to the cache directory.
    #[error("{path} is not a directory that only you may write to; remove it")]
    UnsafeCache {
        /// The path of the cache directory.
        path: PathBuf,
    },
    /// A program exited with a failure.
    #[error("{program} failed: {output}")]
    Program {
        /// The name of the program.
        program: String,
        /// The error output of the program.
        output: String,
    },
    /// The test kit has no programs of this PostgreSQL version.
    #[error("there are no binaries for PostgreSQL {major}; 14 to 18 are known")]
    UnknownVersion {
        /// The major version that was requested.
        major: u32,
    },
    /// A required Debian package is not installed.
    #[error("the Debian package {package} is not installed")]
    NotInstalled {
        /// The name of the package.
        package: String,
    },
    /// The server did not start.
    #[error("the server did not start; its log: {log}")]
    NotStarted {
        /// The log of the server.
        log: String,
    },
    /// A certificate could not be generated.
    #[error("cannot generate a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The contents of an npm package differ from what the test kit expects.
    #[error("{path} is not as expected: {reason}")]
    Package {
        /// The file that differs.
        path: PathBuf,
        /// The difference from the expected contents.
        reason: String,
    },
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |source| Error::Io { what, source }
}

/// Returns the cache directory, locked for writing. It holds installed
/// packages and initialised clusters.
///
/// Each user has its own cache, so that no user runs programs that another one wrote. The cache
/// is not in the home directory: servers that root starts run as another user, which must be
/// able to read it.
fn cache() -> Result<(PathBuf, File), Error> {
    let user = fs::metadata("/proc/self").map_err(io_error("/proc/self"))?.uid();
    let cache = std::env::temp_dir().join(format!("rdsprov-testkit-{user}"));
    let failed = |error| io_error(format!("the cache {}", cache.display()))(error);
    fs::DirBuilder::new().recursive(true).mode(0o755).create(&cache).map_err(failed)?;
    let found = fs::symlink_metadata(&cache).map_err(failed)?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o022 != 0 {
        return Err(Error::UnsafeCache { path: cache });
    }
    let lock = File::create(cache.join("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    Ok((cache, lock))
}

/// The oldest PostgreSQL version that is tested.
pub const OLDEST: u32 = 14;

/// The newest PostgreSQL version that is tested.
pub const NEWEST: u32 = 18;

/// Returns the PostgreSQL versions to test: those in `RDSPROV_TEST_PG` (`14,15`), or the oldest and
/// the newest one.
#[must_use]
pub fn versions() -> Vec<u32> {
    chosen_versions().unwrap_or_else(|| vec![OLDEST, NEWEST])
}

/// Returns the PostgreSQL versions in `RDSPROV_TEST_PG`, or every version that is supported.
#[must_use]
pub fn all_versions() -> Vec<u32> {
    chosen_versions().unwrap_or_else(|| (OLDEST..=NEWEST).collect())
}

fn chosen_versions() -> Option<Vec<u32>> {
    let text = std::env::var("RDSPROV_TEST_PG").ok()?;
    let versions: Vec<u32> = text.split(',').filter_map(|part| part.trim().parse().ok()).collect();
    (!versions.is_empty()).then_some(versions)
}
