//! `ALTER`, `COMMENT` and `DROP`.

use super::catalog::{Kind, Oid};
use super::lexer::{Reader, Token};
use super::{Failure, Outcome, Session};

impl Session<'_> {
    pub(super) fn alter(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        let Some(Token::Word(what)) = reader.next() else { return reader.unknown() };
        let object = match what.as_str() {
            "role" => return self.alter_role(reader),
            "database" => return self.alter_database(reader),
            "default" => {
                reader.expect("privileges")?;
                return self.alter_default_privileges(reader);
            }
            "schema" => self.find_schema(&reader.name()?)?,
            "table" | "view" | "sequence" => self.named_relation(reader)?,
            "materialized" => {
                reader.expect("view")?;
                self.named_relation(reader)?
            }
            "foreign" if reader.accept("table") => self.named_relation(reader)?,
            "foreign" => {
                reader.expect("data wrapper")?;
                self.find_unqualified(Kind::Wrapper, &reader.name()?)?
            }
            "function" | "procedure" | "aggregate" | "routine" => self.find_routine(reader)?,
            "type" | "domain" => self.find_type(reader)?,
            "server" => self.find_unqualified(Kind::ForeignServer, &reader.name()?)?,
            "publication" => self.find_unqualified(Kind::Publication, &reader.name()?)?,
            "large" => {
                reader.expect("object")?;
                self.find_unqualified(Kind::LargeObject, &reader.number()?.to_string())?
            }
            "text" => {
                reader.expect("search configuration")?;
                let (schema, name) = reader.qualified()?;
                self.check_usage(&schema)?;
                let found = self.objects()?.iter().find(|object| {
                    object.kind == Kind::TextSearchConfiguration
                        && object.is_in(&schema)
                        && object.name == name
                });
                let missing = || Failure::server("42704", "configuration does not exist");
                found.map(|object| object.oid).ok_or_else(missing)?
            }
            _ => return reader.unknown(),
        };
        let owner = self.new_owner(reader)?;
        self.alter_object_owner(object, owner)
    }

    fn named_relation(&self, reader: &mut Reader<'_>) -> Outcome<Oid> {
        let (schema, name) = reader.qualified()?;
        self.find_relation(&schema, &name)
    }

    fn alter_database(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        let name = reader.name()?;
        let (owner, oid) = {
            let database = self.catalog().database(&name)?;
            (database.owner, database.oid)
        };
        if let Some(Token::Word(word)) = reader.peek() {
            match word.as_str() {
                "owner" => {
                    let to = self.new_owner(reader)?;
                    return self.alter_database_owner(&name, to);
                }
                "set" | "reset" => {
                    self.check_owner(owner)?;
                    return self.store_setting(0, oid, reader);
                }
                _ => {}
            }
        }
        self.check_owner(owner)?;
        while !reader.is_at_end() {
            if reader.accept("allow_connections") {
                let value = reader.name()? == "true";
                self.catalog_mut().database_mut(&name)?.allow_connections = value;
            } else if reader.accept("is_template") {
                let value = reader.name()? == "true";
                self.catalog_mut().database_mut(&name)?.is_template = value;
            } else if reader.accept("connection limit") {
                let limit = i32::try_from(reader.number()?).or_else(|_| reader.unknown())?;
                self.catalog_mut().database_mut(&name)?.connection_limit = limit;
            } else {
                return reader.unknown();
            }
        }
        Ok(())
    }

    pub(super) fn comment(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        reader.expect("on")?;
        let is_role = reader.accept("role");
        if !is_role {
            reader.expect("database")?;
        }
        let name = reader.name()?;
        reader.expect("is")?;
        let text = if reader.accept("null") { None } else { Some(reader.literal()?) };
        if is_role {
            let role = self.catalog().role_oid(&name)?;
            let is_denied = self.catalog().is_superuser(role) && !self.is_superuser();
            if is_denied || !self.administers(role) {
                return Err(Failure::denied("must be owner of the role"));
            }
            self.catalog_mut().role_mut(role).comment = text;
            return Ok(());
        }
        let owner = self.catalog().database(&name)?.owner;
        self.check_owner(owner)?;
        self.catalog_mut().database_mut(&name)?.comment = text;
        Ok(())
    }

    pub(super) fn drop(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        reader.expect("role")?;
        let name = reader.name()?;
        self.drop_role(&name)
    }
}
