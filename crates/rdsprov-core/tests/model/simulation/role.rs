//! `CREATE ROLE`, `ALTER ROLE` and `DROP ROLE`, with the rules of `user.c`.

use std::rc::Rc;

use super::catalog::{BOOTSTRAP, Membership, Oid, Role};
use super::grant::quoted;
use super::lexer::{Reader, Token};
use super::{Failure, Outcome, Session};

/// One option of `CREATE ROLE` or `ALTER ROLE`.
enum RoleOption {
    Superuser(bool),
    Inherit(bool),
    CreateRole(bool),
    CreateDatabase(bool),
    Login(bool),
    Replication(bool),
    BypassRls(bool),
    ConnectionLimit(i32),
    ValidUntil(String),
    Password(Option<String>),
}

fn role_options(reader: &mut Reader<'_>) -> Outcome<Vec<RoleOption>> {
    let mut options = Vec::new();
    while !reader.is_at_end() {
        reader.accept("with");
        let word = reader.name()?;
        let (word, value) = match word.strip_prefix("no") {
            Some(rest) => (rest, false),
            None => (word.as_str(), true),
        };
        options.push(match word {
            "superuser" => RoleOption::Superuser(value),
            "inherit" => RoleOption::Inherit(value),
            "createrole" => RoleOption::CreateRole(value),
            "createdb" => RoleOption::CreateDatabase(value),
            "login" => RoleOption::Login(value),
            "replication" => RoleOption::Replication(value),
            "bypassrls" => RoleOption::BypassRls(value),
            "connection" => {
                reader.expect("limit")?;
                let limit = i32::try_from(reader.number()?).or_else(|_| reader.unknown())?;
                RoleOption::ConnectionLimit(limit)
            }
            "valid" => {
                reader.expect("until")?;
                RoleOption::ValidUntil(reader.literal()?)
            }
            "password" if reader.accept("null") => RoleOption::Password(None),
            "password" => RoleOption::Password(Some(reader.literal()?)),
            _ => return reader.unknown(),
        });
    }
    Ok(options)
}

impl RoleOption {
    fn apply(self, role: &mut Role) {
        match self {
            Self::Superuser(value) => role.superuser = value,
            Self::Inherit(value) => role.inherit = value,
            Self::CreateRole(value) => role.create_role = value,
            Self::CreateDatabase(value) => role.create_database = value,
            Self::Login(value) => role.login = value,
            Self::Replication(value) => role.replication = value,
            Self::BypassRls(value) => role.bypass_rls = value,
            Self::ConnectionLimit(limit) => role.connection_limit = limit,
            Self::ValidUntil(time) => role.valid_until = Some(time).filter(|one| one != "infinity"),
            Self::Password(password) => role.password = password,
        }
    }

    /// Returns whether only a role that has the attribute may give or take it.
    fn is_powerful(&self) -> bool {
        matches!(self, Self::Superuser(_) | Self::Replication(_) | Self::BypassRls(_))
    }
}

