//! Desired less observed inside one database: schemas, relations, default privileges.

use std::collections::{BTreeMap, BTreeSet};

use super::diff::{Planner, granted_words, revoked_words};
use super::sql::{self, Statement, Target};
use super::{Action, Hazard, Step, acl};
use crate::access::{self, Privilege, Privileges, RelationKind};
use crate::definitions::AccessLevel;
use crate::desired;
use crate::name::{ApplicationName, DatabaseName, RoleName, SchemaName};
use crate::observed::{AclItem, Contents, Grantee, Relations, Schema};

/// The role that stands for whoever owns the database; nobody can become it.
const DATABASE_OWNER: &str = "pg_database_owner";

/// One database while it is compared.
struct Inside<'a, 'b> {
    planner: &'a mut Planner<'b>,
    name: &'a DatabaseName,
    database: &'a desired::Database,
    owner: &'a RoleName,
    /// Whether the database is only now created, so that nobody can lose anything in it.
    is_new: bool,
    steps: Vec<Step>,
}

impl Planner<'_> {
    /// The steps inside a database that does not exist yet: its schema `public` will be as the
    /// template's, for which the administrator's own database stands.
    pub(super) fn inside_new(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
    ) -> Vec<Step> {
        let Some(owner) = &database.owner else { return Vec::new() };
        let public = self.observed.template_public.clone().unwrap_or_else(|| {
            default_public(self.observed.major(), &self.observed.administrator.name)
        });
        let mut contents = Contents::default();
        contents.schemas.insert(SchemaName::observed("public"), public);
        self.compare(name, database, owner, &contents, true)
    }

    /// The steps inside a database that was looked into.
    pub(super) fn inside(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        owner: &RoleName,
        contents: &Contents,
    ) -> Vec<Step> {
        self.compare(name, database, owner, contents, false)
    }

    fn compare(
        &mut self,
        name: &DatabaseName,
        database: &desired::Database,
        owner: &RoleName,
        contents: &Contents,
        is_new: bool,
    ) -> Vec<Step> {
        let mut inside = Inside { planner: self, name, database, owner, is_new, steps: Vec::new() };
        for schema_name in database.covered() {
            if !contents.schemas.contains_key(schema_name) {
                inside.missing(schema_name, contents);
            }
        }
        for (schema_name, schema) in &contents.schemas {
            inside.schema(schema_name, schema);
            inside.relations(schema_name, &schema.relations);
            inside.default_privileges(schema_name, contents);
        }
        inside.strange_default_privileges(contents);
        inside.steps
    }
}

/// What schema `public` of a new database is by default.
fn default_public(major: u32, administrator: &RoleName) -> Schema {
    let item = |grantee, grantor: &RoleName, privilege| AclItem {
        grantee,
        grantor: grantor.clone(),
        privilege,
        grantable: false,
    };
    let owner =
        if major >= 15 { RoleName::observed(DATABASE_OWNER) } else { administrator.clone() };
    let mut acl = vec![item(Grantee::Public, &owner, Privilege::Usage)];
    if major < 15 {
        acl.push(item(Grantee::Public, &owner, Privilege::Create));
    }
    Schema { owner, acl, relations: Vec::new() }
}

impl Inside<'_, '_> {
    /// Adds a step that `master` (an owner or a grantor) is to carry out; where nobody can act for it, a
    /// refusal that names the statement it would have to run.
    fn step(
        &mut self,
        action: Action,
        role: Option<&RoleName>,
        master: &RoleName,
        summary: String,
        statement: Statement,
        hazards: &[Hazard],
    ) {
        let master = if master.as_str() == DATABASE_OWNER { self.owner } else { master };
        let application: ApplicationName = role
            .map_or(&self.database.application, |role| {
                self.planner.application_of(role, self.database)
            })
            .clone();
        let Some(acting) = self.planner.act_as(master) else {
            self.planner.refuse(
                &application,
                format!(
                    "in database {}, to {action} {summary} is for role {master} to do, as which the administrator cannot act",
                    self.name
                ),
                format!(
                    "have role {master} or a superuser run, in database {}: {};",
                    self.name,
                    statement.shown()
                ),
            );
            return;
        };
        self.steps.push(Step {
            action,
            application,
            role: role.cloned(),
            database: Some(self.name.clone()),
            summary,
            acting,
            statements: vec![statement],
            hazards: hazards.iter().copied().collect(),
        });
    }

    /// The declared roles but the owner, with what they are granted in a schema: nothing, where their
    /// entry does not cover it.
    fn wanted(
        &self,
        schema: &SchemaName,
        privileges: impl Fn(AccessLevel) -> Privileges,
    ) -> BTreeMap<RoleName, Privileges> {
        self.database
            .access
            .iter()
            .filter(|(role, access)| *role != self.owner && access.schemas.contains(schema))
            .map(|(role, access)| (role.clone(), privileges(access.level)))
            .filter(|(_, privileges)| !privileges.is_empty())
            .collect()
    }

