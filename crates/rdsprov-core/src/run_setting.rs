//! The values that decide how a run reaches and protects its server and which approval it needs,
//! each with the place that sets it.
//!
//! A plan contains them for its readers. This module does not know how the places are combined:
//! `session` does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hint::{Opt, Wording};
use crate::named_enum::{named_enum, names};
use crate::secret_id::SecretId;
use crate::text::{pretty_json, table, visible};

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
        /// The ARN of the IAM role whose credentials the run uses, and so the AWS account of the secrets; not
        /// set without one.
        AssumeRole,
        /// The KMS key of a secret that the run creates; not set without one.
        SecretKmsKey,
        /// A tag of a secret that the run creates, as `key=value`: one setting for each tag.
        SecretTag,
        /// The TLS mode.
        TlsMode,
        /// The CA file, or `system`; not set without one.
        CaFile,
        /// How passwords are verified; not set if they are verified by logins.
        VerifyPasswords,
        /// The audit table; not set without one.
        AuditTable,
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

impl ValueSource {
    /// Returns the place in a few words, with the spelling of a front end.
    #[must_use]
    pub fn in_words(&self, wording: &dyn Wording) -> String {
        match self {
            Self::Option(option) => wording.option_name(*option),
            Self::Variable(name) => name.clone(),
            Self::Definitions => "definitions".to_owned(),
            Self::ConfigFile(path) => path.clone(),
            Self::SitePolicy(path) => format!("site policy {path}"),
            Self::Secret(id) => format!("secret {id}"),
            Self::RdsApi(owner) => owner.clone(),
            Self::AwsSdk => "AWS configuration".to_owned(),
            Self::Default => "default".to_owned(),
        }
    }
}

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

/// The value of `format_version` in the JSON form; it increases with each incompatible change.
pub const FORMAT_VERSION: u32 = 1;

/// What a [`SettingInForce`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
#[non_exhaustive]
pub enum SettingName {
    /// An option, such as `region`.
    Option(Opt),
    /// A key of `rdsprov.toml` without an option, such as `secrets.application`, `site policy`, or the variable of
    /// the approval.
    Key(String),
}

impl SettingName {
    fn in_words(&self, wording: &dyn Wording) -> String {
        match self {
            Self::Option(option) => wording.option_name(*option),
            Self::Key(key) => visible(key),
        }
    }
}

/// A setting of a run with its value and the place that sets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct SettingInForce {
    /// What is set: the name of an option, or a key of `rdsprov.toml`.
    pub name: SettingName,
    /// The value; `null` if it is not set, or if only the source knows it. It is never a password.
    pub value: Option<String>,
    /// The place that sets it.
    #[serde(flatten)]
    pub source: ValueSource,
}

/// The settings of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct SettingsInForce {
    /// The version of the JSON form, [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The settings, in the order of the help.
    pub settings: Vec<SettingInForce>,
}

impl SettingsInForce {
    /// Creates the document.
    #[cfg(feature = "postgres")]
    pub(crate) fn new(settings: Vec<SettingInForce>) -> Self {
        Self { format_version: FORMAT_VERSION, settings }
    }

    /// Adds a setting that belongs to the front end, such as the format of its output.
    pub fn add(&mut self, name: SettingName, value: Option<String>, source: ValueSource) {
        self.settings.push(SettingInForce { name, value, source });
    }

    /// Returns the settings as a table: name, value and source, with the spelling of a front end.
    #[must_use]
    pub fn to_text(&self, wording: &dyn Wording) -> String {
        let rows: Vec<[String; 3]> = self
            .settings
            .iter()
            .map(|one| {
                let value = one.value.as_deref().map_or_else(|| "-".to_owned(), visible);
                [one.name.in_words(wording), value, visible(&one.source.in_words(wording))]
            })
            .collect();
        table(&rows)
    }

    /// Returns the settings as indented JSON, whose schema is
    /// [`Document::Config`](crate::schema::Document::Config).
    ///
    /// # Errors
    /// Never returns an error in practice, because the settings are plain data.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        pretty_json(self)
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
