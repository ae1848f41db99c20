//! Reads the entry of one application: its keys, their types and their valid values.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::file::{Entries, File, given};
use super::keys::KEYS;
use super::tree::{Key, Node, Span, Value};
use super::{Application, Auth, Defaults, Rules};
use crate::error_code::ErrorCode;
use crate::name::{
    ApplicationName, DatabaseName, DatabasePattern, ExtensionName, NameError, RoleName, SchemaName,
    nearest,
};
use crate::privilege::AccessLevel;
use crate::setting::{MAX_SETTINGS, Parameter, ParameterError, check_length};
use crate::text::brief;
use crate::valid_until::ValidUntil;
use crate::{extension_reach, predefined_role};

/// Reads an entry. Returns the application, and the optional keys that the entry sets itself;
/// `None` if the entry has an error.
pub fn application(
    file: &mut File<'_>,
    rules: &Rules,
    defaults: &Defaults,
    pattern: Option<&Regex>,
    key: &Key,
    node: &Node,
) -> Option<(Application, Defaults)> {
    let before = file.error_count();
    let long = key;
    let key = &Key::new(brief(&long.name), long.span.clone());
    let name = ApplicationName::new(long.name.clone())
        .map_err(|error| file.error(&key.span, error.code(), error.to_string(), error.hint()))
        .ok();
    let entry = file.map(&format!("application `{}`", key.name), node)?;
    check_keys(file, rules, key, &entry);

    let database_name = parse_name(file, pattern, key, &entry, "database_name", DatabaseName::new);
    let username = parse_name(file, pattern, key, &entry, "username", RoleName::new);
    let mut explicit = read_explicit_keys(file, rules, &entry);
    let secret = given(&entry, "secret").and_then(|(_, node)| {
        let text = file.string("secret", node)?;
        if text.trim().is_empty() {
            file.error(
                &node.span,
                ErrorCode::InvalidValue,
                "`secret` is empty",
                "name the secret, or remove the key",
            );
        } else if text.chars().any(char::is_control) {
            file.error(
                &node.span,
                ErrorCode::InvalidValue,
                "`secret` contains a line break or another control character",
                "write the id of the secret on one line, without a heredoc",
            );
        }
        Some(text.to_owned())
    });
    let role_owner =
        given(&entry, "role_owner").and_then(|(_, node)| file.bool("role_owner", node));
    if secret.is_some() && explicit.auth == Some(Auth::Iam) {
        file.error(
            &key.span,
            ErrorCode::ConflictingKeys,
            format!("application `{}` has both `secret` and `auth = \"iam\"`", key.name),
            "remove one of the two: a role that logs in with an IAM token has no password",
        );
    }
    // An entry with a `secret` has a password, even if the defaults set `auth = "iam"`.
    explicit.auth = explicit.auth.or(secret.is_some().then_some(Auth::Password));
    let owns = explicit.access_level.or(defaults.access_level).unwrap_or(AccessLevel::Owner)
        == AccessLevel::Owner;
    if file.error_count() > before {
        return None;
    }
    // The default extensions are those of each database, and are not needed by each of its roles.
    let extensions =
        explicit.extensions.clone().or_else(|| defaults.extensions.clone().filter(|_| owns));
    let all = explicit.clone().or(defaults);
    let application = Application {
        application: name?,
        database_name: database_name?,
        username: username?,
        access_level: all.access_level.unwrap_or(AccessLevel::Owner),
        schemas: all.schemas.unwrap_or_else(|| vec![SchemaName::new_unchecked("public")]),
        extensions: extensions.unwrap_or_default(),
        auth: all.auth.unwrap_or(Auth::Password),
        secret,
        role_owner: role_owner.unwrap_or(false),
        says_role_owner: role_owner.unwrap_or(false),
        inherits_credential: false,
        createdb: all.createdb.unwrap_or(false),
        memberships: all.memberships.unwrap_or_default(),
        connection_limit: all.connection_limit.unwrap_or(-1),
        valid_until: all.valid_until,
        settings: all.settings.unwrap_or_default(),
        creators: all.creators.unwrap_or_default(),
        plugin_databases: all.plugin_databases.unwrap_or_default(),
        adopt: all.adopt.unwrap_or(false),
        location: file.location(&key.span),
    };
    Some((application, explicit))
}