    fn is_managed(&self, role: &RoleName) -> bool {
        self.planner.desired.roles.contains_key(role) && role != self.owner
    }

    fn apply_acl(&mut self, difference: &acl::AclDiff, owner: &RoleName, target: &Target) {
        for (role, privileges) in &difference.grant {
            let summary = granted_words(privileges, target, role);
            let statement = sql::grant(privileges, target, role);
            self.step(Action::Grant, Some(role), owner, summary, statement, &[]);
        }
        self.apply_revokes(difference, target);
    }

    fn apply_revokes(&mut self, difference: &acl::AclDiff, target: &Target) {
        const HAZARDS: [Hazard; 1] = [Hazard::RevokesAccess];
        for ((role, grantor), privileges) in &difference.revoke {
            let summary = revoked_words(privileges, target, role.as_str());
            let statement = sql::revoke(privileges, target, Some(role));
            self.step(Action::Revoke, Some(role), grantor, summary, statement, &HAZARDS);
        }
        for ((role, grantor), privileges) in &difference.revoke_grant_option {
            let words = revoked_words(privileges, target, role.as_str());
            let summary = format!("grant option for {words}");
            let statement = sql::revoke_grant_option(privileges, target, role);
            self.step(Action::Revoke, Some(role), grantor, summary, statement, &HAZARDS);
        }
    }

    /// A schema that is declared and not there: made for the owner's entry, refused for the others'.
    fn missing(&mut self, name: &SchemaName, contents: &Contents) {
        if self.database.of_owner().is_none_or(|schemas| !schemas.contains(name)) {
            self.planner.refuse(
                &self.database.application,
                format!("schema {name} does not exist in database {}", self.name),
                format!("declare it in the `schemas` of the database's owner, or have role {} run: CREATE SCHEMA {};", self.owner, name.quoted()),
            );
            return;
        }
        let owner = self.owner.clone();
        let summary = format!("schema {name}, owner {owner}");
        let role = Some(&owner);
        self.step(Action::CreateSchema, role, &owner, summary, sql::create_schema(name), &[]);
        self.schema(name, &Schema { owner: owner.clone(), acl: Vec::new(), relations: Vec::new() });
        self.default_privileges(name, contents);
    }

    fn schema(&mut self, name: &SchemaName, schema: &Schema) {
        let is_public = name.as_str() == "public";
        let covered = self.database.covered().contains(name);
        let owned = schema.owner.as_str() == DATABASE_OWNER || schema.owner == *self.owner;
        let declared = self.database.of_owner().is_some_and(|schemas| schemas.contains(name));
        if declared && !owned && !is_public {
            self.planner.refuse(
                &self.database.application,
                format!(
                    "schema {name} of database {} belongs to role {}, the definitions say {}",
                    self.name, schema.owner, self.owner
                ),
                format!(
                    "have a superuser run, in database {}: ALTER SCHEMA {} OWNER TO {};",
                    self.name,
                    name.quoted(),
                    self.owner.quoted()
                ),
            );
            return;
        }
        let target = Target::Schema(name.clone());
        let mut wanted = self.wanted(name, access::on_schema);
        if !owned && is_public && declared {
            // Up to 14 `public` belongs to the master or the bootstrap superuser, and the owner of the
            // database may create in it only because PUBLIC may.
            wanted.insert(
                self.owner.clone(),
                Privileges::from([Privilege::Create, Privilege::Usage]),
            );
        }
        let mut difference =
            acl::diff(&schema.acl, &wanted, |role| self.is_managed(role) && *role != schema.owner);
        difference.grant.retain(|role, _| *role != schema.owner);
        if is_public || covered {
            self.close_to_creators(&target, &schema.acl);
        }
        self.apply_acl(&difference, &schema.owner, &target);
    }

    /// PUBLIC creates nothing in a covered schema, nor in `public`.
    fn close_to_creators(&mut self, target: &Target, acl: &[AclItem]) {
        let create = Privileges::from([Privilege::Create]);
        let grantors: BTreeSet<&RoleName> = acl
            .iter()
            .filter(|item| item.grantee == Grantee::Public && item.privilege == Privilege::Create)
            .map(|item| &item.grantor)
            .collect();
        let hazards: &[Hazard] = if self.is_new { &[] } else { &[Hazard::RevokesAccess] };
        for grantor in grantors {
            let summary = revoked_words(&create, target, "PUBLIC");
            let statement = sql::revoke(&create, target, None);
            self.step(Action::Revoke, None, grantor, summary, statement, hazards);
        }
    }

