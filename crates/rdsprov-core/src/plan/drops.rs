//! Plans `DROP DATABASE` and `DROP ROLE` for what retired roles leave behind, and for a teardown.
//!
//! Only its owner can drop a database, and not in a transaction. So a transaction makes the administrator
//! the owner and prevents new sessions, and the database is dropped after its commit. An interrupted run
//! leaves a database that only the administrator can enter; the next run drops it.

use std::collections::BTreeSet;

use super::authority::AdministratorAttribute;
use super::home::is_home;
use super::planner::Planner;
use super::scopes::scope_of_database;
use super::{
    Action, Hazard, MembershipOption, NoteKind, RefusalKind, Scope, Step, Transaction, sql, words,
};
use crate::desired::{self, Access, Backup};
use crate::name::{DatabaseName, RoleName};
use crate::observed::{self, DependencyClass, DependencyKind, RoleDependency};
use crate::predefined_role::is_of_server;
use crate::privilege::AccessLevel;
use crate::rotation_clone::RotationClone;
use crate::text::counted;

impl Planner<'_> {
    /// Returns the databases to drop: those of the selected applications that a retired role owns, or to
    /// which no entry gives access, and those that an interrupted run has prepared. A teardown drops those
    /// that its build created.
    pub(super) fn dropped_databases(&self) -> BTreeSet<DatabaseName> {
        let is_dropped = |name: &DatabaseName, entry: &desired::Database| {
            let seen = self.observed.databases.get(name)?;
            let owner = self.desired.roles.get(&seen.owner);
            // Its owner cannot keep the database with another comment.
            if self.desired.torn_down_build.is_none()
                && self.leaves_with_owner(seen)
                && let Some(owner) = owner.filter(|_| self.desired.selects_role(&seen.owner))
            {
                let is_left = self.is_of_scope(name, seen, owner.application.as_str());
                return is_left.then(|| name.clone());
            }
            let marker = self.believed_marker(name, entry, seen)?;
            let owner_leaves = owner.is_some_and(desired::Role::is_retired)
                && self.desired.selects_role(&seen.owner)
                || self.is_prepared(seen);
            let is_left = match &self.desired.torn_down_build {
                Some(build) => {
                    let is_of_environment = marker.environment == self.desired.environment;
                    is_of_environment && marker.is_created_by(build) && owner_leaves
                }
                None => {
                    let mut selected = self.desired.only.iter();
                    self.desired.manages(Some(&marker))
                        && selected.any(|one| one.as_str() == marker.application)
                        && (owner_leaves || entry.is_retired())
                }
            };
            (is_left && self.is_of_scope(name, seen, &marker.application)).then(|| name.clone())
        };
        let databases = self.desired.databases.iter();
        let databases = databases.filter(|_| self.desired.drops_databases.is_some());
        databases.filter_map(|(name, entry)| is_dropped(name, entry)).collect()
    }

    /// Returns whether a database belongs to the scope of the definitions, so that these may drop it. One
    /// without a scope also does, if they declare its application.
    fn is_of_scope(
        &self,
        name: &DatabaseName,
        seen: &observed::Database,
        application: &str,
    ) -> bool {
        let (desired, recorded) = (self.desired, self.recorded());
        let is_declared = || desired.applications.iter().any(|one| one.as_str() == application);
        scope_of_database(desired, self.observed, recorded, name, seen)
            .is_none_or(|scope| scope == desired.scope || scope.is_none() && is_declared())
    }

    /// Returns whether only the administrator can enter a database, as before it is dropped.
    fn is_prepared(&self, seen: &observed::Database) -> bool {
        let administrator = &self.observed.administrator.name;
        seen.owner == *administrator
            && !seen.allow_connections
            && !seen.is_unfinished(administrator)
    }

    /// Plans the drops of these databases, and those of the retired roles.
    pub(super) fn drops(&mut self, dropped: &BTreeSet<DatabaseName>) -> Vec<Transaction> {
        let mut transactions = Vec::new();
        for name in dropped {
            transactions.extend(self.drop_database(name));
        }
        let desired = self.desired;
        let mut steps = Vec::new();
        for (name, role) in desired.selected_roles() {
            let Some(seen) = self.observed.roles.get(name) else { continue };
            let is_managed = desired.manages(seen.marker().as_ref())
                && self.other_application_of_retired(name, role, seen).is_none();
            if desired.drops_roles && role.is_retired() && is_managed {
                for one in self.clone_of_retired(name).iter().chain([name]) {
                    steps.extend(self.drop_role(one, role, dropped));
                }
            }
        }
        transactions.extend(self.transaction(Scope::Cluster, steps));
        transactions
    }

    fn drop_database(&mut self, name: &DatabaseName) -> Vec<Transaction> {
        let desired = self.desired;
        let observed = self.observed;
        let (Some(entry), Some(seen)) = (desired.databases.get(name), observed.databases.get(name))
        else {
            return Vec::new();
        };
        let of_owner = Some(&entry.application).filter(|one| desired.is_selected(one));
        let application =
            of_owner.or_else(|| desired.selected_entry(entry)).unwrap_or(&entry.application);
        let mut access = entry.access.values();
        let user = access.find(|one| one.level != AccessLevel::None);
        let reason = match user {
            Some(Access { application, level, .. }) => {
                Some(format!("application {application} uses it as {level}"))
            }
            None => self.use_of_database(name),
        };
        if let Some(reason) = reason {
            let (database, entry) = (name.clone(), user.map(|one| one.application.clone()));
            self.refuse(application, RefusalKind::DatabaseNotDroppable { database, reason, entry });
            return Vec::new();
        }
        let administrator = &observed.administrator.name;
        let hazard = [Hazard::DropsDatabase];
        let mut steps = Vec::new();
        if !self.is_prepared(seen) || seen.is_template {
            if self.act_as(&seen.owner).is_none() {
                self.refuse_inaccessible_owner(name, application, &seen.owner);
                return Vec::new();
            }
            if !self.require(AdministratorAttribute::CreateDatabase, application) {
                return Vec::new();
            }
            let summary = format!("database {name}: owner {administrator}, no new sessions");
            let mut statements =
                vec![sql::change_owner(name, administrator), sql::disallow_connections(name)];
            if seen.is_template {
                statements.push(sql::end_template(name));
            }
            let prepared = Step::new(Action::AlterDatabase, application, summary, statements);
            let owner = (seen.owner.clone(), MembershipOption::Inherit);
            steps.push(prepared.in_database(name).with_memberships([owner]).with_hazards(hazard));
        }
        let backup = match &desired.drops_databases {
            Some(Backup::File(path)) => format!("; the user has a dump of it in {path}"),
            Some(Backup::NotNamed) => "; no dump of it is named yet".to_owned(),
            Some(Backup::Nothing) | None => "; without a dump".to_owned(),
        };
        let summary = format!("database {name} with all its data{backup}");
        let step = Step::new(Action::DropDatabase, application, summary, []);
        let step = step.in_database(name).with_hazards(hazard);
        let scope = Scope::DroppedDatabase(name.clone());
        let dropped = self.transaction(scope, vec![step]).map(|mut transaction| {
            transaction.before = Some(sql::drop_database(name));
            transaction
        });
        self.transaction(Scope::Cluster, steps).into_iter().chain(dropped).collect()
    }

    /// Returns what on the server prevents that a database is dropped, as a sentence.
    fn use_of_database(&self, name: &DatabaseName) -> Option<String> {
        if let Some(other) = self.other_user(name) {
            return Some(other);
        }
        // PostgreSQL drops no database with a subscription or a prepared transaction. Their owners are roles
        // of any application.
        let used = self.observed.database_use.get(name);
        if let Some((one, owner)) = used.and_then(|used| used.subscriptions.first_key_value()) {
            return Some(format!("subscription {one} of role {owner} is in it"));
        }
        if let Some(owners) = self.observed.prepared_transactions.get(name) {
            return Some(format!("prepared transactions of {} are in it", words::some_of(owners)));
        }
        let is_ended = |role: &RoleName| {
            let of = RotationClone::role_for(role);
            let mut names = std::iter::once(role).chain(&of);
            self.desired.ends_sessions
                && names.any(|name| {
                    self.desired.selects_role(name)
                        && self.desired.roles.get(name).is_some_and(desired::Role::is_retired)
                })
        };
        let sessions = used.into_iter().flat_map(|used| &used.sessions);
        let others: BTreeSet<RoleName> = sessions.filter(|role| !is_ended(role)).cloned().collect();
        (!others.is_empty()).then(|| format!("sessions of {} use it", words::some_of(&others)))
    }

    /// Returns which role of others uses a database: it owns something in it, or has privileges there.
    ///
    /// The definitions of other scopes are not read, and a teardown reads none, so that only this shows that the
    /// database is used. A teardown drops what nobody but the build uses. A retirement names the database,
    /// and a person confirms it: there, only the managed roles of other scopes count.
    fn other_user(&self, name: &DatabaseName) -> Option<String> {
        let used = self.observed.database_use.get(name)?;
        used.dependents.iter().find_map(|role| {
            let seen = self.observed.roles.get(role)?;
            let which = if self.desired.torn_down_build.is_some() {
                Some("which the build did not create".to_owned())
            } else {
                self.other_scope(seen)
            };
            let which = which.filter(|_| !self.belongs_to_run(role, seen))?;
            Some(format!("role {role}, {which}, owns something in it or has privileges there"))
        })
    }

    /// Returns which other scope the comment of a role names.
    fn other_scope(&self, seen: &observed::Role) -> Option<String> {
        let marker = seen.claimed().filter(|marker| marker.scope != self.desired.scope)?;
        Some(match marker.scope {
            Some(scope) => format!("which belongs to scope {scope}"),
            None => "which belongs to no scope".to_owned(),
        })
    }

    /// Returns whether a role is an administrator or one of the server, or belongs to what the run retires.
    fn belongs_to_run(&self, role: &RoleName, seen: &observed::Role) -> bool {
        let is_clone = || {
            RotationClone::role_for(role).is_some_and(|of| {
                is_home(self.desired, self.observed, &of)
                    && self.is_member_as_clone((role, seen), &of)
            })
        };
        *role == self.observed.administrator.name
            || seen.superuser
            || is_of_server(role, seen.login)
            || self.is_delegate(seen)
            || is_home(self.desired, self.observed, role)
            || is_clone()
    }

    fn drop_role(
        &mut self,
        name: &RoleName,
        role: &desired::Role,
        dropped: &BTreeSet<DatabaseName>,
    ) -> Option<Step> {
        let none = BTreeSet::new();
        let all = self.observed.dependencies.get(name).unwrap_or(&none);
        let is_left = |one: &&RoleDependency| match &one.database {
            Some(database) if dropped.contains(database) => false,
            // The same plan revokes these privileges, except those of a clone.
            Some(database)
                if one.class == DependencyClass::DefaultPrivileges
                    && one.kind == DependencyKind::Owner =>
            {
                !self.revokes_default_privileges(name, database)
            }
            Some(database) if self.desired.roles.contains_key(name) => {
                let seen = self.observed.databases.get(database);
                one.kind != DependencyKind::Privileges
                    || !self.desired.selects_database(database)
                    || seen.is_none_or(|seen| seen.contents.is_none())
            }
            _ => true,
        };
        // Such a transaction can hold a lock on the role, and it can be committed later.
        let prepared = self.observed.prepared_transactions.iter();
        let prepared = prepared.filter(|(_, owners)| owners.contains(name));
        let prepared =
            prepared.map(|(database, _)| format!("prepared transactions in database {database}"));
        let left: Vec<&RoleDependency> = all.iter().filter(is_left).collect();
        let prepared: Vec<String> = prepared.collect();
        let is_own = !prepared.is_empty() || left.iter().any(|one| !one.is_made_by_others());
        let held: Vec<String> = summed(left).iter().map(in_words).chain(prepared).collect();
        if is_own {
            let kind = RefusalKind::RoleNotDroppable { role: name.clone(), held };
            self.refuse(&role.application, kind);
            return None;
        }
        if !held.is_empty() {
            // Each role that can connect to a database can grant privileges on its own objects there. It keeps
            // the role from being dropped, but not from losing its access.
            self.note(NoteKind::RoleNotDropped { role: name.clone(), held });
            return None;
        }
        if !self.can_administer(name) {
            self.refuse_without_admin_option(&role.application, name);
            return None;
        }
        let statements = [sql::drop_role(name)];
        let summary = format!("role {name}");
        let step = Step::on_role(name, &role.application, Action::DropRole, summary, statements);
        Some(step.with_hazards([Hazard::DropsRole]))
    }
}

