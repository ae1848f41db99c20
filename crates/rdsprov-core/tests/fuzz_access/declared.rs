//! Generates random definitions in a model of the test's own, so that the oracle does not depend on
//! the parser under test.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rdsprov_core::definitions::{Definitions, Rules, SourceText, Syntax};

use crate::random::Random;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Owner,
    Editor,
    Reader,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Editor => "editor",
            Self::Reader => "reader",
        }
    }
}

/// One entry of `application_databases`.
#[derive(Debug, Clone)]
pub struct Application {
    pub key: String,
    pub database: String,
    pub user: String,
    pub level: Level,
    /// The covered schemas. `None` omits the key, which means `["public"]`.
    pub schemas: Option<Vec<String>>,
    pub createdb: Option<bool>,
    pub connection_limit: Option<i32>,
    pub settings: BTreeMap<String, String>,
    pub creators: Vec<String>,
    pub iam: bool,
    /// Whether the entry names its own secret.
    pub secret: bool,
    /// Whether the entry says that it is the home of its role.
    pub role_owner: bool,
    /// Whether databases of its role whose name begins with [`PLUGIN`] are kept closed to PUBLIC.
    pub plugins: bool,
    pub extensions: Vec<String>,
    pub adopt: bool,
}

/// The name prefix of databases that roles create for their plugins.
pub const PLUGIN: &str = "plug_";

impl Application {
    pub fn covers(&self, schema: &str) -> bool {
        self.schemas.as_ref().map_or(schema == "public", |s| s.iter().any(|s| s == schema))
    }

    pub fn covered(&self) -> Vec<String> {
        self.schemas.clone().unwrap_or_else(|| vec!["public".to_owned()])
    }
}

/// All entries of the definitions.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    pub applications: Vec<Application>,
}

impl Declared {
    pub fn roles(&self) -> BTreeSet<&str> {
        self.applications.iter().map(|app| app.user.as_str()).collect()
    }

    pub fn databases(&self) -> BTreeSet<&str> {
        self.applications.iter().map(|app| app.database.as_str()).collect()
    }

    pub fn is_managed(&self, role: &str) -> bool {
        self.applications.iter().any(|app| app.user == role)
    }

    pub fn of_database<'a>(&'a self, database: &'a str) -> impl Iterator<Item = &'a Application> {
        self.applications.iter().filter(move |app| app.database == database)
    }

    pub fn of_role<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a Application> {
        self.applications.iter().filter(move |app| app.user == role)
    }

    pub fn access(&self, database: &str, role: &str) -> Option<&Application> {
        self.applications.iter().find(|app| app.database == database && app.user == role)
    }

    /// Returns the owner's entry of a database.
    pub fn owner(&self, database: &str) -> Option<&Application> {
        self.applications.iter().find(|app| app.database == database && app.level == Level::Owner)
    }

    /// Returns the schemas that any entry of a database covers.
    pub fn covered(&self, database: &str) -> BTreeSet<String> {
        self.of_database(database).flat_map(Application::covered).collect()
    }

    /// Returns the declared creators of a database.
    pub fn creators<'a>(&'a self, database: &'a str) -> BTreeSet<&'a str> {
        self.of_database(database).flat_map(|app| &app.creators).map(String::as_str).collect()
    }

    /// Returns whether the definitions keep a role's database of this name closed to PUBLIC.
    pub fn closes(&self, role: &str, database: &str) -> bool {
        database.starts_with(PLUGIN) && self.of_role(role).any(|app| app.plugins)
    }

    pub fn createdb(&self, role: &str) -> bool {
        self.of_role(role).find_map(|app| app.createdb).unwrap_or(false)
    }

    pub fn connection_limit(&self, role: &str) -> i32 {
        self.of_role(role).find_map(|app| app.connection_limit).unwrap_or(-1)
    }

    pub fn is_iam(&self, role: &str) -> bool {
        self.of_role(role).any(|app| app.iam)
    }

    /// Returns the same definitions without `adopt`.
    pub fn without_adoption(&self) -> Self {
        let mut other = self.clone();
        other.applications.iter_mut().for_each(|app| app.adopt = false);
        other
    }

    /// Returns the definitions as HCL text.
    pub fn to_hcl(&self) -> String {
        let mut text = "application_databases = {\n".to_owned();
        for app in &self.applications {
            let _ = writeln!(text, "  {} = {{ {} }}", app.key, app.keys().join(", "));
        }
        text.push_str("}\n");
        text
    }

