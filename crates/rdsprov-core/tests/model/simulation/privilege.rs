//! `has_…_privilege`: what a role may do, whatever the ACLs say how.

use std::collections::BTreeSet;

use super::acl::{self, bit, names, without_options};
use super::catalog::{Follow, Kind, Object, Oid, World, all_privileges, default_acl};
use super::{Model, Outcome, Session};
use crate::snapshot::{Name, ObjectClass};

impl Model {
    pub(super) fn has_database_privilege(&self, role: Oid, name: &str, privilege: &str) -> bool {
        let Ok(database) = self.catalog.database(name) else { return false };
        if self.catalog.is_superuser(role) {
            return true;
        }
        let built_in = || default_acl('d', database.owner, self.catalog.major);
        let acl = database.acl.clone().unwrap_or_else(built_in);
        let world = World { catalog: &self.catalog, database_owner: database.owner };
        let mask = acl::mask(&acl, role, database.owner, bit(privilege).unwrap_or(0), &world);
        mask != 0
    }
}

impl Session<'_> {
    /// Returns the privileges of each role on each object of the database and on the database itself.
    pub fn privileges(&self, roles: &[String]) -> Outcome<Vec<(Name, String, BTreeSet<String>)>> {
        let major = self.catalog().major;
        let mut all = Vec::new();
        for name in roles {
            let role = self.catalog().role_oid(name)?;
            let database = self.catalog().database(&self.database)?;
            let built_in = || default_acl('d', database.owner, major);
            let acl = database.acl.clone().unwrap_or_else(built_in);
            let mut found = |of: Name, mask: acl::Mask| {
                let held = names(without_options(mask)).map(str::to_owned).collect();
                all.push((of, name.clone(), held));
            };
            let of_database = Name {
                class: ObjectClass::Database,
                schema: String::new(),
                name: self.database.clone(),
                part: String::new(),
            };
            found(of_database, self.mask_of(&acl, 'd', database.owner, role));
            for object in &database.objects {
                let Some(of) = super::snapshot::name(object) else { continue };
                // There is no such function.
                if of.class == ObjectClass::LargeObject || of.class == ObjectClass::Other {
                    continue;
                }
                let Some(kind) = object.acl_kind() else { continue };
                let mask = self.mask_of(&object.effective_acl(major), kind, object.owner, role);
                found(of.clone(), mask);
                for (column, acl) in &object.columns {
                    let on_column = self.mask_of(acl, 'c', object.owner, role);
                    let both = (mask | on_column) & all_privileges('c', major);
                    let part = column.clone();
                    found(Name { class: ObjectClass::Column, part, ..of.clone() }, both);
                }
            }
        }
        Ok(all)
    }

    /// `administrators.sql`: superusers, the current role, `rds_superuser`, and their members.
    pub(super) fn administrators(&self) -> Vec<Oid> {
        let catalog = self.catalog();
        let owner = self.database_owner();
        let counts = |oid: Oid| {
            let role = &catalog.roles[&oid];
            role.superuser
                || oid == self.current()
                || role.name == "rds_superuser"
                || catalog.major < 16 && role.create_role
        };
        let is_one = |role: &Oid| {
            catalog.is_superuser(*role)
                || catalog.roles_of(*role, Follow::All, owner).into_iter().any(counts)
        };
        catalog.roles.keys().copied().filter(is_one).collect()
    }

    pub(super) fn is_extension_object(object: &Object) -> bool {
        object.extension.is_some() && object.kind != Kind::Extension
    }
}
