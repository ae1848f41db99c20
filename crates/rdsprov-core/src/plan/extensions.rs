//! Desired less observed inside one database: extensions.

use super::diff::is_public;
use super::inside::{Inside, Way};
use super::{Acting, Action, DATABASE_OWNER, Opening, sql};
use crate::access::Privilege;
use crate::name::SchemaName;
use crate::observed::{Contents, Grantee};

impl Inside<'_, '_> {
    /// The extensions that are declared and not there: made by the owner where PostgreSQL trusts them, by
    /// the administrator where the server lets it.
    pub(super) fn extensions(&mut self, contents: &Contents) {
        for extension in &self.database.extensions {
            if contents.extensions.contains_key(extension) {
                continue;
            }
            let application = &self.database.application;
            let Some(available) = self.planner.observed.extensions.get(extension) else {
                self.planner.refuse(
                    application,
                    format!("extension {extension} for database {} is not available on this server", self.name),
                    "correct its name, or remove it from `extensions`; SELECT name FROM pg_available_extensions lists those there are".to_owned(),
                );
                continue;
            };
            let schema = match &available.schema {
                Some(_) => None,
                None => self.schema_of_extensions(contents),
            };
            let statement = sql::create_extension(extension, schema);
            let summary = format!("extension {extension} in database {}", self.name);
            if available.trusted || !available.superuser {
                let role = Some(self.owner);
                self.step(Action::CreateExtension, role, self.owner, summary, statement, &[]);
                continue;
            }
            if let Some(reason) = self.planner.trial(&statement.shown()) {
                self.planner.refuse_until(
                    application,
                    format!(
                        "extension {extension} for database {} is not trusted, and the server does not let the administrator create it: {reason}",
                        self.name
                    ),
                    "a superuser",
                    Opening { database: Some(self.name.clone()), statement: statement.shown() },
                );
                continue;
            }
            self.push(
                Action::CreateExtension,
                Some(self.owner),
                Way::plain(Acting::Administrator),
                summary,
                statement,
                &[],
            );
        }
    }

    /// The schema that an extension goes to, where the owner may not create in `public`: the first that its
    /// entry declares.
    fn schema_of_extensions(&self, contents: &Contents) -> Option<&SchemaName> {
        let declared = self.database.of_owner()?;
        let is_open = contents.schemas.iter().any(|(name, schema)| {
            let itself = Grantee::Role(self.owner.clone());
            is_public(name)
                && (declared.contains(name)
                    || schema.owner.as_str() == DATABASE_OWNER
                    || schema.owner == *self.owner
                    || schema
                        .acl
                        .iter()
                        .any(|item| item.grantee == itself && item.privilege == Privilege::Create))
        });
        if is_open { None } else { declared.iter().next() }
    }
}