    fn relations(&mut self, schema: &SchemaName, groups: &[Relations]) {
        for kind in RelationKind::ALL {
            let of_kind: Vec<&Relations> =
                groups.iter().filter(|group| group.kind == kind).collect();
            let wanted = self.wanted(schema, |level| access::on_relation(level, kind));
            let differences: Vec<(&Relations, acl::AclDiff)> = of_kind
                .iter()
                .filter(|group| !group.of_extension)
                .map(|group| {
                    let mut difference = acl::diff(&group.acl, &wanted, |role| {
                        self.is_managed(role) && *role != group.owner
                    });
                    difference.grant.remove(&group.owner);
                    (*group, difference)
                })
                .collect();
            // One statement for all of them where all are alike in what they lack and whose they are.
            let uniform = |role: &RoleName, privileges: &Privileges| {
                of_kind.iter().all(|group| !group.of_extension && group.owner == of_kind[0].owner)
                    && differences.iter().all(|(_, d)| d.grant.get(role) == Some(privileges))
            };
            let mut lacking: BTreeMap<(RoleName, RoleName, Privileges), Vec<String>> =
                BTreeMap::new();
            for (group, difference) in &differences {
                for (role, privileges) in &difference.grant {
                    lacking
                        .entry((group.owner.clone(), role.clone(), privileges.clone()))
                        .or_default()
                        .extend(group.names.iter().cloned());
                }
            }
            for ((owner, role, privileges), mut names) in lacking {
                names.sort();
                // Where nobody can act for the owner, the refusal names the relations.
                let target = if uniform(&role, &privileges) && self.planner.act_as(&owner).is_some()
                {
                    Target::AllRelations { kind, schema: schema.clone() }
                } else {
                    Target::Relations { kind, schema: schema.clone(), names }
                };
                let summary = granted_words(&privileges, &target, &role);
                let statement = sql::grant(&privileges, &target, &role);
                self.step(Action::Grant, Some(&role), &owner, summary, statement, &[]);
            }
            for (group, difference) in &differences {
                let target =
                    Target::Relations { kind, schema: schema.clone(), names: group.names.clone() };
                self.apply_revokes(difference, &target);
            }
        }
    }

    /// What the owner's future objects in a covered schema lack.
    fn default_privileges(&mut self, schema: &SchemaName, contents: &Contents) {
        let owner = self.owner.clone();
        for kind in RelationKind::ALL {
            let wanted = self.wanted(schema, |level| access::on_relation(level, kind));
            let held = contents
                .default_privileges
                .iter()
                .filter(|row| {
                    row.role == owner && row.kind == kind && row.schema.as_ref() == Some(schema)
                })
                .flat_map(|row| &row.acl);
            let difference = acl::diff(held, &wanted, |_| false);
            for (role, privileges) in &difference.grant {
                let list: Vec<String> = privileges.iter().map(ToString::to_string).collect();
                let summary = format!(
                    "{} on future {}s of {owner} in schema {schema} to {role}",
                    list.join(", "),
                    kind.keyword().to_lowercase()
                );
                let statement = sql::grant_default(&owner, schema, kind, privileges, role);
                self.step(Action::DefaultPrivileges, Some(role), &owner, summary, statement, &[]);
            }
        }
    }

    /// Default privileges, of whatever creator, that give a declared role more than it shall have.
    fn strange_default_privileges(&mut self, contents: &Contents) {
        for row in &contents.default_privileges {
            // Without a schema they count in every schema there will be, which no entry covers.
            let wanted = row.schema.as_ref().map_or_else(BTreeMap::new, |schema| {
                self.wanted(schema, |level| access::on_relation(level, row.kind))
            });
            let difference =
                acl::diff(&row.acl, &wanted, |role| self.is_managed(role) && *role != row.role);
            let revokes = difference.revoke.iter().map(|change| (change, false));
            let options = difference.revoke_grant_option.iter().map(|change| (change, true));
            for (((role, _), privileges), only_option) in revokes.chain(options) {
                let list: Vec<String> = privileges.iter().map(ToString::to_string).collect();
                let place =
                    row.schema.as_ref().map(|s| format!(" in schema {s}")).unwrap_or_default();
                let summary = format!(
                    "{}{} on future {}s of {}{place} from {role}",
                    if only_option { "grant option for " } else { "" },
                    list.join(", "),
                    row.kind.keyword().to_lowercase(),
                    row.role
                );
                let statement = sql::revoke_default(
                    &row.role,
                    row.schema.as_ref(),
                    row.kind,
                    privileges,
                    role,
                    only_option,
                );
                self.step(
                    Action::DefaultPrivileges,
                    Some(role),
                    &row.role,
                    summary,
                    statement,
                    &[Hazard::RevokesAccess],
                );
            }
        }
    }
}
