//! Implements `rdsprov access`.

use rdsprov_core::access_report::AccessReport;
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::name::{DatabaseName, RoleName};
use rdsprov_core::operations::AccessQuery;

use crate::args::{AccessArgs, Format};
use crate::error::{CliError, Exit};
use crate::{output, setup};

pub async fn run(options: &AccessArgs) -> Result<Exit, CliError> {
    let setup = setup::new(&options.common)?;
    if options.output.format.is_of_plans_only() {
        return Err(CliError::usage("the access report has no such format")
            .with_hint("use --format text, --format json or --format markdown"));
    }
    let report = setup.access(&(&options.server).into(), &query(options)).await?;
    output::write_stdout(&format_report(&report, options.output.format)?);
    if report.is_complete() {
        return Ok(Exit::Done);
    }
    let fact = "the report does not cover every database";
    Err(CliError::new(Exit::Failed, ErrorCode::IncompleteAccessReport, fact)
        .with_hint("correct the reasons in the report, then run again"))
}

/// Returns what the options ask for.
pub fn query(options: &AccessArgs) -> AccessQuery {
    let mut query = AccessQuery::default();
    query.database = options.database.clone().map(DatabaseName::new_unchecked);
    query.role = options.role.clone().map(RoleName::new_unchecked);
    query.actor.clone_from(&options.actor);
    query
}

/// Renders a report in the given format.
pub fn format_report(report: &AccessReport, format: Format) -> Result<String, CliError> {
    Ok(match format {
        Format::Json => report.to_json().map_err(CliError::internal)? + "\n",
        Format::Markdown => report.to_markdown(),
        Format::Text | Format::Sql | Format::Github => report.to_text(),
    })
}
