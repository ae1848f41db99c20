//! `ALTER … OWNER TO` and `REASSIGN OWNED`.

use super::acl::{Inheritance as _, with_new_owner};
use super::catalog::{Kind, Oid};
use super::lexer::Reader;
use super::{Failure, Outcome, Session};

impl Session<'_> {
    /// Reads the new owner.
    pub(super) fn new_owner(&self, reader: &mut Reader<'_>) -> Outcome<Oid> {
        reader.expect("owner to")?;
        if reader.accept("current_user") {
            return Ok(self.current());
        }
        self.catalog().role_oid(&reader.name()?)
    }

    pub(super) fn alter_database_owner(&mut self, name: &str, to: Oid) -> Outcome<()> {
        let from = self.catalog().database(name)?.owner;
        if from == to {
            return Ok(());
        }
        self.check_owner(from)?;
        self.check_can_become(to)?;
        self.check_creates_databases()?;
        self.give_database(name, from, to)
    }

    fn give_database(&mut self, name: &str, from: Oid, to: Oid) -> Outcome<()> {
        let database = self.catalog_mut().database_mut(name)?;
        database.owner = to;
        database.acl = database.acl.as_ref().map(|acl| with_new_owner(acl, from, to));
        Ok(())
    }

    /// Gives an object to a role, with the checks of its own statement.
    pub(super) fn alter_object_owner(&mut self, oid: Oid, to: Oid) -> Outcome<()> {
        let object = self.object(oid)?.clone();
        if object.owner == to {
            return Ok(());
        }
        if !self.is_superuser() {
            self.check_owner(object.owner)?;
            self.check_can_become(to)?;
            match (&object.schema, object.kind) {
                (_, Kind::Schema) => self.check_creates_schemas()?,
                // An extension belongs to no schema.
                (_, Kind::Extension) => {}
                (Some(schema), _) => {
                    let schema = self.find_schema(schema)?;
                    if !self.has_privilege(to, self.object(schema)?, "CREATE") {
                        return Err(Failure::denied("the new owner may not create in the schema"));
                    }
                }
                (None, Kind::Wrapper) => return Err(Failure::denied("only a superuser")),
                (None, Kind::ForeignServer) => {
                    let wrapper = self.object(object.part_of.unwrap_or_default())?;
                    if !self.has_privilege(to, wrapper, "USAGE") {
                        return Err(Failure::denied("foreign-data wrapper"));
                    }
                }
                (None, Kind::Publication) => self.check_publication_owner(to)?,
                (None, _) => {}
            }
        }
        self.give(oid, object.owner, to)?;
        let parts: Vec<Oid> = self
            .objects()?
            .iter()
            .filter(|part| part.part_of == Some(oid) && part.kind != Kind::ForeignServer)
            .filter(|part| part.owner != to)
            .map(|part| part.oid)
            .collect();
        for part in parts {
            let from = self.object(part)?.owner;
            self.give(part, from, to)?;
        }
        Ok(())
    }

    fn check_publication_owner(&self, to: Oid) -> Outcome<()> {
        if self.model.has_database_privilege(to, &self.database, "CREATE") {
            Ok(())
        } else {
            Err(Failure::denied("the new owner may not create in the database"))
        }
    }

    fn give(&mut self, oid: Oid, from: Oid, to: Oid) -> Outcome<()> {
        let object = self.object_mut(oid)?;
        object.owner = to;
        object.acl = object.acl.as_ref().map(|acl| with_new_owner(acl, from, to));
        for (_, acl) in &mut object.columns {
            *acl = with_new_owner(acl, from, to);
        }
        Ok(())
    }

    pub(super) fn reassign_owned(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        reader.expect("owned by")?;
        let from = self.catalog().role_oid(&reader.name()?)?;
        reader.expect("to")?;
        let to = self.catalog().role_oid(&reader.name()?)?;
        let world = self.world();
        if !world.has_privileges_of(self.current(), from)
            || !world.has_privileges_of(self.current(), to)
        {
            return Err(Failure::denied("to reassign objects"));
        }
        let databases: Vec<String> = self
            .catalog()
            .databases
            .iter()
            .filter(|(_, database)| database.owner == from)
            .map(|(name, _)| name.clone())
            .collect();
        for name in databases {
            self.check_can_become(to)?;
            self.give_database(&name, from, to)?;
        }
        let owned: Vec<(Oid, Kind)> = self
            .objects()?
            .iter()
            .filter(|object| object.owner == from)
            .map(|object| (object.oid, object.kind))
            .collect();
        for (oid, kind) in owned {
            match kind {
                // Without the checks of the statements on relations and types.
                Kind::Relation(_) | Kind::Type(_) => self.give(oid, from, to)?,
                _ => self.alter_object_owner(oid, to)?,
            }
        }
        Ok(())
    }
}