impl Session<'_> {
    fn creates_roles(&self) -> bool {
        let role = self.catalog().roles.get(&self.current());
        role.is_some_and(|role| role.superuser || role.create_role)
    }

    /// Since PostgreSQL 16, `CREATEROLE` gives power only over roles on which the current role has `ADMIN
    /// OPTION`.
    pub(super) fn administers(&self, role: Oid) -> bool {
        let catalog = self.catalog();
        self.creates_roles()
            && (catalog.major < 16
                || catalog.is_admin_of(self.current(), role, self.database_owner()))
    }

    pub(super) fn create_role(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        let name = reader.name()?;
        let options = role_options(reader)?;
        if !self.creates_roles() {
            return Err(Failure::denied("to create role"));
        }
        self.check_options(&options)?;
        if self.catalog().find_role(&name).is_some() {
            return Err(Failure::server("42710", format!("role {name:?} already exists")));
        }
        let mut role = Role { name, inherit: true, connection_limit: -1, ..Role::default() };
        options.into_iter().for_each(|option| option.apply(&mut role));
        let current = self.current();
        let is_superuser = self.is_superuser();
        let catalog = self.catalog_mut();
        let oid = catalog.new_oid();
        Rc::make_mut(&mut catalog.roles).insert(oid, role);
        if catalog.major >= 16 && !is_superuser {
            Rc::make_mut(&mut catalog.memberships).push(Membership {
                role: oid,
                member: current,
                grantor: BOOTSTRAP,
                admin: true,
                inherit: false,
                set: false,
            });
        }
        Ok(())
    }

    fn check_options(&self, options: &[RoleOption]) -> Outcome<()> {
        let catalog = self.catalog();
        let Some(own) = catalog.roles.get(&self.current()).filter(|own| !own.superuser) else {
            return Ok(());
        };
        for option in options {
            let may = match option {
                RoleOption::CreateDatabase(_) => catalog.major < 16 || own.create_database,
                RoleOption::Superuser(_) => false,
                RoleOption::Replication(_) => catalog.major >= 16 && own.replication,
                RoleOption::BypassRls(_) => catalog.major >= 16 && own.bypass_rls,
                _ => true,
            };
            if !may {
                return Err(Failure::denied("only roles with the attribute may change it"));
            }
        }
        Ok(())
    }

    pub(super) fn alter_role(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        let is_current = reader.accept("current_user");
        let role =
            if is_current { self.current() } else { self.catalog().role_oid(&reader.name()?)? };
        if reader.accept("in database") {
            let database = reader.name()?;
            let oid = self.catalog().database(&database)?.oid;
            return self.alter_setting(role, oid, reader);
        }
        if matches!(reader.peek(), Some(Token::Word(word)) if word == "set" || word == "reset") {
            return self.alter_setting(role, 0, reader);
        }
        let options = role_options(reader)?;
        self.check_alters(role, &options)?;
        let row = self.catalog_mut().role_mut(role);
        options.into_iter().for_each(|option| option.apply(row));
        Ok(())
    }

    fn check_alters(&self, role: Oid, options: &[RoleOption]) -> Outcome<()> {
        if self.is_superuser() {
            return Ok(());
        }
        let catalog = self.catalog();
        let target = &catalog.roles[&role];
        let is_powerful = options.iter().any(RoleOption::is_powerful);
        let reserved = target.superuser
            || catalog.major < 16 && (target.replication || target.bypass_rls && is_powerful);
        let only_password = options.iter().all(|one| matches!(one, RoleOption::Password(_)));
        if reserved || !(self.administers(role) || only_password && role == self.current()) {
            return Err(Failure::denied("to alter role"));
        }
        self.check_options(options)
    }

    /// `SET` and `RESET` of a parameter, for a role in a database (0: in all).
    fn alter_setting(&mut self, role: Oid, database: Oid, reader: &mut Reader<'_>) -> Outcome<()> {
        let current = self.current();
        let may = self.is_superuser()
            || !self.catalog().is_superuser(role) && (role == current || self.administers(role));
        if !may {
            return Err(Failure::denied("to alter setting"));
        }
        self.store_setting(role, database, reader)
    }

    pub(super) fn store_setting(
        &mut self,
        role: Oid,
        database: Oid,
        reader: &mut Reader<'_>,
    ) -> Outcome<()> {
        let settings = Rc::make_mut(&mut self.catalog_mut().settings);
        let stored = settings.entry((role, database)).or_default();
        if reader.accept("reset") {
            if reader.accept("all") {
                stored.clear();
            } else {
                let name = reader.name()?;
                stored.retain(|(one, _)| *one != name);
            }
        } else {
            reader.expect("set")?;
            let name = reader.name()?;
            if !reader.symbol('=') {
                return reader.unknown();
            }
            let values = reader.list(|reader| match reader.next() {
                Some(Token::Literal(text) | Token::Word(text) | Token::Quoted(text)) => {
                    Ok(text.clone())
                }
                _ => reader.unknown(),
            })?;
            let value = if name == "search_path" {
                values.iter().map(|one| quoted(one)).collect::<Vec<_>>().join(", ")
            } else {
                values.join(", ")
            };
            match stored.iter_mut().find(|(one, _)| *one == name) {
                Some((_, old)) => *old = value,
                None => stored.push((name, value)),
            }
        }
        if stored.is_empty() {
            settings.remove(&(role, database));
        }
        Ok(())
    }

    pub(super) fn drop_role(&mut self, name: &str) -> Outcome<()> {
        let role = self.catalog().role_oid(name)?;
        if !self.administers(role) || self.catalog().is_superuser(role) && !self.is_superuser() {
            return Err(Failure::denied("to drop role"));
        }
        let depends = |owner: Oid, acl: Option<&super::acl::Acl>| {
            owner == role
                || acl.is_some_and(|acl| {
                    acl.iter().any(|item| item.grantee == role || item.grantor == role)
                })
        };
        let is_used = self.catalog().databases.values().any(|database| {
            depends(database.owner, database.acl.as_ref())
                || database.objects.iter().any(|object| {
                    depends(object.owner, object.acl.as_ref())
                        || object.columns.iter().any(|(_, acl)| depends(0, Some(acl)))
                })
                || database
                    .default_privileges
                    .iter()
                    .any(|(key, acl)| depends(key.creator, Some(acl)))
        });
        if is_used {
            return Err(Failure::server("2BP01", "role cannot be dropped"));
        }
        let catalog = self.catalog_mut();
        Rc::make_mut(&mut catalog.roles).remove(&role);
        Rc::make_mut(&mut catalog.memberships).retain(|one| one.role != role && one.member != role);
        Rc::make_mut(&mut catalog.settings).retain(|(of, _), _| *of != role);
        Ok(())
    }
}
