//! The fleet file `fleet.toml`: the instances, each with its environment, its definitions and its
//! connection.
//!
//! All errors are reported at once, each with its line and a hint, as those of definitions files are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::config::{AssumeRole, ConnectTo};
use crate::definitions::{
    Auth, DefinitionErrors, Entries, File, Location, Node, SourceText, Span, Value, given,
    parse_tree,
};
use crate::error_code::ErrorCode;
use crate::hint::Opt;
use crate::name::{check_environment, nearest};
use crate::plan::Hazard;
use crate::text::brief;

/// The keys of an instance. `[defaults]` can have all of them except `name`.
pub const KEYS: [&str; 16] = [
    "name",
    "environment",
    "definitions",
    "config",
    "region",
    "assume_role",
    "external_id",
    "host",
    "port",
    "dbname",
    "connect_to",
    "admin_secret",
    "admin_auth",
    "admin_user",
    "allow",
    "only",
];

/// The options of other runs that concern one instance, each with the key of the fleet file that replaces
/// it.
pub const OF_AN_INSTANCE: [(Opt, Option<&str>); 16] = [
    (Opt::Definitions, Some("definitions")),
    (Opt::Env, Some("environment")),
    (Opt::Mode, None),
    (Opt::Adopt, None),
    (Opt::AdoptFrom, None),
    (Opt::Only, Some("only")),
    (Opt::Host, Some("host")),
    (Opt::Port, Some("port")),
    (Opt::ConnectTo, Some("connect_to")),
    (Opt::Dbname, Some("dbname")),
    (Opt::AdminSecret, Some("admin_secret")),
    (Opt::AdminAuth, Some("admin_auth")),
    (Opt::AdminUser, Some("admin_user")),
    (Opt::Region, Some("region")),
    (Opt::Out, None),
    (Opt::WithVerifiers, None),
];

/// The key of the list of instances, which each fleet file has.
const INSTANCES: &str = "instances";

/// The table with values for the instances that do not set their own.
const DEFAULTS: &str = "defaults";

/// The port of an instance that sets none.
const DEFAULT_PORT: u16 = 5432;

/// The longest name of an instance.
const NAME: usize = 100;

/// The content of a fleet file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Fleet {
    /// The instances, in the order of the file.
    pub instances: Vec<Instance>,
    /// The path of the file, for messages and plans.
    pub path: String,
    /// The directory of the file, which contains all files that it names.
    pub directory: PathBuf,
}

/// An instance of a fleet: a server, and what is declared for it. In JSON, it has the keys of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Instance {
    /// The name, which records and the summary contain.
    pub name: String,
    /// The environment of its definitions.
    pub environment: String,
    /// The definitions files; empty if `rdsprov.toml` names them.
    pub definitions: Vec<PathBuf>,
    /// Its own `rdsprov.toml`.
    pub config: Option<PathBuf>,
    /// The AWS region of its secrets and IAM tokens.
    pub region: Option<String>,
    /// The IAM role whose credentials are used for it.
    #[serde(serialize_with = "displayed")]
    #[schemars(with = "Option<String>")]
    pub assume_role: Option<AssumeRole>,
    /// The host, if it differs from that in the administrator's secret.
    pub host: Option<String>,
    /// The port, if it differs from that in the administrator's secret.
    pub port: Option<u16>,
    /// The administrator database, if it differs from that in the administrator's secret.
    pub dbname: Option<String>,
    /// The address to which connections go instead of the host.
    #[serde(serialize_with = "displayed")]
    #[schemars(with = "Option<String>")]
    pub connect_to: Option<ConnectTo>,
    /// The id of the administrator's secret.
    pub admin_secret: Option<String>,
    /// How the administrator logs in.
    pub admin_auth: Option<Auth>,
    /// The role of the administrator with IAM tokens.
    pub admin_user: Option<String>,
    /// The hazards that its plan may contain.
    pub allow: Vec<Hazard>,
    /// The applications to which its plan is restricted; empty means all.
    pub only: Vec<String>,
}

/// Serializes a value as its text.
fn displayed<T: Display, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ToString::to_string).serialize(to)
}

