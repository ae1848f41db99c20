//! The predefined roles of which a declared role can be a member.
//!
//! This module does not know which roles the server has: older versions lack some of them.

use crate::name::RoleName;

/// The predefined roles of PostgreSQL and Amazon RDS that definitions can name without further
/// permission. None of them gives privileges on the objects of an application.
///
/// Some reach over the whole server: with `pg_monitor` or `pg_read_all_stats` a role reads the
/// statements of all sessions, with `pg_signal_backend` it ends sessions of others, and with
/// `pg_maintain` it locks tables of others. A plan does not mark such a membership as a hazard.
pub const GRANTABLE: [&str; 10] = [
    "pg_monitor",
    "pg_read_all_settings",
    "pg_read_all_stats",
    "pg_stat_scan_tables",
    "pg_signal_backend",
    "pg_checkpoint",
    "pg_maintain",
    "pg_create_subscription",
    "rds_replication",
    "rds_password",
];

/// A role of which no declared role can be a member, not even if `rdsprov.toml` permits it.
pub struct Refused {
    /// The name of the role.
    pub role: &'static str,
    /// What a membership would mean.
    pub effect: &'static str,
}

/// The roles of which no declared role can be a member.
pub const REFUSED: [Refused; 5] = [
    Refused { role: "rds_superuser", effect: "its members are administrators of the server" },
    Refused { role: "rdsadmin", effect: "it is the superuser of Amazon RDS" },
    Refused { role: "rds_iam", effect: "`auth = \"iam\"` makes a role a member of it" },
    Refused { role: "rds_ad", effect: "its members cannot log in with a password" },
    Refused { role: "pg_database_owner", effect: "PostgreSQL determines its only member" },
];

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
                GRANTABLE.join(", ")
            ),
        }
    }
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
    if GRANTABLE.contains(&name) || permitted.iter().any(|one| one == name) {
        Ok(RoleName::new_unchecked(name))
    } else {
        Err(MembershipError::NotPermitted { role: name.to_owned() })
    }
}
