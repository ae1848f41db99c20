//! `ALTER DEFAULT PRIVILEGES`, and the ACL of a new object.

use super::acl::{self, Acl, Behavior, Change};
use super::catalog::{DefaultsKey, Kind, Object, Oid, default_acl};
use super::grant::read_privileges;
use super::lexer::Reader;
use super::{Failure, Outcome, Session};

/// Returns the type in `acldefault` of a type in `pg_default_acl`.
pub(super) fn acl_kind(defaults_kind: char) -> char {
    if defaults_kind == 'S' { 's' } else { defaults_kind }
}

impl Session<'_> {
    pub(super) fn alter_default_privileges(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        use acl::Inheritance as _;
        reader.expect("for role")?;
        let creator = self.catalog().role_oid(&reader.name()?)?;
        let schema = if reader.accept("in schema") { Some(reader.name()?) } else { None };
        let is_grant = reader.accept("grant");
        if !is_grant {
            reader.expect("revoke")?;
        }
        let option_only = !is_grant && reader.accept("grant option for");
        let privileges = read_privileges(reader)?;
        reader.expect("on")?;
        let kind = match reader.name()?.as_str() {
            "tables" => 'r',
            "sequences" => 'S',
            "functions" | "routines" => 'f',
            "types" => 'T',
            "schemas" => 'n',
            "large" => {
                reader.expect("objects")?;
                'L'
            }
            _ => return reader.unknown(),
        };
        reader.expect(if is_grant { "to" } else { "from" })?;
        let grantees = self.grantees(reader)?;
        let grant_option = option_only || is_grant && reader.accept("with grant option");
        let behavior =
            if reader.accept("cascade") { Behavior::Cascade } else { Behavior::Restrict };
        if !self.world().has_privileges_of(self.current(), creator) {
            return Err(Failure::denied("to change default privileges"));
        }
        if let Some(schema) = &schema {
            self.find_schema(schema)?;
        }
        let major = self.catalog().major;
        let built_in = match schema {
            None => default_acl(acl_kind(kind), creator, major),
            Some(_) => Acl::new(),
        };
        let key = DefaultsKey { creator, schema, kind };
        let database = self.database.clone();
        let stored = &self.catalog().database(&database)?.default_privileges;
        let old = stored.get(&key).cloned().unwrap_or_else(|| built_in.clone());
        let change = Change { is_grant, grant_option, behavior, grantees: &grantees };
        let wanted = privileges.on(acl_kind(kind), major);
        let mut new = acl::changed(&old, &change, wanted, creator, creator, &self.world())?;
        new.sort_unstable();
        let mut sorted = built_in;
        sorted.sort_unstable();
        let defaults = &mut self.catalog_mut().database_mut(&database)?.default_privileges;
        if new == sorted {
            defaults.remove(&key);
        } else {
            defaults.insert(key, new);
        }
        Ok(())
    }

    /// `get_user_default_acl`: `None` is the built-in ACL.
    pub(super) fn default_acl_of(
        &self,
        kind: Kind,
        owner: Oid,
        schema: Option<&str>,
    ) -> Outcome<Option<Acl>> {
        let kind = match kind {
            Kind::Relation('S') => 'S',
            Kind::Relation(_) => 'r',
            Kind::Routine(_) => 'f',
            Kind::Type(_) => 'T',
            Kind::Schema => 'n',
            Kind::LargeObject if self.catalog().major >= 18 => 'L',
            _ => return Ok(None),
        };
        let key = |schema: Option<&str>| DefaultsKey {
            creator: owner,
            schema: schema.map(str::to_owned),
            kind,
        };
        let stored = &self.catalog().database(&self.database)?.default_privileges;
        let global = stored.get(&key(None));
        let in_schema = schema.and_then(|schema| stored.get(&key(Some(schema))));
        if global.is_none() && in_schema.is_none() {
            return Ok(None);
        }
        let built_in = default_acl(acl_kind(kind), owner, self.catalog().major);
        let empty = Acl::new();
        let all = acl::merged(
            global.unwrap_or(&built_in),
            in_schema.unwrap_or(&empty),
            owner,
            &self.world(),
        );
        let mut sorted = built_in.clone();
        sorted.sort_unstable();
        Ok((all != sorted).then_some(all))
    }

    /// Adds a new object of the current role, or of another owner, with its default privileges.
    pub(super) fn add(
        &mut self,
        kind: Kind,
        schema: Option<&str>,
        name: &str,
        owner: Oid,
    ) -> Outcome<&mut Object> {
        let acl = self.default_acl_of(kind, owner, schema)?;
        let oid = self.catalog_mut().new_oid();
        let database = self.database.clone();
        let objects = &mut self.catalog_mut().database_mut(&database)?.objects;
        objects.push(Object {
            oid,
            kind,
            schema: schema.map(str::to_owned),
            name: name.to_owned(),
            arguments: Vec::new(),
            owner,
            acl,
            columns: Vec::new(),
            extension: None,
            part_of: None,
        });
        objects.last_mut().ok_or_else(|| Failure::unknown("a new object"))
    }
}
