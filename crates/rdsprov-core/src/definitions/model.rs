//! From trees to the model: every rule of the definitions, every error collected.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::tree::{self, Key, Node, Place, Value};
use super::{
    AccessLevel, Application, Auth, DEFAULT_NAMING_PATTERN, DefinitionError, DefinitionErrors,
    Definitions, Location, Mode, Rules, SourceText,
};
use crate::name::{ApplicationName, DatabaseName, NameError, RoleName, SchemaName};
use crate::setting::Parameter;

/// The keys of an application, in the manual's order.
const KEYS: [&str; 11] = [
    "database_name",
    "username",
    "access_level",
    "schemas",
    "extensions",
    "auth",
    "secret",
    "createdb",
    "connection_limit",
    "settings",
    "adopt",
];

/// Those of [`KEYS`] that are read and checked, and refused until what they ask for is built.
const LATER: [&str; 2] = ["extensions", "auth"];

const APPLICATIONS: &str = "application_databases";

/// One file, and what is wrong with it.
struct File<'a> {
    source: &'a SourceText,
    text: &'a str,
    line_starts: Vec<usize>,
    errors: Vec<DefinitionError>,
}

type Entries<'n> = BTreeMap<&'n str, (&'n Key, &'n Node)>;

impl<'a> File<'a> {
    fn new(source: &'a SourceText) -> Self {
        let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
        let line_starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { source, text, line_starts, errors: Vec::new() }
    }

    fn location(&self, place: &Place) -> Location {
        let line = self.line_starts.partition_point(|start| *start <= place.start).max(1);
        let before = self.text.get(self.line_starts[line - 1]..place.start).unwrap_or_default();
        Location { file: self.source.path.clone(), line, column: before.chars().count() + 1 }
    }

    fn error_at(&self, location: Location, message: String, help: String) -> DefinitionError {
        let start = self.line_starts.get(location.line - 1).copied().unwrap_or_default();
        let line_text = self.text[start..].lines().next().unwrap_or_default().to_owned();
        DefinitionError { location, line_text, message, help }
    }

    fn error(&mut self, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        let error = self.error_at(self.location(place), message.into(), help.into());
        self.errors.push(error);
    }

    fn wrong_type(&mut self, what: &str, node: &Node, wanted: &str, help: impl Into<String>) {
        // A fault is told already where the value was refused.
        if !matches!(node.value, Value::Refused) {
            self.error(&node.place, format!("{what} is {}, not {wanted}", node.value.kind()), help);
        }
    }

    /// The entries of a map, a key given twice being an error.
    fn map<'n>(&mut self, what: &str, node: &'n Node) -> Option<Entries<'n>> {
        let Value::Map(entries) = &node.value else {
            self.wrong_type(what, node, "a map", "write { … }");
            return None;
        };
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            if map.insert(key.name.as_str(), (key, value)).is_some() {
                self.error(
                    &key.place,
                    format!("key `{}` is given twice in {what}", key.name),
                    "remove one of the two",
                );
            }
        }
        Some(map)
    }

    fn string<'n>(&mut self, key: &str, node: &'n Node) -> Option<&'n str> {
        if let Value::String(text) = &node.value {
            return Some(text);
        }
        self.wrong_type(&format!("`{key}`"), node, "a string", format!("write {key} = \"…\""));
        None
    }

    fn bool(&mut self, key: &str, node: &Node) -> Option<bool> {
        if let Value::Bool(value) = &node.value {
            return Some(*value);
        }
        let help = format!("write {key} = true or {key} = false, without quotes");
        self.wrong_type(&format!("`{key}`"), node, "a bool", help);
        None
    }

    fn strings(&mut self, key: &str, node: &Node) -> Option<Vec<(String, Place)>> {
        let Value::List(items) = &node.value else {
            let help = format!("write {key} = [\"…\"]");
            self.wrong_type(&format!("`{key}`"), node, "a list of strings", help);
            return None;
        };
        let what = format!("an item of {key}");
        items
            .iter()
            .map(|item| Some((self.string(&what, item)?.to_owned(), item.place.clone())))
            .collect()
    }
}