    /// Parses the definitions with the product's parser.
    pub fn parse(&self) -> Result<Definitions, String> {
        parse(&self.to_hcl())
    }
}

/// Parses definitions in which names can have any characters.
pub fn parse(hcl: &str) -> Result<Definitions, String> {
    let source =
        SourceText { path: "fuzz.tfvars".to_owned(), text: hcl.to_owned(), syntax: Syntax::Hcl };
    let mut rules = Rules::default();
    rules.naming_pattern = Some(".*".to_owned());
    Definitions::parse(&[source], &rules).map_err(|errors| format!("{errors:#?}"))
}

impl Application {
    pub fn own_secret(&self) -> String {
        format!("teams/{}", self.key)
    }

    fn keys(&self) -> Vec<String> {
        let string =
            |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let list = |items: &[String]| {
            format!("[{}]", items.iter().map(|item| string(item)).collect::<Vec<_>>().join(", "))
        };
        let mut keys = vec![
            format!("database_name = {}", string(&self.database)),
            format!("username = {}", string(&self.user)),
        ];
        if self.level != Level::Owner {
            keys.push(format!("access_level = {}", string(self.level.name())));
        }
        keys.extend(self.schemas.as_ref().map(|schemas| format!("schemas = {}", list(schemas))));
        keys.extend(self.createdb.map(|createdb| format!("createdb = {createdb}")));
        keys.extend(self.connection_limit.map(|limit| format!("connection_limit = {limit}")));
        if !self.settings.is_empty() {
            let settings: Vec<String> = self
                .settings
                .iter()
                .map(|(name, value)| format!("{name} = {}", string(value)))
                .collect();
            keys.push(format!("settings = {{ {} }}", settings.join(", ")));
        }
        if !self.creators.is_empty() {
            keys.push(format!("creators = {}", list(&self.creators)));
        }
        if !self.extensions.is_empty() {
            keys.push(format!("extensions = {}", list(&self.extensions)));
        }
        if self.secret {
            keys.push(format!("secret = {}", string(&self.own_secret())));
        }
        if self.role_owner {
            keys.push("role_owner = true".to_owned());
        }
        if self.plugins {
            keys.push(format!("plugin_databases = [\"{PLUGIN}*\"]"));
        }
        if self.iam {
            keys.push("auth = \"iam\"".to_owned());
        }
        if self.adopt {
            keys.push("adopt = true".to_owned());
        }
        keys
    }
}

fn plain(key: &str, database: &str, user: &str, level: Level) -> Application {
    Application {
        key: key.to_owned(),
        database: database.to_owned(),
        user: user.to_owned(),
        level,
        schemas: None,
        createdb: None,
        connection_limit: None,
        settings: BTreeMap::new(),
        creators: Vec::new(),
        iam: false,
        secret: false,
        role_owner: false,
        plugins: false,
        extensions: Vec::new(),
        adopt: false,
    }
}

/// The schemas that definitions and servers use.
pub const SCHEMAS: [&str; 5] = ["public", "app", "Data Mart", "audit", "o'\"dd"];

/// Trusted extensions, which an owner can create itself.
const EXTENSIONS: [&str; 3] = ["citext", "hstore", "pg_trgm"];

const SETTINGS: [(&str, [&str; 2]); 4] = [
    ("statement_timeout", ["5s", "30s"]),
    ("work_mem", ["8MB", "16MB"]),
    ("search_path", ["app, public", "public"]),
    ("application_name", ["it's mine", "yours"]),
];

/// Returns random settings for a role in a database.
pub fn settings(random: &mut Random, percent: usize) -> BTreeMap<String, String> {
    SETTINGS
        .iter()
        .filter(|_| random.chance(percent))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|(name, values)| ((*name).to_owned(), (*random.pick(values)).to_owned()))
        .collect()
}

/// Returns names that are mostly simple, and in some cases need quotes.
fn names(random: &mut Random, stem: &str, count: usize) -> Vec<String> {
    let odd = random.chance(25);
    let long = "n".repeat(60);
    (0..count)
        .map(|number| match random.below(7) {
            0 if odd => format!("Odd {stem} {number}"),
            1 if odd => format!("{stem}-{number}"),
            2 if odd => format!("{stem}\"{number}"),
            3 if odd => format!("{stem}'s.{number}"),
            4 if odd => format!("{stem}ü{number}"),
            5 if odd => format!("{stem}{number:02}{long}").chars().take(63).collect(),
            _ => format!("{stem}_{number}"),
        })
        .collect()
}

