//! The values that decide how a run reaches and protects its server and which approval it needs,
//! each with the place that sets it.
//!
//! A plan contains them for its readers. This module does not know how the places are combined:
//! `session` does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hint::Opt;
use crate::named_enum::{named_enum, names};
use crate::secret_id::SecretId;

named_enum! {
    /// What a [`RunSetting`] is. The names, in snake case, are in JSON.
    "snake_case" pub enum RunSettingName {
        /// The host of the server.
        Host,
        /// The TCP port of the server.
        Port,
        /// The address to which connections go instead of the host; not set without one.
        ConnectTo,
        /// The id of the administrator's secret.
        AdminSecret,
        /// The role of the administrator, if it uses IAM tokens.
        AdminUser,
        /// The AWS region of the secrets; not set if they are not in Secrets Manager.
        AwsRegion,
        /// The TLS mode.
        TlsMode,
        /// The CA file, or `system`; not set without one.
        CaFile,
        /// The approval policy of the environment.
        Approval,
    }
}

/// The place that sets a value.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::EnumDiscriminants,
)]
#[serde(tag = "source", content = "location", rename_all = "snake_case")]
#[strum_discriminants(
    name(SourceKind),
    doc = "The kind of a [`ValueSource`]. The names, in snake case, are in JSON.",
    derive(
        PartialOrd,
        Ord,
        Hash,
        Serialize,
        strum::Display,
        strum::EnumIter,
        strum::IntoStaticStr
    ),
    serde(rename_all = "snake_case"),
    strum(serialize_all = "snake_case"),
    non_exhaustive,
    allow(missing_docs, reason = "the variants with data have the documentation")
)]
#[non_exhaustive]
pub enum ValueSource {
    /// An option of the front end.
    Option(Opt),
    /// The environment variable with this name.
    Variable(String),
    /// The definitions.
    Definitions,
    /// The configuration file with this path.
    ConfigFile(String),
    /// The file of the site policy with this path.
    SitePolicy(String),
    /// The secret with this id.
    Secret(SecretId),
    /// The API of RDS, for the DB instance or cluster with this name.
    RdsApi(String),
    /// The AWS SDK: its own variables, the profile, or the metadata service.
    AwsSdk,
    /// No place sets it.
    Default,
}

names!(SourceKind);

/// A value with the place that sets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunSetting {
    /// What the value decides.
    pub name: RunSettingName,
    /// The value. It is never a password.
    pub value: String,
    /// The place that sets it.
    #[serde(flatten)]
    pub source: ValueSource,
}

impl RunSetting {
    /// Creates a setting.
    pub(crate) fn new(name: RunSettingName, value: impl Into<String>, source: ValueSource) -> Self {
        Self { name, value: value.into(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_flat() {
        let of = |source| RunSetting::new(RunSettingName::TlsMode, "require", source);
        for (setting, json) in [
            (
                of(ValueSource::Default),
                r#"{"name":"tls_mode","value":"require","source":"default"}"#,
            ),
            (
                of(ValueSource::Option(Opt::Tls)),
                r#"{"name":"tls_mode","value":"require","source":"option","location":"tls"}"#,
            ),
            (
                of(ValueSource::ConfigFile("a/rdsprov.toml".to_owned())),
                r#"{"name":"tls_mode","value":"require","source":"config_file","location":"a/rdsprov.toml"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&setting).unwrap(), json);
            assert_eq!(serde_json::from_str::<RunSetting>(json).unwrap(), setting);
        }
    }
}