/// Returns dependencies with one count for what [`in_words`] does not distinguish: it names large objects only where
/// the role has privileges on them.
fn summed(all: Vec<&RoleDependency>) -> Vec<RoleDependency> {
    let mut sums: Vec<RoleDependency> = Vec::new();
    for one in all {
        let mut one = one.clone();
        if one.class == DependencyClass::LargeObject && one.kind != DependencyKind::Privileges {
            one.class = DependencyClass::Object;
        }
        let is_same = |sum: &&mut RoleDependency| {
            (&sum.database, sum.is_database, sum.kind, sum.class)
                == (&one.database, one.is_database, one.kind, one.class)
        };
        match sums.iter_mut().find(is_same) {
            Some(sum) => {
                sum.count += one.count;
                sum.owners.append(&mut one.owners);
            }
            None => sums.push(one),
        }
    }
    sums
}

/// Returns what a role has, in words: `3 objects of its own in database hr`.
fn in_words(one: &RoleDependency) -> String {
    let of_owners = match one.owners.is_empty() {
        true => String::new(),
        false => format!(" of {}", words::some_of(&one.owners)),
    };
    let kind = match (one.kind, one.class) {
        (DependencyKind::Owner, DependencyClass::DefaultPrivileges) => {
            "default privileges for the objects that it creates".to_owned()
        }
        (_, DependencyClass::DefaultPrivileges) => format!("default privileges{of_owners}"),
        (_, DependencyClass::UserMapping) => counted(one.count, "user mapping"),
        (DependencyKind::Owner, _) => format!("{} of its own", counted(one.count, "object")),
        (DependencyKind::Privileges, class) => {
            let noun = match class {
                DependencyClass::LargeObject => "large object",
                _ => "object",
            };
            format!("privileges on {}{of_owners}", counted(one.count, noun))
        }
        (DependencyKind::InitialPrivileges, _) => {
            let objects = counted(one.count, "object");
            format!("initial privileges on {objects} of extensions{of_owners}")
        }
        (DependencyKind::Other, _) => match one.count {
            1 => "1 policy".to_owned(),
            count => format!("{count} policies"),
        },
    };
    match (&one.database, one.is_database, one.kind) {
        (Some(name), true, DependencyKind::Owner) => format!("database {name}"),
        (Some(name), true, _) => format!("privileges on database {name}"),
        (Some(name), false, _) => format!("{kind} in database {name}"),
        (None, ..) => format!("{kind} that all databases share"),
    }
}
