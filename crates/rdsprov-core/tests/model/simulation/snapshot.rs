//! The whole server as its bootstrap superuser sees it, for the oracle.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::acl::{self, PUBLIC, names, options, without_options};
use super::catalog::{Kind, Object, Oid, default_acl};
use super::contents::identity_arguments;
use super::{Model, grant};
use crate::snapshot::{
    Acl, CatalogObject, Cluster, Contents, Database, DefaultsOf, Item, Membership, Name,
    ObjectClass, Setting, Snapshot,
};

/// Returns how the oracle names an object.
pub(super) fn name(object: &Object) -> Option<Name> {
    let class = match object.kind {
        Kind::Schema => ObjectClass::Schema,
        Kind::Relation('S') => ObjectClass::Sequence,
        Kind::Relation(_) => ObjectClass::Table,
        Kind::Routine(_) => ObjectClass::Routine,
        Kind::Type('d' | 'e') => ObjectClass::Type,
        Kind::Language => ObjectClass::Language,
        Kind::LargeObject => ObjectClass::LargeObject,
        Kind::ForeignServer => ObjectClass::ForeignServer,
        Kind::Wrapper => ObjectClass::Wrapper,
        Kind::Type(_) | Kind::TextSearchConfiguration | Kind::Publication => ObjectClass::Other,
        Kind::Extension => return None,
    };
    let schema = object.schema.clone().unwrap_or_default();
    let schema = if class == ObjectClass::Schema { object.name.clone() } else { schema };
    let name = match class {
        ObjectClass::Routine => format!("{}({})", object.name, identity_arguments(object)),
        ObjectClass::Other => format!("{:?} {}", object.kind, grant::quoted(&object.name)),
        _ => object.name.clone(),
    };
    Some(Name { class, schema, name, part: String::new() })
}

impl Model {
    fn item_set(&self, acl: &acl::Acl) -> Acl {
        let role = |oid: Oid| self.catalog.role_name(oid).to_owned();
        let mut all = Acl::new();
        for item in acl {
            for privilege in names(without_options(item.rights)) {
                let bit = acl::bit(privilege).unwrap_or(0);
                let grantee = (item.grantee != PUBLIC).then(|| role(item.grantee));
                let grantable = item.rights & options(bit) != 0;
                all.insert(Item(grantee, role(item.grantor), privilege.to_owned(), grantable));
            }
        }
        all
    }

    /// Returns the contents of a database.
    pub fn contents(&self, database: &str) -> Option<Contents> {
        let database = self.catalog.databases.get(database)?;
        let major = self.catalog.major;
        let mut objects = Vec::new();
        for object in &database.objects {
            let Some(of) = name(object) else { continue };
            let found = CatalogObject {
                detail: match object.kind {
                    Kind::Relation(kind) => kind.to_string(),
                    _ => String::new(),
                },
                owner: self.catalog.role_name(object.owner).to_owned(),
                of_extension: object.extension.is_some(),
                acl: self.item_set(&object.effective_acl(major)),
                name: of,
            };
            for (column, acl) in &object.columns {
                objects.push(CatalogObject {
                    name: Name {
                        class: ObjectClass::Column,
                        part: column.clone(),
                        ..found.name.clone()
                    },
                    detail: String::new(),
                    acl: self.item_set(acl),
                    ..found.clone()
                });
            }
            objects.push(found);
        }
        let mut defaults = BTreeMap::new();
        for (key, acl) in &database.default_privileges {
            let of = DefaultsOf {
                creator: self.catalog.role_name(key.creator).to_owned(),
                schema: key.schema.clone(),
                kind: key.kind.to_string(),
            };
            defaults.insert(of, self.item_set(acl));
        }
        let built_in = ['r', 'S', 'f', 'T', 'n', 'L'].map(|kind| {
            let acl_kind = super::default_privileges::acl_kind(kind);
            let acl = default_acl(acl_kind, super::catalog::BOOTSTRAP, major);
            (kind.to_string(), self.item_set(&acl))
        });
        Some(Contents::new(objects, defaults, built_in.into()))
    }

    /// Returns the state of the server. The databases of a new server have no contents.
    pub fn snapshot(&self) -> Snapshot {
        let catalog = &self.catalog;
        let role = |oid: Oid| catalog.role_name(oid).to_owned();
        let mut roles = BTreeMap::new();
        for one in catalog.roles.values().filter(|one| !one.name.starts_with("pg_")) {
            let valid_until = one.valid_until.clone();
            let Value::Object(row) = json!({
                "rolsuper": one.superuser,
                "rolinherit": one.inherit,
                "rolcreaterole": one.create_role,
                "rolcreatedb": one.create_database,
                "rolcanlogin": one.login,
                "rolreplication": one.replication,
                "rolbypassrls": one.bypass_rls,
                "rolconnlimit": one.connection_limit,
                "rolvaliduntil": valid_until,
                "rolpassword": one.password,
                "comment": one.comment,
            }) else {
                continue;
            };
            let row: Map<String, Value> = row;
            roles.insert(one.name.clone(), row);
        }
        let memberships: BTreeSet<Membership> = catalog
            .memberships
            .iter()
            .map(|one| Membership {
                role: role(one.role),
                member: role(one.member),
                grantor: role(one.grantor),
                admin: one.admin,
                inherit: (catalog.major >= 16).then_some(one.inherit),
                set: (catalog.major >= 16).then_some(one.set),
            })
            .collect();
        let mut databases = BTreeMap::new();
        let mut contents = BTreeMap::new();
        for (name, database) in &catalog.databases {
            let built_in = || default_acl('d', database.owner, catalog.major);
            let acl = database.acl.clone().unwrap_or_else(built_in);
            let found = Database {
                owner: role(database.owner),
                allows_connections: database.allow_connections,
                comment: database.comment.clone(),
                acl: self.item_set(&acl),
                rest: json!([database.connection_limit, database.is_template]),
            };
            databases.insert(name.clone(), found);
            let is_of_server =
                ["template0", "template1", "postgres", "rdsadmin", "platform"].contains(&&**name);
            if database.allow_connections && !is_of_server {
                contents.extend(self.contents(name).map(|inside| (name.clone(), inside)));
            }
        }
        let mut settings = BTreeSet::new();
        for ((of, database), stored) in catalog.settings.iter() {
            let database = catalog.databases.iter().find(|(_, one)| one.oid == *database);
            for (name, value) in stored {
                settings.insert(Setting {
                    role: (*of != 0).then(|| role(*of)),
                    database: database.map(|(name, _)| name.clone()),
                    setting: format!("{name}={value}"),
                });
            }
        }
        Snapshot { cluster: Cluster { roles, memberships, databases, settings }, contents }
    }
}