/// What is given; `null` is not.
fn given<'n>(entries: &Entries<'n>, key: &str) -> Option<(&'n Key, &'n Node)> {
    entries.get(key).copied().filter(|(_, node)| !matches!(node.value, Value::Null))
}

/// What an entry says of its role, and not what it leaves to the default: entries of one role must not
/// contradict one another.
#[derive(Debug, Default)]
struct OfRole {
    createdb: Option<bool>,
    connection_limit: Option<i32>,
}

/// What one file contributes.
#[derive(Default)]
struct Part {
    environment: Option<(String, Location)>,
    aws_region: Option<(String, Location)>,
    mode: Option<Mode>,
    applications: Vec<(Application, OfRole)>,
    /// Why the file declares no applications; an error where no other file does, either.
    absent: Option<DefinitionError>,
}

pub fn read(sources: &[SourceText], rules: &Rules) -> Result<Definitions, DefinitionErrors> {
    let mut errors = Vec::new();
    let pattern = rules.naming_pattern.as_deref().unwrap_or(DEFAULT_NAMING_PATTERN);
    let pattern = match Regex::new(pattern) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let message = error.to_string();
            let message = message.lines().last().unwrap_or_default();
            errors.push(DefinitionError {
                location: Location { file: "naming_pattern".to_owned(), line: 1, column: 1 },
                line_text: pattern.to_owned(),
                message: format!("the naming pattern is no regular expression: {message}"),
                help: "correct [definitions] naming_pattern in rdsprov.toml".to_owned(),
            });
            None
        }
    };
    let mut definitions = Definitions {
        environment: None,
        aws_region: None,
        mode: Mode::Standalone,
        applications: BTreeMap::new(),
    };
    let mut environment: Option<(String, Location)> = None;
    let mut aws_region: Option<(String, Location)> = None;
    let mut mode = None;
    let mut absent = Vec::new();
    let mut said: BTreeMap<ApplicationName, OfRole> = BTreeMap::new();
    for source in sources {
        let mut file = File::new(source);
        let part = read_file(&mut file, rules, pattern.as_ref());
        for (slot, value, key) in [
            (&mut environment, part.environment, "environment"),
            (&mut aws_region, part.aws_region, "aws_region"),
        ] {
            match (&slot, value) {
                (Some((first, place)), Some((other, location))) if *first != other => {
                    file.errors.push(file.error_at(
                        location,
                        format!("`{key}` is {other:?} here and {first:?} at {place}"),
                        "give files of one environment together".to_owned(),
                    ));
                }
                (None, Some(value)) => *slot = Some(value),
                _ => {}
            }
        }
        mode = mode.or(part.mode);
        absent.extend(part.absent);
        for (application, of_role) in part.applications {
            check_together(&mut file, &definitions, &said, &application, &of_role);
            said.entry(application.application.clone()).or_insert(of_role);
            definitions.applications.entry(application.application.clone()).or_insert(application);
        }
        file.errors.sort_by_key(|error| (error.location.line, error.location.column));
        errors.extend(file.errors);
    }
    if absent.len() == sources.len() {
        errors.extend(absent);
        if sources.is_empty() {
            errors.push(DefinitionError {
                location: Location { file: "definitions".to_owned(), line: 1, column: 1 },
                line_text: String::new(),
                message: "no file is given".to_owned(),
                help: "name the files that hold the definitions".to_owned(),
            });
        }
    }
    share_what_is_said(&mut definitions, &said);
    definitions.environment = environment.map(|(text, _)| text);
    definitions.aws_region = aws_region.map(|(text, _)| text);
    definitions.mode = mode.unwrap_or(Mode::Standalone);
    if errors.is_empty() { Ok(definitions) } else { Err(DefinitionErrors(errors)) }
}

