//! What prevents declared roles from using extensions: an extension that no entry creates, and
//! privileges that the administrator may not grant.

use std::collections::BTreeSet;

use super::database_planner::DatabasePlanner;
use super::{RefusalKind, words};
use crate::extension_reach;
use crate::name::{DatabaseName, ExtensionName, RoleName, TEMPLATE};
use crate::observed::Contents;
use crate::probe::{ExtensionProbe, Probe};

impl DatabasePlanner<'_, '_> {
    /// Checks that the server allows the administrator to grant privileges on an installed extension,
    /// although the catalogs deny it: Amazon RDS may allow it to members of `rds_superuser`.
    ///
    /// # Errors
    /// Returns the reason if it is denied.
    pub(super) fn may_grant_on(&mut self, extension: &ExtensionName) -> Result<(), String> {
        if self.is_new() {
            return Err("the database does not exist".to_owned());
        }
        let database = self.name.clone();
        let probe = ExtensionProbe { database, extensions: vec![extension.clone()] };
        let permission = self.planner.authority.if_server_allows(Probe::GrantOnExtensions(probe));
        self.planner.check(permission)
    }

    /// Refuses the entries that use an extension which the plan creates, if the administrator could not
    /// grant them the privileges afterwards. `created` are the extension and those that it requires.
    pub(super) fn check_later_grants(
        &mut self,
        extension: &ExtensionName,
        created: &[ExtensionName],
    ) {
        let database = self.database;
        let entries = database
            .access
            .iter()
            .filter(|(role, access)| *role != self.owner && access.extensions.contains(extension));
        let applications: Vec<_> = entries.map(|(_, access)| &access.application).collect();
        let available = self.planner.observed.extensions.get(extension);
        // The owner owns the objects of the other extensions, and can grant the privileges.
        if applications.is_empty() || available.is_none_or(|available| !available.superuser) {
            return;
        }
        let template = DatabaseName::new_unchecked(TEMPLATE);
        let probe = ExtensionProbe { database: template, extensions: created.to_vec() };
        if let Err(reason) = self.planner.check_probe(Probe::GrantOnExtensions(probe)) {
            let kind = RefusalKind::ExtensionNotGrantable {
                extension: extension.clone(),
                database: self.name.clone(),
                reason,
            };
            for application in applications {
                self.planner.refuse(application, kind.clone());
            }
        }
    }

    /// Returns the roles that may get `EXECUTE` on routines of an extension which PUBLIC may not execute,
    /// in words, if the plan creates the extension: so its first plan contains the hazard, before something
    /// is committed. The server is asked whether the extension has such routines; if it cannot tell, it may
    /// have some.
    pub(super) fn later_reach(&mut self, extension: &ExtensionName) -> Option<String> {
        let available = self.planner.observed.extensions.get(extension)?;
        // If its script is not executed as a superuser, the owner of the database owns its routines, and no
        // other role gets a privilege on them.
        if !available.superuser || extension_reach::is_open(extension) {
            return None;
        }
        let users = self.later_users(extension);
        if users.is_empty() {
            return None;
        }
        let mut extensions = Vec::new();
        self.in_order_of_creation(extension, &mut extensions);
        let database = DatabaseName::new_unchecked(TEMPLATE);
        let probe = Probe::ExecuteAsPublic(ExtensionProbe { database, extensions });
        let reason = self.planner.check_probe(probe).err()?;
        let users = words::some_of(&users);
        Some(format!("; {users} may get EXECUTE on its routines: {reason}"))
    }

    /// Returns the roles of selected applications that will use an extension.
    fn later_users(&self, extension: &ExtensionName) -> BTreeSet<RoleName> {
        let uses = |extensions: &BTreeSet<ExtensionName>| {
            extensions.iter().any(|one| {
                let mut required = Vec::new();
                self.in_order_of_creation(one, &mut required);
                required.contains(extension)
            })
        };
        let users = self.database.access.iter().filter(|(_, access)| {
            self.planner.desired.is_selected(&access.application) && uses(&access.extensions)
        });
        users.map(|(role, _)| role.clone()).collect()
    }

    /// Adds an extension after those that it requires.
    fn in_order_of_creation(&self, extension: &ExtensionName, found: &mut Vec<ExtensionName>) {
        let mut open = vec![(extension, false)];
        let mut seen = BTreeSet::new();
        while let Some((name, complete)) = open.pop() {
            if complete {
                found.push(name.clone());
            } else if seen.insert(name) {
                open.push((name, true));
                let available = self.planner.observed.extensions.get(name);
                let required = available.into_iter().flat_map(|one| &one.requires);
                open.extend(required.map(|one| (one, false)));
            }
        }
    }

    /// Refuses the entries that use an extension which is not installed and which the owner entry does
    /// not create.
    pub(super) fn refuse_missing_extensions(&mut self, contents: &Contents) {
        let database = self.database;
        let available = &self.planner.observed.extensions;
        let mut created: BTreeSet<&ExtensionName> = BTreeSet::new();
        let mut next: Vec<&ExtensionName> = database.extensions.iter().collect();
        while let Some(extension) = next.pop() {
            if created.insert(extension) {
                let requires = available.get(extension).map(|one| &one.requires);
                next.extend(requires.into_iter().flatten());
            }
        }
        for access in database.access.values() {
            for extension in &access.extensions {
                if contents.extensions.contains_key(extension) {
                    continue;
                }
                if created.contains(extension) {
                    if !self.planner.desired.is_selected(&database.application) {
                        let reason = format!(
                            "extension {extension} is not installed in database {}",
                            self.name
                        );
                        let application = &access.application;
                        self.planner.refuse_not_selected(
                            application,
                            &database.application,
                            &reason,
                        );
                    }
                    continue;
                }
                let kind = RefusalKind::ExtensionMissing {
                    extension: extension.clone(),
                    database: self.name.clone(),
                    owner_entry: database.owner.as_ref().map(|_| database.application.clone()),
                };
                self.planner.refuse(&access.application, kind);
            }
        }
    }
}
