//! Plans the creation of extensions in one database.

use std::collections::{BTreeMap, BTreeSet};

use super::database_planner::DatabasePlanner;
use super::extension_schemas::{EXTENSIONS, schema_of_extensions};
use super::planner::is_public;
use super::{
    Action, Executor, Hazard, ManualFix, MembershipOption, Preparation, RefusalKind, Remedy, Step,
    sql,
};
use crate::name::{DatabaseName, ExtensionName, SchemaName, TEMPLATE};
use crate::observed::{AvailableExtension, Contents, Grantee};
use crate::privilege::Privilege;
use crate::probe::{ExtensionProbe, Probe};

/// What is known while the extensions of one database are planned.
struct Creation<'a> {
    contents: &'a Contents,
    /// For each missing extension, the extensions to create in order, itself last; `None`
    /// if it is refused.
    resolved: BTreeMap<ExtensionName, Option<Vec<ExtensionName>>>,
    /// The extensions whose scripts must not be executed among the objects of other roles.
    of_administrator: BTreeSet<ExtensionName>,
    /// The schema for those of them that can be in any schema.
    schema_of_administrator: SchemaName,
    /// The schemas that steps for extensions create.
    created_schemas: BTreeSet<SchemaName>,
    /// The extensions that steps create.
    created: Vec<ExtensionName>,
}

/// A missing extension, with the one that requires it.
#[derive(Clone, Copy)]
struct Missing<'a> {
    name: &'a ExtensionName,
    required_by: Option<&'a ExtensionName>,
    available: &'a AvailableExtension,
}

impl DatabasePlanner<'_, '_> {
    /// Creates the declared extensions that are missing, each after those that it requires: as the
    /// owner if PostgreSQL trusts them, otherwise as the administrator if the server allows it.
    pub(super) fn extensions(&mut self, contents: &Contents) {
        if !self.planner.desired.is_selected(&self.database.application) {
            return;
        }
        let mut creation = Creation {
            contents,
            resolved: BTreeMap::new(),
            of_administrator: self.extensions_of_administrator(contents),
            schema_of_administrator: self.schema_of_administrator(contents),
            created_schemas: BTreeSet::new(),
            created: Vec::new(),
        };
        for extension in &self.database.extensions {
            self.extension(extension, None, &mut creation);
        }
        // The privileges on an extension are compared once it exists.
        let created: Vec<&str> = creation.created.iter().map(ExtensionName::as_str).collect();
        let extensions = match created.as_slice() {
            [] => return,
            [one] => format!("extension {one}"),
            [others @ .., last] => format!("extensions {} and {last}", others.join(", ")),
        };
        let comparison = format!("the privileges on {extensions} in database {}", self.name);
        self.planner.defer(&self.database.application, comparison);
    }

    /// Plans one extension and returns what is created for it. `required_by` is the
    /// extension that requires it.
    fn extension(
        &mut self,
        extension: &ExtensionName,
        required_by: Option<&ExtensionName>,
        creation: &mut Creation<'_>,
    ) -> Option<Vec<ExtensionName>> {
        if creation.contents.extensions.contains_key(extension) {
            return Some(Vec::new());
        }
        if let Some(created) = creation.resolved.get(extension) {
            return created.clone();
        }
        // An extension that requires itself is left for PostgreSQL to reject.
        creation.resolved.insert(extension.clone(), Some(Vec::new()));
        let created = self.missing_extension(extension, required_by, creation);
        creation.created.extend(created.is_some().then(|| extension.clone()));
        creation.resolved.insert(extension.clone(), created.clone());
        created
    }

