//! Generates initial states: manual changes on a server before the product runs.

mod cluster;
mod grants;
mod kinds;
mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rdsprov_core::name::quote;

use crate::declared::{Application, Declared, Site, UNMANAGED, earlier};
use crate::random::Random;

pub use kinds::Kind;

/// The administrator and the bootstrap superuser of the test servers.
pub const ADMINISTRATOR: &str = "platform_admin";
pub const SUPERUSER: &str = "rdsadmin";

/// A database that is not declared.
pub const UNDECLARED_DATABASE: &str = "elsewhere";

/// The database in which statements are executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Cluster,
    Database(String),
}

/// One manual change, executed by the bootstrap superuser unless the statements set a role.
#[derive(Debug, Clone)]
pub struct ManualChange {
    pub kind: Kind,
    pub scope: Scope,
    pub statements: Vec<String>,
    /// The manual fix that lets the product continue, if its refusal names no statement.
    pub manual_fix: Vec<String>,
}

impl fmt::Display for ManualChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = match &self.scope {
            Scope::Cluster => "postgres",
            Scope::Database(name) => name,
        };
        write!(f, "[{:?}] {database}: {};", self.kind, self.statements.join("; "))
    }
}

/// The earlier use of the product.
#[derive(Debug, Clone)]
pub enum Base {
    Nothing,
    /// The product applied these definitions.
    EarlierRun(Declared),
    /// The product was killed at this fraction of the statements.
    Interrupted(Declared, f64),
}

impl Base {
    /// Returns the earlier definitions.
    pub fn declared(&self) -> Option<&Declared> {
        match self {
            Self::Nothing => None,
            Self::EarlierRun(declared) | Self::Interrupted(declared, _) => Some(declared),
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::EarlierRun(_) => "an earlier run",
            Self::Interrupted(..) => "an interrupted run",
        }
    }
}

/// One randomized case: definitions and manual changes.
#[derive(Debug, Clone)]
pub struct Case {
    pub declared: Declared,
    /// The manual changes before the first run.
    pub by_hand: Vec<ManualChange>,
    pub base: Base,
    /// The manual changes after the first run.
    pub drift: Vec<ManualChange>,
    /// Whether a run without permission to adopt comes first, which must be refused.
    pub unadopted: bool,
    /// Whether the run may change owners.
    pub may_change_owners: bool,
    /// Whether the state before the run is exported, and not the one after it.
    pub exported_before: bool,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "definitions:\n{}", self.declared.to_hcl())?;
        writeln!(f, "initial state, by hand:")?;
        for initial_state in &self.by_hand {
            writeln!(f, "  {initial_state}")?;
        }
        match &self.base {
            Base::Nothing => {}
            Base::EarlierRun(declared) => writeln!(f, "then applied:\n{}", declared.to_hcl())?,
            Base::Interrupted(declared, part) => {
                writeln!(
                    f,
                    "then applied, and killed after {part:.3} of it:\n{}",
                    declared.to_hcl()
                )?;
            }
        }
        if self.may_change_owners {
            writeln!(f, "with permission to change owners")?;
        }
        writeln!(f, "then, by hand:")?;
        for initial_state in &self.drift {
            writeln!(f, "  {initial_state}")?;
        }
        Ok(())
    }
}

/// An object with privileges, as `GRANT … ON` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Object {
    kind: ObjectKind,
    /// The text after `ON`, such as `TABLE "s"."t"`.
    target: String,
    schema: Option<String>,
    owner: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ObjectKind {
    Schema,
    Table,
    Sequence,
    Function,
    Type,
    Language,
    LargeObject,
    ForeignServer,
    Wrapper,
    OfExtension,
}

/// A database while its initial state is generated.
#[derive(Debug, Clone)]
struct InDatabase {
    name: String,
    owner: String,
    objects: Vec<Object>,
    schemas: Vec<String>,
    /// Whether the database has a foreign server.
    has_foreign_server: bool,
}

/// The state of the generator.
struct Generator<'a> {
    random: &'a mut Random,
    declared: &'a Declared,
    major: u32,
    /// The declared roles that exist.
    existing_roles: Vec<String>,
    by_hand: Vec<ManualChange>,
    drift: Vec<ManualChange>,
}

