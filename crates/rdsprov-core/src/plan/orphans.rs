//! Finds and reports orphans and undeclared databases. A plan does not change them, except plugin databases.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::database_marker;
use super::groups::Detail;
use super::planner::Planner;
use super::recorded::Recorded;
use super::scopes::scope_of_database;
use super::words::listed;
use super::{NoteKind, Orphan, OrphanKind, Plan, UndeclaredDatabase};
use crate::desired::Desired;
use crate::hint;
use crate::hint::{Hint, Operation, Opt, Part, Wording};
use crate::marker::Marker;
use crate::name::{ApplicationName, RoleName, in_words};
use crate::observed::{Acl, Grantee, Observed};
use crate::privilege::{ObjectKind, Privilege, Privileges};
use crate::text::{counted, escaped, visible};

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
        let name = name.to_owned();
        Some(Orphan { kind, name, application: marker.application, holds: holds() })
    };
    let roles = observed.roles.iter().filter_map(|(name, role)| {
        let declared = desired.roles.contains_key(name);
        let marker = role.claimed();
        let scope = marker.as_ref().map(|marker| marker.scope.clone());
        let orphan = of(OrphanKind::Role, name.as_str(), marker, scope, declared, &|| {
            remaining_privileges(name, observed)
        })?;
        Some((role.marker().is_some(), orphan))
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
        let orphan = of(OrphanKind::Database, name.as_str(), marker, scope, declared, &holds)?;
        Some((true, orphan))
    });
    (proven_first(roles.chain(databases).collect()), in_other_scopes.get())
}

/// Sorts orphans by their applications. Those that another role than an administrator can have marked follow
/// the others: only the first are named, and such a role can mark any number, of any applications.
fn proven_first(mut orphans: Vec<(bool, Orphan)>) -> Vec<Orphan> {
    let proven: BTreeSet<String> = orphans
        .iter()
        .filter(|(is_proven, _)| *is_proven)
        .map(|(_, orphan)| orphan.application.clone())
        .collect();
    orphans.sort_by_cached_key(|(is_proven, orphan)| {
        let application = orphan.application.clone();
        (!proven.contains(&application), application, !is_proven)
    });
    orphans.into_iter().map(|(_, orphan)| orphan).collect()
}

/// The number of applications with orphans that are named without full detail, and of the orphans of each.
const MOST_ORPHANED: usize = 10;

/// Returns how many applications with orphans are not named.
fn others_with_orphans(count: usize) -> Option<String> {
    match count.saturating_sub(MOST_ORPHANED) {
        0 => None,
        1 => Some("and 1 other application".to_owned()),
        others => Some(format!("and {others} other applications")),
    }
}

impl Plan {
    /// Returns the orphans as lines of Markdown without full detail.
    pub(super) fn orphans_in_markdown(&self) -> Vec<String> {
        let applications = self.orphans_by_application();
        let named = applications.iter().take(MOST_ORPHANED).map(|(application, names)| {
            format!("application {}: {}", escaped(application), escaped(names))
        });
        named.chain(others_with_orphans(applications.len())).collect()
    }

    /// Returns the orphans of each application in words, by application.
    fn orphans_by_application(&self) -> Vec<(&str, String)> {
        let same = |one: &Orphan, next: &Orphan| one.application == next.application;
        let applications = self.orphaned.chunk_by(same).filter_map(|orphans| {
            let application = orphans.first()?.application.as_str();
            let names = orphans.iter().map(|one| format!("{} {}", one.kind, one.name));
            let mut names: Vec<String> = names.collect();
            let others = names.split_off(names.len().min(MOST_ORPHANED));
            let more = match others.len() {
                0 => String::new(),
                number => format!(" and {number} more"),
            };
            Some((application, names.join(", ") + &more))
        });
        applications.collect()
    }

    /// Returns how to end the access of orphans. An application that is declared again, such as one with another
    /// role, is not retired.
    pub(super) fn hint_about_orphans(&self) -> Option<Hint> {
        let declared: BTreeSet<&str> =
            self.applications.iter().map(|one| one.application.as_str()).collect();
        let same = |one: &Orphan, next: &Orphan| one.application == next.application;
        let orphaned = self.orphaned.chunk_by(same).filter_map(|orphans| orphans.first());
        let orphaned = orphaned.map(|orphan| orphan.application.as_str());
        // Not those of applications that the plan does not name without full detail, and not a text that is not
        // the key of an application: the command would do something else with it.
        let names = orphaned.filter(|application| {
            !declared.contains(application) && ApplicationName::new(*application).is_ok()
        });
        let names: Vec<String> = names.take(MOST_ORPHANED).map(ToString::to_string).collect();
        let pronoun = if names.len() == 1 { "its" } else { "their" };
        let in_scope = match &self.origin.scope {
            Some(_) => "",
            None => "if definitions of another team declare them, give yours a `scope`; ",
        };
        (!names.is_empty()).then(|| {
            hint![
                in_scope,
                format!("to end {pronoun} access, run "),
                Part::OperationOn(Operation::Retire, names),
                "; ",
                Opt::DropRole,
                " and ",
                Opt::DropDatabase,
                " also drop what is left"
            ]
        })
    }

