//! How the command spells the options and operations that a hint of the core names.

use std::path::Path;

use clap::{Arg, CommandFactory as _};
use rdsprov_core::hint::{Operation, Opt, Wording};

use crate::args::CommandLine;

/// The variable of the approval. There is no flag for it: in the script of a pipeline, it would also approve
/// every later plan.
pub const APPROVAL: &str = "ALLOW_DB_PROVISION";

/// Spells options as flags of the command, `--ca-file FILE`, and operations as
/// its subcommands, `rdsprov plan`.
#[derive(Debug, Clone, Copy)]
pub struct CommandWording;

impl Wording for CommandWording {
    fn option(&self, option: Opt, value: Option<&str>) -> String {
        if option == Opt::Approval {
            return format!("{APPROVAL}={}", value.unwrap_or("true"));
        }
        let placeholder = || placeholder(option.name());
        match (value, placeholder()) {
            (Some(value), _) => with_value(option.name(), value),
            (None, Some(placeholder)) => format!("--{} {placeholder}", option.name()),
            (None, None) => format!("--{}", option.name()),
        }
    }

    fn option_name(&self, option: Opt) -> String {
        format!("--{}", option.name())
    }

    fn operation(&self, operation: Operation) -> String {
        format!("`rdsprov {}`", operation.name())
    }

    fn operation_on(&self, operation: Operation, applications: &[&str]) -> String {
        // After `--`, no name is read as an option: a marker of the server can contain any name.
        let end = applications.iter().any(|name| name.starts_with('-')).then(|| "--".to_owned());
        let names = applications.iter().map(|name| quoted(name));
        let words: Vec<String> = end.into_iter().chain(names).collect();
        format!("`rdsprov {} {}`", operation.name(), words.join(" "))
    }
}

/// Returns an option with a value as a shell reads both. A value that begins with `-` would be read as another
/// option: names of databases and applications can.
pub fn with_value(option: &str, value: &str) -> String {
    let separator = if value.starts_with('-') { '=' } else { ' ' };
    format!("--{option}{separator}{}", quoted(value))
}

/// Returns the path of a file as a shell and the command read it.
pub fn path_word(path: &Path) -> String {
    let text = path.display().to_string();
    // As it is, such a word would be read as an option.
    quoted(&if text.starts_with('-') { format!("./{text}") } else { text })
}

/// Returns a word as a shell reads it.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Returns what the help shows for the value of a flag, or nothing if a subcommand has the
/// flag without a value.
fn placeholder(flag: &str) -> Option<String> {
    let definitions = definitions(flag);
    if definitions.iter().any(|one| !one.get_action().takes_values()) {
        return None;
    }
    let first = definitions.first()?;
    let named = first.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    Some(named.unwrap_or_else(|| first.get_id().as_str().to_uppercase()))
}

/// Returns the definition of a flag in each subcommand that has the flag.
fn definitions(flag: &str) -> Vec<Arg> {
    let command = CommandLine::command();
    command
        .get_subcommands()
        .chain([&command])
        .flat_map(clap::Command::get_arguments)
        .filter(|argument| argument.get_long() == Some(flag))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;

    #[test]
    fn options_are_flags_of_a_subcommand() {
        for option in Opt::iter().filter(|option| *option != Opt::Approval) {
            assert!(!definitions(option.name()).is_empty(), "no flag --{}", option.name());
        }
    }

    #[test]
    fn operations_are_subcommands() {
        let command = CommandLine::command();
        for operation in Operation::iter() {
            assert!(command.find_subcommand(operation.name()).is_some(), "{operation:?}");
        }
    }

    #[test]
    fn values_and_placeholders_are_shown() {
        let spelled = |option, value| CommandWording.option(option, value);
        assert_eq!(spelled(Opt::CaFile, None), "--ca-file FILE");
        assert_eq!(spelled(Opt::Region, None), "--region REGION");
        assert_eq!(spelled(Opt::Region, Some("eu-west-2")), "--region eu-west-2");
        assert_eq!(spelled(Opt::Only, Some("-rf")), "--only=-rf");
        assert_eq!(spelled(Opt::Confirm, Some("-a b")), "--confirm='-a b'");
        let both = CommandWording.option_values(Opt::Adopt, &["--yes", "shop"]);
        assert_eq!(both, "--adopt=--yes --adopt shop");
        assert_eq!(spelled(Opt::Allow, Some("changes_owner")), "--allow changes_owner");
        assert_eq!(spelled(Opt::Adopt, None), "--adopt");
        assert_eq!(spelled(Opt::WithVerifiers, None), "--with-verifiers");
        assert_eq!(path_word(Path::new("plans/a b.json")), "'plans/a b.json'");
        assert_eq!(path_word(Path::new("-out.json")), "./-out.json");
        assert_eq!(spelled(Opt::Approval, None), "ALLOW_DB_PROVISION=true");
        assert_eq!(CommandWording.operation(Operation::Plan), "`rdsprov plan`");
        let retire = CommandWording.operation_on(Operation::Retire, &["shop", "it's"]);
        assert_eq!(retire, r"`rdsprov retire shop 'it'\''s'`");
        let retire = CommandWording.operation_on(Operation::Retire, &["shop", "--drop-role"]);
        assert_eq!(retire, "`rdsprov retire -- shop --drop-role`");
    }
}
