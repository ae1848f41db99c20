//! Desired less observed inside one database: extensions.

use std::collections::BTreeMap;

use super::database::{DatabasePlanner, ExecutionContext};
use super::planner::is_public;
use super::{Action, DATABASE_OWNER, ExecuteAs, ManualFix, Scope, Step, sql};
use crate::name::{DatabaseName, ExtensionName, SchemaName, TEMPLATE};
use crate::observed::{Contents, Grantee};
use crate::privilege::Privilege;

/// What has to be made for each extension that is not there, in order and itself last; none where that cannot be.
type Settled = BTreeMap<ExtensionName, Option<Vec<ExtensionName>>>;

impl DatabasePlanner<'_, '_> {
    /// The extensions that are declared and not there, each after those that it requires: made by the owner
    /// where PostgreSQL trusts them, by the administrator where the server lets it.
    pub(super) fn extensions(&mut self, contents: &Contents) {
        let mut settled = Settled::new();
        for extension in &self.database.extensions {
            self.extension(extension, None, contents, &mut settled);
        }
    }

    /// What has to be made for an extension. What only another one requires names that.
    fn extension(
        &mut self,
        extension: &ExtensionName,
        required_by: Option<&ExtensionName>,
        contents: &Contents,
        settled: &mut Settled,
    ) -> Option<Vec<ExtensionName>> {
        if contents.extensions.contains_key(extension) {
            return Some(Vec::new());
        }
        if let Some(made) = settled.get(extension) {
            return made.clone();
        }
        // One that requires itself in the end is for PostgreSQL to refuse.
        settled.insert(extension.clone(), Some(Vec::new()));
        let made = self.missing_extension(extension, required_by, contents, settled);
        settled.insert(extension.clone(), made.clone());
        made
    }

    fn missing_extension(
        &mut self,
        extension: &ExtensionName,
        required_by: Option<&ExtensionName>,
        contents: &Contents,
        settled: &mut Settled,
    ) -> Option<Vec<ExtensionName>> {
        let application = &self.database.application;
        let required =
            required_by.map(|other| format!(", which {other} requires,")).unwrap_or_default();
        let what = format!("extension {extension}{required} for database {}", self.name);
        let observed = self.planner.observed;
        let Some(available) = observed.extensions.get(extension) else {
            let wrong = match required_by {
                None => "correct its name, or remove it from `extensions`",
                Some(_) => "remove what requires it from `extensions`",
            };
            self.planner.refuse(
                application,
                format!("{what} is not available on this server"),
                format!("{wrong}; SELECT name FROM pg_available_extensions lists those there are"),
            );
            return None;
        };
        let required: Vec<_> = available
            .requires
            .iter()
            .map(|other| self.extension(other, Some(extension), contents, settled))
            .collect();
        if !available.allowed {
            self.planner.refuse(
                application,
                format!("{what} is not one that rds.allowed_extensions lists, and the server lets nobody create it"),
                format!("add {extension} to rds.allowed_extensions in the server's parameter group"),
            );
            return None;
        }
        let schema = match &available.schema {
            Some(_) => None,
            None => self.schema_of_extensions(contents),
        };
        if schema.is_none() && available.schema.is_none() {
            self.planner.refuse(
                application,
                format!("there is no schema for {what} to go to"),
                "declare one in the `schemas` of the owner's entry".to_owned(),
            );
            return None;
        }
        let mut made: Vec<ExtensionName> = Vec::new();
        for one in required.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten() {
            if !made.contains(&one) {
                made.push(one);
            }
        }
        made.push(extension.clone());
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
            self.step(Action::CreateExtension, role, self.owner, summary, statement, &[]);
            return Some(made);
        }
        if let Some(reason) = self.denial_reason(&made, schema) {
            let message = format!(
                "{what} is not trusted, and the server does not let the administrator create it: {reason}"
            );
            let statement = statement.redacted();
            let is_there = |schema| contents.schemas.contains_key(schema);
            if !self.is_new && schema.is_none_or(is_there) {
                let manual_fix = ManualFix { database: Some(self.name.clone()), sql: statement };
                self.planner.refuse_with_fix(application, message, "a superuser", manual_fix);
            } else {
                let remedy = format!(
                    "remove it from `extensions` until all else is there, then have a superuser run, in database {}: {statement};",
                    self.name
                );
                self.planner.refuse(application, message, remedy);
            }
            return None;
        }
        let context = ExecutionContext::plain(ExecuteAs::Administrator);
        self.push(Action::CreateExtension, role, context, summary, statement, &[]);
        Some(made)
    }

    /// Why the server refuses to make extensions one after the other: in the database by its present owner and
    /// the administrator, or as long as it is not there, in the one that it will be a copy of.
    fn denial_reason(
        &self,
        extensions: &[ExtensionName],
        schema: Option<&SchemaName>,
    ) -> Option<String> {
        let observed = self.planner.observed;
        let seen = observed.databases.get(self.name).filter(|_| !self.is_new);
        let place = match &observed.template {
            _ if seen.is_some() => self.name.clone(),
            Some(_) => DatabaseName::new_unchecked(TEMPLATE),
            None => observed.admin_database.clone(),
        };
        let owner = seen.and_then(|seen| self.planner.act_as(&seen.owner));
        let of_owner =
            |name| observed.extensions.get(name).is_some_and(|one| one.may_be_created_by_owner());
        let steps = extensions.iter().map(|name| {
            let execute_as = owner.clone().filter(|_| of_owner(name));
            let statement = sql::create_extension(name, None);
            let application = &self.database.application;
            let step =
                Step::plain(Action::CreateExtension, application, String::new(), vec![statement]);
            Step { execute_as: execute_as.unwrap_or(ExecuteAs::Administrator), ..step }
        });
        let tried = self.planner.transaction(Scope::Database(place.clone()), steps.collect())?;
        let tried = sql::extension_probe(&tried, schema, observed.major());
        self.planner.denial_reason_in(&place, &tried)
    }

    /// The schema that an extension goes to: `public` where the owner may create in it, else the first that
    /// its entry declares.
    fn schema_of_extensions(&self, contents: &Contents) -> Option<SchemaName> {
        let declared = self.database.owner_schemas()?;
        let itself = Grantee::Role(self.owner.clone());
        let open = contents.schemas.iter().find(|(name, schema)| {
            is_public(name)
                && (schema.owner.as_str() == DATABASE_OWNER
                    || schema.owner == *self.owner
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
