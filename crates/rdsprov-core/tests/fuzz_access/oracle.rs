//! The expected result of a run, specified independently of the product: the rules for each ACL in
//! a declared database, each role and each membership, given the state before the run.

use std::collections::{BTreeMap, BTreeSet};

use crate::declared::{Application, Declared, Level};
use crate::snapshot::{Acl, Class, Contents, Database, DefaultsOf, Item, Name, Snapshot, Thing};
use crate::starting::ADMINISTRATOR;

const DATABASE_OWNER: &str = "pg_database_owner";

/// Returns the privileges that a level has on a class of objects.
fn table_of_levels(level: Level, class: Class) -> &'static [&'static str] {
    match (level, class) {
        (Level::Editor, Class::Database) => &["CONNECT", "TEMPORARY"],
        (Level::Reader, Class::Database) => &["CONNECT"],
        (Level::Editor | Level::Reader, Class::Schema) => &["USAGE"],
        (Level::Editor, Class::Table) => &["SELECT", "INSERT", "UPDATE", "DELETE"],
        (Level::Reader, Class::Table | Class::Sequence) => &["SELECT"],
        (Level::Editor, Class::Sequence) => &["USAGE", "SELECT"],
        _ => &[],
    }
}

/// An expected ACL: it contains all required items and nothing except those and the tolerated ones.
#[derive(Debug, Default)]
pub struct Expected {
    pub required: Acl,
    /// Items of the previous ACL that may remain.
    pub tolerated: Acl,
}

impl Expected {
    pub fn complaints(&self, after: &Acl, what: &str) -> Vec<String> {
        let missing =
            self.required.difference(after).map(|item| format!("{what}: {item} is missing"));
        let strange = after
            .iter()
            .filter(|item| !self.required.contains(item) && !self.tolerated.contains(item))
            .map(|item| format!("{what}: {item} is unexpected"));
        missing.chain(strange).collect()
    }

    /// Returns the privileges that a role has through its own items and those of PUBLIC.
    pub fn held(&self, role: &str, stands_for: Option<&str>) -> BTreeSet<&str> {
        self.required
            .iter()
            .chain(&self.tolerated)
            .filter(|item| {
                item.0
                    .as_deref()
                    .is_none_or(|grantee| grantee == role || Some(grantee) == stands_for)
            })
            .map(|item| item.2.as_str())
            .collect()
    }
}

/// The treatment of an existing ACL item.
enum Fate {
    Stays,
    Goes,
    /// May remain, without its grant option.
    MayStay,
}

/// The rules for one declared database.
pub struct Rules<'a> {
    pub declared: &'a Declared,
    pub database: &'a str,
    /// The role that owns the database.
    pub owner: &'a str,
}

impl<'a> Rules<'a> {
    /// Returns the declared roles except the owner, with their entries for this database if any.
    fn regulated(&self) -> impl Iterator<Item = (&'a str, Option<&'a Application>)> {
        let (declared, database, owner) = (self.declared, self.database, self.owner);
        declared
            .roles()
            .into_iter()
            .filter(move |role| *role != owner)
            .map(move |role| (role, declared.access(database, role)))
    }

    fn is_regulated(&self, role: &str) -> bool {
        role != self.owner && self.declared.is_managed(role)
    }

    /// Returns the roles whose future objects are covered.
    pub fn creators(&self) -> BTreeSet<&str> {
        let mut creators = self.declared.creators(self.database);
        creators.insert(self.owner);
        creators
    }

