//! Decides in which schema the administrator creates an extension, so that the script of the
//! extension executes no code of other roles.
//!
//! PostgreSQL executes the script of an extension that is not trusted as the administrator, and
//! Amazon RDS with still more privileges. Its `search_path` is the schema of the extension and the
//! schemas of those that it requires. If another role can create objects there, the script can
//! execute a function, an operator or a cast of this role. So each of these schemas is one of:
//!
//! - a schema that the same transaction creates, which no other session sees before the commit. In
//!   a new database, this is also `public`: it is empty, so the transaction drops it and creates it
//!   anew. If another role created an object in it in the meantime, `DROP SCHEMA` fails.
//! - the schema [`EXTENSIONS`] or the schema of the control file, if it belongs to an administrator
//!   and no other role may create in it. Before each extension, a guard verifies this again, because
//!   the owner can replace the database after it was observed, and verifies that the schema contains
//!   no objects of other roles.
//!
//! Every other extension is refused. `ALTER EXTENSION … SET SCHEMA` is not used: it requires that
//! the administrator owns all objects of the extension, which is not so on Amazon RDS.

use std::collections::BTreeSet;

use super::database_planner::DatabasePlanner;
use super::planner::is_public;
use super::sql::{self, GrantTarget, Statement};
use super::{Action, DATABASE_OWNER, MembershipOption, Step};
use crate::name::{ExtensionName, RoleName, SchemaName};
use crate::observed::{Contents, Grantee, Schema};
use crate::privilege::{OWNER_ON_SCHEMA, Privilege, Privileges};

/// The schema of the administrator for extensions that are not trusted.
pub(super) const EXTENSIONS: &str = "extensions";

/// Amazon RDS allows the members of this role almost everything that a superuser may do.
const RDS_SUPERUSER: &str = "rds_superuser";

impl DatabasePlanner<'_, '_> {
    /// Returns the missing extensions that only the administrator may create, and those that they
    /// require.
    pub(super) fn extensions_of_administrator(
        &self,
        contents: &Contents,
    ) -> BTreeSet<ExtensionName> {
        let available = &self.planner.observed.extensions;
        let is_missing = |name: &&ExtensionName| !contents.extensions.contains_key(*name);
        let requirements = |names: Vec<&ExtensionName>| -> BTreeSet<ExtensionName> {
            let mut found = BTreeSet::new();
            let mut next = names;
            while let Some(name) = next.pop() {
                if let Some(one) = available.get(name)
                    && found.insert(name.clone())
                {
                    next.extend(one.requires.iter().filter(is_missing));
                }
            }
            found
        };
        let declared = self.database.extensions.iter().filter(is_missing).collect();
        let not_trusted = requirements(declared).into_iter().filter(|name| {
            available.get(name).is_some_and(|extension| !extension.may_be_created_by_owner())
        });
        let not_trusted: Vec<ExtensionName> = not_trusted.collect();
        requirements(not_trusted.iter().collect())
    }

    /// Returns the schema in which the administrator creates extensions that can be in any schema.
    pub(super) fn schema_of_administrator(&self, contents: &Contents) -> SchemaName {
        let usual = self.schema_of_extensions(contents).filter(|name| {
            self.is_created(name, contents) || is_public(name) && self.recreates_public(contents)
        });
        usual.unwrap_or_else(|| SchemaName::new_unchecked(EXTENSIONS))
    }

    /// Returns whether the transaction creates a schema of the owner entry.
    pub(super) fn is_created(&self, name: &SchemaName, contents: &Contents) -> bool {
        !contents.schemas.contains_key(name)
            && self.database.owner_schemas().is_some_and(|schemas| schemas.contains(name))
    }

    /// Returns whether the transaction creates `public` anew: in a new database, for extensions that
    /// the administrator creates in it, if it is as PostgreSQL creates it.
    pub(super) fn recreates_public(&self, contents: &Contents) -> bool {
        let observed = self.planner.observed;
        let public = public_schema(contents).filter(|(name, schema)| {
            let owner = &schema.owner;
            let itself = Grantee::Role(owner.clone());
            let holds = |privilege: &Privilege| {
                schema.acl.iter().any(|one| one.grantee == itself && one.privilege == *privilege)
            };
            let is_empty = schema.relations.is_empty() && schema.columns.is_empty();
            let of_extension = contents.extension_schemas.values().any(|one| one == *name);
            let has_defaults =
                contents.default_privileges.iter().any(|row| row.schema.as_ref() == Some(*name));
            (owner.as_str() == DATABASE_OWNER
                || *owner == observed.administrator.name
                || observed.administrator.superuser)
                && is_empty
                && !of_extension
                && !has_defaults
                && OWNER_ON_SCHEMA.iter().all(holds)
                && schema.acl.iter().all(|item| item.grantor == *owner && !item.grantable)
        });
        let can_be_in_any = |name: &ExtensionName| {
            observed.extensions.get(name).is_some_and(|extension| extension.schema.is_none())
        };
        self.is_new()
            && self.planner.desired.is_selected(&self.database.application)
            && public
                .is_some_and(|(name, _)| self.schema_of_extensions(contents).as_ref() == Some(name))
            && self.extensions_of_administrator(contents).iter().any(can_be_in_any)
    }

