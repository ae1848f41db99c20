//! Implements `rdsprov config`.

use std::ffi::OsString;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use rdsprov_core::hint::Opt;
use rdsprov_core::run_setting::{SettingName, SettingsInForce, ValueSource};
use rdsprov_core::session;
use rdsprov_core::session::Error;

use crate::apply::record_options;
use crate::args::{AuditStdout, ColorWhen, ConfigArgs, FindingsFormat, Global, LogFormat};
use crate::error::{CliError, Exit};
use crate::wording::{APPROVAL, CommandWording};
use crate::{args, output, setup};

/// The variables that decide about colours, the first one first.
const COLOR_VARIABLES: [(&str, ColorWhen); 2] =
    [("NO_COLOR", ColorWhen::Never), ("CLICOLOR_FORCE", ColorWhen::Always)];

pub fn run(options: &ConfigArgs, global: Global) -> Result<Exit, CliError> {
    let (settings, unknown) = settings(options, global)?;
    output::write_stdout(&match options.format {
        FindingsFormat::Json => settings.to_json().map_err(CliError::internal)? + "\n",
        FindingsFormat::Text => settings.to_text(&CommandWording),
    });
    match unknown {
        None => Ok(Exit::Done),
        Some(error @ Error::NoEnvironment { .. }) => {
            let hints = error.diagnostics().into_iter().flat_map(|one| one.hints);
            let hints: Vec<String> = hints.map(|hint| hint.worded(&CommandWording)).collect();
            output::status(&format!("note: {error}: {}", hints.join("; ")));
            Ok(Exit::Done)
        }
        Some(error) => Err(error.into()),
    }
}

/// Returns the settings, and why a run would have no environment.
fn settings(
    options: &ConfigArgs,
    global: Global,
) -> Result<(SettingsInForce, Option<Error>), CliError> {
    let config = session::config(options.common.config.as_deref())?;
    let mut run = record_options(&options.records);
    run.server = (&options.server).into();
    run.server.new_secrets = (&options.new_secrets).into();
    let (mut settings, unknown) = setup::builder(&options.common, config)
        .settings_in_force(&run, options.common.config.is_some())?;
    add_own(&mut settings, options, global);
    Ok((settings, unknown))
}

/// Adds the settings that only the command has.
fn add_own(settings: &mut SettingsInForce, options: &ConfigArgs, global: Global) {
    let Global { color, log, no_progress } = global;
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let approval = variable(APPROVAL);
    let source = match approval {
        Some(_) => ValueSource::Variable(APPROVAL.to_owned()),
        None => ValueSource::Default,
    };
    settings.add(SettingName::Key(APPROVAL.to_owned()), approval, source);
    let named = |value: Option<PossibleValue>| value.map(|value| value.get_name().to_owned());
    let stdout = options.stdout.audit_stdout;
    let metrics = options.metrics.metrics_file.as_ref().map(|path| path.display().to_string());
    // `--format` of this command is the format of its own output.
    let format = args::variable("format").and_then(|name| Some((variable(&name)?, name)));
    let is_json = matches!(log, LogFormat::Json);
    for (option, value, is_set) in [
        (
            Opt::AuditStdout,
            named(stdout.unwrap_or(AuditStdout::Auto).to_possible_value()),
            stdout.is_some(),
        ),
        (Opt::MetricsFile, metrics.clone(), metrics.is_some()),
        (Opt::LogFormat, named(log.to_possible_value()), is_json),
        (Opt::NoProgress, Some(no_progress.to_string()), no_progress),
    ] {
        let source = match options.server.variables.get(&option) {
            Some(name) => ValueSource::Variable(name.clone()),
            None if is_set => ValueSource::Option(option),
            None => ValueSource::Default,
        };
        settings.add(SettingName::Option(option), value, source);
    }
    let (value, source) = color_in_force(color, |name| std::env::var_os(name));
    settings.add(SettingName::Option(Opt::Color), named(value.to_possible_value()), source);
    let (value, source) = match format {
        Some((value, name)) => (value, ValueSource::Variable(name)),
        None => ("text".to_owned(), ValueSource::Default),
    };
    settings.add(SettingName::Option(Opt::Format), Some(value), source);
}