impl Fleet {
    /// Parses the text of a fleet file. Relative paths are resolved against the directory of the path of
    /// the text, which can also be the URI of an object.
    ///
    /// # Errors
    /// Returns all errors of the file.
    ///
    /// ```
    /// use rdsprov_core::definitions::{SourceText, Syntax};
    /// use rdsprov_core::fleet::Fleet;
    ///
    /// let text =
    ///     "[[instances]]\nname = \"orders\"\nenvironment = \"dev\"\ndefinitions = [\"orders.tfvars\"]\n";
    /// let mut source = SourceText {
    ///     path: "fleets/eu.toml".to_owned(),
    ///     text: text.to_owned(),
    ///     syntax: Syntax::Toml,
    /// };
    /// let fleet = Fleet::parse(&source).unwrap();
    /// assert_eq!(fleet.instances[0].definitions, ["fleets/orders.tfvars".as_ref() as &std::path::Path]);
    /// source.text = "[[instance]]\n".to_owned();
    /// assert!(Fleet::parse(&source).is_err());
    /// ```
    pub fn parse(source: &SourceText) -> Result<Self, DefinitionErrors> {
        let path = source.path.clone();
        let directory = Path::new(&path).parent().unwrap_or(Path::new("")).to_owned();
        let mut file = File::recognised_by(source, &[INSTANCES]);
        let root = parse_tree(&mut file, INSTANCES);
        let instances = root.map(|root| instances(&mut file, &root, &directory));
        file.errors.sort_by_key(|error| (error.location.line, error.location.column));
        match instances {
            Some(instances) if file.error_count() == 0 => Ok(Self { instances, path, directory }),
            _ => Err(DefinitionErrors::new(file.errors, file.omitted)),
        }
    }
}

/// The values of a table: of an instance, or of `[defaults]`.
#[derive(Default)]
struct Values {
    /// The keys that are misspelt: an error says so, so that another one does not say that they are
    /// missing.
    misspelt: BTreeSet<&'static str>,
    environment: Option<String>,
    definitions: Option<Vec<PathBuf>>,
    config: Option<PathBuf>,
    region: Option<String>,
    assume_role: Option<AssumeRole>,
    external_id: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    dbname: Option<String>,
    connect_to: Option<ConnectTo>,
    admin_secret: Option<String>,
    admin_auth: Option<Auth>,
    admin_user: Option<String>,
    allow: Option<Vec<Hazard>>,
    only: Option<Vec<String>>,
}

fn instances(file: &mut File<'_>, root: &Node, directory: &Path) -> Vec<Instance> {
    let top = file.map("the file", root).unwrap_or_default();
    let Some((_, list)) = given(&top, INSTANCES) else {
        let hint = "start each instance with [[instances]]";
        file.error(&(0..0), ErrorCode::MissingKey, "the file contains no `instances`", hint);
        return Vec::new();
    };
    for (name, (key, _)) in &top {
        if ![INSTANCES, DEFAULTS].contains(name) {
            let message = format!("the file has the unknown key `{}`", brief(name));
            let hint = "use [defaults] and [[instances]]";
            file.error(&key.span, ErrorCode::UnknownKey, message, hint);
        }
    }
    let mut defaults = given(&top, DEFAULTS)
        .and_then(|(_, node)| file.map("`defaults`", node))
        .map(|table| values(file, &table, "`[defaults]`", &KEYS[1..], directory))
        .unwrap_or_default();
    if misspelt(&top, &[INSTANCES, DEFAULTS]).contains(&DEFAULTS) {
        defaults.misspelt.extend(KEYS);
    }
    let Value::List(items) = &list.value else {
        file.wrong_type("`instances`", list, "a list of tables", "write [[instances]]");
        return Vec::new();
    };
    if items.is_empty() {
        let hint = "start each instance with [[instances]]";
        file.error(&list.span, ErrorCode::MissingKey, "the file contains no instance", hint);
    }
    let mut names = BTreeMap::new();
    let mut servers = BTreeMap::new();
    let mut found = Vec::new();
    for item in items {
        let Some(table) = file.map("an instance", item) else { continue };
        let Some(instance) = instance(file, item, &table, &defaults, directory) else { continue };
        let span = |key: &str| given(&table, key).map_or(&item.span, |(_, node)| &node.span);
        let location = file.location(span("name"));
        if let Some(first) = names.insert(instance.name.clone(), location) {
            let message =
                format!("the name `{}` is already given at {}", instance.name, position(&first));
            let hint = "give each instance a name of its own";
            file.error(span("name"), ErrorCode::DuplicateItem, message, hint);
        }
        if !(defaults.misspelt.is_empty() && misspelt(&table, &KEYS).is_empty()) {
            // The server can be that of the misspelt key.
            found.push(instance);
            continue;
        }
        let server = instance.server();
        if let Some(first) = servers.insert(server.clone(), instance.name.clone()) {
            let both = format!("the instances `{first}` and `{}` have the same", instance.name);
            let (message, hint) = match server {
                Server::Host(host, port) => (
                    format!("{both} server, {host}:{port}"),
                    "correct `host` or `port`, or declare both in one instance",
                ),
                Server::OfSecret { .. } => (
                    format!("{both} administrator's secret, and no host"),
                    "set `host` or `admin_secret`, or declare both in one instance",
                ),
            };
            file.error(span("host"), ErrorCode::DuplicateItem, message, hint);
        }
        found.push(instance);
    }
    found
}