/// What one entry says of a role holds for the role, also in the entries that do not say it.
fn share_what_is_said(definitions: &mut Definitions, said: &BTreeMap<ApplicationName, OfRole>) {
    let mut roles: BTreeMap<RoleName, OfRole> = BTreeMap::new();
    for (name, of_role) in said {
        let Some(application) = definitions.applications.get(name) else { continue };
        let role = roles.entry(application.username.clone()).or_default();
        role.createdb = role.createdb.or(of_role.createdb);
        role.connection_limit = role.connection_limit.or(of_role.connection_limit);
    }
    for application in definitions.applications.values_mut() {
        if let Some(role) = roles.get(&application.username) {
            application.createdb = role.createdb.unwrap_or(false);
            application.connection_limit = role.connection_limit.unwrap_or(-1);
        }
    }
}

/// What one entry must not contradict in those before it.
fn check_together(
    file: &mut File<'_>,
    definitions: &Definitions,
    said: &BTreeMap<ApplicationName, OfRole>,
    new: &Application,
    new_role: &OfRole,
) {
    let mut complain = |message: String, help: &str| {
        let error = file.error_at(new.location.clone(), message, help.to_owned());
        file.errors.push(error);
    };
    for old in definitions.applications.values() {
        if old.application == new.application {
            complain(
                format!("application `{}` is defined at {} already", new.application, old.location),
                "give each application a key of its own",
            );
            continue;
        }
        let same_database = old.database_name == new.database_name;
        let same_user = old.username == new.username;
        if same_database
            && old.access_level == AccessLevel::Owner
            && new.access_level == AccessLevel::Owner
        {
            complain(
                format!(
                    "database `{}` has two owners, `{}` ({}) and `{}`",
                    new.database_name, old.application, old.location, new.application
                ),
                "give one of them access_level = \"editor\" or \"reader\"",
            );
        } else if same_database && same_user {
            complain(
                format!(
                    "user `{}` is given access to database `{}` by `{}` ({}) already",
                    new.username, new.database_name, old.application, old.location
                ),
                "keep one of the two",
            );
        }
        let old_role = said.get(&old.application);
        let mut disagree = |key: &str, ours: Option<String>, theirs: Option<String>| {
            if let (true, Some(ours), Some(theirs)) = (same_user, ours, theirs)
                && ours != theirs
            {
                complain(
                    format!(
                        "user `{}` has {key} = {ours} here and {theirs} in `{}` ({})",
                        new.username, old.application, old.location
                    ),
                    "it is one role: say the same in both, or say it in one only",
                );
            }
        };
        disagree(
            "createdb",
            new_role.createdb.map(|value| value.to_string()),
            old_role.and_then(|role| role.createdb).map(|value| value.to_string()),
        );
        disagree(
            "connection_limit",
            new_role.connection_limit.map(|value| value.to_string()),
            old_role.and_then(|role| role.connection_limit).map(|value| value.to_string()),
        );
        if same_user
            && let (Some(ours), Some(theirs)) = (&new.secret, &old.secret)
            && ours != theirs
        {
            complain(
                format!(
                    "user `{}` has the secret {ours:?} here and {theirs:?} in `{}` ({})",
                    new.username, old.application, old.location
                ),
                "a role has one password: name one secret in both",
            );
        }
    }
}

fn read_file(file: &mut File<'_>, rules: &Rules, pattern: Option<&Regex>) -> Part {
    let (root, faults) = tree::read(file.source.syntax, file.text);
    for fault in faults {
        file.error(&fault.place, fault.message, fault.help);
    }
    let mut part = Part::default();
    let Some(root) = root else { return part };
    let Some(top) = file.map("the file", &root) else { return part };

    for (slot, key) in
        [(&mut part.environment, "environment"), (&mut part.aws_region, "aws_region")]
    {
        if let Some((at, node)) = given(&top, key)
            && let Some(text) = file.string(key, node)
        {
            *slot = Some((text.to_owned(), file.location(&at.place)));
        }
    }
    let (mode, node) = match find_applications(file, &top, rules) {
        Found::Applications(mode, node) => (mode, node),
        Found::Absent(error) => {
            part.absent = Some(error);
            return part;
        }
        Found::Refused => return part,
    };
    part.mode = Some(mode);
    let Some(entries) = file.map(&format!("`{APPLICATIONS}`"), node) else { return part };
    let mut in_file_order: Vec<_> = entries.into_values().collect();
    in_file_order.sort_by_key(|(key, _)| key.place.start);
    for (key, node) in in_file_order {
        part.applications.extend(application(file, rules, pattern, key, node));
    }
    part
}

