//! Generates schemas and the objects in them.

use rdsprov_core::name::quote;

use super::{ADMINISTRATOR, Generator, InDatabase, Kind, Object, ObjectKind, SUPERUSER, Scope};
use crate::declared::SCHEMAS;

impl Generator<'_> {
    /// Makes all manual changes inside a database.
    pub(super) fn inside(&mut self, database: &mut InDatabase) {
        self.schemas(database);
        let relations = self.random.skewed(0, 8);
        for number in 0..relations {
            self.relation(database, number);
        }
        let others = self.random.skewed(0, 4);
        for number in 0..others {
            self.other_object(database, number);
        }
        let changes = self.random.skewed(0, 14);
        for _ in 0..changes {
            match self.random.below(10) {
                0 => self.database_itself(&database.name, &database.owner),
                _ => self.change(database),
            }
        }
    }

    fn make(&mut self, database: &InDatabase, kind: Kind, statement: String) {
        self.start(kind, Scope::Database(database.name.clone()), vec![statement]);
    }

    /// Returns the database's owner in most cases, otherwise a role that the administrator
    /// cannot SET ROLE to.
    fn owner_in(&mut self, database: &InDatabase) -> String {
        match self.random.below(100) {
            0..65 => database.owner.clone(),
            65..78 => self.role_of(&database.name),
            78..84 => self.managed_role(),
            84..91 => "clerk".to_owned(),
            91..95 => ADMINISTRATOR.to_owned(),
            95..98 => "stranger".to_owned(),
            _ => SUPERUSER.to_owned(),
        }
    }

    fn schemas(&mut self, database: &mut InDatabase) {
        let restored_to_owner = self.declared.owner(&database.name).map(|app| app.covered());
        for schema in SCHEMAS {
            if database.schemas.iter().any(|existing| existing == schema) {
                continue;
            }
            let will_be_made =
                restored_to_owner.as_ref().is_some_and(|own| own.iter().any(|s| s == schema));
            let likely = if will_be_made { 30 } else { 15 };
            if !self.random.chance(likely) {
                continue;
            }
            let owner = if self.random.chance(80) {
                database.owner.clone()
            } else {
                self.owner_in(database)
            };
            let kind =
                if owner == database.owner { Kind::Schema } else { Kind::SchemaOfAnotherOwner };
            let name = quote(schema);
            let statement = format!("CREATE SCHEMA {name} AUTHORIZATION {}", quote(&owner));
            self.make(database, kind, statement);
            database.schemas.push(schema.to_owned());
            database.objects.push(Object {
                kind: ObjectKind::Schema,
                target: format!("SCHEMA {name}"),
                schema: Some(schema.to_owned()),
                owner,
            });
        }
    }

    fn relation(&mut self, database: &mut InDatabase, number: usize) {
        let schema = self.random.pick(&database.schemas).clone();
        let owner = self.owner_in(database);
        let (stem, keyword, rest, kind) = match self.random.below(12) {
            0..4 => ("t", "TABLE", "(a int, b text)", Kind::Relation),
            4..6 => ("s", "TABLE", "(a serial, b text)", Kind::Relation),
            6 => ("p", "TABLE", "(a int, b text) PARTITION BY LIST (a)", Kind::Partitioned),
            7 => ("v", "VIEW", "AS SELECT 1 AS a, ''::text AS b", Kind::Relation),
            8 => ("m", "MATERIALIZED VIEW", "AS SELECT 1 AS a, ''::text AS b", Kind::Relation),
            9..11 => ("q", "SEQUENCE", "", Kind::Relation),
            _ => ("f", "FOREIGN TABLE", "(a int, b text) SERVER far", Kind::ForeignTable),
        };
        let kind = match kind {
            Kind::Relation if owner != database.owner => Kind::RelationOfAnotherOwner,
            kind => kind,
        };
        let odd = self.random.chance(15);
        let name = |stem: &str| {
            if odd { format!("{stem} of \"{number}\"") } else { format!("{stem}_{number}") }
        };
        let full = |stem: &str| format!("{}.{}", quote(&schema), quote(&name(stem)));
        if stem == "f" && !database.has_foreign_server {
            database.has_foreign_server = true;
            let server = "CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER far FOREIGN DATA WRAPPER nothing";
            self.make(database, Kind::ForeignServer, server.to_owned());
        }
        let target = full(stem);
        let role = quote(&owner);
        // The owner creates the object itself if it can, so that its default privileges apply.
        let schemas_owner = database
            .objects
            .iter()
            .find(|object| {
                object.kind == ObjectKind::Schema && object.schema.as_ref() == Some(&schema)
            })
            .map(|object| &object.owner);
        let own = owner == database.owner && schemas_owner == Some(&owner);
        let statement = if own && stem != "f" {
            format!("SET LOCAL ROLE {role}; CREATE {keyword} {target} {rest}")
        } else {
            format!("CREATE {keyword} {target} {rest}; ALTER {keyword} {target} OWNER TO {role}")
        };
        self.make(database, kind, statement);
        let object = |kind, keyword: &str, name: String| Object {
            kind,
            target: format!("{keyword} {name}"),
            schema: Some(schema.clone()),
            owner: owner.clone(),
        };
        match stem {
            "q" => database.objects.push(object(ObjectKind::Sequence, "SEQUENCE", target.clone())),
            _ => database.objects.push(object(ObjectKind::Table, "TABLE", target.clone())),
        }
        if stem == "s" {
            let sequence = format!("{}.{}", quote(&schema), quote(&format!("{}_a_seq", name("s"))));
            database.objects.push(object(ObjectKind::Sequence, "SEQUENCE", sequence));
        }
        if stem == "p" {
            let part = full("part");
            let statement = format!(
                "CREATE TABLE {part} PARTITION OF {target} FOR VALUES IN (1); ALTER TABLE {part} OWNER TO {role}"
            );
            self.make(database, Kind::Partitioned, statement);
            database.objects.push(object(ObjectKind::Table, "TABLE", part));
        }
    }

    /// Returns an argument type for a function: an existing type in any schema, or a system type.
    fn argument(&mut self, database: &InDatabase) -> String {
        let types: Vec<&str> = database
            .objects
            .iter()
            .filter_map(|object| object.target.strip_prefix("TYPE "))
            .collect();
        if types.is_empty() || self.random.chance(20) {
            return "integer".to_owned();
        }
        (*self.random.pick(&types)).to_owned()
    }

    fn other_object(&mut self, database: &mut InDatabase, number: usize) {
        let schema = self.random.pick(&database.schemas).clone();
        let owner = self.owner_in(database);
        let role = quote(&owner);
        let name =
            |stem: &str| format!("{}.{}", quote(&schema), quote(&format!("{stem}_{number}")));
        let (kind, object_kind, target, statement) = match self.random.below(11) {
            0 => {
                let f = format!("{}({})", name("fn"), self.argument(database));
                (
                    Kind::Routine,
                    ObjectKind::Function,
                    format!("FUNCTION {f}"),
                    format!(
                        "CREATE FUNCTION {f} RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION {f} OWNER TO {role}"
                    ),
                )
            }
            1 => {
                let p = format!("{}()", name("proc"));
                (
                    Kind::Routine,
                    ObjectKind::Function,
                    format!("PROCEDURE {p}"),
                    format!(
                        "CREATE PROCEDURE {p} LANGUAGE sql AS 'SELECT 1'; ALTER PROCEDURE {p} OWNER TO {role}"
                    ),
                )
            }
            2 => {
                let t = name("enum");
                (
                    Kind::TypeMade,
                    ObjectKind::Type,
                    format!("TYPE {t}"),
                    format!("CREATE TYPE {t} AS ENUM ('x', 'y'); ALTER TYPE {t} OWNER TO {role}"),
                )
            }
            3 => {
                let t = name("domain");
                (
                    Kind::TypeMade,
                    ObjectKind::Type,
                    format!("TYPE {t}"),
                    format!("CREATE DOMAIN {t} AS int; ALTER DOMAIN {t} OWNER TO {role}"),
                )
            }
            4 => {
                let id = 90_000 + number;
                (
                    Kind::LargeObject,
                    ObjectKind::LargeObject,
                    format!("LARGE OBJECT {id}"),
                    format!("SELECT lo_create({id}); ALTER LARGE OBJECT {id} OWNER TO {role}"),
                )
            }
            5 => {
                let s = quote(&format!("server_{number}"));
                database.objects.push(Object {
                    kind: ObjectKind::Wrapper,
                    target: format!("FOREIGN DATA WRAPPER fdw_{number}"),
                    schema: None,
                    owner: SUPERUSER.to_owned(),
                });
                (
                    Kind::ForeignServer,
                    ObjectKind::ForeignServer,
                    format!("FOREIGN SERVER {s}"),
                    format!(
                        "CREATE FOREIGN DATA WRAPPER fdw_{number}; CREATE SERVER {s} FOREIGN DATA WRAPPER fdw_{number}; ALTER SERVER {s} OWNER TO {role}"
                    ),
                )
            }
            7 => {
                // Only the object type and the argument modes distinguish the two routines.
                let pair = name("pair");
                let (f, p) = (format!("{pair}(int, text)"), format!("{pair}(int, OUT text)"));
                (
                    Kind::Routine,
                    ObjectKind::Function,
                    format!("PROCEDURE {p}"),
                    format!(
                        "CREATE FUNCTION {f} RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION {f} OWNER TO {role}; CREATE PROCEDURE {p} LANGUAGE sql AS 'SELECT NULL::text'; ALTER PROCEDURE {p} OWNER TO {role}"
                    ),
                )
            }
            8 => {
                let a = name("count");
                (
                    Kind::Routine,
                    ObjectKind::Function,
                    format!("FUNCTION {a}()"),
                    format!(
                        "CREATE AGGREGATE {a}(*) (sfunc = int8inc, stype = int8, initcond = '0'); ALTER AGGREGATE {a}(*) OWNER TO {role}"
                    ),
                )
            }
            9 => {
                let (range, search) = (name("range"), name("search"));
                let published = format!("published_{number}");
                let statement = format!(
                    "CREATE TYPE {range} AS RANGE (subtype = int4); ALTER TYPE {range} OWNER TO {role}; CREATE TEXT SEARCH CONFIGURATION {search} (copy = simple); ALTER TEXT SEARCH CONFIGURATION {search} OWNER TO {role}; CREATE PUBLICATION {published}; ALTER PUBLICATION {published} OWNER TO {role}"
                );
                self.make(database, Kind::NothingToGrantOn, statement);
                return;
            }
            6 => {
                database.objects.push(Object {
                    kind: ObjectKind::Language,
                    target: "LANGUAGE sql".to_owned(),
                    schema: None,
                    owner: SUPERUSER.to_owned(),
                });
                return;
            }
            _ => {
                let full = format!("{}.pg_buffercache", quote(&schema));
                (
                    Kind::Extension,
                    ObjectKind::OfExtension,
                    format!("TABLE {full}"),
                    format!("CREATE EXTENSION pg_buffercache SCHEMA {}", quote(&schema)),
                )
            }
        };
        self.make(database, kind, statement);
        let owner =
            if object_kind == ObjectKind::OfExtension { SUPERUSER.to_owned() } else { owner };
        database.objects.push(Object { kind: object_kind, target, schema: Some(schema), owner });
    }
}
