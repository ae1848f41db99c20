//! Plans the creation of extensions in one database.

use std::collections::BTreeMap;

use super::database_planner::{DatabasePlanner, ExecutionContext};
use super::planner::is_public;
use super::{Action, ExecuteAs, ManualFix, Preparation, RefusalKind, Remedy, sql};
use crate::name::{DatabaseName, ExtensionName, SchemaName, TEMPLATE};
use crate::observed::{Contents, Grantee};
use crate::privilege::Privilege;
use crate::probe::{ExtensionProbe, Probe};

/// For each missing extension, the extensions to create in order, itself last; `None`
/// if it is refused.
type Resolved = BTreeMap<ExtensionName, Option<Vec<ExtensionName>>>;

impl DatabasePlanner<'_, '_> {
    /// Creates the declared extensions that are missing, each after those that it requires: as the
    /// owner if PostgreSQL trusts them, otherwise as the administrator if the server allows it.
    pub(super) fn extensions(&mut self, contents: &Contents) {
        if !self.planner.desired.is_selected(&self.database.application) {
            return;
        }
        let mut resolved = Resolved::new();
        for extension in &self.database.extensions {
            self.extension(extension, None, contents, &mut resolved);
        }
    }

    /// Plans one extension and returns what is created for it. `required_by` is the
    /// extension that requires it.
    fn extension(
        &mut self,
        extension: &ExtensionName,
        required_by: Option<&ExtensionName>,
        contents: &Contents,
        resolved: &mut Resolved,
    ) -> Option<Vec<ExtensionName>> {
        if contents.extensions.contains_key(extension) {
            return Some(Vec::new());
        }
        if let Some(created) = resolved.get(extension) {
            return created.clone();
        }
        // An extension that requires itself is left for PostgreSQL to reject.
        resolved.insert(extension.clone(), Some(Vec::new()));
        let created = self.missing_extension(extension, required_by, contents, resolved);
        resolved.insert(extension.clone(), created.clone());
        created
    }

    fn missing_extension(
        &mut self,
        extension: &ExtensionName,
        required_by: Option<&ExtensionName>,
        contents: &Contents,
        resolved: &mut Resolved,
    ) -> Option<Vec<ExtensionName>> {
        let application = &self.database.application;
        let database = self.name.clone();
        let (missing, required_by_name) = (extension.clone(), required_by.cloned());
        let observed = self.planner.observed;
        let Some(available) = observed.extensions.get(extension) else {
            let kind = RefusalKind::ExtensionUnavailable {
                extension: missing,
                required_by: required_by_name,
                database,
            };
            self.planner.refuse(application, kind);
            return None;
        };
        let required: Vec<_> = available
            .requires
            .iter()
            .map(|other| self.extension(other, Some(extension), contents, resolved))
            .collect();
        if !available.allowed {
            let kind = RefusalKind::ExtensionNotAllowed {
                extension: missing,
                required_by: required_by_name,
                database,
            };
            self.planner.refuse(application, kind);
            return None;
        }
        let schema = match &available.schema {
            Some(_) => None,
            None => self.schema_of_extensions(contents),
        };
        if schema.is_none() && available.schema.is_none() {
            let kind = RefusalKind::ExtensionWithoutSchema {
                extension: missing,
                required_by: required_by_name,
                database,
            };
            self.planner.refuse(application, kind);
            return None;
        }
        let mut created: Vec<ExtensionName> = Vec::new();
        for one in required.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten() {
            if !created.contains(&one) {
                created.push(one);
            }
        }
        created.push(extension.clone());
        let schema = schema.as_ref();
        let statement = sql::create_extension(extension, schema);
        let summary = match required_by {
            None => format!("extension {extension} in database {}", self.name),
            Some(other) => {
                format!("extension {extension} in database {}, which {other} requires", self.name)
            }
        };
        let role = Some(self.owner);
        if available.may_be_created_by_owner() {
            if !available.trusted {
                // Its objects belong to the owner, which could grant the same privileges itself. So
                // they are compared like those of other objects.
                self.planner.deferred.push(format!(
                    "the privileges that extension {extension} grants in database {}",
                    self.name
                ));
            }
            self.step(Action::CreateExtension, role, self.owner, summary, statement, &[]);
            return Some(created);
        }
        if let Err(reason) = self.check_creation(&created) {
            let exists = |schema| contents.schemas.contains_key(schema);
            let executor = self.planner.more_powerful();
            let fix = ManualFix::from(statement).in_database(&database);
            let remedy = if !self.is_new() && schema.is_none_or(exists) {
                Remedy::Run(executor, fix)
            } else {
                Remedy::RunLater(Preparation::ApplyWithoutExtension, executor, fix)
            };
            let kind = RefusalKind::ExtensionNotTrusted {
                extension: missing,
                required_by: required_by_name,
                database,
                reason,
            };
            self.planner.refuse_with(application, kind, remedy);
            return None;
        }
        let context = ExecutionContext::plain(ExecuteAs::Administrator);
        self.push(Action::CreateExtension, role, context, summary, statement, &[]);
        Some(created)
    }

    /// Checks that the server allows the administrator to create extensions in this order.
    ///
    /// A plan never tries this in the database itself: the script of an extension would run with the
    /// privileges of the administrator, among functions that the owner of the database wrote. In
    /// the template, and there in `information_schema`, no application's role can create an object.
    fn check_creation(&mut self, extensions: &[ExtensionName]) -> Result<(), String> {
        let database = DatabaseName::new_unchecked(TEMPLATE);
        let probe = ExtensionProbe { database, extensions: extensions.to_vec() };
        self.planner.check_probe(Probe::CreateExtensions(probe))
    }

    /// Returns the schema for an extension: `public` if the owner may create in it, otherwise the
    /// first schema of the owner entry.
    fn schema_of_extensions(&self, contents: &Contents) -> Option<SchemaName> {
        let declared = self.database.owner_schemas()?;
        let itself = Grantee::Role(self.owner.clone());
        let open = contents.schemas.iter().find(|(name, schema)| {
            is_public(name)
                && (self.is_database_owner(&schema.owner)
                    || schema
                        .acl
                        .iter()
                        .any(|item| item.grantee == itself && item.privilege == Privilege::Create))
        });
        declared
            .iter()
            .find(|name| is_public(name))
            .or(open.map(|(name, _)| name))
            .or(declared.first())
            .cloned()
    }
}