/// Where a file's applications stand.
enum Found<'n> {
    Applications(Mode, &'n Node),
    /// Nowhere, and why.
    Absent(DefinitionError),
    /// The error is reported already.
    Refused,
}

fn find_applications<'n>(file: &mut File<'_>, top: &Entries<'n>, rules: &Rules) -> Found<'n> {
    let standalone = given(top, APPLICATIONS);
    let config = match given(top, "rds_config") {
        // With the mode chosen, the other place does not matter.
        Some(_) if rules.mode == Some(Mode::Standalone) => None,
        Some((key, node)) => match file.map("`rds_config`", node) {
            Some(entries) => Some((key, entries)),
            None => return Found::Refused,
        },
        None => None,
    };
    let coupled = config.as_ref().and_then(|(_, entries)| given(entries, APPLICATIONS));
    let disabled = config.as_ref().and_then(|(_, entries)| {
        let (key, node) = given(entries, "enabled")?;
        match &node.value {
            Value::Bool(enabled) => (!enabled).then_some(key),
            Value::String(text) if text == "true" || text == "false" => {
                (text == "false").then_some(key)
            }
            _ => {
                file.wrong_type(
                    "`enabled`",
                    node,
                    "a bool",
                    "write enabled = true or enabled = false",
                );
                None
            }
        }
    });
    let standalone = standalone.filter(|_| rules.mode != Some(Mode::Coupled));
    match (standalone, coupled) {
        (Some(_), Some((key, _))) => {
            file.error(
                &key.place,
                "applications are declared both at the top and in `rds_config`",
                "keep one of them, or say which counts with --mode standalone or --mode coupled",
            );
            Found::Refused
        }
        (Some((_, node)), None) => Found::Applications(Mode::Standalone, node),
        (None, Some((_, node))) => match disabled {
            None => Found::Applications(Mode::Coupled, node),
            Some(key) => {
                file.error(
                    &key.place,
                    "`rds_config` has enabled = false: there is no server for its applications",
                    format!("set enabled = true, or move {APPLICATIONS} to the top of the file"),
                );
                Found::Refused
            }
        },
        (None, None) => Found::Absent(why_absent(file, top, config.as_ref(), disabled, rules.mode)),
    }
}

/// The likeliest reason first: the key is null, switched off, or spelled otherwise.
fn why_absent(
    file: &File<'_>,
    top: &Entries<'_>,
    config: Option<&(&Key, Entries<'_>)>,
    disabled: Option<&Key>,
    wanted: Option<Mode>,
) -> DefinitionError {
    let say = |place: &Place, message: String, help: String| {
        file.error_at(file.location(place), message, help)
    };
    let looked_in: Vec<&Entries<'_>> = match (wanted, config) {
        (Some(Mode::Coupled), config) => config.iter().map(|(_, entries)| entries).collect(),
        (_, config) => std::iter::once(top).chain(config.map(|(_, entries)| entries)).collect(),
    };
    if let Some((key, _)) = looked_in.iter().find_map(|entries| entries.get(APPLICATIONS)) {
        return say(
            &key.place,
            format!("`{APPLICATIONS}` is null, which means that it is not given"),
            format!("write {APPLICATIONS} = {{}} if there are no applications"),
        );
    }
    if let Some(key) = disabled {
        return say(
            &key.place,
            "`rds_config` has enabled = false and nothing else declares applications".to_owned(),
            "set enabled = true, or give the file that holds the applications".to_owned(),
        );
    }
    let missing = match wanted {
        None => format!("there is no `{APPLICATIONS}`, neither at the top nor in `rds_config`"),
        Some(Mode::Standalone) => {
            format!("there is no `{APPLICATIONS}` at the top (mode standalone)")
        }
        Some(Mode::Coupled) => {
            format!("there is no `{APPLICATIONS}` in `rds_config` (mode coupled)")
        }
    };
    let similar = looked_in.iter().flat_map(|entries| entries.iter()).find(|(name, _)| {
        name.ends_with(APPLICATIONS) || strsim::damerau_levenshtein(name, APPLICATIONS) < 4
    });
    match similar {
        Some((name, (key, _))) => say(
            &key.place,
            missing,
            format!("is `{name}` meant? It must be called `{APPLICATIONS}`"),
        ),
        None => {
            let help = format!("write {APPLICATIONS} = {{ … }}, or {{}} if there are none");
            say(&(0..0), missing, help)
        }
    }
}