/// Reads the optional keys that the entry sets itself.
fn read_explicit_keys(file: &mut File<'_>, rules: &Rules, entry: &Entries<'_>) -> Defaults {
    let levels = [AccessLevel::Owner, AccessLevel::Editor, AccessLevel::Reader, AccessLevel::None];
    let levels = levels.map(|level| (level.to_string(), level));
    let flag = |file: &mut File<'_>, field: &str| {
        given(entry, field).and_then(|(_, node)| file.bool(field, node))
    };
    Defaults {
        access_level: one_of(file, entry, "access_level", &levels),
        schemas: names(file, entry, "schemas", SchemaName::new),
        extensions: extensions(file, entry),
        auth: one_of(
            file,
            entry,
            "auth",
            &Auth::all().map(|auth| (auth.to_string(), auth)).collect::<Vec<_>>(),
        ),
        createdb: flag(file, "createdb"),
        memberships: memberships(file, rules, entry),
        connection_limit: connection_limit(file, entry),
        valid_until: valid_until(file, entry),
        settings: settings(file, entry),
        creators: names(file, entry, "creators", RoleName::new),
        plugin_databases: names(file, entry, "plugin_databases", DatabasePattern::new),
        adopt: flag(file, "adopt"),
    }
}

/// Reads a list of names; a duplicate is an error.
fn names<T>(
    file: &mut File<'_>,
    entry: &Entries<'_>,
    field: &str,
    new: fn(String) -> Result<T, NameError>,
) -> Option<Vec<T>> {
    let mut names = Vec::new();
    for (text, span) in different_strings(file, entry, field)? {
        match new(text) {
            Ok(name) => names.push(name),
            Err(error) => file.error(&span, error.code(), error.to_string(), error.hint()),
        }
    }
    Some(names)
}

/// Reads the extensions that an entry creates or uses.
fn extensions(file: &mut File<'_>, entry: &Entries<'_>) -> Option<Vec<ExtensionName>> {
    let mut names = Vec::new();
    for (text, span) in different_strings(file, entry, "extensions")? {
        match ExtensionName::new(text) {
            Err(error) => file.error(&span, error.code(), error.to_string(), error.hint()),
            Ok(name) => match extension_reach::check(&name) {
                Err(error) => {
                    let hint =
                        "remove it from `extensions`; an administrator can create it by hand";
                    file.error(&span, ErrorCode::InvalidValue, error.to_string(), hint);
                }
                Ok(()) => names.push(name),
            },
        }
    }
    Some(names)
}

/// Reads the predefined roles of which the role is a member.
fn memberships(file: &mut File<'_>, rules: &Rules, entry: &Entries<'_>) -> Option<Vec<RoleName>> {
    let mut names = Vec::new();
    for (text, span) in different_strings(file, entry, "memberships")? {
        match predefined_role::check(&text, &rules.memberships) {
            Ok(name) => names.push(name),
            Err(error) => {
                file.error(&span, ErrorCode::InvalidValue, error.to_string(), error.hint());
            }
        }
    }
    Some(names)
}

/// Reads a list of strings; a duplicate is an error.
fn different_strings(
    file: &mut File<'_>,
    entry: &Entries<'_>,
    field: &str,
) -> Option<Vec<(String, Span)>> {
    let (_, node) = given(entry, field)?;
    let items = file.strings(field, node)?;
    let mut seen = BTreeSet::new();
    for (text, span) in &items {
        if !seen.insert(text) {
            let message = format!("{:?} is given twice in `{field}`", brief(text));
            file.error(span, ErrorCode::DuplicateItem, message, "remove one of the two");
        }
    }
    Some(items)
}

/// Reports unknown keys, with the most similar known key as a hint.
fn check_keys(file: &mut File<'_>, rules: &Rules, application: &Key, entry: &Entries<'_>) {
    for (field, (at, _)) in entry {
        if KEYS.contains(field) || rules.ignore_keys.iter().any(|ignored| ignored == field) {
            continue;
        }
        let ignore = "if only Terraform uses it, add it to `ignore_keys` in `[definitions]` of \
            `rdsprov.toml`";
        let hint = match nearest(field, KEYS) {
            Some(known) => format!("write `{known}`; {ignore}"),
            None => format!("use one of {}; {ignore}", KEYS.join(", ")),
        };
        let message = format!("application `{}` has the unknown key `{field}`", application.name);
        file.error(&at.span, ErrorCode::UnknownKey, message, hint);
    }
}

/// Reads a value that must be one of the given words.
fn one_of<T: Copy>(
    file: &mut File<'_>,
    entry: &Entries<'_>,
    field: &str,
    words: &[(String, T)],
) -> Option<T> {
    let (_, node) = given(entry, field)?;
    let text = file.string(field, node)?;
    let found = words.iter().find(|(word, _)| word == text).map(|(_, value)| *value);
    if found.is_none() {
        let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        file.error(
            &node.span,
            ErrorCode::InvalidValue,
            format!("`{field}` is {:?}, which is not allowed", brief(text)),
            format!("write one of {}", known.join(", ")),
        );
    }
    found
}

