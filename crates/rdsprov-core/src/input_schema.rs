//! The JSON Schemas of the files that users write, for editors: from the types that the parsers fill.
//!
//! An editor also accepts what only the parser can check, such as names.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::definitions::Application;
use crate::fleet::Instance;

/// Returns the settings of schemas of files.
fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().for_deserialize().into_generator()
}

/// Returns the schema of `rdsprov.toml`.
pub(crate) fn config_file() -> Schema {
    generator().into_root_schema_for::<Config>()
}

/// Returns the schema of definitions in TOML and JSON. Terraform may have other variables in the same file.
pub(crate) fn definitions_file() -> Schema {
    let mut generator = generator();
    let entry =
        table::<Application>(&mut generator, &["application"], &["database_name", "username"]);
    let applications = json!({
        "description": "The applications: for each role in one database an entry.",
        "type": "object",
        "additionalProperties": entry,
    });
    let mut variables = json!({
        "environment": {"type": "string", "description": "The environment, such as `dev`."},
        "aws_region": {"type": "string", "description": "The AWS region of the secrets."},
        "application_databases": applications,
    });
    let coupled = json!({
        "description": "The variable of the coupled mode.",
        "type": "object",
        "properties": variables.clone(),
    });
    if let Some(variables) = variables.as_object_mut() {
        variables.insert("rds_config".to_owned(), coupled);
    }
    let definitions = generator.take_definitions(true);
    json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "description": "Definitions of applications.",
        "type": "object",
        "properties": variables,
        "$defs": definitions,
    })
}

/// Returns the schema of the fleet file.
pub(crate) fn fleet_file() -> Schema {
    let mut generator = generator();
    let mut instance = table::<Instance>(&mut generator, &[], &["name"]);
    let external_id =
        json!({"type": "string", "description": "The external id for `assume_role`."});
    if let Some(properties) = properties(&mut instance) {
        properties.insert("external_id".to_owned(), external_id);
    }
    let mut defaults = instance.clone();
    if let Some(defaults) = defaults.as_object_mut() {
        defaults.remove("required");
        defaults
            .insert("description".to_owned(), "The values that an instance does not set.".into());
    }
    if let Some(properties) = properties(&mut defaults) {
        properties.remove("name");
    }
    let definitions = generator.take_definitions(true);
    json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "description": "The instances of a fleet.",
        "type": "object",
        "properties": {
            "defaults": defaults,
            "instances": {"type": "array", "items": instance},
        },
        "required": ["instances"],
        "additionalProperties": false,
        "$defs": definitions,
    })
}

/// Returns the schema of a table with the keys of a type except some, of which a few are required.
fn table<T: JsonSchema>(
    generator: &mut SchemaGenerator,
    without: &[&str],
    required: &[&str],
) -> Value {
    let mut schema = T::json_schema(generator).to_value();
    if let Some(properties) = properties(&mut schema) {
        properties.retain(|key, _| !without.contains(&key.as_str()));
    }
    if let Some(table) = schema.as_object_mut() {
        table.insert("required".to_owned(), json!(required));
        table.insert("additionalProperties".to_owned(), false.into());
    }
    schema
}

fn properties(schema: &mut Value) -> Option<&mut Map<String, Value>> {
    schema.get_mut("properties").and_then(Value::as_object_mut)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{definitions, fleet};

    fn keys(schema: &Schema, pointer: &str) -> BTreeSet<String> {
        let schema = schema.clone().to_value();
        let table = schema.pointer(pointer).and_then(Value::as_object);
        table.unwrap_or_else(|| panic!("{pointer} is not in {schema}")).keys().cloned().collect()
    }

    /// An editor accepts no default that the parser rejects.
    #[test]
    fn no_access_is_not_a_default() {
        let schema = config_file().to_value();
        let levels = &schema["$defs"]["Defaults"]["properties"]["access_level"]["oneOf"];
        let levels: Vec<&str> =
            levels.as_array().unwrap().iter().filter_map(|one| one["const"].as_str()).collect();
        assert_eq!(levels, ["owner", "editor", "reader"]);
        for level in ["none", "owner"] {
            let text = format!("[defaults]\naccess_level = \"{level}\"");
            let is_accepted = Config::from_toml("rdsprov.toml", &text).is_ok();
            assert_eq!(is_accepted, levels.contains(&level), "{level}");
        }
    }

    /// A key that is missing would be an error in the editor, and none in a run.
    #[test]
    fn schemas_have_the_keys_of_the_parsers() {
        let all = |keys: &[&str]| -> BTreeSet<String> {
            keys.iter().map(|key| (*key).to_owned()).collect()
        };
        let entry = "/properties/application_databases/additionalProperties/properties";
        assert_eq!(keys(&definitions_file(), entry), all(&definitions::KEYS));
        let instance = "/properties/instances/items/properties";
        assert_eq!(keys(&fleet_file(), instance), all(&fleet::KEYS));
        assert_eq!(keys(&fleet_file(), "/properties/defaults/properties"), all(&fleet::KEYS[1..]));
    }
}