    /// Writes the orphans and undeclared databases. Without full detail, an application with orphans has one line:
    /// the definitions of another team, in the same scope, can have many.
    pub(super) fn write_orphans_and_undeclared(
        &self,
        text: &mut String,
        wording: &dyn Wording,
        detail: Detail,
    ) {
        if !self.orphaned.is_empty() {
            let _ = writeln!(text, "\norphaned: managed, no longer declared, not changed");
        }
        let in_full = detail == Detail::Full;
        if !in_full {
            let applications = self.orphans_by_application();
            for (application, names) in applications.iter().take(MOST_ORPHANED) {
                let _ =
                    writeln!(text, "  application {}: {}", visible(application), visible(names));
            }
            if let Some(others) = others_with_orphans(applications.len()) {
                let _ = writeln!(text, "  {others}");
            }
        }
        for orphan in self.orphaned.iter().filter(|_| in_full) {
            let _ = writeln!(
                text,
                "  {} {}, of application {}",
                orphan.kind,
                visible(&orphan.name),
                visible(&orphan.application)
            );
            for held in &orphan.holds {
                let _ = writeln!(text, "    {}", visible(held));
            }
        }
        if let Some(hint) = self.hint_about_orphans() {
            let _ = writeln!(text, "  hint: {}", visible(&hint.worded(wording)));
        }
        if let Some(words) = self.other_scopes_in_words() {
            let _ = writeln!(text, "\n{words}");
        }
        if !self.undeclared_databases.is_empty() {
            let _ = writeln!(text, "\nundeclared: created by declared roles, not declared");
        }
        for undeclared in &self.undeclared_databases {
            let kept = if undeclared.closed { ", closed to PUBLIC" } else { "" };
            let _ = writeln!(
                text,
                "  database {} of role {}, of application {}{kept}",
                visible(undeclared.database.as_str()),
                visible(undeclared.owner.as_str()),
                visible(undeclared.application.as_str())
            );
        }
    }
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
            let schema_name = schema_name.in_words();
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
                    let names: Vec<_> = columns.names.iter().map(|one| in_words(one)).collect();
                    let (names, relation) = (names.join(", "), in_words(&columns.relation));
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
                |schema| format!("schema {} of database {name}", schema.in_words()),
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

#[cfg(test)]
mod tests {
    use super::super::SecretFindings;
    use super::super::test_states::{desired, marker, observed_with};
    use super::*;
    use crate::hint::Neutral;

    /// The definitions of another team with many applications cannot bury a plan.
    #[test]
    fn orphans_of_an_application_have_one_line() {
        let names: Vec<(String, String)> = (0..24)
            .map(|number| {
                let comment = format!(
                    "[managed by rdsprov: environment=dev application=app{number:02} build_id=1 name=\"app{number:02}_owner\"]"
                );
                (format!("app{number:02}_owner"), comment)
            })
            .collect();
        let roles: Vec<(&str, &str)> =
            names.iter().map(|(name, comment)| (name.as_str(), comment.as_str())).collect();
        let plan = Plan::new(&desired(), &observed_with(&roles, &[]), SecretFindings::default());
        let orphans = |detail| {
            let text = plan.to_text_with(&Neutral, detail);
            let (_, orphans) = text.split_once("\norphaned: ").unwrap();
            let (orphans, _) = orphans.split_once("\n\n").unwrap();
            orphans.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let brief = orphans(Detail::Brief);
        assert_eq!(brief[1], "  application app00: role app00_owner");
        assert_eq!(
            brief[10..12],
            ["  application app09: role app09_owner", "  and 14 other applications"]
        );
        assert!(brief[12].contains("give yours a `scope`") && brief.len() == 13, "{brief:?}");
        assert_eq!(
            orphans(Detail::Full)
                .iter()
                .filter(|line| line.contains("_owner, of application"))
                .count(),
            24
        );
    }

    /// Ten roles of which another role has made the markers, and one of an administrator.
    fn with_forged_markers(application: impl Fn(usize) -> String) -> Plan {
        let forged: Vec<(String, String)> = (0..10)
            .map(|number| {
                let name = format!("a{number}");
                let comment = marker(&application(number), &name, "");
                (name, comment)
            })
            .collect();
        let wiki = marker("wiki_old", "z_wiki", "");
        let mut roles: Vec<(&str, &str)> =
            forged.iter().map(|(name, comment)| (name.as_str(), comment.as_str())).collect();
        roles.push(("z_wiki", &wiki));
        let mut observed = observed_with(&roles, &[]);
        for (name, seen) in &mut observed.roles {
            if name.as_str() != "z_wiki" {
                seen.controllers = vec![RoleName::new_unchecked("mallory")];
            }
        }
        Plan::new(&desired(), &observed, SecretFindings::default())
    }

    /// A role that can only mark roles of its own hides no orphan behind them.
    #[test]
    fn orphans_that_administrators_have_marked_are_named_first() {
        let plan = with_forged_markers(|number| format!("app{number}"));
        let text = plan.to_text_with(&Neutral, Detail::Brief);
        assert!(text.contains("  application wiki_old: role z_wiki\n"), "{text}");
        assert!(text.contains("  and 1 other application\n"), "{text}");
        let lines = plan.orphans_in_markdown();
        assert_eq!(lines[0], "application wiki\\_old: role z\\_wiki");
        assert!(plan.hint_about_orphans().unwrap().to_string().contains("wiki_old, app0, "));
        // In the same application, too.
        let plan = with_forged_markers(|_| "wiki_old".to_owned());
        let text = plan.to_text_with(&Neutral, Detail::Brief);
        assert!(text.contains("  application wiki_old: role z_wiki, role a0, "), "{text}");
    }

    /// The command that a plan prints can be executed as it is printed.
    #[test]
    fn no_marker_adds_an_option_to_the_command() {
        let options = ["--drop-role", "--yes", "--confirm=jg", "-", "", "a'b", "a,b", "a`b"];
        let plan = with_forged_markers(|number| options[number % options.len()].to_owned());
        let hint = plan.hint_about_orphans().unwrap().to_string();
        assert!(hint.contains("`retire` for application wiki_old; "), "{hint}");
    }
}
