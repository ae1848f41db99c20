//! A server's state as its bootstrap superuser sees it: every owner, ACL, attribute, membership and
//! setting, in a fixed order for comparison.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::declared::{Application, Declared, Level};
use crate::initial_state::ADMINISTRATOR;

/// One ACL item: grantee (`None` is PUBLIC), grantor, privilege, grant option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Item(pub Option<String>, pub String, pub String, pub bool);

impl std::fmt::Display for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let grantee = self.0.as_deref().unwrap_or("PUBLIC");
        let option = if self.3 { " with grant option" } else { "" };
        write!(f, "{} to {grantee} by {}{option}", self.2, self.1)
    }
}

pub type Acl = BTreeSet<Item>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectClass {
    Database,
    Schema,
    Table,
    Sequence,
    Column,
    Routine,
    Type,
    Language,
    LargeObject,
    ForeignServer,
    Wrapper,
    /// Has an owner but no ACL.
    Other,
}

/// The identity of an object. A column is a part of its table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Name {
    pub class: ObjectClass,
    pub schema: String,
    pub name: String,
    pub part: String,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.class, self.schema)?;
        for part in [&self.name, &self.part].into_iter().filter(|part| !part.is_empty()) {
            write!(f, ".{part:?}")?;
        }
        Ok(())
    }
}

/// An object that has an owner and an ACL.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CatalogObject {
    #[serde(flatten)]
    pub name: Name,
    /// The `relkind` of a relation.
    pub detail: String,
    pub owner: String,
    pub of_extension: bool,
    pub acl: Acl,
}

/// The key of default privileges: creator, schema (`None`: all
/// schemas), object type (`defaclobjtype`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DefaultsOf {
    pub creator: String,
    pub schema: Option<String>,
    pub kind: String,
}

#[derive(Deserialize)]
struct DefaultsRow {
    creator: Option<String>,
    schema: Option<String>,
    kind: String,
    acl: Acl,
}

#[derive(Deserialize)]
struct ContentsRow {
    objects: Vec<CatalogObject>,
    defaults: Vec<DefaultsRow>,
    of_the_system: String,
}

/// The contents of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    pub objects: BTreeMap<Name, CatalogObject>,
    defaults: BTreeMap<DefaultsOf, Acl>,
    /// The built-in default privileges by object type, as the bootstrap superuser has them.
    built_in: BTreeMap<String, Acl>,
    of_the_system: String,
}

impl Contents {
    /// Creates contents. The ACLs of the system's own objects are not contained.
    #[allow(dead_code, reason = "not every test program has contents of its own")]
    pub fn new(
        objects: Vec<CatalogObject>,
        defaults: BTreeMap<DefaultsOf, Acl>,
        built_in: BTreeMap<String, Acl>,
    ) -> Self {
        let objects = objects.into_iter().map(|object| (object.name.clone(), object)).collect();
        Self { objects, defaults, built_in, of_the_system: String::new() }
    }

    pub fn read(text: &str) -> serde_json::Result<Self> {
        let row: ContentsRow = serde_json::from_str(text)?;
        let objects = row.objects.into_iter().map(|object| (object.name.clone(), object)).collect();
        let mut defaults = BTreeMap::new();
        let mut built_in = BTreeMap::new();
        for DefaultsRow { creator, schema, kind, acl } in row.defaults {
            match creator {
                Some(creator) => drop(defaults.insert(DefaultsOf { creator, schema, kind }, acl)),
                None => drop(built_in.insert(kind, acl)),
            }
        }
        Ok(Self { objects, defaults, built_in, of_the_system: row.of_the_system })
    }

    pub fn defaults_named(&self) -> impl Iterator<Item = &DefaultsOf> {
        self.defaults.keys()
    }

    /// Returns default privileges. Without a row, these are the built-in ones, or none in a schema.
    pub fn defaults(&self, of: &DefaultsOf) -> Acl {
        if let Some(acl) = self.defaults.get(of) {
            return acl.clone();
        }
        if of.schema.is_some() {
            return Acl::new();
        }
        let of_superuser = self.built_in.get(&of.kind).cloned().unwrap_or_default();
        let creator = || of.creator.clone();
        let of_creator = |item: Item| Item(item.0.map(|_| creator()), creator(), item.2, item.3);
        of_superuser.into_iter().map(of_creator).collect()
    }

    /// Returns the differences where no change is allowed.
    pub fn differences(&self, after: &Self, place: &str) -> Vec<String> {
        let mut found = Vec::new();
        if self.of_the_system != after.of_the_system {
            found.push(format!("{place}: an ACL of the system's own objects changed"));
        }
        let names: BTreeSet<&Name> = self.objects.keys().chain(after.objects.keys()).collect();
        for name in names {
            let (before, after) = (self.objects.get(name), after.objects.get(name));
            if before != after {
                found.push(format!("{place}: {name} was {before:?} and is {after:?}"));
            }
        }
        let rows: BTreeSet<&DefaultsOf> =
            self.defaults.keys().chain(after.defaults.keys()).collect();
        for of in rows {
            let (before, after) = (self.defaults(of), after.defaults(of));
            if before != after {
                found.push(format!("{place}: {of:?} were {before:?} and are {after:?}"));
            }
        }
        found
    }

