//! What a plan was made from, in addition to the observed state.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit_table::AuditTableName;
use crate::config::TlsMode;
use crate::desired::{self, Backup, Desired, is_false};
use crate::name::{ApplicationName, RoleName};
use crate::observed::{Connection, Observed};
use crate::policy::UndeclaredAccess;
use crate::run_setting::RunSettingName;
use crate::secret_id::{RecoveryWindow, SecretId};

/// The server, the secrets, the definitions and the protections that a plan was made with.
///
/// The digest of the plan covers them: two servers never have plans with the same digest, and an
/// approval of a plan is for its TLS mode, its approval policy, its checks and its configured records. The
/// places that set these values are not in the digest, but in [`Plan::run_settings`](super::Plan::run_settings): the same value from
/// another place means the same. Nor are the path of the CA file, which differs between machines, and the
/// address of a server whose certificate is verified.
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
    /// The AWS region of the secrets: each region has its own secret with an id. `null` if they are not
    /// in Secrets Manager.
    pub aws_region: Option<String>,
    /// The ARN of the IAM role whose credentials the run uses: each account has its own secret with an id.
    /// Absent if the run uses the credentials of its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<String>,
    /// The KMS key of a secret that the run creates. Absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_kms_key: Option<String>,
    /// The tags of a secret that the run creates, as `key=value`. Absent without any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secret_tags: BTreeSet<String>,
    /// The TLS mode; `null` for a plan that was made without a server.
    pub tls_mode: Option<String>,
    /// `sha256:…` of the certificates in the CA file, or `system`; absent without a CA file, and in a TLS
    /// mode that verifies no server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificates: Option<String>,
    /// The address to which connections go instead of the host, in a TLS mode that verifies no server: then
    /// it decides which server is believed. Absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_to: Option<String>,
    /// The approval policy of the environment; `null` for a plan that was made without a run.
    pub approval: Option<String>,
    /// The audit table into which the transactions write rows; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_table: Option<AuditTableName>,
    /// What the plan does with access that is not declared; absent if it reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undeclared_access: Option<UndeclaredAccess>,
    /// How passwords are verified; absent if they are verified by logins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_passwords: Option<String>,
    /// The minimum length of a password, in characters; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_password_length: Option<usize>,
    /// The ledger that the configuration file names, as it is written there; absent without one. An option that
    /// names another ledger does not change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configured_ledger: Option<String>,
    /// The same for the CSV file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configured_csv: Option<String>,
    /// The id of the secret of each role that the plan covers and that has a password.
    pub secrets: BTreeMap<RoleName, SecretId>,
    /// `sha256:…` of the definitions files, concatenated; `null` without files.
    pub definitions: Option<String>,
    /// The selected applications, which the plan is restricted to; empty if it covers all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub only: BTreeSet<ApplicationName>,
    /// The scope of the definitions; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Whether the plan contains additions only, and leaves what takes access away pending.
    #[serde(default, skip_serializing_if = "is_false")]
    pub additive: bool,
    /// How the plan retires the applications in `only`. Absent in the plan of another command than `retire`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retirement: Option<RetirementOptions>,
    /// The build whose roles and databases the plan drops. Absent in the plan of another command than
    /// `teardown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torn_down_build: Option<String>,
}

/// What a plan of `retire` does in addition to the end of access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RetirementOptions {
    /// Whether the sessions of the roles are ended.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ends_sessions: bool,
    /// Whether the roles are dropped.
    #[serde(default, skip_serializing_if = "is_false")]
    pub drops_roles: bool,
    /// What is left of the data of the databases that the roles own, if these are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drops_databases: Option<Backup>,
    /// How many days the secrets of the roles can be restored, if they are deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletes_secrets: Option<RecoveryWindow>,
}

impl RetirementOptions {
    fn new(desired: &Desired) -> Option<Self> {
        desired.retires.then(|| Self {
            ends_sessions: desired.ends_sessions,
            drops_roles: desired.drops_roles,
            drops_databases: desired.drops_databases.clone(),
            deletes_secrets: desired.deletes_secrets,
        })
    }
}

impl Origin {
    pub(super) fn new(desired: &Desired, observed: &Observed) -> Self {
        let secret_of = |(name, role): (&RoleName, &desired::Role)| {
            Some((name.clone(), role.secret()?.clone()))
        };
        let Connection {
            server,
            system_identifier,
            admin_secret,
            settings,
            ca_certificates,
            in_recovery: _,
        } = observed.connection.clone();
        let values_of =
            |name| settings.iter().filter(move |one| one.name == name).map(|one| one.value.clone());
        let value_of = |name| values_of(name).next();
        let tls_mode = value_of(RunSettingName::TlsMode);
        let is_verified = tls_mode.as_deref() == Some(TlsMode::VerifyFull.name());
        Self {
            server,
            system_identifier,
            administrator: observed.administrator.name.clone(),
            admin_secret,
            aws_region: value_of(RunSettingName::AwsRegion),
            assume_role: value_of(RunSettingName::AssumeRole),
            secret_kms_key: value_of(RunSettingName::SecretKmsKey),
            secret_tags: values_of(RunSettingName::SecretTag).collect(),
            tls_mode,
            ca_certificates,
            connect_to: value_of(RunSettingName::ConnectTo).filter(|_| !is_verified),
            approval: desired.approval.as_ref().map(|one| one.value.clone()),
            audit_table: desired.audit_table.clone(),
            undeclared_access: Some(desired.undeclared_access)
                .filter(|one| *one != UndeclaredAccess::default()),
            verify_passwords: value_of(RunSettingName::VerifyPasswords),
            minimum_password_length: Some(desired.minimum_password_length)
                .filter(|length| *length > 0),
            configured_ledger: desired.configured_ledger.clone(),
            configured_csv: desired.configured_csv.clone(),
            secrets: desired.selected_roles().filter_map(secret_of).collect(),
            definitions: desired.definitions.clone(),
            only: desired.only.clone(),
            scope: desired.scope.clone(),
            additive: desired.additive,
            retirement: RetirementOptions::new(desired),
            torn_down_build: desired.torn_down_build.clone(),
        }
    }
}
