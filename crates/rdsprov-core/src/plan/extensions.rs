//! Desired less observed inside one database: extensions.

use super::inside::Inside;
use super::{Acting, Action, Opening, sql};
use crate::observed::Contents;

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
            let statement = sql::create_extension(extension);
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
                (Acting::Administrator, None),
                summary,
                statement,
                &[],
            );
        }
    }
}
