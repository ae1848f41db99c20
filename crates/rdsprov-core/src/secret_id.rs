//! The ids of secrets, the templates that produce them, and the version stages.
//!
//! This module does not know the content of a secret.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use strum::IntoEnumIterator as _;

use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt};

/// How many days Secrets Manager keeps a secret whose deletion is scheduled: 7 to 30. Until then, it can be
/// restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u8")]
pub struct RecoveryWindow(#[schemars(range(min = 7, max = 30))] u8);

impl RecoveryWindow {
    /// Returns a recovery window; `None` if Secrets Manager does not allow this number of days.
    ///
    /// ```
    /// use rdsprov_core::secret_id::RecoveryWindow;
    /// assert_eq!(RecoveryWindow::new(7).unwrap().days(), 7);
    /// assert_eq!(RecoveryWindow::default().days(), 30);
    /// assert!(RecoveryWindow::new(6).is_none() && RecoveryWindow::new(31).is_none());
    /// ```
    #[must_use]
    pub fn new(days: u8) -> Option<Self> {
        (7..=30).contains(&days).then_some(Self(days))
    }

    /// Returns the number of days.
    #[must_use]
    pub fn days(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for RecoveryWindow {
    type Error = &'static str;

    fn try_from(days: u8) -> Result<Self, Self::Error> {
        Self::new(days).ok_or("a recovery window has 7 to 30 days")
    }
}

impl Default for RecoveryWindow {
    fn default() -> Self {
        Self(30)
    }
}

/// The id of a secret: its name or ARN in Secrets Manager, or a relative path in a directory.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct SecretId(pub String);

impl SecretId {
    /// Returns whether RDS manages the secret: its name begins with `rds!`. Such a secret contains
    /// only `username` and `password`, and no user can change it.
    ///
    /// ```
    /// use rdsprov_core::secret_id::SecretId;
    /// let of_rds = |id: &str| SecretId(id.to_owned()).is_managed_by_rds();
    /// assert!(of_rds("rds!cluster-1a2b"));
    /// assert!(of_rds("arn:aws:secretsmanager:eu-west-2:111122223333:secret:rds!db-1a2b-AbCdEf"));
    /// assert!(!of_rds("goldenpath/dev/rds/master"));
    /// ```
    #[must_use]
    pub fn is_managed_by_rds(&self) -> bool {
        self.in_arn().map_or(self.0.as_str(), |(_, name)| name).starts_with("rds!")
    }

    /// Returns whether two ids name one secret: its name, or its ARN with or without the six characters
    /// that Secrets Manager appends to the name.
    ///
    /// ```
    /// use rdsprov_core::secret_id::SecretId;
    /// let id = |id: &str| SecretId(id.to_owned());
    /// let arn = id("arn:aws:secretsmanager:eu-west-2:111122223333:secret:shop-AbCdEf");
    /// let partial = id("arn:aws:secretsmanager:eu-west-2:111122223333:secret:shop");
    /// assert!(arn.is_same(&id("shop")) && id("shop").is_same(&arn));
    /// assert!(partial.is_same(&id("shop")) && partial.is_same(&arn));
    /// assert!(!arn.is_same(&id("shop-Ab")) && !id("shop").is_same(&id("shop-AbCdEf")));
    /// assert!(!arn.is_same(&id("arn:aws:secretsmanager:eu-west-2:999922223333:secret:shop")));
    /// ```
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let names = |arn: &str, name: &str| {
            let suffix = arn.strip_prefix(name);
            suffix.is_some_and(|suffix| {
                suffix.is_empty() || suffix.len() == 7 && suffix.starts_with('-')
            })
        };
        match (self.in_arn(), other.in_arn()) {
            (None, None) => self == other,
            (Some((_, arn)), None) => names(arn, &other.0),
            (None, Some((_, arn))) => names(arn, &self.0),
            (Some((account, one)), Some((other_account, two))) => {
                account == other_account && (names(one, two) || names(two, one))
            }
        }
    }

    /// Returns the names of secrets that the id can stand for: two ids that are the same have one of them in
    /// common.
    pub(crate) fn possible_names(&self) -> impl Iterator<Item = &str> {
        let name = self.in_arn().map_or(self.0.as_str(), |(_, name)| name);
        let is_arn = self.in_arn().is_some();
        let without_suffix = name.len().checked_sub(7).and_then(|end| name.split_at_checked(end));
        let without_suffix = without_suffix.filter(|(_, end)| is_arn && end.starts_with('-'));
        std::iter::once(name).chain(without_suffix.map(|(name, _)| name))
    }

    /// Returns whether two ids are of one account and one region. A name is of those of the caller.
    #[cfg(any(test, feature = "aws"))]
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        let account = |id: &Self| id.in_arn().map(|(account, _)| account.to_owned());
        account(self).is_none_or(|of_self| account(other) == Some(of_self))
    }

    /// Returns the parts of an ARN: those up to the account, and the name after `secret:`.
    fn in_arn(&self) -> Option<(&str, &str)> {
        let (account, name) = self.0.strip_prefix("arn:")?.split_once(":secret:")?;
        Some((account, name))
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The version stage in Secrets Manager that selects a version of a secret.
///
/// ```
/// use rdsprov_core::secret_id::Stage;
/// assert_eq!("AWSPENDING".parse(), Ok(Stage::Pending));
/// assert_eq!(Stage::default().to_string(), "AWSCURRENT");
/// ```
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::Display,
    strum::EnumIter,
)]
#[non_exhaustive]
pub enum Stage {
    /// `AWSCURRENT`: the version with the password that applications use.
    #[default]
    #[strum(to_string = "AWSCURRENT")]
    Current,
    /// `AWSPENDING`: the version with the password that a rotation is about to set. If a secret has
    /// no such version, its current version is read.
    #[strum(to_string = "AWSPENDING")]
    Pending,
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl std::str::FromStr for Stage {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::iter().find(|stage| stage.to_string() == text).ok_or(())
    }
}

/// The secret templates: patterns for the ids of secrets that the definitions do not name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Templates {
    /// The template for the administrator, with the placeholders `{environment}` and `{build_id}`.
    pub admin: String,
    /// The template for applications, which may also contain
    /// `{application}`, `{database}` and `{username}`.
    pub application: String,
}

