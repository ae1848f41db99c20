//! Implements `rdsprov config`.

use rdsprov_core::session;

use crate::apply::record_options;
use crate::args::{ConfigArgs, FindingsFormat};
use crate::error::{CliError, Exit};
use crate::wording::CommandWording;
use crate::{output, setup};

pub fn run(options: &ConfigArgs) -> Result<Exit, CliError> {
    let config = session::config(options.common.config.as_deref())?;
    let mut run = record_options(&options.records);
    run.server = (&options.server).into();
    let settings = setup::builder(&options.common, config)
        .settings_in_force(&run, options.common.config.is_some())?;
    output::write_stdout(&match options.format {
        FindingsFormat::Json => settings.to_json().map_err(CliError::internal)? + "\n",
        FindingsFormat::Text => settings.to_text(&CommandWording),
    });
    Ok(Exit::Done)
}
