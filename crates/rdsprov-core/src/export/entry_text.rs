//! One entry as text: the keys whose values differ from what a missing key means.

use super::scope::ExportFormat;
use super::value_text::{Value, key, string};
use crate::definitions::{Application, Auth, Defaults};
use crate::name::SchemaName;
use crate::privilege::AccessLevel;

/// Returns the keys of an entry with their values. `defaults` are those of the configuration.
fn keys(entry: &Application, defaults: &Defaults) -> Vec<(&'static str, Value)> {
    let text = |value: &dyn ToString| Value::Text(value.to_string());
    let mut keys =
        vec![("database_name", text(&entry.database_name)), ("username", text(&entry.username))];
    let mut add = |name, has_default: bool, is_usual: bool, value: Value| {
        if has_default || !is_usual {
            keys.push((name, value));
        }
    };
    let is_owner = entry.access_level == AccessLevel::Owner;
    add("access_level", defaults.access_level.is_some(), is_owner, text(&entry.access_level));
    let public = [SchemaName::new_unchecked("public")];
    let schemas = Value::names(&entry.schemas);
    add("schemas", defaults.schemas.is_some(), entry.schemas == public, schemas);
    let extensions = Value::names(&entry.extensions);
    let has_default = defaults.extensions.is_some() && is_owner;
    add("extensions", has_default, entry.extensions.is_empty(), extensions);
    if entry.role_owner {
        let secret = entry.secret.clone().unwrap_or_default();
        add(
            "auth",
            defaults.auth.is_some() && entry.secret.is_none(),
            entry.auth == Auth::Password,
            text(&entry.auth),
        );
        add("secret", false, entry.secret.is_none(), Value::Text(secret));
        add("role_owner", false, !entry.says_role_owner, Value::Flag(true));
        let createdb = Value::Flag(entry.createdb);
        add("createdb", defaults.createdb.is_some(), !entry.createdb, createdb);
        let memberships = Value::names(&entry.memberships);
        add("memberships", false, entry.memberships.is_empty(), memberships);
        let limit = Value::Number(entry.connection_limit);
        let is_usual = entry.connection_limit == -1;
        add("connection_limit", defaults.connection_limit.is_some(), is_usual, limit);
        if let Some(time) = entry.valid_until {
            add("valid_until", true, false, text(&time));
        }
    }
    let settings: Vec<(String, String)> =
        entry.settings.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    add("settings", defaults.settings.is_some(), settings.is_empty(), Value::Map(settings));
    let creators = Value::names(&entry.creators);
    add("creators", defaults.creators.is_some(), entry.creators.is_empty(), creators);
    keys
}

/// Returns the lines of an entry.
pub(super) fn lines(entry: &Application, defaults: &Defaults, format: ExportFormat) -> Vec<String> {
    let name = key(entry.application.as_str(), format);
    let keys = keys(entry, defaults);
    let (head, indentation, end) = match format {
        ExportFormat::Tfvars => (format!("  {name} = {{"), "    ", Some("  }".to_owned())),
        ExportFormat::Toml => (format!("[application_databases.{name}]"), "", None),
    };
    let width = keys.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let assigned = keys
        .iter()
        .map(|(name, value)| format!("{indentation}{name:width$} = {}", value.text(format)));
    std::iter::once(head).chain(assigned).chain(end).collect()
}

/// Returns a whole file with these entries.
pub(super) fn file(
    environment: &str,
    scope: Option<&str>,
    entries: &[Vec<String>],
    format: ExportFormat,
) -> String {
    let mut text = format!("environment = {}\n", string(environment, format));
    if let Some(scope) = scope {
        // Aligned as `terraform fmt` does.
        let name = if format == ExportFormat::Tfvars { "scope      " } else { "scope" };
        text += &format!("{name} = {}\n", string(scope, format));
    }
    text.push('\n');
    let entries: Vec<String> = entries.iter().map(|lines| lines.join("\n")).collect();
    let all = entries.join("\n\n");
    match format {
        ExportFormat::Tfvars if entries.is_empty() => text += "application_databases = {}\n",
        ExportFormat::Tfvars => text += &format!("application_databases = {{\n{all}\n}}\n"),
        ExportFormat::Toml if entries.is_empty() => text += "[application_databases]\n",
        ExportFormat::Toml => text += &format!("{all}\n"),
    }
    text
}
