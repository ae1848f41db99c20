//! The connection to the server, and how the server handles passwords.

use serde::{Deserialize, Serialize};

use crate::run_setting::RunSetting;
use crate::secret_id::SecretId;

/// The connection over which a state was observed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connection {
    /// The server, as `host:port`; `None` for a state that was written by hand.
    pub server: Option<String>,
    /// The system identifier in the control file of the server, which `initdb` chose; `None` if
    /// the administrator may not read it. A physical copy of a server has the same one.
    pub system_identifier: Option<String>,
    /// The id of the administrator's secret; `None` if the administrator uses IAM tokens.
    pub admin_secret: Option<SecretId>,
    /// How the run reached the server, with the place that sets each value. Empty for a state that
    /// was written by hand.
    pub settings: Vec<RunSetting>,
    /// `sha256:…` of the certificates in the CA file, or `system`, if the server was verified with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_certificates: Option<String>,
    /// Whether the server is in recovery: a reader or a standby, on which no probe is executed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_recovery: bool,
}

/// The parameters and memberships that influence how passwords are set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PasswordRules {
    /// The parameter `password_encryption`: how the server hashes a cleartext password.
    pub encryption: String,
    /// The parameter `scram_iterations`; `None` before PostgreSQL 16.
    pub scram_iterations: Option<u32>,
    /// Whether only members of `rds_password` may set passwords (`rds.restrict_password_commands`).
    pub restricted: bool,
    /// Whether the administrator is a member of `rds_password`.
    pub in_rds_password: bool,
}

impl Default for PasswordRules {
    fn default() -> Self {
        Self {
            encryption: "scram-sha-256".to_owned(),
            scram_iterations: None,
            restricted: false,
            in_rds_password: false,
        }
    }
}

/// The result of checking whether the password of the secret is that of the role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordCheck {
    /// The server accepted the password.
    Accepted,
    /// The server rejected the password (28P01).
    WrongPassword,
    /// The password was not checked, because the options say `never`.
    NotChecked,
    /// The password was not checked, because the options say that it is always set.
    ToBeSet,
    /// The login failed for another reason, so whether the password is correct is
    /// unknown. Contains this reason.
    Inconclusive(String),
}