    /// Returns the privileges that a declared role has on an object through its entry.
    fn wanted(&self, app: &Application, thing: &Thing) -> &'static [&'static str] {
        let class = thing.name.class;
        let covered = class == Class::Database || app.covers(&thing.name.schema);
        let lacks = !covered || thing.owner == app.user || thing.of_extension;
        if lacks { &[] } else { table_of_levels(app.level, class) }
    }

    /// Returns whether the definitions do not govern an ACL item: its grantee is the object's owner
    /// or an undeclared role.
    pub fn is_of_others(&self, thing: &Thing, item: &Item) -> bool {
        item.0.as_ref().is_some_and(|role| *role == thing.owner || !self.is_regulated(role))
    }

    /// Returns the treatment of an ACL item of PUBLIC.
    fn fate_of_public(&self, thing: &Thing, item: &Item) -> Fate {
        let covered = self.declared.covered(self.database).contains(&thing.name.schema);
        let goes = match thing.name.class {
            Class::Database => true,
            Class::Schema => {
                let is_public = thing.name.schema == "public";
                let owned = thing.owner == self.owner;
                (covered && !is_public && owned) || ((covered || is_public) && item.2 == "CREATE")
            }
            Class::Table | Class::Sequence | Class::Column => {
                covered && self.creators().contains(thing.owner.as_str()) && !thing.of_extension
            }
            Class::LargeObject | Class::ForeignServer => {
                self.creators().contains(thing.owner.as_str())
            }
            _ => false,
        };
        if goes { Fate::Goes } else { Fate::Stays }
    }

    fn fate(&self, thing: &Thing, item: &Item) -> Fate {
        let Some(grantee) = &item.0 else { return self.fate_of_public(thing, item) };
        if *grantee == thing.owner || !self.is_regulated(grantee) {
            return Fate::Stays;
        }
        let Some(app) = self.declared.access(self.database, grantee) else { return Fate::Goes };
        let class = if thing.name.class == Class::Column { Class::Table } else { thing.name.class };
        // Default privileges on a creator's extension may remain.
        let of_others = !self.creators().contains(thing.owner.as_str());
        let wanted = self.wanted(
            app,
            &Thing {
                name: Name { class, ..thing.name.clone() },
                of_extension: thing.of_extension && of_others,
                ..thing.clone()
            },
        );
        let relation = matches!(thing.name.class, Class::Table | Class::Sequence);
        let by_managed = item.1 != thing.owner && self.is_regulated(&item.1);
        if !wanted.contains(&item.2.as_str()) || (relation && by_managed) {
            Fate::Goes
        } else {
            Fate::MayStay
        }
    }

    /// Returns the privileges that are restored to a declared owner: all on its database and on the
    /// schemas of its entry. Before PostgreSQL 15, schema `public` has another owner, and the owner
    /// had CREATE through PUBLIC.
    fn owners_own(&self, thing: &Thing) -> Option<(&str, &'static [&'static str])> {
        let Some(entry) = self.declared.owner(self.database) else {
            // A role that owns the database without an owner entry still gets the access of its
            // entry.
            let entry = self.declared.access(self.database, self.owner)?;
            let of_level = table_of_levels(entry.level, Class::Database);
            return (thing.name.class == Class::Database).then_some((self.owner, of_level));
        };
        match thing.name.class {
            Class::Database => Some((self.owner, &["CONNECT", "CREATE", "TEMPORARY"])),
            Class::Schema if entry.covers(&thing.name.schema) => {
                let of_database = thing.owner == DATABASE_OWNER;
                let role = if of_database { DATABASE_OWNER } else { self.owner };
                Some((role, &["CREATE", "USAGE"]))
            }
            _ => None,
        }
    }

    /// Returns the privileges of a declared owner on another role's relation in a schema of its
    /// entry.
    fn owner_on_anothers(&self, thing: &Thing) -> &'static [&'static str] {
        let covers = |entry: &Application| entry.covers(&thing.name.schema);
        let class = thing.name.class;
        let is_relation = matches!(class, Class::Table | Class::Sequence);
        let of_another = thing.owner != self.owner && thing.owner != DATABASE_OWNER;
        let declared = self.declared.owner(self.database).is_some_and(covers);
        let holds = is_relation && of_another && declared && !thing.of_extension;
        if holds { table_of_levels(Level::Editor, class) } else { &[] }
    }

    /// Returns whether PUBLIC has a privilege on an object and keeps it.
    fn everybody_keeps(&self, thing: &Thing, privilege: &str) -> bool {
        thing.acl.iter().any(|item| {
            item.0.is_none()
                && item.2 == privilege
                && matches!(self.fate_of_public(thing, item), Fate::Stays)
        })
    }

    /// Returns the expected ACL of an object, given its ACL before the run.
    pub fn expected(&self, thing: &Thing) -> Expected {
        let mut expected = Expected::default();
        for item in &thing.acl {
            match self.fate(thing, item) {
                Fate::Stays => drop(expected.required.insert(item.clone())),
                Fate::MayStay => {
                    expected.tolerated.insert(Item(
                        item.0.clone(),
                        item.1.clone(),
                        item.2.clone(),
                        false,
                    ));
                }
                // If the item cannot be revoked, the privilege of PUBLIC explains it.
                Fate::Goes if self.everybody_keeps(thing, &item.2) => {
                    expected.tolerated.insert(item.clone());
                }
                Fate::Goes => {}
            }
        }
        let mut require = |role: &str, privilege: &str| {
            let of_owner =
                Item(Some(role.to_owned()), thing.owner.clone(), privilege.to_owned(), false);
            let by_another = expected
                .tolerated
                .iter()
                .any(|item| item.0 == of_owner.0 && item.2 == of_owner.2 && item.1 != of_owner.1);
            // A grant by another role, or one to PUBLIC, may already suffice.
            let set = if by_another || self.everybody_keeps(thing, privilege) {
                &mut expected.tolerated
            } else {
                &mut expected.required
            };
            set.insert(of_owner);
        };
        for (role, app) in self.regulated() {
            for privilege in app.map_or(&[][..], |app| self.wanted(app, thing)) {
                require(role, privilege);
            }
        }
        for privilege in self.owner_on_anothers(thing) {
            let owner = Some(self.owner);
            if !thing.acl.iter().any(|i| i.0.as_deref() == owner && i.2 == *privilege) {
                require(self.owner, privilege);
            }
        }
        let administrator_lacks =
            !thing.acl.iter().any(|i| i.0.as_deref() == Some(ADMINISTRATOR) && i.2 == "CONNECT");
        if thing.name.class == Class::Database && administrator_lacks {
            require(ADMINISTRATOR, "CONNECT");
        }
        if let Some((role, privileges)) = self.owners_own(thing) {
            let lacks = |privilege: &&&str| {
                !thing.acl.iter().any(|i| i.0.as_deref() == Some(role) && i.2 == **privilege)
            };
            privileges.iter().filter(lacks).for_each(|privilege| require(role, privilege));
        }
        expected
    }

    /// Returns the expected default privileges, given those before the run.
    fn expected_defaults(&self, of: &DefaultsOf, before: &Acl) -> Expected {
        let of_creator = self.creators().contains(of.creator.as_str());
        let class = match of.kind.as_str() {
            "r" => Some(Class::Table),
            "S" => Some(Class::Sequence),
            _ => None,
        };
        let all_covered = self.declared.covered(self.database);
        let covered = of.schema.as_ref().is_none_or(|schema| all_covered.contains(schema));
        let mut expected = Expected::default();
        for item in before {
            let goes = match &item.0 {
                None => of_creator && covered && matches!(of.kind.as_str(), "r" | "S" | "n" | "L"),
                Some(grantee) => *grantee != of.creator && self.is_regulated(grantee),
            };
            if !goes {
                expected.required.insert(item.clone());
            }
        }
        let (Some(schema), Some(class), true) = (&of.schema, class, of_creator) else {
            return expected;
        };
        if of.creator != self.owner
            && self.declared.owner(self.database).is_some_and(|owner| owner.covers(schema))
        {
            let lacks = |privilege: &&&str| {
                !before.iter().any(|i| i.0.as_deref() == Some(self.owner) && i.2 == **privilege)
            };
            let of_editor = table_of_levels(Level::Editor, class).iter().filter(lacks);
            expected.required.extend(of_editor.map(|privilege| {
                let (owner, creator) = (Some(self.owner.to_owned()), of.creator.clone());
                Item(owner, creator, (*privilege).to_owned(), false)
            }));
        }
        for (role, app) in self.regulated() {
            let Some(app) = app.filter(|app| app.covers(schema) && role != of.creator) else {
                continue;
            };
            for privilege in table_of_levels(app.level, class) {
                expected.required.insert(Item(
                    Some(role.to_owned()),
                    of.creator.clone(),
                    (*privilege).to_owned(),
                    false,
                ));
            }
        }
        expected
    }

    /// Attributes grants that the database's owner made through a grant option to
    /// pg_database_owner: PostgreSQL chooses either grantor, depending on the ACL.
    fn by_whom(&self, contents: &Contents) -> Contents {
        let mut contents = contents.clone();
        for thing in contents.things.values_mut().filter(|thing| thing.owner == DATABASE_OWNER) {
            let by_owner = |item: Item| {
                let grantor = if item.1 == self.owner { DATABASE_OWNER.to_owned() } else { item.1 };
                Item(item.0, grantor, item.2, item.3)
            };
            thing.acl = std::mem::take(&mut thing.acl).into_iter().map(by_owner).collect();
        }
        contents
    }

    /// Returns all differences from the expected contents of the database.
    pub fn judge(&self, before: &Contents, after: &Contents) -> Vec<String> {
        let (before, after) = (&self.by_whom(before), &self.by_whom(after));
        let mut found = Vec::new();
        let place = self.database;
        if !before.same_system(after) {
            found.push(format!("{place}: an ACL of the system's own objects changed"));
        }
        let made = self.declared.owner(place).map(Application::covered).unwrap_or_default();
        let makes_extensions =
            self.declared.owner(place).is_some_and(|owner| !owner.extensions.is_empty());
        for (name, thing) in &after.things {
            let mut was = thing.clone();
            match before.things.get(name) {
                Some(before) => was = before.clone(),
                None if name.class == Class::Schema && made.contains(&name.schema) => {
                    let of_owner = |item: &&Item| item.0.as_deref() == Some(self.owner);
                    was.acl = thing.acl.iter().filter(of_owner).cloned().collect();
                    was.acl.extend(self.given_to_others(before));
                    was.owner = self.owner.to_owned();
                }
                None if thing.of_extension && makes_extensions => {}
                None => found.push(format!("{place}: {name} is new")),
            }
            if was.owner != thing.owner {
                found.push(format!(
                    "{place}: {name} belonged to {} and belongs to {}",
                    was.owner, thing.owner
                ));
            }
            let expected = self.expected(&was);
            found.extend(expected.complaints(&thing.acl, &format!("{place}: {name}")));
        }
        let gone = before.things.keys().filter(|name| !after.things.contains_key(name));
        found.extend(gone.map(|name| format!("{place}: {name} is gone")));
        for of in self.defaults_to_judge(before, after) {
            let expected = self.expected_defaults(&of, &before.defaults(&of));
            found.extend(expected.complaints(&after.defaults(&of), &format!("{place}: {of:?}")));
        }
        found
    }

    /// Returns what the owner's default privileges grant to undeclared roles on each schema that it
    /// creates.
    fn given_to_others(&self, before: &Contents) -> Vec<Item> {
        let of = DefaultsOf { creator: self.owner.to_owned(), schema: None, kind: "n".to_owned() };
        let others = |item: &Item| {
            item.0.as_ref().is_some_and(|role| role != self.owner && !self.is_regulated(role))
        };
        before.defaults(&of).into_iter().filter(others).collect()
    }

    fn defaults_to_judge(&self, before: &Contents, after: &Contents) -> BTreeSet<DefaultsOf> {
        let mut all: BTreeSet<DefaultsOf> =
            before.defaults_named().chain(after.defaults_named()).cloned().collect();
        for creator in self.creators() {
            for schema in self.declared.covered(self.database) {
                for kind in ["r", "S"] {
                    all.insert(DefaultsOf {
                        creator: creator.to_owned(),
                        schema: Some(schema.clone()),
                        kind: kind.to_owned(),
                    });
                }
            }
        }
        all
    }

    /// Returns the database itself as an object with an ACL.
    pub fn database_thing(&self, database: &Database) -> Thing {
        Thing {
            name: Name {
                class: Class::Database,
                schema: String::new(),
                name: self.database.to_owned(),
                part: String::new(),
            },
            detail: String::new(),
            owner: self.owner.to_owned(),
            of_extension: false,
            acl: database.acl.clone(),
        }
    }

    /// Returns the expected ACL of every object after a run, for the comparison with
    /// `has_…_privilege`.
    pub fn expectations(&self, before: &Snapshot, contents: &Contents) -> BTreeMap<Name, Expected> {
        let mut all: BTreeMap<Name, Expected> = contents
            .things
            .iter()
            .map(|(name, thing)| (name.clone(), self.expected(thing)))
            .collect();
        if let Some(database) = before.cluster.databases.get(self.database) {
            let thing = self.database_thing(database);
            all.insert(thing.name.clone(), self.expected(&thing));
        }
        all
    }

    /// Returns the role whose ACL items also count for `role`.
    pub fn stands_for(&self, role: &str) -> Option<&'static str> {
        (role == self.owner).then_some(DATABASE_OWNER)
    }

    pub fn complaints(&self, before: &Database, after: &Database) -> Vec<String> {
        let expected = self.expected(&self.database_thing(before));
        expected.complaints(&after.acl, &format!("database {}", self.database))
    }
}