fn connection_limit(file: &mut File<'_>, entry: &Entries<'_>) -> Option<i32> {
    let (_, node) = given(entry, "connection_limit")?;
    let hint = "write a whole number, or -1 for no limit";
    let Value::Number(text) = &node.value else {
        file.wrong_type("`connection_limit`", node, "a number", hint);
        return None;
    };
    // As in Terraform, `5`, `5.0` and `5e0` are the same number.
    let whole = text.parse::<f64>().ok().filter(|number| number.fract() == 0.0);
    let limit = whole.and_then(|n| format!("{n:.0}").parse::<i32>().ok()).filter(|n| *n >= -1);
    if limit.is_none() {
        let message = format!("`connection_limit` is {text}, which is not allowed");
        file.error(&node.span, ErrorCode::InvalidValue, message, hint);
    }
    limit
}

fn valid_until(file: &mut File<'_>, entry: &Entries<'_>) -> Option<ValidUntil> {
    let (_, node) = given(entry, "valid_until")?;
    let text = file.string("valid_until", node)?;
    ValidUntil::new(text)
        .map_err(|error| {
            let message = format!("`valid_until` is {error}");
            let hint = "write it as \"2027-01-31T00:00:00Z\"";
            file.error(&node.span, ErrorCode::InvalidValue, message, hint);
        })
        .ok()
}

fn settings(file: &mut File<'_>, entry: &Entries<'_>) -> Option<BTreeMap<Parameter, String>> {
    let (_, all) = given(entry, "settings")?;
    let mut settings = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for (name, (key, node)) in file.map("`settings`", all)? {
        if matches!(node.value, Value::Null) {
            continue;
        }
        let parameter = Parameter::new(name)
            .map_err(|error| {
                let code = match &error {
                    ParameterError::Refused { .. } => ErrorCode::InvalidValue,
                    ParameterError::NotAParameter { .. } => ErrorCode::InvalidName,
                };
                file.error(&key.span, code, error.to_string(), error.hint());
            })
            .ok();
        // PostgreSQL does not distinguish upper and lower case in the names of parameters.
        if let Some(parameter) = &parameter
            && let Some(earlier) = keys.insert(parameter.clone(), key)
        {
            // The keys are sorted by their names.
            let (earlier, key) =
                if earlier.span.start < key.span.start { (earlier, key) } else { (key, earlier) };
            let location = file.location(&earlier.span);
            let message = format!("`{parameter}` of `settings` is already given at {location}");
            file.error(&key.span, ErrorCode::DuplicateKey, message, "remove one of the two");
        }
        let Some(value) = file.string(name, node) else { continue };
        if value.contains('\0') {
            let message = format!("the value of `{name}` contains a NUL");
            file.error(&node.span, ErrorCode::InvalidValue, message, "remove it");
        }
        settings.extend(parameter.map(|parameter| (parameter, value.to_owned())));
    }
    if let Err(bytes) = check_length(&settings) {
        let message = format!("`settings` has {bytes} bytes; the maximum is {MAX_SETTINGS}");
        file.error(&all.span, ErrorCode::InvalidValue, message, "shorten the values");
    }
    Some(settings)
}

/// Reads a required name, which must match the naming pattern.
fn parse_name<T>(
    file: &mut File<'_>,
    pattern: Option<&Regex>,
    application: &Key,
    entry: &Entries<'_>,
    field: &str,
    new: fn(String) -> Result<T, NameError>,
) -> Option<T> {
    let Some((_, node)) = given(entry, field) else {
        file.error(
            &application.span,
            ErrorCode::MissingKey,
            format!("application `{}` has no `{field}`", application.name),
            format!("add {field} = \"…\""),
        );
        return None;
    };
    let text = file.string(field, node)?.to_owned();
    match new(text.clone()) {
        Err(error) => {
            file.error(&node.span, error.code(), error.to_string(), error.hint());
            None
        }
        Ok(_) if pattern.is_some_and(|pattern| !pattern.is_match(&text)) => {
            let pattern = pattern.map(Regex::as_str).unwrap_or_default();
            let pattern = pattern.trim_start_matches("^(?:").trim_end_matches(")$");
            file.error(
                &node.span,
                ErrorCode::NamingPatternMismatch,
                format!(
                    "`{field}` is {:?}, which does not match the naming pattern `{}`",
                    brief(&text),
                    brief(pattern)
                ),
                "choose another name, or set `naming_pattern` in `[definitions]` of `rdsprov.toml`",
            );
            None
        }
        Ok(name) => Some(name),
    }
}
