//! Compares whole servers before and after a run: declared objects are as declared,
//! all others are unchanged.

use std::collections::BTreeSet;

use rdsprov_core::marker::Marker;
use serde_json::{Map, Value};

use crate::declared::Declared;
use crate::initial_state::{ADMINISTRATOR, SUPERUSER};
use crate::oracle::Rules;
use crate::snapshot::{Contents, Database, Membership, Setting, Snapshot};

/// The inputs of the comparison.
pub struct Checker<'a> {
    pub declared: &'a Declared,
    pub before: &'a Snapshot,
    pub after: &'a Snapshot,
    /// The contents of a new database before any change.
    pub pristine: &'a Contents,
}

impl Checker<'_> {
    /// Returns all differences from the expected state.
    pub fn violations(&self) -> Vec<String> {
        let mut found = self.roles();
        found.extend(self.memberships());
        found.extend(self.databases());
        found.extend(self.settings());
        found
    }

    fn roles(&self) -> Vec<String> {
        let mut found = Vec::new();
        let (before, after) = (&self.before.cluster.roles, &self.after.cluster.roles);
        let names: BTreeSet<&str> = before
            .keys()
            .chain(after.keys())
            .map(String::as_str)
            .chain(self.declared.roles())
            .collect();
        for name in names {
            let (before, after) = (before.get(name), after.get(name));
            if !self.declared.is_managed(name) {
                if before != after {
                    found.push(format!("role {name} was {before:?} and is {after:?}"));
                }
                continue;
            }
            let Some(after) = after else {
                found.push(format!("role {name} does not exist"));
                continue;
            };
            for (attribute, entry_privileges) in self.attributes(name) {
                let is = after.get(attribute).unwrap_or(&Value::Null);
                let unlimited = attribute == "rolvaliduntil" && *is == "infinity";
                if *is != entry_privileges && !unlimited {
                    found.push(format!("role {name}: {attribute} is {is}, not {entry_privileges}"));
                }
            }
            found.extend(self.comment(
                &format!("role {name}"),
                comment(before),
                comment(Some(after)),
            ));
        }
        found
    }

    fn attributes(&self, role: &str) -> [(&'static str, Value); 9] {
        [
            ("rolsuper", false.into()),
            ("rolinherit", true.into()),
            ("rolcreaterole", false.into()),
            ("rolcreatedb", self.declared.createdb(role).into()),
            ("rolcanlogin", true.into()),
            ("rolreplication", false.into()),
            ("rolbypassrls", false.into()),
            ("rolconnlimit", self.declared.connection_limit(role).into()),
            ("rolvaliduntil", Value::Null),
        ]
    }

    /// The marker is added to the text that users wrote in the comment.
    fn comment(&self, what: &str, before: Option<&str>, after: Option<&str>) -> Vec<String> {
        let mark = after.and_then(Marker::find);
        let ours = mark.as_ref().is_some_and(|mark| {
            mark.environment == "dev"
                && self.declared.applications.iter().any(|app| app.key == mark.application)
        });
        let text = |comment: Option<&str>| comment.and_then(Marker::removed_from);
        let is_only_mark =
            after.is_some_and(|after| after.matches("[managed by rdsprov: ").count() == 1);
        // The application that the marker names may have left the definitions since. If another
        // application declares the role, the marker names this one instead.
        let unchanged = before.and_then(Marker::find).is_some() && before == after;
        if unchanged || (ours && is_only_mark && text(before) == text(after)) {
            Vec::new()
        } else {
            vec![format!("{what}: the comment was {before:?} and is {after:?}")]
        }
    }

    fn memberships(&self) -> Vec<String> {
        let (before, after) = (&self.before.cluster.memberships, &self.after.cluster.memberships);
        let mut found = Vec::new();
        for gone in before.difference(after).filter(|m| !self.declared.is_managed(&m.member)) {
            found.push(format!("gone: {gone:?}"));
        }
        for membership in after {
            let member = membership.member.as_str();
            let iam =
                self.declared.is_iam(member) && membership.role == "rds_iam" && !membership.admin;
            // Since PostgreSQL 16, the creator of a role has the ADMIN option on it and cannot give
            // it up.
            let of_creation = member == ADMINISTRATOR
                && membership.grantor == SUPERUSER
                && membership.admin
                && membership.set == Some(false)
                && membership.inherit == Some(false)
                && !self.before.cluster.roles.contains_key(&membership.role);
            let wrong = if self.declared.is_managed(member) {
                !iam
            } else {
                !before.contains(membership) && !of_creation
            };
            if wrong {
                found.push(format!("unexpected membership: {membership:?}"));
            }
        }
        for role in self.declared.roles().into_iter().filter(|role| self.declared.is_iam(role)) {
            if !after.iter().any(|m| m.member == role && m.role == "rds_iam") {
                found.push(format!("role {role} is not a member of rds_iam"));
            }
        }
        found
    }

    fn databases(&self) -> Vec<String> {
        let mut found = Vec::new();
        let (before, after) = (&self.before.cluster.databases, &self.after.cluster.databases);
        let declared = self.declared.databases();
        let names: BTreeSet<&str> = before
            .keys()
            .chain(after.keys())
            .map(String::as_str)
            .chain(declared.iter().copied())
            .collect();
        for name in names {
            let (was, is) = (before.get(name), after.get(name));
            if !declared.contains(name) {
                let was = was.map(|was| {
                    let mut was = was.clone();
                    if self.declared.closes(&was.owner, name) {
                        was.acl.retain(|item| item.0.is_some());
                    }
                    was
                });
                let was = was.as_ref();
                if was != is {
                    found.push(format!("database {name} was {was:?} and is {is:?}"));
                }
                if let (Some(was), Some(is)) =
                    (self.before.contents.get(name), self.after.contents.get(name))
                {
                    found.extend(was.differences(is, name));
                }
                continue;
            }
            match is {
                Some(is) => found.extend(self.declared_database(name, was, is)),
                None => found.push(format!("database {name} does not exist")),
            }
        }
        found
    }

    fn declared_database(&self, name: &str, was: Option<&Database>, is: &Database) -> Vec<String> {
        let mut found = Vec::new();
        let owner = self.after.owner(self.declared, name);
        let rules = Rules { declared: self.declared, database: name, owner };
        if is.owner != owner {
            found.push(format!("database {name} belongs to {}, not {owner}", is.owner));
        }
        if !is.allows_connections {
            found.push(format!("database {name} does not allow connections"));
        }
        match was {
            // An interrupted creation leaves a database that the administrator owns.
            Some(was) if was.allows_connections => {
                if was.owner != is.owner || was.rest != is.rest {
                    found.push(format!("database {name} was {was:?} and is {is:?}"));
                }
                found.extend(rules.violations(was, is));
            }
            _ => {
                // Grants to undeclared roles since then remain, with the new owner as grantor.
                let by_hand = |role: &str| {
                    !self.declared.is_managed(role)
                        && was.is_some_and(|was| {
                            was.acl.iter().any(|item| item.0.as_deref() == Some(role))
                        })
                };
                let mut fresh = is.clone();
                fresh.acl.retain(|item| {
                    item.0.as_deref().is_some_and(|role| role == owner || by_hand(role))
                });
                found.extend(rules.violations(&fresh, is));
            }
        }
        found.extend(self.comment(
            &format!("database {name}"),
            was.and_then(|was| was.comment.as_deref()),
            is.comment.as_deref(),
        ));
        let inside = self.before.contents.get(name).unwrap_or(self.pristine);
        match self.after.contents.get(name) {
            Some(after) => {
                let may_connect = |role: &str| self.may_connect(role, is);
                found.extend(rules.checker(inside, after, &may_connect));
            }
            None => found.push(format!("the contents of database {name} cannot be read")),
        }
        found
    }

    /// Returns whether a role can create objects in a database.
    fn may_connect(&self, role: &str, database: &Database) -> bool {
        let cluster = &self.after.cluster;
        let is = |role: &str, attribute: &str| {
            cluster.roles.get(role).is_some_and(|seen| seen[attribute] == true)
        };
        let connects = database.acl.iter().any(|item| {
            item.2 == "CONNECT" && item.0.as_deref().is_none_or(|grantee| grantee == role)
        });
        let inherits = |membership: &&Membership| {
            membership.member == role
                && membership.inherit.unwrap_or_else(|| is(role, "rolinherit"))
        };
        connects
            || is(role, "rolsuper")
            || cluster
                .memberships
                .iter()
                .filter(inherits)
                .any(|membership| self.may_connect(&membership.role, database))
    }

    fn settings(&self) -> Vec<String> {
        let databases = self.declared.databases();
        let is_ours = |setting: &&Setting| {
            setting.role.as_deref().is_some_and(|role| self.declared.is_managed(role))
                && setting.database.as_deref().is_some_and(|database| databases.contains(database))
        };
        let mut entry_privileges: BTreeSet<Setting> = BTreeSet::new();
        for app in &self.declared.applications {
            entry_privileges.extend(app.settings.iter().map(|(name, value)| Setting {
                role: Some(app.user.clone()),
                database: Some(app.database.clone()),
                setting: format!("{name}={value}"),
            }));
        }
        let before = self.before.cluster.settings.iter().filter(|setting| !is_ours(setting));
        let expected: BTreeSet<Setting> =
            entry_privileges.into_iter().chain(before.cloned()).collect();
        crate::snapshot::sets(&expected, &self.after.cluster.settings)
    }
}

fn comment(role: Option<&Map<String, Value>>) -> Option<&str> {
    role?.get("comment")?.as_str()
}
