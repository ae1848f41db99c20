//! Generates grants and revokes inside a database.

use rdsprov_core::name::quote;

use super::{Generator, InDatabase, Kind, ManualChange, Object, ObjectKind, Scope};

const TABLE: [&str; 7] =
    ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"];
const SEQUENCE: [&str; 3] = ["USAGE", "SELECT", "UPDATE"];
const COLUMN: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "REFERENCES"];

impl ObjectKind {
    fn privileges(self) -> &'static [&'static str] {
        match self {
            Self::Schema => &["USAGE", "CREATE"],
            Self::Table | Self::OfExtension => &TABLE,
            Self::Sequence => &SEQUENCE,
            Self::Function => &["EXECUTE"],
            Self::Type | Self::Language | Self::ForeignServer | Self::Wrapper => &["USAGE"],
            Self::LargeObject => &["SELECT", "UPDATE"],
        }
    }

    fn granted(self) -> Kind {
        match self {
            Self::Schema => Kind::SchemaGrant,
            Self::Table => Kind::RelationGrant,
            Self::Sequence => Kind::SequenceGrant,
            Self::Function => Kind::RoutineGrant,
            Self::Type => Kind::TypeGrant,
            Self::Language => Kind::LanguageGrant,
            Self::LargeObject => Kind::LargeObjectGrant,
            Self::ForeignServer => Kind::ForeignServerGrant,
            Self::Wrapper => Kind::WrapperGrant,
            Self::OfExtension => Kind::ExtensionGrant,
        }
    }
}

/// The object types as `ALTER DEFAULT PRIVILEGES` spells them.
const DEFAULTS: [(&str, &[&str]); 5] = [
    ("TABLES", &TABLE),
    ("SEQUENCES", &SEQUENCE),
    ("FUNCTIONS", &["EXECUTE"]),
    ("TYPES", &["USAGE"]),
    ("SCHEMAS", &["USAGE", "CREATE"]),
];

