//! The expected result of a run, specified independently of the product: the rules for each ACL in
//! a declared database, each role and each membership, given the state before the run.

use std::collections::{BTreeMap, BTreeSet};

use crate::declared::{Application, CREATED_BY_SUPERUSER, Declared, Level, UNMANAGED};
use crate::initial_state::ADMINISTRATOR;
use crate::snapshot::{
    Acl, CatalogObject, Contents, Database, DefaultsOf, Item, Name, ObjectClass, Snapshot,
};

const DATABASE_OWNER: &str = "pg_database_owner";

/// Returns the privileges that a level has on a class of objects.
fn level_privileges(level: Level, class: ObjectClass) -> &'static [&'static str] {
    match (level, class) {
        (Level::Editor, ObjectClass::Database) => &["CONNECT", "TEMPORARY"],
        (Level::Reader, ObjectClass::Database) => &["CONNECT"],
        (Level::Editor | Level::Reader, ObjectClass::Schema) => &["USAGE"],
        (Level::Editor, ObjectClass::Table) => &["SELECT", "INSERT", "UPDATE", "DELETE"],
        (Level::Reader, ObjectClass::Table | ObjectClass::Sequence) => &["SELECT"],
        (Level::Editor, ObjectClass::Sequence) => &["USAGE", "SELECT"],
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
    pub fn violations(&self, after: &Acl, what: &str) -> Vec<String> {
        let missing =
            self.required.difference(after).map(|item| format!("{what}: {item} is missing"));
        let strange = after
            .iter()
            .filter(|item| !self.required.contains(item) && !self.tolerated.contains(item))
            .map(|item| format!("{what}: {item} is unexpected"));
        missing.chain(strange).collect()
    }

    /// Returns the privileges that a role has through its own items and those of PUBLIC.
    pub fn held(&self, role: &str, implied_role: Option<&str>) -> BTreeSet<&str> {
        self.required
            .iter()
            .chain(&self.tolerated)
            .filter(|item| {
                item.0
                    .as_deref()
                    .is_none_or(|grantee| grantee == role || Some(grantee) == implied_role)
            })
            .map(|item| item.2.as_str())
            .collect()
    }
}

/// The privileges that roles should have.
pub struct Abilities<'a> {
    pub rules: &'a Rules<'a>,
    pub expectations: BTreeMap<Name, Expected>,
}

impl Abilities<'_> {
    pub fn may(&self, role: &str, name: &Name) -> BTreeSet<&str> {
        let implied_role = self.rules.implied_role(role);
        // A privilege on a table includes each of its columns.
        let table = (name.class == ObjectClass::Column).then(|| Name {
            class: ObjectClass::Table,
            part: String::new(),
            ..name.clone()
        });
        [Some(name), table.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(|one| self.expectations.get(one))
            .flat_map(|expected| expected.held(role, implied_role))
            .collect()
    }

    pub fn can(&self, role: &str, name: &Name, privilege: &str) -> bool {
        self.may(role, name).contains(privilege)
    }

    /// Compares the privileges that `has_…_privilege` reports with the expected ones.
    pub fn violation(&self, name: &Name, role: &str, held: &BTreeSet<String>) -> Option<String> {
        let mut expected = self.may(role, name);
        if name.class == ObjectClass::Column {
            expected.retain(|p| ["SELECT", "INSERT", "UPDATE", "REFERENCES"].contains(p));
        }
        let held: BTreeSet<&str> = held.iter().map(String::as_str).collect();
        let database = self.rules.database;
        (held != expected)
            .then(|| format!("{database}: {role} has {held:?} on {name}, expected {expected:?}"))
    }
}

/// The treatment of an existing ACL item.
enum Disposition {
    Keep,
    Revoke,
    /// May remain as it is.
    MayStay,
    /// May remain, without its grant option.
    MayKeep,
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
    fn declared_non_owners(&self) -> impl Iterator<Item = (&'a str, Option<&'a Application>)> {
        let (declared, database, owner) = (self.declared, self.database, self.owner);
        declared
            .roles()
            .into_iter()
            .filter(move |role| *role != owner)
            .map(move |role| (role, declared.access(database, role)))
    }

