//! `GRANT` and `REVOKE` of privileges on objects, with the rules of `aclchk.c`.

use super::acl::{
    self, Acl, Behavior, Change, Inheritance as _, Mask, PUBLIC, bit, options, without_options,
};
use super::catalog::{Kind, Object, Oid, all_privileges, default_acl};
use super::lexer::{Reader, Token};
use super::{Failure, Outcome, Session};

/// The privileges of a statement: `None` is `ALL`.
pub(super) struct Privileges {
    whole: Option<Mask>,
    /// Each with its columns.
    on_columns: Vec<(Mask, Vec<String>)>,
}

/// An object of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Database(String),
    /// An object of the current database.
    Object(Oid),
}

/// The names of the grant option in statements of both directions.
pub(super) struct Direction {
    pub is_grant: bool,
    pub grant_option: bool,
}

impl Session<'_> {
    pub(super) fn grant(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        if !reader.contains("on") {
            return self.grant_roles(reader);
        }
        let privileges = read_privileges(reader)?;
        reader.expect("on")?;
        let targets = self.targets(reader)?;
        reader.expect("to")?;
        let grantees = self.grantees(reader)?;
        let grant_option = reader.accept("with grant option");
        let direction = Direction { is_grant: true, grant_option };
        self.change_privileges(&privileges, &targets, direction, &grantees, Behavior::Restrict)
    }

    pub(super) fn revoke(&mut self, reader: &mut Reader<'_>) -> Outcome<()> {
        if !reader.contains("on") {
            return self.revoke_roles(reader);
        }
        let grant_option = reader.accept("grant option for");
        let privileges = read_privileges(reader)?;
        reader.expect("on")?;
        let targets = self.targets(reader)?;
        reader.expect("from")?;
        let grantees = self.grantees(reader)?;
        let behavior =
            if reader.accept("cascade") { Behavior::Cascade } else { Behavior::Restrict };
        let direction = Direction { is_grant: false, grant_option };
        self.change_privileges(&privileges, &targets, direction, &grantees, behavior)
    }

    pub(super) fn grantees(&self, reader: &mut Reader<'_>) -> Outcome<Vec<Oid>> {
        reader.list(|reader| match reader.peek() {
            Some(Token::Word(word)) if word == "public" => reader.name().map(|_| PUBLIC),
            _ => self.catalog().role_oid(&reader.name()?),
        })
    }

    fn targets(&self, reader: &mut Reader<'_>) -> Outcome<Vec<Target>> {
        if reader.accept("database") {
            let name = reader.name()?;
            self.catalog().database(&name)?;
            return Ok(vec![Target::Database(name)]);
        }
        for (words, is_sequence) in
            [("all tables in schema", false), ("all sequences in schema", true)]
        {
            if reader.accept(words) {
                let schemas = reader.list(Reader::name)?;
                let mut all = Vec::new();
                for schema in schemas {
                    self.check_usage(&schema)?;
                    let relations = self.objects()?.iter().filter(|object| {
                        object.is_in(&schema)
                            && matches!(object.kind, Kind::Relation(kind) if (kind == 'S') == is_sequence)
                    });
                    all.extend(relations.map(|object| Target::Object(object.oid)));
                }
                return Ok(all);
            }
        }
        let found = if reader.accept("schema") {
            reader.list(|reader| self.find_schema(&reader.name()?))?
        } else if reader.accept("language") {
            vec![self.find_unqualified(Kind::Language, &reader.name()?)?]
        } else if reader.accept("foreign server") {
            vec![self.find_unqualified(Kind::ForeignServer, &reader.name()?)?]
        } else if reader.accept("foreign data wrapper") {
            vec![self.find_unqualified(Kind::Wrapper, &reader.name()?)?]
        } else if reader.accept("large object") {
            vec![self.find_unqualified(Kind::LargeObject, &reader.number()?.to_string())?]
        } else if reader.accept("function")
            || reader.accept("procedure")
            || reader.accept("routine")
        {
            vec![self.find_routine(reader)?]
        } else if reader.accept("type") {
            vec![self.find_type(reader)?]
        } else {
            let _ = reader.accept("table") || reader.accept("sequence");
            reader.list(|reader| {
                let (schema, name) = reader.qualified()?;
                self.find_relation(&schema, &name)
            })?
        };
        Ok(found.into_iter().map(Target::Object).collect())
    }

    pub(super) fn objects(&self) -> Outcome<&[Object]> {
        Ok(&self.catalog().database(&self.database)?.objects)
    }

    pub(super) fn object(&self, oid: Oid) -> Outcome<&Object> {
        let found = self.objects()?.iter().find(|object| object.oid == oid);
        found.ok_or_else(|| Failure::unknown("an object without a row"))
    }

    pub(super) fn object_mut(&mut self, oid: Oid) -> Outcome<&mut Object> {
        let database = self.database.clone();
        let objects = &mut self.catalog_mut().database_mut(&database)?.objects;
        let found = objects.iter_mut().find(|object| object.oid == oid);
        found.ok_or_else(|| Failure::unknown("an object without a row"))
    }

    pub(super) fn find_schema(&self, name: &str) -> Outcome<Oid> {
        let is = |object: &&Object| object.kind == Kind::Schema && object.name == name;
        let found = self.objects()?.iter().find(is).map(|object| object.oid);
        found.ok_or_else(|| Failure::server("3F000", format!("schema {name:?} does not exist")))
    }

    /// A statement can name the objects of a schema only with `USAGE`.
    pub(super) fn check_usage(&self, schema: &str) -> Outcome<()> {
        let oid = self.find_schema(schema)?;
        if self.has_privilege(self.current(), self.object(oid)?, "USAGE") {
            Ok(())
        } else {
            Err(Failure::denied(format!("schema {schema:?}")))
        }
    }

    pub(super) fn find_relation(&self, schema: &str, name: &str) -> Outcome<Oid> {
        self.check_usage(schema)?;
        let is = |object: &&Object| {
            matches!(object.kind, Kind::Relation(_)) && object.is_in(schema) && object.name == name
        };
        let found = self.objects()?.iter().find(is).map(|object| object.oid);
        found.ok_or_else(|| Failure::server("42P01", format!("{schema:?}.{name:?} does not exist")))
    }

    pub(super) fn find_unqualified(&self, kind: Kind, name: &str) -> Outcome<Oid> {
        let is = |object: &&Object| object.kind == kind && object.name == name;
        let found = self.objects()?.iter().find(is).map(|object| object.oid);
        found.ok_or_else(|| Failure::server("42704", format!("{kind:?} {name:?} does not exist")))
    }

    pub(super) fn find_type(&self, reader: &mut Reader<'_>) -> Outcome<Oid> {
        let (schema, name) = reader.qualified()?;
        self.check_usage(&schema)?;
        let is = |object: &&Object| {
            matches!(object.kind, Kind::Type(_)) && object.is_in(&schema) && object.name == name
        };
        let found = self.objects()?.iter().find(is).map(|object| object.oid);
        found.ok_or_else(|| Failure::server("42704", format!("type {name:?} does not exist")))
    }

    /// Finds a routine by its name and the types of its arguments. For a procedure, these include the
    /// `OUT` arguments.
    pub(super) fn find_routine(&self, reader: &mut Reader<'_>) -> Outcome<Oid> {
        let whole = reader.clone();
        let (schema, name) = reader.qualified()?;
        let arguments = self.arguments(reader)?;
        self.check_usage(&schema)?;
        for (_, argument) in &arguments {
            if let Some((schema, _)) = argument.split_once('.') {
                self.check_usage(&unquoted(schema))?;
            }
        }
        let is = |object: &&Object| {
            matches!(object.kind, Kind::Routine(_))
                && object.is_in(&schema)
                && object.name == name
                && object.arguments == arguments
        };
        let found = self.objects()?.iter().find(is).map(|object| object.oid);
        found.ok_or_else(|| {
            Failure::server("42883", format!("routine {:?} does not exist", whole.peek()))
        })
    }

    /// Reads the arguments of a routine: whether each is `OUT`, and its type as `format_type` returns it.
    pub(super) fn arguments(&self, reader: &mut Reader<'_>) -> Outcome<Vec<(bool, String)>> {
        if !reader.symbol('(') {
            return reader.unknown();
        }
        if reader.symbol('*') {
            reader.symbol(')');
            return Ok(Vec::new());
        }
        if reader.symbol(')') {
            return Ok(Vec::new());
        }
        let arguments = reader.list(|reader| {
            let is_out = reader.accept("out");
            if !is_out {
                reader.accept("in");
            }
            let first = reader.name()?;
            if reader.symbol('.') {
                let name = reader.name()?;
                if first == "pg_catalog" {
                    return Ok((is_out, name));
                }
                return Ok((is_out, format!("{}.{}", quoted(&first), quoted(&name))));
            }
            Ok((is_out, if first == "int" { "integer".to_owned() } else { first }))
        })?;
        if reader.symbol(')') { Ok(arguments) } else { reader.unknown() }
    }

    fn change_privileges(
        &mut self,
        privileges: &Privileges,
        targets: &[Target],
        direction: Direction,
        grantees: &[Oid],
        behavior: Behavior,
    ) -> Outcome<()> {
        let change = Change {
            is_grant: direction.is_grant,
            grant_option: direction.grant_option,
            behavior,
            grantees,
        };
        for target in targets {
            match target {
                Target::Database(name) => self.change_database(privileges, name, &change)?,
                Target::Object(oid) => self.change_object(privileges, *oid, &change)?,
            }
        }
        Ok(())
    }

    fn change_database(
        &mut self,
        privileges: &Privileges,
        name: &str,
        change: &Change<'_>,
    ) -> Outcome<()> {
        let major = self.catalog().major;
        let all = all_privileges('d', major);
        let wanted = privileges.whole.unwrap_or(all);
        let (owner, old) = {
            let found = self.catalog().database(name)?;
            (found.owner, found.acl.clone().unwrap_or_else(|| default_acl('d', found.owner, major)))
        };
        let has = |session: &Self, role| session.mask_of(&old, 'd', owner, role);
        let is_all = privileges.whole.is_none();
        let (grantor, allowed) = self.allowed(&old, owner, wanted, is_all, change, has)?;
        let new = acl::changed(&old, change, allowed, grantor, owner, &self.world())?;
        self.catalog_mut().database_mut(name)?.acl = Some(new);
        Ok(())
    }

    fn change_object(
        &mut self,
        privileges: &Privileges,
        oid: Oid,
        change: &Change<'_>,
    ) -> Outcome<()> {
        let major = self.catalog().major;
        let object = self.object(oid)?.clone();
        let Some(kind) = object.acl_kind() else { return Err(Failure::unknown("an ACL")) };
        let old = object.effective_acl(major);
        let is_all = privileges.whole.is_none();
        let wanted = privileges.whole.unwrap_or_else(|| all_privileges(kind, major));
        if wanted & !all_privileges(kind, major) != 0 {
            return Err(Failure::server("0LP01", "invalid privilege type"));
        }
        if wanted != 0 {
            let has = |session: &Self, role| session.mask_of(&old, kind, object.owner, role);
            let (grantor, allowed) =
                self.allowed(&old, object.owner, wanted, is_all, change, has)?;
            let new = acl::changed(&old, change, allowed, grantor, object.owner, &self.world())?;
            self.object_mut(oid)?.acl = Some(new);
        }
        if !matches!(object.kind, Kind::Relation(_)) {
            return Ok(());
        }
        let on_all = if change.is_grant { 0 } else { wanted & all_privileges('c', major) };
        for (number, (column, column_acl)) in object.columns.iter().enumerate() {
            let listed = privileges.on_columns.iter().filter(|(_, names)| names.contains(column));
            let on_column = listed.fold(on_all, |all, (mask, _)| all | mask);
            if on_column == 0 {
                continue;
            }
            let merged: Acl = old.iter().chain(column_acl).copied().collect();
            let has = |session: &Self, role| session.mask_of(&merged, 'r', object.owner, role);
            let is_all = on_column == all_privileges('c', major);
            let (grantor, allowed) =
                self.allowed(&merged, object.owner, on_column, is_all, change, has)?;
            let new =
                acl::changed(column_acl, change, allowed, grantor, object.owner, &self.world())?;
            self.object_mut(oid)?.columns[number].1 = new;
        }
        let names = privileges.on_columns.iter().flat_map(|(_, names)| names);
        for name in names {
            if !object.columns.iter().any(|(column, _)| column == name) {
                return Err(Failure::server("42703", format!("column {name:?} does not exist")));
            }
        }
        Ok(())
    }

    /// Returns the grantor, and the privileges that it may grant: `select_best_grantor` and
    /// `restrict_and_check_grant`.
    fn allowed(
        &mut self,
        acl: &Acl,
        owner: Oid,
        wanted: Mask,
        is_all: bool,
        change: &Change<'_>,
        has: impl Fn(&Self, Oid) -> Mask,
    ) -> Outcome<(Oid, Mask)> {
        let (grantor, available) = self.best_grantor(acl, owner, wanted);
        if available == 0 && has(self, grantor) == 0 {
            return Err(Failure::denied("no privilege on the object"));
        }
        let allowed = wanted & available;
        if allowed == 0 || !is_all && allowed != wanted {
            self.warn(if change.is_grant { "01007" } else { "01006" });
        }
        Ok((grantor, allowed))
    }

    fn best_grantor(&self, acl: &Acl, owner: Oid, wanted: Mask) -> (Oid, Mask) {
        use super::catalog::Follow;
        let current = self.current();
        let catalog = self.catalog();
        if current == owner || catalog.is_superuser(current) {
            return (owner, wanted);
        }
        let mut best: (Oid, Mask) = (current, 0);
        for role in catalog.roles_of(current, Follow::Inherit, self.database_owner()) {
            let found = acl::direct_mask(acl, role, owner, options(wanted)) >> 16;
            if found == wanted {
                return (role, found);
            }
            if found.count_ones() > best.1.count_ones() {
                best = (role, found);
            }
        }
        best
    }

    /// Returns all privileges and grant options that a role has on an object with an ACL.
    pub(super) fn mask_of(&self, acl: &Acl, kind: char, owner: Oid, role: Oid) -> Mask {
        let all = all_privileges(kind, self.catalog().major);
        let all = all | options(all);
        if self.catalog().is_superuser(role) {
            return all;
        }
        let world = self.world();
        let of = |name: &str| {
            self.catalog().find_role(name).is_some_and(|group| world.has_privileges_of(role, group))
        };
        let mut mask = acl::mask(acl, role, owner, all, &world);
        let reads = matches!(kind, 'r' | 's');
        if reads && mask & acl::bits(&["SELECT"]) == 0 && of("pg_read_all_data") {
            mask |= acl::bits(&["SELECT"]);
        }
        if reads && of("pg_write_all_data") {
            mask |= acl::bits(&["INSERT", "UPDATE", "DELETE"]) & all;
        }
        if kind == 'r' && of("pg_maintain") {
            mask |= acl::bits(&["MAINTAIN"]) & all;
        }
        if kind == 'n' && (of("pg_read_all_data") || of("pg_write_all_data")) {
            mask |= acl::bits(&["USAGE"]);
        }
        mask
    }

    pub(super) fn has_privilege(&self, role: Oid, object: &Object, privilege: &str) -> bool {
        let Some(kind) = object.acl_kind() else { return false };
        let acl = object.effective_acl(self.catalog().major);
        let mask = without_options(self.mask_of(&acl, kind, object.owner, role));
        bit(privilege).is_some_and(|bit| mask & bit != 0)
    }
}

/// Reads privileges, each with its columns.
pub(super) fn read_privileges(reader: &mut Reader<'_>) -> Outcome<Privileges> {
    if reader.accept("all") {
        reader.accept("privileges");
        return Ok(Privileges { whole: None, on_columns: Vec::new() });
    }
    let mut privileges = Privileges { whole: Some(0), on_columns: Vec::new() };
    for (mask, columns) in reader.list(|reader| {
        let name = reader.name()?.to_uppercase();
        let Some(mask) = bit(&name) else { return reader.unknown() };
        if !reader.symbol('(') {
            return Ok((mask, None));
        }
        let columns = reader.list(Reader::name)?;
        if reader.symbol(')') { Ok((mask, Some(columns))) } else { reader.unknown() }
    })? {
        match columns {
            Some(columns) => privileges.on_columns.push((mask, columns)),
            None => privileges.whole = privileges.whole.map(|whole| whole | mask),
        }
    }
    Ok(privileges)
}

impl Privileges {
    /// Returns the privileges on objects of a type.
    pub(super) fn on(&self, kind: char, major: u32) -> Mask {
        self.whole.unwrap_or_else(|| all_privileges(kind, major))
    }
}

/// `quote_identifier`.
pub(super) fn quoted(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

pub(super) fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}
