//! Probes: questions about the permissions of the administrator that the catalogs do not answer.
//!
//! Amazon RDS allows more to members of `rds_superuser` than PostgreSQL does. So the run executes
//! the statement in question and rolls it back, or a statement that fails after the same check. The planner asks for probes as values; it does not
//! know how they are executed.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{DatabaseName, ExtensionName, RoleName};
use crate::setting::Parameter;

/// A change of which only the server knows whether the administrator may make it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Creates a role.
    CreateRole,
    /// Creates a database from a template that does not exist: PostgreSQL checks the permission
    /// first. `CREATE DATABASE` cannot be executed in a transaction.
    CreateDatabase,
    /// Grants the role to itself: PostgreSQL checks the permission first, and then rejects the circle. With
    /// the permission, the administrator may alter and grant the role.
    GrantRole(RoleName),
    /// Revokes a membership that another role granted. The statement revokes it from the group itself, which
    /// is never its own member: PostgreSQL checks the permission first, and then finds nothing to revoke.
    RevokeMembership(MembershipRevocation),
    /// Sets a parameter of the administrator in the administrator database.
    SetParameter {
        /// The parameter, which may be reserved to superusers.
        parameter: Parameter,
        /// The value in the definitions, which the server may reject.
        value: String,
    },
    /// Resets a parameter of a role in a database.
    ResetParameter {
        /// The parameter, which only a superuser may have set.
        parameter: Parameter,
        /// The role with the setting.
        role: RoleName,
        /// The database of the setting.
        database: DatabaseName,
    },
    /// Creates extensions that PostgreSQL does not trust.
    CreateExtensions(ExtensionProbe),
    /// Grants the administrator the privileges that PUBLIC has not on the schemas and routines of
    /// extensions. Those that do not exist are created first; if they cannot be, nothing is denied.
    GrantOnExtensions(ExtensionProbe),
    /// Creates extensions, and fails if PUBLIC may not execute a routine of the last one that a declared
    /// role may execute.
    ExecuteAsPublic(ExtensionProbe),
}

/// A revocation of a membership, or of its `ADMIN OPTION` only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MembershipRevocation {
    /// The role that was granted.
    pub role: RoleName,
    /// The role that loses the membership.
    pub member: RoleName,
    /// The grantor in `GRANTED BY`; `None` means the current role.
    pub grantor: Option<RoleName>,
    /// The part of the membership that is revoked.
    pub scope: RevocationScope,
    /// Whether the memberships that depend on the `ADMIN OPTION` are revoked, too (`CASCADE`).
    pub cascade: bool,
}

/// The part of a membership that is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationScope {
    /// The membership and its `ADMIN OPTION`.
    Membership,
    /// The `ADMIN OPTION` only.
    AdminOption,
}

/// Extensions, of which the administrator creates those that are missing one after the other, in
/// `information_schema`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExtensionProbe {
    /// The database. Extensions are created in the template only, in which no application's role has
    /// objects.
    pub database: DatabaseName,
    /// The extensions in the order of their creation.
    pub extensions: Vec<ExtensionName>,
}

impl Probe {
    /// Returns the database in which the probe is executed; `None` is the administrator database.
    #[must_use]
    pub fn database(&self) -> Option<&DatabaseName> {
        match self {
            Self::CreateExtensions(probe)
            | Self::GrantOnExtensions(probe)
            | Self::ExecuteAsPublic(probe) => Some(&probe.database),
            Self::CreateRole
            | Self::CreateDatabase
            | Self::GrantRole(_)
            | Self::RevokeMembership(_)
            | Self::SetParameter { .. }
            | Self::ResetParameter { .. } => None,
        }
    }
}

impl Probe {
    /// Returns the SQLSTATE with which PostgreSQL rejects the statement of the probe after it has checked the
    /// permission; `None` if the statement succeeds.
    #[must_use]
    pub fn expected_error(&self) -> Option<&'static str> {
        match self {
            Self::CreateDatabase => Some("3D000"),
            Self::GrantRole(_) => Some("0LP01"),
            _ => None,
        }
    }

    /// Returns whether the statement of the probe can write WAL, although it is rolled back. One that fails as
    /// expected, or changes nothing, writes none, so that `preflight` and `export` execute it, too.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.expected_error().is_none() && !matches!(self, Self::RevokeMembership(_))
    }

    /// Returns whether it asks what the administrator may do, and not what PUBLIC may do.
    #[must_use]
    pub fn is_about_administrator(&self) -> bool {
        !matches!(self, Self::ExecuteAsPublic(_))
    }
}

/// What the administrator may do or not: `create roles`.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |probe: &ExtensionProbe| {
            let names = probe.extensions.iter().map(ExtensionName::as_str);
            names.collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::CreateRole => f.write_str("create roles"),
            Self::CreateDatabase => f.write_str("create databases"),
            Self::GrantRole(role) => write!(f, "alter and grant role {role}"),
            Self::RevokeMembership(MembershipRevocation { role, member, .. }) => {
                write!(f, "revoke role {role} from {member}")
            }
            Self::SetParameter { parameter, .. } => write!(f, "set parameter {parameter}"),
            Self::ResetParameter { parameter, role, database } => {
                write!(f, "reset parameter {parameter} of role {role} in database {database}")
            }
            Self::CreateExtensions(probe) => write!(f, "create extension {}", listed(probe)),
            Self::GrantOnExtensions(probe) => {
                write!(f, "grant privileges on extension {}", listed(probe))
            }
            Self::ExecuteAsPublic(probe) => {
                write!(f, "leave the routines of extension {} to PUBLIC", listed(probe))
            }
        }
    }
}

/// The result of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeResult {
    /// The administrator has the permission.
    Allowed,
    /// The server denied the permission. Contains its error message with the SQLSTATE.
    Denied(String),
}

/// The results of all probes that were executed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<ExecutedProbe>", into = "Vec<ExecutedProbe>")]
pub struct ProbeResults(BTreeMap<Probe, ProbeResult>);

/// A probe with its result, as in JSON.
#[derive(Serialize, Deserialize)]
struct ExecutedProbe {
    probe: Probe,
    result: ProbeResult,
}

impl From<Vec<ExecutedProbe>> for ProbeResults {
    fn from(executed: Vec<ExecutedProbe>) -> Self {
        Self(executed.into_iter().map(|one| (one.probe, one.result)).collect())
    }
}

impl From<ProbeResults> for Vec<ExecutedProbe> {
    fn from(results: ProbeResults) -> Self {
        results.0.into_iter().map(|(probe, result)| ExecutedProbe { probe, result }).collect()
    }
}

impl ProbeResults {
    /// Returns whether no probe was executed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the result of a probe; `None` if it was not executed.
    #[must_use]
    pub fn get(&self, probe: &Probe) -> Option<&ProbeResult> {
        self.0.get(probe)
    }

    /// Adds the result of a probe.
    pub fn insert(&mut self, probe: Probe, result: ProbeResult) {
        self.0.insert(probe, result);
    }
}