    fn is_declared_non_owner(&self, role: &str) -> bool {
        role != self.owner && self.declared.is_managed(role)
    }

    /// Returns the roles whose future objects are covered.
    pub fn creators(&self) -> BTreeSet<&str> {
        let mut creators = self.declared.creators(self.database);
        creators.insert(self.owner);
        creators
    }

    /// Returns the privileges that a declared role has on an object through its entry.
    fn entry_privileges(
        &self,
        app: &Application,
        object: &CatalogObject,
    ) -> &'static [&'static str] {
        let class = object.name.class;
        let covered = class == ObjectClass::Database || app.covers(&object.name.schema);
        let lacks = !covered || object.owner == app.user || object.of_extension;
        if lacks { &[] } else { level_privileges(app.level, class) }
    }

    /// Returns whether the definitions do not govern an ACL item: its grantee is the object's owner
    /// or an undeclared role.
    pub fn is_undeclared(&self, object: &CatalogObject, item: &Item) -> bool {
        item.0
            .as_ref()
            .is_some_and(|role| *role == object.owner || !self.is_declared_non_owner(role))
    }

    /// Returns the treatment of an ACL item of PUBLIC.
    fn public_disposition(&self, object: &CatalogObject, item: &Item) -> Disposition {
        let covered = self.declared.covered(self.database).contains(&object.name.schema);
        let goes = match object.name.class {
            ObjectClass::Database => true,
            ObjectClass::Schema => {
                let is_public = object.name.schema == "public";
                let owned = object.owner == self.owner;
                (covered && !is_public && owned) || ((covered || is_public) && item.2 == "CREATE")
            }
            ObjectClass::Table | ObjectClass::Sequence | ObjectClass::Column => {
                covered && self.creators().contains(object.owner.as_str()) && !object.of_extension
            }
            ObjectClass::LargeObject | ObjectClass::ForeignServer => {
                self.creators().contains(object.owner.as_str())
            }
            _ => false,
        };
        if goes { Disposition::Revoke } else { Disposition::Keep }
    }

    /// Returns whether an undeclared role has a privilege through the grant option of a declared role.
    fn leads_to_undeclared(&self, object: &CatalogObject, role: &str, privilege: &str) -> bool {
        let mut through = vec![role];
        let mut next = 0;
        while let Some(grantor) = through.get(next).copied() {
            next += 1;
            if !self.is_declared_non_owner(grantor) {
                continue;
            }
            for item in object.acl.iter().filter(|item| item.1 == grantor && item.2 == privilege) {
                let Some(grantee) = item.0.as_deref() else { continue };
                if grantee != object.owner && !self.is_declared_non_owner(grantee) {
                    return true;
                }
                if !through.contains(&grantee) {
                    through.push(grantee);
                }
            }
        }
        false
    }

    /// Returns whether a declared role has granted an item, and the grantee has the same from another role: the
    /// first one goes with the grant option of the declared role, and the grantee loses nothing.
    fn is_granted_twice(&self, object: &CatalogObject, item: &Item) -> bool {
        let by_declared =
            |item: &Item| item.1 != object.owner && self.is_declared_non_owner(&item.1);
        let is_same = |other: &&Item| other.0 == item.0 && other.2 == item.2;
        by_declared(item)
            && object
                .acl
                .iter()
                .filter(is_same)
                .any(|other| !by_declared(other) && (other.3 || !item.3))
    }

    fn disposition(&self, object: &CatalogObject, item: &Item) -> Disposition {
        // Those of other roles are not read.
        let is_known =
            self.creators().contains(object.owner.as_str()) || object.owner == ADMINISTRATOR;
        if object.name.class == ObjectClass::LargeObject && !is_known {
            return Disposition::Keep;
        }
        // A note names it: an undeclared role would lose its privilege.
        if object.name.class == ObjectClass::LargeObject
            && [item.0.as_ref(), Some(&item.1)].into_iter().flatten().any(|role| {
                *role != object.owner && self.leads_to_undeclared(object, role, &item.2)
            })
        {
            return Disposition::MayStay;
        }
        let twice = self.is_granted_twice(object, item);
        let Some(grantee) = &item.0 else {
            return match self.public_disposition(object, item) {
                Disposition::Keep if twice => Disposition::MayStay,
                other => other,
            };
        };
        // A declared owner needs no grant of another role, whose grant option is revoked.
        let owner = if object.owner == DATABASE_OWNER { self.owner } else { &object.owner };
        let needless = self.declared.is_managed(owner) && self.is_declared_non_owner(&item.1);
        if *grantee == owner && needless && item.1 != object.owner {
            return Disposition::Revoke;
        }
        if *grantee == object.owner || !self.is_declared_non_owner(grantee) {
            return if twice { Disposition::MayStay } else { Disposition::Keep };
        }
        // A note names it, if the administrator cannot act as the role that has granted it: each role
        // can give its large objects to others, and must not stop a plan.
        if object.name.class == ObjectClass::LargeObject && item.1 == CREATED_BY_SUPERUSER {
            return Disposition::MayKeep;
        }
        let Some(app) = self.declared.access(self.database, grantee) else {
            return Disposition::Revoke;
        };
        let class = if object.name.class == ObjectClass::Column {
            ObjectClass::Table
        } else {
            object.name.class
        };
        // Default privileges on a creator's extension may remain.
        let of_others = !self.creators().contains(object.owner.as_str());
        let entry_privileges = self.entry_privileges(
            app,
            &CatalogObject {
                name: Name { class, ..object.name.clone() },
                of_extension: object.of_extension && of_others,
                ..object.clone()
            },
        );
        let relation = matches!(object.name.class, ObjectClass::Table | ObjectClass::Sequence);
        let by_managed = item.1 != object.owner && self.is_declared_non_owner(&item.1);
        if !entry_privileges.contains(&item.2.as_str()) || (relation && by_managed) {
            Disposition::Revoke
        } else {
            Disposition::MayKeep
        }
    }

    /// Returns the privileges that are restored to a declared owner: all on its database and on the
    /// schemas of its entry. Before PostgreSQL 15, schema `public` has another owner, and the owner
    /// had CREATE through PUBLIC.
    fn restored_to_owner(&self, object: &CatalogObject) -> Option<(&str, &'static [&'static str])> {
        let Some(entry) = self.declared.owner(self.database) else {
            // A role that owns the database without an owner entry still gets the access of its
            // entry.
            let entry = self.declared.access(self.database, self.owner)?;
            let of_level = level_privileges(entry.level, ObjectClass::Database);
            return (object.name.class == ObjectClass::Database).then_some((self.owner, of_level));
        };
        match object.name.class {
            ObjectClass::Database => Some((self.owner, &["CONNECT", "CREATE", "TEMPORARY"])),
            ObjectClass::Schema if entry.covers(&object.name.schema) => {
                let of_database = object.owner == DATABASE_OWNER;
                let role = if of_database { DATABASE_OWNER } else { self.owner };
                Some((role, &["CREATE", "USAGE"]))
            }
            _ => None,
        }
    }

    /// Returns the privileges of a declared owner on another role's relation in a
    /// schema of its entry.
    fn owner_privileges_on_foreign(&self, object: &CatalogObject) -> &'static [&'static str] {
        let covers = |entry: &Application| entry.covers(&object.name.schema);
        let class = object.name.class;
        let is_relation = matches!(class, ObjectClass::Table | ObjectClass::Sequence);
        let of_another = object.owner != self.owner && object.owner != DATABASE_OWNER;
        let declared = self.declared.owner(self.database).is_some_and(covers);
        let holds = is_relation && of_another && declared && !object.of_extension;
        if holds { level_privileges(Level::Editor, class) } else { &[] }
    }

    /// Returns whether PUBLIC has a privilege on an object and keeps it.
    fn public_keeps(&self, object: &CatalogObject, privilege: &str) -> bool {
        object.acl.iter().any(|item| {
            item.0.is_none()
                && item.2 == privilege
                && matches!(self.public_disposition(object, item), Disposition::Keep)
        })
    }

    /// Returns the expected ACL of an object, given its ACL before the run.
    pub fn expected(&self, object: &CatalogObject) -> Expected {
        let mut expected = Expected::default();
        for item in &object.acl {
            match self.disposition(object, item) {
                Disposition::Keep => drop(expected.required.insert(item.clone())),
                Disposition::MayStay => drop(expected.tolerated.insert(item.clone())),
                Disposition::MayKeep => {
                    expected.tolerated.insert(Item(
                        item.0.clone(),
                        item.1.clone(),
                        item.2.clone(),
                        false,
                    ));
                }
                // If the item cannot be revoked, the privilege of PUBLIC explains it, but no grant option.
                Disposition::Revoke if !item.3 && self.public_keeps(object, &item.2) => {
                    expected.tolerated.insert(item.clone());
                }
                Disposition::Revoke => {}
            }
        }
        let mut require = |role: &str, privilege: &str| {
            let of_owner =
                Item(Some(role.to_owned()), object.owner.clone(), privilege.to_owned(), false);
            let by_another = expected
                .tolerated
                .iter()
                .any(|item| item.0 == of_owner.0 && item.2 == of_owner.2 && item.1 != of_owner.1);
            // A grant by another role, or one to PUBLIC, may already suffice.
            let set = if by_another || self.public_keeps(object, privilege) {
                &mut expected.tolerated
            } else {
                &mut expected.required
            };
            set.insert(of_owner);
        };
        for (role, app) in self.declared_non_owners() {
            for privilege in app.map_or(&[][..], |app| self.entry_privileges(app, object)) {
                require(role, privilege);
            }
        }
        for privilege in self.owner_privileges_on_foreign(object) {
            let owner = Some(self.owner);
            if !object.acl.iter().any(|i| i.0.as_deref() == owner && i.2 == *privilege) {
                require(self.owner, privilege);
            }
        }
        let administrator_lacks =
            !object.acl.iter().any(|i| i.0.as_deref() == Some(ADMINISTRATOR) && i.2 == "CONNECT");
        if object.name.class == ObjectClass::Database && administrator_lacks {
            require(ADMINISTRATOR, "CONNECT");
        }
        if let Some((role, privileges)) = self.restored_to_owner(object) {
            let lacks = |privilege: &&&str| {
                !object.acl.iter().any(|item| {
                    item.0.as_deref() == Some(role)
                        && item.2 == **privilege
                        && !matches!(self.disposition(object, item), Disposition::Revoke)
                })
            };
            privileges.iter().filter(lacks).for_each(|privilege| require(role, privilege));
        }
        expected
    }

    /// Returns the expected default privileges, given those before the run.
    fn expected_defaults(&self, of: &DefaultsOf, before: &Acl) -> Expected {
        let of_creator = self.creators().contains(of.creator.as_str());
        // Each role that can connect can create default privileges: a plan reports them only.
        let of_outsider = UNMANAGED.contains(&of.creator.as_str()) && !of_creator;
        let class = match of.kind.as_str() {
            "r" => Some(ObjectClass::Table),
            "S" => Some(ObjectClass::Sequence),
            _ => None,
        };
        let all_covered = self.declared.covered(self.database);
        let covered = of.schema.as_ref().is_none_or(|schema| all_covered.contains(schema));
        let mut expected = Expected::default();
        for item in before {
            let goes = match &item.0 {
                None => of_creator && covered && matches!(of.kind.as_str(), "r" | "S" | "n" | "L"),
                Some(grantee) => {
                    !of_outsider && *grantee != of.creator && self.is_declared_non_owner(grantee)
                }
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
            let of_editor = level_privileges(Level::Editor, class).iter().filter(lacks);
            expected.required.extend(of_editor.map(|privilege| {
                let (owner, creator) = (Some(self.owner.to_owned()), of.creator.clone());
                Item(owner, creator, (*privilege).to_owned(), false)
            }));
        }
        for (role, app) in self.declared_non_owners() {
            let Some(app) = app.filter(|app| app.covers(schema) && role != of.creator) else {
                continue;
            };
            for privilege in level_privileges(app.level, class) {
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
    fn normalise_grantors(&self, contents: &Contents) -> Contents {
        let mut contents = contents.clone();
        for object in contents.objects.values_mut().filter(|object| object.owner == DATABASE_OWNER)
        {
            let by_owner = |item: Item| {
                let grantor = if item.1 == self.owner { DATABASE_OWNER.to_owned() } else { item.1 };
                Item(item.0, grantor, item.2, item.3)
            };
            object.acl = std::mem::take(&mut object.acl).into_iter().map(by_owner).collect();
        }
        contents
    }

    /// Returns all differences from the expected contents of the database.
    pub fn checker(
        &self,
        before: &Contents,
        after: &Contents,
        may_connect: &dyn Fn(&str) -> bool,
    ) -> Vec<String> {
        let (before, after) = (&self.normalise_grantors(before), &self.normalise_grantors(after));
        let mut found = Vec::new();
        let place = self.database;
        if !before.same_system(after) {
            found.push(format!("{place}: an ACL of the system's own objects changed"));
        }
        let made = self.declared.owner(place).map(Application::covered).unwrap_or_default();
        let makes_extensions =
            self.declared.owner(place).is_some_and(|owner| !owner.extensions.is_empty());
        for (name, object) in &after.objects {
            let mut was = object.clone();
            match before.objects.get(name) {
                Some(before) => was = before.clone(),
                None if name.class == ObjectClass::Schema && made.contains(&name.schema) => {
                    let of_owner = |item: &&Item| item.0.as_deref() == Some(self.owner);
                    was.acl = object.acl.iter().filter(of_owner).cloned().collect();
                    was.acl.extend(self.defaults_for_undeclared(before));
                    was.owner = self.owner.to_owned();
                }
                None if object.of_extension && makes_extensions => {}
                None => found.push(format!("{place}: {name} is new")),
            }
            if was.owner != object.owner {
                found.push(format!(
                    "{place}: {name} belonged to {} and belongs to {}",
                    was.owner, object.owner
                ));
            }
            let expected = self.expected(&was);
            found.extend(expected.violations(&object.acl, &format!("{place}: {name}")));
        }
        let gone = before.objects.keys().filter(|name| !after.objects.contains_key(name));
        found.extend(gone.map(|name| format!("{place}: {name} is gone")));
        for of in self.relevant_defaults(before, after) {
            let mut expected = self.expected_defaults(&of, &before.defaults(&of));
            // Default privileges of a role that can create nothing here are a note.
            if !self.creators().contains(of.creator.as_str()) && !may_connect(&of.creator) {
                expected.tolerated = before.defaults(&of);
            }
            found.extend(expected.violations(&after.defaults(&of), &format!("{place}: {of:?}")));
        }
        found
    }

    /// Returns what the owner's default privileges grant to undeclared roles on each
    /// schema that it creates.
    fn defaults_for_undeclared(&self, before: &Contents) -> Vec<Item> {
        let of = DefaultsOf { creator: self.owner.to_owned(), schema: None, kind: "n".to_owned() };
        let others = |item: &Item| {
            item.0
                .as_ref()
                .is_some_and(|role| role != self.owner && !self.is_declared_non_owner(role))
        };
        before.defaults(&of).into_iter().filter(others).collect()
    }

    fn relevant_defaults(&self, before: &Contents, after: &Contents) -> BTreeSet<DefaultsOf> {
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
    pub fn database_object(&self, database: &Database) -> CatalogObject {
        CatalogObject {
            name: Name {
                class: ObjectClass::Database,
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

    /// Returns the expected ACL of every object after a run, for
    /// the comparison with `has_…_privilege`.
    pub fn expectations(&self, before: &Snapshot, contents: &Contents) -> BTreeMap<Name, Expected> {
        let mut all: BTreeMap<Name, Expected> = contents
            .objects
            .iter()
            .map(|(name, object)| (name.clone(), self.expected(object)))
            .collect();
        if let Some(database) = before.cluster.databases.get(self.database) {
            let object = self.database_object(database);
            all.insert(object.name.clone(), self.expected(&object));
        }
        all
    }

    /// Returns the role whose ACL items also count for `role`.
    pub fn implied_role(&self, role: &str) -> Option<&'static str> {
        (role == self.owner).then_some(DATABASE_OWNER)
    }

    pub fn violations(&self, before: &Database, after: &Database) -> Vec<String> {
        let expected = self.expected(&self.database_object(before));
        expected.violations(&after.acl, &format!("database {}", self.database))
    }
}