/// Roles that exist on the server and are not declared.
pub const UNMANAGED: [&str; 3] = ["clerk", "staff", CREATED_BY_SUPERUSER];

/// From PostgreSQL 16 on, the administrator cannot act as this one.
pub const CREATED_BY_SUPERUSER: &str = "stranger";

/// Definitions, and the databases created by hand with the schemas in them.
#[derive(Debug, Clone, Default)]
pub struct Site {
    pub declared: Declared,
    pub by_hand: BTreeMap<String, Vec<String>>,
}

impl Site {
    /// Returns the schemas of a database after its owner's schemas are created.
    fn schemas(&self, database: &str) -> Vec<String> {
        let owners = self.declared.owner(database).map(Application::covered).unwrap_or_default();
        let by_hand = self.by_hand.get(database).cloned().unwrap_or_default();
        let all: BTreeSet<String> =
            owners.into_iter().chain(by_hand).chain(["public".to_owned()]).collect();
        all.into_iter().collect()
    }
}

/// Generates definitions of 1 to 8 databases and 1 to 12 roles.
pub fn generate(random: &mut Random) -> Site {
    let count = random.skewed(1, 8);
    let databases = names(random, "db", count);
    let count = random.skewed(1, 12);
    let roles = names(random, "role", count);
    let mut site = Site::default();
    for database in &databases {
        let owner = random.chance(80).then(|| random.pick(&roles).clone());
        if let Some(owner) = &owner {
            let mut app = plain("", database, owner, Level::Owner);
            app.schemas = random.chance(50).then(|| random.some(&pool(), 50));
            app.settings = settings(random, 10);
            if random.chance(15) {
                app.extensions = random.some_at_least_one(&EXTENSIONS.map(str::to_owned), 40);
            }
            site.declared.applications.push(app);
        }
        if owner.is_none() || random.chance(20) {
            site.by_hand.insert(database.clone(), random.some(&pool()[1..], 40));
        }
        users(random, &mut site, database, owner.as_ref(), &roles);
    }
    creators(random, &mut site.declared);
    attributes(random, &mut site.declared);
    for (number, app) in site.declared.applications.iter_mut().enumerate() {
        app.key = format!("app{number}");
        app.adopt = site.by_hand.contains_key(&app.database);
    }
    settle(&mut site.declared);
    site
}

/// Moves what concerns a role to the home of the role, as the product requires it.
fn settle(declared: &mut Declared) {
    let roles: Vec<String> = declared.roles().into_iter().map(str::to_owned).collect();
    for role in roles {
        let of_role = || declared.of_role(&role);
        let owns = of_role().any(|app| app.level == Level::Owner);
        let candidates = of_role().filter(|app| !owns || app.level == Level::Owner);
        let Some(home) = candidates.map(|app| app.key.clone()).min() else { continue };
        let createdb = of_role().find_map(|app| app.createdb);
        let limit = of_role().find_map(|app| app.connection_limit);
        let secret = of_role().any(|app| app.secret);
        let plugins = of_role().any(|app| app.plugins);
        let (iam, adopt) = (declared.is_iam(&role), of_role().any(|app| app.adopt));
        for app in declared.applications.iter_mut().filter(|app| app.user == role) {
            let is_home = app.key == home;
            app.createdb = createdb.filter(|_| is_home);
            app.connection_limit = limit.filter(|_| is_home);
            app.secret = secret && is_home;
            app.role_owner = is_home;
            app.plugins = plugins && is_home;
            app.iam = iam;
            app.adopt |= adopt && is_home;
        }
    }
    settle_creators(declared);
}

/// Moves `creators` to the owner entry of each database that has one: only this entry may set it.
fn settle_creators(declared: &mut Declared) {
    let owned: Vec<String> = declared
        .applications
        .iter()
        .filter(|app| app.level == Level::Owner)
        .map(|app| app.database.clone())
        .collect();
    for database in owned {
        let creators = declared.creators(&database).into_iter().map(str::to_owned);
        let mut creators: Vec<String> = creators.collect();
        for app in declared.applications.iter_mut().filter(|app| app.database == database) {
            let is_owner = app.level == Level::Owner;
            app.creators = if is_owner { std::mem::take(&mut creators) } else { Vec::new() };
        }
    }
}

