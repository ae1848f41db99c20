//! The kinds of RDS servers that a server of the test kit resembles.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The statements that give a new cluster its shape.
const STATEMENTS: &str = include_str!("shape.sql");

/// The settings of each cluster.
pub(crate) const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nfsync = off\nshared_buffers = 16MB\nmax_connections = 100\nlog_statement = all\nlog_min_error_statement = info\nssl = on\npassword_encryption = 'scram-sha-256'\nallow_in_place_tablespaces = on\n";

/// What a server resembles. The kinds differ in the roles and tablespaces that RDS creates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shape {
    /// An RDS instance with a current minor version.
    #[default]
    Instance,
    /// An RDS instance with a minor version before 14.13, 15.8 or 16.4, which has no role
    /// `rds_extension`.
    OlderMinor,
    /// An Aurora cluster: without `rdsrepladmin`, `rdstopmgr` and `rds_temp_tablespace`.
    Aurora,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Self; 3] = [Self::Instance, Self::OlderMinor, Self::Aurora];

    /// Returns the name of the shape in `shape.sql` and in the cache.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::OlderMinor => "older-minor",
            Self::Aurora => "aurora",
        }
    }

    /// Returns the name of the directory in the cache with the cluster of this shape. It changes
    /// with the statements and the settings, so that no cluster of earlier ones is used.
    pub(crate) fn template(self, major: u32) -> String {
        let mut hasher = DefaultHasher::new();
        (STATEMENTS, SETTINGS).hash(&mut hasher);
        format!("data-{major}-{}-{:016x}", self.name(), hasher.finish())
    }
}
