//! The names of the variables and keys that contain definitions.

/// The variable with the applications.
pub const APPLICATIONS: &str = "application_databases";

/// The keys of an application, in the order of `docs/reference.md`.
pub const KEYS: [&str; 16] = [
    "database_name",
    "username",
    "access_level",
    "schemas",
    "extensions",
    "auth",
    "secret",
    "role_owner",
    "createdb",
    "memberships",
    "connection_limit",
    "valid_until",
    "settings",
    "creators",
    "plugin_databases",
    "adopt",
];
