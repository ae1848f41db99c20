//! Implements `rdsprov preflight`.

use rdsprov_core::preflight::PreflightReport;
use rdsprov_core::session::{self, RunOptions};

use crate::args::{Format, PreflightArgs};
use crate::error::{CliError, Exit};
use crate::wording::CommandWording;
use crate::{output, setup};

pub async fn run(options: &PreflightArgs) -> Result<Exit, CliError> {
    let config = session::config(options.common.config.as_deref())?;
    let setup = setup::builder(&options.common, config);
    let report = session::preflight(setup, &run_options(options)).await;
    output::write_stdout(&format_report(&report, options.output.format)?);
    Ok(report.exit_code())
}

/// Returns the options of the run that is checked.
pub fn run_options(options: &PreflightArgs) -> RunOptions {
    let mut run = RunOptions::default();
    run.server = (&options.server).into();
    run.server.only.clone_from(&options.selection.only);
    run.server.adopt_from.clone_from(&options.selection.restored.adopt_from);
    run.audit_output.clone_from(&options.audit_output);
    run.audit_ledger.clone_from(&options.audit_ledger);
    run.lock_timeout = options.lock_timeout;
    run
}

/// Renders a report in the given format.
pub fn format_report(report: &PreflightReport, format: Format) -> Result<String, CliError> {
    Ok(match format {
        Format::Json => report.to_json().map_err(CliError::internal)? + "\n",
        Format::Markdown => report.to_markdown(&CommandWording),
        Format::Text | Format::Sql | Format::Github => report.to_text(&CommandWording),
    })
}
