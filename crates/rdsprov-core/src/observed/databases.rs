//! The databases of the server, and what is known of each without its contents.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};

use super::acl::Acl;
use super::contents::Contents;
use crate::marker::{Marker, UNFINISHED};
use crate::name::{DatabaseName, RoleName};
use crate::setting::Parameter;

/// A database of the server, with its contents if they were observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// The OID of the database; `None` for a state that was written by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oid: Option<u32>,
    /// The owner of the database.
    pub owner: RoleName,
    /// Whether the database allows connections (`ALLOW_CONNECTIONS`).
    pub allow_connections: bool,
    /// The `CONNECTION LIMIT` of the database; -1 means no limit.
    #[serde(default = "no_limit")]
    pub connection_limit: i32,
    /// Whether each role with `CREATEDB` can copy the database (`IS_TEMPLATE`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_template: bool,
    /// Whether the database allows connections and the administrator has `CONNECT` on it.
    pub connectable: bool,
    /// The ACL of the database itself.
    pub acl: Acl,
    /// The comment of the database (`COMMENT ON DATABASE`), which can contain a marker. That of a database
    /// that is not declared is observed only if it has at most 4 kB.
    pub comment: Option<String>,
    /// Whether the database has a comment that is longer than 64 kB. It is not read, so that `comment`
    /// is `None`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub comment_too_long: bool,
    /// The settings of declared roles and their clones in the database, if it is declared (`ALTER ROLE … IN DATABASE … SET`).
    #[serde(default, deserialize_with = "settings")]
    pub settings: BTreeMap<RoleName, BTreeMap<Parameter, String>>,
    /// The declared roles whose settings in the database have more than 8 kB; `null` in JSON stands for the
    /// settings of the database itself (`ALTER DATABASE … SET`). These settings are not read.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub settings_too_long: BTreeSet<Option<RoleName>>,
    /// Whether transactions in the database are read-only by default: `ALTER DATABASE … SET
    /// default_transaction_read_only = on`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// The roles other than administrators that own objects in a database of the administrator that
    /// does not allow connections: its creation was interrupted, and the template contained them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub objects_of_others: BTreeSet<RoleName>,
    /// The error that prevented the observation of the contents, although `connectable` is true.
    #[serde(default)]
    pub unreachable: Option<String>,
    /// What the database contains too much of to be read: `contains too many schemas to be read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_large: Option<String>,
    /// The contents; `None` if the database is not relevant for the run or cannot be read.
    #[serde(default)]
    pub contents: Option<Contents>,
}

impl Database {
    /// Returns whether the creation of the database was interrupted: between `CREATE DATABASE` and
    /// the commit of the transaction that follows.
    #[must_use]
    pub fn is_unfinished(&self, administrator: &RoleName) -> bool {
        self.owner == *administrator
            && !self.allow_connections
            && self.connection_limit == UNFINISHED
    }

    /// Returns the marker in the comment of the database; `None` if it is not managed.
    #[must_use]
    pub fn marker(&self) -> Option<Marker> {
        Marker::find(self.comment.as_deref()?)
    }
}

/// The settings of a role in all databases (`ALTER ROLE … SET`), or of a database for all roles (`ALTER
/// DATABASE … SET`). Definitions cannot declare them, and no plan changes them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StoredSettings {
    /// The role; `None` for the settings of a database.
    pub role: Option<RoleName>,
    /// The database; `None` for the settings of a role.
    pub database: Option<DatabaseName>,
    /// Each setting as `name=value`; `None` if they have more than 8 kB.
    pub settings: Option<Vec<String>>,
}

impl StoredSettings {
    /// Returns the parameters, without their values; `None` if the settings have more than 8 kB.
    #[must_use]
    pub fn parameters(&self) -> Option<Vec<&str>> {
        let name = |setting: &str| setting.find('=').unwrap_or(setting.len());
        let settings = self.settings.as_ref()?.iter();
        Some(settings.map(|setting| &setting[..name(setting)]).collect())
    }
}

fn no_limit() -> i32 {
    -1
}

/// Reads settings as a map, or as the list of `name=value` that the catalog contains.
fn settings<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<RoleName, BTreeMap<Parameter, String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Settings {
        Map(BTreeMap<Parameter, String>),
        List(Vec<String>),
    }
    let by_role: BTreeMap<RoleName, Settings> = BTreeMap::deserialize(deserializer)?;
    let parsed = by_role.into_iter().map(|(role, settings)| {
        let settings = match settings {
            Settings::Map(map) => map,
            Settings::List(list) => list
                .iter()
                .filter_map(|setting| setting.split_once('='))
                .map(|(name, value)| (Parameter::from_catalog(name), value.to_owned()))
                .collect(),
        };
        (role, settings)
    });
    Ok(parsed.collect())
}

/// Why the contents of a database that the administrator can connect to are not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnreadableContents {
    /// It contains too much: `contains too many schemas to be read`.
    TooLarge(String),
    /// A catalog query failed with this error.
    Failed(String),
}

/// What prevents that a database is dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseUse {
    /// The roles with sessions in the database. Those of the administrator's own program are left out.
    pub sessions: BTreeSet<RoleName>,
    /// The subscriptions in the database, each with its owner.
    pub subscriptions: BTreeMap<String, RoleName>,
    /// The roles that own something in the database or have privileges there, or own the database or have
    /// privileges on it.
    pub dependents: BTreeSet<RoleName>,
}

/// A subscription of logical replication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The name of the subscription, unique in its database.
    pub name: String,
    /// The database that the subscription belongs to.
    pub database: DatabaseName,
    /// The owner of the subscription.
    pub owner: RoleName,
    /// Whether a role that is not a superuser may own the subscription (`password_required`).
    /// Before PostgreSQL 16, only superusers may.
    pub movable: bool,
}