    /// Adds the step that creates `public` anew. It comes first, because the privileges on the old
    /// schema are lost.
    pub(super) fn recreate_public(&mut self, contents: &Contents) {
        if !self.recreates_public(contents) {
            return;
        }
        let Some((name, schema)) = public_schema(contents) else { return };
        let mut statements = vec![sql::drop_schema(name), sql::create_schema(name)];
        if schema.owner != self.planner.observed.administrator.name {
            statements.push(sql::change_schema_owner(name, &schema.owner));
        }
        let target = GrantTarget::Schema(name.clone());
        let grantees: BTreeSet<&Grantee> = schema.acl.iter().map(|item| &item.grantee).collect();
        for grantee in grantees {
            if *grantee != Grantee::Role(schema.owner.clone()) {
                let held = schema.acl.iter().filter(|item| item.grantee == *grantee);
                let privileges: Privileges = held.map(|item| item.privilege).collect();
                statements.push(sql::grant(&privileges, &target, grantee));
            }
        }
        statements.push(sql::comment_on_public(name));
        let summary =
            format!("schema {} anew, for extensions that are not trusted", name.in_words());
        self.create_schema_as_administrator(summary, statements);
    }

    /// Adds the step that creates a schema of the administrator.
    pub(super) fn create_schema_of_administrator(&mut self, name: &SchemaName) {
        let administrator = &self.planner.observed.administrator.name;
        let summary = format!(
            "schema {}, owner {administrator}, for extensions that are not trusted",
            name.in_words()
        );
        let statements = schema_of_extensions(name);
        self.create_schema_as_administrator(summary, statements);
    }

    /// Adds a step that creates a schema as the administrator, which has the privilege `CREATE` on
    /// the database as a temporary member of its owner.
    fn create_schema_as_administrator(&mut self, summary: String, statements: Vec<Statement>) {
        let owner = self.owner.clone();
        let application = &self.database.application;
        if self.planner.act_as(&owner).is_none() {
            // The owner of the database is refused, too.
            self.planner.refuse_without_admin_option(application, &owner);
            return;
        }
        if !self.planner.authority.may_have_privileges_of(&owner) {
            self.planner.refuse_without_inheritance(application, &owner);
            return;
        }
        let step = Step::new(Action::CreateSchema, application, summary, statements)
            .in_database(self.name)
            .with_memberships([(owner, MembershipOption::Inherit)]);
        self.steps.push(step);
    }

    /// Returns a role other than the administrators that can create objects in a schema, or PUBLIC.
    pub(super) fn other_creator(&self, schema: &Schema) -> Option<Grantee> {
        let creators = schema.acl.iter().filter(|item| item.privilege == Privilege::Create);
        std::iter::once(Grantee::Role(schema.owner.clone()))
            .chain(creators.map(|item| item.grantee.clone()))
            .find(|grantee| match grantee {
                Grantee::Public => true,
                Grantee::Role(role) => !self.is_administrator(role),
            })
    }

    fn is_administrator(&self, role: &RoleName) -> bool {
        let observed = self.planner.observed;
        let seen = observed.roles.get(role);
        *role == observed.administrator.name
            || role.as_str() == RDS_SUPERUSER
            || seen.is_some_and(|seen| {
                seen.superuser
                    || seen.memberships.iter().any(|one| one.role.as_str() == RDS_SUPERUSER)
            })
    }
}

/// Returns the statements that create a schema for extensions, as its owner.
pub(super) fn schema_of_extensions(name: &SchemaName) -> Vec<Statement> {
    let mut statements = vec![sql::create_schema(name)];
    if name.as_str() == EXTENSIONS {
        let usage = Privileges::from([Privilege::Usage]);
        let target = GrantTarget::Schema(name.clone());
        statements.push(sql::grant(&usage, &target, &Grantee::Public));
    }
    statements
}

fn public_schema(contents: &Contents) -> Option<(&SchemaName, &Schema)> {
    contents.schemas.iter().find(|(name, _)| is_public(name))
}
