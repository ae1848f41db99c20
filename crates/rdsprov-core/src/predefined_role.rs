//! The predefined roles of which a declared role can be a member.
//!
//! This module does not know which roles the server has: older versions lack some of them.

use crate::name::RoleName;

/// A predefined role of PostgreSQL or Amazon RDS that definitions can name without further permission.
pub struct Grantable {
    /// The name of the role.
    pub role: &'static str,
    /// What its members can do beyond the database of their application; `None` if nothing.
    pub reach: Option<&'static str>,
}

/// The predefined roles that definitions can name without further permission. None of them gives
/// privileges on the objects of an application, but most of them reach beyond one database: a plan
/// marks such a membership as a hazard.
pub const GRANTABLE: [Grantable; 10] = [
    Grantable { role: "pg_monitor", reach: Some("read the statements of all sessions") },
    Grantable { role: "pg_read_all_settings", reach: Some("read the settings of the server") },
    Grantable { role: "pg_read_all_stats", reach: Some("read the statements of all sessions") },
    Grantable { role: "pg_stat_scan_tables", reach: Some("scan tables of other roles") },
    Grantable { role: "pg_signal_backend", reach: Some("end the sessions of other roles") },
    Grantable { role: "pg_checkpoint", reach: Some("start checkpoints of the server") },
    Grantable {
        role: "pg_maintain",
        reach: Some("lock tables of other roles and shared catalogs"),
    },
    Grantable {
        role: "pg_create_subscription",
        reach: Some("have the server connect to other servers"),
    },
    Grantable {
        role: "rds_replication",
        reach: Some("have the server keep WAL in replication slots"),
    },
    // Only together with `CREATEROLE` would a member change the passwords of other roles.
    Grantable { role: "rds_password", reach: None },
];

/// Returns what the members of a predefined role can do beyond the database of their application;
/// `None` if nothing.
#[must_use]
pub fn reach(role: &RoleName) -> Option<&'static str> {
    match GRANTABLE.iter().find(|one| one.role == role.as_str()) {
        Some(one) => one.reach,
        // Only `rdsprov.toml` permits it.
        None => Some("use its privileges in each database of the server"),
    }
}

/// A role of which no declared role can be a member, not even if `rdsprov.toml` permits it.
pub struct Refused {
    /// The name of the role.
    pub role: &'static str,
    /// What a membership would mean.
    pub effect: &'static str,
    /// Whether the members control the server. Then the members of its members are refused, too.
    pub controls_server: bool,
}

impl Refused {
    const fn controls_server(role: &'static str, effect: &'static str) -> Self {
        Self { role, effect, controls_server: true }
    }

    const fn not_granted(role: &'static str, effect: &'static str) -> Self {
        Self { role, effect, controls_server: false }
    }
}

/// The roles of which no declared role can be a member.
pub const REFUSED: [Refused; 8] = [
    Refused::controls_server("rds_superuser", "its members are administrators of the server"),
    Refused::controls_server("rdsadmin", "it is the superuser of Amazon RDS"),
    Refused::controls_server("pg_execute_server_program", "its members run programs on the server"),
    Refused::controls_server("pg_read_server_files", "its members read the files of the server"),
    Refused::controls_server("pg_write_server_files", "its members write the files of the server"),
    Refused::not_granted("rds_iam", "`auth = \"iam\"` makes a role a member of it"),
    Refused::not_granted("rds_ad", "its members cannot log in with a password"),
    Refused::not_granted("pg_database_owner", "PostgreSQL determines its only member"),
];

/// Returns whether a role is one of PostgreSQL or Amazon RDS: no application can declare its name.
#[must_use]
pub fn is_predefined(role: &RoleName) -> bool {
    ["pg_", "rds_"].iter().any(|prefix| role.as_str().starts_with(prefix))
}

/// The roles that Amazon RDS creates and whose names an administrator could give to roles of its own where they
/// do not exist. None of them can log in.
const OF_RDS: [&str; 7] = [
    "rds_superuser",
    "rds_iam",
    "rds_ad",
    "rds_password",
    "rds_replication",
    "rds_extension",
    "rds_reserved",
];

/// Returns whether an existing role is one that PostgreSQL or Amazon RDS has created, and not one that only
/// has such a name: PostgreSQL reserves `pg_`, and each role with `CREATEROLE` can create `rds_helper`.
#[must_use]
pub fn is_of_server(role: &RoleName, login: bool) -> bool {
    role.as_str().starts_with("pg_") || !login && OF_RDS.contains(&role.as_str())
}

/// Returns whether the members of a predefined role control the server.
#[must_use]
pub fn controls_server(role: &RoleName) -> bool {
    REFUSED.iter().any(|refused| refused.controls_server && refused.role == role.as_str())
}

/// A name in `memberships` is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// No role can be a member of it.
    #[error("`{role}` is not allowed in `memberships`: {effect}")]
    Refused {
        /// The name.
        role: String,
        /// What a membership would mean.
        effect: &'static str,
    },
    /// [`GRANTABLE`] does not contain it, and `rdsprov.toml` does not permit it.
    #[error("`{role}` is not allowed in `memberships`")]
    NotPermitted {
        /// The name.
        role: String,
    },
}

impl MembershipError {
    /// Returns what to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Refused { .. } => "remove it from `memberships`".to_owned(),
            Self::NotPermitted { .. } => format!(
                "use {}; `memberships` in `[definitions]` of `rdsprov.toml` permits other roles",
                GRANTABLE.map(|one| one.role).join(", ")
            ),
        }
    }
}

/// Returns whether definitions can name a role without further permission.
#[must_use]
pub fn is_grantable(name: &str) -> bool {
    GRANTABLE.iter().any(|one| one.role == name)
}

/// Checks a name in `memberships`. `permitted` are the additional names that `rdsprov.toml` permits.
///
/// # Errors
/// Returns a [`MembershipError`] if the name is not allowed.
///
/// ```
/// use rdsprov_core::predefined_role::check;
/// assert_eq!(check("pg_monitor", &[]).unwrap().as_str(), "pg_monitor");
/// assert!(check("pg_read_all_data", &[]).is_err());
/// assert!(check("pg_read_all_data", &["pg_read_all_data".to_owned()]).is_ok());
/// assert!(check("rds_superuser", &["rds_superuser".to_owned()]).is_err());
/// ```
pub fn check(name: &str, permitted: &[String]) -> Result<RoleName, MembershipError> {
    if let Some(refused) = REFUSED.iter().find(|refused| refused.role == name) {
        return Err(MembershipError::Refused { role: name.to_owned(), effect: refused.effect });
    }
    if is_grantable(name) || permitted.iter().any(|one| one == name) {
        Ok(RoleName::new_unchecked(name))
    } else {
        Err(MembershipError::NotPermitted { role: name.to_owned() })
    }
}
