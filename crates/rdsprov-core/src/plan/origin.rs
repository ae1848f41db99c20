//! What a plan was made from, in addition to the observed state.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::{self, Desired};
use crate::name::{ApplicationName, RoleName};
use crate::observed::{Connection, Observed};
use crate::secret_id::SecretId;

/// The server, the secrets and the definitions that a plan was made from.
///
/// The digest of the plan covers them: two servers never have plans with the same digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// The server, as `host:port`; `null` for a plan that was made without a server.
    pub server: Option<String>,
    /// The system identifier of the server, which `initdb` chose; `null` if the server does not
    /// show it to the administrator.
    pub system_identifier: Option<String>,
    /// The role of the administrator.
    pub administrator: RoleName,
    /// The id of the administrator's secret; `null` if the administrator uses IAM tokens.
    pub admin_secret: Option<SecretId>,
    /// The id of the secret of each role that the plan covers and that has a password.
    pub secrets: BTreeMap<RoleName, SecretId>,
    /// `sha256:…` of the definitions files, concatenated; `null` if there are none.
    pub definitions: Option<String>,
    /// The selected applications, which the plan is restricted to; empty if it covers all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub only: BTreeSet<ApplicationName>,
}

impl Origin {
    pub(super) fn new(desired: &Desired, observed: &Observed) -> Self {
        let secret_of = |(name, role): (&RoleName, &desired::Role)| {
            Some((name.clone(), role.secret()?.clone()))
        };
        let Connection { server, system_identifier, admin_secret } = observed.connection.clone();
        Self {
            server,
            system_identifier,
            administrator: observed.administrator.name.clone(),
            admin_secret,
            secrets: desired.selected_roles().filter_map(secret_of).collect(),
            definitions: desired.definitions.clone(),
            only: desired.only.clone(),
        }
    }
}