impl Case {
    /// Generates the case of a seed.
    pub fn generate(seed: u64, major: u32) -> Self {
        let mut random = Random::new(seed);
        let mut site = crate::declared::generate(&mut random);
        let declared = &site.declared;
        let managed: Vec<String> = declared.roles().into_iter().map(str::to_owned).collect();
        let percent = if random.chance(50) { 40 } else { 0 };
        let mut by_hand_roles: BTreeSet<String> =
            random.some(&managed, percent).into_iter().collect();
        // An owner must exist before it is given a database.
        let owners = site.by_hand.keys().filter_map(|database| declared.owner(database));
        by_hand_roles.extend(owners.map(|app| app.user.clone()));
        for app in &mut site.declared.applications {
            app.adopt |= by_hand_roles.contains(&app.user);
        }
        let base = match random.below(10) {
            0..3 => Base::Nothing,
            3..8 => Base::EarlierRun(earlier(&mut random, &site)),
            _ => Base::Interrupted(earlier(&mut random, &site), random.below(1000) as f64 / 1000.0),
        };
        let mut existing_roles = by_hand_roles.clone();
        if let Some(earlier) = base.declared() {
            existing_roles.extend(earlier.roles().into_iter().map(str::to_owned));
        }
        let mut generator = Generator {
            random: &mut random,
            declared: &site.declared,
            major,
            existing_roles: existing_roles.into_iter().collect(),
            by_hand: Vec::new(),
            drift: Vec::new(),
        };
        generator.unmanaged_roles();
        for role in &by_hand_roles {
            generator.role_by_hand(role);
        }
        let owners = generator.databases_by_hand(&site.by_hand, &by_hand_roles);
        generator.unmanaged_database();
        generator.plugin_databases(&site.declared);
        for mut database in existing_databases(&site, &base, owners) {
            generator.inside(&mut database);
        }
        generator.cluster();
        let Generator { by_hand, drift, .. } = generator;
        let something_by_hand = !by_hand_roles.is_empty() || !site.by_hand.is_empty();
        let nothing_yet = base.declared().is_none();
        let unadopted = nothing_yet && something_by_hand && random.chance(30);
        let may_change_owners = random.chance(70);
        let exported_before = random.chance(25);
        let declared = site.declared;
        Self { declared, by_hand, base, drift, unadopted, may_change_owners, exported_before }
    }

    /// Returns the case without one database and all changes to it.
    pub fn without_database(&self, database: &str) -> Self {
        let mut case = self.clone();
        case.declared.applications.retain(|app| app.database != database);
        if let Base::EarlierRun(declared) | Base::Interrupted(declared, _) = &mut case.base {
            declared.applications.retain(|app| app.database != database);
        }
        let name = format!("DATABASE {} ", quote(database));
        for changes in [&mut case.by_hand, &mut case.drift] {
            changes.retain(|initial_state| {
                initial_state.scope != Scope::Database(database.to_owned())
                    && !initial_state.statements.iter().any(|text| text.contains(&name))
            });
        }
        case
    }

    /// Returns whether each database without an owner entry exists. Shrinking
    /// can remove its creation.
    pub fn is_sound(&self) -> bool {
        let mut all = vec![&self.declared];
        all.extend(self.base.declared());
        all.into_iter().all(|declared| {
            let creators = declared.applications.iter().flat_map(|app| &app.creators);
            creators.into_iter().all(|role| declared.is_managed(role) || role == UNMANAGED[0])
                && declared.databases().into_iter().all(|database| {
                    let create = format!("CREATE DATABASE {} ", quote(database));
                    declared.owner(database).is_some()
                        || self.by_hand.iter().any(|initial_state| {
                            initial_state.statements.iter().any(|text| text.starts_with(&create))
                        })
                })
        })
    }
}

impl Generator<'_> {
    fn start(&mut self, kind: Kind, scope: Scope, statements: Vec<String>) {
        self.drift.push(ManualChange { kind, scope, statements, manual_fix: Vec::new() });
    }

    /// Returns an existing declared role, or else an undeclared one.
    fn managed_role(&mut self) -> String {
        if self.existing_roles.is_empty() {
            self.unmanaged_role()
        } else {
            self.random.pick(&self.existing_roles).clone()
        }
    }

    /// Returns a role with an entry for a database, if it has one.
    fn role_of(&mut self, database: &str) -> String {
        let roles: Vec<String> = self
            .declared
            .of_database(database)
            .map(|app| app.user.clone())
            .filter(|role| self.existing_roles.contains(role))
            .collect();
        if roles.is_empty() { self.managed_role() } else { self.random.pick(&roles).clone() }
    }

    fn unmanaged_role(&mut self) -> String {
        (*self.random.pick(&UNMANAGED)).to_owned()
    }

    /// Returns a grantee as SQL.
    fn grantee(&mut self, database: &str) -> String {
        match self.random.below(10) {
            0..5 => quote(&self.role_of(database)),
            5..7 => quote(&self.managed_role()),
            7..9 => quote(&self.unmanaged_role()),
            _ => "PUBLIC".to_owned(),
        }
    }
}

/// Returns the databases that exist after the earlier run.
fn existing_databases(
    site: &Site,
    base: &Base,
    by_hand: BTreeMap<String, String>,
) -> Vec<InDatabase> {
    let mut owners = by_hand;
    if let Some(earlier) = base.declared() {
        for database in earlier.databases() {
            if let Some(owner) = earlier.owner(database) {
                owners.entry(database.to_owned()).or_insert_with(|| owner.user.clone());
            }
        }
    }
    let in_database = |(name, owner): (String, String)| {
        let app = base.declared().and_then(|earlier| earlier.owner(&name));
        let made = app.map(Application::covered).unwrap_or_default();
        let by_hand = site.by_hand.get(&name).cloned().unwrap_or_default();
        let schemas: BTreeSet<String> =
            made.into_iter().chain(by_hand).chain(["public".to_owned()]).collect();
        let objects = schemas
            .iter()
            .map(|schema| Object {
                kind: ObjectKind::Schema,
                target: format!("SCHEMA {}", quote(schema)),
                schema: Some(schema.clone()),
                owner: if schema == "public" {
                    "pg_database_owner".to_owned()
                } else {
                    owner.clone()
                },
            })
            .collect();
        InDatabase {
            name,
            owner,
            objects,
            schemas: schemas.into_iter().collect(),
            has_foreign_server: false,
        }
    };
    owners.into_iter().map(in_database).collect()
}