/// Generates the editors and readers of a database.
fn users(
    random: &mut Random,
    site: &mut Site,
    database: &str,
    owner: Option<&String>,
    roles: &[String],
) {
    let others: Vec<String> = roles.iter().filter(|role| Some(*role) != owner).cloned().collect();
    let mut users = random.some(&others, 50);
    if owner.is_none() && users.is_empty() {
        users.push(random.pick(roles).clone());
    }
    let schemas = site.schemas(database);
    for user in users {
        let level = *random.pick(&[Level::Editor, Level::Reader]);
        let mut app = plain("", database, &user, level);
        app.schemas = random.chance(60).then(|| random.some(&schemas, 60));
        app.settings = settings(random, 10);
        site.declared.applications.push(app);
    }
}

/// Chooses roles that create objects in addition to the owners: declared ones
/// and an undeclared one.
fn creators(random: &mut Random, declared: &mut Declared) {
    let mut pool: Vec<String> = declared.roles().into_iter().map(str::to_owned).collect();
    pool.push(UNMANAGED[0].to_owned());
    for app in &mut declared.applications {
        if random.chance(15) {
            app.creators = random.some_at_least_one(&pool, 20);
        }
    }
}

fn pool() -> Vec<String> {
    SCHEMAS.iter().map(|&schema| schema.to_owned()).collect()
}

/// Sets role attributes in one entry of the role or in all of them.
fn attributes(random: &mut Random, declared: &mut Declared) {
    let roles: Vec<String> = declared.roles().into_iter().map(str::to_owned).collect();
    for role in roles {
        let createdb = random.chance(15).then(|| random.chance(80));
        let limit = random.chance(20).then(|| if random.chance(80) { 7 } else { -1 });
        let iam = random.chance(15);
        let everywhere = random.chance(50);
        let mut first = true;
        for app in declared.applications.iter_mut().filter(|app| app.user == role) {
            if first || everywhere {
                app.createdb = createdb;
                app.connection_limit = limit;
            }
            app.iam = iam;
            app.secret = first && !iam && random.chance(10);
            app.plugins = first && createdb == Some(true) && random.chance(70);
            first = false;
        }
    }
}

/// Derives earlier definitions: fewer entries, other levels, other schemas.
pub fn earlier(random: &mut Random, site: &Site) -> Declared {
    let mut other = site.declared.clone();
    if random.chance(30) {
        return other;
    }
    other.applications.retain(|app| app.level == Level::Owner || random.chance(80));
    change_owners(random, &mut other);
    let left: BTreeSet<String> = other.roles().into_iter().map(str::to_owned).collect();
    for app in &mut other.applications {
        app.creators.retain(|role| left.contains(role) || UNMANAGED.contains(&role.as_str()));
        match app.level {
            Level::Owner => {}
            Level::Editor if random.chance(30) => app.level = Level::Reader,
            Level::Reader if random.chance(30) => app.level = Level::Editor,
            Level::Editor | Level::Reader => {}
        }
        if app.level != Level::Owner && random.chance(30) {
            app.schemas = Some(random.some(&site.schemas(&app.database), 30));
        }
        if random.chance(20) {
            app.settings = settings(random, 30);
        }
    }
    settle(&mut other);
    // The home of a role follows from its entries. The later definitions say which it is, because
    // another entry than before can be the home there. An entry that sets keys which others inherit must say so.
    for app in &mut other.applications {
        let sets_keys = app.secret || app.iam || app.plugins;
        app.role_owner &= sets_keys || app.createdb.is_some() || app.connection_limit.is_some();
    }
    other
}

/// Gives some databases to another declared role.
fn change_owners(random: &mut Random, declared: &mut Declared) {
    let owned: Vec<String> = declared
        .applications
        .iter()
        .filter(|app| app.level == Level::Owner)
        .map(|app| app.database.clone())
        .collect();
    for database in owned {
        if !random.chance(12) {
            continue;
        }
        let of_role = random.pick(&declared.applications).clone();
        declared.applications.retain(|app| {
            app.database != database || app.level == Level::Owner || app.user != of_role.user
        });
        let owner = declared
            .applications
            .iter_mut()
            .find(|app| app.database == database && app.level == Level::Owner);
        if let Some(owner) = owner {
            owner.user = of_role.user;
            owner.createdb = of_role.createdb;
            owner.connection_limit = of_role.connection_limit;
            owner.iam = of_role.iam;
            owner.adopt |= of_role.adopt;
            owner.secret = false;
            owner.plugins = false;
        }
    }
}
