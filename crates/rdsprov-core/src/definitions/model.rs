//! From trees to the model: every rule of the definitions, every error collected.

use std::collections::BTreeMap;

use regex::Regex;

use super::tree::{self, Key, Node, Place, Value};
use super::{
    AccessLevel, Application, Auth, DEFAULT_NAMING_PATTERN, DefinitionError, DefinitionErrors,
    Definitions, Location, Mode, Rules, SourceText,
};
use crate::name::{ApplicationName, DatabaseName, NameError, RoleName, SchemaName};

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
const LATER: [&str; 6] =
    ["schemas", "extensions", "auth", "createdb", "connection_limit", "settings"];

const APPLICATIONS: &str = "application_databases";

/// One file, and what is wrong with it.
struct File<'a> {
    source: &'a SourceText,
    text: &'a str,
    errors: Vec<DefinitionError>,
}

impl File<'_> {
    fn location(&self, place: &Place) -> Location {
        let before = self.text.get(..place.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Location {
            file: self.source.path.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn error(&mut self, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        let location = self.location(place);
        let line_text = self.text.lines().nth(location.line - 1).unwrap_or_default().to_owned();
        self.errors.push(DefinitionError {
            location,
            line_text,
            message: message.into(),
            help: help.into(),
        });
    }

    /// The entries of a map, a key given twice being an error.
    fn map<'n>(
        &mut self,
        what: &str,
        node: &'n Node,
    ) -> Option<BTreeMap<&'n str, (&'n Key, &'n Node)>> {
        let Value::Map(entries) = &node.value else {
            self.error(
                &node.place,
                format!("{what} is {}, not a map", node.value.kind()),
                format!("write {what} = {{ … }}"),
            );
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
        match &node.value {
            Value::String(text) => Some(text),
            Value::Null => None,
            other => {
                self.error(
                    &node.place,
                    format!("`{key}` is {}, not a string", other.kind()),
                    format!("write {key} = \"…\""),
                );
                None
            }
        }
    }

    fn bool(&mut self, key: &str, node: &Node) -> Option<bool> {
        match &node.value {
            Value::Bool(value) => Some(*value),
            Value::Null => None,
            other => {
                self.error(
                    &node.place,
                    format!("`{key}` is {}, not a bool", other.kind()),
                    format!("write {key} = true or {key} = false"),
                );
                None
            }
        }
    }
}

/// What one file contributes.
#[derive(Default)]
struct Part {
    environment: Option<(String, Location)>,
    aws_region: Option<(String, Location)>,
    mode: Option<Mode>,
    applications: Vec<Application>,
}

pub fn read(sources: &[SourceText], rules: &Rules) -> Result<Definitions, DefinitionErrors> {
    let mut errors = Vec::new();
    let pattern = rules.naming_pattern.as_deref().unwrap_or(DEFAULT_NAMING_PATTERN);
    let pattern = match Regex::new(pattern) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            errors.push(DefinitionError {
                location: Location { file: "naming_pattern".to_owned(), line: 1, column: 1 },
                line_text: pattern.to_owned(),
                message: format!("the naming pattern is no regular expression: {error}"),
                help: "correct it in rdsprov.toml".to_owned(),
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
    let mut mode = None;
    for source in sources {
        let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
        let mut file = File { source, text, errors: Vec::new() };
        let part = read_file(&mut file, rules, pattern.as_ref());
        for (slot, value, key) in [
            (&mut definitions.environment, part.environment, "environment"),
            (&mut definitions.aws_region, part.aws_region, "aws_region"),
        ] {
            match (&slot, value) {
                (Some(first), Some((other, location))) if *first != other => {
                    file.errors.push(DefinitionError {
                        line_text: text
                            .lines()
                            .nth(location.line - 1)
                            .unwrap_or_default()
                            .to_owned(),
                        location,
                        message: format!("`{key}` is {other:?} here and {first:?} in another file"),
                        help: "give files of one environment together".to_owned(),
                    });
                }
                (None, Some((value, _))) => *slot = Some(value),
                _ => {}
            }
        }
        mode = mode.or(part.mode);
        for application in part.applications {
            check_together(&mut file, &definitions, &application);
            definitions.applications.entry(application.application.clone()).or_insert(application);
        }
        errors.extend(file.errors);
    }
    definitions.mode = mode.unwrap_or(Mode::Standalone);
    if errors.is_empty() { Ok(definitions) } else { Err(DefinitionErrors(errors)) }
}

/// What one entry must not contradict in those before it.
fn check_together(file: &mut File<'_>, definitions: &Definitions, new: &Application) {
    let mut complain = |message: String, help: &str| {
        file.errors.push(DefinitionError {
            line_text: file.text.lines().nth(new.location.line - 1).unwrap_or_default().to_owned(),
            location: new.location.clone(),
            message,
            help: help.to_owned(),
        });
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
        if let Some((at, node)) = top.get(key)
            && let Some(text) = file.string(key, node)
        {
            *slot = Some((text.to_owned(), file.location(&at.place)));
        }
    }

    let standalone = top.get(APPLICATIONS).filter(|(_, node)| !matches!(node.value, Value::Null));
    let config = top
        .get("rds_config")
        .filter(|(_, node)| !matches!(node.value, Value::Null))
        .and_then(|(key, node)| Some((*key, file.map("`rds_config`", node)?)));
    let coupled = config
        .as_ref()
        .and_then(|(_, config)| config.get(APPLICATIONS))
        .filter(|(_, node)| !matches!(node.value, Value::Null));
    let disabled = config.as_ref().is_some_and(|(_, config)| {
        config.get("enabled").is_some_and(|(_, node)| match &node.value {
            Value::Bool(enabled) => !enabled,
            Value::String(text) => text == "false",
            _ => false,
        })
    });
    let coupled = match (coupled, &config) {
        (Some((key, _)), _)
            if disabled && (standalone.is_none() || rules.mode == Some(Mode::Coupled)) =>
        {
            file.error(
                &key.place,
                "`rds_config` has enabled = false: there is no server for these applications",
                "set enabled = true, or move the applications to the top of the file",
            );
            return part;
        }
        (None, Some((key, _))) if disabled && standalone.is_none() => {
            file.error(
                &key.place,
                "`rds_config` has enabled = false and the file declares nothing else",
                "set enabled = true, or give the file that holds the applications",
            );
            return part;
        }
        // Switched off, but the applications stand at the top: it counts for nothing.
        (Some(_), _) if disabled => None,
        (coupled, _) => coupled,
    };
    let (mode, applications) = match (standalone, coupled, rules.mode) {
        (Some(_), Some((key, _)), None) => {
            file.error(
                &key.place,
                "applications are declared both at the top and in `rds_config`",
                "keep one of them, or say which counts with --mode standalone or --mode coupled",
            );
            return part;
        }
        (Some((_, node)), _, None | Some(Mode::Standalone)) => (Mode::Standalone, *node),
        (_, Some((_, node)), None | Some(Mode::Coupled)) => (Mode::Coupled, *node),
        (_, _, wanted) => {
            let place = match wanted {
                Some(Mode::Coupled) => format!("`rds_config` has no `{APPLICATIONS}`"),
                _ => format!("the file has no `{APPLICATIONS}`"),
            };
            let near = top
                .iter()
                .find(|(name, _)| {
                    **name != APPLICATIONS
                        && (name.ends_with(APPLICATIONS)
                            || strsim::damerau_levenshtein(name, APPLICATIONS) < 4)
                })
                .map(|(name, (key, _))| (*name, key.place.clone()));
            let (at, help) = match near {
                Some((name, at)) => {
                    (at, format!("is `{name}` meant? It must be called `{APPLICATIONS}`"))
                }
                None => (
                    0..0,
                    format!(
                        "write {APPLICATIONS} = {{ … }}, at the top or in rds_config; {{}} if there are none"
                    ),
                ),
            };
            if file.errors.is_empty() {
                file.error(&at, place, help);
            }
            return part;
        }
    };
    part.mode = Some(mode);
    let Some(entries) = file.map(&format!("`{APPLICATIONS}`"), applications) else { return part };
    let mut in_file_order: Vec<_> = entries.into_values().collect();
    in_file_order.sort_by_key(|(key, _)| key.place.start);
    for (key, node) in in_file_order {
        part.applications.extend(application(file, rules, pattern, key, node));
    }
    part
}

fn application(
    file: &mut File<'_>,
    rules: &Rules,
    pattern: Option<&Regex>,
    key: &Key,
    node: &Node,
) -> Option<Application> {
    let before = file.errors.len();
    let name = match ApplicationName::new(key.name.clone()) {
        Ok(name) => Some(name),
        Err(error) => {
            file.error(&key.place, error.to_string(), "rename the key");
            None
        }
    };
    let entry = file.map(&format!("application `{}`", key.name), node)?;
    for (field, (at, _)) in &entry {
        if KEYS.contains(field) || rules.ignore_keys.iter().any(|ignored| ignored == field) {
            continue;
        }
        if LATER.contains(field) {
            file.error(
                &at.place,
                format!("`{field}` is not supported yet"),
                "leave it out for now",
            );
            continue;
        }
        let nearest = KEYS
            .iter()
            .chain(&LATER)
            .min_by_key(|known| strsim::damerau_levenshtein(known, field))
            .filter(|known| strsim::damerau_levenshtein(known, field) <= 1 + field.len() / 3);
        let help = match nearest {
            Some(known) => format!("is `{known}` meant?"),
            None => format!(
                "the keys are {}; a key that is Terraform's own goes into [definitions] ignore_keys",
                KEYS.join(", ")
            ),
        };
        file.error(
            &at.place,
            format!("application `{}` has the unknown key `{field}`", key.name),
            help,
        );
    }
    let database_name = name_of(file, pattern, key, &entry, "database_name", DatabaseName::new);
    let username = name_of(file, pattern, key, &entry, "username", RoleName::new);
    let access_level = match entry
        .get("access_level")
        .and_then(|(_, node)| Some((node, file.string("access_level", node)?)))
    {
        None | Some((_, "owner")) => AccessLevel::Owner,
        Some((_, "editor")) => AccessLevel::Editor,
        Some((_, "reader")) => AccessLevel::Reader,
        Some((node, other)) => {
            file.error(
                &node.place,
                format!("`access_level` is {other:?}"),
                "the levels are \"owner\", \"editor\" and \"reader\"",
            );
            AccessLevel::Reader
        }
    };
    let secret = entry.get("secret").and_then(|(_, node)| {
        let text = file.string("secret", node)?;
        if text.trim().is_empty() {
            file.error(&node.place, "`secret` is empty", "name the secret, or leave the key out");
        }
        Some(text.to_owned())
    });
    let adopt = entry.get("adopt").and_then(|(_, node)| file.bool("adopt", node)).unwrap_or(false);
    if file.errors.len() > before {
        return None;
    }
    Some(Application {
        application: name?,
        database_name: database_name?,
        username: username?,
        access_level,
        schemas: vec![SchemaName::observed("public")],
        secret,
        adopt,
        location: file.location(&key.place),
    })
}

/// A required name of an application.
fn name_of<T>(
    file: &mut File<'_>,
    pattern: Option<&Regex>,
    application: &Key,
    entry: &BTreeMap<&str, (&Key, &Node)>,
    field: &str,
    new: fn(String) -> Result<T, NameError>,
) -> Option<T> {
    let given = entry.get(field).filter(|(_, node)| !matches!(node.value, Value::Null));
    let Some((_, node)) = given else {
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
            file.error(
                &node.place,
                format!("`{field}` {text:?} does not match the naming pattern"),
                "use letters, digits, `_` and `-`, or set [definitions] naming_pattern in rdsprov.toml",
            );
            None
        }
        Ok(name) => Some(name),
    }
}
