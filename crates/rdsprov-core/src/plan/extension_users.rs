//! The roles that use the extensions of a database, and what they need for it: `USAGE` on the schemas of
//! an extension, and `EXECUTE` on its routines.
//!
//! The schemas of an extension are those that its script created, and the only one in which its
//! control file allows it. Other schemas are those of the database: an entry declares them in
//! `schemas`.

use std::collections::{BTreeMap, BTreeSet};

use super::planner::is_public;
use crate::desired;
use crate::extension_reach;
use crate::name::{ExtensionName, RoleName, SchemaName};
use crate::observed::{AvailableExtension, Contents, Object, Schema};
use crate::privilege::{Privilege, Privileges};

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
                    next.extend(
                        contents.extension_requirements.get(extension).into_iter().flatten(),
                    );
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
        let extension = object.extension.as_ref().filter(|extension| {
            object.is_routine()
                && !extension_reach::is_withheld(extension, object.identity.as_str())
        });
        let users = extension.into_iter().flat_map(|extension| self.of(extension));
        users.map(|role| (role.clone(), Privileges::from([Privilege::Execute]))).collect()
    }
}
