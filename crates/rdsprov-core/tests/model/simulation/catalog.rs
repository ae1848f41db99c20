//! The system catalogs as far as privileges depend on them.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::acl::{Acl, Inheritance, Item, Mask, PUBLIC, bits, of_member};
use super::{Failure, Outcome};

pub type Oid = u32;

/// The bootstrap superuser.
pub const BOOTSTRAP: Oid = 10;

#[derive(Debug, Clone, Default)]
pub struct Role {
    pub name: String,
    pub superuser: bool,
    pub inherit: bool,
    pub create_role: bool,
    pub create_database: bool,
    pub login: bool,
    pub replication: bool,
    pub bypass_rls: bool,
    pub connection_limit: i32,
    pub valid_until: Option<String>,
    pub password: Option<String>,
    pub comment: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Membership {
    pub role: Oid,
    pub member: Oid,
    pub grantor: Oid,
    pub admin: bool,
    pub inherit: bool,
    pub set: bool,
}

#[derive(Debug, Clone)]
pub struct Database {
    pub oid: Oid,
    pub owner: Oid,
    pub acl: Option<Acl>,
    pub allow_connections: bool,
    pub connection_limit: i32,
    pub is_template: bool,
    pub comment: Option<String>,
    pub objects: Vec<Object>,
    pub default_privileges: BTreeMap<DefaultsKey, Acl>,
}

/// The creator, the schema (by its name) and the type of the objects, as `pg_default_acl` has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DefaultsKey {
    pub creator: Oid,
    pub schema: Option<String>,
    pub kind: char,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Schema,
    /// A relation with its `relkind`.
    Relation(char),
    /// A routine with its `prokind`.
    Routine(char),
    /// A type with its `typtype`.
    Type(char),
    Language,
    LargeObject,
    ForeignServer,
    Wrapper,
    Extension,
    TextSearchConfiguration,
    Publication,
}

#[derive(Debug, Clone)]
pub struct Object {
    pub oid: Oid,
    pub kind: Kind,
    pub schema: Option<String>,
    pub name: String,
    /// The arguments of a routine: whether it is `OUT`, and its type.
    pub arguments: Vec<(bool, String)>,
    pub owner: Oid,
    pub acl: Option<Acl>,
    pub columns: Vec<(String, Acl)>,
    pub extension: Option<String>,
    /// The table of a sequence, the range of a multirange, or the wrapper of a foreign server.
    pub part_of: Option<Oid>,
}

impl Object {
    pub fn is_in(&self, schema: &str) -> bool {
        self.schema.as_deref() == Some(schema)
    }

    /// Returns the type in `acldefault`.
    pub fn acl_kind(&self) -> Option<char> {
        Some(match self.kind {
            Kind::Schema => 'n',
            Kind::Relation('S') => 's',
            Kind::Relation(_) => 'r',
            Kind::Routine(_) => 'f',
            Kind::Type(_) => 'T',
            Kind::Language => 'l',
            Kind::LargeObject => 'L',
            Kind::ForeignServer => 'S',
            Kind::Wrapper => 'F',
            Kind::Extension | Kind::TextSearchConfiguration | Kind::Publication => return None,
        })
    }

    /// Returns the ACL, or the built-in one.
    pub fn effective_acl(&self, major: u32) -> Acl {
        match (&self.acl, self.acl_kind()) {
            (Some(acl), _) => acl.clone(),
            (None, Some(kind)) => default_acl(kind, self.owner, major),
            (None, None) => Acl::new(),
        }
    }
}

/// Returns all privileges on a type of objects, as `acldefault` names it.
pub fn all_privileges(kind: char, major: u32) -> Mask {
    let maintain = if major >= 17 { bits(&["MAINTAIN"]) } else { 0 };
    match kind {
        'r' => {
            maintain
                | bits(&[
                    "INSERT",
                    "SELECT",
                    "UPDATE",
                    "DELETE",
                    "TRUNCATE",
                    "REFERENCES",
                    "TRIGGER",
                ])
        }
        'c' => bits(&["INSERT", "SELECT", "UPDATE", "REFERENCES"]),
        's' => bits(&["USAGE", "SELECT", "UPDATE"]),
        'd' => bits(&["CREATE", "TEMPORARY", "CONNECT"]),
        'f' => bits(&["EXECUTE"]),
        'n' => bits(&["USAGE", "CREATE"]),
        'L' => bits(&["SELECT", "UPDATE"]),
        _ => bits(&["USAGE"]),
    }
}

/// `acldefault`.
pub fn default_acl(kind: char, owner: Oid, major: u32) -> Acl {
    let public = match kind {
        'd' => bits(&["TEMPORARY", "CONNECT"]),
        'f' => bits(&["EXECUTE"]),
        'T' | 'l' => bits(&["USAGE"]),
        _ => 0,
    };
    let mut acl = Acl::new();
    if public != 0 {
        acl.push(Item { grantee: PUBLIC, grantor: owner, rights: public });
    }
    acl.push(Item { grantee: owner, grantor: owner, rights: all_privileges(kind, major) });
    acl
}