impl Default for Templates {
    fn default() -> Self {
        Self {
            admin: "goldenpath/{environment}/rds/master".to_owned(),
            application: "goldenpath/{environment}/{application}/postgres".to_owned(),
        }
    }
}

/// A secret template contains a placeholder that is unknown or has no value in this run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the secret template `{template}` contains the unknown placeholder `{{{placeholder}}}`")]
pub struct TemplateError {
    /// The text of the template.
    pub template: String,
    /// The name of the placeholder.
    pub placeholder: String,
}

impl TemplateError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        ErrorCode::UnknownPlaceholder
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        if self.placeholder == "build_id" {
            return vec![hint!["name the build with ", Opt::BuildId]];
        }
        vec![
            "use `{environment}` and `{build_id}`, and for applications also `{application}`, \
             `{database}` and `{username}`"
                .into(),
        ]
    }
}

impl Templates {
    /// Returns the id of the secret of an application.
    ///
    /// # Errors
    /// Returns an error if the template contains an unknown placeholder, or `{build_id}`
    /// without a build id.
    ///
    /// ```
    /// use rdsprov_core::secret_id::Templates;
    /// let id = Templates::default().application_secret("dev", "keycloak", "kc", "kc_user", None);
    /// assert_eq!(id.unwrap().0, "goldenpath/dev/keycloak/postgres");
    /// ```
    pub fn application_secret(
        &self,
        environment: &str,
        application: &str,
        database: &str,
        username: &str,
        build_id: Option<&str>,
    ) -> Result<SecretId, TemplateError> {
        expand(&self.application, |placeholder| match placeholder {
            "environment" => Some(environment),
            "application" => Some(application),
            "database" => Some(database),
            "username" => Some(username),
            "build_id" => build_id,
            _ => None,
        })
    }

    /// Returns the id of the secret of the administrator.
    ///
    /// # Errors
    /// Returns an error if the template contains an unknown placeholder, or `{build_id}`
    /// without a build id.
    ///
    /// ```
    /// use rdsprov_core::secret_id::Templates;
    /// let id = Templates::default().admin_secret("dev", None);
    /// assert_eq!(id.unwrap().0, "goldenpath/dev/rds/master");
    /// ```
    pub fn admin_secret(
        &self,
        environment: &str,
        build_id: Option<&str>,
    ) -> Result<SecretId, TemplateError> {
        expand(&self.admin, |placeholder| match placeholder {
            "environment" => Some(environment),
            "build_id" => build_id,
            _ => None,
        })
    }
}

/// Replaces the placeholders of a template; one without a value is an error.
fn expand<'v>(
    template: &str,
    value: impl Fn(&str) -> Option<&'v str>,
) -> Result<SecretId, TemplateError> {
    let mut id = String::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once('{') {
        id.push_str(text);
        let (placeholder, after) = after.split_once('}').unwrap_or((after, ""));
        id.push_str(value(placeholder).ok_or_else(|| TemplateError {
            template: template.to_owned(),
            placeholder: placeholder.to_owned(),
        })?);
        rest = after;
    }
    id.push_str(rest);
    Ok(SecretId(id))
}