/// What identifies the server of an instance, as far as the file shows it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Server {
    Host(String, u16),
    /// The host in a secret. Without an id, the environment and the configuration decide about it.
    OfSecret {
        id: Result<String, (String, Option<PathBuf>)>,
        region: Option<String>,
        role: Option<String>,
    },
}

impl Instance {
    fn server(&self) -> Server {
        if let Some(host) = &self.host {
            return Server::Host(host.to_ascii_lowercase(), self.port.unwrap_or(DEFAULT_PORT));
        }
        let of_template = || (self.environment.clone(), self.config.clone());
        Server::OfSecret {
            id: self.admin_secret.clone().ok_or_else(of_template),
            region: self.region.clone(),
            role: self.assume_role.as_ref().map(ToString::to_string),
        }
    }
}

/// Returns a position without the path, which the error itself contains.
fn position(location: &Location) -> String {
    format!("line {}", location.line)
}

fn instance(
    file: &mut File<'_>,
    item: &Node,
    table: &Entries<'_>,
    defaults: &Values,
    directory: &Path,
) -> Option<Instance> {
    let name = name(file, item, table);
    let subject = match name {
        Some(name) => format!("instance `{name}`"),
        None => "an instance".to_owned(),
    };
    let own = values(file, table, &subject, &KEYS, directory);
    let is_misspelt = |key| own.misspelt.contains(key) || defaults.misspelt.contains(key);
    let is_missing = |key| given(table, key).is_none() && !is_misspelt(key);
    let environment = own.environment.or_else(|| defaults.environment.clone());
    if environment.is_none() && is_missing("environment") {
        let message = format!("{subject} has no `environment`");
        let hint = "write environment = \"…\" in the instance or in [defaults]";
        file.error(&item.span, ErrorCode::MissingKey, message, hint);
    }
    let mut assume_role = own.assume_role.or_else(|| defaults.assume_role.clone());
    let external_id = own.external_id.or_else(|| defaults.external_id.clone());
    match &mut assume_role {
        Some(role) => {
            role.external_id = external_id;
            role.session = name.map(str::to_owned);
        }
        None => {
            if let Some((key, _)) = given(table, "external_id")
                && is_missing("assume_role")
            {
                let message = format!("{subject} has `external_id` without `assume_role`");
                let hint = "add assume_role = \"arn:…\", or remove `external_id`";
                file.error(&key.span, ErrorCode::MissingKey, message, hint);
            }
        }
    }
    Some(Instance {
        name: name?.to_owned(),
        environment: environment?,
        definitions: own.definitions.or_else(|| defaults.definitions.clone()).unwrap_or_default(),
        config: own.config.or_else(|| defaults.config.clone()),
        region: own.region.or_else(|| defaults.region.clone()),
        assume_role,
        host: own.host.or_else(|| defaults.host.clone()),
        port: own.port.or(defaults.port),
        dbname: own.dbname.or_else(|| defaults.dbname.clone()),
        connect_to: own.connect_to.or_else(|| defaults.connect_to.clone()),
        admin_secret: own.admin_secret.or_else(|| defaults.admin_secret.clone()),
        admin_auth: own.admin_auth.or(defaults.admin_auth),
        admin_user: own.admin_user.or_else(|| defaults.admin_user.clone()),
        allow: own.allow.or_else(|| defaults.allow.clone()).unwrap_or_default(),
        only: own.only.or_else(|| defaults.only.clone()).unwrap_or_default(),
    })
}

fn name<'n>(file: &mut File<'_>, item: &Node, table: &Entries<'n>) -> Option<&'n str> {
    let Some((_, node)) = given(table, "name") else {
        if misspelt(table, &KEYS).contains("name") {
            return None;
        }
        let hint = "write name = \"…\"";
        file.error(&item.span, ErrorCode::MissingKey, "an instance has no `name`", hint);
        return None;
    };
    let name = file.string("name", node)?;
    let is_valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && name.len() <= NAME && name.chars().all(is_valid) {
        return Some(name);
    }
    let message = format!("`{}` is not a name of an instance", brief(name));
    let hint = format!(
        "use up to {NAME} ASCII letters, digits, `.`, `_` and `-`, and begin with a letter or digit"
    );
    file.error(&node.span, ErrorCode::InvalidName, message, hint);
    None
}

