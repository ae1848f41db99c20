//! The flags for a fleet, and the flags that each instance of the fleet file sets instead.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};
use rdsprov_core::fleet::OF_AN_INSTANCE;

use super::headings::FLEET;
use super::values::list_item;

/// The flags of the commands that run for a fleet.
#[derive(Debug, Args)]
pub struct FleetArgs {
    /// Run for each instance in this fleet file, side by side
    ///
    /// The file names the environment, the definitions and the connection of each instance. The exit
    /// code is that of the instance with the worst result.
    #[arg(long, value_name = "FILE", help_heading = FLEET)]
    pub fleet: Option<PathBuf>,
    /// Run only for these instances of the fleet file
    ///
    /// A list, separated by commas; may be given several times.
    #[arg(
        long,
        value_name = "NAME[,…]",
        value_delimiter = ',',
        value_parser = list_item,
        requires = "fleet",
        help_heading = FLEET
    )]
    pub only_instance: Vec<String>,
    /// Run for this many instances at the same time [default: 8]
    #[arg(long, value_name = "NUMBER", requires = "fleet", help_heading = FLEET)]
    pub parallel: Option<NonZeroUsize>,
    /// Start no further instance after a failure or a refusal
    ///
    /// The instances that have started are completed. Without this flag, all instances are started.
    #[arg(long, requires = "fleet", help_heading = FLEET)]
    pub fail_fast: bool,
    /// Start no further instance after this many failures or refusals
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "fleet",
        conflicts_with = "fail_fast",
        help_heading = FLEET
    )]
    pub max_failures: Option<NonZeroUsize>,
}

/// Checks that a fleet is not combined with an argument that concerns one instance.
pub(super) fn check(command: &Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(()) };
    if !matches!(matches.try_get_one::<PathBuf>("fleet"), Ok(Some(_))) {
        return Ok(());
    }
    let Some(subcommand) = command.find_subcommand(name) else { return Ok(()) };
    // A command that only says what to do instead refuses the fleet itself.
    if subcommand.get_arguments().any(|one| one.get_id() == "fleet" && one.is_hide_set()) {
        return Ok(());
    }
    let options = OF_AN_INSTANCE.map(|(option, key)| (option.name().replace('-', "_"), key));
    let others = ["plan", "metrics_file"].map(|id| (id.to_owned(), None));
    for (id, key) in options.into_iter().chain(others) {
        let Some(argument) = subcommand.get_arguments().find(|one| one.get_id() == id.as_str())
        else {
            continue;
        };
        let given = match matches.value_source(&id) {
            // It selects instances.
            Some(ValueSource::CommandLine) if id == "env" => continue,
            Some(ValueSource::CommandLine) => match argument.get_long() {
                Some(flag) => format!("--{flag}"),
                None => format!("<{}>", id.to_uppercase()),
            },
            Some(ValueSource::EnvVariable) => {
                let variable = argument.get_env().unwrap_or_default();
                format!("the variable {}", variable.to_string_lossy())
            }
            _ => continue,
        };
        let place = match key {
            Some(key) => format!("write `{key}` in [[instances]] or [defaults] of the fleet file"),
            None => "run the command for this instance alone, without --fleet".to_owned(),
        };
        let usage = format!("Usage: rdsprov {name} --fleet <FILE> [OPTIONS]");
        let message = format!("{given} cannot be used with --fleet\nhint: {place}\n\n{usage}\n");
        return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use rdsprov_core::fleet::KEYS;

    use super::*;
    use crate::args::CommandLine;

    fn error(arguments: &[&str]) -> Option<String> {
        let command = CommandLine::command();
        let matches = command.clone().try_get_matches_from(arguments).unwrap();
        let error = check(&command, &matches).err()?;
        assert!(error.use_stderr());
        Some(error.to_string())
    }

    #[test]
    fn arguments_of_one_instance_are_errors_that_name_their_place() {
        let fleet = ["rdsprov", "apply", "--fleet", "fleet.toml"];
        let with = |more: &[&str]| error(&[&fleet, more].concat());
        assert_eq!(with(&[]), None);
        assert_eq!(with(&["--allow", "adopts", "--ca-file", "x", "--config", "c"]), None);
        let host = with(&["--host", "h"]).unwrap();
        assert!(host.contains("--host cannot be used with --fleet"), "{host}");
        assert!(host.contains("hint: write `host` in [[instances]]"), "{host}");
        assert!(host.ends_with("\n\nUsage: rdsprov apply --fleet <FILE> [OPTIONS]\n"), "{host}");
        assert_eq!(with(&["--env", "dev"]), None);
        assert!(with(&["--adopt", "x"]).unwrap().contains("for this instance alone"));
        let metrics = with(&["--metrics-file", "a.prom"]).unwrap();
        assert!(metrics.contains("--metrics-file cannot be used with --fleet"), "{metrics}");
        assert!(error(&["rdsprov", "apply", "x.plan", "--fleet", "f"]).unwrap().contains("<PLAN>"));
        assert_eq!(error(&["rdsprov", "apply", "--host", "h"]), None);
    }

    /// A key without its flag, or a misspelt argument, would not be checked.
    #[test]
    fn arguments_and_keys_exist() {
        let command = CommandLine::command();
        let exists = |id: &str| {
            ["plan", "apply"].iter().any(|name| {
                let command = command.find_subcommand(name).unwrap();
                command.get_arguments().any(|one| one.get_id() == id)
            })
        };
        let without_flag = ["name", "config", "assume_role", "external_id", "allow"];
        for key in KEYS.iter().filter(|key| !without_flag.contains(key)) {
            assert!(OF_AN_INSTANCE.iter().any(|(_, one)| one == &Some(*key)), "{key}");
        }
        for (option, key) in OF_AN_INSTANCE {
            assert!(exists(&option.name().replace('-', "_")), "{option:?}");
            assert!(key.is_none_or(|key| KEYS.contains(&key)), "{option:?}");
        }
        assert!(exists("plan"));
    }
}
