//! What the markers of all roles and databases record, to be looked up by a name: each is parsed once.
//!
//! A server can have very many roles and databases, and any role with `CREATEDB` can write the comments
//! of its own databases.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::Desired;
use crate::marker::Marker;
use crate::name::{DatabaseName, RoleName};
use crate::observed::{Database, Observed};
use crate::secret_id::SecretId;

/// What the markers record. Only administrators can write those of roles, and the owner of a database
/// can write that of the database.
#[derive(Default)]
pub(crate) struct Recorded<'a> {
    /// The databases that markers of this environment name, with the roles and the scopes of these markers.
    databases: BTreeMap<String, Vec<(&'a RoleName, Option<String>)>>,
    /// The first role of this environment that has had another name, by this name.
    renamed: BTreeMap<String, &'a RoleName>,
    /// The databases whose markers of this environment say another name, by this name.
    renamed_databases: BTreeMap<String, Vec<(&'a DatabaseName, &'a Database)>>,
    /// The roles whose comments name a secret in a marker, by each name that the secret can have.
    by_secret: BTreeMap<String, Vec<RecordedSecret<'a>>>,
}

/// The secret of a role in its marker.
#[derive(Clone)]
pub(super) struct RecordedSecret<'a> {
    pub role: &'a RoleName,
    /// The application in the marker.
    pub application: String,
    /// The scope in the marker.
    pub scope: Option<String>,
    /// Whether the marker counts: only administrators can have written it.
    pub is_proven: bool,
    secret: SecretId,
}

impl<'a> Recorded<'a> {
    pub fn new(desired: &Desired, observed: &'a Observed) -> Self {
        let mut recorded = Self::default();
        for (name, seen) in &observed.databases {
            let marker = seen.marker().filter(|marker| desired.manages(Some(marker)));
            if let Some(marker) = marker.filter(|marker| marker.name != name.as_str()) {
                let renamed = recorded.renamed_databases.entry(marker.name).or_default();
                renamed.push((name, seen));
            }
        }
        for (role, seen) in &observed.roles {
            let Some(marker) = seen.claimed() else { continue };
            let is_proven = seen.marker().is_some();
            let is_managed = is_proven && desired.manages(Some(&marker));
            let expanded = marker.secret_of_build();
            let Marker { application, name, secret, databases, scope, .. } = marker;
            if is_managed {
                for database in databases {
                    recorded.databases.entry(database).or_default().push((role, scope.clone()));
                }
                if name != role.as_str() {
                    recorded.renamed.entry(name).or_insert(role);
                }
            }
            let Some(secret) = secret.map(SecretId) else { continue };
            for secret in BTreeSet::from_iter(expanded.into_iter().chain([secret])) {
                let (application, scope) = (application.clone(), scope.clone());
                let entry = RecordedSecret { role, application, scope, is_proven, secret };
                for name in entry.secret.possible_names() {
                    recorded.by_secret.entry(name.to_owned()).or_default().push(entry.clone());
                }
            }
        }
        recorded
    }

    /// Returns whether the marker of a role of this environment names a database. Roles that are not
    /// declared any more count as well.
    pub fn names_database(&self, database: &DatabaseName) -> bool {
        self.databases.contains_key(database.as_str())
    }

    /// Returns the scope of the roles whose markers name a database: that of the definitions, if one of the
    /// roles has it.
    pub(super) fn scope_of(
        &self,
        desired: &Desired,
        database: &DatabaseName,
    ) -> Option<Option<String>> {
        let mut scopes = self.databases.get(database.as_str())?.iter().map(|(_, scope)| scope);
        let of_definitions = scopes.clone().find(|scope| **scope == desired.scope);
        of_definitions.or_else(|| scopes.next()).cloned()
    }

    /// Returns the roles of this environment whose markers name a database.
    pub(super) fn roles_with_database(
        &self,
        database: &DatabaseName,
    ) -> impl Iterator<Item = &'a RoleName> {
        let roles = self.databases.get(database.as_str()).map_or(&[][..], Vec::as_slice);
        roles.iter().map(|(role, _)| *role)
    }

    /// Returns the role of this environment that had a name, according to its marker.
    pub(super) fn renamed_from(&self, name: &RoleName) -> Option<&'a RoleName> {
        self.renamed.get(name.as_str()).copied()
    }

    /// Returns the databases whose markers of this environment say that they had a name.
    pub(super) fn databases_renamed_from(
        &self,
        name: &DatabaseName,
    ) -> &[(&'a DatabaseName, &'a Database)] {
        self.renamed_databases.get(name.as_str()).map_or(&[], Vec::as_slice)
    }

    /// Returns the roles whose comments name a secret in a marker, by its name or its ARN.
    pub(super) fn roles_with_secret(
        &self,
        secret: &SecretId,
    ) -> impl Iterator<Item = &RecordedSecret<'a>> {
        let names = secret.possible_names();
        let found = names.filter_map(|name| self.by_secret.get(name)).flatten();
        found.filter(move |one| one.secret.is_same(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::test_states::{desired, marker, observed_with};

    #[test]
    fn secrets_are_found_by_name_and_arn() {
        let arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop";
        let recorded = [
            ("by_arn", format!("{arn}-AbCdEf")),
            ("by_name", "shop".to_owned()),
            ("by_short_arn", arn.to_owned()),
            ("other", "shop2".to_owned()),
        ];
        let roles: Vec<(&str, String)> = recorded
            .iter()
            .map(|(role, secret)| (*role, marker("a", role, &format!(" secret=\"{secret}\""))))
            .collect();
        let roles: Vec<(&str, &str)> =
            roles.iter().map(|(role, comment)| (*role, comment.as_str())).collect();
        let observed = observed_with(&roles, &[]);
        let recorded_secrets = Recorded::new(&desired(), &observed);
        for (one, secret) in &recorded {
            let secret = SecretId(secret.clone());
            let found: BTreeSet<&str> = recorded_secrets
                .roles_with_secret(&secret)
                .map(|found| found.role.as_str())
                .collect();
            let is_same = |(_, other): &&(&str, String)| secret.is_same(&SecretId(other.clone()));
            let expected: BTreeSet<&str> =
                recorded.iter().filter(is_same).map(|(role, _)| *role).collect();
            assert_eq!(found, expected, "{one}");
        }
    }
}