fn application(
    file: &mut File<'_>,
    rules: &Rules,
    pattern: Option<&Regex>,
    key: &Key,
    node: &Node,
) -> Option<(Application, OfRole)> {
    let before = file.errors.len();
    let name = ApplicationName::new(key.name.clone())
        .map_err(|error| file.error(&key.place, error.to_string(), "rename the key"))
        .ok();
    let entry = file.map(&format!("application `{}`", key.name), node)?;
    check_keys(file, rules, key, &entry);

    let database_name = name_of(file, pattern, key, &entry, "database_name", DatabaseName::new);
    let username = name_of(file, pattern, key, &entry, "username", RoleName::new);
    let access_level = one_of(
        file,
        &entry,
        "access_level",
        &[
            ("owner", AccessLevel::Owner),
            ("editor", AccessLevel::Editor),
            ("reader", AccessLevel::Reader),
        ],
    );
    let auth = one_of(file, &entry, "auth", &[("password", Auth::Password), ("iam", Auth::Iam)]);
    let list = |file: &mut File<'_>, field: &str| {
        given(&entry, field).and_then(|(_, node)| file.strings(field, node))
    };
    let schemas = list(file, "schemas").map(|items| {
        let mut seen = BTreeSet::new();
        for (text, place) in &items {
            if !seen.insert(text.clone()) {
                let message = format!("schema {text:?} is given twice");
                file.error(place, message, "remove one of the two");
            }
        }
        items
            .into_iter()
            .filter_map(|(text, place)| {
                SchemaName::new(text)
                    .map_err(|error| file.error(&place, error.to_string(), "choose another name"))
                    .ok()
            })
            .collect()
    });
    let extensions =
        list(file, "extensions").unwrap_or_default().into_iter().map(|(text, _)| text).collect();
    let flag = |file: &mut File<'_>, field: &str| {
        given(&entry, field).and_then(|(_, node)| file.bool(field, node))
    };
    let createdb = flag(file, "createdb");
    let adopt = flag(file, "adopt").unwrap_or(false);
    let connection_limit = connection_limit(file, &entry);
    let settings = settings(file, &entry);
    let secret = given(&entry, "secret").and_then(|(_, node)| {
        let text = file.string("secret", node)?;
        if text.trim().is_empty() {
            file.error(&node.place, "`secret` is empty", "name the secret, or leave the key out");
        } else if text.chars().any(char::is_control) {
            file.error(
                &node.place,
                "`secret` holds a line break or another control character",
                "write the secret's id on one line, without a heredoc",
            );
        }
        Some(text.to_owned())
    });
    if file.errors.len() > before {
        return None;
    }
    let application = Application {
        application: name?,
        database_name: database_name?,
        username: username?,
        access_level: access_level.unwrap_or(AccessLevel::Owner),
        schemas: schemas.unwrap_or_else(|| vec![SchemaName::observed("public")]),
        extensions,
        auth: auth.unwrap_or(Auth::Password),
        secret,
        createdb: createdb.unwrap_or(false),
        connection_limit: connection_limit.unwrap_or(-1),
        settings,
        adopt,
        location: file.location(&key.place),
    };
    Some((application, OfRole { createdb, connection_limit }))
}

