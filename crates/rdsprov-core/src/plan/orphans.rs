//! Reports orphans and undeclared databases. A plan does not change them, except plugin databases.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::database_marker;
use super::planner::Planner;
use super::recorded::Recorded;
use super::scopes::scope_of_database;
use super::words::listed;
use super::{NoteKind, Orphan, OrphanKind, UndeclaredDatabase};
use crate::desired::Desired;
use crate::marker::Marker;
use crate::name::{ApplicationName, RoleName};
use crate::observed::{Acl, Grantee, Observed};
use crate::privilege::{ObjectKind, Privilege, Privileges};
use crate::text::counted;

/// Returns the managed roles and databases that the definitions no longer declare; those of selected
/// applications, if the plan is restricted. Delegates are not orphans: no definitions declare them. A
/// teardown reads no definitions.
///
/// Those of other scopes are not orphans, and are counted. If no administrator says the scope of a
/// database, it is an orphan: its owner cannot hide it.
pub(super) fn orphans(
    desired: &Desired,
    observed: &Observed,
    recorded: &Recorded<'_>,
) -> (Vec<Orphan>, usize) {
    if desired.delegate().is_some() || desired.torn_down_build.is_some() {
        return (Vec::new(), 0);
    }
    let in_other_scopes = Cell::new(0);
    let administrators = ApplicationName::for_delegates();
    let of = |kind,
              name: &str,
              marker: Option<Marker>,
              scope: Option<Option<String>>,
              declared: bool,
              holds: &dyn Fn() -> Vec<String>| {
        let orphaned = |marker: &Marker| {
            let is_selected = desired.only.is_empty()
                || desired.only.iter().any(|one| one.as_str() == marker.application);
            !declared
                && is_selected
                && marker.environment == desired.environment
                && marker.application != administrators.as_str()
        };
        let marker = marker.filter(orphaned)?;
        if scope.is_some_and(|scope| scope != desired.scope) {
            in_other_scopes.update(|count| count + 1);
            return None;
        }
        Some(Orphan {
            kind,
            name: name.to_owned(),
            application: marker.application,
            holds: holds(),
        })
    };
    let roles = observed.roles.iter().filter_map(|(name, role)| {
        let declared = desired.roles.contains_key(name);
        let marker = role.claimed();
        let scope = marker.as_ref().map(|marker| marker.scope.clone());
        of(OrphanKind::Role, name.as_str(), marker, scope, declared, &|| {
            remaining_privileges(name, observed)
        })
    });
    let databases = observed.databases.iter().filter_map(|(name, database)| {
        let marker = database.marker().filter(|_| {
            database_marker::has_believed_marker(desired, observed, recorded, name, database)
        });
        let declared = desired.databases.contains_key(name);
        let connects = |role: &&RoleName| {
            **role != database.owner
                && database.acl.iter().any(|item| {
                    item.privilege == Privilege::Connect && item.grantee.role() == Some(*role)
                })
        };
        let holds = || {
            let connecting = desired.roles.keys().filter(connects);
            let connecting = connecting.map(|role| format!("role {role} can connect to it"));
            std::iter::once(format!("its owner is {}", database.owner)).chain(connecting).collect()
        };
        let scope = marker
            .as_ref()
            .and_then(|_| scope_of_database(desired, observed, recorded, name, database));
        of(OrphanKind::Database, name.as_str(), marker, scope, declared, &holds)
    });
    let mut orphans: Vec<Orphan> = roles.chain(databases).collect();
    orphans.sort_by(|one, other| one.application.cmp(&other.application));
    (orphans, in_other_scopes.get())
}

impl Planner<'_> {
    /// Notes each database that was to be read and is not declared, if it could not be read: what roles
    /// have in it is missing in the plan.
    pub(super) fn note_unreadable_databases(&mut self) {
        for (database, seen) in &self.observed.databases {
            let unreachable = seen.unreachable.as_ref();
            let unreachable = unreachable.map(|reason| format!("it could not be read: {reason}"));
            let too_large = || seen.too_large.as_ref().map(|excess| format!("it {excess}"));
            let reason = unreachable.or_else(too_large);
            if let Some(reason) = reason.filter(|_| !self.desired.databases.contains_key(database))
            {
                let database = database.clone();
                self.note(NoteKind::UndeclaredDatabaseUnreadable { database, reason });
            }
        }
    }
}