fn values(
    file: &mut File<'_>,
    table: &Entries<'_>,
    subject: &str,
    keys: &[&'static str],
    directory: &Path,
) -> Values {
    for (key, (at, _)) in table {
        if !keys.contains(key) {
            let message = format!("{subject} has the unknown key `{}`", brief(key));
            let hint = match nearest(key, keys.iter().copied()) {
                _ if *key == "name" => "write the name in each of [[instances]]".to_owned(),
                Some(known) => format!("write `{known}`"),
                None => format!("use one of {}", keys.join(", ")),
            };
            file.error(&at.span, ErrorCode::UnknownKey, message, hint);
        }
    }
    let path = |text: String| directory.join(text);
    let words = |file: &mut File<'_>, key| {
        let (_, node) = given(table, key)?;
        let items = file.strings(key, node)?;
        Some(items.into_iter().map(|(text, _)| text).collect::<Vec<_>>())
    };
    let environment = text(file, table, "environment");
    if let Some((environment, span)) = &environment
        && let Err(error) = check_environment(environment)
    {
        file.error(span, error.code(), error.to_string(), error.hint());
    }
    let mut string = |key| text(file, table, key).map(|(text, _)| text);
    let (config, region, external_id) = (string("config"), string("region"), string("external_id"));
    let (host, dbname) = (string("host"), string("dbname"));
    let (admin_secret, admin_user) = (string("admin_secret"), string("admin_user"));
    Values {
        misspelt: misspelt(table, keys),
        environment: environment.map(|(text, _)| text),
        definitions: words(file, "definitions").map(|files| files.into_iter().map(path).collect()),
        config: config.map(path),
        region,
        assume_role: parsed(file, table, "assume_role", "arn:aws:iam::111122223333:role/NAME"),
        external_id,
        host,
        port: port(file, table),
        dbname,
        connect_to: parsed(file, table, "connect_to", "127.0.0.1:15432"),
        admin_secret,
        admin_auth: auth(file, table),
        admin_user,
        allow: hazards(file, table),
        only: words(file, "only"),
    }
}

/// Returns the keys that the unknown keys of a table are misspellings of.
fn misspelt(table: &Entries<'_>, keys: &[&'static str]) -> BTreeSet<&'static str> {
    let unknown = table.keys().filter(|key| !keys.contains(*key));
    unknown.filter_map(|key| nearest(key, keys.iter().copied())).collect()
}

/// Returns a text that is not empty, with its position.
fn text(file: &mut File<'_>, table: &Entries<'_>, key: &str) -> Option<(String, Span)> {
    let (_, node) = given(table, key)?;
    let text = file.string(key, node)?;
    if text.is_empty() {
        let hint = format!("write {key} = \"…\", or remove the key");
        file.error(&node.span, ErrorCode::InvalidValue, format!("`{key}` is empty"), hint);
        return None;
    }
    Some((text.to_owned(), node.span.clone()))
}

fn parsed<T: FromStr>(
    file: &mut File<'_>,
    table: &Entries<'_>,
    key: &str,
    example: &str,
) -> Option<T>
where
    T::Err: Display,
{
    let (text, span) = text(file, table, key)?;
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            let message = format!("`{key}` is not valid: {error}");
            let hint = format!("write {key} = \"{example}\"");
            file.error(&span, ErrorCode::InvalidValue, message, hint);
            None
        }
    }
}

fn port(file: &mut File<'_>, table: &Entries<'_>) -> Option<u16> {
    let (_, node) = given(table, "port")?;
    let hint = "write a number from 1 to 65535, without quotes";
    let Value::Number(number) = &node.value else {
        file.wrong_type("`port`", node, "a number", hint);
        return None;
    };
    let port = number.parse().ok().filter(|port| *port > 0);
    if port.is_none() {
        let message = format!("{number} is not a TCP port");
        file.error(&node.span, ErrorCode::InvalidValue, message, hint);
    }
    port
}

fn auth(file: &mut File<'_>, table: &Entries<'_>) -> Option<Auth> {
    let (text, span) = text(file, table, "admin_auth")?;
    let auth = Auth::all().find(|auth| auth.name() == text);
    if auth.is_none() {
        let message = format!("`admin_auth` is {:?}", brief(&text));
        let hint = "write admin_auth = \"password\" or admin_auth = \"iam\"";
        file.error(&span, ErrorCode::InvalidValue, message, hint);
    }
    auth
}

fn hazards(file: &mut File<'_>, table: &Entries<'_>) -> Option<Vec<Hazard>> {
    let (_, node) = given(table, "allow")?;
    let mut hazards = Vec::new();
    for (name, span) in file.strings("allow", node)? {
        if let Ok(hazard) = name.parse() {
            hazards.push(hazard);
            continue;
        }
        let known = || Hazard::all().map(Hazard::name);
        let message = format!("`{}` is not a hazard", brief(&name));
        let hint = match nearest(&name, known()) {
            Some(known) => format!("write {known:?}"),
            None => format!("use one of {}", known().collect::<Vec<_>>().join(", ")),
        };
        file.error(&span, ErrorCode::InvalidValue, message, hint);
    }
    Some(hazards)
}

#[cfg(test)]
mod tests;
