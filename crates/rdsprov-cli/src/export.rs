//! Implements `rdsprov export`.

use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::export::ExportScope;
use rdsprov_core::session::{self, Setup};

use crate::args::ExportArgs;
use crate::error::{CliError, Exit};
use crate::output;
use crate::wording::CommandWording;

pub async fn run(options: &ExportArgs) -> Result<Exit, CliError> {
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
    let text = export.to_text(options.format, &CommandWording);
    let Some(path) = &options.out else {
        output::write_stdout(&text);
        return Ok(Exit::Done);
    };
    if path.symlink_metadata().is_ok() {
        let fact = format!("{} exists, and an export replaces no file", path.display());
        return Err(CliError::usage(fact).with_hint("name another file with --out FILE"));
    }
    output::replace_file(path, &text, 0o600).map_err(|error| {
        let fact = format!("{} cannot be written: {error}", path.display());
        CliError::new(Exit::Failed, ErrorCode::FileUnwritable, fact)
            .with_hint("name another file with --out FILE")
    })?;
    output::status(&format!(
        "Saved the definitions. Review {} before you plan: its comments list what a plan would change.",
        path.display()
    ));
    Ok(Exit::Done)
}
