//! Asks how many connections are left.

use serde::Deserialize;

use super::connect::Session;
use super::snapshot::{ObserveError, Snapshot};

const CAPACITY: &str = include_str!("queries/capacity.sql");

/// The connections that are allowed and used.
#[derive(Deserialize)]
pub(crate) struct Limit {
    allowed: i64,
    used: i64,
}

impl Limit {
    /// Returns the number of connections that are left; `None` without a limit.
    pub(crate) fn left(&self) -> Option<i64> {
        (self.allowed >= 0).then(|| (self.allowed - self.used).max(0))
    }
}

/// The connections that a server allows, with its kind.
#[derive(Deserialize)]
pub(crate) struct Capacity {
    /// Those of the server that are not reserved.
    pub server: Limit,
    /// Those of the administrator.
    pub role: Limit,
    /// Those of the database in which runs take their lock.
    pub lock_database: Limit,
    /// Whether the server is Aurora.
    pub aurora: bool,
}

/// Reads the limits. The session that asks is counted as used.
pub(crate) async fn capacity(session: &Session) -> Result<Capacity, ObserveError> {
    let snapshot = Snapshot::open(session, "the number of connections").await?;
    let capacity = snapshot.query(CAPACITY, &[]).await?;
    snapshot.close().await?;
    Ok(capacity)
}
