//! Generates roles, databases and the privileges on them.

use std::collections::{BTreeMap, BTreeSet};

use rdsprov_core::name::{literal, quote};

use super::{ADMINISTRATOR, Generator, Kind, ManualChange, SUPERUSER, Scope, UNDECLARED_DATABASE};
use crate::declared::{Declared, PLUGIN, UNMANAGED, settings};

fn as_role(role: &str, statement: String) -> Vec<String> {
    vec![format!("SET ROLE {}", quote(role)), statement, "RESET ROLE".to_owned()]
}

impl Generator<'_> {
    fn before(&mut self, kind: Kind, statements: Vec<String>) {
        self.by_hand.push(ManualChange {
            kind,
            scope: Scope::Cluster,
            statements,
            manual_fix: Vec::new(),
        });
    }

    /// Creates two roles as the administrator, and one on which it has no ADMIN
    /// option since PostgreSQL 16.
    pub(super) fn unmanaged_roles(&mut self) {
        for role in UNMANAGED {
            let login = if role == "staff" { "" } else { " LOGIN PASSWORD 'theirs'" };
            let statement = format!("CREATE ROLE {role}{login}");
            let statements = if role == "stranger" {
                vec![statement]
            } else {
                as_role(ADMINISTRATOR, statement)
            };
            self.before(Kind::UnmanagedRole, statements);
        }
        self.before(Kind::UnmanagedRole, vec!["GRANT staff TO clerk".to_owned()]);
    }

    pub(super) fn role_by_hand(&mut self, role: &str) {
        let options =
            ["", " PASSWORD 'wrong'", " NOLOGIN", " CONNECTION LIMIT 3", " NOINHERIT", " CREATEDB"];
        let option = *self.random.pick(&options);
        let login = if option == " NOLOGIN" { "" } else { " LOGIN" };
        let statement = format!("CREATE ROLE {}{login}{option}", quote(role));
        if self.random.chance(10) {
            self.before(Kind::RoleOfAnotherCreator, vec![statement]);
        } else {
            self.before(Kind::RoleByHand, as_role(ADMINISTRATOR, statement));
        }
    }

    /// Returns the owners of the databases that users created by hand.
    pub(super) fn databases_by_hand(
        &mut self,
        databases: &BTreeMap<String, Vec<String>>,
        roles: &BTreeSet<String>,
    ) -> BTreeMap<String, String> {
        let mut owners = BTreeMap::new();
        for (database, schemas) in databases {
            let declared = self.declared.owner(database).map(|app| app.user.clone());
            let mut others = vec![ADMINISTRATOR.to_owned(), "clerk".to_owned()];
            others.extend(roles.iter().cloned());
            let (kind, owner) = match declared {
                Some(owner) if self.random.chance(90) => (Kind::DatabaseByHand, owner),
                Some(_) => (Kind::DatabaseOfAnotherOwner, self.random.pick(&others).clone()),
                None => (Kind::DatabaseByHand, self.random.pick(&others).clone()),
            };
            let create = format!("CREATE DATABASE {} OWNER {}", quote(database), quote(&owner));
            self.before(kind, vec![create]);
            for schema in schemas {
                let other = self.random.chance(10);
                let of = if other { self.random.pick(&others).clone() } else { owner.clone() };
                let create =
                    format!("CREATE SCHEMA {} AUTHORIZATION {}", quote(schema), quote(&of));
                self.by_hand.push(ManualChange {
                    kind: if of == owner { Kind::Schema } else { Kind::SchemaOfAnotherOwner },
                    scope: Scope::Database(database.clone()),
                    statements: vec![create],
                    manual_fix: Vec::new(),
                });
            }
            owners.insert(database.clone(), owner);
        }
        owners
    }

    /// Creates databases as roles with `CREATEDB`.
    pub(super) fn plugin_databases(&mut self, declared: &Declared) {
        for (number, role) in self.existing_roles.clone().iter().enumerate() {
            if !declared.createdb(role) || self.random.chance(30) {
                continue;
            }
            for name in [format!("{PLUGIN}{number}"), format!("scratch_{number}")] {
                let create = format!("CREATE DATABASE {name} OWNER {}", quote(role));
                self.start(Kind::PluginDatabase, Scope::Cluster, vec![create]);
            }
        }
    }

    /// Creates an undeclared database in which nothing may change.
    pub(super) fn unmanaged_database(&mut self) {
        if !self.random.chance(50) {
            return;
        }
        let scope = || Scope::Database(UNDECLARED_DATABASE.to_owned());
        let kind = Kind::UnmanagedDatabase;
        self.start(
            kind,
            Scope::Cluster,
            vec![format!("CREATE DATABASE {UNDECLARED_DATABASE} OWNER clerk")],
        );
        self.start(kind, scope(), vec!["CREATE TABLE public.t (a int, b text)".to_owned()]);
        let role = quote(&self.managed_role());
        let other = quote(&self.managed_role());
        for statement in [
            format!(
                "GRANT CREATE, CONNECT ON DATABASE {UNDECLARED_DATABASE} TO {role} WITH GRANT OPTION"
            ),
            format!("GRANT ALL ON public.t TO {role} WITH GRANT OPTION"),
            format!("GRANT SELECT (a) ON public.t TO {other}, PUBLIC"),
            format!("GRANT CREATE ON SCHEMA public TO {other}, PUBLIC"),
            format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {role} GRANT ALL ON TABLES TO {other}, PUBLIC"
            ),
            format!(
                "CREATE TABLE public.theirs (a int, b text); ALTER TABLE public.theirs OWNER TO {other}"
            ),
            format!("ALTER ROLE {role} IN DATABASE {UNDECLARED_DATABASE} SET work_mem = '9MB'"),
        ] {
            self.start(kind, scope(), vec![statement]);
        }
    }

    /// Changes roles and databases after the last run of the product.
    pub(super) fn cluster(&mut self) {
        let times = if self.existing_roles.is_empty() { 0 } else { self.random.skewed(0, 6) };
        for _ in 0..times {
            let role = self.managed_role();
            match self.random.below(13) {
                12 => {
                    let role = self.unmanaged_role();
                    let statement = format!("ALTER ROLE {role} NOINHERIT CREATEDB");
                    self.start(Kind::UnmanagedRoleAttributes, Scope::Cluster, vec![statement]);
                }
                0..3 => self.role_attributes(&role),
                3 => self.role_comment(&role),
                4..8 => self.membership(&role),
                8..10 => self.role_setting(&role),
                _ => self.powerful(&role),
            }
        }
    }

    fn role_attributes(&mut self, role: &str) {
        let attributes = [
            "NOLOGIN",
            "CREATEDB",
            "CREATEROLE",
            "NOINHERIT",
            "CONNECTION LIMIT 5",
            "VALID UNTIL '2099-01-01'",
            "VALID UNTIL '2001-01-01'",
            "PASSWORD 'another'",
            "PASSWORD NULL",
        ];
        let some = self.random.some_at_least_one(&attributes, 15);
        // Chooses one of two passwords or expiry times.
        let statements: Vec<String> = some
            .iter()
            .map(|attribute| format!("ALTER ROLE {} {attribute}", quote(role)))
            .collect();
        self.start(Kind::RoleAttributes, Scope::Cluster, statements);
    }

    fn powerful(&mut self, role: &str) {
        let attribute = *self.random.pick(&["REPLICATION", "BYPASSRLS", "SUPERUSER"]);
        if self.random.chance(30) {
            let statement = format!("ALTER ROLE {} {attribute}", quote(role));
            self.start(Kind::PowerfulRole, Scope::Cluster, vec![statement]);
        }
    }

    fn role_comment(&mut self, role: &str) {
        // The comment of a managed role contains the marker: users add text to it.
        let statement = format!(
            "DO $$ BEGIN EXECUTE format('COMMENT ON ROLE %I IS %L', {name}, concat_ws(E'\\n', 'ask Ada', shobj_description((SELECT oid FROM pg_roles WHERE rolname = {name}), 'pg_authid'))); END $$",
            name = literal(role)
        );
        self.start(Kind::RoleComment, Scope::Cluster, vec![statement]);
        if self.random.chance(10) {
            let name = serde_json::Value::from(role).to_string().replace('\'', "''");
            let mark = format!(
                "[managed by rdsprov: environment=test application=other build_id=1 name={name}]"
            );
            self.drift.push(ManualChange {
                kind: Kind::MarkOfAnotherEnvironment,
                scope: Scope::Cluster,
                statements: vec![format!("COMMENT ON ROLE {} IS '{mark}'", quote(role))],
                manual_fix: vec![format!(
                    "COMMENT ON ROLE {} IS '{}'",
                    quote(role),
                    mark.replace("=test", "=dev")
                )],
            });
        }
    }

    fn membership(&mut self, role: &str) {
        let predefined = ["pg_read_all_data", "pg_monitor", "pg_signal_backend"];
        let mut groups: Vec<String> =
            UNMANAGED.iter().chain(&predefined).map(|&group| group.to_owned()).collect();
        groups.extend(self.existing_roles.iter().filter(|other| *other != role).cloned());
        let group = self.random.pick(&groups).clone();
        let (kind, granted) = match self.random.below(10) {
            0..2 => (
                Kind::MembershipInManaged,
                format!("GRANT {} TO {}", quote(role), self.random.pick(&UNMANAGED)),
            ),
            2..4 => (
                Kind::MembershipWithAdmin,
                format!("GRANT {} TO {} WITH ADMIN OPTION", quote(&group), quote(role)),
            ),
            _ => (Kind::Membership, format!("GRANT {} TO {}", quote(&group), quote(role))),
        };
        // The reverse membership may already exist: the statement then fails and is skipped.
        let statements =
            if self.random.chance(60) && !group.starts_with("pg_") && group != "stranger" {
                as_role(ADMINISTRATOR, granted)
            } else {
                vec![granted]
            };
        self.start(kind, Scope::Cluster, statements);
    }

    fn role_setting(&mut self, role: &str) {
        let databases: Vec<String> =
            self.declared.of_role(role).map(|app| app.database.clone()).collect();
        for (parameter, value) in settings(self.random, 40) {
            let value = if parameter == "search_path" { value } else { literal(&value) };
            let everywhere = databases.is_empty() || self.random.chance(20);
            let statement = if everywhere {
                format!("ALTER ROLE {} SET {parameter} = {value}", quote(role))
            } else {
                let database = quote(self.random.pick::<String>(&databases));
                format!(
                    "ALTER ROLE {} IN DATABASE {database} SET {parameter} = {value}",
                    quote(role)
                )
            };
            self.start(Kind::RoleSetting, Scope::Cluster, vec![statement]);
        }
    }

    /// Changes the database itself.
    pub(super) fn database_itself(&mut self, database: &str, owner: &str) {
        let name = quote(database);
        let privilege = *self.random.pick(&["CREATE", "CONNECT", "TEMPORARY", "ALL"]);
        let grantee = self.grantee(database);
        match self.random.below(9) {
            0..2 => {
                let statement = format!("GRANT {privilege} ON DATABASE {name} TO {grantee}");
                self.start(Kind::DatabaseGrant, Scope::Cluster, vec![statement]);
            }
            2 => {
                let role = quote(&self.managed_role());
                let statement =
                    format!("GRANT {privilege} ON DATABASE {name} TO {role} WITH GRANT OPTION");
                self.start(Kind::DatabaseGrantOption, Scope::Cluster, vec![statement]);
            }
            3 => {
                let (first, second) = (self.role_of(database), self.managed_role());
                if first != owner {
                    let mut statements = vec![format!(
                        "GRANT {privilege} ON DATABASE {name} TO {} WITH GRANT OPTION",
                        quote(&first)
                    )];
                    let granted =
                        format!("GRANT {privilege} ON DATABASE {name} TO {}", quote(&second));
                    statements.extend(as_role(&first, granted));
                    self.start(Kind::DatabaseGrantChain, Scope::Cluster, statements);
                }
            }
            4..6 => {
                let role = self.role_of(database);
                let from = if self.random.chance(70) { quote(&role) } else { grantee };
                let statement = format!("REVOKE {privilege} ON DATABASE {name} FROM {from}");
                self.start(Kind::DatabaseRevoke, Scope::Cluster, vec![statement]);
            }
            6 => {
                let statement = format!("ALTER DATABASE {name} SET work_mem = '12MB'");
                self.start(Kind::DatabaseSetting, Scope::Cluster, vec![statement]);
                let statement = format!("ALTER ROLE clerk IN DATABASE {name} SET work_mem = '7MB'");
                self.start(Kind::DatabaseSetting, Scope::Cluster, vec![statement]);
            }
            7 => {
                let statement = format!(
                    "DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE %I IS %L', {name}, concat_ws(E'\\n', 'ask Bob', shobj_description((SELECT oid FROM pg_database WHERE datname = {name}), 'pg_database'))); END $$",
                    name = literal(database)
                );
                self.start(Kind::DatabaseComment, Scope::Cluster, vec![statement]);
            }
            _ => {
                if self.random.chance(20) {
                    let other = *self.random.pick(&["clerk", ADMINISTRATOR, SUPERUSER]);
                    let statement = format!("ALTER DATABASE {name} OWNER TO {other}");
                    let declares = self.declared.owner(database).is_some();
                    if declares {
                        self.start(Kind::DatabaseOfAnotherOwner, Scope::Cluster, vec![statement]);
                    }
                }
            }
        }
    }
}
