//! An executable model of PostgreSQL's privilege rules, for one server of Amazon RDS.
//!
//! It interprets the statements of the planner and of the generator of initial states, and nothing
//! else: what it does not know is an error. `observe.rs` returns what the catalog queries would.

mod acl;
mod alter;
mod catalog;
mod contents;
mod create;
mod default_privileges;
mod do_block;
mod extension;
mod grant;
mod initial;
mod lexer;
mod membership;
mod observe;
mod owner;
mod privilege;
mod role;
mod snapshot;

use std::collections::BTreeMap;

use catalog::{Catalog, Follow, Oid, World};
use lexer::Reader;
pub use observe::{ADMIN_DATABASE, Observation};

/// Why a statement has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// PostgreSQL rejects it.
    Server { state: String, message: String },
    /// The model does not know it.
    Unknown(String),
}

impl Failure {
    pub fn server(state: &str, message: impl Into<String>) -> Self {
        Self::Server { state: state.to_owned(), message: message.into() }
    }

    pub fn unknown(what: impl Into<String>) -> Self {
        Self::Unknown(what.into())
    }

    fn denied(what: impl std::fmt::Display) -> Self {
        Self::server("42501", format!("permission denied: {what}"))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server { state, message } => write!(f, "{message} ({state})"),
            Self::Unknown(what) => write!(f, "the model does not know: {what}"),
        }
    }
}

pub type Outcome<T> = Result<T, Failure>;

/// What a statement reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The SQLSTATEs of the warnings.
    pub warnings: Vec<String>,
    /// The only value of the result, if it has one.
    pub value: Option<String>,
}

/// A server with all its databases.
#[derive(Clone)]
pub struct Model {
    catalog: Catalog,
}

/// A connection to one database.
pub struct Session<'a> {
    model: &'a mut Model,
    database: String,
    /// `session_user`.
    user: Oid,
    /// The role of `SET ROLE`, and that of `SET LOCAL ROLE`.
    role: Option<Oid>,
    local_role: Option<Option<Oid>>,
    /// The state before `BEGIN`.
    before: Option<Catalog>,
    /// Parameters of the transaction.
    parameters: BTreeMap<String, String>,
    memberships_before: Option<Vec<catalog::Membership>>,
    report: Report,
}

impl Model {
    /// A new server, as the test kit makes it.
    pub fn new(major: u32) -> Self {
        Self { catalog: initial::catalog(major) }
    }

    /// Connects as a role, which needs `CONNECT`.
    pub fn connect(&mut self, role: &str, database: &str) -> Outcome<Session<'_>> {
        let user = self.catalog.role_oid(role)?;
        let found = self.catalog.database(database)?;
        if !found.allow_connections {
            return Err(Failure::server("55000", "database does not accept connections"));
        }
        let owner = found.owner;
        if !self.has_database_privilege(user, database, "CONNECT") {
            return Err(Failure::denied(format!("database {database:?}, owner {owner}")));
        }
        Ok(Session {
            model: self,
            database: database.to_owned(),
            user,
            role: None,
            local_role: None,
            before: None,
            parameters: BTreeMap::new(),
            memberships_before: None,
            report: Report::default(),
        })
    }

    /// Returns whether a login with a password is accepted. Whether the role may connect to a database does
    /// not matter: the password is checked before.
    pub fn accepts_password(&self, role: &str, password: &str) -> bool {
        let found = self.catalog.find_role(role).and_then(|oid| self.catalog.roles.get(&oid));
        found.is_some_and(|role| role.password.as_deref() == Some(password))
    }
}