/// Returns when the output has colours, and what decides it, in the order of `anstream`.
fn color_in_force(
    given: ColorWhen,
    variable: impl Fn(&str) -> Option<OsString>,
) -> (ColorWhen, ValueSource) {
    if given != ColorWhen::Auto {
        return (given, ValueSource::Option(Opt::Color));
    }
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    match COLOR_VARIABLES.iter().find(|(name, _)| is_set(name)) {
        Some((name, value)) => (*value, ValueSource::Variable((*name).to_owned())),
        None => (ColorWhen::Auto, ValueSource::Default),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rdsprov_core::schema::Document;
    use serde_json::Value;

    use super::*;
    use crate::args::{CliCommand, Invocation};

    /// The names of the settings that `rdsprov config` shows with these arguments.
    fn shown(arguments: &[&str]) -> BTreeSet<String> {
        let settings = settings_of(arguments);
        settings.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    }

    fn settings_of(arguments: &[&str]) -> Vec<Value> {
        let (settings, unknown) = run_with(&[&["--env", "dev"], arguments].concat());
        assert!(unknown.is_none(), "{unknown:?}");
        let document = serde_json::to_value(settings).unwrap();
        document["settings"].as_array().unwrap().clone()
    }

    fn run_with(arguments: &[&str]) -> (SettingsInForce, Option<Error>) {
        let words = ["rdsprov", "config"].iter().chain(arguments);
        let words: Vec<_> = words.map(|word| (*word).into()).collect();
        let Ok(Invocation::Run(line)) = args::parse(&words) else { panic!("{arguments:?}") };
        let CliCommand::Config(options) = &line.command else { panic!("{arguments:?}") };
        settings(options, line.global()).unwrap()
    }

    /// This is the command to find out why a run has no environment.
    #[test]
    fn settings_are_shown_without_an_environment() {
        let value = |settings: &SettingsInForce, name: &str| {
            let document = serde_json::to_value(settings).unwrap();
            let all = document["settings"].as_array().unwrap();
            let one = all.iter().find(|one| one["name"] == name).unwrap();
            one["value"].as_str().map(str::to_owned)
        };
        let count = settings_of(&[]).len();
        for (arguments, environment) in [(&[][..], None), (&["--env", "prd"], Some("prd"))] {
            let (settings, unknown) = run_with(arguments);
            let code = unknown.unwrap().code().name();
            let expected =
                if environment.is_some() { "unknown-environment" } else { "no-environment" };
            assert_eq!(code, expected);
            assert_eq!(value(&settings, "env").as_deref(), environment);
            let secret = "goldenpath/{environment}/rds/master";
            assert_eq!(value(&settings, "admin-secret").as_deref(), Some(secret));
            assert_eq!(value(&settings, "environments.{environment}.approval"), None);
            assert_eq!(settings.settings.len(), count, "{arguments:?}");
        }
    }

    /// A setting that is not shown could differ from what its user expects.
    #[test]
    fn each_option_with_a_variable_is_shown() {
        let of_iam = ["--admin-auth", "iam", "--admin-user", "a", "--host", "h"];
        let shown = &shown(&[]) | &shown(&of_iam);
        let command = args::built();
        for name in ["apply", "delegate"] {
            let command = command.find_subcommand(name).unwrap();
            for argument in command.get_arguments().filter(|one| one.get_env().is_some()) {
                let option = argument.get_long().unwrap();
                assert!(shown.contains(option), "--{option} of `{name}` is not in {shown:?}");
            }
        }
    }

    #[test]
    fn variables_of_colours_are_named() {
        let of = |given, set: &[(&str, &str)]| {
            let value = |name: &str| set.iter().find(|(one, _)| *one == name);
            color_in_force(given, |name| value(name).map(|(_, value)| (*value).into()))
        };
        let variable = |name: &str| ValueSource::Variable(name.to_owned());
        let both = [("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")];
        assert_eq!(of(ColorWhen::Auto, &both), (ColorWhen::Never, variable("NO_COLOR")));
        let forced = [("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")];
        assert_eq!(of(ColorWhen::Auto, &forced), (ColorWhen::Always, variable("CLICOLOR_FORCE")));
        assert_eq!(of(ColorWhen::Auto, &[]), (ColorWhen::Auto, ValueSource::Default));
        let option = ValueSource::Option(Opt::Color);
        assert_eq!(of(ColorWhen::Always, &both), (ColorWhen::Always, option));
        assert!(shown(&[]).contains("color"));
    }

    #[test]
    fn defaults_of_applications_are_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rdsprov.toml");
        let text = "[defaults]\nschemas = [\"public\", \"app\"]\ncreatedb = true\n\
            [environments.dev.defaults]\ncreatedb = false\nsettings = { work_mem = \"8MB\" }\n";
        std::fs::write(&path, text).unwrap();
        let settings = settings_of(&["--config", path.to_str().unwrap()]);
        let seen =
            settings.iter().filter(|one| one["name"].as_str().unwrap().contains("defaults."));
        let seen: Vec<_> = seen.map(|one| format!("{} {}", one["name"], one["value"])).collect();
        assert_eq!(
            seen,
            [
                r#""defaults.schemas" "public, app""#,
                r#""environments.dev.defaults.createdb" "false""#,
                r#""environments.dev.defaults.settings" "work_mem = 8MB""#,
            ]
        );
    }

    /// The options that set the same as keys with other names.
    const OPTIONS: [(&str, &str); 10] = [
        ("aws_region", "region"),
        ("secrets.admin", "admin-secret"),
        ("secrets.kms_key", "secret-kms-key"),
        ("secrets.tags", "secret-tags"),
        ("definitions.files", "definitions"),
        ("definitions.mode", "mode"),
        ("passwords.verify", "verify-passwords"),
        ("audit.output", "audit-output"),
        ("audit.ledger", "audit-ledger"),
        ("audit.table", "audit-table"),
    ];

    #[test]
    fn each_key_is_shown() {
        let shown = shown(&[]);
        let schema = Document::ConfigFile.schema().to_value();
        let properties = |of: &Value| of["properties"].as_object().cloned().unwrap_or_default();
        let mut keys = Vec::new();
        for (key, value) in properties(&schema) {
            let section = value["$ref"].as_str().map(|path| path.trim_start_matches('#'));
            let section = section.and_then(|path| schema.pointer(path)).map(properties);
            match section.filter(|section| !section.is_empty()) {
                // Only those that are set are shown.
                _ if key == "defaults" => {}
                _ if key == "environments" => {
                    keys.extend(
                        ["environments.dev.approval", "environments.dev.ephemeral"]
                            .map(String::from),
                    );
                }
                _ if key == "tls" => {
                    keys.extend(["tls", "ca-file", "client-cert", "client-key"].map(String::from));
                }
                Some(section) => keys.extend(section.keys().map(|one| format!("{key}.{one}"))),
                None => keys.push(key),
            }
        }
        assert!(keys.len() > 20, "{keys:?}");
        for key in keys {
            let option = OPTIONS.iter().find(|(one, _)| *one == key).map(|(_, option)| *option);
            let name = option.map_or_else(|| key.replace('_', "-"), str::to_owned);
            assert!(shown.contains(&key) || shown.contains(&name), "{key} is not in {shown:?}");
        }
    }
}
