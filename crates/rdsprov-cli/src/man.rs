//! Implements `rdsprov man`.

use std::io;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::text::os_reason;

use crate::args::{self, ManArgs};
use crate::error::{CliError, Exit};
use crate::output;

pub fn run(options: &ManArgs) -> Result<Exit, CliError> {
    let command = args::built();
    if let Some(directory) = &options.out {
        return match write_pages(&command, directory) {
            Ok(()) => Ok(Exit::Done),
            Err(error) => Err(CliError::new(
                Exit::Failed,
                ErrorCode::FileUnwritable,
                format!(
                    "the pages cannot be written to {}: {}",
                    directory.display(),
                    os_reason(&error)
                ),
            )
            .with_hint("name an existing directory in which you may create files")),
        };
    }
    let mut page = &command;
    for name in &options.command {
        page = page.find_subcommand(name).ok_or_else(|| {
            let of = page.get_bin_name().unwrap_or_else(|| page.get_name());
            CliError::usage(format!("`{of}` has no subcommand `{name}`"))
                .with_hint(format!("run `{of} --help` for a list"))
        })?;
    }
    let mut text = Vec::new();
    page_of(page).render(&mut text).map_err(CliError::internal)?;
    output::write_stdout(&String::from_utf8_lossy(&text));
    Ok(Exit::Done)
}

/// Returns the page of a command, whose title is the name of its file: `rdsprov-audit-verify`.
fn page_of(command: &Command) -> Man {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    Man::new(command.clone())
        .title(name)
        .source(concat!("rdsprov ", env!("CARGO_PKG_VERSION")))
        .manual("rdsprov")
}

/// Writes the pages of a command and its subcommands to a directory.
fn write_pages(command: &Command, directory: &Path) -> io::Result<()> {
    page_of(command).generate_to(directory)?;
    // The pages of `rdsprov help COMMAND` would be those of the commands.
    let is_shown = |one: &&Command| !one.is_hide_set() && one.get_name() != "help";
    let mut shown = command.get_subcommands().filter(is_shown);
    shown.try_for_each(|one| write_pages(one, directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page() {
        let directory = tempfile::tempdir().unwrap();
        let options = |command: &[&str], out| ManArgs {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            out,
        };
        run(&options(&[], Some(directory.path().to_owned()))).unwrap();
        for (name, option) in
            [("rdsprov", "log"), ("rdsprov-plan", "detailed"), ("rdsprov-audit-verify", "expect")]
        {
            let page = std::fs::read_to_string(directory.path().join(format!("{name}.1"))).unwrap();
            let title =
                format!(".TH {name} 1  \"rdsprov {}\" rdsprov\n", env!("CARGO_PKG_VERSION"));
            assert!(page.contains(&title) && page.contains(option), "{name}: {page}");
        }
        let files = std::fs::read_dir(directory.path()).unwrap();
        let names: Vec<_> = files.map(|one| one.unwrap().file_name()).collect();
        assert!(!names.iter().any(|name| name.to_string_lossy().contains("help")), "{names:?}");
        let missing = run(&options(&[], Some(directory.path().join("missing")))).unwrap_err();
        assert_eq!(missing.exit, Exit::Failed);
        let unknown = run(&options(&["audit", "verfy"], None)).unwrap_err();
        assert_eq!(unknown.exit, Exit::Usage);
        assert_eq!(unknown.errors[0].fact, "`rdsprov audit` has no subcommand `verfy`");
    }
}