/// Refuses keys that are unknown, or known and not built yet.
fn check_keys(file: &mut File<'_>, rules: &Rules, application: &Key, entry: &Entries<'_>) {
    for (field, (at, _)) in entry {
        if LATER.contains(field) {
            if given(entry, field).is_some() {
                let message = format!("`{field}` is not supported yet");
                file.error(&at.place, message, "leave it out for now");
            }
            continue;
        }
        if KEYS.contains(field) || rules.ignore_keys.iter().any(|ignored| ignored == field) {
            continue;
        }
        let nearest = KEYS
            .iter()
            .map(|known| (strsim::damerau_levenshtein(known, field), known))
            .min()
            .filter(|(distance, _)| *distance <= 1 + field.len() / 3);
        let own =
            "a key that is Terraform's own goes into [definitions] ignore_keys in rdsprov.toml";
        let help = match nearest {
            Some((_, known)) => format!("is `{known}` meant? {own}"),
            None => format!("the keys are {}; {own}", KEYS.join(", ")),
        };
        let message = format!("application `{}` has the unknown key `{field}`", application.name);
        file.error(&at.place, message, help);
    }
}

/// One of a closed set of words.
fn one_of<T: Copy>(
    file: &mut File<'_>,
    entry: &Entries<'_>,
    field: &str,
    words: &[(&str, T)],
) -> Option<T> {
    let (_, node) = given(entry, field)?;
    let text = file.string(field, node)?;
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    if found.is_none() {
        let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        file.error(
            &node.place,
            format!("`{field}` is {text:?}"),
            format!("write one of {}", known.join(", ")),
        );
    }
    found
}

fn connection_limit(file: &mut File<'_>, entry: &Entries<'_>) -> Option<i32> {
    let (_, node) = given(entry, "connection_limit")?;
    let help = "write a whole number, -1 for no limit";
    let Value::Number(text) = &node.value else {
        file.wrong_type("`connection_limit`", node, "a number", help);
        return None;
    };
    let limit = text.parse().ok().filter(|limit| *limit >= -1);
    if limit.is_none() {
        file.error(&node.place, format!("`connection_limit` is {text}"), help);
    }
    limit
}

fn settings(file: &mut File<'_>, entry: &Entries<'_>) -> BTreeMap<Parameter, String> {
    let Some((_, node)) = given(entry, "settings") else { return BTreeMap::new() };
    let entries = file.map("`settings`", node).unwrap_or_default();
    entries
        .into_iter()
        .filter_map(|(name, (key, node))| {
            let parameter = Parameter::new(name)
                .map_err(|error| file.error(&key.place, error.to_string(), "correct the name"))
                .ok();
            let value = file.string(name, node)?;
            if value.contains('\0') {
                file.error(&node.place, format!("the value of `{name}` holds a NUL"), "remove it");
            }
            Some((parameter?, value.to_owned()))
        })
        .collect()
}

/// A required name of an application.
fn name_of<T>(
    file: &mut File<'_>,
    pattern: Option<&Regex>,
    application: &Key,
    entry: &Entries<'_>,
    field: &str,
    new: fn(String) -> Result<T, NameError>,
) -> Option<T> {
    let Some((_, node)) = given(entry, field) else {
        file.error(
            &application.place,
            format!("application `{}` has no `{field}`", application.name),
            format!("add {field} = \"…\""),
        );
        return None;
    };
    let text = file.string(field, node)?.to_owned();
    match new(text.clone()) {
        Err(error) => {
            file.error(&node.place, error.to_string(), "choose another name");
            None
        }
        Ok(_) if pattern.is_some_and(|pattern| !pattern.is_match(&text)) => {
            let pattern = pattern.map(Regex::as_str).unwrap_or_default();
            file.error(
                &node.place,
                format!("`{field}` {text:?} does not match the naming pattern {pattern}"),
                "choose another name, or set [definitions] naming_pattern in rdsprov.toml",
            );
            None
        }
        Ok(name) => Some(name),
    }
}