/// Returns what a role owns and which privileges it has, in the observed databases.
fn remaining_privileges(role: &RoleName, observed: &Observed) -> Vec<String> {
    let mut holds = Vec::new();
    if let Some(seen) = observed.roles.get(role) {
        let groups = seen.memberships.iter().map(|one| format!("membership in {}", one.role));
        holds.extend(groups);
    }
    for (name, database) in &observed.databases {
        if database.owner == *role {
            holds.push(format!("database {name}"));
        } else if let Some(privileges) = held(role, &database.acl) {
            holds.push(format!("{privileges} on database {name}"));
        }
        let Some(contents) = &database.contents else { continue };
        // Its schemas and relations are listed with their kinds.
        let mut listed_objects = 0;
        for (schema_name, schema) in &contents.schemas {
            if schema.owner == *role {
                listed_objects += 1;
                holds.push(format!("schema {schema_name} of database {name}"));
            } else if let Some(privileges) = held(role, &schema.acl) {
                holds.push(format!("{privileges} on schema {schema_name} of database {name}"));
            }
            // Relations with other ACLs are other groups.
            let mut relations: BTreeMap<(Option<String>, ObjectKind), u64> = BTreeMap::new();
            for group in &schema.relations {
                let privileges = held(role, &group.acl).filter(|_| group.owner != *role);
                listed_objects += if group.owner == *role { group.count } else { 0 };
                if group.owner == *role || privileges.is_some() {
                    *relations.entry((privileges, group.kind)).or_default() += group.count;
                }
            }
            for ((privileges, kind), count) in relations {
                let objects = counted(count, &kind.keyword().to_lowercase());
                let objects = format!("{objects} in schema {schema_name} of database {name}");
                holds.push(match privileges {
                    None => objects,
                    Some(privileges) => format!("{privileges} on {objects}"),
                });
            }
            for columns in &schema.columns {
                if let Some(privileges) = held(role, &columns.acl) {
                    let names = columns.names.join(", ");
                    let relation = &columns.relation;
                    holds.push(format!(
                        "{privileges} on columns {names} of table {schema_name}.{relation} of database {name}"
                    ));
                }
            }
        }
        for object in &contents.objects {
            if let Some(privileges) = held(role, &object.acl) {
                let kind = object.kind.keyword().to_lowercase();
                holds
                    .push(format!("{privileges} on {kind} {} of database {name}", object.identity));
            }
        }
        for owned in contents.owned.iter().filter(|owned| owned.role == *role) {
            let others = owned.count.saturating_sub(listed_objects);
            if others > 0 {
                let other = if listed_objects > 0 { "other object" } else { "object" };
                holds.push(format!("{} of its own in database {name}", counted(others, other)));
            }
        }
        let future = contents.default_privileges.iter().filter_map(|row| {
            let privileges = held(role, &row.acl)?;
            let kind = row.kind.keyword().to_lowercase();
            let schema = row.schema.as_ref();
            let place = schema.map_or_else(
                || format!("database {name}"),
                |schema| format!("schema {schema} of database {name}"),
            );
            Some(format!("{privileges} on future {kind}s of {} in {place}", row.role))
        });
        holds.extend(future);
    }
    holds
}

fn held(role: &RoleName, acl: &Acl) -> Option<String> {
    let privileges: Privileges = acl
        .iter()
        .filter(|item| item.grantee == Grantee::Role(role.clone()))
        .map(|item| item.privilege)
        .collect();
    (!privileges.is_empty()).then(|| listed(&privileges))
}

/// Returns the undeclared databases of declared roles. Their markers are ignored: the owner of a
/// database can write any comment.
pub fn undeclared_databases(desired: &Desired, observed: &Observed) -> Vec<UndeclaredDatabase> {
    let recorded = Recorded::new(desired, observed);
    let administrators = ApplicationName::for_delegates();
    observed
        .databases
        .iter()
        .filter(|(name, seen)| {
            !desired.databases.contains_key(*name) && seen.owner != observed.administrator.name
        })
        .filter_map(|(name, seen)| {
            let role = desired.roles.get(&seen.owner)?;
            if !desired.is_selected(&role.application) {
                return None;
            }
            // The administrator database is reported only: the administrator connects to it.
            let closed = *name != observed.admin_database
                && role.plugin_databases.iter().any(|pattern| pattern.matches(name));
            // A database with a marker that matches no pattern is reported as an orphan.
            let is_orphan = || {
                let marker = seen.marker();
                marker.is_some_and(|marker| marker.application != administrators.as_str())
                    && database_marker::has_believed_marker(
                        desired, observed, &recorded, name, seen,
                    )
            };
            (closed || !is_orphan()).then(|| UndeclaredDatabase {
                database: name.clone(),
                owner: seen.owner.clone(),
                application: role.application.clone(),
                closed,
            })
        })
        .collect()
}