    fn missing_extension(
        &mut self,
        extension: &ExtensionName,
        required_by: Option<&ExtensionName>,
        creation: &mut Creation<'_>,
    ) -> Option<Vec<ExtensionName>> {
        let application = &self.database.application;
        let database = self.name.clone();
        let (name, required_by_name) = (extension.clone(), required_by.cloned());
        let observed = self.planner.observed;
        let Some(available) = observed.extensions.get(extension) else {
            let kind = RefusalKind::ExtensionUnavailable {
                extension: name,
                required_by: required_by_name,
                database,
            };
            self.planner.refuse(application, kind);
            return None;
        };
        let required: Vec<_> = available
            .requires
            .iter()
            .map(|other| self.extension(other, Some(extension), creation))
            .collect();
        if !available.allowed {
            let kind = RefusalKind::ExtensionNotAllowed {
                extension: name,
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
        self.check_later_grants(extension, &created);
        let missing = Missing { name: extension, required_by, available };
        if creation.of_administrator.contains(extension) {
            return self.extension_of_administrator(missing, created, creation);
        }
        let schema = match &available.schema {
            Some(_) => None,
            None => self.schema_of_extensions(creation.contents),
        };
        if schema.is_none() && available.schema.is_none() {
            let kind = RefusalKind::ExtensionWithoutSchema {
                extension: name,
                required_by: required_by_name,
                database,
            };
            self.planner.refuse(application, kind);
            return None;
        }
        self.extension_of_owner(missing, schema.as_ref());
        Some(created)
    }

    /// Returns an extension in words, for the step that creates it.
    fn extension_words(&self, missing: Missing<'_>) -> String {
        let Missing { name, required_by, .. } = missing;
        match required_by {
            None => format!("extension {name} in database {}", self.name),
            Some(other) => {
                format!("extension {name} in database {}, which {other} requires", self.name)
            }
        }
    }

    /// Creates an extension as the owner.
    fn extension_of_owner(&mut self, missing: Missing<'_>, schema: Option<&SchemaName>) {
        let reach = self.later_reach(missing.name);
        let hazards: Vec<Hazard> = reach.iter().map(|_| Hazard::ReachesBeyondDatabase).collect();
        let summary = format!("{}{}", self.extension_words(missing), reach.unwrap_or_default());
        let statement = sql::create_extension(missing.name, schema);
        let (action, owner) = (Action::CreateExtension, self.owner);
        self.step(action, Some(owner), owner, summary, statement, &hazards);
    }

    /// Creates an extension as the administrator, or one that such an extension requires: in a schema
    /// in which only administrators can create objects, see [`super::extension_schemas`].
    fn extension_of_administrator(
        &mut self,
        missing: Missing<'_>,
        created: Vec<ExtensionName>,
        creation: &mut Creation<'_>,
    ) -> Option<Vec<ExtensionName>> {
        let Missing { name, available, .. } = missing;
        let contents = creation.contents;
        let target = available.schema.as_ref().unwrap_or(&creation.schema_of_administrator);
        let is_extensions = target.as_str() == EXTENSIONS;
        if available.may_be_created_by_owner() && available.schema.is_none() && !is_extensions {
            let schema = target.clone();
            self.extension_of_owner(missing, Some(&schema));
            return Some(created);
        }
        // `pg_catalog`, and every other schema of PostgreSQL, is not among the schemas.
        let is_of_postgresql = target.as_str().starts_with("pg_");
        let target = target.clone();
        let schemas_of_required = available.requires.iter().filter_map(|required| {
            let schema = contents.extension_schemas.get(required)?;
            Some((Some(required), schema))
        });
        let recreated = is_public(&target) && self.recreates_public(contents);
        let present: Vec<_> = std::iter::once((None, &target))
            .filter(|_| !recreated)
            .chain(schemas_of_required)
            .filter_map(|(required, name)| Some((required, name, contents.schemas.get(name)?)))
            .collect();
        for (required, schema_name, schema) in &present {
            if let Some(creator) = self.other_creator(schema) {
                let kind = RefusalKind::ExtensionSchemaShared {
                    extension: name.clone(),
                    required_by: missing.required_by.cloned(),
                    database: self.name.clone(),
                    schema: (*schema_name).clone(),
                    creator,
                    required: required.cloned(),
                };
                self.planner.refuse(&self.database.application, kind);
                return None;
            }
        }
        if !available.may_be_created_by_owner()
            && let Err(reason) = self.check_creation(&created)
        {
            self.refuse_not_trusted(missing, contents, reason);
            return None;
        }
        let is_missing = !is_of_postgresql
            && !contents.schemas.contains_key(&target)
            && !self.is_created(&target, contents);
        if is_missing && creation.created_schemas.insert(target.clone()) {
            self.create_schema_of_administrator(&target);
        }
        let mut statements = Vec::new();
        let guarded: BTreeSet<&SchemaName> = present.iter().map(|(_, name, _)| *name).collect();
        if !guarded.is_empty() {
            statements.push(sql::assert_only_administrators_create(&guarded));
        }
        let clause = available.schema.is_none().then_some(&target);
        statements.push(sql::create_extension(name, clause));
        let place =
            if is_extensions { format!(", schema {}", target.in_words()) } else { String::new() };
        let reach = self.later_reach(name);
        let hazard = reach.as_ref().map(|_| Hazard::ReachesBeyondDatabase);
        let reach = reach.unwrap_or_default();
        let summary = format!("{}{place}{reach}", self.extension_words(missing));
        let application = self.application(Some(self.owner));
        // A member of `rds_extension` needs the privilege CREATE on the database.
        let is_delegated =
            !available.may_be_created_by_owner() && self.planner.observed.is_delegated(name);
        if is_delegated && self.planner.act_as(self.owner).is_none() {
            self.planner.refuse_without_admin_option(&application, self.owner);
            return None;
        }
        let owner = is_delegated.then(|| (self.owner.clone(), MembershipOption::Inherit));
        let step = Step::new(Action::CreateExtension, &application, summary, statements)
            .for_role(self.owner)
            .in_database(self.name)
            .with_hazards(hazard)
            .with_memberships(owner);
        self.steps.push(step);
        Some(created)
    }

    /// Refuses an extension that the server does not allow the administrator to create.
    fn refuse_not_trusted(&mut self, missing: Missing<'_>, contents: &Contents, reason: String) {
        let database = self.name.clone();
        let executor = self.planner.more_powerful();
        // Once the database exists, its owner can create objects in each other schema.
        let extensions = SchemaName::new_unchecked(EXTENSIONS);
        let target = missing.available.schema.as_ref().unwrap_or(&extensions);
        let mut statements = Vec::new();
        if !target.as_str().starts_with("pg_") && !contents.schemas.contains_key(target) {
            statements.extend(schema_of_extensions(target));
        }
        let needs_owner = !statements.is_empty() && executor == Executor::MasterUser;
        let clause = missing.available.schema.is_none().then_some(target);
        statements.push(sql::create_extension(missing.name, clause));
        if needs_owner {
            let owner = if self.is_new() {
                self.owner.clone()
            } else {
                self.current_database_and_owner().1
            };
            let major = self.planner.observed.major();
            statements = sql::with_membership(&owner, major, statements);
        }
        let fix = ManualFix::from(statements).in_database(&database);
        let remedy = if self.is_new() {
            Remedy::RunLater(Preparation::ApplyWithoutExtension, executor, fix)
        } else {
            Remedy::Run(executor, fix)
        };
        let kind = RefusalKind::ExtensionNotTrusted {
            extension: missing.name.clone(),
            required_by: missing.required_by.cloned(),
            database,
            reason,
        };
        self.planner.refuse_with(&self.database.application, kind, remedy);
    }

    /// Checks that the server allows the administrator to create extensions in this order.
    ///
    /// A plan never tries this in the database itself: the script of an extension would run with the
    /// privileges of the administrator, among functions that the owner of the database wrote. The
    /// template is not free of such functions either: before PostgreSQL 15, PUBLIC may create objects
    /// in its schema `public`. So the extension is tried in `information_schema`, and the probe first
    /// verifies that no other role can create objects in the schemas of extensions that it requires.
    /// Temporary objects of other sessions are not visible to the script.
    ///
    /// What Amazon RDS delegates to the administrator is not tried: it has no privilege in the template.
    fn check_creation(&mut self, extensions: &[ExtensionName]) -> Result<(), String> {
        let observed = self.planner.observed;
        let may_create = |name: &ExtensionName| {
            let available = observed.extensions.get(name);
            available.is_some_and(AvailableExtension::may_be_created_by_owner)
                || observed.is_delegated(name)
        };
        if extensions.iter().all(may_create) {
            return Ok(());
        }
        let database = DatabaseName::new_unchecked(TEMPLATE);
        let probe = ExtensionProbe { database, extensions: extensions.to_vec() };
        self.planner.check_probe(Probe::CreateExtensions(probe))
    }

    /// Returns the schema for an extension: `public` if the owner may create in it, otherwise the
    /// first schema of the owner entry.
    pub(super) fn schema_of_extensions(&self, contents: &Contents) -> Option<SchemaName> {
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
