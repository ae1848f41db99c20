//! The privileges with which declared roles use extensions: `USAGE` on the schemas of an extension,
//! and `EXECUTE` on its routines, where PUBLIC does not have them.
//!
//! The schemas of an extension are those that its script created, and the only one in which its
//! control file allows it. Other schemas are those of the database: an entry declares them in
//! `schemas`.

use std::collections::{BTreeMap, BTreeSet};

use super::RefusalKind;
use super::database_planner::DatabasePlanner;
use super::planner::is_public;
use crate::desired;
use crate::name::{DatabaseName, ExtensionName, RoleName, SchemaName, TEMPLATE};
use crate::observed::{AvailableExtension, Contents, Object, Schema};
use crate::privilege::{ObjectKind, Privilege, Privileges};
use crate::probe::{ExtensionProbe, Probe};

/// The roles that use the installed extensions of a database. A role that uses an extension also uses
/// those that the extension requires.
#[derive(Default)]
pub(super) struct ExtensionUsers {
    users: BTreeMap<ExtensionName, BTreeSet<RoleName>>,
    /// The schemas in which control files allow these extensions.
    fixed_schemas: BTreeMap<SchemaName, ExtensionName>,
}

impl ExtensionUsers {
    pub fn new(
        database: &desired::Database,
        contents: &Contents,
        available: &BTreeMap<ExtensionName, AvailableExtension>,
    ) -> Self {
        let mut users: BTreeMap<ExtensionName, BTreeSet<RoleName>> = BTreeMap::new();
        for (role, access) in &database.access {
            let mut next: Vec<&ExtensionName> = access.extensions.iter().collect();
            while let Some(extension) = next.pop() {
                if users.entry(extension.clone()).or_default().insert(role.clone()) {
                    next.extend(contents.extension_requirements.get(extension).into_iter().flatten());
                }
            }
        }
        let is_fixed = |extension: &ExtensionName, schema: &SchemaName| {
            let only = available.get(extension).and_then(|one| one.schema.as_ref());
            only == Some(schema) && !is_public(schema)
        };
        let fixed_schemas = contents
            .extension_schemas
            .iter()
            .filter(|(extension, schema)| {
                users.contains_key(*extension) && is_fixed(extension, schema)
            })
            .map(|(extension, schema)| (schema.clone(), extension.clone()))
            .collect();
        Self { users, fixed_schemas }
    }

    /// Returns the extension whose schema this is, if a declared role uses it.
    pub fn extension_of_schema<'a>(
        &'a self,
        name: &SchemaName,
        schema: &'a Schema,
    ) -> Option<&'a ExtensionName> {
        let extension = schema.extension.as_ref().or_else(|| self.fixed_schemas.get(name))?;
        (!is_public(name) && self.users.contains_key(extension)).then_some(extension)
    }

    /// Returns the roles that use an extension.
    pub fn of(&self, extension: &ExtensionName) -> impl Iterator<Item = &RoleName> {
        self.users.get(extension).into_iter().flatten()
    }

    /// Returns the privileges of the roles that use the extension of an object.
    pub fn wanted_on_object(&self, object: &Object) -> BTreeMap<RoleName, Privileges> {
        let is_routine = matches!(object.kind, ObjectKind::Function | ObjectKind::Procedure);
        let extension = object.extension.as_ref().filter(|_| is_routine);
        let users = extension.into_iter().flat_map(|extension| self.of(extension));
        users.map(|role| (role.clone(), Privileges::from([Privilege::Execute]))).collect()
    }
}

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
        let entries = database.access.iter().filter(|(role, access)| {
            *role != self.owner && access.extensions.contains(extension)
        });
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
                        self.planner.refuse_not_selected(application, &database.application, &reason);
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
