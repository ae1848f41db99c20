//! `CREATE` of databases, schemas and the objects in them.

use std::rc::Rc;

use super::catalog::{Database, Kind, Oid};
use super::lexer::{Reader, Token};
use super::{Failure, Outcome, Session};

impl Session<'_> {
    pub(super) fn create(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        let Some(Token::Word(what)) = reader.next() else { return reader.unknown() };
        match what.as_str() {
            "role" => self.create_role(reader),
            "database" => self.create_database(reader),
            "schema" => self.create_schema(reader),
            "table" => self.create_table(reader),
            "view" => self.create_view(reader, 'v'),
            "materialized" => {
                reader.expect("view")?;
                self.create_view(reader, 'm')
            }
            "sequence" => {
                let (schema, name) = reader.qualified()?;
                self.new_relation(&schema, &name, 'S').map(drop)
            }
            "foreign" => self.create_foreign(reader),
            "server" => self.create_server(reader),
            "function" | "procedure" | "aggregate" => self.create_routine(reader, what),
            "type" | "domain" => self.create_type(reader, what),
            "text" => {
                reader.expect("search configuration")?;
                let (schema, name) = reader.qualified()?;
                skip(reader);
                self.check_create(&schema)?;
                self.new_object(Kind::TextSearchConfiguration, Some(&schema), &name).map(drop)
            }
            "publication" => {
                let name = reader.name()?;
                self.new_object(Kind::Publication, None, &name).map(drop)
            }
            "extension" => self.create_extension(reader),
            _ => reader.unknown(),
        }
    }

    fn create_database(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        if self.before.is_some() {
            return Err(Failure::server("25001", "CREATE DATABASE cannot run in a transaction"));
        }
        let name = reader.name()?;
        let mut owner = self.current();
        let (mut allow_connections, mut connection_limit) = (true, -1);
        let mut template = "template1".to_owned();
        while !reader.is_at_end() {
            if reader.accept("owner") {
                owner = self.catalog().role_oid(&reader.name()?)?;
            } else if reader.accept("allow_connections") {
                allow_connections = reader.name()? == "true";
            } else if reader.accept("connection limit") {
                connection_limit = i32::try_from(reader.number()?).unwrap_or_default();
            } else if reader.accept("template") {
                template = reader.name()?;
            } else {
                return reader.unknown();
            }
        }
        self.check_creates_databases()?;
        self.check_can_become(owner)?;
        if !self.catalog().databases.contains_key(&template) {
            return Err(Failure::server("3D000", "template does not exist"));
        }
        if self.catalog().databases.contains_key(&name) {
            return Err(Failure::server("42P04", format!("database {name:?} already exists")));
        }
        let oid = self.catalog_mut().new_oid();
        let copied = Database {
            oid,
            owner,
            acl: None,
            allow_connections,
            connection_limit,
            is_template: false,
            comment: None,
            ..self.catalog().database(&template)?.clone()
        };
        self.catalog_mut().databases.insert(name, Rc::new(copied));
        Ok(())
    }

    pub(super) fn check_creates_databases(&self) -> Outcome<()> {
        let current = self.catalog().roles.get(&self.current());
        if current.is_some_and(|role| role.superuser || role.create_database) {
            Ok(())
        } else {
            Err(Failure::denied("to create a database"))
        }
    }

    fn create_schema(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        let name = reader.name()?;
        let owner = if reader.accept("authorization") {
            self.catalog().role_oid(&reader.name()?)?
        } else {
            self.current()
        };
        self.check_creates_schemas()?;
        self.check_can_become(owner)?;
        if self.find_schema(&name).is_ok() {
            return Err(Failure::server("42P06", format!("schema {name:?} already exists")));
        }
        self.add(Kind::Schema, None, &name, owner).map(drop)
    }

    pub(super) fn check_creates_schemas(&self) -> Outcome<()> {
        if self.model.has_database_privilege(self.current(), &self.database, "CREATE") {
            Ok(())
        } else {
            Err(Failure::denied(format!("for database {:?}", self.database)))
        }
    }

    /// The current role needs `CREATE` on the schema of a new object.
    pub(super) fn check_create(&self, schema: &str) -> Outcome<()> {
        let oid = self.find_schema(schema)?;
        if self.has_privilege(self.current(), self.object(oid)?, "CREATE") {
            Ok(())
        } else {
            Err(Failure::denied(format!("to create in schema {schema:?}")))
        }
    }

    /// Adds an object of the current role whose name must be free.
    fn new_object(&mut self, kind: Kind, schema: Option<&str>, name: &str) -> Outcome<Oid> {
        let is_same = |one: Kind| match kind {
            Kind::Relation(_) => matches!(one, Kind::Relation(_)),
            kind => one == kind,
        };
        let mut objects = self.objects()?.iter();
        let exists = objects.any(|object| {
            is_same(object.kind) && object.name == name && object.schema.as_deref() == schema
        });
        if exists {
            let state = if matches!(kind, Kind::Relation(_)) { "42P07" } else { "42710" };
            return Err(Failure::server(state, format!("{name:?} already exists")));
        }
        let owner = self.current();
        Ok(self.add(kind, schema, name, owner)?.oid)
    }

    pub(super) fn new_relation(&mut self, schema: &str, name: &str, kind: char) -> Outcome<Oid> {
        self.check_create(schema)?;
        let oid = self.new_object(Kind::Relation(kind), Some(schema), name)?;
        if kind != 'S' {
            let columns = ["a", "b"].map(|column| (column.to_owned(), Vec::new()));
            self.object_mut(oid)?.columns = columns.into();
        }
        Ok(oid)
    }

    fn create_table(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        let (schema, name) = reader.qualified()?;
        if reader.accept("partition of") {
            let (of_schema, of) = reader.qualified()?;
            let parent = self.find_relation(&of_schema, &of)?;
            self.check_owner(self.object(parent)?.owner)?;
            skip(reader);
            return self.new_relation(&schema, &name, 'r').map(drop);
        }
        let is_serial = reader.contains("serial");
        let is_partitioned = reader.contains("partition");
        skip(reader);
        if is_serial {
            let sequence = format!("{name}_a_seq");
            self.check_create(&schema)?;
            let sequence = self.new_relation(&schema, &sequence, 'S')?;
            let table = self.new_relation(&schema, &name, 'r')?;
            self.object_mut(sequence)?.part_of = Some(table);
            return Ok(());
        }
        self.new_relation(&schema, &name, if is_partitioned { 'p' } else { 'r' }).map(drop)
    }

    /// `AS SELECT 1 AS a`, with or without a column `b`.
    fn create_view(&mut self, reader: &mut Reader<'_>, kind: char) -> Outcome<()> {
        let (schema, name) = reader.qualified()?;
        let has_second = reader.contains("b");
        skip(reader);
        let oid = self.new_relation(&schema, &name, kind)?;
        if !has_second {
            self.object_mut(oid)?.columns.truncate(1);
        }
        Ok(())
    }

    fn create_foreign(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        if reader.accept("data wrapper") {
            let name = reader.name()?;
            if !self.is_superuser() {
                return Err(Failure::denied("to create a foreign-data wrapper"));
            }
            return self.new_object(Kind::Wrapper, None, &name).map(drop);
        }
        reader.expect("table")?;
        let (schema, name) = reader.qualified()?;
        while !reader.accept("server") {
            if reader.next().is_none() {
                return reader.unknown();
            }
        }
        let server = reader.name()?;
        self.new_relation(&schema, &name, 'f')?;
        self.find_unqualified(Kind::ForeignServer, &server).map(drop)
    }

    fn create_server(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        let name = reader.name()?;
        reader.expect("foreign data wrapper")?;
        let wrapper = self.find_unqualified(Kind::Wrapper, &reader.name()?)?;
        let oid = self.new_object(Kind::ForeignServer, None, &name)?;
        self.object_mut(oid)?.part_of = Some(wrapper);
        Ok(())
    }

    fn create_routine(&mut self, reader: &mut Reader<'_>, what: &str) -> Outcome<()> {
        let kind = match what {
            "function" => 'f',
            "procedure" => 'p',
            _ => 'a',
        };
        let (schema, name) = reader.qualified()?;
        let arguments = self.arguments(reader)?;
        skip(reader);
        self.check_create(&schema)?;
        // The OUT arguments of a procedure do not distinguish it from others.
        let owner = self.current();
        self.add(Kind::Routine(kind), Some(&schema), &name, owner)?.arguments = arguments;
        Ok(())
    }

    fn create_type(&mut self, reader: &mut Reader<'_>, what: &str) -> Outcome<()> {
        let (schema, name) = reader.qualified()?;
        self.check_create(&schema)?;
        reader.expect("as")?;
        let kind = match what {
            "domain" => 'd',
            _ if reader.accept("enum") => 'e',
            _ => {
                reader.expect("range")?;
                'r'
            }
        };
        skip(reader);
        let oid = self.new_object(Kind::Type(kind), Some(&schema), &name)?;
        if kind == 'r' {
            self.create_multirange(&schema, &name, oid)?;
        }
        Ok(())
    }

    /// The multirange of a range, and the functions that construct values of both.
    fn create_multirange(&mut self, schema: &str, range: &str, of: Oid) -> Outcome<()> {
        let name = if range.contains("range") {
            range.replacen("range", "multirange", 1)
        } else {
            format!("{range}_multirange")
        };
        let oid = self.new_object(Kind::Type('m'), Some(schema), &name)?;
        self.object_mut(oid)?.part_of = Some(of);
        let owner = self.current();
        let qualified =
            |name: &str| format!("{}.{}", super::grant::quoted(schema), super::grant::quoted(name));
        let integer = || "integer".to_owned();
        let constructors = [
            (range, vec![integer(), integer()]),
            (range, vec![integer(), integer(), "text".to_owned()]),
            (name.as_str(), vec![]),
            (name.as_str(), vec![qualified(range)]),
            (name.as_str(), vec![format!("VARIADIC {}[]", qualified(range))]),
        ];
        for (name, arguments) in constructors {
            let arguments = arguments.into_iter().map(|one| (false, one)).collect();
            self.add(Kind::Routine('f'), Some(schema), name, owner)?.arguments = arguments;
        }
        Ok(())
    }

    /// `SELECT lo_create(1)`.
    pub(super) fn create_large_object(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        reader.symbol('(');
        let name = reader.number()?.to_string();
        reader.symbol(')');
        let owner = self.current();
        if self.find_unqualified(Kind::LargeObject, &name).is_ok() {
            return Err(Failure::server("23505", "large object already exists"));
        }
        self.add(Kind::LargeObject, None, &name, owner).map(drop)
    }
}

/// Skips what does not concern privileges.
fn skip(reader: &mut Reader<'_>) {
    while reader.next().is_some() {}
}