    pub fn same_system(&self, after: &Self) -> bool {
        self.of_the_system == after.of_the_system
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Membership {
    pub role: String,
    pub member: String,
    pub grantor: String,
    pub admin: bool,
    pub inherit: Option<bool>,
    pub set: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Database {
    pub owner: String,
    pub allows_connections: bool,
    pub comment: Option<String>,
    pub acl: Acl,
    pub rest: Value,
}

/// A setting of a role, a database or both. `None` means all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Setting {
    pub role: Option<String>,
    pub database: Option<String>,
    pub setting: String,
}

/// The objects that all databases share.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Cluster {
    pub roles: BTreeMap<String, Map<String, Value>>,
    pub memberships: BTreeSet<Membership>,
    pub databases: BTreeMap<String, Database>,
    pub settings: BTreeSet<Setting>,
}

/// A whole server. The contents of a database that does not allow connections are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub cluster: Cluster,
    pub contents: BTreeMap<String, Contents>,
}

impl Snapshot {
    /// Returns the user of a declared database's owner entry, or else its current owner.
    pub fn owner<'a>(&'a self, declared: &'a Declared, database: &str) -> &'a str {
        match declared.owner(database) {
            Some(app) => &app.user,
            None => self.cluster.databases.get(database).map_or("", |database| &database.owner),
        }
    }

    /// Gives each declared database that has another owner to its declared one, with all objects of
    /// the old owner in it, as PostgreSQL would. In the schemas of the owner's entry, the objects of
    /// the administrator get the owner, too. Returns the old owners.
    pub fn transfer_ownership(&mut self, declared: &Declared) -> Vec<String> {
        let mut were = Vec::new();
        for app in declared.applications.iter().filter(|app| app.level == Level::Owner) {
            let Some(database) = self.cluster.databases.get_mut(&app.database) else { continue };
            if !database.allows_connections {
                continue;
            }
            if let Some(contents) = self.contents.get_mut(&app.database) {
                take_schemas(contents, app);
                let is_creator = declared.creators(&app.database).contains(ADMINISTRATOR);
                if database.owner != ADMINISTRATOR && !is_creator {
                    take_objects_of_administrator(contents, app);
                }
            }
            if database.owner == app.user {
                continue;
            }
            let from = std::mem::replace(&mut database.owner, app.user.clone());
            database.acl = with_new_owner(&database.acl, &from, &app.user);
            if let Some(contents) = self.contents.get_mut(&app.database) {
                for object in contents.objects.values_mut().filter(|object| object.owner == from) {
                    object.owner.clone_from(&app.user);
                    object.acl = with_new_owner(&object.acl, &from, &app.user);
                }
            }
            were.push(from);
        }
        were
    }

    /// Returns the differences where no change is allowed.
    pub fn differences(&self, after: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let (a, b) = (&self.cluster, &after.cluster);
        compare(&mut found, "role", &a.roles, &b.roles);
        compare(&mut found, "database", &a.databases, &b.databases);
        found.extend(sets(&a.memberships, &b.memberships));
        found.extend(sets(&a.settings, &b.settings));
        for (name, contents) in &self.contents {
            match after.contents.get(name) {
                Some(after) => found.extend(contents.differences(after, name)),
                None => found.push(format!("database {name} no longer allows connections")),
            }
        }
        found
    }
}

/// Gives the schemas of the owner's entry to the owner.
fn take_schemas(contents: &mut Contents, owner: &Application) {
    for object in contents.objects.values_mut() {
        let name = &object.name;
        let is_declared = name.class == ObjectClass::Schema
            && name.schema != "public"
            && owner.covers(&name.schema);
        if is_declared && object.owner != "pg_database_owner" {
            object.acl = with_new_owner(&object.acl, &object.owner, &owner.user);
            object.owner.clone_from(&owner.user);
        }
    }
}

/// Gives the objects of the administrator in the schemas of the owner's entry to the owner.
fn take_objects_of_administrator(contents: &mut Contents, owner: &Application) {
    let is_taken = |object: &CatalogObject| {
        let name = &object.name;
        let in_schema = name.class != ObjectClass::Schema && owner.covers(&name.schema);
        in_schema && object.owner == ADMINISTRATOR && !object.of_extension
    };
    for object in contents.objects.values_mut().filter(|object| is_taken(object)) {
        object.acl = with_new_owner(&object.acl, ADMINISTRATOR, &owner.user);
        object.owner.clone_from(&owner.user);
    }
}

/// Replaces the old owner by the new one. If two items become equal, the grant option remains.
fn with_new_owner(acl: &Acl, from: &str, to: &str) -> Acl {
    let renamed = |role: &String| if role == from { to.to_owned() } else { role.clone() };
    let all: Acl = acl
        .iter()
        .map(|item| Item(item.0.as_ref().map(renamed), renamed(&item.1), item.2.clone(), item.3))
        .collect();
    let is_more = |item: &Item| Item(item.0.clone(), item.1.clone(), item.2.clone(), true);
    all.iter().filter(|item| item.3 || !all.contains(&is_more(item))).cloned().collect()
}

fn compare<T: PartialEq + std::fmt::Debug>(
    found: &mut Vec<String>,
    what: &str,
    before: &BTreeMap<String, T>,
    after: &BTreeMap<String, T>,
) {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let (before, after) = (before.get(name), after.get(name));
        if before != after {
            found.push(format!("{what} {name} was {before:?} and is {after:?}"));
        }
    }
}

/// Describes the removed and the added elements of a set.
pub fn sets<T: Ord + std::fmt::Debug>(before: &BTreeSet<T>, after: &BTreeSet<T>) -> Vec<String> {
    let gone = before.difference(after).map(|item| format!("gone: {item:?}"));
    let new = after.difference(before).map(|item| format!("new: {item:?}"));
    gone.chain(new).collect()
}