impl Generator<'_> {
    fn count_change(&mut self, database: &InDatabase, kind: Kind, statement: String) {
        self.start(kind, Scope::Database(database.name.clone()), vec![statement]);
    }

    /// Makes one change to the privileges in a database.
    pub(super) fn change(&mut self, database: &InDatabase) {
        let roll = self.random.below(24);
        if roll < 6 {
            self.default_privileges(database);
            return;
        }
        let object = self.random.pick(&database.objects).clone();
        match roll {
            6..11 => self.grant(database, &object),
            11..13 => self.grant_option(database, &object),
            13..15 => self.public(database, &object),
            15..17 => self.revoke(database, &object),
            17..19 => self.chain(database, &object),
            19..22 => self.column(database, &object),
            22 => self.owner_revoked(database, &object),
            _ => self.closed(database),
        }
    }

    fn privileges(&mut self, from: &'static [&'static str]) -> String {
        if self.random.chance(20) {
            return "ALL".to_owned();
        }
        let mut some = self.random.some_at_least_one(from, 35);
        if self.major >= 17 && from.len() == TABLE.len() && self.random.chance(20) {
            some.push("MAINTAIN");
        }
        some.join(", ")
    }

    fn grant(&mut self, database: &InDatabase, object: &Object) {
        let privileges = self.privileges(object.kind.privileges());
        let grantee = self.grantee(&database.name);
        let statement = format!("GRANT {privileges} ON {} TO {grantee}", object.target);
        self.count_change(database, object.kind.granted(), statement);
    }

    fn grant_option(&mut self, database: &InDatabase, object: &Object) {
        let kind = match object.kind {
            ObjectKind::Schema => Kind::SchemaGrantOption,
            _ => Kind::RelationGrantOption,
        };
        let privileges = self.privileges(object.kind.privileges());
        let role = quote(&self.role_of(&database.name));
        let statement =
            format!("GRANT {privileges} ON {} TO {role} WITH GRANT OPTION", object.target);
        self.count_change(database, kind, statement);
    }

    fn public(&mut self, database: &InDatabase, object: &Object) {
        let kind = match object.kind {
            ObjectKind::Schema => Kind::SchemaPublic,
            ObjectKind::Table | ObjectKind::Sequence => Kind::RelationPublic,
            kind => kind.granted(),
        };
        let privileges = self.privileges(object.kind.privileges());
        let statement = format!("GRANT {privileges} ON {} TO PUBLIC", object.target);
        self.count_change(database, kind, statement);
    }

    fn revoke(&mut self, database: &InDatabase, object: &Object) {
        let kind = match object.kind {
            ObjectKind::Schema => Kind::SchemaRevoke,
            _ => Kind::RelationRevoke,
        };
        let privileges = self.privileges(object.kind.privileges());
        let role = self.role_of(&database.name);
        let from = if self.random.chance(80) { quote(&role) } else { "PUBLIC".to_owned() };
        let statement = format!("REVOKE {privileges} ON {} FROM {from}", object.target);
        self.count_change(database, kind, statement);
    }

    /// Grants a privilege with grant option to a role, which grants it to another role.
    fn chain(&mut self, database: &InDatabase, object: &Object) {
        let privilege = *self.random.pick(object.kind.privileges());
        let first = if self.random.chance(75) {
            self.role_of(&database.name)
        } else {
            self.unmanaged_role()
        };
        let to_unmanaged = self.random.chance(20);
        let second =
            if to_unmanaged { self.unmanaged_role() } else { self.role_of(&database.name) };
        if first == second || first == object.owner || second == object.owner {
            return;
        }
        let managed_first = self.declared.is_managed(&first);
        let kind = if to_unmanaged && managed_first {
            Kind::GrantChainToUnmanaged
        } else {
            Kind::GrantChain
        };
        let (first, second) = (quote(&first), quote(&second));
        let target = &object.target;
        let mut statements = Vec::new();
        if let Some(schema) = object.schema.as_ref().filter(|_| object.kind != ObjectKind::Schema) {
            // A statement can name an object only with USAGE on its schema.
            statements.push(format!("GRANT USAGE ON SCHEMA {} TO {first}", quote(schema)));
        }
        statements.push(format!("GRANT {privilege} ON {target} TO {first} WITH GRANT OPTION"));
        statements.push(format!("SET ROLE {first}"));
        statements.push(format!("GRANT {privilege} ON {target} TO {second}"));
        statements.push("RESET ROLE".to_owned());
        let manual_fix = if kind == Kind::GrantChainToUnmanaged {
            vec![
                format!("SET ROLE {first}"),
                format!("REVOKE {privilege} ON {target} FROM {second}"),
                "RESET ROLE".to_owned(),
            ]
        } else {
            Vec::new()
        };
        let scope = Scope::Database(database.name.clone());
        self.drift.push(ManualChange { kind, scope, statements, manual_fix });
    }

    fn column(&mut self, database: &InDatabase, object: &Object) {
        if object.kind != ObjectKind::Table {
            return;
        }
        let privilege = *self.random.pick(&COLUMN);
        let (kind, grantee, option) = match self.random.below(10) {
            0..6 => (Kind::ColumnGrant, self.grantee(&database.name), ""),
            6..8 => (
                Kind::ColumnGrantOption,
                quote(&self.role_of(&database.name)),
                " WITH GRANT OPTION",
            ),
            _ => (Kind::ColumnPublic, "PUBLIC".to_owned(), ""),
        };
        let statement = format!("GRANT {privilege} (a) ON {} TO {grantee}{option}", object.target);
        self.count_change(database, kind, statement);
    }

    fn owner_revoked(&mut self, database: &InDatabase, object: &Object) {
        let privileges = self.privileges(object.kind.privileges());
        let owner = quote(&object.owner);
        let statement = format!("REVOKE {privileges} ON {} FROM {owner}", object.target);
        self.count_change(database, Kind::OwnerRevoked, statement);
    }

    /// Revokes a default privilege of PUBLIC.
    fn closed(&mut self, database: &InDatabase) {
        let open: Vec<&Object> = database
            .objects
            .iter()
            .filter(|object| matches!(object.kind, ObjectKind::Function | ObjectKind::Type))
            .collect();
        if open.is_empty() {
            let schema = quote(self.random.pick::<String>(&database.schemas));
            let statement = format!("REVOKE ALL ON SCHEMA {schema} FROM PUBLIC");
            self.count_change(database, Kind::SchemaRevoke, statement);
        } else {
            let target = self.random.pick(&open).target.clone();
            let statement = format!("REVOKE ALL ON {target} FROM PUBLIC");
            self.count_change(database, Kind::RoutineClosed, statement);
        }
    }

    fn default_privileges(&mut self, database: &InDatabase) {
        let creator = match self.random.below(10) {
            0..5 => database.owner.clone(),
            5..8 => self.role_of(&database.name),
            8 => self.managed_role(),
            _ => self.unmanaged_role(),
        };
        let (objects, known) = if self.random.chance(70) {
            DEFAULTS[self.random.below(2)]
        } else {
            *self.random.pick(&DEFAULTS)
        };
        let privileges = self.privileges(known);
        let in_schema = objects != "SCHEMAS" && self.random.chance(65);
        let schema = quote(self.random.pick::<String>(&database.schemas));
        let place = if in_schema { format!(" IN SCHEMA {schema}") } else { String::new() };
        let start = format!("ALTER DEFAULT PRIVILEGES FOR ROLE {}{place}", quote(&creator));
        let grantee = self.grantee(&database.name);
        let (kind, end) = if self.random.chance(20) {
            let from = if self.random.chance(50) { quote(&creator) } else { grantee };
            (
                Kind::DefaultPrivilegesRevoked,
                format!("REVOKE {privileges} ON {objects} FROM {from}"),
            )
        } else if self.random.chance(20) {
            (Kind::DefaultPrivilegesPublic, format!("GRANT {privileges} ON {objects} TO PUBLIC"))
        } else {
            let option = grantee != "PUBLIC" && self.random.chance(20);
            let option = if option { " WITH GRANT OPTION" } else { "" };
            let kind = match (objects, in_schema) {
                ("TABLES" | "SEQUENCES", true) => Kind::DefaultPrivileges,
                ("TABLES" | "SEQUENCES", false) => Kind::DefaultPrivilegesGlobal,
                _ => Kind::DefaultPrivilegesOnOthers,
            };
            (kind, format!("GRANT {privileges} ON {objects} TO {grantee}{option}"))
        };
        self.count_change(database, kind, format!("{start} {end}"));
    }
}
