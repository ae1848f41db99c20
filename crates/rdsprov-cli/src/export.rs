//! Implements `rdsprov export`.

use std::path::Path;

use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::export::{ExportFormat, ExportScope};
use rdsprov_core::session::{self, Setup};
use rdsprov_core::text::os_reason;

use crate::args::ExportArgs;
use crate::error::{CliError, Exit};
use crate::output;
use crate::wording::CommandWording;

pub async fn run(options: &ExportArgs) -> Result<Exit, CliError> {
    let format = format(options.format, options.out.as_deref())?;
    let mut builder = Setup::builder().config(session::config(options.config.as_deref())?);
    if let Some(environment) = &options.env {
        builder = builder.environment(environment);
    }
    let setup = builder.without_definitions().build()?;
    let mut scope = ExportScope::default();
    scope.databases.clone_from(&options.database);
    scope.owners.clone_from(&options.owner);
    scope.exclude.clone_from(&options.exclude);
    let export = setup.export(&(&options.server).into(), &scope).await?;
    let text = export.to_text(format, &CommandWording);
    let Some(path) = &options.out else {
        output::write_stdout(&text);
        return Ok(Exit::Done);
    };
    if path.symlink_metadata().is_ok() {
        let fact = format!("{} exists, and export does not replace files", path.display());
        return Err(CliError::usage(fact).with_hint("name another file with --out FILE"));
    }
    output::replace_file(path, &text, 0o600).map_err(|error| {
        let fact = format!("{} cannot be written: {}", path.display(), os_reason(&error));
        CliError::new(Exit::Failed, ErrorCode::FileUnwritable, fact)
            .with_hint("name another file with --out FILE")
    })?;
    output::status(&format!(
        "Saved the definitions. Review {} before you plan: its comments list what a plan would change.",
        path.display()
    ));
    Ok(Exit::Done)
}

/// The names of files that other commands read as definitions of a format, by their ends.
const EXTENSIONS: [(&str, ExportFormat); 2] =
    [(".tfvars", ExportFormat::Tfvars), (".toml", ExportFormat::Toml)];

/// Returns the format of the definitions: that of the option, or else that of the file.
fn format(given: Option<ExportFormat>, out: Option<&Path>) -> Result<ExportFormat, CliError> {
    let Some(path) = out else { return Ok(given.unwrap_or(ExportFormat::Tfvars)) };
    let name = path.to_string_lossy();
    let of_file = EXTENSIONS.iter().find(|(end, _)| name.ends_with(end)).map(|(_, one)| *one);
    match (given, of_file) {
        (given, Some(of_file)) if given.is_none_or(|given| given == of_file) => Ok(of_file),
        (_, Some(of_file)) => {
            let fact =
                format!("a file with the name {name} contains definitions in another format");
            let hint = format!("leave out --format: the name selects {}", of_file.name());
            Err(CliError::usage(fact).with_hint(hint))
        }
        (_, None) => {
            let fact = format!("{name} does not have the name of a file with definitions");
            let error = CliError::new(Exit::Usage, ErrorCode::UnknownFileType, fact);
            Err(error.with_hint("name a file that ends in .tfvars or .toml"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_the_file_selects_the_format() {
        use ExportFormat::{Tfvars, Toml};
        let of = |given, out: &str| {
            let path = Some(Path::new(out)).filter(|_| !out.is_empty());
            format(given, path).map_err(|error| error.errors[0].code.name())
        };
        assert_eq!(of(None, ""), Ok(Tfvars));
        assert_eq!(of(Some(Toml), ""), Ok(Toml));
        for (out, own, other) in [("a/dev.tfvars", Tfvars, Toml), ("dev.auto.toml", Toml, Tfvars)] {
            assert_eq!(of(None, out), Ok(own), "{out}");
            assert_eq!(of(Some(own), out), Ok(own), "{out}");
            assert_eq!(of(Some(other), out), Err("wrong-usage"), "{out}");
        }
        for out in ["exp.tf", "exp", "tfvars", "exp.json"] {
            for given in [None, Some(Tfvars)] {
                assert_eq!(of(given, out), Err("unknown-file-type"), "{out}");
            }
        }
    }
}
