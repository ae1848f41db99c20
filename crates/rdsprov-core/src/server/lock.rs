//! The lock that serializes runs on one server.

use super::connect::Session;

/// The lock of a run, which is held until this value is dropped.
///
/// Shared catalogs are changed over the connection that holds the lock. If the run is killed, the
/// next run therefore waits until the server has ended the statement of the killed run.
pub(crate) struct Lock(pub(crate) Session);