/// Parameters with their values, as `pg_db_role_setting` has them.
pub type Settings = Vec<(String, String)>;

#[derive(Debug, Clone)]
pub struct Catalog {
    pub major: u32,
    pub roles: Rc<BTreeMap<Oid, Role>>,
    pub memberships: Rc<Vec<Membership>>,
    pub databases: BTreeMap<String, Rc<Database>>,
    /// The settings of a role (0: all) in a database (0: all), in the order in which they were stored.
    pub settings: Rc<BTreeMap<(Oid, Oid), Settings>>,
    pub next_oid: Oid,
}

/// What a search through memberships follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    All,
    Inherit,
    Set,
}

impl Catalog {
    pub fn new_oid(&mut self) -> Oid {
        self.next_oid += 1;
        self.next_oid
    }

    pub fn find_role(&self, name: &str) -> Option<Oid> {
        self.roles.iter().find(|(_, role)| role.name == name).map(|(oid, _)| *oid)
    }

    pub fn role_oid(&self, name: &str) -> Outcome<Oid> {
        let missing = || Failure::server("42704", format!("role {name:?} does not exist"));
        self.find_role(name).ok_or_else(missing)
    }

    pub fn role_name(&self, oid: Oid) -> &str {
        self.roles.get(&oid).map_or("", |role| &role.name)
    }

    pub fn is_superuser(&self, role: Oid) -> bool {
        self.roles.get(&role).is_some_and(|role| role.superuser)
    }

    pub fn role_mut(&mut self, oid: Oid) -> &mut Role {
        Rc::make_mut(&mut self.roles).entry(oid).or_default()
    }

    pub fn database(&self, name: &str) -> Outcome<&Database> {
        let missing = || Failure::server("3D000", format!("database {name:?} does not exist"));
        self.databases.get(name).map(|database| &**database).ok_or_else(missing)
    }

    pub fn database_mut(&mut self, name: &str) -> Outcome<&mut Database> {
        let missing = || Failure::server("3D000", format!("database {name:?} does not exist"));
        self.databases.get_mut(name).map(Rc::make_mut).ok_or_else(missing)
    }

    /// Returns the roles that a role is a member of, itself first, in the order of PostgreSQL.
    /// `database_owner` is the owner of the current database.
    pub fn roles_of(&self, role: Oid, follow: Follow, database_owner: Oid) -> Vec<Oid> {
        self.roles_and_admin(role, follow, database_owner, PUBLIC).0
    }

    /// Also returns the first of these roles that has `ADMIN OPTION` on another role.
    pub fn roles_and_admin(
        &self,
        role: Oid,
        follow: Follow,
        database_owner: Oid,
        administered: Oid,
    ) -> (Vec<Oid>, Option<Oid>) {
        let mut found = vec![role];
        let mut admin = None;
        let mut at = 0;
        while at < found.len() {
            let member = found[at];
            at += 1;
            if self.major < 16 && follow == Follow::Inherit {
                let inherits = self.roles.get(&member).is_some_and(|role| role.inherit);
                if !inherits {
                    continue;
                }
            }
            for one in of_member(&self.memberships, member) {
                if one.role == administered && one.admin && admin.is_none() {
                    admin = Some(member);
                }
                let follows = self.major < 16
                    || match follow {
                        Follow::All => true,
                        Follow::Inherit => one.inherit,
                        Follow::Set => one.set,
                    };
                if follows && !found.contains(&one.role) {
                    found.push(one.role);
                }
            }
            if member == database_owner
                && let Some(implied) = self.find_role("pg_database_owner")
                && !found.contains(&implied)
            {
                found.push(implied);
            }
        }
        (found, admin)
    }

    pub fn is_member(&self, member: Oid, role: Oid, database_owner: Oid) -> bool {
        self.is_superuser(member)
            || self.roles_of(member, Follow::All, database_owner).contains(&role)
    }

    pub fn is_admin_of(&self, member: Oid, role: Oid, database_owner: Oid) -> bool {
        self.is_superuser(member)
            || member != role
                && self.roles_and_admin(member, Follow::All, database_owner, role).1.is_some()
    }

    pub fn can_set_role(&self, member: Oid, role: Oid, database_owner: Oid) -> bool {
        self.is_superuser(member)
            || self.roles_of(member, Follow::Set, database_owner).contains(&role)
    }
}

/// The catalogs as the sessions of one database see memberships.
pub struct World<'a> {
    pub catalog: &'a Catalog,
    pub database_owner: Oid,
}

impl Inheritance for World<'_> {
    fn has_privileges_of(&self, member: Oid, role: Oid) -> bool {
        member == role
            || self.catalog.is_superuser(member)
            || role != PUBLIC
                && self
                    .catalog
                    .roles_of(member, Follow::Inherit, self.database_owner)
                    .contains(&role)
    }
}