impl Session<'_> {
    /// `current_user`.
    fn current(&self) -> Oid {
        self.local_role.unwrap_or(self.role).unwrap_or(self.user)
    }

    fn catalog(&self) -> &Catalog {
        &self.model.catalog
    }

    fn catalog_mut(&mut self) -> &mut Catalog {
        &mut self.model.catalog
    }

    fn database_owner(&self) -> Oid {
        self.catalog().databases.get(&self.database).map_or(0, |database| database.owner)
    }

    fn world(&self) -> World<'_> {
        World { catalog: self.catalog(), database_owner: self.database_owner() }
    }

    fn is_superuser(&self) -> bool {
        self.catalog().is_superuser(self.current())
    }

    fn warn(&mut self, state: &str) {
        self.report.warnings.push(state.to_owned());
    }

    /// `SET SESSION AUTHORIZATION`, which is not checked.
    pub fn become_session_user(&mut self, role: &str) -> Outcome<()> {
        self.user = self.catalog().role_oid(role)?;
        Ok(())
    }

    /// Executes statements as one message: without `BEGIN`, all or none of them take effect.
    pub fn execute(&mut self, sql: &str) -> Outcome<Report> {
        self.report = Report::default();
        let implicit = self.before.is_none().then(|| self.catalog().clone());
        let result = lexer::statements(sql).and_then(|statements| {
            statements.iter().try_for_each(|tokens| self.statement(&mut Reader::new(tokens)))
        });
        if self.before.is_none() {
            self.local_role = None;
            self.parameters.clear();
            if let (Err(_), Some(before)) = (&result, implicit) {
                self.model.catalog = before;
            }
        }
        result.map(|()| std::mem::take(&mut self.report))
    }

    /// `ROLLBACK`.
    pub fn roll_back(&mut self) {
        if let Some(before) = self.before.take() {
            self.model.catalog = before;
        }
        self.local_role = None;
        self.parameters.clear();
    }

    fn statement(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        self.dispatch(reader)?;
        if reader.is_at_end() { Ok(()) } else { reader.unknown() }
    }

    fn dispatch(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        let Some(lexer::Token::Word(verb)) = reader.next() else { return reader.unknown() };
        match verb.as_str() {
            "begin" => {
                while reader.next().is_some() {}
                self.before = Some(self.catalog().clone());
                Ok(())
            }
            "commit" => {
                self.before = None;
                Ok(())
            }
            "rollback" => {
                self.roll_back();
                Ok(())
            }
            "set" => self.set(reader),
            "reset" => {
                reader.expect("role")?;
                self.set_role(None, false)
            }
            "grant" => self.grant(reader),
            "revoke" => self.revoke(reader),
            "create" => self.create(reader),
            "alter" => self.alter(reader),
            "reassign" => self.reassign_owned(reader),
            "comment" => self.comment(reader),
            "drop" => self.drop(reader),
            "do" => {
                let body = reader.literal()?;
                self.do_block(&body)
            }
            "select" => self.select(reader),
            _ => reader.unknown(),
        }
    }

    fn set(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        let is_local = reader.accept("local");
        if reader.accept("role none") {
            return self.set_role(None, is_local);
        }
        if reader.accept("role") {
            let role = self.catalog().role_oid(&reader.name()?)?;
            let owner = self.database_owner();
            if !self.catalog().can_set_role(self.user, role, owner) {
                return Err(Failure::denied("to set role"));
            }
            return self.set_role(Some(role), is_local);
        }
        if !is_local {
            return reader.unknown();
        }
        let mut name = reader.name()?;
        while reader.symbol('.') {
            name = format!("{name}.{}", reader.name()?);
        }
        if !reader.symbol('=') && !reader.accept("to") {
            return reader.unknown();
        }
        let value = match reader.next() {
            Some(
                lexer::Token::Literal(text) | lexer::Token::Word(text) | lexer::Token::Number(text),
            ) => text.clone(),
            _ => return reader.unknown(),
        };
        self.parameters.insert(name, value);
        Ok(())
    }

    fn set_role(&mut self, role: Option<Oid>, is_local: bool) -> Outcome<()> {
        if is_local {
            self.local_role = Some(role);
        } else {
            self.role = role;
            self.local_role = None;
        }
        Ok(())
    }

    fn select(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        if reader.accept("lo_create") {
            return self.create_large_object(reader);
        }
        reader.expect("oid from pg_catalog")?;
        reader.symbol('.');
        reader.expect("pg_database where datname")?;
        reader.symbol('=');
        let name = reader.literal()?;
        let oid = self.catalog().databases.get(&name).map(|database| database.oid);
        self.report.value = oid.map(|oid| oid.to_string());
        Ok(())
    }

    /// Fails unless the current role may act as an owner.
    fn check_owner(&self, owner: Oid) -> Outcome<()> {
        use acl::Inheritance as _;
        if self.world().has_privileges_of(self.current(), owner) {
            Ok(())
        } else {
            Err(Failure::server("42501", "must be owner"))
        }
    }

    /// Fails unless the current role may give objects to a role.
    fn check_can_become(&self, role: Oid) -> Outcome<()> {
        let catalog = self.catalog();
        let owner = self.database_owner();
        let may = if catalog.major >= 16 {
            catalog.can_set_role(self.current(), role, owner)
        } else {
            catalog.is_superuser(self.current())
                || catalog.roles_of(self.current(), Follow::All, owner).contains(&role)
        };
        if may { Ok(()) } else { Err(Failure::denied("must be able to SET ROLE")) }
    }
}
