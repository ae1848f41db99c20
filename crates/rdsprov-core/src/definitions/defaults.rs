//! Values for the optional keys of an application.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Auth;
use crate::name::{DatabasePattern, ExtensionName, NameError, RoleName, SchemaName};
use crate::privilege::AccessLevel;
use crate::setting::{MAX_SETTINGS, Parameter, check_length};
use crate::valid_until::ValidUntil;

/// Values for the optional keys of an application; `None` means not set.
///
/// `[defaults]` of `rdsprov.toml` has this form, and so do the keys that an entry sets itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the keys of an application, see `Application`")]
#[non_exhaustive]
pub struct Defaults {
    #[serde(deserialize_with = "access_level")]
    #[schemars(schema_with = "access_levels")]
    pub access_level: Option<AccessLevel>,
    #[serde(deserialize_with = "names")]
    pub schemas: Option<Vec<SchemaName>>,
    #[serde(deserialize_with = "names")]
    pub extensions: Option<Vec<ExtensionName>>,
    pub auth: Option<Auth>,
    pub createdb: Option<bool>,
    /// Only an entry itself sets it: a default would give it to every role.
    #[serde(skip)]
    pub memberships: Option<Vec<RoleName>>,
    #[serde(deserialize_with = "connection_limit")]
    pub connection_limit: Option<i32>,
    pub valid_until: Option<ValidUntil>,
    #[serde(deserialize_with = "settings")]
    pub settings: Option<BTreeMap<Parameter, String>>,
    #[serde(deserialize_with = "names")]
    pub creators: Option<Vec<RoleName>>,
    #[serde(deserialize_with = "names")]
    pub plugin_databases: Option<Vec<DatabasePattern>>,
    pub adopt: Option<bool>,
}

impl Defaults {
    /// Takes each key that is not set from `other`. Lists and maps are not merged.
    ///
    /// ```
    /// use rdsprov_core::definitions::Defaults;
    ///
    /// let mut entry = Defaults::default();
    /// entry.createdb = Some(true);
    /// let mut site = Defaults::default();
    /// (site.createdb, site.adopt) = (Some(false), Some(true));
    /// let merged = entry.or(&site);
    /// assert_eq!((merged.createdb, merged.adopt), (Some(true), Some(true)));
    /// ```
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            access_level: self.access_level.or(other.access_level),
            schemas: self.schemas.or_else(|| other.schemas.clone()),
            extensions: self.extensions.or_else(|| other.extensions.clone()),
            auth: self.auth.or(other.auth),
            createdb: self.createdb.or(other.createdb),
            memberships: self.memberships,
            connection_limit: self.connection_limit.or(other.connection_limit),
            valid_until: self.valid_until.or(other.valid_until),
            settings: self.settings.or_else(|| other.settings.clone()),
            creators: self.creators.or_else(|| other.creators.clone()),
            plugin_databases: self.plugin_databases.or_else(|| other.plugin_databases.clone()),
            adopt: self.adopt.or(other.adopt),
        }
    }

    /// Returns the keys that are set, with their values in words.
    #[cfg(feature = "postgres")]
    pub(crate) fn in_words(&self) -> Vec<(&'static str, String)> {
        let Self { access_level, auth, createdb, connection_limit, valid_until, adopt, .. } = self;
        let settings: Option<Vec<_>> = self.settings.as_ref().map(|all| all.iter().collect());
        let all = [
            ("access_level", access_level.map(|one| one.to_string())),
            ("schemas", joined(self.schemas.as_deref(), ToString::to_string)),
            ("extensions", joined(self.extensions.as_deref(), ToString::to_string)),
            ("auth", auth.map(|one| one.to_string())),
            ("createdb", createdb.map(|one| one.to_string())),
            ("connection_limit", connection_limit.map(|one| one.to_string())),
            ("valid_until", valid_until.as_ref().map(ToString::to_string)),
            ("settings", joined(settings.as_deref(), |(name, value)| format!("{name} = {value}"))),
            ("creators", joined(self.creators.as_deref(), ToString::to_string)),
            ("plugin_databases", joined(self.plugin_databases.as_deref(), ToString::to_string)),
            ("adopt", adopt.map(|one| one.to_string())),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

/// Joins the items of a list that is set.
#[cfg(feature = "postgres")]
fn joined<T>(items: Option<&[T]>, word: impl Fn(&T) -> String) -> Option<String> {
    items.map(|items| items.iter().map(word).collect::<Vec<_>>().join(", "))
}

/// Reads a list of names, with the same validation as in definitions files.
fn names<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<String, Error = NameError>,
{
    let texts = Vec::<String>::deserialize(deserializer)?;
    let names: Result<_, _> = texts.into_iter().map(T::try_from).collect();
    names.map(Some).map_err(serde::de::Error::custom)
}

/// Reads an access level. `none` would end the access of each application that does not set the key.
fn access_level<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<AccessLevel>, D::Error> {
    match AccessLevel::deserialize(deserializer)? {
        AccessLevel::None => Err(serde::de::Error::custom(
            "`access_level = \"none\"` cannot be a default: set it in each entry that it retires",
        )),
        level => Ok(Some(level)),
    }
}

/// Returns the schema of an access level that can be a default.
fn access_levels(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = AccessLevel::json_schema(generator);
    if let Some(levels) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        levels.retain(|one| one["const"] != "none");
    }
    schema
}

fn connection_limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    let limit = i32::deserialize(deserializer)?;
    if limit < -1 {
        return Err(serde::de::Error::custom("a connection limit is -1 (none) or more"));
    }
    Ok(Some(limit))
}

fn settings<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<Parameter, String>>, D::Error> {
    let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
    let mut settings = BTreeMap::new();
    for (name, value) in texts {
        let parameter = Parameter::new(&name).map_err(serde::de::Error::custom)?;
        // PostgreSQL does not distinguish upper and lower case in the names of parameters.
        if settings.insert(parameter, value).is_some() {
            return Err(serde::de::Error::custom(format!("`{name}` is given twice")));
        }
    }
    check_length(&settings).map_err(|bytes| {
        let message = format!("`settings` has {bytes} bytes; the maximum is {MAX_SETTINGS}");
        serde::de::Error::custom(message)
    })?;
    Ok(Some(settings))
}
